//go:build torch

package train

import (
	"context"
	"errors"
	"fmt"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

var _ recipe.RowEmbedder = Engine{}

// EmbedRows gives for each row the mean of its last hidden states, special
// tokens included, in fp32: the sentence vectors of Reimers and Gurevych 2019,
// "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks".
func (Engine) EmbedRows(ctx context.Context, job *recipe.EmbedJob) (_ [][]float32, err error) {
	device, _, err := resolve(job.Device, "fp32")
	if err != nil {
		return nil, err
	}
	if err := setThreads(job.Threads); err != nil {
		return nil, err
	}
	var m *model.Model
	var diags sdk.Diagnostics
	err = torch.Do(func() { m, diags = model.Load(job.Model, nil, model.Options{Device: device, Trained: true}) })
	if err = errors.Join(err, diags.Err()); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	defer func() { err = errors.Join(err, torch.Do(m.Close)) }()
	size := job.BatchSize
	if size <= 0 {
		size = defaultPredictBatch
	}
	vectors := make([][]float32, job.Rows.Len())
	for batch, err := range job.Rows.Batches(ctx, size) {
		if err != nil {
			return nil, fmt.Errorf("embed: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		failed := torch.Do(func() { torch.NoGrad(func() { err = embedBatch(m, batch, vectors) }) })
		if err = errors.Join(failed, err); err != nil {
			return nil, fmt.Errorf("embed: %w", err)
		}
	}
	return vectors, nil
}

// embedBatch sets the vectors of a batch's rows, inside torch.Do.
func embedBatch(m *model.Model, b *recipe.Batch, vectors [][]float32) error {
	scope := torch.Open()
	defer scope.Close()
	in, err := m.Input(b.Rows, b.Width)
	if err != nil {
		return err
	}
	hidden := m.Encoder.Encode(in, &model.Pass{}).ToDevice(torch.CPU).Contiguous().Float32s()
	size := m.Encoder.Hidden()
	for i, row := range b.Rows {
		sum := make([]float64, size)
		for t := range row.IDs {
			at := (i*in.Width + t) * size
			for k, x := range hidden[at : at+size] {
				sum[k] += float64(x)
			}
		}
		vector := make([]float32, size)
		for k := range vector {
			vector[k] = float32(sum[k] / float64(len(row.IDs)))
		}
		vectors[b.Index[i]] = vector
	}
	return nil
}
