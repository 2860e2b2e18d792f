package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/core/vocab"
)

func (a *app) vocabProbe() *cobra.Command {
	var from termFlags
	var sets, inits []string
	var out string
	var steps, seeds int
	cmd := &cobra.Command{
		Use: "probe", Short: "Try how the rows of a domain's terms should begin, and list terms that do not pay",
		Long: `Try how the rows of a domain's terms should begin, and list terms that do not pay.

Terms are chosen as 'islm vocab extend' does, on the texts of --in less a tenth that
is held out. For each way to make the rows of their pieces (--init) the model goes on
with its language model for --steps steps, on the same rows under the same masks; the
ways are ranked by the log-loss on the texts held out. A term does not pay that the
texts do not hold, or that does not come up in the texts held out.
With --out finished runs are kept, and the same command goes on after a stop.`,
		Example: "  islm vocab probe --model bert-tiny --domain finance --in news/ --words --max 2000\n  islm vocab probe --model bert-tiny --in news/ --words --seeds 5 --out probe",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from.model == "" || len(from.in) == 0 {
				return usageError{fmt.Errorf("--model and --in are needed")}
			}
			if len(from.in) > 1 {
				return usageError{fmt.Errorf("a probe reads one file or folder, not %d", len(from.in))}
			}
			for _, init := range inits {
				if !slices.Contains(vocab.Inits(), init) {
					return usageError{fmt.Errorf("--init is one of %s, not %q", strings.Join(vocab.Inits(), ", "), init)}
				}
			}
			if steps < 1 || seeds < 1 {
				return usageError{fmt.Errorf("--steps and --seeds are at least 1")}
			}
			probe := &core.VocabProbe{Inits: inits, Work: out, Watch: a.newWatcher()}
			var err error
			if probe.Model, err = from.base(a); err != nil {
				return err
			}
			if probe.Files, err = corpus.TextFiles(from.in); err != nil {
				return err
			}
			if probe.Terms, err = from.request(cmd, a); err != nil {
				return err
			}
			if probe.Train, err = a.childRuns(nil); err != nil {
				return err
			}
			items := []string{"data.split=[0.9, 0.1, 0]", "train.lr=1e-3", "train.precision=fp32"}
			if from.field != "" {
				items = append(items, "data.text="+from.field)
			}
			if from.encoding != "auto" {
				items = append(items, "data.encoding="+from.encoding)
			}
			items = append(items, sets...)
			items = append(items, fmt.Sprintf("train.steps=%d", steps), "train.eval_every=off", "train.checkpoint_every=off")
			texts, err := filepath.Abs(from.in[0])
			if err != nil {
				return fmt.Errorf("find the texts: %w", err)
			}
			items = append(items, "data.path="+texts)
			plan, ds := recipe.Resolve(recipe.Sources{Preset: recipe.ObjectivePretrain, Sets: items})
			if err := ds.Err(); err != nil {
				return err
			}
			a.problems(ds)
			if ds, err = corpus.Guesses(probe.Files, &plan.Data); err != nil {
				return err
			}
			a.problems(ds)
			probe.Plan = plan
			for i := range seeds {
				probe.Seeds = append(probe.Seeds, plan.Seed+uint64(i))
			}
			if out == "" {
				if probe.Work, err = os.MkdirTemp("", "islm-probe"); err != nil {
					return fmt.Errorf("make a folder for the runs: %w", err)
				}
				defer os.RemoveAll(probe.Work) //nolint:errcheck // a temporary folder
			} else if err := os.MkdirAll(out, 0o755); err != nil {
				return fmt.Errorf("make the folder of the runs: %w", err)
			}
			res, err := probe.Run(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.print(res)
			}
			a.printProbe(res)
			return nil
		},
	}
	from.register(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&inits, "init", nil, "ways to try (default mean, similar, random)")
	f.IntVar(&steps, "steps", 50, "optimizer steps of each run")
	f.IntVar(&seeds, "seeds", 1, "runs of each way, with seeds from seed on")
	f.StringArrayVar(&sets, "set", nil, "set a key of the runs' recipe, as train.lr=5e-4 (repeatable)")
	f.StringVar(&out, "out", "", "folder that keeps what is finished")
	complete(cmd, "init", func(string) []string { return vocab.Inits() })
	complete(cmd, "set", completeSet)
	return cmd
}

func (a *app) printProbe(res *core.VocabProbed) {
	fmt.Fprintf(a.stdout, "%d terms, %d new pieces; texts held out: %.3f pieces per word, before %.3f (%+.1f %%)\n\n", res.Terms, res.Pieces,
		res.PiecesPerWord[1], res.PiecesPerWord[0], 100*(res.PiecesPerWord[1]/res.PiecesPerWord[0]-1))
	t := report.Table{Left: 1, Header: []string{"rows", "log-loss before", fmt.Sprintf("after %d steps", res.Steps), "by seed", "ahead of random"}}
	for _, l := range res.Inits {
		var runs []string
		before := 0.0
		for i := range l.After {
			runs = append(runs, fmt.Sprintf("%.4f", l.After[i]))
			before += l.Before[i] / float64(len(l.Before))
		}
		wins := ""
		if l.Wins != nil {
			wins = fmt.Sprintf("%d of %d", *l.Wins, len(l.After))
		}
		t.Rows = append(t.Rows, []string{l.Init, fmt.Sprintf("%.4f", before), fmt.Sprintf("%.4f", l.Mean), strings.Join(runs, " "), wins})
	}
	fmt.Fprintln(a.stdout, t.String())
	if len(res.Idle) == 0 {
		fmt.Fprintln(a.stdout, "each term pays")
		return
	}
	fmt.Fprintf(a.stdout, "%d terms do not pay:\n", len(res.Idle))
	const shown = 20
	for _, i := range res.Idle[:min(len(res.Idle), shown)] {
		fmt.Fprintf(a.stdout, "%-30s seen %d times, saves %d; %s\n", i.Text, i.Count, i.Saved, i.Why)
	}
	if n := len(res.Idle) - shown; n > 0 {
		fmt.Fprintf(a.stdout, "… and %d more (--json lists all)\n", n)
	}
}
