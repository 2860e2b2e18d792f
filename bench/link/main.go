// Command link measures augment/gazetteer on generated names and text against
// Python's ahocorasick_rs (Rust), pyahocorasick (C) and flashtext, each on one
// core, prints one JSON object and appends it as a row to a file.
//
//	go run ./bench/link [-names 50000] [-mb 8] [-seconds 2] [-rounds 3] [-row bench/results/link.jsonl]
//
// Names and text are made of seeded syllables: two thirds of the names are
// English-like of one to four words, one third Chinese of two to six characters;
// the text is prose of both kinds in which one word in fifteen is a name. Rounds
// alternate (A B A B …), because machines drift; run it with nothing else
// running. Making names, text and matchers is not counted.
//
// "plain" searches byte for byte and anywhere, as the peers do, which get the
// text in small letters: ahocorasick_rs must find the same. "full" folds case, width and
// space and keeps to the boundaries of words, as linking does. The peers that
// the Python of -python has are measured (pip install ahocorasick_rs
// pyahocorasick flashtext), the others named under "missing".
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/islm-dev/islm/augment/gazetteer"
)

// Run is one measurement.
type Run struct {
	System  string  `json:"system"`
	Round   int     `json:"round"`
	Matches int     `json:"matches"` // of one pass
	Passes  int     `json:"passes"`
	Seconds float64 `json:"seconds"`
	MBs     float64 `json:"mb_per_s"` // 10^6 bytes of UTF-8
}

// Result is what is printed.
type Result struct {
	Time        string             `json:"time"`
	CPU         string             `json:"cpu"`
	Names       int                `json:"names"`
	NameBytes   int                `json:"name_bytes"`
	TextBytes   int                `json:"text_bytes"`
	MBs         map[string]float64 `json:"mb_per_s"`     // of each system, median
	Ratio       float64            `json:"ratio"`        // plain to the fastest peer
	SameMatches bool               `json:"same_matches"` // plain and ahocorasick_rs; pyahocorasick misses a few, flashtext cuts no words
	BuildMS     float64            `json:"build_ms"`     // full
	OpenMS      float64            `json:"open_ms"`      // of the binary form
	HeapMB      float64            `json:"heap_mb"`      // what the full matcher keeps, the tables that all matchers share included
	BuildRSSMB  float64            `json:"build_rss_mb"` // growth of the process's peak while it was built
	BinaryMB    float64            `json:"binary_mb"`
	PeerRSSMB   map[string]float64 `json:"peer_rss_mb"` // growth of the peer's process
	Versions    map[string]string  `json:"peer_versions"`
	Missing     []string           `json:"missing,omitempty"`
	Runs        []Run              `json:"runs,omitempty"`
}

func main() {
	names := flag.Int("names", 50_000, "number of names")
	size := flag.Int("mb", 8, "10^6 bytes of text")
	seconds := flag.Float64("seconds", 2, "time of one measurement")
	rounds := flag.Int("rounds", 3, "measurements of each system")
	row := flag.String("row", "bench/results/link.jsonl", "file to append the row to, or \"\"")
	python := flag.String("python", defaultPython(), "Python with the peers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, *names, *size*1_000_000, *seconds, *rounds, *python, *row); err != nil {
		fmt.Fprintln(os.Stderr, "bench/link:", err)
		os.Exit(1)
	}
}

func defaultPython() string {
	if python := os.Getenv("ISLM_PY"); python != "" {
		return python
	}
	home := os.Getenv("ISLM_HOME")
	if home == "" {
		cache, _ := os.UserCacheDir()
		home = filepath.Join(cache, "islm")
	}
	return filepath.Join(home, "py/bin/python")
}

