//go:build torch

package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// Engine trains and predicts on libtorch. Its zero value is ready.
type Engine struct{}

var _ recipe.Engine = Engine{}

// Train runs a job: it loads the base, builds the heads, trains, restores the
// best state and writes the model to job.ExportDir. A cancelled context ends it
// after the step at hand with a checkpoint and the context's error; with
// job.Resume the next call goes on from there.
func (Engine) Train(ctx context.Context, job *recipe.Job) (*recipe.Outcome, error) {
	return newTrainer(job).train(ctx)
}

// Predict gives what the heads of a model folder say about each row, in the
// order of the source.
func (Engine) Predict(ctx context.Context, job *recipe.PredictJob) (_ []recipe.Prediction, err error) {
	device, bf16, err := resolve(job.Device, job.Precision)
	if err != nil {
		return nil, err
	}
	if err := setThreads(job.Threads); err != nil {
		return nil, err
	}
	var m *model.Model
	var diags sdk.Diagnostics
	opt := model.Options{Device: device, Trained: true, Injection: job.Injection, Base: job.Base}
	if job.Plan != nil {
		opt.Knowledge = &job.Plan.Knowledge
	}
	err = torch.Do(func() { m, diags = model.Load(job.Model, job.Heads, opt) })
	if err = errors.Join(err, diags.Err()); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	defer func() { err = errors.Join(err, torch.Do(m.Close)) }()
	size := job.BatchSize
	if size == 0 && job.Plan != nil {
		size = job.Plan.Eval.BatchSize
	}
	return predict(ctx, m, job.Rows, size, bf16, job.Generate, func(done, all int) {
		if job.Observe != nil {
			job.Observe(recipe.Event{Kind: recipe.EventPredict, Step: done, Steps: all})
		}
	})
}

// resolve turns device and precision of a plan into what there is: auto
// precision is bf16 where the hardware is faster with it, fp32 elsewhere.
func resolve(device, precision string) (d torch.Device, bf16 bool, err error) {
	failed := torch.Do(func() { d, err = torch.ParseDevice(orAuto(device)) })
	if err = errors.Join(failed, err); err != nil {
		return d, false, err
	}
	switch orAuto(precision) {
	case "fp32":
	case "bf16":
		bf16 = true
	case "auto":
		bf16 = torch.FasterBF16(d)
	default:
		return d, false, fmt.Errorf("train.precision: unknown precision %q (auto, fp32, bf16)", precision)
	}
	return d, bf16, nil
}

func orAuto(s string) string {
	if s == "" {
		return "auto"
	}
	return s
}

// precisionName is the resolved train.precision.
func precisionName(bf16 bool) string {
	if bf16 {
		return "bf16"
	}
	return "fp32"
}

// setThreads sets libtorch's threads; 0 is all cores.
func setThreads(n int) error {
	if n <= 0 {
		n = runtime.NumCPU()
	}
	return torch.Do(func() { torch.SetNumThreads(n) })
}

// export writes the finished model: config.json and model.safetensors for the
// primary head, islm/heads.yaml and islm/heads.safetensors for the rest.
func export(m *model.Model, dir, primary string) error {
	if err := os.MkdirAll(filepath.Join(dir, "islm"), 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	var err error
	failed := torch.Do(func() { err = m.Save(dir, primary) })
	return errors.Join(failed, err)
}
