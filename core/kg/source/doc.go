// Package source turns files of knowledge into the one stream that a store is
// built from: every entity once, in the order of its id, then every fact.
//
//	items, err := source.Open(ctx, []string{"hp.obo", "phenotype.hpoa"}, source.Options{})
//	if err != nil {
//		return err // a missing file, an unknown format
//	}
//	for item, err := range items {
//		…
//	}
//
// # Formats
//
// The name says what a file holds: .nt, .ttl, .rdf (.owl, .xml), .obo, .hpoa,
// .csv, .tsv, .jsonl, .spo; Options.Format overrides it and is needed for ICD
// tables and WordNet files under names of their own. Any of them may be
// compressed (.gz, .zst) or stand in a tar archive (.tar, .tar.gz, .tgz,
// .tar.zst), and a folder stands for the files below it.
//
//   - ntriples, turtle, rdfxml: see the mapping below.
//   - obo: a stanza is an entity, its type the namespace; name and synonyms are its names, def
//     and comment its properties; is_a, relationship, replaced_by and consider are facts,
//     alt_id, xref and subset facts with a literal. An obsolete term keeps its names
//     and has the property obsolete. Logical definitions (intersection_of, union_of,
//     disjoint_from, equivalent_to …) and notes on editing (property_value, created_by,
//     creation_date) are not taken.
//   - hpoa: HPO annotations. A disease is an entity; the aspect chooses the
//     relation (has_phenotype, has_inheritance, has_clinical_course, has_modifier,
//     has_past_history; not_ in front where the qualifier is NOT or the frequency
//     says excluded), the frequency the weight.
//   - icd: ICD tables as code, title, further titles separated by |, and code,
//     is_a, parent; or the order and code files that CMS publishes for ICD-10-CM.
//   - wordnet: the data.* files of a dict folder, or tables of synset, words
//     separated by |, gloss and of synset, relation, synset.
//   - csv, tsv: a table of entities (columns id, type, names separated by |, and
//     prop.NAME) or of facts (subject, relation, object or literal, weight, source),
//     as in a plugin's kg folder; Options.Columns names other columns. Three columns
//     without a header are subject, relation and object.
//   - jsonl: one sdk.FactItem a line, {"entity": {…}} or {"fact": {…}}.
//   - spo: subject, relation and object by name, separated by tabs (K-BERT's form);
//     the name is the entity's id.
//
// # From RDF to entities and facts
//
//   - An IRI is an entity whose id is the IRI; a blank node one whose id is _:fN.LABEL,
//     N counting the files from 1, because a label means something within its file only.
//   - rdfs:label, skos:prefLabel, altLabel and hiddenLabel, foaf:name, schema:name and
//     alternateName, oboInOwl synonyms and the synonyms, abbreviations and acronyms of
//     OMG Commons give names, preferred labels first. Options.Languages keeps some
//     languages only; text without a language always stays.
//   - rdf:type gives the type: the local name of the class (Class, NamedIndividual,
//     Currency). A class of one's own wins over those of RDF, RDFS, OWL and SKOS, then the
//     first in the alphabet; a class of one's own is also kept as a fact, rdf:type.
//   - Comments, definitions and descriptions become properties under their local name.
//   - Every other triple is a fact. The relation is the predicate's IRI, shortened to
//     prefix:name for well-known vocabularies and Options.Prefixes. A literal keeps its
//     text; its language and datatype are not kept.
//   - An OWL restriction (a blank node with onProperty and someValuesFrom, allValuesFrom,
//     hasValue, onClass or onDataRange) becomes the fact that it expresses of its class:
//     class, property, value; one that only counts becomes class, owl:onProperty, property.
//     Lists, and the unions, intersections and one-ofs written with them, become one fact
//     for each member: a class that equals an intersection is a subClassOf of each part, each part
//     of a union that equals a class a subClassOf of it, and a class below a union has the
//     relation owl:unionOf to its parts. What else blank nodes say is kept as it stands.
//   - Ids, types, properties, weights and sources that an exported graph writes below urn:islm:
//     become again what they were: importing an export gives the same graph.
//
// # Problems
//
// A record that cannot be read is a diagnostic with file, line and column. Everything
// is read before the first entity is yielded; if there were problems the stream is
// one error with all of them, up to Options.Limit. With Options.Lenient such records
// are left out, and reported as warnings. Memory stays bounded: what does not fit waits in sorted,
// compressed temporary files, removed when the stream ends.
package source
