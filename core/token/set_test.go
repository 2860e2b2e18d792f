package token

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// setLine is a reference that has decoded texts too.
type setLine struct {
	reference
	Text string `json:"text"`
	Bare string `json:"bare"`
}

// setCase is a pair with truncation, or words that are split already.
type setCase struct {
	A        string   `json:"a"`
	B        string   `json:"b"`
	TextList []string `json:"words"`
	Max      int      `json:"max"`
	Strategy string   `json:"strategy"`
	Left     bool     `json:"left"`
	Bare     bool     `json:"bare"`
	Error    string   `json:"error"`
	IDs      []int32  `json:"ids"`
	Off      [][2]int `json:"off"`
	Type     []int32  `json:"type"`
	Word     []*int32 `json:"word"`
}

var strategies = map[string]Strategy{"longest_first": LongestFirst, "only_first": OnlyFirst, "only_second": OnlySecond}

// TestSet compares with the set in testdata.
func TestSet(t *testing.T) {
	testFolder(t, filepath.Join("testdata", "parity"))
}

// TestParityFresh makes a larger set, of every family and component, with the
// Python library and compares with it. ISLM_TOKENIZER_SET names a folder that
// scripts/fixtures/tokenizer.py has made already, ISLM_TOKENIZER_SEED another set.
func TestParityFresh(t *testing.T) {
	dir := os.Getenv("ISLM_TOKENIZER_SET")
	if dir == "" {
		python := parityPython(t)
		dir = t.TempDir()
		script := filepath.Join("..", "..", "scripts", "fixtures", "tokenizer.py")
		out, err := exec.CommandContext(t.Context(), python, script, "large", dir, cmp.Or(os.Getenv("ISLM_TOKENIZER_SEED"), "1")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	testFolder(t, dir)
}

// parityPython is the Python of make parity.
func parityPython(t *testing.T) string {
	t.Helper()
	python := os.Getenv("ISLM_PARITY_PY")
	if python == "" {
		t.Skip("ISLM_PARITY_PY names no Python: run make parity")
	}
	return python
}

func testFolder(t *testing.T, dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tokenizers in %s (%v)", dir, err)
	}
	corpus := readLines[corpusLine](t, filepath.Join(dir, "corpus.jsonl"))
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		t.Run(name, func(t *testing.T) { testSet(t, dir, name, corpus) })
	}
}

func testSet(t *testing.T, dir, name string, corpus []corpusLine) {
	data, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	bad, all := 0, 0
	report := func(what, text string, e Encoding, ids []int32, off [][2]int) {
		if bad++; bad <= 12 {
			t.Logf("%s: %q\n got %v %v %v\nwant %v %v", what, clip(text), e.IDs, e.Offsets, e.Words, ids, byteOffsets(text, off))
		}
	}
	for i, ref := range readLines[setLine](t, filepath.Join(dir, "ref", name+".jsonl.gz")) {
		text := corpus[i].Text
		all++
		e := tok.Encode(text, Options{})
		if what := differs(e, text, ref.IDs, ref.Off, ref.Word); what != "" {
			report(corpus[i].Cat+" "+what, text, e, ref.IDs, ref.Off)
			continue
		}
		e0 := tok.Encode(text, Options{Bare: true})
		if what := differs(e0, text, ref.IDs0, ref.Off0, nil); what != "" {
			report(corpus[i].Cat+" bare "+what, text, e0, ref.IDs0, ref.Off0)
			continue
		}
		if got := tok.Decode(ref.IDs, false); got != ref.Text {
			bad++
			t.Logf("decoded %q, want %q", got, ref.Text)
		} else if got := tok.Decode(ref.IDs, true); got != ref.Bare {
			bad++
			t.Logf("decoded bare %q, want %q", got, ref.Bare)
		}
	}
	t.Logf("%d of %d lines equal", all-bad, all)
	if float64(bad) > 0.0003*float64(all) {
		t.Errorf("%d of %d lines differ", bad, all)
	}
	wrong, cases := 0, readLines[setCase](t, filepath.Join(dir, "ref", name+".more.gz"))
	for _, c := range cases {
		if what := c.differs(tok); what != "" {
			if wrong++; wrong <= 8 {
				t.Logf("case %s: %+v", what, c)
			}
		}
	}
	t.Logf("%d of %d pairs and word lists equal", len(cases)-wrong, len(cases))
	if float64(wrong) > 0.0003*float64(len(cases)) {
		t.Errorf("%d of %d pairs and word lists differ", wrong, len(cases))
	}
}

func (c *setCase) differs(tok *Tokenizer) string {
	opt := Options{Bare: c.Bare, Max: c.Max, Strategy: strategies[c.Strategy], KeepEnd: c.Left}
	var e Encoding
	if c.TextList != nil {
		e = tok.EncodeWords(c.TextList, opt)
	} else {
		var err error
		if e, err = tok.EncodePair(c.A, c.B, opt); err != nil || c.Error != "" {
			if (err != nil) != (c.Error != "") {
				return "error"
			}
			return ""
		}
	}
	if len(e.IDs) != len(c.IDs) {
		return "ids"
	}
	for i := range c.IDs {
		text := c.A
		switch {
		case c.TextList != nil && e.Words[i] >= 0:
			text = c.TextList[e.Words[i]]
		case e.Sequences[i] == 1:
			text = c.B
		}
		switch {
		case e.IDs[i] != c.IDs[i]:
			return "ids"
		case e.Types[i] != c.Type[i]:
			return "types"
		case e.Offsets[i] != byteOffsets(text, c.Off[i:i+1])[0]:
			return "offsets"
		case e.Words[i] < 0 != (c.Word[i] == nil) || c.Word[i] != nil && *c.Word[i] != e.Words[i]:
			return "words"
		}
	}
	return ""
}
