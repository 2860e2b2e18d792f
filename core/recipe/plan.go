package recipe

import (
	"slices"
	"strings"
)

// Schema is the version of the plan's keys, written at the head of plan.yaml.
const Schema = "islm/plan.v0"

// Plan is the complete configuration of a run. The yaml tags are the keys of
// `--set` and of recipe files; Keys describes each of them.
type Plan struct {
	Schema    string              `yaml:"schema"`
	Preset    string              `yaml:"preset"`
	Objective string              `yaml:"objective"` // finetune, distill, …
	Seed      uint64              `yaml:"seed"`
	Base      string              `yaml:"base"`
	Domain    DomainPlan          `yaml:"domain"`
	Data      DataPlan            `yaml:"data"`
	Heads     map[string]HeadPlan `yaml:"heads"`
	Train     TrainPlan           `yaml:"train"`
	Peft      PeftPlan            `yaml:"peft"`
	Augment   AugmentPlan         `yaml:"augment"`
	Knowledge KnowledgePlan       `yaml:"knowledge"`
	Distill   DistillPlan         `yaml:"distill"`
	Student   StudentPlan         `yaml:"student"`
	Continue  ContinuePlan        `yaml:"continue"`
	Vocab     VocabPlan           `yaml:"vocab"`
	FewShot   FewShotPlan         `yaml:"fewshot"`
	Pretrain  PretrainPlan        `yaml:"pretrain"`
	Generate  GeneratePlan        `yaml:"generate"`
	Eval      EvalPlan            `yaml:"eval"`
	Export    ExportPlan          `yaml:"export"`

	// Origin says where each key got its value: "preset NAME", "advice of
	// PLUGIN", "FILE:LINE:COLUMN" or "--set". Keys that nobody set are absent:
	// they have their default. It is no part of the plan.
	Origin map[string]string `yaml:"-"`
}

// Chosen reports a key that recipe, command or advice set: its value is neither the
// default nor a preset's.
func (p *Plan) Chosen(key string) bool {
	origin := p.Origin[key]
	return origin != "" && !strings.HasPrefix(origin, "preset ")
}

// DomainPlan names the plugins of a run. In a recipe file `domain` may also be
// a name or a list of names.
type DomainPlan struct {
	Names   []string          `yaml:"name"`
	Advice  bool              `yaml:"advice"`
	Options map[string]string `yaml:"options"` // OPTION or PLUGIN.OPTION -> value
}

// DataPlan says where the examples are and how they are read.
type DataPlan struct {
	Path      string            `yaml:"path"` // folder, file or name of a domain's dataset
	Train     string            `yaml:"train"`
	Valid     string            `yaml:"valid"`
	Test      string            `yaml:"test"`
	Format    string            `yaml:"format"`   // auto | conll | jsonl | csv | tsv | parquet | a dataset of the domain
	Encoding  string            `yaml:"encoding"` // auto | utf-8 | gb18030 | utf-16 | latin-1
	Text      string            `yaml:"text"`     // name of the column or field; "" = guessed
	TextB     string            `yaml:"text_b"`
	Label     string            `yaml:"label"`
	Fields    map[string]string `yaml:"fields"` // our field -> the file's name
	Head      string            `yaml:"head"`   // head that a bare label belongs to
	Labels    []string          `yaml:"labels"` // label order of a head that nobody declares
	Scheme    string            `yaml:"scheme"` // bio | none
	Offsets   string            `yaml:"offsets"`
	Split     []float64         `yaml:"split"`    // shares of train, valid, test
	SplitBy   string            `yaml:"split_by"` // field whose values stay together; "" = the text
	MaxLength int               `yaml:"max_length"`
	Stride    int               `yaml:"stride"`  // pieces that windows of a passage share
	Padding   string            `yaml:"padding"` // longest | max

	Share       float64 `yaml:"share"`       // of the training examples that are used
	Sampling    string  `yaml:"sampling"`    // proportional | temperature | uniform
	Temperature float64 `yaml:"temperature"` // of sampling temperature
}

// Ways of sampling the rows of several tasks.
const (
	SamplingProportional = "proportional" // every row once
	SamplingTemperature  = "temperature"  // small tasks come more often
	SamplingUniform      = "uniform"      // all tasks come equally often
)

// HeadPlan changes a head that a plugin declares, or declares one. Empty
// fields leave what the plugin or the data say.
type HeadPlan struct {
	Kind         string    `yaml:"kind"`
	Labels       []string  `yaml:"labels"`
	Loss         string    `yaml:"loss"`
	ClassWeights []float64 `yaml:"class_weights"`
	Pooling      string    `yaml:"pooling"`
	Dropout      *float64  `yaml:"dropout"`
	Weight       *float64  `yaml:"weight"`
	Scheme       string    `yaml:"scheme"`
	CRF          *bool     `yaml:"crf"`
	Metrics      []string  `yaml:"metrics"`

	Options map[string]string `yaml:"options"`
}

