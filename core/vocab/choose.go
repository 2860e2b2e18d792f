package vocab

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// All as a Request's Max takes every candidate.
const All = -1

// Request says which terms are wanted.
type Request struct {
	Base  *token.Tokenizer
	Terms []sdk.Term               // of the domain; synonyms count too
	Texts iter.Seq2[string, error] // of the domain; nil = terms go by weight alone
	Max   int                      // most terms, or All
	// Words of the texts are candidates too; of Chinese text runs of two to four
	// characters that hold together, see hanWords.
	Words bool
	// Phrases of the texts are candidates too: two to four words that hold together, see
	// phrases. Byte-level vocabularies take none.
	Phrases bool
	Count   int // least occurrences of a word or phrase of the texts; 0 = 3
	Saved   int // least pieces of the texts that a term saves; without texts of no account
}

// Choice is a chosen term.
type Choice struct {
	Text   string `json:"text"`
	Domain bool   `json:"domain"` // a term of the domain, not only a word of the texts
	Count  int    `json:"count"`  // in the texts
	Pieces int    `json:"pieces"` // that it was cut into
	Saved  int    `json:"saved"`  // pieces of the texts: count times pieces less one

	inner map[string]int // words of a phrase of the texts that are cut, and their pieces
}

// Selection is what Choose found.
type Selection struct {
	Choices   []Choice
	Tokenizer *token.Tokenizer
	Added     []token.Added
	Left      []string // terms that the tokenizer cannot take up, or has as one piece
	Idle      []Choice // terms left out because they save less than wanted, by name
	// Of the texts: words between blanks, pieces before and after.
	Words, Before, After int

	// Chinese characters of the texts, words found in them, least occurrences of one.
	han, hanWords, least int
	noPhrases            string // why there are none
}

// Notices say what Choose could not do.
func (s *Selection) Notices() (ds sdk.Diagnostics) {
	if s.han > 0 && s.hanWords == 0 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Info, Code: "vocab.chinese",
			Summary: fmt.Sprintf("the texts hold %d Chinese characters, but no run of 2 to %d of them that is seen %d times, holds together and saves pieces: none of them is a candidate", s.han, unitMost, s.least),
			Remedy:  "name terms in a list or by a plugin, or give more text"})
	}
	if s.noPhrases != "" {
		ds.Add(sdk.Diagnostic{Severity: sdk.Info, Code: "vocab.phrases", Summary: "no phrase of the texts is a candidate: " + s.noPhrases})
	}
	return ds
}

