package source

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/kg/rdf"
	"github.com/islm-dev/islm/sdk"
)

// Namespaces of well-known vocabularies, by the prefix that relations get.
var wellKnown = map[string]string{
	"rdf": nsRDF, "rdfs": nsRDFS, "owl": nsOWL, "skos": nsSKOS, "dc": "http://purl.org/dc/elements/1.1/", "dcterms": "http://purl.org/dc/terms/",
	"foaf": "http://xmlns.com/foaf/0.1/", "schema": "https://schema.org/",
}

const (
	nsRDF  = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
	nsRDFS = "http://www.w3.org/2000/01/rdf-schema#"
	nsOWL  = "http://www.w3.org/2002/07/owl#"
	nsSKOS = "http://www.w3.org/2004/02/skos/core#"
	nsOBO  = "http://www.geneontology.org/formats/oboInOwl#"
	nsOMG  = "https://www.omg.org/spec/Commons/AnnotationVocabulary/"

	rdfType = nsRDF + "type"
)

// nameRanks are the predicates that name an entity; a lower rank is preferred.
var nameRanks = map[string]byte{
	nsSKOS + "prefLabel": 0, nsRDFS + "label": 1, "http://xmlns.com/foaf/0.1/name": 1, "https://schema.org/name": 1, "http://schema.org/name": 1,
	nsSKOS + "altLabel": 2, "https://schema.org/alternateName": 2, "http://schema.org/alternateName": 2, nsOBO + "hasExactSynonym": 2, nsOMG + "synonym": 2,
	nsOMG + "abbreviation": 3, nsOMG + "acronym": 3, nsOBO + "hasRelatedSynonym": 3, nsOBO + "hasBroadSynonym": 4, nsOBO + "hasNarrowSynonym": 4, nsSKOS + "hiddenLabel": 5,
}

// textProps are the predicates whose text describes an entity, with the property that
// it becomes.
var textProps = map[string]string{
	nsRDFS + "comment": "comment", nsSKOS + "definition": "definition", nsSKOS + "scopeNote": "scopeNote", nsSKOS + "note": "note", nsSKOS + "example": "example",
	nsSKOS + "changeNote": "changeNote", nsSKOS + "editorialNote": "editorialNote", "http://purl.org/dc/terms/description": "description",
	"http://purl.org/dc/elements/1.1/description": "description", "http://purl.org/dc/terms/abstract": "abstract", "http://purl.obolibrary.org/obo/IAO_0000115": "definition",
	"http://purl.org/dc/terms/license": "license", nsOMG + "explanatoryNote": "explanatoryNote", nsOMG + "copyright": "copyright", nsOMG + "adaptedFrom": "adaptedFrom",
}

func readNTriples(in *input, s *sink) error { return readRDF(in, s, rdf.NTriples(in.r)) }
func readTurtle(in *input, s *sink) error   { return readRDF(in, s, rdf.Turtle(in.r, s.opt.Base)) }
func readXML(in *input, s *sink) error      { return readRDF(in, s, rdf.XML(in.r, s.opt.Base)) }

// readRDF maps triples to entities and facts.
func readRDF(in *input, s *sink, triples iter.Seq2[rdf.Triple, error]) error {
	m := &mapper{in: in, s: s, nodes: map[string]*blankNode{}, relations: map[string]string{}}
	for t, err := range triples {
		var bad *rdf.SyntaxError
		switch {
		case errors.As(err, &bad):
			s.problem(in.file, bad.Line, bad.Column, "kg.syntax", "", "%s", bad.Problem)
		case errors.Is(err, io.ErrUnexpectedEOF) && s.ctx.Err() == nil:
			return err
		case err != nil:
			return err
		default:
			m.triple(t)
		}
		if !s.ok() {
			return nil
		}
	}
	m.finish()
	return nil
}

// maxHeld bounds the triples about blank nodes that wait for their document's end.
const maxHeld = 1 << 20

// mapper turns the triples of one document into entities and facts. Triples that touch
// blank nodes wait until the end, as only the whole of them says what they express.
type mapper struct {
	in        *input
	s         *sink
	nodes     map[string]*blankNode
	waiting   []rdf.Triple // of a named subject, with a blank object
	held      int
	overflow  bool
	relations map[string]string // shortened, by IRI

	// subject is the one that the last facts are about: an exported graph states their
	// weights and sources behind them.
	subject string
	facts   []sdk.Fact
	places  map[factKey]int // of facts, from the first that is stated again
}

