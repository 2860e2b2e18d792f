package rdf

import (
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drain gives triples as lines and problems as LINE:COLUMN: text.
func drain(t *testing.T, seq iter.Seq2[Triple, error]) (triples, problems []string) {
	t.Helper()
	for x, err := range seq {
		var bad *SyntaxError
		switch {
		case err == nil:
			triples = append(triples, x.String())
		case errors.As(err, &bad):
			problems = append(problems, bad.Error())
		default:
			t.Fatalf("unexpected error %v", err)
		}
	}
	return triples, problems
}

func turtle1(t *testing.T, doc string) ([]string, []string) {
	t.Helper()
	return drain(t, Turtle(strings.NewReader(doc), "http://b/d/doc"))
}

func TestNTriplesGood(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"only a comment", "# nothing\n", ""},
		{"blank lines", "\n \t \r\n\n", ""},
		{"plain", "<http://e/s> <http://e/p> <http://e/o> .\n", "<http://e/s> <http://e/p> <http://e/o> ."},
		{"no end of line", "<http://e/s> <http://e/p> <http://e/o> .", "<http://e/s> <http://e/p> <http://e/o> ."},
		{"least space", `<http://e/s><http://e/p>"x"@en.`, `<http://e/s> <http://e/p> "x"@en .`},
		{"much space", "\t<http://e/s>\t <http://e/p>  _:o\t .\t# why", "<http://e/s> <http://e/p> _:o ."},
		{"blank nodes", "_:a <http://e/p> _:1a-b.c .\n_:_x <http://e/p> _:b.", "_:a <http://e/p> _:1a-b.c .\n_:_x <http://e/p> _:b ."},
		{"colon in a label", "_:a:b <http://e/p> _::c .", "_:a:b <http://e/p> _::c ."},
		{"escapes", `<http://e/s> <http://e/p> "\t\b\n\r\f\"\'\\" .`, `<http://e/s> <http://e/p> "\t\b\n\r\f\"'\\" .`},
		{"characters by number", `<http://e/\u00E9> <http://e/p> "\u00e9\U0001F600" .`, `<http://e/é> <http://e/p> "é😀" .`},
		{"control characters", "<http://e/s> <http://e/p> \"\x00\x01\x7f\" .", `<http://e/s> <http://e/p> "\u0000\u0001\u007F" .`},
		{"other scripts", "<http://e/债> <http://e/p> \"利率\"@zh-Hans-CN .", "<http://e/债> <http://e/p> \"利率\"@zh-Hans-CN ."},
		{"datatypes", `<http://e/s> <http://e/p> "1"^^<http://www.w3.org/2001/XMLSchema#int> .`, `<http://e/s> <http://e/p> "1"^^<http://www.w3.org/2001/XMLSchema#int> .`},
		{"strings have no datatype", `<http://e/s> <http://e/p> "1"^^<http://www.w3.org/2001/XMLSchema#string> .`, `<http://e/s> <http://e/p> "1" .`},
		{"any scheme", `<urn:x> <mailto:a@b> <tag:c,2020:d> .`, `<urn:x> <mailto:a@b> <tag:c,2020:d> .`},
		{"byte order mark", "\ufeff<http://e/s> <http://e/p> <http://e/o> .", "<http://e/s> <http://e/p> <http://e/o> ."},
		{"old line ends", "<http://e/s> <http://e/p> <http://e/o> .\r<http://e/s> <http://e/p> <http://e/q> .\r", "<http://e/s> <http://e/p> <http://e/o> .\n<http://e/s> <http://e/p> <http://e/q> ."},
		{"empty text", `<http://e/s> <http://e/p> "" .`, `<http://e/s> <http://e/p> "" .`},
		{"line ends of other standards", "<http://e/s> <http://e/p> \"\u0085\u2028\" .", "<http://e/s> <http://e/p> \"\u0085\u2028\" ."},
	} {
		t.Run(c.name, func(t *testing.T) {
			triples, problems := drain(t, NTriples(strings.NewReader(c.in)))
			assert.Empty(t, problems)
			assert.Equal(t, c.want, strings.Join(triples, "\n"))
		})
	}
}

