package core

import (
	"cmp"
	"hash/fnv"
	"iter"
	"slices"
	"strings"
	"unicode"

	"github.com/islm-dev/islm/augment/gazetteer"
	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// decoy is a stretch of words that a control marks instead of a name.
type decoy struct {
	Words string `json:"words"`
	Type  int32  `json:"type"`
}

// decoys marks n-grams that are no names: the control of the gazetteer.
type decoys struct {
	list    []decoy
	matcher *gazetteer.Matcher
	types   []string
}

// newDecoys makes the marker of a list.
func newDecoys(list []decoy, types []string) *decoys {
	var names iter.Seq2[string, uint32] = func(yield func(string, uint32) bool) {
		for i, d := range list {
			if !yield(d.Words, uint32(i)) {
				return
			}
		}
	}
	return &decoys{list, gazetteer.Build(names, gazetteer.Options{FoldCase: true, FoldWidth: true, Words: true, FoldSpace: true}), types}
}

// Types are those of the graph.
func (d *decoys) Types() []string { return d.types }

// Facts knows none.
func (d *decoys) Facts(int32) []recipe.GraphFact { return nil }

// Link finds the decoys in a text.
func (d *decoys) Link(text string) []recipe.Mention {
	var out []recipe.Mention
	for m := range d.matcher.All(text) {
		out = append(out, recipe.Mention{Start: m.Start, End: m.End, Type: d.list[m.IDs[0]].Type})
	}
	return out
}

// most words of a name that gets a decoy.
const decoyWords = 8

// findDecoys draws for each name that occurs in the examples an n-gram of as many
// words which occurs about as often and overlaps no name, and gives it the name's
// type. The draw is a function of the examples and the seed.
func findDecoys(l recipe.Linker, splits [][]sdk.Example, seed uint64) []decoy {
	type name struct {
		text         string
		words, count int
		types        map[int32]int
	}
	names := map[string]*name{}
	type stretch struct {
		text   string
		tokens []sdk.Token
		taken  []bool
	}
	var texts []stretch
	lengths := map[int]bool{}
	for _, examples := range splits {
		for i := range examples {
			ex := &examples[i]
			for k, text := range []string{ex.Text, ex.TextB} {
				if text == "" {
					continue
				}
				tokens := ex.Tokens
				if k == 1 || tokens == nil {
					tokens = corpus.Words(text)
				}
				s := stretch{text, tokens, make([]bool, len(tokens))}
				for _, m := range l.Link(text) {
					n := 0
					for j, t := range tokens {
						if t.Start < m.End && t.End > m.Start {
							s.taken[j] = true
							n++
						}
					}
					key := strings.ToLower(text[m.Start:m.End])
					if names[key] == nil {
						names[key] = &name{text: key, words: min(max(n, 1), decoyWords), types: map[int32]int{}}
					}
					names[key].count++
					names[key].types[m.Type]++
					lengths[names[key].words] = true
				}
				texts = append(texts, s)
			}
		}
	}
	counts := make([]map[string]int, decoyWords+1)
	for n := range counts {
		if counts[n] = map[string]int{}; !lengths[n] {
			continue
		}
		for _, s := range texts {
			for from := 0; from+n <= len(s.tokens); from++ {
				if gram, ok := gramOf(s.text, s.tokens[from:from+n], s.taken[from:from+n]); ok {
					counts[n][gram]++
				}
			}
		}
	}
	pools := make([]*pool, len(counts))
	for n, c := range counts {
		pools[n] = newPool(c, seed)
	}
	sorted := make([]*name, 0, len(names))
	for _, n := range names {
		sorted = append(sorted, n)
	}
	slices.SortFunc(sorted, func(a, b *name) int { return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.text, b.text)) })
	var out []decoy
	for _, n := range sorted {
		words, ok := pools[n.words].take(n.count)
		if !ok {
			continue
		}
		best, most := int32(0), 0
		for t, c := range n.types {
			if c > most || c == most && t < best {
				best, most = t, c
			}
		}
		out = append(out, decoy{words, best})
	}
	return out
}

// gramOf joins words that are free and hold letters or digits.
func gramOf(text string, tokens []sdk.Token, taken []bool) (string, bool) {
	for i, t := range tokens {
		if taken[i] || !strings.ContainsFunc(text[t.Start:t.End], func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			return "", false
		}
	}
	return strings.ToLower(text[tokens[0].Start:tokens[len(tokens)-1].End]), true
}

// pool holds n-grams by rising count, those of one count in a drawn order.
type pool struct {
	grams []string
	count []int
	used  []bool
}

func newPool(counts map[string]int, seed uint64) *pool {
	type gram struct {
		text  string
		count int
		draw  uint64
	}
	all := make([]gram, 0, len(counts))
	for text, n := range counts {
		h := fnv.New64a()
		h.Write([]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24), byte(seed >> 32), byte(seed >> 40), byte(seed >> 48), byte(seed >> 56)})
		h.Write([]byte(text))
		all = append(all, gram{text, n, h.Sum64()})
	}
	slices.SortFunc(all, func(a, b gram) int {
		return cmp.Or(cmp.Compare(a.count, b.count), cmp.Compare(a.draw, b.draw), cmp.Compare(a.text, b.text))
	})
	p := &pool{used: make([]bool, len(all))}
	for _, g := range all {
		p.grams, p.count = append(p.grams, g.text), append(p.count, g.count)
	}
	return p
}

// take returns the free n-gram whose count is nearest.
func (p *pool) take(count int) (string, bool) {
	at, _ := slices.BinarySearch(p.count, count)
	low, high := at-1, at
	for low >= 0 || high < len(p.grams) {
		switch {
		case high < len(p.grams) && p.used[high]:
			high++
		case low >= 0 && p.used[low]:
			low--
		case low < 0 || high < len(p.grams) && p.count[high]-count <= count-p.count[low]:
			p.used[high] = true
			return p.grams[high], true
		default:
			p.used[low] = true
			return p.grams[low], true
		}
	}
	return "", false
}
