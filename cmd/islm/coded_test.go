package main

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing/fstest"

	"github.com/islm-dev/islm/sdk"
)

// codedDomain is the plugin islm-plugin-coded of the script command `coded`: a
// domain whose rules call functions of the plugin.
func codedDomain() sdk.Domain {
	return sdk.Domain{
		FS: fstest.MapFS{
			"domain.yaml": {Data: []byte("schema: islm/domain.v0\nname: coded\nversion: 1.0.0\nsummary: Rules with functions.\nlicences: [{data: \"*\", spdx: CC0-1.0}]\n" +
				"heads:\n  - {name: label, kind: classify.v0, labels: [up, down]}\n")},
			"rules/r.yaml": {Data: []byte(`schema: islm/rules.v1
rules:
  - {id: shuffle, match: {literal: [profit, loss]}, do: {kind: code.v0, func: shuffle, params: {first: the}}, labels: {keep: all}}
  - {id: rename, match: {literal: weak}, do: {kind: code.v0, func: rename}, labels: {keep: all}}
`)},
		},
		Augmenters: map[string]sdk.Augmenter{
			// shuffle puts the words of a text into another order, behind a word of the rule's.
			"shuffle": func(ctx context.Context, ex sdk.Example, rng *rand.Rand) ([]sdk.Example, error) {
				words := strings.Fields(ex.Text)
				rng.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
				ex.Text = sdk.Param(ctx, "first") + " " + strings.Join(words, " ")
				return []sdk.Example{ex}, nil
			},
			// rename gives a label that the head does not have.
			"rename": func(_ context.Context, ex sdk.Example, _ *rand.Rand) ([]sdk.Example, error) {
				ex.Text += " again"
				ex.Labels = map[string]sdk.Label{"label": {Values: []string{"sideways"}}}
				return []sdk.Example{ex}, nil
			},
		},
	}
}
