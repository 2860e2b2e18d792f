package kg

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/islm-dev/islm/sdk"
)

func stream(entities []sdk.Entity, facts []sdk.Fact) iter.Seq2[sdk.FactItem, error] {
	return func(yield func(sdk.FactItem, error) bool) {
		for i := range entities {
			if !yield(sdk.FactItem{Entity: &entities[i]}, nil) {
				return
			}
		}
		for i := range facts {
			if !yield(sdk.FactItem{Fact: &facts[i]}, nil) {
				return
			}
		}
	}
}

// build makes a store and opens it.
func build(t require.TestingT, dir string, entities []sdk.Entity, facts []sdk.Fact) (*Store, *Info) {
	info, err := Build(context.Background(), dir, "test", stream(entities, facts), BuildOptions{})
	require.NoError(t, err)
	s, err := Open(dir)
	require.NoError(t, err)
	return s, info
}

// small is a graph with something of everything.
func small() ([]sdk.Entity, []sdk.Fact) {
	return []sdk.Entity{
			{ID: "http://x.example/e/1", Type: "Bank", Names: []string{"Erste Bank", "EB"}, Props: map[string]string{"note": "a \"quoted\"\nline", "city": "Wien"}},
			{ID: "http://x.example/e/10", Type: "Bank", Names: []string{"Zehnte Bank", "erste bank"}},
			{ID: "plain id", Type: "Person", Names: []string{"Ägidius Öl", "艾吉"}},
			{ID: "urn:islm:id:x", Names: []string{"Sly"}},
			{ID: "100%"},
		}, []sdk.Fact{
			{Subject: "http://x.example/e/1", Relation: "owns", Object: "http://x.example/e/10", Weight: 0.5, Source: "register"},
			{Subject: "http://x.example/e/1", Relation: "owns", Object: "http://x.example/e/10"},
			{Subject: "http://x.example/e/1", Relation: "founded", Literal: "1819"},
			{Subject: "plain id", Relation: "works for", Object: "http://x.example/e/1"},
			{Subject: "plain id", Relation: "skos:related", Object: "100%"},
			{Subject: "plain id", Relation: "owns", Object: "plain id"},
		}
}

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kg")
	s, info := build(t, dir, first(small()), second(small()))
	defer func() { require.NoError(t, s.Close()) }()
	assert.Equal(t, Info{Format: Format, Digest: info.Digest, Domain: "test", Entities: 5, Facts: 5, Names: 7}, *info)
	assert.Equal(t, *info, s.Stats())

	e, ok, err := s.Entity("http://x.example/e/1")
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, first(small())[0], e)
	_, ok, err = s.Entity("nobody")
	require.NoError(t, err)
	assert.False(t, ok)

	for name, want := range map[string][]string{
		"Erste Bank":       {"http://x.example/e/1", "http://x.example/e/10"},
		"erste bank":       {"http://x.example/e/10", "http://x.example/e/1"},
		"ÄGIDIUS öl":       {"plain id"},
		"A\u0308gidius Öl": {"plain id"},
		"艾吉":               {"plain id"}, "艾": nil, "": nil, "zweite Bank": nil,
	} {
		got, err := s.ByName(name)
		require.NoError(t, err)
		assert.Equal(t, want, got, name)
	}

	facts, err := s.BySubject("http://x.example/e/1")
	require.NoError(t, err)
	// The fact without a weight counts 1, so it beats the one of one half.
	assert.Equal(t, []sdk.Fact{{Subject: "http://x.example/e/1", Relation: "founded", Literal: "1819"}, {Subject: "http://x.example/e/1", Relation: "owns", Object: "http://x.example/e/10"}}, facts)
	facts, err = s.ByObject("plain id")
	require.NoError(t, err)
	assert.Equal(t, []sdk.Fact{{Subject: "plain id", Relation: "owns", Object: "plain id"}}, facts)
	assert.Len(t, collect(t, s.ByRelation("owns")), 2)
	assert.Empty(t, collect(t, s.ByRelation("owned")))
	assert.ElementsMatch(t, []string{"http://x.example/e/1", "http://x.example/e/10"}, collect(t, s.OfType("Bank")))
	assert.Empty(t, collect(t, s.OfType("")))
}

