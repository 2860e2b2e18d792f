package hf

import "fmt"

// encoderDistilBert: BERT without token types and pooler (Sanh et al. 2019,
// "DistilBERT, a distilled version of BERT").
func encoderDistilBert(c *Config) []Tensor {
	h, inter := int64(c.HiddenSize), int64(c.Intermediate)
	out := table(nil, "embeddings.word_embeddings", "-h", c.VocabSize, c.HiddenSize)
	out = table(out, "embeddings.position_embeddings", "-h", c.MaxPositions, c.HiddenSize)
	out = norm(out, "embeddings.LayerNorm", "h", h)
	for i := range c.Layers {
		layer := fmt.Sprintf("transformer.layer.%d.", i)
		out = dense(out, layer+"attention.q_lin", "qh", h, h)
		out = dense(out, layer+"attention.k_lin", "kh", h, h)
		out = dense(out, layer+"attention.v_lin", "kh", h, h)
		out = dense(out, layer+"attention.out_lin", "hq", h, h)
		out = norm(out, layer+"sa_layer_norm", "h", h)
		out = dense(out, layer+"ffn.lin1", "fh", inter, h)
		out = dense(out, layer+"ffn.lin2", "hf", h, inter)
		out = norm(out, layer+"output_layer_norm", "h", h)
	}
	return out
}

func lmDistilBert(c *Config) []Tensor {
	h, v := int64(c.HiddenSize), int64(c.VocabSize)
	out := norm(dense(nil, distilLM+"transform", "hh", h, h), distilLM+"layer_norm", "h", h)
	out = append(out, Tensor{Name: distilLM + "projector.bias", Shape: []int64{v}})
	if !c.TieWords {
		out = table(out, distilLM+"projector", "-h", c.VocabSize, c.HiddenSize)
	}
	return out
}

func readDistilBert(p *parser, c *Config) {
	p.size("vocab_size", &c.VocabSize, 30522)
	p.size("dim", &c.HiddenSize, 768)
	p.size("n_layers", &c.Layers, 6)
	p.size("n_heads", &c.Heads, 12)
	p.size("hidden_dim", &c.Intermediate, 3072)
	p.size("max_position_embeddings", &c.MaxPositions, 512)
	c.Act = "gelu"
	p.get("activation", &c.Act)
	c.LayerNormEps = 1e-12
	p.share("dropout", &c.HiddenDropout)
	p.share("attention_dropout", &c.AttentionDropout)
	c.EmbeddingDropout = c.HiddenDropout
	head := 0.2
	p.share("seq_classif_dropout", &head)
	c.ClassifierDropout = &head
}

func writeDistilBert(c *Config, out map[string]any) {
	out["dim"] = c.HiddenSize
	out["n_layers"] = c.Layers
	out["n_heads"] = c.Heads
	out["hidden_dim"] = c.Intermediate
	out["max_position_embeddings"] = c.MaxPositions
	out["activation"] = c.Act
	out["dropout"] = c.HiddenDropout
	out["attention_dropout"] = c.AttentionDropout
	out["seq_classif_dropout"] = c.HeadDropout()
	out["pad_token_id"] = c.PadTokenID
}
