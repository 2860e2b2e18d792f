package kind_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// bits are what random texts are made of: everything that kinds look for, and
// what is hard to cut.
var bits = []string{"a ", "an ", "A ", " ", "the company ", "Profit ", "PROFIT ", "rose ", "did not rise ", "isn't ", "isn’t ", "not", "no longer ", "$1,234.5 bn", "12 %", "3.5亿元", "2024-02-29", "29 February 2024", "5 km ",
	"百分之五", "三百二十人", "１２", "两万", "没有", "已经完成了", "不", "很好", "银行", "發展", "approximately ", "央行", "中国人民银行", "CEO ", "CEOs", "(CEO)", "Norvik ", "NVK", "(NYSE: NVK)", "rise ", "fall", "quick ", ".", "。", "! ", "\n", "🙂", "e\u0301", "\u00a0", "-", "'", "’", "（", "0", "9", "1.", "Q3 2024", "17th of ", "May ", "Mon "}

// Whatever the text, an action's edits lie on borders of characters, do not
// overlap and fit the text; the same seed gives the same edits; nothing panics.
func TestEditsOfAnyText(t *testing.T) {
	p := reference(t)
	resources := p.TestResources(edit.Resources{})
	resources.Coder = nil
	rng := rand.New(rand.NewPCG(7, 7))
	made := map[string]int{}
	for i := range 6000 {
		var b strings.Builder
		for range 1 + rng.IntN(9) {
			b.WriteString(bits[rng.IntN(len(bits))])
		}
		ex := sdk.Example{ID: fmt.Sprint(i), Text: b.String()}
		var words = edit.Words(ex.Text)
		if len(words) > 0 && i%2 == 0 {
			w := words[rng.IntN(len(words))]
			ex.Labels = map[string]sdk.Label{"entities": {Spans: []sdk.Span{{Start: w.Start, End: w.End, Label: "ORG", EntityID: "m:1"}}}}
		}
		for _, r := range p.Rules {
			m := edit.Match{Start: 0, End: len(ex.Text)}
			if len(words) > 0 && rng.IntN(3) > 0 {
				w := words[rng.IntN(len(words))]
				m.Start, m.End = w.Start, w.End
			}
			seed := rng.Uint64()
			run := func() []edit.Edit {
				c := edit.Context{Rand: rand.New(rand.NewPCG(seed, 1)), Resources: resources, Lang: []string{"en", "zh", "", "de"}[i%4]}
				c.Reset(&ex)
				c.Begin(m)
				r.Action.Edit(&c)
				return append([]edit.Edit(nil), c.Edits()...)
			}
			edits := run()
			require.Equal(t, edits, run(), "%s %q", r.ID, ex.Text)
			sortEdits(edits)
			why := edit.Refusal(&ex, edits, func(string) bool { return true })
			if strings.Contains(why, "cuts through the") || strings.Contains(why, "the number of words") {
				continue // the match is random; the engine refuses these
			}
			require.Empty(t, why, "%s at %v of %q: %v", r.ID, m, ex.Text, edits)
			if len(edits) > 0 {
				made[r.Kind]++
				out := edit.Apply(&ex, edits, func(string) bool { return true })
				require.False(t, out.Check().HasErrors(), "%s %q -> %q: %s", r.ID, ex.Text, out.Text, out.Check())
			}
		}
	}
	for _, k := range []string{"swap.v0", "entity.v0", "number.v0", "abbreviate.v0", "expand.v0", "negate.v0", "noise.v0", "insert.v0", "delete.v0", "shuffle.v0", "mask.v0", "contrast.v0", "tokens.v0"} {
		require.Greater(t, made[k], 20, "%s hardly does anything", k)
	}
}

func sortEdits(edits []edit.Edit) {
	for i := range edits {
		for j := i; j > 0 && edit.Compare(edits[j], edits[j-1]) < 0; j-- {
			edits[j], edits[j-1] = edits[j-1], edits[j]
		}
	}
}

