package augment

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

func TestProblemsOfRules(t *testing.T) {
	const before, after = "rules:\n  - {id: a, ", "}\n"
	for _, c := range []struct{ rule, code, want, remedy string }{
		{`match: {literl: rose}, do: {kind: put.v0, with: x}, labels: {keep: all}`, "yaml.unknown-key", "rules/a.yaml:3:21: unknown key \"literl\" in rules[0].match", `did you mean "literal"?`},
		{`match: {literal: rose, regex: x}, do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.match", "literal and regex, which exclude each other", "any:"},
		{`match: {}, do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.match", "does not say where it matches", "literal"},
		{`match: {regex: '(?=x)'}, do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.regex", "not valid", "RE2"},
		{`match: {regex: 'x*'}, do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.regex", "also matches the empty text", "at least one"},
		{`match: {list: upss}, do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.list", `no list called "upss"`, `did you mean "ups"?`},
		{`match: {kg: same type}, do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.query", "which entities", "type"},
		{`match: {kg: type X, nonsense}, do: {kind: put.v0, with: x}, labels: {keep: all}`, "yaml.unknown-key", "nonsense", ""},
		{`match: {part: {of: ORG, which: middle}}, do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.match", `"middle" is no part`, "inner"},
		{`match: {word: true, head: x}, do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.match", "head has no meaning for a match by word", "entity"},
		{`match: {word: true}, where: 'labls.x == "y"', do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.where", "unknown name labls", `did you mean "labels"?`},
		{`match: {word: true}, where: 'words', do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.where", "bool", ""},
		{`match: {word: true}, where: 'len(1..100000000) > 1', do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.where", "ranges", ""},
		{`match: {word: true}, where: 'any(spans, {any(spans, {.label == "x"})})', do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.where", "not nested", ""},
		{`match: {word: true}, where: 'text matches match.text', do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.where", "fixed regular expression", ""},
		{`match: {word: true}, where: 'in_list("downs", text)', do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.where", `no list called "downs"`, ""},
		{`match: {word: true}, where: 'map(spans, .label) == []', do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.where", "map", ""},
		{`match: {word: true}, do: {kind: putt.v0, with: x}, labels: {keep: all}`, "rules.kind", `unknown kind "putt.v0"`, `did you mean "put.v0"?`},
		{`match: {word: true}, do: {kind: put, with: x}, labels: {keep: all}`, "rules.kind", "has no version", "put.v0"},
		{`match: {word: true}, do: {kind: put.v0, wiht: x}, labels: {keep: all}`, "yaml.unknown-key", `unknown key "wiht" in rules[0].do`, `did you mean "with"?`},
		{`match: {word: true}, do: put.v0, labels: {keep: all}`, "yaml.missing", "with is missing", ""},
		{`match: {word: true}, do: {kind: put.v0, with: x}`, "rules.labels", "does not say what becomes of the labels", "keep: all"},
		{`match: {word: true}, do: {kind: put.v0, with: x}, labels: {keep: [s], change: {s: {a: b}}}`, "rules.labels", "both kept and changed", ""},
		{`match: {word: true}, probability: 1.5, do: {kind: put.v0, with: x}, labels: {keep: all}`, "rules.probability", "1.5", ""},
		{`match: {word: true}, do: {kind: put.v0, with: x}, labels: {keep: all}}` + "\n  - {id: a, match: {word: true}, do: drop.v0, labels: {keep: all}", "rules.duplicate", `two rules called "a"`, ""},
	} {
		p, ds := loadTest(t, before+c.rule+after)
		require.NotNil(t, p)
		found := false
		for _, d := range ds {
			s := d.String()
			if d.Code == c.code && strings.Contains(s, c.want) && strings.Contains(d.Remedy, c.remedy) {
				found = true
				assert.Equal(t, "rules/a.yaml", d.File)
				assert.Positive(t, d.Line, s)
			}
		}
		assert.True(t, found, "%s\nwant %s %s (%s)\ngot  %s", c.rule, c.code, c.want, c.remedy, ds)
		_, ds = NewEngine([]*Pack{p}, Options{})
		assert.True(t, ds.HasErrors(), "an engine is made of a pack with errors")
	}
}

func TestProblemsOfPacks(t *testing.T) {
	rule := "schema: islm/rules.v1\nrules:\n  - {id: a, match: {word: true}, do: drop.v0, labels: {keep: all}}\n"
	_, ds := Load(fstest.MapFS{
		"pack.yaml": {Data: []byte("schema: islm/pack.v1\nname: Bad Name\nversion: one\nsummary: x\nlicence: Apache-2.0\nrequires: {islm: \">=99.0.0\"}\n" +
			"rules: [rules/*.yaml, other/*.yaml]\nlists: {a: {file: ../secret.tsv}, b: {file: lists/empty.tsv}}\n")},
		"rules/a.yaml":    {Data: []byte(rule)},
		"lists/empty.tsv": {Data: []byte("# nothing\n")},
	}, LoadOptions{Kinds: testKinds(), Prefix: "mine"})
	text := ds.String()
	for _, want := range []string{
		`mine/pack.yaml:2:7: "Bad Name" is no name for a pack`, `"one" is no semantic version`, "the pack wants islm >=99.0.0", `"other/*.yaml" names no file`,
		`"../secret.tsv" is no path within the pack`, `the list "lists/empty.tsv" is empty`,
	} {
		assert.Contains(t, text, want)
	}
	p, ds := Load(fstest.MapFS{}, LoadOptions{})
	assert.Nil(t, p)
	assert.Contains(t, ds.String(), "manifest cannot be read")
}

func TestPacksOfPlugins(t *testing.T) {
	file := func(path, data string) sdk.RuleFile { return sdk.RuleFile{Path: path, Data: []byte(data)} }
	rule := "schema: islm/rules.v1\nrules:\n  - {id: %, match: {list: ups}, do: {kind: put.v0, with: x}, labels: {keep: all}}\n"
	ps, ds := FromPlugin("energy", "0.2.0", []sdk.RuleFile{
		file("rules/a.yaml", strings.Replace(rule, "%", "a", 1)), file("rules/ups.tsv", "rose\n"),
		file("shared/pack.yaml", strings.Replace(testManifest, "trial", "shared", 1)), file("shared/rules/b.yaml", strings.Replace(rule, "%", "b", 1)), file("shared/lists/ups.tsv", "fell\n"),
	}, LoadOptions{Kinds: testKinds()})
	require.Empty(t, ds, "%s", ds)
	require.Len(t, ps, 2)
	assert.Equal(t, "energy@0.2.0", ps[0].String())
	assert.Equal(t, "shared@0.1.0", ps[1].String())
	e, ds := NewEngine(ps, Options{})
	require.Empty(t, ds)
	ex := sdk.Example{Text: "rose and fell"}
	assert.Equal(t, "x and x", e.Variant(&ex, Draw{}).Text)
}

func TestDigestsFollowWhatRulesDo(t *testing.T) {
	digest := func(rules string) string {
		p, ds := loadTest(t, rules)
		require.Empty(t, ds, "%s", ds)
		return p.Rules[0].Digest
	}
	base := digest("rules:\n  - {id: a, match: {list: l}, do: {kind: put.v0, with: x}, labels: {keep: all}}\nlists: {l: [one]}\n")
	assert.Equal(t, base, digest("rules:\n  - {id: a, summary: said, match: {list: l}, do: {kind: put.v0, with: x}, labels: {keep: all}, tests: {silent: [none]}}\nlists: {l: [one]}\n"))
	assert.NotEqual(t, base, digest("rules:\n  - {id: a, match: {list: l}, do: {kind: put.v0, with: x}, labels: {keep: all}}\nlists: {l: [two]}\n"), "a list it names")
	assert.NotEqual(t, base, digest("rules:\n  - {id: a, match: {list: l}, do: {kind: put.v0, with: y}, labels: {keep: all}}\nlists: {l: [one]}\n"), "what it does")
}

const tested = `rules:
  - id: rises
    match: {literal: [rose, climbed]}
    where: lang == "en" and labels.topic != "law"
    do: {kind: put.v0, with: [grew, increased]}
    labels: {keep: [topic], change: {sentiment: {positive: negative}}}
    tests:
      fires:
        - {in: "Profit rose.", labels: {sentiment: positive}, out: [Profit grew., Profit increased.]}
        - {in: "Sales climbed.", labels: {sentiment: positive}, out: [Sales grew., Sales increased.]}
      silent:
        - {in: "Profit rose.", labels: {sentiment: positive, topic: law}}
        - {in: "Profit rose.", meta: {lang: de}, labels: {sentiment: positive}}
      labels:
        - {in: "Profit rose.", labels: {sentiment: positive, topic: results}, out: [Profit grew., Profit increased.], out_labels: {sentiment: negative, topic: results}}
`

func TestTestsInPacks(t *testing.T) {
	p, ds := loadTest(t, tested)
	require.Empty(t, ds, "%s", ds)
	rep := p.Test(TestOptions{NoMutants: true})
	assert.True(t, rep.OK(), rep.Diagnostics())
	assert.Len(t, rep.Results, 5)
	for _, c := range []struct{ old, with, want string }{
		{"out: [Sales grew., Sales increased.]", "out: [Sales grew.]", "fires[1]: the outcomes differ"},
		{"out: [Sales grew., Sales increased.]", "out: [Sales grew., Sales increased., Sales went.]", "fires[1]: the outcomes differ"},
		{"out: [Sales grew., Sales increased.]", "like: 'Sales g.*'", "fires[1]: an outcome is not like the one wanted"},
		{"Sales climbed.", "Sales fell.", "fires[1]: the rule does not fire"},
		{"labels: {sentiment: positive, topic: law}", "labels: {sentiment: positive}", "silent[0]: the rule fires"},
		{"out_labels: {sentiment: negative, topic: results}", "out_labels: {sentiment: positive, topic: results}", "labels[0]: the labels are {sentiment: negative; topic: results}"},
		{", out_labels: {sentiment: negative, topic: results}", "", "labels[0]: the case shows no labels"},
		{"        - {in: \"Profit rose.\", meta: {lang: de}, labels: {sentiment: positive}}\n", "", "has 1 of 2 tests in which it must not"},
	} {
		p, ds := loadTest(t, strings.Replace(tested, c.old, c.with, 1))
		require.Empty(t, ds, "%s", ds)
		rep := p.Test(TestOptions{NoMutants: true})
		assert.False(t, rep.OK(), c.with)
		assert.Contains(t, rep.Diagnostics().String(), c.want)
		raw, err := rep.JUnit()
		require.NoError(t, err)
		assert.Contains(t, string(raw), "<failure")
	}
}

// Every part of a rule that no test speaks of is found, and none that one does.
func TestMutantsLiveWhereTestsAreMissing(t *testing.T) {
	p, ds := loadTest(t, tested)
	require.Empty(t, ds)
	rep := p.Test(TestOptions{})
	assert.True(t, rep.OK(), rep.Diagnostics())
	// two literals, two clauses of the condition, one kept head, one change
	assert.Equal(t, 6, rep.Mutants)
	for _, c := range []struct{ old, with, want string }{
		{"literal: [rose, climbed]", "literal: [rose, climbed, advanced]", `without literal "advanced"`},
		{"match: {literal: [rose, climbed]}", "match: {regex: '\\b(rose|climbed|soared)\\b'}", "without the branch soared"},
		{"match: {literal: [rose, climbed]}", "match: {any: [{literal: [rose, climbed]}, {list: ups}, {regex: advanced}]}", "without alternative 3"},
		{`where: lang == "en" and`, `where: lang == "en" and words < 90 and`, "without the condition words < 90"},
		{`labels.topic != "law"`, `(labels.topic != "law" or words > 90)`, "without the condition words > 90"},
		{"keep: [topic]", "keep: [topic, other]", "without keep: other"},
		{"positive: negative}", "positive: negative, negative: positive}", "without the change of sentiment from negative"},
		{"match: {literal: [rose, climbed]}", "match: {literal: [rose, climbed], except: ups}", ""},
	} {
		changed := strings.Replace(tested, c.old, c.with, 1)
		require.NotEqual(t, tested, changed)
		p, ds := loadTest(t, changed)
		require.Empty(t, ds, "%s", ds)
		rep := p.Test(TestOptions{})
		if c.want == "" { // the exception makes the rule's own tests fail
			assert.Positive(t, rep.Failed())
			continue
		}
		assert.Contains(t, rep.Diagnostics().String(), c.want)
		for _, d := range rep.Diagnostics() {
			assert.Equal(t, "rules.mutant", d.Code, d)
		}
	}
}

func TestMarks(t *testing.T) {
	for _, s := range []string{"[Acme](ORG) rose", "a [b c](X#q1) d", "no marks", `\[Acme](ORG)`, "[x] and (y)", "[利率](RATE)上升", "[a](X)[b](Y)"} {
		text, spans := parseMarks(s)
		assert.Equal(t, s, writeMarks(text, spans))
		for _, sp := range spans {
			assert.NotEmpty(t, text[sp.Start:sp.End])
		}
	}
}

// A rule file must be read or refused, whatever is in it, and what was read must
// vary any text without harm.
func FuzzRules(f *testing.F) {
	f.Add([]byte(tested), "Profit rose.")
	f.Add([]byte(chainRules), "Müller AG 银行 12 %")
	f.Add([]byte("rules: [{id: a, match: {any: [{regex: 'a|b'}]}, do: drop.v0, labels: {keep: all}}]"), "ab")
	f.Fuzz(func(t *testing.T, rules []byte, text string) {
		p, ds := Load(fstest.MapFS{"pack.yaml": {Data: []byte(testManifest)}, "rules/a.yaml": {Data: append([]byte("schema: islm/rules.v1\n"), rules...)}}, LoadOptions{Kinds: testKinds()})
		if p == nil || ds.HasErrors() {
			return
		}
		e, _ := NewEngine([]*Pack{p}, Options{})
		ex := sdk.Example{ID: "x", Text: text, Labels: map[string]sdk.Label{"sentiment": {Values: []string{"a"}}}}
		if ex.Check().HasErrors() || edit.Blank(text) {
			return
		}
		if out := e.Variant(&ex, Draw{}); out != &ex {
			if err := sound(out); err != nil {
				t.Fatal(err)
			}
		}
	})
}
