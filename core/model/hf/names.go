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
	// Axes says what each dimension of Shape counts, a letter each; "" = nothing that
	// a model could have less of.
	Axes string
}

// Letters of Tensor.Axes.
const (
	axisHidden  = 'h' // units of the hidden vector
	axisQueries = 'q' // attention heads, each as wide as a head
	axisKeys    = 'k' // heads of keys, or of values
	axisFused   = 'c' // heads of queries, then of keys, then of values
	axisInner   = 'f' // units of the feed-forward layer
	axisOther   = '-' // labels, pieces, positions
)

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
		return dense(nil, "pooler", "hh", h, h)
	}
	return dense(nil, "pooler.dense", "hh", h, h)
}

// dense and norm add the two weights of a linear map and of a LayerNorm; table adds
// embeddings.
func dense(to []Tensor, name, axes string, out, in int64) []Tensor {
	return append(to, Tensor{Name: name + ".weight", Shape: []int64{out, in}, Axes: axes}, Tensor{Name: name + ".bias", Shape: []int64{out}, Axes: axes[:1]})
}

func norm(to []Tensor, name, axis string, n int64) []Tensor {
	return append(to, Tensor{Name: name + ".weight", Shape: []int64{n}, Axes: axis}, Tensor{Name: name + ".bias", Shape: []int64{n}, Axes: axis})
}

func table(to []Tensor, name, axes string, rows, width int) []Tensor {
	return append(to, Tensor{Name: name + ".weight", Shape: []int64{int64(rows), int64(width)}, Axes: axes})
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
