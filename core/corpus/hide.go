package corpus

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// A language model that trains beside other heads learns the texts of the examples.
// A causal one reads every example as it is and learns its next pieces. A masked one
// gets rows of its own: a text with hidden words is not what the other heads are to
// label. An epoch then holds the examples, and each once more with words hidden, under
// masks that are drawn anew.

// languageTarget is what a language model learns of a row whose ids stand at pieces;
// ids behind them are an answer's. Facts put before the text are not learned.
//
// For a masked one the target is not there yet (Has is false): its Tokens are the ids
// with the marks of packed rows, from which Hide draws the masks.
func (e *Encoder) languageTarget(kind string, ex *sdk.Example, row *recipe.Encoded, pieces []piece) recipe.Target {
	tokens := make([]int32, len(row.IDs))
	if kind == sdk.KindCLM {
		for i := range tokens {
			tokens[i] = -1
			if next := i + 1; next < len(tokens) && (next >= len(pieces) || pieces[next].text >= 0) {
				tokens[i] = row.IDs[next]
			}
		}
		return recipe.Target{Has: len(tokens) > 1, Tokens: tokens}
	}
	for i, id := range row.IDs {
		mark := uint32(id)
		if i >= len(pieces) || pieces[i].text < 0 || e.Tokenizer.IsSpecial(id) {
			mark |= specialBit | wordStart
		} else if pieces[i].first {
			mark |= wordStart
		}
		tokens[i] = int32(mark)
	}
	if e.Entities != nil {
		mentions, _ := place(e.Entities, ex, pieces)
		for _, m := range mentions {
			mark := uint32(entityStart)
			for i := m.From; i < m.To; i++ {
				tokens[i] = int32(uint32(tokens[i]) | mark)
				mark = entityInside
			}
		}
	}
	return recipe.Target{Tokens: tokens}
}

// Hide draws the masks of a masked language model that trains beside other heads.
type Hide struct {
	Head    int // of the job
	Masking *Masking
	taught  bool // a teacher speaks to examples without a label, too
}

// NewHide finds the masked language model of a run and how words are hidden for it:
// by the keys of pre-training. Nil where there is none. The tokenizer must have a
// mask token.
func NewHide(heads []sdk.HeadSpec, plan *recipe.Plan, t *token.Tokenizer) *Hide {
	at := slices.IndexFunc(heads, func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindMLM })
	mask, ok := t.Special("mask")
	if at < 0 || !ok {
		return nil
	}
	taught := plan.Objective == recipe.ObjectiveDistill || plan.Objective == recipe.ObjectiveContinue
	return &Hide{at, &Masking{Plan: plan.Pretrain, Seed: plan.Seed, Mask: mask, Pieces: t.VocabSize(), Keep: t.IsSpecial}, taught}
}

// row is row i with words hidden.
func (h *Hide) row(s *Shard, i, epoch int) *recipe.Encoded {
	from := s.At(i)
	marks := s.marks(h.Head, i)
	units := make([]uint32, len(marks))
	for k, m := range marks {
		units[k] = uint32(m)
	}
	e := h.Masking.example(from.ID, units, epoch)
	targets := make([]recipe.Target, len(from.Targets))
	targets[h.Head] = e.Targets[0]
	e.Types, e.Targets = from.Types, targets
	return e
}

// hidden lists the rows of a shard that have words to hide.
func (h *Hide) hidden(s *Shard) (rows []int) {
	for i := range s.Len() {
		if slices.ContainsFunc(s.marks(h.Head, i), func(m int32) bool { return uint32(m)&specialBit == 0 }) {
			rows = append(rows, i)
		}
	}
	return rows
}

// Hide adds to each epoch the examples once more with words hidden. Examples that no
// other head has a label for then come with hidden words only, but where a teacher
// has something to say of them as they are. With data.sampling the texts with hidden
// words are a task of their own.
func (l *Loader) Hide(h *Hide) {
	l.hide = h
	l.arrange()
}

// hiddenSource is a source and behind its rows at most HeldOutRows of them with words
// hidden: those of the lowest keys, under masks that never change.
type hiddenSource struct {
	*Source
	hide *Hide
	rows []int
}

// Hidden adds rows with hidden words behind those of valid or test.
func (h *Hide) Hidden(s *Shard) recipe.Source {
	rows := h.hidden(s)
	if len(rows) > HeldOutRows {
		slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(Key(s.At(a).ID), Key(s.At(b).ID)) })
		rows = rows[:HeldOutRows]
		slices.Sort(rows)
	}
	return &hiddenSource{NewSource(s), h, rows}
}

// Len is the number of rows.
func (s *hiddenSource) Len() int { return s.shard.Len() + len(s.rows) }

// At returns row i, in the order of the data; those with hidden words follow.
func (s *hiddenSource) At(i int) *recipe.Encoded {
	if n := s.shard.Len(); i >= n {
		return s.hide.row(s.shard, s.rows[i-n], heldEpoch)
	}
	return s.shard.At(i)
}

// Batches yields every row once, the shortest first, in batches of at most size.
func (s *hiddenSource) Batches(ctx context.Context, size int) iter.Seq2[*recipe.Batch, error] {
	width := func(i int) int {
		if n := s.shard.Len(); i >= n {
			i = s.rows[i-n]
		}
		return s.shard.Width(i)
	}
	return batches(ctx, s.Len(), size, width, func(rows []int) (*recipe.Batch, error) {
		b := &recipe.Batch{Index: slices.Clone(rows)}
		for _, i := range rows {
			b.Rows = append(b.Rows, s.At(i))
		}
		fit(b)
		return b, nil
	})
}
