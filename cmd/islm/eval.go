package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/report"
)

func (a *app) eval() *cobra.Command {
	var e core.Evaluation
	var sets, dev []string
	var controls bool
	var seeds, limit int
	var work string
	cmd := &cobra.Command{
		Use: "eval", Short: "Score a model on labelled data; compare two models; compare groups",
		Long: `Score a model on labelled data. A folder's test file is used, else its valid
file; a single file is used whole. --compare scores a second model on the same
rows and gives the paired bootstrap's interval of the difference. --by gives
the scores of each group of a field, the largest gap and its interval.

--controls trains the plan of a model that injects knowledge anew, with several
seeds: as it is, without knowledge, and with controls that inject as much of the
wrong content. It gives the intervals of the differences, for mentions that
training showed and others, and writes them to the model's metrics.json. --data
must name the training data too.`,
		Example: `  islm eval --model runs/news --data news/test.jsonl
  islm eval --model runs/b --compare runs/a --data news/
  islm eval --model runs/news --data news/ --by source
  islm eval --model runs/ner --data conll/ --controls`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if e.Model == "" || e.Data == "" {
				return usageError{fmt.Errorf("--model and --data are needed")}
			}
			engine, err := a.engine()
			if err != nil {
				return err
			}
			home, err := a.home()
			if err != nil {
				return err
			}
			if e.Catalog, err = a.catalog(cmd, dev); err != nil {
				return err
			}
			if e.Store, err = a.store(); err != nil {
				return err
			}
			e.Engine, e.Home, e.Log, e.Sets = engine, home, a.logger(), sets
			w := a.newWatcher()
			e.Watch = w
			if controls {
				return a.runControls(cmd, &core.Controls{Evaluation: e, Seeds: seeds, Work: work, Limit: limit}, dev)
			}
			res, err := e.Run(cmd.Context())
			w.done()
			if err != nil {
				return err
			}
			if a.json {
				return a.print(res)
			}
			for _, name := range slices.Sorted(maps.Keys(res.Heads)) {
				fmt.Fprintln(a.stdout, report.Head(name, nil, res.Heads[name]))
				if o := res.Other[name]; o != nil && len(res.Differences[name]) == 0 {
					fmt.Fprintln(a.stdout, report.Head(name+" of "+res.Compare, nil, o)) // no score of these is compared row by row
				}
				for _, g := range res.Groups[name] {
					fmt.Fprintln(a.stdout, report.GroupTable(g))
				}
			}
			if len(res.Differences) > 0 {
				fmt.Fprintln(a.stdout, report.Comparison(e.Compare, e.Model, res.Differences))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&e.Model, "model", "", "model folder")
	f.StringVar(&e.Data, "data", "", "labelled data: a file, a folder, or a dataset of the model's domain")
	f.StringVar(&e.Compare, "compare", "", "second model folder, scored on the same rows")
	completeModels(cmd, "model", "compare")
	f.StringVar(&e.By, "by", "", "field of the data whose groups are compared")
	f.BoolVar(&controls, "controls", false, "hold the injected knowledge against controls, trained in processes of their own")
	f.IntVar(&seeds, "seeds", 3, "runs of each arm of --controls")
	f.IntVar(&limit, "limit", 0, "train at most this many runs of --controls, then stop; the same command goes on (0 = all)")
	f.StringVar(&work, "work", "", "folder of the runs of --controls (default: islm/controls in the model folder); finished runs are not repeated")
	f.StringVar(&e.Split, "split", "", "which split of a folder: test, valid or train (default test, else valid)")
	f.StringVar(&e.Precision, "precision", "fp32", "fp32, bf16 or auto")
	f.StringVar(&e.Device, "device", "auto", "auto, cpu, cuda or cuda:N")
	f.IntVar(&e.Threads, "threads", 0, "threads (0 = all cores)")
	f.StringArrayVar(&sets, "set", nil, "set a data key, as data.text=body (repeatable)")
	f.StringArrayVar(&dev, "dev", nil, "take a plugin from this binary or source folder without a lock")
	complete(cmd, "set", completeSet)
	return cmd
}
