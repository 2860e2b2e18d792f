// Bodies of the kernels. Included by one file per instruction set, which
// defines ISA and, where there are vectors, PHILOX_AVX512 or PHILOX_AVX2.
#include <stddef.h>

#include "kernels.h"
#include "philox.h"
#if defined(PHILOX_AVX512) || defined(PHILOX_AVX2)
#include <immintrin.h>
#endif

#define CAT2(a, b) a##_##b
#define CAT(a, b) CAT2(a, b)

typedef union {
  float f;
  uint32_t u;
} pun;

static inline float up_bf16(uint16_t v) {
  pun x;
  x.u = (uint32_t)v << 16;
  return x.f;
}
// Rounds to nearest even; NaN stays NaN.
static inline uint16_t down_bf16(float f) {
  pun x;
  x.f = f;
  uint32_t r = (x.u + 0x7fffu + ((x.u >> 16) & 1u)) >> 16;
  return (x.u & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : (uint16_t)r;
}
static inline float up_f32(float v) { return v; }
static inline float down_f32(float v) { return v; }

// exp(x) for x <= 0 to within 2 units in the last place; below -87 it is 0.
// The reduction is Cody and Waite's, the polynomial that of Cephes' expf.
static inline float exp_neg(float x) {
  float z = x < -87.0f ? -87.0f : x;
  pun t;
  t.f = z * 1.44269504088896341f + 12582912.0f;
  float n = t.f - 12582912.0f;
  float r = z - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  pun s;
  s.u = (t.u - 0x4b400000u + 127u) << 23;
  float y = p * s.f;
  return x < -87.0f ? 0.0f : y;
}

#if defined(PHILOX_AVX512)
// Lanes of 64 bits whose lower halves count; the products ignore the upper ones.
typedef struct {
  __m512i c0, c1, c2, c3;
} lanes;
static inline lanes lanes_of(uint64_t block, uint32_t r0, uint32_t r1) {
  __m512i b = _mm512_add_epi64(_mm512_set1_epi64((long long)block), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
  lanes l = {b, _mm512_srli_epi64(b, 32), _mm512_set1_epi64(r0), _mm512_set1_epi64(r1)};
  return l;
}
static inline lanes lanes_round(lanes l, __m512i k0, __m512i k1) {
  __m512i p0 = _mm512_mul_epu32(l.c0, _mm512_set1_epi64(PHILOX_M0)), p1 = _mm512_mul_epu32(l.c2, _mm512_set1_epi64(PHILOX_M1));
  lanes o = {_mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), l.c1, k0, 0x96), p1,
             _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), l.c3, k1, 0x96), p0};
  return o;
}
static inline uint32_t lanes_bits(lanes l, uint32_t th) {
  const __m512i t = _mm512_set1_epi64((long long)((uint64_t)th << 32));
  uint32_t a = _mm512_cmpge_epu64_mask(_mm512_slli_epi64(l.c0, 32), t), b = _mm512_cmpge_epu64_mask(_mm512_slli_epi64(l.c1, 32), t);
  uint32_t c = _mm512_cmpge_epu64_mask(_mm512_slli_epi64(l.c2, 32), t), d = _mm512_cmpge_epu64_mask(_mm512_slli_epi64(l.c3, 32), t);
  return a | b << 8 | c << 16 | d << 24;
}
// Four words at once hide the latency of the products.
static inline void keep_words4(uint32_t *out, uint64_t block, uint32_t k0, uint32_t k1, uint32_t r0, uint32_t r1, uint32_t th) {
  lanes a = lanes_of(block, r0, r1), b = lanes_of(block + 8, r0, r1), c = lanes_of(block + 16, r0, r1), d = lanes_of(block + 24, r0, r1);
  for (int r = 0; r < 10; r++) {
    __m512i q0 = _mm512_set1_epi64(k0), q1 = _mm512_set1_epi64(k1);
    a = lanes_round(a, q0, q1);
    b = lanes_round(b, q0, q1);
    c = lanes_round(c, q0, q1);
    d = lanes_round(d, q0, q1);
    k0 += PHILOX_W0;
    k1 += PHILOX_W1;
  }
  out[0] = lanes_bits(a, th);
  out[1] = lanes_bits(b, th);
  out[2] = lanes_bits(c, th);
  out[3] = lanes_bits(d, th);
}
static inline uint32_t keep_word(uint64_t block, uint32_t k0, uint32_t k1, uint32_t r0, uint32_t r1, uint32_t th) {
  lanes a = lanes_of(block, r0, r1);
  for (int r = 0; r < 10; r++) {
    a = lanes_round(a, _mm512_set1_epi64(k0), _mm512_set1_epi64(k1));
    k0 += PHILOX_W0;
    k1 += PHILOX_W1;
  }
  return lanes_bits(a, th);
}
#elif defined(PHILOX_AVX2)
static inline uint32_t ge4(__m256i c, __m256i t) {
  // Unsigned >= by the signed comparison of values moved by 2^63.
  __m256i v = _mm256_xor_si256(_mm256_slli_epi64(c, 32), _mm256_set1_epi64x((long long)0x8000000000000000ull));
  return 15u & ~(uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(t, v)));
}
static inline uint32_t keep_word(uint64_t block, uint32_t k0, uint32_t k1, uint32_t r0, uint32_t r1, uint32_t th) {
  const __m256i m0 = _mm256_set1_epi64x(PHILOX_M0), m1 = _mm256_set1_epi64x(PHILOX_M1);
  const __m256i t = _mm256_set1_epi64x((long long)(((uint64_t)th << 32) ^ 0x8000000000000000ull));
  uint32_t out = 0;
  for (int half = 0; half < 2; half++) {
    uint32_t q0 = k0, q1 = k1;
    __m256i b = _mm256_add_epi64(_mm256_set1_epi64x((long long)(block + 4 * (uint64_t)half)), _mm256_set_epi64x(3, 2, 1, 0));
    __m256i c0 = b, c1 = _mm256_srli_epi64(b, 32), c2 = _mm256_set1_epi64x(r0), c3 = _mm256_set1_epi64x(r1);
    for (int r = 0; r < 10; r++) {
      __m256i p0 = _mm256_mul_epu32(c0, m0), p1 = _mm256_mul_epu32(c2, m1);
      c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), c1), _mm256_set1_epi64x(q0));
      c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), c3), _mm256_set1_epi64x(q1));
      c1 = p1;
      c3 = p0;
      q0 += PHILOX_W0;
      q1 += PHILOX_W1;
    }
    uint32_t w = ge4(c0, t) | ge4(c1, t) << 8 | ge4(c2, t) << 16 | ge4(c3, t) << 24;
    out |= w << (4 * half);
  }
  return out;
}
#else
static inline uint32_t keep_word(uint64_t block, uint32_t k0, uint32_t k1, uint32_t r0, uint32_t r1, uint32_t th) {
  uint32_t out = 0;
  for (int lane = 0; lane < 8; lane++) {
    uint32_t c[4] = {(uint32_t)(block + (uint64_t)lane), (uint32_t)((block + (uint64_t)lane) >> 32), r0, r1};
    philox_block(c, k0, k1);
    for (int j = 0; j < 4; j++) out |= (uint32_t)(c[j] >= th) << (8 * j + lane);
  }
  return out;
}
#endif

