//go:build torch

package torch

import (
	"math"
	"testing"

	"github.com/islm-dev/islm/core/torch/internal/shim"
	"github.com/stretchr/testify/require"
)

func TestPhilox(t *testing.T) {
	// The known answers of Random123's kat_vectors for philox4x32-10.
	const f = 0xffffffff
	for _, c := range []struct {
		ctr  [4]uint32
		key  [2]uint32
		want [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{f, f, f, f}, [2]uint32{f, f}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		require.Equal(t, c.want, Philox4x32(c.ctr, c.key))
	}
}

func rows(keys ...int64) *Tensor { return FromInt64(keys, int64(len(keys))) }

func noise(n int, shape ...int64) *Tensor {
	x := Zeros(Float32, CPU, shape...)
	InitNormal(x, uint64(n), "noise", 0, 1)
	return x
}

func TestDropout(t *testing.T) {
	const p, h = 0.1, 40
	m := Mask{Seed: 11, Stream: 2, Step: 5, Layer: 3}
	for _, d := range []DType{Float32, BFloat16, Float64} {
		t.Run(d.String(), func(t *testing.T) {
			do(t, func() {
				x := noise(1, 4, 33, h).ToDType(d)
				m := m
				m.Rows = rows(7, -8, 1<<40, 0)
				y := Dropout(x, p, m)
				require.Equal(t, d, y.DType())
				whole := y.Float64s()

				// Rows alone, in another order, and cut shorter: the same fate.
				for i, key := range []int64{7, -8, 1 << 40, 0} {
					one := m
					one.Rows = rows(key)
					require.Equal(t, y.Narrow(0, int64(i), 1).Float64s(), Dropout(x.Narrow(0, int64(i), 1), p, one).Float64s())
				}
				short := Dropout(x.Narrow(1, 0, 13), p, m)
				require.Equal(t, y.Narrow(1, 0, 13).Float64s(), short.Float64s())
				threads := NumThreads()
				for _, n := range []int{1, 2, 3} {
					SetNumThreads(n)
					require.Equal(t, whole, Dropout(x, p, m).Float64s())
				}
				SetNumThreads(threads)

				// Kept elements are x/(1-p) in x's precision.
				scaled := x.ToDType(Float32).MulScalar(float64(float32(1 / (1 - p)))).ToDType(d).Float64s()
				kept := 0
				for i, v := range whole {
					if v != 0 {
						kept++
						require.InDelta(t, scaled[i], v, math.Abs(scaled[i])*1e-2)
					}
				}
				rate := float64(kept) / float64(len(whole))
				require.InDelta(t, 1-p, rate, 4*math.Sqrt(p*(1-p)/float64(len(whole))))
			})
		})
	}
	do(t, func() {
		m := m
		m.Rows = rows(1, 2)
		x := noise(2, 2, 50, h)
		base := Dropout(x, 0.5, m).Float32s()
		// Each part of the key makes another mask.
		for i, change := range []func(*Mask){
			func(m *Mask) { m.Seed++ }, func(m *Mask) { m.Seed += 1 << 32 }, func(m *Mask) { m.Stream++ },
			func(m *Mask) { m.Step++ }, func(m *Mask) { m.Step += 1 << 32 }, func(m *Mask) { m.Layer++ },
			func(m *Mask) { m.Rows = rows(2, 1) }, func(m *Mask) { m.Rows = rows(1+1<<32, 2+1<<32) },
		} {
			m := m
			change(&m)
			other := Dropout(x, 0.5, m).Float32s()
			same := 0
			for j := range base {
				if (base[j] == 0) == (other[j] == 0) {
					same++
				}
			}
			require.InDelta(t, 0.5, float64(same)/float64(len(base)), 0.05, "change %d", i)
		}
		// Nothing and everything but nothing.
		require.Equal(t, x.Float32s(), Dropout(x, 0, m).Float32s())
		require.Less(t, countNonzero(Dropout(x, 0.999, m).Float32s()), 40)
		// Masks nest: what survives a larger p survives a smaller one.
		half := Dropout(x, 0.2, m).Float32s()
		for j := range base {
			if base[j] != 0 {
				require.NotZero(t, half[j])
			}
		}
	})
	require.ErrorContains(t, Do(func() {
		defer Open().Close()
		Dropout(noise(1, 3, 4), 0.1, Mask{Rows: rows(1, 2)})
	}), "2 row keys for 3 rows")
	require.ErrorContains(t, Do(func() {
		defer Open().Close()
		Dropout(noise(1, 3, 4), 1, Mask{Rows: rows(1, 2, 3)})
	}), "not in [0, 1)")
}

func countNonzero(v []float32) (n int) {
	for _, x := range v {
		if x != 0 {
			n++
		}
	}
	return n
}

func TestDropoutGradient(t *testing.T) {
	do(t, func() {
		m := Mask{Seed: 1, Rows: rows(5, 6)}
		x := noise(3, 2, 9, 10).RequiresGrad(true)
		y := Dropout(x, 0.3, m)
		g := noise(4, 2, 9, 10)
		y.BackwardFrom(g)
		want := Dropout(g, 0.3, m).Float32s()
		require.Equal(t, want, x.Grad().Float32s())
		xs, ys := x.Float32s(), y.Float32s()
		for i := range xs {
			require.Equal(t, ys[i] == 0, want[i] == 0)
		}
	})
}

// attentionParts computes attention with dropout from public pieces: the mask is
// read off a run in which every probability is equal and v is the identity.
func TestAttentionDropout(t *testing.T) {
	const b, h, s, d, p = 3, 2, 35, 8, 0.25
	keys := []int64{9, 4, -1}
	do(t, func() {
		m := Mask{Seed: 3, Stream: 1, Step: 2, Layer: 4, Rows: rows(keys...)}
		zero := Zeros(Float32, CPU, b, h, s, s)
		eye := Ones(Float32, CPU, s, s).Tril(0).Sub(Ones(Float32, CPU, s, s).Tril(-1)).Expand(b, h, s, s).Contiguous()
		keep := Attention(zero, zero, eye, nil, 1, p, m).MulScalar(s * (1 - p)).Float64s()
		near(t, onesAndZeros(keep), keep, 1e-5, "mask")
		factor := FromFloat64(onesAndZeros(keep), b, h, s, s).ToDType(Float32).MulScalar(1 / (1 - p))
		require.InDelta(t, 1-p, factor.MulScalar(1-p).Mean().Item(), 0.02)

		q := noise(1, b, h, s, d).RequiresGrad(true)
		k := noise(2, b, h, s, d).RequiresGrad(true)
		v := noise(3, b, h, s, d).RequiresGrad(true)
		bias := Zeros(Float32, CPU, b, 1, 1, s)
		bias.Narrow(0, 1, 1).Narrow(3, 20, 15).FillInPlace(-1e30)
		g := noise(5, b, h, s, d)
		run := func(f func() *Tensor) (out [][]float64) {
			ZeroGrad([]*Tensor{q, k, v})
			y := f()
			y.BackwardFrom(g)
			for _, x := range []*Tensor{y, q.Grad(), k.Grad(), v.Grad()} {
				out = append(out, x.Float64s())
			}
			return out
		}
		want := run(func() *Tensor {
			w := q.MatMul(k.T()).MulScalar(1 / math.Sqrt(d)).Add(bias).Softmax(-1).Mul(factor)
			return w.MatMul(v)
		})
		got := run(func() *Tensor { return Attention(q, k, v, bias, 0, p, m) })
		for i, name := range []string{"result", "dq", "dk", "dv"} {
			near(t, want[i], got[i], 1e-5, name)
		}

		// A row alone at a smaller width (its own length) has the same masks.
		one := m
		one.Rows = rows(4)
		cut := func(x *Tensor) *Tensor { return x.Detach().Narrow(0, 1, 1).Narrow(2, 0, 20) }
		alone := Attention(cut(q), cut(k), cut(v), nil, 0, p, one)
		all := Attention(q, k, v, bias, 0, p, m)
		near(t, all.Narrow(0, 1, 1).Narrow(2, 0, 20).Float64s(), alone.Float64s(), 1e-6, "padding")
	})
}

// Every instruction set draws the same masks and computes the same numbers.
func TestKernelVariants(t *testing.T) {
	type result struct{ drop, near [][]float64 }
	run := func(d DType) (r result) {
		m := Mask{Seed: 5, Layer: 1, Rows: rows(4, 1<<35)}
		x := noise(1, 2, 7, 96).ToDType(d).Detach()
		r.drop = append(r.drop, Dropout(x, 0.3, m).Float64s())
		q, k, v := noise(2, 2, 2, 37, 8).ToDType(d).Detach(), noise(3, 2, 2, 37, 8).ToDType(d).Detach(), noise(4, 2, 2, 37, 8).ToDType(d).Detach()
		leaves := []*Tensor{q, k, v, x, noise(5, 2, 7, 96), noise(6, 96), noise(7, 96)}
		for _, l := range leaves {
			l.RequiresGrad(true)
		}
		bias := Zeros(Float32, CPU, 2, 1, 1, 37)
		bias.Narrow(0, 1, 1).Narrow(3, 30, 7).FillInPlace(-3e38)
		a := Attention(q, k, v, bias, 0, 0.2, m)
		a.BackwardFrom(noise(8, 2, 2, 37, 8).ToDType(d))
		y := AddNorm(x, leaves[4], leaves[5], leaves[6], 1e-12, 0.2, m)
		y.BackwardFrom(noise(9, 2, 7, 96))
		r.near = append(r.near, a.Float64s(), y.Float64s())
		for _, l := range leaves {
			r.near = append(r.near, l.Grad().Float64s())
		}
		return r
	}
	for _, d := range []DType{Float32, BFloat16} {
		do(t, func() {
			defer shim.UseKernels("")
			tol := 1e-5
			if d == BFloat16 {
				tol = 2e-2
			}
			require.True(t, shim.UseKernels("base"))
			want := run(d)
			for _, name := range []string{"avx2", "avx512"} {
				if !shim.UseKernels(name) {
					t.Logf("this processor has no %s", name)
					continue
				}
				got := run(d)
				require.Equal(t, want.drop, got.drop, name)
				for i := range want.near {
					near(t, want.near[i], got.near[i], tol, name)
				}
			}
		})
	}
}

func onesAndZeros(v []float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		if x > 0.5 {
			out[i] = 1
		}
	}
	return out
}

