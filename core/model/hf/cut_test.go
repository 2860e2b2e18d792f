package hf

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/torch/safetensors"
)

const teacherDir = "../testdata/base" // two layers, 32 wide, 4 attention heads

func weightsOf(t *testing.T, dir string) (*Config, *Weights) {
	t.Helper()
	cfg, ds := ReadConfig(dir)
	require.Empty(t, ds)
	w, ds := OpenWeights(dir, cfg.ModelType)
	require.Empty(t, ds)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	require.Empty(t, Check(dir, cfg, w, func(string) bool { return false }))
	return cfg, w
}

func bytesOf(t *testing.T, w *Weights, name string) []byte {
	t.Helper()
	x, ok := w.Find(name)
	require.True(t, ok, name)
	data, err := x.Read()
	require.NoError(t, err)
	return data
}

func TestCutKeepsLayers(t *testing.T) {
	dir := t.TempDir()
	require.Empty(t, Cut{Layers: []int{1, 1, 0}}.Write(teacherDir, dir))
	_, from := weightsOf(t, teacherDir)
	cfg, to := weightsOf(t, dir)
	require.Equal(t, 3, cfg.Layers)
	for student, teacher := range map[string]string{"0": "1", "1": "1", "2": "0"} {
		require.Equal(t, bytesOf(t, from, "encoder.layer."+teacher+".attention.self.query.weight"), bytesOf(t, to, "encoder.layer."+student+".attention.self.query.weight"))
	}
	require.Equal(t, bytesOf(t, from, "embeddings.word_embeddings.weight"), bytesOf(t, to, "embeddings.word_embeddings.weight"))
}

// Every kept value of a narrower model is the teacher's at the same units.
func TestCutKeepsUnits(t *testing.T) {
	dir := t.TempDir()
	require.Empty(t, Cut{Layers: []int{1}, Hidden: 16}.Write(teacherDir, dir))
	_, from := weightsOf(t, teacherDir)
	cfg, to := weightsOf(t, dir)
	require.Equal(t, []int{16, 2, 20, 1}, []int{cfg.HiddenSize, cfg.Heads, cfg.Intermediate, cfg.Layers})
	whole, ok := from.Find("embeddings.LayerNorm.weight")
	require.True(t, ok)
	all, err := floats(whole)
	require.NoError(t, err)
	part, ok := to.Find("embeddings.LayerNorm.weight")
	require.True(t, ok)
	kept, err := floats(part)
	require.NoError(t, err)
	var units []int
	for i, v := range all {
		if len(units) < len(kept) && v == kept[len(units)] {
			units = append(units, i)
		}
	}
	require.Len(t, units, 16)
	a, ok := from.Find("embeddings.word_embeddings.weight")
	require.True(t, ok)
	b, ok := to.Find("embeddings.word_embeddings.weight")
	require.True(t, ok)
	x, err := floats(a)
	require.NoError(t, err)
	y, err := floats(b)
	require.NoError(t, err)
	for row := range int(a.Shape[0]) {
		for k, u := range units {
			require.Equal(t, x[row*32+u], y[row*16+k])
		}
	}
}

func TestCutFromScratch(t *testing.T) {
	one, two, other := t.TempDir(), t.TempDir(), t.TempDir()
	c := Cut{Layers: []int{0, 1, 2}, Hidden: 24, Heads: 3, Scratch: true, Seed: 1}
	require.Empty(t, c.Write(teacherDir, one))
	require.Empty(t, c.Write(teacherDir, two))
	c.Seed = 2
	require.Empty(t, c.Write(teacherDir, other))
	cfg, a := weightsOf(t, one)
	require.Equal(t, []int{24, 3, 3}, []int{cfg.HiddenSize, cfg.Heads, cfg.Layers})
	_, b := weightsOf(t, two)
	_, d := weightsOf(t, other)
	name := "encoder.layer.2.output.dense.weight"
	require.Equal(t, bytesOf(t, a, name), bytesOf(t, b, name))
	require.NotEqual(t, bytesOf(t, a, name), bytesOf(t, d, name))
}

