package recipe

import (
	"context"
	"iter"
	"time"

	"github.com/islm-dev/islm/sdk"
)

// Job is all that an Engine needs to train: nothing in it is decided later,
// save what the plan leaves to the engine (`auto`).
type Job struct {
	Dir       string // run folder; checkpoints and state go below it
	Plan      *Plan
	Base      string // Hugging Face folder of the base model
	BaseName  string // how an adapter names its base: a hub id or a folder; "" = Base
	Heads     []sdk.HeadSpec
	Terms     *Terms // new pieces of Base, whose rows an adapter trains; nil = none
	Train     Loader
	Valid     Source     // nil when there is none
	Test      Source     // nil when there is none
	Injection *Injection // nil when no knowledge is injected
	Teachers  []Teacher  // of objective distill; of continue the model itself
	Past      *Past      // of objective continue: Base is the model that goes on
	Resume    bool
	Threads   int    // 0 = all cores
	ExportDir string // the engine writes config.json, model.safetensors and islm/heads.safetensors here
	// Score rates predictions on Valid: larger is better. It chooses the best
	// checkpoint and stops early. Nil: the last state is the best.
	Score func(valid []Prediction) float64
	// Observe hears everything that happens, in order, on one goroutine. Nil
	// is allowed.
	Observe func(Event)
}

// Terms are pieces that a base has been given beyond those of the model that an
// adapter names as its base.
type Terms struct {
	IDs []int32
	// Rows is the number of rows of that model's word embeddings. An id may lie below
	// it: some models have rows that their tokenizer does not use.
	Rows int
}

// Teacher is a model whose answers a student learns.
type Teacher struct {
	Name      string
	Dir       string         // Hugging Face folder
	Heads     []sdk.HeadSpec // heads that are read; each has the name and labels of one of the job's
	Own       string         // name in Dir of the one head that the run calls by another; "" = none
	Plan      *Plan          // plan.yaml of the teacher; nil = defaults
	Injection *Injection     // nil when it injects no knowledge
	// Rows are the training examples as the teacher sees them, by Batch.Index.
	// Nil: it sees the rows of the student's batches, which differ by epoch.
	Rows Source
	Same bool   // its rows have the student's ids, so that positions can be compared
	Save string // file where its logits on Rows are kept; "" = it runs in each step
}

// Past is what a continued model knows already.
type Past struct {
	Heads []sdk.HeadSpec // its heads: the job's of these names, without their new labels
	Rows  Source         // old examples that say which weights matter; nil = that is not asked
}

// PredictJob is all that an Engine needs to predict with a finished model.
type PredictJob struct {
	Model     string // folder that Train exported
	Base      string // folder of the base that an adapter folder changes; "" = as it says
	Heads     []sdk.HeadSpec
	Rows      Source
	Plan      *Plan      // plan.yaml of the model; nil = defaults
	Injection *Injection // nil when no knowledge is injected
	Precision string     // fp32 | bf16 | auto
	Device    string     // auto | cpu | cuda | cuda:N
	Threads   int
	BatchSize int // 0 = the plan's
	// Generate: heads of kind generate.v0 write a text after each prompt; nil = they
	// only score the one that the row holds.
	Generate *Generation
	Observe  func(Event)
}

// Engine trains and predicts. core/train is one.
type Engine interface {
	Train(ctx context.Context, job *Job) (*Outcome, error)
	// Predict returns one prediction for each row, in the order of the source.
	Predict(ctx context.Context, job *PredictJob) ([]Prediction, error)
}

