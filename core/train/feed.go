//go:build torch

package train

import (
	"context"
	"iter"

	"github.com/islm-dev/islm/core/recipe"
)

// feed makes batches on a goroutine of its own, a few ahead, so that reading,
// rules and encoding cost the computing thread nothing.
type feed struct {
	batches <-chan item
	cancel  context.CancelFunc
	done    chan struct{}
}

type item struct {
	batch *recipe.Batch
	err   error
}

const ahead = 4 // batches

// prefetch starts a feed. Its stop must be called; it returns when the
// goroutine has ended.
func prefetch(ctx context.Context, batches iter.Seq2[*recipe.Batch, error]) *feed {
	ctx, cancel := context.WithCancel(ctx)
	c := make(chan item, ahead)
	f := &feed{batches: c, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		defer close(c)
		for b, err := range batches {
			select {
			case c <- item{b, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return f
}

// next gives the next batch; more is false after the last.
func (f *feed) next() (b *recipe.Batch, more bool, err error) {
	it, ok := <-f.batches
	if !ok {
		return nil, false, nil
	}
	return it.batch, true, it.err
}

// stop ends the goroutine and waits for it.
func (f *feed) stop() {
	f.cancel()
	for range f.batches {
		// What was made ahead is not needed any more.
	}
	<-f.done
}
