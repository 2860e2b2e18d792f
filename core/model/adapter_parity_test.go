//go:build torch

package model

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// Adapter folders that islm writes load in Hugging Face peft with equal logits.
func TestParityWithPeft(t *testing.T) {
	python := os.Getenv("ISLM_PARITY_PY")
	if python == "" {
		t.Skip("set ISLM_PARITY_PY to a Python with transformers and peft, or run make parity")
	}
	at, err := filepath.Abs(base)
	require.NoError(t, err)
	plan := recipe.Defaults().Peft
	plan.Rank, plan.Tokens = 4, 3
	for _, name := range []string{"lora", "rslora", "dora", "adalora", "ia3", "prefix", "ptuning", "prompt", "lora-tags", "prompt-tags", "lora-answers"} {
		t.Run(name, func(t *testing.T) {
			method, tags := strings.CutSuffix(name, "-tags")
			spec := sdk.HeadSpec{Name: "topic", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}}
			if tags {
				spec = sdk.HeadSpec{Name: "ner", Kind: sdk.KindTag, Labels: []string{"PER", "LOC"}}
			}
			if m, ok := strings.CutSuffix(name, "-answers"); ok {
				method, tags = m, true // one list per position, as of tags
				spec = sdk.HeadSpec{Name: "answer", Kind: sdk.KindQA}
			}
			dir := t.TempDir()
			var want [][]float32
			var f *fixture
			inTorch(t, func() {
				f = loadFixture(t, "tag", nil)
				m := mustLoad(t, base, []sdk.HeadSpec{spec}, Options{Seed: 9, Adapt: func(cfg *hf.Config) *peft.Config {
					c := NewAdapter(cfg, method, &plan, 10)
					c.Base = at
					return c
				}})
				defer m.Close()
				torch.NoGrad(func() {
					for _, p := range m.Params() {
						if p.Adapter() {
							scope := torch.Open()
							noise := torch.ZerosLike(p.Value)
							torch.InitNormal(noise, 3, p.Name, 0, 0.2)
							p.Value.CopyFrom(p.Value.Add(noise))
							scope.Close()
						}
					}
					if method == recipe.PeftAdaLoRA {
						// Some ranks are gone, of one map all.
						for i, r := range m.tuning.ranks.maps {
							r.kept = make([]bool, m.tuning.config.Rank)
							for k := range r.kept {
								r.kept[k] = i > 0 && k%2 == i%2
							}
						}
						m.tuning.ranks.silence()
					}
					require.NoError(t, m.Save(dir, spec.Name))
					for k := range f.rows {
						in, err := m.Input(f.rows[k:k+1], 0)
						require.NoError(t, err)
						want = append(want, m.Logits(in, 0).Float32s())
					}
				})
			})
			labels, logits := saidByPeft(t, python, dir, base, f)
			if spec.Kind != sdk.KindQA {
				require.Equal(t, ConfigLabels(spec), labels)
			}
			require.Len(t, logits, len(want))
			for k, raw := range logits {
				var flat []float32
				if tags {
					var rows [][]float32
					require.NoError(t, json.Unmarshal(raw, &rows))
					for _, r := range rows {
						flat = append(flat, r...)
					}
				} else {
					require.NoError(t, json.Unmarshal(raw, &flat))
				}
				near(t, flat, want[k], 1e-5, "logits")
			}
		})
	}
}

// saidByPeft loads an adapter folder with its base in peft: the labels of its config,
// and what it says of the fixture's rows.
func saidByPeft(t *testing.T, python, dir, base string, f *fixture) (labels []string, logits []json.RawMessage) {
	t.Helper()
	input, err := json.Marshal(map[string]any{"rows": f.raw})
	require.NoError(t, err)
	cmd := exec.Command(python, filepath.Join("..", "..", "scripts", "parity", "load_adapter.py"), dir, base)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var got struct {
		Labels []string          `json:"labels"`
		Logits []json.RawMessage `json:"logits"`
	}
	require.NoError(t, json.Unmarshal(out, &got))
	return got.Labels, got.Logits
}

