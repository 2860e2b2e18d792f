package hf

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/torch/safetensors"
)

// folder writes a small model folder; change may bend config and tensors.
func folder(t *testing.T, change func(config map[string]any, tensors map[string]safetensors.Entry)) string {
	t.Helper()
	dir := t.TempDir()
	config := map[string]any{
		"architectures": []string{"BertModel"}, "model_type": "bert", "vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1,
		"num_attention_heads": 2, "intermediate_size": 6, "max_position_embeddings": 8,
	}
	text, err := json.Marshal(config)
	require.NoError(t, err)
	cfg, diags := ParseConfig("config.json", text)
	require.Empty(t, diags)
	tensors := map[string]safetensors.Entry{}
	for _, x := range append(cfg.Encoder(), cfg.Pooler()...) {
		tensors[x.Name] = entry("bert."+x.Name, x.Shape...)
	}
	if change != nil {
		change(config, tensors)
	}
	text, err = json.Marshal(config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ConfigFile), text, 0o644))
	var all []safetensors.Entry
	for _, e := range tensors {
		all = append(all, e)
	}
	require.NoError(t, safetensors.Write(filepath.Join(dir, WeightsFile), all, nil))
	return dir
}

func entry(name string, shape ...int64) safetensors.Entry {
	n := Tensor{Shape: shape}.Elements()
	return safetensors.Entry{Name: name, DType: "F32", Shape: shape, Data: make([]byte, 4*n)}
}

// problems reads and checks a folder as core/model does.
func problems(t *testing.T, dir string) string {
	t.Helper()
	cfg, diags := ReadConfig(dir)
	if cfg == nil {
		return diags.String()
	}
	w, more := OpenWeights(dir, cfg.ModelType)
	diags.Add(more...)
	if w == nil {
		return diags.String()
	}
	defer w.Close()
	diags.Add(Check(dir, cfg, w, func(string) bool { return false })...)
	return diags.String()
}

func TestWeightsProblems(t *testing.T) {
	type tensors = map[string]safetensors.Entry
	const query = "encoder.layer.0.attention.self.query.weight"
	require.Empty(t, problems(t, folder(t, nil)))
	for name, tc := range map[string]struct {
		change func(map[string]any, tensors)
		want   []string
	}{
		"missing key": {func(_ map[string]any, x tensors) { delete(x, query) },
			[]string{"error[model.key]", "model.safetensors", query, "is missing (expected shape [4 4])"}},
		"wrong shape": {func(_ map[string]any, x tensors) { x[query] = entry("bert."+query, 4, 5) },
			[]string{"error[model.shape]", "bert." + query, "[4 5]", "[4 4]"}},
		"wrong hidden size": {func(c map[string]any, _ tensors) { c["hidden_size"] = 8 },
			[]string{"error[model.shape]", "config.json", "hidden_size is 8, but the weights have 4"}},
		"wrong vocabulary": {func(c map[string]any, _ tensors) { c["vocab_size"] = 12 },
			[]string{"vocab_size is 12, but the weights have 9"}},
		"one layer too many": {func(c map[string]any, _ tensors) { c["num_hidden_layers"] = 2 },
			[]string{"encoder.layer.1.attention.self.query.weight is missing", "encoder.layer.1.output.LayerNorm.bias is missing"}},
		"integers": {func(_ map[string]any, x tensors) {
			x[query] = safetensors.Entry{Name: "bert." + query, DType: "I32", Shape: []int64{4, 4}, Data: make([]byte, 64)}
		}, []string{"error[model.dtype]", "I32"}},
		"unexpected key": {func(_ map[string]any, x tensors) { x["extra"] = entry("bert.adapter.weight", 2) },
			[]string{"warning[model.key]", "bert.adapter.weight [2] is not part of the model"}},
		"other head": {func(_ map[string]any, x tensors) { x["cls"] = entry("cls.predictions.bias", 9) },
			[]string{"info[model.key]", "cls.predictions.bias [9] belongs to a head"}},
		"half a pooler": {func(_ map[string]any, x tensors) { delete(x, "pooler.dense.bias") },
			[]string{"pooler.dense.bias is missing"}},
		"two names for one weight": {func(_ map[string]any, x tensors) { x["again"] = entry(query, 4, 4) },
			[]string{"error[model.key]", "are the same weight"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := problems(t, folder(t, tc.change))
			for _, want := range tc.want {
				require.Contains(t, text, want)
			}
		})
	}

	// No pooler, positions stored as a buffer: all well.
	require.Empty(t, problems(t, folder(t, func(_ map[string]any, x tensors) {
		delete(x, "pooler.dense.weight")
		delete(x, "pooler.dense.bias")
		x["ids"] = entry("bert.embeddings.position_ids", 1, 8)
	})))
}

