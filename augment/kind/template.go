package kind

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/augment/edit"
)

// templateParams are the keys of template.v0.
type templateParams struct {
	Text  edit.Names          `yaml:"text" required:"true" doc:"templates to draw from; {slot} stands for a slot, {match} for the match, {{ for the sign {"`
	Slots map[string]slotSpec `yaml:"slots" doc:"how each slot is filled, see below"`
	Head  string              `yaml:"head" doc:"head of the labels of slots; default entities"`
}

// slotSpec is how one slot is filled: by list, with, graph, group or number.
type slotSpec struct {
	List   string     `yaml:"list" doc:"list to draw a row from"`
	Form   int        `yaml:"form" doc:"which form of the row, from 1; default any"`
	With   edit.Names `yaml:"with" doc:"texts to draw from"`
	Graph  string     `yaml:"graph" doc:"entities of the knowledge graph: a type (type Drug), or with of a query on the entity in another slot (object of treats)"`
	Of     string     `yaml:"of" doc:"the slot whose entity the query starts from"`
	Group  string     `yaml:"group" doc:"named group of the match; spans within it keep their labels"`
	Number []float64  `yaml:"number" doc:"[from, to] or [from, to, step]: a number drawn from this range"`
	Label  string     `yaml:"label" doc:"the filling is a span with this label"`
	Head   string     `yaml:"head" doc:"head of the label; default that of the template"`
}

// template replaces the match by a text made of slots, as in the templates of
// CheckList (Ribeiro et al. 2020). Slots with a label become labelled spans.
type template struct {
	texts [][]piece
	slots map[string]*slot
	order []string // slots that others start from come first
	graph bool
	types []string
}

type slot struct {
	slotSpec
	list  *edit.List
	query *edit.Query
}

// filling is what a slot holds in one text.
type filling struct {
	text, id string
	start    int // of a group in the text, -1 for none
}

var slotName = regexp.MustCompile(`\{\{|\{([a-zA-Z_][a-zA-Z0-9_]*)\}|\{`)

func newTemplate(b *edit.Build) edit.Action {
	p := templateParams{Head: "entities"}
	if !b.Decode(&p) {
		return nil
	}
	t := &template{slots: map[string]*slot{}}
	names := slices.Sorted(maps.Keys(p.Slots))
	ok := true
	for _, name := range names {
		spec := p.Slots[name]
		spec.Head = cmp.Or(spec.Head, p.Head)
		s := t.slot(b, "slots."+name, spec, names)
		ok = ok && s != nil
		t.slots[name] = s
	}
	used := map[string]bool{}
	for i, text := range p.Text {
		path := "text"
		if len(p.Text) > 1 {
			path += "[" + strconv.Itoa(i) + "]"
		}
		var pieces []piece
		last := 0
		for _, m := range slotName.FindAllStringSubmatchIndex(text, -1) {
			if m[0] > last {
				pieces = append(pieces, piece{text: text[last:m[0]]})
			}
			last = m[1]
			switch {
			case m[2] >= 0:
				name := text[m[2]:m[3]]
				if name != "match" && t.slots[name] == nil {
					if p.Slots != nil || name != "match" {
						ok = oneOf(b, path, name, append(slices.Clone(names), "match")...) && ok
					}
				}
				used[name] = true
				pieces = append(pieces, piece{group: name})
			case m[1]-m[0] == 2:
				pieces = append(pieces, piece{text: "{"})
			default:
				b.Report("rules.param", path, "write {name} for a slot, {{ for the sign", "a { stands alone")
				ok = false
			}
		}
		if last < len(text) {
			pieces = append(pieces, piece{text: text[last:]})
		}
		t.texts = append(t.texts, pieces)
	}
	for _, name := range names {
		if s := t.slots[name]; s != nil && s.Of != "" {
			used[s.Of] = true
		}
	}
	for _, name := range names {
		if !used[name] {
			b.Report("rules.param", "slots."+name, "use it in the text or drop it", "no template has the slot {%s}", name)
			ok = false
		}
	}
	if !ok {
		return nil
	}
	return t.sort(b, names)
}

// slot checks one slot.
func (t *template) slot(b *edit.Build, path string, spec slotSpec, names []string) *slot {
	s := &slot{slotSpec: spec}
	n := 0
	for _, given := range []bool{spec.List != "", spec.With != nil, spec.Graph != "", spec.Group != "", spec.Number != nil} {
		if given {
			n++
		}
	}
	if n != 1 {
		b.Report("rules.param", path, "give one of list, with, graph, group, number", "the slot has %d ways to be filled", n)
		return nil
	}
	if spec.Form != 0 && spec.List == "" || spec.Of != "" && spec.Graph == "" {
		b.Report("rules.param", path, "form goes with list, of with graph", "the slot has a key without meaning")
		return nil
	}
	switch {
	case spec.List != "":
		if s.list = b.List(path+".list", spec.List); s.list == nil {
			return nil
		}
		for _, row := range s.list.Rows {
			if spec.Form < 0 || spec.Form > len(row) {
				b.Report("rules.param", path+".form", "", "the row of %q in list %q has no form %d", row[0], s.list.Name, spec.Form)
				return nil
			}
		}
	case spec.Group != "":
		if !oneOf(b, path+".group", spec.Group, b.Match.Groups...) {
			return nil
		}
	case spec.Number != nil:
		if r := spec.Number; len(r) < 2 || len(r) > 3 || !(r[0] < r[1]) || len(r) == 3 && !(r[2] > 0) {
			b.Report("rules.param", path+".number", "write [1, 20] or [0.5, 9.5, 0.1]", "the range is not valid")
			return nil
		}
	case spec.Graph != "":
		q, err := edit.ParseQuery(spec.Graph)
		if err != nil {
			b.Report("rules.query", path+".graph", "", "the query is not valid: %v", err)
			return nil
		}
		if spec.Of == "" && (q.Type == "" || q.Asks()) {
			b.Report("rules.query", path+".graph", "write: type Drug; or name in of the slot to start from", "without of the query must give a type alone")
			return nil
		}
		if spec.Of != "" && (!q.Asks() || !slices.Contains(names, spec.Of)) {
			b.Report("rules.query", path+".of", "", "the slot starts from %q with a query that must pick another entity of a slot", spec.Of)
			return nil
		}
		s.query, t.graph = q, true
		if q.Type != "" {
			t.types = append(t.types, q.Type)
		}
	}
	return s
}

