//go:build torch

package torch

import (
	"fmt"

	"github.com/islm-dev/islm/core/torch/internal/shim"
	"github.com/sugarme/gotch/libtch"
)

// View has x's elements in another shape without a copy; one size may be -1.
func (x *Tensor) View(shape ...int64) *Tensor {
	return gotch("view", func(out *handle) { libtch.AtgView(out, handle(x.c), list(shape), len(shape)) }, x)
}

// Reshape is View, or a copy where a view is impossible.
func (x *Tensor) Reshape(shape ...int64) *Tensor {
	return gotch("reshape", func(out *handle) { libtch.AtgReshape(out, handle(x.c), list(shape), len(shape)) }, x)
}

// Transpose exchanges two dimensions.
func (x *Tensor) Transpose(a, b int) *Tensor {
	return gotch("transpose", func(out *handle) { libtch.AtgTranspose(out, handle(x.c), int64(a), int64(b)) }, x)
}

// T exchanges the last two dimensions.
func (x *Tensor) T() *Tensor { return x.Transpose(-2, -1) }

// Permute orders the dimensions anew.
func (x *Tensor) Permute(dims ...int64) *Tensor {
	return gotch("permute", func(out *handle) { libtch.AtgPermute(out, handle(x.c), list(dims), len(dims)) }, x)
}

// Unsqueeze inserts a dimension of size one.
func (x *Tensor) Unsqueeze(dim int) *Tensor {
	return gotch("unsqueeze", func(out *handle) { libtch.AtgUnsqueeze(out, handle(x.c), int64(dim)) }, x)
}

// Squeeze removes dimension dim when its size is one.
func (x *Tensor) Squeeze(dim int) *Tensor {
	return gotch("squeeze", func(out *handle) { libtch.AtgSqueezeDim(out, handle(x.c), int64(dim)) }, x)
}

// Expand repeats dimensions of size one without a copy; -1 keeps a size.
func (x *Tensor) Expand(shape ...int64) *Tensor {
	return gotch("expand", func(out *handle) { libtch.AtgExpand(out, handle(x.c), list(shape), len(shape), 0) }, x)
}

// Repeat copies x the given number of times along each dimension.
func (x *Tensor) Repeat(times ...int64) *Tensor {
	return gotch("repeat", func(out *handle) { libtch.AtgRepeat(out, handle(x.c), list(times), len(times)) }, x)
}

// Flatten joins the dimensions from start to end, both included.
func (x *Tensor) Flatten(start, end int) *Tensor {
	return gotch("flatten", func(out *handle) { libtch.AtgFlatten(out, handle(x.c), int64(start), int64(end)) }, x)
}

// Select is the slice at index of dimension dim, without that dimension.
func (x *Tensor) Select(dim int, index int64) *Tensor {
	return gotch("select", func(out *handle) { libtch.AtgSelect(out, handle(x.c), int64(dim), index) }, x)
}

// Narrow is the part [start, start+length) of dimension dim.
func (x *Tensor) Narrow(dim int, start, length int64) *Tensor {
	return gotch("narrow", func(out *handle) { libtch.AtgNarrow(out, handle(x.c), int64(dim), start, length) }, x)
}

// Split cuts dimension dim into parts of the given size; the last may be smaller.
func (x *Tensor) Split(size int64, dim int) []*Tensor {
	if size <= 0 {
		fail("split", fmt.Sprintf("size %d is not positive", size), x)
	}
	n := int((x.Size(dim) + size - 1) / size)
	if n == 0 {
		n = 1
	}
	hs := make([]shim.Handle, n)
	if e := shim.Split(hs, x.h("split"), size, int64(dim)); e != "" {
		fail("split", e, x)
	}
	out := make([]*Tensor, n)
	for i, c := range hs {
		out[i] = wrap("split", c)
	}
	return out
}

// IndexSelect takes the slices of dimension dim that the int64 vector index names.
func (x *Tensor) IndexSelect(dim int, index *Tensor) *Tensor {
	return gotch("index_select", func(out *handle) { libtch.AtgIndexSelect(out, handle(x.c), int64(dim), handle(index.c)) }, x, index)
}

// Gather takes along dim the element that index names at each place.
func (x *Tensor) Gather(dim int, index *Tensor) *Tensor {
	return gotch("gather", func(out *handle) { libtch.AtgGather(out, handle(x.c), int64(dim), handle(index.c), 0) }, x, index)
}

// ScatterAdd adds src to a copy of x at the places that index names along dim.
func (x *Tensor) ScatterAdd(dim int, index, src *Tensor) *Tensor {
	return gotch("scatter_add", func(out *handle) {
		libtch.AtgScatterAdd(out, handle(x.c), int64(dim), handle(index.c), handle(src.c))
	}, x, index, src)
}

// IndexAdd adds the slices of src to those of a copy of x that index names.
func (x *Tensor) IndexAdd(dim int, index, src *Tensor) *Tensor {
	return gotch("index_add", func(out *handle) {
		libtch.AtgIndexAdd(out, handle(x.c), int64(dim), handle(index.c), handle(src.c))
	}, x, index, src)
}

// MaskedSelect is the vector of the elements where the bool tensor mask is true.
func (x *Tensor) MaskedSelect(mask *Tensor) *Tensor {
	return binary("masked_select", libtch.AtgMaskedSelect, x, mask)
}

// Nonzero lists the indices of non-zero elements, int64 [n, dims].
func (x *Tensor) Nonzero() *Tensor { return unary("nonzero", libtch.AtgNonzero, x) }

// OneHot turns int64 classes into int64 rows of zeros with a one.
func (x *Tensor) OneHot(classes int64) *Tensor {
	return gotch("one_hot", func(out *handle) { libtch.AtgOneHot(out, handle(x.c), classes) }, x)
}

// Tril keeps the lower triangle of the last two dimensions, up to diagonal.
func (x *Tensor) Tril(diagonal int64) *Tensor {
	return gotch("tril", func(out *handle) { libtch.AtgTril(out, handle(x.c), diagonal) }, x)
}

// Triu keeps the upper triangle of the last two dimensions, from diagonal on.
func (x *Tensor) Triu(diagonal int64) *Tensor {
	return gotch("triu", func(out *handle) { libtch.AtgTriu(out, handle(x.c), diagonal) }, x)
}

// Flip reverses the given dimensions.
func (x *Tensor) Flip(dims ...int64) *Tensor {
	return gotch("flip", func(out *handle) { libtch.AtgFlip(out, handle(x.c), list(dims), len(dims)) }, x)
}

// Cat joins tensors along an existing dimension.
func Cat(ts []*Tensor, dim int) *Tensor { return join("cat", libtch.AtgCat, ts, dim) }

// Stack joins tensors of one shape along a new dimension.
func Stack(ts []*Tensor, dim int) *Tensor { return join("stack", libtch.AtgStack, ts, dim) }

func join(op string, f func(*handle, []handle, int, int64), ts []*Tensor, dim int) *Tensor {
	if len(ts) == 0 {
		fail(op, "no tensors to join")
	}
	return gotch(op, func(out *handle) { f(out, handlesOf(op, ts), len(ts), int64(dim)) }, ts...)
}
