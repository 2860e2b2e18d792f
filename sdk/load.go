package sdk

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// ManifestFile is the name of the manifest at the root of a domain's files.
const ManifestFile = "domain.yaml"

// MaxFileBytes bounds each of a domain's text files.
const MaxFileBytes = 256 << 20

// LoadManifest reads and checks domain.yaml at the root of fsys, finds the files
// that belong to it, and returns every problem at once. The manifest is nil only
// if domain.yaml cannot be read or parsed at all.
func LoadManifest(fsys fs.FS) (*Manifest, Diagnostics) {
	if fsys == nil {
		return nil, Diagnostics{{Severity: Error, Code: "manifest.missing", Summary: "the domain has no files",
			Remedy: "embed domain.yaml and hand it over as sdk.Domain.FS"}}
	}
	data, err := readFile(fsys, ManifestFile)
	if err != nil {
		d := Diagnostic{Severity: Error, Code: "manifest.missing", File: ManifestFile, Summary: "the manifest cannot be read: " + plainError(err)}
		if errors.Is(err, fs.ErrNotExist) {
			d.Summary = "there is no domain.yaml at the root of the domain's files"
			d.Remedy = "put domain.yaml into the list of //go:embed, or start with: islm plugin new NAME"
		}
		return nil, Diagnostics{d}
	}
	doc, ds := ParseYAML(ManifestFile, data)
	if doc == nil {
		return nil, ds
	}
	m := &Manifest{}
	ds.Add(doc.Decode(m)...)
	c := &manifestCheck{m: m, doc: doc, fsys: fsys}
	c.identity()
	c.licences()
	c.options()
	c.files()
	c.datasets()
	c.heads()
	c.graph()
	c.features()
	ds.Add(c.ds...)
	ds.Sort()
	return m, ds
}

// LicenceOf returns the licence that covers the file called name: the entry with
// that path, else one whose glob matches it or whose folder holds it.
func (m *Manifest) LicenceOf(name string) (Licence, bool) {
	for _, l := range m.Licences {
		if l.Data == name {
			return l, true
		}
	}
	for _, l := range m.Licences {
		if covers(l.Data, name) {
			return l, true
		}
	}
	return Licence{}, false
}

// covers reports whether a pattern names a file: by glob, or as a folder above
// it, or as everything with "*" or "**".
func covers(pattern, name string) bool {
	if pattern == "*" || pattern == "**" || pattern == "." {
		return true
	}
	if ok, err := path.Match(pattern, name); err == nil && ok {
		return true
	}
	folder := strings.TrimSuffix(strings.TrimSuffix(pattern, "/**"), "/")
	return strings.HasPrefix(name, folder+"/")
}

// Head returns the head called name.
func (m *Manifest) Head(name string) (HeadSpec, bool) {
	for _, h := range m.Heads {
		if h.Name == name {
			return h, true
		}
	}
	return HeadSpec{}, false
}

// Dataset returns the dataset called name.
func (m *Manifest) Dataset(name string) (Dataset, bool) {
	for _, d := range m.Datasets {
		if d.Name == name {
			return d, true
		}
	}
	return Dataset{}, false
}

// DataFiles returns the files that hold the named split of an embedded dataset,
// or all of its files if split is "".
func (m *Manifest) DataFiles(fsys fs.FS, d Dataset, split string) []string {
	var files []string
	for _, s := range Splits() {
		if split != "" && s != split {
			continue
		}
		for _, format := range dataFormats() {
			name := d.prefix() + "." + s + "." + format
			if (d.Format == "" || d.Format == format) && isFile(fsys, name) {
				files = append(files, name)
				break
			}
		}
	}
	return files
}

func (d Dataset) prefix() string { return cmp.Or(d.Path, "data/"+d.Name) }

func dataFormats() []string { return []string{"jsonl", "conll"} }

// manifestCheck is what LoadManifest checks beyond the shape of the YAML.
type manifestCheck struct {
	m    *Manifest
	doc  *Document
	fsys fs.FS
	ds   Diagnostics
}

func (c *manifestCheck) report(code, at, remedy, format string, args ...any) {
	d := c.doc.At(at)
	d.Code, d.Remedy, d.Summary = code, remedy, fmt.Sprintf(format, args...)
	d.Source = FromPlugin
	c.ds.Add(d)
}

