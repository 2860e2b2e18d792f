package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/libtorch"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/core/tune"
	"github.com/islm-dev/islm/sdk"
)

// alike is how many trials that all fail with the same diagnostic end a search.
const alike = 3

// tuning is one `islm tune`.
type tuning struct {
	runFlags
	space    string
	method   string
	trials   int
	round    int
	parallel int
	budgets  []int
	seeds    int
	keep     bool
}

func (a *app) tune() *cobra.Command {
	f := tuning{}
	cmd := &cobra.Command{
		Use: "tune", Short: "Search the values of a recipe",
		Long: `Search the values of a recipe.

The space stands in the recipe file under tune:, or in --space: a list of values,
{log: [LOW, HIGH]}, {uniform: [LOW, HIGH]} or {int: [LOW, HIGH]} for each key; of a key
that takes a list, such as augment.packs, each value is one: [[], [aeda]].
Each trial is a training in a process of its own, scored on the validation data; with
the objective fewshot it is the cross-validation of 'islm fewshot --cross-validate',
scored by its macro F1. A searched preset lies below the recipe's own keys.
--out gets the trials, trials.html and best.yaml; the same command goes on where
it was stopped, and tries the same. With asha no trial waits for others: which are
trained longer follows from the order in which they finish.`,
		Example: `  islm tune --data news/ --space '{train.lr: {log: [1e-6, 1e-3]}, train.batch_size: [8, 16]}' --out search
  islm tune --data news/ --recipe space.yaml --method halving --budgets 1,3,9 --trials 18 --out search
  islm tune --data news/ --recipe space.yaml --method asha --budgets 1,3,9 --trials 27 --parallel 0 --out search
  islm train --data news/ --recipe search/best.yaml
  islm tune --data news/ --recipe fewshot --space '{fewshot.c: [0.1, 1, 10], fewshot.method: [contrastive, probe]}' --method grid --out few
  islm fewshot --recipe few/best.yaml --out runs/few`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runTune(cmd, &f) },
	}
	f.register(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.space, "space", "", "search space, as YAML (wins over tune: in the recipe)")
	fl.StringVar(&f.method, "method", tune.TPE, strings.Join(tune.Methods(), ", "))
	complete(cmd, "method", func(string) []string { return tune.Methods() })
	fl.IntVar(&f.trials, "trials", 20, "trials; with halving and asha those of the first rung, with grid at most so many")
	fl.IntVar(&f.round, "round", 4, "trials that see the same history (tpe)")
	fl.IntVar(&f.parallel, "parallel", 1, "trials at once; 0 is as many as cores and memory allow, by the first trial. Unless it is 1 or train.threads is set, each trial has one thread")
	fl.IntSliceVar(&f.budgets, "budgets", []int{1, 3}, "epochs of the rungs of halving and asha; the best third goes on")
	fl.IntVar(&f.seeds, "seeds", 3, "seeds of the best recipe, for the noise beside the differences")
	fl.BoolVar(&f.keep, "keep", false, "keep the models of the trials")
	return cmd
}

