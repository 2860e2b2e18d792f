package source

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

const prefixes = `@prefix : <http://e/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
`

func TestRDFNamesAndTypes(t *testing.T) {
	const doc = prefixes + `
:bond a owl:Class ; skos:altLabel "debenture" ; rdfs:label "bond"@en , "债券"@zh , "Bond"@en-GB ; skos:prefLabel "Bond" ; skos:definition "A loan."@en ; rdfs:comment "Traded." ;
  rdfs:subClassOf :security ; :rank 3 ; :note " " .
:eur a owl:NamedIndividual , :Currency , :Ccy ; rdfs:label "e\u0301uro  coin" .
:plain a owl:Thing , owl:Class .
:x :knows _:n . _:n :age "5" .
`
	assert.Equal(t, []string{
		"_:f1.xn () ", "http://e/Ccy () ", "http://e/Currency () ", "http://e/bond (Class) Bond|bond|债券|debenture map[comment:Traded. definition:A loan.]",
		"http://e/eur (Ccy) éuro coin", "http://e/plain (Class) ", "http://e/security () ", "http://e/x () ",
		"http://e/bond rdfs:subClassOf http://e/security", `http://e/bond http://e/rank "3"`, "http://e/eur rdf:type http://e/Currency", "http://e/eur rdf:type http://e/Ccy",
		"http://e/x http://e/knows _:f1.xn", `_:f1.xn http://e/age "5"`,
	}, read(t, Options{}, write(t, "x.ttl", doc)...))
	lines := read(t, Options{Languages: []string{"EN"}, Prefixes: map[string]string{"e": "http://e/"}}, write(t, "x.ttl", doc)...)
	assert.Contains(t, lines, "http://e/bond (Class) Bond|bond|debenture map[comment:Traded. definition:A loan.]")
	assert.Contains(t, lines, `http://e/bond e:rank "3"`)
}

// One graph in three syntaxes is one stream.
func TestRDFSyntaxes(t *testing.T) {
	ttl := read(t, Options{}, write(t, "x.ttl", prefixes+`:a a :T ; rdfs:label "A"@en ; :p :b .`)...)
	nt := read(t, Options{}, write(t, "x.nt", "<http://e/a> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <http://e/T> .\n<http://e/a> <http://www.w3.org/2000/01/rdf-schema#label> \"A\"@en .\n<http://e/a> <http://e/p> <http://e/b> .\n")...)
	xml := read(t, Options{}, write(t, "x.rdf", `<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#" xmlns="http://e/"><T rdf:about="http://e/a"><rdfs:label xml:lang="en">A</rdfs:label><p rdf:resource="http://e/b"/></T></rdf:RDF>`)...)
	assert.Equal(t, []string{"http://e/T () ", "http://e/a (T) A", "http://e/b () ", "http://e/a rdf:type http://e/T", "http://e/a http://e/p http://e/b"}, ttl)
	assert.Equal(t, ttl, nt)
	assert.Equal(t, ttl, xml)
	base := read(t, Options{Base: "http://e/"}, write(t, "x.ttl", "<a> <p> <b> .")...)
	assert.Equal(t, []string{"http://e/a () ", "http://e/b () ", "http://e/a http://e/p http://e/b"}, base)
}

