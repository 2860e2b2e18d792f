// Products that take the faster of libtorch's two libraries. C++ only.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

// Like at::linear.
at::Tensor islm_linear_of(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &b);

// Like at::matmul; two matrices in float32 may take the other library.
at::Tensor islm_matmul_of(const at::Tensor &x, const at::Tensor &y);
