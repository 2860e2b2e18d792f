package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// runFlags are the flags of commands that make a run.
type runFlags struct {
	planFlags
	out    string
	resume bool
	dryRun bool
	dev    []string
	extra  []string          // items of --set that the command adds
	stage  *recipe.StagePlan // of the recipe; nil = it is one run
}

func (f *runFlags) register(cmd *cobra.Command) {
	f.planFlags.register(cmd)
	cmd.Flags().StringVar(&f.out, "out", "", "folder of the run and, at its end, of the model (default runs/TIME-DOMAIN-TASK)")
	cmd.Flags().BoolVar(&f.resume, "resume", false, "go on from the newest complete checkpoint in --out, or start if there is none")
	cmd.Flags().StringArrayVar(&f.dev, "dev", nil, "take a plugin from this binary or source folder without a lock (repeatable)")
}

func (a *app) train() *cobra.Command {
	var f runFlags
	var controls, augmentControl bool
	var curve string
	var seeds, leaveOut, limit int
	cmd := &cobra.Command{
		Use: "train", Short: "Fine-tune a base model on a domain and your data",
		Long: `Fine-tune a base model on a domain and your data.

Without --data the domain's own sample is used. Without --domain the run has no
industry knowledge. The folder of --out becomes a Hugging Face model; its islm/
holds the plan, scores, log, TensorBoard events and report.html.

A recipe may list several stages, each of which starts from the model of the one
before; with --resume finished stages are skipped.`,
		Example: `  islm train --domain finance
  islm train --domain finance --data news/ --set train.epochs=4 --out runs/news
  islm train --data reviews.csv --set data.text=body --set data.label=stars
  islm train --recipe ner --data conll/ --resume --out runs/ner
  islm train --recipe controls --domain medical --data ner/ --out runs/controls
  islm train --data news/ --set augment.packs=general-en --augment-control
  islm train --domain finance --data news/ --out runs/news --curve 1,5,10,25,50,100%`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			shares, err := curveShares(curve)
			if err != nil {
				return err
			}
			src, err := recipe.Open(f.recipe)
			if err != nil {
				return err
			}
			stages, ds := recipe.Stages(src.File)
			if err := ds.Err(); err != nil {
				return err
			}
			if len(stages) > 0 {
				if controls || augmentControl || curve != "" {
					return usageError{errors.New("--controls, --augment-control and --curve belong to one training: a recipe of stages has several")}
				}
				return a.trainStages(cmd, &f, stages)
			}
			if f.dryRun {
				return a.dry(cmd, &f)
			}
			engine, err := a.engine()
			if err != nil {
				return err
			}
			run, err := a.newRun(cmd, &f, engine)
			if err != nil {
				return err
			}
			res, err := run.Train(cmd.Context())
			if w, ok := run.Watch.(*watcher); ok {
				w.done()
			}
			if err != nil {
				return a.hintResume(cmd, &f, err)
			}
			if n := res.Plan.Eval.Controls; n > 0 {
				if controls = true; !cmd.Flags().Changed("control-seeds") {
					seeds = n
				}
			}
			if err := a.printResult(res); err != nil || !controls && !augmentControl && curve == "" {
				return err
			}
			c := core.Controls{Seeds: seeds, Limit: limit, Evaluation: core.Evaluation{Model: res.Dir, Data: res.Plan.Data.Path, Precision: "fp32", Device: "auto", Threads: res.Plan.Train.Threads,
				Home: run.Home, Catalog: run.Catalog, Engine: engine, Log: run.Log, Watch: run.Watch}}
			if curve != "" {
				if err := a.runCurve(cmd, &core.Curve{Controls: c, Shares: shares}, f.dev); err != nil || !controls && !augmentControl {
					return err
				}
			}
			if augmentControl {
				if err := a.runAugmentControls(cmd, &core.AugmentControls{Controls: c, LeaveOut: cmp.Or(leaveOut, -1)}, f.dev); err != nil || !controls {
					return err
				}
			}
			return a.runControls(cmd, &c, f.dev)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&controls, "controls", false, "then hold the injected knowledge against controls, as 'islm eval --controls' does")
	cmd.Flags().BoolVar(&augmentControl, "augment-control", false, "then train at equal steps without augmentation, with repeated data and without each of the five most active rules, and give a verdict on augment.packs")
	cmd.Flags().StringVar(&curve, "curve", "", "then draw the score against the number of labels: shares of the training examples in percent, such as 1,5,10,25,50,100%, with and without the domain's knowledge")
	cmd.Flags().IntVar(&seeds, "control-seeds", 3, "runs of each arm of --controls, --augment-control and --curve")
	cmd.Flags().IntVar(&leaveOut, "control-rules", 5, "rules that --augment-control leaves out one at a time")
	cmd.Flags().IntVar(&limit, "control-limit", 0, "train at most this many runs of --controls, --augment-control or --curve, then stop; the same command with --resume goes on (0 = all)")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the complete plan and stop")
	return cmd
}

