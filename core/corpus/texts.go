package corpus

import (
	"bufio"
	"bytes"
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
	"unicode/utf8"

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

// TextReader is the version of what Texts makes of the same bytes; it is part of
// the digests of what is made of them. 2: files are read in their encoding.
const TextReader = 2

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
// a .parquet file. Empty ones are left out. Files are read as data.encoding says,
// which Guesses says where it is auto. A line that cannot be read is an error
// with its place: no text follows it, but what else is wrong in the files is looked
// for, up to a bounded number of problems. No more than a line or a batch of rows
// is held.
func Texts(ctx context.Context, files []string, plan *recipe.DataPlan) iter.Seq2[Text, error] {
	return func(yield func(Text, error) bool) {
		p := &problems{}
		for _, file := range files {
			read := textLines
			switch filepath.Ext(file) {
			case ".parquet":
				read = textRows
			case ".txt", ".jsonl", ".json":
			default:
				read = textExamples
			}
			stopped := false
			err := read(file, plan, p, func(t Text) bool {
				if ctx.Err() != nil {
					return false
				}
				if p.errors == 0 && strings.TrimSpace(t.Text) != "" {
					stopped = !yield(t, nil)
				}
				return !stopped
			})
			if stopped {
				return
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Text{}, err)
				return
			}
			if p.full() {
				break
			}
		}
		if p.errors == 0 {
			return
		}
		ds := slices.DeleteFunc(p.diagnostics(), func(d sdk.Diagnostic) bool { return d.Severity != sdk.Error })
		if p.full() {
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.text", Source: sdk.FromData, Summary: fmt.Sprintf("reading stopped after %d problems: there may be more", p.errors)})
		}
		yield(Text{}, ds.Err())
	}
}

// Guesses are notices of how Texts reads files whose encoding it guesses, one for
// each encoding other than UTF-8.
func Guesses(files []string, plan *recipe.DataPlan) (ds sdk.Diagnostics, err error) {
	if plan.Encoding != "" && plan.Encoding != "auto" {
		return nil, nil
	}
	count, first := map[string]int{}, map[string]int{}
	for _, file := range files {
		name, why, err := guessFile(file)
		if err != nil {
			return nil, err
		}
		if name == "utf-8" {
			continue
		}
		if count[name]++; count[name] == 1 {
			first[name] = len(ds)
			ds.Add(guessed(file, name, why))
			ds[len(ds)-1].Source = sdk.FromData
			continue
		}
		ds[first[name]].Detail = fmt.Sprintf("so are %s more", plural(count[name]-1, "file", "files"))
	}
	return ds, nil
}

func guessFile(file string) (name, why string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", "", fmt.Errorf("read texts: %w", err)
	}
	defer f.Close()
	switch filepath.Ext(file) {
	case ".parquet":
		return "utf-8", "", nil
	case ".txt", ".jsonl", ".json":
		s, err := decodeStream(f, "auto")
		if err != nil {
			return "", "", fmt.Errorf("read texts: %s: %w", file, err)
		}
		return s.encoding, s.why, nil
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return "", "", fmt.Errorf("read texts: %w", err)
	}
	name, why = guessEncoding(data)
	return name, why, nil
}

// textProblem reports a file that cannot be read as what it is.
func textProblem(p *problems, file string, line int, remedy, format string, args ...any) {
	p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.text", File: file, Line: line, Summary: fmt.Sprintf(format, args...), Remedy: remedy})
}

const (
	remedyField = "--set data.text=NAME names another"
	// longestLine bounds what one line may ask of the memory.
	longestLine = 64 << 20
)

func textLines(file string, plan *recipe.DataPlan, p *problems, yield func(Text) bool) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read texts: %w", err)
	}
	defer f.Close()
	field := ""
	if filepath.Ext(file) != ".txt" {
		field = cmp.Or(plan.Text, plan.Fields["text"], "text")
	}
	s, err := decodeStream(f, plan.Encoding)
	if err == nil {
		err = s.lines(file, field, p, yield)
	}
	if err != nil {
		return fmt.Errorf("read texts: %s: %w", file, err)
	}
	return nil
}

