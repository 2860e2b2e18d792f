//go:build torch

package model

import (
	"fmt"
	"math"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/torch"
)

// GPT2 is the decoder of Radford et al. 2019, "Language Models are Unsupervised
// Multitask Learners": learned absolute positions, pre-norm layers, a position
// sees itself and those before it.
type GPT2 struct {
	cfg            *hf.Config
	word, position *Param
	layers         []gpt2Layer
	norm           layerNorm
	params         []*Param
	act            func(*torch.Tensor) *torch.Tensor
	tied           bool    // a language-model head decodes with word
	tuning         *tuning // nil without an adapter
}

type gpt2Layer struct {
	attentionNorm    layerNorm
	attention, merge linear // query, key and value in one map; the output's
	norm             layerNorm
	up, down         linear
}

// newGPT2 wires the weights, which get returns by canonical name.
func newGPT2(cfg *hf.Config, get func(hf.Tensor) *Param) (*GPT2, error) {
	g := &GPT2{cfg: cfg}
	byName := map[string]*Param{}
	for _, t := range cfg.Encoder() {
		p := get(t)
		byName[t.Name] = p
		g.params = append(g.params, p)
	}
	lin := func(name string) linear { return linear{byName[name+".weight"], byName[name+".bias"]} }
	norm := func(name string) layerNorm {
		return layerNorm{byName[name+".weight"], byName[name+".bias"], cfg.LayerNormEps}
	}
	g.word, g.position, g.norm = byName["wte.weight"], byName["wpe.weight"], norm("ln_f")
	for i := range cfg.Layers {
		at := fmt.Sprintf("h.%d.", i)
		g.layers = append(g.layers, gpt2Layer{
			attentionNorm: norm(at + "ln_1"), attention: lin(at + "attn.c_attn"), merge: lin(at + "attn.c_proj"),
			norm: norm(at + "ln_2"), up: lin(at + "mlp.c_fc"), down: lin(at + "mlp.c_proj"),
		})
	}
	var err error
	g.act, err = activation(cfg.Act)
	return g, err
}

// Params lists the weights in transformers' order.
func (g *GPT2) Params() []*Param { return g.params }

func (g *GPT2) tune(t *tuning) { g.tuning = t }

func (g *GPT2) words() *Param { return g.word }

// Hidden is the size of a vector.
func (g *GPT2) Hidden() int { return g.cfg.HiddenSize }

// Tie gives the word embeddings to a head that decodes with them.
func (g *GPT2) Tie() *Param {
	g.tied = true
	return g.word
}

func (g *GPT2) lookup(ids *torch.Tensor) *torch.Tensor {
	return g.tuning.words(g.word, g.tied, ids)
}

// embed gives the output of the embedding layer, before dropout [B, T, Hidden].
func (g *GPT2) embed(in *Input) *torch.Tensor {
	x := in.words
	if x == nil {
		x = g.lookup(in.IDs)
	}
	if in.cache.filled() == 0 {
		x = g.tuning.prompted(x)
	}
	if in.positions != nil {
		return x.Add(torch.Embedding(g.position.Value.Alias(), in.positions))
	}
	return x.Add(g.position.Value.Narrow(0, int64(g.tuning.shift()), x.Size(1)))
}

// Encode gives the last hidden states [B, T, Hidden].
func (g *GPT2) Encode(in *Input, pass *Pass) *torch.Tensor {
	n, t := in.IDs.Size(0), int64(in.Width)
	embedding, hidden, attention := g.cfg.EmbeddingDropout, g.cfg.HiddenDropout, g.cfg.AttentionDropout
	if !pass.Train {
		embedding, hidden, attention = 0, 0, 0
	}
	x := torch.Scoped(func() *torch.Tensor {
		x := in.mixed(g.embed(in), func() *torch.Tensor { return g.embed(in.mix.other) })
		t = x.Size(1)
		return torch.Dropout(x, embedding, pass.mask(placeEmbeddings, in))
	})
	pass.probe("embeddings", x)
	pass.States.embedded(x)

	sight, prefixes := in.sight(g.tuning), g.tuning.prefixes()
	heads := int64(g.cfg.Heads)
	size := int64(g.cfg.HiddenSize) / heads
	split := func(x *torch.Tensor) *torch.Tensor { return x.View(n, t, heads, size).Transpose(1, 2) }
	for i := range g.layers {
		l, place := &g.layers[i], uint64(placeLayers+4*i)
		scope := torch.Open()
		three := l.attention.on(pass.narrow(l.attentionNorm.apply(x)), in, pass).Split(int64(g.cfg.HiddenSize), -1)
		query, key, value := split(three[0]), split(three[1]), split(three[2])
		pass.States.related(scope, query, key, value)
		if in.cache.filled() == 0 || len(in.cache.keys) == i {
			key, value = attend(prefixes, i, key, value)
		}
		key, value = in.cache.extend(scope, i, key, value)
		a := torch.Attention(query, key, value, sight, 1/math.Sqrt(float64(size)), attention, pass.mask(place, in))
		a = l.merge.on(a.Transpose(1, 2).Reshape(n, t, heads*size), in, pass)
		x = x.Add(torch.Dropout(a, hidden, pass.mask(place+1, in)).ToDType(torch.Float32))
		f := l.down.on(g.act(l.up.on(pass.narrow(l.norm.apply(x)), in, pass)), in, pass)
		x = x.Add(torch.Dropout(f, hidden, pass.mask(place+2, in)).ToDType(torch.Float32))
		scope.Keep(x)
		scope.Close()
		pass.probe(fmt.Sprintf("h.%d", i), x)
		pass.States.layer(x)
	}
	return g.norm.apply(x)
}

// sight is added to the scores of attention, so that a position sees itself and
// those before it, and virtual tokens: [1, 1, T, Tokens + T]; of a token after others that are in the cache
// [B, 1, 1, S], nil when it sees all. Padding of a batch comes last, so that no real
// position sees it.
func (in *Input) sight(tuning *tuning) *torch.Tensor {
	if in.cache.filled() > 0 {
		return in.Bias
	}
	before, t := tuning.shift(), in.Width+tuning.prompts()
	all := before + t
	sees := make([]float32, t*all)
	for q := range t {
		for j := before + q + 1; j < all; j++ {
			sees[q*all+j] = maskedOut
		}
	}
	return torch.FromFloat32(sees, 1, 1, int64(t), int64(all)).ToDevice(in.IDs.Device())
}
