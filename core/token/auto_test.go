package token

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestParityAutoTokenizer saves tokenizers, with tokens added, and lets
// transformers' AutoTokenizer load them.
func TestParityAutoTokenizer(t *testing.T) {
	python := parityPython(t)
	texts := []string{
		"The turbine blade of the patient's HbA1c: 二甲双胍 [MASK] e\u0301 İ", "Don't   stop\n\n now — 漢字 🙂 [E1] x", "", "turbine blade", "[E1]",
		"今天公司棉纱大幅上升，净利润 棉纱指数A股市场 EBITDA",
	}
	toks := map[string]*Tokenizer{}
	var dirs []string
	save := func(name string, tok *Tokenizer) {
		if _, err := tok.AddTokens(AddedToken{Content: "turbine blade", Normalized: true}, AddedToken{Content: "[E1]", Special: true}); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := tok.Save(dir); err != nil {
			t.Fatal(err)
		}
		toks[dir], dirs = tok, append(dirs, dir)
	}
	save("vocab.txt", small(t))
	for _, name := range []string{"wp_bert_lower", "wp_bert_cased", "wp_nfd_strip", "bpe_bytes", "bpe_cl100k", "bpe_fallback", "uni_charsmap"} {
		save(name, fromSet(t, name))
	}
	trained := func(yield func(string, error) bool) {
		for range 5 {
			for _, text := range texts {
				if !yield(text, nil) {
					return
				}
			}
		}
	}
	piece, err := TrainWordPiece(t.Context(), trained, Training{Size: 200})
	if err != nil {
		t.Fatal(err)
	}
	save("trained WordPiece", piece)
	bpe, err := TrainBPE(t.Context(), trained, Training{Size: 400})
	if err != nil {
		t.Fatal(err)
	}
	save("trained BPE", bpe)
	for name, base := range map[string]*Tokenizer{"wp_bert_lower": fromSet(t, "wp_bert_lower"), "bpe_bytes": fromSet(t, "bpe_bytes"), "trained WordPiece": piece} {
		ext, added, _, err := base.Extend([]string{"棉纱", "净利润", "棉纱指数", "A股", "EBITDA"})
		if err != nil || len(added) < 4 {
			t.Fatal(added, err)
		}
		save("Chinese terms in "+name, ext)
	}
	if home := os.Getenv("ISLM_HOME"); home != "" {
		if base, err := Load(filepath.Join(home, "models", "all-MiniLM-L6-v2")); err == nil {
			save("all-MiniLM-L6-v2", base)
		} else if !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
	list := filepath.Join(t.TempDir(), "texts.json")
	data, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, data, 0o600); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join("..", "..", "scripts", "parity", "load_tokenizer.py")
	c := exec.CommandContext(t.Context(), python, append([]string{script, list}, dirs...)...)
	out, err := c.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var loaded map[string]struct {
		Class   string            `json:"class"`
		Size    int               `json:"size"`
		IDs     [][]int32         `json:"ids"`
		Off     [][][2]int        `json:"off"`
		Bare    []string          `json:"bare"`
		Special map[string]*int32 `json:"special"`
	}
	if err := json.Unmarshal(out, &loaded); err != nil {
		t.Fatal(err)
	}
	for dir, tok := range toks {
		theirs, name := loaded[dir], filepath.Base(dir)
		for i, text := range texts {
			e := tok.Encode(text, Options{})
			if what := differs(e, text, theirs.IDs[i], theirs.Off[i], nil); what != "" {
				t.Errorf("%s (%s): %s of %q: %v %v here, %v %v there", name, theirs.Class, what, text, tok.Pieces(e.IDs), e.Offsets, tok.Pieces(theirs.IDs[i]), theirs.Off[i])
			}
			if got := tok.Decode(e.IDs, true); got != theirs.Bare[i] {
				t.Errorf("%s (%s): decoded %q here, %q there", name, theirs.Class, got, theirs.Bare[i])
			}
		}
		if theirs.Size != tok.VocabSize() {
			t.Errorf("%s: %d pieces here, %d there", name, tok.VocabSize(), theirs.Size)
		}
		for _, role := range slices.Sorted(func(yield func(string) bool) {
			for role := range theirs.Special {
				if !yield(role) {
					return
				}
			}
		}) {
			id, ok := tok.Special(role)
			if want := theirs.Special[role]; ok != (want != nil) || ok && id != *want {
				t.Errorf("%s: %s is %d (%t) here, %v there", name, role, id, ok, want)
			}
		}
	}
}

// TestParityTables makes the frozen tables anew.
func TestParityTables(t *testing.T) {
	python := parityPython(t)
	path := filepath.Join(t.TempDir(), "frozen.go")
	script := filepath.Join("..", "..", "scripts", "fixtures", "token_tables.py")
	if out, err := exec.CommandContext(t.Context(), python, script, path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, err := os.ReadFile("frozen.go")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Error("frozen.go is not what scripts/fixtures/token_tables.py writes")
	}
}
