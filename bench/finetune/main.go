// Command finetune measures islm against PyTorch + transformers on the same work
// and prints one JSON row per run, then a summary of medians, means and ratios.
//
//	go run ./bench/finetune -bar quality|speed|conll|conll-speed [-rows bench/results/finetune.jsonl]
//
// Rows that exist in the file are not run again, so that a long measurement can
// be stopped and continued. Speed rows alternate between islm and its peer
// (A B A B …), because machines drift; run them with nothing else running.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Row is one finished run.
type Row struct {
	Bar, System string // system: islm, islm+advice, peer-best, peer-plain
	Seed, Round int
	Threads     int
	CPU         string  `json:",omitempty"` // model name; rows of other machines are left aside
	Commit      string  `json:",omitempty"` // of the checkout that islm was built from
	Precision   string  `json:",omitempty"` // that islm's auto came to
	Steps       int     `json:",omitempty"`
	Accuracy    float64 `json:",omitempty"`
	MacroF1     float64 `json:",omitempty"`
	EntityF1    float64 `json:",omitempty"`
	MicroF1     float64 `json:",omitempty"`
	TrainTokS   float64
	PredictTokS float64 `json:",omitempty"`
	TrainS      float64
	PeakRSS     int64 `json:",omitempty"` // bytes
	Time        string
}

func (r Row) key() string { return fmt.Sprint(r.Bar, r.System, r.Seed, r.Round, r.Threads, r.CPU) }

type bench struct {
	bin, python, data, model string
	threads                  int
	rows, cpu, commit        string
	done                     map[string]Row
}

func main() {
	var b bench
	bar := flag.String("bar", "quality", "quality | speed | conll | conll-speed")
	flag.StringVar(&b.rows, "rows", "bench/results/finetune.jsonl", "file of finished rows")
	flag.StringVar(&b.bin, "islm", "bin/islm", "islm")
	home := os.Getenv("ISLM_HOME")
	if home == "" {
		cache, _ := os.UserCacheDir()
		home = filepath.Join(cache, "islm")
	}
	flag.StringVar(&b.python, "python", filepath.Join(home, "py/bin/python"), "Python with bench/peers' packages ('make py')")
	flag.StringVar(&b.model, "model", filepath.Join(home, "models/all-MiniLM-L6-v2"), "base model folder")
	data := os.Getenv("ISLM_TESTDATA")
	if data == "" {
		data = "../shared/data"
	}
	flag.StringVar(&b.data, "data", data, "folder of the test data")
	flag.IntVar(&b.threads, "threads", 2, "threads of both systems")
	only := flag.String("only", "", "run only this system")
	rounds := flag.Int("rounds", 3, "rounds of a speed bar")
	limit := flag.Int("limit", 0, "stop after so many new rows; 0 = run all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, *bar, *only, *rounds, *limit); err != nil {
		fmt.Fprintln(os.Stderr, "bench/finetune:", err)
		os.Exit(1)
	}
}

// job is one run to make; do returns its figures.
type job struct {
	row Row
	do  func(ctx context.Context, r *Row) error
}

