package kind

import (
	"strings"

	"github.com/islm-dev/islm/augment/edit"
)

// abbreviateParams are the keys of abbreviate.v0 and expand.v0.
type abbreviateParams struct {
	List    string `yaml:"list" doc:"list whose rows hold the short form first, then long forms; default: the list that matched"`
	Define  bool   `yaml:"define" doc:"expand: write the long form with the short one in brackets behind it"`
	Article *bool  `yaml:"article" doc:"change a and an in front where the new form wants it; default true"`
}

// abbreviate writes short forms for long ones or the other way round.
type abbreviate struct {
	list     *edit.List
	index    map[string]place
	expand   bool
	define   bool
	articles bool
	morph    *morphology
}

func newAbbreviate(expand bool) func(*edit.Build) edit.Action {
	return func(b *edit.Build) edit.Action {
		var p abbreviateParams
		if !b.Decode(&p) {
			return nil
		}
		a := &abbreviate{expand: expand, define: p.Define, articles: isTrue(p.Article), morph: newMorphology()}
		if p.Define && !expand {
			b.Report("rules.param", "define", "", "define goes with expand.v0")
		}
		if a.list = theList(b, "list", p.List); a.list == nil {
			if p.List == "" {
				b.Report("rules.param", "", "list: NAME, with rows such as: CEO<tab>chief executive officer", "the rule does not say which list holds its abbreviations")
			}
			return nil
		}
		for _, row := range a.list.Rows {
			if len(row) < 2 {
				b.Report("rules.param", "list", "write the long form after a tab", "%q of list %q has no long form", row[0], a.list.Name)
				return nil
			}
		}
		a.index = indexOf(a.list)
		return a
	}
}

// Edit replaces the match by its other form.
func (a *abbreviate) Edit(c *edit.Context) {
	old := c.Matched()
	row, column, form := rowOf(c, a.list, a.index, old)
	many := false
	if row < 0 && english(c) { // CEOs, chief executive officers
		if one, ok := strings.CutSuffix(old, "s"); ok {
			row, column, form = rowOf(c, a.list, a.index, one)
			many = row >= 0
		}
	}
	if row < 0 || (column == 0) != a.expand {
		return
	}
	forms := a.list.Rows[row]
	start, end := c.Match.Start, c.Match.End
	var text string
	if a.expand {
		if definedBefore(c.Text, start, end, forms) {
			return
		}
		text = forms[1+pick(c, len(forms)-1)]
		if many {
			text = a.morph.inflect(text, "noun", plural)
		}
		if sentenceStart(c.Text, start) {
			text = capitalize(text)
		}
		if casingOf(form) == lower {
			text = likeSurface(text, old, form)
		}
		if a.define {
			text += " (" + old + ")"
			if hasHan(text) {
				text = strings.TrimSuffix(strings.Replace(text, " (", "（", 1), ")") + "）"
			}
		}
	} else {
		text = forms[0]
		if many {
			text += "s"
		}
		if casingOf(text) == lower && sentenceStart(c.Text, start) {
			text = capitalize(text)
		}
		end = pastDefinition(c.Text, end, text)
	}
	c.Replace(start, end, text)
	if a.articles {
		repairArticle(c, start, old, text)
	}
}

func pick(c *edit.Context, n int) int {
	if n == 1 {
		return 0
	}
	return c.Rand.IntN(n)
}

// definedBefore reports that the short form at [start, end) stands in brackets
// behind its long form.
func definedBefore(t string, start, end int, forms []string) bool {
	before := strings.TrimRight(t[:start], " ")
	end += len(t[end:]) - len(strings.TrimLeft(t[end:], " ")) // texts of corpora have blanks at brackets
	for _, open := range [...]string{"(", "（"} {
		if rest, ok := strings.CutSuffix(before, open); ok && end < len(t) && (t[end] == ')' || strings.HasPrefix(t[end:], "）")) {
			rest = strings.TrimRight(rest, " ")
			for _, long := range forms[1:] {
				if len(rest) >= len(long) && strings.EqualFold(rest[len(rest)-len(long):], long) {
					return true
				}
			}
		}
	}
	return false
}

// pastDefinition goes past the short form in brackets that follows its long form.
func pastDefinition(t string, end int, short string) int {
	for _, b := range [...][2]string{{" (", ")"}, {" ( ", " )"}, {"（", "）"}, {"(", ")"}} {
		if d := b[0] + short + b[1]; strings.HasPrefix(t[end:], d) {
			return end + len(d)
		}
	}
	return end
}
