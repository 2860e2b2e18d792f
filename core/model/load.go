//go:build torch

package model

import (
	"errors"
	"fmt"
	"io/fs"
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

// Options say how a folder becomes a model.
type Options struct {
	Device  torch.Device // torch.CPU unless set
	Seed    uint64       // of new weights
	Dropout *float64     // of encoder and heads; nil = as config.json says
	// Trained demands that the folder holds the heads' weights. Otherwise heads
	// whose weights it lacks begin with random ones.
	Trained bool
	// Grow lets a head have more labels than the folder's of the same name: the rows
	// of the old ones are kept, those of new ones begin as new weights do.
	Grow bool
	// Knowledge and Injection say what knowledge enters; nil = none.
	Knowledge *recipe.KnowledgePlan
	Injection *recipe.Injection
	// Base is the folder of the weights that an adapter folder changes.
	Base string
	// Adapt describes a new adapter, given the config; nil = none.
	Adapt func(*hf.Config) *peft.Config
}

// Load builds the model of a Hugging Face folder with the given heads. New
// weights are normal(0, initializer_range) with biases of zero, a function of
// seed and name only. The model is nil when the diagnostics hold errors; others
// are worth telling. Its tensors belong to no scope: Close frees them.
func Load(dir string, heads []sdk.HeadSpec, opt Options) (_ *Model, diags sdk.Diagnostics) {
	adapter, base := "", dir
	var tuned *peft.Config
	var cfg *hf.Config
	if peft.Is(dir) {
		if tuned, diags = peft.Read(dir); tuned == nil {
			return nil, diags
		}
		if adapter, base = dir, opt.Base; base == "" {
			base = tuned.Base
		}
	}
	if tuned != nil {
		cfg, diags = peft.ModelConfig(dir, base, tuned)
	} else {
		cfg, diags = hf.ReadConfig(dir)
	}
	if cfg == nil {
		return nil, diags
	}
	if opt.Dropout != nil {
		d := *opt.Dropout
		cfg.HiddenDropout, cfg.AttentionDropout, cfg.ClassifierDropout = d, d, nil
	}
	names := map[string]bool{}
	for _, spec := range heads {
		diags.Add(checkSpec(spec)...)
		if spec.Name == "" || strings.ContainsAny(spec.Name, "/\n") || names[spec.Name] {
			diags.Add(sdk.Diagnostic{Code: "head.spec", Path: "heads", Summary: fmt.Sprintf("the head name %q is empty or taken", spec.Name)})
		}
		names[spec.Name] = true
	}
	weights, more := hf.OpenWeights(base, cfg.ModelType)
	diags.Add(more...)
	if diags.HasErrors() {
		return nil, diags
	}
	l := &loader{dir: dir, cfg: cfg, opt: opt, weights: weights, specs: heads, m: &Model{Config: cfg, device: opt.Device}}
	defer func() {
		if err := l.close(); err != nil {
			l.fail("model.weights", dir, "close the weights: "+err.Error())
		}
		diags = l.diags
	}()
	l.diags = diags
	l.readOwn()
	if adapter != "" {
		l.openAdapter(tuned)
	}
	lm := slices.ContainsFunc(heads, isLM)
	l.diags.Add(hf.Check(base, cfg, weights, func(name string) bool {
		return strings.HasPrefix(name, "classifier.") || strings.HasPrefix(name, "pre_classifier.") || strings.HasPrefix(name, "score.") || strings.HasPrefix(name, hf.Answers) || lm && hf.OfLMHead(name)
	})...)
	for _, spec := range heads {
		bad := func(format string, args ...any) {
			l.diags.Add(sdk.Diagnostic{Code: "head.architecture", Path: "heads." + spec.Name, Summary: fmt.Sprintf("head %q: ", spec.Name) + fmt.Sprintf(format, args...)})
		}
		switch {
		case spec.Kind == sdk.KindCLM && !cfg.Causal():
			bad("a causal language model (clm.v0) needs a causal encoder such as gpt2, the base is of type %s; use mlm.v0", cfg.ModelType)
		case spec.Kind == sdk.KindGenerate && !cfg.Causal():
			bad("a head that writes text (generate.v0) needs a causal encoder such as gpt2, the base is of type %s", cfg.ModelType)
		case spec.Kind == sdk.KindMLM && cfg.Causal():
			bad("a masked language model (mlm.v0) cannot stand on the causal encoder of a %s; use clm.v0", cfg.ModelType)
		case spec.Kind == sdk.KindPattern && cfg.Causal() != (spec.Options[sdk.OptionCausal] == "on"):
			bad("the pattern was made for another kind of language model than a %s: options.%s is %q", cfg.ModelType, sdk.OptionCausal, spec.Options[sdk.OptionCausal])
		case spec.Pooling == "cls" && cfg.Causal():
			bad("pooling cls: the first position of a %s sees nothing of the text; leave it out for the last one", cfg.ModelType)
		}
	}
	if l.diags.HasErrors() {
		return nil, l.diags
	}
	if err := l.build(heads); err != nil {
		l.fail("model.config", filepath.Join(dir, hf.ConfigFile), err.Error())
	}
	if l.diags.HasErrors() {
		l.m.Close()
		return nil, l.diags
	}
	return l.m, l.diags
}

// ReadsPooler reports whether a head reads the pooler's vector.
func (m *Model) ReadsPooler() bool {
	return slices.ContainsFunc(m.Heads, func(h *Head) bool { return usesPooler(m.Config, h.Spec) })
}

// loader is one Load.
type loader struct {
	dir      string
	cfg      *hf.Config
	opt      Options
	weights  *hf.Weights
	own      *safetensors.File // islm/heads.safetensors; nil when absent
	injected *safetensors.File // islm/knowledge.safetensors; nil when absent
	trained  *hf.Heads         // heads of the folder; nil when unknown
	specs    []sdk.HeadSpec    // heads that are built
	adapter  *adapterFile      // nil when the folder is none
	m        *Model
	diags    sdk.Diagnostics

	wholeTable bool // the adapter holds word embeddings of its own
}

func (l *loader) fail(code, file, summary string) {
	l.diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: code, File: file, Summary: summary})
}

