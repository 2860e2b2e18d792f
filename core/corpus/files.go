package corpus

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// maxRecord bounds one row of a file, in bytes.
const maxRecord = 16 << 20

// readFile reads the rows of one file.
func readFile(file, format string, data []byte, d *recipe.DataPlan, p *problems) []row {
	if len(bytes.TrimSpace(data)) == 0 {
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.empty", File: file, Summary: "the file is empty", Remedy: "look whether it was written to the end, or name another with --data"})
		return nil
	}
	var records []record
	table := false
	switch format {
	case "parquet":
		records = readParquet(file, data, p)
	case "conll":
		text := decode(file, data, d.Encoding, p)
		return checkText(file, readCoNLL(file, text, p), p)
	case "text":
		return checkText(file, readText(file, decode(file, data, d.Encoding, p), p), p)
	case "jsonl":
		records = readJSONL(file, decode(file, data, d.Encoding, p), p)
	case "csv", "tsv":
		table = true
		records = readTable(file, decode(file, data, d.Encoding, p), format, p)
	}
	if len(records) == 0 {
		if !p.has(file) {
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.empty", File: file, Summary: "the file holds no rows", Remedy: "look whether it was written to the end, or name another with --data"})
		}
		return nil
	}
	names := records[0].names
	if !table && format != "parquet" { // fields may come and go: look at the first rows
		names = nil
		for _, rec := range records[:min(len(records), 200)] {
			for _, n := range rec.names {
				if !slices.Contains(names, n) {
					names = append(names, n)
				}
			}
		}
	}
	f := &fieldReader{file: file, chars: d.Offsets == "chars", table: table, p: p,
		c: mapColumns(file, names, d, records[:min(len(records), 100)], p)}
	rows := make([]row, 0, len(records))
	for _, rec := range records {
		if r, ok := f.row(rec); ok {
			rows = append(rows, r)
		}
	}
	return checkText(file, rows, p)
}

// has reports whether a diagnostic about this file was collected.
func (p *problems) has(file string) bool {
	return slices.ContainsFunc(p.ds, func(d sdk.Diagnostic) bool { return d.File == file && d.Severity == sdk.Error })
}

// Texts longer than longText are reported; of most only the beginning is seen.
const longText = 100_000

// checkText reports texts that are empty, very long, or hold NUL bytes. They
// stay in the data.
func checkText(file string, rows []row, p *problems) []row {
	for i := range rows {
		r := &rows[i]
		for _, text := range []string{r.Text, r.TextB} {
			if n := strings.Count(text, "\x00"); n > 0 {
				p.add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.nul", File: file, Line: r.Line,
					Summary: fmt.Sprintf("the text holds %s, which tokenizers may drop", plural(n, "NUL byte", "NUL bytes")),
					Remedy:  "remove them, or look whether the file is UTF-16 (data.encoding)"})
			}
			if len(text) > longText {
				p.add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.long", File: file, Line: r.Line,
					Summary: fmt.Sprintf("the text has %d bytes; the model sees no more than data.max_length word pieces of it", len(text)),
					Remedy:  "split long documents into rows of their own"})
			}
		}
		if strings.TrimSpace(r.Text) == "" {
			p.add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.text", File: file, Line: r.Line, Summary: "the text is empty"})
		}
	}
	return rows
}

// readText reads one text per line, without labels.
func readText(file, text string, p *problems) (rows []row) {
	for n, l := range TextLines(text) {
		if len(l) > maxRecord {
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.text", File: file, Line: n,
				Summary: fmt.Sprintf("the line has %d bytes, a text may have %d", len(l), maxRecord), Remedy: "begin a new line for each text"})
			continue
		}
		rows = append(rows, row{Example: sdk.Example{File: file, Line: n, Text: l}})
	}
	if len(rows) == 0 && !p.has(file) {
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.empty", File: file, Summary: "the file holds no texts", Remedy: "write one text per line"})
	}
	return rows
}

// TextLines are the lines of a text that are not blank, with their numbers from 1
// and without their ends.
func TextLines(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		n := 0
		for l := range strings.Lines(text) {
			n++
			l = strings.TrimSuffix(strings.TrimSuffix(l, "\n"), "\r")
			if strings.TrimSpace(l) != "" && !yield(n, l) {
				return
			}
		}
	}
}

// readJSONL reads one JSON object per line. A file that is one JSON list of
// objects is taken as well.
func readJSONL(file, text string, p *problems) []record {
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "[") {
		var list []json.RawMessage
		if json.Unmarshal([]byte(trimmed), &list) == nil {
			p.notice("data.format", file, "one JSON list instead of a line per row: read as its elements, lines are counted by element")
			var records []record
			for i, raw := range list {
				records = appendJSON(records, file, string(raw), i+1, p)
			}
			return records
		}
	}
	var records []record
	line := 0
	for l := range strings.Lines(text) {
		line++
		if l = strings.TrimSpace(l); l == "" {
			continue
		}
		records = appendJSON(records, file, l, line, p)
	}
	return records
}

