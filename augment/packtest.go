package augment

import (
	"encoding/xml"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// Tests that every rule must have.
const (
	MinFires  = 2
	MinSilent = 2
	MinLabels = 1
)

// draws is how often a case is varied to see all its outcomes.
const draws = 64

// TestOptions say what Test runs.
type TestOptions struct {
	Resources edit.Resources // those of the rule files stand in for what is nil
	Rules     []string       // IDs; nil means all
	// NoMutants leaves out the mutation check.
	NoMutants bool
}

// TestReport is the result of a pack's tests.
type TestReport struct {
	Pack    string          `json:"pack"`
	Version string          `json:"version"`
	Rules   int             `json:"rules"`
	Results []TestResult    `json:"results"`
	Mutants int             `json:"mutants"` // weakened rules that were tried
	Missing sdk.Diagnostics `json:"missing"` // tests that are not there
	Seconds float64         `json:"seconds"`
}

// TestResult is the result of one case, or of one mutant that lived.
type TestResult struct {
	Rule    string  `json:"rule"`
	Name    string  `json:"name"` // fires[0], mutant "where without lang == \"en\""
	File    string  `json:"file"`
	Line    int     `json:"line"`
	Column  int     `json:"column"`
	Failure string  `json:"failure,omitempty"` // "" if it passed
	Detail  string  `json:"detail,omitempty"`
	Skipped string  `json:"skipped,omitempty"` // why it did not run
	Seconds float64 `json:"seconds"`
}

// OK reports whether everything passed and nothing is missing.
func (r *TestReport) OK() bool { return !r.Diagnostics().HasErrors() }

// Failed counts the failures.
func (r *TestReport) Failed() int {
	n := 0
	for _, t := range r.Results {
		if t.Failure != "" {
			n++
		}
	}
	return n
}

// Diagnostics are the failures and what is missing.
func (r *TestReport) Diagnostics() sdk.Diagnostics {
	ds := slices.Clone(r.Missing)
	for _, t := range r.Results {
		if t.Failure == "" {
			continue
		}
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "rules.test", File: t.File, Line: t.Line, Column: t.Column, Detail: t.Detail,
			Summary: fmt.Sprintf("rule %s, %s: %s", t.Rule, t.Name, t.Failure)}
		if strings.HasPrefix(t.Name, "mutant") {
			d.Code, d.Remedy = "rules.mutant", "add a test that shows what this part of the rule is for, or take the part out"
		}
		ds.Add(d)
	}
	ds.Sort()
	return ds
}

// CheckTests reports the tests that rules lack.
func (p *Pack) CheckTests() sdk.Diagnostics {
	var ds sdk.Diagnostics
	for _, r := range p.Rules {
		lack := func(have, want int, what, remedy string) {
			if have < want {
				d := r.doc.At(r.path + ".tests")
				d.Code, d.Remedy = "rules.tests", remedy
				d.Summary = fmt.Sprintf("rule %q has %d of %d tests %s", r.ID, have, want, what)
				ds.Add(d)
			}
		}
		if t := r.Tests; len(t.Fires)+len(t.Silent)+len(t.Labels) == 0 {
			d := r.doc.At(r.path)
			d.Code, d.Summary = "rules.tests", fmt.Sprintf("rule %q has no tests", r.ID)
			d.Remedy = fmt.Sprintf("tests: {fires: [%d texts or more with what becomes of them], silent: [%d], labels: [%d]}; 'islm rules new' writes a pack that shows how", MinFires, MinSilent, MinLabels)
			ds.Add(d)
			continue
		}
		lack(len(r.Tests.Fires), MinFires, "in which it fires", "fires: [{in: TEXT, out: [OUTCOME, …]}, …]")
		if _, trained := r.Action.(edit.Trained); !trained || r.Where != "" { // without a condition it acts on every text
			lack(len(r.Tests.Silent), MinSilent, "in which it must not", "silent: [TEXT, …]")
		}
		lack(len(r.Tests.Labels), MinLabels, "that show labels", "labels: [{in: TEXT, labels: {HEAD: LABEL}, out: […], out_labels: {HEAD: LABEL}}]")
	}
	return ds
}

