package source

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/islm-dev/islm/sdk"
)

// Options say how files are read. The zero value reads each by its name, strictly.
type Options struct {
	// Format is one of Formats; "" goes by the name of each file.
	Format string
	// Columns names the columns of tables (csv, tsv): the key is what a column is to
	// be (id, type, names, prop.NAME; subject, relation, object, literal, weight,
	// source, subject_type, object_type, subject_name, object_name), the value the
	// column's name in the header, its number from 1 where there is no header, or
	// =TEXT for a text that is the same in every row.
	Columns map[string]string
	// Base is the IRI against which relative IRIs are resolved where a document
	// gives none.
	Base string
	// Prefixes shorten relations in RDF, by prefix; they come before the well-known
	// ones.
	Prefixes map[string]string
	// Languages keeps RDF text in these languages (BCP 47; en covers en-GB) and text
	// without a language; empty keeps all.
	Languages []string
	// Source is given to facts that name none.
	Source string
	// Scope stands in the ids of blank nodes, so that streams can be joined.
	Scope string
	// Lenient leaves out what cannot be read instead of failing.
	Lenient bool
	// Limit ends reading after so many problems; 0 means 100. Lenient reading goes
	// on, and reports no more than these in detail.
	Limit int
	// Report gets what is no error: notices, and with Lenient what was left out. It
	// may be nil.
	Report func(sdk.Diagnostic)
	// TempDir is the folder for temporary files, "" the system's.
	TempDir string
}

