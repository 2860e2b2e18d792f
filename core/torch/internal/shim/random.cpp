//go:build torch

// Philox streams, dropout, and the fused steps of an encoder layer that use it.
#include "shim.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <cmath>
#include <cstring>

#include "kernels.h"
#include "philox.h"

namespace {
using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

#define GUARD(...)                                                                                                     \
  try {                                                                                                                \
    __VA_ARGS__;                                                                                                       \
    return nullptr;                                                                                                    \
  } catch (const c10::Error &e) {                                                                                      \
    return strdup(e.what_without_backtrace());                                                                         \
  } catch (const std::exception &e) {                                                                                  \
    return strdup(e.what());                                                                                           \
  }
Tensor &T(islm_tensor t) { return *static_cast<Tensor *>(t); }

const islm_kernels &K() { return *islm_pick_kernels(); }

// The key of one mask: a Philox block over what names it.
uint64_t mask_key(const islm_mask_key &m) {
  uint32_t c[4] = {(uint32_t)m.stream, (uint32_t)m.step, (uint32_t)(m.step >> 32), (uint32_t)m.layer};
  philox_block(c, (uint32_t)m.seed, (uint32_t)(m.seed >> 32));
  return (uint64_t)c[1] << 32 | c[0];
}
uint32_t threshold(double p) {
  double t = std::nearbyint(p * 4294967296.0);
  return t >= 4294967295.0 ? 4294967295u : (uint32_t)t;
}
int64_t words(int64_t n) { return (n + 31) / 32; }

struct Drop {
  double p = 0;
  uint64_t key = 0;
  Tensor rows;
  bool on() const { return p > 0; }
  float scale() const { return p >= 1 ? 0.0f : (float)(1.0 / (1.0 - p)); }
};
Drop make_drop(double p, const islm_mask_key *key, islm_tensor rows, int64_t batch) {
  Drop d;
  if (p <= 0) return d;
  TORCH_CHECK(p < 1, "dropout probability ", p, " is not in [0, 1)");
  d.p = p;
  d.key = mask_key(*key);
  d.rows = T(rows).to(at::kCPU, at::kLong).contiguous();
  TORCH_CHECK(d.rows.numel() == batch, "dropout has ", d.rows.numel(), " row keys for ", batch, " rows");
  return d;
}

// One bit per element of [B, n], rows padded to whole words.
Tensor keep_bits(const Drop &d, int64_t batch, int64_t n) {
  int64_t w = words(n);
  Tensor bits = at::empty({batch, w}, at::kInt);
  auto *out = reinterpret_cast<uint32_t *>(bits.data_ptr<int>());
  const auto *rows = d.rows.data_ptr<int64_t>();
  uint32_t th = threshold(d.p);
  const int64_t chunk = 256;
  int64_t per = (w + chunk - 1) / chunk;
  at::parallel_for(0, batch * per, 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
      int64_t b = i / per, w0 = (i % per) * chunk;
      K().keep(out + b * w + w0, std::min(chunk, w - w0), w0, d.key, rows[b], th);
    }
  });
  return bits;
}

Tensor apply_bits(const Tensor &x, const Tensor &bits, float scale) {
  int64_t batch = bits.size(0), w = bits.size(1);
  if (x.is_cuda() || (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16)) {
    Tensor f = at::empty({batch, x.numel() / batch}, at::kFloat);
    Tensor one = at::ones({x.numel() / batch}, at::kFloat);
    for (int64_t b = 0; b < batch; b++)
      K().drop_f32(f[b].data_ptr<float>(), one.data_ptr<float>(), reinterpret_cast<const uint32_t *>(bits.data_ptr<int>()) + b * w, f.size(1), scale);
    return x * f.view(x.sizes()).to(x.options());
  }
  Tensor in = x.contiguous(), out = at::empty_like(in);
  int64_t n = in.numel() / batch;
  const auto *bp = reinterpret_cast<const uint32_t *>(bits.data_ptr<int>());
  const int64_t chunk = 8192;
  int64_t per = (n + chunk - 1) / chunk;
  bool half = in.scalar_type() == at::kBFloat16;
  char *op = static_cast<char *>(out.data_ptr());
  const char *ip = static_cast<const char *>(in.data_ptr());
  at::parallel_for(0, batch * per, 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
      int64_t b = i / per, e = (i % per) * chunk, m = std::min(chunk, n - e);
      const uint32_t *q = bp + b * w + e / 32;
      int64_t at = b * n + e;
      if (half) K().drop_bf16(reinterpret_cast<uint16_t *>(op) + at, reinterpret_cast<const uint16_t *>(ip) + at, q, m, scale);
      else K().drop_f32(reinterpret_cast<float *>(op) + at, reinterpret_cast<const float *>(ip) + at, q, m, scale);
    }
  });
  return out;
}

