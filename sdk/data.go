package sdk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxLineBytes bounds one line of a data file.
const MaxLineBytes = 8 << 20

// ReadEmbedded streams the embedded files of one dataset, split by split in the
// order of Splits. A bare label goes to the dataset's Task. Rows with problems
// are reported and left out, see Reader.
func ReadEmbedded(ctx context.Context, fsys fs.FS, m *Manifest, req ReadRequest) iter.Seq2[Example, error] {
	return func(yield func(Example, error) bool) {
		d, ok := m.Dataset(req.Dataset)
		if !ok || !d.Embedded {
			yield(Example{}, fmt.Errorf("dataset %q is not embedded", req.Dataset))
			return
		}
		n := 0
		for _, name := range m.DataFiles(fsys, d, req.Split) {
			f, err := fsys.Open(name)
			if err != nil {
				yield(Example{}, fmt.Errorf("read dataset %s: %w", d.Name, err))
				return
			}
			read := ReadJSONL
			if path.Ext(name) == ".conll" {
				read = ReadCoNLL
			}
			prefix := strings.TrimSuffix(path.Base(name), path.Ext(name))
			more := true
			for ex, err := range read(name, f) {
				if err := ctx.Err(); err != nil {
					more = false
					yield(Example{}, err)
					break
				}
				if err == nil {
					if req.Limit > 0 && n >= req.Limit {
						more = false
						break
					}
					n++
					if ex.ID == "" {
						ex.ID = fmt.Sprintf("%s:%d", prefix, ex.Line)
					}
					if l, bare := ex.Labels[""]; bare && d.Task != "" {
						delete(ex.Labels, "")
						ex.Labels[d.Task] = l
					}
				}
				if !yield(ex, err) {
					more = false
					break
				}
			}
			if err := f.Close(); err != nil && more {
				yield(Example{}, fmt.Errorf("read dataset %s: %w", d.Name, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

// ReadJSONL reads examples, one JSON object per line, as in
//
//	{"id": "a1", "text": "Rates rose.", "label": "positive", "meta": {"lang": "en"}}
//	{"text": "Acme fell.", "labels": {"sentiment": "negative", "topics": ["stocks"]}}
//	{"tokens": ["Acme", "fell"], "tags": ["B-ORG", "O"]}
//	{"text": "Acme fell.", "spans": [{"start": 0, "end": 4, "label": "ORG"}]}
//
// A label is a text (one class), a list of texts (several) or a number. Within
// labels a head may also hold {"tags": […]} or {"spans": […]}. tokens without
// text are joined by spaces. Offsets are bytes. name is for the diagnostics; a
// row with a problem is reported by a *DiagnosticsError and left out, and reading
// goes on with the next one.
func ReadJSONL(name string, r io.Reader) iter.Seq2[Example, error] {
	return func(yield func(Example, error) bool) {
		for line, err := range lines(name, r) {
			if err != nil {
				if !yield(Example{}, err) || !recoverable(err) {
					return
				}
				continue
			}
			if len(bytes.TrimSpace(line.text)) == 0 {
				continue
			}
			ex, ds := parseJSONLine(name, line.number, line.text)
			if !ds.HasErrors() {
				ds.Add(ex.Check()...)
			}
			if ds.HasErrors() {
				if !yield(Example{}, ds.Err()) {
					return
				}
				continue
			}
			if !yield(ex, nil) {
				return
			}
		}
	}
}

// jsonRow is the shape of one line.
type jsonRow struct {
	ID     json.RawMessage            `json:"id"`
	Text   *string                    `json:"text"`
	TextB  string                     `json:"text_b"`
	Label  json.RawMessage            `json:"label"`
	Labels map[string]json.RawMessage `json:"labels"`
	Tokens []string                   `json:"tokens"`
	Tags   []string                   `json:"tags"`
	Spans  []Span                     `json:"spans"`
	Meta   map[string]any             `json:"meta"`
}

func parseJSONLine(name string, number int, text []byte) (Example, Diagnostics) {
	var ds Diagnostics
	report := func(code, at, remedy, format string, args ...any) {
		ds.Add(Diagnostic{Code: code, File: name, Line: number, Path: at, Summary: fmt.Sprintf(format, args...), Remedy: remedy, Source: FromData})
	}
	known := []string{"id", "text", "text_b", "label", "labels", "tokens", "tags", "spans", "meta"}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		report("data.json", "", "one JSON object per line", "the line is no JSON object: %v", jsonError(err))
		return Example{}, ds
	}
	for _, k := range sortedKeys(keys) {
		if !slices.Contains(known, k) {
			report("data.key", k, didYouMean(k, known), "unknown key %q", k)
		}
	}
	var row jsonRow
	if err := json.Unmarshal(text, &row); err != nil {
		report("data.json", "", "", "%v", jsonError(err))
	}
	if ds.HasErrors() {
		return Example{}, ds
	}
	ex := Example{File: name, Line: number, TextB: row.TextB, Labels: map[string]Label{}}
	switch id := strings.TrimSpace(string(row.ID)); {
	case id == "" || id == "null":
	case id[0] == '"':
		if err := json.Unmarshal(row.ID, &ex.ID); err != nil {
			report("data.json", "id", "", "%v", jsonError(err))
		}
	default:
		ex.ID = id
	}
	switch {
	case row.Text != nil && row.Tokens != nil:
		ex.Text = *row.Text
		tokens, missing := findTokens(ex.Text, row.Tokens)
		if missing >= 0 {
			report("data.token", fmt.Sprintf("tokens[%d]", missing), "leave text out to have the tokens joined by spaces", "token %d, %q, is not in the text after the one before it", missing, row.Tokens[missing])
		}
		ex.Tokens = tokens
	case row.Text != nil:
		ex.Text = *row.Text
	case row.Tokens != nil:
		ex.Text, ex.Tokens = JoinTokens(row.Tokens)
	default:
		report("data.text", "", "", "the row has neither text nor tokens")
	}
	if row.Tags != nil || row.Spans != nil {
		ex.Labels[""] = Label{Tags: row.Tags, Spans: row.Spans}
	}
	if len(row.Label) > 0 && string(row.Label) != "null" {
		if _, ok := ex.Labels[""]; ok {
			report("data.label", "label", "use labels: {HEAD: …} for several heads", "the row has both label and tags or spans")
		} else if l, why := jsonLabel(row.Label); why != "" {
			report("data.label", "label", "", "label %s", why)
		} else {
			ex.Labels[""] = l
		}
	}
	for _, head := range sortedKeys(row.Labels) {
		if string(row.Labels[head]) == "null" {
			continue
		}
		l, why := jsonLabel(row.Labels[head])
		if why != "" {
			report("data.label", "labels."+head, "", "the label of head %q %s", head, why)
		}
		ex.Labels[head] = l
	}
	if len(ex.Labels) == 0 {
		ex.Labels = nil
	}
	for _, k := range sortedKeys(row.Meta) {
		if ex.Meta == nil {
			ex.Meta = map[string]string{}
		}
		switch v := row.Meta[k].(type) {
		case string:
			ex.Meta[k] = v
		case nil:
		default:
			b, err := json.Marshal(v)
			if err != nil {
				report("data.meta", "meta."+k, "", "%v", err)
			}
			ex.Meta[k] = string(b)
		}
	}
	return ex, ds
}

// jsonLabel reads a label: a text, a list of texts, a number, or an object with
// tags or spans.
func jsonLabel(raw json.RawMessage) (l Label, why string) {
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return l, "cannot be read"
		}
		return Label{Values: []string{s}}, ""
	case '[':
		values := []string{}
		if json.Unmarshal(raw, &values) != nil {
			return l, "is a list of something else than texts"
		}
		return Label{Values: values}, ""
	case '{':
		var o struct {
			Tags  []string `json:"tags"`
			Spans []Span   `json:"spans"`
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&o); err != nil {
			return l, fmt.Sprintf("is an object, which may hold tags or spans: %v", jsonError(err))
		}
		return Label{Tags: o.Tags, Spans: o.Spans}, ""
	case 't', 'f':
		return Label{Values: []string{string(raw)}}, ""
	}
	var f float64
	if json.Unmarshal(raw, &f) != nil {
		return l, "is neither a text, a list of texts nor a number"
	}
	return Label{Number: &f}, ""
}

func jsonError(err error) error {
	var te *json.UnmarshalTypeError
	if errors.As(err, &te) {
		return fmt.Errorf("%s is a JSON %s, which does not fit", te.Field, te.Value)
	}
	return err
}

// JoinTokens joins words by single spaces and returns the text with the place of
// each word in it.
func JoinTokens(words []string) (string, []Token) {
	var b strings.Builder
	tokens := make([]Token, len(words))
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		tokens[i].Start = b.Len()
		b.WriteString(w)
		tokens[i].End = b.Len()
	}
	return b.String(), tokens
}

// findTokens places words in a text, each after the one before it. missing is the
// first word that is not there, or -1.
func findTokens(text string, words []string) (tokens []Token, missing int) {
	at := 0
	for i, w := range words {
		j := strings.Index(text[at:], w)
		if j < 0 || w == "" {
			return nil, i
		}
		tokens = append(tokens, Token{at + j, at + j + len(w)})
		at += j + len(w)
	}
	return tokens, -1
}

// ReadCoNLL reads tagged words, one per line with the word first and the tag
// last, separated by tabs or spaces, sentences separated by empty lines.
// -DOCSTART- lines are skipped. Tags become the bare label. Problems are reported
// as in ReadJSONL; a sentence with a bad line is left out.
func ReadCoNLL(name string, r io.Reader) iter.Seq2[Example, error] {
	return func(yield func(Example, error) bool) {
		var words, tags []string
		var bad Diagnostics
		first, columns := 0, 0
		flush := func() bool {
			defer func() { words, tags, bad = nil, nil, nil }()
			if len(bad) > 0 {
				return yield(Example{}, bad.Err())
			}
			if len(words) == 0 {
				return true
			}
			ex := Example{File: name, Line: first, Labels: map[string]Label{"": {Tags: tags}}}
			ex.Text, ex.Tokens = JoinTokens(words)
			return yield(ex, nil)
		}
		for line, err := range lines(name, r) {
			if err != nil {
				problems, fatal, ok := DiagnosticsOf(err)
				if !ok || fatal {
					yield(Example{}, err)
					return
				}
				bad.Add(problems...)
				continue
			}
			text := strings.TrimSpace(string(line.text))
			if text == "" {
				if !flush() {
					return
				}
				continue
			}
			fields := strings.Fields(text)
			if strings.Contains(text, "\t") {
				fields = strings.Split(strings.TrimRight(string(line.text), "\r\n"), "\t")
				for i := range fields {
					fields[i] = strings.TrimSpace(fields[i])
				}
			}
			if fields[0] == "-DOCSTART-" {
				continue
			}
			if len(words) == 0 && len(bad) == 0 {
				first = line.number
			}
			if columns == 0 && len(fields) > 1 {
				columns = len(fields)
			}
			if len(fields) < 2 || len(fields) != columns || fields[0] == "" || fields[len(fields)-1] == "" {
				bad.Add(Diagnostic{Code: "data.columns", File: name, Line: line.number, Source: FromData,
					Summary: fmt.Sprintf("the line has %d columns, %d are wanted", len(fields), max(columns, 2)), Remedy: "one word per line, its tag last"})
				continue
			}
			words = append(words, fields[0])
			tags = append(tags, fields[len(fields)-1])
		}
		flush()
	}
}

type dataLine struct {
	number int
	text   []byte // without line ending, valid until the next line
}

// lines reads lines of UTF-8 up to MaxLineBytes, a byte order mark removed.
func lines(name string, r io.Reader) iter.Seq2[dataLine, error] {
	return func(yield func(dataLine, error) bool) {
		sc := bufio.NewScanner(r)
		sc.Buffer(make([]byte, 64<<10), MaxLineBytes)
		number := 0
		for sc.Scan() {
			number++
			text := sc.Bytes()
			if number == 1 {
				text = bytes.TrimPrefix(text, []byte("\ufeff"))
			}
			if !utf8.Valid(text) {
				ds := Diagnostics{{Severity: Error, Code: "data.encoding", File: name, Line: number, Summary: "the line is not valid UTF-8", Remedy: "save the file as UTF-8", Source: FromData}}
				if !yield(dataLine{}, ds.Err()) {
					return
				}
				continue
			}
			if !yield(dataLine{number, text}, nil) {
				return
			}
		}
		if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
			ds := Diagnostics{{Severity: Error, Code: "data.line-length", File: name, Line: number + 1, Source: FromData,
				Summary: fmt.Sprintf("the line is longer than %d bytes", MaxLineBytes)}}
			yield(dataLine{}, &DiagnosticsError{Diagnostics: ds, Fatal: true})
		} else if err != nil {
			yield(dataLine{}, fmt.Errorf("read %s: %w", name, err))
		}
	}
}

// recoverable reports whether a stream goes on after err: it does after problems
// of the data, and ends after anything else.
func recoverable(err error) bool {
	_, fatal, ok := DiagnosticsOf(err)
	return ok && !fatal
}

// Collect drains a stream: it returns all elements and all problems of the data,
// and the error that ended the stream, if any.
func Collect[T any](seq iter.Seq2[T, error]) ([]T, Diagnostics, error) {
	var items []T
	var ds Diagnostics
	for x, err := range seq {
		if err == nil {
			items = append(items, x)
			continue
		}
		if !recoverable(err) {
			return items, ds, err
		}
		problems, _, _ := DiagnosticsOf(err)
		ds.Add(problems...)
	}
	return items, ds, nil
}

// Clone returns a deep copy of e.
func (e Example) Clone() Example {
	e.Tokens = slices.Clone(e.Tokens)
	e.Meta = maps.Clone(e.Meta)
	e.Labels = maps.Clone(e.Labels)
	for h, l := range e.Labels {
		l.Values, l.Tags, l.Spans = slices.Clone(l.Values), slices.Clone(l.Tags), slices.Clone(l.Spans)
		if l.Number != nil {
			n := *l.Number
			l.Number = &n
		}
		e.Labels[h] = l
	}
	return e
}
