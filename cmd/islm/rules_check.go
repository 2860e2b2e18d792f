package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/augment/kind"
	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/sdk"
)

func (a *app) rulesLint() *cobra.Command {
	return &cobra.Command{
		Use: "lint PACK…", Short: "Check packs without running them: keys, expressions, conditions, lists, tests that are missing",
		Example: "  islm rules lint my-pack\n  islm rules lint plugins/finance eda",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: packNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			ps, ds, err := a.loadPacks(cmd, args)
			if err != nil {
				return err
			}
			rules := 0
			for _, p := range ps {
				rules += len(p.Rules)
				for _, d := range p.CheckTests() {
					d.Severity = sdk.Warning
					ds.Add(d)
				}
			}
			if err := a.findings(ds); err != nil {
				return err
			}
			of := "packs"
			if len(ps) == 1 {
				of = "pack"
			}
			a.say("%d rules in %d %s, no errors", rules, len(ps), of)
			return nil
		},
	}
}

// findings prints diagnostics that are a command's result.
func (a *app) findings(ds sdk.Diagnostics) error {
	if a.json {
		for _, d := range ds {
			if err := a.print(d); err != nil {
				return err
			}
		}
	} else {
		a.problems(ds)
	}
	if ds.HasErrors() {
		return errProblems
	}
	return nil
}

func (a *app) rulesTest() *cobra.Command {
	var only []string
	var noMutants bool
	var junit string
	var res resourceFlags
	cmd := &cobra.Command{
		Use: "test PACK…", Short: "Run the tests inside packs, then weaken each rule and see that a test fails",
		Long: `Run the tests inside packs. Each text of a test is varied with 64 draws; the set of
outcomes must be the one that the test gives. Then each rule is weakened in every
way (an alternative of its match, a clause of its condition or a label taken
away): some test must fail, else that part of the rule is untested.`,
		Example: "  islm rules test my-pack\n  islm rules test plugins/finance --rule other-company --no-mutants\n  islm rules test eda --junit report.xml",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: packNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			ps, ds, err := a.loadPacks(cmd, args)
			if err != nil {
				return err
			}
			if err := ds.Err(); err != nil {
				return err
			}
			a.problems(ds)
			r, closeAll, err := res.open(a, cmd)
			if err != nil {
				return err
			}
			defer closeAll()
			var failed bool
			for _, p := range ps {
				rep := p.Test(augment.TestOptions{Resources: r, Rules: only, NoMutants: noMutants})
				failed = failed || !rep.OK()
				if junit != "" {
					name := junit
					if len(ps) > 1 {
						ext := filepath.Ext(junit)
						name = junit[:len(junit)-len(ext)] + "-" + p.Manifest.Name + ext
					}
					if err := writeRuleJUnit(name, rep); err != nil {
						return err
					}
				}
				if a.json {
					if err := a.print(rep); err != nil {
						return err
					}
					continue
				}
				a.problems(rep.Diagnostics())
				skipped := 0
				for _, t := range rep.Results {
					if t.Skipped != "" {
						skipped++
						a.say("%s/%s: not tested, %s", rep.Pack, t.Rule, t.Skipped)
					}
				}
				fmt.Fprintf(a.stdout, "%s@%s: %d rules, %d tests, %d failed, %d skipped, %d weakened rules, %.1f s\n",
					rep.Pack, rep.Version, rep.Rules, len(rep.Results)-skipped, rep.Failed()+len(rep.Missing), skipped, rep.Mutants, rep.Seconds)
			}
			if failed {
				return errProblems
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&only, "rule", nil, "test these rules only (repeatable)")
	cmd.Flags().BoolVar(&noMutants, "no-mutants", false, "leave out the mutation check")
	cmd.Flags().StringVar(&junit, "junit", "", "write the report as JUnit XML to this file")
	res.register(cmd)
	return cmd
}

func writeRuleJUnit(path string, r *augment.TestReport) error {
	data, err := r.JUnit()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// ruleBook is what the rule language says of a plugin's rules, for plugin check.
// Rules that need a graph or a thesaurus are tested with those of their files.
func ruleBook(plugin, version string, files []sdk.RuleFile) (parse, tests sdk.Diagnostics, ran int) {
	ps, ds := augment.FromPlugin(plugin, version, files, augment.LoadOptions{})
	for _, d := range ds {
		if d.Severity == sdk.Error {
			parse.Add(d)
		}
	}
	if len(parse) > 0 {
		return parse, nil, 0
	}
	for _, p := range ps {
		rep := p.Test(augment.TestOptions{})
		tests.Add(rep.Diagnostics()...)
		ran += len(rep.Results)
	}
	return nil, tests, ran
}

// resourceFlags name what rules may ask besides the example.
type resourceFlags struct {
	wordnet string
	kg      string
}

func (f *resourceFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.wordnet, "wordnet", "", "folder with WordNet's data files (data.noun, index.noun, …), for rules that want a thesaurus")
	cmd.Flags().StringVar(&f.kg, "kg", "", "knowledge graph, as 'islm kg import' makes it, for rules that ask one")
}

// open opens them; the function closes them.
func (f *resourceFlags) open(a *app, cmd *cobra.Command) (r edit.Resources, closeAll func(), err error) {
	closeAll = func() {}
	if f.wordnet != "" {
		if r.Thesaurus, err = kind.OpenWordNet(f.wordnet); err != nil {
			return r, closeAll, err
		}
	}
	if f.kg != "" {
		home, err := a.home()
		if err != nil {
			return r, closeAll, err
		}
		view, err := core.OpenGraph(cmd.Context(), f.kg, home)
		if err != nil {
			return r, closeAll, err
		}
		r.Graph = kg.GraphOf(view)
		closeAll = func() { _ = view.Close() } // only read
	}
	return r, closeAll, nil
}

func (a *app) rulesStats() *cobra.Command {
	var f ruleFlags
	var res resourceFlags
	var cost bool
	cmd := &cobra.Command{
		Use: "stats PACK… --in FILE", Short: "Count what packs do to data: fire rates, overlap, conflicts, label balance, duplicates, cost",
		Example: "  islm rules stats my-pack --in train.jsonl\n  islm rules stats my-pack eda --in train.jsonl --mode \"add: 4\" --cost",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: packNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			mode, err := augment.ParseMode(f.mode)
			if err != nil {
				return usageError{err}
			}
			r, closeAll, err := res.open(a, cmd)
			if err != nil {
				return err
			}
			defer closeAll()
			e, _, err := f.engine(a, cmd, args, augment.Options{Resources: r})
			if err != nil {
				return err
			}
			data, closeData, err := f.data(cmd.Context(), a, cmd)
			if err != nil {
				return err
			}
			s, err := e.Stats(cmd.Context(), data, augment.StatsOptions{Mode: mode, Epoch: f.epoch, Cost: cost})
			if err = errors.Join(err, closeData()); err != nil {
				return err
			}
			if a.json {
				return a.print(s)
			}
			return a.writeStats(s, cost)
		},
	}
	f.register(cmd)
	f.registerDraws(cmd)
	res.register(cmd)
	cmd.Flags().BoolVar(&cost, "cost", false, "measure the time that each rule takes alone")
	return cmd
}