struct BitsFn : public torch::autograd::Function<BitsFn> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &bits, double scale) {
    ctx->saved_data["bits"] = bits;
    ctx->saved_data["scale"] = scale;
    return apply_bits(x, bits, (float)scale);
  }
  static variable_list backward(AutogradContext *ctx, variable_list g) {
    return {apply_bits(g[0], ctx->saved_data["bits"].toTensor(), (float)ctx->saved_data["scale"].toDouble()), Tensor(), Tensor()};
  }
};

Tensor dropout(const Tensor &x, const Drop &d) {
  if (!d.on() || x.numel() == 0) return x;
  return BitsFn::apply(x, keep_bits(d, x.size(0), x.numel() / x.size(0)), d.scale());
}

// Attention's probabilities are numbered (head, i, j) with strides of 2^32,
// 2^16 and 1, whatever the padded width.
Tensor probs_bits(const Drop &d, int64_t batch, int64_t heads, int64_t queries, int64_t keys) {
  int64_t w = words(keys);
  Tensor bits = at::empty({batch, heads, queries, w}, at::kInt);
  auto *out = reinterpret_cast<uint32_t *>(bits.data_ptr<int>());
  const auto *rows = d.rows.data_ptr<int64_t>();
  uint32_t th = threshold(d.p);
  at::parallel_for(0, batch * heads * queries, 16, [&](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      int64_t i = r % queries, h = r / queries % heads, b = r / queries / heads;
      uint64_t word0 = ((uint64_t)h << 27) | ((uint64_t)i << 11);
      K().keep(out + r * w, w, word0, d.key, rows[b], th);
    }
  });
  return bits;
}

// Weights: element e takes block e/4, word e%4 for uniform numbers; for normal
// ones a block gives two pairs (Box-Muller in double precision).
uint64_t init_key(uint64_t seed, uint64_t name) {
  islm_mask_key m{seed, 0x494e4954, name, (uint32_t)(name >> 32)};
  return mask_key(m);
}
template <class F> void init_fill(Tensor &t, uint64_t seed, uint64_t name, F f) {
  at::NoGradGuard no;
  Tensor x = at::empty(t.sizes(), at::kFloat);
  float *o = x.data_ptr<float>();
  int64_t n = x.numel();
  uint64_t key = init_key(seed, name);
  at::parallel_for(0, (n + 3) / 4, 4096, [&](int64_t from, int64_t to) {
    for (int64_t blk = from; blk < to; blk++) {
      uint32_t c[4] = {(uint32_t)blk, (uint32_t)((uint64_t)blk >> 32), 0, 0};
      philox_block(c, (uint32_t)key, (uint32_t)(key >> 32));
      float v[4];
      f(c, v);
      for (int64_t j = 0; j < 4 && 4 * blk + j < n; j++) o[4 * blk + j] = v[j];
    }
  });
  t.copy_(x);
}
} // namespace

