package augment_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/sdk"
)

// Engines that share out the rules of a pack draw as the engine of all does: of a
// group one rule acts, and the same one.
func TestTakeKeepsDraws(t *testing.T) {
	p, ds := augment.Load(fstest.MapFS{
		"pack.yaml": {Data: []byte("schema: islm/pack.v1\nname: x\nversion: 0.1.0\nsummary: x\nlicence: Apache-2.0\n")},
		"rules/x.yaml": {Data: []byte("schema: islm/rules.v1\nrules:\n" +
			"  - {id: a, one_of: g, match: {literal: word}, do: {kind: swap.v0, with: left}, labels: {keep: all}}\n" +
			"  - {id: b, one_of: g, match: {literal: word}, do: {kind: swap.v0, with: right}, labels: {keep: all}}\n")},
	}, augment.LoadOptions{})
	require.Empty(t, ds, "%s", ds)
	engine := func(only string) *augment.Engine {
		opt := augment.Options{Seed: 1}
		if only != "" {
			opt.Take = func(pack string, r *augment.CompiledRule) bool { return pack == "x" && r.ID == only }
		}
		e, ds := augment.NewEngine([]*augment.Pack{p}, opt)
		require.Empty(t, ds, "%s", ds)
		return e
	}
	all, a, b := engine(""), engine("a"), engine("b")
	require.Equal(t, 2, all.Rules())
	require.Equal(t, 1, a.Rules())
	count := map[string]int{}
	for i := range 100 {
		ex := sdk.Example{ID: fmt.Sprint(i), Text: "word"}
		d := augment.Draw{Epoch: i % 3}
		want := all.Variant(&ex, d).Text
		count[want]++
		got := []string{a.Variant(&ex, d).Text, b.Variant(&ex, d).Text}
		require.ElementsMatch(t, []string{want, "word"}, got)
	}
	require.Greater(t, count["left"], 25)
	require.Greater(t, count["right"], 25)
}
