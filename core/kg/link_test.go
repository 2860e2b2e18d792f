package kg

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/islm-dev/islm/augment/gazetteer"
	"github.com/islm-dev/islm/sdk"
)

// linkFixture is a graph of a few entities.
type linkFixture struct {
	entities []linkEntity
	types    []string
	matcher  *gazetteer.Matcher
}

type linkEntity struct {
	names []string
	typ   string
	facts map[int32]float64
}

func (g *linkFixture) Gazetteer() *gazetteer.Matcher { return g.matcher }
func (g *linkFixture) Types() []string               { return g.types }
func (g *linkFixture) TypeOf(e int32) int32          { return int32(slices.Index(g.types, g.entities[e].typ)) }
func (g *linkFixture) linkNames(e int32) []string    { return g.entities[e].names }
func (g *linkFixture) describe(e int32) string {
	return g.entities[e].names[0] + " (" + g.entities[e].typ + ")"
}
func (g *linkFixture) classes([]string) []int32 { return nil }
func (g *linkFixture) linkFacts(e int32, f func(int32, float64)) {
	for object := range int32(len(g.entities)) {
		if w, ok := g.entities[e].facts[object]; ok {
			f(object, w)
		}
	}
}

func (g *linkFixture) Degree(e int32) int {
	n := len(g.entities[e].facts)
	for _, other := range g.entities {
		if _, ok := other.facts[e]; ok {
			n++
		}
	}
	return n
}

func newLinkFixture(entities ...linkEntity) *linkFixture {
	g := &linkFixture{entities: entities}
	for _, e := range entities {
		if !slices.Contains(g.types, e.typ) {
			g.types = append(g.types, e.typ)
		}
	}
	slices.Sort(g.types)
	g.types = slices.DeleteFunc(g.types, func(t string) bool { return t == "" })
	g.matcher = gazetteer.Build(func(yield func(string, uint32) bool) {
		for i, e := range entities {
			for _, name := range e.names {
				if !yield(name, uint32(i)) {
					return
				}
			}
		}
	}, gazetteer.Options{FoldCase: true, FoldWidth: true, Words: true, FoldSpace: true, Plurals: true})
	return g
}

// Entities of the fixture by number.
const (
	planet int32 = iota
	metal
	poisoning
	sun
	thermometer
	computing
	company
	fruit
	apples
	typeless
)

func mercury() *linkFixture {
	return newLinkFixture(
		linkEntity{names: []string{"Mercury", "planet Mercury"}, typ: "Planet", facts: map[int32]float64{sun: 1}},
		linkEntity{names: []string{"mercury", "Hg"}, typ: "Element", facts: map[int32]float64{thermometer: 1}},
		linkEntity{names: []string{"mercury poisoning"}, typ: "Disease", facts: map[int32]float64{metal: 1}},
		linkEntity{names: []string{"Sun"}, typ: "Star"},
		linkEntity{names: []string{"thermometer"}, typ: "Tool"},
		linkEntity{names: []string{"IT", "information technology"}, typ: "Field"},
		linkEntity{names: []string{"苹果", "苹果公司"}, typ: "Company"},
		linkEntity{names: []string{"苹果"}, typ: "Fruit"},
		linkEntity{names: []string{"苹果", "X"}, typ: "Fruit"},
		linkEntity{names: []string{"no type"}},
	)
}

func texts(text string, mentions []Mention) (list []string) {
	for _, m := range mentions {
		list = append(list, text[m.Start:m.End])
	}
	return list
}

func TestLinkFindsNames(t *testing.T) {
	l := newLinker(mercury(), LinkOptions{})
	for _, c := range []struct {
		text string
		want []string
	}{
		{"Mercury poisoning by mercury in the sun", []string{"Mercury poisoning", "mercury", "sun"}},
		{"It is IT, not it: x or X", []string{"IT"}},
		{"用HG的苹果公司", []string{"HG", "苹果公司"}},
		{"", nil},
	} {
		assert.Equal(t, c.want, texts(c.text, l.Link(c.text)), c.text)
	}
	any := newLinker(mercury(), LinkOptions{AnyCase: true})
	assert.Equal(t, []string{"It", "IT", "it"}, texts("It is IT, not it", any.Link("It is IT, not it")))
}

