package token

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/islm-dev/islm/sdk"
)

// Tokenizer turns text into ids. It is safe for use by many goroutines.
type Tokenizer struct {
	t          *charTables
	normalizer normalizer // nil: none
	pre        []preTokenizer
	model      model
	post       postProcessor
	decoder    decoder // nil: pieces are joined by spaces

	vocab []string         // id -> piece of the model
	known []bool           // whether the model has that id; nil: it has all
	ids   map[string]int32 // piece -> id

	added   atomic.Pointer[addedTokens]
	adding  sync.Mutex // held by AddTokens
	special map[string]string

	spec spec
	pool sync.Pool
}

// Span is a range of bytes [Start, End) of the text.
type Span struct{ Start, End int }

// Encoding is an encoded text, or pair of texts. Its slices have equal lengths.
type Encoding struct {
	IDs []int32
	// Types are the token type ids (segments).
	Types []int32
	// Offsets are the places in the text that each id stands for, {0, 0} for
	// special tokens that were put around the text. Those of the second text of
	// a pair count from that text's begin, those of words from the word's begin.
	Offsets []Span
	// Words are the numbers of the words that the ids belong to, as the
	// pre-tokenizer (or the caller of EncodeWords) split them; -1 for special
	// tokens put around the text.
	Words []int32
	// Sequences are 0 for the first text, 1 for the second and -1 for special
	// tokens put around them.
	Sequences []int8
}

// Len is the number of ids.
func (e *Encoding) Len() int { return len(e.IDs) }

// Strategy says which text of a pair gives way to a maximal length.
type Strategy uint8

// The strategies. With a single text LongestFirst and OnlyFirst are the same and
// OnlySecond leaves the text whole.
const (
	LongestFirst Strategy = iota // the longer one, until both are equally long
	OnlyFirst
	OnlySecond
)

// Options are what a caller asks of an encoding. The zero value puts special
// tokens around texts of any length.
type Options struct {
	// Bare leaves out the special tokens that the post-processor puts around.
	Bare bool
	// Max is the largest number of ids, special tokens included; 0: no limit.
	Max      int
	Strategy Strategy
	// KeepEnd truncates at the left instead of the right.
	KeepEnd bool
}

// ErrTooShort tells that the text that OnlyFirst or OnlySecond may shorten has
// too few ids to reach Max.
var ErrTooShort = errors.New("the text to be truncated is too short for the asked length")

// Encode encodes one text. Bytes that are not UTF-8 are read as U+FFFD each.
func (t *Tokenizer) Encode(text string, opt Options) Encoding {
	w := t.work()
	defer t.release(w)
	t.run(w, &w.first, text, -1)
	t.truncateOne(&w.first, opt)
	t.trim(&w.first, func(int) string { return text })
	return t.assemble(w, false, opt)
}

// EncodePair encodes two texts as one input. The error is ErrTooShort.
func (t *Tokenizer) EncodePair(a, b string, opt Options) (Encoding, error) {
	w := t.work()
	defer t.release(w)
	t.run(w, &w.first, a, -1)
	t.run(w, &w.second, b, -1)
	if err := t.truncateTwo(w, opt); err != nil {
		return Encoding{}, err
	}
	t.trim(&w.first, func(int) string { return a })
	t.trim(&w.second, func(int) string { return b })
	return t.assemble(w, true, opt), nil
}

// EncodeWords encodes a text that is already split: each word by itself, one after
// the other. Words of the result are indexes into words, offsets count from the
// begin of the word. A word of which nothing remains has no id.
func (t *Tokenizer) EncodeWords(words []string, opt Options) Encoding {
	w := t.work()
	defer t.release(w)
	for i, word := range words {
		t.run(w, &w.first, word, int32(i))
	}
	t.truncateOne(&w.first, opt)
	s := &w.first
	t.trim(s, func(i int) string { return words[s.words[i]] })
	return t.assemble(w, false, opt)
}

