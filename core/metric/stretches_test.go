package metric

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Worked out by hand by the rules of SQuAD 2.0, the last by characters.
func TestAnswers(t *testing.T) {
	gold := [][]string{{"the Eiffel Tower", "Eiffel Tower, Paris"}, {"1849"}, {}, {}, {"a dog"}, {"上海证券交易所"}}
	pred := []string{"Eiffel tower.", "in 1849", "", "Rome", "", "上海交易所"}
	a := NewAnswers(gold, pred)
	require.InDelta(t, 2.0/6, a.Answers.ExactMatch, 1e-9)
	require.InDelta(t, (1+2.0/3+1+0+0+2*5.0/12)/6, a.Answers.F1, 1e-9)
	require.Equal(t, 4, a.Answers.Answerable)
	require.InDelta(t, 0.25, a.Answers.HasExactMatch, 1e-9)
	require.InDelta(t, 0.5, a.Answers.NoAnswer, 1e-9)
	v, err := a.Sample.Score(a.Primary(), nil)
	require.NoError(t, err)
	require.InDelta(t, a.Answers.F1, v, 1e-12)
}

// Spans count once each and by all of start, end and label; those that overlap count
// apart.
func TestSpans(t *testing.T) {
	gold := [][]Stretch{{{0, 3, 0}, {1, 2, 1}, {1, 2, 1}}, {}, nil, {{4, 4, 1}}}
	pred := [][]Stretch{{{0, 3, 0}, {1, 2, 0}}, {}, {{0, 0, 0}}, {{4, 4, 1}, {4, 4, 1}, {4, 5, 1}}}
	r := Spans([]string{"a", "b", "c"}, gold, pred)
	require.Equal(t, 3, r.N)
	require.Equal(t, EntityScore{Precision: 0.5, Recall: 2.0 / 3, F1: 4.0 / 7, Support: 3, Predicted: 4, Correct: 2}, r.Entities.EntityScore)
	require.InDelta(t, r.Averages.Micro.F1, *r.EntityF1, 1e-12)
	require.InDelta(t, 1.0/3, r.Accuracy, 1e-12)
	require.Len(t, r.Entities.Types, 2)
	v, err := r.Sample.Score("entity_f1", []int32{0, 1, 2})
	require.NoError(t, err)
	require.InDelta(t, 4.0/6, v, 1e-12)
}

// The label that says "none" takes no part in relation_f1: neither its hits nor its
// row, but what it was mistaken for counts.
func TestRelations(t *testing.T) {
	labels := []string{"none", "a", "b"}
	gold, pred := []int32{0, 0, 0, 1, 1, 2}, []int32{0, 0, 1, 1, 0, 1}
	r := Relations(labels, gold, pred, 0)
	require.InDelta(t, 2*1.0/(2*1+2+2), *r.RelationF1, 1e-12) // tp 1; fn 2; fp 2
	require.Equal(t, "relation_f1", r.Primary())
	v, err := r.Sample.Score("relation_f1", nil)
	require.NoError(t, err)
	require.InDelta(t, *r.RelationF1, v, 1e-12)
	all := Relations(labels, gold, pred, -1)
	require.InDelta(t, all.MicroF1, *all.RelationF1, 1e-12)
}