func TestLinkResolves(t *testing.T) {
	for _, c := range []struct {
		title string
		opt   LinkOptions
		text  string
		want  []int32
	}{
		{"the name as written", LinkOptions{}, "Mercury", []int32{planet}},
		{"the name as written, small", LinkOptions{}, "mercury", []int32{metal}},
		{"facts lead from the entity to the context", LinkOptions{}, "MERCURY falls in the thermometer", []int32{metal, thermometer}},
		{"facts weigh more than case", LinkOptions{}, "mercury is near the Sun", []int32{planet, sun}},
		{"facts lead from the context to the entity", LinkOptions{}, "Mercury, then mercury poisoning", []int32{metal, poisoning}},
		{"a context too far away", LinkOptions{Window: 5}, "mercury is a word far away from the Sun", []int32{metal, sun}},
		{"a prior", LinkOptions{Prior: map[string]float64{"Planet": 9}}, "mercury", []int32{planet}},
		{"a type excluded by its prior", LinkOptions{Prior: map[string]float64{"Planet": 0}}, "Mercury and the Sun", []int32{metal, sun}},
		{"only one type: shorter names come to light", LinkOptions{Types: []string{"Element"}}, "Mercury poisoning", []int32{metal}},
		{"no such type", LinkOptions{Types: []string{"God"}}, "Mercury", nil},
		{"the better known", LinkOptions{Types: []string{"Planet", "Element"}}, "MERCURY", []int32{metal}},
		{"an entity without a type", LinkOptions{Prior: map[string]float64{"Star": 0}}, "no type", []int32{typeless}},
		{"an entity without a type where types are asked for", LinkOptions{Types: []string{"Star"}}, "no type", nil},
		{"equal candidates: the first", LinkOptions{Types: []string{"Fruit"}}, "苹果", []int32{fruit}},
	} {
		t.Run(c.title, func(t *testing.T) {
			g := mercury()
			l := newLinker(g, c.opt)
			var got []int32
			for _, m := range l.Link(c.text) {
				got = append(got, m.Entity)
				assert.Equal(t, g.TypeOf(m.Entity), m.Type)
				assert.Equal(t, m.Entity, m.Candidates[0].Entity)
				sum := float32(0)
				for i, cand := range m.Candidates {
					sum += cand.Score
					assert.True(t, i == 0 || cand.Score <= m.Candidates[i-1].Score)
				}
				assert.InDelta(t, 1, sum, 1e-6)
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestLinkKeepsCandidates(t *testing.T) {
	l := newLinker(mercury(), LinkOptions{})
	m := l.Link("苹果")[0]
	require.Len(t, m.Candidates, 3)
	assert.Equal(t, []int32{company, fruit, apples}, []int32{m.Candidates[0].Entity, m.Candidates[1].Entity, m.Candidates[2].Entity})
	assert.InDelta(t, 1.0/3, m.Candidates[0].Score, 1e-6)

	l = newLinker(mercury(), LinkOptions{Candidates: 1})
	m = l.Link("苹果")[0]
	require.Len(t, m.Candidates, 1)
	assert.InDelta(t, 1.0/3, m.Candidates[0].Score, 1e-6, "a score is a share of all candidates, also of those not kept")
}

func TestExplain(t *testing.T) {
	l := newLinker(mercury(), LinkOptions{Prior: map[string]float64{"Element": 2}})
	text := "Hg vapour: Mercury in the thermometer"
	mentions, why := l.Explain(text)
	assert.Equal(t, l.Link(text), mentions)
	require.Len(t, why, 3)
	require.Len(t, why[1], 2)
	assert.Equal(t, metal, why[1][0].Entity)
	assert.InDelta(t, 0.6931, why[1][0].Prior, 1e-4)
	assert.Equal(t, nameFolded, why[1][0].Name)
	assert.InDelta(t, contextScale/2, why[1][0].Context, 1e-9)
	assert.Equal(t, []int32{thermometer}, why[1][0].Near)
	assert.Equal(t, Reason{Entity: planet, Name: nameFirst, Weight: weightScale * math.Ln2}, why[1][1])
	assert.InDelta(t, weightScale*math.Log(3), why[1][0].Weight, 1e-9)
}

// wordEmbedder gives the counts of a few words as vector.
type wordEmbedder struct{ calls [][]string }

func (e *wordEmbedder) Embed(_ context.Context, texts []string) ([][]float32, error) {
	e.calls = append(e.calls, texts)
	vectors := make([][]float32, len(texts))
	for i, text := range texts {
		for _, w := range []string{"orbit", "Planet", "liquid", "Element"} {
			vectors[i] = append(vectors[i], float32(strings.Count(text, w)))
		}
		// Words of one sense share a direction.
		v := vectors[i]
		vectors[i] = []float32{v[0] + v[1], v[2] + v[3]}
	}
	return vectors, nil
}

func TestLinkEmbedded(t *testing.T) {
	l := newLinker(mercury(), LinkOptions{})
	e := &wordEmbedder{}
	texts := []string{"mercury on its orbit", "Mercury is liquid", "Sun", "mercury on its orbit"}
	mentions, why, err := l.ExplainEmbedded(t.Context(), texts, e)
	require.NoError(t, err)
	assert.Equal(t, planet, mentions[0][0].Entity)
	assert.Equal(t, metal, mentions[1][0].Entity)
	assert.Equal(t, sun, mentions[2][0].Entity)
	assert.InDelta(t, vectorScale, why[0][0][0].Context, 1e-6)
	assert.Equal(t, [][]string{{"mercury on its orbit", "Mercury (Planet)", "mercury (Element)", "Mercury is liquid"}}, e.calls)
	plain, err := l.LinkEmbedded(t.Context(), texts, e)
	require.NoError(t, err)
	assert.Equal(t, mentions, plain)

	e.calls = nil
	_, err = l.LinkEmbedded(t.Context(), []string{"the Sun"}, e)
	require.NoError(t, err)
	assert.Empty(t, e.calls, "nothing is ambiguous")
}

type brokenEmbedder struct{ vectors [][]float32 }

func (e brokenEmbedder) Embed(context.Context, []string) ([][]float32, error) {
	if e.vectors == nil {
		return nil, errors.New("no memory")
	}
	return e.vectors, nil
}

func TestLinkEmbeddedFails(t *testing.T) {
	l := newLinker(mercury(), LinkOptions{})
	_, err := l.LinkEmbedded(t.Context(), []string{"mercury"}, brokenEmbedder{})
	assert.ErrorContains(t, err, "no memory")
	_, err = l.LinkEmbedded(t.Context(), []string{"mercury"}, brokenEmbedder{vectors: [][]float32{{1}}})
	assert.ErrorContains(t, err, "1 vectors for 3 texts")
}

func TestAround(t *testing.T) {
	text := strings.Repeat("é", 400)
	got := around(text, 400, 402)
	assert.True(t, strings.Trim(got, "é") == "")
	assert.GreaterOrEqual(t, len(got), 2*contextBytes+2)
	assert.Equal(t, "ab", around("ab", 0, 1))
}

// Mentions are in order and apart, every candidate has the name that stands
// there, and goroutines disturb nothing.
func TestLinkAnyText(t *testing.T) {
	g := mercury()
	l := newLinker(g, LinkOptions{})
	words := []string{"Mercury", "mercury", "poisoning", "Hg", "the", "SUN", "thermometer", "苹果", "公司", " ", "\n", "\xff", "-", "IT", "it", "information", "technology", "no", "type"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom(words)).Draw(t, "words"), rapid.SampledFrom([]string{"", " "}).Draw(t, "between"))
		mentions := l.Link(text)
		last := 0
		for _, m := range mentions {
			if m.Start < last || m.End <= m.Start {
				t.Fatalf("%d-%d after %d", m.Start, m.End, last)
			}
			last = m.End
			for _, c := range m.Candidates {
				if !slices.ContainsFunc(g.linkNames(c.Entity), func(name string) bool { return g.matcher.Equal(name, text[m.Start:m.End]) }) {
					t.Fatalf("entity %d is not called %q", c.Entity, text[m.Start:m.End])
				}
			}
		}
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() {
				again, _ := l.Explain(text)
				assert.Equal(t, mentions, again)
			})
		}
		group.Wait()
	})
}

