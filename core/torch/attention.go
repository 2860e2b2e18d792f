//go:build torch

package torch

import (
	"math"

	"github.com/islm-dev/islm/core/torch/internal/shim"
)

// AddNorm is LayerNorm(residual + Dropout(x, p, m), w, b) in one pass. The
// result is float32 also when x is bfloat16, as under autocast.
func AddNorm(x, residual, w, b *Tensor, eps, p float64, m Mask) *Tensor {
	y, _ := addNorm(x, residual, w, b, eps, p, m, false)
	return y
}

// AddNormPair is AddNorm with a second result, the first in x's type: the one
// goes on as residual, the other into the next product without a cast. Where
// nothing is narrower, both are the same tensor.
func AddNormPair(x, residual, w, b *Tensor, eps, p float64, m Mask) (y, narrow *Tensor) {
	return addNorm(x, residual, w, b, eps, p, m, true)
}

func addNorm(x, residual, w, b *Tensor, eps, p float64, m Mask, pair bool) (y, narrow *Tensor) {
	var c shim.Handle
	operands := []*Tensor{x, residual, w, b}
	var rows shim.Handle
	if p > 0 {
		operands = append(operands, m.Rows)
		rows = m.Rows.h("add_norm")
	}
	y = call("add_norm", func(out *shim.Handle) string {
		return shim.AddNorm(out, &c, x.c, residual.c, w.c, b.c, eps, p, m.key(), rows)
	}, operands...)
	switch {
	case c == nil:
		return y, y
	case !pair:
		shim.FreeMany([]shim.Handle{c})
		return y, nil
	}
	return y, wrap("add_norm", c)
}

// Attention is softmax(q·kᵀ·scale + mask)·v with dropout of the probabilities:
// q [B, H, S, D], k and v [B, H, K, D], mask nil or additive and float,
// broadcastable to [B, H, S, K] (usually [B, 1, 1, K], 0 where a key counts and
// a large negative number where not). scale 0 means 1/√D.
func Attention(q, k, v, mask *Tensor, scale, p float64, m Mask) *Tensor {
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(q.Size(-1)))
	}
	if p <= 0 {
		return call("attention", func(out *shim.Handle) string {
			return shim.Attention(out, q.c, k.c, v.c, mask.o("attention"), scale, 0, m.key(), nil)
		}, q, k, v)
	}
	return call("attention", func(out *shim.Handle) string {
		return shim.Attention(out, q.c, k.c, v.c, mask.o("attention"), scale, p, m.key(), m.Rows.c)
	}, q, k, v, m.Rows)
}
