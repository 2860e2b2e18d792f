package hf

import (
	"fmt"
	"slices"
	"strings"
)

// Architecture is what sets a model type apart in a folder: names, shapes and
// the keys of config.json.
type Architecture struct {
	ModelType string
	Class     string // begins transformers' class names: "Bert" of BertForMaskedLM
	Prefix    string // of the encoder's weights in a model with a head: "bert."
	Causal    bool   // a position sees itself and those before it
	LM        string // ends the class name of its language model: "ForMaskedLM"

	read    func(p *parser, c *Config)
	write   func(c *Config, out map[string]any)
	encoder func(c *Config) []Tensor
	lm      func(c *Config) []Tensor
	parts   []string // first parts of the encoder's canonical names
}

// architectures lists the model types that core/model can build.
func architectures() []Architecture {
	roberta := func(modelType, class string) Architecture {
		return Architecture{
			ModelType: modelType, Class: class, Prefix: "roberta.", LM: "ForMaskedLM",
			read: readRoberta, write: writeBert, encoder: encoderBert, lm: lmRoberta, parts: bertParts(),
		}
	}
	return []Architecture{
		{
			ModelType: "albert", Class: "Albert", Prefix: "albert.", LM: "ForMaskedLM",
			read: readAlbert, write: writeAlbert, encoder: encoderAlbert, lm: lmAlbert, parts: bertParts(),
		},
		{
			ModelType: "bert", Class: "Bert", Prefix: "bert.", LM: "ForMaskedLM",
			read: readBert, write: writeBert, encoder: encoderBert, lm: lmBert, parts: bertParts(),
		},
		{
			ModelType: "distilbert", Class: "DistilBert", Prefix: "distilbert.", LM: "ForMaskedLM",
			read: readDistilBert, write: writeDistilBert, encoder: encoderDistilBert, lm: lmDistilBert, parts: []string{"embeddings", "transformer"},
		},
		{
			ModelType: "gpt2", Class: "GPT2", Prefix: "transformer.", Causal: true, LM: "LMHeadModel",
			read: readGPT2, write: writeGPT2, encoder: encoderGPT2, lm: lmTied, parts: []string{"wte", "wpe", "h", "ln_f"},
		},
		{
			ModelType: "llama", Class: "Llama", Prefix: "model.", Causal: true, LM: "ForCausalLM",
			read: readLlama, write: writeLlama, encoder: encoderLlama, lm: lmTied, parts: []string{"embed_tokens", "layers", "norm"},
		},
		roberta("roberta", "Roberta"),
		roberta("xlm-roberta", "XLMRoberta"),
	}
}

// ArchitectureOf returns the architecture of a config's model_type.
func ArchitectureOf(modelType string) (Architecture, bool) {
	all := architectures()
	i := slices.IndexFunc(all, func(a Architecture) bool { return a.ModelType == modelType })
	if i < 0 {
		return Architecture{}, false
	}
	return all[i], true
}

// Supported lists the model types that core/model can build, sorted.
func Supported() (types []string) {
	for _, a := range architectures() {
		types = append(types, a.ModelType)
	}
	slices.Sort(types)
	return types
}

// Arch is the config's architecture; configs that were parsed have one.
func (c *Config) Arch() Architecture {
	a, _ := ArchitectureOf(c.ModelType)
	return a
}

// Causal reports whether a position sees only itself and those before it.
func (c *Config) Causal() bool { return c.Arch().Causal }

// OwnHeads reports whether each classifier has its own layer before the last
// one, as RobertaForSequenceClassification, instead of BERT's pooler.
func (c *Config) OwnHeads() bool {
	return slices.Contains([]string{"roberta", "xlm-roberta", "distilbert"}, c.ModelType)
}

// Encoder lists the weights of the bare encoder in the order in which
// transformers registers them, the pooler not among them.
func (c *Config) Encoder() []Tensor { return c.Arch().encoder(c) }