// Choose picks the terms that save most: the number of times that the texts hold a
// term, times the pieces that it is cut into less one. Terms of the domain that
// the texts do not hold come last, by their weight. The choice is a function of
// terms and texts alone.
func Choose(ctx context.Context, req Request) (*Selection, error) {
	least := cmp.Or(req.Count, 3)
	contents, weights := contentsOf(req.Terms)
	all, added, left, err := req.Base.Extend(contents)
	if err != nil {
		return nil, err
	}
	s := &Selection{Left: left, least: least}
	var found []string
	if req.Words && req.Texts != nil {
		if found, s.han, err = hanWords(ctx, all, added, req.Texts, least); err != nil {
			return nil, err
		}
	}
	if req.Phrases && req.Texts != nil {
		more, err := s.phrases(ctx, req, least)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	if len(found) > 0 {
		if all, added, _, err = req.Base.Extend(append(slices.Clip(contents), found...)); err != nil {
			return nil, err
		}
	}
	byTerm := map[string]*Choice{}
	term := map[int32]*Choice{}
	for _, a := range added {
		c := byTerm[a.Content]
		if c == nil {
			_, domain := weights[a.Content]
			c = &Choice{Text: a.Content, Domain: domain}
			if !domain && req.Words && strings.Contains(a.Content, " ") {
				c.inner = cutWords(req.Base, a.Content)
			}
			byTerm[a.Content] = c
		}
		c.Pieces = max(c.Pieces, len(a.Pieces))
		term[a.ID] = c
	}
	words := map[string]*Choice{}
	if req.Texts != nil {
		if err := eachText(ctx, req.Texts, choosing, func(text string) { count(all, text, term, words, req.Words) }); err != nil {
			return nil, err
		}
	}
	var picked []*Choice
	for _, c := range byTerm {
		c.Saved = c.Count * (c.Pieces - 1)
		if !c.Domain {
			if c.Count >= least && c.Saved >= req.Saved {
				picked = append(picked, c)
				if token.Inside(c.Text) {
					s.hanWords++
				}
			}
			continue
		}
		if req.Texts != nil && c.Saved < req.Saved {
			s.Idle = append(s.Idle, *c)
			continue
		}
		picked = append(picked, c)
	}
	for _, c := range words {
		if c.Saved = c.Count * (c.Pieces - 1); c.Count >= least && c.Saved >= req.Saved {
			picked = append(picked, c)
		}
	}
	slices.SortFunc(s.Idle, func(a, b Choice) int { return strings.Compare(a.Text, b.Text) })
	sort := func(picked []*Choice) {
		slices.SortFunc(picked, func(a, b *Choice) int {
			return cmp.Or(b.Saved-a.Saved, cmp.Compare(weights[b.Text], weights[a.Text]), strings.Compare(a.Text, b.Text))
		})
	}
	sort(picked)
	if req.Max != All {
		picked = picked[:min(len(picked), max(req.Max, 0))]
	}
	if req.Phrases && req.Texts != nil {
		if picked, err = s.settle(ctx, req, picked, least); err != nil {
			return nil, err
		}
		sort(picked)
	}
	texts := make([]string, len(picked))
	for i, c := range picked {
		s.Choices, texts[i] = append(s.Choices, *c), c.Text
	}
	if s.Tokenizer, s.Added, _, err = req.Base.Extend(texts); err != nil {
		return nil, err
	}
	if req.Texts == nil {
		return s, nil
	}
	s.Words, s.Before, s.After, err = Measure(ctx, req.Base, s.Tokenizer, req.Texts)
	return s, err
}

// phrases are those of the request's texts, or why there are none.
func (s *Selection) phrases(ctx context.Context, req Request, least int) ([]string, error) {
	if req.Base.Kind() != "WordPiece" {
		s.noPhrases = "a byte-level vocabulary takes no terms of several words"
		return nil, nil
	}
	found, words, err := phrases(ctx, req.Base, req.Texts, least)
	if len(found) == 0 {
		s.noPhrases = fmt.Sprintf("of the %d words of the texts no run of 2 to %d is seen %d times and holds together", words, unitMost, least)
	}
	return found, err
}

// settle counts anew what the texts hold of picked terms, when words within phrases have
// counted for both, and drops those that pay no more.
func (s *Selection) settle(ctx context.Context, req Request, picked []*Choice, least int) (kept []*Choice, err error) {
	contents, term := make([]string, len(picked)), map[int32]*Choice{}
	for i, c := range picked {
		contents[i], c.Count = c.Text, 0
	}
	ext, added, _, err := req.Base.Extend(contents)
	if err != nil {
		return nil, err
	}
	for _, a := range added {
		term[a.ID] = picked[a.Term]
	}
	if err := eachText(ctx, req.Texts, choosing, func(text string) { count(ext, text, term, nil, false) }); err != nil {
		return nil, err
	}
	for _, c := range picked {
		c.Saved = c.Count * (c.Pieces - 1)
		switch {
		case c.Saved < req.Saved && c.Domain:
			s.Idle = append(s.Idle, *c)
		case c.Saved < req.Saved || !c.Domain && c.Count < least:
		default:
			kept = append(kept, c)
		}
	}
	slices.SortFunc(s.Idle, func(a, b Choice) int { return strings.Compare(a.Text, b.Text) })
	return kept, nil
}

// cutWords are the words of a phrase that are cut, and into how many pieces.
func cutWords(tok *token.Tokenizer, phrase string) map[string]int {
	words := map[string]*Choice{}
	count(tok, phrase, nil, words, true)
	inner := map[string]int{}
	for word, c := range words {
		inner[word] = c.Pieces
	}
	return inner
}

// Measure counts words between blanks, and pieces by two tokenizers.
func Measure(ctx context.Context, base, other *token.Tokenizer, texts iter.Seq2[string, error]) (words, before, after int, err error) {
	err = eachText(ctx, texts, "count pieces", func(text string) {
		words += len(strings.Fields(text))
		before += len(base.Encode(text, token.Options{Bare: true}).IDs)
		after += len(other.Encode(text, token.Options{Bare: true}).IDs)
	})
	return words, before, after, err
}

const choosing = "choose terms"

// eachText gives the texts until one fails or ctx ends; doing is for the error.
func eachText(ctx context.Context, texts iter.Seq2[string, error], doing string, yield func(text string)) error {
	for text, err := range texts {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		yield(text)
	}
	return nil
}

// contentsOf lists texts and synonyms, each once, with their weights.
func contentsOf(terms []sdk.Term) (contents []string, weights map[string]float64) {
	weights = map[string]float64{}
	for _, t := range terms {
		for _, c := range append([]string{t.Text}, t.Synonyms...) {
			if c = strings.TrimSpace(c); c == "" {
				continue
			}
			if _, ok := weights[c]; !ok {
				contents = append(contents, c)
			}
			weights[c] = max(weights[c], cmp.Or(t.Weight, 1))
		}
	}
	return contents, weights
}

// count adds what one text holds of terms and of words that are cut, those within
// phrases of the texts too.
func count(tok *token.Tokenizer, text string, term map[int32]*Choice, words map[string]*Choice, wanted bool) {
	e := tok.Encode(text, token.Options{Bare: true})
	for i := 0; i < len(e.IDs); {
		if c := term[e.IDs[i]]; c != nil {
			c.Count++
			if wanted {
				for word, pieces := range c.inner {
					note(words, word, pieces)
				}
			}
			i++
			continue
		}
		k := i + 1
		for k < len(e.IDs) && e.Words[k] == e.Words[i] && term[e.IDs[k]] == nil {
			k++
		}
		if n := k - i; wanted && n > 1 {
			if word, ok := wordOf(tok, text, e.Offsets[i].Start, e.Offsets[k-1].End); ok {
				note(words, word, n)
			}
		}
		i = k
	}
}

// note counts a word.
func note(words map[string]*Choice, word string, pieces int) {
	c := words[word]
	if c == nil {
		c = &Choice{Text: word, Pieces: pieces}
		words[word] = c
	}
	c.Count++
}

// wordOf is a word as a candidate: at least three letters, written as the
// vocabulary writes it, none of them Chinese: between boundaries these are whole
// clauses.
func wordOf(tok *token.Tokenizer, text string, from, to int) (string, bool) {
	if from >= to {
		return "", false
	}
	word := strings.TrimSpace(text[from:to])
	if tok.Kind() == "WordPiece" {
		word = strings.TrimSpace(tok.Normalize(word))
	}
	letters := 0
	for _, r := range word {
		switch {
		case isHan(r):
			return "", false
		case unicode.IsLetter(r):
			letters++
		case unicode.IsDigit(r), unicode.Is(unicode.Mn, r):
		default:
			return "", false
		}
	}
	return word, letters >= 3 && utf8.RuneCountInString(word) <= 40
}
