package source

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

// fuzz holds for any document of a format: entities in order and once, then facts whose
// ids are all among them; problems with a place in the document.
func fuzz(f *testing.F, format string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		opt := Options{Lenient: true, Limit: 5, Report: func(d sdk.Diagnostic) {
			require.True(t, d.Line >= 0 && d.Line <= bytes.Count(doc, []byte("\n"))+1, "%s", d.String())
		}}
		ids, last, facts := map[string]bool{}, "", false
		for it, err := range stream(context.Background(), opt, func(s *sink) error {
			s.documents++
			return parsers()[format](&input{file: "f", number: 1, r: bytes.NewReader(doc)}, s)
		}) {
			require.NoError(t, err)
			if e := it.Entity; e != nil {
				require.False(t, facts)
				require.True(t, last == "" || last < e.ID)
				last = e.ID
				ids[e.ID] = true
				for _, n := range e.Names {
					require.True(t, n != "" && utf8.ValidString(n) && n == strings.TrimSpace(n))
				}
				continue
			}
			facts = true
			require.True(t, ids[it.Fact.Subject])
			require.NotEmpty(t, it.Fact.Relation)
			require.NotEqual(t, it.Fact.Object == "", it.Fact.Literal == "", "%+v", *it.Fact)
			require.True(t, it.Fact.Object == "" || ids[it.Fact.Object])
		}
	})
}

func FuzzTSV(f *testing.F) {
	fuzz(f, "tsv", "id\ttype\tnames\tprop.x\na\tT\tb|c\td\n", "a\tb\tc\n", "subject\trelation\tobject\tliteral\tweight\na\tb\t\td\t1e3\n")
}

func FuzzCSV(f *testing.F) {
	fuzz(f, "csv", "id,names\na,\"b \"\"c\"\"\"\n", "\ufeffsubject,relation,object\na,b,c")
}

func FuzzJSONL(f *testing.F) {
	fuzz(f, "jsonl", `{"entity":{"id":"a","names":["b"]}}`+"\n"+`{"fact":{"subject":"a","relation":"b","literal":"c"}}`)
}
func FuzzSPO(f *testing.F) { fuzz(f, "spo", "a\tb\tc\n\xff\n") }

func FuzzOBO(f *testing.F) {
	fuzz(f, "obo", "[Term]\nid: a:1\nname: b\nsynonym: \"c\\\"\" EXACT []\nis_a: a:2 ! d\nrelationship: p a:3 {x=\"y\"}\n\n[Typedef]\nid: p\nxref: x \"y\"")
}

func FuzzHPOA(f *testing.F) {
	fuzz(f, "hpoa", "database_id\tdisease_name\tqualifier\thpo_id\tfrequency\taspect\nO:1\tx\tNOT\tHP:1\t1/2\tP\nO:1\tx\t\tHP:2\t5%\tI\n")
}

func FuzzICD(f *testing.F) {
	fuzz(f, "icd", "A00\tx (A00)\ty|z\nA00\tis_a\tB\n", "00001 A00     0 x\nA000    y")
}

func FuzzWordNet(f *testing.F) {
	fuzz(f, "wordnet", "00000001 03 s 02 a(p) 0 b 0 001 @ 00000002 n 0000 | c", "00000001-n\ta|b\tc\n00000001-n\tr\t00000002-n")
}

func FuzzMapping(f *testing.F) {
	fuzz(f, "turtle", prefixes+":a rdfs:subClassOf [ owl:onProperty :p ; owl:someValuesFrom [ owl:unionOf ( :b :c ) ] ] ; rdfs:label 'x'@en .", prefixes+":a owl:equivalentClass _:x . _:x owl:intersectionOf ( _:x _:y ) .")
}
