package rdf

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
)

const xmlNS = "http://www.w3.org/XML/1998/namespace"

// XML reads RDF/XML. base is the IRI of the document, for relative IRIs outside any
// xml:base; it may be "". Blank nodes get labels of their own: b1, b2, …; those with
// rdf:nodeID keep it behind an x.
//
// Entities declared in the document's DOCTYPE are resolved. Columns count bytes.
func XML(r io.Reader, base string) iter.Seq2[Triple, error] {
	return func(yield func(Triple, error) bool) {
		going := true
		guard := &tokenGuard{r: r, limit: maxToken}
		p := &xmlReader{d: xml.NewDecoder(guard), guard: guard, ids: map[string]bool{}}
		p.d.Entity = map[string]string{}
		p.emit = func(t Triple) {
			if going = yield(t, nil); !going {
				panic(stopped{})
			}
		}
		end := p.run(func() {
			p.document(scope{base: base}, func(err error) { going = yield(Triple{}, err) }, func() bool { return going })
		})
		if going && end != nil {
			yield(Triple{}, end)
		}
	}
}

// scope is what an element inherits.
type scope struct{ base, lang string }

type xmlReader struct {
	d      *xml.Decoder
	guard  *tokenGuard
	depth  int
	blanks int
	ids    map[string]bool // made by rdf:ID
	spaces []xml.Attr      // namespace declarations in force, the innermost last
	counts []int           // of spaces, by open element
	emit   func(Triple)

	line, column int // where the last token begins
}

// run gives the error that f panics with.
func (p *xmlReader) run(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil, stopped:
		case *SyntaxError:
			err = r
		case readError:
			err = r.err
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

func (p *xmlReader) fail(format string, args ...any) {
	panic(&SyntaxError{Line: p.line, Column: p.column, Problem: fmt.Sprintf(format, args...)})
}

// token gives the next token that matters; nil at the end.
func (p *xmlReader) token() xml.Token {
	for {
		p.line, p.column = p.d.InputPos()
		p.line, p.column = max(p.line, 1), max(p.column, 1)
		p.guard.read = 0
		t, err := p.d.Token()
		var bad *xml.SyntaxError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case p.guard.err != nil:
			panic(readError{p.guard.err})
		case errors.As(err, &bad):
			line, column := p.d.InputPos()
			panic(&SyntaxError{Line: max(line, 1), Column: max(column, 1), Problem: "this is no XML: " + bad.Msg, Fatal: true})
		case err != nil:
			panic(&SyntaxError{Line: p.line, Column: p.column, Problem: strings.TrimPrefix(err.Error(), "xml: "), Fatal: true})
		}
		switch t := t.(type) {
		case xml.StartElement:
			p.depth++
			p.counts = append(p.counts, len(p.spaces))
			for _, a := range t.Attr {
				if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
					p.spaces = append(p.spaces, a)
				}
			}
			return t
		case xml.EndElement:
			p.depth--
			p.spaces = p.spaces[:p.counts[len(p.counts)-1]]
			p.counts = p.counts[:len(p.counts)-1]
			return t
		case xml.CharData:
			return t
		case xml.Directive:
			p.doctype(string(t))
		}
	}
}

// document reads rdf:RDF or a single node element. Errors that leave the XML readable
// go to report, and reading goes on behind the node element that has them.
func (p *xmlReader) document(sc scope, report func(error), going func() bool) {
	var root xml.StartElement
	for root.Name.Local == "" {
		switch t := p.token().(type) {
		case nil:
			panic(&SyntaxError{Line: p.line, Column: p.column, Problem: "the document holds no element", Fatal: true})
		case xml.StartElement:
			root = t
		}
	}
	top := p.depth
	node := func(t xml.StartElement, sc scope) {
		level := p.depth
		err := p.run(func() { p.node(t, sc) })
		if !going() || err == nil {
			return
		}
		var bad *SyntaxError
		if !errors.As(err, &bad) || bad.Fatal {
			panic(readError{err})
		}
		if report(err); !going() {
			return
		}
		for p.depth >= level && p.token() != nil {
		}
	}
	if root.Name != (xml.Name{Space: rdfNS, Local: "RDF"}) {
		node(root, sc)
	} else {
		sc = p.inherit(root, sc)
		for going() && p.depth >= top {
			switch t := p.token().(type) {
			case nil:
				return
			case xml.StartElement:
				node(t, sc)
			case xml.CharData:
				if err := p.run(func() { p.blankText(t) }); err != nil {
					report(err)
				}
			}
		}
	}
	for going() {
		switch p.token().(type) {
		case nil:
			return
		case xml.StartElement:
			p.fail("an element follows the root")
		}
	}
}

func (p *xmlReader) blankText(t xml.CharData) {
	if s := strings.TrimSpace(string(t)); s != "" {
		p.fail("text where an element is expected: %.40q", s)
	}
}

