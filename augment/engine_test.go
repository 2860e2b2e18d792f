package augment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

func TestMatches(t *testing.T) {
	marked := "[Acme Corp](ORG) and [Ann Lee](PER) rose 5 % on May 3."
	for _, c := range []struct{ name, match, in, want string }{
		{"literal in any case", `{literal: rose}`, "Rose rose ROSE", "X X X"},
		{"literal with case", `{literal: rose, fold: false}`, "Rose rose", "Rose X"},
		{"literal within a word", `{literal: rose}`, "primrose rosebud rose", "primrose rosebud X"},
		{"literal anywhere", `{literal: rose, words: false}`, "primrose", "primX"},
		{"the longest literal", `{literal: [interest rate, rate, rates]}`, "interest rates, interest rate, rate", "interest X, X, X"},
		{"Han has no words", `{literal: 利率}`, "今年利率上升", "今年X上升"},
		{"folding beyond ASCII", `{literal: ölpreis}`, "Der Ölpreis, der ÖLPREIS", "Der X, der X"},
		{"regex", `{regex: '\d+ ?%'}`, "5 % or 10%", "X or X"},
		{"regex in any case, with the letters that have three forms", `{regex: 'risk', fold: true}`, "RISK ri\u017f\u212a", "X X"},
		{"regex with branches", `{regex: 'ro(se|ses)\b|fell'}`, "rose fell", "X X"},
		{"list", `{list: ups}`, "Profit climbed, sales SURGED.", "Profit X, sales X."},
		{"entity", `{entity: ORG}`, marked, "[X](ORG) and [Ann Lee](PER) rose 5 % on May 3."},
		{"any entity", `{entity: "*"}`, marked, "[X](ORG) and [X](PER) rose 5 % on May 3."},
		{"last word of a span", `{part: {of: PER, which: last}}`, marked, "[Acme Corp](ORG) and [Ann X](PER) rose 5 % on May 3."},
		{"words of a span", `{part: {of: ORG}}`, marked, "[X X](ORG) and [Ann Lee](PER) rose 5 % on May 3."},
		{"words", `{word: true, min: 3}`, "It rose a lot", "It X a X"},
		{"words but some", `{word: true, except: ups}`, "It rose", "X rose"},
		{"text", `{text: true}`, "It rose.", "X"},
		{"either", `{any: [{literal: rose}, {regex: '5'}]}`, "rose 5", "X X"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := engine(t, "rules:\n  - id: a\n    match: "+c.match+"\n    do: {kind: put.v0, with: X}\n    labels: {keep: all}\n", Options{})
			tc := TestCase{In: c.in}
			ex := tc.Example()
			assert.Equal(t, c.want, tc.show(e.Variant(&ex, Draw{})))
		})
	}
}

func TestGraphMatches(t *testing.T) {
	g := NewMemoryGraph([]sdk.Entity{
		{ID: "a", Type: "Company", Names: []string{"Acme", "Acme Corp"}}, {ID: "b", Type: "Company", Names: []string{"Borealis"}},
		{ID: "c", Type: "City", Names: []string{"Oslo"}},
	}, []sdk.Fact{{Subject: "a", Relation: "rival", Object: "b"}})
	for _, c := range []struct{ query, want string }{
		{"type Company", "X and X in Oslo"},
		{"type Company, object of rival", "X and Borealis in Oslo"},
		{"type Company, a synonym", "X and Borealis in Oslo"},
		{"type City, same type, not a synonym", "Acme Corp and Borealis in Oslo"},
	} {
		e := engine(t, fmt.Sprintf("rules:\n  - id: a\n    match: {kg: %q}\n    do: {kind: put.v0, with: X}\n    labels: {keep: all}\n", c.query), Options{Resources: edit.Resources{Graph: g}})
		ex := sdk.Example{Text: "Acme Corp and Borealis in Oslo"}
		assert.Equal(t, c.want, e.Variant(&ex, Draw{}).Text, c.query)
	}
	p, ds := loadTest(t, "rules:\n  - id: a\n    match: {kg: type City}\n    do: {kind: put.v0, with: X}\n    labels: {keep: all}\n")
	require.Empty(t, ds)
	e, ds := NewEngine([]*Pack{p}, Options{})
	assert.Equal(t, 0, e.Rules())
	require.Len(t, ds, 1)
	assert.Equal(t, sdk.Warning, ds[0].Severity)
	assert.Contains(t, ds[0].Summary, "knowledge graph")
}

