//go:build torch

package model

import (
	"fmt"
	"math"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/torch"
)

// Llama is the decoder of Touvron et al. 2023, "LLaMA: Open and Efficient
// Foundation Language Models", and Llama 2 and 3: RMSNorm before each part (Zhang
// and Sennrich 2019), rotary positions (Su et al. 2021), a gated feed-forward part
// (Shazeer 2020, SwiGLU), and keys and values of fewer heads than queries (Ainslie
// et al. 2023, grouped-query attention).
type Llama struct {
	cfg    *hf.Config
	word   *Param
	layers []llamaLayer
	norm   rmsNorm
	params []*Param
	act    func(*torch.Tensor) *torch.Tensor
	tied   bool    // a language-model head decodes with word
	tuning *tuning // nil without an adapter
}

type llamaLayer struct {
	attentionNorm             rmsNorm
	query, key, value, output linear
	norm                      rmsNorm
	gate, up, down            linear
}

type rmsNorm struct {
	weight *Param
	eps    float64
}

// apply is x / √(mean of x² + eps) · weight, in float32.
func (n rmsNorm) apply(x *torch.Tensor) *torch.Tensor {
	return x.Mul(x.Square().MeanKeep(-1).AddScalar(n.eps).Rsqrt()).Mul(n.weight.Value)
}

// newLlama wires the weights, which get returns by canonical name.
func newLlama(cfg *hf.Config, get func(hf.Tensor) *Param) (*Llama, error) {
	l := &Llama{cfg: cfg}
	byName := map[string]*Param{}
	for _, t := range cfg.Encoder() {
		p := get(t)
		byName[t.Name] = p
		l.params = append(l.params, p)
	}
	lin := func(name string) linear { return linear{byName[name+".weight"], byName[name+".bias"]} }
	norm := func(name string) rmsNorm { return rmsNorm{byName[name+".weight"], cfg.LayerNormEps} }
	l.word, l.norm = byName["embed_tokens.weight"], norm("norm")
	for i := range cfg.Layers {
		at := fmt.Sprintf("layers.%d.", i)
		l.layers = append(l.layers, llamaLayer{
			attentionNorm: norm(at + "input_layernorm"),
			query:         lin(at + "self_attn.q_proj"), key: lin(at + "self_attn.k_proj"), value: lin(at + "self_attn.v_proj"), output: lin(at + "self_attn.o_proj"),
			norm: norm(at + "post_attention_layernorm"),
			gate: lin(at + "mlp.gate_proj"), up: lin(at + "mlp.up_proj"), down: lin(at + "mlp.down_proj"),
		})
	}
	var err error
	l.act, err = activation(cfg.Act)
	return l, err
}

// Params lists the weights in transformers' order.
func (l *Llama) Params() []*Param { return l.params }

// Hidden is the size of a vector.
func (l *Llama) Hidden() int { return l.cfg.HiddenSize }

// Tie gives the word embeddings to a head that decodes with them.
func (l *Llama) Tie() *Param {
	l.tied = true
	return l.word
}

func (l *Llama) tune(t *tuning) { l.tuning = t }

func (l *Llama) words() *Param { return l.word }

func (l *Llama) lookup(ids *torch.Tensor) *torch.Tensor {
	return l.tuning.words(l.word, l.tied, ids)
}

// embed gives the output of the embedding layer [B, T, Hidden].
func (l *Llama) embed(in *Input) *torch.Tensor {
	x := in.words
	if x == nil {
		x = l.lookup(in.IDs)
	}
	if in.cache.filled() == 0 {
		x = l.tuning.prompted(x)
	}
	return x
}

