package token

import (
	"slices"
	"strings"
)

// trie is a double array over bytes: the child of node n by byte c is n's base
// plus c, if that slot's check is n. It maps strings to numbers from 0 on.
type trie struct {
	slots []trieSlot
}

type trieSlot struct {
	base  int32 // children are at base + byte; 0 for a leaf
	check int32 // parent's slot, -1 if free
	value int32 // -1 for none
}

type trieEntry struct {
	key   string
	value int32
}

// newTrie builds a trie. Of equal keys the last counts; empty ones are ignored.
func newTrie(entries []trieEntry) *trie {
	slices.SortStableFunc(entries, func(a, b trieEntry) int { return strings.Compare(a.key, b.key) })
	b := &trieBuilder{}
	b.grow(512)
	b.slots[0].check = 0
	b.head = 1
	for len(entries) > 0 && entries[0].key == "" {
		entries = entries[1:]
	}
	if len(entries) > 0 {
		b.place(0, entries, 0)
	}
	end := len(b.slots)
	for end > 257 && b.slots[end-1].check < 0 {
		end--
	}
	// Every lookup base+byte must stay within the array.
	return &trie{slots: slices.Clone(b.slots[:min(len(b.slots), end+256)])}
}

type trieBuilder struct {
	slots []trieSlot
	head  int // no slot before it is free, or worth a look
}

func (b *trieBuilder) grow(n int) {
	for len(b.slots) < n {
		b.slots = append(b.slots, trieSlot{check: -1, value: -1})
	}
}

type trieGroup struct {
	c    byte
	a, b int
}

// place puts the children of node at, whose keys share their first depth bytes.
func (b *trieBuilder) place(at int32, entries []trieEntry, depth int) {
	var groups []trieGroup
	for i := 0; i < len(entries); {
		if len(entries[i].key) == depth {
			b.slots[at].value = entries[i].value
			i++
			continue
		}
		c := entries[i].key[depth]
		j := i + 1
		for j < len(entries) && entries[j].key[depth] == c {
			j++
		}
		groups = append(groups, trieGroup{c, i, j})
		i = j
	}
	if len(groups) == 0 {
		return
	}
	base := b.find(groups)
	b.slots[at].base = base
	for _, g := range groups {
		b.slots[base+int32(g.c)].check = at
	}
	for _, g := range groups {
		b.place(base+int32(g.c), entries[g.a:g.b], depth+1)
	}
}

// find gives a base at which all children have a free slot.
func (b *trieBuilder) find(groups []trieGroup) int32 {
	for b.head < len(b.slots) && b.slots[b.head].check >= 0 {
		b.head++
	}
	first := int(groups[0].c)
	tries := 0
	for at := max(b.head, first+1); ; at++ {
		b.grow(at + 512)
		if b.slots[at].check >= 0 {
			continue
		}
		base := at - first
		fits := true
		for _, g := range groups[1:] {
			if b.slots[base+int(g.c)].check >= 0 {
				fits = false
				break
			}
		}
		if fits {
			return int32(base)
		}
		if tries++; tries == 64 && at-b.head > 4096 {
			b.head = at - 2048 // crowded: leave the gaps behind
		}
	}
}

// step is the child of node at by byte c, or -1.
func (t *trie) step(at int32, c byte) int32 {
	base := t.slots[at].base
	if base == 0 {
		return -1
	}
	next := base + int32(c)
	if t.slots[next].check != at {
		return -1
	}
	return next
}

// longest is the value and length of the longest key that s begins with; length 0
// for none.
func (t *trie) longest(s string) (value int32, length int) {
	at := int32(0)
	for i := range len(s) {
		if at = t.step(at, s[i]); at < 0 {
			return value, length
		}
		if v := t.slots[at].value; v >= 0 {
			value, length = v, i+1
		}
	}
	return value, length
}
