package corpus

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Text is a running text of a corpus without labels.
type Text struct {
	File string
	Line int // of the file, from 1; for Parquet the row
	Text string
}

// TextFormats are the endings of files that Texts reads as a stream. CSV, TSV and
// CoNLL files are read whole, for their texts.
func TextFormats() []string { return []string{".txt", ".jsonl", ".parquet"} }

// TextFiles lists the files of a folder that Texts reads, sorted by name; a file
// stands for itself.
func TextFiles(paths []string) ([]string, error) {
	var files []string
	known := append(TextFormats(), ".csv", ".tsv", ".conll", ".json")
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("find texts: %w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		var inside []string
		err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && slices.Contains(known, filepath.Ext(p)) {
				inside = append(inside, p)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("find texts: %w", err)
		}
		slices.Sort(inside)
		files = append(files, inside...)
	}
	return files, nil
}

// Texts streams the texts of files, in their order: each line of a .txt file,
// field data.text (text, if empty) of each line of a .jsonl file and of each row of
// a .parquet file. Empty ones are left out. A line that cannot be read is an error
// with its place. No more than a line or a batch of rows is held.
func Texts(ctx context.Context, files []string, plan *recipe.DataPlan) iter.Seq2[Text, error] {
	return func(yield func(Text, error) bool) {
		for _, file := range files {
			read := textLines
			switch filepath.Ext(file) {
			case ".parquet":
				read = textRows
			case ".txt", ".jsonl", ".json":
			default:
				read = textExamples
			}
			for t, err := range read(file, plan) {
				if err == nil {
					err = ctx.Err()
				}
				if err == nil && strings.TrimSpace(t.Text) == "" {
					continue
				}
				if !yield(t, err) || err != nil {
					return
				}
			}
		}
	}
}

func textProblem(file string, line int, format string, args ...any) error {
	return sdk.Diagnostics{{Severity: sdk.Error, Code: "data.text", File: file, Line: line, Summary: fmt.Sprintf(format, args...)}}.Err()
}

// longestLine bounds what one line may ask of the memory.
const longestLine = 64 << 20

func textLines(file string, plan *recipe.DataPlan) iter.Seq2[Text, error] {
	return func(yield func(Text, error) bool) {
		f, err := os.Open(file)
		if err != nil {
			yield(Text{}, fmt.Errorf("read texts: %w", err))
			return
		}
		defer f.Close()
		field, isJSON := cmp.Or(plan.Text, plan.Fields["text"], "text"), filepath.Ext(file) != ".txt"
		lines := bufio.NewScanner(f)
		lines.Buffer(make([]byte, 1<<16), longestLine)
		for n := 1; lines.Scan(); n++ {
			t := Text{File: file, Line: n, Text: strings.TrimPrefix(lines.Text(), "\ufeff")}
			if isJSON {
				if strings.TrimSpace(t.Text) == "" {
					continue
				}
				var row map[string]json.RawMessage
				if err := json.Unmarshal([]byte(t.Text), &row); err != nil {
					yield(Text{}, textProblem(file, n, "not a JSON object: %v", err))
					return
				}
				raw, ok := row[field]
				t.Text = ""
				if !ok || json.Unmarshal(raw, &t.Text) != nil {
					yield(Text{}, textProblem(file, n, "the field %q with the text is missing; --set data.text=NAME names another", field))
					return
				}
			}
			t.Text = strings.ToValidUTF8(t.Text, "\ufffd")
			if !yield(t, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Text{}, fmt.Errorf("read texts: %s: %w", file, err))
		}
	}
}

func textRows(file string, plan *recipe.DataPlan) iter.Seq2[Text, error] {
	return func(yield func(Text, error) bool) {
		var stop bool
		err := func() (err error) {
			defer func() { // the library panics on some damaged files
				if r := recover(); r != nil {
					err = textProblem(file, 0, "cannot be read as Parquet: %v", r)
				}
			}()
			f, err := os.Open(file)
			if err != nil {
				return fmt.Errorf("read texts: %w", err)
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				return fmt.Errorf("read texts: %w", err)
			}
			p, err := parquet.OpenFile(f, info.Size())
			if err != nil {
				return textProblem(file, 0, "cannot be read as Parquet: %v", err)
			}
			field := cmp.Or(plan.Text, plan.Fields["text"], "text")
			column := slices.IndexFunc(p.Schema().Columns(), func(path []string) bool { return len(path) == 1 && path[0] == field })
			if column < 0 {
				return textProblem(file, 0, "there is no column %q with the text; --set data.text=NAME names another", field)
			}
			line := 0
			for _, group := range p.RowGroups() {
				pages := group.ColumnChunks()[column].Pages()
				for {
					page, err := pages.ReadPage()
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						pages.Close()
						return textProblem(file, line+1, "cannot be read as Parquet: %v", err)
					}
					values := make([]parquet.Value, page.NumValues())
					n, err := page.Values().ReadValues(values)
					if err != nil && !errors.Is(err, io.EOF) {
						pages.Close()
						return textProblem(file, line+1, "cannot be read as Parquet: %v", err)
					}
					for _, v := range values[:n] {
						line++
						if v.IsNull() {
							continue
						}
						if stop = !yield(Text{file, line, strings.ToValidUTF8(string(v.ByteArray()), "\ufffd")}, nil); stop {
							pages.Close()
							return nil
						}
					}
				}
				if err := pages.Close(); err != nil {
					return textProblem(file, line, "cannot be read as Parquet: %v", err)
				}
			}
			return nil
		}()
		if err != nil && !stop {
			yield(Text{}, err)
		}
	}
}

// textExamples reads a file of examples for its texts.
func textExamples(file string, plan *recipe.DataPlan) iter.Seq2[Text, error] {
	return func(yield func(Text, error) bool) {
		data, err := os.ReadFile(file)
		if err != nil {
			yield(Text{}, fmt.Errorf("read texts: %w", err))
			return
		}
		p := &problems{}
		rows := readFile(file, formatOf(file), data, plan, p)
		if ds := p.diagnostics(); ds.HasErrors() {
			yield(Text{}, ds.Err())
			return
		}
		for _, r := range rows {
			text := r.Text
			if r.TextB != "" {
				text += "\n" + r.TextB
			}
			if !yield(Text{file, r.Line, text}, nil) {
				return
			}
		}
	}
}
