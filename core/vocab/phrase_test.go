package vocab

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// news are sentences of net sales, operating profit and the like in changing company.
func news(n int) []string {
	return sentences(n, 3, func(pick func(...string) string) string {
		return pick("The group's ", "Its ", "Last year ", "Our ") + pick("net sales", "operating profit", "gross margin", "Net sales", "profit", "sales", "margin") + pick(" ", " also ") +
			pick("rose", "fell", "grew", "shrank") + pick(" to EUR ", " by ") + pick("12", "31", "7") + pick(" mn", " percent", " mn, ", " million") +
			pick(" as ", " while ", ", ") + pick("mobile phone networks", "paper mills", "lifts") + pick(" sold well", " did not pay", " were built")
	})
}

var newsPieces = strings.Fields("the group ' s its last year our net sales operating profit gross margin also rose fell grew shrank to eur by 12 31 7 mn percent million , as while mobile phone networks paper mills lifts sold well did not pay were built a")

// Phrases hold together, are found as they stand and leave other words as they are.
func TestChoosePhrases(t *testing.T) {
	base := tiny(t, newsPieces...)
	all := news(400)
	req := Request{Base: base, Max: All, Phrases: true, Texts: texts(all...)}
	s, err := Choose(t.Context(), req)
	require.NoError(t, err)
	require.Empty(t, s.Notices())
	names := map[string]int{}
	saved := 0
	for _, c := range s.Choices {
		require.False(t, c.Domain)
		require.Equal(t, len(strings.Fields(c.Text)), c.Pieces)
		require.LessOrEqual(t, c.Pieces, 4)
		names[c.Text] = c.Count
		saved += c.Saved
	}
	require.Equal(t, strings.Count(strings.Join(all, "\n"), "mobile phone networks"), names["mobile phone networks"])
	for _, want := range []string{"operating profit", "gross margin", "mobile phone networks", "paper mills", "sold well", "did not pay", "were built"} {
		require.NotZero(t, names[want], "%s of %v", want, names)
	}
	for _, never := range []string{"mobile phone", "phone networks", "sales rose", "operating profit rose", "its net sales", "profit fell", "did not", "mn as", "s net"} {
		require.Zero(t, names[never], never)
	}
	require.Equal(t, s.Before-s.After, saved)

	pieces := func(text string) []string {
		return s.Tokenizer.Pieces(s.Tokenizer.Encode(text, token.Options{Bare: true}).IDs)
	}
	require.Equal(t, []string{"the", "net sales", "rose"}, pieces("The Net SALES rose"))
	require.Equal(t, []string{"net", ",", "sales"}, pieces("net, sales"))
	require.Equal(t, base.Pieces(base.Encode("net salesman", token.Options{Bare: true}).IDs), pieces("net salesman"))

	again, err := Choose(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, s.Choices, again.Choices)

	// A word of many phrases comes before them, and what is left of them is counted.
	cut := tiny(t, append(slices.Clone(newsPieces), "elev", "##ators")...)
	var lifts []string
	for i, text := range all {
		lifts = append(lifts, text+" "+strings.Fields("big small new old")[i%4]+" elevators 7")
	}
	few, err := Choose(t.Context(), Request{Base: cut, Max: 2, Words: true, Phrases: true, Texts: texts(lifts...)})
	require.NoError(t, err)
	require.Equal(t, "elevators", few.Choices[0].Text)
	require.Equal(t, len(all), few.Choices[0].Count)
	require.Equal(t, few.Before-few.After, few.Choices[0].Saved+few.Choices[1].Saved)

	// A phrase with a word that is cut; the word is no term when nothing is left of it.
	split := tiny(t, append(slices.DeleteFunc(slices.Clone(newsPieces), func(p string) bool { return p == "networks" }), "net", "##works")...)
	full, err := Choose(t.Context(), Request{Base: split, Max: All, Words: true, Phrases: true, Texts: texts(all...)})
	require.NoError(t, err)
	saved = 0
	for _, c := range full.Choices {
		require.NotEqual(t, "networks", c.Text)
		if c.Text == "mobile phone networks" {
			require.Equal(t, 4, c.Pieces)
			require.Equal(t, names[c.Text], c.Count)
		}
		saved += c.Saved
	}
	require.Equal(t, full.Before-full.After, saved)

	// A term of the domain counts once, as one.
	req.Terms = []sdk.Term{{Text: "Net sales"}}
	s, err = Choose(t.Context(), req)
	require.NoError(t, err)
	n := 0
	for _, c := range s.Choices {
		if strings.EqualFold(c.Text, "net sales") {
			n++
			require.True(t, c.Domain)
			require.Equal(t, names["net sales"], c.Count)
		}
	}
	require.Equal(t, 1, n)
}

// Why there is no phrase is said.
func TestNoPhrases(t *testing.T) {
	bytes, err := token.TrainBPE(t.Context(), texts(news(20)...), token.Training{Size: 300})
	require.NoError(t, err)
	for name, req := range map[string]Request{
		"takes no terms of several words":                        {Base: bytes, Texts: texts(news(300)...)},
		"of the 3 words of the texts no run of 2 to 4 is seen 3": {Base: tiny(t, newsPieces...), Texts: texts("net sales 12 rose")},
	} {
		req.Phrases, req.Max = true, All
		s, err := Choose(t.Context(), req)
		require.NoError(t, err)
		require.Empty(t, s.Choices)
		require.Len(t, s.Notices(), 1)
		require.Equal(t, "vocab.phrases", s.Notices()[0].Code)
		require.Contains(t, s.Notices()[0].Summary, name)
	}
}

func TestEachWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "|",
		"net sales":                              "|net sales|",
		"net  sales":                             "|net|sales|",
		"net\nsales, of 12 q3 é公司b":              "|net|sales|of|q3 é|b|",
		"a_b c-d ' e":                            "|a_b c|d|e|", // as the tokenizer has words
		strings.Repeat("x", wordMost+1) + " a b": "|a b|",
	} {
		got := ""
		eachWords(text, func(word string, joined bool) {
			if joined {
				got += " " + word
			} else {
				got += "|" + word
			}
		})
		require.Equal(t, want, got, text)
	}
}
