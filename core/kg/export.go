package kg

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// WriteJSONL writes the graph as JSON lines, {"entity": {…}} and then {"fact":
// {…}}: the form that an import turns into the same graph, with the same digest.
func (s *Store) WriteJSONL(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<20)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	n := 0
	write := func(it sdk.FactItem, err error) error {
		if err != nil {
			return err
		}
		if n++; n&0xfff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return enc.Encode(it)
	}
	for e, err := range s.Entities() {
		if err := write(sdk.FactItem{Entity: &e}, err); err != nil {
			return fmt.Errorf("write JSON lines: %w", err)
		}
	}
	for f, err := range s.Facts() {
		if err := write(sdk.FactItem{Fact: &f}, err); err != nil {
			return fmt.Errorf("write JSON lines: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write JSON lines: %w", err)
	}
	return nil
}

// label is how an entity is called where people read.
func label(e sdk.Entity) string {
	if len(e.Names) > 0 {
		return e.Names[0]
	}
	return e.ID
}

// WriteDOT writes a neighbourhood in the language of Graphviz
// (https://graphviz.org/doc/info/lang.html).
func (n *Neighborhood) WriteDOT(w io.Writer) error {
	out := bufio.NewWriter(w)
	// bufio remembers the first error.
	write := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	write("digraph kg {\n\tnode [shape=ellipse];\n")
	for i, e := range n.Entities {
		shape := ""
		if i == n.Center {
			shape = ", style=bold"
		}
		write("\t%s [label=%s, tooltip=%s%s];\n", quoteDOT(e.ID), quoteDOT(label(e)), quoteDOT(e.Type), shape)
	}
	for _, f := range n.Facts {
		write("\t%s -> %s [label=%s];\n", quoteDOT(f.Subject), quoteDOT(f.Object), quoteDOT(f.Relation))
	}
	write("}\n")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write DOT: %w", err)
	}
	return nil
}

// quoteDOT gives a string of DOT. Backslashes are doubled, as \N and the like mean
// something in labels.
func quoteDOT(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", "", "\x00", "").Replace(s) + `"`
}

// ErrUnknownEntity says that no entity has an id or a name.
var ErrUnknownEntity = errors.New("no entity has this id or name")

// Resolve gives the entities that a person means: the one of that id, else those of
// that name.
func (s *Store) Resolve(idOrName string) ([]string, error) {
	if _, ok, err := s.Index(idOrName); err != nil || ok {
		return []string{idOrName}, err
	}
	ids, err := s.ByName(idOrName)
	if err == nil && len(ids) == 0 {
		err = fmt.Errorf("%q: %w", idOrName, ErrUnknownEntity)
	}
	return ids, err
}
