package tune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// asha is asynchronous successive halving (Li et al. 2020, "A System for Massively
// Parallel Hyperparameter Tuning", algorithm 2). Whoever is free takes, from the
// highest rung down, a trial among the best 1/Eta of those that finished there and
// were not promoted yet, and trains its values with the next budget; where there is
// none, it begins new values. No rung waits for another.
//
// The trial of the values with number v in rung r has the ID v·len(Budgets)+r, so an
// ID stands for the same values and budget in every study of this seed. Which trials
// are promoted follows from the order in which others finish: with one at a time it
// is always the same.
type asha struct {
	*Study
	done map[int]Trial

	mu      sync.Mutex
	changed *sync.Cond
	running map[int]bool
	failed  error
}

func (s *Study) asha(ctx context.Context, done map[int]Trial) ([]Trial, error) {
	if len(s.Budgets) == 0 {
		return nil, errors.New("tune: asha wants budgets")
	}
	a := &asha{Study: s, done: done, running: map[int]bool{}}
	a.changed = sync.NewCond(&a.mu)
	for id, old := range done {
		if t := a.trial(id/len(s.Budgets), id%len(s.Budgets)); !sameValues(old, t) {
			return nil, fmt.Errorf("the study in %s tried other values in trial %d: it was begun with another space, method, budgets or seed", s.File, id)
		}
	}
	stop := context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.changed.Broadcast()
	})
	defer stop()
	var wg sync.WaitGroup
	for range max(s.Parallel, 1) {
		wg.Go(func() { a.work(ctx) })
	}
	wg.Wait()
	if a.failed == nil {
		a.failed = ctx.Err()
	}
	all := make([]Trial, 0, len(done))
	for _, t := range done {
		if t.ID/len(s.Budgets) < s.Trials {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(x, y Trial) int { return cmp.Compare(x.ID, y.ID) })
	return all, a.failed
}

// work runs trials until there is nothing left to do.
func (a *asha) work(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for ctx.Err() == nil && a.failed == nil {
		t, ok := a.next()
		if !ok {
			if len(a.running) == 0 {
				a.changed.Broadcast()
				return
			}
			a.changed.Wait() // what runs may be promoted when it is done
			continue
		}
		a.running[t.ID] = true
		a.mu.Unlock()
		err := a.Run(ctx, &t)
		t.settle()
		t.Inputs = a.Inputs
		a.mu.Lock()
		delete(a.running, t.ID)
		var over *AllFailed
		if err == nil && !errors.As(a.failed, &over) {
			a.done[t.ID] = t
			err = a.save(a.done)
			if a.Done != nil {
				a.Done(t)
			}
			err = errors.Join(err, a.hopeless(a.done))
		}
		a.failed = errors.Join(a.failed, err)
		a.changed.Broadcast()
	}
}

// trial is that of the values with a number in a rung, not yet run.
func (a *asha) trial(values, rung int) Trial {
	t := Trial{ID: values*len(a.Budgets) + rung, Values: a.Space.Random(a.Seed, values), Budget: a.Budgets[rung], Rung: rung}
	if rung > 0 {
		t.From = t.ID - 1
	}
	return t
}

// next is get_job of the paper.
func (a *asha) next() (Trial, bool) {
	begun := func(id int) bool {
		_, ok := a.done[id]
		return ok || a.running[id]
	}
	rungs := len(a.Budgets)
	for rung := rungs - 2; rung >= 0; rung-- {
		var here []Trial
		for _, t := range a.done {
			if t.Rung == rung && t.Error == "" && t.ID/rungs < a.Trials {
				here = append(here, t)
			}
		}
		slices.SortFunc(here, func(x, y Trial) int { return cmp.Or(cmp.Compare(y.Score, x.Score), cmp.Compare(x.ID, y.ID)) })
		for _, t := range here[:len(here)/cmp.Or(a.Eta, 3)] {
			if !begun(t.ID + 1) {
				return a.trial(t.ID/rungs, rung+1), true
			}
		}
	}
	for v := range a.Trials {
		if !begun(v * rungs) {
			return a.trial(v, 0), true
		}
	}
	return Trial{}, false
}
