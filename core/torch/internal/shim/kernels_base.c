//go:build torch

#define ISA base
#define ISA_NAME "base"
#include "kernels.inc"

const islm_kernels *islm_pick_kernels(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return &islm_kernels_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &islm_kernels_avx2;
#endif
  return &islm_kernels_base;
}
