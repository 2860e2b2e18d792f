//go:build torch

package model

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
)

// adapter changes what one linear map computes, without touching its weights.
// It hangs on the map's weight, so that each architecture has adapters wherever
// it applies a linear map to a batch.
type adapter interface {
	// apply is l(x) as the adapter changes it: x [B, T, in] to [B, T, out].
	apply(l linear, x *torch.Tensor, in *Input, pass *Pass) *torch.Tensor
}

// normAdapter changes what enters a LayerNorm that follows a residual sum.
type normAdapter interface {
	addNorm(l layerNorm, x, residual *torch.Tensor, p float64, mask torch.Mask) (y, narrow *torch.Tensor)
}

// merger is an adapter that can become part of the map's weights.
type merger interface {
	// merge changes weight and bias so that the plain map computes what the
	// adapted one did, or back. Call it inside torch.NoGrad.
	merge(l linear, back bool)
}

// on applies the map to a batch x [B, T, in], with its adapter if it has one.
// Encoders call it for every map of a layer.
func (l linear) on(x *torch.Tensor, in *Input, pass *Pass) *torch.Tensor {
	if a := l.weight.adapter; a != nil {
		return a.apply(l, x, in, pass)
	}
	return l.apply(x)
}

// tuning is what an adapter adds to an encoder.
type tuning struct {
	config *peft.Config
	params []*Param
	maps   []tuned
	ranks  *ranks // adalora; nil otherwise
	rows   *rows  // of word embeddings; nil = none

	// Virtual tokens: of ptuning, and of prefix once it is trained, keys and
	// values of all layers [Tokens, Layers·2·Hidden]; of prompt [Tokens, Hidden].
	embed *Param
	// The network that makes a prefix while it is trained; nil otherwise.
	first, second *linear
}

// tuned is an adapted linear map.
type tuned struct {
	name string
	linear
}

// lora is y = W x + b + scale · B A dropout(x).
type lora struct {
	a, b           *Param // [r, in], [out, r]
	scale, dropout float64
	place          uint64
	magnitude      *Param // [out], of dora; nil otherwise
	values         *Param // [r, 1], of adalora; nil otherwise
}

func (a *lora) apply(l linear, x *torch.Tensor, in *Input, pass *Pass) *torch.Tensor {
	y := l.apply(x)
	z := x
	if pass.Train && a.dropout > 0 {
		mask := pass.mask(a.place, in)
		mask.Stream = streamAdapters
		z = torch.Dropout(x, a.dropout, mask)
	}
	down := a.a.Value
	if a.values != nil {
		down = down.Mul(a.values.Value)
	}
	d := torch.Linear(torch.Linear(z, down, nil), a.b.Value, nil).MulScalar(a.scale)
	if a.magnitude == nil {
		return y.Add(d.ToDType(y.DType()))
	}
	// Section 4.3 of the paper: the length of the rows is a constant to the
	// gradient.
	share := a.magnitude.Value.Div(a.lengths(l))
	var plain *torch.Tensor
	switch {
	case z != x:
		plain = torch.Linear(z, l.weight.Value, nil)
	case l.bias != nil:
		plain = y.Sub(l.bias.Value)
	default:
		plain = y
	}
	return y.Add(share.SubScalar(1).Mul(plain).Add(share.Mul(d)).ToDType(y.DType()))
}

// delta is what the update adds to the weight [out, in].
func (a *lora) delta() *torch.Tensor {
	down := a.a.Value
	if a.values != nil {
		down = down.Mul(a.values.Value)
	}
	return a.b.Value.MatMul(down).MulScalar(a.scale)
}

// lengths are the 2-norms of the rows of W + scale·B A, without history [out].
func (a *lora) lengths(l linear) (n *torch.Tensor) {
	torch.NoGrad(func() {
		torch.Autocast(l.weight.Value.Device(), false, func() { n = l.weight.Value.Add(a.delta()).Norm(2, 1, false) })
	})
	return n
}

