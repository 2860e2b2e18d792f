package source

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

// write makes files named by the keys and returns their paths in order.
func write(t *testing.T, files ...string) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i := 0; i < len(files); i += 2 {
		p := filepath.Join(dir, files[i])
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(t, os.WriteFile(p, []byte(files[i+1]), 0o644))
		paths = append(paths, p)
	}
	return paths
}

// read gives what the paths hold as lines, entities before facts.
func read(t *testing.T, opt Options, paths ...string) []string {
	t.Helper()
	items, err := Open(context.Background(), paths, opt)
	require.NoError(t, err)
	lines := []string{}
	for it, err := range items {
		require.NoError(t, err)
		lines = append(lines, show(it))
	}
	return lines
}

func show(it sdk.FactItem) string {
	if e := it.Entity; e != nil {
		s := fmt.Sprintf("%s (%s) %s", e.ID, e.Type, strings.Join(e.Names, "|"))
		if len(e.Props) > 0 {
			s += fmt.Sprint(" ", e.Props)
		}
		return s
	}
	f := it.Fact
	s := fmt.Sprintf("%s %s %s", f.Subject, f.Relation, f.Object)
	if f.Literal != "" {
		s += fmt.Sprintf("%q", f.Literal)
	}
	if f.Weight != 0 {
		s += fmt.Sprintf(" *%v", f.Weight)
	}
	if f.Source != "" {
		s += " @" + f.Source
	}
	return s
}

// problems gives the diagnostics of reading the paths.
func problems(t *testing.T, opt Options, paths ...string) sdk.Diagnostics {
	t.Helper()
	items, err := Open(context.Background(), paths, opt)
	if err == nil {
		for it, e := range items {
			if e == nil {
				t.Fatalf("an item came in spite of problems: %s", show(it))
			}
			err = e
		}
	}
	ds, _, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok, "%v", err)
	for i := range ds {
		if ds[i].File != "" {
			ds[i].File = filepath.Base(ds[i].File)
		}
	}
	return ds
}

func TestSPO(t *testing.T) {
	paths := write(t, "a.spo", "\ufeffaspirin\ttreats\tpain\r\n\nCafe\u0301\tin\tParis", "b.spo", "aspirin\tis\tdrug\n")
	assert.Equal(t, []string{"Café () Café", "Paris () Paris", "aspirin () aspirin", "drug () drug", "pain () pain",
		"aspirin treats pain", "Café in Paris", "aspirin is drug"}, read(t, Options{}, paths...))
}

// What does not fit in memory is sorted and merged on disk, with the same result.
func TestSpoolOnDisk(t *testing.T) {
	s := newSpool(t.TempDir())
	s.budget = 2 << 20
	rng := rand.New(rand.NewPCG(1, 2))
	want, types, facts := map[string]bool{}, map[string]string{}, 0
	long := strings.Repeat("x", 300)
	for range 150_000 {
		id := fmt.Sprintf("e%d", rng.IntN(60_000))
		want[id] = true
		switch rng.IntN(3) {
		case 0:
			require.NoError(t, s.mention(id))
		case 1:
			require.NoError(t, s.add(part{id: id, typ: "T" + id, names: []name{{id + long, 1}, {"first " + id, 0}}}))
			types[id] = "T" + id
		default:
			require.NoError(t, s.add(part{id: id, props: []prop{{"k", long + long}}}))
			require.NoError(t, s.fact(sdk.Fact{Subject: id, Relation: "r", Literal: long, Weight: float64(facts)}))
			facts++
		}
	}
	require.Greater(t, len(s.runs), 1)
	require.NotNil(t, s.facts.file)
	last, n := "", 0
	require.NoError(t, s.entities(func(e sdk.Entity) bool {
		require.Less(t, last, e.ID)
		require.True(t, want[e.ID])
		require.Equal(t, types[e.ID], e.Type)
		if e.Type != "" {
			require.Equal(t, []string{"first " + e.ID, e.ID + long}, e.Names)
		}
		last = e.ID
		n++
		return true
	}))
	assert.Equal(t, len(want), n)
	n = 0
	require.NoError(t, s.each(func(f sdk.Fact) bool {
		require.Equal(t, float64(n), f.Weight)
		n++
		return true
	}))
	assert.Equal(t, facts, n)
	dir := s.dir
	require.NoError(t, s.close())
	assert.NoDirExists(t, dir)
}
