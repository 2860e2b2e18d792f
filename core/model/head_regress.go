//go:build torch

package model

import (
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// regress predicts a number: the linear layer's one value, in the unit of the
// labels, learned with the mean squared error (as transformers' problem_type
// "regression").
type regress struct{}

func (regress) check(spec sdk.HeadSpec, bad func(field, format string, args ...any)) {
	if spec.Loss != "" && spec.Loss != "mse" {
		bad("loss", "loss %q; a regression head has mse", spec.Loss)
	}
	if len(spec.Labels) > 0 {
		bad("labels", "a regression head has no labels: it gives a number")
	}
}

func (regress) logits(sdk.HeadSpec) int64                            { return 1 }
func (regress) pooled(sdk.HeadSpec) bool                             { return true }
func (regress) weights(sdk.HeadSpec, int64) []hf.Tensor              { return nil }
func (regress) weigh(*Head, *recipe.Encoded, *recipe.Target) float64 { return 1 }
func (regress) loss(h *Head, e *encoded, index int, norm float64, pass *Pass) (*torch.Tensor, error) {
	rows, targets := labelled(e.in, index)
	if len(rows) == 0 {
		return nil, nil
	}
	z := h.scores(e, rows, pass)
	pass.probe("heads."+h.Spec.Name, z)
	return squared(z, values32(targets), norm, e.m.device), nil
}

func (regress) predict(h *Head, e *encoded, _ int, pass *Pass) ([]recipe.Output, error) {
	out := make([]recipe.Output, len(e.in.Rows))
	for i, v := range h.scores(e, allRows(e.in), pass).ToDType(torch.Float32).Float32s() {
		out[i].Value = v
	}
	return out, nil
}

// squared is Σ (z-y)²/norm, z of shape [N, 1] or [N].
func squared(z *torch.Tensor, y []float32, norm float64, device torch.Device) *torch.Tensor {
	n := int64(len(y))
	return z.Reshape(n).Sub(torch.FromFloat32(y, n).ToDevice(device)).Square().Sum().MulScalar(1 / norm)
}

func values32(targets []*recipe.Target) []float32 {
	y := make([]float32, len(targets))
	for i, t := range targets {
		y[i] = t.Value
	}
	return y
}
