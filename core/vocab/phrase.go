package vocab

import (
	"context"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/core/token"
)

// phrases finds units of words: those that a single space parts, as the vocabulary
// writes them, each with a letter and none of them Chinese. What else stands between
// words, as a comma or a number, ends a run. It reads texts twice. words is their number.
func phrases(ctx context.Context, tok *token.Tokenizer, texts iter.Seq2[string, error], least int) (found []string, words int, err error) {
	numbers, names := map[string]rune{}, []string{""}
	grams, words, err := units(func(yield func([]rune)) error {
		var run []rune
		return eachText(ctx, texts, choosing, func(text string) {
			eachWords(tok.Normalize(text), func(word string, joined bool) {
				if !joined && len(run) > 0 {
					yield(run)
					run = run[:0]
				}
				if word == "" {
					return
				}
				n, ok := numbers[word]
				if !ok {
					n = rune(len(names))
					word = strings.Clone(word)
					numbers[word], names = n, append(names, word)
				}
				run = append(run, n)
			})
		})
	}, least)
	for _, g := range grams {
		parts := g.parts()
		phrase := make([]string, len(parts))
		for i, n := range parts {
			phrase[i] = names[n]
		}
		found = append(found, strings.Join(phrase, " "))
	}
	slices.Sort(found)
	return found, words, err
}

// eachWords gives the words of a text and whether each is joined to the one before by a
// single space; an empty word that is not joined ends the last run.
func eachWords(text string, yield func(word string, joined bool)) {
	free := 0 // where a word must begin that is joined to the one before
	for at := 0; at < len(text); {
		end, letter := at, false
		for end < len(text) {
			r, size := utf8.DecodeRuneInString(text[end:])
			if isHan(r) || r != '_' && !unicode.In(r, unicode.L, unicode.M, unicode.N) {
				break
			}
			letter = letter || unicode.IsLetter(r)
			end += size
		}
		if letter && end-at <= wordMost {
			yield(text[at:end], at > 0 && at == free)
			free = end
			if end < len(text) && text[end] == ' ' {
				free++
			}
		}
		if end == at {
			_, size := utf8.DecodeRuneInString(text[at:])
			end += size
		}
		at = end
	}
	yield("", false)
}

const wordMost = 80 // bytes of a word of a phrase
