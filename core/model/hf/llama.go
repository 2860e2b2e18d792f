package hf

import (
	"fmt"
	"math"
)

// Rope says how positions turn queries and keys (Su et al. 2021, "RoFormer").
type Rope struct {
	Theta float64
	// Scaling is "", linear (positions divided by Factor) or llama3 (frequencies
	// divided by Factor where their wave is longer than Original/Low positions,
	// as they are where it is shorter than Original/High, between the two between).
	Scaling   string
	Factor    float64
	Low, High float64
	Original  float64
}

// Frequencies are the angles per position of a head of the given size, half as
// many.
func (r Rope) Frequencies(size int) []float32 {
	out := make([]float32, size/2)
	for i := range out {
		f := float32(1 / math.Pow(r.Theta, float64(float32(2*i)/float32(size))))
		switch r.Scaling {
		case "linear":
			f /= float32(r.Factor)
		case "llama3":
			wave := 2 * math.Pi / float64(f)
			switch {
			case wave > r.Original/r.Low:
				f /= float32(r.Factor)
			case wave >= r.Original/r.High:
				smooth := (r.Original/wave - r.Low) / (r.High - r.Low)
				f = float32((1-smooth)*float64(f)/r.Factor + smooth*float64(f))
			}
		}
		out[i] = f
	}
	return out
}

// encoderLlama: RMSNorm before each part, rotary positions, a gated feed-forward
// part, keys and values of fewer heads than queries (Touvron et al. 2023, "LLaMA").
func encoderLlama(c *Config) []Tensor {
	h, inter := int64(c.HiddenSize), int64(c.Intermediate)
	all, few := int64(c.Heads*c.HeadSize), int64(c.KeyHeads*c.HeadSize)
	out := table(nil, "embed_tokens", "-h", c.VocabSize, c.HiddenSize)
	add := func(name, axes string, bias bool, to, from int64) {
		out = dense(out, name, axes, to, from)
		if !bias {
			out = out[:len(out)-1]
		}
	}
	scale := func(name string) {
		out = append(out, Tensor{Name: name + ".weight", Shape: []int64{h}, Axes: "h"})
	}
	for i := range c.Layers {
		layer := fmt.Sprintf("layers.%d.", i)
		add(layer+"self_attn.q_proj", "qh", c.AttentionBias, all, h)
		add(layer+"self_attn.k_proj", "kh", c.AttentionBias, few, h)
		add(layer+"self_attn.v_proj", "kh", c.AttentionBias, few, h)
		add(layer+"self_attn.o_proj", "hq", c.AttentionBias, h, all)
		add(layer+"mlp.gate_proj", "fh", c.FeedBias, inter, h)
		add(layer+"mlp.up_proj", "fh", c.FeedBias, inter, h)
		add(layer+"mlp.down_proj", "hf", c.FeedBias, h, inter)
		scale(layer + "input_layernorm")
		scale(layer + "post_attention_layernorm")
	}
	scale("norm")
	return out
}

func readLlama(p *parser, c *Config) {
	p.size("vocab_size", &c.VocabSize, 32000)
	p.size("hidden_size", &c.HiddenSize, 4096)
	p.size("num_hidden_layers", &c.Layers, 32)
	p.size("num_attention_heads", &c.Heads, 32)
	p.size("num_key_value_heads", &c.KeyHeads, max(1, c.Heads))
	p.size("intermediate_size", &c.Intermediate, 11008)
	p.size("max_position_embeddings", &c.MaxPositions, 2048)
	p.size("head_dim", &c.HeadSize, max(1, c.HiddenSize/max(1, c.Heads)))
	c.TypeVocab = 1
	c.Act = "silu"
	p.get("hidden_act", &c.Act)
	c.LayerNormEps = 1e-6
	p.positive("rms_norm_eps", &c.LayerNormEps)
	c.EmbeddingDropout, c.HiddenDropout, c.AttentionDropout = 0, 0, 0
	p.share("attention_dropout", &c.AttentionDropout)
	p.dropout("classifier_dropout", &c.ClassifierDropout)
	p.get("attention_bias", &c.AttentionBias)
	p.get("mlp_bias", &c.FeedBias)
	if c.Heads%c.KeyHeads != 0 {
		p.fail("model.config", "num_key_value_heads", fmt.Sprintf("num_attention_heads %d is not a multiple of num_key_value_heads %d", c.Heads, c.KeyHeads), "")
	}
	if c.HeadSize%2 != 0 {
		p.fail("model.config", "head_dim", fmt.Sprintf("heads of the odd size %d cannot be turned", c.HeadSize), "")
	}
	readRope(p, c)
}

// readRope reads rope_parameters, or the older rope_theta and rope_scaling.
func readRope(p *parser, c *Config) {
	c.Rope = Rope{Theta: 10000}
	p.get("rope_theta", &c.Rope.Theta)
	key := "rope_scaling"
	if p.has("rope_parameters") {
		key = "rope_parameters"
	}
	var said struct {
		Theta    *float64 `json:"rope_theta"`
		Type     string   `json:"rope_type"`
		Old      string   `json:"type"`
		Factor   float64  `json:"factor"`
		Low      float64  `json:"low_freq_factor"`
		High     float64  `json:"high_freq_factor"`
		Original float64  `json:"original_max_position_embeddings"`
		Partial  *float64 `json:"partial_rotary_factor"`
	}
	p.get(key, &said)
	if said.Theta != nil {
		c.Rope.Theta = *said.Theta
	}
	kind := said.Type
	if kind == "" {
		kind = said.Old
	}
	switch kind {
	case "", "default":
	case "linear", "llama3":
		c.Rope.Scaling, c.Rope.Factor, c.Rope.Low, c.Rope.High, c.Rope.Original = kind, said.Factor, said.Low, said.High, said.Original
		if said.Factor < 1 || kind == "llama3" && !(said.Low > 0 && said.High > said.Low && said.Original > 0) {
			p.fail("model.config", key, fmt.Sprintf("%s of type %s lacks a number, or has one out of range", key, kind), "")
		}
	default:
		p.fail("model.config", key, fmt.Sprintf("rotary positions of type %q are not supported", kind), "supported: default, linear, llama3")
	}
	if said.Partial != nil && *said.Partial != 1 {
		p.fail("model.config", key, "rotary positions of a part of each head are not supported", "")
	}
	if !(c.Rope.Theta > 1) {
		p.fail("model.config", "rope_theta", fmt.Sprintf("rope_theta is %g, not a number above 1", c.Rope.Theta), "")
	}
}

func writeLlama(c *Config, out map[string]any) {
	out["hidden_size"] = c.HiddenSize
	out["num_hidden_layers"] = c.Layers
	out["num_attention_heads"] = c.Heads
	out["num_key_value_heads"] = c.KeyHeads
	out["head_dim"] = c.HeadSize
	out["intermediate_size"] = c.Intermediate
	out["max_position_embeddings"] = c.MaxPositions
	out["hidden_act"] = c.Act
	out["attention_dropout"] = c.AttentionDropout
	if c.ClassifierDropout != nil {
		out["classifier_dropout"] = *c.ClassifierDropout
	}
}
