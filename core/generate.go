package core

import (
	"fmt"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// writer is the number of the head that writes texts, -1 for none.
func (b *Bundle) writer() int {
	return slices.IndexFunc(b.Heads, func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindGenerate })
}

// Set changes keys of the model's plan, as --set does. Only what prediction reads
// has an effect.
func (b *Bundle) Set(sets []string) error {
	if len(sets) == 0 {
		return nil
	}
	plan, ds := recipe.Resolve(recipe.Sources{File: &recipe.File{Name: "plan.yaml of " + b.Dir, Data: b.Plan.YAML()}, Sets: sets})
	if err := ds.Err(); err != nil {
		return err
	}
	if b.writer() < 0 {
		for _, s := range sets {
			if key, _, _ := strings.Cut(s, "="); strings.HasPrefix(key, "generate.") {
				ds.Errorf("model.generate", "%s says how text is written, and no head of %s writes any (its heads: %s)", key, b.Dir, strings.Join(headNames(b.Heads), ", "))
			}
		}
		if err := ds.Err(); err != nil {
			return err
		}
	}
	b.Plan = plan
	return nil
}

// leastPrompt is how many ids a prompt must be able to have.
const leastPrompt = 4

// generation is what the engine must know to write texts; nil when no head does.
func (b *Bundle) generation() (*recipe.Generation, error) {
	if b.writer() < 0 {
		return nil, nil
	}
	g := &recipe.Generation{GeneratePlan: b.Plan.Generate, Seed: b.Plan.Seed, End: slices.Clone(b.Config.EndTokens)}
	if room := b.positions() - g.MaxNewTokens; room < leastPrompt {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "generate.length", Path: "generate.max_new_tokens", Summary: fmt.Sprintf("%d new tokens leave no room for a prompt: the model has positions for %d tokens", g.MaxNewTokens, b.positions()),
			Remedy: fmt.Sprintf("set generate.max_new_tokens (--max-new-tokens) to at most %d", b.positions()-leastPrompt)}}.Err()
	}
	for _, role := range []string{"eos", "sep"} {
		if id, ok := b.Tokenizer.Special(role); ok {
			if !slices.Contains(g.End, id) {
				g.End = append(g.End, id)
			}
			break
		}
	}
	if stops := b.stops(); len(stops) > 0 {
		g.Stopped = func(ids []int32) bool {
			_, found := cutAt(b.Tokenizer.Decode(ids, true), stops)
			return found
		}
	}
	return g, nil
}

// stops are the texts of generate.stop.
func (b *Bundle) stops() []string {
	out := make([]string, len(b.Plan.Generate.Stop))
	for i, s := range b.Plan.Generate.Stop {
		out[i] = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(s)
	}
	return out
}

// cutAt ends a text before the first of some stops.
func cutAt(text string, stops []string) (string, bool) {
	found := false
	for _, s := range stops {
		if i := strings.Index(text, s); i >= 0 {
			text, found = text[:i], true
		}
	}
	return text, found
}

// text is what a head wrote.
func (b *Bundle) text(g *recipe.Generated) string {
	text, _ := cutAt(b.Tokenizer.Decode(g.IDs, true), b.stops())
	return text
}

// promptLength is the number of ids that the model sees of one text before it
// writes, or answers.
func (b *Bundle) promptLength() int {
	n := b.maxLength()
	if b.writer() < 0 {
		return n
	}
	room := b.positions() - b.Plan.Generate.MaxNewTokens
	if !b.Own {
		return room // nobody trained it on shorter rows
	}
	return min(n, room)
}

// scoreTexts holds what a head wrote against the texts of the data, beside the
// perplexity of those.
func (b *Bundle) scoreTexts(reports map[string]*metric.Report, examples []sdk.Example, preds []recipe.Prediction) error {
	at := b.writer()
	if at < 0 || reports[b.Heads[at].Name] == nil {
		return nil
	}
	var said []string
	var wanted [][]string
	chinese := 0
	for i := range examples {
		l, ok := examples[i].Labels[b.Heads[at].Name]
		g := preds[i].Heads[at].Generated
		if !ok || g == nil {
			continue
		}
		var references []string
		for _, v := range l.Values {
			references = append(references, strings.TrimSpace(v))
		}
		said, wanted = append(said, strings.TrimSpace(b.text(g))), append(wanted, references)
		if script(&sdk.Example{Text: strings.Join(references, " ")}) == "zh" {
			chinese++
		}
	}
	language := ""
	if 2*chinese > len(said) {
		language = "zh"
	}
	text, err := metric.NewText(said, wanted, language)
	if err != nil {
		return err
	}
	r := reports[b.Heads[at].Name]
	r.Text, r.Sample = text, text.Sample
	return nil
}
