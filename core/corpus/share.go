package corpus

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Share takes a part of the examples, by seed: the same examples are in every larger
// part of that seed. Rows that were made of one (pairs of mentions) stay together;
// of single labels each keeps its part, at least one example. The order stays.
func Share(examples []sdk.Example, share float64, seed uint64) []sdk.Example {
	if share >= 1 || share <= 0 {
		return examples
	}
	keep := map[string]bool{}
	for _, ids := range strata(examples) {
		slices.SortStableFunc(ids, func(a, b string) int { return cmp.Compare(drawn(seed, a), drawn(seed, b)) })
		for _, id := range ids[:taken(len(ids), share)] {
			keep[id] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(examples), func(ex sdk.Example) bool { return !keep[cmp.Or(ex.Parent, ex.ID)] })
}

// CountShare is how many examples Share takes, rows made of one counted once.
func CountShare(examples []sdk.Example, share float64) (n int) {
	for _, ids := range strata(examples) {
		n += taken(len(ids), share)
	}
	return n
}

func taken(n int, share float64) int {
	if share >= 1 || share <= 0 {
		return n
	}
	return int(math.Ceil(share * float64(n)))
}

// drawn is the place of an example in the order of a seed.
func drawn(seed uint64, id string) uint64 {
	x := Key(id) ^ seed*0x9e3779b97f4a7c15
	for range 2 { // splitmix64
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}

// strata lists the IDs of examples by their single labels.
func strata(examples []sdk.Example) map[string][]string {
	out, seen := map[string][]string{}, map[string]bool{}
	for i := range examples {
		ex := &examples[i]
		id := cmp.Or(ex.Parent, ex.ID)
		if seen[id] {
			continue
		}
		seen[id] = true
		var labels []string
		for _, head := range sortedKeys(ex.Labels) {
			if l := ex.Labels[head]; len(l.Values) == 1 && l.Spans == nil {
				labels = append(labels, head, l.Values[0])
			}
		}
		key := strings.Join(labels, "\x00")
		out[key] = append(out[key], id)
	}
	return out
}
