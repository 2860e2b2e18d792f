package kind

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/edit"
)

// date is a date as it is written: the values and where each stands, with end 0
// for what is not given.
type date struct {
	start            int
	year, month, day int
	y, m, d          part
	name             bool // the month is a word
	weekday          bool // a day of the week stands before it
}

// part is where a part of a date stands.
type part struct{ start, end int }

var monthNames = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}

// monthOf tells the month of a name or its abbreviation with or without a point.
func monthOf(w string) int {
	if len(w) < 3 || w[0] < 'A' || w[0] > 'Z' {
		return 0
	}
	low := strings.ToLower(w)
	for i, m := range monthNames {
		m = strings.ToLower(m)
		if low == m || low == m[:3] || low == "sept" && i == 8 {
			return i + 1
		}
	}
	return 0
}

// dateAt reads a date whose first digits are [i, end).
func (s *scanner) dateAt(i, end int) (d date, to int, ok bool) {
	t := s.t
	if i > 0 && (isASCIIDigit(t[i-1]) || isASCIILetter(t[i-1])) {
		return d, 0, false
	}
	d.start = i
	run := i // the first run of digits, without separators
	for run < len(t) && isASCIIDigit(t[run]) {
		run++
	}
	n, err := strconv.Atoi(t[i:min(run, i+9)])
	if err != nil {
		return d, 0, false
	}
	switch rest := t[run:]; {
	case run-i == 4 && n >= 1000 && n < 3000:
		if strings.HasPrefix(rest, "年") {
			d.year, d.y = n, part{i, run}
			to = run + len("年")
			if m, e := smallNumber(t, to); e > to && strings.HasPrefix(t[e:], "月") && m >= 1 && m <= 12 {
				d.month, d.m = m, part{to, e}
				to = e + len("月")
				if day, e := smallNumber(t, to); e > to && (strings.HasPrefix(t[e:], "日") || strings.HasPrefix(t[e:], "号")) {
					d.day, d.d = day, part{to, e}
					to = e + len("日")
				}
			}
			return d, to, d.valid()
		}
		if rest != "" && strings.IndexByte("-/.", rest[0]) >= 0 {
			if m, e := smallNumber(t, run+1); e > run+1 && e < len(t) && t[e] == rest[0] {
				if day, e2 := smallNumber(t, e+1); e2 > e+1 && wordEnd(t, e2) {
					d.year, d.month, d.day = n, m, day
					d.y, d.m, d.d = part{i, run}, part{run + 1, e}, part{e + 1, e2}
					return d, e2, d.valid()
				}
			}
		}
		// May 2024 and the bare year
		if end != run || n < 1900 || n > 2099 || !s.free(i, run) || !wordEnd(t, run) {
			return d, 0, false
		}
		if rest := t[run:]; strings.HasPrefix(rest, " ") {
			if _, unit := s.forms.at(t, run+1); unit && !strings.HasPrefix(rest, " in ") {
				return d, 0, false
			}
		}
		if r, _ := utf8.DecodeRuneInString(rest); strings.HasPrefix(rest, "%") || strings.HasPrefix(rest, " %") || edit.IsIdeograph(r) || !bareYear(t, i) {
			return d, 0, false
		}
		d.year, d.y = n, part{i, run}
		if w := wordBefore(t, i); monthOf(t[w.start:w.end]) > 0 {
			d.month, d.m, d.name, d.start = monthOf(t[w.start:w.end]), part{w.start, w.end}, true, w.start
		}
		return d, run, true
	case run-i <= 2 && n >= 1 && n <= 31:
		if strings.HasPrefix(rest, "月") && n <= 12 {
			d.month, d.m = n, part{i, run}
			to = run + len("月")
			if day, e := smallNumber(t, to); e > to && (strings.HasPrefix(t[e:], "日") || strings.HasPrefix(t[e:], "号")) {
				d.day, d.d = day, part{to, e}
				return d, e + len("日"), d.valid()
			}
			return d, 0, false
		}
		return s.smallDate(d, i, run, n)
	}
	return d, 0, false
}