func (b *bench) run(ctx context.Context, bar, only string, rounds, limit int) error {
	if err := b.load(); err != nil {
		return err
	}
	b.cpu = cpuModel()
	if out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		b.commit = string(bytes.TrimSpace(out))
	}
	var jobs []job
	add := func(r Row, do func(context.Context, *Row) error) {
		if only == "" || only == r.System {
			r.Bar, r.Threads, r.CPU, r.Commit = bar, b.threads, b.cpu, b.commit
			jobs = append(jobs, job{r, do})
		}
	}
	phrasebank := filepath.Join(b.data, "finance/phrasebank-50agree")
	conll := filepath.Join(b.data, "general/conll2003")
	finance := []string{"--domain", "finance", "--data", phrasebank, "--set", "train.epochs=4", "--set", "train.lr=5e-5"}
	ner := []string{"--recipe", "ner", "--data", conll}
	switch bar {
	case "quality":
		for seed := range 3 {
			add(Row{System: "islm", Seed: seed}, b.islm(append(slices.Clone(finance), "--set", "domain.advice=off")...))
			add(Row{System: "peer-best", Seed: seed}, b.peer("classify", "best", phrasebank, "jsonl", "--epochs", "4", "--lr", "5e-5"))
			// The plugin's own advice, number of epochs and patience included.
			add(Row{System: "islm+advice", Seed: seed}, b.islm("--domain", "finance", "--data", phrasebank))
		}
	case "conll":
		add(Row{System: "islm"}, b.islm(ner...))
		add(Row{System: "peer-best"}, b.peer("tag", "best", conll, "conll", "--epochs", "3", "--lr", "8e-5"))
	case "speed", "conll-speed":
		task, dir, ext, args := "classify", phrasebank, "jsonl", append(slices.Clone(finance), "--set", "domain.advice=off")
		if bar == "conll-speed" {
			task, dir, ext, args = "tag", conll, "conll", ner
		}
		for round := range rounds {
			add(Row{System: "islm", Round: round}, b.islm(append(slices.Clone(args), "--set", "train.steps=215")...))
			add(Row{System: "peer-best", Round: round}, b.peer(task, "best", dir, ext, "--steps", "215", "--lr", "5e-5"))
			add(Row{System: "peer-plain", Round: round}, b.peer(task, "plain", dir, ext, "--steps", "30", "--lr", "5e-5"))
		}
	default:
		return fmt.Errorf("unknown bar %q", bar)
	}
	made := 0
	for _, j := range jobs {
		if limit > 0 && made >= limit {
			break
		}
		if old, ok := b.done[j.row.key()]; ok {
			show(old)
			continue
		}
		r := j.row
		if err := j.do(ctx, &r); err != nil {
			return fmt.Errorf("%s %s seed %d round %d: %w", r.Bar, r.System, r.Seed, r.Round, err)
		}
		r.Time = time.Now().UTC().Format(time.RFC3339)
		if err := b.append(r); err != nil {
			return err
		}
		show(r)
		made++
	}
	b.summary(bar)
	return nil
}

// cpuModel names the processor, with the instructions that decide how fast
// products in bfloat16 are.
func cpuModel() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(raw), "\n\n")
	name := "unknown"
	for line := range strings.Lines(first) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			name = strings.TrimSpace(value)
		}
	}
	for _, flag := range []string{"avx512f", "avx512_bf16", "amx_bf16"} {
		if strings.Contains(first, " "+flag) {
			name += " " + flag
		}
	}
	return name
}

func show(r Row) {
	raw, _ := json.Marshal(r)
	fmt.Println(string(raw))
}

func (b *bench) load() error {
	b.done = map[string]Row{}
	f, err := os.Open(b.rows)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var r Row
		if json.Unmarshal(sc.Bytes(), &r) == nil {
			b.done[r.key()] = r
		}
	}
	return nil
}

func (b *bench) append(r Row) error {
	b.done[r.key()] = r
	f, err := os.OpenFile(b.rows, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewEncoder(f).Encode(r)
}

// islm trains with the settings that both systems share.
func (b *bench) islm(args ...string) func(context.Context, *Row) error {
	return func(ctx context.Context, r *Row) error {
		out, err := os.MkdirTemp("", "bench-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(out)
		dir := filepath.Join(out, "model")
		all := append([]string{"train", "--base", b.model, "--out", dir, "--quiet", "--seed", strconv.Itoa(r.Seed), "--set", "data.max_length=128",
			"--set", "train.batch_size=16", "--set", "train.checkpoint_every=off", "--set", "train.threads=" + strconv.Itoa(b.threads)}, args...)
		cmd := exec.CommandContext(ctx, b.bin, all...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(dir, "islm/metrics.json"))
		if err != nil {
			return err
		}
		var m struct {
			Heads map[string]struct {
				Accuracy float64 `json:"accuracy"`
				MacroF1  float64 `json:"macro_f1"`
				MicroF1  float64 `json:"micro_f1"`
				EntityF1 float64 `json:"entity_f1"`
			} `json:"heads"`
			Train struct {
				Steps             int     `json:"steps"`
				Seconds           float64 `json:"seconds"`
				TokensPerS        float64 `json:"tokens_per_s"`
				PredictTokensPerS float64 `json:"predict_tokens_per_s"`
				PeakRSS           int64   `json:"peak_rss_bytes"`
			} `json:"train"`
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			return err
		}
		plan, err := os.ReadFile(filepath.Join(dir, "islm/plan.yaml"))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(plan)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "precision:"); ok {
				r.Precision = strings.TrimSpace(value)
			}
		}
		for _, h := range m.Heads {
			r.Accuracy, r.MacroF1, r.MicroF1, r.EntityF1 = h.Accuracy, h.MacroF1, h.MicroF1, h.EntityF1
		}
		r.Steps, r.TrainS, r.TrainTokS, r.PredictTokS, r.PeakRSS = m.Train.Steps, m.Train.Seconds, m.Train.TokensPerS, m.Train.PredictTokensPerS, m.Train.PeakRSS
		return nil
	}
}

