// Package vocab fits the vocabulary of a language model to a domain: it chooses
// terms by what they save (Choose), writes a model folder whose embeddings have
// rows for new pieces (Resize), and makes those rows of old ones (Selection.Rows,
// Transfer).
//
// It works on files alone, so that what it writes can be the base of any run, and
// of transformers. How a tokenizer takes up words is core/token's.
package vocab
