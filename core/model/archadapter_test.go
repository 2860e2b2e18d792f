//go:build torch

package model

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

var archAdapters = []string{
	"gpt2-lora", "gpt2-dora", "gpt2-ia3", "gpt2-ptuning", "gpt2-prompt", "gpt2-label-lora", "llama-lora", "llama-ia3", "llama-prompt",
	"distilbert-label-lora", "albert-label-lora", "roberta-label-lora",
}

// Adapters of peft on other architectures than BERT load, compute what they do in
// peft with every gradient, merge, and are saved as they came.
func TestArchAdaptersEqualPeft(t *testing.T) {
	for _, name := range archAdapters {
		t.Run(name, func(t *testing.T) {
			model, method := name[:strings.LastIndexByte(name, '-')], name[strings.LastIndexByte(name, '-')+1:]
			head := sdk.HeadSpec{Name: "clm", Kind: sdk.KindGenerate} // as a folder without heads.yaml declares it
			if strings.HasSuffix(model, "-label") {
				head = abc
			}
			dir, base := filepath.Join("testdata", "archpeft", name), filepath.Join("testdata", "lm", model)
			inTorch(t, func() {
				f := loadFixture(t, "archpeft/"+name, archTarget)
				m := mustLoad(t, dir, []sdk.HeadSpec{head}, Options{Base: base, Trained: true})
				defer m.Close()
				for _, p := range m.Params() {
					p.Value.RequiresGrad(p.Adapter() || p.Head != "" && !p.Based())
				}
				in, err := m.Input(f.rows, 0)
				require.NoError(t, err)
				want, shape := f.tensor(t, "logits")
				logits := func(m *Model) {
					got := m.Logits(in, 0)
					require.Equal(t, shape, got.Shape())
					if len(shape) == 3 {
						compareReal(t, f, got.Float32s(), want, shape)
					} else {
						near(t, got.Float32s(), want, 1e-5, "logits")
					}
				}
				logits(m)
				loss, err := m.Loss(in, &Pass{}, m.Norms(f.rows))
				require.NoError(t, err)
				value, _ := f.tensor(t, "loss")
				near(t, loss.Float32s(), value, 1e-5, "loss")
				loss.Backward()
				compared := 0
				for _, p := range m.Params() {
					if g := p.Value.Grad(); g != nil {
						key := strings.Replace(m.adapterName(p, head.Name), "prompt_embeddings", "prompt_encoder.embedding.weight", 1)
						w, _ := f.tensor(t, "grad."+key)
						near(t, g.Float32s(), w, 1e-5, key)
						compared++
					}
				}
				n := 0
				for _, k := range f.tensors.Names() {
					if strings.HasPrefix(k, "grad.") {
						n++
					}
				}
				require.Equal(t, n, compared, "gradients")

				out := t.TempDir()
				require.NoError(t, m.Save(out, head.Name))
				was, diags := peft.Read(dir)
				require.Empty(t, diags)
				now, diags := peft.Read(out)
				require.Empty(t, diags)
				require.Equal(t, []any{was.TaskType, was.Targets, was.FeedForward, was.FanInOut}, []any{now.TaskType, now.Targets, now.FeedForward, now.FanInOut})
				again := mustLoad(t, out, []sdk.HeadSpec{head}, Options{Base: base, Trained: true})
				defer again.Close()
				logits(again)
				if method != "ptuning" && method != "prompt" {
					torch.NoGrad(func() {
						require.NoError(t, m.Merge())
						logits(m)
					})
				}
			})
		})
	}
}

// The defaults of each architecture are those of peft's own mapping, where it has one.
func TestAdapterDefaults(t *testing.T) {
	plan := recipe.Defaults().Peft
	for model, want := range map[string][]string{
		"gpt2": {"c_attn"}, "llama": {"q_proj", "v_proj"}, "distilbert": {"q_lin", "v_lin"}, "albert": {"query", "value"}, "roberta": {"query", "value"},
	} {
		cfg, diags := hf.ReadConfig(filepath.Join("testdata", "lm", model))
		require.Empty(t, diags)
		require.Equal(t, want, NewAdapter(cfg, recipe.PeftLoRA, &plan, 1).Targets)
	}
	for model, want := range map[string][2][]string{
		"gpt2": {{"c_attn", "mlp.c_proj"}, {"mlp.c_proj"}}, "llama": {{"down_proj", "k_proj", "v_proj"}, {"down_proj"}}, "roberta": {{"key", "output.dense", "value"}, {"output.dense"}},
	} {
		cfg, diags := hf.ReadConfig(filepath.Join("testdata", "lm", model))
		require.Empty(t, diags)
		c := NewAdapter(cfg, recipe.PeftIA3, &plan, 1)
		require.Equal(t, want, [2][]string{c.Targets, c.FeedForward})
	}
}

