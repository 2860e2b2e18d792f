package share

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/islm-dev/islm/sdk"
)

// PolicyFile is the name of a policy file; PolicySchema its schema.
const (
	PolicyFile   = "islm.policy.yaml"
	PolicySchema = "islm/policy.v0"
)

// Policy is islm.policy.yaml: what a consumer accepts from others. Where there is
// one, whatever it does not allow is refused.
type Policy struct {
	Schema string `yaml:"schema" schema:"islm/policy.v0"`
	// Keys may sign. A name that none of them may sign is not accepted, unless it
	// may come unsigned.
	Keys []PolicyKey `yaml:"keys" key:"id"`
	// Unsigned lists patterns of names that may come without any signature.
	Unsigned []string `yaml:"unsigned"`
	// Minimum gives the least version by pattern of names.
	Minimum map[string]string `yaml:"minimum"`

	file string
}

// PolicyKey is one key of a policy.
type PolicyKey struct {
	ID     string   `yaml:"id"`
	Public string   `yaml:"public" required:"true"` // minisign's public key, one word
	Names  []string `yaml:"names"`                  // patterns, as in path.Match: fx-*
	Kinds  []string `yaml:"kinds"`                  // empty for all
	// Revoked is the reason why the key does not count any more, "" while it does.
	Revoked string `yaml:"revoked"`
}

// ParsePolicy reads the text of a policy file strictly. name is for diagnostics.
func ParsePolicy(name string, data []byte) (*Policy, sdk.Diagnostics) {
	p := &Policy{file: name}
	doc, ds := sdk.ParseYAML(name, data)
	if doc == nil {
		return p, ds
	}
	ds.Add(doc.Decode(p)...)
	report := func(at, code, remedy, format string, args ...any) {
		d := doc.At(at)
		d.Severity, d.Code, d.Summary, d.Remedy = sdk.Error, code, fmt.Sprintf(format, args...), remedy
		ds.Add(d)
	}
	pattern := func(at, s string) {
		if _, err := path.Match(s, "x"); err != nil || s == "" || strings.ContainsAny(s, "/ ") {
			report(at, "policy.pattern", "write a name, or one with *, as fx-*", "%q is no pattern of names", s)
		}
	}
	seen := map[string]string{}
	for i, k := range p.Keys {
		at := fmt.Sprintf("keys[%d]", i)
		if k.ID == "" {
			report(at, "policy.key", "write keys as a mapping from a name of yours", "a key has no id")
		}
		if pub, err := parsePublic(k.Public); err != nil && k.Public != "" {
			report(at+".public", "policy.key", "copy the second line of the .pub file", "the public key of %q cannot be read", k.ID)
		} else if err == nil {
			if other, ok := seen[pub.String()]; ok {
				report(at+".public", "policy.key", "keep one of the two", "%q is the same key as %q", k.ID, other)
			}
			seen[pub.String()] = k.ID
		}
		if len(k.Names) == 0 && k.Revoked == "" {
			report(at, "policy.key", `say what it may sign, as names: ["fx-*"]`, "key %q may sign nothing", k.ID)
		}
		for j, n := range k.Names {
			pattern(fmt.Sprintf("%s.names[%d]", at, j), n)
		}
		for j, kind := range k.Kinds {
			if !slices.Contains(Kinds(), Kind(kind)) {
				report(fmt.Sprintf("%s.kinds[%d]", at, j), "policy.kind", "known: pack, graph, vocabulary, plugin", "there is no kind %q", kind)
			}
		}
	}
	for i, n := range p.Unsigned {
		pattern(fmt.Sprintf("unsigned[%d]", i), n)
	}
	for _, n := range slices.Sorted(maps.Keys(p.Minimum)) {
		v := p.Minimum[n]
		pattern("minimum."+n, n)
		if _, err := semver.StrictNewVersion(v); err != nil {
			report("minimum."+n, "policy.version", "write it as 1.2.0", "%q is no semantic version", v)
		}
	}
	ds.Sort()
	return p, ds
}

