package kg

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment/gazetteer"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

// refused expects a diagnostic with a remedy, and no change of the folder.
func refused(t *testing.T, dir, code string) {
	t.Helper()
	before, err := os.ReadDir(dir)
	if err != nil {
		before = nil
	}
	s, err := Open(dir)
	if !assert.Error(t, err) {
		require.NoError(t, s.Close())
		return
	}
	ds, _, ok := sdk.DiagnosticsOf(err)
	if assert.True(t, ok, "a diagnostic, not %v", err) {
		assert.Equal(t, code, ds[0].Code)
		assert.NotEmpty(t, ds[0].Remedy)
	}
	after, err := os.ReadDir(dir)
	if err == nil {
		assert.Len(t, after, len(before))
	}
}

func TestDamagedStores(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kg")
	s, _ := build(t, dir, first(small()), second(small()))
	require.NoError(t, s.Close())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		code := "kg.damaged"
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		gone := code
		if e.Name() == headerName {
			gone = "kg.foreign"
		}
		t.Run(e.Name(), func(t *testing.T) {
			c := copyDir(t, dir)
			file := filepath.Join(c, e.Name())
			for n := 0; n < len(raw); n += max(1, len(raw)/7) {
				require.NoError(t, os.WriteFile(file, raw[:n], 0o644))
				refused(t, c, code)
			}
			for n := 0; n < len(raw); n += max(1, len(raw)/23) {
				bad := append([]byte{}, raw...)
				bad[n] ^= 0x41
				require.NoError(t, os.WriteFile(file, bad, 0o644))
				refused(t, c, code)
			}
			require.NoError(t, os.WriteFile(file, append(append([]byte{}, raw...), 'x'), 0o644))
			refused(t, c, code)
			require.NoError(t, os.Remove(file))
			refused(t, c, gone)
		})
	}
	refused(t, filepath.Join(dir, "none"), "kg.missing")
	refused(t, t.TempDir(), "kg.foreign")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "000099.sst"), []byte("more"), 0o644))
	refused(t, dir, "kg.foreign")
}

// TestForgedPages opens a store whose checksums are right and whose pages are not.
func TestForgedPages(t *testing.T) {
	for _, page := range [][]byte{nil, {200}, {1, 255, 255, 3}, {2, 4}, {4, 8, 8, 8, 8, 1, 2, 3}} {
		_, _, err := pagePart(page, 0)
		require.ErrorIs(t, err, errDamaged)
		r := reader{b: page}
		r.edges(nil)
		r = reader{b: page}
		r.statements(nil)
		_, err = idAt(page, 3, nil)
		require.Error(t, err)
		require.NoError(t, eachID(nil, func(int, []byte) bool { return true }))
	}
}

func FuzzPages(f *testing.F) {
	f.Add(appendEdges(nil, []edge{{1, 2, 0, 0}, {1, 5, 1, 0.5}, {3, 1, 0, 2}}), 0)
	f.Add(appendIDs(nil, []string{"a", "ab", "b"}), 1)
	f.Add(appendStatements(nil, []statement{{1, 0, 0, "x"}, {1, 1, 3, "y"}}), 2)
	f.Fuzz(func(t *testing.T, page []byte, at int) {
		at &= 63
		if _, _, err := pagePart(page, at); err != nil {
			require.ErrorIs(t, err, errDamaged)
		}
		r := reader{b: page}
		if edges := r.edges(nil); r.err() == nil {
			// What is read whole is written the same way, but for how numbers are spelled.
			again := reader{b: appendEdges(nil, edges)}
			if sortedEdges(edges) {
				require.Equal(t, fmt.Sprint(edges), fmt.Sprint(again.edges(nil)))
			}
		}
		r = reader{b: page}
		r.statements(nil)
		id, err := idAt(page, at, nil)
		if err != nil {
			return
		}
		_ = eachID(page, func(i int, b []byte) bool { return i < at || string(b) == string(id) })
		_, _ = readStrings(page)
		_, _ = parseView(page)
	})
}

func sortedEdges(list []edge) bool {
	for i := 1; i < len(list); i++ {
		if list[i].relation < list[i-1].relation || list[i].relation == list[i-1].relation && list[i].other < list[i-1].other {
			return false
		}
	}
	return true
}

