package hf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// ConfigFile and WeightsFile are the names that transformers looks for.
const (
	ConfigFile  = "config.json"
	WeightsFile = "model.safetensors"
	IndexFile   = "model.safetensors.index.json"
	PickleFile  = "pytorch_model.bin"

	PickleIndexFile = "pytorch_model.bin.index.json"
)

// Config is a model's config.json: the fields that islm computes with, and
// every other field as it was, so that a saved folder keeps them.
type Config struct {
	Architecture string // first of `architectures`; "" when the list is empty
	ModelType    string // one of Supported

	VocabSize    int
	HiddenSize   int
	Layers       int
	Heads        int
	Intermediate int
	MaxPositions int // positions that a row may fill
	TypeVocab    int
	Act          string // gelu | gelu_new | relu | tanh | silu

	EmbeddingSize int // of ALBERT's embeddings, before they are widened; elsewhere HiddenSize
	Groups        int // of ALBERT: sets of weights that the layers share; elsewhere 0

	// Of Llama.
	KeyHeads      int // heads of keys and values
	HeadSize      int // width of a head
	Rope          Rope
	AttentionBias bool
	FeedBias      bool

	// FirstPosition is the row of the position embeddings of the first token:
	// after the padding id in RoBERTa, else 0.
	FirstPosition int

	EmbeddingDropout  float64
	HiddenDropout     float64
	AttentionDropout  float64
	ClassifierDropout *float64 // nil = HiddenDropout
	InitRange         float64
	LayerNormEps      float64
	PadTokenID        int
	TieWords          bool    // a language-model head uses the word embeddings
	EndTokens         []int32 // eos_token_id: ids that end a text

	Labels      []string // id2label in order of the ids; nil when absent
	ProblemType string   // "" | single_label_classification | multi_label_classification | regression
	Requires    []string // islm.requires: what transformers would compute without

	rest map[string]json.RawMessage
}

// HeadDropout is the dropout before a classifier: classifier_dropout, else
// hidden_dropout_prob, as in transformers.
func (c *Config) HeadDropout() float64 {
	if c.ClassifierDropout != nil {
		return *c.ClassifierDropout
	}
	return c.HiddenDropout
}

// Clone returns a deep copy.
func (c *Config) Clone() *Config {
	d := *c
	d.Labels, d.Requires = slices.Clone(c.Labels), slices.Clone(c.Requires)
	d.rest, d.EndTokens = maps.Clone(c.rest), slices.Clone(c.EndTokens)
	if c.ClassifierDropout != nil {
		v := *c.ClassifierDropout
		d.ClassifierDropout = &v
	}
	return &d
}

// ReadConfig reads and checks dir/config.json. The config is nil when there
// are errors among the diagnostics.
func ReadConfig(dir string) (*Config, sdk.Diagnostics) {
	path := filepath.Join(dir, ConfigFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, sdk.Diagnostics{{
			Severity: sdk.Error, Code: "model.config", File: path, Summary: "the model folder has no config.json",
			Remedy: "give a Hugging Face model folder (config.json, model.safetensors, tokenizer.json)",
		}}
	}
	if err != nil {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "model.config", File: path, Summary: err.Error()}}
	}
	return ParseConfig(path, data)
}