func TestNTriplesBad(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`<http://e/s> <http://e/p> <http://e/o>`, `1:39: a full stop expected, found the end of the file`},
		{`<http://e/s> <http://e/p> .`, `1:27: an object, <IRI>, _:label or "text", expected, found "."`},
		{`<http://e/s> .`, `1:14: a predicate, <IRI>, expected, found "."`},
		{`<http://e/s> <http://e/p> <http://e/o>, <http://e/q> .`, `1:39: a full stop expected, found ","`},
		{`<http://e/s> <http://e/p> <http://e/o>; <http://e/p> <http://e/q> .`, `1:39: a full stop expected, found ";"`},
		{`<http://e/s> <http://e/p> <http://e/o> . <http://e/s> <http://e/p> <http://e/q> .`, `1:42: the end of the line expected, found "<"`},
		{`<http://e/s> _:p <http://e/o> .`, `1:14: a predicate, <IRI>, expected, found "_"`},
		{`<http://e/s> "p" <http://e/o> .`, `1:14: a predicate, <IRI>, expected, found "\""`},
		{`"s" <http://e/p> <http://e/o> .`, `1:1: a subject, <IRI> or _:label, expected, found "\""`},
		{`@prefix e: <http://e/> .`, `1:1: a subject, <IRI> or _:label, expected, found "@"`},
		{`@base <http://e/> .`, `1:1: a subject, <IRI> or _:label, expected, found "@"`},
		{`e:s <http://e/p> <http://e/o> .`, `1:1: a subject, <IRI> or _:label, expected, found "e"`},
		{`<s> <http://e/p> <http://e/o> .`, `1:1: the IRI <s> is relative`},
		{`<http://e/s> <http://e/p> <o> .`, `1:27: the IRI <o> is relative`},
		{`<http://e/s> <http://e/p> "x"^^<d> .`, `1:32: the IRI <d> is relative`},
		{`<http://e/a b> <http://e/p> <http://e/o> .`, `1:12: " " may not stand in an IRI`},
		{`<http://e/\u0020> <http://e/p> <http://e/o> .`, `1:17: U+0020 may not stand in an IRI`},
		{`<http://e/\u00ZZ> <http://e/p> <http://e/o> .`, `1:15: 4 hexadecimal digits expected, found "Z"`},
		{`<http://e/\U00ZZ1111> <http://e/p> <http://e/o> .`, `1:15: 8 hexadecimal digits expected, found "Z"`},
		{`<http://e/\n> <http://e/p> <http://e/o> .`, `1:12: only \u and \U stand in an IRI, not \n`},
		{`<http://e/{x}> <http://e/p> <http://e/o> .`, `1:11: "{" may not stand in an IRI`},
		{"<http://e/s\n> <http://e/p> <http://e/o> .", `1:1: the IRI has no closing >`},
		{`<http://e/s> <http://e/p> "x"@1 .`, `1:31: a language such as en expected, found "1"`},
		{`<http://e/s> <http://e/p> "x"@en- .`, `1:34: a subtag such as GB expected, found " "`},
		{`<http://e/s> <http://e/p> "\z" .`, `1:29: \z is no escape`},
		{`<http://e/s> <http://e/p> "\uD800" .`, `1:28: U+D800 is no character`},
		{`<http://e/s> <http://e/p> "\U00110000" .`, `1:28: U+110000 is no character`},
		{"<http://e/s> <http://e/p> \"a\nb\" .", `1:27: the text has no closing quote on its line`},
		{`<http://e/s> <http://e/p> "abc .`, `1:27: the text has no closing quote`},
		{`<http://e/s> <http://e/p> 'abc' .`, `1:27: an object, <IRI>, _:label or "text", expected, found "'"`},
		{`<http://e/s> <http://e/p> """abc""" .`, `1:29: a full stop expected, found "\""`},
		{`<http://e/s> <http://e/p> 1 .`, `1:27: an object, <IRI>, _:label or "text", expected, found "1"`},
		{`<http://e/s> <http://e/p> 1.0e0 .`, `1:27: an object`},
		{`<http://e/s> <http://e/p> "x"^<http://e/d> .`, `1:31: ^^ expected, found "<"`},
		{`<http://e/s> <http://e/p> "x"^^"d" .`, `1:32: a datatype, <IRI>, expected, found "\""`},
		{`_:-a <http://e/p> <http://e/o> .`, `1:3: a blank node's label expected, found "-"`},
		{`_: <http://e/p> <http://e/o> .`, `1:3: a blank node's label expected, found " "`},
		{`_:a. <http://e/p> <http://e/o> .`, `1:5: a predicate expected, found "."`},
		{"<http://e/s> <http://e/p> \"\xff\" .", `1:28: the text is not valid UTF-8`},
		{"\xff", `1:1: the text is not valid UTF-8`},
	} {
		t.Run(c.in, func(t *testing.T) {
			triples, problems := drain(t, NTriples(strings.NewReader(c.in)))
			assert.Empty(t, triples)
			require.NotEmpty(t, problems)
			assert.True(t, strings.HasPrefix(problems[0], c.want), "%q is not %q", problems[0], c.want)
		})
	}
}

