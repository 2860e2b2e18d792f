package source

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/s2"

	"github.com/islm-dev/islm/sdk"
)

// Bounds of what a spool keeps in memory, in bytes.
const (
	runBytes  = 24 << 20
	tapeBytes = 8 << 20
	seenSlots = 1 << 20 // of 16 bytes
	blockSize = 256 << 10
)

// A part is what one record says about an entity. Parts with the same id are
// merged: names in the order of their rank, then of the input.
type part struct {
	id       string
	typ      string
	typeRank byte // lower wins; then the first in the alphabet
	names    []name
	props    []prop
}

type name struct {
	text string
	rank byte
}

type prop struct{ key, value string }

// spool takes parts and facts in any order and gives merged entities in the order
// of their ids, then the facts in theirs. Parts are sorted in runs and merged
// (external merge sort).
type spool struct {
	temp   string // parent of dir
	budget int    // of the arena
	dir    string // "" until something is written
	arena  []byte
	refs   []ref
	runs   []*tape
	facts  *tape

	// seen remembers ids already written, so that the thousandth mention of an
	// entity costs nothing; a slot holds two hashes, as one could collide.
	seen  [][2]uint64
	kept  int // mentions written since seen has grown
	seeds [2]maphash.Seed
	buf   []byte
}

// A ref is a part in the arena; its id stands first.
type ref struct{ start, id, end int }

