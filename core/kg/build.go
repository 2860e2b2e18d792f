package kg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/islm-dev/islm/core/kg/source"
	"github.com/islm-dev/islm/sdk"
)

// BuildOptions say how a store is built. The zero value takes any stream.
type BuildOptions struct {
	// Complete says that the stream names every entity once and before the facts,
	// as those of source.Open and source.Items do. Other streams are brought into
	// that order first.
	Complete bool
	// TempDir is the folder for temporary files, "" the one in which the store is
	// made.
	TempDir string
	// Progress is told how many facts have been read, now and then. It may be nil.
	Progress func(facts int)
}

// Info says what a graph holds.
type Info struct {
	Format   string `json:"format"` // "islm.kg/1"
	Digest   string `json:"digest"` // sha256 of the sorted canonical N-Triples, in hexadecimal
	Domain   string `json:"domain,omitempty"`
	Entities int    `json:"entities"`
	Facts    int    `json:"facts"` // that differ in subject, relation, object or literal
	Names    int    `json:"names"` // of all entities together
}

// Part is the knowledge of one domain.
type Part struct {
	Domain string
	Items  iter.Seq2[sdk.FactItem, error]
}

// Join puts the knowledge of several domains into one stream. The ids of entities
// become DOMAIN/ID, so that no domain's entity is mistaken for another's; relations,
// types and names stay. The stream is not Complete.
func Join(parts ...Part) iter.Seq2[sdk.FactItem, error] {
	return func(yield func(sdk.FactItem, error) bool) {
		for _, p := range parts {
			in := func(id string) string { return p.Domain + "/" + id }
			for it, err := range p.Items {
				if it.Entity != nil {
					e := *it.Entity
					e.ID = in(e.ID)
					it.Entity = &e
				}
				if it.Fact != nil {
					f := *it.Fact
					f.Subject = in(f.Subject)
					if f.Object != "" {
						f.Object = in(f.Object)
					}
					it.Fact = &f
				}
				if !yield(it, err) {
					return
				}
			}
		}
	}
}

// Build makes a store of a stream of entities and facts in a folder that does not
// exist yet, or is empty. It works in a folder beside it that ends in .tmp, which
// becomes dir at last by a rename. Where another builder of the same graph was
// faster, its store is used.
//
// Facts that agree in subject, relation and object are one fact, with the highest
// of their weights. Problems of the content are a *sdk.DiagnosticsError; the first
// error of the stream ends building. Memory is bounded but for some 40 bytes an
// entity; the rest is sorted in temporary files of about 100 bytes a fact.
func Build(ctx context.Context, dir, domain string, items iter.Seq2[sdk.FactItem, error], opt BuildOptions) (info *Info, err error) {
	dir = filepath.Clean(dir)
	if err := vacant(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("make folder for the graph: %w", err)
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".*.tmp")
	if err != nil {
		return nil, fmt.Errorf("make folder for the graph: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }()
	if err := os.Chmod(made, 0o755); err != nil {
		return nil, fmt.Errorf("make folder for the graph: %w", err)
	}
	temp := opt.TempDir
	if temp == "" {
		temp = filepath.Dir(dir)
	}
	if temp, err = os.MkdirTemp(temp, filepath.Base(dir)+".sort.*.tmp"); err != nil {
		return nil, fmt.Errorf("make temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	if !opt.Complete {
		items = source.Items(ctx, items, source.Options{TempDir: temp})
	}
	w, err := newWriter(made)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.abort()) }()
	b := &builder{ctx: ctx, w: w, temp: temp, opt: opt, relations: map[string]uint32{}, sources: map[string]uint32{"": 0}, types: map[string]uint32{},
		entities: recordSorter{dir: temp, name: "entities"}}
	if err := b.read(items); err != nil {
		return nil, err
	}
	if err := b.finish(); err != nil {
		return nil, err
	}
	if err := w.close(made); err != nil {
		return nil, err
	}
	info = &Info{Format: Format, Domain: domain, Entities: b.count, Facts: b.factCount, Names: b.names}
	if err := seal(ctx, made, info); err != nil {
		return nil, err
	}
	if err := os.Rename(made, dir); err != nil {
		// Another builder may have been faster.
		other, operr := Open(dir)
		if operr != nil {
			return nil, fmt.Errorf("name the finished graph: %w", err)
		}
		if err := other.Close(); err != nil {
			return nil, err
		}
		if other.Digest() != info.Digest {
			return nil, occupied(dir)
		}
	}
	return info, nil
}

// vacant says that nothing would be overwritten.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at the folder for the graph: %w", err)
	case len(entries) > 0:
		return occupied(dir)
	}
	// An empty folder makes room for the rename.
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("make room for the graph: %w", err)
	}
	return nil
}

