package vocab

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// chinese are sentences of 公司, 股价, 净利润 and the like in changing company.
func chinese(n int) []string {
	return sentences(n, 7, func(pick func(...string) string) string {
		return pick("今天", "昨日", "本周", "去年", "") + pick("公司", "银行", "对手") + pick("的", "") + pick("股价", "净利润", "收入", "成本") +
			pick("大幅", "略有", "继续", "") + pick("上升", "下跌", "波动") + pick("，", "。", "了一点，", "得很快。") + pick("投资者", "市场", "股东") + pick("不安", "高兴", "看好")
	})
}

// sentences are n that one makes of random choices.
func sentences(n int, seed uint64, one func(pick func(...string) string) string) []string {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]string, n)
	for i := range out {
		out[i] = one(func(all ...string) string { return all[rng.IntN(len(all))] })
	}
	return out
}

func bases(t *testing.T) map[string]*token.Tokenizer {
	t.Helper()
	seen := map[rune]bool{}
	var pieces []string
	for _, text := range chinese(300) {
		for _, r := range text {
			if !seen[r] {
				seen[r], pieces = true, append(pieces, string(r))
			}
		}
	}
	bytes, err := token.TrainBPE(t.Context(), texts("a plain text of no Chinese words at all"), token.Training{Size: 300})
	require.NoError(t, err)
	return map[string]*token.Tokenizer{"wordpiece": tiny(t, pieces...), "bpe": bytes}
}

// Words of Chinese text are words, not clauses, and are matched in running text.
func TestChooseChineseWords(t *testing.T) {
	all := chinese(300)
	for name, base := range bases(t) {
		t.Run(name, func(t *testing.T) {
			s, err := Choose(t.Context(), Request{Base: base, Max: All, Words: true, Texts: texts(all...)})
			require.NoError(t, err)
			require.Empty(t, s.Notices())
			var names []string
			for _, c := range s.Choices {
				names = append(names, c.Text)
				require.False(t, c.Domain)
				require.LessOrEqual(t, len([]rune(c.Text)), 4)
			}
			for _, want := range []string{"公司", "银行", "股价", "净利润", "收入", "成本", "上升", "下跌", "市场", "股东", "投资者"} {
				require.Contains(t, names, want)
			}
			for _, never := range []string{"司股", "价大", "公司股", "利润", "净利", "投资", "资者", "公司股价", "市场看好", "今天公司", "的股价"} {
				require.NotContains(t, names, never)
			}
			saved := 0
			for _, c := range s.Choices {
				if c.Text == "净利润" {
					require.Equal(t, strings.Count(strings.Join(all, "\n"), "净利润"), c.Count)
				}
				saved += c.Saved
			}
			require.Equal(t, s.Before-s.After, saved)
			e := s.Tokenizer.Encode("今天公司股价大幅上升", token.Options{Bare: true})
			pieces := s.Tokenizer.Decode(e.IDs, false)
			require.Equal(t, "今天公司股价大幅上升", strings.ReplaceAll(pieces, " ", ""))
			require.Less(t, len(e.IDs)*2, len(base.Encode("今天公司股价大幅上升", token.Options{Bare: true}).IDs)+2)

			again, err := Choose(t.Context(), Request{Base: base, Max: All, Words: true, Texts: texts(all...)})
			require.NoError(t, err)
			require.Equal(t, s.Choices, again.Choices)
		})
	}
}

// Terms that are given are found inside of Chinese text and say where words end; of
// what is left words come as without them.
func TestChooseChineseTerms(t *testing.T) {
	all := chinese(300)
	for name, base := range bases(t) {
		t.Run(name, func(t *testing.T) {
			s, err := Choose(t.Context(), Request{Base: base, Max: All, Words: true, Saved: 1, Texts: texts(all...),
				Terms: []sdk.Term{{Text: "公司的净利润"}, {Text: "股价"}, {Text: "净利润"}, {Text: "毛利率"}}})
			require.NoError(t, err)
			count := map[string]Choice{}
			for _, c := range s.Choices {
				count[c.Text] = c
			}
			joined := strings.Join(all, "\n")
			require.Equal(t, strings.Count(joined, "股价"), count["股价"].Count)
			require.True(t, count["股价"].Domain)
			require.Equal(t, strings.Count(joined, "净利润")-strings.Count(joined, "公司的净利润"), count["净利润"].Count)
			require.Equal(t, strings.Count(joined, "公司的净利润"), count["公司的净利润"].Count)
			require.Contains(t, count, "银行")
			if name == "bpe" {
				require.True(t, slices.ContainsFunc(s.Idle, func(c Choice) bool { return c.Text == "毛利率" }))
			}
		})
	}
}

// What repeats as a whole shows no words: that is said.
func TestChooseChineseNotice(t *testing.T) {
	for _, base := range bases(t) {
		s, err := Choose(t.Context(), Request{Base: base, Max: All, Words: true, Texts: texts(slices.Repeat([]string{"今天公司股价大幅上升"}, 5)...)})
		require.NoError(t, err)
		require.Empty(t, s.Choices)
		require.Contains(t, s.Notices().String(), "the texts hold 50 Chinese characters")
	}
}

// The search holds a bounded number of runs, however long the text.
func TestChineseWordsAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("reads a long text")
	}
	rng := rand.New(rand.NewPCG(1, 9))
	many := func(yield func(string, error) bool) {
		for range 3000 {
			run := make([]rune, 300)
			for i := range run {
				run[i] = 0x4e00 + rune(rng.IntN(5000))
			}
			if text := string(run) + "，股价。" + fmt.Sprintf("%c股价%c", run[0], run[1]); !yield(text, nil) {
				return
			}
		}
	}
	words, han, err := hanWords(t.Context(), nil, nil, many, 3)
	require.NoError(t, err)
	require.Greater(t, han, 900_000)
	require.Contains(t, words, "股价")
}
