// Command methods learns Financial PhraseBank by each method of parameter-efficient
// tuning, beside the whole encoder and a frozen one, from a few examples of each
// class and as a distilled student, with Python references beside some of them, and
// prints one JSON row per run, then a table of means and deviations.
//
//	go run ./bench/methods -python PYTHON [-rows bench/results/methods.jsonl] [-seeds 0,1,2] [-only lora,full] [-split test|valid]
//
// Rows that exist in the file are not run again, so that a long measurement can be
// stopped and continued. PYTHON has torch, transformers, peft and setfit; without it
// the references are left out. distilled takes the model of full as its teacher,
// which stays in the folder of -work.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/islm-dev/islm/bench/rows"
	"github.com/islm-dev/islm/core/recipe"
)

// arm is one way to learn.
type arm struct {
	name  string
	sets  []string
	peer  string // beside which reference it stands
	learn func(ctx context.Context, b *bench, r *Row, a arm) error
}

// arms differ in what is trained and in the learning rate that it wants.
func arms() []arm {
	peft := func(name string) arm {
		a := arm{name: name, sets: []string{"train.peft=" + name, "train.warmup=0.1"}, learn: train}
		lr, head, _ := recipe.PeftRates(name)
		a.sets = append(a.sets, fmt.Sprint("train.lr=", lr))
		if head > 0 {
			a.sets = append(a.sets, fmt.Sprint("train.head_lr=", head))
		}
		return a
	}
	few := func(n int) arm { return arm{name: fmt.Sprint("fewshot-", n), learn: fewshot(n)} }
	return []arm{
		{name: "full", learn: train}, {name: "hf-full", peer: "full", learn: python("--epochs", "4", "--lr", "5e-5")},
		// All weights with words, and words and phrases, of the training texts in the vocabulary.
		{name: "full-words", sets: []string{"vocab.extend=all"}, learn: train}, {name: "full-phrases", sets: []string{"vocab.extend=all", "vocab.phrases=on"}, learn: train},
		{name: "full-last", sets: []string{"train.eval_every=860"}, learn: train}, // the last of 4 epochs' steps, as the reference takes, not the best of four validations
		{name: "lora", sets: []string{"preset=lora"}, learn: train}, {name: "hf-lora", peer: "lora", learn: python("--epochs", "4", "--lr", "1e-3", "--warmup", "0.1", "--lora", "8")},
		{name: "hf-lora-linear", peer: "lora", learn: python("--epochs", "4", "--lr", "1e-3", "--warmup", "0.1", "--lora", "4", "--targets", "all-linear")},
		few(8), {name: "setfit-8", peer: "fewshot-8", learn: setfit(8)},
		few(16), few(64),
		{name: "distilled", learn: distil},
		{name: "frozen", sets: []string{"train.freeze=encoder", "train.lr=5e-2"}, learn: train},
		{name: "gradual", sets: []string{"train.freeze=encoder", "train.unfreeze_every=60", "train.lr=1e-4"}, learn: train},
		peft(recipe.PeftRSLoRA), peft(recipe.PeftDoRA), peft(recipe.PeftAdaLoRA), peft(recipe.PeftIA3), peft(recipe.PeftHoulsby), peft(recipe.PeftPfeiffer),
		peft(recipe.PeftPrefix), peft(recipe.PeftPTuning), peft(recipe.PeftPrompt), peft(recipe.PeftBitFit),
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
	Trainable  int64   `json:",omitempty"`
	Parameters int64   `json:",omitempty"`
	Encoder    float64 // share of the encoder's parameters that is trained, heads aside
	TrainS     float64 // few-shot and its reference: with the prediction of the test rows
	PeakRSS    int64   // bytes
	Precision  string  `json:",omitempty"`
	Commit     string  `json:",omitempty"`
	Time       string
}

func (r Row) key() string { return fmt.Sprint(r.Method, r.Seed, r.Epochs, r.Threads, r.Split) }

type bench struct {
	bin, base, data, work, python string
	more                          []string
	file                          *rows.File[Row]
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "methods:", err)
		os.Exit(1)
	}
}

