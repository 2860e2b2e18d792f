package core

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/metric"
)

// A verdict is the interval's, not the mean's.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      Verdict
	}{
		{0.002, 0.03, Better},
		{-0.03, -0.002, Worse},
		{-0.01, 0.01, Equivalent},
		{0.001, 0.008, Equivalent}, // above zero, but too little to count
		{-0.02, 0.03, Undecided},
		{-0.011, 0.002, Undecided},
		{0, 0, Equivalent},
	} {
		d := &metric.Difference{Diff: (c.low + c.high) / 2, Range: metric.Interval{Low: c.low, High: c.high}}
		require.Equal(t, c.want, verdictOf(d), "[%g, %g]", c.low, c.high)
	}
}
