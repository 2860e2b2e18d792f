// Command continual splits clinc150 into two arrivals of 75 intents, trains a model on
// the first and continues it with the second, and says what happened to the first.
//
//	go run ./bench/continual [-rows bench/results/continual.jsonl] [-seeds 0,1,2] [-arms default,plain] [-split test|valid]
//
// Rows that exist in the file are not run again. The model of the first arrival stays
// in the folder of -work. Settings are chosen with -split valid, which scores on the
// validation rows and never reads the test rows. In a row Before and After are macro F1
// of the 75 old intents on their own rows, by the two models; Old and New are macro F1
// of the old and the new intents on all rows, by the continued model.
//
// The arm joint continues nothing: it trains the base model on both arrivals at once, as
// the first was trained, which says what a model of 150 intents has on the first 75.
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/islm-dev/islm/bench/rows"
)

const joint = "joint"

// arms are ways to continue; the first is that of the preset.
func arms() []struct {
	name string
	sets []string
} {
	return []struct {
		name string
		sets []string
	}{
		{"default", nil},
		{"plain", []string{"continue.replay=0", "continue.distill=0"}},
		{"replay", []string{"continue.distill=0"}},
		{"distill", []string{"continue.replay=0"}},
		{"ewc", []string{"continue.replay=0", "continue.distill=0", "continue.ewc=1e4"}},
		{joint, nil},
	}
}

// Row is one continued model.
type Row struct {
	Arm       string
	Seed      string
	Split     string
	Set       []string `json:",omitempty"` // settings beside the arm's
	Replayed  int
	Of        int
	Before    float64
	After     float64
	Old       float64
	New       float64
	FirstS    float64 // seconds of the first training
	TrainS    float64
	PeakRSS   int64  // bytes
	Precision string `json:",omitempty"`
	Commit    string `json:",omitempty"`
	Time      string
	Forgotten float64 // Before - After, points
}

func (r Row) key() string { return fmt.Sprint(r.Arm, r.Seed, r.Split, r.Set) }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/continual:", err)
		os.Exit(1)
	}
}

type bench struct {
	bin, base, data, work, split string
	via                          []string
	threads, epochs              int
	more                         []string
	first                        map[string]bool // the intents of the first arrival
	file                         *rows.File[Row]
	commit                       string
}

func run() error {
	root := os.Getenv("ISLM_TESTDATA")
	if root == "" {
		root = "../shared/data"
	}
	path := flag.String("rows", "bench/results/continual.jsonl", "file of finished rows")
	bin := flag.String("islm", "bin/islm", "islm")
	base := flag.String("base", "all-MiniLM-L6-v2", "base model of the first training")
	data := flag.String("data", filepath.Join(root, "service/clinc150"), "clinc150")
	work := flag.String("work", filepath.Join(os.TempDir(), "islm-bench-continual"), "folder of data and models")
	seeds := flag.String("seeds", "0,1,2", "seeds")
	only := flag.String("arms", "default,plain", "arms: default, plain, replay, distill, ewc, joint")
	split := flag.String("split", "test", "test, or valid while settings are chosen")
	more := flag.String("set", "", "further settings of continued trainings, a.b=c;d=e")
	threads := flag.Int("threads", 2, "threads")
	epochs := flag.Int("epochs", 4, "epochs of the first training")
	via := flag.String("via", "", "command that each training runs through, such as nice")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bench{bin: *bin, base: *base, data: *data, work: *work, split: *split, via: strings.Fields(*via), threads: *threads, epochs: *epochs}
	if *more != "" {
		b.more = strings.Split(*more, ";")
	}
	if commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		b.commit = strings.TrimSpace(string(commit))
	}
	var err error
	if b.file, err = rows.Open(*path, Row.key); err != nil {
		return err
	}
	if err := b.cut(); err != nil {
		return err
	}
	for _, seed := range strings.Split(*seeds, ",") {
		for _, arm := range arms() {
			if !slices.Contains(strings.Split(*only, ","), arm.name) {
				continue
			}
			r := Row{Arm: arm.name, Seed: seed, Split: *split, Set: b.more}
			if b.file.Has(r) {
				continue
			}
			if err := b.measure(ctx, &r, arm.sets); err != nil {
				return fmt.Errorf("%s, seed %s: %w", arm.name, seed, err)
			}
			r.Commit, r.Time = b.commit, time.Now().UTC().Format(time.RFC3339)
			if err := b.file.Append(r); err != nil {
				return err
			}
		}
	}
	b.table()
	return nil
}

