//go:build torch

// The C++ side of core/torch: everything that is glue over ATen. The loops that
// touch every element lie in kernels_body.h.
#include "shim.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/Version.h>
#include <ATen/native/transformers/attention.h>
#include <dlfcn.h>
#include <malloc.h>
#include <torch/torch.h>
#include <torch/version.h>

#include "linear.h"
#include "rows.h"

#include <cstring>
#include <string>
#include <vector>

namespace {
using at::Tensor;

thread_local bool owns = false;

char *message(const std::exception &e) {
  const auto *ce = dynamic_cast<const c10::Error *>(&e);
  return strdup(ce ? ce->what_without_backtrace() : e.what());
}
#define GUARD(...)                                                                                                     \
  try {                                                                                                                \
    __VA_ARGS__;                                                                                                       \
    return nullptr;                                                                                                    \
  } catch (const std::exception &e) {                                                                                  \
    return message(e);                                                                                                 \
  } catch (...) {                                                                                                      \
    return strdup("unknown C++ exception");                                                                            \
  }

Tensor &T(islm_tensor t) { return *static_cast<Tensor *>(t); }
std::optional<Tensor> opt(islm_tensor t) {
  return t ? std::optional<Tensor>(T(t)) : std::nullopt;
}
void give(islm_tensor *out, Tensor t) { *out = new Tensor(std::move(t)); }
at::Device device_of(int d) { return d < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(d)); }
std::vector<Tensor> list(void **ts, int n) {
  std::vector<Tensor> out;
  out.reserve(n);
  for (int i = 0; i < n; i++) out.push_back(T(ts[i]));
  return out;
}
} // namespace

extern "C" {

void islm_claim_thread(int own) { owns = own != 0; }
int islm_owns_thread(void) { return owns; }
void islm_free_many(void **ts, int64_t n) {
  for (int64_t i = 0; i < n; i++) delete static_cast<Tensor *>(ts[i]);
}
// Blocks of a few MB, as activations are, come by default from mmap and go back
// at once, so that each is paid for in page faults at every step. One arena that
// keeps them is faster and does not grow, because every step asks for the same.
void islm_tune_malloc(void) {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  mallopt(M_TOP_PAD, 16 << 20);
}
void islm_trim_malloc(void) { malloc_trim(0); }
int islm_num_threads(void) { return at::get_num_threads(); }
char *islm_set_num_threads(int n) { GUARD(at::set_num_threads(n)) }
char *islm_version(void) { return strdup(TORCH_VERSION); }
char *islm_cpu_capability(void) { GUARD(return strdup(at::get_cpu_capability().c_str())) }

void islm_info(islm_tensor t, int64_t *shape, int *ndim, int *dtype, int *device, int *flags) {
  Tensor &x = T(t);
  if (!x.defined()) {
    *ndim = -1;
    return;
  }
  int n = static_cast<int>(x.dim());
  *ndim = n;
  for (int i = 0; i < n && i < 16; i++) shape[i] = x.size(i);
  *dtype = static_cast<int>(x.scalar_type());
  *device = x.is_cuda() ? x.get_device() : -1;
  *flags = (x.requires_grad() ? 1 : 0) | (x.is_contiguous() ? 2 : 0) | (x.is_leaf() ? 4 : 0);
}
char *islm_from_data(islm_tensor *out, const void *data, int64_t nbytes, const int64_t *shape, int ndim, int dtype) {
  GUARD(Tensor t = at::empty(at::IntArrayRef(shape, ndim), at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype)));
        TORCH_CHECK(static_cast<int64_t>(t.nbytes()) == nbytes, "got ", nbytes, " bytes of data for a shape that needs ", t.nbytes());
        if (nbytes > 0) std::memcpy(t.data_ptr(), data, nbytes); give(out, t))
}
char *islm_full(islm_tensor *out, double value, const int64_t *shape, int ndim, int dtype, int device) {
  GUARD(give(out, at::full(at::IntArrayRef(shape, ndim), at::Scalar(value),
                           at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype)).device(device_of(device)))))
}
char *islm_arange(islm_tensor *out, int64_t n, int device) {
  GUARD(give(out, at::arange(n, at::TensorOptions().dtype(at::kLong).device(device_of(device)))))
}
char *islm_read(islm_tensor t, void *dst, int64_t nbytes, int dtype) {
  GUARD(at::NoGradGuard no;
        Tensor x = T(t).detach().to(at::kCPU, static_cast<at::ScalarType>(dtype)).contiguous();
        TORCH_CHECK(static_cast<int64_t>(x.nbytes()) == nbytes, "got room for ", nbytes, " bytes, need ", x.nbytes());
        if (nbytes > 0) std::memcpy(dst, x.data_ptr(), nbytes))
}
char *islm_item(islm_tensor t, double *out) { GUARD(*out = T(t).item().toDouble()) }
char *islm_to(islm_tensor *out, islm_tensor t, int dtype, int device) {
  GUARD(give(out, T(t).to(device_of(device), static_cast<at::ScalarType>(dtype))))
}
char *islm_copy_into(islm_tensor dst, islm_tensor src) { GUARD(T(dst).copy_(T(src))) }
char *islm_add_into(islm_tensor dst, islm_tensor src, double alpha) { GUARD(T(dst).add_(T(src), alpha)) }
char *islm_scale_into(islm_tensor dst, double f) { GUARD(T(dst).mul_(f)) }
char *islm_fill_into(islm_tensor dst, double v) { GUARD(T(dst).fill_(v)) }
char *islm_clone(islm_tensor *out, islm_tensor t) { GUARD(give(out, T(t).clone())) }
char *islm_same_storage(islm_tensor a, islm_tensor b, int *same) { GUARD(*same = T(a).is_alias_of(T(b))) }

