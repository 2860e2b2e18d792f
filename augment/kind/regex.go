package kind

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/augment/edit"
)

// regexParams are the keys of regex.v0.
type regexParams struct {
	With    edit.Names `yaml:"with" required:"true" doc:"new texts; ${name} and ${1} stand for groups of the match, ${0} for the whole, ${name:upper}, :lower and :capital write them so"`
	Case    bool       `yaml:"case" doc:"begin with a capital where the match does"`
	Article *bool      `yaml:"article" doc:"change a and an in front where the new text wants it; default true"`
}

// rewrite replaces a match by a text that refers back to its groups. Labelled
// spans that lie wholly in a group go with it.
type rewrite struct {
	with     [][]piece
	cases    bool
	articles bool
}

// piece is a fixed text or a reference.
type piece struct {
	text  string
	group string // name or number
	form  string
}

var reference = regexp.MustCompile(`\$\{(\w+)(?::(\w+))?\}|\$\$|\$`)

func newRegex(b *edit.Build) edit.Action {
	var p regexParams
	if !b.Decode(&p) || !matchesOnly(b, "regex.v0", "regex") {
		return nil
	}
	r := &rewrite{cases: p.Case, articles: isTrue(p.Article)}
	for i, w := range p.With {
		path := "with"
		if len(p.With) > 1 {
			path += "[" + strconv.Itoa(i) + "]"
		}
		pieces, ok := parsePieces(b, path, w)
		if !ok {
			return nil
		}
		r.with = append(r.with, pieces)
	}
	return r
}

func parsePieces(b *edit.Build, path, w string) (pieces []piece, ok bool) {
	last := 0
	for _, m := range reference.FindAllStringSubmatchIndex(w, -1) {
		if m[0] > last {
			pieces = append(pieces, piece{text: w[last:m[0]]})
		}
		last = m[1]
		switch {
		case m[2] >= 0:
			p := piece{group: w[m[2]:m[3]]}
			if m[4] >= 0 {
				p.form = w[m[4]:m[5]]
				if !oneOf(b, path, p.form, "upper", "lower", "capital") {
					return nil, false
				}
			}
			if _, err := strconv.Atoi(p.group); err != nil && !oneOf(b, path, p.group, b.Match.Groups...) {
				return nil, false
			}
			pieces = append(pieces, p)
		case m[1]-m[0] == 2:
			pieces = append(pieces, piece{text: "$"})
		default:
			b.Report("rules.param", path, "write ${name} or ${1} for a group, $$ for the sign", "a $ stands alone")
			return nil, false
		}
	}
	if last < len(w) {
		pieces = append(pieces, piece{text: w[last:]})
	}
	return pieces, true
}

// Edit replaces the match.
func (r *rewrite) Edit(c *edit.Context) {
	var b strings.Builder
	var marks []edit.Mark
	for _, p := range r.with[c.Rand.IntN(len(r.with))] {
		if p.group == "" {
			b.WriteString(p.text)
			continue
		}
		start, end := groupOf(&c.Match, c.Text, p.group)
		if start < 0 {
			continue
		}
		text := c.Text[start:end]
		switch p.form {
		case "upper":
			text = strings.ToUpper(text)
		case "lower":
			text = strings.ToLower(text)
		case "capital":
			text = capitalize(text)
		}
		if len(text) == end-start {
			marks = carryMarks(marks, c, start, end, b.Len())
		}
		b.WriteString(text)
	}
	text, old := b.String(), c.Matched()
	if r.cases && len(text) > 0 && casingOf(old[:min(len(old), firstWord(old))]) == capital {
		if up := capitalize(text); len(up) == len(text) {
			text = up
		}
	}
	if text == old {
		return
	}
	if text == "" {
		remove(c, c.Match.Start, c.Match.End)
		return
	}
	c.Replace(c.Match.Start, c.Match.End, text, marks...)
	if r.articles {
		repairArticle(c, c.Match.Start, old, text)
	}
}

// groupOf finds a group by name or number; start is -1 if it took no part.
func groupOf(m *edit.Match, text, group string) (start, end int) {
	if n, err := strconv.Atoi(group); err == nil {
		if 2*n+1 < len(m.Groups) {
			return m.Groups[2*n], m.Groups[2*n+1]
		}
		if n == 0 {
			return m.Start, m.End
		}
		return -1, -1
	}
	if _, s, e, ok := m.Group(text, group); ok {
		return s, e
	}
	return -1, -1
}

func firstWord(s string) int {
	if i := strings.IndexByte(s, ' '); i > 0 {
		return i
	}
	return len(s)
}