// LMHead lists the weights of the architecture's language-model head as
// transformers names them. A decoder that is tied to the word embeddings is not
// among them.
func (c *Config) LMHead() []Tensor { return c.Arch().lm(c) }

// Maps names the weight matrices of the encoder that an adapter may change, without
// ".weight": those of BERT's embeddings are none.
func (c *Config) Maps() (names []string) {
	for _, t := range c.Encoder() {
		if name, ok := strings.CutSuffix(t.Name, ".weight"); ok && len(t.Shape) == 2 && !strings.HasPrefix(name, "embeddings.") {
			names = append(names, name)
		}
	}
	return names
}

// Words is the name of the word embeddings.
func (c *Config) Words() string { return c.Encoder()[0].Name }

// Layer gives the number of the layer that an encoder's weight belongs to, -1
// for embeddings and what follows the last layer, which end tells apart.
func (c *Config) Layer(name string) (layer int, end bool) {
	if rest, ok := strings.CutPrefix(name, "encoder.albert_layer_groups."); ok {
		group := 0
		if _, err := fmt.Sscanf(rest, "%d.", &group); err == nil {
			return (group+1)*c.Layers/max(1, c.Groups) - 1, false // the last one that shares the weights
		}
	}
	for _, stem := range []string{"encoder.layer.", "transformer.layer.", "h.", "layers."} {
		if rest, ok := strings.CutPrefix(name, stem); ok {
			if _, err := fmt.Sscanf(rest, "%d.", &layer); err == nil {
				return layer, false
			}
		}
	}
	return -1, strings.HasPrefix(name, "ln_f.") || strings.HasPrefix(name, "norm.")
}

// HeadWeights names the weights of a classifier with k outputs as transformers
// has them for this architecture: of whole rows, or of tokens.
func (c *Config) HeadWeights(tokens bool, k int64) []Tensor {
	h := int64(c.HiddenSize)
	switch {
	case tokens && c.ModelType == "llama":
		return dense(nil, "score", "-h", k, h)
	case tokens || !c.OwnHeads() && !c.Causal():
		return dense(nil, "classifier", "-h", k, h)
	case c.ModelType == "distilbert":
		return dense(dense(nil, "pre_classifier", "hh", h, h), "classifier", "-h", k, h)
	case c.Causal():
		return table(nil, "score", "-h", int(k), c.HiddenSize)
	}
	return dense(dense(nil, "classifier.dense", "hh", h, h), "classifier.out_proj", "-h", k, h)
}

// ScoreBias is the bias of a causal model's classifier, which …ForSequenceClassification
// does not have.
const ScoreBias = "score.bias"

// Answers begins the names of the two weights of a head of answers (qa.v0), as in
// transformers' …ForQuestionAnswering.
const Answers = "qa_outputs."

func bertParts() []string { return []string{"embeddings", "encoder", "pooler"} }

func encoderBert(c *Config) []Tensor {
	h, inter := int64(c.HiddenSize), int64(c.Intermediate)
	out := table(nil, "embeddings.word_embeddings", "-h", c.VocabSize, c.HiddenSize)
	out = table(out, "embeddings.position_embeddings", "-h", c.MaxPositions+c.FirstPosition, c.HiddenSize)
	out = table(out, "embeddings.token_type_embeddings", "-h", c.TypeVocab, c.HiddenSize)
	out = norm(out, "embeddings.LayerNorm", "h", h)
	for i := range c.Layers {
		layer := fmt.Sprintf("encoder.layer.%d.", i)
		out = dense(out, layer+"attention.self.query", "qh", h, h)
		out = dense(out, layer+"attention.self.key", "kh", h, h)
		out = dense(out, layer+"attention.self.value", "kh", h, h)
		out = dense(out, layer+"attention.output.dense", "hq", h, h)
		out = norm(out, layer+"attention.output.LayerNorm", "h", h)
		out = dense(out, layer+"intermediate.dense", "fh", inter, h)
		out = dense(out, layer+"output.dense", "hf", h, inter)
		out = norm(out, layer+"output.LayerNorm", "h", h)
	}
	return out
}