func (l *loader) close() error {
	err := l.weights.Close()
	for _, f := range []*safetensors.File{l.own, l.injected} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if l.adapter != nil {
		err = errors.Join(err, l.adapter.Close())
	}
	return err
}

// readOwn opens what lies in islm/.
func (l *loader) readOwn() {
	var diags sdk.Diagnostics
	if peft.Is(l.dir) {
		l.trained, diags = peft.ReadHeads(l.dir, l.cfg)
	} else {
		l.trained, diags = hf.ReadHeads(l.dir)
	}
	if l.trained == nil {
		l.diags.Add(diags...)
		return
	}
	l.own = l.openOwn(hf.HeadWeightsFile, "read the heads: ")
	if l.opt.Injection != nil {
		l.injected = l.openOwn(hf.KnowledgeWeightsFile, "read the weights of the knowledge: ")
	}
}

func (l *loader) openOwn(name, what string) *safetensors.File {
	path := filepath.Join(l.dir, hf.Own, name)
	f, err := safetensors.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		l.fail("model.weights", path, what+err.Error())
	default:
		return f
	}
	return nil
}

// newEncoder is the encoder of the config's architecture; get returns weights by
// canonical name.
func newEncoder(cfg *hf.Config, get func(hf.Tensor) *Param) (Encoder, error) {
	switch cfg.ModelType {
	case "bert", "roberta", "xlm-roberta", "distilbert", "albert":
		return newBert(cfg, get)
	case "llama":
		return newLlama(cfg, get)
	case "gpt2":
		return newGPT2(cfg, get)
	}
	return nil, fmt.Errorf("build the encoder: unknown model type %q", cfg.ModelType)
}

