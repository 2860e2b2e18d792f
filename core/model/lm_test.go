//go:build torch

package model

import (
	"math"
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

func lmTarget(r fixtureRow) []recipe.Target {
	return []recipe.Target{{Has: slices.Max(r.Tokens) >= 0, Tokens: r.Tokens}}
}

var mlmHead = []sdk.HeadSpec{{Name: "words", Kind: sdk.KindMLM}}

// A masked language model computes what transformers' BertForMaskedLM does:
// logits, loss, each row's log-loss and every gradient, in micro-batches too.
func TestMaskedLMEqualsTransformers(t *testing.T) {
	for _, name := range []string{"bert", "untied"} {
		t.Run(name, func(t *testing.T) {
			inTorch(t, func() {
				f := loadFixture(t, "lm/"+name, lmTarget)
				m := mustLoad(t, "testdata/lm/"+name, mlmHead, Options{})
				defer m.Close()
				trainAll(m)
				in, err := m.Input(f.rows, 0)
				require.NoError(t, err)
				want, shape := f.tensor(t, "logits")
				v := int(shape[2])
				near(t, onlyReal(in, m.Logits(in, 0).Float32s(), v), onlyReal(in, want, v), 1e-5, "logits")

				loss, err := m.Loss(in, &Pass{Train: true}, m.Norms(f.rows))
				require.NoError(t, err)
				wantLoss, _ := f.tensor(t, "loss")
				require.InDelta(t, float64(wantLoss[0]), loss.Item(), 1e-5)
				loss.Backward()
				compareLMGrads(t, m, f)

				torch.ZeroGrad(values(m))
				norms := m.Norms(f.rows)
				sum := 0.0
				for _, part := range [][]*recipe.Encoded{f.rows[:1], f.rows[1:3], f.rows[3:]} {
					in, err := m.Input(part, 19)
					require.NoError(t, err)
					loss, err := m.Loss(in, &Pass{Train: true}, norms)
					require.NoError(t, err)
					if loss == nil {
						require.Len(t, part, 1, "the last row has no target")
						continue
					}
					sum += loss.Item()
					loss.Backward()
				}
				require.InDelta(t, float64(wantLoss[0]), sum, 1e-5)
				compareLMGrads(t, m, f)

				sums, _ := f.tensor(t, "sums")
				said := predictions(t, m, f.rows, 0)
				tokens := 0
				for i, p := range said {
					require.InDelta(t, float64(sums[i]), p.Heads[0].LogLoss, 1e-4)
					tokens += p.Heads[0].Tokens
				}
				require.InDelta(t, norms[0], float64(tokens), 0)
			})
		})
	}
}

// compareLMGrads is compareGrads where the fixture calls an own decoder's bias
// by its second name.
func compareLMGrads(t *testing.T, m *Model, f *fixture) {
	t.Helper()
	rename := map[string]string{}
	if !m.Config.TieWords {
		rename["words."+hf.BertLM+"bias"] = hf.BertLM + "decoder.bias"
	}
	compareGrads(t, m, f, rename)
}

// A masked language model beside classes, on rows of its own: the joint loss and every
// gradient are PyTorch's, in micro-batches of one task each too.
func TestMaskedLMBesideClasses(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "lm/joint", func(r fixtureRow) []recipe.Target {
			return []recipe.Target{{Has: r.Class >= 0, Class: r.Class}, lmTarget(r)[0]}
		})
		heads := []sdk.HeadSpec{{Name: "topic", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}, Pooling: "mean"}, {Name: "words", Kind: sdk.KindMLM, Weight: 0.3}}
		m := mustLoad(t, "testdata/lm/joint", heads, Options{})
		defer m.Close()
		setHead(t, m, f, 0, "classifier")
		trainAll(m)
		want, _ := f.tensor(t, "loss")
		rename := map[string]string{"topic.classifier.weight": "classifier.weight", "topic.classifier.bias": "classifier.bias"}
		for _, parts := range [][][]*recipe.Encoded{{f.rows}, {f.rows[:2], f.rows[2:]}, {f.rows[:1], f.rows[1:4], f.rows[4:]}} {
			require.InDelta(t, float64(want[0]), backwardIn(t, m, parts), 1e-5)
			compareGrads(t, m, f, rename)
		}
	})
}

