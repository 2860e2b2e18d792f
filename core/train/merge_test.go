//go:build torch

package train

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// adapterFolder saves an adapter of random weights on a base, with heads whose weights
// are random too.
func adapterFolder(t *testing.T, from string, heads []sdk.HeadSpec, knowledge *recipe.KnowledgePlan, injection *recipe.Injection) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, torch.Do(func() {
		m, diags := model.Load(from, heads, model.Options{Device: torch.CPU, Seed: 5, Knowledge: knowledge, Injection: injection, Adapt: func(cfg *hf.Config) *peft.Config {
			c := model.NewAdapter(cfg, recipe.PeftLoRA, &recipe.PeftPlan{Rank: 4, Alpha: 8}, 1)
			c.Base = from
			return c
		}})
		require.NoError(t, diags.Err())
		defer m.Close()
		torch.NoGrad(func() {
			for _, p := range m.Params() {
				if p.Adapter() || p.Head != "" && !p.Based() || p.Knowledge() {
					torch.InitNormal(p.Value, 9, p.Name, 0, 0.3)
				}
			}
			require.NoError(t, m.Save(dir, ""))
		})
	}))
	return dir
}

// An adapter with a head of any kind can be merged, and the heads say the same after.
func TestMergeEveryHead(t *testing.T) {
	three := []string{"a", "b", "c"}
	specs := []sdk.HeadSpec{
		{Kind: sdk.KindClassify, Labels: three}, {Kind: sdk.KindClassify, Labels: three[:2], Loss: "bce"}, {Kind: sdk.KindMultilabel, Labels: three},
		{Kind: sdk.KindPair, Labels: three}, {Kind: sdk.KindTag, Labels: three}, {Kind: sdk.KindTag, Labels: three, CRF: true},
		{Kind: sdk.KindSpan, Labels: three}, {Kind: sdk.KindQA}, {Kind: sdk.KindRelation, Labels: three}, {Kind: sdk.KindRegress},
		{Kind: sdk.KindRank}, {Kind: sdk.KindRank, Loss: "mse"}, {Kind: sdk.KindRank, Loss: sdk.LossMNR}, {Kind: sdk.KindRank, Loss: sdk.LossCosine},
		{Kind: sdk.KindEmbed}, {Kind: sdk.KindEmbed, Loss: sdk.LossCosine, Pooling: "cls"}, {Kind: sdk.KindMLM}, {Kind: sdk.KindCLM}, {Kind: sdk.KindGenerate},
		{Kind: sdk.KindPattern, Labels: three[:2], Options: map[string]string{sdk.OptionWords: "7 8"}},
		{Kind: sdk.KindPattern, Labels: three[:2], Options: map[string]string{sdk.OptionWords: "7 8", sdk.OptionCausal: "on"}},
	}
	left := map[string]bool{}
	for _, kind := range sdk.HeadKinds() {
		left[kind] = true
	}
	for _, spec := range specs {
		spec.Name = "task"
		delete(left, spec.Kind)
		for name, from := range map[string]string{"bert": base, "gpt2": "../model/testdata/lm/gpt2", "llama": "../model/testdata/lm/llama"} {
			causal := name != "bert"
			switch {
			case spec.Kind == sdk.KindMLM && causal, (spec.Kind == sdk.KindCLM || spec.Kind == sdk.KindGenerate) && !causal,
				spec.Kind == sdk.KindPattern && causal != (spec.Options[sdk.OptionCausal] == "on"), spec.Pooling == "cls" && causal:
				continue
			}
			t.Run(strings.Join([]string{name, spec.Kind, spec.Loss}, " "), func(t *testing.T) {
				heads := []sdk.HeadSpec{spec}
				dir, out := adapterFolder(t, from, heads, nil, nil), t.TempDir()
				res, err := Engine{}.Merge(t.Context(), &recipe.MergeJob{Model: dir, Base: from, Heads: heads, Primary: spec.Name, Out: out})
				require.NoError(t, err)
				require.Less(t, res.Scores, 1e-2)
				require.FileExists(t, filepath.Join(out, hf.WeightsFile))
			})
		}
	}
	require.Empty(t, left)
}

// Injected knowledge is part of what is merged: the merged folder says what the
// adapter said.
func TestMergeKnowledge(t *testing.T) {
	_, all := loadTrajectory(t)
	for _, ways := range append([][]string{recipe.InjectWays()}, []string{recipe.InjectGazetteer}, []string{recipe.InjectFeatures}, []string{recipe.InjectText}) {
		t.Run(strings.Join(ways, "+"), func(t *testing.T) {
			p := plan()
			p.Knowledge = recipe.KnowledgePlan{Inject: ways, EntityLayers: []float64{0}}
			in := injection()
			if !p.Knowledge.Has(recipe.InjectGazetteer) {
				in.Marks = 0
			}
			if !p.Knowledge.Has(recipe.InjectFeatures) {
				in.Features, in.Slots = 0, 0
			}
			if !p.Knowledge.Has(recipe.InjectEntity) {
				in.Dim, in.Vector = 0, nil
			}
			dir, out := adapterFolder(t, base, topic(), &p.Knowledge, in), t.TempDir()
			res, err := Engine{}.Merge(t.Context(), &recipe.MergeJob{Model: dir, Base: base, Heads: topic(), Primary: "topic", Plan: p, Injection: in, Out: out})
			require.NoError(t, err)
			require.Less(t, res.Scores, 1e-2)
			said := func(dir string) (scores [][]float32) {
				got, err := Engine{}.Predict(t.Context(), &recipe.PredictJob{Model: dir, Base: base, Heads: topic(), Rows: &rows{all: knowing(all[:12]), size: 4}, Plan: p, Injection: in, Precision: "fp32", Device: "cpu", Threads: 1})
				require.NoError(t, err)
				for _, g := range got {
					scores = append(scores, g.Heads[0].Scores)
				}
				return scores
			}
			was, is := said(dir), said(out)
			for i := range was {
				require.InDeltaSlice(t, was[i], is[i], 1e-4)
			}
			cfg, ds := hf.ReadConfig(out)
			require.Empty(t, ds)
			require.NotEmpty(t, cfg.Requires)
		})
	}
}
