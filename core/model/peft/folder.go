package peft

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// ModelConfig is the config of the model that an adapter folder makes of a base:
// its own config.json, else the base's with the head that the adapter holds.
func ModelConfig(dir, base string, c *Config) (*hf.Config, sdk.Diagnostics) {
	if _, err := os.Stat(filepath.Join(dir, hf.ConfigFile)); err == nil {
		return hf.ReadConfig(dir)
	}
	cfg, diags := hf.ReadConfig(base)
	if cfg == nil {
		return nil, diags
	}
	switch arch := cfg.Arch(); c.TaskType {
	case "SEQ_CLS":
		cfg.Architecture = arch.Class + "ForSequenceClassification"
	case "TOKEN_CLS":
		cfg.Architecture = arch.Class + "ForTokenClassification"
	case "QUESTION_ANS":
		cfg.Architecture, cfg.Labels = arch.Class+"ForQuestionAnswering", nil
	case "CAUSAL_LM":
		cfg.Architecture = arch.Class + arch.LM
		return cfg, diags
	default:
		return cfg, diags
	}
	file, err := safetensors.Open(filepath.Join(dir, WeightsFile))
	if err != nil {
		diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "adapter.weights", File: filepath.Join(dir, WeightsFile), Summary: "read the adapter: " + err.Error()})
		return nil, diags
	}
	defer file.Close()
	for _, last := range []string{"classifier.weight", "classifier.out_proj.weight", "score.weight"} {
		e, ok := file.Entry(c.Prefix() + last)
		if !ok || len(e.Shape) != 2 || int(e.Shape[0]) == len(cfg.Labels) {
			continue
		}
		cfg.Labels = nil
		for i := range e.Shape[0] {
			cfg.Labels = append(cfg.Labels, fmt.Sprintf("LABEL_%d", i))
		}
	}
	return cfg, diags
}

// ReadHeads reads the heads of an adapter folder: islm/heads.yaml, else the one
// that cfg, of ModelConfig, declares.
func ReadHeads(dir string, cfg *hf.Config) (*hf.Heads, sdk.Diagnostics) {
	if _, err := os.Stat(filepath.Join(dir, hf.Own, hf.HeadsFile)); err != nil {
		return hf.Declared(cfg), nil
	}
	return hf.ReadHeads(dir)
}