extern "C" {
void islm_philox_block(const uint32_t *ctr, const uint32_t *key, uint32_t *out) {
  std::memcpy(out, ctr, 16);
  philox_block(out, key[0], key[1]);
}

char *islm_dropout(islm_tensor *out, islm_tensor x, double p, const islm_mask_key *key, islm_tensor rows) {
  GUARD(Drop d = make_drop(p, key, rows, T(x).dim() ? T(x).size(0) : 1); *out = new Tensor(dropout(T(x), d)))
}

char *islm_attention(islm_tensor *out, islm_tensor qt, islm_tensor kt, islm_tensor vt, islm_tensor mask, double scale,
                     double p, const islm_mask_key *key, islm_tensor rows) {
  GUARD(const Tensor &q = T(qt), &k = T(kt), &v = T(vt); Drop d = make_drop(p, key, rows, q.size(0));
        Tensor s = at::matmul(q, k.transpose(-1, -2)) * scale; if (mask) s = s + T(mask);
        Tensor w = at::softmax(s, -1);
        if (d.on()) {
          int64_t B = q.size(0), H = q.size(1), I = q.size(2), J = k.size(2);
          w = BitsFn::apply(w.reshape({B * H * I, J}), probs_bits(d, B, H, I, J).view({B * H * I, words(J)}), d.scale()).view({B, H, I, J});
        }
        *out = new Tensor(at::matmul(w, v)))
}

char *islm_add_norm(islm_tensor *out, islm_tensor x, islm_tensor residual, islm_tensor w, islm_tensor b, double eps,
                    double p, const islm_mask_key *key, islm_tensor rows) {
  GUARD(Drop d = make_drop(p, key, rows, T(x).size(0)); Tensor y = T(residual) + dropout(T(x), d); int64_t h = y.size(-1);
        *out = new Tensor(at::layer_norm(y, {h}, T(w), T(b), eps)))
}

char *islm_init_normal(islm_tensor t, uint64_t seed, uint64_t name, double mean, double std) {
  GUARD(init_fill(T(t), seed, name, [=](const uint32_t *c, float *v) {
    for (int j = 0; j < 4; j += 2) {
      double u = (c[j] + 0.5) * (1.0 / 4294967296.0), a = 6.283185307179586 * (c[j + 1] * (1.0 / 4294967296.0));
      double r = std::sqrt(-2.0 * std::log(u));
      v[j] = (float)(mean + std * r * std::cos(a));
      v[j + 1] = (float)(mean + std * r * std::sin(a));
    }
  }))
}
char *islm_init_uniform(islm_tensor t, uint64_t seed, uint64_t name, double lo, double hi) {
  GUARD(init_fill(T(t), seed, name, [=](const uint32_t *c, float *v) {
    for (int j = 0; j < 4; j++) v[j] = (float)(lo + (hi - lo) * ((c[j] + 0.5) * (1.0 / 4294967296.0)));
  }))
}

char *islm_viterbi(islm_tensor *out, islm_tensor scores, islm_tensor mask, islm_tensor start, islm_tensor end, islm_tensor trans) {
  GUARD(at::NoGradGuard no; Tensor s = T(scores).to(at::kCPU, at::kFloat).contiguous();
        Tensor m = T(mask).to(at::kCPU, at::kBool).contiguous(); Tensor st = T(start).to(at::kCPU, at::kFloat).contiguous();
        Tensor en = T(end).to(at::kCPU, at::kFloat).contiguous(); Tensor tr = T(trans).to(at::kCPU, at::kFloat).contiguous();
        int64_t B = s.size(0), L = s.size(1), N = s.size(2);
        TORCH_CHECK(m.dim() == 2 && m.size(0) == B && m.size(1) == L, "mask is not [", B, ", ", L, "]");
        TORCH_CHECK(st.numel() == N && en.numel() == N && tr.numel() == N * N, "CRF of ", N, " tags has other sizes");
        Tensor path = at::full({B, L}, -1, at::kLong);
        at::parallel_for(0, B, 1, [&](int64_t from, int64_t to) {
          std::vector<float> a(N), c(N);
          std::vector<int32_t> back(L * N);
          std::vector<int64_t> pos;
          for (int64_t b = from; b < to; b++) {
            const float *sb = s.data_ptr<float>() + b * L * N;
            const bool *mb = m.data_ptr<bool>() + b * L;
            pos.clear();
            for (int64_t t = 0; t < L; t++)
              if (mb[t]) pos.push_back(t);
            if (pos.empty()) continue;
            for (int64_t j = 0; j < N; j++) a[j] = st.data_ptr<float>()[j] + sb[pos[0] * N + j];
            for (size_t u = 1; u < pos.size(); u++) {
              for (int64_t j = 0; j < N; j++) {
                int32_t best = 0;
                float top = -INFINITY;
                for (int64_t i = 0; i < N; i++) {
                  float v = a[i] + tr.data_ptr<float>()[i * N + j];
                  if (v > top) top = v, best = (int32_t)i;
                }
                c[j] = top + sb[pos[u] * N + j];
                back[u * N + j] = best;
              }
              a.swap(c);
            }
            int64_t last = 0;
            for (int64_t j = 1; j < N; j++)
              if (a[j] + en.data_ptr<float>()[j] > a[last] + en.data_ptr<float>()[last]) last = j;
            int64_t *pb = path.data_ptr<int64_t>() + b * L;
            for (size_t u = pos.size(); u-- > 0;) {
              pb[pos[u]] = last;
              if (u) last = back[u * N + last];
            }
          }
        });
        *out = new Tensor(path))
}
} // extern "C"