func (a *app) runTune(cmd *cobra.Command, f *tuning) error {
	if !slices.Contains(tune.Methods(), f.method) {
		return usageError{fmt.Errorf("--method is one of %s", strings.Join(tune.Methods(), ", "))}
	}
	if f.out == "" {
		return usageError{fmt.Errorf("--out names the folder of the search")}
	}
	if err := f.checkNumbers(); err != nil {
		return usageError{err}
	}
	if _, err := a.engine(); err != nil { // trials need it: say so now
		return err
	}
	space, err := f.readSpace()
	if err != nil {
		return err
	}
	layers, err := f.layers()
	if err != nil {
		return err
	}
	run, err := a.newRun(cmd, &f.runFlags, nil)
	if err != nil {
		return err
	}
	resolve := run.Resolve
	run.Resolve = func(advice []recipe.Advice) (*recipe.Plan, sdk.Diagnostics, error) {
		layers.Advice = advice // of the last call: that of the plan
		return resolve(advice)
	}
	plan, err := run.Plan(cmd.Context())
	if err != nil {
		return err
	}
	child, err := a.children(f.dev)
	if err != nil {
		return err
	}
	t := newTrials(f, layers, plan, child)
	if err := t.check(space); err != nil { // before anything is trained
		return err
	}
	ds := t.comparable(space)
	if ds.HasErrors() {
		return ds.Err()
	}
	a.problems(ds)
	if t.inputs, err = t.digests(cmd.Context(), run, space); err != nil {
		return err
	}
	study := &tune.Study{Inputs: t.inputs, Space: space, Method: f.method, Trials: f.trials, Seed: plan.Seed, Round: f.round, Parallel: t.atOnce, Budgets: f.budgets,
		File: filepath.Join(f.out, "trials.json"), Alike: alike, Run: t.run, Done: func(x tune.Trial) {
			if x.Error != "" {
				a.say("trial %d: failed  %s: %s", x.ID, describe(x.Values), x.Error)
				return
			}
			a.say("trial %d: %.4f  %s", x.ID, x.Score, describe(x.Values))
		}}
	if f.parallel == 0 {
		machine := libtorch.Probe()
		if err := t.fit(cmd.Context(), study, machine.Cores, func() int64 { return libtorch.Probe().MemoryFree }); err != nil {
			return t.differs(err)
		}
		a.say("%d trials at once", t.atOnce)
	}
	all, err := study.Search(cmd.Context())
	var over *tune.AllFailed
	if errors.As(err, &over) {
		return failed(over.Error())
	}
	if err != nil {
		return t.differs(err)
	}
	ranked := tune.Ranked(all)
	if len(ranked) == 0 {
		why := "there are no trials"
		if len(all) > 0 {
			why = all[0].Error
		}
		return failed("no trial came to a score: " + why)
	}
	best := ranked[0]
	var noise []float64
	if f.seeds > 1 {
		if noise, err = t.noise(cmd.Context(), best); err != nil {
			return err
		}
	}
	return a.tuned(f, t, all, best, noise)
}

// failed says that a search came to nothing.
func failed(summary string) error {
	return sdk.Diagnostics{{Severity: sdk.Error, Code: "tune.failed", Summary: summary, Remedy: "try the recipe with islm train first"}}.Err()
}

// checkNumbers refuses numbers with which no search can be made.
func (f *tuning) checkNumbers() error {
	switch {
	case f.trials < 1:
		return fmt.Errorf("--trials %d: a search has 1 trial or more", f.trials)
	case f.round < 1:
		return fmt.Errorf("--round %d: 1 trial or more sees the same history", f.round)
	case f.parallel < 0:
		return fmt.Errorf("--parallel %d: a number of trials, or 0 for as many as cores and memory allow", f.parallel)
	case f.seeds < 0:
		return fmt.Errorf("--seeds %d: a number of seeds; with 1 or 0 the noise is not measured", f.seeds)
	case len(f.budgets) == 0:
		return errors.New("--budgets: the epochs of one rung or more, as 1,3,9")
	}
	for i, b := range f.budgets {
		if b < 1 || i > 0 && b <= f.budgets[i-1] {
			return fmt.Errorf("--budgets %s: epochs of 1 or more that rise from rung to rung, as 1,3,9", strings.Trim(strings.ReplaceAll(fmt.Sprint(f.budgets), " ", ","), "[]"))
		}
	}
	return nil
}

