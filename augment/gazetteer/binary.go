package gazetteer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"unsafe"
)

// The binary form, little-endian, each part at a multiple of eight bytes:
//
//	magic [8]byte, crc32c of all that follows, flags, cells, names, ids, tail bytes   uint32 each
//	cells   [cells]uint64
//	tailAt  [names+1]uint32
//	idAt    [names+1]uint32
//	ids     [ids]uint32
//	tails   [tail bytes]byte
const (
	magic      = "islmgaz1"
	headerSize = 32
)

// ErrInvalid is wrapped by the errors of Open.
var ErrInvalid = errors.New("not a gazetteer")

// AppendBinary appends the Matcher's binary form. For use without a copy it must
// come to lie at an address that is a multiple of eight.
func (m *Matcher) AppendBinary(b []byte) ([]byte, error) {
	if len(m.cells) > baseMask || len(m.ids) > math.MaxInt32 || len(m.tails) > math.MaxUint32 {
		return b, fmt.Errorf("gazetteer of %d cells, %d ids and %d bytes of tails is too large for the format", len(m.cells), len(m.ids), len(m.tails))
	}
	start := len(b)
	le := binary.LittleEndian
	b = append(b, magic...)
	for _, n := range []int{0, m.flags(), len(m.cells), m.Names(), len(m.ids), len(m.tails)} {
		b = le.AppendUint32(b, uint32(n))
	}
	pad := func() {
		for (len(b)-start)%8 != 0 {
			b = append(b, 0)
		}
	}
	for _, c := range m.cells {
		b = le.AppendUint64(b, c)
	}
	for _, part := range [][]uint32{m.tailAt, m.idAt, m.ids} {
		for _, v := range part {
			b = le.AppendUint32(b, v)
		}
		pad()
	}
	b = append(b, m.tails...)
	pad()
	le.PutUint32(b[start+8:], crc32.Checksum(b[start+12:], castagnoli()))
	return b, nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (m *Matcher) flags() int {
	flags := 0
	for i, on := range []bool{m.opt.FoldCase, m.opt.FoldWidth, m.opt.Words, m.opt.FoldSpace, m.opt.Plurals} {
		if on {
			flags |= 1 << i
		}
	}
	return flags
}

// Open makes a Matcher of its binary form. The Matcher refers to b, which must
// stay as it is; it is copied only if it does not lie at a multiple of eight or
// the machine is big-endian. All of b is read and checked, so that a Matcher
// that was opened cannot fail.
func Open(b []byte) (*Matcher, error) {
	if len(b) < headerSize || string(b[:8]) != magic {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrInvalid, magic)
	}
	le := binary.LittleEndian
	flags := le.Uint32(b[12:])
	cells, names, ids, tails := uint64(le.Uint32(b[16:])), uint64(le.Uint32(b[20:])), uint64(le.Uint32(b[24:])), uint64(le.Uint32(b[28:]))
	round := func(n uint64) uint64 { return (n + 7) &^ 7 }
	sizes := [5]uint64{cells * 8, round((names + 1) * 4), round((names + 1) * 4), round(ids * 4), round(tails)}
	size := uint64(headerSize)
	for _, n := range sizes {
		size += n
	}
	switch {
	case size != uint64(len(b)):
		return nil, fmt.Errorf("%w: its %d bytes should be %d", ErrInvalid, len(b), size)
	case flags >= 1<<5:
		return nil, fmt.Errorf("%w: flags %#x are of a later version", ErrInvalid, flags)
	case le.Uint32(b[8:]) != crc32.Checksum(b[12:], castagnoli()):
		return nil, fmt.Errorf("%w: its checksum is wrong, it is damaged", ErrInvalid)
	}
	m := &Matcher{opt: Options{FoldCase: flags&1 != 0, FoldWidth: flags&2 != 0, Words: flags&4 != 0, FoldSpace: flags&8 != 0, Plurals: flags&16 != 0}}
	m.table = tableFor(m.opt)
	b = b[headerSize:]
	part := func(i int) []byte {
		p := b[:sizes[i]:sizes[i]]
		b = b[sizes[i]:]
		return p
	}
	m.cells = view[uint64](part(0), cells, le.Uint64)
	m.tailAt = view[uint32](part(1), names+1, le.Uint32)
	m.idAt = view[uint32](part(2), names+1, le.Uint32)
	m.ids = view[uint32](part(3), ids, le.Uint32)
	m.tails = part(4)[:tails:tails]
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return m, nil
}

// view gives bytes as n numbers, without a copy where the machine allows it.
func view[T uint32 | uint64](b []byte, n uint64, decode func([]byte) T) []T {
	if n == 0 {
		return nil
	}
	var zero T
	size := uint64(unsafe.Sizeof(zero))
	first := (*T)(unsafe.Pointer(unsafe.SliceData(b)))
	little := binary.NativeEndian.Uint16([]byte{1, 0}) == 1
	if little && uintptr(unsafe.Pointer(first))%uintptr(size) == 0 {
		return unsafe.Slice(first, n)
	}
	numbers := make([]T, n)
	for i := range numbers {
		numbers[i] = decode(b[uint64(i)*size:])
	}
	return numbers
}

// check holds what the walk relies on: every base leads to cells that exist,
// every leaf to a name that exists, and the names to tails and ids in order.
func (m *Matcher) check() error {
	names := uint32(m.Names())
	if len(m.cells) == 0 || len(m.cells)%block != 0 {
		return fmt.Errorf("%d cells are no whole blocks", len(m.cells))
	}
	if m.cells[0]>>32&leaf != 0 {
		return errors.New("the root is a leaf")
	}
	for i, cell := range m.cells {
		if uint32(cell) == noParent && i > 0 {
			continue
		}
		value := uint32(cell >> 32)
		if value&leaf != 0 {
			if value&^leaf >= names {
				return fmt.Errorf("cell %d leads to name %d of %d", i, value&^leaf, names)
			}
			continue
		}
		base := value & baseMask
		if int(base) >= len(m.cells) {
			return fmt.Errorf("cell %d leads to cell %d of %d", i, base, len(m.cells))
		}
		if value&final != 0 {
			if end := uint32(m.cells[base^endLabel] >> 32); end&leaf == 0 || end&^leaf >= names {
				return fmt.Errorf("cell %d ends in no name", i)
			}
		}
	}
	for _, list := range []struct {
		what string
		at   []uint32
		size int
	}{{"tails", m.tailAt, len(m.tails)}, {"ids", m.idAt, len(m.ids)}} {
		last := uint32(0)
		for i, at := range list.at {
			if at < last || int(at) > list.size {
				return fmt.Errorf("the %s of name %d are out of order", list.what, i)
			}
			last = at
		}
		if list.at[0] != 0 || int(last) != list.size {
			return fmt.Errorf("the %s do not begin and end with the list", list.what)
		}
	}
	return nil
}
