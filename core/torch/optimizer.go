//go:build torch

package torch

import (
	"fmt"

	"github.com/islm-dev/islm/core/torch/internal/shim"
)

// AdamWConfig is Adam with decoupled weight decay (Loshchilov, Hutter 2019).
// Zero fields take PyTorch's defaults: betas 0.9 and 0.999, eps 1e-8.
type AdamWConfig struct{ Beta1, Beta2, Eps float64 }

// AdamConfig is Adam (Kingma, Ba 2015); weight decay is added to the gradient.
// Zero fields take PyTorch's defaults.
type AdamConfig struct{ Beta1, Beta2, Eps float64 }

// SGDConfig is stochastic gradient descent; without momentum a step is
// θ - η(∇L + λθ). Dampening is 0.
type SGDConfig struct {
	Momentum float64
	Nesterov bool
}

// Method is one of AdamWConfig, AdamConfig, SGDConfig.
type Method interface{ method() rule }

// Group is a set of parameters with its own settings. LR scales the rate given
// to Step; zero means 1. Names name the parameters in State; they must be
// unique over all groups.
type Group struct {
	Params      []*Tensor
	Names       []string
	LR          float64
	WeightDecay float64
}

// Optimizer updates parameters in place from their gradients. Its state lies in
// tensors that belong to no scope: Free ends them.
type Optimizer struct {
	rule   rule
	groups []Group
	slots  map[*Tensor]*slot
}

type rule struct {
	kind                string
	beta1, beta2, eps   float64
	momentum            float64
	nesterov, decoupled bool
}

// slot is what an optimizer remembers of one parameter.
type slot struct{ avg, sq, step, momentum *Tensor }

// NewOptimizer prepares an optimizer; state is made at a parameter's first step.
func NewOptimizer(m Method, groups []Group) *Optimizer {
	o := &Optimizer{rule: m.method(), slots: map[*Tensor]*slot{}}
	seen := map[string]bool{}
	for i, g := range groups {
		if len(g.Names) != len(g.Params) {
			fail("optimizer", fmt.Sprintf("group %d has %d names for %d parameters", i, len(g.Names), len(g.Params)))
		}
		for _, n := range g.Names {
			if seen[n] {
				fail("optimizer", fmt.Sprintf("parameter %q is given twice", n))
			}
			seen[n] = true
		}
		if g.LR == 0 {
			g.LR = 1
		}
		o.groups = append(o.groups, g)
	}
	return o
}

// Step updates every parameter that has a gradient, at learning rate lr times
// its group's factor.
func (o *Optimizer) Step(lr float64) {
	for _, g := range o.groups {
		var params, m, v, steps, bufs []shim.Handle
		var first []byte
		for _, p := range g.Params {
			if !p.hasGrad() {
				continue
			}
			s, isNew := o.slot(p)
			params = append(params, p.c)
			if o.rule.kind != "sgd" {
				m, v, steps = append(m, s.avg.c), append(v, s.sq.c), append(steps, s.step.c)
			} else if o.rule.momentum != 0 {
				bufs = append(bufs, s.momentum.c)
				b := byte(0)
				if isNew {
					b = 1
				}
				first = append(first, b)
			}
		}
		if len(params) == 0 {
			continue
		}
		var e string
		if o.rule.kind == "sgd" {
			e = shim.SGDStep(params, bufs, first, lr*g.LR, o.rule.momentum, g.WeightDecay, o.rule.nesterov)
		} else {
			e = shim.AdamStep(o.rule.decoupled, params, m, v, steps, lr*g.LR, o.rule.beta1, o.rule.beta2, g.WeightDecay, o.rule.eps)
		}
		if e != "" {
			fail(o.rule.kind+"_step", e)
		}
	}
}

// ZeroGrad removes the gradients of all parameters.
func (o *Optimizer) ZeroGrad() {
	for _, g := range o.groups {
		ZeroGrad(g.Params)
	}
}

// Params lists the parameters of all groups.
func (o *Optimizer) Params() []*Tensor {
	var out []*Tensor
	for _, g := range o.groups {
		out = append(out, g.Params...)
	}
	return out
}

// State lists the optimizer's tensors as NAME.exp_avg, NAME.exp_avg_sq,
// NAME.step or NAME.momentum_buffer. They stay the optimizer's own.
func (o *Optimizer) State() map[string]*Tensor {
	out := map[string]*Tensor{}
	for _, g := range o.groups {
		for i, p := range g.Params {
			s := o.slots[p]
			if s == nil {
				continue
			}
			for kind, t := range map[string]*Tensor{"exp_avg": s.avg, "exp_avg_sq": s.sq, "step": s.step, "momentum_buffer": s.momentum} {
				if t != nil {
					out[g.Names[i]+"."+kind] = t
				}
			}
		}
	}
	return out
}

