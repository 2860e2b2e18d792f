//go:build torch

package model

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

const base = "testdata/base"

var abc = sdk.HeadSpec{Name: "label", Kind: sdk.KindClassify, Labels: []string{"LABEL_0", "LABEL_1", "LABEL_2"}}

var five = sdk.HeadSpec{Name: "tags", Kind: sdk.KindTag, Scheme: "none", Labels: []string{"LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3", "LABEL_4"}}

// trainAdapter freezes what peft freezes.
func trainAdapter(m *Model) {
	for _, p := range m.Params() {
		p.Value.RequiresGrad(p.Adapter() || p.Head != "")
	}
}

// Adapter folders of Hugging Face peft load, and forward and every gradient equal
// peft's (of bottlenecks: plain PyTorch's).
func TestAdaptersEqualPeft(t *testing.T) {
	for _, name := range []string{"lora", "lora-tags", "rslora", "dora", "adalora", "ia3", "ptuning", "ptuning-tags", "prompt", "prompt-tags", "prefix", "houlsby", "pfeiffer", "lora-terms", "adalora-terms"} {
		t.Run(name, func(t *testing.T) {
			tags := strings.HasSuffix(name, "-tags")
			inTorch(t, func() {
				f := loadFixture(t, "peft/"+name, func(r fixtureRow) []recipe.Target {
					if tags {
						return []recipe.Target{{Has: true, Tags: r.Tags}}
					}
					return []recipe.Target{{Has: true, Class: r.Class}}
				})
				head := abc
				if tags {
					head = five
				}
				dir := filepath.Join("testdata", "peft", name)
				m := mustLoad(t, dir, []sdk.HeadSpec{head}, Options{Base: base, Trained: true})
				defer m.Close()
				if name == "prefix" {
					m.Close()
					m = untrainedPrefix(t, f)
				}
				trainAdapter(m)
				in, err := m.Input(f.rows, 0)
				require.NoError(t, err)
				logits := m.Logits(in, 0)
				want, shape := f.tensor(t, "logits")
				require.Equal(t, shape, logits.Shape())
				if tags {
					compareReal(t, f, logits.Float32s(), want, shape)
				} else {
					near(t, logits.Float32s(), want, 1e-5, "logits")
				}
				loss, err := m.Loss(in, &Pass{}, m.Norms(f.rows))
				require.NoError(t, err)
				if extra := m.Regularizer(); extra != nil {
					loss = loss.Add(extra)
				}
				value, _ := f.tensor(t, "loss")
				near(t, loss.Float32s(), value, 1e-5, "loss")
				loss.Backward()
				compared := 0
				for _, p := range m.Params() {
					g := p.Value.Grad()
					if g == nil {
						continue
					}
					key := m.adapterName(p, "label")
					if name == "prefix" || name == "ptuning" || name == "ptuning-tags" || strings.HasPrefix(name, "prompt") {
						key = strings.Replace(key, "prompt_embeddings", "prompt_encoder.embedding.weight", 1)
					}
					if tags {
						key = m.adapterName(p, "tags")
						key = strings.Replace(key, "prompt_embeddings", "prompt_encoder.embedding.weight", 1)
					}
					w, shape := f.tensor(t, "grad."+key)
					require.Equal(t, shape, p.Value.Shape(), key)
					near(t, g.Float32s(), w, 1e-5, key)
					compared++
				}
				n := 0
				for _, k := range f.tensors.Names() {
					if strings.HasPrefix(k, "grad.") {
						n++
					}
				}
				require.Equal(t, n, compared, "gradients")
			})
		})
	}
}

// compareReal leaves the logits of padding out: nothing is read there.
func compareReal(t *testing.T, f *fixture, got, want []float32, shape []int64) {
	t.Helper()
	width, k := int(shape[1]), int(shape[2])
	for i, r := range f.rows {
		from, to := i*width*k, (i*width+len(r.IDs))*k
		near(t, got[from:to], want[from:to], 1e-5, "logits")
	}
}

// untrainedPrefix builds the network that makes a prefix from the fixture.
func untrainedPrefix(t *testing.T, f *fixture) *Model {
	m := mustLoad(t, base, []sdk.HeadSpec{abc}, Options{Adapt: func(cfg *hf.Config) *peft.Config {
		return NewAdapter(cfg, recipe.PeftPrefix, &recipe.PeftPlan{Tokens: 3, Projection: 20}, 1)
	}})
	torch.NoGrad(func() {
		for _, p := range m.Params() {
			if p.Adapter() || p.Head != "" {
				v, shape := f.tensor(t, "start."+m.adapterName(p, "label"))
				p.Value.CopyFrom(torch.FromFloat32(v, shape...))
			}
		}
	})
	return m
}

