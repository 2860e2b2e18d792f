package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core/report"
)

func (a *app) runs() *cobra.Command {
	cmd := &cobra.Command{Use: "runs", Short: "List the runs of a folder, show one"}
	var dir string
	list := &cobra.Command{
		Use: "list", Short: "List the runs of a folder, newest first", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			runs, err := report.Runs(dir)
			if err != nil {
				return err
			}
			if a.json {
				for _, r := range runs {
					if err := a.print(r); err != nil {
						return err
					}
				}
				return nil
			}
			if len(runs) == 0 {
				a.say("no runs in %s", dir)
				return nil
			}
			_, err = fmt.Fprint(a.stdout, report.RunTable(runs))
			return err
		},
	}
	list.Flags().StringVar(&dir, "dir", "runs", "folder of the runs")
	show := &cobra.Command{
		Use: "show DIR", Short: "Show one run: what it was made of and what it scored", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := report.OpenRun(args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.print(r)
			}
			_, err = fmt.Fprint(a.stdout, report.RunText(r))
			return err
		},
	}
	cmd.AddCommand(list, show)
	return cmd
}
