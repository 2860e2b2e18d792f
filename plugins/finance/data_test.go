package main

import (
	"context"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/islm-dev/islm/sdk"
)

func load(t *testing.T) *sdk.Content {
	t.Helper()
	c, ds := sdk.Load(domain())
	require.Empty(t, ds.String())
	return c
}

// read returns the examples of an embedded dataset by split.
func read(t *testing.T, c *sdk.Content, dataset string) map[string][]sdk.Example {
	t.Helper()
	splits := map[string][]sdk.Example{}
	for _, split := range []string{"train", "valid", "test"} {
		rows, ds, err := sdk.Collect(sdk.ReadEmbedded(context.Background(), files, c.Manifest, sdk.ReadRequest{Dataset: dataset, Split: split}))
		require.NoError(t, err)
		require.Empty(t, ds.String())
		splits[split] = rows
	}
	return splits
}

func TestVocabulary(t *testing.T) {
	c := load(t)
	known, names, langs := map[string]bool{}, map[string]string{}, map[string]int{}
	for _, term := range c.Terms {
		known[term.Text] = true
		langs[term.Lang]++
	}
	assert.GreaterOrEqual(t, len(c.Terms), 600)
	assert.GreaterOrEqual(t, langs["en"], 300)
	assert.GreaterOrEqual(t, langs["zh"], 300)
	for _, term := range c.Terms {
		assert.NotEmpty(t, term.Kind, term.Text)
		assert.True(t, term.Canonical == "" || known[term.Canonical], "canonical form %q of %q is no term", term.Canonical, term.Text)
		for _, name := range append([]string{term.Text}, term.Synonyms...) {
			assert.Empty(t, names[name], "%q names two terms", name)
			names[name] = term.Text
		}
	}
}

func TestNews(t *testing.T) {
	c := load(t)
	all := map[string]int{}
	for split, rows := range read(t, c, "news") {
		count := map[string]int{}
		for _, ex := range rows {
			for _, head := range []string{"sentiment", "topic"} {
				spec, ok := c.Manifest.Head(head)
				require.True(t, ok)
				require.Len(t, ex.Labels[head].Values, 1, ex.ID)
				label := ex.Labels[head].Values[0]
				require.Contains(t, spec.Labels, label, ex.ID)
				count[label]++
				all[label]++
			}
			all[ex.Meta["lang"]]++
			all["rows"]++
		}
		for _, head := range []string{"sentiment", "topic"} {
			spec, _ := c.Manifest.Head(head)
			most, least := 0, len(rows)
			for _, label := range spec.Labels {
				most, least = max(most, count[label]), min(least, count[label])
			}
			assert.Positive(t, least, "a label of %s is missing in %s", head, split)
			assert.LessOrEqual(t, most, 2*least, "labels of %s are unbalanced in %s", head, split)
		}
	}
	assert.GreaterOrEqual(t, all["rows"], 450)
	assert.GreaterOrEqual(t, all["zh"]*3, all["rows"], "a third or more is Chinese")
	assert.GreaterOrEqual(t, all["en"]*2, all["rows"], "half or more is English")
}

func TestEntities(t *testing.T) {
	c := load(t)
	spec, ok := c.Manifest.Head("ner")
	require.True(t, ok)
	rows := 0
	for split, examples := range read(t, c, "entities") {
		count := map[string]int{}
		for _, ex := range examples {
			rows++
			end := 0
			for _, s := range ex.Labels["ner"].Spans {
				count[s.Label]++
				require.Contains(t, spec.Labels, s.Label, ex.ID)
				require.GreaterOrEqual(t, s.Start, end, "%s: spans overlap or are out of order", ex.ID)
				end = s.End
				text := ex.Text[s.Start:s.End]
				assert.Equal(t, strings.TrimSpace(text), text, ex.ID)
				assert.False(t, splitsWord(ex.Text, s.Start) || splitsWord(ex.Text, s.End), "%s: %q cuts a word", ex.ID, text)
				if s.Label == "PERCENT" || s.Label == "MONEY" {
					assert.True(t, strings.ContainsAny(text, "0123456789"), "%s: %q has no figure", ex.ID, text)
				}
			}
		}
		for _, label := range spec.Labels {
			assert.Positive(t, count[label], "no %s in %s", label, split)
		}
	}
	assert.GreaterOrEqual(t, rows, 180)
}

// splitsWord reports whether byte i lies inside a word of letters that are
// written with spaces between words.
func splitsWord(s string, i int) bool {
	if i == 0 || i == len(s) {
		return false
	}
	letter := func(b byte) bool { return b < 0x80 && unicode.IsLetter(rune(b)) }
	return letter(s[i-1]) && letter(s[i])
}

// TestSampleIsDistinct holds the promise that no text repeats or nearly repeats
// another one, within a split or across splits and datasets.
func TestSampleIsDistinct(t *testing.T) {
	c := load(t)
	var ids, texts []string
	var grams []map[string]bool
	seen := map[string]bool{}
	for _, dataset := range []string{"news", "entities"} {
		for _, rows := range read(t, c, dataset) {
			for _, ex := range rows {
				require.False(t, seen[ex.ID], "id %s is there twice", ex.ID)
				seen[ex.ID] = true
				assert.True(t, norm.NFC.IsNormalString(ex.Text), ex.ID)
				assert.Equal(t, strings.TrimSpace(ex.Text), ex.Text, ex.ID)
				ids, texts, grams = append(ids, ex.ID), append(texts, ex.Text), append(grams, fiveGrams(ex.Text))
			}
		}
	}
	for i := range texts {
		for j := range i {
			common := 0
			for g := range grams[i] {
				if grams[j][g] {
					common++
				}
			}
			if union := len(grams[i]) + len(grams[j]) - common; 2*common > union {
				t.Errorf("%s and %s are too much alike:\n%s\n%s", ids[i], ids[j], texts[i], texts[j])
			}
		}
	}
}

// fiveGrams gives the runs of five characters of a text; the shorter text itself.
func fiveGrams(s string) map[string]bool {
	runes := []rune(strings.ToLower(s))
	grams := map[string]bool{}
	for i := 0; i == 0 || i+5 <= len(runes); i++ {
		grams[string(runes[i:min(i+5, len(runes))])] = true
	}
	return grams
}
