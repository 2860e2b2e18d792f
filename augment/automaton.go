package augment

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/edit"
)

// automaton finds every occurrence of many patterns in one pass: the string
// matcher of Aho and Corasick (1975), as a dense table over the bytes that occur
// in patterns. Unlike a leftmost-longest matcher it gives all of them, also those
// within others, so that what one rule looks for cannot hide a match of another.
//
// Letters are folded to lower case where that keeps the number of bytes; who
// wants the case kept compares the text at the place found.
type automaton struct {
	class   [256]uint16 // of each byte; 0 for bytes in no pattern
	width   uint32      // number of classes
	next    []uint32    // state*width + class -> state*width, with the high bit where patterns end
	outAt   []uint32    // per state the first of its outputs, and the end
	outputs []uint32    // patterns
	lengths []uint32    // of the patterns in bytes
}

const ends = 1 << 31

// maxTable bounds the table; with more, lists go to matchers of their own.
const maxTable = 8 << 20

// fold is the form of a text that patterns are looked for in.
func fold(s string) []byte {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = utf8.AppendRune(b, foldRune(r))
	}
	return b
}

func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	if l := unicode.ToLower(r); utf8.RuneLen(l) == utf8.RuneLen(r) {
		return l
	}
	return r
}

// newAutomaton makes the automaton of folded patterns, none of which is empty. ok
// is false if the table would be too large.
func newAutomaton(patterns [][]byte) (a *automaton, ok bool) {
	a = &automaton{width: 1}
	var used [256]bool
	for _, p := range patterns {
		for _, c := range p {
			used[c] = true
		}
	}
	for c := range used {
		if used[c] {
			a.class[c] = uint16(a.width)
			a.width++
		}
	}
	for c := byte('A'); c <= 'Z'; c++ {
		a.class[c] = a.class[c+'a'-'A']
	}
	w := a.width
	a.next = make([]uint32, w) // the trie first; 0 is no child, the root is nobody's
	outs := [][]uint32{nil}
	for i, p := range patterns {
		a.lengths = append(a.lengths, uint32(len(p)))
		s := uint32(0)
		for _, c := range p {
			at := s + uint32(a.class[c])
			if a.next[at] == 0 {
				if len(a.next) > maxTable {
					return nil, false
				}
				a.next[at] = uint32(len(a.next))
				a.next = append(a.next, make([]uint32, w)...)
				outs = append(outs, nil)
			}
			s = a.next[at]
		}
		outs[s/w] = append(outs[s/w], uint32(i))
	}
	a.link(outs)
	return a, true
}

// link turns the trie into the automaton: missing children get those of the
// longest proper suffix that is in the trie.
func (a *automaton) link(outs [][]uint32) {
	w := a.width
	fail := make([]uint32, len(outs))
	queue := make([]uint32, 0, len(outs))
	for c := range w {
		if s := a.next[c]; s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		f := fail[s/w]
		outs[s/w] = append(outs[s/w], outs[f/w]...)
		for c := range w {
			t := a.next[s+c]
			if t == 0 {
				a.next[s+c] = a.next[f+c]
				continue
			}
			fail[t/w] = a.next[f+c]
			queue = append(queue, t)
		}
	}
	for _, o := range outs {
		a.outAt = append(a.outAt, uint32(len(a.outputs)))
		a.outputs = append(a.outputs, o...)
	}
	a.outAt = append(a.outAt, uint32(len(a.outputs)))
	for i, s := range a.next {
		if a.outAt[s/w+1] > a.outAt[s/w] {
			a.next[i] = s | ends
		}
	}
}

// hit is an occurrence of a pattern that ends at byte end.
type hit struct {
	pattern uint32
	end     uint32
}

// scan appends every occurrence to dst, by their ends. odd reports that the text
// has a letter with a form that is not folded (see foldsAlone).
func (a *automaton) scan(dst []hit, text string) (hits []hit, odd bool) {
	s, w := uint32(0), a.width
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			s = a.next[s+uint32(a.class[c])]
			i++
			if s&ends != 0 {
				s &^= ends
				dst = a.emit(dst, s/w, i)
			}
			continue
		}
		if 0xe3 <= c && c <= 0xe9 && i+3 <= len(text) { // U+3000 to U+9FFF, where nothing folds
			s = a.next[s+uint32(a.class[c])] &^ ends
			s = a.next[s+uint32(a.class[text[i+1]])] &^ ends
			s = a.next[s+uint32(a.class[text[i+2]])]
			i += 3
			if s&ends != 0 {
				s &^= ends
				dst = a.emit(dst, s/w, i)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		odd = odd || r == longS || r == kelvin
		if f := foldRune(r); f != r {
			var buf [utf8.UTFMax]byte
			k := utf8.EncodeRune(buf[:], f)
			for _, c := range buf[:k] {
				s = a.next[s+uint32(a.class[c])] &^ ends
			}
		} else {
			for _, c := range []byte(text[i : i+n]) {
				s = a.next[s+uint32(a.class[c])] &^ ends
			}
		}
		i += n
		if a.outAt[s/w+1] > a.outAt[s/w] {
			dst = a.emit(dst, s/w, i)
		}
	}
	return dst, odd
}

func (a *automaton) emit(dst []hit, state uint32, end int) []hit {
	for _, p := range a.outputs[a.outAt[state]:a.outAt[state+1]] {
		dst = append(dst, hit{p, uint32(end)})
	}
	return dst
}

// sortMatches orders matches by start and, at the same start, the longer first,
// then keeps the leftmost-longest ones that do not overlap.
func sortMatches(ms []edit.Match) []edit.Match {
	tidy := true // as the words of a text are
	for i := range ms[1:] {
		if ms[i].End > ms[i+1].Start {
			tidy = false
			break
		}
	}
	if tidy {
		return ms
	}
	slices.SortStableFunc(ms, func(a, b edit.Match) int {
		if a.Start != b.Start {
			return a.Start - b.Start
		}
		return b.End - a.End
	})
	out := ms[:0]
	end := -1
	for _, m := range ms {
		if m.Start < end || m.Start == m.End && m.Start == end {
			continue
		}
		out = append(out, m)
		end = m.End
	}
	return out
}
