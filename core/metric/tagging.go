package metric

import (
	"maps"
	"slices"
	"strings"
)

// Tagging scores one tag per token. gold and pred hold indices into labels,
// one slice per example; a gold of -1 (no label) is left out, a pred of -1 (a
// token that was cut) is a miss and belongs to no entity. scheme is "" or
// "bio" (also reads IOB1), "bilou", or "none": then there are no entities.
func Tagging(labels []string, gold, pred [][]int32, scheme string) *Report {
	s := &Sample{labels: labels, entities: scheme != "none", rows: make([]row, 0, len(gold)), inputs: len(gold)}
	tags := make([]tag, len(labels))
	for i, label := range labels {
		tags[i] = parseTag(label)
	}
	c := newConfusion(labels)
	types := map[string]*EntityScore{}
	tokens := 0
	var a, b []tag
	for i, g := range gold {
		var p []int32
		if i < len(pred) {
			p = pred[i]
		}
		r := row{}
		a, b = a[:0], b[:0]
		for t, want := range g {
			got := int32(-1)
			if t < len(p) {
				got = p[t]
			}
			if !valid(want, labels) {
				a, b = append(a, tag{}), append(b, tag{})
				continue
			}
			r.total++
			r.count(want, got, labels)
			c.add(want, got)
			a = append(a, tags[want])
			if valid(got, labels) {
				b = append(b, tags[got])
			} else {
				b = append(b, tag{})
			}
		}
		if r.total == 0 {
			continue
		}
		if s.entities {
			r.entities(chunks(a), chunks(b), types)
		}
		tokens += int(r.total)
		s.keep(i, r)
	}
	rep := s.report(TaskTag)
	rep.N, rep.Tokens = len(s.rows), tokens
	rep.Confusion = c.finish()
	rep.Majority = majority(labels, c)
	if s.entities {
		rep.Entities = sumEntities(types)
		rep.EntityF1 = &rep.Entities.F1
	}
	return rep
}

// Chunk is an entity: tokens Start to End (not included) and its type.
type Chunk struct {
	Start, End int
	Type       string
}

// Chunks reads the entities out of a sequence of tags with conlleval's rules:
// B, S and U begin an entity, and so does any tag after O, after the end of
// an entity, or with another type than the tag before; E, L, S and U end one.
// IOB1 and ill-formed sequences are thereby read as people mean them. Tags
// with another prefix are outside.
func Chunks(tags []string) []Chunk {
	parsed := make([]tag, len(tags))
	for i, t := range tags {
		parsed[i] = parseTag(t)
	}
	return chunks(parsed)
}

// tag is a parsed tag; the zero value is outside.
type tag struct {
	part byte // 0 outside, B begin, I inside, E end, S single
	kind string
}

func parseTag(s string) tag {
	prefix, kind, _ := strings.Cut(s, "-")
	switch prefix {
	case "B", "I", "E", "S":
		return tag{prefix[0], kind}
	case "L":
		return tag{'E', kind}
	case "U":
		return tag{'S', kind}
	}
	return tag{}
}

func chunks(tags []tag) []Chunk {
	var out []Chunk
	start, before := -1, tag{}
	for i, t := range tags {
		if start >= 0 && ends(before, t) {
			out = append(out, Chunk{start, i, before.kind})
			start = -1
		}
		if t.part != 0 && (start < 0 || t.part == 'B' || t.part == 'S') {
			start = i
		}
		before = t
	}
	if start >= 0 {
		out = append(out, Chunk{start, len(tags), before.kind})
	}
	return out
}

// ends says whether an entity that holds a ends before b.
func ends(a, b tag) bool {
	return a.part == 'E' || a.part == 'S' || b.part == 0 || b.part == 'B' || b.part == 'S' || a.kind != b.kind
}

func (r *row) entities(gold, pred []Chunk, types map[string]*EntityScore) {
	at := func(kind string) *EntityScore {
		if types[kind] == nil {
			types[kind] = &EntityScore{Type: kind}
		}
		return types[kind]
	}
	r.goldEntities, r.predEntities = int32(len(gold)), int32(len(pred))
	for _, g := range gold {
		at(g.Type).Support++
	}
	j := 0
	for _, p := range pred {
		at(p.Type).Predicted++
		for j < len(gold) && gold[j].Start < p.Start {
			j++
		}
		if j < len(gold) && gold[j] == p {
			r.correct++
			at(p.Type).Correct++
		}
	}
}

func sumEntities(types map[string]*EntityScore) *Entities {
	e := &Entities{Types: EntityTypes{}}
	for _, kind := range slices.Sorted(maps.Keys(types)) {
		row := types[kind]
		e.Support += row.Support
		e.Predicted += row.Predicted
		e.Correct += row.Correct
		row.ratios()
		e.Types = append(e.Types, *row)
	}
	e.ratios()
	return e
}

func (s *EntityScore) ratios() {
	s.Precision = ratio(float64(s.Correct), float64(s.Predicted))
	s.Recall = ratio(float64(s.Correct), float64(s.Support))
	s.F1 = ratio(2*float64(s.Correct), float64(s.Predicted+s.Support))
}
