package rdf

import (
	"errors"
	"io"
	"iter"
	"strconv"
	"strings"
)

// maxNesting bounds [ ] and ( ) within each other.
const maxNesting = 1000

// Turtle reads Turtle 1.1. base is the IRI of the document, for relative IRIs before
// any @base; it may be "". Blank nodes get labels of their own: b1, b2, …; those with
// a label in the document keep it behind an x, so that the two never meet.
func Turtle(r io.Reader, base string) iter.Seq2[Triple, error] {
	return func(yield func(Triple, error) bool) {
		s := newScanner(r, true)
		p := &turtle{s: s, base: base, prefixes: map[string]string{}, names: map[string]string{}}
		going := true
		p.emit = func(t Triple) {
			if going = yield(t, nil); !going {
				panic(stopped{})
			}
		}
		for {
			found := false
			err := p.run(func() { found = p.statement() })
			switch {
			case !going || err == nil && !found:
				return
			case err == nil:
				continue
			}
			var bad *SyntaxError
			if !yield(Triple{}, err) || !errors.As(err, &bad) {
				return
			}
			stop := s.last == '.'
			err = s.skip(func() bool {
				end := stop && (s.next == '\n' || s.next == '\r')
				if s.next != ' ' && s.next != '\t' {
					stop = s.next == '.'
				}
				return end
			})
			if err != nil {
				yield(Triple{}, err)
				return
			}
			p.depth = 0
		}
	}
}

type stopped struct{}

type turtle struct {
	s        *scanner
	base     string
	prefixes map[string]string
	names    map[string]string // IRIs by prefixed name, some
	blanks   int
	depth    int
	emit     func(Triple)
	// pendingDot is set when a name has taken the statement's full stop with it.
	pendingDot bool
}

// run is scanner.catch that also ends when the consumer has had enough.
func (p *turtle) run(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(stopped); !ok {
				panic(r)
			}
		}
	}()
	return p.s.catch(f)
}

// space skips white space and comments.
func (p *turtle) space() {
	for {
		switch p.s.next {
		case ' ', '\t', '\n', '\r':
			p.s.advance()
		case '#':
			p.s.comment()
		default:
			return
		}
	}
}

// statement reads a directive or the triples of a subject; false at the end.
func (p *turtle) statement() bool {
	s := p.s
	p.pendingDot = false
	if s.bad {
		s.fail("the text is not valid UTF-8")
	}
	p.space()
	switch {
	case s.next == eof:
		return false
	case s.next == '@':
		s.advance()
		word := p.word()
		switch word {
		case "prefix":
			p.prefix()
		case "base":
			p.baseIRI()
		default:
			s.fail("@prefix or @base expected, found @%s", word)
		}
		p.end()
		return true
	case s.next == '[':
		subject, empty := p.blankProperties()
		p.space()
		if !empty && s.next == '.' {
			p.end()
			return true
		}
		p.predicates(subject)
	case s.next == '(':
		p.predicates(p.collection())
	case s.next == '<':
		p.predicates(p.iri())
	case s.next == '_':
		p.predicates(p.blank())
	default:
		line, column := s.line, s.column
		n, keyword := p.name()
		switch {
		case keyword && strings.EqualFold(n, "prefix"):
			p.prefix()
			return true
		case keyword && strings.EqualFold(n, "base"):
			p.baseIRI()
			return true
		case keyword:
			s.failAt(line, column, "a subject expected, found %q", n)
		}
		p.predicates(Term{Kind: IRI, Value: n})
	}
	p.end()
	return true
}

// end reads the full stop of a statement.
func (p *turtle) end() {
	if p.pendingDot {
		p.pendingDot = false
		return
	}
	p.space()
	p.s.expect('.', "a full stop")
}

// word reads ASCII letters.
func (p *turtle) word() string {
	p.s.buf = p.s.buf[:0]
	for isAlpha(p.s.next) {
		p.s.put(p.s.next)
		p.s.advance()
	}
	return string(p.s.buf)
}

func (p *turtle) prefix() {
	s := p.s
	p.space()
	line, column := s.line, s.column
	label := ""
	if s.next != ':' {
		if !isPNCharsBase(s.next) {
			s.fail("a prefix such as ex: expected, found %s", s.shown())
		}
		var dot bool
		if label, dot = s.dotted(isPNChars); dot {
			s.failAt(line, column, "a prefix does not end in a full stop")
		}
	}
	s.expect(':', ": behind the prefix")
	p.space()
	if s.next != '<' {
		s.fail("the prefix's <IRI> expected, found %s", s.shown())
	}
	p.prefixes[label] = p.iri().Value
	clear(p.names)
}

