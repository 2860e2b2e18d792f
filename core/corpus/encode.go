package corpus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// Encoder turns examples into what a model sees. It is safe for use by many
// goroutines.
type Encoder struct {
	Tokenizer *token.Tokenizer
	MaxLength int            // word pieces, special tokens included; 0 = no limit
	Heads     []sdk.HeadSpec // one target each, in this order
	Knowledge *Knowledge     // what is injected; nil = nothing
	Entities  recipe.Linker  // whose mentions a masked language model hides as wholes; nil = none

	outputs []map[string]int32 // label -> output, per head
	once    sync.Once
}

func (e *Encoder) prepare() {
	e.once.Do(func() {
		e.outputs = make([]map[string]int32, len(e.Heads))
		for i, h := range e.Heads {
			e.outputs[i] = map[string]int32{}
			for k, name := range recipe.Outputs(h) {
				e.outputs[i][name] = int32(k)
			}
		}
	})
}

// Key is the number that stands for an example in everything random: the first
// eight bytes of the sha256 of its ID.
func Key(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.LittleEndian.Uint64(sum[:8])
}

// Encode encodes one example. Tokens, where there are any, are encoded one by
// one and aligned: the first piece carries the tag, tokens beyond the length
// limit have no piece but keep their tag. Without tokens the text is encoded as
// it runs, with TextB as the second text of a pair. With a head of kind
// generate.v0 its separator and the answer, if there is one, follow.
func (e *Encoder) Encode(ex *sdk.Example) (*recipe.Encoded, error) {
	e.prepare()
	row := &recipe.Encoded{ID: ex.ID, Key: Key(ex.ID)}
	var enc token.Encoding
	var pieces []piece
	head, pair := e.pair(ex)
	gap := slices.IndexFunc(e.Heads, func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindPattern })
	var marks [2]int32
	write, err := e.writing(ex)
	if err != nil {
		return nil, err
	}
	limit := write.room(e.MaxLength)
	options := token.Options{Max: limit, KeepEnd: write != nil} // what stands next to the answer stays
	switch {
	case pair != nil:
		var made recipe.Encoded
		made, pieces, marks = mark(e.Tokenizer, ex, pair, e.MaxLength)
		row.IDs, row.Types = made.IDs, made.Types
	case gap >= 0:
		var made recipe.Encoded
		if made, marks[0], err = fillIn(e.Tokenizer, e.Heads[gap], ex, e.MaxLength); err != nil {
			return nil, err
		}
		row.IDs = made.IDs
	case asks(e.Heads, ex):
		if enc, err = e.Tokenizer.EncodePair(ex.TextB, ex.Text, token.Options{Max: e.MaxLength}); err != nil {
			return nil, fmt.Errorf("encode %s: %w", ex.ID, err)
		}
		row.IDs, row.Types, row.Passage = enc.IDs, enc.Types, passage(ex, &enc)
		pieces = piecesOf(e.Tokenizer, &sdk.Example{Text: ex.Text}, &enc)
		for i := range pieces {
			if pieces[i].text >= 0 {
				pieces[i].text = 1 - pieces[i].text // the passage is the example's first text
			}
		}
	case ex.Tokens != nil:
		enc, row.Starts = e.Tokenizer.AlignTokens(ex.Text, ex.Tokens, limit)
	case ex.TextB != "" && e.apart(ex):
		enc = e.Tokenizer.Encode(ex.Text, options)
		row.Second = e.Tokenizer.Encode(ex.TextB, options).IDs
	case ex.TextB != "":
		if enc, err = e.Tokenizer.EncodePair(ex.Text, ex.TextB, options); err != nil {
			return nil, fmt.Errorf("encode %s: %w", ex.ID, err)
		}
	default:
		enc = e.Tokenizer.Encode(ex.Text, options)
	}
	if write != nil {
		open(&enc)
	}
	if pair == nil && gap < 0 {
		row.IDs, row.Types = enc.IDs, enc.Types
	}
	if !slices.ContainsFunc(row.Types, func(t int32) bool { return t != 0 }) {
		row.Types = nil
	}
	if pieces == nil && gap < 0 && (e.Knowledge != nil || slices.ContainsFunc(e.Heads, sdk.HeadSpec.LanguageModel)) {
		pieces = piecesOf(e.Tokenizer, ex, &enc)
	}
	if e.Knowledge != nil && gap < 0 {
		room := math.MaxInt32
		if e.MaxLength > 0 {
			room = e.MaxLength - len(row.IDs) - write.length()
		}
		pieces = e.Knowledge.before(e.Tokenizer, ex, row, &marks, pieces, room)
	}
	row.Targets = make([]recipe.Target, len(e.Heads))
	for i, h := range e.Heads {
		if l, ok := ex.Labels[h.Name]; ok {
			row.Targets[i] = target(h, e.outputs[i], l)
			switch {
			case i == head:
				row.Targets[i].Marks = marks
			case h.Kind == sdk.KindQA:
				row.Targets[i] = answerTarget(row.Passage, l)
			case h.Kind == sdk.KindSpan:
				row.Targets[i] = spanTarget(ex, e.outputs[i], l)
			}
			if h.Kind == sdk.KindRank {
				row.Targets[i].Group = Key(ex.Text)
			}
		}
	}
	if write != nil {
		write.behind(row, e.MaxLength)
	}
	if gap >= 0 {
		row.Targets[gap].Marks = marks
	} else {
		for i, h := range e.Heads {
			if h.LanguageModel() {
				row.Targets[i] = e.languageTarget(h.Kind, ex, row, pieces)
			}
		}
	}
	if e.Knowledge != nil && gap < 0 {
		limit := e.MaxLength
		if limit == 0 {
			limit = math.MaxInt32
		}
		e.Knowledge.inject(e.Tokenizer, ex, row, pieces, limit)
	}
	return row, nil
}

