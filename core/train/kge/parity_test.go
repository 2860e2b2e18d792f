//go:build torch

package kge

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
)

// reference is a case of scripts/fixtures/kge.py.
type reference struct {
	Settings
	Queries [][2]int32
	Rows    []struct {
		Query   [2]int32
		Answers []int32
	}
	Wrong   [][]int32
	Weights []float64

	name string
	file *safetensors.File
}

func references(t *testing.T) []reference {
	t.Helper()
	f, err := safetensors.Open("testdata/cases.safetensors")
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	text, err := os.ReadFile("testdata/cases.json")
	require.NoError(t, err)
	byName := map[string]reference{}
	require.NoError(t, json.Unmarshal(text, &byName))
	require.Len(t, byName, 12)
	var out []reference
	for name, c := range byName {
		c.name, c.file = name, f
		c.Seed, c.Init = 1, 1
		out = append(out, c)
	}
	return out
}

func (c reference) want(t *testing.T, name string) []float64 {
	t.Helper()
	e, ok := c.file.Entry(c.name + "/" + name)
	require.True(t, ok, name)
	return torch.FromEntry(e).Float64s()
}

func (c reference) batch() (batch []row, wrong []int32) {
	for i, r := range c.Rows {
		batch = append(batch, row{Query{r.Query[0], r.Query[1]}, r.Answers})
		if c.Wrong != nil {
			wrong = append(wrong, c.Wrong[i]...)
		}
	}
	return batch, wrong
}

// tables holds the vectors of the reference.
func (c reference) tables(t *testing.T) *tables {
	t.Helper()
	tb := newTables(c.Settings, 12, 3, torch.CPU)
	for name, x := range map[string]*torch.Tensor{"entities": tb.entity, "relations": tb.relation} {
		e, ok := c.file.Entry(c.name + "/" + name)
		require.True(t, ok)
		require.Equal(t, e.Shape, x.Shape())
		x.CopyFrom(torch.FromEntry(e))
	}
	return tb
}

// near is the design's "equal to 1e-5".
func near(t *testing.T, want, got []float64, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	worst, top := 0.0, 1.0
	for i := range want {
		if d := math.Abs(got[i] - want[i]); d > worst || math.IsNaN(d) {
			worst = d
		}
		top = max(top, math.Abs(want[i]))
	}
	require.LessOrEqual(t, worst, 1e-5*top, what)
}

func TestScoresEqualPyTorch(t *testing.T) {
	for _, c := range references(t) {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, torch.Do(func() {
				s := torch.Open()
				defer s.Close()
				tb := c.tables(t)
				defer tb.free()
				var batch []row
				for _, q := range c.Queries {
					batch = append(batch, row{query: Query{q[0], q[1]}})
				}
				q := tb.gather(batch).query.Detach()
				near(t, c.want(t, "scores"), tb.all(q, tb.entity, 1<<20).Float64s(), "scores")
				near(t, c.want(t, "scores"), tb.all(q, tb.entity, 100).Float64s(), "scores in parts")
				near(t, c.want(t, "scores"), tb.compare(q.Unsqueeze(1), tb.entity.Unsqueeze(0)).Float64s(), "scores of pairs")
			}))
		})
	}
}

func TestGradientsAndStepsEqualPyTorch(t *testing.T) {
	for _, c := range references(t) {
		// Large parts, and parts of a row or two: the same sums.
		for _, part := range []int{1 << 20, 1} {
			t.Run(c.name, func(t *testing.T) {
				require.NoError(t, torch.Do(func() {
					s := torch.Open()
					defer s.Close()
					tb := c.tables(t)
					defer tb.free()
					batch, wrong := c.batch()
					for step := range 3 {
						tb.gradEntity.FillInPlace(0)
						tb.gradRelation.FillInPlace(0)
						var sum float64
						var facts int
						if c.Loss == Softmax {
							sum, facts = tb.softmaxLoss(batch, min(part, 5))
						} else {
							sum, facts = tb.negativeLoss(batch, wrong, c.Weights, c.Temperature, int64(part))
						}
						tb.n3(batch, facts, c.N3)
						if step == 0 {
							near(t, c.want(t, "loss"), []float64{sum / float64(facts)}, "loss")
							near(t, c.want(t, "d_entities"), tb.gradEntity.Float64s(), "gradient of entities")
							near(t, c.want(t, "d_relations"), tb.gradRelation.Float64s(), "gradient of relations")
						}
						tb.step(c.LR)
					}
					near(t, c.want(t, "entities_3"), tb.entity.Float64s(), "entities after three steps")
					near(t, c.want(t, "relations_3"), tb.relation.Float64s(), "relations after three steps")
				}))
			})
		}
	}
}
