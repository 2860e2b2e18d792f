//go:build torch

package model

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// The bias of a causal model's classifier lies in islm/ and stays there: in
// model.safetensors is what transformers' class has.
func TestScoreBiasLiesBeside(t *testing.T) {
	for _, arch := range []string{"gpt2", "llama"} {
		t.Run(arch, func(t *testing.T) {
			heads := []sdk.HeadSpec{{Name: "label", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}, Pooling: sdk.PoolingUnitMean}}
			load := func(from string, trained bool) *Model {
				var m *Model
				var ds sdk.Diagnostics
				require.NoError(t, torch.Do(func() { m, ds = Load(from, heads, Options{Device: torch.CPU, Seed: 1, Trained: trained}) }))
				require.NotNil(t, m, "%v", ds)
				return m
			}
			save := func(m *Model) string {
				dir := t.TempDir()
				require.NoError(t, torch.Do(func() {
					require.NoError(t, m.Save(dir, ""))
					m.Close()
				}))
				return dir
			}
			plain := save(load(filepath.Join("testdata/lm", arch), false))
			require.NoFileExists(t, filepath.Join(plain, hf.Own, hf.HeadWeightsFile))
			m := load(plain, true)
			require.Nil(t, m.Heads[0].out.bias, "a folder without the bias stays one")
			require.NoError(t, torch.Do(m.Close))

			bias := []float32{1, -2, 3}
			require.NoError(t, torch.Do(func() {
				scope := torch.Open()
				defer scope.Close()
				require.NoError(t, safetensors.Write(filepath.Join(plain, hf.Own, hf.HeadWeightsFile), []safetensors.Entry{torch.ToEntry("label."+hf.ScoreBias, torch.FromFloat32(bias, 3))}, nil))
			}))
			again := save(load(plain, true))
			main, err := safetensors.Open(filepath.Join(again, hf.WeightsFile))
			require.NoError(t, err)
			defer main.Close() //nolint:errcheck // only read
			require.Contains(t, main.Names(), "score.weight")
			require.NotContains(t, main.Names(), hf.ScoreBias)
			m = load(again, true)
			require.NoError(t, torch.Do(func() {
				defer m.Close()
				require.NotNil(t, m.Heads[0].out.bias)
				require.Equal(t, bias, m.Heads[0].out.bias.Value.Float32s())
			}))
		})
	}
}
