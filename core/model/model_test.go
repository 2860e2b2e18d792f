//go:build torch

package model

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// fixture is a case of scripts/fixtures/model.py.
type fixture struct {
	rows    []*recipe.Encoded
	weights []float64
	raw     []fixtureRow
	tensors *safetensors.File
}

type fixtureRow struct {
	IDs     []int32 `json:"ids"`
	Types   []int32 `json:"types"`
	Class   int32   `json:"class"`
	Classes []int   `json:"classes"`
	Starts  []int32 `json:"starts"`
	Tags    []int32 `json:"tags"`
	Tagged  bool    `json:"tagged"`
	Tokens  []int32 `json:"tokens"`
	Value   float32 `json:"value"`
	Second  []int32 `json:"second"`

	Answer [2]int32   `json:"answer"`
	Marks  [2]int32   `json:"marks"`
	Spans  [][3]int32 `json:"spans"`
}

func loadFixture(t *testing.T, name string, target func(fixtureRow) []recipe.Target) *fixture {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(t, err)
	var doc struct {
		Rows    []fixtureRow `json:"rows"`
		Weights []float64    `json:"weights"`
	}
	require.NoError(t, json.Unmarshal(data, &doc))
	f := &fixture{weights: doc.Weights, raw: doc.Rows}
	for i, r := range doc.Rows {
		e := &recipe.Encoded{ID: fmt.Sprint(i), Key: uint64(i) * 977, IDs: r.IDs, Types: r.Types, Starts: r.Starts, Second: r.Second}
		if target != nil {
			e.Targets = target(r)
		}
		f.rows = append(f.rows, e)
	}
	f.tensors, err = safetensors.Open(filepath.Join("testdata", name+".safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { f.tensors.Close() })
	return f
}

func (f *fixture) tensor(t *testing.T, name string) ([]float32, []int64) {
	t.Helper()
	e, ok := f.tensors.Entry(name)
	require.True(t, ok, name)
	x := torch.FromBytes(e.Data, torch.Float32, e.Shape...)
	defer x.Free()
	return x.Float32s(), e.Shape
}

// near is the house's "equal to 1e-5": max|a-b| ≤ tol·max(1, max|b|).
func near(t *testing.T, got, want []float32, tol float64, what string) {
	t.Helper()
	require.Equal(t, len(want), len(got), what)
	worst, scale := 0.0, 1.0
	for i := range want {
		worst = max(worst, math.Abs(float64(got[i])-float64(want[i])))
		scale = max(scale, math.Abs(float64(want[i])))
		require.False(t, math.IsNaN(float64(got[i])), what)
	}
	require.LessOrEqual(t, worst, tol*scale, what)
}

// inTorch runs a test's body on libtorch's thread, in a scope.
func inTorch(t *testing.T, f func()) {
	t.Helper()
	before := 0
	require.NoError(t, torch.Do(func() { before = torch.Live() }))
	require.NoError(t, torch.Do(func() {
		s := torch.Open()
		defer s.Close()
		f()
	}))
	require.NoError(t, torch.Do(func() { require.Equal(t, before, torch.Live(), "tensors that were never freed") }))
}

func mustLoad(t *testing.T, dir string, heads []sdk.HeadSpec, opt Options) *Model {
	t.Helper()
	opt.Device = torch.CPU
	m, diags := Load(dir, heads, opt)
	require.False(t, diags.HasErrors(), diags.String())
	return m
}

// setHead overwrites a head's linear layer with the fixture's.
func setHead(t *testing.T, m *Model, f *fixture, head int, from string) {
	t.Helper()
	torch.NoGrad(func() {
		for part, p := range map[string]*Param{".weight": m.Heads[head].out.weight, ".bias": m.Heads[head].out.bias} {
			v, shape := f.tensor(t, from+part)
			p.Value.CopyFrom(torch.FromFloat32(v, shape...))
		}
	})
}

func trainAll(m *Model) {
	for _, p := range m.Params() {
		p.Value.RequiresGrad(true)
	}
}

// Forward and every gradient of each head equal what PyTorch computed with
// transformers' modules.
func TestHeadsEqualTransformers(t *testing.T) {
	class := func(r fixtureRow) []recipe.Target { return []recipe.Target{{Has: true, Class: r.Class}} }
	for name, tc := range map[string]struct {
		head   sdk.HeadSpec
		target func(fixtureRow) []recipe.Target
	}{
		"classify": {sdk.HeadSpec{Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}}, class},
		"regress":  {sdk.HeadSpec{Name: "h", Kind: sdk.KindRegress}, valueTarget},
		"rank":     {sdk.HeadSpec{Name: "h", Kind: sdk.KindRank}, valueTarget},
		"binary":   {sdk.HeadSpec{Name: "h", Kind: sdk.KindClassify, Labels: []string{"no", "yes"}, Loss: "bce"}, class},
		"multilabel": {sdk.HeadSpec{Name: "h", Kind: sdk.KindMultilabel, Labels: []string{"a", "b", "c", "d"}}, func(r fixtureRow) []recipe.Target {
			marks := make([]bool, len(r.Classes))
			for i, c := range r.Classes {
				marks[i] = c == 1
			}
			return []recipe.Target{{Has: true, Classes: marks}}
		}},
		"tag": {sdk.HeadSpec{Name: "h", Kind: sdk.KindTag, Labels: []string{"O", "A", "B", "C", "D"}, Scheme: "none"}, func(r fixtureRow) []recipe.Target {
			return []recipe.Target{{Has: true, Tags: r.Tags}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inTorch(t, func() {
				f := loadFixture(t, name, tc.target)
				tc.head.ClassWeights = f.weights
				m := mustLoad(t, "testdata/base", []sdk.HeadSpec{tc.head}, Options{})
				defer m.Close()
				setHead(t, m, f, 0, "classifier")
				trainAll(m)
				in, err := m.Input(f.rows, 0)
				require.NoError(t, err)

				want, _ := f.tensor(t, "logits")
				got := m.Logits(in, 0).Float32s()
				if tc.head.Kind == sdk.KindTag {
					got, want = onlyReal(in, got, 5), onlyReal(in, want, 5)
				}
				near(t, got, want, 1e-5, "logits")
				loss, err := m.Loss(in, &Pass{Train: true}, m.Norms(f.rows))
				require.NoError(t, err)
				wantLoss, _ := f.tensor(t, "loss")
				require.InDelta(t, float64(wantLoss[0]), loss.Item(), 1e-5)
				loss.Backward()
				compareGrads(t, m, f, nil)
			})
		})
	}
}

func onlyReal(in *Input, v []float32, k int) (out []float32) {
	for i, n := range in.lengths {
		out = append(out, v[i*in.Width*k:(i*in.Width+n)*k]...)
	}
	return out
}

// compareGrads holds every gradient of the fixture against the model's.
func compareGrads(t *testing.T, m *Model, f *fixture, rename map[string]string) {
	t.Helper()
	seen := 0
	for _, p := range m.Params() {
		name := hf.Prefixed(m.Config.ModelType, p.Name)
		if p.Head != "" {
			name = strings.TrimPrefix(p.Name, p.Head+".")
			if r, ok := rename[p.Name]; ok {
				name = r
			}
		}
		g := p.Value.Grad()
		require.NotNil(t, g, p.Name)
		want, _ := f.tensor(t, "grad."+name)
		if p.transposed {
			g = g.T().Contiguous()
		}
		near(t, g.Float32s(), want, 1e-5, p.Name)
		seen++
	}
	all := 0
	for _, n := range f.tensors.Names() {
		if strings.HasPrefix(n, "grad.") {
			all++
		}
	}
	require.Equal(t, all, seen, "a gradient of the fixture has no parameter")
}

func jointHeads() []sdk.HeadSpec {
	return []sdk.HeadSpec{
		{Name: "topic", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}},
		{Name: "ner", Kind: sdk.KindTag, Labels: []string{"O", "A", "B", "C", "D"}, Scheme: "none", Weight: 0.5},
	}
}

func jointTarget(r fixtureRow) []recipe.Target {
	return []recipe.Target{{Has: r.Class >= 0, Class: r.Class}, {Has: r.Tagged, Tags: r.Tags}}
}

func TestJointHeads(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "joint", jointTarget)
		m := mustLoad(t, "testdata/base", jointHeads(), Options{})
		defer m.Close()
		setHead(t, m, f, 0, "classifier")
		setHead(t, m, f, 1, "tag")
		trainAll(m)
		rename := map[string]string{"ner.classifier.weight": "tag.weight", "ner.classifier.bias": "tag.bias"}
		want, _ := f.tensor(t, "loss")

		in, err := m.Input(f.rows, 0)
		require.NoError(t, err)
		loss, err := m.Loss(in, &Pass{Train: true}, m.Norms(f.rows))
		require.NoError(t, err)
		require.InDelta(t, float64(want[0]), loss.Item(), 1e-5)
		loss.Backward()
		compareGrads(t, m, f, rename)

		// Unequal micro-batches with the whole step's norms add up to the same.
		parts := [][]*recipe.Encoded{f.rows[:1], f.rows[1:4], f.rows[4:]}
		require.Equal(t, m.Norms(f.rows), m.Norms(parts...))
		require.InDelta(t, float64(want[0]), backwardIn(t, m, parts), 1e-5)
		compareGrads(t, m, f, rename)
	})
}