// make trains and prints what came of it, or the plan alone.
func (a *app) make(cmd *cobra.Command, f *runFlags) error {
	_, err := a.makeRun(cmd, f)
	return err
}

// makeRun is make that gives the finished run; nil where only the plan was wanted.
func (a *app) makeRun(cmd *cobra.Command, f *runFlags) (*core.Run, error) {
	if f.dryRun {
		return nil, a.dry(cmd, f)
	}
	engine, err := a.engine()
	if err != nil {
		return nil, err
	}
	run, err := a.newRun(cmd, f, engine)
	if err != nil {
		return nil, err
	}
	res, err := run.Train(cmd.Context())
	if w, ok := run.Watch.(*watcher); ok {
		w.done()
	}
	if err != nil {
		return nil, a.hintResume(cmd, f, err)
	}
	return run, a.printResult(res)
}

func (a *app) prepare() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use: "prepare", Short: "Do everything up to the first training step, and record plan and digests",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			run, err := a.newRun(cmd, &f, nil)
			if err != nil {
				return err
			}
			res, err := run.Prepare(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"out": res.Dir, "stages": res.Stages})
			}
			for _, s := range res.Stages {
				fmt.Fprintf(a.stdout, "%s\t%s\t%s\n", s.Kind, s.Digest, s.Text)
			}
			return nil
		},
	}
	f.register(cmd)
	return cmd
}

// layers are those of the plan, without what plugins advise.
func (f *runFlags) layers() (recipe.Sources, error) {
	src, err := recipe.Open(f.recipe)
	if err != nil {
		return src, err
	}
	src.Stage = f.stage
	if src.Preset == "" {
		src.Preset = f.preset
	}
	if src.Sets, err = f.items(); err != nil {
		return src, err
	}
	src.Sets = append(src.Sets, f.extra...)
	return src, nil
}

// newRun puts the parts of a run together.
func (a *app) newRun(cmd *cobra.Command, f *runFlags, engine recipe.Engine) (*core.Run, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	cat, err := a.catalog(cmd, f.dev)
	if err != nil {
		return nil, err
	}
	src, err := f.layers()
	if err != nil {
		return nil, err
	}
	return &core.Run{Home: home, Store: store, Catalog: cat, Engine: engine, Log: a.logger(), Watch: a.newWatcher(), Args: os.Args[1:], Version: version, Lang: a.lang(),
		Resolve: func(advice []recipe.Advice) (*recipe.Plan, sdk.Diagnostics, error) {
			s := src
			s.Advice = advice
			plan, ds := recipe.Resolve(s)
			return plan, ds, nil
		}, Out: f.out, Resume: f.resume}, nil
}

// catalog opens the plugins' search path.
func (a *app) catalog(cmd *cobra.Command, dev []string) (*catalog.Catalog, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	path, err := catalog.DefaultPath(home)
	if err != nil {
		return nil, err
	}
	path.Dev = dev
	return catalog.Open(cmd.Context(), path)
}

