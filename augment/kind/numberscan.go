package kind

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// quantity is a number or date in a text.
type quantity struct {
	kind       int
	start, end int // with unit and scale
	// of numbers
	digitStart, digitEnd int
	numeral              numeral
	shown                float64 // as written
	scale                float64
	value                float64 // shown*scale
	sort                 string  // what numbers of one sort share their factor
	unit                 int     // -1 for none
	unitStart            int
	form                 int // column of the unit's spelling
	// of dates
	date date
}

// same reports that two quantities say the same.
func (q *quantity) same(o *quantity) bool {
	if q.kind != o.kind {
		return false
	}
	if q.kind == dates {
		return q.date.year == o.date.year && q.date.month == o.date.month && q.date.day == o.date.day
	}
	return q.sort == o.sort && q.value == o.value
}

// scanner finds quantities.
type scanner struct {
	t     string
	comma bool
	words bool
	hanzi bool
	forms *unitForms
	found []quantity
}

// scan finds the quantities of [from, to), in their order.
func (s *scanner) scan(from, to int) {
	t := s.t
	for from > 0 && from < len(t) && !utf8.RuneStart(t[from]) {
		from--
	}
	for i := from; i < to; {
		b := t[i]
		switch {
		case isASCIIDigit(b):
			i = s.digits(i)
		case s.words && isASCIILetter(b):
			i = s.word(i)
		case b < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRuneInString(t[i:])
			switch {
			case r >= '０' && r <= '９':
				i = s.fullwidth(i)
			case s.hanzi && (r == '十' || r == '两' || strings.ContainsRune(hanziDigits, r)):
				i = s.hanziNumber(i, n)
			default:
				i += n
			}
		}
	}
}

// digits reads what begins with the digit at i and returns where to go on.
func (s *scanner) digits(i int) int {
	t := s.t
	end := i
	for end < len(t) {
		if isASCIIDigit(t[end]) {
			end++
			continue
		}
		r, n := utf8.DecodeRuneInString(t[end:])
		if (r == ',' || r == '.' || r == '\'' || r == '’' || r == '\u00a0' || r == '\u202f') && end+n < len(t) && isASCIIDigit(t[end+n]) {
			if (r == '\u00a0' || r == '\u202f' || r == '\'' || r == '’') && !threeDigits(t[end+n:]) {
				break
			}
			end += n
			continue
		}
		break
	}
	if d, to, ok := s.dateAt(i, end); ok {
		if n := len(s.found); n > 0 && d.start < s.found[n-1].end {
			return to // its month belongs to the date before: 17th of May 17th
		}
		s.found = append(s.found, quantity{kind: dates, start: d.start, end: to, date: d, unit: -1})
		return to
	}
	if !s.free(i, end) {
		return pastToken(t, end)
	}
	v, f, ok := readDigits(t[i:end], s.comma)
	if !ok {
		return end
	}
	q := quantity{start: i, end: end, digitStart: i, digitEnd: end, numeral: f, shown: v, scale: 1, unit: -1}
	if !s.dress(&q) {
		return pastToken(t, end)
	}
	s.found = append(s.found, q)
	return max(q.end, end)
}

func threeDigits(s string) bool {
	return len(s) >= 3 && isASCIIDigit(s[0]) && isASCIIDigit(s[1]) && isASCIIDigit(s[2]) && (len(s) == 3 || !isASCIIDigit(s[3]))
}

// pastToken goes to the end of what is written together with the number.
func pastToken(t string, i int) int {
	for i < len(t) && (isASCIIDigit(t[i]) || isASCIILetter(t[i]) || strings.IndexByte("-_./:", t[i]) >= 0 && i+1 < len(t) && (isASCIIDigit(t[i+1]) || isASCIILetter(t[i+1]))) {
		i++
	}
	return i
}