// backwardIn gives the loss of a step cut into micro-batches, and leaves its gradients.
func backwardIn(t *testing.T, m *Model, parts [][]*recipe.Encoded) (sum float64) {
	t.Helper()
	torch.ZeroGrad(values(m))
	norms := m.Norms(parts...)
	for _, rows := range parts {
		in, err := m.Input(rows, 0)
		require.NoError(t, err)
		loss, err := m.Loss(in, &Pass{Train: true}, norms)
		require.NoError(t, err)
		sum += loss.Item()
		loss.Backward()
	}
	return sum
}

func values(m *Model) (out []*torch.Tensor) {
	for _, p := range m.Params() {
		out = append(out, p.Value)
	}
	return out
}

// A batch without any label has no loss, and a head without labels none either.
func TestNoLabelsNoLoss(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "joint", func(fixtureRow) []recipe.Target { return []recipe.Target{{}, {}} })
		m := mustLoad(t, "testdata/base", jointHeads(), Options{})
		defer m.Close()
		in, err := m.Input(f.rows, 0)
		require.NoError(t, err)
		norms := m.Norms(f.rows)
		require.Equal(t, []float64{0, 0}, norms)
		loss, err := m.Loss(in, &Pass{}, norms)
		require.NoError(t, err)
		require.Nil(t, loss)
	})
}

