package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// bundledSource is the source of plugins that come with islm.
const bundledSource = "bundled"

// InstallOptions are the choices of an installation.
type InstallOptions struct {
	// Project makes islm.lock.yaml in the working folder if no folder above has
	// one. A project's lock that exists is always updated.
	Project bool
	// Source is what locks name as the place that the plugin came from; "" is the
	// path given to Install.
	Source string
	// Version is the one that the binary has to say of itself; "" for any.
	Version string
}

// Install takes a plugin from a source folder (a Go package main, built here) or
// from a binary, runs its `describe` once, copies the binary to
// ISLM_HOME/plugins and records its sha256 in ISLM_HOME's lock and in the
// project's. Nothing changes if the plugin cannot be built, cannot describe itself
// or reports errors in its own files; these are in the error. The diagnostics are
// warnings of the plugin.
func (c *Catalog) Install(ctx context.Context, src string, opts InstallOptions) (Entry, sdk.Diagnostics, error) {
	p, err := c.prepare(ctx, src)
	if err != nil {
		return Entry{}, nil, err
	}
	defer p.cleanup()
	desc, err := describe(ctx, p.binary)
	if err != nil {
		return Entry{}, nil, err
	}
	if err := accept(desc, p.name, src); err != nil {
		return Entry{}, nil, err
	}
	if opts.Version != "" && desc.Version != opts.Version {
		return Entry{}, nil, problem(sdk.Diagnostic{Code: "plugin.version", Summary: fmt.Sprintf("plugin %s was shared as version %s, its binary says %s", desc.Name, opts.Version, desc.Version), File: src,
			Remedy: "ask whoever published it to pack the binary under its own version", Source: sdk.FromHost})
	}
	if err := os.MkdirAll(c.installed(), 0o755); err != nil {
		return Entry{}, nil, fmt.Errorf("install plugin %s: %w", desc.Name, err)
	}
	target := filepath.Join(c.installed(), binaryName(desc.Name))
	if err := copyBinary(p.binary, target); err != nil {
		return Entry{}, nil, fmt.Errorf("install plugin %s: %w", desc.Name, err)
	}
	sum, size, err := digest(target)
	if err != nil {
		return Entry{}, nil, fmt.Errorf("install plugin %s: %w", desc.Name, err)
	}
	abs, err := filepath.Abs(src)
	if err != nil {
		return Entry{}, nil, fmt.Errorf("install plugin %s: %w", desc.Name, err)
	}
	pin := Pin{Name: desc.Name, Version: desc.Version, SHA256: sum, Size: size, Source: abs}
	if abs == target { // what lies there already is to be locked
		pin.Source = ""
	}
	if opts.Source != "" && pin.Source != "" {
		pin.Source = opts.Source
	}
	entry := Entry{Name: pin.Name, Version: pin.Version, Path: target, SHA256: sum, Size: size, Source: abs, Place: FromHome, Lock: c.homeLock()}
	if err := c.record(FromHome, c.homeLock(), pin); err != nil {
		return Entry{}, nil, err
	}
	project := nearestLock(c.path.Work)
	if project == c.homeLock() || c.path.Bundled != "" && filepath.Dir(project) == c.path.Bundled {
		project = ""
	}
	if project == "" && opts.Project {
		project = filepath.Join(c.path.Work, LockFile)
	}
	if project != "" {
		if pin.Source = relativeTo(filepath.Dir(project), abs); opts.Source != "" {
			pin.Source = opts.Source
		}
		if err := c.record(FromProject, project, pin); err != nil {
			return Entry{}, nil, err
		}
		entry.Place, entry.Lock = FromProject, project
	}
	return entry, desc.Diagnostics, nil
}

