package rdf

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const head = `<?xml version="1.0" encoding="utf-8"?>
<rdf:RDF xmlns:rdf="` + rdfNS + `" xmlns:e="http://e/" xml:base="http://b/d/doc#x">
`

func TestXMLGood(t *testing.T) {
	typed := func(s, o string) string { return s + " <" + rdfType + "> " + o + " ." }
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"node and values", `<rdf:Description rdf:about="s"><e:p>x</e:p><e:p rdf:resource="#o"/><e:p rdf:resource=""/><e:p/></rdf:Description>`,
			`<http://b/d/s> <http://e/p> "x" .` + "\n<http://b/d/s> <http://e/p> <http://b/d/doc#o> .\n<http://b/d/s> <http://e/p> <http://b/d/doc> .\n" + `<http://b/d/s> <http://e/p> "" .`},
		{"typed node with rdf:ID", `<e:T rdf:ID="a"/>`, typed("<http://b/d/doc#a>", "<http://e/T>")},
		{"base and language within", `<e:T rdf:about="a" xml:base="http://c/" xml:lang="en"><e:p>x</e:p><e:p xml:lang="">y</e:p><e:p xml:lang="zh">z</e:p><e:q><e:T rdf:about="b"/></e:q></e:T>`,
			typed("<http://c/a>", "<http://e/T>") + "\n" + `<http://c/a> <http://e/p> "x"@en .` + "\n" + `<http://c/a> <http://e/p> "y" .` + "\n" + `<http://c/a> <http://e/p> "z"@zh .` + "\n" +
				typed("<http://c/b>", "<http://e/T>") + "\n<http://c/a> <http://e/q> <http://c/b> ."},
		{"property attributes", `<rdf:Description rdf:about="s" e:p="x" rdf:type="T" xml:lang="en"/>`, `<http://b/d/s> <http://e/p> "x"@en .` + "\n" + typed("<http://b/d/s>", "<http://b/d/T>")},
		{"property attributes at a property", `<rdf:Description rdf:about="s"><e:q e:p="x"/><e:q rdf:resource="o" e:p="y"/></rdf:Description>`,
			"<http://b/d/s> <http://e/q> _:b1 .\n_:b1 <http://e/p> \"x\" .\n<http://b/d/s> <http://e/q> <http://b/d/o> .\n<http://b/d/o> <http://e/p> \"y\" ."},
		{"datatype", `<rdf:Description rdf:about="s"><e:p rdf:datatype="` + xsdNS + `int">1</e:p><e:p rdf:datatype="` + xsdNS + `string" xml:lang="en">x</e:p></rdf:Description>`,
			`<http://b/d/s> <http://e/p> "1"^^<` + xsdNS + `int> .` + "\n" + `<http://b/d/s> <http://e/p> "x" .`},
		{"blank nodes", `<rdf:Description rdf:nodeID="n"><e:p rdf:nodeID="m"/><e:q><e:T/></e:q></rdf:Description><rdf:Description><e:p/></rdf:Description>`,
			"_:xn <http://e/p> _:xm .\n" + typed("_:b1", "<http://e/T>") + "\n_:xn <http://e/q> _:b1 .\n_:b2 <http://e/p> \"\" ."},
		{"parseType Resource", `<rdf:Description rdf:about="s"><e:p rdf:parseType="Resource"><e:q>x</e:q></e:p></rdf:Description>`, "<http://b/d/s> <http://e/p> _:b1 .\n_:b1 <http://e/q> \"x\" ."},
		{"parseType Collection", `<rdf:Description rdf:about="s"><e:p rdf:parseType="Collection"><rdf:Description rdf:about="a"/> <e:T/></e:p><e:q rdf:parseType="Collection"/></rdf:Description>`,
			"<http://b/d/s> <http://e/p> _:b1 .\n_:b1 <" + rdfFirst + "> <http://b/d/a> .\n_:b1 <" + rdfRest + "> _:b2 .\n" + typed("_:b3", "<http://e/T>") + "\n_:b2 <" + rdfFirst + "> _:b3 .\n_:b2 <" + rdfRest + "> <" + rdfNil + "> .\n" +
				"<http://b/d/s> <http://e/q> <" + rdfNil + "> ."},
		{"parseType Literal", `<rdf:Description rdf:about="s"><e:p rdf:parseType="Literal">a &lt; <b xmlns="http://h/" e:z="1" y="2&quot;"><e:i/></b><!-- no --></e:p></rdf:Description>`,
			`<http://b/d/s> <http://e/p> "a &lt; <b xmlns=\"http://h/\" xmlns:e=\"http://e/\" y=\"2&quot;\" e:z=\"1\"><e:i></e:i></b>"^^<` + rdfNS + `XMLLiteral> .`},
		{"an unknown parseType is Literal", `<rdf:Description rdf:about="s"><e:p rdf:parseType="no">x</e:p></rdf:Description>`, `<http://b/d/s> <http://e/p> "x"^^<` + rdfNS + `XMLLiteral> .`},
		{"containers", `<rdf:Seq rdf:about="s"><rdf:li>x</rdf:li><rdf:_5 rdf:resource="o"/><rdf:li rdf:resource="p"/></rdf:Seq>`,
			typed("<http://b/d/s>", "<"+rdfNS+"Seq>") + "\n<http://b/d/s> <" + rdfNS + "_1> \"x\" .\n<http://b/d/s> <" + rdfNS + "_5> <http://b/d/o> .\n<http://b/d/s> <" + rdfNS + "_2> <http://b/d/p> ."},
		{"reification", `<rdf:Description rdf:about="s"><e:p rdf:ID="r">x</e:p></rdf:Description>`,
			"<http://b/d/s> <http://e/p> \"x\" .\n" + typed("<http://b/d/doc#r>", "<"+rdfNS+"Statement>") + "\n<http://b/d/doc#r> <" + rdfNS + "subject> <http://b/d/s> .\n" +
				"<http://b/d/doc#r> <" + rdfNS + "predicate> <http://e/p> .\n<http://b/d/doc#r> <" + rdfNS + "object> \"x\" ."},
		{"attributes without namespace", `<rdf:Description about="s"><e:p resource="o"/></rdf:Description>`, "<http://b/d/s> <http://e/p> <http://b/d/o> ."},
		{"CDATA and comments", `<!-- x --><rdf:Description rdf:about="s"><e:p>a<![CDATA[<b>]]><!-- y -->c</e:p><?pi?></rdf:Description>`, `<http://b/d/s> <http://e/p> "a<b>c" .`},
	} {
		t.Run(c.name, func(t *testing.T) {
			triples, problems := drain(t, XML(strings.NewReader(head+c.in+"\n</rdf:RDF>"), ""))
			assert.Empty(t, problems)
			assert.Equal(t, c.want, strings.Join(triples, "\n"))
		})
	}
	t.Run("one node without rdf:RDF", func(t *testing.T) {
		triples, problems := drain(t, XML(strings.NewReader(`<T xmlns="http://e/"/>`), ""))
		assert.Empty(t, problems)
		assert.Equal(t, []string{typed("_:b1", "<http://e/T>")}, triples)
	})
	t.Run("entities", func(t *testing.T) {
		triples, problems := drain(t, XML(strings.NewReader(`<!DOCTYPE rdf:RDF [ <!-- <!ENTITY c "no"> -->
			<!ENTITY e 'http://e/'> <!ENTITY f "&e;f#"> <!ENTITY e "again"> <!ENTITY eur "&#8364;&#x20;&amp;"> <!ENTITY % p "x"> <!ENTITY far SYSTEM "file:///x"> ]>
			<rdf:RDF xmlns:rdf="`+rdfNS+`" xmlns:e="&e;" xml:base="http://b/"><rdf:Description rdf:about="&f;s"><e:p>&eur;</e:p></rdf:Description></rdf:RDF>`), ""))
		assert.Empty(t, problems)
		assert.Equal(t, []string{`<http://e/f#s> <http://e/p> "€ &" .`}, triples)
	})
}

