package core

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// A run that cannot mix is refused with every reason; left out by name, the rule
// hinders nothing.
func TestMixupIsRefused(t *testing.T) {
	p, ds := augment.Load(fstest.MapFS{
		"pack.yaml": {Data: []byte("schema: islm/pack.v1\nname: mixed\nversion: 0.1.0\nsummary: Mixes.\nlicence: Apache-2.0\n")},
		"rules/a.yaml": {Data: []byte("schema: islm/rules.v1\nrules:\n" +
			"  - {id: mix, match: {text: true}, do: mixup.v0, labels: {keep: all}}\n" +
			"  - {id: swap, match: {literal: a}, do: {kind: swap.v0, with: b}, labels: {keep: all}}\n")},
	}, augment.LoadOptions{})
	require.False(t, ds.HasErrors(), "%s", ds)
	r := &rules{}
	require.NoError(t, r.takeMixup([]*augment.Pack{p}, nil))
	require.Equal(t, &recipe.Mixup{Alpha: 0.2}, r.mixing()(&sdk.Example{ID: "1", Text: "some text"}, augment.Draw{}))
	require.Nil(t, r.mixing()(&sdk.Example{ID: "2"}, augment.Draw{}), "no text, nothing to mix")
	class := sdk.HeadSpec{Name: "topic", Kind: sdk.KindClassify}
	require.Empty(t, r.checkMixup(&recipe.Plan{Objective: "finetune"}, []sdk.HeadSpec{class, {Name: "p", Kind: sdk.KindPair}, {Name: "m", Kind: sdk.KindMultilabel}}))

	plan := &recipe.Plan{Objective: recipe.ObjectiveDistill}
	plan.Knowledge.Inject = []string{recipe.InjectGazetteer, recipe.InjectText}
	got := r.checkMixup(plan, []sdk.HeadSpec{class, {Name: "ner", Kind: sdk.KindTag}, {Name: "score", Kind: sdk.KindRegress}, {Name: "like", Kind: sdk.KindEmbed}})
	var paths []string
	for _, d := range got {
		require.Equal(t, "augment.mixup", d.Code)
		require.Contains(t, d.Remedy, "augment.without=[mixed/mix]")
		paths = append(paths, d.Path)
	}
	require.Equal(t, []string{"heads.ner", "heads.score", "heads.like", "knowledge.inject", "objective"}, paths)

	for _, skip := range []string{"mix", "mixed/mix"} {
		left := &rules{}
		require.NoError(t, left.takeMixup([]*augment.Pack{p}, []string{skip}))
		require.Nil(t, left.mixing())
		require.Empty(t, left.checkMixup(plan, []sdk.HeadSpec{{Name: "ner", Kind: sdk.KindTag}}))
	}
}
