package report

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/metric"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	if d := cmp.Diff(string(want), got); d != "" {
		t.Fatalf("%s differs (-update writes it anew):\n%s", path, d)
	}
}

// nasty holds what texts may hold: markup, quotes, Chinese, emoji, right to
// left, a directional override, NUL, an escape sequence and a broken byte.
const nasty = "</script><script>alert(1)</script> \"'`| 央行降息 📈🇨🇳 שלום مرحبا \u202eabc\u202c \x00 \x1b[31mred \xff {{.}} <!-- ]]>"

// answers draws gold and predictions that are right with the given chance.
func answers(rng *rand.Rand, n, labels int, right float64) (gold, pred []int32) {
	for range n {
		g := int32(rng.IntN(labels))
		if rng.Float64() < 0.3 {
			g = int32(labels - 1)
		}
		p := g
		if rng.Float64() > right {
			p = int32(rng.IntN(labels))
		}
		gold, pred = append(gold, g), append(pred, p)
	}
	return gold, pred
}

func sampleSentiment(rng *rand.Rand, right float64) *metric.Report {
	gold, pred := answers(rng, 941, 3, right)
	r := metric.Classification([]string{"negative", "positive", "neutral"}, gold, pred)
	r.Task, r.Dataset, r.Split = "classify.v0", "phrasebank", "test"
	return r
}

func sampleTopic(rng *rand.Rand, right float64) *metric.Report {
	gold, pred := answers(rng, 300, 5, right)
	r := metric.Classification([]string{"央行与利率", "earnings", "并购", "<b>M&A</b>", "📈 markets", "never"}, gold, pred)
	r.Task, r.Dataset, r.Split = "classify.v0", "sample", "test"
	return r
}

func sampleNER(rng *rand.Rand, right float64) *metric.Report {
	labels := []string{"O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"}
	var gold, pred [][]int32
	for range 200 {
		var g, p []int32
		for len(g) < 12 {
			kind := int32(rng.IntN(3))
			switch {
			case rng.Float64() < 0.6:
				g = append(g, 0)
			default:
				g = append(g, 1+2*kind)
				if rng.Float64() < 0.5 {
					g = append(g, 2+2*kind)
				}
			}
		}
		for i, tag := range g {
			switch {
			case i > 12:
				tag = -1
			case rng.Float64() > right:
				tag = int32(rng.IntN(7))
			}
			p = append(p, tag)
		}
		gold, pred = append(gold, g), append(pred, p)
	}
	r := metric.Tagging(labels, gold, pred, "bio")
	r.Task, r.Dataset, r.Split = "tag.v0", "sample", "test"
	return r
}

func sampleMetrics() *metric.Metrics {
	rng := rand.New(rand.NewPCG(1, 2))
	from := 400
	m := &metric.Metrics{
		Heads:  map[string]*metric.Report{"sentiment": sampleSentiment(rng, 0.8), "topic": sampleTopic(rng, 0.85), "ner": sampleNER(rng, 0.95)},
		Before: map[string]*metric.Report{"sentiment": sampleSentiment(rng, 0), "topic": sampleTopic(rng, 0), "ner": sampleNER(rng, 0)},
		Train: metric.Train{Steps: 860, Epochs: 4, Seconds: 412.7, Tokens: 1_204_331, TokensPerS: 2918.2, PeakRSSBytes: 1_610_612_736,
			PaddingShare: 0.052, ResumedFrom: &from, BestStep: 645, Parameters: 22_713_216, Trainable: 22_713_216, Device: "cpu", Precision: "bf16"},
	}
	return m
}

func sampleLog() []Entry {
	rng := rand.New(rand.NewPCG(3, 4))
	var log []Entry
	mean := 0.0
	for step := 1; step <= 860; step++ {
		loss := 1.1*math.Exp(-float64(step)/250) + 0.12 + 0.12*rng.NormFloat64()*math.Exp(-float64(step)/600)
		if step == 5 {
			loss = math.NaN()
		} else {
			mean += loss
		}
		epoch := (step-1)/215 + 1
		log = append(log, Entry{Kind: "step", Step: step, Epoch: epoch, Values: map[string]float64{ValueLoss: loss, ValueLR: 5e-5 * min(float64(step)/52, float64(860-step)/808)}})
		if step%215 == 0 {
			log = append(log, Entry{Kind: "epoch", Step: step, Epoch: epoch, Values: map[string]float64{ValueLoss: mean / 215}},
				Entry{Kind: "valid", Step: step, Epoch: epoch, Best: epoch <= 3, Values: map[string]float64{ValueScore: []float64{0.61, 0.78, 0.832, 0.829}[epoch-1], ValueLoss: []float64{0.72, 0.51, 0.47, 0.5}[epoch-1]}})
			mean = 0
		}
	}
	return log
}

