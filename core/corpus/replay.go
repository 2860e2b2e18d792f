package corpus

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// OldPrefix begins the IDs of examples that Merge adds.
const OldPrefix = "old/"

// Merge adds to the examples of a continued training some of those that the model
// was trained on: n to train, evenly from their labels, and all of valid and test.
// Texts that the new data hold in another split are left out, so that nothing is
// scored that was learned. It returns how many examples were added to train.
func (c *Corpus) Merge(old *Corpus, n int, seed uint64) int {
	train, held := textKeys(c.Train), textKeys(c.Valid, c.Test)
	keep := func(examples []sdk.Example, but map[string]bool) (out []sdk.Example) {
		for _, ex := range examples {
			if !but[textKey(&ex)] {
				ex.ID = OldPrefix + ex.ID
				out = append(out, ex)
			}
		}
		return out
	}
	replay := Balanced(keep(old.Train, held), n, seed)
	c.Train = append(c.Train, replay...)
	c.Valid = append(c.Valid, keep(old.Valid, train)...)
	c.Test = append(c.Test, keep(old.Test, train)...)
	for _, in := range old.Inputs {
		in.Split = "old " + in.Split
		c.Inputs = append(c.Inputs, in)
	}
	return len(replay)
}

// StandIn gives the weights of a head's classes with which the replayed examples,
// after Merge, count for all old ones: the loss is then an estimate of the one on
// old and new examples together. A class with n old examples of which r are replayed
// beside m new ones weighs (n+m)/(r+m); over the examples the weights have the mean
// 1. It is nil where no class weighs more than another, and for heads that can give
// a text several classes or none.
func (c *Corpus) StandIn(h sdk.HeadSpec, old []sdk.Example) []float64 {
	if !slices.Contains([]string{sdk.KindClassify, sdk.KindPair}, h.Kind) || h.Loss != "" && h.Loss != "ce" {
		return nil
	}
	had, replayed, fresh := map[string]int{}, map[string]int{}, map[string]int{}
	count := func(in map[string]int, ex *sdk.Example) {
		if l, ok := ex.Labels[h.Name]; ok && len(l.Values) == 1 {
			in[l.Values[0]]++
		}
	}
	for i := range old {
		count(had, &old[i])
	}
	for i := range c.Train {
		if strings.HasPrefix(c.Train[i].ID, OldPrefix) {
			count(replayed, &c.Train[i])
		} else {
			count(fresh, &c.Train[i])
		}
	}
	weights := make([]float64, len(h.Labels))
	sum, n, equal := 0.0, 0, true
	for i, label := range h.Labels {
		weights[i] = 1
		if here := replayed[label] + fresh[label]; here > 0 {
			weights[i] = float64(had[label]+fresh[label]) / float64(here)
			sum, n = sum+weights[i]*float64(here), n+here
		}
		equal = equal && weights[i] == weights[0]
	}
	if n == 0 || equal {
		return nil
	}
	for i := range weights {
		weights[i] *= float64(n) / sum
	}
	return weights
}

// Join adds the splits of another corpus, whose IDs get a prefix.
func (c *Corpus) Join(more *Corpus, prefix string) {
	named := func(examples []sdk.Example) []sdk.Example {
		for i := range examples {
			examples[i].ID = prefix + examples[i].ID
		}
		return examples
	}
	c.Train = append(c.Train, named(more.Train)...)
	c.Valid = append(c.Valid, named(more.Valid)...)
	c.Test = append(c.Test, named(more.Test)...)
	c.Inputs = append(c.Inputs, more.Inputs...)
}

func textKeys(splits ...[]sdk.Example) map[string]bool {
	out := map[string]bool{}
	for _, examples := range splits {
		for i := range examples {
			out[textKey(&examples[i])] = true
		}
	}
	return out
}

// Balanced chooses n examples, in the order of the data, as evenly from their
// labels as there are examples: labels take turns, each giving the next of its
// examples. The order of labels and of examples follows from hashes of the seed,
// so that a choice of fewer is part of a choice of more. An example with several
// labels, or entities of several types, counts for each of them.
func Balanced(examples []sdk.Example, n int, seed uint64) []sdk.Example {
	rank := func(text string) uint64 {
		h := fnv.New64a()
		fmt.Fprintf(h, "%d\x00%s", seed, text)
		return mix(h.Sum64())
	}
	byLabel := map[string][]int{}
	for i := range examples {
		for _, label := range labelsOf(&examples[i]) {
			byLabel[label] = append(byLabel[label], i)
		}
	}
	ranks := make([]uint64, len(examples))
	for i := range examples {
		ranks[i] = rank(examples[i].ID)
	}
	labels := sortedKeys(byLabel)
	slices.SortStableFunc(labels, func(a, b string) int { return cmp.Compare(rank("label\x00"+a), rank("label\x00"+b)) })
	for _, label := range labels {
		slices.SortStableFunc(byLabel[label], func(a, b int) int { return cmp.Compare(ranks[a], ranks[b]) })
	}
	taken := map[int]bool{}
	for more := true; more && len(taken) < n; {
		more = false
		for _, label := range labels {
			queue := byLabel[label]
			for len(queue) > 0 && taken[queue[0]] {
				queue = queue[1:]
			}
			if len(queue) > 0 && len(taken) < n {
				taken[queue[0]], more = true, true
				queue = queue[1:]
			}
			byLabel[label] = queue
		}
	}
	out := make([]sdk.Example, 0, len(taken))
	for i := range examples {
		if taken[i] {
			out = append(out, examples[i])
		}
	}
	return out
}

// labelsOf names what an example is an example of, with the head: its labels, its
// types of entities; without any of these the head alone.
func labelsOf(ex *sdk.Example) []string {
	var out []string
	for _, head := range sortedKeys(ex.Labels) {
		l, n := ex.Labels[head], len(out)
		for _, v := range l.Values {
			out = append(out, head+"\x00"+v)
		}
		for _, t := range l.Tags {
			_, entity, ok := splitTag(t)
			if !ok {
				entity = t // scheme none
			}
			if entity != "" {
				out = append(out, head+"\x00"+entity)
			}
		}
		if len(out) == n {
			out = append(out, head)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Within reports whether all labels that an example has for a head are among
// these; an example without a label for the head is not within.
func Within(ex *sdk.Example, head sdk.HeadSpec) bool {
	l, ok := ex.Labels[head.Name]
	if !ok {
		return false
	}
	for _, v := range l.Values {
		if !slices.Contains(head.Labels, v) {
			return false
		}
	}
	for _, tag := range l.Tags {
		entity := tag
		if head.Scheme != schemeNone {
			if _, entity, _ = splitTag(tag); entity == "" {
				continue
			}
		}
		if !slices.Contains(head.Labels, strings.TrimSpace(entity)) {
			return false
		}
	}
	return true
}