func TestXMLBad(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`<rdf:li/>`, "rdf:li is no node"},
		{`<rdf:RDF/>`, "rdf:RDF is no node"},
		{`<rdf:Description rdf:about="a" rdf:ID="b"/>`, "one of rdf:ID, rdf:about and rdf:nodeID"},
		{`<rdf:Description rdf:nodeID="1"/>`, `"1" is no name for rdf:nodeID`},
		{`<rdf:Description rdf:ID="a b"/>`, `"a b" is no name for rdf:ID`},
		{`<rdf:Description rdf:resource="a"/>`, "rdf:resource stands at a property"},
		{`<rdf:Description rdf:li="a"/>`, "rdf:li is no attribute"},
		{`<rdf:Description rdf:aboutEach="a"/>`, "rdf:aboutEach is no attribute"},
		{`<rdf:Description rdf:bagID="a"/>`, "rdf:bagID is no attribute"},
		{`<rdf:Description x="a"/>`, "the attribute x has no namespace"},
		{`<x/>`, "the name x has no namespace"},
		{`<z:x/>`, `the prefix "z:" is not declared`},
		{`<z:x xmlns:z="http: x"/>`, `" " may not stand in the namespace`},
		{`text`, `text where an element is expected: "text"`},
		{`<e:T>text</e:T>`, `text where an element is expected`},
		{`<e:T><rdf:Description/></e:T>`, "rdf:Description is no property"},
		{`<e:T><e:p rdf:about="x"/></e:T>`, "rdf:about stands at a node"},
		{`<e:T><e:p rdf:parseType="Resource" rdf:resource="x"/></e:T>`, "exclude each other"},
		{`<e:T><e:p rdf:nodeID="a" rdf:resource="x"/></e:T>`, "exclude each other"},
		{`<e:T><e:p rdf:datatype="a" e:q="x"/></e:T>`, "exclude each other"},
		{`<e:T><e:p><e:T/><e:T/></e:p></e:T>`, "a property has one value"},
		{`<e:T><e:p>x<e:T/></e:p></e:T>`, "text where an element is expected"},
		{`<e:T><e:p rdf:datatype="a"><e:T/></e:p></e:T>`, "rdf:datatype holds text"},
		{`<e:T><e:p rdf:resource="a"><e:T/></e:p></e:T>`, "another in it"},
		{`<e:T rdf:ID="a"/><e:T rdf:ID="a"/>`, `rdf:ID "a" is there twice`},
		{`<e:T rdf:about="a b"/>`, `" " may not stand in the IRI`},
	} {
		t.Run(c.in, func(t *testing.T) {
			triples, problems := drain(t, XML(strings.NewReader(head+c.in+"\n<e:T rdf:about='http://e/last'/></rdf:RDF>"), ""))
			require.Len(t, problems, 1)
			assert.Contains(t, problems[0], c.want)
			assert.Regexp(t, "^[23]:", problems[0])
			require.NotEmpty(t, triples)
			assert.Contains(t, triples[len(triples)-1], "http://e/last", "reading goes on")
		})
	}
	for _, c := range []struct{ in, want string }{
		{"", "holds no element"}, {"<", "1:2: this is no XML"}, {"<T xmlns=\"http://e/\">&\n</T>", "1:1: this is no XML"}, {`<T xmlns="http://e/"></b>`, "no XML"}, {head, "no XML"}, {head + "<e:T rdf:about='&nope;'/></rdf:RDF>", "no XML"}, {head + "\xff</rdf:RDF>", "no XML"},
		{`<?xml version="1.0" encoding="latin1"?><x xmlns="http://e/"/>`, "encoding"},
		{`<T xmlns="http://e/" xmlns:rdf="` + rdfNS + `" rdf:about="x"/>`, "relative and the document has no xml:base"},
		{`<T xmlns="http://e/"/><T xmlns="http://e/"/>`, "follows the root"},
		{`<!DOCTYPE x [<!ENTITY a "` + strings.Repeat("x", 2000) + `">]><T xmlns="http://e/"/>`, "stands for more than 1024 bytes"},
		{`<!DOCTYPE x [<!ENTITY a "<b/>">]><T xmlns="http://e/"/>`, "holds markup"},
		{head + strings.Repeat("<e:T><e:p>", 3000), "within each other"},
	} {
		_, problems := drain(t, XML(strings.NewReader(c.in), ""))
		require.NotEmpty(t, problems, c.in[:min(len(c.in), 80)])
		assert.Contains(t, problems[0], c.want)
	}
}

