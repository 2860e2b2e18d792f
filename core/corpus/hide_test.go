package corpus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// texts30 are thirty examples with a class, the last ten without; every third is a
// pair.
func texts30(t *testing.T, p *recipe.Plan) (*Corpus, *Set, *Hide) {
	t.Helper()
	c := &Corpus{Heads: []sdk.HeadSpec{{Name: "label", Kind: sdk.KindClassify, Labels: []string{"a", "b"}}, {Name: "words", Kind: sdk.KindMLM}}}
	for i := range 30 {
		ex := sdk.Example{ID: fmt.Sprintf("train-%d", i), Text: strings.Repeat("peter blackburn rose. ", 1+i%4)}
		if i < 20 {
			ex.Labels = map[string]sdk.Label{"label": {Values: []string{c.Heads[0].Labels[i%2]}}}
		}
		if i%3 == 0 {
			ex.TextB = "shares rose"
		}
		c.Train = append(c.Train, ex)
	}
	c.Valid = slices.Clone(c.Train[:5])
	tok := wordPieces(t)
	return c, build(t, c, BuildRequest{Plan: p, Tokenizer: tok, MaxLength: 32}), NewHide(c.Heads, p, tok)
}

// epochRows are the rows of an epoch from a batch on.
func epochRows(t *testing.T, l *Loader, epoch, from int) (rows []*recipe.Encoded) {
	t.Helper()
	for b, err := range l.Epoch(context.Background(), epoch, from) {
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Index) != len(b.Rows) {
			t.Fatalf("%d numbers of %d rows", len(b.Index), len(b.Rows))
		}
		rows = append(rows, b.Rows...)
	}
	return rows
}

func TestHide(t *testing.T) {
	p := plan(t, "train.batch_size=4", "pretrain.share=0.4")
	_, set, hide := texts30(t, p)
	tok := wordPieces(t)
	for i := range set.Train.Len() {
		if set.Train.At(i).Targets[1].Has {
			t.Fatal("a row as it is has a target for the masked language model")
		}
	}
	l := NewLoader(set.Train, p, 32)
	l.Hide(hide)
	if l.Len() != 20+30 || l.Steps(0) != 13 {
		t.Fatalf("%d rows, %d steps: 20 examples have a label, 30 texts have words", l.Len(), l.Steps(0))
	}
	first := epochRows(t, l, 0, 0)
	if len(first) != 50 {
		t.Fatalf("%d rows in an epoch", len(first))
	}
	by := map[string]*recipe.Encoded{}
	for i := range set.Train.Len() {
		by[set.Train.At(i).ID] = set.Train.At(i)
	}
	pairs := 0
	for _, r := range first {
		whole := by[r.ID]
		if r.Targets[0].Has == r.Targets[1].Has {
			t.Fatalf("%s has targets of both heads, or of none", r.ID)
		}
		if r.Targets[0].Has {
			if diff := cmp.Diff(whole, r); diff != "" {
				t.Error(diff)
			}
			continue
		}
		if !slices.Equal(r.Types, whole.Types) {
			t.Errorf("%s: types %v, of the example %v", r.ID, r.Types, whole.Types)
		}
		if r.Types != nil {
			pairs++
		}
		n := 0
		for i, id := range r.Targets[1].Tokens {
			switch {
			case id < 0 && r.IDs[i] != whole.IDs[i]:
				t.Errorf("%s: piece %d differs, but is not to be told", r.ID, i)
			case id >= 0 && (id != whole.IDs[i] || tok.IsSpecial(id)):
				t.Errorf("%s: piece %d is to be told as %d, it is %d", r.ID, i, id, whole.IDs[i])
			case id >= 0:
				n++
			}
		}
		if n == 0 {
			t.Errorf("%s: nothing is to be told", r.ID)
		}
		black, _ := tok.ID("black")
		burn, _ := tok.ID("##burn")
		for i := range whole.IDs[1:] {
			if whole.IDs[i] == black && whole.IDs[i+1] == burn && (r.Targets[1].Tokens[i] < 0) != (r.Targets[1].Tokens[i+1] < 0) {
				t.Errorf("%s: one piece of a word is to be told, the other not", r.ID)
			}
		}
	}
	if pairs != 10 {
		t.Errorf("%d texts of pairs", pairs)
	}
	if diff := cmp.Diff(first, epochRows(t, l, 0, 0)); diff != "" {
		t.Error("the same epoch twice: " + diff)
	}
	if rest := epochRows(t, l, 0, 5); len(rest) < 28 || !cmp.Equal(first[len(first)-len(rest):], rest) {
		t.Errorf("from batch 5 on come %d other rows", len(rest))
	}
	masks := func(rows []*recipe.Encoded) map[string]string {
		out := map[string]string{}
		for _, r := range rows {
			if r.Targets[1].Has {
				out[r.ID] = fmt.Sprint(r.Targets[1].Tokens)
			}
		}
		return out
	}
	if cmp.Equal(masks(first), masks(epochRows(t, l, 1, 0))) {
		t.Error("two epochs hide the same words")
	}
	uniform := *p
	uniform.Data.Sampling = recipe.SamplingUniform
	l = NewLoader(set.Train, &uniform, 32)
	l.Hide(hide)
	if n := len(masks(epochRows(t, l, 0, 0))); !l.Mixes() || n < 24 || n > 25 {
		t.Errorf("%d of 50 rows with hidden words, wanted half", n) // 25 draws of 30 rows
	}
}

