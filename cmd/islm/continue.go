package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
)

// goOn is `islm continue`.
func (a *app) goOn() *cobra.Command {
	f := runFlags{planFlags: planFlags{preset: recipe.ObjectiveContinue}}
	var model, old string
	var floors []string
	cmd := &cobra.Command{
		Use: "continue", Short: "Train a finished model on new data or labels without forgetting",
		Long: `Train a finished model on new data or labels without forgetting.

Labels that only the new data have are added to the model's heads; the rows of
the old ones are kept. Against forgetting stand a share of the old examples that
is trained again (continue.replay), the old model's answers beside the labels
(continue.distill), and elastic weight consolidation (continue.ewc). The old
examples are those of the model's own plan, or of --old.

--floor names the least F1 that an old label must have afterwards. A label below
its floor stops the release: --out gets no model, the exit code is 1.
islm/continue.json compares old and new labels before and after.`,
		Example: `  islm continue --model runs/tickets --data new-tickets/ --out runs/tickets-2
  islm continue --model runs/tickets --data new-tickets/ --old tickets/ --floor refund=0.9 --floor '*=-0.02' --out runs/tickets-2
  islm continue --model runs/tickets --data new-tickets/ --set continue.replay=0 --set continue.ewc=1e4 --out runs/tickets-2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.extra = append(f.extra, "objective="+recipe.ObjectiveContinue)
			switch {
			case model != "" && f.base != "":
				return usageError{errors.New("--model is the base here: leave --base out")}
			case model != "":
				f.base = model
			case f.base == "" && f.recipe == "" && !f.dryRun:
				return usageError{errors.New("--model names the model that goes on learning")}
			}
			if old != "" {
				f.extra = append(f.extra, "continue.data="+old)
			}
			for _, item := range floors {
				label, least, ok := cutLast(item, "=")
				if !ok || label == "" || least == "" {
					return usageError{fmt.Errorf("--floor %q: write LABEL=F1, or LABEL=-LOSS", item)}
				}
				f.extra = append(f.extra, "continue.floors."+label+"="+least)
			}
			return a.make(cmd, &f)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&model, "model", "", "folder of the model that goes on learning")
	completeModels(cmd, "model")
	cmd.Flags().StringVar(&old, "old", "", "examples that it was trained on (default those that its plan names)")
	cmd.Flags().StringArrayVar(&floors, "floor", nil, "least F1 of an old label, as LABEL=0.9, or LABEL=-0.02 for at most 2 points less than before; * for each (repeatable)")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the complete plan and stop")
	return cmd
}

// cutLast splits at the last separator: labels may hold one.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// keptTable shows what a continued model kept of each head: means first, then the
// labels that lost most.
func keptTable(h *core.ContinuedHead) string {
	t := report.Table{Left: 2, Header: []string{"label", "", "before", "after", "change", "all rows", "floor", "support"}}
	number := func(v *float64) string {
		if v == nil {
			return ""
		}
		return fmt.Sprintf("%.3f", *v)
	}
	row := func(l *core.ContinuedLabel, kind string) {
		change := ""
		if l.Before != nil && l.After != nil {
			change = fmt.Sprintf("%+.3f", *l.After-*l.Before)
		}
		t.Rows = append(t.Rows, []string{l.Label, kind, number(l.Before), number(l.After), change, number(l.All), number(l.Floor), fmt.Sprint(l.Support)})
	}
	shown, hidden := h.Shown(12)
	for i := range shown {
		kind := "old"
		if shown[i].New {
			kind = "new"
		}
		row(&shown[i], kind)
	}
	out := ""
	if !h.Numbers {
		old, fresh := h.Counts()
		row(&core.ContinuedLabel{Label: "mean", Before: &h.Before, After: &h.After, All: &h.Old, Support: h.OldRows}, fmt.Sprintf("%d old", old))
		if fresh > 0 {
			row(&core.ContinuedLabel{Label: "mean", All: &h.New, Support: h.AllRows - h.OldRows}, fmt.Sprintf("%d new", fresh))
		}
	}
	out = fmt.Sprintf("%s of head %s: the old labels on rows that the model before knew, all labels on all rows\n\n%s", h.Metric, h.Head, t.String())
	if hidden > 0 {
		out += fmt.Sprintf("%d more labels in islm/%s\n", hidden, core.ContinueFile)
	}
	return out
}