// FindPolicies reads the policies that hold in a folder: the nearest file in dir
// or one of its parents, and the one in home. Both are asked, so that a project
// cannot weaken what its user demands. None is no error.
func FindPolicies(dir, home string) ([]*Policy, error) {
	var files []string
	for d := dir; d != ""; {
		file := filepath.Join(d, PolicyFile)
		if st, err := os.Lstat(file); err == nil && !st.IsDir() {
			files = append(files, file)
			break
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look for %s: %w", PolicyFile, err)
		}
		parent := filepath.Dir(d)
		if parent == d {
			break
		}
		d = parent
	}
	if home != "" {
		file := filepath.Join(home, PolicyFile)
		if _, err := os.Lstat(file); err == nil && !slices.Contains(files, file) {
			files = append(files, file)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look for %s: %w", PolicyFile, err)
		}
	}
	var all []*Policy
	var ds sdk.Diagnostics
	for _, file := range files {
		p, problems, err := ReadPolicy(file)
		if err != nil {
			return nil, err
		}
		ds.Add(problems...)
		all = append(all, p)
	}
	return all, ds.Err()
}

// ReadPolicy reads a policy file.
func ReadPolicy(file string) (*Policy, sdk.Diagnostics, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, fmt.Errorf("read the policy: %w", err)
	}
	defer f.Close()
	data, err := readAtMost(f, sdk.MaxYAMLBytes+1)
	if err != nil {
		return nil, nil, fmt.Errorf("read the policy: %w", err)
	}
	p, ds := ParsePolicy(file, data)
	return p, ds, nil
}

// File is where the policy was read.
func (p *Policy) File() string { return p.file }

// judge decides on what is known before the content is there. It returns the
// signatures that must also hold over the content.
func (p *Policy) judge(c Content, sigs []Signature) ([]judged, error) {
	var ds sdk.Diagnostics
	report := func(code, remedy, format string, args ...any) {
		ds.Add(sdk.Diagnostic{Code: code, File: p.file, Summary: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	for _, n := range slices.Sorted(maps.Keys(p.Minimum)) {
		v := p.Minimum[n]
		if matches(n, c.Name) && compareVersions(c.Version, v) < 0 {
			report("share.minimum", "take a newer version", "%s is older than %s, which the policy demands", c.ID, v)
		}
	}
	if err := checkStatements(c, sigs); err != nil {
		problems, _, _ := sdk.DiagnosticsOf(err)
		ds.Add(problems...)
	}
	var good []judged
	var why sdk.Diagnostics // counts only if no signature is good
	for _, s := range sigs {
		j, code, problem := p.judgeOne(c, s)
		switch {
		case problem == "":
			good = append(good, j)
		case code == "share.signature": // a forged statement is never overlooked
			report(code, "do not use it; ask the publisher", "%s: %s", c.ID, problem)
		default:
			why.Add(sdk.Diagnostic{Code: code, File: p.file, Summary: fmt.Sprintf("%s: %s", c.ID, problem), Remedy: "if you trust the key for this name, say so in the policy"})
		}
	}
	if len(good) == 0 {
		ds.Add(why...)
		if len(sigs) == 0 && !slices.ContainsFunc(p.Unsigned, func(n string) bool { return matches(n, c.Name) }) {
			report("share.unsigned", "ask the publisher to sign it, or list the name under unsigned", "%s has no signature", c.ID)
		}
	}
	return good, ds.Err()
}

// judgeOne judges one signature; problem is "" if it counts.
func (p *Policy) judgeOne(c Content, s Signature) (j judged, code, problem string) {
	code, problem = "share.key-unknown", fmt.Sprintf("key %s is not in the policy", s.KeyID)
	for _, k := range p.Keys {
		pub, err := parsePublic(k.Public)
		if err != nil || keyID(pub.ID()) != s.KeyID {
			continue
		}
		switch {
		case !s.statedBy(pub):
			return j, "share.signature", fmt.Sprintf("the signature under the name of key %s is not by that key", k.ID)
		case k.Revoked != "":
			return j, "share.key-revoked", fmt.Sprintf("key %s is revoked (%s)", k.ID, k.Revoked)
		case len(k.Kinds) > 0 && !slices.Contains(k.Kinds, string(c.Kind)), !slices.ContainsFunc(k.Names, func(n string) bool { return matches(n, c.Name) }):
			return j, "share.key-name", fmt.Sprintf("key %s may not sign this name", k.ID)
		}
		return judged{Signature: s, key: k, pub: pub}, "", ""
	}
	return j, code, problem
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
