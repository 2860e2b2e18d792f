package metric

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// fixtures is testdata/fixtures.json, written by scripts/fixtures/metric.py.
type fixtures struct {
	Classification []struct {
		Labels   int
		Gold     string
		Pred     string
		Accuracy float64
		Used     []int
		Rows     map[string][4]float64
		Majority [2]float64
	}
	Multilabel []struct {
		Labels   int
		Gold     []string
		Pred     []string
		Accuracy float64
		Rows     map[string][4]float64
	}
	Regression []struct {
		Gold, Value                 []float64
		MSE, MAE, Pearson, Spearman float64
	}
	Calibration []struct {
		Gold       []int32
		Scores     [][]float32
		Bins       int
		Brier, ECE float64
	}
	Ranking []struct {
		Positive []bool
		Score    []float64
		AUC, AP  float64
	}
	Tags    []string
	Tagging []json.RawMessage
}

const tolerance = 1e-12

func loadFixtures(t *testing.T) fixtures {
	t.Helper()
	data, err := os.ReadFile("testdata/fixtures.json")
	require.NoError(t, err)
	f := fixtures{}
	require.NoError(t, json.Unmarshal(data, &f))
	return f
}

func digits(s string) []int32 {
	out := []int32{}
	for _, c := range s {
		out = append(out, c-'0')
	}
	return out
}

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = strconv.Itoa(i)
	}
	return out
}

func near(t *testing.T, want [4]float64, got Average, where string) {
	t.Helper()
	require.InDelta(t, want[0], got.Precision, tolerance, where)
	require.InDelta(t, want[1], got.Recall, tolerance, where)
	require.InDelta(t, want[2], got.F1, tolerance, where)
	require.Equal(t, int(want[3]), got.Support, where)
}

func rowOf(t *testing.T, r *Report, label string) Average {
	t.Helper()
	row, ok := r.Labels.Get(label)
	require.True(t, ok, label)
	return Average{row.Precision, row.Recall, row.F1, row.Support}
}

func TestClassificationEqualsSklearn(t *testing.T) {
	for i, f := range loadFixtures(t).Classification {
		r := Classification(names(f.Labels), digits(f.Gold), digits(f.Pred))
		require.InDelta(t, f.Accuracy, r.Accuracy, tolerance, i)
		require.Len(t, r.Labels, len(f.Used))
		for _, u := range f.Used {
			near(t, f.Rows[strconv.Itoa(u)], rowOf(t, r, strconv.Itoa(u)), strconv.Itoa(i))
		}
		near(t, f.Rows["micro avg"], r.Averages.Micro, "micro")
		near(t, f.Rows["macro avg"], r.Averages.Macro, "macro")
		near(t, f.Rows["weighted avg"], r.Averages.Weighted, "weighted")
		require.InDelta(t, f.Majority[0], r.Majority.Accuracy, tolerance)
		require.InDelta(t, f.Majority[1], r.Majority.MacroF1, tolerance)
		require.Len(t, r.Unused, f.Labels-len(f.Used))
	}
}

func TestMultiLabelEqualsSklearn(t *testing.T) {
	sets := func(rows []string) [][]bool {
		out := [][]bool{}
		for _, row := range rows {
			set := []bool{}
			for _, c := range row {
				set = append(set, c == '1')
			}
			out = append(out, set)
		}
		return out
	}
	for _, f := range loadFixtures(t).Multilabel {
		r := MultiLabel(names(f.Labels), sets(f.Gold), sets(f.Pred))
		require.InDelta(t, f.Accuracy, r.Accuracy, tolerance)
		for i := range f.Labels {
			near(t, f.Rows[strconv.Itoa(i)], rowOf(t, r, strconv.Itoa(i)), "label")
		}
		near(t, f.Rows["micro avg"], r.Averages.Micro, "micro")
		near(t, f.Rows["macro avg"], r.Averages.Macro, "macro")
		near(t, f.Rows["weighted avg"], r.Averages.Weighted, "weighted")
		near(t, f.Rows["samples avg"], *r.Averages.Samples, "samples")
	}
}

func TestEntitiesEqualConlleval(t *testing.T) {
	f := loadFixtures(t)
	require.Len(t, f.Tagging, 1000)
	for i, raw := range f.Tagging {
		var gold, pred []string
		counts := map[string][3]int{}
		require.NoError(t, json.Unmarshal(raw, &[]any{&gold, &pred, &counts}))
		g, p := [][]int32{}, [][]int32{}
		for k := range gold {
			g, p = append(g, digits(gold[k])), append(p, digits(pred[k]))
		}
		r := Tagging(f.Tags, g, p, "bio")
		require.Len(t, r.Entities.Types, len(counts), i)
		all := [3]int{}
		for _, kind := range r.Entities.Types {
			require.Equal(t, counts[kind.Type], [3]int{kind.Correct, kind.Support, kind.Predicted}, "case %d %s", i, kind.Type)
			for k, n := range counts[kind.Type] {
				all[k] += n
			}
		}
		require.Equal(t, all, [3]int{r.Entities.Correct, r.Entities.Support, r.Entities.Predicted}, i)
		if all[1]+all[2] > 0 {
			require.InDelta(t, 2*float64(all[0])/float64(all[1]+all[2]), *r.EntityF1, tolerance)
		}
		score, err := r.Sample.Score("entity_f1", nil)
		require.NoError(t, err)
		require.InDelta(t, *r.EntityF1, score, tolerance)
	}
}

func TestNumbersEqualScipyAndSklearn(t *testing.T) {
	f := loadFixtures(t)
	for _, c := range f.Regression {
		r := NewRegression(c.Gold, c.Value).Regression
		require.InDelta(t, c.MSE, r.MSE, tolerance)
		require.InDelta(t, c.MAE, r.MAE, tolerance)
		require.InDelta(t, c.Pearson, r.Pearson, tolerance)
		require.InDelta(t, c.Spearman, r.Spearman, tolerance)
	}
	for _, c := range f.Calibration {
		got, err := Calibrate(c.Gold, c.Scores, c.Bins)
		require.NoError(t, err)
		require.InDelta(t, c.ECE, got.ECE, tolerance)
		require.InDelta(t, c.Brier, got.Brier, tolerance)
	}
	for _, c := range f.Ranking {
		require.InDelta(t, c.AUC, AUC(c.Positive, c.Score), tolerance)
		require.InDelta(t, c.AP, AveragePrecision(c.Positive, c.Score), tolerance)
	}
}
