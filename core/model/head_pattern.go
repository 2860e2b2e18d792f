//go:build torch

package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// pattern classifies a text by what a masked language model writes into the gap of
// a pattern around it, or how a causal one goes on behind it: each label is a word,
// or several whose logits are averaged (pattern-exploiting training, Schick and
// Schütze 2021, "Exploiting Cloze Questions for Few Shot Text Classification and
// Natural Language Inference"). Its weights are the language model's; the loss is
// the cross-entropy among the labels' words.
type pattern struct{}

func (pattern) check(spec sdk.HeadSpec, bad func(field, format string, args ...any)) {
	if len(spec.Labels) < 2 {
		bad("labels", "%d labels; a classifier needs at least two", len(spec.Labels))
	}
	if spec.Loss != "" && spec.Loss != "ce" {
		bad("loss", "loss %q; a pattern has ce", spec.Loss)
	}
	noPooling(spec, bad)
	if words, err := wordIDs(spec); err != nil {
		bad("options", "%s: %s", sdk.OptionWords, err)
	} else if len(words) != len(spec.Labels) {
		bad("options", "%s has words of %d labels, there are %d", sdk.OptionWords, len(words), len(spec.Labels))
	}
}

// wordIDs reads the ids of the labels' words: those of a label joined by commas,
// labels by spaces.
func wordIDs(spec sdk.HeadSpec) (out [][]int64, err error) {
	for label := range strings.FieldsSeq(spec.Options[sdk.OptionWords]) {
		var ids []int64
		for text := range strings.SplitSeq(label, ",") {
			id, err := strconv.ParseInt(text, 10, 32)
			if err != nil || id < 0 {
				return nil, fmt.Errorf("%q is no id of a word", text)
			}
			ids = append(ids, id)
		}
		out = append(out, ids)
	}
	return out, nil
}

func (pattern) logits(sdk.HeadSpec) int64               { return 0 }
func (pattern) pooled(sdk.HeadSpec) bool                { return false }
func (pattern) weights(sdk.HeadSpec, int64) []hf.Tensor { return nil }
func (pattern) weigh(h *Head, _ *recipe.Encoded, t *recipe.Target) float64 {
	return h.weight(int(t.Class))
}

// scores gives the labels' logits [N, K] at the gaps of some rows.
func (pattern) scores(h *Head, e *encoded, index int, rows []int64, pass *Pass) (*torch.Tensor, error) {
	at := make([]int64, len(rows))
	least := int32(1) // the first position is a special token
	if e.m.Config.Causal() {
		least = 0
	}
	for i, row := range rows {
		r := e.in.Rows[row]
		if index >= len(r.Targets) || r.Targets[index].Marks[0] < least || int(r.Targets[index].Marks[0]) >= len(r.IDs) {
			return nil, fmt.Errorf("head %s: row %q has no gap of a pattern", h.Spec.Name, r.ID)
		}
		at[i] = row*int64(e.in.Width) + int64(r.Targets[index].Marks[0])
	}
	words, err := wordIDs(h.Spec)
	if err != nil {
		return nil, err
	}
	z := h.lmScores(e, at, pass)
	columns := make([]*torch.Tensor, len(words))
	for k, ids := range words {
		if i := slices.IndexFunc(ids, func(id int64) bool { return id >= int64(e.m.Config.VocabSize) }); i >= 0 {
			return nil, fmt.Errorf("head %s: the word %d of label %s is beyond the vocabulary", h.Spec.Name, ids[i], h.Outputs[k])
		}
		columns[k] = z.IndexSelect(1, torch.FromInt64(ids, int64(len(ids))).ToDevice(e.m.device)).Mean(1)
	}
	return torch.Stack(columns, 1), nil
}

func (t pattern) loss(h *Head, e *encoded, index int, norm float64, pass *Pass) (*torch.Tensor, error) {
	rows, targets := labelled(e.in, index)
	if len(rows) == 0 {
		return nil, nil
	}
	z, err := t.scores(h, e, index, rows, pass)
	if err != nil {
		return nil, err
	}
	pass.probe("heads."+h.Spec.Name, z)
	classes, scale := make([]int64, len(rows)), make([]float32, len(rows))
	for i, target := range targets {
		if target.Class < 0 || int(target.Class) >= len(h.Outputs) {
			return nil, fmt.Errorf("head %s: row %q has class %d of %d", h.Spec.Name, e.in.Rows[rows[i]].ID, target.Class, len(h.Outputs))
		}
		classes[i], scale[i] = int64(target.Class), float32(h.weight(int(target.Class))/norm)
	}
	return crossEntropy(z, classes, scale, e.m.device), nil
}

func (t pattern) predict(h *Head, e *encoded, index int, pass *Pass) ([]recipe.Output, error) {
	z, err := t.scores(h, e, index, allRows(e.in), pass)
	if err != nil {
		return nil, err
	}
	out, k := make([]recipe.Output, len(e.in.Rows)), len(h.Outputs)
	p := z.Softmax(-1).ToDType(torch.Float32).Float32s()
	for i := range out {
		out[i].Scores = slices.Clone(p[i*k : (i+1)*k])
		out[i].Class = argmax(out[i].Scores)
	}
	return out, nil
}
