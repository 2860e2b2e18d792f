// Command distill holds three-layer students against their six-layer teachers on
// Financial PhraseBank and CoNLL-2003: score, and how fast they predict. Beside the
// student of `islm distill` stands the same student, cut from the same teacher,
// that learns the labels alone for as many steps.
//
//	go run ./bench/distill [-rows bench/results/distill.jsonl] [-data phrasebank,conll] [-seeds 0,1,2] [-split test|valid]
//	go run ./bench/distill -bar speed
//
// Rows that exist in the file are not run again. Models stay in the folder of
// -work, so that a teacher is trained once. Settings are chosen with -split valid,
// which scores on the validation rows and never reads the test rows.
package main

import (
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
	"slices"
	"strings"
	"time"

	"github.com/islm-dev/islm/bench/rows"
)

// set is a data set with the settings of its teacher and of all its students.
type set struct {
	name, path, valid, metric string
	teacher, student          []string
}

func sets() []set {
	return []set{
		{"phrasebank", "finance/phrasebank-50agree", "valid.jsonl", "macro_f1", []string{"--set", "train.epochs=4"}, nil},
		{"conll", "general/conll2003", "valid.conll", "entity_f1", []string{"--recipe", "ner"}, []string{"--set", "data.max_length=128", "--set", "train.metric=entity_f1"}},
	}
}

// Arms of the quality bar.
const (
	teacher = "teacher"
	student = "student"
	alone   = "alone" // the student without what the teacher says
)

// Row is one finished training, or with Bar speed one timed prediction.
type Row struct {
	Bar        string
	Data       string
	Arm        string
	Seed       string
	Split      string   `json:",omitempty"`
	Set        []string `json:",omitempty"` // settings beside the defaults
	Round      int      `json:",omitempty"`
	Score      float64  `json:",omitempty"`
	Steps      int      `json:",omitempty"`
	TrainS     float64  `json:",omitempty"`
	Parameters int64    `json:",omitempty"`
	PeakRSS    int64    `json:",omitempty"` // bytes
	RowsPerS   float64  `json:",omitempty"`
	Precision  string   `json:",omitempty"`
	Commit     string   `json:",omitempty"`
	Time       string
}

func (r Row) key() string { return fmt.Sprint(r.Bar, r.Data, r.Arm, r.Seed, r.Split, r.Set, r.Round) }

type bench struct {
	bin, base, root, work, split string
	via                          []string
	threads, rounds              int
	more                         []string
	file                         *rows.File[Row]
	commit                       string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/distill:", err)
		os.Exit(1)
	}
}

func run() error {
	root := os.Getenv("ISLM_TESTDATA")
	if root == "" {
		root = "../shared/data"
	}
	path := flag.String("rows", "bench/results/distill.jsonl", "file of finished rows")
	bar := flag.String("bar", "quality", "quality or speed")
	bin := flag.String("islm", "bin/islm", "islm")
	base := flag.String("base", "all-MiniLM-L6-v2", "base model of the teachers")
	work := flag.String("work", filepath.Join(os.TempDir(), "islm-bench-distill"), "folder of the models")
	names := flag.String("data", "phrasebank,conll", "data sets")
	seeds := flag.String("seeds", "0,1,2", "seeds")
	arms := flag.String("arms", "teacher,student,alone", "arms")
	split := flag.String("split", "test", "test, or valid while settings are chosen")
	more := flag.String("set", "", "further settings of the students, a.b=c;d=e")
	threads := flag.Int("threads", 2, "threads")
	rounds := flag.Int("rounds", 5, "rounds of the speed bar")
	via := flag.String("via", "", "command that each training runs through, such as nice")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	file, err := rows.Open(*path, Row.key)
	if err != nil {
		return err
	}
	b := &bench{bin: *bin, base: *base, root: root, work: *work, split: *split, via: strings.Fields(*via), threads: *threads, rounds: *rounds, file: file}
	if *more != "" {
		b.more = strings.Split(*more, ";")
	}
	if commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		b.commit = strings.TrimSpace(string(commit))
	}
	for _, seed := range strings.Split(*seeds, ",") {
		for _, s := range sets() {
			if !slices.Contains(strings.Split(*names, ","), s.name) {
				continue
			}
			if *bar == "speed" {
				if err := b.speed(ctx, s, seed); err != nil {
					return fmt.Errorf("speed on %s: %w", s.name, err)
				}
				continue
			}
			for _, arm := range []string{teacher, student, alone} {
				if !slices.Contains(strings.Split(*arms, ","), arm) {
					continue
				}
				if err := b.quality(ctx, s, arm, seed); err != nil {
					return fmt.Errorf("%s on %s, seed %s: %w", arm, s.name, seed, err)
				}
			}
		}
	}
	b.table()
	return nil
}

