package corpus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// graph links fixed names, longest first at each place.
type graph struct {
	names map[string]recipe.Mention // folded name -> entity and type
	facts map[int32][]recipe.GraphFact
}

func (g *graph) Types() []string                       { return []string{"Company", "Person"} }
func (g *graph) Facts(entity int32) []recipe.GraphFact { return g.facts[entity] }

func (g *graph) Link(text string) []recipe.Mention {
	var out []recipe.Mention
	low := strings.ToLower(text)
	for at := 0; at < len(low); {
		best := recipe.Mention{}
		for name, m := range g.names {
			if strings.HasPrefix(low[at:], name) && at+len(name) > best.End {
				best = recipe.Mention{Start: at, End: at + len(name), Entity: m.Entity, Type: m.Type}
			}
		}
		if best.End == 0 {
			at++
			continue
		}
		out = append(out, best)
		at = best.End
	}
	return out
}

func testGraph() *graph {
	return &graph{
		names: map[string]recipe.Mention{"peter blackburn": {Entity: 3, Type: 1}, "acme": {Entity: 5}},
		facts: map[int32][]recipe.GraphFact{
			3: {{Relation: "works_for", Object: "a b", Weight: 1}, {Relation: "isA", Object: "x", Weight: 0.9}, {Relation: "knows", Object: "rose", Weight: 0.8}},
			5: {{Relation: "kind", Object: "shares", Weight: 1}},
		},
	}
}

// upperOnly says 1 of words that begin with a capital, and 2 of others, and of
// words with a digit 1 in a second feature.
type upperOnly struct{}

func (upperOnly) Extract(text string, words []sdk.Token) [][]uint16 {
	out := make([][]uint16, len(words))
	for i, w := range words {
		out[i] = []uint16{2, 0}
		if c := text[w.Start]; c >= 'A' && c <= 'Z' {
			out[i][0] = 1
		}
		if strings.ContainsAny(text[w.Start:w.End], "0123456789") {
			out[i][1] = 1
		}
	}
	return out
}

func knowing(ways ...string) *Knowledge {
	return &Knowledge{Plan: recipe.KnowledgePlan{Inject: ways, TextFacts: 2, TextPieces: 12}, Linker: testGraph(), Words: upperOnly{}, Counts: []int{3, 2}, Seed: 1}
}

func TestInject(t *testing.T) {
	tok := wordPieces(t)
	text, tokens := joinTokens([]string{"Peter", "Blackburn", "rose", "acme", "7"})
	split := sdk.Example{ID: "a", Text: text, Tokens: tokens}
	running := sdk.Example{ID: "a", Text: text}
	k := knowing(recipe.InjectGazetteer, recipe.InjectFeatures, recipe.InjectText)
	for name, ex := range map[string]sdk.Example{"tokens": split, "running": running} {
		e := &Encoder{Tokenizer: tok, MaxLength: 40, Knowledge: k}
		row, err := e.Encode(&ex)
		if err != nil {
			t.Fatal(err)
		}
		if got := pieces(tok, row.IDs); got != "[CLS] peter black ##burn rose a ##c ##m ##e 7 [SEP]" {
			t.Fatalf("%s: pieces %s", name, got)
		}
		// Company is type 0 (marks 1-4), Person type 1 (5-8).
		if diff := cmp.Diff([]int32{0, 5, 6, 7, 0, 1, 2, 2, 3, 0, 0}, row.Inject.Marks); diff != "" {
			t.Errorf("%s: marks %s", name, diff)
		}
		// Classes 1, 2 of the first feature; 3 is class 1 of the second.
		if diff := cmp.Diff([]int32{0, 0, 1, 0, 1, 0, 1, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 3, 0, 0}, row.Inject.Features); diff != "" {
			t.Errorf("%s: features %s", name, diff)
		}
		if diff := cmp.Diff([]recipe.LinkedPieces{{From: 1, To: 4, Entity: 3}, {From: 5, To: 9, Entity: 5}}, row.Inject.Mentions); diff != "" {
			t.Errorf("%s: mentions %s", name, diff)
		}
		// `knows rose` comes first: the text speaks of a rose.
		want := []recipe.InjectedFact{{Mention: 0, Length: 6, Fact: 2}, {Mention: 0, Length: 10, Fact: 0}, {Mention: 1, Length: 5, Fact: 0}}
		if diff := cmp.Diff(want, row.Inject.Facts); diff != "" {
			t.Errorf("%s: facts %s", name, diff)
		}
		if got := pieces(tok, row.Inject.Pieces); got != "k ##n ##o ##w ##s rose w ##o ##r ##k ##s f ##o ##r a b k ##i ##n ##d shares" {
			t.Errorf("%s: pieces %s", name, got)
		}
	}
	if in := k.Injection(); in.Marks != 8 || in.Features != 3 || in.Slots != 2 {
		t.Errorf("injection %+v", in)
	}
}

