//go:build torch

package torch

import "github.com/sugarme/gotch/libtch"

// Operators that overwrite their first operand, for gradients that are worked
// out by hand. None may be called on a tensor that autograd recorded.

// SoftmaxInPlace replaces t by its softmax along dim.
func (t *Tensor) SoftmaxInPlace(dim int) {
	inPlace("softmax_out", func(out *handle) {
		libtch.AtgSoftmaxIntOut(out, handle(t.c), handle(t.c), int64(dim), int32(t.DType()))
	}, t)
}

// IndexAddInPlace adds the slices of src to those of t that the int64 vector
// index names along dim; a slice that is named twice gets both. On the CPU they
// are added in the order of index.
func (t *Tensor) IndexAddInPlace(dim int, index, src *Tensor) {
	inPlace("index_add_", func(out *handle) {
		libtch.AtgIndexAdd_(out, handle(t.c), int64(dim), handle(index.c), handle(src.c))
	}, t, index, src)
}

// MulInPlace multiplies t by y, broadcast, element by element.
func (t *Tensor) MulInPlace(y *Tensor) {
	inPlace("mul_", func(out *handle) { libtch.AtgMul_(out, handle(t.c), handle(y.c)) }, t, y)
}

// inPlace runs an operator that returns one of its operands, and drops that
// second handle.
func inPlace(op string, f func(out *handle), operands ...*Tensor) {
	gotch(op, f, operands...).Free()
}
