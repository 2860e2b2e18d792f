package augment

import (
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/augment/kind"
	"github.com/islm-dev/islm/sdk"
)

// The kinds of these tests: small ones whose every step can be followed.

// put replaces the match by one of some texts.
type put struct {
	With edit.Names `yaml:"with" required:"true"`
}

func (p *put) Edit(c *edit.Context) {
	c.Replace(c.Match.Start, c.Match.End, p.With[c.Rand.IntN(len(p.With))])
}

// drop deletes the match.
type drop struct{}

func (drop) Edit(c *edit.Context) { c.Delete(c.Match.Start, c.Match.End) }

// chaos makes one to three edits of any sort at and around the match, many of
// which are impossible.
type chaos struct{}

func (chaos) Edit(c *edit.Context) {
	bits := []string{"", "x", " new", "new ", "Müller", "银行", "A-1", "two words", "\u0301", "🙂", " ", "'s"}
	for range 1 + c.Rand.IntN(3) {
		span := c.Match.End - c.Match.Start
		start := c.Match.Start - 2 + c.Rand.IntN(span+5)
		end := start + c.Rand.IntN(span+3)
		if c.Rand.IntN(3) == 0 {
			end = start
		}
		start, end = min(max(start, 0), len(c.Text)), min(max(end, 0), len(c.Text))
		for start > 0 && start < len(c.Text) && !utf8.RuneStart(c.Text[start]) {
			start--
		}
		for end < len(c.Text) && !utf8.RuneStart(c.Text[end]) {
			end++
		}
		end = max(start, end)
		text := bits[c.Rand.IntN(len(bits))]
		if c.Rand.IntN(4) == 0 {
			text += bits[c.Rand.IntN(len(bits))]
		}
		e := edit.Edit{Start: start, End: end, New: text}
		if strings.TrimSpace(text) == text && text != "" && text != "\u0301" && c.Rand.IntN(3) == 0 {
			e.Marks = []edit.Mark{{Head: "entities", Span: sdk.Span{Start: 0, End: len(text), Label: "NEW"}}}
		}
		c.Add(e)
	}
}

func testKinds() []edit.Kind {
	return append(kind.All(), []edit.Kind{
		{Name: "put.v0", New: func(b *edit.Build) edit.Action {
			var p put
			if !b.Decode(&p) {
				return nil
			}
			return &p
		}},
		{Name: "drop.v0", New: func(b *edit.Build) edit.Action {
			if !b.Decode(&struct{}{}) {
				return nil
			}
			return drop{}
		}},
		{Name: "chaos.v0", New: func(*edit.Build) edit.Action { return chaos{} }},
	}...)
}

const testManifest = `schema: islm/pack.v1
name: trial
version: 0.1.0
summary: Rules of the tests.
licence: Apache-2.0
lang: en
`

// loadTest loads a pack of one rule file, given without its schema.
func loadTest(t testing.TB, rules string) (*Pack, sdk.Diagnostics) {
	t.Helper()
	return Load(fstest.MapFS{
		"pack.yaml":     {Data: []byte(testManifest)},
		"rules/a.yaml":  {Data: []byte("schema: islm/rules.v1\n" + rules)},
		"lists/ups.tsv": {Data: []byte("# verbs of rising\nrose\tclimbed\nsoared\tsurged\n")},
	}, LoadOptions{Kinds: testKinds()})
}

// engine makes an engine of rules that must be in order.
func engine(t testing.TB, rules string, opt Options) *Engine {
	t.Helper()
	p, ds := loadTest(t, rules)
	require.Empty(t, ds, "%s", ds)
	e, ds := NewEngine([]*Pack{p}, opt)
	require.Empty(t, ds, "%s", ds)
	return e
}

func classified(text, label string) sdk.Example {
	return sdk.Example{ID: "e1", Text: text, Labels: map[string]sdk.Label{"sentiment": {Values: []string{label}}}}
}
