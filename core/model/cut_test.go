//go:build torch

package model

import (
	"cmp"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
)

// widened writes a model that computes what the one in from does with twice the
// units of some kinds: h the hidden vector, q attention heads, f feed-forward units.
// New heads and feed-forward units are zero. A new unit of the hidden vector is a
// copy of an old one that nothing reads, so that no norm changes. The old ones lie at
// the second places.
func widened(t *testing.T, from, to, kinds string) {
	t.Helper()
	cfg, ds := hf.ReadConfig(from)
	require.Empty(t, ds)
	w, ds := hf.OpenWeights(from, cfg.ModelType)
	require.Empty(t, ds)
	defer w.Close() //nolint:errcheck // only read
	size, share := cfg.HiddenSize/cfg.Heads, 1
	if cfg.KeyHeads > 0 {
		size, share = cfg.HeadSize, cfg.Heads/cfg.KeyHeads
	}
	kind := func(axis byte) bool {
		if axis == 'k' || axis == 'c' {
			axis = 'q'
		}
		return strings.IndexByte(kinds, axis) >= 0
	}
	group := func(i, share int) int { return (2*(i/(share*size))+1)*share*size + i%(share*size) }
	place := func(axis byte, i int) int {
		switch {
		case !kind(axis):
		case axis == 'h', axis == 'f':
			return 2*i + 1
		case axis == 'q':
			return group(i, share)
		case axis == 'k':
			return group(i, 1)
		case axis == 'c':
			return i/cfg.HiddenSize*2*cfg.HiddenSize + group(i%cfg.HiddenSize, 1)
		}
		return i
	}
	described := map[string]hf.Tensor{}
	for _, x := range slices.Concat(cfg.Encoder(), cfg.Pooler(), cfg.LMHead(), cfg.HeadWeights(true, 1), cfg.HeadWeights(false, 1)) {
		described[x.Name] = x
	}
	var entries []safetensors.Entry
	for _, name := range w.Names() {
		x, _ := w.Find(name)
		d, ok := described[name]
		require.True(t, ok || strings.HasSuffix(name, "decoder.bias"), name) // known under two names
		axes, produced := cmp.Or(d.Axes, "-"), 0
		if d.Transposed {
			axes, produced = axes[1:]+axes[:1], 1
		}
		table := strings.Contains(name, "embeddings.") || slices.Contains([]string{"wte.weight", "wpe.weight", "embed_tokens.weight"}, name)
		last := strings.HasPrefix(name, "ln_f.") || strings.HasPrefix(name, "norm.") || hf.OfLMHead(name) && strings.Contains(strings.ToLower(name), "norm")
		shape := slices.Clone(x.Shape)
		for dim := range shape {
			if kind(axes[dim]) {
				shape[dim] *= 2
			}
		}
		places := func(dim, i int) []int {
			at := place(axes[dim], i)
			if axes[dim] == 'h' && kind('h') && !last && (dim == produced || table) {
				return []int{at, at - 1}
			}
			return []int{at}
		}
		rows, columns, wide := 1, int(x.Shape[len(x.Shape)-1]), int(shape[len(shape)-1])
		if len(shape) == 2 {
			rows = int(x.Shape[0])
		} else {
			produced = 0
		}
		raw, err := x.Read()
		require.NoError(t, err)
		require.Equal(t, "F32", x.DType)
		data := make([]byte, 4*hf.Tensor{Shape: shape}.Elements())
		for r := range rows {
			to := []int{0}
			if len(shape) == 2 {
				to = places(0, r)
			}
			for c := range columns {
				for _, i := range to {
					for _, j := range places(len(shape)-1, c) {
						copy(data[4*(i*wide+j):], raw[4*(r*columns+c):][:4])
					}
				}
			}
		}
		entries = append(entries, safetensors.Entry{Name: name, DType: "F32", Shape: shape, Data: data})
	}
	if kind('h') {
		cfg.HiddenSize *= 2
	}
	if kind('q') {
		cfg.Heads, cfg.KeyHeads = 2*cfg.Heads, 2*cfg.KeyHeads
	}
	if kind('f') {
		cfg.Intermediate *= 2
	}
	text, err := cfg.Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(to, hf.ConfigFile), text, 0o600))
	require.NoError(t, safetensors.Write(filepath.Join(to, hf.WeightsFile), entries, nil))
}

