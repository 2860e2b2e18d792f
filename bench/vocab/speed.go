package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/core/vocab"
)

// wanted is how many new pieces the tokenizers of bar speed have.
const wanted = 20000

type speedRow struct {
	row
	Corpus  string  `json:"corpus"`
	Added   int     `json:"added"`
	Phrases int     `json:"phrases"` // of several words among them
	Found   int     `json:"found"`   // new pieces in the corpus
	Pieces  [2]int  `json:"pieces"`  // of the corpus before and after
	LoadS   float64 `json:"load_s"`  // CPU time, median
	BaseMBs float64 `json:"base_mb_per_s"`
	MBs     float64 `json:"mb_per_s"`
	Ratio   float64 `json:"ratio"` // median over rounds
}

// speed measures words, and names of several words, on all NCBI abstracts.
func (b *bench) speed(ctx context.Context) error {
	base, err := b.tokenizer("bert_uncased")
	if err != nil {
		return err
	}
	texts, err := b.texts(ctx, "medical/ner-ncbi-disease/train.conll", "medical/ner-ncbi-disease/valid.conll", "medical/ner-ncbi-disease/test.conll")
	if err != nil {
		return err
	}
	names, err := b.columns("medical/kg-hpo/terms.tsv", 1, 2)
	if err != nil {
		return err
	}
	codes, err := b.columns("medical/icd10cm/codes.tsv", 1, 2)
	if err != nil {
		return err
	}
	for _, list := range []string{"words", "names"} {
		r := speedRow{row: row{}, Corpus: "ncbi-disease"}
		var missing bool
		if r.row, missing = b.missing("speed", list); !missing {
			continue
		}
		contents := names
		if list == "words" {
			s, err := vocab.Choose(ctx, vocab.Request{Base: base, Max: wanted, Words: true, Count: 1, Texts: each(slices.Concat(texts, names, codes))})
			if err != nil {
				return err
			}
			contents = nil
			for _, c := range s.Choices {
				contents = append(contents, c.Text)
			}
		}
		if err := r.measure(base, contents, texts, b.seconds, b.rounds); err != nil {
			return err
		}
		if err := b.put(r); err != nil {
			return err
		}
	}
	return b.chineseSpeed(ctx)
}

// chineseSpeed adds a lexicon's words, which are found inside of running text, to a
// WordPiece and to a byte-level vocabulary.
func (b *bench) chineseSpeed(ctx context.Context) error {
	texts, err := b.texts(ctx, "general/zh-chnsenticorp/test_clean.jsonl")
	if err != nil {
		return err
	}
	var words []string
	for _, name := range []string{"finance", "law", "medical"} {
		of, err := b.columns("general/lexicon-thuocl/"+name+".txt", 0)
		if err != nil {
			return err
		}
		words = append(words, of...)
	}
	for _, name := range []string{"bert_cased_zh", "roberta"} {
		r := speedRow{Corpus: "zh-chnsenticorp"}
		var missing bool
		if r.row, missing = b.missing("speed", "chinese-"+name); !missing {
			continue
		}
		base, err := b.tokenizer(name)
		if err != nil {
			return err
		}
		if err := r.measure(base, words, texts, b.seconds, b.rounds); err != nil {
			return err
		}
		if err := b.put(r); err != nil {
			return err
		}
	}
	return nil
}

// measure alternates rounds of base and extension. CPU time is taken, because other
// processes take wall time away.
func (r *speedRow) measure(base *token.Tokenizer, contents, texts []string, seconds float64, rounds int) error {
	runtime.GOMAXPROCS(1)
	ext, added, _, err := base.Extend(contents)
	if err == nil && len(added) > wanted {
		ext, added, _, err = base.Extend(contents[:added[wanted-1].Term+1])
	}
	if err != nil {
		return err
	}
	r.Added = len(added)
	for _, a := range added {
		if strings.Contains(a.Content, " ") {
			r.Phrases++
		}
	}
	size := 0
	for _, text := range texts {
		size += len(text)
	}
	dir, err := os.MkdirTemp("", "islm-vocab")
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
				r.Pieces[i] = encodeAll(tok, texts)
				passes++
			}
			rate[i] = float64(size*passes) / (cpuTime() - start) / 1e6
		}
		before, after, ratio = append(before, rate[0]), append(after, rate[1]), append(ratio, rate[1]/rate[0])
	}
	for _, text := range texts {
		for _, id := range ext.Encode(text, token.Options{}).IDs {
			if int(id) >= base.VocabSize() {
				r.Found++
			}
		}
	}
	r.LoadS, r.BaseMBs, r.MBs, r.Ratio = median(load), median(before), median(after), median(ratio)
	if r.Found == 0 {
		return fmt.Errorf("no new piece is found in the corpus")
	}
	return nil
}

func encodeAll(tok *token.Tokenizer, texts []string) int {
	n := 0
	for _, text := range texts {
		e := tok.Encode(text, token.Options{})
		n += e.Len()
	}
	return n
}

// cpuTime is the CPU time of this process, all threads, in seconds.
func cpuTime() float64 {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}
