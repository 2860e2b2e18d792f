//go:build torch

package torch

import (
	"fmt"
	"testing"
)

// Large products in float32 may take another library than libtorch's BLAS: they
// must give the numbers and gradients of float64, whatever the operands' layout.
func TestLargeProducts(t *testing.T) {
	const m, k, n = 96, 160, 128 // m·k·n > 2²⁰
	layouts := map[string]func(*Tensor) *Tensor{
		"rows":     func(x *Tensor) *Tensor { return x },
		"columns":  func(x *Tensor) *Tensor { return x.Transpose(0, 1).Contiguous().Transpose(0, 1) },
		"gaps":     func(x *Tensor) *Tensor { return Cat([]*Tensor{x, x}, 1).Narrow(1, 0, x.Size(1)) },
		"repeated": func(x *Tensor) *Tensor { return x.Narrow(0, 0, 1).Expand(x.Size(0), x.Size(1)) },
	}
	for name, layout := range layouts {
		for _, bias := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " bias ", bias), func(t *testing.T) {
				do(t, func() {
					run := func(dt DType) (out [][]float64) {
						s := Open()
						defer s.Close()
						leaf := func(seed int, shape ...int64) *Tensor { return noise(seed, shape...).To(dt, CPU).RequiresGrad(true) }
						x, w, b := leaf(1, m, k), leaf(2, n, k), leaf(3, n)
						with := b
						if !bias {
							with = nil
						}
						y := Linear(layout(x).View(2, m/2, k), layout(w), with)
						z := layout(y.View(m, n)).MatMul(layout(w))
						y.Square().Sum().Add(z.Square().Sum()).Backward()
						out = append(out, y.Float64s(), z.Float64s(), x.Grad().Float64s(), w.Grad().Float64s())
						if bias {
							out = append(out, b.Grad().Float64s())
						}
						// The gradient of a sum is one number repeated without memory.
						u := leaf(4, m, k)
						Linear(u, w, nil).Sum().Backward()
						return append(out, u.Grad().Float64s())
					}
					want, got := run(Float64), run(Float32)
					for i := range want {
						most := 1.0
						for _, v := range want[i] {
							most = max(most, v, -v)
						}
						near(t, want[i], got[i], 1e-5*most, fmt.Sprint("result ", i))
					}
				})
			})
		}
	}
}