func (l *loader) build(heads []sdk.HeadSpec) error {
	var err error
	l.m.Encoder, err = newEncoder(l.cfg, func(t hf.Tensor) *Param { return l.param(t, "", l.find(t.Name)) })
	if err != nil {
		return err
	}
	// Language models do not read the pooler, but keep it for later heads.
	if slices.ContainsFunc(heads, func(s sdk.HeadSpec) bool { return usesPooler(l.cfg, s) }) || !slices.ContainsFunc(heads, func(s sdk.HeadSpec) bool { return !isLM(s) }) && l.find(l.cfg.Pooler()[0].Name) != nil {
		var parts []*Param
		for _, t := range l.cfg.Pooler() {
			parts = append(parts, l.param(t, "", l.find(t.Name)))
		}
		name := l.cfg.Pooler()[0].Name
		l.m.NewPooler = l.find(name) == nil
		_, inFile := l.weights.Find(name)
		l.m.poolerBeside = !l.m.NewPooler && !inFile
		l.m.pooler = &linear{parts[0], parts[1]}
	}
	for _, spec := range heads {
		h, err := l.head(spec)
		if err != nil {
			return err
		}
		l.m.Heads = append(l.m.Heads, h)
	}
	if err := l.knowledge(); err != nil {
		return err
	}
	return l.adapt()
}

// find looks for an encoder weight, which for a pooler may lie in islm/.
func (l *loader) find(name string) *hf.Weight {
	if x := l.adapter.take(name); x != nil {
		return x
	}
	if x, ok := l.weights.Find(name); ok {
		return &x
	}
	return l.findOwn(name)
}

func (l *loader) findOwn(name string) *hf.Weight {
	if l.own == nil {
		return nil
	}
	e, ok := l.own.Entry(name)
	if !ok {
		return nil
	}
	x := hf.WeightOf(l.cfg.ModelType, filepath.Join(l.dir, hf.Own, hf.HeadWeightsFile), e)
	return &x
}

// head builds a head from the folder's weights, else from new ones.
func (l *loader) head(spec sdk.HeadSpec) (*Head, error) {
	h := &Head{Spec: spec, Outputs: recipe.Outputs(spec), dropout: l.cfg.HeadDropout(), place: headPlace(spec.Name), weights: spec.ClassWeights}
	if spec.Dropout != nil {
		h.dropout = *spec.Dropout
	}
	k := logits(spec)
	prefix := spec.Name + "."
	find := l.findOwn
	if l.isPrimary(spec) {
		// The primary head's linear layer lies in model.safetensors.
		find = func(name string) *hf.Weight {
			if l.adapter != nil {
				if x := l.adapter.take(strings.TrimPrefix(name, prefix)); x != nil {
					return x
				}
				return l.findOwn(name)
			}
			if x, ok := l.weights.Find(strings.TrimPrefix(name, prefix)); ok {
				return &x
			}
			return l.findOwn(name)
		}
	}
	h.task = taskOf(spec.Kind)
	if isLM(spec) {
		if own := find; l.adapter != nil {
			// An adapter folder leaves out what is the base's; that one lies in the
			// base's model.safetensors, whichever head is the adapter's first.
			find = func(name string) *hf.Weight {
				if x := own(name); x != nil {
					return x
				}
				if x, ok := l.weights.Find(strings.TrimPrefix(name, prefix)); ok {
					return &x
				}
				return nil
			}
		}
		var err error
		h.dropout = 0 // transformers has none there, nor before a decoder's classifier
		h.lm, err = l.lm(spec, find)
		return h, err
	}
	if spec.Kind == sdk.KindQA && spec.Dropout == nil {
		h.dropout = 0 // as in transformers
	}
	if h.task != nil {
		for _, t := range h.task.weights(spec, int64(l.cfg.HiddenSize)) {
			t.Name = prefix + t.Name
			h.own = append(h.own, l.param(t, spec.Name, find(t.Name)))
		}
		if k == 0 {
			return h, nil
		}
	}
	parts := map[string]*Param{}
	for _, t := range l.cfg.HeadWeights(spec.Kind == sdk.KindTag || spec.Pooling != "" && !l.cfg.Causal(), k) {
		parts[t.Name] = l.param(hf.Tensor{Name: prefix + t.Name, Shape: t.Shape}, spec.Name, find(prefix+t.Name))
	}
	// transformers' classifier of a causal model has no bias; that of linear few-shot
	// heads lies in islm/.
	if name := prefix + hf.ScoreBias; parts["score.weight"] != nil && parts[hf.ScoreBias] == nil && find(prefix+"score.weight") != nil {
		if x := l.findOwn(name); x != nil {
			p := l.param(hf.Tensor{Name: name, Shape: []int64{k}}, spec.Name, x)
			p.beside, parts[hf.ScoreBias] = true, p
		}
	}
	for _, stem := range []string{"classifier", "classifier.out_proj", "score"} {
		if parts[stem+".weight"] != nil {
			h.out = linear{parts[stem+".weight"], parts[stem+".bias"]}
		}
	}
	h.dense = linear{parts["classifier.dense.weight"], parts["classifier.dense.bias"]}
	if w := parts["pre_classifier.weight"]; w != nil {
		h.dense, h.relu = linear{w, parts["pre_classifier.bias"]}, true
	}
	if l.cfg.Causal() && spec.Kind != sdk.KindTag && spec.Dropout == nil {
		h.dropout = 0
	}
	if spec.CRF {
		part := func(name string, shape ...int64) *Param {
			return l.param(hf.Tensor{Name: prefix + "crf." + name, Shape: shape}, spec.Name, find(prefix+"crf."+name))
		}
		h.crf = &crf{start: part("start", k), end: part("end", k), transitions: part("transitions", k, k)}
	}
	return h, nil
}