// A compiled view links as the graph that it was made from.
func TestViewLinks(t *testing.T) {
	items := func(yield func(sdk.FactItem, error) bool) {
		for _, e := range []sdk.Entity{
			{ID: "planet", Type: "Planet", Names: []string{"Mercury", "planet Mercury"}},
			{ID: "metal", Type: "Element", Names: []string{"mercury", "Hg"}},
			{ID: "sun", Type: "Star", Names: []string{"Sun", "太阳"}},
			{ID: "tool", Names: []string{"thermometer"}},
		} {
			if !yield(sdk.FactItem{Entity: &e}, nil) {
				return
			}
		}
		for _, f := range []sdk.Fact{
			{Subject: "planet", Relation: "orbits", Object: "sun"},
			{Subject: "tool", Relation: "filled_with", Object: "metal", Weight: 0.5},
			{Subject: "metal", Relation: "melting_point", Literal: "-38.8 °C"},
		} {
			if !yield(sdk.FactItem{Fact: &f}, nil) {
				return
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "graph")
	_, err := Build(t.Context(), dir, "sky", items, BuildOptions{})
	require.NoError(t, err)
	store, err := Open(dir)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), ViewName)
	require.NoError(t, Compile(t.Context(), store, file, CompileOptions{}))
	require.NoError(t, store.Close())
	v, err := OpenView(file)
	require.NoError(t, err)
	defer v.Close()

	text := "MERCURY is near the 太阳; Mercury fills a thermometer"
	var got []string
	for _, m := range v.Link(text, LinkOptions{}) {
		got = append(got, text[m.Start:m.End]+" "+v.Entity(m.Entity).ID)
	}
	assert.Equal(t, []string{"MERCURY planet", "太阳 sun", "Mercury planet", "thermometer tool"}, got)
	got = nil
	for _, m := range v.Link("mercury in a thermometer", LinkOptions{Types: []string{"Element"}}) {
		got = append(got, v.Entity(m.Entity).ID)
	}
	assert.Equal(t, []string{"metal"}, got)
	metal, ok := v.Index("metal")
	require.True(t, ok)
	assert.Equal(t, "mercury, Hg (Element): melting point -38.8 °C", v.describe(metal))
	planet, ok := v.Index("planet")
	require.True(t, ok)
	assert.Equal(t, "Mercury, planet Mercury (Planet): orbits Sun", v.describe(planet))
	_, why := v.Linker(LinkOptions{}).Explain("Mercury and the Sun")
	sun, ok := v.Index("sun")
	require.True(t, ok)
	assert.Equal(t, []int32{sun}, why[0][0].Near)
}

