package share

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func packFS(version string, rules ...string) fstest.MapFS {
	return fstest.MapFS{
		"pack.yaml":       {Data: fmt.Appendf(nil, "schema: islm/pack.v1\nname: fx\nversion: %s\n", version)},
		"rules/all.yaml":  {Data: []byte("schema: islm/rules.v1\nrules:\n" + strings.Join(rules, ""))},
		"lists/words.tsv": {Data: []byte("up\tdown\n")},
	}
}

func rule(id, more string) string {
	return fmt.Sprintf("  - id: %s\n    match: {literal: up}\n    tests: {fires: [{in: up}], silent: [down]}\n%s", id, more)
}

func TestDiff(t *testing.T) {
	from := packFS("1.2.0", rule("same", ""), rule("gone", ""), rule("odds", "    probability: 0.5\n"), rule("tested", ""))
	to := packFS("1.2.1", rule("same", "    # a remark\n"), rule("odds", "    probability: 0.25\n"), rule("fresh", ""),
		"  - {id: tested, match: {literal: up}, tests: {fires: [{in: up}, {in: \"up up\"}], silent: [down]}}\n")
	to["rules/more.yaml"] = &fstest.MapFile{Data: []byte("schema: islm/rules.v1\nrules:\n" + rule("moved-in", ""))}
	to["lists/words.tsv"] = &fstest.MapFile{Data: []byte("up\tover\n")}
	d, err := Diff(from, to)
	require.NoError(t, err)
	want := &Difference{From: ID{Pack, "fx", "1.2.0"}, To: ID{Pack, "fx", "1.2.1"},
		Rules: []RuleChange{
			{Rule: "fresh", Change: Added, TestsAfter: 2, TestsChanged: true},
			{Rule: "gone", Change: Removed, TestsBefore: 2, TestsChanged: true},
			{Rule: "moved-in", Change: Added, TestsAfter: 2, TestsChanged: true},
			{Rule: "odds", Change: Changed, Fields: []string{"probability"}, TestsBefore: 2, TestsAfter: 2},
			{Rule: "tested", Change: Changed, TestsBefore: 2, TestsAfter: 3, TestsChanged: true},
		},
		Files: []FileChange{{"lists/words.tsv", Changed}}, Bump: "major", Advice: "the changes ask for version 2.0.0 or higher, it is 1.2.1"}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Fatal(diff)
	}
}

func TestBump(t *testing.T) {
	base := rule("a", "    probability: 0.5\n    labels: {keep: all}\n")
	readme := func(p fstest.MapFS, text string) fstest.MapFS {
		p["README.md"] = &fstest.MapFile{Data: []byte(text)}
		return p
	}
	for name, c := range map[string]struct {
		from, to     fstest.MapFS
		bump, advice string
	}{
		"nothing":             {packFS("1.0.0", base), packFS("1.0.0", base), "none", ""},
		"a rule moved":        {packFS("1.0.0", base, rule("b", "")), packFS("1.0.0", rule("b", ""), base), "none", ""},
		"readme":              {readme(packFS("1.0.0", base), "a"), readme(packFS("1.0.1", base), "b"), "patch", ""},
		"readme, no step":     {readme(packFS("1.0.0", base), "a"), readme(packFS("1.0.0", base), "b"), "patch", "1.0.1"},
		"probability":         {packFS("1.0.0", base), packFS("1.0.1", strings.Replace(base, "0.5", "0.6", 1)), "minor", "1.1.0"},
		"labels":              {packFS("1.0.0", base), packFS("2.0.0", strings.Replace(base, "keep: all", "keep: [x]", 1)), "major", ""},
		"labels before 1.0.0": {packFS("0.1.0", base), packFS("0.2.0", strings.Replace(base, "keep: all", "keep: [x]", 1)), "major", ""},
		"removed":             {packFS("1.0.0", base, rule("b", "")), packFS("1.1.0", base), "major", "2.0.0"},
		"older version":       {packFS("1.1.0", base), packFS("1.0.0", base, rule("b", "")), "minor", "1.2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Diff(c.from, c.to)
			require.NoError(t, err)
			assert.Equal(t, c.bump, d.Bump)
			assert.Equal(t, c.advice == "", d.Advice == "", d.Advice)
			assert.Contains(t, d.Advice, c.advice)
		})
	}
}

func TestDiffOfBrokenPacks(t *testing.T) {
	_, err := Diff(packFS("1.0.0", rule("a", ""), rule("a", "")), packFS("1.0.0"))
	assert.Equal(t, []string{"share.rule"}, codes(err))
	_, err = Diff(packFS("1.0.0"), packFS("1.0.0", "  - {id: b, x: [}\n"))
	assert.Equal(t, []string{"yaml.syntax"}, codes(err))
	_, err = Diff(packFS("1.0.0"), fstest.MapFS{})
	assert.Equal(t, []string{"share.pack"}, codes(err))
}
