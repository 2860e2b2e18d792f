package token

import (
	"unicode/utf8"
)

// model splits a word into pieces of the vocabulary, appending them to out.
type model interface {
	pieces(w *work, word string, out []piece) []piece
}

// wordPiece takes the longest piece again and again, from the left; a word that
// cannot be used up so is unknown as a whole.
type wordPiece struct {
	start    *trie // all pieces
	inside   *trie // those with the prefix, without it
	unknown  int32
	maxChars int
	cache    *wordCache
}

func (m *wordPiece) pieces(_ *work, word string, out []piece) []piece {
	found, slot := m.cache.get(word)
	if found != nil {
		return append(out, found...)
	}
	from := len(out)
	out = m.find(word, out)
	m.cache.put(slot, word, out[from:])
	return out
}

func (m *wordPiece) find(word string, out []piece) []piece {
	from := len(out)
	if len(word) > m.maxChars && utf8.RuneCountInString(word) > m.maxChars {
		return append(out, piece{m.unknown, 0, int32(len(word))})
	}
	for at := 0; at < len(word); {
		t := m.inside
		if at == 0 {
			t = m.start
		}
		id, n := t.longest(word[at:])
		if n == 0 {
			return append(out[:from], piece{m.unknown, 0, int32(len(word))})
		}
		out = append(out, piece{id, int32(at), int32(at + n)})
		at += n
	}
	return out
}

// wordLevel knows whole words only.
type wordLevel struct {
	ids     map[string]int32
	unknown int32 // -1: unknown words have no piece
}

func (m *wordLevel) pieces(_ *work, word string, out []piece) []piece {
	id, ok := m.ids[word]
	if !ok {
		id = m.unknown
	}
	if id < 0 {
		return out
	}
	return append(out, piece{id, 0, int32(len(word))})
}