func first[A, B any](a A, _ B) A  { return a }
func second[A, B any](_ A, b B) B { return b }

func collect[T any](t require.TestingT, seq iter.Seq2[T, error]) []T {
	var out []T
	for v, err := range seq {
		require.NoError(t, err)
		out = append(out, v)
	}
	return out
}

// TestDigest holds the canonical form: a change of it makes every digest another.
func TestDigest(t *testing.T) {
	s, info := build(t, filepath.Join(t.TempDir(), "kg"), first(small()), second(small()))
	defer func() { require.NoError(t, s.Close()) }()
	var b strings.Builder
	require.NoError(t, s.WriteNTriples(t.Context(), &b))
	want := `<http://x.example/e/10> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <urn:islm:type:Bank> .
<http://x.example/e/10> <http://www.w3.org/2000/01/rdf-schema#label> "Zehnte Bank" .
<http://x.example/e/10> <http://www.w3.org/2004/02/skos/core#altLabel> "erste bank" .
<http://x.example/e/1> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <urn:islm:type:Bank> .
<http://x.example/e/1> <http://www.w3.org/2000/01/rdf-schema#label> "Erste Bank" .
<http://x.example/e/1> <http://www.w3.org/2004/02/skos/core#altLabel> "EB" .
<http://x.example/e/1> <urn:islm:property:city> "Wien" .
<http://x.example/e/1> <urn:islm:property:note> "a \"quoted\"\nline" .
<http://x.example/e/1> <urn:islm:relation:founded> "1819" .
<http://x.example/e/1> <urn:islm:relation:owns> <http://x.example/e/10> .
<urn:islm:id:100%25> <urn:islm:relation:exists> .
`
	want = strings.Replace(want, "<urn:islm:id:100%25> <urn:islm:relation:exists> .\n", `<urn:islm:id:plain%20id> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <urn:islm:type:Person> .
<urn:islm:id:plain%20id> <http://www.w3.org/2000/01/rdf-schema#label> "Ägidius Öl" .
<urn:islm:id:plain%20id> <http://www.w3.org/2004/02/skos/core#altLabel> "艾吉" .
<urn:islm:id:plain%20id> <http://www.w3.org/2004/02/skos/core#related> <urn:islm:id:100%25> .
<urn:islm:id:plain%20id> <urn:islm:relation:owns> <urn:islm:id:plain%20id> .
<urn:islm:id:plain%20id> <urn:islm:relation:works%20for> <http://x.example/e/1> .
<urn:islm:id:urn%3Aislm%3Aid%3Ax> <http://www.w3.org/2000/01/rdf-schema#label> "Sly" .
`, 1)
	assert.Equal(t, want, b.String())
	lines := strings.SplitAfter(want, "\n")
	assert.True(t, slices.IsSorted(lines[:len(lines)-1]))
	sum := sha256.Sum256([]byte(want))
	assert.Equal(t, hex.EncodeToString(sum[:]), info.Digest)
}