func (a *lora) merge(l linear, back bool) {
	if back {
		l.weight.Value.CopyFrom(l.weight.Value.Sub(a.delta()))
		return
	}
	w := l.weight.Value.Add(a.delta())
	if a.magnitude != nil {
		w = w.Mul(a.magnitude.Value.Div(w.Norm(2, 1, false)).Unsqueeze(1))
	}
	l.weight.Value.CopyFrom(w)
}

// ia3 scales the output of a map, or its input.
type ia3 struct {
	scale *Param // [out, 1], or [1, in]
	input bool
}

func (a *ia3) apply(l linear, x *torch.Tensor, _ *Input, _ *Pass) *torch.Tensor {
	s := a.scale.Value.View(-1)
	if a.input {
		return l.apply(x.Mul(s).ToDType(x.DType()))
	}
	y := l.apply(x)
	return y.Mul(s).ToDType(y.DType())
}

func (a *ia3) merge(l linear, back bool) {
	s := a.scale.Value
	if back {
		s = torch.Ones(torch.Float32, s.Device(), s.Shape()...).Div(s)
	}
	l.weight.Value.CopyFrom(l.weight.Value.Mul(s))
	if !a.input && l.bias != nil {
		l.bias.Value.CopyFrom(l.bias.Value.Mul(s.View(-1)))
	}
}

// bottleneck is up(act(down(x))). On a LayerNorm it stands between the dropout of
// a part and the residual sum: houlsby adds it to the part's output; pfeiffer
// reads the normalized sum, as the adapters of AdapterHub do.
type bottleneck struct {
	down, up linear
	act      func(*torch.Tensor) *torch.Tensor
	normed   bool // pfeiffer
}

func (a *bottleneck) of(x *torch.Tensor) *torch.Tensor { return a.up.apply(a.act(a.down.apply(x))) }

func (a *bottleneck) apply(l linear, x *torch.Tensor, _ *Input, _ *Pass) *torch.Tensor {
	y := l.apply(x)
	return y.Add(a.of(y).ToDType(y.DType()))
}

func (a *bottleneck) addNorm(l layerNorm, x, residual *torch.Tensor, p float64, mask torch.Mask) (y, narrow *torch.Tensor) {
	x = torch.Dropout(x, p, mask)
	read := x
	if a.normed {
		_, read = torch.AddNormPair(x, residual, l.weight.Value, l.bias.Value, l.eps, 0, mask)
	}
	x = x.Add(a.of(read).ToDType(x.DType()))
	return torch.AddNormPair(x, residual, l.weight.Value, l.bias.Value, l.eps, 0, mask)
}

// shift is how many places the virtual tokens of each layer's attention take.
func (t *tuning) shift() int {
	if t == nil || t.config.Method != recipe.PeftPrefix && t.config.Method != recipe.PeftPTuning {
		return 0
	}
	return t.config.Tokens
}

// prompts is how many virtual tokens stand before the text's.
func (t *tuning) prompts() int {
	if t == nil || t.config.Method != recipe.PeftPrompt {
		return 0
	}
	return t.config.Tokens
}

// prompted puts the prompt's vectors before x [B, T, H].
func (t *tuning) prompted(x *torch.Tensor) *torch.Tensor {
	n := int64(t.prompts())
	if n == 0 {
		return x
	}
	p := t.embed.Value.Unsqueeze(0).Expand(x.Size(0), n, x.Size(2))
	return torch.Cat([]*torch.Tensor{p, x}, 1)
}

// bias lets every position see the virtual tokens: [B, 1, S, T] becomes
// [B, 1, S, Tokens + T].
func (t *tuning) bias(b *torch.Tensor) *torch.Tensor {
	n := int64(t.shift() + t.prompts())
	if n == 0 || b == nil {
		return b
	}
	return torch.Cat([]*torch.Tensor{torch.Zeros(torch.Float32, b.Device(), b.Size(0), 1, b.Size(2), n), b}, 3)
}

