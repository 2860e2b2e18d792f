package kg

import (
	"cmp"
	"math"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/gazetteer"
)

// LinkOptions say which mentions are linked and what decides between entities
// of one name. The zero value links all names to entities of all types.
type LinkOptions struct {
	// Types are those of the entities to link, or ids of entities: one stands for
	// itself and for what is below it by facts that say what something is (is_a,
	// subClassOf and their like); of several above an entity the first counts, see
	// Linker.Class. None means all.
	Types []string
	// Prior says how likely an entity of a type is meant, relative to 1, which
	// types not named here have. 0 or less excludes a type.
	Prior map[string]float64
	// Window is the number of bytes before and after a mention that are its
	// context; 0 means 1,000.
	Window int
	// Candidates bounds those kept for a mention; 0 means 8.
	Candidates int
	// AnyCase links short names in capitals to words in small letters. Without
	// it "IT" and "ALL" are not found in "it is all".
	AnyCase bool
	// Abbreviations links the short forms that a text itself gives to names, as in
	// "myotonic dystrophy (DM)".
	Abbreviations bool
}

// Mention is a name of the graph in a text, with the entity it was resolved to.
type Mention struct {
	Start, End int   // bytes of the text
	Entity     int32 // the first of Candidates
	Type       int32 // Entity's, as an index in View.Types
	Candidates []Candidate
}

// Candidate is an entity that a mention may mean.
type Candidate struct {
	Entity int32
	Score  float32 // of all entities of this name; they add up to 1
}

// Reason says why a candidate stands where it does. A candidate's score is
// proportional to exp(Prior + Weight + Name + Context).
type Reason struct {
	Entity  int32   `json:"entity"`
	Prior   float64 `json:"prior"`   // logarithm of its type's prior
	Weight  float64 `json:"weight"`  // how much the graph says of it
	Name    float64 `json:"name"`    // how well the text matches its names
	Context float64 `json:"context"` // how well it fits the text around
	// Near are the entities named in the context to which a fact ties it,
	// ascending. With an embedder there are none.
	Near []int32 `json:"near,omitempty"`
}

func (r Reason) total() float64 { return r.Prior + r.Weight + r.Name + r.Context }

// The summands of a candidate's score, in nats, found by hand: a name as written
// counts for more than a well-known entity, and two facts that tie a candidate to
// its context for more than a name.
const (
	weightScale  = 0.25 // of ln(1 + number of facts about it)
	nameFirst    = 1.0  // the text is the entity's first name as written
	nameOther    = 0.5  // … another of its names as written
	nameFolded   = 0.25 // … its first name but for case, width or space
	contextScale = 2.5  // of w/(1+w), w the weight of facts that lead to the context
	vectorScale  = 8.0  // of the cosine of context and description
	shortName    = 4    // runes up to which a name in capitals wants capitals
	nearMost     = 64   // entities of the context that are looked at
)

// linkGraph is what linking needs of a graph; a View has it.
type linkGraph interface {
	Gazetteer() *gazetteer.Matcher
	Types() []string
	TypeOf(entity int32) int32
	Degree(entity int32) int
	linkNames(entity int32) []string
	// linkFacts calls f with the entities to which facts of this one lead.
	linkFacts(entity int32, f func(object int32, weight float64))
	// describe gives the entity in words, for an embedder.
	describe(entity int32) string
	// classes gives for each entity the place of the first of ids that it is or
	// stands below, -1 for none; nil if none of them is an entity.
	classes(ids []string) []int32
}

// Linker finds the names of a graph in texts and resolves them. It is safe for
// concurrent use, and a pure function of graph, options and text.
type Linker struct {
	g     linkGraph
	opt   LinkOptions
	prior []float64 // of each type the logarithm, -Inf if it is excluded
	named []bool    // whether the options name the type
	class []int32   // of each entity, as Class gives it; nil: the options name no entity
}