// pair finds the head of relations that an example marks two mentions for, and the
// mentions; -1 and nil where there is none.
func (e *Encoder) pair(ex *sdk.Example) (head int, spans []sdk.Span) {
	for i, h := range e.Heads {
		if l, ok := ex.Labels[h.Name]; ok && h.Kind == sdk.KindRelation && isPair(l.Spans) {
			return i, l.Spans
		}
	}
	return -1, nil
}

// answerTarget points to the first answer that the row holds whole.
func answerTarget(p *recipe.Passage, l sdk.Label) recipe.Target {
	if p == nil || l.Values == nil {
		return recipe.Target{}
	}
	p.Answers = l.Values
	t := recipe.Target{Has: true}
	for _, s := range l.Spans {
		if at, ok := find(p, s.Start, s.End); ok {
			t.Spans = []recipe.Stretch{at}
			break
		}
	}
	return t
}

// spanTarget turns spans into words; equal ones count once.
func spanTarget(ex *sdk.Example, outputs map[string]int32, l sdk.Label) recipe.Target {
	if l.Spans == nil {
		return recipe.Target{}
	}
	t := recipe.Target{Has: true}
	for _, s := range l.Spans {
		from, to, _ := wordsIn(ex.Tokens, s)
		if k, ok := outputs[s.Label]; ok && from <= to {
			if one := (recipe.Stretch{From: int32(from), To: int32(to), Class: k}); !slices.Contains(t.Spans, one) {
				t.Spans = append(t.Spans, one)
			}
		}
	}
	return t
}

// apart reports whether the texts of a pair are encoded one by one: a head gives
// each a vector of its own, and no label of the example belongs to one that reads
// both at once.
func (e *Encoder) apart(ex *sdk.Example) bool {
	together := func(h sdk.HeadSpec) bool { _, ok := ex.Labels[h.Name]; return ok && !h.Apart() }
	return slices.ContainsFunc(e.Heads, sdk.HeadSpec.Apart) && !slices.ContainsFunc(e.Heads, together)
}

// target turns a label into numbers. Labels that the head does not have leave
// the example without a target; tags it does not have become -1.
func target(h sdk.HeadSpec, outputs map[string]int32, l sdk.Label) recipe.Target {
	switch h.Kind {
	case sdk.KindTag:
		if l.Tags == nil {
			return recipe.Target{}
		}
		tags := make([]int32, len(l.Tags))
		for i, tag := range l.Tags {
			k, ok := outputs[tag]
			if !ok {
				k = -1
			}
			tags[i] = k
		}
		return recipe.Target{Has: true, Tags: tags}
	case sdk.KindMultilabel:
		if l.Values == nil {
			return recipe.Target{}
		}
		classes := make([]bool, len(h.Labels))
		for _, v := range l.Values {
			if k, ok := outputs[v]; ok {
				classes[k] = true
			}
		}
		return recipe.Target{Has: true, Classes: classes}
	case sdk.KindGenerate:
		return recipe.Target{} // behind the text
	case sdk.KindRegress, sdk.KindRank, sdk.KindEmbed:
		if l.Number == nil {
			return recipe.Target{}
		}
		return recipe.Target{Has: true, Value: float32(*l.Number)}
	}
	if len(l.Values) != 1 {
		return recipe.Target{}
	}
	k, ok := outputs[l.Values[0]]
	return recipe.Target{Has: ok, Class: k}
}

// EncodeAll encodes examples on several goroutines; the result has their order
// and does not depend on how many there are. workers 0 means one per CPU.
func (e *Encoder) EncodeAll(ctx context.Context, examples []sdk.Example, workers int) ([]*recipe.Encoded, error) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	const chunk = 64
	rows := make([]*recipe.Encoded, len(examples))
	errs := make([]error, workers)
	next := make(chan int)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for from := range next {
				for i := from; i < min(from+chunk, len(examples)); i++ {
					row, err := e.Encode(&examples[i])
					if err != nil && errs[w] == nil {
						errs[w] = err
					}
					rows[i] = row
				}
			}
		})
	}
	for from := 0; from < len(examples) && ctx.Err() == nil; from += chunk {
		next <- from
	}
	close(next)
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// GiveTokens gives the examples that have none their words, as tag heads need
// them for prediction.
func GiveTokens(examples []sdk.Example) {
	for i := range examples {
		if examples[i].Tokens == nil {
			examples[i].Tokens = Words(examples[i].Text)
		}
	}
}

// writeExample adds everything that counts of an example to a digest.
func writeExample(h hash.Hash, ex *sdk.Example) {
	var b bytes.Buffer
	text := func(s string) {
		b.Write(binary.AppendUvarint(nil, uint64(len(s))))
		b.WriteString(s)
	}
	number := func(n int) { b.Write(binary.AppendVarint(nil, int64(n))) }
	text(ex.ID)
	text(ex.Text)
	text(ex.TextB)
	number(len(ex.Tokens))
	for _, t := range ex.Tokens {
		number(t.Start)
		number(t.End)
	}
	number(len(ex.Labels))
	for _, head := range sortedKeys(ex.Labels) {
		l := ex.Labels[head]
		text(head)
		number(len(l.Values))
		for _, v := range l.Values {
			text(v)
		}
		if l.Number != nil {
			text(numberText(*l.Number))
		}
		number(len(l.Tags))
		for _, t := range l.Tags {
			text(t)
		}
		number(len(l.Spans))
		for _, s := range l.Spans {
			number(s.Start)
			number(s.End)
			text(s.Label)
		}
	}
	h.Write(b.Bytes())
}
