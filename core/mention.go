package core

import (
	"fmt"
	"unicode/utf8"

	"github.com/islm-dev/islm/sdk"
)

// Entity is a mention of something in a text that a head of relations is asked
// about, as a line of JSON has it.
type Entity struct {
	Start int    `json:"start"`
	End   int    `json:"end"`
	Type  string `json:"type"`
	Label string `json:"label"` // the same as Type
	Text  string `json:"text"`  // what stands there, or ""
}

// Mention gives an example the mentions of a line of a file, whose offsets count
// what the data of the model's training counted: bytes or characters.
func (b *Bundle) Mention(ex *sdk.Example, entities []Entity, file string, line int) (ds sdk.Diagnostics) {
	at := func(n int) int { return n }
	if b.Plan.Data.Offsets == "chars" {
		var places []int
		for i := range ex.Text {
			places = append(places, i)
		}
		places = append(places, len(ex.Text))
		at = func(n int) int {
			if n < 0 || n >= len(places) {
				return -1
			}
			return places[n]
		}
	}
	found := make([]Entity, len(entities))
	for i, e := range entities {
		bad := sdk.Diagnostic{Severity: sdk.Error, Code: "data.entities", File: file, Line: line,
			Remedy: fmt.Sprintf("start and end count %s here, as in the data that the model was trained on", b.Plan.Data.Offsets)}
		found[i] = Entity{Start: at(e.Start), End: at(e.End), Type: e.Type}
		if e.Type == "" {
			found[i].Type = e.Label
		}
		switch from, to := found[i].Start, found[i].End; {
		case from < 0 || to > len(ex.Text) || from >= to || !utf8.ValidString(ex.Text[from:to]):
			bad.Summary = fmt.Sprintf("entities[%d] [%d, %d) is no stretch of the text", i, e.Start, e.End)
			ds.Add(bad)
		case e.Text != "" && ex.Text[from:to] != e.Text:
			bad.Summary = fmt.Sprintf("entities[%d] [%d, %d) is %q in the text, the file says %q", i, e.Start, e.End, ex.Text[from:to], e.Text)
			ds.Add(bad)
		}
	}
	if ds.HasErrors() {
		return ds
	}
	return b.MentionBytes(ex, found)
}

// MentionBytes is Mention for offsets in bytes that are known to be right.
func (b *Bundle) MentionBytes(ex *sdk.Example, entities []Entity) (ds sdk.Diagnostics) {
	var spans []sdk.Span
	for _, e := range entities {
		spans = append(spans, sdk.Span{Start: e.Start, End: e.End, Label: e.Type})
	}
	asked := false
	for _, h := range b.Heads {
		if h.Kind == sdk.KindRelation {
			if ex.Labels == nil {
				ex.Labels = map[string]sdk.Label{}
			}
			ex.Labels[h.Name], asked = sdk.Label{Spans: spans}, true
		}
	}
	if !asked {
		ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.entities", File: ex.File, Line: ex.Line, Summary: "mentions are given, and the model has no head of relations"})
	}
	return ds
}
