package metric

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestMissingAnswers(t *testing.T) {
	r := Classification([]string{"a", "b"}, []int32{0, 0, 1, -1}, []int32{0, -1, 1, 1})
	require.Equal(t, 3, r.N)
	require.InDelta(t, 2.0/3, r.Accuracy, tolerance)
	a, _ := r.Labels.Get("a")
	require.Equal(t, LabelScore{"a", 1, 0.5, 2.0 / 3, 2}, a)
	require.Equal(t, []int{1, 0}, r.Confusion.Missed)
	require.InDelta(t, 0.8, r.MicroF1, tolerance, "a miss counts against recall only")
}

func TestNoExamples(t *testing.T) {
	labels := []string{"a", "b"}
	for _, r := range []*Report{
		Classification(labels, nil, nil), MultiLabel(labels, nil, nil), Tagging(labels, nil, nil, ""), NewRegression(nil, nil),
	} {
		require.Zero(t, r.N)
		data, err := json.Marshal(r)
		require.NoError(t, err)
		require.NotContains(t, string(data), "NaN")
		name := r.Primary()
		d, err := PairedBootstrap(r, r, name, 1)
		require.NoError(t, err)
		require.Equal(t, 1.0, d.P)
	}
}

func TestEmptySets(t *testing.T) {
	r := MultiLabel([]string{"x", "y"}, [][]bool{{false, false}, {true, false}, nil}, [][]bool{{false, false}, {true, true}, {true, true}})
	require.Equal(t, 2, r.N)
	require.Equal(t, 0.5, r.Accuracy)
	require.InDelta(t, 1.0/3, *r.SamplesF1, tolerance, "an empty set that was found scores 0 over 0 = 0, as in scikit-learn")
	require.Equal(t, Majority{Accuracy: 0.5}, r.Majority)
}

// A token cut by the length limit keeps its support.
func TestCutTokens(t *testing.T) {
	labels := []string{"O", "B-PER", "I-PER"}
	gold := [][]int32{{1, 2, 0, 1}, {0, 0}}
	r := Tagging(labels, gold, [][]int32{{1, 2, 0, -1}, {0}}, "")
	require.Equal(t, 6, r.Tokens)
	require.Equal(t, 2, r.N)
	total := 0
	for _, row := range r.Labels {
		total += row.Support
	}
	require.Equal(t, 6, total)
	require.InDelta(t, 4.0/6, r.Accuracy, tolerance)
	require.Equal(t, EntityScore{"PER", 1, 0.5, 2.0 / 3, 2, 1, 1}, r.Entities.Types[0])
	require.Equal(t, []int{1, 1, 0}, r.Confusion.Missed)
}

func TestChunks(t *testing.T) {
	for name, c := range map[string]struct {
		tags []string
		want []Chunk
	}{
		"bio":          {[]string{"B-A", "I-A", "O", "B-B"}, []Chunk{{0, 2, "A"}, {3, 4, "B"}}},
		"iob1":         {[]string{"I-A", "I-A", "B-A", "O"}, []Chunk{{0, 2, "A"}, {2, 3, "A"}}},
		"other type":   {[]string{"B-A", "I-B", "I-B"}, []Chunk{{0, 1, "A"}, {1, 3, "B"}}},
		"bilou":        {[]string{"U-A", "B-A", "I-A", "L-A", "U-B"}, []Chunk{{0, 1, "A"}, {1, 4, "A"}, {4, 5, "B"}}},
		"bioes":        {[]string{"S-A", "E-A", "I-A"}, []Chunk{{0, 1, "A"}, {1, 2, "A"}, {2, 3, "A"}}},
		"hyphens":      {[]string{"B-a-b", "I-a-b", "I-a-c"}, []Chunk{{0, 2, "a-b"}, {2, 3, "a-c"}}},
		"no type":      {[]string{"B", "I", "O"}, []Chunk{{0, 2, ""}}},
		"not a scheme": {[]string{"Noun", "Verb"}, nil},
		"nothing":      {nil, nil},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, Chunks(c.tags)) })
	}
}

