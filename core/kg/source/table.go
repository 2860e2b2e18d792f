package source

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/islm-dev/islm/sdk"
)

var (
	entityColumns = []string{"id", "type", "names"}
	factColumns   = []string{"subject", "relation", "object", "literal", "weight", "source", "subject_type", "object_type", "subject_name", "object_name"}
)

// A role is what a column is, or a text that stands for a column.
type role struct {
	column int // from 0, -1 for text
	text   string
}

// table turns rows into entities or facts.
type table struct {
	in       *input
	s        *sink
	roles    map[string]role
	props    []string
	entities bool
	width    int // of the header, 0 without one
}

// begin decides what the columns are from the first row. It reports whether that row
// is a header; ok is false if the columns make no sense.
func (t *table) begin(line int, first []string) (header, ok bool) {
	t.roles = map[string]role{}
	given := t.s.opt.Columns
	known := func(c string) bool {
		return slices.Contains(entityColumns, c) || slices.Contains(factColumns, c) || strings.HasPrefix(c, "prop.")
	}
	fail := func(remedy, format string, args ...any) (bool, bool) {
		t.s.problem(t.in.file, line, 0, "kg.columns", remedy, format, args...)
		return false, false
	}
	if len(given) == 0 {
		header = slices.Contains(first, "id") || slices.Contains(first, "subject")
		if !header {
			if len(first) != 3 {
				return fail("name the columns in a header line (id, type, names; or subject, relation, object) or by the column map", "the columns have no known names")
			}
			t.roles = map[string]role{"subject": {column: 0}, "relation": {column: 1}, "object": {column: 2}}
			return false, true
		}
		for i, c := range first {
			if !known(c) {
				return fail("known: "+strings.Join(append(slices.Clone(entityColumns), factColumns...), ", ")+", prop.NAME", "unknown column %q", c)
			}
			if _, twice := t.roles[c]; twice {
				return fail("", "column %q is there twice", c)
			}
			t.roles[c] = role{column: i}
		}
	} else {
		for _, what := range slices.Sorted(maps.Keys(given)) {
			value := given[what]
			if !known(what) {
				return fail("known: "+strings.Join(append(slices.Clone(entityColumns), factColumns...), ", ")+", prop.NAME", "the column map has the unknown entry %q", what)
			}
			if text, constant := strings.CutPrefix(value, "="); constant {
				t.roles[what] = role{column: -1, text: text}
				continue
			}
			if i := slices.Index(first, value); i >= 0 {
				header = true
				t.roles[what] = role{column: i}
				continue
			}
			n, err := strconv.Atoi(value)
			if err != nil {
				return fail("the header has "+strings.Join(first, ", "), "there is no column %q for %s", value, what)
			}
			if n < 1 || n > len(first) {
				return fail("", "there is no column %d for %s, the first row has %d", n, what, len(first))
			}
			t.roles[what] = role{column: n - 1}
		}
	}
	if header {
		t.width = len(first)
	}
	for c := range t.roles {
		if strings.HasPrefix(c, "prop.") {
			t.props = append(t.props, c)
		}
	}
	slices.Sort(t.props)
	has := func(c string) bool { _, ok := t.roles[c]; return ok }
	switch {
	case has("id") && has("subject"):
		return fail("a table holds entities or facts", "the columns id and subject exclude each other")
	case has("id"):
		t.entities = true
	case has("subject") && has("relation") && (has("object") || has("literal")):
	default:
		return fail("entities need id; facts need subject, relation and object or literal", "the table holds neither entities nor facts")
	}
	return header, true
}

func (t *table) row(line int, cells []string) {
	bad := func(format string, args ...any) { t.s.problem(t.in.file, line, 0, "kg.row", "", format, args...) }
	if t.width > 0 && len(cells) > t.width {
		bad("the row has %d cells, the header %d", len(cells), t.width)
		return
	}
	get := func(what string) string {
		r, ok := t.roles[what]
		switch {
		case !ok:
			return ""
		case r.column < 0:
			return r.text
		case r.column >= len(cells):
			return ""
		}
		return strings.TrimSpace(cells[r.column])
	}
	if t.entities {
		p := part{id: get("id"), typ: get("type"), names: listNames(get("names"))}
		for _, c := range t.props {
			if v := get(c); v != "" {
				p.props = append(p.props, prop{strings.TrimPrefix(c, "prop."), v})
			}
		}
		if p.id == "" {
			bad("the entity has no id")
			return
		}
		t.s.part(p)
		return
	}
	f := sdk.Fact{Subject: get("subject"), Relation: get("relation"), Object: get("object"), Literal: get("literal"), Source: get("source")}
	if w := get("weight"); w != "" {
		v, err := strconv.ParseFloat(w, 64)
		if err != nil {
			bad("weight %q is no number", w)
			return
		}
		f.Weight = v
	}
	if why := t.s.item(sdk.FactItem{Fact: &f}); why != "" {
		bad("%s", why)
		return
	}
	for _, side := range []struct{ id, what string }{{f.Subject, "subject"}, {f.Object, "object"}} {
		typ, names := get(side.what+"_type"), listNames(get(side.what+"_name"))
		if side.id != "" && (typ != "" || len(names) > 0) {
			t.s.part(part{id: side.id, typ: typ, names: names})
		}
	}
}

