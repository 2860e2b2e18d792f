// Command packs asks whether rule packs help: it trains with few examples of
// Financial PhraseBank, with each pack and by the controls of 'islm train
// --augment-control', and appends one JSON row per run and one per verdict.
//
//	go run ./bench/packs [-packs finance,general-en] [-seeds 5] [-rules 5] [-through "nice -n 10"]
//
// Rows that exist in the file are not measured again, and finished runs stay in
// the folder of -work, so that a long measurement can be stopped and continued.
// -through runs every training through another command, such as a queue. First
// come the packs as a whole, then the value of single rules.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Row is one finished run, or what the runs of a pack say.
type Row struct {
	Kind      string     `json:"kind"` // run | verdict
	Packs     string     `json:"packs"`
	Arm       string     `json:"arm,omitempty"`
	Seed      int        `json:"seed,omitempty"`
	Rules     int        `json:"rules,omitempty"` // verdict: left out one at a time
	Steps     int        `json:"steps"`
	MacroF1   float64    `json:"macro_f1,omitempty"`
	Accuracy  float64    `json:"accuracy,omitempty"`
	Seconds   float64    `json:"train_s,omitempty"`
	Precision string     `json:"precision,omitempty"`
	Seeds     []int      `json:"seeds,omitempty"`
	Compared  []Compared `json:"compared,omitempty"`
	Commit    string     `json:"commit,omitempty"`
	CPU       string     `json:"cpu"`
	Time      string     `json:"time"`
}

// Compared is the packs beside one arm.
type Compared struct {
	Arm        string `json:"arm"`
	Verdict    string `json:"verdict"`
	Difference struct {
		Metric string  `json:"metric"`
		Arm    float64 `json:"a"`
		Packs  float64 `json:"b"`
		Diff   float64 `json:"diff"`
		Range  struct {
			Low  float64 `json:"low"`
			High float64 `json:"high"`
		} `json:"interval"`
		P float64 `json:"p"`
	} `json:"difference"`
}

func (r Row) key() string {
	return fmt.Sprint(r.Kind, " ", r.Packs, " ", r.Arm, " ", r.Seed, " ", r.Rules, " ", r.Steps)
}

type bench struct {
	rows, bin, base, data, work, commit string
	packs, through                      []string
	seeds, rules, steps                 int
	share                               float64
	done                                map[string]Row
}

func main() {
	var b bench
	data := os.Getenv("ISLM_TESTDATA")
	if data == "" {
		data = "../shared/data"
	}
	flag.StringVar(&b.rows, "rows", "bench/results/packs.jsonl", "file of finished rows")
	flag.StringVar(&b.bin, "islm", "bin/islm", "islm")
	flag.StringVar(&b.base, "base", "all-MiniLM-L6-v2", "base model")
	flag.StringVar(&b.data, "data", filepath.Join(data, "finance/phrasebank-50agree"), "folder with train.jsonl and test.jsonl")
	flag.StringVar(&b.work, "work", filepath.Join(os.TempDir(), "islm-packs"), "folder of the runs")
	packs := flag.String("packs", "finance,general-en", "packs, each measured alone")
	through := flag.String("through", "", "command that each call of islm goes through")
	flag.IntVar(&b.seeds, "seeds", 5, "runs of each arm")
	flag.IntVar(&b.rules, "rules", 5, "rules that are left out one at a time")
	flag.IntVar(&b.steps, "steps", 258, "steps of each run")
	flag.Float64Var(&b.share, "share", 0.1, "share of the training rows: those whose texts have the lowest sha256")
	flag.Parse()
	b.packs, b.through = strings.Split(*packs, ","), strings.Fields(*through)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench/packs:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context) error {
	if commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		b.commit = strings.TrimSpace(string(commit))
	}
	if err := b.load(); err != nil {
		return err
	}
	if err := b.sample(); err != nil {
		return err
	}
	for _, rules := range slices.Compact([]int{0, b.rules}) {
		for _, pack := range b.packs {
			if _, ok := b.done[Row{Kind: "verdict", Packs: pack, Rules: rules, Steps: b.steps}.key()]; ok {
				continue
			}
			if err := b.measure(ctx, pack, rules); err != nil {
				return fmt.Errorf("%s: %w", pack, err)
			}
		}
	}
	b.table()
	return nil
}

func (b *bench) load() error {
	b.done = map[string]Row{}
	f, err := os.Open(b.rows)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(f)
	for lines.Buffer(nil, 1<<24); lines.Scan(); {
		var r Row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("%s: %w", b.rows, err)
		}
		b.done[r.key()] = r
	}
	return lines.Err()
}

// sample writes the data of the runs: few training rows, all of test, and no
// valid, so that the last state of every run is the one that counts.
func (b *bench) sample() error {
	raw, err := os.ReadFile(filepath.Join(b.data, "train.jsonl"))
	if err != nil {
		return err
	}
	type line struct{ text, sum string }
	var lines []line
	for l := range strings.Lines(string(raw)) {
		var row struct{ Text string }
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			return fmt.Errorf("%s: %w", b.data, err)
		}
		lines = append(lines, line{l, fmt.Sprintf("%x", sha256.Sum256([]byte(row.Text)))})
	}
	slices.SortStableFunc(lines, func(x, y line) int { return strings.Compare(x.sum, y.sum) })
	var train bytes.Buffer
	for _, l := range lines[:int(b.share*float64(len(lines)))] {
		train.WriteString(l.text)
	}
	test, err := os.ReadFile(filepath.Join(b.data, "test.jsonl"))
	if err != nil {
		return err
	}
	dir := filepath.Join(b.work, "data")
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "train.jsonl"), train.Bytes(), 0o644),
		os.WriteFile(filepath.Join(dir, "test.jsonl"), test, 0o644))
}

