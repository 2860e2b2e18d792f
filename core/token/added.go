package token

import (
	"math/bits"
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

	// prefixes has the first bytes of tokens that are found anywhere, to spare most
	// characters of Chinese text, which share few first bytes, the walk through a
	// large trie. short has the first bytes of tokens that have fewer than these.
	prefixes *hashSet // nil: too few tokens to be worth it
	short    [256]bool

	// single: no token is found inside of a word, so that the search may pass over
	// words that no token begins with. firsts has the first words of tokens, starts
	// these with the five bytes (or fewer) behind them.
	single         bool
	firsts, starts *hashSet
	// tails are of tokens that go on behind their first word: the bytes behind as
	// above, then its own from the last to the first. Such a token, beginning inside
	// a word, is refused there but hides others up to its end. ends has the bytes
	// behind with the last four of the word (or fewer), and spares most words the walk
	// through a large trie; endings has the bit n where ends has such with n bytes.
	tails   [6]*trie // by the number of bytes behind the word; nil: none
	ends    *hashSet
	endings [6]uint8
	longest int // bytes of the longest token with a tail
}

const (
	wordEnd    = 4
	prefixSize = 6  // two Chinese characters
	manyTokens = 64 // from here on prefixes pay
)

// hashSet holds hashes; some others may seem to be in it.
type hashSet [1 << 13]uint64

func (s *hashSet) has(hash uint32) bool {
	hash *= 0x9E3779B1
	return s[hash>>19]>>(hash>>13&63)&1 != 0
}

func (s *hashSet) put(hash uint32) {
	hash *= 0x9E3779B1
	s[hash>>19] |= 1 << (hash >> 13 & 63)
}

// hasTwice and putTwice use two places for a hash, which others seldom take both.
func (s *hashSet) hasTwice(hash uint32) bool { return s.has(hash) && s.has(again(hash)) }

func (s *hashSet) putTwice(hash uint32) {
	s.put(hash)
	s.put(again(hash))
}

// hashed takes a character into a hash (Bernstein's).
func hashed(hash, c uint32) uint32 { return hash*33 ^ c }

const hashSeed = 5381

func (m *matcher) learn(hash uint32, word, behind string) {
	m.firsts.put(hash)
	after, end := uint32(hashSeed), uint32(hashSeed)
	for i := range len(behind) {
		hash, after = hashed(hash, uint32(behind[i])), hashed(after, uint32(behind[i]))
	}
	m.starts.putTwice(hash)
	n := min(len(word), wordEnd)
	for i := 1; i <= n; i++ {
		end = hashed(end, uint32(word[len(word)-i]))
	}
	if behind != "" {
		m.ends.putTwice(around(after, end))
		m.endings[len(behind)] |= 1 << n
	}
}

// around makes one hash of those of the bytes behind a word and of its last ones.
func around(after, end uint32) uint32 { return after*0x85EBCA6B ^ end }

// again is a second hash of a hash.
func again(hash uint32) uint32 { return (hash ^ hash>>15) * 0x2C1B3C6D }

// begins reports whether a token may begin with a word that has this hash, before
// what is behind it.
func (m *matcher) begins(hash uint32, behind string) bool {
	if !m.firsts.has(hash) {
		return false
	}
	if m.longest == 0 || m.starts.hasTwice(hash) {
		return true
	}
	for i := 1; i < len(m.tails) && i <= len(behind); i++ {
		if hash = hashed(hash, uint32(behind[i-1])); m.tails[i] != nil && m.starts.hasTwice(hash) {
			return true
		}
	}
	return false
}

func newMatcher(entries []trieEntry) *matcher {
	m := &matcher{}
	for _, e := range entries {
		if e.key != "" {
			m.first[e.key[0]] = true
		}
	}
	if len(entries) >= manyTokens {
		m.prefixes = new(hashSet)
		for _, e := range entries {
			if len(e.key) >= prefixSize {
				m.prefixes.put(prefixHash(e.key))
			} else if e.key != "" {
				m.short[e.key[0]] = true
			}
		}
	}
	if len(entries) > 0 {
		slices.Reverse(entries) // of equal contents the first counts
		m.trie = newTrie(entries)
	}
	return m
}

// prefixHash is a hash of the first prefixSize bytes.
func prefixHash(s string) uint32 {
	s = s[:prefixSize]
	low := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
	return low*0x85EBCA6B ^ (uint32(s[4]) | uint32(s[5])<<8)
}