func (a *app) writeStats(s *augment.Stats, cost bool) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(a.stdout, "%d examples, %d with a variant (%.1f %%), %d variants, %d of them duplicates\n\n",
		s.Examples, s.Changed, 100*float64(s.Changed)/float64(max(1, s.Examples)), s.Variants, s.Duplicates)
	fmt.Fprint(w, "rule\tkind\tmatched\tfired\tshare\tedits\trefused\toverlapped\t")
	if cost {
		fmt.Fprint(w, "µs\t")
	}
	fmt.Fprintln(w)
	for _, r := range s.Rules {
		fmt.Fprintf(w, "%s/%s\t%s\t%d\t%d\t%.1f %%\t%d\t%d\t%d\t", r.Pack, r.Rule, r.Kind, r.Matched, r.Examples, 100*r.Share, r.Edits, r.Outcomes[augment.Refused], r.Outcomes[augment.Overlapped])
		if cost {
			fmt.Fprintf(w, "%.2f\t", r.Micros)
		}
		fmt.Fprintln(w)
	}
	pairs := func(title string, list []augment.Conflict) {
		if len(list) == 0 {
			return
		}
		fmt.Fprintf(w, "\t\n%s\t\n", title)
		for _, c := range list[:min(len(list), 20)] {
			fmt.Fprintf(w, "%s\t%s\t%d\t\n", c.A, c.B, c.Count)
		}
	}
	pairs("conflicts (edits that overlapped)", s.Conflicts)
	pairs("overlap (examples in which both fired)", s.Overlap)
	if len(s.Labels) > 0 {
		fmt.Fprint(w, "\t\nlabel\tbefore\tshare\tvariants\tshare\t\n")
	}
	for _, head := range sortedNames(s.Labels) {
		var before, after int
		for _, c := range s.Labels[head] {
			before += c.Before
			after += c.After
		}
		for _, v := range sortedNames(s.Labels[head]) {
			c := s.Labels[head][v]
			fmt.Fprintf(w, "%s=%s\t%d\t%.1f %%\t%d\t%.1f %%\t\n", cmp.Or(head, "label"), v, c.Before, 100*float64(c.Before)/float64(max(1, before)), c.After, 100*float64(c.After)/float64(max(1, after)))
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}
