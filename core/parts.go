package core

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// parts tells examples with mentions that training showed from others. For a tag
// head a mention is an entity, of gold or predicted, and seen when an entity of
// train has its words; for other heads it is a linked name, and an example is
// unseen when a name in it is linked nowhere in train.
type parts struct {
	examples []sdk.Example
	entities map[string]map[string]bool // by tag head: words of entities in train
	seen     []string                   // part of each example, "" without linked names
}

func newParts(b *Bundle, c *corpus.Corpus, split string) *parts {
	p := &parts{examples: c.Split(split), entities: map[string]map[string]bool{}}
	for _, h := range b.Heads {
		if h.Kind != sdk.KindTag || h.Scheme == "none" {
			continue
		}
		known := map[string]bool{}
		for i := range c.Train {
			ex := &c.Train[i]
			for _, chunk := range metric.Chunks(ex.Labels[h.Name].Tags) {
				known[surface(ex, chunk)] = true
			}
		}
		p.entities[h.Name] = known
	}
	if b.knowledge != nil && b.knowledge.corpus.Linker != nil {
		l, known := b.knowledge.corpus.Linker, map[string]bool{}
		linked := func(ex *sdk.Example, see func(string)) {
			for _, text := range []string{ex.Text, ex.TextB} {
				for _, m := range l.Link(text) {
					see(strings.ToLower(text[m.Start:m.End]))
				}
			}
		}
		for i := range c.Train {
			linked(&c.Train[i], func(s string) { known[s] = true })
		}
		p.seen = make([]string, len(p.examples))
		for i := range p.examples {
			linked(&p.examples[i], func(s string) {
				if !known[s] {
					p.seen[i] = partUnseen
				} else if p.seen[i] == "" {
					p.seen[i] = partSeen
				}
			})
		}
	}
	return p
}

// surface is an entity's words, folded, as one text.
func surface(ex *sdk.Example, c metric.Chunk) string {
	if c.End > len(ex.Tokens) {
		return ""
	}
	return strings.ToLower(ex.Text[ex.Tokens[c.Start].Start:ex.Tokens[c.End-1].End])
}

// score gives the reports of each head: of all examples, and of seen and unseen.
func (p *parts) score(heads []sdk.HeadSpec, rows recipe.Source, preds []recipe.Prediction, dataset, split string) map[string]map[string]*metric.Report {
	out := map[string]map[string]*metric.Report{}
	for name, r := range Score(heads, rows, preds, dataset, split) {
		out[name] = map[string]*metric.Report{"": r}
	}
	for h, spec := range heads {
		if out[spec.Name] == nil {
			continue
		}
		for _, part := range []string{partSeen, partUnseen} {
			var r *metric.Report
			if spec.Kind == sdk.KindTag {
				r = p.scoreTags(spec, h, rows, preds, part)
			} else {
				r = p.scoreRows(heads, h, rows, preds, part)
			}
			if r != nil && r.N > 0 {
				r.Task, r.Dataset, r.Split = spec.Kind, dataset, split
				out[spec.Name][part] = r
			}
		}
	}
	return out
}

// scoreTags counts only the entities of one part, of gold and of predictions.
func (p *parts) scoreTags(spec sdk.HeadSpec, h int, rows recipe.Source, preds []recipe.Prediction, part string) *metric.Report {
	known := p.entities[spec.Name]
	if known == nil {
		return nil
	}
	labels := recipe.Outputs(spec)
	outside := int32(slices.Index(labels, "O"))
	keep := func(i int, tagged []int32) []int32 {
		names := make([]string, len(tagged))
		for k, t := range tagged {
			if names[k] = "O"; t >= 0 && int(t) < len(labels) {
				names[k] = labels[t]
			}
		}
		out := slices.Clone(tagged)
		for _, c := range metric.Chunks(names) {
			if known[surface(&p.examples[i], c)] == (part == partSeen) {
				continue
			}
			for k := c.Start; k < c.End; k++ {
				out[k] = outside
			}
		}
		return out
	}
	var gold, pred [][]int32
	for i := range rows.Len() {
		t := rows.At(i).Targets[h]
		if !t.Has {
			continue
		}
		gold = append(gold, keep(i, t.Tags))
		pred = append(pred, keep(i, tags(preds[i].Heads[h].Tags, len(t.Tags))))
	}
	return metric.Tagging(labels, gold, pred, spec.Scheme)
}

// scoreRows counts only the examples of one part.
func (p *parts) scoreRows(heads []sdk.HeadSpec, h int, rows recipe.Source, preds []recipe.Prediction, part string) *metric.Report {
	if p.seen == nil {
		return nil
	}
	some := &someRows{Source: rows}
	var of []recipe.Prediction
	for i := range rows.Len() {
		if p.seen[i] == part {
			some.at, of = append(some.at, i), append(of, preds[i])
		}
	}
	return scoreHead(heads[h], h, some, of)
}

// someRows are chosen rows of a source.
type someRows struct {
	recipe.Source
	at []int
}

// Len is the number of rows chosen.
func (s *someRows) Len() int { return len(s.at) }

// At returns the i-th row chosen.
func (s *someRows) At(i int) *recipe.Encoded { return s.Source.At(s.at[i]) }

