//go:build torch && amd64

#pragma GCC target("avx2,fma,bmi2")
#define ISA avx2
#define ISA_NAME "avx2"
#define PHILOX_AVX2
#include "kernels_body.h"
