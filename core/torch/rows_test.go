//go:build torch

package torch

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A large embedding table is trained by rows; the numbers must be those of the
// ordinary path, which IndexSelect takes.
func TestEmbeddingByRows(t *testing.T) {
	const n, h = 4200, 256
	lookup := map[string]func(w, ids *Tensor) *Tensor{
		"rows":  Embedding,
		"dense": func(w, ids *Tensor) *Tensor { return w.IndexSelect(0, ids.View(-1)).View(ids.Size(0), ids.Size(1), h) },
	}
	for _, c := range []struct {
		name        string
		method      Method
		limit       float64
		micro       int
		tied, alter bool
		reload      bool
		between     bool // alter in one step between others
	}{
		{name: "adamw", method: AdamWConfig{}, limit: 1e9, micro: 1},
		{name: "clip", method: AdamWConfig{}, limit: 0.01, micro: 1},
		{name: "micro-batches", method: AdamWConfig{}, limit: 0.01, micro: 3},
		{name: "adam", method: AdamConfig{}, limit: 0.01, micro: 1},
		{name: "momentum", method: SGDConfig{Momentum: 0.9}, limit: 0.01, micro: 2},
		{name: "tied", method: AdamWConfig{}, limit: 0.01, micro: 2, tied: true},
		{name: "altered gradient", method: AdamWConfig{}, limit: 0.01, micro: 1, alter: true},
		{name: "dense between", method: AdamWConfig{}, limit: 0.01, micro: 1, between: true},
		{name: "reloaded", method: AdamWConfig{}, limit: 0.01, micro: 1, reload: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			do(t, func() {
				run := func(embed func(w, ids *Tensor) *Tensor) (norms []float64, weights []float64) {
					s := Open()
					defer s.Close()
					w := noise(1, n, h).RequiresGrad(true)
					groups := []Group{{Params: []*Tensor{w}, Names: []string{"w"}, WeightDecay: 0.1}}
					o := NewOptimizer(c.method, groups)
					defer func() { o.Free() }()
					for step := range 5 {
						s := Open()
						for k := range c.micro {
							ids := make([]int64, 2*9)
							for i := range ids {
								ids[i] = int64((i*i*31 + 977*step*(i%3) + k*5) % n) // some twice
							}
							y := embed(w, FromInt64(ids, 2, 9)).Mul(noise(2+k, 2, 9, h))
							if c.tied {
								y = Linear(y, w.Narrow(0, 0, h), nil).MulScalar(0.01)
							}
							y.Square().Sum().Backward()
						}
						if c.alter || c.between && step == 1 {
							w.Grad().AddInPlace(Ones(Float32, CPU, n, h), 0.5)
						}
						norms = append(norms, GradNorm([]*Tensor{w}), ClipGradNorm([]*Tensor{w}, c.limit), GradNorm([]*Tensor{w}))
						o.Step(0.01)
						o.ZeroGrad()
						require.Nil(t, w.Grad())
						if c.reload && step == 2 {
							next := NewOptimizer(c.method, groups)
							require.NoError(t, next.Load(o.State()))
							o.Free()
							o = next
						}
						s.Close()
					}
					return norms, w.Float64s()
				}
				wantNorms, want := run(lookup["dense"])
				norms, got := run(lookup["rows"])
				for i := range norms {
					near(t, wantNorms[i:i+1], norms[i:i+1], 1e-5*wantNorms[i], fmt.Sprint("norm ", i))
				}
				near(t, want, got, 1e-6, "weights")
				again, same := run(lookup["rows"])
				require.Equal(t, norms, again)
				require.Equal(t, got, same)
			})
		})
	}
}
