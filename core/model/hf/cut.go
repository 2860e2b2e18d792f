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
	Heads        int    // attention heads, of queries; 0 = in proportion to Hidden, which keeps their size
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
// weightiest of each layer, where heads of queries that share one of keys and values
// stay or go together. Random weights are normal(0, initializer_range),
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
		c.Layers = allLayers(cfg)
	}
	if cfg.Groups > 0 && !c.Scratch && !slices.Equal(c.Layers, allLayers(cfg)) {
		return nil, fmt.Errorf("the layers of a %s share their weights: there are none to choose from", cfg.ModelType)
	}
	for _, l := range c.Layers {
		if l < 0 || !c.Scratch && l >= cfg.Layers {
			return nil, fmt.Errorf("student.layers names layer %d, the teacher's are 0-%d", l, cfg.Layers-1)
		}
	}
	small.Layers = len(c.Layers)
	if c.Hidden > 0 {
		small.HiddenSize = c.Hidden
	}
	if cfg.Groups == 0 { // ALBERT's embeddings stay as narrow as they are
		small.EmbeddingSize = small.HiddenSize
	}
	if err := c.heads(cfg, small); err != nil {
		return nil, err
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
	if size := cfg.headSize(); small.headSize() != size {
		return nil, fmt.Errorf("the student's attention heads have the size %d, the teacher's %d: set student.heads to %d, or student.from=scratch", small.headSize(), size, small.HiddenSize/size)
	}
	if small.Heads > cfg.Heads {
		return nil, fmt.Errorf("the student has %d attention heads, the teacher %d: set student.from=scratch", small.Heads, cfg.Heads)
	}
	return small, nil
}

// heads sets the attention heads of the smaller config. They make up the width,
// except where the config names their size.
func (c *Cut) heads(cfg, small *Config) error {
	size := cfg.headSize()
	switch {
	case c.Heads > 0:
		small.Heads = c.Heads
	case cfg.Heads*small.HiddenSize%cfg.HiddenSize == 0:
		small.Heads = cfg.Heads * small.HiddenSize / cfg.HiddenSize
	case cfg.KeyHeads > 0:
		return fmt.Errorf("student.hidden %d is in no proportion to the teacher's %d attention heads on a width of %d: set student.heads", small.HiddenSize, cfg.Heads, cfg.HiddenSize)
	default:
		return fmt.Errorf("student.hidden %d is no multiple of the teacher's head size %d: set student.heads, with student.from=scratch", small.HiddenSize, size)
	}
	if cfg.KeyHeads == 0 {
		if small.HiddenSize%small.Heads != 0 {
			return fmt.Errorf("student.hidden %d is no multiple of student.heads %d", small.HiddenSize, small.Heads)
		}
		return nil
	}
	share := cfg.Heads / cfg.KeyHeads
	if small.Heads%share != 0 {
		return fmt.Errorf("%d attention heads are no multiple of %d, the heads of the teacher that share one of keys and values: set student.heads to a multiple of it", small.Heads, share)
	}
	small.KeyHeads = small.Heads / share
	if c.Scratch && c.Heads > 0 {
		if small.HeadSize = small.HiddenSize / small.Heads; small.HeadSize*small.Heads != small.HiddenSize || small.HeadSize%2 != 0 {
			return fmt.Errorf("student.heads %d do not cut student.hidden %d into heads of an even size, as rotary positions want them", small.Heads, small.HiddenSize)
		}
	}
	return nil
}

func allLayers(cfg *Config) (all []int) {
	for i := range cfg.Layers {
		all = append(all, i)
	}
	return all
}

// headSize is the width of an attention head.
func (c *Config) headSize() int {
	if c.HeadSize > 0 {
		return c.HeadSize
	}
	return c.HiddenSize / c.Heads
}

// keyHeads is the number of heads of keys and values.
func (c *Config) keyHeads() int {
	if c.KeyHeads > 0 {
		return c.KeyHeads
	}
	return c.Heads
}

