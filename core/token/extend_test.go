package token

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// checkExtended compares how a tokenizer and its extension cut a text: words that
// hold no new piece are cut alike, and a new piece covers whole words, unless a
// symbol that BERT does not split off stands beside it.
func checkExtended(t *testing.T, base, ext *Tokenizer, text string) (found int) {
	t.Helper()
	size := int32(base.VocabSize())
	type cut struct {
		id       int32
		from, to int
	}
	cuts := func(e Encoding) (out []cut) {
		for i, id := range e.IDs {
			out = append(out, cut{id, e.Offsets[i].Start, e.Offsets[i].End})
		}
		return out
	}
	b, e := base.Encode(text, Options{Bare: true}), ext.Encode(text, Options{Bare: true})
	var spans [][2]int
	kept := map[cut]int{}
	for _, c := range cuts(e) {
		if c.id >= size {
			spans = append(spans, [2]int{c.from, c.to})
			found++
		} else {
			kept[c]++
		}
	}
	chinese := map[int]bool{} // edges of terms that are found inside of words
	for _, s := range spans {
		if Inside(text[s[0]:s[1]]) {
			chinese[s[0]], chinese[s[1]] = true, true
			chinese[len(text)-len(strings.TrimLeftFunc(text[s[1]:], isCombining))] = true
		}
	}
	// The words of the base, as ranges of its pieces.
	old := cuts(b)
	for i := 0; i < len(old); {
		k := i + 1
		for k < len(old) && b.Words[k] == b.Words[i] {
			k++
		}
		from, to := old[i].from, old[k-1].to
		touched := false
		for _, s := range spans {
			if s[0] < to && from < s[1] {
				touched = true
				if chinese[s[0]] || chinese[s[1]] {
					continue // a Chinese term, or beside one: cut within a run that has no spaces
				}
				for _, edge := range []struct {
					inside bool
					r      rune
				}{
					{from < s[0], last(text[:s[0]])}, {s[1] < to, first(text[s[1]:])},
				} {
					if edge.inside && (base.t.is(edge.r, isWord) || unicode.IsPunct(edge.r) || edge.r < 128) {
						t.Fatalf("%q: the new piece [%d,%d) cuts the word %q", text, s[0], s[1], text[from:to])
					}
				}
			}
		}
		for at := range chinese { // what is beside a Chinese term begins or ends there
			touched = touched || from <= at && at <= to || to <= at && strings.TrimSpace(text[from:at]) == ""
		}
		if !touched {
			for _, c := range old[i:k] {
				if kept[c] == 0 {
					t.Fatalf("%q: the word %q is no longer cut as %v: %v", text, text[from:to], old[i:k], cuts(e))
				}
				kept[c]--
			}
		}
		i = k
	}
	return found
}

// first and last look over marks, which an uncased vocabulary drops.
func first(s string) rune {
	r, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(s, isCombining))
	return r
}

func last(s string) rune {
	r, _ := utf8.DecodeLastRuneInString(strings.TrimRightFunc(s, isCombining))
	return r
}

func isCombining(r rune) bool { return unicode.Is(unicode.Mn, r) }

var someTerms = []string{"EBITDA", "switchgear", "gross margin", "covid-19", "二甲双胍", "hba1c", "naïveté", "the", "ebit", "Ökostrom", "HbA1c", "x-ray tube", "µg/ml", "R&D"}

