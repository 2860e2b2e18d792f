package corpus

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Varied makes the rows of training batches from rules, anew in each epoch. In
// mode replace each example is shown as one of its variants, or as it is where no
// rule fires; in mode add: K it is shown, and K variants beside it, so that an
// epoch has 1+K times as many rows.
//
// What an epoch shows depends on the engine's seed, the epoch, the example's ID
// and the rules alone: neither workers nor a resume change it.
type Varied struct {
	Examples []sdk.Example // those of the shard, in its order
	Encoder  *Encoder
	Engine   *augment.Engine
	Mode     augment.Mode
	// Code are engines of one rule of kind code.v0 each, which answer with what
	// was made before training. Of those that fire one is drawn, and what it gives
	// is varied by Engine, with the draws of the example that it stands for.
	Code []*augment.Engine
	// Mixup says for the example behind a row, which may be a variant, how the
	// trainer is to mix it; nil = not. The function itself may be nil.
	Mixup func(ex *sdk.Example, draw augment.Draw) *recipe.Mixup
	seed  uint64
}

// Vary makes the loader show variants.
func (l *Loader) Vary(v *Varied) error {
	if len(v.Examples) != l.shard.Len() {
		return fmt.Errorf("vary training data: %d examples for %d rows", len(v.Examples), l.shard.Len())
	}
	v.seed = l.seed
	l.varied = v
	l.arrange()
	return nil
}

// row makes one row of an epoch. Row numbers count the examples first, then the
// first variants of all, and so on.
func (v *Varied) row(shard *Shard, row, epoch int) (*recipe.Encoded, error) {
	n := len(v.Examples)
	i, copies := row%n, row/n
	draw := augment.Draw{Epoch: epoch}
	ex := &v.Examples[i]
	out := ex
	if v.Mode.Add == 0 || copies > 0 {
		draw.Copy = max(0, copies-1)
		out = v.variant(ex, draw)
	}
	var enc *recipe.Encoded
	if out == ex {
		enc = shard.At(i)
	} else {
		var err error
		if enc, err = v.Encoder.Encode(out); err != nil {
			return nil, fmt.Errorf("encode a variant of %s: %w", ex.ID, err)
		}
	}
	if v.Mixup != nil {
		if m := v.Mixup(out, augment.Draw{Epoch: epoch, Copy: copies}); m != nil {
			marked := *enc // a shard's row is also another epoch's
			marked.Mixup = m
			return &marked, nil
		}
	}
	return enc, nil
}

// variant makes one variant of an example; ex itself where no rule fires.
func (v *Varied) variant(ex *sdk.Example, draw augment.Draw) *sdk.Example {
	var made []*sdk.Example
	for _, e := range v.Code {
		if out := e.Variant(ex, draw); out != ex {
			made = append(made, out)
		}
	}
	if len(made) == 0 {
		return v.Engine.Variant(ex, draw)
	}
	rng := rand.New(rand.NewPCG(v.seed^Key(ex.ID), 0x636f6465<<32^uint64(draw.Epoch)<<16^uint64(draw.Copy))) // "code"
	first := made[rng.IntN(len(made))]
	base := *first
	base.ID = ex.ID
	if out := v.Engine.Variant(&base, draw); out != &base {
		return out
	}
	return first
}

// row makes one row of an epoch.
func (l *Loader) row(row, epoch int) (*recipe.Encoded, error) {
	switch n := l.shown(); {
	case row >= n:
		return l.hide.row(l.shard, row-n, epoch), nil
	case l.varied != nil:
		return l.varied.row(l.shard, row, epoch)
	}
	return l.shard.At(row), nil
}

// made makes a batch of rows that differ by epoch, on a few goroutines.
func (l *Loader) made(rows []int, epoch int) (*recipe.Batch, error) {
	b := &recipe.Batch{Rows: make([]*recipe.Encoded, len(rows)), Index: make([]int, len(rows)), Width: l.width}
	workers := min(4, runtime.GOMAXPROCS(0), 1+len(rows)/8)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for k := w; k < len(rows) && errs[w] == nil; k += workers {
				b.Rows[k], errs[w] = l.row(rows[k], epoch)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	for k, r := range rows {
		b.Index[k] = r % l.shard.Len()
		b.Tokens += b.Rows[k].Width()
		b.Width = max(b.Width, b.Rows[k].Width())
	}
	return b, nil
}
