// Command vocab measures what a domain's terms in a vocabulary give and cost, and
// prints one JSON row per measurement.
//
//	go run ./bench/vocab [-bar pieces,speed,init] [-rows bench/results/vocab.jsonl]
//
// pieces: tokens per word on held-out texts of a domain, before and after. speed:
// time to load a tokenizer with 20,000 terms, and its encoding speed beside the
// base's; it wants a machine where nothing else runs. init: log-loss of a masked
// language model on held-out texts after 50 steps, for each way to make the rows
// of new pieces and five seeds; it runs `islm vocab probe` on -model, a BERT with
// its language model head.
//
// Rows that exist in the file are not measured again, so that a long measurement
// can be stopped and continued.
package main

import (
	"bufio"
	"cmp"
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
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "vocab:", err)
		os.Exit(1)
	}
}

// bench is one call of the command.
type bench struct {
	data, tokenizers string // test data
	bin, model       string
	rows             string
	seconds          float64
	rounds           int
	done             map[string]bool
	commit           string
}

// row is what all rows hold; Name tells it from the others of its bar.
type row struct {
	Bar    string `json:"bar"`
	Name   string `json:"name"`
	Commit string `json:"commit,omitempty"`
}

func run() error {
	data := cmp.Or(os.Getenv("ISLM_TESTDATA"), "../shared/data")
	b := &bench{data: data, tokenizers: filepath.Join(data, "../tokenizers"), done: map[string]bool{}}
	bars := flag.String("bar", "pieces,speed,init", "what is measured")
	flag.StringVar(&b.rows, "rows", "bench/results/vocab.jsonl", "file of finished rows")
	flag.StringVar(&b.bin, "islm", "bin/islm", "islm")
	flag.StringVar(&b.model, "model", "", "init: folder of a BERT with a language model head")
	flag.Float64Var(&b.seconds, "seconds", 2, "speed: time of one measurement")
	flag.IntVar(&b.rounds, "rounds", 5, "speed: measurements")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.read(); err != nil {
		return err
	}
	if out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		b.commit = strings.TrimSpace(string(out))
	}
	for _, bar := range strings.Split(*bars, ",") {
		measure, ok := map[string]func(context.Context) error{"pieces": b.pieces, "speed": b.speed, "init": b.inits}[bar]
		if !ok {
			return fmt.Errorf("there is no bar %q (pieces, speed, init)", bar)
		}
		if err := measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", bar, err)
		}
	}
	return nil
}

func (b *bench) read() error {
	f, err := os.Open(b.rows)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("%s: %w", b.rows, err)
		}
		b.done[r.Bar+" "+r.Name] = true
	}
	return nil
}

// missing reports whether a row is missing, and names it.
func (b *bench) missing(bar, name string) (row, bool) {
	return row{bar, name, b.commit}, !b.done[bar+" "+name]
}

// put prints a row and appends it to the file.
func (b *bench) put(r any) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	f, err := os.OpenFile(b.rows, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // a results file
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, string(text))
	return errors.Join(err, f.Close())
}
