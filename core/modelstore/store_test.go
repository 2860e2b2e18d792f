package modelstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func writeModel(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		if !filepath.IsLocal(name) {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
}

func TestFind(t *testing.T) {
	s := &Store{Dir: filepath.Join(t.TempDir(), "models")}
	models, err := s.List()
	require.NoError(t, err)
	assert.Empty(t, models, "a store that is not there is empty")
	_, err = s.Find("all-MiniLM-L6-v2")
	wantCode(t, err, "model.unknown")

	writeModel(t, filepath.Join(s.Dir, "all-MiniLM-L6-v2"), tinyModel())
	writeModel(t, filepath.Join(s.Dir, "half.tmp"), tinyModel())
	require.NoError(t, os.MkdirAll(filepath.Join(s.Dir, "empty"), 0o755))
	models, err = s.List()
	require.NoError(t, err)
	require.Len(t, models, 1)
	assert.Nil(t, models[0].Source)
	diags, err := models[0].Verify()
	require.NoError(t, err)
	assert.False(t, diags.HasErrors())
	assert.Len(t, diags, 1)

	src, err := Record(models[0].Dir, Source{Name: "all-MiniLM-L6-v2", ID: "sentence-transformers/all-MiniLM-L6-v2"})
	require.NoError(t, err)
	assert.Contains(t, src.Files, "1_Pooling/config.json")
	assert.NotContains(t, src.Files, "source.json")
	m, err := s.Find("sentence-transformers/all-MiniLM-L6-v2")
	require.NoError(t, err)
	assert.Equal(t, "all-MiniLM-L6-v2", m.Name)

	_, err = s.Find("all-MiniLM-L6-v1")
	wantCode(t, err, "model.unknown")
	assert.Contains(t, err.Error(), `did you mean "all-MiniLM-L6-v2"?`)

	t.Chdir(t.TempDir())
	writeModel(t, "all-MiniLM-L6-v2", map[string][]byte{"config.json": []byte("{}")})
	m, err = s.Find("all-MiniLM-L6-v2")
	require.NoError(t, err)
	assert.Equal(t, InFolder, m.Place, "an existing path wins over a name")
	require.NoError(t, os.Mkdir("void", 0o755))
	_, err = s.Find("void")
	wantCode(t, err, "model.config")
	_, err = s.Find("all-MiniLM-L6-v2/config.json")
	wantCode(t, err, "model.config")
	for _, ref := range []string{"./nowhere", "", "/no/such/folder"} {
		_, err = s.Get(t.Context(), ref)
		wantCode(t, err, "model.unknown")
	}
}

func TestFindInCache(t *testing.T) {
	cache := t.TempDir()
	s := &Store{Dir: t.TempDir(), Hub: Hub{CacheDir: cache, Offline: true}}
	repo := filepath.Join(cache, "models--acme--tiny")
	snapshot := filepath.Join(repo, "snapshots", commit)
	files := tinyModel()
	delete(files, "model.safetensors")
	delete(files, "pytorch_model.bin")
	writeModel(t, snapshot, files)
	writeModel(t, repo, map[string][]byte{"refs/main": []byte(commit)})
	_, err := s.Find("acme/tiny")
	wantCode(t, err, "model.unknown")
	writeModel(t, snapshot, map[string][]byte{"model.safetensors.index.json": []byte(`{"weight_map": {"a": "model-00001-of-00001.safetensors"}}`)})
	_, err = s.Find("acme/tiny")
	wantCode(t, err, "model.unknown")
	writeModel(t, snapshot, map[string][]byte{"model-00001-of-00001.safetensors": tinySafetensors(map[string][]int64{"a": {1}})})
	m, err := s.Get(t.Context(), "acme/tiny")
	require.NoError(t, err)
	assert.Equal(t, InCache, m.Place)
	assert.Equal(t, snapshot, m.Dir)
}

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	writeModel(t, dir, tinyModel())
	c, diags, err := Inspect(dir)
	require.NoError(t, err)
	require.Empty(t, diags)
	assert.Equal(t, "bert", c.Type)
	assert.Equal(t, int64(6*8+64), c.Parameters)
	assert.Equal(t, map[string]int64{"F32": 112}, c.DTypes)
	assert.Equal(t, []string{"no", "yes"}, c.Labels)
	assert.Equal(t, Tokenizer{Kind: "WordPiece", File: "vocab.txt", Vocab: 6, Lowercase: true}, c.Tokenizer)
	assert.Equal(t, []string{"model.safetensors"}, c.Weights)

	writeModel(t, dir, map[string][]byte{"tokenizer.json": []byte(`{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
		"pre_tokenizer": {"type": "ByteLevel"}, "normalizer": {"lowercase": true}, "added_tokens": [{"id": 5, "content": "<s>"}]}`)})
	c, diags, err = Inspect(dir)
	require.NoError(t, err)
	require.Empty(t, diags)
	assert.Equal(t, Tokenizer{Kind: "byte-level BPE", File: "tokenizer.json", Vocab: 6, Lowercase: true}, c.Tokenizer)
	writeModel(t, dir, map[string][]byte{"tokenizer.json": []byte(`{"model": {"type": "Unigram", "vocab": [["a", -1], ["b", -2]]}}`)})
	c, _, err = Inspect(dir)
	require.NoError(t, err)
	assert.Equal(t, Tokenizer{Kind: "Unigram", File: "tokenizer.json", Vocab: 2}, c.Tokenizer)

	_, _, err = Inspect(filepath.Join(dir, "nowhere"))
	wantCode(t, err, "model.unknown")
}

