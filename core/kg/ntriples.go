package kg

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/islm-dev/islm/sdk"
)

// WriteNTriples writes the graph as sorted canonical N-Triples, the form of which
// the digest is taken (RDF 1.1 N-Triples, section 4). Ids and relations that are
// absolute IRIs stand as they are, others below urn:islm:. The first name is an
// rdfs:label, the others are skos:altLabel, the type is a rdf:type below
// urn:islm:type:, properties stand below urn:islm:property:. The weight and the
// source of a fact are one line more: the subject's urn:islm:stated, with a
// literal of predicate, object, weight and source, separated by tabs.
func (s *Store) WriteNTriples(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<20)
	t, err := s.terms()
	if err != nil {
		return err
	}
	var lines entityLines
	var edges []edge
	for n := range uint32(s.Len()) {
		if n&0xfff == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		lines.reset()
		e, err := s.EntityAt(n)
		if err != nil {
			return err
		}
		lines.entity(e)
		if edges, err = s.edges('O', n, edges[:0]); err != nil {
			return err
		}
		for _, e := range edges {
			start := len(lines.b)
			lines.b = append(append(lines.b, t.relations[e.relation]...), ' ')
			object := len(lines.b)
			if lines.b, err = t.append(lines.b, e.other); err != nil {
				return err
			}
			lines.end(start)
			if e.attributes() {
				lines.stated(t.relations[e.relation], string(lines.b[object:len(lines.b)-3]), e.weight, s.source(e.source))
			}
		}
		texts, err := s.statements(n)
		if err != nil {
			return err
		}
		for _, x := range texts {
			lines.literal(t.relations[x.relation], x.text)
			if x.source != 0 || x.weight != 0 {
				lines.stated(t.relations[x.relation], string(appendLiteral(nil, x.text)), x.weight, s.source(x.source))
			}
		}
		if err := lines.write(out, term(e.ID, iriID)); err != nil {
			return fmt.Errorf("write N-Triples: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write N-Triples: %w", err)
	}
	return nil
}

// terms gives the terms of relations and, from all pages of ids in memory, of
// entities.
type terms struct {
	relations []string
	pages     [][]byte
	buf       []byte
}

func (s *Store) terms() (*terms, error) {
	t := &terms{}
	for _, r := range s.relations {
		t.relations = append(t.relations, relationTerm(r))
	}
	for n := range uint32((s.Len() + group - 1) / group) {
		page, err := s.value(pageKey('D', n))
		if err != nil {
			return nil, err
		}
		t.pages = append(t.pages, page)
	}
	return t, nil
}

func (t *terms) append(b []byte, n uint32) ([]byte, error) {
	if int(n/group) >= len(t.pages) {
		return nil, errDamaged
	}
	id, err := idAt(t.pages[n/group], int(n%group), t.buf)
	if err != nil {
		return nil, err
	}
	t.buf = id
	return append(b, term(string(id), iriID)...), nil
}

// entityLines are the lines about one subject, without it.
type entityLines struct {
	b    []byte
	ends [][2]int
}

func (l *entityLines) reset() { l.b, l.ends = l.b[:0], l.ends[:0] }

func (l *entityLines) end(start int) {
	l.b = append(l.b, " .\n"...)
	l.ends = append(l.ends, [2]int{start, len(l.b)})
}

func (l *entityLines) literal(predicate, text string) {
	start := len(l.b)
	l.b = append(append(l.b, predicate...), ' ')
	l.b = appendLiteral(l.b, text)
	l.end(start)
}

func (l *entityLines) entity(e sdk.Entity) {
	if e.Type != "" {
		start := len(l.b)
		l.b = append(append(l.b, "<"+rdfType+"> <"+iriType...), percent(e.Type)...)
		l.b = append(l.b, '>')
		l.end(start)
	}
	for i, n := range e.Names {
		if i == 0 {
			l.literal("<"+rdfsLabel+">", n)
		} else {
			l.literal("<"+skosLabel+">", n)
		}
	}
	for k, v := range e.Props {
		l.literal("<"+iriProperty+percent(k)+">", v)
	}
}

func (l *entityLines) stated(predicate, object string, weight float64, source string) {
	w := ""
	if weight != 0 {
		w = strconv.FormatFloat(weight, 'g', -1, 64)
	}
	l.literal("<"+iriStated+">", predicate+"\t"+object+"\t"+w+"\t"+source)
}

// write sorts the lines and writes them behind their subject.
func (l *entityLines) write(w *bufio.Writer, subject string) error {
	compare := func(a, b [2]int) int { return bytes.Compare(l.b[a[0]:a[1]], l.b[b[0]:b[1]]) }
	slices.SortFunc(l.ends, compare)
	for _, e := range slices.CompactFunc(l.ends, func(a, b [2]int) bool { return compare(a, b) == 0 }) {
		if _, err := w.WriteString(subject); err != nil {
			return err
		}
		if err := w.WriteByte(' '); err != nil {
			return err
		}
		if _, err := w.Write(l.b[e[0]:e[1]]); err != nil {
			return err
		}
	}
	return nil
}
