package sdk

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// table is a tab-separated file: a header line naming the columns, one row per
// line, no quoting; empty lines and lines that begin with # are comments.
type table struct {
	file    string
	columns []string
	rows    []row
}

type row struct {
	line  int
	cells []string // as many as columns
}

// readTable reads a table. prefixes are beginnings of column names that are
// allowed besides the known ones.
func readTable(fsys fs.FS, name string, known func(header []string) []string, prefixes ...string) (*table, Diagnostics) {
	data, err := readFile(fsys, name)
	if err != nil {
		return nil, Diagnostics{{Severity: Error, Code: "table.read", File: name, Summary: "the file cannot be read: " + plainError(err)}}
	}
	return parseTable(name, data, known, prefixes...)
}

func parseTable(name string, data []byte, known func(header []string) []string, prefixes ...string) (*table, Diagnostics) {
	var ds Diagnostics
	t := &table{file: name}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	line := 0
	for raw := range bytes.Lines(data) {
		line++
		raw = bytes.TrimRight(raw, "\r\n")
		if len(bytes.TrimSpace(raw)) == 0 || raw[0] == '#' {
			continue
		}
		if !utf8.Valid(raw) {
			ds.Add(Diagnostic{Code: "table.encoding", File: name, Line: line, Summary: "the line is not valid UTF-8", Remedy: "save the file as UTF-8"})
			continue
		}
		cells := strings.Split(string(raw), "\t")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if t.columns == nil {
			t.columns = cells
			names := known(cells)
			for i, c := range cells {
				if slices.Contains(cells[:i], c) {
					ds.Add(Diagnostic{Code: "table.column", File: name, Line: line, Summary: fmt.Sprintf("column %q is there twice", c)})
				}
				if slices.Contains(names, c) || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(c, p) && len(c) > len(p) }) {
					continue
				}
				ds.Add(Diagnostic{Code: "table.column", File: name, Line: line, Summary: fmt.Sprintf("unknown column %q", c), Remedy: didYouMean(c, names),
					Detail: "the first line names the columns, separated by tabs"})
			}
			if ds.HasErrors() {
				return nil, ds
			}
			continue
		}
		if len(cells) > len(t.columns) {
			ds.Add(Diagnostic{Code: "table.cells", File: name, Line: line, Summary: fmt.Sprintf("the line has %d cells, the header %d", len(cells), len(t.columns)),
				Remedy: "cells are separated by single tabs"})
			continue
		}
		for len(cells) < len(t.columns) {
			cells = append(cells, "")
		}
		t.rows = append(t.rows, row{line: line, cells: cells})
	}
	if t.columns == nil {
		ds.Add(Diagnostic{Code: "table.empty", File: name, Summary: "the file has no header line", Remedy: "its first line names the columns, separated by tabs"})
		return nil, ds
	}
	return t, ds
}

// get returns the cell of the named column, "" if there is no such column.
func (t *table) get(r row, column string) string {
	if i := slices.Index(t.columns, column); i >= 0 {
		return r.cells[i]
	}
	return ""
}

func list(cell string) []string {
	var items []string
	for s := range strings.SplitSeq(cell, "|") {
		if s = strings.TrimSpace(s); s != "" {
			items = append(items, s)
		}
	}
	return items
}

// reporter collects diagnostics of one table.
type reporter struct {
	file string
	ds   *Diagnostics
}

func (r reporter) at(line int, code, remedy, format string, args ...any) {
	r.ds.Add(Diagnostic{Code: code, File: r.file, Line: line, Summary: fmt.Sprintf(format, args...), Remedy: remedy, Source: FromPlugin})
}

// normal reports text that is not in Unicode normal form C, which would never be
// found in text that is.
func (r reporter) normal(line int, what, text string) {
	if !norm.NFC.IsNormalString(text) {
		r.at(line, "table.nfc", fmt.Sprintf("write %q", norm.NFC.String(text)), "%s %q is not in Unicode normal form C", what, text)
	}
}

func (r reporter) weight(line int, cell string) float64 {
	if cell == "" {
		return 0
	}
	w, err := strconv.ParseFloat(cell, 64)
	if err != nil || !(w > 0) || w > 1e9 {
		r.at(line, "table.weight", "", "weight %q is no positive number", cell)
		return 0
	}
	return w
}

// LoadTerms reads the vocabulary files of a manifest that LoadManifest returned
// and reports rows without text, text that is not in normal form C, terms given
// twice for one language and weights that are no number.
//
// A file has the columns text, kind, lang, canonical, synonyms (separated by |),
// weight and entity; only text is needed.
func LoadTerms(fsys fs.FS, m *Manifest) ([]Term, Diagnostics) {
	terms, _, ds := loadTerms(fsys, m)
	return terms, ds
}

// place is where something stands in a domain's files.
type place struct {
	file string
	line int
}

