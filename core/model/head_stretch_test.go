//go:build torch

package model

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// setOwn overwrites the weights that a head's kind has of its own with the fixture's.
func setOwn(t *testing.T, m *Model, f *fixture, head int) {
	t.Helper()
	torch.NoGrad(func() {
		for _, p := range m.Heads[head].own {
			v, shape := f.tensor(t, strings.TrimPrefix(p.Name, p.Head+"."))
			p.Value.CopyFrom(torch.FromFloat32(v, shape...))
		}
	})
}

func answerTarget(r fixtureRow) []recipe.Target {
	t := recipe.Target{Has: true}
	if r.Answer[1] > 0 {
		t.Spans = []recipe.Stretch{{From: r.Answer[0], To: r.Answer[1]}}
	}
	return []recipe.Target{t}
}

// wholePassage makes the ids between the special tokens a passage of bytes.
func wholePassage(rows []*recipe.Encoded) {
	for _, r := range rows {
		r.Passage = &recipe.Passage{Text: strings.Repeat("x", len(r.IDs))}
		for i := range r.IDs {
			if i == 0 || i == len(r.IDs)-1 {
				r.Passage.Places = append(r.Passage.Places, -1, -1)
			} else {
				r.Passage.Places = append(r.Passage.Places, int32(i-1), int32(i))
			}
		}
	}
}

// A folder that transformers' BertForQuestionAnswering saved is declared as a head
// of answers and loads with its logits, loss and gradients.
func TestAnswersEqualTransformers(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "answer", answerTarget)
		heads, diags := hf.ReadHeads("testdata/qa")
		require.Empty(t, diags)
		require.Equal(t, []sdk.HeadSpec{{Name: "answer", Kind: sdk.KindQA}}, heads.Heads)
		m := mustLoad(t, "testdata/qa", heads.Heads, Options{Trained: true})
		defer m.Close()
		trainAll(m)
		in, err := m.Input(f.rows, 0)
		require.NoError(t, err)
		want, _ := f.tensor(t, "logits")
		near(t, m.Logits(in, 0).Float32s(), want, 1e-5, "logits")
		for _, width := range []int{0, 20} { // padding has no share in the loss
			torch.ZeroGrad(values(m))
			in, err := m.Input(f.rows, width)
			require.NoError(t, err)
			loss, err := m.Loss(in, &Pass{Train: true}, m.Norms(f.rows))
			require.NoError(t, err)
			value, _ := f.tensor(t, "loss")
			require.InDelta(t, float64(value[0]), loss.Item(), 1e-5)
			loss.Backward()
			compareGrads(t, m, f, nil)
		}
	})
}

// Answers lie in the passage, run forwards and are no longer than max_answer; the
// best is the one with the highest sum of logits.
func TestAnswersAreStretchesOfThePassage(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "answer", answerTarget)
		m := mustLoad(t, "testdata/qa", []sdk.HeadSpec{{Name: "answer", Kind: sdk.KindQA, Options: map[string]string{sdk.OptionMaxAnswer: "2"}}}, Options{Trained: true})
		defer m.Close()
		wholePassage(f.rows)
		in, err := m.Input(f.rows, 0)
		require.NoError(t, err)
		z := m.Logits(in, 0).Float32s()
		for i, p := range predictions(t, m, f.rows, 0) {
			at := func(id, side int) float32 { return z[2*(i*in.Width+id)+side] }
			best := float32(-1e9)
			for from := 1; from < len(f.rows[i].IDs)-1; from++ {
				for to := from; to < min(from+2, len(f.rows[i].IDs)-1); to++ {
					best = max(best, at(from, 0)+at(to, 1))
				}
			}
			said := p.Heads[0]
			require.InDelta(t, best, said.Spans[0].Score, 1e-5)
			require.InDelta(t, at(0, 0)+at(0, 1), said.Value, 1e-5)
			for k, s := range said.Spans {
				require.True(t, s.From >= 1 && s.To >= s.From && s.To-s.From < 2 && int(s.To) < len(f.rows[i].IDs)-1, "%v", s)
				require.LessOrEqual(t, s.Score, said.Spans[max(0, k-1)].Score)
			}
		}
	})
}

func relationTarget(r fixtureRow) []recipe.Target {
	return []recipe.Target{{Has: true, Class: r.Class, Marks: r.Marks}}
}

