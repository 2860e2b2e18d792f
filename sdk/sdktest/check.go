package sdktest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/islm-dev/islm/sdk"
)

// Plugin is a running plugin, as package host gives it.
type Plugin interface {
	Describe(ctx context.Context) (*sdk.Description, error)
	Configure(ctx context.Context, options map[string]string) (sdk.Diagnostics, error)
	Vocabulary(ctx context.Context) iter.Seq2[sdk.Term, error]
	Rules(ctx context.Context) iter.Seq2[sdk.RuleFile, error]
	Facts(ctx context.Context) iter.Seq2[sdk.FactItem, error]
	Read(ctx context.Context, req sdk.ReadRequest) iter.Seq2[sdk.Example, error]
	Augment(ctx context.Context, req sdk.AugmentRequest, in iter.Seq2[sdk.Example, error]) iter.Seq2[sdk.Example, error]
	Close()
}

// Check is one promise of the protocol.
type Check struct {
	ID      string // area.promise
	Purpose string // one line
	// Process says that the check looks at the process, not only at its answers;
	// Conform leaves it out.
	Process bool

	run func(p *probe)
}

// Checks lists all checks, in the order in which they run.
func Checks() []Check {
	return slices.Concat(describeChecks(), optionChecks(), vocabularyChecks(), ruleChecks(), factChecks(), headChecks(),
		readChecks(), augmentChecks(), streamChecks(), processChecks())
}

// Limits of the kit, not of the protocol: what a check may take.
const (
	checkTimeout = 60 * time.Second
	cancelWithin = time.Second
	sampleRows   = 2000 // rows of a hook's dataset that are looked at
	augmentRows  = 24   // examples that augmenters are tried with
	maxFindings  = 20   // diagnostics kept of one check
)

// probe is what a check is given: the plugin, what it said so far, and the place
// for findings.
type probe struct {
	ctx     context.Context
	plugin  Plugin
	subject subject
	seen    *observations
	// rulebook is Options.Rules.
	rulebook Rulebook
	check    Check
	// launchErr is why the plugin did not start; then plugin is nil.
	launchErr error

	findings sdk.Diagnostics
	dropped  int
	skipped  string
}

// subject is how a driver starts and watches a plugin.
type subject interface {
	// launch starts another instance.
	launch(ctx context.Context) (Plugin, error)
	// idle waits until no hook runs any more, at most d, where that can be seen.
	idle(d time.Duration) bool
	// binary is the path of the program, "" inside a test.
	binary() string
}

// fail records a finding; the check goes on.
func (p *probe) fail(format string, args ...any) {
	p.report(sdk.Diagnostic{Summary: fmt.Sprintf(format, args...)})
}

func (p *probe) report(ds ...sdk.Diagnostic) {
	for _, d := range ds {
		if len(p.findings) == maxFindings {
			p.dropped++
			continue
		}
		d.Severity, d.Source = sdk.Error, sdk.FromPlugin
		if d.Code == "" {
			d.Code = p.check.ID
		}
		p.findings.Add(d)
	}
}

// skip ends the check: there is nothing to look at.
func (p *probe) skip(format string, args ...any) {
	panic(skipped{fmt.Sprintf(format, args...)})
}

// stop ends the check after a failure that leaves nothing more to look at.
func (p *probe) stop(format string, args ...any) {
	p.fail(format, args...)
	panic(stopped{})
}

type (
	skipped struct{ reason string }
	stopped struct{}
)

// execute runs one check. A panic of the check's own is a finding like any other:
// what a plugin answers must not break the kit.
func (p *probe) execute(ctx context.Context) (r Result) {
	r = Result{ID: p.check.ID, Purpose: p.check.Purpose}
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, checkTimeout, errTimeout)
	defer cancel()
	p.ctx = ctx
	func() {
		defer func() {
			switch v := recover().(type) {
			case nil, stopped:
			case skipped:
				p.skipped = v.reason
			default:
				p.fail("the check broke on an answer: %v", v)
				p.findings[len(p.findings)-1].Detail = string(debug.Stack())
			}
		}()
		p.check.run(p)
	}()
	if p.dropped > 0 {
		p.findings[len(p.findings)-1].Detail = fmt.Sprintf("and %d more findings", p.dropped)
	}
	r.Seconds = time.Since(start).Seconds()
	r.Diagnostics = p.findings
	switch {
	case len(p.findings) > 0:
		r.Status = Failed
	case p.skipped != "":
		r.Status, r.Reason = Skipped, p.skipped
	default:
		r.Status = Passed
	}
	return r
}

