//go:build torch

package torch

import "github.com/islm-dev/islm/core/torch/internal/shim"

// Mask names the dropout masks of one place in the model at one step. Rows
// holds the key of each example of the batch, int64 [B] on the CPU. The lower 32
// bits of Stream and Layer count.
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

func (m Mask) key() shim.MaskKey {
	return shim.MaskKey{Seed: m.Seed, Stream: m.Stream, Step: m.Step, Layer: m.Layer}
}
