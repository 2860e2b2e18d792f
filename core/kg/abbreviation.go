package kg

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a short form, in runes without blanks (Schwartz and Hearst 2003,
// section 2).
const (
	shortFormLeast = 2
	shortFormMost  = 10
)

// abbreviated adds what a text itself abbreviates: where a mention is followed by
// a short form in brackets, as in "myotonic dystrophy (DM)", that short form means
// the mention's entities wherever the text has it. It overrides what the graph
// calls so, and gives way to longer names.
//
// A short form belongs to a long one when its letters and digits occur in the
// latter from right to left, the first at the beginning of a word, the method of
// Schwartz and Hearst (2003, "A simple algorithm for identifying abbreviation
// definitions in biomedical text"); or when its letters are the initials of all
// words in another order, since some stem from another language: DM is dystrophia
// myotonica. The long form must be a name of the graph, or the end of one.
func (l *Linker) abbreviated(text string, list []found) []found {
	defined := map[string][]int32{}
	for _, f := range list {
		short := shortForm(text[f.end:])
		if long := text[f.start:f.end]; short == "" || !abbreviates(short, long) && !initials(short, long) {
			continue
		}
		if _, known := defined[short]; !known { // the first definition holds
			defined[short] = f.entities
		}
	}
	if len(defined) == 0 {
		return list
	}
	var added []found
	for short, entities := range defined { // their order is of no consequence: they are sorted below
		for at := 0; ; {
			i := strings.Index(text[at:], short)
			if i < 0 {
				break
			}
			start := at + i
			end := start + len(short)
			at = end
			if wordAt(text, start, end) {
				added = append(added, found{start, end, entities})
			}
		}
	}
	slices.SortFunc(added, func(a, b found) int { // from the left, the longest first
		if a.start != b.start {
			return a.start - b.start
		}
		return b.end - a.end
	})
	kept := make([]found, 0, len(list)+len(added))
	overlaps := func(a found) func(found) bool {
		return func(b found) bool { return a.start < b.end && b.start < a.end }
	}
	for _, a := range added {
		// A name that reaches beyond the short form is more than it.
		beyond := func(b found) bool { return overlaps(a)(b) && (b.start < a.start || b.end > a.end) }
		if !slices.ContainsFunc(list, beyond) && !slices.ContainsFunc(kept, overlaps(a)) {
			kept = append(kept, a)
		}
	}
	n := len(kept)
	for _, f := range list {
		if !slices.ContainsFunc(kept[:n], overlaps(f)) {
			kept = append(kept, f)
		}
	}
	slices.SortFunc(kept, func(a, b found) int { return a.start - b.start })
	return kept
}

// shortForm reads " (SHORT)" at the beginning of a text, also with blanks within
// the brackets or SHORT, as tokenized text has them; what follows a comma or a
// semicolon is not part of it. It returns "" if there is none.
func shortForm(text string) string {
	rest := strings.TrimLeft(text, " \t")
	if !strings.HasPrefix(rest, "(") && !strings.HasPrefix(rest, "[") {
		return ""
	}
	rest = rest[1:]
	end := strings.IndexAny(rest, ")],;\n")
	if end < 0 {
		return ""
	}
	short := strings.TrimSpace(rest[:end])
	runes, letter, capital := 0, false, false
	for _, r := range short {
		if unicode.IsSpace(r) {
			continue
		}
		runes++
		letter = letter || unicode.IsLetter(r)
		capital = capital || unicode.IsUpper(r) || unicode.IsDigit(r)
	}
	first, _ := utf8.DecodeRuneInString(short)
	if runes < shortFormLeast || runes > shortFormMost || !letter || !capital || !(unicode.IsLetter(first) || unicode.IsDigit(first)) || strings.ContainsAny(short, "([") {
		return ""
	}
	return short
}

// abbreviates reports whether the letters and digits of short occur in long from
// the right, the first of them at the beginning of a word.
func abbreviates(short, long string) bool {
	s, t := folded(short), folded(long)
	k := len(t)
	for i := len(s) - 1; i >= 0; i-- {
		if !unicode.IsLetter(s[i]) && !unicode.IsDigit(s[i]) {
			continue
		}
		k--
		for k >= 0 && (t[k] != s[i] || i == 0 && k > 0 && (unicode.IsLetter(t[k-1]) || unicode.IsDigit(t[k-1]))) {
			k--
		}
		if k < 0 {
			return false
		}
	}
	return len(t) > len(s) // a repetition is no abbreviation
}

// initials reports whether the letters of short are those with which the words of
// long begin, in any order.
func initials(short, long string) bool {
	var first []rune
	before := ' '
	for _, r := range folded(long) {
		if unicode.IsLetter(r) && !unicode.IsLetter(before) && !unicode.IsDigit(before) {
			first = append(first, r)
		}
		before = r
	}
	var own []rune
	for _, r := range folded(short) {
		switch {
		case unicode.IsLetter(r):
			own = append(own, r)
		case unicode.IsDigit(r):
			return false
		}
	}
	slices.Sort(first)
	slices.Sort(own)
	return slices.Equal(first, own)
}

func folded(s string) []rune {
	return []rune(strings.Map(unicode.ToLower, s))
}

// wordAt reports whether a stretch neither begins nor ends within a word.
func wordAt(text string, start, end int) bool {
	joins := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }
	before, _ := utf8.DecodeLastRuneInString(text[:start])
	after, _ := utf8.DecodeRuneInString(text[end:])
	return !joins(before) && !joins(after)
}