// EncodeTokens encodes the tokens of an example as EncodeWords does, with special
// tokens and at most max ids (0: no limit), and aligns them: starts has for each
// token the index in ids of its first piece, or -1 where it was cut, or where
// nothing remains of it. A token that was cut after its first piece keeps it.
//
// A byte-level vocabulary tells words at the begin of a line from others; here a
// token is encoded with the space before it if the text has one.
func (t *Tokenizer) EncodeTokens(text string, tokens []sdk.Token, max int) (ids, starts []int32) {
	e, starts := t.AlignTokens(text, tokens, max)
	return e.IDs, starts
}

// AlignTokens is EncodeTokens with all that is known of the ids: Words of the
// result are indexes into tokens, Offsets count from the begin of the token's
// stretch of the text, which Stretch gives.
func (t *Tokenizer) AlignTokens(text string, tokens []sdk.Token, max int) (e Encoding, starts []int32) {
	w := t.work()
	defer t.release(w)
	for i, token := range tokens {
		a, b := t.Stretch(text, token)
		t.run(w, &w.first, text[a:b], int32(i))
	}
	opt := Options{Max: max}
	t.truncateOne(&w.first, opt)
	e = t.assemble(w, false, opt)
	starts = make([]int32, len(tokens))
	for i := range starts {
		starts[i] = -1
	}
	for i := len(e.Words) - 1; i >= 0; i-- {
		if word := e.Words[i]; word >= 0 && e.Sequences[i] == 0 {
			starts[word] = int32(i)
		}
	}
	return e, starts
}

// Stretch is what of a text is encoded for a token, as bytes [a, b): the token,
// and where the vocabulary wants it the space before it.
func (t *Tokenizer) Stretch(text string, token sdk.Token) (a, b int) {
	a, b = clampRange(token.Start, token.End, len(text))
	if t.spec.spaceBefore && a > 0 && text[a-1] == ' ' {
		a--
	}
	return a, b
}

func clampRange(a, b, n int) (int, int) {
	a = min(max(a, 0), n)
	return a, min(max(b, a), n)
}

func (t *Tokenizer) work() *work {
	if w, ok := t.pool.Get().(*work); ok {
		return w
	}
	return &work{}
}

func (t *Tokenizer) release(w *work) {
	w.reset()
	t.pool.Put(w)
}

// run sends a text through the stages and appends its ids to s. word numbers the
// ids; -1 numbers them by the pre-tokenizer's words.
func (t *Tokenizer) run(w *work, s *sequence, text string, word int32) {
	added := t.added.Load()
	v := w.valid(text)
	w.parts = added.extract(added.plain, v, w.parts[:0])
	if t.normalizer != nil || added.normal.trie != nil {
		next := w.next[:0]
		for _, part := range w.parts {
			if part.id >= 0 {
				next = append(next, part)
				continue
			}
			if t.normalizer != nil {
				part = t.normalizer.normalize(w, part)
			}
			next = added.extract(added.normal, part, next)
		}
		w.parts, w.next = next, w.parts
	}
	for _, p := range t.pre {
		next := w.next[:0]
		for _, part := range w.parts {
			if part.id >= 0 {
				next = append(next, part)
			} else {
				next = p.split(w, part, next)
			}
		}
		w.parts, w.next = next, w.parts
	}
	for i := range w.parts {
		part := &w.parts[i]
		number := word
		if number < 0 {
			number = int32(i)
		}
		if part.id >= 0 {
			if len(t.post.trims) > 0 {
				s.surfaces = append(s.surfaces, surface{len(s.ids), part.s})
			}
			s.ids = append(s.ids, part.id)
			s.places = append(s.places, part.source(0, len(part.s)))
			s.words = append(s.words, number)
			continue
		}
		w.pieces = t.model.pieces(w, part.s, w.pieces[:0])
		for _, p := range w.pieces {
			s.ids = append(s.ids, p.id)
			s.words = append(s.words, number)
		}
		if part.al == nil && len(w.pieces) == 1 {
			s.places = append(s.places, place{part.base, part.end})
			if p := w.pieces[0]; int(p.end) != len(part.s) {
				s.places[len(s.places)-1] = part.source(int(p.start), int(p.end))
			}
			continue
		}
		for _, p := range w.pieces {
			s.places = append(s.places, part.source(int(p.start), min(int(p.end), len(part.s))))
		}
	}
}

