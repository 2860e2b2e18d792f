//go:build torch

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/islm-dev/islm/core/train/kge"
)

// Row is one finished run.
type Row struct {
	Dataset  string       `json:"dataset"`
	Model    string       `json:"model"`
	Preset   string       `json:"preset"`
	Settings kge.Settings `json:"settings"` // seed included
	Threads  int          `json:"threads"`
	CPU      string       `json:"cpu"`
	Commit   string       `json:"commit"`

	Valid     *kge.Scores `json:"valid"`
	Test      *kge.Scores `json:"test"`
	Epochs    int         `json:"epochs"`
	BestEpoch int         `json:"best_epoch"`
	Resumed   bool        `json:"resumed"`       // the run was in parts; see doc.go
	Seconds   float64     `json:"seconds"`       // wall time of everything
	Train     float64     `json:"train_seconds"` // in steps
	Eval      float64     `json:"eval_seconds"`
	CPUTime   float64     `json:"cpu_seconds,omitempty"` // of all threads
	PeakRSS   int64       `json:"peak_rss_bytes"`        // of the last part
	Bar       float64     `json:"bar"`                   // test MRR that was asked for, within 1800 seconds
	Passed    bool        `json:"passed"`
	Load      string      `json:"load"` // load averages before the run and after it: other work on the machine
	Time      string      `json:"time"`
}

func (r Row) key() string { return fmt.Sprint(r.Dataset, r.Settings, r.Threads, r.CPU) }

// runs are the datasets, their presets and bars.
var runs = []struct {
	dataset, preset string
	bar             float64
}{
	{"FB15k-237", "complex", 0.335},
	{"WN18RR", "complex-wn18rr", 0.45},
}

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

type bench struct {
	data, rows, work, only, device string
	threads                        int
	trial                          bool
	sets                           list
}

func main() {
	var b bench
	data := os.Getenv("ISLM_TESTDATA")
	if data == "" {
		data = "../shared/data"
	}
	flag.StringVar(&b.data, "data", data, "folder of the test data")
	flag.StringVar(&b.rows, "rows", "bench/results/kge.jsonl", "file of finished rows")
	flag.StringVar(&b.work, "work", "", "keep the runs' folders below this one")
	flag.StringVar(&b.only, "only", "", "run only this dataset")
	flag.StringVar(&b.device, "device", "cpu", "auto, cpu, cuda or cuda:N")
	flag.IntVar(&b.threads, "threads", 2, "threads")
	flag.BoolVar(&b.trial, "trial", false, "append nothing")
	flag.Var(&b.sets, "set", "KEY=VALUE of the settings (repeatable)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench/kge:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context) error {
	done, err := b.load()
	if err != nil {
		return err
	}
	commit := ""
	if out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		commit = string(bytes.TrimSpace(out))
	}
	for _, r := range runs {
		if b.only != "" && b.only != r.dataset {
			continue
		}
		settings, ds := kge.FindPreset(r.preset)
		for _, item := range b.sets {
			ds.Add(settings.Set(item)...)
		}
		if err := ds.Err(); err != nil {
			return err
		}
		row := Row{Dataset: r.dataset, Model: settings.Model, Preset: r.preset, Settings: settings, Threads: b.threads, CPU: cpuModel(), Commit: commit, Bar: r.bar}
		if done[row.key()] && !b.trial {
			continue
		}
		if err := b.measure(ctx, &row); err != nil {
			return fmt.Errorf("%s: %w", r.dataset, err)
		}
		if err := b.append(row); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) measure(ctx context.Context, row *Row) error {
	dir := filepath.Join(b.data, "general", "kg-"+row.Dataset)
	work := filepath.Join(b.work, row.Dataset)
	if b.work == "" {
		tmp, err := os.MkdirTemp("", "islm-kge-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		work = filepath.Join(tmp, "out")
	}
	row.Load = load()
	begin := time.Now()
	data, ds, err := kge.Read(kge.Files{Train: filepath.Join(dir, "train.txt.gz"), Valid: filepath.Join(dir, "valid.txt.gz"), Test: filepath.Join(dir, "test.txt.gz")})
	if err = errors.Join(err, ds.Err()); err != nil {
		return err
	}
	res, err := kge.Train(ctx, kge.Job{Data: data, Settings: row.Settings, Dir: work, Resume: true, Threads: b.threads, Device: b.device, Observe: func(e kge.Event) {
		if e.Kind == kge.EventValid || e.Kind == kge.EventTest {
			fmt.Fprintf(os.Stderr, "%s %s epoch %d loss %.4f mrr %.4f hits@10 %.4f, %.0f s\n", row.Dataset, e.Kind, e.Epoch, e.Loss, e.Scores.MRR, e.Scores.Hits10, time.Since(begin).Seconds())
		}
	}})
	if err != nil {
		return err
	}
	if row.Resumed = res.ResumedFrom != nil; row.Resumed {
		row.Seconds = res.Seconds + res.EvalSeconds
	} else {
		row.Seconds = time.Since(begin).Seconds()
		var usage unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
			return fmt.Errorf("ask for CPU time: %w", err)
		}
		row.CPUTime = time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
	}
	row.Valid, row.Test, row.Epochs, row.BestEpoch = res.Valid, res.Test, res.Epochs, res.BestEpoch
	row.Train, row.Eval, row.PeakRSS = res.Seconds, res.EvalSeconds, res.PeakRSS
	row.Passed = res.Test.MRR >= row.Bar && row.Seconds <= 1800
	row.Load += "; " + load()
	row.Time = time.Now().UTC().Format(time.RFC3339)
	return nil
}

// load reads the finished rows.
func (b *bench) load() (map[string]bool, error) {
	done := map[string]bool{}
	f, err := os.Open(b.rows)
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r Row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("read %s: %w", b.rows, err)
		}
		done[r.key()] = true
	}
	return done, lines.Err()
}

func (b *bench) append(r Row) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	if b.trial {
		return nil
	}
	f, err := os.OpenFile(b.rows, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
		}
	}
	return ""
}
