package core

import (
	"fmt"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// fitParts reports parts that a plan names and the model has not: layers of
// train.freeze, linear maps of peft.targets.
func fitParts(plan *recipe.Plan, cfg *hf.Config) (ds sdk.Diagnostics) {
	if _, err := plan.Train.Frozen(cfg.Layers); err != nil {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "train.freeze", Path: "train.freeze", Summary: strings.TrimPrefix(err.Error(), "train.freeze: "),
			Remedy: fmt.Sprintf("the model has %d layers; name embeddings, layer N, layers A-B, all but top N, or encoder", cfg.Layers)})
	}
	c := &peft.Config{Method: plan.Train.Peft}
	if !c.LowRank() && c.Method != recipe.PeftIA3 {
		return ds // they have places of their own
	}
	maps := cfg.Maps()
	var unknown []string
	for _, target := range plan.Peft.Targets {
		c.Targets = []string{target}
		if target != recipe.AllLinear && !slices.ContainsFunc(maps, func(name string) bool { return c.Adapts(name) || c.Adapts(hf.Prefixed(cfg.ModelType, name)) }) {
			unknown = append(unknown, target)
		}
	}
	if len(unknown) == 0 {
		return ds
	}
	var names []string // the last part of each, which peft.targets needs
	for _, name := range maps {
		if layer, _ := cfg.Layer(name + "."); layer >= 0 {
			names = append(names, name[strings.LastIndexByte(name, '.')+1:])
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "peft.targets", Path: "peft.targets",
		Summary: fmt.Sprintf("no linear map of the model (%s) is called %s", cfg.ModelType, strings.Join(unknown, ", ")), Remedy: "one of: " + strings.Join(names, ", ") + ", or " + recipe.AllLinear}
	if len(unknown) < len(plan.Peft.Targets) {
		d.Severity = sdk.Warning // a recipe may name the maps of several architectures
	}
	if near := sdk.Nearest(unknown[0], names); near != "" {
		d.Remedy = fmt.Sprintf("did you mean %q? (%s)", near, d.Remedy)
	}
	ds.Add(d)
	return ds
}
