package report

import (
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
)

// Table is text in columns. Cells are
// aligned by display width, so that East Asian text and emoji keep columns
// straight.
type Table struct {
	Title  string
	Header []string
	Rows   [][]string // nil = a blank line; short rows are filled
	Left   int        // this many columns are aligned to the left, the others to the right
	Gap    int        // blanks between columns, 2 if 0; after the first at least 2
	Min    int        // least width of the columns after the first
}

// widest is the display width after which a label is cut.
const widest = 48

// String lays the table out, one line per row, each ended by a newline.
func (t *Table) String() string {
	gap := t.Gap
	if gap == 0 {
		gap = 2
	}
	rows := make([][]string, 0, len(t.Rows)+1)
	if len(t.Header) > 0 {
		rows = append(rows, t.Header)
	}
	rows = append(rows, t.Rows...)
	var width []int
	cells := make([][]string, len(rows))
	for i, row := range rows {
		for j, cell := range row {
			cell = Fit(Clean(cell), widest)
			cells[i] = append(cells[i], cell)
			if j == len(width) {
				w := 0
				if j > 0 {
					w = t.Min
				}
				width = append(width, w)
			}
			width[j] = max(width[j], uniseg.StringWidth(cell))
		}
	}
	var b strings.Builder
	if t.Title != "" {
		b.WriteString(Clean(t.Title) + "\n")
	}
	for _, row := range cells {
		var line strings.Builder
		for j, cell := range row {
			pad := strings.Repeat(" ", width[j]-uniseg.StringWidth(cell))
			between := gap
			if j == 1 {
				between = max(2, gap)
			}
			if j > 0 {
				line.WriteString(strings.Repeat(" ", between))
			}
			if j < t.Left {
				line.WriteString(cell + pad)
			} else {
				line.WriteString(pad + cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// Clean makes text from data fit for one line of a terminal: control
// characters (also escape sequences and directional overrides) and bytes that
// are not UTF-8 become visible replacement characters, line breaks blanks.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r), r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// Fit cuts text to a display width; a cut is shown by an ellipsis.
func Fit(s string, width int) string {
	if uniseg.StringWidth(s) <= width {
		return s
	}
	var b strings.Builder
	used := 0
	g := uniseg.NewGraphemes(s)
	for g.Next() {
		if used+g.Width() > width-1 {
			break
		}
		used += g.Width()
		b.WriteString(g.Str())
	}
	return b.String() + "…"
}
