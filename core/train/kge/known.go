package kge

import "slices"

// Query asks for the tail of an entity and a relation. Relations from
// len(Data.Relations) on are inverse: they ask for the head of that tail.
type Query struct{ Entity, Relation int32 }

// queries gives the two queries of a fact and their answers.
func (t Triple) queries(relations int) (tail Query, tailIs int32, head Query, headIs int32) {
	return Query{t.Head, t.Relation}, t.Tail, Query{t.Tail, t.Relation + int32(relations)}, t.Head
}

// answers lists what is known about each query of some triples: all answers of
// query i are list[start[i]:start[i+1]], sorted and unique.
type answers struct {
	index map[Query]int32
	keys  []Query // in the order of entity, then relation
	start []int32
	list  []int32
}

func newAnswers(relations int, splits ...[]Triple) *answers {
	type pair struct {
		q  Query
		is int32
	}
	var all []pair
	for _, split := range splits {
		for _, t := range split {
			q, a, p, b := t.queries(relations)
			all = append(all, pair{q, a}, pair{p, b})
		}
	}
	slices.SortFunc(all, func(a, b pair) int {
		return compare(Triple{a.q.Entity, a.q.Relation, a.is}, Triple{b.q.Entity, b.q.Relation, b.is})
	})
	all = slices.Compact(all)
	k := &answers{index: map[Query]int32{}, list: make([]int32, 0, len(all))}
	for i, p := range all {
		if i == 0 || p.q != all[i-1].q {
			k.index[p.q] = int32(len(k.keys))
			k.keys = append(k.keys, p.q)
			k.start = append(k.start, int32(i))
		}
		k.list = append(k.list, p.is)
	}
	k.start = append(k.start, int32(len(all)))
	return k
}

// of lists the known answers of a query; none for a query nobody knows.
func (k *answers) of(q Query) []int32 {
	i, ok := k.index[q]
	if !ok {
		return nil
	}
	return k.at(int(i))
}

func (k *answers) at(i int) []int32 { return k.list[k.start[i]:k.start[i+1]] }

// has says whether a is a known answer of q.
func (k *answers) has(q Query, a int32) bool {
	_, ok := slices.BinarySearch(k.of(q), a)
	return ok
}
