package corpus

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

func readLines(t *testing.T, sets func(*recipe.Plan), lines ...string) (*Corpus, sdk.Diagnostics) {
	t.Helper()
	dir := folder(t, map[string]string{"train.jsonl": strings.Join(lines, "\n") + "\n"})
	plan := recipe.Defaults()
	plan.Data.Train = filepath.Join(dir, "train.jsonl")
	if sets != nil {
		sets(plan)
	}
	c, ds, err := Read(context.Background(), Request{Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	return c, ds
}

// Answers of SQuAD's form become spans in bytes; questions without one make the head
// know that; a passage that is too long is read in windows that hold every answer.
func TestAnswers(t *testing.T) {
	c, ds := readLines(t, nil,
		`{"id": "q1", "question": "Who?", "context": "héllo Peter Blackburn rose", "answers": {"text": ["Peter Blackburn", "Peter"], "answer_start": [6, 6]}}`,
		`{"id": "q2", "question": "What?", "context": "shares rose", "answers": []}`)
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	want := sdk.HeadSpec{Name: "answer", Kind: sdk.KindQA, Options: map[string]string{sdk.OptionNoAnswer: "on"}}
	if diff := cmp.Diff([]sdk.HeadSpec{want}, c.Heads); diff != "" {
		t.Fatal(diff)
	}
	label := c.Train[0].Labels["answer"]
	if s := label.Spans[0]; c.Train[0].Text[s.Start:s.End] != "Peter Blackburn" || c.Train[0].TextB != "Who?" {
		t.Errorf("%+v", c.Train[0])
	}
	_, ds = readLines(t, nil, `{"question": "Who?", "context": "a Peter", "answers": [{"text": "Peter", "answer_start": 1}]}`)
	if !strings.Contains(ds.String(), "stands at character 2") {
		t.Error(ds)
	}

	tok := wordPieces(t)
	for i := range 30 {
		words := strings.Split(strings.Repeat("shares rose ", 20), " ")
		words[i] = "peter"
		text := strings.TrimSpace(strings.Join(words, " "))
		at := strings.Index(text, "peter")
		ex := sdk.Example{ID: "x", Text: text, TextB: "black ?", Labels: map[string]sdk.Label{"answer": {Values: []string{"peter"}, Spans: []sdk.Span{{Start: at, End: at + 5, Label: sdk.LabelAnswer}}}}}
		cut, parts := Windows([]sdk.Example{ex}, c.Heads, tok, 16, 4)
		e := &Encoder{Tokenizer: tok, MaxLength: 16, Heads: c.Heads}
		rows, err := e.EncodeAll(context.Background(), cut, 1)
		if err != nil {
			t.Fatal(err)
		}
		shard, err := parseShard(NewShard(c.Heads, rows).bytes())
		if err != nil {
			t.Fatal(err)
		}
		found, end := 0, 0
		for k := range shard.Len() {
			r := shard.At(k)
			if diff := cmp.Diff(rows[k], r); diff != "" {
				t.Fatal(diff)
			}
			if len(r.IDs) > 16 || r.Passage.Of != "x" || text[parts[k].At:parts[k].At+len(r.Passage.Text)] != r.Passage.Text || parts[k].At > end {
				t.Fatalf("window %d at %d: %d ids of %q after %d", k, parts[k].At, len(r.IDs), r.Passage.Text, end)
			}
			end = parts[k].At + len(r.Passage.Text)
			if s := r.Targets[0].Spans; len(s) > 0 {
				found++
				if a, b := r.Passage.Bytes(s[0].From, s[0].To); r.Passage.Text[a:b] != "peter" || parts[k].At+a != at {
					t.Errorf("%q", r.Passage.Text[a:b])
				}
			}
		}
		if found == 0 || end != len(text) || len(cut) < 4 {
			t.Errorf("word %d: %d windows, %d with the answer, %d of %d bytes", i, len(cut), found, end, len(text))
		}
	}
}

// Relations make a row of each pair of mentions whose types are related somewhere;
// the markers stand before the mentions, whatever the length limit leaves of the rest.
func TestRelations(t *testing.T) {
	c, ds := readLines(t, nil,
		`{"text": "peter shares rose black", "entities": [{"start": 0, "end": 5, "type": "who"}, {"start": 6, "end": 12, "type": "what"}, {"start": 18, "end": 23, "type": "what"}], "relations": [{"head": "peter", "tail": 1, "type": "has"}]}`,
		`{"text": "black rose", "entities": [{"start": 0, "end": 5, "type": "who"}, {"start": 6, "end": 10, "type": "who"}], "relations": []}`)
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	want := sdk.HeadSpec{Name: "relation", Kind: sdk.KindRelation, Labels: []string{"has", "no_relation"}, Options: map[string]string{sdk.OptionPairs: "who>what", sdk.OptionNoRelation: "no_relation"}}
	if diff := cmp.Diff([]sdk.HeadSpec{want}, c.Heads); diff != "" {
		t.Fatal(diff)
	}
	var got []string
	for _, ex := range c.Train {
		s := ex.Labels["relation"].Spans
		got = append(got, fmt.Sprint(ex.Text[s[0].Start:s[0].End], " ", ex.Labels["relation"].Values[0], " ", ex.Text[s[1].Start:s[1].End]))
	}
	if diff := cmp.Diff([]string{"peter has shares", "peter no_relation black"}, got); diff != "" {
		t.Error(diff)
	}
	_, ds = readLines(t, nil, `{"text": "peter rose", "entities": [{"start": 0, "end": 5, "type": "who"}], "relations": [{"head": "peter", "tail": "rose", "type": "x"}]}`)
	if !strings.Contains(ds.String(), "not {head, tail, type}") {
		t.Error(ds)
	}

	tok := wordPieces(t)
	far := "shares " + strings.Repeat("rose ", 20)
	ex := sdk.Example{ID: "x", Text: "black " + strings.Repeat("rose ", 9) + "peter " + far + "shares",
		Labels: map[string]sdk.Label{"relation": {Values: []string{"has"}, Spans: pairLabel(sdk.Span{Start: 51, End: 56}, sdk.Span{Start: 0, End: 5})}}}
	for _, limit := range []int{0, 12, 8} {
		row, err := (&Encoder{Tokenizer: tok, MaxLength: limit, Heads: c.Heads}).Encode(&ex)
		if err != nil {
			t.Fatal(err)
		}
		m := row.Targets[0].Marks
		around := pieces(tok, row.IDs[m[0]:m[0]+3]) + " | " + pieces(tok, row.IDs[m[1]:m[1]+3])
		if around != "@ peter @ | # black #" || limit > 0 && len(row.IDs) != limit || pieces(tok, row.IDs[:1]) != "[CLS]" {
			t.Errorf("limit %d: %s in %s", limit, around, pieces(tok, row.IDs))
		}
		shard, err := parseShard(NewShard(c.Heads, []*recipe.Encoded{row}).bytes())
		if err != nil || shard.At(0).Targets[0].Marks != m || shard.At(0).Targets[0].Class != 0 {
			t.Errorf("%+v %v", shard, err)
		}
	}
}

// Spans that overlap stay; those of tags are read as conlleval does.
func TestNestedSpans(t *testing.T) {
	c, ds := readLines(t, func(p *recipe.Plan) { p.Heads = map[string]recipe.HeadPlan{"ner": {Kind: sdk.KindSpan}} },
		`{"text": "peter black rose", "spans": [{"start": 0, "end": 11, "label": "PER"}, {"start": 6, "end": 11, "label": "COL"}, {"start": 6, "end": 16, "label": "X"}]}`,
		`{"tokens": ["peter", "black", "rose"], "tags": ["B-PER", "I-PER", "O"]}`)
	if len(ds) > 1 { // there is no valid split
		t.Fatal(ds)
	}
	if diff := cmp.Diff([]sdk.HeadSpec{{Name: "ner", Kind: sdk.KindSpan, Labels: []string{"COL", "PER", "X"}}}, c.Heads); diff != "" {
		t.Fatal(diff)
	}
	rows, err := (&Encoder{Tokenizer: wordPieces(t), Heads: c.Heads}).EncodeAll(context.Background(), c.Train, 1)
	if err != nil {
		t.Fatal(err)
	}
	shard, err := parseShard(NewShard(c.Heads, rows).bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := [][]recipe.Stretch{{{From: 0, To: 1, Class: 1}, {From: 1, To: 1, Class: 0}, {From: 1, To: 2, Class: 2}}, {{From: 0, To: 1, Class: 1}}}
	for i, w := range want {
		if diff := cmp.Diff(w, shard.At(i).Targets[0].Spans); diff != "" {
			t.Error(diff)
		}
	}
}

// A text fills the gap of a pattern, its end gives way, and the mask stays in place.
func TestPattern(t *testing.T) {
	tok := wordPieces(t)
	words, ds := PatternWords(tok, []string{"up", "rose"}, map[string]string{"up": "peter|black"}, "{text} {mask}")
	p, _ := tok.ID("peter")
	b, _ := tok.ID("black")
	r, _ := tok.ID("rose")
	if want := fmt.Sprintf("%d,%d %d", p, b, r); ds != nil || words != want {
		t.Errorf("%q, want %q; %s", words, want, ds)
	}
	if _, ds = PatternWords(tok, []string{"up"}, nil, "{mask}: {text}"); !strings.Contains(ds.String(), "not one piece") {
		t.Error(ds)
	}
	if ds = CheckPattern("{text}", false); !strings.Contains(ds.String(), "{mask} once each") {
		t.Error(ds)
	}
	e := &Encoder{Tokenizer: tok, MaxLength: 8, Heads: []sdk.HeadSpec{{Name: "l", Kind: sdk.KindPattern, Labels: []string{"a", "b"}, Options: map[string]string{sdk.OptionPattern: "{text} shares {mask} ."}}}}
	for text, want := range map[string]string{
		"peter rose":                  "[CLS] peter rose shares [MASK] . [SEP]",
		"peter rose black rose black": "[CLS] peter rose black shares [MASK] . [SEP]",
	} {
		row, err := e.Encode(&sdk.Example{ID: "x", Text: text, Labels: map[string]sdk.Label{"l": {Values: []string{"b"}}}})
		if err != nil {
			t.Fatal(err)
		}
		shard, err := parseShard(NewShard(e.Heads, []*recipe.Encoded{row}).bytes())
		if err != nil {
			t.Fatal(err)
		}
		got := shard.At(0)
		if at := got.Targets[0].Marks[0]; pieces(tok, got.IDs) != want || pieces(tok, got.IDs[at:at+1]) != "[MASK]" || got.Targets[0].Class != 1 {
			t.Errorf("%s, gap %d", pieces(tok, got.IDs), at)
		}
	}
}

// With a causal model the label's word would follow the last piece; its own pieces
// are those of words behind white space, where the pattern has some.
func TestCausalPattern(t *testing.T) {
	vocab := map[string]int{"a": 0, "Ġpeter": 1, "Ġrose": 2, "p": 3, "e": 4, "t": 5, "r": 6, "o": 7, "s": 8, "Ġ": 9, "pe": 10, "ter": 11, "ro": 12, "se": 13, ":": 14, "te": 15, "<s>": 16}
	merges := []string{"p e", "t e", "te r", "r o", "s e", "Ġ peter", "Ġ rose", "pe ter", "ro se"}
	vocab["peter"], vocab["rose"] = 17, 18
	raw, err := json.Marshal(map[string]any{
		"version": "1.0", "added_tokens": []any{}, "normalizer": nil, "post_processor": nil, "truncation": nil, "padding": nil,
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
		"decoder":       map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
		"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": merges, "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false},
	})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.Load(folder(t, map[string]string{"tokenizer.json": string(raw)}))
	if err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{"{text} {mask}": "1 2", "{text}:{mask}": "17 18"} {
		if words, ds := PatternWords(tok, []string{"peter", "rose"}, nil, pattern); words != want || ds != nil {
			t.Errorf("%s: words %q, want %q; %s", pattern, words, want, ds)
		}
	}
	if ds := CheckPattern("{mask}: {text}", true); !strings.Contains(ds.String(), "goes on behind {mask}") {
		t.Error(ds)
	}
	if ds := CheckPattern("{text}: {mask} ", true); ds != nil {
		t.Error(ds)
	}
	e := &Encoder{Tokenizer: tok, MaxLength: 4, Heads: []sdk.HeadSpec{{Name: "l", Kind: sdk.KindPattern, Labels: []string{"a", "b"}, Options: map[string]string{sdk.OptionPattern: "{text} rose: {mask}", sdk.OptionCausal: "on"}}}}
	for text, want := range map[string]string{"peter": "peter Ġrose :", "peter rose peter": "peter Ġrose Ġrose :", "": "Ġrose :"} {
		row, err := e.Encode(&sdk.Example{ID: "x", Text: text, Labels: map[string]sdk.Label{"l": {Values: []string{"b"}}}})
		if err != nil {
			t.Fatal(err)
		}
		if at := int(row.Targets[0].Marks[0]); pieces(tok, row.IDs) != want || at != len(row.IDs)-1 {
			t.Errorf("%q: %s, read at %d", text, pieces(tok, row.IDs), at)
		}
	}
	e.Heads[0].Options[sdk.OptionPattern] = "{text}{mask}"
	if _, err := e.Encode(&sdk.Example{ID: "x"}); err == nil {
		t.Error("no error where nothing stands before the gap")
	}
}
