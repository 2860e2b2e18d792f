package kge

// Scores says how well the answers of a split were ranked among all entities,
// filtered. Both queries of each fact count, the one for its tail and the one
// for its head.
type Scores struct {
	MRR    float64 `json:"mrr"`     // mean reciprocal rank
	Hits1  float64 `json:"hits@1"`  // share of ranks up to 1
	Hits3  float64 `json:"hits@3"`  // share of ranks up to 3
	Hits10 float64 `json:"hits@10"` // share of ranks up to 10
	Rank   float64 `json:"mean_rank"`
	Facts  int     `json:"facts"`
	// The mean reciprocal rank of either side alone.
	TailMRR float64 `json:"tail_mrr"`
	HeadMRR float64 `json:"head_mrr"`
}

// Rank is the place of answer among the entities by score, from 1: one more
// than the number of better entities, and half of those that tie with it. known
// are the other right answers, which do not count (answer itself may be among
// them); they are unique. A NaN is better than every number, and an answer that
// has none comes last.
func Rank(scores []float32, answer int32, known []int32) float64 {
	s := scores[answer]
	better, equal := 0, 0
	for _, v := range scores {
		if v == s {
			equal++
		} else if !(v < s) {
			better++
		}
	}
	equal-- // answer itself
	if s != s {
		// Every comparison was false: answer counted itself as better.
		equal, better = 0, better-1
	}
	for _, k := range known {
		if k == answer {
			continue
		}
		if v := scores[k]; v == s {
			equal--
		} else if !(v < s) {
			better--
		}
	}
	return 1 + float64(better) + float64(equal)/2
}

// tally adds up ranks.
type tally struct {
	reciprocal           [2]float64 // of tails, of heads
	count                [2]int
	sum                  float64
	hits1, hits3, hits10 int
}

func (t *tally) add(side int, rank float64) {
	t.reciprocal[side] += 1 / rank
	t.count[side]++
	t.sum += rank
	if rank <= 1 {
		t.hits1++
	}
	if rank <= 3 {
		t.hits3++
	}
	if rank <= 10 {
		t.hits10++
	}
}

func (t *tally) scores() Scores {
	n := float64(t.count[0] + t.count[1])
	if n == 0 {
		return Scores{}
	}
	mean := func(v float64, n int) float64 {
		if n == 0 {
			return 0
		}
		return v / float64(n)
	}
	return Scores{
		MRR: (t.reciprocal[0] + t.reciprocal[1]) / n, Hits1: float64(t.hits1) / n, Hits3: float64(t.hits3) / n, Hits10: float64(t.hits10) / n,
		Rank: t.sum / n, Facts: t.count[0], TailMRR: mean(t.reciprocal[0], t.count[0]), HeadMRR: mean(t.reciprocal[1], t.count[1]),
	}
}