func run() error {
	root := os.Getenv("ISLM_TESTDATA")
	if root == "" {
		root = "../shared/data"
	}
	b := &bench{}
	path := flag.String("rows", "bench/results/methods.jsonl", "file of finished rows")
	flag.StringVar(&b.bin, "islm", "bin/islm", "islm")
	flag.StringVar(&b.base, "base", "all-MiniLM-L6-v2", "base model: a name in the model store, or with references a folder")
	flag.StringVar(&b.data, "data", filepath.Join(root, "finance/phrasebank-50agree"), "folder with train.jsonl, valid.jsonl and test.jsonl")
	flag.StringVar(&b.work, "work", filepath.Join(os.TempDir(), "islm-bench-methods"), "folder of the models that other arms need")
	flag.StringVar(&b.python, "python", "", "Python of the references")
	seeds := flag.String("seeds", "0,1,2", "seeds")
	only := flag.String("only", "", "run only these methods")
	epochs := flag.Int("epochs", 4, "epochs")
	threads := flag.Int("threads", 2, "threads")
	split := flag.String("split", "test", "test, or valid while settings are chosen")
	more := flag.String("set", "", "further settings of each run, a.b=c;d=e")
	flag.Parse()
	if *more != "" {
		b.more = strings.Split(*more, ";")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if b.file, err = rows.Open(*path, Row.key); err != nil {
		return err
	}
	commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		commit = nil // not in a checkout
	}
	for _, seed := range strings.Split(*seeds, ",") {
		for _, a := range arms() {
			if *only != "" && !slices.Contains(strings.Split(*only, ","), a.name) || a.peer != "" && b.python == "" {
				continue
			}
			r := Row{Method: a.name, Seed: seed, Epochs: *epochs, Threads: *threads, Split: *split, Commit: strings.TrimSpace(string(commit))}
			if b.file.Has(r) {
				continue
			}
			if err := a.learn(ctx, b, &r, a); err != nil {
				return fmt.Errorf("%s, seed %s: %w", a.name, seed, err)
			}
			r.Time = time.Now().UTC().Format(time.RFC3339)
			if err := b.file.Append(r); err != nil {
				return err
			}
		}
	}
	b.table(*split)
	return nil
}

// test is the file that is scored. While settings are chosen the valid split stands
// for the test split, which stays unseen.
func (b *bench) test(r *Row) string { return filepath.Join(b.data, r.Split+".jsonl") }