// A merged adapter computes what it did beside the weights, and the merged weights
// are peft's.
func TestMerge(t *testing.T) {
	for _, name := range []string{"lora", "rslora", "dora", "adalora", "ia3", "lora-terms", "adalora-terms"} {
		t.Run(name, func(t *testing.T) {
			inTorch(t, func() {
				f := loadFixture(t, "peft/"+name, nil)
				m := mustLoad(t, filepath.Join("testdata", "peft", name), []sdk.HeadSpec{abc}, Options{Base: base, Trained: true})
				defer m.Close()
				torch.NoGrad(func() {
					require.NoError(t, m.Merge())
					in, err := m.Input(f.rows, 0)
					require.NoError(t, err)
					want, _ := f.tensor(t, "logits")
					near(t, m.Logits(in, 0).Float32s(), want, 1e-5, "logits")
					byName := map[string]*Param{}
					for _, p := range m.Params() {
						require.False(t, p.Adapter(), p.Name)
						byName[p.Name] = p
					}
					n := 0
					for _, k := range f.tensors.Names() {
						if at, ok := strings.CutPrefix(k, "merged.bert."); ok {
							w, _ := f.tensor(t, k)
							near(t, byName[at].Value.Float32s(), w, 1e-6, at)
							n++
						}
					}
					require.Positive(t, n)
				})
			})
		})
	}
}

// AdaLoRA's ranks fall as peft's allocator lets them, step by step.
func TestAllocateEqualsPeft(t *testing.T) {
	inTorch(t, func() {
		var doc struct {
			Steps   int                 `json:"steps"`
			History []map[string][]bool `json:"history"`
		}
		raw, err := os.ReadFile("testdata/peft/allocate.json")
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, &doc))
		file, err := safetensors.Open("testdata/peft/allocate.safetensors")
		require.NoError(t, err)
		defer file.Close()
		m := mustLoad(t, base, []sdk.HeadSpec{abc}, Options{Adapt: func(cfg *hf.Config) *peft.Config {
			c := NewAdapter(cfg, recipe.PeftAdaLoRA, &recipe.PeftPlan{Rank: 2, InitRank: 4, Alpha: 16, Every: 2, Beta1: 0.85, Beta2: 0.85, Orthogonal: 0.5}, doc.Steps)
			c.Warmup, c.Final = 2, 3
			return c
		}})
		defer m.Close()
		trainAdapter(m)
		read := func(key string) *torch.Tensor {
			e, ok := file.Entry(key)
			require.True(t, ok, key)
			return torch.FromEntry(e)
		}
		torch.NoGrad(func() {
			for _, p := range m.tuning.params {
				p.Value.CopyFrom(read("start." + m.adapterName(p, "label")))
			}
		})
		fell := false
		for s := 1; s <= doc.Steps; s++ {
			for _, p := range m.tuning.params {
				p.Value.SetGrad(read(fmt.Sprintf("grad.%d.%s", s, m.adapterName(p, "label"))))
			}
			m.Allocate(s)
			for _, p := range m.tuning.params {
				if !strings.HasSuffix(p.Name, "lora_E") {
					continue
				}
				var on []bool
				for _, v := range p.Value.Float32s() {
					on = append(on, v != 0)
					fell = fell || v == 0
				}
				require.Equal(t, doc.History[s-1][m.adapterName(p, "label")], on, "step %d, %s", s, p.Name)
			}
		}
		require.True(t, fell)
		for _, p := range m.tuning.params {
			p.Value.SetGrad(nil)
		}
	})
}

// A new adapter changes nothing at first, for each method.
func TestNewAdapterIsNeutral(t *testing.T) {
	plan := recipe.Defaults().Peft
	for _, method := range recipe.PeftMethods() {
		if !recipe.HasAdapter(method) || method == recipe.PeftPrefix || method == recipe.PeftPTuning || method == recipe.PeftPrompt {
			continue // virtual tokens are seen from the start
		}
		t.Run(method, func(t *testing.T) {
			inTorch(t, func() {
				f := loadFixture(t, "classify", nil)
				logits := func(opt Options) []float32 {
					opt.Seed = 4
					m := mustLoad(t, base, []sdk.HeadSpec{abc}, opt)
					defer m.Close()
					in, err := m.Input(f.rows, 0)
					require.NoError(t, err)
					return m.Logits(in, 0).Float32s()
				}
				want := logits(Options{})
				got := logits(Options{Adapt: func(cfg *hf.Config) *peft.Config { return NewAdapter(cfg, method, &plan, 100) }})
				if method == recipe.PeftPfeiffer || method == recipe.PeftDoRA || method == recipe.PeftHoulsby {
					near(t, got, want, 1e-5, method)
				} else {
					require.Equal(t, want, got)
				}
			})
		})
	}
}

