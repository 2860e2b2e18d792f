package metric

import (
	"math"
	"sort"
)

// Regression holds the scores of a number per example.
type Regression struct {
	MSE      float64 `json:"mse"`  // mean squared error, in squared units of the label
	RMSE     float64 `json:"rmse"` // its root, in units of the label
	MAE      float64 `json:"mae"`  // mean absolute error
	Pearson  float64 `json:"pearson"`
	Spearman float64 `json:"spearman"`
}

// NewRegression scores one number per example. gold and value have equal
// length.
func NewRegression(gold, value []float64) *Report {
	return &Report{
		Task: TaskRegress,
		N:    len(gold),
		Regression: &Regression{
			MSE:      meanSquare(gold, value),
			RMSE:     math.Sqrt(meanSquare(gold, value)),
			MAE:      meanAbs(gold, value),
			Pearson:  Pearson(gold, value),
			Spearman: Spearman(gold, value),
		},
		Sample: &Sample{gold: append([]float64{}, gold...), value: value},
	}
}

// Pearson returns the correlation of two equally long lists; 0 where it is
// undefined (fewer than two values, or no variance).
func Pearson(x, y []float64) float64 {
	n := float64(len(x))
	if n < 2 {
		return 0
	}
	mx, my := 0.0, 0.0
	for i := range x {
		mx += x[i]
		my += y[i]
	}
	mx, my = mx/n, my/n
	xy, xx, yy := 0.0, 0.0, 0.0
	for i := range x {
		dx, dy := x[i]-mx, y[i]-my
		xy += dx * dy
		xx += dx * dx
		yy += dy * dy
	}
	if xx == 0 || yy == 0 {
		return 0
	}
	return math.Max(-1, math.Min(1, xy/(math.Sqrt(xx)*math.Sqrt(yy))))
}

// Spearman returns the correlation of ranks, where equal values share the mean
// of their ranks.
func Spearman(x, y []float64) float64 { return Pearson(ranks(x), ranks(y)) }

// ranks gives 1 to the smallest value.
func ranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool { return values[order[a]] < values[order[b]] })
	out := make([]float64, len(values))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && values[order[j]] == values[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			out[k] = float64(i+1+j) / 2
		}
		i = j
	}
	return out
}

func meanSquare(gold, value []float64) float64 {
	s := 0.0
	for i := range gold {
		d := gold[i] - value[i]
		s += d * d
	}
	return ratio(s, float64(len(gold)))
}

func meanAbs(gold, value []float64) float64 {
	s := 0.0
	for i := range gold {
		s += math.Abs(gold[i] - value[i])
	}
	return ratio(s, float64(len(gold)))
}
