package hf

import (
	"fmt"
	"strings"
)

// Tensor is a weight that an architecture has: canonical name and shape.
type Tensor struct {
	Name  string
	Shape []int64
}

// Elements is the number of values.
func (t Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Encoder lists the weights of the bare encoder in the order in which
// transformers registers them, the pooler not among them.
func (c *Config) Encoder() []Tensor {
	h, inter := int64(c.HiddenSize), int64(c.Intermediate)
	out := []Tensor{
		{"embeddings.word_embeddings.weight", []int64{int64(c.VocabSize), h}},
		{"embeddings.position_embeddings.weight", []int64{int64(c.MaxPositions), h}},
		{"embeddings.token_type_embeddings.weight", []int64{int64(c.TypeVocab), h}},
		{"embeddings.LayerNorm.weight", []int64{h}},
		{"embeddings.LayerNorm.bias", []int64{h}},
	}
	for i := range c.Layers {
		layer := fmt.Sprintf("encoder.layer.%d.", i)
		for _, part := range []struct {
			name    string
			out, in int64
		}{
			{"attention.self.query", h, h}, {"attention.self.key", h, h}, {"attention.self.value", h, h},
			{"attention.output.dense", h, h}, {"attention.output.LayerNorm", h, 0},
			{"intermediate.dense", inter, h}, {"output.dense", h, inter}, {"output.LayerNorm", h, 0},
		} {
			shape := []int64{part.out, part.in}
			if part.in == 0 {
				shape = shape[:1]
			}
			out = append(out, Tensor{layer + part.name + ".weight", shape}, Tensor{layer + part.name + ".bias", []int64{part.out}})
		}
	}
	return out
}

// Pooler lists the pooler's two weights.
func (c *Config) Pooler() []Tensor {
	h := int64(c.HiddenSize)
	return []Tensor{{"pooler.dense.weight", []int64{h, h}}, {"pooler.dense.bias", []int64{h}}}
}

// BertLM begins the names of BERT's masked-language-model head.
const BertLM = "cls.predictions."

// LMHead lists the weights of the architecture's language-model head as
// transformers names them. A decoder that is tied to the word embeddings is not
// among them.
func (c *Config) LMHead() []Tensor {
	h, v := int64(c.HiddenSize), int64(c.VocabSize)
	out := []Tensor{
		{BertLM + "transform.dense.weight", []int64{h, h}},
		{BertLM + "transform.dense.bias", []int64{h}},
		{BertLM + "transform.LayerNorm.weight", []int64{h}},
		{BertLM + "transform.LayerNorm.bias", []int64{h}},
		{BertLM + "bias", []int64{v}},
	}
	if !c.TieWords {
		out = append(out, Tensor{BertLM + "decoder.weight", []int64{v, h}})
	}
	return out
}

// Canonical turns the name of a tensor in a file into islm's name: without the
// model type as prefix, LayerNorm's gamma and beta as weight and bias.
func Canonical(modelType, name string) string {
	name = strings.TrimPrefix(name, modelType+".")
	if s, ok := strings.CutSuffix(name, ".gamma"); ok {
		return s + ".weight"
	}
	if s, ok := strings.CutSuffix(name, ".beta"); ok {
		return s + ".bias"
	}
	return name
}

// Prefixed is the name under which a model with a task head stores an
// encoder's weight ("bert.pooler.dense.weight"); head weights stay as they are.
func Prefixed(modelType, name string) string {
	if strings.HasPrefix(name, "embeddings.") || strings.HasPrefix(name, "encoder.") || strings.HasPrefix(name, "pooler.") {
		return modelType + "." + name
	}
	return name
}

// buffer reports names that are no weights: old files store position numbers.
func buffer(name string) bool {
	return strings.HasSuffix(name, "embeddings.position_ids") || strings.HasSuffix(name, "embeddings.token_type_ids")
}

// otherHead reports weights of task heads that islm does not read from a base:
// the masked-LM head, next-sentence head, question answering.
func otherHead(name string) bool {
	for _, p := range []string{"cls.", "classifier.", "qa_outputs.", "lm_head.", "predictions."} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
