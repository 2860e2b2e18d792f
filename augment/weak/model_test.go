package weak

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// planted makes votes whose truth is known: functions with accuracies from good to
// worse than a coin, each silent most of the time. With single, every function says
// one class alone, as a rule does.
func planted(seed uint64, single bool) (*Votes, []int) {
	r := rand.New(rand.NewPCG(seed, 7))
	balance := []float64{0.55, 0.3, 0.15}
	accuracy := []float64{0.92, 0.85, 0.8, 0.6, 0.55, 0.5, 0.5, 0.45, 0.45, 0.45, 0.4, 0.4}
	v := &Votes{Classes: []string{"a", "b", "c"}}
	for f := range accuracy {
		v.Functions = append(v.Functions, fmt.Sprint("f", f))
	}
	var truth []int
	for range 1500 {
		y, u := 0, r.Float64()
		for u > balance[y] {
			u -= balance[y]
			y++
		}
		truth = append(truth, y)
		var row []Vote
		for f, acc := range accuracy {
			fires, says := r.Float64() < 0.25+0.05*float64(f%4), y
			if r.Float64() >= acc {
				says = (y + 1 + r.IntN(2)) % 3
			}
			if single { // says its own class: where that is the truth often, elsewhere seldom
				own := f % 3
				rate := 0.4
				if y != own {
					rate = 0.4 * (1 - acc) * balance[own] / acc / (1 - balance[own])
				}
				fires, says = r.Float64() < rate, own
			}
			if fires {
				row = append(row, Vote{f, says})
			}
		}
		v.Rows = append(v.Rows, row)
	}
	return v, truth
}

// accuracy is the share of items with votes that are labelled right; a tie counts
// as guessing among its classes.
func accuracy(probs [][]float64, truth []int) float64 {
	right, n := 0.0, 0
	for i, p := range probs {
		if p == nil {
			continue
		}
		n++
		best := Best(p)
		for _, c := range best {
			if c == truth[i] {
				right += 1 / float64(len(best))
			}
		}
	}
	return right / float64(n)
}

// On planted noise the generative model beats majority vote, with every seed.
func TestModelBeatsMajority(t *testing.T) {
	for _, single := range []bool{false, true} {
		name := map[bool]string{false: "functions that say any class", true: "functions that say one class"}[single]
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 5; seed++ {
				v, truth := planted(seed, single)
				m, err := Fit(v, Options{})
				require.NoError(t, err)
				major, model := accuracy(Majority(v), truth), accuracy(m.Predict(v), truth)
				t.Logf("seed %d: majority %.3f, model %.3f", seed, major, model)
				assert.Greater(t, model, major+0.01)
			}
		})
	}
}

// The estimated accuracies are near the true ones, so that they can be believed.
func TestModelKnowsItsFunctions(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		v, truth := planted(seed, false)
		m, err := Fit(v, Options{})
		require.NoError(t, err)
		worst := 0.0
		for _, s := range Stats(v, m.Predict(v), truth) {
			worst = max(worst, math.Abs(*s.Estimated-*s.Measured))
		}
		t.Logf("seed %d: largest error of an estimated accuracy %.3f", seed, worst)
		assert.Less(t, worst, 0.1)
		for c, b := range []float64{0.55, 0.3, 0.15} {
			assert.InDelta(t, b, m.Balance[c], 0.1)
		}
	}
}

// EM never goes down, and all that it returns are probabilities.
func TestModelProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, nf := rapid.IntRange(2, 4).Draw(t, "classes"), rapid.IntRange(1, 6).Draw(t, "functions")
		v := &Votes{Classes: make([]string, k), Functions: make([]string, nf)}
		for range rapid.IntRange(1, 40).Draw(t, "items") {
			var row []Vote
			for f := range nf {
				if c := rapid.IntRange(-k, k-1).Draw(t, "vote"); c >= 0 {
					row = append(row, Vote{f, c})
				}
			}
			v.Rows = append(v.Rows, row)
		}
		m, err := Fit(v, Options{Iterations: 30})
		if err != nil {
			if err != ErrNoVotes { //nolint:errorlint // returned as it is
				t.Fatal(err)
			}
			return
		}
		for i := 1; i < len(m.LogLikelihood); i++ {
			if m.LogLikelihood[i] < m.LogLikelihood[i-1]-1e-6*math.Abs(m.LogLikelihood[i-1]) {
				t.Fatalf("the likelihood falls: %v", m.LogLikelihood)
			}
		}
		for f := range m.Hit {
			for c := range m.Hit[f] {
				if m.Hit[f][c] < m.Miss[f][c]-1e-9 || m.Hit[f][c] > 1 || m.Miss[f][c] < 0 {
					t.Fatalf("function %d, class %d: %v %v", f, c, m.Hit[f][c], m.Miss[f][c])
				}
			}
		}
		for i, p := range m.Predict(v) {
			if (p == nil) != (len(v.Rows[i]) == 0) {
				t.Fatal("an item without votes has a label, or one with votes has none")
			}
			sum := 0.0
			for _, x := range p {
				sum += x
			}
			if p != nil && math.Abs(sum-1) > 1e-9 {
				t.Fatalf("probabilities sum to %v", sum)
			}
		}
	})
}

func TestStats(t *testing.T) {
	v := &Votes{Functions: []string{"x", "y", "z"}, Classes: []string{"a", "b"}, Rows: [][]Vote{{{0, 0}, {1, 0}}, {{0, 0}, {1, 1}}, {{0, 1}}, nil}}
	s := Stats(v, nil, []int{0, 0, -1, 1})
	assert.Equal(t, map[string]int{"a": 2, "b": 1}, s[0].Votes)
	assert.InDelta(t, 0.75, s[0].Coverage, 1e-9)
	assert.InDelta(t, 0.5, s[0].Overlap, 1e-9)
	assert.InDelta(t, 0.25, s[0].Conflict, 1e-9)
	assert.InDelta(t, 1, *s[0].Measured, 1e-9)
	assert.Equal(t, 2, s[0].Judged)
	assert.InDelta(t, 0.5, *s[1].Measured, 1e-9)
	assert.Nil(t, s[2].Measured)
	assert.Nil(t, s[0].Estimated)
	assert.Zero(t, s[2].Coverage)
	assert.Equal(t, [][]float64{{1, 0}, {0.5, 0.5}, {0, 1}, nil}, Majority(v))
}

func TestFitRefuses(t *testing.T) {
	for _, rows := range [][][]Vote{{{{2, 0}}}, {{{0, 5}}}, {{{0, 0}, {0, 1}}}} {
		_, err := Fit(&Votes{Functions: []string{"f"}, Classes: []string{"a", "b"}, Rows: rows}, Options{})
		require.Error(t, err)
	}
	_, err := Fit(&Votes{Functions: []string{"f"}, Classes: []string{"a"}, Rows: [][]Vote{{{0, 0}}}}, Options{Balance: []float64{0.5, 0.5}})
	require.Error(t, err)
}
