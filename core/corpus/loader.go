package corpus

import (
	"cmp"
	"context"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/islm-dev/islm/core/recipe"
)

// bucket is how many batches are sorted by length together: enough for little
// padding, few enough that an epoch stays random.
const bucket = 50

// Loader gives the training batches of a shard.
//
// In an epoch the rows are shuffled; in stretches of 50 batches they are sorted
// by length and cut into batches, which are shuffled in turn. With padding max
// the rows stay in their shuffled order and every batch has the full width. No
// row is left out; the last batch may be short.
//
// With data.sampling the rows of small tasks come more often, those of large ones
// less; see mixture.
//
// With rules (Vary) each epoch shows other variants of the examples; see Varied.
// With a masked language model (Hide) it shows each text once more with words hidden.
//
// Row numbers count the examples first, then the first variants of all, and so on,
// and at the end the texts with hidden words.
type Loader struct {
	shard   *Shard
	varied  *Varied // nil: the shard's rows as they are
	hide    *Hide   // nil: no words are hidden
	rows    []int   // of an epoch, in order; nil = all
	plan    *recipe.DataPlan
	mix     *mixture // nil: every row once
	seed    uint64
	size    int
	width   int // padded width, 0 = the longest row's
	shuffle bool
}

// NewLoader makes the loader that a plan asks for. maxLength is the width of
// batches with padding max.
func NewLoader(shard *Shard, plan *recipe.Plan, maxLength int) *Loader {
	l := &Loader{shard: shard, plan: &plan.Data, seed: plan.Seed, size: max(1, plan.Train.BatchSize), shuffle: plan.Train.Shuffle}
	l.arrange()
	if plan.Data.Padding == "max" {
		l.width = maxLength
	}
	return l
}

// arrange settles the rows of an epoch and the tasks that they belong to.
func (l *Loader) arrange() {
	l.rows = nil
	if l.hide != nil {
		for row := range l.shown() {
			if l.hide.taught || l.shard.labelled(row%l.shard.Len()) {
				l.rows = append(l.rows, row)
			}
		}
		for _, i := range l.hide.hidden(l.shard) {
			l.rows = append(l.rows, l.shown()+i)
		}
	}
	l.mix = newMixture(l.all(), l.task, l.plan)
}

// shown is the number of examples and of the variants that are added to them.
func (l *Loader) shown() int {
	if l.varied == nil {
		return l.shard.Len()
	}
	return l.shard.Len() * (1 + l.varied.Mode.Add)
}

