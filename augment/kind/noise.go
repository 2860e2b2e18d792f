package kind

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/edit"
)

// noiseParams are the keys of noise.v0.
type noiseParams struct {
	How   edit.Names `yaml:"how" doc:"keyboard (a neighbouring key), omit, double, transpose (two letters change places), typo (one of these four), ocr (what scanners confuse), case, blank (a blank lost), width or script; default typo"`
	Count int        `yaml:"count" doc:"errors in the match at most; default 1"`
	Rate  *float64   `yaml:"rate" doc:"instead of count: the part of the letters that is hit, one at least"`
	First bool       `yaml:"first" doc:"the first letter of a word may be hit too"`
	Spans string     `yaml:"spans" doc:"allow (labelled spans may be hit) or avoid; default allow"`
	To    string     `yaml:"to" doc:"for width: half or full; for script: simplified or traditional; the whole match is written so"`
}

// noise makes the errors that people and scanners make: neighbouring keys (Belinkov
// and Bisk 2018, Synthetic and Natural Noise Both Break Neural Machine
// Translation), what optical character recognition confuses, and other widths and
// scripts of the same characters. Digits are hit by ocr and width alone, since a
// typing error there would make another number.
type noise struct {
	how   []string
	count int
	rate  float64
	first bool
	avoid bool
	to    string
	keys  [26]string
	table *scripts
}

var noiseHows = []string{"keyboard", "omit", "double", "transpose", "typo", "ocr", "case", "blank", "width", "script"}

func newNoise(b *edit.Build) edit.Action {
	p := noiseParams{How: edit.Names{"typo"}, Spans: "allow"}
	if !b.Decode(&p) {
		return nil
	}
	n := &noise{how: p.How, count: within(b, "count", p.Count, 1, 1, 1000), first: p.First, avoid: p.Spans == "avoid", to: p.To, keys: neighbours()}
	ok := oneOf(b, "spans", p.Spans, "allow", "avoid")
	for _, h := range p.How {
		ok = oneOf(b, "how", h, noiseHows...) && ok
	}
	if p.Rate != nil {
		n.rate = share(b, "rate", p.Rate, 0)
		if p.Count != 0 {
			b.Report("rules.param", "rate", "drop one of the two", "count and rate exclude each other")
		}
	}
	if !ok {
		return nil
	}
	switch whole := p.How[0]; whole {
	case "width", "script":
		known := map[string][]string{"width": {"half", "full"}, "script": {"simplified", "traditional"}}[whole]
		if len(p.How) > 1 || p.To == "" || p.Count != 0 || p.Rate != nil {
			b.Report("rules.param", "how", "write how: "+whole+" and to: "+known[0]+" or "+known[1], "%s writes the whole match in another way: it goes with to alone", whole)
			return nil
		}
		if !oneOf(b, "to", p.To, known...) {
			return nil
		}
		if whole == "script" {
			n.table = newScripts()
		}
	default:
		if p.To != "" {
			b.Report("rules.param", "to", "", "to goes with width and script")
			return nil
		}
	}
	return n
}

// Edit makes errors in the match.
func (n *noise) Edit(c *edit.Context) {
	switch n.how[0] {
	case "width":
		n.each(c, n.width)
		return
	case "script":
		n.each(c, n.script)
		return
	}
	count := n.count
	if n.rate > 0 {
		letters := 0
		for _, r := range c.Matched() {
			if unicode.IsLetter(r) {
				letters++
			}
		}
		count = max(1, int(float64(letters)*n.rate+0.5))
	}
	for range count {
		n.err(c)
	}
}

// each writes every character in another way; characters side by side that
// change make one edit, which does not cross the border of a span.
func (n *noise) each(c *edit.Context, f func(r rune) rune) {
	start := -1
	var b strings.Builder
	flush := func(end int) {
		if start >= 0 {
			c.Replace(start, end, b.String())
			b.Reset()
			start = -1
		}
	}
	var borders []int
	c.Spans(c.Match.Start, c.Match.End, func(_ string, s sdkSpan) bool {
		borders = append(borders, s.Start, s.End)
		return true
	})
	for i, r := range c.Text[c.Match.Start:c.Match.End] {
		at := c.Match.Start + i
		for _, x := range borders {
			if x == at {
				flush(at)
			}
		}
		if to := f(r); to != r && !(n.avoid && overlapsSpan(c, at, at+1)) {
			if start < 0 {
				start = at
			}
			b.WriteRune(to)
			continue
		}
		flush(at)
	}
	flush(c.Match.End)
}

