package token

import (
	"strings"
	"unicode/utf8"
)

// preTokenizer splits a stretch into words and appends them to out; empty ones
// are left out.
type preTokenizer interface {
	split(w *work, v stretch, out []stretch) []stretch
}

// splitter splits at the matches of a pattern: Split, WhitespaceSplit,
// Punctuation, Digits, CharDelimiterSplit.
type splitter struct {
	pattern pattern
	how     behavior
	invert  bool
}

func (p *splitter) split(w *work, v stretch, out []stretch) []stretch {
	return divide(w, v, p.pattern, p.how, p.invert, out)
}

// bertPreTokenizer splits at white space, which it drops, and around punctuation.
type bertPreTokenizer struct{ t *charTables }

func (p *bertPreTokenizer) split(_ *work, v stretch, out []stretch) []stretch {
	start := 0
	for i := 0; i < len(v.s); {
		r, size := rune(v.s[i]), 1
		var f uint32
		if r < utf8.RuneSelf {
			f = p.t.ascii[r]
		} else {
			r, size = utf8.DecodeRuneInString(v.s[i:])
			f = p.t.flags(r)
		}
		if f&(isSpace|isPunctuation) == 0 {
			i += size
			continue
		}
		if i > start {
			out = append(out, v.slice(start, i))
		}
		if f&isSpace == 0 {
			out = append(out, v.slice(i, i+size))
		}
		i += size
		start = i
	}
	if start < len(v.s) {
		out = append(out, v.slice(start, len(v.s)))
	}
	return out
}

// whitespace finds words (\w+) and runs of other characters that are no space.
type whitespace struct{ t *charTables }

func (p *whitespace) split(_ *work, v stretch, out []stretch) []stretch {
	start, kind := 0, uint32(isSpace)
	for i, r := range v.s {
		f := p.t.flags(r) & (isSpace | isWord)
		if f&isWord != 0 {
			f = isWord
		}
		if f != kind {
			if kind != isSpace && i > start {
				out = append(out, v.slice(start, i))
			}
			start, kind = i, f
		}
	}
	if kind != isSpace && start < len(v.s) {
		out = append(out, v.slice(start, len(v.s)))
	}
	return out
}

// fixedLength cuts after every n characters.
type fixedLength struct{ n int }

func (p *fixedLength) split(_ *work, v stretch, out []stretch) []stretch {
	start, count := 0, 0
	for i := range v.s {
		if count == p.n {
			out = append(out, v.slice(start, i))
			start, count = i, 0
		}
		count++
	}
	if start < len(v.s) {
		out = append(out, v.slice(start, len(v.s)))
	}
	return out
}

// unicodeScripts splits where the script changes. Spaces and characters of no
// script belong to what is before; at the begin they are dropped.
type unicodeScripts struct{ t *charTables }

func (u unicodeScripts) split(_ *work, v stretch, out []stretch) []stretch {
	start, last := -1, uint8(0)
	for i, r := range v.s {
		script := u.t.script(r)
		if script == 0 {
			continue
		}
		if script != last {
			if start >= 0 {
				out = append(out, v.slice(start, i))
			}
			start = i
		}
		last = script
	}
	if start >= 0 {
		out = append(out, v.slice(start, len(v.s)))
	}
	return out
}

// metaspace makes spaces visible as a replacement character, and may begin words
// with one.
type metaspace struct {
	replacement rune
	text        string // the replacement
	scheme      string // always, first, never
	cut         bool
}

func (p *metaspace) split(w *work, v stretch, out []stretch) []stretch {
	if strings.IndexByte(v.s, ' ') >= 0 {
		v = (&replace{literal(" "), p.text}).normalize(w, v)
	}
	if p.scheme == "always" || p.scheme == "first" && v.base == 0 {
		if !strings.HasPrefix(v.s, p.text) {
			v = w.prepend(v, p.text)
		}
	}
	if !p.cut {
		if v.s != "" {
			out = append(out, v)
		}
		return out
	}
	start := 0
	for i, r := range v.s {
		if r == p.replacement && i > start {
			out = append(out, v.slice(start, i))
			start = i
		}
	}
	if start < len(v.s) {
		out = append(out, v.slice(start, len(v.s)))
	}
	return out
}

// byteLevel is GPT-2's: words with their space before, each byte then written as
// a printable character. raw leaves the bytes as they are, for a model that
// reads them so.
type byteLevel struct {
	t           *charTables
	prefixSpace bool
	regex       bool
	raw         bool
}

func (p *byteLevel) split(w *work, v stretch, out []stretch) []stretch {
	if p.prefixSpace && !strings.HasPrefix(v.s, " ") {
		v = w.prepend(v, " ")
	}
	from := len(out)
	if p.regex {
		for at := 0; at < len(v.s); {
			end := p.word(v.s, at)
			out = append(out, v.slice(at, end))
			at = end
		}
	} else if v.s != "" {
		out = append(out, v)
	}
	if !p.raw {
		for i := from; i < len(out); i++ {
			base, end := out[i].base, out[i].end
			out[i] = byteChars{}.normalize(w, out[i])
			out[i].base, out[i].end = base, end
		}
	}
	return out
}

const (
	wordLetters = iota
	wordNumbers
	wordSpace
	wordOther
)

func (p *byteLevel) kind(r rune) int {
	if r < utf8.RuneSelf {
		switch {
		case r|0x20 >= 'a' && r|0x20 <= 'z':
			return wordLetters
		case r >= '0' && r <= '9':
			return wordNumbers
		case r == ' ' || r >= '\t' && r <= '\r':
			return wordSpace
		}
		return wordOther
	}
	cat := p.t.category(r)
	switch {
	case cat&p.t.letters != 0:
		return wordLetters
	case cat&p.t.numbers != 0:
		return wordNumbers
	case p.t.is(r, isRegexSpace):
		return wordSpace
	}
	return wordOther
}

// word is the end of the word at a position, by the expression
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func (p *byteLevel) word(s string, at int) int {
	if s[at] == '\'' && at+1 < len(s) {
		switch s[at+1] {
		case 's', 't', 'm', 'd':
			return at + 2
		case 'r', 'v':
			if at+2 < len(s) && s[at+2] == 'e' {
				return at + 3
			}
		case 'l':
			if at+2 < len(s) && s[at+2] == 'l' {
				return at + 3
			}
		}
	}
	decode := func(i int) (int, int) {
		if c := s[i]; c < utf8.RuneSelf {
			return p.kind(rune(c)), 1
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		return p.kind(r), size
	}
	kind, size := decode(at)
	end := at + size
	if kind == wordSpace {
		if s[at] == ' ' && end < len(s) {
			if next, size := decode(end); next != wordSpace {
				kind, end = next, end+size
			}
		}
	}
	before := at // where the last character of the run begins
	for end < len(s) {
		next, size := decode(end)
		if next != kind {
			// Space leaves its last character to what follows.
			if kind == wordSpace && before > at {
				return before
			}
			return end
		}
		before = end
		end += size
	}
	return end
}
