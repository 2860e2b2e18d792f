package token

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

// sharedTokenizers is the folder of the parity set beside the test data.
func sharedTokenizers(t testing.TB) string {
	t.Helper()
	data := os.Getenv("ISLM_TESTDATA")
	if data == "" {
		data = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(data, "..", "tokenizers")
	if _, err := os.Stat(filepath.Join(dir, "corpus.jsonl")); err != nil {
		t.Skipf("no tokenizer parity set at %s: set ISLM_TESTDATA to the data folder beside it", dir)
	}
	return dir
}

type corpusLine struct {
	I    int    `json:"i"`
	Cat  string `json:"cat"`
	Text string `json:"text"`
}

// reference is what the Python library gives for a line; offsets count characters.
type reference struct {
	I    int      `json:"i"`
	IDs  []int32  `json:"ids"`
	Off  [][2]int `json:"off"`
	IDs0 []int32  `json:"ids0"`
	Off0 [][2]int `json:"off0"`
	Word []*int32 `json:"word"`
}

func readLines[T any](t testing.TB, path string) []T {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var in io.Reader = bufio.NewReader(f)
	if filepath.Ext(path) == ".gz" {
		if in, err = gzip.NewReader(in); err != nil {
			t.Fatal(err)
		}
	}
	d := json.NewDecoder(in)
	var out []T
	for d.More() {
		var line T
		if err := d.Decode(&line); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, line)
	}
	return out
}

// byteOffsets turns character offsets of text into byte offsets.
func byteOffsets(text string, offsets [][2]int) []Span {
	starts := make([]int, 0, len(text)+1)
	for i := range text {
		starts = append(starts, i)
	}
	starts = append(starts, len(text))
	at := func(i int) int { return starts[min(i, len(starts)-1)] }
	out := make([]Span, len(offsets))
	for i, o := range offsets {
		out[i] = Span{at(o[0]), at(o[1])}
	}
	return out
}

// differs says what of an encoding is not as in the reference, "" if nothing.
func differs(e Encoding, text string, ids []int32, off [][2]int, words []*int32) string {
	if len(e.IDs) != len(ids) {
		return "ids"
	}
	spans := byteOffsets(text, off)
	for i := range ids {
		if e.IDs[i] != ids[i] {
			return "ids"
		}
	}
	for i := range ids {
		if e.Offsets[i] != spans[i] {
			return "offsets"
		}
		if words != nil {
			want := int32(-1)
			if words[i] != nil {
				want = *words[i]
			}
			if e.Words[i] != want {
				return "words"
			}
		}
	}
	return ""
}

// TestParity holds the seven tokenizers of the parity set to the Python library's
// ids, places and word numbers.
func TestParity(t *testing.T) {
	dir := sharedTokenizers(t)
	corpus := readLines[corpusLine](t, filepath.Join(dir, "corpus.jsonl"))
	for _, name := range []string{"bert_uncased", "bert_cased_zh", "gpt2", "roberta", "xlmr", "t5", "llama2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(filepath.Join(dir, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			tok, err := FromJSON(data)
			if err != nil {
				t.Fatal(err)
			}
			refs := readLines[reference](t, filepath.Join(dir, "ref", name+".jsonl.gz"))
			if len(refs) != len(corpus) {
				t.Fatalf("%d references for %d lines", len(refs), len(corpus))
			}
			bad, all := 0, 0
			step := 1
			if racing {
				step = 16
			}
			for i := 0; i < len(corpus); i += step {
				line := corpus[i]
				all++
				ref := refs[i]
				what := differs(tok.Encode(line.Text, Options{}), line.Text, ref.IDs, ref.Off, ref.Word)
				if what == "" {
					if what = differs(tok.Encode(line.Text, Options{Bare: true}), line.Text, ref.IDs0, ref.Off0, nil); what != "" {
						what += " without special tokens"
					}
				}
				if what != "" {
					if bad++; bad <= 10 {
						t.Logf("line %d (%s): %s differ: %q", i, line.Cat, what, clip(line.Text))
					}
				}
			}
			t.Logf("%d of %d lines equal", all-bad, all)
			if share := 1 - float64(bad)/float64(all); share < 0.9997 {
				t.Errorf("%.4f of the lines are equal, 0.9997 expected", share)
			}
		})
	}
}

func clip(s string) string {
	if len(s) <= 120 {
		return s
	}
	s = s[:120]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}
