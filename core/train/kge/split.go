package kge

import (
	"math"
	"slices"
)

// Split moves a share of the training facts to Valid and another to Test, for
// a graph that comes without a split. Which facts they are depends on seed and
// on the facts alone. A fact is taken only while both its entities and its
// relation keep a training fact, so nothing is asked that could not be learned.
func (d *Data) Split(valid, test float64, seed uint64) {
	wantValid := int(math.Round(valid * float64(len(d.Train))))
	wantTest := int(math.Round(test * float64(len(d.Train))))
	entity, relation := make([]int, len(d.Entities)), make([]int, len(d.Relations))
	for _, t := range d.Train {
		entity[t.Head]++
		entity[t.Tail]++
		relation[t.Relation]++
	}
	taken := make([]bool, len(d.Train))
	r := random(seed, "split", 0, 0)
	for _, i := range r.Perm(len(d.Train)) {
		if wantValid == 0 && wantTest == 0 {
			break
		}
		t := d.Train[i]
		ends := 1
		if t.Head == t.Tail {
			ends = 2
		}
		if entity[t.Head] <= ends || entity[t.Tail] <= ends || relation[t.Relation] <= 1 {
			continue
		}
		entity[t.Head]--
		entity[t.Tail]--
		relation[t.Relation]--
		taken[i] = true
		if wantTest > 0 {
			wantTest--
			d.Test = append(d.Test, t)
		} else {
			wantValid--
			d.Valid = append(d.Valid, t)
		}
	}
	keep := d.Train[:0:0]
	for i, t := range d.Train {
		if !taken[i] {
			keep = append(keep, t)
		}
	}
	d.Train = keep
	slices.SortFunc(d.Valid, compare)
	slices.SortFunc(d.Test, compare)
}