// may reports whether a token may begin where s does.
func (m *matcher) may(s string) bool {
	switch {
	case !m.first[s[0]]:
		return false
	case m.prefixes == nil || m.short[s[0]]:
		return true
	}
	return len(s) >= prefixSize && m.prefixes.has(prefixHash(s))
}

// width is the number of bytes of the character of UTF-8 that begins with c.
func width(c byte) int {
	switch {
	case c < 0xC0:
		return 1
	case c < 0xE0:
		return 2
	case c < 0xF0:
		return 3
	}
	return 4
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
	joined := func(e trieEntry) bool { return !a.tokens[e.value].SingleWord }
	if len(entries) == 0 || slices.ContainsFunc(entries, joined) {
		return
	}
	m.single = true
	m.firsts, m.starts, m.ends = new(hashSet), new(hashSet), new(hashSet)
	var tails [len(m.tails)][]trieEntry
	for _, e := range entries {
		n, hash := a.word(e.key)
		if n == 0 {
			continue
		}
		behind := e.key[n:min(n+len(tails)-1, len(e.key))]
		m.learn(hash, e.key[:n], behind)
		if behind != "" {
			word := []byte(e.key[:n])
			slices.Reverse(word)
			tails[len(behind)] = append(tails[len(behind)], trieEntry{behind + string(word), 0})
			m.longest = max(m.longest, len(e.key))
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
	hash = hashSeed
	for n < len(s) {
		if c := s[n]; c < utf8.RuneSelf {
			if !asciiWord[c] {
				return n, hash
			}
			hash = hashed(hash, uint32(c))
			n++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[n:])
		if !a.t.is(r, isWord) {
			return n, hash
		}
		hash = hashed(hash, uint32(r))
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
	if m.longest == 0 {
		return false
	}
	var ends [wordEnd + 1]uint32 // hashes of the word's last bytes
	ends[0] = hashSeed
	known := min(wordEnd, end-at)
	for n := 1; n <= known; n++ {
		ends[n] = hashed(ends[n-1], uint32(s[end-n]))
	}
	after := uint32(hashSeed)
	for behind := 1; behind < len(m.tails) && end+behind <= len(s); behind++ {
		after = hashed(after, uint32(s[end+behind-1]))
		may := false
		for set := m.endings[behind] & (2<<known - 1); set != 0 && !may; set &= set - 1 {
			may = m.ends.hasTwice(around(after, ends[bits.TrailingZeros8(set)]))
		}
		if !may {
			continue
		}
		t := m.tails[behind]
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

// hidden reports whether a token that begins inside a word of s[from:at] may go on
// over at.
func (a *addedTokens) hidden(m *matcher, s string, from, at int) bool {
	begin := max(from, at-m.longest)
	for begin > from && (!utf8.RuneStart(s[begin]) || a.wordBefore(s[:begin])) {
		begin--
	}
	for i := begin; i < at; {
		n, _ := a.word(s[i:])
		if n == 0 {
			i++
			continue
		}
		if m.hides(s, i, i+n) {
			return true
		}
		i += n
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
	from := 0
	// A token that is hidden matters only once it is found: the search regards what
	// hides others from synced, where it last knew, up to exact.
	synced, exact, slow := 0, 0, 0
	for at := 0; at < len(s); {
		if c := s[at]; c < utf8.RuneSelf && !asciiWord[c] { // most often white space
			if !m.first[c] {
				at++
				continue
			}
		} else if m.single && at >= slow && utf8.RuneStart(c) {
			if n, hash := a.word(s[at:]); n > 0 {
				end := at + n
				inside := at > 0 && (s[at-1] >= utf8.RuneSelf || asciiWord[s[at-1]]) && a.wordBefore(s[:at])
				if (inside || !m.begins(hash, s[end:])) && (at >= exact || !m.hides(s, at, end)) {
					at = end
					continue
				}
				if inside {
					slow = end
				}
			}
		}
		if !m.may(s[at:]) {
			at += width(s[at])
			continue
		}
		index, n := m.trie.longest(s[at:])
		if n == 0 {
			at += width(s[at])
			continue
		}
		if m.longest > 0 && at >= exact && a.hidden(m, s, synced, at) {
			at, exact, slow = synced, at+1, 0
			continue
		}
		token := &a.tokens[index]
		start, end := at, at+n
		at, synced = end, end
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
