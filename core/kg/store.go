package kg

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/klauspost/compress/zstd"

	"github.com/islm-dev/islm/sdk"
)

// Store is a finished graph, opened to be read. Any number of goroutines may use
// it, and any number of processes may open it.
type Store struct {
	dir    string
	header header
	db     *badger.DB
	dec    *zstd.Decoder
	cache  pageCache

	relations, types, sources []string
	relation                  map[string]uint32

	loadFirsts sync.Once
	firsts     []string // the first term of each page of ids
	firstsErr  error
}

// Open opens a store. All its files are checked first, at the speed of reading
// them; what is missing, torn or something else is a *sdk.DiagnosticsError.
func Open(dir string) (*Store, error) {
	head, err := readHeader(dir)
	if err != nil {
		return nil, err
	}
	return openPages(dir, head)
}

func openPages(dir string, head header) (*Store, error) {
	db, err := openBadger(dir)
	if err != nil {
		return nil, fmt.Errorf("open the knowledge graph %s: %w", dir, err)
	}
	s := &Store{dir: dir, header: head, db: db, relation: map[string]uint32{}}
	s.cache.init(head.Entities, head.Names)
	if s.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(1<<30)); err == nil {
		s.relations, err = s.strings("relations")
	}
	if err == nil {
		s.types, err = s.strings("types")
	}
	if err == nil {
		s.sources, err = s.strings("sources")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the knowledge graph %s: %w", dir, err), db.Close())
	}
	for i, r := range s.relations {
		s.relation[r] = uint32(i)
	}
	return s, nil
}

// Close frees what the store holds; it must not be used afterwards.
func (s *Store) Close() error {
	s.dec.Close()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close the knowledge graph %s: %w", s.dir, err)
	}
	return nil
}

// Stats says what the graph holds.
func (s *Store) Stats() Info { return s.header.Info }

// Digest is the sha256 of the graph's sorted canonical N-Triples, in hexadecimal.
func (s *Store) Digest() string { return s.header.Digest }

// Len is the number of entities.
func (s *Store) Len() int { return s.header.Entities }

// Relations lists the relations in alphabetical order.
func (s *Store) Relations() []string { return slices.Clone(s.relations) }

// Types lists the types of entities in alphabetical order.
func (s *Store) Types() []string { return slices.Clone(s.types) }

func (s *Store) strings(name string) ([]string, error) {
	page, err := s.value(append([]byte{'M'}, name...))
	if err != nil {
		return nil, err
	}
	return readStrings(page)
}

// value reads a page from Badger, nil if there is none.
func (s *Store) value(key []byte) ([]byte, error) {
	value, err := get(s.db, key)
	if err != nil || value == nil {
		return nil, err
	}
	if value[0] == packedMany {
		r := reader{b: value[1:]}
		n := int(r.uint())
		value = nil
		for i := range n {
			part, err := get(s.db, partKey(key, i))
			if err != nil {
				return nil, err
			}
			value = append(value, part...)
		}
	}
	return unpack(s.dec, value)
}

// page reads a page by kind and number.
func (s *Store) page(kind byte, n uint32) ([]byte, error) {
	if page, ok := s.cache.get(kind, n); ok {
		return page, nil
	}
	page, err := s.value(pageKey(kind, n))
	if err != nil {
		return nil, err
	}
	s.cache.put(kind, n, page)
	return page, nil
}

// pageCache keeps pages that were read: most are a few hundred bytes, so it seldom
// takes more than 100 MB. A slot holds the last page that fell on it; in a graph of
// up to a million entities no two pages share one.
type pageCache struct {
	small []atomic.Pointer[cachedPage]        // up to 2 KiB
	large [1 << 10]atomic.Pointer[cachedPage] // up to 32 KiB
	base  [256]uint32                         // of each kind its first slot
}

const cacheSlots = 1 << 18

type cachedPage struct {
	kind byte
	n    uint32
	page []byte
}

// init makes room for the pages of a graph.
func (c *pageCache) init(entities, names int) {
	total := 0
	for _, k := range []struct {
		kind  byte
		pages int
	}{{'D', entities/group + 1}, {'E', entities/textGroup + 1}, {'O', entities/group + 1}, {'N', 1 << bucketBits(names)}, {'I', entities/group + 1}, {'L', entities/textGroup + 1}} {
		c.base[k.kind] = uint32(total)
		total += k.pages
	}
	c.small = make([]atomic.Pointer[cachedPage], min(total, cacheSlots))
}

