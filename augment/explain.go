package augment

import (
	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// Outcome is what became of a rule at a match.
type Outcome string

// The outcomes.
const (
	Fired          Outcome = "fired"
	NoMatch        Outcome = "no match"
	OtherLabel     Outcome = "label"      // labels.change names no new value for the example's label
	ConditionFalse Outcome = "where"      // the condition is false
	NotDrawn       Outcome = "drawn out"  // by probability
	OverLimit      Outcome = "limit"      // max_per_example is reached
	NothingToDo    Outcome = "nothing"    // the kind found nothing to change
	Refused        Outcome = "refused"    // the edit would harm a label or the text
	Overlapped     Outcome = "overlapped" // an edit of higher priority stands there
)

// Event is what happened to one rule at one match.
type Event struct {
	Pack    string     `json:"pack"`
	Rule    string     `json:"rule"`
	Outcome Outcome    `json:"outcome"`
	Why     string     `json:"why,omitempty"`
	Start   int        `json:"start"` // of the match; 0, 0 without one
	End     int        `json:"end"`
	Match   string     `json:"match,omitempty"` // text of the match
	At      edit.Match `json:"-"`
}

// Explain makes one variant and says for every rule of the engine what happened,
// in the order of the rules, and for each match in the order of events.
func (e *Engine) Explain(ex *sdk.Example, d Draw) (*sdk.Example, []Event) {
	st := e.newState()
	per := make([][]Event, len(e.rules))
	st.trace = func(rule uint32, m edit.Match, what Outcome, why func() string) {
		r := e.rules[rule]
		ev := Event{Pack: r.pack.Manifest.Name, Rule: r.ID, Outcome: what, Start: m.Start, End: m.End, At: m}
		if m.End <= len(ex.Text) {
			ev.Match = ex.Text[m.Start:m.End]
		}
		if why != nil {
			ev.Why = why()
		}
		per[rule] = append(per[rule], ev)
	}
	out := e.variant(st, ex, d)
	var all []Event
	for i, events := range per {
		if len(events) == 0 {
			events = []Event{{Pack: e.rules[i].pack.Manifest.Name, Rule: e.rules[i].ID, Outcome: NoMatch}}
		}
		all = append(all, events...)
	}
	return out, all
}
