package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/metric"
)

func TestPage(t *testing.T) {
	p := samplePage(t)
	path := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, p.Save(path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	if out := os.Getenv("ISLM_REPORT_OUT"); out != "" { // to look at it
		require.NoError(t, os.WriteFile(filepath.Join(out, "report.html"), data, 0o644))
		p.Lang = "zh-CN"
		require.NoError(t, p.Save(filepath.Join(out, "report.zh.html")))
	}
	html := string(data)
	require.Equal(t, 3, strings.Count(html, "<polyline class=\"strong\""), "loss, validation, learning rate")
	require.Contains(t, html, "央行与利率")
	require.Contains(t, html, "&lt;b&gt;M&amp;A&lt;/b&gt;")
	require.NotContains(t, html, "NaN")
	require.NotContains(t, html, "ZgotmplZ")
	require.Less(t, strings.Index(html, ">sentiment<"), strings.Index(html, ">ner<"), "the primary head is first")
}

// Nothing in the page loads anything, and no text becomes markup.
func TestPageIsSelfContainedAndEscaped(t *testing.T) {
	m := &metric.Metrics{Heads: map[string]*metric.Report{}}
	r := metric.Classification([]string{nasty, "b"}, []int32{0, 1}, []int32{1, 0})
	r.Task, r.Dataset, r.Split = nasty, nasty, nasty
	m.Heads[nasty] = r
	tag := metric.Tagging([]string{"O", "B-" + nasty}, [][]int32{{0, 1}}, [][]int32{{1, -1}}, "")
	m.Heads["tag"] = tag
	m.Controls = map[string]metric.Control{nasty: {Summary: nasty}}
	p := &Page{
		Title: nasty, Facts: []Fact{{nasty, nasty}}, Metrics: m, ScoreName: nasty, Plan: nasty,
		Log:      []Entry{{Kind: "valid", Step: 1, Values: map[string]float64{ValueScore: 0.5}}},
		Mistakes: map[string][]Mistake{nasty: {{ID: nasty, Text: nasty, TextB: nasty, Gold: nasty, Pred: nasty}}, "tag": {{Tokens: []TokenTag{{nasty, nasty, ""}}}}},
		Groups:   map[string][]*metric.Groups{"tag": {{Field: nasty, Metric: nasty, Best: nasty, Worst: nasty, Groups: []metric.Group{{Name: nasty}}}}},
		Notices:  []Notice{{nasty, nasty, nasty, nasty, nasty}},
		Provenance: &Provenance{Command: []string{nasty}, Base: Artifact{nasty, nasty, nasty, nasty, nasty, 1, 1, nasty, nasty},
			Software: map[string]string{nasty: nasty}, Notes: []string{nasty}},
	}
	var b bytes.Buffer
	require.NoError(t, p.Write(&b))
	html := b.String()
	for _, bad := range []string{"<script", "</script", "\x00", "\x1b", "\u202e", "\xff", "http:", "https:", "src=", "@import", "url(", "<!--", "onload"} {
		require.False(t, strings.Contains(html, bad), "%q", bad)
	}
	require.Contains(t, html, "央行降息 📈🇨🇳 שלום مرحبا")
	for _, line := range strings.Split(html, "\n") {
		if i := strings.Index(line, "href="); i >= 0 {
			require.Contains(t, line[i:], `href="#`)
		}
	}
}

func TestEmptyPage(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, (&Page{}).Write(&b))
	require.NoError(t, (&Page{Lang: "zh", Metrics: &metric.Metrics{Heads: map[string]*metric.Report{
		"none": metric.Classification([]string{"a"}, nil, nil), "gone": nil, "value": metric.NewRegression([]float64{1, 2}, []float64{2, 3}),
	}}}).Write(&b))
	require.Contains(t, b.String(), `lang="zh-CN"`)
	require.Contains(t, b.String(), "训练前后")
}

func TestPageManyLabels(t *testing.T) {
	labels, gold, pred := []string{}, []int32{}, []int32{}
	for i := range 150 {
		labels = append(labels, strings.Repeat("x", i%30+1)+string(rune('a'+i%26)))
		gold, pred = append(gold, int32(i)), append(pred, int32(i/2))
	}
	p := &Page{Metrics: &metric.Metrics{Heads: map[string]*metric.Report{"intent": metric.Classification(labels, gold, pred)}}}
	var b bytes.Buffer
	require.NoError(t, p.Write(&b))
	require.NotContains(t, b.String(), `class="matrix"`)
	require.Contains(t, b.String(), "Most frequent confusions")
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      []float64
	}{
		{0, 1, []float64{0, 0.25, 0.5, 0.75, 1}},
		{0, 860, []float64{0, 250, 500, 750, 1000}},
		{0.61, 0.832, []float64{0.6, 0.7, 0.8, 0.9}},
		{0, 5e-5, []float64{0, 2e-5, 4e-5, 6e-5}},
		{-3, 7, []float64{-5, -2.5, 0, 2.5, 5, 7.5}},
	} {
		require.InDeltaSlice(t, c.want, ticks(c.low, c.high, 5), 1e-12, "%v %v", c.low, c.high)
	}
}

func TestThinnedKeepsSpikes(t *testing.T) {
	points := make([]point, 10_000)
	points[777].y = 9
	out := thinned(points, 600)
	require.LessOrEqual(t, len(out), 700)
	require.Contains(t, out, point{0, 9})
}

func TestNumbers(t *testing.T) {
	require.Equal(t, "1,234,567", thousands(1234567))
	require.Equal(t, "-123", thousands(-123))
	require.Equal(t, "-1,234", thousands(-1234))
	require.Equal(t, "1.5 GiB", size(1610612736))
	require.Equal(t, "0.3", number(0.1+0.2))
	require.Equal(t, "2e-05", number(2e-5))
	require.Equal(t, "+0.000", signed(-0.0001))
}

func TestWorst(t *testing.T) {
	in := []Mistake{{ID: "a", Score: 0.1}, {ID: "b", Score: 0.9}, {ID: "c", Score: 0.9}}
	require.Equal(t, []Mistake{in[1], in[2]}, Worst(in, 2))
	require.Len(t, Worst(in, 9), 3)
}
