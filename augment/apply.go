package augment

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/islm-dev/islm/sdk"
)

// Mode says what variants are to their examples.
type Mode struct {
	// Add is how many variants stand beside each example; 0 means that one variant
	// replaces it.
	Add int
}

// maxAdd bounds how much larger data may become.
const maxAdd = 1000

// ParseMode reads "replace" or "add: K".
func ParseMode(s string) (Mode, error) {
	if s == "" || s == "replace" {
		return Mode{}, nil
	}
	if rest, ok := strings.CutPrefix(s, "add:"); ok {
		if k, err := strconv.Atoi(strings.TrimSpace(rest)); err == nil && k > 0 && k <= maxAdd {
			return Mode{Add: k}, nil
		}
	}
	return Mode{}, fmt.Errorf("mode %q: replace or \"add: K\" is wanted, K from 1 to %d", s, maxAdd)
}

// String is what ParseMode reads.
func (m Mode) String() string {
	if m.Add == 0 {
		return "replace"
	}
	return fmt.Sprintf("add: %d", m.Add)
}

// ApplyOptions say how a stream of examples is varied.
type ApplyOptions struct {
	Mode  Mode
	Epoch int
	// Workers is the number of goroutines; 0 means one per CPU. The result does not
	// depend on it.
	Workers int
	// All yields unchanged variants too, so that every example gives the same
	// number of outputs. Without it Add leaves out variants in which no rule fired,
	// and those equal to one before.
	All bool
}

// Apply varies a stream of examples. In mode replace it yields one output for
// each example, in mode add the example followed by its variants. Errors of the
// stream are passed on in their place.
func (e *Engine) Apply(ctx context.Context, examples iter.Seq2[sdk.Example, error], opt ApplyOptions) iter.Seq2[sdk.Example, error] {
	workers := opt.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return func(yield func(sdk.Example, error) bool) {
		if workers == 1 {
			for ex, err := range examples {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					if !yield(sdk.Example{}, err) || ctx.Err() != nil {
						return
					}
					continue
				}
				for _, out := range e.outputs(&ex, opt) {
					if !yield(*out, nil) {
						return
					}
				}
			}
			return
		}
		e.parallel(ctx, examples, opt, workers, yield)
	}
}

// outputs are what one example becomes.
func (e *Engine) outputs(ex *sdk.Example, opt ApplyOptions) []*sdk.Example {
	if opt.Mode.Add == 0 {
		return []*sdk.Example{e.Variant(ex, Draw{Epoch: opt.Epoch})}
	}
	outs := make([]*sdk.Example, 1, 1+opt.Mode.Add)
	outs[0] = ex
next:
	for k := range opt.Mode.Add {
		v := e.Variant(ex, Draw{Epoch: opt.Epoch, Copy: k})
		if !opt.All {
			if v == ex {
				continue
			}
			for _, o := range outs[1:] {
				if o.Text == v.Text && o.TextB == v.TextB {
					continue next
				}
			}
		}
		outs = append(outs, v)
	}
	return outs
}

// chunk is a stretch of the stream.
type chunk struct {
	items []item
	done  chan struct{}
}

type item struct {
	ex   sdk.Example
	err  error
	outs []*sdk.Example
}

const chunkSize = 256

// parallel reads chunks, lets workers vary them and yields them in their order.
func (e *Engine) parallel(ctx context.Context, examples iter.Seq2[sdk.Example, error], opt ApplyOptions, workers int, yield func(sdk.Example, error) bool) {
	jobs := make(chan *chunk)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for c := range jobs {
				for i := range c.items {
					if it := &c.items[i]; it.err == nil {
						it.outs = e.outputs(&it.ex, opt)
					}
				}
				close(c.done)
			}
		})
	}
	defer wg.Wait()
	defer close(jobs)
	var queue []*chunk
	// deliver yields the chunks that go before the last `keep` ones.
	deliver := func(keep int) bool {
		for len(queue) > keep {
			c := queue[0]
			queue = queue[1:]
			<-c.done
			for _, it := range c.items {
				if it.err != nil {
					if !yield(sdk.Example{}, it.err) {
						return false
					}
					continue
				}
				for _, out := range it.outs {
					if !yield(*out, nil) {
						return false
					}
				}
			}
		}
		return true
	}
	next := &chunk{}
	submit := func() bool {
		next.done = make(chan struct{})
		queue = append(queue, next)
		jobs <- next
		next = &chunk{}
		return deliver(workers)
	}
	for ex, err := range examples {
		if ctx.Err() != nil {
			break
		}
		next.items = append(next.items, item{ex: ex, err: err})
		if len(next.items) == chunkSize && !submit() {
			return
		}
	}
	if len(next.items) > 0 && !submit() {
		return
	}
	if deliver(0) && ctx.Err() != nil {
		yield(sdk.Example{}, ctx.Err())
	}
}