// peft loads rows of new terms that islm wrote, on the resized base.
func TestParityOfTermRows(t *testing.T) {
	python := os.Getenv("ISLM_PARITY_PY")
	if python == "" {
		t.Skip("set ISLM_PARITY_PY to a Python with transformers and peft, or run make parity")
	}
	said := func(t *testing.T, dir, base string, f *fixture) (out []float32) {
		_, logits := saidByPeft(t, python, dir, base, f)
		for _, raw := range logits {
			var row []float32
			require.NoError(t, json.Unmarshal(raw, &row))
			out = append(out, row...)
		}
		return out
	}
	for _, name := range []string{"lora-terms", "adalora-terms"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			inTorch(t, func() {
				f := loadFixture(t, "peft/"+name, nil)
				m := mustLoad(t, filepath.Join("testdata", "peft", name), []sdk.HeadSpec{abc}, Options{Base: base, Trained: true})
				defer m.Close()
				require.NoError(t, m.Save(dir, abc.Name))
				want, _ := f.tensor(t, "logits")
				near(t, said(t, dir, base, f), want, 1e-5, "logits")
			})
		})
	}
	// Other architectures call their word embeddings by other names.
	plan := recipe.Defaults().Peft
	plan.Rank = 2
	for _, model := range []string{"gpt2-label", "distilbert-label", "albert-label", "roberta-label"} {
		t.Run(model, func(t *testing.T) {
			dir, base := t.TempDir(), filepath.Join("testdata", "lm", model)
			inTorch(t, func() {
				f := loadFixture(t, "lm/"+model, archTarget)
				m := mustLoad(t, base, []sdk.HeadSpec{abc}, Options{Seed: 4, Adapt: func(cfg *hf.Config) *peft.Config {
					c := NewAdapter(cfg, recipe.PeftLoRA, &plan, 10)
					c.Base, c.Rows, c.BaseRows = base, []int32{f.rows[0].IDs[2], f.rows[1].IDs[1]}, cfg.VocabSize
					return c
				}})
				defer m.Close()
				var want []float32
				torch.NoGrad(func() {
					for _, p := range m.Params() {
						if p.Row() {
							torch.InitNormal(p.Value, 3, p.Name, 0, 0.5)
						}
					}
					require.NoError(t, m.Save(dir, abc.Name))
					for k := range f.rows {
						in, err := m.Input(f.rows[k:k+1], 0)
						require.NoError(t, err)
						want = append(want, m.Logits(in, 0).Float32s()...)
					}
				})
				near(t, said(t, dir, base, f), want, 1e-5, "logits")
			})
		})
	}
}

// Keys that are missing, have no place or the wrong shape, and what islm cannot
// compute, are diagnostics.
func TestBrokenAdapters(t *testing.T) {
	change := func(t *testing.T, edit func(c map[string]any)) string {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/peft/lora")))
		raw, err := os.ReadFile(filepath.Join(dir, peft.ConfigFile))
		require.NoError(t, err)
		c := map[string]any{}
		require.NoError(t, json.Unmarshal(raw, &c))
		edit(c)
		raw, err = json.Marshal(c)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, peft.ConfigFile), raw, 0o644))
		return dir
	}
	for name, tc := range map[string]struct {
		edit func(c map[string]any)
		code string
	}{
		"misshapen":     {func(c map[string]any) { c["r"] = 5 }, "adapter.shape"},
		"missing":       {func(c map[string]any) { c["target_modules"] = []string{"query", "key", "value"} }, "adapter.missing"},
		"unexpected":    {func(c map[string]any) { c["target_modules"] = []string{"query"} }, "adapter.unexpected"},
		"no such map":   {func(c map[string]any) { c["target_modules"] = []string{"q_proj"} }, "adapter.targets"},
		"other kind":    {func(c map[string]any) { c["peft_type"] = "LOHA" }, "adapter.config"},
		"bias":          {func(c map[string]any) { c["bias"] = "all" }, "adapter.config"},
		"some layers":   {func(c map[string]any) { c["layers_to_transform"] = []int{1} }, "adapter.config"},
		"without some":  {func(c map[string]any) { c["exclude_modules"] = []string{"value"} }, "adapter.config"},
		"parameters":    {func(c map[string]any) { c["target_parameters"] = []string{"query.weight"} }, "adapter.config"},
		"alpha pattern": {func(c map[string]any) { c["alpha_pattern"] = map[string]int{"query": 2} }, "adapter.config"},
		"two scalings":  {func(c map[string]any) { c["use_rslora"], c["use_dora"] = true, true }, "adapter.config"},
		"rank pattern":  {func(c map[string]any) { c["rank_pattern"] = map[string]int{"query": 2} }, "adapter.config"},
		"rows apart":    {func(c map[string]any) { c["trainable_token_indices"] = []int{96, 98} }, "adapter.vocabulary"},
		"rows twice":    {func(c map[string]any) { c["trainable_token_indices"] = []int{5, 5} }, "adapter.config"},
		"other rows":    {func(c map[string]any) { c["trainable_token_indices"] = map[string]any{"lm_head": []int{5}} }, "adapter.config"},
		"no rows":       {func(c map[string]any) { c["trainable_token_indices"] = []int{5} }, "adapter.missing"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := change(t, tc.edit)
			inTorch(t, func() {
				m, diags := Load(dir, []sdk.HeadSpec{abc}, Options{Device: torch.CPU, Base: base, Trained: true})
				require.Nil(t, m)
				require.Contains(t, diags.String(), "["+tc.code+"]")
			})
		})
	}
}
