package kg

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Bounds of what sorting keeps in memory.
const (
	linkRun   = 1 << 20 // links, of 32 bytes
	recordRun = 16 << 20
	tapeBuf   = 256 << 10
)

// A link is a fact between two entities, by number. It is ordered by from,
// relation and to.
type link struct {
	from, relation, to uint32
	source             uint32
	weight             float64
}

const linkBytes = 24

// effective is a weight as a number: none given means 1.
func effective(weight float64) float64 {
	if weight == 0 {
		return 1
	}
	return weight
}

func (l link) compare(m link) int {
	return cmp.Or(cmp.Compare(uint64(l.from)<<32|uint64(l.relation), uint64(m.from)<<32|uint64(m.relation)), cmp.Compare(l.to, m.to))
}

func (l link) append(b []byte) []byte {
	for _, v := range [...]uint32{l.from, l.relation, l.to, l.source} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(l.weight))
}

func readLink(b []byte) link {
	u := binary.LittleEndian.Uint32
	return link{u(b), u(b[4:]), u(b[8:]), u(b[12:]), math.Float64frombits(binary.LittleEndian.Uint64(b[16:]))}
}

// A tape is a temporary file, written once and then read.
type tape struct {
	file *os.File
	w    *bufio.Writer
}

func newTape(dir, name string) (*tape, error) {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("make temporary file: %w", err)
	}
	return &tape{f, bufio.NewWriterSize(f, tapeBuf)}, nil
}

func (t *tape) write(b []byte) error {
	if _, err := t.w.Write(b); err != nil {
		return fmt.Errorf("write temporary file: %w", err)
	}
	return nil
}

// rewind ends writing and reads from the beginning.
func (t *tape) rewind() (*bufio.Reader, error) {
	if t.w != nil {
		if err := t.w.Flush(); err != nil {
			return nil, fmt.Errorf("write temporary file: %w", err)
		}
		t.w = nil
	}
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read temporary file: %w", err)
	}
	return bufio.NewReaderSize(t.file, tapeBuf), nil
}

// remove closes and deletes the file.
func (t *tape) remove() error {
	return errors.Join(t.file.Close(), os.Remove(t.file.Name()))
}

// linkSorter sorts links that need not fit in memory (external merge sort).
type linkSorter struct {
	dir, name string
	run       []link
	tapes     []*tape
}

func (s *linkSorter) add(l link) error {
	if len(s.run) == linkRun {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.run = append(s.run, l)
	return nil
}

func (s *linkSorter) flush() error {
	slices.SortFunc(s.run, link.compare)
	t, err := newTape(s.dir, fmt.Sprintf("%s%d", s.name, len(s.tapes)))
	if err != nil {
		return err
	}
	s.tapes = append(s.tapes, t)
	var b []byte
	for _, l := range s.run {
		b = l.append(b[:0])
		if err := t.write(b); err != nil {
			return err
		}
	}
	s.run = s.run[:0]
	return nil
}

// each calls f with the links in their order, equal ones once: with the highest
// weight, and among those with the first source.
func (s *linkSorter) each(f func(link) error) (err error) {
	slices.SortFunc(s.run, link.compare)
	next := 0
	h := &linkHeap{}
	push := func(step func() (link, error)) error {
		l, err := step()
		if errors.Is(err, io.EOF) {
			return nil
		}
		*h = append(*h, linkHead{l, step})
		return err
	}
	err = push(func() (link, error) {
		if next == len(s.run) {
			return link{}, io.EOF
		}
		next++
		return s.run[next-1], nil
	})
	for _, t := range s.tapes {
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, t.remove()) }()
		var r *bufio.Reader
		if r, err = t.rewind(); err != nil {
			return err
		}
		buf := make([]byte, linkBytes)
		err = push(func() (link, error) {
			if _, err := io.ReadFull(r, buf); err != nil {
				if errors.Is(err, io.EOF) {
					return link{}, err
				}
				return link{}, fmt.Errorf("read temporary file: %w", err)
			}
			return readLink(buf), nil
		})
	}
	if err != nil {
		return err
	}
	heap.Init(h)
	var held link
	any := false
	for h.Len() > 0 {
		l := (*h)[0].link
		switch {
		case !any:
			held, any = l, true
		case held.compare(l) == 0:
			if a, b := effective(l.weight), effective(held.weight); a > b || a == b && l.source < held.source {
				held = l
			}
		default:
			if err := f(held); err != nil {
				return err
			}
			held = l
		}
		switch l, err := (*h)[0].step(); {
		case err == nil:
			(*h)[0].link = l
			heap.Fix(h, 0)
		case errors.Is(err, io.EOF):
			heap.Pop(h)
		default:
			return err
		}
	}
	if any {
		return f(held)
	}
	return nil
}

