package corpus

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

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
// word. A word that the tokenizer cuts cannot fill a gap. Where white space stands
// before the pattern's gap, the pieces are those of words behind white space, which
// byte-level BPE tells from others.
func PatternWords(tok *token.Tokenizer, labels []string, verbalizer map[string]string, pattern string) (ids string, ds sdk.Diagnostics) {
	before, _, _ := strings.Cut(pattern, gapMask)
	apart := before != strings.TrimRightFunc(before, unicode.IsSpace)
	lead := tok.Encode(leadWord, token.Options{Bare: true}).IDs
	pieces := func(word string) []int32 {
		if apart {
			with := tok.Encode(leadWord+" "+word, token.Options{Bare: true}).IDs
			if len(with) > len(lead) && slices.Equal(with[:len(lead)], lead) {
				return with[len(lead):]
			}
		}
		return tok.Encode(word, token.Options{Bare: true}).IDs
	}
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
			found := pieces(word)
			if unk, has := tok.Special("unk"); len(found) != 1 || has && found[0] == unk {
				ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "fewshot.verbalizer", Path: "fewshot.verbalizer",
					Summary: fmt.Sprintf("the word %q of label %q is not one piece of the vocabulary: %s", word, l, strings.Join(tok.Pieces(found), " ")),
					Remedy:  "give the label a word that the vocabulary has: --set 'fewshot.verbalizer={" + l + ": WORD}'"})
				continue
			}
			of = append(of, strconv.Itoa(int(found[0])))
		}
		out = append(out, strings.Join(of, ","))
	}
	return strings.Join(out, " "), ds
}

// leadWord stands before a word whose pieces behind white space are wanted.
const leadWord = "a"

// CheckPattern says what is wrong with a pattern; a causal model sees nothing of what
// is behind the gap.
func CheckPattern(pattern string, causal bool) (ds sdk.Diagnostics) {
	if strings.Count(pattern, gapMask) != 1 || strings.Count(pattern, gapText) != 1 || strings.Count(pattern, gapTextB) > 1 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "fewshot.pattern", Path: "fewshot.pattern", Summary: fmt.Sprintf("the pattern %q wants {text} and {mask} once each, and {text_b} at most once", pattern), Remedy: `write it as "{text} It was {mask}."`})
	} else if causal && strings.TrimSpace(pattern[strings.Index(pattern, gapMask)+len(gapMask):]) != "" {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "fewshot.pattern", Path: "fewshot.pattern", Summary: fmt.Sprintf("the pattern %q goes on behind {mask}, which a causal language model does not see", pattern), Remedy: `write it as "{text} It was {mask}"`})
	}
	return ds
}

// fillIn writes a text into the pattern of a head: ids with special tokens, and where
// the head reads: at the mask, or with a causal model at the last piece, which the
// label's word would follow. Of texts that are too long the end goes; the pattern stays.
func fillIn(t *token.Tokenizer, head sdk.HeadSpec, ex *sdk.Example, limit int) (row recipe.Encoded, gap int32, err error) {
	causal := head.Options[sdk.OptionCausal] == "on"
	mask, ok := t.Special("mask")
	if !ok && !causal {
		return row, 0, fmt.Errorf("encode %s: a pattern wants a vocabulary with a mask token", ex.ID)
	}
	around := t.Encode("", token.Options{}).IDs
	switch {
	case !causal && len(around) != 2:
		return row, 0, fmt.Errorf("encode %s: a pattern wants a tokenizer that puts one token before a text and one after it", ex.ID)
	case causal && len(around) > 0: // what marks a text's end does not stand before the word
		around = around[:1]
	}
	type segment struct {
		ids  []int32
		text bool // may be cut
	}
	var segments []segment
	fixed := len(around)
	for rest := head.Options[sdk.OptionPattern]; rest != ""; {
		at, name := len(rest), ""
		for _, g := range []string{gapText, gapTextB, gapMask} {
			if i := strings.Index(rest, g); i >= 0 && i < at {
				at, name = i, g
			}
		}
		literal := rest[:at]
		if name == gapMask { // white space before a word is part of its piece
			literal = strings.TrimRightFunc(literal, unicode.IsSpace)
		}
		s := segment{ids: t.Encode(literal, token.Options{Bare: true}).IDs}
		fixed += len(s.ids)
		segments = append(segments, s)
		if causal && name == gapMask {
			break
		}
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
	if len(around) > 0 {
		row.IDs = append(row.IDs, around[0])
	}
	for _, s := range segments {
		if !causal && len(s.ids) == 1 && s.ids[0] == mask && !s.text {
			gap = int32(len(row.IDs))
		}
		row.IDs = append(row.IDs, s.ids...)
	}
	if causal {
		if len(row.IDs) == 0 {
			return row, 0, fmt.Errorf("encode %s: nothing stands before the gap of the pattern", ex.ID)
		}
		return row, int32(len(row.IDs)) - 1, nil
	}
	row.IDs = append(row.IDs, around[1])
	return row, gap, nil
}