func TestNoScheme(t *testing.T) {
	r := Tagging([]string{"Noun", "Verb"}, [][]int32{{0, 1}}, [][]int32{{0, 0}}, "none")
	require.Nil(t, r.EntityF1)
	require.Nil(t, r.Entities)
	require.Equal(t, "macro_f1", r.Primary())
	_, err := r.Sample.Score("entity_f1", nil)
	require.ErrorContains(t, err, "accuracy, micro_f1")
}

func TestRoundTrip(t *testing.T) {
	at, loss := 40, 0.25
	tag := Tagging([]string{"O", "B-X", "I-X"}, [][]int32{{0, 1, 2, 0}}, [][]int32{{0, 1, 0, -1}}, "")
	tag.Loss = &loss
	class := Classification([]string{"z", "积极", "</a>"}, []int32{0, 1, 1}, []int32{0, 1, 0})
	class.Task, class.Dataset, class.Split = "classify.v0", "news", "test"
	var err error
	class.Calibration, err = Calibrate([]int32{0}, [][]float32{{0.5, 0.5}}, 2)
	require.NoError(t, err)
	diff, err := PairedBootstrap(class, class, "accuracy", 3)
	require.NoError(t, err)
	m := &Metrics{
		Heads: map[string]*Report{
			"class": class, "tag": tag,
			"set":   MultiLabel([]string{"b", "a"}, [][]bool{{true, false}}, [][]bool{{true, true}}),
			"score": NewRegression([]float64{1, 2, 3}, []float64{1, 3, 2}),
		},
		Before:   map[string]*Report{"class": class},
		Train:    Train{Steps: 10, Seconds: 1.5, ResumedFrom: &at, Losses: []float64{0.5, 0.25}},
		Controls: map[string]Control{"shuffled": {Summary: "labels shuffled", Difference: diff}},
	}
	path := filepath.Join(t.TempDir(), "metrics.json")
	require.NoError(t, m.Save(path))
	back, err := Load(path)
	require.NoError(t, err)
	if d := cmp.Diff(m, back, cmpopts.IgnoreFields(Report{}, "Sample"), cmpopts.EquateEmpty()); d != "" {
		t.Fatal(d)
	}
	require.NoFileExists(t, path+".tmp")

	var a, b bytes.Buffer
	require.NoError(t, m.Encode(&a))
	require.NoError(t, back.Encode(&b))
	require.Equal(t, a.String(), b.String())
	require.NotContains(t, a.String(), `"score": {"accuracy"`)
}

// The shape that the command line promises.
func TestShape(t *testing.T) {
	m := &Metrics{Heads: map[string]*Report{"s": Classification([]string{"n", "p"}, []int32{0, 1}, []int32{0, 0})}}
	var b bytes.Buffer
	require.NoError(t, m.Encode(&b))
	doc := map[string]map[string]any{}
	require.NoError(t, json.Unmarshal(b.Bytes(), &doc))
	require.Contains(t, doc, "before")
	require.Contains(t, doc, "controls")
	head := doc["heads"]["s"].(map[string]any)
	for _, key := range []string{"task", "dataset", "split", "n", "accuracy", "micro_f1", "macro_f1", "weighted_f1", "majority", "labels"} {
		require.Contains(t, head, key)
	}
	require.Equal(t, map[string]any{"precision": 0.5, "recall": 1.0, "f1": 2.0 / 3, "support": 1.0}, head["labels"].(map[string]any)["n"])
	for _, key := range []string{"steps", "epochs", "seconds", "tokens", "tokens_per_s", "peak_rss_bytes", "padding_share", "resumed_from"} {
		require.Contains(t, doc["train"], key)
	}
	require.Nil(t, doc["train"]["resumed_from"])
}

func TestLoadSaysWhichFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.json")
	_, err := Load(path)
	require.ErrorContains(t, err, path)
	require.NoError(t, os.WriteFile(path, []byte(`{"heads":{"a":{"labels":[1]}}}`), 0o600))
	_, err = Load(path)
	require.ErrorContains(t, err, "an object was expected")
}