var errTimeout = errors.New("the check took too long")

// observations are the plugin's answers that several checks look at, each asked
// for once.
type observations struct {
	description *sdk.Description
	descErr     error
	described   bool
	terms       *collected[sdk.Term]
	rules       *collected[sdk.RuleFile]
	book        *rulebook
	facts       *collected[sdk.FactItem]
	data        map[sdk.ReadRequest]*collected[sdk.Example]
}

// collected is a drained stream.
type collected[T any] struct {
	items []T
	diags sdk.Diagnostics
	err   error
}

func drain[T any](seq iter.Seq2[T, error]) *collected[T] {
	items, diags, err := sdk.Collect(seq)
	return &collected[T]{items, diags, err}
}

// describe gives the description; without one a check cannot go on, and only
// describe.valid tells why.
func (p *probe) describe() *sdk.Description {
	if !p.seen.described {
		p.seen.description, p.seen.descErr = p.plugin.Describe(p.ctx)
		p.seen.described = true
	}
	if p.seen.descErr != nil || p.seen.description == nil {
		p.skip("Describe fails")
	}
	return p.seen.description
}

func (p *probe) terms() *collected[sdk.Term] {
	if p.seen.terms == nil {
		p.seen.terms = drain(p.plugin.Vocabulary(p.ctx))
	}
	return p.seen.terms
}

func (p *probe) rules() *collected[sdk.RuleFile] {
	if p.seen.rules == nil {
		p.seen.rules = drain(p.plugin.Rules(p.ctx))
	}
	return p.seen.rules
}

func (p *probe) facts() *collected[sdk.FactItem] {
	if p.seen.facts == nil {
		p.seen.facts = drain(p.plugin.Facts(p.ctx))
	}
	return p.seen.facts
}

func (p *probe) read(req sdk.ReadRequest) *collected[sdk.Example] {
	if p.seen.data == nil {
		p.seen.data = map[sdk.ReadRequest]*collected[sdk.Example]{}
	}
	if p.seen.data[req] == nil {
		p.seen.data[req] = drain(p.plugin.Read(p.ctx, req))
	}
	return p.seen.data[req]
}

// embedded lists the datasets that can be read without a file of the user's.
func (p *probe) embedded() []sdk.Dataset {
	var ds []sdk.Dataset
	for _, d := range p.describe().Datasets {
		if d.Embedded {
			ds = append(ds, d)
		}
	}
	if len(ds) == 0 {
		p.skip("no embedded dataset")
	}
	return ds
}

// all reads an embedded dataset whole.
func (p *probe) all(d sdk.Dataset) *collected[sdk.Example] {
	return p.read(sdk.ReadRequest{Dataset: d.Name})
}

// coded keeps the diagnostics whose code begins with one of the areas.
func coded(ds sdk.Diagnostics, areas ...string) sdk.Diagnostics {
	var out sdk.Diagnostics
	for _, d := range ds {
		if (d.Severity == sdk.Error || d.Severity == "") && slices.ContainsFunc(areas, func(a string) bool { return d.Code == a || strings.HasPrefix(d.Code, a+".") }) {
			out = append(out, d)
		}
	}
	return out
}

func names[T any](list []T, name func(T) string) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = name(x)
	}
	return out
}

func datasetNames(d *sdk.Description) []string {
	return names(d.Datasets, func(s sdk.Dataset) string { return s.Name })
}

func headNames(d *sdk.Description) []string {
	return names(d.Heads, func(h sdk.HeadSpec) string { return h.Name })
}

func head(d *sdk.Description, name string) (sdk.HeadSpec, bool) {
	i := slices.IndexFunc(d.Heads, func(h sdk.HeadSpec) bool { return h.Name == name })
	if i < 0 {
		return sdk.HeadSpec{}, false
	}
	return d.Heads[i], true
}
