package augment

import (
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"
)

// classes are properties of a text that a regular expression may need.
type classes uint8

const (
	hasDigit classes = 1 << iota
	hasUpper         // ASCII
	hasWide          // anything beyond ASCII
	hasPunct         // ASCII signs other than letters, digits and blanks
)

// classOf tells the properties of each ASCII byte.
func classTable() (t [256]classes) {
	for i := range t {
		c := byte(i)
		switch {
		case c >= 0x80:
			t[i] = hasWide
		case '0' <= c && c <= '9':
			t[i] = hasDigit
		case 'A' <= c && c <= 'Z':
			t[i] = hasUpper
		case c > ' ' && c < 0x7f && !('a' <= c && c <= 'z'):
			t[i] = hasPunct
		}
	}
	return t
}

// need is what a text must have for a regular expression to match: one of the
// literals (where there are any; folded to lower case) and all of the classes.
type need struct {
	literals []string
	classes  classes
}

// maxNeedLiterals bounds how many alternatives a prefilter may have.
const maxNeedLiterals = 64

// needOf finds what every match of a regular expression contains.
func needOf(re *syntax.Regexp) need {
	return needs(re.Simplify(), 0)
}

func needs(re *syntax.Regexp, depth int) need {
	if depth > 50 {
		return need{}
	}
	switch re.Op {
	case syntax.OpLiteral:
		lit := strings.ToLower(string(re.Rune))
		if len(lit) != len(string(re.Rune)) { // folding that changes the length is not followed
			return need{}
		}
		if re.Flags&syntax.FoldCase != 0 && !foldsAlone(re.Rune) {
			return need{}
		}
		var c classes
		if re.Flags&syntax.FoldCase == 0 {
			t := classTable()
			for i := range len(string(re.Rune)) {
				c |= t[string(re.Rune)[i]]
			}
		}
		return need{literals: []string{lit}, classes: c}
	case syntax.OpCharClass:
		return need{classes: classOfSet(re.Rune), literals: smallSet(re.Rune)}
	case syntax.OpCapture, syntax.OpPlus:
		return needs(re.Sub[0], depth+1)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return needs(re.Sub[0], depth+1)
		}
	case syntax.OpConcat:
		var all need
		best := 0
		for _, s := range re.Sub {
			n := needs(s, depth+1)
			all.classes |= n.classes
			if score := rarity(n.literals); score > best {
				best, all.literals = score, n.literals
			}
		}
		return all
	case syntax.OpAlternate:
		all := needs(re.Sub[0], depth+1)
		for _, s := range re.Sub[1:] {
			n := needs(s, depth+1)
			all.classes &= n.classes
			if len(all.literals) == 0 || len(n.literals) == 0 || len(all.literals)+len(n.literals) > maxNeedLiterals {
				all.literals = nil
			} else {
				all.literals = append(append([]string(nil), all.literals...), n.literals...)
			}
		}
		return all
	}
	return need{}
}

// rarity orders sets of literals: the shortest of a set counts.
func rarity(literals []string) int {
	if len(literals) == 0 {
		return 0
	}
	shortest := len(literals[0])
	for _, l := range literals {
		shortest = min(shortest, len(l))
	}
	return shortest*maxNeedLiterals - len(literals) + 1
}

// foldsAlone reports that the scanner sees every form of these letters as the
// same bytes. The two letters whose third form it does not fold, ſ and the Kelvin
// sign, make it pass every prefilter instead.
func foldsAlone(runes []rune) bool {
	for _, r := range runes {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			if f == longS || f == kelvin || r == longS || r == kelvin {
				continue
			}
			if utf8.RuneLen(f) != utf8.RuneLen(r) || unicode.ToLower(f) != unicode.ToLower(r) {
				return false
			}
		}
		if r == longS || r == kelvin {
			return false
		}
	}
	return true
}

const (
	longS  = 0x17f  // ſ, another form of s
	kelvin = 0x212a // K, another form of k
)

// smallSet is a character class as literals, if it is small and plain.
func smallSet(ranges []rune) []string {
	var out []string
	for i := 0; i+1 < len(ranges); i += 2 {
		if ranges[i+1]-ranges[i] > 8 {
			return nil
		}
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if unicode.IsLetter(r) && r < 0x2e80 { // letters of the text are folded: one form is enough, but keep to signs and Han
				return nil
			}
			out = append(out, string(r))
		}
	}
	if len(out) > 8 {
		return nil
	}
	return out
}

func classOfSet(ranges []rune) classes {
	common := ^classes(0)
	any := false
	t := classTable()
	for i := 0; i+1 < len(ranges); i += 2 {
		lo, hi := ranges[i], ranges[i+1]
		if hi >= 0x80 {
			common &= hasWide
			any = true
			hi = 0x7f
		}
		for r := lo; r <= hi && r < 0x80; r++ {
			common &= t[r]
			any = true
		}
	}
	if !any {
		return 0
	}
	return common
}