// Padding changes neither loss nor gradients nor predictions, dropout on.
func TestPaddingDoesNotCount(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "joint", jointTarget)
		drop := 0.3
		heads := jointHeads()
		m := mustLoad(t, "testdata/base", heads, Options{Dropout: &drop})
		defer m.Close()
		trainAll(m)
		run := func(width int) (float64, [][]float32) {
			torch.ZeroGrad(values(m))
			in, err := m.Input(f.rows, width)
			require.NoError(t, err)
			loss, err := m.Loss(in, &Pass{Train: true, Seed: 3, Step: 5}, m.Norms(f.rows))
			require.NoError(t, err)
			loss.Backward()
			var grads [][]float32
			for _, p := range m.Params() {
				grads = append(grads, p.Value.Grad().Float32s())
			}
			return loss.Item(), grads
		}
		loss, grads := run(0)
		wide, wideGrads := run(33)
		require.InDelta(t, loss, wide, 1e-6)
		for i, p := range m.Params() {
			near(t, wideGrads[i], grads[i], 1e-5, p.Name)
		}
		other, _ := run(0)
		require.Equal(t, loss, other, "the same step has the same masks")

		a, b := predictions(t, m, f.rows, 0), predictions(t, m, f.rows, 40)
		for i := range a {
			near(t, b[i].Heads[0].Scores, a[i].Heads[0].Scores, 1e-5, "scores")
			require.Equal(t, a[i].Heads[1].Tags, b[i].Heads[1].Tags)
		}
	})
}

func predictions(t *testing.T, m *Model, rows []*recipe.Encoded, width int) (out []recipe.Prediction) {
	torch.NoGrad(func() {
		in, err := m.Input(rows, width)
		require.NoError(t, err)
		out, err = m.Predict(in, false)
		require.NoError(t, err)
	})
	return out
}

// Dropout differs from step to step and is off in prediction.
func TestDropoutFollowsTheStep(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "classify", func(r fixtureRow) []recipe.Target { return []recipe.Target{{Has: true, Class: r.Class}} })
		drop := 0.5
		m := mustLoad(t, "testdata/base", jointHeads()[:1], Options{Dropout: &drop})
		defer m.Close()
		in, err := m.Input(f.rows, 0)
		require.NoError(t, err)
		loss := func(pass *Pass) float64 {
			l, err := m.Loss(in, pass, m.Norms(f.rows))
			require.NoError(t, err)
			return l.Item()
		}
		require.NotEqual(t, loss(&Pass{Train: true, Step: 1}), loss(&Pass{Train: true, Step: 2}))
		require.NotEqual(t, loss(&Pass{Train: true, Seed: 1}), loss(&Pass{Train: true, Seed: 2}))
		require.Equal(t, loss(&Pass{Step: 1}), loss(&Pass{Step: 2}))
	})
}

