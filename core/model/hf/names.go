package hf

import (
	"slices"
	"strings"
)

// Tensor is a weight that an architecture has: canonical name and shape.
type Tensor struct {
	Name       string
	Shape      []int64
	Transposed bool // the file holds it with the two dimensions exchanged
}

// FileShape is the shape that the file holds.
func (t Tensor) FileShape() []int64 {
	if t.Transposed {
		return []int64{t.Shape[1], t.Shape[0]}
	}
	return t.Shape
}

// Elements is the number of values.
func (t Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Pooler lists the pooler's two weights.
func (c *Config) Pooler() []Tensor {
	h := int64(c.HiddenSize)
	if c.ModelType == "albert" {
		return []Tensor{{Name: "pooler.weight", Shape: []int64{h, h}}, {Name: "pooler.bias", Shape: []int64{h}}}
	}
	return []Tensor{{Name: "pooler.dense.weight", Shape: []int64{h, h}}, {Name: "pooler.dense.bias", Shape: []int64{h}}}
}

// Canonical turns the name of a tensor in a file into islm's name: without the
// model type as prefix, LayerNorm's gamma and beta as weight and bias.
func Canonical(modelType, name string) string {
	if a, ok := ArchitectureOf(modelType); ok {
		name = strings.TrimPrefix(name, a.Prefix)
	}
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
	a, _ := ArchitectureOf(modelType)
	first, _, _ := strings.Cut(name, ".")
	if slices.Contains(a.parts, first) {
		return a.Prefix + name
	}
	return name
}

// buffer reports names that are no weights: old files store position numbers,
// causal masks and frequencies.
func buffer(name string) bool {
	return strings.HasSuffix(name, "embeddings.position_ids") || strings.HasSuffix(name, "embeddings.token_type_ids") ||
		strings.HasSuffix(name, ".attn.bias") || strings.HasSuffix(name, ".attn.masked_bias") || strings.HasSuffix(name, ".rotary_emb.inv_freq")
}

// otherHead reports weights of task heads that islm does not read from a base:
// the masked-LM head, next-sentence head, question answering.
func otherHead(name string) bool {
	for _, p := range []string{"cls.", "classifier.", "qa_outputs.", "lm_head.", "predictions.", "score.", "pre_classifier.", "vocab_", "sop_classifier."} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