// prefixes gives the trained keys and values of all layers, [2·Layers, Tokens, H],
// of layer i at 2i and 2i+1; nil when there are none.
func (t *tuning) prefixes() *torch.Tensor {
	if t.shift() == 0 {
		return nil
	}
	p := t.embed.Value
	if t.first != nil {
		p = t.second.apply(t.first.apply(p).Tanh())
	}
	return p.View(int64(t.config.Tokens), int64(2*t.config.Layers), int64(t.config.Dim)).Transpose(0, 1)
}

// attend puts a layer's prefix before keys and values [B, heads, T, size].
func attend(prefixes *torch.Tensor, layer int, key, value *torch.Tensor) (k, v *torch.Tensor) {
	if prefixes == nil {
		return key, value
	}
	b, heads, size := key.Size(0), key.Size(1), key.Size(3)
	put := func(i int, x *torch.Tensor) *torch.Tensor {
		p := prefixes.Select(0, int64(i)) // [Tokens, H]
		n := p.Size(0)
		p = p.View(n, heads, size).Transpose(0, 1).Unsqueeze(0).Expand(b, heads, n, size)
		return torch.Cat([]*torch.Tensor{p.ToDType(x.DType()), x}, 2)
	}
	return put(2*layer, key), put(2*layer+1, value)
}

// Adapter reports whether the weight belongs to an adapter.
func (p *Param) Adapter() bool { return p.tuned }

// Row reports whether the weight is an adapter's rows of word embeddings.
func (p *Param) Row() bool { return p.tuned && strings.HasSuffix(p.Name, ".trainable_tokens_delta") }

// Tuning describes the model's adapter; nil when it has none.
func (m *Model) Tuning() *peft.Config {
	if m.tuning == nil {
		return nil
	}
	return m.tuning.config
}

// NewAdapter gives the description of the adapter that a plan asks for.
func NewAdapter(cfg *hf.Config, method string, plan *recipe.PeftPlan, steps int) *peft.Config {
	c := &peft.Config{
		Method: method, Rank: plan.Rank, Alpha: plan.Alpha, Dropout: plan.Dropout, Targets: slices.Sorted(slices.Values(plan.Targets)),
		Tokens: plan.Tokens, Layers: cfg.Layers, Heads: cfg.Heads, Dim: cfg.HiddenSize, Projection: plan.Projection,
		Bottleneck: plan.Bottleneck, Act: plan.Act, FanInOut: cfg.ModelType == "gpt2",
	}
	defaults := adapted(cfg)
	if i := slices.Index(c.Targets, recipe.AllLinear); i >= 0 {
		c.Targets = append(slices.Delete(c.Targets, i, i+1), defaults.all...)
		slices.Sort(c.Targets)
		c.Targets = slices.Compact(c.Targets)
	}
	switch {
	case method == recipe.PeftIA3:
		if len(c.Targets) == 0 {
			c.Targets, c.FeedForward = defaults.scaled, defaults.inputs
		} else {
			for _, t := range c.Targets {
				if ends(t, defaults.inputs) {
					c.FeedForward = append(c.FeedForward, t)
				}
			}
		}
	case c.LowRank():
		if len(c.Targets) == 0 {
			c.Targets = defaults.lowRank
		}
	default:
		c.Targets = nil
	}
	if c.Method == recipe.PeftPrefix && c.Projection == 0 {
		c.Projection = cfg.HiddenSize
	}
	if method == recipe.PeftAdaLoRA {
		c.TargetRank = plan.Rank
		if c.Rank = plan.InitRank; c.Rank == 0 {
			c.Rank = (3*plan.Rank + 1) / 2
		}
		c.Rank = max(c.Rank, c.TargetRank)
		c.Steps = steps
		c.Warmup, c.Final = int(plan.Warmup*float64(steps)), int(plan.Final*float64(steps))
		c.Every, c.Beta1, c.Beta2, c.Orthogonal = plan.Every, plan.Beta1, plan.Beta2, plan.Orthogonal
	}
	return c
}

