package core

import (
	"math"
	"testing"

	"github.com/islm-dev/islm/core/recipe"
)

// A saved adapter is compared by every number that a head gives.
func TestApart(t *testing.T) {
	out := func(change func(*recipe.Output)) []recipe.Prediction {
		o := recipe.Output{Scores: []float32{.2, .8}, Tags: []int32{1, 2}, TagScores: []float32{.9, .7}, LogLoss: 6, Tokens: 3, Value: 40, Vector: []float32{1, 0}, Spans: []recipe.ScoredStretch{{Stretch: recipe.Stretch{From: 1, To: 3}, Score: 2}}}
		o.Scores, o.Vector = append([]float32{}, o.Scores...), append([]float32{}, o.Vector...)
		if change != nil {
			change(&o)
		}
		return []recipe.Prediction{{Heads: []recipe.Output{o}}}
	}
	for name, tc := range map[string]struct {
		change func(*recipe.Output)
		worst  float64
		differ int
		fails  bool
	}{
		"the same":      {nil, 0, 0, false},
		"a probability": {func(o *recipe.Output) { o.Scores[1] = .7 }, .1, 0, false},
		"a grade":       {func(o *recipe.Output) { o.Value = 42 }, .05, 0, false}, // of 40
		"a vector":      {func(o *recipe.Output) { o.Vector[1] = .5 }, .5, 0, false},
		"a log-loss":    {func(o *recipe.Output) { o.LogLoss = 9 }, .5, 0, false}, // 1 nat of 2 a token
		"a tag":         {func(o *recipe.Output) { o.Tags = []int32{1, 0} }, 0, 1, false},
		"another span": {func(o *recipe.Output) {
			o.Spans = []recipe.ScoredStretch{{Stretch: recipe.Stretch{From: 2, To: 3}, Score: 2}}
		}, 0, 1, false},
		"no span":      {func(o *recipe.Output) { o.Spans = nil }, 0, 1, false},
		"no number":    {func(o *recipe.Output) { o.Vector[0] = float32(math.NaN()) }, 0, 0, true},
		"other labels": {func(o *recipe.Output) { o.Scores = o.Scores[:1] }, 0, 0, true},
		"no tags":      {func(o *recipe.Output) { o.Tags = nil }, 0, 0, true},
	} {
		worst, differ, err := apart(out(nil), out(tc.change))
		if tc.fails != (err != nil) || !tc.fails && (math.Abs(worst-tc.worst) > 1e-6 || differ != tc.differ) {
			t.Errorf("%s: worst %v, differ %d, %v", name, worst, differ, err)
		}
	}
	if _, _, err := apart(out(nil), nil); err == nil {
		t.Error("missing rows are not seen")
	}
}