// nameOnly answers without a model: a linked name gets the label that names of
// its entity have most often in train, else of its type; a text the label that
// most of its names vote for, else the most frequent.
func nameOnly(b *Bundle, c *corpus.Corpus, split string, p *parts, dataset string) armRuns {
	out := armRuns{}
	l := b.knowledge.corpus.Linker
	for _, spec := range b.Heads {
		labels := recipe.Outputs(spec)
		var r map[string]map[string]*metric.Report
		one := []sdk.HeadSpec{spec}
		rows, preds := make([]*recipe.Encoded, len(p.examples)), make([]recipe.Prediction, len(p.examples))
		switch {
		case spec.Kind == sdk.KindTag && spec.Scheme == "":
			v := newVotes()
			for i := range c.Train {
				ex := &c.Train[i]
				if tagged := ex.Labels[spec.Name].Tags; tagged != nil {
					v.learnTags(l, ex, tagged)
				}
			}
			for i := range p.examples {
				rows[i], preds[i] = tagRow(spec, labels, &p.examples[i], v.tag(l, &p.examples[i]))
			}
		case spec.Kind == sdk.KindClassify:
			v := newVotes()
			for i := range c.Train {
				ex := &c.Train[i]
				if values := ex.Labels[spec.Name].Values; len(values) == 1 {
					v.learn(l, ex, values[0])
				}
			}
			for i := range p.examples {
				ex := &p.examples[i]
				target := recipe.Target{}
				if values := ex.Labels[spec.Name].Values; len(values) == 1 {
					target = recipe.Target{Has: true, Class: int32(slices.Index(labels, values[0]))}
				}
				rows[i] = &recipe.Encoded{ID: ex.ID, Targets: []recipe.Target{target}}
				preds[i] = recipe.Prediction{Heads: []recipe.Output{{Class: int32(slices.Index(labels, v.classify(l, ex)))}}}
			}
		default:
			continue
		}
		r = p.score(one, plainRows(rows), preds, dataset, split)
		out.add(r)
	}
	return out
}

// plainRows are rows in memory.
type plainRows []*recipe.Encoded

// Len is the number of rows.
func (r plainRows) Len() int { return len(r) }

// At returns row i.
func (r plainRows) At(i int) *recipe.Encoded { return r[i] }

// Batches yields the rows in their order.
func (r plainRows) Batches(_ context.Context, size int) iter.Seq2[*recipe.Batch, error] {
	return batchesOf(r, size)
}

// votes count labels by entity, by type and in all.
type votes struct {
	entity, kind map[int32]map[string]int
	all          map[string]int
}

func newVotes() *votes {
	return &votes{map[int32]map[string]int{}, map[int32]map[string]int{}, map[string]int{}}
}

func (v *votes) count(m recipe.Mention, label string) {
	for _, by := range []struct {
		of map[int32]map[string]int
		id int32
	}{{v.entity, m.Entity}, {v.kind, m.Type}} {
		if by.of[by.id] == nil {
			by.of[by.id] = map[string]int{}
		}
		by.of[by.id][label]++
	}
}

// label is the most frequent label of an entity, else of its type.
func (v *votes) label(m recipe.Mention) string {
	if own := v.entity[m.Entity]; own != nil {
		return most(own)
	}
	return most(v.kind[m.Type])
}

// most is the label with the highest count; of equals the first by name.
func most(counts map[string]int) string {
	best := ""
	for _, label := range slices.Sorted(maps.Keys(counts)) {
		if best == "" || counts[label] > counts[best] {
			best = label
		}
	}
	return best
}

func (v *votes) learn(l recipe.Linker, ex *sdk.Example, label string) {
	v.all[label]++
	for _, m := range append(l.Link(ex.Text), l.Link(ex.TextB)...) {
		v.count(m, label)
	}
}

func (v *votes) classify(l recipe.Linker, ex *sdk.Example) string {
	sum := map[string]int{}
	for _, m := range append(l.Link(ex.Text), l.Link(ex.TextB)...) {
		if label := v.label(m); label != "" {
			sum[label]++
		}
	}
	if len(sum) == 0 {
		return most(v.all)
	}
	return most(sum)
}

// covered are the tokens [from, to) that a mention touches.
func covered(ex *sdk.Example, m recipe.Mention) (from, to int) {
	from = len(ex.Tokens)
	for k, t := range ex.Tokens {
		if t.Start < m.End && t.End > m.Start {
			from, to = min(from, k), k+1
		}
	}
	return from, to
}

// learnTags counts for each linked name the type of the entity that is exactly
// there, O if there is none.
func (v *votes) learnTags(l recipe.Linker, ex *sdk.Example, tagged []string) {
	chunks := metric.Chunks(tagged)
	for _, m := range l.Link(ex.Text) {
		from, to := covered(ex, m)
		label := "O"
		for _, c := range chunks {
			if c.Start == from && c.End == to {
				label = c.Type
			}
		}
		v.count(m, label)
	}
}

func (v *votes) tag(l recipe.Linker, ex *sdk.Example) []string {
	out := make([]string, len(ex.Tokens))
	for i := range out {
		out[i] = "O"
	}
	for _, m := range l.Link(ex.Text) {
		label := v.label(m)
		if label == "" || label == "O" {
			continue
		}
		from, to := covered(ex, m)
		for k := from; k < to; k++ {
			if out[k] = "I-" + label; k == from {
				out[k] = "B-" + label
			}
		}
	}
	return out
}

// tagRow turns tags into a row and a prediction.
func tagRow(spec sdk.HeadSpec, labels []string, ex *sdk.Example, said []string) (*recipe.Encoded, recipe.Prediction) {
	number := func(tags []string) []int32 {
		out := make([]int32, len(tags))
		for i, t := range tags {
			out[i] = int32(slices.Index(labels, t))
		}
		return out
	}
	target := recipe.Target{}
	if gold := ex.Labels[spec.Name].Tags; gold != nil {
		target = recipe.Target{Has: true, Tags: number(gold)}
	}
	return &recipe.Encoded{ID: ex.ID, Targets: []recipe.Target{target}}, recipe.Prediction{Heads: []recipe.Output{{Tags: number(said)}}}
}
