package sdk

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Content is a domain with its files read: what a plugin serves.
type Content struct {
	Manifest *Manifest
	Terms    []Term
	Entities []Entity
	Facts    []Fact
	Rules    []RuleFile
	Digest   string // sha256 of all files, hexadecimal
	Domain   Domain
}

// Load reads all files of a domain but its datasets and checks them against each
// other and against the hooks. The content is complete as far as the files could
// be read, and never nil; with errors among the diagnostics it is fit for
// describing the domain, not for training.
func Load(d Domain) (*Content, Diagnostics) {
	c := &Content{Domain: d}
	m, ds := LoadManifest(d.FS)
	if m == nil {
		c.Manifest = &Manifest{}
		return c, ds
	}
	c.Manifest = m
	var problems Diagnostics
	var places []place
	c.Terms, places, problems = loadTerms(d.FS, m)
	ds.Add(problems...)
	c.Entities, c.Facts, problems = LoadFacts(d.FS, m, d.Facts != nil)
	ds.Add(problems...)
	c.Rules, problems = LoadRules(d, m)
	ds.Add(problems...)
	ds.Add(c.checkHooks()...)
	ds.Add(c.checkEntities(places)...)
	digest, err := c.digest()
	if err != nil {
		ds.Add(Diagnostic{Code: "manifest.read", Summary: "the domain's files cannot be read: " + plainError(err), Source: FromPlugin})
	}
	c.Digest = digest
	ds.Sort()
	return c, ds
}

// Description returns what the domain says about itself; problems become part of
// it.
func (c *Content) Description(problems Diagnostics) *Description {
	m := c.Manifest
	d := &Description{
		Name: m.Name, Version: m.Version, SDKVersion: Version, ProtocolMinor: ProtocolMinor,
		Summary: m.Summary, Homepage: m.Homepage, Licences: m.Licences, Options: m.Options,
		Datasets: m.Datasets, Heads: m.Heads,
		Readers: sortedKeys(c.Domain.Readers), Augmenters: sortedKeys(c.Domain.Augmenters),
		KG: m.KG, Features: m.Features, Vocab: m.Vocab, Facts: m.Facts, Advice: m.Advice, Digest: c.Digest, Diagnostics: problems,
	}
	for _, r := range c.Rules {
		d.Rules = append(d.Rules, RuleFile{Path: r.Path, SHA256: r.SHA256})
	}
	return d
}

// LoadRules reads the rule files of a manifest that LoadManifest returned, then
// all files of the domain's packs, whose paths begin with the pack's name. It
// checks that they are YAML, where they claim to be, and that rules of kind
// code.v0 name an augmenter of the domain.
func LoadRules(d Domain, m *Manifest) ([]RuleFile, Diagnostics) {
	var ds Diagnostics
	var files []RuleFile
	for _, name := range m.Rules {
		data, err := readFile(d.FS, name)
		if err != nil {
			ds.Add(Diagnostic{Code: "rules.read", File: name, Summary: "the file cannot be read: " + plainError(err), Source: FromPlugin})
			continue
		}
		files = append(files, ruleFile(name, data))
		ds.Add(checkRules(name, data, d.Augmenters)...)
	}
	seen := map[string]bool{}
	for i, pack := range d.Packs {
		name, problems := packName(pack, i)
		ds.Add(problems...)
		if seen[name] {
			ds.Add(Diagnostic{Code: "rules.pack", File: name, Summary: fmt.Sprintf("two packs are called %q", name), Source: FromPlugin})
			continue
		}
		seen[name] = true
		err := fs.WalkDir(pack, ".", func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			data, err := readFile(pack, p)
			if err != nil {
				return err
			}
			files = append(files, ruleFile(name+"/"+p, data))
			if p != "pack.yaml" {
				ds.Add(checkRules(name+"/"+p, data, d.Augmenters)...)
			}
			return nil
		})
		if err != nil {
			ds.Add(Diagnostic{Code: "rules.read", File: name, Summary: "the pack cannot be read: " + plainError(err), Source: FromPlugin})
		}
	}
	return files, ds
}

func ruleFile(name string, data []byte) RuleFile {
	sum := sha256.Sum256(data)
	return RuleFile{Path: name, Data: data, SHA256: hex.EncodeToString(sum[:])}
}

// packName reads the name of a pack from its pack.yaml.
func packName(pack fs.FS, i int) (string, Diagnostics) {
	fallback := fmt.Sprintf("pack%d", i)
	data, err := readFile(pack, "pack.yaml")
	if err != nil {
		return fallback, Diagnostics{{Severity: Error, Code: "rules.pack", File: fallback, Source: FromPlugin,
			Summary: "the pack has no readable pack.yaml at its root: " + plainError(err), Remedy: "use fs.Sub to hand over the folder that holds pack.yaml"}}
	}
	doc, ds := ParseYAML(fallback+"/pack.yaml", data)
	if doc == nil {
		return fallback, ds
	}
	var content map[string]any
	ds = doc.Decode(&content)
	if name, ok := content["name"].(string); ok && domainName.MatchString(name) {
		return name, ds
	}
	at := doc.At("name")
	at.Code, at.Summary, at.Source = "rules.pack", "pack.yaml gives no usable name", FromPlugin
	at.Remedy = "name: lower-case letters, digits and hyphens"
	ds.Add(at)
	return fallback, ds
}

