package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/sdk"
)

func (a *app) data() *cobra.Command {
	cmd := &cobra.Command{Use: "data", Short: "Check data files, count what is in them"}
	cmd.AddCommand(a.dataCheck(), a.dataStats())
	return cmd
}

// inspection is what check and stats share.
func (a *app) inspection(cmd *cobra.Command, f *runFlags, args []string) (*core.Inspection, error) {
	if len(args) == 1 {
		if f.planFlags.data != "" {
			return nil, usageError{fmt.Errorf("name the data once: as argument or with --data")}
		}
		f.planFlags.data = args[0]
	}
	run, err := a.newRun(cmd, f, nil)
	if err != nil {
		return nil, err
	}
	return &core.Inspection{Home: run.Home, Store: run.Store, Catalog: run.Catalog, Log: run.Log, Resolve: run.Resolve}, nil
}

func (a *app) dataCheck() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use: "check [PATH]", Short: "Read data as a training run would and report everything that is wrong",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := a.inspection(cmd, &f, args)
			if err != nil {
				return err
			}
			c, ds, err := in.Check(cmd.Context())
			if err != nil {
				return err
			}
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
			a.say("%d train, %d valid, %d test examples, no errors", len(c.Train), len(c.Valid), len(c.Test))
			return nil
		},
	}
	f.register(cmd)
	return cmd
}

func (a *app) dataStats() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use: "stats [PATH]", Short: "Count labels, lengths, scripts, padding and unknown words",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := a.inspection(cmd, &f, args)
			if err != nil {
				return err
			}
			_, stats, ds, err := in.Stats(cmd.Context())
			if err != nil {
				return err
			}
			if err := ds.Err(); err != nil {
				return err
			}
			if a.json {
				return a.print(stats)
			}
			var quiet sdk.Diagnostics
			for _, d := range ds {
				if d.Severity == sdk.Warning {
					quiet.Add(d)
				}
			}
			a.problems(quiet)
			return stats.Write(a.stdout)
		},
	}
	f.register(cmd)
	return cmd
}
