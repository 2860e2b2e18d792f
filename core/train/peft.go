//go:build torch

package train

import (
	"fmt"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
)

// peft reports whether the base keeps its weights.
func (t *trainer) peft() bool { return t.plan.Peft != "" && t.plan.Peft != recipe.PeftOff }

// newAdapter describes the adapter of a run of so many steps; nil = none.
func (t *trainer) newAdapter(steps int) func(*hf.Config) *peft.Config {
	if !recipe.HasAdapter(t.plan.Peft) {
		return nil
	}
	return func(cfg *hf.Config) *peft.Config {
		c := model.NewAdapter(cfg, t.plan.Peft, &t.job.Plan.Peft, steps)
		c.Base = t.job.BaseName
		if c.Base == "" {
			c.Base = t.job.Base
		}
		if x := t.job.Terms; x != nil {
			c.Rows, c.BaseRows = x.IDs, x.Rows
		}
		return c
	}
}

// tellShare says how much of the model is trained, where it is not all.
func (t *trainer) tellShare() error {
	var all, trained int64
	if err := torch.Do(func() { all, trained = t.model.Count() }); err != nil {
		return err
	}
	if trained == all && t.plan.UnfreezeEvery == 0 {
		return nil
	}
	var heads int64
	for _, p := range t.model.Params() {
		if p.Head != "" {
			n := int64(1)
			for _, d := range p.Value.Shape() {
				n *= d
			}
			heads += n
		}
	}
	e := t.event(recipe.EventNotice)
	e.Text = fmt.Sprintf("trainable: %d of %d weights (%.3f %%), %d of them in heads", trained, all, 100*float64(trained)/float64(max(1, all)), heads)
	t.observe(e)
	return nil
}

// regularize adds the gradients of the losses of weights alone, the adapter's own and
// that of the anchor, and gives their value, 0 where there are none.
func (t *trainer) regularize() (value float64) {
	scope := torch.Open()
	defer scope.Close()
	for _, loss := range []*torch.Tensor{t.model.Regularizer(), t.anchor.loss()} {
		if loss != nil && loss.NeedsGrad() {
			loss.Backward()
			value += loss.Item()
		}
	}
	return value
}

// stepsToMove is how many steps a group of weights may stand still: factors of which
// one begins with zeros (lora_A beside lora_B, the first map of a bottleneck) have no
// gradient in the first.
const stepsToMove = 3

// moves watches that every group of trained weights learns: one that no gradient
// reaches would be trained in name only. A weight that changes without a gradient does
// not count, weight decay alone does that.
type moves struct {
	group map[string]string            // of each watched weight
	start map[string]map[string][]byte // by group and weight, before the first step
}

// termRows are the rows of new terms.
const termRows = "new terms"

// watched is what checkpoints keep of moves: nil when all groups have moved.
type watched struct {
	// Steps counts, for each group that has not moved yet, those that should have.
	Steps   map[string]int  `json:"steps"`
	Reached map[string]bool `json:"reached,omitempty"` // weights that had a gradient
}

// group names what a weight is part of, as finely as all parts are trained in each
// step: a head, what knowledge adds, a factor of the adapter of one map, the biases of
// a layer; "" for one that nothing has to train.
func (t *trainer) group(p *model.Param) string {
	layer, _ := t.model.Config.Layer(p.Name)
	switch {
	case p.Head != "":
		return "head " + p.Head
	case p.Knowledge():
		return "knowledge"
	case strings.HasPrefix(p.Name, "pooler.") && !t.model.ReadsPooler():
		return ""
	case p.Adapter():
		if p.Row() {
			return termRows
		}
		for _, kind := range []string{"lora_A", "lora_B", "lora_E", "lora_magnitude_vector", "ia3_l", "adapter.down", "adapter.up"} {
			module, _, found := strings.Cut(p.Name, "."+kind)
			switch {
			case !found:
			case t.plan.Peft == recipe.PeftAdaLoRA:
				return kind // which may take all ranks of a map
			default:
				return kind + groupOf + module
			}
		}
		return p.Name
	case layer >= 0:
		return fmt.Sprintf("encoder%slayer %d", groupOf, layer)
	}
	return "encoder"
}

const groupOf = " of "

