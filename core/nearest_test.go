package core

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/recipe"
)

// angles embeds texts by a table; the lengths of its vectors say nothing.
type angles map[string][]float32

func (a angles) Embed(_ context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	for i, t := range texts {
		out[i] = append([]float32{}, a[t]...)
	}
	return out, nil
}

func TestSearchNearest(t *testing.T) {
	e := angles{"task": {3, 0}, "other task": {0, 1}, "near": {9, 1}, "nearer": {.2, 0}, "far": {-50, 0}, "between": {2, 2.1}, "up": {0, 4}}
	file := filepath.Join(t.TempDir(), "texts.txt")
	require.NoError(t, os.WriteFile(file, []byte("far\nnear\nbetween\nup\nnearer\n"), 0o600))
	plan := recipe.Defaults()
	for _, tc := range []struct {
		like []string
		k    int
		want []int
	}{
		{[]string{"task"}, 1, []int{4}},
		{[]string{"task"}, 2, []int{1, 4}},
		{[]string{"task", "other task"}, 1, []int{3, 4}},
		{[]string{"task", "other task"}, 2, []int{1, 2, 3, 4}}, // each text once, in the order of the corpus
	} {
		texts, chosen, err := searchNearest(t.Context(), e, tc.like, []string{file}, &plan.Data, tc.k)
		require.NoError(t, err)
		require.Equal(t, 5, texts)
		require.Equal(t, tc.want, chosen, "%v, %d", tc.like, tc.k)
	}
}
