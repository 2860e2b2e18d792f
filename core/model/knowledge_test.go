//go:build torch

package model

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// knowledgeCase is a case of scripts/fixtures/knowledge.py.
type knowledgeCase struct {
	*fixture
	plan      recipe.KnowledgePlan
	injection recipe.Injection
	heads     []sdk.HeadSpec
}

func loadKnowledge(t *testing.T, name string) *knowledgeCase {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "knowledge-"+name+".json"))
	require.NoError(t, err)
	var doc struct {
		Rows []struct {
			fixtureRow
			Marks    []int32    `json:"marks"`
			Features []int32    `json:"features"`
			Mentions [][3]int32 `json:"mentions"`
			Facts    [][3]int32 `json:"facts"`
			Pieces   []int32    `json:"pieces"`
		} `json:"rows"`
		Ways     []string    `json:"ways"`
		Vectors  [][]float32 `json:"vectors"`
		Marks    int         `json:"marks"`
		Features int         `json:"features"`
		Slots    int         `json:"slots"`
		Size     int         `json:"size"`
		Layers   []float64   `json:"layers"`
	}
	require.NoError(t, json.Unmarshal(data, &doc))
	c := &knowledgeCase{fixture: &fixture{}, plan: recipe.KnowledgePlan{Inject: doc.Ways, EntityLayers: doc.Layers, EntitySize: doc.Size}}
	has := func(way string) bool { return c.plan.Has(way) }
	if has(recipe.InjectGazetteer) {
		c.injection.Marks = doc.Marks
	}
	if has(recipe.InjectFeatures) {
		c.injection.Features, c.injection.Slots = doc.Features, doc.Slots
	}
	if has(recipe.InjectEntity) {
		c.injection.Dim = len(doc.Vectors[0])
	}
	c.injection.Vector = func(e int32) []float32 { return doc.Vectors[e] }
	c.heads = []sdk.HeadSpec{{Name: "h", Kind: sdk.KindTag, Labels: []string{"O", "A", "B", "C", "D"}, Scheme: "none"}}
	if name == "pooled" {
		c.heads = []sdk.HeadSpec{{Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}}}
	}
	for i, r := range doc.Rows {
		in := &recipe.Injected{Marks: r.Marks, Features: r.Features}
		for _, m := range r.Mentions {
			in.Mentions = append(in.Mentions, recipe.LinkedPieces{From: m[0], To: m[1], Entity: m[2]})
		}
		if has(recipe.InjectText) {
			in.Pieces = r.Pieces
			for _, f := range r.Facts {
				in.Facts = append(in.Facts, recipe.InjectedFact{Mention: f[0], Length: f[1], Fact: f[2]})
			}
		}
		target := recipe.Target{Has: true, Tags: r.Tags}
		if name == "pooled" {
			target = recipe.Target{Has: true, Class: r.Class}
		}
		c.rows = append(c.rows, &recipe.Encoded{ID: fmt.Sprint(i), Key: uint64(i) * 977, IDs: r.IDs, Types: r.Types, Starts: r.Starts, Targets: []recipe.Target{target}, Inject: in})
	}
	c.tensors, err = safetensors.Open(filepath.Join("testdata", "knowledge-"+name+".safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { c.tensors.Close() })
	return c
}

func (c *knowledgeCase) load(t *testing.T) *Model {
	return mustLoad(t, "testdata/base", c.heads, Options{Seed: 3, Knowledge: &c.plan, Injection: &c.injection})
}

// set overwrites head and knowledge with the fixture's weights.
func (c *knowledgeCase) set(t *testing.T, m *Model) {
	setHead(t, m, c.fixture, 0, "classifier")
	torch.NoGrad(func() {
		for _, p := range m.Params() {
			if p.Knowledge() {
				v, shape := c.tensor(t, "know."+strings.TrimPrefix(p.Name, knowledgePrefix))
				p.Value.CopyFrom(torch.FromFloat32(v, shape...))
			}
		}
	})
}

var knowledgeCases = []string{"gazetteer", "features", "entity", "text", "all", "pooled"}

// Each way of injection, alone and with the others, for a tag head and a
// classify head: logits, loss and every gradient are PyTorch's.
func TestKnowledgeEqualsReference(t *testing.T) {
	for _, name := range knowledgeCases {
		t.Run(name, func(t *testing.T) {
			inTorch(t, func() {
				c := loadKnowledge(t, name)
				m := c.load(t)
				defer m.Close()
				c.set(t, m)
				trainAll(m)
				in, err := m.Input(c.rows, 0)
				require.NoError(t, err)

				want, shape := c.tensor(t, "logits")
				got := m.Logits(in, 0)
				values := got.Float32s()
				if name != "pooled" { // islm's width holds the facts as well
					width, k := int(shape[1]), int(shape[2])
					values = got.Narrow(1, 0, int64(width)).Contiguous().Float32s()
					var a, b []float32
					for i, r := range c.rows {
						a = append(a, values[i*width*k:(i*width+len(r.IDs))*k]...)
						b = append(b, want[i*width*k:(i*width+len(r.IDs))*k]...)
					}
					values, want = a, b
				}
				near(t, values, want, 1e-5, "logits")
				loss, err := m.Loss(in, &Pass{Train: true}, m.Norms(c.rows))
				require.NoError(t, err)
				wantLoss, _ := c.tensor(t, "loss")
				require.InDelta(t, float64(wantLoss[0]), loss.Item(), 1e-5)
				loss.Backward()
				seen := 0
				for _, p := range m.Params() {
					key := "grad." + strings.TrimPrefix(hf.Prefixed("bert", p.Name), "h.")
					g := p.Value.Grad()
					if _, ok := c.tensors.Entry(key); !ok {
						require.Nil(t, g, "%s has a gradient", p.Name)
						continue
					}
					w, _ := c.tensor(t, key)
					seen++
					// Fusion after the last layer says nothing to the first position.
					if name == "pooled" && strings.HasPrefix(p.Name, "knowledge.entity.1.") {
						require.Nil(t, g, p.Name)
						require.Equal(t, make([]float32, len(w)), w, p.Name)
						continue
					}
					require.NotNil(t, g, p.Name)
					near(t, g.Float32s(), w, 1e-5, p.Name)
				}
				all := 0
				for _, n := range c.tensors.Names() {
					if strings.HasPrefix(n, "grad.") {
						all++
					}
				}
				require.Equal(t, all, seen, "a gradient of the fixture has no parameter")
			})
		})
	}
}

// New weights do not change what the model computes: the first step of marks,
// features and vectors is the plain model's, bit by bit.
func TestKnowledgeBeginsPlain(t *testing.T) {
	for _, name := range []string{"gazetteer", "features", "entity"} {
		t.Run(name, func(t *testing.T) {
			inTorch(t, func() {
				c := loadKnowledge(t, name)
				plain := mustLoad(t, "testdata/base", c.heads, Options{Seed: 3})
				defer plain.Close()
				m := c.load(t)
				defer m.Close()
				for _, pass := range []*Pass{{}, {Train: true, Seed: 5, Step: 2}, {BF16: true}} {
					var out [2][]float32
					for i, model := range []*Model{plain, m} {
						in, err := model.Input(c.rows, 0)
						require.NoError(t, err)
						loss, err := model.Loss(in, pass, model.Norms(c.rows))
						require.NoError(t, err)
						out[i] = append(loss.Float32s(), model.Logits(in, 0).Float32s()...)
					}
					require.Equal(t, out[0], out[1])
				}
			})
		})
	}
}

// Rows without knowledge give the same bits in a model that injects and in one
// that never did, and what knowledge adds to one row does not touch another.
func TestKnowledgeOffIsPlain(t *testing.T) {
	inTorch(t, func() {
		c := loadKnowledge(t, "all")
		plain := mustLoad(t, "testdata/base", c.heads, Options{Seed: 3})
		defer plain.Close()
		setHead(t, plain, c.fixture, 0, "classifier")
		m := c.load(t)
		defer m.Close()
		c.set(t, m)
		var bare []*recipe.Encoded
		for _, r := range c.rows {
			b := *r
			b.Inject = nil
			bare = append(bare, &b)
		}
		logits := func(m *Model, rows []*recipe.Encoded) []float32 {
			in, err := m.Input(rows, 0)
			require.NoError(t, err)
			return m.Logits(in, 0).Float32s()
		}
		require.Equal(t, logits(plain, bare), logits(m, bare))

		mixed := slices.Clone(bare)
		mixed[1] = c.rows[1]
		in, err := m.Input(mixed, 0)
		require.NoError(t, err)
		got := m.Logits(in, 0)
		want, err := m.Input(bare, in.Width)
		require.NoError(t, err)
		for _, i := range []int64{0, 2, 3, 4} {
			n := int64(len(bare[i].IDs))
			near(t, got.Select(0, i).Narrow(0, 0, n).Contiguous().Float32s(), m.Logits(want, 0).Select(0, i).Narrow(0, 0, n).Contiguous().Float32s(), 1e-6, fmt.Sprint("row ", i))
		}
	})
}

// A saved model keeps model.safetensors plain, names what transformers would
// compute without, and loads into the same bits.
func TestKnowledgeSaved(t *testing.T) {
	inTorch(t, func() {
		c := loadKnowledge(t, "all")
		m := c.load(t)
		defer m.Close()
		c.set(t, m)
		dir := t.TempDir()
		require.NoError(t, m.Save(dir, ""))
		cfg, diags := hf.ReadConfig(dir)
		require.False(t, diags.HasErrors(), diags.String())
		require.Equal(t, []string{"knowledge-gazetteer", "knowledge-features", "knowledge-entity", "knowledge-text"}, cfg.Requires)
		f, err := safetensors.Open(filepath.Join(dir, hf.WeightsFile))
		require.NoError(t, err)
		defer f.Close()
		require.False(t, slices.ContainsFunc(f.Names(), func(n string) bool { return strings.Contains(n, "knowledge") }), "model.safetensors: %v", f.Names())

		again := mustLoad(t, dir, c.heads, Options{Trained: true, Knowledge: &c.plan, Injection: &c.injection})
		defer again.Close()
		var out [2][]float32
		for i, model := range []*Model{m, again} {
			in, err := model.Input(c.rows, 0)
			require.NoError(t, err)
			out[i] = model.Logits(in, 0).Float32s()
		}
		require.Equal(t, out[0], out[1])

		require.NoError(t, os.Remove(filepath.Join(dir, hf.Own, hf.KnowledgeWeightsFile)))
		_, diags = Load(dir, c.heads, Options{Device: torch.CPU, Trained: true, Knowledge: &c.plan, Injection: &c.injection})
		require.True(t, diags.HasErrors())
		require.Contains(t, diags.String(), "model.knowledge")
	})
}

func TestKnowledgeChecks(t *testing.T) {
	inTorch(t, func() {
		c := loadKnowledge(t, "all")
		m := c.load(t)
		defer m.Close()
		broken := func(change func(*recipe.Injected)) error {
			r, in := *c.rows[0], *c.rows[0].Inject
			in.Marks, in.Features, in.Pieces = slices.Clone(in.Marks), slices.Clone(in.Features), slices.Clone(in.Pieces)
			change(&in)
			r.Inject = &in
			_, err := m.Input([]*recipe.Encoded{&r}, 0)
			return err
		}
		require.NoError(t, broken(func(*recipe.Injected) {}))
		require.ErrorContains(t, broken(func(in *recipe.Injected) { in.Marks[3] = 9 }), "mark 9")
		require.ErrorContains(t, broken(func(in *recipe.Injected) { in.Features[3] = -1 }), "feature -1")
		require.ErrorContains(t, broken(func(in *recipe.Injected) { in.Pieces[0] = 5000 }), "id 5000")
		require.ErrorContains(t, broken(func(in *recipe.Injected) { in.Pieces = in.Pieces[1:] }), "no fact")
		c.plan.EntityLayers = []float64{2}
		_, diags := Load("testdata/base", c.heads, Options{Device: torch.CPU, Knowledge: &c.plan, Injection: &c.injection})
		require.Contains(t, diags.String(), "knowledge.entity_layers")
	})
}
