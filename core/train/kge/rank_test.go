package kge

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// naive ranks by sorting: the places that the answer and those that tie with it
// take together, averaged.
func naive(scores []float32, answer int32, known []int32) float64 {
	var left []float32
	for i, s := range scores {
		if int32(i) == answer || !slices.Contains(known, int32(i)) {
			left = append(left, s)
		}
	}
	slices.Sort(left)
	slices.Reverse(left)
	var places []int
	for i, s := range left {
		if s == scores[answer] {
			places = append(places, i+1)
		}
	}
	sum := 0
	for _, p := range places {
		sum += p
	}
	return float64(sum) / float64(len(places))
}

func TestRankIsThatOfSorting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few values, so that there are ties.
		scores := rapid.SliceOfN(rapid.Map(rapid.IntRange(-3, 3), func(v int) float32 { return float32(v) }), 1, 30).Draw(t, "scores")
		id := rapid.Map(rapid.IntRange(0, len(scores)-1), func(v int) int32 { return int32(v) })
		answer := id.Draw(t, "answer")
		known := rapid.SliceOfDistinct(id, func(v int32) int32 { return v }).Draw(t, "known")
		require.Equal(t, naive(scores, answer, known), Rank(scores, answer, known))
	})
}

func TestRankOfTiesAndNaN(t *testing.T) {
	require.Equal(t, 2.5, Rank([]float32{1, 1, 1, 1}, 2, nil), "a model without an opinion is in the middle")
	require.Equal(t, 1.0, Rank([]float32{1, 1, 1, 1}, 2, []int32{0, 1, 2, 3}))
	nan := float32(math.NaN())
	require.Equal(t, 3.0, Rank([]float32{nan, 1, nan, 0}, 1, nil), "NaN never helps an answer")
	require.Equal(t, 4.0, Rank([]float32{nan, 1, nan, 0}, 0, nil))
	require.Equal(t, 3.0, Rank([]float32{nan, 1, nan, 0}, 0, []int32{0, 1}))
}

func TestScores(t *testing.T) {
	var v tally
	for _, r := range []float64{1, 2, 20} {
		v.add(0, r)
	}
	for _, r := range []float64{4, 10, 1.5} {
		v.add(1, r)
	}
	s := v.scores()
	require.InDelta(t, (1+0.5+0.05+0.25+0.1+1/1.5)/6, s.MRR, 1e-12)
	require.InDelta(t, (1+0.5+0.05)/3, s.TailMRR, 1e-12)
	require.InDelta(t, (0.25+0.1+1/1.5)/3, s.HeadMRR, 1e-12)
	require.Equal(t, []float64{1.0 / 6, 3.0 / 6, 5.0 / 6}, []float64{s.Hits1, s.Hits3, s.Hits10})
	require.InDelta(t, 38.5/6, s.Rank, 1e-12)
	require.Equal(t, 3, s.Facts)
	require.Equal(t, Scores{}, (&tally{}).scores())
}

// graph is random: 60 entities, 3 relations, some queries with many answers.
func graph(n int) *Data {
	r := rand.New(rand.NewPCG(1, 2))
	d := &Data{Entities: make([]string, 60), Relations: make([]string, 3)}
	for range n {
		d.Train = append(d.Train, Triple{int32(r.IntN(60)), int32(r.IntN(3)), int32(r.IntN(1 + r.IntN(60)))})
	}
	slices.SortFunc(d.Train, compare)
	d.Train = slices.Compact(d.Train)
	return d
}

func TestAnswers(t *testing.T) {
	d := graph(400)
	known := newAnswers(3, d.Train[:300], d.Train[200:])
	for _, f := range d.Train {
		for e := range int32(60) {
			require.Equal(t, slices.Contains(d.Train, Triple{f.Head, f.Relation, e}), known.has(Query{f.Head, f.Relation}, e))
			require.Equal(t, slices.Contains(d.Train, Triple{e, f.Relation, f.Tail}), known.has(Query{f.Tail, f.Relation + 3}, e))
		}
	}
	require.Nil(t, known.of(Query{0, 6}))
}

func TestRowsHoldEveryFactTwice(t *testing.T) {
	d := graph(400)
	known := newAnswers(3, d.Train)
	for _, most := range []int{0, 1, 4} {
		var got []Triple
		list := rows(known, most, 7, 2)
		for _, r := range list {
			require.NotEmpty(t, r.answers)
			if most > 0 {
				require.LessOrEqual(t, len(r.answers), most)
			}
			for _, a := range r.answers {
				if r.query.Relation < 3 {
					got = append(got, Triple{r.query.Entity, r.query.Relation, a})
				} else {
					got = append(got, Triple{a, r.query.Relation - 3, r.query.Entity})
				}
			}
		}
		slices.SortFunc(got, compare)
		require.Equal(t, 2*len(d.Train), len(got))
		require.Equal(t, d.Train, slices.Compact(got))
		require.Equal(t, list, rows(known, most, 7, 2))
		require.NotEqual(t, list, rows(known, most, 7, 3))
		require.Len(t, rows(known, most, 7, 3), len(list), "the number of steps does not depend on the epoch")
	}
}

func TestNegatives(t *testing.T) {
	d := graph(400)
	known := newAnswers(3, d.Train)
	batch := rows(known, 1, 7, 0)[:50]
	list := negatives(known, batch, 60, 20, 7, 0, 3)
	require.Len(t, list, 1000)
	for i, e := range list {
		require.False(t, known.has(batch[i/20].query, e))
	}
	require.Equal(t, list, negatives(known, batch, 60, 20, 7, 0, 3))
	require.NotEqual(t, list, negatives(known, batch, 60, 20, 7, 0, 4))

	// An entity that is related to everything still gets its negatives.
	var full []Triple
	for e := range int32(5) {
		full = append(full, Triple{0, 0, e})
	}
	all := newAnswers(1, full)
	require.Len(t, negatives(all, []row{{Query{0, 0}, []int32{1}}}, 5, 4, 1, 0, 0), 4)
}

func TestWeight(t *testing.T) {
	// (0, 0) has the tails 1 and 2; (0, tail 1) has the heads 0 and 3 and 4.
	known := newAnswers(1, []Triple{{0, 0, 1}, {0, 0, 2}, {3, 0, 1}, {4, 0, 1}})
	want := 1 / math.Sqrt(4+1+4+2)
	require.InDelta(t, want, weight(known, row{Query{0, 0}, []int32{1}}, 1), 1e-12)
	require.InDelta(t, want, weight(known, row{Query{1, 1}, []int32{0}}, 1), 1e-12, "the question for the head weighs the same")
}
