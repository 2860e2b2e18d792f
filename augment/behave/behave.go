package behave

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// Kinds of tests.
const (
	Functionality = "functionality"
	Invariance    = "invariance"
	Direction     = "direction"
)

// Predict answers examples: for each, a label by head.
type Predict func(ctx context.Context, examples []sdk.Example) ([]map[string]sdk.Label, error)

// Options of Run.
type Options struct {
	Resources edit.Resources
	Seed      uint64
	// Texts are varied for invariance and direction; nil means those in the packs'
	// tests.
	Texts []sdk.Example
	// Copies is how many variants each rule makes of a text; 0 is 1.
	Copies int
	// Heads are those of the model, with their labels; what packs say of others is
	// not tested.
	Heads map[string][]string
	// Shown bounds the failures that are kept for each test; 0 is 5.
	Shown int
}

// Result is one kind of test of one rule and head.
type Result struct {
	Pack     string    `json:"pack"`
	Rule     string    `json:"rule"`
	Head     string    `json:"head"`
	Test     string    `json:"test"`
	Cases    int       `json:"cases"`
	Failures int       `json:"failures"`
	Examples []Failure `json:"examples,omitempty"`
}

// Failure is one case that the model answers otherwise than it should.
type Failure struct {
	From   string    `json:"from,omitempty"` // text before the rule, "" for functionality
	Text   string    `json:"text"`
	Before sdk.Label `json:"before,omitzero"` // answer for From
	Wanted sdk.Label `json:"wanted"`
	Got    sdk.Label `json:"got"`
}

// trial is one text to be predicted, with what is wanted.
type trial struct {
	key    [4]string // pack, rule, head, test
	from   string
	before sdk.Label
	wanted sdk.Label
	at     int // index of the example
}

// Run makes the tests that packs give and runs them. Results come in the order of
// packs and rules; a rule that gives no test for any head of the model has none.
func Run(ctx context.Context, packs []*augment.Pack, predict Predict, opt Options) ([]Result, error) {
	if opt.Copies == 0 {
		opt.Copies = 1
	}
	if opt.Shown == 0 {
		opt.Shown = 5
	}
	s := &suite{opt: opt}
	for _, p := range packs {
		s.functionality(p)
	}
	if err := s.variants(ctx, packs, predict); err != nil {
		return nil, err
	}
	if len(s.trials) == 0 {
		return nil, nil
	}
	answers, err := ask(ctx, predict, s.examples)
	if err != nil {
		return nil, err
	}
	return s.judge(packs, answers), nil
}

func ask(ctx context.Context, predict Predict, examples []sdk.Example) ([]map[string]sdk.Label, error) {
	answers, err := predict(ctx, examples)
	if err == nil && len(answers) != len(examples) {
		err = fmt.Errorf("the model gives %d answers to %d texts", len(answers), len(examples))
	}
	return answers, err
}

type suite struct {
	opt      Options
	examples []sdk.Example
	trials   []trial
}

// add takes one example with the labels wanted. Only labels that the model can
// give are tested.
func (s *suite) add(ex sdk.Example, pack, rule, from string, before map[string]sdk.Label, test func(head string) string) {
	heads := make([]string, 0, len(ex.Labels))
	for h, l := range ex.Labels {
		if known, ok := s.opt.Heads[h]; ok && answerable(l, known) {
			heads = append(heads, h)
		}
	}
	if len(heads) == 0 {
		return
	}
	slices.Sort(heads)
	for _, h := range heads {
		s.trials = append(s.trials, trial{key: [4]string{pack, rule, h, test(h)}, from: from, before: before[h], wanted: plain(ex.Labels[h], ex.Tokens), at: len(s.examples)})
	}
	ex.Labels = nil
	s.examples = append(s.examples, ex)
}

// plain gives tags as spans.
func plain(l sdk.Label, tokens []sdk.Token) sdk.Label {
	if l.Tags != nil {
		return sdk.Label{Spans: edit.TagSpans(tokens, l.Tags)}
	}
	return l
}

func answerable(l sdk.Label, known []string) bool {
	if l.Number != nil {
		return false
	}
	return !slices.ContainsFunc(l.Values, func(v string) bool { return !slices.Contains(known, v) }) &&
		!slices.ContainsFunc(l.Spans, func(x sdk.Span) bool { return !slices.Contains(known, x.Label) })
}

// functionality takes the texts of tests whose labels are stated.
func (s *suite) functionality(p *augment.Pack) {
	for _, r := range p.Rules {
		for _, c := range slices.Concat(r.Tests.Fires, r.Tests.Labels) {
			if ex := c.Example(); len(ex.Labels) > 0 {
				s.add(ex, p.Manifest.Name, r.ID, "", nil, func(string) string { return Functionality })
			}
			for _, out := range c.Out {
				then := c
				then.In, then.Labels, then.Numbers = out, c.OutLabels, nil
				if ex := then.Example(); len(ex.Labels) > 0 {
					s.add(ex, p.Manifest.Name, r.ID, "", nil, func(string) string { return Functionality })
				}
			}
		}
	}
}

