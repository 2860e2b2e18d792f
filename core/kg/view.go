package kg

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sort"
	"unsafe"

	"github.com/islm-dev/islm/augment/gazetteer"
	"github.com/islm-dev/islm/sdk"
)

// A view is one file of little-endian numbers: a header of viewHeader bytes
// (magic, version, CRC-32C of all that follows it, number of entities, size of
// vectors, digest of the graph, place and length of each section), then the
// sections, each at a multiple of eight.
const (
	viewMagic   = "ISLMVIEW"
	viewVersion = 1
	viewHeader  = 64 + 16*sections
	// ViewName is the name of a view in a folder that OpenView is given.
	ViewName = "view.islmkg"
)

// The sections of a view.
const (
	secIDAt      = iota // n+1 places in secIDs
	secIDs              // bytes
	secByID             // n numbers, ordered by id
	secNameAt           // n+1 places in secNameEnds
	secNameEnds         // N+1 places in secNames
	secNames            // bytes
	secTypeOf           // n types, -1 for none
	secTypes            // count and strings, each with its length, as uvarints
	secRelations        // as secTypes
	secFactAt           // n+1 places in secFacts
	secFacts            // of each fact relation, object or -1, literal or 0, weight as float32
	secTextAt           // T+1 places in secTexts
	secTexts            // bytes
	secDegree           // n numbers of facts
	secGazetteer        // of package gazetteer
	secVectors          // n times dim float32
	sections
)

const factWords = 4

// View is a compiled graph: what is needed to find entities in text and to say
// what is known about them. It is memory-mapped and read-only; any number of
// goroutines may use it. Entities are numbered as in the store, from 0.
type View struct {
	n, dim    int
	digest    string
	types     []string
	relations []string

	idAt, byID, nameAt, nameEnds, typeOf, factAt, facts, textAt, degree []uint32
	ids, names, texts                                                   []byte
	vectors                                                             []float32
	gazetteer                                                           *gazetteer.Matcher
	unmap                                                               func() error
}

// ViewEntity is an entity of a view.
type ViewEntity struct {
	ID    string
	Type  string   // "" for none
	Names []string // the preferred one first
}

// ViewFact is a fact about an entity, in words.
type ViewFact struct {
	Relation string
	Object   string  // the object's preferred name, its id if it has none, or the literal
	Entity   int32   // the object, -1 for a literal
	Weight   float64 // 1 where the graph says nothing
}

// OpenView maps a view, given the file or the folder in which it is ViewName. All
// of it is read and checked: what is torn or something else is a
// *sdk.DiagnosticsError.
func OpenView(file string) (*View, error) {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, ViewName)
	}
	data, unmap, err := mapFile(file)
	if err != nil {
		code := "kg.unreadable"
		if errors.Is(err, fs.ErrNotExist) {
			code = "kg.missing"
		}
		return nil, viewFault(code, file, "the compiled view of the graph cannot be opened: %v", err)
	}
	v, err := parseView(data)
	if err != nil {
		code := "kg.damaged"
		if errors.Is(err, errForeign) {
			code = "kg.foreign"
		}
		return nil, errors.Join(viewFault(code, file, "%v", err), unmap())
	}
	v.unmap = unmap
	return v, nil
}

var errForeign = errors.New("the file is no compiled view of a graph")

func viewFault(code, file, format string, args ...any) error {
	return &sdk.DiagnosticsError{Fatal: true, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: code, File: file,
		Summary: fmt.Sprintf(format, args...), Remedy: "compile it again from the graph"}}}
}

// Close gives the memory back. Strings and facts that the view gave stay valid,
// vectors and the gazetteer do not.
func (v *View) Close() error { return v.unmap() }