// free reports that the digits are no part of a name, a version, a time or a
// fraction.
func (s *scanner) free(i, end int) bool {
	t := s.t
	if i > 0 {
		switch b := t[i-1]; {
		case isASCIIDigit(b) || b == '_' || b == '#' || b == '/' || b == ':' || b == '.' && i > 1 && !isBlankOrOpening(t[i-2]) || b == '@':
			return false
		case isASCIILetter(b):
			return codeBefore(t, i)
		case b == '-' && i > 1 && isASCIILetter(t[i-2]):
			return false
		case b >= utf8.RuneSelf:
			if r, _ := utf8.DecodeLastRuneInString(t[:i]); unicode.IsLetter(r) && !unicode.Is(unicode.Han, r) {
				return false
			}
		}
	}
	if end < len(t) {
		switch b := t[end]; {
		case b == '_' || b == '@':
			return false
		case (b == '/' || b == ':') && end+1 < len(t) && isASCIIDigit(t[end+1]):
			return false
		}
		if strings.HasPrefix(t[end:], "号") || strings.HasPrefix(t[end:], "点") || strings.HasPrefix(t[end:], "楼") || strings.HasPrefix(t[end:], "届") {
			return false
		}
	}
	return true
}

// codeBefore reports a currency code right before i.
func codeBefore(t string, i int) bool {
	for _, c := range currencies {
		if len(c) == 3 && isASCIILetter(c[0]) && strings.HasSuffix(t[:i], c) && (i == 3 || !isASCIILetter(t[i-4])) {
			return true
		}
	}
	return false
}

// dress reads what stands around a number: currency, scale, percent sign, unit.
// It returns false for something that is no number of its own, as in 2nd or 3D.
func (s *scanner) dress(q *quantity) bool {
	t := s.t
	money := ""
	before := strings.TrimRight(t[:q.start], " \u00a0")
	if len(t[:q.start])-len(before) <= 2 {
		for _, c := range currencies {
			if strings.HasSuffix(before, c) && (!isASCIILetter(c[0]) || len(before) == len(c) || !isASCIILetter(before[len(before)-len(c)-1])) {
				money = c
				break
			}
		}
		if s := strings.TrimSuffix(before, "百分之"); s != before {
			q.kind, q.sort, q.value = percent, "percent", q.shown
			return true
		}
	}
	at := q.digitEnd
	gap := at
	for _, blank := range [...]string{" ", "\u00a0", "\u202f", "-"} {
		if strings.HasPrefix(t[at:], blank) {
			gap = at + len(blank)
			break
		}
	}
	hyphen := gap > at && t[at] == '-'
	if hyphen && gap < len(t) && isASCIIDigit(t[gap]) {
		gap, hyphen = at, false
	}
	for _, sc := range scales {
		if strings.HasPrefix(t[gap:], sc.text) && (!isASCIILetter(sc.text[0]) || wordEnd(t, gap+len(sc.text))) && !(sc.money && money == "") {
			q.scale = sc.value
			q.end = gap + len(sc.text)
			at, gap = q.end, q.end
			if blankAfter(t, gap) {
				gap++
			}
			break
		}
	}
	q.value = q.shown * q.scale
	if money == "" {
		for _, c := range currencyWords {
			if strings.HasPrefix(t[gap:], c) && (!isASCIILetter(c[0]) || wordEnd(t, gap+len(c))) {
				money = c
				q.end = gap + len(c)
				break
			}
		}
	}
	if money != "" {
		q.kind, q.sort = amount, "amount"
		return true
	}
	for _, p := range percents {
		if strings.HasPrefix(t[gap:], p.text) && (!isASCIILetter(p.text[0]) || wordEnd(t, gap+len(p.text))) {
			q.kind, q.sort, q.end = percent, p.dim, gap+len(p.text)
			return true
		}
	}
	if u, ok := s.forms.at(t, gap); ok && !(u.text == "in" && gap > at) && !(u.text == "A" && gap > at) && !(u.text == "年" && q.shown > 1000) && !strings.HasPrefix(t[gap:], "元") {
		if u.text == "克" && strings.HasPrefix(t[gap:], "克拉") || u.text == "米" && strings.HasPrefix(t[gap:], "米饭") {
			return true
		}
		q.kind, q.unit, q.unitStart, q.end, q.form = measure, u.unit, gap, gap+len(u.text), u.column
		q.sort = units[u.unit].dim
		q.value *= units[u.unit].factor
		return true
	}
	if at < len(t) && at == q.digitEnd && isASCIILetter(t[at]) || hyphen && gap < len(t) && isASCIILetter(t[gap]) && q.scale == 1 && t[at] != '-' {
		return false
	}
	q.kind, q.sort = count, "count"
	return true
}

