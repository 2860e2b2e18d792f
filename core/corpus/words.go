package corpus

import (
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"github.com/islm-dev/islm/sdk"
)

// Words splits running text into the tokens that tags are given to: words by
// the rules of UAX #29, Chinese and Japanese characters one by one, punctuation
// marks one by one. Blanks and control characters belong to no token.
func Words(text string) []sdk.Token {
	tokens := []sdk.Token{}
	state, at := -1, 0
	for rest := text; rest != ""; {
		var word string
		word, rest, state = uniseg.FirstWordInString(rest, state)
		tokens = appendWord(tokens, word, at)
		at += len(word)
	}
	return tokens
}

func appendWord(tokens []sdk.Token, word string, at int) []sdk.Token {
	open := -1 // start of the piece that is being read
	flush := func(end int) {
		if open >= 0 {
			tokens = append(tokens, sdk.Token{Start: at + open, End: at + end})
			open = -1
		}
	}
	for i, r := range word {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError || r == 0x200b || r == 0xfeff:
			flush(i)
		case unicode.Is(unicode.Mn, r) || r == 0x200d || r == 0xfe0f: // marks belong to what they follow
			if open < 0 {
				open = i
			}
		case isIdeograph(r) || separate(r):
			flush(i)
			open = i
			end := i + utf8.RuneLen(r)
			if end < len(word) {
				if next, _ := utf8.DecodeRuneInString(word[end:]); unicode.Is(unicode.Mn, next) || next == 0x200d || next == 0xfe0f {
					continue
				}
			}
			flush(end)
		default:
			if open < 0 {
				open = i
			}
		}
	}
	flush(len(word))
	return tokens
}

// separate reports marks that are tokens of their own also within a word as
// UAX #29 sees it: BERT's word pieces begin anew after them as well.
func separate(r rune) bool {
	return unicode.IsPunct(r) && r != '\'' && r != '’' && r != '.' && r != ',' && r != '_' && r != ':'
}