func (p *turtle) baseIRI() {
	p.space()
	if p.s.next != '<' {
		p.s.fail("the base <IRI> expected, found %s", p.s.shown())
	}
	p.base = p.iri().Value
}

// iri reads <…> and resolves it.
func (p *turtle) iri() Term {
	line, column := p.s.line, p.s.column
	ref := p.s.iriRef()
	v, ok := resolve(p.base, ref)
	if !ok {
		p.s.failAt(line, column, "the IRI <%s> is relative and the document has no @base", ref)
	}
	return Term{Kind: IRI, Value: v}
}

func (p *turtle) blank() Term {
	label, dot := p.s.blankLabel()
	p.pendingDot = dot
	return Term{Kind: Blank, Value: "x" + label}
}

func (p *turtle) newBlank() Term {
	p.blanks++
	return Term{Kind: Blank, Value: "b" + strconv.Itoa(p.blanks)}
}

func (p *turtle) nest() {
	if p.depth++; p.depth > maxNesting {
		p.s.fail("more than %d brackets within each other", maxNesting)
	}
}

// predicates reads predicate-object lists up to, not including, what ends them.
func (p *turtle) predicates(subject Term) {
	s := p.s
	for first := true; ; first = false {
		p.stray("a predicate")
		p.space()
		for !first && s.next == ';' {
			s.advance()
			p.space()
		}
		if !first && (s.next == '.' || s.next == ']') {
			return
		}
		predicate := p.verb()
		for {
			p.stray("an object")
			p.space()
			p.object(subject, predicate)
			if p.pendingDot {
				return
			}
			p.space()
			if s.next != ',' {
				break
			}
			s.advance()
		}
		if s.next != ';' {
			return
		}
	}
}

// stray reports a full stop where the statement cannot end.
func (p *turtle) stray(wanted string) {
	if p.pendingDot {
		p.s.fail("%s expected, found \".\"", wanted)
	}
}

func (p *turtle) verb() Term {
	s := p.s
	if s.next == '<' {
		return p.iri()
	}
	line, column := s.line, s.column
	if s.next != ':' && !isPNCharsBase(s.next) {
		s.fail("a predicate expected, found %s", s.shown())
	}
	n, keyword := p.name()
	switch {
	case keyword && n == "a":
		return Term{Kind: IRI, Value: rdfType}
	case keyword:
		s.failAt(line, column, "a predicate expected, found %q", n)
	}
	return Term{Kind: IRI, Value: n}
}

func (p *turtle) object(subject, predicate Term) {
	s := p.s
	t := Triple{Subject: subject, Predicate: predicate, Line: s.line, Column: s.column}
	switch r := s.next; {
	case r == '<':
		t.Object = p.iri()
	case r == '_':
		t.Object = p.blank()
	case r == '"' || r == '\'':
		t.Object = s.literal(func() string {
			if s.next == '<' {
				return p.iri().Value
			}
			line, column := s.line, s.column
			if s.next != ':' && !isPNCharsBase(s.next) {
				s.fail("a datatype expected, found %s", s.shown())
			}
			n, keyword := p.name()
			if keyword {
				s.failAt(line, column, "a datatype expected, found %q", n)
			}
			return n
		})
	case r == '[':
		t.Object, _ = p.blankProperties()
	case r == '(':
		t.Object = p.collection()
	case isDigit(r) || r == '+' || r == '-' || r == '.':
		t.Object = p.number()
	case r == ':' || isPNCharsBase(r):
		line, column := s.line, s.column
		n, keyword := p.name()
		switch {
		case keyword && (n == "true" || n == "false"):
			t.Object = Term{Kind: Literal, Value: n, Datatype: xsdNS + "boolean"}
		case keyword:
			s.failAt(line, column, "an object expected, found %q", n)
		default:
			t.Object = Term{Kind: IRI, Value: n}
		}
	default:
		s.fail("an object expected, found %s", s.shown())
	}
	p.emit(t)
}

// blankProperties reads [ … ]; empty reports that nothing stood in it.
func (p *turtle) blankProperties() (node Term, empty bool) {
	p.nest()
	p.s.expect('[', "[")
	node = p.newBlank()
	p.space()
	if empty = p.s.next == ']'; !empty {
		p.predicates(node)
		p.stray("]")
		p.space()
	}
	p.s.expect(']', "]")
	p.depth--
	return node, empty
}

