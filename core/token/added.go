package token

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// AddedToken is a literal string with an id of its own, found before the model
// sees the text.
type AddedToken struct {
	Content string
	// Special tokens are left out of decoded text and count as no word of it.
	Special bool
	// Normalized: looked for in the normalized text, with normalized content.
	Normalized bool
	// SingleWord: not found inside of a longer word.
	SingleWord bool
	// LeftStrip and RightStrip: white space beside it belongs to it.
	LeftStrip, RightStrip bool
}

// addedTokens is an immutable set of added tokens.
type addedTokens struct {
	t      *charTables
	tokens []AddedToken
	ids    []int32
	shown  []string      // the contents as they are looked for
	byID   map[int32]int // index in tokens
	byText map[string]int32
	plain  matcher // looked for in the source
	normal matcher // looked for in normalized text
}

// matcher finds the longest of its tokens at the leftmost place.
type matcher struct {
	trie  *trie // content -> index in tokens
	first [256]bool
}

func newMatcher(entries []trieEntry) matcher {
	var m matcher
	for _, e := range entries {
		if e.key != "" {
			m.first[e.key[0]] = true
		}
	}
	if len(entries) > 0 {
		slices.Reverse(entries) // of equal contents the first counts
		m.trie = newTrie(entries)
	}
	return m
}

// newAddedTokens prepares the search; n may be nil.
func newAddedTokens(t *charTables, n normalizer, tokens []AddedToken, ids []int32) *addedTokens {
	a := &addedTokens{t: t, tokens: tokens, ids: ids, shown: make([]string, len(tokens)), byID: map[int32]int{}, byText: map[string]int32{}}
	var plain, normal []trieEntry
	// Special tokens come first where two are written alike.
	for _, special := range []bool{true, false} {
		for i, token := range tokens {
			if token.Special != special {
				continue
			}
			if _, ok := a.byID[ids[i]]; !ok || special {
				a.byID[ids[i]] = i
			}
			if _, ok := a.byText[token.Content]; !ok {
				a.byText[token.Content] = ids[i]
			}
			content := token.Content
			a.shown[i] = content
			if !token.Normalized {
				plain = append(plain, trieEntry{content, int32(i)})
				continue
			}
			if n != nil {
				var w work
				content = strings.Clone(n.normalize(&w, w.valid(content)).s)
				a.shown[i] = content
			}
			normal = append(normal, trieEntry{content, int32(i)})
		}
	}
	a.plain, a.normal = newMatcher(plain), newMatcher(normal)
	return a
}

// extract cuts the tokens of m out of v.
func (a *addedTokens) extract(m *matcher, v stretch, out []stretch) []stretch {
	if m.trie == nil {
		if v.s != "" {
			out = append(out, v)
		}
		return out
	}
	s := v.s
	from := 0
	for at := 0; at < len(s); {
		if !m.first[s[at]] {
			at++
			continue
		}
		index, n := m.trie.longest(s[at:])
		if n == 0 {
			at++
			continue
		}
		token := &a.tokens[index]
		start, end := at, at+n
		at = end
		if token.SingleWord && (a.wordBefore(s[:start]) || a.wordAfter(s[end:])) {
			continue
		}
		if token.LeftStrip {
			for start > from {
				r, size := utf8.DecodeLastRuneInString(s[:start])
				if !a.t.is(r, isSpace) {
					break
				}
				start -= size
			}
			start = max(start, from)
		}
		if token.RightStrip {
			for end < len(s) {
				r, size := utf8.DecodeRuneInString(s[end:])
				if !a.t.is(r, isSpace) {
					break
				}
				end += size
			}
		}
		if start < from {
			continue // swallowed by the token before
		}
		if from < start {
			out = append(out, v.slice(from, start))
		}
		found := v.slice(start, end)
		found.id = a.ids[index]
		out = append(out, found)
		from = end
	}
	if from < len(s) {
		out = append(out, v.slice(from, len(s)))
	}
	return out
}

func (a *addedTokens) wordBefore(s string) bool {
	r, size := utf8.DecodeLastRuneInString(s)
	return size > 0 && a.t.is(r, isWord)
}

func (a *addedTokens) wordAfter(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	return size > 0 && a.t.is(r, isWord)
}
