package corpus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// wordPieces makes a small uncased tokenizer that knows every ASCII letter.
func wordPieces(t *testing.T) *token.Tokenizer {
	t.Helper()
	vocab := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "peter", "black", "##burn", "shares", "rose"}
	for r := '!'; r <= '~'; r++ {
		vocab = append(vocab, string(r), "##"+string(r))
	}
	dir := folder(t, map[string]string{"vocab.txt": strings.Join(vocab, "\n") + "\n"})
	tok, err := token.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func pieces(tok *token.Tokenizer, ids []int32) string { return strings.Join(tok.Pieces(ids), " ") }

func TestEncode(t *testing.T) {
	tok := wordPieces(t)
	score := 2.5
	text, tokens := joinTokens([]string{"Peter", "Blackburn", "rose", "now"})
	ex := sdk.Example{ID: "a", Text: text, Tokens: tokens, Labels: map[string]sdk.Label{
		"ner": {Tags: []string{"B-PER", "I-PER", "O", "B-X"}}, "class": {Values: []string{"y"}}, "many": {Values: []string{"z", "x"}}, "amount": {Number: &score}}}
	e := &Encoder{Tokenizer: tok, MaxLength: 6, Heads: []sdk.HeadSpec{
		{Name: "ner", Kind: sdk.KindTag, Labels: []string{"PER"}}, {Name: "class", Kind: sdk.KindClassify, Labels: []string{"x", "y"}},
		{Name: "many", Kind: sdk.KindMultilabel, Labels: []string{"x", "y", "z"}}, {Name: "amount", Kind: sdk.KindRegress}, {Name: "none", Kind: sdk.KindClassify, Labels: []string{"x"}}}}
	row, err := e.Encode(&ex)
	if err != nil {
		t.Fatal(err)
	}
	if got := pieces(tok, row.IDs); got != "[CLS] peter black ##burn rose [SEP]" {
		t.Errorf("pieces %s", got)
	}
	want := []recipe.Target{{Has: true, Tags: []int32{1, 2, 0, -1}}, {Has: true, Class: 1}, {Has: true, Classes: []bool{true, false, true}}, {Has: true, Value: 2.5}, {}}
	if diff := cmp.Diff(want, row.Targets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int32{1, 2, 4, -1}, row.Starts); diff != "" {
		t.Error(diff)
	}
	if row.Key != Key("a") || row.Key == Key("b") || row.Types != nil {
		t.Errorf("key %d, types %v", row.Key, row.Types)
	}
	pair, err := e.Encode(&sdk.Example{Text: "a b c d e f", TextB: "g"})
	if err != nil || pieces(tok, pair.IDs) != "[CLS] a b [SEP] g [SEP]" || !slices.Equal(pair.Types, []int32{0, 0, 0, 0, 1, 1}) {
		t.Errorf("%s %v %v", pieces(tok, pair.IDs), pair.Types, err)
	}
	plain, err := e.Encode(&sdk.Example{Text: ""})
	if err != nil || pieces(tok, plain.IDs) != "[CLS] [SEP]" || plain.Starts != nil {
		t.Errorf("%+v %v", plain, err)
	}
}

// small is a corpus of n examples of different lengths.
func small(n int) *Corpus {
	c := &Corpus{Heads: []sdk.HeadSpec{{Name: "label", Kind: sdk.KindClassify, Labels: []string{"a", "b"}}, {Name: "ner", Kind: sdk.KindTag, Labels: []string{"X"}}}}
	for i := range n {
		words := strings.Fields(strings.Repeat("w ", 1+i*7%23))
		text, tokens := joinTokens(words)
		ex := sdk.Example{ID: fmt.Sprintf("train-%d", i), Text: text, Tokens: tokens, Labels: map[string]sdk.Label{"label": {Values: []string{c.Heads[0].Labels[i%2]}}}}
		if i%3 > 0 {
			ex.Labels["ner"] = sdk.Label{Tags: slices.Repeat([]string{"O"}, len(words))}
		}
		c.Train = append(c.Train, ex)
	}
	c.Test = slices.Clone(c.Train[:n/10])
	return c
}

func rowsOf(s *Shard) []*recipe.Encoded {
	rows := make([]*recipe.Encoded, s.Len())
	for i := range rows {
		rows[i] = s.At(i)
	}
	return rows
}