type linkHead struct {
	link link
	step func() (link, error)
}

type linkHeap []linkHead

func (h linkHeap) Len() int           { return len(h) }
func (h linkHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h linkHeap) Less(i, j int) bool { return h[i].link.compare(h[j].link) < 0 }
func (h *linkHeap) Push(x any)        { *h = append(*h, x.(linkHead)) }
func (h *linkHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// recordSorter sorts records of any length by their keys; those of equal keys keep
// the order in which they came.
type recordSorter struct {
	dir, name string
	arena     []byte
	refs      []recordRef
	tapes     []*tape
}

type recordRef struct{ start, value, end int }

func (s *recordSorter) add(key, value []byte) error {
	if len(s.arena)+len(key)+len(value) > recordRun && len(s.refs) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	start := len(s.arena)
	s.arena = append(s.arena, key...)
	at := len(s.arena)
	s.arena = append(s.arena, value...)
	s.refs = append(s.refs, recordRef{start, at, len(s.arena)})
	return nil
}

func (s *recordSorter) sort() {
	slices.SortFunc(s.refs, func(a, b recordRef) int {
		return cmp.Or(bytes.Compare(s.arena[a.start:a.value], s.arena[b.start:b.value]), cmp.Compare(a.start, b.start))
	})
}

func (s *recordSorter) flush() error {
	s.sort()
	t, err := newTape(s.dir, fmt.Sprintf("%s%d", s.name, len(s.tapes)))
	if err != nil {
		return err
	}
	s.tapes = append(s.tapes, t)
	var b []byte
	for _, r := range s.refs {
		b = binary.AppendUvarint(b[:0], uint64(r.value-r.start))
		b = binary.AppendUvarint(b, uint64(r.end-r.value))
		b = append(b, s.arena[r.start:r.end]...)
		if err := t.write(b); err != nil {
			return err
		}
	}
	s.arena, s.refs = s.arena[:0], s.refs[:0]
	return nil
}

// each calls f with the records in their order. Key and value are valid during
// the call.
func (s *recordSorter) each(f func(key, value []byte) error) (err error) {
	s.sort()
	h := &recordHeap{}
	for i, t := range s.tapes {
		defer func() { err = errors.Join(err, t.remove()) }()
		r, err := t.rewind()
		if err != nil {
			return err
		}
		head := recordHead{order: i, r: r}
		if ok, err := head.step(); err != nil {
			return err
		} else if ok {
			*h = append(*h, head)
		}
	}
	heap.Init(h)
	// What is still in memory came last, so it loses ties.
	for _, ref := range s.refs {
		key := s.arena[ref.start:ref.value]
		for h.Len() > 0 && bytes.Compare((*h)[0].key(), key) <= 0 {
			if err := h.next(f); err != nil {
				return err
			}
		}
		if err := f(key, s.arena[ref.value:ref.end]); err != nil {
			return err
		}
	}
	for h.Len() > 0 {
		if err := h.next(f); err != nil {
			return err
		}
	}
	return nil
}

type recordHead struct {
	order int
	r     *bufio.Reader
	buf   []byte
	value int // where it begins in buf
}

func (h *recordHead) key() []byte { return h.buf[:h.value] }

func (h *recordHead) step() (bool, error) {
	key, err := binary.ReadUvarint(h.r)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	var value uint64
	if err == nil {
		value, err = binary.ReadUvarint(h.r)
	}
	if err == nil {
		h.value = int(key)
		h.buf = slices.Grow(h.buf[:0], int(key+value))[:key+value]
		_, err = io.ReadFull(h.r, h.buf)
	}
	if err != nil {
		return false, fmt.Errorf("read temporary file: %w", err)
	}
	return true, nil
}

type recordHeap []recordHead

func (h recordHeap) Len() int      { return len(h) }
func (h recordHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h recordHeap) Less(i, j int) bool {
	return cmp.Or(bytes.Compare(h[i].key(), h[j].key()), cmp.Compare(h[i].order, h[j].order)) < 0
}
func (h *recordHeap) Push(x any) { *h = append(*h, x.(recordHead)) }
func (h *recordHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// next hands the first record to f.
func (h *recordHeap) next(f func(key, value []byte) error) error {
	head := &(*h)[0]
	if err := f(head.key(), head.buf[head.value:]); err != nil {
		return err
	}
	switch ok, err := head.step(); {
	case err != nil:
		return err
	case ok:
		heap.Fix(h, 0)
	default:
		heap.Pop(h)
	}
	return nil
}