func listNames(cell string) []name {
	var names []name
	for s := range strings.SplitSeq(cell, "|") {
		if s = strings.TrimSpace(s); s != "" {
			names = append(names, name{text: s})
		}
	}
	return names
}

// readTSV reads cells between tabs without quoting; empty lines and lines that begin
// with # are left out.
func readTSV(in *input, s *sink) error {
	t := &table{in: in, s: s}
	refused := false
	return eachLine(in, s, func(number int, line []byte) {
		if refused || len(bytes.TrimSpace(line)) == 0 || line[0] == '#' {
			return
		}
		cells := strings.Split(string(line), "\t")
		if t.roles == nil {
			header, ok := t.begin(number, cells)
			if refused = !ok; header || refused {
				return
			}
		}
		t.row(number, cells)
	})
}

// readCSV reads comma-separated cells with quotes (RFC 4180).
func readCSV(in *input, s *sink) error {
	r := csv.NewReader(&noBOM{r: in.r})
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	t := &table{in: in, s: s}
	for s.ok() {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var pe *csv.ParseError
		if errors.As(err, &pe) {
			s.problem(in.file, pe.Line, pe.Column, "kg.row", "quotes within quotes are doubled", "%v", pe.Err)
			continue
		}
		if err != nil {
			return err
		}
		line, _ := r.FieldPos(0)
		if i := slices.IndexFunc(cells, func(c string) bool { return !utf8.ValidString(c) }); i >= 0 {
			s.problem(in.file, line, 0, "kg.encoding", "save the file as UTF-8", "cell %d is not valid UTF-8", i+1)
			continue
		}
		if t.roles == nil {
			header, ok := t.begin(line, cells)
			if !ok {
				return nil
			}
			if header {
				continue
			}
		}
		t.row(line, cells)
	}
	return nil
}

// noBOM leaves out a byte order mark.
type noBOM struct {
	r     io.Reader
	begun bool
}

func (b *noBOM) Read(p []byte) (int, error) {
	if b.begun {
		return b.r.Read(p)
	}
	b.begun = true
	head := make([]byte, 3)
	n, err := io.ReadFull(b.r, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	b.r = io.MultiReader(bytes.NewReader(bytes.TrimPrefix(head[:n], []byte("\ufeff"))), b.r)
	if err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

// readSPO reads subject, relation and object by name, separated by tabs.
func readSPO(in *input, s *sink) error {
	return eachLine(in, s, func(number int, line []byte) {
		if len(bytes.TrimSpace(line)) == 0 {
			return
		}
		cells := strings.Split(string(line), "\t")
		for i := range cells {
			cells[i] = cleanName(cells[i])
		}
		if len(cells) != 3 || slices.Contains(cells, "") {
			s.problem(in.file, number, 0, "kg.row", "subject, relation and object are separated by single tabs", "the line has no three cells")
			return
		}
		s.part(part{id: cells[0], names: []name{{text: cells[0]}}})
		s.part(part{id: cells[2], names: []name{{text: cells[2]}}})
		s.fact(sdk.Fact{Subject: cells[0], Relation: cells[1], Object: cells[2]})
	})
}

// readJSONL reads one sdk.FactItem a line.
func readJSONL(in *input, s *sink) error {
	return eachLine(in, s, func(number int, line []byte) {
		if len(bytes.TrimSpace(line)) == 0 {
			return
		}
		var it sdk.FactItem
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		err := d.Decode(&it)
		if err == nil && d.More() {
			err = fmt.Errorf("something follows the object")
		}
		if err != nil {
			column := int(d.InputOffset()) + 1
			var se *json.SyntaxError
			if errors.As(err, &se) {
				column = int(se.Offset)
			}
			s.problem(in.file, number, column, "kg.row", `a line is {"entity": {"id", "type", "names", "props"}} or {"fact": {"subject", "relation", "object" or "literal", "source", "weight"}}`,
				"%s", strings.TrimPrefix(err.Error(), "json: "))
			return
		}
		if why := s.item(it); why != "" {
			s.problem(in.file, number, 0, "kg.row", "", "%s", why)
		}
	})
}
