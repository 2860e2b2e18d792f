package kind

import (
	"strings"

	"github.com/islm-dev/islm/augment/edit"
)

// negateParams are the keys of negate.v0.
type negateParams struct {
	Mode  string `yaml:"mode" doc:"add (put a negation in), remove (take one out) or both (whichever the match allows); default both"`
	Style string `yaml:"style" doc:"English: not, short (n't) or never; default not"`
	Verb  string `yaml:"verb" doc:"named group of the regular expression that holds the verb or auxiliary to negate; default the whole match"`
}

// negate inserts or takes away a negation, in English with the forms that it asks
// of the verb (rose, did not rise) and in Chinese with the word that suits (不, 没有,
// 尚未). What the label becomes is for the rule to say. Negation as a test of
// models is from Ribeiro et al. 2020 (Beyond Accuracy: Behavioral Testing of NLP
// Models with CheckList).
type negate struct {
	add, remove bool
	style       string
	verb        string
	morph       *morphology
}

func newNegate(b *edit.Build) edit.Action {
	p := negateParams{Mode: "both", Style: "not"}
	if !b.Decode(&p) {
		return nil
	}
	ok := oneOf(b, "mode", p.Mode, "add", "remove", "both")
	ok = oneOf(b, "style", p.Style, "not", "short", "never") && ok
	if p.Verb != "" {
		ok = knownGroup(b, "verb", p.Verb) && ok
	}
	if !ok {
		return nil
	}
	return &negate{add: p.Mode != "remove", remove: p.Mode != "add", style: p.Style, verb: p.Verb, morph: newMorphology()}
}

// Edit puts a negation in or takes one out.
func (n *negate) Edit(c *edit.Context) {
	start, end := c.Match.Start, c.Match.End
	if strings.HasPrefix(c.Lang, "zh") || hasHan(c.Matched()) {
		if n.remove && zhRemove(c, start, end) || !n.add {
			return
		}
		if n.verb != "" {
			if _, s, e, ok := c.Match.Group(c.Text, n.verb); ok {
				start, end = s, e
			}
		}
		zhAdd(c, start, end)
		return
	}
	if !english(c) {
		return
	}
	if n.remove && n.enRemove(c, start, end) || !n.add || hasNegation(c.Text, start, end) {
		return
	}
	if n.verb != "" {
		_, s, e, ok := c.Match.Group(c.Text, n.verb)
		if !ok {
			return
		}
		start, end = s, e
	}
	n.enAdd(c, start, end)
}

// word is an ASCII word of the text.
type word struct {
	start, end int
	low        string
}

// wordFrom finds the next word at or after i; end is -1 if there is none before a
// sign that ends a clause.
func wordFrom(t string, i int) word {
	for i < len(t) && !isASCIILetter(t[i]) {
		if strings.IndexByte(".;:!?,\n", t[i]) >= 0 {
			return word{-1, -1, ""}
		}
		i++
	}
	j := i
	for j < len(t) && (isASCIILetter(t[j]) || j > i && (t[j] == '\'' || t[j] == '-') && j+1 < len(t) && isASCIILetter(t[j+1]) || strings.HasPrefix(t[j:], "’") && j > i) {
		if t[j] >= 0x80 {
			j += len("’")
			continue
		}
		j++
	}
	if i == j {
		return word{-1, -1, ""}
	}
	return word{i, j, strings.ReplaceAll(strings.ToLower(t[i:j]), "’", "'")}
}

// wordBefore finds the word that ends before i with nothing but blanks between.
func wordBefore(t string, i int) word {
	for i > 0 && t[i-1] == ' ' {
		i--
	}
	j := i
	for j > 0 && (isASCIILetter(t[j-1]) || t[j-1] == '\'' || t[j-1] == '-') {
		j--
	}
	return word{j, i, strings.ToLower(t[j:i])}
}

