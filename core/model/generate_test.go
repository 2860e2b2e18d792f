//go:build torch

package model

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

type generateCase struct {
	Model    string `json:"model"`
	Settings struct {
		MaxNewTokens      int      `json:"max_new_tokens"`
		Beams             int      `json:"beams"`
		RepetitionPenalty float64  `json:"repetition_penalty"`
		LengthPenalty     *float64 `json:"length_penalty"`
	} `json:"settings"`
	End     []int32   `json:"end"`
	Prompts [][]int32 `json:"prompts"`
	IDs     [][]int32 `json:"ids"`
	Finish  []string  `json:"finish"`
	Scores  []float64 `json:"scores"`
}

func (c *generateCase) generation() *recipe.Generation {
	s := &c.Settings
	g := &recipe.Generation{GeneratePlan: recipe.GeneratePlan{MaxNewTokens: s.MaxNewTokens, Beams: max(1, s.Beams), RepetitionPenalty: s.RepetitionPenalty, LengthPenalty: 1, TopP: 1}, End: c.End}
	if s.LengthPenalty != nil {
		g.LengthPenalty = *s.LengthPenalty
	}
	return g
}

type shapeCase struct {
	Temperature float64   `json:"temperature"`
	TopK        int       `json:"top_k"`
	TopP        float64   `json:"top_p"`
	Logits      []float32 `json:"logits"`
	P           []float64 `json:"p"`
}

func generateFixture(t *testing.T) (cases []generateCase, shaped []shapeCase) {
	t.Helper()
	data, err := os.ReadFile("testdata/lm/generate.json")
	require.NoError(t, err)
	var f struct {
		Cases  []generateCase `json:"cases"`
		Shaped []shapeCase    `json:"shaped"`
	}
	require.NoError(t, json.Unmarshal(data, &f))
	require.NotEmpty(t, f.Cases)
	require.NotEmpty(t, f.Shaped)
	return f.Cases, f.Shaped
}

func promptRows(prompts [][]int32) (rows []*recipe.Encoded) {
	for i, p := range prompts {
		rows = append(rows, &recipe.Encoded{ID: fmt.Sprint(i), Key: uint64(i) * 0x9e3779b97f4a7c15, IDs: p})
	}
	return rows
}

var writer = []sdk.HeadSpec{{Name: "text", Kind: sdk.KindGenerate}}

func generated(t *testing.T, m *Model, rows []*recipe.Encoded, opt *recipe.Generation, cached bool) (out []*recipe.Generated) {
	t.Helper()
	torch.NoGrad(func() {
		var err error
		g := &generator{m: m, opt: opt, pass: &Pass{}, rows: rows, cached: cached}
		out, err = g.run()
		require.NoError(t, err)
	})
	return out
}

// Greedy and beam search give transformers' tokens, with and without penalties, in
// one batch of prompts of unequal length, with a cache and without.
func TestGenerateEqualsTransformers(t *testing.T) {
	cases, _ := generateFixture(t)
	for i, c := range cases {
		t.Run(fmt.Sprint(c.Model, i), func(t *testing.T) {
			inTorch(t, func() {
				m := mustLoad(t, "testdata/lm/"+c.Model, writer, Options{})
				defer m.Close()
				for _, cached := range []bool{true, false} {
					before := torch.Live()
					said := generated(t, m, promptRows(c.Prompts), c.generation(), cached)
					require.Equal(t, before, torch.Live(), "tensors are left")
					for k, g := range said {
						require.Equal(t, c.IDs[k], append([]int32{}, g.IDs...), "prompt %d, cached %v", k, cached)
						require.Equal(t, c.Finish[k], g.Finish)
						if len(c.Scores) > 0 {
							n := float64(len(g.IDs))
							if g.Finish == recipe.FinishEnd {
								n++
							}
							require.InDelta(t, c.Scores[k], g.LogProb/math.Pow(n, c.generation().LengthPenalty), 1e-4)
						}
					}
				}
			})
		})
	}
}

// Temperature, top-k and top-p leave the probabilities that transformers leaves.
func TestShapeEqualsTransformers(t *testing.T) {
	_, shaped := generateFixture(t)
	for _, c := range shaped {
		g := &generator{opt: &recipe.Generation{GeneratePlan: recipe.GeneratePlan{Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP}}}
		ids, p := g.shape(c.Logits)
		got := make([]float64, len(c.Logits))
		for i, id := range ids {
			got[id] = p[i]
		}
		require.InDeltaSlice(t, c.P, got, 1e-6, "%+v", c)
	}
}