// References to entities do not make a small document large.
func TestXMLEntityExpansion(t *testing.T) {
	doc := `<!DOCTYPE x [<!ENTITY a "` + strings.Repeat("x", 1000) + `">]><T xmlns="http://e/"><p>` + strings.Repeat("&a;", 400_000) + `</p></T>`
	_, problems := drain(t, XML(strings.NewReader(doc), ""))
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0], "longer than")
}

// Every file of FIBO gives as many distinct triples as rdflib finds in it.
func TestFIBO(t *testing.T) {
	root := os.Getenv("ISLM_TESTDATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	f, err := os.Open(filepath.Join(root, "finance", "kg-fibo", "fibo-rdf.tar.gz"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("FIBO is not there: set ISLM_TESTDATA")
	}
	require.NoError(t, err)
	defer f.Close()
	data, err := os.ReadFile("testdata/fibo.tsv")
	require.NoError(t, err)
	type count struct{ all, named int }
	want := map[string]count{}
	for line := range strings.Lines(string(data)) {
		if cells := strings.Split(strings.TrimSpace(line), "\t"); len(cells) == 3 {
			all, err1 := strconv.Atoi(cells[1])
			named, err2 := strconv.Atoi(cells[2])
			require.NoError(t, errors.Join(err1, err2))
			want[cells[0]] = count{all, named}
		}
	}
	require.Len(t, want, 291)
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	got, total := map[string]count{}, 0
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if !strings.HasSuffix(h.Name, ".rdf") {
			continue
		}
		seen := map[string]bool{}
		var c count
		for x, err := range XML(files, "") {
			require.NoError(t, err, h.Name)
			x.Line, x.Column = 0, 0
			if line := x.String(); !seen[line] {
				seen[line] = true
				c.all++
				if x.Subject.Kind != Blank && x.Object.Kind != Blank {
					c.named++
				}
			}
		}
		got[h.Name] = c
		total += c.all
	}
	assert.Equal(t, want, got)
	assert.Equal(t, 76628, total)
}
