//go:build torch

package torch

import (
	"fmt"
	"math"
	"os"
	"syscall"
	"testing"

	"github.com/islm-dev/islm/core/torch/internal/shim"
)

// The pieces of one training step of MiniLM-L6 (hidden 384, 12 heads, 1536
// inner) on 16 rows of 128 ids; each reports the processor time of its
// fastest run. For figures that compare, run with OMP_NUM_THREADS=1.
func BenchmarkPieces(b *testing.B) {
	for _, d := range []DType{Float32, BFloat16} {
		b.Run(d.String(), func(b *testing.B) { benchmarkPieces(b, d) })
	}
}

func benchmarkPieces(b *testing.B, d DType) {
	const B, W, H, F = 16, 384, 12, 1536
	S := int64(128)
	if os.Getenv("S") == "32" {
		S = 32
	}
	piece := func(name string, f func() func()) {
		b.Run(name, func(b *testing.B) {
			err := Do(func() {
				defer Open().Close()
				run := f()
				best := math.Inf(1)
				for range max(b.N, 15) {
					s := Open()
					t := cpuTime()
					run()
					best = min(best, cpuTime()-t)
					s.Close()
				}
				b.ReportMetric(best*1e3, "cpu-ms")
				b.ReportMetric(0, "ns/op")
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
	half := func(n int, shape ...int64) *Tensor { return noise(n, shape...).ToDType(d).Clone().Detach() }
	keys := make([]int64, B)
	for i := range keys {
		keys[i] = int64(i)
	}
	mask := func() Mask { return Mask{Seed: 1, Rows: FromInt64(keys, B)} }
	for _, p := range []float64{0, 0.1} {
		piece(fmt.Sprintf("attention forward p=%v", p), func() func() {
			q, k, v, m := half(1, B, H, S, 32).RequiresGrad(true), half(2, B, H, S, 32), half(3, B, H, S, 32), mask()
			return func() { Attention(q, k, v, nil, 0, p, m) }
		})
		piece(fmt.Sprintf("attention both p=%v", p), func() func() {
			q, k, v, m := half(1, B, H, S, 32).RequiresGrad(true), half(2, B, H, S, 32).RequiresGrad(true), half(3, B, H, S, 32).RequiresGrad(true), mask()
			g := half(4, B, H, S, 32)
			return func() { ZeroGrad([]*Tensor{q, k, v}); Attention(q, k, v, nil, 0, p, m).BackwardFrom(g) }
		})
		piece(fmt.Sprintf("addnorm both p=%v", p), func() func() {
			x, r, m := half(1, B, S, W).RequiresGrad(true), noise(2, B, S, W).RequiresGrad(true), mask()
			w, c := Ones(Float32, CPU, W).RequiresGrad(true), Zeros(Float32, CPU, W).RequiresGrad(true)
			g := noise(4, B, S, W)
			return func() {
				ZeroGrad([]*Tensor{x, r, w, c})
				AddNorm(x, r, w, c, 1e-12, p, m).BackwardFrom(g)
			}
		})
	}
	piece("attention strided views", func() func() {
		v := func(n int) *Tensor { return half(n, B, S, H, 32).Transpose(1, 2) }
		q, k, w, m := v(1), v(2), v(3), mask()
		return func() { Attention(q, k, w, nil, 0, 0, m) }
	})
	piece("sdpa no grad", func() func() {
		q, k, v := half(1, B, H, S, 32), half(2, B, H, S, 32), half(3, B, H, S, 32)
		return func() {
			call("sdpa", func(out *shim.Handle) string { return shim.SDPA(out, q.c, k.c, v.c, nil, 1/math.Sqrt(32)) }, q, k, v)
		}
	})
	piece("dropout hidden f32", func() func() {
		x, m := noise(1, B, S, W), mask()
		return func() { Dropout(x, 0.1, m) }
	})
	piece("linear 384x384", func() func() {
		x, w, c := half(1, B, S, W), half(2, W, W), half(3, W)
		return func() { Linear(x, w, c) }
	})
	piece("linear 384x1536", func() func() {
		x, w, c := half(1, B, S, W), half(2, F, W), half(3, F)
		return func() { Linear(x, w, c) }
	})
	piece("linear 1536x384", func() func() {
		x, w, c := half(1, B, S, F), half(2, W, F), half(3, W)
		return func() { Linear(x, w, c) }
	})
	piece("linear 384x1536 both", func() func() {
		x, w, c := half(1, B, S, W).RequiresGrad(true), half(2, F, W).RequiresGrad(true), half(3, F).RequiresGrad(true)
		g := half(4, B, S, F)
		return func() { ZeroGrad([]*Tensor{x, w, c}); Linear(x, w, c).BackwardFrom(g) }
	})
	piece("linear 1536x384 both", func() func() {
		x, w, c := half(1, B, S, F).RequiresGrad(true), half(2, W, F).RequiresGrad(true), half(3, W).RequiresGrad(true)
		g := half(4, B, S, W)
		return func() { ZeroGrad([]*Tensor{x, w, c}); Linear(x, w, c).BackwardFrom(g) }
	})
	piece("linear 384x384 both", func() func() {
		x, w, c := half(1, B, S, W).RequiresGrad(true), half(2, W, W).RequiresGrad(true), half(3, W).RequiresGrad(true)
		g := half(4, B, S, W)
		return func() { ZeroGrad([]*Tensor{x, w, c}); Linear(x, w, c).BackwardFrom(g) }
	})
	piece("gelu forward", func() func() {
		x := half(1, B, S, F)
		return func() { x.Gelu() }
	})
	piece("gelu both", func() func() {
		x, g := half(1, B, S, F).RequiresGrad(true), half(2, B, S, F)
		return func() { ZeroGrad([]*Tensor{x}); x.Gelu().BackwardFrom(g) }
	})
	piece("copy transpose", func() func() {
		x := half(1, B, S, H, 32)
		return func() { x.Transpose(1, 2).Contiguous() }
	})
	piece("cast weights 10.6M", func() func() {
		x := noise(1, 10_600_000)
		return func() { x.ToDType(BFloat16) }
	})
	piece("embedding both", func() func() {
		w := noise(1, 30522, W).RequiresGrad(true)
		ids := make([]int64, B*S)
		for i := range ids {
			ids[i] = int64(i * 13 % 30000)
		}
		x, g := FromInt64(ids, B, S), noise(2, B, S, W)
		return func() { ZeroGrad([]*Tensor{w}); Embedding(w, x).BackwardFrom(g) }
	})
	for name, embed := range map[string]func(w, ids *Tensor) *Tensor{
		"rows":  Embedding,
		"dense": func(w, ids *Tensor) *Tensor { return w.IndexSelect(0, ids.View(-1)) },
	} {
		piece("table step by "+name, func() func() {
			w := noise(1, 30522, W).RequiresGrad(true)
			ids := make([]int64, B*S)
			for i := range ids {
				ids[i] = int64(i * 13 % 30000)
			}
			x, g := FromInt64(ids, B, S), noise(2, B, S, W)
			o := NewOptimizer(AdamWConfig{}, []Group{{Params: []*Tensor{w}, Names: []string{"w"}, WeightDecay: 0.01}})
			return func() {
				o.ZeroGrad()
				y := embed(w, x)
				y.BackwardFrom(g.View(y.Shape()...))
				ClipGradNorm([]*Tensor{w}, 1e9)
				o.Step(1e-5)
			}
		})
	}
	piece("norm and adamw 22.7M", func() func() {
		w := noise(1, 22_700_000).RequiresGrad(true)
		w.SetGrad(noise(2, 22_700_000))
		o := NewOptimizer(AdamWConfig{}, []Group{{Params: []*Tensor{w}, Names: []string{"w"}}})
		return func() { ClipGradNorm([]*Tensor{w}, 1e9); o.Step(1e-5) }
	})
	piece("norm 22.7M", func() func() {
		w := noise(1, 22_700_000).RequiresGrad(true)
		w.SetGrad(noise(2, 22_700_000))
		return func() { GradNorm([]*Tensor{w}) }
	})
}

// cpuTime is the processor time of the process in seconds.
func cpuTime() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
