package corpus

import (
	"fmt"

	"github.com/islm-dev/islm/sdk"
)

// How many diagnostics of one code are kept for one file; the rest is counted.
const (
	maxErrors   = 20
	maxWarnings = 5
)

// problems collects diagnostics and bounds their number.
type problems struct {
	check  bool // as many warnings as errors
	ds     sdk.Diagnostics
	more   map[problemKey]int
	order  []problemKey
	errors int // of all, also those that were only counted
}

type problemKey struct {
	severity   sdk.Severity
	code, file string
}

// add keeps d, or counts it when there are many like it.
func (p *problems) add(d sdk.Diagnostic) {
	if d.Severity == "" {
		d.Severity = sdk.Error
	}
	if d.Source == "" {
		d.Source = sdk.FromData
	}
	key := problemKey{d.Severity, d.Code, d.File}
	if p.more == nil {
		p.more = map[problemKey]int{}
	}
	if d.Severity == sdk.Error {
		p.errors++
	}
	n := p.more[key]
	p.more[key] = n + 1
	if n == 0 {
		p.order = append(p.order, key)
	}
	if n < p.limit(d.Severity) {
		p.ds.Add(d)
	}
}

// full reports whether a stream has shown so many errors that it is not read on.
func (p *problems) full() bool { return p.errors >= maxErrors }

func (p *problems) limit(s sdk.Severity) int {
	if s == sdk.Error || p.check {
		return maxErrors
	}
	return maxWarnings
}

func (p *problems) errorf(code, file string, line int, format string, args ...any) {
	p.add(sdk.Diagnostic{Severity: sdk.Error, Code: code, File: file, Line: line, Summary: fmt.Sprintf(format, args...)})
}

func (p *problems) notice(code, file, format string, args ...any) {
	p.add(sdk.Diagnostic{Severity: sdk.Info, Code: code, File: file, Summary: fmt.Sprintf(format, args...)})
}

// diagnostics returns what was collected, with a count for what was not.
func (p *problems) diagnostics() sdk.Diagnostics {
	ds := append(sdk.Diagnostics(nil), p.ds...)
	for _, key := range p.order {
		if n := p.more[key] - p.limit(key.severity); n > 0 {
			ds.Add(sdk.Diagnostic{Severity: key.severity, Code: key.code, File: key.file, Source: sdk.FromData,
				Summary: fmt.Sprintf("and %d more of this kind", n)})
		}
	}
	return ds
}

// plural writes a count with its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// clip shortens a text for a message.
func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
