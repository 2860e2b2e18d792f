package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is the kind of the model: WordPiece, BPE, Unigram or WordLevel.
func (t *Tokenizer) Kind() string { return t.spec.model.kind }

// Extendable reports whether Extend can add words, and if not, why.
func (t *Tokenizer) Extendable() error {
	switch m := t.model.(type) {
	case *wordPiece:
		return nil
	case *bpe:
		if m.raw == nil {
			return fmt.Errorf("extend vocabulary: this BPE is not byte-level, words cannot be added to it without changing how other text is cut")
		}
		return nil
	}
	return fmt.Errorf("extend vocabulary: words can be added to WordPiece and byte-level BPE, not to %s", t.spec.model.kind)
}

// Extend gives a tokenizer that has words and phrases as pieces of their own and
// cuts all other words as t does. added are the new pieces; their ids follow those
// of t in order. left are the contents that were not added: those that t knows as
// one piece, and for BPE those of several words.
//
// Chinese is written without spaces: a content with a Han character (see Inside)
// becomes an added token that is found anywhere, as it is written, the longest from
// the left first. What is beside it is cut by itself then, which for BPE may change
// how it is merged, as it does a word of letters that ends in those of "A股". Of the
// others:
//
// WordPiece: a word becomes an added token that is found between word boundaries
// in the normalized text, as Python's tokenizers do; a new entry of the vocabulary
// would also match the beginnings of longer words. A symbol beside it that belongs
// to the same word for BERT (™, ²) is cut as a word of its own then.
//
// Byte-level BPE: a word enters the vocabulary in two forms, with a space before
// it and without, and ignore_merges makes whole words of the vocabulary need no
// merges. New merges would also join pieces of other words. That ignore_merges
// changes no old word is checked for each piece of the vocabulary.
func (t *Tokenizer) Extend(contents []string) (extended *Tokenizer, added []Added, left []string, err error) {
	if err := t.Extendable(); err != nil {
		return nil, nil, nil, err
	}
	_, isBPE := t.model.(*bpe)
	seen := map[string]bool{}
	var fresh, han []Added
	for i, content := range contents {
		c := strings.TrimSpace(content)
		key := t.Normalize(c)
		if c == "" || seen[key] {
			continue
		}
		seen[key] = true
		a := Added{Term: i, Content: c, Pieces: t.Encode(c, Options{Bare: true}).IDs}
		_, written := t.ID(c) // like a piece that the encoding does not reach: [unused1]
		if isBPE {
			_, written = t.added.Load().byText[c]
		}
		if written || len(a.Pieces) < 2 && (!isBPE || Inside(c) || len(t.Encode(" "+c, Options{Bare: true}).IDs) < 2) {
			left = append(left, c)
			continue
		}
		if isBPE && Inside(c) {
			han = append(han, a)
			continue
		}
		fresh = append(fresh, a)
	}
	if isBPE {
		extended, added, more, err := t.extendBPE(fresh)
		if err != nil {
			return nil, nil, nil, err
		}
		if err := extended.addEach(han); err != nil {
			return nil, nil, nil, err
		}
		return extended, append(added, han...), append(left, more...), nil
	}
	if extended, err = t.clone(nil); err != nil {
		return nil, nil, nil, err
	}
	if err := extended.addEach(fresh); err != nil {
		return nil, nil, nil, err
	}
	return extended, fresh, left, nil
}

// addEach makes added tokens of contents and fills in their ids.
func (t *Tokenizer) addEach(fresh []Added) error {
	tokens := make([]AddedToken, len(fresh))
	for i, a := range fresh {
		// What is looked for in the text as it is written leaves the faster search
		// between word boundaries, in normalized text, to the others.
		word := !Inside(a.Content)
		tokens[i] = AddedToken{Content: a.Content, SingleWord: word, Normalized: word}
	}
	ids, err := t.AddTokens(tokens...)
	if err != nil {
		return err
	}
	for i := range fresh {
		fresh[i].ID = ids[i]
	}
	return nil
}