// axes gives what each dimension of a weight counts, as the file holds it, by the
// names of the architecture: of the encoder and of all heads that transformers has
// for it.
func (c *Config) axes() map[string]string {
	untied := c.Clone()
	untied.TieWords = false // a file may hold a tied decoder too
	heads := dense(nil, strings.TrimSuffix(Answers, "."), "-h", 2, int64(c.HiddenSize))
	for _, name := range []string{"cls.seq_relationship", "sop_classifier.classifier"} { // of pre-training
		heads = dense(heads, name, "-h", 2, int64(c.HiddenSize))
	}
	out := map[string]string{}
	for _, t := range slices.Concat(c.Encoder(), c.Pooler(), untied.LMHead(), c.HeadWeights(true, 1), c.HeadWeights(false, 1), heads) {
		switch {
		case t.Axes == "":
		case t.Transposed:
			out[t.Name] = t.Axes[1:] + t.Axes[:1]
		default:
			out[t.Name] = t.Axes
		}
	}
	return out
}

// cutter makes the weights of one Cut.
type cutter struct {
	cut      Cut
	from, to *Config
	find     func(string) (Weight, bool)
	names    []string

	narrow bool
	axes   map[string]string // of the teacher
	kept   map[part][]int    // which places of a dimension
}

// part is a kind of dimension in a layer; the layer of the width, which all share,
// is -1.
type part struct {
	axis  byte
	layer int
}

// partOf is the part that a dimension of a weight is.
func partOf(axis byte, layer int) part {
	if axis == axisHidden {
		layer = -1
	}
	return part{axis, layer}
}

// places is the size of a dimension; -1 = any.
func (k *cutter) places(axis byte) int {
	size := k.from.headSize()
	switch axis {
	case axisHidden:
		return k.from.HiddenSize
	case axisQueries:
		return k.from.Heads * size
	case axisKeys:
		return k.from.keyHeads() * size
	case axisFused:
		return (k.from.Heads + 2*k.from.keyHeads()) * size
	case axisInner:
		return k.from.Intermediate
	}
	return -1
}

// unit is what a place of a dimension belongs to: a unit of the width or of the
// feed-forward layer, or a head of keys with the heads of queries that share it.
func (k *cutter) unit(axis byte, at int) int {
	size := k.from.headSize()
	queries, keys := k.from.Heads*size, k.from.keyHeads()*size
	switch {
	case axis == axisFused && at >= queries:
		return (at - queries) % keys / size
	case axis == axisQueries, axis == axisFused:
		return at * k.from.keyHeads() / queries
	case axis == axisKeys:
		return at / size
	}
	return at
}

// axesOf gives the axes of a weight and checks its shape against them. The name is
// the architecture's, in islm/ behind the head's.
func (k *cutter) axesOf(name string, x Weight) (string, error) {
	axes, ok := k.axes[name]
	for rest := name; !ok && rest != ""; {
		_, rest, _ = strings.Cut(rest, ".")
		axes, ok = k.axes[rest]
	}
	if !ok {
		return strings.Repeat(string(axisOther), len(x.Shape)), nil
	}
	if len(axes) != len(x.Shape) {
		return "", fmt.Errorf("%s has the shape %v, %d dimensions are expected", x.Key, x.Shape, len(axes))
	}
	for i, n := range x.Shape {
		if want := k.places(axes[i]); want >= 0 && int(n) != want {
			return "", fmt.Errorf("%s has the shape %v, config.json makes dimension %d of it %d", x.Key, x.Shape, i+1, want)
		}
	}
	return axes, nil
}

// layerOf splits the name of a layer's weight at its number; in ALBERT that of the
// group whose layers share it.
func layerOf(name string) (before string, layer int, after string) {
	parts := strings.Split(name, ".")
	for i := 1; i+1 < len(parts); i++ {
		if !slices.Contains([]string{"layer", "layers", "h", "block", "albert_layer_groups"}, parts[i-1]) {
			continue
		}
		if n, err := strconv.Atoi(parts[i]); err == nil {
			return strings.Join(parts[:i], ".") + ".", n, "." + strings.Join(parts[i+1:], ".")
		}
	}
	return name, -1, ""
}

