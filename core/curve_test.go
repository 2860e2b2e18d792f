package core

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Between two points the curve without knowledge is straight in the logarithm of the
// labels; a score that it never reaches has no number.
func TestLabelsSaved(t *testing.T) {
	point := func(arm string, labels int, mean float64) CurvePoint {
		return CurvePoint{Arm: arm, Labels: labels, Mean: mean}
	}
	r := &CurveResult{Points: []CurvePoint{
		point(ArmReal, 10, 0.6), point(ArmNone, 10, 0.5), point(ArmReal, 100, 0.75), point(ArmNone, 100, 0.7),
		point(ArmReal, 1000, 0.9), point(ArmNone, 1000, 0.8),
	}}
	r.Saved = labelsSaved(r.Points)
	require.Equal(t, []LabelsSaved{{10, 0.6, 32}, {100, 0.75, 316}, {1000, 0.9, 0}}, r.Saved)
	require.Equal(t, "with knowledge 100 labels reach 0.750, without it about 316 are needed: it saves about 216 labels", r.Sentence())
	r.Saved[1].Without = 0
	require.Contains(t, r.Sentence(), "more than 900 labels")
	r.Saved = []LabelsSaved{{100, 0.6, 40}}
	require.Equal(t, "the knowledge saves no labels here", r.Sentence())
}
