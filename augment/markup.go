package augment

import (
	"regexp"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// mark is [surface](LABEL) or [surface](LABEL#entity).
var mark = regexp.MustCompile(`\\\[|\[([^\[\]]+)\]\(([\pL_][\pL\pN_.-]*)(?:#([^()\s]+))?\)`)

// parseMarks takes the marks of labelled spans out of a text.
func parseMarks(s string) (text string, spans []sdk.Span) {
	var b strings.Builder
	last := 0
	for _, m := range mark.FindAllStringSubmatchIndex(s, -1) {
		b.WriteString(s[last:m[0]])
		last = m[1]
		if m[2] < 0 { // \[
			b.WriteByte('[')
			continue
		}
		sp := sdk.Span{Start: b.Len(), Label: s[m[4]:m[5]]}
		b.WriteString(s[m[2]:m[3]])
		sp.End = b.Len()
		if m[6] >= 0 {
			sp.EntityID = s[m[6]:m[7]]
		}
		spans = append(spans, sp)
	}
	b.WriteString(s[last:])
	return b.String(), spans
}

// writeMarks puts marks into a text. Spans that begin within another one are
// shown after it, as {LABEL: surface}, since marks do not nest.
func writeMarks(text string, spans []sdk.Span) string {
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b sdk.Span) int {
		if a.Start != b.Start {
			return a.Start - b.Start
		}
		return b.End - a.End
	})
	var b, rest strings.Builder
	last := 0
	for _, s := range spans {
		if s.Start < last {
			rest.WriteString(" {" + s.Label + ": " + text[s.Start:s.End] + "}")
			continue
		}
		b.WriteString(escapeMarks(text[last:s.Start]))
		b.WriteString("[" + text[s.Start:s.End] + "](" + s.Label)
		if s.EntityID != "" {
			b.WriteString("#" + s.EntityID)
		}
		b.WriteString(")")
		last = s.End
	}
	b.WriteString(escapeMarks(text[last:]))
	return b.String() + rest.String()
}

// escapeMarks writes \[ where a text would be read as a mark.
func escapeMarks(s string) string {
	if !strings.Contains(s, "[") {
		return s
	}
	return mark.ReplaceAllStringFunc(s, func(m string) string { return `\` + m })
}