// checkRules checks the outline of a rule file; package augment knows the rest.
func checkRules(name string, data []byte, augmenters map[string]Augmenter) Diagnostics {
	if ext := path.Ext(name); ext != ".yaml" && ext != ".yml" {
		return nil
	}
	doc, ds := ParseYAML(name, data)
	if doc == nil {
		return ds
	}
	var content map[string]any
	if ds = doc.Decode(&content); ds.HasErrors() {
		return ds
	}
	rules, ok := content["rules"].([]any)
	if !ok {
		return ds
	}
	for i, r := range rules {
		rule, _ := r.(map[string]any)
		do, ok := rule["do"].(map[string]any)
		if kind := rule["do"]; kind == "code.v0" {
			do, ok = map[string]any{"kind": kind}, true
		}
		if !ok || do["kind"] != "code.v0" {
			continue
		}
		f, ok := do["func"].(string)
		if _, known := augmenters[f]; ok && known {
			continue
		}
		d := doc.At(fmt.Sprintf("rules[%d].do.func", i))
		d.Code, d.Source = "rules.func", FromPlugin
		if !ok || f == "" {
			d.Summary = "a rule of kind code.v0 needs func: the name of an augmenter"
		} else {
			d.Summary = fmt.Sprintf("the domain has no augmenter called %q", f)
			d.Remedy = didYouMean(f, sortedKeys(augmenters))
			if d.Remedy == "" {
				d.Remedy = "add it to Augmenters in sdk.Domain"
			}
		}
		ds.Add(d)
	}
	return ds
}

// checkHooks checks that hooks and manifest name each other.
func (c *Content) checkHooks() Diagnostics {
	var ds Diagnostics
	at := func(string) Diagnostic { return Diagnostic{File: ManifestFile} }
	if data, err := readFile(c.Domain.FS, ManifestFile); err == nil {
		if doc, _ := ParseYAML(ManifestFile, data); doc != nil {
			at = doc.At
		}
	}
	report := func(severity Severity, code, path, remedy, format string, args ...any) {
		d := at(path)
		d.Severity, d.Code, d.Path, d.Remedy, d.Source = severity, code, path, remedy, FromPlugin
		d.Summary = fmt.Sprintf(format, args...)
		ds.Add(d)
	}
	used := map[string]bool{}
	readers := sortedKeys(c.Domain.Readers)
	for i, d := range c.Manifest.Datasets {
		if d.Hook == "" {
			continue
		}
		used[d.Hook] = true
		if !slices.Contains(readers, d.Hook) {
			remedy := didYouMean(d.Hook, readers)
			if remedy == "" {
				remedy = "add it to Readers in sdk.Domain"
			}
			report(Error, "dataset.hook", fmt.Sprintf("datasets[%d].hook", i), remedy, "dataset %q is read by %q, but the domain has no such reader", d.Name, d.Hook)
		}
	}
	for _, r := range readers {
		if c.Domain.Readers[r] == nil {
			report(Error, "hook.nil", "", "", "reader %q is nil", r)
		}
		if !used[r] {
			report(Warning, "hook.unused", "datasets", "declare one: NAME: {hook: "+r+"}", "no dataset names the reader %q", r)
		}
	}
	for _, a := range sortedKeys(c.Domain.Augmenters) {
		if c.Domain.Augmenters[a] == nil {
			report(Error, "hook.nil", "", "", "augmenter %q is nil", a)
		}
	}
	return ds
}

// checkEntities checks that the terms of the files, which stand at places, name
// entities that exist.
func (c *Content) checkEntities(places []place) Diagnostics {
	var ds Diagnostics
	if c.Domain.Facts != nil {
		return ds // the hook may add them
	}
	ids := map[string]bool{}
	for _, e := range c.Entities {
		ids[e.ID] = true
	}
	known := sortedKeys(ids)
	for i, t := range c.Terms {
		if t.EntityID == "" || ids[t.EntityID] {
			continue
		}
		remedy := "add it to the entities"
		if near := Nearest(t.EntityID, known); near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near)
		}
		reporter{places[i].file, &ds}.at(places[i].line, "vocab.entity", remedy, "term %q names the entity %q, which is not there", t.Text, t.EntityID)
	}
	return ds
}

// digest hashes the names and contents of all files that belong to the domain.
func (c *Content) digest() (string, error) {
	m := c.Manifest
	names := []string{ManifestFile}
	names = append(append(names, m.Vocab...), m.Facts...)
	for _, d := range m.Datasets {
		if d.Embedded {
			names = append(names, m.DataFiles(c.Domain.FS, d, "")...)
		}
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range slices.Compact(names) {
		sum, err := fileSum(c.Domain.FS, name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s  %s\n", sum, name)
	}
	for _, r := range c.Rules {
		fmt.Fprintf(h, "%s  rules:%s\n", r.SHA256, r.Path)
	}
	hooks := []string{"readers=" + strings.Join(sortedKeys(c.Domain.Readers), ","), "augmenters=" + strings.Join(sortedKeys(c.Domain.Augmenters), ",")}
	fmt.Fprintf(h, "%s terms=%t facts=%t\n", strings.Join(hooks, " "), c.Domain.Terms != nil, c.Domain.Facts != nil)
	return hex.EncodeToString(h.Sum(nil)), nil
}

func fileSum(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		_ = f.Close()
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