// Every bad line is reported and the good ones are read.
func TestNTriplesGoesOn(t *testing.T) {
	triples, problems := drain(t, NTriples(strings.NewReader("<http://e/1> <http://e/p> <http://e/o> .\nbad\n<http://e/2> <http://e/p> \"\xff\" .\n<http://e/3> <http://e/p> <http://e/o> .\n\xfe\n<http://e/4> <http://e/p> <http://e/o> .")))
	assert.Equal(t, []string{"<http://e/1> <http://e/p> <http://e/o> .", "<http://e/3> <http://e/p> <http://e/o> .", "<http://e/4> <http://e/p> <http://e/o> ."}, triples)
	assert.Len(t, problems, 3)
	for i, place := range []string{"2:1:", "3:28:", "5:1:"} {
		assert.True(t, strings.HasPrefix(problems[i], place), problems[i])
	}
}

func TestTurtleGood(t *testing.T) {
	const p = "@prefix : <http://e/> .\n@prefix e: <http://e/e#> .\n@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .\n"
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"comment without end", "# x", ""},
		{"sparql directives", "PREFIX x: <http://x/> base <http://y/> <a> x:b <c> .", "<http://y/a> <http://x/b> <http://y/c> ."},
		{"directives of both kinds, in any case", "@base <http://y/> . pReFiX : <z#> :a :b :c .", "<http://y/z#a> <http://y/z#b> <http://y/z#c> ."},
		{"prefix declared anew", "@prefix a: <http://1/> . a:x a a:x . @prefix a: <http://2/> . a:x a a:x .",
			"<http://1/x> <" + rdfType + "> <http://1/x> .\n<http://2/x> <" + rdfType + "> <http://2/x> ."},
		{"base anew", "@base <http://1/a/> . <x> <#p> <> . @base <../b/> . <x> <?q> </y> .",
			"<http://1/a/x> <http://1/a/#p> <http://1/a/> .\n<http://1/b/x> <http://1/b/?q> <http://1/y> ."},
		{"lists of predicates and objects", p + ":s :p :a , :b ; :q :c ;; e:r :d ; .",
			"<http://e/s> <http://e/p> <http://e/a> .\n<http://e/s> <http://e/p> <http://e/b> .\n<http://e/s> <http://e/q> <http://e/c> .\n<http://e/s> <http://e/e#r> <http://e/d> ."},
		{"names", p + ": e: :a.b , :1 , :a:b , :a-b , :é , :%41 , :a\\,b , :_x , :a\\~ .",
			strings.Join([]string{"<http://e/> <http://e/e#> <http://e/a.b> .", "<http://e/> <http://e/e#> <http://e/1> .", "<http://e/> <http://e/e#> <http://e/a:b> .",
				"<http://e/> <http://e/e#> <http://e/a-b> .", "<http://e/> <http://e/e#> <http://e/é> .", "<http://e/> <http://e/e#> <http://e/%41> .",
				"<http://e/> <http://e/e#> <http://e/a,b> .", "<http://e/> <http://e/e#> <http://e/_x> .", "<http://e/> <http://e/e#> <http://e/a~> ."}, "\n")},
		{"full stop at a name", p + ":s :p :o.<http://e/s2> :p _:b.:s3 :p 1.:s4 :p true.:s5 :p \"x\"@en.",
			"<http://e/s> <http://e/p> <http://e/o> .\n<http://e/s2> <http://e/p> _:xb .\n<http://e/s3> <http://e/p> \"1\"^^<" + xsdNS + "integer> .\n" +
				"<http://e/s4> <http://e/p> \"true\"^^<" + xsdNS + "boolean> .\n<http://e/s5> <http://e/p> \"x\"@en ."},
		{"numbers", p + ":s :p 1 , -1 , +01 , 1.5 , .5 , -.5 , 1e3 , 1.e3 , .5E-2 , 1.0e+1 .",
			"<http://e/s> <http://e/p> \"1\"^^<" + xsdNS + "integer> .\n<http://e/s> <http://e/p> \"-1\"^^<" + xsdNS + "integer> .\n<http://e/s> <http://e/p> \"+01\"^^<" + xsdNS + "integer> .\n" +
				"<http://e/s> <http://e/p> \"1.5\"^^<" + xsdNS + "decimal> .\n<http://e/s> <http://e/p> \".5\"^^<" + xsdNS + "decimal> .\n<http://e/s> <http://e/p> \"-.5\"^^<" + xsdNS + "decimal> .\n" +
				"<http://e/s> <http://e/p> \"1e3\"^^<" + xsdNS + "double> .\n<http://e/s> <http://e/p> \"1.e3\"^^<" + xsdNS + "double> .\n<http://e/s> <http://e/p> \".5E-2\"^^<" + xsdNS + "double> .\n" +
				"<http://e/s> <http://e/p> \"1.0e+1\"^^<" + xsdNS + "double> ."},
		{"text", p + `:s :p 'a"b' , "a'b" , """a"b""c
d""" , '''''' , '''a'b'''  , "\u00e9"@fr-be , "5"^^xsd:int , "x"^^<d> .`,
			`<http://e/s> <http://e/p> "a\"b" .` + "\n" + `<http://e/s> <http://e/p> "a'b" .` + "\n" + `<http://e/s> <http://e/p> "a\"b\"\"c\nd" .` + "\n" +
				`<http://e/s> <http://e/p> "" .` + "\n" + `<http://e/s> <http://e/p> "a'b" .` + "\n" + `<http://e/s> <http://e/p> "é"@fr-be .` + "\n" +
				`<http://e/s> <http://e/p> "5"^^<` + xsdNS + `int> .` + "\n" + `<http://e/s> <http://e/p> "x"^^<http://b/d/d> .`},
		{"blank nodes", p + "[] :p [ :q [] ; :r 'x' ] . [ :p :o ] . [ :p :o ] :q :r . _:a :p _:b1 .",
			"_:b2 <http://e/q> _:b3 .\n_:b2 <http://e/r> \"x\" .\n_:b1 <http://e/p> _:b2 .\n_:b4 <http://e/p> <http://e/o> .\n_:b5 <http://e/p> <http://e/o> .\n_:b5 <http://e/q> <http://e/r> .\n_:xa <http://e/p> _:xb1 ."},
		{"collections", p + ":s :p () , ( 1 ( :a ) ) . (:x) :p :o .",
			"<http://e/s> <http://e/p> <" + rdfNil + "> .\n_:b1 <" + rdfFirst + "> \"1\"^^<" + xsdNS + "integer> .\n_:b1 <" + rdfRest + "> _:b2 .\n_:b3 <" + rdfFirst + "> <http://e/a> .\n_:b3 <" + rdfRest + "> <" + rdfNil + "> .\n" +
				"_:b2 <" + rdfFirst + "> _:b3 .\n_:b2 <" + rdfRest + "> <" + rdfNil + "> .\n<http://e/s> <http://e/p> _:b1 .\n" +
				"_:b4 <" + rdfFirst + "> <http://e/x> .\n_:b4 <" + rdfRest + "> <" + rdfNil + "> .\n_:b4 <http://e/p> <http://e/o> ."},
		{"words that are prefixes", "@prefix a: <http://a/> . @prefix prefix: <http://p/> . @prefix true: <http://t/> . prefix:x a:y true:z .", "<http://p/x> <http://a/y> <http://t/z> ."},
		{"comments anywhere", "@prefix : # x\n <http://e/> . # y\n:s#z\n:p#\n:o#\n.#", "<http://e/s> <http://e/p> <http://e/o> ."},
		{"a label alike", p + "[] :p _:b1 .", "_:b1 <http://e/p> _:xb1 ."},
	} {
		t.Run(c.name, func(t *testing.T) {
			triples, problems := turtle1(t, c.in)
			assert.Empty(t, problems)
			assert.Equal(t, c.want, strings.Join(triples, "\n"))
		})
	}
}

