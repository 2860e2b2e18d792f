// Command methods trains the same data by each method of parameter-efficient
// tuning, beside the whole encoder and a frozen one, and prints one JSON row per
// run, then a table of means and deviations.
//
//	go run ./bench/methods [-rows bench/results/methods.jsonl] [-seeds 0,1,2] [-only lora,full] [-split test|valid]
//
// Rows that exist in the file are not run again, so that a long measurement can be
// stopped and continued.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// arm is one way to train.
type arm struct {
	name string
	sets []string
}

// arms differ in what is trained and in the learning rate that it wants.
func arms() []arm {
	peft := func(name, lr string, more ...string) arm {
		return arm{name, append([]string{"train.peft=" + name, "train.lr=" + lr, "train.warmup=0.1"}, more...)}
	}
	return []arm{
		{"full", nil},
		{"frozen", []string{"train.freeze=encoder", "train.lr=5e-3"}},
		{"gradual", []string{"train.freeze=encoder", "train.unfreeze_every=60", "train.lr=1e-4"}},
		{"lora", []string{"preset=lora"}},
		peft("rslora", "1e-3"), peft("dora", "1e-3"), peft("adalora", "2e-3"),
		peft("ia3", "1e-2"), peft("houlsby", "1e-3"), peft("pfeiffer", "1e-3"),
		peft("prefix", "1e-3"), peft("ptuning", "5e-3"), peft("prompt", "1e-2"), peft("bitfit", "1e-3"),
	}
}

// Row is one finished run.
type Row struct {
	Method     string
	Seed       string
	Epochs     int
	Threads    int
	Split      string
	MacroF1    float64
	Accuracy   float64
	Trainable  int64
	Parameters int64
	Encoder    float64 // share of the encoder's parameters that is trained, heads aside
	TrainS     float64
	PeakRSS    int64 // bytes
	Precision  string
	Commit     string `json:",omitempty"`
	Time       string
}

func (r Row) key() string { return fmt.Sprint(r.Method, r.Seed, r.Epochs, r.Threads, r.Split) }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "methods:", err)
		os.Exit(1)
	}
}

func run() error {
	data := os.Getenv("ISLM_TESTDATA")
	if data == "" {
		data = "../shared/data"
	}
	rows := flag.String("rows", "bench/results/methods.jsonl", "file of finished rows")
	bin := flag.String("islm", "bin/islm", "islm")
	base := flag.String("base", "all-MiniLM-L6-v2", "base model")
	flag.StringVar(&data, "data", filepath.Join(data, "finance/phrasebank-50agree"), "data to train on")
	seeds := flag.String("seeds", "0,1,2", "seeds")
	only := flag.String("only", "", "run only these methods")
	epochs := flag.Int("epochs", 4, "epochs")
	threads := flag.Int("threads", 2, "threads")
	split := flag.String("split", "test", "test, or valid while settings are chosen")
	more := flag.String("set", "", "further settings of each run, a.b=c;d=e")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := os.MkdirAll(filepath.Dir(*rows), 0o755); err != nil {
		return err
	}
	done, err := read(*rows)
	if err != nil {
		return err
	}
	commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		commit = nil // not in a checkout
	}
	for _, seed := range strings.Split(*seeds, ",") {
		for _, a := range arms() {
			if *only != "" && !slices.Contains(strings.Split(*only, ","), a.name) {
				continue
			}
			r := Row{Method: a.name, Seed: seed, Epochs: *epochs, Threads: *threads, Split: *split, Commit: strings.TrimSpace(string(commit))}
			if _, ok := done[r.key()]; ok {
				continue
			}
			if err := r.measure(ctx, *bin, *base, data, a, *more); err != nil {
				return fmt.Errorf("%s, seed %s: %w", a.name, seed, err)
			}
			text, err := json.Marshal(r)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(*rows, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(f, string(text))
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
			fmt.Println(string(text))
			done[r.key()] = r
		}
	}
	table(done, *split)
	return nil
}