// encoderGPT2: its linear maps are transformers' Conv1D, whose weights lie in
// the file as [in, out].
func encoderGPT2(c *Config) []Tensor {
	h, inter := int64(c.HiddenSize), int64(c.Intermediate)
	out := table(nil, "wte", "-h", c.VocabSize, c.HiddenSize)
	out = table(out, "wpe", "-h", c.MaxPositions, c.HiddenSize)
	conv := func(name, axes string, to, from int64) {
		out = dense(out, name, axes, to, from)
		out[len(out)-2].Transposed = true
	}
	for i := range c.Layers {
		layer := fmt.Sprintf("h.%d.", i)
		out = norm(out, layer+"ln_1", "h", h)
		conv(layer+"attn.c_attn", "ch", 3*h, h)
		conv(layer+"attn.c_proj", "hq", h, h)
		out = norm(out, layer+"ln_2", "h", h)
		conv(layer+"mlp.c_fc", "fh", inter, h)
		conv(layer+"mlp.c_proj", "hf", h, inter)
	}
	return norm(out, "ln_f", "h", h)
}

// Beginnings of the names of language-model heads.
const (
	BertLM  = "cls.predictions."
	PlainLM = "lm_head."

	albertLM = "predictions."
	distilLM = "vocab_"
)

// OfLMHead reports whether a weight of a folder, or of a head, belongs to a language
// model.
func OfLMHead(name string) bool {
	return slices.ContainsFunc([]string{BertLM, PlainLM, albertLM, distilLM}, func(p string) bool { return strings.HasPrefix(name, p) })
}

// DecoderBias reports the bias of a decoder that transforms first, which
// transformers knows under a second name when the decoder is not tied.
func DecoderBias(name string) bool {
	return name == BertLM+"bias" || name == PlainLM+"bias" || name == albertLM+"bias"
}

func lmBert(c *Config) []Tensor {
	return transformed(c, BertLM+"transform.dense", BertLM+"transform.LayerNorm", BertLM)
}

func lmRoberta(c *Config) []Tensor {
	return transformed(c, PlainLM+"dense", PlainLM+"layer_norm", PlainLM)
}

// transformed is a head that transforms a vector before it decodes it.
func transformed(c *Config, transform, after, at string) []Tensor {
	h, v := int64(c.HiddenSize), int64(c.VocabSize)
	out := norm(dense(nil, transform, "hh", h, h), after, "h", h)
	out = append(out, Tensor{Name: at + "bias", Shape: []int64{v}})
	if !c.TieWords {
		out = table(out, at+"decoder", "-h", c.VocabSize, c.HiddenSize)
	}
	return out
}

// lmTied is a decoder alone.
func lmTied(c *Config) []Tensor {
	if c.TieWords {
		return nil
	}
	return table(nil, strings.TrimSuffix(PlainLM, "."), "-h", c.VocabSize, c.HiddenSize)
}

func readBert(p *parser, c *Config) {
	p.size("vocab_size", &c.VocabSize, 0)
	p.size("hidden_size", &c.HiddenSize, 0)
	p.size("num_hidden_layers", &c.Layers, 0)
	p.size("num_attention_heads", &c.Heads, 0)
	p.size("intermediate_size", &c.Intermediate, 0)
	p.size("max_position_embeddings", &c.MaxPositions, 512)
	p.size("type_vocab_size", &c.TypeVocab, 2)
	c.Act = "gelu"
	p.get("hidden_act", &c.Act)
	position := "absolute"
	p.get("position_embedding_type", &position)
	if position != "absolute" {
		p.fail("model.config", "position_embedding_type", fmt.Sprintf("position embeddings of type %q are not supported", position), "use a model with absolute position embeddings")
	}
	decoder := false
	p.get("is_decoder", &decoder)
	if decoder {
		p.fail("model.config", "is_decoder", fmt.Sprintf("a model of type %s used as a decoder is not supported", c.ModelType), "")
	}
	c.LayerNormEps = 1e-12
	p.share("hidden_dropout_prob", &c.HiddenDropout)
	p.share("attention_probs_dropout_prob", &c.AttentionDropout)
	c.EmbeddingDropout = c.HiddenDropout
	p.dropout("classifier_dropout", &c.ClassifierDropout)
	p.positive("layer_norm_eps", &c.LayerNormEps)
}

