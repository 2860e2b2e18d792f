package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/core/train/kge"
	"github.com/islm-dev/islm/sdk"
)

// embedTrainer is kge.Train, which only islm-torch has.
type embedTrainer func(context.Context, kge.Job) (*kge.Result, error)

// embedFlags say what facts are learned, how, and where to.
type embedFlags struct {
	kg                    string
	train, valid, test    string
	validShare, testShare float64
	preset, model         string
	dim, epochs           int
	seed                  uint64
	sets                  []string
	out, device           string
	threads               int
	resume                bool
}

func (a *app) kgEmbed() *cobra.Command {
	var f embedFlags
	cmd := &cobra.Command{
		Use: "embed", Short: "Learn a vector for each entity and relation of a knowledge graph",
		Long: `Learn a vector for each entity and relation of a knowledge graph, and measure
how well the vectors complete it: filtered mean reciprocal rank and Hits@1, 3
and 10 over all entities, for heads and tails; equal scores share their ranks'
mean. The facts come from a graph that 'islm kg import' made, or from files of
lines HEAD<TAB>RELATION<TAB>TAIL (.gz too). Without --valid and --test, shares
of the facts are held out for them.

The vectors of the best validation are written to --out: vectors.safetensors
("entities" [n, dim] and "relations"), entities.txt and relations.txt with the
names of its rows, and embed.json with settings and scores.

Presets (--preset, or --model for the one of that name):
` + presetHelp(),
		Example: `  islm kg embed --kg graph --out vectors
  islm kg embed --train train.txt --valid valid.txt --test test.txt --model complex --dim 256 --out vectors
  islm kg embed --train train.txt --preset rotate-fb15k-237-gpu --device cuda --out vectors`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := f.settings(cmd)
			if err != nil {
				return err
			}
			train, err := a.embedder()
			if err != nil {
				return err
			}
			data, ds, err := f.data(settings.Seed)
			a.problems(ds)
			if err != nil {
				return err
			}
			if ds.HasErrors() {
				return errProblems
			}
			res, err := train(cmd.Context(), kge.Job{Data: data, Settings: settings, Dir: f.out, Resume: f.resume, Threads: f.threads, Device: f.device, Observe: a.watchEmbed()})
			if err != nil {
				if cmd.Context().Err() != nil && !f.resume {
					a.say("the state is saved; repeat the command with --resume and the same --out to go on")
				}
				return err
			}
			return a.printEmbed(f.out, res)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.kg, "kg", "", "folder of a graph that 'islm kg import' made")
	fl.StringVar(&f.train, "train", "", "file of training facts, instead of --kg")
	fl.StringVar(&f.valid, "valid", "", "file of validation facts")
	fl.StringVar(&f.test, "test", "", "file of test facts")
	fl.Float64Var(&f.validShare, "valid-share", 0.05, "share of the facts to hold out for validation when --valid is not given")
	fl.Float64Var(&f.testShare, "test-share", 0.05, "share of the facts to hold out for the test when --test is not given")
	fl.StringVar(&f.preset, "preset", "", "preset, or file of settings (.yaml)")
	fl.StringVar(&f.model, "model", "", "transe, distmult, complex or rotate (default "+kge.DefaultPreset+")")
	fl.IntVar(&f.dim, "dim", 0, "numbers of an entity's vector; complex and rotate take them in pairs")
	fl.IntVar(&f.epochs, "epochs", 0, "passes over the facts, at most")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of all randomness")
	fl.StringArrayVar(&f.sets, "set", nil, "set any key of the settings, as lr=0.05 (repeatable)")
	fl.StringVar(&f.out, "out", "", "folder of the vectors")
	fl.StringVar(&f.device, "device", "auto", "auto, cpu, cuda or cuda:N")
	fl.IntVar(&f.threads, "threads", 0, "CPU threads (0 = all)")
	fl.BoolVar(&f.resume, "resume", false, "go on from the newest complete checkpoint in --out, or start if there is none")
	var names []string
	for _, p := range kge.Presets() {
		names = append(names, p.Name)
	}
	complete(cmd, "preset", func(string) []string { return names })
	complete(cmd, "model", func(string) []string { return []string{kge.TransE, kge.DistMult, kge.ComplEx, kge.RotatE} })
	complete(cmd, "device", func(string) []string { return []string{"auto", "cpu", "cuda"} })
	return cmd
}

