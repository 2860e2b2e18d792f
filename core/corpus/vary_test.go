package corpus

import (
	"context"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/islm-dev/islm/augment"
)

const varyRules = `schema: islm/rules.v1
rules:
  - {id: words, match: {word: true}, probability: 0.4, do: {kind: mask.v0, with: other}, labels: {keep: all}}
`

// ids are the word pieces of an epoch's rows, in their order.
func ids(t *testing.T, l *Loader, n, from int) (rows [][]int32, index []int) {
	t.Helper()
	for b, err := range l.Epoch(context.Background(), n, from) {
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range b.Rows {
			rows, index = append(rows, r.IDs), append(index, b.Index[i])
		}
	}
	return rows, index
}

func TestVariedEpochs(t *testing.T) {
	p, ds := augment.Load(fstest.MapFS{
		"pack.yaml":    {Data: []byte("schema: islm/pack.v1\nname: x\nversion: 0.1.0\nsummary: x\nlicence: Apache-2.0\n")},
		"rules/x.yaml": {Data: []byte(varyRules)},
	}, augment.LoadOptions{})
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	engine, ds := augment.NewEngine([]*augment.Pack{p}, augment.Options{Seed: 1, Bare: true})
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	c := small(300)
	request := BuildRequest{MaxLength: 32}
	set := build(t, c, request)
	loader := func(mode augment.Mode) *Loader {
		l := NewLoader(set.Train, plan(t), 32)
		v := &Varied{Examples: c.Train, Engine: engine, Mode: mode, Encoder: &Encoder{Tokenizer: wordPieces(t), MaxLength: 32, Heads: c.Heads}}
		if err := l.Vary(v); err != nil {
			t.Fatal(err)
		}
		return l
	}
	replace := loader(augment.Mode{})
	if replace.Len() != 300 || replace.Steps(0) != 19 {
		t.Errorf("replace: %d rows, %d steps", replace.Len(), replace.Steps(0))
	}
	first, index := ids(t, replace, 0, 0)
	again, _ := ids(t, replace, 0, 0)
	if !cmp.Equal(first, again) {
		t.Error("an epoch is not repeatable")
	}
	if late, _ := ids(t, replace, 0, 10); !cmp.Equal(first[160:], late) {
		t.Error("an epoch begun at batch 10 differs")
	}
	varied := 0
	for i, row := range first {
		if !slices.Equal(row, set.Train.At(index[i]).IDs) {
			varied++
		}
	}
	if varied < 200 {
		t.Errorf("%d of 300 rows are variants", varied)
	}
	byRow := func(rows [][]int32, index []int) map[int][]int32 {
		m := map[int][]int32{}
		for i, r := range rows {
			m[index[i]] = r
		}
		return m
	}
	next, nextIndex := ids(t, replace, 1, 0)
	if cmp.Equal(byRow(first, index), byRow(next, nextIndex)) {
		t.Error("two epochs show the same variants")
	}

	add := loader(augment.Mode{Add: 2})
	if add.Len() != 900 || add.Steps(0) != 57 {
		t.Errorf("add: %d rows, %d steps", add.Len(), add.Steps(0))
	}
	rows, index := ids(t, add, 0, 0)
	count, original := map[int]int{}, map[int]bool{}
	for i, row := range rows {
		count[index[i]]++
		original[index[i]] = original[index[i]] || slices.Equal(row, set.Train.At(index[i]).IDs)
	}
	for i := range 300 {
		if count[i] != 3 || !original[i] {
			t.Fatalf("example %d comes %d times, itself: %v", i, count[i], original[i])
		}
	}
	if err := NewLoader(set.Valid, plan(t), 32).Vary(&Varied{Examples: c.Train}); err == nil {
		t.Error("examples of another split are taken")
	}
}
