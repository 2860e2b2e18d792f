package report

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/islm-dev/islm/core/metric"
)

// Run is one run folder.
type Run struct {
	Name       string          `json:"name"` // of the folder
	Dir        string          `json:"dir"`
	State      string          `json:"state"` // done, unfinished, broken
	Problem    string          `json:"problem,omitempty"`
	Created    time.Time       `json:"created"` // from the provenance, else the folder's time
	Base       string          `json:"base,omitempty"`
	Plugins    []string        `json:"plugins,omitempty"`
	Step       int             `json:"step"` // last step in the log
	Metrics    *metric.Metrics `json:"metrics,omitempty"`
	Provenance *Provenance     `json:"provenance,omitempty"`
}

// States of a Run.
const (
	RunDone       = "done"
	RunUnfinished = "unfinished" // no metrics.json yet: it runs, or was stopped
	RunBroken     = "broken"     // its files cannot be read
)

// Runs finds the runs in a folder, newest first. Other folders are passed
// over; a folder that does not exist holds none.
func Runs(dir string) ([]Run, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	var out []Run
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(filepath.Join(path, "islm")); err != nil || !info.IsDir() || strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		run, err := OpenRun(path)
		if err != nil {
			return nil, err
		}
		out = append(out, *run)
	}
	slices.SortStableFunc(out, func(a, b Run) int { return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.Name, b.Name)) })
	return out, nil
}

// OpenRun reads one run folder. Files that cannot be read make it a broken run,
// not an error; a folder without islm/ is an error.
func OpenRun(dir string) (*Run, error) {
	info, err := os.Stat(filepath.Join(dir, "islm"))
	if err != nil {
		return nil, fmt.Errorf("open run: %w", err)
	}
	run := &Run{Name: filepath.Base(dir), Dir: dir, State: RunDone, Created: info.ModTime().UTC().Truncate(time.Second)}
	problem := func(err error) {
		run.State, run.Problem = RunBroken, err.Error()
	}
	run.Metrics, err = metric.Load(filepath.Join(dir, "islm", "metrics.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		run.State = RunUnfinished
	case err != nil:
		problem(err)
	}
	run.Provenance, err = LoadProvenance(filepath.Join(dir, "islm", "provenance.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		problem(err)
	}
	if p := run.Provenance; p != nil {
		run.Created, run.Base = p.Created, p.Base.Name
		for _, plugin := range p.Plugins {
			run.Plugins = append(run.Plugins, plugin.Name)
		}
	}
	log, err := ReadLog(filepath.Join(dir, "islm", "log.jsonl"))
	if err != nil {
		problem(err)
	}
	for _, e := range log {
		run.Step = max(run.Step, e.Step)
	}
	return run, nil
}

// RunTable lists runs, one line for each head.
func RunTable(runs []Run) string {
	t := Table{Left: 5, Header: []string{"run", "state", "base", "domain", "head", "n", "accuracy", "macro f1", "entity f1", "steps", "time"}}
	for _, r := range runs {
		row := []string{r.Name, r.State, r.Base, strings.Join(r.Plugins, ",")}
		if r.Metrics == nil || len(r.Metrics.Heads) == 0 {
			t.Rows = append(t.Rows, append(row, "", "", "", "", "", strconv.Itoa(r.Step), ""))
			continue
		}
		for i, head := range slices.Sorted(maps.Keys(r.Metrics.Heads)) {
			if i > 0 {
				row = []string{"", "", "", ""}
			}
			h := r.Metrics.Heads[head]
			score := func(name string) string {
				if v, ok := h.Value(name); ok {
					return three(v)
				}
				return ""
			}
			row = append(row, head, strconv.Itoa(h.N), score("accuracy"), score("macro_f1"), score("entity_f1"))
			if i == 0 {
				row = append(row, strconv.Itoa(r.Metrics.Train.Steps), clock(time.Duration(r.Metrics.Train.Seconds*float64(time.Second))))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t.String()
}

// RunText shows one run: what it was made from, what it took and its heads.
func RunText(r *Run) string {
	var b strings.Builder
	var rows []Fact
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, Fact{name, value})
		}
	}
	add("run", r.Name)
	add("state", r.State)
	add("problem", r.Problem)
	add("created", r.Created.Format(time.RFC3339))
	if p := r.Provenance; p != nil {
		add("base", p.Base.Name)
		add("domain", strings.Join(r.Plugins, ", "))
		for _, d := range p.Data {
			add("data", strings.TrimSpace(fmt.Sprintf("%s %s", d.Role, d.Name)))
		}
		add("seed", strconv.FormatUint(p.Seed, 10))
	}
	if m := r.Metrics; m != nil {
		for _, f := range trainFacts(&m.Train) {
			add(f.Name, f.Value)
		}
	}
	for _, row := range rows {
		fmt.Fprintf(&b, "%-16s %s\n", row.Name, Clean(row.Value))
	}
	if m := r.Metrics; m != nil {
		for _, head := range slices.Sorted(maps.Keys(m.Heads)) {
			b.WriteString("\n" + Head(head, m.Before[head], m.Heads[head]))
		}
	}
	return b.String()
}
