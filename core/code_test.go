package core

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/host"
	"github.com/islm-dev/islm/sdk/serve"
)

// TestMain makes the test binary also the plugin that the tests start.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-as=plugin" {
		os.Args = os.Args[:1]
		serve.Main(codeDomain())
		return
	}
	os.Exit(m.Run())
}

const codeRules = `schema: islm/rules.v1
rules:
  - {id: tag, match: {regex: "row [0-9]*[02468]$"}, probability: 0.6, do: {kind: code.v0, func: dice, params: {word: odd}}, labels: {keep: all}}
  - {id: tail, match: {text: true}, probability: 0.3, do: {kind: code.v0, func: dice, params: {word: tail}}, labels: {keep: all}}
  - {id: swap, match: {literal: row}, probability: 0.5, do: {kind: swap.v0, with: line}, labels: {keep: all}}
  - {id: bad, match: {text: true}, do: {kind: code.v0, func: mislabel}, labels: {keep: all}}
  - {id: span, match: {text: true}, do: {kind: code.v0, func: misplace}, labels: {keep: all}}
  - {id: drop, match: {text: true}, do: {kind: code.v0, func: unlabel}, labels: {keep: all}}
  - {id: dies, match: {text: true}, do: {kind: code.v0, func: dies}, labels: {keep: all}}
`

func codeDomain() sdk.Domain {
	one := func(change func(*sdk.Example)) sdk.Augmenter {
		return func(_ context.Context, ex sdk.Example, _ *rand.Rand) ([]sdk.Example, error) {
			ex.Text += " changed"
			change(&ex)
			return []sdk.Example{ex}, nil
		}
	}
	return sdk.Domain{
		FS: fstest.MapFS{
			"domain.yaml":  {Data: []byte("schema: islm/domain.v0\nname: coded\nversion: 1.0.0\nsummary: Rules with functions.\nheads:\n  - {name: label, kind: classify.v0, labels: [a, b]}\n")},
			"rules/r.yaml": {Data: []byte(codeRules)},
		},
		Augmenters: map[string]sdk.Augmenter{
			"dice": func(ctx context.Context, ex sdk.Example, rng *rand.Rand) ([]sdk.Example, error) {
				ex.Text = fmt.Sprintf("%s %s %d", sdk.Param(ctx, "word"), ex.Text, rng.IntN(1000))
				return []sdk.Example{ex}, nil
			},
			"mislabel": one(func(ex *sdk.Example) { ex.Labels = map[string]sdk.Label{"label": {Values: []string{"c"}}} }),
			"misplace": one(func(ex *sdk.Example) {
				ex.Labels = map[string]sdk.Label{"label": {Values: []string{"a"}, Spans: []sdk.Span{{Start: 0, End: 999, Label: "X"}}}}
			}),
			"unlabel": one(func(ex *sdk.Example) { ex.Labels = nil }),
			"dies":    func(context.Context, sdk.Example, *rand.Rand) ([]sdk.Example, error) { os.Exit(7); return nil, nil },
		},
	}
}

// codePlugin starts the test binary as a plugin.
func codePlugin(t *testing.T) plugins {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	h, err := host.Launch(t.Context(), host.Config{Path: exe, Name: "coded", Args: []string{"-as=plugin"}, Dev: true})
	require.NoError(t, err)
	t.Cleanup(h.Close)
	require.Empty(t, h.Description().Diagnostics)
	_, err = h.Configure(t.Context(), nil)
	require.NoError(t, err)
	return plugins{{host: h, entry: catalog.Entry{Path: exe}, about: h.Description()}}
}

var codeHeads = []sdk.HeadSpec{{Name: "label", Kind: sdk.KindClassify, Labels: []string{"a", "b"}}}

func codeRows(n int) (rows []sdk.Example) {
	for i := range n {
		rows = append(rows, sdk.Example{ID: fmt.Sprint(i), Text: fmt.Sprintf("row %d", i), Labels: map[string]sdk.Label{"label": {Values: []string{"ab"[i%2 : i%2+1]}}}})
	}
	return rows
}