// islm runs the program; what an interrupted run left in the folder is removed.
func (b *bench) islm(ctx context.Context, r *Row, out, verb string, args ...string) error {
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	args = slices.Concat([]string{verb, "--quiet", "--out", out, "--seed", r.Seed, "--set", fmt.Sprint("train.threads=", r.Threads), "--set", "train.checkpoint_every=off"}, args)
	if r.Split != "test" {
		args = append(args, "--set", "data.test="+b.test(r))
	}
	cmd := exec.CommandContext(ctx, b.bin, args...)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// teacher is the folder of a seed's full model.
func (b *bench) teacher(r *Row) string {
	return filepath.Join(b.work, "full-"+r.Seed+"-"+r.Split)
}

func train(ctx context.Context, b *bench, r *Row, a arm) error {
	out := filepath.Join(b.work, "run")
	if a.name == "full" {
		out = b.teacher(r)
	}
	args := []string{"--base", b.base, "--data", b.data, "--set", fmt.Sprint("train.epochs=", r.Epochs)}
	for _, s := range slices.Concat(a.sets, b.more) {
		if preset, ok := strings.CutPrefix(s, "preset="); ok {
			args = append(args, "--recipe", preset)
			continue
		}
		args = append(args, "--set", s)
	}
	if err := b.islm(ctx, r, out, "train", args...); err != nil {
		return err
	}
	return r.read(out)
}

// distil trains a student of half the layers, by the preset's own epochs.
func distil(ctx context.Context, b *bench, r *Row, _ arm) error {
	if _, err := os.Stat(filepath.Join(b.teacher(r), "config.json")); err != nil {
		return fmt.Errorf("the teacher is missing, run full first: %w", err)
	}
	out := filepath.Join(b.work, "run")
	if err := b.islm(ctx, r, out, "distill", "--teacher", b.teacher(r), "--data", b.data); err != nil {
		return err
	}
	return r.read(out)
}

// read takes the scores of a finished training.
func (r *Row) read(out string) error {
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
	return nil
}

// draw writes shots examples of each class, the same for islm and its reference, and
// the rows to score.
func (b *bench) draw(r *Row, shots int) (string, error) {
	raw, err := os.ReadFile(filepath.Join(b.data, "train.jsonl"))
	if err != nil {
		return "", err
	}
	type line struct {
		text string
		at   uint64
	}
	by := map[string][]line{}
	for text := range strings.Lines(string(raw)) {
		var row struct{ Text, Label string }
		if err := json.Unmarshal([]byte(text), &row); err != nil {
			return "", err
		}
		h := fnv.New64a()
		fmt.Fprint(h, r.Seed, " ", row.Text)
		by[row.Label] = append(by[row.Label], line{text, h.Sum64()})
	}
	var train bytes.Buffer
	for _, label := range slices.Sorted(maps.Keys(by)) {
		slices.SortFunc(by[label], func(x, y line) int { return cmp.Compare(x.at, y.at) })
		for _, l := range by[label][:min(shots, len(by[label]))] {
			train.WriteString(l.text)
		}
	}
	test, err := os.ReadFile(b.test(r))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(b.work, fmt.Sprintf("draw-%d-%s", shots, r.Seed))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "train.jsonl"), train.Bytes(), 0o644); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "test.jsonl"), test, 0o644)
}

// fewshot trains the encoder on pairs, then a logistic regression.
func fewshot(shots int) func(context.Context, *bench, *Row, arm) error {
	return func(ctx context.Context, b *bench, r *Row, _ arm) error {
		dir, err := b.draw(r, shots)
		if err != nil {
			return err
		}
		out := filepath.Join(b.work, "run")
		if err := b.islm(ctx, r, out, "fewshot", "--base", b.base, "--data", dir, "--shots", strconv.Itoa(shots),
			"--set", "fewshot.splits=1", "--set", "fewshot.method=contrastive"); err != nil {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(out, "islm", "fewshot.json"))
		if err != nil {
			return err
		}
		var res struct {
			Rows []struct {
				Method   string
				Fold     int
				Accuracy float64
				MacroF1  float64 `json:"macro_f1"`
				Seconds  float64
			}
		}
		if err := json.Unmarshal(raw, &res); err != nil {
			return err
		}
		if err := r.read(out); err != nil { // peak memory and parameters
			return err
		}
		r.Encoder, r.Trainable = 1, r.Parameters
		for _, row := range res.Rows {
			if row.Method == "contrastive" && row.Fold < 0 {
				r.MacroF1, r.Accuracy, r.TrainS = row.MacroF1, row.Accuracy, row.Seconds
				return nil
			}
		}
		return fmt.Errorf("%s has no row of contrastive", out)
	}
}

// reference is what a Python program of bench/peers prints.
type reference struct {
	Trainable  int64   `json:"trainable"`
	Parameters int64   `json:"parameters"`
	TrainS     float64 `json:"train_s"`
	PredictS   float64 `json:"predict_s"`
	Accuracy   float64 `json:"accuracy"`
	MacroF1    float64 `json:"macro_f1"`
	PeakRSS    int64   `json:"peak_rss_bytes"`
}

