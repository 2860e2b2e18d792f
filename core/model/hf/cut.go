package hf

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// Cut says what a smaller model keeps of a larger one.
type Cut struct {
	Layers       []int  // from 0, in order; empty = all
	Hidden       int    // width; 0 = as it is
	Heads        int    // attention heads; 0 = as many as keep their size
	Intermediate int    // of the feed-forward layers; 0 = in proportion to Hidden
	Scratch      bool   // keep the shape alone: random weights
	Vocab        *Vocab // of Scratch; nil = as large as it is
	Seed         uint64 // of random weights
}

// Vocab is another vocabulary: its size, and the ids of special tokens by role (pad,
// bos, eos), which a config may name.
type Vocab struct {
	Size    int
	Special map[string]int32
}

// apply puts the vocabulary into a config.
func (v *Vocab) apply(c *Config) error {
	c.VocabSize = v.Size
	for role, id := range v.Special {
		key := role + "_token_id"
		if _, ok := c.rest[key]; !ok {
			continue
		}
		if role == "pad" {
			if c.FirstPosition > 0 && int(id) != c.PadTokenID {
				return fmt.Errorf("positions begin behind the padding id %d of the old vocabulary, the new one has %d", c.PadTokenID, id)
			}
			c.PadTokenID = int(id)
		}
		c.rest[key] = json.RawMessage(strconv.Itoa(int(id)))
	}
	return nil
}

// Write makes the smaller model of the folder from in the folder to, which must
// exist: config.json, model.safetensors and the heads in islm/. The tokenizer is
// not copied.
//
// Of the width the weightiest units are kept, by the sum of squares of all
// weights that read or write them; of attention heads and feed-forward units, the
// weightiest of each layer. Random weights are normal(0, initializer_range),
// biases 0 and LayerNorms 1, a function of seed and name.
func (c Cut) Write(from, to string) (diags sdk.Diagnostics) {
	cfg, diags := ReadConfig(from)
	if cfg == nil {
		return diags
	}
	var w *Weights // of a shape alone none are needed
	if !c.Scratch {
		var more sdk.Diagnostics
		w, more = OpenWeights(from, cfg.ModelType)
		if diags.Add(more...); diags.HasErrors() {
			return diags
		}
		defer w.Close() //nolint:errcheck // only read
	}
	fail := func(code, format string, args ...any) sdk.Diagnostics {
		diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: code, File: from, Summary: fmt.Sprintf(format, args...)})
		return diags
	}
	small, err := c.shape(cfg)
	if err != nil {
		return fail("student.shape", "%s", err)
	}
	k := &cutter{cut: c, from: cfg, to: small}
	if w != nil {
		k.find, k.names = w.Find, w.Names()
	}
	if err := k.choose(); err != nil {
		return fail("student.shape", "%s", err)
	}
	entries, err := k.entries()
	if err != nil {
		return fail("student.weights", "%s", err)
	}
	config, err := small.Encode()
	if err == nil {
		err = os.WriteFile(filepath.Join(to, ConfigFile), config, 0o644)
	}
	if err == nil {
		err = safetensors.Write(filepath.Join(to, WeightsFile), entries, nil)
	}
	if err == nil && !c.Scratch {
		err = k.heads(from, to)
	}
	if err != nil {
		return fail("student.weights", "write the student: %s", err)
	}
	return diags
}

// shape is the smaller config.
func (c *Cut) shape(cfg *Config) (*Config, error) {
	small := cfg.Clone()
	if len(c.Layers) == 0 {
		for i := range cfg.Layers {
			c.Layers = append(c.Layers, i)
		}
	}
	if cfg.KeyHeads > 0 && (c.Hidden > 0 || c.Heads > 0) {
		return nil, fmt.Errorf("a model of type %s has no narrower student: choose student.layers alone", cfg.ModelType)
	}
	if cfg.Groups > 0 && !c.Scratch && len(c.Layers) < cfg.Layers {
		return nil, fmt.Errorf("the layers of a %s share their weights: there are none to choose from", cfg.ModelType)
	}
	for _, l := range c.Layers {
		if l < 0 || !c.Scratch && l >= cfg.Layers {
			return nil, fmt.Errorf("student.layers names layer %d, the teacher's are 0-%d", l, cfg.Layers-1)
		}
	}
	small.Layers = len(c.Layers)
	size := cfg.HiddenSize / cfg.Heads
	if c.Hidden > 0 {
		small.HiddenSize = c.Hidden
	}
	switch {
	case c.Heads > 0:
		small.Heads = c.Heads
	case small.HiddenSize%size == 0:
		small.Heads = small.HiddenSize / size
	default:
		return nil, fmt.Errorf("student.hidden %d is no multiple of the teacher's head size %d: set student.heads, with student.from=scratch", small.HiddenSize, size)
	}
	if small.HiddenSize%small.Heads != 0 {
		return nil, fmt.Errorf("student.hidden %d is no multiple of student.heads %d", small.HiddenSize, small.Heads)
	}
	switch {
	case c.Intermediate > 0:
		small.Intermediate = c.Intermediate
	case c.Hidden > 0:
		small.Intermediate = cfg.Intermediate * small.HiddenSize / cfg.HiddenSize
	}
	if c.Scratch {
		small.Labels, small.ProblemType, small.Architecture = nil, "", small.Arch().Class+"Model"
		if c.Vocab != nil {
			return small, c.Vocab.apply(small)
		}
		return small, nil
	}
	if small.HiddenSize > cfg.HiddenSize || small.Intermediate > cfg.Intermediate {
		return nil, fmt.Errorf("the student is wider (%d, %d) than the teacher (%d, %d): set student.from=scratch", small.HiddenSize, small.Intermediate, cfg.HiddenSize, cfg.Intermediate)
	}
	if narrower := small.HiddenSize != cfg.HiddenSize || small.Intermediate != cfg.Intermediate; narrower && !slices.Contains([]string{"bert", "roberta", "xlm-roberta"}, cfg.ModelType) {
		return nil, fmt.Errorf("teachers of type %s can be cut by layers only, not by width: bert, roberta and xlm-roberta can", cfg.ModelType)
	}
	if small.HiddenSize/small.Heads != size {
		return nil, fmt.Errorf("the student's attention heads have the size %d, the teacher's %d: set student.heads to %d, or student.from=scratch", small.HiddenSize/small.Heads, size, small.HiddenSize/size)
	}
	return small, nil
}

