package vocab

import (
	"context"
	"iter"
	"slices"
	"strings"
	"unicode"

	"github.com/islm-dev/islm/core/token"
)

// hanWords finds words in Chinese text, which is written without spaces: its units of
// characters. The terms added, which tok has, are cut out of the text first: they say
// what the words are there. It reads texts twice. han is the number of Chinese
// characters.
func hanWords(ctx context.Context, tok *token.Tokenizer, added []token.Added, texts iter.Seq2[string, error], least int) (words []string, han int, err error) {
	terms := map[int32]bool{}
	for _, a := range added {
		if token.Inside(a.Content) {
			terms[a.ID] = true
		}
	}
	found, han, err := units(func(yield func([]rune)) error { return eachRun(ctx, tok, terms, texts, yield) }, least)
	for _, g := range found {
		words = append(words, string(g.parts()))
	}
	slices.Sort(words)
	return words, han, err
}

// eachRun gives the runs of Chinese characters of texts, terms of tok cut out.
func eachRun(ctx context.Context, tok *token.Tokenizer, terms map[int32]bool, texts iter.Seq2[string, error], yield func([]rune)) error {
	var run []rune
	flush := func() {
		if len(run) > 0 {
			yield(run)
			run = run[:0]
		}
	}
	return eachText(ctx, texts, choosing, func(text string) {
		var known []token.Span // of terms
		if len(terms) > 0 && strings.ContainsFunc(text, isHan) {
			e := tok.Encode(text, token.Options{Bare: true})
			for i, id := range e.IDs {
				if terms[id] {
					known = append(known, e.Offsets[i])
				}
			}
		}
		for at, r := range text {
			for len(known) > 0 && known[0].End <= at {
				known = known[1:]
			}
			if !isHan(r) || len(known) > 0 && known[0].Start <= at {
				flush()
				continue
			}
			run = append(run, r)
		}
		flush()
	})
}

func isHan(r rune) bool { return unicode.Is(unicode.Han, r) }
