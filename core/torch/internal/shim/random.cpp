//go:build torch

// Philox streams, dropout, and the fused steps of an encoder layer that use it.
#include "shim.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
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

// Under autocast, operands of a custom function are cast before it.
Tensor lower(const Tensor &x) {
  auto d = x.device().type();
  if (!at::autocast::is_autocast_enabled(d) || x.scalar_type() != at::kFloat) return x;
  return x.to(at::autocast::get_autocast_dtype(d));
}
struct NoAutocast {
  c10::impl::ExcludeDispatchKeyGuard cpu{c10::DispatchKey::AutocastCPU}, cuda{c10::DispatchKey::AutocastCUDA};
};
bool has_kernels(const Tensor &x) { return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16); }
const uint32_t *bits_of(const Tensor &t) { return t.defined() ? reinterpret_cast<const uint32_t *>(t.data_ptr<int>()) : nullptr; }
uint16_t *half_of(const Tensor &t) { return static_cast<uint16_t *>(t.data_ptr()); }

// Attention's probabilities are numbered (head, i, j) with strides of 2^32,
// 2^16 and 1, whatever the padded width.
uint64_t probs_word(int64_t h, int64_t i) { return ((uint64_t)h << 27) | ((uint64_t)i << 11); }

Tensor probs_bits(const Drop &d, int64_t batch, int64_t heads, int64_t queries, int64_t keys) {
  int64_t w = words(keys);
  Tensor bits = at::empty({batch * heads * queries, w}, at::kInt);
  auto *out = reinterpret_cast<uint32_t *>(bits.data_ptr<int>());
  const auto *rows = d.rows.data_ptr<int64_t>();
  uint32_t th = threshold(d.p);
  at::parallel_for(0, batch * heads * queries, 16, [&](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++)
      K().keep(out + r * w, w, probs_word(r / queries % heads, r % queries), d.key, rows[r / queries / heads], th);
  });
  return bits;
}

