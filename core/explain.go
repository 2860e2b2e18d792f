package core

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// Explanation says what one answer about one text came from. Its score is the
// answer's log-odds, of a span the sum over its words.
type Explanation struct {
	Head  string        `json:"head"`
	Label string        `json:"label"`
	Span  *AnsweredSpan `json:"span,omitempty"`
	// Full is the score of the text, Empty that of a text of masks. Sum is what
	// the shares add up to: Full-Empty but for the error of the integral.
	Full  float64     `json:"full"`
	Empty float64     `json:"empty"`
	Sum   float64     `json:"sum"`
	Steps int         `json:"steps"` // points of the integral
	Words []WordShare `json:"words"`
	// Agreement is the rank correlation (Spearman) of shares and drops over the
	// words: near 1 the shares order the words as taking them away does.
	Agreement float64        `json:"agreement"`
	Knowledge []RemovedShare `json:"knowledge,omitempty"`
}

// WordShare is a word's part in the score.
type WordShare struct {
	Start   int     `json:"start"`
	End     int     `json:"end"`
	Second  bool    `json:"text_b,omitempty"` // a word of the second text
	Text    string  `json:"text"`
	Share   float64 `json:"share"`   // integrated gradients
	Dropped float64 `json:"dropped"` // fall of the score when the word is masked
}

// RemovedShare is a piece of injected knowledge, and the answer without it.
type RemovedShare struct {
	What     string  `json:"what"` // mention, fact or features
	Start    int     `json:"start"`
	End      int     `json:"end"`
	Text     string  `json:"text,omitempty"` // of the mention
	Entity   string  `json:"entity,omitempty"`
	Name     string  `json:"name,omitempty"`
	Relation string  `json:"relation,omitempty"`
	Object   string  `json:"object,omitempty"`
	Share    float64 `json:"share"`   // integrated gradients of a fact's pieces
	Without  string  `json:"without"` // the answer without it
	Changed  bool    `json:"changed"`
	Drop     float64 `json:"drop"` // fall of the answer's probability, of a span's least probable tag
}

// Explain answers texts as Predict does and says for each answer what it came
// from: each word's share by integrated gradients, checked by their sum and by
// masking words, and each piece of injected knowledge by removing it. The engine
// must be a recipe.Explainer.
func Explain(ctx context.Context, engine recipe.Engine, b *Bundle, examples []sdk.Example, device string, threads int, watch func(recipe.Event)) ([]Answer, error) {
	explainer, ok := engine.(recipe.Explainer)
	if !ok {
		return nil, fmt.Errorf("explain: this engine cannot explain answers")
	}
	if b.Plan.Knowledge.Has(recipe.InjectPrompt) {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "explain.knowledge", File: b.Dir, Summary: "the model reads facts before the text (knowledge.inject=prompt): --explain has no shares for those", Remedy: "train with knowledge.inject=text, whose facts it can take away"}}.Err()
	}
	if b.writer() >= 0 {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "explain.head", File: b.Dir, Summary: fmt.Sprintf("head %q writes text: its words are no answer that could be shared out", b.Heads[b.writer()].Name), Remedy: "drop --explain"}}.Err()
	}
	var silent []string
	for _, h := range b.Heads {
		quiet := unexplained(h.Kind)
		if quiet {
			silent = append(silent, fmt.Sprintf("%s (%s)", h.Name, h.Kind))
		}
		if h.Kind == sdk.KindQA || h.Kind == sdk.KindRelation || h.Kind == sdk.KindPattern || quiet && len(silent) == len(b.Heads) {
			return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "explain.kind", File: b.Dir, Summary: fmt.Sprintf("answers of head %q, of kind %s, cannot be explained", h.Name, h.Kind), Remedy: "ask without --explain"}}.Err()
		}
	}
	if slices.ContainsFunc(b.Heads, func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindTag || h.Kind == sdk.KindSpan }) {
		splitWords(examples)
	}
	rows, err := encodeRows(ctx, b, examples)
	if err != nil {
		return nil, err
	}
	job := recipe.PredictJob{Model: b.Dir, Base: b.Base, Heads: b.Heads, Rows: rows, Plan: b.Plan, Injection: b.knowledge.injection(), Precision: "fp32", Device: device, Threads: threads, Observe: watch}
	preds, err := engine.Predict(ctx, &job)
	if err != nil {
		return nil, err
	}
	x := &explaining{b: b, examples: examples, rows: rows, preds: preds, answers: make([]Answer, len(examples))}
	if err := x.collect(); err != nil {
		return nil, err
	}
	shares, err := explainer.Explain(ctx, &recipe.ExplainJob{PredictJob: job, Aims: x.aims, Mask: x.mask(), Special: b.Tokenizer.IsSpecial})
	if err != nil {
		return nil, err
	}
	x.shares(shares)
	for i := range x.answers {
		x.answers[i].Unexplained = silent
	}
	if len(x.variants) > 0 {
		job.Rows = plainRows(x.variants)
		without, err := engine.Predict(ctx, &job)
		if err != nil {
			return nil, err
		}
		x.removed(without)
	}
	return x.answers, nil
}

