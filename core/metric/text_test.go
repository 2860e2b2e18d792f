package metric

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// textTolerance is absolute, on the scales of the scores: 0..100 for BLEU and
// chrF, 0..1 for ROUGE. The promise is 1e-4; only the order of sums differs.
const textTolerance = 1e-9

// textFixtures is testdata/text.json, written by scripts/fixtures/textmetric.py.
type textFixtures struct {
	Cases []struct {
		Zh    bool
		Hyps  []string
		Refs  [][]string
		BLEU  BLEU
		ChrF  float64
		Rouge [3]float64
		Exact float64
	}
	Tokens []struct {
		Text    string
		Mteval  []string `json:"13a"`
		Zh      []string
		Rouge   []string
		RougeZh []string `json:"rouge_zh"`
	}
	Chinese, Space [][2]rune
}

func loadTextFixtures(t *testing.T) textFixtures {
	t.Helper()
	data, err := os.ReadFile("testdata/text.json")
	require.NoError(t, err)
	f := textFixtures{}
	require.NoError(t, json.Unmarshal(data, &f))
	require.NotEmpty(t, f.Cases)
	require.NotEmpty(t, f.Tokens)
	return f
}

func TestTextEqualsSacrebleuAndRougeScore(t *testing.T) {
	for i, c := range loadTextFixtures(t).Cases {
		where := fmt.Sprintf("case %d: %q", i, c.Hyps)
		language, words, units := "en", Tokens13a, RougeTokens
		if c.Zh {
			language, words, units = "zh", TokensZh, RougeTokensZh
		}
		got, err := NewText(c.Hyps, c.Refs, language)
		require.NoError(t, err)
		require.Equal(t, len(c.Hyps), got.N)
		require.InDelta(t, c.BLEU.Score, got.BLEU.Score, textTolerance, where)
		require.InDelta(t, c.BLEU.Brevity, got.BLEU.Brevity, textTolerance, where)
		require.InDeltaSlice(t, c.BLEU.Precisions[:], got.BLEU.Precisions[:], textTolerance, where)
		require.Equal(t, c.BLEU.Matches, got.BLEU.Matches, where)
		require.Equal(t, c.BLEU.Totals, got.BLEU.Totals, where)
		require.Equal(t, c.BLEU.Length, got.BLEU.Length, where)
		require.Equal(t, c.BLEU.Reference, got.BLEU.Reference, where)
		require.InDelta(t, c.ChrF, got.ChrF, textTolerance, where)
		require.InDelta(t, c.Rouge[0], got.ROUGE.One, textTolerance, where)
		require.InDelta(t, c.Rouge[1], got.ROUGE.Two, textTolerance, where)
		require.InDelta(t, c.Rouge[2], got.ROUGE.L, textTolerance, where)
		require.InDelta(t, c.Exact, got.ExactMatch, textTolerance, where)

		b, err := CorpusBLEU(c.Hyps, c.Refs, words)
		require.NoError(t, err)
		require.Equal(t, got.BLEU, b)
		r, err := MeanROUGE(c.Hyps, c.Refs, units)
		require.NoError(t, err)
		require.Equal(t, got.ROUGE, r)
		f, err := ChrF(c.Hyps, c.Refs)
		require.NoError(t, err)
		require.InDelta(t, got.ChrF, f, 0)
		e, err := ExactMatch(c.Hyps, c.Refs)
		require.NoError(t, err)
		require.InDelta(t, got.ExactMatch, e, 0)
	}
}

func TestTokensOfText(t *testing.T) {
	f := loadTextFixtures(t)
	for _, c := range f.Tokens {
		for name, pair := range map[string][2][]string{
			"13a": {c.Mteval, Tokens13a(c.Text)}, "zh": {c.Zh, TokensZh(c.Text)},
			"rouge": {c.Rouge, RougeTokens(c.Text)}, "rouge zh": {c.RougeZh, RougeTokensZh(c.Text)},
		} {
			require.Equal(t, append([]string{}, pair[0]...), append([]string{}, pair[1]...), "%s: %q", name, c.Text)
		}
	}
	within := func(runs [][2]rune, r rune) bool {
		for _, run := range runs {
			if run[0] <= r && r <= run[1] {
				return true
			}
		}
		return false
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.Is(chinese, r) != within(f.Chinese, r) || space(r) != within(f.Space, r) {
			t.Fatalf("%U: Chinese %v, space %v", r, unicode.Is(chinese, r), space(r))
		}
	}
}

