package sdk

import (
	"fmt"
	"unicode/utf8"
)

// Example is one row of a dataset: a text, or a pair of texts, with the labels
// it carries for each head.
//
// All offsets are bytes of UTF-8 on rune boundaries.
type Example struct {
	ID    string `json:"id"`
	Text  string `json:"text"`
	TextB string `json:"text_b,omitempty"` // second text of a pair, or ""
	// Tokens are the words of Text where the data came split into words, in order
	// and without overlap; nil for running text.
	Tokens []Token `json:"tokens,omitempty"`
	// Labels holds one entry per head that has a label here, by head name. The
	// name "" stands for a bare label whose head is still to be found.
	Labels map[string]Label `json:"labels,omitempty"`
	// Meta is free text by field, kept through the run for grouping and tracing.
	Meta map[string]string `json:"meta,omitempty"`
	// Parent is the ID of the example that this one was made from, "" for an
	// original.
	Parent string `json:"parent,omitempty"`
	// File and Line say where the example came from: a path as the reader saw it
	// and a line counted from 1, 0 if unknown.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// Token is one word of a text, as bytes [Start, End).
type Token struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// Span is a labelled stretch of a text, as bytes [Start, End), with
// Start < End <= len(Text) and both on rune boundaries.
type Span struct {
	Start    int    `json:"start"`
	End      int    `json:"end"`
	Label    string `json:"label"`
	EntityID string `json:"entity_id,omitempty"`
}

// Label is what one example says about one head. Which field counts depends on
// the head's kind:
//
//   - classify.v0, pair.v0: one element in Values;
//   - multilabel.v0: any number in Values, non-nil (an empty list means "none");
//   - regress.v0, rank.v0, embed.v0: Number;
//   - tag.v0: Tags, one per Example.Tokens, or Spans;
//   - span.v0: Spans, which may overlap;
//   - qa.v0: Text is the passage and TextB the question; Spans, labelled
//     LabelAnswer, are the answers in the passage and Values their texts, both
//     non-nil and empty where the passage has none;
//   - relation.v0: two Spans, labelled MentionHead and MentionTail, and one
//     element in Values, or none where the relation is to be found.
type Label struct {
	Values []string `json:"values,omitempty"`
	Number *float64 `json:"number,omitempty"`
	Tags   []string `json:"tags,omitempty"`
	Spans  []Span   `json:"spans,omitempty"`
}

// Check reports what is wrong with the offsets and tags of e: spans and tokens
// out of range, empty, off a rune boundary or out of order, a count of tags that
// differs from the count of tokens, text that is not UTF-8. It returns nil when
// all is well. The diagnostics carry the example's file and line and name its ID.
func (e *Example) Check() Diagnostics {
	var ds Diagnostics
	report := func(code, path, format string, args ...any) {
		ds.Add(Diagnostic{Severity: Error, Code: code, File: e.File, Line: e.Line, Path: path,
			Summary: fmt.Sprintf("example %q: ", e.ID) + fmt.Sprintf(format, args...), Source: FromData})
	}
	utf := func(name string, texts ...string) {
		for _, t := range texts {
			if !utf8.ValidString(t) {
				report("data.encoding", name, "%s is not valid UTF-8", name)
				return
			}
		}
	}
	utf("id", e.ID, e.Parent)
	utf("text", e.Text)
	utf("text_b", e.TextB)
	for _, k := range sortedKeys(e.Meta) {
		utf("meta", k, e.Meta[k])
	}
	last := 0
	for i, t := range e.Tokens {
		path := fmt.Sprintf("tokens[%d]", i)
		if why := badRange(e.Text, t.Start, t.End); why != "" {
			report("data.token", path, "token %d [%d, %d) %s", i, t.Start, t.End, why)
			continue
		}
		if t.Start < last {
			report("data.token", path, "token %d starts at byte %d, before the end of the token before it (%d)", i, t.Start, last)
		}
		last = t.End
	}
	for _, head := range sortedKeys(e.Labels) {
		l := e.Labels[head]
		utf("labels", head)
		utf("labels", l.Values...)
		utf("labels", l.Tags...)
		if l.Tags != nil && len(l.Tags) != len(e.Tokens) {
			report("data.tags", "labels."+head, "%d tags for %d tokens", len(l.Tags), len(e.Tokens))
		}
		for i, s := range l.Spans {
			path := fmt.Sprintf("labels.%s.spans[%d]", head, i)
			if why := badRange(e.Text, s.Start, s.End); why != "" {
				report("data.span", path, "span %q [%d, %d) %s", s.Label, s.Start, s.End, why)
			}
			utf(path, s.Label, s.EntityID)
			if s.Label == "" {
				report("data.span", path, "span [%d, %d) has no label", s.Start, s.End)
			}
		}
	}
	return ds
}

// badRange says why bytes [start, end) are not a proper stretch of text, or "".
func badRange(text string, start, end int) string {
	switch {
	case start < 0 || end > len(text):
		return fmt.Sprintf("lies outside the text of %d bytes", len(text))
	case start >= end:
		return "is empty"
	case !runeBoundary(text, start) || !runeBoundary(text, end):
		return "cuts a character: offsets are bytes of UTF-8 on character boundaries"
	}
	return ""
}

func runeBoundary(s string, i int) bool {
	return i == len(s) || utf8.RuneStart(s[i])
}
