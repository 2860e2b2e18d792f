package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/sdk"
)

// openKG opens the graph of --kg.
func openKG(dir string) (*kg.Store, error) {
	if dir == "" {
		return nil, usageError{errors.New("--kg is needed")}
	}
	return kg.Open(dir)
}

// kgStats is what `kg stats --json` prints.
type kgStats struct {
	Entities  int    `json:"entities"`
	Facts     int    `json:"facts"`
	Names     int    `json:"names"`
	Types     int    `json:"types"`
	Relations int    `json:"relations"`
	Domain    string `json:"domain,omitempty"`
	Digest    string `json:"digest"`
}

func (a *app) kgStats() *cobra.Command {
	var dir string
	var full bool
	cmd := &cobra.Command{
		Use: "stats --kg DIR", Short: "Count what a knowledge graph holds", Args: cobra.MaximumNArgs(1),
		Example: "  islm kg stats --kg hpo\n  islm kg stats --kg hpo --full",
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if dir == "" && len(args) == 1 {
				dir = args[0]
			}
			s, err := openKG(dir)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			i := s.Stats()
			out := kgStats{i.Entities, i.Facts, i.Names, len(s.Types()), len(s.Relations()), i.Domain, i.Digest}
			if a.json {
				return a.print(out)
			}
			p := &printer{w: a.stdout}
			p.line("entities\t%d", out.Entities)
			p.line("facts\t%d", out.Facts)
			p.line("names\t%d", out.Names)
			p.line("types\t%d", out.Types)
			p.line("relations\t%d", out.Relations)
			if out.Domain != "" {
				p.line("domain\t%s", out.Domain)
			}
			p.line("digest\t%s", out.Digest)
			if !full {
				return p.err
			}
			for _, t := range s.Types() {
				n := 0
				for _, err := range s.OfType(t) {
					if err != nil {
						return err
					}
					n++
				}
				p.line("type %s\t%d", t, n)
			}
			counts := map[string]int{}
			for f, err := range s.Facts() {
				if err != nil {
					return err
				}
				counts[f.Relation]++
			}
			for _, r := range s.Relations() {
				p.line("relation %s\t%d", r, counts[r])
			}
			return p.err
		},
	}
	cmd.Flags().StringVar(&dir, "kg", "", "folder of the graph")
	cmd.Flags().BoolVar(&full, "full", false, "count entities of each type and facts of each relation, too")
	return cmd
}

// printer writes lines and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// kgQuery are the flags of `kg query`.
type kgQuery struct {
	dir                       string
	subject, relation, object string
	typ, to                   string
	depth, most, limit        int
}

func (a *app) kgQuery() *cobra.Command {
	var q kgQuery
	cmd := &cobra.Command{
		Use: "query --kg DIR [ENTITY]", Short: "Ask a knowledge graph: neighbors, paths, entities of a type",
		Long: `Ask a knowledge graph. ENTITY, and what --subject, --object and --to name, is
the id of an entity or one of its names.

  ENTITY                    facts about it, as subject and as object
  ENTITY --depth 2          facts among the entities around it
  ENTITY --to OTHER         paths between the two over at most three facts
  --subject --relation --object   facts that agree with all that are given
  --type TYPE               entities of a type

With --json each fact is a line {"subject", "relation", "object" or "literal", …}
with the entities' names beside their ids; in a path it has the path's number.`,
		Example: `  islm kg query --kg hpo Seizure
  islm kg query --kg hpo HP:0001250 --to HP:0000118
  islm kg query --kg hpo --relation is_a --object Seizure --json
  islm kg query --kg fibo --type Currency`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			s, err := openKG(q.dir)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			p := &factPrinter{a: a, s: s, left: q.limit, names: map[string]string{}}
			switch pattern := q.subject != "" || q.relation != "" || q.object != ""; {
			case len(args) == 1 && (pattern || q.typ != ""), len(args) == 0 && q.to != "", pattern && q.typ != "":
				return usageError{errors.New("ask one thing at a time: ENTITY, --type, or facts by --subject, --relation and --object")}
			case q.typ != "":
				return p.entities(q.typ)
			case pattern:
				return p.pattern(q)
			case len(args) == 0:
				return usageError{errors.New("name an entity, --type, or --subject, --relation or --object")}
			case q.to != "":
				return p.paths(args[0], q.to, q.most)
			default:
				return p.around(args[0], q.depth)
			}
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.dir, "kg", "", "folder of the graph")
	f.StringVar(&q.subject, "subject", "", "facts of this subject")
	f.StringVar(&q.relation, "relation", "", "facts of this relation")
	f.StringVar(&q.object, "object", "", "facts with this object or literal")
	f.StringVar(&q.typ, "type", "", "entities of this type")
	f.StringVar(&q.to, "to", "", "paths to this entity")
	f.IntVar(&q.depth, "depth", 1, "how many facts away neighbors may be")
	f.IntVar(&q.most, "max", kg.MaxPath, "facts in a path")
	f.IntVar(&q.limit, "limit", 0, "lines to print at most [all]")
	return cmd
}

