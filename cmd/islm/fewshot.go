package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/fewshot"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
)

func (a *app) fewshot() *cobra.Command {
	f := runFlags{planFlags: planFlags{preset: "fewshot"}}
	var shots int
	var validate bool
	var label, in, model string
	cmd := &cobra.Command{
		Use: "fewshot", Short: "Learn a classifier from a few examples of each class",
		Long: `Learn a classifier from a few examples of each class.

The examples are drawn ten times. On the first draw a cross-validation chooses
between contrastive training with a logistic regression, class means
(prototypes), a linear probe and plain fine-tuning, and with a base that is a
language model a pattern whose gap it fills with a label's word. Contrastive
training is taken unless another is ahead of it by more than the standard error.
The chosen one is scored beside the others on all draws. The folder of --out is
the model of the first draw. islm/fewshot.json holds every row.

--cross-validate stops before the draws are scored: it tells the macro F1 of the
method in the cross-validation (a named method too) and reads the training examples
alone. The same command without it goes on with --resume.

--add-label gives a model of prototypes one more class from a few texts,
without training.`,
		Example: `  islm fewshot --data tickets/ --shots 8 --out runs/tickets
  islm fewshot --data tickets/ --set fewshot.method=prototype --out runs/tickets
  islm fewshot --base bert-tiny --data tickets/ --set 'fewshot.pattern={text} It was {mask}.' --set 'fewshot.verbalizer={up: good, down: bad}' --out runs/tickets
  islm fewshot --add-label refund --in refunds.txt --model runs/tickets`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if label != "" || in != "" || model != "" {
				if label == "" || in == "" || model == "" {
					return usageError{errors.New("--add-label, --in and --model belong together")}
				}
				if other := othersGiven(cmd, "add-label", "in", "model", "json", "verbose", "quiet", "log-format"); len(other) > 0 {
					return usageError{fmt.Errorf("--add-label changes the model of --model in place and trains nothing: leave out %s", strings.Join(other, ", "))}
				}
				return a.addLabel(cmd, model, label, in)
			}
			f.extra = append(f.extra, "objective="+recipe.ObjectiveFewShot)
			if cmd.Flags().Changed("shots") {
				f.sets = append(f.sets, fmt.Sprintf("fewshot.shots=%d", shots))
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
			do, show := run.FewShot, a.printFewShot
			if validate {
				do, show = run.CrossValidate, a.printCrossValidation
			}
			res, few, err := do(cmd.Context())
			if w, ok := run.Watch.(*watcher); ok {
				w.done()
			}
			if err != nil {
				return a.hintResume(cmd, &f, err)
			}
			return show(res, few)
		},
	}
	f.register(cmd)
	cmd.Flags().IntVar(&shots, "shots", 0, "examples of each class (default 8)")
	cmd.Flags().BoolVar(&validate, "cross-validate", false, "score the method by the cross-validation on the first draw alone, without the test data, and make no model")
	cmd.Flags().StringVar(&label, "add-label", "", "add this label to the model of --model")
	cmd.Flags().StringVar(&in, "in", "", "texts of the new label: JSONL or one text per line")
	cmd.Flags().StringVar(&model, "model", "", "model folder that --add-label changes")
	completeModels(cmd, "model")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the complete plan and stop")
	return cmd
}

// othersGiven are the flags that were given besides some.
func othersGiven(cmd *cobra.Command, besides ...string) (others []string) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains(besides, f.Name) {
			others = append(others, "--"+f.Name)
		}
	})
	return others
}

func (a *app) addLabel(cmd *cobra.Command, model, label, in string) error {
	engine, err := a.engine()
	if err != nil {
		return err
	}
	embedder, ok := engine.(recipe.RowEmbedder)
	if !ok {
		return errors.New("the engine gives no vectors")
	}
	texts, err := a.readTexts(in, nil)
	if err != nil {
		return err
	}
	if err := core.AddLabel(cmd.Context(), embedder, model, label, texts); err != nil {
		return err
	}
	a.say("added the label %s from %d texts to %s", label, len(texts), model)
	if a.json {
		return a.print(map[string]any{"model": model, "label": label, "texts": len(texts)})
	}
	return nil
}

