package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/augment/behave"
	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

func (a *app) rulesCheck() *cobra.Command {
	var f ruleFlags
	var res resourceFlags
	var model, device string
	var threads, copies int
	var tolerance float64
	cmd := &cobra.Command{
		Use: "check PACK… --model DIR", Short: "Test what a model does: functionality, invariance, direction",
		Long: `Test what a model does with the texts and rules of packs, after CheckList:

  functionality  texts of the packs' tests whose label is stated get that label
  invariance     a rule that keeps a label does not change the answer
  direction      a rule that changes a label changes the answer accordingly

Rules vary the texts of --in, else those of the packs' tests. Ends with 1 if a rule
fails in more than --tolerance of its cases.`,
		Example: "  islm rules check my-pack --model runs/news\n  islm rules check my-pack eda --model runs/news --in test.jsonl --tolerance 0.05 --json",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: packNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if model == "" {
				return usageError{errors.New("name the model with --model DIR")}
			}
			ps, ds, err := a.loadPacks(cmd, args)
			if err != nil {
				return err
			}
			if err := ds.Err(); err != nil {
				return err
			}
			r, closeAll, err := res.open(a, cmd)
			if err != nil {
				return err
			}
			defer closeAll()
			engine, err := a.engine()
			if err != nil {
				return err
			}
			b, more, err := core.OpenBundle(model)
			if err != nil {
				return err
			}
			a.problems(append(ds, more...))
			opt := behave.Options{Resources: r, Seed: f.seed, Copies: copies, Heads: map[string][]string{}}
			for _, h := range b.Heads {
				opt.Heads[h.Name] = h.Labels
			}
			if f.in != "" {
				data, closeData, err := f.data(cmd.Context(), a, cmd)
				if err != nil {
					return err
				}
				texts, problems, err := sdk.Collect(data)
				if err := errors.Join(err, closeData(), problems.Err()); err != nil {
					return err
				}
				opt.Texts = texts
			}
			results, err := behave.Run(cmd.Context(), ps, func(ctx context.Context, examples []sdk.Example) ([]map[string]sdk.Label, error) {
				w := a.newWatcher()
				defer w.done()
				answers, err := core.Predict(ctx, engine, b, examples, "fp32", device, threads, func(e recipe.Event) { w.Event(e, nil) })
				if err != nil {
					return nil, err
				}
				return labelsOf(answers), nil
			}, opt)
			if err != nil {
				return err
			}
			if len(results) == 0 {
				return sdk.Diagnostics{{Severity: sdk.Error, Code: "check.nothing", Summary: behave.ErrNoTests.Error(), Detail: "heads of the model: " + strings.Join(headNamesOf(b.Heads), ", "),
					Remedy: "write rules or tests that speak of one of them"}}.Err()
			}
			return a.writeBehaviour(results, tolerance)
		},
	}
	f.register(cmd)
	f.registerSeed(cmd)
	res.register(cmd)
	fs := cmd.Flags()
	fs.StringVar(&model, "model", "", "model folder")
	completeModels(cmd, "model")
	fs.StringVar(&device, "device", "auto", "auto, cpu, cuda or cuda:N")
	fs.IntVar(&threads, "threads", 0, "threads (0 = all cores)")
	fs.IntVar(&copies, "copies", 1, "variants that each rule makes of a text")
	fs.Float64Var(&tolerance, "tolerance", 0, "share of failures that a rule may have")
	return cmd
}

func headNamesOf(heads []sdk.HeadSpec) []string {
	var names []string
	for _, h := range heads {
		names = append(names, h.Name)
	}
	return names
}

// labelsOf turns answers into labels.
func labelsOf(answers []core.Answer) []map[string]sdk.Label {
	out := make([]map[string]sdk.Label, len(answers))
	for i, ans := range answers {
		out[i] = map[string]sdk.Label{}
		for h, x := range ans.Heads {
			switch {
			case x.Label != nil:
				out[i][h] = sdk.Label{Values: []string{*x.Label}}
			case x.Labels != nil:
				out[i][h] = sdk.Label{Values: x.Labels}
			case x.Spans != nil:
				l := sdk.Label{Spans: []sdk.Span{}}
				for _, s := range x.Spans {
					l.Spans = append(l.Spans, sdk.Span{Start: s.Start, End: s.End, Label: s.Label})
				}
				out[i][h] = l
			}
		}
	}
	return out
}

// writeBehaviour prints failures by rule; too many of them are exit code 1.
func (a *app) writeBehaviour(results []behave.Result, tolerance float64) error {
	failed := false
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	if !a.json {
		fmt.Fprintln(w, "rule\thead\ttest\tcases\tfailures\trate")
	}
	for _, r := range results {
		rate := float64(r.Failures) / float64(r.Cases)
		failed = failed || rate > tolerance
		if a.json {
			if err := a.print(r); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%s/%s\t%s\t%s\t%d\t%d\t%.1f %%\n", r.Pack, r.Rule, r.Head, r.Test, r.Cases, r.Failures, 100*rate)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !a.json {
		for _, r := range results {
			for _, x := range r.Examples {
				fmt.Fprintf(a.stdout, "\n%s/%s, %s of %s:\n", r.Pack, r.Rule, r.Test, r.Head)
				if x.From != "" {
					fmt.Fprintf(a.stdout, "  from    %s  (%s)\n", x.From, labelText(x.Before))
				}
				fmt.Fprintf(a.stdout, "  text    %s\n  wanted  %s\n  got     %s\n", x.Text, labelText(x.Wanted), labelText(x.Got))
			}
		}
	}
	if failed {
		return errProblems
	}
	return nil
}

// labelText writes a label in one line.
func labelText(l sdk.Label) string {
	var parts []string
	parts = append(parts, l.Values...)
	for _, s := range l.Spans {
		parts = append(parts, fmt.Sprintf("%s[%d:%d]", s.Label, s.Start, s.End))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
