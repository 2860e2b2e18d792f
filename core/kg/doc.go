// Package kg keeps knowledge graphs: entities with names, and facts about them.
//
// A graph has two forms.
//
// A Store is a folder on Badger, made by Build from a stream of entities and
// facts and never changed afterwards. It answers by subject, object, relation,
// type and name, and many processes may open it at once:
//
//	items, err := source.Open(ctx, []string{"hp.obo", "phenotype.hpoa"}, source.Options{})
//	…
//	info, err := kg.Build(ctx, "hpo", "medical", items, kg.BuildOptions{Complete: true})
//	store, err := kg.Open("hpo")
//	facts, err := store.BySubject("HP:0001250")
//
// A View is one flat file made from a store by Compile: names ready to be found in
// text, types, a bounded number of facts for each entity and, if there are any,
// vectors. It is memory-mapped and knows nothing of Badger; training, prediction
// and bundles use it.
//
// # How a store is laid out
//
// Entities are numbered from 0 in the order of their N-Triples terms. What belongs
// to 64 consecutive entities (16 where it is text) lies in one page under one key,
// so that a graph of millions of facts has some ten thousand keys, and neighbours
// cost a byte or two each:
//
//	D page    64 ids, front-coded
//	G page    the first id of each of 256 pages D, for the search of an id
//	E page    16 entities' types, names and properties
//	O, I page 64 entities' facts by subject and by object, delta-coded by number
//	o, i n c  a part of the facts of entity n that has too many for its page
//	L page    16 entities' facts with a literal
//	N bucket  hashes of folded names with the numbers of their entities
//	R, Q r c  the pages in which relation r occurs, with objects and with literals
//	T t c     the entities of type t
//	M name    lists of relations, types and sources
//
// Pages of text are compressed with zstd; Badger itself compresses nothing, so that
// readers share the kernel's page cache. islm-kg.json names the format, counts what
// is there and holds a checksum of every file: Open checks all of them first, and
// a folder that is torn or something else is a diagnostic.
//
// # Identity
//
// The digest of a graph is the sha256 of its sorted canonical N-Triples, as
// WriteNTriples gives them. It covers names, types, properties, weights and
// sources, and is the same wherever and in whatever order the graph was built.
package kg
