package augment

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/Masterminds/semver/v3"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// PackFile is the file at the root of a pack, PackSchema its schema.
const (
	PackFile   = "pack.yaml"
	PackSchema = "islm/pack.v1"
)

// Limits of a pack. They bound what loading one can cost.
const (
	MaxRules     = 5000
	maxPackFiles = 2000
	maxListBytes = 64 << 20
	maxListRows  = 2_000_000
	maxTextBytes = 1 << 20 // of a test
)

// Manifest is pack.yaml.
type Manifest struct {
	Schema   string   `yaml:"schema" schema:"islm/pack.v1" json:"schema"`
	Name     string   `yaml:"name" required:"true" json:"name"`       // lower-case letters, digits, single hyphens
	Version  string   `yaml:"version" required:"true" json:"version"` // semantic version
	Summary  string   `yaml:"summary" required:"true" json:"summary"`
	Licence  string   `yaml:"licence" required:"true" json:"licence"` // SPDX identifier or expression
	Homepage string   `yaml:"homepage" json:"homepage,omitempty"`
	Authors  []string `yaml:"authors" json:"authors,omitempty"`
	// Sources say where words and facts of the pack come from.
	Sources  []Source            `yaml:"sources" json:"sources,omitempty"`
	Lang     string              `yaml:"lang" json:"lang,omitempty"`         // BCP 47, of texts that say none
	Priority int                 `yaml:"priority" json:"priority,omitempty"` // against other packs
	Requires Requires            `yaml:"requires" json:"requires"`
	Rules    []string            `yaml:"rules" json:"rules,omitempty"` // patterns of files; default rules/*.yaml
	Lists    map[string]ListDecl `yaml:"lists" json:"lists,omitempty"` // default: every lists/*.tsv by its name
}

// Source is where something of a pack comes from.
type Source struct {
	What    string `yaml:"what" required:"true" json:"what"`
	URL     string `yaml:"url" json:"url,omitempty"`
	Licence string `yaml:"licence" json:"licence,omitempty"`
}

// Requires is what a pack needs from outside.
type Requires struct {
	ISLM      string     `yaml:"islm" json:"islm,omitempty"`           // versions of islm, as ">=0.1.0"
	Graph     edit.Names `yaml:"graph" json:"graph,omitempty"`         // entity types of a knowledge graph
	Thesaurus bool       `yaml:"thesaurus" json:"thesaurus,omitempty"` // WordNet or another
}

// ListDecl is a word list of a pack: a file with one row a line, its forms
// separated by tabs. Empty lines and lines that begin with # do not count.
type ListDecl struct {
	File string `yaml:"file" required:"true" json:"file"`
	Fold *bool  `yaml:"fold" json:"fold,omitempty"` // entries are found in any case; default true
}

// Pack is a loaded pack.
type Pack struct {
	Manifest Manifest
	Rules    []*CompiledRule // in the order of the files' names and within them
	Lists    map[string]*edit.List
	Digest   string // sha256 over the files' names and contents

	bad       bool // loading found errors
	kinds     []edit.Kind
	graph     GraphSpec // for tests
	thesaurus map[string]edit.Names
}

// CompiledRule is a rule that has been checked.
type CompiledRule struct {
	Rule
	File   string
	Line   int
	Digest string // identifies what the rule does, see Rule
	Kind   string
	Action edit.Action

	doc   *sdk.Document
	path  string // rules[3]
	match []alternative
	where *condition
	needs edit.Needs
	lists map[string]*edit.List
}

// Options of Load.
type LoadOptions struct {
	// Kinds are the kinds that rules can have; nil means those of package kind.
	Kinds []edit.Kind
	// Prefix stands before the file names in diagnostics.
	Prefix string
}

// LoadDir loads the pack in a folder.
func LoadDir(dir string, opt LoadOptions) (*Pack, sdk.Diagnostics) {
	if opt.Prefix == "" {
		opt.Prefix = dir
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		why := "it is no folder"
		if err != nil {
			why = plainError(err)
		}
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "pack.read", File: dir, Summary: "the pack cannot be read: " + why,
			Remedy: "a pack is a folder with pack.yaml at its root; islm rules new NAME writes one"}}
	}
	return Load(os.DirFS(dir), opt)
}

