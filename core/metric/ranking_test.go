package metric

import (
	"math"
	"testing"
)

func TestRanking(t *testing.T) {
	// Query 1: relevant candidates at ranks 2 and 3 of 3; query 2: at rank 1 of 2;
	// query 3 has none and does not count, nor has query 4 a second candidate.
	r := NewRanking([]uint64{1, 1, 1, 2, 2, 3, 3, 4}, []float64{0, 1, 1, 0, 1, 0, 0, 1}, []float64{.9, .8, .1, .2, .3, .5, .4, .9})
	ndcg1 := (1/math.Log2(3) + 1/math.Log2(4)) / (1 + 1/math.Log2(3))
	want := Ranking{Queries: 2, MRR: .75, NDCG10: (ndcg1 + 1) / 2, MAP: ((1./2+2./3)/2 + 1) / 2, Hit1: .5}
	got := *r.Ranking
	for name, d := range map[string]float64{"mrr": got.MRR - want.MRR, "ndcg": got.NDCG10 - want.NDCG10, "map": got.MAP - want.MAP, "hit": got.Hit1 - want.Hit1} {
		if math.Abs(d) > 1e-12 {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if v, err := r.Sample.Score("mrr", []int32{2, 0}); err != nil || v != .5 {
		t.Errorf("mrr of query 1 twice: %v %v", v, err)
	}
	// A constant score wins nothing.
	if c := NewRanking([]uint64{1, 1}, []float64{1, 0}, []float64{0, 0}).Ranking.MRR; c != .5 {
		t.Errorf("mrr of a constant: %v", c)
	}
}