// inherit applies xml:base and xml:lang.
func (p *xmlReader) inherit(t xml.StartElement, sc scope) scope {
	for _, a := range t.Attr {
		if a.Name.Space != xmlNS {
			continue
		}
		switch a.Name.Local {
		case "lang":
			sc.lang = a.Value
		case "base":
			sc.base = p.resolve(sc.base, a.Value)
			sc.base, _, _ = strings.Cut(sc.base, "#")
		}
	}
	return sc
}

func (p *xmlReader) resolve(base, ref string) string {
	v, ok := resolve(base, ref)
	if !ok {
		p.fail("the IRI %q is relative and the document has no xml:base", ref)
	}
	if i := strings.IndexFunc(v, notInIRI); i >= 0 {
		p.fail("%q may not stand in the IRI %q", v[i:i+1], v)
	}
	return v
}

// attributes sorts the attributes of an element: those of RDF's own syntax by their
// local name, and properties.
func (p *xmlReader) attributes(t xml.StartElement) (syntax map[string]string, properties []xml.Attr) {
	syntax = map[string]string{}
	for _, a := range t.Attr {
		n := a.Name
		switch {
		case n.Space == "xmlns" || n.Space == xmlNS || n.Space == "" && (n.Local == "xmlns" || strings.HasPrefix(strings.ToLower(n.Local), "xml")):
		case n.Space == "" && !slices.Contains([]string{"ID", "about", "resource", "parseType", "type"}, n.Local):
			p.fail("the attribute %s has no namespace", n.Local)
		case n.Space != "" && n.Space != rdfNS:
			p.iri(n)
			properties = append(properties, a)
		default:
			switch n.Local {
			case "ID", "about", "resource", "nodeID", "parseType", "datatype":
				if _, twice := syntax[n.Local]; twice {
					p.fail("the attribute rdf:%s is there twice", n.Local)
				}
				syntax[n.Local] = a.Value
			case "li", "RDF", "Description", "bagID", "aboutEach", "aboutEachPrefix":
				p.fail("rdf:%s is no attribute", n.Local)
			default:
				a.Name.Space = rdfNS
				properties = append(properties, a)
			}
		}
	}
	for _, id := range []string{"ID", "nodeID"} {
		if v, ok := syntax[id]; ok && !isNCName(v) {
			p.fail("%q is no name for rdf:%s", v, id)
		}
	}
	return syntax, properties
}

// iri is the IRI of an element's or attribute's name.
func (p *xmlReader) iri(n xml.Name) string {
	if !isAbsolute(n.Space) {
		if n.Space == "" {
			p.fail("the name %s has no namespace", n.Local)
		}
		p.fail("the prefix %q is not declared", n.Space+":")
	}
	if i := strings.IndexFunc(n.Space, notInIRI); i >= 0 {
		p.fail("%q may not stand in the namespace %q", n.Space[i:i+1], n.Space)
	}
	return n.Space + n.Local
}

func isNCName(s string) bool {
	for i, r := range s {
		if !isPNCharsU(r) && (i == 0 || !isPNChars(r) && r != '.') {
			return false
		}
	}
	return s != ""
}

func (p *xmlReader) newBlank() Term {
	p.blanks++
	return Term{Kind: Blank, Value: "b" + strconv.Itoa(p.blanks)}
}

func (p *xmlReader) id(sc scope, id string) Term {
	v := p.resolve(sc.base, "#"+id)
	if p.ids[v] {
		p.fail("rdf:ID %q is there twice", id)
	}
	p.ids[v] = true
	return Term{Value: v}
}

func (p *xmlReader) triple(s Term, predicate string, o Term) {
	p.emit(Triple{Subject: s, Predicate: Term{Value: predicate}, Object: o, Line: p.line, Column: p.column})
}

// properties are attributes that state something about s.
func (p *xmlReader) properties(s Term, attrs []xml.Attr, sc scope) {
	for _, a := range attrs {
		predicate := p.iri(a.Name)
		if predicate == rdfType {
			p.triple(s, predicate, Term{Value: p.resolve(sc.base, a.Value)})
			continue
		}
		p.triple(s, predicate, Term{Kind: Literal, Value: a.Value, Lang: sc.lang})
	}
}

// node reads a node element to its end and gives its subject.
func (p *xmlReader) node(t xml.StartElement, sc scope) Term {
	p.nested()
	sc = p.inherit(t, sc)
	if t.Name.Space == rdfNS {
		switch t.Name.Local {
		case "RDF", "ID", "about", "bagID", "parseType", "resource", "nodeID", "datatype", "li", "aboutEach", "aboutEachPrefix":
			p.fail("rdf:%s is no node", t.Name.Local)
		}
	}
	typ := p.iri(t.Name)
	syntax, properties := p.attributes(t)
	for _, name := range []string{"resource", "parseType", "datatype"} {
		if _, ok := syntax[name]; ok {
			p.fail("rdf:%s stands at a property, not at a node", name)
		}
	}
	if len(syntax) > 1 {
		p.fail("a node has one of rdf:ID, rdf:about and rdf:nodeID")
	}
	var s Term
	if v, ok := syntax["ID"]; ok {
		s = p.id(sc, v)
	} else if v, ok := syntax["about"]; ok {
		s = Term{Value: p.resolve(sc.base, v)}
	} else if v, ok := syntax["nodeID"]; ok {
		s = Term{Kind: Blank, Value: "x" + v}
	} else {
		s = p.newBlank()
	}
	if typ != rdfNS+"Description" {
		p.triple(s, rdfType, Term{Value: typ})
	}
	p.properties(s, properties, sc)
	p.propertyList(s, sc)
	return s
}