// Without injection a row and its shard are as they were.
func TestInjectNothing(t *testing.T) {
	ex := sdk.Example{ID: "a", Text: "black shares"}
	plain, err := (&Encoder{Tokenizer: wordPieces(t), MaxLength: 16}).Encode(&ex)
	if err != nil {
		t.Fatal(err)
	}
	with, err := (&Encoder{Tokenizer: wordPieces(t), MaxLength: 16, Knowledge: knowing(recipe.InjectGazetteer, recipe.InjectText)}).Encode(&ex)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain, with); diff != "" {
		t.Error(diff)
	}
}

// Source pieces, starts and targets are the same under any budget, and injected
// pieces only fill what is left of the window, each fact whole.
func TestInjectKeepsSource(t *testing.T) {
	tok := wordPieces(t)
	words := []string{"Peter", "Blackburn", "rose", "acme", "7", "shares"}
	rapid.Check(t, func(t *rapid.T) {
		var pick []string
		for range rapid.IntRange(1, 12).Draw(t, "n") {
			pick = append(pick, rapid.SampledFrom(words).Draw(t, "w"))
		}
		limit := rapid.IntRange(4, 60).Draw(t, "limit")
		text, tokens := joinTokens(pick)
		ex := sdk.Example{ID: "a", Text: text, Tokens: tokens}
		if rapid.Bool().Draw(t, "running") {
			ex.Tokens = nil
		}
		plain, err := (&Encoder{Tokenizer: tok, MaxLength: limit}).Encode(&ex)
		if err != nil {
			t.Fatal(err)
		}
		k := knowing(recipe.InjectGazetteer, recipe.InjectFeatures, recipe.InjectText)
		row, err := (&Encoder{Tokenizer: tok, MaxLength: limit, Knowledge: k}).Encode(&ex)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(plain.IDs, row.IDs) || !slices.Equal(plain.Starts, row.Starts) {
			t.Fatalf("source changed: %v, %v", plain.IDs, row.IDs)
		}
		if row.Width() > limit {
			t.Fatalf("%d ids in a window of %d", row.Width(), limit)
		}
		shard := NewShard(nil, []*recipe.Encoded{row})
		again, err := parseShard(shard.bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(row.Inject, again.At(0).Inject); diff != "" || again.Width(0) != row.Width() {
			t.Fatalf("shard: %s", diff)
		}
	})
}

// What is injected depends neither on the number of workers nor on the run.
func TestInjectWorkers(t *testing.T) {
	tok := wordPieces(t)
	var all []sdk.Example
	for i := range 200 {
		text, tokens := joinTokens([]string{"acme", strings.Repeat("x", i%7+1), "Peter", "Blackburn", "rose"}[i%3:])
		all = append(all, sdk.Example{ID: fmt.Sprint(i), Text: text, Tokens: tokens})
	}
	var want []byte
	for _, workers := range []int{1, 3, 8} {
		k := knowing(recipe.InjectGazetteer, recipe.InjectFeatures, recipe.InjectText)
		k.Plan.Control = recipe.ControlShuffled
		rows, err := (&Encoder{Tokenizer: tok, MaxLength: 40, Knowledge: k}).EncodeAll(context.Background(), all, workers)
		if err != nil {
			t.Fatal(err)
		}
		got := NewShard(nil, rows).bytes()
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d workers give other rows", workers)
		}
	}
}

func TestInjectControls(t *testing.T) {
	tok := wordPieces(t)
	text, tokens := joinTokens([]string{"Peter", "Blackburn", "rose", "acme", "7"})
	ex := sdk.Example{ID: "a", Text: text, Tokens: tokens}
	encode := func(control string) *recipe.Encoded {
		k := knowing(recipe.InjectGazetteer, recipe.InjectFeatures, recipe.InjectText)
		k.Plan.Control = control
		row, err := (&Encoder{Tokenizer: tok, MaxLength: 40, Knowledge: k}).Encode(&ex)
		if err != nil {
			t.Fatal(err)
		}
		return row
	}
	real, zero, shuffled := encode(""), encode(recipe.ControlZero), encode(recipe.ControlShuffled)
	if zero.Inject.Marks != nil || zero.Inject.Features != nil || len(zero.Inject.Pieces) != len(real.Inject.Pieces) {
		t.Errorf("zero: %+v", zero.Inject)
	}
	if got := pieces(tok, zero.Inject.Pieces[:3]); got != "[MASK] [MASK] [MASK]" {
		t.Errorf("zero writes %s", got)
	}
	// A word keeps its features together; as many words have each.
	count := func(row *recipe.Encoded) map[[2]int32]int {
		n := map[[2]int32]int{}
		for _, s := range row.Starts {
			n[[2]int32(row.Inject.Features[2*s:2*s+2])]++
		}
		return n
	}
	if diff := cmp.Diff(count(real), count(shuffled)); diff != "" {
		t.Error(diff)
	}
}

func TestRelationText(t *testing.T) {
	for in, want := range map[string]string{"is_a": "is a", "http://www.w3.org/2000/01/rdf-schema#subClassOf": "sub class of", "hp:phenotype-of": "phenotype of", "FIBO": "fibo", "": ""} {
		if got := relationText(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