// places are where an architecture has adapters, by the ends of names: peft's
// defaults.
type places struct {
	lowRank, scaled, inputs []string
	all                     []string // every linear map of the layers
	norms                   []string // houlsby: of LayerNorms after residual sums; pfeiffer takes the last
	maps                    []string // the same as linear maps, where no LayerNorm follows
}

func adapted(cfg *hf.Config) places {
	switch cfg.ModelType {
	case "gpt2":
		return places{
			all: []string{"c_attn", "c_fc", "c_proj"}, lowRank: []string{"c_attn"}, scaled: []string{"c_attn", "mlp.c_proj"}, inputs: []string{"mlp.c_proj"},
			maps: []string{"attn.c_proj", "mlp.c_proj"},
		}
	case "llama":
		return places{
			all:     []string{"down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"},
			lowRank: []string{"q_proj", "v_proj"}, scaled: []string{"down_proj", "k_proj", "v_proj"}, inputs: []string{"down_proj"},
			maps: []string{"self_attn.o_proj", "mlp.down_proj"},
		}
	case "distilbert": // peft has none for it: the same parts as BERT's
		return places{
			all:     []string{"k_lin", "lin1", "lin2", "out_lin", "q_lin", "v_lin"},
			lowRank: []string{"q_lin", "v_lin"}, scaled: []string{"ffn.lin2", "k_lin", "v_lin"}, inputs: []string{"ffn.lin2"},
			norms: []string{"sa_layer_norm", "output_layer_norm"},
		}
	case "albert":
		return places{
			all:     []string{"dense", "ffn", "ffn_output", "key", "query", "value"},
			lowRank: []string{"query", "value"}, scaled: []string{"ffn_output", "key", "value"}, inputs: []string{"ffn_output"},
			norms: []string{"albert_layers.0.attention.LayerNorm", "albert_layers.0.full_layer_layer_norm"},
		}
	}
	return places{
		all:     []string{"dense", "key", "query", "value"},
		lowRank: []string{"query", "value"}, scaled: []string{"key", "output.dense", "value"}, inputs: []string{"output.dense"},
		norms: []string{"attention.output.LayerNorm", "output.LayerNorm"},
	}
}

func ends(name string, targets []string) bool {
	return slices.ContainsFunc(targets, func(t string) bool { return name == t || strings.HasSuffix(name, "."+t) })
}