type factKey struct{ relation, object, literal string }

// maxFacts bounds the facts of one subject that wait for what is stated of them.
const maxFacts = 1 << 16

// fact takes a fact; stated says that an equal one may have come before without weight
// and source.
func (m *mapper) fact(f sdk.Fact, stated bool) {
	if f.Subject != m.subject || len(m.facts) >= maxFacts {
		m.flush()
		m.subject = f.Subject
	}
	if stated && m.places == nil {
		m.places = map[factKey]int{}
		for i, f := range m.facts {
			m.places[factKey{f.Relation, f.Object, f.Literal}] = i
		}
	}
	if m.places != nil {
		key := factKey{f.Relation, f.Object, f.Literal}
		if i, ok := m.places[key]; ok {
			if stated {
				m.facts[i] = f
			}
			return
		}
		m.places[key] = len(m.facts)
	}
	m.facts = append(m.facts, f)
}

func (m *mapper) flush() {
	for _, f := range m.facts {
		m.s.fact(f)
	}
	m.facts, m.places = m.facts[:0], nil
}

// A blankNode is what is said of a node without a name.
type blankNode struct {
	out  []rdf.Triple
	done bool // expressed by facts of others
}

func (m *mapper) triple(t rdf.Triple) {
	blank := t.Subject.Kind == rdf.Blank || t.Object.Kind == rdf.Blank
	if !blank || m.overflow {
		m.plain(t)
		return
	}
	if m.held++; m.held > maxHeld {
		m.overflow = true
		m.s.notice(sdk.Diagnostic{Severity: sdk.Warning, Code: "kg.blank-nodes", File: m.in.file, Line: t.Line, Source: sdk.FromData,
			Summary: fmt.Sprintf("more than %d triples are about blank nodes: they are taken as they stand, restrictions and lists are not resolved", maxHeld)})
		for _, w := range m.waiting {
			m.plain(w)
		}
		for _, n := range m.nodes {
			for _, w := range n.out {
				m.plain(w)
			}
		}
		m.waiting, m.nodes = nil, nil
		m.plain(t)
		return
	}
	if t.Subject.Kind != rdf.Blank {
		m.waiting = append(m.waiting, t)
		return
	}
	n := m.nodes[t.Subject.Value]
	if n == nil {
		n = &blankNode{}
		m.nodes[t.Subject.Value] = n
	}
	n.out = append(n.out, t)
}

// finish gives the facts that blank nodes express, and what is left of these nodes as
// it stands.
func (m *mapper) finish() {
	var rest []rdf.Triple
	for _, t := range m.waiting {
		if !m.expressed(t.Subject, t.Predicate.Value, t.Object, 0) {
			rest = append(rest, t)
		}
	}
	for _, t := range rest {
		m.keep(t)
	}
	// Nodes that nothing named leads to. Their order is that of the labels' numbers
	// only by chance; the spool's facts keep it, so it must not depend on the map.
	for _, label := range sortedKeys(m.nodes) {
		m.keepNode(label)
	}
	m.flush()
}

// keep gives a triple as it stands, and what is said of its object.
func (m *mapper) keep(t rdf.Triple) {
	m.plain(t)
	if t.Object.Kind == rdf.Blank {
		m.keepNode(t.Object.Value)
	}
}

func (m *mapper) keepNode(label string) {
	for next := []string{label}; len(next) > 0; {
		n := m.nodes[next[len(next)-1]]
		next = next[:len(next)-1]
		if n == nil || n.done {
			continue
		}
		n.done = true
		for _, t := range n.out {
			m.plain(t)
			if t.Object.Kind == rdf.Blank {
				next = append(next, t.Object.Value)
			}
		}
	}
}