// collection reads ( … ) and gives its first node.
func (p *turtle) collection() Term {
	p.nest()
	p.s.expect('(', "(")
	var head, last Term
	for {
		p.space()
		line, column := p.s.line, p.s.column
		next := Term{Kind: IRI, Value: rdfNil}
		end := p.s.next == ')'
		if !end {
			next = p.newBlank()
		}
		if head == (Term{}) {
			head = next
		} else {
			p.emit(Triple{Subject: last, Predicate: Term{Value: rdfRest}, Object: next, Line: line, Column: column})
		}
		if end {
			p.s.advance()
			p.depth--
			return head
		}
		p.object(next, Term{Value: rdfFirst})
		p.stray("an object or )")
		last = next
	}
}

// number reads an integer, decimal or double.
func (p *turtle) number() Term {
	s := p.s
	s.buf = s.buf[:0]
	line, column := s.line, s.column
	take := func() {
		s.put(s.next)
		s.advance()
	}
	digits := func() (n int) {
		for ; isDigit(s.next); n++ {
			take()
		}
		return n
	}
	if s.next == '+' || s.next == '-' {
		take()
	}
	whole, fraction, kind := digits(), 0, "integer"
	if s.next == '.' {
		s.advance()
		switch {
		case isDigit(s.next):
			s.put('.')
			fraction = digits()
			kind = "decimal"
		case (s.next == 'e' || s.next == 'E') && whole > 0:
			s.put('.')
			kind = "decimal"
		case whole > 0:
			p.pendingDot = true
		}
	}
	if whole+fraction == 0 {
		s.failAt(line, column, "an object expected, found no digits")
	}
	if !p.pendingDot && (s.next == 'e' || s.next == 'E') {
		take()
		if s.next == '+' || s.next == '-' {
			take()
		}
		if digits() == 0 {
			s.fail("the exponent has no digits")
		}
		kind = "double"
	}
	return Term{Kind: Literal, Value: string(s.buf), Datatype: xsdNS + kind}
}

// name reads a prefixed name and gives its IRI; a word without a colon is a keyword.
func (p *turtle) name() (value string, keyword bool) {
	s := p.s
	line, column := s.line, s.column
	label := ""
	if s.next != ':' {
		if !isPNCharsBase(s.next) {
			s.fail("a name expected, found %s", s.shown())
		}
		var dot bool
		label, dot = s.dotted(isPNChars)
		if dot {
			// "true." and "false." end a statement; a prefix cannot end in a dot.
			if label == "true" || label == "false" {
				p.pendingDot = true
				return label, true
			}
			s.failAt(line, column, "a prefix does not end in a full stop")
		}
		if s.next != ':' {
			return label, true
		}
	}
	s.advance()
	ns, ok := p.prefixes[label]
	if !ok {
		s.failAt(line, column, "the prefix %q is not declared", label+":")
	}
	local := p.local()
	if v, ok := p.names[label+":"+local]; ok {
		return v, false
	}
	v := ns + local
	if len(p.names) < 65536 {
		p.names[label+":"+local] = v
	}
	return v, false
}

// local reads the part of a prefixed name behind its colon, which may be empty.
func (p *turtle) local() string {
	s := p.s
	s.buf = s.buf[:0]
	dots := 0
	for first := true; ; first = false {
		r := s.next
		if r == '.' && !first {
			dots++
			s.advance()
			continue
		}
		start := isPNCharsU(r) || r == ':' || isDigit(r)
		if !start && (first || !isPNChars(r)) && r != '%' && r != '\\' {
			break
		}
		for ; dots > 0; dots-- {
			s.put('.')
		}
		switch r {
		case '%':
			s.put(r)
			s.advance()
			for range 2 {
				if !isHex(s.next) {
					s.fail("two hexadecimal digits expected behind %%, found %s", s.shown())
				}
				s.put(s.next)
				s.advance()
			}
		case '\\':
			s.advance()
			if !strings.ContainsRune("_~.-!$&'()*+,;=/?#@%", s.next) {
				s.fail(`\%s may not stand in a name`, strings.Trim(s.shown(), `"`))
			}
			s.put(s.next)
			s.advance()
		default:
			s.put(r)
			s.advance()
		}
	}
	if dots > 1 {
		s.fail("a name does not end in a full stop")
	}
	p.pendingDot = dots == 1
	return string(s.buf)
}
