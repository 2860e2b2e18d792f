// The loops over elements, in plain C, compiled once for each instruction set.
// All variants of a Philox kernel give the same bits.
#pragma once
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Elements are numbered in words of 32: element e of a row lies in word e/32,
// its Philox block is 8*(e/32) + e%8 and its output word (e/8)%4, so that eight
// blocks side by side fill one word without a shuffle.
typedef struct {
  const char *name;
  // keep fills words [word0, word0+n) of a row: bit e%32 is set when the
  // element's 32 random bits are at least threshold.
  void (*keep)(uint32_t *bits, int64_t n, uint64_t word0, uint64_t key, uint64_t row, uint32_t threshold);
  // drop: y = bit ? x*scale : 0 for n elements.
  void (*drop_f32)(float *y, const float *x, const uint32_t *bits, int64_t n, float scale);
  void (*drop_bf16)(uint16_t *y, const uint16_t *x, const uint32_t *bits, int64_t n, float scale);
} islm_kernels;

extern const islm_kernels islm_kernels_base;
const islm_kernels *islm_pick_kernels(void);
#ifdef __cplusplus
}
#endif
