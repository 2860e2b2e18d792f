package kg

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// pageKey is the key of a page.
func pageKey(kind byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{kind}, n)
}

func chunkKey(kind byte, n, chunk uint32) []byte {
	return binary.BigEndian.AppendUint32(pageKey(kind, n), chunk)
}

// number sorts the entities, numbers them and writes all that is about them alone.
func (b *builder) number() error {
	b.ids = newIDTable(b.count)
	rank, types := ranks(b.types)
	ofType := make([][]uint32, len(types))
	nameIndex := &linkSorter{dir: b.temp, name: "names"}
	var (
		ids, firsts  []string
		info         pageWriter
		filled       bool // info has something to say
		n            uint32
		last         []byte
		part, buffer []byte
	)
	flushIDs := func() error {
		page := (n - 1) / group
		err := b.w.put(pageKey('D', page), appendIDs(nil, ids), false)
		firsts = append(firsts, ids[0])
		ids = ids[:0]
		if err == nil && len(firsts) == perIndex {
			err = b.w.put(pageKey('G', page/perIndex), appendIDs(nil, firsts), false)
			firsts = firsts[:0]
		}
		return err
	}
	flushInfo := func() error {
		var err error
		if filled {
			err = b.w.put(pageKey('E', (n-1)/textGroup), info.bytes(), true)
		}
		info.reset()
		filled = false
		return err
	}
	err := b.entities.each(func(key, value []byte) error {
		r := reader{b: value}
		id := r.string()
		if bytes.Equal(key, last) {
			b.problem("entity %q comes twice", id)
			return nil
		}
		last = append(last[:0], key...)
		if n == 1<<32-1 {
			return errors.New("a graph holds at most 4,294,967,295 entities")
		}
		b.ids.add(id, n)
		ids = append(ids, id)
		part = part[:0]
		typ := r.uint()
		if typ > 0 {
			typ = uint64(rank[typ-1]) + 1
			ofType[typ-1] = append(ofType[typ-1], n)
		}
		part = binary.AppendUvarint(part, typ)
		rest := r.b
		names := r.count()
		b.names += names
		for range names {
			buffer = foldName(buffer, r.bytes(r.uint()))
			h := nameHash(buffer)
			if err := nameIndex.add(link{from: uint32(h >> 32), relation: uint32(h), to: n}); err != nil {
				return err
			}
		}
		if typ > 0 || names > 0 || r.count() > 0 {
			part = append(part, rest...)
			info.add(int(n%textGroup), part, false)
			filled = true
		}
		n++
		if n%group == 0 {
			if err := flushIDs(); err != nil {
				return err
			}
		}
		if n%textGroup == 0 {
			return flushInfo()
		}
		return nil
	})
	if err == nil && len(ids) > 0 {
		err = flushIDs()
	}
	if err == nil && len(firsts) > 0 {
		err = b.w.put(pageKey('G', (n-1)/group/perIndex), appendIDs(nil, firsts), false)
	}
	if err == nil {
		err = flushInfo()
	}
	if err != nil {
		return err
	}
	b.count = int(n)
	b.entities = recordSorter{}
	if err := b.w.end('D', 'E', 'G'); err != nil {
		return err
	}
	if err := b.nameBuckets(nameIndex); err != nil {
		return err
	}
	if err := b.chunks('T', ofType); err != nil {
		return err
	}
	b.strings("types", types)
	return nil
}

// chunks writes lists of ascending numbers.
func (b *builder) chunks(kind byte, lists [][]uint32) error {
	for i, list := range lists {
		for c := 0; len(list) > 0; c++ {
			n := min(perChunk, len(list))
			page := binary.AppendUvarint(nil, uint64(n))
			last := uint32(0)
			for _, v := range list[:n] {
				page = binary.AppendUvarint(page, uint64(v-last))
				last = v
			}
			if err := b.w.put(chunkKey(kind, uint32(i), uint32(c)), page, false); err != nil {
				return err
			}
			list = list[n:]
		}
	}
	return b.w.end(kind)
}

// strings notes a list of strings, to be written at last.
func (b *builder) strings(name string, list []string) {
	b.lists = append(b.lists, namedList{name, appendStrings(nil, list)})
}

type namedList struct {
	name string
	page []byte
}

// Names are looked up without regard to case: by a hash of the folded name, whose
// first bits choose a bucket.
const bucketSize = 32

