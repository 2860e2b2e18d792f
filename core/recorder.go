package core

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// recorder writes what an engine says to log.jsonl and TensorBoard, scores
// validations, and passes everything on to the watcher.
type recorder struct {
	folder Folder
	data   *data
	plan   *recipe.Plan
	watch  Watcher
	log    *report.Log
	tb     *report.Events
	valid  map[string]*metric.Report // of the last score
	err    error                     // first failure to write or score
}

func openRecorder(f Folder, d *data, plan *recipe.Plan, watch Watcher) (*recorder, error) {
	log, err := report.OpenLog(f.Own(LogFile))
	if err != nil {
		return nil, err
	}
	return &recorder{folder: f, data: d, plan: plan, watch: watch, log: log}, nil
}

func (w *recorder) close() {
	w.keep(w.log.Close())
	if w.tb != nil {
		w.keep(w.tb.Close())
	}
}

func (w *recorder) keep(err error) {
	if w.err == nil && err != nil {
		w.err = err
	}
}

// scoreName is the metric that best checkpoint and early stopping go by.
func (w *recorder) scoreName() string {
	if w.plan.Train.Metric == "" {
		return "auto"
	}
	return w.plan.Train.Metric
}

// score rates predictions on the validation rows: larger is better.
func (w *recorder) score(preds []recipe.Prediction) float64 {
	w.valid = Score(w.data.heads, w.data.valid, preds, w.data.name, "valid")
	v, err := metric.Select(w.valid, w.scoreName())
	if err != nil {
		w.keep(sdk.Diagnostics{{Severity: sdk.Error, Code: "train.metric", Path: "train.metric", Summary: "the validation cannot be scored: " + err.Error(), Remedy: "train.metric: auto, or a metric of the head's kind"}}.Err())
	}
	return v
}

func (w *recorder) observe(e recipe.Event) {
	if e.Kind == recipe.EventResume {
		w.rewind(e.Step)
	}
	if w.tb == nil && e.Kind != recipe.EventPredict && e.Kind != recipe.EventNotice {
		dir := w.folder.Own(TensorBoard)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			w.keep(fmt.Errorf("make the TensorBoard folder: %w", err))
		} else if w.tb, err = report.OpenEvents(dir, e.Step); err != nil {
			w.keep(err)
		}
	}
	entry := report.Entry{Kind: e.Kind, Step: e.Step, Epoch: e.Epoch, Best: e.Best, Text: e.Text, Values: map[string]float64{}}
	tb := map[string]float64{}
	switch e.Kind {
	case recipe.EventStep:
		entry.Values = map[string]float64{report.ValueLoss: e.Loss, report.ValueLR: e.LR, report.ValueGradNorm: e.GradNorm, report.ValueTokens: float64(e.Tokens), report.ValueSeconds: e.Elapsed.Seconds()}
		tb["train/loss"], tb["train/lr"], tb["train/grad_norm"] = e.Loss, e.LR, e.GradNorm
	case recipe.EventEpoch:
		entry.Values[report.ValueLoss] = e.Loss
		tb["train/epoch_loss"] = e.Loss
	case recipe.EventValid:
		entry.Values[report.ValueScore] = e.Score
		tb["valid/score"] = e.Score
		for _, head := range slices.Sorted(maps.Keys(w.valid)) {
			r := w.valid[head]
			for _, name := range []string{"accuracy", "macro_f1", "entity_f1", "loss"} {
				if v, ok := r.Value(name); ok {
					entry.Values[head+"."+name] = v
					tb["valid/"+head+"/"+name] = v
					if name == "loss" && len(w.valid) == 1 {
						entry.Values[report.ValueLoss] = v
					}
				}
			}
		}
	}
	if e.Kind != recipe.EventPredict {
		if e.Kind != recipe.EventStep || w.logged(e) {
			w.keep(w.log.Append(entry))
		}
		if w.tb != nil && len(tb) > 0 && (e.Kind != recipe.EventStep || w.logged(e)) {
			w.keep(w.tb.Scalars(e.Step, tb))
		}
	}
	var scores map[string]*metric.Report
	if e.Kind == recipe.EventValid {
		scores = w.valid
	}
	w.watch.Event(e, scores)
}

// logged keeps the log of a long run short.
func (w *recorder) logged(e recipe.Event) bool {
	every := max(w.plan.Train.LogEvery, 1)
	return e.Step%every == 0 || e.Step == 1 || e.Step == e.Steps
}

// rewind drops what a killed process had logged after its last checkpoint.
func (w *recorder) rewind(step int) {
	w.keep(w.log.Close())
	w.keep(report.TruncateLog(w.folder.Own(LogFile), step))
	log, err := report.OpenLog(w.folder.Own(LogFile))
	if err != nil {
		w.keep(err)
		return
	}
	w.log = log
}
