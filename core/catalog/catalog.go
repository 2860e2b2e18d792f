package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Places a plugin was found in.
const (
	FromDev     = "dev"     // --dev: not locked
	FromProject = "project" // the lock in a parent folder
	FromHome    = "home"    // ISLM_HOME
	FromBundle  = "bundled" // beside the executable
)

// SearchPath says where plugins are looked for.
type SearchPath struct {
	Dev     []string // binaries or source folders
	Work    string   // where the search for the project's lock begins, upwards; "" for no project
	Home    string   // ISLM_HOME
	Bundled string   // bin/plugins, "" for none
}

// DefaultPath is the search path of a command that runs in the current folder.
func DefaultPath(home string) (SearchPath, error) {
	work, err := os.Getwd()
	if err != nil {
		return SearchPath{}, fmt.Errorf("find the current folder: %w", err)
	}
	p := SearchPath{Work: work, Home: home}
	exe, err := os.Executable()
	if err != nil {
		return p, nil //nolint:nilerr // no bundled plugins, then
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	bin := filepath.Dir(exe)
	if filepath.Base(bin) == "libexec" { // bin/libexec/islm-torch
		bin = filepath.Dir(bin)
	}
	p.Bundled = filepath.Join(bin, "plugins")
	return p, nil
}

// Catalog knows the plugins of one search path.
type Catalog struct {
	path   SearchPath
	dev    []Entry
	places []place
}

// place is a lock with the folders that hold what it locks.
type place struct {
	kind    string
	file    string // lock file
	lock    *Lock
	folders []string
}

// Entry is one plugin that can be launched.
type Entry struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Path    string `json:"path"`             // of the binary
	SHA256  string `json:"sha256"`           // as locked; of the binary itself where Place is FromDev
	Size    int64  `json:"size"`             // bytes
	Source  string `json:"source,omitempty"` // what it was installed from
	Place   string `json:"place"`
	Lock    string `json:"lock,omitempty"` // lock file, "" where Place is FromDev
}

// Dev reports whether the plugin runs without a lock, which the provenance of a
// run has to say.
func (e Entry) Dev() bool { return e.Place == FromDev }

// Open reads the locks of a search path and prepares its --dev plugins (source
// folders are built). Locks that cannot be read are diagnostics, in the error.
func Open(ctx context.Context, path SearchPath) (*Catalog, error) {
	c := &Catalog{path: path}
	installed := c.installed()
	var diags sdk.Diagnostics
	add := func(kind, file string, folders ...string) error {
		if slices.ContainsFunc(c.places, func(p place) bool { return p.file == file }) {
			return nil
		}
		l, ds, err := ReadLock(file)
		if err != nil {
			return err
		}
		diags.Add(ds...)
		c.places = append(c.places, place{kind: kind, file: file, lock: l, folders: folders})
		return nil
	}
	if file := nearestLock(path.Work); file != "" && file != c.homeLock() && filepath.Dir(file) != path.Bundled {
		dir := filepath.Dir(file)
		folders := []string{filepath.Join(dir, vendorFolder, "plugins"), dir, filepath.Join(dir, "plugins"), installed}
		if path.Bundled != "" {
			folders = append(folders, path.Bundled)
		}
		if err := add(FromProject, file, folders...); err != nil {
			return nil, err
		}
	}
	if err := add(FromHome, c.homeLock(), installed); err != nil {
		return nil, err
	}
	if path.Bundled != "" {
		if err := add(FromBundle, filepath.Join(path.Bundled, LockFile), path.Bundled); err != nil {
			return nil, err
		}
	}
	if err := diags.Err(); err != nil {
		return nil, err
	}
	for _, src := range path.Dev {
		e, err := c.openDev(ctx, src)
		if err != nil {
			return nil, err
		}
		c.dev = append(c.dev, e)
	}
	return c, nil
}

// Find returns the plugin of that name, its binary compared with the lock.
func (c *Catalog) Find(name string) (Entry, error) {
	for _, e := range c.dev {
		if e.Name == name {
			return e, nil
		}
	}
	for _, p := range c.places {
		if pin, ok := p.lock.Plugin(name); ok {
			return p.verify(pin)
		}
	}
	for _, p := range c.places {
		for _, dir := range p.folders {
			if file := filepath.Join(dir, binaryName(name)); isFile(file) {
				return Entry{}, problem(sdk.Diagnostic{Code: "plugin.unlocked", Summary: fmt.Sprintf("plugin %s is there but not locked", name), File: file,
					Detail: "A plugin runs only if islm.lock.yaml names the sha256 of its binary.", Remedy: fmt.Sprintf("if you trust it: islm plugin install %s", file)})
			}
		}
	}
	return Entry{}, c.unknown(name)
}