func presetHelp() string {
	var b strings.Builder
	for _, p := range kge.Presets() {
		fmt.Fprintf(&b, "  %-22s %s\n", p.Name, p.Summary)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// settings puts preset and flags together; a named flag beats --set.
func (f *embedFlags) settings(cmd *cobra.Command) (kge.Settings, error) {
	var s kge.Settings
	switch {
	case f.out == "":
		return s, usageError{errors.New("--out is needed")}
	case (f.kg == "") == (f.train == ""):
		return s, usageError{errors.New("give the facts by --kg or by --train, one of them")}
	case f.kg != "" && (f.valid != "" || f.test != ""):
		return s, usageError{errors.New("--valid and --test go with --train")}
	case !(f.validShare >= 0 && f.testShare >= 0 && f.validShare+f.testShare < 1):
		return s, usageError{errors.New("--valid-share and --test-share are not negative and below 1 together")}
	}
	name := f.preset
	if name == "" {
		name = f.model
	}
	if name == "" {
		name = kge.DefaultPreset
	}
	var ds sdk.Diagnostics
	if ext := filepath.Ext(name); ext == ".yaml" || ext == ".yml" {
		text, err := os.ReadFile(name)
		if err != nil {
			return s, fmt.Errorf("read settings: %w", err)
		}
		s, ds = kge.ParseSettings(name, text)
	} else {
		s, ds = kge.FindPreset(name)
	}
	if ds.HasErrors() {
		return s, ds.Err()
	}
	for _, item := range f.sets {
		ds.Add(s.Set(item)...)
	}
	if f.model != "" {
		s.Model = f.model
	}
	set := cmd.Flags().Changed
	if set("dim") {
		s.Dim = f.dim
	}
	if set("epochs") {
		s.Epochs = f.epochs
	}
	if set("seed") {
		s.Seed = f.seed
	}
	if !ds.HasErrors() {
		ds.Add(s.Check()...)
	}
	return s, ds.Err()
}

// data reads the facts, and splits them where no split is given.
func (f *embedFlags) data(seed uint64) (*kge.Data, sdk.Diagnostics, error) {
	if f.kg != "" {
		d, err := graphFacts(f.kg)
		if err != nil {
			return nil, nil, err
		}
		f.holdOut(d, seed)
		return d, nil, nil
	}
	d, ds, err := kge.Read(kge.Files{Train: f.train, Valid: f.valid, Test: f.test})
	if d == nil || err != nil {
		return d, ds, err
	}
	f.holdOut(d, seed)
	return d, ds, nil
}

func (f *embedFlags) holdOut(d *kge.Data, seed uint64) {
	valid, test := f.validShare, f.testShare
	if f.valid != "" {
		valid = 0
	}
	if f.test != "" {
		test = 0
	}
	d.Split(valid, test, seed)
}

// graphFacts takes the facts between entities out of a graph. Entities and
// relations without one are left out; the order is the graph's.
func graphFacts(dir string) (_ *kge.Data, err error) {
	store, err := kg.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	names := store.Relations()
	entity, relation := make([]int32, store.Len()), make([]int32, len(names))
	d := &kge.Data{}
	for t, err := range store.Triples() {
		if err != nil {
			return nil, fmt.Errorf("read the graph %s: %w", dir, err)
		}
		entity[t.Subject], entity[t.Object], relation[t.Relation] = 1, 1, 1
		d.Train = append(d.Train, kge.Triple{Head: int32(t.Subject), Relation: int32(t.Relation), Tail: int32(t.Object)})
	}
	if len(d.Train) == 0 {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "kge.empty", File: dir, Summary: "the graph has no facts between entities to learn from"}}.Err()
	}
	for n, used := range entity {
		if used == 0 {
			continue
		}
		id, err := store.ID(uint32(n))
		if err != nil {
			return nil, fmt.Errorf("read the graph %s: %w", dir, err)
		}
		entity[n] = int32(len(d.Entities))
		d.Entities = append(d.Entities, id)
	}
	for n, used := range relation {
		if used != 0 {
			relation[n] = int32(len(d.Relations))
			d.Relations = append(d.Relations, names[n])
		}
	}
	for i, t := range d.Train {
		d.Train[i] = kge.Triple{Head: entity[t.Head], Relation: relation[t.Relation], Tail: entity[t.Tail]}
	}
	// A fact that two sources state counts once.
	d.Train = slices.Compact(d.Train)
	return d, nil
}

