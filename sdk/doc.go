// Package sdk is what a plugin author sees: the types a domain is made of.
//
// A domain is one industry's knowledge: its words, its rules, its facts, its
// tasks and a few sample sentences. Almost all of it is data. An author writes
// domain.yaml and the files beside it, embeds them, and hands the whole to
// package serve:
//
//	//go:embed domain.yaml vocab data
//	var files embed.FS
//
//	func main() { serve.Main(sdk.Domain{FS: files}) }
//
// Go code is needed only where YAML cannot say it, and then as a small hook: a
// [Reader] for a file format of its own, an [Augmenter] for a rewriting rule, a
// function that computes terms or facts.
//
// The folder layout, all of it optional but domain.yaml:
//
//	domain.yaml                          the manifest, see Manifest
//	vocab/*.tsv                          terms: text kind lang canonical synonyms weight entity
//	data/NAME.{train,valid,test,all}.jsonl|.conll   the embedded part of dataset NAME
//	rules/*.yaml                         augmentation rules
//	kg/entities.tsv, kg/facts.tsv        entities and facts
//
// Mistakes in these files are data too: they come back as [Diagnostics], all at
// once, each with its place and what to do about it. An error is kept for what
// stops the work altogether.
//
// The package holds no transport and no tensors. Package serve runs a domain as
// a plugin process, package host starts and talks to one, package sdktest checks
// one; none of their types appear here.
package sdk