char *islm_gelu(islm_tensor *out, islm_tensor x, int tanh_form) { GUARD(give(out, at::gelu(T(x), tanh_form ? "tanh" : "none"))) }
char *islm_clamp(islm_tensor *out, islm_tensor x, double lo, double hi) { GUARD(give(out, at::clamp(T(x), lo, hi))) }
char *islm_scalar_op(islm_tensor *out, int op, islm_tensor xt, double v) {
  GUARD(
      const Tensor &x = T(xt);
      // An integer tensor with a whole number stays an integer tensor.
      at::Scalar s = (c10::isIntegralType(x.scalar_type(), false) && v == std::floor(v) && op != 3)
                         ? at::Scalar(static_cast<int64_t>(v))
                         : at::Scalar(v);
      switch (op) {
        case 0: give(out, at::add(x, s)); break;
        case 1: give(out, at::sub(x, s)); break;
        case 2: give(out, at::mul(x, s)); break;
        case 3: give(out, at::div(x, s)); break;
        case 4: give(out, at::pow(x, s)); break;
        case 5: give(out, at::eq(x, s)); break;
        case 6: give(out, at::ne(x, s)); break;
        case 7: give(out, at::lt(x, s)); break;
        case 8: give(out, at::le(x, s)); break;
        case 9: give(out, at::gt(x, s)); break;
        case 10: give(out, at::ge(x, s)); break;
        case 11: give(out, at::rsub(x, s)); break;
        default: TORCH_CHECK(false, "no scalar op ", op);
      })
}
char *islm_vector_norm(islm_tensor *out, islm_tensor x, double p, int64_t dim, int keep) {
  GUARD(give(out, at::linalg_vector_norm(T(x), p, at::IntArrayRef(dim), keep != 0)))
}
char *islm_sdpa(islm_tensor *out, islm_tensor q, islm_tensor k, islm_tensor v, islm_tensor mask, double scale) {
  GUARD(give(out, at::scaled_dot_product_attention(T(q), T(k), T(v), opt(mask), 0.0, false, scale)))
}
char *islm_rms_norm(islm_tensor *out, islm_tensor x, islm_tensor w, double eps) {
  GUARD(int64_t h = T(x).size(-1); give(out, at::rms_norm(T(x), {h}, opt(w), eps)))
}
char *islm_split(islm_tensor *out, int n, islm_tensor x, int64_t size, int64_t dim) {
  GUARD(auto parts = at::split(T(x), size, dim);
        TORCH_CHECK(static_cast<int>(parts.size()) == n, "split gives ", parts.size(), " parts, not ", n);
        for (int i = 0; i < n; i++) give(out + i, parts[i]))
}

int islm_grad_enabled(void) { return at::GradMode::is_enabled(); }
void islm_set_grad_enabled(int on) { at::GradMode::set_enabled(on != 0); }
char *islm_set_requires_grad(islm_tensor t, int on) { GUARD(T(t).set_requires_grad(on != 0)) }
char *islm_backward(islm_tensor loss, islm_tensor grad) { GUARD(T(loss).backward(grad ? T(grad) : Tensor())) }
char *islm_grad(islm_tensor t, islm_tensor *out) {
  GUARD(const Tensor &g = T(t).grad(); *out = nullptr; if (g.defined()) give(out, g))
}
char *islm_set_grad(islm_tensor t, islm_tensor grad) { GUARD(T(t).mutable_grad() = grad ? T(grad) : Tensor()) }
char *islm_clear_grads(void **ts, int n) { GUARD(for (int i = 0; i < n; i++) T(ts[i]).mutable_grad().reset()) }
char *islm_autocast_set(int device, int on, int dtype, int *was_on, int *was_dtype) {
  GUARD(at::DeviceType d = device < 0 ? at::kCPU : at::kCUDA; *was_on = at::autocast::is_autocast_enabled(d);
        *was_dtype = static_cast<int>(at::autocast::get_autocast_dtype(d)); at::autocast::set_autocast_enabled(d, on != 0);
        at::autocast::set_autocast_dtype(d, static_cast<at::ScalarType>(dtype)))
}
void islm_autocast_clear(void) { at::autocast::clear_cache(); }