// Inside reports whether Extend lets a content be found inside of running text, not
// only as a word between boundaries: it holds a Chinese character, and neither
// begins nor ends with a letter of another script than Han and ASCII.
func Inside(content string) bool {
	edge := func(r rune) bool {
		return r < utf8.RuneSelf || unicode.Is(unicode.Han, r) || !unicode.In(r, unicode.L, unicode.M, unicode.N)
	}
	first, _ := utf8.DecodeRuneInString(content)
	last, _ := utf8.DecodeLastRuneInString(content)
	return edge(first) && edge(last) && strings.ContainsFunc(content, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

// Added is one new piece.
type Added struct {
	ID      int32
	Term    int     // index of its content among those given to Extend
	Content string  // as given, without blanks around it
	Pieces  []int32 // what the tokenizer before made of it, with the space before it where there is one
}

// Normalize is a text as the model's vocabulary writes it.
func (t *Tokenizer) Normalize(text string) string {
	if t.normalizer == nil {
		return text
	}
	w := t.work()
	defer t.release(w)
	return strings.Clone(t.normalizer.normalize(w, w.valid(text)).s)
}

// extendBPE adds whole words to a byte-level vocabulary.
func (t *Tokenizer) extendBPE(fresh []Added) (_ *Tokenizer, added []Added, left []string, err error) {
	old := t.model.(*bpe)
	if !old.ignore {
		for id, piece := range t.vocab {
			if err := t.reached(old, int32(id), piece); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	vocab := make(map[string]int32, len(t.ids)+2*len(fresh))
	maps.Copy(vocab, t.ids)
	// Ids of added tokens behind the vocabulary stay theirs.
	for _, a := range t.Added() {
		vocab[a.Content], _ = t.ID(a.Content)
	}
	next := int32(t.VocabSize())
	for _, a := range fresh {
		one := false
		for _, form := range []string{" " + a.Content, a.Content} {
			words := t.split(form)
			if len(words) != 1 {
				continue
			}
			one = true
			piece := visible(words[0])
			if _, ok := vocab[piece]; ok {
				continue
			}
			pieces := t.Encode(form, Options{Bare: true}).IDs
			if len(pieces) < 2 { // an added token
				continue
			}
			vocab[piece] = next
			added = append(added, Added{ID: next, Term: a.Term, Content: a.Content, Pieces: pieces})
			next++
		}
		if !one {
			left = append(left, a.Content)
		}
	}
	extended, err := t.clone(func(model map[string]json.RawMessage) error {
		raw, err := json.Marshal(vocab)
		model["vocab"], model["ignore_merges"] = raw, json.RawMessage("true")
		return err
	})
	if err != nil {
		return nil, nil, nil, err
	}
	// Classes that build their BPE anew from vocabulary and merges would forget
	// ignore_merges; this one reads tokenizer.json as it is.
	extended.spec.config = maps.Clone(extended.spec.config)
	if extended.spec.config == nil {
		extended.spec.config = map[string]json.RawMessage{}
	}
	extended.spec.config["tokenizer_class"] = json.RawMessage(`"PreTrainedTokenizerFast"`)
	return extended, added, left, nil
}

// reached checks that the merges make this one piece of the word that it writes.
func (t *Tokenizer) reached(m *bpe, id int32, piece string) error {
	if piece == "" || !t.has(id) {
		return nil
	}
	if _, ok := t.added.Load().byText[piece]; ok {
		return nil // cut out before the model sees it
	}
	raw := make([]byte, 0, len(piece))
	for _, r := range piece {
		b, ok := runeToByte(r)
		if !ok {
			return nil // no text is written so
		}
		raw = append(raw, b)
	}
	// Only what the pre-tokenizer leaves whole can be taken whole.
	if words := t.split(string(raw)); len(words) != 1 || words[0] != string(raw) {
		return nil
	}
	var w work
	if p := m.pieces(&w, string(raw), nil); len(p) != 1 || p[0].id != id {
		return fmt.Errorf("extend vocabulary: the piece %q is not what its merges make: to take words whole would change how it is cut", piece)
	}
	return nil
}

// split gives the words of the pre-tokenizer as bytes of the text, added tokens
// not regarded.
func (t *Tokenizer) split(text string) []string {
	w := t.work()
	defer t.release(w)
	v := w.valid(text)
	if t.normalizer != nil {
		v = t.normalizer.normalize(w, v)
	}
	parts := []stretch{v}
	for _, p := range t.pre {
		var next []stretch
		for _, part := range parts {
			next = p.split(w, part, next)
		}
		parts = next
	}
	words := make([]string, len(parts))
	for i, part := range parts {
		words[i] = strings.Clone(part.s)
	}
	return words
}

// visible writes bytes as the characters that a byte-level vocabulary has.
func visible(word string) string {
	var b strings.Builder
	for i := range len(word) {
		b.WriteRune(byteToRune(word[i]))
	}
	return b.String()
}

// clone makes a tokenizer of the same files, its model changed by edit.
func (t *Tokenizer) clone(edit func(model map[string]json.RawMessage) error) (*Tokenizer, error) {
	text, err := t.JSON()
	if err != nil {
		return nil, err
	}
	if edit != nil {
		var doc map[string]json.RawMessage
		var model map[string]json.RawMessage
		if err := json.Unmarshal(text, &doc); err != nil {
			return nil, fmt.Errorf("extend vocabulary: %w", err)
		}
		if err := json.Unmarshal(doc["model"], &model); err != nil {
			return nil, fmt.Errorf("extend vocabulary: %w", err)
		}
		if err := edit(model); err != nil {
			return nil, fmt.Errorf("extend vocabulary: %w", err)
		}
		if doc["model"], err = json.Marshal(model); err != nil {
			return nil, fmt.Errorf("extend vocabulary: %w", err)
		}
		if text, err = json.Marshal(doc); err != nil {
			return nil, fmt.Errorf("extend vocabulary: %w", err)
		}
	}
	c, err := build(jsonFile, bytes.TrimSpace(text), t.spec.config, t.spec.specials)
	if err != nil {
		return nil, err
	}
	for role, content := range t.special {
		if _, ok := c.special[role]; !ok {
			c.special[role] = content
		}
	}
	return c, nil
}
