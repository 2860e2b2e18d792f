package kg

import (
	"cmp"
	"slices"

	"github.com/islm-dev/islm/sdk"
)

// Bounds of Paths and Neighborhood.
const (
	// MaxPath is the greatest number of facts in a path.
	MaxPath = 3
	// pathFacts bounds the facts of an entity that are followed in each direction.
	pathFacts = 4096
	// pathMost bounds the paths that are found.
	pathMost = 1000
)

// A hop is a fact as followed from one of its entities to the other.
type hop struct {
	other   uint32
	edge    edge
	forward bool // from subject to object
}

// hops gives the facts that tie an entity to others, by the number of the other,
// then as its subject first, then by relation.
func (s *Store) hops(n uint32) ([]hop, error) {
	var list []hop
	for _, kind := range []byte("OI") {
		edges, err := s.edges(kind, n, nil)
		if err != nil {
			return nil, err
		}
		for _, e := range edges[:min(len(edges), pathFacts)] {
			list = append(list, hop{e.other, e, kind == 'O'})
		}
	}
	slices.SortStableFunc(list, func(a, b hop) int {
		return cmp.Or(cmp.Compare(a.other, b.other), cmp.Compare(flag(b.forward), flag(a.forward)), cmp.Compare(a.edge.relation, b.edge.relation))
	})
	return list, nil
}

// fact gives a hop from an entity as a fact.
func (s *Store) fact(n uint32, h hop) (sdk.Fact, error) {
	subject, object := n, h.other
	if !h.forward {
		subject, object = object, subject
	}
	f := sdk.Fact{Relation: s.relationName(h.edge.relation), Source: s.source(h.edge.source), Weight: h.edge.weight}
	var err error
	if f.Subject, err = s.ID(subject); err != nil {
		return f, err
	}
	f.Object, err = s.ID(object)
	return f, err
}

// Paths gives the ways from one entity to another over at most max facts (1 to
// MaxPath), each followed in either direction and no entity met twice: the shortest
// first, at most a thousand. Of entities with very many facts 4,096 are followed in
// each direction. Unknown entities have none.
func (s *Store) Paths(from, to string, max int) ([][]sdk.Fact, error) {
	a, ok, err := s.Index(from)
	if err != nil || !ok {
		return nil, err
	}
	b, ok, err := s.Index(to)
	if err != nil || !ok || a == b {
		return nil, err
	}
	p := &pathFinder{s: s, a: a, b: b}
	if p.first, err = s.hops(a); err != nil {
		return nil, err
	}
	back, err := s.hops(b)
	if err != nil {
		return nil, err
	}
	// Hops to b, by where they begin, so that paths meet in the middle.
	p.last = map[uint32][]hop{}
	for _, h := range back {
		p.last[h.other] = append(p.last[h.other], hop{b, h.edge, !h.forward})
	}
	for length := 1; length <= min(max, MaxPath) && len(p.paths) < pathMost; length++ {
		if err := p.find(length); err != nil {
			return nil, err
		}
	}
	return p.paths, nil
}

type pathFinder struct {
	s     *Store
	a, b  uint32
	first []hop
	last  map[uint32][]hop
	paths [][]sdk.Fact
}

func (p *pathFinder) add(nodes []uint32, hops ...hop) error {
	if len(p.paths) == pathMost {
		return nil
	}
	path := make([]sdk.Fact, len(hops))
	for i, h := range hops {
		var err error
		if path[i], err = p.s.fact(nodes[i], h); err != nil {
			return err
		}
	}
	p.paths = append(p.paths, path)
	return nil
}

func (p *pathFinder) find(length int) error {
	if length == 1 {
		for _, h := range p.last[p.a] {
			if err := p.add([]uint32{p.a}, h); err != nil {
				return err
			}
		}
		return nil
	}
	var middle []hop // of the entity reached last
	reached := p.a
	for _, h := range p.first {
		if h.other == p.b || h.other == p.a || len(p.paths) == pathMost {
			continue
		}
		if length == 2 {
			for _, l := range p.last[h.other] {
				if err := p.add([]uint32{p.a, h.other}, h, l); err != nil {
					return err
				}
			}
			continue
		}
		if reached != h.other {
			var err error
			if middle, err = p.s.hops(h.other); err != nil {
				return err
			}
			reached = h.other
		}
		for _, m := range middle {
			if m.other == p.a || m.other == p.b || m.other == h.other {
				continue
			}
			for _, l := range p.last[m.other] {
				if err := p.add([]uint32{p.a, h.other, m.other}, h, m, l); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Neighborhood is a piece of a graph: entities around one, and the facts among
// them.
type Neighborhood struct {
	Center   int          // in Entities
	Entities []sdk.Entity // by distance from the center, then by number
	Distance []int        // of each entity, in facts
	Facts    []sdk.Fact   // between these entities, without literals
	Left     int          // facts that lead to entities beyond the bound
}

// Neighborhood gives the entities within so many facts of one, at most most of
// them, the nearest first; false if there is no such entity.
func (s *Store) Neighborhood(id string, depth, most int) (*Neighborhood, bool, error) {
	center, ok, err := s.Index(id)
	if err != nil || !ok {
		return nil, false, err
	}
	at := map[uint32]int{center: 0}
	order := []uint32{center}
	n := &Neighborhood{Distance: []int{0}}
	for i := 0; i < len(order); i++ {
		if n.Distance[i] == depth {
			break
		}
		hops, err := s.hops(order[i])
		if err != nil {
			return nil, false, err
		}
		for _, h := range hops {
			if _, ok := at[h.other]; ok {
				continue
			}
			if len(order) == most {
				n.Left++
				continue
			}
			at[h.other] = len(order)
			order = append(order, h.other)
			n.Distance = append(n.Distance, n.Distance[i]+1)
		}
	}
	for _, number := range order {
		e, err := s.EntityAt(number)
		if err != nil {
			return nil, false, err
		}
		n.Entities = append(n.Entities, e)
		edges, err := s.edges('O', number, nil)
		if err != nil {
			return nil, false, err
		}
		for _, e := range edges {
			if _, ok := at[e.other]; !ok {
				continue
			}
			f, err := s.fact(number, hop{e.other, e, true})
			if err != nil {
				return nil, false, err
			}
			n.Facts = append(n.Facts, f)
		}
	}
	return n, true, nil
}
