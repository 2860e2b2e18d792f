package main

import "github.com/spf13/cobra"

// kg is the parent of the commands on knowledge graphs.
func (a *app) kg() *cobra.Command {
	cmd := &cobra.Command{Use: "kg", Short: "Import, query, link and embed knowledge graphs"}
	cmd.AddCommand(a.kgImport(), a.kgStats(), a.kgQuery(), a.kgLink(), a.kgExport(), a.kgEmbed())
	return cmd
}
