//go:build torch

package train

import (
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
)

// freeze takes the weights that train.freeze names out of the computation of
// gradients. A pooler that the base did not have is new and always trained; one
// that no head reads has no gradient.
func freeze(m *model.Model, f recipe.Frozen) {
	for _, p := range m.Params() {
		idle := p.Head == "" && strings.HasPrefix(p.Name, "pooler.") && !m.ReadsPooler()
		p.Value.RequiresGrad(!idle && !holds(m.Config, f, p, m.NewPooler))
	}
}

// adapt leaves gradients to what train.peft trains: the adapter, or the biases,
// besides heads, injected knowledge and a pooler that the base did not have.
func adapt(m *model.Model, method string) {
	for _, p := range m.Params() {
		free := p.Adapter() || p.Head != "" && !p.Based() || p.Knowledge() || m.NewPooler && strings.HasPrefix(p.Name, "pooler.") ||
			method == recipe.PeftBitFit && strings.HasSuffix(p.Name, ".bias")
		p.Value.RequiresGrad(free)
	}
}

// thawed is f after gradual unfreezing has gone k steps: the highest frozen layers
// are trained first, one by one, the embeddings last (Howard and Ruder 2018,
// "Universal Language Model Fine-tuning for Text Classification").
func thawed(f recipe.Frozen, k int) recipe.Frozen {
	out := recipe.Frozen{Embeddings: f.Embeddings, Encoder: f.Encoder && k == 0, Layers: slices.Clone(f.Layers)}
	for i := len(out.Layers) - 1; i >= 0 && k > 0; i-- {
		if out.Layers[i] {
			out.Layers[i] = false
			k--
		}
	}
	if k > 0 {
		out.Embeddings = false
	}
	return out
}

// thaw unfreezes what is due before an optimizer step. It follows from step and
// epoch alone, so that a resumed run has the same weights in training.
func (t *trainer) thaw() {
	k := 0
	switch every := t.plan.UnfreezeEvery; {
	case every > 0:
		k = t.state.Step / every
	case every < 0:
		k = t.state.Epoch
	default:
		return
	}
	if k == t.thaws {
		return
	}
	t.thaws = k
	freeze(t.model, thawed(t.frozen, k))
}

// holds reports whether a parameter keeps its value.
func holds(cfg *hf.Config, f recipe.Frozen, p *model.Param, newPooler bool) bool {
	if p.Head != "" {
		return false
	}
	if strings.HasPrefix(p.Name, "pooler.") {
		return f.Encoder && !newPooler
	}
	layer, end := cfg.Layer(p.Name)
	switch {
	case end:
		return f.Encoder
	case layer < 0:
		return f.Embeddings && !p.Knowledge()
	}
	return layer < len(f.Layers) && f.Layers[layer]
}
