package main

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

// TestGraph holds what the data sheet says of kg/: its size, no fact twice, no name for two
// entities, a source for each fact, no circle of is_a, and terms that point to it.
func TestGraph(t *testing.T) {
	c, ds := sdk.Load(domain())
	require.Empty(t, ds.String())
	assert.Len(t, c.Facts, 1098)
	assert.Len(t, c.Entities, 552)
	owner, chinese := map[string]string{}, 0
	for _, e := range c.Entities {
		for _, n := range e.Names {
			key := strings.ToLower(n)
			if other := owner[key]; other != "" {
				assert.Equal(t, e.ID, other, "%q names both", n)
			}
			owner[key] = e.ID
			if strings.ContainsFunc(n, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
				chinese++
			}
		}
	}
	assert.Greater(t, chinese, len(c.Entities)*9/10)
	seen, above := map[sdk.Fact]bool{}, map[string][]string{}
	for _, f := range c.Facts {
		assert.NotEmpty(t, f.Source, f.Subject)
		assert.NotEqual(t, f.Subject, f.Object)
		f.Source = ""
		assert.False(t, seen[f], "%+v is there twice", f)
		seen[f] = true
		if f.Relation == "is_a" || f.Relation == "part_of" {
			above[f.Relation+f.Subject] = append(above[f.Relation+f.Subject], f.Object)
		}
		if f.Relation == "opposite_of" {
			assert.False(t, seen[sdk.Fact{Subject: f.Object, Relation: f.Relation, Object: f.Subject}], "%s and %s are opposites twice", f.Subject, f.Object)
		}
	}
	var climb func(relation, from, at string, depth int)
	climb = func(relation, from, at string, depth int) {
		for _, up := range above[relation+at] {
			if require.Less(t, depth, 20); up == from {
				t.Errorf("%s %s leads back to itself", from, relation)
				return
			}
			climb(relation, from, up, depth+1)
		}
	}
	for _, e := range c.Entities {
		climb("is_a", e.ID, e.ID, 0)
		climb("part_of", e.ID, e.ID, 0)
	}
	linked := 0
	for _, term := range c.Terms {
		if term.EntityID != "" {
			linked++
			assert.Equal(t, term.EntityID, owner[strings.ToLower(term.Text)], term.Text)
		}
	}
	assert.Greater(t, linked, len(c.Terms)*95/100)
}