// ParseConfig checks the text of a config.json; name stands in diagnostics.
func ParseConfig(name string, data []byte) (*Config, sdk.Diagnostics) {
	p := parser{file: name}
	if err := json.Unmarshal(data, &p.raw); err != nil {
		line, col := place(data, err)
		return nil, sdk.Diagnostics{{
			Severity: sdk.Error, Code: "model.config", File: name, Line: line, Column: col,
			Summary: "config.json is not a JSON object: " + err.Error(),
		}}
	}
	if p.raw == nil {
		p.raw = map[string]json.RawMessage{}
	}
	c := &Config{rest: p.raw}
	var archs []string
	p.get("architectures", &archs)
	if len(archs) > 0 {
		c.Architecture = archs[0]
	}
	p.get("model_type", &c.ModelType)
	if c.ModelType == "" && strings.HasPrefix(c.Architecture, "Bert") {
		c.ModelType = "bert"
	}
	if !slices.Contains(Supported(), c.ModelType) {
		what := c.ModelType
		if what == "" {
			what = "(none)"
		}
		p.fail("model.architecture", "model_type", fmt.Sprintf("unknown architecture: model_type %s, architectures %v", what, archs),
			"supported model types: "+strings.Join(Supported(), ", "))
		return nil, p.diags
	}

	c.HiddenDropout, c.AttentionDropout, c.InitRange = 0.1, 0.1, 0.02
	arch := c.Arch()
	arch.read(&p, c)
	if c.HiddenSize > 0 && c.Heads > 0 && c.HeadSize == 0 && c.HiddenSize%c.Heads != 0 {
		p.fail("model.config", "num_attention_heads", fmt.Sprintf("hidden_size %d is not a multiple of num_attention_heads %d", c.HiddenSize, c.Heads), "")
	}
	if !slices.Contains([]string{"gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "tanh", "silu", "swish"}, c.Act) {
		p.fail("model.config", "hidden_act", "unknown activation "+strconv.Quote(c.Act), "known: gelu, gelu_new, gelu_pytorch_tanh, relu, tanh, silu")
	}
	if c.EmbeddingSize == 0 {
		c.EmbeddingSize = c.HiddenSize
	}
	p.positive("initializer_range", &c.InitRange)
	p.get("pad_token_id", &c.PadTokenID)
	p.get("problem_type", &c.ProblemType)
	c.TieWords = c.ModelType != "llama"
	p.get("tie_word_embeddings", &c.TieWords)
	c.EndTokens = p.ids("eos_token_id", c.VocabSize)
	c.Labels = p.labels()
	var own struct {
		Requires []string `json:"requires"`
	}
	p.get("islm", &own)
	c.Requires = own.Requires
	if len(p.diags) > 0 {
		return nil, p.diags
	}
	return c, nil
}

// Encode renders config.json: sorted keys, two spaces, a final newline. Fields
// that islm does not know are kept.
func (c *Config) Encode() ([]byte, error) {
	out := make(map[string]any, len(c.rest)+16)
	for k, v := range c.rest {
		out[k] = v
	}
	delete(out, "_name_or_path")
	delete(out, "id2label")
	delete(out, "label2id")
	delete(out, "problem_type")
	delete(out, "islm")
	delete(out, "num_labels")
	out["architectures"] = []string{c.Architecture}
	out["model_type"] = c.ModelType
	out["vocab_size"] = c.VocabSize
	c.Arch().write(c, out)
	if c.Labels != nil {
		id2label, label2id := make(map[string]string, len(c.Labels)), make(map[string]int, len(c.Labels))
		for i, l := range c.Labels {
			id2label[strconv.Itoa(i)] = l
			label2id[l] = i
		}
		out["id2label"] = ordered(c.Labels)
		out["label2id"] = label2id
	}
	if c.ProblemType != "" {
		out["problem_type"] = c.ProblemType
	}
	if len(c.Requires) > 0 {
		out["islm"] = map[string]any{"requires": c.Requires}
	}
	delete(out, "torch_dtype") // the weights are written in fp32
	out["dtype"] = "float32"
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return nil, fmt.Errorf("encode config.json: %w", err)
	}
	return buf.Bytes(), nil
}

// ordered keeps id2label in the order of its numbers ("10" after "9").
type ordered []string

// MarshalJSON writes {"0": first, "1": second, …}.
func (o ordered) MarshalJSON() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	buf.WriteByte('{')
	for i, l := range o {
		if i > 0 {
			buf.WriteByte(',')
		}
		fmt.Fprintf(&buf, "%q:", strconv.Itoa(i))
		if err := enc.Encode(l); err != nil {
			return nil, err
		}
	}
	buf.WriteByte('}')
	return buf.Bytes(), nil
}