// parseView checks a view: every place that a number leads to exists.
func parseView(data []byte) (*View, error) {
	le := binary.LittleEndian
	if len(data) < viewHeader || string(data[:8]) != viewMagic {
		return nil, errForeign
	}
	if version := le.Uint32(data[8:]); version != viewVersion {
		return nil, fmt.Errorf("the view has version %d, this program reads %d", version, viewVersion)
	}
	if crc32.Checksum(data[16:], castagnoli) != le.Uint32(data[12:]) {
		return nil, errors.New("the view is damaged: its checksum does not fit")
	}
	v := &View{n: int(le.Uint32(data[16:])), dim: int(le.Uint32(data[20:])), digest: hex.EncodeToString(data[24:56])}
	var parts [sections][]byte
	for i := range parts {
		at, size := le.Uint64(data[64+16*i:]), le.Uint64(data[72+16*i:])
		if at%8 != 0 || at > uint64(len(data)) || size > uint64(len(data))-at {
			return nil, fmt.Errorf("the view is damaged: section %d lies outside", i)
		}
		parts[i] = data[at : at+size : at+size]
	}
	for i, to := range map[int]*[]uint32{secIDAt: &v.idAt, secByID: &v.byID, secNameAt: &v.nameAt, secNameEnds: &v.nameEnds, secTypeOf: &v.typeOf,
		secFactAt: &v.factAt, secFacts: &v.facts, secTextAt: &v.textAt, secDegree: &v.degree} {
		if len(parts[i])%4 != 0 {
			return nil, fmt.Errorf("the view is damaged: section %d has %d bytes", i, len(parts[i]))
		}
		*to = words[uint32](parts[i], func(b []byte) uint32 { return le.Uint32(b) })
	}
	v.ids, v.names, v.texts = parts[secIDs], parts[secNames], parts[secTexts]
	v.vectors = words[float32](parts[secVectors], func(b []byte) float32 { return math.Float32frombits(le.Uint32(b)) })
	var err error
	if v.types, err = readStrings(parts[secTypes]); err == nil {
		v.relations, err = readStrings(parts[secRelations])
	}
	if err == nil {
		err = v.check()
	}
	if err == nil {
		v.gazetteer, err = gazetteer.Open(parts[secGazetteer])
	}
	if err != nil {
		return nil, fmt.Errorf("the view is damaged: %w", err)
	}
	return v, nil
}

// words gives bytes as numbers of four bytes, without a copy where the machine is
// little-endian; sections lie at multiples of eight.
func words[T uint32 | float32](b []byte, decode func([]byte) T) []T {
	if len(b) == 0 {
		return nil
	}
	first := (*T)(unsafe.Pointer(unsafe.SliceData(b)))
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 && uintptr(unsafe.Pointer(first))%4 == 0 {
		return unsafe.Slice(first, len(b)/4)
	}
	out := make([]T, len(b)/4)
	for i := range out {
		out[i] = decode(b[4*i:])
	}
	return out
}

func readStrings(b []byte) ([]string, error) {
	r := reader{b: b}
	list := make([]string, r.count())
	for i := range list {
		list[i] = r.string()
	}
	return list, r.err()
}

func (v *View) check() error {
	n := v.n
	for _, at := range []struct {
		what   string
		list   []uint32
		length int // of list, -1 for any
		end    int // that it leads to
	}{{"ids", v.idAt, n + 1, len(v.ids)}, {"names", v.nameAt, n + 1, len(v.nameEnds) - 1}, {"texts of names", v.nameEnds, -1, len(v.names)},
		{"facts", v.factAt, n + 1, len(v.facts) / factWords}, {"literals", v.textAt, -1, len(v.texts)}} {
		if len(at.list) < 1 || at.length >= 0 && len(at.list) != at.length || at.list[0] != 0 || int(at.list[len(at.list)-1]) != at.end {
			return fmt.Errorf("the places of %s do not fit", at.what)
		}
		for i := range at.list[1:] {
			if at.list[i] > at.list[i+1] {
				return fmt.Errorf("the places of %s are out of order", at.what)
			}
		}
	}
	switch {
	case len(v.byID) != n || len(v.typeOf) != n || len(v.degree) != n || len(v.facts)%factWords != 0:
		return errors.New("the lists of entities differ in length")
	case v.dim < 0 || len(v.vectors) != n*v.dim || n > 0 && len(v.vectors)/n != v.dim:
		return errors.New("the vectors do not fit the entities")
	}
	for _, t := range v.typeOf {
		if int32(t) < -1 || int(int32(t)) >= len(v.types) {
			return errors.New("an entity has a type that does not exist")
		}
	}
	for i, id := range v.byID {
		if int(id) >= n || i > 0 && bytes.Compare(v.id(v.byID[i-1]), v.id(id)) >= 0 {
			return errors.New("the order of the ids is wrong")
		}
	}
	for i := 0; i < len(v.facts); i += factWords {
		relation, object, text := v.facts[i], int32(v.facts[i+1]), v.facts[i+2]
		if int(relation) >= len(v.relations) || object < -1 || int(object) >= n || object < 0 && int(text) >= len(v.textAt)-1 {
			return errors.New("a fact leads to what does not exist")
		}
	}
	return nil
}

func (v *View) id(i uint32) []byte { return v.ids[v.idAt[i]:v.idAt[i+1]] }