// cutter makes the weights of one Cut.
type cutter struct {
	cut      Cut
	from, to *Config
	find     func(string) (Weight, bool)
	names    []string

	hidden []int         // units kept
	inner  map[int][]int // by layer: units of attention heads
	inter  map[int][]int // by layer: units of the feed-forward layer
}

// axes says which kind of unit each axis of a weight counts: h the width, a
// attention heads, f the feed-forward layer, "-" anything else.
func axes(name string, dims int) string {
	bias := strings.HasSuffix(name, ".bias") || dims == 1
	pick := func(two, one string) string {
		if bias {
			return one
		}
		return two
	}
	switch {
	case strings.Contains(name, "LayerNorm"), strings.HasPrefix(name, PlainLM+"layer_norm"):
		return "h"
	case strings.Contains(name, "attention.self."):
		return pick("ah", "a")
	case strings.Contains(name, "attention.output.dense"):
		return pick("ha", "h")
	case strings.Contains(name, "intermediate.dense"):
		return pick("fh", "f")
	case strings.Contains(name, ".output.dense"):
		return pick("hf", "h")
	case strings.Contains(name, "pooler.dense"), strings.Contains(name, "classifier.dense"), strings.HasPrefix(name, PlainLM+"dense"), strings.HasPrefix(name, BertLM+"transform.dense"):
		return pick("hh", "h")
	case strings.Contains(name, "embeddings."), strings.HasSuffix(name, "classifier.weight"), strings.HasSuffix(name, "classifier.out_proj.weight"),
		name == PlainLM+"decoder.weight", name == BertLM+"decoder.weight":
		return pick("-h", "-")
	}
	return pick("--", "-")
}

// layerOf splits the name of a layer's weight at its number.
func layerOf(name string) (before string, layer int, after string) {
	parts := strings.Split(name, ".")
	for i := 1; i+1 < len(parts); i++ {
		if !slices.Contains([]string{"layer", "layers", "h", "block"}, parts[i-1]) {
			continue
		}
		if n, err := strconv.Atoi(parts[i]); err == nil {
			return strings.Join(parts[:i], ".") + ".", n, "." + strings.Join(parts[i+1:], ".")
		}
	}
	return name, -1, ""
}

// choose ranks the units.
func (k *cutter) choose() error {
	if k.cut.Scratch || k.to.HiddenSize == k.from.HiddenSize && k.to.Intermediate == k.from.Intermediate {
		return nil
	}
	hidden := make([]float64, k.from.HiddenSize)
	heads, inter := map[int][]float64{}, map[int][]float64{}
	size := k.from.HiddenSize / k.from.Heads
	for _, name := range k.names {
		x, _ := k.find(name)
		_, layer, _ := layerOf(name)
		if layer >= 0 && !slices.Contains(k.cut.Layers, layer) || len(x.Shape) != 2 {
			continue
		}
		values, err := floats(x)
		if err != nil {
			return err
		}
		kinds := axes(name, 2)
		if heads[layer] == nil && layer >= 0 {
			heads[layer], inter[layer] = make([]float64, k.from.Heads), make([]float64, k.from.Intermediate)
		}
		columns := int(x.Shape[1])
		for i, v := range values {
			for a, at := range [2]int{i / columns, i % columns} {
				switch kinds[a] {
				case 'h':
					hidden[at] += float64(v) * float64(v)
				case 'a':
					heads[layer][at/size] += float64(v) * float64(v)
				case 'f':
					inter[layer][at] += float64(v) * float64(v)
				}
			}
		}
	}
	k.hidden = heaviest(hidden, k.to.HiddenSize)
	k.inner, k.inter = map[int][]int{}, map[int][]int{}
	for layer := range heads {
		for _, h := range heaviest(heads[layer], k.to.Heads) {
			for i := range size {
				k.inner[layer] = append(k.inner[layer], h*size+i)
			}
		}
		k.inter[layer] = heaviest(inter[layer], k.to.Intermediate)
	}
	return nil
}