// Probabilities, loss and gradients of relations and of spans equal PyTorch's.
func TestRelationsEqualPyTorch(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "relation", relationTarget)
		m := mustLoad(t, "testdata/base", []sdk.HeadSpec{{Name: "h", Kind: sdk.KindRelation, Labels: []string{"a", "b", "c"}, ClassWeights: f.weights}}, Options{})
		defer m.Close()
		setOwn(t, m, f, 0)
		trainAll(m)
		want, _ := f.tensor(t, "scores")
		var got []float32
		for _, p := range predictions(t, m, f.rows, 0) {
			got = append(got, p.Heads[0].Scores...)
		}
		near(t, got, want, 1e-5, "scores")
		compareLoss(t, m, f)
	})
}

func spanTarget(r fixtureRow) []recipe.Target {
	t := recipe.Target{Has: true}
	for _, s := range r.Spans {
		t.Spans = append(t.Spans, recipe.Stretch{From: s[0], To: s[1], Class: s[2]})
	}
	return []recipe.Target{t}
}

func TestSpansEqualGlobalPointer(t *testing.T) {
	inTorch(t, func() {
		f := loadFixture(t, "span", spanTarget)
		m := mustLoad(t, "testdata/base", []sdk.HeadSpec{{Name: "h", Kind: sdk.KindSpan, Labels: []string{"a", "b", "c"}, Options: map[string]string{sdk.OptionSize: "8"}}}, Options{})
		defer m.Close()
		setOwn(t, m, f, 0)
		trainAll(m)
		in, err := m.Input(f.rows, 0)
		require.NoError(t, err)
		want, shape := f.tensor(t, "scores")
		got := m.Logits(in, 0)
		require.Equal(t, shape, got.Shape())
		said, w := predictions(t, m, f.rows, 0), int(shape[3])
		for i, r := range f.rows {
			positive := 0
			for k := range 3 {
				for from := range r.Starts {
					for to := range r.Starts {
						at := ((i*3+k)*w+from)*w + to
						near(t, got.Float32s()[at:at+1], want[at:at+1], 1e-5, "score")
						if to >= from && want[at] > 0 {
							positive++
						}
					}
				}
			}
			require.Len(t, said[i].Heads[0].Spans, min(positive, len(r.Starts)))
		}
		compareLoss(t, m, f)
	})
}

func compareLoss(t *testing.T, m *Model, f *fixture) {
	t.Helper()
	for _, width := range []int{0, 20} {
		torch.ZeroGrad(values(m))
		in, err := m.Input(f.rows, width)
		require.NoError(t, err)
		loss, err := m.Loss(in, &Pass{Train: true}, m.Norms(f.rows))
		require.NoError(t, err)
		want, _ := f.tensor(t, "loss")
		require.InDelta(t, float64(want[0]), loss.Item(), 1e-5)
		loss.Backward()
		compareGrads(t, m, f, nil)
	}
}

// Answers, relations and spans stand on one encoder with a classifier and come
// back from a saved folder as they were, whichever head the folder itself holds.
func TestStretchesReload(t *testing.T) {
	heads := []sdk.HeadSpec{
		{Name: "topic", Kind: sdk.KindClassify, Labels: []string{"a", "b"}},
		{Name: "answer", Kind: sdk.KindQA},
		{Name: "between", Kind: sdk.KindRelation, Labels: []string{"a", "b", "c"}},
		{Name: "nested", Kind: sdk.KindSpan, Labels: []string{"x", "y"}, Options: map[string]string{sdk.OptionSize: "8"}},
	}
	for i, primary := range heads {
		t.Run(primary.Name, func(t *testing.T) {
			inTorch(t, func() {
				f := loadFixture(t, "span", func(fixtureRow) []recipe.Target { return []recipe.Target{{}, {}, {Marks: [2]int32{1, 2}}, {}} })
				wholePassage(f.rows)
				m := mustLoad(t, "testdata/base", heads, Options{Seed: 5})
				defer m.Close()
				want := predictions(t, m, f.rows, 0)
				dir := t.TempDir()
				require.NoError(t, m.Save(dir, primary.Name))
				again := mustLoad(t, dir, heads, Options{Trained: true})
				defer again.Close()
				require.Equal(t, want, predictions(t, again, f.rows, 0))
				cfg, diags := hf.ReadConfig(dir)
				require.Empty(t, diags)
				require.Equal(t, []string{"BertForSequenceClassification", "BertForQuestionAnswering", "BertModel", "BertModel"}[i], cfg.Architecture)
			})
		})
	}
}
