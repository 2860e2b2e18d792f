package core

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/modelstore"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Evaluation scores a model on labelled data.
type Evaluation struct {
	Store                *modelstore.Store // where bases of adapters are looked for; nil = nowhere
	Model, Data, Compare string
	By                   string // field of the data whose groups are compared
	Split                string // "" = test, else valid, else train
	Precision, Device    string
	Threads              int
	Sets                 []string // data keys, as data.text=body

	Home    string
	Catalog *catalog.Catalog
	Engine  recipe.Engine
	Log     hclog.Logger
	Watch   Watcher
}

// EvaluationResult is what Run found.
type EvaluationResult struct {
	Model   string                      `json:"model"`
	Data    string                      `json:"data"`
	Split   string                      `json:"split"`
	Heads   map[string]*metric.Report   `json:"heads"`
	Groups  map[string][]*metric.Groups `json:"groups,omitempty"`
	Compare string                      `json:"compare,omitempty"`
	Other   map[string]*metric.Report   `json:"other,omitempty"` // scores of the second model
	// Differences are by head: the second model is A, the first is B.
	Differences map[string][]*metric.Difference `json:"differences,omitempty"`
}

// Run reads the data, predicts and scores.
func (e *Evaluation) Run(ctx context.Context) (_ *EvaluationResult, err error) {
	// Who pressed Ctrl-C after the last row wants no table either.
	defer func() {
		if err == nil {
			err = ctx.Err()
		}
	}()
	b, ds, err := OpenBundle(e.Model, e.Store)
	if err != nil {
		return nil, err
	}
	e.Watch.Problems(ds)
	plan, err := b.dataPlan(e.Data, e.Sets)
	if err != nil {
		return nil, err
	}
	b.Plan.Generate, b.Plan.Seed = plan.Generate, plan.Seed
	c, err := e.read(ctx, b, plan, true)
	if err != nil {
		return nil, err
	}
	split, err := pickSplit(c, e.Split)
	if err != nil {
		return nil, err
	}
	rows, reports, err := e.score(ctx, b, c, split)
	if err != nil {
		return nil, err
	}
	res := &EvaluationResult{Model: e.Model, Data: e.Data, Split: split, Heads: reports}
	if e.By == "" && plan.Eval.By != "" {
		if ds := lacksField(c.Split(split), plan.Eval.By); len(ds) > 0 {
			ds[0].Severity = sdk.Warning // asked for by the model's plan, for other data
			e.Watch.Problems(ds)
		} else {
			e.By = plan.Eval.By
		}
	}
	if e.By != "" {
		if res.Groups, err = groups(b.Heads, rows, c.Split(split), reports, e.By, b.Plan.Seed); err != nil {
			return nil, err
		}
	}
	if e.Compare == "" {
		return res, nil
	}
	other, ds, err := OpenBundle(e.Compare, e.Store)
	if err != nil {
		return nil, err
	}
	e.Watch.Problems(ds)
	if err := comparable(b, other); err != nil {
		return nil, err
	}
	other.Plan.Generate, other.Plan.Seed = plan.Generate, plan.Seed
	_, res.Other, err = e.score(ctx, other, c, split)
	if err != nil {
		return nil, err
	}
	res.Compare, res.Differences = e.Compare, map[string][]*metric.Difference{}
	for name, r := range reports {
		o := res.Other[name]
		if o == nil {
			continue
		}
		for _, score := range scoresOf(r) {
			d, err := metric.PairedBootstrap(o, r, score, b.Plan.Seed)
			if err != nil {
				return nil, fmt.Errorf("compare %s: %w", name, err)
			}
			res.Differences[name] = append(res.Differences[name], d)
		}
	}
	return res, nil
}

// dataPlan is the plan that the model was trained with, with other data.
func (b *Bundle) dataPlan(data string, sets []string) (*recipe.Plan, error) {
	items := []string{"data.path=" + data, "data.train=", "data.valid=", "data.test="}
	src := recipe.Sources{File: &recipe.File{Name: "plan.yaml of " + b.Dir, Data: b.Plan.YAML()}, Sets: append(items, sets...)}
	plan, ds := recipe.Resolve(src)
	if err := ds.Err(); err != nil {
		return nil, err
	}
	plan.Data.MaxLength = b.maxLength()
	return plan, nil
}