// Load reads, decodes and checks a pack: its manifest, lists and rules. It
// reports everything that is wrong at once. The pack is nil when there is no
// usable manifest; otherwise it holds the rules that are in order, and an engine
// can be made of it when there was no error.
func Load(fsys fs.FS, opt LoadOptions) (*Pack, sdk.Diagnostics) {
	l := &loader{fsys: fsys, prefix: opt.Prefix, kinds: opt.Kinds}
	l.useKinds()
	data, err := l.read(PackFile, sdk.MaxYAMLBytes)
	if err != nil {
		l.add(sdk.Diagnostic{Code: "pack.read", File: l.name(PackFile), Summary: "the pack's manifest cannot be read: " + plainError(err),
			Remedy: "a pack has pack.yaml at its root; islm rules new NAME writes one"})
		return nil, l.ds
	}
	doc, ds := sdk.ParseYAML(l.name(PackFile), data)
	l.ds.Add(ds...)
	if doc == nil {
		return nil, l.ds
	}
	p := &Pack{Lists: map[string]*edit.List{}}
	l.ds.Add(doc.Decode(&p.Manifest)...)
	l.pack = p
	l.manifest(doc)
	p.Digest = l.digest()
	l.loadLists(doc)
	l.loadRules(l.ruleFiles(doc))
	return l.finish()
}

// LoadFiles makes a pack called name of loose rule files: those of a domain that
// are no pack of their own. TSV files among them are lists.
func LoadFiles(name, version string, files []sdk.RuleFile, opt LoadOptions) (*Pack, sdk.Diagnostics) {
	l := &loader{fsys: fileSet(files), prefix: opt.Prefix, kinds: opt.Kinds}
	l.useKinds()
	p := &Pack{Manifest: Manifest{Schema: PackSchema, Name: name, Version: version, Summary: "rules of the domain " + name}, Lists: map[string]*edit.List{}}
	l.pack = p
	h := sha256.New()
	var rules []string
	for _, f := range files {
		fmt.Fprintf(h, "%s  %s\n", f.SHA256, f.Path)
		switch path.Ext(f.Path) {
		case ".yaml", ".yml":
			rules = append(rules, f.Path)
		case ".tsv", ".txt":
			l.list(strings.TrimSuffix(path.Base(f.Path), path.Ext(f.Path)), f.Path, true, nil, "")
		}
	}
	p.Digest = hex.EncodeToString(h.Sum(nil))
	l.loadRules(rules)
	return l.finish()
}

// FromPlugin sorts the rule files that a plugin serves into packs: its own rules,
// as a pack with the plugin's name, and the packs it brings along.
func FromPlugin(name, version string, files []sdk.RuleFile, opt LoadOptions) ([]*Pack, sdk.Diagnostics) {
	roots := map[string][]sdk.RuleFile{}
	for _, f := range files {
		if dir, base := path.Split(f.Path); base == PackFile && dir != "" && strings.Count(dir, "/") == 1 {
			roots[strings.TrimSuffix(dir, "/")] = nil
		}
	}
	var own []sdk.RuleFile
	for _, f := range files {
		root, rest, _ := strings.Cut(f.Path, "/")
		if _, ok := roots[root]; ok {
			f.Path = rest
			roots[root] = append(roots[root], f)
			continue
		}
		own = append(own, f)
	}
	var packs []*Pack
	var ds sdk.Diagnostics
	if len(own) > 0 {
		p, more := LoadFiles(name, version, own, opt)
		packs = append(packs, p)
		ds.Add(more...)
	}
	for _, root := range slices.Sorted(maps.Keys(roots)) {
		o := opt
		o.Prefix = path.Join(opt.Prefix, root)
		p, more := Load(fileSet(roots[root]), o)
		ds.Add(more...)
		if p != nil {
			packs = append(packs, p)
		}
	}
	return packs, ds
}

// loader is one loading.
type loader struct {
	fsys   fs.FS
	prefix string
	kinds  []edit.Kind
	pack   *Pack
	ds     sdk.Diagnostics
	ids    map[string]string // rule ID -> where
}

func (l *loader) add(d sdk.Diagnostic) { l.ds.Add(d) }

func (l *loader) name(file string) string {
	if l.prefix == "" {
		return file
	}
	return strings.TrimSuffix(l.prefix, "/") + "/" + file
}

func (l *loader) finish() (*Pack, sdk.Diagnostics) {
	l.ds.Sort()
	l.pack.bad, l.pack.kinds = l.ds.HasErrors(), l.kinds
	return l.pack, l.ds
}