// texts are those to be varied, without labels and without repetition.
func (s *suite) texts(packs []*augment.Pack) []sdk.Example {
	all := s.opt.Texts
	if all == nil {
		for _, p := range packs {
			for _, r := range p.Rules {
				for _, c := range slices.Concat(r.Tests.Fires, r.Tests.Labels, r.Tests.Silent) {
					all = append(all, c.Example())
				}
			}
		}
	}
	var out []sdk.Example
	seen := map[[2]string]bool{}
	for i, ex := range all {
		if key := [2]string{ex.Text, ex.TextB}; !seen[key] {
			seen[key] = true
			ex.Labels = nil
			ex.ID = fmt.Sprint(i)
			out = append(out, ex)
		}
	}
	return out
}

// variants asks the model about the texts, lets each rule vary them as if the
// answers were their labels, and wants the labels that the rule leaves.
func (s *suite) variants(ctx context.Context, packs []*augment.Pack, predict Predict) error {
	texts := s.texts(packs)
	if len(texts) == 0 {
		return nil
	}
	answers, err := ask(ctx, predict, slices.Clone(texts))
	if err != nil {
		return err
	}
	for i := range texts {
		texts[i].Labels = answers[i]
	}
	for _, p := range packs {
		for _, r := range p.Rules {
			var others []string
			for _, o := range p.Rules {
				if o.ID != r.ID {
					others = append(others, o.ID)
				}
			}
			e, ds := augment.NewEngine([]*augment.Pack{p}, augment.Options{Seed: s.opt.Seed, Resources: s.opt.Resources, Skip: others, Certain: true, Bare: true})
			if err := ds.Err(); err != nil {
				return err
			}
			if e.Rules() == 0 {
				continue // needs a resource, or labels and varies nothing
			}
			for i := range texts {
				if err := ctx.Err(); err != nil {
					return err
				}
				s.vary(e, p.Manifest.Name, r.ID, &texts[i])
			}
		}
	}
	return nil
}

func (s *suite) vary(e *augment.Engine, pack, rule string, ex *sdk.Example) {
	seen := map[[2]string]bool{{ex.Text, ex.TextB}: true}
	for n := range s.opt.Copies {
		out := e.Variant(ex, augment.Draw{Copy: n})
		if key := [2]string{out.Text, out.TextB}; out != ex && !seen[key] {
			seen[key] = true
			s.add(*out, pack, rule, ex.Text, ex.Labels, func(h string) string {
				if slices.Equal(out.Labels[h].Values, ex.Labels[h].Values) {
					return Invariance
				}
				return Direction
			})
		}
	}
}

func (s *suite) judge(packs []*augment.Pack, answers []map[string]sdk.Label) []Result {
	byKey := map[[4]string]*Result{}
	for _, t := range s.trials {
		r := byKey[t.key]
		if r == nil {
			r = &Result{Pack: t.key[0], Rule: t.key[1], Head: t.key[2], Test: t.key[3]}
			byKey[t.key] = r
		}
		r.Cases++
		got := plain(answers[t.at][t.key[2]], s.examples[t.at].Tokens)
		if same(got, t.wanted) {
			continue
		}
		if r.Failures++; len(r.Examples) < s.opt.Shown {
			r.Examples = append(r.Examples, Failure{From: t.from, Text: s.examples[t.at].Text, Before: t.before, Wanted: t.wanted, Got: got})
		}
	}
	heads := make([]string, 0, len(s.opt.Heads))
	for h := range s.opt.Heads {
		heads = append(heads, h)
	}
	slices.Sort(heads)
	var out []Result
	for _, p := range packs {
		for _, rule := range p.Rules {
			for _, h := range heads {
				for _, test := range []string{Functionality, Invariance, Direction} {
					if r := byKey[[4]string{p.Manifest.Name, rule.ID, h, test}]; r != nil {
						out = append(out, *r)
					}
				}
			}
		}
	}
	return out
}

// same compares two labels; neither the order of classes nor entity IDs count.
func same(a, b sdk.Label) bool {
	va, vb := slices.Sorted(slices.Values(a.Values)), slices.Sorted(slices.Values(b.Values))
	return slices.Equal(va, vb) && slices.EqualFunc(a.Spans, b.Spans, func(x, y sdk.Span) bool {
		return x.Start == y.Start && x.End == y.End && x.Label == y.Label
	})
}

// ErrNoTests says that the packs hold nothing that tests a model's heads.
var ErrNoTests = errors.New("the packs give no test for any head of the model")
