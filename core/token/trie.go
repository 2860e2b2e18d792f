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
	for len(entries) > 0 && entries[0].key == "" {
		entries = entries[1:]
	}
	b := &trieBuilder{}
	b.grow()
	b.take(0, 0)
	if len(entries) > 0 {
		b.place(0, entries, 0)
	}
	for len(b.slots) < int(b.last)+257 { // every lookup base+byte must stay within the array
		b.grow()
	}
	return &trie{slots: slices.Clone(b.slots[:b.last+257])}
}

// trieBuilder keeps the free slots in a ring through slot 0, in rising order.
type trieBuilder struct {
	slots      []trieSlot
	next, prev []int32
	last       int32 // the highest slot taken
	// wide is where the search for room for several children begins; the slots
	// before it are left to nodes with one child.
	wide int32
}

// grow appends a block of free slots.
func (b *trieBuilder) grow() {
	from := int32(len(b.slots))
	for i := range int32(1024) + from/4 {
		b.slots = append(b.slots, trieSlot{check: -1, value: -1})
		b.next = append(b.next, from+i+1)
		b.prev = append(b.prev, from+i-1)
	}
	end := int32(len(b.slots)) - 1
	b.next[end] = 0
	if from == 0 {
		b.prev[0] = end
		return
	}
	tail := b.prev[0]
	b.next[tail], b.prev[from], b.prev[0] = from, tail, end
}

func (b *trieBuilder) take(slot, parent int32) {
	b.slots[slot].check = parent
	b.last = max(b.last, slot)
	if slot == 0 {
		return // the ring's anchor
	}
	if slot == b.wide {
		b.wide = b.next[slot]
	}
	b.next[b.prev[slot]], b.prev[b.next[slot]] = b.next[slot], b.prev[slot]
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
		b.take(base+int32(g.c), at)
	}
	for _, g := range groups {
		b.place(base+int32(g.c), entries[g.a:g.b], depth+1)
	}
}

// find gives a base, at least 1, at which all children have a free slot.
func (b *trieBuilder) find(groups []trieGroup) int32 {
	first, span := int32(groups[0].c), int32(groups[len(groups)-1].c-groups[0].c)
	at := b.next[0]
	if len(groups) > 1 && b.wide > 0 {
		at = b.wide
	}
	for tries := 0; ; at = b.next[at] {
		for at == 0 || int(at+span) >= len(b.slots) {
			fresh := int32(len(b.slots))
			b.grow()
			if at == 0 {
				at = fresh
			}
		}
		if at <= first {
			continue
		}
		base, fits := at-first, true
		for _, g := range groups[1:] {
			if b.slots[base+int32(g.c)].check >= 0 {
				fits = false
				break
			}
		}
		if fits {
			if tries > 32 {
				b.wide = at
			}
			return base
		}
		tries++
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
