package rdf

import (
	"errors"
	"io"
	"iter"
)

// NTriples reads N-Triples 1.1, one statement a line. Blank nodes keep their labels.
func NTriples(r io.Reader) iter.Seq2[Triple, error] {
	return func(yield func(Triple, error) bool) {
		s := newScanner(r, false)
		p := &ntriples{s: s}
		for {
			var t Triple
			found := false
			err := s.catch(func() { t, found = p.statement() })
			if err == nil && !found {
				return
			}
			if !yield(t, err) {
				return
			}
			var bad *SyntaxError
			if err != nil && !errors.As(err, &bad) {
				return
			}
			if err != nil && s.skip(func() bool { return s.next == '\n' }) != nil {
				yield(Triple{}, s.cause)
				return
			}
		}
	}
}

// catch runs f and gives the error that it panics with.
func (s *scanner) catch(f func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *SyntaxError:
			err = p
		case readError:
			err = p.err
		default:
			panic(p)
		}
	}()
	f()
	if s.next == eof && s.cause != nil {
		return s.cause
	}
	return nil
}

// skip goes on to the next character for which there holds, or the end; the error is
// the reader's.
func (s *scanner) skip(there func() bool) error {
	for s.next != eof && !there() {
		if s.next == '\n' {
			s.line++
			s.column = 1
		} else {
			s.column++
		}
		s.fill()
	}
	return s.cause
}

type ntriples struct {
	s          *scanner
	predicates map[string]string // predicates are few: one copy of each is kept
}

// statement reads one; found is false at the end of the file.
func (p *ntriples) statement() (t Triple, found bool) {
	s := p.s
	if s.bad {
		s.fail("the text is not valid UTF-8")
	}
	for {
		p.space()
		switch s.next {
		case '\n', '\r':
			s.advance()
			continue
		case '#':
			s.comment()
			continue
		case eof:
			return t, false
		}
		break
	}
	dot := false
	switch s.next {
	case '<':
		t.Subject = p.iri()
	case '_':
		t.Subject.Kind = Blank
		t.Subject.Value, dot = s.blankLabel()
	default:
		s.fail("a subject, <IRI> or _:label, expected, found %s", s.shown())
	}
	if dot {
		s.fail("a predicate expected, found \".\"")
	}
	p.space()
	if s.next != '<' {
		s.fail("a predicate, <IRI>, expected, found %s", s.shown())
	}
	t.Predicate = p.iri()
	if known, ok := p.predicates[t.Predicate.Value]; ok {
		t.Predicate.Value = known
	} else if len(p.predicates) < 4096 {
		if p.predicates == nil {
			p.predicates = map[string]string{}
		}
		p.predicates[t.Predicate.Value] = t.Predicate.Value
	}
	p.space()
	t.Line, t.Column = s.line, s.column
	switch s.next {
	case '<':
		t.Object = p.iri()
	case '_':
		t.Object.Kind = Blank
		t.Object.Value, dot = s.blankLabel()
	case '"':
		t.Object = s.literal(func() string {
			if s.next != '<' {
				s.fail("a datatype, <IRI>, expected, found %s", s.shown())
			}
			return p.iri().Value
		})
	default:
		s.fail("an object, <IRI>, _:label or \"text\", expected, found %s", s.shown())
	}
	if !dot {
		p.space()
		s.expect('.', "a full stop")
	}
	p.space()
	if s.next == '#' {
		s.comment()
	}
	if s.next != '\n' && s.next != '\r' && s.next != eof {
		s.fail("the end of the line expected, found %s", s.shown())
	}
	return t, true
}

func (p *ntriples) iri() Term {
	line, column := p.s.line, p.s.column
	v := p.s.iriRef()
	if !isAbsolute(v) {
		p.s.failAt(line, column, "the IRI <%s> is relative", v)
	}
	return Term{Kind: IRI, Value: v}
}

func (p *ntriples) space() {
	for p.s.next == ' ' || p.s.next == '\t' {
		p.s.advance()
	}
}