// LockDir locks the plugins that lie in a folder, as `make build` does for those
// that come with islm: each describes itself, and islm.lock.yaml in the folder is
// written anew. It returns what was locked.
func (c *Catalog) LockDir(ctx context.Context, dir string) ([]Entry, error) {
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, problem(sdk.Diagnostic{Code: "plugin.missing", Summary: fmt.Sprintf("folder %s does not exist", dir), Remedy: "name the folder that holds islm-plugin-NAME"})
	}
	found := binaries(dir)
	var entries []Entry
	var pins []Pin
	for _, name := range slices.Sorted(maps.Keys(found)) {
		desc, err := describe(ctx, found[name])
		if err != nil {
			return nil, err
		}
		if err := accept(desc, name, found[name]); err != nil {
			return nil, err
		}
		sum, size, err := digest(found[name])
		if err != nil {
			return nil, fmt.Errorf("lock plugin %s: %w", name, err)
		}
		pin := Pin{Name: name, Version: desc.Version, SHA256: sum, Size: size, Source: bundledSource}
		pins = append(pins, pin)
		entries = append(entries, Entry{Name: name, Version: pin.Version, Path: found[name], SHA256: sum, Size: size, Source: pin.Source, Place: FromBundle, Lock: filepath.Join(dir, LockFile)})
	}
	err := UpdateLock(c.path.Home, filepath.Join(dir, LockFile), func(l *Lock) { l.Plugins = pins })
	return entries, err
}

// record writes a pin to a lock file and to what this catalog knows of it.
func (c *Catalog) record(kind, file string, pin Pin) error {
	var written *Lock
	if err := UpdateLock(c.path.Home, file, func(l *Lock) {
		l.SetPlugin(pin)
		written = l
	}); err != nil {
		return err
	}
	for i := range c.places {
		if c.places[i].file == file {
			c.places[i].lock = written
			return nil
		}
	}
	dir := filepath.Dir(file)
	c.places = slices.Insert(c.places, 0, place{kind: kind, file: file, lock: written, folders: []string{dir, filepath.Join(dir, "plugins"), c.installed()}})
	return nil
}

// Prepare returns a binary to look at: of a source folder, built for the occasion
// under its proper name; a binary as it is; or of a plugin that Find knows. An
// existing path wins over a name. cleanup removes what was built.
func (c *Catalog) Prepare(ctx context.Context, src string) (binary string, cleanup func(), err error) {
	if _, statErr := os.Stat(src); statErr != nil && pluginName.MatchString(src) {
		e, err := c.Find(src)
		return e.Path, func() {}, err
	}
	p, err := c.prepare(ctx, src)
	if err != nil || !p.built {
		return p.binary, p.cleanup, err
	}
	// A plugin that cannot say its name keeps the folder's: what is wrong with it
	// is for the caller to find.
	name := strings.TrimPrefix(filepath.Base(src), binaryPrefix)
	if desc, err := describe(ctx, p.binary); err == nil && pluginName.MatchString(desc.Name) {
		name = desc.Name
	}
	named := filepath.Join(filepath.Dir(p.binary), binaryName(name))
	if err := os.Rename(p.binary, named); err != nil {
		p.cleanup()
		return "", nil, fmt.Errorf("build plugin %s: %w", src, err)
	}
	return named, p.cleanup, nil
}

// prepared is the binary of a source.
type prepared struct {
	binary  string
	name    string // what the file name promises, "" if nothing
	built   bool
	cleanup func() // removes what was built
}

// prepare finds the binary of a source, or builds it if the source is a folder.
func (c *Catalog) prepare(ctx context.Context, src string) (prepared, error) {
	st, err := os.Stat(src)
	if err != nil {
		return prepared{}, problem(sdk.Diagnostic{Code: "plugin.missing", Summary: fmt.Sprintf("there is no %s", src), Remedy: "name a plugin's source folder or its binary"})
	}
	if !st.IsDir() {
		if !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0 {
			return prepared{}, problem(sdk.Diagnostic{Code: "plugin.binary", Summary: "this is not a program", File: src, Remedy: "name a plugin's source folder or its binary; if it is the binary: chmod +x " + src})
		}
		abs, err := filepath.Abs(src)
		if err != nil {
			return prepared{}, fmt.Errorf("plugin %s: %w", src, err)
		}
		return prepared{binary: abs, name: nameOf(src), cleanup: func() {}}, nil
	}
	if err := os.MkdirAll(c.installed(), 0o755); err != nil {
		return prepared{}, fmt.Errorf("build plugin %s: %w", src, err)
	}
	dir, err := os.MkdirTemp(c.installed(), "build.*.tmp")
	if err != nil {
		return prepared{}, fmt.Errorf("build plugin %s: %w", src, err)
	}
	p := prepared{binary: filepath.Join(dir, binaryName("built")), built: true, cleanup: func() { os.RemoveAll(dir) }}
	if err := Build(ctx, src, p.binary); err != nil {
		p.cleanup()
		return prepared{}, err
	}
	return p, nil
}