func newLinker(g linkGraph, opt LinkOptions) *Linker {
	l := &Linker{g: g, opt: opt}
	l.opt.Window = cmp.Or(max(opt.Window, 0), 1000)
	l.opt.Candidates = cmp.Or(max(opt.Candidates, 0), 8)
	for _, name := range g.Types() {
		prior := 1.0
		if p, ok := opt.Prior[name]; ok {
			prior = max(p, 0)
		}
		l.prior = append(l.prior, math.Log(prior))
		l.named = append(l.named, slices.Contains(opt.Types, name))
	}
	if len(opt.Types) > 0 {
		l.class = g.classes(opt.Types)
	}
	return l
}

// Link returns the mentions of a text in order, without overlap: the longest
// names from the left that an entity allowed by the options has. A name of one
// letter or digit is no mention.
//
// Of several entities with one name the likeliest is chosen, by the prior of its
// type, by how much the graph knows of it, by how exactly it is written, and by
// the facts that tie it to what else the text names. What is left equal goes to
// the entity that comes first in the view.
func (l *Linker) Link(text string) []Mention {
	found := l.find(text)
	mentions := make([]Mention, len(found))
	for i := range found {
		mentions[i] = l.mention(&found[i], nil)
		if len(mentions[i].Candidates) > 1 {
			mentions[i] = l.mention(&found[i], l.reasons(text, found, i))
		}
	}
	return mentions
}

// Explain is Link with the reasons for each candidate, in the order of the
// mention's Candidates.
func (l *Linker) Explain(text string) ([]Mention, [][]Reason) {
	found := l.find(text)
	mentions, why := make([]Mention, len(found)), make([][]Reason, len(found))
	for i := range found {
		reasons := l.reasons(text, found, i)
		mentions[i] = l.mention(&found[i], reasons)
		why[i] = reasons[:len(mentions[i].Candidates)]
	}
	return mentions, why
}

// found is a mention before its resolution.
type found struct {
	start, end int
	entities   []int32
}

// find returns the mentions with the entities that the options allow.
func (l *Linker) find(text string) []found {
	var kept []int32
	keep := func(match string, ids []uint32) bool {
		if single(match) {
			return false
		}
		kept = l.allowed(kept[:0], match, ids)
		return len(kept) > 0
	}
	matches := l.g.Gazetteer().AppendIf(nil, text, keep)
	list := make([]found, len(matches))
	var all []int32 // one array for all lists
	for i, m := range matches {
		from := len(all)
		all = l.allowed(all, text[m.Start:m.End], m.IDs)
		list[i] = found{start: m.Start, end: m.End, entities: all[from:len(all):len(all)]}
	}
	if l.opt.Abbreviations {
		return l.abbreviated(text, list)
	}
	return list
}

// allowed appends the entities that a match may mean.
func (l *Linker) allowed(dst []int32, match string, ids []uint32) []int32 {
	strict := !l.opt.AnyCase && len(match) <= shortName*utf8.UTFMax && utf8.RuneCountInString(match) <= shortName && hasLower(match)
	for _, id := range ids {
		entity := int32(id)
		if math.IsInf(l.priorOf(entity), -1) {
			continue
		}
		if strict && !slices.ContainsFunc(l.g.linkNames(entity), func(name string) bool {
			return hasLower(name) && l.g.Gazetteer().Equal(name, match)
		}) {
			continue
		}
		dst = append(dst, entity)
	}
	return dst
}

// priorOf is the logarithm of the prior of an entity's type, -Inf if the options
// leave the entity out; one without a type is like one of a type without a prior.
func (l *Linker) priorOf(entity int32) float64 {
	t := l.g.TypeOf(entity)
	typed := t >= 0 && int(t) < len(l.prior)
	if len(l.opt.Types) > 0 && (!typed || !l.named[t]) && l.Class(entity) < 0 {
		return math.Inf(-1)
	}
	if typed {
		return l.prior[t]
	}
	return 0
}