func build(t *testing.T, c *Corpus, req BuildRequest) *Set {
	t.Helper()
	if req.Plan == nil {
		req.Plan = plan(t)
	}
	if req.Tokenizer == nil {
		req.Tokenizer = wordPieces(t)
	}
	if req.MaxLength == 0 {
		req.MaxLength = 16
	}
	set, err := c.Build(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestWorkersChangeNothing(t *testing.T) {
	c := small(500)
	one, many := build(t, c, BuildRequest{Workers: 1}), build(t, c, BuildRequest{Workers: 7})
	if string(one.Train.bytes()) != string(many.Train.bytes()) || one.Digest != many.Digest {
		t.Error("the shards depend on the number of workers")
	}
}

func TestShardRoundTrip(t *testing.T) {
	heads := []sdk.HeadSpec{{Name: "a", Kind: sdk.KindClassify}, {Name: "b", Kind: sdk.KindMultilabel}, {Name: "c", Kind: sdk.KindTag}, {Name: "d", Kind: sdk.KindRegress}}
	rapid.Check(t, func(t *rapid.T) {
		ints := rapid.SliceOfN(rapid.Int32(), 0, 9)
		var rows []*recipe.Encoded
		for i := range rapid.IntRange(0, 12).Draw(t, "rows") {
			r := &recipe.Encoded{ID: fmt.Sprintf("%s-%d", rapid.String().Draw(t, "id"), i), IDs: ints.Draw(t, "ids"), Targets: make([]recipe.Target, 4)}
			if rapid.Bool().Draw(t, "types") {
				r.Types = slices.Clone(r.IDs)
			}
			r.Key = Key(r.ID)
			if rapid.Bool().Draw(t, "labelled") {
				r.Starts = ints.Draw(t, "starts")
				r.Targets = []recipe.Target{{Has: true, Class: rapid.Int32().Draw(t, "class")}, {Has: true, Classes: rapid.SliceOfN(rapid.Bool(), 3, 3).Draw(t, "classes")},
					{Has: true, Tags: ints.Draw(t, "tags")}, {Has: true, Value: rapid.Float32().Draw(t, "value")}}
			}
			rows = append(rows, r)
		}
		data := NewShard(heads, rows).bytes()
		s, err := parseShard(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rows, rowsOf(s), emptySlices()); diff != "" {
			t.Fatal(diff)
		}
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		data[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := parseShard(data); !errors.Is(err, errTorn) {
			t.Fatalf("a flipped bit at %d was not noticed: %v", at, err)
		}
		if _, err := parseShard(data[:at]); !errors.Is(err, errTorn) {
			t.Fatalf("a shard cut at %d was not noticed: %v", at, err)
		}
	})
}

// emptySlices takes nil and empty lists for equal.
func emptySlices() cmp.Option {
	return cmp.Options{
		cmp.Transformer("ints", func(s []int32) []int32 { return append([]int32{}, s...) }),
		cmp.Transformer("rows", func(s []*recipe.Encoded) []*recipe.Encoded { return append([]*recipe.Encoded{}, s...) }),
	}
}

// A ranking head reads two texts at once or one by one, as its loss says: the rows of
// one are of no use for the other.
func TestStageOfRankingHeads(t *testing.T) {
	digest := func(loss string) string {
		c := small(10)
		c.Heads = []sdk.HeadSpec{{Name: "label", Kind: sdk.KindRank, Loss: loss}}
		d, err := c.Digest(&BuildRequest{Plan: plan(t), Tokenizer: wordPieces(t)})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if digest("") == digest(sdk.LossMNR) {
		t.Error("a cross-encoder and a bi-encoder have the same stage")
	}
	if digest("") != digest("mse") || digest(sdk.LossMNR) != digest(sdk.LossCosine) {
		t.Error("the loss alone must not change the corpus")
	}
}

func TestStageIsReused(t *testing.T) {
	home, c := t.TempDir(), small(100)
	first := build(t, c, BuildRequest{Home: home})
	second := build(t, c, BuildRequest{Home: home})
	if first.Reused || !second.Reused || first.Dir != second.Dir {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if diff := cmp.Diff(rowsOf(first.Train), rowsOf(second.Train), emptySlices()); diff != "" {
		t.Error(diff)
	}
	for name, other := range map[string]func() *Set{
		"length": func() *Set { return build(t, c, BuildRequest{Home: home, MaxLength: 9}) },
		"plan":   func() *Set { return build(t, c, BuildRequest{Home: home, Plan: plan(t, "data.scheme=none")}) },
		"data":   func() *Set { return build(t, small(101), BuildRequest{Home: home}) },
		"tokenizer": func() *Set {
			tok := wordPieces(t)
			if _, err := tok.AddTokens(token.AddedToken{Content: "ebitda"}); err != nil {
				t.Fatal(err)
			}
			return build(t, c, BuildRequest{Home: home, Tokenizer: tok})
		},
	} {
		if set := other(); set.Reused || set.Digest == first.Digest {
			t.Errorf("another %s gave the same stage", name)
		}
	}
	if set := build(t, c, BuildRequest{Home: home, Plan: plan(t, "train.lr=1", "data.path=x")}); !set.Reused {
		t.Error("the learning rate must not change the corpus")
	}

	// A damaged stage is made anew.
	file := filepath.Join(first.Dir, "train.rows")
	for name, damage := range map[string]func() error{
		"torn":    func() error { return os.Truncate(file, 100) },
		"missing": func() error { return os.Remove(file) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if set := build(t, c, BuildRequest{Home: home}); set.Reused || set.Train.Len() != 100 {
			t.Errorf("%s: reused %v, %d rows", name, set.Reused, set.Train.Len())
		}
		if set := build(t, c, BuildRequest{Home: home}); !set.Reused {
			t.Errorf("%s: not repaired", name)
		}
	}
	entries, err := filepath.Glob(filepath.Join(home, "*.tmp"))
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestTwoBuilders(t *testing.T) {
	home, c := t.TempDir(), small(300)
	tok, p := wordPieces(t), plan(t)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = c.Build(context.Background(), BuildRequest{Plan: p, Tokenizer: tok, MaxLength: 16, Home: home, Workers: 1})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(home); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestBuildErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := small(10).Build(ctx, BuildRequest{Plan: plan(t), Tokenizer: wordPieces(t), MaxLength: 8}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	file := filepath.Join(folder(t, map[string]string{"f": ""}), "f")
	if _, err := small(10).Build(context.Background(), BuildRequest{Plan: plan(t), Tokenizer: wordPieces(t), MaxLength: 8, Home: file}); err == nil {
		t.Error("no error where the stage's folder is a file")
	}
}

// epoch collects the row numbers of the batches.
func epoch(t *testing.T, l recipe.Loader, n, from int) [][]int {
	t.Helper()
	var batches [][]int
	for b, err := range l.Epoch(context.Background(), n, from) {
		if err != nil {
			t.Fatal(err)
		}
		width, tokens := 0, 0
		for _, r := range b.Rows {
			width, tokens = max(width, len(r.IDs)), tokens+len(r.IDs)
		}
		if b.Width < width || b.Tokens != tokens || len(b.Index) != len(b.Rows) {
			t.Fatalf("batch %+v: longest row %d, %d ids", b, width, tokens)
		}
		batches = append(batches, b.Index)
	}
	return batches
}

func TestLoader(t *testing.T) {
	set := build(t, small(1003), BuildRequest{MaxLength: 32})
	for name, sets := range map[string][]string{"longest": nil, "max": {"data.padding=max"}, "in order": {"train.shuffle=off"}} {
		t.Run(name, func(t *testing.T) {
			l := NewLoader(set.Train, plan(t, sets...), 32)
			a, b, other := epoch(t, l, 0, 0), epoch(t, l, 0, 0), epoch(t, l, 1, 0)
			if diff := cmp.Diff(a, b); diff != "" {
				t.Error("an epoch is not repeatable")
			}
			if l.Len() != 1003 || len(a) != l.Steps(0) || len(a) != 63 {
				t.Errorf("%d batches of %d examples, Steps says %d", len(a), l.Len(), l.Steps(0))
			}
			rows := slices.Concat(a...)
			slices.Sort(rows)
			for i, r := range rows {
				if r != i {
					t.Fatalf("row %d comes %d", i, r)
				}
			}
			if diff := cmp.Diff(a[40:], epoch(t, l, 0, 40)); diff != "" {
				t.Error("an epoch begun at batch 40 differs")
			}
			if got := epoch(t, l, 0, 63); len(got) != 0 {
				t.Errorf("%d batches after the last", len(got))
			}
			same := cmp.Equal(a, other)
			if (name == "in order") != same {
				t.Errorf("two epochs are equal: %v", same)
			}
		})
	}
	other := NewLoader(set.Train, plan(t, "seed=7"), 32)
	if cmp.Equal(epoch(t, other, 0, 0), epoch(t, NewLoader(set.Train, plan(t), 32), 0, 0)) {
		t.Error("the seed changes nothing")
	}
	sorted, full := NewLoader(set.Train, plan(t), 32), NewLoader(set.Train, plan(t, "data.padding=max"), 32)
	if a, b := sorted.padding(), full.padding(); a > 0.1 || b < 0.4 {
		t.Errorf("padding %.2f by length, %.2f to the full width", a, b)
	}
	for b := range full.Epoch(context.Background(), 0, 0) {
		if b.Width != 32 {
			t.Errorf("width %d", b.Width)
		}
	}
}

func TestLoaderStops(t *testing.T) {
	set := build(t, small(500), BuildRequest{})
	l := NewLoader(set.Train, plan(t), 16)
	for range l.Epoch(context.Background(), 0, 0) {
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	var last error
	for _, err := range l.Epoch(ctx, 0, 0) {
		if last = err; err != nil {
			break
		}
		if n++; n == 3 {
			cancel()
		}
	}
	cancel()
	if n != 3 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d batches, error %v", n, last)
	}
}

func TestSource(t *testing.T) {
	set := build(t, small(205), BuildRequest{})
	valid, test := set.Sources()
	if valid != nil || test == nil || test.Len() != 20 {
		t.Fatalf("valid %v, test %v", valid, test)
	}
	s := NewSource(set.Train)
	var rows []int
	width := 0
	for b, err := range s.Batches(context.Background(), 32) {
		if err != nil || len(b.Rows) > 32 || b.Width < width {
			t.Fatalf("batch of %d rows, width %d after %d: %v", len(b.Rows), b.Width, width, err)
		}
		width = b.Width
		for i, r := range b.Index {
			if s.At(r).ID != b.Rows[i].ID {
				t.Fatalf("row %d is %s, not %s", r, b.Rows[i].ID, s.At(r).ID)
			}
		}
		rows = append(rows, b.Index...)
	}
	slices.Sort(rows)
	if len(rows) != 205 || len(slices.Compact(rows)) != 205 {
		t.Errorf("%d rows", len(rows))
	}
	src, err := EncodeSource(context.Background(), &Encoder{Tokenizer: wordPieces(t), Heads: set0Heads(), MaxLength: 16}, small(20).Train)
	if err != nil || src.Len() != 20 {
		t.Errorf("%v", err)
	}
}

func set0Heads() []sdk.HeadSpec { return small(1).Heads }

func TestStats(t *testing.T) {
	dir := folder(t, map[string]string{"train.jsonl": `{"text": "shares rose", "label": "up"}` + "\n" + `{"text": "股票 fell", "label": "down"}` + "\n" + `{"text": "rose rose", "label": "up"}` + "\n"})
	c, ds := read(t, dir, Request{})
	expect(t, ds)
	s, err := c.Stats(context.Background(), plan(t), wordPieces(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]map[string]int{"train": {"up": 2, "down": 1}}, s.Heads[0].Counts); diff != "" {
		t.Error(diff)
	}
	st := s.Splits[0]
	// [CLS] shares rose [SEP], [CLS] [UNK] [UNK] f ##e ##l ##l [SEP], [CLS] rose rose [SEP]
	if st.Pieces != 16 || st.Longest != 8 || st.Unknown != 2.0/16 || st.Cut != 1.0/3 || st.Padding != 0 {
		t.Errorf("%+v", st)
	}
	if han := st.Scripts["Han"]; han < 0.08 || han > 0.09 {
		t.Errorf("scripts %v", st.Scripts)
	}
	var b strings.Builder
	if err := s.Write(&b); err != nil || !strings.Contains(b.String(), "2   66.7 %") {
		t.Errorf("%v\n%s", err, b.String())
	}
	if s, err = c.Stats(context.Background(), plan(t), nil, 0); err != nil || s.Splits[0].Pieces != 0 || s.Splits[0].Characters != 27 {
		t.Errorf("%+v %v", s, err)
	}
}
