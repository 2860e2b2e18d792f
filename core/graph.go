package core

import (
	"hash/fnv"
	"math/rand/v2"

	"github.com/islm-dev/islm/core/recipe"
)

// graph is a compiled view as encoding and engine see it; a control sees
// something else in it.
type graph interface {
	recipe.Linker
	Entities() int
	// Vector is the vector of an entity, nil if it has none.
	Vector(entity int32) []float32
	Dim() int
	Digest() string
	// Name is what people call an entity, ID what the graph does.
	Name(entity int32) string
	ID(entity int32) string
	Close() error
}

// controlled is the graph that a control sees: with ControlShuffled the vectors
// of entities are permuted, and so are the objects of the facts of each relation;
// with ControlZero vectors hold nothing.
func controlled(g graph, control string, seed uint64) graph {
	switch control {
	case recipe.ControlShuffled:
		return &shuffledGraph{graph: g, seed: seed, vectors: permuteVectors(g, seed)}
	case recipe.ControlZero:
		return &zeroGraph{graph: g, zeros: make([]float32, g.Dim())}
	}
	return g
}

type zeroGraph struct {
	graph
	zeros []float32
}

func (g *zeroGraph) Vector(entity int32) []float32 {
	if g.graph.Vector(entity) == nil {
		return nil
	}
	return g.zeros
}

type shuffledGraph struct {
	graph
	seed    uint64
	vectors map[int32]int32 // whose vector an entity gets
	facts   [][]recipe.GraphFact
}

// permuteVectors exchanges the vectors among the entities that have one.
func permuteVectors(g graph, seed uint64) map[int32]int32 {
	if g.Dim() == 0 {
		return nil
	}
	var with []int32
	for i := range int32(g.Entities()) {
		if g.Vector(i) != nil {
			with = append(with, i)
		}
	}
	to := make(map[int32]int32, len(with))
	for i, j := range rand.New(rand.NewPCG(seed, 0x766563746f7273)).Perm(len(with)) { // "vectors"
		to[with[i]] = with[j]
	}
	return to
}

func (g *shuffledGraph) Vector(entity int32) []float32 {
	other, ok := g.vectors[entity]
	if !ok {
		return nil
	}
	return g.graph.Vector(other)
}

func (g *shuffledGraph) Facts(entity int32) []recipe.GraphFact {
	if g.facts == nil {
		return g.graph.Facts(entity)
	}
	return g.facts[entity]
}

// shuffleFacts permutes the objects of each relation over the whole graph. It
// must be called before the graph is used by several goroutines.
func (g *shuffledGraph) shuffleFacts() {
	n := int32(g.Entities())
	facts := make([][]recipe.GraphFact, n)
	type place struct {
		entity int32
		fact   int
	}
	places := map[string][]place{}
	for i := range n {
		own := g.graph.Facts(i)
		facts[i] = append([]recipe.GraphFact(nil), own...)
		for k, f := range own {
			places[f.Relation] = append(places[f.Relation], place{i, k})
		}
	}
	for relation, at := range places { // each relation by itself: their order is of no consequence
		h := fnv.New64a()
		h.Write([]byte(relation))
		objects := make([]string, len(at))
		for i, p := range at {
			objects[i] = facts[p.entity][p.fact].Object
		}
		for i, j := range rand.New(rand.NewPCG(g.seed, h.Sum64())).Perm(len(at)) {
			facts[at[i].entity][at[i].fact].Object = objects[j]
		}
	}
	g.facts = facts
}
