package recipe

import "context"

// EmbedJob asks for one vector per row.
type EmbedJob struct {
	Model     string // Hugging Face folder of an encoder
	Rows      Source
	Device    string // auto | cpu | cuda | cuda:N
	Threads   int    // 0 = all cores
	BatchSize int    // 0 = 32
}

// RowEmbedder turns encoded rows into vectors of equal length, in the order of
// the source. core/train's engine is one.
type RowEmbedder interface {
	EmbedRows(ctx context.Context, job *EmbedJob) ([][]float32, error)
}
