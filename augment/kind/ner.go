package kind

import (
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/edit"
)

// tokensParams are the keys of tokens.v0.
type tokensParams struct {
	Lists map[string]string `yaml:"lists" required:"true" doc:"label to the list of words that bear it; O for words outside of all spans"`
	Share *float64          `yaml:"share" doc:"replace each word with this probability; default 0.3"`
	Head  string            `yaml:"head" doc:"head of the labels; default entities"`
}

// tokens replaces words by others of the same label: label-wise token replacement
// (Dai and Adel 2020).
type tokens struct {
	lists map[string]*edit.List
	share float64
	head  string
}

func newTokens(b *edit.Build) edit.Action {
	p := tokensParams{Head: "entities"}
	if !b.Decode(&p) {
		return nil
	}
	lists := labelLists(b, p.Lists)
	if lists == nil {
		return nil
	}
	return &tokens{lists: lists, share: share(b, "share", p.Share, 0.3), head: p.Head}
}

func labelLists(b *edit.Build, named map[string]string) map[string]*edit.List {
	lists := map[string]*edit.List{}
	for _, label := range slices.Sorted(maps.Keys(named)) {
		l := b.List("lists."+label, named[label])
		if l == nil {
			return nil
		}
		lists[label] = l
	}
	return lists
}

// Edit replaces words of the match.
func (k *tokens) Edit(c *edit.Context) {
	for _, w := range c.Words() {
		if w.Start < c.Match.Start || w.End > c.Match.End {
			continue
		}
		if r, _ := utf8.DecodeRuneInString(c.Text[w.Start:]); !edit.IsWord(r) || c.Rand.Float64() >= k.share {
			continue
		}
		list := k.lists[labelAt(c, k.head, w)]
		if list == nil {
			continue
		}
		old := c.Text[w.Start:w.End]
		row := list.Rows[c.Rand.IntN(len(list.Rows))]
		text := likeSurface(row[pick(c, len(row))], old, "")
		if text != old {
			c.Replace(w.Start, w.End, text)
		}
	}
}

// labelAt is the label of the innermost span of a head that holds a word, or O.
func labelAt(c *edit.Context, head string, w sdkToken) string {
	label, size := "O", len(c.Text)+1
	c.Spans(w.Start, w.End, func(h string, s sdkSpan) bool {
		if h == head && s.Start <= w.Start && w.End <= s.End && s.End-s.Start < size {
			label, size = s.Label, s.End-s.Start
		}
		return true
	})
	return label
}

// mentionParams are the keys of mention.v0.
type mentionParams struct {
	Lists map[string]string `yaml:"lists" required:"true" doc:"label to the list of mentions that bear it; every form of a row counts as one"`
}

// mention replaces a mention by another of the same label, drawn from all that are
// listed: mention replacement (Dai and Adel 2020). entity.v0 also keeps the sort of
// the name and the other mentions of the entity.
type mention struct{ lists map[string]*edit.List }

func newMention(b *edit.Build) edit.Action {
	var p mentionParams
	if !b.Decode(&p) || !matchesOnly(b, "mention.v0", "entity") {
		return nil
	}
	lists := labelLists(b, p.Lists)
	if lists == nil {
		return nil
	}
	for _, t := range b.Match.Types {
		if lists[t] == nil {
			b.Report("rules.param", "lists", "add "+t+": LIST", "the rule matches %s and has no list for it", t)
			return nil
		}
	}
	return &mention{lists}
}

// Edit replaces the mention.
func (k *mention) Edit(c *edit.Context) {
	list := k.lists[c.Match.Label]
	if list == nil {
		return
	}
	row := list.Rows[c.Rand.IntN(len(list.Rows))]
	old, text := c.Matched(), row[pick(c, len(row))]
	if text == old {
		return
	}
	e := entity{}
	e.put(c, c.Match.Start, c.Match.End, text, "")
}
