package edit

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/sdk"
)

// Compare orders edits by their place; an insertion comes before an edit that
// begins where it stands.
func Compare(a, b Edit) int {
	if a.Start != b.Start {
		return a.Start - b.Start
	}
	return a.End - b.End
}

// Overlap reports whether two edits cannot both be made: they share bytes, one
// inserts within the other, or both insert at the same place.
func Overlap(a, b Edit) bool {
	switch {
	case a.Start == a.End && b.Start == b.End:
		return a.Start == b.Start
	case a.Start == a.End:
		return b.Start < a.Start && a.Start < b.End
	case b.Start == b.End:
		return a.Start < b.Start && b.Start < a.End
	}
	return max(a.Start, b.Start) < min(a.End, b.End)
}

// Refusal says why edits of one rule cannot be made on an example, "" if they
// can. The edits are in the order of Compare. keeps tells the heads whose labels
// shall stay; the spans of others may be cut.
func Refusal(ex *sdk.Example, edits []Edit, keeps func(head string) bool) string {
	for i, e := range edits {
		switch {
		case e.Start < 0 || e.End > len(ex.Text) || e.Start > e.End:
			return fmt.Sprintf("the edit [%d, %d) lies outside the text", e.Start, e.End)
		case !onRune(ex.Text, e.Start) || !onRune(ex.Text, e.End):
			return fmt.Sprintf("the edit [%d, %d) cuts a character", e.Start, e.End)
		case !utf8.ValidString(e.New):
			return "the new text is not valid UTF-8"
		case i > 0 && Overlap(edits[i-1], e):
			return "two edits of the rule overlap"
		}
		for _, m := range e.Marks {
			if m.Start < 0 || m.End > len(e.New) || m.Start >= m.End || !onRune(e.New, m.Start) || !onRune(e.New, m.End) || m.Label == "" {
				return fmt.Sprintf("the mark [%d, %d) does not fit the new text", m.Start, m.End)
			}
		}
	}
	for head, l := range ex.Labels {
		if l.Spans == nil && l.Tags == nil || !keeps(head) {
			continue
		}
		for _, s := range l.Spans {
			for _, e := range edits {
				if cuts(e, s.Start, s.End) {
					return fmt.Sprintf("the edit [%d, %d) cuts through the %s %q", e.Start, e.End, s.Label, ex.Text[s.Start:s.End])
				}
			}
		}
		if l.Tags == nil {
			continue
		}
		if EntityTags(l.Tags) {
			for _, s := range TagSpans(ex.Tokens, l.Tags) {
				for _, e := range edits {
					if cuts(e, s.Start, s.End) {
						return fmt.Sprintf("the edit [%d, %d) cuts through the %s %q", e.Start, e.End, s.Label, ex.Text[s.Start:s.End])
					}
				}
			}
			continue
		}
		m := newMover(ex, edits)
		if _, ok := m.tokens(nil); !ok {
			return fmt.Sprintf("the number of words changes, and the tags of %q cannot follow", head)
		}
	}
	return ""
}

// cuts reports that an edit begins inside a stretch and ends outside, or the
// other way round.
func cuts(e Edit, start, end int) bool {
	if e.Start == e.End {
		return false
	}
	over := e.Start < end && start < e.End
	inside := start <= e.Start && e.End <= end
	covers := e.Start <= start && end <= e.End
	return over && !inside && !covers
}

func onRune(s string, i int) bool { return i == len(s) || utf8.RuneStart(s[i]) }