// nested bounds the recursion.
func (p *xmlReader) nested() {
	if p.depth > 2*maxNesting {
		p.fail("more than %d elements within each other", 2*maxNesting)
	}
}

// propertyList reads property elements up to the end of the element around them.
func (p *xmlReader) propertyList(s Term, sc scope) {
	li := 0
	for {
		switch t := p.token().(type) {
		case nil, xml.EndElement:
			return
		case xml.CharData:
			p.blankText(t)
		case xml.StartElement:
			p.property(s, t, sc, &li)
		}
	}
}

func (p *xmlReader) property(s Term, t xml.StartElement, sc scope, li *int) {
	p.nested()
	sc = p.inherit(t, sc)
	predicate := p.iri(t.Name)
	if t.Name.Space == rdfNS {
		switch t.Name.Local {
		case "li":
			*li++
			predicate = rdfNS + "_" + strconv.Itoa(*li)
		case "Description", "RDF", "ID", "about", "bagID", "parseType", "resource", "nodeID", "datatype", "aboutEach", "aboutEachPrefix":
			p.fail("rdf:%s is no property", t.Name.Local)
		}
	}
	syntax, properties := p.attributes(t)
	if _, ok := syntax["about"]; ok {
		p.fail("rdf:about stands at a node, not at a property")
	}
	kind, hasKind := syntax["parseType"]
	resource, hasResource := syntax["resource"]
	nodeID, hasNodeID := syntax["nodeID"]
	datatype, hasDatatype := syntax["datatype"]
	if hasKind && (hasResource || hasNodeID || hasDatatype || len(properties) > 0) || hasResource && hasNodeID ||
		hasDatatype && (hasResource || hasNodeID || len(properties) > 0) {
		p.fail("the attributes of the property exclude each other")
	}
	state := func(o Term) {
		p.triple(s, predicate, o)
		if id, ok := syntax["ID"]; ok {
			r := p.id(sc, id)
			p.triple(r, rdfType, Term{Value: rdfNS + "Statement"})
			p.triple(r, rdfNS+"subject", s)
			p.triple(r, rdfNS+"predicate", Term{Value: predicate})
			p.triple(r, rdfNS+"object", o)
		}
	}
	switch {
	case hasKind && kind == "Resource":
		o := p.newBlank()
		state(o)
		p.propertyList(o, sc)
	case hasKind && kind == "Collection":
		p.collection(state, sc)
	case hasKind:
		state(Term{Kind: Literal, Value: p.literalXML(), Datatype: rdfNS + "XMLLiteral"})
	case hasResource || hasNodeID || len(properties) > 0:
		var o Term
		switch {
		case hasResource:
			o = Term{Value: p.resolve(sc.base, resource)}
		case hasNodeID:
			o = Term{Kind: Blank, Value: "x" + nodeID}
		default:
			o = p.newBlank()
		}
		state(o)
		p.properties(o, properties, sc)
		for {
			switch t := p.token().(type) {
			case xml.CharData:
				p.blankText(t)
			case xml.StartElement:
				p.fail("the property has a value in its attributes and another in it")
			default:
				return
			}
		}
	default:
		p.content(state, datatype, hasDatatype, sc)
	}
}

// content reads a property's value: text or one node element.
func (p *xmlReader) content(state func(Term), datatype string, typed bool, sc scope) {
	var text strings.Builder
	found := false
	for {
		switch t := p.token().(type) {
		case xml.CharData:
			if found {
				p.blankText(t)
			} else if text.Write(t); text.Len() > maxToken {
				p.fail("the text is longer than %d bytes", maxToken)
			}
		case xml.StartElement:
			p.blankText(xml.CharData(text.String()))
			switch {
			case found:
				p.fail("a property has one value; several need parseType=\"Collection\" or properties of their own")
			case typed:
				p.fail("a property with rdf:datatype holds text")
			}
			found = true
			state(p.node(t, sc))
		default:
			if found {
				return
			}
			o := Term{Kind: Literal, Value: text.String(), Lang: sc.lang}
			if typed {
				o.Lang = ""
				if o.Datatype = p.resolve(sc.base, datatype); o.Datatype == xsdNS+"string" {
					o.Datatype = ""
				}
			}
			state(o)
			return
		}
	}
}

// collection reads node elements as an RDF list.
func (p *xmlReader) collection(state func(Term), sc scope) {
	link := state
	for {
		switch t := p.token().(type) {
		case xml.CharData:
			p.blankText(t)
		case xml.StartElement:
			cell := p.newBlank()
			link(cell)
			p.triple(cell, rdfFirst, p.node(t, sc))
			link = func(o Term) { p.triple(cell, rdfRest, o) }
		default:
			link(Term{Value: rdfNil})
			return
		}
	}
}
