package sdktest

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/islm-dev/islm/sdk"
)

// Status is the outcome of a check.
type Status string

// The outcomes.
const (
	Passed  Status = "pass"
	Failed  Status = "fail"
	Skipped Status = "skip" // by the person, or for lack of occasion
)

// Result is the outcome of one check.
type Result struct {
	ID          string          `json:"id"`
	Purpose     string          `json:"purpose"`
	Status      Status          `json:"status"`
	Reason      string          `json:"reason,omitempty"` // why it was skipped
	Diagnostics sdk.Diagnostics `json:"diagnostics,omitempty"`
	Seconds     float64         `json:"seconds"`
}

// Report is the outcome of all checks of one plugin.
type Report struct {
	Plugin  string    `json:"plugin"`           // its name, "" if it never said
	Version string    `json:"version"`          // its version
	Binary  string    `json:"binary,omitempty"` // path of the program
	SDK     string    `json:"sdk_version"`      // of this kit
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Results []Result  `json:"results"`
}

// Count returns how many checks ended so.
func (r *Report) Count(s Status) int {
	n := 0
	for _, x := range r.Results {
		if x.Status == s {
			n++
		}
	}
	return n
}

// OK reports whether no check failed.
func (r *Report) OK() bool { return r.Count(Failed) == 0 }

// Diagnostics returns the findings of all failed checks.
func (r *Report) Diagnostics() sdk.Diagnostics {
	var ds sdk.Diagnostics
	for _, x := range r.Results {
		for _, d := range x.Diagnostics {
			if d.Code != x.ID {
				d.Summary = x.ID + ": " + d.Summary
			}
			ds.Add(d)
		}
	}
	return ds
}

// String gives the report as people read it: a line for each check, findings
// below it, and a sum.
func (r *Report) String() string {
	var b strings.Builder
	for _, x := range r.Results {
		fmt.Fprintf(&b, "%-4s  %-32s", x.Status, x.ID)
		if x.Status == Skipped {
			fmt.Fprintf(&b, "(%s)", x.Reason)
		} else {
			b.WriteString(x.Purpose)
		}
		b.WriteByte('\n')
		for _, d := range x.Diagnostics {
			b.WriteString("      " + strings.ReplaceAll(d.String(), "\n", "\n      ") + "\n")
		}
	}
	name := strings.TrimSpace(r.Plugin + " " + r.Version)
	if name == "" {
		name = "the plugin"
	}
	fmt.Fprintf(&b, "%s: %d passed, %d failed, %d skipped, in %.1f s\n", name, r.Count(Passed), r.Count(Failed), r.Count(Skipped), r.Seconds)
	return b.String()
}

// JUnit gives the report as JUnit XML.
func (r *Report) JUnit() ([]byte, error) {
	type message struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Time    string   `xml:"time,attr"`
		Failure *message `xml:"failure,omitempty"`
		Skipped *message `xml:"skipped,omitempty"`
	}
	type suite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Time     string     `xml:"time,attr"`
		Stamp    string     `xml:"timestamp,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	seconds := func(s float64) string { return fmt.Sprintf("%.3f", s) }
	s := suite{Name: "islm plugin check " + r.Plugin, Tests: len(r.Results), Failures: r.Count(Failed), Skipped: r.Count(Skipped),
		Time: seconds(r.Seconds), Stamp: r.Started.UTC().Format("2006-01-02T15:04:05")}
	for _, x := range r.Results {
		c := testcase{Class: r.Plugin, Name: x.ID, Time: seconds(x.Seconds)}
		switch x.Status {
		case Failed:
			c.Failure = &message{Message: printable(x.Diagnostics[0].Summary), Text: printable(x.Diagnostics.String())}
		case Skipped:
			c.Skipped = &message{Message: printable(x.Reason)}
		}
		s.Cases = append(s.Cases, c)
	}
	out, err := xml.MarshalIndent(struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []suite
	}{Suites: []suite{s}}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write JUnit XML: %w", err)
	}
	return append([]byte(xml.Header), append(out, '\n')...), nil
}

// printable drops what XML cannot hold.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}