// Variants of rules and texts with hidden words stand in one epoch; the latter are the
// examples' own.
func TestHideVaried(t *testing.T) {
	p := plan(t)
	c, set, hide := texts30(t, p)
	pack, ds := augment.Load(fstest.MapFS{
		"pack.yaml":    {Data: []byte("schema: islm/pack.v1\nname: x\nversion: 0.1.0\nsummary: x\nlicence: Apache-2.0\n")},
		"rules/x.yaml": {Data: []byte(varyRules)},
	}, augment.LoadOptions{})
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	engine, ds := augment.NewEngine([]*augment.Pack{pack}, augment.Options{Seed: 1, Bare: true})
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	l := NewLoader(set.Train, p, 32)
	l.Hide(hide)
	if err := l.Vary(&Varied{Examples: c.Train, Engine: engine, Mode: augment.Mode{Add: 1}, Encoder: &Encoder{Tokenizer: wordPieces(t), MaxLength: 32, Heads: c.Heads}}); err != nil {
		t.Fatal(err)
	}
	if l.Len() != 2*20+30 {
		t.Fatalf("%d rows", l.Len())
	}
	labelled, hidden := 0, 0
	for _, r := range epochRows(t, l, 0, 0) {
		switch {
		case r.Targets[0].Has && !r.Targets[1].Has:
			labelled++
		case r.Targets[1].Has && !r.Targets[0].Has:
			hidden++
		}
	}
	if labelled != 40 || hidden != 30 {
		t.Errorf("%d rows with labels, %d with hidden words", labelled, hidden)
	}
}

func TestHiddenSource(t *testing.T) {
	p := plan(t)
	_, set, hide := texts30(t, p)
	s := hide.Hidden(set.Valid)
	if s.Len() != 10 {
		t.Fatalf("%d rows", s.Len())
	}
	for i := range 5 {
		if diff := cmp.Diff(set.Valid.At(i), s.At(i)); diff != "" {
			t.Error(diff)
		}
		if r := s.At(5 + i); !r.Targets[1].Has || r.Targets[0].Has || r.ID != s.At(i).ID {
			t.Errorf("row %d: %+v", 5+i, r)
		}
	}
	var seen []int
	for b, err := range s.Batches(context.Background(), 3) {
		if err != nil {
			t.Fatal(err)
		}
		for k, i := range b.Index {
			seen = append(seen, i)
			if diff := cmp.Diff(s.At(i), b.Rows[k]); diff != "" {
				t.Error(diff)
			}
			if b.Rows[k].Width() > b.Width {
				t.Errorf("a row of %d ids in a batch %d wide", b.Rows[k].Width(), b.Width)
			}
		}
	}
	if slices.Sort(seen); !slices.Equal(seen, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("rows %v", seen)
	}
}