// all-linear leaves no matrix of the layers out, and no embedding or head in.
func TestAllLinearIsAll(t *testing.T) {
	plan := recipe.Defaults().Peft
	plan.Rank, plan.Targets = 2, []string{recipe.AllLinear}
	for _, model := range []string{"gpt2", "llama", "distilbert-label", "albert-label", "roberta-label"} {
		t.Run(model, func(t *testing.T) {
			inTorch(t, func() {
				m, diags := Load("testdata/lm/"+model, []sdk.HeadSpec{abc}, Options{Device: torch.CPU, Seed: 1, Adapt: func(cfg *hf.Config) *peft.Config { return NewAdapter(cfg, recipe.PeftLoRA, &plan, 10) }})
				require.NotNil(t, m, diags.String())
				defer m.Close()
				want := 0
				for _, p := range m.Params() {
					inLayer := slices.ContainsFunc([]string{"layer.", "layers.", "h."}, func(s string) bool { return strings.Contains(p.Name, s) })
					if !p.Adapter() && p.Value.Dim() == 2 && inLayer {
						want++
						require.NotNil(t, p.adapter, p.Name)
					} else if !p.Adapter() {
						require.True(t, p.adapter == nil || strings.HasPrefix(p.Name, "pooler."), p.Name)
					}
				}
				require.Positive(t, want)
			})
		})
	}
}

// Every method that an architecture takes begins, trains and answers as it says;
// others are refused with the reason. Virtual tokens go with cached generation.
func TestArchAdapterMethods(t *testing.T) {
	plan := recipe.Defaults().Peft
	plan.Rank, plan.Tokens, plan.Bottleneck = 2, 3, 4
	for _, model := range []string{"gpt2", "llama", "distilbert-label", "albert-label"} {
		head := sdk.HeadSpec{Name: "clm", Kind: sdk.KindGenerate} // as a folder without heads.yaml declares it
		if strings.HasSuffix(model, "-label") {
			head = abc
		}
		for _, method := range recipe.PeftMethods() {
			if !recipe.HasAdapter(method) {
				continue
			}
			t.Run(model+"-"+method, func(t *testing.T) {
				inTorch(t, func() {
					dir := "testdata/lm/" + model
					m, diags := Load(dir, []sdk.HeadSpec{head}, Options{Device: torch.CPU, Seed: 1, Adapt: func(cfg *hf.Config) *peft.Config { return NewAdapter(cfg, method, &plan, 10) }})
					virtual := method == recipe.PeftPrefix || method == recipe.PeftPTuning || method == recipe.PeftPrompt
					if virtual && model != "gpt2" && (model != "llama" || method != recipe.PeftPrompt) {
						require.Nil(t, m)
						require.Contains(t, diags.String(), "virtual tokens")
						return
					}
					require.NotNil(t, m, diags.String())
					defer m.Close()
					f := loadFixture(t, "lm/"+model, archTarget)
					moved := 0
					for _, p := range m.Params() {
						p.Value.RequiresGrad(p.Adapter())
					}
					in, err := m.Input(f.rows, 0)
					require.NoError(t, err)
					loss, err := m.Loss(in, &Pass{Train: true}, m.Norms(f.rows))
					require.NoError(t, err)
					loss.Backward()
					for _, p := range m.Params() {
						if g := p.Value.Grad(); g != nil && g.Abs().Sum().Item() > 0 {
							moved++
						}
					}
					require.Positive(t, moved, "no gradient reaches the adapter")
					if head.Kind != sdk.KindGenerate {
						return
					}
					cases, _ := generateFixture(t)
					opt := cases[0].generation()
					opt.MaxNewTokens = 6
					rows := promptRows(cases[0].Prompts)
					for i, g := range generated(t, m, rows, opt, true) {
						require.Equal(t, generated(t, m, rows[i:i+1], opt, false)[0].IDs, g.IDs)
					}
				})
			})
		}
	}
}

// peft loads adapters of other architectures that islm wrote.
func TestParityOfArchAdapters(t *testing.T) {
	python := os.Getenv("ISLM_PARITY_PY")
	if python == "" {
		t.Skip("set ISLM_PARITY_PY to a Python with transformers and peft, or run make parity")
	}
	for _, name := range []string{"gpt2-lora", "gpt2-label-lora", "llama-lora"} {
		t.Run(name, func(t *testing.T) {
			model := strings.TrimSuffix(name, "-lora")
			head := sdk.HeadSpec{Name: "clm", Kind: sdk.KindGenerate} // as a folder without heads.yaml declares it
			if strings.HasSuffix(model, "-label") {
				head = abc
			}
			dir, base := t.TempDir(), filepath.Join("testdata", "lm", model)
			var f *fixture
			inTorch(t, func() {
				f = loadFixture(t, "archpeft/"+name, archTarget)
				m := mustLoad(t, filepath.Join("testdata", "archpeft", name), []sdk.HeadSpec{head}, Options{Base: base, Trained: true})
				defer m.Close()
				require.NoError(t, m.Save(dir, head.Name))
			})
			_, logits := saidByPeft(t, python, dir, base, f)
			inTorch(t, func() {
				want, shape := f.tensor(t, "logits")
				for k, raw := range logits {
					var flat []float32
					if len(shape) == 2 {
						require.NoError(t, json.Unmarshal(raw, &flat))
						near(t, want[k*int(shape[1]):(k+1)*int(shape[1])], flat, 1e-5, "logits")
						continue
					}
					var rows [][]float32
					require.NoError(t, json.Unmarshal(raw, &rows))
					for _, r := range rows {
						flat = append(flat, r...)
					}
					from := k * int(shape[1]*shape[2])
					near(t, want[from:from+len(flat)], flat, 1e-5, "logits")
				}
			})
		})
	}
}
