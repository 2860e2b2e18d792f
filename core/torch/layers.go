//go:build torch

package torch

import (
	"github.com/islm-dev/islm/core/torch/internal/shim"
	"github.com/sugarme/gotch/libtch"
)

// Linear is x·wᵀ + b over the last dimension: x […, in], w [out, in], b [out] or nil.
func Linear(x, w, b *Tensor) *Tensor {
	return call("linear", func(out *shim.Handle) string { return shim.Linear(out, x.c, w.c, b.o("linear")) }, x, w)
}

// Embedding takes rows of w [n, h] by int64 ids of any shape: […, h]. The
// gradient of a large float32 table on the CPU is dense to look at, but clearing
// it, ClipGradNorm and Adam pass only over the rows that were used.
func Embedding(w, ids *Tensor) *Tensor {
	return call("embedding", func(out *shim.Handle) string { return shim.Embedding(out, w.c, ids.c) }, w, ids)
}

// LayerNorm normalizes the last dimension (Ba, Kiros, Hinton 2016); w and b may be nil.
func LayerNorm(x, w, b *Tensor, eps float64) *Tensor {
	h := x.Size(-1)
	return gotch("layer_norm", func(out *handle) {
		libtch.AtgLayerNorm(out, handle(x.c), []int64{h}, 1, handle(w.o("layer_norm")), handle(b.o("layer_norm")), eps, 0)
	}, x)
}

// RMSNorm divides the last dimension by its root mean square; w may be nil.
func RMSNorm(x, w *Tensor, eps float64) *Tensor {
	return call("rms_norm", func(out *shim.Handle) string { return shim.RMSNorm(out, x.c, w.o("rms_norm"), eps) }, x)
}

// Gelu is x·Φ(x) with the exact normal distribution (erf).
func (x *Tensor) Gelu() *Tensor {
	return call("gelu", func(out *shim.Handle) string { return shim.Gelu(out, x.c, false) }, x)
}

// GeluTanh is Gelu's tanh approximation ("gelu_new").
func (x *Tensor) GeluTanh() *Tensor {
	return call("gelu", func(out *shim.Handle) string { return shim.Gelu(out, x.c, true) }, x)
}

// Tanh is the hyperbolic tangent.
func (x *Tensor) Tanh() *Tensor { return unary("tanh", libtch.AtgTanh, x) }

// Relu is max(x, 0).
func (x *Tensor) Relu() *Tensor { return unary("relu", libtch.AtgRelu, x) }

// Silu is x·sigmoid(x).
func (x *Tensor) Silu() *Tensor { return unary("silu", libtch.AtgSilu, x) }

// Sigmoid is 1/(1 + e to the power -x).
func (x *Tensor) Sigmoid() *Tensor { return unary("sigmoid", libtch.AtgSigmoid, x) }

// LogSigmoid is log(sigmoid(x)), without overflow.
func (x *Tensor) LogSigmoid() *Tensor { return unary("log_sigmoid", libtch.AtgLogSigmoid, x) }

// Softmax along dim, in x's type.
func (x *Tensor) Softmax(dim int) *Tensor {
	return gotch("softmax", func(out *handle) { libtch.AtgSoftmax(out, handle(x.c), int64(dim), int32(x.DType())) }, x)
}

// LogSoftmax along dim, in x's type.
func (x *Tensor) LogSoftmax(dim int) *Tensor {
	return gotch("log_softmax", func(out *handle) { libtch.AtgLogSoftmax(out, handle(x.c), int64(dim), int32(x.DType())) }, x)
}
