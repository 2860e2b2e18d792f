package core

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment"
)

// A rule that nothing would carry out ends a run; left out by name it does not.
func TestMixupIsRefused(t *testing.T) {
	p, ds := augment.Load(fstest.MapFS{
		"pack.yaml": {Data: []byte("schema: islm/pack.v1\nname: mixed\nversion: 0.1.0\nsummary: Mixes.\nlicence: Apache-2.0\n")},
		"rules/a.yaml": {Data: []byte("schema: islm/rules.v1\nrules:\n" +
			"  - {id: mix, match: {text: true}, do: mixup.v0, labels: {keep: all}}\n" +
			"  - {id: swap, match: {literal: a}, do: {kind: swap.v0, with: b}, labels: {keep: all}}\n")},
	}, augment.LoadOptions{})
	require.False(t, ds.HasErrors(), "%s", ds)
	got := mixing([]*augment.Pack{p}, nil)
	require.Len(t, got, 1)
	require.Equal(t, "augment.mixup", got[0].Code)
	require.Contains(t, got[0].Remedy, "augment.without=mixed/mix")
	require.Empty(t, mixing([]*augment.Pack{p}, []string{"mixed/mix"}))
	require.Empty(t, mixing([]*augment.Pack{p}, []string{"mix"}))
}