// A causal model learns the pieces of the text that follow, not facts put before it.
func TestLanguageTarget(t *testing.T) {
	e := &Encoder{Tokenizer: wordPieces(t)}
	row := &recipe.Encoded{IDs: []int32{2, 20, 21, 3, 5, 6, 9}}
	stand := []piece{{text: -1}, {text: -1}, {text: -1}, {text: -1}, {text: 0, first: true}, {text: 0}} // the last id is an answer's
	got := e.languageTarget(sdk.KindCLM, &sdk.Example{}, row, stand)
	if diff := cmp.Diff(recipe.Target{Has: true, Tokens: []int32{-1, -1, -1, 5, 6, 9, -1}}, got); diff != "" {
		t.Error(diff)
	}
	e.Entities = fixedLinker("peter black")
	ex := &sdk.Example{ID: "x", Text: "rose peter blackburn"}
	e.Heads = []sdk.HeadSpec{{Name: "words", Kind: sdk.KindMLM}}
	made, err := e.Encode(ex)
	if err != nil {
		t.Fatal(err)
	}
	var marks []string
	for _, v := range made.Targets[0].Tokens {
		m := uint32(v)
		marks = append(marks, fmt.Sprintf("%s %t %t %t %t", tokenText(e.Tokenizer, int32(m&idMask)), m&specialBit != 0, m&wordStart != 0, m&entityStart != 0, m&entityInside != 0))
	}
	want := []string{"[CLS] true true false false", "rose false true false false", "peter false true true false", "black false true false true", "##burn false false false false", "[SEP] true true false false"}
	if diff := cmp.Diff(want, marks); diff != "" {
		t.Error(diff)
	}
}

func tokenText(t *token.Tokenizer, id int32) string { return t.Pieces([]int32{id})[0] }

func TestLanguageModelHeads(t *testing.T) {
	dir := folder(t, map[string]string{"train.jsonl": twoClasses})
	declared := []sdk.HeadSpec{{Name: "mood", Kind: sdk.KindClassify, Labels: []string{"pos", "neg"}}, {Name: "words", Kind: sdk.KindMLM, Weight: 0.5}}
	for _, tc := range []struct {
		name  string
		heads []sdk.HeadSpec
		sets  []string
		want  []string
		says  []string
	}{
		{name: "by the recipe alone", sets: []string{"heads.words.kind=mlm.v0"}, want: []string{"label classify.v0", "words mlm.v0"}},
		{name: "declared", heads: declared, want: []string{"mood classify.v0", "words mlm.v0"}},
		{name: "declared and left out", heads: declared, sets: []string{"heads.words.weight=0"}, want: []string{"mood classify.v0"}},
		{name: "two", heads: declared, sets: []string{"heads.more.kind=mlm.v0"}, want: []string{"mood classify.v0", "words mlm.v0"}, says: []string{"error[data.head] heads.more: the heads words and more are both language models of the same texts"}},
		{name: "labels", sets: []string{"heads.label.kind=mlm.v0"}, says: []string{`error[data.head] train.jsonl:1: head "label" of kind mlm.v0 learns from the texts themselves: it takes no labels`}},
		{name: "few-shot", heads: declared, sets: []string{"objective=fewshot"}, want: []string{"mood classify.v0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, ds := read(t, dir, Request{Heads: tc.heads}, tc.sets...)
			expect(t, ds, tc.says...)
			var got []string
			for _, h := range c.Heads {
				got = append(got, h.Name+" "+h.Kind)
			}
			if len(tc.says) == 0 || tc.want != nil {
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Error(diff)
				}
			}
			if tc.name == "few-shot" && !notice(ds, "head words of kind mlm.v0 stays out") {
				t.Errorf("%s", ds)
			}
		})
	}
	bare := folder(t, map[string]string{"train.jsonl": `{"text": "only a text"}` + "\n" + `{"text": "and another one"}` + "\n"})
	c, ds := read(t, bare, Request{}, "heads.words.kind=mlm.v0")
	expect(t, ds)
	if len(c.Heads) != 1 || len(c.Train) == 0 {
		t.Errorf("texts alone: %+v", c)
	}
}