// expressed gives the facts that subject, predicate and a blank node mean together. It
// reports false, having given nothing, if they mean none.
func (m *mapper) expressed(s rdf.Term, predicate string, node rdf.Term, depth int) bool {
	n := m.nodes[node.Value]
	if n == nil || depth > 20 {
		return false
	}
	var property string
	var values, members []rdf.Term
	class, reverse := false, false
	for _, t := range n.out {
		switch p := t.Predicate.Value; p {
		case nsOWL + "onProperty":
			if t.Object.Kind == rdf.IRI {
				property = t.Object.Value
			}
		case nsOWL + "someValuesFrom", nsOWL + "allValuesFrom", nsOWL + "hasValue", nsOWL + "onClass", nsOWL + "onDataRange":
			values = append(values, t.Object)
		case nsOWL + "unionOf", nsOWL + "intersectionOf", nsOWL + "oneOf":
			list, ok := m.list(t.Object)
			if !ok {
				return false
			}
			members = append(members, list...)
			class = true
			// To equal an intersection is to be below each part; each part of a union
			// is below what equals it.
			switch {
			case p == nsOWL+"intersectionOf" && predicate == nsOWL+"equivalentClass":
				predicate = nsRDFS + "subClassOf"
			case p == nsOWL+"unionOf" && predicate == nsOWL+"equivalentClass":
				predicate, reverse = nsRDFS+"subClassOf", true
			case p == nsOWL+"unionOf" && predicate == nsRDFS+"subClassOf":
				predicate = nsOWL + "unionOf"
			}
		case nsRDF + "first":
			list, ok := m.list(node)
			if !ok {
				return false
			}
			members, class = list, true
		}
	}
	switch {
	case property != "" && len(values) > 0:
		predicate, members = property, values
	case property != "" && m.bare(n):
		predicate, members = nsOWL+"onProperty", []rdf.Term{{Value: property}}
	case class:
	default:
		return false
	}
	for _, o := range members {
		t := rdf.Triple{Subject: s, Predicate: rdf.Term{Value: predicate}, Object: o}
		if reverse && o.Kind == rdf.IRI {
			t.Subject, t.Object = o, s
		}
		if o.Kind != rdf.Blank || !m.expressed(s, predicate, o, depth+1) {
			m.keep(t)
		}
	}
	m.done(node)
	return true
}

// bare reports a restriction that counts values without saying which.
func (m *mapper) bare(n *blankNode) bool {
	for _, t := range n.out {
		switch t.Predicate.Value {
		case nsOWL + "minCardinality", nsOWL + "maxCardinality", nsOWL + "cardinality", nsOWL + "hasSelf":
			return true
		}
	}
	return false
}

// done marks a node, and the list behind it, as expressed.
func (m *mapper) done(node rdf.Term) {
	n := m.nodes[node.Value]
	if n == nil || n.done {
		return
	}
	n.done = true
	for _, t := range n.out {
		switch t.Predicate.Value {
		case nsOWL + "unionOf", nsOWL + "intersectionOf", nsOWL + "oneOf", nsRDF + "rest":
			if t.Object.Kind == rdf.Blank {
				m.done(t.Object)
			}
		}
	}
}

// list gives the members of an RDF list; ok is false if it is none.
func (m *mapper) list(node rdf.Term) (members []rdf.Term, ok bool) {
	seen := map[string]bool{}
	for node.Kind == rdf.Blank && !seen[node.Value] {
		seen[node.Value] = true
		n := m.nodes[node.Value]
		if n == nil {
			return nil, false
		}
		var first, rest *rdf.Term
		for i, t := range n.out {
			switch t.Predicate.Value {
			case nsRDF + "first":
				first = &n.out[i].Object
			case nsRDF + "rest":
				rest = &n.out[i].Object
			}
		}
		if first == nil || rest == nil {
			return nil, false
		}
		members = append(members, *first)
		node = *rest
	}
	return members, node.Kind == rdf.IRI && node.Value == nsRDF+"nil"
}

// plain maps one triple.
func (m *mapper) plain(t rdf.Triple) {
	id, predicate := m.id(t.Subject), t.Predicate.Value
	if t.Object.Kind == rdf.Literal {
		if strings.HasPrefix(predicate, nsStore) && m.exported(id, predicate, t.Object.Value) {
			return
		}
		if !m.wanted(t.Object.Lang) {
			m.mention(id)
			return
		}
		if rank, ok := nameRanks[predicate]; ok {
			m.s.part(part{id: id, names: []name{{t.Object.Value, rank}}})
			return
		}
		if strings.TrimSpace(t.Object.Value) == "" {
			m.mention(id) // an empty text states nothing
			return
		}
		if key, ok := textProps[predicate]; ok {
			m.s.part(part{id: id, props: []prop{{key, t.Object.Value}}})
			return
		}
		m.fact(sdk.Fact{Subject: id, Relation: m.relation(predicate), Literal: t.Object.Value}, false)
		return
	}
	if predicate == rdfType && t.Object.Kind == rdf.IRI {
		class := t.Object.Value
		if rest, ok := strings.CutPrefix(class, nsStore+"type:"); ok {
			m.s.part(part{id: id, typ: unescape(rest)})
			return
		}
		schema := false
		for _, ns := range []string{nsRDF, nsRDFS, nsOWL, nsSKOS} {
			schema = schema || strings.HasPrefix(class, ns)
		}
		p := part{id: id, typ: localName(class)}
		if schema {
			p.typeRank = schemaRank(class)
		}
		m.s.part(p)
		if schema {
			return
		}
	}
	m.fact(sdk.Fact{Subject: id, Relation: m.relation(predicate), Object: m.id(t.Object)}, false)
}

