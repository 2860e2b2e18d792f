package kind

import "github.com/islm-dev/islm/augment/edit"

// labelParams are the keys of label.v0.
type labelParams struct {
	Head  string `yaml:"head" required:"true" doc:"head that the label is for"`
	Value string `yaml:"value" doc:"class that a text with a match has"`
	Span  string `yaml:"span" doc:"label that the matched stretch has"`
}

// label is a labelling function (Ratner et al. 2016, Data Programming: Creating
// Large Training Sets, Quickly): it changes nothing and says what is there.
type label struct {
	head, value string
	span        bool
}

func newLabel(b *edit.Build) edit.Action {
	var p labelParams
	if !b.Decode(&p) {
		return nil
	}
	if (p.Value == "") == (p.Span == "") {
		b.Report("rules.param", "", "write value: CLASS for a text, or span: LABEL for the match", "one of value and span is wanted")
		return nil
	}
	if p.Span != "" {
		return &label{p.Head, p.Span, true}
	}
	return &label{p.Head, p.Value, false}
}

// Edit changes nothing.
func (*label) Edit(*edit.Context) {}

// Vote says the label.
func (l *label) Vote() (head, value string, span bool) { return l.head, l.value, l.span }