func TestInspectProblems(t *testing.T) {
	good := tinyModel()
	for name, c := range map[string]struct {
		files map[string][]byte // nil removes
		code  string
		text  string
	}{
		"truncated weights": {map[string][]byte{"model.safetensors": good["model.safetensors"][:200]}, "model.weights", "truncated"},
		"empty weights":     {map[string][]byte{"model.safetensors": {}}, "model.weights", "0 bytes"},
		"huge header":       {map[string][]byte{"model.safetensors": []byte("\xff\xff\xff\xff\xff\xff\xff\x7f{}")}, "model.weights", "more than the limit"},
		"no JSON":           {map[string][]byte{"model.safetensors": []byte("\x02\x00\x00\x00\x00\x00\x00\x00hi")}, "model.weights", "begin with {"},
		"no weights":        {map[string][]byte{"model.safetensors": nil, "pytorch_model.bin": nil}, "model.missing", "no weights"},
		"broken pickle":     {map[string][]byte{"model.safetensors": nil}, "model.weights", "not a zip checkpoint"},
		"missing shard": {map[string][]byte{"model.safetensors": nil, "model.safetensors.index.json": []byte(`{"weight_map": {"a": "model-00001-of-00001.safetensors"}}`)},
			"model.shard", "is missing"},
		"shard without tensor": {map[string][]byte{"model.safetensors": nil, "s.safetensors": good["model.safetensors"], "model.safetensors.index.json": []byte(`{"weight_map": {"a": "s.safetensors"}}`)},
			"model.key", "lacks the tensor a"},
		"shard outside": {map[string][]byte{"model.safetensors": nil, "model.safetensors.index.json": []byte(`{"weight_map": {"a": "../s.safetensors"}}`)},
			"model.index", "outside"},
		"hidden size":     {map[string][]byte{"config.json": []byte(`{"model_type": "bert", "hidden_size": 12, "vocab_size": 6}`)}, "model.shape", "8 wide"},
		"layers":          {map[string][]byte{"config.json": []byte(`{"model_type": "bert", "num_hidden_layers": 3}`)}, "model.shape", "hold 1"},
		"vocab size":      {map[string][]byte{"config.json": []byte(`{"model_type": "bert", "vocab_size": 7}`)}, "model.vocab", "6 rows"},
		"large tokenizer": {map[string][]byte{"vocab.txt": []byte("a\nb\nc\nd\ne\nf\ng\n")}, "model.tokenizer", "ids up to 6"},
		"no tokenizer":    {map[string][]byte{"vocab.txt": nil}, "model.tokenizer", "no tokenizer"},
		"bad tokenizer":   {map[string][]byte{"tokenizer.json": []byte("{")}, "model.tokenizer", "cannot be read"},
		"no config":       {map[string][]byte{"config.json": nil}, "model.config", "cannot be read"},
		"bad config":      {map[string][]byte{"config.json": []byte("{\n  \"a\": 1,\n  x}")}, "model.config", "not a model configuration"},
		"empty config":    {map[string][]byte{"config.json": []byte("{}")}, "model.config", "neither"},
		"label ids":       {map[string][]byte{"config.json": []byte(`{"model_type": "bert", "id2label": {"0": "a", "2": "b"}}`)}, "model.config", "none with id 1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeModel(t, dir, good)
			for f, data := range c.files {
				if data == nil {
					require.NoError(t, os.Remove(filepath.Join(dir, f)))
				} else {
					writeModel(t, dir, map[string][]byte{f: data})
				}
			}
			_, diags, err := Inspect(dir)
			require.NoError(t, err)
			require.Len(t, diags, 1, "%v", diags)
			assert.Equal(t, c.code, diags[0].Code)
			assert.Contains(t, diags[0].Summary, c.text)
			if name == "bad config" {
				assert.Equal(t, 3, diags[0].Line)
			}
		})
	}
}
