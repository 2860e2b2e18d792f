//go:build torch

package torch

import (
	"github.com/islm-dev/islm/core/torch/internal/shim"
	"github.com/sugarme/gotch/libtch"
)

// RequiresGrad says whether gradients are wanted for the leaf t, and returns t.
func (t *Tensor) RequiresGrad(on bool) *Tensor {
	if e := shim.SetRequiresGrad(t.h("requires_grad_"), on); e != "" {
		fail("requires_grad_", e, t)
	}
	return t
}

// NeedsGrad says whether libtorch records operations on t.
func (t *Tensor) NeedsGrad() bool { return t.info("requires_grad").RequiresGrad }

// Backward adds the gradients of the scalar t to its leaves.
func (t *Tensor) Backward() {
	if e := shim.Backward(t.h("backward"), nil); e != "" {
		fail("backward", e, t)
	}
}

// BackwardFrom is Backward for a tensor of any shape, with the gradient g of it.
func (t *Tensor) BackwardFrom(g *Tensor) {
	if e := shim.Backward(t.h("backward"), g.h("backward")); e != "" {
		fail("backward", e, t, g)
	}
}

// Grad is the gradient of a leaf, or nil when there is none.
func (t *Tensor) Grad() *Tensor {
	var c shim.Handle
	if e := shim.Grad(t.h("grad"), &c); e != "" {
		fail("grad", e, t)
	}
	if c == nil {
		return nil
	}
	return wrap("grad", c)
}

// SetGrad replaces the gradient of a leaf; nil removes it.
func (t *Tensor) SetGrad(g *Tensor) {
	if e := shim.SetGrad(t.h("set_grad"), g.o("set_grad")); e != "" {
		fail("set_grad", e, t, g)
	}
}

// Detach shares t's elements without its history.
func (t *Tensor) Detach() *Tensor { return unary("detach", libtch.AtgDetach, t) }

// NoGrad runs f without recording for autograd.
func NoGrad(f func()) {
	was := shim.GradEnabled()
	shim.SetGradEnabled(false)
	defer shim.SetGradEnabled(was)
	f()
}

// EnableGrad runs f with recording, also inside NoGrad.
func EnableGrad(f func()) {
	was := shim.GradEnabled()
	shim.SetGradEnabled(true)
	defer shim.SetGradEnabled(was)
	f()
}

// Autocast runs f with automatic casts to bfloat16 on the device's kind when on
// is set, and without them when not. The casts of parameters are cached within
// f and forgotten when the outermost Autocast ends.
func Autocast(device Device, on bool, f func()) {
	wasOn, wasType, e := shim.AutocastSet(int(device), on, int(BFloat16))
	if e != "" {
		fail("autocast", e)
	}
	defer func() {
		if !wasOn {
			shim.AutocastClear()
		}
		if _, _, e := shim.AutocastSet(int(device), wasOn, wasType); e != "" {
			fail("autocast", e)
		}
	}()
	f()
}

// ClipGradNorm scales the gradients of params so that their joint 2-norm is at
// most limit, as torch.nn.utils.clip_grad_norm_ does, and returns the norm before.
func ClipGradNorm(params []*Tensor, limit float64) float64 {
	n, e := shim.ClipGradNorm(shimHandles("clip_grad_norm", params), limit)
	if e != "" {
		fail("clip_grad_norm", e, params...)
	}
	return n
}

// GradNorm is the joint 2-norm of the gradients of params.
func GradNorm(params []*Tensor) float64 {
	n, e := shim.GradNorm(shimHandles("grad_norm", params))
	if e != "" {
		fail("grad_norm", e, params...)
	}
	return n
}

// ZeroGrad removes the gradients of params.
func ZeroGrad(params []*Tensor) {
	if e := shim.ClearGrads(shimHandles("zero_grad", params)); e != "" {
		fail("zero_grad", e, params...)
	}
}

func shimHandles(op string, ts []*Tensor) []shim.Handle {
	out := make([]shim.Handle, len(ts))
	for i, t := range ts {
		out[i] = t.h(op)
	}
	return out
}
