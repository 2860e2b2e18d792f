//go:build torch

package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

var _ recipe.Merger = Engine{}

// mergeLimit is how far the raw scores may move when an adapter becomes part of the
// weights, relative to the largest.
const mergeLimit = 1e-4

// Merge adds an adapter to its base, or takes it out again.
func (Engine) Merge(_ context.Context, job *recipe.MergeJob) (*recipe.Merged, error) {
	out := &recipe.Merged{}
	var err error
	failed := torch.Do(func() {
		scope := torch.Open()
		defer scope.Close()
		torch.NoGrad(func() {
			if err = os.MkdirAll(job.Out, 0o755); err != nil {
				return
			}
			if job.Reverse {
				err = unmerge(job, out)
			} else {
				err = merge(job, out)
			}
		})
	})
	return out, errors.Join(failed, err)
}

// load reads a model with what the job injects into it.
func load(job *recipe.MergeJob, dir string, heads []sdk.HeadSpec, base string) (*model.Model, error) {
	opt := model.Options{Device: torch.CPU, Trained: len(heads) > 0, Base: base, Injection: job.Injection}
	if job.Plan != nil {
		opt.Knowledge = &job.Plan.Knowledge
	}
	m, diags := model.Load(dir, heads, opt)
	if err := diags.Err(); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	return m, nil
}

func merge(job *recipe.MergeJob, out *recipe.Merged) error {
	m, err := load(job, job.Model, job.Heads, job.Base)
	if err != nil {
		return err
	}
	defer m.Close()
	rows := probes(m, job.Injection)
	was, err := probe(m, rows)
	if err != nil {
		return err
	}
	if err := m.Merge(); err != nil {
		return err
	}
	if err := m.Save(job.Out, job.Primary); err != nil {
		return err
	}
	again, err := load(job, job.Out, job.Heads, "")
	if err != nil {
		return err
	}
	defer again.Close()
	is, err := probe(again, rows)
	if err != nil {
		return err
	}
	for k := range was {
		scale, worst := 1.0, 0.0
		for i := range was[k] {
			worst = max(worst, math.Abs(float64(was[k][i])-float64(is[k][i])))
			scale = max(scale, math.Abs(float64(was[k][i])))
		}
		if out.Scores = max(out.Scores, worst); !(worst <= mergeLimit*scale) {
			what := "hidden states"
			if k < len(job.Heads) {
				what = "scores of head " + job.Heads[k].Name
			}
			return fmt.Errorf("merge: the merged model's %s differ by %g", what, worst)
		}
	}
	return nil
}

// unmerge writes the base, and the difference to the base that it should be.
func unmerge(job *recipe.MergeJob, out *recipe.Merged) error {
	m, err := load(job, job.Model, nil, job.Base)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Unmerge(); err != nil {
		return err
	}
	if job.Compare != "" {
		base, err := load(job, job.Compare, nil, "")
		if err != nil {
			return err
		}
		defer base.Close()
		worst := 0.0
		byName := map[string]*torch.Tensor{}
		for _, p := range base.Params() {
			byName[p.Name] = p.Value
		}
		for _, p := range m.Params() {
			b := byName[p.Name]
			if b == nil {
				continue
			}
			worst = max(worst, p.Value.Sub(b).Abs().MaxAll().Item())
		}
		out.Weights = &worst
	}
	return m.Save(job.Out, "")
}

// probes are a few rows of ids that depend on nothing but the size of the
// vocabulary. They hold what heads read of a text besides: words of one id each, and
// what an injection adds, vectors included.
func probes(m *model.Model, injection *recipe.Injection) (rows []*recipe.Encoded) {
	for i := range 6 {
		r := &recipe.Encoded{ID: fmt.Sprint(i), Key: uint64(i)}
		for j := range min(4+3*i, m.Positions()) {
			r.IDs = append(r.IDs, int32((7919*(i+1)*(j+3)+104729*j)%m.Config.VocabSize))
			r.Starts = append(r.Starts, int32(j))
		}
		if injection != nil {
			r.Inject = injected(i, len(r.IDs), injection)
		}
		rows = append(rows, r)
	}
	return rows
}

// injected is some knowledge of a row of n ids.
func injected(i, n int, injection *recipe.Injection) *recipe.Injected {
	out := &recipe.Injected{}
	for j := range n {
		if injection.Marks > 0 {
			out.Marks = append(out.Marks, int32((i+j)%(injection.Marks+1)))
		}
		for k := range injection.Slots {
			out.Features = append(out.Features, int32((i+j*(k+1))%(injection.Features+1)))
		}
	}
	if injection.Dim > 0 && n > 2 {
		out.Mentions = []recipe.LinkedPieces{{From: 1, To: 3, Entity: int32(i)}}
	}
	return out
}

// probe gives what a merge must not change: the raw scores of each head and, behind
// them, the hidden states after the last layer, which all heads read.
func probe(m *model.Model, rows []*recipe.Encoded) ([][]float32, error) {
	out := make([][]float32, len(m.Heads)+1)
	for _, r := range rows {
		in, err := m.Input([]*recipe.Encoded{r}, 0)
		if err != nil {
			return nil, err
		}
		for h := range m.Heads {
			out[h] = append(out[h], m.Logits(in, h).Float32s()...)
		}
		states := &model.States{}
		m.Forward(in, &model.Pass{States: states})
		out[len(m.Heads)] = append(out[len(m.Heads)], states.Layers[len(states.Layers)-1].Float32s()...)
	}
	return out, nil
}
