package recipe

import (
	"math"
	"regexp"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Key documents one key of a recipe. The table of keys is the single source of
// the help texts, the completion, the reference documentation, the defaults and
// the checks.
type Key struct {
	Path    string   // as in --set: train.lr. NAME in it stands for any name: heads.NAME.loss
	Type    string   // text, whole number, number, on or off, list, list of numbers, map
	Default string   // as a recipe file would say it
	Values  []string // what a text can be, or the words that stand for numbers
	Help    string   // one or two sentences
	Stage   Stage    // the stage whose result depends on it
	Scores  Scores   // what another value does to the scores of a validation; Plan.Scored asks it for one plan

	min, max float64
	open     bool   // min itself is not allowed
	words    []word // words with the numbers they stand for
	pattern  *regexp.Regexp
	wants    string // what pattern asks for, in words
}

// word is a word that may stand where a number is wanted. In a pointer field
// it means nil.
type word struct {
	text string
	num  float64
}

// Stage is a part of a run whose finished result can be used again.
type Stage string

// Stages, for Plan.Digest.
const (
	StageNone   Stage = ""       // names and places: what they lead to counts, not they
	StageVocab  Stage = "vocab"  // the tokenizer
	StageCorpus Stage = "corpus" // the shards
	StageTrain  Stage = "train"  // the weights
	StageEval   Stage = "eval"   // reports
)

// Keys lists every key in the order of plan.yaml.
func Keys() []Key {
	keys := table()
	for i := range keys {
		keys[i].complete()
	}
	return keys
}

// complete fills in what follows from the plan's field.
func (k *Key) complete() {
	k.Type = typeName(fieldType(k.Path))
	for _, w := range k.words {
		k.Values = append(k.Values, w.text)
	}
	if k.Default == "" {
		k.Default = defaultText(*k)
	}
}

// FindKey returns the documentation of the key with this path; a name under
// heads finds heads.NAME.
func FindKey(path string) (Key, bool) {
	path = generic(path)
	for _, k := range table() {
		if k.Path == path {
			k.complete()
			return k, true
		}
	}
	return Key{}, false
}

// generic puts NAME for the name of a head.
func generic(path string) string {
	if parts := strings.Split(path, "."); len(parts) == 3 && parts[0] == "heads" {
		return "heads.NAME." + parts[2]
	}
	return path
}

// Limits that turn slips of the pen into diagnostics.
const (
	maxLength = 1 << 16
	maxBatch  = 1 << 16
	maxCount  = math.MaxInt32
)

var (
	modeSpace  = regexp.MustCompile(`^add[: ]\s*([0-9]+)$`)
	modeForm   = regexp.MustCompile(`^(replace|add: [1-9][0-9]{0,2})$`)
	deviceForm = regexp.MustCompile(`^(auto|cpu|cuda|cuda:[0-9]{1,3})$`)
)

func table() []Key {
	off := []word{{"off", 0}}
	each := []word{{"epoch", 0}, {"off", -1}}
	auto := []word{{"auto", 0}}
	return []Key{
		{Path: "preset", Default: "finetune", Values: PresetNames(), Help: "The preset that the other keys start from."},
		{Path: "objective", Stage: StageTrain, Default: "finetune", Values: []string{"finetune", "distill", "continue", "fewshot", "pretrain", "vocab"}, Help: "What is trained: finetune trains task heads and encoder on labelled examples, distill a student on what its teachers say, continue a finished model on new examples or labels, fewshot a classifier on a few examples of each class, pretrain a language model on running text; vocab, a stage before others, makes a base with the terms of vocab.extend."},
		{Path: "seed", Scores: ScoresRows, Stage: StageTrain, Default: "42", max: math.MaxUint64, Help: "All randomness of the run follows from it: initial heads, order of examples, dropout."},
		{Path: "base", Scores: ScoresRows, Default: "all-MiniLM-L6-v2", Help: "Base model: a Hugging Face folder, a name in the model store or a hub id."},

		{Path: "domain.name", Default: "[]", Help: "Industry plugins to use. `domain: NAME` and `domain: [NAME, NAME]` say the same."},
		{Path: "domain.advice", Default: "on", Help: "Follow the recipe advice of the plugins."},
		{Path: "domain.options", Default: "{}", Help: "Options of the plugins, as OPTION or PLUGIN.OPTION."},

		{Path: "data.path", Scores: ScoresRows, Help: "Folder with train, valid and test files, one file, or the name of a domain's dataset."},
		{Path: "data.train", Scores: ScoresRows, Help: "File of training examples instead of the one found by data.path."},
		{Path: "data.valid", Scores: ScoresOther, Help: "File of validation examples instead of the one found by data.path."},
		{Path: "data.test", Help: "File of test examples instead of the one found by data.path."},
		{Path: "data.format", Stage: StageCorpus, Default: "auto", Help: "Format of the files: conll, jsonl, csv, tsv, parquet, text (.txt: a text in each line, without labels) or a dataset of the domain that has its own reader; auto goes by the file's ending."},
		{Path: "data.encoding", Stage: StageCorpus, Default: "auto", Values: []string{"auto", "utf-8", "gb18030", "utf-16", "latin-1"}, Help: "Character encoding; auto guesses and says what it guessed."},
		{Path: "data.text", Scores: ScoresRows, Stage: StageCorpus, Help: "Column or field with the text; empty means text, or a guess that is reported."},
		{Path: "data.text_b", Stage: StageCorpus, Help: "Column or field with the second text of a pair; empty means text_b if there is one."},
		{Path: "data.label", Scores: ScoresOther, Stage: StageCorpus, Help: "Column or field with the label; empty means label, or a guess that is reported."},
		{Path: "data.fields", Scores: ScoresRows, Stage: StageCorpus, Default: "{}", Help: "Other names: {text: question, text_b: answer} reads the field question as the text."},
		{Path: "data.head", Scores: ScoresOther, Stage: StageCorpus, Help: "The head that bare labels belong to; empty means the one head whose labels cover them."},
		{Path: "data.labels", Stage: StageCorpus, Default: "[]", Help: "Labels in the order of the model's outputs, for labels that no plugin declares; empty means sorted."},
		{Path: "data.scheme", Scores: ScoresOther, Stage: StageCorpus, Default: "bio", Values: []string{"bio", "none"}, Help: "Tags of token files: bio converts IOB1 and IOBES to BIO, none leaves any tags as they are."},
		{Path: "data.offsets", Scores: ScoresOther, Stage: StageCorpus, Default: "bytes", Values: []string{"bytes", "chars"}, Help: "Unit of start and end of spans: bytes of UTF-8, or characters."},
		{Path: "data.split", Scores: ScoresOther, Stage: StageCorpus, Default: "[0.8, 0.1, 0.1]", min: 0, max: 1, Help: "Shares of train, valid and test where one file is split by the hash of its texts."},
		{Path: "data.split_by", Scores: ScoresOther, Stage: StageCorpus, Help: "Field whose rows stay together when one file is split, such as a document's name; empty means the text."},
		{Path: "data.max_length", Scores: ScoresRows, Stage: StageCorpus, Default: "auto", words: auto, min: 4, max: maxLength, Help: "Longest input in word pieces, special tokens included; auto is the model's limit, at most 256."},
		{Path: "data.stride", Stage: StageCorpus, Default: "128", min: 0, max: maxLength, Help: "Word pieces that two windows of a passage share, where a head of answers (qa.v0) gets a passage that is longer than max_length; at most half a window."},
		{Path: "data.padding", Stage: StageTrain, Default: "longest", Values: []string{"longest", "max"}, Help: "Width of training batches: the longest row, with batches of similar length, or always max_length in plain shuffled order."},

		{Path: "data.share", Stage: StageCorpus, Default: "1", open: true, max: 1, Help: "Share of the training examples that are used, drawn by the seed, of each label; a larger share holds the smaller ones of its seed. islm train --curve compares shares."},
		{Path: "data.sampling", Stage: StageTrain, Default: SamplingProportional, Values: []string{SamplingProportional, SamplingTemperature, SamplingUniform}, Help: "How often the rows of each task come where several heads train at once (a task is the rows with labels of the same heads): each row once, tasks equally often (uniform), or in between (temperature). An epoch has as many rows in each case."},
		{Path: "data.temperature", Stage: StageTrain, Default: "2", min: 1, max: 1e6, Help: "Of sampling temperature: a task of n rows comes as often as n to the power of 1/temperature; 1 is proportional, large numbers are uniform."},

		{Path: "heads.NAME.kind", Scores: ScoresOther, Stage: StageCorpus, Values: headKinds(), Help: "Kind of the head; empty means as declared, or as the labels suggest. In tables multilabel.v0 splits a|b. mlm.v0 and clm.v0 make a language model of the texts that trains beside the other heads."},
		{Path: "heads.NAME.labels", Scores: ScoresOther, Stage: StageCorpus, Help: "Labels of the head in the order of the model's outputs."},
		{Path: "heads.NAME.loss", Stage: StageTrain, Values: []string{"ce", "bce", "mse", "mnr", "cosine"}, Help: "Loss of the head: ce and bce (cross-entropy), mse, or for pairs of vectors mnr (in-batch negatives) and cosine; empty means the kind's own."},
		{Path: "heads.NAME.class_weights", Stage: StageTrain, min: 0, max: 1e6, Help: "Weights of the labels in the loss, one per label."},
		{Path: "heads.NAME.pooling", Stage: StageTrain, Values: []string{"cls", "mean", "max", sdk.PoolingUnitMean}, Help: "How a text becomes one vector; unit-mean is the mean brought to length 1, empty means the first token through the model's pooler."},
		{Path: "heads.NAME.dropout", Stage: StageTrain, words: []word{{"model", 0}}, min: 0, max: 0.99, Help: "Dropout before the head's last layer."},
		{Path: "heads.NAME.weight", Stage: StageTrain, min: 0, max: 1e6, Help: "Share of the head in the joint loss."},
		{Path: "heads.NAME.scheme", Scores: ScoresOther, Stage: StageCorpus, Values: []string{"bio", "none", "bilou"}, Help: "Tags of a tag head: none means that the labels are the tags."},
		{Path: "heads.NAME.crf", Stage: StageTrain, Help: "A conditional random field on top of a tag head."},
		{Path: "heads.NAME.options", Stage: StageCorpus, Help: "Settings of one kind: max_answer (longest answer in word pieces, 30) and no_answer (on: a passage may hold none) of qa.v0, no_relation (the label that says none) and pairs (types of mentions that can be related, as A>B C>D) of relation.v0, size (width of a label's vectors, 64) of span.v0, separator (what stands between prompt and text: line, space or none; line) of generate.v0."},
		{Path: "heads.NAME.metrics", Scores: ScoresOther, Stage: StageEval, Help: "Metrics of the head; the first one chooses the best checkpoint."},

		{Path: "train.epochs", Stage: StageTrain, Default: "3", min: 0, max: maxCount, Help: "Passes over the training examples."},
		{Path: "train.steps", Stage: StageTrain, Default: "auto", words: auto, min: 1, max: maxCount, Help: "Optimizer steps; wins over epochs."},
		{Path: "train.batch_size", Stage: StageTrain, Default: "16", min: 1, max: maxBatch, Help: "Examples per batch."},
		{Path: "train.accumulate", Stage: StageTrain, Default: "1", min: 1, max: maxBatch, Help: "Batches per optimizer step; their gradients are summed as if they were one batch."},
		{Path: "train.lr", Stage: StageTrain, Default: "5e-05", min: 0, max: 10, Help: "Highest learning rate."},
		{Path: "train.head_lr", Stage: StageTrain, Default: "lr", words: []word{{"lr", 0}}, open: true, max: 10, Help: "Learning rate of the heads; lr means the same as the encoder's."},
		{Path: "train.schedule", Stage: StageTrain, Default: "linear", Values: []string{"linear", "cosine", "constant"}, Help: "Course of the learning rate after the warm-up: linear or cosine down to 0, or constant."},
		{Path: "train.warmup", Stage: StageTrain, Default: "0.06", min: 0, max: maxCount, Help: "Warm-up from 0 to the highest learning rate: a share of all steps when below 1, else a number of steps."},
		{Path: "train.weight_decay", Stage: StageTrain, Default: "0.01", min: 0, max: 10, Help: "Weight decay of matrices; biases and LayerNorm have none."},
		{Path: "train.dropout", Stage: StageTrain, Default: "model", words: []word{{"model", 0}}, min: 0, max: 0.99, Help: "Dropout of encoder and heads; model means as in config.json."},
		{Path: "train.clip", Stage: StageTrain, Default: "1", words: off, open: true, max: 1e9, Help: "Largest norm of the gradient of all parameters together."},
		{Path: "train.optimizer", Stage: StageTrain, Default: "adamw", Values: []string{"adamw", "adam", "sgd"}, Help: "Optimizer; adam has the weight decay in the gradient, adamw apart from it."},
		{Path: "train.beta1", Stage: StageTrain, Default: "0.9", min: 0, max: 0.999999999, Help: "Adam: decay of the mean of gradients."},
		{Path: "train.beta2", Stage: StageTrain, Default: "0.999", min: 0, max: 0.999999999, Help: "Adam: decay of the mean of squared gradients."},
		{Path: "train.eps", Stage: StageTrain, Default: "1e-08", open: true, max: 1, Help: "Adam: added to the denominator."},
		{Path: "train.momentum", Stage: StageTrain, Default: "0", min: 0, max: 0.999999999, Help: "SGD: momentum."},
		{Path: "train.nesterov", Stage: StageTrain, Default: "off", Help: "SGD: Nesterov's form of momentum."},
		{Path: "train.precision", Stage: StageTrain, Default: "auto", Values: []string{"auto", "fp32", "bf16"}, Help: "Arithmetic of the step; auto is bf16 where the hardware does it."},
		{Path: "train.device", Stage: StageTrain, Default: "auto", pattern: deviceForm, wants: "auto, cpu, cuda or cuda:N", Help: "Device: auto, cpu, cuda or cuda:N."},
		{Path: "train.threads", Stage: StageTrain, Default: "auto", words: auto, min: 1, max: 4096, Help: "CPU threads of libtorch; auto is all cores. Equal bytes need equal threads."},
		{Path: "train.shuffle", Stage: StageTrain, Default: "on", Help: "A new order of the examples in each epoch."},
		{Path: "train.eval_every", Stage: StageTrain, Default: "epoch", words: each, min: 1, max: maxCount, Help: "Validation every so many optimizer steps, or after each epoch, or only at the end (off)."},
		{Path: "train.patience", Stage: StageTrain, Default: "off", words: off, min: 1, max: maxCount, Help: "Stop after so many validations without a better score."},
		{Path: "train.metric", Scores: ScoresOther, Stage: StageTrain, Default: "auto", Help: "Score of a validation: METRIC or HEAD.METRIC, loss, or auto (macro_f1; entity_f1 for BIO tags)."},
		{Path: "train.checkpoint_every", Stage: StageTrain, Default: "epoch", words: each, min: 1, max: maxCount, Help: "Checkpoint every so many optimizer steps, or after each epoch, or never (off)."},
		{Path: "train.log_every", Default: "10", min: 1, max: maxCount, Help: "Write the loss to log.jsonl and tb/ every so many steps."},
		{Path: "train.freeze", Stage: StageTrain, Default: "[]", Help: "What is not trained: embeddings, layer N, layers A-B, `all but top N` (embeddings and all layers but the top N), encoder (all but the heads)."},
		{Path: "train.unfreeze_every", Stage: StageTrain, Default: "off", words: []word{{"off", 0}, {"epoch", -1}}, min: 1, max: maxCount, Help: "Gradual unfreezing: after each so many optimizer steps, or each epoch, the highest frozen layer is trained too, the embeddings last; train.freeze says what is frozen at first."},
		{Path: "train.peft", Stage: StageTrain, Default: "off", Values: PeftMethods(), Help: "What is trained instead of the whole encoder, besides the heads: low-rank updates (lora, rslora, dora, adalora), scales (ia3), bottlenecks (houlsby, pfeiffer), virtual tokens (prefix, ptuning, prompt) or biases (bitfit); off trains the encoder itself."},

		{Path: "peft.rank", Stage: StageTrain, Default: "8", min: 1, max: 4096, Help: "Rank of the updates of lora, rslora and dora; of adalora the mean rank at the end."},
		{Path: "peft.alpha", Stage: StageTrain, Default: "16", open: true, max: 1e6, Help: "Scale of low-rank updates: alpha/rank, for rslora alpha/√rank."},
		{Path: "peft.dropout", Stage: StageTrain, Default: "0", min: 0, max: 0.99, Help: "Dropout of the input of low-rank updates."},
		{Path: "peft.targets", Stage: StageTrain, Default: "[]", Help: "Linear maps that are adapted, by the end of their names, such as query or output.dense, or all-linear: every linear map of the layers; empty means the method's own for the architecture: of BERT query and value for low-rank updates, key, value and output.dense for ia3."},
		{Path: "peft.bottleneck", Stage: StageTrain, Default: "16", min: 1, max: maxLength, Help: "Width of the bottlenecks of houlsby and pfeiffer."},
		{Path: "peft.act", Stage: StageTrain, Default: "gelu", Values: []string{"gelu", "relu", "silu", "tanh"}, Help: "Activation of the bottlenecks."},
		{Path: "peft.tokens", Stage: StageTrain, Default: "16", min: 1, max: 1024, Help: "Virtual tokens of prefix, ptuning and prompt."},
		{Path: "peft.projection", Stage: StageTrain, Default: "auto", words: auto, min: 1, max: maxLength, Help: "Width of the network that makes the prefix while it is trained; auto is the model's."},
		{Path: "peft.init_rank", Stage: StageTrain, Default: "auto", words: auto, min: 1, max: 4096, Help: "adalora: rank of each weight at first; auto is half more than peft.rank."},
		{Path: "peft.warmup", Stage: StageTrain, Default: "0.1", min: 0, max: 0.9, Help: "adalora: share of the steps before the ranks begin to fall."},
		{Path: "peft.final", Stage: StageTrain, Default: "0.3", min: 0, max: 0.9, Help: "adalora: share of the steps after the ranks are settled."},
		{Path: "peft.every", Stage: StageTrain, Default: "10", min: 1, max: maxCount, Help: "adalora: steps from one allocation of ranks to the next."},
		{Path: "peft.beta1", Stage: StageTrain, Default: "0.85", open: true, max: 0.999999, Help: "adalora: decay of the mean importance."},
		{Path: "peft.beta2", Stage: StageTrain, Default: "0.85", open: true, max: 0.999999, Help: "adalora: decay of the uncertainty of the importance."},
		{Path: "peft.orthogonal", Stage: StageTrain, Default: "0.5", min: 0, max: 1000, Help: "adalora: weight of the loss that keeps the factors orthogonal."},

		{Path: "augment.packs", Stage: StageCorpus, Default: "[]", Help: "Rule packs that vary the training examples."},
		{Path: "augment.mode", Stage: StageCorpus, Default: "replace", pattern: modeForm, wants: "replace or `add: K`", Help: "Variants replace their example in an epoch, or K are added beside it (add: K)."},
		{Path: "augment.wordnet", Stage: StageCorpus, Default: "", Help: "Folder with the data files of a WordNet (data.noun, index.noun, …), for rules that want synonyms of a thesaurus."},
		{Path: "augment.code_variants", Stage: StageCorpus, Default: "1", min: 1, max: 100, Help: "How many variants of each training example a rule of kind code.v0 has its plugin make before training; the epochs draw from them."},
		{Path: "augment.without", Stage: StageCorpus, Default: "[]", Help: "Rules of the packs that are left out, as RULE or PACK/RULE; * leaves out all, so that mode add: K repeats the examples (a control)."},
		{Path: "knowledge.inject", Stage: StageCorpus, Values: append([]string{"off"}, InjectWays()...), Help: "How knowledge enters the model: gazetteer (type and position of linked mentions), features (of words), entity (vectors of linked entities), text (facts beside mentions), prompt (facts before the text), or several; empty or off is without."},
		{Path: "knowledge.kg", Help: "Folder of the knowledge graph, a store or a compiled view; empty means the facts of the domain's plugins."},
		{Path: "knowledge.types", Stage: StageCorpus, Default: "[]", Help: "Types of the entities that are linked, or ids of entities: one stands for all below it by is_a and its like and is their type, the first that fits; empty means all."},
		{Path: "knowledge.abbreviations", Stage: StageCorpus, Default: "off", Help: "Link the short forms that a text itself gives to names, as in 'myotonic dystrophy (DM)'."},
		{Path: "knowledge.vectors", Help: "Vectors of the graph's entities: the folder that `islm kg embed` made, or its safetensors file; entity wants it unless the compiled view holds them."},
		{Path: "knowledge.features", Stage: StageCorpus, Default: "[]", Help: "Names of word features to inject; empty means those that the domain declares, else all."},
		{Path: "knowledge.entity_layers", Stage: StageTrain, Default: "[]", min: 0, max: 999, Help: "Layers, from 0, after which the vectors of entities are fused; empty means the upper half."},
		{Path: "knowledge.entity_size", Stage: StageTrain, Default: "auto", words: auto, min: 1, max: maxLength, Help: "Width of the fusion of entity vectors; auto is half the model's."},
		{Path: "knowledge.text_facts", Stage: StageCorpus, Default: "2", min: 1, max: 64, Help: "Most facts written beside a mention, or before the text about an entity."},
		{Path: "knowledge.text_pieces", Stage: StageCorpus, Default: "12", min: 1, max: 256, Help: "Most word pieces of a fact; the rest of it is cut."},
		{Path: "knowledge.prompt_pieces", Stage: StageCorpus, Default: "64", min: 4, max: maxLength, Help: "Most word pieces of all facts before a text; the text itself always has its place first."},
		{Path: "knowledge.facts", Stage: StageCorpus, Default: "16", min: 1, max: 4096, Help: "Most facts of an entity in the compiled view, the weightiest first."},
		{Path: "knowledge.freeze_base", Stage: StageTrain, Default: "off", Help: "Train only the heads and the weights of the knowledge; the encoder keeps its values."},
		{Path: "knowledge.lr", Stage: StageTrain, Default: "lr", words: []word{{"lr", 0}}, open: true, max: 10, Help: "Learning rate of the weights that knowledge adds; lr means the same as the encoder's."},
		{Path: "knowledge.control", Stage: StageCorpus, Default: "off", Values: []string{"off", "shuffled", "zero"}, Help: "Train a control: shuffled injects as much with the wrong content, zero nothing through the same weights."},
		{Path: "distill.teachers", Stage: StageTrain, Default: "[]", Help: "Teachers of a student: model folders, or names in the model store. HEAD=MODEL calls the one head of a teacher by another name."},
		{Path: "distill.labels", Stage: StageTrain, Default: "0.5", min: 0, max: 1e6, Help: "Weight of the labels' own loss beside what the teachers say."},
		{Path: "distill.logits", Stage: StageTrain, Default: "1", min: 0, max: 1e6, Help: "Weight of the teachers' answers: Kullback-Leibler divergence of the heads' outputs at the temperature, times its square (Hinton et al. 2015)."},
		{Path: "distill.temperature", Stage: StageTrain, Default: "2", open: true, max: 1000, Help: "Temperature of the answers."},
		{Path: "distill.hidden", Stage: StageTrain, Default: "0", min: 0, max: 1e6, Help: "Weight of the squared difference of hidden states of mapped layers, through a learned projection where widths differ (TinyBERT)."},
		{Path: "distill.states", Stage: StageTrain, Default: "tokens", Values: []string{"tokens", "first"}, Help: "Hidden states to compare: of all tokens, or of the first one, both brought to length 1 (patient distillation)."},
		{Path: "distill.attention", Stage: StageTrain, Default: "0", min: 0, max: 1e6, Help: "Weight of the squared difference of attention scores of mapped layers; wants as many attention heads in both (TinyBERT)."},
		{Path: "distill.relation", Stage: StageTrain, Default: "0", min: 0, max: 1e6, Help: "Weight of the relations among queries, among keys and among values of the student's last layer (MiniLMv2)."},
		{Path: "distill.embeddings", Stage: StageTrain, Default: "0", min: 0, max: 1e6, Help: "Weight of the squared difference of the embeddings' outputs."},
		{Path: "distill.layers", Stage: StageTrain, Default: "[]", Help: "Layers that are compared, as STUDENT:TEACHER, from 0; empty spreads the student's layers evenly over the teacher's."},
		{Path: "distill.relation_layer", Stage: StageTrain, Default: "last", words: []word{{"last", -1}}, min: 0, max: 999, Help: "The teacher's layer, from 0, whose relations are learned."},
		{Path: "distill.relation_heads", Stage: StageTrain, Default: "auto", words: auto, min: 1, max: 4096, Help: "Heads that queries, keys and values are cut into for relations; auto is the teacher's attention heads."},
		{Path: "distill.cache", Stage: StageTrain, Default: "on", Help: "Compute the teachers' answers once and keep them on disk, where the training texts are the same in each epoch."},
		{Path: "student.from", Stage: StageTrain, Default: "teacher", Values: []string{StudentTeacher, StudentBase, StudentScratch}, Help: "Where a student's first weights come from: layers of the first teacher, the base model, or random numbers in the teacher's shape."},
		{Path: "student.layers", Stage: StageTrain, Default: "[]", min: 0, max: 999, Help: "Layers of the first teacher that the student keeps, from 0; empty keeps every second one, the last included (all of an ALBERT's, which is cut by width alone)."},
		{Path: "student.hidden", Stage: StageTrain, Default: "auto", words: auto, min: 1, max: maxLength, Help: "Width of the student; the teacher's weightiest units are kept."},
		{Path: "student.heads", Stage: StageTrain, Default: "auto", words: auto, min: 1, max: 4096, Help: "Attention heads of the student; auto keeps the size of a head. Of a Llama's, heads of queries that share one of keys stay or go together."},
		{Path: "student.intermediate", Stage: StageTrain, Default: "auto", words: auto, min: 1, max: maxLength, Help: "Width of the student's feed-forward layers; auto is in proportion to student.hidden."},
		{Path: "continue.data", Scores: ScoresRows, Help: "Examples that the model was trained on, as a folder or a file; empty means those of its own plan."},
		{Path: "continue.replay", Stage: StageTrain, Default: "0.1", min: 0, max: 1, Help: "Share of the old training examples that is trained again, taken evenly from the old labels."},
		{Path: "continue.balance", Stage: StageTrain, Default: "on", Help: "A replayed example counts in the loss for those of its label that are not replayed, in heads with one class of each text: class weights, unless heads.NAME.class_weights says them."},
		{Path: "continue.distill", Stage: StageTrain, Default: "1.5", min: 0, max: 1e6, Help: "Weight of the old model's answers to new and replayed texts (Li and Hoiem 2016, learning without forgetting), of heads of kind classify.v0, multilabel.v0, pair.v0 and tag.v0; without any of them it is 0."},
		{Path: "continue.temperature", Stage: StageTrain, Default: "2", open: true, max: 1000, Help: "Temperature of the old model's answers."},
		{Path: "continue.ewc", Stage: StageTrain, Default: "0", min: 0, max: 1e12, Help: "Weight of elastic weight consolidation: weights stay near their old values, the more the Fisher information says that they matter (Kirkpatrick et al. 2017)."},
		{Path: "continue.fisher", Stage: StageTrain, Default: "512", min: 1, max: maxCount, Help: "Most old training examples from which the Fisher information is estimated."},
		{Path: "continue.floors", Stage: StageEval, Default: "{}", Help: "Least F1 of old labels after the training, as LABEL or HEAD/LABEL, * for each: 0.8, or -0.02 for at most 2 points less than before. A label below its floor stops the release."},
		{Path: "vocab.extend", Stage: StageVocab, Default: "off", words: []word{{"off", 0}, {"all", -1}}, min: 1, max: 1 << 20, Help: "Add the domain's terms to the tokenizer: at most so many, all, or off. Those come first that save most pieces of the training texts."},
		{Path: "vocab.words", Stage: StageVocab, Default: "on", Help: "Words of the training texts may be added too, not only terms of the domain."},
		{Path: "vocab.phrases", Stage: StageVocab, Default: "off", Help: "Phrases of the training texts may be added too: two to four words that hold together, such as \"net sales\". WordPiece only; heads that read texts token by token do not find them."},
		{Path: "vocab.min_count", Stage: StageVocab, Default: "3", min: 1, max: maxCount, Help: "Least occurrences of a word or phrase of the training texts that is added."},
		{Path: "vocab.min_saved", Stage: StageVocab, Default: "0", min: 0, max: maxCount, Help: "Least pieces of the training texts that a term saves; with 0 terms that the texts do not hold are added too, after the others."},
		{Path: "vocab.init", Stage: StageVocab, Default: "mean", Values: []string{"mean", "similar", "random"}, Help: "Embeddings of new pieces: mean of those of their old pieces, of pieces in like contexts of the training texts, or random."},

		{Path: "fewshot.shots", Scores: ScoresRows, Stage: StageTrain, Default: "8", min: 1, max: maxCount, Help: "Examples of each class that islm fewshot learns from."},
		{Path: "fewshot.splits", Stage: StageTrain, Default: "10", min: 1, max: 20, Help: "Draws of examples over which methods are compared; the model learns from the first."},
		{Path: "fewshot.method", Stage: StageTrain, Default: "auto", Values: []string{"auto", "contrastive", "prototype", "probe", "finetune", "pattern"}, Help: "Method of islm fewshot; auto is contrastive, unless another is ahead of it by more than a standard error in a cross-validation on the first draw."},
		{Path: "fewshot.pairs", Stage: StageTrain, Default: "auto", words: auto, min: 1, max: maxCount, Help: "Pairs of texts that contrastive training is shown; auto is 40 for each example, from 960 to 4800."},
		{Path: "fewshot.c", Stage: StageTrain, Default: "1", open: true, max: 1e9, Help: "Inverse strength of the logistic regression's penalty, as scikit-learn's C."},
		{Path: "fewshot.epochs", Stage: StageTrain, Default: "20", min: 1, max: maxCount, Help: "Passes over the few examples in plain fine-tuning and with a pattern."},
		{Path: "fewshot.pattern", Stage: StageTrain, Help: "Method pattern: a text with the gaps {text} and {mask}, of which the language model fills the second, as {text} It was {mask}. (a causal one goes on with it, so that it stands at the end); {text_b} for pairs; empty means that of the head, else {mask}: {text}, or {text}: {mask} with a causal model."},
		{Path: "fewshot.verbalizer", Stage: StageTrain, Default: "{}", Help: "Method pattern: the word that stands for each label, as {up: good, down: bad|poor}, each one piece of the vocabulary; a label without one is its own word."},
		{Path: "pretrain.mask", Scores: ScoresOther, Stage: StageTrain, Default: "word", Values: []string{"token", "word", "entity"}, Help: "What is hidden together: single pieces, all pieces of a word, or also all words of an entity that the graph (knowledge.kg, or the plugins' facts) links."},
		{Path: "pretrain.share", Scores: ScoresOther, Stage: StageTrain, Default: "0.15", min: 0, open: true, max: 0.9, Help: "Share of the pieces that the model has to predict: of those 80 % are hidden, 10 % replaced, 10 % left."},
		{Path: "pretrain.dedup", Scores: ScoresRows, Stage: StageCorpus, Default: "near", Values: []string{"off", "exact", "near"}, Help: "Texts left out: the same as an earlier one, or nearly (MinHash); near keeps about 500 bytes of memory for each text."},
		{Path: "pretrain.task", Scores: ScoresOther, Stage: StageCorpus, Default: "off", Help: "The data are a task's labelled examples: the texts of its train split are trained on, those of its valid split held out, its test split is not looked at."},
		{Path: "pretrain.rows", Stage: StageCorpus, Default: "all", words: []word{{"all", 0}}, min: 1, max: maxCount, Help: "Most rows that are trained on, the first of the data."},
		{Path: "pretrain.like", Scores: ScoresRows, Help: "File or folder of texts: of the data only their nearest neighbours are trained on."},
		{Path: "pretrain.neighbours", Scores: ScoresRows, Stage: StageCorpus, Default: "50", min: 1, max: 1000, Help: "How many texts of the data are taken for each text of pretrain.like."},
		{Path: "pretrain.embedder", Scores: ScoresRows, Default: "all-MiniLM-L6-v2", Help: "Model whose vectors say how near texts are to those of pretrain.like: a folder, a name in the model store or a hub id."},
		{Path: "pretrain.scratch", Scores: ScoresOther, Stage: StageTrain, Default: "off", Help: "Train new weights in the shape of the base, with a vocabulary made of the data."},
		{Path: "pretrain.vocab_size", Scores: ScoresOther, Stage: StageVocab, Default: "30000", min: 300, max: 1 << 20, Help: "Pieces of the vocabulary of pretrain.scratch."},

		{Path: "generate.max_new_tokens", Stage: StageEval, Default: "64", min: 1, max: maxLength, Help: "Most tokens that are generated after a prompt."},
		{Path: "generate.beams", Stage: StageEval, Default: "1", min: 1, max: 64, Help: "Beams of a beam search; 1 takes the most probable token each time (greedy)."},
		{Path: "generate.temperature", Stage: StageEval, Default: "off", words: off, open: true, max: 100, Help: "Draw tokens from the model's distribution at this temperature; off draws nothing (greedy, or beams)."},
		{Path: "generate.top_k", Stage: StageEval, Default: "off", words: off, min: 1, max: maxCount, Help: "Draw among the most probable tokens, so many."},
		{Path: "generate.top_p", Stage: StageEval, Default: "off", words: []word{{"off", 1}}, open: true, max: 1, Help: "Draw among the fewest tokens that together have at least this probability (nucleus, Holtzman et al. 2020)."},
		{Path: "generate.repetition_penalty", Stage: StageEval, Default: "1", open: true, max: 100, Help: "Divide the scores of tokens that prompt or text hold already (multiply where negative); 1 is none (Keskar et al. 2019)."},
		{Path: "generate.length_penalty", Stage: StageEval, Default: "1", min: -100, max: 100, Help: "Beams are compared by their log-probability divided by length to this power; 0 favours short texts."},
		{Path: "generate.stop", Stage: StageEval, Default: "[]", Help: "Texts that end a generated text, \\n for a line break; they are cut off."},
		{Path: "eval.batch_size", Default: "32", min: 1, max: maxBatch, Help: "Examples per batch in validation, evaluation and prediction."},
		{Path: "eval.by", Stage: StageEval, Help: "Field whose groups are compared in reports."},
		{Path: "eval.controls", Default: "0", min: 0, max: 1000, Help: "Runs of each arm in which training ends by holding the injected knowledge against its controls, as islm eval --controls does; 0 is off."},
		{Path: "export.head", Help: "Head in config.json and model.safetensors; empty means the first one trained."},
	}
}

// headKinds are the kinds of head that this version trains.
func headKinds() []string {
	return []string{sdk.KindClassify, sdk.KindMultilabel, sdk.KindPair, sdk.KindRegress, sdk.KindRank, sdk.KindEmbed, sdk.KindTag, sdk.KindSpan, sdk.KindQA, sdk.KindRelation, sdk.KindGenerate, sdk.KindMLM, sdk.KindCLM}
}

// defaultText names the default of a key that the table leaves open: nothing.
func defaultText(k Key) string {
	switch k.Type {
	case "list", "list of numbers":
		return "[]"
	case "map":
		return "{}"
	}
	return ""
}