func TestCutProblems(t *testing.T) {
	for want, c := range map[string]Cut{
		"layer 5":       {Layers: []int{5}},
		"no multiple":   {Hidden: 20},
		"wider":         {Hidden: 64},
		"have the size": {Hidden: 16, Heads: 4},
	} {
		ds := c.Write(teacherDir, filepath.Join(t.TempDir()))
		require.True(t, ds.HasErrors(), want)
		require.Contains(t, ds.Err().Error(), want)
	}
}

// A narrower student of each architecture: every weight has the shape that its config
// wants, those of its own heads and language model among them, and those that read or
// write the width are the teacher's at the units kept.
func TestCutNarrowsEachArchitecture(t *testing.T) {
	label := func(c *Config) []Tensor { return c.HeadWeights(false, 3) }
	tags := func(c *Config) []Tensor { return c.HeadWeights(true, 5) }
	lm := func(c *Config) []Tensor { return c.LMHead() }
	for name, head := range map[string]func(*Config) []Tensor{
		"roberta-label": label, "roberta-tags": tags, "roberta": lm, "xlm-roberta": lm, "bert": lm, "untied": lm,
		"distilbert-label": label, "distilbert-tags": tags, "distilbert": lm,
		"albert-label": label, "albert-tags": tags, "albert": lm,
		"gpt2-label": label, "gpt2-tags": tags, "gpt2": lm,
		"llama-label": label, "llama-tags": tags, "llama": lm, "llama3": lm,
	} {
		t.Run(name, func(t *testing.T) {
			from, dir := filepath.Join("../testdata/lm", name), t.TempDir()
			was, ds := ReadConfig(from)
			require.Empty(t, ds)
			cut := Cut{Layers: []int{1}, Hidden: 8}
			if was.Groups > 0 {
				cut.Layers = nil
			}
			require.Empty(t, cut.Write(from, dir))
			cfg, ds := ReadConfig(dir)
			require.Empty(t, ds)
			require.Equal(t, []int{8, was.Heads / 2, was.KeyHeads / 2, was.headSize(), was.Intermediate / 2, was.MaxPositions},
				[]int{cfg.HiddenSize, cfg.Heads, cfg.KeyHeads, cfg.headSize(), cfg.Intermediate, cfg.MaxPositions})
			open := func(dir string) *Weights {
				w, ds := OpenWeights(dir, cfg.ModelType)
				require.Empty(t, ds)
				t.Cleanup(func() { require.NoError(t, w.Close()) })
				return w
			}
			teacher, student := open(from), open(dir)
			var names []string
			for _, x := range append(append(cfg.Encoder(), head(cfg)...), cfg.Pooler()...) {
				w, ok := student.Find(x.Name)
				if !ok && strings.HasPrefix(x.Name, "pooler") {
					continue // the teacher has none either
				}
				require.True(t, ok, x.Name)
				require.Equal(t, x.FileShape(), w.Shape, x.Name)
				names = append(names, x.Name)
			}
			require.ElementsMatch(t, names, slices.DeleteFunc(student.Names(), func(n string) bool { return strings.HasSuffix(n, "decoder.bias") })) // known under two names

			values := func(w *Weights, name string) []float32 {
				x, ok := w.Find(name)
				require.True(t, ok, name)
				v, err := floats(x)
				require.NoError(t, err)
				return v
			}
			// The units kept, found in a table with a column or a row for each.
			table, turned := cfg.Words(), false
			if cfg.Groups > 0 {
				table, turned = "encoder.embedding_hidden_mapping_in.weight", true
			}
			all, few := values(teacher, table), values(student, table)
			unit := func(v []float32, width, i int) (out []float32) {
				for at := range len(v) / width {
					if turned {
						out = append(out, v[i*(len(v)/width)+at])
					} else {
						out = append(out, v[at*width+i])
					}
				}
				return out
			}
			var units []int
			for i := range 16 {
				if len(units) < 8 && slices.Equal(unit(all, 16, i), unit(few, 8, len(units))) {
					units = append(units, i)
				}
			}
			require.Len(t, units, 8)
			checked := 0
			for name, square := range map[string]bool{"classifier.dense.weight": true, "classifier.out_proj.weight": false, "classifier.weight": false, "lm_head.dense.weight": true, "lm_head.layer_norm.weight": false,
				"pre_classifier.weight": true, "vocab_transform.weight": true, "score.weight": false, "ln_f.weight": false, "norm.weight": false, "predictions.dense.weight": false, "cls.predictions.transform.dense.weight": true, "lm_head.weight": false} {
				if _, ok := teacher.Find(name); !ok {
					continue
				}
				all, part := values(teacher, name), values(student, name)
				for i, v := range part {
					row := i / 8
					if square {
						row = units[row]
					}
					require.Equal(t, all[row*16+units[i%8]], v, "%s %d", name, i)
				}
				checked++
			}
			require.Positive(t, checked)
		})
	}
}

