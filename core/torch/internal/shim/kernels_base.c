//go:build torch

#define ISA base
#define ISA_NAME "base"
#include "kernels_body.h"

#include <string.h>

static const islm_kernels *chosen;

static const islm_kernels *best(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return &islm_kernels_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &islm_kernels_avx2;
#endif
  return &islm_kernels_base;
}

const islm_kernels *islm_pick_kernels(void) {
  if (!chosen) chosen = best();
  return chosen;
}

int islm_use_kernels(const char *name) {
  const islm_kernels *top = best();
  const islm_kernels *all[] = {&islm_kernels_base,
#if defined(__x86_64__)
                               &islm_kernels_avx2, &islm_kernels_avx512
#endif
  };
  for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
    if (strcmp(all[i]->name, name) == 0) {
      chosen = all[i];
      return 1;
    }
    if (all[i] == top) break;
  }
  chosen = top;
  return name[0] == 0;
}
