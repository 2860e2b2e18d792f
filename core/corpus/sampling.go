package corpus

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/islm-dev/islm/core/recipe"
)

// mixture says how often the rows of each task come where several heads train at
// once: rows with labels of the same heads are one task. An epoch has as many rows
// as without; of n tasks with sizes s the one of size sᵢ has the share
// sᵢ^(1/T) / Σ s^(1/T) of them, with temperature T (Arivazhagan et al. 2019,
// "Massively Multilingual Neural Machine Translation in the Wild"; T → ∞ is
// uniform). A task that comes less often than it has rows goes on in the next epoch
// where it stopped; one that comes more often begins anew, in another order.
type mixture struct {
	tasks  [][]int // rows of each task
	quotas []int   // rows of each task in an epoch
}

// newMixture returns nil where every row comes once: with sampling proportional, or
// one task.
func newMixture(all []int, task func(row int) string, plan *recipe.DataPlan) *mixture {
	if plan.Sampling == "" || plan.Sampling == recipe.SamplingProportional {
		return nil
	}
	index := map[string]int{}
	m := &mixture{}
	for _, row := range all {
		key := task(row)
		at, ok := index[key]
		if !ok {
			at = len(m.tasks)
			index[key] = at
			m.tasks = append(m.tasks, nil)
		}
		m.tasks[at] = append(m.tasks[at], row)
	}
	if len(m.tasks) < 2 {
		return nil
	}
	shares, total := make([]float64, len(m.tasks)), 0.0
	for i, task := range m.tasks {
		shares[i] = 1
		if plan.Sampling == recipe.SamplingTemperature {
			shares[i] = math.Pow(float64(len(task)), 1/plan.Temperature)
		}
		total += shares[i]
	}
	// Largest remainders, so that the quotas add up.
	left, order := len(all), make([]int, len(shares))
	m.quotas = make([]int, len(shares))
	for i := range shares {
		order[i] = i
		shares[i] *= float64(len(all)) / total
		m.quotas[i] = int(shares[i])
		left -= m.quotas[i]
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(shares[b]-math.Floor(shares[b]), shares[a]-math.Floor(shares[a]))
	})
	for _, i := range order[:left] {
		m.quotas[i]++
	}
	return m
}

// Mixes reports whether the tasks come in other shares than their rows.
func (l *Loader) Mixes() bool { return l.mix != nil }

// rows gives the rows of an epoch, task by task: a function of seed and epoch alone.
func (m *mixture) rows(seed uint64, epoch int, shuffle bool) (out []int) {
	for i, task := range m.tasks {
		round := -1
		var order []int
		for at := epoch * m.quotas[i]; at < (epoch+1)*m.quotas[i]; at++ {
			if r := at / len(task); r != round {
				round, order = r, slices.Clone(task)
				if shuffle {
					rng := rand.New(rand.NewPCG(seed, 0x7461736b<<32|uint64(i)<<20|uint64(r))) // "task"
					rng.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
				}
			}
			out = append(out, order[at%len(task)])
		}
	}
	return out
}
