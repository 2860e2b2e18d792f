package metric

import (
	"cmp"
	"math"
	"slices"
)

// Ranking holds the scores of candidates that were put in order for queries.
// Each is a mean over the queries that have a relevant candidate (a label above
// 0) and at least two candidates; of candidates with equal scores the less
// relevant comes first, so that a constant wins nothing.
type Ranking struct {
	Queries int     `json:"queries"`
	MRR     float64 `json:"mrr"`     // 1 / rank of the first relevant candidate
	NDCG10  float64 `json:"ndcg_10"` // gains 2^label-1 of the first ten, against the best order (Järvelin and Kekäläinen 2002)
	MAP     float64 `json:"map"`     // mean of the precision at each relevant candidate
	Hit1    float64 `json:"hit_1"`   // share of queries whose first candidate is relevant
}

// NewRanking scores candidates: query, label and score of each. The lists have
// equal length; equal query numbers mean one query.
func NewRanking(query []uint64, gold, score []float64) *Report {
	groups, order := map[uint64][]int{}, []uint64{}
	for i, q := range query {
		if groups[q] == nil {
			order = append(order, q)
		}
		groups[q] = append(groups[q], i)
	}
	means := map[string][]float64{"mrr": {}, "ndcg_10": {}, "map": {}, "hit_1": {}}
	queries := 0
	for _, q := range order {
		rows := groups[q]
		relevant := slices.ContainsFunc(rows, func(i int) bool { return gold[i] > 0 })
		if !relevant || len(rows) < 2 {
			continue
		}
		queries++
		slices.SortStableFunc(rows, func(a, b int) int { return cmp.Or(cmp.Compare(score[b], score[a]), cmp.Compare(gold[a], gold[b])) })
		first, found, precision := 0, 0, 0.0
		for k, i := range rows {
			if gold[i] <= 0 {
				continue
			}
			if found++; found == 1 {
				first = k + 1
			}
			precision += float64(found) / float64(k+1)
		}
		best := make([]float64, len(rows))
		said := make([]float64, len(rows))
		for k, i := range rows {
			best[k], said[k] = gold[i], gold[i]
		}
		slices.SortFunc(best, func(a, b float64) int { return cmp.Compare(b, a) })
		hit := 0.0
		if first == 1 {
			hit = 1
		}
		means["mrr"] = append(means["mrr"], 1/float64(first))
		means["map"] = append(means["map"], precision/float64(found))
		means["hit_1"] = append(means["hit_1"], hit)
		means["ndcg_10"] = append(means["ndcg_10"], ratio(gain(said), gain(best)))
	}
	return &Report{
		Task: TaskRank, N: len(gold),
		Ranking: &Ranking{Queries: queries, MRR: mean(means["mrr"]), NDCG10: mean(means["ndcg_10"]), MAP: mean(means["map"]), Hit1: mean(means["hit_1"])},
		Sample:  &Sample{means: means, units: queries},
	}
}

// gain is the discounted cumulative gain of the first ten labels.
func gain(labels []float64) float64 {
	total := 0.0
	for k, l := range labels[:min(10, len(labels))] {
		total += (math.Pow(2, l) - 1) / math.Log2(float64(k+2))
	}
	return total
}

func mean(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return ratio(total, float64(len(values)))
}