// Apply makes edits and moves tokens, tags and spans. The edits are in the order
// of Compare, do not overlap, and none of them meets with a Refusal. Labels of
// heads for which keeps is false are left out. The result shares what did not
// change with ex.
func Apply(ex *sdk.Example, edits []Edit, keeps func(head string) bool) sdk.Example {
	m := newMover(ex, edits)
	out := *ex
	out.Text = m.text
	same := true // the labels can be shared
	for head, l := range ex.Labels {
		if !keeps(head) || l.Spans != nil || l.Tags != nil {
			same = false
			break
		}
	}
	added := newHeads(ex, edits, keeps)
	if same && ex.Tokens == nil && added == nil {
		return out
	}
	heads := make([]string, 0, len(ex.Labels)+len(added))
	for h := range ex.Labels {
		if keeps(h) {
			heads = append(heads, h)
		}
	}
	heads = append(heads, added...)
	slices.Sort(heads)
	moved := make([][]sdk.Span, len(heads)) // spans of each head, those of tags too
	var borders []int
	for i, h := range heads {
		l := ex.Labels[h]
		spans := l.Spans
		if l.Tags != nil {
			spans = TagSpans(ex.Tokens, l.Tags)
		}
		moved[i] = m.spans(h, spans)
		for _, s := range moved[i] {
			borders = append(borders, s.Start, s.End)
		}
	}
	slices.Sort(borders)
	from, tokensFit := m.tokens(borders)
	if ex.Tokens != nil {
		out.Tokens = m.newTokens
	}
	out.Labels = make(map[string]sdk.Label, len(heads))
	for i, h := range heads {
		l := ex.Labels[h]
		switch {
		case l.Tags == nil:
			if l.Spans != nil || slices.Contains(added, h) {
				l.Spans = moved[i]
			}
		case EntityTags(l.Tags):
			l.Tags = tagsOf(m.newTokens, moved[i], schemeOf(l.Tags))
			if l.Spans != nil {
				l.Spans = m.spans(h, l.Spans)
			}
		case !tokensFit: // several rules together: the tags of this head cannot follow
			continue
		default:
			tags := make([]string, len(from))
			for k, old := range from {
				tags[k] = l.Tags[old]
			}
			l.Tags = tags
			if l.Spans != nil {
				l.Spans = m.spans(h, l.Spans)
			}
		}
		out.Labels[h] = l
	}
	if ex.Labels == nil && added == nil {
		out.Labels = nil
	}
	return out
}

// newHeads are the heads of marks that the example has no label for, in an edit
// that replaces the whole text: what it marks is all there is to mark. In part of a
// text new labels would leave the rest looking as if there were none.
func newHeads(ex *sdk.Example, edits []Edit, keeps func(head string) bool) []string {
	if len(edits) != 1 || edits[0].Start != 0 || edits[0].End != len(ex.Text) {
		return nil
	}
	var added []string
	for _, m := range edits[0].Marks {
		if _, ok := ex.Labels[m.Head]; !ok && keeps(m.Head) && !slices.Contains(added, m.Head) {
			added = append(added, m.Head)
		}
	}
	return added
}

// mover carries places of an example over to its edited text.
type mover struct {
	ex        *sdk.Example
	edits     []Edit
	at        []int // start of each edit in the new text
	sum       []int // growth by the edits up to and with each
	text      string
	newTokens []sdk.Token
}

func newMover(ex *sdk.Example, edits []Edit) *mover {
	size := len(ex.Text)
	for _, e := range edits {
		size += len(e.New) - (e.End - e.Start)
	}
	places := make([]int, 2*len(edits))
	m := &mover{ex: ex, edits: edits, at: places[:len(edits)], sum: places[len(edits):]}
	var b strings.Builder
	b.Grow(max(size, 0))
	last, growth := 0, 0
	for i, e := range edits {
		b.WriteString(ex.Text[last:e.Start])
		m.at[i] = b.Len()
		b.WriteString(e.New)
		last = e.End
		growth += len(e.New) - (e.End - e.Start)
		m.sum[i] = growth
	}
	b.WriteString(ex.Text[last:])
	m.text = b.String()
	return m
}

// before is the growth by the edits that end at p or before; with open, an
// insertion at p itself does not count.
func (m *mover) before(p int, open bool) int {
	n := sort.Search(len(m.edits), func(i int) bool {
		e := m.edits[i]
		return e.End > p || open && e.Start == e.End && e.End == p
	})
	if n == 0 {
		return 0
	}
	return m.sum[n-1]
}