// q, k, v [B, H, S or K, D] of one type with kernels.
struct AttentionFn : public torch::autograd::Function<AttentionFn> {
  static Tensor forward(AutogradContext *ctx, const Tensor &q, const Tensor &k, const Tensor &v, const std::optional<Tensor> &bias,
                        double scale, const Drop &d) {
    NoAutocast off;
    Tensor mask = bias.value_or(Tensor());
    int64_t B = q.size(0), H = q.size(1), S = q.size(2), D = q.size(3), J = k.size(2), w = words(J);
    bool keep = q.requires_grad() || k.requires_grad() || v.requires_grad(), half = q.scalar_type() == at::kBFloat16;
    Tensor q3 = q.reshape({B * H, S, D}), k3 = k.reshape({B * H, J, D}), v3 = v.reshape({B * H, J, v.size(3)});
    Tensor probs = at::bmm(q3, k3.transpose(1, 2));
    Tensor dropped = d.on() ? at::empty_like(probs) : probs;
    Tensor bits = d.on() ? at::empty({keep ? B * H * S : at::get_num_threads(), w}, at::kInt) : Tensor();
    Tensor m = mask.defined() ? mask.to(at::kFloat).expand({B, H, S, J}) : mask;
    if (m.defined() && m.stride(3) != 1) m = mask.to(at::kFloat).expand({-1, -1, -1, J}).contiguous().expand({B, H, S, J});
    const float *mp = m.defined() ? m.data_ptr<float>() : nullptr;
    int64_t m0 = mp ? m.stride(0) : 0, m1 = mp ? m.stride(1) : 0, m2 = mp ? m.stride(2) : 0;
    const int64_t *rows = d.on() ? d.rows.data_ptr<int64_t>() : nullptr;
    auto *bp = d.on() ? reinterpret_cast<uint32_t *>(bits.data_ptr<int>()) : nullptr;
    uint32_t th = threshold(d.p);
    float inv = d.scale();
    char *pp = static_cast<char *>(probs.data_ptr()), *dp = static_cast<char *>(dropped.data_ptr());
    at::parallel_for(0, B * H * S, 64, [&](int64_t from, int64_t to) {
      std::vector<float> scratch(J);
      for (int64_t r = from; r < to; r++) {
        int64_t i = r % S, h = r / S % H, b = r / S / H;
        const float *mr = mp ? mp + b * m0 + h * m1 + i * m2 : nullptr;
        uint32_t *br = nullptr;
        if (bp) {
          br = bp + (keep ? r : at::get_thread_num()) * w;
          K().keep(br, w, probs_word(h, i), d.key, rows[b], th);
        }
        if (half) {
          auto *x = reinterpret_cast<uint16_t *>(pp) + r * J, *y = reinterpret_cast<uint16_t *>(dp) + r * J;
          K().softmax_bf16(x, y, x, mr, br, J, (float)scale, inv, scratch.data());
        } else {
          auto *x = reinterpret_cast<float *>(pp) + r * J, *y = reinterpret_cast<float *>(dp) + r * J;
          K().softmax_f32(x, y, x, mr, br, J, (float)scale, inv, scratch.data());
        }
      }
    });
    Tensor out = at::bmm(dropped, v3).view({B, H, S, v.size(3)});
    if (keep) {
      ctx->save_for_backward({q3, k3, v3, probs, dropped, bits});
      ctx->saved_data["scale"] = scale;
      ctx->saved_data["inv"] = (double)inv;
      ctx->saved_data["shape"] = std::vector<int64_t>{B, H, S, J};
    }
    return out;
  }
  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    NoAutocast off;
    auto saved = ctx->get_saved_variables();
    const Tensor &q3 = saved[0], &k3 = saved[1], &v3 = saved[2], &probs = saved[3], &dropped = saved[4], &bits = saved[5];
    auto shape = ctx->saved_data["shape"].toIntVector();
    int64_t B = shape[0], H = shape[1], S = shape[2], J = shape[3], w = words(J);
    float scale = (float)ctx->saved_data["scale"].toDouble(), inv = (float)ctx->saved_data["inv"].toDouble();
    Tensor g = grads[0].to(q3.scalar_type()).reshape({B * H, S, v3.size(2)});
    Tensor dv = at::bmm(dropped.transpose(1, 2), g);
    Tensor ds = at::bmm(g, v3.transpose(1, 2));
    const uint32_t *bp = bits_of(bits);
    bool half = q3.scalar_type() == at::kBFloat16;
    char *sp = static_cast<char *>(ds.data_ptr());
    const char *pp = static_cast<const char *>(probs.data_ptr());
    at::parallel_for(0, B * H * S, 64, [&](int64_t from, int64_t to) {
      std::vector<float> scratch(J);
      for (int64_t r = from; r < to; r++) {
        const uint32_t *br = bp ? bp + r * w : nullptr;
        if (half) {
          auto *x = reinterpret_cast<uint16_t *>(sp) + r * J;
          K().softmax_back_bf16(x, x, reinterpret_cast<const uint16_t *>(pp) + r * J, br, J, scale, inv, scratch.data());
        } else {
          auto *x = reinterpret_cast<float *>(sp) + r * J;
          K().softmax_back_f32(x, x, reinterpret_cast<const float *>(pp) + r * J, br, J, scale, inv, scratch.data());
        }
      }
    });
    Tensor dq = at::bmm(ds, k3).view({B, H, S, q3.size(2)});
    Tensor dk = at::bmm(ds.transpose(1, 2), q3).view({B, H, J, k3.size(2)});
    return {dq, dk, dv.view({B, H, J, v3.size(2)}), Tensor(), Tensor(), Tensor()};
  }
};