func bucketBits(names int) int {
	bits := 0
	for names>>bits > bucketSize && bits < 31 {
		bits++
	}
	return bits
}

// foldName gives a name as it is compared: in normal form C, case folded.
func foldName(dst, name []byte) []byte {
	dst = append(dst[:0], name...)
	ascii := true
	for i, c := range dst {
		if 'A' <= c && c <= 'Z' {
			dst[i] = c + 'a' - 'A'
		}
		ascii = ascii && c < 0x80
	}
	if ascii {
		return dst
	}
	return norm.NFC.Bytes(cases.Fold().Bytes(norm.NFC.Bytes(name)))
}

// nameHash is FNV-1a with the finalizer of MurmurHash3, 64 bits.
func nameHash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (b *builder) nameBuckets(s *linkSorter) error {
	shift := 32 - bucketBits(b.names)
	var page []byte
	at := uint32(0)
	flush := func() error {
		if len(page) == 0 {
			return nil
		}
		err := b.w.put(pageKey('N', at), page, false)
		page = page[:0]
		return err
	}
	err := s.each(func(l link) error {
		bucket := uint32(uint64(l.from) >> shift)
		if bucket != at {
			if err := flush(); err != nil {
				return err
			}
			at = bucket
		}
		page = binary.LittleEndian.AppendUint32(page, l.relation)
		page = binary.AppendUvarint(page, uint64(l.to))
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	return b.w.end('N')
}

// finish sorts the facts and writes them by subject and by object.
func (b *builder) finish() (err error) {
	relation, relations := ranks(b.relations)
	source, sources := ranks(b.sources)
	if b.opt.Progress != nil {
		b.opt.Progress(b.facts)
	}
	if err := b.writeLinks('O', relation, source, len(relations)); err != nil {
		return err
	}
	if err := b.writeLinks('I', relation, source, 0); err != nil {
		return err
	}
	if err := b.links.remove(); err != nil {
		return err
	}
	if err := b.writeTexts(relation, source, len(relations)); err != nil {
		return err
	}
	b.strings("relations", relations)
	b.strings("sources", sources[1:])
	slices.SortFunc(b.lists, func(x, y namedList) int { return cmp.Compare(x.name, y.name) })
	for _, l := range b.lists {
		if err := b.w.put(append([]byte{'M'}, l.name...), l.page, true); err != nil {
			return err
		}
	}
	return b.w.end('M')
}

// writeLinks writes the pages of facts with an object, kind O by subject or I by
// object.
func (b *builder) writeLinks(kind byte, relation, source []uint32, relations int) error {
	s := &linkSorter{dir: b.temp, name: "links" + string(kind)}
	r, err := b.links.rewind()
	if err != nil {
		return err
	}
	var buf [linkBytes]byte
	for n := 0; ; n++ {
		if _, err := io.ReadFull(r, buf[:]); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read temporary file: %w", err)
		}
		if n&0xffff == 0 {
			if err := b.ctx.Err(); err != nil {
				return err
			}
		}
		l := readLink(buf[:])
		l.relation, l.source = relation[l.relation], source[l.source]
		if kind == 'I' {
			l.from, l.to = l.to, l.from
		}
		if err := s.add(l); err != nil {
			return err
		}
	}
	p := &linkPages{w: b.w, kind: kind, found: make([][]uint32, relations)}
	n := 0
	err = s.each(func(l link) error {
		if n++; n&0xffff == 0 {
			if err := b.ctx.Err(); err != nil {
				return err
			}
		}
		return p.add(l)
	})
	if err == nil {
		err = p.flush()
	}
	if err != nil {
		return err
	}
	if err := b.w.end(kind, kind|0x20); err != nil {
		return err
	}
	if kind == 'O' {
		b.factCount += n
		return b.chunks('R', p.found)
	}
	return nil
}

// linkPages turns sorted links into pages.
type linkPages struct {
	w     *writer
	kind  byte
	page  pageWriter
	any   bool
	from  uint32
	list  []edge
	chunk uint32
	total int
	part  []byte
	found [][]uint32 // of each relation the pages in which it occurs; empty if not wanted
}

func (p *linkPages) add(l link) error {
	if p.any && l.from != p.from {
		if err := p.close(); err != nil {
			return err
		}
		if l.from/group != p.from/group {
			if err := p.flushPage(); err != nil {
				return err
			}
		}
	}
	p.any, p.from = true, l.from
	if len(p.list) == chunkMax {
		if err := p.spill(); err != nil {
			return err
		}
	}
	p.list = append(p.list, edge{l.relation, l.to, l.source, l.weight})
	p.total++
	if len(p.found) > 0 {
		page := l.from / group
		if f := p.found[l.relation]; len(f) == 0 || f[len(f)-1] != page {
			p.found[l.relation] = append(f, page)
		}
	}
	return nil
}

// spill writes a part of a long list elsewhere.
func (p *linkPages) spill() error {
	p.part = appendEdges(p.part[:0], p.list)
	err := p.w.put(chunkKey(p.kind|0x20, p.from, p.chunk), p.part, false)
	p.chunk++
	p.list = p.list[:0]
	return err
}

// close ends the list of one entity.
func (p *linkPages) close() error {
	elsewhere := p.total > listMax
	if elsewhere {
		if err := p.spill(); err != nil {
			return err
		}
		p.part = binary.AppendUvarint(p.part[:0], uint64(p.total))
		p.part = binary.AppendUvarint(p.part, uint64(p.chunk))
	} else {
		p.part = appendEdges(p.part[:0], p.list)
	}
	p.page.add(int(p.from%group), p.part, elsewhere)
	p.list, p.chunk, p.total = p.list[:0], 0, 0
	return nil
}

func (p *linkPages) flushPage() error {
	err := p.w.put(pageKey(p.kind, p.from/group), p.page.bytes(), false)
	p.page.reset()
	return err
}

func (p *linkPages) flush() error {
	if !p.any {
		return nil
	}
	if err := p.close(); err != nil {
		return err
	}
	return p.flushPage()
}

// writeTexts writes the pages of facts with a literal. They are sorted by subject,
// relation and text; the highest weight of equal ones counts.
func (b *builder) writeTexts(relation, source []uint32, relations int) error {
	s := &recordSorter{dir: b.temp, name: "sorted"}
	r, err := b.texts.rewind()
	if err != nil {
		return err
	}
	if err := readTexts(r, func(l link, text []byte) error {
		l.relation, l.source = relation[l.relation], source[l.source]
		key := binary.BigEndian.AppendUint32(nil, l.from)
		key = binary.BigEndian.AppendUint32(key, l.relation)
		return s.add(append(key, text...), l.append(nil))
	}); err != nil {
		return err
	}
	var (
		page  pageWriter
		list  []statement
		from  uint32
		any   bool
		last  []byte
		found = make([][]uint32, relations)
	)
	flush := func(next uint32, end bool) error {
		if !any {
			return nil
		}
		page.add(int(from%textGroup), appendStatements(nil, list), false)
		list = list[:0]
		if end || next/textGroup != from/textGroup {
			err := b.w.put(pageKey('L', from/textGroup), page.bytes(), true)
			page.reset()
			return err
		}
		return nil
	}
	err = s.each(func(key, value []byte) error {
		l := readLink(value)
		if any && bytes.Equal(key, last) {
			held := &list[len(list)-1]
			if x, y := effective(l.weight), effective(held.weight); x > y || x == y && l.source < held.source {
				held.weight, held.source = l.weight, l.source
			}
			return nil
		}
		last = append(last[:0], key...)
		if any && l.from != from {
			if err := flush(l.from, false); err != nil {
				return err
			}
		}
		any, from = true, l.from
		b.factCount++
		list = append(list, statement{l.relation, l.source, l.weight, string(key[8:])})
		at := from / group
		if f := found[l.relation]; len(f) == 0 || f[len(f)-1] != at {
			found[l.relation] = append(f, at)
		}
		return nil
	})
	if err == nil {
		err = flush(0, true)
	}
	if err == nil {
		err = b.texts.remove()
	}
	if err == nil {
		err = b.w.end('L')
	}
	if err != nil {
		return err
	}
	return b.chunks('Q', found)
}

// readTexts reads the tape of facts with a literal.
func readTexts(r *bufio.Reader, f func(l link, text []byte) error) error {
	var buf [linkBytes]byte
	var text []byte
	for {
		_, err := io.ReadFull(r, buf[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		l := readLink(buf[:])
		if err == nil {
			text = slices.Grow(text[:0], int(l.to))[:l.to]
			_, err = io.ReadFull(r, text)
		}
		if err != nil {
			return fmt.Errorf("read temporary file: %w", err)
		}
		if err := f(l, text); err != nil {
			return err
		}
	}
}