// TestExtendKeepsOtherText checks words and phrases added to vocabularies of both
// kinds over random and real texts.
func TestExtendKeepsOtherText(t *testing.T) {
	toks := map[string]*Tokenizer{}
	for _, name := range []string{"wp_bert_lower", "wp_bert_cased", "bpe_bytes"} {
		toks[name] = fromSet(t, name)
	}
	var real []string
	if dir := filepath.Join(dataFolder(), "..", "tokenizers"); exists(filepath.Join(dir, "corpus.jsonl")) {
		for _, line := range readLines[corpusLine](t, filepath.Join(dir, "corpus.jsonl")) {
			real = append(real, line.Text)
		}
		for _, name := range []string{"bert_uncased", "bert_cased_zh", "gpt2", "roberta"} {
			data, err := os.ReadFile(filepath.Join(dir, name+".json"))
			require.NoError(t, err)
			tok, err := FromJSON(data)
			require.NoError(t, err)
			toks[name] = tok
		}
	} else {
		t.Log("without the parity set: random texts only")
	}
	for name, base := range toks {
		t.Run(name, func(t *testing.T) {
			terms := someTerms
			// Every 5th word of the real texts too.
			for i, text := range real {
				if w := strings.Fields(text); i%5 == 0 && len(w) > 0 {
					terms = append(terms, strings.Trim(w[i%len(w)], ".,;:()\"'"))
				}
			}
			ext, added, left, err := base.Extend(terms)
			require.NoError(t, err)
			require.NotEmpty(t, added)
			for i, a := range added {
				require.EqualValues(t, base.VocabSize()+i, a.ID)
				require.Equal(t, a.Content, strings.TrimSpace(terms[a.Term]))
				require.GreaterOrEqual(t, len(a.Pieces), 2, a.Content)
			}
			require.Equal(t, base.VocabSize()+len(added), ext.VocabSize())
			for _, a := range added {
				if !Inside(a.Content) && strings.ContainsFunc(a.Content, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
					continue // a Chinese term inside it comes first
				}
				e := ext.Encode("so "+a.Content+" is", Options{Bare: true})
				require.Contains(t, e.IDs, ext.bigger(a.ID, base.VocabSize()), a.Content)
			}
			t.Logf("%d added, %d left", len(added), len(left))
			found := 0
			rng := rand.New(rand.NewPCG(1, 2))
			glue := []string{" ", "", "-", "_", "™", "s", ". ", "\n\n", "  ", "x", "/", "é", "’s", "²", "\u0301", "国"}
			for range 1500 {
				var b strings.Builder
				for range 1 + rng.IntN(8) {
					term := terms[rng.IntN(len(terms))]
					if rng.IntN(4) == 0 {
						term = strings.ToUpper(term)
					}
					if rng.IntN(6) == 0 {
						r := []rune(term)
						term = string(r[:rng.IntN(len(r)+1)])
					}
					b.WriteString(glue[rng.IntN(len(glue))] + term)
				}
				found += checkExtended(t, base, ext, b.String())
			}
			for _, text := range real {
				found += checkExtended(t, base, ext, text)
			}
			require.Greater(t, found, 1000)

			// What was written is read back the same.
			dir := t.TempDir()
			require.NoError(t, ext.Save(dir))
			again, err := Load(dir)
			require.NoError(t, err)
			for _, text := range append([]string{"EBITDA switchgear"}, real...) {
				require.Equal(t, ext.Encode(text, Options{}), again.Encode(text, Options{}))
			}
		})
	}
}

// Chinese terms are found inside of running text, the longest first, by both kinds;
// what is beside them is cut as if it stood alone.
func TestExtendChinese(t *testing.T) {
	vocab := "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n##x\nebit\n##da\nA\nso\n，\n"
	for _, r := range "今天公司棉纱大幅上升净利润指数市场" {
		vocab += string(r) + "\n"
	}
	wordPiece, err := FromVocab([]byte(vocab), true)
	require.NoError(t, err)
	for name, base := range map[string]*Tokenizer{"wordpiece": wordPiece, "bpe": fromSet(t, "bpe_bytes")} {
		terms := []string{"棉纱", "净利润", "棉纱指数", "A股", "EBITDA"}
		ext, added, left, err := base.Extend(terms)
		require.NoError(t, err)
		require.Empty(t, left, name)
		ids := map[int32]string{}
		for i, a := range added {
			require.EqualValues(t, base.VocabSize()+i, a.ID, name)
			require.Equal(t, terms[a.Term], a.Content)
			ids[a.ID] = a.Content
		}
		text := "今天公司棉纱大幅上升，净利润 棉纱指数A股市场 EBITDA"
		e := ext.Encode(text, Options{Bare: true})
		var found []string
		var rest []int32
		for i, id := range e.IDs {
			if content, ok := ids[id]; ok {
				require.Equal(t, content, strings.TrimSpace(text[e.Offsets[i].Start:e.Offsets[i].End]), name)
				found = append(found, content)
				continue
			}
			rest = append(rest, id)
		}
		require.Equal(t, []string{"棉纱", "净利润", "棉纱指数", "A股", "EBITDA"}, found, name)
		var beside []int32
		for _, part := range []string{"今天公司", "大幅上升，", " ", "市场 "} {
			beside = append(beside, base.Encode(part, Options{Bare: true}).IDs...)
		}
		if name == "bpe" { // its blank belongs to the word behind
			beside = beside[:len(beside)-1]
		}
		require.Equal(t, beside, rest, name)
		dir := t.TempDir()
		require.NoError(t, ext.Save(dir))
		again, err := Load(dir)
		require.NoError(t, err)
		require.Equal(t, e, again.Encode(text, Options{Bare: true}), name)
	}
}