// codeRun opens the rules of the test plugin without some and makes the variants.
func codeRun(t *testing.T, home string, variants int, rows []sdk.Example, mode string, without ...string) (*rules, sdk.Diagnostics, error) {
	t.Helper()
	ps := codePlugin(t)
	defer ps.close() // training has no plugins
	r, ds, err := openRules(t.Context(), &recipe.Plan{Seed: 5, Augment: recipe.AugmentPlan{Packs: []string{"coded"}, Mode: mode, Without: without}}, ps, home)
	require.NoError(t, err)
	require.Empty(t, ds, "%s", ds)
	ds, err = r.makeCode(t.Context(), codeRequest{heads: codeHeads, train: rows, variants: variants, home: filepath.Join(home, "stages", "code")})
	return r, ds, err
}

var broken = []string{"bad", "span", "drop", "dies"}

// epochs are the texts of two epochs as the loader gives them, from a batch on.
func epochs(t *testing.T, r *rules, rows []sdk.Example, from int) (texts []string) {
	t.Helper()
	dir := t.TempDir()
	vocab := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "row", "line", "odd", "tail"}
	for c := '0'; c <= '9'; c++ {
		vocab = append(vocab, string(c), "##"+string(c))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte(strings.Join(vocab, "\n")+"\n"), 0o644))
	tok, err := token.Load(dir)
	require.NoError(t, err)
	plan, ds := recipe.Resolve(recipe.Sources{Sets: []string{"train.batch_size=10"}})
	require.Empty(t, ds)
	c := &corpus.Corpus{Heads: codeHeads, Train: rows}
	set, err := c.Build(t.Context(), corpus.BuildRequest{Plan: plan, Tokenizer: tok, MaxLength: 32})
	require.NoError(t, err)
	l := corpus.NewLoader(set.Train, plan, 32)
	require.NoError(t, r.vary(l, &corpus.Encoder{Tokenizer: tok, MaxLength: 32, Heads: codeHeads}, rows))
	for epoch := range 2 {
		for b, err := range l.Epoch(t.Context(), epoch, from) {
			require.NoError(t, err)
			for i, row := range b.Rows {
				require.True(t, row.Targets[0].Has)
				require.EqualValues(t, b.Index[i]%2, row.Targets[0].Class)
				texts = append(texts, row.ID+" "+strings.Join(tok.Pieces(row.IDs), " "))
			}
		}
	}
	return texts
}