func newSpool(temp string) *spool {
	s := &spool{temp: temp, budget: runBytes, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	s.facts = &tape{s: s, name: "facts"}
	return s
}

// close removes the temporary files.
func (s *spool) close() error {
	var errs []error
	for _, t := range append(s.runs, s.facts) {
		if t.file != nil {
			errs = append(errs, t.file.Close())
		}
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// mention adds an entity of which nothing but the id is known.
func (s *spool) mention(id string) error {
	h := [2]uint64{maphash.String(s.seeds[0], id), maphash.String(s.seeds[1], id)}
	if n := len(s.seen); n < seenSlots && s.kept >= n/2 {
		s.seen, s.kept = make([][2]uint64, max(4*n, 1024)), 0
	}
	slot := &s.seen[h[0]%uint64(len(s.seen))]
	if *slot == h {
		return nil
	}
	*slot = h
	s.kept++
	return s.add(part{id: id})
}

func (s *spool) add(p part) error {
	if len(s.arena) > s.budget {
		if err := s.flush(); err != nil {
			return err
		}
	}
	start := len(s.arena)
	b := appendString(s.arena, p.id)
	id := len(b)
	b = appendString(b, p.typ)
	b = append(b, p.typeRank)
	b = binary.AppendUvarint(b, uint64(len(p.names)))
	for _, n := range p.names {
		b = append(b, n.rank)
		b = appendString(b, n.text)
	}
	b = binary.AppendUvarint(b, uint64(len(p.props)))
	for _, q := range p.props {
		b = appendString(b, q.key)
		b = appendString(b, q.value)
	}
	s.arena = b
	s.refs = append(s.refs, ref{start, id, len(b)})
	return nil
}

func (s *spool) fact(f sdk.Fact) error {
	b := s.buf[:0]
	for _, x := range []string{f.Subject, f.Relation, f.Object, f.Literal, f.Source} {
		b = appendString(b, x)
	}
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f.Weight))
	s.buf = b
	return s.facts.write(b)
}

// sortRun orders the parts in memory by id, and those of one id as they came.
func (s *spool) sortRun() {
	key := func(r ref) []byte {
		b := s.arena[r.start:r.id]
		_, n := binary.Uvarint(b)
		return b[n:]
	}
	slices.SortFunc(s.refs, func(a, b ref) int {
		return cmp.Or(bytes.Compare(key(a), key(b)), cmp.Compare(a.start, b.start))
	})
}

// flush writes the parts in memory as one sorted run.
func (s *spool) flush() error {
	s.sortRun()
	t := &tape{s: s, name: fmt.Sprintf("run%d", len(s.runs)), spilled: true}
	for i, r := range s.refs {
		record := s.arena[r.start:r.end]
		if i > 0 && bytes.Equal(record, s.arena[s.refs[i-1].start:s.refs[i-1].end]) {
			continue
		}
		if err := t.write(record); err != nil {
			return err
		}
	}
	s.runs = append(s.runs, t)
	s.arena, s.refs = s.arena[:0], s.refs[:0]
	return nil
}

// entities yields the merged entities. The spool takes no more parts.
func (s *spool) entities(yield func(sdk.Entity) bool) error {
	s.sortRun()
	h := &runHeap{{order: len(s.runs)}}
	next := 0
	(*h)[0].step = func() (part, error) {
		if next == len(s.refs) {
			return part{}, io.EOF
		}
		r := s.refs[next]
		next++
		return readPart(bytes.NewReader(s.arena[r.start:r.end]))
	}
	for i, t := range s.runs {
		r, err := t.reader()
		if err != nil {
			return err
		}
		*h = append(*h, &run{order: i, step: func() (part, error) { return readPart(r) }})
	}
	*h = slices.DeleteFunc(*h, func(r *run) bool { return r.advance() != nil && errors.Is(r.err, io.EOF) })
	for _, r := range *h {
		if r.err != nil {
			return fmt.Errorf("read temporary run: %w", r.err)
		}
	}
	heap.Init(h)
	var m merger
	for h.Len() > 0 {
		r := (*h)[0]
		if m.id != r.head.id || !m.any {
			if m.any && !yield(m.entity()) {
				return nil
			}
			m = merger{any: true, id: r.head.id}
		}
		m.add(r.head)
		if err := r.advance(); errors.Is(err, io.EOF) {
			heap.Pop(h)
		} else if err != nil {
			return fmt.Errorf("read temporary run: %w", err)
		} else {
			heap.Fix(h, 0)
		}
	}
	if m.any {
		yield(m.entity())
	}
	return nil
}

// each yields the facts.
func (s *spool) each(yield func(sdk.Fact) bool) error {
	r, err := s.facts.reader()
	if err != nil {
		return err
	}
	var weight [8]byte
	in := interner{}
	for {
		var f sdk.Fact
		if f.Subject, err = readString(r); errors.Is(err, io.EOF) {
			return nil
		}
		for _, x := range []*string{&f.Relation, &f.Object, &f.Literal, &f.Source} {
			if err == nil {
				*x, err = readString(r)
			}
		}
		if err == nil {
			_, err = io.ReadFull(r, weight[:])
		}
		if err != nil {
			return fmt.Errorf("read temporary facts: %w", err)
		}
		f.Weight = math.Float64frombits(binary.LittleEndian.Uint64(weight[:]))
		f.Relation, f.Source = in.get(f.Relation), in.get(f.Source)
		if !yield(f) {
			return nil
		}
	}
}

// interner keeps one copy of strings of which there are few.
type interner map[string]string

func (in interner) get(s string) string {
	if known, ok := in[s]; ok {
		return known
	}
	if len(in) < 4096 {
		in[s] = s
	}
	return s
}

// merger joins the parts of one entity.
type merger struct {
	any      bool
	id, typ  string
	typeRank byte
	names    []name
	props    map[string]string
}

func (m *merger) add(p part) {
	if p.typ != "" && (m.typ == "" || cmp.Or(cmp.Compare(p.typeRank, m.typeRank), cmp.Compare(p.typ, m.typ)) < 0) {
		m.typ, m.typeRank = p.typ, p.typeRank
	}
	for _, n := range p.names {
		if i := slices.IndexFunc(m.names, func(x name) bool { return x.text == n.text }); i < 0 {
			m.names = append(m.names, n)
		} else {
			m.names[i].rank = min(m.names[i].rank, n.rank)
		}
	}
	for _, q := range p.props {
		if m.props == nil {
			m.props = map[string]string{}
		}
		switch old := m.props[q.key]; {
		case old == "":
			m.props[q.key] = q.value
		case !slices.Contains(strings.Split(old, "\n"), q.value):
			m.props[q.key] = old + "\n" + q.value
		}
	}
}

func (m *merger) entity() sdk.Entity {
	e := sdk.Entity{ID: m.id, Type: m.typ, Props: m.props}
	slices.SortStableFunc(m.names, func(a, b name) int { return cmp.Compare(a.rank, b.rank) })
	for _, n := range m.names {
		e.Names = append(e.Names, n.text)
	}
	return e
}

type run struct {
	order int
	step  func() (part, error)
	head  part
	err   error
}

func (r *run) advance() error {
	r.head, r.err = r.step()
	return r.err
}

// runHeap orders runs by the id at their head, then by age.
type runHeap []*run

func (h runHeap) Len() int      { return len(h) }
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h runHeap) Less(i, j int) bool {
	return cmp.Or(strings.Compare(h[i].head.id, h[j].head.id), cmp.Compare(h[i].order, h[j].order)) < 0
}
func (h *runHeap) Push(x any) { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	*h = old[:len(old)-1]
	return r
}

