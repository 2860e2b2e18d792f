package kind

import (
	"slices"
	"strings"
	"sync"

	"github.com/islm-dev/islm/augment/edit"
)

// swapParams are the keys of swap.v0.
type swapParams struct {
	List      string     `yaml:"list" doc:"list whose rows hold forms of one meaning; default: the list that matched"`
	With      edit.Names `yaml:"with" doc:"texts to put instead of the match"`
	Thesaurus bool       `yaml:"thesaurus" doc:"take synonyms from a thesaurus such as WordNet"`
	Graph     bool       `yaml:"graph" doc:"take other names of the entity that the match names in the knowledge graph"`
	POS       string     `yaml:"pos" doc:"part of speech asked of the thesaurus: noun, verb, adjective or adverb; default any"`
	Most      int        `yaml:"most" doc:"how many synonyms of a thesaurus, nearest first, are drawn from; default 5"`
	Inflect   *bool      `yaml:"inflect" doc:"also read the match as an inflected form of an entry and inflect the new word alike (English); default true"`
	Case      *bool      `yaml:"case" doc:"carry capitals over; default true"`
	Article   *bool      `yaml:"article" doc:"change a and an in front where the new word wants it; default true"`
}

// swap replaces a word by one of the same meaning, after the synonym replacement
// of EDA (Wei and Zou 2019, EDA: Easy Data Augmentation Techniques for Boosting
// Performance on Text Classification Tasks).
type swap struct {
	list      *edit.List
	index     map[string]place
	with      []string
	thesaurus bool
	graph     bool
	pos       string
	most      int
	inflects  bool
	cases     bool
	articles  bool
	morph     *morphology
	pool      sync.Pool // of *swapScratch
}

type swapScratch struct {
	readings []analysis
}

func newSwap(b *edit.Build) edit.Action {
	var p swapParams
	if !b.Decode(&p) {
		return nil
	}
	s := &swap{with: p.With, thesaurus: p.Thesaurus, graph: p.Graph, pos: p.POS, most: within(b, "most", p.Most, 5, 1, 100),
		inflects: isTrue(p.Inflect), cases: isTrue(p.Case), articles: isTrue(p.Article)}
	oneOf(b, "pos", p.POS, "noun", "verb", "adjective", "adverb")
	fromMatch := p.List == "" && p.With == nil && !p.Thesaurus && !p.Graph && len(b.Match.Lists) > 0
	if !exclusive(b, []string{"list", "with", "thesaurus", "graph"}, p.List != "" || fromMatch, p.With != nil, p.Thesaurus, p.Graph) {
		return nil
	}
	if p.With != nil && (len(p.With) == 0 || slices.Contains(p.With, "")) {
		b.Report("rules.param", "with", "to take words away use delete.v0", "a new text is empty")
		return nil
	}
	if p.List != "" || fromMatch {
		if s.list = theList(b, "list", p.List); s.list == nil {
			return nil
		}
		if !slices.ContainsFunc(s.list.Rows, func(r []string) bool { return len(r) > 1 }) {
			b.Report("rules.param", "list", "write the forms that can stand for each other in one row, with tabs between them",
				"no row of list %q has two forms", s.list.Name)
			return nil
		}
		s.index = indexOf(s.list)
	}
	s.inflects = s.inflects && p.With == nil && !p.Graph
	if s.inflects {
		s.morph = newMorphology()
	}
	s.pool.New = func() any { return &swapScratch{} }
	return s
}

// Needs says which resources the rule asks.
func (s *swap) Needs() edit.Needs { return edit.Needs{Thesaurus: s.thesaurus, Graph: s.graph} }

// Edit replaces the match by a word of the same meaning.
func (s *swap) Edit(c *edit.Context) {
	old := c.Matched()
	text := s.choose(c, old)
	if text == "" || text == old {
		return
	}
	c.Replace(c.Match.Start, c.Match.End, text)
	if s.articles {
		repairArticle(c, c.Match.Start, old, text)
	}
}

func (s *swap) choose(c *edit.Context, old string) string {
	switch {
	case s.with != nil:
		return s.dress(pickOther(c, s.with, old), old, "")
	case s.graph:
		id := c.Match.EntityID
		if id == "" || c.Graph.Type(id) == "" {
			ids := c.Graph.Find(old)
			if len(ids) == 0 {
				return ""
			}
			id = ids[0]
		}
		return pickOther(c, c.Graph.Names(id), old)
	case s.list != nil:
		if row, _, form := rowOf(c, s.list, s.index, old); row >= 0 {
			return s.dress(pickOther(c, s.list.Rows[row], form), old, form)
		}
	}
	return s.inflected(c, old)
}

// inflected reads the match as a form of some lemma and inflects another one.
func (s *swap) inflected(c *edit.Context, old string) string {
	w := strings.ToLower(old)
	if !s.inflects || !english(c) {
		if s.thesaurus {
			return s.dress(pickOther(c, s.first(c.Thesaurus.Synonyms(w, s.pos)), w), old, "")
		}
		return ""
	}
	scratch, ok := s.pool.Get().(*swapScratch)
	if !ok {
		scratch = &swapScratch{}
	}
	defer s.pool.Put(scratch)
	scratch.readings = s.morph.analyses(scratch.readings[:0], w)
	for _, a := range scratch.readings {
		if s.pos != "" && a.pos != "" && a.pos != s.pos {
			continue
		}
		var others []string
		if s.list != nil {
			p, ok := s.index[a.lemma]
			if !ok {
				continue
			}
			others = s.list.Rows[p.row]
		} else {
			pos := a.pos
			if pos == "" {
				pos = s.pos
			}
			others = s.first(c.Thesaurus.Synonyms(a.lemma, pos))
		}
		if other := pickOther(c, others, a.lemma); other != "" {
			return s.dress(s.morph.inflect(other, a.pos, a.form), old, "")
		}
	}
	return ""
}

func (s *swap) first(words []string) []string { return words[:min(len(words), s.most)] }

// dress gives a new text the capitals of the old one. form is the old one's entry
// in a list, "" if it has none.
func (s *swap) dress(text, old, form string) string {
	if !s.cases || text == "" {
		return text
	}
	return likeSurface(text, old, form)
}

// pickOther draws one of some texts that is not old, "" if there is none.
func pickOther(c *edit.Context, texts []string, old string) string {
	n := 0
	for _, t := range texts {
		if t != old && !strings.EqualFold(t, old) {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	k := c.Rand.IntN(n)
	for _, t := range texts {
		if t != old && !strings.EqualFold(t, old) {
			if k == 0 {
				return t
			}
			k--
		}
	}
	return ""
}
