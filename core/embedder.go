package core

import (
	"context"
	"fmt"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// NewEmbedder makes sentence vectors of the encoder in a Hugging Face folder:
// the mean of its last hidden states. Longer texts than the model takes are cut.
func NewEmbedder(engine recipe.RowEmbedder, dir string) (recipe.Embedder, error) {
	cfg, ds := hf.ReadConfig(dir)
	if err := ds.Err(); err != nil {
		return nil, err
	}
	tok, err := token.Load(dir)
	if err != nil {
		return nil, err
	}
	return &embedder{engine, dir, &corpus.Encoder{Tokenizer: tok, MaxLength: cfg.MaxPositions}}, nil
}

type embedder struct {
	engine  recipe.RowEmbedder
	dir     string
	encoder *corpus.Encoder
}

func (e *embedder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	examples := make([]sdk.Example, len(texts))
	for i, text := range texts {
		examples[i] = sdk.Example{ID: fmt.Sprintf("text-%d", i+1), Text: text}
	}
	rows, err := corpus.EncodeSource(ctx, e.encoder, examples)
	if err != nil {
		return nil, err
	}
	return e.engine.EmbedRows(ctx, &recipe.EmbedJob{Model: e.dir, Rows: rows})
}