// Encode gives the last hidden states [B, T, Hidden].
func (l *Llama) Encode(in *Input, pass *Pass) *torch.Tensor {
	n, t := in.IDs.Size(0), int64(in.Width)
	hidden, attention := l.cfg.HiddenDropout, l.cfg.AttentionDropout
	if !pass.Train {
		hidden, attention = 0, 0
	}
	x := torch.Scoped(func() *torch.Tensor {
		x := in.mixed(l.embed(in), func() *torch.Tensor { return l.embed(in.mix.other) })
		return torch.Dropout(x, hidden, pass.mask(placeEmbeddings, in))
	})
	t = x.Size(1)
	pass.probe("embeddings", x)
	pass.States.embedded(x)

	sight := in.sight(l.tuning)
	cos, sin := l.turns(in, t)
	heads, few, size := int64(l.cfg.Heads), int64(l.cfg.KeyHeads), int64(l.cfg.HeadSize)
	turned := func(x *torch.Tensor) *torch.Tensor { // [B, heads, T, size]
		first, second := x.Narrow(3, 0, size/2), x.Narrow(3, size/2, size/2)
		half := torch.Cat([]*torch.Tensor{second.Neg(), first}, 3)
		return x.Mul(cos).Add(half.Mul(sin)).ToDType(x.DType())
	}
	// Each head of keys serves several of queries, which follow one another.
	spread := func(x *torch.Tensor) *torch.Tensor {
		if heads == few {
			return x
		}
		s := x.Size(2)
		return x.Unsqueeze(2).Expand(n, few, heads/few, s, size).Reshape(n, heads, s, size)
	}
	for i := range l.layers {
		at, place := &l.layers[i], uint64(placeLayers+4*i)
		scope := torch.Open()
		y := pass.narrow(at.attentionNorm.apply(x))
		split := func(m linear, count int64) *torch.Tensor {
			return m.on(y, in, pass).View(n, t, count, size).Transpose(1, 2)
		}
		query, key, value := turned(split(at.query, heads)), turned(split(at.key, few)), split(at.value, few)
		key, value = in.cache.extend(scope, i, key, value)
		key, value = spread(key), spread(value)
		pass.States.related(scope, query, key, value)
		a := torch.Attention(query, key, value, sight, 1/math.Sqrt(float64(size)), attention, pass.mask(place, in))
		a = at.output.on(a.Transpose(1, 2).Reshape(n, t, heads*size), in, pass)
		x = x.Add(torch.Dropout(a, hidden, pass.mask(place+1, in)).ToDType(torch.Float32))
		y = pass.narrow(at.norm.apply(x))
		f := at.down.on(l.act(at.gate.on(y, in, pass)).Mul(at.up.on(y, in, pass)), in, pass)
		x = x.Add(torch.Dropout(f, hidden, pass.mask(place+2, in)).ToDType(torch.Float32))
		scope.Keep(x)
		scope.Close()
		pass.probe(fmt.Sprintf("layers.%d", i), x)
		pass.States.layer(x)
	}
	return l.norm.apply(x)
}

// turns gives cosine and sine of the angles of t positions: [1, 1, T, size], or
// [B, 1, 1, size] of a token behind those in the cache.
func (l *Llama) turns(in *Input, t int64) (cos, sin *torch.Tensor) {
	places := in.places
	shape := []int64{int64(len(places)), 1, 1, int64(l.cfg.HeadSize)}
	if places == nil {
		places = make([]int64, t)
		for i := range places {
			places[i] = int64(i)
		}
		shape = []int64{1, 1, t, int64(l.cfg.HeadSize)}
	}
	per := l.cfg.Rope.Frequencies(l.cfg.HeadSize)
	half := len(per)
	c, s := make([]float32, 2*half*len(places)), make([]float32, 2*half*len(places))
	for p, place := range places {
		for i, f := range per {
			angle := float64(float32(place) * f)
			for _, k := range []int{2*half*p + i, 2*half*p + half + i} {
				c[k], s[k] = float32(math.Cos(angle)), float32(math.Sin(angle))
			}
		}
	}
	device := in.IDs.Device()
	return torch.FromFloat32(c, shape...).ToDevice(device), torch.FromFloat32(s, shape...).ToDevice(device)
}