// Computing only the first position of the last layer changes neither values nor
// gradients, dropout on.
func TestFirstPositionAlone(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "classify", nil)
		drop := 0.3
		m := mustLoad(t, "testdata/base", nil, Options{Dropout: &drop})
		defer m.Close()
		trainAll(m)
		run := func(first bool) (value []float32, grads [][]float32) {
			torch.ZeroGrad(values(m))
			in, err := m.Input(f.rows, 0)
			require.NoError(t, err)
			x := m.Encoder.Encode(in, &Pass{Train: true, Seed: 2, Step: 9, First: first})
			if first {
				require.Equal(t, int64(1), x.Size(1))
			}
			x = x.Select(1, 0)
			x.Mul(x).Sum().Backward()
			for _, p := range m.Encoder.Params() {
				grads = append(grads, p.Value.Grad().Float32s())
			}
			return x.Float32s(), grads
		}
		whole, wholeGrads := run(false)
		alone, aloneGrads := run(true)
		near(t, alone, whole, 1e-5, "vectors")
		for i, p := range m.Encoder.Params() {
			near(t, aloneGrads[i], wholeGrads[i], 1e-5, p.Name)
		}
	})
}

func TestOldNames(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "old", nil)
		m := mustLoad(t, "testdata/old", nil, Options{})
		defer m.Close()
		in, err := m.Input(f.rows, 0)
		require.NoError(t, err)
		want, _ := f.tensor(t, "hidden")
		h := int(m.Config.HiddenSize)
		near(t, onlyReal(in, m.Encoder.Encode(in, &Pass{}).Float32s(), h), onlyReal(in, want, h), 1e-5, "hidden states")
	})
	inTorch(t, func() {
		// A head that reads the pooler gets a new one, the same for the same seed.
		a := mustLoad(t, "testdata/old", jointHeads()[:1], Options{Seed: 1})
		defer a.Close()
		require.True(t, a.NewPooler)
		b := mustLoad(t, "testdata/old", jointHeads()[:1], Options{Seed: 1})
		defer b.Close()
		require.Equal(t, a.pooler.weight.Value.Float32s(), b.pooler.weight.Value.Float32s())
		c := mustLoad(t, "testdata/old", jointHeads()[:1], Options{Seed: 2})
		defer c.Close()
		require.NotEqual(t, a.pooler.weight.Value.Float32s(), c.pooler.weight.Value.Float32s())
	})
}

func TestPoolings(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "classify", nil)
		for _, kind := range []string{"cls", "mean", "max", "unit-mean"} {
			spec := sdk.HeadSpec{Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b"}, Pooling: kind}
			m := mustLoad(t, "testdata/base", []sdk.HeadSpec{spec}, Options{})
			require.Nil(t, m.pooler)
			in, err := m.Input(f.rows, 20)
			require.NoError(t, err)
			e := m.encode(in, &Pass{})
			hidden, got := m.Encoder.Encode(in, &Pass{}).Float32s(), e.pool(kind).Float32s()
			h := m.Encoder.Hidden()
			want := make([]float32, 0, len(got))
			for i, n := range in.lengths {
				for d := range h {
					at := func(j int) float32 { return hidden[(i*in.Width+j)*h+d] }
					v := at(0)
					for j := 1; j < n; j++ {
						switch kind {
						case "mean", "unit-mean":
							v += at(j)
						case "max":
							v = max(v, at(j))
						}
					}
					if kind != "max" && kind != "cls" {
						v /= float32(n)
					}
					want = append(want, v)
				}
				if kind == "unit-mean" {
					row, square := want[i*h:], 0.0
					for _, v := range row {
						square += float64(v) * float64(v)
					}
					for d := range row {
						row[d] = float32(float64(row[d]) / math.Sqrt(square))
					}
				}
			}
			near(t, got, want, 1e-5, kind)
			m.Close()
		}
	})
}

