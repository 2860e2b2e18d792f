package sdktest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/host"
)

// Options are the choices of a run.
type Options struct {
	Skip    []Skip       // checks to leave out
	Only    []string     // IDs, or areas such as read; empty means all
	Logger  hclog.Logger // receives the plugin's log; nil means none
	DataDir string       // folder that the plugin may keep files in
	// Rules knows the rule language; nil leaves the checks on rules to what can be
	// said without it. package augment, which an SDK cannot import, has it.
	Rules Rulebook
	// Done is called after each check, on the caller's goroutine.
	Done func(Result)
}

// Rulebook loads the rule files that a plugin serves and runs the tests in them:
// it returns what is wrong with the files, which tests fail or are missing, and
// how many ran. Rules of kind code.v0 are tested by the kit itself, through the
// plugin.
type Rulebook func(plugin, version string, files []sdk.RuleFile) (parse, tests sdk.Diagnostics, ran int)

// Skip leaves a check out.
type Skip struct {
	ID     string
	Reason string // printed with the check
}

// ParseSkip reads "ID: reason" or "ID=reason".
func ParseSkip(s string) Skip {
	id, reason, ok := strings.Cut(s, ":")
	if !ok {
		id, reason, _ = strings.Cut(s, "=")
	}
	return Skip{ID: strings.TrimSpace(id), Reason: strings.TrimSpace(reason)}
}

// Validate reports skips and selections that name no check, and skips without a
// reason.
func (o Options) Validate() sdk.Diagnostics {
	var ds sdk.Diagnostics
	ids, areas := names(Checks(), func(c Check) string { return c.ID }), []string{}
	for _, id := range ids {
		areas = append(areas, area(id))
	}
	unknown := func(id string, known []string) {
		d := sdk.Diagnostic{Code: "check.unknown", Summary: fmt.Sprintf("there is no check called %q", id)}
		if near := sdk.Nearest(id, known); near != "" {
			d.Remedy = fmt.Sprintf("did you mean %q?", near)
		}
		ds.Add(d)
	}
	for _, s := range o.Skip {
		if !slices.Contains(ids, s.ID) {
			unknown(s.ID, ids)
		} else if s.Reason == "" {
			ds.Add(sdk.Diagnostic{Code: "check.reason", Summary: fmt.Sprintf("check %s is skipped without a reason", s.ID), Remedy: "say why: " + s.ID + ": REASON"})
		}
	}
	for _, id := range o.Only {
		if !slices.Contains(ids, id) && !slices.Contains(areas, id) {
			unknown(id, append(ids, areas...))
		}
	}
	return ds
}

func area(id string) string {
	a, _, _ := strings.Cut(id, ".")
	return a
}

// Run starts a plugin's binary and runs all checks on it. The error is for options
// that do not hold and for ctx; whatever is wrong with the plugin, also one that
// does not start, is in the report.
func Run(ctx context.Context, binary string, o Options) (*Report, error) {
	sum, err := host.Checksum(binary)
	if err != nil {
		return nil, err
	}
	s := &program{path: binary, config: host.Config{Path: binary, SHA256: sum, Logger: o.Logger, DataDir: o.DataDir}}
	return run(ctx, s, o, func(Check) bool { return true })
}

// run launches the subject and executes the checks that apply.
func run(ctx context.Context, s subject, o Options, applies func(Check) bool) (*Report, error) {
	if err := o.Validate().Err(); err != nil {
		return nil, err
	}
	r := &Report{Binary: s.binary(), SDK: sdk.Version, Started: time.Now()}
	add := func(x Result) {
		r.Results = append(r.Results, x)
		if o.Done != nil {
			o.Done(x)
		}
	}
	plugin, launchErr := s.launch(ctx)
	if plugin != nil {
		defer plugin.Close()
	}
	seen := &observations{}
	for _, c := range Checks() {
		if !applies(c) || len(o.Only) > 0 && !slices.Contains(o.Only, c.ID) && !slices.Contains(o.Only, area(c.ID)) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return r, fmt.Errorf("check plugin: %w", context.Cause(ctx))
		}
		if i := slices.IndexFunc(o.Skip, func(k Skip) bool { return k.ID == c.ID }); i >= 0 {
			add(Result{ID: c.ID, Purpose: c.Purpose, Status: Skipped, Reason: o.Skip[i].Reason})
			continue
		}
		if launchErr != nil && c.ID != "process.starts" && !c.Process {
			add(Result{ID: c.ID, Purpose: c.Purpose, Status: Skipped, Reason: "the plugin does not start"})
			continue
		}
		p := &probe{plugin: plugin, subject: s, seen: seen, check: c, launchErr: launchErr, rulebook: o.Rules}
		add(p.execute(ctx))
	}
	r.Seconds = time.Since(r.Started).Seconds()
	if d := seen.description; d != nil {
		r.Plugin, r.Version = d.Name, d.Version
	}
	return r, nil
}
