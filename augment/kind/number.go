package kind

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/augment/edit"
)

// numberParams are the keys of number.v0.
type numberParams struct {
	What    edit.Names `yaml:"what" doc:"what to change: amount (money), percent, unit (measurements), count (other numbers), date; default all"`
	By      *float64   `yaml:"by" doc:"the largest change as a part of the number; default 0.3"`
	Days    int        `yaml:"days" doc:"dates move by at most this many days; default 60"`
	Years   int        `yaml:"years" doc:"dates that give the year alone move by at most this many years; default 3"`
	Convert edit.Names `yaml:"convert" doc:"units to convert measurements into (by sign or name, as lb or 英里) instead of changing them"`
	Words   *bool      `yaml:"words" doc:"also read numbers written as words (twelve, 三十五); default true"`
}

// number changes numbers and dates, or converts measurements. Everything that
// tells what sort of number it is stays: the number of digits before the decimal
// point, decimals, separators, round figures, currency, scale word, unit, percent
// sign, the writing of dates. One factor serves all numbers of a sort within one
// match, so that what was larger stays larger; all dates move by the same time;
// and a number that stands elsewhere in the text once more changes there too.
//
// Number perturbation as a test is from Ribeiro et al. 2020 (CheckList) and
// Naik et al. 2018 (Stress Test Evaluation for Natural Language Inference).
type number struct {
	kinds   [len(numberKinds)]bool
	by      float64
	days    int
	years   int
	convert []int
	words   bool
	forms   *unitForms
}

var numberKinds = [...]string{"amount", "percent", "unit", "count", "date"}

const (
	amount = iota
	percent
	measure
	count
	dates
)

func newNumber(b *edit.Build) edit.Action {
	var p numberParams
	if !b.Decode(&p) {
		return nil
	}
	n := &number{by: share(b, "by", p.By, 0.3), days: within(b, "days", p.Days, 60, 1, 3650), years: within(b, "years", p.Years, 3, 1, 50), words: isTrue(p.Words), forms: newUnitForms()}
	for _, w := range p.What {
		if !oneOf(b, "what", w, numberKinds[:]...) {
			return nil
		}
		n.kinds[slices.Index(numberKinds[:], w)] = true
	}
	if p.What == nil {
		n.kinds = [...]bool{true, true, true, true, true}
	}
	for _, name := range p.Convert {
		u := n.forms.named(name)
		if u < 0 {
			b.Report("rules.param", "convert", "units are written as in text, such as km, lb, °F, psi, 公里", "%q is no unit that is known", name)
			return nil
		}
		n.convert = append(n.convert, u)
	}
	return n
}

// Edit changes what the match holds of numbers.
func (n *number) Edit(c *edit.Context) {
	s := scanner{t: c.Text, comma: decimalComma(c.Lang), words: n.words && english(c), hanzi: n.words, forms: n.forms}
	var buf [16]quantity
	s.found = buf[:0]
	s.scan(max(0, c.Match.Start-nearby), min(len(c.Text), c.Match.End+nearby))
	if n.convert != nil {
		n.converts(c, s.found)
		return
	}
	// what is in the match decides, what is equal to it elsewhere follows
	inside := s.found[:0:0]
	for _, q := range s.found {
		if q.start < c.Match.End && c.Match.Start < q.end && n.kinds[q.kind] {
			inside = append(inside, q)
		}
	}
	if len(inside) == 0 {
		return
	}
	for _, q := range s.found {
		if n.kinds[q.kind] && (q.end <= c.Match.Start || c.Match.End <= q.start) && slices.ContainsFunc(inside, func(x quantity) bool { return x.same(&q) }) {
			inside = append(inside, q)
		}
	}
	n.moveDates(c, inside)
	for i := range inside { // each sort once
		q := &inside[i]
		if q.kind != dates && !slices.ContainsFunc(inside[:i], func(x quantity) bool { return x.sort == q.sort }) {
			n.vary(c, inside, q.sort)
		}
	}
}

// nearby is how far from a match equal numbers are looked for, in bytes.
const nearby = 8192

// vary changes all numbers of one sort by one factor.
func (n *number) vary(c *edit.Context, all []quantity, sort string) {
	for range 6 { // until no two numbers fall together
		// at least a quarter of the range, so that something changes
		f := n.by * (0.25 + 0.75*c.Rand.Float64())
		if c.Rand.IntN(2) == 0 {
			f = -f
		}
		from := len(c.Edits())
		if n.scale(c, all, sort, 1+f) {
			return
		}
		for i := len(c.Edits()); i > from; i-- {
			c.Drop()
		}
	}
}