func TestSelect(t *testing.T) {
	half, loss := 0.5, 2.0
	heads := map[string]*Report{
		"a.x":  {MacroF1: 0.4, Accuracy: 0.9, Loss: &loss},
		"ner":  {MacroF1: 0.8, EntityF1: &half},
		"rate": {Regression: &Regression{MSE: 4, Spearman: 0.3}},
	}
	for name, want := range map[string]float64{
		"macro_f1": 0.6, "a.x/macro_f1": 0.4, "a.x.accuracy": 0.9, "entity_f1": 0.5, "loss": -2, "rate/mse": -4,
		"auto": 0.4, "": 0.4, "ner/auto": 0.5,
	} {
		got, err := Select(heads, name)
		require.NoError(t, err, name)
		require.InDelta(t, want, got, tolerance, name)
	}
	for name, want := range map[string]string{
		"f2":            "accuracy, micro_f1, macro_f1",
		"b/macro_f1":    "heads are a.x, ner, rate",
		"a.x/entity_f1": "no such score",
		"rate/accuracy": "no such score",
		"samples_f1":    "no such score",
		"ner/macro_f_1": "unknown",
	} {
		_, err := Select(heads, name)
		require.ErrorContains(t, err, want, name)
	}
	_, err := Select(nil, "auto")
	require.Error(t, err)
	require.NoError(t, CheckName("ner/entity_f1", []string{"ner"}))
}

func TestPairedBootstrap(t *testing.T) {
	labels := []string{"a", "b"}
	gold, weak, strong := []int32{}, []int32{}, []int32{}
	for i := range 400 {
		g := int32(i % 2)
		gold = append(gold, g)
		p, q := g, g
		if i%5 == 0 {
			p = 1 - g
		}
		if i%25 == 0 {
			q = 1 - g
		}
		weak, strong = append(weak, p), append(strong, q)
	}
	a, b := Classification(labels, gold, weak), Classification(labels, gold, strong)
	for _, name := range []string{"accuracy", "macro_f1", "micro_f1", "weighted_f1"} {
		d, err := PairedBootstrap(a, b, name, 7)
		require.NoError(t, err)
		require.InDelta(t, 0.16, d.Diff, 0.01, name)
		require.Less(t, d.Range.Low, d.Diff)
		require.Greater(t, d.Range.High, d.Diff)
		require.Greater(t, d.Range.Low, 0.1)
		require.InDelta(t, 2.0/1001, d.P, tolerance)
		again, err := PairedBootstrap(a, b, name, 7)
		require.NoError(t, err)
		require.Equal(t, d, again)
		back, err := PairedBootstrap(b, a, name, 7)
		require.NoError(t, err)
		require.InDelta(t, -d.Range.Low, back.Range.High, 1e-9)
		require.InDelta(t, d.P, back.P, tolerance)
	}
	// The interval of a mean of n independent differences is known: 0.16 ± 1.96 sd/sqrt(n).
	d, err := PairedBootstrap(a, b, "accuracy", 8)
	require.NoError(t, err)
	half := 1.96 * math.Sqrt(0.16*0.84/400)
	require.InDelta(t, half, (d.Range.High-d.Range.Low)/2, 0.1*half)

	same, err := PairedBootstrap(a, a, "accuracy", 1)
	require.NoError(t, err)
	require.Equal(t, 1.0, same.P)
	require.Zero(t, same.Diff)

	_, err = PairedBootstrap(a, b, "entity_f1", 1)
	require.ErrorContains(t, err, "there are accuracy")
	_, err = PairedBootstrap(a, Classification(labels, gold[:3], weak[:3]), "accuracy", 1)
	require.ErrorContains(t, err, "400 examples against 3")
	_, err = PairedBootstrap(a, &Report{}, "accuracy", 1)
	require.Error(t, err)

	in, err := ScoreInterval(a, "accuracy", 1)
	require.NoError(t, err)
	require.InDelta(t, 0.76, in.Low, 0.02)
	require.InDelta(t, 0.84, in.High, 0.02)
}

