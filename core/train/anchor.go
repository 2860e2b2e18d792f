//go:build torch

package train

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// anchor is elastic weight consolidation: strength/2 · Σ F (θ - θ*)², where θ* are
// the weights of the model that goes on learning and F is the diagonal of the
// Fisher information of its old examples, with the labels that they have
// (Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural
// networks", eq. 3). Weights of new labels are free.
type anchor struct {
	strength float64
	held     []held
}

type held struct {
	param *model.Param
	at    *torch.Tensor // θ*
	by    *torch.Tensor // F
}

// newAnchor makes the anchor of a continued model; nil where the plan wants none.
// The weights must still be those of the base.
func (t *trainer) newAnchor() (*anchor, error) {
	past := t.job.Past
	if past == nil || past.Rows == nil || t.job.Plan.Continue.EWC == 0 {
		return nil, nil
	}
	t.observe(recipe.Event{Kind: recipe.EventNotice, Text: fmt.Sprintf("Fisher information of %d old examples", past.Rows.Len())})
	var old *model.Model
	var diags sdk.Diagnostics
	failed := torch.Do(func() {
		old, diags = model.Load(t.job.Base, past.Heads, model.Options{Device: t.device, Trained: true})
	})
	if err := errors.Join(failed, diags.Err()); err != nil {
		return nil, fmt.Errorf("load the model that goes on learning: %w", err)
	}
	fisher, err := fisherDiagonal(old, past.Rows)
	a := &anchor{strength: t.job.Plan.Continue.EWC}
	failed = torch.Do(func() {
		defer old.Close()
		if err != nil {
			return
		}
		scope := torch.Open()
		defer scope.Close()
		for _, p := range t.model.Params() {
			f := fisher[p.Name]
			if f == nil {
				continue // new: an adapter's, or a label's alone
			}
			h := held{param: p, at: p.Value.Detach().Clone(), by: f}
			if shape := p.Value.Shape(); slices.Equal(shape, f.Shape()) {
				delete(fisher, p.Name) // it is the anchor's now
			} else {
				h.by = scope.Keep(widen(f, shape))
			}
			scope.Keep(h.at)
			a.held = append(a.held, h)
		}
		for _, f := range fisher {
			f.Free()
		}
	})
	if err := errors.Join(failed, err); err != nil {
		return nil, fmt.Errorf("Fisher information: %w", err)
	}
	return a, nil
}

// widen puts f in the corner of zeros: outputs of new labels come last.
func widen(f *torch.Tensor, shape []int64) *torch.Tensor {
	out := torch.Zeros(torch.Float32, f.Device(), shape...)
	part := out
	for dim, n := range f.Shape() {
		part = part.Narrow(dim, 0, n)
	}
	torch.NoGrad(func() { part.CopyFrom(f) })
	return out
}

// fisherDiagonal is the mean over rows of the squared gradient of the
// log-likelihood of their labels, by the names of weights. The tensors belong to no
// scope.
func fisherDiagonal(m *model.Model, rows recipe.Source) (map[string]*torch.Tensor, error) {
	sums := map[string]*torch.Tensor{}
	norms := make([]float64, len(m.Heads))
	for i := range norms {
		norms[i] = 1
	}
	var params []*torch.Tensor
	failed := torch.Do(func() {
		for _, p := range m.Params() {
			p.Value.RequiresGrad(true)
			params = append(params, p.Value)
		}
	})
	if failed != nil {
		return nil, failed
	}
	n := 0
	ctx := context.Background()
	for b, err := range rows.Batches(ctx, 1) {
		if err != nil {
			return nil, err
		}
		failed := torch.Do(func() {
			scope := torch.Open()
			defer scope.Close()
			defer torch.ZeroGrad(params)
			var in *model.Input
			if in, err = m.Input(b.Rows, b.Width); err != nil {
				return
			}
			var loss *torch.Tensor
			if loss, err = m.Loss(in, &model.Pass{}, norms); err != nil || loss == nil {
				return
			}
			n++
			loss.Backward()
			torch.NoGrad(func() {
				for _, p := range m.Params() {
					g := p.Value.Grad()
					if g == nil {
						continue
					}
					sum := g.Square()
					if was := sums[p.Name]; was != nil {
						sum = was.Add(sum)
						was.Free()
					}
					sums[p.Name] = scope.Keep(sum)
				}
			})
		})
		if err = errors.Join(failed, err); err != nil {
			return nil, err
		}
	}
	return sums, torch.Do(func() {
		for name, sum := range sums {
			scope := torch.Open()
			sums[name] = scope.Keep(sum.DivScalar(float64(max(n, 1))))
			sum.Free()
			scope.Close()
		}
	})
}

// loss is the anchor's loss at the weights of this moment; nil without an anchor.
func (a *anchor) loss() *torch.Tensor {
	if a == nil {
		return nil
	}
	var total *torch.Tensor
	for _, h := range a.held {
		if !h.param.Value.NeedsGrad() {
			continue
		}
		x := h.param.Value.Sub(h.at).Square().Mul(h.by).Sum()
		if total != nil {
			x = total.Add(x)
		}
		total = x
	}
	if total == nil {
		return nil
	}
	return total.MulScalar(a.strength / 2)
}

func (a *anchor) close() {
	if a == nil {
		return
	}
	for _, h := range a.held {
		h.at.Free()
		h.by.Free()
	}
	a.held = nil
}
