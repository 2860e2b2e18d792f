package kind

import (
	"strings"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/edit"
)

// deleteParams are the keys of delete.v0.
type deleteParams struct {
	Group string   `yaml:"group" doc:"named group of the regular expression to delete; default the whole match"`
	Share *float64 `yaml:"share" doc:"delete each word of the match with this probability, at least one word staying; default the match as a whole"`
	Tidy  *bool    `yaml:"tidy" doc:"also take away a blank or comma that would stand alone, and begin the sentence with a capital again; default true"`
}

// remover deletes the match: EDA's random deletion (Wei and Zou 2019) with a
// match by word and a probability, or the removal of what a label does not hang
// on.
type remover struct {
	group string
	share float64
	tidy  bool
}

func newDelete(b *edit.Build) edit.Action {
	var p deleteParams
	if !b.Decode(&p) {
		return nil
	}
	d := &remover{group: p.Group, tidy: isTrue(p.Tidy)}
	if p.Share != nil {
		d.share = share(b, "share", p.Share, 0)
	}
	if p.Group != "" && !knownGroup(b, "group", p.Group) {
		return nil
	}
	return d
}

// Edit deletes the match or words of it.
func (d *remover) Edit(c *edit.Context) {
	start, end := c.Match.Start, c.Match.End
	if d.group != "" {
		var ok bool
		if _, start, end, ok = c.Match.Group(c.Text, d.group); !ok || start == end {
			return
		}
	}
	if d.share == 0 {
		d.cut(c, start, end)
		return
	}
	d.thin(c, start, end)
}

// thin deletes words at random, those side by side in one edit.
func (d *remover) thin(c *edit.Context, start, end int) {
	left := false
	from, to := -1, -1 // words side by side that go
	flush := func(next int) {
		if from < 0 {
			return
		}
		// the blank behind goes along, at the end of a clause that in front
		if blankAfter(c.Text, to) && next >= 0 {
			to++
		} else if blankBefore(c.Text, from) {
			from--
		}
		c.Delete(from, to)
		from = -1
	}
	for _, w := range c.Words() {
		if w.Start < start || w.End > end {
			continue
		}
		if r, _ := utf8.DecodeRuneInString(c.Text[w.Start:]); !edit.IsWord(r) {
			flush(-1)
			continue
		}
		if c.Rand.Float64() >= d.share || overlapsSpan(c, w.Start, w.End) {
			left = true
			flush(w.Start)
			continue
		}
		if from < 0 {
			from = w.Start
		}
		to = w.End
	}
	flush(-1)
	if !left { // a text without words says nothing
		c.Begin(c.Match)
	}
}

func (d *remover) cut(c *edit.Context, start, end int) {
	if !d.tidy {
		c.Delete(start, end)
		return
	}
	t := c.Text
	old := t[start:end]
	if start == 0 || sentenceStart(t, start) {
		// what follows now begins the sentence
		next := end
		for next < len(t) && (t[next] == ' ' || t[next] == ',') {
			next++
		}
		r, n := utf8.DecodeRuneInString(t[next:])
		if cs := casingOf(old); (cs == capital || cs == title || cs == upper && len(old) == 1) && n > 0 && strings.ToUpper(string(r)) != string(r) {
			c.Delete(start, next)
			c.Replace(next, next+n, capitalize(t[next:next+n]))
			return
		}
		if cs := casingOf(old); next > end && (cs == capital || cs == lower || cs == title) {
			c.Delete(start, next)
			return
		}
	}
	remove(c, start, end)
}

// knownGroup reports a group that the regular expressions of the match lack.
func knownGroup(b *edit.Build, path, name string) bool {
	return oneOf(b, path, name, b.Match.Groups...)
}
