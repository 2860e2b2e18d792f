package sdk

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Diagnostic is one problem of some input, with its place and what to do.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Code     string   `json:"code"`             // area.problem
	Summary  string   `json:"summary"`          // one line
	Detail   string   `json:"detail"`           // more lines, or ""
	File     string   `json:"file"`             // or ""
	Line     int      `json:"line"`             // from 1, 0 if none
	Column   int      `json:"column"`           // in characters from 1, 0 if none
	Path     string   `json:"path"`             // place within a document, as heads[1].labels, or ""
	Remedy   string   `json:"remedy"`           // what to do about it, or ""
	Source   string   `json:"source,omitempty"` // whose fault it is: FromPlugin, FromData, FromHost or ""
}

// Severity says how much a diagnostic matters.
type Severity string

// The severities. Only Error makes a run impossible.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Who a diagnostic blames.
const (
	FromPlugin = "plugin"
	FromData   = "data"
	FromHost   = "host"
)

// String gives the diagnostic as a person reads it, without a final newline:
//
//	error[yaml.unknown-key] domain.yaml:7:3: unknown key "lables" in heads[0]
//	    detail, indented
//	    remedy: did you mean "labels"?
func (d Diagnostic) String() string {
	var b strings.Builder
	severity := d.Severity
	if severity == "" {
		severity = Error
	}
	b.WriteString(string(severity))
	if d.Code != "" {
		b.WriteString("[" + d.Code + "]")
	}
	if place := d.Place(); place != "" {
		b.WriteString(" " + place)
	}
	b.WriteString(": " + d.Summary)
	if d.Detail != "" {
		b.WriteString("\n" + indent(d.Detail))
	}
	if d.Remedy != "" {
		b.WriteString("\n" + indent("remedy: "+d.Remedy))
	}
	return b.String()
}

// Place gives file:line:column as far as known; the YAML path stands in where no
// line is known.
func (d Diagnostic) Place() string {
	place := d.File
	if d.Line > 0 {
		place += ":" + strconv.Itoa(d.Line)
		if d.Column > 0 {
			place += ":" + strconv.Itoa(d.Column)
		}
	} else if d.Path != "" {
		if place != "" {
			place += ":"
		}
		place += d.Path
	}
	return place
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}

// Diagnostics is a list of problems. Its zero value is ready for use.
type Diagnostics []Diagnostic

// Add appends to the list. A diagnostic without a severity is an error.
func (ds *Diagnostics) Add(more ...Diagnostic) {
	for _, d := range more {
		if d.Severity == "" {
			d.Severity = Error
		}
		*ds = append(*ds, d)
	}
}

// Errorf appends an error with a code and a summary.
func (ds *Diagnostics) Errorf(code, format string, args ...any) {
	ds.Add(Diagnostic{Severity: Error, Code: code, Summary: fmt.Sprintf(format, args...)})
}

// Warnf appends a warning with a code and a summary.
func (ds *Diagnostics) Warnf(code, format string, args ...any) {
	ds.Add(Diagnostic{Severity: Warning, Code: code, Summary: fmt.Sprintf(format, args...)})
}

// HasErrors reports whether any of the diagnostics is an error.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error || d.Severity == "" })
}

// Sort orders the list by file, line, column and path, and otherwise keeps its
// order.
func (ds Diagnostics) Sort() {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
}

// String gives one diagnostic after the other, each as Diagnostic.String and
// separated by newlines.
func (ds Diagnostics) String() string {
	lines := make([]string, len(ds))
	for i, d := range ds {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// MarshalJSON gives a list, [] for none.
func (ds Diagnostics) MarshalJSON() ([]byte, error) {
	if ds == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]Diagnostic(ds))
}

// Err returns the list as a *DiagnosticsError if it holds an error, else nil.
func (ds Diagnostics) Err() error {
	if !ds.HasErrors() {
		return nil
	}
	return &DiagnosticsError{Diagnostics: ds}
}

// DiagnosticsError carries diagnostics where only an error can be returned. Find
// it with errors.As, or with DiagnosticsOf.
type DiagnosticsError struct {
	Diagnostics Diagnostics
	// Fatal says that the work cannot proceed (a plugin died, a file is missing)
	// rather than that its input has problems: exit code 3 instead of 1.
	Fatal bool
	Cause error // or nil
}

// Error gives the diagnostics as text.
func (e *DiagnosticsError) Error() string { return e.Diagnostics.String() }

// Unwrap returns Cause.
func (e *DiagnosticsError) Unwrap() error { return e.Cause }

// DiagnosticsOf returns the diagnostics that err carries. ok is false for a plain
// error; fatal is DiagnosticsError.Fatal.
func DiagnosticsOf(err error) (ds Diagnostics, fatal, ok bool) {
	var e *DiagnosticsError
	if !errors.As(err, &e) {
		return nil, false, false
	}
	return e.Diagnostics, e.Fatal, true
}
