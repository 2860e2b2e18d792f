// Package features gives each word of a text classes made by hand: its shape,
// the casing that an uncased tokenizer loses, what its digits are, whether it is
// a unit. They reach a model as embeddings beside the word's pieces.
//
// An Extractor is made of the sdk.FeatureSpec list of a domain's manifest, or of
// Default, and is a pure function of the text and its words: it knows nothing of
// labels, tokenizers or tensors.
//
// Shape classes are those that taggers before neural ones lived on (Bikel et al.
// 1997, "Nymble: a high-performance learning name-finder", table 1), and that
// still help a model whose tokenizer drops case.
package features
