// Package token turns text into the ids that a language model reads, and back.
//
// A Tokenizer is loaded from a Hugging Face folder (tokenizer.json, or vocab.txt
// for BERT) and gives the same ids and the same places as the Python library
// `tokenizers`; places are bytes of the original text where that library counts
// characters. The families are WordPiece, byte-level BPE, SentencePiece BPE,
// Unigram and whole words.
//
// A text passes these stages, each configured by a component of tokenizer.json:
//
//	added tokens   literal strings with an id of their own are cut out
//	normalizer     characters are changed; each byte keeps the place it came from
//	pre-tokenizer  the text is split into words
//	model          each word becomes pieces of the vocabulary
//	post-processor [CLS] and the like are put around, places are trimmed
//
// Truncation and padding are asked for by the caller (Options, Pad); what a file
// says about them is kept and saved again, but not applied.
//
// A Tokenizer may be used by many goroutines at once. Vocabularies of the kinds
// WordPiece and BPE are trained by TrainWordPiece and TrainBPE.
//
// The package knows nothing of labels, data sets or tensors.
package token