// bareYear reports that a number of four digits reads as a year: a word such as in
// or since stands before it, a month, an opening bracket, or nothing.
func bareYear(t string, i int) bool {
	if i == 0 { // a heading
		return i+4 == len(t) || strings.IndexByte(":,;.)", t[i+4]) >= 0
	}
	if t[i-1] == '(' {
		return true
	}
	w := wordBefore(t, i)
	if w.start == w.end || i-w.end > 1 {
		return false
	}
	if monthOf(t[w.start:w.end]) > 0 {
		return true
	}
	switch w.low {
	case "in", "since", "until", "till", "from", "to", "by", "before", "after", "during", "year", "fiscal", "fy", "early", "late", "mid", "and", "than", "through", "for", "of", "spring", "summer", "autumn", "winter":
		return true
	}
	return false
}

// smallDate reads a date that begins with a day, or 05/17/2024.
func (s *scanner) smallDate(d date, i, run, n int) (date, int, bool) {
	t := s.t
	rest := t[run:]
	if rest != "" && strings.IndexByte("./-", rest[0]) >= 0 {
		if m, e := smallNumber(t, run+1); e > run+1 && e < len(t) && t[e] == rest[0] {
			y, e2 := yearNumber(t, e+1)
			if e2 == e+5 && wordEnd(t, e2) {
				d.year, d.y = y, part{e + 1, e2}
				d.day, d.d, d.month, d.m = n, part{i, run}, m, part{run + 1, e}
				if rest[0] == '/' && n <= 12 && (m > 12 || !s.comma) {
					d.day, d.d, d.month, d.m = m, part{run + 1, e}, n, part{i, run}
				}
				return d, e2, d.valid()
			}
		}
		return d, 0, false
	}
	after := run
	for _, o := range [...]string{"st", "nd", "rd", "th"} {
		if strings.HasPrefix(rest, o) && wordEnd(t, run+2) {
			after = run + 2
		}
	}
	if before := wordBefore(t, i); monthOf(t[before.start:before.end]) > 0 && i-before.end == 1 {
		// May 17, 2024
		d.start = before.start
		d.month, d.m, d.name = monthOf(t[before.start:before.end]), part{before.start, before.end}, true
		d.day, d.d = n, part{i, after}
		to := after
		for _, sep := range [...]string{", ", " "} {
			if strings.HasPrefix(t[after:], sep) {
				if y, e := yearNumber(t, after+len(sep)); e == after+len(sep)+4 && wordEnd(t, e) && y > 1000 {
					d.year, d.y, to = y, part{after + len(sep), e}, e
				}
				break
			}
		}
		d.weekday = weekdayBefore(t, d.start)
		return d, to, d.valid() && wordEnd(t, to)
	}
	// 17 May 2024, 17th of May
	next := after
	for _, sep := range [...]string{" of ", " "} {
		if strings.HasPrefix(t[after:], sep) {
			next = after + len(sep)
			break
		}
	}
	if next == after {
		return d, 0, false
	}
	w := wordFrom(t, next)
	if w.start != next || monthOf(t[w.start:w.end]) == 0 {
		return d, 0, false
	}
	d.day, d.d = n, part{i, after}
	d.month, d.m, d.name = monthOf(t[w.start:w.end]), part{w.start, w.end}, true
	to := w.end
	for _, sep := range [...]string{". ", ", ", " "} {
		if strings.HasPrefix(t[w.end:], sep) {
			if y, e := yearNumber(t, w.end+len(sep)); e == w.end+len(sep)+4 && wordEnd(t, e) && y > 1000 {
				d.year, d.y, to = y, part{w.end + len(sep), e}, e
			}
			break
		}
	}
	d.weekday = weekdayBefore(t, i)
	return d, to, d.valid()
}

func smallNumber(t string, i int) (n, end int) {
	for end = i; end < len(t) && end < i+2 && isASCIIDigit(t[end]); end++ {
		n = n*10 + int(t[end]-'0')
	}
	if end < len(t) && isASCIIDigit(t[end]) {
		return 0, i
	}
	return n, end
}

func yearNumber(t string, i int) (n, end int) {
	for end = i; end < len(t) && end < i+5 && isASCIIDigit(t[end]); end++ {
		n = n*10 + int(t[end]-'0')
	}
	return n, end
}

