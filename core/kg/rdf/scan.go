package rdf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxToken bounds one IRI, name or literal, in bytes.
const maxToken = 16 << 20

// scanner reads characters and the tokens that N-Triples and Turtle share. Its
// methods panic with *SyntaxError or readError; the functions that drive it catch
// both.
type scanner struct {
	r            *bufio.Reader
	line, column int  // of the next character
	next         rune // read ahead; eof at the end
	last         rune // before next
	buf          []byte
	turtle       bool
	// cause is an error of the reader, met while reading ahead.
	cause error
	bad   bool // next stands for bytes that are not UTF-8
}

const eof rune = -1

type readError struct{ err error }

func newScanner(r io.Reader, turtle bool) *scanner {
	s := &scanner{r: bufio.NewReaderSize(r, 64<<10), line: 1, column: 1, turtle: turtle}
	s.fill()
	if s.next == '\ufeff' {
		s.fill()
	}
	return s
}

// fill reads the next character.
func (s *scanner) fill() {
	s.bad = false
	b, err := s.r.ReadByte()
	if err != nil {
		s.next = eof
		if !errors.Is(err, io.EOF) {
			s.cause = err
		}
		return
	}
	if b < utf8.RuneSelf {
		s.next = rune(b)
		return
	}
	// ReadByte succeeded, so that it can be taken back.
	if err := s.r.UnreadByte(); err != nil {
		s.next, s.cause = eof, err
		return
	}
	r, n, err := s.r.ReadRune()
	if err != nil {
		s.next, s.cause = eof, err
		return
	}
	s.next, s.bad = r, r == utf8.RuneError && n == 1
}

// advance goes behind the next character.
func (s *scanner) advance() {
	switch s.next {
	case eof:
		if s.cause != nil {
			panic(readError{s.cause})
		}
		return
	case '\n':
		s.line++
		s.column = 1
	default:
		s.column++
	}
	s.last = s.next
	s.fill()
	if s.bad {
		s.fail("the text is not valid UTF-8")
	}
}

func (s *scanner) fail(format string, args ...any) {
	s.failAt(s.line, s.column, format, args...)
}

func (s *scanner) failAt(line, column int, format string, args ...any) {
	if s.next == eof && s.cause != nil {
		panic(readError{s.cause})
	}
	panic(&SyntaxError{Line: line, Column: column, Problem: fmt.Sprintf(format, args...)})
}

// shown names the next character in messages.
func (s *scanner) shown() string {
	switch {
	case s.next == eof:
		return "the end of the file"
	case s.next == '\n' || s.next == '\r':
		return "the end of the line"
	case s.next < ' ' || s.next == utf8.RuneError:
		return fmt.Sprintf("U+%04X", s.next)
	}
	return fmt.Sprintf("%q", string(s.next))
}

func (s *scanner) expect(r rune, what string) {
	if s.next != r {
		s.fail("%s expected, found %s", what, s.shown())
	}
	s.advance()
}

func (s *scanner) put(r rune) {
	if len(s.buf) > maxToken {
		s.fail("the token is longer than %d bytes", maxToken)
	}
	s.buf = utf8.AppendRune(s.buf, r)
}

// iriRef reads <…> and gives what stands in it, escapes resolved.
func (s *scanner) iriRef() string {
	line, column := s.line, s.column
	s.expect('<', "<")
	s.buf = s.buf[:0]
	for s.next != '>' {
		r := s.next
		switch {
		case r == eof || r == '\n' || r == '\r':
			s.failAt(line, column, "the IRI has no closing >")
		case r == '\\':
			s.advance()
			if s.next != 'u' && s.next != 'U' {
				s.fail(`only \u and \U stand in an IRI, not \%s`, string(s.next))
			}
			r = s.unicodeEscape()
			if notInIRI(r) {
				s.fail("U+%04X may not stand in an IRI", r)
			}
			s.put(r)
			continue
		case notInIRI(r):
			s.fail("%s may not stand in an IRI", s.shown())
		}
		s.put(r)
		s.run()
		s.advance()
	}
	s.advance()
	return string(s.buf)
}

// run takes what lies in the reader's buffer behind the next character and may stand
// in an IRI as it is, all at once: IRIs are most of a document.
func (s *scanner) run() {
	ahead, err := s.r.Peek(s.r.Buffered())
	if err != nil {
		return
	}
	n := 0
	for n < len(ahead) && ahead[n] < utf8.RuneSelf && !notInIRI(rune(ahead[n])) {
		n++
	}
	if n < 2 {
		return
	}
	// The last of them becomes the next character.
	s.buf = append(s.buf, ahead[:n]...)
	s.column += n
	s.next = rune(ahead[n-1])
	if _, err := s.r.Discard(n); err != nil {
		s.cause = err
	}
}

