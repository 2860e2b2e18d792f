package token

import (
	"math"
	"unicode/utf8"
)

// bpe joins neighbouring pieces, in the order in which the pairs were learned
// (Sennrich 2016).
type bpe struct {
	ids     map[string]int32
	merges  map[uint64]mergeRule
	prefix  string // of pieces inside a word
	suffix  string // of the last piece of a word
	unknown int32  // -1: what is not known is left out
	fuse    bool   // unknown characters in a row are one piece
	ignore  bool   // whole words of the vocabulary need no merging
	bytes   *[256]int32
	// raw: words come as bytes, not as the characters that ByteLevel writes.
	// wholes are then the vocabulary by bytes, if ignore is set.
	raw    *[256]int32
	wholes map[string]int32
	cache  *wordCache
}

type mergeRule struct{ rank, id int32 }

func pairKey(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) }

// symbol is a piece in the making, linked to its neighbours.
type symbol struct {
	id         int32
	len        int32 // bytes; 0: merged away
	prev, next int32
	rank       int32 // of the merge with next, noRank if there is none
}

const noRank = math.MaxInt32

type candidate struct{ rank, pos, id int32 }

type bpeWork struct {
	symbols []symbol
	heap    []candidate
}

func (m *bpe) pieces(w *work, word string, out []piece) []piece {
	if word == "" {
		return out
	}
	found, slot := m.cache.get(word)
	if found != nil {
		return append(out, found...)
	}
	from := len(out)
	if m.ignore {
		whole := m.ids
		if m.raw != nil {
			whole = m.wholes
		}
		if id, ok := whole[word]; ok {
			out = append(out, piece{id, 0, int32(len(word))})
			m.cache.put(slot, word, out[from:])
			return out
		}
	}
	w.bpe.symbols = w.bpe.symbols[:0]
	m.begin(&w.bpe, word)
	if len(w.bpe.symbols) <= 24 {
		m.mergeShort(&w.bpe)
	} else {
		m.mergeLong(&w.bpe)
	}
	at := int32(0)
	for _, s := range w.bpe.symbols {
		if s.len > 0 {
			out = append(out, piece{s.id, at, at + s.len})
			at += s.len
		}
	}
	m.cache.put(slot, word, out[from:])
	return out
}

func (b *bpeWork) add(id int32, n int) {
	i := int32(len(b.symbols))
	b.symbols = append(b.symbols, symbol{id: id, len: int32(n), prev: i - 1, next: i + 1, rank: noRank})
}

// begin splits a word into characters.
func (m *bpe) begin(b *bpeWork, word string) {
	if m.raw != nil {
		for i := range len(word) {
			b.add(m.raw[word[i]], 1)
		}
		return
	}
	pending := 0 // bytes of an unknown piece not yet added
	for at := 0; at < len(word); {
		_, size := utf8.DecodeRuneInString(word[at:])
		s := word[at : at+size]
		if at > 0 && m.prefix != "" {
			s = m.prefix + s
		}
		at += size
		if at == len(word) && m.suffix != "" {
			s += m.suffix
		}
		if id, ok := m.ids[s]; ok {
			if pending > 0 {
				b.add(m.unknown, pending)
				pending = 0
			}
			b.add(id, size)
			continue
		}
		if ids, ok := byteIDs(m.bytes, s); ok {
			for _, id := range ids {
				b.add(id, 1)
			}
			continue
		}
		if m.unknown >= 0 {
			if pending > 0 && !m.fuse {
				b.add(m.unknown, pending)
				pending = 0
			}
			pending += size
		}
	}
	if pending > 0 {
		b.add(m.unknown, pending)
	}
}

// rule is the merge of symbol i with its right neighbour.
func (m *bpe) rule(b *bpeWork, i int32) (mergeRule, bool) {
	next := b.symbols[i].next
	if next >= int32(len(b.symbols)) {
		return mergeRule{rank: noRank}, false
	}
	r, ok := m.merges[pairKey(b.symbols[i].id, b.symbols[next].id)]
	if !ok {
		r.rank = noRank
	}
	return r, ok
}

// join merges symbol i with its right neighbour.
func (b *bpeWork) join(i, id int32) {
	next := b.symbols[i].next
	right := &b.symbols[next]
	b.symbols[i].id = id
	b.symbols[i].len += right.len
	b.symbols[i].next = right.next
	if right.next < int32(len(b.symbols)) {
		b.symbols[right.next].prev = i
	}
	right.len = 0
}

// mergeShort looks for the best pair by walking over the word.
func (m *bpe) mergeShort(b *bpeWork) {
	n := int32(len(b.symbols))
	for i := range n {
		r, _ := m.rule(b, i)
		b.symbols[i].rank = r.rank
	}
	for {
		best, rank := int32(-1), int32(noRank)
		for i := int32(0); i < n; i = b.symbols[i].next {
			if b.symbols[i].rank < rank {
				best, rank = i, b.symbols[i].rank
			}
		}
		if best < 0 {
			return
		}
		r, _ := m.rule(b, best)
		b.join(best, r.id)
		r, _ = m.rule(b, best)
		b.symbols[best].rank = r.rank
		if prev := b.symbols[best].prev; prev >= 0 {
			r, _ = m.rule(b, prev)
			b.symbols[prev].rank = r.rank
		}
	}
}

// mergeLong keeps the pairs in a heap, so that a text of n characters without
// spaces takes n log n steps.
func (m *bpe) mergeLong(b *bpeWork) {
	b.heap = b.heap[:0]
	push := func(i int32) {
		if r, ok := m.rule(b, i); ok {
			b.push(candidate{r.rank, i, r.id})
		}
	}
	for i := range int32(len(b.symbols)) {
		push(i)
	}
	for len(b.heap) > 0 {
		top := b.pop()
		if b.symbols[top.pos].len == 0 {
			continue
		}
		if r, ok := m.rule(b, top.pos); !ok || r.id != top.id {
			continue // the pair is no longer what it was
		}
		b.join(top.pos, top.id)
		if prev := b.symbols[top.pos].prev; prev >= 0 {
			push(prev)
		}
		push(top.pos)
	}
}

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.pos < d.pos
}

func (b *bpeWork) push(c candidate) {
	h := append(b.heap, c)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !c.before(h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = c
	b.heap = h
}

func (b *bpeWork) pop() candidate {
	h := b.heap
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	b.heap = h
	i := 0
	for {
		down := 2*i + 1
		if down >= len(h) {
			break
		}
		if down+1 < len(h) && h[down+1].before(h[down]) {
			down++
		}
		if !h[down].before(last) {
			break
		}
		h[i] = h[down]
		i = down
	}
	if len(h) > 0 {
		h[i] = last
	}
	return top
}
