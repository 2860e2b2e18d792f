//go:build torch

package model

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// mixupFixture gives the rows of the fixture, mixed as it says.
func mixupFixture(t *testing.T) (*fixture, []*recipe.Encoded) {
	t.Helper()
	f := loadFixture(t, "mixup", func(r fixtureRow) []recipe.Target { return []recipe.Target{{Has: true, Class: r.Class}} })
	raw, err := os.ReadFile("testdata/mixup.json")
	require.NoError(t, err)
	var doc struct {
		Rows []struct {
			With  int
			Share float64
		}
	}
	require.NoError(t, json.Unmarshal(raw, &doc))
	var rows []*recipe.Encoded
	for i, r := range doc.Rows {
		row := *f.rows[i]
		if r.Share < 1 {
			row.Mixed = &recipe.Mixed{With: f.rows[r.With], Share: r.Share}
		}
		rows = append(rows, &row)
	}
	return f, rows
}

// Logits, loss and all gradients of mixed rows are PyTorch's, with class weights,
// texts of different lengths and token types.
func TestMixupEqualsPyTorch(t *testing.T) {
	inTorch(t, func() {
		f, rows := mixupFixture(t)
		m := mustLoad(t, "testdata/base", []sdk.HeadSpec{{Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}, ClassWeights: f.weights}}, Options{})
		defer m.Close()
		setHead(t, m, f, 0, "classifier")
		trainAll(m)
		in, err := m.Input(rows, 0)
		require.NoError(t, err)
		want, _ := f.tensor(t, "logits")
		near(t, m.Logits(in, 0).Float32s(), want, 1e-5, "logits")
		loss, err := m.Loss(in, &Pass{Train: true}, m.Norms(rows))
		require.NoError(t, err)
		wantLoss, _ := f.tensor(t, "loss")
		require.InDelta(t, float64(wantLoss[0]), loss.Item(), 1e-5)
		loss.Backward()
		compareGrads(t, m, f, nil)

		wide, err := m.Input(rows, 20)
		require.NoError(t, err)
		near(t, m.Logits(wide, 0).Float32s(), want, 1e-5, "padding does not count")
	})
}

// Of texts of one length a share of 1 is the row itself and one of 0 the other; a
// label that only one of the two has counts with its share.
func TestMixupEnds(t *testing.T) {
	inTorch(t, func() {
		m := mustLoad(t, "testdata/base", []sdk.HeadSpec{{Name: "h", Kind: sdk.KindMultilabel, Labels: []string{"a", "b"}, Pooling: "mean"}}, Options{Seed: 3})
		defer m.Close()
		a := &recipe.Encoded{ID: "a", Key: 1, IDs: []int32{2, 7, 8, 9, 3}, Targets: []recipe.Target{{Has: true, Classes: []bool{true, false}}}}
		b := &recipe.Encoded{ID: "b", Key: 2, IDs: []int32{2, 11, 6, 14, 3}, Targets: []recipe.Target{{Has: true, Classes: []bool{false, true}}}}
		none := &recipe.Encoded{ID: "n", Key: 3, IDs: []int32{2, 12, 13, 3}, Targets: []recipe.Target{{}}}
		lossOf := func(rows ...*recipe.Encoded) float64 {
			in, err := m.Input(rows, 0)
			require.NoError(t, err)
			loss, err := m.Loss(in, &Pass{}, m.Norms(rows))
			require.NoError(t, err)
			if loss == nil {
				return 0
			}
			return loss.Item()
		}
		mixed := func(x, with *recipe.Encoded, share float64) *recipe.Encoded {
			y := *x
			y.Mixed = &recipe.Mixed{With: with, Share: share}
			return &y
		}
		torch.NoGrad(func() {
			require.InDelta(t, lossOf(a), lossOf(mixed(a, b, 1)), 1e-6)
			require.InDelta(t, lossOf(a, b), lossOf(mixed(a, b, 1), mixed(b, a, 1)), 1e-6)
			require.InDelta(t, lossOf(a), lossOf(mixed(b, a, 0)), 1e-6)
			half := mixed(a, none, 0.5)
			require.Equal(t, []float64{1}, m.Norms([]*recipe.Encoded{half}), "the label of one text alone, of two classes")
			require.Zero(t, lossOf(mixed(none, none, 0.4)))
		})
	})
}