func weekdayBefore(t string, i int) bool {
	for i > 0 && (t[i-1] == ' ' || t[i-1] == ',' || t[i-1] == '.') {
		i--
	}
	w := wordBefore(t, i)
	if w.low == "the" || w.low == "on" {
		w = wordBefore(t, w.start)
	}
	if len(w.low) < 3 {
		return false
	}
	for _, day := range [...]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"} {
		if w.low == day || w.low == day[:3] {
			return true
		}
	}
	return false
}

func (d *date) valid() bool {
	if d.month == 0 {
		return d.year > 0
	}
	if d.month > 12 || d.d.end > 0 && d.day < 1 {
		return false
	}
	year := d.year
	if year == 0 {
		year = 2000
	}
	return d.day <= daysIn(year, d.month)
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// moveDates moves all dates by one time: by days if all of them have a day, by
// years if one is a year alone, else by months.
func (n *number) moveDates(c *edit.Context, all []quantity) {
	fineness, weekday, found := 3, false, false
	for i := range all {
		if all[i].kind != dates {
			continue
		}
		found = true
		d := &all[i].date
		weekday = weekday || d.weekday
		switch {
		case d.month == 0:
			fineness = 1
		case d.d.end == 0:
			fineness = min(fineness, 2)
		}
	}
	if !found || weekday && fineness < 3 {
		return
	}
	most := map[int]int{1: n.years, 2: max(1, n.days/30), 3: n.days}[fineness]
	if weekday {
		most = max(1, n.days/7)
	}
	step := 1 + c.Rand.IntN(most)
	if c.Rand.IntN(2) == 0 {
		step = -step
	}
	if weekday {
		step *= 7
	}
	for i := range all {
		if all[i].kind == dates {
			moveDate(c, all[i].date, fineness, step)
		}
	}
}

func moveDate(c *edit.Context, d date, fineness, step int) {
	year, month, day := d.year, d.month, d.day
	if year == 0 {
		year = 2023 // no leap year: the 29th of February stays out
	}
	switch {
	case fineness == 1:
		year += step
		if d.month > 0 && d.day > daysIn(year, month) {
			day = daysIn(year, month)
		}
	case fineness == 2:
		at := time.Date(year, time.Month(month+step), 1, 0, 0, 0, 0, time.UTC)
		year, month = at.Year(), int(at.Month())
		day = min(day, daysIn(year, month))
	default:
		at := time.Date(year, time.Month(month), day+step, 0, 0, 0, 0, time.UTC)
		year, month, day = at.Year(), int(at.Month()), at.Day()
	}
	put := func(p part, text string) {
		if p.end > 0 && c.Text[p.start:p.end] != text {
			c.Replace(p.start, p.end, text)
		}
	}
	put(d.y, strconv.Itoa(year))
	if d.m.end > 0 {
		old := c.Text[d.m.start:d.m.end]
		switch {
		case !d.name:
			put(d.m, formatInt(month, d.width(c.Text, old)))
		case month != d.month:
			put(d.m, monthLike(month, old))
		}
	}
	if d.d.end > 0 {
		old := c.Text[d.d.start:d.d.end]
		bare := strings.TrimRight(old, "stndrh")
		text := formatInt(day, d.width(c.Text, bare))
		if bare != old {
			text += ordinal(day)
		}
		put(d.d, text)
	}
}

// width is with how many digits at least a part is written: two in 2024-05-17,
// 17.12.2024 and 07 May, one in 3.12.2024, 7 May and 5月7日.
func (d *date) width(t, part string) int {
	if strings.HasPrefix(part, "0") {
		return 2
	}
	if d.name || d.y.end == 0 || strings.HasPrefix(t[d.m.end:], "月") || d.m.end-d.m.start == 1 || d.d.end-d.d.start == 1 {
		return 1
	}
	return 2
}

// monthLike writes a month as long as old is written.
func monthLike(month int, old string) string {
	name := monthNames[month-1]
	if len(old) <= 4 && old != "June" && old != "July" && old != "May" {
		name = name[:3]
	}
	if casingOf(old) == upper {
		name = strings.ToUpper(name)
	}
	return name
}

func ordinal(n int) string {
	if n/10 != 1 {
		switch n % 10 {
		case 1:
			return "st"
		case 2:
			return "nd"
		case 3:
			return "rd"
		}
	}
	return "th"
}
