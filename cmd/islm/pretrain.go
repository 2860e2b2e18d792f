package main

import (
	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core/recipe"
)

func (a *app) pretrain() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use: "pretrain", Short: "Let a language model go on training on a domain's running text",
		Long: `Let a language model go on training on a domain's running text.

--data is a file or a folder of .txt (one text per line), .jsonl or .parquet files,
of any size: texts are streamed, repeated ones left out, the rest packed into rows.
Of the texts a share is held out; the perplexity on it is reported before and after.
The folder of --out is the base of the next 'islm train --base'. A task's own texts
(CSV, CoNLL, JSONL) do as well.`,
		Example: `  islm pretrain --base bert-tiny --data filings/ --out finance-base
  islm pretrain --base bert-tiny --data train.jsonl --set train.epochs=10 --out task-base
  islm train --base finance-base --data news/`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.recipe == "" {
				f.recipe = recipe.ObjectivePretrain
			}
			return a.make(cmd, &f)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the complete plan and stop")
	return cmd
}
