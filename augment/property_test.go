package augment

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// outputs is how many outputs the property test makes. One million take some
// minutes; a build that runs on every commit makes fewer and says so.
var outputs = flag.Int("outputs", 20_000, "outputs of the property test")

// chainRules are rules that do every sort of harm they can, at all sorts of
// matches, with labels kept and dropped.
const chainRules = `lists:
  words: [[market, Markt, 市场], [银行, bank], [Müller, Mueller]]
rules:
  - {id: a, match: {word: true}, probability: 0.2, do: chaos.v0, labels: {keep: all}}
  - {id: b, match: {entity: "*"}, probability: 0.5, do: chaos.v0, labels: {keep: all}, priority: 1}
  - {id: c, match: {part: {of: "*"}}, probability: 0.3, do: chaos.v0, labels: {keep: all}}
  - {id: d, match: {list: words}, do: {kind: put.v0, with: [Alpha Beta, 公司, x]}, labels: {keep: all}, priority: 2}
  - {id: e, match: {regex: '\d+'}, do: {kind: put.v0, with: ["12", "1,000", "三"]}, labels: {keep: [entities, sentiment]}}
  - {id: f, match: {entity: ORG}, probability: 0.2, do: drop.v0, labels: {keep: [entities, spans, pos]}}
  - {id: g, match: {literal: [the, 的]}, do: drop.v0, labels: {keep: all, change: {sentiment: {a: b, b: a}}}}
  - {id: h, match: {text: true}, probability: 0.3, do: chaos.v0, labels: {keep: all}}
  - {id: swap, match: {list: words}, probability: 0.5, do: swap.v0, labels: {keep: all}, priority: 3}
  - {id: noise, match: {word: true}, probability: 0.2, do: {kind: noise.v0, how: [typo, ocr, case]}, labels: {keep: all}}
  - {id: shuffle, match: {text: true}, probability: 0.2, do: {kind: shuffle.v0, swap: 1}, labels: {keep: all}, priority: 1}
  - {id: segments, match: {text: true}, probability: 0.1, do: {kind: shuffle.v0, segments: 0.5}, labels: {keep: all}, priority: 4}
  - {id: insert, match: {text: true}, probability: 0.3, do: {kind: insert.v0, text: [";", new, 新的], share: 0.3}, labels: {keep: all}}
  - {id: delete, match: {text: true}, probability: 0.2, do: {kind: delete.v0, share: 0.2}, labels: {keep: [entities, spans, sentiment]}}
  - {id: mask, match: {part: {of: PER, which: last}}, probability: 0.5, do: mask.v0, labels: {keep: all}}
  - {id: entity, match: {entity: ORG}, probability: 0.3, do: {kind: entity.v0, list: words}, labels: {keep: all}, priority: 5}
  - {id: number, match: {regex: '\d+'}, probability: 0.5, do: number.v0, labels: {keep: all}, priority: 1}
  - {id: width, match: {word: true}, probability: 0.1, do: {kind: noise.v0, how: width, to: full}, labels: {keep: all}}
`

// invent makes an example: words of several scripts, spans that may nest, tags
// in one of the schemes or free ones.
func invent(rng *rand.Rand, id int) sdk.Example {
	vocabulary := []string{"the", "market", "rose", "12", "%", "Müller", "AG", "bank", "银行", "的", "利率", "上升", "Über", "naïve", "e\u0301tude", "🙂", "A.B.", "don't", "x-ray", ",", ".", "İstanbul", "ﬁrm"}
	n := 1 + rng.IntN(14)
	var words []string
	for range n {
		words = append(words, vocabulary[rng.IntN(len(vocabulary))])
	}
	ex := sdk.Example{ID: fmt.Sprint(id), Labels: map[string]sdk.Label{"sentiment": {Values: []string{string(rune('a' + rng.IntN(2)))}}}}
	var tokens []sdk.Token
	if rng.IntN(2) == 0 {
		ex.Text, tokens = sdk.JoinTokens(words)
	} else { // running text: no blanks within Chinese, or anywhere
		for i, w := range words {
			if i > 0 && rng.IntN(3) > 0 {
				ex.Text += " "
			}
			tokens = append(tokens, sdk.Token{Start: len(ex.Text), End: len(ex.Text) + len(w)})
			ex.Text += w
		}
	}
	types := []string{"ORG", "PER", "LOC"}
	if rng.IntN(3) > 0 {
		ex.Tokens = tokens
		tags := make([]string, n)
		for i := 0; i < n; i++ {
			tags[i] = "O"
			if rng.IntN(3) == 0 {
				typ := types[rng.IntN(3)]
				tags[i] = "B-" + typ
				for i+1 < n && rng.IntN(2) == 0 {
					i++
					tags[i] = "I-" + typ
				}
			}
		}
		if rng.IntN(3) == 0 {
			tags = bilou(tags)
		}
		ex.Labels["entities"] = sdk.Label{Tags: tags}
		if rng.IntN(3) == 0 {
			pos := make([]string, n)
			for i := range pos {
				pos[i] = []string{"NN", "VB"}[rng.IntN(2)]
			}
			ex.Labels["pos"] = sdk.Label{Tags: pos}
		}
	}
	if rng.IntN(2) == 0 {
		spans := []sdk.Span{}
		for range rng.IntN(4) {
			i := rng.IntN(n)
			j := i + rng.IntN(min(3, n-i))
			spans = append(spans, sdk.Span{Start: tokens[i].Start, End: tokens[j].End, Label: types[rng.IntN(3)], EntityID: "q"})
		}
		ex.Labels["spans"] = sdk.Label{Spans: spans}
	}
	return ex
}