// shortNegations are contractions and what they stand for.
func longForm(w string) string {
	switch w {
	case "won't":
		return "will"
	case "can't", "cannot":
		return "can"
	case "shan't":
		return "shall"
	}
	if s, ok := strings.CutSuffix(w, "n't"); ok && isAuxiliary(s) {
		return s
	}
	return ""
}

func isBe(w string) bool {
	switch w {
	case "is", "are", "was", "were", "am":
		return true
	}
	return false
}

func isModal(w string) bool {
	switch w {
	case "will", "would", "can", "could", "shall", "should", "must", "may", "might":
		return true
	}
	return false
}

func isDo(w string) bool { return w == "do" || w == "does" || w == "did" }

func isHave(w string) bool { return w == "has" || w == "have" || w == "had" }

func isAuxiliary(w string) bool { return isBe(w) || isModal(w) || isDo(w) || isHave(w) || w == "need" }

func isNegation(w string) bool {
	return w == "not" || w == "never" || w == "no" || w == "hardly" || w == "without" || longForm(w) != ""
}

// hasNegation reports a negation within or right beside [start, end).
func hasNegation(t string, start, end int) bool {
	if w := wordBefore(t, start); isNegation(w.low) {
		return true
	}
	if w := wordFrom(t, end); w.start >= 0 && isNegation(w.low) {
		return true
	}
	for w := wordFrom(t, start); w.start >= 0 && w.end <= end; w = wordFrom(t, w.end) {
		if isNegation(w.low) {
			return true
		}
	}
	return false
}

// enRemove takes the first negation of the match away; it reports whether there is one.
func (n *negate) enRemove(c *edit.Context, start, end int) bool {
	t := c.Text
	var before word
	for w := wordFrom(t, start); w.start >= 0 && w.end <= end; before, w = w, wordFrom(t, w.end) {
		switch {
		case w.low == "no":
			if next := wordFrom(t, w.end); next.low == "longer" {
				c.Replace(w.start, next.end, recase("still", casingOf(t[w.start:w.end])))
			} else {
				c.Replace(w.start, w.end, recase("some", casingOf(t[w.start:w.end])))
			}
			return true
		case w.low == "without":
			c.Replace(w.start, w.end, likeSurface("with", t[w.start:w.end], "without"))
			return true
		case w.low == "never" || w.low == "hardly":
			n.drop(c, w)
			return true
		case w.low == "not":
			if before.start < 0 || before.end == 0 {
				before = wordBefore(t, w.start)
			}
			if isDo(before.low) {
				n.undo(c, before, before.low, w.end)
			} else {
				n.drop(c, w)
			}
			return true
		default:
			aux := longForm(w.low)
			if aux == "" {
				continue
			}
			if isDo(aux) {
				n.undo(c, w, aux, w.end)
			} else {
				c.Replace(w.start, w.end, likeSurface(aux, t[w.start:w.end], w.low))
			}
			return true
		}
	}
	return false
}

// drop deletes a word; what follows takes over its capital.
func (n *negate) drop(c *edit.Context, w word) {
	if casingOf(c.Text[w.start:w.end]) == capital && sentenceStart(c.Text, w.start) {
		if next := wordFrom(c.Text, w.end); next.start >= 0 {
			c.Replace(w.start, next.start+1, strings.ToUpper(c.Text[next.start:next.start+1]))
			return
		}
	}
	remove(c, w.start, w.end)
}

// undo takes do-support away: did not rise becomes rose. aux begins it, the verb
// follows after, perhaps behind an adverb.
func (n *negate) undo(c *edit.Context, aux word, do string, after int) {
	verb := wordFrom(c.Text, after)
	if verb.start >= 0 && strings.HasSuffix(verb.low, "ly") && len(verb.low) > 4 {
		verb = wordFrom(c.Text, verb.end)
	}
	if verb.start < 0 {
		return
	}
	switch verb.low {
	case "i", "you", "he", "she", "it", "we", "they", "the", "a", "an", "this", "that":
		return // a question
	}
	text := verb.low
	switch do {
	case "did":
		text = n.morph.inflect(verb.low, "verb", past)
	case "does":
		text = n.morph.inflect(verb.low, "verb", third)
	}
	first := wordFrom(c.Text, after) // the verb or an adverb
	if casingOf(c.Text[aux.start:aux.end]) == capital && sentenceStart(c.Text, aux.start) && first.start == verb.start {
		text = capitalize(text)
	}
	c.Delete(aux.start, first.start)
	if text != c.Text[verb.start:verb.end] {
		c.Replace(verb.start, verb.end, text)
	}
}

