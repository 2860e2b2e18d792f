package corpus

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// tasks is a shard of rows of one head each: 60 of the first, 15 of the second, 5 of
// both.
func tasks() *Shard {
	heads := []sdk.HeadSpec{{Name: "a", Kind: sdk.KindClassify, Labels: []string{"x", "y"}}, {Name: "b", Kind: sdk.KindRegress}}
	var rows []*recipe.Encoded
	for i := range 80 {
		r := &recipe.Encoded{ID: fmt.Sprint(i), IDs: make([]int32, 3+i%5), Targets: make([]recipe.Target, 2)}
		r.Targets[0].Has, r.Targets[1].Has = i < 60 || i >= 75, i >= 60
		rows = append(rows, r)
	}
	return NewShard(heads, rows)
}

// Shares are those of the sizes to the power of 1/T; an epoch keeps its length, and
// over the epochs every row of a task comes as often as the others, give or take one.
func TestSampling(t *testing.T) {
	for _, tc := range []struct {
		sampling    string
		temperature float64
		want        [3]int
	}{
		{recipe.SamplingProportional, 2, [3]int{60, 15, 5}},
		{recipe.SamplingTemperature, 1, [3]int{60, 15, 5}},
		{recipe.SamplingTemperature, 2, [3]int{45, 22, 13}}, // 7.746, 3.873, 2.236 of 13.855
		{recipe.SamplingTemperature, 1e6, [3]int{27, 27, 26}},
		{recipe.SamplingUniform, 2, [3]int{27, 27, 26}},
	} {
		p := recipe.Defaults()
		p.Seed, p.Train.BatchSize, p.Data.Sampling, p.Data.Temperature = 7, 8, tc.sampling, tc.temperature
		l, again := NewLoader(tasks(), p, 16), NewLoader(tasks(), p, 16)
		seen := make([]int, 80)
		for epoch := range 6 {
			batches := l.order(epoch)
			if len(batches) != l.Steps(epoch) {
				t.Errorf("%d batches, %d steps", len(batches), l.Steps(epoch))
			}
			if diff := cmp.Diff(batches, again.order(epoch)); diff != "" {
				t.Error(diff)
			}
			var got [3]int
			for _, row := range slices.Concat(batches...) {
				seen[row]++
				switch {
				case row < 60:
					got[0]++
				case row < 75:
					got[1]++
				default:
					got[2]++
				}
			}
			if got != tc.want {
				t.Errorf("%s %g: %v, want %v", tc.sampling, tc.temperature, got, tc.want)
			}
		}
		for _, part := range [][]int{seen[:60], seen[60:75], seen[75:]} {
			if slices.Max(part)-slices.Min(part) > 1 {
				t.Errorf("%s: rows of a task come %d to %d times", tc.sampling, slices.Min(part), slices.Max(part))
			}
		}
		if tc.sampling == recipe.SamplingUniform && cmp.Equal(l.order(0), l.order(1)) {
			t.Error("two epochs are the same")
		}
	}
}

// Shares of one seed lie within each other, keep each label's part, and keep rows of
// one example together.
func TestShare(t *testing.T) {
	var all []sdk.Example
	for i := range 100 {
		label := "common"
		if i%25 == 0 {
			label = "rare"
		}
		all = append(all, sdk.Example{ID: fmt.Sprint(i), Labels: map[string]sdk.Label{"l": {Values: []string{label}}}})
	}
	count := func(examples []sdk.Example, label string) (n int) {
		for _, ex := range examples {
			if ex.Labels["l"].Values[0] == label {
				n++
			}
		}
		return n
	}
	held := map[string]bool{}
	for _, share := range []float64{0.05, 0.25, 0.5, 1} {
		part := Share(all, share, 3)
		if len(part) != CountShare(all, share) || count(part, "rare") != taken(4, share) || count(part, "common") != taken(96, share) {
			t.Errorf("%g: %d rare, %d common", share, count(part, "rare"), count(part, "common"))
		}
		now := map[string]bool{}
		for _, ex := range part {
			now[ex.ID] = true
		}
		for id := range held {
			if !now[id] {
				t.Errorf("%s is in a smaller share, not in %g", id, share)
			}
		}
		held = now
	}
	if cmp.Equal(Share(all, 0.25, 3), Share(all, 0.25, 4)) {
		t.Error("two seeds draw the same")
	}
	var pairs []sdk.Example
	for i := range 40 {
		pairs = append(pairs, sdk.Example{ID: fmt.Sprintf("%d#%d", i/4, i), Parent: fmt.Sprint(i / 4), Labels: map[string]sdk.Label{"l": {Values: []string{"x"}, Spans: []sdk.Span{}}}})
	}
	if part := Share(pairs, 0.3, 1); len(part) != 12 || CountShare(pairs, 0.3) != 3 {
		t.Errorf("%d rows", len(part))
	}
}
