package gazetteer

import (
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// class is what a rune means for the boundaries of words.
type class uint8

const (
	sign   class = iota // marks of punctuation, symbols, what is not UTF-8, the ends of the text
	space               // white space
	word                // letters of scripts with spaces, digits, underscore
	mark                // belongs to the rune before it
	free                // letters of scripts without spaces
	hangul              // syllables; spaces between words, endings at words
	classes
)

// The voice marks into which folding of width takes Kana apart, since the
// half-width forms are written with them.
const (
	voiced     = 0x3099
	semiVoiced = 0x309A
)

// unit is a rune of the text after folding.
type unit struct {
	r     rune // -1 where the text is not UTF-8
	mark  rune // voiced, semiVoiced or 0: to be compared after r
	class class
}

// table holds the units of the basic plane: the folded rune in bits 0-15, the
// class in 16-18, the voice mark in 20-21.
type table [1 << 16]uint32

// tables are made at first use, one for each folding.
var tables = [4]func() *table{
	sync.OnceValue(func() *table { return newTable(false, false) }),
	sync.OnceValue(func() *table { return newTable(true, false) }),
	sync.OnceValue(func() *table { return newTable(false, true) }),
	sync.OnceValue(func() *table { return newTable(true, true) }),
}

func tableFor(opt Options) *table {
	i := 0
	if opt.FoldCase {
		i |= 1
	}
	if opt.FoldWidth {
		i |= 2
	}
	return tables[i]()
}

func newTable(foldCase, foldWidth bool) *table {
	t := new(table)
	for r := range t {
		t[r] = uint32(r)
	}
	setClass := func(c class, sets ...*unicode.RangeTable) {
		for _, set := range sets {
			for _, span := range set.R16 {
				for r := uint32(span.Lo); r <= uint32(span.Hi); r += uint32(span.Stride) {
					t[r] = t[r]&0xffff | uint32(c)<<16
				}
			}
		}
	}
	setClass(word, unicode.L, unicode.Nd, unicode.Nl, unicode.Pc)
	setClass(free, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Yi,
		unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, &unicode.RangeTable{R16: []unicode.Range16{
			{Lo: 0x3005, Hi: 0x3007, Stride: 1}, {Lo: 0x30FC, Hi: 0x30FC, Stride: 1}, {Lo: 0xFF70, Hi: 0xFF70, Stride: 1}}})
	setClass(hangul, unicode.Hangul)
	setClass(word, &unicode.RangeTable{R16: []unicode.Range16{ // raised and lowered figures
		{Lo: 0xB2, Hi: 0xB3, Stride: 1}, {Lo: 0xB9, Hi: 0xB9, Stride: 1}, {Lo: 0xBC, Hi: 0xBE, Stride: 1},
		{Lo: 0x2070, Hi: 0x2079, Stride: 1}, {Lo: 0x2080, Hi: 0x2089, Stride: 1}}})
	setClass(mark, unicode.M, &unicode.RangeTable{R16: []unicode.Range16{ // joiners, half-width voice marks
		{Lo: 0x200C, Hi: 0x200D, Stride: 1}, {Lo: 0xFF9E, Hi: 0xFF9F, Stride: 1}}})
	setClass(space, unicode.White_Space)

	if foldWidth {
		for r := rune(0x3000); r <= 0xFFFF; r++ {
			if r == 0x3100 {
				r = 0xFF00 // nothing between has a width form
			}
			f := r
			if w := width.LookupRune(r).Folded(); w != 0 {
				f = w
			}
			var m uint32
			if d := norm.NFD.PropertiesString(string(f)).Decomposition(); 0x3041 <= f && f <= 0x30FE && len(d) == 6 {
				base, n := utf8.DecodeRune(d)
				switch second, _ := utf8.DecodeRune(d[n:]); second {
				case voiced:
					f, m = base, 1
				case semiVoiced:
					f, m = base, 2
				}
			}
			t[r] = t[r]&^0xffff | uint32(f) | m<<20
		}
	}
	if foldCase {
		for r := range t {
			f := rune(t[r] & 0xffff)
			if g := foldRune(f); g != f && g <= 0xffff {
				t[r] = t[r]&^0xffff | uint32(g)
			}
		}
	}
	return t
}

// foldRune is simple case folding: all runes of an orbit of unicode.SimpleFold
// give the same one, which for ASCII letters is the small one.
func foldRune(r rune) rune {
	// Quick exits: ASCII, and the wide areas that have no case.
	switch {
	case r < utf8.RuneSelf:
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	case 0x2E80 <= r && r < 0xA640, 0xAC00 <= r && r < 0xFF00, 0x1F000 <= r:
		return r
	}
	least := r
	for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
		least = min(least, o)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

// of gives the unit of a rune.
func (t *table) of(r rune, foldCase bool) unit {
	if r <= 0xffff {
		e := t[r]
		u := unit{r: rune(e & 0xffff), class: class(e >> 16 & 7)}
		if m := e >> 20; m != 0 {
			u.mark = voiced - 1 + rune(m)
		}
		return u
	}
	u := unit{r: r}
	switch {
	case 0x1F000 <= r && r < 0x1FB00: // pictures
	case unicode.Is(unicode.Han, r), unicode.Is(unicode.Hiragana, r), unicode.Is(unicode.Katakana, r):
		u.class = free
	case unicode.IsLetter(r), unicode.Is(unicode.Nd, r), unicode.Is(unicode.Nl, r):
		u.class = word
	case unicode.IsMark(r):
		u.class = mark
	}
	if foldCase {
		u.r = foldRune(r)
	}
	return u
}

// fold gives a whole string as it is compared, or false if it is not UTF-8.
func (m *Matcher) fold(s string) ([]byte, bool) {
	b := make([]byte, 0, len(s)+8)
	before, pending := sign, false
	for _, r := range s {
		if r == utf8.RuneError {
			if !utf8.ValidString(s) {
				return nil, false
			}
		}
		u := m.table.of(r, m.opt.FoldCase)
		if m.opt.FoldSpace && u.class == space {
			pending = true
			continue
		}
		if pending && spaced(before, u.class) {
			b = append(b, ' ')
		}
		pending, before = false, u.class
		b = utf8.AppendRune(b, u.r)
		if u.mark != 0 {
			b = utf8.AppendRune(b, u.mark)
		}
	}
	return b, true
}

// spaced reports whether white space between two runes says anything; it does
// between two words, not beside a sign nor in scripts without spaces.
func spaced(before, after class) bool {
	return (before == word || before == mark || before == hangul) && (after == word || after == hangul)
}

// begins reports whether a match may begin between two runes, ends whether it
// may end there.
func begins(before, after class) bool {
	return ends(before, after) && !(before == hangul && after == hangul)
}

func ends(before, after class) bool {
	return after != mark && !((before == word || before == mark) && after == word)
}
