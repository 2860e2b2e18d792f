package sdk

import "slices"

// HeadSpec describes a task head. The core builds the module from it; a plugin
// never sees a tensor.
type HeadSpec struct {
	Name string `yaml:"name" json:"name" required:"true"`
	// Kind is one of HeadKinds: classify.v0, multilabel.v0, pair.v0, tag.v0,
	// span.v0, qa.v0, relation.v0, regress.v0, rank.v0, embed.v0, pattern.v0, mlm.v0,
	// clm.v0, generate.v0.
	Kind string `yaml:"kind" json:"kind" required:"true"`
	// Labels in the order of the model's outputs. For tag.v0 either entity types
	// (scheme bio or bilou) or, with scheme none, the tags themselves.
	Labels       []string  `yaml:"labels" json:"labels,omitempty"`
	Loss         string    `yaml:"loss" json:"loss,omitempty"`                   // "" (the kind's own), ce, bce, mse, mnr or cosine
	ClassWeights []float64 `yaml:"class_weights" json:"class_weights,omitempty"` // one per label, or none
	Pooling      string    `yaml:"pooling" json:"pooling,omitempty"`             // "" (cls with the pooler, as Hugging Face), cls, mean, max, or unit-mean (the mean brought to length 1)
	Dropout      *float64  `yaml:"dropout" json:"dropout,omitempty"`             // nil: the model's own
	Weight       float64   `yaml:"weight" json:"weight,omitempty"`               // share in the joint loss; 0 means 1
	Metrics      []string  `yaml:"metrics" json:"metrics,omitempty"`
	Dataset      string    `yaml:"dataset" json:"dataset,omitempty"` // the dataset that trains it
	Scheme       string    `yaml:"scheme" json:"scheme,omitempty"`   // tag.v0: "" (bio), none or bilou
	CRF          bool      `yaml:"crf" json:"crf,omitempty"`         // tag.v0: conditional random field on top
	// Descriptions explain labels in words: label -> language -> text.
	Descriptions map[string]map[string]string `yaml:"descriptions" json:"descriptions,omitempty"`
	// Options are settings that one kind has: see the Option constants.
	Options map[string]string `yaml:"options" json:"options,omitempty"`
}

// Head kinds known to this version.
const (
	KindClassify   = "classify.v0"
	KindMultilabel = "multilabel.v0"
	KindPair       = "pair.v0"
	KindTag        = "tag.v0"
	KindSpan       = "span.v0"     // stretches of words, which may overlap
	KindQA         = "qa.v0"       // the stretch of a passage that answers a question
	KindRelation   = "relation.v0" // what two marked mentions of a text have to do with each other
	KindRegress    = "regress.v0"
	KindRank       = "rank.v0"
	KindEmbed      = "embed.v0"
	KindPattern    = "pattern.v0" // a class by the word that a language model writes into a pattern; islm fewshot makes it
	KindMLM        = "mlm.v0"     // masked language model: tokens at hidden places
	KindCLM        = "clm.v0"     // causal language model: the next token
	// KindGenerate is a causal language model that continues a prompt: it learns the
	// tokens of the label's text alone.
	KindGenerate = "generate.v0"
)

// PoolingUnitMean is the pooling of linear few-shot heads.
const PoolingUnitMean = "unit-mean"

// Options of heads, by kind.
const (
	OptionMaxAnswer  = "max_answer"  // qa.v0: longest answer in word pieces; "" is 30
	OptionNoAnswer   = "no_answer"   // qa.v0: "on" where a passage may hold no answer
	OptionNoRelation = "no_relation" // relation.v0: the label that says "none"
	OptionPairs      = "pairs"       // relation.v0: types of mentions that can be related, as A>B C>D; "" is all
	OptionPattern    = "pattern"     // pattern.v0, classify.v0 for islm fewshot: text with the gaps {text}, {text_b} and {mask}
	OptionVerbalizer = "verbalizer"  // classify.v0 for islm fewshot: the labels' words, as LABEL=WORD|WORD, LABEL=WORD
	OptionWords      = "words"       // pattern.v0: ids of the labels' words, those of one label joined by commas
	OptionCausal     = "causal"      // pattern.v0: "on" where a causal model goes on with the label's word, at the pattern's end
	OptionSize       = "size"        // span.v0: width of a label's start and end vectors; "" is 64
)

// Labels of the spans in a relation's label.
const (
	MentionHead = "head"
	MentionTail = "tail"
)

// LabelAnswer is the label of the spans in an answer.
const LabelAnswer = "answer"

// OptionSeparator is the option of generate.v0 that says what stands between the
// prompt and the text after it.
const OptionSeparator = "separator"

// Values of OptionSeparator.
const (
	SeparatorLine  = "line" // the default
	SeparatorSpace = "space"
	SeparatorNone  = "none"
)

// Separator is the text that the head's OptionSeparator names.
func (h HeadSpec) Separator() string {
	switch h.Options[OptionSeparator] {
	case SeparatorSpace:
		return " "
	case SeparatorNone:
		return ""
	}
	return "\n"
}

// Losses of heads that give each text of a pair a vector of its own.
const (
	LossMNR    = "mnr"    // in-batch negatives
	LossCosine = "cosine" // cosine of the vectors against a number
)

// Apart reports whether the head gives each text of a pair a vector of its own:
// embed.v0, and rank.v0 as a bi-encoder.
func (h HeadSpec) Apart() bool {
	return h.Kind == KindEmbed || h.Kind == KindRank && (h.Loss == LossMNR || h.Loss == LossCosine)
}

// LanguageModel reports whether the head learns the texts themselves and takes no
// labels: mlm.v0 and clm.v0.
func (h HeadSpec) LanguageModel() bool { return h.Kind == KindMLM || h.Kind == KindCLM }

// HeadKinds lists the head kinds that this version knows, sorted.
func HeadKinds() []string {
	kinds := []string{KindClassify, KindMultilabel, KindPair, KindTag, KindSpan, KindQA, KindRelation, KindRegress, KindRank, KindEmbed, KindPattern, KindMLM, KindCLM, KindGenerate}
	slices.Sort(kinds)
	return kinds
}