// all lists the rows of an epoch, each once.
func (l *Loader) all() []int {
	if l.rows != nil {
		return slices.Clone(l.rows)
	}
	rows := make([]int, l.Len())
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// task names the heads that a row has labels for.
func (l *Loader) task(row int) string {
	if row >= l.shown() {
		return "hidden"
	}
	key := make([]byte, len(l.shard.targets))
	for k := range key {
		key[k] = byte(l.shard.targets[k].has[row%l.shard.Len()])
	}
	return string(key)
}

// Len is the number of rows in an epoch: the examples, the variants that are added
// to them, and the texts with hidden words.
func (l *Loader) Len() int {
	if l.rows != nil {
		return len(l.rows)
	}
	return l.shown()
}

// Steps is the number of batches in an epoch.
func (l *Loader) Steps(int) int { return (l.Len() + l.size - 1) / l.size }

// widthOf is the width of a row, of a variant that of its example.
func (l *Loader) widthOf(row int) int { return l.shard.Width(row % l.shard.Len()) }

// order returns the batches of an epoch as row numbers.
func (l *Loader) order(epoch int) [][]int {
	n, rows := l.Len(), l.all()
	if l.mix != nil {
		rows = l.mix.rows(l.seed, epoch, l.shuffle)
	}
	// One generator per epoch: the order depends on seed and epoch alone.
	rng := rand.New(rand.NewPCG(l.seed, 0x6c6f61646572<<16|uint64(uint32(epoch)))) // "loader"
	if l.shuffle {
		rng.Shuffle(n, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	}
	sorted := l.shuffle && l.width == 0
	if sorted {
		for from := 0; from < n; from += bucket * l.size {
			part := rows[from:min(from+bucket*l.size, n)]
			slices.SortStableFunc(part, func(a, b int) int { return cmp.Compare(l.widthOf(a), l.widthOf(b)) })
		}
	}
	batches := make([][]int, 0, l.Steps(epoch))
	for from := 0; from < n; from += l.size {
		batches = append(batches, rows[from:min(from+l.size, n)])
	}
	if sorted {
		rng.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	}
	return batches
}

// Epoch yields the batches of an epoch (from 0), beginning with batch from. A
// goroutine keeps a few batches ready; it ends with the iteration.
func (l *Loader) Epoch(ctx context.Context, epoch, from int) iter.Seq2[*recipe.Batch, error] {
	return func(yield func(*recipe.Batch, error) bool) {
		batches := l.order(epoch)
		if from > len(batches) {
			return
		}
		stream(ctx, batches[max(from, 0):], yield, func(rows []int) (*recipe.Batch, error) {
			if l.varied == nil && l.hide == nil {
				return l.shard.batch(rows, l.width), nil
			}
			return l.made(rows, epoch)
		})
	}
}

// stream makes batches ahead of their use.
func stream(ctx context.Context, batches [][]int, yield func(*recipe.Batch, error) bool, batch func(rows []int) (*recipe.Batch, error)) {
	type made struct {
		batch *recipe.Batch
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	ready := make(chan made, 4)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(ready)
		for _, rows := range batches {
			b, err := batch(rows)
			select {
			case ready <- made{b, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		cancel()
		<-done
	}()
	for range batches {
		if err := ctx.Err(); err != nil {
			yield(nil, err)
			return
		}
		m, ok := <-ready
		if !ok {
			m.err = ctx.Err()
		}
		if !yield(m.batch, m.err) || m.err != nil {
			return
		}
	}
}

// batch puts rows together. width 0 means that of the longest.
func (s *Shard) batch(rows []int, width int) *recipe.Batch {
	b := &recipe.Batch{Rows: make([]*recipe.Encoded, len(rows)), Index: slices.Clone(rows), Width: width}
	for i, r := range rows {
		b.Rows[i] = s.At(r)
		b.Tokens += b.Rows[i].Width()
		b.Width = max(b.Width, b.Rows[i].Width())
	}
	return b
}

// Source gives the rows of a shard sorted by length.
type Source struct{ shard *Shard }

// NewSource makes a source of a shard.
func NewSource(shard *Shard) *Source { return &Source{shard} }

// Len is the number of rows.
func (s *Source) Len() int { return s.shard.Len() }

// At returns row i, in the order of the data.
func (s *Source) At(i int) *recipe.Encoded { return s.shard.At(i) }

// Batches yields every row once, the shortest first, in batches of at most size.
func (s *Source) Batches(ctx context.Context, size int) iter.Seq2[*recipe.Batch, error] {
	return batches(ctx, s.shard.Len(), size, s.shard.Width, func(rows []int) (*recipe.Batch, error) { return s.shard.batch(rows, 0), nil })
}

// batches yields n rows, the shortest first, in batches of at most size.
func batches(ctx context.Context, n, size int, width func(row int) int, batch func(rows []int) (*recipe.Batch, error)) iter.Seq2[*recipe.Batch, error] {
	return func(yield func(*recipe.Batch, error) bool) {
		rows := make([]int, n)
		for i := range rows {
			rows[i] = i
		}
		slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(width(a), width(b)) })
		stream(ctx, slices.Collect(slices.Chunk(rows, max(1, size))), yield, batch)
	}
}

var (
	_ recipe.Loader = (*Loader)(nil)
	_ recipe.Source = (*Source)(nil)
)
