package kind

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/edit"
)

// casing is the pattern of capitals of a word or phrase.
type casing uint8

const (
	caseless casing = iota // no letters that have a case, or mixed as in iPhone
	lower
	capital // Profit
	title   // Net Profit
	upper   // PROFIT
)

// casingOf tells the pattern of a text. A single capital letter counts as capital.
func casingOf(s string) casing {
	ups, lows, words, capitals := 0, 0, 0, 0
	start, first, inner := true, false, false
	for _, r := range s {
		switch {
		case unicode.IsUpper(r) || unicode.IsTitle(r):
			if start && words == 0 {
				first = true
			}
			if start {
				capitals++
			} else {
				inner = true
			}
			ups++
		case unicode.IsLower(r):
			lows++
		}
		if isLetter := unicode.IsLetter(r); isLetter && start {
			words++
		}
		start = !unicode.IsLetter(r) && r != '\'' && r != '’'
	}
	switch {
	case ups == 0 && lows == 0:
		return caseless
	case ups == 0:
		return lower
	case lows == 0 && ups > 1:
		return upper
	case inner:
		return caseless
	case first && words > 1 && capitals == words:
		return title
	case first && capitals == 1:
		return capital
	}
	return caseless
}

// recase writes text in a pattern. What is lower or caseless stays as written,
// so that a name keeps its own capitals.
func recase(text string, c casing) string {
	switch c {
	case upper:
		return strings.ToUpper(text)
	case capital:
		return capitalize(text)
	case title:
		var b strings.Builder
		b.Grow(len(text))
		start := true
		for _, r := range text {
			if start {
				r = unicode.ToTitle(r)
			}
			b.WriteRune(r)
			start = !unicode.IsLetter(r) && r != '\'' && r != '’'
		}
		return b.String()
	}
	return text
}

// capitalize writes the first letter large.
func capitalize(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if u := unicode.ToTitle(r); u != r && unicode.IsLower(r) {
		return string(u) + s[n:]
	}
	return s
}

// decapitalize writes the first letter small, unless the word is written large
// throughout or is I.
func decapitalize(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if !unicode.IsUpper(r) {
		return s
	}
	if next, _ := utf8.DecodeRuneInString(s[n:]); n == len(s) || !unicode.IsLower(next) {
		return s
	}
	return string(unicode.ToLower(r)) + s[n:]
}

// likeSurface gives text, which stands for form, the capitals that surface has
// beyond those of form: what is written as in the list needs none.
func likeSurface(text, surface, form string) string {
	if surface == form {
		return text
	}
	if c := casingOf(surface); c != lower && c != caseless && c != casingOf(form) {
		return recase(text, c)
	}
	return text
}

// english reports that rules of English may be used on the text of c.
func english(c *edit.Context) bool {
	return c.Lang == "" || c.Lang == "en" || strings.HasPrefix(c.Lang, "en-")
}

// repairArticle changes a or an in front of start to suit the new words there.
// Text whose article did not suit the old words is left alone, and so is any that
// is not English.
func repairArticle(c *edit.Context, start int, old, text string) {
	if !english(c) || text == "" {
		return
	}
	t := c.Text
	i := start
	for i > 0 && (t[i-1] == ' ' || t[i-1] == '"' || t[i-1] == '\'') && start-i < 2 {
		i--
	}
	if i == start || t[i] != ' ' {
		return
	}
	from := i
	for from > 0 && i-from < 3 && isASCIILetter(t[from-1]) {
		from--
	}
	if from > 0 && !isBlankOrOpening(t[from-1]) {
		return
	}
	switch article := t[from:i]; article {
	case "a", "A":
		if !vowelSound(old) && vowelSound(text) {
			n := "n"
			if article == "A" && casingOf(text) == upper && !spelled(text) { // A FALL in a headline
				n = "N"
			}
			c.Insert(i, n)
		}
	case "an", "An", "AN":
		if vowelSound(old) && !vowelSound(text) {
			c.Delete(from+1, i)
		}
	}
}

func isASCIILetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }

func isASCIIDigit(b byte) bool { return '0' <= b && b <= '9' }

func isBlankOrOpening(b byte) bool {
	return b == ' ' || b == '\n' || b == '\t' || b == '(' || b == '"' || b == '[' || b >= utf8.RuneSelf
}

