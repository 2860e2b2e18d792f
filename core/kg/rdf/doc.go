// Package rdf reads RDF 1.1 in three syntaxes, as streams of triples with their
// places, in memory that does not grow with the document.
//
// NTriples reads N-Triples, Turtle reads Turtle 1.1 and XML reads RDF/XML
// (https://www.w3.org/TR/n-triples/, https://www.w3.org/TR/turtle/,
// https://www.w3.org/TR/rdf-syntax-grammar/). Each yields triples and, for what
// it cannot read, a *SyntaxError with line and column, and goes on behind it:
// N-Triples with the next line, Turtle behind the next full stop that ends a line,
// RDF/XML behind the element; a document that is no XML ends the stream. Any other error
// comes from the reader underneath and ends the stream.
//
// Not read: RDF-star, TriG, RDFa, external DTDs, and XML in encodings other than UTF-8.
package rdf