// unexplained are kinds whose answers, numbers, vectors and spans that overlap, have no
// log-odds of classes to share out: beside others they are answered alone.
func unexplained(kind string) bool {
	return slices.Contains([]string{sdk.KindRegress, sdk.KindRank, sdk.KindEmbed, sdk.KindSpan}, kind)
}

// explaining collects what is to be asked, and the answers.
type explaining struct {
	b        *Bundle
	examples []sdk.Example
	rows     recipe.Source
	preds    []recipe.Prediction
	answers  []Answer
	aims     []recipe.Aim
	places   []place // of each aim
	variants []*recipe.Encoded
	gone     []RemovedShare // of each variant: what it lacks
	row      []int          // of each variant
	pieces   [][2]int       // of each variant: the injected pieces that it lacks
}

type place struct{ answer, explanation int }

func (x *explaining) mask() int32 {
	for _, role := range []string{"mask", "unk", "pad", "eos", "bos"} { // decoders often have the last two alone
		if id, ok := x.b.Tokenizer.Special(role); ok {
			return id
		}
	}
	return 0
}

// collect answers every row and asks about each answer.
func (x *explaining) collect() error {
	encoder := &corpus.Encoder{Tokenizer: x.b.Tokenizer, MaxLength: x.b.maxLength(), Heads: x.b.Heads}
	for i := range x.examples {
		ex := &x.examples[i]
		x.answers[i] = Answer{ID: ex.ID, Text: ex.Text, TextB: ex.TextB, Heads: map[string]Answered{}}
		words, groups, err := wordsOf(encoder, ex)
		if err != nil {
			return err
		}
		for h, spec := range x.b.Heads {
			o := x.preds[i].Heads[h]
			said := answered(spec, ex, o)
			x.answers[i].Heads[spec.Name] = said
			aim := recipe.Aim{Row: i, Head: h, Groups: groups}
			switch {
			case unexplained(spec.Kind):
			case spec.Kind == sdk.KindTag:
				for _, s := range said.Spans {
					aim.Tokens, aim.Tags = nil, nil
					for k, t := range ex.Tokens {
						if t.Start >= s.Start && t.End <= s.End && k < len(o.Tags) && o.Tags[k] >= 0 {
							aim.Tokens, aim.Tags = append(aim.Tokens, int32(k)), append(aim.Tags, o.Tags[k])
						}
					}
					x.ask(i, aim, Explanation{Head: spec.Name, Label: s.Label, Span: &s, Words: slices.Clone(words)})
				}
			default:
				aim.Class = o.Class
				labels := recipe.Outputs(spec)
				x.ask(i, aim, Explanation{Head: spec.Name, Label: labels[o.Class], Words: slices.Clone(words)})
			}
		}
		x.remove(i)
	}
	return nil
}

func (x *explaining) ask(i int, aim recipe.Aim, e Explanation) {
	x.aims = append(x.aims, aim)
	x.places = append(x.places, place{i, len(x.answers[i].Explain)})
	x.answers[i].Explain = append(x.answers[i].Explain, e)
}

// wordsOf lists the words of an example's texts with the ids of each.
func wordsOf(encoder *corpus.Encoder, ex *sdk.Example) ([]WordShare, [][]int32, error) {
	var words []WordShare
	var groups [][]int32
	for k, text := range []string{ex.Text, ex.TextB} {
		tokens := ex.Tokens
		if k == 1 || tokens == nil {
			tokens = corpus.Words(text)
		}
		ids, err := encoder.WordPieces(ex, tokens, k == 1)
		if err != nil {
			return nil, nil, err
		}
		for i, t := range tokens {
			words = append(words, WordShare{Start: t.Start, End: t.End, Second: k == 1, Text: text[t.Start:t.End]})
			groups = append(groups, ids[i])
		}
	}
	return words, groups, nil
}