// vowelSound reports whether a text is spoken with a vowel at its beginning, as
// the choice between a and an asks.
func vowelSound(s string) bool {
	end := 0
	for end < len(s) && (isASCIILetter(s[end]) || isASCIIDigit(s[end])) {
		end++
	}
	if end == 0 {
		return strings.ContainsAny(s[:min(len(s), 2)], "ÄÖÜÉÈÀÁÓäöüéèàáó")
	}
	w := s[:end]
	if isASCIIDigit(w[0]) {
		digits := 0
		for digits < len(w) && isASCIIDigit(w[digits]) {
			digits++
		}
		return w[0] == '8' || digits == 2 && (strings.HasPrefix(w, "11") || strings.HasPrefix(w, "18"))
	}
	if casingOf(w) == upper && spelled(w) || len(w) == 1 && w[0] <= 'Z' {
		return strings.IndexByte("AEFHILMNORSX", w[0]) >= 0
	}
	var buf [12]byte
	n := copy(buf[:], w)
	for i := range n {
		buf[i] |= 0x20
	}
	l := string(buf[:n])
	for _, p := range [...]string{"hour", "honest", "honor", "honour", "heir"} {
		if strings.HasPrefix(l, p) {
			return true
		}
	}
	for _, p := range [...]string{"eu", "ew", "uni", "ubiq", "use", "usa", "usu", "uti", "uran", "utop", "one", "once"} {
		if strings.HasPrefix(l, p) {
			return p == "uni" && (strings.HasPrefix(l, "unin") || strings.HasPrefix(l, "unim")) || p == "one" && len(l) > 4 && l[3] >= 'a' && l != "oneself"
		}
	}
	return strings.IndexByte("aeiou", l[0]) >= 0
}

// spelled reports that an upper-case word is likely read letter by letter.
func spelled(w string) bool {
	if len(w) <= 3 {
		return true
	}
	return !strings.ContainsAny(w, "AEIOUY")
}

// hasHan reports whether a text holds Han characters.
func hasHan(s string) bool {
	for _, r := range s {
		if r >= 0x2e80 && unicode.Is(unicode.Han, r) {
			return true
		}
	}
	return false
}

// blankBefore and blankAfter report a blank at that side of a place.
func blankBefore(t string, i int) bool { return i > 0 && (t[i-1] == ' ' || t[i-1] == '\t') }

func blankAfter(t string, i int) bool { return i < len(t) && (t[i] == ' ' || t[i] == '\t') }

// closing reports a sign that follows a word without a blank.
func closing(r rune) bool {
	return strings.ContainsRune(".,;:!?)]}%”’»、。，；：！？）】》", r)
}

// sentenceStart reports that a sentence begins at i.
func sentenceStart(t string, i int) bool {
	for i > 0 && (t[i-1] == ' ' || t[i-1] == '"' || t[i-1] == '\t' || t[i-1] == '(') {
		i--
	}
	return i == 0 || t[i-1] == '.' || t[i-1] == '!' || t[i-1] == '?' || t[i-1] == '\n'
}

// remove deletes [start, end) with one of the blanks around it, and a comma that
// would stand alone.
func remove(c *edit.Context, start, end int) {
	t := c.Text
	next, _ := utf8.DecodeRuneInString(t[end:])
	switch {
	case blankBefore(t, start) && (end == len(t) || blankAfter(t, end) || closing(next)):
		start--
		if start > 0 && end < len(t) && t[start-1] == ',' && (t[end] == ',' || t[end] == '.') {
			start--
		}
	case blankAfter(t, end) && (start == 0 || !blankBefore(t, start)):
		if start == 0 || isBlankOrOpening(t[start-1]) {
			end++
		}
	}
	c.Delete(start, end)
}

// wordAt reports whether form stands at i as a whole word.
func wordAt(t, form string, i int) bool {
	return i+len(form) <= len(t) && t[i:i+len(form)] == form && edit.AtWordBorders(t, i, i+len(form))
}

// carryMarks appends the labelled spans that lie wholly in [start, end) as marks of
// a new text in which that stretch begins at offset at.
func carryMarks(marks []edit.Mark, c *edit.Context, start, end, at int) []edit.Mark {
	if c.Example == nil || len(c.Example.Labels) == 0 {
		return marks
	}
	c.Spans(start, end, func(head string, s sdkSpan) bool {
		if s.Start >= start && s.End <= end {
			s.Start += at - start
			s.End += at - start
			marks = append(marks, edit.Mark{Head: head, Span: s})
		}
		return true
	})
	return marks
}
