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
	plain  *matcher // looked for in the source
	normal *matcher // looked for in normalized text
}

// matcher finds the longest of its tokens at the leftmost place.
type matcher struct {
	trie  *trie // content -> index in tokens
	first [256]bool

	// single: no token is found inside of a word, so that the search may pass over
	// words that no token begins with. firsts are the hashes of the first words of
	// tokens, some others may be among them. tails are of tokens that go on behind
	// their first word: the two bytes (or the one) behind it, then its own from the
	// last to the first. Such a token, beginning inside a word, is refused there but
	// hides others up to its end.
	single bool
	firsts [1 << 13]uint64
	tails  [3]*trie // by the number of bytes behind the word; nil: none
}

func (m *matcher) known(hash uint32) bool {
	hash ^= hash >> 15
	return m.firsts[hash>>6&(1<<13-1)]>>(hash&63)&1 != 0
}

func (m *matcher) learn(hash uint32) {
	hash ^= hash >> 15
	m.firsts[hash>>6&(1<<13-1)] |= 1 << (hash & 63)
}

func newMatcher(entries []trieEntry) *matcher {
	m := &matcher{}
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
	for _, m := range []*matcher{a.plain, a.normal} {
		entries := plain
		if m == a.normal {
			entries = normal
		}
		a.single(m, entries)
	}
	return a
}

// single prepares the search for tokens that are found between word boundaries
// only, where all are.
func (a *addedTokens) single(m *matcher, entries []trieEntry) {
	m.single = len(entries) > 0
	var tails [3][]trieEntry
	for _, e := range entries {
		if !a.tokens[e.value].SingleWord {
			m.single = false
			return
		}
		n, hash := a.word(e.key)
		if n > 0 {
			m.learn(hash)
		}
		if n > 0 && n < len(e.key) {
			word := []byte(e.key[:n])
			slices.Reverse(word)
			behind := e.key[n:min(n+2, len(e.key))]
			tails[len(behind)] = append(tails[len(behind)], trieEntry{behind + string(word), 0})
		}
	}
	for i := range tails {
		if len(tails[i]) > 0 {
			m.tails[i] = newTrie(tails[i])
		}
	}
}

// word is the number of bytes of the word that s begins with, and its hash.
func (a *addedTokens) word(s string) (n int, hash uint32) {
	hash = 2166136261 // FNV-1a
	for n < len(s) {
		if c := s[n]; c < utf8.RuneSelf {
			if !asciiWord[c] {
				return n, hash
			}
			hash = (hash ^ uint32(c)) * 16777619
			n++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[n:])
		if !a.t.is(r, isWord) {
			return n, hash
		}
		hash = (hash ^ uint32(r)) * 16777619
		n += size
	}
	return n, hash
}

// asciiWord are the characters of words below U+0080.
var asciiWord = func() (is [utf8.RuneSelf]bool) {
	for c := range is {
		is[c] = c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
	}
	return is
}()

// hides reports whether a token may begin in the word s[at:end] and go on behind it.
func (m *matcher) hides(s string, at, end int) bool {
	for behind := 1; behind < len(m.tails) && end+behind <= len(s); behind++ {
		t := m.tails[behind]
		if t == nil {
			continue
		}
		node := int32(0)
		for _, c := range []byte(s[end : end+behind]) {
			if node = t.step(node, c); node < 0 {
				break
			}
		}
		for i := end - 1; i >= at && node >= 0; i-- {
			if node = t.step(node, s[i]); node >= 0 && t.slots[node].value >= 0 {
				return true
			}
		}
	}
	return false
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
	from, slow := 0, 0
	for at := 0; at < len(s); {
		if m.single && at >= slow && utf8.RuneStart(s[at]) {
			if n, hash := a.word(s[at:]); n > 0 {
				inside := at > 0 && a.wordBefore(s[:at])
				if (inside || !m.known(hash)) && !m.hides(s, at, at+n) {
					at += n
					continue
				}
				if inside {
					slow = at + n
				}
			}
		}
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
	if s != "" && s[len(s)-1] < utf8.RuneSelf {
		return asciiWord[s[len(s)-1]]
	}
	r, size := utf8.DecodeLastRuneInString(s)
	return size > 0 && a.t.is(r, isWord)
}

func (a *addedTokens) wordAfter(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	return size > 0 && a.t.is(r, isWord)
}
