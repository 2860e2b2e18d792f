package kg

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/augment/gazetteer"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// CompileOptions say what a view keeps of a graph.
type CompileOptions struct {
	// Facts bounds the facts of an entity, the weightiest being kept; 0 means 32.
	// Those that say what kind of thing it is (is_a and its like) are kept beyond.
	Facts int
	// Vectors is a safetensors file with the vectors of entities: the tensor
	// "entities", float32 [n, d], in the order of the store. "" means none.
	Vectors string
	// VectorIDs is a text file with the entity of each row of Vectors, one id a
	// line, where the rows are not those of the store. Entities without a row get
	// zeros.
	VectorIDs string
	// Gazetteer says how names are found; nil folds case, width and space, keeps to
	// the boundaries of words and finds regular plurals.
	Gazetteer *gazetteer.Options
}

// Compile writes the view of a store to a file. The file appears at last, by a
// rename; equal stores and options give equal bytes.
func Compile(ctx context.Context, s *Store, file string, opt CompileOptions) (err error) {
	if s.Len() > math.MaxInt32 {
		return fmt.Errorf("a view holds at most %d entities, the graph has %d", math.MaxInt32, s.Len())
	}
	c := &compiler{s: s, opt: opt, most: cmp.Or(max(opt.Facts, 0), 32)}
	if err := c.entities(ctx); err != nil {
		return err
	}
	vectors, err := c.vectors()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vectors.close()) }()
	temp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.tmp")
	if err != nil {
		return fmt.Errorf("compile the graph: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("compile the graph: %w", err), temp.Close(), os.Remove(temp.Name()))
		}
	}()
	if err := c.write(temp, vectors); err != nil {
		return err
	}
	if err := errors.Join(temp.Chmod(0o644), temp.Sync()); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}

type compiler struct {
	s    *Store
	opt  CompileOptions
	most int

	up []bool // of each relation whether it is parental

	idAt, nameAt, nameEnds, typeOf, factAt, facts, textAt, degree []uint32
	ids, names, texts                                             []byte
}

// place gives the length of a section as a place within it.
func place(n int) (uint32, error) {
	if n > math.MaxUint32 {
		return 0, errors.New("the graph is too large for a view: names, ids and literals have at most 4 GiB each")
	}
	return uint32(n), nil
}

func (c *compiler) entities(ctx context.Context) error {
	c.idAt, c.nameAt, c.nameEnds, c.factAt, c.textAt = []uint32{0}, []uint32{0}, []uint32{0}, []uint32{0}, []uint32{0}
	for _, name := range c.s.relations {
		c.up = append(c.up, parental(name))
	}
	for n := range uint32(c.s.Len()) {
		if n&0xfff == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		e, err := c.s.EntityAt(n)
		if err != nil {
			return err
		}
		c.ids = append(c.ids, e.ID...)
		for _, name := range e.Names {
			c.names = append(c.names, name...)
			at, err := place(len(c.names))
			if err != nil {
				return err
			}
			c.nameEnds = append(c.nameEnds, at)
		}
		typ, ok := slices.BinarySearch(c.s.types, e.Type)
		if !ok {
			typ = -1
		}
		c.typeOf = append(c.typeOf, uint32(int32(typ)))
		if err := c.factsOf(n); err != nil {
			return err
		}
		at, err := place(len(c.ids))
		if err != nil {
			return err
		}
		c.idAt = append(c.idAt, at)
		c.nameAt = append(c.nameAt, uint32(len(c.nameEnds)-1))
		c.factAt = append(c.factAt, uint32(len(c.facts)/factWords))
	}
	return nil
}

// factsOf adds the weightiest facts of an entity.
func (c *compiler) factsOf(n uint32) error {
	type candidate struct {
		relation uint32
		object   int32
		text     string
		weight   float64
	}
	edges, err := c.s.edges('O', n, nil)
	if err != nil {
		return err
	}
	texts, err := c.s.statements(n)
	if err != nil {
		return err
	}
	in, err := c.s.degree('I', n)
	if err != nil {
		return err
	}
	c.degree = append(c.degree, uint32(min(len(edges)+len(texts)+in, math.MaxInt32)))
	var list []candidate
	for _, e := range edges {
		list = append(list, candidate{e.relation, int32(e.other), "", effective(e.weight)})
	}
	for _, x := range texts {
		list = append(list, candidate{x.relation, -1, x.text, effective(x.weight)})
	}
	// Objects come in their order and before literals, literals in theirs.
	slices.SortStableFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.relation, b.relation))
	})
	for i, f := range list {
		if i >= c.most && (f.object < 0 || !c.up[f.relation]) {
			continue
		}
		text := uint32(0)
		if f.object < 0 {
			text = uint32(len(c.textAt) - 1)
			c.texts = append(c.texts, f.text...)
			at, err := place(len(c.texts))
			if err != nil {
				return err
			}
			c.textAt = append(c.textAt, at)
		}
		c.facts = append(c.facts, f.relation, uint32(f.object), text, math.Float32bits(float32(f.weight)))
	}
	return nil
}

func (c *compiler) id(n uint32) string { return string(c.ids[c.idAt[n]:c.idAt[n+1]]) }

// vectorRows are the vectors of a file, by entity.
type vectorRows struct {
	file *safetensors.File
	data []byte
	dim  int
	row  map[uint32]int // of each entity; nil: row n is entity n
}

func (r *vectorRows) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