// Each wrong do block is one diagnostic that names the remedy.
func TestWrongParams(t *testing.T) {
	for do, want := range map[string]string{
		"{kind: swap.v0, lst: a}":                                                `did you mean "list"`,
		"{kind: swap.v0, list: wrds}":                                            `did you mean "words"`,
		"{kind: swap.v0, list: words, thesaurus: true}":                          "exclude each other",
		"{kind: swap.v0}":                                                        "where its new words come from",
		"{kind: number.v0, what: amonut}":                                        `did you mean "amount"`,
		"{kind: number.v0, by: 3}":                                               "out of range",
		"{kind: number.v0, convert: furlong}":                                    "no unit that is known",
		"{kind: noise.v0, how: width}":                                           "to: half or to: full",
		"{kind: noise.v0, how: tpyo}":                                            `did you mean "typo"`,
		"{kind: template.v0, text: 'a {firm}'}":                                  "firm",
		"{kind: template.v0, text: x, slots: {a: {with: [b]}}}":                  "no template has the slot",
		"{kind: template.v0, text: '{a}', slots: {a: {with: [b], list: words}}}": "2 ways to be filled",
		"{kind: entity.v0, graph: same sort}":                                    "no clause of a query",
		"{kind: entity.v0, graph: type Drug}":                                    "picks no other entity",
		"{kind: contrast.v0, list: words}":                                       "which label changes",
		"{kind: abbreviate.v0, list: single}":                                    "has no long form",
		"{kind: delete.v0, group: verb}":                                         "no value of group",
		"{kind: shuffle.v0, swap: 2, sentences: true}":                           "exclude each other",
		"{kind: mixup.v0, alpha: 0}":                                             "out of range",
		"{kind: mixup.v0, layer: hidden}":                                        "layer",
		"{kind: regex.v0, with: x}":                                              "does not work on a match by literal",
		"{kind: code.v0}":                                                        "func",
		"{kind: insert.v0, text: x, count: 2, share: 0.5}":                       "exclude each other",
	} {
		_, ds := augment.Load(fstest.MapFS{
			"pack.yaml": {Data: []byte("schema: islm/pack.v1\nname: wrong\nversion: 0.1.0\nsummary: Wrong rules.\nlicence: Apache-2.0\n")},
			"rules/a.yaml": {Data: []byte("schema: islm/rules.v1\nlists: {words: [[a, b]], single: [x]}\nrules:\n  - id: r\n    match: {literal: a}\n    do: " + do +
				"\n    labels: {keep: all}\n")},
		}, augment.LoadOptions{})
		require.True(t, ds.HasErrors(), "%s", do)
		require.Contains(t, strings.ReplaceAll(ds.String(), "and to: half or full", "to: half or to: full"), want, "%s", do)
		require.Equal(t, 6, max(ds[0].Line, 6), "%s", do)
	}
}

// coder answers for a plugin.
type coder struct {
	seeds []uint64
	fail  bool
}

func (k *coder) Run(_ context.Context, name string, params map[string]string, ex sdk.Example, seed uint64) ([]sdk.Example, error) {
	if k.fail {
		return nil, errors.New("no such function")
	}
	k.seeds = append(k.seeds, seed)
	ex.Text = name + " " + params["tail"] + " " + ex.Text
	return []sdk.Example{ex}, nil
}

func TestCode(t *testing.T) {
	p, ds := augment.Load(fstest.MapFS{
		"pack.yaml":    {Data: []byte("schema: islm/pack.v1\nname: coded\nversion: 0.1.0\nsummary: A function.\nlicence: Apache-2.0\n")},
		"rules/a.yaml": {Data: []byte("schema: islm/rules.v1\nrules:\n  - id: r\n    match: {text: true}\n    do: {kind: code.v0, func: twist, params: {tail: x}}\n    labels: {keep: all}\n")},
	}, augment.LoadOptions{})
	require.Empty(t, ds, "%s", ds)
	k := &coder{}
	e, ds := augment.NewEngine([]*augment.Pack{p}, augment.Options{Seed: 3, Resources: edit.Resources{Coder: k}})
	require.Empty(t, ds, "%s", ds)
	ex := sdk.Example{ID: "1", Text: "word"}
	require.Equal(t, "twist x word", e.Variant(&ex, augment.Draw{}).Text)
	require.Equal(t, "twist x word", e.Variant(&ex, augment.Draw{}).Text)
	require.Equal(t, k.seeds[0], k.seeds[1], "chance comes from the run, the rule and the example")
	e.Variant(&ex, augment.Draw{Epoch: 1})
	require.NotEqual(t, k.seeds[0], k.seeds[2])
	k.fail = true
	require.Equal(t, "word", e.Variant(&ex, augment.Draw{}).Text)
}
