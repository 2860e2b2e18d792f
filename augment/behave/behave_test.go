package behave

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/sdk"
)

const rules = `schema: islm/rules.v1
rules:
  - id: synonym
    match: {literal: rose}
    do: {kind: swap.v0, with: [climbed]}
    labels: {keep: all}
    tests:
      fires:
        - {in: "Profit rose.", labels: {mood: good}, out: "Profit climbed."}
        - {in: "Sales rose.", out: "Sales climbed."}
      silent: ["Profit fell.", "Nothing happened."]
      labels:
        - {in: "Costs rose.", labels: {mood: good}, out: "Costs climbed.", out_labels: {mood: good}}
  - id: opposite
    match: {literal: rose}
    do: {kind: swap.v0, with: [fell]}
    labels: {change: {mood: {good: bad}}}
    tests:
      fires:
        - {in: "Profit rose.", labels: {mood: good}, out: "Profit fell.", out_labels: {mood: bad}}
        - {in: "Sales rose.", labels: {mood: good}, out: "Sales fell."}
      silent: ["Profit fell.", "Nothing happened."]
      labels:
        - {in: "Rates rose.", labels: {mood: good, other: x}, out: "Rates fell.", out_labels: {mood: bad}}
`

func pack(t *testing.T) []*augment.Pack {
	t.Helper()
	p, ds := augment.Load(fstest.MapFS{"pack.yaml": {Data: []byte("schema: islm/pack.v1\nname: moves\nversion: 0.1.0\nsummary: Moves.\nlicence: Apache-2.0\n")},
		"rules/all.yaml": {Data: []byte(rules)}}, augment.LoadOptions{})
	require.Empty(t, ds.String())
	return []*augment.Pack{p}
}

// knows is a model that takes texts with one of the words for good.
func knows(words ...string) Predict {
	return func(_ context.Context, examples []sdk.Example) ([]map[string]sdk.Label, error) {
		out := make([]map[string]sdk.Label, len(examples))
		for i, ex := range examples {
			mood := "bad"
			for _, w := range words {
				if strings.Contains(ex.Text, w) {
					mood = "good"
				}
			}
			out[i] = map[string]sdk.Label{"mood": {Values: []string{mood}}}
		}
		return out, nil
	}
}

func find(t *testing.T, rs []Result, rule, test string) Result {
	t.Helper()
	for _, r := range rs {
		if r.Rule == rule && r.Test == test {
			return r
		}
	}
	t.Fatalf("no %s test of %s in %+v", test, rule, rs)
	return Result{}
}

func TestRun(t *testing.T) {
	opt := Options{Heads: map[string][]string{"mood": {"good", "bad"}}}
	perfect, err := Run(t.Context(), pack(t), knows("rose", "climbed"), opt)
	require.NoError(t, err)
	for _, r := range perfect {
		assert.Zero(t, r.Failures, "%+v", r)
		assert.Positive(t, r.Cases)
	}
	assert.Equal(t, 3, find(t, perfect, "synonym", Functionality).Cases, "two texts before and one after")
	assert.Equal(t, 4, find(t, perfect, "synonym", Invariance).Cases, "four texts with the word")
	assert.Equal(t, 4, find(t, perfect, "opposite", Direction).Cases)

	// A model that does not know a synonym breaks invariance there, and nowhere else.
	ignorant, err := Run(t.Context(), pack(t), knows("rose"), opt)
	require.NoError(t, err)
	inv := find(t, ignorant, "synonym", Invariance)
	assert.Equal(t, inv.Cases, inv.Failures)
	assert.Equal(t, Failure{From: "Profit rose.", Text: "Profit climbed.", Before: sdk.Label{Values: []string{"good"}}, Wanted: sdk.Label{Values: []string{"good"}}, Got: sdk.Label{Values: []string{"bad"}}}, inv.Examples[0])
	assert.Zero(t, find(t, ignorant, "opposite", Direction).Failures)
	assert.Equal(t, 1, find(t, ignorant, "synonym", Functionality).Failures)

	// One that takes everything for good misses the direction.
	blind, err := Run(t.Context(), pack(t), knows(""), opt)
	require.NoError(t, err)
	assert.Zero(t, find(t, blind, "synonym", Invariance).Failures)
	dir := find(t, blind, "opposite", Direction)
	assert.Equal(t, dir.Cases, dir.Failures)
}

func TestRunOnOwnTexts(t *testing.T) {
	opt := Options{Heads: map[string][]string{"mood": {"good", "bad"}}, Texts: []sdk.Example{{Text: "Margins rose."}, {Text: "Margins rose."}, {Text: "No."}}}
	rs, err := Run(t.Context(), pack(t), knows("rose"), opt)
	require.NoError(t, err)
	assert.Equal(t, 1, find(t, rs, "synonym", Invariance).Cases, "a text counts once")

	// A model without the heads that the packs speak of is not tested.
	rs, err = Run(t.Context(), pack(t), knows("rose"), Options{Heads: map[string][]string{"topic": {"a"}}})
	require.NoError(t, err)
	assert.Empty(t, rs)

	_, err = Run(t.Context(), pack(t), func(context.Context, []sdk.Example) ([]map[string]sdk.Label, error) { return nil, nil }, opt)
	require.Error(t, err)
}
