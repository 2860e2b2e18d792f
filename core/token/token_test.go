package token

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/islm-dev/islm/sdk"
)

const smallVocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nmotor\nfail\n##ed\n##s\n.\n过\n热\nun\n##able\ncafe\n!\n"

func small(t testing.TB) *Tokenizer {
	t.Helper()
	tok, err := FromVocab([]byte(smallVocab), true)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func fromSet(t testing.TB, name string) *Tokenizer {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "parity", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestEncode(t *testing.T) {
	tok := small(t)
	e := tok.Encode("The CAFÉ motors failed 过热!", Options{})
	want := []string{"[CLS]", "the", "cafe", "motor", "##s", "fail", "##ed", "过", "热", "!", "[SEP]"}
	if diff := cmp.Diff(want, tok.Pieces(e.IDs)); diff != "" {
		t.Errorf("pieces (-want +got):\n%s", diff)
	}
	offsets := []Span{{0, 0}, {0, 3}, {4, 9}, {10, 15}, {15, 16}, {17, 21}, {21, 23}, {24, 27}, {27, 30}, {30, 31}, {0, 0}}
	if diff := cmp.Diff(offsets, e.Offsets); diff != "" {
		t.Errorf("offsets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int32{-1, 0, 1, 2, 2, 3, 3, 4, 5, 6, -1}, e.Words); diff != "" {
		t.Errorf("words (-want +got):\n%s", diff)
	}
	if got := tok.Decode(e.IDs, true); got != "the cafe motors failed 过 热!" {
		t.Errorf("decoded %q", got)
	}
	for role, id := range map[string]int32{"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4} {
		if got, ok := tok.Special(role); !ok || got != id {
			t.Errorf("special %s is %d, %t", role, got, ok)
		}
	}
	if _, ok := tok.Special("bos"); ok {
		t.Error("a BERT vocabulary has a bos token")
	}
}

func TestInvalidUTF8(t *testing.T) {
	for _, name := range []string{"wp_bert_lower", "bpe_bytes", "uni_charsmap", "bpe_fallback"} {
		tok := fromSet(t, name)
		text := "motor \xff\xfe failed \xe8\xbf"
		e := tok.Encode(text, Options{})
		for _, o := range e.Offsets {
			if o.Start < 0 || o.Start > o.End || o.End > len(text) {
				t.Errorf("%s: offsets %v of a text of %d bytes", name, o, len(text))
			}
		}
	}
}

func TestTruncation(t *testing.T) {
	tok := small(t)
	long, short := "the motor failed the motor failed", "the motor"
	for _, c := range []struct {
		a, b     string
		opt      Options
		n1, n2   int
		tooShort bool
	}{
		{long, short, Options{Max: 9}, 4, 2, false},
		{long, short, Options{Max: 9, Strategy: OnlyFirst}, 4, 2, false},
		{short, long, Options{Max: 9, Strategy: OnlySecond}, 2, 4, false},
		{long, short, Options{Max: 9, Strategy: OnlySecond}, 0, 0, true},
		{long, long, Options{Max: 8}, 2, 3, false},
		{long, long, Options{Max: 3}, 0, 0, false},
		{long, long, Options{Max: 7, Bare: true}, 3, 4, false},
		{long, short, Options{}, 8, 2, false},
	} {
		e, err := tok.EncodePair(c.a, c.b, c.opt)
		if errors.Is(err, ErrTooShort) != c.tooShort {
			t.Errorf("%+v: error %v", c, err)
			continue
		}
		n1, n2 := 0, 0
		for _, s := range e.Sequences {
			switch s {
			case 0:
				n1++
			case 1:
				n2++
			}
		}
		if n1 != c.n1 || n2 != c.n2 {
			t.Errorf("%+v: lengths %d and %d", c, n1, n2)
		}
	}
	e := tok.Encode(long, Options{Max: 4, KeepEnd: true})
	if diff := cmp.Diff([]string{"[CLS]", "fail", "##ed", "[SEP]"}, tok.Pieces(e.IDs)); diff != "" {
		t.Errorf("the end (-want +got):\n%s", diff)
	}
}

func TestPad(t *testing.T) {
	tok := small(t)
	a, b := tok.Encode("the motor", Options{}), tok.Encode("the", Options{})
	got := tok.Pad([]Encoding{a, b}, PadTo{Multiple: 5})
	want := Batch{
		Rows: 2, Width: 5, IDs: []int32{2, 5, 6, 3, 0, 2, 5, 3, 0, 0},
		Types: make([]int32, 10), Mask: []int32{1, 1, 1, 1, 0, 1, 1, 1, 0, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
	left := tok.Pad([]Encoding{b}, PadTo{Width: 4, Left: true})
	if diff := cmp.Diff([]int32{0, 2, 5, 3}, left.IDs); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestEncodeTokens(t *testing.T) {
	tok := small(t)
	text := "The motors \u200b failed."
	tokens := []sdk.Token{{Start: 0, End: 3}, {Start: 4, End: 10}, {Start: 11, End: 14}, {Start: 15, End: 21}, {Start: 21, End: 22}}
	ids, starts := tok.EncodeTokens(text, tokens, 0)
	if diff := cmp.Diff([]string{"[CLS]", "the", "motor", "##s", "fail", "##ed", ".", "[SEP]"}, tok.Pieces(ids)); diff != "" {
		t.Errorf("pieces (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int32{1, 2, -1, 4, 6}, starts); diff != "" {
		t.Errorf("starts (-want +got):\n%s", diff)
	}
	ids, starts = tok.EncodeTokens(text, tokens, 6)
	if diff := cmp.Diff([]int32{1, 2, -1, 4, -1}, starts); diff != "" || len(ids) != 6 {
		t.Errorf("cut: %d ids, starts (-want +got):\n%s", len(ids), diff)
	}
	if _, starts := tok.EncodeTokens("x", []sdk.Token{{Start: -3, End: 99}, {Start: 5, End: 2}}, 8); starts[0] != 1 || starts[1] != -1 {
		t.Errorf("tokens out of range: %v", starts)
	}
	bytes := fromSet(t, "bpe_bytes")
	text = "the motor"
	ids, _ = bytes.EncodeTokens(text, []sdk.Token{{Start: 0, End: 3}, {Start: 4, End: 9}}, 0)
	whole := bytes.Encode(text, Options{})
	if diff := cmp.Diff(whole.IDs, ids); diff != "" {
		t.Errorf("byte-level tokens differ from the text's (-want +got):\n%s", diff)
	}
}

func TestAddTokens(t *testing.T) {
	tok := small(t)
	before := tok.Encode("the motor failed", Options{})
	n := tok.VocabSize()
	ids, err := tok.AddTokens(
		AddedToken{Content: "HbA1c", Normalized: true}, AddedToken{Content: "二甲双胍", Normalized: true},
		AddedToken{Content: "EBIT", Normalized: true, SingleWord: true}, AddedToken{Content: "motor"}, AddedToken{Content: "HbA1c", Normalized: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int32{int32(n), int32(n) + 1, int32(n) + 2, 6, int32(n)}, ids); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if tok.VocabSize() != n+3 {
		t.Errorf("the vocabulary has %d ids, %d expected", tok.VocabSize(), n+3)
	}
	e := tok.Encode("The HBA1C, 服用二甲双胍 ebit ebitda", Options{})
	var found []int32
	for _, id := range e.IDs {
		if int(id) >= n {
			found = append(found, id)
		}
	}
	if diff := cmp.Diff([]int32{ids[0], ids[1], ids[2]}, found); diff != "" {
		t.Errorf("found (-want +got):\n%s\n%v", diff, tok.Pieces(e.IDs))
	}
	after := tok.Encode("the motor failed", Options{})
	if diff := cmp.Diff(before.IDs, after.IDs); diff != "" {
		t.Errorf("other text changed (-want +got):\n%s", diff)
	}
	if _, err := tok.AddTokens(AddedToken{}); err == nil {
		t.Error("an empty token was added")
	}
}

func TestSave(t *testing.T) {
	texts := []string{"The HbA1c of the patient, 二甲双胍 <|end|> x [MASK] y", "don't  stop\n\n now İstanbul 漢字 e\u0301", ""}
	names := []string{"wp_bert_lower", "wp_nfd_strip", "bpe_bytes", "bpe_cl100k", "bpe_fallback", "uni_charsmap", ""}
	for _, name := range names {
		tok := small(t)
		if name != "" {
			tok = fromSet(t, name)
		}
		if _, err := tok.AddTokens(AddedToken{Content: "turbine blade", Normalized: true}, AddedToken{Content: "[E1]", Special: true}); err != nil {
			t.Fatal(err)
		}
		a, b := t.TempDir(), t.TempDir()
		if err := tok.Save(a); err != nil {
			t.Fatal(err)
		}
		again, err := Load(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Save(b); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(a, "*"))
		if len(files) < 3 {
			t.Errorf("%s: only %v were written", name, files)
		}
		for _, path := range files {
			one, _ := os.ReadFile(path)
			two, _ := os.ReadFile(filepath.Join(b, filepath.Base(path)))
			if string(one) != string(two) {
				t.Errorf("%s: %s changes when saved again", name, filepath.Base(path))
			}
		}
		for _, text := range append(texts, "a turbine blade [E1]") {
			if diff := cmp.Diff(tok.Encode(text, Options{}), again.Encode(text, Options{})); diff != "" {
				t.Errorf("%s: %q (-before +after):\n%s", name, text, diff)
			}
		}
		for _, role := range roles {
			one, okOne := tok.Special(role.name)
			two, okTwo := again.Special(role.name)
			if one != two || okOne != okTwo {
				t.Errorf("%s: %s was %d and is %d", name, role.name, one, two)
			}
		}
	}
}

func TestLoadVocab(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("vocab.txt", strings.ReplaceAll(smallVocab, "\n", "\r\n"))
	for config, piece := range map[string]string{`{}`: "the", `{"do_lower_case": false}`: "[UNK]", `{"do_lower_case": true, "strip_accents": null}`: "the"} {
		write("tokenizer_config.json", config)
		tok, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		e := tok.Encode("The", Options{Bare: true})
		if got := tok.Pieces(e.IDs); !slices.Equal(got, []string{piece}) {
			t.Errorf("%s: %v", config, got)
		}
	}
}

func TestLoadAddedTokens(t *testing.T) {
	dir := t.TempDir()
	n := strings.Count(smallVocab, "\n")
	for text, good := range map[string]bool{
		fmt.Sprintf(`{"gearbox": %d, "EBIT": %d, "the": 5}`, n, n+1): true,
		fmt.Sprintf(`{"gearbox": %d}`, n+1):                          false,
		`[]`:                                                         false,
		`{"": 3}`:                                                    false,
	} {
		for name, content := range map[string]string{"vocab.txt": smallVocab, "added_tokens.json": text} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		tok, err := Load(dir)
		if (err == nil) != good {
			t.Errorf("%s: error %v", text, err)
		}
		if good {
			if id, ok := tok.ID("EBIT"); !ok || int(id) != n+1 {
				t.Errorf("EBIT is %d", id)
			}
		}
	}
}

func TestLoadVocabJSON(t *testing.T) {
	ref := fromSet(t, "bpe_bytes")
	var merges strings.Builder
	merges.WriteString("#version: 0.2\n")
	for _, m := range ref.spec.model.merges {
		fmt.Fprintln(&merges, m[0], m[1])
	}
	vocab := make([]string, 0, len(ref.ids))
	for piece, id := range ref.ids {
		vocab = append(vocab, fmt.Sprintf("%s: %d", quote(piece), id))
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"vocab.json": "{" + strings.Join(vocab, ",") + "}", "merges.txt": merges.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := "The turbine's bearing failed 3 times, 电机过热"
	if diff := cmp.Diff(ref.Encode(text, Options{Bare: true}).IDs, tok.Encode(text, Options{Bare: true}).IDs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBadFiles(t *testing.T) {
	model := `"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1}}`
	for name, c := range map[string]struct{ file, code, place string }{
		"empty":           {``, "tokenizer.syntax", ""},
		"not JSON":        {"{\n  \"model\": x}", "tokenizer.syntax", ":2:"},
		"a list":          {`[]`, "tokenizer.type", ""},
		"no model":        {`{}`, "tokenizer.missing", "model"},
		"model type":      {`{"model": {"type": "Wordpiece", "vocab": {}}}`, "tokenizer.unknown-type", "model.type"},
		"normalizer type": {`{"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercas"}]}, ` + model + `}`, "tokenizer.unknown-type", "normalizer.normalizers[1].type"},
		"pre-tokenizer":   {`{"pre_tokenizer": {"type": "Bert"}, ` + model + `}`, "tokenizer.unknown-type", "pre_tokenizer.type"},
		"post-processor":  {`{"post_processor": {"type": "X"}, ` + model + `}`, "tokenizer.unknown-type", "post_processor.type"},
		"decoder":         {`{"decoder": {"type": "X"}, ` + model + `}`, "tokenizer.unknown-type", "decoder.type"},
		"regex":           {`{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"}, ` + model + `}`, "tokenizer.regex", "pre_tokenizer.pattern"},
		"behavior":        {`{"pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "Zap"}, ` + model + `}`, "tokenizer.value", "pre_tokenizer.behavior"},
		"charsmap":        {`{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "////"}, ` + model + `}`, "tokenizer.charsmap", "normalizer"},
		"unknown token":   {`{"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"a": 0}}}`, "tokenizer.unknown-token", "model.unk_token"},
		"merge":           {`{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}`, "tokenizer.merge", "model.merges[0]"},
		"merge form":      {`{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b c"]}}`, "tokenizer.merge", "model.merges[0]"},
		"same id":         {`{"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 0}}}`, "tokenizer.value", "model.vocab"},
		"negative id":     {`{"model": {"type": "WordLevel", "vocab": {"a": -1}}}`, "tokenizer.value", "model.vocab"},
		"huge id":         {`{"model": {"type": "WordLevel", "vocab": {"a": 99999999999}}}`, "tokenizer.value", "model.vocab"},
		"vocab type":      {`{"model": {"type": "WordLevel", "vocab": ["a"]}}`, "tokenizer.type", "model.vocab"},
		"unigram":         {`{"model": {"type": "Unigram", "vocab": [["a"]]}}`, "tokenizer.value", "model.vocab[0]"},
		"unigram unk":     {`{"model": {"type": "Unigram", "unk_id": 7, "vocab": [["a", -1.5]]}}`, "tokenizer.unknown-token", "model.unk_id"},
		"added id":        {`{"added_tokens": [{"id": 1, "content": "zz"}], ` + model + `}`, "tokenizer.value", "added_tokens[0]"},
		"template":        {`{"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}], "special_tokens": {}}, ` + model + `}`, "tokenizer.value", "post_processor.single[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := FromJSON([]byte(c.file))
			diags, _, ok := sdk.DiagnosticsOf(err)
			if !ok || len(diags) == 0 {
				t.Fatalf("error %v", err)
			}
			if diags[0].Code != c.code || !strings.Contains(diags[0].Path+diags[0].String(), c.place) {
				t.Errorf("diagnostic %v", diags)
			}
		})
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("an empty folder has a tokenizer")
	}
	if _, err := FromVocab([]byte("a\nb\n"), true); err == nil {
		t.Error("a vocabulary without special tokens was taken")
	}
	if _, err := FromVocab([]byte("\xff\xfe"), true); err == nil {
		t.Error("a vocabulary that is not UTF-8 was taken")
	}
}

// TestConcurrent is for the race detector: many goroutines encode while tokens are
// added.
func TestConcurrent(t *testing.T) {
	for _, name := range []string{"wp_bert_lower", "bpe_cl100k", "bpe_fallback", "uni_charsmap"} {
		tok := fromSet(t, name)
		corpus := readLines[corpusLine](t, filepath.Join("testdata", "parity", "corpus.jsonl"))
		want := make([][]int32, len(corpus))
		for i, line := range corpus {
			want[i] = tok.Encode(line.Text, Options{}).IDs
		}
		var wait sync.WaitGroup
		for g := range 8 {
			wait.Go(func() {
				for i := range corpus {
					k := (i*7 + g*31) % len(corpus)
					if got := tok.Encode(corpus[k].Text, Options{}).IDs; !slices.Equal(got, want[k]) {
						t.Errorf("%s: line %d differs in goroutine %d", name, k, g)
					}
				}
			})
		}
		for i := range 4 {
			if _, err := tok.AddTokens(AddedToken{Content: fmt.Sprintf("zq%dqz", i)}); err != nil {
				t.Error(err)
			}
		}
		wait.Wait()
	}
}

// TestLongTexts encodes texts of 1,000,000 bytes; with anything quadratic this
// would take minutes.
func TestLongTexts(t *testing.T) {
	if testing.Short() || racing {
		t.Skip("takes too long with -short or the race detector")
	}
	files, _ := filepath.Glob(filepath.Join("testdata", "parity", "*.json"))
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		tok := fromSet(t, name)
		for _, part := range []string{"a", " ", "漢", "e\u0301", "the motor failed. ", "[MASK]", "\x00", " \n"} {
			text := strings.Repeat(part, 1_000_000/len(part))
			start := time.Now()
			e := tok.Encode(text, Options{})
			if took := time.Since(start); took > time.Minute {
				t.Errorf("%s: %q repeated to a megabyte takes %s", name, part, took)
			} else if took > time.Second {
				t.Logf("%s: %q: %s, %d ids", name, part, took, e.Len())
			}
		}
	}
}

func TestTraining(t *testing.T) {
	corpus := readLines[corpusLine](t, filepath.Join("testdata", "parity", "corpus.jsonl"))
	texts := func(yield func(string, error) bool) {
		for _, line := range corpus {
			if !yield(line.Text, nil) {
				return
			}
		}
	}
	backwards := func(yield func(string, error) bool) {
		for i := range corpus {
			if !yield(corpus[len(corpus)-1-i].Text, nil) {
				return
			}
		}
	}
	reference := readLines[struct {
		WordPiece map[string]int32 `json:"wordpiece"`
		BPE       map[string]int32 `json:"bpe"`
		Merges    [][2]string      `json:"merges"`
	}](t, filepath.Join("testdata", "parity", "ref", "training.gz"))[0]

	bpe, err := TrainBPE(t.Context(), texts, Training{Size: 600})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(reference.BPE, bpe.ids); diff != "" {
		t.Errorf("BPE pieces (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(reference.Merges, bpe.spec.model.merges); diff != "" {
		t.Errorf("BPE merges (-want +got):\n%s", diff)
	}
	piece, err := TrainWordPiece(t.Context(), texts, Training{Size: 900, Lower: true})
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for p := range reference.WordPiece {
		if _, ok := piece.ids[p]; ok {
			same++
		}
	}
	// Equally frequent pairs are joined in the order of a hash map over there.
	if len(piece.ids) != len(reference.WordPiece) || float64(same) < 0.97*float64(len(reference.WordPiece)) {
		t.Errorf("%d WordPiece pieces, %d of %d as expected", len(piece.ids), same, len(reference.WordPiece))
	}
	for _, again := range []func() (*Tokenizer, *Tokenizer, error){
		func() (*Tokenizer, *Tokenizer, error) {
			tok, err := TrainBPE(t.Context(), backwards, Training{Size: 600})
			return bpe, tok, err
		},
		func() (*Tokenizer, *Tokenizer, error) {
			tok, err := TrainWordPiece(t.Context(), backwards, Training{Size: 900, Lower: true})
			return piece, tok, err
		},
	} {
		one, two, err := again()
		if err != nil {
			t.Fatal(err)
		}
		a, _ := one.JSON()
		b, _ := two.JSON()
		if string(a) != string(b) {
			t.Error("the order of the texts changes the vocabulary")
		}
	}
	broken := func(yield func(string, error) bool) { yield("", errors.New("disk")) }
	if _, err := TrainBPE(t.Context(), broken, Training{}); err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("error %v", err)
	}
}
