//go:build torch

package train

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
)

// Values of transformers' get_*_schedule_with_warmup with 2 warm-up steps of 10.
func TestSchedule(t *testing.T) {
	for kind, want := range map[string][]float64{
		"linear":   {0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125},
		"cosine":   {0, 0.5, 1, 0.9619397662556434, 0.8535533905932737, 0.6913417161825449, 0.5, 0.3086582838174551, 0.14644660940672627, 0.03806023374435663},
		"constant": {0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1},
	} {
		for _, warmup := range []float64{0.2, 2} {
			s, err := newSchedule(recipe.TrainPlan{Schedule: kind, Warmup: warmup}, 10)
			require.NoError(t, err)
			for i, w := range want {
				require.InDelta(t, w, s.at(i), 1e-12, "%s step %d", kind, i)
			}
		}
	}
	s, err := newSchedule(recipe.TrainPlan{Schedule: "constant"}, 5)
	require.NoError(t, err)
	require.Equal(t, 1.0, s.at(0))
	_, err = newSchedule(recipe.TrainPlan{Schedule: "spiral"}, 5)
	require.ErrorContains(t, err, "spiral")
}

func TestHolds(t *testing.T) {
	plan := recipe.TrainPlan{Freeze: []string{"embeddings", "layers 1-2"}}
	f, err := plan.Frozen(12)
	require.NoError(t, err)
	held := func(name, head string, newPooler bool) bool {
		return holds(&hf.Config{ModelType: "bert"}, f, &model.Param{Name: name, Head: head}, newPooler)
	}
	require.True(t, held("embeddings.LayerNorm.bias", "", false))
	require.True(t, held("encoder.layer.2.output.dense.bias", "", false))
	require.False(t, held("encoder.layer.11.output.dense.bias", "", false))
	require.False(t, held("pooler.dense.bias", "", false))
	require.False(t, held("sentiment.classifier.weight", "sentiment", false))

	plan.Freeze = []string{"encoder"}
	f, err = plan.Frozen(12)
	require.NoError(t, err)
	require.True(t, held("pooler.dense.bias", "", false))
	require.False(t, held("pooler.dense.bias", "", true))
	require.True(t, held("encoder.layer.11.output.dense.bias", "", false))
}