func bilou(tags []string) []string {
	out := append([]string(nil), tags...)
	for i, t := range tags {
		last := i+1 == len(tags) || !strings.HasPrefix(tags[i+1], "I-")
		switch {
		case t[0] == 'B' && last:
			out[i] = "U" + t[1:]
		case t[0] == 'I' && last:
			out[i] = "L" + t[1:]
		}
	}
	return out
}

// legal reports whether tags are well-formed BIO, or BILOU if such tags occur.
func legal(tags []string) bool {
	scheme := ""
	for _, t := range tags {
		if t[0] == 'L' || t[0] == 'U' {
			scheme = "LU"
		}
	}
	open := ""
	for _, t := range tags {
		label := strings.TrimPrefix(t[1:], "-")
		switch t[0] {
		case 'O', 'B', 'U':
			if scheme != "" && open != "" {
				return false
			}
			open = ""
			if t[0] == 'B' {
				open = label
			}
		case 'I', 'L':
			if open != label {
				return false
			}
			if t[0] == 'L' {
				open = ""
			}
		default:
			return false
		}
	}
	return scheme == "" || open == ""
}

// sound checks everything that must hold of an output, whatever rules made it.
func sound(ex *sdk.Example) error {
	if !utf8.ValidString(ex.Text) || edit.Blank(ex.Text) {
		return fmt.Errorf("the text is %q", ex.Text)
	}
	if ds := ex.Check(); len(ds) > 0 {
		return fmt.Errorf("%s", ds)
	}
	for h, l := range ex.Labels {
		for _, s := range l.Spans {
			if strings.TrimSpace(ex.Text[s.Start:s.End]) == "" {
				return fmt.Errorf("a span of %s is blank", h)
			}
		}
		if l.Tags == nil {
			continue
		}
		if edit.EntityTags(l.Tags) {
			if !legal(l.Tags) {
				return fmt.Errorf("tags %v", l.Tags)
			}
		} else if len(l.Tags) != len(ex.Tokens) {
			return fmt.Errorf("%d free tags for %d tokens", len(l.Tags), len(ex.Tokens))
		}
	}
	for _, tok := range ex.Tokens {
		if strings.TrimSpace(ex.Text[tok.Start:tok.End]) != ex.Text[tok.Start:tok.End] {
			return fmt.Errorf("token %q", ex.Text[tok.Start:tok.End])
		}
	}
	return nil
}

// surfaces checks one step against a slow reading of the provenance: the text is
// that of the parent with the edits made, and a span that no edit touches has the
// same surface as before.
func surfaces(parent, out *sdk.Example, edits []edit.Edit) error {
	text, shift := parent.Text, 0
	for _, e := range edits {
		text = text[:e.Start+shift] + e.New + text[e.End+shift:]
		shift += len(e.New) - (e.End - e.Start)
	}
	if text != out.Text {
		return fmt.Errorf("the edits give %q, the text is %q", text, out.Text)
	}
	for h, l := range parent.Labels {
		after, ok := out.Labels[h]
		if !ok || l.Spans == nil {
			continue
		}
		for _, s := range l.Spans {
			touched, moved := false, 0
			for _, e := range edits {
				if e.Start < s.End && s.Start < e.End || e.Start == e.End && s.Start < e.Start && e.Start < s.End {
					touched = true
				}
				if e.End <= s.Start {
					moved += len(e.New) - (e.End - e.Start)
				}
			}
			if touched {
				continue
			}
			found := false
			for _, t := range after.Spans {
				found = found || t.Start == s.Start+moved && t.End == s.End+moved && t.Label == s.Label && out.Text[t.Start:t.End] == parent.Text[s.Start:s.End]
			}
			if !found {
				return fmt.Errorf("the %s %q is lost: %v", s.Label, parent.Text[s.Start:s.End], after.Spans)
			}
		}
	}
	return nil
}

func TestEveryOutputIsSound(t *testing.T) {
	if *outputs < 1_000_000 {
		t.Logf("%d outputs, since one million take minutes: go test ./augment -run EveryOutput -outputs 1000000", *outputs)
	}
	e := engine(t, chainRules, Options{Seed: 3, Bare: true})
	rng := rand.New(rand.NewPCG(1, 2))
	made, chained := 0, 0
	for id := 0; made < *outputs; id++ {
		ex := invent(rng, id)
		require.NoError(t, sound(&ex))
		for step := range 4 { // a chain: each output is varied again
			st := e.newState()
			out := e.variant(st, &ex, Draw{Epoch: step})
			if out == &ex {
				break
			}
			if err := sound(out); err != nil {
				t.Fatalf("example %d, step %d: %v\nbefore %+v\nafter  %+v\nedits  %+v", id, step, err, ex, *out, st.taken)
			}
			if err := surfaces(&ex, out, st.taken); err != nil {
				t.Fatalf("example %d, step %d: %v\nbefore %+v\nafter  %+v\nedits  %+v", id, step, err, ex, *out, st.taken)
			}
			if again := e.Variant(&ex, Draw{Epoch: step}); fmt.Sprint(*again) != fmt.Sprint(*out) {
				t.Fatalf("example %d, step %d: a second time it is %+v, not %+v", id, step, *again, *out)
			}
			made++
			if step > 0 {
				chained++
			}
			ex = *out
		}
	}
	require.Positive(t, chained)
	t.Logf("%d outputs, %d of them of outputs", made, chained)
}