// The network of prefixes begins with embeddings of deviation 1, as peft's does.
func TestNewPrefixesDiffer(t *testing.T) {
	inTorch(t, func() {
		m := mustLoad(t, base, []sdk.HeadSpec{abc}, Options{Seed: 4, Adapt: func(cfg *hf.Config) *peft.Config {
			return NewAdapter(cfg, recipe.PeftPrefix, &recipe.PeftPlan{Tokens: 64}, 1)
		}})
		defer m.Close()
		var squares float64
		v := m.tuning.embed.Value.Float32s()
		for _, x := range v {
			squares += float64(x) * float64(x) / float64(len(v))
		}
		require.InDelta(t, 1, squares, 0.2)
	})
}

// Rows of new terms are saved as they came: the config is the base's, which
// transformers loads with it, and the rows follow from the adapter alone. A table that
// peft saved stays whole.
func TestTermRowsTravel(t *testing.T) {
	for name, want := range map[string][]int32{"lora-terms": {97, 5, 96}, "adalora-terms": {97}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			inTorch(t, func() {
				f := loadFixture(t, "peft/"+name, nil)
				m := mustLoad(t, filepath.Join("testdata", "peft", name), []sdk.HeadSpec{abc}, Options{Base: base, Trained: true})
				defer m.Close()
				require.Equal(t, 98, m.Config.VocabSize)
				require.NoError(t, m.Save(dir, abc.Name))
				cfg, diags := hf.ReadConfig(dir)
				require.Empty(t, diags)
				require.Equal(t, 96, cfg.VocabSize)
				c, diags := peft.Read(dir)
				require.Empty(t, diags)
				require.Equal(t, want, c.Rows)
				again := mustLoad(t, dir, []sdk.HeadSpec{abc}, Options{Base: base, Trained: true})
				defer again.Close()
				in, err := again.Input(f.rows, 0)
				require.NoError(t, err)
				logits, _ := f.tensor(t, "logits")
				near(t, again.Logits(in, 0).Float32s(), logits, 1e-5, "logits")
				require.Error(t, again.Unmerge())

				// Merged, it is a plain model of the longer vocabulary.
				torch.NoGrad(func() { require.NoError(t, again.Merge()) })
				plain := t.TempDir()
				require.NoError(t, again.Save(plain, abc.Name))
				merged := mustLoad(t, plain, []sdk.HeadSpec{abc}, Options{Trained: true})
				defer merged.Close()
				in, err = merged.Input(f.rows, 0)
				require.NoError(t, err)
				near(t, merged.Logits(in, 0).Float32s(), logits, 1e-5, "logits")
			})
		})
	}
}

// New rows begin as the base's, so that nothing changes at first, in each
// architecture; they and no other word embeddings have gradients.
func TestNewTermRows(t *testing.T) {
	plan := recipe.Defaults().Peft
	plan.Rank = 2
	for _, model := range []string{"gpt2-label", "distilbert-label", "albert-label", "roberta-label"} {
		t.Run(model, func(t *testing.T) {
			inTorch(t, func() {
				f := loadFixture(t, "lm/"+model, archTarget)
				dir := filepath.Join("testdata", "lm", model)
				id := f.rows[0].IDs[2]
				logits := func(opt Options) []float32 {
					opt.Device, opt.Seed = torch.CPU, 4
					m := mustLoad(t, dir, []sdk.HeadSpec{abc}, opt)
					defer m.Close()
					in, err := m.Input(f.rows, 0)
					require.NoError(t, err)
					if opt.Adapt != nil {
						trainAdapter(m)
						loss, err := m.Loss(in, &Pass{}, m.Norms(f.rows))
						require.NoError(t, err)
						loss.Backward()
						require.Nil(t, m.Encoder.words().Value.Grad())
						moved := false
						for _, p := range m.Params() {
							if p.Row() {
								require.Equal(t, []int64{2, m.Encoder.words().Value.Size(1)}, p.Value.Shape())
								g := p.Value.Grad()
								moved = g.Select(0, 1).Abs().MaxAll().Item() > 0
							}
						}
						require.True(t, moved)
					}
					return m.Logits(in, 0).Float32s()
				}
				want := logits(Options{})
				got := logits(Options{Adapt: func(cfg *hf.Config) *peft.Config {
					c := NewAdapter(cfg, recipe.PeftLoRA, &plan, 10)
					c.Rows, c.BaseRows = []int32{id + 1, id}, cfg.VocabSize
					return c
				}})
				require.Equal(t, want, got)
			})
		})
	}
}

// Beside the output layer of a language model, which reads the same rows, they are
// refused.
func TestTermRowsBesideLanguageModel(t *testing.T) {
	plan := recipe.Defaults().Peft
	inTorch(t, func() {
		m, diags := Load("testdata/lm/gpt2", []sdk.HeadSpec{{Name: "clm", Kind: sdk.KindCLM}}, Options{Device: torch.CPU, Adapt: func(cfg *hf.Config) *peft.Config {
			c := NewAdapter(cfg, recipe.PeftLoRA, &plan, 10)
			c.Rows, c.BaseRows = []int32{5}, cfg.VocabSize
			return c
		}})
		require.Nil(t, m)
		require.Contains(t, diags.String(), "[adapter.vocabulary]")
	})
}
