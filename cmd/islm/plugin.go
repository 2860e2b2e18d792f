package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/cmd/islm/internal/scaffold"
	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/core/libtorch"
	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/sdktest"
)

func (a *app) plugin() *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "Write, check, install and list industry plugins"}
	cmd.AddCommand(a.pluginNew(), a.pluginCheck(), a.pluginInstall(), a.pluginList(), a.pluginDescribe(), a.pluginLock())
	return cmd
}

func (a *app) pluginNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	cat, err := a.catalog(cmd, nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []string
	entries, _ := cat.List()
	for _, e := range entries {
		names = append(names, e.Name+"\t"+e.Version)
	}
	return names, cobra.ShellCompDirectiveDefault
}

func (a *app) pluginNew() *cobra.Command {
	var p scaffold.Plan
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Write the skeleton of a plugin, which builds, passes the checks and trains",
		Example: "  islm plugin new energy\n  islm plugin check islm-plugin-energy\n  islm plugin install islm-plugin-energy\n  islm train --domain energy",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p.Name = args[0]
			if p.Checkout == "" {
				starts := []string{filepath.Dir(p.Dir), "."}
				if exe, err := os.Executable(); err == nil {
					if real, err := filepath.EvalSymlinks(exe); err == nil {
						exe = real
					}
					starts = append(starts, filepath.Dir(exe))
				}
				p.Checkout = scaffold.FindCheckout(starts...)
			}
			dir, files, err := scaffold.New(p)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(struct {
					Dir   string   `json:"dir"`
					Files []string `json:"files"`
				}{dir, files})
			}
			for _, f := range files {
				fmt.Fprintln(a.stdout, filepath.Join(dir, f))
			}
			if p.Checkout == "" {
				a.say("no checkout of islm was found: run 'go mod tidy' in %s, or write it again with --islm CHECKOUT", dir)
			}
			a.say("next: islm plugin check %s", dir)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.Dir, "dir", "", "folder to write (default islm-plugin-NAME)")
	f.StringVar(&p.Module, "module", "", "Go module path (default example.com/islm-plugin-NAME)")
	f.StringVar(&p.Checkout, "islm", "", "checkout of islm to build against (default the one that the folder or this program lies in)")
	return cmd
}

func (a *app) pluginCheck() *cobra.Command {
	var skips, only []string
	var junit string
	var list bool
	cmd := &cobra.Command{
		Use: "check FOLDER|BINARY|NAME", Short: "Check a plugin: its files, its answers, its process",
		Long:    "Check a plugin against the protocol: its files, its answers and its process. A folder is built first.\nNeeds neither a GPU nor libtorch. Ends with 1 if a check fails.",
		Example: "  islm plugin check .\n  islm plugin check bin/plugins/islm-plugin-finance --junit report.xml\n  islm plugin check . --skip \"read.splits-disjoint: the test split repeats on purpose\"",
		Args:    cobra.RangeArgs(0, 1), ValidArgsFunction: a.pluginNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				return a.listChecks()
			}
			if len(args) == 0 {
				return usageError{errors.New("name a plugin's folder or binary")}
			}
			o := sdktest.Options{Only: only, Logger: a.logger(), Rules: ruleBook}
			for _, s := range skips {
				o.Skip = append(o.Skip, sdktest.ParseSkip(s))
			}
			if err := o.Validate().Err(); err != nil {
				return err
			}
			cat, err := a.catalog(cmd, nil)
			if err != nil {
				return err
			}
			binary, cleanup, err := cat.Prepare(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer cleanup()
			report, err := sdktest.Run(cmd.Context(), binary, o)
			if err != nil {
				return err
			}
			report.Binary = args[0]
			if junit != "" {
				if err := writeJUnit(junit, report); err != nil {
					return err
				}
			}
			if a.json {
				err = a.print(report)
			} else {
				_, err = fmt.Fprint(a.stdout, report)
			}
			if err == nil && !report.OK() {
				err = errProblems
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&skips, "skip", nil, `leave a check out, as "ID: reason" (repeatable)`)
	f.StringSliceVar(&only, "only", nil, "run these checks or areas only, as read or vocab.unique")
	f.StringVar(&junit, "junit", "", "write the report as JUnit XML to this file")
	f.BoolVar(&list, "list", false, "list the checks and run none")
	complete(cmd, "only", func(string) []string {
		var ids []string
		for _, c := range sdktest.Checks() {
			ids = append(ids, c.ID+"\t"+c.Purpose)
		}
		return ids
	})
	return cmd
}

func (a *app) listChecks() error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, c := range sdktest.Checks() {
		if a.json {
			if err := a.print(map[string]any{"id": c.ID, "purpose": c.Purpose, "process": c.Process}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%s\t%s\n", c.ID, c.Purpose)
	}
	return w.Flush()
}

func writeJUnit(path string, r *sdktest.Report) error {
	data, err := r.JUnit()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (a *app) pluginInstall() *cobra.Command {
	var o catalog.InstallOptions
	cmd := &cobra.Command{
		Use: "install FOLDER|BINARY", Short: "Build a plugin, run it once, and lock its binary's sha256",
		Long: "Build a plugin (a folder with its Go source) or take its binary, run it once to describe itself, copy it to\nISLM_HOME/plugins and lock its sha256. Only what is locked runs. A project's islm.lock.yaml is updated, too.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cat, err := a.catalog(cmd, nil)
			if err != nil {
				return err
			}
			e, ds, err := cat.Install(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			a.problems(ds)
			if a.json {
				return a.print(e)
			}
			fmt.Fprintf(a.stdout, "%s %s\n%s\nsha256 %s, locked in %s\n", e.Name, e.Version, e.Path, e.SHA256, e.Lock)
			a.say("next: islm train --domain %s", e.Name)
			return nil
		},
	}
	cmd.Flags().BoolVar(&o.Project, "project", false, "make islm.lock.yaml here if no folder above has one")
	return cmd
}

func (a *app) pluginList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the plugins that can be used here", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cat, err := a.catalog(cmd, nil)
			if err != nil {
				return err
			}
			entries, ds := cat.List()
			if a.json {
				for _, e := range entries {
					if err := a.print(e); err != nil {
						return err
					}
				}
			} else {
				w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
				for _, e := range entries {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Name, e.Version, e.Place, libtorch.Bytes(e.Size), e.Path)
				}
				if err := w.Flush(); err != nil {
					return fmt.Errorf("write to stdout: %w", err)
				}
			}
			if len(entries)+len(ds) == 0 {
				a.say("no plugins here; 'islm plugin install FOLDER|BINARY' installs one, 'islm plugin new NAME' writes one")
			}
			a.problems(ds)
			if ds.HasErrors() {
				return errProblems
			}
			return nil
		},
	}
}

