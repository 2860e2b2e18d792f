//go:build torch

package kge

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// families is a graph that can be learned: parents and children, siblings, and
// the house that a family lives in. Every tenth fact is for validation, every
// other tenth for the test.
func families(t *testing.T) *Data {
	t.Helper()
	var splits [3][]Named
	n := 0
	add := func(h, r, tail string) {
		i := []int{0, 0, 0, 1, 0, 0, 0, 0, 2, 0}[n%10]
		n++
		splits[i] = append(splits[i], Named{h, r, tail})
	}
	for f := range 12 {
		house := fmt.Sprintf("house%d", f)
		var children []string
		for c := range 4 {
			children = append(children, fmt.Sprintf("child%d.%d", f, c))
		}
		for i, c := range children {
			for p := range 2 {
				parent := fmt.Sprintf("parent%d.%d", f, p)
				add(parent, "parent_of", c)
				add(c, "child_of", parent)
			}
			add(c, "lives_in", house)
			for j, o := range children {
				if i != j {
					add(c, "sibling_of", o)
				}
			}
		}
		for p := range 2 {
			add(fmt.Sprintf("parent%d.%d", f, p), "lives_in", house)
		}
	}
	d, err := Collect(nil, splits[0], splits[1], splits[2])
	require.NoError(t, err)
	return d
}

func settings(model string) Settings {
	s := Settings{Model: model, Dim: 32, Loss: Softmax, Reciprocal: true, Epochs: 30, Batch: 32, Answers: 3, Seed: 5, Optimizer: Adagrad, LR: 0.1, N3: 0.02, Init: 0.001, EvalEvery: 5}
	if model == TransE || model == RotatE {
		s.Loss, s.Optimizer, s.Reciprocal, s.Answers, s.N3 = Negative, Adam, false, 1, 0
		s.LR, s.LRDrop, s.Negatives, s.Margin, s.Temperature = 0.02, 0.8, 16, 4, 1
	}
	return s
}

func job(t *testing.T, s Settings) Job {
	t.Helper()
	return Job{Data: families(t), Settings: s, Dir: filepath.Join(t.TempDir(), "out"), Threads: 1, Device: "cpu"}
}

func TestEveryModelLearns(t *testing.T) {
	for _, model := range []string{TransE, DistMult, ComplEx, RotatE} {
		for _, loss := range []string{Softmax, Negative} {
			s := settings(model)
			if loss == Softmax && s.Loss == Negative {
				continue
			}
			if s.Loss != loss {
				s.Loss, s.Answers, s.Negatives, s.Temperature = Negative, 1, 16, 1
			}
			t.Run(model+" "+loss, func(t *testing.T) {
				j := job(t, s)
				r, err := Train(context.Background(), j)
				require.NoError(t, err)
				require.Len(t, r.History, 6)
				// A guess ranks in the middle of 84 entities.
				require.Greater(t, r.Test.MRR, 0.5, "%+v", *r.Test)
				require.GreaterOrEqual(t, r.Test.Hits10, r.Test.Hits3)
				best := 0.0
				for _, h := range r.History {
					best = max(best, h.Scores.MRR)
				}
				require.Equal(t, best, r.Valid.MRR)
				require.Equal(t, len(j.Data.Test), r.Test.Facts)
			})
		}
	}
}

