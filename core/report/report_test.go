package report

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rivo/uniseg"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/islm-dev/islm/core/metric"
)

func TestTables(t *testing.T) {
	m := sampleMetrics()
	many := metric.Classification([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"}, []int32{0, 0, 0, 1, 12, 12}, []int32{1, 1, 0, 1, 11, -1})
	many.Task = "classify.v0"
	set := metric.MultiLabel([]string{"费用", "Termination"}, [][]bool{{true, false}, {true, true}, {false, false}}, [][]bool{{true, false}, {true, false}, {true, false}})
	set.Task, set.Split = "multilabel.v0", "valid"
	value := metric.NewRegression([]float64{1, 2, 3}, []float64{1, 2.5, 2})
	value.Task = "regress.v0"
	diff, err := metric.PairedBootstrap(m.Before["topic"], m.Heads["topic"], "macro_f1", 1)
	require.NoError(t, err)
	same, err := metric.PairedBootstrap(m.Heads["ner"], m.Heads["ner"], "entity_f1", 1)
	require.NoError(t, err)
	field := make([]string, 300)
	for i := range field {
		field[i] = []string{"新闻", "social", ""}[i%3]
	}
	groups, err := metric.ByGroup(m.Heads["topic"], field, "accuracy", 1)
	require.NoError(t, err)
	groups.Field = "source"
	golden(t, "tables.txt", strings.Join([]string{
		Head("topic", m.Before["topic"], m.Heads["topic"]),
		Head("ner", m.Before["ner"], m.Heads["ner"]),
		Head("clauses", nil, set),
		Head("grade", nil, value),
		ConfusionTable(many.Confusion),
		Comparison("runs/plain", "runs/金融", map[string][]*metric.Difference{"topic": {diff}, "ner": {same}}),
		GroupTable(groups),
	}, "\n----\n"))
}

func TestColumnsAreStraight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.StringMatching(`[a-z"央行📈é\x00\n]{0,60}`), 1, 6).Draw(t, "labels")
		table := Table{Header: []string{"", "n"}}
		for _, r := range rows {
			table.Rows = append(table.Rows, []string{r, "1"})
		}
		lines := strings.Split(strings.TrimSuffix(table.String(), "\n"), "\n")
		require.Len(t, lines, len(rows)+1)
		for _, line := range lines {
			require.Equal(t, uniseg.StringWidth(lines[0]), uniseg.StringWidth(line), "%q", lines)
		}
	})
}

func TestClean(t *testing.T) {
	got := Clean(nasty)
	for _, bad := range []string{"\x00", "\x1b", "\u202e", "\xff"} {
		require.NotContains(t, got, bad)
	}
	require.Equal(t, "a b", Clean("a\nb"))
	require.Equal(t, "央行降息", Clean("央行降息"))
	require.Equal(t, "央…", Fit("央行降息", 4))
	require.Equal(t, "央行", Fit("央行", 4))
}

func TestHTMLHeadOrder(t *testing.T) {
	r := metric.Tagging([]string{"I-b", "B-b", "O", "B-a", "X"}, [][]int32{{0, 1, 2, 3, 4}}, [][]int32{{0, 1, 2, 3, 4}}, "bio")
	r.Task = "tag.v0"
	var got []string
	for _, row := range Rows(r) {
		got = append(got, row.Label)
	}
	require.Equal(t, []string{"B-a", "B-b", "I-b", "X", "O"}, got)
	m := matrix(r.Confusion, func(s string) string { return s })
	require.Equal(t, got, m.Columns)
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	entries := []Entry{
		{Kind: "step", Step: 1, Epoch: 1, Values: map[string]float64{"loss": 0.7, "lr": 0}},
		{Kind: "step", Step: 2, Epoch: 1, Values: map[string]float64{"loss": math.NaN(), "grad_norm": math.Inf(1), "x": math.Inf(-1)}},
		{Kind: "valid", Step: 2, Epoch: 1, Values: map[string]float64{"score": 0.5}, Best: true},
		{Kind: "notice", Step: 2, Epoch: 1, Text: nastyUTF8()},
		{Kind: "step", Step: 3, Epoch: 2, Values: map[string]float64{"loss": 0.1}},
	}
	log, err := OpenLog(path)
	require.NoError(t, err)
	for _, e := range entries {
		require.NoError(t, log.Append(e))
	}
	require.Error(t, log.Append(Entry{Values: map[string]float64{"step": 1}}), "a reserved name")
	require.NoError(t, log.Close())
	same := cmp.Options{cmpopts.EquateNaNs(), cmpopts.EquateEmpty()}
	got, err := ReadLog(path)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(entries, got, same))

	// A line that a killed process left torn is not read, and the next process removes it.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"kind":"step","st` + strings.Repeat("x", 9000))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	got, err = ReadLog(path)
	require.NoError(t, err)
	require.Len(t, got, 5)

	require.NoError(t, TruncateLog(path, 2))
	log, err = OpenLog(path)
	require.NoError(t, err)
	require.NoError(t, log.Append(entries[4]))
	require.NoError(t, log.Close())
	got, err = ReadLog(path)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(entries, got, same), "one coherent story after a resume")

	data, err := os.ReadFile(path)
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(data), "\n")
	require.Equal(t, `{"kind":"step","step":1,"epoch":1,"loss":0.7,"lr":0}`, first)
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		require.True(t, json.Valid([]byte(line)), line)
	}
}

func TestLogTornFromTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(`{"kind"`), 0o600))
	log, err := OpenLog(path)
	require.NoError(t, err)
	require.NoError(t, log.Append(Entry{Kind: "notice"}))
	require.NoError(t, log.Close())
	got, err := ReadLog(path)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.NoError(t, TruncateLog(filepath.Join(t.TempDir(), "none"), 3))
}

func TestLogNamesTheBrokenLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	require.NoError(t, os.WriteFile(path, []byte("{\"kind\":\"a\"}\n[1]\n{}\n"), 0o600))
	_, err := ReadLog(path)
	require.ErrorContains(t, err, "line 2")
}

func FuzzLog(f *testing.F) {
	f.Add([]byte("{\"kind\":\"step\",\"step\":1,\"epoch\":1,\"loss\":0.5}\n{"))
	f.Add([]byte("{\"loss\":\"NaN\"}\n{\"loss\":\"x\"}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := readEntries(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, e := range entries {
			line, err := json.Marshal(e)
			require.NoError(t, err)
			back := Entry{}
			require.NoError(t, json.Unmarshal(line, &back))
			require.Empty(t, cmp.Diff(e, back, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()))
		}
	})
}

// nastyUTF8 is nasty without its broken byte, which no JSON can hold.
func nastyUTF8() string { return strings.ToValidUTF8(nasty, "") }

func TestCard(t *testing.T) {
	m := sampleMetrics()
	c := &Card{
		Name: "finance-minilm", Languages: []string{"en", "zh"}, License: "apache-2.0", Primary: "sentiment", MaxLength: 128, Metrics: m,
		Base: sampleProvenance().Base, Domain: []string{"finance"}, Data: sampleProvenance().Data, Command: sampleProvenance().Command,
		Labels:   map[string][]string{"sentiment": {"negative", "positive", "neutral"}, "topic": {"央行与利率", "<b>|M&A|</b>"}, "ner": {"O", "B-PER"}},
		Requires: []string{"heads: ner, topic"}, Limits: []string{"Not tested on texts after 2014."},
	}
	var b bytes.Buffer
	require.NoError(t, c.Write(&b))
	golden(t, "card.md", b.String())

	c.Primary, c.Requires = "ner", nil
	path := filepath.Join(t.TempDir(), "README.md")
	require.NoError(t, c.Save(path))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "AutoModelForTokenClassification")
	require.Contains(t, string(text), "pipeline_tag: token-classification")
	require.NoError(t, (&Card{}).Write(&b))
}

func TestCardEscapes(t *testing.T) {
	r := metric.Classification([]string{nasty, "b"}, []int32{0, 1}, []int32{0, 0})
	c := &Card{Name: nasty, Base: Artifact{Name: nasty}, Metrics: &metric.Metrics{Heads: map[string]*metric.Report{nasty: r}},
		Labels: map[string][]string{nasty: {nasty}}, Data: []Artifact{{Name: nasty}}, Limits: []string{nasty}, Command: []string{"islm", nasty}}
	var b bytes.Buffer
	require.NoError(t, c.Write(&b))
	_, body, _ := strings.Cut(b.String()[4:], "\n---\n")
	for _, line := range strings.Split(body, "\n") {
		if strings.HasPrefix(line, "    ") { // code
			continue
		}
		require.NotRegexp(t, `(^|[^\\])<script`, line)
	}
	require.NotContains(t, b.String(), "\x00")
}
