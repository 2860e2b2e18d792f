package token

import (
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

// checkEncoding holds an encoding to what every encoding promises.
func checkEncoding(t *testing.T, tok *Tokenizer, e Encoding, text string) {
	t.Helper()
	n := len(e.IDs)
	if len(e.Types) != n || len(e.Offsets) != n || len(e.Words) != n || len(e.Sequences) != n {
		t.Fatalf("lengths %d %d %d %d %d", n, len(e.Types), len(e.Offsets), len(e.Words), len(e.Sequences))
	}
	size := tok.VocabSize()
	for i, o := range e.Offsets {
		if e.IDs[i] < 0 || int(e.IDs[i]) >= size {
			t.Fatalf("id %d of a vocabulary of %d", e.IDs[i], size)
		}
		if o.Start < 0 || o.Start > o.End || o.End > len(text) {
			t.Fatalf("offsets %v of %d bytes: %q", o, len(text), text)
		}
		if utf8.ValidString(text) && (o.End < len(text) && !utf8.RuneStart(text[o.End]) || o.Start < len(text) && !utf8.RuneStart(text[o.Start])) {
			t.Fatalf("offsets %v are inside of a character: %q", o, text)
		}
	}
}

func fuzzEncode(f *testing.F, names ...string) {
	corpus := readLines[corpusLine](f, filepath.Join("testdata", "parity", "corpus.jsonl"))
	for _, line := range corpus {
		f.Add(line.Text, 0)
	}
	f.Add("a\xffb\xc3", 5)
	var toks []*Tokenizer
	for _, name := range names {
		toks = append(toks, fromSet(f, name))
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		for _, tok := range toks {
			e := tok.Encode(text, Options{})
			checkEncoding(t, tok, e, text)
			tok.Decode(e.IDs, limit%2 == 0)
			cut := tok.Encode(text, Options{Max: limit % 64, KeepEnd: limit%2 == 0, Bare: limit%3 == 0})
			checkEncoding(t, tok, cut, text)
			half := len(text) / 2
			if _, err := tok.EncodePair(text[:half], text[half:], Options{Max: limit % 64, Strategy: Strategy(uint(limit) % 3)}); err != nil && limit%64 <= 0 {
				t.Fatal(err)
			}
			tok.EncodeWords([]string{text[:half], "", text[half:]}, Options{Max: limit % 64})
		}
	})
}

func FuzzEncodeWordPiece(f *testing.F) {
	fuzzEncode(f, "wp_bert_lower", "wp_bert_cased", "wp_nfd_strip")
}

func FuzzEncodeByteLevel(f *testing.F) { fuzzEncode(f, "bpe_bytes", "bpe_cl100k") }

func FuzzEncodeSentencePiece(f *testing.F) { fuzzEncode(f, "bpe_fallback") }

func FuzzEncodeUnigram(f *testing.F) { fuzzEncode(f, "uni_charsmap") }

// FuzzFromJSON: a file is taken or refused with diagnostics; what was taken encodes
// and is saved as a file that is taken again.
func FuzzFromJSON(f *testing.F) {
	for _, seed := range []string{
		`{"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1, "##b": 2}}, "normalizer": {"type": "BertNormalizer", "strip_accents": null}, "pre_tokenizer": {"type": "BertPreTokenizer"}}`,
		`{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<unk>": 3}, "merges": ["a b"], "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true}, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\s+(?!\\S)|(?i:ab){1,3}?|[^\\p{L}a-c&&[:alpha:]]++|(?<=a)b"}, "behavior": "MergedWithNext", "invert": true}}`,
		`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1], ["▁", -2], ["b", -3.5]]}, "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]}, "pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "first"}, "decoder": {"type": "Metaspace"}}`,
		`{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, "added_tokens": [{"id": 5, "content": "x", "lstrip": true, "rstrip": true, "single_word": true}], "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}, "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Strip", "content": "a", "start": 1, "stop": 2}, {"type": "CTC"}]}}`,
		`{"model": {"type": "WordLevel", "vocab": {"a": 0}}, "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "B", "type_id": 3}}], "special_tokens": {}}]}, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAAA"}}`,
	} {
		f.Add([]byte(seed), "ab  a\u0301b 漢")
	}
	if data, err := os.ReadFile(filepath.Join("testdata", "parity", "bpe_cl100k.json")); err == nil {
		f.Add(data, "it's")
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		tok, err := FromJSON(data)
		if err != nil {
			return
		}
		e := tok.Encode(text, Options{})
		tok.Decode(e.IDs, true)
		tok.EncodeWords([]string{text, "a"}, Options{Max: 7})
		if _, err := tok.EncodePair(text, "ab", Options{Max: 9}); err != nil {
			t.Fatal(err)
		}
		saved, err := tok.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := FromJSON(saved); err != nil {
			t.Fatalf("the saved file is refused: %v\n%s", err, saved)
		}
	})
}

// FuzzRegex: an expression is compiled or refused, and matching ends.
func FuzzRegex(f *testing.F) {
	for _, seed := range []string{`a+?b{2,}`, `(?i:x|y)(?=z)`, `[^\s\p{L}]+[\r\n]*`, `(?<!a|bc)d`, `(a*)*b`, `(?>a|ab)c`, `\p{^Lu}\x{41}`, `[[:alpha:]&&[^b]]`, `(?x) a # c`} {
		f.Add(seed, "aabxyzd ABC\n")
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		re, err := compileRegex(expr)
		if err != nil || len(text) > 200 {
			return
		}
		last := 0
		w := &work{}
		v := w.valid(text)
		for a, b := range re.find(w, v.s) {
			if a < last || b < a || b > len(v.s) {
				t.Fatalf("match %d-%d after %d", a, b, last)
			}
			last = b
		}
	})
}
