package core

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Answer is what all heads say about one text; as JSON one line of `predict`.
type Answer struct {
	ID    string              `json:"id,omitempty"`
	Text  string              `json:"text"`
	TextB string              `json:"text_b,omitempty"`
	Heads map[string]Answered `json:"heads"`
	// Explain says what the answers came from, where that was asked.
	Explain []Explanation `json:"explain,omitempty"`
	// Unexplained names the heads, with their kinds, that were answered alone there.
	Unexplained []string `json:"unexplained,omitempty"`
}

// Answered is what one head says.
type Answered struct {
	Label  *string            `json:"label,omitempty"`  // classify
	Labels []string           `json:"labels,omitempty"` // multilabel: those with a score of at least 0.5
	Value  *float32           `json:"value,omitempty"`  // regression; rank: relevance; embed: cosine of text and text_b
	Scores map[string]float32 `json:"scores,omitempty"`
	Spans  []AnsweredSpan     `json:"spans,omitempty"`
	Answer *AnsweredSpan      `json:"answer,omitempty"` // qa: a stretch of the text, empty where it holds no answer
	// Relations are those found between the mentions of the text.
	Relations []AnsweredRelation `json:"relations,omitempty"`

	Vector []float32 `json:"vector,omitempty"` // embed: of the text, of length 1
	// Completion is the text that a head of kind generate.v0 writes after the prompt.
	Completion *string  `json:"completion,omitempty"`
	Finish     string   `json:"finish,omitempty"`   // of Completion: end, stop or length
	LogProb    *float64 `json:"log_prob,omitempty"` // of Completion, nats
}

// AnsweredSpan is one entity, in bytes of the text.
type AnsweredSpan struct {
	Start int     `json:"start"`
	End   int     `json:"end"`
	Label string  `json:"label"`
	Text  string  `json:"text"`
	Score float32 `json:"score"` // the least probable of its tags; of span and qa its own probability
}

// AnsweredRelation is what two mentions of a text have to do with each other.
type AnsweredRelation struct {
	Head  AnsweredMention `json:"head"`
	Tail  AnsweredMention `json:"tail"`
	Label string          `json:"label"`
	Score float32         `json:"score"`
}

// AnsweredMention is one of the mentions that were given, in bytes of the text.
type AnsweredMention struct {
	Start int    `json:"start"`
	End   int    `json:"end"`
	Text  string `json:"text"`
}

// Predict answers texts with a finished model, in their order.
func Predict(ctx context.Context, engine recipe.Engine, b *Bundle, examples []sdk.Example, precision, device string, threads int, watch func(recipe.Event)) ([]Answer, error) {
	if slices.ContainsFunc(b.Heads, func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindTag || h.Kind == sdk.KindSpan }) {
		splitWords(examples)
	}
	generation, err := b.generation()
	if err != nil {
		return nil, err
	}
	given := examples
	if slices.ContainsFunc(b.Heads, func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindQA }) {
		examples = slices.Clone(examples)
		for i := range examples { // windows of one text are found by its ID
			examples[i].ID = fmt.Sprintf("%d", i+1)
		}
	}
	if generation != nil {
		examples = slices.Clone(examples)
		for i := range examples { // draws go by the ID
			if examples[i].ID == "" {
				examples[i].ID = examples[i].Text
			}
		}
	}
	cut, parts := corpus.Windows(examples, b.Heads, b.Tokenizer, b.maxLength(), b.Plan.Data.Stride)
	asked, of := corpus.Pairs(cut, b.Heads)
	rows, err := encodeRows(ctx, b, asked)
	if err != nil {
		return nil, err
	}
	preds, err := engine.Predict(ctx, &recipe.PredictJob{Model: b.Dir, Base: b.Base, Heads: b.Heads, Rows: rows, Plan: b.Plan, Injection: b.knowledge.injection(), Precision: precision, Device: device, Threads: threads, Generate: generation, Observe: watch})
	if err != nil {
		return nil, err
	}
	out := make([]Answer, len(examples))
	for k := range asked {
		i := parts[of[k]].Of
		ex := &given[i]
		if out[i].Heads == nil {
			out[i] = Answer{ID: ex.ID, Text: ex.Text, TextB: ex.TextB, Heads: map[string]Answered{}}
			for h, spec := range b.Heads {
				out[i].Heads[spec.Name] = b.said(spec, &asked[k], preds[k].Heads[h])
			}
			continue
		}
		for h, spec := range b.Heads {
			if l := asked[k].Labels[spec.Name]; spec.Kind == sdk.KindRelation && l.Spans != nil {
				a := out[i].Heads[spec.Name]
				a.relate(spec, ex, l.Spans, preds[k].Heads[h])
				out[i].Heads[spec.Name] = a
			}
		}
	}
	for h, spec := range b.Heads {
		if spec.Kind != sdk.KindQA {
			continue
		}
		for _, a := range readAnswers(spec, h, rows, preds) {
			part := parts[of[a.row]]
			one := out[part.Of].Heads[spec.Name]
			one.Answer = &AnsweredSpan{Label: sdk.LabelAnswer, Text: a.text, Score: float32(a.score)}
			if a.text != "" {
				one.Answer.Start = part.At + a.start
				one.Answer.End = one.Answer.Start + len(a.text)
			}
			out[part.Of].Heads[spec.Name] = one
		}
	}
	return out, nil
}

