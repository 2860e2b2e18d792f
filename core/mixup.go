package core

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/augment/kind"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// mixupKind is the kind of the rules that the trainer carries out.
const mixupKind = "mixup.v0"

// mixer is one of them.
type mixer struct {
	name string // PACK/RULE
	rule *augment.CompiledRule
	as   recipe.Mixup
}

// takeMixup makes the engine that says which rows the trainer mixes.
func (r *rules) takeMixup(chosen []*augment.Pack, skip []string) error {
	for _, p := range chosen {
		for _, rule := range p.Rules {
			name := p.Manifest.Name + "/" + rule.ID
			action, ok := rule.Action.(edit.Trained)
			if !ok || slices.Contains(skip, name) || slices.Contains(skip, rule.ID) {
				continue
			}
			params := action.Params()
			alpha, err := strconv.ParseFloat(params[kind.MixupAlpha], 64)
			if err != nil {
				return fmt.Errorf("rule %s: alpha: %w", name, err)
			}
			r.mixers = append(r.mixers, mixer{name, rule, recipe.Mixup{Alpha: alpha, SameLabel: params[kind.MixupSameLabel] == "true"}})
		}
	}
	if len(r.mixers) == 0 {
		return nil
	}
	opt := r.shared
	opt.Take = func(_ string, rule *augment.CompiledRule) bool { return rule.Kind == mixupKind }
	r.mixup, _ = augment.NewEngine(chosen, opt) // its warnings are those of the run's engine
	return nil
}

// mixing says how the trainer is to mix the row of an example, if at all. Of
// several rules the first in the order of packs counts.
func (r *rules) mixing() func(ex *sdk.Example, draw augment.Draw) *recipe.Mixup {
	if r.mixup == nil {
		return nil
	}
	return func(ex *sdk.Example, draw augment.Draw) *recipe.Mixup {
		for _, rule := range r.mixup.Trained(ex, draw) {
			if i := slices.IndexFunc(r.mixers, func(m mixer) bool { return m.rule == rule }); i >= 0 {
				return &r.mixers[i].as
			}
		}
		return nil
	}
}

// checkMixup refuses rules of kind mixup.v0 in runs that cannot mix, with every
// reason. A run that left them out without a word would be another one than was
// asked for.
func (r *rules) checkMixup(plan *recipe.Plan, heads []sdk.HeadSpec) (ds sdk.Diagnostics) {
	if r == nil || len(r.mixers) == 0 {
		return nil
	}
	var names []string
	for _, m := range r.mixers {
		names = append(names, m.name)
	}
	refuse := func(path, format string, args ...any) {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "augment.mixup", Path: path,
			Summary: fmt.Sprintf("rule %s cannot mix examples in this run: ", strings.Join(names, ", ")) + fmt.Sprintf(format, args...),
			Remedy:  fmt.Sprintf("leave it out: --set \"augment.without=[%s]\"", strings.Join(names, ", "))})
	}
	for _, h := range heads {
		switch h.Kind {
		case sdk.KindClassify, sdk.KindMultilabel, sdk.KindPair:
		case sdk.KindTag:
			refuse("heads."+h.Name, "head %q labels words, and the words of two mixed texts are not the same", h.Name)
		case sdk.KindEmbed, sdk.KindRank:
			refuse("heads."+h.Name, "head %q compares texts with each other, and half of two texts is no text to compare", h.Name)
		case sdk.KindRegress:
			refuse("heads."+h.Name, "head %q gives numbers; only losses of classes are mixed", h.Name)
		default:
			refuse("heads."+h.Name, "head %q is of kind %s; only losses of classes are mixed", h.Name, h.Kind)
		}
	}
	for _, way := range []string{recipe.InjectEntity, recipe.InjectText} {
		if plan.Knowledge.Has(way) {
			refuse("knowledge.inject", "knowledge injected as %s belongs to mentions of one text, within the encoder", way)
		}
	}
	if o := plan.Objective; o != "" && o != "finetune" {
		refuse("objective", "objective %s learns from more than the labels, which is not mixed", o)
	}
	return ds
}
