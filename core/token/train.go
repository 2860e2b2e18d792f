package token

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Training is how a vocabulary is made. The zero value of a field means its
// default.
type Training struct {
	// Size is the number of pieces, special tokens and single characters
	// included; default 30,000. Fewer come out of little text.
	Size int
	// MinCount is how often two neighbours must be seen to be joined; default 2.
	MinCount int
	// Alphabet is how many different characters are kept, the most frequent
	// ones; default: all. Byte-level vocabularies always keep all 256 bytes.
	Alphabet int
	// MaxLength is the length of the longest piece in characters (bytes for
	// byte-level vocabularies); default: no limit.
	MaxLength int
	// Special are the special tokens, with the first ids; default: [PAD] [UNK]
	// [CLS] [SEP] [MASK] for WordPiece, <s> <pad> </s> <unk> <mask> for BPE. They
	// must include those of the default that the encoding needs.
	Special []string
	// Lower: WordPiece text is lower-cased and accents are stripped.
	Lower bool
}

// TrainWordPiece makes a BERT tokenizer of a text given in parts. The same texts
// in whatever order give the same vocabulary.
func TrainWordPiece(ctx context.Context, texts iter.Seq2[string, error], how Training) (*Tokenizer, error) {
	how = how.defaults("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
	for _, need := range []string{"[UNK]", "[CLS]", "[SEP]"} {
		if !slices.Contains(how.Special, need) {
			return nil, fmt.Errorf("train vocabulary: the special tokens lack %s", need)
		}
	}
	t := loadTables()
	lower := &bertNormalizer{t: t, clean: true, chinese: true, accents: how.Lower, lower: how.Lower}
	counts, err := countWords(ctx, texts, lower, []preTokenizer{&bertPreTokenizer{t}})
	if err != nil {
		return nil, err
	}
	tr := &trainer{how: how, prefix: "##"}
	if err := tr.train(ctx, counts); err != nil {
		return nil, err
	}
	return tr.build(map[string]any{
		"normalizer": map[string]any{
			"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": nil, "lowercase": how.Lower,
		},
		"pre_tokenizer":  map[string]any{"type": "BertPreTokenizer"},
		"post_processor": bertTemplate("[CLS]", "[SEP]", int(tr.ids["[CLS]"]), int(tr.ids["[SEP]"])),
		"decoder":        map[string]any{"type": "WordPiece", "prefix": "##", "cleanup": true},
	}, map[string]any{
		"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
	})
}

// TrainBPE makes a byte-level BPE tokenizer as RoBERTa's of a text given in parts.
// The same texts in whatever order give the same vocabulary.
func TrainBPE(ctx context.Context, texts iter.Seq2[string, error], how Training) (*Tokenizer, error) {
	how = how.defaults("<s>", "<pad>", "</s>", "<unk>", "<mask>")
	for _, need := range []string{"<s>", "</s>"} {
		if !slices.Contains(how.Special, need) {
			return nil, fmt.Errorf("train vocabulary: the special tokens lack %s", need)
		}
	}
	counts, err := countWords(ctx, texts, nil, []preTokenizer{&byteLevel{t: loadTables(), regex: true}})
	if err != nil {
		return nil, err
	}
	tr := &trainer{how: how}
	for b := range 256 {
		tr.initial = append(tr.initial, byteToRune(byte(b)))
	}
	if err := tr.train(ctx, counts); err != nil {
		return nil, err
	}
	byteLevel := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	merges := make([][2]string, len(tr.merges))
	for i, m := range tr.merges {
		merges[i] = [2]string{tr.pieces[m.a], tr.pieces[m.b]}
	}
	return tr.build(map[string]any{
		"pre_tokenizer": byteLevel, "decoder": byteLevel,
		"post_processor": map[string]any{
			"type": "RobertaProcessing", "sep": []any{"</s>", tr.ids["</s>"]}, "cls": []any{"<s>", tr.ids["<s>"]},
			"trim_offsets": true, "add_prefix_space": false,
		},
	}, map[string]any{
		"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
		"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "merges": merges,
	})
}

func (how Training) defaults(special ...string) Training {
	how.Size = cmp.Or(how.Size, 30000)
	how.MinCount = cmp.Or(how.MinCount, 2)
	how.Alphabet = cmp.Or(how.Alphabet, math.MaxInt)
	how.MaxLength = cmp.Or(how.MaxLength, math.MaxInt)
	if how.Special == nil {
		how.Special = special
	}
	return how
}

// countWords splits texts into words and counts them.
func countWords(ctx context.Context, texts iter.Seq2[string, error], n normalizer, pre []preTokenizer) (map[string]int, error) {
	index := map[string]int{} // assignment would replace the keys by strings in w's memory
	var words []string
	var numbers []int
	w := &work{}
	for text, err := range texts {
		if err != nil {
			return nil, fmt.Errorf("train vocabulary: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("train vocabulary: %w", err)
		}
		v := w.valid(text)
		if n != nil {
			v = n.normalize(w, v)
		}
		w.parts = append(w.parts[:0], v)
		for _, p := range pre {
			next := w.next[:0]
			for _, part := range w.parts {
				next = p.split(w, part, next)
			}
			w.parts, w.next = next, w.parts
		}
		for _, part := range w.parts {
			if i, ok := index[part.s]; ok {
				numbers[i]++
				continue
			}
			word := strings.Clone(part.s)
			index[word] = len(words)
			words, numbers = append(words, word), append(numbers, 1)
		}
		w.reset()
	}
	for i, word := range words {
		index[word] = numbers[i]
	}
	return index, nil
}

// trainer learns merges: of all neighbours the most frequent ones are joined, again
// and again; of equally frequent ones those with the lower ids.
type trainer struct {
	how     Training
	prefix  string // of pieces inside a word
	initial []rune // characters kept in any case

	pieces []string
	ids    map[string]int32
	merges []mergePair
}

type mergePair struct{ a, b int32 }

// trainWord is a word with its count, as pieces with their lengths.
type trainWord struct {
	pieces []trainPiece
	count  int64
}

type trainPiece struct {
	id  int32
	len int32
}

// waiting is a pair in the queue with the words it may be found in.
type waiting struct {
	count int64
	pair  uint64
	words []int32
}

func (a *waiting) before(b *waiting) bool {
	return a.count > b.count || a.count == b.count && a.pair < b.pair
}

func (t *trainer) id(piece string) int32 {
	if id, ok := t.ids[piece]; ok {
		return id
	}
	id := int32(len(t.pieces))
	t.pieces = append(t.pieces, piece)
	t.ids[piece] = id
	return id
}

func (t *trainer) train(ctx context.Context, counts map[string]int) error {
	t.ids = map[string]int32{}
	for _, special := range t.how.Special {
		if special == "" {
			return errors.New("train vocabulary: a special token is empty")
		}
		t.id(special)
	}
	for _, r := range t.alphabet(counts) {
		t.id(string(r))
	}
	words := t.split(counts)
	totals := map[uint64]int64{}
	where := map[uint64][]int32{}
	for i, w := range words {
		for k := 1; k < len(w.pieces); k++ {
			pair := pairKey(w.pieces[k-1].id, w.pieces[k].id)
			totals[pair] += w.count
			if at := where[pair]; len(at) == 0 || at[len(at)-1] != int32(i) {
				where[pair] = append(at, int32(i))
			}
		}
	}
	var queue pairQueue
	for pair, at := range where {
		if totals[pair] > 0 {
			queue.push(waiting{totals[pair], pair, at})
		}
	}
	for step := 0; len(t.pieces) < t.how.Size && len(queue) > 0; step++ {
		if step%256 == 0 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("train vocabulary: %w", err)
			}
		}
		top := queue.pop()
		if total := totals[top.pair]; total != top.count {
			top.count = total
			queue.push(top)
			continue
		}
		if top.count < 1 || top.count < int64(t.how.MinCount) {
			break
		}
		a, b := int32(top.pair>>32), int32(uint32(top.pair))
		joined := t.id(t.pieces[a] + strings.TrimPrefix(t.pieces[b], t.prefix))
		t.merges = append(t.merges, mergePair{a, b})
		clear(where)
		for _, i := range top.words {
			w := &words[i]
			w.join(a, b, joined, t.how.MaxLength, func(pair uint64, change int64) {
				totals[pair] += change * w.count
				if change > 0 {
					if at := where[pair]; len(at) == 0 || at[len(at)-1] != i {
						where[pair] = append(at, i)
					}
				}
			})
		}
		for pair, at := range where {
			if totals[pair] > 0 {
				queue.push(waiting{totals[pair], pair, at})
			}
		}
	}
	return nil
}