func TestCandidates(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "lm/bert", lmTarget)
		m := mustLoad(t, "testdata/lm/bert", mlmHead, Options{})
		defer m.Close()
		torch.NoGrad(func() {
			in, err := m.Input(f.rows, 0)
			require.NoError(t, err)
			got, err := m.Candidates(in, 0, [][]int{{1, 2}, nil, {3}}, 4)
			require.NoError(t, err)
			require.Len(t, got, 3)
			require.Empty(t, got[1])
			logits, shape := f.tensor(t, "logits")
			v := int(shape[2])
			for row, places := range [][]int{{1, 2}, nil, {3}} {
				for j, at := range places {
					z := logits[(row*in.Width+at)*v : (row*in.Width+at+1)*v]
					sum := 0.0
					order := make([]int, v)
					for i, x := range z {
						sum += math.Exp(float64(x))
						order[i] = i
					}
					slices.SortFunc(order, func(a, b int) int {
						if z[a] > z[b] {
							return -1
						}
						return 1
					})
					require.Len(t, got[row][j], 4)
					for i, c := range got[row][j] {
						require.Equal(t, order[i], int(c.ID))
						require.InDelta(t, math.Exp(float64(z[order[i]]))/sum, float64(c.P), 1e-5)
					}
				}
			}
			_, err = m.Candidates(in, 0, [][]int{{12}}, 4)
			require.ErrorContains(t, err, "no position 12")
		})
	})
}

// A head that the folder lacks begins as transformers' does: LayerNorm with
// ones, biases of zero. What is saved loads again with the same answers, and a
// pooler that the base had is still there for a later head.
func TestMaskedLMRoundTrip(t *testing.T) {
	dir := t.TempDir()
	inTorch(t, func() {
		f := loadFixture(t, "lm/bert", lmTarget)
		m := mustLoad(t, "testdata/base", mlmHead, Options{Seed: 3})
		defer m.Close()
		require.False(t, m.ReadsPooler())
		for _, v := range m.Heads[0].lm.transform.norm.weight.Value.Float32s() {
			require.Equal(t, float32(1), v)
		}
		for _, v := range m.Heads[0].lm.decoder.bias.Value.Float32s() {
			require.Zero(t, v)
		}
		require.NotZero(t, m.Heads[0].lm.transform.dense.weight.Value.Abs().Sum().Item())
		require.NoError(t, m.Save(dir, ""))
		again := mustLoad(t, dir, mlmHead, Options{Trained: true})
		defer again.Close()
		require.Equal(t, predictions(t, m, f.rows, 0), predictions(t, again, f.rows, 0))
		later := mustLoad(t, dir, jointHeads()[:1], Options{})
		defer later.Close()
		require.False(t, later.NewPooler)
	})
	heads, diags := hf.ReadHeads(dir)
	require.Empty(t, diags)
	require.Equal(t, mlmHead, heads.Heads)
	text, err := os.ReadFile(filepath.Join(dir, hf.ConfigFile))
	require.NoError(t, err)
	require.Contains(t, string(text), `"BertForMaskedLM"`)

	// Beside another primary head it lies in islm/.
	inTorch(t, func() {
		m := mustLoad(t, "testdata/lm/bert", append(jointHeads()[1:], mlmHead...), Options{Seed: 3})
		defer m.Close()
		dir := t.TempDir()
		require.NoError(t, m.Save(dir, "ner"))
		again := mustLoad(t, dir, append(jointHeads()[1:], mlmHead...), Options{Trained: true})
		defer again.Close()
		require.Equal(t, m.Heads[1].lm.transform.dense.weight.Value.Float32s(), again.Heads[1].lm.transform.dense.weight.Value.Float32s())
	})
}