// readSpace takes the space of --space, else that of the recipe file.
func (f *tuning) readSpace() (tune.Space, error) {
	name, data := "--space", []byte(f.space)
	if f.space == "" {
		src, err := recipe.Open(f.recipe)
		if err != nil {
			return nil, err
		}
		if src.File != nil {
			doc, ds := sdk.ParseYAML(src.File.Name, src.File.Data)
			if err := ds.Err(); err != nil {
				return nil, err
			}
			tree, _ := doc.Tree()
			for _, pair := range tree.Pairs {
				if pair.Key == "tune" {
					space, ds := tune.SpaceOf(src.File.Name, pair.Value)
					return space, ds.Err()
				}
			}
		}
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "tune.space", Summary: "there is no search space", Remedy: "write tune: in the recipe file, or --space '{train.lr: {log: [1e-6, 1e-3]}}'"}}.Err()
	}
	space, ds := tune.ParseSpace(name, data)
	return space, ds.Err()
}

// trials trains the trials of a search.
type trials struct {
	*tuning
	layers recipe.Sources // of the plan, over which the values of a trial are laid
	plan   *recipe.Plan   // without a trial's values
	child  func(ctx context.Context, command []string, recipeFile, out string) error
	atOnce int // how many run beside each other
	// threads of each trial, 0 = what the recipe says. It follows from the flags, not
	// from how many fit, so that all trials of a search, the first one too, are
	// computed alike on every machine.
	threads int
	inputs  map[string]string // of the study
}

func newTrials(f *tuning, layers recipe.Sources, plan *recipe.Plan, child func(ctx context.Context, command []string, recipeFile, out string) error) *trials {
	t := &trials{tuning: f, layers: layers, plan: plan, child: child, atOnce: max(f.parallel, 1)}
	if f.parallel != 1 && plan.Train.Threads == 0 {
		t.threads = 1
	}
	return t
}

// fit runs the first trial of a study and sets how many run beside each other from
// then on. free is the memory that new processes can have, in bytes.
func (t *trials) fit(ctx context.Context, s *tune.Study, cores int, free func() int64) error {
	one := *s
	one.Trials, one.Parallel = 1, 1
	if s.Method == tune.Halving {
		one.Budgets = s.Budgets[:min(1, len(s.Budgets))] // a single trial would go up all rungs
	}
	first, err := one.Search(ctx)
	if err != nil {
		return err
	}
	t.atOnce = 1
	if len(first) > 0 {
		t.atOnce = fitting(first[0].Memory, free(), cores, max(t.threads, t.plan.Train.Threads, 1))
	}
	s.Parallel = t.atOnce
	return nil
}

// fitting is how many trials of so many bytes and threads run beside each other: a
// tenth of the memory stays free. Where the memory of a trial or that of the machine
// is unknown (0), it is one.
func fitting(memory, free int64, cores, threads int) int {
	if memory <= 0 {
		return 1
	}
	return max(1, min(cores/threads, int(float64(free)*0.9/float64(memory))))
}

