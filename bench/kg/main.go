// Command kg measures core/kg on generated facts against SQLite through Python's
// sqlite3, prints one JSON object and appends it as a row to a file.
//
//	go run ./bench/kg [-facts 5000000] [-entities 900000] [-relations 60] [-format spo] [-lookups 20000] [-row bench/results/kg.jsonl]
//
// Facts are drawn uniformly from a seed and written compressed by gzip, as .spo
// (names, so that lookups by name have something to find) or as .nt. Both systems
// import that file with the same indexes (subject, object, relation, name) in a
// process of their own, then answer the same lookups, each once to warm up and once
// timed: by name the entity, by subject all its facts in words. Of SQLite's import
// the reading of lines in Python is given apart. Afterwards the facts are counted,
// and 100 drawn ones looked up.
//
//	go run ./bench/kg -hpo FOLDER
//
// imports hp.obo and phenotype.hpoa of a folder (gz allowed) instead.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// Settings say what is generated.
type Settings struct {
	Facts     int    `json:"facts"`
	Entities  int    `json:"entities"`
	Relations int    `json:"relations"`
	Format    string `json:"format"`
	Lookups   int    `json:"lookups"`
}

// Result is one row.
type Result struct {
	Bench    string   `json:"bench"`
	Commit   string   `json:"commit,omitempty"`
	CPU      string   `json:"cpu"`
	Cores    int      `json:"cores"`
	Settings Settings `json:"settings"`
	Input    Input    `json:"input"`
	Own      System   `json:"own"`
	SQLite   *System  `json:"sqlite,omitempty"`
	// Of own to SQLite: import time, median and 99th percentile of lookups.
	Ratio map[string]float64 `json:"ratio,omitempty"`
}

// Input is what was generated.
type Input struct {
	GzipMB   float64 `json:"gzip_mb"`
	Distinct int     `json:"distinct"` // lines that differ
}

// System is what one system did.
type System struct {
	Version     string  `json:"version,omitempty"`
	ImportS     float64 `json:"import_s"`
	ReadS       float64 `json:"read_s,omitempty"` // of it, reading lines alone
	RSSMB       float64 `json:"rss_mb"`           // peak while importing
	StoreMB     float64 `json:"store_mb"`
	StoreToGzip float64 `json:"store_to_gzip"`
	OpenS       float64 `json:"open_s"`
	Stored      int     `json:"stored"`            // facts counted after the import
	Found       int     `json:"found"`             // of 100 drawn facts
	ByName      *Times  `json:"by_name,omitempty"` // of what has names: .spo
	BySubject   Times   `json:"by_subject"`
	LookupRSSMB float64 `json:"lookup_rss_mb"`
}

// Times are of single lookups, in microseconds.
type Times struct {
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	Max float64 `json:"max_us"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kg:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var s Settings
	flag.IntVar(&s.Facts, "facts", 5_000_000, "facts to draw")
	flag.IntVar(&s.Entities, "entities", 900_000, "entities they are drawn from")
	flag.IntVar(&s.Relations, "relations", 60, "relations they are drawn from")
	flag.StringVar(&s.Format, "format", "spo", "spo or nt")
	flag.IntVar(&s.Lookups, "lookups", 20_000, "timed lookups of each kind")
	python := flag.String("python", "python3", "the Python of the peer; none leaves it out")
	row := flag.String("row", "", "file to append the result to")
	keep := flag.String("dir", "", "work in this folder and keep it; what is there already is used again")
	hpo := flag.String("hpo", "", "import hp.obo and phenotype.hpoa of this folder instead")
	child := flag.String("child", "", "for the program itself: import or look up")
	profile := flag.String("profile", "", "with -child import: file for a CPU profile")
	flag.Parse()
	switch {
	case *child == "import":
		return importChild(ctx, flag.Args(), *profile)
	case *child == "lookup":
		return lookupChild(flag.Arg(0), flag.Arg(1))
	case *hpo != "":
		return measureHPO(ctx, *hpo, *row)
	}
	dir := *keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "bench-kg"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	result, err := measure(ctx, s, dir, *python)
	if err != nil {
		return err
	}
	return report(result, *row)
}

func measure(ctx context.Context, s Settings, dir, python string) (*Result, error) {
	r := &Result{Bench: "kg", Commit: commit(), CPU: cpu(), Cores: runtime.NumCPU(), Settings: s}
	g := generator{s}
	in := filepath.Join(dir, "facts."+s.Format+".gz")
	questions := filepath.Join(dir, "lookups.json")
	var err error
	if r.Input, err = g.write(in, questions); err != nil {
		return nil, err
	}
	store := filepath.Join(dir, "store")
	if err := os.RemoveAll(store); err != nil {
		return nil, err
	}
	if err := self(ctx, &r.Own, "import", store, in); err != nil {
		return nil, err
	}
	if err := self(ctx, &r.Own, "lookup", store, questions); err != nil {
		return nil, err
	}
	if r.Own.StoreMB, err = size(store); err != nil {
		return nil, err
	}
	r.Own.StoreToGzip = r.Own.StoreMB / r.Input.GzipMB
	if python == "none" {
		return r, nil
	}
	r.SQLite = &System{}
	c := exec.CommandContext(ctx, python, "bench/peers/kg_sqlite.py", in, questions, filepath.Join(dir, "sqlite.db"))
	if err := capture(c, r.SQLite); err != nil {
		return nil, fmt.Errorf("run the peer: %w", err)
	}
	r.SQLite.StoreToGzip = r.SQLite.StoreMB / r.Input.GzipMB
	r.Ratio = map[string]float64{"import": r.Own.ImportS / r.SQLite.ImportS,
		"by_subject_p50": r.Own.BySubject.P50 / r.SQLite.BySubject.P50, "by_subject_p99": r.Own.BySubject.P99 / r.SQLite.BySubject.P99}
	if own, peer := r.Own.ByName, r.SQLite.ByName; own != nil && peer != nil {
		r.Ratio["by_name_p50"], r.Ratio["by_name_p99"] = own.P50/peer.P50, own.P99/peer.P99
	}
	return r, nil
}

// self runs this program again, so that memory is measured from nothing.
func self(ctx context.Context, to any, job string, args ...string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, exe, append([]string{"-child", job}, args...)...)
	if err := capture(c, to); err != nil {
		return fmt.Errorf("%s: %w", job, err)
	}
	return nil
}

func capture(c *exec.Cmd, to any) error {
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return err
	}
	return json.Unmarshal(out, to)
}

// report prints the result and appends it to the file.
func report(result any, row string) error {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(result); err != nil || row == "" {
		return err
	}
	f, err := os.OpenFile(row, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(f).Encode(result), f.Close())
}

// size of the files of a folder, in 10^6 bytes.
func size(dir string) (float64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return float64(total) / 1e6, nil
}

func commit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// rssMB is a field of /proc/self/status in 10^6 bytes, 0 where there is none.
func rssMB(key string) float64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), key+":"); ok {
			var kb float64
			if _, err := fmt.Sscan(rest, &kb); err == nil {
				return kb * 1024 / 1e6
			}
		}
	}
	return 0
}

func cpu() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "model name"); ok {
			return strings.TrimLeft(name, "\t :")
		}
	}
	return runtime.GOARCH
}
