// Bridges gotch 0.9.1 (written for libtorch 2.1) to libtorch 2.11.
//
// gotch calls three operators with argument lists that changed since. The
// overloads below accept the old lists; nothing in islm calls them, so the two
// fp8 ones only say so. The header is forced into every C++ file of the build
// by scripts/go ("-include"), the module cache is never edited.
#pragma once
#ifdef __cplusplus
#include <torch/torch.h>

namespace torch {
using islm_compat_T = at::Tensor;

inline islm_compat_T _cslt_sparse_mm(const islm_compat_T &a, const islm_compat_T &b,
                                     const islm_compat_T &bias, bool transpose) {
  return at::_cslt_sparse_mm(
      a, b, bias.defined() ? c10::optional<islm_compat_T>(bias) : c10::nullopt, {}, {}, transpose);
}

inline std::tuple<islm_compat_T, islm_compat_T>
_scaled_mm(const islm_compat_T &, const islm_compat_T &, const islm_compat_T &,
           c10::optional<at::ScalarType>, const islm_compat_T &, const islm_compat_T &,
           const islm_compat_T &) {
  TORCH_CHECK(false, "_scaled_mm with the argument list of libtorch 2.1 is unsupported");
}

inline std::tuple<islm_compat_T, islm_compat_T>
_scaled_mm_out(const islm_compat_T &, const islm_compat_T &, const islm_compat_T &,
               const islm_compat_T &, const islm_compat_T &, c10::optional<at::ScalarType>,
               const islm_compat_T &, const islm_compat_T &, const islm_compat_T &) {
  TORCH_CHECK(false, "_scaled_mm_out with the argument list of libtorch 2.1 is unsupported");
}
} // namespace torch

// gotch's one 20,000-line file needs a third less time at O1; our shim, which
// holds hot loops, defines ISLM_SHIM and keeps -O2.
#ifndef ISLM_SHIM
#pragma GCC optimize("O1")
#endif
#endif