func appendJSON(records []record, file, text string, line int, p *problems) []record {
	if len(text) > maxRecord {
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.json", File: file, Line: line,
			Summary: fmt.Sprintf("the row has %d bytes, a row may have %d", len(text), maxRecord), Remedy: "split long documents into rows of their own"})
		return records
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var fields map[string]any
	err := dec.Decode(&fields)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more text after the object")
		}
	}
	if err != nil || fields == nil {
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.json", File: file, Line: line, Summary: "not a JSON object", Detail: fmt.Sprintf("%q", clip(text)), Remedy: "write one object per line, such as {\"text\": \"…\", \"label\": \"…\"}"}
		var syntax *json.SyntaxError
		if err != nil {
			d.Summary += ": " + strings.TrimPrefix(err.Error(), "json: ")
			if errors.As(err, &syntax) {
				d.Column = len([]rune(text[:min(int(syntax.Offset), len(text))]))
			}
		}
		p.add(d)
		return records
	}
	return append(records, record{line: line, names: slices.Sorted(maps.Keys(fields)), fields: fields})
}

// readTable reads CSV (RFC 4180, or with semicolons) and TSV with a header line.
func readTable(file, text, format string, p *problems) []record {
	if format == "tsv" {
		return readTSV(file, text, p)
	}
	reader := csv.NewReader(strings.NewReader(text))
	reader.FieldsPerRecord = -1
	header, _, _ := strings.Cut(text, "\n")
	for _, comma := range []rune{';', '\t'} {
		if strings.Count(header, string(comma)) > strings.Count(header, string(reader.Comma)) {
			reader.Comma = comma
		}
	}
	if reader.Comma != ',' {
		p.notice("data.guess", file, "columns are separated by %q", string(reader.Comma))
	}
	var names []string
	var records []record
	for {
		cells, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.csv", File: file, Summary: err.Error()}
			var parse *csv.ParseError
			if errors.As(err, &parse) {
				d.Line, d.Column, d.Summary = parse.Line, parse.Column, parse.Err.Error()
				d.Remedy = `put texts with commas, quotes or line breaks in double quotes and write a quote in them twice`
			}
			p.add(d)
			if !errors.As(err, &parse) || errors.Is(parse.Err, csv.ErrQuote) {
				return records // what follows would be misread
			}
			continue
		}
		line, _ := reader.FieldPos(0)
		if names == nil {
			if names = tableHeader(file, line, cells, p); names == nil {
				return nil
			}
			continue
		}
		if rec, ok := tableRecord(file, line, names, cells, p); ok {
			records = append(records, rec)
		}
	}
}

// readTSV reads lines of cells between tabs; quotes are text unless they
// enclose a whole cell.
func readTSV(file, text string, p *problems) []record {
	var names []string
	var records []record
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimRight(l, "\r\n")
		if strings.TrimSpace(l) == "" {
			continue
		}
		cells := strings.Split(l, "\t")
		for i, cell := range cells {
			if n := len(cell); n >= 2 && cell[0] == '"' && cell[n-1] == '"' && strings.Count(cell[1:n-1], `""`)*2 == strings.Count(cell[1:n-1], `"`) {
				cells[i] = strings.ReplaceAll(cell[1:n-1], `""`, `"`)
			}
		}
		if names == nil {
			if names = tableHeader(file, line, cells, p); names == nil {
				return nil
			}
			continue
		}
		if rec, ok := tableRecord(file, line, names, cells, p); ok {
			records = append(records, rec)
		}
	}
	return records
}

func tableHeader(file string, line int, cells []string, p *problems) []string {
	names := make([]string, len(cells))
	for i, c := range cells {
		names[i] = strings.TrimSpace(c)
		if names[i] == "" {
			names[i] = fmt.Sprintf("column %d", i+1)
		}
		if slices.Contains(names[:i], names[i]) {
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.csv", File: file, Line: line, Summary: fmt.Sprintf("two columns are called %q", names[i]), Remedy: "the first line names the columns"})
			return nil
		}
	}
	return names
}

func tableRecord(file string, line int, names, cells []string, p *problems) (record, bool) {
	if len(cells) != len(names) {
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.columns", File: file, Line: line,
			Summary: fmt.Sprintf("%s, the header has %d", plural(len(cells), "column", "columns"), len(names)),
			Remedy:  "put texts that hold the separator in double quotes"})
		return record{}, false
	}
	fields := make(map[string]any, len(cells))
	for i, c := range cells {
		fields[names[i]] = c
	}
	return record{line: line, names: names, fields: fields}, true
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
