package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) plugin() *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "Write, check, install and list industry plugins"}
	cmd.AddCommand(a.pluginLock())
	return cmd
}

// pluginLock locks the plugins of a folder, for `make build`.
func (a *app) pluginLock() *cobra.Command {
	return &cobra.Command{
		Use: "lock DIR", Short: "Lock the plugin binaries of a folder", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cat, err := a.catalog(cmd, nil)
			if err != nil {
				return err
			}
			entries, err := cat.LockDir(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			for _, e := range entries {
				fmt.Fprintf(a.stdout, "%s %s %s\n", e.Name, e.Version, e.SHA256)
			}
			return nil
		},
	}
}