// check refuses keys that no recipe has, and searches none of whose trials, or not all
// of them, could be trained and compared.
func (t *trials) check(space tune.Space) error {
	for _, d := range space {
		if _, ok := recipe.FindKey(d.Key); !ok && slices.ContainsFunc(d.Choices, func(c string) bool { return strings.HasPrefix(c, "{") }) {
			return sdk.Diagnostics{{Severity: sdk.Error, Code: "tune.space", Path: d.Key, Summary: d.Key + " is no key whose value is a map", Remedy: "name each key by itself, as train.lr; a map is the value of keys such as fewshot.verbalizer"}}.Err()
		}
	}
	values := space.Random(t.plan.Seed, 0)
	first, wrong := t.resolve(t.sets(values, 0, 0)...)
	plans := []*recipe.Plan{first}
	shots := false // are searched
	for _, d := range space {
		shots = shots || d.Key == "fewshot.shots"
		if d.Key != "objective" && d.Key != "preset" {
			continue
		}
		for _, choice := range d.Choices {
			some := maps.Clone(values)
			some[d.Key] = choice
			p, ds := t.resolve(t.sets(some, 0, 0)...)
			if ds.HasErrors() && d.Key == "preset" && p.Preset != choice {
				return ds.Err() // there is none of that name
			}
			plans = append(plans, p) // of other errors, which may be those of one combination, the trial tells
		}
	}
	var few, others int
	var ds sdk.Diagnostics
	for _, p := range plans {
		if p.Objective == recipe.ObjectiveFewShot {
			few++
			continue
		}
		others++
		if !ds.HasErrors() {
			ds.Add(checkSearched(p)...)
		}
	}
	switch {
	case few > 0 && others > 0:
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "tune.objective", Path: "objective", Summary: "the space holds the objective fewshot beside others, whose scores cannot be compared",
			Detail: "A trial of the objective fewshot is scored by a cross-validation on a draw of a few training examples, others on the validation data.",
			Remedy: "two searches, one with objective=fewshot and one without it"}}.Err()
	case wrong.HasErrors():
		return wrong.Err()
	case few == 0:
		return ds.Err()
	}
	if t.method == tune.Halving || t.method == tune.ASHA {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "tune.budgets", Summary: fmt.Sprintf("--method %s gives the better trials more epochs, and a trial of the objective fewshot has none to give", t.method),
			Detail: "Its methods count pairs, passes over a few examples, or train nothing; and more rounds of its cross-validation would make the score steadier, not the model better.",
			Remedy: "--method tpe, random or grid"}}.Err()
	}
	if !shots {
		return core.CheckCrossValidated(first).Err()
	}
	return nil
}

// comparable refuses a space whose trials are scored by different things, and warns
// where they may be scored on different rows.
func (t *trials) comparable(space tune.Space) (ds sdk.Diagnostics) {
	first, _ := t.resolve(t.sets(space.Random(t.plan.Seed, 0), 0, 0)...)
	refuse := func(key, summary, remedy string) {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "tune.scores", Path: key, Summary: summary, Remedy: remedy})
	}
	for _, d := range space {
		if d.Choices != nil && len(slices.Compact(slices.Sorted(slices.Values(d.Choices)))) < 2 {
			continue
		}
		if d.Key == "preset" || d.Key == "objective" {
			var plans []*recipe.Plan
			for _, choice := range d.Choices {
				p, _ := t.resolve(d.Key + "=" + choice)
				plans = append(plans, p)
			}
			t.comparablePlans(d, plans, refuse)
			continue
		}
		switch first.Scored(d.Key) {
		case recipe.ScoresOther:
			refuse(d.Key, d.Key+" says what a score is of: scores of trials with different values cannot be compared",
				"fix it in the recipe, or with --set; a search for each value, if several are wanted")
		case recipe.ScoresRows:
			ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "tune.rows", Path: d.Key, Summary: "trials with different values of " + d.Key + " may be scored on different rows: then their scores cannot be compared",
				Remedy: rowsRemedy(d.Key, first)})
		}
	}
	return ds
}

func rowsRemedy(key string, plan *recipe.Plan) string {
	if strings.HasPrefix(key, "data.") && plan.Objective != recipe.ObjectiveFewShot && plan.Objective != recipe.ObjectivePretrain {
		return "data.valid=FILE gives all trials the same"
	}
	return "compare the best models on the same data with islm eval"
}

// comparablePlans refuses presets or objectives that are scored by different things,
// where the recipe does not lie over them.
func (t *trials) comparablePlans(d tune.Dimension, plans []*recipe.Plan, refuse func(key, summary, remedy string)) {
	for i, p := range plans[1:] {
		if a, b := plans[0].Objective == recipe.ObjectivePretrain, p.Objective == recipe.ObjectivePretrain; a != b {
			refuse(d.Key, "the space holds the objective pretrain beside others, whose scores cannot be compared", "two searches, one with objective=pretrain and one without it")
			return
		}
		for _, k := range recipe.Keys() {
			was, ok := plans[0].Text(k.Path)
			is, _ := p.Text(k.Path)
			if ok && was != is && p.Scored(k.Path) == recipe.ScoresOther {
				refuse(d.Key, fmt.Sprintf("%s %s has %s %s, %s %s: their scores cannot be compared", d.Key, d.Choices[0], k.Path, was, d.Choices[i+1], is), "fix "+k.Path+" in the recipe, or with --set: it lies over presets")
				return
			}
		}
	}
}

