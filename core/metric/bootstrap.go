package metric

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// Draws is how many times the bootstraps of this package draw.
const Draws = 1000

// Interval is a 95 % percentile interval of the bootstrap.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Difference compares two models on the same examples.
type Difference struct {
	// Part names the examples that count, such as those with seen mentions; "" is
	// all. Runs is how many runs of each side A and B are the means of.
	Part string `json:"part,omitempty"`
	Runs int    `json:"runs,omitempty"`

	Metric string   `json:"metric"`
	N      int      `json:"n"` // examples
	A      float64  `json:"a"`
	B      float64  `json:"b"`
	Diff   float64  `json:"diff"` // B - A
	Range  Interval `json:"interval"`
	// P is the two-sided p-value: twice the share of draws on the other side
	// of 0, with one draw added so that it is never 0 (Davison and Hinkley,
	// 1997), at most 1.
	P     float64 `json:"p"`
	Draws int     `json:"draws"`
}

// PairedBootstrap compares the score `name` of two reports over the same
// examples in the same order (Efron; Koehn 2004): each draw takes n examples
// with replacement and scores both models on them. The result is a function of
// its arguments alone.
func PairedBootstrap(a, b *Report, name string, seed uint64) (*Difference, error) {
	if a == nil || b == nil || a.Sample == nil || b.Sample == nil {
		return nil, errors.New("paired bootstrap: a report that was read from a file has no examples")
	}
	if a.Sample.Len() != b.Sample.Len() {
		return nil, fmt.Errorf("paired bootstrap: %d examples against %d", a.Sample.Len(), b.Sample.Len())
	}
	fa, err := a.Sample.scorer(name)
	if err != nil {
		return nil, fmt.Errorf("paired bootstrap: %w", err)
	}
	fb, err := b.Sample.scorer(name)
	if err != nil {
		return nil, fmt.Errorf("paired bootstrap: %w", err)
	}
	d := &Difference{Metric: name, N: a.Sample.Len(), A: fa(nil), B: fb(nil), Draws: Draws, P: 1}
	d.Diff = d.B - d.A
	if d.N == 0 {
		return d, nil
	}
	weight := make([]int32, d.N)
	diffs := make([]float64, Draws)
	below, above := 0, 0
	for i := range diffs {
		draw(weight, seed, i)
		diffs[i] = fb(weight) - fa(weight)
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

// ScoreInterval is the interval of one score.
func ScoreInterval(r *Report, name string, seed uint64) (*Interval, error) {
	if r == nil || r.Sample == nil {
		return nil, errors.New("bootstrap: a report that was read from a file has no examples")
	}
	f, err := r.Sample.scorer(name)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	if r.Sample.Len() == 0 {
		return &Interval{}, nil
	}
	weight := make([]int32, r.Sample.Len())
	scores := make([]float64, Draws)
	for i := range scores {
		draw(weight, seed, i)
		scores[i] = f(weight)
	}
	in := interval(scores)
	return &in, nil
}

// Groups are the scores of parts of the examples.
type Groups struct {
	Field  string  `json:"field,omitempty"`
	Metric string  `json:"metric"`
	Groups []Group `json:"groups"` // sorted by name
	// Best and Worst name the groups with the highest and lowest score, Gap is
	// the distance of their scores. Range is its interval: each draw takes
	// examples anew within both groups. Empty with fewer than two groups.
	Best  string   `json:"best,omitempty"`
	Worst string   `json:"worst,omitempty"`
	Gap   float64  `json:"gap"`
	Range Interval `json:"interval"`
	Draws int      `json:"draws"`
}

// Group is one part.
type Group struct {
	Name  string   `json:"name"`
	N     int      `json:"n"` // examples
	Score float64  `json:"score"`
	Range Interval `json:"interval"`
}

// ByGroup scores each group of the examples of a report. groups holds one name
// per example that the report was computed from, in their order; examples
// without a label may be left out of it.
func ByGroup(r *Report, groups []string, name string, seed uint64) (*Groups, error) {
	if r == nil || r.Sample == nil {
		return nil, errors.New("groups: a report that was read from a file has no examples")
	}
	if len(groups) == r.Sample.inputs && len(groups) != r.Sample.Len() {
		labelled := make([]string, 0, r.Sample.Len())
		for _, i := range r.Sample.from {
			labelled = append(labelled, groups[i])
		}
		groups = labelled
	}
	if len(groups) != r.Sample.Len() {
		return nil, fmt.Errorf("groups: %d names for %d examples", len(groups), r.Sample.Len())
	}
	if _, err := r.Sample.scorer(name); err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	members := map[string][]int{}
	for i, g := range groups {
		members[g] = append(members[g], i)
	}
	out := &Groups{Metric: name, Groups: []Group{}, Draws: Draws}
	draws := map[string][]float64{}
	for stream, g := range slices.Sorted(maps.Keys(members)) {
		part := r.Sample.part(members[g])
		f, err := part.scorer(name)
		if err != nil {
			return nil, fmt.Errorf("groups: %w", err)
		}
		scores, weight := make([]float64, Draws), make([]int32, part.Len())
		for d := range scores {
			draw(weight, seed, (stream+1)<<32|d)
			scores[d] = f(weight)
		}
		draws[g] = slices.Clone(scores)
		out.Groups = append(out.Groups, Group{Name: g, N: part.Len(), Score: f(nil), Range: interval(scores)})
	}
	if len(out.Groups) < 2 {
		return out, nil
	}
	best, worst := out.Groups[0], out.Groups[0]
	for _, g := range out.Groups[1:] {
		if g.Score > best.Score {
			best = g
		}
		if g.Score < worst.Score {
			worst = g
		}
	}
	if best.Name == worst.Name { // all are equal
		worst = out.Groups[1]
	}
	out.Best, out.Worst, out.Gap = best.Name, worst.Name, best.Score-worst.Score
	gaps := make([]float64, Draws)
	for d := range gaps {
		gaps[d] = draws[best.Name][d] - draws[worst.Name][d]
	}
	out.Range = interval(gaps)
	return out, nil
}

// draw fills weight with how often each example was drawn.
func draw(weight []int32, seed uint64, stream int) {
	clear(weight)
	rng := rand.New(rand.NewPCG(seed, uint64(stream)))
	n := uint64(len(weight))
	for range weight {
		weight[rng.Uint64N(n)]++
	}
}

// interval sorts its argument.
func interval(values []float64) Interval {
	sort.Float64s(values)
	return Interval{quantile(values, 0.025), quantile(values, 0.975)}
}

// quantile interpolates between the two nearest order statistics.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
