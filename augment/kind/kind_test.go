package kind

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVowelSound(t *testing.T) {
	for w, want := range map[string]bool{"apple": true, "hour": true, "honest man": true, "user": false, "university": false, "uninsured": true, "one": false, "CEO": false, "MBA": true,
		"FBI": true, "NATO": false, "UN": false, "8": true, "11": true, "110": false, "18": true, "80 %": true, "european": false, "onerous": true, "": false} {
		require.Equal(t, want, vowelSound(w), "%s", w)
	}
}

func TestInflections(t *testing.T) {
	m := newMorphology()
	for _, c := range []struct {
		lemma, pos string
		form       form
		want       string
	}{
		{"rise", "verb", past, "rose"}, {"stop", "verb", past, "stopped"}, {"carry", "verb", third, "carries"}, {"make", "verb", gerund, "making"}, {"analysis", "noun", plural, "analyses"},
		{"go up", "verb", past, "went up"}, {"chief officer", "noun", plural, "chief officers"}, {"easy", "adjective", comparative, "easier"}, {"important", "adjective", superlative, "most important"},
		{"big", "adjective", comparative, "bigger"}, {"see", "verb", gerund, "seeing"}, {"prefer", "verb", past, "preferred"}, {"offer", "verb", past, "offered"},
	} {
		require.Equal(t, c.want, m.inflect(c.lemma, c.pos, c.form), "%s", c.lemma)
	}
	for w, want := range map[string]string{"raised": "raise", "increased": "increase", "visited": "visit", "improving": "improve", "stopped": "stop", "announced": "announce", "created": "create",
		"gained": "gain", "carried": "carry", "sold": "sell", "passes": "pass", "serves": "serve", "failed": "fail"} {
		lemma, _ := m.verb(w)
		require.Equal(t, want, lemma, "%s", w)
	}
}

func TestNumerals(t *testing.T) {
	for _, c := range []struct {
		in    string
		comma bool
		value float64
	}{{"1,234.5", false, 1234.5}, {"1.234,5", true, 1234.5}, {"1.234", true, 1234}, {"1.234", false, 1.234}, {"3,5", false, 3.5}, {"12'000", false, 12000}, {"1,234,567", false, 1234567}} {
		v, f, ok := readDigits(c.in, c.comma)
		require.True(t, ok, "%s", c.in)
		require.InDelta(t, c.value, v, 1e-9, "%s", c.in)
		require.Equal(t, c.in, f.write(v))
	}
	for _, bad := range []string{"1,23,4", "1.2.3,4.5", "12,34.5"} {
		_, _, ok := readDigits(bad, false)
		require.False(t, ok, "%s", bad)
	}
	for v := int64(1); v < 10000; v++ {
		got, n := readHanzi(writeHanzi(v), 0)
		require.Equal(t, v, got)
		require.Equal(t, len(writeHanzi(v)), n)
	}
}

// Every number keeps its magnitude and its decimals, whatever the factor.
func TestVariedKeepsMagnitude(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		decimals := rng.IntN(4)
		text := numeral{decimals: decimals}.write(rng.Float64() * []float64{1, 10, 1000, 1e6}[rng.IntN(4)])
		v, f, ok := readDigits(text, false)
		require.True(t, ok)
		if v == 0 {
			continue
		}
		q := quantity{shown: v, numeral: f, sort: "count"}
		out := q.varied(0.5 + rng.Float64())
		require.Equal(t, magnitude(v), magnitude(out), "%s -> %v", text, out)
		require.Len(t, f.write(out), len(text), "%s -> %v", text, out)
	}
}

// magnitude counts places without logarithms, which round.
func magnitude(v float64) int {
	s := strconv.FormatFloat(v, 'e', 9, 64)
	n, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:])
	return n
}

// Writing in the other script and back gives the text again, where each character
// has one counterpart.
func TestScriptsGoBack(t *testing.T) {
	s := newScripts()
	require.Greater(t, len(s.traditional), 850)
	for simple, trad := range s.traditional {
		require.Equal(t, string(simple), string(s.simplify[trad]))
	}
}

func TestKeyboardNeighbours(t *testing.T) {
	near := neighbours()
	for i, keys := range near {
		require.NotEmpty(t, keys)
		for _, k := range keys {
			require.Contains(t, near[k-'a'], string(rune('a'+i)), "neighbours are so both ways")
		}
	}
}

func TestOpenWordNet(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	for _, f := range wordNetFiles {
		write("index."+f, "  1 header\n")
		write("data."+f, "")
	}
	line := "00000000 13 n 03 profit 0 net_income 0 earnings 0 000 | what is left\n"
	write("data.noun", line)
	write("index.noun", "  1 header\nprofit n 1 0 1 1 00000000\nnet_income n 1 0 1 1 00000000\n")
	w, err := OpenWordNet(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"net income", "earnings"}, w.Synonyms("Profit", "noun"))
	require.Equal(t, []string{"profit", "earnings"}, w.Synonyms("net income", ""))
	require.Empty(t, w.Synonyms("profit", "verb"))
	write("index.noun", "profit n 1 0 1 1 00009999\n")
	_, err = OpenWordNet(dir)
	require.ErrorContains(t, err, "index.noun:1")
	_, err = OpenWordNet(filepath.Join(dir, "none"))
	require.ErrorContains(t, err, "open WordNet")
}