func TestConditions(t *testing.T) {
	ex := classified("Profit rose 5 %, sales rose.", "positive")
	ex.Meta = map[string]string{"source": "wire"}
	score := 2.0
	ex.Labels["score"] = sdk.Label{Number: &score}
	for _, c := range []struct {
		where string
		want  bool
	}{
		{`labels.sentiment == "positive"`, true},
		{`labels.sentiment == "negative"`, false},
		{`labels.absent == ""`, true},
		{`match.before endsWith "Profit "`, true},
		{`match.text == "rose" and match.start > 100`, false},
		{`meta.source in ["wire", "blog"] and lang == "en"`, true},
		{`numbers.score > 1.5 and words > 3`, true},
		{`any(spans, {.label == "ORG"})`, false},
		{`text matches "[0-9]+ %"`, true},
		{`in_list("ups", match.text)`, true},
		{`1 / (words - words) > 0 and spans[0].label == "x"`, false}, // fails while it runs
	} {
		e := engine(t, fmt.Sprintf("rules:\n  - id: a\n    match: {literal: rose}\n    where: '%s'\n    do: {kind: put.v0, with: X}\n    labels: {keep: all}\n", c.where), Options{})
		out := e.Variant(&ex, Draw{})
		assert.Equal(t, c.want, out != &ex, c.where)
	}
}

func TestLabels(t *testing.T) {
	rules := `rules:
  - id: a
    match: {literal: rose}
    do: {kind: put.v0, with: fell}
    labels: {keep: [topic], change: {sentiment: {positive: negative}}}
`
	e := engine(t, rules, Options{})
	ex := classified("Profit rose and sales rose.", "positive")
	ex.Labels["topic"] = sdk.Label{Values: []string{"results"}}
	ex.Labels["other"] = sdk.Label{Values: []string{"x"}}
	out := e.Variant(&ex, Draw{})
	assert.Contains(t, []string{"Profit fell and sales rose.", "Profit rose and sales fell."}, out.Text, "a label changes once")
	assert.Equal(t, map[string]sdk.Label{"sentiment": {Values: []string{"negative"}}, "topic": {Values: []string{"results"}}}, out.Labels)
	assert.Equal(t, "e1", out.Meta[ContrastKey])
	neutral := classified("Profit rose.", "neutral")
	assert.Same(t, &neutral, e.Variant(&neutral, Draw{}), "nothing is said of neutral")
	assert.Equal(t, "positive", ex.Labels["sentiment"].Values[0], "the example itself stays as it is")
}

func TestPriorityDecidesOverlaps(t *testing.T) {
	rules := `rules:
  - {id: low, match: {literal: interest rate}, do: {kind: put.v0, with: LOW}, labels: {keep: all}}
  - {id: high, match: {literal: rate}, priority: 5, do: {kind: put.v0, with: HIGH}, labels: {keep: all}}
  - {id: other, match: {literal: rose}, do: {kind: put.v0, with: fell}, labels: {keep: all}}
`
	e := engine(t, rules, Options{})
	ex := sdk.Example{ID: "x", Text: "The interest rate rose."}
	out, events := e.Explain(&ex, Draw{})
	assert.Equal(t, "The interest HIGH fell.", out.Text)
	var got []string
	for _, ev := range events {
		got = append(got, ev.Rule+" "+string(ev.Outcome))
	}
	assert.Equal(t, []string{"low overlapped", "high fired", "other fired"}, got)
	assert.Contains(t, events[0].Why, "trial/high")

	var edits []struct {
		Pack, Version, Rule string
		Edits               [][3]any
	}
	require.NoError(t, json.Unmarshal([]byte(out.Meta[ProvenanceKey]), &edits))
	require.Len(t, edits, 2)
	assert.Equal(t, "high", edits[0].Rule)
	assert.Equal(t, "0.1.0", edits[0].Version)
	assert.Equal(t, [3]any{13.0, 17.0, "HIGH"}, edits[0].Edits[0])
	assert.Equal(t, "x", out.Parent)
	assert.Equal(t, "x~1", out.ID)
	again := e.Variant(out, Draw{})
	assert.Same(t, out, again)
}

func TestDrawsDependOnNothingButTheirKeys(t *testing.T) {
	rules := `rules:
  - {id: a, match: {word: true}, probability: 0.3, max_per_example: 3, do: {kind: put.v0, with: [one, two, three, four]}, labels: {keep: all}}
  - {id: b, match: {literal: [rose, fell]}, probability: 0.5, do: {kind: put.v0, with: [moved, went]}, labels: {keep: all}}
`
	e := engine(t, rules, Options{Seed: 7})
	var data []sdk.Example
	for i := range 1500 {
		data = append(data, classified(fmt.Sprintf("Profit of unit %d rose while sales in region %d fell by a lot.", i, i%7), "neutral"))
		data[i].ID = fmt.Sprintf("id-%d", i)
	}
	all := func(opt ApplyOptions) (out []sdk.Example) {
		for ex, err := range e.Apply(context.Background(), each(data), opt) {
			require.NoError(t, err)
			out = append(out, ex)
		}
		return out
	}
	for _, mode := range []Mode{{}, {Add: 3}} {
		one := all(ApplyOptions{Mode: mode, Workers: 1})
		assert.Equal(t, one, all(ApplyOptions{Mode: mode, Workers: 7}), "workers")
		assert.NotEqual(t, one, all(ApplyOptions{Mode: mode, Workers: 2, Epoch: 1}), "epochs differ")
	}
	assert.Len(t, all(ApplyOptions{Mode: Mode{Add: 2}, All: true}), 3*len(data))
	// an example's variant does not depend on what came before it
	ex := data[700]
	alone := e.Variant(&ex, Draw{})
	assert.Equal(t, *alone, all(ApplyOptions{Workers: 3})[700])
	other := engine(t, rules, Options{Seed: 8})
	same := 0
	for i := range data {
		if other.Variant(&data[i], Draw{}).Text == e.Variant(&data[i], Draw{}).Text {
			same++
		}
	}
	assert.Less(t, same, len(data)/4, "seeds differ")
}

