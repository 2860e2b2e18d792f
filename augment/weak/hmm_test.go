package weak

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// plantedSpans makes marks whose truth is known. Functions find true spans by a
// rate of their own, cut some of them short, and mark noise; some know one label.
func plantedSpans(seed uint64) (*Sequences, [][]Mark) {
	r := rand.New(rand.NewPCG(seed, 11))
	functions := []struct {
		finds, cuts, noise float64
		labels             []int
	}{
		{0.8, 0.05, 0.02, []int{0, 1}}, {0.75, 0.1, 0.02, []int{0}}, {0.7, 0.1, 0.03, []int{1}},
		{0.4, 0.5, 0.3, []int{0, 1}}, {0.4, 0.6, 0.35, []int{0, 1}}, {0.3, 0.5, 0.4, []int{0, 1}}, {0.3, 0.6, 0.4, []int{1}},
	}
	s := &Sequences{Labels: []string{"ORG", "PER"}}
	for f := range functions {
		s.Functions = append(s.Functions, fmt.Sprint("f", f))
	}
	var truth [][]Mark
	for range 300 {
		it := Sequence{Tokens: 8 + r.IntN(10)}
		var gold []Mark
		for t := r.IntN(5); t < it.Tokens; t += 1 + r.IntN(6) {
			end := min(t+1+r.IntN(3), it.Tokens)
			gold = append(gold, Mark{Start: t, End: end, Label: r.IntN(2)})
			t = end
		}
		for f, fn := range functions {
			used := make([]bool, it.Tokens)
			for _, g := range gold {
				if r.Float64() >= fn.finds || !slices.Contains(fn.labels, g.Label) {
					continue
				}
				m := Mark{Function: f, Start: g.Start, End: g.End, Label: g.Label}
				if m.End-m.Start > 1 && r.Float64() < fn.cuts {
					m.End--
				}
				for t := m.Start; t < m.End; t++ {
					used[t] = true
				}
				it.Marks = append(it.Marks, m)
			}
			if t := r.IntN(it.Tokens); r.Float64() < fn.noise && !used[t] {
				it.Marks = append(it.Marks, Mark{Function: f, Start: t, End: t + 1, Label: fn.labels[r.IntN(len(fn.labels))]})
			}
		}
		s.Items, truth = append(s.Items, it), append(truth, gold)
	}
	return s, truth
}

// spanF1 is the F1 of exact spans.
func spanF1(got, want [][]Mark) float64 {
	right, n, m := 0, 0, 0
	for i := range want {
		n, m = n+len(got[i]), m+len(want[i])
		for _, g := range got[i] {
			if slices.ContainsFunc(want[i], func(w Mark) bool { return w.Start == g.Start && w.End == g.End && w.Label == g.Label }) {
				right++
			}
		}
	}
	return 2 * float64(right) / float64(max(n+m, 1))
}

// On planted noise the hidden Markov model beats majority vote in each of its
// forms, with every seed.
func TestSequenceModelBeatsMajority(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		s, truth := plantedSpans(seed)
		m, err := FitSequences(s, 0)
		require.NoError(t, err)
		best := 0.0
		for _, share := range []float64{0, 0.25, 0.34, 0.5, 0.67} {
			best = max(best, spanF1(MajoritySpans(s, share), truth))
		}
		model := spanF1(m.Predict(s), truth)
		t.Logf("seed %d: best majority %.3f, hidden Markov model %.3f", seed, best, model)
		assert.Greater(t, model, best+0.01)
	}
}

// Scores are probabilities that keep what they say.
func TestSequenceScores(t *testing.T) {
	s, truth := plantedSpans(9)
	m, err := FitSequences(s, 0)
	require.NoError(t, err)
	sum, right, n := 0.0, 0.0, 0.0
	for i, marks := range m.Predict(s) {
		for _, x := range marks {
			require.True(t, x.Score > 0 && x.Score <= 1)
			sum, n = sum+x.Score, n+1
			if slices.ContainsFunc(truth[i], func(w Mark) bool { return w.Start == x.Start && w.End == x.End && w.Label == x.Label }) {
				right++
			}
		}
	}
	t.Logf("mean score %.3f, right %.3f", sum/n, right/n)
	assert.InDelta(t, right/n, sum/n, 0.08)
}

