//go:build torch

package torch

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/stretchr/testify/require"
)

// The fixtures of scripts/fixtures/tensors.py.
type fixtures struct {
	t *testing.T
	f *safetensors.File
}

func openFixtures(t *testing.T) fixtures {
	f, err := safetensors.Open("testdata/numerics.safetensors")
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return fixtures{t, f}
}

func (f fixtures) get(name string) *Tensor {
	e, ok := f.f.Entry(name)
	if !ok {
		fail("fixture", "no tensor "+name)
	}
	return FromEntry(e)
}

// near is the design's "equal": max|a-b| <= tol·max(1, max|b|).
func near(t *testing.T, want, got []float64, tol float64, msg string) {
	t.Helper()
	require.Equal(t, len(want), len(got), msg)
	worst, top := 0.0, 1.0
	for i := range want {
		if math.IsNaN(got[i]) != math.IsNaN(want[i]) {
			t.Errorf("%s: element %d is %v, want %v", msg, i, got[i], want[i])
			return
		}
		worst, top = max(worst, math.Abs(got[i]-want[i])), max(top, math.Abs(want[i]))
	}
	if worst > tol*top {
		t.Errorf("%s: differs by %g (largest %g)", msg, worst, top)
	}
}

func TestOperators(t *testing.T) {
	f := openFixtures(t)
	type in = map[string]*Tensor
	cases := []struct {
		name   string
		inputs string
		run    func(in) *Tensor
	}{
		{"gelu", "x", func(v in) *Tensor { return v["x"].Gelu() }},
		{"gelu_tanh", "x", func(v in) *Tensor { return v["x"].GeluTanh() }},
		{"silu", "x", func(v in) *Tensor { return v["x"].Silu() }},
		{"tanh", "x", func(v in) *Tensor { return v["x"].Tanh() }},
		{"layer_norm", "x w b", func(v in) *Tensor { return LayerNorm(v["x"], v["w"], v["b"], 1e-12) }},
		{"rms_norm", "x w", func(v in) *Tensor { return RMSNorm(v["x"], v["w"], 1e-6) }},
		{"linear", "x w b", func(v in) *Tensor { return Linear(v["x"], v["w"], v["b"]) }},
		{"embedding", "w ids", func(v in) *Tensor { return Embedding(v["w"], v["ids"]) }},
		{"log_softmax", "x", func(v in) *Tensor { return v["x"].LogSoftmax(-1) }},
		{"logsumexp", "x", func(v in) *Tensor { return v["x"].LogSumExp(1, false) }},
		{"cosine", "x y2", func(v in) *Tensor { return CosineSimilarity(v["x"], v["y2"], -1, 1e-8) }},
		{"normalize", "x", func(v in) *Tensor { return v["x"].Normalize(-1) }},
		{"ce_none", "x", func(v in) *Tensor {
			return CrossEntropy(v["x"], f.get("ce/target"), f.get("ce/weight"), -100, None)
		}},
		{"ce_mean", "x", func(v in) *Tensor {
			return CrossEntropy(v["x"], f.get("ce/target"), f.get("ce/weight"), -100, Mean)
		}},
		{"ce_sum", "x", func(v in) *Tensor {
			return CrossEntropy(v["x"], f.get("ce/target"), f.get("ce/weight"), -100, Sum)
		}},
		{"ce_smooth", "x", func(v in) *Tensor {
			return CrossEntropySmooth(v["x"], f.get("ce/target"), nil, -100, Mean, 0.1)
		}},
		{"bce", "x", func(v in) *Tensor { return BCEWithLogits(v["x"], f.get("bce/target"), nil, nil, Mean) }},
		{"bce_weighted", "x", func(v in) *Tensor {
			return BCEWithLogits(v["x"], f.get("bce/target"), f.get("bce/weight"), f.get("bce/pos_weight"), Sum)
		}},
		{"kl", "x", func(v in) *Tensor { return KLDiv(v["x"].LogSoftmax(-1), f.get("kl/target"), Sum, false) }},
		{"mse", "x z", func(v in) *Tensor { return MSELoss(v["x"], v["z"], Mean) }},
		{"smooth_l1", "x z", func(v in) *Tensor { return SmoothL1Loss(v["x"], v["z"], Mean, 0.5) }},
		{"attention_small", "q k2 v", func(v in) *Tensor {
			return Attention(v["q"], v["k2"], v["v"], f.get("attention_small/mask"), 0, 0, Mask{})
		}},
		{"attention_wide", "q k2 v", func(v in) *Tensor {
			return Attention(v["q"], v["k2"], v["v"], f.get("attention_wide/mask"), 0, 0, Mask{})
		}},
		{"attention_cross", "q k2 v", func(v in) *Tensor {
			return Attention(v["q"], v["k2"], v["v"], f.get("attention_cross/mask"), 0, 0, Mask{})
		}},
		{"add_norm", "x res w b", func(v in) *Tensor {
			return AddNorm(v["x"], v["res"], v["w"], v["b"], 1e-12, 0, Mask{})
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			do(t, func() {
				v := in{}
				for _, n := range strings.Fields(c.inputs) {
					v[n] = f.get(c.name + "/" + n)
					if v[n].DType() == Float32 {
						v[n].RequiresGrad(true)
					}
				}
				y := c.run(v)
				near(t, f.get(c.name+"/y").Float64s(), y.Float64s(), 1e-5, "result")
				y.BackwardFrom(f.get(c.name + "/g"))
				for n, x := range v {
					if x.DType() == Float32 {
						near(t, f.get(c.name+"/d_"+n).Float64s(), x.Grad().Float64s(), 1e-5, "gradient of "+n)
					}
				}
				// Without autograd the result is the same (prediction may take another path).
				NoGrad(func() { near(t, y.Float64s(), c.run(v).Float64s(), 1e-5, "without autograd") })
			})
		})
	}
}