// spans moves the spans of one head.
func (m *mover) spans(head string, spans []sdk.Span) []sdk.Span {
	out := make([]sdk.Span, 0, len(spans))
	for _, s := range spans {
		if t, ok := m.span(head, s); ok {
			out = append(out, t)
		}
	}
	marked := false
	for i, e := range m.edits {
		for _, k := range e.Marks {
			if k.Head == head {
				t := k.Span
				t.Start += m.at[i]
				t.End += m.at[i]
				out = append(out, t)
				marked = true
			}
		}
	}
	if marked {
		slices.SortStableFunc(out, func(a, b sdk.Span) int { return a.Start - b.Start })
	}
	return out
}

// span moves one span; ok is false if nothing of it is left.
func (m *mover) span(head string, s sdk.Span) (t sdk.Span, ok bool) {
	t = s
	t.Start += m.before(s.Start, false)
	end := s.End + m.before(s.End, true)
	first := sort.Search(len(m.edits), func(i int) bool { return m.edits[i].End > s.Start })
	for _, e := range m.edits[first:] {
		if e.Start >= s.End {
			break
		}
		equal := e.Start == s.Start && e.End == s.End
		covers := e.Start <= s.Start && s.End <= e.End
		if covers && !equal || equal && slices.ContainsFunc(e.Marks, func(k Mark) bool { return k.Head == head }) {
			return t, false
		}
		if equal && e.EntityID != "" {
			t.EntityID = e.EntityID
		}
	}
	t.End = end
	return t, t.Start < t.End && strings.TrimSpace(m.text[t.Start:t.End]) != ""
}

// tokens makes the tokens of the new text: those that no edit touches move, what
// is touched or new is split into words anew, also at the given borders. from is
// for each new token the old one in whose place it stands, as far as that can be
// said; ok is false if it cannot.
func (m *mover) tokens(borders []int) (from []int, ok bool) {
	old := m.ex.Tokens
	if old == nil {
		return nil, true
	}
	together := slices.ContainsFunc(old, func(t sdk.Token) bool { return ideographs(m.ex.Text[t.Start:t.End]) > 1 })
	tokens := make([]sdk.Token, 0, len(old)+2*len(m.edits))
	from = make([]int, 0, cap(tokens))
	ok = true
	k := 0 // old tokens that are done
	move := func(until int) {
		for ; k < until; k++ {
			t := old[k]
			tokens = append(tokens, sdk.Token{Start: t.Start + m.before(t.Start, false), End: t.End + m.before(t.End, true)})
			from = append(from, k)
		}
	}
	for i := 0; i < len(m.edits); {
		e := m.edits[i]
		first := k
		for first < len(old) && old[first].End <= e.Start && !m.glued(old, first, i) {
			first++
		}
		move(first)
		// the tokens [first, last) and the edits [i, j) make one stretch
		start, end := m.at[i], m.at[i]+len(e.New)
		last, j, oldEnd := first, i+1, e.End
		for {
			grown := false
			for last < len(old) && (old[last].Start < oldEnd || last == first && old[last].Start < e.Start || m.gluedAfter(old, last, j-1)) {
				start = min(start, m.place(old[last].Start, false))
				oldEnd = max(oldEnd, old[last].End)
				last++
				grown = true
			}
			for j < len(m.edits) && m.edits[j].Start < oldEnd {
				oldEnd = max(oldEnd, m.edits[j].End)
				j++
				grown = true
			}
			if !grown {
				break
			}
		}
		end = max(end, m.at[j-1]+len(m.edits[j-1].New), m.place(oldEnd, true))
		n := len(tokens)
		tokens = m.split(tokens, start, end, together, borders)
		if len(tokens)-n != last-first {
			ok = false
		}
		for x := range len(tokens) - n {
			from = append(from, min(first+x, len(old)-1))
		}
		k, i = last, j
	}
	move(len(old))
	m.newTokens = tokens
	return from, ok
}

// glued reports that the token that ends where edit i begins forms a word with
// the new text.
func (m *mover) glued(old []sdk.Token, token, i int) bool {
	e := m.edits[i]
	if old[token].End != e.Start || border(m.text, m.at[i]) {
		return false
	}
	return border(m.ex.Text, e.Start) || e.Start == e.End && !m.abuts(old, token+1, e.Start)
}

