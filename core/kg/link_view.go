package kg

import "strings"

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
