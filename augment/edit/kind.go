package edit

import (
	"math/rand/v2"
	"slices"

	"github.com/islm-dev/islm/sdk"
)

// Kind is one thing that rules can do, such as swap.v0.
type Kind struct {
	Name string // with its version
	Help string // one line
	// New makes the action of one rule. It decodes and checks the rule's do block,
	// reports every problem through b, and returns nil only after reporting.
	New func(b *Build) Action
}

// Action is what a rule does at a match. One action serves many goroutines.
type Action interface {
	// Edit says how the text changes at c.Match, through c.Replace and its sisters.
	// Edits of one call belong together: all are made or none. No edit means that
	// the rule has nothing to do here. Chance comes from c.Rand alone.
	Edit(c *Context)
}

// Needy is an action that needs resources from outside its pack.
type Needy interface{ Needs() Needs }

// Rewriter is an action that makes whole examples instead of edits. The engine
// calls it instead of Edit, checks what it gives and leaves out what is wrong.
type Rewriter interface {
	Rewrite(c *Context) ([]sdk.Example, error)
}

// Trained is an action that acts on embeddings, within the trainer: Engine.Trained
// says for which examples. Params is handed to the trainer.
type Trained interface{ Params() map[string]string }

// Build is what an action is made from.
type Build struct {
	// Decode decodes the do block strictly into a pointer to a struct with yaml
	// tags; the key kind is taken care of. It reports unknown keys and wrong types
	// and tells whether all was well.
	Decode func(into any) bool
	// Report adds a problem, placed at a key of the do block ("" for the block).
	Report func(code, path, remedy, format string, args ...any)
	// Lists are the word lists of the pack.
	Lists map[string]*List
	// Match says what the rule's match will find.
	Match Shape
	// Keeps are the heads whose labels the rule keeps; KeepsAll stands for all.
	Keeps    []string
	KeepsAll bool
	// Changes are the heads whose labels the rule changes.
	Changes []string
}

// List returns a list of the pack, or reports that there is none of this name.
func (b *Build) List(path, name string) *List {
	if l := b.Lists[name]; l != nil {
		return l
	}
	var known []string
	for k := range b.Lists {
		known = append(known, k)
	}
	slices.Sort(known)
	remedy := "add lists/" + name + ".tsv to the pack, or lists: in the rule file"
	if near := sdk.Nearest(name, known); near != "" {
		remedy = "did you mean \"" + near + "\"?"
	}
	b.Report("rules.list", path, remedy, "the pack has no list called %q", name)
	return nil
}

// Shape is what can be said of the matches of a rule before any text is seen.
type Shape struct {
	Kinds  []string // of the alternatives: literal, regex, list, entity, kg, word, text
	Groups []string // names of groups that every regular expression has
	Lists  []string // names of the lists
	Types  []string // entity types and labels
}

// Context is what an action sees of one match.
type Context struct {
	Example *sdk.Example // not to be written to
	Text    string       // of the example
	Match   Match
	Rand    *rand.Rand // for this rule and example alone
	Lang    string     // BCP 47: the example's meta "lang", else the pack's, else ""
	Resources

	words []sdk.Token // of Text, once asked
	has   bool
	edits []Edit
}

// Replace replaces the bytes [start, end) of the text.
func (c *Context) Replace(start, end int, text string, marks ...Mark) {
	c.edits = append(c.edits, Edit{Start: start, End: end, New: text, Marks: marks})
}

// Insert puts text before byte at.
func (c *Context) Insert(at int, text string, marks ...Mark) { c.Replace(at, at, text, marks...) }

// Delete removes the bytes [start, end).
func (c *Context) Delete(start, end int) { c.Replace(start, end, "") }

// Add adds a complete edit.
func (c *Context) Add(e Edit) { c.edits = append(c.edits, e) }

// Edits returns the edits so far.
func (c *Context) Edits() []Edit { return c.edits }

// Matched is the text of the match.
func (c *Context) Matched() string { return c.Text[c.Match.Start:c.Match.End] }

// Reset makes the context ready for another example; the memory is used again.
func (c *Context) Reset(ex *sdk.Example) {
	c.Example, c.Text = ex, ex.Text
	c.Match = Match{}
	c.words, c.has, c.edits = c.words[:0], false, c.edits[:0]
}

// Begin makes the context ready for another match of the same example.
func (c *Context) Begin(m Match) {
	c.Match, c.edits = m, c.edits[:0]
}

// Words are the words of the text: the example's tokens where it has some, else
// as Words splits them. They are found once per example.
func (c *Context) Words() []sdk.Token {
	if c.Example != nil && c.Example.Tokens != nil {
		return c.Example.Tokens
	}
	if !c.has {
		c.words, c.has = AppendWords(c.words[:0], c.Text, 0), true
	}
	return c.words
}

// Spans calls f for every labelled span of the example that overlaps the bytes
// [start, end), heads in order of their names, until f returns false. Entities
// marked by tags count as spans.
func (c *Context) Spans(start, end int, f func(head string, s sdk.Span) bool) {
	if c.Example == nil {
		return
	}
	for _, head := range sortedHeads(c.Example) {
		l := c.Example.Labels[head]
		spans := l.Spans
		if l.Tags != nil {
			spans = append(slices.Clone(spans), TagSpans(c.Example.Tokens, l.Tags)...)
		}
		for _, s := range spans {
			if s.Start < end && start < s.End && !f(head, s) {
				return
			}
		}
	}
}

func sortedHeads(ex *sdk.Example) []string {
	heads := make([]string, 0, len(ex.Labels))
	for h := range ex.Labels {
		heads = append(heads, h)
	}
	slices.Sort(heads)
	return heads
}
