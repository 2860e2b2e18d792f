//go:build torch

package model

import "github.com/islm-dev/islm/core/torch"

// linear is y = x Wᵀ + b with W [out, in]; b may be nil.
type linear struct{ weight, bias *Param }

func (l linear) apply(x *torch.Tensor) *torch.Tensor {
	if l.bias == nil {
		return torch.Linear(x, l.weight.Value, nil)
	}
	return torch.Linear(x, l.weight.Value, l.bias.Value)
}

type layerNorm struct {
	weight, bias *Param
	eps          float64
}

func (l layerNorm) apply(x *torch.Tensor) *torch.Tensor {
	return torch.LayerNorm(x, l.weight.Value, l.bias.Value, l.eps)
}

// addNorm is LayerNorm(residual + dropout(x)): as the next residual, and in
// bfloat16 where x is, for the next products.
func (l layerNorm) addNorm(x, residual *torch.Tensor, p float64, mask torch.Mask) (y, narrow *torch.Tensor) {
	if a := l.weight.normAdapter; a != nil {
		return a.addNorm(l, x, residual, p, mask)
	}
	return torch.AddNormPair(x, residual, l.weight.Value, l.bias.Value, l.eps, p, mask)
}