func TestLMTargetsOutOfPlace(t *testing.T) {
	inTorch(t, func() {
		m := mustLoad(t, "testdata/lm/bert", mlmHead, Options{})
		defer m.Close()
		for want, tokens := range map[string][]int32{"4 target tokens for 3 ids": {-1, -1, -1, 1}, "target token 61": {61}} {
			row := &recipe.Encoded{ID: "r", IDs: []int32{2, 7, 3}, Targets: []recipe.Target{{Has: true, Tokens: tokens}}}
			in, err := m.Input([]*recipe.Encoded{row}, 0)
			require.NoError(t, err)
			_, err = m.Loss(in, &Pass{}, []float64{1})
			require.ErrorContains(t, err, want)
			_, err = m.Predict(in, false)
			require.ErrorContains(t, err, want)
		}
	})
	_, diags := Load("testdata/lm/bert", []sdk.HeadSpec{{Name: "x", Kind: sdk.KindMLM, Pooling: "mean", Loss: "bce"}}, Options{})
	require.True(t, diags.HasErrors())
	require.Equal(t, 2, strings.Count(diags.String(), "head.spec"))
}

// A pattern's labels have the mean logits that transformers gives their words in the
// gap; loss and gradient are those of a cross-entropy among the labels. The head
// reads the language model of the folder and comes back from a saved one.
func TestPatternsEqualTransformers(t *testing.T) {
	for name, architecture := range map[string]string{"bert": "BertForMaskedLM", "gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM"} {
		t.Run(name, func(t *testing.T) { patternsEqualTransformers(t, name, architecture) })
	}
}

func patternsEqualTransformers(t *testing.T, name, architecture string) {
	inTorch(t, func() {
		words := [][]int{{7, 11}, {5}, {20}}
		class := func(i int) int32 { return int32(i % 3) }
		row := int32(0)
		f := loadFixture(t, "lm/"+name, func(fixtureRow) []recipe.Target {
			row++
			return []recipe.Target{{Has: true, Class: class(int(row)), Marks: [2]int32{1 + row%2, 0}}}
		})
		heads := []sdk.HeadSpec{{Name: "label", Kind: sdk.KindPattern, Labels: []string{"a", "b", "c"}, Options: map[string]string{sdk.OptionWords: "7,11 5 20"}}}
		if name != "bert" {
			_, diags := Load("testdata/lm/"+name, heads, Options{})
			require.Contains(t, diags.String(), "another kind of language model")
			heads[0].Options[sdk.OptionCausal] = "on"
		}
		m := mustLoad(t, "testdata/lm/"+name, heads, Options{})
		defer m.Close()
		trainAll(m)
		logits, shape := f.tensor(t, "logits")
		said := predictions(t, m, f.rows, 0)
		want, bias := 0.0, make([]float64, shape[2])
		for i, r := range f.rows {
			z, sum := make([]float64, 3), 0.0
			for k, ids := range words {
				for _, id := range ids {
					z[k] += float64(logits[(i*int(shape[1])+int(r.Targets[0].Marks[0]))*int(shape[2])+id]) / float64(len(ids))
				}
				sum += math.Exp(z[k])
			}
			y := int(r.Targets[0].Class)
			want += (math.Log(sum) - z[y]) / float64(len(f.rows))
			for k, ids := range words {
				p := math.Exp(z[k]) / sum
				require.InDelta(t, p, said[i].Heads[0].Scores[k], 1e-5)
				if k == y {
					p--
				}
				for _, id := range ids {
					bias[id] += p / float64(len(ids)*len(f.rows))
				}
			}
		}
		in, err := m.Input(f.rows, 0)
		require.NoError(t, err)
		loss, err := m.Loss(in, &Pass{Train: true}, m.Norms(f.rows))
		require.NoError(t, err)
		require.InDelta(t, want, loss.Item(), 1e-5)
		loss.Backward()
		found := false
		for _, p := range m.Params() {
			if p.Name == "label."+hf.BertLM+"bias" {
				found = true
				for id, g := range p.Value.Grad().Float32s() {
					require.InDelta(t, bias[id], g, 1e-6)
				}
			}
		}
		require.Equal(t, name == "bert", found, "causal models have no bias there")

		dir := t.TempDir()
		require.NoError(t, m.Save(dir, "label"))
		again := mustLoad(t, dir, heads, Options{Trained: true})
		defer again.Close()
		require.Equal(t, said, predictions(t, again, f.rows, 0))
		cfg, diags := hf.ReadConfig(dir)
		require.Empty(t, diags)
		require.Equal(t, architecture, cfg.Architecture)
	})
}

