package core

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
)

func TestKeptLayers(t *testing.T) {
	for name, tc := range map[string]struct {
		layers, groups int
		plan           recipe.StudentPlan
		want           []int
	}{
		"every second": {6, 0, recipe.StudentPlan{}, []int{1, 3, 5}},
		"odd":          {3, 0, recipe.StudentPlan{Hidden: 8}, []int{0, 2}},
		"named":        {6, 0, recipe.StudentPlan{Layers: []float64{0, 5}}, []int{0, 5}},
		"shared":       {4, 1, recipe.StudentPlan{}, []int{1, 3}}, // which the cut refuses
		"shared, cut":  {4, 1, recipe.StudentPlan{Intermediate: 8}, []int{0, 1, 2, 3}},
		"shared, new":  {4, 1, recipe.StudentPlan{From: recipe.StudentScratch, Hidden: 8}, []int{1, 3}},
	} {
		require.Equal(t, tc.want, keptLayers(&hf.Config{Layers: tc.layers, Groups: tc.groups}, &tc.plan), name)
	}
}
