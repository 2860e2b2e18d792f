package metric

import (
	"regexp"
	"strings"
	"unicode"
)

// The rules of mteval-v13a, in their order. Each reads what the one before it
// wrote, and a character that was matched does not match again within a rule:
// of ".." only the first point is set apart from what precedes it.
var mteval = []struct {
	find *regexp.Regexp
	with string
}{
	{regexp.MustCompile("([{-~\\[-` -&(-+:-@/])"), " $1 "}, // marks, but for ' , - .
	{regexp.MustCompile(`([^0-9])([.,])`), "$1 $2 "},       // points and commas not after a digit
	{regexp.MustCompile(`([.,])([^0-9])`), " $1 $2"},       // nor before one: 1,000.5 stays whole
	{regexp.MustCompile(`([0-9])(-)`), "$1 $2 "},           // hyphens after a digit
}

// Tokens13a cuts a text as mteval-v13a does, the default of sacrebleu: hyphens
// at line ends are joined, the entities &quot; &amp; &lt; &gt; read, marks set
// apart. Case is kept.
func Tokens13a(text string) []string {
	text = strings.TrimRightFunc(text, space)
	// One after the other: &amp;lt; ends as <.
	for _, r := range [][2]string{{"<skipped>", ""}, {"-\n", ""}, {"\n", " "}, {"&quot;", `"`}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}} {
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	return cutMarks(" " + text + " ")
}

// TokensZh cuts a text as the tokenizer `zh` of sacrebleu does: every Chinese
// character or mark is a token, and the rest is cut by the rules of
// mteval-v13a, without reading entities.
func TokensZh(text string) []string {
	apart := strings.Builder{}
	for _, r := range strings.TrimFunc(text, space) {
		if unicode.Is(chinese, r) {
			apart.WriteByte(' ')
			apart.WriteRune(r)
			apart.WriteByte(' ')
			continue
		}
		apart.WriteRune(r)
	}
	return cutMarks(apart.String())
}

// chinese is what sacrebleu's `zh` takes for Chinese. It is wider below and
// narrower above than the name says: the bounds that were meant for U+20000 to
// U+2A6D6 hold U+2001 to U+2A6D there (curly quotes, dashes, arrows), and rare
// characters beyond U+FFFF are left as they stand. Scores can only be compared
// with published ones if this is kept.
var chinese = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0x2001, Hi: 0x2a6d, Stride: 1},
	{Lo: 0x2e80, Hi: 0x2fdf, Stride: 1},
	{Lo: 0x2ff0, Hi: 0x303f, Stride: 1},
	{Lo: 0x3100, Hi: 0x312f, Stride: 1},
	{Lo: 0x31a0, Hi: 0x31ef, Stride: 1},
	{Lo: 0x3200, Hi: 0x4db5, Stride: 1},
	{Lo: 0x4e00, Hi: 0x9fbb, Stride: 1},
	{Lo: 0xf900, Hi: 0xfa2d, Stride: 1},
	{Lo: 0xfa30, Hi: 0xfa6a, Stride: 1},
	{Lo: 0xfa70, Hi: 0xfad9, Stride: 1},
	{Lo: 0xfe10, Hi: 0xfe1f, Stride: 1},
	{Lo: 0xfe30, Hi: 0xfe4f, Stride: 1},
	{Lo: 0xff00, Hi: 0xffef, Stride: 1},
}}

func cutMarks(text string) []string {
	for _, rule := range mteval {
		text = rule.find.ReplaceAllString(text, rule.with)
	}
	return strings.FieldsFunc(text, space)
}

// RougeTokens cuts a text as rouge-score does without a stemmer: runs of the
// letters a to z and digits, in lower case. All else separates, Chinese too.
func RougeTokens(text string) []string { return rougeTokens(text, false) }

// RougeTokensZh cuts a text as RougeTokens does, and every Chinese character
// (of the script Han) is a token as well.
func RougeTokensZh(text string) []string { return rougeTokens(text, true) }

func rougeTokens(text string, han bool) []string {
	apart := strings.Builder{}
	for _, r := range text {
		l := unicode.ToLower(r)
		switch {
		case l >= 'a' && l <= 'z' || l >= '0' && l <= '9':
			apart.WriteRune(l)
			if r != 'İ' { // in lower case it is i and a dot of its own, which separates
				continue
			}
		case han && unicode.Is(unicode.Han, r):
			apart.WriteByte(' ')
			apart.WriteRune(r)
		}
		apart.WriteByte(' ')
	}
	return strings.Fields(apart.String())
}

// space is white space as Python's str.split has it, which the reference
// implementations use: that of Unicode and the four separators of ASCII.
func space(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
