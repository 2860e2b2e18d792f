package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/libtorch"
)

func (a *app) cache() *cobra.Command {
	cmd := &cobra.Command{Use: "cache", Short: "List what ISLM_HOME keeps, remove what can be made again"}
	cmd.AddCommand(a.cacheList(), a.cachePrune())
	return cmd
}

func (a *app) cacheList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what ISLM_HOME keeps", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			home, err := a.home()
			if err != nil {
				return err
			}
			entries, err := core.ListCache(home)
			if err != nil {
				return err
			}
			return a.cacheTable(entries)
		},
	}
}

func (a *app) cachePrune() *cobra.Command {
	var days int
	var dry bool
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove prepared stages and leftovers that were not used for some days", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			home, err := a.home()
			if err != nil {
				return err
			}
			if days < 0 {
				return usageError{fmt.Errorf("--days is a number of days, 0 or more")}
			}
			gone, err := core.PruneCache(home, time.Now().AddDate(0, 0, -days), dry)
			if err != nil {
				return err
			}
			var sum int64
			for _, e := range gone {
				sum += e.Bytes
			}
			verb := "removed"
			if dry {
				verb = "would remove"
			}
			a.say("%s %d entries, %s", verb, len(gone), libtorch.Bytes(sum))
			return a.cacheTable(gone)
		},
	}
	cmd.Flags().IntVar(&days, "days", 30, "keep what changed in the last so many days")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be removed")
	return cmd
}

func (a *app) cacheTable(entries []core.CacheEntry) error {
	if a.json {
		for _, e := range entries {
			if err := a.print(e); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, e := range entries {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Kind, e.Name, libtorch.Bytes(e.Bytes), e.Used.Format("2006-01-02"))
	}
	return w.Flush()
}
