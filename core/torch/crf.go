//go:build torch

package torch

import "github.com/islm-dev/islm/core/torch/internal/shim"

// Viterbi is the best path of a linear-chain CRF: scores [B, T, K], bool mask
// [B, T], start and end [K], trans [K, K] (from, to). The result is int64
// [B, T], -1 where the mask is false. Masked places are skipped, wherever they
// lie.
func Viterbi(scores, mask, start, end, trans *Tensor) *Tensor {
	return call("viterbi", func(out *shim.Handle) string {
		return shim.Viterbi(out, scores.c, mask.c, start.c, end.c, trans.c)
	}, scores, mask, start, end, trans)
}

// CRFLogLikelihood is log p(tags) of each row, [B]: arguments as for Viterbi,
// tags int64 [B, T] (any value where the mask is false). A row without any
// unmasked place gives 0. Gradients flow to scores and to all parameters.
// (Lafferty, McCallum, Pereira 2001.)
func CRFLogLikelihood(scores, tags, mask, start, end, trans *Tensor) *Tensor {
	if d := scores.DType(); d == BFloat16 || d == Float16 {
		scores = scores.ToDType(Float32) // sums of exponentials need the bits
	}
	steps := scores.Size(1)
	m := mask.ToDType(scores.DType())
	tag := Where(mask, tags, ZerosLike(tags))
	emit := scores.Gather(2, tag.Unsqueeze(2)).Squeeze(2)
	zero := ZerosLike(start)

	// alpha is the log sum over paths so far, gold the score of the given path;
	// prev the last unmasked tag of each row, begun whether there was one.
	begun := ZerosLike(m.Select(1, 0))
	prev := ZerosLike(tag.Select(1, 0))
	gold := ZerosLike(emit.Select(1, 0))
	alpha := zero.Unsqueeze(0).Expand(scores.Size(0), -1)
	for t := int64(0); t < steps; t++ {
		on, s, cur := m.Select(1, t), scores.Select(1, t), tag.Select(1, t)
		first := begun.EqScalar(0)
		fromStart := start.Unsqueeze(0).Add(s)
		fromPrev := alpha.Unsqueeze(2).Add(trans.Unsqueeze(0)).LogSumExp(1, false).Add(s)
		next := Where(first.Unsqueeze(1), fromStart, fromPrev)
		alpha = Where(on.Unsqueeze(1).NeScalar(0), next, alpha)

		enter := start.IndexSelect(0, cur)
		move := trans.IndexSelect(0, prev).Gather(1, cur.Unsqueeze(1)).Squeeze(1)
		gain := Where(first, enter, move).Add(emit.Select(1, t))
		gold = gold.Add(gain.Mul(on))
		prev = Where(on.NeScalar(0), cur, prev)
		begun = begun.Maximum(on)
	}
	total := alpha.Add(end.Unsqueeze(0)).LogSumExp(1, false)
	gold = gold.Add(end.IndexSelect(0, prev))
	return gold.Sub(total).Mul(begun)
}