func sampleProvenance() *Provenance {
	hex := "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	return &Provenance{
		Schema: ProvenanceSchema, Created: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC), Seed: 42, Plan: hex,
		Command: []string{"islm", "train", "--domain", "finance", "--data=…/phrasebank", "--out", "runs/finance"},
		Base:    Artifact{Name: "all-MiniLM-L6-v2", Version: "0.1.0", Digest: hex, License: "Apache-2.0"},
		Data: []Artifact{
			{Name: "phrasebank", Role: "train", Digest: hex, N: 3440, License: "CC BY-NC-SA 3.0", Citation: "Malo et al. (2014), Good debt or bad debt"},
			{Name: "phrasebank", Role: "test", Digest: hex, N: 941, License: "CC BY-NC-SA 3.0"},
		},
		Vocabulary:  []Artifact{{Name: "finance terms", Digest: hex, N: 1322}},
		Plugins:     []Artifact{{Name: "finance", Version: "0.1.0", Digest: hex}},
		Software:    map[string]string{"islm": "v0.1.0", "go": "go1.26.8", "libtorch": "2.11.0"},
		Environment: Environment{OS: "linux", Arch: "amd64", CPU: "Example CPU", Cores: 8, Memory: 32 << 30},
		Notes:       []string{"plugin finance was used unlocked (--dev)"},
	}
}

func samplePage(t *testing.T) *Page {
	t.Helper()
	m := sampleMetrics()
	diff, err := metric.PairedBootstrap(m.Before["sentiment"], m.Heads["sentiment"], "macro_f1", 1)
	require.NoError(t, err)
	m.Controls = map[string]metric.Control{"no knowledge": {Summary: "the same run without the domain's plugin", Difference: diff,
		Heads: map[string]*metric.Report{"sentiment": m.Before["sentiment"]}}}
	names := make([]string, 941)
	for i := range names {
		names[i] = []string{"news", "social", "研报"}[i%3]
	}
	groups, err := metric.ByGroup(m.Heads["sentiment"], names, "macro_f1", 1)
	require.NoError(t, err)
	groups.Field = "source"
	return &Page{
		Title: "Finance: sentiment, topic and entities", Primary: "sentiment", ScoreName: "macro_f1", Metrics: m, Log: sampleLog(),
		Facts: []Fact{{"base", "all-MiniLM-L6-v2"}, {"domain", "finance 0.1.0"}, {"data", "phrasebank: 3,440 / 465 / 941"}, {"preset", "finetune"}, {"seed", "42"}},
		Mistakes: map[string][]Mistake{
			"sentiment": {
				{ID: "test-17", Text: "Operating loss narrowed to EUR 1.2 mn from EUR 4.5 mn a year earlier, while sales fell by 3 %.", Gold: "positive", Pred: "negative", Score: 0.981},
				{ID: "test-204", Text: "The company did not disclose the price of the acquisition.", Gold: "neutral", Pred: "negative", Score: 0.942},
				{ID: nasty, Text: nasty, TextB: "第二句", Gold: nasty, Pred: nasty, Score: 0.9},
				{ID: "שורה", Text: "הבנק העלה את הריבית ב-0.25% לעומת החודש הקודם", Gold: "neutral", Pred: "positive", Score: 0.88},
			},
			"ner": {{ID: "s-3", Score: 0.97, Tokens: []TokenTag{{"Goldman", "B-ORG", "B-PER"}, {"Sachs", "I-ORG", "I-PER"}, {"hires", "O", "O"}, {"Maria", "B-PER", "B-PER"}, {"Rossi", "I-PER", "I-PER"}, {"in", "O", "O"}, {"<Milan>", "B-LOC", "O"}, {"上海", "B-LOC", ""}}}},
		},
		Groups: map[string][]*metric.Groups{"sentiment": {groups}},
		Notices: []Notice{
			{Severity: "warning", Code: "data.duplicate", Summary: "12 texts of the test split also stand in train", Detail: "test.jsonl:17, test.jsonl:204", Remedy: "run `islm data check` and remove them"},
			{Severity: "info", Code: "data.left-aside", Summary: "readme.txt was left aside"},
			{Severity: "error", Code: "x", Summary: nasty},
		},
		Provenance: sampleProvenance(),
		Plan:       "schema: islm/plan.v0\nseed: 42\nbase: all-MiniLM-L6-v2\ntrain:\n  epochs: 4\n  lr: 5.0e-05\n# " + nasty + "\n",
	}
}

func ExampleScores() {
	r := metric.Classification([]string{"negative", "积极"}, []int32{0, 0, 1, 1}, []int32{0, 1, 1, 1})
	fmt.Print(Scores(r))
	// Output:
	//               precision    recall  f1-score   support
	//
	//     negative      1.000     0.500     0.667         2
	//         积极      0.667     1.000     0.800         2
	//
	//     accuracy                          0.750         4
	//    micro avg      0.750     0.750     0.750         4
	//    macro avg      0.833     0.750     0.733         4
	// weighted avg      0.833     0.750     0.733         4
}