// Keys and values are cut with the queries that share them.
func TestCutSharedKeys(t *testing.T) {
	dir := t.TempDir()
	require.Empty(t, Cut{Heads: 2}.Write("../testdata/lm/llama3", dir)) // of 4, each 6 wide, on 2 of keys
	cfg, w := weightsOf(t, dir)
	require.Equal(t, []int{16, 2, 1, 6}, []int{cfg.HiddenSize, cfg.Heads, cfg.KeyHeads, cfg.HeadSize})
	_, from := weightsOf(t, "../testdata/lm/llama3")
	for layer := range cfg.Layers {
		name := fmt.Sprintf("layers.%d.self_attn.", layer)
		queries, keys, values := bytesOf(t, w, name+"q_proj.bias"), bytesOf(t, w, name+"k_proj.bias"), bytesOf(t, w, name+"v_proj.bias")
		one, two := bytesOf(t, from, name+"k_proj.bias"), bytesOf(t, from, name+"v_proj.bias")
		all := bytesOf(t, from, name+"q_proj.bias")
		group := 0
		if !bytes.Equal(keys, one[:len(keys)]) {
			group = 1
		}
		require.Equal(t, one[group*len(keys):][:len(keys)], keys)
		require.Equal(t, two[group*len(values):][:len(values)], values)
		require.Equal(t, all[group*len(queries):][:len(queries)], queries)
	}

	dir = t.TempDir() // new weights
	require.Empty(t, Cut{Hidden: 24, Heads: 6, Scratch: true}.Write("../testdata/lm/llama", dir))
	cfg, _ = weightsOf(t, dir)
	require.Equal(t, []int{24, 6, 3, 4, 36}, []int{cfg.HiddenSize, cfg.Heads, cfg.KeyHeads, cfg.HeadSize, cfg.Intermediate})
}

func TestCutRefusals(t *testing.T) {
	for _, c := range []struct {
		model, want string
		cut         Cut
	}{
		{"llama", "no multiple of 2, the heads of the teacher that share one", Cut{Heads: 3}},
		{"llama", "no multiple of 2, the heads of the teacher that share one", Cut{Hidden: 4}},
		{"llama", "in no proportion to the teacher's 4 attention heads on a width of 16: set student.heads", Cut{Hidden: 10}},
		{"llama", "8 attention heads, the teacher 4", Cut{Heads: 8}},
		{"llama", "heads of an even size", Cut{Hidden: 16, Heads: 16, Scratch: true}},
		{"gpt2", "no multiple of the teacher's head size 8", Cut{Hidden: 12}},
		{"gpt2", "is wider", Cut{Intermediate: 100}},
		{"distilbert", "have the size 4, the teacher's 8", Cut{Hidden: 8, Heads: 2}},
		{"albert", "there are none to choose from", Cut{Layers: []int{0, 1}, Hidden: 8}},
		{"albert", "there are none to choose from", Cut{Layers: []int{0, 0, 0, 0}, Hidden: 8}},
	} {
		t.Run(c.model+" "+c.want, func(t *testing.T) {
			ds := c.cut.Write("../testdata/lm/"+c.model, t.TempDir())
			require.ErrorContains(t, ds.Err(), c.want)
			require.Equal(t, "student.shape", ds[0].Code)
		})
	}
	// Weights that the config does not describe.
	from := t.TempDir()
	require.NoError(t, os.CopyFS(from, os.DirFS("../testdata/lm/gpt2")))
	cfg, ds := ReadConfig(from)
	require.Empty(t, ds)
	cfg.HiddenSize = 32
	text, err := cfg.Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(from, ConfigFile), text, 0o600))
	ds = Cut{Hidden: 16}.Write(from, t.TempDir())
	require.ErrorContains(t, ds.Err(), "config.json makes dimension")
}