// read gets the data, a single file whole or split; a plugin is launched only
// when the data are not files.
func (e *Evaluation) read(ctx context.Context, b *Bundle, plan *recipe.Plan, whole bool) (*corpus.Corpus, error) {
	req := corpus.Request{Plan: plan, Heads: b.Heads, Whole: whole, Closed: true}
	needs := len(plan.Domain.Names) > 0 && (!exists(plan.Data.Path) || !slices.Contains(append(corpus.Formats(), "", "auto"), plan.Data.Format))
	if needs {
		ps, ds, err := launchAll(ctx, e.Catalog, plan, e.Home, e.Log)
		if err != nil {
			return nil, err
		}
		defer ps.close()
		if err := ds.Err(); err != nil {
			return nil, err
		}
		req.Domain = ps
	}
	c, ds, err := corpus.Read(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := ds.Err(); err != nil {
		return nil, err
	}
	e.Watch.Problems(ds)
	c.Train, c.Valid, c.Test = b.windows(c.Train), b.windows(c.Valid), b.windows(c.Test)
	return c, nil
}

// windows cuts passages that are too long for the model.
func (b *Bundle) windows(examples []sdk.Example) []sdk.Example {
	out, _ := corpus.Windows(examples, b.Heads, b.Tokenizer, b.maxLength(), b.Plan.Data.Stride)
	return out
}

func pickSplit(c *corpus.Corpus, want string) (string, error) {
	order := []string{"test", "valid", "train"}
	if want != "" {
		order = []string{want}
	}
	for _, s := range order {
		if len(c.Split(s)) > 0 {
			return s, nil
		}
	}
	return "", sdk.Diagnostics{{Severity: sdk.Error, Code: "data.empty", Summary: fmt.Sprintf("the data hold no examples to score (looked for: %v)", order), Remedy: "name a file with --data, or another --split"}}.Err()
}

// score predicts one split with one model.
func (e *Evaluation) score(ctx context.Context, b *Bundle, c *corpus.Corpus, split string) (recipe.Source, map[string]*metric.Report, error) {
	generation, err := b.generation()
	if err != nil {
		return nil, nil, err
	}
	rows, err := encodeRows(ctx, b, c.Split(split))
	if err != nil {
		return nil, nil, err
	}
	preds, err := e.Engine.Predict(ctx, &recipe.PredictJob{Model: b.Dir, Base: b.Base, Heads: b.Heads, Rows: rows, Plan: b.Plan, Injection: b.knowledge.injection(), Precision: e.Precision, Device: e.Device, Threads: e.Threads, Generate: generation,
		Observe: func(ev recipe.Event) { e.Watch.Event(ev, nil) }})
	if err != nil {
		return nil, nil, err
	}
	reports := Score(b.Heads, rows, preds, baseName(e.Data), split)
	return rows, reports, b.scoreTexts(reports, c.Split(split), preds)
}

// groups scores the groups of a field, head by head.
func groups(heads []sdk.HeadSpec, rows recipe.Source, examples []sdk.Example, reports map[string]*metric.Report, field string, seed uint64) (map[string][]*metric.Groups, error) {
	if err := lacksField(examples, field).Err(); err != nil {
		return nil, err
	}
	out := map[string][]*metric.Groups{}
	for h, spec := range heads {
		r := reports[spec.Name]
		if r == nil {
			continue
		}
		var names []string
		found := false
		asked := map[string]bool{}
		for i := range examples {
			row := rows.At(i)
			if !row.Targets[h].Has {
				continue
			}
			if p := row.Passage; p != nil && spec.Kind == sdk.KindQA { // windows of one question count once
				if asked[p.Of] {
					continue
				}
				asked[p.Of] = true
			}
			v, ok := examples[i].Meta[field]
			found = found || ok
			names = append(names, v)
		}
		if !found {
			continue
		}
		score := r.Primary()
		if r.Text != nil {
			score = "chrf" // of what was written, not of the references' pieces
		}
		g, err := metric.ByGroup(r, names, score, seed)
		if err != nil {
			return nil, fmt.Errorf("score groups of %s: %w", field, err)
		}
		g.Field = field
		out[spec.Name] = append(out[spec.Name], g)
	}
	return out, nil
}

// lacksField is the problem of examples none of which has the field, nil if one has.
func lacksField(examples []sdk.Example, field string) sdk.Diagnostics {
	known := map[string]bool{}
	for i := range examples {
		for k := range examples[i].Meta {
			known[k] = true
		}
	}
	if known[field] {
		return nil
	}
	return sdk.Diagnostics{{Severity: sdk.Error, Code: "data.field", Summary: fmt.Sprintf("no example has the field %q", field), Remedy: fmt.Sprintf("fields of the data: %v", slices.Sorted(maps.Keys(known)))}}
}

// comparable checks that two models answer the same questions.
func comparable(a, b *Bundle) error {
	var ds sdk.Diagnostics
	shared := 0
	for _, h := range a.Heads {
		i := slices.IndexFunc(b.Heads, func(o sdk.HeadSpec) bool { return o.Name == h.Name })
		if i < 0 {
			continue
		}
		shared++
		if !slices.Equal(slices.Sorted(slices.Values(recipe.Outputs(h))), slices.Sorted(slices.Values(recipe.Outputs(b.Heads[i])))) {
			ds.Errorf("model.labels", "head %s has other labels in %s (%v) than in %s (%v)", h.Name, b.Dir, recipe.Outputs(b.Heads[i]), a.Dir, recipe.Outputs(h))
		}
	}
	if shared == 0 {
		ds.Errorf("model.heads", "%s and %s share no head", a.Dir, b.Dir)
	}
	return ds.Err()
}