func wordEnd(t string, i int) bool { return i >= len(t) || !isASCIILetter(t[i]) && !isASCIIDigit(t[i]) }

// fullwidth reads a number in full-width digits.
func (s *scanner) fullwidth(i int) int {
	t := s.t
	end := i
	v, decimals, point := 0.0, 0, false
	for end < len(t) {
		r, n := utf8.DecodeRuneInString(t[end:])
		if r == '．' && !point {
			if next, _ := utf8.DecodeRuneInString(t[end+n:]); next >= '０' && next <= '９' {
				point = true
				end += n
				continue
			}
		}
		if r < '０' || r > '９' || decimals > 9 || v > 1e14 {
			break
		}
		v = v*10 + float64(r-'０')
		if point {
			decimals++
		}
		end += n
	}
	for range decimals {
		v /= 10
	}
	q := quantity{start: i, end: end, digitStart: i, digitEnd: end, shown: v, scale: 1, unit: -1, numeral: numeral{style: fullwidth, decimal: '．', decimals: decimals}}
	if s.dress(&q) {
		s.found = append(s.found, q)
	}
	return max(end, q.end)
}

// hanziNumber reads a number such as 三百二十 or, before a unit or scale, 三.
func (s *scanner) hanziNumber(i, first int) int {
	v, n := readHanzi(s.t, i)
	if n == 0 || v == 0 || v > 9999 {
		return i + max(n, first)
	}
	end := i + n
	if i > 0 {
		// 第三, 星期一, 周五, 之一, 统一
		if r, _ := utf8.DecodeLastRuneInString(s.t[:i]); strings.ContainsRune("第期周之统唯同初其不", r) && !strings.HasSuffix(s.t[:i], "百分之") {
			return end
		}
	}
	if r, _ := utf8.DecodeRuneInString(s.t[end:]); r == '月' || r == '日' || r == '号' || r == '点' || r == '.' {
		return end
	}
	q := quantity{start: i, end: end, digitStart: i, digitEnd: end, shown: float64(v), scale: 1, unit: -1, numeral: numeral{style: hanzi}}
	if !s.dress(&q) || q.kind == count && n <= 3 && q.scale == 1 {
		return end
	}
	s.found = append(s.found, q)
	return max(end, q.end)
}

// word reads an English number word and returns the end of the word at i. A month
// before a day is found at the day.
func (s *scanner) word(i int) int {
	t := s.t
	w := wordFrom(t, i)
	if w.start != i {
		return i + 1
	}
	v := wordValue(w.low)
	if v < 2 || i > 0 && !isBlankOrOpening(t[i-1]) {
		return w.end
	}
	end := w.end
	for _, big := range [...]struct {
		text  string
		value int64
	}{{" hundred", 100}, {" thousand", 1000}} {
		if strings.HasPrefix(t[end:], big.text) && wordEnd(t, end+len(big.text)) {
			if wordEnd := wordFrom(t, end+len(big.text)); wordEnd.low == "and" || wordValue(wordEnd.low) >= 0 {
				return wordEnd.end // longer ones are left alone
			}
			v *= big.value
			end += len(big.text)
			break
		}
	}
	q := quantity{start: i, end: end, digitStart: i, digitEnd: end, shown: float64(v), scale: 1, unit: -1, numeral: numeral{style: words}}
	if s.dress(&q) {
		s.found = append(s.found, q)
	}
	return max(end, q.end)
}
