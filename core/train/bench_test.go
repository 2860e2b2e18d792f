//go:build torch

package train

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
)

// minilm is the default base model, or a skip.
func minilm(b *testing.B) string {
	home := os.Getenv("ISLM_HOME")
	if home == "" {
		cache, err := os.UserCacheDir()
		require.NoError(b, err)
		home = filepath.Join(cache, "islm")
	}
	dir := filepath.Join(home, "models", "all-MiniLM-L6-v2")
	if _, err := os.Stat(dir); err != nil {
		b.Skip("all-MiniLM-L6-v2 is not in the model store: run make bootstrap")
	}
	return dir
}

// clock is the wall clock, or for one thread the CPU time of this thread.
func clock(threads int) time.Duration {
	id := int32(unix.CLOCK_MONOTONIC)
	if threads == 1 {
		id = unix.CLOCK_THREAD_CPUTIME_ID
	}
	var t unix.Timespec
	if unix.ClockGettime(id, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// BenchmarkStep times the phases of a training step of MiniLM-L6 with batches
// of 16 rows of similar length, as length bucketing gives them. With -cpu 1 the
// phases are CPU time, which a busy machine does not change.
func BenchmarkStep(b *testing.B) {
	dir := minilm(b)
	for _, precision := range []string{"bf16", "fp32"} {
		for _, length := range []int{16, 32, 128} {
			b.Run(fmt.Sprintf("%s/%d", precision, length), func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 1))
				var all []*recipe.Encoded
				for i := range 64 {
					e := &recipe.Encoded{ID: fmt.Sprint(i), Key: r.Uint64(), IDs: make([]int32, length-i%4), Targets: []recipe.Target{{Has: true, Class: int32(i % 3)}}}
					for j := range e.IDs {
						e.IDs[j] = int32(1000 + r.IntN(20000))
					}
					all = append(all, e)
				}
				p := plan()
				p.Train.Precision = precision
				job := newJobAt(b.TempDir(), p, all)
				job.Base, job.Threads = dir, runtime.GOMAXPROCS(0)
				tr := newTrainer(job)
				defer tr.close()
				require.NoError(b, tr.prepare())
				var phase [4]time.Duration
				tokens := 0
				for n := 0; b.Loop(); n++ {
					rows := all[n*16%64 : n*16%64+16]
					require.NoError(b, torch.Do(func() {
						s := torch.Open()
						defer s.Close()
						at := clock(job.Threads)
						lap := func(i int) { now := clock(job.Threads); phase[i] += now - at; at = now }
						in, err := tr.model.Input(rows, 0)
						require.NoError(b, err)
						loss, err := tr.model.Loss(in, &model.Pass{Train: true, Step: uint64(n), BF16: tr.bf16}, tr.model.Norms(rows))
						require.NoError(b, err)
						lap(0)
						loss.Backward()
						lap(1)
						torch.ClipGradNorm(tr.trainable, 1)
						lap(2)
						tr.optimizer.Step(1e-5)
						tr.optimizer.ZeroGrad()
						lap(3)
					}))
					for _, r := range rows {
						tokens += len(r.IDs)
					}
				}
				for i, name := range []string{"forward", "backward", "clip", "update"} {
					b.ReportMetric(float64(phase[i].Microseconds())/1000/float64(b.N), name+"-ms")
				}
				b.ReportMetric(float64(tokens)/(phase[0]+phase[1]+phase[2]+phase[3]).Seconds(), "tokens/s")
			})
		}
	}
}
