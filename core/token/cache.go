package token

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// wordCache remembers the pieces of words. It has a fixed number of places, each
// holding the last word that fell there, and needs no locks.
type wordCache struct {
	seed  maphash.Seed
	words []atomic.Pointer[cachedWord]
}

type cachedWord struct {
	word   string
	pieces []piece
}

const (
	cacheSize    = 1 << 15
	cacheLongest = 64 // bytes; longer words are seldom seen twice
)

func newWordCache() *wordCache {
	return &wordCache{seed: maphash.MakeSeed(), words: make([]atomic.Pointer[cachedWord], cacheSize)}
}

// get gives the pieces of a word; slot is where to put them if there are none.
func (c *wordCache) get(word string) (pieces []piece, slot *atomic.Pointer[cachedWord]) {
	if len(word) > cacheLongest {
		return nil, nil
	}
	slot = &c.words[maphash.String(c.seed, word)&(cacheSize-1)]
	if found := slot.Load(); found != nil && found.word == word {
		return found.pieces, slot
	}
	return nil, slot
}

// put remembers pieces, which are copied.
func (c *wordCache) put(slot *atomic.Pointer[cachedWord], word string, pieces []piece) {
	if slot == nil || len(pieces) == 0 {
		return
	}
	slot.Store(&cachedWord{strings.Clone(word), append([]piece(nil), pieces...)})
}
