package core

import (
	"context"

	"github.com/hashicorp/go-hclog"

	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/modelstore"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// Inspection looks at data without training on them.
type Inspection struct {
	Home    string
	Store   *modelstore.Store
	Catalog *catalog.Catalog
	Log     hclog.Logger
	Resolve func(advice []recipe.Advice) (*recipe.Plan, sdk.Diagnostics, error)
}

// Check reads the data of a plan and returns everything that is wrong with them.
func (in *Inspection) Check(ctx context.Context) (*corpus.Corpus, sdk.Diagnostics, error) {
	c, _, ds, err := in.read(ctx)
	return c, ds, err
}

func (in *Inspection) read(ctx context.Context) (*corpus.Corpus, *recipe.Plan, sdk.Diagnostics, error) {
	plan, ds, err := in.Resolve(nil)
	if err != nil {
		return nil, nil, ds, err
	}
	if ds.HasErrors() {
		return nil, plan, ds, nil
	}
	ps, more, err := launchAll(ctx, in.Catalog, plan, in.Home, in.Log)
	defer func() { ps.close() }()
	ds = append(ds, more...)
	if err != nil || ds.HasErrors() {
		return nil, plan, ds, err
	}
	if d := &plan.Data; d.Path == "" && d.Train == "" {
		d.Path = ps.defaultData()
	}
	req := corpus.Request{Plan: plan, Heads: ps.heads(), Check: true}
	if len(ps) > 0 {
		req.Domain = ps
	}
	c, more, err := corpus.Read(ctx, req)
	return c, plan, append(ds, more...), err
}

// Stats counts labels, lengths, scripts, padding and unknown words, as the
// plan's base model would see them; without a base model on this machine the
// lengths are characters.
func (in *Inspection) Stats(ctx context.Context) (*corpus.Corpus, *corpus.Stats, sdk.Diagnostics, error) {
	c, plan, ds, err := in.read(ctx)
	if err != nil || ds.HasErrors() {
		return nil, nil, ds, err
	}
	var tok *token.Tokenizer
	maxLength := plan.Data.MaxLength
	switch m, err := in.Store.Find(plan.Base); {
	case err != nil:
		ds.Warnf("model.unknown", "base model %q is not on this machine: lengths are counted in characters", plan.Base)
	default:
		if tok, err = token.Load(m.Dir); err != nil {
			return nil, nil, ds, err
		}
		if cfg, more := hf.ReadConfig(m.Dir); maxLength == 0 && !more.HasErrors() {
			maxLength = max(shortest, min(cfg.MaxPositions-plan.VirtualTokens(), 256))
		}
	}
	s, err := c.Stats(ctx, plan, tok, maxLength)
	return c, s, ds, err
}
