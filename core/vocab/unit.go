package vocab

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Limits of the search for units that hold together.
const (
	unitMost     = 4       // parts of a unit: Chinese characters of a word, words of a phrase
	unitGrams    = 1 << 20 // runs of parts that are counted at once
	unitFound    = 1 << 15 // candidates, and
	unitBeside   = 32      // different parts beside each, that are counted
	unitCohesion = 0.4     // least normalized pointwise mutual information of a unit's parts
	unitFreedom  = 1.0     // least entropy of the parts on each side, bits
	unitBound    = 2. / 3  // of the occurrences of a unit, least share in a longer one
)

// gram is a run of parts, zeros behind its end.
type gram [unitMost]rune

func (g gram) parts() []rune {
	n := 0
	for n < unitMost && g[n] != 0 {
		n++
	}
	return g[:n]
}

func gramOf(run []rune) (g gram) {
	copy(g[:], run)
	return g
}

// units finds in runs of parts, numbers that are not 0, those of two to four parts that
// are seen least times, hold together (the smallest pointwise mutual information over the
// ways to cut it in two: Church and Hanks 1990, "Word Association Norms, Mutual
// Information, and Lexicography"; normalized as in Bouma 2009) and stand beside different
// parts on either side (branching entropy: Jin and Tanaka-Ishii 2006, "Unsupervised
// Segmentation of Chinese Text by Use of Branching Entropy"). The end of a run is a new
// neighbour each time. A unit and what stands beside it, as 公司|股价 or 的|股价, is none
// unless one of the two is mostly seen so.
//
// each gives the runs, twice. When there are more runs than unitGrams, the rarest are
// forgotten (as in lossy counting, Manku and Motwani 2002): counts are then lower bounds,
// which the caller counts anew. total is the number of parts.
func units(each func(yield func(run []rune)) error, least int) (found []gram, total int, err error) {
	counts, floor := map[gram]int{}, 0
	err = each(func(run []rune) {
		total += len(run)
		for i := range run {
			for n := 1; n <= unitMost && i+n <= len(run); n++ {
				counts[gramOf(run[i:i+n])]++
			}
		}
		for len(counts) > unitGrams {
			floor++
			maps.DeleteFunc(counts, func(_ gram, n int) bool { return n <= floor })
		}
	})
	if err != nil || total == 0 {
		return nil, total, err
	}
	beside := map[gram]*[2]neighbours{}
	for _, g := range cohesive(counts, total, least) {
		beside[g] = &[2]neighbours{}
	}
	if len(beside) == 0 {
		return nil, total, nil
	}
	err = each(func(run []rune) {
		for i := range run {
			for n := 2; n <= unitMost && i+n <= len(run); n++ {
				sides := beside[gramOf(run[i:i+n])]
				if sides == nil {
					continue
				}
				before, after := rune(0), rune(0)
				if i > 0 {
					before = run[i-1]
				}
				if i+n < len(run) {
					after = run[i+n]
				}
				sides[0].add(before)
				sides[1].add(after)
			}
		}
	})
	if err != nil {
		return nil, total, err
	}
	maps.DeleteFunc(beside, func(_ gram, sides *[2]neighbours) bool {
		return min(sides[0].entropy(), sides[1].entropy()) < unitFreedom
	})
	for n := 3; n <= unitMost; n++ { // the shorter ones are settled then
		maps.DeleteFunc(beside, func(g gram, _ *[2]neighbours) bool {
			run := g.parts()
			return len(run) == n && joined(run, counts, func(part []rune) bool { return beside[gramOf(part)] != nil })
		})
	}
	for g := range beside {
		found = append(found, g)
	}
	return found, total, nil
}

// joined reports whether a run is a unit and another unit or part beside it.
func joined(run []rune, counts map[gram]int, isUnit func([]rune) bool) bool {
	whole := float64(counts[gramOf(run)])
	for k := 1; k < len(run); k++ {
		a, b := run[:k], run[k:]
		if !isUnit(a) && !isUnit(b) || len(a) > 1 && !isUnit(a) || len(b) > 1 && !isUnit(b) {
			continue
		}
		if whole < unitBound*float64(min(counts[gramOf(a)], counts[gramOf(b)])) {
			return true
		}
	}
	return false
}

// cohesive are the runs that are seen often enough and hold together, of too many
// those that save most.
func cohesive(counts map[gram]int, total, least int) (out []gram) {
	for g, n := range counts {
		run := g.parts()
		if len(run) < 2 || n < least || n == total {
			continue
		}
		own := math.Log(float64(total) / float64(n))
		firm := math.Inf(1)
		for k := 1; k < len(run); k++ {
			// A part that was forgotten was seen as often as the whole at least.
			a, b := max(counts[gramOf(run[:k])], n), max(counts[gramOf(run[k:])], n)
			firm = min(firm, math.Log(float64(n)*float64(total)/float64(a)/float64(b))/own)
		}
		if firm >= unitCohesion {
			out = append(out, g)
		}
	}
	saves := func(g gram) int { return counts[g] * (len(g.parts()) - 1) }
	slices.SortFunc(out, func(a, b gram) int {
		return cmp.Or(cmp.Compare(saves(b), saves(a)), slices.Compare(a[:], b[:]))
	})
	return out[:min(len(out), unitFound)]
}

// neighbours counts the parts on one side; 0 is the end of a run.
type neighbours struct {
	seen map[rune]int
	ends int // and parts beyond unitBeside: each is one of its own
	all  int
}

func (n *neighbours) add(r rune) {
	n.all++
	if _, ok := n.seen[r]; r == 0 || !ok && len(n.seen) == unitBeside {
		n.ends++
		return
	}
	if n.seen == nil {
		n.seen = map[rune]int{}
	}
	n.seen[r]++
}

// entropy of what stands there, in bits.
func (n *neighbours) entropy() float64 {
	all := float64(n.all)
	h := float64(n.ends) / all * math.Log2(all)
	for _, r := range slices.Sorted(maps.Keys(n.seen)) {
		p := float64(n.seen[r]) / all
		h -= p * math.Log2(p)
	}
	return h
}