// bigger is an id of the same content that is new: of the two forms that BPE has,
// a text in running words shows the one with a space.
func (t *Tokenizer) bigger(id int32, size int) int32 {
	if _, ok := t.model.(*bpe); !ok {
		return id
	}
	word := strings.TrimPrefix(t.Piece(id), "Ġ")
	if with, ok := t.ID("Ġ" + word); ok {
		return with
	}
	return id
}

func TestExtendRefusesOtherKinds(t *testing.T) {
	for _, name := range []string{"uni_charsmap", "bpe_fallback"} {
		_, _, _, err := fromSet(t, name).Extend([]string{"switchgear"})
		require.ErrorContains(t, err, "extend vocabulary", name)
	}
}

func dataFolder() string {
	if data := os.Getenv("ISLM_TESTDATA"); data != "" {
		return data
	}
	return filepath.Join("..", "..", "..", "shared", "data")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// manyTerms makes words that no text of people holds, and the phrases of some.
func manyTerms(n int) []string {
	rng := rand.New(rand.NewPCG(3, 4))
	seen := map[string]bool{}
	var out []string
	for len(out) < n {
		var b strings.Builder
		for range 2 + rng.IntN(4) {
			b.WriteString([]string{"ka", "to", "mer", "lin", "ost", "phy", "gen", "ther", "quo", "vex", "ix", "dro", "an", "s"}[rng.IntN(14)])
		}
		w := b.String()
		if rng.IntN(5) == 0 {
			w += fmt.Sprintf(" %s", []string{"syndrome", "index", "rate"}[rng.IntN(3)])
		}
		if !seen[w] {
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}

// TestExtendMany is a guard against work that grows with the square of the terms.
func TestExtendMany(t *testing.T) {
	ext, added, _, err := fromSet(t, "wp_bert_lower").Extend(manyTerms(20000))
	require.NoError(t, err)
	require.Greater(t, len(added), 19000)
	dir := t.TempDir()
	require.NoError(t, ext.Save(dir))
	begin := time.Now()
	_, err = Load(dir)
	require.NoError(t, err)
	require.Less(t, time.Since(begin), 10*time.Second)
}

// TestSingleWordSearch compares the search that passes over the rest of words with
// the one that looks at each byte.
func TestSingleWordSearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	letters := []string{"a", "b", "a", "b", " ", "-", "é", "国", "_", "\u0301"}
	word := func(n int) string {
		var b strings.Builder
		for range 1 + rng.IntN(n) {
			b.WriteString(letters[rng.IntN(len(letters))])
		}
		return b.String()
	}
	for range 300 {
		var tokens []AddedToken
		var ids []int32
		for i := range 1 + rng.IntN(12) {
			tokens = append(tokens, AddedToken{Content: word(2 + rng.IntN(12)), SingleWord: true, LeftStrip: rng.IntN(5) == 0})
			ids = append(ids, int32(i))
		}
		a := newAddedTokens(loadTables(), nil, tokens, ids)
		require.True(t, a.plain.single)
		plain := *a.plain
		plain.single = false
		for range 50 {
			text := word(60)
			var w work
			require.Equal(t, a.extract(&plain, w.valid(text), nil), a.extract(a.plain, w.valid(text), nil), "%q in %v", text, tokens)
		}
	}
}
