package gazetteer

import (
	"cmp"
	"strings"
)

// A cell of the double array holds the node it is a child of in bits 0-31
// (noParent: the cell is not in use) and a value in bits 32-63. A node's child
// for byte b lies in the cell base^b. The value of a node that branches is its
// base, with bit final set if a name ends there, whose cell is base^endLabel. The
// value of a node from which only one name can be reached is that name's number
// with bit leaf set; the rest of the name is its tail.
const (
	noParent = 1<<32 - 1
	rootMark = 1<<32 - 2 // the root's parent
	leaf     = 1 << 31
	final    = 1 << 30
	baseMask = final - 1
	endLabel = 0xff // occurs in no UTF-8
	block    = 256  // base^b stays within an aligned block
	open     = 16   // blocks in which free cells are looked for
)

// entry is a folded name with an id.
type entry struct {
	name string
	id   uint32
}

func compareEntries(a, b entry) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return cmp.Compare(a.id, b.id)
}

// walker is a place in the trie.
type walker struct {
	node  uint32
	value uint32
	tail  []byte // what is left of it, at a leaf
}

func (m *Matcher) start() walker {
	return walker{value: uint32(m.cells[0] >> 32)}
}

// step goes on by one byte, or returns false if no name goes on so.
func (m *Matcher) step(w *walker, b byte) bool {
	if w.value&leaf != 0 {
		if len(w.tail) == 0 || w.tail[0] != b {
			return false
		}
		w.tail = w.tail[1:]
		return true
	}
	to := w.value&baseMask ^ uint32(b)
	cell := m.cells[to]
	if uint32(cell) != w.node {
		return false
	}
	w.node, w.value = to, uint32(cell>>32)
	if w.value&leaf != 0 {
		key := w.value &^ leaf
		w.tail = m.tails[m.tailAt[key]:m.tailAt[key+1]]
	}
	return true
}

func (m *Matcher) walk(w *walker, bytes []byte) bool {
	for _, b := range bytes {
		if !m.step(w, b) {
			return false
		}
	}
	return true
}

// key returns the name that ends here, if one does.
func (m *Matcher) key(w *walker) (uint32, bool) {
	if w.value&leaf != 0 {
		return w.value &^ leaf, len(w.tail) == 0
	}
	if w.value&final == 0 {
		return 0, false
	}
	return uint32(m.cells[w.value&baseMask^endLabel]>>32) &^ leaf, true
}

// builder places nodes in the double array.
type builder struct {
	cells      []uint64
	next, prev []uint32 // ring of the free cells of the open blocks
	head       uint32   // one of the ring, noParent if it is empty
}

// build makes the trie of sorted entries without doubles.
func (m *Matcher) build(entries []entry) {
	var names []string
	for i, e := range entries {
		if i == 0 || e.name != entries[i-1].name {
			names = append(names, e.name)
			m.idAt = append(m.idAt, uint32(i))
		}
		m.ids = append(m.ids, e.id)
	}
	m.idAt = append(m.idAt, uint32(len(entries)))
	b := &builder{head: noParent}
	b.grow()
	b.take(0, rootMark)

	tails := make([]string, len(names))
	type task struct {
		node         uint32
		lo, hi, from int // names[lo:hi] share their first from bytes
	}
	var labels []byte
	var children []task
	stack := []task{{hi: len(names)}}
	if len(names) == 0 {
		stack = nil
	}
	for len(stack) > 0 {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if t.hi-t.lo == 1 && t.node != 0 {
			tails[t.lo] = names[t.lo][min(t.from, len(names[t.lo])):]
			b.set(t.node, leaf|uint32(t.lo))
			continue
		}
		labels, children = labels[:0], children[:0]
		ends := false
		for lo := t.lo; lo < t.hi; {
			if len(names[lo]) == t.from {
				ends = true
				lo++
				continue
			}
			c, hi := names[lo][t.from], lo+1
			for hi < t.hi && names[hi][t.from] == c {
				hi++
			}
			labels = append(labels, c)
			children = append(children, task{lo: lo, hi: hi, from: t.from + 1})
			lo = hi
		}
		if ends {
			labels = append(labels, endLabel)
			children = append(children, task{lo: t.lo, hi: t.lo + 1, from: t.from})
		}
		base := b.place(labels)
		value := base
		if ends {
			value |= final
		}
		b.set(t.node, value)
		for i, c := range labels {
			children[i].node = base ^ uint32(c)
			b.take(children[i].node, t.node)
		}
		// The first child next, so that neighbours in the sorted names are so here.
		for i := len(children) - 1; i >= 0; i-- {
			stack = append(stack, children[i])
		}
	}
	m.cells = append([]uint64(nil), b.cells...)
	m.tailAt = make([]uint32, 0, len(names)+1)
	for _, tail := range tails {
		m.tailAt = append(m.tailAt, uint32(len(m.tails)))
		m.tails = append(m.tails, tail...)
	}
	m.tailAt = append(m.tailAt, uint32(len(m.tails)))
}

func (b *builder) set(node, value uint32) {
	b.cells[node] = b.cells[node]&noParent | uint64(value)<<32
}

// place finds a base whose cells are free for all labels.
func (b *builder) place(labels []byte) uint32 {
	if b.head != noParent {
	candidates:
		for cell := b.head; ; {
			base := cell ^ uint32(labels[0])
			for _, c := range labels[1:] {
				if uint32(b.cells[base^uint32(c)]) != noParent {
					if cell = b.next[cell]; cell == b.head {
						break candidates
					}
					continue candidates
				}
			}
			return base
		}
	}
	start := uint32(len(b.cells))
	b.grow()
	return start
}

// grow appends a block of free cells and gives up those of the oldest open one.
func (b *builder) grow() {
	start := uint32(len(b.cells))
	for i := start; i < start+block; i++ {
		b.cells = append(b.cells, noParent)
		b.next, b.prev = append(b.next, i), append(b.prev, i)
		b.link(i)
	}
	if start >= open*block {
		for i := start - open*block; i < start-(open-1)*block; i++ {
			if uint32(b.cells[i]) == noParent {
				b.unlink(i)
			}
		}
	}
}

// link puts a cell at the end of the ring.
func (b *builder) link(cell uint32) {
	if b.head == noParent {
		b.head = cell
		return
	}
	last := b.prev[b.head]
	b.next[last], b.prev[cell] = cell, last
	b.next[cell], b.prev[b.head] = b.head, cell
}

func (b *builder) unlink(cell uint32) {
	if b.next[cell] == cell {
		b.head = noParent
		return
	}
	if b.head == cell {
		b.head = b.next[cell]
	}
	b.next[b.prev[cell]], b.prev[b.next[cell]] = b.next[cell], b.prev[cell]
}

func (b *builder) take(cell, parent uint32) {
	b.unlink(cell)
	b.cells[cell] = uint64(parent)
}
