package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/islm-dev/islm/core/token"
)

// Extended is the row of a tokenizer with terms added.
type Extended struct {
	Bench     string  `json:"bench"`
	Tokenizer string  `json:"tokenizer"`
	Corpus    string  `json:"corpus"`
	Terms     string  `json:"terms"`
	Added     int     `json:"added"`
	Phrases   int     `json:"phrases"` // of several words among them
	Found     int     `json:"found"`   // new pieces in the corpus
	Pieces    [2]int  `json:"pieces"`  // of the corpus before and after
	LoadS     float64 `json:"load_s"`  // CPU time, median
	BaseMBs   float64 `json:"base_mb_per_s"`
	MBs       float64 `json:"mb_per_s"`
	Ratio     float64 `json:"ratio"` // median over rounds
}

const wanted = 20000 // new pieces

// measureExtended alternates rounds of base and extension. CPU time is taken,
// because other processes take wall time away.
func measureExtended(file, corpus, terms, results string, seconds float64, rounds int) error {
	runtime.GOMAXPROCS(1)
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	base, err := token.FromJSON(data)
	if err != nil {
		return err
	}
	texts, size, err := readTexts(corpus)
	if err != nil {
		return err
	}
	if data, err = os.ReadFile(terms); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	ext, added, _, err := base.Extend(lines)
	if err == nil && len(added) > wanted {
		ext, added, _, err = base.Extend(lines[:added[wanted-1].Term+1])
	}
	if err != nil {
		return err
	}
	row := Extended{Bench: "tokenizer-extend", Tokenizer: filepath.Base(file), Corpus: filepath.Base(corpus), Terms: filepath.Base(terms), Added: len(added)}
	for _, a := range added {
		if strings.Contains(a.Content, " ") {
			row.Phrases++
		}
	}
	dir, err := os.MkdirTemp("", "islm-tokenizer")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if err := ext.Save(dir); err != nil {
		return err
	}
	var load, before, after, ratio []float64
	for range rounds {
		start := cpuTime()
		if ext, err = token.Load(dir); err != nil {
			return err
		}
		load = append(load, cpuTime()-start)
		var rate [2]float64
		for i, tok := range []*token.Tokenizer{base, ext} {
			encodeAll(tok, texts)
			start, begin, passes := cpuTime(), time.Now(), 0
			for passes == 0 || time.Since(begin).Seconds() < seconds {
				row.Pieces[i] = encodeAll(tok, texts)
				passes++
			}
			rate[i] = float64(size*passes) / (cpuTime() - start) / 1e6
		}
		before, after, ratio = append(before, rate[0]), append(after, rate[1]), append(ratio, rate[1]/rate[0])
	}
	for _, text := range texts {
		for _, id := range ext.Encode(text, token.Options{}).IDs {
			if int(id) >= base.VocabSize() {
				row.Found++
			}
		}
	}
	row.LoadS, row.BaseMBs, row.MBs, row.Ratio = median(load), median(before), median(after), median(ratio)
	line, err := json.Marshal(row)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	f, err := os.OpenFile(results, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // a results file
	if err != nil {
		return err
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// cpuTime is the CPU time of this process, all threads, in seconds.
func cpuTime() float64 {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
}
