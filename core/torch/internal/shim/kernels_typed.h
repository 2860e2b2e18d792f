// The kernels for one element type T with suffix SFX.
#define N(x) CAT(x, SFX)
#define UP CAT(up, SFX)
#define DOWN CAT(down, SFX)

static void N(drop)(T *y, const T *x, const uint32_t *bits, int64_t n, float scale) {
  float f[32];
  BLOCKS(n) {
    expand32(f, bits[i >> 5], scale);
    if (m == 32) {
      for (int j = 0; j < 32; j++) y[i + j] = DOWN(f[j] == 0.0f ? 0.0f : UP(x[i + j]) * f[j]);
    } else {
      for (int64_t j = 0; j < m; j++) y[i + j] = DOWN(f[j] == 0.0f ? 0.0f : UP(x[i + j]) * f[j]);
    }
  }
}

static void N(softmax)(T *probs, T *dropped, const T *scores, const float *mask, const uint32_t *bits, int64_t n,
                       float scale, float inv, float *e) {
  float top = -__builtin_inff();
  if (mask) {
#pragma omp simd reduction(max : top)
    for (int64_t j = 0; j < n; j++) {
      float v = UP(scores[j]) * scale + mask[j];
      e[j] = v;
      top = v > top ? v : top;
    }
  } else {
#pragma omp simd reduction(max : top)
    for (int64_t j = 0; j < n; j++) {
      float v = UP(scores[j]) * scale;
      e[j] = v;
      top = v > top ? v : top;
    }
  }
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; j++) {
    float v = exp_neg(e[j] - top);
    e[j] = v;
    sum += v;
  }
  float norm = 1.0f / sum;
#pragma omp simd
  for (int64_t j = 0; j < n; j++) {
    e[j] *= norm;
    probs[j] = DOWN(e[j]);
  }
  if (!bits) return;
  float f[32];
  BLOCKS(n) {
    expand32(f, bits[i >> 5], inv);
    if (m == 32) {
      for (int j = 0; j < 32; j++) dropped[i + j] = DOWN(e[i + j] * f[j]);
    } else {
      for (int64_t j = 0; j < m; j++) dropped[i + j] = DOWN(e[i + j] * f[j]);
    }
  }
}

static void N(softmax_back)(T *ds, const T *dd, const T *probs, const uint32_t *bits, int64_t n, float scale, float inv,
                            float *dp) {
  if (bits) {
    float f[32];
    BLOCKS(n) {
      expand32(f, bits[i >> 5], inv);
      if (m == 32) {
        for (int j = 0; j < 32; j++) dp[i + j] = UP(dd[i + j]) * f[j];
      } else {
        for (int64_t j = 0; j < m; j++) dp[i + j] = UP(dd[i + j]) * f[j];
      }
    }
  } else {
    for (int64_t j = 0; j < n; j++) dp[j] = UP(dd[j]);
  }
  float t = 0;
#pragma omp simd reduction(+ : t)
  for (int64_t j = 0; j < n; j++) t += dp[j] * UP(probs[j]);
#pragma omp simd
  for (int64_t j = 0; j < n; j++) ds[j] = DOWN(UP(probs[j]) * (dp[j] - t) * scale);
}

static void N(norm)(float *y, uint16_t *y16, float *sum, const T *x, const float *res, const uint32_t *bits, const float *w,
                    const float *b, int64_t n, float eps, float inv, float *mean, float *rstd) {
  if (bits) {
    float f[32];
    BLOCKS(n) {
      expand32(f, bits[i >> 5], inv);
      if (m == 32) {
        for (int j = 0; j < 32; j++) sum[i + j] = res[i + j] + UP(x[i + j]) * f[j];
      } else {
        for (int64_t j = 0; j < m; j++) sum[i + j] = res[i + j] + UP(x[i + j]) * f[j];
      }
    }
  } else {
    for (int64_t j = 0; j < n; j++) sum[j] = res[j] + UP(x[j]);
  }
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t j = 0; j < n; j++) total += sum[j];
  float mu = total / (float)n, var = 0;
#pragma omp simd reduction(+ : var)
  for (int64_t j = 0; j < n; j++) {
    float d = sum[j] - mu;
    var += d * d;
  }
  float r = 1.0f / __builtin_sqrtf(var / (float)n + eps);
  *mean = mu;
  *rstd = r;
#pragma omp simd
  for (int64_t j = 0; j < n; j++) y[j] = (sum[j] - mu) * r * w[j] + b[j];
  if (y16) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++) y16[j] = down_bf16(y[j]);
  }
}

static void N(norm_back)(T *dx, float *dres, float *dw, float *db, const float *gy, const uint16_t *gy16, const float *sum,
                         const float *w, const uint32_t *bits, int64_t n, float mean, float rstd, float inv, float *g) {
  if (gy && gy16) {
    for (int64_t j = 0; j < n; j++) g[j] = gy[j] + up_bf16(gy16[j]);
  } else if (gy) {
    for (int64_t j = 0; j < n; j++) g[j] = gy[j];
  } else {
    for (int64_t j = 0; j < n; j++) g[j] = up_bf16(gy16[j]);
  }
  float s1 = 0, s2 = 0;
#pragma omp simd reduction(+ : s1, s2)
  for (int64_t j = 0; j < n; j++) {
    float h = (sum[j] - mean) * rstd, u = g[j] * w[j];
    dw[j] += g[j] * h;
    db[j] += g[j];
    s1 += u;
    s2 += u * h;
  }
  s1 /= (float)n;
  s2 /= (float)n;
#pragma omp simd
  for (int64_t j = 0; j < n; j++) dres[j] = rstd * (g[j] * w[j] - s1 - (sum[j] - mean) * rstd * s2);
  if (bits) {
    float f[32];
    BLOCKS(n) {
      expand32(f, bits[i >> 5], inv);
      if (m == 32) {
        for (int j = 0; j < 32; j++) dx[i + j] = DOWN(dres[i + j] * f[j]);
      } else {
        for (int64_t j = 0; j < m; j++) dx[i + j] = DOWN(dres[i + j] * f[j]);
      }
    }
  } else {
    for (int64_t j = 0; j < n; j++) dx[j] = DOWN(dres[j]);
  }
}
#undef N
#undef UP
#undef DOWN
