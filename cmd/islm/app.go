package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/islm-dev/islm/core/libtorch"
	"github.com/islm-dev/islm/sdk"
)

// version is set by release builds (-ldflags "-X main.version=…").
var version = "0.1.0-dev"

// app is what every command shares: streams and the persistent flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	json      bool
	verbose   bool
	quiet     bool
	logFormat string
	command   string // full name of the command that runs, for messages
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "islm",
		Short: "Give a language model an industry's knowledge",
		Long: `islm makes an industry's model out of a general one: the industry's words,
rules, facts and tasks live in a plugin; islm composes them into a training run
that can be repeated, explained, shared and deployed.`,
		Example: `  islm train --domain finance
  islm train --domain finance --data reviews.csv --set data.text=body --set data.label=stars
  islm predict --model runs/… --text "Profit rose 12 % in the third quarter."
  islm doctor`,
		SilenceErrors: true, SilenceUsage: true, Version: version,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.command = cmd.CommandPath()
			if a.logFormat != "text" && a.logFormat != "json" {
				return usageError{fmt.Errorf("--log-format is text or json, not %q", a.logFormat)}
			}
			return nil
		},
	}
	a.command = "islm"
	f := root.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "print results as JSON on stdout")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "say more on stderr")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress, only results and problems")
	f.StringVar(&a.logFormat, "log-format", "text", "logs as text or json")
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		a.command = cmd.CommandPath()
		return usageError{err}
	})
	root.AddGroup(&cobra.Group{ID: "model", Title: "Make and use a model:"}, &cobra.Group{ID: "material", Title: "Its material:"}, &cobra.Group{ID: "house", Title: "Housekeeping:"})
	for group, cmds := range map[string][]*cobra.Command{
		"model":    {a.train(), a.pretrain(), a.fewshot(), a.distill(), a.goOn(), a.tune(), a.prepare(), a.eval(), a.predict()},
		"material": {a.data(), a.config(), a.plugin(), a.model(), a.vocab(), a.kg(), a.rules()},
		"house":    {a.runs(), a.cache(), a.doctor()},
	} {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID("house")
	root.SetCompletionCommandGroupID("house")
	wrongArgs(root)
	return root
}

// wrongArgs makes cobra's complaints about arguments usage errors.
func wrongArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	} else if cmd.HasSubCommands() {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var names []string
			for _, s := range c.Commands() {
				names = append(names, s.Name())
			}
			err := fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
			if near := sdk.Nearest(args[0], names); near != "" {
				err = fmt.Errorf("%w; did you mean %q?", err, near)
			}
			return usageError{err}
		}
		if cmd.RunE == nil && cmd.Run == nil {
			cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
	for _, sub := range cmd.Commands() {
		wrongArgs(sub)
	}
}

// logger writes to stderr; plugins' logs arrive here too.
func (a *app) logger() hclog.Logger {
	level := hclog.Warn
	switch {
	case a.verbose:
		level = hclog.Debug
	case a.quiet:
		level = hclog.Error
	}
	return hclog.New(&hclog.LoggerOptions{Name: "islm", Level: level, Output: a.stderr, JSONFormat: a.logFormat == "json",
		Exclude: func(_ hclog.Level, msg string, args ...any) bool { return !a.verbose && ofDeadPlugin(msg, args) }})
}

// ofDeadPlugin recognizes what the host logs of a plugin that dies: its last
// lines, which have no fields, and its end. The diagnostic holds all of it.
func ofDeadPlugin(msg string, args []any) bool {
	return len(args) == 0 || msg == "plugin process exited" || msg == "plugin failed to exit gracefully"
}

// say prints a line for people on stderr unless --quiet.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.stderr, strings.TrimSuffix(format, "\n")+"\n", args...)
	}
}

// problems prints diagnostics on stderr; with --json as JSON lines, there too,
// because stdout holds results only.
func (a *app) problems(ds sdk.Diagnostics) {
	for _, d := range ds {
		if a.quiet && d.Severity == sdk.Info {
			continue
		}
		if a.json || a.logFormat == "json" {
			if raw, err := json.Marshal(d); err == nil {
				fmt.Fprintf(a.stderr, "%s\n", raw)
				continue
			}
		}
		fmt.Fprintln(a.stderr, d.String())
	}
}

// print writes one JSON document to stdout.
func (a *app) print(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}

// tty reports whether a stream is a terminal.
func tty(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// home is ISLM_HOME.
func (a *app) home() (string, error) { return libtorch.Home(a.getenv) }
