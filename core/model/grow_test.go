//go:build torch

package model

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// A head that gets a label keeps what it knew of the others, in each weight that
// counts labels: a tagger's also where its tags move, and in both dimensions of a
// CRF's transitions.
func TestGrowKeepsRows(t *testing.T) {
	before := []sdk.HeadSpec{
		{Name: "topic", Kind: sdk.KindClassify, Labels: []string{"a", "b"}},
		{Name: "ner", Kind: sdk.KindTag, Labels: []string{"PER", "ORG"}, CRF: true},
	}
	after := []sdk.HeadSpec{
		{Name: "topic", Kind: sdk.KindClassify, Labels: []string{"b", "a", "c"}}, // in another order
		{Name: "ner", Kind: sdk.KindTag, Labels: []string{"PER", "ORG", "LOC"}, CRF: true},
	}
	dir := t.TempDir()
	old, grown := map[string][]float32{}, map[string][]float32{}
	shapes := map[string][]int64{}
	read := func(from string, heads []sdk.HeadSpec, opt Options, into map[string][]float32) {
		require.NoError(t, torch.Do(func() {
			m, diags := Load(from, heads, opt)
			require.False(t, diags.HasErrors(), diags.String())
			defer m.Close()
			for _, p := range m.Params() {
				into[p.Name], shapes[p.Name] = p.Value.Float32s(), p.Value.Shape()
			}
			if from != dir {
				require.NoError(t, m.Save(dir, "topic"))
			}
		}))
	}
	read("testdata/base", before, Options{Device: torch.CPU, Seed: 3}, old)
	read(dir, after, Options{Device: torch.CPU, Seed: 9, Grow: true}, grown)
	width := int(shapes["topic.classifier.weight"][1])
	row := func(v []float32, i int) []float32 { return v[i*width : (i+1)*width] }
	for to, from := range map[int]int{0: 1, 1: 0} { // b, a
		require.Equal(t, row(old["topic.classifier.weight"], from), row(grown["topic.classifier.weight"], to))
	}
	for i := range 5 { // O, B-PER, I-PER, B-ORG, I-ORG
		require.Equal(t, row(old["ner.classifier.weight"], i), row(grown["ner.classifier.weight"], i))
		for k := range 5 {
			require.Equal(t, old["ner.crf.transitions"][5*i+k], grown["ner.crf.transitions"][7*i+k])
		}
	}
	require.Equal(t, []int64{7, 7}, shapes["ner.crf.transitions"])
	require.NotEqual(t, make([]float32, width), row(grown["topic.classifier.weight"], 2), "a new label begins as a new head does")
	for name, v := range old {
		if len(v) == len(grown[name]) {
			require.Equal(t, v, grown[name], name)
		}
	}
	// Without Grow a head of other labels is a new one.
	fresh := map[string][]float32{}
	read(dir, after, Options{Device: torch.CPU, Seed: 9}, fresh)
	require.NotEqual(t, row(old["topic.classifier.weight"], 1), row(fresh["topic.classifier.weight"], 0))
}
