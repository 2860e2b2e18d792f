package modelstore

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Card describes a model folder without loading it.
type Card struct {
	Dir           string           `json:"dir"`
	Architectures []string         `json:"architectures,omitempty"` // as in config.json
	Type          string           `json:"model_type"`              // bert, gpt2, …
	Hidden        int64            `json:"hidden_size"`
	Layers        int64            `json:"layers"`
	Heads         int64            `json:"attention_heads"`
	MaxLength     int64            `json:"max_length"` // position embeddings
	Vocab         int64            `json:"vocab_size"`
	Labels        []string         `json:"labels,omitempty"` // in the order of the outputs
	Tokenizer     Tokenizer        `json:"tokenizer"`
	Parameters    int64            `json:"parameters"` // floating-point numbers in the weight files
	DTypes        map[string]int64 `json:"dtypes,omitempty"`
	Tensors       int              `json:"tensors"`
	Weights       []string         `json:"weights,omitempty"` // weight files
	Bytes         int64            `json:"bytes"`             // size of the weight files
	Requires      map[string]any   `json:"requires,omitempty"`
}

// Tokenizer says how a model's texts become ids.
type Tokenizer struct {
	Kind      string `json:"kind"` // WordPiece, BPE, byte-level BPE, Unigram, SentencePiece or ""
	File      string `json:"file,omitempty"`
	Vocab     int64  `json:"vocab_size,omitempty"` // added tokens included; 0 if the file does not show it
	Lowercase bool   `json:"lowercase,omitempty"`
}

// Inspect reads a model folder's config.json, tokenizer files and weight headers.
// Everything that would keep the model from loading (a missing shard, a truncated
// file, sizes that do not agree) is a diagnostic; the card holds what could be
// read. The error is for folders that cannot be read at all.
func Inspect(dir string) (*Card, sdk.Diagnostics, error) {
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, nil, problem("model.unknown", fmt.Sprintf("folder %s does not exist", dir), "", "check the path, or name a model of `islm model list`")
	}
	c := &Card{Dir: dir}
	var diags sdk.Diagnostics
	c.readConfig(&diags)
	c.readTokenizer(&diags)
	tensors := c.readWeights(&diags)
	c.compare(tensors, &diags)
	return c, diags, nil
}

func (c *Card) readConfig(diags *sdk.Diagnostics) {
	file := filepath.Join(c.Dir, "config.json")
	data, err := os.ReadFile(file)
	if err != nil {
		diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.config", Summary: "config.json cannot be read", Detail: err.Error(), File: file, Remedy: "name a Hugging Face model folder"})
		return
	}
	var cfg struct {
		Architectures []string          `json:"architectures"`
		Type          string            `json:"model_type"`
		Hidden        int64             `json:"hidden_size"`
		NEmbd         int64             `json:"n_embd"`
		DModel        int64             `json:"d_model"`
		Dim           int64             `json:"dim"`
		Layers        int64             `json:"num_hidden_layers"`
		NLayer        int64             `json:"n_layer"`
		NLayers       int64             `json:"n_layers"`
		NumLayers     int64             `json:"num_layers"`
		Heads         int64             `json:"num_attention_heads"`
		NHead         int64             `json:"n_head"`
		NHeads        int64             `json:"n_heads"`
		Positions     int64             `json:"max_position_embeddings"`
		NPositions    int64             `json:"n_positions"`
		Vocab         int64             `json:"vocab_size"`
		ID2Label      map[string]string `json:"id2label"`
		Islm          struct {
			Requires map[string]any `json:"requires"`
		} `json:"islm"`
	}
	if err := json.Unmarshal(data, &cfg); err != nil {
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "model.config", Summary: "config.json is not a model configuration", Detail: err.Error(), File: file, Remedy: "fetch the model again"}
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			d.Line, d.Column = position(data, syntax.Offset)
		}
		diags.Add(d)
		return
	}
	c.Architectures, c.Type = cfg.Architectures, cfg.Type
	c.Hidden = cmp.Or(cfg.Hidden, cfg.NEmbd, cfg.DModel, cfg.Dim)
	c.Layers = cmp.Or(cfg.Layers, cfg.NLayer, cfg.NLayers, cfg.NumLayers)
	c.Heads = cmp.Or(cfg.Heads, cfg.NHead, cfg.NHeads)
	c.MaxLength = cmp.Or(cfg.Positions, cfg.NPositions)
	c.Vocab = cfg.Vocab
	c.Requires = cfg.Islm.Requires
	for i := range len(cfg.ID2Label) {
		label, ok := cfg.ID2Label[strconv.Itoa(i)]
		if !ok {
			diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.config", Summary: fmt.Sprintf("id2label has %d labels but none with id %d", len(cfg.ID2Label), i), File: file, Path: "id2label", Remedy: "number the labels 0, 1, 2, …"})
			break
		}
		c.Labels = append(c.Labels, label)
	}
	if c.Type == "" && len(c.Architectures) == 0 {
		diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.config", Summary: "config.json names neither model_type nor architectures", File: file, Remedy: "name a folder that transformers can load"})
	}
}