// watch notes the weights of an adapter run as they begin: call it before those of a
// checkpoint are restored.
func (t *trainer) watch() {
	t.moves = moves{}
	if !t.peft() || t.state.Moves == nil && t.state.Step >= stepsToMove {
		return
	}
	fresh := t.state.Moves == nil
	if fresh {
		t.state.Moves = &watched{Steps: map[string]int{}}
	}
	t.moves = moves{group: map[string]string{}, start: map[string]map[string][]byte{}}
	for _, p := range t.model.Params() {
		g := t.group(p)
		if g == "" || !p.Value.NeedsGrad() {
			continue
		}
		if _, pending := t.state.Moves.Steps[g]; !pending && !fresh {
			continue
		}
		t.state.Moves.Steps[g] += 0
		t.moves.group[p.Name] = g
		if t.moves.start[g] == nil {
			t.moves.start[g] = map[string][]byte{}
		}
		t.moves.start[g][p.Name] = p.Value.Bytes()
	}
	if t.state.Moves.Reached == nil {
		t.state.Moves.Reached = map[string]bool{}
	}
}

// trains reports whether a step has something that trains the group: labels or a
// teacher's answers for a head, entities for what knowledge adds.
func (t *trainer) trains(group string, micro []*recipe.Batch, norms []float64) bool {
	if group == "knowledge" {
		for _, b := range micro {
			if slices.ContainsFunc(b.Rows, t.knows) {
				return true
			}
		}
		return false
	}
	if group == termRows {
		return t.termsSeen() // texts of the first steps may hold none of the terms
	}
	for i, h := range t.model.Heads {
		if group == "head "+h.Spec.Name {
			return norms[i] > 0 && (t.term == nil || t.term.labels() > 0) || t.term != nil && t.term.teaches(i)
		}
	}
	return true
}

// knows reports a row in which a weight of the knowledge has a part.
func (t *trainer) knows(r *recipe.Encoded) bool {
	some := func(x int32) bool { return x != 0 }
	in, k := r.Inject, t.job.Injection
	return in != nil && k != nil && (k.Marks > 0 && slices.ContainsFunc(in.Marks, some) || k.Features > 0 && slices.ContainsFunc(in.Features, some) ||
		k.Dim > 0 && slices.ContainsFunc(in.Mentions, func(m recipe.LinkedPieces) bool { return k.Vector(m.Entity) != nil }))
}

// checkMoves is called after each optimizer step, while its gradients are there.
func (t *trainer) checkMoves(micro []*recipe.Batch, norms []float64, lr float64) error {
	m := t.state.Moves
	if m == nil || lr <= 0 && t.plan.LR > 0 { // of warmup and the end; one that is always 0 counts
		return nil
	}
	now := map[string]bool{}
	for g := range m.Steps {
		if t.trains(g, micro, norms) {
			now[g] = true
			m.Steps[g]++
		}
	}
	if len(now) == 0 {
		return nil
	}
	scope := torch.Open()
	defer scope.Close()
	moved := map[string]bool{}
	for _, p := range t.model.Params() {
		g := t.moves.group[p.Name]
		if !now[g] {
			continue
		}
		if grad := p.Value.Grad(); grad != nil && grad.Abs().MaxAll().Item() > 0 {
			m.Reached[p.Name] = true
		}
		if m.Steps[g] >= stepsToMove && m.Reached[p.Name] && !moved[g] {
			moved[g] = string(t.moves.start[g][p.Name]) != string(p.Value.Bytes())
		}
	}
	var still []string
	for g := range now {
		switch {
		case moved[g]:
			delete(m.Steps, g)
			delete(t.moves.start, g)
		case m.Steps[g] >= stepsToMove:
			still = append(still, g)
		}
	}
	if len(still) > 0 {
		return fmt.Errorf("after %d steps the weights of %s have not moved: nothing trains them; check train.lr, peft.targets, the labels and distill.layers", stepsToMove, t.groups(still))
	}
	if len(m.Steps) == 0 {
		t.state.Moves, t.moves = nil, moves{}
	}
	return nil
}

// groups lists some of the watched groups; all of one kind are named as that.
func (t *trainer) groups(some []string) string {
	kind := func(g string) string { k, _, _ := strings.Cut(g, groupOf); return k }
	var names []string
	for _, g := range some {
		k, all := kind(g), true
		for _, other := range t.moves.group {
			all = all && (kind(other) != k || slices.Contains(some, other))
		}
		if all && !strings.HasPrefix(g, "head ") {
			g = k
		}
		names = append(names, g)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if n := len(names) - 4; n > 0 {
		names = append(names[:4], fmt.Sprintf("%d more", n))
	}
	return strings.Join(names, ", ")
}

// termsSeen reports whether the rows of new terms have a gradient in this step.
func (t *trainer) termsSeen() bool {
	scope := torch.Open()
	defer scope.Close()
	for _, p := range t.model.Params() {
		if g := p.Value.Grad(); p.Row() && g != nil && g.Abs().MaxAll().Item() > 0 {
			return true
		}
	}
	return false
}
