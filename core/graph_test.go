package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// smallGraph has the entities "name0", "name1" …, each with two facts; the last
// has no vector.
type smallGraph struct{ n int }

func (g smallGraph) Types() []string { return []string{"A", "B"} }
func (g smallGraph) Entities() int   { return g.n }
func (g smallGraph) Dim() int        { return 2 }
func (g smallGraph) Digest() string  { return "small" }
func (g smallGraph) Close() error    { return nil }
func (g smallGraph) Name(e int32) string {
	return fmt.Sprint("name", e)
}
func (g smallGraph) ID(e int32) string { return g.Name(e) }

func (g smallGraph) Vector(e int32) []float32 {
	if int(e) == g.n-1 {
		return nil
	}
	return []float32{float32(e), 1}
}

func (g smallGraph) Facts(e int32) []recipe.GraphFact {
	return []recipe.GraphFact{{Relation: "is_a", Object: fmt.Sprint("kind", e), Weight: 1}, {Relation: "in", Object: fmt.Sprint("place", e), Weight: 0.5}}
}

func (g smallGraph) Link(text string) (out []recipe.Mention) {
	for at := 0; ; {
		i := strings.Index(text[at:], "name")
		if i < 0 {
			return out
		}
		m := recipe.Mention{Start: at + i, End: at + i + 5, Entity: int32(text[at+i+4] - '0')}
		m.Type = m.Entity % 2
		out, at = append(out, m), m.End
	}
}

func TestShuffledGraph(t *testing.T) {
	g := smallGraph{9}
	s := controlled(g, recipe.ControlShuffled, 7).(*shuffledGraph)
	s.shuffleFacts()
	var real, shuffled, objects, permuted []string
	moved := 0
	for e := range int32(9) {
		real, shuffled = append(real, fmt.Sprint(g.Vector(e))), append(shuffled, fmt.Sprint(s.Vector(e)))
		if real[e] != shuffled[e] {
			moved++
		}
		require.Len(t, s.Facts(e), 2)
		for k, f := range s.Facts(e) {
			own := g.Facts(e)[k]
			require.Equal(t, own.Relation, f.Relation)
			require.Equal(t, own.Weight, f.Weight)
			objects, permuted = append(objects, own.Relation+own.Object), append(permuted, f.Relation+f.Object)
		}
	}
	require.Greater(t, moved, 4)
	require.Nil(t, s.Vector(8), "an entity without a vector got one")
	require.NotEqual(t, objects, permuted)
	require.ElementsMatch(t, real, shuffled)
	require.ElementsMatch(t, objects, permuted)

	again := controlled(g, recipe.ControlShuffled, 7).(*shuffledGraph)
	again.shuffleFacts()
	require.Equal(t, s.facts, again.facts)
	require.Equal(t, s.vectors, again.vectors)

	zero := controlled(g, recipe.ControlZero, 7)
	require.Equal(t, []float32{0, 0}, zero.Vector(3))
	require.Nil(t, zero.Vector(8))
	require.Equal(t, graph(g), controlled(g, recipe.ControlOff, 7))
}

// Decoys are as many, as long and as frequent as the names, and are no names.
func TestDecoys(t *testing.T) {
	var examples []sdk.Example
	for i := range 40 {
		text := fmt.Sprintf("we saw name%d , then word%d and often thing%d today", i%4, i%4, i%8)
		examples = append(examples, sdk.Example{ID: fmt.Sprint(i), Text: text})
	}
	g := smallGraph{9}
	list := findDecoys(g, [][]sdk.Example{examples}, 3)
	require.Len(t, list, 4)
	d := newDecoys(list, g.Types())
	real, fake := map[int32]int{}, map[int32]int{}
	for _, ex := range examples {
		for _, m := range g.Link(ex.Text) {
			real[m.Type]++
		}
		for _, m := range d.Link(ex.Text) {
			fake[m.Type]++
			require.NotContains(t, ex.Text[m.Start:m.End], "name")
			require.False(t, slices.ContainsFunc(g.Link(ex.Text), func(r recipe.Mention) bool { return r.Start < m.End && m.Start < r.End }))
		}
	}
	require.Equal(t, real, fake, "%v", list)
	require.Equal(t, list, findDecoys(g, [][]sdk.Example{examples}, 3))
	require.NotEqual(t, list, findDecoys(g, [][]sdk.Example{examples}, 4))
}