// loadTerms is LoadTerms with the place of each term.
func loadTerms(fsys fs.FS, m *Manifest) ([]Term, []place, Diagnostics) {
	var ds Diagnostics
	var terms []Term
	var places []place
	type key struct{ text, lang string }
	first := map[key]place{}
	columns := func([]string) []string {
		return []string{"text", "kind", "lang", "canonical", "synonyms", "weight", "entity"}
	}
	for _, name := range m.Vocab {
		t, problems := readTable(fsys, name, columns)
		ds.Add(problems...)
		if t == nil {
			continue
		}
		r := reporter{name, &ds}
		if !slices.Contains(t.columns, "text") {
			r.at(1, "vocab.columns", "name the columns: text, kind, lang, canonical, synonyms, weight, entity", "there is no column called text")
			continue
		}
		for _, row := range t.rows {
			term := Term{Text: t.get(row, "text"), Kind: t.get(row, "kind"), Lang: t.get(row, "lang"), Canonical: t.get(row, "canonical"),
				Synonyms: list(t.get(row, "synonyms")), EntityID: t.get(row, "entity"), Weight: r.weight(row.line, t.get(row, "weight"))}
			if term.Text == "" {
				r.at(row.line, "vocab.text", "", "the term has no text")
				continue
			}
			r.normal(row.line, "term", term.Text)
			for _, s := range term.Synonyms {
				r.normal(row.line, "synonym", s)
				if s == term.Text {
					r.at(row.line, "vocab.synonym", "", "%q is listed as its own synonym", s)
				}
			}
			k := key{term.Text, term.Lang}
			if p, ok := first[k]; ok {
				r.at(row.line, "vocab.duplicate", "keep one of the two", "term %q is there twice, first in %s:%d", term.Text, p.file, p.line)
				continue
			}
			first[k] = place{name, row.line}
			terms = append(terms, term)
			places = append(places, place{name, row.line})
		}
	}
	return terms, places, ds
}

// LoadFacts reads the knowledge files of a manifest that LoadManifest returned. A
// file with a column id holds entities (id, type, names separated by |, and
// prop.NAME for properties), one with a column subject holds facts (subject,
// relation, object or literal, weight, source). It reports types and relations
// that kg: does not declare, ids given twice and, unless open is set, ids that no
// entity has; open is for domains whose hooks add entities.
func LoadFacts(fsys fs.FS, m *Manifest, open bool) ([]Entity, []Fact, Diagnostics) {
	var ds Diagnostics
	var entities []Entity
	var facts []Fact
	ids, at := map[string]place{}, []place(nil)
	entityColumns := []string{"id", "type", "names"}
	factColumns := []string{"subject", "relation", "object", "literal", "weight", "source"}
	columns := func(header []string) []string {
		switch {
		case slices.Contains(header, "id"):
			return entityColumns
		case slices.Contains(header, "subject"):
			return factColumns
		}
		return append(slices.Clone(entityColumns), factColumns...)
	}
	for _, name := range m.Facts {
		t, problems := readTable(fsys, name, columns, "prop.")
		ds.Add(problems...)
		if t == nil {
			continue
		}
		r := reporter{name, &ds}
		switch {
		case slices.Contains(t.columns, "id"):
			for _, row := range t.rows {
				e := Entity{ID: t.get(row, "id"), Type: t.get(row, "type"), Names: list(t.get(row, "names"))}
				for i, c := range t.columns {
					if p, ok := strings.CutPrefix(c, "prop."); ok && row.cells[i] != "" {
						if e.Props == nil {
							e.Props = map[string]string{}
						}
						e.Props[p] = row.cells[i]
					}
				}
				if e.ID == "" {
					r.at(row.line, "kg.id", "", "the entity has no id")
					continue
				}
				if p, ok := ids[e.ID]; ok {
					r.at(row.line, "kg.duplicate", "keep one of the two", "entity %q is there twice, first in %s:%d", e.ID, p.file, p.line)
					continue
				}
				ids[e.ID] = place{name, row.line}
				if !slices.Contains(m.KG.Entities, e.Type) {
					r.at(row.line, "kg.type", orDeclare(e.Type, m.KG.Entities, "kg.entities"), "entity %q has the unknown type %q", e.ID, e.Type)
				}
				if len(e.Names) == 0 {
					r.at(row.line, "kg.names", "give at least one name", "entity %q has no name", e.ID)
				}
				for _, n := range e.Names {
					r.normal(row.line, "name", n)
				}
				entities = append(entities, e)
			}
		case slices.Contains(t.columns, "subject"):
			for _, row := range t.rows {
				f := Fact{Subject: t.get(row, "subject"), Relation: t.get(row, "relation"), Object: t.get(row, "object"),
					Literal: t.get(row, "literal"), Source: t.get(row, "source"), Weight: r.weight(row.line, t.get(row, "weight"))}
				if f.Subject == "" {
					r.at(row.line, "kg.subject", "", "the fact has no subject")
					continue
				}
				if (f.Object == "") == (f.Literal == "") {
					r.at(row.line, "kg.object", "object is an entity's id, literal a plain value", "a fact has either an object or a literal")
					continue
				}
				if !slices.Contains(m.KG.Relations, f.Relation) {
					r.at(row.line, "kg.relation", orDeclare(f.Relation, m.KG.Relations, "kg.relations"), "unknown relation %q", f.Relation)
				}
				facts = append(facts, f)
				at = append(at, place{name, row.line})
			}
		default:
			r.at(1, "kg.columns", "entities have the columns id, type, names; facts subject, relation, object, weight, source", "the file holds neither entities nor facts")
		}
	}
	if !open {
		known := sortedKeys(ids)
		for i, f := range facts {
			r := reporter{at[i].file, &ds}
			for _, id := range []string{f.Subject, f.Object} {
				if _, ok := ids[id]; !ok && id != "" {
					remedy := "add it to the entities"
					if near := Nearest(id, known); near != "" {
						remedy = fmt.Sprintf("did you mean %q?", near)
					}
					r.at(at[i].line, "kg.unknown-id", remedy, "no entity has the id %q", id)
				}
			}
		}
	}
	return entities, facts, ds
}

func orDeclare(word string, known []string, key string) string {
	if near := Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("declare it under %s in domain.yaml", key)
}
