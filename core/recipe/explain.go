package recipe

import "context"

// Explainer is an Engine that can say what in a text an answer came from.
type Explainer interface {
	// Explain gives one attribution for each aim, in their order.
	Explain(ctx context.Context, job *ExplainJob) ([]Attribution, error)
}

// ExplainJob asks about answers of a finished model in fp32.
type ExplainJob struct {
	PredictJob
	Aims []Aim
	Mask int32 // id that stands for a word whose content is taken away
	// Special tells the ids that frame a text; they are never masked.
	Special func(id int32) bool
}

// Aim is one answer about one row. Its score is the answer's log-odds,
// ln(p/(1-p)); of a span the sum over its tokens.
type Aim struct {
	Row, Head int
	Class     int32   // classify, multilabel: the label
	Tokens    []int32 // tag: tokens of the span
	Tags      []int32 // and their tags
	Groups    [][]int32
}

// Attribution shares the score of an answer out among the ids of its row, by
// integrated gradients (Sundararajan, Taly, Yan 2017, "Axiomatic Attribution
// for Deep Networks") along the straight way from a row of masks.
type Attribution struct {
	Values []float64 // per id of the row, then per injected piece; special tokens have 0
	// Empty is the score of the row of masks, Full that of the row. The values
	// add up to Full-Empty but for the error of the integral over Steps points.
	Empty, Full float64
	Steps       int
	// Dropped is by how much the score falls when the ids of a group of the aim
	// are masked.
	Dropped []float64
}
