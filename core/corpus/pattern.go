package corpus

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// Gaps of a pattern.
const (
	gapText  = "{text}"
	gapTextB = "{text_b}"
	gapMask  = "{mask}"
)

// PatternWords finds the ids of labels' words, for sdk.OptionWords: verbalizer names
// for a label its word, or several joined by |; a label that it lacks is its own
// word. A word that the tokenizer cuts cannot fill a gap.
func PatternWords(tok *token.Tokenizer, labels []string, verbalizer map[string]string) (ids string, ds sdk.Diagnostics) {
	var out []string
	for name := range verbalizer {
		found := false
		for _, l := range labels {
			found = found || l == name
		}
		if !found {
			d := sdk.Diagnostic{Severity: sdk.Error, Code: "fewshot.verbalizer", Path: "fewshot.verbalizer", Summary: fmt.Sprintf("the verbalizer has a word for %q, which is no label", name), Remedy: "labels: " + strings.Join(labels, ", ")}
			if near := sdk.Nearest(name, labels); near != "" {
				d.Remedy = fmt.Sprintf("did you mean %q?", near)
			}
			ds.Add(d)
		}
	}
	for _, l := range labels {
		words, ok := verbalizer[l]
		if !ok {
			words = l
		}
		var of []string
		for word := range strings.SplitSeq(words, "|") {
			word = strings.TrimSpace(word)
			enc := tok.Encode(word, token.Options{Bare: true})
			if unk, has := tok.Special("unk"); len(enc.IDs) != 1 || has && enc.IDs[0] == unk {
				ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "fewshot.verbalizer", Path: "fewshot.verbalizer",
					Summary: fmt.Sprintf("the word %q of label %q is not one piece of the vocabulary: %s", word, l, strings.Join(tok.Pieces(enc.IDs), " ")),
					Remedy:  "give the label a word that the vocabulary has: --set 'fewshot.verbalizer={" + l + ": WORD}'"})
				continue
			}
			of = append(of, strconv.Itoa(int(enc.IDs[0])))
		}
		out = append(out, strings.Join(of, ","))
	}
	return strings.Join(out, " "), ds
}

// CheckPattern says what is wrong with a pattern.
func CheckPattern(pattern string) (ds sdk.Diagnostics) {
	if strings.Count(pattern, gapMask) != 1 || strings.Count(pattern, gapText) != 1 || strings.Count(pattern, gapTextB) > 1 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "fewshot.pattern", Path: "fewshot.pattern", Summary: fmt.Sprintf("the pattern %q wants {text} and {mask} once each, and {text_b} at most once", pattern), Remedy: `write it as "{text} It was {mask}."`})
	}
	return ds
}

// fillIn writes a text into a pattern: ids with special tokens, and where the gap
// is. Of texts that are too long the end goes; the pattern stays.
func fillIn(t *token.Tokenizer, pattern string, ex *sdk.Example, limit int) (row recipe.Encoded, gap int32, err error) {
	mask, ok := t.Special("mask")
	if !ok {
		return row, 0, fmt.Errorf("encode %s: a pattern wants a vocabulary with a mask token", ex.ID)
	}
	around := t.Encode("", token.Options{}).IDs
	if len(around) != 2 {
		return row, 0, fmt.Errorf("encode %s: a pattern wants a tokenizer that puts one token before a text and one after it", ex.ID)
	}
	type segment struct {
		ids  []int32
		text bool // may be cut
	}
	var segments []segment
	fixed := len(around)
	for rest := pattern; rest != ""; {
		at, name := len(rest), ""
		for _, g := range []string{gapText, gapTextB, gapMask} {
			if i := strings.Index(rest, g); i >= 0 && i < at {
				at, name = i, g
			}
		}
		s := segment{ids: t.Encode(rest[:at], token.Options{Bare: true}).IDs}
		fixed += len(s.ids)
		segments = append(segments, s)
		switch name {
		case gapMask:
			segments = append(segments, segment{ids: []int32{mask}})
			fixed++
		case gapText:
			segments = append(segments, segment{t.Encode(ex.Text, token.Options{Bare: true}).IDs, true})
		case gapTextB:
			segments = append(segments, segment{t.Encode(ex.TextB, token.Options{Bare: true}).IDs, true})
		}
		rest = rest[at+len(name):]
	}
	if limit > 0 {
		if fixed > limit {
			return row, 0, fmt.Errorf("encode %s: the pattern alone has %d pieces, data.max_length allows %d", ex.ID, fixed, limit)
		}
		for room := limit - fixed; ; {
			longest, total := -1, 0
			for i, s := range segments {
				if s.text {
					if total += len(s.ids); longest < 0 || len(s.ids) > len(segments[longest].ids) {
						longest = i
					}
				}
			}
			if total <= room {
				break
			}
			segments[longest].ids = segments[longest].ids[:len(segments[longest].ids)-1]
		}
	}
	row.IDs = append(row.IDs, around[0])
	for _, s := range segments {
		if len(s.ids) == 1 && s.ids[0] == mask && !s.text {
			gap = int32(len(row.IDs))
		}
		row.IDs = append(row.IDs, s.ids...)
	}
	row.IDs = append(row.IDs, around[1])
	return row, gap, nil
}