// enAdd negates the first auxiliary of [start, end), or the first word as a verb.
func (n *negate) enAdd(c *edit.Context, start, end int) {
	t := c.Text
	first := wordFrom(t, start)
	if first.start < 0 || first.end > end {
		return
	}
	for w := first; w.start >= 0 && w.end <= end; w = wordFrom(t, w.end) {
		if !isAuxiliary(w.low) || w.low == "need" {
			continue
		}
		if next := wordFrom(t, w.end); isHave(w.low) && !n.isParticiple(next.low) {
			n.support(c, w, "have", map[string]form{"has": third, "had": past, "have": base}[w.low])
			return
		}
		n.afterAuxiliary(c, w)
		return
	}
	before := wordBefore(t, first.start)
	switch {
	case before.low == "to" && before.start < before.end:
		c.Insert(before.start, "not ")
		return
	case isAuxiliary(before.low):
		c.Insert(first.start, n.adverb()+" ")
		return
	}
	lemma, f := n.morph.verb(first.low)
	switch f {
	case third, past, base:
		n.support(c, first, lemma, f)
	case participle, gerund:
		c.Insert(first.start, "not ")
	}
}

func (n *negate) adverb() string {
	if n.style == "never" {
		return "never"
	}
	return "not"
}

// isParticiple reports a word that after have makes a tense.
func (n *negate) isParticiple(w string) bool {
	if w == "been" || w == "had" || strings.HasSuffix(w, "ed") && len(w) > 4 || strings.HasSuffix(w, "ly") {
		return true
	}
	i, ok := n.morph.verbs[w]
	return ok && irregularVerbs[i][2] == w
}

// afterAuxiliary puts the negation behind an auxiliary.
func (n *negate) afterAuxiliary(c *edit.Context, w word) {
	old := c.Text[w.start:w.end]
	switch {
	case n.style == "never":
		c.Insert(w.end, recase(" never", casingOfWhole(old)))
	case n.style == "short" && w.low != "am" && w.low != "may" && w.low != "might" && w.low != "shall":
		short := w.low + "n't"
		switch w.low {
		case "will":
			short = "won't"
		case "can":
			short = "can't"
		}
		c.Replace(w.start, w.end, likeSurface(short, old, w.low))
	case w.low == "can":
		c.Insert(w.end, recase("not", casingOfWhole(old)))
	default:
		c.Insert(w.end, recase(" not", casingOfWhole(old)))
	}
}

// casingOfWhole is upper for words written large throughout, else lower.
func casingOfWhole(s string) casing {
	if casingOf(s) == upper {
		return upper
	}
	return lower
}

// support negates a full verb with do, does or did.
func (n *negate) support(c *edit.Context, w word, lemma string, f form) {
	old := c.Text[w.start:w.end]
	if n.style == "never" {
		text := "never " + w.low
		c.Replace(w.start, w.end, likeSurface(text, old, w.low))
		return
	}
	do := map[form]string{base: "do", third: "does", past: "did"}[f]
	// what is alike in present and past speaks of the past in reports
	if i, ok := n.morph.verbs[w.low]; ok && irregularVerbs[i][0] == irregularVerbs[i][1] && f == base {
		do = "did"
	}
	text := do + " not " + lemma
	if n.style == "short" {
		text = do + "n't " + lemma
	}
	c.Replace(w.start, w.end, likeSurface(text, old, w.low))
}
