//go:build torch

package train

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

const defaultPredictBatch = 32

// predict runs all rows of a source through the model, without gradients and
// dropout, and returns the predictions in the order of the source. progress is
// called on the caller's goroutine.
//
// With generation heads of kind generate.v0 write a text after each prompt too.
func predict(ctx context.Context, m *model.Model, rows recipe.Source, size int, bf16 bool, generation *recipe.Generation, progress func(done, all int)) ([]recipe.Prediction, error) {
	if size <= 0 {
		size = defaultPredictBatch
	}
	p := &predictor{model: m, bf16: bf16, generation: generation, out: make([]recipe.Prediction, rows.Len()), seen: make([]bool, rows.Len())}
	feed := prefetch(ctx, rows.Batches(ctx, size))
	defer feed.stop()
	counts, ended := make(chan int, 16), make(chan error, 1)
	go func() {
		defer close(counts)
		var err error
		// One closure for all batches: within one Autocast the cast weights are kept.
		failed := torch.Do(func() {
			torch.NoGrad(func() {
				torch.Autocast(m.Device(), bf16, func() { err = p.all(ctx, feed, counts) })
			})
		})
		ended <- errors.Join(failed, err)
	}()
	done := 0
	for n := range counts {
		done += n
		progress(done, len(p.out))
	}
	err := <-ended
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("predict: %w", err)
	}
	if i := slices.Index(p.seen, false); i >= 0 {
		return nil, fmt.Errorf("predict: row %d never came", i)
	}
	return p.out, nil
}

// predictor collects what a model says.
type predictor struct {
	model      *model.Model
	bf16       bool
	generation *recipe.Generation
	out        []recipe.Prediction
	seen       []bool
}

// all predicts the batches of a feed, inside torch.Do, and sends how many rows
// each had.
func (p *predictor) all(ctx context.Context, feed *feed, counts chan<- int) error {
	for ctx.Err() == nil {
		batch, more, err := feed.next()
		if err != nil || !more {
			return err
		}
		if err := p.batch(batch); err != nil {
			return err
		}
		counts <- len(batch.Rows)
	}
	return ctx.Err()
}

func (p *predictor) batch(b *recipe.Batch) error {
	if len(b.Index) != len(b.Rows) {
		return fmt.Errorf("a batch of %d rows has %d row numbers", len(b.Rows), len(b.Index))
	}
	scope := torch.Open()
	defer scope.Close()
	even(b, p.model, p.bf16)
	in, err := p.model.Input(b.Rows, b.Width)
	if err != nil {
		return err
	}
	said, err := p.model.Predict(in, p.bf16)
	if err != nil {
		return err
	}
	if err := p.generate(b.Rows, said); err != nil {
		return err
	}
	for i, one := range said {
		p.out[b.Index[i]], p.seen[b.Index[i]] = one, true
	}
	return nil
}

// generate writes texts after the prompts of a batch, by heads that do that.
func (p *predictor) generate(rows []*recipe.Encoded, said []recipe.Prediction) error {
	if p.generation == nil {
		return nil
	}
	for k, h := range p.model.Heads {
		if h.Spec.Kind != sdk.KindGenerate {
			continue
		}
		prompts := make([]*recipe.Encoded, len(rows))
		for i, r := range rows {
			prompts[i] = &recipe.Encoded{ID: r.ID, Key: r.Key, IDs: r.IDs[:r.Prompt(k)]}
		}
		texts, err := p.model.Generate(prompts, k, p.generation, p.bf16)
		if err != nil {
			return err
		}
		for i, text := range texts {
			said[i].Heads[k].Generated = text
		}
	}
	return nil
}