func TestTextWithoutReferences(t *testing.T) {
	for _, references := range [][][]string{nil, {{"a"}, {}}, {{"a"}}} {
		hypotheses := []string{"a", "b"}
		_, err := NewText(hypotheses, references, "en")
		require.Error(t, err)
		_, err = CorpusBLEU(hypotheses, references, Tokens13a)
		require.Error(t, err)
		_, err = ChrF(hypotheses, references)
		require.Error(t, err)
		_, err = MeanROUGE(hypotheses, references, RougeTokens)
		require.Error(t, err)
		_, err = ExactMatch(hypotheses, references)
		require.Error(t, err)
	}
	_, err := NewText([]string{"a", "b"}, [][]string{{"a"}, {}}, "en")
	require.EqualError(t, err, "scores of text: hypothesis 1 has no reference")

	none, err := NewText(nil, nil, "en")
	require.NoError(t, err)
	require.Equal(t, &Text{BLEU: BLEU{Brevity: 1}}, none)
}

func TestPerplexity(t *testing.T) {
	require.InDelta(t, 50, Perplexity(7*math.Log(50), 7), 1e-9) // seven guesses among 50 equally likely pieces
	require.InDelta(t, 1, Perplexity(0, 3), 0)
	require.InDelta(t, 1, Perplexity(0, 0), 0)
	require.InDelta(t, NewLanguageModel(2, 9, 12.5).LanguageModel.Perplexity, Perplexity(12.5, 9), 0)
}

// A draw of texts has the scores of the texts drawn, each as often as it was.
func TestTextsCanBeDrawn(t *testing.T) {
	said := []string{"the rate rose by two points", "profit fell", "a new loan", "the court ruled on it"}
	wanted := [][]string{{"the rate rose by three points"}, {"profit fell"}, {"no loan at all", "a loan"}, {"the court has ruled"}}
	whole, err := NewText(said, wanted, "")
	require.NoError(t, err)
	weight := []int32{2, 0, 1, 1}
	drawn, err := NewText([]string{said[0], said[0], said[2], said[3]}, [][]string{wanted[0], wanted[0], wanted[2], wanted[3]}, "")
	require.NoError(t, err)
	for name, want := range map[string][2]float64{
		"bleu":        {whole.BLEU.Score, drawn.BLEU.Score},
		"chrf":        {whole.ChrF, drawn.ChrF},
		"rouge_l":     {whole.ROUGE.L, drawn.ROUGE.L},
		"exact_match": {whole.ExactMatch, drawn.ExactMatch},
	} {
		got, err := whole.Sample.Score(name, nil)
		require.NoError(t, err)
		require.InDelta(t, want[0], got, 1e-12, name)
		got, err = whole.Sample.Score(name, weight)
		require.NoError(t, err)
		require.InDelta(t, want[1], got, 1e-12, name)
	}
	_, err = whole.Sample.Score("accuracy", nil)
	require.ErrorContains(t, err, "bleu, chrf, rouge_l, exact_match")

	better := slices.Clone(said)
	better[0], better[2] = wanted[0][0], wanted[2][1]
	other, err := NewText(better, wanted, "")
	require.NoError(t, err)
	d, err := PairedBootstrap(&Report{Text: whole, Sample: whole.Sample}, &Report{Text: other, Sample: other.Sample}, "exact_match", 1)
	require.NoError(t, err)
	require.InDelta(t, 0.5, d.Diff, 1e-12)
	require.Equal(t, 4, d.N)
	require.LessOrEqual(t, d.Range.Low, d.Diff)
	require.GreaterOrEqual(t, d.Range.High, d.Diff)
}
