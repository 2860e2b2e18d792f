package token

import (
	"math"
	"unicode/utf8"
)

// unigram takes the split of a word whose pieces have the highest sum of scores
// (Kudo 2018, "Subword Regularization").
type unigram struct {
	trie         *trie
	ids          map[string]int32
	scores       []float64
	unknown      int32 // -1: a character without a piece has none
	unknownScore float64
	bytes        *[256]int32 // pieces <0x00> to <0xFF>, -1 where missing; nil: no byte fallback
	cache        *wordCache
}

const unknownPenalty = 10

func (m *unigram) setUnknownScore() {
	low := math.Inf(1)
	for _, s := range m.scores {
		low = min(low, s)
	}
	m.unknownScore = low - unknownPenalty
}

// pathNode is the best way to reach a byte of a word.
type pathNode struct {
	score float64
	start int32 // -1: not reached
	id    int32
}

func (m *unigram) pieces(w *work, word string, out []piece) []piece {
	found, slot := m.cache.get(word)
	if found != nil {
		return append(out, found...)
	}
	from := len(out)
	out = m.find(w, word, out)
	m.cache.put(slot, word, out[from:])
	return out
}

func (m *unigram) find(w *work, word string, out []piece) []piece {
	n := len(word)
	if cap(w.unigram) < n+1 {
		w.unigram = make([]pathNode, n+1)
	}
	best := w.unigram[:n+1]
	for i := range best {
		best[i] = pathNode{start: -1}
	}
	slots := m.trie.slots
	for at := 0; at < n; {
		till := best[at].score
		size := 1
		if word[at] >= utf8.RuneSelf {
			_, size = utf8.DecodeRuneInString(word[at:])
		}
		single := false
		node := int32(0)
		for i := at; i < n; i++ {
			base := slots[node].base
			if base == 0 {
				break
			}
			next := base + int32(word[i])
			if slots[next].check != node {
				break
			}
			node = next
			id := slots[node].value
			if id < 0 {
				continue
			}
			end := i + 1
			score := m.scores[id] + till
			if b := &best[end]; b.start < 0 || score > b.score {
				*b = pathNode{score, int32(at), id}
			}
			if end-at == size {
				single = true
			}
		}
		if !single {
			score := m.unknownScore + till
			if b := &best[at+size]; b.start < 0 || score > b.score {
				*b = pathNode{score, int32(at), m.unknown}
			}
		}
		at += size
	}
	from := len(out)
	for end := n; end > 0; {
		b := best[end]
		if b.start < 0 {
			return out[:from]
		}
		last := len(out) - 1
		if b.id == m.unknown && last >= from && out[last].id == m.unknown && out[last].start == int32(end) {
			out[last].start = b.start // unknown characters in a row are one piece
		} else {
			out = append(out, piece{b.id, b.start, int32(end)})
		}
		end = int(b.start)
	}
	for i, j := from, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return m.resolve(word, out, from)
}

// resolve looks unknown pieces up as a whole, then byte by byte.
func (m *unigram) resolve(word string, out []piece, from int) []piece {
	plain := true
	for _, p := range out[from:] {
		plain = plain && p.id != m.unknown
	}
	if plain {
		return out
	}
	found := append([]piece(nil), out[from:]...)
	out = out[:from]
	for _, p := range found {
		if p.id != m.unknown {
			out = append(out, p)
			continue
		}
		text := word[p.start:p.end]
		if id, ok := m.ids[text]; ok {
			out = append(out, piece{id, p.start, p.end})
		} else if ids, ok := byteIDs(m.bytes, text); ok {
			for _, id := range ids {
				out = append(out, piece{id, p.start, p.end})
			}
		} else if m.unknown >= 0 {
			out = append(out, p)
		}
	}
	return out
}

// byteIDs gives the byte pieces for all bytes of text, or false.
func byteIDs(table *[256]int32, text string) ([]int32, bool) {
	if table == nil {
		return nil, false
	}
	ids := make([]int32, len(text))
	for i := range ids {
		if ids[i] = table[text[i]]; ids[i] < 0 {
			return nil, false
		}
	}
	return ids, true
}
