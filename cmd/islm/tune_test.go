package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	layers := recipe.Sources{Sets: append([]string{"base=base", "data.path=data"}, sets...)}
	plan, ds := recipe.Resolve(layers)
	require.NoError(t, ds.Err())
	f.out = t.TempDir()
	var mu sync.Mutex
	var plans []*recipe.Plan
	tr = newTrials(f, layers, plan, func(_ context.Context, command []string, file, out string) error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		p, ds := recipe.Parse(file, data)
		if err := ds.Err(); err != nil {
			return err
		}
		if !slices.Equal(command, trialCommand(p)) {
			return fmt.Errorf("%v runs the objective %s", command, p.Objective)
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

// Numbers that make no search are told with their flag.
func TestTuneNumbers(t *testing.T) {
	good := func() *tuning { return &tuning{trials: 1, round: 1, budgets: []int{1, 3}, seeds: 1} }
	require.NoError(t, good().checkNumbers())
	for flag, change := range map[string]func(*tuning){
		"--trials 0":    func(f *tuning) { f.trials = 0 },
		"--trials -2":   func(f *tuning) { f.trials = -2 },
		"--round 0":     func(f *tuning) { f.round = 0 },
		"--parallel -1": func(f *tuning) { f.parallel = -1 },
		"--seeds -1":    func(f *tuning) { f.seeds = -1 },
		"--budgets 0":   func(f *tuning) { f.budgets = []int{0} },
		"--budgets 3,1": func(f *tuning) { f.budgets = []int{3, 1} },
		"--budgets 1,1": func(f *tuning) { f.budgets = []int{1, 1} },
		"--budgets:":    func(f *tuning) { f.budgets = nil },
	} {
		f := good()
		change(f)
		require.ErrorContains(t, f.checkNumbers(), flag)
	}
}

// What no trial could train is refused before the first one.
func TestTuneObjectives(t *testing.T) {
	for _, c := range []struct{ sets, space, method, want string }{
		{"objective=vocab vocab.extend=5", "{train.lr: [0.1, 1]}", tune.TPE, "objective finetune, distill"},
		{"", "{objective: [finetune, fewshot]}", tune.TPE, "tune.objective"},
		{"", "{preset: [lora, fewshot]}", tune.TPE, "cannot be compared"},
		{"", "{objective: [finetune, fewshot], train.peft: [lora, bitfit]}", tune.TPE, "cannot be compared"}, // though no few-shot trial could run
		{"objective=fewshot", "{fewshot.c: [0.1, 1]}", tune.ASHA, "--method tpe"},
		{"", "{objective: [fewshot]}", tune.Halving, "tune.budgets"},
		{"objective=fewshot fewshot.shots=1", "{fewshot.c: [0.1, 1]}", tune.TPE, "fewshot.shots"},
		{"", "{train.learning: [1, 2]}", tune.TPE, "train.learning"},
		{"", "{preset: [finetune, lorra]}", tune.TPE, "lorra"},
	} {
		tr, _ := fakeTrials(t, &tuning{parallel: 1, method: c.method}, 0, strings.Fields(c.sets)...)
		require.ErrorContains(t, tr.check(searchSpace(t, c.space)), c.want, "%s %s", c.sets, c.space)
	}
	for _, o := range []string{"finetune", "pretrain", "continue", "fewshot"} {
		tr, _ := fakeTrials(t, &tuning{parallel: 1}, 0, "objective="+o)
		require.NoError(t, tr.check(searchSpace(t, "{train.lr: [0.1, 1]}")), o)
	}
	tr, _ := fakeTrials(t, &tuning{parallel: 1}, 0, "objective=fewshot", "fewshot.shots=1")
	require.NoError(t, tr.check(searchSpace(t, "{fewshot.shots: [1, 8]}"))) // a trial of 1 fails by itself
	// The recipe's objective lies over those of presets.
	tr, _ = fakeTrials(t, &tuning{parallel: 1}, 0, "objective=finetune")
	require.NoError(t, tr.check(searchSpace(t, "{preset: [lora, fewshot]}")))
}

// Trials whose scores are of different things are refused, those whose rows may differ
// are told.
func TestTuneComparesScores(t *testing.T) {
	for _, c := range []struct{ sets, space, code, key string }{
		{"", "{train.metric: [accuracy, loss]}", "tune.scores", "train.metric"},
		{"", "{data.valid: [a.jsonl, b.jsonl]}", "tune.scores", "data.valid"},
		{"", "{data.split: [[0.8, 0.1, 0.1], [0.6, 0.2, 0.2]]}", "tune.scores", "data.split"},
		{"", "{heads.topic.labels: [[a, b], [a, b, c]]}", "tune.scores", "heads.topic.labels"},
		{"objective=pretrain", "{pretrain.share: {uniform: [0.1, 0.3]}}", "tune.scores", "pretrain.share"},
		{"objective=pretrain", "{pretrain.mask: [token, word]}", "tune.scores", "pretrain.mask"},
		{"objective=pretrain", "{pretrain.task: [on, off]}", "tune.scores", "pretrain.task"},
		{"", "{preset: [finetune, ner]}", "tune.scores", "preset"},
		{"", "{objective: [finetune, pretrain]}", "tune.scores", "objective"},
		{"", "{data.path: [a, b]}", "tune.rows", "data.path"},
		{"objective=fewshot data.valid=v.jsonl", "{data.path: [a, b]}", "tune.rows", "data.path"},
		{"objective=pretrain", "{data.max_length: [64, 128]}", "tune.rows", "data.max_length"},
		{"objective=fewshot", "{seed: [1, 2]}", "tune.rows", "seed"},

		{"", "{train.metric: [accuracy, accuracy]}", "", ""},
		{"data.valid=v.jsonl", "{data.path: [a, b]}", "", ""},
		{"train.metric=entity_f1", "{preset: [finetune, ner]}", "", ""},
		{"", "{pretrain.share: [0.1, 0.3]}", "", ""}, // of a head beside others
		{"", "{data.max_length: [64, 128], base: [x, y], seed: [1, 2], data.share: [0.5, 1], train.lr: {log: [1e-5, 1e-3]}, augment.packs: [[], [aeda]]}", "", ""},
	} {
		tr, _ := fakeTrials(t, &tuning{parallel: 1}, 0, strings.Fields(c.sets)...)
		ds := tr.comparable(searchSpace(t, c.space))
		if c.code == "" {
			require.Empty(t, ds, "%s %s", c.sets, c.space)
			continue
		}
		require.Len(t, ds, 1, "%s %s", c.sets, c.space)
		require.Equal(t, []string{c.code, c.key}, []string{ds[0].Code, ds[0].Path})
		require.Equal(t, c.code == "tune.scores", ds.HasErrors())
	}
}

// Values that are lists and maps reach the plans of the trials.
func TestTrialsOfLists(t *testing.T) {
	tr, seen := fakeTrials(t, &tuning{parallel: 1}, 0)
	space := searchSpace(t, `{augment.packs: [[], [aeda, general-en]], data.fields: [{text: "a b"}], train.freeze: [[encoder]]}`)
	require.NoError(t, tr.check(space))
	all, err := tr.study(space, tune.Grid, 0).Search(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "[aeda, general-en]", all[1].Values["augment.packs"])
	plans := seen()
	require.Empty(t, plans[0].Augment.Packs)
	require.Equal(t, []string{"aeda", "general-en"}, plans[1].Augment.Packs)
	require.Equal(t, map[string]string{"text": "a b"}, plans[1].Data.Fields)
	require.Equal(t, []string{"encoder"}, plans[1].Train.Freeze)
	for space, want := range map[string]string{"{train: [{lr: 1}, {lr: 2}]}": "no key whose value is a map", "{train.lr: [[1], [2]]}": "train.lr wants a number"} {
		require.ErrorContains(t, tr.check(searchSpace(t, space)), want)
	}
}

// A trial that fails tells so in the words of its process.
func TestFailedTrial(t *testing.T) {
	var words firstError
	fmt.Fprint(&words, "warning[data.x]: long\nerror[data.path]: data: stat trial-0007.txt: no such file\n  remedy: check the path\nerror[other]: later\n")
	tr, _ := fakeTrials(t, &tuning{parallel: 1}, 0)
	tr.child = func(context.Context, []string, string, string) error {
		return &childError{words.found, errors.New("exit status 3")}
	}
	x := tune.Trial{ID: 7, Values: map[string]string{"train.lr": "0.1"}}
	require.NoError(t, tr.run(t.Context(), &x))
	require.Equal(t, "error[data.path]: data: stat trial-N.txt: no such file", x.Error)
	require.Equal(t, "exit status 3", (&childError{"", errors.New("exit status 3")}).Error())
}

// Few-shot trials are cross-validations, the seeds of the best too.
func TestFewShotTrials(t *testing.T) {
	require.Equal(t, []string{"train"}, trialCommand(recipe.Defaults()))
	tr, seen := fakeTrials(t, &tuning{parallel: 1, seeds: 3}, 1<<30, "preset=fewshot")
	all, err := tr.study(searchSpace(t, "{fewshot.c: [0.1, 1], fewshot.method: [probe, auto]}"), tune.Grid, 0).Search(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 4)
	_, err = tr.noise(t.Context(), tune.Ranked(all)[0])
	require.NoError(t, err)
	require.Len(t, seen(), 6)
	for _, p := range seen() {
		require.Equal(t, []string{"fewshot", "--cross-validate"}, trialCommand(p))
	}
	for _, x := range all {
		require.Empty(t, x.Error)
	}
}

// A searched preset lies where presets lie: under advice, the recipe's keys and the
// trial's other values.
func TestSearchedPreset(t *testing.T) {
	trial := func(layers recipe.Sources, values map[string]string) *recipe.Plan {
		base, ds := recipe.Resolve(layers)
		require.NoError(t, ds.Err())
		tr := newTrials(&tuning{parallel: 1}, layers, base, nil)
		p, err := tr.recipe(values, 0, 0)
		require.NoError(t, err)
		again, ds := recipe.Parse("trial", p.YAML()) // what the process of the trial reads
		require.NoError(t, ds.Err())
		require.Equal(t, p.YAML(), again.YAML())
		return p
	}
	plain := recipe.Sources{Sets: []string{"base=base", "data.path=data"}}
	p := trial(plain, map[string]string{"preset": "lora"})
	require.Equal(t, []any{"lora", "lora", 1e-3, 4}, []any{p.Preset, p.Train.Peft, p.Train.LR, p.Peft.Rank})
	p = trial(plain, map[string]string{"preset": "finetune"})
	require.Equal(t, []any{"finetune", "off", 5e-5}, []any{p.Preset, p.Train.Peft, p.Train.LR})
	p = trial(plain, map[string]string{"preset": "lora", "train.lr": "2e-3"})
	require.Equal(t, []any{"lora", 2e-3, 4}, []any{p.Train.Peft, p.Train.LR, p.Peft.Rank})

	own := recipe.Sources{Preset: "quick",
		Advice: []recipe.Advice{{Domain: "finance", Values: map[string]any{"peft.rank": 6, "train.warmup": 0.2}}},
		File:   &recipe.File{Name: "space.yaml", Data: []byte("train: {lr: 3e-4, warmup: 0.3}\ntune:\n  preset: [finetune, lora]\n")},
		Sets:   []string{"base=base", "data.path=data", "peft.alpha=16"}}
	p = trial(own, map[string]string{"preset": "lora"})
	require.Equal(t, []any{"lora", 3e-4, 6, 0.3, 16.0}, []any{p.Train.Peft, p.Train.LR, p.Peft.Rank, p.Train.Warmup, p.Peft.Alpha})
	require.Equal(t, 3, p.Train.Epochs, "of quick nothing is left")
	require.False(t, p.Domain.Advice)
	p = trial(own, map[string]string{"train.batch_size": "8"})
	require.Equal(t, []any{"quick", 1, 8, 3e-4}, []any{p.Preset, p.Train.Epochs, p.Train.BatchSize, p.Train.LR})
}