// The recursions against sums over all paths of short texts.
func TestSequenceModelAgainstAllPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Sequences{Functions: []string{"f", "g"}, Labels: []string{"A", "B"}}
		for range rapid.IntRange(1, 4).Draw(t, "items") {
			it := Sequence{Tokens: rapid.IntRange(1, 4).Draw(t, "tokens")}
			for range rapid.IntRange(1, 3).Draw(t, "marks") {
				a := rapid.IntRange(0, it.Tokens-1).Draw(t, "start")
				it.Marks = append(it.Marks, Mark{Function: rapid.IntRange(0, 1).Draw(t, "f"), Start: a, End: rapid.IntRange(a+1, it.Tokens).Draw(t, "end"), Label: rapid.IntRange(0, 1).Draw(t, "label")})
			}
			s.Items = append(s.Items, it)
		}
		m, err := FitSequences(s, 5)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(m.LogLikelihood); i++ {
			if m.LogLikelihood[i] < m.LogLikelihood[i-1]-1e-7*math.Abs(m.LogLikelihood[i-1]) {
				t.Fatalf("the likelihood falls: %v", m.LogLikelihood)
			}
		}
		for i, marks := range m.Predict(s) {
			paths, total, best := allPaths(m, s.observed(s.Items[i]))
			got := make([]int, s.Items[i].Tokens)
			for _, x := range marks {
				mass := 0.0
				for _, p := range paths {
					if slices.ContainsFunc(marksOf(p.states, func(int, int) float64 { return 0 }), func(y Mark) bool { return y.Start == x.Start && y.End == x.End && y.Label == x.Label }) {
						mass += p.chance
					}
				}
				if math.Abs(mass/total-x.Score) > 1e-9 {
					t.Fatalf("mark %+v has probability %v", x, mass/total)
				}
				for at := x.Start; at < x.End; at++ {
					got[at] = inside(x.Label)
				}
				got[x.Start] = begin(x.Label)
			}
			for _, p := range paths {
				if slices.Equal(p.states, got) && p.chance < best*(1-1e-9) {
					t.Fatalf("%v is not the most probable: %v < %v", got, p.chance, best)
				}
			}
		}
	})
}

type path struct {
	states []int
	chance float64
}

func allPaths(m *SequenceModel, obs [][]int) (paths []path, total, best float64) {
	var walk func(states []int, p float64)
	walk = func(states []int, p float64) {
		t := len(states)
		if t == len(obs) {
			paths = append(paths, path{slices.Clone(states), p})
			total += p
			best = max(best, p)
			return
		}
		for b := range m.Start {
			q := p
			if t == 0 {
				q *= m.Start[b]
			} else {
				q *= m.Next[states[t-1]][b]
			}
			for f, o := range obs[t] {
				q *= m.Says[f][b][o]
			}
			if q > 0 {
				walk(append(states, b), q)
			}
		}
	}
	walk(nil, 1)
	return paths, total, best
}

func TestMajoritySpans(t *testing.T) {
	s := &Sequences{Functions: []string{"f", "g", "h"}, Labels: []string{"A", "B"}, Items: []Sequence{{Tokens: 5, Marks: []Mark{
		{Function: 0, Start: 0, End: 2, Label: 0}, {Function: 1, Start: 0, End: 2, Label: 0}, {Function: 2, Start: 3, End: 4, Label: 1}, {Function: 0, Start: 1, End: 3, Label: 1},
	}}, {Tokens: 2}}}
	strip := func(ms [][]Mark) [][]Mark {
		for _, m := range ms {
			for i := range m {
				m[i].Score = 0
			}
		}
		return ms
	}
	assert.Equal(t, [][]Mark{{{Start: 0, End: 2, Label: 0}, {Start: 3, End: 4, Label: 1}}, nil}, strip(MajoritySpans(s, 0)), "an overlapping mark of one function does not count")
	assert.Equal(t, [][]Mark{{{Start: 0, End: 2, Label: 0}, {Start: 3, End: 4, Label: 1}}, nil}, strip(MajoritySpans(s, 0.5)))
	_, err := FitSequences(&Sequences{Items: []Sequence{{Tokens: 3}}}, 0)
	require.ErrorIs(t, err, ErrNoVotes)
	_, err = FitSequences(&Sequences{Functions: []string{"f"}, Labels: []string{"A"}, Items: []Sequence{{Tokens: 1, Marks: []Mark{{Start: 0, End: 2}}}}}, 0)
	require.Error(t, err)
}