func (c *pageCache) slots(kind byte, n uint32) (small, large *atomic.Pointer[cachedPage]) {
	h := c.base[kind] + n
	return &c.small[h%uint32(len(c.small))], &c.large[h%uint32(len(c.large))]
}

func (c *pageCache) get(kind byte, n uint32) ([]byte, bool) {
	small, large := c.slots(kind, n)
	if p := small.Load(); p != nil && p.kind == kind && p.n == n {
		return p.page, true
	}
	if p := large.Load(); p != nil && p.kind == kind && p.n == n {
		return p.page, true
	}
	return nil, false
}

func (c *pageCache) put(kind byte, n uint32, page []byte) {
	small, large := c.slots(kind, n)
	switch {
	case len(page) <= 2<<10:
		small.Store(&cachedPage{kind, n, page})
	case len(page) <= 32<<10:
		large.Store(&cachedPage{kind, n, page})
	}
}

// ID gives the id of an entity by its number, 0 ≤ n < Len.
func (s *Store) ID(n uint32) (string, error) {
	var buf [128]byte
	id, err := s.appendID(buf[:0], n)
	return string(id), err
}

func (s *Store) appendID(buf []byte, n uint32) ([]byte, error) {
	if int(n) >= s.header.Entities {
		return nil, fmt.Errorf("the graph has no entity number %d", n)
	}
	page, err := s.page('D', n/group)
	if err != nil {
		return nil, err
	}
	return idAt(page, int(n%group), buf)
}

// Index gives the number of an entity.
func (s *Store) Index(id string) (uint32, bool, error) {
	s.loadFirsts.Do(s.readFirsts)
	if s.firstsErr != nil {
		return 0, false, s.firstsErr
	}
	t := term(id, iriID)
	at := sort.Search(len(s.firsts), func(i int) bool { return s.firsts[i] > t }) - 1
	if at < 0 {
		return 0, false, nil
	}
	page, err := s.page('D', uint32(at))
	if err != nil {
		return 0, false, err
	}
	found := -1
	err = eachID(page, func(i int, b []byte) bool {
		if string(b) == id {
			found = i
		}
		return found < 0
	})
	return uint32(at*group + found), found >= 0, err
}

func (s *Store) readFirsts() {
	pages := (s.Len() + group - 1) / group
	s.firsts = make([]string, 0, pages)
	for n := range uint32((pages + perIndex - 1) / perIndex) {
		page, err := s.value(pageKey('G', n))
		if err == nil {
			err = eachID(page, func(_ int, id []byte) bool {
				s.firsts = append(s.firsts, term(string(id), iriID))
				return true
			})
		}
		if err != nil {
			s.firstsErr = err
			return
		}
	}
}

// Entity gives an entity with its type, names and properties; false if there is
// none of that id.
func (s *Store) Entity(id string) (sdk.Entity, bool, error) {
	n, ok, err := s.Index(id)
	if err != nil || !ok {
		return sdk.Entity{}, false, err
	}
	e, err := s.EntityAt(n)
	return e, err == nil, err
}

// EntityAt gives an entity by its number.
func (s *Store) EntityAt(n uint32) (sdk.Entity, error) {
	id, err := s.ID(n)
	if err != nil {
		return sdk.Entity{}, err
	}
	e := sdk.Entity{ID: id}
	page, err := s.page('E', n/textGroup)
	if err != nil || page == nil {
		return e, err
	}
	part, _, err := pagePart(page, int(n%textGroup))
	if err != nil || part == nil {
		return e, err
	}
	r := reader{b: part}
	if t := r.uint(); t > 0 {
		if t > uint64(len(s.types)) {
			return e, errDamaged
		}
		e.Type = s.types[t-1]
	}
	for range r.count() {
		e.Names = append(e.Names, r.string())
	}
	if n := r.count(); n > 0 {
		e.Props = make(map[string]string, n)
		for range n {
			key := r.string()
			e.Props[key] = r.string()
		}
	}
	return e, r.err()
}