Tensor attention(Tensor q, Tensor k, Tensor v, const Tensor &mask, double scale, const Drop &d) {
  q = lower(q), k = lower(k), v = lower(v);
  TORCH_CHECK(q.dim() == 4 && k.dim() == 4 && v.dim() == 4, "q, k and v need four dimensions");
  TORCH_CHECK(!mask.defined() || mask.is_floating_point(), "the mask is ", mask.scalar_type(), "; it is added, so it must be float");
  TORCH_CHECK(k.size(2) <= 65536 && q.size(2) <= 65536, "more than 65536 positions");
  if (has_kernels(q) && q.scalar_type() == k.scalar_type() && q.scalar_type() == v.scalar_type() && q.numel() > 0 && k.numel() > 0)
    return AttentionFn::apply(q, k, v, mask.defined() ? std::optional<Tensor>(mask) : std::nullopt, scale, d);
  Tensor s = at::matmul(q, k.transpose(-1, -2)) * scale;
  if (mask.defined()) s = s + mask.to(s.options());
  Tensor w = at::softmax(s, -1);
  if (d.on()) {
    int64_t B = w.size(0), H = w.size(1), I = w.size(2), J = w.size(3);
    w = BitsFn::apply(w.reshape({B * H * I, J}), probs_bits(d, B, H, I, J), d.scale()).view({B, H, I, J});
  }
  return at::matmul(w.to(v.scalar_type()), v);
}

// x [B, …, n], res of the same shape in float, w and b [n] in float.
struct NormFn : public torch::autograd::Function<NormFn> {
  static variable_list forward(AutogradContext *ctx, const Tensor &x, const Tensor &res, const Tensor &w, const Tensor &b, double eps,
                               const Drop &d) {
    NoAutocast off;
    int64_t n = x.size(-1), N = x.numel() / n, per = N / x.size(0), wd = n / 32;
    bool half = x.scalar_type() == at::kBFloat16;
    Tensor xc = x.contiguous(), rc = res.contiguous(), wc = w.contiguous(), bc = b.contiguous();
    Tensor y = at::empty(x.sizes(), at::kFloat), sum = at::empty(x.sizes(), at::kFloat), stats = at::empty({2, N}, at::kFloat);
    Tensor y16 = half ? at::empty(x.sizes(), at::kBFloat16) : Tensor();
    Tensor bits = d.on() ? at::empty({N, wd}, at::kInt) : Tensor();
    float *yp = y.data_ptr<float>(), *sp = sum.data_ptr<float>(), *mean = stats.data_ptr<float>(), *rstd = mean + N;
    const float *rp = rc.data_ptr<float>(), *wp = wc.data_ptr<float>(), *bp = bc.data_ptr<float>();
    auto *kp = d.on() ? reinterpret_cast<uint32_t *>(bits.data_ptr<int>()) : nullptr;
    const int64_t *rows = d.on() ? d.rows.data_ptr<int64_t>() : nullptr;
    uint32_t th = threshold(d.p);
    float inv = d.scale();
    at::parallel_for(0, N, std::max<int64_t>(1, 8192 / n), [&](int64_t from, int64_t to) {
      for (int64_t r = from; r < to; r++) {
        uint32_t *k = kp ? kp + r * wd : nullptr;
        if (k) K().keep(k, wd, (uint64_t)(r % per * wd), d.key, rows[r / per], th);
        if (half)
          K().norm_bf16(yp + r * n, half_of(y16) + r * n, sp + r * n, half_of(xc) + r * n, rp + r * n, k, wp, bp, n, (float)eps, inv, mean + r, rstd + r);
        else
          K().norm_f32(yp + r * n, nullptr, sp + r * n, xc.data_ptr<float>() + r * n, rp + r * n, k, wp, bp, n, (float)eps, inv, mean + r, rstd + r);
      }
    });
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({sum, stats, wc, bits});
    ctx->saved_data["inv"] = (double)inv;
    ctx->saved_data["half"] = half;
    if (half) return {y, y16};
    return {y};
  }
  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    NoAutocast off;
    auto saved = ctx->get_saved_variables();
    const Tensor &sum = saved[0], &stats = saved[1], &w = saved[2], &bits = saved[3];
    bool half = ctx->saved_data["half"].toBool();
    float inv = (float)ctx->saved_data["inv"].toDouble();
    Tensor gy = grads[0].defined() ? grads[0].to(at::kFloat).contiguous() : Tensor();
    Tensor gh = grads.size() > 1 && grads[1].defined() ? grads[1].to(at::kBFloat16).contiguous() : Tensor();
    if (!gy.defined() && !gh.defined()) return {Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
    int64_t n = sum.size(-1), N = sum.numel() / n, wd = n / 32;
    // Partial sums over a fixed number of parts: the same for any thread count.
    int64_t parts = std::min<int64_t>(N, 16);
    Tensor dw = at::zeros({parts, n}, at::kFloat), db = at::zeros({parts, n}, at::kFloat);
    Tensor dres = at::empty_like(sum), dx = half ? at::empty(sum.sizes(), at::kBFloat16) : (bits.defined() ? at::empty_like(sum) : dres);
    const float *mean = stats.data_ptr<float>(), *rstd = mean + N, *gp = gy.defined() ? gy.data_ptr<float>() : nullptr;
    const uint16_t *hp = gh.defined() ? half_of(gh) : nullptr;
    const uint32_t *kp = bits_of(bits);
    at::parallel_for(0, parts, 1, [&](int64_t from, int64_t to) {
      std::vector<float> scratch(n);
      for (int64_t part = from; part < to; part++) {
        float *dwp = dw.data_ptr<float>() + part * n, *dbp = db.data_ptr<float>() + part * n;
        for (int64_t r = part * N / parts; r < (part + 1) * N / parts; r++) {
          const uint32_t *k = kp ? kp + r * wd : nullptr;
          const float *g = gp ? gp + r * n : nullptr, *s = sum.data_ptr<float>() + r * n;
          const uint16_t *h = hp ? hp + r * n : nullptr;
          float *dr = dres.data_ptr<float>() + r * n;
          if (half)
            K().norm_back_bf16(half_of(dx) + r * n, dr, dwp, dbp, g, h, s, w.data_ptr<float>(), k, n, mean[r], rstd[r], inv, scratch.data());
          else
            K().norm_back_f32(dx.data_ptr<float>() + r * n, dr, dwp, dbp, g, h, s, w.data_ptr<float>(), k, n, mean[r], rstd[r], inv, scratch.data());
        }
      }
    });
    return {dx, dres, dw.sum(0), db.sum(0), Tensor(), Tensor()};
  }
};

