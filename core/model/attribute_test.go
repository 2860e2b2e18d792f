//go:build torch

package model

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// The values of an attribution add up to the difference of the scores, special
// tokens have none, and a masked id drops the score by what a row written with
// the mask has less.
func TestAttribute(t *testing.T) {
	const mask = 4
	special := func(id int32) bool { return id == 2 || id == 3 }
	for _, name := range []string{"text", "all", "pooled"} {
		t.Run(name, func(t *testing.T) {
			inTorch(t, func() {
				c := loadKnowledge(t, name)
				m := c.load(t)
				defer m.Close()
				c.set(t, m)
				row := c.rows[0]
				aim := recipe.Aim{Class: 1, Groups: [][]int32{{1}, {2, 3}}}
				if name != "pooled" {
					aim.Tokens, aim.Tags = []int32{0, 2}, []int32{1, 3}
				}
				a, err := m.Attribute(row, aim, mask, special)
				require.NoError(t, err)
				require.Len(t, a.Values, row.Width())
				sum := 0.0
				for i, v := range a.Values {
					sum += v
					if i < len(row.IDs) && special(row.IDs[i]) {
						require.Zero(t, v)
					}
				}
				require.InDelta(t, a.Full-a.Empty, sum, tolerance*max(math.Abs(a.Full-a.Empty), 0.1), "after %d points", a.Steps)

				// The score itself is the log-odds of the head's probabilities.
				in, err := m.Input([]*recipe.Encoded{row}, 0)
				require.NoError(t, err)
				want := 0.0
				torch.NoGrad(func() {
					p := m.Logits(in, 0).Softmax(-1).Float32s()
					odds := func(v float32) float64 { return math.Log(float64(v) / (1 - float64(v))) }
					if name == "pooled" {
						want = odds(p[1])
						return
					}
					for k, token := range aim.Tokens {
						want += odds(p[int(row.Starts[token])*5+int(aim.Tags[k])])
					}
				})
				require.InDelta(t, want, a.Full, 1e-4)
				require.Len(t, a.Dropped, 2)

				if name == "text" { // without marks, a masked id is a row with another id
					other := *row
					other.IDs = append([]int32(nil), row.IDs...)
					other.IDs[1] = mask
					b, err := m.Attribute(&other, aim, mask, special)
					require.NoError(t, err)
					require.InDelta(t, a.Full-b.Full, a.Dropped[0], 1e-4)
				}
			})
		})
	}
}

// Decoders go the same way along their word embeddings: the values add up, and a masked
// id is a row with another id.
func TestAttributeArchitectures(t *testing.T) {
	const mask = 3
	for _, name := range []string{"gpt2-label", "gpt2-tags", "llama-label", "llama-tags", "distilbert-label", "albert-tags"} {
		t.Run(name, func(t *testing.T) {
			inTorch(t, func() {
				f := loadFixture(t, "lm/"+name, archTarget)
				head, aim := abc, recipe.Aim{Class: 1, Groups: [][]int32{{1}}}
				row := f.rows[0]
				if strings.HasSuffix(name, "-tags") {
					head = five
					for k, at := range row.Starts {
						if at > 0 {
							aim.Tokens, aim.Tags = append(aim.Tokens, int32(k)), append(aim.Tags, 2)
						}
					}
				}
				m := mustLoad(t, "testdata/lm/"+name, []sdk.HeadSpec{head}, Options{Trained: true})
				defer m.Close()
				plain := func(int32) bool { return false }
				a, err := m.Attribute(row, aim, mask, plain)
				require.NoError(t, err)
				sum := 0.0
				for _, v := range a.Values {
					sum += v
				}
				require.NotEqual(t, a.Full, a.Empty)
				require.InDelta(t, a.Full-a.Empty, sum, tolerance*max(math.Abs(a.Full-a.Empty), 0.1), "after %d points", a.Steps)
				other := *row
				other.IDs = append([]int32(nil), row.IDs...)
				other.IDs[1] = mask
				b, err := m.Attribute(&other, aim, mask, plain)
				require.NoError(t, err)
				require.InDelta(t, a.Full-b.Full, a.Dropped[0], 1e-4)
			})
		})
	}
}