func position(data []byte, offset int64) (line, column int) {
	before := string(data[:min(int(max(offset-1, 0)), len(data))])
	line = strings.Count(before, "\n") + 1
	return line, len([]rune(before[strings.LastIndex(before, "\n")+1:])) + 1
}

func (c *Card) readTokenizer(diags *sdk.Diagnostics) {
	file := filepath.Join(c.Dir, "tokenizer.json")
	data, err := os.ReadFile(file)
	switch {
	case err == nil:
		c.Tokenizer.File = "tokenizer.json"
		if err := c.parseTokenizer(data); err != nil {
			diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.tokenizer", Summary: "tokenizer.json cannot be read", Detail: err.Error(), File: file, Remedy: "fetch the model again"})
		}
		return
	case !errors.Is(err, fs.ErrNotExist):
		diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.tokenizer", Summary: "tokenizer.json cannot be read", Detail: err.Error(), File: file})
		return
	}
	if data, err := os.ReadFile(filepath.Join(c.Dir, "vocab.txt")); err == nil {
		text := strings.TrimRight(string(data), "\r\n")
		c.Tokenizer = Tokenizer{Kind: "WordPiece", File: "vocab.txt", Vocab: int64(strings.Count(text, "\n") + 1), Lowercase: c.lowersVocab()}
		return
	}
	if data, err := os.ReadFile(filepath.Join(c.Dir, "vocab.json")); err == nil {
		var vocab map[string]int64
		if err := json.Unmarshal(data, &vocab); err != nil {
			diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.tokenizer", Summary: "vocab.json cannot be read", Detail: err.Error(), File: filepath.Join(c.Dir, "vocab.json")})
		}
		c.Tokenizer = Tokenizer{Kind: "byte-level BPE", File: "vocab.json", Vocab: int64(len(vocab))}
		return
	}
	if models, err := filepath.Glob(filepath.Join(c.Dir, "*.model")); err == nil && len(models) > 0 {
		c.Tokenizer = Tokenizer{Kind: "SentencePiece", File: filepath.Base(models[0])}
		return
	}
	diags.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "model.tokenizer", Summary: "the folder holds no tokenizer", File: c.Dir, Remedy: "copy tokenizer.json or vocab.txt of the model into it"})
}

// lowersVocab reports whether BERT's tokenizer lower-cases text before it looks
// into vocab.txt: it does unless tokenizer_config.json says otherwise.
func (c *Card) lowersVocab() bool {
	config := struct {
		Lower *bool `json:"do_lower_case"`
	}{}
	data, err := os.ReadFile(filepath.Join(c.Dir, "tokenizer_config.json"))
	if err != nil || json.Unmarshal(data, &config) != nil || config.Lower == nil {
		return true
	}
	return *config.Lower
}

func (c *Card) parseTokenizer(data []byte) error {
	var t struct {
		Model struct {
			Type   string          `json:"type"`
			Vocab  json.RawMessage `json:"vocab"`
			Merges json.RawMessage `json:"merges"`
		} `json:"model"`
		Added []struct {
			ID int64 `json:"id"`
		} `json:"added_tokens"`
		Normalizer   json.RawMessage `json:"normalizer"`
		PreTokenizer json.RawMessage `json:"pre_tokenizer"`
	}
	if err := json.Unmarshal(data, &t); err != nil {
		return err
	}
	size := int64(0)
	if trimmed := strings.TrimSpace(string(t.Model.Vocab)); strings.HasPrefix(trimmed, "[") {
		var list []json.RawMessage
		if err := json.Unmarshal(t.Model.Vocab, &list); err != nil {
			return err
		}
		size = int64(len(list))
	} else if trimmed != "" {
		var vocab map[string]int64
		if err := json.Unmarshal(t.Model.Vocab, &vocab); err != nil {
			return err
		}
		for _, id := range vocab {
			size = max(size, id+1)
		}
	}
	for _, a := range t.Added {
		size = max(size, a.ID+1)
	}
	kind := t.Model.Type
	if kind == "" && len(t.Model.Merges) > 0 {
		kind = "BPE"
	}
	if kind == "BPE" && strings.Contains(string(t.PreTokenizer), `"ByteLevel"`) {
		kind = "byte-level BPE"
	}
	norm := strings.ReplaceAll(strings.ReplaceAll(string(t.Normalizer), " ", ""), "\n", "")
	c.Tokenizer.Kind, c.Tokenizer.Vocab = kind, size
	c.Tokenizer.Lowercase = strings.Contains(norm, `"lowercase":true`) || strings.Contains(norm, `"type":"Lowercase"`)
	return nil
}

