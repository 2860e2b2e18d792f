//go:build torch

package model

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/torch"
)

// Every path of every row, enumerated: partition, best path, marginals.
func TestCRFAgainstEnumeration(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	floats := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(r.NormFloat64())
		}
		return out
	}
	const k = 4
	lengths := []int{3, 1, 5, 2}
	n := 11
	emissions, start, end, trans := floats(n*k), floats(k), floats(k), floats(k*k)
	tags := make([]int64, n)
	for i := range tags {
		tags[i] = int64(r.IntN(k))
	}
	c := &chain{k: k, start: start, end: end, transitions: trans}

	want, first := 0.0, 0
	for _, length := range lengths {
		e := emissions[first*k : (first+length)*k]
		score := func(path []int) float64 {
			s := float64(start[path[0]]) + float64(end[path[length-1]])
			for i, y := range path {
				s += float64(e[i*k+y])
				if i > 0 {
					s += float64(trans[path[i-1]*k+y])
				}
			}
			return s
		}
		z, best := 0.0, math.Inf(-1)
		bestPath := make([]int32, length)
		mass := make([]float64, length*k)
		paths := 1
		for range length {
			paths *= k
		}
		for code := range paths {
			path, rest := make([]int, length), code
			for i := range path {
				path[i], rest = rest%k, rest/k
			}
			s := score(path)
			z += math.Exp(s)
			if s > best {
				best = s
				for i, y := range path {
					bestPath[i] = int32(y)
				}
			}
			for i, y := range path {
				mass[i*k+y] += math.Exp(s)
			}
		}
		gold := make([]int, length)
		for i := range gold {
			gold[i] = int(tags[first+i])
		}
		want += math.Log(z) - score(gold)

		got, p := c.decode(e)
		require.Equal(t, bestPath, got)
		for i, y := range got {
			require.InDelta(t, mass[i*k+int(y)]/z, float64(p[i]), 1e-5)
		}
		first += length
	}

	inTorch(t, func() {
		param := func(v []float32, shape ...int64) *Param {
			return &Param{Value: torch.FromFloat32(v, shape...).RequiresGrad(true)}
		}
		m := &crf{start: param(start, k), end: param(end, k), transitions: param(trans, k, k)}
		x := torch.FromFloat32(emissions, int64(n), k).RequiresGrad(true)
		loss := m.loss(x, tags, lengths, torch.CPU)
		require.InDelta(t, want, loss.Item(), 1e-4)

		// Gradients against differences of the loss.
		loss.Backward()
		for _, p := range []struct {
			x *torch.Tensor
			v []float32
			s []int64
		}{{x, emissions, []int64{int64(n), k}}, {m.transitions.Value, trans, []int64{k, k}}, {m.start.Value, start, []int64{k}}, {m.end.Value, end, []int64{k}}} {
			grad := p.x.Grad().Float32s()
			for i := 0; i < len(p.v); i += 3 {
				at := func(d float32) float64 {
					v := append([]float32(nil), p.v...)
					v[i] += d
					torch.NoGrad(func() { p.x.CopyFrom(torch.FromFloat32(v, p.s...)) })
					return m.loss(x, tags, lengths, torch.CPU).Item()
				}
				slope := (at(1e-2) - at(-1e-2)) / 2e-2
				require.InDelta(t, slope, float64(grad[i]), 2e-3)
			}
			torch.NoGrad(func() { p.x.CopyFrom(torch.FromFloat32(p.v, p.s...)) })
		}
	})
	tagsOf, _ := c.decode(nil)
	require.Empty(t, tagsOf)
}