// width writes ASCII in full width or the other way round, with the signs of
// Chinese that have a twin.
func (n *noise) width(r rune) rune {
	if n.to == "full" {
		switch {
		case r == ' ':
			return '\u3000'
		case r > ' ' && r < 0x7f:
			return r + 0xfee0
		}
		return r
	}
	switch {
	case r == '\u3000':
		return ' '
	case r > 0xff00 && r < 0xff5f:
		return r - 0xfee0
	case r == '。':
		return '.'
	case r == '、':
		return ','
	}
	return r
}

func (n *noise) script(r rune) rune {
	t := n.table.simplify
	if n.to == "traditional" {
		t = n.table.traditional
	}
	if to, ok := t[r]; ok {
		return to
	}
	return r
}

// err makes one error at a drawn place: it tries a few places until one allows it.
func (n *noise) err(c *edit.Context) {
	t := c.Text
	size := c.Match.End - c.Match.Start
	for range 24 {
		i := c.Match.Start + c.Rand.IntN(size)
		for !utf8.RuneStart(t[i]) {
			i--
		}
		how := n.how[pick(c, len(n.how))]
		if how == "typo" {
			how = noiseHows[c.Rand.IntN(4)]
		}
		start, end, text := n.at(c, how, i)
		if end <= start || start < c.Match.Start || end > c.Match.End || text == t[start:end] {
			continue
		}
		if n.avoid && overlapsSpan(c, start, end) || touched(c, start, end) {
			continue
		}
		c.Replace(start, end, text)
		return
	}
}

// touched reports that an edit of this call lies on or right beside [start, end).
func touched(c *edit.Context, start, end int) bool {
	for _, x := range c.Edits() {
		if x.Start <= end && start <= x.End {
			return true
		}
	}
	return false
}

// at is one error at the character that begins at i; end is 0 if it does not
// allow this error.
func (n *noise) at(c *edit.Context, how string, i int) (start, end int, text string) {
	t := c.Text
	r, size := utf8.DecodeRuneInString(t[i:])
	head := i == 0 || !edit.IsWord(runeBefore(t, i)) // of a word
	switch how {
	case "ocr":
		return n.ocr(c, i)
	case "blank":
		if r == ' ' && i > 0 && i+1 < len(t) && edit.IsWord(runeBefore(t, i)) {
			return i, i + 1, ""
		}
		return 0, 0, ""
	case "case":
		if u := unicode.ToUpper(r); u != r && utf8.RuneLen(u) == size {
			return i, i + size, string(u)
		}
		if l := unicode.ToLower(r); l != r && utf8.RuneLen(l) == size {
			return i, i + size, string(l)
		}
		return 0, 0, ""
	}
	if !unicode.IsLetter(r) || edit.IsIdeograph(r) || head && !n.first {
		return 0, 0, ""
	}
	switch how {
	case "keyboard":
		low := unicode.ToLower(r)
		if low < 'a' || low > 'z' {
			return 0, 0, ""
		}
		near := n.keys[low-'a']
		k := near[c.Rand.IntN(len(near))]
		if low != r {
			k -= 'a' - 'A'
		}
		return i, i + 1, string(rune(k))
	case "omit":
		if next, _ := utf8.DecodeRuneInString(t[i+size:]); head && !unicode.IsLetter(next) {
			return 0, 0, "" // a word of one letter would be gone
		}
		return i, i + size, ""
	case "double":
		return i, i + size, string(r) + string(unicode.ToLower(r))
	case "transpose":
		next, k := utf8.DecodeRuneInString(t[i+size:])
		if !unicode.IsLetter(next) || unicode.ToLower(next) == unicode.ToLower(r) {
			return 0, 0, ""
		}
		first, second := next, r
		if unicode.IsUpper(r) && !unicode.IsUpper(next) {
			first, second = unicode.ToUpper(next), unicode.ToLower(r)
		}
		if utf8.RuneLen(first) != k || utf8.RuneLen(second) != size {
			return 0, 0, ""
		}
		return i, i + size + k, string(first) + string(second)
	}
	return 0, 0, ""
}

