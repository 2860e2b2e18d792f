package corpus

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/sdk"
)

// readCoNLL reads token files: one token per line, its tag in the last column,
// a blank line between sentences, columns separated by tabs or spaces, lines
// that begin with -DOCSTART- skipped. A file of one column has tokens without
// tags. Every line has as many columns as the first.
func readCoNLL(file, text string, p *problems) []row {
	var rows []row
	var tokens, tags []string
	start, columns, line := 0, 0, 0
	tabs := false
	flush := func() {
		if len(tokens) == 0 {
			return
		}
		r := row{Example: sdk.Example{File: file, Line: start}}
		r.Text, r.Tokens = joinTokens(tokens)
		if columns > 1 {
			r.labels = []rawLabel{{form: formTags, tags: tags}}
		}
		rows = append(rows, r)
		tokens, tags = nil, nil
	}
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimRight(l, "\r\n")
		if strings.Trim(l, " \t") == "" {
			// A token may be a blank: then its line has a tab and a tag.
			flush()
			continue
		}
		if strings.HasPrefix(l, "-DOCSTART-") {
			flush()
			continue
		}
		if columns == 0 {
			tabs = strings.Contains(l, "\t")
		}
		fields := splitColumns(l, tabs)
		if columns == 0 {
			columns = len(fields)
		}
		if len(fields) != columns {
			d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.columns", File: file, Line: line,
				Summary: fmt.Sprintf("%s where the lines before have %d", plural(len(fields), "column", "columns"), columns),
				Detail:  fmt.Sprintf("%q", clip(l)),
				Remedy:  "each line is TOKEN, a tab or a space, further columns if all lines have them, and the TAG; blank lines end sentences"}
			p.add(d)
			if len(tokens) == 0 {
				start = line
			}
			tokens, tags = append(tokens, fields[0]), append(tags, "O") // the sentence goes on
			continue
		}
		if fields[0] == "" || (columns > 1 && fields[columns-1] == "") {
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.columns", File: file, Line: line,
				Summary: "a column is empty", Detail: fmt.Sprintf("%q", clip(l))})
			fields[0] += "?"
		}
		if len(tokens) == 0 {
			start = line
		}
		tokens = append(tokens, fields[0])
		tags = append(tags, fields[columns-1])
	}
	flush()
	if columns == 1 && len(rows) > 0 {
		p.notice("data.unlabelled", file, "one column: tokens without tags")
	}
	return rows
}

// splitColumns splits at each tab, or at runs of spaces and tabs. Other blanks,
// such as the ideographic space, are text.
func splitColumns(line string, tabs bool) []string {
	if tabs {
		fields := strings.Split(line, "\t")
		last := len(fields) - 1
		fields[last] = strings.Trim(fields[last], " ")
		if last > 1 && fields[last] == "" { // a tab at the end of the line
			fields = fields[:last]
		}
		return fields
	}
	return strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
}

// joinTokens makes a text of words: a space between two of them unless one of
// the neighbours is a Chinese or Japanese character, and none at all where most
// tokens are single characters of these.
func joinTokens(words []string) (string, []sdk.Token) {
	single := 0
	for _, w := range words {
		if r, n := utf8.DecodeRuneInString(w); n == len(w) && isIdeograph(r) {
			single++
		}
	}
	spaces := 2*single <= len(words)
	var b strings.Builder
	tokens := make([]sdk.Token, len(words))
	wide := true
	for i, w := range words {
		first, _ := utf8.DecodeRuneInString(w)
		if i > 0 && spaces && !wide && !isIdeograph(first) {
			b.WriteByte(' ')
		}
		tokens[i].Start = b.Len()
		b.WriteString(w)
		tokens[i].End = b.Len()
		last, _ := utf8.DecodeLastRuneInString(w)
		wide = isIdeograph(last)
	}
	return b.String(), tokens
}

// isIdeograph reports whether r is written without spaces around it: Chinese
// characters, kana, and the punctuation that goes with them.
func isIdeograph(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) || r >= 0x3000 && r <= 0x303f || r >= 0xff00 && r <= 0xffef
}
