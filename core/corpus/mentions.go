package corpus

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// NoRelation is the label of pairs of mentions that a file relates in no way.
const NoRelation = "no_relation"

// nothing are labels that say "none" where nobody says which one does.
func nothing() []string {
	return []string{NoRelation, "no-relation", "no relation", "none", "None", "NA", "N/A", "O", "Other", "无", "无关系", "未知"}
}

// related is what a file says of two mentions, by their numbers.
type related struct {
	head, tail int
	label      string
}

// mentionsOf reads the entities of a row and the relations between them, which name
// their head and tail by number, id or words. Words that stand several times mean the
// two that are closest.
func (f *fieldReader) mentionsOf(r *row, rec record) bool {
	list, ok := rec.fields[f.c.entities].([]any)
	if !ok {
		f.errorf(rec, "data.entities", "%s is no list", f.c.entities)
		return false
	}
	if r.mentions, ok = f.spans(r, rec, list, f.c.entities); !ok {
		return false
	}
	if f.c.relations == "" || rec.fields[f.c.relations] == nil {
		return true
	}
	relations, ok := rec.fields[f.c.relations].([]any)
	if !ok {
		f.errorf(rec, "data.relations", "%s is no list", f.c.relations)
		return false
	}
	r.relations = []related{}
	for i, item := range relations {
		object, isMap := item.(map[string]any)
		label, named := scalarText(object["type"])
		if !named {
			label, named = scalarText(object["label"])
		}
		heads, tails := meant(r, list, object["head"]), meant(r, list, object["tail"])
		if !isMap || !named || label == "" || len(heads) == 0 || len(tails) == 0 {
			f.p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.relations", File: f.file, Line: rec.line,
				Summary: fmt.Sprintf("%s[%d] is not {head, tail, type} of two of the row's entities", f.c.relations, i), Remedy: "head and tail are numbers of entities from 0, their ids or their words"})
			ok = false
			continue
		}
		best, least := related{-1, -1, label}, len(r.Text)+1
		for _, a := range heads {
			for _, b := range tails {
				if d := max(r.mentions[a].Start-r.mentions[b].End, r.mentions[b].Start-r.mentions[a].End); a != b && d < least {
					best.head, best.tail, least = a, b, d
				}
			}
		}
		if best.head < 0 {
			f.errorf(rec, "data.relations", "%s[%d] relates an entity to itself", f.c.relations, i)
			ok = false
			continue
		}
		r.relations = append(r.relations, best)
	}
	return ok
}

// meant lists the entities that a head or tail can stand for.
func meant(r *row, entities []any, v any) (out []int) {
	if n, ok := wholeNumber(v); ok {
		if n >= 0 && n < len(r.mentions) {
			return []int{n}
		}
		return nil
	}
	name, ok := v.(string)
	for i, m := range r.mentions {
		object, _ := entities[i].(map[string]any)
		if id, has := scalarText(object["id"]); ok && has && id == name {
			return []int{i}
		}
		if ok && r.Text[m.Start:m.End] == name {
			out = append(out, i)
		}
	}
	return out
}

// signature holds the types of mentions that can be related.
type signature map[[2]string]bool

