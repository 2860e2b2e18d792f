//go:build torch

package model

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

func valueTarget(r fixtureRow) []recipe.Target {
	return []recipe.Target{{Has: true, Value: r.Value}}
}

// Vectors, cosines, losses and gradients of heads of vectors equal PyTorch's,
// also as the bi-encoder of a ranking head.
func TestVectorsEqualPyTorch(t *testing.T) {
	for _, kind := range []string{sdk.KindEmbed, sdk.KindRank} {
		for _, loss := range []string{sdk.LossMNR, sdk.LossCosine} {
			t.Run(kind+"/"+loss, func(t *testing.T) {
				inTorch(t, func() {
					f := loadFixture(t, loss, valueTarget)
					m := mustLoad(t, "testdata/base", []sdk.HeadSpec{{Name: "h", Kind: kind, Loss: loss}}, Options{})
					defer m.Close()
					trainAll(m)
					in, err := m.Input(f.rows, 0)
					require.NoError(t, err)
					value, err := m.Loss(in, &Pass{Train: true}, m.Norms(f.rows))
					require.NoError(t, err)
					want, _ := f.tensor(t, "loss")
					require.InDelta(t, float64(want[0]), value.Item(), 1e-5)
					value.Backward()
					compareGrads(t, m, f, nil)

					u, _ := f.tensor(t, "u")
					cosine, _ := f.tensor(t, "cosine")
					var vectors, cosines []float32
					predictions, err := m.Predict(in, false)
					require.NoError(t, err)
					for _, p := range predictions {
						vectors, cosines = append(vectors, p.Heads[0].Vector...), append(cosines, p.Heads[0].Value)
					}
					near(t, vectors, u, 1e-5, "vectors")
					near(t, cosines, cosine, 1e-5, "cosines")
				})
			})
		}
	}
}

// Heads of numbers and vectors come back from a saved folder as they were, the
// primary one and those beside it.
func TestNumbersAndVectorsReload(t *testing.T) {
	heads := []sdk.HeadSpec{{Name: "grade", Kind: sdk.KindRegress}, {Name: "near", Kind: sdk.KindRank, Pooling: "mean"}, {Name: "vec", Kind: sdk.KindEmbed}}
	target := func(r fixtureRow) []recipe.Target { return make([]recipe.Target, 3) }
	for _, primary := range []string{"grade", "near", "vec"} {
		t.Run(primary, func(t *testing.T) {
			inTorch(t, func() {
				f := loadFixture(t, "mnr", target)
				m := mustLoad(t, "testdata/base", heads, Options{Seed: 5})
				defer m.Close()
				in, err := m.Input(f.rows, 0)
				require.NoError(t, err)
				dir := t.TempDir()
				require.NoError(t, m.Save(dir, primary))
				again := mustLoad(t, dir, heads, Options{Trained: true})
				defer again.Close()
				in2, err := again.Input(f.rows, 0)
				require.NoError(t, err)
				want, err := m.Predict(in, false)
				require.NoError(t, err)
				got, err := again.Predict(in2, false)
				require.NoError(t, err)
				require.Equal(t, want, got)
			})
		})
	}
}
