package tune

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Methods of a study.
const (
	Grid    = "grid"    // all combinations
	Random  = "random"  // independent draws
	TPE     = "tpe"     // Space.TPE
	Halving = "halving" // successive halving of random draws (Jamieson and Talwalkar 2016)
	ASHA    = "asha"    // the same without waiting for a whole rung (Li et al. 2020)
)

// Methods lists them.
func Methods() []string { return []string{Grid, Random, TPE, Halving, ASHA} }

// Study is one search.
type Study struct {
	Space  Space
	Method string
	Trials int // trials to run, in the first rung of halving and asha; grid: most of them, 0 = all
	Seed   uint64
	// Round is how many trials see the same history: TPE learns between rounds.
	Round    int // 0 = 1
	Parallel int // trials at once; 0 = 1
	Points   int // of a range in a grid; 0 = 3
	// Budgets are the epochs of the rungs of halving and asha, rising; of each rung
	// the best 1/Eta go on.
	Budgets []int
	Eta     int    // 0 = 3
	File    string // where finished trials are kept; "" = nowhere
	// Inputs are digests of what scores depend on besides a trial's values, by what
	// they are: recipe, data, … Trials of File that were made with others are refused
	// (OtherInputs); nil = not known, nothing is refused.
	Inputs map[string]string
	// Alike ends a search (AllFailed) whose first trials, so many or more, all failed
	// with the same error though no searched value is common to them: what is wrong
	// is wrong with every trial. 0 = never.
	Alike int
	// Run trains one trial and fills in its score; an error of the trial itself
	// belongs in Trial.Error.
	Run func(ctx context.Context, t *Trial) error
	// Done hears each finished trial; nil is allowed.
	Done func(t Trial)
}

// OtherInputs is the error of a study whose file holds trials made with other inputs.
type OtherInputs struct {
	File  string
	Trial Trial
	Names []string // of the inputs that differ, sorted
}

func (e *OtherInputs) Error() string {
	return fmt.Sprintf("trial %d of the study in %s was made with another %s", e.Trial.ID, e.File, strings.Join(e.Names, ", "))
}