// gluedAfter is glued for the token that begins where edit i ends.
func (m *mover) gluedAfter(old []sdk.Token, token, i int) bool {
	e := m.edits[i]
	if old[token].Start != e.End || border(m.text, m.at[i]+len(e.New)) {
		return false
	}
	return border(m.ex.Text, e.End) || e.Start == e.End && !m.abuts(old, token-1, e.End)
}

// abuts reports whether a token begins or ends at place p.
func (m *mover) abuts(old []sdk.Token, token, p int) bool {
	return token >= 0 && token < len(old) && (old[token].Start == p || old[token].End == p)
}

// place carries a place over; one within an edit goes to the edit's start, or
// with end to its end.
func (m *mover) place(p int, end bool) int {
	i := sort.Search(len(m.edits), func(i int) bool { return m.edits[i].End > p || end && m.edits[i].End == p })
	if i < len(m.edits) && m.edits[i].Start < p && p < m.edits[i].End {
		if end {
			return m.at[i] + len(m.edits[i].New)
		}
		return m.at[i]
	}
	if i < len(m.edits) && !end && m.edits[i].Start == p {
		return m.at[i]
	}
	return p + m.before(p, end)
}

// split appends the words of [start, end) of the new text, cut at borders.
func (m *mover) split(tokens []sdk.Token, start, end int, together bool, borders []int) []sdk.Token {
	n := len(tokens)
	tokens = AppendWords(tokens, m.text[start:end], start)
	if together {
		tokens = joinIdeographs(tokens, n, m.text)
	}
	b := sort.SearchInts(borders, start)
	for i := n; i < len(tokens) && b < len(borders); {
		switch t := tokens[i]; {
		case borders[b] <= t.Start:
			b++
		case borders[b] >= t.End:
			i++
		default:
			tokens = slices.Insert(tokens, i+1, sdk.Token{Start: borders[b], End: t.End})
			tokens[i].End = borders[b]
			i++
		}
	}
	return tokens
}

func ideographs(s string) int {
	n := 0
	for _, r := range s {
		if IsIdeograph(r) {
			n++
		}
	}
	return n
}

// joinIdeographs puts neighbouring ideographs together from token n on, for data
// that came split into words.
func joinIdeographs(tokens []sdk.Token, n int, text string) []sdk.Token {
	out := tokens[:n]
	for _, t := range tokens[n:] {
		r, _ := utf8.DecodeRuneInString(text[t.Start:])
		if k := len(out); k > n && out[k-1].End == t.Start && IsIdeograph(r) {
			if p, _ := utf8.DecodeLastRuneInString(text[:t.Start]); IsIdeograph(p) {
				out[k-1].End = t.End
				continue
			}
		}
		out = append(out, t)
	}
	return out
}

// schemeOf tells the last and the single letter of a scheme: "" for BIO.
func schemeOf(tags []string) string {
	for _, t := range tags {
		switch t[0] {
		case 'L', 'U':
			return "LU"
		case 'E', 'S':
			return "ES"
		}
	}
	return ""
}

// tagsOf writes spans as tags. Spans begin and end at borders of tokens; one that
// holds no token is lost, and of spans that overlap the first wins.
func tagsOf(tokens []sdk.Token, spans []sdk.Span, scheme string) []string {
	tags := make([]string, len(tokens))
	for i := range tags {
		tags[i] = "O"
	}
	for _, s := range spans {
		first := sort.Search(len(tokens), func(i int) bool { return tokens[i].Start >= s.Start })
		last := first
		for last < len(tokens) && tokens[last].End <= s.End && tags[last] == "O" {
			last++
		}
		for i := first; i < last; i++ {
			p := "I-"
			if i == first {
				p = "B-"
			}
			if scheme != "" && i == last-1 {
				p = scheme[:1] + "-"
				if i == first {
					p = scheme[1:] + "-"
				}
			}
			tags[i] = p + s.Label
		}
	}
	return tags
}

// MarkTags writes spans as BIO tags of tokens, for examples made by hand.
func MarkTags(tokens []sdk.Token, spans []sdk.Span) []string { return tagsOf(tokens, spans, "") }

// Blank reports a text without anything to read.
func Blank(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !unicode.IsSpace(r) }) < 0
}
