package edit

import (
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Entity tags in the schemes BIO and BILOU (also written IOBES).

func splitTag(tag string) (prefix byte, label string, ok bool) {
	if tag == "O" {
		return 'O', "", true
	}
	if len(tag) < 3 || tag[1] != '-' || strings.IndexByte("BIESLU", tag[0]) < 0 {
		return 0, "", false
	}
	return tag[0], tag[2:], true
}

// EntityTags reports whether tags mark entities (O, B-X, I-X, …) rather than
// being free, such as parts of speech.
func EntityTags(tags []string) bool {
	for _, t := range tags {
		if _, _, ok := splitTag(t); !ok {
			return false
		}
	}
	return true
}

// TagSpans reads entity tags as spans. An I- tag that continues nothing begins
// an entity, as conlleval reads it. Tags that mark no entities give none.
func TagSpans(tokens []sdk.Token, tags []string) []sdk.Span {
	return AppendTagSpans(nil, tokens, tags)
}

// AppendTagSpans appends the spans that TagSpans gives.
func AppendTagSpans(spans []sdk.Span, tokens []sdk.Token, tags []string) []sdk.Span {
	if len(tokens) != len(tags) || !EntityTags(tags) {
		return spans
	}
	open := false
	for i, tag := range tags {
		p, label, _ := splitTag(tag)
		switch {
		case p == 'O':
			open = false
			continue
		case open && (p == 'I' || p == 'E' || p == 'L') && spans[len(spans)-1].Label == label:
			spans[len(spans)-1].End = tokens[i].End
		default:
			spans = append(spans, sdk.Span{Start: tokens[i].Start, End: tokens[i].End, Label: label})
		}
		open = p == 'B' || p == 'I'
	}
	return spans
}