// TestModel compares stores of random graphs with maps.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		id := rapid.OneOf(rapid.StringMatching(`http://e/[0-9]{1,3}`), rapid.StringMatching(`[a-c]{1,2}`), rapid.String().Filter(func(s string) bool { return s != "" }))
		ids := rapid.SliceOfNDistinct(id, 1, 200, rapid.ID[string]).Draw(t, "ids")
		hub := rapid.SampledFrom(ids).Draw(t, "hub")
		text := rapid.OneOf(rapid.StringMatching(`[a-d ]{1,6}`), rapid.String())
		model := map[string]sdk.Entity{}
		var entities []sdk.Entity
		for _, i := range ids {
			e := sdk.Entity{ID: i, Type: rapid.SampledFrom([]string{"", "A", "B", "C d"}).Draw(t, "type")}
			e.Names = append(e.Names, rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "X", "y", "Öl", "öl", "北京"}), 0, 3, rapid.ID[string]).Draw(t, "names")...)
			if rapid.Bool().Draw(t, "has properties") {
				e.Props = map[string]string{"k": strings.Repeat(text.Draw(t, "property"), rapid.IntRange(1, 400).Draw(t, "times"))}
			}
			model[i] = e
			entities = append(entities, e)
		}
		type key struct{ s, r, o, l string }
		want := map[key]sdk.Fact{}
		var facts []sdk.Fact
		for range rapid.IntRange(0, 3000).Draw(t, "facts") {
			f := sdk.Fact{Subject: rapid.SampledFrom(ids).Draw(t, "s"), Relation: rapid.SampledFrom([]string{"r", "q", "skos:broader", "a b"}).Draw(t, "r"), Weight: rapid.SampledFrom([]float64{0, 0, 0, 0.25, 2}).Draw(t, "w")}
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				f.Literal = "v" + text.Draw(t, "literal")
			case 1, 2:
				f.Object = hub
			case 3:
				f.Subject, f.Object = hub, rapid.SampledFrom(ids).Draw(t, "o")
			default:
				f.Object = rapid.SampledFrom(ids).Draw(t, "o")
			}
			if f.Weight == 2 {
				f.Source = rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(t, "source")
			}
			facts = append(facts, f)
			k := key{f.Subject, f.Relation, f.Object, f.Literal}
			if old, ok := want[k]; !ok || effective(f.Weight) > effective(old.Weight) || effective(f.Weight) == effective(old.Weight) && f.Source < old.Source {
				want[k] = f
			}
		}
		where := filepath.Join(dir, fmt.Sprint(run))
		s, info := build(t, where, entities, facts)
		defer func() { require.NoError(t, s.Close()) }()
		require.Equal(t, len(want), info.Facts)
		require.Equal(t, len(model), info.Entities)

		order := func(a, b sdk.Fact) int {
			return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Relation, b.Relation), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Literal, b.Literal))
		}
		all := slices.SortedFunc(maps.Values(want), order)
		where3 := func(keep func(sdk.Fact) bool) []sdk.Fact {
			var out []sdk.Fact
			for _, f := range all {
				if keep(f) {
					out = append(out, f)
				}
			}
			return out
		}
		same := func(want, got []sdk.Fact) {
			t.Helper()
			slices.SortFunc(got, order)
			require.Equal(t, want, got)
		}
		same(all, collect(t, s.Facts()))
		for _, r := range []string{"r", "q", "skos:broader", "a b", "none"} {
			same(where3(func(f sdk.Fact) bool { return f.Relation == r }), collect(t, s.ByRelation(r)))
		}
		names, types := map[string][]string{}, map[string][]string{}
		for n, i := range ids {
			e, ok, err := s.Entity(i)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, model[i], e)
			for _, name := range e.Names {
				names[name] = append(names[name], i)
			}
			types[e.Type] = append(types[e.Type], i)
			if n%10 == 0 || i == hub {
				got, err := s.BySubject(i)
				require.NoError(t, err)
				same(where3(func(f sdk.Fact) bool { return f.Subject == i }), got)
				got, err = s.ByObject(i)
				require.NoError(t, err)
				same(where3(func(f sdk.Fact) bool { return f.Object == i }), got)
			}
		}
		for _, name := range []string{"x", "y", "北京", "Öl", "none"} {
			got, err := s.ByName(name)
			require.NoError(t, err)
			require.ElementsMatch(t, names[name], got[:min(len(got), len(names[name]))])
		}
		for _, typ := range []string{"A", "B", "C d", "none"} {
			require.ElementsMatch(t, types[typ], collect(t, s.OfType(typ)))
		}
		var nt strings.Builder
		require.NoError(t, s.WriteNTriples(context.Background(), &nt))
		lines := strings.SplitAfter(nt.String(), "\n")
		require.True(t, slices.IsSorted(lines[:len(lines)-1]), "sorted N-Triples")

		// The order of the input is of no consequence.
		slices.Reverse(entities)
		slices.Reverse(facts)
		again, other := build(t, where+"again", entities, facts)
		require.NoError(t, again.Close())
		require.Equal(t, info.Digest, other.Digest)
	})
}