// embedder is the trainer. In the pure binary it does not return on success:
// see engine.
func (a *app) embedder() (embedTrainer, error) {
	if t := newEmbedTrainer(); t != nil {
		return t, nil
	}
	return nil, a.becomeTorch()
}

// watchEmbed shows a run on stderr.
func (a *app) watchEmbed() func(kge.Event) {
	if a.quiet {
		return nil
	}
	p := report.NewProgress(a.stderr, tty(a.stderr))
	begun := false
	return func(e kge.Event) {
		switch e.Kind {
		case kge.EventResume:
			p.Print(fmt.Sprintf("resumed after step %d of %d", e.Step, e.Steps))
		case kge.EventStep:
			if !begun {
				begun = true
				p.Begin("embed", "step", e.Step-1, e.Steps)
			}
			p.Step(report.Step{Done: e.Step, Epoch: e.Epoch, Epochs: e.Epochs, Loss: e.Loss, LR: e.LR})
			if e.Step >= e.Steps {
				p.Done()
			}
		case kge.EventEpoch:
			p.Epoch(e.Epoch, e.Loss)
		case kge.EventValid:
			mark := ""
			if e.Best {
				mark = " (best so far)"
			}
			p.Print(fmt.Sprintf("validation after epoch %d: mrr %.4f, hits@10 %.4f%s", e.Epoch, e.Scores.MRR, e.Scores.Hits10, mark))
		case kge.EventTest:
			p.Done()
		}
	}
}

func (a *app) printEmbed(out string, r *kge.Result) error {
	if a.json {
		return a.print(map[string]any{"out": out, "result": r})
	}
	fmt.Fprintf(a.stdout, "%s, %d numbers: %d entities, %d relations, %d facts\n", r.Settings.Model, r.Settings.Dim, r.Entities, r.Relations, r.Facts)
	if r.Valid == nil && r.Test == nil {
		fmt.Fprintln(a.stdout, "no facts were held out, so nothing was measured")
	} else {
		fmt.Fprintf(a.stdout, "%-6s %8s %8s %8s %8s %10s %8s\n", "", "mrr", "hits@1", "hits@3", "hits@10", "mean rank", "facts")
	}
	for _, row := range []struct {
		name string
		s    *kge.Scores
	}{{"valid", r.Valid}, {"test", r.Test}} {
		if s := row.s; s != nil {
			fmt.Fprintf(a.stdout, "%-6s %8.4f %8.4f %8.4f %8.4f %10.1f %8d\n", row.name, s.MRR, s.Hits1, s.Hits3, s.Hits10, s.Rank, s.Facts)
		}
	}
	why := ""
	if r.Stopped {
		why = ", stopped early"
	}
	a.say("%d epochs%s, vectors of epoch %d; %.0f s in steps, %.0f s in measuring; %s", r.Epochs, why, r.BestEpoch, r.Seconds, r.EvalSeconds, filepath.Join(out, kge.VectorsFile))
	return nil
}
