package share

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/islm-dev/islm/sdk"
)

// Changes of a rule or a file.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// RuleChange is one rule that is not the same in two versions of a pack.
type RuleChange struct {
	Rule   string   `json:"rule"`
	Change string   `json:"change"`
	Fields []string `json:"fields,omitempty"` // keys that differ, tests left out
	// Tests says how many tests the rule had and has.
	TestsBefore  int  `json:"tests_before"`
	TestsAfter   int  `json:"tests_after"`
	TestsChanged bool `json:"tests_changed"`
}

// FileChange is one other file, such as a word list, that is not the same.
type FileChange struct {
	File   string `json:"file"`
	Change string `json:"change"`
}

// Difference is what changed between two versions of a pack.
type Difference struct {
	From  ID           `json:"from"`
	To    ID           `json:"to"`
	Rules []RuleChange `json:"rules"`
	Files []FileChange `json:"files"`
	// Bump is the least step of the version that tells users the truth: major,
	// minor, patch or none.
	Bump string `json:"bump"`
	// Advice is what to do about the version, "" if it is as it should be.
	Advice string `json:"advice,omitempty"`
}

// Diff compares two packs by their rules. Rules are compared by what they say, not
// by how it is written.
func Diff(from, to fs.FS) (*Difference, error) {
	a, err := readPack(from)
	if err != nil {
		return nil, err
	}
	b, err := readPack(to)
	if err != nil {
		return nil, err
	}
	d := &Difference{From: a.id, To: b.id, Rules: []RuleChange{}, Files: []FileChange{}}
	for _, id := range union(a.rules, b.rules) {
		ra, inA := a.rules[id]
		rb, inB := b.rules[id]
		c := RuleChange{Rule: id, Change: Changed, TestsBefore: countTests(ra["tests"]), TestsAfter: countTests(rb["tests"])}
		c.TestsChanged = !reflect.DeepEqual(ra["tests"], rb["tests"])
		switch {
		case !inA:
			c.Change = Added
		case !inB:
			c.Change = Removed
		default:
			for _, key := range union(ra, rb) {
				if key != "tests" && !reflect.DeepEqual(ra[key], rb[key]) {
					c.Fields = append(c.Fields, key)
				}
			}
			if len(c.Fields) == 0 && !c.TestsChanged {
				continue
			}
		}
		d.Rules = append(d.Rules, c)
	}
	for _, f := range union(a.files, b.files) {
		fa, inA := a.files[f]
		fb, inB := b.files[f]
		switch {
		case !inA:
			d.Files = append(d.Files, FileChange{f, Added})
		case !inB:
			d.Files = append(d.Files, FileChange{f, Removed})
		case fa != fb:
			d.Files = append(d.Files, FileChange{f, Changed})
		}
	}
	d.advise()
	return d, nil
}

// advise finds the step that the version has to take. A rule that goes, or that
// does something else to labels, breaks what users rely on; other changes of rules
// change their data, and tests and texts change nothing.
func (d *Difference) advise() {
	steps := []string{"none", "patch", "minor", "major"}
	need := 0
	for _, r := range d.Rules {
		switch {
		case r.Change == Removed || slices.Contains(r.Fields, "labels"):
			need = max(need, 3)
		case r.Change == Added || slices.ContainsFunc(r.Fields, func(f string) bool { return f != "summary" }):
			need = max(need, 2)
		default:
			need = max(need, 1)
		}
	}
	for _, f := range d.Files {
		switch base := strings.ToLower(path.Base(f.File)); {
		case strings.HasSuffix(base, ".md") || strings.HasSuffix(base, ".txt") && !strings.Contains(f.File, "/"):
			need = max(need, 1)
		default: // lists and tables are read by rules
			need = max(need, 2)
		}
	}
	d.Bump = steps[need]
	va, errA := semver.StrictNewVersion(d.From.Version)
	vb, errB := semver.StrictNewVersion(d.To.Version)
	if errA != nil || errB != nil || need == 0 {
		return
	}
	if va.Major() == 0 && need == 3 {
		need = 2 // before 1.0.0 a minor step may break
	}
	var least semver.Version
	switch need {
	case 3:
		least = va.IncMajor()
	case 2:
		least = va.IncMinor()
	default:
		least = va.IncPatch()
	}
	if vb.LessThan(&least) {
		d.Advice = fmt.Sprintf("the changes ask for version %s or higher, it is %s", least.String(), vb)
	}
}

// readablePack is a pack as far as Diff looks at it.
type readablePack struct {
	id    ID
	rules map[string]map[string]any
	files map[string]string // other files and what stands in rule files beside the rules, by digest
}

func readPack(fsys fs.FS) (*readablePack, error) {
	id, err := PackID(fsys)
	if err != nil {
		return nil, err
	}
	p := &readablePack{id: id, rules: map[string]map[string]any{}, files: map[string]string{}}
	names, _, ds, err := list(fsys, Pack)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", id, err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", id, err)
		}
		if ext := path.Ext(name); ext != ".yaml" && ext != ".yml" {
			p.files[name] = Digest(data)
			continue
		}
		ds.Add(p.read(name, data)...)
	}
	return p, ds.Err()
}

// read takes the rules of one YAML file; what else it says counts as a file.
func (p *readablePack) read(name string, data []byte) sdk.Diagnostics {
	doc, ds := sdk.ParseYAML(name, data)
	if doc == nil {
		return ds
	}
	var content map[string]any
	ds.Add(doc.Decode(&content)...)
	if rules, ok := content["rules"].([]any); ok && name != "pack.yaml" {
		for i, r := range rules {
			rule, _ := r.(map[string]any)
			id, _ := rule["id"].(string)
			if id == "" || p.rules[id] != nil {
				d := doc.At(fmt.Sprintf("rules[%d]", i))
				d.Severity, d.Code, d.Summary = sdk.Error, "share.rule", "a rule has no id, or one that is there already"
				ds.Add(d)
				continue
			}
			p.rules[id] = rule
		}
		delete(content, "rules")
	}
	delete(content, "schema")
	if name == "pack.yaml" {
		delete(content, "version")
	}
	if len(content) == 0 {
		return ds
	}
	raw, err := json.Marshal(content) // keys sorted
	if err != nil {
		ds.Add(sdk.Diagnostic{Code: "share.rule", File: name, Summary: "the file cannot be compared: " + err.Error()})
		return ds
	}
	p.files[name] = Digest(raw)
	return ds
}

// countTests counts the texts in a rule's tests, which are lists under keys.
func countTests(tests any) int {
	n := 0
	switch t := tests.(type) {
	case []any:
		n = len(t)
	case map[string]any:
		for _, v := range t {
			n += countTests(v)
		}
	case nil:
	default:
		n = 1
	}
	return n
}

func union[K cmp.Ordered, V any](a, b map[K]V) []K {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}