func runeBefore(t string, i int) rune {
	r, _ := utf8.DecodeLastRuneInString(t[:i])
	return r
}

// ocr confuses the characters at i with what looks alike.
func (n *noise) ocr(c *edit.Context, i int) (start, end int, text string) {
	t := c.Text
	var buf [8]string
	found := buf[:0]
	from := ""
	for _, p := range ocrPairs {
		if strings.HasPrefix(t[i:], p[0]) && (from == "" || from == p[0]) {
			from = p[0]
			found = append(found, p[1])
		}
	}
	if from == "" {
		r, size := utf8.DecodeRuneInString(t[i:])
		for _, group := range ocrHan {
			if !strings.ContainsRune(group, r) {
				continue
			}
			k := c.Rand.IntN(utf8.RuneCountInString(group) - 1)
			for _, x := range group {
				if x == r {
					continue
				}
				if k == 0 {
					return i, i + size, string(x)
				}
				k--
			}
		}
		return 0, 0, ""
	}
	return i, i + len(from), found[pick(c, len(found))]
}

// ocrPairs are what character recognition takes for something else, pairs of
// letters before single ones.
var ocrPairs = [...][2]string{
	{"rn", "m"}, {"cl", "d"}, {"vv", "w"}, {"nn", "m"}, {"li", "h"}, {"ri", "n"}, {"fi", "ﬁ"}, {"ii", "u"}, {"m", "rn"}, {"d", "cl"}, {"w", "vv"}, {"h", "li"},
	{"l", "1"}, {"l", "I"}, {"1", "l"}, {"1", "I"}, {"I", "l"}, {"I", "1"}, {"O", "0"}, {"0", "O"}, {"o", "0"}, {"S", "5"}, {"5", "S"}, {"B", "8"}, {"8", "B"}, {"Z", "2"}, {"2", "Z"},
	{"G", "6"}, {"6", "G"}, {"q", "g"}, {"g", "q"}, {"g", "9"}, {"9", "g"}, {"e", "c"}, {"c", "e"}, {"u", "ii"}, {"n", "ri"}, {"i", "j"}, {"t", "f"}, {"f", "t"}, {"D", "O"}, {"Q", "O"}, {"E", "F"}, {"7", "T"}, {"T", "7"},
	{"a", "o"}, {"v", "y"}, {"y", "v"}, {",", "."}, {";", ":"},
}

// ocrHan are groups of characters that look alike.
var ocrHan = [...]string{"未末", "己已巳", "人入八", "日曰目", "土士", "干千于", "大太犬", "天夫", "王玉主", "田由甲申", "午牛", "刀力刁", "几儿九", "贝见", "木本术", "白自百", "今令", "免兔", "处外", "没设", "住往佳",
	"治冶", "折拆析", "侯候", "晴睛", "抢枪", "徒徙", "孤狐弧", "密蜜", "即既", "辨辩", "历厉", "崇祟", "戊戌戍", "间问", "乌鸟", "享亨", "亳毫", "帅师", "车东", "季李", "微徽", "幕墓慕", "卷券", "赢嬴", "博搏", "待侍", "洒酒", "准淮", "凉谅", "栗粟", "贷货", "贫贪", "炙灸", "拔拨", "陪赔倍", "场扬", "代伐", "斤斥", "圆园", "元无", "风凤", "话活", "情清请", "债侦", "阀阅", "轮轴", "泵录", "钢铜"}

// neighbours are the keys beside each letter on a QWERTY keyboard.
func neighbours() [26]string {
	rows := [...]string{"qwertyuiop", "asdfghjkl", "zxcvbnm"}
	shift := [...]float64{0, 0.25, 0.75} // how far each row stands to the right
	var near [26]string
	for i, row := range rows {
		for j := range len(row) {
			for k, other := range rows {
				for l := range len(other) {
					dx, dy := float64(l)+shift[k]-float64(j)-shift[i], k-i
					if (dx != 0 || dy != 0) && dy >= -1 && dy <= 1 && dx*dx <= 1 {
						near[row[j]-'a'] += other[l : l+1]
					}
				}
			}
		}
	}
	return near
}