func TestFolders(t *testing.T) {
	ctx := context.Background()
	entities, facts := small()
	parent := t.TempDir()
	dir := filepath.Join(parent, "deep", "kg")
	_, err := Build(ctx, dir, "", stream(entities, facts), BuildOptions{})
	require.NoError(t, err)
	_, err = Build(ctx, dir, "", stream(entities, facts), BuildOptions{})
	ds, _, _ := sdk.DiagnosticsOf(err)
	require.Len(t, ds, 1)
	assert.Equal(t, "kg.occupied", ds[0].Code)
	empty := filepath.Join(parent, "empty")
	require.NoError(t, os.Mkdir(empty, 0o755))
	_, err = Build(ctx, empty, "", stream(entities, facts), BuildOptions{})
	require.NoError(t, err)

	// Nothing is left of what fails.
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = Build(cancelled, filepath.Join(parent, "a"), "", stream(entities, facts), BuildOptions{})
	require.ErrorIs(t, err, context.Canceled)
	for name, items := range map[string][]sdk.FactItem{
		"neither": {{}}, "no id": {{Entity: &sdk.Entity{}}}, "unknown": {{Fact: &sdk.Fact{Subject: "x", Relation: "r", Object: "y"}}},
		"late":  {{Entity: &sdk.Entity{ID: "x"}}, {Fact: &sdk.Fact{Subject: "x", Relation: "r", Literal: "y"}}, {Entity: &sdk.Entity{ID: "z"}}},
		"twice": {{Entity: &sdk.Entity{ID: "x"}}, {Entity: &sdk.Entity{ID: "x"}}},
		"both":  {{Entity: &sdk.Entity{ID: "x"}}, {Fact: &sdk.Fact{Subject: "x", Relation: "r", Object: "x", Literal: "y"}}},
	} {
		_, err = Build(ctx, filepath.Join(parent, "a"), "", func(yield func(sdk.FactItem, error) bool) {
			for _, it := range items {
				if !yield(it, nil) {
					return
				}
			}
		}, BuildOptions{Complete: true})
		_, _, ok := sdk.DiagnosticsOf(err)
		assert.True(t, ok, "%s: %v", name, err)
	}
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	assert.Len(t, left, 2)
}

// TestManyProcesses opens one store in several processes at once.
func TestManyProcesses(t *testing.T) {
	if dir := os.Getenv("KG_TEST_OPEN"); dir != "" {
		s, err := Open(dir)
		require.NoError(t, err)
		assert.Len(t, collect(t, s.Facts()), 5)
		require.NoError(t, s.Close())
		return
	}
	dir := filepath.Join(t.TempDir(), "kg")
	s, _ := build(t, dir, first(small()), second(small()))
	defer func() { require.NoError(t, s.Close()) }()
	var running []*exec.Cmd
	for range 3 {
		c := exec.Command(os.Args[0], "-test.run=^TestManyProcesses$")
		c.Env = append(os.Environ(), "KG_TEST_OPEN="+dir)
		require.NoError(t, c.Start())
		running = append(running, c)
	}
	for _, c := range running {
		assert.NoError(t, c.Wait())
	}
}