// parser collects what is wrong with one config.json.
type parser struct {
	file  string
	raw   map[string]json.RawMessage
	diags sdk.Diagnostics
}

func (p *parser) fail(code, key, summary, remedy string) {
	p.diags = append(p.diags, sdk.Diagnostic{Severity: sdk.Error, Code: code, File: p.file, Path: key, Summary: summary, Remedy: remedy})
}

func (p *parser) has(key string) bool {
	v, ok := p.raw[key]
	return ok && string(bytes.TrimSpace(v)) != "null"
}

func (p *parser) get(key string, into any) {
	if !p.has(key) {
		return
	}
	if err := json.Unmarshal(p.raw[key], into); err != nil {
		p.fail("model.config", key, key+" has the wrong type: "+string(p.raw[key]), "")
	}
}

// size reads a positive whole number; def 0 makes the key mandatory.
func (p *parser) size(key string, into *int, def int) {
	*into = def
	if !p.has(key) {
		if def == 0 {
			p.fail("model.config", key, key+" is missing", "")
		}
		return
	}
	before := len(p.diags)
	p.get(key, into)
	if len(p.diags) == before && (*into <= 0 || *into > 1<<30) {
		p.fail("model.config", key, fmt.Sprintf("%s is %d, not a size", key, *into), "")
	}
}

// dropout reads a dropout that may be absent.
func (p *parser) dropout(key string, into **float64) {
	if p.has(key) {
		v := 0.0
		p.share(key, &v)
		*into = &v
	}
}

func (p *parser) share(key string, into *float64) {
	p.get(key, into)
	if *into < 0 || *into >= 1 {
		p.fail("model.config", key, fmt.Sprintf("%s is %g, not in [0, 1)", key, *into), "")
	}
}

func (p *parser) positive(key string, into *float64) {
	p.get(key, into)
	if *into <= 0 || *into > 10 {
		p.fail("model.config", key, fmt.Sprintf("%s is %g, not a small positive number", key, *into), "")
	}
}

// ids reads an id or a list of ids; those beyond the vocabulary are left out, as
// many configs carry another tokenizer's.
func (p *parser) ids(key string, vocab int) (ids []int32) {
	if !p.has(key) {
		return nil
	}
	var all []int
	if bytes.HasPrefix(bytes.TrimSpace(p.raw[key]), []byte("[")) {
		p.get(key, &all)
	} else {
		all = make([]int, 1)
		p.get(key, &all[0])
	}
	for _, id := range all {
		if id >= 0 && id < vocab {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

func (p *parser) labels() []string {
	if !p.has("id2label") {
		return nil
	}
	var m map[string]string
	before := len(p.diags)
	p.get("id2label", &m)
	if len(p.diags) > before {
		return nil
	}
	out := make([]string, len(m))
	for k, v := range m {
		i, err := strconv.Atoi(k)
		if err != nil || i < 0 || i >= len(m) {
			p.fail("model.config", "id2label", fmt.Sprintf("id2label has the id %q, but %d labels are numbered from 0", k, len(m)), "")
			return nil
		}
		out[i] = v
	}
	return out
}

// place turns the offset of a JSON error into a line and a column, from 1.
func place(data []byte, err error) (line, col int) {
	var syn *json.SyntaxError
	var typ *json.UnmarshalTypeError
	var at int64
	switch {
	case errors.As(err, &syn):
		at = syn.Offset
	case errors.As(err, &typ):
		at = typ.Offset
	default:
		return 0, 0
	}
	at = min(max(at-1, 0), int64(len(data)))
	line = 1 + bytes.Count(data[:at], []byte{'\n'})
	col = int(at) - bytes.LastIndexByte(data[:at], '\n')
	return line, col
}
