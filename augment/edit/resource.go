package edit

import (
	"context"

	"github.com/islm-dev/islm/sdk"
)

// Graph is what rules ask of a knowledge graph. Answers are in an order that
// does not change from call to call, and callers do not write to them.
type Graph interface {
	Find(name string) []string // entities of that name
	Type(id string) string
	Names(id string) []string // the preferred name first
	OfType(typ string) []string
	Objects(id, relation string) []string  // entities x with (id, relation, x)
	Subjects(id, relation string) []string // entities x with (x, relation, id)
}

// Thesaurus gives words of the same meaning, WordNet's for one. pos is "noun",
// "verb", "adjective", "adverb" or "" for any; the answer is without word itself,
// nearest meaning first, and always in the same order.
type Thesaurus interface {
	Synonyms(word, pos string) []string
}

// Coder runs the Go functions behind rules of kind code.v0.
type Coder interface {
	// Run gives what the function called name makes of one example. seed is the
	// only source of chance.
	Run(ctx context.Context, name string, params map[string]string, ex sdk.Example, seed uint64) ([]sdk.Example, error)
}

// Resources are the things outside of a pack that rules may ask. Each may be nil:
// rules that need one then do nothing, which the engine says when it is made.
type Resources struct {
	Graph     Graph
	Thesaurus Thesaurus
	Coder     Coder
}

// Needs says which resources a rule asks.
type Needs struct {
	Graph, Thesaurus, Coder bool
	// Types are the entity types whose names the rule looks for in texts.
	Types []string
}

// List is a word list of a pack. A row holds one entry, or several that belong
// together in a way that the rule using it says: forms of the same meaning, a
// short and a long form, a word and its opposite.
type List struct {
	Name string
	Rows [][]string
	Fold bool // entries are found in any case
}

// Index returns the row that holds a form and its column, or -1, -1. It looks
// through the rows one by one: for use when a rule is made.
func (l *List) Index(form string) (row, column int) {
	for i, r := range l.Rows {
		for j, f := range r {
			if f == form {
				return i, j
			}
		}
	}
	return -1, -1
}
