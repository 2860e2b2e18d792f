package kg

import (
	"context"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/islm-dev/islm/core/recipe"
)

// Bounds of what an embedder is given of a text, in bytes.
const (
	contextBytes = 256 // before and after a mention
)

// LinkEmbedded links texts as Link does, but decides between entities of one
// name by the cosine of two vectors: that of the text around the mention and
// that of the entity in words (its names, its type and its facts). The embedder
// sees each different text once, and none if no mention is ambiguous.
func (l *Linker) LinkEmbedded(ctx context.Context, texts []string, e recipe.Embedder) ([][]Mention, error) {
	mentions, _, err := l.ExplainEmbedded(ctx, texts, e)
	return mentions, err
}

// ExplainEmbedded is LinkEmbedded with the reasons, as in Explain.
func (l *Linker) ExplainEmbedded(ctx context.Context, texts []string, e recipe.Embedder) ([][]Mention, [][][]Reason, error) {
	lists := make([][]found, len(texts))
	var wanted []string
	index := map[string]int{}
	want := func(text string) {
		if _, ok := index[text]; !ok {
			index[text] = len(wanted)
			wanted = append(wanted, text)
		}
	}
	for i, text := range texts {
		lists[i] = l.find(text)
		for _, f := range lists[i] {
			if len(f.entities) < 2 {
				continue
			}
			want(around(text, f.start, f.end))
			for _, entity := range f.entities {
				want(l.g.describe(entity))
			}
		}
	}
	var vectors [][]float32
	if len(wanted) > 0 {
		var err error
		if vectors, err = e.Embed(ctx, wanted); err != nil {
			return nil, nil, fmt.Errorf("embed contexts of mentions: %w", err)
		}
		if len(vectors) != len(wanted) {
			return nil, nil, fmt.Errorf("embed contexts of mentions: %d vectors for %d texts", len(vectors), len(wanted))
		}
	}
	mentions, why := make([][]Mention, len(texts)), make([][][]Reason, len(texts))
	for i, text := range texts {
		for k := range lists[i] {
			f := &lists[i][k]
			reasons := make([]Reason, len(f.entities))
			for n, entity := range f.entities {
				reasons[n] = l.reason(text[f.start:f.end], entity, nil)
				if len(f.entities) > 1 {
					reasons[n].Context = vectorScale * cosine(vectors[index[around(text, f.start, f.end)]], vectors[index[l.g.describe(entity)]])
				}
			}
			sortReasons(reasons)
			m := l.mention(f, reasons)
			mentions[i] = append(mentions[i], m)
			why[i] = append(why[i], reasons[:len(m.Candidates)])
		}
	}
	return mentions, why, nil
}

// around cuts the context of a mention out of its text, on rune boundaries.
func around(text string, start, end int) string {
	from, to := max(start-contextBytes, 0), min(end+contextBytes, len(text))
	for from > 0 && !utf8.RuneStart(text[from]) {
		from--
	}
	for to < len(text) && !utf8.RuneStart(text[to]) {
		to++
	}
	return text[from:to]
}

// cosine of two vectors, 0 where one of them is zero or they differ in length.
func cosine(a, b []float32) float64 {
	if len(a) != len(b) {
		return 0
	}
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return dot / math.Sqrt(aa*bb)
}