// has reports whether there is an entity of this number, so that a number from
// elsewhere does no harm.
func (v *View) has(i int32) bool { return i >= 0 && int(i) < v.n }

// Entities is the number of entities.
func (v *View) Entities() int { return v.n }

// Digest is the digest of the graph from which the view was compiled.
func (v *View) Digest() string { return v.digest }

// Types lists the types of entities in alphabetical order. The list belongs to the
// view.
func (v *View) Types() []string { return v.types }

// Relations lists the relations in alphabetical order. The list belongs to the
// view.
func (v *View) Relations() []string { return v.relations }

// Gazetteer finds the names of entities in text; its ids are their numbers.
func (v *View) Gazetteer() *gazetteer.Matcher { return v.gazetteer }

// Index gives the number of an entity.
func (v *View) Index(id string) (int32, bool) {
	at, ok := sort.Find(v.n, func(i int) int { return cmp.Compare(id, string(v.id(v.byID[i]))) })
	if !ok {
		return 0, false
	}
	return int32(v.byID[at]), true
}

// Entity gives an entity; one without a number is empty.
func (v *View) Entity(i int32) ViewEntity {
	if !v.has(i) {
		return ViewEntity{}
	}
	e := ViewEntity{ID: string(v.id(uint32(i))), Names: v.Names(i)}
	if t := v.TypeOf(i); t >= 0 {
		e.Type = v.types[t]
	}
	return e
}

// Names gives the names of an entity, the preferred one first.
func (v *View) Names(i int32) []string {
	if !v.has(i) || v.nameAt[i] == v.nameAt[i+1] {
		return nil
	}
	names := make([]string, 0, v.nameAt[i+1]-v.nameAt[i])
	for k := v.nameAt[i]; k < v.nameAt[i+1]; k++ {
		names = append(names, string(v.names[v.nameEnds[k]:v.nameEnds[k+1]]))
	}
	return names
}

// Name gives the preferred name of an entity, its id if it has none.
func (v *View) Name(i int32) string {
	switch {
	case !v.has(i):
		return ""
	case v.nameAt[i] == v.nameAt[i+1]:
		return string(v.id(uint32(i)))
	}
	k := v.nameAt[i]
	return string(v.names[v.nameEnds[k]:v.nameEnds[k+1]])
}

// TypeOf gives the type of an entity as a place in Types, -1 for none.
func (v *View) TypeOf(i int32) int32 {
	if !v.has(i) {
		return -1
	}
	return int32(v.typeOf[i])
}

// Degree is the number of facts about an entity, as subject or object, in the
// graph from which the view was compiled.
func (v *View) Degree(i int32) int {
	if !v.has(i) {
		return 0
	}
	return int(v.degree[i])
}

// Facts gives the facts about an entity that the view keeps, the weightiest first
// and then in the order of relation, object and literal.
func (v *View) Facts(i int32) []ViewFact {
	if !v.has(i) || v.factAt[i] == v.factAt[i+1] {
		return nil
	}
	facts := make([]ViewFact, 0, v.factAt[i+1]-v.factAt[i])
	for k := v.factAt[i]; k < v.factAt[i+1]; k++ {
		w := v.facts[factWords*k:]
		f := ViewFact{Relation: v.relations[w[0]], Entity: int32(w[1]), Weight: float64(math.Float32frombits(w[3]))}
		if f.Entity >= 0 {
			f.Object = v.Name(f.Entity)
		} else {
			f.Object = string(v.texts[v.textAt[w[2]]:v.textAt[w[2]+1]])
		}
		facts = append(facts, f)
	}
	return facts
}

// eachFact calls f with the facts of an entity that lead to others, without
// making strings.
func (v *View) eachFact(i int32, f func(relation, object int32, weight float64)) {
	if !v.has(i) {
		return
	}
	for k := v.factAt[i]; k < v.factAt[i+1]; k++ {
		w := v.facts[factWords*k:]
		if object := int32(w[1]); object >= 0 {
			f(int32(w[0]), object, float64(math.Float32frombits(w[3])))
		}
	}
}

// Dim is the length of the vectors, 0 without any.
func (v *View) Dim() int { return v.dim }

// Vector gives the vector of an entity, nil without any. It belongs to the view;
// an entity of which nothing was learned has zeros.
func (v *View) Vector(i int32) []float32 {
	if v.dim == 0 || !v.has(i) {
		return nil
	}
	return v.vectors[int(i)*v.dim : (int(i)+1)*v.dim : (int(i)+1)*v.dim]
}