func TestBCEGradient(t *testing.T) {
	do(t, func() {
		xs := []float32{-30, -2, -0.5, 0, 0.25, 3, 40}
		ys := []float32{0, 1, 0, 1, 0.3, 1, 0}
		x := FromFloat32(xs, 7).RequiresGrad(true)
		BCEWithLogits(x, FromFloat32(ys, 7), nil, nil, Mean).Backward()
		want := make([]float64, len(xs))
		for i := range xs {
			want[i] = (1/(1+math.Exp(-float64(xs[i]))) - float64(ys[i])) / 7
		}
		near(t, want, x.Grad().Float64s(), 1e-7, "(sigmoid(x)-y)/n")
	})
}

func TestOptimizers(t *testing.T) {
	f := openFixtures(t)
	for name, m := range map[string]Method{
		"adamw":    AdamWConfig{Beta1: 0.9, Beta2: 0.98, Eps: 1e-7},
		"adam":     AdamConfig{},
		"sgd":      SGDConfig{},
		"momentum": SGDConfig{Momentum: 0.9},
		"nesterov": SGDConfig{Momentum: 0.9, Nesterov: true},
	} {
		t.Run(name, func(t *testing.T) {
			do(t, func() {
				p := []*Tensor{f.get("optim/start0").RequiresGrad(true), f.get("optim/start1").RequiresGrad(true)}
				groups := []Group{
					{Params: p[:1], Names: []string{"w"}, WeightDecay: 0.1},
					{Params: p[1:], Names: []string{"b"}, LR: 0.5},
				}
				o := NewOptimizer(m, groups)
				defer func() { o.Free() }()
				for step := range 25 {
					s := Open()
					for i, q := range p {
						q.SetGrad(nil)
						if i == 0 || step%5 != 3 {
							q.SetGrad(f.get(fmt.Sprintf("optim/grads%d", i)).Select(0, int64(step)).Clone())
						}
					}
					o.Step(0.05 * (1 - float64(step)/50))
					for i, q := range p {
						want := f.get(fmt.Sprintf("optim/%s%d", name, i)).Select(0, int64(step))
						near(t, want.Float64s(), q.Float64s(), 1e-6, fmt.Sprintf("step %d, parameter %d", step, i))
					}
					// Half-way the state goes through names into a new optimizer.
					if step == 12 {
						state := map[string]*Tensor{}
						for n, x := range o.State() {
							state[n] = FromEntry(ToEntry(n, x))
						}
						next := NewOptimizer(m, groups)
						require.NoError(t, next.Load(state))
						o.Free()
						o = next
					}
					s.Close()
				}
			})
		})
	}
}

