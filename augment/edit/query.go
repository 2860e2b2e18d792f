package edit

import (
	"fmt"
	"slices"
	"strings"
)

// Query picks entities of a knowledge graph by how they stand to a given one. It
// is written as clauses with commas between them, all of which must hold:
//
//	type Drug            mentions of entities of this type (the given entity)
//	same type            the answer has the type of the given entity
//	a synonym            the answer is the given entity, under another name
//	not a synonym        the answer is another entity and shares no name with it
//	object of treats     (given, treats, answer) is a fact
//	subject of treats    (answer, treats, given) is a fact
//	has treats           (given, treats, something) is a fact
//	has no treats        no such fact
type Query struct {
	Type       string
	SameType   bool
	Synonym    bool
	NotSynonym bool
	ObjectOf   string
	SubjectOf  string
	Has, HasNo []string
}

// maxAnswers bounds what one query looks at.
const maxAnswers = 1 << 16

// ParseQuery reads the text of a query.
func ParseQuery(text string) (*Query, error) {
	q := &Query{}
	for clause := range strings.SplitSeq(text, ",") {
		words := strings.Fields(clause)
		phrase := strings.Join(words, " ")
		last := ""
		if len(words) > 0 {
			last = words[len(words)-1]
		}
		switch {
		case phrase == "same type":
			q.SameType = true
		case phrase == "a synonym" || phrase == "synonym":
			q.Synonym = true
		case phrase == "not a synonym":
			q.NotSynonym = true
		case len(words) == 2 && words[0] == "type":
			q.Type = last
		case len(words) == 3 && words[0] == "object" && words[1] == "of":
			q.ObjectOf = last
		case len(words) == 3 && words[0] == "subject" && words[1] == "of":
			q.SubjectOf = last
		case len(words) == 3 && words[0] == "has" && words[1] == "no":
			q.HasNo = append(q.HasNo, last)
		case len(words) == 2 && words[0] == "has":
			q.Has = append(q.Has, last)
		default:
			return nil, fmt.Errorf("%q is no clause of a query; there are: type T, same type, a synonym, not a synonym, object of R, subject of R, has R, has no R", phrase)
		}
	}
	if q.Synonym && (q.NotSynonym || q.ObjectOf != "" || q.SubjectOf != "") {
		return nil, fmt.Errorf("\"a synonym\" asks for the entity itself, the other clauses for another one")
	}
	return q, nil
}

// Asks reports whether the query picks answers, and not only given entities.
func (q *Query) Asks() bool {
	return q.SameType || q.Synonym || q.NotSynonym || q.ObjectOf != "" || q.SubjectOf != ""
}

// Given reports whether an entity can be the given one of the query.
func (q *Query) Given(g Graph, id string) bool {
	if q.Type != "" && g.Type(id) != q.Type {
		return false
	}
	for _, r := range q.Has {
		if len(g.Objects(id, r)) == 0 {
			return false
		}
	}
	for _, r := range q.HasNo {
		if len(g.Objects(id, r)) > 0 {
			return false
		}
	}
	return true
}

// Answers appends the entities that the query picks for a given one, in the
// graph's order, without duplicates. It looks at 65,536 entities at most.
func (q *Query) Answers(dst []string, g Graph, id string) []string {
	from := len(dst)
	q.each(g, id, func(x string, few bool) bool {
		if !few || !slices.Contains(dst[from:], x) {
			dst = append(dst, x)
		}
		return true
	})
	return dst
}

// Answered reports whether the query picks anything for a given entity.
func (q *Query) Answered(g Graph, id string) bool {
	found := false
	q.each(g, id, func(string, bool) bool {
		found = true
		return false
	})
	return found
}

// each yields the answers; few says that the pool is small enough to be searched
// for duplicates, which only relations can give.
func (q *Query) each(g Graph, id string, yield func(x string, few bool) bool) {
	if !q.Given(g, id) {
		return
	}
	if q.Synonym {
		if len(g.Names(id)) > 1 {
			yield(id, true)
		}
		return
	}
	var pool []string
	switch {
	case q.ObjectOf != "":
		pool = g.Objects(id, q.ObjectOf)
	case q.SubjectOf != "":
		pool = g.Subjects(id, q.SubjectOf)
	default:
		pool = g.OfType(g.Type(id))
	}
	if q.ObjectOf != "" && q.SubjectOf != "" {
		both := g.Subjects(id, q.SubjectOf)
		pool = slices.DeleteFunc(slices.Clone(pool), func(x string) bool { return !slices.Contains(both, x) })
	}
	few := len(pool) < 1024 && (q.ObjectOf != "" || q.SubjectOf != "")
	for i, x := range pool {
		if i == maxAnswers {
			return
		}
		if x == id || q.SameType && g.Type(x) != g.Type(id) || q.NotSynonym && q.shareName(g, x, id) {
			continue
		}
		if !yield(x, few) {
			return
		}
	}
}

// Pick draws one answer without listing them all: it tries a few places of a
// large pool. ok is false if there is none, or none was met.
func (q *Query) Pick(g Graph, id string, intn func(int) int) (answer string, ok bool) {
	if q.ObjectOf == "" && q.SubjectOf == "" && !q.Synonym && q.Given(g, id) {
		pool := g.OfType(g.Type(id))
		if len(pool) > 64 {
			for range 32 {
				if x := pool[intn(len(pool))]; x != id && !(q.NotSynonym && q.shareName(g, x, id)) {
					return x, true
				}
			}
			return "", false
		}
	}
	all := q.Answers(nil, g, id)
	if len(all) == 0 {
		return "", false
	}
	return all[intn(len(all))], true
}

func (q *Query) shareName(g Graph, a, b string) bool {
	names := g.Names(b)
	for _, n := range g.Names(a) {
		for _, m := range names {
			if strings.EqualFold(n, m) {
				return true
			}
		}
	}
	return false
}
