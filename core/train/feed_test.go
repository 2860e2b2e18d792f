//go:build torch

package train

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
)

// Widths are rounded up in bfloat16 only, never beyond what the model can read.
func TestEvenWidths(t *testing.T) {
	require.NoError(t, torch.Do(func() {
		m, diags := model.Load(base, topic(), model.Options{Device: torch.CPU})
		require.Empty(t, diags.String())
		defer m.Close()
		limit := m.Config.MaxPositions
		for _, c := range []struct {
			width, row int
			bf16       bool
			want       int
		}{
			{width: 5, row: 5, want: 5},
			{width: 5, row: 5, bf16: true, want: 8},
			{width: 0, row: 5, bf16: true, want: 8},
			{width: 8, row: 5, bf16: true, want: 8},
			{width: limit, row: 5, bf16: true, want: limit},
			{width: limit - 1, row: 5, bf16: true, want: limit},
		} {
			b := &recipe.Batch{Rows: []*recipe.Encoded{{IDs: make([]int32, c.row)}}, Width: c.width}
			even(b, m, c.bf16)
			require.Equal(t, c.want, b.Width, "%+v", c)
		}
		m.Config.MaxPositions = 6
		b := &recipe.Batch{Rows: []*recipe.Encoded{{IDs: make([]int32, 5)}}, Width: 5}
		even(b, m, true)
		require.Equal(t, 5, b.Width, "8 would be more than the model's positions")
	}))
}

// In bfloat16 a row's prediction hardly depends on the width of its batch.
func TestWidthDoesNotChangePredictions(t *testing.T) {
	_, all := loadTrajectory(t)
	require.NoError(t, torch.Do(func() {
		m, diags := model.Load(base, topic(), model.Options{Device: torch.CPU})
		require.Empty(t, diags.String())
		defer m.Close()
		scores := func(width int) (out []float32) {
			scope := torch.Open()
			defer scope.Close()
			in, err := m.Input(all[:1], width)
			require.NoError(t, err)
			torch.NoGrad(func() {
				torch.Autocast(torch.CPU, true, func() {
					said, err := m.Predict(in, true)
					require.NoError(t, err)
					for _, one := range said {
						out = append(out, one.Heads[0].Scores...)
					}
				})
			})
			return out
		}
		n := len(all[0].IDs)
		want, got := scores(n), scores((n+widthStep)/widthStep*widthStep)
		require.NotEmpty(t, want)
		require.InDeltaSlice(t, want, got, 0.01)
	}))
}
