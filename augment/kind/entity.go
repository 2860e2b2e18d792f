package kind

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/edit"
)

// entityParams are the keys of entity.v0.
type entityParams struct {
	List       string `yaml:"list" doc:"list whose rows hold the names of one entity: full name, short name, ticker …; default: the list that matched"`
	Graph      string `yaml:"graph" doc:"query that picks another entity of the knowledge graph, such as: same type, not a synonym"`
	Names      string `yaml:"names" doc:"which name the new entity takes: like (of the same sort as the old one: ticker, short or full), first or any; default like"`
	Everywhere *bool  `yaml:"everywhere" doc:"replace every mention of the entity in the text, each by the name of its sort; default true"`
}

// entity replaces a mention by another entity of the same type, and with it every
// other mention of the same entity, so that name, short name and ticker go
// together: mention replacement (Dai and Adel 2020) with surface forms kept.
type entity struct {
	list       *edit.List
	index      map[string]place
	query      *edit.Query
	names      string
	everywhere bool
}

func newEntity(b *edit.Build) edit.Action {
	p := entityParams{Names: "like"}
	if !b.Decode(&p) {
		return nil
	}
	e := &entity{names: p.Names, everywhere: isTrue(p.Everywhere)}
	ok := oneOf(b, "names", p.Names, "like", "first", "any")
	if !exclusive(b, []string{"list", "graph"}, p.List != "" || p.Graph == "" && len(b.Match.Lists) > 0, p.Graph != "") {
		return nil
	}
	if p.Graph != "" {
		q, err := edit.ParseQuery(p.Graph)
		switch {
		case err != nil:
			b.Report("rules.query", "graph", "", "the query is not valid: %v", err)
			return nil
		case !q.Asks() || q.Synonym:
			b.Report("rules.query", "graph", "write: same type, not a synonym", "the query picks no other entity")
			return nil
		}
		e.query = q
	} else {
		if e.list = theList(b, "list", p.List); e.list == nil {
			return nil
		}
		if len(e.list.Rows) < 2 {
			b.Report("rules.param", "list", "", "list %q has a single entity, with nothing to replace it by", e.list.Name)
			return nil
		}
		e.index = indexOf(e.list)
	}
	if !ok {
		return nil
	}
	return e
}

// Needs says which resources the rule asks.
func (e *entity) Needs() edit.Needs {
	n := edit.Needs{Graph: e.query != nil}
	if e.query != nil && e.query.Type != "" {
		n.Types = []string{e.query.Type}
	}
	return n
}

// Edit replaces the entity.
func (e *entity) Edit(c *edit.Context) {
	old := c.Matched()
	var had, have []string // names of the old and the new entity
	id := ""
	if e.query != nil {
		from := e.given(c, old)
		if from == "" {
			return
		}
		to, ok := e.query.Pick(c.Graph, from, c.Rand.IntN)
		if !ok {
			return
		}
		id, had, have = to, c.Graph.Names(from), c.Graph.Names(to)
	} else {
		row, _, _ := rowOf(c, e.list, e.index, old)
		n := len(e.list.Rows)
		k := 0
		if row < 0 {
			k = c.Rand.IntN(n)
		} else {
			had = e.list.Rows[row]
			if k = c.Rand.IntN(n - 1); k >= row {
				k++
			}
		}
		have = e.list.Rows[k]
	}
	text := e.name(c, old, had, have)
	if text == "" || text == old {
		return
	}
	if ticker, ok := tickerAfter(c.Text, c.Match.End); ok && !known(had, ticker) && sortOf(ticker) == tickerName {
		// the ticker of a company that nothing is known of: another company's
		// name in front of it would be wrong
		if other := ofSort(have, tickerName); other == "" || !e.everywhere {
			return
		} else if at := strings.Index(c.Text[c.Match.End:], ticker); at >= 0 {
			c.Replace(c.Match.End+at, c.Match.End+at+len(ticker), other)
		}
	}
	e.put(c, c.Match.Start, c.Match.End, text, id)
	if e.everywhere {
		e.others(c, old, text, had, have, id)
	}
}

// given is the entity of the graph that the match names.
func (e *entity) given(c *edit.Context, old string) string {
	if c.Match.EntityID != "" && c.Graph.Type(c.Match.EntityID) != "" {
		return c.Match.EntityID
	}
	for _, id := range c.Graph.Find(old) {
		if e.query.Given(c.Graph, id) {
			return id
		}
	}
	return ""
}