char *islm_adam_step(int decoupled, void **params, void **m, void **v, void **steps, int n, double lr, double beta1,
                     double beta2, double wd, double eps) {
  GUARD(at::NoGradGuard no; std::vector<Tensor> p, g, ms, vs, st; auto counts = list(steps, n); at::_foreach_add_(counts, 1);
        for (int i = 0; i < n; i++) {
          const Tensor &x = T(params[i]);
          islm_rows *rows = decoupled || wd == 0 ? islm_rows_of(x) : nullptr;
          if (rows) {
            islm_rows_adam(x, T(m[i]), T(v[i]), *rows, counts[i].item().toDouble(), lr, beta1, beta2, wd, eps);
            continue;
          }
          islm_rows_forget(T(m[i]));
          p.push_back(x);
          g.push_back(x.grad().contiguous());
          ms.push_back(T(m[i]));
          vs.push_back(T(v[i]));
          st.push_back(counts[i]);
        } if (p.empty()) return nullptr;
        if (decoupled) at::_fused_adamw_(p, g, ms, vs, {}, st, lr, beta1, beta2, wd, eps, false, false);
        else at::_fused_adam_(p, g, ms, vs, {}, st, lr, beta1, beta2, wd, eps, false, false))
}
char *islm_sgd_step(void **params, void **bufs, uint8_t *first, int n, double lr, double momentum, double wd, int nesterov) {
  GUARD(at::NoGradGuard no; for (int i = 0; i < n; i++) {
    Tensor &p = T(params[i]);
    Tensor g = p.grad();
    if (wd != 0) g = g.add(p, wd);
    if (momentum != 0) {
      Tensor &b = T(bufs[i]);
      if (first[i]) b.copy_(g);
      else b.mul_(momentum).add_(g);
      g = nesterov ? g.add(b, momentum) : b;
    }
    p.add_(g, -lr);
  })
}
// The joint norm; grads are those to scale, rows those of which only some rows count.
static double total_norm(void **params, int n, std::vector<Tensor> &grads, std::vector<islm_rows *> &rows) {
  for (int i = 0; i < n; i++) {
    const Tensor &g = T(params[i]).grad();
    if (!g.defined()) continue;
    if (islm_rows *r = islm_rows_of(T(params[i]))) rows.push_back(r);
    else grads.push_back(g.detach());
  }
  std::vector<Tensor> norms;
  if (!grads.empty()) norms = at::_foreach_norm(grads, 2);
  at::Device where = grads.empty() ? at::Device(at::kCPU) : grads[0].device();
  for (auto &x : norms) x = x.to(where);
  for (auto *r : rows) norms.push_back(at::scalar_tensor(islm_rows_norm(*r), at::TensorOptions().dtype(at::kFloat).device(where)));
  return norms.empty() ? 0 : at::linalg_vector_norm(at::stack(norms), 2).item().toDouble();
}
char *islm_grad_norm(void **params, int n, double *norm) {
  GUARD(at::NoGradGuard no; std::vector<Tensor> g; std::vector<islm_rows *> r; *norm = total_norm(params, n, g, r))
}
char *islm_clip_grad_norm(void **params, int n, double max_norm, double *norm) {
  GUARD(at::NoGradGuard no; std::vector<Tensor> g; std::vector<islm_rows *> r; *norm = total_norm(params, n, g, r);
        float c = static_cast<float>(max_norm) / (static_cast<float>(*norm) + 1e-6f);
        // A coefficient of one changes nothing: the pass over memory is saved. Infinity and NaN go through, as in PyTorch.
        if (c >= 1.0f) return nullptr;
        if (!g.empty()) at::_foreach_mul_(g, c);
        for (auto *x : r) islm_rows_scale(*x, c))
}
char *islm_linear(islm_tensor *out, islm_tensor x, islm_tensor w, islm_tensor b) {
  GUARD(give(out, islm_linear_of(T(x), T(w), opt(b))))
}
char *islm_matmul(islm_tensor *out, islm_tensor x, islm_tensor y) { GUARD(give(out, islm_matmul_of(T(x), T(y)))) }
char *islm_embedding(islm_tensor *out, islm_tensor w, islm_tensor ids) { GUARD(give(out, islm_rows_embedding(T(w), T(ids)))) }
} // extern "C"
