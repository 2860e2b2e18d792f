package corpus

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

func labelled(prefix string, n int, label string) (out []sdk.Example) {
	for i := range n {
		id := fmt.Sprintf("%s%s%d", prefix, label, i)
		out = append(out, sdk.Example{ID: id, Text: "text " + id, Labels: map[string]sdk.Label{"h": {Values: []string{label}}}})
	}
	return out
}

func TestBalancedTakesEvenlyAndTheSame(t *testing.T) {
	all := append(append(labelled("", 100, "a"), labelled("", 10, "b")...), labelled("", 2, "c")...)
	count := func(n int, seed uint64) (counts map[string]int, ids []string) {
		counts = map[string]int{}
		for _, ex := range Balanced(all, n, seed) {
			counts[ex.Labels["h"].Values[0]]++
			ids = append(ids, ex.ID)
		}
		return counts, ids
	}
	counts, ids := count(12, 1)
	require.Equal(t, map[string]int{"a": 5, "b": 5, "c": 2}, counts)
	_, again := count(12, 1)
	require.Equal(t, ids, again)
	_, other := count(12, 2)
	require.NotEqual(t, ids, other)
	_, more := count(15, 1)
	require.Subset(t, more, ids)
	counts, _ = count(1000, 1)
	require.Equal(t, map[string]int{"a": 100, "b": 10, "c": 2}, counts)
	counts, _ = count(0, 1)
	require.Empty(t, counts)
}

func TestBalancedCountsEntityTypes(t *testing.T) {
	var all []sdk.Example
	for i := range 30 {
		tags := []string{"O", "B-PER", "I-PER"}
		switch {
		case i == 7:
			tags = []string{"B-LOC", "O", "O"}
		case i > 20:
			tags = []string{"O", "O", "O"}
		}
		all = append(all, sdk.Example{ID: fmt.Sprint(i), Labels: map[string]sdk.Label{"ner": {Tags: tags}}})
	}
	ids := map[string]bool{}
	for _, ex := range Balanced(all, 3, 5) {
		ids[ex.ID] = true
	}
	require.True(t, ids["7"], "the one example of LOC is among three of three kinds")
}

func TestMergeLeavesOutWhatWouldLeak(t *testing.T) {
	c := &Corpus{Train: labelled("n", 4, "x"), Valid: labelled("v", 1, "x"), Test: labelled("t", 2, "x")}
	old := &Corpus{Train: labelled("o", 10, "a"), Valid: labelled("ov", 2, "a"), Test: labelled("ot", 3, "a"), Inputs: []Input{{Path: "old.jsonl", Split: "train"}}}
	old.Train[0].Text = c.Test[0].Text  // never trained again
	old.Test[1].Text = c.Train[2].Text  // never scored
	old.Valid[0].Text = c.Train[0].Text // neither
	require.Equal(t, 9, c.Merge(old, 10, 1))
	require.Len(t, c.Train, 13)
	require.Len(t, c.Valid, 2)
	require.Len(t, c.Test, 4)
	for _, ex := range c.Train[4:] {
		require.NotEqual(t, c.Test[0].Text, ex.Text)
		require.Contains(t, ex.ID, OldPrefix)
	}
	require.Equal(t, "old train", c.Inputs[0].Split)
}

func TestWithin(t *testing.T) {
	head := sdk.HeadSpec{Name: "ner", Kind: sdk.KindTag, Labels: []string{"PER"}}
	ex := func(tags ...string) *sdk.Example {
		return &sdk.Example{Labels: map[string]sdk.Label{"ner": {Tags: tags}}}
	}
	require.True(t, Within(ex("O", "B-PER"), head))
	require.False(t, Within(ex("O", "B-LOC"), head))
	require.False(t, Within(&sdk.Example{}, head))
	free := sdk.HeadSpec{Name: "ner", Kind: sdk.KindTag, Scheme: "none", Labels: []string{"N", "V"}}
	require.True(t, Within(ex("N", "V"), free))
	require.False(t, Within(ex("N", "ADJ"), free))
}

func TestStandInWeighsReplayedExamples(t *testing.T) {
	row := func(id, label string) sdk.Example {
		return sdk.Example{ID: id, Text: id, Labels: map[string]sdk.Label{"h": {Values: []string{label}}}}
	}
	var old []sdk.Example
	for i := range 20 {
		old = append(old, row(fmt.Sprint("a", i), "a"))
	}
	for i := range 10 {
		old = append(old, row(fmt.Sprint("b", i), "b"))
	}
	// Of a 2 of 20 are replayed, of b 2 of 10 beside 6 new ones; c is new.
	c := &Corpus{Train: []sdk.Example{row(OldPrefix+"a0", "a"), row(OldPrefix+"a1", "a"), row(OldPrefix+"b0", "b"), row(OldPrefix+"b1", "b")}}
	for i := range 6 {
		c.Train = append(c.Train, row(fmt.Sprint("n", i), "b"), row(fmt.Sprint("m", i), "c"))
	}
	h := sdk.HeadSpec{Name: "h", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}}
	// 10, 16/8 = 2 and 1, of 2, 8 and 6 examples: their sum is 42, of 16 examples.
	require.InDeltaSlice(t, []float64{10. * 16 / 42, 2. * 16 / 42, 16. / 42}, c.StandIn(h, old), 1e-12)

	h.Loss = "bce"
	require.Nil(t, c.StandIn(h, old), "outputs that are independent")
	h.Loss, h.Kind = "", sdk.KindTag
	require.Nil(t, c.StandIn(h, old))
	h.Kind = sdk.KindClassify
	c.Train = c.Train[4:]
	require.Nil(t, c.StandIn(sdk.HeadSpec{Name: "h", Kind: sdk.KindClassify, Labels: []string{"c"}}, old), "nothing is replayed")
}