// choose ranks the units and keeps the heaviest.
func (k *cutter) choose() error {
	f, t := k.from, k.to
	k.narrow = !k.cut.Scratch && (t.HiddenSize != f.HiddenSize || t.Intermediate != f.Intermediate || t.Heads != f.Heads)
	if !k.narrow {
		return nil
	}
	k.axes = f.axes()
	// Of heads the queries' axis stands for all.
	of := func(axis byte, layer int) part {
		if axis == axisKeys || axis == axisFused {
			axis = axisQueries
		}
		return partOf(axis, layer)
	}
	weight := map[part][]float64{}
	units := map[byte]int{axisHidden: f.HiddenSize, axisQueries: f.keyHeads(), axisInner: f.Intermediate}
	most := map[byte]int{axisHidden: t.HiddenSize, axisQueries: t.keyHeads(), axisInner: t.Intermediate}
	for _, name := range k.names {
		x, _ := k.find(name)
		_, layer, _ := layerOf(name)
		if layer >= 0 && !slices.Contains(k.cut.Layers, layer) || len(x.Shape) != 2 {
			continue
		}
		axes, err := k.axesOf(name, x)
		if err != nil {
			return err
		}
		var to [2][]float64
		var unit [2][]int // of each place
		for a := range to {
			if axes[a] == axisOther {
				continue
			}
			p := of(axes[a], layer)
			if weight[p] == nil {
				weight[p] = make([]float64, units[p.axis])
			}
			to[a] = weight[p]
			for at := range int(x.Shape[a]) {
				unit[a] = append(unit[a], k.unit(axes[a], at))
			}
		}
		values, err := floats(x)
		if err != nil {
			return err
		}
		columns := int(x.Shape[1])
		for i, v := range values {
			for a, at := range [2]int{i / columns, i % columns} {
				if to[a] != nil {
					to[a][unit[a][at]] += float64(v) * float64(v)
				}
			}
		}
	}
	k.kept = map[part][]int{}
	for p, w := range weight {
		best := heaviest(w, most[p.axis])
		axes := []byte{p.axis}
		if p.axis == axisQueries {
			axes = []byte{axisQueries, axisKeys, axisFused}
		}
		for _, axis := range axes {
			for at := range k.places(axis) {
				if _, ok := slices.BinarySearch(best, k.unit(axis, at)); ok {
					q := partOf(axis, p.layer)
					k.kept[q] = append(k.kept[q], at)
				}
			}
		}
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
		if layer < 0 || k.from.Groups > 0 {
			e, err := k.slice(name, name, layer, x)
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

// slice keeps the chosen units of a weight, which is read when it is written.
func (k *cutter) slice(to, name string, layer int, x Weight) (safetensors.Entry, error) {
	if !k.narrow || len(x.Shape) == 0 {
		return safetensors.Entry{Name: to, DType: x.DType, Shape: x.Shape, Fill: x.Read}, nil
	}
	axes, err := k.axesOf(name, x)
	if err != nil {
		return safetensors.Entry{}, err
	}
	keep, shape := make([][]int, len(axes)), make([]int64, len(axes))
	for a, n := range x.Shape {
		if keep[a] = k.kept[partOf(axes[a], layer)]; keep[a] == nil {
			for i := range int(n) {
				keep[a] = append(keep[a], i)
			}
		}
		shape[a] = int64(len(keep[a]))
	}
	fill := func() ([]byte, error) {
		values, err := floats(x)
		if err != nil {
			return nil, err
		}
		rows, last := []int{0}, len(keep)-1
		for a := range last {
			var next []int
			for _, r := range rows {
				for _, i := range keep[a] {
					next = append(next, r*int(x.Shape[a])+i)
				}
			}
			rows = next
		}
		data := make([]byte, 0, 4*len(rows)*len(keep[last]))
		for _, r := range rows {
			for _, i := range keep[last] {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(values[r*int(x.Shape[last])+i]))
			}
		}
		return data, nil
	}
	return safetensors.Entry{Name: to, DType: "F32", Shape: shape, Fill: fill}, nil
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
		case "F16":
			out[i] = safetensors.Half(binary.LittleEndian.Uint16(data[2*i:]))
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
