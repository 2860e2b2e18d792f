//go:build torch

package model

import (
	"fmt"
	"math"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// Limits of the integral: it begins with few points, which are doubled until it
// misses the difference by at most tolerance, or there are most.
const (
	fewPoints  = 32
	mostPoints = 256
	tolerance  = 0.02 // of the difference, at least of 0.1
)

// Attribute shares the score of an aim out among the ids of a row; see
// recipe.Attribution. special tells which ids keep their place in the row of
// masks. Call it inside torch.Do.
func (m *Model) Attribute(row *recipe.Encoded, aim recipe.Aim, mask int32, special func(id int32) bool) (*recipe.Attribution, error) {
	if aim.Head < 0 || aim.Head >= len(m.Heads) {
		return nil, fmt.Errorf("explain row %q: there is no head %d", row.ID, aim.Head)
	}
	n := row.Width()
	content := make([]bool, n)
	for i := range content {
		content[i] = i >= len(row.IDs) || !special(row.IDs[i])
	}
	out := &recipe.Attribution{Values: make([]float64, n)}
	whole, err := m.scoreMasked(row, aim, mask, [][]bool{make([]bool, n), content})
	if err != nil {
		return nil, err
	}
	out.Full, out.Empty = whole[0], whole[1]
	for points := fewPoints; ; points *= 2 {
		if err := m.integrate(row, aim, mask, content, points, out); err != nil {
			return nil, err
		}
		sum := 0.0
		for _, v := range out.Values {
			sum += v
		}
		if diff := out.Full - out.Empty; points >= mostPoints || math.Abs(sum-diff) <= tolerance*max(math.Abs(diff), 0.1) {
			break
		}
	}
	var groups [][]bool
	for _, g := range aim.Groups {
		gone := make([]bool, n)
		for _, i := range g {
			if i >= 0 && int(i) < n {
				gone[i] = true
			}
		}
		groups = append(groups, gone)
	}
	if len(groups) == 0 {
		return out, nil
	}
	left, err := m.scoreMasked(row, aim, mask, groups)
	if err != nil {
		return nil, err
	}
	for _, v := range left {
		out.Dropped = append(out.Dropped, out.Full-v)
	}
	return out, nil
}

// batchOf is how many copies of a row are computed together.
const batchOf = 32

// scoreMasked gives the scores of a row with some ids masked, variant by variant.
func (m *Model) scoreMasked(row *recipe.Encoded, aim recipe.Aim, mask int32, variants [][]bool) ([]float64, error) {
	var scores []float64
	for from := 0; from < len(variants); from += batchOf {
		part := variants[from:min(from+batchOf, len(variants))]
		s := torch.Open()
		in, full, empty, err := m.ends(row, mask, len(part))
		if err != nil {
			s.Close()
			return nil, err
		}
		w := len(part[0])
		gone := make([]bool, 0, len(part)*w)
		for _, v := range part {
			gone = append(gone, v...)
		}
		at := torch.FromBool(gone, int64(len(part)), int64(w), 1).ToDevice(m.device)
		torch.NoGrad(func() {
			in.words = torch.Where(at, empty, full)
			scores = append(scores, m.aimed(in, aim).Float64s()...)
		})
		s.Close()
	}
	return scores, nil
}

// ends prepares n copies of a row and the word embeddings, knowledge included,
// of the row itself and of a row of masks: [1, T, H].
func (m *Model) ends(row *recipe.Encoded, mask int32, n int) (in *Input, full, empty *torch.Tensor, err error) {
	rows := make([]*recipe.Encoded, n)
	for i := range rows {
		rows[i] = row
	}
	if in, err = m.Input(rows, 0); err != nil {
		return nil, nil, nil, err
	}
	one, err := m.Input(rows[:1], 0)
	if err != nil {
		return nil, nil, nil, err
	}
	torch.NoGrad(func() {
		full = m.knowledge.embedded(m.Encoder.lookup(one.IDs), one)
		empty = m.Encoder.lookup(torch.FromInt64([]int64{int64(mask)}, 1, 1).ToDevice(m.device))
	})
	return in, full, empty, nil
}

// integrate sums the gradients at points in the middle of equal parts of the way.
func (m *Model) integrate(row *recipe.Encoded, aim recipe.Aim, mask int32, content []bool, points int, out *recipe.Attribution) error {
	w := len(content)
	total := make([]float64, w)
	for from := 0; from < points; from += batchOf {
		n := min(batchOf, points-from)
		s := torch.Open()
		in, full, empty, err := m.ends(row, mask, n)
		if err != nil {
			s.Close()
			return err
		}
		share := make([]float32, 0, n*w)
		for k := range n {
			for _, moves := range content {
				v := float32(1) // special tokens stand still
				if moves {
					v = (float32(from+k) + 0.5) / float32(points)
				}
				share = append(share, v)
			}
		}
		way := full.Sub(empty)
		var at *torch.Tensor
		torch.NoGrad(func() {
			at = empty.Add(way.Mul(torch.FromFloat32(share, int64(n), int64(w), 1).ToDevice(m.device))).Contiguous()
		})
		at.RequiresGrad(true)
		in.words = at
		torch.EnableGrad(func() { m.aimed(in, aim).Sum().Backward() })
		torch.NoGrad(func() {
			for i, v := range at.Grad().Sum(0).Mul(way.Squeeze(0)).Sum(1).Float64s() {
				if content[i] {
					total[i] += v / float64(points)
				}
			}
		})
		s.Close()
	}
	out.Values, out.Steps = total, points
	return nil
}

// aimed is the score of an aim for each row of a batch: [B].
func (m *Model) aimed(in *Input, aim recipe.Aim) *torch.Tensor {
	pass := &Pass{}
	e := m.encode(in, pass)
	h := m.Heads[aim.Head]
	n := int64(len(in.Rows))
	if h.Spec.Kind == sdk.KindTag {
		var at, tags []int64
		for i, r := range in.Rows {
			for k, token := range aim.Tokens {
				if int(token) < len(r.Starts) && r.Starts[token] >= 0 {
					at, tags = append(at, int64(i*in.Width)+int64(r.Starts[token])), append(tags, int64(aim.Tags[k]))
				}
			}
		}
		if len(at) == 0 {
			return torch.Zeros(torch.Float32, m.device, n)
		}
		return logOdds(h.tokenScores(e, at, pass), tags, m.device).View(n, -1).Sum(1)
	}
	rows := make([]int64, n)
	classes := make([]int64, n)
	for i := range rows {
		rows[i], classes[i] = int64(i), int64(aim.Class)
	}
	z := h.scores(e, rows, pass)
	switch {
	case oneLogit(h.Spec) && aim.Class == 0:
		return z.View(n).Neg()
	case oneLogit(h.Spec):
		return z.View(n)
	case h.Spec.Kind == sdk.KindMultilabel:
		return z.Select(1, int64(aim.Class))
	}
	return logOdds(z, classes, m.device)
}

// logOdds is ln(p/(1-p)) of one class per row of logits [N, K]: the class's logit
// less the logarithm of the others' sum.
func logOdds(z *torch.Tensor, classes []int64, device torch.Device) *torch.Tensor {
	n, k := int64(len(classes)), z.Size(1)
	own := make([]bool, n*k)
	for i, c := range classes {
		own[int64(i)*k+c] = true
	}
	picked := z.Gather(1, torch.FromInt64(classes, n, 1).ToDevice(device)).View(n)
	return picked.Sub(z.MaskedFill(torch.FromBool(own, n, k).ToDevice(device), maskedOut).LogSumExp(1, false))
}
