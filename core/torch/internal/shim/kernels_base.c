//go:build torch

#define NAME(x) base_##x
#include "kernels.inc"

const islm_kernels islm_kernels_base = {"base", base_keep, base_drop_f32, base_drop_bf16};
const islm_kernels *islm_pick_kernels(void) { return &islm_kernels_base; }
