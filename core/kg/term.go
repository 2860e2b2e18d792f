package kg

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// IRIs of the vocabulary in which a graph's names, types and attributes are
// written as N-Triples.
const (
	iriOf       = "urn:islm:"
	iriID       = iriOf + "id:"
	iriRelation = iriOf + "relation:"
	iriType     = iriOf + "type:"
	iriProperty = iriOf + "property:"
	iriStated   = iriOf + "stated"
	rdfType     = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
	rdfsLabel   = "http://www.w3.org/2000/01/rdf-schema#label"
	skosLabel   = "http://www.w3.org/2004/02/skos/core#altLabel"
)

// term gives an id as an IRI of canonical N-Triples: itself where it is an
// absolute IRI, else below urn:islm:KIND:, percent-encoded. Ids that differ have
// terms that differ.
func term(id, kind string) string {
	if absolute(id) && !strings.HasPrefix(id, iriOf) {
		return "<" + id + ">"
	}
	return "<" + kind + percent(id) + ">"
}

// absolute reports whether an id is an absolute IRI as it stands.
func absolute(id string) bool {
	colon := strings.IndexByte(id, ':')
	if colon <= 0 || !utf8.ValidString(id) {
		return false
	}
	for i := range colon {
		c := id[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	for i := range len(id) {
		switch c := id[i]; c {
		case '<', '>', '"', '{', '}', '|', '^', '`', '\\':
			return false
		default:
			if c <= ' ' {
				return false
			}
		}
	}
	return true
}

// percent encodes the ASCII characters that are not unreserved (RFC 3986) and what
// is not UTF-8.
func percent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				b.WriteString(s[i : i+n])
				i += n
				continue
			}
		}
		if 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
		i++
	}
	return b.String()
}

// prefixes expand relations that stand for those of well-known vocabularies.
var prefixes = map[string]string{
	"dc": "http://purl.org/dc/elements/1.1/", "dcterms": "http://purl.org/dc/terms/", "foaf": "http://xmlns.com/foaf/0.1/",
	"owl": "http://www.w3.org/2002/07/owl#", "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
	"schema": "https://schema.org/", "skos": "http://www.w3.org/2004/02/skos/core#",
}

// relationTerm gives a relation as a predicate.
func relationTerm(relation string) string {
	if prefix, local, ok := strings.Cut(relation, ":"); ok && prefixes[prefix] != "" && absolute(relation) {
		return "<" + prefixes[prefix] + local + ">"
	}
	return term(relation, iriRelation)
}

// appendLiteral appends a plain literal of canonical N-Triples.
func appendLiteral(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		default:
			if c < ' ' || c == 0x7f {
				b = fmt.Appendf(b, `\u%04X`, c)
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}
