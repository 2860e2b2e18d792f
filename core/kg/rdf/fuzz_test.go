package rdf

import (
	"errors"
	"iter"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// sound holds what every stream promises: terms that N-Triples can write, and errors
// with a place within the document, in order.
func sound(t *testing.T, doc string, seq iter.Seq2[Triple, error]) []string {
	lines, last := strings.Count(doc, "\n")+1, 0
	var out []string
	for x, err := range seq {
		var bad *SyntaxError
		if errors.As(err, &bad) {
			require.True(t, bad.Line >= 1 && bad.Line <= lines && bad.Column >= 1, "%v", bad)
			require.GreaterOrEqual(t, bad.Line, last)
			last = bad.Line
			continue
		}
		require.NoError(t, err)
		require.NotEqual(t, Literal, x.Subject.Kind)
		require.Equal(t, IRI, x.Predicate.Kind)
		for _, term := range []Term{x.Subject, x.Predicate, x.Object} {
			require.True(t, utf8.ValidString(term.Value))
			require.True(t, term.Kind != IRI || isAbsolute(term.Value), "%q", term.Value)
		}
		out = append(out, x.String())
	}
	return out
}

// readable holds that what was written in N-Triples is read back alike.
func readable(t *testing.T, lines []string) {
	doc := strings.Join(lines, "\n")
	require.Equal(t, lines, sound(t, doc, NTriples(strings.NewReader(doc))))
}

func FuzzNTriples(f *testing.F) {
	for _, s := range []string{"<http://e/s> <http://e/p> \"x\\u00e9\\n\"@en-GB .\n# c\n_:a.b <http://e/p> _:c.", "bad\n<a:b><c:d>\"1\"^^<e:f>.", "\xff\n<a:b> <c:d> <e:\\u0041> . #"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, doc string) { readable(t, sound(t, doc, NTriples(strings.NewReader(doc)))) })
}

func FuzzTurtle(f *testing.F) {
	for _, s := range []string{"@prefix e: <http://e/> . e:a a e:b.c , [ e:p ( 1 2.5 -1e3 true ) ] ; e:\\~%41 '''x'y'''@en .", "BASE <http://b/> <a> <#b> <../c>.\nbad.\n[] <p> \"x\"^^<d>", "PREFIX : <a:b>\n:a:b:c.:d:e:f,:g;."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		lines := sound(t, doc, Turtle(strings.NewReader(doc), "http://b/"))
		readable(t, lines)
	})
}

func FuzzXML(f *testing.F) {
	for _, s := range []string{
		head + `<e:T rdf:about="a" e:p="x"><e:q rdf:parseType="Collection"><e:T/></e:q><e:r rdf:parseType="Literal"><b>x</b></e:r></e:T></rdf:RDF>`,
		`<!DOCTYPE a [<!ENTITY x "http://e/">]><T xmlns="&x;"><p xmlns:rdf="` + rdfNS + `" rdf:ID="i" rdf:datatype="d">t</p></T>`,
		head + `<rdf:Bag><rdf:li rdf:nodeID="n"/><e:p rdf:parseType="Resource"/></rdf:Bag>`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		lines := 0
		for _, err := range XML(strings.NewReader(doc), "http://b/") {
			if err == nil {
				lines++
			}
		}
		if lines > 0 {
			readable(t, sound(t, doc, XML(strings.NewReader(doc), "http://b/")))
		}
	})
}

func FuzzResolve(f *testing.F) {
	f.Add("http://a/b/c", "../d?e#f")
	f.Fuzz(func(t *testing.T, base, ref string) {
		if !isAbsolute(base) {
			return
		}
		got, ok := resolve(base, ref)
		require.True(t, ok)
		require.True(t, isAbsolute(got))
	})
}
