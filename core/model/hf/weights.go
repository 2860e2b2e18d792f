package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/torch/pickle"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// Weight is a tensor of a model folder.
type Weight struct {
	Name  string // canonical
	Key   string // in the file
	File  string // path of the file
	DType string // as safetensors names it: F32, F16, BF16, F64, I64 …
	Shape []int64
	// Read gives the elements, little-endian, row-major. They are shared with
	// the mapped file where there is one.
	Read func() ([]byte, error)
}

// WeightOf is a tensor of an open file under its canonical name.
func WeightOf(modelType, path string, e safetensors.Entry) Weight {
	read := e.Fill
	if e.Data != nil || read == nil {
		read = func() ([]byte, error) { return e.Data, nil }
	}
	return Weight{Name: Canonical(modelType, e.Name), Key: e.Name, File: path, DType: e.DType, Shape: e.Shape, Read: read}
}

// Weights are all tensors of a folder, whatever files hold them. Close unmaps
// the files; data must not be used afterwards.
type Weights struct {
	Files   []string
	byName  map[string]Weight
	closers []func() error
}

// Names lists the canonical names, sorted.
func (w *Weights) Names() []string { return slices.Sorted(maps.Keys(w.byName)) }

// Find returns the tensor with the canonical name.
func (w *Weights) Find(name string) (Weight, bool) {
	x, ok := w.byName[name]
	return x, ok
}

// Close unmaps the files.
func (w *Weights) Close() error {
	var errs []error
	for _, c := range w.closers {
		errs = append(errs, c())
	}
	w.closers = nil
	return errors.Join(errs...)
}

// OpenWeights opens model.safetensors, else the shards of its index, else
// pytorch_model.bin. A shard that is missing, a file that ends too early, and a
// name that two tensors claim are diagnostics; all of them are reported.
func OpenWeights(dir, modelType string) (*Weights, sdk.Diagnostics) {
	w := &Weights{byName: map[string]Weight{}}
	diags := w.open(dir, modelType)
	if diags.HasErrors() {
		if err := w.Close(); err != nil {
			diags.Add(weightsDiag(dir, "close the weights", err))
		}
		return nil, diags
	}
	return w, diags
}

func (w *Weights) open(dir, modelType string) (diags sdk.Diagnostics) {
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	switch {
	case exists(WeightsFile):
		return w.addSafetensors(filepath.Join(dir, WeightsFile), modelType, nil)
	case exists(IndexFile):
		return w.addShards(filepath.Join(dir, IndexFile), modelType, w.addSafetensors)
	case exists(PickleFile):
		return w.addPickle(filepath.Join(dir, PickleFile), modelType, nil)
	case exists(PickleIndexFile):
		return w.addShards(filepath.Join(dir, PickleIndexFile), modelType, w.addPickle)
	}
	return sdk.Diagnostics{{
		Severity: sdk.Error, Code: "model.missing", File: dir, Summary: "the model folder has no weights",
		Remedy: "expected model.safetensors, model.safetensors.index.json with its shards, or pytorch_model.bin",
	}}
}

// addShards reads an index and each shard that it names.
func (w *Weights) addShards(index, modelType string, add func(path, modelType string, keys []string) sdk.Diagnostics) (diags sdk.Diagnostics) {
	data, err := os.ReadFile(index)
	if err != nil {
		return sdk.Diagnostics{weightsDiag(index, "read the index", err)}
	}
	var doc struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return sdk.Diagnostics{weightsDiag(index, "read the index", err)}
	}
	if len(doc.Map) == 0 {
		return sdk.Diagnostics{weightsDiag(index, "read the index", errors.New("weight_map is missing or empty"))}
	}
	shards := map[string][]string{}
	for key, shard := range doc.Map {
		shards[shard] = append(shards[shard], key)
	}
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		keys := shards[shard]
		slices.Sort(keys)
		if !filepath.IsLocal(shard) {
			diags.Add(weightsDiag(index, "read the index", fmt.Errorf("shard %q does not lie beside it", shard)))
			continue
		}
		path := filepath.Join(filepath.Dir(index), shard)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			diags.Add(sdk.Diagnostic{
				Code: "model.shard", File: path, Summary: fmt.Sprintf("a shard of the model is missing: %s", shard),
				Detail: fmt.Sprintf("%s names it for %d tensors, the first is %s", filepath.Base(index), len(keys), keys[0]),
				Remedy: "fetch the model again, with all its files",
			})
			continue
		}
		diags.Add(add(path, modelType, keys)...)
	}
	return diags
}

func (w *Weights) addSafetensors(path, modelType string, keys []string) sdk.Diagnostics {
	f, err := safetensors.Open(path)
	if err != nil {
		return sdk.Diagnostics{weightsDiag(path, "read the weights", err)}
	}
	return w.addFile(f, path, modelType, keys)
}

func (w *Weights) addPickle(path, modelType string, keys []string) sdk.Diagnostics {
	f, err := pickle.Open(path)
	if err != nil {
		return sdk.Diagnostics{weightsDiag(path, "read the weights", err)}
	}
	return w.addFile(f, path, modelType, keys)
}

type tensorFile interface {
	Names() []string
	Entry(name string) (safetensors.Entry, bool)
	Close() error
}

