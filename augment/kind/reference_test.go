package kind_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/kind"
)

var update = flag.Bool("update", false, "write docs/rules-kinds.md")

const page = "../../docs/rules-kinds.md"

func reference(t *testing.T) *augment.Pack {
	t.Helper()
	p, ds := augment.LoadDir("testdata/reference", augment.LoadOptions{})
	require.Empty(t, ds, "%s", ds)
	return p
}

// The examples of the reference are rules with tests: all outcomes of each text.
func TestReferenceExamples(t *testing.T) {
	rep := reference(t).Test(augment.TestOptions{NoMutants: true})
	for _, r := range rep.Results {
		if r.Failure != "" {
			t.Errorf("%s %s (line %d): %s\n%s", r.Rule, r.Name, r.Line, r.Failure, r.Detail)
		}
		require.Empty(t, r.Skipped, "%s", r.Rule)
	}
}

// keeps says what each kind leaves as it is. A kind without an entry fails the test.
var keeps = map[string]string{
	"swap.v0":       "The meaning, as far as the list or thesaurus vouches for it; the label and place of a span that is the match; inflection, capitals, and a or an in front.",
	"entity.v0":     "The label of every mention, the sort of its name (full, short, ticker), capitals of headlines. Linked spans point at the new entity, or at none where the list gives no ID.",
	"template.v0":   "The spans within groups and the match. Slots with a label become spans; a head that the example has no label for is added where the template replaces the whole text.",
	"number.v0":     "Digits before the decimal point, decimals, separators, round figures, currency, scale words, unit, percent sign, the writing and validity of dates, distances between dates, the order of numbers of one sort. Equal numbers change alike.",
	"abbreviate.v0": "The thing that is named. A definition in brackets behind the long form goes.",
	"expand.v0":     "The thing that is named. A short form in brackets behind its long form stays.",
	"negate.v0":     "Everything but the polarity: tense and person move to do, does, did and back. What the label becomes is said by the rule.",
	"noise.v0":      "Meaning and labels; digits, except for ocr, width and case. Errors leave the first letter of a word alone unless told otherwise.",
	"code.v0":       "What the function keeps; the engine refuses examples whose spans do not fit. In training what it makes is made beforehand, `augment.code_variants` times for each example.",
	"insert.v0":     "Labelled spans, which it does not enter unless told to.",
	"delete.v0":     "Labelled spans, when it deletes by share; blanks, commas and the capital of the sentence are put right.",
	"shuffle.v0":    "Words in labelled spans stay in place (segments shuffles within them); sentences take their spans along.",
	"mask.v0":       "The labels of what it hides.",
	"contrast.v0":   "Inflection, capitals, and a or an in front. The rule must change a label.",
	"regex.v0":      "The spans that lie wholly in a group.",
	"tokens.v0":     "The label of every word.",
	"mention.v0":    "The label of the mention.",
	"mixup.v0":      "The text: the trainer mixes what the embedding layer makes of it. With a share s drawn from Beta(alpha, alpha), an example counts as s of itself and 1-s of another of the same optimizer step, and so does its loss (Zhang et al. 2018; Guo, Mao and Zhang 2019). For heads that classify a text or a pair.",
	"label.v0":      "Everything.",
}

// The reference is made from the kinds, the tags of their parameters and the
// examples; it must not differ from the page.
func TestReferencePage(t *testing.T) {
	p := reference(t)
	var b strings.Builder
	b.WriteString("# What rules can do\n\nThe kinds of `do`, made from the code and from rules that are tested (`go test ./augment/kind -update` writes this page). Every kind is `v0`\nuntil 1.0. A key that a kind does not have is an error that names the nearest one. Chance comes from the run's seed, the rule and the example's ID alone.\n")
	for _, k := range kind.All() {
		require.NotEmpty(t, keeps[k.Name], "%s", k.Name)
		fmt.Fprintf(&b, "\n## %s\n\n%s%s.\n\nKeeps: %s\n", k.Name, strings.ToUpper(k.Help[:1]), k.Help[1:], keeps[k.Name])
		if params := kind.Params(k.Name); len(params) > 0 {
			b.WriteString("\n| key | value | meaning |\n|---|---|---|\n")
			for _, x := range params {
				require.NotEmpty(t, x.Doc, "%s %s", k.Name, x.Name)
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", x.Name, x.Type, strings.ReplaceAll(x.Doc, "|", "\\|"))
			}
		}
		examples(t, &b, p, k.Name)
	}
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String(), "refresh with -update")
}

// examples shows the rules of a kind and what they make of texts.
func examples(t *testing.T, b *strings.Builder, p *augment.Pack, name string) {
	for _, r := range p.Rules {
		if r.Kind != name {
			continue
		}
		fmt.Fprintf(b, "\n%s\n\n```yaml\n%s```\n", r.Summary, source(t, r.File, r.ID))
		if len(r.Tests.Fires) == 0 {
			continue
		}
		b.WriteString("\n| text | becomes |\n|---|---|\n")
		for _, c := range r.Tests.Fires {
			out := slices.Clone([]string(c.Out))
			if c.Like != "" {
				out = []string{"such as " + c.Like}
			}
			if len(out) == 0 {
				out = []string{c.In} // changed in the trainer
			}
			for i, o := range out {
				out[i] = "`" + strings.ReplaceAll(o, "|", "\\|") + "`"
			}
			fmt.Fprintf(b, "| `%s` | %s |\n", c.In, strings.Join(out, ", "))
		}
	}
}

// source cuts match and do of a rule out of its file.
func source(t *testing.T, file, id string) string {
	data, err := os.ReadFile(filepath.FromSlash(file))
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(data), "- id: "+id+"\n")
	require.True(t, ok, "%s", id)
	rest, _, _ = strings.Cut(rest, "    tests:\n")
	rest, _, _ = strings.Cut(rest, "  - id: ")
	var b strings.Builder
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(strings.TrimSpace(line), "summary:") {
			b.WriteString(strings.TrimPrefix(line, "    "))
		}
	}
	return b.String()
}