func TestOWL(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"restriction", ":a rdfs:subClassOf [ a owl:Restriction ; owl:onProperty :p ; owl:someValuesFrom :b ] .", "a p b"},
		{"value", `:a rdfs:subClassOf [ owl:onProperty :p ; owl:hasValue "5" ] .`, `a p "5"`},
		{"qualified", ":a rdfs:subClassOf [ owl:onProperty :p ; owl:onClass :b ; owl:minQualifiedCardinality 1 ] .", "a p b"},
		{"count alone", ":a rdfs:subClassOf [ owl:onProperty :p ; owl:minCardinality 1 ] .", "a owl:onProperty p"},
		{"equal to an intersection", ":a owl:equivalentClass [ a owl:Class ; owl:intersectionOf ( :b [ owl:onProperty :p ; owl:allValuesFrom :c ] ) ] .", "a rdfs:subClassOf b, a p c"},
		{"equal to a union", ":a owl:equivalentClass [ owl:unionOf ( :b :c ) ] .", "b rdfs:subClassOf a, c rdfs:subClassOf a"},
		{"below a union", ":a rdfs:subClassOf [ owl:unionOf ( :b :c ) ] .", "a owl:unionOf b, a owl:unionOf c"},
		{"value in a union", ":a rdfs:subClassOf [ owl:onProperty :p ; owl:someValuesFrom [ owl:unionOf ( :b :c ) ] ] .", "a p b, a p c"},
		{"list", ":a :p ( :b 1 ) .", `a p b, a p "1"`},
		{"domain", ":p rdfs:domain [ owl:unionOf ( :b :c ) ] .", "p rdfs:domain b, p rdfs:domain c"},
		{"complement stays", ":a rdfs:subClassOf [ owl:complementOf :b ] .", "a rdfs:subClassOf _:f1.b1, _:f1.b1 owl:complementOf b"},
		{"broken list stays", ":a :p _:l . _:l <http://www.w3.org/1999/02/22-rdf-syntax-ns#first> :b .", "a p _:f1.xl, _:f1.xl rdf:first b"},
		{"circle", ":a :p _:x . _:x :p _:y . _:y :p _:x .", "a p _:f1.xx, _:f1.xx p _:f1.xy, _:f1.xy p _:f1.xx"},
		{"list in a circle", ":a :p _:l . _:l <http://www.w3.org/1999/02/22-rdf-syntax-ns#first> :b ; <http://www.w3.org/1999/02/22-rdf-syntax-ns#rest> _:l .", "a p _:f1.xl, _:f1.xl rdf:first b, _:f1.xl rdf:rest _:f1.xl"},
		{"nothing leads to it", "[] :p :b .", "_:f1.b1 p b"},
		{"two classes share one", ":a rdfs:subClassOf _:r . :b rdfs:subClassOf _:r . _:r owl:onProperty :p ; owl:someValuesFrom :c .", "a p c, b p c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var facts []string
			for _, line := range read(t, Options{}, write(t, "x.ttl", prefixes+c.in)...) {
				if n := len(line); line[n-1] == ' ' || line[n-1] == ')' {
					continue
				}
				facts = append(facts, strings.ReplaceAll(line, "http://e/", ""))
			}
			assert.Equal(t, c.want, strings.Join(facts, ", "))
		})
	}
}

func TestBlankNodesAreOfTheirFile(t *testing.T) {
	assert.Equal(t, []string{"_:f1.a () ", "_:f2.a () ", "e:o () ", "_:f1.a e:p e:o", "_:f2.a e:p e:o"},
		read(t, Options{}, write(t, "1.nt", "_:a <e:p> <e:o> .", "2.nt", "_:a <e:p> <e:o> .")...))
}

// What an exported graph writes below urn:islm: becomes again what it was.
func TestExported(t *testing.T) {
	const doc = `<urn:islm:id:a%20b> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <urn:islm:type:Some%20Type> .
<urn:islm:id:a%20b> <http://www.w3.org/2000/01/rdf-schema#label> "A" .
<urn:islm:id:a%20b> <http://www.w3.org/2004/02/skos/core#altLabel> "B" .
<urn:islm:id:a%20b> <urn:islm:property:unit> "m" .
<urn:islm:id:a%20b> <urn:islm:relation:is_a> <HP:1> .
<urn:islm:id:a%20b> <urn:islm:stated> "<urn:islm:relation:is_a>\t<HP:1>\t0.5\tbook" .
`
	assert.Equal(t, []string{"HP:1 () ", "a b (Some Type) A|B map[unit:m]", "a b is_a HP:1 *0.5 @book"}, read(t, Options{}, write(t, "x.nt", doc)...))
}

func TestRDFProblems(t *testing.T) {
	ds := problems(t, Options{}, write(t, "x.ttl", prefixes+":a :b :c\n:d e:f :g .\n", "y.rdf", "<x")...)
	require.Len(t, ds, 2)
	assert.Equal(t, sdk.Diagnostic{Severity: sdk.Error, Code: "kg.syntax", Summary: `a full stop expected, found ":"`, File: "x.ttl", Line: 6, Column: 1, Source: sdk.FromData}, ds[0])
	assert.Equal(t, "y.rdf", ds[1].File)
}