func (t *Tokenizer) trim(s *sequence, source func(i int) string) {
	for _, p := range t.post.trims {
		p.apply(t.t, s, t.vocab, source)
	}
}

// room is what Max leaves to the texts; -1 for no limit.
func (t *Tokenizer) room(pair bool, opt Options) int {
	if opt.Max <= 0 {
		return -1
	}
	if opt.Bare {
		return opt.Max
	}
	return max(0, opt.Max-specials(t.post.items(pair)))
}

func (t *Tokenizer) truncateOne(s *sequence, opt Options) {
	if room := t.room(false, opt); room >= 0 && opt.Strategy != OnlySecond {
		s.limit(room, opt.KeepEnd)
	}
}

func (s *sequence) limit(n int, keepEnd bool) {
	if len(s.ids) <= n {
		return
	}
	if keepEnd {
		s.cut(len(s.ids)-n, len(s.ids))
	} else {
		s.cut(0, n)
	}
}

func (t *Tokenizer) truncateTwo(w *work, opt Options) error {
	room := t.room(true, opt)
	n1, n2 := len(w.first.ids), len(w.second.ids)
	over := n1 + n2 - room
	if room < 0 || over <= 0 {
		return nil
	}
	switch {
	case room == 0:
		n1, n2 = 0, 0
	case opt.Strategy == OnlyFirst:
		if n1 -= over; n1 <= 0 {
			return ErrTooShort
		}
	case opt.Strategy == OnlySecond:
		if n2 -= over; n2 <= 0 {
			return ErrTooShort
		}
	default:
		// The shorter text stays whole if that leaves the other one more.
		shorter, swapped := min(n1, n2), n1 > n2
		longer := shorter
		if shorter <= room {
			longer = max(shorter, room-shorter)
		}
		if shorter+longer > room {
			shorter = room / 2
			longer = shorter + room%2
		}
		if n1, n2 = shorter, longer; swapped {
			n1, n2 = longer, shorter
		}
	}
	w.first.limit(n1, opt.KeepEnd)
	w.second.limit(n2, opt.KeepEnd)
	return nil
}

// assemble puts the sequences into the template.
func (t *Tokenizer) assemble(w *work, pair bool, opt Options) Encoding {
	items := t.post.items(pair)
	if opt.Bare && t.post.onlySpecial {
		if items = plainSingle; pair {
			items = plainPair
		}
	}
	n := 0
	for _, item := range items {
		switch {
		case item.sequence == 0:
			n += len(w.first.ids)
		case item.sequence == 1:
			n += len(w.second.ids)
		case !opt.Bare:
			n += len(item.ids)
		}
	}
	numbers := make([]int32, 3*n)
	e := Encoding{
		IDs: numbers[:0:n], Types: numbers[n : n : 2*n], Words: numbers[2*n : 2*n : 3*n],
		Offsets: make([]Span, 0, n), Sequences: make([]int8, 0, n),
	}
	for _, item := range items {
		typeID := item.typeID
		if t.post.zeroTypes {
			typeID = 0
		}
		if item.sequence < 0 {
			if opt.Bare {
				continue
			}
			for _, id := range item.ids {
				e.IDs = append(e.IDs, id)
				e.Types = append(e.Types, typeID)
				e.Words = append(e.Words, -1)
				e.Offsets = append(e.Offsets, Span{})
				e.Sequences = append(e.Sequences, -1)
			}
			continue
		}
		s := &w.first
		if item.sequence == 1 {
			s = &w.second
		}
		e.IDs = append(e.IDs, s.ids...)
		e.Words = append(e.Words, s.words...)
		for _, p := range s.places {
			e.Types = append(e.Types, typeID)
			e.Offsets = append(e.Offsets, Span{int(p.start), int(p.end)})
			e.Sequences = append(e.Sequences, int8(item.sequence))
		}
	}
	return e
}

// VocabSize is the largest id plus one: the number of rows that an embedding
// needs.
func (t *Tokenizer) VocabSize() int {
	n := len(t.vocab)
	for _, id := range t.added.Load().ids {
		n = max(n, int(id)+1)
	}
	return n
}

