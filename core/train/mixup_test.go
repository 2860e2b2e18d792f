//go:build torch

package train

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
)

// mixedRows are the fixture's rows, which ask to be mixed.
func mixedRows(t *testing.T, n int, m recipe.Mixup) []*recipe.Encoded {
	t.Helper()
	_, all := loadTrajectory(t)
	for _, r := range all {
		r.Mixup = &m
	}
	return all[:n]
}

// The rows of a step are mixed in the same way however it is cut, dropout on, and
// not as they are without mixup.
func TestMixupFollowsTheStep(t *testing.T) {
	all := mixedRows(t, 60, recipe.Mixup{Alpha: 0.4})
	drop := 0.2
	run := func(size, accumulate int, rows_ []*recipe.Encoded) []float64 {
		p := plan()
		p.Train.Epochs, p.Train.BatchSize, p.Train.Accumulate, p.Train.Dropout = 1, size, accumulate, &drop
		job := newJob(t, p, rows_)
		job.Train = &rows{all: rows_, size: size}
		var losses []float64
		job.Observe = func(e recipe.Event) {
			if e.Kind == recipe.EventStep {
				losses = append(losses, e.Loss)
			}
		}
		_, err := Engine{}.Train(t.Context(), job)
		require.NoError(t, err)
		return losses
	}
	want, got := run(8, 1, all), run(2, 4, all)
	require.Len(t, want, 8)
	for i := range want {
		require.InDelta(t, want[i], got[i], 1e-4, "step %d", i)
	}
	_, plain := loadTrajectory(t)
	require.Greater(t, math.Abs(want[0]-run(8, 1, plain[:60])[0]), 1e-4)
	require.Nil(t, all[0].Mixed, "the loader's rows stay as they are")
}

// Killed and resumed, a run with mixup ends in the same bytes.
func TestMixupResumes(t *testing.T) {
	all := mixedRows(t, 40, recipe.Mixup{Alpha: 0.2, SameLabel: true})
	p := plan()
	p.Train.CheckpointEvery = 2
	whole := newJob(t, p, all)
	_, err := Engine{}.Train(t.Context(), whole)
	require.NoError(t, err)
	dir := t.TempDir()
	killed, _ := trainKilled(t, newJobAt(dir, p, all), 5, 0)
	require.True(t, killed)
	again := newJobAt(dir, p, all)
	again.Resume = true
	_, err = Engine{}.Train(t.Context(), again)
	require.NoError(t, err)
	require.Equal(t, digest(t, filepath.Join(whole.ExportDir, hf.WeightsFile)), digest(t, filepath.Join(again.ExportDir, hf.WeightsFile)))
}

// A row is mixed with another of its labels, if that is asked for, and with none
// where there is none.
func TestMixupPartners(t *testing.T) {
	row := func(class int32) *recipe.Encoded {
		return &recipe.Encoded{Mixup: &recipe.Mixup{SameLabel: true}, Targets: []recipe.Target{{Has: true, Class: class}}}
	}
	rows := []*recipe.Encoded{row(0), row(1), row(0), row(2)}
	order := []int{0, 1, 2, 3}
	require.Same(t, rows[2], partner(rows, order, 0))
	require.Same(t, rows[0], partner(rows, order, 2), "the order is a ring")
	require.Nil(t, partner(rows, order, 1))
	rows[1].Mixup = &recipe.Mixup{}
	require.Same(t, rows[2], partner(rows, order, 1))
	rows[0].Mixup = nil
	require.Nil(t, partner(rows, order, 0))
}

// Mean and variance of Beta(a, a) are 1/2 and 1/(4(2a+1)); tiny shapes give 0 or 1.
func TestBeta(t *testing.T) {
	for _, alpha := range []float64{0.001, 0.2, 1, 4} {
		rng := rand.New(rand.NewPCG(1, math.Float64bits(alpha)))
		const n = 20000
		var sum, squares float64
		for range n {
			x := beta(rng, alpha)
			require.True(t, x >= 0 && x <= 1, "%v", x)
			sum, squares = sum+x, squares+x*x
		}
		mean := sum / n
		require.InDelta(t, 0.5, mean, 0.015, "alpha %v", alpha)
		require.InDelta(t, 1/(4*(2*alpha+1)), squares/n-mean*mean, 0.01, "alpha %v", alpha)
	}
}
