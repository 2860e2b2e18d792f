//go:build torch

package model

import (
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// States is what an encoder computes on its way, for losses that compare it with
// another model's. An encoder fills it in; one that records nothing leaves it
// empty. The tensors belong to the scope that is open around the pass.
type States struct {
	Relations bool // record Query, Key and Value too

	Embeddings        *torch.Tensor   // [B, T, Hidden], float32
	Layers            []*torch.Tensor // after each layer [B, T, Hidden], float32
	Query, Key, Value []*torch.Tensor // of each layer [B, heads, T, size], in the pass's precision
}

func (s *States) embedded(x *torch.Tensor) {
	if s != nil {
		s.Embeddings = x
	}
}

func (s *States) layer(x *torch.Tensor) {
	if s != nil {
		s.Layers = append(s.Layers, x)
	}
}

// related keeps the projections of one layer beyond that layer's scope.
func (s *States) related(scope *torch.Scope, query, key, value *torch.Tensor) {
	if s == nil || !s.Relations {
		return
	}
	s.Query = append(s.Query, scope.Keep(query))
	s.Key = append(s.Key, scope.Keep(key))
	s.Value = append(s.Value, scope.Keep(value))
}

// Forward is one run of the encoder that several losses read.
type Forward struct {
	e    *encoded
	pass *Pass
}

// Forward runs the encoder.
func (m *Model) Forward(in *Input, pass *Pass) *Forward {
	return &Forward{e: m.encode(in, pass), pass: pass}
}

// Scores gives a head's logits, with the dropout that its loss sees: [B, K] for
// all rows, or of a tag head [N, K] at flat positions row*T+index.
func (f *Forward) Scores(head int, at []int64) *torch.Tensor {
	h := f.e.m.Heads[head]
	if h.Spec.Kind == sdk.KindTag {
		return h.tokenScores(f.e, at, f.pass)
	}
	rows := make([]int64, len(f.e.in.Rows))
	for i := range rows {
		rows[i] = int64(i)
	}
	return h.scores(f.e, rows, f.pass)
}
