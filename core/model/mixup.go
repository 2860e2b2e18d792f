//go:build torch

package model

import (
	"iter"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
)

// mix is what the rows of a batch are mixed with.
type mix struct {
	other    *Input    // a row for each of the batch; the row itself where it is not mixed
	own, its []float32 // [B, T] by row and position: shares of both texts, 0 beyond their ends
}

// mixWith prepares the other texts of mixed rows.
func (in *Input) mixWith(m *Model) error {
	with := make([]*recipe.Encoded, len(in.Rows))
	x := &mix{own: make([]float32, len(in.Rows)*in.Width), its: make([]float32, len(in.Rows)*in.Width)}
	fill := func(row []float32, share float64, n int) {
		for j := range row[:n] {
			row[j] = float32(share)
		}
	}
	for i, r := range in.Rows {
		from, to := i*in.Width, (i+1)*in.Width
		if r.Mixed == nil {
			with[i] = r
			fill(x.own[from:to], 1, in.Width)
			continue
		}
		with[i] = r.Mixed.With
		fill(x.own[from:to], r.Mixed.Share, r.Width())
		fill(x.its[from:to], 1-r.Mixed.Share, with[i].Width())
	}
	var err error
	x.other, err = m.Input(with, in.Width)
	in.mix = x
	return err
}

// mixed mixes the outputs of the embedding layer [B, T, H] of a batch and of
// what its rows are mixed with. Beyond its end a text counts as zero (Guo, Mao and
// Zhang 2019, eq. 5). The vectors of a prompt, which come first, are the same in
// both and stay as they are.
func (in *Input) mixed(x *torch.Tensor, other func() *torch.Tensor) *torch.Tensor {
	if in.mix == nil {
		return x
	}
	n, t := int64(len(in.Rows)), x.Size(1)
	share := func(of []float32, prompt float32) *torch.Tensor {
		k := int(t) - in.Width
		all := make([]float32, 0, int(n*t))
		for i := range in.Rows {
			for range k {
				all = append(all, prompt)
			}
			all = append(all, of[i*in.Width:(i+1)*in.Width]...)
		}
		return torch.FromFloat32(all, n, t, 1).ToDevice(x.Device())
	}
	return x.Mul(share(in.mix.own, 1)).Add(other().Mul(share(in.mix.its, 0)))
}

// answers gives the labels of a row for a head, each with its share: the row's
// own, and that of the row it is mixed with.
func answers(r *recipe.Encoded, index int) iter.Seq2[float64, *recipe.Target] {
	return func(yield func(float64, *recipe.Target) bool) {
		share, with := 1.0, (*recipe.Encoded)(nil)
		if r.Mixed != nil {
			share, with = r.Mixed.Share, r.Mixed.With
		}
		if index < len(r.Targets) && r.Targets[index].Has && !yield(share, &r.Targets[index]) {
			return
		}
		if with != nil && index < len(with.Targets) && with.Targets[index].Has {
			yield(1-share, &with.Targets[index])
		}
	}
}

// Mixes reports whether the encoder can mix the rows of a batch.
func (m *Model) Mixes() bool {
	switch m.Encoder.(type) {
	case *Bert, *GPT2, *Llama:
		return true
	}
	return false
}