// Entities yields all entities by number.
func (s *Store) Entities() iter.Seq2[sdk.Entity, error] {
	return func(yield func(sdk.Entity, error) bool) {
		for n := range uint32(s.Len()) {
			e, err := s.EntityAt(n)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// ByName gives the ids of the entities of a name. Case is of no consequence, but
// those that have the name as it is written come first.
func (s *Store) ByName(name string) ([]string, error) {
	if s.header.Names == 0 {
		return nil, nil
	}
	folded := foldName(nil, []byte(name))
	h := nameHash(folded)
	page, err := s.page('N', uint32(h>>32>>(32-bucketBits(s.header.Names))))
	if err != nil {
		return nil, err
	}
	var exact, rest []string
	var buf []byte
	for r := (reader{b: page}); len(r.b) > 0; {
		mark := r.bytes(4)
		n := uint32(r.uint())
		if r.bad {
			return nil, errDamaged
		}
		if uint32(mark[0])|uint32(mark[1])<<8|uint32(mark[2])<<16|uint32(mark[3])<<24 != uint32(h) {
			continue
		}
		e, err := s.EntityAt(n)
		if err != nil {
			return nil, err
		}
		if slices.Contains(e.Names, name) {
			exact = append(exact, e.ID)
		} else if slices.ContainsFunc(e.Names, func(n string) bool { buf = foldName(buf, []byte(n)); return bytes.Equal(buf, folded) }) {
			rest = append(rest, e.ID)
		}
	}
	return append(exact, rest...), nil
}

// edges reads the facts of an entity with another one: kind O as subject, I as
// object.
func (s *Store) edges(kind byte, n uint32, dst []edge) ([]edge, error) {
	page, err := s.page(kind, n/group)
	if err != nil || page == nil {
		return dst, err
	}
	part, elsewhere, err := pagePart(page, int(n%group))
	if err != nil || part == nil {
		return dst, err
	}
	r := reader{b: part}
	if !elsewhere {
		dst = r.edges(dst)
		return dst, r.err()
	}
	r.uint()
	for c := range uint32(r.uint()) {
		page, err := s.value(chunkKey(kind|0x20, n, c))
		if err != nil {
			return dst, err
		}
		r := reader{b: page}
		dst = r.edges(dst)
		if err := r.err(); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// degree counts the facts of an entity with others, as subject (O) or object (I).
func (s *Store) degree(kind byte, n uint32) (int, error) {
	page, err := s.page(kind, n/group)
	if err != nil || page == nil {
		return 0, err
	}
	part, _, err := pagePart(page, int(n%group))
	if err != nil || part == nil {
		return 0, err
	}
	r := reader{b: part}
	return int(r.uint()), r.err()
}

func (s *Store) statements(n uint32) ([]statement, error) {
	page, err := s.page('L', n/textGroup)
	if err != nil || page == nil {
		return nil, err
	}
	part, _, err := pagePart(page, int(n%textGroup))
	if err != nil || part == nil {
		return nil, err
	}
	r := reader{b: part}
	list := r.statements(nil)
	return list, r.err()
}

func (s *Store) source(n uint32) string {
	if n == 0 || int(n) > len(s.sources) {
		return ""
	}
	return s.sources[n-1]
}

func (s *Store) relationName(n uint32) string {
	if int(n) >= len(s.relations) {
		return ""
	}
	return s.relations[n]
}

// BySubject gives the facts about an entity, ordered by relation, then those with
// an object before those with a literal. An unknown id has none.
func (s *Store) BySubject(id string) ([]sdk.Fact, error) {
	n, ok, err := s.Index(id)
	if err != nil || !ok {
		return nil, err
	}
	return s.factsOf(n, id)
}

func (s *Store) factsOf(n uint32, id string) ([]sdk.Fact, error) {
	var few [16]edge
	edges, err := s.edges('O', n, few[:0])
	if err != nil {
		return nil, err
	}
	texts, err := s.statements(n)
	if err != nil || len(edges)+len(texts) == 0 {
		return nil, err
	}
	facts := make([]sdk.Fact, 0, len(edges)+len(texts))
	for _, e := range edges {
		object, err := s.ID(e.other)
		if err != nil {
			return nil, err
		}
		facts = append(facts, sdk.Fact{Subject: id, Relation: s.relationName(e.relation), Object: object, Source: s.source(e.source), Weight: e.weight})
	}
	for _, t := range texts {
		facts = append(facts, sdk.Fact{Subject: id, Relation: s.relationName(t.relation), Literal: t.text, Source: s.source(t.source), Weight: t.weight})
	}
	if len(edges) > 0 && len(texts) > 0 {
		slices.SortStableFunc(facts, func(a, b sdk.Fact) int { return cmp.Compare(a.Relation, b.Relation) })
	}
	return facts, nil
}

// ByObject gives the facts whose object is an entity, ordered by relation and
// subject. An unknown id has none.
func (s *Store) ByObject(id string) ([]sdk.Fact, error) {
	n, ok, err := s.Index(id)
	if err != nil || !ok {
		return nil, err
	}
	return s.factsAbout(n, id)
}

func (s *Store) factsAbout(n uint32, id string) ([]sdk.Fact, error) {
	var few [16]edge
	edges, err := s.edges('I', n, few[:0])
	if err != nil || len(edges) == 0 {
		return nil, err
	}
	facts := make([]sdk.Fact, 0, len(edges))
	for _, e := range edges {
		subject, err := s.ID(e.other)
		if err != nil {
			return nil, err
		}
		facts = append(facts, sdk.Fact{Subject: subject, Relation: s.relationName(e.relation), Object: id, Source: s.source(e.source), Weight: e.weight})
	}
	return facts, nil
}

// numbers reads a list in parts.
func (s *Store) numbers(kind byte, n uint32) ([]uint32, error) {
	var list []uint32
	for c := uint32(0); ; c++ {
		page, err := s.value(chunkKey(kind, n, c))
		if err != nil || page == nil {
			return list, err
		}
		r := reader{b: page}
		last := uint32(0)
		for range r.count() {
			last += uint32(r.uint())
			list = append(list, last)
		}
		if err := r.err(); err != nil {
			return nil, err
		}
	}
}

// ByRelation yields the facts of a relation, ordered by subject.
func (s *Store) ByRelation(relation string) iter.Seq2[sdk.Fact, error] {
	return func(yield func(sdk.Fact, error) bool) {
		r, ok := s.relation[relation]
		if !ok {
			return
		}
		pages, err := s.numbers('R', r)
		if err == nil {
			var more []uint32
			more, err = s.numbers('Q', r)
			pages = append(pages, more...)
		}
		if err != nil {
			yield(sdk.Fact{}, err)
			return
		}
		slices.Sort(pages)
		for _, page := range slices.Compact(pages) {
			for n := page * group; n < min(page*group+group, uint32(s.Len())); n++ {
				if !s.yieldFacts(n, relation, yield) {
					return
				}
			}
		}
	}
}

// yieldFacts yields the facts about one entity; relation "" means all.
func (s *Store) yieldFacts(n uint32, relation string, yield func(sdk.Fact, error) bool) bool {
	id, err := s.ID(n)
	var facts []sdk.Fact
	if err == nil {
		facts, err = s.factsOf(n, id)
	}
	if err != nil {
		yield(sdk.Fact{}, err)
		return false
	}
	for _, f := range facts {
		if (relation == "" || f.Relation == relation) && !yield(f, nil) {
			return false
		}
	}
	return true
}

// Facts yields all facts, ordered by subject.
func (s *Store) Facts() iter.Seq2[sdk.Fact, error] {
	return func(yield func(sdk.Fact, error) bool) {
		for n := range uint32(s.Len()) {
			if !s.yieldFacts(n, "", yield) {
				return
			}
		}
	}
}

// Triple is a fact between two entities, by number; Relation counts in Relations.
type Triple struct{ Subject, Relation, Object uint32 }

// Triples yields the facts whose object is an entity, ordered by subject, relation
// and object.
func (s *Store) Triples() iter.Seq2[Triple, error] {
	return func(yield func(Triple, error) bool) {
		var edges []edge
		var err error
		for n := range uint32(s.Len()) {
			if edges, err = s.edges('O', n, edges[:0]); err != nil {
				yield(Triple{}, err)
				return
			}
			for _, e := range edges {
				if !yield(Triple{n, e.relation, e.other}, nil) {
					return
				}
			}
		}
	}
}

// OfType yields the ids of the entities of a type.
func (s *Store) OfType(typ string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		t, ok := slices.BinarySearch(s.types, typ)
		if !ok {
			return
		}
		numbers, err := s.numbers('T', uint32(t))
		if err != nil {
			yield("", err)
			return
		}
		for _, n := range numbers {
			id, err := s.ID(n)
			if !yield(id, err) || err != nil {
				return
			}
		}
	}
}