// factPrinter prints answers, a line each.
type factPrinter struct {
	a     *app
	s     *kg.Store
	left  int // lines still to be printed, if limited
	done  bool
	names map[string]string // preferred names of entities seen
}

// factLine is a fact as `kg query --json` prints it.
type factLine struct {
	sdk.Fact
	SubjectName string `json:"subject_name,omitempty"`
	ObjectName  string `json:"object_name,omitempty"`
	Path        int    `json:"path,omitempty"` // from 1
}

// entityLine is an entity as `kg query --type --json` prints it.
type entityLine struct {
	ID    string            `json:"id"`
	Type  string            `json:"type"`
	Names []string          `json:"names"`
	Props map[string]string `json:"props,omitempty"`
}

// line counts a line against the limit.
func (p *factPrinter) line() {
	if p.left > 0 {
		p.left--
		p.done = p.left == 0
	}
}

// resolve finds the entities that are meant.
func (p *factPrinter) resolve(name string) ([]string, error) {
	ids, err := p.s.Resolve(name)
	if errors.Is(err, kg.ErrUnknownEntity) {
		return nil, &sdk.DiagnosticsError{Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "kg.unknown-entity",
			Summary: fmt.Sprintf("no entity has the id or name %q", name), Remedy: "names are found in any case, but only whole ones"}}}
	}
	return ids, err
}

func (p *factPrinter) name(id string) (string, error) {
	if n, ok := p.names[id]; ok || id == "" {
		return n, nil
	}
	e, _, err := p.s.Entity(id)
	if err != nil {
		return "", err
	}
	n := ""
	if len(e.Names) > 0 && e.Names[0] != id {
		n = e.Names[0]
	}
	if len(p.names) > 100_000 {
		clear(p.names)
	}
	p.names[id] = n
	return n, nil
}

func (p *factPrinter) fact(f sdk.Fact, path int) error {
	if p.done {
		return nil
	}
	subject, err := p.name(f.Subject)
	if err != nil {
		return err
	}
	object, err := p.name(f.Object)
	if err != nil {
		return err
	}
	p.line()
	if p.a.json {
		return p.a.print(factLine{f, subject, object, path})
	}
	call := func(id, name string) string {
		if name == "" {
			return id
		}
		return name + " (" + id + ")"
	}
	end := call(f.Object, object)
	if f.Object == "" {
		end = fmt.Sprintf("%q", f.Literal)
	}
	if path > 0 {
		end += fmt.Sprintf("\tpath %d", path)
	}
	_, err = fmt.Fprintf(p.a.stdout, "%s\t%s\t%s\n", oneLine(call(f.Subject, subject)), oneLine(f.Relation), oneLine(end))
	return err
}

// oneLine keeps a name from breaking the line.
func oneLine(s string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(s) }

func (p *factPrinter) all(facts iter.Seq2[sdk.Fact, error], keep func(sdk.Fact) bool) error {
	for f, err := range facts {
		if err == nil && keep(f) {
			err = p.fact(f, 0)
		}
		if err != nil || p.done {
			return err
		}
	}
	return nil
}