// join replaces a and b where they are neighbours, and tells how the numbers of
// the pairs around them change.
func (w *trainWord) join(a, b, joined int32, maxLength int, changed func(pair uint64, change int64)) {
	p := w.pieces
	for i := 0; i+1 < len(p); i++ {
		if p[i].id != a || p[i+1].id != b {
			continue
		}
		one := trainPiece{joined, p[i].len + p[i+1].len}
		if i > 0 {
			changed(pairKey(p[i-1].id, a), -1)
			if int(p[i-1].len+one.len) < maxLength {
				changed(pairKey(p[i-1].id, joined), 1)
			}
		}
		p[i] = one
		p = slices.Delete(p, i+1, i+2)
		if i+1 < len(p) {
			changed(pairKey(b, p[i+1].id), -1)
			if int(p[i+1].len+one.len) < maxLength {
				changed(pairKey(joined, p[i+1].id), 1)
			}
		}
	}
	w.pieces = p
}

// alphabet gives the characters to keep, in order.
func (t *trainer) alphabet(counts map[string]int) []rune {
	seen := map[rune]int{}
	for word, n := range counts {
		for _, r := range word {
			seen[r] += n
		}
	}
	for _, r := range t.initial {
		seen[r] = math.MaxInt
	}
	kept := slices.Collect(maps.Keys(seen))
	slices.SortFunc(kept, func(a, b rune) int { return cmp.Or(cmp.Compare(seen[b], seen[a]), cmp.Compare(a, b)) })
	kept = kept[:min(len(kept), t.how.Alphabet)]
	slices.Sort(kept)
	return kept
}

