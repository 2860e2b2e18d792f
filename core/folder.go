package core

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Names below a run's folder.
const (
	Own            = "islm" // what is not part of the Hugging Face layout
	PlanFile       = "plan.yaml"
	MetricsFile    = "metrics.json"
	LogFile        = "log.jsonl"
	TensorBoard    = "tb"
	ReportFile     = "report.html"
	ProvenanceFile = "provenance.json"
	LockFile       = "lock.yaml"
	PacksFile      = "packs.json"
	exportTmp      = "export.tmp"
)

// Folder is the folder of a run, which becomes a model folder at its end.
type Folder struct {
	Dir string

	made, fresh bool // by OpenFolder: the folder itself, and that nothing lay in it
}

// Own is a path below DIR/islm.
func (f Folder) Own(name string) string { return filepath.Join(f.Dir, Own, name) }

// OpenFolder makes the folder of a new run, or finds that of one to resume. A
// folder that holds anything is refused without resume. finished reports a run
// that has nothing left to do.
func OpenFolder(dir string, resume bool) (f Folder, finished bool, err error) {
	f = Folder{Dir: dir}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if resume {
			// --resume starts afresh if there is nothing to go on from.
			resume = false
		}
		entries, f.made = nil, true
	case err != nil:
		return f, false, fmt.Errorf("open run folder: %w", err)
	}
	if len(entries) > 0 && !resume {
		return f, false, &sdk.DiagnosticsError{Fatal: true, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "run.not-empty", File: dir,
			Summary: "the folder is not empty", Remedy: "choose another --out, or go on with what is there by --resume"}}}
	}
	if len(entries) > 0 && !exists(f.Own(PlanFile)) && !onlyTemporary(entries) {
		return f, false, &sdk.DiagnosticsError{Fatal: true, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "run.foreign", File: dir,
			Summary: "the folder holds no run that could be resumed (islm/" + PlanFile + " is missing)", Remedy: "choose another --out"}}}
	}
	f.fresh = len(entries) == 0
	if err := os.MkdirAll(filepath.Join(dir, Own), 0o755); err != nil {
		return f, false, fmt.Errorf("make run folder: %w", err)
	}
	// Left by a kill while exporting; the export starts again.
	if err := os.RemoveAll(filepath.Join(dir, exportTmp)); err != nil {
		return f, false, fmt.Errorf("remove an unfinished export: %w", err)
	}
	return f, exists(filepath.Join(dir, "config.json")) && exists(f.Own(MetricsFile)), nil
}

func onlyTemporary(entries []fs.DirEntry) bool {
	return !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != Own && !strings.HasSuffix(e.Name(), ".tmp") })
}

// AdoptPlan compares the plan with the one that the folder's run was started
// with, if any: a difference is a diagnostic that lists the keys. What an
// engine had resolved then holds again.
func (f Folder) AdoptPlan(p *recipe.Plan) error {
	data, err := os.ReadFile(f.Own(PlanFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the run's plan: %w", err)
	}
	old, ds := recipe.Parse(f.Own(PlanFile), data)
	if err := ds.Err(); err != nil {
		return err
	}
	p.Adopt(old)
	diff := recipe.Diff(old, p)
	if len(diff) == 0 {
		return nil
	}
	var detail []string
	for _, key := range diff {
		was, _ := old.Text(key)
		is, _ := p.Text(key)
		detail = append(detail, fmt.Sprintf("%s: %s, now %s", key, was, is))
	}
	return sdk.Diagnostics{{Severity: sdk.Error, Code: "run.plan-differs", File: f.Own(PlanFile), Summary: "the run was started with another plan: " + strings.Join(diff, ", "),
		Detail: strings.Join(detail, "\n"), Remedy: "repeat the command that started it with --resume, or choose another --out"}}.Err()
}

// Withdraw leaves the folder as OpenFolder found it when a run was refused before it
// began, so that the command can be repeated once its input is mended. It removes what
// preparation writes and nothing else: what holds more, or held anything before, stays.
func (f Folder) Withdraw() {
	if !f.fresh {
		return
	}
	for _, name := range []string{PlanFile, PacksFile} {
		os.Remove(f.Own(name)) //nolint:errcheck // may not be there
	}
	// Only empty folders go this way.
	if os.Remove(filepath.Join(f.Dir, Own)) == nil && f.made {
		os.Remove(f.Dir) //nolint:errcheck // not empty: something of another's
	}
}

// WritePlan records the complete plan.
func (f Folder) WritePlan(p *recipe.Plan) error { return writeWhole(f.Own(PlanFile), p.YAML()) }

// Publish moves the finished model from the export folder into the run's
// folder: islm/ first, config.json last, each by rename, so that a folder with a
// config.json is complete.
func (f Folder) Publish() error {
	tmp := filepath.Join(f.Dir, exportTmp)
	var files []string
	err := filepath.WalkDir(tmp, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(tmp, path)
			files = append(files, rel)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the exported model: %w", err)
	}
	rank := func(name string) int {
		switch {
		case strings.HasPrefix(name, Own+string(filepath.Separator)):
			return 0
		case name == "config.json":
			return 2
		}
		return 1
	}
	slices.SortStableFunc(files, func(a, b string) int { return rank(a) - rank(b) })
	for _, name := range files {
		to := filepath.Join(f.Dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("publish the model: %w", err)
		}
		if err := os.Rename(filepath.Join(tmp, name), to); err != nil {
			return fmt.Errorf("publish the model: %w", err)
		}
	}
	return os.RemoveAll(tmp)
}

// ExportDir is where an engine writes the model before Publish.
func (f Folder) ExportDir() string { return filepath.Join(f.Dir, exportTmp) }

// writeWhole writes a file under a temporary name and renames it.
func writeWhole(path string, data []byte) error {
	if err := os.WriteFile(path+".tmp", data, 0o644); err != nil {
		os.Remove(path + ".tmp")
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