func (b *bench) peer(ctx context.Context, r *Row, script string, args ...string) error {
	model := b.base
	if !filepath.IsAbs(model) {
		home, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		model = filepath.Join(home, "islm", "models", b.base)
	}
	args = slices.Concat([]string{script, "--model", model, "--test", b.test(r), "--seed", r.Seed, "--threads", strconv.Itoa(r.Threads)}, args)
	cmd := exec.CommandContext(ctx, b.python, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, errs.String())
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	var last []byte
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) > 0 {
			last = slices.Clone(lines.Bytes())
		}
	}
	var m reference
	if err := json.Unmarshal(last, &m); err != nil {
		return fmt.Errorf("%s printed %q: %w", script, last, err)
	}
	r.Trainable, r.Parameters, r.MacroF1, r.Accuracy, r.TrainS, r.PeakRSS = m.Trainable, m.Parameters, m.MacroF1, m.Accuracy, m.TrainS+m.PredictS, m.PeakRSS
	return nil
}

// python is the reference that trains as islm does: bf16, batches of similar length.
func python(args ...string) func(context.Context, *bench, *Row, arm) error {
	return func(ctx context.Context, b *bench, r *Row, _ arm) error {
		r.Precision = "bf16"
		return b.peer(ctx, r, "bench/peers/hf_baseline.py", append([]string{"--task", "classify", "--recipe", "best", "--train", filepath.Join(b.data, "train.jsonl")}, args...)...)
	}
}

func setfit(shots int) func(context.Context, *bench, *Row, arm) error {
	return func(ctx context.Context, b *bench, r *Row, _ arm) error {
		dir, err := b.draw(r, shots)
		if err != nil {
			return err
		}
		r.Precision = "fp32"
		return b.peer(ctx, r, "bench/peers/setfit_fewshot.py", "--train", filepath.Join(dir, "train.jsonl"), "--iterations", "20")
	}
}

// table prints mean and deviation per method and number of threads, the distance to
// full tuning, and for a reference what it says of the method beside it.
func (b *bench) table(split string) {
	type group struct {
		method  string
		threads int
	}
	of := map[group][]Row{}
	var groups []group
	for _, r := range b.file.All {
		if g := (group{r.Method, r.Threads}); r.Split == split {
			if of[g] == nil {
				groups = append(groups, g)
			}
			of[g] = append(of[g], r)
		}
	}
	order := func(name string) int { return slices.IndexFunc(arms(), func(a arm) bool { return a.name == name }) }
	slices.SortFunc(groups, func(x, y group) int {
		return cmp.Or(cmp.Compare(order(x.method), order(y.method)), cmp.Compare(x.threads, y.threads))
	})
	score := func(all []Row) (mean, deviation float64) {
		var v []float64
		for _, r := range all {
			v = append(v, r.MacroF1)
		}
		return rows.Mean(v)
	}
	seconds := func(all []Row) float64 {
		var v []float64
		for _, r := range all {
			v = append(v, r.TrainS)
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	for _, g := range groups {
		at := order(g.method)
		if at < 0 {
			continue // a method of another version
		}
		all := of[g]
		last := all[len(all)-1]
		m, d := score(all)
		row := map[string]any{"method": g.method, "threads": g.threads, "runs": len(all), "macro_f1": m, "deviation": d, "trainable": last.Trainable,
			"encoder_share": last.Encoder, "seconds": seconds(all), "peak_rss_bytes": last.PeakRSS}
		if full := of[group{"full", g.threads}]; len(full) > 0 {
			mean, _ := score(full)
			row["to_full"] = m - mean
		}
		if own := of[group{arms()[at].peer, g.threads}]; len(own) > 0 {
			mine, _ := score(own)
			row["islm_better_by"], row["islm_faster_by"] = mine-m, seconds(all)/seconds(own)
		}
		if text, err := json.Marshal(row); err == nil {
			fmt.Println(string(text))
		}
	}
}
