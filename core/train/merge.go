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

func load(dir string, heads []sdk.HeadSpec, base string) (*model.Model, error) {
	m, diags := model.Load(dir, heads, model.Options{Device: torch.CPU, Trained: len(heads) > 0, Base: base})
	if err := diags.Err(); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	return m, nil
}

func merge(job *recipe.MergeJob, out *recipe.Merged) error {
	m, err := load(job.Model, job.Heads, job.Base)
	if err != nil {
		return err
	}
	defer m.Close()
	was, err := probe(m)
	if err != nil {
		return err
	}
	if err := m.Merge(); err != nil {
		return err
	}
	if err := m.Save(job.Out, job.Primary); err != nil {
		return err
	}
	again, err := load(job.Out, job.Heads, "")
	if err != nil {
		return err
	}
	defer again.Close()
	is, err := probe(again)
	if err != nil {
		return err
	}
	scale := 1.0
	for i := range was {
		out.Scores = max(out.Scores, math.Abs(float64(was[i])-float64(is[i])))
		scale = max(scale, math.Abs(float64(was[i])))
	}
	if !(out.Scores <= mergeLimit*scale) {
		return fmt.Errorf("merge: the merged model's scores differ by %g", out.Scores)
	}
	return nil
}

// unmerge writes the base, and the difference to the base that it should be.
func unmerge(job *recipe.MergeJob, out *recipe.Merged) error {
	m, err := load(job.Model, nil, job.Base)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Unmerge(); err != nil {
		return err
	}
	if job.Compare != "" {
		base, err := load(job.Compare, nil, "")
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

// probe gives the raw scores of all heads on a few rows of ids that depend on
// nothing but the size of the vocabulary.
func probe(m *model.Model) (out []float32, err error) {
	var rows []*recipe.Encoded
	for i := range 6 {
		r := &recipe.Encoded{ID: fmt.Sprint(i), Key: uint64(i)}
		for j := range 4 + 3*i {
			r.IDs = append(r.IDs, int32((7919*(i+1)*(j+3)+104729*j)%m.Config.VocabSize))
		}
		rows = append(rows, r)
	}
	for _, r := range rows {
		in, err := m.Input([]*recipe.Encoded{r}, 0)
		if err != nil {
			return nil, err
		}
		for h := range m.Heads {
			out = append(out, m.Logits(in, h).Float32s()...)
		}
	}
	return out, nil
}
