package augment

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

const votingRules = `schema: islm/rules.v1
rules:
  - id: rose
    match: {regex: '\b(rose|climbed)\b'}
    where: not (text contains "costs")
    do: {kind: label.v0, head: mood, value: good}
    labels: {keep: all}
    tests:
      fires:
        - {in: "Profit rose.", out: "Profit rose.", out_labels: {mood: good}}
        - {in: "Sales climbed.", out: "Sales climbed.", out_labels: {mood: good}}
      silent: ["Profit fell.", "The costs rose."]
      labels:
        - {in: "Sales rose.", labels: {other: x}, out: "Sales rose.", out_labels: {mood: good, other: x}}
  - id: ticker
    match: {regex: '\$[A-Z]{2,5}'}
    do: {kind: label.v0, head: entities, span: TICKER}
    labels: {keep: all}
    tests:
      fires:
        - {in: "Buy $ACM now.", out: "Buy [$ACM](TICKER) now."}
        - {in: "$AB and $CDE", out: "[$AB](TICKER) and [$CDE](TICKER)"}
      silent: ["It costs $5.", "ACM rose."]
      labels:
        - {in: "See $XYZ.", out: "See [$XYZ](TICKER)."}
`

func TestVotes(t *testing.T) {
	p, ds := Load(fstest.MapFS{"pack.yaml": {Data: []byte("schema: islm/pack.v1\nname: votes\nversion: 0.1.0\nsummary: Votes.\nlicence: Apache-2.0\n")},
		"rules/all.yaml": {Data: []byte(votingRules)}}, LoadOptions{})
	require.Empty(t, ds.String())
	rep := p.Test(TestOptions{})
	require.Empty(t, rep.Diagnostics().String())
	assert.Positive(t, rep.Mutants)

	e, ds := NewEngine([]*Pack{p}, Options{Votes: true})
	require.Empty(t, ds)
	assert.Equal(t, []Voter{{Pack: "votes", Rule: "rose", Head: "mood", Value: "good"}, {Pack: "votes", Rule: "ticker", Head: "entities", Value: "TICKER", Span: true}}, e.Voters())
	assert.Equal(t, []Ballot{{Voter: 0}, {Voter: 1, Spans: []sdk.Span{{Start: 0, End: 4, Label: "TICKER"}, {Start: 15, End: 19, Label: "TICKER"}}}},
		e.Votes(&sdk.Example{Text: "$ACM rose, but $OIL fell."}))
	assert.Empty(t, e.Votes(&sdk.Example{Text: "Nothing."}))

	// Augmentation knows nothing of labelling rules.
	e, ds = NewEngine([]*Pack{p}, Options{Certain: true})
	require.Empty(t, ds)
	assert.Zero(t, e.Rules())
	ex := sdk.Example{Text: "Profit rose."}
	assert.Same(t, &ex, e.Variant(&ex, Draw{}))
}