func measure(ctx context.Context, n, size int, seconds float64, rounds int, python, row string) error {
	runtime.GOMAXPROCS(1)
	names := makeNames(n)
	text := makeText(names, size)
	folder, err := os.MkdirTemp("", "islm-bench-link-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := errors.Join(
		os.WriteFile(filepath.Join(folder, "names.txt"), []byte(strings.Join(names, "\n")), 0o600),
		os.WriteFile(filepath.Join(folder, "text.txt"), []byte(text), 0o600)); err != nil {
		return err
	}

	result := Result{Time: time.Now().UTC().Format(time.RFC3339), CPU: cpu(), Names: n, TextBytes: len(text),
		MBs: map[string]float64{}, PeerRSSMB: map[string]float64{}, Versions: map[string]string{}}
	for _, name := range names {
		result.NameBytes += len(name)
	}
	lower := strings.ToLower(text)
	list := slices.Values(names)
	numbered := func(yield func(string, uint32) bool) {
		i := uint32(0)
		for name := range list {
			if !yield(name, i) {
				return
			}
			i++
		}
	}
	heap, peak, start := liveHeap(), peakRSS(), time.Now()
	full := gazetteer.Build(numbered, gazetteer.Options{FoldCase: true, FoldWidth: true, Words: true, FoldSpace: true})
	result.BuildMS = time.Since(start).Seconds() * 1000
	result.BuildRSSMB = peakRSS() - peak
	result.HeapMB = liveHeap() - heap
	plain := gazetteer.Build(numbered, gazetteer.Options{})
	binary, err := full.AppendBinary(nil)
	if err != nil {
		return err
	}
	result.BinaryMB = float64(len(binary)) / 1e6
	start = time.Now()
	if full, err = gazetteer.Open(binary); err != nil {
		return err
	}
	result.OpenMS = time.Since(start).Seconds() * 1000

	speeds := map[string][]float64{}
	add := func(run Run, round int) {
		run.Round = round
		run.MBs = float64(len(text)) * float64(run.Passes) / run.Seconds / 1e6
		result.Runs = append(result.Runs, run)
		speeds[run.System] = append(speeds[run.System], run.MBs)
	}
	for round := range rounds {
		add(search(ctx, "full", full, text, seconds), round)
		own := search(ctx, "plain", plain, lower, seconds)
		add(own, round)
		for _, system := range []string{"ahocorasick_rs", "pyahocorasick", "flashtext"} {
			if slices.Contains(result.Missing, system) {
				continue
			}
			peer, err := runPeer(ctx, python, system, folder, seconds)
			if err != nil {
				return err
			}
			if peer.Missing {
				result.Missing = append(result.Missing, system)
				continue
			}
			add(Run{System: system, Matches: peer.Matches, Passes: peer.Passes, Seconds: peer.Seconds}, round)
			result.PeerRSSMB[system], result.Versions[system] = peer.RSSMB, peer.Version
			if system == "ahocorasick_rs" {
				result.SameMatches = peer.Matches == own.Matches
			}
		}
	}
	best := 0.0
	for system, list := range speeds {
		result.MBs[system] = median(list)
		if system != "full" && system != "plain" {
			best = max(best, result.MBs[system])
		}
	}
	if best > 0 {
		result.Ratio = result.MBs["plain"] / best
	}
	runtime.KeepAlive(binary)
	return report(result, row)
}

// report prints the result and appends it, without the single runs, to the file.
func report(result Result, row string) error {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(result); err != nil || row == "" {
		return err
	}
	f, err := os.OpenFile(row, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	result.Runs = nil
	return errors.Join(json.NewEncoder(f).Encode(result), f.Close())
}

// search goes over the text line by line, as a corpus does.
func search(ctx context.Context, system string, m *gazetteer.Matcher, text string, seconds float64) Run {
	lines := strings.SplitAfter(text, "\n")
	var buf []gazetteer.Match
	pass := func() int {
		n := 0
		for _, line := range lines {
			buf = m.Append(buf[:0], line)
			n += len(buf)
		}
		return n
	}
	run := Run{System: system, Matches: pass()} // warms up
	start := time.Now()
	for ctx.Err() == nil && (run.Passes == 0 || time.Since(start).Seconds() < seconds) {
		pass()
		run.Passes++
	}
	run.Seconds = time.Since(start).Seconds()
	return run
}

type peer struct {
	Missing bool    `json:"missing"`
	Version string  `json:"version"`
	Matches int     `json:"matches"`
	Passes  int     `json:"passes"`
	Seconds float64 `json:"seconds"`
	RSSMB   float64 `json:"rss_mb"`
}

func runPeer(ctx context.Context, python, system, folder string, seconds float64) (peer, error) {
	c := exec.CommandContext(ctx, python, "bench/peers/gazetteer.py", system, folder, fmt.Sprint(seconds))
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return peer{}, fmt.Errorf("run %s: %w", system, err)
	}
	var p peer
	if err := json.Unmarshal(out, &p); err != nil {
		return peer{}, fmt.Errorf("read the result of %s: %w", system, err)
	}
	return p, nil
}

func liveHeap() float64 {
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc) / 1e6
}

// peakRSS is the most memory the process has had, in 10^6 bytes, 0 where /proc
// does not say.
func peakRSS() float64 { return procField("/proc/self/status", "VmHWM:") * 1024 / 1e6 }

func procField(file, key string) (value float64) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				return 0
			}
			return value
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

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}

// sortedKeys of the set in an order that does not depend on the map.
func sortedKeys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
