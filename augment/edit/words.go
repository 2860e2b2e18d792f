package edit

import (
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/sdk"
)

// AppendWords appends the words of text, whose first byte stands at offset base:
// runs of letters, digits and marks (with ' ’ . , : _ - between two of them),
// Han and Kana characters one by one, other signs one by one. Blanks belong to
// no word.
func AppendWords(dst []sdk.Token, text string, base int) []sdk.Token {
	for i := 0; i < len(text); {
		r, n := decode(text, i)
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			i += n
		case isWordRune(r):
			end := wordEnd(text, i+n)
			dst = append(dst, sdk.Token{Start: base + i, End: base + end})
			i = end
		default:
			end := i + n
			for end < len(text) { // marks belong to what they follow
				m, k := decode(text, end)
				if !unicode.Is(unicode.Mn, m) && m != 0x200d && m != 0xfe0f {
					break
				}
				end += k
			}
			dst = append(dst, sdk.Token{Start: base + i, End: base + end})
			i = end
		}
	}
	return dst
}

// Words are the words of a text, see AppendWords.
func Words(text string) []sdk.Token { return AppendWords(nil, text, 0) }

func decode(text string, i int) (rune, int) {
	if c := text[i]; c < utf8.RuneSelf {
		return rune(c), 1
	}
	return utf8.DecodeRuneInString(text[i:])
}

// wordEnd finds the end of a word of which everything before i is part.
func wordEnd(text string, i int) int {
	for i < len(text) {
		r, n := decode(text, i)
		if isWordRune(r) {
			i += n
			continue
		}
		if !joins(r) || i+n >= len(text) {
			return i
		}
		if next, _ := decode(text, i+n); !isWordRune(next) {
			return i
		}
		i += n
	}
	return i
}

func joins(r rune) bool {
	switch r {
	case '\'', '’', '.', ',', ':', '_', '-':
		return true
	}
	return false
}

// isWordRune reports the characters that make up words written with blanks
// between them.
func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_'
	}
	return (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r)) && !IsIdeograph(r)
}

// IsIdeograph reports characters of scripts that write no blanks between words.
func IsIdeograph(r rune) bool {
	if r < 0x2e80 {
		return false
	}
	return unicode.Is(unicode.Han, r) || unicode.Is(unicode.Hiragana, r) || unicode.Is(unicode.Katakana, r)
}

// AtWordBorders reports whether [start, end) does not begin or end within a
// word. Between ideographs every place is a border.
func AtWordBorders(text string, start, end int) bool {
	return border(text, start) && border(text, end)
}

func border(text string, i int) bool {
	if i <= 0 || i >= len(text) {
		return true
	}
	after, _ := decode(text, i)
	if !isWordRune(after) {
		return true
	}
	var before rune
	if c := text[i-1]; c < utf8.RuneSelf {
		before = rune(c)
	} else {
		before, _ = utf8.DecodeLastRuneInString(text[:i])
	}
	return !isWordRune(before)
}

// IsWord reports whether a word that begins with r is one to read, rather than a
// sign.
func IsWord(r rune) bool { return isWordRune(r) || IsIdeograph(r) }
