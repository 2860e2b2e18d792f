//go:build torch

package model

import (
	"math"
	"slices"

	"github.com/islm-dev/islm/core/torch"
)

// crf is a linear-chain conditional random field over the tags of a row
// (Lafferty et al. 2001, "Conditional Random Fields"): a score for each pair of
// neighbouring tags, for the first tag and for the last.
type crf struct {
	start, end  *Param // [K]
	transitions *Param // [K, K]: from, to
}

// loss is the sum over rows of -log p(tags). emissions [N, K] holds the labelled
// tokens of all rows one after the other, lengths how many each row has.
func (c *crf) loss(emissions *torch.Tensor, tags []int64, lengths []int, device torch.Device) *torch.Tensor {
	rows, width, k := len(lengths), slices.Max(lengths), emissions.Size(1)
	at, padded, real := make([]int64, rows*width), make([]int64, rows*width), make([]bool, rows*width)
	first := 0
	for i, n := range lengths {
		for t := range n {
			at[i*width+t], padded[i*width+t], real[i*width+t] = int64(first+t), tags[first+t], true
		}
		first += n
	}
	b, w := int64(rows), int64(width)
	scores := emissions.IndexSelect(0, torch.FromInt64(at, b*w).ToDevice(device)).View(b, w, k)
	return torch.CRFLogLikelihood(scores, torch.FromInt64(padded, b, w).ToDevice(device), torch.FromBool(real, b, w).ToDevice(device),
		c.start.Value, c.end.Value, c.transitions.Value).Sum().Neg()
}

// chain is a crf's scores on the host, for decoding.
type chain struct {
	k                       int
	start, end, transitions []float32
}

func (c *crf) chain() *chain {
	return &chain{
		k: int(c.start.Value.Size(0)), start: c.start.Value.Float32s(), end: c.end.Value.Float32s(),
		transitions: c.transitions.Value.Float32s(),
	}
}

// decode gives the best tag sequence for one row's emissions [n, k] (Viterbi)
// and the posterior probability of each of its tags (forward-backward).
func (c *chain) decode(emissions []float32) ([]int32, []float32) {
	k := c.k
	n := len(emissions) / k
	if n == 0 {
		return nil, nil
	}
	e := func(t, j int) float64 { return float64(emissions[t*k+j]) }
	trans := func(i, j int) float64 { return float64(c.transitions[i*k+j]) }

	best, alpha, beta := make([]float64, n*k), make([]float64, n*k), make([]float64, n*k)
	from := make([]int32, n*k)
	parts := make([]float64, k)
	for j := range k {
		best[j] = float64(c.start[j]) + e(0, j)
		alpha[j] = best[j]
		beta[(n-1)*k+j] = float64(c.end[j])
	}
	for t := 1; t < n; t++ {
		for j := range k {
			top, arg := math.Inf(-1), 0
			for i := range k {
				if v := best[(t-1)*k+i] + trans(i, j); v > top {
					top, arg = v, i
				}
				parts[i] = alpha[(t-1)*k+i] + trans(i, j)
			}
			best[t*k+j], from[t*k+j] = top+e(t, j), int32(arg)
			alpha[t*k+j] = logSumExp(parts) + e(t, j)
		}
	}
	for t := n - 2; t >= 0; t-- {
		for i := range k {
			for j := range k {
				parts[j] = trans(i, j) + e(t+1, j) + beta[(t+1)*k+j]
			}
			beta[t*k+i] = logSumExp(parts)
		}
	}
	last, top := 0, math.Inf(-1)
	for j := range k {
		if v := best[(n-1)*k+j] + float64(c.end[j]); v > top {
			top, last = v, j
		}
		parts[j] = alpha[(n-1)*k+j] + float64(c.end[j])
	}
	logZ := logSumExp(parts)
	tags, score := make([]int32, n), make([]float32, n)
	for t, j := n-1, int32(last); t >= 0; t-- {
		tags[t] = j
		score[t] = float32(math.Exp(alpha[t*k+int(j)] + beta[t*k+int(j)] - logZ))
		j = from[t*k+int(j)]
	}
	return tags, score
}

func logSumExp(v []float64) float64 {
	top := math.Inf(-1)
	for _, x := range v {
		top = max(top, x)
	}
	if math.IsInf(top, -1) {
		return top
	}
	sum := 0.0
	for _, x := range v {
		sum += math.Exp(x - top)
	}
	return top + math.Log(sum)
}
