//go:build torch

package model

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

func archTarget(r fixtureRow) []recipe.Target {
	return []recipe.Target{{Has: true, Class: r.Class, Tags: r.Tags, Tokens: r.Tokens}}
}

var archCases = []string{"roberta", "roberta-label", "roberta-tags", "xlm-roberta", "xlm-roberta-label", "gpt2", "gpt2-label", "gpt2-tags",
	"distilbert", "distilbert-label", "distilbert-tags", "albert", "albert-label", "albert-tags", "llama", "llama-label", "llama-tags", "llama3"}

// Each architecture computes what transformers does: logits, loss, log-losses
// and every gradient; and does not care for padding or micro-batches.
func TestArchitecturesEqualTransformers(t *testing.T) {
	for _, name := range archCases {
		t.Run(name, func(t *testing.T) {
			inTorch(t, func() {
				dir := "testdata/lm/" + name
				heads, diags := hf.ReadHeads(dir)
				require.Empty(t, diags)
				f := loadFixture(t, "lm/"+name, archTarget)
				m := mustLoad(t, dir, heads.Heads, Options{Trained: true})
				defer m.Close()
				trainAll(m)
				in, err := m.Input(f.rows, 0)
				require.NoError(t, err)
				want, shape := f.tensor(t, "logits")
				got := m.Logits(in, 0).Float32s()
				if len(shape) == 3 {
					got, want = onlyReal(in, got, int(shape[2])), onlyReal(in, want, int(shape[2]))
				}
				near(t, got, want, 1e-5, "logits")

				wantLoss, _ := f.tensor(t, "loss")
				norms := m.Norms(f.rows)
				for _, parts := range [][][]*recipe.Encoded{{f.rows}, {f.rows[:2], f.rows[2:]}} {
					torch.ZeroGrad(values(m))
					sum := 0.0
					for i, part := range parts {
						in, err := m.Input(part, 14+i)
						require.NoError(t, err)
						loss, err := m.Loss(in, &Pass{Train: true}, norms)
						require.NoError(t, err)
						sum += loss.Item()
						loss.Backward()
					}
					require.InDelta(t, float64(wantLoss[0]), sum, 1e-5)
					compareGrads(t, m, f, nil)
				}
				if heads.Heads[0].Kind == sdk.KindMLM || heads.Heads[0].Kind == sdk.KindCLM {
					sums, _ := f.tensor(t, "sums")
					for i, p := range predictions(t, m, f.rows, 0) {
						require.InDelta(t, float64(sums[i]), p.Heads[0].LogLoss, 1e-4)
					}
				}
			})
		})
	}
}

// Dropout is keyed by example: padding width and micro-batches change neither
// loss nor gradients.
func TestArchitecturesDropout(t *testing.T) {
	for _, name := range archCases {
		t.Run(name, func(t *testing.T) {
			inTorch(t, func() {
				dir := "testdata/lm/" + name
				heads, _ := hf.ReadHeads(dir)
				f := loadFixture(t, "lm/"+name, archTarget)
				drop := 0.3
				m := mustLoad(t, dir, heads.Heads, Options{Dropout: &drop})
				defer m.Close()
				trainAll(m)
				norms := m.Norms(f.rows)
				run := func(width int, parts ...[]*recipe.Encoded) (sum float64, grads [][]float32) {
					torch.ZeroGrad(values(m))
					for _, part := range parts {
						in, err := m.Input(part, width)
						require.NoError(t, err)
						loss, err := m.Loss(in, &Pass{Train: true, Seed: 3, Step: 5}, norms)
						require.NoError(t, err)
						if loss == nil {
							require.Contains(t, []string{"roberta", "xlm-roberta", "distilbert", "albert"}, name, "the last row has no target")
							continue
						}
						sum += loss.Item()
						loss.Backward()
					}
					for _, p := range m.Params() {
						grads = append(grads, p.Value.Grad().Float32s())
					}
					return sum, grads
				}
				loss, grads := run(0, f.rows)
				plain, err := m.Input(f.rows, 0)
				require.NoError(t, err)
				without, err := m.Loss(plain, &Pass{}, norms)
				require.NoError(t, err)
				require.NotEqual(t, without.Item(), loss)
				wide, wideGrads := run(19, f.rows[:1], f.rows[1:4], f.rows[4:])
				require.InDelta(t, loss, wide, 1e-5)
				for i, p := range m.Params() {
					near(t, wideGrads[i], grads[i], 1e-5, p.Name)
				}
			})
		})
	}
}

// What is saved loads again with the same answers, and has the names, shapes and
// config of the folder that transformers wrote.
func TestArchitecturesRoundTrip(t *testing.T) {
	for _, name := range archCases {
		t.Run(name, func(t *testing.T) {
			from, dir := "testdata/lm/"+name, t.TempDir()
			heads, _ := hf.ReadHeads(from)
			inTorch(t, func() {
				f := loadFixture(t, "lm/"+name, archTarget)
				m := mustLoad(t, from, heads.Heads, Options{Trained: true})
				defer m.Close()
				require.NoError(t, m.Save(dir, ""))
				again := mustLoad(t, dir, heads.Heads, Options{Trained: true})
				defer again.Close()
				require.Equal(t, predictions(t, m, f.rows, 0), predictions(t, again, f.rows, 0))
			})
			cfg, diags := hf.ReadConfig(dir)
			require.Empty(t, diags)
			was, diags := hf.ReadConfig(from)
			require.Empty(t, diags)
			require.Equal(t, was.Architecture, cfg.Architecture)
			require.Equal(t, was.Labels, cfg.Labels)
			a, diags := hf.OpenWeights(from, cfg.ModelType)
			require.Empty(t, diags)
			defer a.Close()
			b, diags := hf.OpenWeights(dir, cfg.ModelType)
			require.Empty(t, diags)
			defer b.Close()
			require.Equal(t, a.Names(), b.Names())
			for _, n := range a.Names() {
				x, _ := a.Find(n)
				y, _ := b.Find(n)
				require.Equal(t, x.Key, y.Key)
				require.Equal(t, x.Shape, y.Shape)
				one, err := x.Read()
				require.NoError(t, err)
				two, err := y.Read()
				require.NoError(t, err)
				require.Equal(t, one, two, n)
			}
		})
	}
}

