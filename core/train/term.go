//go:build torch

package train

import (
	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
)

// term is a loss beside that of the labels: what teachers say. Its methods, but count and params, are called inside torch.Do.
type term interface {
	// params are weights of its own, trained and kept in checkpoints, no part of
	// the model.
	params() []*model.Param
	// labels is the weight of the labels' loss beside it.
	labels() float64
	// teaches reports whether it has a part in each step for a head of the model.
	teaches(head int) bool
	// record says which states of the model it reads; nil = none.
	record() *model.States
	// count sees the batches of a whole optimizer step before their losses are
	// computed, so that micro-batches add up to the step.
	count(micro []*recipe.Batch)
	// loss is the batch's share of the step's loss; nil = nothing.
	loss(b *recipe.Batch, in *model.Input, f *model.Forward, pass *model.Pass) (*torch.Tensor, error)
	close()
}

// newTerm makes the term of the job's objective.
func (t *trainer) newTerm() (term, error) {
	switch o := t.job.Plan.Objective; {
	case o == recipe.ObjectiveContinue && len(t.job.Teachers) > 0:
	case o != recipe.ObjectiveDistill:
		return nil, nil
	}
	d, err := newDistill(t.job, t.model, t.bf16, t.observe)
	if err != nil {
		return nil, err // not a term that holds a nil pointer
	}
	return d, nil
}

// params lists all weights that checkpoints hold: those that are ever trained.
// The others are the base's.
func (t *trainer) params() []*model.Param {
	out := t.trained[:len(t.trained):len(t.trained)]
	if t.term != nil {
		out = append(out, t.term.params()...)
	}
	return out
}

// loss is the loss of a micro-batch: labels and term.
func (t *trainer) loss(b *recipe.Batch, in *model.Input, pass *model.Pass, norms []float64) (*torch.Tensor, error) {
	if t.term == nil {
		return t.model.Loss(in, pass, norms)
	}
	own := *pass
	own.States = t.term.record()
	f := t.model.Forward(in, &own)
	var total *torch.Tensor
	if w := t.term.labels(); w > 0 {
		loss, err := f.Loss(norms)
		if err != nil {
			return nil, err
		}
		if loss != nil {
			total = loss.MulScalar(w)
		}
	}
	more, err := t.term.loss(b, in, f, &own)
	switch {
	case err != nil:
		return nil, err
	case more == nil:
		return total, nil
	case total == nil:
		return more, nil
	}
	return total.Add(more), nil
}
