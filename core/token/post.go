package token

import (
	"unicode/utf8"
)

// postProcessor puts special tokens around the ids and trims places.
type postProcessor struct {
	trims    []trim
	template bool // single and pair hold a template
	single   []templateItem
	pair     []templateItem
	// zeroTypes: all type ids are 0, whatever the template (RoBERTa).
	zeroTypes bool
	// onlySpecial: without special tokens the template says nothing (BERT).
	onlySpecial bool
}

// templateItem is a sequence (0 or 1) or, for sequence -1, special ids.
type templateItem struct {
	sequence int
	ids      []int32
	typeID   int32
}

// trim leaves white space out of the places of byte-level pieces.
type trim struct{ prefixSpace bool }

// specials counts the special ids of a template.
func specials(items []templateItem) int {
	n := 0
	for _, item := range items {
		n += len(item.ids)
	}
	return n
}

var (
	plainSingle = []templateItem{{sequence: 0}}
	plainPair   = []templateItem{{sequence: 0}, {sequence: 1, typeID: 1}}
)

// items is the template for one or two sequences.
func (p *postProcessor) items(pair bool) []templateItem {
	switch {
	case p.template && pair:
		return p.pair
	case p.template:
		return p.single
	case pair:
		return plainPair
	}
	return plainSingle
}

// sequence is the ids of one text.
type sequence struct {
	ids    []int32
	places []place
	words  []int32
	// surfaces are the texts of added tokens, which may include white space, in order.
	surfaces []surface
}

// surface is how the id at an index is written in the text.
type surface struct {
	at   int
	text string
}

func (s *sequence) reset() {
	s.ids, s.places, s.words = s.ids[:0], s.places[:0], s.words[:0]
	clear(s.surfaces)
	s.surfaces = s.surfaces[:0]
}

func (s *sequence) cut(from, to int) {
	s.ids, s.places, s.words = s.ids[from:to], s.places[from:to], s.words[from:to]
	for i := range s.surfaces {
		s.surfaces[i].at -= from
	}
}

// apply trims the places of s, whose ids are pieces of vocab but for added tokens.
// source gives the text that the places of a piece count in.
func (p trim) apply(t *charTables, s *sequence, vocab []string, source func(i int) string) {
	surfaces := s.surfaces
	for i, id := range s.ids {
		for len(surfaces) > 0 && surfaces[0].at < i {
			surfaces = surfaces[1:]
		}
		var text string
		if len(surfaces) > 0 && surfaces[0].at == i {
			text = surfaces[0].text
		} else if id >= 0 && int(id) < len(vocab) {
			text = vocab[id]
		}
		lead, trail := t.spaces(text)
		if lead == 0 && trail == 0 {
			continue
		}
		from := source(i)
		at := &s.places[i]
		if lead > 0 {
			if lead == 1 && p.prefixSpace && (i == 0 || at.start == 0) { // not written by the author
				lead = 0
			}
			for ; lead > 0 && at.start < at.end; lead-- {
				_, size := utf8.DecodeRuneInString(from[at.start:])
				at.start += int32(size)
			}
			at.start = min(at.start, at.end)
		}
		if trail > 0 && utf8.RuneCountInString(from[:min(int(at.end), 4*trail)]) >= trail {
			for ; trail > 0 && at.end > at.start; trail-- {
				_, size := utf8.DecodeLastRuneInString(from[:at.end])
				at.end -= int32(size)
			}
			at.end = max(at.end, at.start)
		}
	}
}

// spaces counts the white space at the ends of a byte-level piece.
func (t *charTables) spaces(text string) (lead, trail int) {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r != spaceChar && !t.is(r, isSpace) {
			break
		}
		lead++
		i += size
	}
	for i := len(text); i > 0; {
		r, size := utf8.DecodeLastRuneInString(text[:i])
		if r != spaceChar && !t.is(r, isSpace) {
			break
		}
		trail++
		i -= size
	}
	return lead, trail
}

const spaceChar = 0x120 // how ByteLevel writes a space