// model is the folder of one training.
func (b *bench) model(s set, arm, seed string) string {
	name := strings.Join([]string{s.name, arm, seed, b.split}, "-")
	if arm != teacher && len(b.more) > 0 {
		name += "-" + strings.Map(func(r rune) rune {
			if strings.ContainsRune("/[] ,", r) {
				return '_'
			}
			return r
		}, strings.Join(b.more, "-"))
	}
	return filepath.Join(b.work, name)
}

func (b *bench) quality(ctx context.Context, s set, arm, seed string) error {
	r := Row{Bar: "quality", Data: s.name, Arm: arm, Seed: seed, Split: b.split}
	if arm != teacher {
		r.Set = b.more
	}
	data, out := filepath.Join(b.root, s.path), b.model(s, arm, seed)
	_, missing := os.Stat(filepath.Join(out, "config.json"))
	known := b.file.Has(r)
	if known && (arm != teacher || missing == nil) { // a teacher's row is no help to the students where its folder is gone
		return nil
	}
	args := []string{"--quiet", "--data", data, "--out", out, "--seed", seed, "--set", fmt.Sprint("train.threads=", b.threads), "--set", "train.checkpoint_every=off"}
	if b.split == "valid" {
		args = append(args, "--set", "data.test="+filepath.Join(data, s.valid))
	}
	switch arm {
	case teacher:
		args = append(append([]string{"train", "--base", b.base}, args...), s.teacher...)
	default:
		args = append(append([]string{"distill", "--teacher", b.model(s, teacher, seed)}, args...), s.student...)
		for _, item := range b.more {
			args = append(args, "--set", item)
		}
	}
	if arm == alone {
		for _, item := range []string{"labels=1", "logits=0", "hidden=0", "attention=0", "relation=0", "embeddings=0"} {
			args = append(args, "--set", "distill."+item)
		}
	}
	// A teacher that is there, as bench/methods leaves it, is trained by the same plan.
	if arm != teacher || missing != nil {
		if err := b.islm(ctx, out, args...); err != nil {
			return err
		}
	}
	if known {
		return nil
	}
	raw, err := os.ReadFile(filepath.Join(out, "islm", "metrics.json"))
	if err != nil {
		return err
	}
	var m struct {
		Heads map[string]map[string]any
		Train struct {
			Steps      int     `json:"steps"`
			Seconds    float64 `json:"seconds"`
			Peak       int64   `json:"peak_rss_bytes"`
			Parameters int64   `json:"parameters"`
			Precision  string  `json:"precision"`
		}
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	if len(m.Heads) != 1 {
		return fmt.Errorf("%d heads, wanted one", len(m.Heads))
	}
	for _, h := range m.Heads {
		score, ok := h[s.metric].(float64)
		if !ok {
			return fmt.Errorf("metrics.json has no %s", s.metric)
		}
		r.Score = score
	}
	r.Steps, r.TrainS, r.PeakRSS, r.Parameters, r.Precision = m.Train.Steps, m.Train.Seconds, m.Train.Peak, m.Train.Parameters, m.Train.Precision
	return b.append(r)
}

// islm runs a training; what an interrupted one left is removed.
func (b *bench) islm(ctx context.Context, out string, args ...string) error {
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	line := append(append(slices.Clone(b.via), b.bin), args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

func (b *bench) append(r Row) error {
	r.Commit, r.Time = b.commit, time.Now().UTC().Format(time.RFC3339)
	return b.file.Append(r)
}

// speed times predictions of the test rows by teacher and student in turn. The
// time of a single row, which is start and loading, is taken off.
func (b *bench) speed(ctx context.Context, s set, seed string) error {
	tmp, err := os.MkdirTemp("", "islm-bench-distill")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // a temporary folder
	all, one := filepath.Join(tmp, "all.txt"), filepath.Join(tmp, "one.txt")
	texts, err := texts(filepath.Join(b.root, s.path))
	if err != nil {
		return err
	}
	if len(texts) < 2 {
		return fmt.Errorf("%d texts in the test split of %s", len(texts), s.path)
	}
	if err := os.WriteFile(all, []byte(strings.Join(texts, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(one, []byte(texts[0]+"\n"), 0o644); err != nil {
		return err
	}
	predict := func(model, in string) (time.Duration, error) {
		cmd := exec.CommandContext(ctx, b.bin, "predict", "--quiet", "--json", "--model", model, "--in", in, "--out", filepath.Join(tmp, "out.jsonl"))
		cmd.Stderr = os.Stderr
		begin := time.Now()
		err := cmd.Run()
		return time.Since(begin), err
	}
	for round := 1; round <= b.rounds; round++ {
		for _, arm := range []string{teacher, student} {
			r := Row{Bar: "speed", Data: s.name, Arm: arm, Seed: seed, Round: round}
			if b.file.Has(r) {
				continue
			}
			model := b.model(s, arm, seed)
			if _, err := os.Stat(filepath.Join(model, "config.json")); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s is missing: run the quality bar first", model)
			}
			start, err := predict(model, one)
			if err != nil {
				return err
			}
			took, err := predict(model, all)
			if err != nil {
				return err
			}
			r.RowsPerS = float64(len(texts)-1) / (took - start).Seconds()
			if err := b.append(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// texts are the texts of the test split.
func texts(dir string) (out []string, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, "test.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		if raw, err = os.ReadFile(filepath.Join(dir, "test.conll")); err != nil {
			return nil, err
		}
		for block := range strings.SplitSeq(string(raw), "\n\n") {
			var words []string
			for line := range strings.Lines(block) {
				if columns := strings.Fields(line); len(columns) > 1 && columns[0] != "-DOCSTART-" {
					words = append(words, columns[0])
				}
			}
			if len(words) > 0 {
				out = append(out, strings.Join(words, " "))
			}
		}
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(raw)) {
		var row struct{ Text string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			return nil, err
		}
		out = append(out, strings.ReplaceAll(row.Text, "\n", " "))
	}
	return out, nil
}

// table prints for each data set what the student keeps of its teacher.
func (b *bench) table() {
	for _, s := range sets() {
		score, speed := map[string][]float64{}, map[string][]float64{}
		for _, r := range b.file.All {
			switch {
			case r.Data != s.name:
			case r.Bar == "speed":
				speed[r.Arm] = append(speed[r.Arm], r.RowsPerS)
			case r.Split == b.split && (r.Arm == teacher || slices.Equal(r.Set, b.more)):
				score[r.Arm] = append(score[r.Arm], r.Score)
			}
		}
		if len(score[teacher]) == 0 || len(score[student]) == 0 {
			continue
		}
		t, td := rows.Mean(score[teacher])
		d, dd := rows.Mean(score[student])
		a, ad := rows.Mean(score[alone])
		row := map[string]any{"data": s.name, "split": b.split, "metric": s.metric, "teachers": len(score[teacher]), "students": len(score[student]),
			"teacher": t, "teacher_deviation": td, "student": d, "student_deviation": dd, "kept": d / t}
		if len(score[alone]) > 0 {
			row["alone"], row["alone_deviation"], row["gain"] = a, ad, d-a
		}
		if fast, _ := rows.Mean(speed[student]); fast > 0 {
			slow, _ := rows.Mean(speed[teacher])
			row["speedup"] = fast / slow
		}
		if text, err := json.Marshal(row); err == nil {
			fmt.Println(string(text))
		}
	}
}
