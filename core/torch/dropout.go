//go:build torch

package torch

import (
	"hash/fnv"
	"math"

	"github.com/islm-dev/islm/core/torch/internal/shim"
)

// Mask names the dropout masks of one place in the model at one step. Rows
// holds the key of each example of the batch, int64 [B] on the CPU.
type Mask struct {
	Seed, Stream, Step, Layer uint64
	Rows                      *Tensor
}

// Dropout sets elements of x [B, …] to zero with probability p in [0, 1) and
// divides the others by 1-p. The mask is a function of m and of the element's
// index within its row, so an element keeps its fate under any batching,
// padding at the end of dimension 1, and thread count. p at most 0 returns x.
func Dropout(x *Tensor, p float64, m Mask) *Tensor {
	if p <= 0 {
		return x
	}
	return call("dropout", func(out *shim.Handle) string { return shim.Dropout(out, x.c, p, m.key(), m.Rows.c) }, x, m.Rows)
}

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

// InitNormal fills t with normal numbers that depend on seed and name only.
func InitNormal(t *Tensor, seed uint64, name string, mean, std float64) {
	if e := shim.InitNormal(t.h("init_normal"), seed, nameKey(name), mean, std); e != "" {
		fail("init_normal", e, t)
	}
}

// InitUniform fills t with uniform numbers in (lo, hi) that depend on seed and
// name only.
func InitUniform(t *Tensor, seed uint64, name string, lo, hi float64) {
	if e := shim.InitUniform(t.h("init_uniform"), seed, nameKey(name), lo, hi); e != "" {
		fail("init_uniform", e, t)
	}
}

// Philox4x32 is one block of the generator (10 rounds).
func Philox4x32(counter [4]uint32, key [2]uint32) [4]uint32 { return shim.PhiloxBlock(counter, key) }

func (m Mask) key() shim.MaskKey {
	return shim.MaskKey{Seed: m.Seed, Stream: m.Stream, Step: m.Step, Layer: m.Layer}
}

func nameKey(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// sdpa is libtorch's own fused attention, without dropout.
func sdpa(q, k, v, mask *Tensor, scale float64) *Tensor {
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(q.Size(-1)))
	}
	return call("scaled_dot_product_attention", func(out *shim.Handle) string {
		return shim.SDPA(out, q.c, k.c, v.c, mask.o("scaled_dot_product_attention"), scale)
	}, q, k, v)
}