func TestSaveAndLoad(t *testing.T) {
	heads := []sdk.HeadSpec{
		{Name: "topic", Kind: sdk.KindClassify, Labels: []string{"z", "y", "x"}},
		{Name: "ner", Kind: sdk.KindTag, Labels: []string{"PER", "LOC"}, CRF: true},
		{Name: "flags", Kind: sdk.KindMultilabel, Labels: []string{"a"}},
		{Name: "yes", Kind: sdk.KindClassify, Labels: []string{"no", "yes"}, Loss: "bce", Pooling: "mean"},
	}
	for primary, want := range map[string]struct {
		architecture, problem string
		labels, requires      []string
	}{
		"topic": {"BertForSequenceClassification", "single_label_classification", []string{"z", "y", "x"}, nil},
		"ner":   {"BertForTokenClassification", "", []string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}, []string{"crf"}},
		"flags": {"BertForSequenceClassification", "multi_label_classification", []string{"a"}, nil},
		"yes":   {"BertForSequenceClassification", "multi_label_classification", []string{"yes"}, []string{"pooling-mean"}},
	} {
		t.Run(primary, func(t *testing.T) {
			inTorch(t, func() {
				f := loadFixture(t, "tag", nil)
				dir := t.TempDir()
				m := mustLoad(t, "testdata/base", heads, Options{Seed: 5})
				defer m.Close()
				require.NoError(t, m.Save(dir, primary))
				cfg, diags := hf.ReadConfig(dir)
				require.Empty(t, diags)
				require.Equal(t, want.architecture, cfg.Architecture)
				require.Equal(t, want.problem, cfg.ProblemType)
				require.Equal(t, want.labels, cfg.Labels)
				require.Equal(t, want.requires, cfg.Requires)
				again := mustLoad(t, dir, heads, Options{Trained: true})
				defer again.Close()
				require.Equal(t, len(m.Params()), len(again.Params()))
				for i, p := range m.Params() {
					require.Equal(t, p.Name, again.Params()[i].Name)
					require.Equal(t, p.Value.Float32s(), again.Params()[i].Value.Float32s(), p.Name)
				}
				require.Equal(t, predictions(t, m, f.rows, 0), predictions(t, again, f.rows, 0))
				own, diags := hf.ReadHeads(dir)
				require.Empty(t, diags)
				require.Equal(t, primary, own.Primary)
				require.Equal(t, heads, own.Heads)

				_, diags = Load(dir, []sdk.HeadSpec{{Name: "other", Kind: sdk.KindClassify, Labels: []string{"z", "y", "x"}}}, Options{Device: torch.CPU, Trained: true})
				require.Contains(t, diags.String(), `no head "other"`)
				other := mustLoad(t, dir, []sdk.HeadSpec{{Name: "other", Kind: sdk.KindTag, Labels: []string{"ORG"}}}, Options{})
				other.Close()
				require.Error(t, m.Save(dir, "none"))
			})
		})
	}
}

// The same bytes are written every time, whatever the order in memory.
func TestSaveIsDeterministic(t *testing.T) {
	inTorch(t, func() {
		m := mustLoad(t, "testdata/base", jointHeads(), Options{Seed: 5})
		defer m.Close()
		a, b := t.TempDir(), t.TempDir()
		require.NoError(t, m.Save(a, ""))
		require.NoError(t, m.Save(b, ""))
		for _, name := range []string{"config.json", "model.safetensors", "islm/heads.yaml", "islm/heads.safetensors"} {
			x, err := os.ReadFile(filepath.Join(a, name))
			require.NoError(t, err)
			y, err := os.ReadFile(filepath.Join(b, name))
			require.NoError(t, err)
			require.Equal(t, x, y, name)
		}
	})
}

func TestBadHeads(t *testing.T) {
	drop := 1.0
	for want, spec := range map[string]sdk.HeadSpec{
		"at least two":          {Name: "h", Kind: sdk.KindClassify, Labels: []string{"a"}},
		"unknown loss":          {Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b"}, Loss: "hinge"},
		"takes two labels":      {Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}, Loss: "bce"},
		"multi-label head has":  {Name: "h", Kind: sdk.KindMultilabel, Labels: []string{"a"}, Loss: "ce"},
		"no labels":             {Name: "h", Kind: sdk.KindMultilabel},
		"tag head needs":        {Name: "h", Kind: sdk.KindTag, Scheme: "none", Labels: []string{"O"}},
		"tag head has ce":       {Name: "h", Kind: sdk.KindTag, Labels: []string{"O"}, Loss: "bce"},
		"no meaning with a crf": {Name: "h", Kind: sdk.KindTag, Labels: []string{"A"}, CRF: true, ClassWeights: []float64{1, 1, 1}},
		"2 class weights for 3": {Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}, ClassWeights: []float64{1, 1}},
		"is not positive":       {Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b"}, ClassWeights: []float64{1, 0}},
		"unknown pooling":       {Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b"}, Pooling: "sum"},
		"not in [0, 1)":         {Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b"}, Dropout: &drop},
		"is negative":           {Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b"}, Weight: -1},
		"cannot train":          {Name: "h", Kind: "lattice.v0", Labels: []string{"a", "b"}},
		"empty or taken":        {Kind: sdk.KindClassify, Labels: []string{"a", "b"}},
	} {
		require.NoError(t, torch.Do(func() {
			m, diags := Load("testdata/base", []sdk.HeadSpec{spec}, Options{Device: torch.CPU})
			require.Nil(t, m)
			require.Contains(t, diags.String(), want)
		}))
	}
}