// cut writes the two arrivals as folders of train, valid and test: the intents in
// the order of the sha256 of their names, the first half and the rest.
func (b *bench) cut() error {
	type row struct {
		Text  string `json:"text"`
		Label string `json:"label"`
	}
	splits := map[string][]row{}
	labels := map[string]bool{}
	for split, name := range map[string]string{"train": "train.jsonl", "valid": "val.jsonl", "test": "test.jsonl"} {
		f, err := os.Open(filepath.Join(b.data, name))
		if err != nil {
			return err
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var r row
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			splits[split] = append(splits[split], r)
			labels[r.Label] = true
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	var order []string
	for l := range labels {
		order = append(order, l)
	}
	slices.SortFunc(order, func(x, y string) int {
		dx, dy := sha256.Sum256([]byte(x)), sha256.Sum256([]byte(y))
		return cmp.Or(slices.Compare(dx[:], dy[:]), strings.Compare(x, y))
	})
	if len(order) != 150 {
		return fmt.Errorf("%d intents in %s, wanted 150", len(order), b.data)
	}
	b.first = map[string]bool{}
	for _, label := range order[:75] {
		b.first[label] = true
	}
	for arrival, part := range [][]string{order, order[:75], order[75:]} {
		for split, all := range splits {
			var text strings.Builder
			for _, r := range all {
				if !slices.Contains(part, r.Label) {
					continue
				}
				line, err := json.Marshal(r)
				if err != nil {
					return err
				}
				text.Write(append(line, '\n'))
			}
			file := filepath.Join(b.arrival(arrival), split+".jsonl")
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// arrival is a folder of data; 0 is both together.
func (b *bench) arrival(n int) string { return filepath.Join(b.work, fmt.Sprint("arrival-", n)) }

func (b *bench) measure(ctx context.Context, r *Row, sets []string) error {
	common := []string{"--quiet", "--seed", r.Seed, "--set", fmt.Sprint("train.threads=", b.threads), "--set", "train.batch_size=32", "--set", "train.checkpoint_every=off"}
	test := func(arrival int) []string {
		if r.Split == "valid" {
			return []string{"--set", "data.test=" + filepath.Join(b.arrival(arrival), "valid.jsonl")}
		}
		return nil
	}
	train := func(out string, arrival int) error {
		args := slices.Concat([]string{"train", "--base", b.base, "--data", b.arrival(arrival), "--out", out, "--set", fmt.Sprint("train.epochs=", b.epochs), "--set", "train.lr=2e-4"}, common, test(arrival))
		return b.islm(ctx, out, args)
	}
	first := filepath.Join(b.work, "first-"+r.Seed+"-"+r.Split)
	if _, err := os.Stat(filepath.Join(first, "config.json")); err != nil {
		if err := train(first, 1); err != nil {
			return err
		}
	}
	var err error
	if r.FirstS, _, _, err = trained(first); err != nil {
		return err
	}
	out, err := os.MkdirTemp(b.work, "continued-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(out) //nolint:errcheck // a temporary folder
	out = filepath.Join(out, "model")
	if r.Arm == joint {
		if err := train(out, 0); err != nil {
			return err
		}
		return b.joint(ctx, r, first, out)
	}
	args := slices.Concat([]string{"continue", "--model", first, "--data", b.arrival(2), "--out", out}, common, test(2))
	for _, s := range slices.Concat(sets, b.more) {
		args = append(args, "--set", s)
	}
	if err := b.islm(ctx, out, args); err != nil {
		return err
	}
	if r.TrainS, r.PeakRSS, r.Precision, err = trained(out); err != nil {
		return err
	}
	var c struct {
		Replayed int `json:"replayed"`
		Of       int `json:"of"`
		Heads    []struct {
			Before float64 `json:"before"`
			After  float64 `json:"after"`
			Old    float64 `json:"old"`
			New    float64 `json:"new"`
		} `json:"heads"`
	}
	if err := read(filepath.Join(out, "islm", "continue.json"), &c); err != nil {
		return err
	}
	if len(c.Heads) != 1 {
		return fmt.Errorf("%d heads, wanted one", len(c.Heads))
	}
	h := c.Heads[0]
	r.Replayed, r.Of, r.Before, r.After, r.Old, r.New, r.Forgotten = c.Replayed, c.Of, h.Before, h.After, h.Old, h.New, 100*(h.Before-h.After)
	return nil
}

// joint scores a model of both arrivals beside one of the first.
func (b *bench) joint(ctx context.Context, r *Row, first, both string) (err error) {
	if r.TrainS, r.PeakRSS, r.Precision, err = trained(both); err != nil {
		return err
	}
	before, err := b.score(ctx, r, first, 1)
	if err != nil {
		return err
	}
	own, err := b.score(ctx, r, both, 1)
	if err != nil {
		return err
	}
	all, err := b.score(ctx, r, both, 0)
	if err != nil {
		return err
	}
	mean := func(f1 map[string]float64, of func(label string) bool) float64 {
		var values []float64
		for label, v := range f1 {
			if of(label) {
				values = append(values, v)
			}
		}
		slices.Sort(values) // the sum does not hang on the order of a map
		m, _ := rows.Mean(values)
		return m
	}
	isOld := func(label string) bool { return b.first[label] }
	r.Before, r.After = mean(before, isOld), mean(own, isOld)
	r.Old, r.New = mean(all, isOld), mean(all, func(label string) bool { return !b.first[label] })
	r.Forgotten = 100 * (r.Before - r.After)
	return nil
}

// score is the F1 of each label that an arrival has, by a model.
func (b *bench) score(ctx context.Context, r *Row, model string, arrival int) (map[string]float64, error) {
	args := []string{"eval", "--json", "--quiet", "--precision", cmp.Or(r.Precision, "fp32"), "--threads", fmt.Sprint(b.threads), "--model", model, "--data", filepath.Join(b.arrival(arrival), r.Split+".jsonl")}
	line := slices.Concat(b.via, []string{b.bin}, args)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Stderr = os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	var e struct {
		Heads map[string]struct {
			Labels map[string]struct {
				F1      float64 `json:"f1"`
				Support int     `json:"support"`
			} `json:"labels"`
		} `json:"heads"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	if len(e.Heads) != 1 {
		return nil, fmt.Errorf("eval: %d heads, wanted one", len(e.Heads))
	}
	f1 := map[string]float64{}
	for _, head := range e.Heads {
		for label, l := range head.Labels {
			if l.Support > 0 {
				f1[label] = l.F1
			}
		}
	}
	return f1, nil
}

// islm runs a training; what an interrupted one left is removed.
func (b *bench) islm(ctx context.Context, out string, args []string) error {
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	line := slices.Concat(b.via, []string{b.bin}, args)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

func trained(dir string) (seconds float64, peak int64, precision string, err error) {
	var m struct {
		Train struct {
			Seconds   float64 `json:"seconds"`
			Peak      int64   `json:"peak_rss_bytes"`
			Precision string  `json:"precision"`
		} `json:"train"`
	}
	err = read(filepath.Join(dir, "islm", "metrics.json"), &m)
	return m.Train.Seconds, m.Train.Peak, m.Train.Precision, err
}

func read(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// table prints means and deviations per arm.
func (b *bench) table() {
	for _, arm := range arms() {
		var before, after, old, fresh, lost []float64
		for _, r := range b.file.All {
			if r.Arm == arm.name && r.Split == b.split && slices.Equal(r.Set, b.more) {
				before, after, old = append(before, r.Before), append(after, r.After), append(old, r.Old)
				fresh, lost = append(fresh, r.New), append(lost, r.Forgotten)
			}
		}
		if len(before) == 0 {
			continue
		}
		mean := func(v []float64) float64 { m, _ := rows.Mean(v); return m }
		m, d := rows.Mean(lost)
		if text, err := json.Marshal(map[string]any{"arm": arm.name, "split": b.split, "runs": len(before), "before": mean(before), "after": mean(after), "forgotten_points": m, "deviation": d,
			"old_on_all_rows": mean(old), "new_on_all_rows": mean(fresh)}); err == nil {
			fmt.Println(string(text))
		}
	}
}
