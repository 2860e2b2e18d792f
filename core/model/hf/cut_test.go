package hf

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
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

// A narrower RoBERTa: every weight has the shape that its config wants, those of its
// own heads and language model among them, and is the teacher's at the units kept.
func TestCutNarrowsRoberta(t *testing.T) {
	for name, head := range map[string]func(*Config) []Tensor{
		"roberta-label": func(c *Config) []Tensor { return c.HeadWeights(false, 3) },
		"roberta-tags":  func(c *Config) []Tensor { return c.HeadWeights(true, 5) },
		"roberta":       func(c *Config) []Tensor { return c.LMHead() },
	} {
		t.Run(name, func(t *testing.T) {
			from, dir := filepath.Join("../testdata/lm", name), t.TempDir()
			require.Empty(t, Cut{Layers: []int{1}, Hidden: 8}.Write(from, dir))
			cfg, ds := ReadConfig(dir)
			require.Empty(t, ds)
			require.Equal(t, []int{8, 1, 12, 1, 20}, []int{cfg.HiddenSize, cfg.Heads, cfg.Intermediate, cfg.Layers, cfg.MaxPositions})
			open := func(dir string) *Weights {
				w, ds := OpenWeights(dir, cfg.ModelType)
				require.Empty(t, ds)
				t.Cleanup(func() { require.NoError(t, w.Close()) })
				return w
			}
			teacher, student := open(from), open(dir)
			want := append(cfg.Encoder(), head(cfg)...)
			var names []string
			for _, x := range want {
				names = append(names, x.Name)
				w, ok := student.Find(x.Name)
				require.True(t, ok, x.Name)
				require.Equal(t, x.Shape, w.Shape, x.Name)
			}
			require.ElementsMatch(t, names, student.Names())

			values := func(w *Weights, name string) []float32 {
				x, ok := w.Find(name)
				require.True(t, ok, name)
				v, err := floats(x)
				require.NoError(t, err)
				return v
			}
			// The units kept, found in a row of the word embeddings.
			words, few := values(teacher, cfg.Words()), values(student, cfg.Words())
			var units []int
			for i, v := range words[:16] {
				if len(units) < 8 && v == few[len(units)] {
					units = append(units, i)
				}
			}
			require.Len(t, units, 8)
			for name, square := range map[string]bool{"classifier.dense.weight": true, "classifier.out_proj.weight": false, "classifier.weight": false, "lm_head.dense.weight": true, "lm_head.layer_norm.weight": false} {
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
			}
		})
	}
	ds := Cut{Hidden: 8}.Write("../testdata/lm/distilbert-label", t.TempDir())
	require.ErrorContains(t, ds.Err(), "by layers only")
}