func (a *app) pluginDescribe() *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME|FOLDER|BINARY", Short: "Say what a plugin holds: heads, datasets, options, licences",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.pluginNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			cat, err := a.catalog(cmd, nil)
			if err != nil {
				return err
			}
			d, err := cat.Describe(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.json {
				if err := a.print(d); err != nil {
					return err
				}
			} else {
				a.printDescription(d)
				a.problems(d.Diagnostics)
			}
			if d.Diagnostics.HasErrors() {
				return errProblems
			}
			return nil
		},
	}
}

func (a *app) printDescription(d *sdk.Description) {
	out := a.stdout
	fmt.Fprintf(out, "%s %s  (sdk %s)\n%s\n", d.Name, d.Version, d.SDKVersion, d.Summary)
	if d.Homepage != "" {
		fmt.Fprintln(out, d.Homepage)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	section := func(title string, n int) bool {
		if n > 0 {
			w.Flush()
			fmt.Fprintf(out, "\n%s\n", title)
		}
		return n > 0
	}
	if section("heads", len(d.Heads)) {
		for _, h := range d.Heads {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", h.Name, h.Kind, h.Dataset, strings.Join(h.Labels, ", "))
		}
	}
	if section("datasets", len(d.Datasets)) {
		for _, s := range d.Datasets {
			from := s.Format + ", embedded"
			if !s.Embedded {
				from = "read by " + s.Hook
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", s.Name, from, strings.Join(s.Splits, ", "), s.Summary)
		}
	}
	if section("options", len(d.Options)) {
		for _, o := range d.Options {
			fmt.Fprintf(w, "  %s\t%s\t[%s]\t%s\n", o.Name, o.Type, o.Default, o.Help)
		}
	}
	if section("files", len(d.Vocab)+len(d.Rules)+len(d.Facts)) {
		var files []string
		for _, r := range d.Rules {
			files = append(files, r.Path)
		}
		for _, f := range slices.Concat(d.Vocab, files, d.Facts) {
			fmt.Fprintf(w, "  %s\n", f)
		}
	}
	if section("licences", len(d.Licences)) {
		for _, l := range d.Licences {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", l.Data, l.SPDX, l.Source)
		}
	}
	w.Flush()
	fmt.Fprintf(out, "\ncontent sha256 %s\n", d.Digest)
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