// isPrimary reports whether the head in the folder's model.safetensors is this
// one: by
// islm/heads.yaml by its name and outputs, in a folder of other software by
// kind and label names.
func (l *loader) isPrimary(spec sdk.HeadSpec) bool {
	i := slices.IndexFunc(l.trained.Heads, func(t sdk.HeadSpec) bool { return t.Name == l.trained.Primary })
	if i < 0 {
		return false
	}
	t := l.trained.Heads[i]
	same := (t.Kind == sdk.KindTag) == (spec.Kind == sdk.KindTag) && isLM(t) == isLM(spec) &&
		(slices.Equal(ConfigLabels(t), ConfigLabels(spec)) || l.opt.Grow && t.Name == spec.Name) ||
		t.Kind == sdk.KindQA && spec.Kind == sdk.KindQA || isLM(t) && isLM(spec)
	return same && (t.Name == spec.Name || !l.opt.Trained)
}

// param copies a weight from the file into libtorch's own, aligned memory, or
// makes a new one.
func (l *loader) param(t hf.Tensor, head string, from *hf.Weight) *Param {
	p := &Param{Name: t.Name, Head: head, transposed: t.Transposed}
	scope := torch.Open()
	defer scope.Close()
	switch {
	case from != nil && !slices.Equal(from.Shape, t.FileShape()) && (l.opt.Trained || head != "" && hf.OfLMHead(strings.TrimPrefix(t.Name, head+"."))):
		l.diags.Add(sdk.Diagnostic{
			Code: "model.shape", File: from.File, Path: from.Key,
			Summary: fmt.Sprintf("%s has the shape %v, the head %s needs %v", from.Key, from.Shape, head, t.Shape),
		})
		p.Value = torch.Zeros(torch.Float32, l.m.device, t.Shape...)
	case from != nil && slices.Equal(from.Shape, t.FileShape()):
		data, err := from.Read()
		if err != nil {
			l.fail("model.weights", from.File, err.Error())
			data = make([]byte, t.Elements()*safetensors.ElementSize(from.DType))
		}
		p.Value = torch.FromBytes(data, elementType(from.DType), t.FileShape()...).To(torch.Float32, l.m.device)
		if t.Transposed {
			p.Value = p.Value.T().Contiguous()
		}
	case l.opt.Trained && head != "":
		l.diags.Add(sdk.Diagnostic{
			Code: "model.head", File: l.dir, Path: "heads." + head, Summary: fmt.Sprintf("the model has no head %q: the weight %s is missing", head, t.Name),
			Remedy: "train the head, or choose one of the heads in islm/heads.yaml",
		})
		p.Value = torch.Zeros(torch.Float32, l.m.device, t.Shape...)
	default:
		p.Value = torch.Zeros(torch.Float32, torch.CPU, t.Shape...)
		switch {
		case len(t.Shape) > 1:
			torch.InitNormal(p.Value, l.opt.Seed, t.Name, 0, l.cfg.InitRange)
		case isNorm(t.Name) && strings.HasSuffix(t.Name, ".weight"):
			p.Value.FillInPlace(1)
		}
		if l.opt.Grow && from != nil && head != "" {
			l.keepRows(p.Value, from, head)
		}
		p.Value = p.Value.ToDevice(l.m.device)
	}
	scope.Keep(p.Value)
	l.m.params = append(l.m.params, p)
	return p
}

