// Command fewshot compares the ways to learn from a few examples: islm fewshot
// on a data set, ten draws, the chosen method beside the baselines. It appends one
// JSON row per method and draw, and one with the comparison.
//
//	go run ./bench/fewshot -data phrasebank-50agree=DIR -data clinc150=DIR -shots 8
//	go run ./bench/fewshot -data phrasebank-50agree=DIR -label 6
//
// With -label it times, so many times, how a label is added from four texts to a model
// of prototypes: the whole command.
//
// A run that was cut short goes on; data sets whose comparison is in the file are
// passed over.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// row is one line of the file.
type row struct {
	Data     string `json:"data"`
	Shots    int    `json:"shots"`
	Base     string `json:"base"`
	Method   string `json:"method,omitempty"`   // named by -method, not chosen
	Compared any    `json:"compared,omitempty"` // the last row of a data set
	Chosen   string `json:"chosen,omitempty"`
	CV       any    `json:"cv,omitempty"`
	Rounds   int    `json:"rounds,omitempty"`     // of the cross-validation
	Others   any    `json:"candidates,omitempty"` // its methods beside the first
	One      any    `json:"row,omitempty"`

	LabelS float64 `json:"label_s,omitempty"` // seconds of one islm fewshot --add-label
	Round  int     `json:"round,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var sets []string
	bin := flag.String("islm", "bin/islm", "the program")
	out := flag.String("rows", "bench/results/fewshot.jsonl", "file of rows")
	work := flag.String("work", "runs/bench-fewshot", "folder of the runs")
	base := flag.String("base", "all-MiniLM-L6-v2", "base model")
	threads := flag.Int("threads", runtime.NumCPU(), "threads")
	shots := flag.Int("shots", 8, "examples of each class")
	method := flag.String("method", "", "method, without a cross-validation")
	labels := flag.Int("label", 0, "times that a label is added, in place of the comparison")
	flag.Func("data", "NAME=FOLDER of a data set (repeatable)", func(s string) error {
		if !strings.Contains(s, "=") {
			return errors.New("NAME=FOLDER is wanted")
		}
		sets = append(sets, s)
		return nil
	})
	flag.Parse()
	done := map[string]bool{}
	if f, err := os.Open(*out); err == nil {
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var r row
			if json.Unmarshal(lines.Bytes(), &r) == nil && r.Compared != nil {
				done[fmt.Sprint(r.Data, r.Shots, r.Base, r.Method)] = true
			}
		}
		f.Close() //nolint:errcheck,gosec // only read
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, s := range sets {
		name, dir, _ := strings.Cut(s, "=")
		if *labels > 0 {
			if err := addLabels(*bin, *base, *out, name, dir, filepath.Join(*work, name+"-label"), *labels); err != nil {
				return fmt.Errorf("add a label on %s: %w", name, err)
			}
			continue
		}
		if done[fmt.Sprint(name, *shots, *base, *method)] {
			continue
		}
		folder := filepath.Join(*work, fmt.Sprintf("%s-%d%s", name, *shots, *method))
		cmd := exec.Command(*bin, "fewshot", "--data", dir, "--base", *base, "--shots", fmt.Sprint(*shots), "--out", folder, "--resume", "--json", "--set", fmt.Sprint("train.threads=", *threads)) //nolint:gosec // our own program
		if *method != "" {
			cmd.Args = append(cmd.Args, "--set", "fewshot.method="+*method)
		}
		cmd.Stderr = os.Stderr
		if _, err := cmd.Output(); err != nil {
			return fmt.Errorf("islm fewshot on %s: %w", name, err)
		}
		data, err := os.ReadFile(filepath.Join(folder, "islm", "fewshot.json"))
		if err != nil {
			return err
		}
		var res struct {
			Method     string           `json:"method"`
			CV         map[string]any   `json:"cv"`
			Rounds     int              `json:"rounds"`
			Candidates []map[string]any `json:"candidates"`
			Rows       []map[string]any `json:"rows"`
			Compared   []map[string]any `json:"compared"`
		}
		if err := json.Unmarshal(data, &res); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(*out), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(*out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		enc := json.NewEncoder(f)
		for _, r := range res.Rows {
			err = errors.Join(err, enc.Encode(row{Data: name, Shots: *shots, Base: *base, Method: *method, One: r}))
		}
		err = errors.Join(err, enc.Encode(row{Data: name, Shots: *shots, Base: *base, Method: *method, Chosen: res.Method, CV: res.CV, Rounds: res.Rounds, Others: res.Candidates, Compared: res.Compared}), f.Close())
		if err != nil {
			return err
		}
	}
	return nil
}

// addLabels appends a row for each label that is added to a model of prototypes.
func addLabels(bin, base, out, name, dir, work string, times int) error {
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	call := func(args ...string) error {
		cmd := exec.Command(bin, append([]string{"fewshot", "--quiet"}, args...)...) //nolint:gosec // our own program
		cmd.Stderr = os.Stderr
		return cmd.Run()
	}
	if err := call("--data", dir, "--base", base, "--out", work, "--set", "fewshot.method=prototype", "--set", "fewshot.splits=1"); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "train.jsonl"))
	if err != nil {
		return err
	}
	texts := filepath.Join(work, "texts.jsonl")
	if err := os.WriteFile(texts, []byte(strings.Join(strings.SplitAfterN(string(raw), "\n", 5)[:4], "")), 0o644); err != nil { //nolint:gosec // nothing secret
		return err
	}
	f, err := os.OpenFile(out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // Encode's error counts
	for i := range times {
		begin := time.Now()
		if err := call("--model", work, "--add-label", fmt.Sprint("new", i+1), "--in", texts); err != nil {
			return err
		}
		if err := json.NewEncoder(f).Encode(row{Data: name, Base: base, LabelS: time.Since(begin).Seconds(), Round: i + 1}); err != nil {
			return err
		}
	}
	return nil
}
