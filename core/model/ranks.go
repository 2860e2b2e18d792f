//go:build torch

package model

import (
	"slices"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/torch"
)

// ranks shares AdaLoRA's budget out among the adapted maps (Zhang et al. 2023,
// section 3.2; the order of its steps is that of Hugging Face peft): each value of
// lora_E stands or falls with its column of lora_B and row of lora_A.
type ranks struct {
	config *peft.Config
	maps   []*rankedMap
}

type rankedMap struct {
	name string
	*lora
	kept         []bool           // after the last allocation; nil before the first
	mean, unsure [3]*torch.Tensor // of lora_A, lora_E, lora_B
}

func newRanks(c *peft.Config) *ranks { return &ranks{config: c} }

func (r *ranks) add(name string, a *lora) {
	m := &rankedMap{name: name, lora: a}
	scope := torch.Open()
	defer scope.Close()
	for i, p := range m.parts() {
		m.mean[i], m.unsure[i] = scope.Keep(torch.ZerosLike(p.Value)), scope.Keep(torch.ZerosLike(p.Value))
	}
	r.maps = append(r.maps, m)
}

func (m *rankedMap) parts() [3]*Param { return [3]*Param{m.a, m.values, m.b} }

// Regularizer is AdaLoRA's loss that keeps the factors orthogonal: the mean over
// all factors P of ‖P Pᵀ - I‖, times its weight; nil for other methods.
func (m *Model) Regularizer() *torch.Tensor {
	if m.tuning == nil || m.tuning.ranks == nil || m.tuning.config.Orthogonal == 0 {
		return nil
	}
	var total *torch.Tensor
	add := func(gram *torch.Tensor) {
		n := gram.Size(0)
		if n == 0 {
			return
		}
		eye := torch.Arange(n, gram.Device()).OneHot(n).ToDType(torch.Float32)
		d := gram.Sub(eye).Square().Sum().Sqrt()
		if total == nil {
			total = d
		} else {
			total = total.Add(d)
		}
	}
	for _, at := range m.tuning.ranks.maps {
		add(at.a.Value.MatMul(at.a.Value.T()))
		add(at.b.Value.T().MatMul(at.b.Value))
	}
	if total == nil {
		return nil
	}
	return total.MulScalar(m.tuning.config.Orthogonal / float64(2*len(m.tuning.ranks.maps)))
}

// Allocate follows an optimizer step, with its gradients still there: it notes how
// much each rank matters and from time to time silences those that matter least.
// step counts from 1. Methods other than adalora have nothing to allocate.
func (m *Model) Allocate(step int) {
	if m.tuning == nil || m.tuning.ranks == nil {
		return
	}
	r, c := m.tuning.ranks, m.tuning.config
	last := c.Steps - c.Final
	torch.NoGrad(func() {
		switch {
		case step < last:
			r.note()
			if budget, due := r.budget(step); due {
				r.share(budget)
			}
		case step == last:
			r.share(c.TargetRank * len(r.maps))
		default:
			r.silence()
		}
	})
}

// budget is the number of ranks after a step; it falls as a cubic.
func (r *ranks) budget(step int) (n int, due bool) {
	c := r.config
	all, target := c.Rank*len(r.maps), c.TargetRank*len(r.maps)
	if step <= c.Warmup {
		return all, false
	}
	left := 1 - float64(step-c.Warmup)/float64(c.Steps-c.Final-c.Warmup)
	return int(float64(all-target)*left*left*left) + target, step%max(1, c.Every) == 0
}

// note smooths |weight·gradient| and how far it strays.
func (r *ranks) note() {
	b1, b2 := r.config.Beta1, r.config.Beta2
	scope := torch.Open()
	defer scope.Close()
	for _, m := range r.maps {
		for i, p := range m.parts() {
			g := p.Value.Grad()
			if g == nil {
				continue
			}
			now := p.Value.Detach().Mul(g).Abs()
			m.mean[i].CopyFrom(m.mean[i].MulScalar(b1).Add(now.MulScalar(1 - b1)))
			m.unsure[i].CopyFrom(m.unsure[i].MulScalar(b2).Add(now.Sub(m.mean[i]).Abs().MulScalar(1 - b2)))
		}
	}
}

// share keeps the most important ranks, budget of them over all maps.
func (r *ranks) share(budget int) {
	var all []float32
	scores := make([][]float32, len(r.maps))
	for i, m := range r.maps {
		scores[i] = m.score()
		all = append(all, scores[i]...)
	}
	out := len(all) - budget
	if out < 1 {
		return
	}
	slices.Sort(all)
	limit := all[out-1]
	for i, m := range r.maps {
		m.kept = make([]bool, len(scores[i]))
		for k, s := range scores[i] {
			m.kept[k] = s > limit
		}
	}
	r.silence()
}

// score adds up, per rank, the importance of its value and the mean importance of
// its two vectors.
func (m *rankedMap) score() []float32 {
	scope := torch.Open()
	defer scope.Close()
	each := func(i int) *torch.Tensor { return m.mean[i].Mul(m.unsure[i]) }
	return each(1).View(-1).Add(each(0).Mean(1)).Add(each(2).Mean(0)).Float32s()
}

// silence sets the values of ranks that were given up to zero.
func (r *ranks) silence() {
	scope := torch.Open()
	defer scope.Close()
	for _, m := range r.maps {
		if m.kept == nil {
			continue
		}
		off := make([]bool, len(m.kept))
		for k, on := range m.kept {
			off[k] = !on
		}
		m.values.Value.CopyFrom(m.values.Value.MaskedFill(torch.FromBool(off, int64(len(off)), 1).ToDevice(m.values.Value.Device()), 0))
	}
}

// State gives what an adapter remembers besides its weights, by name, for a
// checkpoint; empty for methods other than adalora.
func (m *Model) State() []*Param {
	if m.tuning == nil || m.tuning.ranks == nil {
		return nil
	}
	var out []*Param
	for _, at := range m.tuning.ranks.maps {
		for i, p := range at.parts() {
			out = append(out, &Param{Name: "importance." + p.Name, Value: at.mean[i]}, &Param{Name: "uncertainty." + p.Name, Value: at.unsure[i]})
		}
	}
	return out
}

// Ranks gives the marks of the ranks that are kept, by map; nil where nothing was
// given up yet.
func (m *Model) Ranks() map[string][]bool {
	if m.tuning == nil || m.tuning.ranks == nil {
		return nil
	}
	out := map[string][]bool{}
	for _, at := range m.tuning.ranks.maps {
		if at.kept != nil {
			out[at.name] = slices.Clone(at.kept)
		}
	}
	return out
}

// SetRanks puts back what Ranks gave.
func (m *Model) SetRanks(kept map[string][]bool) {
	if m.tuning == nil || m.tuning.ranks == nil {
		return
	}
	for _, at := range m.tuning.ranks.maps {
		at.kept = kept[at.name]
	}
}

// pattern names the ranks as peft's rank_pattern does.
func (r *ranks) pattern(cfg *hf.Config) map[string][]bool {
	out := map[string][]bool{}
	for _, m := range r.maps {
		if m.kept == nil {
			return nil
		}
		out[hf.Prefixed(cfg.ModelType, m.name)+".lora_E"] = m.kept
	}
	return out
}

func (r *ranks) free() {
	for _, m := range r.maps {
		for i := range m.mean {
			m.mean[i].Free()
			m.unsure[i].Free()
		}
	}
}