// Lacks says which texts have no second one where heads want it, so that they would
// answer of nothing: errors where every head does, else a warning.
func (b *Bundle) Lacks(examples []sdk.Example) (ds sdk.Diagnostics) {
	const shown = 20
	remedy := "--text-b gives it; in a file the field text_b"
	var wanting []string
	for _, h := range b.Heads {
		if slices.Contains([]string{sdk.KindPair, sdk.KindRank, sdk.KindQA}, h.Kind) {
			wanting = append(wanting, fmt.Sprintf("%q of kind %s", h.Name, h.Kind))
		}
		if h.Kind == sdk.KindQA {
			remedy = "--question gives it; in a file the field question beside context"
		}
	}
	if len(wanting) == 0 {
		return nil
	}
	what, n := "head "+strings.Join(wanting, ", "), 0
	for i := range examples {
		ex := &examples[i]
		if ex.TextB != "" {
			continue
		}
		if n++; n > shown || n > 1 && len(wanting) < len(b.Heads) {
			continue
		}
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.pair", File: ex.File, Line: ex.Line, Summary: what + " wants two texts, here the second one is missing", Remedy: remedy}
		if len(wanting) < len(b.Heads) {
			d.Severity, d.Summary = sdk.Warning, what+" wants two texts; where the second one is missing its answer says nothing"
		}
		ds.Add(d)
	}
	if n > shown && ds.HasErrors() {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.pair", Summary: fmt.Sprintf("%d more texts without a second one", n-shown)})
	}
	return ds
}

// said is what a head says of an example, in words where it writes.
func (b *Bundle) said(spec sdk.HeadSpec, ex *sdk.Example, o recipe.Output) Answered {
	if g := o.Generated; g != nil {
		text := b.text(g)
		return Answered{Completion: &text, Finish: g.Finish, LogProb: &g.LogProb}
	}
	return answered(spec, ex, o)
}

func answered(spec sdk.HeadSpec, ex *sdk.Example, o recipe.Output) Answered {
	labels := recipe.Outputs(spec)
	a := Answered{}
	task, _, _ := strings.Cut(spec.Kind, ".")
	switch task {
	case metric.TaskRegress, metric.TaskRank:
		a.Value = &o.Value
		return a
	case metric.TaskEmbed:
		a.Vector = o.Vector
		if ex.TextB != "" {
			a.Value = &o.Value
		}
		return a
	case metric.TaskTag:
		a.Spans = spans(labels, ex, o)
		return a
	case metric.TaskSpan:
		a.Spans = []AnsweredSpan{}
		for _, s := range o.Spans {
			one := AnsweredSpan{Start: ex.Tokens[s.From].Start, End: ex.Tokens[s.To].End, Label: labels[s.Class], Score: s.Score}
			one.Text = ex.Text[one.Start:one.End]
			a.Spans = append(a.Spans, one)
		}
		slices.SortStableFunc(a.Spans, func(x, y AnsweredSpan) int { return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(y.End, x.End)) })
		return a
	case metric.TaskQA:
		return a
	case metric.TaskRelation:
		a.Relations = []AnsweredRelation{}
		return a
	}
	a.Scores = map[string]float32{}
	for k, p := range o.Scores {
		a.Scores[labels[k]] = p
		if task == metric.TaskMultiLabel && p >= 0.5 {
			a.Labels = append(a.Labels, labels[k])
		}
	}
	switch {
	case task == metric.TaskMultiLabel:
		if a.Labels == nil {
			a.Labels = []string{}
		}
	case o.Class >= 0 && int(o.Class) < len(labels):
		a.Label = &labels[o.Class]
	}
	return a
}

// relate adds what a head says of two mentions, unless that is nothing.
func (a *Answered) relate(spec sdk.HeadSpec, ex *sdk.Example, pair []sdk.Span, o recipe.Output) {
	if o.Class < 0 || spec.Labels[o.Class] == spec.Options[sdk.OptionNoRelation] {
		return
	}
	mention := func(s sdk.Span) AnsweredMention {
		return AnsweredMention{Start: s.Start, End: s.End, Text: ex.Text[s.Start:s.End]}
	}
	a.Relations = append(a.Relations, AnsweredRelation{Head: mention(pair[0]), Tail: mention(pair[1]), Label: spec.Labels[o.Class], Score: o.Scores[o.Class]})
}

// spans reads entities out of tags with conlleval's rules. A scheme without
// prefixes gives one span per token that is not O.
func spans(labels []string, ex *sdk.Example, o recipe.Output) []AnsweredSpan {
	names := make([]string, len(o.Tags))
	for k, t := range o.Tags {
		names[k] = "O"
		if t >= 0 && int(t) < len(labels) {
			names[k] = labels[t]
		}
	}
	out := []AnsweredSpan{}
	add := func(from, to int, label string) {
		if to > len(ex.Tokens) {
			return
		}
		s := AnsweredSpan{Start: ex.Tokens[from].Start, End: ex.Tokens[to-1].End, Label: label, Score: 1}
		s.Text = ex.Text[s.Start:s.End]
		for k := from; k < to && k < len(o.TagScores); k++ {
			s.Score = min(s.Score, o.TagScores[k])
		}
		out = append(out, s)
	}
	if chunks := metric.Chunks(names); len(chunks) > 0 {
		for _, c := range chunks {
			add(c.Start, c.End, c.Type)
		}
		return out
	}
	for k, n := range names {
		if n != "O" && n != "" {
			add(k, k+1, n)
		}
	}
	return out
}

// baseName is how data are called in reports: the folder or file, without its
// place.
func baseName(path string) string {
	name := filepath.Base(path)
	return strings.TrimSuffix(name, filepath.Ext(name))
}