// sort puts slots behind those they start from.
func (t *template) sort(b *edit.Build, names []string) edit.Action {
	for len(t.order) < len(names) {
		before := len(t.order)
		for _, n := range names {
			s := t.slots[n]
			if !slices.Contains(t.order, n) && (s.Of == "" || slices.Contains(t.order, s.Of)) {
				if s.Of != "" && t.slots[s.Of].query == nil {
					b.Report("rules.query", "slots."+n+".of", "", "slot %q holds no entity of a graph", s.Of)
					return nil
				}
				t.order = append(t.order, n)
			}
		}
		if len(t.order) == before {
			b.Report("rules.param", "slots", "", "slots start from each other in a circle")
			return nil
		}
	}
	return t
}

// Needs says which resources the rule asks.
func (t *template) Needs() edit.Needs { return edit.Needs{Graph: t.graph, Types: t.types} }

// Edit replaces the match by a filled template.
func (t *template) Edit(c *edit.Context) {
	pieces := t.texts[pick(c, len(t.texts))]
	filled := make(map[string]filling, len(t.order))
	for _, name := range t.order {
		f, ok := t.slots[name].fill(c, filled)
		if !ok {
			return
		}
		filled[name] = f
	}
	var b strings.Builder
	var marks []edit.Mark
	for i, p := range pieces {
		switch {
		case p.group == "":
			text := p.text
			if i+1 < len(pieces) && pieces[i+1].group != "" && pieces[i+1].group != "match" && english(c) {
				text = suitArticle(text, filled[pieces[i+1].group].text)
			}
			b.WriteString(text)
		case p.group == "match":
			marks = carryMarks(marks, c, c.Match.Start, c.Match.End, b.Len())
			b.WriteString(c.Matched())
		default:
			f, s := filled[p.group], t.slots[p.group]
			text := f.text
			if b.Len() == 0 && s.Label == "" && f.start < 0 {
				text = capitalize(text)
			}
			if s.Label != "" && text != "" {
				marks = append(marks, edit.Mark{Head: s.Head, Span: sdkSpan{Start: b.Len(), End: b.Len() + len(text), Label: s.Label, EntityID: f.id}})
			} else if f.start >= 0 {
				marks = carryMarks(marks, c, f.start, f.start+len(text), b.Len())
			}
			b.WriteString(text)
		}
	}
	if text := b.String(); text != c.Matched() && text != "" {
		c.Replace(c.Match.Start, c.Match.End, text, marks...)
	}
}

// suitArticle gives a text that ends in a or an the form that suits what follows.
func suitArticle(text, next string) string {
	for _, a := range [...]string{" a ", " an "} {
		if strings.HasSuffix(text, a) || text == a[1:] || text == capitalize(a[1:]) {
			stem := strings.TrimSuffix(strings.TrimSuffix(text, " "), "n")
			if vowelSound(next) {
				return stem + "n "
			}
			return stem + " "
		}
	}
	return text
}

func (s *slot) fill(c *edit.Context, filled map[string]filling) (filling, bool) {
	f := filling{start: -1}
	switch {
	case s.list != nil:
		row := s.list.Rows[c.Rand.IntN(len(s.list.Rows))]
		if s.Form > 0 {
			f.text = row[s.Form-1]
		} else {
			f.text = row[pick(c, len(row))]
		}
	case s.With != nil:
		f.text = s.With[pick(c, len(s.With))]
	case s.Group != "":
		text, start, _, ok := c.Match.Group(c.Text, s.Group)
		if !ok {
			return f, false
		}
		f.text, f.start = text, start
	case s.Number != nil:
		step := 1.0
		if len(s.Number) == 3 {
			step = s.Number[2]
		}
		decimals := 0
		if text := strconv.FormatFloat(step, 'f', -1, 64); strings.Contains(text, ".") {
			decimals = len(text) - strings.IndexByte(text, '.') - 1
		}
		n := min(int((s.Number[1]-s.Number[0])/step+1e-9)+1, 1<<30)
		f.text = strconv.FormatFloat(s.Number[0]+float64(c.Rand.IntN(n))*step, 'f', decimals, 64)
	case s.query != nil:
		if s.Of == "" {
			all := c.Graph.OfType(s.query.Type)
			if len(all) == 0 {
				return f, false
			}
			f.id = all[c.Rand.IntN(len(all))]
		} else {
			id, ok := s.query.Pick(c.Graph, filled[s.Of].id, c.Rand.IntN)
			if !ok {
				return f, false
			}
			f.id = id
		}
		names := c.Graph.Names(f.id)
		if len(names) == 0 {
			return f, false
		}
		f.text = names[0]
	}
	return f, true
}