func TestTurtleBad(t *testing.T) {
	const p = "@prefix : <http://e/> .\n"
	for _, c := range []string{
		"@prefix : <http://e/>\n:s :p :o .", "@prefix <http://e/> .", "@prefix a <http://e/> .", "@prefix a.: <http://e/> .", "@PREFIX : <http://e/> .",
		"PREFIX : <http://e/> .", "@base <http://e/>\n:s :p :o .", "BASE <http://e/> .", "@base :x .", "@prefix 1: <http://e/> .", "@prefix : :x .",
		p + ":s :p :o", p + ":s :p .", p + ":s .", p + ":s :p :o ,.", p + ":s :p ; :q :o .", p + ":s , :t :p :o .", p + ":s ; :p :o .", p + "; :p :o .", p + ". :s :p :o .",
		p + ":s :p :o ..", p + ":s :p :o . .", p + ":s :p :o..", p + ":s. :p :o .", p + ":s :p. :o .", p + ":s :p :o. , :b .",
		p + ":s 'p' :o .", p + ":s _:p :o .", p + ":s [] :o .", p + ":s () :o .", p + ":s 1 :o .", p + "'s' :p :o .", p + "1 :p :o .", p + "true :p :o .", p + "a :p :o .",
		p + ":s :p a .", p + ":s A :o .", p + ":s :p TRUE .", p + ":s :p true: .", p + ":s :p null .", p + ":s is :p of :o .", p + ":s = :o .", p + ":s => :o .", p + "{ :s :p :o } .",
		p + "[] .", p + "() .", p + "[ :p ] .", p + "[ :p :o . ] :q :r .", p + "[ :p :o :q .", p + "( :a .", p + ":s :p ( :a , :b ) .", p + ":s :p [ ( ) ] .",
		"x:s x:p x:o .", p + ":s :p x:o .", p + ":s :p 'x'^^x:d .", p + ":s :p 'x'^^true .", p + ":s :p 'x' ^^ 'y' .", p + ":s :p 'x'@ .", p + ":s :p 'x'@1a .", p + ":s :p 1@en .",
		p + ":s :p 'a\nb' .", p + `:s :p 'a\z' .`, p + `:s :p "abc' .`, p + `:s :p """abc"" .`, p + `:s :p "\U00110000" .`, p + `:s :p "\u123" .`,
		p + ":s :p 1e .", p + ":s :p '''a'''' .", p + ":s :p 1.0e+ .", p + ":s :p + .", p + ":s :p 1.2.3 .", p + ":s :p --1 .", p + ":s :p abc .", p + ":s :p e5 .",
		p + ":s :p <a b> .", p + ":s :p <a\\u0020b> .", p + ":s :p <a\\nb> .", p + ":s :p <a<b> .", p + ":s :p <http://e/a .", p + ":s :p <\\u00> .",
		p + ":s :p :a%4 .", p + ":s :p :a%zz .", p + ":s :p :a\\z .", p + ":s :p :-a .", p + ":s-:p :o .", p + ":s :p _:-a .", p + ":s :p _:a:b .", p + ":s :p _:.a .", p + ":s :p a.b:c .",
		p + ":s :p :o . \xff", "\xff", p + ":s :p '\xff' .", p + ":s :p << :a :b :c >> .", "@forAll :x .", p + "<s> :p :o . <t",
		p + ":s :p :o " + strings.Repeat("[", 5000),
	} {
		t.Run(c[:min(len(c), 80)], func(t *testing.T) {
			_, problems := turtle1(t, c)
			assert.NotEmpty(t, problems)
		})
	}
	t.Run("relative without base", func(t *testing.T) {
		_, problems := drain(t, Turtle(strings.NewReader("<http://e/s> <p> <http://e/o> ."), ""))
		assert.Equal(t, []string{"1:14: the IRI <p> is relative and the document has no @base"}, problems)
	})
}

