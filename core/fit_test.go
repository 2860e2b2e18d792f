package core

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Layers and linear maps that a plan names and a model has not are said with those
// that it has.
func TestFitParts(t *testing.T) {
	for _, c := range []struct {
		model, set, path, summary, remedy string
		warning                           bool
	}{
		{model: "bert", set: "train.freeze=[layer 1]"},
		{model: "bert", set: "train.freeze=[layer 7]", path: "train.freeze", summary: "the model's layers are 0-1", remedy: "the model has 2 layers"},
		{model: "bert", set: "train.freeze=[all but top 3]", path: "train.freeze", summary: "the model has 2 layers"},
		{model: "bert", set: "peft.targets=[query, output.dense]"},
		{model: "bert", set: "peft.targets=[all-linear]"},
		{model: "bert", set: "peft.targets=[nonsense]", path: "peft.targets", summary: "(bert) is called nonsense", remedy: "one of: dense, key, query, value, or all-linear"},
		{model: "bert", set: "peft.targets=[quary]", path: "peft.targets", remedy: "did you mean \"query\"?"},
		{model: "bert", set: "peft.targets=[query, q_lin]", path: "peft.targets", summary: "is called q_lin", warning: true},
		{model: "gpt2", set: "peft.targets=[query]", path: "peft.targets", remedy: "one of: c_attn, c_fc, c_proj, or"},
		{model: "gpt2", set: "peft.targets=[mlp.c_proj]"},
		{model: "llama", set: "peft.targets=[c_attn]", path: "peft.targets", remedy: "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"},
		{model: "albert", set: "peft.targets=[nothing]", path: "peft.targets", remedy: "dense, ffn, ffn_output, key, query, value"},
	} {
		t.Run(c.model+" "+c.set, func(t *testing.T) {
			cfg, ds := hf.ReadConfig("model/testdata/lm/" + c.model)
			require.Empty(t, ds)
			sets := []string{c.set}
			if c.set[0] == 'p' {
				sets = append(sets, "train.peft=lora")
			}
			plan, ds := recipe.Resolve(recipe.Sources{Sets: sets})
			require.False(t, ds.HasErrors(), ds)
			got := fitParts(plan, cfg)
			if c.path == "" {
				require.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			require.Equal(t, c.path, got[0].Path)
			require.Equal(t, c.path, got[0].Code)
			require.Contains(t, got[0].Summary, c.summary)
			require.Contains(t, got[0].Remedy, c.remedy)
			require.Equal(t, !c.warning, got[0].Severity == sdk.Error)
		})
	}
}
