package kg

import (
	"hash/maphash"
	"math/bits"
)

// idTable finds the numbers of ids by 64 bits of hash, in about 25 bytes an id.
// Ids whose hashes agree are told apart by twins.
type idTable struct {
	seed    maphash.Seed
	shift   int
	hashes  []uint64 // 0 is an empty slot
	numbers []uint32
	twins   map[string]uint32
}

func newIDTable(n int) *idTable {
	size := bits.Len(uint(max(n, 8) * 4 / 3))
	return &idTable{seed: maphash.MakeSeed(), shift: 64 - size, hashes: make([]uint64, 1<<size), numbers: make([]uint32, 1<<size)}
}

func (t *idTable) hash(id string) uint64 {
	if h := maphash.String(t.seed, id); h != 0 {
		return h
	}
	return 1
}

func (t *idTable) slot(h uint64) (int, bool) {
	for i := int(h >> t.shift); ; i = (i + 1) & (len(t.hashes) - 1) {
		switch t.hashes[i] {
		case h:
			return i, true
		case 0:
			return i, false
		}
	}
}

// add adds an id that is not there yet.
func (t *idTable) add(id string, n uint32) {
	h := t.hash(id)
	i, taken := t.slot(h)
	if taken {
		if t.twins == nil {
			t.twins = map[string]uint32{}
		}
		t.twins[id] = n
		return
	}
	t.hashes[i], t.numbers[i] = h, n
}

// find gives the number of an id. An id that was never added is mistaken for
// another with a chance of the number of ids in 2^64.
func (t *idTable) find(id string) (uint32, bool) {
	if n, ok := t.twins[id]; ok {
		return n, true
	}
	if i, ok := t.slot(t.hash(id)); ok {
		return t.numbers[i], true
	}
	return 0, false
}