// scale writes the numbers of a sort times a factor; false says that two that
// differed would be the same, or that the order of two would change.
func (n *number) scale(c *edit.Context, all []quantity, sort string, factor float64) bool {
	type pair struct{ old, new float64 }
	var buf [16]pair
	done := buf[:0]
	for i := range all {
		q := &all[i]
		if q.sort != sort {
			continue
		}
		shown := q.varied(factor)
		p := pair{q.value, shown * q.scale}
		for _, d := range done {
			if d.old < p.old && !(d.new < p.new) || d.old > p.old && !(d.new > p.new) {
				return false
			}
		}
		done = append(done, p)
		if text := q.numeral.write(shown); text != c.Text[q.digitStart:q.digitEnd] {
			if q.numeral.style == words {
				text = likeSurface(text, c.Text[q.digitStart:q.digitEnd], strings.ToLower(c.Text[q.digitStart:q.digitEnd]))
			}
			c.Replace(q.digitStart, q.digitEnd, text)
		}
	}
	return true
}

// varied is the number as it is to be shown.
func (q *quantity) varied(factor float64) float64 {
	v := q.shown
	if v == 0 {
		return 0
	}
	step := math.Pow10(-q.numeral.decimals)
	if q.numeral.decimals == 0 { // round figures stay round, of two figures at least
		for step*10 < v/9.99 && math.Mod(v, step*10) == 0 {
			step *= 10
		}
	}
	if step*10 > v && v >= 100 {
		step /= 10
	}
	low := powerBelow(v)
	high := 10*low - step
	if q.numeral.decimals == 0 && low == 1 {
		if v == 1 { // 1 day: the noun would have to follow
			return v
		}
		low = 2
		if q.numeral.style == words {
			high = 12
		}
	}
	if q.sort == "percent" && v <= 100 {
		high = math.Min(high, 100)
	}
	out := math.Round(v*factor/step) * step
	out = math.Min(math.Max(out, low), high)
	if math.Abs(out-v) < step/2 {
		up := factor > 1
		if up && v+step > high+step/2 {
			up = false
		} else if !up && v-step < low-step/2 {
			up = true
		}
		if up {
			out = v + step
		} else {
			out = v - step
		}
		if out < low-step/2 || out > high+step/2 {
			return v
		}
	}
	return out
}

// powerBelow is the largest power of ten that is not above v.
func powerBelow(v float64) float64 {
	p := math.Pow10(int(math.Floor(math.Log10(v))))
	switch {
	case p > v:
		return p / 10
	case p*10 <= v:
		return p * 10
	}
	return p
}

// converts writes measurements in another unit.
func (n *number) converts(c *edit.Context, all []quantity) {
	for i := range all {
		q := &all[i]
		if q.unit < 0 || q.start >= c.Match.End || q.end <= c.Match.Start || q.numeral.style == words || q.numeral.style == hanzi {
			continue
		}
		from := units[q.unit]
		var to []int
		for _, u := range n.convert {
			if u != q.unit && units[u].dim == from.dim {
				to = append(to, u)
			}
		}
		if len(to) == 0 {
			continue
		}
		u := units[to[pick(c, len(to))]]
		v := (q.shown*q.scale*from.factor + from.offset - u.offset) / u.factor / q.scale
		f := q.numeral
		figures := max(2, significant(c.Text[q.digitStart:q.digitEnd], f))
		f.decimals = 0
		if v != 0 && from.offset == 0 && u.offset == 0 {
			magnitude := int(math.Floor(math.Log10(math.Abs(v)))) + 1
			round := math.Pow10(magnitude - figures)
			v = math.Round(v/round) * round
			f.decimals = max(0, figures-magnitude)
		} else {
			f.decimals = q.numeral.decimals
		}
		if v < 0 && !strings.HasSuffix(c.Text[:q.digitStart], "-") && from.offset == u.offset {
			continue
		}
		text := f.write(v)
		if strings.Contains(text, ".") && f.decimal == 0 {
			text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
		}
		column := q.form
		if u.forms[column] == "" {
			column = 0
			if u.forms[0] == "" {
				column = 3
			}
		}
		if column == 1 && v != 1 && u.forms[2] != "" {
			column = 2
		}
		c.Replace(q.digitStart, q.digitEnd, text)
		c.Replace(q.unitStart, q.end, u.forms[column])
		repairArticle(c, q.digitStart, c.Text[q.digitStart:q.digitEnd], text)
	}
}

// significant counts the figures of a number but the zeros at its end.
func significant(s string, f numeral) int {
	n, zeros := 0, 0
	for i := range len(s) {
		if !isASCIIDigit(s[i]) {
			continue
		}
		if s[i] == '0' && n == 0 {
			continue
		}
		n++
		if s[i] == '0' {
			zeros++
		} else {
			zeros = 0
		}
	}
	if f.decimals > 0 {
		zeros = 0
	}
	return n - zeros
}

// decimalComma reports languages that write 1.234,5.
func decimalComma(lang string) bool {
	l, _, _ := strings.Cut(lang, "-")
	return slices.Contains([]string{"de", "fr", "es", "it", "pt", "nl", "ru", "pl", "sv", "da", "nb", "no", "fi", "cs", "tr", "id"}, l)
}

func formatInt(n, width int) string {
	s := strconv.Itoa(n)
	for len(s) < width {
		s = "0" + s
	}
	return s
}