// A student without the units that have no part in what its teacher computes is the
// model that the teacher was made of, bit for bit, and gives its answers; it learns,
// and is saved as a folder that loads.
func TestCutStudents(t *testing.T) {
	for _, name := range append([]string{"bert", "untied"}, archCases...) {
		from := "testdata/lm/" + name
		cfg, ds := hf.ReadConfig(from)
		require.Empty(t, ds)
		cuts := map[string]hf.Cut{"hqf": {Hidden: cfg.HiddenSize}, "f": {Intermediate: cfg.Intermediate}}
		if cfg.KeyHeads > 0 {
			cuts["q"] = hf.Cut{Heads: cfg.Heads}
		}
		for kinds, cut := range cuts {
			t.Run(name+" "+kinds, func(t *testing.T) {
				teacher, student, saved := t.TempDir(), t.TempDir(), t.TempDir()
				widened(t, from, teacher, kinds)
				require.Empty(t, cut.Write(teacher, student))
				one, ds := hf.OpenWeights(from, cfg.ModelType)
				require.Empty(t, ds)
				defer one.Close() //nolint:errcheck // only read
				two, ds := hf.OpenWeights(student, cfg.ModelType)
				require.Empty(t, ds)
				defer two.Close() //nolint:errcheck // only read
				require.Equal(t, one.Names(), two.Names())
				for _, n := range one.Names() {
					x, _ := one.Find(n)
					y, _ := two.Find(n)
					require.Equal(t, x.Shape, y.Shape, n)
					a, err := x.Read()
					require.NoError(t, err)
					b, err := y.Read()
					require.NoError(t, err)
					require.Equal(t, a, b, n)
				}
				heads, ds := hf.ReadHeads(student)
				require.Empty(t, ds)
				inTorch(t, func() {
					f := loadFixture(t, "lm/"+name, archTarget)
					logits := func(dir string) []float32 {
						m := mustLoad(t, dir, heads.Heads, Options{Trained: true})
						defer m.Close()
						in, err := m.Input(f.rows, 0)
						require.NoError(t, err)
						return m.Logits(in, 0).Float32s()
					}
					want := logits(from)
					near(t, logits(teacher), want, 1e-5, "the teacher")
					near(t, logits(student), want, 1e-5, "the student")

					m := mustLoad(t, student, heads.Heads, Options{Trained: true})
					defer m.Close()
					trainAll(m)
					loss := func() *torch.Tensor {
						in, err := m.Input(f.rows, 0)
						require.NoError(t, err)
						loss, err := m.Loss(in, &Pass{}, m.Norms(f.rows))
						require.NoError(t, err)
						return loss
					}
					before := loss()
					before.Backward()
					torch.NoGrad(func() {
						for _, p := range m.Params() {
							p.Value.AddInPlace(p.Value.Grad(), -0.05)
						}
					})
					require.Less(t, loss().Item(), before.Item())
					require.NoError(t, m.Save(saved, ""))
					in, err := m.Input(f.rows, 0)
					require.NoError(t, err)
					learned := m.Logits(in, 0).Float32s()
					near(t, logits(saved), learned, 1e-5, "the saved student")
					require.NotEqual(t, want, learned)
				})
			})
		}
	}
}

// A teacher's half-precision weights are read as they are.
func TestCutReadsHalfPrecision(t *testing.T) {
	from, half, student := "testdata/lm/gpt2", t.TempDir(), t.TempDir()
	cfg, ds := hf.ReadConfig(from)
	require.Empty(t, ds)
	text, err := cfg.Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(half, hf.ConfigFile), text, 0o600))
	w, ds := hf.OpenWeights(from, cfg.ModelType)
	require.Empty(t, ds)
	defer w.Close() //nolint:errcheck // only read
	var entries []safetensors.Entry
	inTorch(t, func() {
		for _, name := range w.Names() {
			x, _ := w.Find(name)
			raw, err := x.Read()
			require.NoError(t, err)
			data := torch.FromBytes(raw, torch.Float32, x.Shape...).ToDType(torch.Float16).Bytes()
			entries = append(entries, safetensors.Entry{Name: name, DType: "F16", Shape: x.Shape, Data: slices.Clone(data)})
		}
	})
	require.NoError(t, safetensors.Write(filepath.Join(half, hf.WeightsFile), entries, nil))
	require.Empty(t, hf.Cut{Intermediate: 40}.Write(half, student))
	f, err := safetensors.Open(filepath.Join(student, hf.WeightsFile))
	require.NoError(t, err)
	defer f.Close() //nolint:errcheck // only read
	e, ok := f.Entry("wte.weight")
	require.True(t, ok)
	x, _ := w.Find("wte.weight")
	raw, err := x.Read()
	require.NoError(t, err)
	require.Len(t, e.Data, len(raw))
	for i := range len(raw) / 4 {
		v := func(b []byte) float64 {
			return float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
		}
		require.InDelta(t, v(raw), v(e.Data), 1e-3)
	}
}
