package kg

import (
	"slices"
	"strings"
)

// Bounds of an entity in words, as describe gives it.
const (
	describeFacts = 8
	describeNames = 4
)

// Linker returns a linker of the view's names.
func (v *View) Linker(opt LinkOptions) *Linker { return newLinker(v, opt) }

// Link finds the names of the view in a text and resolves them; see Linker.Link.
// For many texts a Linker saves what opt costs each time.
func (v *View) Link(text string, opt LinkOptions) []Mention { return newLinker(v, opt).Link(text) }

func (v *View) linkNames(entity int32) []string { return v.Names(entity) }

func (v *View) linkFacts(entity int32, f func(object int32, weight float64)) {
	v.eachFact(entity, func(_, object int32, weight float64) { f(object, weight) })
}

// describe writes "name, name (type): relation object; relation object".
func (v *View) describe(entity int32) string {
	e := v.Entity(entity)
	var b strings.Builder
	b.WriteString(strings.Join(e.Names[:min(len(e.Names), describeNames)], ", "))
	if e.Type != "" {
		b.WriteString(" (" + e.Type + ")")
	}
	for i, f := range v.Facts(entity) {
		if i == describeFacts {
			break
		}
		between := "; "
		if i == 0 {
			between = ": "
		}
		b.WriteString(between + strings.ReplaceAll(f.Relation, "_", " ") + " " + f.Object)
	}
	return b.String()
}

// parental reports whether a relation leads from an entity to what it is a kind
// of, whatever its namespace: OBO and tables say is_a, RDF subClassOf, SKOS
// broader, WordNet hypernym.
func parental(relation string) bool {
	if i := strings.LastIndexAny(relation, "/#:"); i >= 0 {
		relation = relation[i+1:]
	}
	return slices.Contains([]string{"is_a", "subClassOf", "broader", "hypernym", "instance_hypernym"}, relation)
}

// classes walks down from each of ids in turn.
func (v *View) classes(ids []string) []int32 {
	roots, any := make([]int32, len(ids)), false
	for k, id := range ids {
		roots[k] = -1
		if i, ok := v.Index(id); ok {
			roots[k], any = i, true
		}
	}
	if !any {
		return nil
	}
	up := make([]bool, len(v.relations))
	for i, name := range v.relations {
		up[i] = parental(name)
	}
	children := make([][]int32, v.n)
	for i := range int32(v.n) {
		v.eachFact(i, func(relation, object int32, _ float64) {
			if up[relation] {
				children[object] = append(children[object], i)
			}
		})
	}
	class := slices.Repeat([]int32{-1}, v.n)
	for k, root := range roots {
		if root < 0 {
			continue
		}
		// What an earlier id took is passed through, but only once.
		seen := make([]bool, v.n)
		for next := []int32{root}; len(next) > 0; {
			i := next[len(next)-1]
			next = next[:len(next)-1]
			if seen[i] {
				continue
			}
			seen[i] = true
			if class[i] < 0 {
				class[i] = int32(k)
			}
			next = append(next, children[i]...)
		}
	}
	return class
}
