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

// stepsToMove is how many steps a group of weights may stand still.
const stepsToMove = 3

// moves watches that every group of trained weights changes: a group that no
// gradient reaches would be trained in name only.
type moves struct {
	start map[string]map[string][]byte // by group and weight
	steps map[string]int               // with a learning rate, and labels for the group
	done  bool
}

// termRows are the rows of new terms.
const termRows = "new terms"

// group names what a weight is part of: a head, an adapter's kind of weight, the
// biases, what knowledge adds.
func group(p *model.Param) string {
	switch {
	case p.Head != "":
		return "head " + p.Head
	case p.Knowledge():
		return "knowledge"
	case p.Adapter():
		if p.Row() {
			return termRows
		}
		for _, kind := range []string{"lora_A", "lora_B", "lora_E", "lora_magnitude_vector", "ia3_l", "adapter.down", "adapter.up"} {
			if strings.Contains(p.Name, "."+kind) {
				return kind
			}
		}
		return p.Name
	}
	return "encoder"
}

// watch notes the weights of an adapter run before its first step.
func (t *trainer) watch() {
	t.moves = moves{done: true}
	if !t.peft() || t.state.Step > 0 || t.term != nil {
		return
	}
	t.moves = moves{start: map[string]map[string][]byte{}, steps: map[string]int{}}
	for _, p := range t.model.Params() {
		if !p.Value.NeedsGrad() {
			continue
		}
		g := group(p)
		if t.moves.start[g] == nil {
			t.moves.start[g] = map[string][]byte{}
		}
		t.moves.start[g][p.Name] = p.Value.Bytes()
	}
}

// checkMoves is called after each step.
func (t *trainer) checkMoves(norms []float64, lr float64) error {
	m := &t.moves
	if m.done {
		return nil
	}
	m.done = true
	for g := range m.start {
		labelled := true
		for i, h := range t.model.Heads {
			if g == "head "+h.Spec.Name {
				labelled = norms[i] > 0
			}
		}
		if g == termRows {
			// Texts of the first steps may hold none of the terms.
			labelled = t.termsSeen()
		}
		if lr > 0 && labelled {
			m.steps[g]++
		}
		m.done = m.done && m.steps[g] >= stepsToMove
	}
	var still []string
	for _, p := range t.model.Params() {
		g := group(p)
		if g == termRows && m.steps[g] == 0 {
			continue
		}
		if was := m.start[g][p.Name]; was != nil && string(was) != string(p.Value.Bytes()) {
			delete(m.start, g)
		}
	}
	for g, n := range m.steps {
		if m.start[g] != nil && n >= stepsToMove {
			still = append(still, g)
		}
	}
	if len(still) == 0 {
		return nil
	}
	slices.Sort(still)
	return fmt.Errorf("after %d steps the weights of %s have not moved: nothing trains them; check train.lr, peft.targets and the labels", stepsToMove, strings.Join(still, ", "))
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