// Piece is the text of an id in the vocabulary, "" for an unknown id.
func (t *Tokenizer) Piece(id int32) string {
	added := t.added.Load()
	if i, ok := added.byID[id]; ok {
		return added.tokens[i].Content
	}
	if id < 0 || int(id) >= len(t.vocab) {
		return ""
	}
	return t.vocab[id]
}

// Pieces are the texts of ids in the vocabulary.
func (t *Tokenizer) Pieces(ids []int32) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = t.Piece(id)
	}
	return out
}

// ID is the id of a piece or added token.
func (t *Tokenizer) ID(piece string) (int32, bool) {
	if id, ok := t.added.Load().byText[piece]; ok {
		return id, true
	}
	id, ok := t.ids[piece]
	return id, ok
}

// Special is the id of the token with a role: pad, unk, cls, sep, mask, bos or
// eos.
func (t *Tokenizer) Special(role string) (int32, bool) {
	content, ok := t.special[role]
	if !ok {
		return 0, false
	}
	return t.ID(content)
}

// IsSpecial tells whether id is an added token marked as special.
func (t *Tokenizer) IsSpecial(id int32) bool {
	added := t.added.Load()
	i, ok := added.byID[id]
	return ok && added.tokens[i].Special
}

// Added lists the added tokens in the order of their ids.
func (t *Tokenizer) Added() []AddedToken {
	_, tokens := t.added.Load().sorted()
	return tokens
}

// AddTokens appends tokens to the vocabulary, each with the next free id, and
// returns their ids in order. A token whose content is known already keeps its id
// and takes the new properties. The rest of the vocabulary stays as it is;
// encodings that run meanwhile see all of the new tokens or none.
func (t *Tokenizer) AddTokens(tokens ...AddedToken) ([]int32, error) {
	t.adding.Lock()
	defer t.adding.Unlock()
	old := t.added.Load()
	all := append([]AddedToken(nil), old.tokens...)
	ids := append([]int32(nil), old.ids...)
	at := make(map[string]int, len(all))
	for i, token := range all {
		at[token.Content] = i
	}
	next := int32(t.VocabSize())
	result := make([]int32, len(tokens))
	for i, token := range tokens {
		if token.Content == "" {
			return nil, fmt.Errorf("add token %d: the content is empty", i)
		}
		if k, ok := at[token.Content]; ok {
			all[k], result[i] = token, ids[k]
			continue
		}
		id, ok := t.ids[token.Content]
		if !ok {
			id = next
			next++
		}
		at[token.Content] = len(all)
		all, ids = append(all, token), append(ids, id)
		result[i] = id
	}
	t.added.Store(newAddedTokens(t.t, t.normalizer, all, ids))
	return result, nil
}

// Batch is encodings of equal length, one after the other.
type Batch struct {
	Rows, Width int
	IDs         []int32 // Rows x Width
	Types       []int32
	Mask        []int32 // 1 for ids, 0 for padding
}

// PadTo says how Pad fills up.
type PadTo struct {
	Width    int  // 0: the longest encoding's
	Multiple int  // the width is rounded up to a multiple; 0: as it is
	Left     bool // padding stands before the ids
	Type     int32
}

// Pad fills encodings up with the pad token (0 if there is none). Encodings longer
// than to.Width widen the batch.
func (t *Tokenizer) Pad(encodings []Encoding, to PadTo) Batch {
	pad, _ := t.Special("pad")
	width := to.Width
	for i := range encodings {
		width = max(width, encodings[i].Len())
	}
	if m := to.Multiple; m > 0 && width%m != 0 {
		width += m - width%m
	}
	n := len(encodings) * width
	b := Batch{Rows: len(encodings), Width: width, IDs: make([]int32, n), Types: make([]int32, n), Mask: make([]int32, n)}
	for r := range encodings {
		e := &encodings[r]
		row, from := r*width, r*width
		if to.Left {
			from += width - e.Len()
		}
		for i := row; i < row+width; i++ {
			b.IDs[i], b.Types[i] = pad, to.Type
		}
		copy(b.IDs[from:], e.IDs)
		copy(b.Types[from:], e.Types)
		for i := range e.Len() {
			b.Mask[from+i] = 1
		}
	}
	return b
}