func TestByGroup(t *testing.T) {
	gold, pred, group := []int32{}, []int32{}, []string{}
	for i := range 300 {
		gold, pred = append(gold, int32(i%2)), append(pred, int32(i%2))
		group = append(group, []string{"北京", "leeds", "paris"}[i%3])
		if group[i] == "leeds" && i%4 == 0 {
			pred[i] = 1 - pred[i]
		}
	}
	r := Classification([]string{"a", "b"}, gold, pred)
	g, err := ByGroup(r, group, "accuracy", 5)
	require.NoError(t, err)
	require.Equal(t, []string{"leeds", "paris", "北京"}, []string{g.Groups[0].Name, g.Groups[1].Name, g.Groups[2].Name})
	require.Equal(t, "leeds", g.Worst)
	require.Equal(t, "paris", g.Best)
	require.InDelta(t, 0.25, g.Gap, 1e-9)
	require.InDelta(t, 0.25-1.96*math.Sqrt(0.25*0.75/100), g.Range.Low, 0.02)
	require.Equal(t, 100, g.Groups[0].N)
	require.Equal(t, Interval{1, 1}, g.Groups[1].Range)

	one, err := ByGroup(r, make([]string, 300), "macro_f1", 5)
	require.NoError(t, err)
	require.Empty(t, one.Best)
	_, err = ByGroup(r, group[1:], "accuracy", 5)
	require.ErrorContains(t, err, "299 names for 300 examples")

	part := Classification([]string{"a", "b"}, []int32{-1, 0, 1}, []int32{0, 0, 0})
	for _, names := range [][]string{{"?", "x", "y"}, {"x", "y"}} {
		g, err = ByGroup(part, names, "accuracy", 5)
		require.NoError(t, err)
		require.Equal(t, "x", g.Best)
		require.Len(t, g.Groups, 2)
	}

	n := NewRegression([]float64{1, 2, 3, 4}, []float64{1, 2, 4, 3})
	num, err := ByGroup(n, []string{"a", "a", "b", "b"}, "pearson", 1)
	require.NoError(t, err)
	require.InDelta(t, 2, num.Gap, 1e-9)
}

// The counts that every published table of CoNLL-2003's test split has, also
// when the second half of each sentence is cut.
func TestCoNLL2003Support(t *testing.T) {
	root := os.Getenv("ISLM_TESTDATA")
	if root == "" {
		root = "../../../shared/data"
	}
	data, err := os.ReadFile(filepath.Join(root, "general", "conll2003", "test.conll"))
	if err != nil {
		t.Skip("ISLM_TESTDATA has no general/conll2003/test.conll")
	}
	labels := []string{"O", "B-LOC", "I-LOC", "B-MISC", "I-MISC", "B-ORG", "I-ORG", "B-PER", "I-PER"}
	index := indexOf(labels)
	var gold, pred [][]int32
	for _, sentence := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
		var tags []int32
		for _, line := range strings.Split(sentence, "\n") {
			_, tag, _ := strings.Cut(line, "\t")
			tags = append(tags, int32(index[tag]))
		}
		cut := slices.Clone(tags)
		for i := len(cut) / 2; i < len(cut); i++ {
			cut[i] = -1
		}
		gold, pred = append(gold, tags), append(pred, cut)
	}
	for _, answers := range [][][]int32{gold, pred} {
		r := Tagging(labels, gold, answers, "bio")
		got := map[string]int{}
		for _, row := range r.Labels {
			got[row.Label] = row.Support
		}
		require.Equal(t, map[string]int{"B-LOC": 1668, "I-LOC": 257, "B-MISC": 702, "I-MISC": 216, "B-ORG": 1661, "I-ORG": 835, "B-PER": 1617, "I-PER": 1156, "O": 38323}, got)
		require.Equal(t, 46435, r.Tokens)
		require.Equal(t, 5648, r.Entities.Support)
	}
}