// Embedder turns texts into vectors of equal length.
type Embedder interface {
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Encoded is one example as the model sees it.
type Encoded struct {
	ID      string
	Key     uint64    // hash of ID: keys all randomness of the row
	IDs     []int32   // special tokens included, at most the plan's max length
	Types   []int32   // token type ids; nil = zeros
	Starts  []int32   // per token of the example: index in IDs of its first piece, -1 when cut
	Targets []Target  // one per head of the job, in the same order
	Inject  *Injected // what knowledge adds; nil = nothing
	// Mixup asks the engine to mix the row with another of its step; nil = no.
	// Mixed is what the engine made of it, for that step alone.
	Mixup *Mixup
	Mixed *Mixed
	// Second are the ids of the second text, special tokens included, for heads
	// that give each text a vector of its own. IDs are then those of the first alone.
	Second []int32
	// Passage is the text that a head of kind qa.v0 answers from; nil for rows
	// without a question.
	Passage *Passage
}

// Passage is a text, or a window of a long one, that answers are read from.
type Passage struct {
	Of   string // ID of the example that the window is one of
	Text string
	// Places are two numbers for each id of the row: the bytes [start, end) of Text
	// that it stands for, -1 and -1 for ids of the question and special tokens.
	Places  []int32
	Answers []string // those that count as right; nil: the text has none
}

// Bytes gives the stretch of Text from id `from` to id `to`, both included; an
// empty one if they are no ids of the passage.
func (p *Passage) Bytes(from, to int32) (start, end int) {
	if from < 0 || to < from || int(2*to+1) >= len(p.Places) || p.Places[2*from] < 0 || p.Places[2*to] < 0 {
		return 0, 0
	}
	return int(p.Places[2*from]), int(p.Places[2*to+1])
}

// Mixup is what a rule of kind mixup.v0 says about a row (Zhang et al. 2018,
// mixup: Beyond Empirical Risk Minimization).
type Mixup struct {
	Alpha     float64 // the row's share is drawn from Beta(Alpha, Alpha)
	SameLabel bool    // only with a row that has the same labels
}

// Mixed is a row mixed with another: the output of the embedding layer is
// Share · the row's + (1-Share) · the other's, and so is the loss.
type Mixed struct {
	With  *Encoded
	Share float64 // of the row itself, 0..1
}

// Prompt is the number of ids before those that the head of this number, of kind
// generate.v0, learns to write: all of them where the row has no such text.
func (e *Encoded) Prompt(head int) int {
	if head < len(e.Targets) && e.Targets[head].Has {
		for i, id := range e.Targets[head].Tokens {
			if id >= 0 {
				return i + 1
			}
		}
	}
	return len(e.IDs)
}

// Target is what one head shall say about one example.
type Target struct {
	Has     bool    // false: this example has no label for the head
	Class   int32   // classify, pair
	Classes []bool  // multilabel: one per label
	Tags    []int32 // tag: one per token, also those that were cut; -1 = no label
	Value   float32 // regression, embed, rank
	Group   uint64  // rank: the query, a hash of its text
	// Tokens, mlm, clm and generate: one per position of Encoded.IDs, the id that the
	// head shall give there, -1 = none. For mlm that is the id that was masked; for clm
	// the one that follows, so Tokens[i] = IDs[i+1]; for generate the same, and -1
	// within the prompt. A row that is still to be masked has no target for mlm (Has is
	// false); its Tokens then are the corpus's own.
	Tokens []int32
	// Spans, span: the words From..To of a label Class; qa: the ids From..To of the
	// answer that is learned, none where the passage holds no answer.
	Spans []Stretch
	// Marks, relation: the ids of the markers before the two mentions, also of rows
	// without a label; equal where none are marked.
	Marks [2]int32
}

// Stretch is From to To, both included.
type Stretch struct{ From, To, Class int32 }

// Batch is some rows to be padded to one width.
type Batch struct {
	Rows   []*Encoded
	Index  []int // row numbers in the loader's or source's data
	Width  int   // padded width, ids
	Tokens int   // ids that are not padding, special tokens and injected facts included
}

// Loader gives the training batches. It is a pure function of the plan's seed
// and the epoch: neither workers nor a resume change what comes.
type Loader interface {
	Len() int            // examples
	Steps(epoch int) int // batches of batch_size rows in the epoch
	// Epoch yields the batches of an epoch (from 0), beginning with batch `from`.
	Epoch(ctx context.Context, epoch, from int) iter.Seq2[*Batch, error]
}

// Source gives rows for validation, test and prediction: each row once, sorted
// by length, in batches of at most size rows.
type Source interface {
	Len() int
	At(i int) *Encoded
	Batches(ctx context.Context, size int) iter.Seq2[*Batch, error]
}

// Output is what one head said about one example.
type Output struct {
	Scores    []float32  // classify, multilabel: probability per label
	Class     int32      // classify, pair: most probable label
	Tags      []int32    // tag: per token of the example, -1 = cut by the length limit
	TagScores []float32  // tag: probability of the tag given, 0 where cut
	LogLoss   float64    // mlm, clm, generate: sum over the target tokens of -ln p, nats
	Tokens    int        // mlm, clm, generate: number of target tokens
	Value     float32    // regression; rank: relevance; embed: cosine of the two texts
	Vector    []float32  // embed: of the first text
	Generated *Generated // generate: nil unless the job asks for it
	// Spans, span: of the words, best first; qa: of ids, best first, and Value is
	// the score of no answer.
	Spans []ScoredStretch
}

// ScoredStretch is what a head says of a Stretch: span: its probability; qa: the
// sum of the logits of its start and end.
type ScoredStretch struct {
	Stretch
	Score float32
}

// Prediction is what all heads of a job said about one example, in the order
// of the job's heads.
type Prediction struct {
	Heads []Output
}

// Kinds of Event.
const (
	EventStep       = "step"       // an optimizer step is done
	EventEpoch      = "epoch"      // an epoch is done; Loss is its mean
	EventValid      = "valid"      // Predictions on Valid, Score and Best are set
	EventCheckpoint = "checkpoint" // a checkpoint is complete; Text is its folder
	EventResume     = "resume"     // training goes on from Step
	EventPredict    = "predict"    // Step of Steps rows are predicted
	EventNotice     = "notice"     // Text is for people
)

// Event is one thing that happened in an engine.
type Event struct {
	Kind        string
	Step, Steps int // optimizer steps done and to do
	Epoch       int // from 1
	Epochs      int
	Loss        float64 // mean over the labels of the step or epoch
	LR          float64
	GradNorm    float64 // before clipping
	Score       float64
	Best        bool
	Tokens      int64         // non-padding ids of this step
	Elapsed     time.Duration // since the first step of this process
	Predictions []Prediction
	Text        string
}

// Outcome is what a finished training says about itself.
type Outcome struct {
	Before       []Prediction // on Test, else Valid, by the untrained heads
	After        []Prediction // the same rows by the best state
	Split        string       // "test" or "valid": the rows of Before and After
	Steps        int
	Epochs       int
	Seconds      float64 // step loop without validation, checkpoints and loading
	Tokens       int64   // non-padding ids, special tokens included
	PeakRSS      int64   // bytes
	PaddingShare float64 // padding among all ids that were computed, 0..1
	ResumedFrom  *int    // step, nil when not resumed
	BestStep     int
	BestScore    float64
	StoppedEarly bool
	Trainable    int64 // parameters
	Parameters   int64
	Device       string    // resolved
	Precision    string    // resolved: fp32 | bf16
	Losses       []float64 // mean loss of each epoch

	PredictSeconds float64 // wall time of After
	PredictTokens  int64   // non-padding ids of After's rows
}

// MergeJob makes a plain model of an adapter folder and its base. With Reverse,
// Base is a model that the adapter of Model was merged into, from which it is taken
// out again.
type MergeJob struct {
	Model   string // adapter folder
	Base    string
	Heads   []sdk.HeadSpec
	Primary string
	// Plan is the adapter's plan.yaml, nil = defaults; Injection the knowledge that it
	// injects, nil = none. Reverse has none: a base knows nothing.
	Plan      *Plan
	Injection *Injection
	Out       string // made
	Reverse   bool
	Compare   string // the base that Reverse should give back; "" = unknown
}

// Merged says how exact a merge was.
type Merged struct {
	// Scores is the largest difference of the heads' raw scores, and of the hidden
	// states that they read, before and after, the merged folder loaded from the disk.
	Scores float64 `json:"scores"`
	// Weights is the largest difference to the weights of Compare; nil when there
	// was none.
	Weights *float64 `json:"weights,omitempty"`
}

// Merger is an Engine that merges adapters.
type Merger interface {
	Merge(ctx context.Context, job *MergeJob) (*Merged, error)
}