func list(facts []sdk.Fact, err error) iter.Seq2[sdk.Fact, error] {
	return func(yield func(sdk.Fact, error) bool) {
		if err != nil {
			yield(sdk.Fact{}, err)
			return
		}
		for _, f := range facts {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// pattern prints the facts that agree with what is given, found by the most telling
// of subject, object and relation.
func (p *factPrinter) pattern(q kgQuery) error {
	var subjects, objects []string
	var err error
	if q.subject != "" {
		if subjects, err = p.resolve(q.subject); err != nil {
			return err
		}
	}
	if q.object != "" {
		objects, err = p.s.Resolve(q.object)
		// What is no entity may be a literal.
		if err != nil && !errors.Is(err, kg.ErrUnknownEntity) {
			return err
		}
	}
	keep := func(f sdk.Fact) bool {
		return (q.relation == "" || f.Relation == q.relation) && (subjects == nil || slices.Contains(subjects, f.Subject)) &&
			(q.object == "" || f.Object != "" && slices.Contains(objects, f.Object) || f.Object == "" && f.Literal == q.object)
	}
	switch {
	case q.subject != "":
		for _, id := range subjects {
			if err := p.all(list(p.s.BySubject(id)), keep); err != nil {
				return err
			}
		}
		return nil
	case len(objects) > 0:
		for _, id := range objects {
			if err := p.all(list(p.s.ByObject(id)), keep); err != nil {
				return err
			}
		}
		return nil
	case q.relation != "":
		return p.all(p.s.ByRelation(q.relation), keep)
	}
	return p.all(p.s.Facts(), keep)
}

func (p *factPrinter) around(entity string, depth int) error {
	ids, err := p.resolve(entity)
	if err != nil {
		return err
	}
	always := func(sdk.Fact) bool { return true }
	for _, id := range ids {
		if depth > 1 {
			n, _, err := p.s.Neighborhood(id, depth, 10_000)
			if err != nil {
				return err
			}
			if err := p.all(list(n.Facts, nil), always); err != nil {
				return err
			}
			continue
		}
		if err := p.all(list(p.s.BySubject(id)), always); err != nil {
			return err
		}
		// A fact of an entity about itself is printed once.
		if err := p.all(list(p.s.ByObject(id)), func(f sdk.Fact) bool { return f.Subject != f.Object }); err != nil {
			return err
		}
	}
	return nil
}

func (p *factPrinter) paths(from, to string, most int) error {
	if most < 1 || most > kg.MaxPath {
		return usageError{fmt.Errorf("--max is 1 to %d", kg.MaxPath)}
	}
	starts, err := p.resolve(from)
	if err != nil {
		return err
	}
	ends, err := p.resolve(to)
	if err != nil {
		return err
	}
	number := 0
	for _, a := range starts {
		for _, b := range ends {
			paths, err := p.s.Paths(a, b, most)
			if err != nil {
				return err
			}
			for _, path := range paths {
				number++
				for _, f := range path {
					if err := p.fact(f, number); err != nil {
						return err
					}
				}
			}
		}
	}
	if number == 0 {
		p.a.say("no path of at most %d facts", most)
	}
	return nil
}

func (p *factPrinter) entities(typ string) error {
	if types := p.s.Types(); !slices.Contains(types, typ) {
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "kg.unknown-type", Summary: fmt.Sprintf("no entity has the type %q", typ)}
		if near := sdk.Nearest(typ, types); near != "" {
			d.Remedy = fmt.Sprintf("did you mean %q?", near)
		}
		return &sdk.DiagnosticsError{Diagnostics: sdk.Diagnostics{d}}
	}
	for id, err := range p.s.OfType(typ) {
		if err != nil {
			return err
		}
		e, _, err := p.s.Entity(id)
		if err != nil {
			return err
		}
		p.line()
		if p.a.json {
			err = p.a.print(entityLine{e.ID, e.Type, append([]string{}, e.Names...), e.Props})
		} else {
			_, err = fmt.Fprintln(p.a.stdout, strings.TrimRight(oneLine(e.ID+"\t"+strings.Join(e.Names, " | ")), "\t"))
		}
		if err != nil || p.done {
			return err
		}
	}
	return nil
}