// readWeights reads the headers of the weight files and returns the shape of each
// tensor.
func (c *Card) readWeights(diags *sdk.Diagnostics) map[string][]int64 {
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(c.Dir, name))
		return err == nil
	}
	for _, form := range []struct {
		whole, index string
		read         func(string) (map[string]tensorInfo, error)
	}{
		{"model.safetensors", "model.safetensors.index.json", readSafetensors},
		{"adapter_model.safetensors", "", readSafetensors},
		{"pytorch_model.bin", "pytorch_model.bin.index.json", readPickle},
		{"adapter_model.bin", "", readPickle},
	} {
		shards := map[string][]string{}
		switch {
		case exists(form.whole):
			shards[form.whole] = nil
		case form.index != "" && exists(form.index):
			named, err := readIndex(filepath.Join(c.Dir, form.index))
			if err != nil || len(named) == 0 {
				diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.index", Summary: form.index + " cannot be read", Detail: errText(err), File: filepath.Join(c.Dir, form.index), Remedy: "fetch the model again"})
				continue
			}
			shards = named
		default:
			continue
		}
		return c.readShards(shards, form.read, diags)
	}
	diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.missing", Summary: "the folder holds no weights", File: c.Dir, Remedy: "it needs model.safetensors or pytorch_model.bin"})
	return nil
}

func (c *Card) readShards(shards map[string][]string, read func(string) (map[string]tensorInfo, error), diags *sdk.Diagnostics) map[string][]int64 {
	shapes := map[string][]int64{}
	c.DTypes = map[string]int64{}
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		file := filepath.Join(c.Dir, filepath.FromSlash(shard))
		if !fs.ValidPath(shard) {
			diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.index", Summary: fmt.Sprintf("the index names the shard %q, which is outside the folder", shard), File: c.Dir, Source: sdk.FromData})
			continue
		}
		st, err := os.Stat(file)
		if err != nil {
			diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.shard", Summary: fmt.Sprintf("weight file %s is missing", shard), File: file, Remedy: "fetch the model again: " + c.Dir + " is incomplete"})
			continue
		}
		c.Weights = append(c.Weights, shard)
		c.Bytes += st.Size()
		tensors, err := read(file)
		if err != nil {
			diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.weights", Summary: fmt.Sprintf("%s cannot be read: %v", shard, err), File: file, Remedy: "fetch the model again"})
			continue
		}
		for _, name := range shards[shard] {
			if _, ok := tensors[name]; !ok {
				diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.key", Summary: fmt.Sprintf("%s lacks the tensor %s that the index promises", shard, name), File: file, Remedy: "fetch the model again"})
			}
		}
		for name, t := range tensors {
			shapes[name] = t.shape
			n := int64(1)
			for _, d := range t.shape {
				n *= d
			}
			if strings.HasPrefix(t.dtype, "F") || strings.HasPrefix(t.dtype, "BF") { // integers are buffers, such as position ids
				c.Parameters += n
			}
			c.DTypes[t.dtype] += n
			c.Tensors++
		}
	}
	return shapes
}

func errText(err error) string {
	if err == nil {
		return "it names no shard"
	}
	return err.Error()
}

var (
	wordEmbedding = regexp.MustCompile(`(^|\.)(word_embeddings|wte|embed_tokens|shared)\.weight$`)
	layerNumber   = regexp.MustCompile(`(?:^|\.)(?:layer|layers|h|block)\.(\d+)\.`)
)

// compare holds the sizes in config.json against the tensors and the tokenizer.
func (c *Card) compare(shapes map[string][]int64, diags *sdk.Diagnostics) {
	config := filepath.Join(c.Dir, "config.json")
	layers := int64(0)
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		if m := layerNumber.FindStringSubmatch(name); m != nil && !strings.Contains(name, "decoder.") {
			if n, err := strconv.ParseInt(m[1], 10, 32); err == nil {
				layers = max(layers, n+1)
			}
		}
		shape := shapes[name]
		if !wordEmbedding.MatchString(name) || len(shape) != 2 {
			continue
		}
		if c.Vocab > 0 && shape[0] != c.Vocab {
			diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.vocab", Summary: fmt.Sprintf("config.json says vocab_size %d, but %s has %d rows", c.Vocab, name, shape[0]), File: config, Path: "vocab_size", Remedy: "set vocab_size to the number of rows, or fetch the model again"})
		}
		if c.Hidden > 0 && shape[1] != c.Hidden && c.Type != "albert" && c.Type != "electra" {
			diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.shape", Summary: fmt.Sprintf("config.json says hidden size %d, but %s is %d wide", c.Hidden, name, shape[1]), File: config, Path: "hidden_size", Remedy: "use the config.json that belongs to these weights"})
		}
		if c.Tokenizer.Vocab > shape[0] {
			diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.tokenizer", Summary: fmt.Sprintf("the tokenizer gives ids up to %d, but the model has %d embeddings", c.Tokenizer.Vocab-1, shape[0]), File: filepath.Join(c.Dir, c.Tokenizer.File), Remedy: "use the tokenizer that belongs to this model"})
		}
	}
	if c.Layers > 0 && layers > 0 && layers != c.Layers {
		diags.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.shape", Summary: fmt.Sprintf("config.json says %d layers, but the weights hold %d", c.Layers, layers), File: config, Path: "num_hidden_layers", Remedy: "use the config.json that belongs to these weights"})
	}
}