// List returns every plugin that Find would find, sorted by name, and the
// problems of those that it would not give.
func (c *Catalog) List() ([]Entry, sdk.Diagnostics) {
	var entries []Entry
	var diags sdk.Diagnostics
	for _, name := range c.names(true) {
		e, err := c.Find(name)
		if ds, _, ok := sdk.DiagnosticsOf(err); ok {
			diags.Add(ds...)
		} else if err != nil {
			diags.Errorf("plugin.unreadable", "plugin %s: %v", name, err)
		} else {
			entries = append(entries, e)
		}
	}
	return entries, diags
}

// Describe runs the `describe` command of a plugin, without RPC. src is whatever
// Prepare takes. Errors in the plugin's own files are part of the description.
func (c *Catalog) Describe(ctx context.Context, src string) (*sdk.Description, error) {
	binary, cleanup, err := c.Prepare(ctx, src)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	return describe(ctx, binary)
}

func (c *Catalog) installed() string { return filepath.Join(c.path.Home, "plugins") }
func (c *Catalog) homeLock() string  { return filepath.Join(c.path.Home, LockFile) }

// verify finds the binary that a pin stands for among the folders of its place.
func (p place) verify(pin Pin) (Entry, error) {
	changed := ""
	for _, dir := range p.folders {
		file := filepath.Join(dir, binaryName(pin.Name))
		sum, size, err := digest(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Entry{}, fmt.Errorf("verify plugin %s: %w", pin.Name, err)
		}
		if sum == pin.SHA256 {
			return Entry{Name: pin.Name, Version: pin.Version, Path: file, SHA256: sum, Size: size, Source: pin.Source, Place: p.kind, Lock: p.file}, nil
		}
		if changed == "" {
			changed = fmt.Sprintf("%s has sha256 %s", file, sum)
		}
	}
	again := "islm plugin install SOURCE"
	if strings.Contains(pin.Source, "@sha256:") { // pulled from a registry
		again = "islm rules pull " + pin.Source
	} else if pin.Source != "" && pin.Source != bundledSource {
		again = "islm plugin install " + pin.Source
	} else if p.kind == FromBundle {
		again = "make build"
	}
	if changed != "" {
		return Entry{}, problem(sdk.Diagnostic{Code: "plugin.checksum", Summary: fmt.Sprintf("plugin %s is not the binary that was locked", pin.Name), File: p.file,
			Detail: fmt.Sprintf("locked: sha256 %s\n%s", pin.SHA256, changed), Remedy: "if the change is yours, lock it anew: " + again, Source: sdk.FromHost})
	}
	return Entry{}, problem(sdk.Diagnostic{Code: "plugin.missing", Summary: fmt.Sprintf("plugin %s %s is locked, but its binary is not here", pin.Name, pin.Version), File: p.file,
		Detail: fmt.Sprintf("%s was looked for in %s", binaryName(pin.Name), strings.Join(p.folders, ", ")), Remedy: again})
}

func (c *Catalog) unknown(name string) error {
	names := c.names(false)
	d := sdk.Diagnostic{Code: "plugin.unknown", Summary: fmt.Sprintf("no plugin %q", name), Detail: "There are no plugins here.",
		Remedy: "install one: islm plugin install FOLDER|BINARY; or write one: islm plugin new NAME"}
	if len(names) > 0 {
		d.Detail = "There are: " + strings.Join(names, ", ")
	}
	if near := sdk.Nearest(name, names); near != "" {
		d.Remedy = fmt.Sprintf("did you mean %q?", near)
	}
	return problem(d)
}

// names lists the locked plugins, on demand with the unlocked ones that lie about.
func (c *Catalog) names(unlocked bool) []string {
	var names []string
	for _, e := range c.dev {
		names = append(names, e.Name)
	}
	for _, p := range c.places {
		for _, pin := range p.lock.Plugins {
			names = append(names, pin.Name)
		}
		if !unlocked {
			continue
		}
		for _, dir := range p.folders {
			for name := range binaries(dir) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

const (
	binaryPrefix = "islm-plugin-"
	vendorFolder = "islm_vendor" // 'islm rules vendor' puts copies of a project's plugins there
)

func binaryName(name string) string {
	if runtime.GOOS == "windows" {
		return binaryPrefix + name + ".exe"
	}
	return binaryPrefix + name
}

// nameOf is the plugin name in a binary's file name, or "".
func nameOf(file string) string {
	name, ok := strings.CutPrefix(strings.TrimSuffix(filepath.Base(file), ".exe"), binaryPrefix)
	if !ok || !pluginName.MatchString(name) {
		return ""
	}
	return name
}

// binaries yields the plugins that lie in a folder, by name.
func binaries(dir string) map[string]string {
	found := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil { // a folder that is not there holds nothing
		return found
	}
	for _, e := range entries {
		if name := nameOf(e.Name()); name != "" && binaryName(name) == e.Name() && !e.IsDir() {
			found[name] = filepath.Join(dir, e.Name())
		}
	}
	return found
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// problem is one diagnostic as an error: there is no plugin to go on with.
func problem(d sdk.Diagnostic) error {
	d.Severity = sdk.Error
	return &sdk.DiagnosticsError{Diagnostics: sdk.Diagnostics{d}, Fatal: true}
}
