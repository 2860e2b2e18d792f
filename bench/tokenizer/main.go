// Command tokenizer measures core/token against Python's tokenizers on the same
// texts, each on one core, and prints one JSON object.
//
//	go run ./bench/tokenizer [-tokenizer FILE.json] [-corpus FILE.jsonl] [-seconds 3] [-rounds 3]
//
// What terms cost that are added to a tokenizer is measured by bench/vocab.
//
// Rounds alternate (A B A B …), because machines drift; run it with nothing else
// running. Loading the tokenizer and reading the corpus are not counted, every
// pass encodes each line by itself with ids and offsets. Python is taken from
// ISLM_PY, else from the environment of `make py`.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/islm-dev/islm/core/token"
)

// Run is one measurement.
type Run struct {
	System  string  `json:"system"` // islm | tokenizers
	Round   int     `json:"round"`
	Tokens  int     `json:"tokens"` // of one pass, special tokens included
	Passes  int     `json:"passes"`
	Seconds float64 `json:"seconds"`
	TokensS float64 `json:"tokens_per_s"`
}

// Result is what is printed.
type Result struct {
	Tokenizer  string  `json:"tokenizer"`
	Lines      int     `json:"lines"`
	Bytes      int     `json:"bytes"`
	Runs       []Run   `json:"runs"`
	Islm       float64 `json:"islm_tokens_per_s"`       // median
	Tokenizers float64 `json:"tokenizers_tokens_per_s"` // median, encode of one text after the other
	Batch      float64 `json:"tokenizers_batch_tokens_per_s"`
	Ratio      float64 `json:"ratio"`        // to the faster of the peer's two ways
	MegabyteMS float64 `json:"megabyte_ms"`  // islm: one text of 1,000,000 bytes
	SameTokens bool    `json:"same_tokens"`  // both systems count the same ids
	Python     string  `json:"peer_version"` // of tokenizers
}

func main() {
	shared := filepath.Join(cmp.Or(os.Getenv("ISLM_TESTDATA"), "../shared/data"), "../tokenizers")
	file := flag.String("tokenizer", filepath.Join(shared, "bert_uncased.json"), "tokenizer.json")
	corpus := flag.String("corpus", filepath.Join(shared, "corpus.jsonl"), `lines {"text": …}`)
	seconds := flag.Float64("seconds", 3, "time of one measurement")
	rounds := flag.Int("rounds", 3, "measurements of each system")
	home := os.Getenv("ISLM_HOME")
	if home == "" {
		cache, _ := os.UserCacheDir()
		home = filepath.Join(cache, "islm")
	}
	python := flag.String("python", cmp.Or(os.Getenv("ISLM_PY"), filepath.Join(home, "py/bin/python")), "Python with tokenizers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, *file, *corpus, *python, *seconds, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench/tokenizer:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, file, corpus, python string, seconds float64, rounds int) error {
	runtime.GOMAXPROCS(1)
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	tok, err := token.FromJSON(data)
	if err != nil {
		return err
	}
	texts, size, err := readTexts(corpus)
	if err != nil {
		return err
	}
	result := Result{Tokenizer: filepath.Base(file), Lines: len(texts), Bytes: size}
	var ours, single, batch []float64
	encodeAll(tok, texts) // as the peer does
	for round := range rounds {
		own := measureOwn(ctx, tok, texts, seconds)
		own.Round = round
		peer, err := measurePeer(ctx, python, file, corpus, seconds)
		if err != nil {
			return err
		}
		result.Runs = append(result.Runs, own)
		ours = append(ours, own.TokensS)
		for _, run := range peer.Runs {
			run.Round = round
			result.Runs = append(result.Runs, run)
			if run.System == "tokenizers" {
				single = append(single, run.TokensS)
				result.SameTokens = run.Tokens == own.Tokens
			} else {
				batch = append(batch, run.TokensS)
			}
		}
		result.Python = peer.Version
	}
	result.Islm, result.Tokenizers, result.Batch = median(ours), median(single), median(batch)
	result.Ratio = result.Islm / max(result.Tokenizers, result.Batch)
	long := ""
	for i := 0; len(long) < 1_000_000; i++ {
		long += texts[i%len(texts)] + " "
	}
	start := time.Now()
	tok.Encode(long, token.Options{})
	result.MegabyteMS = time.Since(start).Seconds() * 1000
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(result)
}

func readTexts(path string) (texts []string, size int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReader(f))
	for d.More() {
		var line struct {
			Text string `json:"text"`
		}
		if err := d.Decode(&line); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", path, err)
		}
		texts = append(texts, line.Text)
		size += len(line.Text)
	}
	if len(texts) == 0 {
		return nil, 0, errors.New(path + " has no texts")
	}
	return texts, size, nil
}

func encodeAll(tok *token.Tokenizer, texts []string) int {
	n := 0
	for _, text := range texts {
		e := tok.Encode(text, token.Options{})
		n += e.Len()
	}
	return n
}

func measureOwn(ctx context.Context, tok *token.Tokenizer, texts []string, seconds float64) Run {
	run := Run{System: "islm"}
	start := time.Now()
	for ctx.Err() == nil && (run.Passes == 0 || time.Since(start).Seconds() < seconds) {
		run.Tokens = encodeAll(tok, texts)
		run.Passes++
	}
	run.Seconds = time.Since(start).Seconds()
	run.TokensS = float64(run.Tokens*run.Passes) / run.Seconds
	return run
}

type peerResult struct {
	Version string `json:"version"`
	Runs    []Run  `json:"runs"`
}

func measurePeer(ctx context.Context, python, file, corpus string, seconds float64) (peerResult, error) {
	c := exec.CommandContext(ctx, python, "bench/peers/tokenizer.py", file, corpus, fmt.Sprint(seconds))
	c.Env = append(os.Environ(), "TOKENIZERS_PARALLELISM=false", "RAYON_NUM_THREADS=1")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return peerResult{}, fmt.Errorf("run the peer: %w", err)
	}
	var peer peerResult
	if err := json.Unmarshal(out, &peer); err != nil {
		return peerResult{}, fmt.Errorf("read the peer's result: %w", err)
	}
	return peer, nil
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}
