package metric

import (
	"fmt"
	"sort"
)

// Calibration says how far probabilities can be believed.
type Calibration struct {
	// ECE is the expected calibration error (Naeini et al., 2015) of the
	// confidence of the predicted label: the mean distance of confidence and
	// accuracy over equal-width bins, weighted by their size.
	ECE float64 `json:"ece"`
	// Brier is half the mean squared distance of the probabilities from the
	// truth, 0..1 (for two classes the usual binary score).
	Brier float64 `json:"brier"`
	Bins  []Bin   `json:"bins,omitempty"`
}

// Bin holds the examples whose confidence lies in (Low, High]; the first one
// also those with confidence 0.
type Bin struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	N          int     `json:"n"`
	Confidence float64 `json:"confidence"` // mean
	Accuracy   float64 `json:"accuracy"`
}

// Calibrate compares probabilities with gold classes. scores hold one
// probability per label and example, gold the classes (-1 is left out). bins
// is the number of bins, 15 if 0.
func Calibrate(gold []int32, scores [][]float32, bins int) (*Calibration, error) {
	if bins <= 0 {
		bins = 15
	}
	if len(scores) != len(gold) {
		return nil, fmt.Errorf("calibration: %d rows of scores for %d examples", len(scores), len(gold))
	}
	c := &Calibration{Bins: make([]Bin, bins)}
	right := make([]int, bins)
	n := 0
	for i, g := range gold {
		if g < 0 {
			continue
		}
		if int(g) >= len(scores[i]) {
			return nil, fmt.Errorf("calibration: example %d has class %d and %d scores", i, g, len(scores[i]))
		}
		n++
		best := 0
		for k, p := range scores[i] {
			if p > scores[i][best] {
				best = k
			}
			truth := 0.0
			if int32(k) == g {
				truth = 1
			}
			c.Brier += (float64(p) - truth) * (float64(p) - truth) / 2
		}
		confidence := float64(scores[i][best])
		b := binOf(confidence, bins)
		c.Bins[b].N++
		c.Bins[b].Confidence += confidence
		if int32(best) == g {
			right[b]++
		}
	}
	c.Brier = ratio(c.Brier, float64(n))
	for b := range c.Bins {
		bin := &c.Bins[b]
		bin.Low, bin.High = float64(b)/float64(bins), float64(b+1)/float64(bins)
		bin.Confidence = ratio(bin.Confidence, float64(bin.N))
		bin.Accuracy = ratio(float64(right[b]), float64(bin.N))
		gap := bin.Accuracy - bin.Confidence
		if gap < 0 {
			gap = -gap
		}
		c.ECE += gap * ratio(float64(bin.N), float64(n))
	}
	return c, nil
}

// binOf finds the bin (low, high] of a confidence.
func binOf(p float64, bins int) int {
	b := sort.Search(bins, func(i int) bool { return p <= float64(i+1)/float64(bins) })
	return min(b, bins-1)
}

// AUC is the area under the ROC curve: the chance that a positive example has
// a higher score than a negative one, equal scores counting half (Mann and
// Whitney). 0 where one kind is absent.
func AUC(positive []bool, score []float64) float64 {
	rank := ranks(score)
	n, rankSum := 0, 0.0
	for i, p := range positive {
		if p {
			n++
			rankSum += rank[i]
		}
	}
	m := len(positive) - n
	if n == 0 || m == 0 {
		return 0
	}
	return (rankSum - float64(n)*float64(n+1)/2) / (float64(n) * float64(m))
}

// AveragePrecision is the sum of precision times gain in recall down the
// ranking; examples with equal scores come in together. 0 without positives.
func AveragePrecision(positive []bool, score []float64) float64 {
	order := make([]int, len(score))
	total := 0
	for i := range order {
		order[i] = i
		if positive[i] {
			total++
		}
	}
	sort.Slice(order, func(a, b int) bool { return score[order[a]] > score[order[b]] })
	ap, hits := 0.0, 0
	for i := 0; i < len(order); {
		j, before := i, hits
		for j < len(order) && score[order[j]] == score[order[i]] {
			if positive[order[j]] {
				hits++
			}
			j++
		}
		ap += float64(hits) / float64(j) * ratio(float64(hits-before), float64(total))
		i = j
	}
	return ap
}

// MeanReciprocalRank is the mean of 1/rank; ranks begin at 1, a rank of 0
// means that nothing was found.
func MeanReciprocalRank(ranks []int) float64 {
	s := 0.0
	for _, r := range ranks {
		if r > 0 {
			s += 1 / float64(r)
		}
	}
	return ratio(s, float64(len(ranks)))
}

// HitsAt is the share of ranks from 1 to k.
func HitsAt(ranks []int, k int) float64 {
	n := 0
	for _, r := range ranks {
		if r > 0 && r <= k {
			n++
		}
	}
	return ratio(float64(n), float64(len(ranks)))
}
