package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/torch/safetensors"
)

// tinyConfigs are config.json of small models by type, without what all have in
// common.
func tinyConfigs() map[string]map[string]any {
	bert := map[string]any{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 160}
	return map[string]map[string]any{
		"gpt2":       {"architectures": []string{"GPT2LMHeadModel"}, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 160, "eos_token_id": 256},
		"bert":       bert,
		"distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 160},
		"roberta":    {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 162, "type_vocab_size": 1, "pad_token_id": 1},
		"albert":     {"embedding_size": 16, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 160},
		"llama": {"architectures": []string{"LlamaForCausalLM"}, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 160,
			"tie_word_embeddings": true, "eos_token_id": 256},
	}
}

// tinyModel writes a Hugging Face folder with a random model of a type and a
// byte-level tokenizer, without merges: each byte is a token.
func tinyModel(t testing.TB, dir, kind string) {
	t.Helper()
	config := tinyConfigs()[kind]
	require.NotNil(t, config, kind)
	config["model_type"], config["vocab_size"], config["initializer_range"] = kind, 257, 0.05
	require.NoError(t, os.MkdirAll(dir, 0o755))
	writeJSON(t, filepath.Join(dir, "config.json"), config)
	raw, err := json.Marshal(config)
	require.NoError(t, err)
	cfg, ds := hf.ParseConfig("config.json", raw)
	require.NoError(t, ds.Err())
	rng := rand.New(rand.NewPCG(1, 2))
	var entries []safetensors.Entry
	for _, w := range cfg.Encoder() {
		var data []byte
		for range w.Elements() {
			v := float32(0)
			switch {
			case len(w.Shape) > 1:
				v = float32(0.05 * rng.NormFloat64())
			case strings.HasSuffix(w.Name, ".weight"):
				v = 1
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		entries = append(entries, safetensors.Entry{Name: hf.Prefixed(kind, w.Name), DType: "F32", Shape: w.FileShape(), Data: data})
	}
	require.NoError(t, safetensors.Write(filepath.Join(dir, "model.safetensors"), entries, nil))

	// GPT-2 writes a byte as a printable character: itself, or one from U+0100 on.
	vocab, next := map[string]int{}, 256
	for b := range 256 {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae) {
			r, next = rune(next), next+1
		}
		vocab[string(r)] = b
	}
	end := "<|endoftext|>"
	vocab[end] = 256
	level := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	writeJSON(t, filepath.Join(dir, "tokenizer.json"), map[string]any{"version": "1.0", "truncation": nil, "padding": nil, "normalizer": nil,
		"added_tokens":  []any{map[string]any{"id": 256, "content": end, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}},
		"pre_tokenizer": level, "post_processor": level, "decoder": level,
		"model": map[string]any{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false, "vocab": vocab, "merges": []any{}}})
	writeJSON(t, filepath.Join(dir, "tokenizer_config.json"), map[string]any{"tokenizer_class": "GPT2Tokenizer", "model_max_length": 160, "eos_token": end, "bos_token": end, "unk_token": end})
}

// questions are prompts whose answers a tiny model can learn.
func questions(n int, seed uint64) (rows []map[string]any) {
	rng := rand.New(rand.NewPCG(seed, 9))
	for range n {
		a := rng.IntN(26)
		rows = append(rows, map[string]any{"prompt": fmt.Sprintf("%c?", 'a'+a), "completion": fmt.Sprintf("%c%c", 'A'+a, 'A'+a)})
	}
	return rows
}