// sameInputs compares what a finished trial was made with.
func (s *Study) sameInputs(t Trial) error {
	if t.Inputs == nil || s.Inputs == nil {
		return nil
	}
	var names []string
	for name, digest := range s.Inputs {
		if was, ok := t.Inputs[name]; ok && was != digest {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return &OtherInputs{File: s.File, Trial: t, Names: names}
}

// AllFailed ends a search in which every trial failed with the same error. Of these
// trials none is kept: the next search tries them again.
type AllFailed struct {
	Trials int
	Reason string // the error of each
}

func (e *AllFailed) Error() string {
	return fmt.Sprintf("the first %d trials all failed alike: %s", e.Trials, e.Reason)
}

// hopeless ends the search as Alike says, and removes the file of trials.
func (s *Study) hopeless(done map[int]Trial) error {
	if s.Alike == 0 || len(done) < s.Alike {
		return nil
	}
	var all []Trial
	for _, t := range done {
		if all = append(all, t); t.Error == "" || t.Error != all[0].Error {
			return nil
		}
	}
	for i := range s.Space {
		d := &s.Space[i]
		one := func(v string) bool { return v == d.Choices[0] }
		if d.Choices != nil && !slices.ContainsFunc(d.Choices, func(v string) bool { return !one(v) }) {
			continue // every trial has it
		}
		if !slices.ContainsFunc(all, func(t Trial) bool { return t.Values[d.Key] != all[0].Values[d.Key] }) {
			return nil // it may be this value
		}
	}
	if s.File != "" {
		if err := os.Remove(s.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the trials: %w", err)
		}
	}
	return &AllFailed{len(all), all[0].Error}
}

// Search runs what is missing and returns all trials in the order of their IDs.
func (s *Study) Search(ctx context.Context) ([]Trial, error) {
	done, err := s.load()
	if err != nil {
		return nil, err
	}
	var all []Trial
	switch s.Method {
	case Grid:
		for i, v := range s.Space.Grid(max(s.Points, 3*int(btof(s.Points == 0)))) {
			if s.Trials > 0 && i >= s.Trials {
				break
			}
			all = append(all, Trial{ID: i, Values: v})
		}
		return s.run(ctx, nil, all, done)
	case Random, TPE:
		for len(all) < s.Trials {
			var round []Trial
			for len(round) < max(s.Round, 1) && len(all)+len(round) < s.Trials {
				t := Trial{ID: len(all) + len(round)}
				if t.Values = s.Space.Random(s.Seed, t.ID); s.Method == TPE {
					t.Values = s.Space.TPE(s.Seed, t.ID, all)
				}
				round = append(round, t)
			}
			if all, err = s.run(ctx, all, round, done); err != nil {
				return all, err
			}
		}
		return all, nil
	case Halving:
		return s.halve(ctx, done)
	case ASHA:
		return s.asha(ctx, done)
	}
	return nil, fmt.Errorf("tune: unknown method %q", s.Method)
}

func (s *Study) halve(ctx context.Context, done map[int]Trial) (all []Trial, err error) {
	var rung []Trial
	for i := range s.Trials {
		rung = append(rung, Trial{ID: i, Values: s.Space.Random(s.Seed, i)})
	}
	eta := cmp.Or(s.Eta, 3)
	for r, budget := range s.Budgets {
		for i := range rung {
			rung[i].Budget, rung[i].Rung = budget, r
		}
		begin := len(all)
		if all, err = s.run(ctx, all, rung, done); err != nil || r+1 == len(s.Budgets) {
			return all, err
		}
		best := Ranked(all[begin:])
		if len(best) == 0 {
			return all, nil // all failed: nothing goes on
		}
		best = best[:max(1, len(best)/eta)]
		rung = nil
		for _, t := range best {
			rung = append(rung, Trial{ID: len(all) + len(rung), Values: t.Values, From: t.ID})
		}
	}
	return all, nil
}

// Ranked sorts trials, the best first, and leaves failed ones out. Trials with a
// larger budget come before others.
func Ranked(trials []Trial) []Trial {
	out := slices.DeleteFunc(slices.Clone(trials), func(t Trial) bool { return t.Error != "" })
	slices.SortStableFunc(out, func(a, b Trial) int {
		return cmp.Or(cmp.Compare(b.Rung, a.Rung), cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// run runs one round, several trials at once, and appends it to all.
func (s *Study) run(ctx context.Context, all, round []Trial, done map[int]Trial) ([]Trial, error) {
	var open []int
	for i := range round {
		old, ok := done[round[i].ID]
		switch {
		case !ok:
			open = append(open, i)
		case !sameValues(old, round[i]):
			return all, fmt.Errorf("the study in %s tried other values in trial %d: it was begun with another space, method or seed", s.File, old.ID)
		default:
			round[i] = old
		}
	}
	var mu sync.Mutex // of done and its file
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(s.Parallel, 1))
	errs := make([]error, len(round))
	caller := ctx
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := false // by hopeless
	for _, i := range open {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if errs[i] = ctx.Err(); errs[i] != nil {
				return
			}
			t := &round[i]
			if errs[i] = s.Run(ctx, t); errs[i] != nil {
				stop() // the others would go on for a search that is over
				return
			}
			t.settle()
			t.Inputs = s.Inputs
			mu.Lock()
			defer mu.Unlock()
			if ended {
				return
			}
			done[t.ID] = *t
			errs[i] = s.save(done)
			if s.Done != nil {
				s.Done(*t)
			}
			if err := s.hopeless(done); err != nil {
				ended, errs[i] = true, errors.Join(errs[i], err)
				stop()
			}
		})
	}
	wg.Wait()
	if caller.Err() == nil { // of those that were stopped the first error tells why
		errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, context.Canceled) })
	}
	if err := errors.Join(errs...); err != nil {
		return all, err
	}
	return append(all, round...), nil
}

// settle makes a failed trial of one whose score is no number.
func (t *Trial) settle() {
	if math.IsNaN(t.Score) || math.IsInf(t.Score, 0) {
		t.Error = cmp.Or(t.Error, "the score is not a number")
		t.Score = 0
	}
}

func sameValues(a, b Trial) bool {
	if len(a.Values) != len(b.Values) || a.Budget != b.Budget {
		return false
	}
	for k, v := range a.Values {
		if b.Values[k] != v {
			return false
		}
	}
	return true
}

func (s *Study) load() (map[int]Trial, error) {
	out := map[int]Trial{}
	if s.File == "" {
		return out, nil
	}
	data, err := os.ReadFile(s.File)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	var all []Trial
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read the study: %w", err)
	}
	for _, t := range all {
		if err := s.sameInputs(t); err != nil {
			return nil, err
		}
		out[t.ID] = t
	}
	return out, nil
}

func (s *Study) save(done map[int]Trial) error {
	if s.File == "" {
		return nil
	}
	var all []Trial
	for _, t := range done {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b Trial) int { return a.ID - b.ID })
	data, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.File), 0o755)
	}
	if err == nil {
		err = os.WriteFile(s.File+".tmp", append(data, '\n'), 0o644)
	}
	if err == nil {
		err = os.Rename(s.File+".tmp", s.File)
	}
	if err != nil {
		return fmt.Errorf("keep the trials: %w", err)
	}
	return nil
}