// addFile takes the tensors of one file; those named by keys must be there.
func (w *Weights) addFile(f tensorFile, path, modelType string, keys []string) (diags sdk.Diagnostics) {
	w.Files = append(w.Files, path)
	w.closers = append(w.closers, f.Close)
	for _, key := range keys {
		if _, ok := f.Entry(key); !ok {
			diags.Add(sdk.Diagnostic{Code: "model.key", File: path, Path: key, Summary: "the shard lacks the tensor " + key, Detail: "the index says that it is there"})
		}
	}
	for _, key := range f.Names() {
		e, _ := f.Entry(key)
		diags.Add(w.add(WeightOf(modelType, path, e))...)
	}
	return diags
}

func (w *Weights) add(x Weight) sdk.Diagnostics {
	if buffer(x.Name) {
		return nil
	}
	if other, taken := w.byName[x.Name]; taken {
		return sdk.Diagnostics{{
			Severity: sdk.Error, Code: "model.key", File: x.File, Path: x.Key,
			Summary: fmt.Sprintf("the tensors %s and %s are the same weight %s", other.Key, x.Key, x.Name),
		}}
	}
	w.byName[x.Name] = x
	return nil
}

func weightsDiag(path, what string, err error) sdk.Diagnostic {
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "model.weights", File: path, Summary: what + ": " + err.Error()}
	if strings.Contains(err.Error(), "truncated") {
		d.Code, d.Remedy = "model.truncated", "the file is incomplete: fetch or copy it again"
	}
	return d
}

// Check compares the weights with what the config promises: missing, misshapen
// and mistyped encoder weights are errors, weights that nothing uses warnings.
// The pooler is not demanded. known names weights beyond the encoder that the
// caller reads (task heads).
func Check(dir string, cfg *Config, w *Weights, known func(name string) bool) (diags sdk.Diagnostics) {
	config := filepath.Join(dir, ConfigFile)
	if word, ok := w.Find(cfg.Words()); ok && len(word.Shape) == 2 {
		mismatch := func(key string, said int, found int64) {
			diags.Add(sdk.Diagnostic{
				Code: "model.shape", File: config, Path: key,
				Summary: fmt.Sprintf("%s is %d, but the weights have %d", key, said, found),
				Detail:  fmt.Sprintf("%s: %s has the shape %v", word.File, word.Key, word.Shape),
				Remedy:  "config.json and weights belong to different models: fetch the folder again",
			})
		}
		if word.Shape[1] != int64(cfg.EmbeddingSize) {
			key := "hidden_size"
			if cfg.EmbeddingSize != cfg.HiddenSize {
				key = "embedding_size"
			}
			mismatch(key, cfg.EmbeddingSize, word.Shape[1])
			return diags // every other shape would differ for the same reason
		}
		if word.Shape[0] != int64(cfg.VocabSize) {
			mismatch("vocab_size", cfg.VocabSize, word.Shape[0])
		}
	}
	expected := map[string]bool{}
	check := func(t Tensor, needed bool) {
		expected[t.Name] = true
		x, ok := w.Find(t.Name)
		switch {
		case !ok && !needed:
		case !ok:
			diags.Add(sdk.Diagnostic{
				Code: "model.key", File: strings.Join(w.Files, ", "), Path: t.Name,
				Summary: fmt.Sprintf("the weight %s is missing (expected shape %v)", t.Name, t.FileShape()),
			})
		case !slices.Equal(x.Shape, t.FileShape()):
			if t.Name == cfg.Words() && diags.HasErrors() {
				return // said above
			}
			diags.Add(sdk.Diagnostic{
				Code: "model.shape", File: x.File, Path: x.Key,
				Summary: fmt.Sprintf("%s has the shape %v, config.json makes it %v", x.Key, x.Shape, t.FileShape()),
			})
		case !slices.Contains([]string{"F32", "F16", "BF16", "F64"}, x.DType):
			diags.Add(sdk.Diagnostic{
				Code: "model.dtype", File: x.File, Path: x.Key,
				Summary: fmt.Sprintf("%s has elements of type %s, expected F32, F16, BF16 or F64", x.Key, x.DType),
			})
		}
	}
	for _, t := range cfg.Encoder() {
		check(t, true)
	}
	pooler := cfg.Pooler()
	_, weight := w.Find(pooler[0].Name)
	_, bias := w.Find(pooler[1].Name)
	for _, t := range pooler {
		check(t, weight || bias)
	}
	for _, name := range w.Names() {
		if expected[name] || known(name) {
			continue
		}
		x, _ := w.Find(name)
		d := sdk.Diagnostic{
			Severity: sdk.Warning, Code: "model.key", File: x.File, Path: x.Key,
			Summary: fmt.Sprintf("the weight %s %v is not part of the model and is left aside", x.Key, x.Shape),
		}
		if otherHead(name) {
			d.Severity, d.Summary = sdk.Info, fmt.Sprintf("the weight %s %v belongs to a head that is not used", x.Key, x.Shape)
		}
		diags.Add(d)
	}
	return diags
}

// CheckVocabulary reports a tokenizer that has more ids than the embedding has
// rows.
func CheckVocabulary(dir string, cfg *Config, ids int) sdk.Diagnostics {
	if ids <= cfg.VocabSize {
		return nil
	}
	return sdk.Diagnostics{{
		Severity: sdk.Error, Code: "model.vocabulary", File: dir,
		Summary: fmt.Sprintf("the tokenizer does not match the model: it has %d ids, the embedding %d rows", ids, cfg.VocabSize),
		Remedy:  "use the tokenizer.json that belongs to the model",
	}}
}