// schemaRank lets what says more about an entity win: a class over a named individual
// over a bare resource.
func schemaRank(class string) byte {
	switch strings.TrimPrefix(class, nsOWL) {
	case "NamedIndividual", "Thing", nsRDFS + "Resource":
		return 2
	}
	return 1
}

func (m *mapper) mention(id string) {
	if m.s.err == nil {
		m.s.err = m.s.spool.mention(id)
	}
}

// wanted reports whether text in a language is kept.
func (m *mapper) wanted(lang string) bool {
	if lang == "" || len(m.s.opt.Languages) == 0 {
		return true
	}
	lang = strings.ToLower(lang)
	for _, want := range m.s.opt.Languages {
		want = strings.ToLower(want)
		if lang == want || strings.HasPrefix(lang, want+"-") {
			return true
		}
	}
	return false
}

func (m *mapper) id(t rdf.Term) string {
	if t.Kind == rdf.Blank {
		return "_:" + m.s.opt.Scope + "f" + strconv.Itoa(m.in.number) + "." + t.Value
	}
	if rest, ok := strings.CutPrefix(t.Value, nsStore+"id:"); ok {
		return unescape(rest)
	}
	return t.Value
}

// relation shortens a predicate's IRI.
func (m *mapper) relation(predicate string) string {
	if short, ok := m.relations[predicate]; ok {
		return short
	}
	short := predicate
	if rest, ok := strings.CutPrefix(predicate, nsStore+"relation:"); ok {
		short = unescape(rest)
	} else {
		for _, prefixes := range []map[string]string{m.s.opt.Prefixes, wellKnown} {
			for _, prefix := range sortedKeys(prefixes) {
				if local, ok := strings.CutPrefix(predicate, prefixes[prefix]); ok && local != "" && short == predicate {
					short = prefix + ":" + local
				}
			}
		}
	}
	if len(m.relations) < 65536 {
		m.relations[predicate] = short
	}
	return short
}

// localName is the last part of an IRI.
func localName(iri string) string {
	trimmed := strings.TrimRight(iri, "/#")
	if i := strings.LastIndexAny(trimmed, "/#"); i >= 0 && i+1 < len(trimmed) {
		return trimmed[i+1:]
	}
	return trimmed
}

// nsStore begins the IRIs by which a graph writes ids, types and attributes that are
// not IRIs themselves (see kg.Store.WriteNTriples), percent-encoded.
const nsStore = "urn:islm:"

// exported takes the attributes of an exported graph: properties and, in stated, a
// fact's weight and source. It reports false for anything else.
func (m *mapper) exported(id, predicate, text string) bool {
	if key, ok := strings.CutPrefix(predicate, nsStore+"property:"); ok {
		m.s.part(part{id: id, props: []prop{{unescape(key), text}}})
		return true
	}
	if predicate != nsStore+"stated" {
		return false
	}
	cells := strings.Split(text, "\t")
	if len(cells) != 4 {
		return false
	}
	f := sdk.Fact{Subject: id, Source: cells[3]}
	if cells[2] != "" {
		w, err := strconv.ParseFloat(cells[2], 64)
		if err != nil {
			return false
		}
		f.Weight = w
	}
	var t rdf.Triple
	for x, err := range rdf.NTriples(strings.NewReader("_:s " + cells[0] + " " + cells[1] + " .")) {
		if err != nil {
			return false
		}
		t = x
	}
	f.Relation = m.relation(t.Predicate.Value)
	if t.Object.Kind == rdf.Literal {
		f.Literal = t.Object.Value
	} else {
		f.Object = m.id(t.Object)
	}
	m.fact(f, true)
	return true
}

func unescape(s string) string {
	if text, err := url.PathUnescape(s); err == nil {
		return text
	}
	return s
}
