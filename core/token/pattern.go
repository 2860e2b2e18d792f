package token

import (
	"iter"
	"strings"
	"unicode/utf8"
)

// pattern finds stretches of a text, from left to right and without overlap.
type pattern interface {
	find(w *work, s string) iter.Seq2[int, int]
}

// literal is a pattern of fixed text.
type literal string

func (p literal) find(_ *work, s string) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		if p == "" {
			return
		}
		for at := 0; ; {
			i := strings.Index(s[at:], string(p))
			if i < 0 || !yield(at+i, at+i+len(p)) {
				return
			}
			at += i + len(p)
		}
	}
}

// charPattern matches single characters of some classes.
type charPattern struct {
	t    *charTables
	flag uint32
}

func (p charPattern) find(_ *work, s string) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for i := 0; i < len(s); {
			r, size := rune(s[i]), 1
			if r >= utf8.RuneSelf {
				r, size = utf8.DecodeRuneInString(s[i:])
			}
			if p.t.is(r, p.flag) && !yield(i, i+size) {
				return
			}
			i += size
		}
	}
}

// behavior says what becomes of the matches when a text is split.
type behavior uint8

const (
	isolated behavior = iota
	removed
	contiguous
	mergedWithPrevious
	mergedWithNext
)

var behaviorNames = map[string]behavior{
	"isolated": isolated, "removed": removed, "contiguous": contiguous,
	"mergedwithprevious": mergedWithPrevious, "mergedwithnext": mergedWithNext,
}

type part struct {
	a, b  int
	match bool
}

// divide splits v at the matches of p. invert exchanges matches and the rest.
func divide(w *work, v stretch, p pattern, how behavior, invert bool, out []stretch) []stretch {
	if how == removed || how == isolated {
		last := 0
		for a, b := range p.find(w, v.s) {
			if a > last && (how == isolated || !invert) {
				out = append(out, v.slice(last, a))
			}
			if b > a && (how == isolated || invert) {
				out = append(out, v.slice(a, b))
			}
			last = b
		}
		if last < len(v.s) && (how == isolated || !invert) {
			out = append(out, v.slice(last, len(v.s)))
		}
		return out
	}
	var parts []part
	last := 0
	for a, b := range p.find(w, v.s) {
		if a > last {
			parts = append(parts, part{last, a, invert})
		}
		parts = append(parts, part{a, b, !invert})
		last = b
	}
	if last < len(v.s) {
		parts = append(parts, part{last, len(v.s), invert})
	}
	for _, m := range merge(parts, how) {
		if m.b > m.a {
			out = append(out, v.slice(m.a, m.b))
		}
	}
	return out
}

// merge joins matches with their neighbours. Neighbours only lend themselves once:
// the second of two matches in a row stands alone.
func merge(parts []part, how behavior) []part {
	var out []part
	switch how {
	case contiguous:
		before := false
		for _, p := range parts {
			if n := len(out); p.match == before && n > 0 {
				out[n-1].b = p.b
			} else {
				out = append(out, p)
			}
			before = p.match
		}
	case mergedWithPrevious:
		before := false
		for _, p := range parts {
			if n := len(out); p.match && !before && n > 0 {
				out[n-1].b = p.b
			} else {
				out = append(out, p)
			}
			before = p.match
		}
	case mergedWithNext:
		before := false
		for _, p := range parts {
			if n := len(out); before && !p.match && n > 0 {
				out[n-1].b = p.b
			} else {
				out = append(out, p)
			}
			before = p.match
		}
	default:
		return parts
	}
	return out
}