func (c *manifestCheck) warn(code, at, remedy, format string, args ...any) {
	c.report(code, at, remedy, format, args...)
	c.ds[len(c.ds)-1].Severity = Warning
}

var (
	domainName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	simpleName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	spdxText   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+() -]*$`)
)

func (c *manifestCheck) identity() {
	m := c.m
	if m.Name != "" && (!domainName.MatchString(m.Name) || len(m.Name) > 64) {
		c.report("manifest.name", "name", "use lower-case letters, digits and single hyphens, such as energy or oil-gas", "%q is no name for a domain", m.Name)
	}
	if m.Version != "" {
		if _, err := semver.StrictNewVersion(m.Version); err != nil {
			c.report("manifest.version", "version", "write it as MAJOR.MINOR.PATCH, such as 0.1.0", "%q is no semantic version", m.Version)
		}
	}
	if strings.Contains(m.Summary, "\n") {
		c.report("manifest.summary", "summary", "say it in one line", "the summary has several lines")
	}
	if m.Homepage != "" && !strings.HasPrefix(m.Homepage, "https://") && !strings.HasPrefix(m.Homepage, "http://") {
		c.report("manifest.homepage", "homepage", "write a full address, https://…", "%q is no web address", m.Homepage)
	}
}

func (c *manifestCheck) licences() {
	for i, l := range c.m.Licences {
		at := fmt.Sprintf("licences[%d]", i)
		if l.SPDX != "" && !spdxText.MatchString(l.SPDX) {
			c.report("licence.spdx", at+".spdx", "see https://spdx.org/licenses", "%q is no SPDX identifier", l.SPDX)
		}
		if l.Data == "" {
			continue
		}
		if _, err := path.Match(l.Data, ""); err != nil {
			c.report("licence.data", at+".data", "", "%q is no path or pattern", l.Data)
			continue
		}
		if !covers(l.Data, "x") && !c.coversSome(l.Data) {
			c.warn("licence.data", at+".data", "name a file of the domain, or a pattern such as data/*", "%q covers no file", l.Data)
		}
	}
}

func (c *manifestCheck) coversSome(pattern string) bool {
	if matches, err := fs.Glob(c.fsys, pattern); err == nil && len(matches) > 0 {
		return true
	}
	folder := strings.TrimSuffix(strings.TrimSuffix(pattern, "/**"), "/")
	entries, err := fs.ReadDir(c.fsys, folder)
	return err == nil && len(entries) > 0
}

// OptionTypes lists the types that an option can have.
func OptionTypes() []string { return []string{"string", "int", "float", "bool", "enum", "path"} }

func (c *manifestCheck) options() {
	seen := map[string]bool{}
	for i, o := range c.m.Options {
		at := fmt.Sprintf("options[%d]", i)
		if o.Name == "" {
			continue
		}
		if !simpleName.MatchString(o.Name) {
			c.report("option.name", at, "use letters, digits, _ - and .", "%q is no name for an option", o.Name)
		}
		if seen[o.Name] {
			c.report("option.duplicate", at, "", "option %q is declared twice", o.Name)
		}
		seen[o.Name] = true
		if o.Type == "" {
			c.m.Options[i].Type = "string"
		} else if !slices.Contains(OptionTypes(), o.Type) {
			c.report("option.type", at+".type", didYouMean(o.Type, OptionTypes()), "option %q has the unknown type %q", o.Name, o.Type)
			continue
		}
		if o.Type == "enum" && len(o.Values) == 0 {
			c.report("option.values", at, "list them: values: [a, b]", "option %q is an enum without values", o.Name)
		}
		if o.Graph != "" && o.Type != "path" {
			c.report("option.graph", at+".graph", "make it type: path", "option %q has a graph but is no path", o.Name)
		}
		if o.Type != "enum" && len(o.Values) > 0 {
			c.report("option.values", at+".values", "make it type: enum", "option %q has values but is no enum", o.Name)
		}
		if o.Default != "" {
			if why := badOption(c.m.Options[i], o.Default); why != "" {
				c.report("option.default", at+".default", "", "the default of option %q %s", o.Name, why)
			}
			if o.Required {
				c.report("option.default", at+".default", "drop one of the two", "option %q is required and has a default", o.Name)
			}
		}
	}
}

// files expands the patterns of vocab, rules and facts into files.
func (c *manifestCheck) files() {
	for _, f := range []struct {
		key      string
		list     *[]string
		patterns []string
	}{
		{"vocab", &c.m.Vocab, []string{"vocab/*.tsv"}},
		{"rules", &c.m.Rules, []string{"rules/*.yaml", "rules/*.yml"}},
		{"facts", &c.m.Facts, []string{"kg/*.tsv"}},
	} {
		patterns, given := *f.list, true
		if len(patterns) == 0 {
			patterns, given = f.patterns, false
		}
		var found []string
		for i, p := range patterns {
			at := fmt.Sprintf("%s[%d]", f.key, i)
			matches, err := fs.Glob(c.fsys, p)
			if err != nil {
				c.report("manifest.file", at, "", "%q is no path or pattern", p)
				continue
			}
			matches = slices.DeleteFunc(matches, func(name string) bool { return !isFile(c.fsys, name) })
			if given && len(matches) == 0 {
				c.report("manifest.file", at, "paths are relative to domain.yaml; embedded files must be in the list of //go:embed", "%q names no file", p)
			}
			found = append(found, matches...)
		}
		slices.Sort(found)
		*f.list = slices.Compact(found)
	}
}

func (c *manifestCheck) datasets() {
	m := c.m
	seen, claimed := map[string]bool{}, map[string]bool{}
	heads := headNames(m)
	for i := range m.Datasets {
		d := &m.Datasets[i]
		at := fmt.Sprintf("datasets[%d]", i)
		if d.Name == "" {
			c.report("dataset.name", at, "", "the dataset has no name")
			continue
		}
		if !simpleName.MatchString(d.Name) {
			c.report("dataset.name", at, "use letters, digits, _ - and .", "%q is no name for a dataset", d.Name)
		}
		if seen[d.Name] {
			c.report("dataset.duplicate", at, "", "dataset %q is declared twice", d.Name)
		}
		seen[d.Name] = true
		if d.Task != "" && !slices.Contains(heads, d.Task) {
			c.report("dataset.task", at+".task", didYouMean(d.Task, heads), "the task of dataset %q is %q, but there is no such head", d.Name, d.Task)
		}
		for j, h := range d.Heads {
			if !slices.Contains(heads, h) {
				c.report("dataset.head", fmt.Sprintf("%s.heads[%d]", at, j), didYouMean(h, heads), "dataset %q has labels for %q, but there is no such head", d.Name, h)
			}
		}
		if len(d.Heads) == 0 && d.Task != "" {
			d.Heads = []string{d.Task}
		}
		for j, s := range d.Splits {
			if !slices.Contains(Splits(), s) {
				c.report("dataset.split", fmt.Sprintf("%s.splits[%d]", at, j), didYouMean(s, Splits()), "dataset %q has the unknown split %q", d.Name, s)
			}
		}
		if d.Format != "" && !slices.Contains(dataFormats(), d.Format) && d.Hook == "" {
			c.report("dataset.format", at+".format", "a format of its own needs a reader: hook: NAME, and Readers in sdk.Domain", "dataset %q has the unknown format %q", d.Name, d.Format)
			continue
		}
		if d.Hook != "" {
			if len(d.Splits) == 0 {
				d.Splits = []string{"all"}
			}
			continue
		}
		var found []string
		for _, s := range Splits() {
			var files []string
			for _, format := range dataFormats() {
				if name := d.prefix() + "." + s + "." + format; isFile(c.fsys, name) {
					claimed[name] = true
					if d.Format == "" || d.Format == format {
						files = append(files, name)
					}
				}
			}
			if len(files) > 1 {
				c.report("dataset.files", at, "keep one, or say which: format: jsonl", "split %s of dataset %q is there twice: %s", s, d.Name, strings.Join(files, ", "))
			}
			if len(files) > 0 {
				found = append(found, s)
				if d.Format == "" {
					d.Format = strings.TrimPrefix(path.Ext(files[0]), ".")
				}
			}
		}
		if len(found) == 0 {
			c.report("dataset.files", at, fmt.Sprintf("add %s.train.jsonl (or valid, test, all; .conll) and embed it, or name a reader: hook: NAME", d.prefix()), "dataset %q has no files", d.Name)
			continue
		}
		for j, s := range d.Splits {
			if slices.Contains(Splits(), s) && !slices.Contains(found, s) {
				c.report("dataset.split", fmt.Sprintf("%s.splits[%d]", at, j), "", "split %s of dataset %q has no file", s, d.Name)
			}
		}
		if len(d.Splits) == 0 {
			d.Splits = found
		}
		d.Embedded = true
	}
	for _, format := range dataFormats() {
		names, err := fs.Glob(c.fsys, "data/*."+format)
		if err != nil {
			continue
		}
		for _, name := range names {
			if !claimed[name] {
				c.warn("dataset.unlisted", "datasets", "declare it under datasets, or check the name: data/NAME.{train,valid,test,all}.{jsonl,conll}", "%s belongs to no dataset", name)
			}
		}
	}
}

func (c *manifestCheck) heads() {
	m := c.m
	seen := map[string]bool{}
	var datasets []string
	for _, d := range m.Datasets {
		datasets = append(datasets, d.Name)
	}
	for i := range m.Heads {
		at := fmt.Sprintf("heads[%d]", i)
		for _, p := range m.Heads[i].Check() {
			sub := p.Path
			p.Path = ""
			if sub != "" {
				sub = "." + sub
			}
			d := c.doc.At(at + sub)
			d.Severity, d.Code, d.Summary, d.Remedy, d.Source = p.Severity, p.Code, p.Summary, p.Remedy, FromPlugin
			c.ds.Add(d)
		}
		h := m.Heads[i]
		if h.Name != "" && seen[h.Name] {
			c.report("head.duplicate", at+".name", "", "head %q is declared twice", h.Name)
		}
		seen[h.Name] = true
		if h.Dataset != "" && !slices.Contains(datasets, h.Dataset) {
			c.report("head.dataset", at+".dataset", didYouMean(h.Dataset, datasets), "head %q trains on %q, but there is no such dataset", h.Name, h.Dataset)
		}
	}
}

func (c *manifestCheck) features() {
	for _, p := range CheckFeatures(c.m.Features) {
		c.report(p.Code, "features"+p.Path, p.Remedy, "%s", p.Summary)
	}
}

func (c *manifestCheck) graph() {
	for _, f := range []struct {
		key  string
		list []string
	}{{"kg.entities", c.m.KG.Entities}, {"kg.relations", c.m.KG.Relations}} {
		seen := map[string]bool{}
		for i, n := range f.list {
			at := fmt.Sprintf("%s[%d]", f.key, i)
			if seen[n] {
				c.report("kg.duplicate", at, "", "%q is listed twice in %s", n, f.key)
			}
			if strings.TrimSpace(n) == "" {
				c.report("kg.name", at, "", "%s has an empty name", f.key)
			}
			seen[n] = true
		}
	}
}

// Check reports what is wrong with a head: an unknown kind, labels missing or
// given twice, settings of another kind. Paths of the diagnostics are relative to
// the head.
func (h HeadSpec) Check() Diagnostics {
	var ds Diagnostics
	report := func(code, at, remedy, format string, args ...any) {
		ds.Add(Diagnostic{Severity: Error, Code: code, Path: at, Remedy: remedy, Summary: fmt.Sprintf(format, args...)})
	}
	if h.Name != "" && !simpleName.MatchString(h.Name) {
		report("head.name", "name", "use letters, digits, _ - and .", "%q is no name for a head", h.Name)
	}
	if h.Kind == "" {
		return ds
	}
	if !slices.Contains(HeadKinds(), h.Kind) {
		remedy := didYouMean(h.Kind, HeadKinds())
		if !strings.HasPrefix(remedy, "did you mean") {
			remedy = fmt.Sprintf("islm %s knows %s; a newer version may know it", Version, strings.Join(HeadKinds(), ", "))
		}
		report("head.kind", "kind", remedy, "head %q has the unknown kind %q", h.Name, h.Kind)
		return ds
	}
	seen := map[string]bool{}
	for i, l := range h.Labels {
		at := fmt.Sprintf("labels[%d]", i)
		switch {
		case strings.TrimSpace(l) == "":
			report("head.labels", at, "", "head %q has an empty label", h.Name)
		case l != strings.TrimSpace(l):
			report("head.labels", at, "", "label %q of head %q begins or ends with a space", l, h.Name)
		case seen[l]:
			report("head.labels", at, "remove one of the two", "label %q of head %q is listed twice", l, h.Name)
		}
		seen[l] = true
	}
	labelled := h.Kind == KindClassify || h.Kind == KindMultilabel || h.Kind == KindPair || h.Kind == KindTag || h.Kind == KindSpan || h.Kind == KindRelation
	least := 1
	if h.Kind == KindClassify || h.Kind == KindPair || h.Kind == KindRelation {
		least = 2
	}
	if labelled && len(h.Labels) < least {
		report("head.labels", "labels", "list them in the order of the model's outputs: labels: [a, b]", "head %q has %d labels, %s needs at least %d", h.Name, len(h.Labels), h.Kind, least)
	}
	if !labelled && len(h.Labels) > 0 {
		report("head.labels", "labels", "", "head %q has labels, %s takes none", h.Name, h.Kind)
	}
	oneOf := func(key, value string, known ...string) {
		if value != "" && !slices.Contains(known, value) {
			report("head."+key, key, didYouMean(value, known), "head %q has the unknown %s %q", h.Name, key, value)
		}
	}
	oneOf("loss", h.Loss, "ce", "bce", "mse", "mnr", "cosine")
	oneOf("pooling", h.Pooling, "cls", "mean", "max", PoolingUnitMean)
	oneOf("scheme", h.Scheme, "bio", "none", "bilou")
	if h.Kind != KindTag && (h.Scheme != "" || h.CRF) {
		report("head.scheme", "kind", "", "head %q has a scheme or crf, which only %s takes", h.Name, KindTag)
	}
	if h.Kind == KindTag && h.Scheme != "none" {
		for i, l := range h.Labels {
			if l == "O" || strings.HasPrefix(l, "B-") || strings.HasPrefix(l, "I-") {
				report("head.labels", fmt.Sprintf("labels[%d]", i), "list the types alone, such as [PER, ORG], or set scheme: none", "label %q of head %q is a tag, a type is wanted", l, h.Name)
			}
		}
	}
	if n := len(h.ClassWeights); n > 0 && n != len(h.Labels) {
		report("head.class_weights", "class_weights", "", "head %q has %d class weights for %d labels", h.Name, n, len(h.Labels))
	}
	for i, w := range h.ClassWeights {
		if !(w >= 0) || w > 1e6 {
			report("head.class_weights", fmt.Sprintf("class_weights[%d]", i), "", "class weight %v of head %q is out of range", w, h.Name)
		}
	}
	if h.Dropout != nil && !(*h.Dropout >= 0 && *h.Dropout < 1) {
		report("head.dropout", "dropout", "use a number from 0 up to, but not, 1", "dropout %v of head %q is out of range", *h.Dropout, h.Name)
	}
	if !(h.Weight >= 0) || h.Weight > 1e6 {
		report("head.weight", "weight", "", "weight %v of head %q is out of range", h.Weight, h.Name)
	}
	for _, l := range sortedKeys(h.Descriptions) {
		if !slices.Contains(h.Labels, l) {
			report("head.descriptions", "descriptions."+l, didYouMean(l, h.Labels), "head %q describes %q, which is none of its labels", h.Name, l)
		}
	}
	return ds
}

func headNames(m *Manifest) []string {
	names := make([]string, 0, len(m.Heads))
	for _, h := range m.Heads {
		names = append(names, h.Name)
	}
	return names
}

// didYouMean is the remedy for an unknown word: the nearest known one, else all.
func didYouMean(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return ""
	}
	return "known: " + strings.Join(known, ", ")
}

func isFile(fsys fs.FS, name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	info, err := fs.Stat(fsys, name)
	return err == nil && !info.IsDir()
}

// readFile reads a file of the domain within MaxFileBytes.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxFileBytes {
		return nil, fmt.Errorf("%s has %d bytes, the limit is %d", name, info.Size(), MaxFileBytes)
	}
	return fs.ReadFile(fsys, name)
}

// plainError is the cause of a file error, without operation and path.
func plainError(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
