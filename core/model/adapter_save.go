//go:build torch

package model

import (
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
)

// adapterEntries lays the adapter and the primary head out as peft does:
// adapter_model.safetensors and the text of adapter_config.json. Ranks that
// adalora gave up are left out, a prefix is written as the keys and values that
// its network makes.
func (m *Model) adapterEntries(architecture, primary string, needsPooler bool) (entries []safetensors.Entry, description []byte, err error) {
	c := *m.tuning.config
	switch {
	case strings.HasSuffix(architecture, "ForSequenceClassification"):
		c.TaskType = "SEQ_CLS"
	case strings.HasSuffix(architecture, "ForTokenClassification"):
		c.TaskType = "TOKEN_CLS"
	case strings.HasSuffix(architecture, "ForQuestionAnswering"):
		c.TaskType = "QUESTION_ANS"
	case strings.HasSuffix(architecture, "LMHeadModel"), strings.HasSuffix(architecture, "ForCausalLM"):
		c.TaskType = "CAUSAL_LM"
	default:
		c.TaskType = "FEATURE_EXTRACTION"
	}
	c.Save = nil
	kept := map[string][]bool{}
	if r := m.tuning.ranks; r != nil {
		if c.Ranks = r.pattern(m.Config); c.Ranks != nil {
			kept = m.Ranks()
		}
	}
	for _, p := range m.params {
		switch {
		case p.tuned && c.Method == recipe.PeftPrefix:
			continue
		case p.tuned:
		case p.travels(primary):
			module, _, _ := strings.Cut(strings.TrimPrefix(p.Name, primary+"."), ".")
			if !slices.Contains(c.Save, module) {
				c.Save = append(c.Save, module)
			}
		case p.Head == "" && strings.HasPrefix(p.Name, "pooler.") && m.bringsPooler() && needsPooler:
			if !slices.Contains(c.Save, "pooler") {
				c.Save = append(c.Save, "pooler")
			}
		default:
			continue
		}
		e := p.Entry()
		e.Name = m.adapterName(p, primary)
		if i := strings.LastIndex(p.Name, ".lora_"); p.tuned && i >= 0 {
			if on := kept[p.Name[:i]]; on != nil {
				e = keptEntry(e.Name, p, on)
			}
		}
		entries = append(entries, e)
	}
	if r := m.tuning.rows; r != nil && r.whole {
		word := m.Encoder.words()
		e := word.Entry()
		e.Name = c.Prefix() + hf.Prefixed(m.Config.ModelType, tableName(word))
		entries = append(entries, e)
	}
	if c.Method == recipe.PeftPrefix {
		scope := torch.Open()
		defer scope.Close()
		torch.NoGrad(func() {
			made := m.tuning.prefixes().Transpose(0, 1).Reshape(int64(c.Tokens), -1)
			entries = append(entries, torch.ToEntry("prompt_embeddings", made))
		})
	}
	description, err = c.Encode()
	return entries, description, err
}

// travels reports whether a weight of the primary head belongs into an adapter
// folder, as one of peft's modules_to_save.
func (p *Param) travels(primary string) bool {
	return primary != "" && p.Head == primary && !p.beside && headModule(strings.TrimPrefix(p.Name, primary+".")) != ""
}

// keptEntry is a factor of an update without the ranks that were given up.
func keptEntry(name string, p *Param, on []bool) (e safetensors.Entry) {
	scope := torch.Open()
	defer scope.Close()
	var at []int64
	for i, k := range on {
		if k {
			at = append(at, int64(i))
		}
	}
	dim := 0
	if strings.HasSuffix(p.Name, ".lora_B") {
		dim = 1
	}
	torch.NoGrad(func() {
		e = torch.ToEntry(name, p.Value.IndexSelect(dim, torch.FromInt64(at, int64(len(at))).ToDevice(p.Value.Device())).Contiguous())
	})
	return e
}

// headModule is the module of transformers' model that a head's weight belongs to,
// which an adapter folder saves whole; "" for weights that are not there.
func headModule(name string) string {
	for _, m := range []string{"classifier", "pre_classifier", "score", strings.TrimSuffix(hf.Answers, ".")} {
		if strings.HasPrefix(name, m+".") {
			return m
		}
	}
	return ""
}
