// The loops over elements, in plain C, compiled once for each instruction set.
// Every variant draws the same bits; float results may differ in the last place
// between variants, never between runs or thread counts.
#pragma once
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Elements of a row are numbered in words of 32: element e lies in word e/32,
// its Philox block is 8*(e/32) + e%8 and its output word (e/8)%4, so that eight
// blocks side by side fill one word without a shuffle. A set bit keeps.
//
// T is float, or bfloat16 held as uint16_t; sums are kept in float. Scratch is
// room for n floats.
#define ISLM_KERNELS_FOR(T, sfx)                                                                                       \
  /* y = bit ? x*scale : 0 */                                                                                          \
  void (*drop_##sfx)(T *y, const T *x, const uint32_t *bits, int64_t n, float scale);                                  \
  /* One row of attention: probs = softmax(scores*scale + mask); when bits are given, dropped = bit ? probs*inv : 0.   \
     mask and bits may be NULL; probs may be scores. */                                                                \
  void (*softmax_##sfx)(T *probs, T *dropped, const T *scores, const float *mask, const uint32_t *bits, int64_t n,     \
                        float scale, float inv, float *scratch);                                                       \
  /* Its gradient: ds = probs*(dp - sum(dp*probs))*scale with dp = bit ? dd*inv : 0; ds may be dd. */                   \
  void (*softmax_back_##sfx)(T *ds, const T *dd, const T *probs, const uint32_t *bits, int64_t n, float scale,         \
                             float inv, float *scratch);                                                               \
  /* One row of add-and-normalize: sum = res + (bit ? x*inv : 0), y = (sum - mean)*rstd*w + b. y16 may be NULL. */      \
  void (*norm_##sfx)(float *y, uint16_t *y16, float *sum, const T *x, const float *res, const uint32_t *bits,          \
                     const float *w, const float *b, int64_t n, float eps, float inv, float *mean, float *rstd);       \
  /* Its gradient: g = gy + gy16 (either may be NULL); dres is written, dx = bit ? dres*inv : 0, dw and db are added   \
     to. */                                                                                                            \
  void (*norm_back_##sfx)(T *dx, float *dres, float *dw, float *db, const float *gy, const uint16_t *gy16,             \
                          const float *sum, const float *w, const uint32_t *bits, int64_t n, float mean, float rstd,   \
                          float inv, float *scratch);

typedef struct {
  const char *name;
  // keep fills words [word0, word0+n) of a row: a bit is set when the element's
  // 32 random bits are at least threshold.
  void (*keep)(uint32_t *bits, int64_t n, uint64_t word0, uint64_t key, uint64_t row, uint32_t threshold);
  // One row of AdamW; g may be NULL for zeros. decay = 1 - lr*wd, w1 = 1 - beta1,
  // w2 = 1 - beta2, size = lr / (1 - beta1^t), root = sqrt(1 - beta2^t).
  void (*adam)(float *p, float *m, float *v, const float *g, int64_t n, float decay, float w1, float b2, float w2, float size, float root,
               float eps);
  // Sum of squares.
  float (*squares)(const float *x, int64_t n);
  ISLM_KERNELS_FOR(float, f32)
  ISLM_KERNELS_FOR(uint16_t, bf16)
} islm_kernels;

extern const islm_kernels islm_kernels_base, islm_kernels_avx2, islm_kernels_avx512;
const islm_kernels *islm_pick_kernels(void);
// For tests: "base", "avx2" or "avx512" where the processor has it (else 0 is returned); "" is the best.
int islm_use_kernels(const char *name);
#ifdef __cplusplus
}
#endif