// Draws are a function of seed, row and step: neither the batch nor the cache
// changes them. They come as often as the model says.
func TestGenerateDraws(t *testing.T) {
	cases, _ := generateFixture(t)
	inTorch(t, func() {
		m := mustLoad(t, "testdata/lm/gpt2", writer, Options{})
		defer m.Close()
		rows := promptRows(cases[0].Prompts)
		opt := &recipe.Generation{GeneratePlan: recipe.GeneratePlan{MaxNewTokens: 10, Beams: 1, Temperature: 0.9, TopK: 40, TopP: 0.95, RepetitionPenalty: 1.1}, Seed: 7}
		all := generated(t, m, rows, opt, true)
		require.Equal(t, all, generated(t, m, rows, opt, true))
		for i, g := range generated(t, m, rows, opt, false) {
			require.Equal(t, all[i].IDs, g.IDs)
			require.InDelta(t, all[i].LogProb, g.LogProb, 1e-4)
		}
		for i := range rows {
			require.Equal(t, all[i].IDs, generated(t, m, rows[i:i+1], opt, true)[0].IDs)
		}
		other := *opt
		other.Seed = 8
		require.NotEqual(t, all, generated(t, m, rows, &other, true))

		// 2000 first tokens of one prompt.
		opt = &recipe.Generation{GeneratePlan: recipe.GeneratePlan{MaxNewTokens: 1, Beams: 1, Temperature: 1, TopK: 5, TopP: 1}, Seed: 1}
		var many []*recipe.Encoded
		for i := range 2000 {
			many = append(many, &recipe.Encoded{Key: uint64(i)*0x9e3779b97f4a7c15 + 3, IDs: cases[0].Prompts[1]})
		}
		counts := map[int32]float64{}
		for _, g := range generated(t, m, many, opt, true) {
			counts[g.IDs[0]]++
		}
		g := &generator{m: m, opt: opt, pass: &Pass{}, rows: many[:1], cached: false}
		torch.NoGrad(func() {
			scores, err := g.next([]*draft{{}}, false)
			require.NoError(t, err)
			ids, p := g.shape(scores[0])
			require.Len(t, counts, len(ids))
			for i, id := range ids {
				require.InDelta(t, p[i], counts[id]/2000, 4*math.Sqrt(p[i]*(1-p[i])/2000))
			}
		})
	})
}

// A text ends at a stop, and where the positions of the model end.
func TestGenerateEnds(t *testing.T) {
	cases, _ := generateFixture(t)
	inTorch(t, func() {
		m := mustLoad(t, "testdata/lm/gpt2", writer, Options{})
		defer m.Close()
		rows := promptRows(cases[0].Prompts)
		for _, beams := range []int{1, 3} {
			opt := &recipe.Generation{GeneratePlan: recipe.GeneratePlan{MaxNewTokens: 100, Beams: beams, LengthPenalty: 1}}
			for i, g := range generated(t, m, rows, opt, true) {
				require.Equal(t, recipe.FinishLength, g.Finish)
				require.Len(t, g.IDs, m.Config.MaxPositions-len(rows[i].IDs))
			}
			opt.Stopped = func(ids []int32) bool { return len(ids) == 3 }
			for _, g := range generated(t, m, rows, opt, true) {
				require.Equal(t, recipe.FinishStop, g.Finish)
				require.Len(t, g.IDs, 3)
			}
		}
		torch.NoGrad(func() {
			long := []*recipe.Encoded{{ID: "long", IDs: make([]int32, m.Config.MaxPositions)}}
			_, err := m.Generate(long, 0, &recipe.Generation{GeneratePlan: recipe.GeneratePlan{MaxNewTokens: 1, Beams: 1}}, false)
			require.ErrorContains(t, err, `row "long": a prompt of 24 ids`)
		})
	})
}

// Classifiers beside a head that writes read the prompt alone.
func TestPromptPooling(t *testing.T) {
	heads := []sdk.HeadSpec{writer[0], {Name: "label", Kind: sdk.KindClassify, Labels: []string{"a", "b"}}, {Name: "mean", Kind: sdk.KindClassify, Labels: []string{"a", "b"}, Pooling: "mean"}}
	inTorch(t, func() {
		m := mustLoad(t, "testdata/lm/gpt2", heads, Options{Seed: 4})
		defer m.Close()
		prompt := &recipe.Encoded{ID: "p", IDs: []int32{5, 9, 33}, Targets: make([]recipe.Target, 3)}
		whole := &recipe.Encoded{ID: "w", IDs: []int32{5, 9, 33, 40, 41, 3}, Targets: []recipe.Target{{Has: true, Tokens: []int32{-1, -1, 40, 41, 3, -1}}, {}, {}}}
		said := predictions(t, m, []*recipe.Encoded{prompt, whole}, 0)
		for h := 1; h < 3; h++ {
			near(t, said[1].Heads[h].Scores, said[0].Heads[h].Scores, 1e-6, heads[h].Name)
		}
		require.Equal(t, 3, said[1].Heads[0].Tokens)
	})
}
