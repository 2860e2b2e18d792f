package augment

import (
	"slices"
	"strings"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// GraphSpec is a small knowledge graph written down in a rule file.
type GraphSpec struct {
	Entities []EntitySpec `yaml:"entities"`
	Facts    []edit.Names `yaml:"facts"` // [subject, relation, object]
}

// EntitySpec is one entity of a GraphSpec.
type EntitySpec struct {
	ID    string     `yaml:"id" required:"true"`
	Type  string     `yaml:"type" required:"true"`
	Names edit.Names `yaml:"names" required:"true"`
}

// MemoryGraph is a knowledge graph in memory, for tests and for the small graphs
// that come with a plugin.
type MemoryGraph struct {
	types  map[string]string
	names  map[string][]string
	byName map[string][]string
	ofType map[string][]string
	out    map[[2]string][]string // subject, relation
	in     map[[2]string][]string // object, relation
}

// NewMemoryGraph makes a graph of entities and facts; facts with a literal are
// left out. The order of the answers is that of the arguments.
func NewMemoryGraph(entities []sdk.Entity, facts []sdk.Fact) *MemoryGraph {
	g := &MemoryGraph{types: map[string]string{}, names: map[string][]string{}, byName: map[string][]string{}, ofType: map[string][]string{},
		out: map[[2]string][]string{}, in: map[[2]string][]string{}}
	for _, e := range entities {
		if _, ok := g.types[e.ID]; !ok {
			g.types[e.ID] = e.Type
			g.ofType[e.Type] = append(g.ofType[e.Type], e.ID)
		}
		for _, n := range e.Names {
			if slices.Contains(g.names[e.ID], n) {
				continue
			}
			g.names[e.ID] = append(g.names[e.ID], n)
			g.byName[n] = append(g.byName[n], e.ID)
		}
	}
	for _, f := range facts {
		if f.Object == "" {
			continue
		}
		s, o := [2]string{f.Subject, f.Relation}, [2]string{f.Object, f.Relation}
		g.out[s] = append(g.out[s], f.Object)
		g.in[o] = append(g.in[o], f.Subject)
	}
	return g
}

// Find returns the entities of a name.
func (g *MemoryGraph) Find(name string) []string { return g.byName[name] }

// Type returns the type of an entity, "" for an unknown one.
func (g *MemoryGraph) Type(id string) string { return g.types[id] }

// Names returns the names of an entity.
func (g *MemoryGraph) Names(id string) []string { return g.names[id] }

// OfType returns the entities of a type.
func (g *MemoryGraph) OfType(typ string) []string { return g.ofType[typ] }

// Objects returns the objects of an entity's facts of one relation.
func (g *MemoryGraph) Objects(id, relation string) []string { return g.out[[2]string{id, relation}] }

// Subjects returns the subjects of the facts of one relation about an entity.
func (g *MemoryGraph) Subjects(id, relation string) []string { return g.in[[2]string{id, relation}] }

func (s *GraphSpec) graph() *MemoryGraph {
	var entities []sdk.Entity
	var facts []sdk.Fact
	for _, e := range s.Entities {
		entities = append(entities, sdk.Entity{ID: e.ID, Type: e.Type, Names: e.Names})
	}
	for _, f := range s.Facts {
		facts = append(facts, sdk.Fact{Subject: f[0], Relation: f[1], Object: f[2]})
	}
	return NewMemoryGraph(entities, facts)
}

// wordMap is a thesaurus written down in a rule file. Words are found in any case.
type wordMap map[string]edit.Names

// Synonyms returns the words written down for a word, whatever its part of speech.
func (m wordMap) Synonyms(word, _ string) []string { return m[strings.ToLower(word)] }

// TestResources are the graph and the thesaurus that the pack writes down for its
// tests, where have brings none.
func (p *Pack) TestResources(have edit.Resources) edit.Resources {
	if have.Graph == nil && len(p.graph.Entities) > 0 {
		have.Graph = p.graph.graph()
	}
	if have.Thesaurus == nil && len(p.thesaurus) > 0 {
		have.Thesaurus = wordMap(p.thesaurus)
	}
	return have
}