func each(data []sdk.Example) iter.Seq2[sdk.Example, error] {
	return func(yield func(sdk.Example, error) bool) {
		for _, ex := range data {
			if !yield(ex, nil) {
				return
			}
		}
	}
}

func TestErrorsOfTheStreamArePassedOn(t *testing.T) {
	e := engine(t, "rules:\n  - {id: a, match: {literal: rose}, do: {kind: put.v0, with: X}, labels: {keep: all}}\n", Options{})
	bad := errors.New("row 2")
	for _, workers := range []int{1, 3} {
		var got []string
		for ex, err := range e.Apply(context.Background(), func(yield func(sdk.Example, error) bool) {
			_ = yield(sdk.Example{ID: "1", Text: "rose"}, nil) && yield(sdk.Example{}, bad) && yield(sdk.Example{ID: "3", Text: "fell"}, nil)
		}, ApplyOptions{Workers: workers}) {
			if err != nil {
				got = append(got, err.Error())
				continue
			}
			got = append(got, ex.Text)
		}
		assert.Equal(t, []string{"X", "row 2", "fell"}, got)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		n := 0
		for _, err := range e.Apply(ctx, each(make([]sdk.Example, 10)), ApplyOptions{Workers: workers}) {
			assert.ErrorIs(t, err, context.Canceled)
			n++
		}
		assert.Equal(t, 1, n)
	}
}

func TestNoAllocationWhereNothingFires(t *testing.T) {
	rules := `rules:
  - {id: a, match: {literal: [rose, fell]}, do: {kind: put.v0, with: X}, labels: {keep: all}}
  - {id: b, match: {regex: '\d+ ?%'}, do: {kind: put.v0, with: X}, labels: {keep: all}}
  - {id: c, match: {list: ups}, probability: 0.000001, do: {kind: put.v0, with: X}, labels: {keep: all}}
  - {id: d, match: {entity: ORG}, do: {kind: put.v0, with: X}, labels: {keep: all}}
`
	e := engine(t, rules, Options{})
	for _, text := range []string{"The board met in Oslo in May and went home again.", "Sales surged and soared.", "公司今年的利润没有变化。"} {
		ex := classified(text, "neutral")
		st := e.newState() // the pool of Variant is not to be counted on under the race detector
		assert.Zero(t, testing.AllocsPerRun(200, func() { e.variant(st, &ex, Draw{}) }), text)
	}
}

func TestOutputIsBounded(t *testing.T) {
	long := make([]byte, 3000)
	for i := range long {
		long[i] = 'y'
	}
	e := engine(t, fmt.Sprintf("rules:\n  - {id: a, match: {literal: x}, do: {kind: put.v0, with: %s}, labels: {keep: all}}\n", long), Options{})
	ex := sdk.Example{ID: "1"}
	for range 200 {
		ex.Text += "x "
	}
	out := e.Variant(&ex, Draw{})
	assert.Less(t, len(out.Text), growth(len(ex.Text)))
	assert.Greater(t, len(out.Text), 2000)
}

func TestLargeListsAndManyLiterals(t *testing.T) {
	rules := "lists:\n  many:\n"
	for i := range largeList + 10 {
		rules += fmt.Sprintf("    - name%d\n", i)
	}
	rules += "rules:\n  - {id: a, match: {list: many}, do: {kind: put.v0, with: X}, labels: {keep: all}}\n"
	for i := range 1000 {
		rules += fmt.Sprintf("  - {id: r%d, match: {literal: [verb%d, %d-fold]}, do: {kind: put.v0, with: Y%d}, labels: {keep: all}}\n", i, i, i, i)
	}
	e := engine(t, rules, Options{})
	require.Len(t, e.big, 1)
	ex := sdk.Example{Text: "Name17 verb999 name5009, 3-fold name5010"}
	assert.Equal(t, "X Y999 X, Y3 name5010", e.Variant(&ex, Draw{}).Text)
}
