package token

import (
	"unicode/utf8"
	"unsafe"
)

// place is a range of bytes of the source text.
type place struct{ start, end int32 }

// stretch is a piece of text on its way through the stages, with the place in the
// source that each of its bytes stands for.
type stretch struct {
	s  string
	al []place // one per byte of s; nil: s has the runes' widths of the source from base on
	// base and end delimit the source that the stretch was cut from.
	base, end int32
	id        int32 // the added token that the stretch is, or -1
}

// at is the place in the source of byte i of s.
func (v *stretch) at(i int) place {
	if v.al != nil {
		return v.al[i]
	}
	if v.s[i] < utf8.RuneSelf {
		return place{v.base + int32(i), v.base + int32(i) + 1}
	}
	start := i
	for start > 0 && i-start < utf8.UTFMax && !utf8.RuneStart(v.s[start]) {
		start--
	}
	_, size := utf8.DecodeRuneInString(v.s[start:])
	return place{v.base + int32(start), v.base + int32(start+size)}
}

// source is the range of the source that bytes a to b of s stand for.
func (v *stretch) source(a, b int) place {
	if a >= b {
		return place{v.base + int32(a), v.base + int32(a)}
	}
	return place{v.at(a).start, v.at(b - 1).end}
}

// slice is the part of v from byte a to byte b, on rune boundaries.
func (v *stretch) slice(a, b int) stretch {
	if a == 0 && b == len(v.s) {
		return *v
	}
	p := v.source(a, b)
	part := stretch{s: v.s[a:b], base: p.start, end: p.end, id: -1}
	if v.al != nil {
		part.al = v.al[a:b:b]
	}
	return part
}

// change is a character of a new text and how it came about: 0 replaces one
// character of the old text, 1 is inserted after the one before, -n replaces one
// and drops the n following.
type change struct {
	r     rune
	delta int32
}

// work is the memory of one call.
type work struct {
	bytes   []byte
	places  []place
	changes []change
	parts   []stretch
	next    []stretch
	pieces  []piece
	unigram []pathNode
	bpe     bpeWork
	regex   regexWork
	first   sequence
	second  sequence
}

// piece is an entry of the vocabulary found in a word, at bytes [start, end).
type piece struct{ id, start, end int32 }

func (w *work) reset() {
	// Do not hold on to the memory of a very long text.
	const keep = 1 << 18
	if cap(w.bytes)+cap(w.places)+cap(w.changes)+cap(w.parts)+cap(w.next)+cap(w.pieces)+cap(w.unigram)+
		cap(w.bpe.symbols)+cap(w.bpe.heap)+cap(w.regex.stack)+cap(w.first.ids)+cap(w.second.ids) > keep {
		*w = work{}
		return
	}
	w.bytes, w.places, w.changes = w.bytes[:0], w.places[:0], w.changes[:0]
	clear(w.parts)
	clear(w.next)
	w.parts, w.next, w.pieces = w.parts[:0], w.next[:0], w.pieces[:0]
	w.first.reset()
	w.second.reset()
}

// text is what was appended to w.bytes from byte start on. The bytes are not
// touched again until reset.
func (w *work) text(start int) string {
	b := w.bytes[start:]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// put appends a character and its place.
func (w *work) put(r rune, p place) {
	if r < utf8.RuneSelf {
		w.bytes = append(w.bytes, byte(r))
		w.places = append(w.places, p)
		return
	}
	before := len(w.bytes)
	w.bytes = utf8.AppendRune(w.bytes, r)
	for range len(w.bytes) - before {
		w.places = append(w.places, p)
	}
}

// transform replaces the text of v by changes; the first skip characters of the
// old text are dropped beforehand.
func (w *work) transform(v stretch, changes []change, skip int) stretch {
	startBytes, startPlaces := len(w.bytes), len(w.places)
	pos := 0
	step := func() {
		if pos < len(v.s) {
			_, size := utf8.DecodeRuneInString(v.s[pos:])
			pos += size
		}
	}
	for range skip {
		step()
	}
	for _, c := range changes {
		var p place
		switch {
		case pos == 0 && (c.delta > 0 || v.s == ""):
			p = place{v.base, v.base}
		case c.delta > 0 || pos >= len(v.s):
			p = v.at(pos - 1)
		default:
			p = v.at(pos)
		}
		if c.delta <= 0 {
			step()
			for range -c.delta {
				step()
			}
		}
		w.put(c.r, p)
	}
	v.s, v.al = w.text(startBytes), w.places[startPlaces:]
	return v
}

// valid is the source as a stretch; bytes that are no UTF-8 become U+FFFD, which
// stands for the one byte.
func (w *work) valid(source string) stretch {
	v := stretch{s: source, end: int32(len(source)), id: -1}
	if utf8.ValidString(source) {
		return v
	}
	startBytes, startPlaces := len(w.bytes), len(w.places)
	for i := 0; i < len(source); {
		r, size := utf8.DecodeRuneInString(source[i:])
		w.put(r, place{int32(i), int32(i + size)})
		i += size
	}
	v.s, v.al = w.text(startBytes), w.places[startPlaces:]
	return v
}
