package kg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"
)

// Entities in a page. They are part of the format.
const (
	group     = 64
	textGroup = 16
	restart   = 16 // ids after which front-coding begins anew
	listMax   = 256
	chunkMax  = 2048 // facts in one part of a long list
	perChunk  = 1024 // numbers in one part of a list of pages or entities
	perIndex  = 256  // first ids in a page G
)

var errDamaged = errors.New("a page is damaged")

// A reader takes values from a page; after the first that is not there all are
// zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	// Most numbers are short.
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := uint64(r.b[0])
		r.b = r.b[1:]
		return v
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count is a number of things that take at least one byte each.
func (r *reader) count() int {
	v := r.uint()
	if v > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return 0
	}
	return int(v)
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) string() string { return string(r.bytes(r.uint())) }

func (r *reader) float() float64 {
	b := r.bytes(8)
	if r.bad {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

func (r *reader) err() error {
	if r.bad {
		return errDamaged
	}
	return nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// An edge is a fact as seen from one of its two entities.
type edge struct {
	relation uint32
	other    uint32 // number of the other entity
	source   uint32 // 0 none, else its number + 1
	weight   float64
}

func (e edge) attributes() bool { return e.source != 0 || e.weight != 0 }

func appendAttributes(b []byte, source uint32, weight float64) []byte {
	b = binary.AppendUvarint(b, uint64(source))
	if weight == 0 {
		return append(b, 0)
	}
	b = append(b, 1)
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(weight))
}

func (r *reader) attributes() (source uint32, weight float64) {
	source = uint32(r.uint())
	if r.uint() == 1 {
		weight = r.float()
	}
	return source, weight
}

func flag(set bool) uint64 {
	if set {
		return 1
	}
	return 0
}

// appendEdges writes edges that are ordered by relation and other.
func appendEdges(b []byte, edges []edge) []byte {
	b = binary.AppendUvarint(b, uint64(len(edges)))
	var last edge
	for i, e := range edges {
		step := e.relation - last.relation
		b = binary.AppendUvarint(b, uint64(step)<<1|flag(e.attributes()))
		if step == 0 && i > 0 {
			b = binary.AppendUvarint(b, uint64(e.other-last.other))
		} else {
			b = binary.AppendUvarint(b, uint64(e.other))
		}
		if e.attributes() {
			b = appendAttributes(b, e.source, e.weight)
		}
		last = e
	}
	return b
}

func (r *reader) edges(dst []edge) []edge {
	n := r.count()
	var last edge
	for i := range n {
		head := r.uint()
		e := edge{relation: last.relation + uint32(head>>1), other: uint32(r.uint())}
		if i > 0 && head>>1 == 0 {
			e.other += last.other
		}
		if head&1 == 1 {
			e.source, e.weight = r.attributes()
		}
		if r.bad {
			break
		}
		dst = append(dst, e)
		last = e
	}
	return dst
}

// A statement is a fact with a literal.
type statement struct {
	relation uint32
	source   uint32
	weight   float64
	text     string
}

func appendStatements(b []byte, list []statement) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	var last uint32
	for _, s := range list {
		attributes := s.source != 0 || s.weight != 0
		b = binary.AppendUvarint(b, uint64(s.relation-last)<<1|flag(attributes))
		b = appendString(b, s.text)
		if attributes {
			b = appendAttributes(b, s.source, s.weight)
		}
		last = s.relation
	}
	return b
}

func (r *reader) statements(dst []statement) []statement {
	n := r.count()
	var last uint32
	for range n {
		head := r.uint()
		s := statement{relation: last + uint32(head>>1), text: r.string()}
		if head&1 == 1 {
			s.source, s.weight = r.attributes()
		}
		if r.bad {
			break
		}
		dst = append(dst, s)
		last = s.relation
	}
	return dst
}

// A page is a number of parts, each of which is found by skipping those before;
// the parts at its end may be missing. A part's flag says that it stands elsewhere.
type pageWriter struct {
	heads []byte
	body  []byte
	parts int
}

func (p *pageWriter) reset() { p.heads, p.body, p.parts = p.heads[:0], p.body[:0], 0 }

// add adds a part as number at of its page, those left out being empty.
func (p *pageWriter) add(at int, part []byte, elsewhere bool) {
	for ; p.parts < at; p.parts++ {
		p.heads = append(p.heads, 0)
	}
	p.heads = binary.AppendUvarint(p.heads, uint64(len(part))<<1|flag(elsewhere))
	p.body = append(p.body, part...)
	p.parts++
}

func (p *pageWriter) bytes() []byte {
	b := binary.AppendUvarint(nil, uint64(p.parts))
	b = append(b, p.heads...)
	return append(b, p.body...)
}

// pagePart finds a part of a page, nil if it is empty.
func pagePart(page []byte, at int) (part []byte, elsewhere bool, err error) {
	r := reader{b: page}
	n := r.count()
	if at >= n {
		return nil, false, r.err()
	}
	var before, length uint64
	for i := range n {
		head := r.uint()
		if i < at {
			before += head >> 1
		} else if i == at {
			length, elsewhere = head>>1, head&1 == 1
		}
	}
	r.bytes(before)
	if part = r.bytes(length); len(part) == 0 {
		part = nil
	}
	return part, elsewhere, r.err()
}

// Front-coded ids: blocks of 16, each beginning with its length.
func appendIDs(b []byte, ids []string) []byte {
	var block []byte
	for len(ids) > 0 {
		n := min(restart, len(ids))
		block = block[:0]
		last := ""
		for _, id := range ids[:n] {
			same := common(last, id)
			block = binary.AppendUvarint(block, uint64(same))
			block = appendString(block, id[same:])
			last = id
		}
		b = binary.AppendUvarint(b, uint64(len(block)))
		b = append(b, block...)
		ids = ids[n:]
	}
	return b
}

func common(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// idAt decodes one id of a page into buf.
func idAt(page []byte, at int, buf []byte) ([]byte, error) {
	r := reader{b: page}
	for ; at >= restart; at -= restart {
		r.bytes(r.uint())
	}
	r.b = r.bytes(r.uint())
	buf = buf[:0]
	for range at + 1 {
		same := r.uint()
		if same > uint64(len(buf)) {
			return nil, errDamaged
		}
		buf = append(buf[:same], r.bytes(r.uint())...)
	}
	return buf, r.err()
}

// eachID calls f with the ids of a page in their order until it returns false.
func eachID(page []byte, f func(at int, id []byte) bool) error {
	r := reader{b: page}
	var buf []byte
	for at := 0; len(r.b) > 0; {
		block := reader{b: r.bytes(r.uint())}
		buf = buf[:0]
		for len(block.b) > 0 {
			same := block.uint()
			if same > uint64(len(buf)) {
				return errDamaged
			}
			buf = append(buf[:same], block.bytes(block.uint())...)
			if block.bad {
				return errDamaged
			}
			if !f(at, buf) {
				return nil
			}
			at++
		}
	}
	return r.err()
}

// How a value is packed: its first byte.
const (
	packedNot  = 0
	packedZstd = 1
	packedMany = 2 // the value is in that many further values
)

// valueMax keeps values where Badger stores them beside their keys.
const valueMax = 512 << 10

// packer compresses pages.
type packer struct {
	enc *zstd.Encoder
	buf []byte
}

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false), zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	return &packer{enc: enc}, nil
}

// pack gives the value of a page; it is valid until the next call.
func (p *packer) pack(page []byte, compress bool) []byte {
	if compress && len(page) > 64 {
		p.buf = p.enc.EncodeAll(page, append(p.buf[:0], packedZstd))
		if len(p.buf) < len(page)*7/8 {
			return p.buf
		}
	}
	p.buf = append(append(p.buf[:0], packedNot), page...)
	return p.buf
}

func unpack(dec *zstd.Decoder, value []byte) ([]byte, error) {
	if len(value) == 0 {
		return nil, errDamaged
	}
	switch value[0] {
	case packedNot:
		return value[1:], nil
	case packedZstd:
		page, err := dec.DecodeAll(value[1:], nil)
		if err != nil {
			return nil, errors.Join(errDamaged, err)
		}
		return page, nil
	}
	return nil, errDamaged
}