// split gives the words as single characters, in the order of the words; characters
// outside of the alphabet are left out.
func (t *trainer) split(counts map[string]int) []trainWord {
	words := make([]trainWord, 0, len(counts))
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		w := trainWord{count: int64(counts[word]), pieces: make([]trainPiece, 0, utf8.RuneCountInString(word))}
		for i, r := range word {
			s := string(r)
			if _, ok := t.ids[s]; !ok {
				continue
			}
			if i > 0 {
				s = t.prefix + s
			}
			w.pieces = append(w.pieces, trainPiece{t.id(s), 1})
		}
		words = append(words, w)
	}
	return words
}

// build makes the tokenizer by way of its file.
func (t *trainer) build(parts, model map[string]any) (*Tokenizer, error) {
	added := make([]map[string]any, len(t.how.Special))
	for i, content := range t.how.Special {
		added[i] = map[string]any{
			"id": t.ids[content], "content": content, "single_word": false, "lstrip": content == "<mask>", "rstrip": false,
			"normalized": false, "special": true,
		}
	}
	model["vocab"] = t.ids
	parts["version"], parts["added_tokens"], parts["model"] = "1.0", added, model
	text, err := json.Marshal(parts)
	if err != nil {
		return nil, fmt.Errorf("train vocabulary: %w", err)
	}
	return FromJSON(text)
}

// pairQueue is a heap of pairs, the next one first.
type pairQueue []waiting

func (q *pairQueue) push(w waiting) {
	h := append(*q, w)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !w.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = w
	*q = h
}

func (q *pairQueue) pop() waiting {
	h := *q
	top, last := h[0], h[len(h)-1]
	h[len(h)-1] = waiting{}
	h = h[:len(h)-1]
	*q = h
	i := 0
	for {
		down := 2*i + 1
		if down >= len(h) {
			break
		}
		if down+1 < len(h) && h[down+1].before(&h[down]) {
			down++
		}
		if !h[down].before(&last) {
			break
		}
		h[i] = h[down]
		i = down
	}
	if len(h) > 0 {
		h[i] = last
	}
	return top
}
