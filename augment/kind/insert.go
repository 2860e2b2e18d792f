package kind

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/edit"
)

// insertParams are the keys of insert.v0.
type insertParams struct {
	Text    edit.Names `yaml:"text" doc:"texts to draw from"`
	List    string     `yaml:"list" doc:"list to draw from"`
	Synonym bool       `yaml:"synonym" doc:"insert a synonym of the matched word, as a thesaurus gives it"`
	POS     string     `yaml:"pos" doc:"part of speech asked of the thesaurus"`
	At      string     `yaml:"at" doc:"random (a word border within the match), before, after, or anywhere (a word border of the text); default random, with synonym anywhere"`
	Count   int        `yaml:"count" doc:"how many to insert; default 1"`
	Share   *float64   `yaml:"share" doc:"instead of count: between 1 and this part of the words of the match"`
	Spans   string     `yaml:"spans" doc:"avoid (not within labelled spans) or allow; default avoid"`
}

// insertion puts words or signs between others: EDA's random insertion of synonyms
// (Wei and Zou 2019) and AEDA's of punctuation (Karimi, Rossi and Prati 2021,
// AEDA: An Easier Data Augmentation Technique for Text Classification).
type insertion struct {
	texts     []string
	thesaurus bool
	pos       string
	at        string
	count     int
	share     float64
	allow     bool
}

func newInsert(b *edit.Build) edit.Action {
	var p insertParams
	if !b.Decode(&p) {
		return nil
	}
	in := &insertion{texts: p.Text, thesaurus: p.Synonym, pos: p.POS, at: p.At, count: within(b, "count", p.Count, 1, 1, 100), allow: p.Spans == "allow"}
	oneOf(b, "at", p.At, "random", "before", "after", "anywhere")
	oneOf(b, "spans", p.Spans, "avoid", "allow")
	oneOf(b, "pos", p.POS, "noun", "verb", "adjective", "adverb")
	if p.Share != nil {
		in.share = share(b, "share", p.Share, 0)
		if p.Count != 0 {
			b.Report("rules.param", "share", "drop one of the two", "count and share exclude each other")
		}
	}
	if !exclusive(b, []string{"text", "list", "synonym"}, p.Text != nil, p.List != "", p.Synonym) {
		return nil
	}
	if in.at == "" {
		in.at = "random"
		if p.Synonym {
			in.at = "anywhere"
		}
	}
	if p.List != "" {
		l := b.List("list", p.List)
		if l == nil {
			return nil
		}
		for _, r := range l.Rows {
			in.texts = append(in.texts, r...)
		}
	}
	if slices.ContainsFunc(in.texts, func(s string) bool { return strings.TrimSpace(s) == "" }) {
		b.Report("rules.param", "text", "", "a text to insert is empty")
	}
	return in
}

// Needs says which resources the rule asks.
func (in *insertion) Needs() edit.Needs { return edit.Needs{Thesaurus: in.thesaurus} }

// Edit inserts texts.
func (in *insertion) Edit(c *edit.Context) {
	texts := in.texts
	if in.thesaurus {
		if texts = c.Thesaurus.Synonyms(strings.ToLower(c.Matched()), in.pos); len(texts) == 0 {
			return
		}
		texts = texts[:min(len(texts), 5)]
	}
	n := in.count
	start, end := c.Match.Start, c.Match.End
	switch in.at {
	case "before":
		in.put(c, start, texts, false)
		return
	case "after":
		in.put(c, end, texts, true)
		return
	case "anywhere":
		start, end = 0, len(c.Text)
	}
	words := c.Words()
	from, _ := slices.BinarySearchFunc(words, start, func(w sdkToken, at int) int { return w.Start - at })
	to := from
	for to < len(words) && words[to].End <= end {
		to++
	}
	if !slices.ContainsFunc(words[from:to], func(w sdkToken) bool {
		r, _ := utf8.DecodeRuneInString(c.Text[w.Start:])
		return edit.IsWord(r)
	}) {
		return
	}
	if in.share > 0 {
		n = 1 + c.Rand.IntN(max(1, int(in.share*float64(to-from))))
	}
	n = min(n, to-from)
	var taken [100]int
	for i := range min(n, len(taken)) {
		place := -1
		for range 8 { // tries to find a free place
			k := from + c.Rand.IntN(to-from)
			if !slices.Contains(taken[:i], k) && (in.allow || !withinSpan(c, words[k].Start)) {
				place = k
				break
			}
		}
		if place < 0 {
			taken[i] = -1
			continue
		}
		taken[i] = place
		in.put(c, words[place].Start, texts, false)
	}
}

// put inserts one of the texts at a place, with the blanks that its script wants.
func (in *insertion) put(c *edit.Context, at int, texts []string, after bool) {
	text := texts[c.Rand.IntN(len(texts))]
	first, _ := utf8.DecodeRuneInString(text)
	last, _ := utf8.DecodeLastRuneInString(text)
	before, _ := utf8.DecodeLastRuneInString(c.Text[:at])
	next, _ := utf8.DecodeRuneInString(c.Text[at:])
	// Han characters and the signs of Chinese stand without blanks
	tight := wide(first) || wide(last)
	if after {
		if !tight && !wide(before) && !closing(first) && first != ' ' {
			text = " " + text
		}
		if at < len(c.Text) && next != ' ' && !closing(next) && !tight && !wide(next) {
			text += " "
		}
	} else {
		if at == 0 {
			text = sentenceCase(c, text)
		}
		if !tight && !wide(next) && last != ' ' {
			text += " "
		}
		if at > 0 && before != ' ' && before != '(' && before != '"' && !tight && !wide(before) {
			text = " " + text
		}
	}
	c.Insert(at, text)
}

// sentenceCase writes a text that begins the sentence large where the sentence
// begins so.
func sentenceCase(c *edit.Context, text string) string {
	if first, _ := utf8.DecodeRuneInString(c.Text); first >= 'A' && first <= 'Z' {
		return capitalize(text)
	}
	return text
}

// wide reports characters of Chinese and Japanese, letters and signs.
func wide(r rune) bool {
	return edit.IsIdeograph(r) || r >= 0x3000 && r <= 0x303f || r >= 0xff01 && r <= 0xff60
}

// withinSpan reports that a place lies within a labelled span.
func withinSpan(c *edit.Context, at int) bool {
	if c.Example == nil || len(c.Example.Labels) == 0 {
		return false
	}
	found := false
	c.Spans(max(at-1, 0), at+1, func(_ string, s sdkSpan) bool {
		found = s.Start < at && at < s.End
		return !found
	})
	return found
}

// overlapsSpan reports that a labelled span shares bytes with [start, end).
func overlapsSpan(c *edit.Context, start, end int) bool {
	if c.Example == nil || len(c.Example.Labels) == 0 {
		return false
	}
	found := false
	c.Spans(start, end, func(string, sdkSpan) bool {
		found = true
		return false
	})
	return found
}