// adapt hangs the adapter that c describes on the encoder. get gives a weight of
// the adapter by its canonical name.
func (m *Model) adapt(c *peft.Config, get func(t hf.Tensor, init initial) *Param) error {
	t := &tuning{config: c}
	m.tuning = t
	own := func(name string, init initial, shape ...int64) *Param {
		p := get(hf.Tensor{Name: name, Shape: shape}, init)
		p.tuned = true
		t.params = append(t.params, p)
		return p
	}
	lin := func(name string, second initial, out, in int64) linear {
		return linear{weight: own(name+".weight", second, out, in), bias: own(name+".bias", zeros, out)}
	}
	byName := map[string]*Param{}
	params := m.Encoder.Params()
	for _, p := range params {
		byName[p.Name] = p
	}
	h := int64(m.Config.HiddenSize)
	switch {
	case c.LowRank() || c.Method == recipe.PeftIA3:
		if c.Method == recipe.PeftAdaLoRA {
			t.ranks = newRanks(c)
		}
		for _, p := range params {
			name, ok := strings.CutSuffix(p.Name, ".weight")
			// A map of the inner model: peft sees its whole name, of which patterns
			// may read the beginning.
			if !ok || strings.HasPrefix(name, "embeddings.") || p.Value.Dim() != 2 || !c.Adapts(name) && !c.Adapts(hf.Prefixed(m.Config.ModelType, name)) {
				continue
			}
			l := linear{weight: p, bias: byName[name+".bias"]}
			out, in := p.Value.Size(0), p.Value.Size(1)
			if c.Method == recipe.PeftIA3 {
				a := &ia3{input: c.ScalesInput(name)}
				if a.input {
					a.scale = own(name+".ia3_l", ones, 1, in)
				} else {
					a.scale = own(name+".ia3_l", ones, out, 1)
				}
				p.adapter = a
			} else {
				a := t.lowRank(m.Config, name, l, own)
				p.adapter = a
			}
			t.maps = append(t.maps, tuned{name, l})
		}
		if len(t.maps) == 0 {
			names := slices.Clone(c.Targets)
			if c.Pattern != "" {
				names = append(names, c.Pattern)
			}
			return fmt.Errorf("no linear map of the model is called %s; there are %s", strings.Join(names, ", "), strings.Join(adapted(m.Config).all, ", "))
		}
	case c.Method == recipe.PeftHoulsby || c.Method == recipe.PeftPfeiffer:
		act, err := activation(c.Act)
		if err != nil {
			return err
		}
		at := adapted(m.Config)
		which := slices.Concat(at.norms, at.maps)
		if c.Method == recipe.PeftPfeiffer {
			which = which[len(which)-1:]
		}
		for _, p := range params {
			name, ok := strings.CutSuffix(p.Name, ".weight")
			if !ok || !slices.ContainsFunc(which, func(w string) bool { return place(name) == w }) {
				continue
			}
			place := name + ".adapter."
			// The second map begins with zeros, so that the first step computes what
			// the plain model does.
			a := &bottleneck{act: act, normed: c.Method == recipe.PeftPfeiffer, down: lin(place+"down", normal, int64(c.Bottleneck), h), up: lin(place+"up", zeros, h, int64(c.Bottleneck))}
			if ends(name, at.norms) {
				p.normAdapter = a
			} else {
				p.adapter = a
			}
		}
	case c.Method == recipe.PeftPrompt:
		t.embed = own("prompt_embeddings", normal, int64(c.Tokens), h)
	case c.Prompting():
		width := int64(2*m.Config.Layers) * h
		if c.Method == recipe.PeftPTuning {
			t.embed = own("prompt_embeddings", normal, int64(c.Tokens), width)
			break
		}
		// Deviation 1, as PyTorch's embeddings have: small vectors would make tokens
		// that hardly differ, and small gradients of the network behind them.
		t.embed = own("prompt_encoder.embedding.weight", standard, int64(c.Tokens), h)
		first, second := lin("prompt_encoder.transform.0", uniform, int64(c.Projection), h), lin("prompt_encoder.transform.2", uniform, width, int64(c.Projection))
		t.first, t.second = &first, &second
	}
	if len(c.Rows) > 0 {
		m.adaptRows(own)
	}
	return nil
}

// adaptRows puts the rows of the adapter in the place of those of the word
// embeddings, with which new ones begin.
func (m *Model) adaptRows(own func(string, initial, ...int64) *Param) {
	word, c := m.Encoder.words(), m.tuning.config
	ids := make([]int64, len(c.Rows))
	for i, id := range c.Rows {
		ids[i] = int64(id)
	}
	begin := func(w *torch.Tensor, _ uint64, _ string, _ float64) {
		w.CopyFrom(word.Value.IndexSelect(0, torch.FromInt64(ids, int64(len(ids))).ToDevice(m.device)))
	}
	m.tuning.rows = newRows(ids, word, own(rowsName(word), begin, int64(len(ids)), word.Value.Size(1)))
}

// place is the name of a module within its layer.
func place(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		if p != "" && strings.Trim(p, "0123456789") == "" {
			return strings.Join(parts[i+1:], ".")
		}
	}
	return name
}

