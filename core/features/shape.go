package features

import (
	"regexp"
	"strconv"
	"unicode"

	"github.com/islm-dev/islm/sdk"
)

// Classes of shape.v0.
const (
	shapeLower uint16 = iota + 1
	shapeCapital
	shapeUpper
	shapeInitial
	shapeMixed
	shapeNumber
	shapeNumeric
	shapeAlnum
	shapeSign
	shapeCaseless
)

// letters counts what a word is made of.
type letters struct {
	upper, lower, caseless, digits, others int
	capital                                bool // the first letter or digit is a capital letter
}

func lettersOf(word string) (l letters) {
	first := true
	for _, r := range word {
		switch {
		case unicode.IsUpper(r) || unicode.IsTitle(r):
			l.upper++
			l.capital = l.capital || first
		case unicode.IsLower(r):
			l.lower++
		case unicode.IsLetter(r):
			l.caseless++
		case unicode.IsDigit(r):
			l.digits++
		default:
			if !unicode.IsMark(r) {
				l.others++
			}
			continue
		}
		first = false
	}
	return l
}

// shapeOf gives the shape of a word. Signs within a word of letters do not
// matter: "O'Brien" is mixed, "U.S." is upper, "Jean-Luc" mixed, "well-known" lower.
func shapeOf(word string) uint16 {
	l := lettersOf(word)
	cased := l.upper + l.lower
	switch {
	case cased+l.caseless+l.digits == 0:
		return shapeSign
	case cased+l.caseless == 0 && l.others == 0:
		return shapeNumber
	case cased+l.caseless == 0:
		return shapeNumeric
	case l.digits > 0:
		return shapeAlnum
	case cased == 0:
		return shapeCaseless
	case l.upper == 0:
		return shapeLower
	case l.lower == 0 && l.upper == 1 && l.caseless == 0:
		return shapeInitial
	case l.lower == 0:
		return shapeUpper
	case l.capital && l.upper == 1:
		return shapeCapital
	}
	return shapeMixed
}

// Classes of digits.v0.
const (
	digitsOne uint16 = iota + 1
	digitsTwo
	digitsThree
	digitsFour
	digitsMany
	digitsYear
	digitsDecimal
	digitsGrouped
	digitsDate
	digitsTime
	digitsOrdinal
	digitsOther
)

// digitForms are tried in this order; a word of them has a digit.
var digitForms = []struct {
	class uint16
	expr  *regexp.Regexp
}{
	{digitsGrouped, regexp.MustCompile(`^[-+]?\d{1,3}(,\d{3})+(\.\d+)?$`)},
	{digitsDecimal, regexp.MustCompile(`^[-+]?\d*[.,]\d+$`)},
	{digitsDate, regexp.MustCompile(`^\d{1,4}([-/.])\d{1,2}([-/.]\d{1,4})?$|^\d{4}年(\d{1,2}月)?(\d{1,2}日)?$`)},
	{digitsTime, regexp.MustCompile(`^\d{1,2}:\d{2}(:\d{2})?$`)},
	{digitsOrdinal, regexp.MustCompile(`^\d+(st|nd|rd|th|ST|ND|RD|TH)$`)},
}

// digitsOf says what the digits of a word are, 0 if it has none.
func digitsOf(word string) uint16 {
	l := lettersOf(word)
	if l.digits == 0 {
		return 0
	}
	if l.digits == len(word) { // ASCII digits alone
		switch l.digits {
		case 1:
			return digitsOne
		case 2:
			return digitsTwo
		case 3:
			return digitsThree
		case 4:
			if year, err := strconv.Atoi(word); err == nil && 1900 <= year && year < 2100 {
				return digitsYear
			}
			return digitsFour
		}
		return digitsMany
	}
	for _, form := range digitForms {
		if form.expr.MatchString(word) {
			return form.class
		}
	}
	return digitsOther
}

// sentence is a stretch of words [from, to).
type sentence struct{ from, to int }

// splitSentences ends a sentence after a mark that ends one, and where a line
// ends between two words.
func splitSentences(text string, words []sdk.Token) []sentence {
	list, from := []sentence{}, 0
	for i, w := range words {
		end := i == len(words)-1
		switch text[w.Start:w.End] {
		case ".", "!", "?", "。", "！", "？", "…":
			end = true
		}
		if !end {
			for _, c := range []byte(text[w.End:max(w.End, words[i+1].Start)]) {
				end = end || c == '\n'
			}
		}
		if end {
			list = append(list, sentence{from, i + 1})
			from = i + 1
		}
	}
	return list
}

// Classes of casing.v0 and sentence.v0.
const (
	casingLower uint16 = iota + 1
	casingCapital
	casingUpper
	casingMixed
	casingFirst

	sentenceCapitals uint16 = 1
	sentenceTitle    uint16 = 2
)

// classes gives the classes of the sentence's words of kind casing.v0 or
// sentence.v0.
//
// All capitals is a sentence with capitals, a word of two letters, and no small
// letter. A title has three or more words of four or more letters, all of which
// begin with a capital.
func (s sentence) classes(kind string, text string, words []sdk.Token, set func(word int, class uint16)) {
	upper, lower, long, capitals, longest := 0, 0, 0, 0, 0
	first := true
	for i := s.from; i < s.to; i++ {
		l := lettersOf(text[words[i].Start:words[i].End])
		upper, lower = upper+l.upper, lower+l.lower
		longest = max(longest, l.upper)
		if l.upper+l.lower >= 4 {
			long++
			if l.capital {
				capitals++
			}
		}
		if kind == sdk.FeatureCasing && l.upper+l.lower > 0 {
			class := casingMixed
			switch {
			case l.upper == 0:
				class = casingLower
			case l.lower == 0 && l.upper > 1:
				class = casingUpper
			case l.capital && l.upper == 1 && first:
				class = casingFirst
			case l.capital && l.upper == 1:
				class = casingCapital
			}
			set(i, class)
			first = false
		}
	}
	if kind == sdk.FeatureCasing {
		return
	}
	class := uint16(0)
	switch {
	case lower == 0 && longest >= 2:
		class = sentenceCapitals
	case long >= 3 && capitals == long:
		class = sentenceTitle
	}
	for i := s.from; i < s.to && class != 0; i++ {
		set(i, class)
	}
}