func occupied(dir string) error {
	return &sdk.DiagnosticsError{Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "kg.occupied", File: dir,
		Summary: "the folder is not empty", Remedy: "name another folder, or remove this one first"}}}
}

type builder struct {
	ctx  context.Context
	w    *writer
	temp string
	opt  BuildOptions

	entities recordSorter
	ids      *idTable
	count    int // of entities
	names    int
	ds       sdk.Diagnostics

	types     map[string]uint32
	relations map[string]uint32
	sources   map[string]uint32 // "" is 0
	facts     int               // read
	links     *tape             // facts with an object, in the order of the input
	texts     *tape             // facts with a literal

	factCount int // that differ
	lists     []namedList
}

// read takes the stream to temporary files.
func (b *builder) read(items iter.Seq2[sdk.FactItem, error]) (err error) {
	if b.links, err = newTape(b.temp, "links"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.links.file.Close())
		}
	}()
	if b.texts, err = newTape(b.temp, "texts"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.texts.file.Close())
		}
	}()
	n := 0
	for it, err := range items {
		if err != nil {
			return err
		}
		if n++; n&0xfff == 0 {
			if err := b.ctx.Err(); err != nil {
				return err
			}
		}
		switch {
		case it.Entity != nil && it.Fact == nil:
			err = b.entity(it.Entity)
		case it.Fact != nil && it.Entity == nil:
			err = b.fact(it.Fact)
		default:
			b.problem("an item is either an entity or a fact")
		}
		if err != nil {
			return err
		}
		if len(b.ds) >= maxProblems {
			break
		}
	}
	if b.ids == nil {
		if err := b.number(); err != nil {
			return err
		}
	}
	return b.ds.Err()
}

// maxProblems ends reading.
const maxProblems = 100

func (b *builder) problem(format string, args ...any) {
	b.ds.Add(sdk.Diagnostic{Code: "kg.item", Summary: fmt.Sprintf(format, args...), Source: sdk.FromData})
}

func intern(m map[string]uint32, s string) uint32 {
	n, ok := m[s]
	if !ok {
		n = uint32(len(m))
		m[strings.Clone(s)] = n
	}
	return n
}

// entity adds a record: its key is the term, its value id, type, names and
// properties.
func (b *builder) entity(e *sdk.Entity) error {
	switch {
	case b.ids != nil:
		b.problem("entity %q comes after the first fact", e.ID)
		return nil
	case e.ID == "":
		b.problem("an entity has no id")
		return nil
	case !utf8.ValidString(e.ID):
		b.problem("the id %q is not UTF-8", e.ID)
		return nil
	}
	value := appendString(nil, e.ID)
	if e.Type == "" {
		value = append(value, 0)
	} else {
		value = binary.AppendUvarint(value, uint64(intern(b.types, e.Type))+1)
	}
	value = binary.AppendUvarint(value, uint64(len(e.Names)))
	for _, n := range e.Names {
		value = appendString(value, n)
	}
	value = binary.AppendUvarint(value, uint64(len(e.Props)))
	for _, k := range slices.Sorted(maps.Keys(e.Props)) {
		value = appendString(value, k)
		value = appendString(value, e.Props[k])
	}
	b.count++
	return b.entities.add([]byte(term(e.ID, iriID)), value)
}

// fact writes a fact with the numbers of its parts; those of relations and sources
// are not final yet.
func (b *builder) fact(f *sdk.Fact) error {
	if b.ids == nil {
		if err := b.number(); err != nil {
			return err
		}
	}
	if b.facts++; b.opt.Progress != nil && b.facts%100_000 == 0 {
		b.opt.Progress(b.facts)
	}
	from, ok := b.ids.find(f.Subject)
	if !ok {
		b.problem("the subject %q of a fact is no entity", f.Subject)
		return nil
	}
	if f.Relation == "" || (f.Object == "") == (f.Literal == "") {
		b.problem("a fact of %q needs a relation and either an object or a literal", f.Subject)
		return nil
	}
	l := link{from: from, relation: intern(b.relations, f.Relation), source: intern(b.sources, f.Source), weight: f.Weight}
	var buf [linkBytes]byte
	if f.Object != "" {
		if l.to, ok = b.ids.find(f.Object); !ok {
			b.problem("the object %q of a fact is no entity", f.Object)
			return nil
		}
		return b.links.write(l.append(buf[:0]))
	}
	l.to = uint32(len(f.Literal))
	if err := b.texts.write(l.append(buf[:0])); err != nil {
		return err
	}
	return b.texts.write([]byte(f.Literal))
}

// ranks gives for each number of a dictionary the place of its string in the
// order, and the strings in that order.
func ranks(m map[string]uint32) ([]uint32, []string) {
	sorted := slices.Sorted(maps.Keys(m))
	rank := make([]uint32, len(sorted))
	for i, s := range sorted {
		rank[m[s]] = uint32(i)
	}
	return rank, sorted
}
