package main

import (
	"context"
	"iter"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/core/train/kge"
	"github.com/islm-dev/islm/sdk"
)

func builtGraph(t *testing.T, facts ...sdk.Fact) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "graph")
	items := iter.Seq2[sdk.FactItem, error](func(yield func(sdk.FactItem, error) bool) {
		for _, id := range []string{"lonely", "zinc", "ore", "mine"} {
			if !yield(sdk.FactItem{Entity: &sdk.Entity{ID: id, Type: "thing"}}, nil) {
				return
			}
		}
		for i := range facts {
			if !yield(sdk.FactItem{Fact: &facts[i]}, nil) {
				return
			}
		}
	})
	_, err := kg.Build(context.Background(), dir, "test", items, kg.BuildOptions{})
	require.NoError(t, err)
	return dir
}

// A graph gives its facts between entities; what has none gets no vector.
func TestGraphFacts(t *testing.T) {
	dir := builtGraph(t,
		sdk.Fact{Subject: "ore", Relation: "contains", Object: "zinc", Source: "a"},
		sdk.Fact{Subject: "ore", Relation: "contains", Object: "zinc", Source: "b"},
		sdk.Fact{Subject: "ore", Relation: "colour", Literal: "grey"},
		sdk.Fact{Subject: "mine", Relation: "yields", Object: "ore"},
		sdk.Fact{Subject: "lonely", Relation: "colour", Literal: "red"})
	d, err := graphFacts(dir)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"zinc", "ore", "mine"}, d.Entities)
	require.Equal(t, []string{"contains", "yields"}, d.Relations)
	// The same graph from a file.
	want, err := kge.Collect(d.Entities, []kge.Named{{"ore", "contains", "zinc"}, {"mine", "yields", "ore"}}, nil, nil)
	require.NoError(t, err)
	require.Equal(t, want.Digest(), d.Digest())

	_, err = graphFacts(builtGraph(t, sdk.Fact{Subject: "ore", Relation: "colour", Literal: "grey"}))
	ds, _, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok)
	require.Equal(t, "kge.empty", ds[0].Code)
	_, err = graphFacts(filepath.Join(t.TempDir(), "absent"))
	require.Error(t, err)
}