// The scores of a run are those that its files give, computed anew.
func TestFilesAreTheResult(t *testing.T) {
	for _, model := range []string{ComplEx, RotatE} {
		t.Run(model, func(t *testing.T) {
			s := settings(model)
			s.Epochs = 10
			j := job(t, s)
			r, err := Train(context.Background(), j)
			require.NoError(t, err)
			left, err := os.ReadDir(j.Dir)
			require.NoError(t, err)
			var names []string
			for _, e := range left {
				names = append(names, e.Name())
			}
			require.Equal(t, []string{ResultFile, EntitiesFile, RelationsFile, VectorsFile}, names, "no checkpoint is left")
			text, err := os.ReadFile(filepath.Join(j.Dir, EntitiesFile))
			require.NoError(t, err)
			require.Equal(t, j.Data.Entities, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))

			f, err := safetensors.Open(filepath.Join(j.Dir, VectorsFile))
			require.NoError(t, err)
			defer f.Close()
			vectors := func(name string) [][]float32 {
				e, ok := f.Entry(name)
				require.True(t, ok, name)
				require.Equal(t, "F32", e.DType)
				out := make([][]float32, e.Shape[0])
				for i := range out {
					for k := range e.Shape[1] {
						at := 4 * (int64(i)*e.Shape[1] + k)
						out[i] = append(out[i], math.Float32frombits(uint32(e.Data[at])|uint32(e.Data[at+1])<<8|uint32(e.Data[at+2])<<16|uint32(e.Data[at+3])<<24))
					}
				}
				return out
			}
			ents, rels := vectors(EntityTensor), vectors(RelationTensor)
			require.Len(t, ents, len(j.Data.Entities))
			back := rels
			if s.Reciprocal {
				back = vectors(ReciprocalTensor)
			}
			known := newAnswers(len(j.Data.Relations), j.Data.Train, j.Data.Valid, j.Data.Test)
			var sum float64
			for _, fact := range j.Data.Test {
				q, a, p, b := fact.queries(len(j.Data.Relations))
				for side, x := range []struct {
					q  Query
					is int32
				}{{q, a}, {p, b}} {
					scores := make([]float32, len(ents))
					for e := range scores {
						switch {
						case side == 0:
							scores[e] = plain(model, ents[x.q.Entity], rels[fact.Relation], ents[e])
						case s.Reciprocal:
							scores[e] = plain(model, ents[x.q.Entity], back[fact.Relation], ents[e])
						default:
							scores[e] = plain(model, ents[e], rels[fact.Relation], ents[x.q.Entity])
						}
					}
					sum += 1 / naive(scores, x.is, known.of(x.q))
				}
			}
			require.InDelta(t, r.Test.MRR, sum/float64(2*len(j.Data.Test)), 1e-4)
		})
	}
}

