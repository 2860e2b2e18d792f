package core

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Patterns without words of any language: the first of Schick and Schütze 2021 for
// topics, and one that ends in the gap for models that read from left to right.
const (
	defaultPattern       = "{mask}: {text}"
	defaultCausalPattern = "{text}: {mask}"
)

// patternRows are the rows of method pattern.
type patternRows struct {
	spec       sdk.HeadSpec
	rows, held recipe.Source
}

// openPattern makes the rows of method pattern, where the base is a language model
// and every label has a word. Where it is not chosen by name, what is missing
// leaves it out of the cross-validation, with a notice; else it is an error.
func (f *fewShot) openPattern(ctx context.Context) error {
	r := f.run
	plan := &r.plan.FewShot
	asked := plan.Method == MethodPattern
	if !asked && plan.Method != "auto" && plan.Method != "" {
		return nil
	}
	given := asked || plan.Pattern != "" || len(plan.Verbalizer) > 0
	if len(r.plan.Knowledge.Inject) > 0 {
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "fewshot.pattern", Path: "knowledge.inject", Summary: "method pattern does not read injected knowledge", Remedy: "leave knowledge.inject out, or choose another method"}
		if !given {
			d.Severity, d.Summary = sdk.Info, "method pattern is left out: it does not read injected knowledge"
		}
		return r.tell(sdk.Diagnostics{d})
	}
	heads, _ := hf.ReadHeads(r.data.base)
	writes := []string{sdk.KindMLM, sdk.KindPattern, sdk.KindCLM, sdk.KindGenerate}
	if heads == nil || !slices.ContainsFunc(heads.Heads, func(h sdk.HeadSpec) bool { return slices.Contains(writes, h.Kind) }) {
		if !given {
			return nil
		}
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "fewshot.pattern", Path: "fewshot.method", Summary: fmt.Sprintf("method pattern wants a language model, %s has none", r.base.Name),
			Remedy: "choose a base that was saved as …ForMaskedLM or …LMHeadModel, or train one with 'islm pretrain'"}}.Err()
	}
	spec := sdk.HeadSpec{Name: f.spec.Name, Kind: sdk.KindPattern, Labels: f.spec.Labels, Options: map[string]string{"fewshot": MethodPattern}}
	usual := defaultPattern
	cfg, _ := hf.ReadConfig(r.data.base)
	causal := cfg != nil && cfg.Causal()
	if causal {
		usual, spec.Options[sdk.OptionCausal] = defaultCausalPattern, "on"
	}
	pattern := cmp.Or(plan.Pattern, f.spec.Options[sdk.OptionPattern], usual)
	words := maps.Clone(plan.Verbalizer)
	if len(words) == 0 {
		words = map[string]string{}
		for pair := range strings.SplitSeq(f.spec.Options[sdk.OptionVerbalizer], ",") {
			if label, word, ok := strings.Cut(pair, "="); ok {
				words[strings.TrimSpace(label)] = strings.TrimSpace(word)
			}
		}
	}
	ids, ds := corpus.PatternWords(r.data.tokenizer, spec.Labels, words, pattern)
	if ds = append(corpus.CheckPattern(pattern, causal), ds...); ds.HasErrors() {
		if given {
			return ds.Err()
		}
		return r.tell(sdk.Diagnostics{{Severity: sdk.Info, Code: "fewshot.pattern", Summary: "method pattern is left out: " + ds[0].Summary, Remedy: ds[0].Remedy}})
	}
	spec.Options[sdk.OptionPattern], spec.Options[sdk.OptionWords] = pattern, ids
	encoder := &corpus.Encoder{Tokenizer: r.data.tokenizer, MaxLength: r.data.maxLength, Heads: []sdk.HeadSpec{spec}}
	p := &patternRows{spec: spec}
	var err error
	if p.rows, err = corpus.EncodeSource(ctx, encoder, f.train); err != nil {
		return err
	}
	if !f.alone {
		if p.held, err = corpus.EncodeSource(ctx, encoder, f.test); err != nil {
			return err
		}
	}
	f.pattern = p
	return nil
}
