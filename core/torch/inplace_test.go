//go:build torch

package torch

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInPlace(t *testing.T) {
	do(t, func() {
		live := Live()
		s := Open()
		x := FromFloat32([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
		view := x.Narrow(0, 1, 2)
		view.MulInPlace(FromFloat32([]float32{10, 100}, 2, 1))
		require.Equal(t, []float32{1, 2, 30, 40, 500, 600}, x.Float32s(), "the operand itself is written")
		x.IndexAddInPlace(0, FromInt64([]int64{2, 0, 2}, 3), FromFloat32([]float32{1, 1, 2, 2, 3, 3}, 3, 2))
		require.Equal(t, []float32{3, 4, 30, 40, 504, 604}, x.Float32s(), "a slice named twice gets both")
		y := noise(1, 40, 3000)
		want := y.Softmax(-1).Float64s()
		y.SoftmaxInPlace(-1)
		near(t, want, y.Float64s(), 1e-7, "softmax")
		s.Close()
		require.Equal(t, live, Live(), "no second handle is left")
	})
}

func TestAdagrad(t *testing.T) {
	do(t, func() {
		s := Open()
		defer s.Close()
		// More rows than one block has, and a rest.
		const n, m = 2*adagradBlock/100 + 7, 100
		p, sum := noise(1, n, m), Full(1e-20, Float32, CPU, n, m)
		want, squares := p.Float64s(), make([]float64, n*m)
		for step := range 3 {
			g := noise(2+step, n, m)
			for i, v := range g.Float64s() {
				squares[i] += v * v
				want[i] -= 0.1 * v / (math.Sqrt(squares[i]) + 1e-10)
			}
			AdagradStep(p, g, sum, 0.1)
		}
		near(t, want, p.Float64s(), 1e-5, "parameters")
		near(t, squares, sum.Float64s(), 1e-5, "sums")

		still := p.Float32s()
		AdagradStep(p, Zeros(Float32, CPU, n, m), Full(1e-20, Float32, CPU, n, m), 0.1)
		require.Equal(t, still, p.Float32s(), "no gradient, no step, no NaN")
	})
	require.ErrorContains(t, Do(func() {
		s := Open()
		defer s.Close()
		AdagradStep(Ones(Float32, CPU, 2, 3), Ones(Float32, CPU, 2, 2), Ones(Float32, CPU, 2, 3), 1)
	}), "adagrad_step")
}
