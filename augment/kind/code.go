package kind

import (
	"context"
	"fmt"
	"maps"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// codeParams are the keys of code.v0.
type codeParams struct {
	Function string            `yaml:"func" required:"true" doc:"name of the plugin's augmenter"`
	Params   map[string]string `yaml:"params" doc:"what the function is told, as texts"`
}

// code hands the example to a Go function of a plugin, over its Augment stream.
// What comes back is checked by the engine like every other output.
type code struct {
	function string
	params   map[string]string
}

func newCode(b *edit.Build) edit.Action {
	var p codeParams
	if !b.Decode(&p) {
		return nil
	}
	return &code{function: p.Function, params: p.Params}
}

// Needs says which resources the rule asks.
func (k *code) Needs() edit.Needs { return edit.Needs{Coder: true} }

// Edit does nothing: the function makes whole examples.
func (k *code) Edit(*edit.Context) {}

// Rewrite runs the function.
func (k *code) Rewrite(c *edit.Context) ([]sdk.Example, error) {
	seed := c.Rand.Uint64()
	out, err := c.Coder.Run(context.Background(), k.function, maps.Clone(k.params), *c.Example, seed)
	if err != nil {
		return nil, fmt.Errorf("run function %s: %w", k.function, err)
	}
	return out, nil
}