// put replaces one mention. Spans that equal it point at the new entity, or at
// none if it has no ID.
func (e *entity) put(c *edit.Context, start, end int, text, id string) {
	if c.Text[start:end] == text {
		return
	}
	x := edit.Edit{Start: start, End: end, New: text, EntityID: id}
	if id == "" && c.Example != nil && len(c.Example.Labels) > 0 {
		linked := false
		c.Spans(start, end, func(_ string, s sdkSpan) bool {
			linked = s.EntityID != "" && s.Start == start && s.End == end
			return !linked
		})
		if linked {
			c.Spans(start, end, func(head string, s sdkSpan) bool {
				if s.Start == start && s.End == end {
					x.Marks = append(x.Marks, edit.Mark{Head: head, Span: sdkSpan{Start: 0, End: len(text), Label: s.Label}})
				}
				return true
			})
		}
	}
	c.Add(x)
	repairArticle(c, start, c.Text[start:end], text)
}

// others replaces the further mentions of the entity.
func (e *entity) others(c *edit.Context, old, text string, had, have []string, id string) {
	forms := had
	if len(had) == 0 {
		forms = []string{old}
	}
	longest := func(i int) string {
		best := ""
		for _, f := range forms {
			if len(f) > len(best) && wordAt(c.Text, f, i) {
				best = f
			}
		}
		if len(old) > len(best) && wordAt(c.Text, old, i) {
			best = old
		}
		return best
	}
	for i := 0; i < len(c.Text); {
		r, n := utf8.DecodeRuneInString(c.Text[i:])
		if unicode.IsSpace(r) || i > 0 && isASCIILetter(c.Text[i]) && isASCIILetter(c.Text[i-1]) || i == c.Match.Start || taken(c, i) {
			if i == c.Match.Start {
				n = c.Match.End - c.Match.Start
			}
			i += n
			continue
		}
		f := longest(i)
		if f == "" {
			i += n
			continue
		}
		other := text
		if f != old {
			if other = like(f, had, have); other == "" {
				other = text
			}
		}
		e.put(c, i, i+len(f), other, id)
		i += len(f)
	}
}

// taken reports that an edit of this call covers a place.
func taken(c *edit.Context, i int) bool {
	for _, x := range c.Edits() {
		if x.Start <= i && i < x.End {
			return true
		}
	}
	return false
}

// name chooses the new entity's name.
func (e *entity) name(c *edit.Context, old string, had, have []string) string {
	if len(have) == 0 {
		return ""
	}
	switch e.names {
	case "first":
		return have[0]
	case "any":
		return have[c.Rand.IntN(len(have))]
	}
	if t := like(old, had, have); t != "" {
		if casingOf(old) == upper && len(old) > 5 && !known(had, old) {
			return strings.ToUpper(t) // a headline
		}
		return t
	}
	return have[0]
}

// nameSort is a sort of names.
type nameSort uint8

const (
	fullName nameSort = iota
	tickerName
	shortName
)

// sortOf tells the sort of a name: up to five capitals, digits and points are a
// ticker or an acronym, a single word is short.
func sortOf(s string) nameSort {
	if casingOf(s) == upper && len(s) <= 6 && !strings.Contains(s, " ") {
		return tickerName
	}
	if !strings.Contains(s, " ") && utf8.RuneCountInString(s) <= 12 && !hasHan(s) || hasHan(s) && utf8.RuneCountInString(s) <= 4 {
		return shortName
	}
	return fullName
}

// like picks of have the name that answers to old among had: the one in the same
// column where that is of the same sort, else the first of that sort, else the
// first that is no ticker.
func like(old string, had, have []string) string {
	want := sortOf(old)
	for i, n := range had {
		if strings.EqualFold(n, old) && i < len(have) && (sortOf(have[i]) == want || i == 0) {
			return have[i]
		}
	}
	if n := ofSort(have, want); n != "" {
		return n
	}
	for _, n := range have {
		if sortOf(n) != tickerName {
			return n
		}
	}
	if len(have) > 0 {
		return have[0]
	}
	return ""
}

func ofSort(names []string, want nameSort) string {
	for _, n := range names {
		if sortOf(n) == want {
			return n
		}
	}
	return ""
}

func known(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// tickerAfter finds the ticker in brackets behind a name, as in (NYSE: ABC).
func tickerAfter(t string, end int) (ticker string, ok bool) {
	rest := strings.TrimLeft(t[end:], " ")
	if len(t[end:])-len(rest) > 1 || !strings.HasPrefix(rest, "(") {
		return "", false
	}
	inner, _, found := strings.Cut(rest[1:], ")")
	if !found || len(inner) > 24 {
		return "", false
	}
	if i := strings.LastIndexAny(inner, ": "); i >= 0 {
		inner = inner[i+1:]
	}
	if inner == "" || casingOf(inner) != upper {
		return "", false
	}
	return inner, true
}
