package catalog

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/islm-dev/islm/sdk"
)

// LockFile is the name of the lock file; LockSchema its schema.
const (
	LockFile   = "islm.lock.yaml"
	LockSchema = "islm/lock.v0"
)

// Lock is islm.lock.yaml: what may be used, by digest.
type Lock struct {
	Schema  string `yaml:"schema" schema:"islm/lock.v0" json:"schema"`
	Plugins []Pin  `yaml:"plugins" key:"name" json:"plugins,omitempty"`
	Packs   []Pin  `yaml:"packs" key:"name" json:"packs,omitempty"`   // rule packs
	Graphs  []Pin  `yaml:"graphs" key:"name" json:"graphs,omitempty"` // knowledge graphs
	// Vocabularies are written only where there are any: older islm reads a lock
	// without them.
	Vocabularies []Pin `yaml:"vocabularies" key:"name" json:"vocabularies,omitempty"`
}

// Pin fixes one thing by the digest of its bytes.
type Pin struct {
	Name    string `yaml:"name" json:"name"`
	Version string `yaml:"version" json:"version"`
	SHA256  string `yaml:"sha256" required:"true" json:"sha256"` // lower-case hex
	Size    int64  `yaml:"size" json:"size"`                     // bytes
	Source  string `yaml:"source" json:"source,omitempty"`       // what to install it from: a folder, a binary, an address
}

var (
	hexDigest  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	pluginName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
)

// ParseLock reads the text of a lock file. name is for the diagnostics. The lock
// holds what could be read.
func ParseLock(name string, data []byte) (*Lock, sdk.Diagnostics) {
	l := &Lock{}
	doc, diags := sdk.ParseYAML(name, data)
	if doc == nil {
		return l, diags
	}
	diags.Add(doc.Decode(l)...)
	for _, s := range l.sections() {
		seen := map[string]bool{}
		for i, p := range *s.pins {
			report := func(code, key, format string, args ...any) {
				d := doc.At(fmt.Sprintf("%s[%d].%s", s.name, i, key))
				d.Severity, d.Code, d.Summary = sdk.Error, code, fmt.Sprintf(format, args...)
				d.Remedy = "install it again; the file is written by islm and not meant for the hand"
				diags.Add(d)
			}
			if !pluginName.MatchString(p.Name) {
				report("lock.name", "name", "%q is no name for an entry of %s", p.Name, s.name)
			}
			if seen[p.Name] {
				report("lock.duplicate", "name", "%s locks %q twice", s.name, p.Name)
			}
			seen[p.Name] = true
			if p.SHA256 != "" && !hexDigest.MatchString(p.SHA256) {
				report("lock.sha256", "sha256", "the sha256 of %q is not 64 lower-case hexadecimal digits", p.Name)
			}
			if p.Size < 0 {
				report("lock.size", "size", "the size of %q is negative", p.Name)
			}
		}
	}
	diags.Sort()
	return l, diags
}

// ReadLock reads a lock file; one that does not exist is empty.
func ReadLock(path string) (*Lock, sdk.Diagnostics, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Lock{Schema: LockSchema}, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the lock: %w", err)
	}
	l, diags := ParseLock(path, data)
	return l, diags, nil
}

// Encode gives the text of the lock: sections and entries sorted, so that equal
// locks have equal bytes. Go's quoted strings are double-quoted strings of YAML.
func (l *Lock) Encode() []byte {
	var b bytes.Buffer
	b.WriteString("# Written by islm. What is not named here does not run.\nschema: " + LockSchema + "\n")
	for _, s := range l.sections() {
		if len(*s.pins) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s:\n", s.name)
		pins := slices.SortedFunc(slices.Values(*s.pins), func(a, b Pin) int { return cmp.Compare(a.Name, b.Name) })
		for _, p := range pins {
			fmt.Fprintf(&b, "  %s:\n    version: %s\n    sha256: %s\n    size: %d\n", p.Name, strconv.Quote(p.Version), strconv.Quote(p.SHA256), p.Size)
			if p.Source != "" {
				fmt.Fprintf(&b, "    source: %s\n", strconv.Quote(p.Source))
			}
		}
	}
	return b.Bytes()
}

// Write replaces a lock file in one step.
func (l *Lock) Write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the lock: %w", err)
	}
	if err := writeFile(path, l.Encode(), 0o644); err != nil {
		return fmt.Errorf("write the lock: %w", err)
	}
	return nil
}

// Plugin returns the pin of a plugin.
func (l *Lock) Plugin(name string) (Pin, bool) { return l.Find("plugins", name) }

// SetPlugin adds or replaces the pin of a plugin.
func (l *Lock) SetPlugin(p Pin) { l.Set("plugins", p) }

// Find returns a pin of a section: plugins, packs, graphs or vocabularies.
func (l *Lock) Find(section, name string) (Pin, bool) {
	for _, s := range l.sections() {
		if i := slices.IndexFunc(*s.pins, func(p Pin) bool { return p.Name == name }); s.name == section && i >= 0 {
			return (*s.pins)[i], true
		}
	}
	return Pin{}, false
}

// Set adds or replaces a pin of a section.
func (l *Lock) Set(section string, p Pin) {
	for _, s := range l.sections() {
		if s.name != section {
			continue
		}
		if i := slices.IndexFunc(*s.pins, func(q Pin) bool { return q.Name == p.Name }); i >= 0 {
			(*s.pins)[i] = p
		} else {
			*s.pins = append(*s.pins, p)
		}
	}
}

type section struct {
	name string
	pins *[]Pin
}

func (l *Lock) sections() []section {
	return []section{{"plugins", &l.Plugins}, {"packs", &l.Packs}, {"graphs", &l.Graphs}, {"vocabularies", &l.Vocabularies}}
}

// UpdateLock reads a lock file, changes it and writes it, alone on this machine:
// all updates share one mutex file in ISLM_HOME. A lock that cannot be read is
// left as it is.
func UpdateLock(home, path string, change func(*Lock)) error {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return fmt.Errorf("update the lock: %w", err)
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(home, ".catalog.lock")).Lock()
	if err != nil {
		return fmt.Errorf("update the lock: %w", err)
	}
	defer unlock()
	l, diags, err := ReadLock(path)
	if err != nil {
		return err
	}
	if err := diags.Err(); err != nil {
		return err
	}
	change(l)
	return l.Write(path)
}

// File is the lock file that counts in a search path: the project's, else
// ISLM_HOME's.
func (p SearchPath) File() string {
	home := filepath.Join(p.Home, LockFile)
	file := nearestLock(p.Work)
	if file == "" || file == home || p.Bundled != "" && filepath.Dir(file) == p.Bundled {
		return home
	}
	return file
}

// nearestLock is the lock file in dir or the nearest of its parents, or "".
func nearestLock(dir string) string {
	if dir == "" {
		return ""
	}
	for {
		path := filepath.Join(dir, LockFile)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// writeFile writes beside the target and renames, so that the target is whole or
// absent at any moment.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	return placeFile(path, bytes.NewReader(data), mode)
}

func placeFile(path string, from io.Reader, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // nothing is left to remove after the rename
	if _, err := io.Copy(tmp, from); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err := errors.Join(tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// digest returns the sha256 of a file in hex, and its size.
func digest(path string) (string, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}
