//go:build torch

package model

import "github.com/islm-dev/islm/core/torch"

// adapter changes what one linear map computes, without touching its weights.
// It hangs on the map's weight, so that each architecture has adapters wherever
// it applies a linear map to a batch.
type adapter interface {
	// apply is l(x) as the adapter changes it: x [B, T, in] to [B, T, out].
	apply(l linear, x *torch.Tensor, in *Input, pass *Pass) *torch.Tensor
}

// normAdapter changes what enters a LayerNorm that follows a residual sum.
type normAdapter interface {
	addNorm(l layerNorm, x, residual *torch.Tensor, p float64, mask torch.Mask) (y, narrow *torch.Tensor)
}

// on applies the map to a batch x [B, T, in], with its adapter if it has one.
// Encoders call it for every map of a layer.
func (l linear) on(x *torch.Tensor, in *Input, pass *Pass) *torch.Tensor {
	if a := l.weight.adapter; a != nil {
		return a.apply(l, x, in, pass)
	}
	return l.apply(x)
}