// checkSearched is core.CheckTrained in the words of a search.
func checkSearched(plan *recipe.Plan) sdk.Diagnostics {
	ds := core.CheckTrained(plan)
	for i := range ds {
		ds[i].Code = "tune.objective"
		ds[i].Remedy = "search over a recipe with the objective finetune, distill, continue, pretrain or fewshot"
	}
	return ds
}

// digests are those of what the trials depend on besides their values. Where the
// space names models or data, the content of each of its choices counts, of presets
// what they set. What is not there is told, before it fails every trial.
func (t *trials) digests(ctx context.Context, run *core.Run, space tune.Space) (map[string]string, error) {
	laid := [][]string{nil}
	for _, d := range space {
		if !core.Placed(d.Key) && d.Key != "preset" || len(d.Choices) == 0 {
			continue
		}
		var each [][]string
		for _, sets := range laid {
			for _, choice := range d.Choices {
				each = append(each, append(slices.Clone(sets), d.Key+"="+choice))
			}
		}
		laid = each
	}
	var plans []*recipe.Plan
	for _, sets := range laid {
		plan, ds := t.resolve(sets...) // what is wrong without the other values, or with them, the trial tells
		plans = append(plans, plan)
		if ds.HasErrors() {
			continue
		}
		if err := run.Ready(ctx, plan); err != nil {
			return nil, err
		}
	}
	return run.Inputs(ctx, t.free(space), plans...)
}

// free are the keys that may differ between the runs of a study: what is searched,
// what rungs set, and the threads, which change rounding alone.
func (t *trials) free(space tune.Space) []string {
	keys := []string{"train.threads", "domain.advice"}
	for _, d := range space {
		keys = append(keys, d.Key)
	}
	if t.method == tune.Halving || t.method == tune.ASHA {
		keys = append(keys, "train.epochs", "train.steps")
	}
	return keys
}

// differs says of tune.OtherInputs what is another, as far as the recipe of the trial
// tells.
func (t *trials) differs(err error) error {
	var other *tune.OtherInputs
	if !errors.As(err, &other) {
		return err
	}
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "tune.inputs-differ", File: other.File,
		Summary: "the search was begun with other inputs: " + strings.Join(other.Names, ", ") + "; its scores cannot be held against those of this one",
		Remedy:  "repeat the command that began it, with the same recipe, base and data, or choose another --out"}
	file := filepath.Join(t.out, fmt.Sprintf("trial-%04d.yaml", other.Trial.ID))
	if data, err := os.ReadFile(file); err == nil {
		was, ds := recipe.Parse(file, data)
		is, err := t.recipe(other.Trial.Values, other.Trial.Budget, 0)
		if ds.HasErrors() || err != nil {
			return sdk.Diagnostics{d}.Err()
		}
		var detail []string
		for _, key := range recipe.Diff(was, is) {
			a, _ := was.Text(key)
			b, _ := is.Text(key)
			if key != "train.threads" && key != "domain.advice" {
				detail = append(detail, fmt.Sprintf("%s: %s, now %s", key, a, b))
			}
		}
		d.Detail = strings.Join(detail, "\n")
	}
	return sdk.Diagnostics{d}.Err()
}

// resolve lays items of --set over the layers of the plan, so that a preset among them
// lies below the recipe's own keys as everywhere.
func (t *trials) resolve(sets ...string) (*recipe.Plan, sdk.Diagnostics) {
	in := t.layers
	in.Sets = slices.Concat(in.Sets, sets)
	plan, ds := recipe.Resolve(in)
	plan.Domain.Advice = false // it is in the plan already
	if d := &plan.Data; d.Path == "" && d.Train == "" {
		d.Path = t.plan.Data.Path // that of the plugins
	}
	return plan, ds
}

