//go:build torch

package train

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/islm-dev/islm/core/recipe"
)

// streamMixup keeps the draws of mixup apart from other uses of the seed.
const streamMixup = 0x6d69787570 // "mixup"

// mix pairs the rows of an optimizer step that ask for it. What is drawn depends
// on the seed, the step and the rows alone: not on how the step is cut into
// micro-batches, and a resumed run draws the same.
//
// All rows of the step are put into an order that is drawn; a row is mixed with
// the next one in it, so that each row is the other of one at most. Unlike Zhang et
// al., who draw one share for a whole batch, each row has its own.
func (t *trainer) mix(micro []*recipe.Batch) error {
	var rows []*recipe.Encoded
	asked := false
	for _, b := range micro {
		for _, r := range b.Rows {
			rows = append(rows, r)
			asked = asked || r.Mixup != nil
		}
	}
	if !asked {
		return nil
	}
	if !t.model.Mixes() {
		return fmt.Errorf("mix rows: an encoder of type %s cannot (leave rules of kind mixup.v0 out with augment.without)", t.model.Config.ModelType)
	}
	draw := func(r *recipe.Encoded) *rand.Rand {
		return rand.New(rand.NewPCG(t.job.Plan.Seed^streamMixup, r.Key^uint64(t.state.Step)*0x9e3779b97f4a7c15))
	}
	place := make([]uint64, len(rows))
	order := make([]int, len(rows))
	for i, r := range rows {
		order[i], place[i] = i, draw(r).Uint64()
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(place[a], place[b]) })
	at := make([]int, len(rows)) // in order
	for k, i := range order {
		at[i] = k
	}
	i := 0
	for _, b := range micro {
		b.Rows = slices.Clone(b.Rows)
		for k, r := range b.Rows {
			if with := partner(rows, order, at[i]); with != nil {
				rng := draw(r)
				rng.Uint64() // that of the order
				mixed := *r
				mixed.Mixed = &recipe.Mixed{With: with, Share: beta(rng, r.Mixup.Alpha)}
				b.Rows[k] = &mixed
				b.Width = max(b.Width, with.Width())
			}
			i++
		}
	}
	return nil
}

// partner is what a row is mixed with; nil when it does not ask, or there is none.
func partner(rows []*recipe.Encoded, order []int, at int) *recipe.Encoded {
	r := rows[order[at]]
	if r.Mixup == nil {
		return nil
	}
	for d := 1; d < len(order); d++ {
		if other := rows[order[(at+d)%len(order)]]; !r.Mixup.SameLabel || sameLabels(r, other) {
			return other
		}
	}
	return nil
}

func sameLabels(a, b *recipe.Encoded) bool {
	return slices.EqualFunc(a.Targets, b.Targets, func(x, y recipe.Target) bool {
		return x.Has == y.Has && (!x.Has || x.Class == y.Class && slices.Equal(x.Classes, y.Classes))
	})
}

// beta draws from Beta(alpha, alpha) as G1/(G1+G2) of two gamma variables. Their
// logarithms are compared: below an alpha of about 0.01 the variables themselves
// can both be too small for a number.
func beta(rng *rand.Rand, alpha float64) float64 {
	a, b := logGamma(rng, alpha), logGamma(rng, alpha)
	return 1 / (1 + math.Exp(b-a))
}

// logGamma draws the logarithm of a gamma variable of shape alpha (Marsaglia and
// Tsang 2000, A Simple Method for Generating Gamma Variables; for alpha < 1 by
// their section 6).
func logGamma(rng *rand.Rand, alpha float64) float64 {
	if alpha < 1 {
		return logGamma(rng, alpha+1) + math.Log(1-rng.Float64())/alpha
	}
	d := alpha - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return math.Log(d) + math.Log(v)
		}
	}
}