// transformers loads what islm saved and computes the same.
func TestParityOfArchitectures(t *testing.T) {
	python := os.Getenv("ISLM_PARITY_PY")
	if python == "" {
		t.Skip("set ISLM_PARITY_PY to a Python with transformers, or run make parity")
	}
	const narrow = "narrow-" // a student of half the width
	names := append([]string{"bert", "untied", narrow + "gpt2", narrow + "gpt2-label", narrow + "distilbert-label", narrow + "albert-label", narrow + "llama-label", narrow + "llama3"}, archCases...)
	var raw [][]fixtureRow
	want := make([][][]float32, len(names))
	args := []string{filepath.Join("..", "..", "scripts", "parity", "load_model.py")}
	for i, name := range names {
		base, cut := strings.CutPrefix(name, narrow)
		from, dir := "testdata/lm/"+base, t.TempDir()
		heads, _ := hf.ReadHeads(from)
		if cut {
			student := t.TempDir()
			require.Empty(t, hf.Cut{Hidden: 8}.Write(from, student))
			from = student
		}
		inTorch(t, func() {
			f := loadFixture(t, "lm/"+base, archTarget)
			m := mustLoad(t, from, heads.Heads, Options{Trained: true})
			defer m.Close()
			torch.NoGrad(func() {
				for _, p := range m.Params() {
					p.Value.AddInPlace(torch.Ones(torch.Float32, torch.CPU, p.Value.Shape()...), 0.03)
				}
				for k := range f.rows {
					in, err := m.Input(f.rows[k:k+1], 0)
					require.NoError(t, err)
					want[i] = append(want[i], m.Logits(in, 0).Float32s())
				}
			})
			require.NoError(t, m.Save(dir, ""))
			raw, args = append(raw, f.raw), append(args, dir)
		})
	}
	input, err := json.Marshal(map[string]any{"rows": raw})
	require.NoError(t, err)
	cmd := exec.Command(python, args...)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var got []struct {
		Missing    []string          `json:"missing"`
		Unexpected []string          `json:"unexpected"`
		Logits     []json.RawMessage `json:"logits"`
	}
	require.NoError(t, json.Unmarshal(out, &got))
	require.Len(t, got, len(names))
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, got[i].Missing)
			require.Empty(t, got[i].Unexpected)
			require.Len(t, got[i].Logits, len(want[i]))
			for k, raw := range got[i].Logits {
				var flat []float32
				if strings.HasSuffix(name, "-label") {
					require.NoError(t, json.Unmarshal(raw, &flat))
				} else {
					var rows [][]float32
					require.NoError(t, json.Unmarshal(raw, &rows))
					for _, r := range rows {
						flat = append(flat, r...)
					}
				}
				near(t, want[i][k], flat, 1e-5, "logits")
			}
		})
	}
}

func TestHeadsThatTheArchitectureCannotHave(t *testing.T) {
	for _, c := range []struct {
		dir, want string
		spec      sdk.HeadSpec
	}{
		{"bert", "needs a causal encoder", sdk.HeadSpec{Name: "h", Kind: sdk.KindCLM}},
		{"gpt2", "use clm.v0", sdk.HeadSpec{Name: "h", Kind: sdk.KindMLM}},
		{"gpt2", "sees nothing of the text", sdk.HeadSpec{Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b"}, Pooling: "cls"}},
	} {
		inTorch(t, func() {
			_, diags := Load("testdata/lm/"+c.dir, []sdk.HeadSpec{c.spec}, Options{})
			require.True(t, diags.HasErrors())
			require.Contains(t, diags.String(), c.want)
		})
	}
}

// A row mixed with itself is the row; mixed with another it is neither.
func TestArchitecturesMix(t *testing.T) {
	for _, name := range []string{"gpt2-label", "llama-label", "distilbert-label", "albert-label"} {
		t.Run(name, func(t *testing.T) {
			inTorch(t, func() {
				f := loadFixture(t, "lm/"+name, archTarget)
				m := mustLoad(t, "testdata/lm/"+name, []sdk.HeadSpec{abc}, Options{})
				defer m.Close()
				require.True(t, m.Mixes())
				loss := func(mixed *recipe.Mixed) float64 {
					row := *f.rows[0]
					row.Mixed = mixed
					rows := []*recipe.Encoded{&row}
					in, err := m.Input(rows, 0)
					require.NoError(t, err)
					loss, err := m.Loss(in, &Pass{}, m.Norms(rows))
					require.NoError(t, err)
					return loss.Item()
				}
				plain := loss(nil)
				require.InDelta(t, plain, loss(&recipe.Mixed{With: f.rows[0], Share: 0.3}), 1e-5)
				require.Greater(t, math.Abs(plain-loss(&recipe.Mixed{With: f.rows[1], Share: 0.3})), 1e-3)
			})
		})
	}
}
