package edit

import "github.com/islm-dev/islm/sdk"

// Edit replaces the bytes [Start, End) of an example's Text by New. Start = End
// inserts, an empty New deletes. Both offsets are on rune boundaries of the text
// as it was before any edit.
type Edit struct {
	Start, End int
	New        string
	// Marks are labelled stretches of New, with offsets within New. They stand in
	// place of the spans that the edit replaces whole.
	//
	// Without Marks: a span that contains the edit or equals it keeps its label and
	// grows or shrinks with New (it is gone when nothing of it is left); a span that
	// lies within a longer edit is gone; an edit that cuts through the border of a
	// span is refused.
	Marks []Mark
	// EntityID, if not empty, becomes the entity ID of the spans that equal the
	// edit: another entity now stands there.
	EntityID string
}

// Mark is a labelled stretch of new text for one head.
type Mark struct {
	Head string
	sdk.Span
}

// Match is one place where a rule matched: bytes [Start, End) of the text.
type Match struct {
	Start, End int
	// Groups are the submatches of a regular expression as
	// regexp.FindStringSubmatchIndex gives them (pairs of offsets, -1 for none);
	// nil for every other match.
	Groups []int
	// Names are the names of the groups, "" for the whole and for unnamed ones.
	Names []string
	// List and Row say which entry of a list matched: List.Rows[Row]. List is nil
	// for other matches.
	List *List
	Row  int
	// Head, Label and EntityID are those of the labelled span that matched, or
	// that of the knowledge graph's entity (Head "", Label its type).
	Head, Label, EntityID string
}

// Text is what matched.
func (m *Match) Text(text string) string { return text[m.Start:m.End] }

// Group returns the named group of a regular expression and its place; ok is
// false if the group does not exist or took no part.
func (m *Match) Group(text, name string) (group string, start, end int, ok bool) {
	for i, n := range m.Names {
		if n == name && n != "" && 2*i+1 < len(m.Groups) && m.Groups[2*i] >= 0 {
			start, end = m.Groups[2*i], m.Groups[2*i+1]
			return text[start:end], start, end, true
		}
	}
	return "", 0, 0, false
}