// An adapter beside whose first head stands a language model that the base brings
// leaves that head in the base: the folder loads, says the same, and keeps the head
// when it is merged.
func TestAdapterKeepsBasesLanguageModel(t *testing.T) {
	for _, at := range []string{"bert lora", "untied lora", "roberta lora", "distilbert lora", "albert lora", "gpt2 lora", "llama lora", "untied houlsby", "untied ptuning", "llama ia3"} {
		t.Run(at, func(t *testing.T) {
			name, method, _ := strings.Cut(at, " ")
			from := "testdata/lm/" + name
			cfg, ds := hf.ReadConfig(from)
			require.Empty(t, ds)
			words := sdk.HeadSpec{Name: "words", Kind: sdk.KindMLM}
			if cfg.Causal() {
				words.Kind = sdk.KindCLM
			}
			heads := []sdk.HeadSpec{abc, words}
			inTorch(t, func() {
				f := loadFixture(t, "lm/"+name, archTarget)
				says := func(m *Model) (out [2][]float32) {
					in, err := m.Input(f.rows, 0)
					require.NoError(t, err)
					for h := range out {
						out[h] = m.Logits(in, h).Float32s()
					}
					return out
				}
				near2 := func(got, want [2][]float32, what string) {
					for h := range want {
						near(t, got[h], want[h], 1e-5, what)
					}
				}
				m := mustLoad(t, from, heads, Options{Seed: 3, Adapt: func(cfg *hf.Config) *peft.Config {
					c := NewAdapter(cfg, method, &recipe.PeftPlan{Rank: 2, Alpha: 4, Tokens: 2, Bottleneck: 4, Act: "gelu"}, 1)
					c.Base = from
					return c
				}})
				defer m.Close()
				torch.NoGrad(func() {
					for _, p := range m.Params() {
						if p.Adapter() {
							torch.InitNormal(p.Value, 9, p.Name, 0, 0.3)
						}
					}
				})
				want := says(m)
				dir, whole := t.TempDir(), t.TempDir()
				require.NoError(t, m.Save(dir, abc.Name))
				again := mustLoad(t, dir, heads, Options{Trained: true, Base: from})
				defer again.Close()
				near2(says(again), want, "the adapter")
				if !recipe.Mergeable(method) {
					return
				}
				torch.NoGrad(func() { require.NoError(t, again.Merge()) })
				require.NoError(t, again.Save(whole, abc.Name))
				merged := mustLoad(t, whole, heads, Options{Trained: true})
				defer merged.Close()
				near2(says(merged), want, "merged")
			})
		})
	}
}

// The pooler of a base that is a language model lies in its islm/: an adapter that
// reads it brings it along.
func TestAdapterBringsPooler(t *testing.T) {
	inTorch(t, func() {
		lm, dir := t.TempDir(), t.TempDir()
		m := mustLoad(t, base, mlmHead, Options{})
		require.NoError(t, m.Save(lm, ""))
		m.Close()
		f := loadFixture(t, "classify", archTarget)
		in, err := m.Input(f.rows, 0)
		require.NoError(t, err)
		tuned := mustLoad(t, lm, []sdk.HeadSpec{abc}, Options{Adapt: func(cfg *hf.Config) *peft.Config {
			c := NewAdapter(cfg, recipe.PeftLoRA, &recipe.PeftPlan{Rank: 2, Alpha: 4}, 1)
			c.Base = lm
			return c
		}})
		defer tuned.Close()
		require.False(t, tuned.NewPooler)
		require.NoError(t, tuned.Save(dir, ""))
		again := mustLoad(t, dir, []sdk.HeadSpec{abc}, Options{Trained: true, Base: lm})
		defer again.Close()
		near(t, again.Logits(in, 0).Float32s(), tuned.Logits(in, 0).Float32s(), 1e-6, "logits")
	})
}