// lang is the language of report.html.
func (a *app) lang() string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := a.getenv(name); v != "" {
			if strings.HasPrefix(v, "zh") {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}

// dry prints the plan that the run would have.
func (a *app) dry(cmd *cobra.Command, f *runFlags) error {
	run, err := a.newRun(cmd, f, nil)
	if err != nil {
		return err
	}
	plan, err := run.Plan(cmd.Context())
	if err != nil {
		return err
	}
	if a.json {
		values := map[string]string{}
		for _, v := range plan.Values() {
			values[v.Path] = v.Text
		}
		return a.print(values)
	}
	_, err = a.stdout.Write(plan.YAML())
	return err
}

// hintResume adds how to go on after an interrupt.
func (a *app) hintResume(cmd *cobra.Command, f *runFlags, err error) error {
	if cmd.Context().Err() != nil && !f.resume {
		a.say("the state is saved; repeat the command with --resume and the same --out to go on")
	}
	return err
}

func (a *app) printResult(res *core.Result) error {
	if res.Finished {
		a.say("the run in %s had been finished before; its scores:", res.Dir)
	}
	if a.json {
		out := map[string]any{"out": res.Dir, "metrics": res.Metrics}
		if len(res.Groups) > 0 {
			out["groups"] = res.Groups
		}
		if res.Kept != nil {
			out["continue"] = res.Kept
		}
		return a.print(out)
	}
	names := slices.Sorted(maps.Keys(res.Metrics.Heads))
	slices.SortStableFunc(names, func(x, y string) int {
		switch {
		case x == res.Primary:
			return -1
		case y == res.Primary:
			return 1
		}
		return 0
	})
	for _, name := range names {
		fmt.Fprintln(a.stdout, report.Head(name, res.Metrics.Before[name], res.Metrics.Heads[name]))
		for _, g := range res.Groups[name] {
			fmt.Fprintln(a.stdout, report.GroupTable(g))
		}
	}
	if res.Kept != nil {
		for i := range res.Kept.Heads {
			fmt.Fprintln(a.stdout, keptTable(&res.Kept.Heads[i]))
		}
	}
	t := res.Metrics.Train
	a.say("%d steps in %.0f s, %.0f tokens/s; %s", t.Steps, t.Seconds, t.TokensPerS, filepath.Join(res.Dir, core.Own, core.ReportFile))
	return nil
}

// watcher shows a run on stderr.
type watcher struct {
	app      *app
	progress *report.Progress
	begun    bool
	before   bool
}

func (a *app) newWatcher() *watcher {
	w := &watcher{app: a}
	if !a.quiet {
		w.progress = report.NewProgress(a.stderr, tty(a.stderr))
	}
	return w
}

func (w *watcher) Problems(ds sdk.Diagnostics) { w.app.problems(ds) }

func (w *watcher) Stage(name, text string) { w.app.say("%-7s %s", name, text) }

func (w *watcher) Event(e recipe.Event, scores map[string]*metric.Report) {
	if w.progress == nil {
		return
	}
	switch e.Kind {
	case recipe.EventPredict:
		if e.Step <= 0 || e.Steps <= 0 || w.begun {
			return
		}
		if !w.before {
			w.before = true
			w.progress.Begin("predict", "text", 0, e.Steps)
		}
		w.progress.Step(report.Step{Done: e.Step})
		if e.Step >= e.Steps {
			w.progress.Done()
			w.before = false
		}
	case recipe.EventStep:
		if !w.begun {
			w.begun = true
			w.progress.Begin("train", "step", e.Step-1, e.Steps)
		}
		w.progress.Step(report.Step{Done: e.Step, Epoch: e.Epoch, Epochs: e.Epochs, Loss: e.Loss, LR: e.LR})
		if e.Step >= e.Steps {
			w.progress.Done()
		}
	case recipe.EventEpoch:
		w.progress.Epoch(e.Epoch, e.Loss)
	case recipe.EventValid:
		var b strings.Builder
		for _, head := range slices.Sorted(maps.Keys(scores)) {
			fmt.Fprintf(&b, "validation after step %d, %s:\n%s", e.Step, head, report.Scores(scores[head]))
			if scores[head].Entities != nil {
				fmt.Fprintf(&b, "entity f1 %.3f\n", scores[head].Entities.F1)
			}
		}
		mark := ""
		if e.Best {
			mark = " (best so far)"
		}
		fmt.Fprintf(&b, "score %.4f%s", e.Score, mark)
		w.progress.Print(b.String())
	case recipe.EventResume:
		w.progress.Print(fmt.Sprintf("resumed after step %d of %d", e.Step, e.Steps))
	case recipe.EventNotice:
		w.progress.Print(e.Text)
	case recipe.EventCheckpoint:
		if w.app.verbose {
			w.progress.Print("checkpoint " + e.Text)
		}
	}
}

func (w *watcher) done() {
	if w.progress != nil {
		w.progress.Done()
	}
}
