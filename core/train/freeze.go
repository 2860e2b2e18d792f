//go:build torch

package train

import (
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
)

// freeze takes the weights that train.freeze names out of the computation of
// gradients. A pooler that the base did not have is new and always trained.
func freeze(m *model.Model, f recipe.Frozen) {
	for _, p := range m.Params() {
		p.Value.RequiresGrad(!holds(f, p, m.NewPooler))
	}
}

// holds reports whether a parameter keeps its value.
func holds(f recipe.Frozen, p *model.Param, newPooler bool) bool {
	if p.Head != "" {
		return false
	}
	switch {
	case strings.HasPrefix(p.Name, "embeddings."):
		return f.Embeddings
	case strings.HasPrefix(p.Name, "pooler."):
		return f.Encoder && !newPooler
	}
	rest, ok := strings.CutPrefix(p.Name, "encoder.layer.")
	if !ok {
		return false
	}
	number, _, _ := strings.Cut(rest, ".")
	i, err := strconv.Atoi(number)
	return err == nil && i < len(f.Layers) && f.Layers[i]
}