// unicodeEscape reads uXXXX or UXXXXXXXX, behind the backslash.
func (s *scanner) unicodeEscape() rune {
	n := 4
	if s.next == 'U' {
		n = 8
	}
	line, column := s.line, s.column-1
	s.advance()
	v := 0
	for range n {
		if !isHex(s.next) {
			s.fail("%d hexadecimal digits expected, found %s", n, s.shown())
		}
		v = v<<4 + strings.IndexRune("0123456789abcdef", s.next|0x20)
		s.advance()
	}
	if v > utf8.MaxRune || 0xd800 <= v && v <= 0xdfff {
		s.failAt(line, column, "U+%04X is no character", v)
	}
	return rune(v)
}

// text reads a string between quotes; long ones (Turtle) begin with three.
func (s *scanner) text() string {
	line, column := s.line, s.column
	quote := s.next
	s.advance()
	s.buf = s.buf[:0]
	long := false
	if s.turtle && s.next == quote {
		s.advance()
		if s.next != quote {
			return ""
		}
		s.advance()
		long = true
	}
	for {
		switch r := s.next; {
		case r == eof:
			s.failAt(line, column, "the text has no closing quote")
		case r == quote && !long:
			s.advance()
			return string(s.buf)
		case r == quote:
			n := 0
			for s.next == quote && n < 3 {
				s.advance()
				n++
			}
			if n == 3 {
				return string(s.buf)
			}
			for range n {
				s.put(quote)
			}
		case (r == '\n' || r == '\r') && !long:
			s.failAt(line, column, "the text has no closing quote on its line")
		case r == '\\':
			s.advance()
			if s.next == 'u' || s.next == 'U' {
				s.put(s.unicodeEscape())
				continue
			}
			i := strings.IndexRune(`tbnrf"'\`, s.next)
			if i < 0 || s.next == eof {
				s.fail(`\%s is no escape: \t \b \n \r \f \" \' \\ \uXXXX \UXXXXXXXX are`, strings.Trim(s.shown(), `"`))
			}
			s.put(rune("\t\b\n\r\f\"'\\"[i]))
			s.advance()
		default:
			s.put(r)
			s.advance()
		}
	}
}

// literal reads text with its language or datatype; iri reads the latter.
func (s *scanner) literal(iri func() string) Term {
	t := Term{Kind: Literal, Value: s.text()}
	switch s.next {
	case '@':
		s.advance()
		t.Lang = s.lang()
	case '^':
		s.advance()
		s.expect('^', "^^")
		if t.Datatype = iri(); t.Datatype == xsdNS+"string" {
			t.Datatype = ""
		}
	}
	return t
}

// lang reads a language tag, behind the @.
func (s *scanner) lang() string {
	s.buf = s.buf[:0]
	if !isAlpha(s.next) {
		s.fail("a language such as en expected, found %s", s.shown())
	}
	for isAlpha(s.next) {
		s.put(s.next)
		s.advance()
	}
	for s.next == '-' {
		s.put('-')
		s.advance()
		if !isAlpha(s.next) && !isDigit(s.next) {
			s.fail("a subtag such as GB expected, found %s", s.shown())
		}
		for isAlpha(s.next) || isDigit(s.next) {
			s.put(s.next)
			s.advance()
		}
	}
	return string(s.buf)
}

// blankLabel reads _:LABEL and gives the label. A full stop at its end is not part of
// it, so dots are held back; dot reports that one was read.
func (s *scanner) blankLabel() (label string, dot bool) {
	s.expect('_', "_:")
	s.expect(':', "_:")
	// N-Triples 1.1 counts the colon among the characters of a label, Turtle does not.
	colon := s.next == ':' && !s.turtle
	if !isPNCharsU(s.next) && !isDigit(s.next) && !colon {
		s.fail("a blank node's label expected, found %s", s.shown())
	}
	return s.dotted(func(r rune) bool { return isPNChars(r) || r == ':' && !s.turtle })
}

// dotted reads characters that ok allows, with dots between them. One final dot may be
// the end of a statement: it is reported and not part of the name.
func (s *scanner) dotted(ok func(rune) bool) (string, bool) {
	s.buf = s.buf[:0]
	dots := 0
	for {
		switch {
		case s.next == '.':
			dots++
			if dots > maxToken {
				s.fail("the token is longer than %d bytes", maxToken)
			}
			s.advance()
		case ok(s.next):
			for ; dots > 0; dots-- {
				s.put('.')
			}
			s.put(s.next)
			s.advance()
		default:
			if dots > 1 {
				s.fail("a name does not end in a full stop")
			}
			return string(s.buf), dots == 1
		}
	}
}

// comment skips the rest of a line.
func (s *scanner) comment() {
	for s.next != '\n' && s.next != '\r' && s.next != eof {
		s.advance()
	}
}