// Lines streams all lines of a file, blank ones too, in an encoding as data.encoding
// names it. Lines that it does not allow end the stream
// with an error that names them.
func Lines(file, encoding string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		f, err := os.Open(file)
		if err != nil {
			yield("", fmt.Errorf("read texts: %w", err))
			return
		}
		defer f.Close()
		p, stopped := &problems{}, false
		s, err := decodeStream(f, encoding)
		if err == nil {
			err = s.lines(file, "", p, func(t Text) bool {
				stopped = p.errors == 0 && !yield(t.Text, nil)
				return !stopped
			})
		}
		if err != nil {
			err = fmt.Errorf("read texts: %s: %w", file, err)
		} else {
			err = p.diagnostics().Err()
		}
		if err != nil && !stopped {
			yield("", err)
		}
	}
}

// lines gives each line, or the field of the object in it; it stops when there are
// too many problems.
func (s *textStream) lines(file, field string, p *problems, yield func(Text) bool) error {
	lines := bufio.NewScanner(s)
	lines.Buffer(make([]byte, 1<<16), longestLine)
	n := 1
	for ; !p.full() && lines.Scan(); n++ {
		raw := lines.Bytes()
		if !s.check(file, n, raw, p) {
			continue
		}
		raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
		t := Text{File: file, Line: n}
		if field == "" {
			t.Text = string(raw)
		} else {
			if len(bytes.TrimSpace(raw)) == 0 {
				continue
			}
			var row map[string]json.RawMessage
			if err := json.Unmarshal(raw, &row); err != nil {
				textProblem(p, file, n, "", "not a JSON object: %v", err)
				continue
			}
			value, ok := row[field]
			if !ok || json.Unmarshal(value, &t.Text) != nil {
				textProblem(p, file, n, remedyField, "the field %q with the text is missing", field)
				continue
			}
		}
		if !yield(t) {
			return nil
		}
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		textProblem(p, file, n, "begin a new line for each text", "the line is longer than %d MiB", longestLine>>20)
		return nil
	}
	return err
}

func textRows(file string, plan *recipe.DataPlan, p *problems, yield func(Text) bool) (err error) {
	const unreadable = "cannot be read as Parquet: %v"
	line := 0
	defer func() { // the library panics on some damaged files
		if r := recover(); r != nil {
			textProblem(p, file, line, "", unreadable, r)
			err = nil
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
	table, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		textProblem(p, file, 0, "", unreadable, err)
		return nil
	}
	field := cmp.Or(plan.Text, plan.Fields["text"], "text")
	column := slices.IndexFunc(table.Schema().Columns(), func(path []string) bool { return len(path) == 1 && path[0] == field })
	if column < 0 {
		textProblem(p, file, 0, remedyField, "there is no column %q with the text", field)
		return nil
	}
	for _, group := range table.RowGroups() {
		more, err := textPages(file, group.ColumnChunks()[column].Pages(), &line, p, yield)
		if err != nil {
			textProblem(p, file, line+1, "", unreadable, err)
		}
		if !more || err != nil {
			return nil //nolint:nilerr // a problem of the file
		}
	}
	return nil
}

// textPages gives the texts of one column of a group of rows; more is false when no
// other is wanted.
func textPages(file string, pages parquet.Pages, line *int, p *problems, yield func(Text) bool) (more bool, err error) {
	defer func() { err = errors.Join(err, pages.Close()) }()
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		values := make([]parquet.Value, page.NumValues())
		n, err := page.Values().ReadValues(values)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		for _, v := range values[:n] {
			*line++
			if v.IsNull() {
				continue
			}
			if !utf8.Valid(v.ByteArray()) {
				d := notUTF8(file, *line, v.ByteArray())
				d.Remedy = "texts in Parquet are UTF-8: write the column anew"
				if p.add(d); p.full() {
					return false, nil
				}
				continue
			}
			if !yield(Text{file, *line, string(v.ByteArray())}) {
				return false, nil
			}
		}
	}
}

// textExamples reads a file of examples for its texts.
func textExamples(file string, plan *recipe.DataPlan, p *problems, yield func(Text) bool) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read texts: %w", err)
	}
	for _, r := range readFile(file, formatOf(file), data, plan, p) {
		text := r.Text
		if r.TextB != "" {
			text += "\n" + r.TextB
		}
		if !yield(Text{file, r.Line, text}) {
			return nil
		}
	}
	return nil
}
