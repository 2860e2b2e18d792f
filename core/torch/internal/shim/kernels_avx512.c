//go:build torch && amd64

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi2,prefer-vector-width=512")
#define ISA avx512
#define ISA_NAME "avx512"
#define PHILOX_AVX512
#include "kernels_body.h"
