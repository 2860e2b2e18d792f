package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/core/tune"
)

// fakeTrials writes what a training leaves of a trial: a score, and a peak of memory
// in bytes. seen gets the plan of each.
func fakeTrials(t *testing.T, f *tuning, memory int64, sets ...string) (tr *trials, seen func() []*recipe.Plan) {
	t.Helper()
	plan, ds := recipe.Resolve(recipe.Sources{Sets: append([]string{"base=base", "data.path=data"}, sets...)})
	require.NoError(t, ds.Err())
	f.out = t.TempDir()
	var mu sync.Mutex
	var plans []*recipe.Plan
	tr = newTrials(f, plan, func(_ context.Context, file, out string) error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		p, ds := recipe.Parse(file, data)
		if err := ds.Err(); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		plans = append(plans, p)
		own := filepath.Join(out, core.Own)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		log, err := report.OpenLog(filepath.Join(own, core.LogFile))
		if err != nil {
			return err
		}
		if err := log.Append(report.Entry{Kind: recipe.EventValid, Step: 1, Epoch: 1, Values: map[string]float64{report.ValueScore: p.Train.LR}}); err != nil {
			return err
		}
		if err := log.Close(); err != nil {
			return err
		}
		return (&metric.Metrics{Train: metric.Train{PeakRSSBytes: memory}}).Save(filepath.Join(own, core.MetricsFile))
	})
	return tr, func() []*recipe.Plan { return plans }
}

func searchSpace(t *testing.T, text string) tune.Space {
	t.Helper()
	s, ds := tune.ParseSpace("space", []byte(text))
	require.NoError(t, ds.Err())
	return s
}

func (t *trials) study(space tune.Space, method string, n int) *tune.Study {
	return &tune.Study{Space: space, Method: method, Trials: n, Seed: t.plan.Seed, Parallel: t.atOnce, Budgets: []int{1, 3}, File: filepath.Join(t.out, "trials.json"), Run: t.run}
}

func TestFitting(t *testing.T) {
	for _, c := range []struct {
		memory, free   int64
		cores, threads int
		want           int
	}{
		{1 << 30, 10 << 30, 64, 1, 9},  // a tenth stays free
		{1 << 30, 100 << 30, 8, 1, 8},  // cores
		{1 << 30, 100 << 30, 16, 4, 4}, // each with four threads
		{8 << 30, 4 << 30, 16, 1, 1},   // one always runs
		{1 << 30, 100 << 30, 2, 4, 1},
		{0, 100 << 30, 16, 1, 1}, // the first trial failed
		{1 << 30, 0, 16, 1, 1},   // no /proc/meminfo
	} {
		require.Equal(t, c.want, fitting(c.memory, c.free, c.cores, c.threads), "%+v", c)
	}
}

// With --parallel 0 the first trial says how many fit; it and all others, those of
// the seeds too, have one thread.
func TestTrialsAtOnce(t *testing.T) {
	space := searchSpace(t, "train.lr: {log: [1e-5, 1e-2]}")
	for _, method := range tune.Methods() {
		t.Run(method, func(t *testing.T) {
			tr, seen := fakeTrials(t, &tuning{seeds: 3}, 1<<30)
			s := tr.study(space, method, 6)
			require.NoError(t, tr.fit(t.Context(), s, 16, func() int64 { return 5 << 30 }))
			require.Len(t, seen(), 1)
			require.Equal(t, 4, tr.atOnce)
			require.Equal(t, 4, s.Parallel)
			all, err := s.Search(t.Context())
			require.NoError(t, err)
			n := len(all)
			require.Len(t, seen(), n, "the first trial is one of the study")
			_, err = tr.noise(t.Context(), tune.Ranked(all)[0])
			require.NoError(t, err)
			require.Len(t, seen(), n+2)
			for _, p := range seen() {
				require.Equal(t, 1, p.Train.Threads)
			}

			// The finished study is asked again, and trains nothing.
			again := tr.study(space, method, 6)
			require.NoError(t, tr.fit(t.Context(), again, 16, func() int64 { return 5 << 30 }))
			_, err = again.Search(t.Context())
			require.NoError(t, err)
			require.Len(t, seen(), n+2)
		})
	}
}

// Threads follow from the flags: one with several at once, the recipe's where it says
// so, all cores where trials run alone.
func TestThreadsOfTrials(t *testing.T) {
	for _, c := range []struct {
		parallel int
		sets     string
		want     int
	}{{1, "", 0}, {0, "", 1}, {3, "", 1}, {0, "train.threads=2", 2}, {3, "train.threads=2", 2}, {1, "train.threads=2", 2}} {
		tr, seen := fakeTrials(t, &tuning{parallel: c.parallel}, 1<<30, strings.Fields(c.sets)...)
		s := tr.study(searchSpace(t, "train.lr: {log: [1e-5, 1e-2]}"), tune.Random, 2)
		if c.parallel == 0 {
			require.NoError(t, tr.fit(t.Context(), s, 8, func() int64 { return 100 << 30 }))
			require.Equal(t, 8/max(1, c.want), tr.atOnce)
		}
		_, err := s.Search(t.Context())
		require.NoError(t, err)
		require.Len(t, seen(), 2)
		for _, p := range seen() {
			require.Equal(t, c.want, p.Train.Threads, "%+v", c)
		}
	}
}

// What no trial could train is refused before the first one.
func TestTuneObjectives(t *testing.T) {
	for _, c := range []struct{ sets, space, want string }{
		{"objective=fewshot", "{fewshot.c: [0.1, 1]}", "islm fewshot"},
		{"objective=vocab vocab.extend=5", "{train.lr: [0.1, 1]}", "objective finetune, distill"},
		{"", "{objective: [finetune, fewshot]}", "islm fewshot"},
		{"", "{train.learning: [1, 2]}", "train.learning"},
	} {
		tr, _ := fakeTrials(t, &tuning{parallel: 1}, 0, strings.Fields(c.sets)...)
		require.ErrorContains(t, tr.check(searchSpace(t, c.space)), c.want, c.sets)
	}
	for _, o := range []string{"finetune", "pretrain", "continue"} {
		tr, _ := fakeTrials(t, &tuning{parallel: 1}, 0, "objective="+o)
		require.NoError(t, tr.check(searchSpace(t, "{train.lr: [0.1, 1]}")), o)
	}
}