// Behind a bad statement reading goes on with the next one.
func TestTurtleGoesOn(t *testing.T) {
	triples, problems := turtle1(t, "@prefix : <http://e/> .\n:a :p x:o ;\n  :q :r .\n:b :p :o .\n:c :p :o..\n:d :p 1, .\n  :e a :f .\n:g :p 'x' \"\n:h :p :i .\n:k :p :l .")
	assert.Equal(t, []string{"<http://e/b> <http://e/p> <http://e/o> .", "<http://e/d> <http://e/p> \"1\"^^<" + xsdNS + "integer> .",
		"<http://e/e> <" + rdfType + "> <http://e/f> .", "<http://e/g> <http://e/p> \"x\" .", "<http://e/k> <http://e/p> <http://e/l> ."}, triples)
	assert.Equal(t, []string{`2:7: the prefix "x:" is not declared`, `5:11: a name does not end in a full stop`, `6:10: an object expected, found no digits`, `8:11: a full stop expected, found "\""`}, problems)
}

func TestPlaces(t *testing.T) {
	for x, err := range Turtle(strings.NewReader("@prefix : <http://e/> .\n:s :p\n  \"é\", :o ."), "") {
		require.NoError(t, err)
		if x.Object.Kind == Literal {
			assert.Equal(t, [2]int{3, 3}, [2]int{x.Line, x.Column})
		} else {
			assert.Equal(t, [2]int{3, 8}, [2]int{x.Line, x.Column})
		}
	}
}

