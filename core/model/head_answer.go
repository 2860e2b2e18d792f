//go:build torch

package model

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// answer finds the stretch of a passage that answers a question: two values for
// each position, of being its start and its end, as BertForQuestionAnswering
// (Devlin et al. 2019, section 4.2). The loss is the mean of the two
// cross-entropies; a row without an answer points to its first position. Padding
// has no share in either softmax, so that the width of a batch changes nothing.
type answer struct{}

// bestAnswers is how many stretches a prediction holds: n_best_size of
// transformers' run_qa.
const bestAnswers = 20

func (answer) check(spec sdk.HeadSpec, bad func(field, format string, args ...any)) {
	if spec.Loss != "" && spec.Loss != "ce" {
		bad("loss", "loss %q; a head of answers has ce", spec.Loss)
	}
	if len(spec.Labels) > 0 {
		bad("labels", "a head of answers has no labels: it gives a stretch of the text")
	}
	if len(spec.ClassWeights) > 0 {
		bad("class_weights", "class weights have no meaning in a head of answers")
	}
	noPooling(spec, bad)
	if v := spec.Options[sdk.OptionMaxAnswer]; v != "" {
		if n, err := strconv.Atoi(v); err != nil || n < 1 {
			bad("options", "%s is %q, a number of word pieces is wanted", sdk.OptionMaxAnswer, v)
		}
	}
	if v := spec.Options[sdk.OptionNoAnswer]; !slices.Contains([]string{"", "on", "off"}, v) {
		bad("options", "%s is %q; on or off is wanted", sdk.OptionNoAnswer, v)
	}
}

func (answer) logits(sdk.HeadSpec) int64 { return 0 }
func (answer) pooled(sdk.HeadSpec) bool  { return false }

func (answer) weights(_ sdk.HeadSpec, hidden int64) []hf.Tensor {
	return []hf.Tensor{{Name: hf.Answers + "weight", Shape: []int64{2, hidden}}, {Name: hf.Answers + "bias", Shape: []int64{2}}}
}

func (answer) weigh(*Head, *recipe.Encoded, *recipe.Target) float64 { return 1 }

// logitsOf gives start and end values [B, T, 2].
func (answer) logitsOf(h *Head, e *encoded, pass *Pass) *torch.Tensor {
	return linear{h.own[0], h.own[1]}.apply(h.drop(e.hidden, e.in, pass))
}

func (t answer) loss(h *Head, e *encoded, index int, norm float64, pass *Pass) (*torch.Tensor, error) {
	rows, targets := labelled(e.in, index)
	if len(rows) == 0 {
		return nil, nil
	}
	starts, ends := make([]int64, len(rows)), make([]int64, len(rows))
	for i, target := range targets {
		if len(target.Spans) == 0 {
			continue
		}
		s, r := target.Spans[0], e.in.Rows[rows[i]]
		if s.From < 0 || s.To < s.From || int(s.To) >= len(r.IDs) {
			return nil, fmt.Errorf("head %s: row %q has an answer at ids %d-%d of %d", h.Spec.Name, r.ID, s.From, s.To, len(r.IDs))
		}
		starts[i], ends[i] = int64(s.From), int64(s.To)
	}
	z := t.logitsOf(h, e, pass)
	pass.probe("heads."+h.Spec.Name, z)
	z = z.MaskedFill(e.beyond().Unsqueeze(-1), maskedOut).IndexSelect(0, torch.FromInt64(rows, int64(len(rows))).ToDevice(e.m.device))
	scale := slices.Repeat([]float32{float32(0.5 / norm)}, len(rows))
	return crossEntropy(z.Select(-1, 0), starts, scale, e.m.device).Add(crossEntropy(z.Select(-1, 1), ends, scale, e.m.device)), nil
}

// predict ranks the stretches of each passage as transformers' run_qa does: of
// the best starts and ends those pairs that lie in the passage, in order, and are
// no longer than max_answer.
func (t answer) predict(h *Head, e *encoded, _ int, pass *Pass) ([]recipe.Output, error) {
	longest := 30
	if n, err := strconv.Atoi(h.Spec.Options[sdk.OptionMaxAnswer]); err == nil {
		longest = n
	}
	z, width := t.logitsOf(h, e, pass).ToDType(torch.Float32).Float32s(), e.in.Width
	out := make([]recipe.Output, len(e.in.Rows))
	for i, r := range e.in.Rows {
		if r.Passage == nil {
			continue
		}
		value := func(at, side int) float32 { return z[2*(i*width+at)+side] }
		best := func(side int) []int {
			var places []int
			for at := range r.IDs {
				if r.Passage.Places[2*at] >= 0 {
					places = append(places, at)
				}
			}
			slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(value(b, side), value(a, side)) })
			return places[:min(len(places), bestAnswers)]
		}
		ends := best(1)
		for _, from := range best(0) {
			for _, to := range ends {
				if to >= from && to-from < longest {
					out[i].Spans = append(out[i].Spans, recipe.ScoredStretch{Stretch: recipe.Stretch{From: int32(from), To: int32(to)}, Score: value(from, 0) + value(to, 1)})
				}
			}
		}
		slices.SortStableFunc(out[i].Spans, func(a, b recipe.ScoredStretch) int { return cmp.Compare(b.Score, a.Score) })
		out[i].Spans = out[i].Spans[:min(len(out[i].Spans), bestAnswers)]
		out[i].Value = value(0, 0) + value(0, 1)
	}
	return out, nil
}
