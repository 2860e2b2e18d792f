//go:build torch

package model

import (
	"fmt"
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

// adapterFile is adapter_model.safetensors under canonical names.
type adapterFile struct {
	config *peft.Config
	path   string
	file   *safetensors.File
	left   map[string]hf.Weight // not taken yet
}

func (f *adapterFile) Close() error { return f.file.Close() }

// take gives a weight once; nil when there is none.
func (f *adapterFile) take(name string) *hf.Weight {
	if f == nil {
		return nil
	}
	w, ok := f.left[name]
	if !ok {
		return nil
	}
	delete(f.left, name)
	return &w
}

func (l *loader) openAdapter(c *peft.Config) {
	path := filepath.Join(l.dir, peft.WeightsFile)
	file, err := safetensors.Open(path)
	if err != nil {
		l.fail("adapter.weights", path, "read the adapter: "+err.Error())
		return
	}
	l.adapter = &adapterFile{config: c, path: path, file: file, left: map[string]hf.Weight{}}
	for _, key := range file.Names() {
		e, _ := file.Entry(key)
		w := hf.WeightOf(l.cfg.ModelType, path, e)
		name, ok := strings.CutPrefix(key, c.Prefix())
		if !ok && key != "prompt_embeddings" {
			l.diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "adapter.unexpected", File: path, Path: key, Summary: fmt.Sprintf("%s is not named as the weights of an adapter are", key)})
			continue
		}
		if !ok {
			name = key
		}
		w.Name = hf.Canonical(l.cfg.ModelType, name)
		l.adapter.left[w.Name] = w
	}
}

// adapt hangs the folder's adapter, or a new one, on the encoder.
func (l *loader) adapt() error {
	var c *peft.Config
	switch {
	case l.adapter != nil:
		c = l.adapter.config
	case l.opt.Adapt != nil:
		c = l.opt.Adapt(l.cfg)
	}
	if c == nil {
		return nil
	}
	if c.Prompting() {
		if l.cfg.ModelType != "bert" && l.cfg.ModelType != "gpt2" && (l.cfg.ModelType != "llama" || c.Method != recipe.PeftPrompt) {
			return fmt.Errorf("virtual tokens (%s) are not supported for models of type %s; use lora, ia3 or a bottleneck", c.Method, l.cfg.ModelType)
		}
		if c.Method == recipe.PeftPrompt && l.opt.Injection != nil && l.opt.Knowledge != nil && l.opt.Knowledge.Inside() {
			return fmt.Errorf("train.peft=prompt moves the text and cannot go with knowledge.inject; use ptuning")
		}
		if c.Dim != l.cfg.HiddenSize || c.Layers != l.cfg.Layers {
			l.diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "adapter.shape", File: filepath.Join(l.dir, peft.ConfigFile), Path: "token_dim",
				Summary: fmt.Sprintf("the adapter belongs to a model of %d layers of width %d, the base has %d of width %d", c.Layers, c.Dim, l.cfg.Layers, l.cfg.HiddenSize)})
			return nil
		}
	}
	if len(c.Rows) > 0 && !l.widen(c) {
		return nil
	}
	err := l.m.adapt(c, func(t hf.Tensor, init initial) *Param { return l.adapterParam(t, init) })
	l.m.Encoder.tune(l.m.tuning)
	if l.m.tuning.rows != nil {
		l.m.tuning.rows.whole = l.wholeTable
	}
	if l.adapter == nil {
		return err
	}
	if err != nil {
		l.fail("adapter.targets", filepath.Join(l.dir, peft.ConfigFile), err.Error())
	}
	// With heads of another folder the classifier of the adapter has no use.
	for name, w := range l.adapter.left {
		if headModule(name) != "" && !l.opt.Trained {
			continue
		}
		l.diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "adapter.unexpected", File: w.File, Path: w.Key, Summary: fmt.Sprintf("the adapter holds %s, for which the model has no place", w.Key)})
	}
	slices.SortStableFunc(l.diags, func(a, b sdk.Diagnostic) int { return strings.Compare(a.Code+a.Path, b.Code+b.Path) })
	return nil
}

// adapterParam is one weight of the adapter: the file's, else a new one.
func (l *loader) adapterParam(t hf.Tensor, init initial) *Param {
	var p *Param
	if l.adapter != nil {
		w := l.adapter.take(t.Name)
		switch {
		case w == nil:
			l.diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "adapter.missing", File: l.adapter.path, Path: t.Name, Summary: fmt.Sprintf("the adapter lacks the weight %s %v", t.Name, t.Shape)})
		case !slices.Equal(w.Shape, t.Shape):
			l.diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "adapter.shape", File: l.adapter.path, Path: w.Key, Summary: fmt.Sprintf("%s has the shape %v, the base needs %v", w.Key, w.Shape, t.Shape),
				Remedy: "the adapter belongs to another base model, or its " + peft.ConfigFile + " was changed"})
		default:
			return l.param(t, "", w)
		}
	}
	p = l.param(t, "", nil)
	torch.NoGrad(func() {
		scope := torch.Open()
		defer scope.Close()
		init(p.Value, l.opt.Seed, t.Name, l.cfg.InitRange)
	})
	return p
}

// adapterName is a weight's name in an adapter file of a model whose primary head
// is given.
func (m *Model) adapterName(p *Param, primary string) string {
	c := m.tuning.config
	if p.tuned && c.Prompting() {
		return p.Name
	}
	if p.Head != "" {
		return c.Prefix() + strings.TrimPrefix(p.Name, primary+".")
	}
	return c.Prefix() + hf.Prefixed(m.Config.ModelType, p.Name)
}