// Class gives the place in LinkOptions.Types of the first id of an entity that
// this one is or stands below, -1 for none.
func (l *Linker) Class(entity int32) int {
	if l.class == nil {
		return -1
	}
	return int(l.class[entity])
}

// single reports a lone letter or digit of a script with words.
func single(match string) bool {
	r, n := utf8.DecodeRuneInString(match)
	return n == len(match) && !unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

func hasLower(s string) bool {
	for _, r := range s {
		if unicode.IsLower(r) {
			return true
		}
	}
	return false
}

// mention makes a Mention of sorted reasons; without them all candidates are
// equal.
func (l *Linker) mention(f *found, reasons []Reason) Mention {
	m := Mention{Start: f.start, End: f.end}
	n := len(f.entities)
	if reasons == nil {
		reasons = make([]Reason, n)
		for i, e := range f.entities {
			reasons[i].Entity = e
		}
	}
	sum, top := 0.0, reasons[0].total()
	for _, r := range reasons {
		sum += math.Exp(r.total() - top)
	}
	m.Candidates = make([]Candidate, min(n, l.opt.Candidates))
	for i := range m.Candidates {
		m.Candidates[i] = Candidate{Entity: reasons[i].Entity, Score: float32(math.Exp(reasons[i].total()-top) / sum)}
	}
	m.Entity = reasons[0].Entity
	m.Type = l.g.TypeOf(m.Entity)
	return m
}

// reasons gives what speaks for each entity of a mention, the best first.
func (l *Linker) reasons(text string, list []found, i int) []Reason {
	near := l.near(list, i)
	reasons := make([]Reason, len(list[i].entities))
	for k, e := range list[i].entities {
		reasons[k] = l.reason(text[list[i].start:list[i].end], e, near)
	}
	sortReasons(reasons)
	return reasons
}

func sortReasons(reasons []Reason) {
	slices.SortStableFunc(reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.total(), a.total()), cmp.Compare(a.Entity, b.Entity))
	})
}

// near returns the entities that the context of a mention names, ascending,
// those of the nearest mentions.
func (l *Linker) near(list []found, i int) []int32 {
	var near []int32
	own := list[i].entities
	add := func(k int) bool {
		for _, e := range list[k].entities {
			// Another mention of the same name says nothing.
			if len(near) < nearMost && !slices.Contains(own, e) {
				near = append(near, e)
			}
		}
		return len(near) < nearMost
	}
	for step := 1; ; step++ {
		before, after := i-step, i+step
		any := false
		if before >= 0 && list[i].start-list[before].end <= l.opt.Window {
			any = add(before)
		}
		if after < len(list) && list[after].start-list[i].end <= l.opt.Window {
			any = add(after) || any
		}
		if !any {
			break
		}
	}
	slices.Sort(near)
	return slices.Compact(near)
}

// reason weighs one entity against the others named near it.
func (l *Linker) reason(match string, e int32, near []int32) Reason {
	r := Reason{Entity: e, Prior: l.priorOf(e)}
	tied := 0.0
	l.g.linkFacts(e, func(object int32, w float64) {
		if _, ok := slices.BinarySearch(near, object); ok && object != e {
			tied += w
			r.Near = append(r.Near, object)
		}
	})
	for _, n := range near {
		l.g.linkFacts(n, func(object int32, w float64) {
			if object == e {
				tied += w
				r.Near = append(r.Near, n)
			}
		})
	}
	slices.Sort(r.Near)
	r.Near = slices.Compact(r.Near)
	r.Weight = weightScale * math.Log1p(float64(l.g.Degree(e)))
	r.Context = contextScale * tied / (1 + tied)
	for i, name := range l.g.linkNames(e) {
		switch {
		case name == match && i == 0:
			r.Name = nameFirst
		case name == match:
			r.Name = max(r.Name, nameOther)
		case i == 0 && l.g.Gazetteer().Equal(name, match):
			r.Name = nameFolded
		}
	}
	return r
}