func (c *compiler) vectors() (*vectorRows, error) {
	r := &vectorRows{}
	if c.opt.Vectors == "" {
		return r, nil
	}
	fault := func(format string, args ...any) error {
		return &sdk.DiagnosticsError{Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "kg.vectors", File: c.opt.Vectors,
			Summary: fmt.Sprintf(format, args...), Remedy: "give the vectors that 'islm kg embed' learned of this graph"}}}
	}
	var err error
	if r.file, err = safetensors.Open(c.opt.Vectors); err != nil {
		return nil, fault("the vectors cannot be read: %v", err)
	}
	e, ok := r.file.Entry("entities")
	if !ok || e.DType != "F32" || len(e.Shape) != 2 || e.Shape[1] < 1 || e.Shape[1] > 1<<16 {
		return nil, errors.Join(fault("the vectors have no tensor \"entities\" of float32 [n, d]"), r.file.Close())
	}
	r.data, r.dim = e.Data, int(e.Shape[1])
	rows := int(e.Shape[0])
	if c.opt.VectorIDs == "" {
		if rows != c.s.Len() {
			return nil, errors.Join(fault("there are %d vectors for %d entities", rows, c.s.Len()), r.file.Close())
		}
		return r, nil
	}
	raw, err := os.ReadFile(c.opt.VectorIDs)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the ids of vectors: %w", err), r.file.Close())
	}
	r.row = map[uint32]int{}
	at := 0
	for line := range strings.Lines(string(raw)) {
		n, ok, err := c.s.Index(strings.TrimRight(line, "\r\n"))
		if err != nil {
			return nil, errors.Join(err, r.file.Close())
		}
		if ok {
			r.row[n] = at
		}
		at++
	}
	if at != rows {
		return nil, errors.Join(fault("there are %d vectors for %d ids", rows, at), r.file.Close())
	}
	return r, nil
}

// write writes header and sections.
func (c *compiler) write(f *os.File, vectors *vectorRows) error {
	byID := make([]uint32, c.s.Len())
	for i := range byID {
		byID[i] = uint32(i)
	}
	slices.SortFunc(byID, func(a, b uint32) int { return cmp.Compare(c.id(a), c.id(b)) })
	opt := gazetteer.Options{FoldCase: true, FoldWidth: true, Words: true, FoldSpace: true, Plurals: true}
	if c.opt.Gazetteer != nil {
		opt = *c.opt.Gazetteer
	}
	names, err := gazetteer.Build(func(yield func(string, uint32) bool) {
		for n := range uint32(c.s.Len()) {
			for k := c.nameAt[n]; k < c.nameAt[n+1]; k++ {
				if !yield(string(c.names[c.nameEnds[k]:c.nameEnds[k+1]]), n) {
					return
				}
			}
		}
	}, opt).AppendBinary(nil)
	if err != nil {
		return err
	}
	header := make([]byte, viewHeader)
	copy(header, viewMagic)
	le := binary.LittleEndian
	le.PutUint32(header[8:], viewVersion)
	le.PutUint32(header[16:], uint32(c.s.Len()))
	le.PutUint32(header[20:], uint32(vectors.dim))
	digest, err := hex.DecodeString(c.s.Digest())
	if err != nil {
		return err
	}
	copy(header[24:56], digest)
	if _, err := f.Write(header); err != nil {
		return err
	}
	w := &sectionWriter{w: bufio.NewWriterSize(f, 1<<20), at: viewHeader, header: header}
	w.words(secIDAt, c.idAt)
	w.bytes(secIDs, c.ids)
	w.words(secByID, byID)
	w.words(secNameAt, c.nameAt)
	w.words(secNameEnds, c.nameEnds)
	w.bytes(secNames, c.names)
	w.words(secTypeOf, c.typeOf)
	w.bytes(secTypes, appendStrings(nil, c.s.types))
	w.bytes(secRelations, appendStrings(nil, c.s.relations))
	w.words(secFactAt, c.factAt)
	w.words(secFacts, c.facts)
	w.words(secTextAt, c.textAt)
	w.bytes(secTexts, c.texts)
	w.words(secDegree, c.degree)
	w.bytes(secGazetteer, names)
	w.begin(secVectors)
	zero := make([]byte, 4*vectors.dim)
	for n := range c.s.Len() {
		row, ok := n, true
		if vectors.row != nil {
			row, ok = vectors.row[uint32(n)]
		}
		if ok && vectors.dim > 0 {
			w.put(vectors.data[row*4*vectors.dim : (row+1)*4*vectors.dim])
		} else {
			w.put(zero)
		}
	}
	w.end(secVectors)
	if err := errors.Join(w.err, w.w.Flush()); err != nil {
		return err
	}
	// The checksum covers the table of sections, which is known only now.
	if _, err := f.WriteAt(header, 0); err != nil {
		return err
	}
	h := crc32.New(castagnoli)
	if _, err := io.Copy(h, io.NewSectionReader(f, 16, math.MaxInt64-16)); err != nil {
		return err
	}
	_, err = f.WriteAt(le.AppendUint32(nil, h.Sum32()), 12)
	return err
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// sectionWriter writes sections one after the other and notes their places.
type sectionWriter struct {
	w      *bufio.Writer
	at     uint64
	header []byte
	err    error
}

func (w *sectionWriter) begin(section int) {
	w.put(make([]byte, (8-w.at%8)%8))
	binary.LittleEndian.PutUint64(w.header[64+16*section:], w.at)
}

func (w *sectionWriter) end(section int) {
	binary.LittleEndian.PutUint64(w.header[72+16*section:], w.at-binary.LittleEndian.Uint64(w.header[64+16*section:]))
}

func (w *sectionWriter) put(b []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
	w.at += uint64(len(b))
}

func (w *sectionWriter) bytes(section int, b []byte) {
	w.begin(section)
	w.put(b)
	w.end(section)
}

func (w *sectionWriter) words(section int, list []uint32) {
	w.begin(section)
	var b [4]byte
	for _, v := range list {
		binary.LittleEndian.PutUint32(b[:], v)
		w.put(b[:])
	}
	w.end(section)
}
