//go:build torch

package model

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// Save writes a Hugging Face folder: config.json and model.safetensors with the
// encoder and the primary head ("" = the first) in the architecture's own
// shape and names, so that transformers' AutoModelFor… loads it; islm/heads.yaml
// with all heads; islm/heads.safetensors with what transformers has no place
// for, islm/knowledge.safetensors with the weights of injected knowledge. A model
// with an adapter becomes an adapter folder, which peft loads: in place of
// model.safetensors it has adapter_config.json and adapter_model.safetensors with
// the adapter and the primary head. The folder must exist. Each file appears complete or not at all, the
// weights last.
func (m *Model) Save(dir, primary string) error {
	cfg := m.Config.Clone()
	heads := &hf.Heads{}
	for i, h := range m.Heads {
		heads.Heads = append(heads.Heads, h.Spec)
		if primary == "" && i == 0 {
			primary = h.Spec.Name
		}
	}
	at := slices.IndexFunc(m.Heads, func(h *Head) bool { return h.Spec.Name == primary })
	if at < 0 && primary != "" {
		return fmt.Errorf("save model: there is no head %q for export.head", primary)
	}
	heads.Primary = primary
	cfg.Architecture, cfg.Labels, cfg.ProblemType, cfg.Requires = cfg.Arch().Class+"Model", nil, "", nil
	prefixed, needsPooler := false, true
	if at >= 0 {
		needsPooler = describe(cfg, m.Heads[at].Spec)
		prefixed = cfg.Architecture != cfg.Arch().Class+"Model"
	}

	cfg.Requires = append(cfg.Requires, m.knowledge.requires()...)
	m.baseConfig(cfg)
	var main, own, injected []safetensors.Entry
	var description []byte // of the adapter
	if m.tuning != nil {
		var err error
		if main, description, err = m.adapterEntries(cfg.Architecture, primary, needsPooler); err != nil {
			return fmt.Errorf("save adapter: %w", err)
		}
	}
	for _, p := range m.params {
		e := p.fileEntry()
		switch {
		case m.tuning != nil && !p.Knowledge() && (p.Head == "" || p.travels(primary)):
			// In the adapter, or the base's.
			if p.Head == "" && strings.HasPrefix(p.Name, "pooler.") && m.bringsPooler() && !needsPooler {
				own = append(own, e)
			}
		case m.tuning != nil && p.Head != "":
			if !p.based {
				own = append(own, e)
			}
		case p.Knowledge():
			injected = append(injected, e)
		case p.Head == "" && (needsPooler || !strings.HasPrefix(p.Name, "pooler.")):
			if prefixed {
				e.Name = hf.Prefixed(cfg.ModelType, p.Name)
			}
			main = append(main, e)
		case p.Head == primary && prefixed && !p.beside && !strings.HasPrefix(p.Name, primary+".crf."):
			e.Name = strings.TrimPrefix(p.Name, primary+".")
			main = append(main, e)
			if hf.DecoderBias(e.Name) && !m.Config.TieWords {
				e.Name = strings.TrimSuffix(e.Name, "bias") + "decoder.bias" // transformers then has two
				main = append(main, e)
			}
		default:
			own = append(own, e)
		}
	}
	config, err := cfg.Encode()
	if err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, hf.Own), 0o755); err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	if len(m.Heads) > 0 {
		text, err := heads.Encode()
		if err != nil {
			return fmt.Errorf("save model: %w", err)
		}
		if err := replace(filepath.Join(dir, hf.Own, hf.HeadsFile), text); err != nil {
			return fmt.Errorf("save model: %w", err)
		}
	}
	for name, entries := range map[string][]safetensors.Entry{hf.HeadWeightsFile: own, hf.KnowledgeWeightsFile: injected} {
		if len(entries) == 0 {
			continue
		}
		if err := safetensors.Write(filepath.Join(dir, hf.Own, name), entries, nil); err != nil {
			return fmt.Errorf("save model: %w", err)
		}
	}
	if err := replace(filepath.Join(dir, hf.ConfigFile), config); err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	weights := hf.WeightsFile
	if m.tuning != nil {
		weights = peft.WeightsFile
		if err := replace(filepath.Join(dir, peft.ConfigFile), description); err != nil {
			return fmt.Errorf("save adapter: %w", err)
		}
	}
	if err := safetensors.Write(filepath.Join(dir, weights), main, nil); err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	return nil
}

// bringsPooler reports whether an adapter folder holds the pooler: one that its base
// has not, or not in model.safetensors.
func (m *Model) bringsPooler() bool { return m.NewPooler || m.poolerBeside }

// describe puts the primary head into the config, as transformers declares it,
// and reports whether that architecture has a pooler. What transformers would
// compute without goes to Requires.
func describe(cfg *hf.Config, spec sdk.HeadSpec) (pooler bool) {
	cfg.Labels = ConfigLabels(spec)
	if spec.Kind == sdk.KindTag {
		cfg.Architecture = cfg.Arch().Class + "ForTokenClassification"
		if spec.CRF {
			cfg.Requires = append(cfg.Requires, "crf")
		}
		return false
	}
	if isLM(spec) {
		cfg.Labels, cfg.Architecture = nil, cfg.Arch().Class+cfg.Arch().LM
		return false
	}
	if spec.Kind == sdk.KindQA {
		cfg.Labels, cfg.Architecture = nil, cfg.Arch().Class+"ForQuestionAnswering"
		return false
	}
	if t := taskOf(spec.Kind); t != nil && t.logits(spec) == 0 {
		cfg.Architecture, cfg.Labels = cfg.Arch().Class+"Model", nil
		return false
	}
	cfg.Architecture = cfg.Arch().Class + "ForSequenceClassification"
	cfg.ProblemType = "single_label_classification"
	if spec.Kind == sdk.KindRegress || spec.Kind == sdk.KindRank && spec.Loss == "mse" {
		cfg.ProblemType = "regression"
	}
	if spec.Kind == sdk.KindMultilabel || oneLogit(spec) || spec.Kind == sdk.KindRank && spec.Loss != "mse" {
		cfg.ProblemType = "multi_label_classification"
	}
	if spec.Pooling != "" {
		cfg.Requires = append(cfg.Requires, "pooling-"+spec.Pooling)
	}
	return usesPooler(cfg, spec)
}

// ConfigLabels are the names of a head's logits, in order: id2label. A head
// with one logit for two classes has one name, that of the second class.
func ConfigLabels(spec sdk.HeadSpec) []string {
	outputs := recipe.Outputs(spec)
	if oneLogit(spec) && len(outputs) == 2 {
		return outputs[1:]
	}
	return outputs
}

// Entry is the weight as a file stores it, in fp32; its data are read when it
// is written. Call Write inside torch.Do.
func (p *Param) Entry() safetensors.Entry {
	return safetensors.Entry{
		Name: p.Name, DType: "F32", Shape: p.Value.Shape(),
		Fill: func() ([]byte, error) { return p.Value.Bytes(), nil },
	}
}

// fileEntry is Entry in the layout of transformers' file.
func (p *Param) fileEntry() safetensors.Entry {
	e := p.Entry()
	if p.transposed {
		e.Shape = []int64{e.Shape[1], e.Shape[0]}
		e.Fill = func() ([]byte, error) {
			scope := torch.Open()
			defer scope.Close()
			return p.Value.Detach().T().Contiguous().Bytes(), nil
		}
	}
	return e
}

// replace writes a file beside its place and renames it.
func replace(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}