// peer runs bench/peers/hf_baseline.py.
func (b *bench) peer(task, recipe, dir, ext string, args ...string) func(context.Context, *Row) error {
	return func(ctx context.Context, r *Row) error {
		all := append([]string{"bench/peers/hf_baseline.py", "--task", task, "--recipe", recipe, "--model", b.model, "--max-len", "128", "--batch", "16",
			"--train", filepath.Join(dir, "train."+ext), "--test", filepath.Join(dir, "test."+ext), "--seed", strconv.Itoa(r.Seed), "--threads", strconv.Itoa(b.threads)}, args...)
		cmd := exec.CommandContext(ctx, b.python, all...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%w\n%s", err, errs.String())
		}
		var m struct {
			Steps     int     `json:"steps"`
			TrainS    float64 `json:"train_s"`
			TrainTokS float64 `json:"train_tokens_per_s"`
			InferTokS float64 `json:"infer_tokens_per_s"`
			Accuracy  float64 `json:"accuracy"`
			MacroF1   float64 `json:"macro_f1"`
			EntityF1  float64 `json:"entity_f1"`
		}
		lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
		if err := json.Unmarshal(lines[len(lines)-1], &m); err != nil {
			return err
		}
		r.Steps, r.TrainS, r.TrainTokS, r.PredictTokS, r.Accuracy, r.MacroF1, r.EntityF1 = m.Steps, m.TrainS, m.TrainTokS, m.InferTokS, m.Accuracy, m.MacroF1, m.EntityF1
		if task == "tag" {
			r.MicroF1 = m.Accuracy // over all tokens with one label each, micro F1 is the accuracy
		}
		return nil
	}
}

// summary prints per system the mean scores and median speeds, and the ratios
// of islm to its peers.
func (b *bench) summary(bar string) {
	type sum struct {
		Runs                                           int
		Accuracy, MacroF1, EntityF1, TrainTok, PredTok float64
		RatioTrain, RatioPredict                       map[string]float64 `json:",omitempty"`
	}
	group := map[string][]Row{}
	for _, r := range b.done {
		if r.Bar == bar && r.Threads == b.threads && r.CPU == b.cpu {
			group[r.System] = append(group[r.System], r)
		}
	}
	sums := map[string]*sum{}
	for sys, rows := range group {
		s := &sum{Runs: len(rows)}
		var tr, pr []float64
		for _, r := range rows {
			s.Accuracy += r.Accuracy / float64(len(rows))
			s.MacroF1 += r.MacroF1 / float64(len(rows))
			s.EntityF1 += r.EntityF1 / float64(len(rows))
			tr, pr = append(tr, r.TrainTokS), append(pr, r.PredictTokS)
		}
		s.TrainTok, s.PredTok = median(tr), median(pr)
		sums[sys] = s
	}
	if us := sums["islm"]; us != nil {
		us.RatioTrain, us.RatioPredict = map[string]float64{}, map[string]float64{}
		for _, peer := range []string{"peer-best", "peer-plain"} {
			if p := sums[peer]; p != nil {
				us.RatioTrain[peer], us.RatioPredict[peer] = us.TrainTok/p.TrainTok, us.PredTok/p.PredTok
			}
		}
	}
	raw, _ := json.Marshal(map[string]any{"bar": bar, "summary": sums})
	fmt.Println(string(raw))
}

func median(v []float64) float64 {
	slices.Sort(v)
	switch n := len(v); {
	case n == 0:
		return 0
	case n%2 == 1:
		return v[n/2]
	default:
		return (v[n/2-1] + v[n/2]) / 2
	}
}