func TestJoin(t *testing.T) {
	ctx := context.Background()
	a := Part{"a", stream([]sdk.Entity{{ID: "x", Names: []string{"X"}}}, []sdk.Fact{{Subject: "x", Relation: "r", Object: "y"}})}
	b := Part{"b", stream([]sdk.Entity{{ID: "x", Names: []string{"X"}}}, []sdk.Fact{{Subject: "x", Relation: "r", Literal: "1"}})}
	dir := filepath.Join(t.TempDir(), "kg")
	_, err := Build(ctx, dir, "a,b", Join(a, b), BuildOptions{})
	require.NoError(t, err)
	s, err := Open(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	ids, err := s.ByName("X")
	require.NoError(t, err)
	assert.Equal(t, []string{"a/x", "b/x"}, ids)
	assert.Equal(t, []sdk.Fact{{Subject: "a/x", Relation: "r", Object: "a/y"}, {Subject: "b/x", Relation: "r", Literal: "1"}}, collect(t, s.Facts()))
}

func TestView(t *testing.T) {
	entities, facts := small()
	for i := range 40 { // more than a view of five keeps
		facts = append(facts, sdk.Fact{Subject: "100%", Relation: "counts", Literal: fmt.Sprint(i), Weight: float64(i + 1)})
	}
	where := t.TempDir()
	s, info := build(t, filepath.Join(where, "kg"), entities, facts)
	defer func() { require.NoError(t, s.Close()) }()
	vectors, ids := filepath.Join(where, "v.safetensors"), filepath.Join(where, "entities.txt")
	require.NoError(t, safetensors.Write(vectors, []safetensors.Entry{{Name: "entities", DType: "F32", Shape: []int64{2, 1}, Data: []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}}}, nil))
	require.NoError(t, os.WriteFile(ids, []byte("plain id\nhttp://x.example/e/1\n"), 0o644))
	file := filepath.Join(where, ViewName)
	opt := CompileOptions{Facts: 5, Vectors: vectors, VectorIDs: ids}
	require.NoError(t, Compile(t.Context(), s, file, opt))
	v, err := OpenView(where)
	require.NoError(t, err)
	defer func() { require.NoError(t, v.Close()) }()

	assert.Equal(t, info.Digest, v.Digest())
	assert.Equal(t, []string{"Bank", "Person"}, v.Types())
	require.Equal(t, s.Len(), v.Entities())
	for n := range int32(v.Entities()) {
		want, err := s.EntityAt(uint32(n))
		require.NoError(t, err)
		assert.Equal(t, ViewEntity{want.ID, want.Type, want.Names}, v.Entity(n))
		i, ok := v.Index(want.ID)
		assert.True(t, ok)
		assert.Equal(t, n, i)
	}
	at := func(id string) int32 {
		i, ok := v.Index(id)
		require.True(t, ok)
		return i
	}
	_, ok := v.Index("nobody")
	assert.False(t, ok)
	assert.Equal(t, []ViewFact{{"counts", "39", -1, 40}, {"counts", "38", -1, 39}, {"counts", "37", -1, 38}, {"counts", "36", -1, 37}, {"counts", "35", -1, 36}}, v.Facts(at("100%")))
	assert.Equal(t, []ViewFact{{"owns", "Ägidius Öl", at("plain id"), 1}, {"skos:related", "100%", at("100%"), 1}, {"works for", "Erste Bank", at("http://x.example/e/1"), 1}}, v.Facts(at("plain id")))
	assert.Equal(t, 41, v.Degree(at("100%")))
	assert.Equal(t, 1, v.Dim())
	assert.Equal(t, []float32{1}, v.Vector(at("plain id")))
	assert.Equal(t, []float32{2}, v.Vector(at("http://x.example/e/1")))
	assert.Equal(t, []float32{0}, v.Vector(at("100%")))
	var found []gazetteer.Match
	for m := range v.Gazetteer().All("The ERSTE  bank and 艾吉.") {
		found = append(found, m)
	}
	require.Len(t, found, 2)
	assert.Equal(t, [2]int{4, 15}, [2]int{found[0].Start, found[0].End})
	assert.Len(t, found[0].IDs, 2)
	for _, i := range []int32{-1, int32(v.Entities())} {
		assert.Empty(t, v.Entity(i))
		assert.Empty(t, v.Facts(i))
		assert.Nil(t, v.Vector(i))
		assert.Equal(t, int32(-1), v.TypeOf(i))
	}

	g := GraphOf(v)
	assert.Equal(t, []string{"http://x.example/e/10", "http://x.example/e/1"}, g.Find("erste bank"))
	assert.Equal(t, "Person", g.Type("plain id"))
	assert.Equal(t, []string{"http://x.example/e/1"}, g.Objects("plain id", "works for"))
	assert.Equal(t, []string{"plain id"}, g.Subjects("http://x.example/e/1", "works for"))
	assert.Len(t, g.OfType("Bank"), 2)

	// Equal stores give equal views, and every damage is seen.
	again := filepath.Join(where, "again")
	require.NoError(t, Compile(t.Context(), s, again, opt))
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	other, err := os.ReadFile(again)
	require.NoError(t, err)
	require.Equal(t, raw, other)
	for n := 0; n < len(raw); n += 13 {
		_, err := parseView(raw[:n])
		require.Error(t, err)
		bad := append([]byte{}, raw...)
		bad[n] ^= 0x10
		_, err = parseView(bad)
		require.Error(t, err, "byte %d", n)
	}
	require.NoError(t, os.WriteFile(again, raw[:len(raw)/2], 0o644))
	_, err = OpenView(again)
	ds, fatal, _ := sdk.DiagnosticsOf(err)
	require.Len(t, ds, 1)
	assert.True(t, fatal)
	assert.Equal(t, "kg.damaged", ds[0].Code)
	require.Error(t, Compile(t.Context(), s, again, CompileOptions{Vectors: vectors}), "two vectors for five entities")
}