// Ids as types stand for what is below them, over any bound on facts.
func TestLinkBelow(t *testing.T) {
	var items []sdk.FactItem
	add := func(id, name, parent string) {
		items = append(items, sdk.FactItem{Entity: &sdk.Entity{ID: id, Type: "Term", Names: []string{name}}})
		if parent != "" {
			for i := range 4 { // earlier relations fill the bound
				items = append(items, sdk.FactItem{Fact: &sdk.Fact{Subject: id, Relation: "alt", Literal: id + strings.Repeat("x", i+1)}})
			}
			items = append(items, sdk.FactItem{Fact: &sdk.Fact{Subject: id, Relation: "is_a", Object: parent}})
		}
	}
	add("root", "All", "")
	add("sign", "sign", "root")
	add("fever", "fever", "sign")
	add("high", "high fever", "fever")
	add("modifier", "modifier", "root")
	add("severe", "severe", "modifier")
	items = append(items, sdk.FactItem{Entity: &sdk.Entity{ID: "flu", Type: "Disease", Names: []string{"flu"}}}, sdk.FactItem{Fact: &sdk.Fact{Subject: "sign", Relation: "is_a", Object: "high"}}) // a circle
	dir := t.TempDir()
	_, err := Build(t.Context(), filepath.Join(dir, "graph"), "x", func(yield func(sdk.FactItem, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}, BuildOptions{})
	require.NoError(t, err)
	store, err := Open(filepath.Join(dir, "graph"))
	require.NoError(t, err)
	require.NoError(t, Compile(t.Context(), store, filepath.Join(dir, ViewName), CompileOptions{Facts: 2}))
	require.NoError(t, store.Close())
	v, err := OpenView(filepath.Join(dir, ViewName))
	require.NoError(t, err)
	defer v.Close()
	for _, c := range []struct{ types, want string }{
		{"", "severe|high fever|All|flu"}, {"sign", "high fever"}, {"modifier,Disease", "severe|flu"},
		{"high", "high fever"}, {"Term", "severe|high fever|All"}, {"nothing", ""}, {"root", "severe|high fever|All"},
	} {
		opt := LinkOptions{}
		if c.types != "" {
			opt.Types = strings.Split(c.types, ",")
		}
		var got []string
		const text = "severe high fever, All flu"
		for _, m := range v.Link(text, opt) {
			got = append(got, text[m.Start:m.End])
		}
		assert.Equal(t, c.want, strings.Join(got, "|"), c.types)
	}
	l := v.Linker(LinkOptions{Types: []string{"Disease", "fever", "root"}})
	for id, want := range map[string]int{"flu": -1, "fever": 1, "high": 1, "severe": 2, "root": 2, "sign": 1} {
		e, ok := v.Index(id)
		require.True(t, ok)
		assert.Equal(t, want, l.Class(e), id)
	}
	assert.Equal(t, -1, v.Linker(LinkOptions{Types: []string{"Term"}}).Class(0))
}