// A run shows what a plugin's functions made before training, the same for any
// number of workers, from kept variants, and from a later batch on.
func TestCodeRulesInTraining(t *testing.T) {
	rows, home := codeRows(100), t.TempDir()
	r, ds, err := codeRun(t, home, 3, rows, "add: 2", broken...)
	require.NoError(t, err)
	require.Empty(t, ds, "%s", ds)
	require.Len(t, r.code, 2)
	require.Len(t, r.code[0].made, 50, "the regular expression wants even rows")
	require.Len(t, r.code[1].made, 100)
	for _, x := range r.code[1].made["7"] {
		require.Equal(t, "7", x.Parent)
	}
	require.Len(t, r.code[1].made["7"], 3)

	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	one := epochs(t, r, rows, 0)
	runtime.GOMAXPROCS(4)
	require.Equal(t, one, epochs(t, r, rows, 0))
	require.Len(t, one, 600)
	count := map[string]int{}
	drawn := map[string]map[string]bool{}
	for _, text := range one {
		for _, word := range []string{"odd", "tail", "line"} {
			if strings.Contains(text, word) {
				count[word]++
			}
		}
		if strings.Contains(text, "tail") && strings.Contains(text, "line") {
			count["both"]++
		}
		if id, what, _ := strings.Cut(text, "~"); strings.Contains(what, "tail row") {
			if drawn[id] == nil {
				drawn[id] = map[string]bool{}
			}
			drawn[id][what[1:]] = true // without the number of the copy
		}
	}
	// Of 400 variants those of even rows have odd with 0.6, where tail (0.3) does
	// not take its place; half of all have line.
	require.InDelta(t, 400*0.5*(0.6*0.7+0.6*0.3/2), count["odd"], 35)
	require.InDelta(t, 400*(0.5*0.3+0.5*(0.4*0.3+0.6*0.3/2)), count["tail"], 35)
	require.InDelta(t, 200, count["line"], 45)
	require.Positive(t, count["both"], "other rules vary what a function made")

	several := 0
	for _, of := range drawn {
		require.LessOrEqual(t, len(of), 3)
		if len(of) > 1 {
			several++
		}
	}
	require.Positive(t, several, "the epochs draw among the variants")

	again, ds, err := codeRun(t, home, 3, rows, "add: 2", broken...)
	require.NoError(t, err)
	require.Empty(t, ds, "%s", ds)
	for _, s := range again.stages {
		require.True(t, s.Reused, "%+v", s)
	}
	require.Equal(t, r.digests(), again.digests())
	require.Equal(t, one, epochs(t, again, rows, 0))
	late := epochs(t, again, rows, 20)
	require.Equal(t, one[200:300], late[:100])
	require.Equal(t, one[500:], late[100:])

	// Damage, another count, other rows: made anew.
	files, err := filepath.Glob(filepath.Join(home, "stages", "code", "*"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, f := range files {
		require.NoError(t, os.Truncate(f, 100))
	}
	fresh, ds, err := codeRun(t, home, 3, rows, "add: 2", broken...)
	require.NoError(t, err)
	require.Empty(t, ds, "%s", ds)
	require.False(t, fresh.stages[len(fresh.stages)-1].Reused)
	require.Equal(t, one, epochs(t, fresh, rows, 0))
	other, _, err := codeRun(t, home, 1, rows, "replace", broken...)
	require.NoError(t, err)
	require.NotEqual(t, r.digests(), other.digests())
	require.Len(t, epochs(t, other, rows, 0), 200)

	// What is made of an example does not depend on those beside it.
	few, _, err := codeRun(t, home, 3, rows[40:60], "replace", broken...)
	require.NoError(t, err)
	require.Equal(t, r.code[1].made["47"], few.code[1].made["47"])
}

// What a function makes wrong ends the run with the rule's name; a label that it
// leaves out is a warning; a plugin that dies is told as such.
func TestCodeRulesThatFail(t *testing.T) {
	rows := codeRows(12)
	run := func(only string) (sdk.Diagnostics, error) {
		var without []string
		for _, id := range append([]string{"tag", "tail"}, broken...) {
			if id != only {
				without = append(without, id)
			}
		}
		_, ds, err := codeRun(t, t.TempDir(), 1, rows, "replace", without...)
		return ds, err
	}
	ds, err := run("bad")
	require.NoError(t, err)
	require.Len(t, ds, maxCodeErrors+1)
	require.Equal(t, "augment.code", ds[0].Code)
	require.Contains(t, ds[0].Summary, `rule coded/bad: what function mislabel made of example "0" cannot be used: head "label" has no label "c"`)
	require.Contains(t, ds[0].Remedy, "augment.without=coded/bad")
	require.Contains(t, ds[maxCodeErrors].Summary, "2 more variants")

	ds, err = run("span")
	require.NoError(t, err)
	require.True(t, ds.HasErrors())
	require.Contains(t, ds.String(), "999")

	ds, err = run("drop")
	require.NoError(t, err)
	require.Len(t, ds, 1)
	require.Equal(t, sdk.Warning, ds[0].Severity)
	require.Contains(t, ds[0].Summary, `12 of 12 variants have no label for head "label"`)

	_, err = run("dies")
	var de *sdk.DiagnosticsError
	require.True(t, errors.As(err, &de), "%v", err)
	require.Equal(t, "plugin.crashed", de.Diagnostics[0].Code)
	require.Contains(t, de.Diagnostics[0].Summary, `during Augment (augmenter "dies")`)
}
