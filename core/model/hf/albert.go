package hf

import "fmt"

// encoderAlbert: narrow embeddings that a map widens, and layers that share their
// weights (Lan et al. 2020, "ALBERT: A Lite BERT").
func encoderAlbert(c *Config) []Tensor {
	h, inter, e := int64(c.HiddenSize), int64(c.Intermediate), int64(c.EmbeddingSize)
	out := table(nil, "embeddings.word_embeddings", "--", c.VocabSize, c.EmbeddingSize)
	out = table(out, "embeddings.position_embeddings", "--", c.MaxPositions, c.EmbeddingSize)
	out = table(out, "embeddings.token_type_embeddings", "--", c.TypeVocab, c.EmbeddingSize)
	out = norm(out, "embeddings.LayerNorm", "-", e)
	out = dense(out, "encoder.embedding_hidden_mapping_in", "h-", h, e)
	for g := range c.Groups {
		layer := fmt.Sprintf("encoder.albert_layer_groups.%d.albert_layers.0.", g)
		out = norm(out, layer+"full_layer_layer_norm", "h", h)
		out = dense(out, layer+"attention.query", "qh", h, h)
		out = dense(out, layer+"attention.key", "kh", h, h)
		out = dense(out, layer+"attention.value", "kh", h, h)
		out = dense(out, layer+"attention.dense", "hq", h, h)
		out = norm(out, layer+"attention.LayerNorm", "h", h)
		out = dense(out, layer+"ffn", "fh", inter, h)
		out = dense(out, layer+"ffn_output", "hf", h, inter)
	}
	return out
}

func lmAlbert(c *Config) []Tensor {
	e, v := int64(c.EmbeddingSize), int64(c.VocabSize)
	out := []Tensor{{Name: albertLM + "bias", Shape: []int64{v}}}
	out = norm(out, albertLM+"LayerNorm", "-", e)
	out = dense(out, albertLM+"dense", "-h", e, int64(c.HiddenSize))
	if !c.TieWords {
		out = table(out, albertLM+"decoder", "--", c.VocabSize, c.EmbeddingSize)
	}
	return out
}

func readAlbert(p *parser, c *Config) {
	p.size("embedding_size", &c.EmbeddingSize, 128)
	p.size("num_hidden_groups", &c.Groups, 1)
	inner := 1
	p.size("inner_group_num", &inner, 1)
	if inner != 1 {
		p.fail("model.config", "inner_group_num", fmt.Sprintf("groups of %d inner layers are not supported", inner), "")
	}
	readBert(p, c)
	if !p.has("hidden_act") {
		c.Act = "gelu_new"
	}
	// transformers' defaults for ALBERT
	if !p.has("hidden_dropout_prob") {
		c.HiddenDropout, c.EmbeddingDropout = 0, 0
	}
	if !p.has("attention_probs_dropout_prob") {
		c.AttentionDropout = 0
	}
	head := 0.1
	p.share("classifier_dropout_prob", &head)
	c.ClassifierDropout = &head
	if c.Groups > c.Layers {
		p.fail("model.config", "num_hidden_groups", fmt.Sprintf("%d groups for %d layers", c.Groups, c.Layers), "")
	}
}

func writeAlbert(c *Config, out map[string]any) {
	writeBert(c, out)
	delete(out, "classifier_dropout")
	out["classifier_dropout_prob"] = c.HeadDropout()
	out["embedding_size"] = c.EmbeddingSize
	out["num_hidden_groups"] = c.Groups
	out["inner_group_num"] = 1
}

// Group is the number of the group whose weights a layer of ALBERT has.
func (c *Config) Group(layer int) int {
	return min(layer*c.Groups/c.Layers, c.Groups-1)
}
