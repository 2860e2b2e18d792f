package kind

import (
	"strings"

	"github.com/islm-dev/islm/augment/edit"
)

// contrastParams are the keys of contrast.v0.
type contrastParams struct {
	List string `yaml:"list" doc:"list whose rows hold opposites: what stands in the first column is the opposite of the other columns, and the other way round; default: the list that matched"`
	Once bool   `yaml:"once" doc:"turn only the match; default every entry of the list in the text, so that the text does not contradict itself"`
}

// contrast turns words into their opposites, so that the text asks for another
// label: counterfactual pairs (Kaushik, Hovy and Lipton 2020, Learning the
// Difference that Makes a Difference with Counterfactually-Augmented Data).
type contrast struct {
	list  *edit.List
	index map[string]place
	once  bool
	most  int // words of an entry
	morph *morphology
}

func newContrast(b *edit.Build) edit.Action {
	var p contrastParams
	if !b.Decode(&p) {
		return nil
	}
	k := &contrast{once: p.Once, morph: newMorphology()}
	if k.list = theList(b, "list", p.List); k.list == nil {
		if p.List == "" {
			b.Report("rules.param", "", "list: NAME, with rows such as: rise<tab>fall", "the rule does not say which words are opposites")
		}
		return nil
	}
	if len(b.Changes) == 0 {
		b.Report("rules.labels", "kind", "labels: {change: {HEAD: {OLD: NEW}}}", "contrast.v0 makes texts of another label, and the rule does not say which label changes")
		return nil
	}
	for _, row := range k.list.Rows {
		if len(row) < 2 {
			b.Report("rules.param", "list", "write the opposite after a tab", "%q of list %q has no opposite", row[0], k.list.Name)
			return nil
		}
		for _, f := range row {
			k.most = max(k.most, len(edit.Words(f)))
		}
	}
	k.index = indexOf(k.list)
	return k
}

// Edit turns the words.
func (k *contrast) Edit(c *edit.Context) {
	if k.once {
		k.turn(c, c.Match.Start, c.Match.End)
		return
	}
	words := c.Words()
	for i := 0; i < len(words); {
		last := -1
		for j := min(i+k.most, len(words)) - 1; j >= i && last < 0; j-- {
			if k.turn(c, words[i].Start, words[j].End) {
				last = j
			}
		}
		i = max(i, last) + 1
	}
}

// turn replaces [start, end) if it is an entry, in any form.
func (k *contrast) turn(c *edit.Context, start, end int) bool {
	old := c.Text[start:end]
	low := old
	if k.list.Fold {
		low = strings.ToLower(old)
	}
	if p, ok := k.index[low]; ok {
		k.put(c, start, old, k.list.Rows[p.row][p.column], k.opposite(c, p))
		return true
	}
	if !english(c) {
		return false
	}
	var buf [8]analysis
	for _, a := range k.morph.analyses(buf[:0], low) {
		if p, ok := k.index[a.lemma]; ok {
			k.put(c, start, old, "", k.morph.inflect(k.opposite(c, p), a.pos, a.form))
			return true
		}
	}
	return false
}

func (k *contrast) opposite(c *edit.Context, p place) string {
	row := k.list.Rows[p.row]
	if p.column > 0 {
		return row[0]
	}
	if len(row) == 2 {
		return row[1]
	}
	return row[1+c.Rand.IntN(len(row)-1)]
}

func (k *contrast) put(c *edit.Context, start int, old, form, text string) {
	c.Replace(start, start+len(old), likeSurface(text, old, form))
	repairArticle(c, start, old, text)
}
