package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
)

// tokenizer is bert-base-uncased's.
func (b *bench) tokenizer(name string) (*token.Tokenizer, error) {
	data, err := os.ReadFile(filepath.Join(b.tokenizers, name+".json"))
	if err != nil {
		return nil, err
	}
	return token.FromJSON(data)
}

// texts reads the texts of data files, named below the folder of test data.
func (b *bench) texts(ctx context.Context, names ...string) ([]string, error) {
	var files, texts []string
	for _, name := range names {
		files = append(files, filepath.Join(b.data, name))
	}
	for t, err := range corpus.Texts(ctx, files, &recipe.Defaults().Data) {
		if err != nil {
			return nil, err
		}
		texts = append(texts, t.Text)
	}
	return texts, nil
}

// columns reads cells of a table with tabs, its alternatives (a|b) one by one.
func (b *bench) columns(name string, at ...int) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(b.data, name))
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		for _, i := range at {
			if i >= len(cells) {
				continue
			}
			for _, text := range strings.Split(cells[i], "|") {
				if text = strings.TrimSpace(text); text != "" {
					out = append(out, text)
				}
			}
		}
	}
	return out, nil
}

// each streams texts as Choose and Measure take them.
func each(texts []string) func(func(string, error) bool) {
	return func(yield func(string, error) bool) {
		for _, text := range texts {
			if !yield(text, nil) {
				return
			}
		}
	}
}