// The second result is the first in x's type where that is narrower, else undefined.
std::pair<Tensor, Tensor> add_norm(const Tensor &x, const Tensor &res, const Tensor &w, const Tensor &b, double eps, const Drop &d) {
  int64_t n = x.dim() ? x.size(-1) : 0;
  TORCH_CHECK(x.dim() >= 2 && x.sizes() == res.sizes(), "x and the residual differ in shape");
  TORCH_CHECK(w.numel() == n && b.numel() == n, "weights of ", w.numel(), " and ", b.numel(), " numbers for ", n, " features");
  bool plain = w.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat && res.is_cpu() && res.scalar_type() != at::kDouble;
  if (has_kernels(x) && plain && x.numel() > 0 && (!d.on() || n % 32 == 0)) {
    auto y = NormFn::apply(x, res.to(at::kFloat), w, b, eps, d);
    return {y[0], y.size() > 1 ? y[1] : Tensor()};
  }
  Tensor y = at::layer_norm(res + dropout(x, d), {n}, w, b, eps);
  bool narrower = y.scalar_type() == at::kFloat && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf);
  return {y, narrower ? y.to(x.scalar_type()) : Tensor()};
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

char *islm_attention(islm_tensor *out, islm_tensor q, islm_tensor k, islm_tensor v, islm_tensor mask, double scale,
                     double p, const islm_mask_key *key, islm_tensor rows) {
  GUARD(Drop d = make_drop(p, key, rows, T(q).size(0));
        *out = new Tensor(attention(T(q), T(k), T(v), mask ? T(mask) : Tensor(), scale, d)))
}

char *islm_add_norm(islm_tensor *out, islm_tensor *narrow, islm_tensor x, islm_tensor residual, islm_tensor w, islm_tensor b,
                    double eps, double p, const islm_mask_key *key, islm_tensor rows) {
  GUARD(Drop d = make_drop(p, key, rows, T(x).size(0)); auto y = add_norm(T(x), T(residual), T(w), T(b), eps, d);
        *out = new Tensor(y.first); *narrow = y.second.defined() ? new Tensor(y.second) : nullptr)
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