// measure trains one run after the other until there is a verdict.
func (b *bench) measure(ctx context.Context, pack string, rules int) error {
	out := filepath.Join(b.work, strings.ReplaceAll(pack, "/", "_"))
	for {
		if err := b.borrow(out); err != nil {
			return err
		}
		args := []string{b.bin, "train", "--domain", "finance", "--set", "domain.advice=off", "--base", b.base, "--data", filepath.Join(b.work, "data"),
			"--set", "augment.packs=" + pack, "--set", "augment.mode=add: 1", "--set", fmt.Sprint("train.steps=", b.steps), "--set", "train.lr=1e-4",
			"--set", "train.threads=1", "--set", "train.checkpoint_every=off", "--seed", "0", "--out", out, "--resume", "--json", "--quiet",
			"--augment-control", "--control-seeds", strconv.Itoa(b.seeds), "--control-rules", strconv.Itoa(rules), "--control-limit", "1"}
		args = append(slices.Clone(b.through), args...)
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stderr = os.Stderr
		// The whole group hears of an interrupt: a queue may not pass it on.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
		printed, err := cmd.Output()
		if err != nil {
			return err
		}
		if err := b.record(pack, out); err != nil {
			return err
		}
		var res struct {
			Seeds    []int
			Compared []Compared
		}
		for dec := json.NewDecoder(bytes.NewReader(printed)); ; { // the run's own scores come first
			if err := dec.Decode(&res); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return fmt.Errorf("read what islm printed: %w", err)
			}
		}
		if len(res.Compared) > 0 {
			return b.append(Row{Kind: "verdict", Packs: pack, Rules: rules, Steps: b.steps, Seeds: res.Seeds, Compared: res.Compared})
		}
	}
}

var runFolder = regexp.MustCompile(`^(.+)-(\d+)$`)

const controls = "islm/augment-controls"

// record appends a row for each run that is there and has none.
func (b *bench) record(pack, out string) error {
	found, err := filepath.Glob(filepath.Join(out, controls, "*", "config.json"))
	if err != nil {
		return err
	}
	for _, file := range found {
		dir := filepath.Dir(file)
		name := runFolder.FindStringSubmatch(filepath.Base(dir))
		if name == nil {
			continue
		}
		r := Row{Kind: "run", Packs: pack, Arm: name[1], Steps: b.steps}
		if r.Seed, err = strconv.Atoi(name[2]); err != nil {
			return err
		}
		if _, ok := b.done[r.key()]; ok {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, "islm", "metrics.json"))
		if err != nil {
			return err
		}
		var m struct {
			Heads map[string]struct {
				MacroF1  float64 `json:"macro_f1"`
				Accuracy float64 `json:"accuracy"`
			}
			Train struct {
				Steps     int
				Seconds   float64
				Precision string
			}
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			return err
		}
		if m.Train.Steps != b.steps || len(m.Heads) != 1 {
			return fmt.Errorf("%s: %d steps and %d heads, wanted %d and one", dir, m.Train.Steps, len(m.Heads), b.steps)
		}
		for _, h := range m.Heads {
			r.MacroF1, r.Accuracy = h.MacroF1, h.Accuracy
		}
		r.Seconds, r.Precision = m.Train.Seconds, m.Train.Precision
		if err := b.append(r); err != nil {
			return err
		}
	}
	return nil
}

// borrow copies the runs that know no pack from other packs: they are the same.
func (b *bench) borrow(out string) error {
	for _, pack := range b.packs {
		for _, arm := range []string{"no-augmentation", "duplicated"} {
			found, err := filepath.Glob(filepath.Join(b.work, strings.ReplaceAll(pack, "/", "_"), controls, arm+"-*", "config.json"))
			if err != nil {
				return err
			}
			for _, file := range found {
				to := filepath.Join(out, controls, filepath.Base(filepath.Dir(file)))
				if _, err := os.Stat(filepath.Join(out, "config.json")); err != nil {
					continue // a folder that is not empty would not be taken for a new run
				}
				if _, err := os.Stat(to); err == nil {
					continue
				}
				if err := os.CopyFS(to+".tmp", os.DirFS(filepath.Dir(file))); err != nil {
					return err
				}
				if err := os.Rename(to+".tmp", to); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *bench) append(r Row) error {
	r.Commit, r.CPU, r.Time = b.commit, cpu(), time.Now().UTC().Format(time.RFC3339)
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(b.rows, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, string(text))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	b.done[r.key()] = r
	fmt.Println(string(text))
	return nil
}

// table prints the verdicts.
func (b *bench) table() {
	fmt.Printf("\n%-12s %-36s %-9s %7s %7s %8s %-18s %s\n", "packs", "beside", "score", "with", "beside", "diff", "95% interval", "the packs are")
	for _, pack := range b.packs {
		r := b.done[Row{Kind: "verdict", Packs: pack, Rules: b.rules, Steps: b.steps}.key()]
		for _, c := range r.Compared {
			d := c.Difference
			fmt.Printf("%-12s %-36s %-9s %7.3f %7.3f %+8.3f [%+.3f, %+.3f]   %s\n", pack, c.Arm, d.Metric, d.Packs, d.Arm, d.Diff, d.Range.Low, d.Range.High, c.Verdict)
		}
	}
}

// cpu names the processor where the system tells it.
func cpu() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
