// Package corpus turns labelled text into finished training data:
//
//	read → check → split → encode → shards
//
// Read finds the files of a run (or asks a plugin for a dataset), decodes
// CoNLL, JSONL, CSV, TSV and Parquet in several character encodings, sorts
// labels to heads and reports everything that is wrong with the data at once,
// with places. What it guesses it says.
//
// Corpus.Build encodes the examples with the run's tokenizer and keeps the
// result in a folder named by the digest of everything it depends on, so that
// the next run with the same data finds it. The shards of a finished Set give
// the trainer its batches: NewLoader for training, NewSource for validation,
// test and prediction. Both are pure functions of seed and epoch.
//
// Nothing is ever dropped silently: rows that cannot be used are diagnostics,
// tokens beyond the length limit keep their tags and count as missed.
//
// The package does not know what an optimizer or a model is.
package corpus
