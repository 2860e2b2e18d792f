package report

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// ProvenanceSchema is the version of provenance.json.
const ProvenanceSchema = "islm/provenance.v0"

// Provenance is the content of provenance.json: from what, by what and where a
// model was made. It names no host, user or folder, so that it can be shared
// with the model.
type Provenance struct {
	Schema  string    `json:"schema"`
	Created time.Time `json:"created"` // UTC, seconds
	Command []string  `json:"command"` // see CleanArgs
	Seed    uint64    `json:"seed"`
	Plan    string    `json:"plan"` // sha256 of plan.yaml

	Base       Artifact   `json:"base"`
	Data       []Artifact `json:"data"`
	Vocabulary []Artifact `json:"vocabulary"`
	Rules      []Artifact `json:"rules"`
	Knowledge  []Artifact `json:"knowledge"`
	Plugins    []Artifact `json:"plugins"`
	Teachers   []Artifact `json:"teachers,omitempty"` // of a distilled student

	Stages []StageRecord `json:"stages,omitempty"` // before this run, of a recipe that lists several

	Software    map[string]string `json:"software"` // name -> version: islm, commit, go, libtorch …
	Environment Environment       `json:"environment"`
	Notes       []string          `json:"notes,omitempty"` // what weakens the record, such as an unlocked plugin
}

// Artifact is one thing that went into a run.
type Artifact struct {
	Name     string `json:"name"`
	Role     string `json:"role,omitempty"` // data: train, valid, test
	Version  string `json:"version,omitempty"`
	Source   string `json:"source,omitempty"` // public address or id
	Digest   string `json:"digest"`           // sha256:HEX of the content
	Size     int64  `json:"size,omitempty"`   // bytes
	N        int    `json:"n,omitempty"`      // examples, terms, rules, facts
	License  string `json:"license,omitempty"`
	Citation string `json:"citation,omitempty"`
}

// StageRecord is a finished stage of a recipe that lists several.
type StageRecord struct {
	Name      string  `json:"name"`
	Objective string  `json:"objective"`
	Inputs    string  `json:"inputs"` // digest of plan, base, data, plugins
	Model     string  `json:"model"`  // digest of the weights
	Score     string  `json:"score"`  // of the primary head, in words
	Steps     int     `json:"steps"`
	Seconds   float64 `json:"seconds"` // of the step loop
}

// As names what kind of thing the artifact is, before its role.
func (a Artifact) As(kind string) Artifact {
	a.Role = strings.TrimSpace(kind + " " + a.Role)
	return a
}

// Environment holds facts about the machine that results depend on.
type Environment struct {
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	CPU       string `json:"cpu,omitempty"`
	Cores     int    `json:"cores"`
	Memory    int64  `json:"memory_bytes,omitempty"`
	Threads   int    `json:"threads,omitempty"`
	Device    string `json:"device,omitempty"`
	Precision string `json:"precision,omitempty"`
	Driver    string `json:"driver,omitempty"`
}

// NewProvenance fills what the process itself knows: schema, time, software
// and environment.
func NewProvenance(now time.Time, args []string) *Provenance {
	p := &Provenance{
		Schema:      ProvenanceSchema,
		Created:     now.UTC().Truncate(time.Second),
		Command:     CleanArgs(args),
		Software:    map[string]string{"go": runtime.Version()},
		Environment: Environment{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), CPU: cpuName(), Memory: memory()},
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" {
			p.Software["islm"] = v
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				p.Software["commit"] = s.Value
			}
		}
	}
	return p
}

// CleanArgs makes a command line fit to be shared: absolute paths keep only
// their last element (`--data=/home/x/news` becomes `--data=…/news`), and the
// values of options that hold secrets are left out. plan.yaml repeats the run.
func CleanArgs(args []string) []string {
	out := make([]string, 0, len(args))
	hide := false
	for i, arg := range args {
		name, value, has := strings.Cut(arg, "=")
		switch {
		case hide:
			arg, hide = "…", false
		case has && secret(name):
			arg = name + "=…"
		case has && strings.Count(value, "=") > 0 && secret(value[:strings.Index(value, "=")]):
			arg = name + "=" + value[:strings.Index(value, "=")] + "=…"
		case has:
			arg = name + "=" + cleanValue(value)
		case i == 0:
			arg = filepath.Base(arg)
		default:
			arg = cleanPath(arg)
			hide = strings.HasPrefix(arg, "-") && secret(arg)
		}
		out = append(out, arg)
	}
	return out
}

// cleanValue cleans a value that may itself be KEY=PATH.
func cleanValue(v string) string {
	if k, w, ok := strings.Cut(v, "="); ok {
		return k + "=" + cleanPath(w)
	}
	return cleanPath(v)
}

func cleanPath(s string) string {
	s = strings.TrimPrefix(s, "file://")
	if filepath.IsAbs(s) || strings.HasPrefix(s, "~") || strings.HasPrefix(s, "../") {
		return "…/" + filepath.Base(s)
	}
	return s
}

func secret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"token", "secret", "password", "passwd", "api_key", "api-key", "apikey"} {
		// data.tokens and the like are no secrets
		if strings.HasSuffix(strings.TrimLeft(name, "-"), word) {
			return true
		}
	}
	return false
}

// Save writes provenance.json whole or not at all.
func (p *Provenance) Save(path string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(p); err != nil {
		return fmt.Errorf("save provenance: %w", err)
	}
	if err := writeWhole(path, b.Bytes()); err != nil {
		return fmt.Errorf("save provenance: %w", err)
	}
	return nil
}

// LoadProvenance reads a provenance.json.
func LoadProvenance(path string) (*Provenance, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read provenance: %w", err)
	}
	p := &Provenance{}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("read provenance: %s: %w", path, err)
	}
	if p.Schema != ProvenanceSchema {
		return nil, fmt.Errorf("read provenance: %s: schema %q is not known; this version reads %s", path, p.Schema, ProvenanceSchema)
	}
	return p, nil
}

// DigestFile is `sha256:HEX` of a file, and its size in bytes.
func DigestFile(path string) (digest string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, fmt.Errorf("digest: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	size, err = io.Copy(h, f)
	if err != nil {
		return "", 0, fmt.Errorf("digest: %w", err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), size, nil
}

// DigestTree is `sha256:HEX` over the names and contents of all files of a
// folder, in the order of their paths, and the sum of their sizes. keep chooses
// files by their slash-separated path; nil takes all.
func DigestTree(fsys fs.FS, keep func(path string) bool) (digest string, size int64, err error) {
	h := sha256.New()
	err = fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || (keep != nil && !keep(path)) {
			return err
		}
		f, err := fsys.Open(path)
		if err != nil {
			return err
		}
		one := sha256.New()
		n, err := io.Copy(one, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		size += n
		_, err = fmt.Fprintf(h, "%x  %s\n", one.Sum(nil), path)
		return err
	})
	if err != nil {
		return "", 0, fmt.Errorf("digest: %w", err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), size, nil
}

// cpuName reads the processor's name where the system tells it.
func cpuName() string { return procLine("/proc/cpuinfo", "model name") }

func memory() int64 {
	kb, err := strconv.ParseInt(strings.TrimSuffix(procLine("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}

func procLine(path, key string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	for in.Scan() {
		if name, value, ok := strings.Cut(in.Text(), ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