func read(path string) (map[string]Row, error) {
	done := map[string]Row{}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r Row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		done[r.key()] = r
	}
	return done, nil
}

// measure trains and reads metrics.json. While settings are chosen the valid split
// stands for the test split, which stays unseen.
func (r *Row) measure(ctx context.Context, bin, base, data string, a arm, more string) error {
	dir, err := os.MkdirTemp("", "islm-methods")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "out")
	args := []string{"train", "--quiet", "--base", base, "--data", data, "--out", out, "--seed", r.Seed,
		"--set", fmt.Sprint("train.epochs=", r.Epochs), "--set", fmt.Sprint("train.threads=", r.Threads), "--set", "train.checkpoint_every=off"}
	if r.Split == "valid" {
		valid, err := filepath.Glob(filepath.Join(data, "valid.*"))
		if err != nil || len(valid) != 1 {
			return fmt.Errorf("no valid split in %s", data)
		}
		args = append(args, "--set", "data.test="+valid[0])
	}
	sets := a.sets
	if more != "" {
		sets = append(slices.Clone(sets), strings.Split(more, ";")...)
	}
	for _, s := range sets {
		if preset, ok := strings.CutPrefix(s, "preset="); ok {
			args = append(args, "--recipe", preset)
			continue
		}
		args = append(args, "--set", s)
	}
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(out, "islm", "metrics.json"))
	if err != nil {
		return err
	}
	var m struct {
		Heads map[string]struct {
			Macro    float64 `json:"macro_f1"`
			Accuracy float64 `json:"accuracy"`
			Labels   map[string]any
		}
		Train struct {
			Seconds    float64 `json:"seconds"`
			Peak       int64   `json:"peak_rss_bytes"`
			Trainable  int64   `json:"trainable"`
			Precision  string  `json:"precision"`
			Parameters int64   `json:"parameters"`
		}
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	if len(m.Heads) != 1 {
		return fmt.Errorf("%d heads, wanted one", len(m.Heads))
	}
	raw, err = os.ReadFile(filepath.Join(out, "config.json"))
	if err != nil {
		return err
	}
	var c struct {
		Hidden int64 `json:"hidden_size"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	for _, h := range m.Heads {
		head := int64(len(h.Labels)) * (c.Hidden + 1)
		r.MacroF1, r.Accuracy = h.Macro, h.Accuracy
		r.Encoder = float64(m.Train.Trainable-head) / float64(m.Train.Parameters-head)
	}
	r.Trainable, r.Parameters, r.TrainS, r.PeakRSS, r.Precision = m.Train.Trainable, m.Train.Parameters, m.Train.Seconds, m.Train.Peak, m.Train.Precision
	r.Time = time.Now().UTC().Format(time.RFC3339)
	return nil
}

// table prints mean and deviation per method, and the distance to full tuning.
func table(done map[string]Row, split string) {
	mean := func(of []float64) (m, d float64) {
		for _, v := range of {
			m += v / float64(len(of))
		}
		for _, v := range of {
			d += (v - m) * (v - m) / math.Max(1, float64(len(of)-1))
		}
		return m, math.Sqrt(d)
	}
	scores := map[string][]float64{}
	last := map[string]Row{}
	for _, r := range done {
		if r.Split == split {
			scores[r.Method] = append(scores[r.Method], r.MacroF1)
			last[r.Method] = r
		}
	}
	full, _ := mean(scores["full"])
	for _, a := range arms() {
		if len(scores[a.name]) == 0 {
			continue
		}
		m, d := mean(scores[a.name])
		text, err := json.Marshal(map[string]any{"method": a.name, "runs": len(scores[a.name]), "macro_f1": m, "deviation": d, "to_full": m - full,
			"encoder_share": last[a.name].Encoder, "seconds": last[a.name].TrainS, "peak_rss_bytes": last[a.name].PeakRSS})
		if err == nil {
			fmt.Println(string(text))
		}
	}
}
