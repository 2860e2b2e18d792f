package kind

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// numeral is how a number is written.
type numeral struct {
	style    uint8 // digits, fullwidth, hanzi, words
	group    rune  // between thousands, 0 for none
	decimal  rune
	decimals int
}

const (
	digits uint8 = iota
	fullwidth
	hanzi
	words
)

// readDigits reads a number written with ASCII digits. comma says that the comma
// is the decimal sign of the language.
func readDigits(s string, comma bool) (v float64, f numeral, ok bool) {
	var plain [40]byte
	n, seps, sepAt := 0, 0, -1
	var sep, last rune
	for i, r := range s {
		switch {
		case r >= '0' && r <= '9':
			if n == len(plain)-1 {
				return 0, f, false
			}
			plain[n] = byte(r)
			n++
		default:
			if seps > 0 && r != sep {
				if last == r {
					return 0, f, false
				}
				// two kinds: the second one is decimal
				f.group = sep
			}
			if f.decimal != 0 {
				return 0, f, false
			}
			if seps > 0 && r != sep {
				f.decimal = r
			} else {
				sep = r
			}
			seps++
			last, sepAt = r, i
			if f.decimal != 0 {
				plain[n] = '.'
				n++
			}
		}
	}
	if seps > 0 {
		tail := len(s) - sepAt - utf8.RuneLen(last)
		switch {
		case f.decimal != 0:
			f.decimals = tail
		case seps > 1 || sep == '\'' || sep == '’' || sep == '\u00a0' || sep == '\u202f' || sep == ' ':
			f.group = sep
		case sep == ',' && !comma && tail == 3, sep == '.' && comma && tail == 3:
			f.group = sep
		default:
			f.decimal, f.decimals = sep, tail
			at := n - tail
			copy(plain[at+1:], plain[at:n])
			plain[at] = '.'
			n++
		}
		if f.group != 0 && !grouped(s, f) {
			return 0, f, false
		}
	}
	v, err := strconv.ParseFloat(string(plain[:n]), 64)
	return v, f, err == nil
}

// grouped checks that there are three digits in every group but the first.
func grouped(s string, f numeral) bool {
	if f.decimal != 0 {
		s = s[:strings.LastIndex(s, string(f.decimal))]
	}
	parts := strings.Split(s, string(f.group))
	for i, p := range parts {
		if i > 0 && len(p) != 3 || i == 0 && (len(p) > 3 || p == "") {
			return false
		}
	}
	return true
}

// write writes a number as f says.
func (f numeral) write(v float64) string {
	switch f.style {
	case hanzi:
		return writeHanzi(int64(math.Round(v)))
	case words:
		return writeWords(int64(math.Round(v)))
	}
	s := strconv.FormatFloat(v, 'f', f.decimals, 64)
	whole, fraction, _ := strings.Cut(s, ".")
	var b strings.Builder
	for i, r := range whole {
		if k := len(whole) - i; i > 0 && k%3 == 0 && f.group != 0 {
			b.WriteRune(f.group)
		}
		if f.style == fullwidth {
			r += '０' - '0'
		}
		b.WriteRune(r)
	}
	if fraction != "" {
		d := f.decimal
		if d == 0 {
			d = '.'
		}
		b.WriteRune(d)
		for _, r := range fraction {
			if f.style == fullwidth {
				r += '０' - '0'
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

const hanziDigits = "零一二三四五六七八九"

// readHanzi reads a whole number in Chinese at i, such as 三百二十 or 一二. n is its
// length in bytes, 0 if there is none. A single digit counts where it stands
// alone, for the caller to judge.
func readHanzi(t string, i int) (v int64, n int) {
	var total, section, digit int64
	count, plain := 0, true
	for at := i; at < len(t); {
		r, k := utf8.DecodeRuneInString(t[at:])
		if r == '两' {
			r = '二'
		}
		if r == '〇' {
			r = '零'
		}
		if d := strings.IndexRune(hanziDigits, r); d >= 0 {
			if plain && count > 0 && digit > 0 {
				return 0, 0 // 三五, 一二三: no number that is read so
			}
			digit = int64(d / 3)
		} else if at > i || r == '十' {
			var unit int64
			switch r {
			case '十':
				unit = 10
			case '百':
				unit = 100
			case '千':
				unit = 1000
			default:
				return total + section + digit, at - i
			}
			plain = true
			section += max(digit, 1) * unit
			digit = 0
			count = -1
		} else {
			return 0, 0
		}
		count++
		at += k
		n = at - i
	}
	return total + section + digit, n
}

// writeHanzi writes a whole number below 10,000 in Chinese.
func writeHanzi(v int64) string {
	if v == 0 {
		return "零"
	}
	digit := func(d int64) string { return hanziDigits[3*d : 3*d+3] }
	var b strings.Builder
	zero := false
	for _, u := range [...]struct {
		value int64
		text  string
	}{{1000, "千"}, {100, "百"}, {10, "十"}, {1, ""}} {
		d := v / u.value % 10
		switch {
		case d == 0:
			zero = b.Len() > 0
			continue
		case zero:
			b.WriteString("零")
		}
		zero = false
		if !(u.value == 10 && d == 1 && b.Len() == 0) {
			b.WriteString(digit(d))
		}
		b.WriteString(u.text)
	}
	return b.String()
}

var (
	smallWords = [...]string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"}
	tensWords  = [...]string{"", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"}
)

// wordValue is the value of one English number word below 100, or -1.
func wordValue(w string) int64 {
	for i, s := range smallWords {
		if s == w {
			return int64(i)
		}
	}
	for i, s := range tensWords {
		if i < 2 {
			continue
		}
		if s == w {
			return int64(10 * i)
		}
		if rest, ok := strings.CutPrefix(w, s+"-"); ok {
			if d := wordValue(rest); d > 0 && d < 10 {
				return int64(10*i) + d
			}
		}
	}
	return -1
}

// writeWords writes a whole number below a million in English words.
func writeWords(v int64) string {
	switch {
	case v < 20:
		return smallWords[max(v, 0)]
	case v < 100 && v%10 == 0:
		return tensWords[v/10]
	case v < 100:
		return tensWords[v/10] + "-" + smallWords[v%10]
	case v < 1000 && v%100 == 0:
		return writeWords(v/100) + " hundred"
	case v < 1000:
		return writeWords(v/100) + " hundred and " + writeWords(v%100)
	case v%1000 == 0:
		return writeWords(v/1000) + " thousand"
	}
	return strconv.FormatInt(v, 10)
}
