package main

import "github.com/spf13/cobra"

// rules is the parent of the commands on rule packs.
func (a *app) rules() *cobra.Command {
	cmd := &cobra.Command{Use: "rules", Short: "Write, test, apply and share rule packs"}
	return cmd
}
