//go:build torch

package model

import (
	"fmt"
	"math"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/torch"
)

// Bert is the encoder of Devlin et al. 2019, "BERT: Pre-training of Deep
// Bidirectional Transformers for Language Understanding": learned absolute
// positions, post-norm layers, bidirectional attention. RoBERTa, DistilBERT (no
// token types) and ALBERT (narrow embeddings, layers that share their weights) are
// the same under other names.
type Bert struct {
	cfg                   *hf.Config
	word, position, types *Param // types nil = none
	norm                  layerNorm
	widen                 *linear // from the embeddings' width to the layers'; nil = they are equal
	layers                []bertLayer
	params                []*Param
	act                   func(*torch.Tensor) *torch.Tensor
	knowledge             *knowledge // nil when none is injected
	tuning                *tuning    // nil without an adapter
	tied                  bool       // a language-model head decodes with word
}

type bertLayer struct {
	query, key, value, attention linear
	attentionNorm                layerNorm
	up, down                     linear
	norm                         layerNorm
}

// bertNames are what a layer's parts are called.
type bertNames struct{ query, key, value, attention, attentionNorm, up, down, norm string }

// newBert wires the weights, which get returns by canonical name.
func newBert(cfg *hf.Config, get func(hf.Tensor) *Param) (*Bert, error) {
	b := &Bert{cfg: cfg}
	byName := map[string]*Param{}
	for _, t := range cfg.Encoder() {
		p := get(t)
		byName[t.Name] = p
		b.params = append(b.params, p)
	}
	lin := func(name string) linear { return linear{byName[name+".weight"], byName[name+".bias"]} }
	norm := func(name string) layerNorm {
		return layerNorm{byName[name+".weight"], byName[name+".bias"], cfg.LayerNormEps}
	}
	b.word = byName["embeddings.word_embeddings.weight"]
	b.position = byName["embeddings.position_embeddings.weight"]
	b.types = byName["embeddings.token_type_embeddings.weight"]
	b.norm = norm("embeddings.LayerNorm")
	names, at := bertNames{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"}, "encoder.layer.%d."
	switch cfg.ModelType {
	case "distilbert":
		names, at = bertNames{"attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"}, "transformer.layer.%d."
	case "albert":
		names, at = bertNames{"attention.query", "attention.key", "attention.value", "attention.dense", "attention.LayerNorm", "ffn", "ffn_output", "full_layer_layer_norm"}, "encoder.albert_layer_groups.%d.albert_layers.0."
		widen := lin("encoder.embedding_hidden_mapping_in")
		b.widen = &widen
	}
	for i := range cfg.Layers {
		if cfg.Groups > 0 {
			i = cfg.Group(i)
		}
		at := fmt.Sprintf(at, i)
		b.layers = append(b.layers, bertLayer{
			query: lin(at + names.query), key: lin(at + names.key), value: lin(at + names.value),
			attention: lin(at + names.attention), attentionNorm: norm(at + names.attentionNorm),
			up: lin(at + names.up), down: lin(at + names.down), norm: norm(at + names.norm),
		})
	}
	var err error
	b.act, err = activation(cfg.Act)
	return b, err
}

func activation(name string) (func(*torch.Tensor) *torch.Tensor, error) {
	switch name {
	case "gelu":
		return (*torch.Tensor).Gelu, nil
	case "gelu_new", "gelu_pytorch_tanh":
		return (*torch.Tensor).GeluTanh, nil
	case "relu":
		return (*torch.Tensor).Relu, nil
	case "tanh":
		return (*torch.Tensor).Tanh, nil
	case "silu", "swish":
		return (*torch.Tensor).Silu, nil
	}
	return nil, fmt.Errorf("build the encoder: unknown activation %q", name)
}

// Params lists the weights in transformers' order.
func (b *Bert) Params() []*Param { return b.params }

func (b *Bert) tune(t *tuning) { b.tuning = t }

func (b *Bert) words() *Param { return b.word }

// Hidden is the size of a vector.
func (b *Bert) Hidden() int { return b.cfg.HiddenSize }

// Tie gives the word embeddings to a head that decodes with them.
func (b *Bert) Tie() *Param {
	b.tied = true
	return b.word
}

// lookup takes word embeddings [B, T, width].
func (b *Bert) lookup(ids *torch.Tensor) *torch.Tensor {
	return b.tuning.words(b.word, b.tied, ids)
}

// embed gives the output of the embedding layer, before dropout: [B, T, Hidden],
// the vectors of a prompt first.
func (b *Bert) embed(in *Input) *torch.Tensor {
	x := in.words
	if x == nil {
		x = b.knowledge.embedded(b.lookup(in.IDs), in)
	}
	x = b.tuning.prompted(x)
	n, t := in.IDs.Size(0), x.Size(1)
	// A prefix takes the first positions, as transformers counts them.
	shift := int64(b.tuning.shift() + b.cfg.FirstPosition)
	place := b.position.Value.Narrow(0, shift, t)
	if in.positions != nil {
		place = torch.Embedding(b.position.Value.Narrow(0, shift, b.position.Value.Size(0)-shift), in.positions)
	}
	switch {
	case b.types == nil:
	case in.Types == nil:
		place = place.Add(b.types.Value.Narrow(0, 0, 1))
	default:
		types := in.Types
		if k := t - int64(in.Width); k > 0 {
			types = torch.Cat([]*torch.Tensor{torch.Zeros(torch.Int64, types.Device(), n, k), types}, 1)
		}
		x = x.Add(torch.Embedding(b.types.Value, types))
	}
	return b.norm.apply(x.Add(place))
}

// Encode gives the last hidden states [B, T, Hidden], of the first position
// alone [B, 1, Hidden] if that is all that the pass reads.
func (b *Bert) Encode(in *Input, pass *Pass) *torch.Tensor {
	n, t := int64(len(in.Rows)), int64(in.Width)
	hidden, attention := b.cfg.HiddenDropout, b.cfg.AttentionDropout
	if !pass.Train {
		hidden, attention = 0, 0
	}
	x := torch.Scoped(func() *torch.Tensor {
		x := in.mixed(b.embed(in), func() *torch.Tensor { return b.embed(in.mix.other) })
		t = x.Size(1)
		x = torch.Dropout(x, hidden, pass.mask(placeEmbeddings, in))
		if b.widen != nil {
			x = b.widen.on(pass.narrow(x), in, pass).ToDType(torch.Float32)
		}
		return x
	})
	pass.probe("embeddings", x)
	pass.States.embedded(x)

	heads := int64(b.cfg.Heads)
	size := int64(b.cfg.HiddenSize) / heads
	split := func(l linear, x *torch.Tensor) *torch.Tensor {
		return l.on(x, in, pass).View(n, t, heads, size).Transpose(1, 2) // [B, heads, T, size]
	}
	narrow := pass.narrow(x)
	feed := hidden
	if b.widen != nil {
		feed = 0 // ALBERT has no dropout there
	}
	seen, prefixes := b.tuning.bias(in.Bias), b.tuning.prefixes()
	for i := range b.layers {
		l, place := &b.layers[i], uint64(placeLayers+4*i)
		scope := torch.Open()
		key, value := attend(prefixes, i, split(l.key, narrow), split(l.value, narrow))
		bias := seen
		if pass.First && i == len(b.layers)-1 {
			// Of the last layer only the first position is read: keys and values
			// come from all, the rest is computed for it alone. Masks number
			// elements from token 0, so dropout is the same.
			x, narrow, t = x.Narrow(1, 0, 1), narrow.Narrow(1, 0, 1), 1
			if bias != nil && bias.Size(2) > 1 {
				bias = bias.Narrow(2, 0, 1)
			}
		}
		query := split(l.query, narrow)
		pass.States.related(scope, query, key, value)
		a := torch.Attention(query, key, value, bias, 1/math.Sqrt(float64(size)), attention, pass.mask(place, in))
		a = l.attention.on(a.Transpose(1, 2).Reshape(n, t, heads*size), in, pass)
		r, a := l.attentionNorm.addNorm(a, x, hidden, pass.mask(place+1, in))
		f := l.down.on(b.act(l.up.on(a, in, pass)), in, pass)
		x, narrow = l.norm.addNorm(f, r, feed, pass.mask(place+2, in))
		// No mention holds the first position.
		if fusion := b.knowledge.fusion(i); fusion != nil && in.linked != nil && t == int64(in.Width) {
			x = fusion.apply(x, in)
			narrow = pass.narrow(x)
		}
		scope.Keep(x)
		if narrow != x {
			scope.Keep(narrow)
		}
		scope.Close()
		pass.probe(fmt.Sprintf("encoder.layer.%d", i), x)
		pass.States.layer(x)
	}
	return x
}
