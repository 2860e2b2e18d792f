package weak

import (
	"fmt"
	"slices"
)

// Vote is what one function says about one item.
type Vote struct {
	Function int // index into Votes.Functions
	Class    int // index into Votes.Classes
}

// Votes are the votes of functions on items. A function that has no vote in a row
// abstains there.
type Votes struct {
	Functions []string
	Classes   []string
	Rows      [][]Vote // one per item, at most one vote per function
}

// Check reports the first vote that names no function or class, and functions that
// vote twice.
func (v *Votes) Check() error {
	seen := make([]int, len(v.Functions))
	for i, row := range v.Rows {
		for _, x := range row {
			switch {
			case x.Function < 0 || x.Function >= len(v.Functions):
				return fmt.Errorf("item %d: there is no function %d", i, x.Function)
			case x.Class < 0 || x.Class >= len(v.Classes):
				return fmt.Errorf("item %d: there is no class %d", i, x.Class)
			case seen[x.Function] == i+1:
				return fmt.Errorf("item %d: function %s votes twice", i, v.Functions[x.Function])
			}
			seen[x.Function] = i + 1
		}
	}
	return nil
}

// Majority gives for each item the share of votes that each class has, nil where
// nobody votes.
func Majority(v *Votes) [][]float64 {
	out := make([][]float64, len(v.Rows))
	for i, row := range v.Rows {
		if len(row) == 0 {
			continue
		}
		p := make([]float64, len(v.Classes))
		for _, x := range row {
			p[x.Class] += 1 / float64(len(row))
		}
		out[i] = p
	}
	return out
}

// Best gives the indices of the most probable classes; more than one is a tie.
func Best(p []float64) []int {
	var best []int
	for c, x := range p {
		if len(best) == 0 || x > p[best[0]]+1e-12 {
			best = best[:0]
			best = append(best, c)
		} else if x >= p[best[0]]-1e-12 {
			best = append(best, c)
		}
	}
	return best
}

// FunctionStats describe one function by its votes. All shares are in 0..1 and of
// all items.
type FunctionStats struct {
	Function string         `json:"function"`
	Votes    map[string]int `json:"votes"`    // by class
	Coverage float64        `json:"coverage"` // items on which it votes
	Overlap  float64        `json:"overlap"`  // items on which others vote, too
	Conflict float64        `json:"conflict"` // items on which another says something else
	// Estimated is the share of its votes that the model takes for right, nil
	// without a model or without votes; Measured the share that is right where the
	// truth is known, of Judged votes.
	Estimated *float64 `json:"estimated_accuracy"`
	Measured  *float64 `json:"measured_accuracy,omitempty"`
	Judged    int      `json:"judged,omitempty"`
}

// Stats describes all functions. probs are what a model gives for each item, nil
// for none; truth holds the index of the true class of each item, -1 where it is
// not known, nil for nowhere.
func Stats(v *Votes, probs [][]float64, truth []int) []FunctionStats {
	out := make([]FunctionStats, len(v.Functions))
	n := max(float64(len(v.Rows)), 1)
	sum, count, right := make([]float64, len(out)), make([]int, len(out)), make([]int, len(out))
	for f := range out {
		out[f] = FunctionStats{Function: v.Functions[f], Votes: map[string]int{}}
	}
	for i, row := range v.Rows {
		for _, x := range row {
			s := &out[x.Function]
			s.Votes[v.Classes[x.Class]]++
			s.Coverage += 1 / n
			if len(row) > 1 {
				s.Overlap += 1 / n
			}
			if slices.ContainsFunc(row, func(y Vote) bool { return y.Class != x.Class }) {
				s.Conflict += 1 / n
			}
			if probs != nil && probs[i] != nil {
				sum[x.Function] += probs[i][x.Class]
				count[x.Function]++
			}
			if truth != nil && truth[i] >= 0 {
				s.Judged++
				if truth[i] == x.Class {
					right[x.Function]++
				}
			}
		}
	}
	for f := range out {
		if count[f] > 0 {
			a := sum[f] / float64(count[f])
			out[f].Estimated = &a
		}
		if out[f].Judged > 0 {
			a := float64(right[f]) / float64(out[f].Judged)
			out[f].Measured = &a
		}
	}
	return out
}
