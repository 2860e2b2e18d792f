package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
)

func (a *app) pretrain() *cobra.Command {
	var f runFlags
	var tapt, scratch bool
	var control, like string
	cmd := &cobra.Command{
		Use: "pretrain", Short: "Let a language model go on training on a domain's running text",
		Long: `Let a language model go on training on a domain's running text: BERT and RoBERTa
with masks, GPT-2 on whole blocks.

--data is a file or a folder of .txt (one text per line), .jsonl or .parquet files,
of any size: texts are streamed, repeated ones left out, the rest packed into rows.
Of the texts a share is held out; the perplexity on it is reported before and after.
The folder of --out is the base of the next 'islm train --base'.

--tapt trains on a task's own texts (CSV, CoNLL, JSONL …): those of its train split.
--like takes of a large --data only the texts that are nearest to those of a task.
--from-scratch makes a vocabulary of the texts and trains new weights in the shape of
the base, of which config.json is enough. --control trains the same base a second
time, on as much text of another kind, and compares.`,
		Example: `  islm pretrain --base bert-tiny --data filings/ --out finance-base
  islm pretrain --base bert-tiny --data reviews/ --tapt --out task-base
  islm pretrain --base bert-tiny --data crawl/ --like reviews/train.jsonl --out near-base
  islm pretrain --base bert-tiny --data filings/ --control novels/ --out finance-base
  islm train --base finance-base --data news/`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.preset = recipe.ObjectivePretrain
			if tapt {
				f.preset = "tapt"
			}
			f.extra = append(f.extra, "objective="+recipe.ObjectivePretrain)
			for key, on := range map[string]bool{"pretrain.task=on": tapt, "pretrain.scratch=on": scratch, "pretrain.like=" + like: like != ""} {
				if on {
					f.extra = append(f.extra, key)
				}
			}
			slices.Sort(f.extra)
			if control != "" {
				if _, err := os.Stat(control); err != nil {
					return fmt.Errorf("find the control's text: %w", err) // said before the training, not after it
				}
			}
			run, err := a.makeRun(cmd, &f)
			if err != nil || run == nil || control == "" {
				return err
			}
			train, err := a.childRuns(f.dev)
			if err != nil {
				return err
			}
			res, err := run.RunControl(cmd.Context(), control, train)
			if w, ok := run.Watch.(*watcher); ok {
				w.done()
			}
			if err != nil {
				return a.hintResume(cmd, &f, err)
			}
			return a.printPretrainControl(res)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the complete plan and stop")
	cmd.Flags().BoolVar(&tapt, "tapt", false, "the data are a task's: train on the texts of its train split (preset tapt)")
	cmd.Flags().StringVar(&like, "like", "", "file or folder of a task's texts: train on their nearest neighbours in the data")
	cmd.Flags().BoolVar(&scratch, "from-scratch", false, "new weights in the base's shape, and a vocabulary of the data")
	cmd.Flags().StringVar(&control, "control", "", "file or folder of unrelated text: then train the base on as much of it and compare")
	return cmd
}

func (a *app) printPretrainControl(c *core.PretrainControl) error {
	if a.json {
		return a.print(c)
	}
	t := report.Table{Left: 1, Header: []string{"model", "log-loss", "perplexity"}}
	for _, row := range []struct {
		name string
		lm   *metric.LanguageModel
	}{{"base", c.Before}, {"trained on the data", c.After}, {"trained on " + c.Data, c.Other}} {
		t.Rows = append(t.Rows, []string{row.name, fmt.Sprintf("%.4f", row.lm.LogLoss), fmt.Sprintf("%.2f", row.lm.Perplexity)})
	}
	_, err := fmt.Fprintf(a.stdout, "\non the texts held out; %d steps on %d rows, the control's on %d:\n\n%s\nthe data's own share of the gain: %s\n", c.Steps, c.Rows, c.Control, t.String(), gainShare(c))
	return err
}

// gainShare is how much of the fall of the log-loss the control does not reach.
func gainShare(c *core.PretrainControl) string {
	gain, own := c.Before.LogLoss-c.After.LogLoss, c.Other.LogLoss-c.After.LogLoss
	if gain <= 0 {
		return "none, the training did not help"
	}
	return fmt.Sprintf("%.4f of %.4f nats a piece", own, gain)
}