// sets are what a trial lays over the plan.
func (t *trials) sets(values map[string]string, budget int, seed uint64) []string {
	var sets []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		sets = append(sets, k+"="+values[k])
	}
	if budget > 0 {
		sets = append(sets, fmt.Sprintf("train.epochs=%d", budget), "train.steps=auto")
	}
	if seed > 0 {
		sets = append(sets, fmt.Sprintf("seed=%d", seed))
	}
	if t.threads > 0 {
		sets = append(sets, fmt.Sprintf("train.threads=%d", t.threads))
	}
	return sets
}

// recipe is the complete plan of a trial.
func (t *trials) recipe(values map[string]string, budget int, seed uint64) (*recipe.Plan, error) {
	plan, ds := t.resolve(t.sets(values, budget, seed)...)
	return plan, ds.Err()
}

// trialCommand runs a trial. Both commands leave the score as a validation in the log.
func trialCommand(plan *recipe.Plan) []string {
	if plan.Objective == recipe.ObjectiveFewShot {
		return []string{"fewshot", "--cross-validate"}
	}
	return []string{"train"}
}

func (t *trials) run(ctx context.Context, x *tune.Trial) error {
	return t.one(ctx, fmt.Sprintf("trial-%04d", x.ID), x, 0)
}

// one trains a trial; what goes wrong with it is its own matter, an interrupt not.
func (t *trials) one(ctx context.Context, name string, x *tune.Trial, seed uint64) error {
	plan, err := t.recipe(x.Values, x.Budget, seed)
	if err != nil {
		x.Error = strings.ReplaceAll(err.Error(), "\n", "; ")
		return nil
	}
	file, out := filepath.Join(t.out, name+".yaml"), filepath.Join(t.out, name)
	if err := os.MkdirAll(t.out, 0o755); err != nil {
		return fmt.Errorf("make the folder of the search: %w", err)
	}
	if err := os.WriteFile(file, plan.YAML(), 0o644); err != nil {
		return fmt.Errorf("write the recipe of %s: %w", name, err)
	}
	if err := t.child(ctx, trialCommand(plan), file, out); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// Its own name would make of one problem as many as there are trials.
		x.Error = strings.ReplaceAll(err.Error(), name, "trial-N")
		return nil
	}
	own := filepath.Join(out, core.Own)
	log, err := report.ReadLog(filepath.Join(own, core.LogFile))
	if err != nil {
		return err
	}
	x.Score = math.Inf(-1)
	for _, e := range log {
		if v, ok := e.Values[report.ValueScore]; ok && e.Kind == recipe.EventValid {
			x.Score = max(x.Score, v)
		}
	}
	if math.IsInf(x.Score, -1) {
		x.Error = "there are no validation examples to score it on"
	}
	m, err := metric.Load(filepath.Join(own, core.MetricsFile))
	if err != nil {
		return err
	}
	x.Seconds, x.Memory = m.Train.Seconds, m.Train.PeakRSSBytes
	if t.keep {
		return nil
	}
	return lighten(out)
}

