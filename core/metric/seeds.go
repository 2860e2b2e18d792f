package metric

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// PairedBootstrapRuns compares the score `name` of two ways of training, each
// run with the same seeds in the same order and scored on the same examples:
// a[i] and b[i] share a seed. The difference is that of the means. Each draw
// takes examples and pairs of runs with replacement, so that the interval holds
// the chance of both. The result is a function of its arguments alone.
func PairedBootstrapRuns(a, b []*Report, name string, seed uint64) (*Difference, error) {
	if len(a) == 0 || len(a) != len(b) {
		return nil, fmt.Errorf("paired bootstrap: %d runs against %d", len(a), len(b))
	}
	type pair struct{ a, b func([]int32) float64 }
	pairs := make([]pair, len(a))
	n := -1
	for i := range a {
		for _, r := range []*Report{a[i], b[i]} {
			if r == nil || r.Sample == nil {
				return nil, errors.New("paired bootstrap: a report that was read from a file has no examples")
			}
			if n < 0 {
				n = r.Sample.Len()
			}
			if r.Sample.Len() != n {
				return nil, fmt.Errorf("paired bootstrap: %d examples against %d", r.Sample.Len(), n)
			}
		}
		var err error
		if pairs[i].a, err = a[i].Sample.scorer(name); err == nil {
			pairs[i].b, err = b[i].Sample.scorer(name)
		}
		if err != nil {
			return nil, fmt.Errorf("paired bootstrap: %w", err)
		}
	}
	d := &Difference{Metric: name, N: n, Runs: len(a), Draws: Draws, P: 1}
	for _, p := range pairs {
		d.A += p.a(nil) / float64(len(pairs))
		d.B += p.b(nil) / float64(len(pairs))
	}
	d.Diff = d.B - d.A
	if n == 0 {
		return d, nil
	}
	weight := make([]int32, n)
	diffs := make([]float64, Draws)
	below, above := 0, 0
	for i := range diffs {
		draw(weight, seed, i)
		rng := rand.New(rand.NewPCG(seed^0x72756e73, uint64(i))) // "runs"
		for range pairs {
			p := pairs[rng.IntN(len(pairs))]
			diffs[i] += (p.b(weight) - p.a(weight)) / float64(len(pairs))
		}
		if diffs[i] <= 0 {
			below++
		}
		if diffs[i] >= 0 {
			above++
		}
	}
	d.Range = interval(diffs)
	d.P = math.Min(1, 2*float64(1+min(below, above))/float64(Draws+1))
	return d, nil
}