// readRoberta: positions begin after the padding id (fairseq's legacy).
func readRoberta(p *parser, c *Config) {
	c.PadTokenID = 1
	p.get("pad_token_id", &c.PadTokenID)
	readBert(p, c)
	c.FirstPosition = c.PadTokenID + 1
	if c.MaxPositions -= c.FirstPosition; c.MaxPositions <= 0 && len(p.diags) == 0 {
		p.fail("model.config", "max_position_embeddings", fmt.Sprintf("max_position_embeddings leaves no position after the padding id %d", c.PadTokenID), "")
	}
}

func writeBert(c *Config, out map[string]any) {
	out["hidden_size"] = c.HiddenSize
	out["num_hidden_layers"] = c.Layers
	out["num_attention_heads"] = c.Heads
	out["intermediate_size"] = c.Intermediate
	out["max_position_embeddings"] = c.MaxPositions + c.FirstPosition
	out["type_vocab_size"] = c.TypeVocab
	out["hidden_act"] = c.Act
	out["hidden_dropout_prob"] = c.HiddenDropout
	out["attention_probs_dropout_prob"] = c.AttentionDropout
	out["classifier_dropout"] = c.ClassifierDropout
	out["pad_token_id"] = c.PadTokenID
}

func readGPT2(p *parser, c *Config) {
	p.size("vocab_size", &c.VocabSize, 0)
	p.size("n_embd", &c.HiddenSize, 768)
	p.size("n_layer", &c.Layers, 12)
	p.size("n_head", &c.Heads, 12)
	p.size("n_positions", &c.MaxPositions, 1024)
	c.Intermediate = 4 * c.HiddenSize
	if p.has("n_inner") {
		p.size("n_inner", &c.Intermediate, 0)
	}
	c.TypeVocab = 1
	c.Act = "gelu_new"
	p.get("activation_function", &c.Act)
	c.LayerNormEps = 1e-5
	p.positive("layer_norm_epsilon", &c.LayerNormEps)
	c.EmbeddingDropout = 0.1
	p.share("embd_pdrop", &c.EmbeddingDropout)
	p.share("resid_pdrop", &c.HiddenDropout)
	p.share("attn_pdrop", &c.AttentionDropout)
	p.dropout("classifier_dropout", &c.ClassifierDropout)
	for _, key := range []string{"scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"} {
		on := false
		if p.get(key, &on); on {
			p.fail("model.config", key, key+" is not supported", "")
		}
	}
	scaled := true
	if p.get("scale_attn_weights", &scaled); !scaled {
		p.fail("model.config", "scale_attn_weights", "attention without scaling is not supported", "")
	}
}

func writeGPT2(c *Config, out map[string]any) {
	out["n_embd"] = c.HiddenSize
	out["n_layer"] = c.Layers
	out["n_head"] = c.Heads
	out["n_positions"] = c.MaxPositions
	out["n_inner"] = c.Intermediate
	out["activation_function"] = c.Act
	out["embd_pdrop"] = c.EmbeddingDropout
	out["resid_pdrop"] = c.HiddenDropout
	out["attn_pdrop"] = c.AttentionDropout
	if c.ClassifierDropout != nil {
		out["classifier_dropout"] = *c.ClassifierDropout
	}
}
