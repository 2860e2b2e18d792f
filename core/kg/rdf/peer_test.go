package rdf

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/knakk/rdf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// peer reads a document with knakk/rdf and gives its triples as canonical lines,
// blank nodes without their labels.
func peer(t *testing.T, doc string, format rdf.Format) []string {
	t.Helper()
	var lines []string
	d := rdf.NewTripleDecoder(strings.NewReader(doc), format)
	for {
		x, err := d.Decode()
		if errors.Is(err, io.EOF) {
			slices.Sort(lines)
			return lines
		}
		require.NoError(t, err)
		lines = append(lines, Triple{Subject: fromPeer(x.Subj), Predicate: fromPeer(x.Pred), Object: fromPeer(x.Obj)}.String())
	}
}

func fromPeer(x rdf.Term) Term {
	switch x := x.(type) {
	case rdf.Blank:
		return Term{Kind: Blank, Value: "x"}
	case rdf.Literal:
		t := Term{Kind: Literal, Value: x.String(), Lang: x.Lang()}
		if d := x.DataType.String(); t.Lang == "" && d != xsdNS+"string" {
			t.Datatype = d
		}
		return t
	}
	return Term{Value: x.String()}
}

func own(t *testing.T, doc string, read func(io.Reader) func(func(Triple, error) bool)) []string {
	t.Helper()
	var lines []string
	for x, err := range read(strings.NewReader(doc)) {
		require.NoError(t, err)
		for _, term := range []*Term{&x.Subject, &x.Object} {
			if term.Kind == Blank {
				term.Value = "x"
			}
		}
		lines = append(lines, x.String())
	}
	slices.Sort(lines)
	return lines
}

// The same documents mean the same triples to knakk/rdf. (It joins IRIs without taking
// out dots, does not resolve those in collections, reads no typed nodes there and gives
// property attributes no language: the tables of this package test these.)
func TestPeer(t *testing.T) {
	const nt = `<http://e/s> <http://e/p> <http://e/o> .
# comment
_:a <http://e/p> "line\nbreak \"quoted\" \u00E9 é 债"@en .
_:a <http://e/p> _:b .
<http://e/s> <http://e/p> "1"^^<http://www.w3.org/2001/XMLSchema#int> .
<http://e/s> <http://e/p> "x"^^<http://e/d> .
`
	assert.Equal(t, peer(t, nt, rdf.NTriples), own(t, nt, func(r io.Reader) func(func(Triple, error) bool) { return NTriples(r) }))
	const ttl = `@prefix e: <http://e/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>
@base <http://b/d/> .
e:Bond a rdfs:Class ; rdfs:label "bond"@en , '债券'@zh ; rdfs:subClassOf e:Security .
e:Security rdfs:comment """Two
lines, "quoted".""" ; e:rank 1 ; e:share -2.50 ; e:size 1e6 ; e:listed true .
[] e:has [ e:part ( e:a 1 "two" ) ; e:empty () ] .
_:x e:p <#rel> , <up> , "5"^^xsd:int .
e:a.b e:c-d e:1 .
`
	assert.Equal(t, peer(t, ttl, rdf.Turtle), own(t, ttl, func(r io.Reader) func(func(Triple, error) bool) { return Turtle(r, "") }))
	const x = head + `<e:T rdf:about="a" e:p="x"><e:q rdf:parseType="Resource"><e:r rdf:resource="#o"/></e:q><e:r rdf:datatype="` + xsdNS + `int">1</e:r>
<e:l rdf:parseType="Collection"><rdf:Description rdf:about="http://e/b"/><rdf:Description rdf:about="http://e/c"/></e:l></e:T></rdf:RDF>`
	assert.Equal(t, peer(t, x, rdf.RDFXML), own(t, x, func(r io.Reader) func(func(Triple, error) bool) { return XML(r, "") }))
}