// Open reads knowledge from files and folders, "-" being standard input, and gives
// every entity once, ordered by id, then every fact in the order of the input. An id
// that only facts mention becomes an entity without type and names. "FORMAT:FILE"
// says what this file holds, whatever opt.Format, unless a file has that name.
//
// Files that are missing or of unknown format are reported before anything is read.
// The stream ends at its first error: *sdk.DiagnosticsError for problems of the
// content, all of them, before any item; or what made reading impossible.
func Open(ctx context.Context, paths []string, opt Options) (iter.Seq2[sdk.FactItem, error], error) {
	files, ds := find(paths, opt)
	if err := ds.Err(); err != nil {
		return nil, err
	}
	return stream(ctx, opt, func(s *sink) error {
		for _, f := range files {
			if err := f.read(s); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

// Files lists the files that Open would read, so that what they hold can be told by a
// digest; problems are those of Open.
func Files(paths []string, opt Options) ([]string, error) {
	files, ds := find(paths, opt)
	var names []string
	for _, f := range files {
		names = append(names, f.path)
	}
	return names, ds.Err()
}

// Items brings a stream of entities and facts, such as a plugin's, into the same
// order: entities of one id merged, ids that only facts mention added. Diagnostics in
// the stream are treated as Open treats those of files.
func Items(ctx context.Context, items iter.Seq2[sdk.FactItem, error], opt Options) iter.Seq2[sdk.FactItem, error] {
	return stream(ctx, opt, func(s *sink) error {
		for it, err := range items {
			if err != nil {
				ds, fatal, ok := sdk.DiagnosticsOf(err)
				if !ok || fatal {
					return err
				}
				for _, d := range ds {
					s.diagnostic(d)
				}
			} else if why := s.item(it); why != "" {
				s.diagnostic(sdk.Diagnostic{Code: "kg.item", Summary: why, Source: sdk.FromPlugin})
			}
			if !s.ok() {
				return nil
			}
		}
		return nil
	})
}

// stream lets read fill a sink, then yields what it holds.
func stream(ctx context.Context, opt Options, read func(*sink) error) iter.Seq2[sdk.FactItem, error] {
	return func(yield func(sdk.FactItem, error) bool) {
		s := &sink{ctx: ctx, opt: opt, spool: newSpool(opt.TempDir), limit: opt.Limit}
		if s.limit <= 0 {
			s.limit = 100
		}
		going := true
		fail := func(err error) {
			if going && err != nil {
				going = false
				yield(sdk.FactItem{}, err)
			}
		}
		defer func() { fail(s.spool.close()) }()
		if err := errors.Join(read(s), s.err); err != nil {
			fail(err)
			return
		}
		if err := s.finish(); err != nil {
			fail(err)
			return
		}
		give := func(it sdk.FactItem) bool {
			if err := ctx.Err(); err != nil {
				fail(err)
			}
			if going {
				going = yield(it, nil)
			}
			return going
		}
		fail(s.spool.entities(func(e sdk.Entity) bool { return give(sdk.FactItem{Entity: &e}) }))
		if going {
			fail(s.spool.each(func(f sdk.Fact) bool { return give(sdk.FactItem{Fact: &f}) }))
		}
	}
}

// sink takes what parsers find.
type sink struct {
	ctx   context.Context
	opt   Options
	spool *spool
	err   error // why nothing more can be taken

	limit    int
	problems sdk.Diagnostics
	count    int // of problems

	documents int // begun
}

// ok reports whether reading goes on.
func (s *sink) ok() bool {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	return s.err == nil && (s.opt.Lenient || s.count < s.limit)
}

// part adds what is known of an entity. Names are trimmed and brought into normal
// form C, in which text is looked up.
func (s *sink) part(p part) {
	if s.err != nil {
		return
	}
	kept := p.names[:0]
	for _, n := range p.names {
		if n.text = cleanName(n.text); n.text != "" {
			kept = append(kept, n)
		}
	}
	p.names = kept
	s.err = s.spool.add(p)
}

// cleanName gives a name in normal form C with single spaces.
func cleanName(text string) string {
	for _, r := range text {
		if r >= 0x80 || r < ' ' {
			return norm.NFC.String(strings.Join(strings.Fields(text), " "))
		}
	}
	if text = strings.TrimSpace(text); strings.Contains(text, "  ") {
		text = strings.Join(strings.Fields(text), " ")
	}
	return text
}

// fact adds a fact and mentions its entities.
func (s *sink) fact(f sdk.Fact) {
	if s.err != nil {
		return
	}
	if f.Source == "" {
		f.Source = s.opt.Source
	}
	s.err = s.spool.mention(f.Subject)
	if f.Object != "" && s.err == nil {
		s.err = s.spool.mention(f.Object)
	}
	if s.err == nil {
		s.err = s.spool.fact(f)
	}
}

// item adds an item of a stream or says what is wrong with it.
func (s *sink) item(it sdk.FactItem) string {
	switch e, f := it.Entity, it.Fact; {
	case (e == nil) == (f == nil):
		return "an item is either an entity or a fact"
	case e != nil && e.ID == "":
		return "the entity has no id"
	case e != nil:
		p := part{id: e.ID, typ: e.Type}
		for _, n := range e.Names {
			p.names = append(p.names, name{text: n})
		}
		for _, k := range slices.Sorted(maps.Keys(e.Props)) {
			p.props = append(p.props, prop{k, e.Props[k]})
		}
		s.part(p)
	case f.Subject == "":
		return "the fact has no subject"
	case f.Relation == "":
		return "the fact has no relation"
	case (f.Object == "") == (f.Literal == ""):
		return "a fact has either an object or a literal"
	case !(f.Weight >= 0) || f.Weight > 1e9:
		return fmt.Sprintf("the weight %v is no positive number", f.Weight)
	default:
		s.fact(*f)
	}
	return ""
}

// problem reports a record that cannot be read.
func (s *sink) problem(file string, line, column int, code, remedy, format string, args ...any) {
	s.diagnostic(sdk.Diagnostic{Code: code, File: file, Line: line, Column: column, Summary: fmt.Sprintf(format, args...), Remedy: remedy, Source: sdk.FromData})
}

func (s *sink) diagnostic(d sdk.Diagnostic) {
	if d.Severity != "" && d.Severity != sdk.Error {
		s.notice(d)
		return
	}
	s.count++
	switch {
	case !s.opt.Lenient:
		s.problems.Add(d)
	case s.count <= s.limit:
		d.Severity = sdk.Warning
		s.notice(d)
	}
}

func (s *sink) notice(d sdk.Diagnostic) {
	if s.opt.Report != nil {
		s.opt.Report(d)
	}
}

// finish gives the problems as an error, or sums up what was left out.
func (s *sink) finish() error {
	if !s.opt.Lenient {
		if s.count >= s.limit {
			s.problems.Add(sdk.Diagnostic{Severity: sdk.Info, Code: "kg.problems", Summary: fmt.Sprintf("reading ended after %d problems", s.count)})
		}
		return s.problems.Err()
	}
	if s.count > 0 {
		s.notice(sdk.Diagnostic{Severity: sdk.Warning, Code: "kg.skipped", Source: sdk.FromData,
			Summary: fmt.Sprintf("%d records could not be read and were left out", s.count)})
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