// keepRows copies into a head's new weight what an older head of fewer labels had,
// label by label along each dimension that counts labels.
func (l *loader) keepRows(into *torch.Tensor, from *hf.Weight, head string) {
	named := func(heads []sdk.HeadSpec) []string {
		if i := slices.IndexFunc(heads, func(h sdk.HeadSpec) bool { return h.Name == head }); i >= 0 {
			return ConfigLabels(heads[i])
		}
		return nil
	}
	was, is := named(l.trained.Heads), named(l.specs)
	shape := into.Shape()
	if len(shape) != len(from.Shape) {
		return
	}
	data, err := from.Read()
	if err != nil {
		l.fail("model.weights", from.File, err.Error())
		return
	}
	old := torch.FromBytes(data, elementType(from.DType), from.Shape...).To(torch.Float32, torch.CPU)
	for dim := range shape {
		if from.Shape[dim] == shape[dim] {
			continue
		}
		if from.Shape[dim] != int64(len(was)) || shape[dim] != int64(len(is)) {
			return
		}
	}
	// index[dim] says where each old place lies in the new weight.
	index := make([][]int, len(shape))
	for dim := range shape {
		for k := range from.Shape[dim] {
			at := int(k)
			if from.Shape[dim] != shape[dim] {
				at = slices.Index(is, was[k])
			}
			index[dim] = append(index[dim], at)
		}
	}
	values, kept := into.Float32s(), old.Float32s()
	for i, v := range kept {
		at, rest, ok := 0, i, true
		places := make([]int, len(shape))
		for dim := len(shape) - 1; dim >= 0; dim-- {
			places[dim] = index[dim][rest%len(index[dim])]
			rest /= len(index[dim])
			ok = ok && places[dim] >= 0
		}
		for dim, p := range places {
			at = at*int(shape[dim]) + p
		}
		if ok {
			values[at] = v
		}
	}
	into.CopyFrom(torch.FromFloat32(values, shape...))
}

func elementType(dtype string) torch.DType {
	switch dtype {
	case "F16":
		return torch.Float16
	case "BF16":
		return torch.BFloat16
	case "F64":
		return torch.Float64
	}
	return torch.Float32
}

// decays: weight decay applies to matrices, not to biases and LayerNorms.
func decays(name string) bool {
	for _, kind := range []string{".ia3_l", ".lora_magnitude_vector", ".lora_E"} {
		if strings.HasSuffix(name, kind) {
			return false // scales
		}
	}
	norm := isNorm(name) && !strings.Contains(name, ".adapter.")
	return !strings.HasSuffix(name, ".bias") && !norm && !strings.Contains(name, ".crf.")
}

// isNorm reports a weight or bias of a LayerNorm, whatever the architecture
// calls it.
func isNorm(name string) bool {
	return slices.ContainsFunc([]string{"LayerNorm", "layer_norm", "layernorm", "ln_"}, func(s string) bool { return strings.Contains(name, s) }) || name == "norm.weight"
}
