//go:build torch

package model

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// What islm saves loads in transformers' AutoModelFor… with the same logits and
// label names.
func TestParityWithTransformers(t *testing.T) {
	python := os.Getenv("ISLM_PARITY_PY")
	if python == "" {
		t.Skip("set ISLM_PARITY_PY to a Python with transformers, or run make parity")
	}
	heads := []sdk.HeadSpec{
		{Name: "topic", Kind: sdk.KindClassify, Labels: []string{"positive", "negative", "neutral", "涨", "a\"b", "f", "g", "h", "i", "j", "k"}},
		{Name: "ner", Kind: sdk.KindTag, Labels: []string{"PER", "LOC"}},
		{Name: "flags", Kind: sdk.KindMultilabel, Labels: []string{"x", "y"}},
		{Name: "yes", Kind: sdk.KindClassify, Labels: []string{"no", "yes"}, Loss: "bce"},
		{Name: "answer", Kind: sdk.KindQA},
	}
	for i, spec := range heads {
		t.Run(spec.Name, func(t *testing.T) {
			dir := t.TempDir()
			var want [][]float32
			var f *fixture
			inTorch(t, func() {
				f = loadFixture(t, "tag", nil)
				m := mustLoad(t, "testdata/base", heads, Options{Seed: 9})
				defer m.Close()
				require.NoError(t, m.Save(dir, spec.Name))
				torch.NoGrad(func() {
					for k := range f.rows {
						in, err := m.Input(f.rows[k:k+1], 0)
						require.NoError(t, err)
						want = append(want, m.Logits(in, i).Float32s())
					}
				})
			})
			input, err := json.Marshal(map[string]any{"rows": f.raw})
			require.NoError(t, err)
			cmd := exec.Command(python, filepath.Join("..", "..", "scripts", "parity", "load_model.py"), dir)
			cmd.Stdin = bytes.NewReader(input)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.NoError(t, err, stderr.String())
			var got struct {
				Architecture string            `json:"architecture"`
				Labels       []string          `json:"labels"`
				Label2ID     map[string]int    `json:"label2id"`
				Missing      []string          `json:"missing"`
				Unexpected   []string          `json:"unexpected"`
				Logits       []json.RawMessage `json:"logits"`
			}
			require.NoError(t, json.Unmarshal(out, &got))
			require.Empty(t, got.Missing)
			require.Empty(t, got.Unexpected)
			if spec.Kind != sdk.KindQA {
				require.Equal(t, ConfigLabels(spec), got.Labels)
			}
			for k, l := range got.Labels {
				require.Equal(t, k, got.Label2ID[l])
			}
			for k, raw := range got.Logits {
				var flat []float32
				if spec.Kind == sdk.KindTag || spec.Kind == sdk.KindQA {
					var rows [][]float32
					require.NoError(t, json.Unmarshal(raw, &rows))
					for _, r := range rows {
						flat = append(flat, r...)
					}
				} else {
					require.NoError(t, json.Unmarshal(raw, &flat))
				}
				near(t, want[k], flat, 1e-5, "logits")
			}
		})
	}
}
