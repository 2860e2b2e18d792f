package main

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/islm-dev/islm/sdk"
)

func TestVocabulary(t *testing.T) {
	c, ds := sdk.Load(domain())
	require.Empty(t, ds.String())
	known, names, langs := map[string]bool{}, map[string]bool{}, map[string]int{}
	for _, term := range c.Terms {
		known[term.Text] = true
		langs[term.Lang]++
	}
	for _, term := range c.Terms {
		assert.True(t, term.Canonical == "" || known[term.Canonical], "canonical form %q of %q is no term", term.Canonical, term.Text)
		for _, name := range append([]string{term.Text}, term.Synonyms...) {
			assert.False(t, names[name], "%q names two terms", name)
			names[name] = true
		}
	}
	assert.GreaterOrEqual(t, langs["en"], 40)
	assert.GreaterOrEqual(t, langs["zh"], 40)
}

// TestSample holds what the README says: every label in every split, both
// languages, no text twice.
func TestSample(t *testing.T) {
	c, ds := sdk.Load(domain())
	require.Empty(t, ds.String())
	head := c.Manifest.Heads[0]
	seen, langs := map[string]bool{}, map[string]int{}
	for _, split := range []string{"train", "valid", "test"} {
		rows, ds, err := sdk.Collect(sdk.ReadEmbedded(context.Background(), files, c.Manifest, sdk.ReadRequest{Dataset: "workorders", Split: split}))
		require.NoError(t, err)
		require.Empty(t, ds.String())
		count := map[string]int{}
		for _, ex := range rows {
			require.Len(t, ex.Labels[head.Name].Values, 1, ex.ID)
			label := ex.Labels[head.Name].Values[0]
			require.Contains(t, head.Labels, label, ex.ID)
			count[label]++
			langs[ex.Meta["lang"]]++
			key := strings.ToLower(ex.Text)
			assert.False(t, seen[key], "%s is there twice: %s", ex.ID, ex.Text)
			seen[key] = true
			assert.True(t, norm.NFC.IsNormalString(ex.Text), ex.ID)
			assert.Equal(t, strings.TrimSpace(ex.Text), ex.Text, ex.ID)
		}
		for _, label := range head.Labels {
			assert.Positive(t, count[label], "no %s in %s", label, split)
		}
	}
	assert.GreaterOrEqual(t, len(seen), 60)
	assert.GreaterOrEqual(t, langs["en"], 30)
	assert.GreaterOrEqual(t, langs["zh"], 20)
}
