package augment

import (
	"slices"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// Voter is a labelling rule of an engine that was made with Options.Votes.
type Voter struct {
	Pack  string `json:"pack"`
	Rule  string `json:"rule"`
	Head  string `json:"head"`
	Value string `json:"value"` // class, or label of spans
	Span  bool   `json:"span"`
}

// Ballot is what one labelling rule says about a text.
type Ballot struct {
	Voter int // index into Voters
	// Spans are the stretches that have the label, in order and without overlap; nil
	// where the label is a class of the whole text.
	Spans []sdk.Span
}

// Voters lists the labelling rules, in the order of packs and rules.
func (e *Engine) Voters() []Voter {
	out := make([]Voter, len(e.rules))
	for i, r := range e.rules {
		out[i] = Voter{Pack: r.pack.Manifest.Name, Rule: r.ID}
		if v, ok := r.Action.(edit.Voter); ok {
			out[i].Head, out[i].Value, out[i].Span = v.Vote()
		}
	}
	return out
}

// Votes asks all labelling rules about a text. A rule that matches nowhere, or
// whose condition does not hold, abstains. Nothing is drawn: probability and
// max_per_example do not count.
func (e *Engine) Votes(ex *sdk.Example) []Ballot {
	if !e.opt.Votes || len(ex.Text) > maxExampleBytes || len(e.rules) == 0 {
		return nil
	}
	st, ok := e.pool.Get().(*state)
	if !ok {
		st = e.newState()
	}
	defer func() {
		st.release()
		e.pool.Put(st)
	}()
	st.begin(ex, Draw{})
	if !e.find(st) {
		return nil
	}
	var out []Ballot
	for _, ri := range st.queue {
		e.collect(st, ri)
		spans := e.holding(st, ri)
		if len(spans) == 0 {
			continue
		}
		b := Ballot{Voter: int(ri)}
		if v, ok := e.rules[ri].Action.(edit.Voter); ok {
			if _, label, span := v.Vote(); span {
				for i := range spans {
					spans[i].Label = label
				}
				b.Spans = spans
			}
		}
		out = append(out, b)
	}
	return out
}

// holding gives the matches of a rule at which its condition holds.
func (e *Engine) holding(st *state, ri uint32) []sdk.Span {
	r := e.rules[ri]
	var out []sdk.Span
	for i := range st.matches {
		m := st.matches[i]
		if r.where != nil {
			e.fillEnv(st, r)
			st.env.Match = matchEnv{}
			if r.where.usesMatch {
				st.env.at(&m)
			}
			if ok, err := r.where.holds(&st.machine, &st.env); !ok || err != nil {
				continue
			}
		}
		out = append(out, sdk.Span{Start: m.Start, End: m.End, EntityID: m.EntityID})
	}
	return out
}

// Labelled gives ex with the labels that its rules vote for, ex itself where all
// abstain. A class that is there already is replaced, spans are added.
func (e *Engine) Labelled(ex *sdk.Example) *sdk.Example {
	ballots := e.Votes(ex)
	if len(ballots) == 0 {
		return ex
	}
	out := *ex
	out.Labels = make(map[string]sdk.Label, len(ex.Labels)+1)
	for h, l := range ex.Labels {
		out.Labels[h] = l
	}
	voters := e.Voters()
	for _, b := range ballots {
		v := voters[b.Voter]
		l := out.Labels[v.Head]
		if v.Span {
			l.Spans = append(slices.Clone(l.Spans), b.Spans...)
		} else {
			l.Values = []string{v.Value}
		}
		out.Labels[v.Head] = l
	}
	return &out
}

// outcome is what a test looks at: a variant, or the labels of a labelling rule.
func (e *Engine) outcome(ex *sdk.Example, d Draw) *sdk.Example {
	if e.opt.Votes {
		return e.Labelled(ex)
	}
	return e.Variant(ex, d)
}
