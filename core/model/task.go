//go:build torch

package model

import (
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// task is what a kind of head does that is not classify, multilabel, pair or
// tag. Each kind has a file of its own.
type task interface {
	// check reports what is wrong with a declaration, besides what all heads have
	// in common.
	check(spec sdk.HeadSpec, bad func(field, format string, args ...any))
	// logits is how many values the head's linear layer gives; 0 = it has none.
	logits(spec sdk.HeadSpec) int64
	// pooled: a text becomes one vector, as spec.Pooling says; otherwise the kind
	// reads the hidden states.
	pooled(spec sdk.HeadSpec) bool
	// weights are the kind's own ones beside the linear layer, without the head's
	// name; hidden is the width of the encoder.
	weights(spec sdk.HeadSpec, hidden int64) []hf.Tensor
	// weigh is how much the label of a row counts in the loss.
	weigh(h *Head, r *recipe.Encoded, t *recipe.Target) float64
	// loss and predict are those of Head.
	loss(h *Head, e *encoded, index int, norm float64, pass *Pass) (*torch.Tensor, error)
	predict(h *Head, e *encoded, index int, pass *Pass) ([]recipe.Output, error)
}

// scorer is a task whose raw scores are not those of the head's linear layer.
type scorer interface {
	logitsOf(h *Head, e *encoded, pass *Pass) *torch.Tensor
}

// taskOf gives what a kind does; nil for those that Head does itself, and for
// unknown ones.
func taskOf(kind string) task {
	switch kind {
	case sdk.KindRegress:
		return regress{}
	case sdk.KindEmbed:
		return embed{}
	case sdk.KindRank:
		return rank{}
	case sdk.KindQA:
		return answer{}
	case sdk.KindRelation:
		return relation{}
	case sdk.KindPattern:
		return pattern{}
	case sdk.KindSpan:
		return pointer{}
	}
	return nil
}

// labelled lists the rows of a batch that have a label for the head.
func labelled(in *Input, index int) (rows []int64, targets []*recipe.Target) {
	for i, r := range in.Rows {
		if index < len(r.Targets) && r.Targets[index].Has {
			rows, targets = append(rows, int64(i)), append(targets, &r.Targets[index])
		}
	}
	return rows, targets
}

// noPooling reports settings that have no meaning where a head reads positions.
func noPooling(spec sdk.HeadSpec, bad func(field, format string, args ...any)) {
	if spec.Pooling != "" {
		bad("pooling", "pooling has no meaning in a head of kind %s", spec.Kind)
	}
}

// at gives the hidden states [N, H] of flat positions row*T+index, after the
// head's dropout.
func (h *Head) at(e *encoded, flat []int64, pass *Pass) *torch.Tensor {
	x := h.drop(e.hidden, e.in, pass).Reshape(int64(len(e.in.Rows)*e.in.Width), int64(e.m.Encoder.Hidden()))
	return x.IndexSelect(0, torch.FromInt64(flat, int64(len(flat))).ToDevice(e.m.device))
}

// allRows are the numbers of the rows of a batch.
func allRows(in *Input) []int64 {
	rows := make([]int64, len(in.Rows))
	for i := range rows {
		rows[i] = int64(i)
	}
	return rows
}
