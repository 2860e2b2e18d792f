//go:build torch

package torch

import (
	"github.com/islm-dev/islm/core/torch/internal/shim"
	"github.com/sugarme/gotch/libtch"
)

// Element by element, with PyTorch's broadcasting and type promotion.

// Add is x + y.
func (x *Tensor) Add(y *Tensor) *Tensor { return binary("add", libtch.AtgAdd, x, y) }

// Sub is x - y.
func (x *Tensor) Sub(y *Tensor) *Tensor { return binary("sub", libtch.AtgSub, x, y) }

// Mul is x · y, element by element.
func (x *Tensor) Mul(y *Tensor) *Tensor { return binary("mul", libtch.AtgMul, x, y) }

// Div is x / y, floats also for integers.
func (x *Tensor) Div(y *Tensor) *Tensor { return binary("div", libtch.AtgDiv, x, y) }

// Maximum is the larger of x and y.
func (x *Tensor) Maximum(y *Tensor) *Tensor { return binary("maximum", libtch.AtgMaximum, x, y) }

// Minimum is the smaller of x and y.
func (x *Tensor) Minimum(y *Tensor) *Tensor { return binary("minimum", libtch.AtgMinimum, x, y) }

// AddScalar is x + v.
func (x *Tensor) AddScalar(v float64) *Tensor { return scalarOp("add", 0, x, v) }

// SubScalar is x - v.
func (x *Tensor) SubScalar(v float64) *Tensor { return scalarOp("sub", 1, x, v) }

// MulScalar is x · v.
func (x *Tensor) MulScalar(v float64) *Tensor { return scalarOp("mul", 2, x, v) }

// DivScalar is x / v.
func (x *Tensor) DivScalar(v float64) *Tensor { return scalarOp("div", 3, x, v) }

// Pow is x to the power v.
func (x *Tensor) Pow(v float64) *Tensor { return scalarOp("pow", 4, x, v) }

// RSubScalar is v - x.
func (x *Tensor) RSubScalar(v float64) *Tensor { return scalarOp("rsub", 11, x, v) }

// Neg is -x.
func (x *Tensor) Neg() *Tensor { return unary("neg", libtch.AtgNeg, x) }

// Exp is e to the power x.
func (x *Tensor) Exp() *Tensor { return unary("exp", libtch.AtgExp, x) }

// Log is the natural logarithm.
func (x *Tensor) Log() *Tensor { return unary("log", libtch.AtgLog, x) }

// Log1p is log(1 + x).
func (x *Tensor) Log1p() *Tensor { return unary("log1p", libtch.AtgLog1p, x) }

// Sqrt is the square root.
func (x *Tensor) Sqrt() *Tensor { return unary("sqrt", libtch.AtgSqrt, x) }

// Rsqrt is 1/√x.
func (x *Tensor) Rsqrt() *Tensor { return unary("rsqrt", libtch.AtgRsqrt, x) }

// Square is x².
func (x *Tensor) Square() *Tensor { return unary("square", libtch.AtgSquare, x) }

// Abs is |x|.
func (x *Tensor) Abs() *Tensor { return unary("abs", libtch.AtgAbs, x) }

// Sin is the sine.
func (x *Tensor) Sin() *Tensor { return unary("sin", libtch.AtgSin, x) }

// Cos is the cosine.
func (x *Tensor) Cos() *Tensor { return unary("cos", libtch.AtgCos, x) }

// Clamp limits elements to [lo, hi]; infinities leave a side open.
func (x *Tensor) Clamp(lo, hi float64) *Tensor {
	return call("clamp", func(out *shim.Handle) string { return shim.Clamp(out, x.c, lo, hi) }, x)
}

// Comparisons give bool tensors.

// Eq is x == y, as bools.
func (x *Tensor) Eq(y *Tensor) *Tensor { return binary("eq", libtch.AtgEqTensor, x, y) }

// Ne is x != y, as bools.
func (x *Tensor) Ne(y *Tensor) *Tensor { return binary("ne", libtch.AtgNeTensor, x, y) }

// Lt is x < y, as bools.
func (x *Tensor) Lt(y *Tensor) *Tensor { return binary("lt", libtch.AtgLtTensor, x, y) }

// Le is x <= y, as bools.
func (x *Tensor) Le(y *Tensor) *Tensor { return binary("le", libtch.AtgLeTensor, x, y) }

// Gt is x > y, as bools.
func (x *Tensor) Gt(y *Tensor) *Tensor { return binary("gt", libtch.AtgGtTensor, x, y) }

// Ge is x >= y, as bools.
func (x *Tensor) Ge(y *Tensor) *Tensor { return binary("ge", libtch.AtgGeTensor, x, y) }

// EqScalar is x == v, as bools.
func (x *Tensor) EqScalar(v float64) *Tensor { return scalarOp("eq", 5, x, v) }

// NeScalar is x != v, as bools.
func (x *Tensor) NeScalar(v float64) *Tensor { return scalarOp("ne", 6, x, v) }

// LtScalar is x < v, as bools.
func (x *Tensor) LtScalar(v float64) *Tensor { return scalarOp("lt", 7, x, v) }

// LeScalar is x <= v, as bools.
func (x *Tensor) LeScalar(v float64) *Tensor { return scalarOp("le", 8, x, v) }

// GtScalar is x > v, as bools.
func (x *Tensor) GtScalar(v float64) *Tensor { return scalarOp("gt", 9, x, v) }

// GeScalar is x >= v, as bools.
func (x *Tensor) GeScalar(v float64) *Tensor { return scalarOp("ge", 10, x, v) }

// And is true where both are non-zero.
func (x *Tensor) And(y *Tensor) *Tensor { return binary("logical_and", libtch.AtgLogicalAnd, x, y) }

// Or is true where one is non-zero.
func (x *Tensor) Or(y *Tensor) *Tensor { return binary("logical_or", libtch.AtgLogicalOr, x, y) }

// Not is true where x is zero.
func (x *Tensor) Not() *Tensor { return unary("logical_not", libtch.AtgLogicalNot, x) }

// IsNaN is true where x is not a number.
func (x *Tensor) IsNaN() *Tensor { return unary("isnan", libtch.AtgIsnan, x) }

// IsFinite is true where x is neither infinite nor NaN.
func (x *Tensor) IsFinite() *Tensor { return unary("isfinite", libtch.AtgIsfinite, x) }

// MatMul is the matrix product of the last two dimensions, batched over the others.
func (x *Tensor) MatMul(y *Tensor) *Tensor {
	return call("matmul", func(out *shim.Handle) string { return shim.MatMul(out, x.c, y.c) }, x, y)
}

// Where takes x where cond is true and y elsewhere.
func Where(cond, x, y *Tensor) *Tensor {
	return gotch("where", func(out *handle) { libtch.AtgWhereSelf(out, handle(cond.c), handle(x.c), handle(y.c)) }, cond, x, y)
}

// MaskedFill sets x to v where the bool tensor mask is true.
func (x *Tensor) MaskedFill(mask *Tensor, v float64) *Tensor {
	return gotch("masked_fill", func(out *handle) {
		s := libtch.AtsFloat(v)
		defer libtch.AtsFree(s)
		libtch.AtgMaskedFill(out, handle(x.c), handle(mask.c), s)
	}, x, mask)
}

func scalarOp(op string, code int, x *Tensor, v float64) *Tensor {
	return call(op, func(out *shim.Handle) string { return shim.ScalarOp(out, code, x.c, v) }, x)
}