// String lists them as A>B, sorted.
func (s signature) String() string {
	var out []string
	for pair := range s {
		out = append(out, pair[0]+">"+pair[1])
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func parseSignature(text string) signature {
	s := signature{}
	for pair := range strings.FieldsSeq(text) {
		if a, b, ok := strings.Cut(pair, ">"); ok {
			s[[2]string{a, b}] = true
		}
	}
	return s
}

// pairUp lists the ordered pairs of different mentions whose types can be related;
// an empty signature allows all, a mention without a type goes with any.
func pairUp(mentions []sdk.Span, can signature) (out [][2]int) {
	for a, head := range mentions {
		for b, tail := range mentions {
			if a != b && (len(can) == 0 || head.Label == "" || tail.Label == "" || can[[2]string{head.Label, tail.Label}]) {
				out = append(out, [2]int{a, b})
			}
		}
	}
	return out
}

// pairLabel marks two mentions.
func pairLabel(head, tail sdk.Span) []sdk.Span {
	return []sdk.Span{{Start: head.Start, End: head.End, Label: sdk.MentionHead, EntityID: head.EntityID}, {Start: tail.Start, End: tail.End, Label: sdk.MentionTail, EntityID: tail.EntityID}}
}

// Pairs gives each example that names mentions for a head of relations one example
// for each pair of them, after the example itself. owner gives the number of the
// example that each of them comes from.
func Pairs(examples []sdk.Example, heads []sdk.HeadSpec) (out []sdk.Example, owner []int) {
	for i := range examples {
		ex := &examples[i]
		out, owner = append(out, *ex), append(owner, i)
		for _, h := range heads {
			l, ok := ex.Labels[h.Name]
			if h.Kind != sdk.KindRelation || !ok {
				continue
			}
			for _, pair := range pairUp(l.Spans, parseSignature(h.Options[sdk.OptionPairs])) {
				one := sdk.Example{ID: fmt.Sprintf("%s#%d-%d", ex.ID, pair[0], pair[1]), Parent: ex.ID, Text: ex.Text, Meta: ex.Meta, File: ex.File, Line: ex.Line}
				one.Labels = map[string]sdk.Label{h.Name: {Spans: pairLabel(l.Spans[pair[0]], l.Spans[pair[1]])}}
				out, owner = append(out, one), append(owner, i)
			}
		}
	}
	return out, owner
}

// relate turns the relations of rows into rows of their own, one for each pair of
// mentions whose types are related somewhere in train, or that the model's head
// knows. Pairs that the file does not relate are labelled NoRelation, except those
// whose words it relates elsewhere in the row.
func relate(splits map[string][]row, req *Request) {
	can := signature{}
	known := func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindRelation && h.Options[sdk.OptionPairs] != "" }
	if i := slices.IndexFunc(req.Heads, known); i >= 0 {
		can = parseSignature(req.Heads[i].Options[sdk.OptionPairs])
	} else {
		for _, split := range SplitNames() {
			for i := range splits[split] {
				r := &splits[split][i]
				for _, x := range r.relations {
					if split == "train" || len(splits["train"]) == 0 {
						can[[2]string{r.mentions[x.head].Label, r.mentions[x.tail].Label}] = true
					}
				}
			}
		}
	}
	for _, split := range slices.Collect(maps.Keys(splits)) {
		if !slices.ContainsFunc(splits[split], func(r row) bool { return r.relations != nil }) {
			continue
		}
		var out []row
		for _, r := range splits[split] {
			if len(r.labels) > 0 || r.relations == nil {
				out = append(out, r)
			}
			if r.relations == nil {
				continue
			}
			words := func(i int) string { return r.Text[r.mentions[i].Start:r.mentions[i].End] }
			for _, pair := range pairUp(r.mentions, can) {
				label, elsewhere := NoRelation, false
				for _, x := range r.relations {
					switch {
					case x.head == pair[0] && x.tail == pair[1]:
						label = x.label
					case words(x.head) == words(pair[0]) && words(x.tail) == words(pair[1]):
						elsewhere = true
					}
				}
				if label == NoRelation && elsewhere {
					continue
				}
				one := row{Example: r.Example, signature: can}
				one.ID, one.Parent = r.ID+"#"+strconv.Itoa(pair[0])+"-"+strconv.Itoa(pair[1]), r.ID
				one.labels = []rawLabel{{form: formRelation, values: []string{label}, spans: pairLabel(r.mentions[pair[0]], r.mentions[pair[1]])}}
				out = append(out, one)
			}
		}
		splits[split] = out
	}
}

// fillRelations completes a head of relations.
func fillRelations(h *sdk.HeadSpec, g *group, declared bool, req *Request, p *problems) bool {
	ok := true
	for _, r := range g.refs {
		if r.label.form != formRelation {
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.label", File: r.row.File, Line: r.row.Line,
				Summary: fmt.Sprintf("a label does not fit head %q of kind %s", h.Name, h.Kind), Remedy: "it wants a text with entities and relations: {\"text\": …, \"entities\": [{start, end, type}], \"relations\": [{head, tail, type}]}"})
			ok = false
			continue
		}
		set(r.row, h.Name, sdk.Label{Values: r.label.values, Spans: r.label.spans})
		if can := r.row.signature; len(can) > 0 && h.Options[sdk.OptionPairs] == "" && !req.Closed {
			setOption(h, sdk.OptionPairs, can.String())
		}
	}
	labelSet(h, slices.Sorted(maps.Keys(g.seen())), g, declared, req, p)
	if h.Options[sdk.OptionNoRelation] == "" && !req.Closed {
		for _, l := range nothing() {
			if slices.Contains(h.Labels, l) {
				setOption(h, sdk.OptionNoRelation, l)
				break
			}
		}
	}
	return ok
}