// remove makes the variants of a row that lack a piece of its knowledge.
func (x *explaining) remove(i int) {
	row, ex := x.rows.At(i), &x.examples[i]
	in := row.Inject
	if in == nil {
		return
	}
	vary := func(gone RemovedShare, pieces [2]int, change func(*recipe.Injected)) {
		c, v := *row, *in
		v.Marks, v.Features = slices.Clone(in.Marks), slices.Clone(in.Features)
		v.Mentions, v.Facts, v.Pieces = slices.Clone(in.Mentions), nil, nil
		change(&v)
		c.Inject = &v
		x.variants, x.gone, x.row, x.pieces = append(x.variants, &c), append(x.gone, gone), append(x.row, i), append(x.pieces, pieces)
	}
	// without copies the facts that stay.
	without := func(v *recipe.Injected, keep func(fact int) bool) {
		at := 0
		for k, f := range in.Facts {
			if keep(k) {
				v.Facts, v.Pieces = append(v.Facts, f), append(v.Pieces, in.Pieces[at:at+int(f.Length)]...)
			}
			at += int(f.Length)
		}
	}
	if in.Features != nil {
		vary(RemovedShare{What: "features"}, [2]int{}, func(v *recipe.Injected) {
			v.Features = nil
			without(v, func(int) bool { return true })
		})
	}
	type mention struct {
		recipe.Mention
		text string
	}
	var spans []mention
	if x.b.knowledge != nil && x.b.knowledge.graph != nil {
		for _, text := range []string{ex.Text, ex.TextB} {
			for _, m := range x.b.knowledge.graph.Link(text) {
				spans = append(spans, mention{m, text[m.Start:m.End]})
			}
		}
	}
	next := 0
	for m, p := range in.Mentions {
		// The row's mentions are those linked, less those that were cut.
		for next < len(spans) && spans[next].Entity != p.Entity {
			next++
		}
		what := RemovedShare{What: "mention"}
		if next < len(spans) {
			s := spans[next]
			what.Start, what.End, what.Text = s.Start, s.End, s.text
			what.Entity, what.Name = x.b.knowledge.graph.ID(p.Entity), x.b.knowledge.graph.Name(p.Entity)
			next++
		}
		at, begin, end := 0, 0, 0
		for k, f := range in.Facts {
			from := at
			at += int(f.Length)
			if int(f.Mention) != m {
				continue
			}
			if end == 0 {
				begin = from
			}
			end = at
			one := what
			one.What = "fact"
			if facts := x.b.knowledge.graph.Facts(p.Entity); int(f.Fact) < len(facts) {
				one.Relation, one.Object = facts[f.Fact].Relation, facts[f.Fact].Object
			}
			vary(one, [2]int{from, at}, func(v *recipe.Injected) { without(v, func(j int) bool { return j != k }) })
		}
		vary(what, [2]int{begin, end}, func(v *recipe.Injected) {
			if v.Marks != nil {
				clear(v.Marks[p.From:p.To])
			}
			// Kept in the list, so that facts keep their numbers, but of no entity.
			v.Mentions[m].Entity = -1
			without(v, func(j int) bool { return int(in.Facts[j].Mention) != m })
		})
	}
}

// shares fills in what the engine found.
func (x *explaining) shares(found []recipe.Attribution) {
	for k, a := range found {
		e := &x.answers[x.places[k].answer].Explain[x.places[k].explanation]
		e.Full, e.Empty, e.Steps = a.Full, a.Empty, a.Steps
		var shares, drops []float64
		for w, group := range x.aims[k].Groups {
			for _, id := range group {
				if int(id) < len(a.Values) {
					e.Words[w].Share += a.Values[id]
				}
			}
			if w < len(a.Dropped) {
				e.Words[w].Dropped = a.Dropped[w]
			}
			if len(group) > 0 {
				shares, drops = append(shares, e.Words[w].Share), append(drops, e.Words[w].Dropped)
			}
		}
		for _, v := range a.Values {
			e.Sum += v
		}
		if len(shares) > 2 {
			e.Agreement = metric.Spearman(shares, drops)
		}
		source := len(x.rows.At(x.aims[k].Row).IDs)
		for v, row := range x.row {
			if row != x.aims[k].Row {
				continue
			}
			one := x.gone[v]
			for p := x.pieces[v][0]; p < x.pieces[v][1] && source+p < len(a.Values); p++ {
				one.Share += a.Values[source+p]
			}
			e.Knowledge = append(e.Knowledge, one)
		}
	}
}