func TestAddNormDropout(t *testing.T) {
	do(t, func() {
		m := Mask{Seed: 8, Layer: 2, Rows: rows(3, 2, 1)}
		x, r := noise(1, 3, 7, 48).RequiresGrad(true), noise(2, 3, 7, 48).RequiresGrad(true)
		w, b := noise(3, 48).RequiresGrad(true), noise(4, 48).RequiresGrad(true)
		g := noise(5, 3, 7, 48)
		run := func(f func() *Tensor) (out [][]float64) {
			ZeroGrad([]*Tensor{x, r, w, b})
			y := f()
			y.BackwardFrom(g)
			for _, x := range []*Tensor{y, x.Grad(), r.Grad(), w.Grad(), b.Grad()} {
				out = append(out, x.Float64s())
			}
			return out
		}
		want := run(func() *Tensor { return LayerNorm(r.Add(Dropout(x, 0.2, m)), w, b, 1e-12) })
		got := run(func() *Tensor { return AddNorm(x, r, w, b, 1e-12, 0.2, m) })
		for i, name := range []string{"result", "dx", "dresidual", "dw", "db"} {
			near(t, want[i], got[i], 1e-5, name)
		}
	})
}

func TestInit(t *testing.T) {
	do(t, func() {
		x, y := Zeros(Float32, CPU, 200, 301), Zeros(Float32, CPU, 200, 301)
		InitNormal(x, 1, "a.weight", 0.5, 0.02)
		InitNormal(y, 1, "a.weight", 0.5, 0.02)
		require.Equal(t, x.Float32s(), y.Float32s())
		n := float64(x.Numel())
		mean := x.Mean().Item()
		std := math.Sqrt(x.SubScalar(mean).Square().Mean().Item())
		require.InDelta(t, 0.5, mean, 4*0.02/math.Sqrt(n))
		require.InDelta(t, 0.02, std, 0.0005)
		InitNormal(y, 1, "b.weight", 0.5, 0.02)
		require.NotEqual(t, x.Float32s(), y.Float32s())
		InitNormal(y, 2, "a.weight", 0.5, 0.02)
		require.NotEqual(t, x.Float32s(), y.Float32s())
		InitUniform(x, 1, "u", -2, 3)
		require.InDelta(t, 0.5, x.Mean().Item(), 0.03)
		require.GreaterOrEqual(t, x.MinAll().Item(), -2.0)
		require.LessOrEqual(t, x.MaxAll().Item(), 3.0)
		w := Zeros(Float32, CPU, 3).RequiresGrad(true)
		InitUniform(w, 1, "w", 0, 1)
		require.True(t, w.NeedsGrad())
	})
}