func (a *app) printFewShot(res *core.Result, few *core.FewShotResult) error {
	if a.json {
		return a.print(map[string]any{"out": res.Dir, "metrics": res.Metrics, "fewshot": few})
	}
	t := report.Table{Left: 1, Header: []string{"method", "draws", "macro f1", "deviation", "cross-validation", "chosen - method", "95% interval", "p"}}
	var methods []string
	for _, r := range few.Rows {
		if !slices.Contains(methods, r.Method) {
			methods = append(methods, r.Method)
		}
	}
	slices.Sort(methods)
	for _, m := range methods {
		scores := few.Scores(m)
		mean, deviation := fewshot.MeanDeviation(scores)
		row := []string{m, fmt.Sprint(len(scores)), "", "", "", "", "", ""}
		if len(scores) > 0 {
			row[2], row[3] = fmt.Sprintf("%.3f", mean), fmt.Sprintf("%.3f", deviation)
		}
		if cv, ok := few.CV[m]; ok {
			row[4] = fmt.Sprintf("%.3f", cv)
		}
		if m == few.Method {
			row[5] = "chosen"
		}
		for _, c := range few.Compared {
			if c.Method == m {
				row[5], row[6], row[7] = fmt.Sprintf("%+.3f", c.Diff), fmt.Sprintf("[%+.3f, %+.3f]", c.Low, c.High), fmt.Sprintf("%.3f", c.P)
			}
		}
		t.Rows = append(t.Rows, row)
	}
	fmt.Fprintf(a.stdout, "%d examples of each of %d classes, %d rows of %s\n\n%s\n", few.Shots, few.Classes, few.N, few.Split, t.String())
	if len(few.Candidates) > 0 {
		fmt.Fprintln(a.stdout, chosenBy(few))
	}
	for _, name := range []string{few.Head} {
		if rep := res.Metrics.Heads[name]; rep != nil {
			fmt.Fprintf(a.stdout, "the model of the first draw: macro f1 %.3f, accuracy %.3f; %s\n", rep.MacroF1, rep.Accuracy, filepath.Join(res.Dir, core.Own, core.ReportFile))
		}
	}
	return nil
}

// printCrossValidation shows the methods of a cross-validation alone.
func (a *app) printCrossValidation(res *core.Result, few *core.FewShotResult) error {
	if a.json {
		return a.print(map[string]any{"out": res.Dir, "score": few.CV[few.Method], "fewshot": few})
	}
	t := report.Table{Left: 1, Header: []string{"method", "macro f1", "accuracy", ""}}
	for _, c := range few.Candidates {
		chosen := ""
		if c.Method == few.Method && len(few.Candidates) > 1 {
			chosen = "chosen"
		}
		t.Rows = append(t.Rows, []string{c.Method, fmt.Sprintf("%.3f", few.CV[c.Method]), fmt.Sprintf("%.3f", c.Accuracy), chosen})
	}
	fmt.Fprintf(a.stdout, "%d examples of %d classes, each held out once in each of %d rounds\n\n%s\n", few.N, few.Classes, few.Rounds, t.String())
	if len(few.Candidates) > 1 {
		fmt.Fprintln(a.stdout, chosenBy(few))
	}
	return nil
}

// chosenBy says what the cross-validation said for the method.
func chosenBy(few *core.FewShotResult) string {
	first := few.Candidates[0]
	var others []string
	for _, c := range few.Candidates[1:] {
		others = append(others, fmt.Sprintf("%s %+.3f ± %.3f", c.Method, c.Ahead, c.Error))
	}
	why := "no method is ahead of it by more than the standard error"
	if few.Method != first.Method {
		why = "it is ahead of " + first.Method + " by more than the standard error"
	}
	rounds := "1 round"
	if few.Rounds > 1 {
		rounds = fmt.Sprint(few.Rounds, " rounds")
	}
	return fmt.Sprintf("chosen: %s; in %s of cross-validation %s (accuracy over %s: %s)", few.Method, rounds, why, first.Method, strings.Join(others, ", "))
}
