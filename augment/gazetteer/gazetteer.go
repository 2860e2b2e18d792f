package gazetteer

import (
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// Options say what counts as equal and where a match may stand. The zero value
// finds names byte for byte, anywhere.
type Options struct {
	FoldCase  bool // simple case folding
	FoldWidth bool // full-width and half-width forms equal the usual ones
	// Words: no match begins or ends within a word of a script that writes
	// spaces; Han and Kana have no boundaries.
	Words bool
	// FoldSpace: a run of white space equals one space, and none is seen beside a
	// sign or a letter of a script without spaces: "X - linked" equals "x-linked",
	// "Alzheimer 's" equals "Alzheimer's". A blank line ends every match.
	FoldSpace bool
	// Plurals, with Words: the regular plural of a name matches too, where no name
	// is written so: "tumors" is found for "tumor", "viruses" for "virus". The name
	// ends in a Latin letter and has three bytes or more.
	Plurals bool
}

// Match is an occurrence of a name.
type Match struct {
	Start, End int // bytes of the text that was searched, on rune boundaries
	// IDs are all ids given to names that fold to this text, ascending. They
	// belong to the Matcher and must not be written to.
	IDs []uint32
}

// Matcher finds names in text. It is safe for concurrent use.
type Matcher struct {
	opt    Options
	table  *table
	cells  []uint64 // see trie.go
	tailAt []uint32 // of each name the start of its tail, and the end
	idAt   []uint32 // of each name the start of its ids, and the end
	ids    []uint32
	tails  []byte
}

// Build makes a Matcher of names with ids. A name may be given more than once;
// its ids are collected. Empty names and names that are not UTF-8 are left out.
// The order of the names is of no consequence, for the binary form neither.
func Build(names iter.Seq2[string, uint32], opt Options) *Matcher {
	m := &Matcher{opt: opt, table: tableFor(opt)}
	var entries []entry
	for name, id := range names {
		if folded, ok := m.fold(name); ok && len(folded) > 0 {
			entries = append(entries, entry{string(folded), id})
		}
	}
	slices.SortFunc(entries, compareEntries)
	entries = slices.Compact(entries)
	m.build(entries)
	return m
}

// Options returns what the Matcher was built with.
func (m *Matcher) Options() Options { return m.opt }

// Names is the number of names that differ after folding.
func (m *Matcher) Names() int { return len(m.idAt) - 1 }

// Lookup returns the ids of a name, nil if there is none. Boundaries of words do
// not matter here.
func (m *Matcher) Lookup(name string) []uint32 {
	folded, ok := m.fold(name)
	if !ok || len(folded) == 0 {
		return nil
	}
	w := m.start()
	if m.walk(&w, folded) {
		if key, ok := m.key(&w); ok {
			return m.idsOf(key)
		}
	}
	if !m.opt.Plurals || !m.opt.Words {
		return nil
	}
	for _, suffix := range []string{"s", "es"} {
		at := len(folded) - len(suffix)
		if at < 1 || pluralEnd(name, len(name)-len(suffix), 0, rune(folded[at-1])) != len(name) {
			continue
		}
		w := m.start()
		if m.walk(&w, folded[:at]) {
			if key, ok := m.key(&w); ok {
				return m.idsOf(key)
			}
		}
	}
	return nil
}

// All yields the matches of a text from left to right: at the first place where
// one may begin the longest, then on from its end. Matches do not overlap.
func (m *Matcher) All(text string) iter.Seq[Match] {
	return func(yield func(Match) bool) {
		before := sign
		for at := 0; at < len(text); {
			var found Match
			var ok bool
			found, before, ok = m.next(text, at, before, nil)
			if !ok || !yield(found) {
				return
			}
			at = found.End
		}
	}
}

// Append appends the matches of a text to dst and returns it. It allocates
// nothing but what dst needs to grow.
func (m *Matcher) Append(dst []Match, text string) []Match { return m.AppendIf(dst, text, nil) }

// AppendIf is Append without the matches that keep refuses; a shorter one that
// it accepts takes their place. keep gets the matching text and the ids of the
// name; nil accepts all.
func (m *Matcher) AppendIf(dst []Match, text string, keep func(match string, ids []uint32) bool) []Match {
	before := sign
	for at := 0; at < len(text); {
		var found Match
		var ok bool
		if found, before, ok = m.next(text, at, before, keep); !ok {
			break
		}
		dst = append(dst, found)
		at = found.End
	}
	return dst
}

// next finds the first match from a place on, the rune before which has the
// class given; it returns the class of the match's last rune too.
func (m *Matcher) next(text string, at int, before class, keep func(string, []uint32) bool) (Match, class, bool) {
	for at < len(text) {
		u, n := m.unitAt(text, at)
		may := u.r >= 0
		if m.opt.Words {
			may = may && begins(before, u.class)
		}
		if m.opt.FoldSpace && u.class == space {
			may = false
		}
		if may {
			if end, key, last, ok := m.longest(text, at, keep); ok {
				return Match{Start: at, End: end, IDs: m.idsOf(key)}, last, true
			}
		}
		at += n
		before = u.class
		if u.class != word || !m.opt.Words {
			continue
		}
		// No match begins within this word.
		for at < len(text) {
			if u, n = m.unitAt(text, at); u.class != word {
				break
			}
			at += n
		}
	}
	return Match{}, sign, false
}

// unitAt decodes and folds the rune at a place of the text.
func (m *Matcher) unitAt(text string, at int) (unit, int) {
	if c := text[at]; c < utf8.RuneSelf {
		e := m.table[c]
		return unit{r: rune(e & 0xffff), class: class(e >> 16)}, 1
	}
	r, n := utf8.DecodeRuneInString(text[at:])
	if r == utf8.RuneError && n == 1 {
		return unit{r: -1}, 1
	}
	return m.table.of(r, m.opt.FoldCase), n
}

// classAt is the class of the rune at a place, sign at the end of the text.
func (m *Matcher) classAt(text string, at int) class {
	if at >= len(text) {
		return sign
	}
	u, _ := m.unitAt(text, at)
	return u.class
}

// longest walks the trie from a place on and returns the end and the name of the
// longest match, and the class of its last rune.
func (m *Matcher) longest(text string, at int, keep func(string, []uint32) bool) (end int, key uint32, last class, ok bool) {
	w := m.start()
	start, before, pending, lines := at, sign, false, 0
	var buf [2 * utf8.UTFMax]byte
	for at < len(text) {
		u, n := m.unitAt(text, at)
		if u.r < 0 {
			break
		}
		if m.opt.FoldSpace && u.class == space {
			if pending = true; text[at] == '\n' {
				if lines++; lines == 2 {
					break
				}
			}
			at += n
			continue
		}
		if pending && spaced(before, u.class) && !m.step(&w, ' ') {
			break
		}
		pending, lines, before = false, 0, u.class
		at += n
		if u.r < utf8.RuneSelf {
			if !m.step(&w, byte(u.r)) {
				break
			}
		} else {
			b := utf8.AppendRune(buf[:0], u.r)
			if u.mark != 0 {
				b = utf8.AppendRune(b, u.mark)
			}
			if !m.walk(&w, b) {
				break
			}
		}
		k, is := m.key(&w)
		if !is {
			continue
		}
		to := at
		if m.opt.Words && !ends(u.class, m.classAt(text, at)) {
			if to = -1; m.opt.Plurals {
				to = pluralEnd(text, at, start, u.r)
			}
			if to < 0 || !ends(word, m.classAt(text, to)) {
				continue
			}
		}
		if keep == nil || keep(text[start:to], m.idsOf(k)) {
			end, key, last, ok = to, k, u.class, true
		}
	}
	return end, key, last, ok
}

// pluralEnd returns where the plural of the name text[start:at] ends, whose last
// rune is r, or -1.
func pluralEnd(text string, at, start int, r rune) int {
	r |= 0x20
	if at-start < 3 || r < 'a' || r > 'z' || at >= len(text) {
		return -1
	}
	switch hiss := strings.ContainsRune("sxzh", r); {
	case text[at]|0x20 == 's' && r != 's':
		return at + 1
	case hiss && text[at]|0x20 == 'e' && at+1 < len(text) && text[at+1]|0x20 == 's':
		return at + 2
	}
	return -1
}

// Equal reports whether two texts are the same after folding.
func (m *Matcher) Equal(a, b string) bool {
	if a == b {
		return true
	}
	fa, oka := m.fold(a)
	fb, okb := m.fold(b)
	return oka && okb && string(fa) == string(fb)
}

func (m *Matcher) idsOf(key uint32) []uint32 {
	return m.ids[m.idAt[key]:m.idAt[key+1]:m.idAt[key+1]]
}
