//go:build torch

package model

import (
	"fmt"
	"slices"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// relation classifies a pair of marked mentions by the hidden states of the
// markers before them, put side by side: "entity markers, entity start" of Baldini
// Soares et al. 2019, "Matching the Blanks".
type relation struct{}

func (relation) check(spec sdk.HeadSpec, bad func(field, format string, args ...any)) {
	if len(spec.Labels) < 2 {
		bad("labels", "%d labels; relations need at least two, one of them may say that there is none", len(spec.Labels))
	}
	if spec.Loss != "" && spec.Loss != "ce" {
		bad("loss", "loss %q; a head of relations has ce", spec.Loss)
	}
	if none := spec.Options[sdk.OptionNoRelation]; none != "" && !slices.Contains(spec.Labels, none) {
		bad("options", "%s names %q, which is no label of the head", sdk.OptionNoRelation, none)
	}
	noPooling(spec, bad)
}

func (relation) logits(sdk.HeadSpec) int64 { return 0 }
func (relation) pooled(sdk.HeadSpec) bool  { return false }

func (relation) weights(spec sdk.HeadSpec, hidden int64) []hf.Tensor {
	k := int64(len(spec.Labels))
	return []hf.Tensor{{Name: "relation.weight", Shape: []int64{k, 2 * hidden}}, {Name: "relation.bias", Shape: []int64{k}}}
}

func (relation) weigh(h *Head, _ *recipe.Encoded, t *recipe.Target) float64 {
	if t.Marks[0] == t.Marks[1] {
		return 0
	}
	return h.weight(int(t.Class))
}

// scores gives the logits [N, K] of pairs of flat positions.
func (relation) scores(h *Head, e *encoded, heads, tails []int64, pass *Pass) *torch.Tensor {
	n := int64(len(heads))
	x := h.at(e, slices.Concat(heads, tails), pass)
	return linear{h.own[0], h.own[1]}.apply(torch.Cat([]*torch.Tensor{x.Narrow(0, 0, n), x.Narrow(0, n, n)}, 1))
}

// logitsOf gives the scores [B, T, T, K] of all pairs of positions, the head's before
// the tail's.
func (relation) logitsOf(h *Head, e *encoded, pass *Pass) *torch.Tensor {
	x := h.drop(e.hidden, e.in, pass)
	n := x.Size(2)
	heads := linear{weight: &Param{Value: h.own[0].Value.Narrow(1, 0, n)}}.apply(x)
	tails := linear{weight: &Param{Value: h.own[0].Value.Narrow(1, n, n)}, bias: h.own[1]}.apply(x)
	return heads.Unsqueeze(2).Add(tails.Unsqueeze(1))
}

// marked gives the flat positions of a row's markers; ok is false if it has none.
func marked(e *encoded, row int64, t *recipe.Target) (head, tail int64, ok bool) {
	at := row * int64(e.in.Width)
	return at + int64(t.Marks[0]), at + int64(t.Marks[1]), t.Marks[0] != t.Marks[1]
}

func (t relation) loss(h *Head, e *encoded, index int, norm float64, pass *Pass) (*torch.Tensor, error) {
	var heads, tails, classes []int64
	var scale []float32
	rows, targets := labelled(e.in, index)
	for i, target := range targets {
		head, tail, ok := marked(e, rows[i], target)
		if !ok {
			continue
		}
		if target.Class < 0 || int(target.Class) >= len(h.Outputs) || max(target.Marks[0], target.Marks[1]) >= int32(len(e.in.Rows[rows[i]].IDs)) {
			return nil, fmt.Errorf("head %s: row %q has relation %d of %d with markers at %v", h.Spec.Name, e.in.Rows[rows[i]].ID, target.Class, len(h.Outputs), target.Marks)
		}
		heads, tails, classes = append(heads, head), append(tails, tail), append(classes, int64(target.Class))
		scale = append(scale, float32(h.weight(int(target.Class))/norm))
	}
	if len(heads) == 0 {
		return nil, nil
	}
	z := t.scores(h, e, heads, tails, pass)
	pass.probe("heads."+h.Spec.Name, z)
	return crossEntropy(z, classes, scale, e.m.device), nil
}

func (t relation) predict(h *Head, e *encoded, index int, pass *Pass) ([]recipe.Output, error) {
	out := make([]recipe.Output, len(e.in.Rows))
	var heads, tails []int64
	var rows []int
	for i, r := range e.in.Rows {
		out[i].Class = -1
		if index >= len(r.Targets) {
			continue
		}
		if head, tail, ok := marked(e, int64(i), &r.Targets[index]); ok {
			heads, tails, rows = append(heads, head), append(tails, tail), append(rows, i)
		}
	}
	if len(rows) == 0 {
		return out, nil
	}
	k := len(h.Outputs)
	p := t.scores(h, e, heads, tails, pass).Softmax(-1).ToDType(torch.Float32).Float32s()
	for n, i := range rows {
		out[i].Scores = slices.Clone(p[n*k : (n+1)*k])
		out[i].Class = argmax(out[i].Scores)
	}
	return out, nil
}