func (t *tuning) lowRank(cfg *hf.Config, name string, l linear, own func(string, initial, ...int64) *Param) *lora {
	c := t.config
	out, in, r := l.weight.Value.Size(0), l.weight.Value.Size(1), int64(c.Rank)
	a := &lora{dropout: c.Dropout, place: adapterPlace(name), scale: c.Alpha / float64(c.Rank)}
	suffix := ".weight"
	switch c.Method {
	case recipe.PeftRSLoRA:
		a.scale = c.Alpha / math.Sqrt(float64(c.Rank))
	case recipe.PeftAdaLoRA:
		// As peft divides.
		a.scale, suffix = c.Alpha/(float64(c.Rank)+1e-5), ""
		if kept, ok := c.Ranks[hf.Prefixed(cfg.ModelType, name)+".lora_E"]; ok {
			r = 0
			for _, on := range kept {
				if on {
					r++
				}
			}
		}
		a.a, a.b = own(name+".lora_A", small, r, in), own(name+".lora_B", small, out, r)
		a.values = own(name+".lora_E", zeros, r, 1)
		t.ranks.add(name, a)
		return a
	}
	a.a, a.b = own(name+".lora_A"+suffix, uniform, r, in), own(name+".lora_B"+suffix, zeros, out, r)
	if c.Method == recipe.PeftDoRA {
		a.magnitude = own(name+".lora_magnitude_vector", func(w *torch.Tensor, _ uint64, _ string, _ float64) { w.CopyFrom(l.weight.Value.Norm(2, 1, false)) }, out)
	}
	return a
}

// adapterPlace spreads the dropout of adapters by name.
func adapterPlace(name string) uint64 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return uint64(h.Sum32())
}

// initial fills a new weight of an adapter; std is the model's.
type initial func(w *torch.Tensor, seed uint64, name string, std float64)

func zeros(w *torch.Tensor, _ uint64, _ string, _ float64) { w.FillInPlace(0) }
func ones(w *torch.Tensor, _ uint64, _ string, _ float64)  { w.FillInPlace(1) }

func normal(w *torch.Tensor, seed uint64, name string, std float64) {
	torch.InitNormal(w, seed, name, 0, std)
}

// standard is the normal distribution of deviation 1.
func standard(w *torch.Tensor, seed uint64, name string, _ float64) {
	torch.InitNormal(w, seed, name, 0, 1)
}

// small is what AdaLoRA begins with.
func small(w *torch.Tensor, seed uint64, name string, _ float64) {
	torch.InitNormal(w, seed, name, 0, 0.02)
}

// uniform is PyTorch's of linear maps: within 1/√in.
func uniform(w *torch.Tensor, seed uint64, name string, _ float64) {
	bound := 1 / math.Sqrt(float64(w.Size(-1)))
	torch.InitUniform(w, seed, name, -bound, bound)
}

// Merge makes the adapter part of the encoder's weights; then the model has none.
// Call it inside torch.NoGrad.
func (m *Model) Merge() error { return m.merge(false) }

// Unmerge takes the adapter out of weights that it had been merged into. DoRA's, and
// one with rows of word embeddings, cannot be taken out: the lengths of the base's
// weights, or its rows, are gone.
func (m *Model) Unmerge() error { return m.merge(true) }

func (m *Model) merge(back bool) error {
	t := m.tuning
	if t == nil {
		return nil
	}
	if !t.config.Mergeable() {
		return fmt.Errorf("merge: an adapter of the kind %s is no change of weights", t.config.Method)
	}
	if back && t.config.Method == recipe.PeftDoRA {
		return fmt.Errorf("unmerge: the lengths that dora replaced are gone")
	}
	if t.rows != nil {
		if back {
			return fmt.Errorf("unmerge: the rows of the word embeddings that were replaced are gone")
		}
		scope := torch.Open()
		word := m.Encoder.words()
		word.Value.CopyFrom(t.rows.table(word))
		scope.Close()
		t.rows.free()
	}
	for _, at := range t.maps {
		scope := torch.Open()
		at.weight.adapter.(merger).merge(at.linear, back)
		scope.Close()
		at.weight.adapter = nil
	}
	m.params = slices.DeleteFunc(m.params, func(p *Param) bool {
		if p.tuned {
			p.Value.Free()
		}
		return p.tuned
	})
	if t.ranks != nil {
		t.ranks.free()
	}
	m.tuning = nil
	m.Encoder.tune(nil)
	return nil
}