// accept refuses a plugin that cannot be used under its name.
func accept(desc *sdk.Description, name, src string) error {
	if !pluginName.MatchString(desc.Name) {
		return problem(sdk.Diagnostic{Code: "plugin.name", Summary: fmt.Sprintf("the plugin calls itself %q, which is no name for a plugin", desc.Name), File: src,
			Remedy: "use lower-case letters, digits and single hyphens in domain.yaml's name", Source: sdk.FromPlugin})
	}
	if name != "" && name != desc.Name {
		return problem(sdk.Diagnostic{Code: "plugin.name", Summary: fmt.Sprintf("the file is called %s, but the plugin calls itself %q", filepath.Base(src), desc.Name), File: src,
			Remedy: "rename the file to " + binaryName(desc.Name), Source: sdk.FromPlugin})
	}
	if desc.Diagnostics.HasErrors() {
		return &sdk.DiagnosticsError{Diagnostics: desc.Diagnostics}
	}
	return nil
}

// openDev makes an entry of a --dev path. A folder is built into a place of its
// own, which the next run uses again.
func (c *Catalog) openDev(ctx context.Context, src string) (Entry, error) {
	abs, err := filepath.Abs(src)
	if err != nil {
		return Entry{}, fmt.Errorf("plugin %s: %w", src, err)
	}
	binary := abs
	if st, err := os.Stat(abs); err != nil {
		return Entry{}, problem(sdk.Diagnostic{Code: "plugin.missing", Summary: fmt.Sprintf("--dev: there is no %s", src), Remedy: "name a plugin's source folder or its binary"})
	} else if st.IsDir() {
		key := sha256.Sum256([]byte(abs))
		dir := filepath.Join(c.installed(), "dev", hex.EncodeToString(key[:6]))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return Entry{}, fmt.Errorf("build plugin %s: %w", src, err)
		}
		tmp, err := os.MkdirTemp(dir, "build.*.tmp")
		if err != nil {
			return Entry{}, fmt.Errorf("build plugin %s: %w", src, err)
		}
		defer os.RemoveAll(tmp)
		built := filepath.Join(tmp, binaryName("built"))
		if err := Build(ctx, src, built); err != nil {
			return Entry{}, err
		}
		sum, _, err := digest(built)
		if err != nil {
			return Entry{}, fmt.Errorf("build plugin %s: %w", src, err)
		}
		// A running instance keeps its file: each build has its own.
		binary = filepath.Join(dir, sum[:12])
		if err := os.Rename(built, binary); err != nil {
			return Entry{}, fmt.Errorf("build plugin %s: %w", src, err)
		}
		for _, old := range others(dir, binary) {
			os.Remove(old) // in use elsewhere: it goes another time
		}
	}
	desc, err := describe(ctx, binary)
	if err != nil {
		return Entry{}, err
	}
	if !pluginName.MatchString(desc.Name) {
		return Entry{}, accept(desc, "", src)
	}
	sum, size, err := digest(binary)
	if err != nil {
		return Entry{}, fmt.Errorf("plugin %s: %w", src, err)
	}
	return Entry{Name: desc.Name, Version: desc.Version, Path: binary, SHA256: sum, Size: size, Source: abs, Place: FromDev}, nil
}

// others lists the files in a folder except one.
func others(dir, except string) []string {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(files, func(f string) bool { return f == except || strings.HasSuffix(f, ".tmp") })
}

func copyBinary(from, to string) error {
	if from == to {
		return nil
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return placeFile(to, f, 0o755)
}

// relativeTo writes a path as seen from a project's folder if it lies inside, so
// that a lock can be shared; a path outside stays as it is.
func relativeTo(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil || !filepath.IsLocal(rel) {
		return path
	}
	return "./" + strings.TrimPrefix(filepath.ToSlash(rel), "./")
}
