package rdf

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Kind says what a Term is.
type Kind uint8

// The kinds of terms.
const (
	IRI Kind = iota
	Blank
	Literal
)

// Names that the syntaxes use themselves.
const (
	rdfNS = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
	xsdNS = "http://www.w3.org/2001/XMLSchema#"

	rdfType  = rdfNS + "type"
	rdfFirst = rdfNS + "first"
	rdfRest  = rdfNS + "rest"
	rdfNil   = rdfNS + "nil"
)

// Term is a node of an RDF graph. It is comparable.
type Term struct {
	Kind     Kind
	Value    string // the IRI, the blank node's label, or the literal's text
	Lang     string // of a literal, as written; "" if none
	Datatype string // IRI of a literal's datatype; "" means xsd:string, or rdf:langString with Lang
}

// Triple is one statement and where its object begins in the document.
type Triple struct {
	Subject, Predicate, Object Term
	Line, Column               int // from 1; columns count characters
}

// String gives the triple as a line of canonical N-Triples, without its end.
func (t Triple) String() string {
	return t.Subject.String() + " " + t.Predicate.String() + " " + t.Object.String() + " ."
}

// String gives the term in canonical N-Triples.
func (t Term) String() string {
	switch t.Kind {
	case IRI:
		return "<" + escapeIRI(t.Value) + ">"
	case Blank:
		return "_:" + t.Value
	}
	s := `"` + escapeText(t.Value) + `"`
	switch {
	case t.Lang != "":
		s += "@" + t.Lang
	case t.Datatype != "" && t.Datatype != xsdNS+"string":
		s += "^^<" + escapeIRI(t.Datatype) + ">"
	}
	return s
}

// escapeText writes the characters of a string as canonical N-Triples does.
func escapeText(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == 0x7f }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		default:
			if r < ' ' || r == 0x7f {
				fmt.Fprintf(&b, `\u%04X`, r)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

func escapeIRI(s string) string {
	if !strings.ContainsFunc(s, notInIRI) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if notInIRI(r) {
			fmt.Fprintf(&b, `\u%04X`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// notInIRI reports characters that may not stand between < and >.
func notInIRI(r rune) bool {
	switch r {
	case '<', '>', '"', '{', '}', '|', '^', '`', '\\':
		return true
	}
	return r <= ' '
}

// SyntaxError says what of a document cannot be read, and where.
type SyntaxError struct {
	Line, Column int // from 1; columns count characters
	Problem      string
	Fatal        bool // nothing behind it can be read
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Problem)
}

// Characters of names, from the grammars of Turtle and N-Triples.

func isPNCharsBase(r rune) bool {
	switch {
	case r < 0x80:
		return 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
	case r == 0xd7 || r == 0xf7 || r == 0x37e || r < 0xc0 || r == utf8.RuneError:
		return false
	}
	return r <= 0x2ff || 0x370 <= r && r <= 0x1fff || 0x200c <= r && r <= 0x200d || 0x2070 <= r && r <= 0x218f ||
		0x2c00 <= r && r <= 0x2fef || 0x3001 <= r && r <= 0xd7ff || 0xf900 <= r && r <= 0xfdcf || 0xfdf0 <= r && r <= 0xfffd || 0x10000 <= r && r <= 0xeffff
}

func isPNCharsU(r rune) bool { return isPNCharsBase(r) || r == '_' }

func isPNChars(r rune) bool {
	return isPNCharsU(r) || r == '-' || isDigit(r) || r == 0xb7 || 0x300 <= r && r <= 0x36f || 0x203f <= r && r <= 0x2040
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

func isAlpha(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

func isHex(r rune) bool { return isDigit(r) || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F' }