// tape is a sequence of bytes that moves from memory to a compressed file once it
// has grown.
type tape struct {
	s       *spool
	name    string
	spilled bool // write to the file from the start
	memory  []byte
	file    *os.File
	out     *s2.Writer
}

func (t *tape) write(b []byte) error {
	if t.out != nil {
		_, err := t.out.Write(b)
		if err != nil {
			return fmt.Errorf("write temporary file: %w", err)
		}
		return nil
	}
	t.memory = append(t.memory, b...)
	if !t.spilled && len(t.memory) < tapeBytes {
		return nil
	}
	if t.s.dir == "" {
		dir, err := os.MkdirTemp(t.s.temp, "islm-kg-*.tmp")
		if err != nil {
			return fmt.Errorf("make temporary folder: %w", err)
		}
		t.s.dir = dir
	}
	f, err := os.Create(filepath.Join(t.s.dir, t.name))
	if err != nil {
		return fmt.Errorf("make temporary file: %w", err)
	}
	t.file = f
	t.out = s2.NewWriter(f, s2.WriterConcurrency(1), s2.WriterBlockSize(blockSize))
	memory := t.memory
	t.memory = nil
	return t.write(memory)
}

// reader ends writing and reads from the start.
func (t *tape) reader() (partReader, error) {
	if t.file == nil {
		return bytes.NewReader(t.memory), nil
	}
	if err := t.out.Close(); err != nil {
		return nil, fmt.Errorf("write temporary file: %w", err)
	}
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read temporary file: %w", err)
	}
	return bufio.NewReaderSize(s2.NewReader(t.file, s2.ReaderMaxBlockSize(blockSize)), 32<<10), nil
}

type partReader interface {
	io.Reader
	io.ByteReader
}

func readPart(r partReader) (part, error) {
	var p part
	var err error
	if p.id, err = readString(r); err != nil {
		return p, err // io.EOF only here
	}
	if p.typ, err = readString(r); err == nil {
		p.typeRank, err = r.ReadByte()
	}
	var n uint64
	if err == nil {
		n, err = binary.ReadUvarint(r)
	}
	for i := uint64(0); i < n && err == nil; i++ {
		var x name
		if x.rank, err = r.ReadByte(); err == nil {
			x.text, err = readString(r)
		}
		p.names = append(p.names, x)
	}
	if err == nil {
		n, err = binary.ReadUvarint(r)
	}
	for i := uint64(0); i < n && err == nil; i++ {
		var q prop
		if q.key, err = readString(r); err == nil {
			q.value, err = readString(r)
		}
		p.props = append(p.props, q)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return p, err
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func readString(r partReader) (string, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return "", err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", io.ErrUnexpectedEOF
	}
	return string(b), nil
}
