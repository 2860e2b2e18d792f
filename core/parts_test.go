package core

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// tagged makes an example of words with tags, as "name1/B-A and/O".
func tagged(id, text string) sdk.Example {
	ex := sdk.Example{ID: id}
	var tags []string
	for _, part := range strings.Fields(text) {
		word, tag, _ := strings.Cut(part, "/")
		if ex.Text != "" {
			ex.Text += " "
		}
		ex.Tokens = append(ex.Tokens, sdk.Token{Start: len(ex.Text), End: len(ex.Text) + len(word)})
		ex.Text += word
		tags = append(tags, tag)
	}
	ex.Labels = map[string]sdk.Label{"ner": {Tags: tags}}
	return ex
}

// Entities that training showed are counted apart from others, in gold and in
// predictions; the baseline of names learns which types are labels.
func TestSeenAndUnseen(t *testing.T) {
	c := &corpus.Corpus{
		Train: []sdk.Example{tagged("a", "name0/B-A and/O name1/O"), tagged("b", "Name0/B-A saw/O name2/B-A")},
		Test:  []sdk.Example{tagged("c", "name0/B-A name4/B-A name1/O"), tagged("d", "other/B-A name2/B-A")},
	}
	spec := sdk.HeadSpec{Name: "ner", Kind: sdk.KindTag, Labels: []string{"A"}}
	b := &Bundle{Plan: recipe.Defaults(), Heads: []sdk.HeadSpec{spec}, knowledge: &knowledge{corpus: &corpus.Knowledge{Linker: smallGraph{9}}}}
	p := newParts(b, c, "test")
	require.Equal(t, []string{partUnseen, partSeen}, p.seen)

	labels := recipe.Outputs(spec) // O, B-A, I-A
	var rows plainRows
	var preds []recipe.Prediction
	said := []string{"name0/B-A name4/O name1/B-A", "other/O name2/B-A"}
	for i := range c.Test {
		row, pred := tagRow(spec, labels, &c.Test[i], tagged("x", said[i]).Labels["ner"].Tags)
		rows, preds = append(rows, row), append(preds, pred)
	}
	got := p.score([]sdk.HeadSpec{spec}, rows, preds, "small", "test")["ner"]
	// Seen: name0 and name2 are right. Unseen: name4 and other are missed, name1 is wrong.
	require.InDelta(t, 1.0, *got[partSeen].EntityF1, 1e-9)
	require.InDelta(t, 0.0, *got[partUnseen].EntityF1, 1e-9)
	require.InDelta(t, 2*2.0/(4+3), *got[""].EntityF1, 1e-9)
	for _, r := range got {
		require.Equal(t, 2, r.N)
	}

	// Entities 0 and 2 were labelled, 1 was not; 4 is of the type of 0 and 2.
	names := nameOnly(b, c, "test", p, "small")["ner"][""][0]
	require.InDelta(t, 2*3.0/(4+3), *names.EntityF1, 1e-9)
}

// A classifier by names votes with entities, then types, then the majority.
func TestNamesClassify(t *testing.T) {
	train := []sdk.Example{}
	for i, label := range []string{"x", "x", "y", "y", "y"} {
		train = append(train, sdk.Example{ID: fmt.Sprint(i), Text: fmt.Sprint("saw name", i), Labels: map[string]sdk.Label{"h": {Values: []string{label}}}})
	}
	v := newVotes()
	for i := range train {
		v.learn(smallGraph{9}, &train[i], train[i].Labels["h"].Values[0])
	}
	for text, want := range map[string]string{"name0": "x", "name1 name3": "x", "name6": "y", "nothing": "y"} {
		require.Equal(t, want, v.classify(smallGraph{9}, &sdk.Example{Text: text}), text)
	}
}
