package corpus

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

func writes(separator string) []sdk.HeadSpec {
	return []sdk.HeadSpec{{Name: "answer", Kind: sdk.KindGenerate, Options: map[string]string{sdk.OptionSeparator: separator}}}
}

func answered(text, answer string) *sdk.Example {
	ex := &sdk.Example{ID: "a", Text: text}
	if answer != "" {
		ex.Labels = map[string]sdk.Label{"answer": {Values: []string{"", answer, "another"}}}
	}
	return ex
}

// A prompt is followed by the answer and the token that ends it, and only those are
// targets.
func TestEncodeAnswer(t *testing.T) {
	tok := wordPieces(t)
	e := &Encoder{Tokenizer: tok, MaxLength: 40, Heads: writes(sdk.SeparatorNone)}
	row, err := e.Encode(answered("black shares", "rose a"))
	if err != nil {
		t.Fatal(err)
	}
	if got := pieces(tok, row.IDs); got != "[CLS] black shares rose a [SEP]" {
		t.Fatalf("pieces %s", got)
	}
	want := []int32{-1, -1, row.IDs[3], row.IDs[4], row.IDs[5], -1}
	if diff := cmp.Diff([]recipe.Target{{Has: true, Tokens: want}}, row.Targets); diff != "" {
		t.Error(diff)
	}
	if row.Prompt(0) != 3 {
		t.Errorf("prompt of %d ids", row.Prompt(0))
	}
	bare, err := e.Encode(answered("black shares", ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := pieces(tok, bare.IDs); got != "[CLS] black shares" || bare.Targets[0].Has || bare.Prompt(0) != 3 {
		t.Errorf("without an answer: %s, %+v", got, bare.Targets)
	}
	// A shard gives the row back.
	back := NewShard(e.Heads, []*recipe.Encoded{row, bare})
	again, err := parseShard(back.bytes())
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range []*recipe.Encoded{row, bare} {
		if diff := cmp.Diff(r, again.At(i)); diff != "" {
			t.Error(diff)
		}
	}
}

// Where a row is too long the prompt loses its begin, down to half of the row, then
// the answer its end.
func TestEncodeLongAnswer(t *testing.T) {
	tok := wordPieces(t)
	for _, c := range []struct{ prompt, answer, want string }{
		{"shares rose black a b x", "rose", "[CLS] rose black a b x rose [SEP]"},
		{"shares rose black a b x", "a b a b a b", "[CLS] a b x a b a b"},
		{"rose", "a b a b a b a b", "[CLS] rose a b a b a b"},
	} {
		row, err := (&Encoder{Tokenizer: tok, MaxLength: 8, Heads: writes(sdk.SeparatorNone)}).Encode(answered(c.prompt, c.answer))
		if err != nil {
			t.Fatal(err)
		}
		if got := pieces(tok, row.IDs); got != c.want {
			t.Errorf("%q, %q: %s, want %s", c.prompt, c.answer, got, c.want)
		}
	}
}

// Facts stand before the text, and never take its place.
func TestPromptFacts(t *testing.T) {
	tok := wordPieces(t)
	text, tokens := joinTokens([]string{"Peter", "Blackburn", "rose", "acme", "7"})
	ex := &sdk.Example{ID: "a", Text: text, Tokens: tokens, Labels: map[string]sdk.Label{"answer": {Values: []string{"rose"}}}}
	heads := append(writes(sdk.SeparatorNone), sdk.HeadSpec{Name: "tags", Kind: sdk.KindTag, Labels: []string{"X"}})
	k := knowing(recipe.InjectPrompt, recipe.InjectFeatures)
	k.Plan.PromptPieces = 30
	plain, err := (&Encoder{Tokenizer: tok, MaxLength: 100, Heads: heads, Knowledge: knowing(recipe.InjectFeatures)}).Encode(ex)
	if err != nil {
		t.Fatal(err)
	}
	full := len(plain.IDs)
	before := 0
	for limit := full; limit < 80; limit++ {
		row, err := (&Encoder{Tokenizer: tok, MaxLength: limit, Heads: heads, Knowledge: k}).Encode(ex)
		if err != nil {
			t.Fatal(err)
		}
		n := len(row.IDs) - full
		if len(row.IDs) > limit || n < before || n > 30 {
			t.Fatalf("limit %d: %d pieces of facts, %d before", limit, n, before)
		}
		before = n
		if !slices.Equal(row.IDs[1+n:], plain.IDs[1:]) || row.IDs[0] != plain.IDs[0] {
			t.Fatalf("limit %d: the text is %s", limit, pieces(tok, row.IDs))
		}
		for i, s := range row.Starts {
			if row.IDs[s] != plain.IDs[plain.Starts[i]] {
				t.Fatalf("limit %d: word %d begins at %d", limit, i, s)
			}
		}
		if row.Prompt(0) != plain.Prompt(0)+n || !slices.Equal(row.Targets[0].Tokens[n:], plain.Targets[0].Tokens) {
			t.Fatalf("limit %d: targets %v", limit, row.Targets[0].Tokens)
		}
		if !slices.Equal(row.Inject.Features[2*(1+n):], plain.Inject.Features[2:]) || slices.ContainsFunc(row.Inject.Features[:2*(1+n)], func(f int32) bool { return f != 0 }) {
			t.Fatalf("limit %d: features %v", limit, row.Inject.Features)
		}
	}
	row, err := (&Encoder{Tokenizer: tok, MaxLength: 80, Heads: heads, Knowledge: k}).Encode(ex)
	if err != nil {
		t.Fatal(err)
	}
	// The fact that shares a word with the text comes first, and of each entity one
	// before a second of any.
	said := strings.ReplaceAll(strings.ReplaceAll(pieces(tok, row.IDs), " ##", ""), " [UNK]", "")
	if !strings.HasPrefix(said, "[CLS] peter blackburn knows rose . acme kind shares . [SEP] peter blackburn rose acme 7") {
		t.Errorf("row %s", said)
	}
	k.Plan.Control = recipe.ControlZero
	zero, err := (&Encoder{Tokenizer: tok, MaxLength: 80, Heads: heads, Knowledge: k}).Encode(ex)
	if err != nil {
		t.Fatal(err)
	}
	if len(zero.IDs) != len(row.IDs) || strings.Contains(pieces(tok, zero.IDs), "shares") {
		t.Errorf("control zero: %s", pieces(tok, zero.IDs))
	}
}

// A field completion makes a head that writes; several answers are one label.
func TestReadCompletions(t *testing.T) {
	_, ds := read(t, folder(t, map[string]string{"train.jsonl": `{"prompt": "one", "completion": "two"}
{"prompt": "five", "completion": " "}
`}), Request{})
	if !ds.HasErrors() || !strings.Contains(ds.String(), "train.jsonl:2") || !strings.Contains(ds.String(), "an empty text") {
		t.Fatalf("diagnostics %s", ds)
	}
	c, ds := read(t, folder(t, map[string]string{"train.jsonl": `{"prompt": "one", "completion": "two"}
{"prompt": "three", "completion": ["four", "4"]}
{"prompt": "one", "completion": "2"}
`}), Request{})
	if ds.HasErrors() || strings.Contains(ds.String(), "data.conflict") {
		t.Fatal(ds)
	}
	if len(c.Heads) != 1 || c.Heads[0].Name != "answer" || c.Heads[0].Kind != sdk.KindGenerate || len(c.Heads[0].Labels) > 0 {
		t.Fatalf("heads %+v", c.Heads)
	}
}