// TrainPlan is the training loop.
type TrainPlan struct {
	Epochs          int      `yaml:"epochs"`
	Steps           int      `yaml:"steps"` // optimizer steps; 0 = by epochs
	BatchSize       int      `yaml:"batch_size"`
	Accumulate      int      `yaml:"accumulate"` // batches per optimizer step
	LR              float64  `yaml:"lr"`
	HeadLR          float64  `yaml:"head_lr"`  // 0 = lr
	Schedule        string   `yaml:"schedule"` // linear | cosine | constant
	Warmup          float64  `yaml:"warmup"`   // share of the steps when < 1, else steps
	WeightDecay     float64  `yaml:"weight_decay"`
	Dropout         *float64 `yaml:"dropout"` // nil = the model's
	Clip            float64  `yaml:"clip"`    // 0 = off
	Optimizer       string   `yaml:"optimizer"`
	Beta1           float64  `yaml:"beta1"`
	Beta2           float64  `yaml:"beta2"`
	Eps             float64  `yaml:"eps"`
	Momentum        float64  `yaml:"momentum"`
	Nesterov        bool     `yaml:"nesterov"`
	Precision       string   `yaml:"precision"`        // auto | fp32 | bf16; the engine resolves auto
	Device          string   `yaml:"device"`           // auto | cpu | cuda | cuda:N
	Threads         int      `yaml:"threads"`          // 0 = all cores
	Shuffle         bool     `yaml:"shuffle"`          // a new order each epoch
	EvalEvery       int      `yaml:"eval_every"`       // steps; 0 = each epoch, -1 = only at the end
	Patience        int      `yaml:"patience"`         // evaluations without gain; 0 = off
	Metric          string   `yaml:"metric"`           // auto | loss | METRIC | HEAD.METRIC
	CheckpointEvery int      `yaml:"checkpoint_every"` // steps; 0 = each epoch, -1 = never
	LogEvery        int      `yaml:"log_every"`
	Freeze          []string `yaml:"freeze"`
	UnfreezeEvery   int      `yaml:"unfreeze_every"` // steps; 0 = off, -1 = each epoch
	Peft            string   `yaml:"peft"`
}

// AugmentPlan names the rule packs of a run.
type AugmentPlan struct {
	Packs []string `yaml:"packs"`
	Mode  string   `yaml:"mode"` // replace | add: K
	// WordNet is the folder of the thesaurus that rules may ask; "" = none.
	WordNet string `yaml:"wordnet"`
	// CodeVariants is how many variants of an example a rule of kind code.v0 has
	// made before training, of which the epochs draw.
	CodeVariants int `yaml:"code_variants"`
	// Without names rules that are left out, as RULE or PACK/RULE; "*" leaves out
	// all, so that mode add: K repeats the examples.
	Without []string `yaml:"without"`
}

// VocabPlan says how the domain's terms enter the tokenizer.
type VocabPlan struct {
	Extend   int    `yaml:"extend"`    // most terms to add; 0 = off, -1 = all
	Words    bool   `yaml:"words"`     // words of the training texts are candidates too
	Phrases  bool   `yaml:"phrases"`   // and phrases of several words
	MinCount int    `yaml:"min_count"` // least occurrences of such a word or phrase
	MinSaved int    `yaml:"min_saved"` // least pieces of the training texts that a term saves
	Init     string `yaml:"init"`      // mean | similar | random
}

// FewShotPlan is learning from a few examples of each class (objective fewshot).
type FewShotPlan struct {
	Shots  int     `yaml:"shots"`  // examples of each class
	Splits int     `yaml:"splits"` // draws of examples
	Method string  `yaml:"method"` // auto | contrastive | prototype | probe | finetune | pattern
	Pairs  int     `yaml:"pairs"`  // contrastive: pairs of texts that are shown; 0 = auto
	C      float64 `yaml:"c"`      // inverse strength of the logistic regression's penalty
	Epochs int     `yaml:"epochs"` // finetune, pattern: passes over the examples

	Pattern    string            `yaml:"pattern"`    // text with the gaps {text}, {text_b} and {mask}
	Verbalizer map[string]string `yaml:"verbalizer"` // label -> its word, or several joined by |
}

// ObjectiveFinetune trains task heads and encoder on labelled examples.
const ObjectiveFinetune = "finetune"

// ObjectivePretrain trains a language model on running text.
const ObjectivePretrain = "pretrain"

// Trained reports an objective that is one training of an Engine. A classifier of a
// few examples is chosen among several, a base with terms is not trained at all.
func Trained(objective string) bool {
	return slices.Contains([]string{"", ObjectiveFinetune, ObjectiveDistill, ObjectiveContinue, ObjectivePretrain}, objective)
}

// PretrainPlan is how a language model is trained on running text.
type PretrainPlan struct {
	Mask  string  `yaml:"mask"`  // token | word | entity
	Share float64 `yaml:"share"` // of the pieces that are predicted
	Dedup string  `yaml:"dedup"` // off | exact | near
	Task  bool    `yaml:"task"`  // the data are a task's examples
	Rows  int     `yaml:"rows"`  // most rows that are trained on; 0 = all
	// Like is a file or folder of texts whose nearest neighbours in the data are
	// trained on; "" = all of the data.
	Like       string `yaml:"like"`
	Neighbours int    `yaml:"neighbours"` // of each text of Like
	Embedder   string `yaml:"embedder"`   // model that compares them
	// Scratch trains new weights in the base's shape, with a vocabulary of the data.
	Scratch   bool `yaml:"scratch"`
	VocabSize int  `yaml:"vocab_size"`
}

// EvalPlan is prediction and evaluation.
type EvalPlan struct {
	BatchSize int    `yaml:"batch_size"`
	By        string `yaml:"by"`       // field whose groups are compared
	Controls  int    `yaml:"controls"` // seeds with which injected knowledge is held against its controls; 0 = off
}

// ExportPlan shapes the model folder.
type ExportPlan struct {
	Head string `yaml:"head"` // head in config.json; "" = the first trained
}