// Test runs the tests of a pack, and then, unless told otherwise, the mutation
// check: every rule that passes is weakened in each way that Mutants lists, and
// some test must fail each time.
func (p *Pack) Test(opt TestOptions) *TestReport {
	start := time.Now()
	rep := &TestReport{Pack: p.Manifest.Name, Version: p.Manifest.Version, Missing: p.CheckTests()}
	resources := p.TestResources(opt.Resources)
	for _, r := range p.Rules {
		if opt.Rules != nil && !slices.Contains(opt.Rules, r.ID) {
			continue
		}
		rep.Rules++
		if what := missing(r.needs, resources); what != "" {
			rep.Results = append(rep.Results, TestResult{Rule: r.ID, Name: "all", File: r.File, Line: r.Line, Skipped: "needs " + what})
			continue
		}
		e := p.engineOf(r, resources)
		passed := true
		for c := range r.cases() {
			t := time.Now()
			res := TestResult{Rule: r.ID, Name: c.name, File: r.File}
			at := r.doc.At(r.path + ".tests." + c.name)
			res.Line, res.Column = at.Line, at.Column
			res.Failure, res.Detail = c.run(e)
			res.Seconds = time.Since(t).Seconds()
			passed = passed && res.Failure == ""
			rep.Results = append(rep.Results, res)
		}
		if opt.NoMutants || !passed {
			continue
		}
		for _, m := range r.mutants() {
			t := time.Now()
			l := &loader{pack: p, kinds: p.kinds, ids: map[string]string{}}
			weak := l.compile(r.doc, r.File, r.path, m.rule)
			if weak == nil {
				continue // not a rule any more
			}
			rep.Mutants++
			res := TestResult{Rule: r.ID, Name: "mutant", File: r.File}
			at := r.doc.At(r.path + "." + m.at)
			res.Line, res.Column = at.Line, at.Column
			if !fails(p.engineOf(weak, resources), r) {
				res.Failure = "all tests pass " + m.what
				res.Seconds = time.Since(t).Seconds()
				rep.Results = append(rep.Results, res)
			}
		}
	}
	rep.Seconds = time.Since(start).Seconds()
	return rep
}

func fails(e *Engine, r *CompiledRule) bool {
	for c := range r.cases() {
		if why, _ := c.run(e); why != "" {
			return true
		}
	}
	return false
}

// engineOf makes an engine of one rule.
func (p *Pack) engineOf(r *CompiledRule, resources edit.Resources) *Engine {
	one := *p
	one.Rules, one.bad = []*CompiledRule{r}, false
	_, votes := r.Action.(edit.Voter)
	e, _ := NewEngine([]*Pack{&one}, Options{Seed: 1, Resources: resources, Certain: true, Bare: true, Votes: votes})
	return e
}

// testCase is a case with its part of the rule.
type testCase struct {
	name    string // fires[1]
	silent  bool
	labels  bool
	trained bool // the rule acts in the trainer
	TestCase
}

func (r *CompiledRule) cases() func(yield func(testCase) bool) {
	_, trained := r.Action.(edit.Trained)
	return func(yield func(testCase) bool) {
		for i, c := range r.Tests.Fires {
			if !yield(testCase{fmt.Sprintf("fires[%d]", i), false, false, trained, c}) {
				return
			}
		}
		for i, c := range r.Tests.Silent {
			if !yield(testCase{fmt.Sprintf("silent[%d]", i), true, false, trained, c}) {
				return
			}
		}
		for i, c := range r.Tests.Labels {
			if !yield(testCase{fmt.Sprintf("labels[%d]", i), false, true, trained, c}) {
				return
			}
		}
	}
}

func (c *TestCase) head() string {
	if c.Head == "" {
		return "entities"
	}
	return c.Head
}

// Example is the example that a case is about.
func (c *TestCase) Example() sdk.Example {
	text, spans := parseMarks(c.In)
	ex := sdk.Example{ID: "test", Text: text, TextB: c.TextB, Meta: c.Meta, Labels: map[string]sdk.Label{}}
	for h, v := range c.Labels {
		ex.Labels[h] = sdk.Label{Values: v}
	}
	for h, n := range c.Numbers {
		ex.Labels[h] = sdk.Label{Number: &n}
	}
	if c.Tokens {
		ex.Tokens = edit.Words(text)
		ex.Labels[c.head()] = sdk.Label{Tags: edit.MarkTags(ex.Tokens, spans)}
	} else if len(spans) > 0 {
		ex.Labels[c.head()] = sdk.Label{Spans: spans}
	}
	return ex
}

// show writes an example as a case's out does.
func (c *TestCase) show(ex *sdk.Example) string {
	l := ex.Labels[c.head()]
	spans := l.Spans
	if l.Tags != nil {
		spans = edit.TagSpans(ex.Tokens, l.Tags)
	}
	return writeMarks(ex.Text, spans)
}

// run says why a case fails, "" if it passes.
func (c *testCase) run(e *Engine) (failure, detail string) {
	ex := c.Example()
	if ds := ex.Check(); ds.HasErrors() {
		return "the example is not valid", ds.String()
	}
	if len(c.In) > maxTextBytes {
		return "the text is too long", ""
	}
	var got []string
	n := draws
	if c.Seed != nil {
		n = 1
	}
	for i := range n {
		d := Draw{Copy: i}
		if c.Seed != nil {
			d = Draw{Epoch: int(*c.Seed)}
		}
		out := e.outcome(&ex, d)
		if out == &ex && len(e.Trained(&ex, d)) == 0 {
			continue
		}
		if ds := out.Check(); ds.HasErrors() {
			return "the outcome is not valid", ds.String()
		}
		if text := c.show(out); !slices.Contains(got, text) {
			got = append(got, text)
		}
		if why := c.wrongLabels(out); why != "" && !c.silent {
			return why, ""
		}
	}
	slices.Sort(got)
	if c.silent {
		if len(got) > 0 {
			return "the rule fires", list("it gives", got)
		}
		return "", ""
	}
	if len(got) == 0 {
		_, events := e.Explain(&ex, Draw{})
		var why []string
		for _, ev := range events {
			why = append(why, strings.TrimSuffix(string(ev.Outcome)+": "+ev.Why, ": "))
		}
		return "the rule does not fire", strings.Join(why, "\n")
	}
	if c.labels && c.OutLabels == nil && c.OutNumbers == nil && !strings.Contains(c.In, "](") && !marked(c.Out) {
		return "the case shows no labels", "give labels and out_labels, or marks [surface](LABEL)"
	}
	if c.trained && c.Like == "" && c.Out == nil {
		return "", "" // the trainer changes no text
	}
	return c.compare(got)
}