// removed fills in the answers without each piece of knowledge.
func (x *explaining) removed(without []recipe.Prediction) {
	for k, aim := range x.aims {
		e := &x.answers[x.places[k].answer].Explain[x.places[k].explanation]
		n := 0
		spec := x.b.Heads[aim.Head]
		labels := recipe.Outputs(spec)
		for v, row := range x.row {
			if row != aim.Row {
				continue
			}
			one := &e.Knowledge[n]
			n++
			was, is := x.preds[aim.Row].Heads[aim.Head], without[v].Heads[aim.Head]
			if spec.Kind != sdk.KindTag {
				one.Without = labels[is.Class]
				one.Changed = is.Class != aim.Class
				one.Drop = float64(was.Scores[aim.Class] - is.Scores[aim.Class])
				continue
			}
			before, after := float32(1), float32(1)
			one.Without = e.Label
			for j, token := range aim.Tokens {
				before = min(before, was.TagScores[token])
				after = min(after, is.TagScores[token])
				if is.Tags[token] != aim.Tags[j] {
					one.Changed, one.Without = true, labels[is.Tags[token]]
				}
			}
			if one.Changed {
				after = 0
			}
			one.Drop = float64(before - after)
		}
	}
}

var _ recipe.Source = plainRows(nil)

// batchesOf yields rows in order, in batches of at most size.
func batchesOf(rows []*recipe.Encoded, size int) iter.Seq2[*recipe.Batch, error] {
	return func(yield func(*recipe.Batch, error) bool) {
		for from := 0; from < len(rows); from += max(size, 1) {
			b := &recipe.Batch{}
			for i := from; i < min(from+max(size, 1), len(rows)); i++ {
				b.Rows, b.Index = append(b.Rows, rows[i]), append(b.Index, i)
				b.Width, b.Tokens = max(b.Width, rows[i].Width()), b.Tokens+rows[i].Width()
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// ExplanationPage lays explanations out as a page.
func ExplanationPage(answers []Answer) *report.Explanations {
	p := &report.Explanations{}
	for _, ans := range answers {
		for _, e := range ans.Explain {
			a := report.ExplainedAnswer{Head: e.Head, Label: e.Label, Full: e.Full, Empty: e.Empty, Sum: e.Sum, Steps: e.Steps, Agreement: e.Agreement}
			at, second := 0, false
			text := ans.Text
			between := func(to int) {
				if at < to {
					a.Words = append(a.Words, report.ExplainedWord{Text: text[at:to]})
				}
			}
			for _, w := range e.Words {
				if w.Second && !second {
					between(len(text))
					a.Words = append(a.Words, report.ExplainedWord{Text: "\n"})
					at, second, text = 0, true, ans.TextB
				}
				between(w.Start)
				a.Words = append(a.Words, report.ExplainedWord{Text: w.Text, Word: true, Share: w.Share, Dropped: -w.Dropped,
					Answer: e.Span != nil && !w.Second && w.Start >= e.Span.Start && w.End <= e.Span.End})
				at = w.End
			}
			between(len(text))
			for _, k := range e.Knowledge {
				a.WithoutFacts = append(a.WithoutFacts, k.Sentence())
			}
			p.Answers = append(p.Answers, a)
		}
	}
	return p
}

// Sentence says what becomes of the answer without a piece of knowledge.
func (k *RemovedShare) Sentence() string {
	what := "the word features"
	switch k.What {
	case "mention":
		what = fmt.Sprintf("the mention %q of %s", k.Text, k.Name)
	case "fact":
		what = fmt.Sprintf("the fact %s %s %s (share %+.3f)", k.Name, k.Relation, k.Object, k.Share)
	}
	if k.Changed {
		return fmt.Sprintf("without %s the answer becomes %s", what, k.Without)
	}
	return fmt.Sprintf("without %s the answer stays, its probability changes by %+.3f", what, -k.Drop)
}