static void keep(uint32_t *bits, int64_t n, uint64_t word0, uint64_t key, uint64_t row, uint32_t threshold) {
  int64_t w = 0;
#if defined(PHILOX_AVX512)
  for (; w + 4 <= n; w += 4)
    keep_words4(bits + w, 8 * (word0 + (uint64_t)w), (uint32_t)key, (uint32_t)(key >> 32), (uint32_t)row, (uint32_t)(row >> 32), threshold);
#endif
  for (; w < n; w++)
    bits[w] = keep_word(8 * (word0 + (uint64_t)w), (uint32_t)key, (uint32_t)(key >> 32), (uint32_t)row, (uint32_t)(row >> 32), threshold);
}

// One word of bits as 32 floats, each scale or 0.
static inline void expand32(float *y, uint32_t bits, float scale) {
#if defined(PHILOX_AVX512)
  __m512 s = _mm512_set1_ps(scale);
  _mm512_storeu_ps(y, _mm512_maskz_mov_ps((__mmask16)bits, s));
  _mm512_storeu_ps(y + 16, _mm512_maskz_mov_ps((__mmask16)(bits >> 16), s));
#else
  for (int i = 0; i < 32; i++) y[i] = (bits >> i) & 1u ? scale : 0.0f;
#endif
}

static void adam(float *p, float *m, float *v, const float *g, int64_t n, float decay, float w1, float b2, float w2, float size, float root,
                 float eps) {
#pragma omp simd
  for (int64_t j = 0; j < n; j++) {
    float x = g ? g[j] : 0.0f, a = m[j] + w1 * (x - m[j]), q = v[j] * b2 + w2 * x * x;
    m[j] = a;
    v[j] = q;
    p[j] = p[j] * decay - size * a / (__builtin_sqrtf(q) / root + eps);
  }
}

static float squares(const float *x, int64_t n) {
  float s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t j = 0; j < n; j++) s += x[j] * x[j];
  return s;
}

// The loops below see a row in blocks of 32; BLOCK runs body for elements
// i+j, 0 <= j < m, with f[j] = scale or 0 when bits are given.
#define BLOCKS(n) for (int64_t i = 0, m = (n) < 32 ? (n) : 32; i < (n); i += 32, m = (n)-i < 32 ? (n)-i : 32)

#define T float
#define SFX f32
#include "kernels_typed.h"
#undef T
#undef SFX
#define T uint16_t
#define SFX bf16
#include "kernels_typed.h"
#undef T
#undef SFX

const islm_kernels CAT(islm_kernels, ISA) = {
    ISA_NAME,          keep,         adam,              squares,
    drop_f32,          softmax_f32,  softmax_back_f32,  norm_f32,  norm_back_f32,
    drop_bf16,         softmax_bf16, softmax_back_bf16, norm_bf16, norm_back_bf16,
};