func TestTruncatedFile(t *testing.T) {
	dir := folder(t, nil)
	path := filepath.Join(dir, WeightsFile)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, n := range []int{len(data) - 1, 100, 4, 0} {
		require.NoError(t, os.WriteFile(path, data[:n], 0o644))
		text := problems(t, dir)
		require.Contains(t, text, "model.safetensors")
		require.Contains(t, text, "error[model.")
	}
	require.NoError(t, os.Remove(path))
	require.Contains(t, problems(t, dir), "no weights")
	require.NoError(t, os.WriteFile(filepath.Join(dir, PickleFile), []byte("PK"), 0o644))
	require.Contains(t, problems(t, dir), "pytorch_model.bin")
}

func TestShards(t *testing.T) {
	dir := folder(t, nil)
	f, err := safetensors.Open(filepath.Join(dir, WeightsFile))
	require.NoError(t, err)
	var parts [3][]safetensors.Entry
	index := map[string]string{}
	for i, name := range f.Names() {
		e, _ := f.Entry(name)
		e.Data = append([]byte(nil), e.Data...)
		parts[i%3] = append(parts[i%3], e)
		index[name] = fmt.Sprintf("model-%d.safetensors", i%3)
	}
	require.NoError(t, f.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, WeightsFile)))
	write := func(index map[string]string) {
		text, err := json.Marshal(map[string]any{"weight_map": index})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, IndexFile), text, 0o644))
	}
	for i, p := range parts {
		require.NoError(t, safetensors.Write(filepath.Join(dir, fmt.Sprintf("model-%d.safetensors", i)), p, nil))
	}
	write(index)
	require.Empty(t, problems(t, dir))

	index["bert.nowhere"] = "model-1.safetensors"
	index["bert.outside"] = "../model.safetensors"
	write(index)
	require.NoError(t, os.Remove(filepath.Join(dir, "model-0.safetensors")))
	require.NoError(t, os.Remove(filepath.Join(dir, "model-2.safetensors")))
	text := problems(t, dir)
	for _, want := range []string{"a shard of the model is missing: model-0.safetensors", "model-2.safetensors", "lacks the tensor bert.nowhere", `"../model.safetensors" does not lie beside it`} {
		require.Contains(t, text, want, "all problems at once")
	}
	write(nil)
	require.Contains(t, problems(t, dir), "weight_map is missing or empty")
}

func TestPickleFolder(t *testing.T) {
	cfg, diags := ReadConfig("../testdata/old")
	require.Empty(t, diags)
	w, diags := OpenWeights("../testdata/old", cfg.ModelType)
	require.Empty(t, diags)
	defer w.Close()
	require.Empty(t, Check("../testdata/old", cfg, w, func(string) bool { return false }))
	x, ok := w.Find("embeddings.LayerNorm.weight")
	require.True(t, ok)
	require.Equal(t, "bert.embeddings.LayerNorm.gamma", x.Key)
	data, err := x.Read()
	require.NoError(t, err)
	require.Len(t, data, 4*cfg.HiddenSize)
}

func TestCheckVocabulary(t *testing.T) {
	cfg := &Config{VocabSize: 10}
	require.Empty(t, CheckVocabulary("m", cfg, 10))
	require.Contains(t, CheckVocabulary("m", cfg, 11).String(), "it has 11 ids, the embedding 10 rows")
}
