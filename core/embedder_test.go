//go:build torch

package core_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/train"
)

// The vectors are those of sentence-transformers: the cosine of these two
// sentences is 0.7553, whatever else is in the batch.
func TestEmbedder(t *testing.T) {
	home := os.Getenv("ISLM_HOME")
	if home == "" {
		cache, err := os.UserCacheDir()
		require.NoError(t, err)
		home = filepath.Join(cache, "islm")
	}
	dir := filepath.Join(home, "models", "all-MiniLM-L6-v2")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("all-MiniLM-L6-v2 is not in the model store: run make bootstrap")
	}
	e, err := core.NewEmbedder(train.Engine{}, dir)
	require.NoError(t, err)
	texts := []string{"A man is eating food.", "A man is eating a piece of bread."}
	pair, err := e.Embed(t.Context(), texts)
	require.NoError(t, err)
	require.Len(t, pair, 2)
	assert.Len(t, pair[0], 384)
	assert.InDelta(t, 0.7553, cosine(pair[0], pair[1]), 1e-4)
	more, err := e.Embed(t.Context(), append([]string{"A cheetah is running behind its prey, far away from the road that leads to the village."}, texts...))
	require.NoError(t, err)
	assert.InDeltaSlice(t, pair[1], more[2], 1e-5)

	_, err = core.NewEmbedder(train.Engine{}, t.TempDir())
	assert.ErrorContains(t, err, "config.json")
}

func cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		dot, aa, bb = dot+float64(a[i])*float64(b[i]), aa+float64(a[i])*float64(a[i]), bb+float64(b[i])*float64(b[i])
	}
	return dot / math.Sqrt(aa*bb)
}