// An error of the reader comes through, and ends the stream.
func TestReaderErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, seq := range map[string]iter.Seq2[Triple, error]{
		"ntriples": NTriples(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("<http://e/s> <http://e/p> <http://e/o> .")))),
		"turtle":   Turtle(iotest.ErrReader(broken), ""),
		"skipping": NTriples(strings.NewReader("x")),
		"xml":      XML(iotest.ErrReader(broken), ""),
	} {
		n := 0
		for _, err := range seq {
			n++
			require.Error(t, err, name)
		}
		assert.Equal(t, 1, n, name)
	}
}

func TestStopsEarly(t *testing.T) {
	for range Turtle(strings.NewReader("@prefix : <http://e/> . :a :b :c, :d ."), "") {
		break
	}
	for range NTriples(strings.NewReader("<http://e/s> <http://e/p> <http://e/o> .\n<http://e/s> <http://e/p> <http://e/o> .")) {
		break
	}
	for range XML(strings.NewReader(`<rdf:RDF xmlns:rdf="`+rdfNS+`"><rdf:Description rdf:about="http://e/s" rdf:type="http://e/t" rdf:_1="x"/></rdf:RDF>`), "") {
		break
	}
}

// The examples of RFC 3986, section 5.4, which are facts of the standard.
func TestResolve(t *testing.T) {
	const base = "http://a/b/c/d;p?q"
	for ref, want := range map[string]string{
		"g:h": "g:h", "g": "http://a/b/c/g", "./g": "http://a/b/c/g", "g/": "http://a/b/c/g/", "/g": "http://a/g", "//g": "http://g", "?y": "http://a/b/c/d;p?y",
		"g?y": "http://a/b/c/g?y", "#s": "http://a/b/c/d;p?q#s", "g#s": "http://a/b/c/g#s", "g?y#s": "http://a/b/c/g?y#s", ";x": "http://a/b/c/;x", "": base,
		".": "http://a/b/c/", "./": "http://a/b/c/", "..": "http://a/b/", "../": "http://a/b/", "../g": "http://a/b/g", "../..": "http://a/", "../../g": "http://a/g",
		"../../../g": "http://a/g", "/./g": "http://a/g", "/../g": "http://a/g", "g.": "http://a/b/c/g.", "..g": "http://a/b/c/..g", "./../g": "http://a/b/g",
		"g/./h": "http://a/b/c/g/h", "g/../h": "http://a/b/c/h", "g;x=1/../y": "http://a/b/c/y", "g?y/../x": "http://a/b/c/g?y/../x", "g#s/../x": "http://a/b/c/g#s/../x",
	} {
		got, ok := resolve(base, ref)
		assert.True(t, ok)
		assert.Equal(t, want, got, "%q", ref)
	}
	got, _ := resolve("http://a", "b")
	assert.Equal(t, "http://a/b", got)
	_, ok := resolve("", "b")
	assert.False(t, ok)
}
