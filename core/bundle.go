package core

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/modelstore"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// Bundle is a finished model folder, opened for prediction: one that Train made,
// or one with a task head that transformers wrote.
type Bundle struct {
	Dir       string
	Plan      *recipe.Plan // plan.yaml, else the defaults
	Heads     []sdk.HeadSpec
	Primary   string
	Config    *hf.Config
	Tokenizer *token.Tokenizer
	Own       bool // made by islm: islm/plan.yaml is there
	// Base is the folder of the base model of an adapter folder; "" for others.
	Base string

	languages []sdk.HeadSpec // language models beside other heads, which answer nothing

	virtual   int        // positions that the adapter's virtual tokens take
	knowledge *knowledge // nil when it injects none
}

// OpenBundle reads everything of a model folder but the weights. The base of an
// adapter folder is looked for in the stores too.
func OpenBundle(dir string, stores ...*modelstore.Store) (*Bundle, sdk.Diagnostics, error) {
	b := &Bundle{Dir: dir, Plan: recipe.Defaults()}
	if _, err := os.Stat(filepath.Join(dir, hf.ConfigFile)); errors.Is(err, fs.ErrNotExist) && !peft.Is(dir) {
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "model.missing", File: dir, Summary: "this is not a model folder: it has no " + hf.ConfigFile, Remedy: "check --model"}
		if exists(filepath.Join(dir, Own, PlanFile)) {
			d.Code, d.Summary, d.Remedy = "model.unfinished", "the training of this model is not finished", "go on with 'islm train --resume --out "+dir+"' and the options that started it"
		}
		return nil, nil, &sdk.DiagnosticsError{Diagnostics: sdk.Diagnostics{d}, Fatal: true, Cause: err}
	}
	if err := hf.Settle(dir); err != nil {
		return nil, nil, err
	}
	var all sdk.Diagnostics
	tokenizer := dir
	var cfg *hf.Config
	var heads *hf.Heads
	var ds, more sdk.Diagnostics
	if peft.Is(dir) {
		var c *peft.Config
		if b.Base, c, ds = AdapterBase(dir, stores...); !ds.HasErrors() {
			if cfg, ds = peft.ModelConfig(dir, b.Base, c); cfg != nil {
				if c.Prompting() {
					b.virtual = c.Tokens
				}
				heads, more = peft.ReadHeads(dir, cfg)
			}
		}
		if !slices.ContainsFunc(tokenizerFiles, func(name string) bool { return exists(filepath.Join(dir, name)) }) {
			tokenizer = b.Base
		}
	} else {
		cfg, ds = hf.ReadConfig(dir)
		heads, more = hf.ReadHeads(dir)
	}
	all = append(all, ds...)
	if !ds.HasErrors() {
		all = append(all, more...)
	}
	planFile := filepath.Join(dir, Own, PlanFile)
	switch data, err := os.ReadFile(planFile); {
	case err == nil:
		plan, ds := recipe.Parse(planFile, data)
		all = append(all, ds...)
		b.Plan, b.Own = plan, true
	case !errors.Is(err, fs.ErrNotExist):
		return nil, all, fmt.Errorf("read the model's plan: %w", err)
	}
	if err := all.Err(); err != nil {
		return nil, all, err
	}
	if heads == nil || len(heads.Heads) == 0 {
		return nil, all, sdk.Diagnostics{{Severity: sdk.Error, Code: "model.no-head", File: dir, Summary: "the model has no task head: it can be trained, but not asked", Remedy: "train it first ('islm train --base " + dir + "')"}}.Err()
	}
	heads.Heads, b.languages = answering(heads.Heads, cfg)
	if len(heads.Heads) == 0 {
		return nil, all, sdk.Diagnostics{{Severity: sdk.Error, Code: "model.language-model", File: dir, Summary: "the model's only head is a masked language model, which has no label for a text", Remedy: "train a head on it first ('islm train --base " + dir + "')"}}.Err()
	}
	tok, err := token.Load(tokenizer)
	if err != nil {
		return nil, all, err
	}
	if b.knowledge, ds, err = loadKnowledge(dir, b.Plan); err != nil {
		return nil, all, err
	}
	all = append(all, ds...)
	if err := all.Err(); err != nil {
		return nil, all, err
	}
	b.Config, b.Heads, b.Primary, b.Tokenizer = cfg, heads.Heads, heads.Primary, tok
	if !slices.ContainsFunc(b.Heads, func(h sdk.HeadSpec) bool { return h.Name == b.Primary }) {
		b.Primary = heads.Heads[0].Name
	}
	return b, all, nil
}

// answering parts the heads that say something of a text from language models. A
// language model has no answer, but where it is all that there is, a causal one
// continues the text.
func answering(heads []sdk.HeadSpec, cfg *hf.Config) (answer, languages []sdk.HeadSpec) {
	if len(heads) == 1 && heads[0].Kind == sdk.KindCLM && cfg.Causal() {
		h := heads[0]
		h.Kind, h.Options = sdk.KindGenerate, map[string]string{sdk.OptionSeparator: sdk.SeparatorNone}
		return []sdk.HeadSpec{h}, nil
	}
	for _, h := range heads {
		if h.LanguageModel() {
			languages = append(languages, h)
		} else {
			answer = append(answer, h)
		}
	}
	return answer, languages
}

// maxLength is the number of ids that the model sees of one text.
func (b *Bundle) maxLength() int {
	n := b.Plan.Data.MaxLength
	if n <= 0 || n > b.positions() {
		n = min(b.positions(), 256)
	}
	return n
}

// positions is how many ids of text and answer the model has room for.
func (b *Bundle) positions() int { return b.Config.MaxPositions - b.virtual }