func TestCalibrateErrors(t *testing.T) {
	_, err := Calibrate([]int32{0}, nil, 0)
	require.Error(t, err)
	_, err = Calibrate([]int32{2}, [][]float32{{1, 0}}, 0)
	require.Error(t, err)
	c, err := Calibrate([]int32{-1}, [][]float32{nil}, 0)
	require.NoError(t, err)
	require.Zero(t, c.ECE)
}

func TestRanks(t *testing.T) {
	require.InDelta(t, (1+0.5)/3, MeanReciprocalRank([]int{1, 2, 0}), tolerance)
	require.InDelta(t, 1.0/3, HitsAt([]int{1, 2, 0}, 1), tolerance)
	require.Zero(t, AUC([]bool{true}, []float64{1}))
	require.Zero(t, AveragePrecision([]bool{false}, []float64{1}))
}

// Scores of a sample with all weights doubled do not change, and every score
// lies in 0..1 whatever the answers are.
func TestScoresOfAnyAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := []string{"O", "B-a", "I-a", "B-b"}[:rapid.IntRange(1, 4).Draw(t, "labels")]
		tags := rapid.SliceOf(rapid.SliceOf(rapid.Int32Range(-2, 5)))
		r := Tagging(labels, tags.Draw(t, "gold"), tags.Draw(t, "pred"), "")
		two := make([]int32, r.Sample.Len())
		for i := range two {
			two[i] = 2
		}
		for _, name := range []string{"accuracy", "micro_f1", "macro_f1", "weighted_f1", "entity_f1"} {
			v, ok := r.Value(name)
			require.True(t, ok)
			require.GreaterOrEqual(t, v, 0.0)
			require.LessOrEqual(t, v, 1.0)
			double, err := r.Sample.Score(name, two)
			require.NoError(t, err)
			require.InDelta(t, v, double, tolerance)
		}
	})
}

// Runs of one model against themselves do not differ; against a worse one the
// interval lies above 0, and one pair of runs gives what PairedBootstrap gives.
func TestPairedBootstrapRuns(t *testing.T) {
	labels := []string{"a", "b"}
	gold := make([]int32, 200)
	better, worse := make([]int32, 200), make([]int32, 200)
	for i := range gold {
		gold[i] = int32(i % 2)
		better[i], worse[i] = gold[i], gold[i]
		if i%10 == 0 {
			better[i] = 1 - gold[i]
		}
		if i%3 == 0 {
			worse[i] = 1 - gold[i]
		}
	}
	a, b := Classification(labels, gold, worse), Classification(labels, gold, better)
	d, err := PairedBootstrapRuns([]*Report{a, a, a}, []*Report{b, b, b}, "accuracy", 5)
	if err != nil {
		t.Fatal(err)
	}
	if d.Runs != 3 || d.Range.Low <= 0 || d.Diff < 0.2 || d.Diff > 0.25 || d.P > 0.01 {
		t.Errorf("%+v", d)
	}
	one, err := PairedBootstrapRuns([]*Report{a}, []*Report{b}, "accuracy", 5)
	if err != nil {
		t.Fatal(err)
	}
	want, err := PairedBootstrap(a, b, "accuracy", 5)
	if err != nil {
		t.Fatal(err)
	}
	if one.Diff != want.Diff || one.Range != want.Range || one.P != want.P {
		t.Errorf("%+v, want %+v", one, want)
	}
	same, err := PairedBootstrapRuns([]*Report{a, b}, []*Report{a, b}, "macro_f1", 5)
	if err != nil {
		t.Fatal(err)
	}
	if same.Diff != 0 || same.Range != (Interval{}) || same.P != 1 {
		t.Errorf("%+v", same)
	}
	if _, err := PairedBootstrapRuns([]*Report{a}, []*Report{b, b}, "accuracy", 5); err == nil {
		t.Error("unequal numbers of runs are taken")
	}
	short := Classification(labels, gold[:10], better[:10])
	if _, err := PairedBootstrapRuns([]*Report{a, a}, []*Report{b, short}, "accuracy", 5); err == nil {
		t.Error("runs on other examples are taken")
	}
}
