//go:build torch

package train

import (
	"context"
	"errors"
	"fmt"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

var _ recipe.Explainer = Engine{}

// Explain shares the scores of answers out among the ids of their rows, in fp32.
func (Engine) Explain(ctx context.Context, job *recipe.ExplainJob) (_ []recipe.Attribution, err error) {
	device, _, err := resolve(job.Device, "fp32")
	if err != nil {
		return nil, err
	}
	if err := setThreads(job.Threads); err != nil {
		return nil, err
	}
	opt := model.Options{Device: device, Trained: true, Injection: job.Injection, Base: job.Base}
	if job.Plan != nil {
		opt.Knowledge = &job.Plan.Knowledge
	}
	var m *model.Model
	var diags sdk.Diagnostics
	err = torch.Do(func() { m, diags = model.Load(job.Model, job.Heads, opt) })
	if err = errors.Join(err, diags.Err()); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	defer func() { err = errors.Join(err, torch.Do(m.Close)) }()
	out := make([]recipe.Attribution, 0, len(job.Aims))
	for i, aim := range job.Aims {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row := job.Rows.At(aim.Row)
		var a *recipe.Attribution
		failed := torch.Do(func() { a, err = m.Attribute(row, aim, job.Mask, job.Special) })
		if err = errors.Join(failed, err); err != nil {
			return nil, fmt.Errorf("explain: %w", err)
		}
		out = append(out, *a)
		if job.Observe != nil {
			job.Observe(recipe.Event{Kind: recipe.EventPredict, Step: i + 1, Steps: len(job.Aims)})
		}
	}
	return out, nil
}