// isPair reports whether the spans of a label mark two mentions.
func isPair(spans []sdk.Span) bool {
	return len(spans) == 2 && spans[0].Label == sdk.MentionHead && spans[1].Label == sdk.MentionTail
}

// mark encodes a text with markers around two mentions and says where the markers
// before them are. Markers are pieces that a vocabulary keeps unused, as [unused1]
// in BERT's; else @ and # (Zhou and Chen 2022, "An Improved Baseline for
// Sentence-level Relation Extraction"). Of a text that is too long the pieces
// farthest from the mentions' beginnings go.
func mark(t *token.Tokenizer, ex *sdk.Example, spans []sdk.Span, limit int) (row recipe.Encoded, pieces []piece, marks [2]int32) {
	enc := t.Encode(ex.Text, token.Options{})
	around := markers(t)
	n := enc.Len()
	first, last := [2]int{-1, -1}, [2]int{-1, -1}
	for i, o := range enc.Offsets {
		for k, s := range spans {
			if enc.Sequences[i] == 0 && o.End > s.Start && o.Start < s.End && o.Start < o.End {
				if first[k] < 0 {
					first[k] = i
				}
				last[k] = i
			}
		}
	}
	if first[0] < 0 || first[1] < 0 {
		enc = t.Encode(ex.Text, token.Options{Max: limit})
		return recipe.Encoded{IDs: enc.IDs, Types: enc.Types}, piecesOf(t, &sdk.Example{Text: ex.Text}, &enc), marks
	}
	keep := make([]bool, n)
	var order []int
	for i := range n {
		if keep[i] = enc.Sequences[i] < 0; !keep[i] {
			order = append(order, i)
		}
	}
	far := func(i int) int { return min(abs(i-first[0]), abs(i-first[1])) }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(far(a), far(b)) })
	room := len(order)
	if limit > 0 {
		room = max(2, min(room, limit-4-(n-len(order))))
	}
	for _, i := range order[:min(room, len(order))] {
		keep[i] = true
	}
	put := func(id, kind int32, p piece) {
		row.IDs, row.Types, pieces = append(row.IDs, id), append(row.Types, kind), append(pieces, p)
	}
	all := piecesOf(t, &sdk.Example{Text: ex.Text}, &enc)
	outer := 0 // the longer mention's marker comes first where both begin
	if first[0] == first[1] && last[1] > last[0] {
		outer = 1
	}
	for i := range n {
		for _, k := range []int{outer, 1 - outer} {
			if i == first[k] {
				marks[k] = int32(len(row.IDs))
				put(around[2*k], enc.Types[i], piece{text: -1})
			}
		}
		if keep[i] {
			put(enc.IDs[i], enc.Types[i], all[i])
		}
		for _, k := range []int{1 - outer, outer} {
			if i == last[k] {
				put(around[2*k+1], enc.Types[i], piece{text: -1})
			}
		}
	}
	return row, pieces, marks
}

func abs(n int) int { return max(n, -n) }

// markers are the ids before and after a head, before and after a tail.
func markers(t *token.Tokenizer) (out [4]int32) {
	for i := range out {
		id, ok := t.ID("[unused" + strconv.Itoa(i+1) + "]")
		if !ok {
			for k, s := range []string{"@", "@", "#", "#"} {
				if ids := t.Encode(s, token.Options{Bare: true}).IDs; len(ids) > 0 {
					out[k] = ids[len(ids)-1]
				}
			}
			return out
		}
		out[i] = id
	}
	return out
}