// read reads a file of at most limit bytes.
func (l *loader) read(name string, limit int) ([]byte, error) {
	info, err := fs.Stat(l.fsys, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > int64(limit) {
		return nil, fmt.Errorf("it has %d bytes, the limit is %d", info.Size(), limit)
	}
	return fs.ReadFile(l.fsys, name)
}

var (
	packName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	ruleID   = regexp.MustCompile(`^[a-z][a-z0-9]*([-.][a-z0-9]+)*$`)
	listName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)
	spdx     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+() -]*$`)
)

func (l *loader) manifest(doc *sdk.Document) {
	m, r := &l.pack.Manifest, reporter{doc, &l.ds}
	if m.Name != "" && (!packName.MatchString(m.Name) || len(m.Name) > 64) {
		r.report("pack.name", "name", "use lower-case letters, digits and single hyphens, such as finance-core", "%q is no name for a pack", m.Name)
	}
	if m.Version != "" {
		if _, err := semver.StrictNewVersion(m.Version); err != nil {
			r.report("pack.version", "version", "write it as MAJOR.MINOR.PATCH, such as 0.1.0", "%q is no semantic version", m.Version)
		}
	}
	if m.Licence != "" && !spdx.MatchString(m.Licence) {
		r.report("pack.licence", "licence", "see https://spdx.org/licenses", "%q is no SPDX identifier", m.Licence)
	}
	if strings.Contains(m.Summary, "\n") {
		r.report("pack.summary", "summary", "say it in one line", "the summary has several lines")
	}
	if m.Requires.ISLM != "" {
		want, err := semver.NewConstraint(m.Requires.ISLM)
		have, err2 := semver.NewVersion(strings.TrimSuffix(sdk.Version, "-dev"))
		switch {
		case err != nil:
			r.report("pack.requires", "requires.islm", "write it as \">=0.1.0\"", "%q is no range of versions", m.Requires.ISLM)
		case err2 == nil && !want.Check(have):
			r.report("pack.requires", "requires.islm", "use a newer islm", "the pack wants islm %s, this is %s", m.Requires.ISLM, sdk.Version)
		}
	}
}

// digest is the sha256 over the names and contents of the pack's files.
func (l *loader) digest() string {
	h := sha256.New()
	n := 0
	err := fs.WalkDir(l.fsys, ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if n++; n > maxPackFiles {
			return fmt.Errorf("more than %d files", maxPackFiles)
		}
		data, err := l.read(p, maxListBytes)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		sum := sha256.Sum256(data)
		fmt.Fprintf(h, "%x  %s\n", sum, p)
		return nil
	})
	if err != nil {
		l.add(sdk.Diagnostic{Code: "pack.read", File: l.name("."), Summary: "the pack's files cannot be read: " + plainError(err)})
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (l *loader) loadLists(doc *sdk.Document) {
	m := &l.pack.Manifest
	if m.Lists == nil {
		files, err := fs.Glob(l.fsys, "lists/*.tsv")
		if err != nil {
			return
		}
		for _, f := range files {
			l.list(strings.TrimSuffix(path.Base(f), ".tsv"), f, true, doc, "")
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(m.Lists)) {
		d := m.Lists[name]
		l.list(name, d.File, d.Fold == nil || *d.Fold, doc, "lists."+name)
	}
}

// list reads one list file.
func (l *loader) list(name, file string, fold bool, doc *sdk.Document, at string) {
	fail := func(line int, summary, remedy string) {
		d := sdk.Diagnostic{Code: "pack.list", File: l.name(file), Line: line, Summary: summary, Remedy: remedy}
		if line == 0 && doc != nil && at != "" {
			d = doc.At(at)
			d.Code, d.Summary, d.Remedy = "pack.list", summary, remedy
		}
		l.add(d)
	}
	if !listName.MatchString(name) {
		fail(0, fmt.Sprintf("%q is no name for a list", name), "use letters, digits, - and _")
		return
	}
	if !fs.ValidPath(file) {
		fail(0, fmt.Sprintf("%q is no path within the pack", file), "paths are relative to pack.yaml")
		return
	}
	data, err := l.read(file, maxListBytes)
	if err != nil {
		fail(0, fmt.Sprintf("the list %q cannot be read: %s", file, plainError(err)), "")
		return
	}
	if !utf8.Valid(data) {
		fail(0, fmt.Sprintf("the list %q is not valid UTF-8", file), "save it as UTF-8")
		return
	}
	list := &edit.List{Name: name, Fold: fold}
	n := 0
	for line := range strings.SplitSeq(strings.TrimPrefix(string(data), "\ufeff"), "\n") {
		n++
		line = strings.TrimRight(line, "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var row []string
		for f := range strings.SplitSeq(line, "\t") {
			if f = strings.TrimSpace(f); f != "" {
				row = append(row, f)
			}
		}
		list.Rows = append(list.Rows, row)
		if len(list.Rows) > maxListRows {
			fail(n, fmt.Sprintf("the list has more than %d rows", maxListRows), "split it")
			return
		}
	}
	if len(list.Rows) == 0 {
		fail(0, fmt.Sprintf("the list %q is empty", file), "write one entry a line")
		return
	}
	if l.pack.Lists[name] != nil {
		fail(0, fmt.Sprintf("there are two lists called %q", name), "rename one")
		return
	}
	l.pack.Lists[name] = list
}

func (l *loader) ruleFiles(doc *sdk.Document) []string {
	m := &l.pack.Manifest
	patterns, given := m.Rules, true
	if len(patterns) == 0 {
		patterns, given = []string{"rules/*.yaml", "rules/*.yml"}, false
	}
	var found []string
	for i, p := range patterns {
		matches, err := fs.Glob(l.fsys, p)
		if err == nil && len(matches) > 0 {
			found = append(found, matches...)
			continue
		}
		if given {
			reporter{doc, &l.ds}.report("pack.rules", fmt.Sprintf("rules[%d]", i), "paths are relative to pack.yaml", "%q names no file", p)
		}
	}
	if len(found) == 0 && !given {
		reporter{doc, &l.ds}.report("pack.rules", "", "write rules/NAME.yaml with schema: islm/rules.v1", "the pack has no rules")
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// loadRules decodes and compiles files of rules. Lists of a file are known in
// the whole pack.
func (l *loader) loadRules(files []string) {
	l.ids = map[string]string{}
	type decoded struct {
		doc  *sdk.Document
		name string
		file ruleFile
	}
	var all []decoded
	for _, name := range files {
		data, err := l.read(name, sdk.MaxYAMLBytes)
		if err != nil {
			l.add(sdk.Diagnostic{Code: "rules.read", File: l.name(name), Summary: "the file cannot be read: " + plainError(err)})
			continue
		}
		doc, ds := sdk.ParseYAML(l.name(name), data)
		l.ds.Add(ds...)
		if doc == nil {
			continue
		}
		d := decoded{doc: doc, name: l.name(name)}
		l.ds.Add(doc.Decode(&d.file)...)
		r := reporter{doc, &l.ds}
		for _, n := range slices.Sorted(maps.Keys(d.file.Lists)) {
			at := "lists." + n
			if !listName.MatchString(n) {
				r.report("rules.list", at, "use letters, digits, - and _", "%q is no name for a list", n)
				continue
			}
			if l.pack.Lists[n] != nil {
				r.report("rules.list", at, "rename one", "there are two lists called %q", n)
				continue
			}
			list := &edit.List{Name: n, Fold: true}
			for i, row := range d.file.Lists[n] {
				row = slices.DeleteFunc(slices.Clone(row), func(f string) bool { return strings.TrimSpace(f) == "" })
				if len(row) == 0 {
					r.report("rules.list", fmt.Sprintf("%s[%d]", at, i), "", "the row is empty")
					continue
				}
				list.Rows = append(list.Rows, row)
			}
			if len(list.Rows) == 0 {
				r.report("rules.list", at, "", "list %q is empty", n)
				continue
			}
			l.pack.Lists[n] = list
		}
		l.fixtures(r, &d.file)
		all = append(all, d)
	}
	n := 0
	for _, d := range all {
		for i := range d.file.Rules {
			if n++; n > MaxRules {
				l.add(sdk.Diagnostic{Code: "rules.limit", File: d.name, Summary: fmt.Sprintf("the pack has more than %d rules", MaxRules), Remedy: "make several packs of it"})
				return
			}
			if c := l.compile(d.doc, d.name, fmt.Sprintf("rules[%d]", i), d.file.Rules[i]); c != nil {
				l.pack.Rules = append(l.pack.Rules, c)
			}
		}
	}
}

// fixtures adds what stands in for graph and thesaurus in tests.
func (l *loader) fixtures(r reporter, f *ruleFile) {
	if f.Graph != nil {
		l.pack.graph.Entities = append(l.pack.graph.Entities, f.Graph.Entities...)
		for i, fact := range f.Graph.Facts {
			if len(fact) != 3 {
				r.report("rules.graph", fmt.Sprintf("graph.facts[%d]", i), "write [subject, relation, object]", "a fact has three parts, this one has %d", len(fact))
				continue
			}
			l.pack.graph.Facts = append(l.pack.graph.Facts, fact)
		}
	}
	for word, synonyms := range f.Thesaurus {
		if l.pack.thesaurus == nil {
			l.pack.thesaurus = map[string]edit.Names{}
		}
		l.pack.thesaurus[word] = synonyms
	}
}

// Rule returns the rule of an ID, or nil.
func (p *Pack) Rule(id string) *CompiledRule {
	for _, r := range p.Rules {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// Needs is what the rules of the pack need from outside, together.
func (p *Pack) Needs() edit.Needs {
	var n edit.Needs
	for _, r := range p.Rules {
		n.Graph, n.Thesaurus, n.Coder = n.Graph || r.needs.Graph, n.Thesaurus || r.needs.Thesaurus, n.Coder || r.needs.Coder
		for _, t := range r.needs.Types {
			if !slices.Contains(n.Types, t) {
				n.Types = append(n.Types, t)
			}
		}
	}
	return n
}

// String is name@version.
func (p *Pack) String() string { return p.Manifest.Name + "@" + cmp.Or(p.Manifest.Version, "0") }

func plainError(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
