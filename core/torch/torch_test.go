//go:build torch

package torch

import (
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// do runs f on libtorch's thread and checks that it leaves no tensor behind.
func do(t *testing.T, f func()) {
	t.Helper()
	var before, after int
	err := Do(func() {
		before = Live()
		s := Open()
		defer func() { s.Close(); after = Live() }()
		f()
	})
	require.NoError(t, err)
	require.Equal(t, before, after, "live tensors")
}

func TestErrors(t *testing.T) {
	err := Do(func() {
		Open()
		FromFloat32([]float32{1, 2}, 2).MatMul(FromFloat32([]float32{1, 2, 3}, 3))
	})
	var e *Error
	require.True(t, errors.As(err, &e))
	require.Equal(t, "matmul", e.Op)
	require.Equal(t, []string{"[2] float32", "[3] float32"}, e.Operands)
	require.ErrorContains(t, err, "torch: matmul([2] float32, [3] float32): ")
	require.NotContains(t, err.Error(), "\n")
	for want, f := range map[string]func(){
		"view([4] float32)":                      func() { Ones(Float32, CPU, 4).View(3) },
		"from_data(): got 4 bytes":               func() { FromFloat32([]float32{1}, 2) },
		"add(nil, [1] float32)":                  func() { (*Tensor)(nil).Add(Ones(Float32, CPU, 1)) },
		"operand is nil or was freed":            func() { x := Ones(Float32, CPU, 1); x.Free(); x.Gelu() },
		"embedding([2 3] float32, [1] int64)":    func() { Embedding(Ones(Float32, CPU, 2, 3), FromInt64([]int64{5}, 1)) },
		"item([2] float32)":                      func() { Ones(Float32, CPU, 2).Item() },
		"backward([2] float32)":                  func() { Ones(Float32, CPU, 2).RequiresGrad(true).MulScalar(2).Backward() },
		"cat(): no tensors":                      func() { Cat(nil, 0) },
		"softmax([2] float32): Dimension out of": func() { Ones(Float32, CPU, 2).Softmax(3) },
		"it must be float": func() {
			x := Ones(Float32, CPU, 1, 1, 2, 2)
			Attention(x, x, x, FromBool([]bool{true, false}, 1, 1, 1, 2), 0, 0, Mask{})
		},
		"need four dimensions":      func() { x := Ones(Float32, CPU, 2, 2); Attention(x, x, x, nil, 0, 0, Mask{}) },
		"requires_grad_([1] int64)": func() { Ones(Int64, CPU, 1).RequiresGrad(true) },
	} {
		err := Do(func() { defer Open().Close(); f() })
		require.ErrorContains(t, err, want)
	}
	// The thread goes on, and nothing was left in it.
	do(t, func() { require.Equal(t, 3.0, Ones(Float32, CPU, 3).Sum().Item()) })
	require.NoError(t, Do(func() { require.Nil(t, current()) }))
}

func TestDo(t *testing.T) {
	// Nested calls run at once; errors of the inner one stop there.
	require.NoError(t, Do(func() {
		defer Open().Close()
		require.Error(t, Do(func() { Ones(Float32, CPU, 4).View(3) }))
		require.NoError(t, Do(func() { Ones(Float32, CPU, 4).View(2, 2) }))
	}))
	// Panics of the caller's own stay panics, in the caller.
	require.PanicsWithValue(t, "mine", func() { _ = Do(func() { panic("mine") }) })
	// A goroutine that ends inside does not end the service.
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = Do(func() { (&testing.T{}).SkipNow() })
		t.Error("returned")
	})
	wg.Wait()
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if err := Do(func() { defer Open().Close(); Ones(Float32, CPU, 4).Add(Ones(Float32, CPU, 4)) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	// Settings do not leak out of a failed closure.
	require.Error(t, Do(func() {
		NoGrad(func() { Autocast(CPU, true, func() { Ones(Float32, CPU, 4).View(3) }) })
	}))
	do(t, func() {
		w := Ones(Float32, CPU, 2, 2).RequiresGrad(true)
		y := w.MatMul(w)
		require.True(t, y.NeedsGrad())
		require.Equal(t, Float32, y.DType())
	})
}

func TestScopes(t *testing.T) {
	var kept *Tensor
	require.NoError(t, Do(func() {
		base := Live()
		outer := Open()
		a := Ones(Float32, CPU, 2)
		inner := Open()
		b, c := a.Add(a), a.Mul(a)
		require.Equal(t, base+3, Live())
		inner.Keep(b)
		inner.Close()
		inner.Close()
		require.True(t, b.Defined())
		require.False(t, c.Defined())
		require.Equal(t, base+2, Live())
		d := Scoped(func() *Tensor { return b.Add(a).Add(a) })
		require.Equal(t, 4.0, d.Select(0, 0).Item())
		kept = outer.Keep(d)
		a.Free()
		a.Free()
		Open() // left open: closed with the outer one
		Ones(Float32, CPU, 1)
		outer.Close()
		require.Equal(t, base+1, Live())
		require.Equal(t, []float32{4, 4}, kept.Float32s())
		kept.Free()
		require.Equal(t, base, Live())
	}))
}

func TestData(t *testing.T) {
	do(t, func() {
		in := []float32{1.5, -2, 3.25, 0, 5, 6}
		x := FromFloat32(in, 2, 3)
		in[0] = 99
		require.Equal(t, []float32{1.5, -2, 3.25, 0, 5, 6}, x.Float32s())
		require.Equal(t, []float32{1.5, 0, -2, 5, 3.25, 6}, x.T().Float32s())
		require.Equal(t, []int64{2, 3}, x.Shape())
		require.Equal(t, int64(3), x.Size(-1))
		require.Equal(t, int64(6), x.Numel())
		require.Equal(t, []int64{1, -2, 3, 0, 5, 6}, x.Int64s())
		require.Equal(t, "[2 3] float32", x.String())
		require.Equal(t, []bool{true, true, true, false, true, true}, x.Bools())
		for _, d := range []DType{Uint8, Int8, Int16, Int32, Int64, Float16, BFloat16, Float32, Float64, Bool} {
			y := Ones(d, CPU, 3)
			require.Equal(t, d, y.DType())
			require.Equal(t, []float64{1, 1, 1}, y.Float64s())
			z := FromEntry(ToEntry("x", y))
			require.Equal(t, d, z.DType())
			require.Equal(t, y.Bytes(), z.Bytes())
			require.Len(t, y.Bytes(), 3*d.Size())
		}
		require.Empty(t, Zeros(Float32, CPU, 0, 4).Float32s())
		require.Empty(t, Full(3, Float32, CPU).Shape())
		require.Equal(t, []int64{0, 1, 2}, Arange(3, CPU).Int64s())
		require.Equal(t, []int32{1, 2}, FromInt32([]int32{1, 2}, 2).Int32s())
		require.Equal(t, []bool{true, false}, FromBool([]bool{true, false}, 2).Bools())
		y := x.Clone()
		y.CopyFrom(Ones(Float64, CPU, 3))
		y.AddInPlace(x, 2)
		y.ScaleInPlace(0.5)
		require.Equal(t, []float32{2, -1.5, 3.75, 0.5, 5.5, 6.5}, y.Float32s())
		require.True(t, SharesStorage(x, x.View(6)))
		require.False(t, SharesStorage(x, y))
	})
}

func TestShapesAndReductions(t *testing.T) {
	do(t, func() {
		x := FromFloat32([]float32{3, 1, 2, 6, 5, 4}, 2, 3)
		values, indices := x.Max(1)
		require.Equal(t, []float32{3, 6}, values.Float32s())
		require.Equal(t, []int64{0, 0}, indices.Int64s())
		values, indices = x.TopK(2, 1)
		require.Equal(t, []float32{3, 2, 6, 5}, values.Float32s())
		require.Equal(t, []int64{0, 2, 0, 1}, indices.Int64s())
		values, _ = x.Sort(1, false)
		require.Equal(t, []float32{1, 2, 3, 4, 5, 6}, values.Float32s())
		require.Equal(t, 21.0, x.Sum().Item())
		require.Equal(t, []float32{9, 6, 6}, x.Sum(0).Float32s())
		require.Equal(t, []int64{1, 3}, x.SumKeep(0).Shape())
		require.Equal(t, []int64{1, 1}, x.SumKeep().Shape())
		require.Equal(t, []float32{2, 5}, x.Mean(1).Float32s())
		require.Equal(t, Int64, x.GtScalar(2).Sum().DType())
		require.Equal(t, 4.0, x.GtScalar(2).Sum().Item())
		require.Equal(t, []float32{3, 4, 6, 6, 11, 15}, x.CumSum(1).Float32s())
		require.Equal(t, []int64{0, 0}, x.ArgMax(-1).Int64s())
		require.Equal(t, 6.0, x.MaxAll().Item())
		require.Equal(t, 1.0, x.MinAll().Item())
		require.Equal(t, 1.0, x.GtScalar(5).Any().Item())
		require.Equal(t, 0.0, x.GtScalar(5).All().Item())
		parts := x.Split(2, 1)
		require.Len(t, parts, 2)
		require.Equal(t, []float32{2, 4}, parts[1].Float32s())
		require.Equal(t, []float32{1, 5}, x.Gather(1, FromInt64([]int64{1, 1}, 2, 1)).Float32s())
		require.Equal(t, []float32{6, 5, 4, 3, 1, 2}, x.IndexSelect(0, FromInt64([]int64{1, 0}, 2)).Float32s())
		require.Equal(t, []float32{3, -1, 2, -1, -1, -1}, x.MaskedFill(FromBool([]bool{false, true, false, true, true, true}, 2, 3), -1).Float32s())
		require.Equal(t, []float32{3, 0, 2, 6, 0, 4}, Where(x.Eq(x.Clamp(2, 4)).Or(x.EqScalar(6)), x, ZerosLike(x)).Float32s())
		require.Equal(t, []int64{2, 2, 3}, Stack([]*Tensor{x, x}, 1).Shape())
		require.Equal(t, []int64{2, 6}, Cat([]*Tensor{x, x}, -1).Shape())
		require.Equal(t, []int64{0, 0, 1}, FromInt64([]int64{2}, 1).OneHot(3).Int64s())
		require.Equal(t, []float32{1, 6}, x.MaskedSelect(x.EqScalar(1).Or(x.EqScalar(6))).Float32s())
		require.Equal(t, []float32{2, 1, 3, 4, 5, 6}, x.Flip(1).Float32s())
		require.Equal(t, []float32{3, 0, 0, 6, 5, 0}, x.Tril(0).Float32s())
		require.Equal(t, []float32{3, 1, 2, 0, 5, 4}, x.Triu(0).Float32s())
		require.Equal(t, []int64{1, 0}, x.GtScalar(5).Nonzero().Int64s())
		require.Equal(t, []int64{4, 1, 3}, x.Unsqueeze(1).Repeat(2, 1, 1).Shape())
		require.Equal(t, []int64{2, 5, 3}, x.Unsqueeze(1).Expand(-1, 5, -1).Shape())
		require.Equal(t, []float32{-2, 0, -1, -5, -4, -3}, x.RSubScalar(1).Float32s())
		require.Equal(t, Int64, FromInt64([]int64{1}, 1).MulScalar(3).DType())
		require.Equal(t, 0.5, FromInt64([]int64{1}, 1).DivScalar(2).Item())
		added := Zeros(Float32, CPU, 3).IndexAdd(0, FromInt64([]int64{1, 1}, 2), FromFloat32([]float32{2, 3}, 2))
		require.Equal(t, []float32{0, 5, 0}, added.Float32s())
		require.Equal(t, []float32{0, 5, 0}, Zeros(Float32, CPU, 3).ScatterAdd(0, FromInt64([]int64{1, 1}, 2), FromFloat32([]float32{2, 3}, 2)).Float32s())
	})
}

func TestAutograd(t *testing.T) {
	do(t, func() {
		w := FromFloat32([]float32{1, 2}, 2).RequiresGrad(true)
		require.Nil(t, w.Grad())
		w.Square().Sum().Backward()
		w.Square().Sum().Backward()
		require.Equal(t, []float32{4, 8}, w.Grad().Float32s())
		ZeroGrad([]*Tensor{w})
		require.Nil(t, w.Grad())
		NoGrad(func() {
			require.False(t, w.MulScalar(2).NeedsGrad())
			EnableGrad(func() { require.True(t, w.MulScalar(2).NeedsGrad()) })
			w.AddInPlace(w, 1)
		})
		require.False(t, w.Detach().MulScalar(2).NeedsGrad())
		require.Equal(t, []float32{2, 4}, w.Float32s())
	})
}

func TestAutocast(t *testing.T) {
	do(t, func() {
		x, w := noise(1, 3, 8), noise(2, 4, 8).RequiresGrad(true)
		var inside *Tensor
		Autocast(CPU, true, func() {
			inside = Linear(x, w, nil)
			require.Equal(t, BFloat16, inside.DType())
			Autocast(CPU, false, func() { require.Equal(t, Float32, Linear(x, w, nil).DType()) })
			q := noise(3, 1, 2, 5, 8)
			require.Equal(t, BFloat16, Attention(q, q, q, nil, 0, 0, Mask{}).DType())
			y, narrow := AddNormPair(inside.ToDType(BFloat16), noise(4, 3, 4), Ones(Float32, CPU, 4), Zeros(Float32, CPU, 4), 1e-12, 0, Mask{})
			require.Equal(t, Float32, y.DType())
			require.Equal(t, BFloat16, narrow.DType())
			require.Equal(t, y.ToDType(BFloat16).Float32s(), narrow.Float32s())
		})
		inside.ToDType(Float32).Sum().Backward()
		require.Equal(t, Float32, w.Grad().DType())
		require.Equal(t, Float32, Linear(x, w, nil).DType())
		// A step on the weight is seen by the next Autocast: no cast is kept.
		NoGrad(func() { w.FillInPlace(0) })
		Autocast(CPU, true, func() { require.Equal(t, 0.0, Linear(x, w, nil).ToDType(Float32).Abs().Sum().Item()) })
	})
}

func TestHalfAgreesWithSingle(t *testing.T) {
	// The bfloat16 kernels against the float32 ones on the same numbers.
	do(t, func() {
		m := Mask{Seed: 1, Rows: rows(1, 2)}
		q, k, v := noise(1, 2, 3, 40, 16).ToDType(BFloat16), noise(2, 2, 3, 40, 16).ToDType(BFloat16), noise(3, 2, 3, 40, 16).ToDType(BFloat16)
		g := noise(4, 2, 3, 40, 16)
		run := func(d DType) (out [][]float64) {
			a, b, c := q.Detach().To(d, CPU).Clone().RequiresGrad(true), k.Detach().To(d, CPU).Clone().RequiresGrad(true), v.Detach().To(d, CPU).Clone().RequiresGrad(true)
			y := Attention(a, b, c, nil, 0, 0.1, m)
			y.BackwardFrom(g.To(d, CPU))
			for _, x := range []*Tensor{y, a.Grad(), b.Grad(), c.Grad()} {
				out = append(out, x.Float64s())
			}
			return out
		}
		want, got := run(Float32), run(BFloat16)
		for i := range want {
			near(t, want[i], got[i], 0.03, "part "+strconv.Itoa(i))
		}
		x, r := noise(5, 2, 9, 64).ToDType(BFloat16), noise(6, 2, 9, 64)
		w, b := noise(7, 64), noise(8, 64)
		gy := noise(9, 2, 9, 64).ToDType(BFloat16)
		norm := func(d DType) (out [][]float64) {
			x := x.Detach().To(d, CPU).Clone().RequiresGrad(true)
			r, w, b := r.Clone().RequiresGrad(true), w.Clone().RequiresGrad(true), b.Clone().RequiresGrad(true)
			y, narrow := AddNormPair(x, r, w, b, 1e-12, 0.1, m)
			y.Mul(gy).Sum().Add(narrow.Mul(gy).ToDType(Float32).Sum()).Backward()
			for _, x := range []*Tensor{y, x.Grad(), r.Grad(), w.Grad(), b.Grad()} {
				out = append(out, x.Float64s())
			}
			return out
		}
		want, got = norm(Float32), norm(BFloat16)
		for i := range want {
			near(t, want[i], got[i], 0.03, "norm part "+strconv.Itoa(i))
		}
	})
}

// brute scores every path of a small CRF.
func TestCRF(t *testing.T) {
	const b, l, k = 4, 4, 3
	do(t, func() {
		scores := noise(1, b, l, k).RequiresGrad(true)
		start, end, trans := noise(2, k).RequiresGrad(true), noise(3, k).RequiresGrad(true), noise(4, k, k).RequiresGrad(true)
		mask := []bool{true, true, true, true, true, true, false, false, false, true, false, true, false, false, false, false}
		tags := []int64{0, 2, 1, 1, 2, 0, -100, -100, 9, 1, 9, 0, 0, 0, 0, 0}
		m := FromBool(mask, b, l)
		ll := CRFLogLikelihood(scores, FromInt64(tags, b, l), m, start, end, trans)
		best := Viterbi(scores, m, start, end, trans).Int64s()
		sc, st, en, tr := scores.Float64s(), start.Float64s(), end.Float64s(), trans.Float64s()
		got := ll.Float64s()
		for i := range b {
			var at []int
			for j := range l {
				if mask[i*l+j] {
					at = append(at, j)
				}
			}
			if len(at) == 0 {
				require.Zero(t, got[i])
				require.Equal(t, []int64{-1, -1, -1, -1}, best[i*l:(i+1)*l])
				continue
			}
			paths := int(math.Pow(k, float64(len(at))))
			total, top, gold := 0.0, math.Inf(-1), 0.0
			var argmax []int64
			for p := range paths {
				path, rest := make([]int64, len(at)), p
				for j := range path {
					path[j], rest = int64(rest%k), rest/k
				}
				v := st[path[0]] + en[path[len(path)-1]]
				same := true
				for j, y := range path {
					v += sc[(i*l+at[j])*k+int(y)]
					if j > 0 {
						v += tr[int(path[j-1])*k+int(y)]
					}
					same = same && tags[i*l+at[j]] == y
				}
				total += math.Exp(v)
				if v > top {
					top, argmax = v, path
				}
				if same {
					gold = v
				}
			}
			require.InDelta(t, gold-math.Log(total), got[i], 1e-5)
			for j, p := range at {
				require.Equal(t, argmax[j], best[i*l+p])
			}
			for j := range l {
				if !mask[i*l+j] {
					require.Equal(t, int64(-1), best[i*l+j])
				}
			}
		}
		// Gradients by central differences.
		ll.Sum().Neg().Backward()
		loss := func() float64 {
			var v float64
			NoGrad(func() {
				d := func(x *Tensor) *Tensor { return x.Detach().ToDType(Float64) }
				v = -CRFLogLikelihood(d(scores), FromInt64(tags, b, l), m, d(start), d(end), d(trans)).Sum().Item()
			})
			return v
		}
		for name, p := range map[string]*Tensor{"scores": scores, "start": start, "end": end, "trans": trans} {
			want := p.Grad().Float64s()
			flat := p.Detach().View(-1)
			for i := range want {
				e := flat.Narrow(0, int64(i), 1)
				v := e.Item()
				e.FillInPlace(v + 1e-3)
				up, x1 := loss(), e.Item()
				e.FillInPlace(v - 1e-3)
				down, x0 := loss(), e.Item()
				e.FillInPlace(v)
				require.InDelta(t, (up-down)/(x1-x0), want[i], 1e-4, name)
			}
		}
	})
}

// small is a two-layer encoder with a head: every kind of operator of a step.
type small struct {
	params []*Tensor
	names  []string
}

const smallWidth, smallHeads, smallWords = 64, 4, 50

func newSmall() *small {
	m := &small{}
	add := func(name string, shape ...int64) {
		p := rootless(Zeros(Float32, CPU, shape...))
		InitNormal(p, 1, name, 0, 0.05)
		m.params, m.names = append(m.params, p.RequiresGrad(true)), append(m.names, name)
	}
	add("emb", smallWords, smallWidth)
	for _, l := range []string{"0", "1"} {
		for _, n := range []string{"q", "k", "v", "o"} {
			add(n+l, smallWidth, smallWidth)
		}
		add("w1"+l, smallWidth)
		add("b1"+l, smallWidth)
		add("up"+l, 4*smallWidth, smallWidth)
		add("down"+l, smallWidth, 4*smallWidth)
		add("w2"+l, smallWidth)
		add("b2"+l, smallWidth)
	}
	add("head", 3, smallWidth)
	return m
}

func (m *small) free() {
	for _, p := range m.params {
		p.Free()
	}
}

func (m *small) loss(ids, target []int64, keys []int64, width int64, step uint64) *Tensor {
	n := int64(len(keys))
	p := func(name string) *Tensor {
		for i, x := range m.names {
			if x == name {
				return m.params[i]
			}
		}
		return nil
	}
	k := Mask{Seed: 4, Step: step, Rows: FromInt64(keys, n)}
	at := func(layer uint64) Mask { k := k; k.Layer = layer; return k }
	y := Dropout(Embedding(p("emb"), FromInt64(ids, n, width)), 0.1, at(0))
	narrow := y
	for i, l := range []string{"0", "1"} {
		heads := func(w *Tensor) *Tensor {
			return Linear(narrow, w, nil).View(n, width, smallHeads, smallWidth/smallHeads).Transpose(1, 2)
		}
		a := Attention(heads(p("q"+l)), heads(p("k"+l)), heads(p("v"+l)), nil, 0, 0.1, at(uint64(10*i+1)))
		o := Linear(a.Transpose(1, 2).Reshape(n, width, smallWidth), p("o"+l), nil)
		y, narrow = AddNormPair(o, y, p("w1"+l).AddScalar(1), p("b1"+l), 1e-12, 0.1, at(uint64(10*i+2)))
		f := Linear(Linear(narrow, p("up"+l), nil).Gelu(), p("down"+l), nil)
		y, narrow = AddNormPair(f, y, p("w2"+l).AddScalar(1), p("b2"+l), 1e-12, 0.1, at(uint64(10*i+3)))
	}
	logits := Linear(y.Select(1, 0), p("head"), nil).ToDType(Float32)
	return CrossEntropy(logits, FromInt64(target, n), nil, -100, Mean)
}

// train runs steps and returns the weights' bytes and the losses.
func (m *small) train(steps int, half bool) (weights []byte, losses []float64) {
	o := NewOptimizer(AdamWConfig{}, []Group{{Params: m.params, Names: m.names, WeightDecay: 0.01}})
	defer o.Free()
	const rows, width = 6, 17
	ids, target, keys := make([]int64, rows*width), make([]int64, rows), make([]int64, rows)
	for step := range steps {
		func() {
			defer Open().Close()
			for i := range ids {
				ids[i] = int64((i*7 + i/width*3) % smallWords)
			}
			for i := range target {
				target[i], keys[i] = int64(i%3), int64(i)
			}
			var loss *Tensor
			Autocast(CPU, half, func() { loss = m.loss(ids, target, keys, width, uint64(step)) })
			loss.Backward()
			ClipGradNorm(m.params, 1)
			o.Step(1e-3)
			o.ZeroGrad()
			losses = append(losses, loss.Item())
		}()
	}
	for _, p := range m.params {
		weights = append(weights, p.Bytes()...)
	}
	return weights, losses
}

func TestTrainRepeats(t *testing.T) {
	do(t, func() {
		for _, half := range []bool{false, true} {
			run := func(steps int) ([]byte, []float64) {
				m := newSmall()
				defer m.free()
				return m.train(steps, half)
			}
			one, losses := run(30)
			two, _ := run(30)
			require.Equal(t, one, two, "same bytes")
			require.Less(t, losses[29], 0.5*losses[0])
		}
	})
}

func TestLiveCountOverSteps(t *testing.T) {
	do(t, func() {
		m := newSmall()
		defer m.free()
		before := Live()
		m.train(3, true)
		require.Equal(t, before, Live())
	})
}

func TestMemoryDoesNotGrow(t *testing.T) {
	steps := 400
	if v := os.Getenv("ISLM_MEMORY_STEPS"); v != "" {
		n, err := strconv.Atoi(v)
		require.NoError(t, err)
		steps = n
	}
	do(t, func() {
		m := newSmall()
		defer m.free()
		m.train(100, true)
		before := resident(t)
		m.train(steps, true)
		after := resident(t)
		t.Logf("resident %d kB after warm-up, %d kB after %d steps", before, after, steps)
		require.Less(t, float64(after), float64(before)*1.02)
	})
}

// resident is the process's resident size in kB.
func resident(t *testing.T) int {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc")
	}
	for _, line := range strings.Split(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			require.NoError(t, err)
			return n
		}
	}
	return 0
}

func TestDevices(t *testing.T) {
	do(t, func() {
		require.Equal(t, "2.11.0", Version())
		require.NotEmpty(t, CPUCapability())
		d, err := ParseDevice("cpu")
		require.NoError(t, err)
		require.Equal(t, CPU, d)
		require.Equal(t, "cuda:1", Device(1).String())
		_, err = ParseDevice("gpu")
		require.ErrorContains(t, err, "want cpu, cuda or cuda:N")
		if CUDA() != nil {
			_, err = ParseDevice("cuda")
			require.Error(t, err)
			d, err = ParseDevice("auto")
			require.NoError(t, err)
			require.Equal(t, CPU, d)
			require.Empty(t, CUDADevices())
		}
		n := NumThreads()
		SetNumThreads(1)
		require.Equal(t, 1, NumThreads())
		SetNumThreads(n)
		require.Error(t, Do(func() { SetNumThreads(0) }))
		TrimMemory()
		require.Error(t, Do(func() { Ones(Float32, 63, 1) }))
	})
}