// lighten leaves of a trial its plan, scores, log and report.
func lighten(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != core.Own {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	heavy, err := filepath.Glob(filepath.Join(dir, core.Own, "checkpoint-*"))
	if err != nil {
		return err
	}
	more, err := filepath.Glob(filepath.Join(dir, core.Own, "*.safetensors"))
	for _, path := range append(heavy, more...) {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return err
}

// noise trains the best recipe with further seeds.
func (t *trials) noise(ctx context.Context, best tune.Trial) ([]float64, error) {
	var seeds []string
	for i := 1; i < t.seeds; i++ {
		seeds = append(seeds, strconv.FormatUint(t.plan.Seed+uint64(i), 10))
	}
	study := &tune.Study{Inputs: t.inputs, Space: tune.Space{{Key: "seed", Choices: seeds}}, Method: tune.Grid, File: filepath.Join(t.out, fmt.Sprintf("seeds-%04d.json", best.ID)), Parallel: t.atOnce,
		Run: func(ctx context.Context, x *tune.Trial) error {
			one := tune.Trial{Values: best.Values, Budget: best.Budget}
			seed, err := strconv.ParseUint(x.Values["seed"], 10, 64)
			if err != nil {
				return err
			}
			err = t.one(ctx, fmt.Sprintf("trial-%04d-seed-%d", best.ID, seed), &one, seed)
			x.Score, x.Error, x.Seconds, x.Memory = one.Score, one.Error, one.Seconds, one.Memory
			return err
		}}
	all, err := study.Search(ctx)
	scores := []float64{best.Score}
	for _, x := range tune.Ranked(all) {
		scores = append(scores, x.Score)
	}
	return scores, err
}

// tuned writes best.yaml and trials.html and prints the table.
func (a *app) tuned(f *tuning, t *trials, all []tune.Trial, best tune.Trial, noise []float64) error {
	plan, err := t.recipe(best.Values, best.Budget, 0)
	if err != nil {
		return err
	}
	plan.Train.Threads = t.plan.Train.Threads
	if err := os.WriteFile(filepath.Join(f.out, "best.yaml"), plan.YAML(), 0o644); err != nil {
		return fmt.Errorf("write the best recipe: %w", err)
	}
	mean, deviation := spread(noise)
	words := "the noise of seeds was not measured (--seeds)"
	if len(noise) > 1 {
		words = fmt.Sprintf("the best recipe with %d seeds: %.4f ± %.4f; differences below %.4f may be chance", len(noise), mean, deviation, 2*math.Sqrt2*deviation)
	}
	var rows []report.TrialRow
	for _, x := range all {
		rows = append(rows, report.TrialRow{ID: x.ID, Values: x.Values, Score: x.Score, Rung: x.Rung, Failed: x.Error})
	}
	if err := os.WriteFile(filepath.Join(f.out, "trials.html"), report.Trials("islm tune: "+f.method, rows, best.ID, words), 0o644); err != nil {
		return fmt.Errorf("write the picture of the trials: %w", err)
	}
	if a.json {
		return a.print(map[string]any{"out": f.out, "method": f.method, "best": best, "trials": all, "seeds": noise})
	}
	table := report.Table{Left: 2, Header: []string{"trial", "values", "epochs", "score", "to the best", "seconds"}}
	for _, x := range tune.Ranked(all) {
		mark := ""
		if len(noise) > 1 && x.ID != best.ID && best.Score-x.Score < 2*math.Sqrt2*deviation {
			mark = " (may be chance)"
		}
		budget := ""
		if x.Budget > 0 {
			budget = strconv.Itoa(x.Budget)
		}
		table.Rows = append(table.Rows, []string{strconv.Itoa(x.ID), describe(x.Values), budget, fmt.Sprintf("%.4f", x.Score), fmt.Sprintf("%+.4f%s", x.Score-best.Score, mark), fmt.Sprintf("%.0f", x.Seconds)})
	}
	for _, x := range all {
		if x.Error != "" {
			table.Rows = append(table.Rows, []string{strconv.Itoa(x.ID), describe(x.Values), "", "failed", clipText(x.Error, 120), ""})
		}
	}
	fmt.Fprintln(a.stdout, table.String())
	fmt.Fprintln(a.stdout, words)
	a.say("%s", filepath.Join(f.out, "best.yaml"))
	return nil
}

func clipText(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

// spread is mean and standard deviation (n-1).
func spread(v []float64) (mean, deviation float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	if len(v) < 2 {
		return mean, 0
	}
	for _, x := range v {
		deviation += (x - mean) * (x - mean) / float64(len(v)-1)
	}
	return mean, math.Sqrt(deviation)
}

func describe(values map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, k+"="+values[k])
	}
	return strings.Join(parts, " ")
}