// heaviest gives the n largest, in their order.
func heaviest(v []float64, n int) []int {
	at := make([]int, len(v))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(v[b], v[a]) })
	at = at[:n]
	slices.Sort(at)
	return at
}

// entries are the weights of model.safetensors.
func (k *cutter) entries() ([]safetensors.Entry, error) {
	if k.cut.Scratch {
		return k.random(), nil
	}
	var out []safetensors.Entry
	for _, name := range k.names {
		x, _ := k.find(name)
		before, layer, after := layerOf(name)
		if layer < 0 {
			e, err := k.slice(name, name, -1, x)
			if err != nil {
				return nil, err
			}
			out = append(out, e)
			continue
		}
		for to, from := range k.cut.Layers { // a layer may be taken twice
			if from != layer {
				continue
			}
			e, err := k.slice(before+strconv.Itoa(to)+after, name, layer, x)
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
	}
	return out, nil
}

// slice keeps the chosen units of a weight.
func (k *cutter) slice(to, name string, layer int, x Weight) (safetensors.Entry, error) {
	if k.hidden == nil {
		return safetensors.Entry{Name: to, DType: x.DType, Shape: x.Shape, Fill: x.Read}, nil
	}
	values, err := floats(x)
	if err != nil {
		return safetensors.Entry{}, err
	}
	kinds := axes(name, len(x.Shape))
	keep := make([][]int, len(x.Shape))
	for a, n := range x.Shape {
		switch kind := kinds[min(a, len(kinds)-1)]; {
		case kind == 'h' && int(n) == k.from.HiddenSize:
			keep[a] = k.hidden
		case kind == 'a':
			keep[a] = k.inner[layer]
		case kind == 'f':
			keep[a] = k.inter[layer]
		default:
			for i := range int(n) {
				keep[a] = append(keep[a], i)
			}
		}
	}
	rows, columns := []int{0}, keep[len(keep)-1]
	if len(keep) == 2 {
		rows = keep[0]
	}
	wide := int(x.Shape[len(x.Shape)-1])
	data := make([]byte, 0, 4*len(rows)*len(columns))
	for _, r := range rows {
		for _, c := range columns {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(values[r*wide+c]))
		}
	}
	shape := []int64{int64(len(columns))}
	if len(keep) == 2 {
		shape = []int64{int64(len(rows)), int64(len(columns))}
	}
	return safetensors.Entry{Name: to, DType: "F32", Shape: shape, Data: data}, nil
}

// random makes the weights of a model that begins from nothing.
func (k *cutter) random() []safetensors.Entry {
	var out []safetensors.Entry
	for _, t := range k.to.Encoder() {
		data := make([]byte, 0, 4*t.Elements())
		h := fnv.New64a()
		h.Write([]byte(t.Name))
		rng := rand.New(rand.NewPCG(k.cut.Seed, h.Sum64()))
		for range t.Elements() {
			v := float32(0)
			switch {
			case len(t.Shape) > 1:
				v = float32(rng.NormFloat64() * k.to.InitRange)
			case !strings.HasSuffix(t.Name, ".bias"):
				v = 1
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		out = append(out, safetensors.Entry{Name: t.Name, DType: "F32", Shape: t.FileShape(), Data: data})
	}
	return out
}

// heads copies what lies in islm/: the student's heads begin as the teacher's.
func (k *cutter) heads(from, to string) error {
	names, err := os.ReadFile(filepath.Join(from, Own, HeadsFile))
	if err != nil {
		return nil //nolint:nilerr // a folder of other software, or a bare encoder
	}
	if err := os.MkdirAll(filepath.Join(to, Own), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(to, Own, HeadsFile), names, 0o644); err != nil {
		return err
	}
	path := filepath.Join(from, Own, HeadWeightsFile)
	if _, err := os.Stat(path); err != nil {
		return nil //nolint:nilerr // the primary head lies in model.safetensors
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	var out []safetensors.Entry
	for _, name := range f.Names() {
		e, _ := f.Entry(name)
		one, err := k.slice(name, name, -1, WeightOf(k.from.ModelType, path, e))
		if err != nil {
			return err
		}
		out = append(out, one)
	}
	return safetensors.Write(filepath.Join(to, Own, HeadWeightsFile), out, nil)
}

// floats reads a weight as float32.
func floats(x Weight) ([]float32, error) {
	data, err := x.Read()
	if err != nil {
		return nil, err
	}
	n := 1
	for _, d := range x.Shape {
		n *= int(d)
	}
	out := make([]float32, n)
	for i := range out {
		switch x.DType {
		case "F32":
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		case "BF16":
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16)
		case "F64":
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:])))
		default:
			return nil, fmt.Errorf("%s is stored as %s, which cannot be cut by width", x.Key, x.DType)
		}
	}
	return out, nil
}
