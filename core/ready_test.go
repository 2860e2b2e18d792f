package core

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

func readyPlan(t *testing.T, sets ...string) *recipe.Plan {
	t.Helper()
	plan, ds := recipe.Resolve(recipe.Sources{Sets: sets})
	require.NoError(t, ds.Err())
	return plan
}

func TestCheckMetric(t *testing.T) {
	heads := []sdk.HeadSpec{{Name: "ner", Kind: sdk.KindTag}, {Name: "topic", Kind: sdk.KindClassify}}
	for _, good := range []string{"auto", "loss", "macro_f1", "ner/entity_f1", "topic.accuracy", "topic/auto"} {
		require.Empty(t, checkMetric(readyPlan(t, "train.metric="+good), heads), good)
		require.Empty(t, checkMetric(readyPlan(t, "train.metric="+good), nil), good)
	}
	for name, want := range map[string][2]string{
		"acuracy":        {`no metric "acuracy"`, `did you mean "accuracy"?`},
		"ner/entity_f2":  {`no metric "entity_f2"`, `did you mean "entity_f1"?`},
		"topc/accuracy":  {`no head "topc"`, `did you mean "topic"? (one of: ner, topic)`},
		"nothing.at_all": {`no metric "at_all"`, "one of: "},
	} {
		ds := checkMetric(readyPlan(t, "train.metric="+name), heads)
		require.Len(t, ds, 1, name)
		require.Equal(t, []string{"train.metric", "train.metric"}, []string{ds[0].Code, ds[0].Path})
		require.Contains(t, ds[0].Summary, want[0])
		require.Contains(t, ds[0].Remedy, want[1])
	}
	require.Empty(t, checkMetric(readyPlan(t, "train.metric=topc/accuracy"), nil), "which heads there are the data say")
}

func TestReady(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "train.jsonl")
	require.NoError(t, os.WriteFile(file, []byte("{}\n"), 0o644))
	r := &Run{}
	ready := func(sets ...string) error { return r.Ready(t.Context(), readyPlan(t, sets...)) }
	for _, o := range []string{"finetune", "fewshot", "pretrain"} {
		require.NoError(t, ready("objective="+o, "data.path="+dir), o)
		require.ErrorContains(t, ready("objective="+o, "data.path="+dir+"/nothere"), "no such file", o)
		require.ErrorContains(t, ready("objective="+o), "to train on", o)
	}
	require.ErrorContains(t, ready("data.path="+dir, "data.valid=nothere.jsonl"), "nothere.jsonl")
	require.ErrorContains(t, ready("data.path="+dir, "train.metric=acuracy"), "acuracy")
	require.ErrorContains(t, ready("objective=distill", "data.path="+dir), "wants a teacher")
}

func TestLacks(t *testing.T) {
	head := func(kind string) sdk.HeadSpec { return sdk.HeadSpec{Name: "h", Kind: kind} }
	texts := []sdk.Example{{Text: "a", TextB: "b"}, {Text: "c", File: "in.jsonl", Line: 2}, {Text: "d", File: "in.jsonl", Line: 3}}
	for _, kind := range []string{sdk.KindRank, sdk.KindPair, sdk.KindQA} {
		b := &Bundle{Heads: []sdk.HeadSpec{head(kind)}}
		require.Empty(t, b.Lacks(texts[:1]))
		ds := b.Lacks(texts)
		require.Len(t, ds, 2)
		require.True(t, ds.HasErrors())
		require.Equal(t, "in.jsonl:2", ds[0].Place())
		flag := "--text-b"
		if kind == sdk.KindQA {
			flag = "--question"
		}
		require.Contains(t, ds[0].Remedy, flag)
		// Beside another head, which answers, it is a warning.
		ds = (&Bundle{Heads: []sdk.HeadSpec{head(kind), head(sdk.KindClassify)}}).Lacks(texts)
		require.Len(t, ds, 1)
		require.False(t, ds.HasErrors())
	}
	require.Empty(t, (&Bundle{Heads: []sdk.HeadSpec{head(sdk.KindEmbed)}}).Lacks(texts), "one text has a vector")
	ds := (&Bundle{Heads: []sdk.HeadSpec{head(sdk.KindQA)}}).Lacks(make([]sdk.Example, 50))
	require.Len(t, ds, 21)
	require.Contains(t, ds[20].Summary, "30 more")
}

func TestLacksClasses(t *testing.T) {
	classes := sdk.HeadSpec{Name: "label", Kind: sdk.KindClassify}
	require.Empty(t, lacksClasses([]sdk.HeadSpec{classes}))
	for _, heads := range [][]sdk.HeadSpec{nil, {classes, classes}, {{Name: "x", Kind: sdk.KindTag}}, {{Name: "x", Kind: sdk.KindClassify, Loss: "bce"}}} {
		require.ErrorContains(t, lacksClasses(heads).Err(), "the data have")
	}
}

func TestWordedHeads(t *testing.T) {
	require.Equal(t, `the head "label" of kind multilabel.v0`, wordedHeads([]sdk.HeadSpec{{Name: "label", Kind: sdk.KindMultilabel}}))
	require.Equal(t, `the head "label" of kind classify.v0 with the loss bce`, wordedHeads([]sdk.HeadSpec{{Name: "label", Kind: sdk.KindClassify, Loss: "bce"}}))
	require.Equal(t, fmt.Sprintf(`2: "a" of kind %s, "b" of kind %s`, sdk.KindTag, sdk.KindClassify), wordedHeads([]sdk.HeadSpec{{Name: "a", Kind: sdk.KindTag}, {Name: "b", Kind: sdk.KindClassify}}))
}
