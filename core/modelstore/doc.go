// Package modelstore finds, fetches and describes base models.
//
// A model is a Hugging Face folder: config.json, tokenizer files, weights. The
// store is the folder ISLM_HOME/models, one sub-folder per model, each with a
// source.json that says where it came from and holds the sha256 of every file.
// Models arrive by the Hugging Face protocol ([Hub]): a listing of the files of
// one commit, then one request per file, resumed where an earlier one stopped
// and checked against the digest that the hub names. Models that other
// software left in the Hugging Face cache are used where they lie.
//
// The package reads names, sizes and headers only. It never loads a tensor and
// needs no libtorch.
package modelstore
