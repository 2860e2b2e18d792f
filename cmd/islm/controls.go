package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/report"
)

// childRuns trains in processes of this program.
func (a *app) childRuns(dev []string) (func(ctx context.Context, recipeFile, out string) error, error) {
	run, err := a.children(dev)
	return func(ctx context.Context, recipeFile, out string) error {
		return run(ctx, []string{"train"}, recipeFile, out)
	}, err
}

// children runs commands that make a run in processes of this program.
func (a *app) children(dev []string) (func(ctx context.Context, command []string, recipeFile, out string) error, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own path: %w", err)
	}
	return func(ctx context.Context, command []string, recipeFile, out string) error {
		args := append(slices.Clone(command), "--recipe", recipeFile, "--out", out, "--resume", "-q")
		for _, d := range dev {
			args = append(args, "--dev", d)
		}
		child := exec.CommandContext(ctx, exe, args...)
		var words firstError
		child.Stderr = io.MultiWriter(a.stderr, &words)
		// An interrupted run saves its state and goes on the next time.
		child.Cancel = func() error { return child.Process.Signal(os.Interrupt) }
		child.WaitDelay = time.Minute
		if err := child.Run(); err != nil {
			return &childError{words.found, err}
		}
		return nil
	}, nil
}

// childError says why a child failed in the words of its first diagnostic.
type childError struct {
	words string // "" = it said none
	error
}

func (e *childError) Error() string { return cmp.Or(e.words, e.error.Error()) }
func (e *childError) Unwrap() error { return e.error }

// firstError finds the first line of the first error among what a child prints.
type firstError struct {
	found string
	line  []byte // begun
}

func (w *firstError) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case w.found != "":
			return len(p), nil
		case c != '\n':
			if len(w.line) < 1<<12 {
				w.line = append(w.line, c)
			}
		default:
			if bytes.HasPrefix(w.line, []byte("error[")) || bytes.HasPrefix(w.line, []byte("error:")) {
				w.found = strings.ToValidUTF8(string(w.line), "")
			}
			w.line = w.line[:0]
		}
	}
	return len(p), nil
}

// runControls compares injected knowledge with its controls. Each run is a child
// process: this program with the command train.
func (a *app) runControls(cmd *cobra.Command, c *core.Controls, dev []string) error {
	var err error
	if c.Train, err = a.childRuns(dev); err != nil {
		return err
	}
	res, err := c.Run(cmd.Context())
	if w, ok := c.Watch.(*watcher); ok {
		w.done()
	}
	if err != nil {
		return a.unfinished(err)
	}
	if a.json {
		return a.print(res)
	}
	fmt.Fprintf(a.stdout, "injected: %s; %s of %s; seeds %s\n\n", strings.Join(res.Inject, ", "), res.Split, res.Data, strings.Trim(fmt.Sprint(res.Seeds), "[]"))
	for _, head := range slices.Sorted(maps.Keys(res.Scores)) {
		t := report.Table{Left: 4, Header: []string{"head", "arm", "score", "part", "n", "mean", "runs", "knowledge - arm", "95% interval", "p"}}
		for _, s := range res.Scores[head] {
			row := []string{head, s.Arm, s.Metric, orAll(s.Part), fmt.Sprint(s.N), fmt.Sprintf("%.3f", s.Mean), "", "", "", ""}
			var runs []string
			for _, v := range s.Runs {
				runs = append(runs, fmt.Sprintf("%.3f", v))
			}
			row[6] = strings.Join(runs, " ")
			for _, d := range res.Controls[s.Arm].Differences[head] {
				if d.Metric == s.Metric && d.Part == s.Part {
					row[7], row[8], row[9] = fmt.Sprintf("%+.3f", d.Diff), fmt.Sprintf("[%+.3f, %+.3f]", d.Range.Low, d.Range.High), fmt.Sprintf("%.3f", d.P)
				}
			}
			t.Rows = append(t.Rows, row)
		}
		fmt.Fprintln(a.stdout, t.String())
	}
	for _, arm := range slices.Sorted(maps.Keys(res.Controls)) {
		fmt.Fprintf(a.stdout, "%s: %s\n", arm, res.Controls[arm].Summary)
	}
	for _, n := range res.Notes {
		fmt.Fprintln(a.stdout, n)
	}
	return nil
}

// runAugmentControls compares rule packs with runs without them.
func (a *app) runAugmentControls(cmd *cobra.Command, c *core.AugmentControls, dev []string) error {
	var err error
	if c.Train, err = a.childRuns(dev); err != nil {
		return err
	}
	res, err := c.Run(cmd.Context())
	if w, ok := c.Watch.(*watcher); ok {
		w.done()
	}
	if err != nil {
		return a.unfinished(err)
	}
	if a.json {
		return a.print(res)
	}
	fmt.Fprintf(a.stdout, "packs: %s (%s); %d steps a run; %s of %s; seeds %s\n\n", strings.Join(res.Packs, ", "), res.Mode, res.Steps, res.Split, res.Data, strings.Trim(fmt.Sprint(res.Seeds), "[]"))
	t := report.Table{Left: 3, Header: []string{"head", "arm", "score", "mean", "runs", "packs - arm", "95% interval", "p", "the packs are"}}
	runs := func(values []float64) string {
		var out []string
		for _, v := range values {
			out = append(out, fmt.Sprintf("%.3f", v))
		}
		return strings.Join(out, " ")
	}
	for _, head := range slices.Sorted(maps.Keys(res.Packed)) {
		for _, s := range res.Packed[head] {
			t.Rows = append(t.Rows, []string{head, s.Arm, s.Metric, fmt.Sprintf("%.3f", s.Mean), runs(s.Runs), "", "", "", ""})
		}
	}
	for _, c := range res.Compared {
		d := c.Difference
		t.Rows = append(t.Rows, []string{c.Head, c.Arm, d.Metric, fmt.Sprintf("%.3f", d.A), runs(c.Runs), fmt.Sprintf("%+.3f", d.Diff), fmt.Sprintf("[%+.3f, %+.3f]", d.Range.Low, d.Range.High), fmt.Sprintf("%.3f", d.P), string(c.Verdict)})
	}
	fmt.Fprintln(a.stdout, t.String())
	for _, n := range res.Notes {
		fmt.Fprintln(a.stdout, n)
	}
	return nil
}

// unfinished tells that a comparison stopped at its limit, which is no failure.
func (a *app) unfinished(err error) error {
	var u *core.Unfinished
	if !errors.As(err, &u) {
		return err
	}
	if a.json {
		return a.print(map[string]any{"trained": u.Trained, "runs": u.Runs})
	}
	a.say("%s; the same command goes on (train: with --resume)", u)
	return nil
}

func orAll(part string) string {
	if part == "" {
		return "all"
	}
	return part
}
