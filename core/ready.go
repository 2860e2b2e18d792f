package core

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Ready says what would stop the run of a plan before its first step, as far as that is
// known without reading the data: a metric that there is not, data or a model that are
// not there, a model that cannot go on learning. Call it after Plan.
func (r *Run) Ready(ctx context.Context, plan *recipe.Plan) error {
	if err := checkMetric(plan, nil).Err(); err != nil {
		return err
	}
	if err := r.findData(plan); err != nil {
		return err
	}
	switch plan.Objective {
	case recipe.ObjectiveContinue:
		m, err := r.model(ctx, plan.Base)
		if err != nil || peft.Is(m.Dir) { // which the run merges first
			return err
		}
		_, _, err = r.finished(ctx, plan.Base)
		return err
	case recipe.ObjectiveDistill:
		return lacksTeacher(plan).Err()
	}
	return nil
}

// findData says whether the data of a plan are there.
func (r *Run) findData(plan *recipe.Plan) error {
	d := &plan.Data
	if plan.Objective == recipe.ObjectivePretrain && !plan.Pretrain.Task {
		path := d.Path
		if d.Train != "" {
			path = d.Train
		}
		if err := checkPretrain(plan, path).Err(); err != nil {
			return err
		}
		_, err := corpus.TextFiles([]string{path})
		return err
	}
	if d.Path == "" && d.Train == "" {
		return noData().Err()
	}
	request := corpus.Request{Plan: plan}
	if len(r.plugins) > 0 {
		request.Domain = r.plugins
	}
	ds, err := corpus.Find(request)
	if err != nil {
		return err
	}
	return ds.Err()
}

func noData() sdk.Diagnostics {
	return sdk.Diagnostics{{Severity: sdk.Error, Code: "data.path", Summary: "there are no data to train on", Remedy: "name a folder, a file or a dataset with --data, or a domain with --domain"}}
}

// checkMetric refuses a train.metric by which no validation could be scored. heads are
// nil before they are known.
func checkMetric(plan *recipe.Plan, heads []sdk.HeadSpec) sdk.Diagnostics {
	head, score := metric.SplitName(plan.Train.Metric)
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "train.metric", Path: "train.metric"}
	if origin := plan.Origin["train.metric"]; strings.Contains(origin, ":") {
		d.File = origin
	}
	offer := func(word string, known []string, more string) {
		d.Remedy = "one of: " + strings.Join(known, ", ") + more
		if near := sdk.Nearest(word, known); near != "" {
			d.Remedy = fmt.Sprintf("did you mean %q? (%s)", near, d.Remedy)
		}
	}
	known := append(metric.Names(), "auto")
	names := map[string]bool{}
	for _, h := range heads {
		names[h.Name] = true
	}
	switch {
	case score != "" && !slices.Contains(known, score):
		d.Summary = fmt.Sprintf("there is no metric %q", score)
		offer(score, known, "; of one head as HEAD/METRIC")
	case head != "" && len(heads) > 0 && !names[head]:
		d.Summary = fmt.Sprintf("train.metric is %s, and there is no head %q", plan.Train.Metric, head)
		offer(head, slices.Sorted(maps.Keys(names)), "")
	default:
		return nil
	}
	return sdk.Diagnostics{d}
}
