//go:build torch

// Products in float32 on processors where libtorch's BLAS is slow. The wheel's
// MKL takes its AVX2 path on processors that are not Intel's; oneDNN, which lies
// in the same library, compiles its kernels for what the processor has. On a
// Zen 5 it does 250 GF/s per core where MKL does 110.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/torch.h>

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "linear.h"

namespace {
using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Below so many multiplications the call costs more than the product gains.
constexpr int64_t kSmallest = 1 << 20;

bool slow_blas() {
#if defined(__x86_64__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx)) return false;
  char vendor[13] = {};
  std::memcpy(vendor, &ebx, 4);
  std::memcpy(vendor + 4, &edx, 4);
  std::memcpy(vendor + 8, &ecx, 4);
  return std::strcmp(vendor, "GenuineIntel") != 0 && __builtin_cpu_supports("avx512f");
#else
  return false;
#endif
}

// oneDNN's inner product as libtorch registers it for its own compiler; absent
// in builds without oneDNN.
const std::optional<c10::OperatorHandle> &inner_product() {
  static const std::optional<c10::OperatorHandle> op =
      slow_blas() ? c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""}) : std::nullopt;
  return op;
}

// Rows or columns without gaps, which is what oneDNN is asked to read.
Tensor dense(const Tensor &t) { return t.is_contiguous() || t.t().is_contiguous() ? t : t.contiguous(); }

// x [m, k] times the transpose of w [n, k], plus b [n] or nothing.
Tensor product(const Tensor &x, const Tensor &w, const std::optional<Tensor> &b) {
  torch::jit::Stack stack{dense(x), dense(w), b, std::string("none"),
                          c10::List<std::optional<at::Scalar>>(), std::optional<std::string>()};
  inner_product()->callBoxed(stack);
  return stack[0].toTensor();
}

bool plain(const Tensor &t) { return t.device().is_cpu() && t.scalar_type() == at::kFloat && t.layout() == at::kStrided; }

bool worth(const Tensor &x, const Tensor &w, int64_t m, int64_t k, int64_t n) {
  return plain(x) && plain(w) && m > 0 && m * k * n >= kSmallest && !at::autocast::is_autocast_enabled(at::kCPU) && inner_product().has_value();
}

struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &w, const std::optional<Tensor> &b) {
    ctx->save_for_backward({x, w});
    ctx->saved_data["bias"] = b.has_value();
    at::AutoDispatchBelowADInplaceOrView guard;
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = w.size(0);
    return product(x.reshape({-1, x.size(-1)}), w, b).view(shape);
  }
  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1];
    at::AutoDispatchBelowADInplaceOrView guard;
    Tensor g = grads[0].reshape({-1, w.size(0)}), gx, gw, gb;
    if (ctx->needs_input_grad(0)) gx = product(g, w.t(), std::nullopt).view(x.sizes());
    if (ctx->needs_input_grad(1)) gw = product(g.t(), x.reshape({-1, x.size(-1)}).t(), std::nullopt);
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2)) gb = g.sum(0);
    return {gx, gw, gb};
  }
};

struct Product : torch::autograd::Function<Product> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &y) {
    ctx->save_for_backward({x, y});
    at::AutoDispatchBelowADInplaceOrView guard;
    return product(x, y.t(), std::nullopt);
  }
  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &y = saved[1], &g = grads[0];
    at::AutoDispatchBelowADInplaceOrView guard;
    Tensor gx, gy;
    if (ctx->needs_input_grad(0)) gx = product(g, y, std::nullopt);
    if (ctx->needs_input_grad(1)) gy = product(x.t(), g.t(), std::nullopt);
    return {gx, gy};
  }
};
} // namespace

Tensor islm_linear_of(const Tensor &x, const Tensor &w, const std::optional<Tensor> &b) {
  if (x.dim() < 2 || w.dim() != 2 || x.size(-1) != w.size(1) || (b && (!plain(*b) || b->dim() != 1 || b->size(0) != w.size(0))) ||
      !worth(x, w, x.size(-1) ? x.numel() / x.size(-1) : 0, w.size(1), w.size(0)))
    return at::linear(x, w, b);
  return Linear::apply(x, w, b);
}

Tensor islm_matmul_of(const Tensor &x, const Tensor &y) {
  if (x.dim() != 2 || y.dim() != 2 || x.size(1) != y.size(0) || !worth(x, y, x.size(0), x.size(1), y.size(1))) return at::matmul(x, y);
  return Product::apply(x, y);
}
