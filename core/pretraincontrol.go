package core

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// ArmUnrelated is the control of a pre-training: as much text of another kind.
const ArmUnrelated = "unrelated-corpus"

// PretrainControl is what the control of a pre-training found, all on the texts
// that the run held out.
type PretrainControl struct {
	Data    string                `json:"data"`    // of the control
	Rows    int                   `json:"rows"`    // that either run trained on
	Control int                   `json:"control"` // rows that the control had of its data
	Steps   int                   `json:"steps"`
	Before  *metric.LanguageModel `json:"before"`
	After   *metric.LanguageModel `json:"after"`
	Other   *metric.LanguageModel `json:"other"` // of the model that trained on the control's data
}

// RunControl trains the finished run's base anew on other text, for as many steps
// on as many rows, and holds both models against the texts that the run held out:
// what is gained by more training alone, and what by the domain's text. train makes
// a run in a process of its own; one that is begun goes on. The result goes into
// metrics.json.
func (r *Run) RunControl(ctx context.Context, path string, train func(ctx context.Context, recipeFile, out string) error) (*PretrainControl, error) {
	defer r.plugins.close()
	if r.data == nil { // the run had been finished before
		for _, do := range []func(context.Context) error{r.launch, r.findBase, r.prepareData} {
			if err := do(ctx); err != nil {
				return nil, err
			}
		}
		r.plugins.close()
	}
	m, err := metric.Load(r.folder.Own(MetricsFile))
	if err != nil {
		return nil, err
	}
	head := primary(r.plan, r.data.heads)
	if r.data.valid == nil || m.Heads[head] == nil || m.Before[head] == nil {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "data.valid", Summary: "no text is held out: the models cannot be compared", Remedy: "more text, or a larger second share in data.split"}}.Err()
	}
	c := &PretrainControl{Data: path, Rows: r.data.packed.Stats.TrainRows, Steps: m.Train.Steps, Before: m.Before[head].LanguageModel, After: m.Heads[head].LanguageModel}
	out := r.folder.Own("control")
	file := out + ".yaml"
	plan, ds := recipe.Parse("plan of the run", r.plan.YAML())
	if err := ds.Err(); err != nil {
		return nil, err
	}
	if plan.Data.Path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("find the control's text: %w", err)
	}
	plan.Data.Train, plan.Data.Valid, plan.Data.Test = "", "", ""
	plan.Data.Split = []float64{1, 0, 0}
	plan.Base, plan.Train.Steps, plan.Train.EvalEvery = r.data.base, c.Steps, -1
	plan.Pretrain.Rows, plan.Pretrain.Task, plan.Pretrain.Like, plan.Pretrain.Scratch = c.Rows, false, "", false
	if plan.Pretrain.Mask == "entity" { // of the domain's graph
		plan.Pretrain.Mask = "word"
	}
	plan.Domain.Names, plan.Train.Patience = nil, 0
	if err := writeWhole(file, plan.YAML()); err != nil {
		return nil, err
	}
	other, ds, err := openText(ctx, dataRequest{plan: plan, base: r.data.base, home: r.Home})
	if terr := ds.Err(); terr != nil {
		return nil, terr
	}
	if err != nil {
		return nil, err
	}
	if c.Control = other.packed.Stats.TrainRows; c.Control < c.Rows {
		r.Watch.Problems(sdk.Diagnostics{{Severity: sdk.Warning, Code: "controls.size", File: path, Summary: fmt.Sprintf("the control's text gives %d rows, the run's %d: it sees its rows more often", c.Control, c.Rows), Remedy: "name more text with --control"}})
	}
	r.Watch.Stage("control", path)
	if !exists(filepath.Join(out, "config.json")) {
		if err := train(ctx, file, out); err != nil {
			return nil, fmt.Errorf("train the control: %w", err)
		}
	}
	preds, err := r.Engine.Predict(ctx, &recipe.PredictJob{Model: out, Base: r.data.base, Heads: r.data.heads, Rows: r.data.valid, Plan: plan, Precision: plan.Train.Precision, Device: plan.Train.Device, Threads: plan.Train.Threads})
	if err != nil {
		return nil, err
	}
	heads := Score(r.data.heads, r.data.valid, preds, r.data.name, "valid")
	c.Other = heads[head].LanguageModel
	if m.Controls == nil {
		m.Controls = map[string]metric.Control{}
	}
	m.Controls[ArmUnrelated] = metric.Control{Summary: fmt.Sprintf("the same training on %d rows of %s, scored on the texts that the run held out", c.Control, path), Heads: heads}
	return c, m.Save(r.folder.Own(MetricsFile))
}
