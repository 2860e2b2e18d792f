package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/augment"
)

func (a *app) rulesExplain() *cobra.Command {
	var f ruleFlags
	var res resourceFlags
	var text string
	var only []string
	var all bool
	cmd := &cobra.Command{
		Use: "explain PACK…", Short: "Say for each rule why it fired in a text, or why not",
		Example: "  islm rules explain my-pack --text \"Profit rose 5 %.\" --rule move-up\n  islm rules explain my-pack --in train.jsonl --limit 3",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: packNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, closeAll, err := res.open(a, cmd)
			if err != nil {
				return err
			}
			defer closeAll()
			e, ps, err := f.engine(a, cmd, args, augment.Options{Resources: r})
			if err != nil {
				return err
			}
			for _, id := range only {
				if !slices.ContainsFunc(ps, func(p *augment.Pack) bool { return p.Rule(id) != nil }) {
					return usageError{fmt.Errorf("the packs have no rule %q", id)}
				}
			}
			data, closeData, err := f.textOrData(cmd, a, text)
			if err != nil {
				return err
			}
			for ex, err := range data {
				if err != nil {
					return errors.Join(err, closeData())
				}
				out, events := e.Explain(&ex, augment.Draw{Epoch: f.epoch})
				if len(only) > 0 {
					events = slices.DeleteFunc(events, func(ev augment.Event) bool { return !slices.Contains(only, ev.Rule) })
				}
				if a.json {
					err = a.print(struct {
						ID     string          `json:"id"`
						Text   string          `json:"text"`
						Out    string          `json:"out"`
						Events []augment.Event `json:"events"`
					}{ex.ID, ex.Text, out.Text, events})
				} else {
					err = a.showEvents(ex.Text, out.Text, events, all || len(only) > 0)
				}
				if err != nil {
					return errors.Join(err, closeData())
				}
			}
			if err := closeData(); err != nil {
				return fmt.Errorf("read data: %w", err)
			}
			return nil
		},
	}
	f.register(cmd)
	f.registerDraws(cmd)
	res.register(cmd)
	cmd.Flags().StringVar(&text, "text", "", "one text instead of --in")
	cmd.Flags().StringSliceVar(&only, "rule", nil, "explain these rules only (repeatable)")
	cmd.Flags().BoolVar(&all, "all", false, "also list the rules that match nothing")
	return cmd
}

func (a *app) showEvents(text, out string, events []augment.Event, all bool) error {
	fmt.Fprintf(a.stdout, "- %s\n", text)
	if out != text {
		fmt.Fprintf(a.stdout, "+ %s\n", out)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	silent := 0
	for _, ev := range events {
		if ev.Outcome == augment.NoMatch && !all {
			silent++
			continue
		}
		match := ""
		if ev.Match != "" {
			match = fmt.Sprintf("%q at %d", shorten(ev.Match), ev.Start)
		}
		fmt.Fprintf(w, "  %s/%s\t%s\t%s\t%s\n", ev.Pack, ev.Rule, ev.Outcome, match, ev.Why)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	if silent > 0 {
		fmt.Fprintf(a.stdout, "  %d rules match nothing here (--all lists them)\n", silent)
	}
	fmt.Fprintln(a.stdout)
	return nil
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return cmp.Or(s, "")
}