func marked(texts []string) bool {
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, "](") })
}

func (c *testCase) compare(got []string) (failure, detail string) {
	switch {
	case c.Like != "" && c.Out != nil:
		return "the case has both out and like", ""
	case c.Like != "":
		re, err := regexp.Compile(`^(?s:` + c.Like + `)$`)
		if err != nil {
			return "like is no regular expression", err.Error()
		}
		for _, g := range got {
			if !re.MatchString(g) {
				return "an outcome is not like the one wanted", list("it gives", []string{g}) + "\n" + list("wanted", []string{c.Like})
			}
		}
		return "", ""
	case c.Out == nil:
		return "the case says neither out nor like", list("the outcomes are", got)
	}
	var want []string
	for _, o := range c.Out {
		text, spans := parseMarks(o)
		want = append(want, writeMarks(text, spans))
	}
	slices.Sort(want)
	want = slices.Compact(want)
	if slices.Equal(got, want) {
		return "", ""
	}
	var extra, absent []string
	for _, g := range got {
		if !slices.Contains(want, g) {
			extra = append(extra, g)
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			absent = append(absent, w)
		}
	}
	var parts []string
	if len(extra) > 0 {
		parts = append(parts, list("it also gives", extra))
	}
	if len(absent) > 0 {
		parts = append(parts, list("it never gives", absent))
	}
	return "the outcomes differ", strings.Join(parts, "\n")
}

// wrongLabels compares the labels of an outcome with those wanted.
func (c *testCase) wrongLabels(out *sdk.Example) string {
	if c.OutLabels != nil {
		have := map[string]string{}
		for h, l := range out.Labels {
			if l.Values != nil {
				have[h] = strings.Join(l.Values, ", ")
			}
		}
		want := map[string]string{}
		for h, v := range c.OutLabels {
			want[h] = strings.Join(v, ", ")
		}
		if !maps.Equal(have, want) {
			return fmt.Sprintf("the labels are %s, not %s", showMap(have), showMap(want))
		}
	}
	if c.OutNumbers != nil {
		have := map[string]string{}
		for h, l := range out.Labels {
			if l.Number != nil {
				have[h] = numberText(*l.Number)
			}
		}
		want := map[string]string{}
		for h, v := range c.OutNumbers {
			want[h] = numberText(v)
		}
		if !maps.Equal(have, want) {
			return fmt.Sprintf("the numbers are %s, not %s", showMap(have), showMap(want))
		}
	}
	return ""
}

func showMap(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+": "+m[k])
	}
	return "{" + strings.Join(parts, "; ") + "}"
}

// list shows outcomes, not all of many.
func list(title string, texts []string) string {
	const most = 8
	var b strings.Builder
	b.WriteString(title + ":")
	for i, t := range texts {
		if i == most {
			fmt.Fprintf(&b, "\n  … and %d more", len(texts)-most)
			break
		}
		b.WriteString("\n  " + t)
	}
	return b.String()
}

// JUnit gives the report as JUnit XML, one suite per rule.
func (r *TestReport) JUnit() ([]byte, error) {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type skipped struct {
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Time    string   `xml:"time,attr"`
		Failure *failure `xml:"failure"`
		Skipped *skipped `xml:"skipped"`
	}
	type suite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Time     string     `xml:"time,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	s := suite{Name: r.Pack + "@" + r.Version, Time: fmt.Sprintf("%.3f", r.Seconds)}
	for _, t := range r.Results {
		c := testcase{Name: t.Name, Class: r.Pack + "." + t.Rule, Time: fmt.Sprintf("%.3f", t.Seconds)}
		if t.Failure != "" {
			c.Failure = &failure{Message: t.Failure, Text: fmt.Sprintf("%s:%d\n%s", t.File, t.Line, t.Detail)}
			s.Failures++
		}
		if t.Skipped != "" {
			c.Skipped = &skipped{t.Skipped}
		}
		s.Cases = append(s.Cases, c)
	}
	for _, d := range r.Missing {
		s.Cases = append(s.Cases, testcase{Name: d.Summary, Class: r.Pack, Time: "0", Failure: &failure{Message: d.Summary, Text: d.String()}})
		s.Failures++
	}
	s.Tests = len(s.Cases)
	raw, err := xml.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write JUnit XML: %w", err)
	}
	return append([]byte(xml.Header), append(raw, '\n')...), nil
}