// plain scores a fact by hand.
func plain(model string, h, r, t []float32) float32 {
	k := len(h) / 2
	score := 0.0
	for i := range k {
		a, b := complex(float64(h[i]), float64(h[k+i])), complex(float64(t[i]), float64(t[k+i]))
		if model == ComplEx {
			score += real(a * complex(float64(r[i]), float64(r[k+i])) * complex(real(b), -imag(b)))
			continue
		}
		d := a*complex(math.Cos(float64(r[i])), math.Sin(float64(r[i]))) - b
		score -= math.Hypot(real(d), imag(d))
	}
	return float32(score)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// A run that is stopped anywhere and resumed ends in the bytes of one that was not.
func TestResumeEndsInTheSameBytes(t *testing.T) {
	for _, model := range []string{ComplEx, RotatE} {
		t.Run(model, func(t *testing.T) {
			s := settings(model)
			s.Epochs, s.EvalEvery = 6, 2
			whole := job(t, s)
			var steps int
			whole.Observe = func(e Event) { steps = max(steps, e.Step) }
			want, err := Train(context.Background(), whole)
			require.NoError(t, err)
			again := job(t, s)
			_, err = Train(context.Background(), again)
			require.NoError(t, err)
			require.Equal(t, read(t, filepath.Join(whole.Dir, VectorsFile)), read(t, filepath.Join(again.Dir, VectorsFile)), "two runs")

			broken := job(t, s)
			broken.Resume = true
			stops := 0
			for {
				ctx, cancel := context.WithCancel(context.Background())
				n := 0
				// Steps of every kind are interrupted: within an epoch, at its
				// end, and in the validation that follows.
				broken.Observe = func(e Event) {
					if e.Kind == EventResume {
						require.Positive(t, e.Step)
						return
					}
					if n++; n == 17 {
						cancel()
					}
				}
				got, err := Train(ctx, broken)
				cancel()
				if err == nil {
					require.NotNil(t, got.ResumedFrom)
					require.Equal(t, want.Test, got.Test)
					require.Equal(t, want.BestEpoch, got.BestEpoch)
					break
				}
				require.ErrorIs(t, err, context.Canceled)
				stops++
				require.Less(t, stops, steps)
			}
			require.Greater(t, stops, 2)
			require.Equal(t, read(t, filepath.Join(whole.Dir, VectorsFile)), read(t, filepath.Join(broken.Dir, VectorsFile)))

			// Finished is finished; other settings or facts are no resume.
			broken.Observe = func(e Event) { t.Errorf("a finished run does %s", e.Kind) }
			r, err := Train(context.Background(), broken)
			require.NoError(t, err)
			require.Equal(t, want.Test, r.Test)
			broken.Settings.LR = 1
			_, err = Train(context.Background(), broken)
			require.ErrorContains(t, err, "run.plan-differs")
			require.ErrorContains(t, err, "lr: ")
			broken.Settings.LR = s.LR
			broken.Data.Train = broken.Data.Train[1:]
			_, err = Train(context.Background(), broken)
			require.ErrorContains(t, err, "run.data-differs")
		})
	}
}

func TestEarlyStop(t *testing.T) {
	s := settings(DistMult)
	s.Epochs, s.EvalEvery, s.Patience, s.LR = 200, 1, 2, 0.5
	r, err := Train(context.Background(), job(t, s))
	require.NoError(t, err)
	require.True(t, r.Stopped)
	require.Less(t, r.Epochs, 200)
	require.Equal(t, r.Epochs-2, r.BestEpoch)
	require.Equal(t, r.History[r.BestEpoch-1].Scores, *r.Valid)
}

func TestWithoutHeldOutFacts(t *testing.T) {
	s := settings(ComplEx)
	s.Epochs, s.EvalEvery = 4, 2
	j := job(t, s)
	j.Data.Valid, j.Data.Test = nil, nil
	var seen []string
	j.Observe = func(e Event) {
		if e.Kind == EventEpoch && e.Epoch == 3 {
			left, err := filepath.Glob(filepath.Join(j.Dir, checkpointPrefix+"*"))
			require.NoError(t, err)
			require.Len(t, left, 1, "a checkpoint is left all the same")
		}
		if e.Kind != EventStep && e.Kind != EventEpoch {
			seen = append(seen, e.Kind)
		}
	}
	r, err := Train(context.Background(), j)
	require.NoError(t, err)
	require.Empty(t, seen)
	require.Nil(t, r.Valid)
	require.Nil(t, r.Test)
	require.Equal(t, 4, r.BestEpoch)
}

func TestFolders(t *testing.T) {
	j := job(t, settings(ComplEx))
	require.NoError(t, os.MkdirAll(j.Dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(j.Dir, "thesis.txt"), nil, 0o644))
	_, err := Train(context.Background(), j)
	require.ErrorContains(t, err, "run.not-empty")
	j.Resume = true
	_, err = Train(context.Background(), j)
	require.ErrorContains(t, err, "run.foreign")
	ds, fatal, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok && fatal)
	require.Len(t, ds, 1)
}

func TestNothingIsLeftBehind(t *testing.T) {
	s := settings(ComplEx)
	s.Epochs = 2
	live := func() (n int) {
		require.NoError(t, torch.Do(func() { n = torch.Live() }))
		return n
	}
	before := live()
	_, err := Train(context.Background(), job(t, s))
	require.NoError(t, err)
	require.Equal(t, before, live())

	s.LR = math.MaxFloat32
	s.N3 = 0
	_, err = Train(context.Background(), job(t, s))
	require.ErrorContains(t, err, "kge.diverged")
	require.Equal(t, before, live())
}
