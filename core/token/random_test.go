package token

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
)

// TestRandomFiles builds files of random components, some with values of the wrong
// kind: each is refused with diagnostics or works.
func TestRandomFiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(values ...any) any { return values[rng.IntN(len(values))] }
	text := func() any {
		return pick("", "a", " ", "▁", "##", "ab", "é", "[X]", "\x00", "0", 7, nil, []any{}, map[string]any{"String": "a"}, true)
	}
	flag := func() any { return pick(true, false, true, false, true, false, nil, "x") }
	expr := func() any {
		return pick(`a`, `\s+`, `(?=a)`, ``, `a*`, `(a|b)*?c`, `^`, `\b`, `(?<=a)`, `[^a]`, `(`, `\p{L}+`, `(a*)*`, `.{0,3}`, `(?>a+)b`, `\w+|[^\w\s]+`)
	}
	pattern := func() any {
		return pick(map[string]any{"String": text()}, map[string]any{"Regex": expr()}, map[string]any{"Regex": expr()}, text())
	}
	kinds := map[string][]string{
		"normalizer": normalizerKinds, "pre_tokenizer": preTokenizerKinds, "post_processor": postProcessorKinds, "decoder": decoderKinds,
	}
	inner := map[string]string{"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "post_processor": "processors", "decoder": "decoders"}
	var component func(what string, depth int) any
	component = func(what string, depth int) any {
		c := map[string]any{"type": kinds[what][rng.IntN(len(kinds[what]))]}
		if c["type"] == "Sequence" && depth > 2 {
			return nil
		}
		list := make([]any, rng.IntN(4))
		for i := range list {
			if c["type"] == "Sequence" {
				list[i] = component(what, depth+1)
			}
		}
		c[inner[what]] = list
		for _, name := range []string{
			"clean_text", "handle_chinese_chars", "strip_accents", "lowercase", "strip_left", "strip_right", "add_prefix_space", "use_regex",
			"trim_offsets", "individual_digits", "split", "invert", "cleanup",
		} {
			if rng.IntN(3) == 0 {
				c[name] = flag()
			}
		}
		for _, name := range []string{"content", "prepend", "replacement", "delimiter", "prefix", "suffix", "pad_token"} {
			if rng.IntN(2) == 0 {
				c[name] = text()
			}
		}
		c["pattern"] = pattern()
		c["behavior"] = pick("Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext", "x")
		c["prepend_scheme"] = pick("always", "first", "never", "first", "x")
		c["precompiled_charsmap"] = pick("", "BAAAAAAAAAAA", "CAAAAAAAAAAAAAAAYQA=", "!!")
		c["length"], c["start"], c["stop"] = pick(1, 3, 0, -1), pick(0, 1, -5, 1<<40), pick(0, 1)
		c["cls"], c["sep"] = pick([]any{"a", 0}, []any{"b", 1}, "x"), pick([]any{"b", 1}, []any{"b", 1}, []any{1})
		sequence := func(id string) any {
			return map[string]any{"Sequence": map[string]any{"id": id, "type_id": rng.IntN(3)}}
		}
		c["single"] = pick([]any{sequence("A")}, []any{map[string]any{"SpecialToken": map[string]any{"id": "s", "type_id": 0}}, sequence("A"), sequence("A")}, []any{})
		c["pair"] = pick([]any{sequence("B"), sequence("A")}, []any{sequence("B")}, nil, []any{})
		c["special_tokens"] = pick(map[string]any{"s": map[string]any{"id": "s", "ids": []int{1, 0}, "tokens": []string{"b", "a"}}}, map[string]any{})
		return c
	}
	vocab := func() any {
		v := map[string]any{}
		for i, p := range rng.Perm(12)[:4+rng.IntN(8)] {
			v[[]string{"a", "b", "ab", "##b", "<unk>", "▁", "▁a", "Ġ", "<0x61>", " ", "é", "ba"}[p]] = i + rng.IntN(2)*rng.IntN(3)
		}
		return v
	}
	model := func() any {
		m := map[string]any{
			"type": pick("WordPiece", "BPE", "Unigram", "WordLevel", "BPE"), "unk_token": pick("<unk>", "a", nil, nil), "vocab": vocab(),
			"merges": pick([]any{"a b"}, []any{}, []any{[]any{"a", "b"}, "b a"}, []any{"a"}), "byte_fallback": flag(), "fuse_unk": flag(),
			"continuing_subword_prefix": pick("##", "", nil, "▁"), "end_of_word_suffix": pick("", nil, "b"), "ignore_merges": flag(),
			"max_input_chars_per_word": pick(100, 2, 0, -1), "unk_id": pick(0, 1, nil, 77),
		}
		if m["type"] == "Unigram" {
			list := []any{}
			for _, p := range []string{"<unk>", "a", "b", "ab", "▁", "", "▁a", "é"}[:1+rng.IntN(8)] {
				list = append(list, []any{p, -rng.Float64() * 9})
			}
			m["vocab"] = list
		}
		return m
	}
	texts := []string{"", " ", "a", "abab ab", "a b\n\nc  d", "é漢e\u0301İ", "x\x00\xffy", "<unk>[X] a ab", "12 ab34", "▁a▁▁"}
	taken, files := 0, 8000
	if racing {
		files = 500
	}
	for range files {
		file := map[string]any{"model": model()}
		for what := range kinds {
			if rng.IntN(3) > 0 {
				file[what] = component(what, 0)
			}
		}
		if rng.IntN(2) == 0 {
			file["added_tokens"] = []any{
				map[string]any{"id": rng.IntN(15), "content": pick("[X]", "a", " a ", "ab", "é"), "lstrip": rng.IntN(2) == 0, "rstrip": rng.IntN(2) == 0, "single_word": rng.IntN(2) == 0, "normalized": rng.IntN(2) == 0, "special": rng.IntN(2) == 0},
				map[string]any{"id": 20 + rng.IntN(3), "content": pick("zz", " ", "b")},
			}
		}
		data, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("panic %v with\n%s", r, data)
				}
			}()
			tok, err := FromJSON(data)
			if err != nil {
				return
			}
			taken++
			for _, s := range texts {
				e := tok.Encode(s, Options{})
				for i, o := range e.Offsets {
					if e.IDs[i] < 0 || o.Start < 0 || o.Start > o.End || o.End > len(s) {
						t.Errorf("%q: id %d at %v with\n%s", s, e.IDs[i], o, data)
						return
					}
				}
				tok.Decode(e.IDs, true)
				tok.EncodeWords([]string{s, "a"}, Options{Max: 4})
			}
		}()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d files were taken", taken)
	if taken < files/30 {
		t.Errorf("only %d files were taken", taken)
	}
}