// Load replaces the state by copies of the given tensors, named as by State. A
// name that fits no parameter, a missing partner or a wrong shape is an error.
func (o *Optimizer) Load(state map[string]*Tensor) error {
	return o.load(state)
}

// Free ends the optimizer's tensors.
func (o *Optimizer) Free() {
	for _, s := range o.slots {
		for _, t := range []*Tensor{s.avg, s.sq, s.step, s.momentum} {
			t.Free()
		}
	}
	o.slots = map[*Tensor]*slot{}
}

func (c AdamWConfig) method() rule {
	return rule{kind: "adamw", decoupled: true, beta1: or(c.Beta1, 0.9), beta2: or(c.Beta2, 0.999), eps: or(c.Eps, 1e-8)}
}
func (c AdamConfig) method() rule {
	return rule{kind: "adam", beta1: or(c.Beta1, 0.9), beta2: or(c.Beta2, 0.999), eps: or(c.Eps, 1e-8)}
}
func (c SGDConfig) method() rule {
	return rule{kind: "sgd", momentum: c.Momentum, nesterov: c.Nesterov}
}

func or(v, otherwise float64) float64 {
	if v == 0 {
		return otherwise
	}
	return v
}

func (o *Optimizer) kinds() []string {
	if o.rule.kind != "sgd" {
		return []string{"exp_avg", "exp_avg_sq", "step"}
	}
	if o.rule.momentum != 0 {
		return []string{"momentum_buffer"}
	}
	return nil
}

func (o *Optimizer) slot(p *Tensor) (_ *slot, isNew bool) {
	if s := o.slots[p]; s != nil {
		return s, false
	}
	s := &slot{}
	if o.rule.kind != "sgd" {
		s.avg, s.sq = rootless(ZerosLike(p)), rootless(ZerosLike(p))
		s.step = rootless(Zeros(Float32, p.Device()))
	} else if o.rule.momentum != 0 {
		s.momentum = rootless(ZerosLike(p))
	}
	o.slots[p] = s
	return s, true
}

func (o *Optimizer) load(state map[string]*Tensor) error {
	used := 0
	fresh := map[*Tensor]*slot{}
	for _, g := range o.groups {
		for i, p := range g.Params {
			found := map[string]*Tensor{}
			for _, kind := range o.kinds() {
				if t := state[g.Names[i]+"."+kind]; t != nil {
					found[kind] = t
				}
			}
			if len(found) == 0 {
				continue
			}
			if len(found) != len(o.kinds()) {
				return fmt.Errorf("optimizer state of %s has %d of %d tensors", g.Names[i], len(found), len(o.kinds()))
			}
			for kind, t := range found {
				if kind != "step" && fmt.Sprint(t.Shape()) != fmt.Sprint(p.Shape()) {
					return fmt.Errorf("optimizer state %s.%s has shape %v, the parameter %v", g.Names[i], kind, t.Shape(), p.Shape())
				}
			}
			used += len(found)
			own := func(kind string) *Tensor {
				t := found[kind]
				if t == nil {
					return nil
				}
				d := p.DType()
				if kind == "step" {
					d = Float32
				}
				return rootless(t.Detach().To(d, p.Device()).Clone())
			}
			fresh[p] = &slot{avg: own("exp_avg"), sq: own("exp_avg_sq"), step: own("step"), momentum: own("momentum_buffer")}
		}
	}
	if used != len(state) {
		for name := range state {
			if !o.knows(name) {
				return fmt.Errorf("optimizer state %q fits no parameter of this %s", name, o.rule.kind)
			}
		}
	}
	o.Free()
	o.slots = fresh
	return nil
}

func (o *Optimizer) knows(name string) bool {
	for _, g := range o.groups {
		for _, n := range g.Names {
			for _, kind := range o.kinds() {
				if name == n+"."+kind {
					return true
				}
			}
		}
	}
	return false
}

// rootless takes t out of its scope.
func rootless(t *Tensor) *Tensor {
	if t.scope != nil {
		t.scope.remove(t)
	}
	return t
}

func (t *Tensor) hasGrad() bool {
	var c shim.Handle
	if e := shim.Grad(t.h("grad"), &c); e != "" {
		fail("grad", e, t)
	}
	if c == nil {
		return false
	}
	shim.FreeMany([]shim.Handle{c})
	return true
}