func TestOptimizerState(t *testing.T) {
	do(t, func() {
		w := FromFloat32([]float32{1, 2}, 2).RequiresGrad(true)
		o := NewOptimizer(AdamWConfig{}, []Group{{Params: []*Tensor{w}, Names: []string{"w"}}})
		defer o.Free()
		require.Empty(t, o.State())
		w.Square().Sum().Backward()
		o.Step(0.1)
		s := o.State()
		require.Len(t, s, 3)
		require.Equal(t, 1.0, s["w.step"].Item())
		require.ErrorContains(t, o.Load(map[string]*Tensor{"w.exp_avg": w}), "1 of 3")
		require.ErrorContains(t, o.Load(map[string]*Tensor{"w.exp_avg": s["w.step"], "w.exp_avg_sq": s["w.step"], "w.step": s["w.step"]}), "shape")
		require.ErrorContains(t, o.Load(map[string]*Tensor{"v.exp_avg": w}), `"v.exp_avg" fits no parameter`)
		o.ZeroGrad()
		require.Nil(t, w.Grad())
	})
	err := Do(func() {
		s := Open()
		defer s.Close()
		w := Ones(Float32, CPU, 2)
		NewOptimizer(SGDConfig{}, []Group{{Params: []*Tensor{w, w}, Names: []string{"w", "w"}}})
	})
	require.ErrorContains(t, err, "given twice")
}

func TestSGDStep(t *testing.T) {
	do(t, func() {
		// One step without momentum is θ - η(∇L + λθ).
		theta, grad := []float64{0.3, -1.25, 7}, []float64{0.5, 0.25, -3}
		p := FromFloat64(theta, 3).RequiresGrad(true)
		p.SetGrad(FromFloat64(grad, 3))
		o := NewOptimizer(SGDConfig{}, []Group{{Params: []*Tensor{p}, Names: []string{"p"}, WeightDecay: 0.02}})
		o.Step(0.1)
		want := make([]float64, 3)
		for i := range want {
			want[i] = theta[i] - 0.1*grad[i] - 0.1*0.02*theta[i]
		}
		near(t, want, p.Float64s(), 1e-12, "closed form")
	})
}

func TestClipGradNorm(t *testing.T) {
	f := openFixtures(t)
	for name, limit := range map[string]float64{"clip": 1, "keep": 100} {
		do(t, func() {
			p := []*Tensor{f.get("optim/start0").RequiresGrad(true), f.get("optim/start1").RequiresGrad(true), Ones(Float32, CPU, 3).RequiresGrad(true)}
			for i := range 2 {
				p[i].SetGrad(f.get(fmt.Sprintf("optim/grads%d", i)).Select(0, 0).Clone())
			}
			want := f.get("norm_" + name + "/norm").Item()
			near(t, []float64{want}, []float64{GradNorm(p)}, 1e-6, "norm")
			near(t, []float64{want}, []float64{ClipGradNorm(p, limit)}, 1e-6, "norm")
			for i := range 2 {
				near(t, f.get(fmt.Sprintf("norm_%s/g%d", name, i)).Float64s(), p[i].Grad().Float64s(), 1e-6, name)
			}
			require.Nil(t, p[2].Grad())
		})
	}
}
