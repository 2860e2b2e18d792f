package token

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkEncode encodes the corpus of the parity set.
func BenchmarkEncode(b *testing.B) {
	dir := sharedTokenizers(b)
	corpus := readLines[corpusLine](b, filepath.Join(dir, "corpus.jsonl"))
	for _, name := range []string{"bert_uncased", "bert_cased_zh", "gpt2", "roberta", "xlmr", "t5", "llama2"} {
		b.Run(name, func(b *testing.B) {
			data, err := os.ReadFile(filepath.Join(dir, name+".json"))
			if err != nil {
				b.Fatal(err)
			}
			tok, err := FromJSON(data)
			if err != nil {
				b.Fatal(err)
			}
			tokens := 0
			for b.Loop() {
				for _, line := range corpus {
					e := tok.Encode(line.Text, Options{})
					tokens += e.Len()
				}
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkLoad reads tokenizer.json.
func BenchmarkLoad(b *testing.B) {
	dir := sharedTokenizers(b)
	for _, name := range []string{"bert_uncased", "gpt2", "xlmr", "llama2"} {
		b.Run(name, func(b *testing.B) {
			data, err := os.ReadFile(filepath.Join(dir, name+".json"))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := FromJSON(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
