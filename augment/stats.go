package augment

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// Stats is what packs do to some data.
type Stats struct {
	Examples int         `json:"examples"`
	Changed  int         `json:"changed"` // examples with a variant
	Variants int         `json:"variants"`
	Rules    []RuleStats `json:"rules"`
	// Conflicts are pairs of rules whose edits overlapped, the most frequent first.
	Conflicts []Conflict `json:"conflicts"`
	// Overlap counts for pairs of rules the examples in which both fired.
	Overlap []Conflict `json:"overlap"`
	// Labels counts for each head the examples with each value, before and in the
	// variants.
	Labels map[string]map[string]LabelCount `json:"labels"`
	// Duplicates are variants equal to an original or to another variant.
	Duplicates int     `json:"duplicates"`
	Seconds    float64 `json:"seconds"`
}

// RuleStats is what one rule does.
type RuleStats struct {
	Pack     string          `json:"pack"`
	Rule     string          `json:"rule"`
	Kind     string          `json:"kind"`
	Examples int             `json:"examples"` // in which it fired
	Share    float64         `json:"share"`    // of all examples
	Matched  int             `json:"matched"`  // examples in which it matched
	Edits    int             `json:"edits"`    // firings
	Outcomes map[Outcome]int `json:"outcomes"` // of matches
	Micros   float64         `json:"micros"`   // µs per example, this rule alone
}

// Conflict is a pair of rules.
type Conflict struct {
	A     string `json:"a"`
	B     string `json:"b"`
	Count int    `json:"count"`
}

// LabelCount is how often a label occurs.
type LabelCount struct {
	Before int `json:"before"`
	After  int `json:"after"`
}

// StatsOptions say what is counted.
type StatsOptions struct {
	Mode  Mode
	Epoch int
	// Cost measures the time that each rule takes alone, which needs one more run
	// per rule over the first examples.
	Cost bool
}

// costSample is how many examples the cost of a rule is measured on.
const costSample = 2000

// Stats varies a stream of examples and counts. It stops at the first error.
func (e *Engine) Stats(ctx context.Context, examples iter.Seq2[sdk.Example, error], opt StatsOptions) (*Stats, error) {
	start := time.Now()
	s := &Stats{Labels: map[string]map[string]LabelCount{}}
	for _, r := range e.rules {
		s.Rules = append(s.Rules, RuleStats{Pack: r.pack.Manifest.Name, Rule: r.ID, Kind: r.Kind, Outcomes: map[Outcome]int{}})
	}
	seen := map[[32]byte]bool{}
	conflicts, overlap := map[[2]int]int{}, map[[2]int]int{}
	var sample []sdk.Example
	st := e.newState()
	fired, matched := map[int]bool{}, map[int]bool{}
	var current edit.Match
	st.trace = func(rule uint32, m edit.Match, what Outcome, _ func() string) {
		if what == NoMatch {
			return
		}
		i := int(rule)
		s.Rules[i].Outcomes[what]++
		matched[i] = true
		switch what {
		case Fired:
			s.Rules[i].Edits++
			fired[i] = true
		case Overlapped:
			current = m
			if by, ok := st.collider(i, current); ok {
				conflicts[[2]int{by, i}]++
			}
		}
	}
	for ex, err := range examples {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("count what rules do: %w", err)
		}
		s.Examples++
		if opt.Cost && len(sample) < costSample {
			sample = append(sample, ex)
		}
		countLabels(s.Labels, &ex, func(c *LabelCount) { c.Before++ })
		seen[textSum(&ex)] = true
		clear(fired)
		clear(matched)
		any := false
		for k := range max(1, opt.Mode.Add) {
			out := e.variant(st, &ex, Draw{Epoch: opt.Epoch, Copy: k})
			if out == &ex {
				continue
			}
			any = true
			s.Variants++
			countLabels(s.Labels, out, func(c *LabelCount) { c.After++ })
			if sum := textSum(out); seen[sum] {
				s.Duplicates++
			} else {
				seen[sum] = true
			}
		}
		if any {
			s.Changed++
		}
		for i := range matched {
			s.Rules[i].Matched++
		}
		list := slices.Sorted(maps.Keys(fired))
		for a, i := range list {
			s.Rules[i].Examples++
			for _, j := range list[a+1:] {
				overlap[[2]int{i, j}]++
			}
		}
	}
	for i := range s.Rules {
		s.Rules[i].Share = float64(s.Rules[i].Examples) / float64(max(1, s.Examples))
	}
	s.Conflicts, s.Overlap = e.pairs(conflicts), e.pairs(overlap)
	if opt.Cost && len(sample) > 0 {
		e.cost(s, sample, opt)
	}
	s.Seconds = time.Since(start).Seconds()
	return s, nil
}

// collider is the rule whose taken group overlaps a match.
func (st *state) collider(rule int, m edit.Match) (int, bool) {
	for _, g := range st.groups {
		if !g.taken {
			continue
		}
		for _, x := range st.edits[g.from:g.to] {
			if x.Start < m.End && m.Start < x.End || x.Start == m.Start {
				return int(g.rule), true
			}
		}
	}
	return rule, false
}

func (e *Engine) pairs(counts map[[2]int]int) []Conflict {
	name := func(i int) string { return e.rules[i].pack.Manifest.Name + "/" + e.rules[i].ID }
	out := make([]Conflict, 0, len(counts))
	for p, n := range counts {
		out = append(out, Conflict{name(p[0]), name(p[1]), n})
	}
	slices.SortFunc(out, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B))
	})
	return out
}

func countLabels(counts map[string]map[string]LabelCount, ex *sdk.Example, add func(*LabelCount)) {
	one := func(head, value string) {
		if counts[head] == nil {
			counts[head] = map[string]LabelCount{}
		}
		c := counts[head][value]
		add(&c)
		counts[head][value] = c
	}
	for h, l := range ex.Labels {
		for _, v := range l.Values {
			one(h, v)
		}
		for _, s := range l.Spans {
			one(h, s.Label)
		}
		for _, s := range edit.TagSpans(ex.Tokens, l.Tags) {
			one(h, s.Label)
		}
	}
}

func textSum(ex *sdk.Example) [32]byte { return sha256.Sum256([]byte(ex.Text + "\x00" + ex.TextB)) }

// cost measures each rule alone.
func (e *Engine) cost(s *Stats, sample []sdk.Example, opt StatsOptions) {
	for i, r := range e.rules {
		one := *r.pack
		one.Rules = []*CompiledRule{r.CompiledRule}
		o := e.opt
		o.Skip = nil
		alone, _ := NewEngine([]*Pack{&one}, o)
		start := time.Now()
		for k := range sample {
			alone.Variant(&sample[k], Draw{Epoch: opt.Epoch})
		}
		s.Rules[i].Micros = float64(time.Since(start).Microseconds()) / float64(len(sample))
	}
}
