//go:build torch

package torch

import (
	"math"

	"github.com/islm-dev/islm/core/torch/internal/shim"
	"github.com/sugarme/gotch/libtch"
)

// Sum adds over the given dimensions, or over all when none is given. Integers
// and bools give int64, floats their own type.
func (x *Tensor) Sum(dims ...int64) *Tensor { return x.sum(false, dims) }

// SumKeep is Sum with the reduced dimensions kept at size one.
func (x *Tensor) SumKeep(dims ...int64) *Tensor { return x.sum(true, dims) }

// Mean averages floats over the given dimensions, or over all.
func (x *Tensor) Mean(dims ...int64) *Tensor { return x.mean(false, dims) }

// MeanKeep is Mean with the reduced dimensions kept at size one.
func (x *Tensor) MeanKeep(dims ...int64) *Tensor { return x.mean(true, dims) }

// Max is the largest element along dim and its int64 index.
func (x *Tensor) Max(dim int) (values, indices *Tensor) {
	return gotch2("max", func(out *handle) { libtch.AtgMaxDim(out, handle(x.c), int64(dim), 0) }, x)
}

// Min is the smallest element along dim and its int64 index.
func (x *Tensor) Min(dim int) (values, indices *Tensor) {
	return gotch2("min", func(out *handle) { libtch.AtgMinDim(out, handle(x.c), int64(dim), 0) }, x)
}

// MaxAll is the largest element.
func (x *Tensor) MaxAll() *Tensor { return unary("max", libtch.AtgMax, x) }

// MinAll is the smallest element.
func (x *Tensor) MinAll() *Tensor { return unary("min", libtch.AtgMin, x) }

// ArgMax is the int64 index of the largest element along dim.
func (x *Tensor) ArgMax(dim int) *Tensor {
	return gotch("argmax", func(out *handle) { libtch.AtgArgmax(out, handle(x.c), int64(dim), 0, 0) }, x)
}

// LogSumExp is log(sum(exp(x))) along dim, without overflow.
func (x *Tensor) LogSumExp(dim int, keep bool) *Tensor {
	return gotch("logsumexp", func(out *handle) { libtch.AtgLogsumexp(out, handle(x.c), []int64{int64(dim)}, 1, cflag(keep)) }, x)
}

// TopK is the k largest elements along dim, descending, and their indices.
func (x *Tensor) TopK(k int64, dim int) (values, indices *Tensor) {
	return gotch2("topk", func(out *handle) { libtch.AtgTopk(out, handle(x.c), k, int64(dim), 1, 1) }, x)
}

// Sort orders elements along dim and gives their indices too.
func (x *Tensor) Sort(dim int, descending bool) (values, indices *Tensor) {
	return gotch2("sort", func(out *handle) { libtch.AtgSort(out, handle(x.c), int64(dim), cflag(descending)) }, x)
}

// CumSum adds up along dim.
func (x *Tensor) CumSum(dim int) *Tensor {
	return gotch("cumsum", func(out *handle) { libtch.AtgCumsum(out, handle(x.c), int64(dim), int32(sumType(x.DType()))) }, x)
}

// Any says whether an element is non-zero, as a bool scalar tensor.
func (x *Tensor) Any() *Tensor { return unary("any", libtch.AtgAny, x) }

// All says whether every element is non-zero, as a bool scalar tensor.
func (x *Tensor) All() *Tensor { return unary("all", libtch.AtgAll, x) }

// Norm is the p-norm along dim.
func (x *Tensor) Norm(p float64, dim int, keep bool) *Tensor {
	return call("linalg_vector_norm", func(out *shim.Handle) string { return shim.VectorNorm(out, x.c, p, int64(dim), keep) }, x)
}

// Normalize divides by the 2-norm along dim, at least 1e-12.
func (x *Tensor) Normalize(dim int) *Tensor {
	return x.Div(x.Norm(2, dim, true).Clamp(1e-12, math.Inf(1)))
}

// CosineSimilarity of x and y along dim; norms are at least eps.
func CosineSimilarity(x, y *Tensor, dim int, eps float64) *Tensor {
	return gotch("cosine_similarity", func(out *handle) { libtch.AtgCosineSimilarity(out, handle(x.c), handle(y.c), int64(dim), eps) }, x, y)
}

func (x *Tensor) sum(keep bool, dims []int64) *Tensor {
	return gotch("sum", func(out *handle) {
		d := int32(sumType(x.DType()))
		if len(dims) == 0 && !keep {
			libtch.AtgSum(out, handle(x.c), d)
			return
		}
		libtch.AtgSumDimIntlist(out, handle(x.c), list(dims), len(dims), cflag(keep), d)
	}, x)
}

func (x *Tensor) mean(keep bool, dims []int64) *Tensor {
	return gotch("mean", func(out *handle) {
		d := int32(x.DType())
		if len(dims) == 0 && !keep {
			libtch.AtgMean(out, handle(x.c), d)
			return
		}
		libtch.AtgMeanDim(out, handle(x.c), list(dims), len(dims), cflag(keep), d)
	}, x)
}

func sumType(d DType) DType {
	if d.IsFloat() {
		return d
	}
	return Int64
}
