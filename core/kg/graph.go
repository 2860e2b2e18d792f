package kg

import (
	"slices"

	"github.com/islm-dev/islm/augment/edit"
)

// GraphOf lets rules ask a view. Of the facts those are seen that the view keeps.
func GraphOf(v *View) edit.Graph {
	g := &viewGraph{v: v, ofType: make([][]int32, len(v.types)), in: map[int32][]int32{}}
	for i := range int32(v.n) {
		if t := v.TypeOf(i); t >= 0 {
			g.ofType[t] = append(g.ofType[t], i)
		}
		v.eachFact(i, func(_, object int32, _ float64) {
			if list := g.in[object]; len(list) == 0 || list[len(list)-1] != i {
				g.in[object] = append(list, i)
			}
		})
	}
	return g
}

// viewGraph is a view with the two indexes that it lacks.
type viewGraph struct {
	v      *View
	ofType [][]int32
	in     map[int32][]int32 // of each object the subjects
}

func (g *viewGraph) ids(list []int32) []string {
	var out []string
	for _, i := range list {
		out = append(out, string(g.v.id(uint32(i))))
	}
	return out
}

// Find gives the entities of a name, those that have it as it is written first.
func (g *viewGraph) Find(name string) []string {
	var exact, rest []int32
	for _, id := range g.v.gazetteer.Lookup(name) {
		switch i := int32(id); {
		case !g.v.has(i):
		case slices.Contains(g.v.Names(i), name):
			exact = append(exact, i)
		default:
			rest = append(rest, i)
		}
	}
	return g.ids(append(exact, rest...))
}

func (g *viewGraph) Type(id string) string {
	if i, ok := g.v.Index(id); ok {
		return g.v.Entity(i).Type
	}
	return ""
}

func (g *viewGraph) Names(id string) []string {
	if i, ok := g.v.Index(id); ok {
		return g.v.Names(i)
	}
	return nil
}

func (g *viewGraph) OfType(typ string) []string {
	if t, ok := slices.BinarySearch(g.v.types, typ); ok {
		return g.ids(g.ofType[t])
	}
	return nil
}

// related gives the other entities of facts of one relation that lead from i.
func (g *viewGraph) related(i int32, relation string, f func(object int32)) {
	r, ok := slices.BinarySearch(g.v.relations, relation)
	if !ok {
		return
	}
	g.v.eachFact(i, func(rel, object int32, _ float64) {
		if int(rel) == r {
			f(object)
		}
	})
}

func (g *viewGraph) Objects(id, relation string) []string {
	var out []int32
	if i, ok := g.v.Index(id); ok {
		g.related(i, relation, func(object int32) { out = append(out, object) })
	}
	return g.ids(out)
}

func (g *viewGraph) Subjects(id, relation string) []string {
	var out []int32
	if i, ok := g.v.Index(id); ok {
		for _, subject := range g.in[i] {
			g.related(subject, relation, func(object int32) {
				if object == i {
					out = append(out, subject)
				}
			})
		}
	}
	return g.ids(out)
}
