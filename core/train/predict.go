//go:build torch

package train

import (
	"context"
	"errors"
	"fmt"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
)

const defaultPredictBatch = 32

// predict runs all rows of a source through the model, without gradients and
// dropout, and returns the predictions in the order of the source.
func predict(ctx context.Context, m *model.Model, rows recipe.Source, size int, bf16 bool, progress func(done, all int)) ([]recipe.Prediction, error) {
	if size <= 0 {
		size = defaultPredictBatch
	}
	out := make([]recipe.Prediction, rows.Len())
	seen := make([]bool, len(out))
	done := 0
	feed := prefetch(ctx, rows.Batches(ctx, size))
	defer feed.stop()
	var err error
	work := func() {
		for {
			batch, more, e := feed.next()
			if err = e; err != nil || !more {
				return
			}
			if err = ctx.Err(); err != nil {
				return
			}
			if len(batch.Index) != len(batch.Rows) {
				err = fmt.Errorf("predict: a batch of %d rows has %d row numbers", len(batch.Rows), len(batch.Index))
				return
			}
			scope := torch.Open()
			in, e := m.Input(batch.Rows, batch.Width)
			if err = e; err == nil {
				for i, p := range m.Predict(in, bf16) {
					out[batch.Index[i]], seen[batch.Index[i]] = p, true
				}
			}
			scope.Close()
			if err != nil {
				return
			}
			done += len(batch.Rows)
			progress(done, len(out))
		}
	}
	// One closure for all batches: within one Autocast the cast weights are kept.
	failed := torch.Do(func() {
		torch.NoGrad(func() { torch.Autocast(m.Device(), bf16, work) })
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err = errors.Join(failed, err); err != nil {
		return nil, fmt.Errorf("predict: %w", err)
	}
	for i, ok := range seen {
		if !ok {
			return nil, fmt.Errorf("predict: row %d never came", i)
		}
	}
	return out, nil
}