// Weights of heads that lie in islm/ are cut where they read the width; what counts
// labels alone stays.
func TestCutNarrowsOwnHeads(t *testing.T) {
	from, dir := t.TempDir(), t.TempDir()
	require.NoError(t, os.CopyFS(from, os.DirFS("../testdata/lm/gpt2")))
	require.NoError(t, os.Mkdir(filepath.Join(from, Own), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(from, Own, HeadsFile), []byte("schema: islm/heads.v0\nprimary: \"clm\"\nheads:\n"), 0o600))
	was := map[string][]int64{"my.label.score.weight": {3, 16}, "my.label.score.bias": {3}, "tags.classifier.weight": {5, 16}, "tags.classifier.bias": {5}, "tags.crf.start": {5}, "tags.crf.transitions": {5, 5}}
	var entries []safetensors.Entry
	for name, shape := range was {
		entries = append(entries, safetensors.Entry{Name: name, DType: "F32", Shape: shape, Data: make([]byte, 4*Tensor{Shape: shape}.Elements())})
	}
	require.NoError(t, safetensors.Write(filepath.Join(from, Own, HeadWeightsFile), entries, nil))
	require.Empty(t, Cut{Hidden: 8}.Write(from, dir))
	f, err := safetensors.Open(filepath.Join(dir, Own, HeadWeightsFile))
	require.NoError(t, err)
	defer f.Close() //nolint:errcheck // only read
	require.Len(t, f.Names(), len(was))
	for name, shape := range was {
		if strings.HasSuffix(name, "score.weight") || strings.HasSuffix(name, "classifier.weight") {
			shape[1] = 8
		}
		e, ok := f.Entry(name)
		require.True(t, ok, name)
		require.Equal(t, shape, e.Shape, name)
	}
}

// A language model's head that is not the model's first lies in islm/ under its own
// name: it is cut as that of model.safetensors is.
func TestCutNarrowsOwnLanguageModels(t *testing.T) {
	for _, model := range []string{"bert", "untied", "roberta", "xlm-roberta", "distilbert", "albert", "gpt2", "llama"} {
		t.Run(model, func(t *testing.T) {
			at := "../testdata/lm/" + model
			cfg, ds := ReadConfig(at)
			require.Empty(t, ds)
			from, dir := t.TempDir(), t.TempDir()
			require.NoError(t, os.CopyFS(from, os.DirFS(at)))
			require.NoError(t, os.MkdirAll(filepath.Join(from, Own), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(from, Own, HeadsFile), []byte("schema: islm/heads.v0\nprimary: \"label\"\nheads:\n"), 0o600))
			var entries []safetensors.Entry
			for _, x := range cfg.LMHead() {
				entries = append(entries, safetensors.Entry{Name: "words." + x.Name, DType: "F32", Shape: x.FileShape(), Data: make([]byte, 4*x.Elements())})
			}
			require.NoError(t, safetensors.Write(filepath.Join(from, Own, HeadWeightsFile), entries, nil))
			cut := Cut{Hidden: cfg.HiddenSize / 2}
			require.Empty(t, cut.Write(from, dir))
			small, ds := ReadConfig(dir)
			require.Empty(t, ds)
			f, err := safetensors.Open(filepath.Join(dir, Own, HeadWeightsFile))
			require.NoError(t, err)
			defer f.Close() //nolint:errcheck // only read
			require.Len(t, f.Names(), len(small.LMHead()))
			for _, x := range small.LMHead() {
				e, ok := f.Entry("words." + x.Name)
				require.True(t, ok, x.Name)
				require.Equal(t, x.FileShape(), e.Shape, x.Name)
			}
		})
	}
}
