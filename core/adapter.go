package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/modelstore"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// BaseFile of an adapter folder, below islm/, names the base that it changes.
const BaseFile = "base.json"

// adapterBase is what an adapter folder remembers of its base.
type adapterBase struct {
	Name   string `json:"name"`         // as the recipe called it
	ID     string `json:"id,omitempty"` // on the hub
	Dir    string `json:"dir"`          // where it lay
	Digest string `json:"digest"`       // of its weights
}

// weightsDigest is the digest of a model folder's weights, whatever files hold them.
func weightsDigest(dir string) (string, error) {
	digest, size, err := report.DigestTree(os.DirFS(dir), func(path string) bool {
		return !strings.Contains(path, "/") && (strings.HasSuffix(path, ".safetensors") || strings.HasSuffix(path, ".bin"))
	})
	if err == nil && size == 0 {
		err = errors.New("it holds no weights")
	}
	if err != nil {
		return "", fmt.Errorf("digest of the base model %s: %w", dir, err)
	}
	return digest, nil
}

// adapterBaseName is how an adapter of a run names its base: the hub's id, else the
// folder, so that peft finds it too.
func adapterBaseName(m modelstore.Model) string {
	if m.Source != nil && m.Source.ID != "" {
		return m.Source.ID
	}
	return m.Dir
}

// jobTerms are the new terms of a run whose adapter trains their rows; nil = none.
func (r *Run) jobTerms() (*recipe.Terms, error) {
	v := r.data.vocabulary
	if v == nil || !recipe.HasAdapter(r.plan.Train.Peft) {
		return nil, nil
	}
	cfg, ds := hf.ReadConfig(r.base.Dir)
	if cfg == nil {
		return nil, ds.Err()
	}
	return &recipe.Terms{IDs: v.ids, Rows: cfg.VocabSize}, nil
}

// refuseTerms reports language models beside an adapter and new terms: their output
// layer has a row for each term too, which the adapter would have to hold.
func refuseTerms(plan *recipe.Plan, heads []sdk.HeadSpec) sdk.Diagnostics {
	if plan.Vocab.Extend == 0 || plan.Objective == recipe.ObjectiveVocab || !recipe.HasAdapter(plan.Train.Peft) {
		return nil
	}
	for _, h := range heads {
		if slices.Contains([]string{sdk.KindMLM, sdk.KindCLM, sdk.KindGenerate, sdk.KindPattern}, h.Kind) {
			return sdk.Diagnostics{{Severity: sdk.Error, Code: "adapter.vocabulary", Path: "vocab.extend",
				Summary: fmt.Sprintf("head %q is a language model, whose output layer has a row for each new term: an adapter does not hold those", h.Name),
				Remedy:  "train the adapter on a base that has the terms ('islm vocab extend')"}}
		}
	}
	return nil
}

// saveBase writes islm/base.json of an adapter run.
func (r *Run) saveBase() error {
	if !recipe.HasAdapter(r.plan.Train.Peft) {
		return nil
	}
	b := adapterBase{Name: r.plan.Base, Dir: r.base.Dir}
	if r.base.Source != nil {
		b.ID = r.base.Source.ID
	}
	var err error
	if b.Digest, err = weightsDigest(r.base.Dir); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(r.folder.ExportDir(), Own, BaseFile), append(raw, '\n'))
}

// AdapterBase finds the folder of the base that an adapter folder changes: where
// the adapter remembers it, by the path or name in adapter_config.json, or in one
// of the stores. A base with other weights than the adapter was trained on is a
// diagnostic.
func AdapterBase(dir string, stores ...*modelstore.Store) (string, *peft.Config, sdk.Diagnostics) {
	c, diags := peft.Read(dir)
	if c == nil {
		return "", nil, diags
	}
	var known adapterBase
	file := filepath.Join(dir, Own, BaseFile)
	switch data, err := os.ReadFile(file); {
	case err == nil:
		if err := json.Unmarshal(data, &known); err != nil {
			return "", c, sdk.Diagnostics{{Severity: sdk.Error, Code: "adapter.base", File: file, Summary: "it does not describe a base model: " + err.Error()}}
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", c, sdk.Diagnostics{{Severity: sdk.Error, Code: "adapter.base", File: file, Summary: err.Error()}}
	}
	candidates := []string{known.Dir, c.Base}
	if c.Base != "" && !filepath.IsAbs(c.Base) {
		candidates = append(candidates, filepath.Join(dir, c.Base))
	}
	for _, s := range stores {
		for _, name := range []string{known.Name, known.ID, c.Base} {
			if s != nil && name != "" {
				if m, err := s.Find(name); err == nil {
					candidates = append(candidates, m.Dir)
				}
			}
		}
	}
	var other sdk.Diagnostics
	for _, at := range candidates {
		if at == "" || !exists(filepath.Join(at, hf.ConfigFile)) {
			continue
		}
		if peft.Is(at) {
			other = append(other, sdk.Diagnostic{Severity: sdk.Error, Code: "adapter.base", File: at, Summary: "the base is itself an adapter folder", Remedy: "merge it first ('islm model merge')"})
			continue
		}
		if known.Digest == "" {
			return at, c, nil
		}
		is, err := weightsDigest(at)
		if err == nil && is == known.Digest {
			return at, c, nil
		}
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "adapter.base", File: at, Summary: "the adapter was trained on another base: the weights have another digest",
			Detail: fmt.Sprintf("wanted %s, found %s", known.Digest, is), Remedy: "put the base " + known.Name + " back as it was"}
		if err != nil {
			d.Summary, d.Detail = err.Error(), ""
		}
		other = append(other, d)
	}
	if len(other) > 0 {
		return "", c, other[:1]
	}
	name := c.Base
	if known.Name != "" {
		name = known.Name
	}
	return "", c, sdk.Diagnostics{{Severity: sdk.Error, Code: "adapter.base", File: filepath.Join(dir, peft.ConfigFile), Path: "base_model_name_or_path",
		Summary: fmt.Sprintf("the base model %q of the adapter is not on this machine", name), Remedy: "fetch it ('islm model pull'), or use a merged model ('islm model merge' where the base is)"}}
}

// rescore loads what was saved as a user will and predicts again: an adapter
// folder that does not say what the trained model said is no result.
func (r *Run) rescore(ctx context.Context) error {
	if !recipe.HasAdapter(r.plan.Train.Peft) {
		return nil
	}
	dir := r.folder.ExportDir()
	base, c, ds := AdapterBase(dir, r.Store)
	if err := ds.Err(); err != nil {
		return err
	}
	cfg, ds := peft.ModelConfig(dir, base, c)
	if err := ds.Err(); err != nil {
		return err
	}
	heads, ds := peft.ReadHeads(dir, cfg)
	if err := ds.Err(); err != nil {
		return err
	}
	rows, was := r.data.test, r.outcome.After
	if r.outcome.Split == "valid" {
		rows = r.data.valid
	}
	if rows == nil && r.data.set == nil {
		return nil // running text without any part held out
	}
	if rows == nil { // nothing is held out: that it loads and answers is what can be seen
		all := corpus.NewSource(r.data.set.Train)
		rows, was = partOf(all, upTo(min(all.Len(), 32))), nil
	}
	is, err := r.Engine.Predict(ctx, &recipe.PredictJob{Model: dir, Base: base, Heads: heads.Heads, Rows: rows, Plan: r.plan, Injection: r.knowledge.injection(),
		Precision: r.outcome.Precision, Device: r.plan.Train.Device, Threads: r.plan.Train.Threads})
	if err != nil {
		return fmt.Errorf("load the saved adapter: %w", err)
	}
	if was == nil {
		if _, _, err := apart(is, is); err != nil {
			return err
		}
		r.Watch.Stage("adapter", "saved and loaded again; no rows are held out to score it on")
		return nil
	}
	limit := 1e-4
	if r.outcome.Precision == "bf16" {
		limit = 2e-2
	}
	worst, differ, err := apart(was, is)
	if err != nil {
		return err
	}
	if worst > limit || differ > len(is)/100 {
		return fmt.Errorf("the saved adapter says something else than the trained model: scores differ by %.2g, answers of %d of %d rows", worst, differ, len(is))
	}
	r.Watch.Stage("adapter", fmt.Sprintf("saved, loaded and scored again: scores differ by %.2g", worst))
	return nil
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// apart compares what two models said of the same rows: the largest difference of a
// number, relative where it is above 1, and how many answers (tags, spans) differ. A
// number that is none is an error.
func apart(was, is []recipe.Prediction) (worst float64, differ int, err error) {
	other := errors.New("the saved adapter has other heads than the trained model")
	if len(was) != len(is) {
		return 0, 0, other
	}
	numbers := func(a, b []float32) {
		if len(a) != len(b) {
			err = other
			return
		}
		for k := range a {
			d := math.Abs(float64(a[k])-float64(b[k])) / max(1, math.Abs(float64(a[k])))
			if math.IsNaN(d) {
				err = errors.New("the saved adapter says what is not a number")
			}
			worst = max(worst, d)
		}
	}
	for i := range is {
		if len(was[i].Heads) != len(is[i].Heads) {
			return 0, 0, other
		}
		for h := range is[i].Heads {
			a, b := &was[i].Heads[h], &is[i].Heads[h]
			if len(a.Tags) != len(b.Tags) || a.Tokens != b.Tokens {
				return 0, 0, other
			}
			for k := range a.Tags {
				if a.Tags[k] != b.Tags[k] {
					differ++
				}
			}
			numbers(a.Scores, b.Scores)
			numbers(a.TagScores, b.TagScores)
			numbers(a.Vector, b.Vector)
			each := float32(max(1, a.Tokens))
			numbers([]float32{a.Value, float32(a.LogLoss) / each}, []float32{b.Value, float32(b.LogLoss) / each})
			if (len(a.Spans) == 0) != (len(b.Spans) == 0) {
				differ++
			} else if len(a.Spans) > 0 {
				if a.Spans[0].Stretch != b.Spans[0].Stretch {
					differ++
				}
				numbers([]float32{a.Spans[0].Score}, []float32{b.Spans[0].Score})
			}
			if err != nil {
				return worst, differ, err
			}
		}
	}
	return worst, differ, nil
}

// Merge makes a plain model folder of an adapter folder.
func Merge(ctx context.Context, engine recipe.Engine, dir, out string, stores ...*modelstore.Store) (*recipe.Merged, error) {
	merger, ok := engine.(recipe.Merger)
	if !ok {
		return nil, errors.New("merge: this engine cannot")
	}
	base, c, ds := AdapterBase(dir, stores...)
	if err := ds.Err(); err != nil {
		return nil, err
	}
	cfg, ds := peft.ModelConfig(dir, base, c)
	if err := ds.Err(); err != nil {
		return nil, err
	}
	heads, ds := peft.ReadHeads(dir, cfg)
	if err := ds.Err(); err != nil {
		return nil, err
	}
	if !c.Mergeable() {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "adapter.merge", File: dir, Summary: fmt.Sprintf("an adapter of the kind %s is no change of weights and cannot be merged", adapterKind(dir, c)), Remedy: "use the adapter folder as it is"}}.Err()
	}
	plan, known, err := injectedBy(dir)
	if err != nil {
		return nil, err
	}
	defer known.close() //nolint:errcheck // only read
	if err := emptyOut(out); err != nil {
		return nil, err
	}
	tmp := out + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	res, err := merger.Merge(ctx, &recipe.MergeJob{Model: dir, Base: base, Heads: heads.Heads, Primary: heads.Primary, Plan: plan, Injection: known.injection(), Out: tmp})
	if err != nil {
		return nil, err
	}
	// Tokenizer and what islm/ says of the run go along; the adapter stays beside
	// it, for unmerge.
	copies := map[string]string{}
	for _, name := range []string{peft.ConfigFile, peft.WeightsFile, filepath.Join(Own, BaseFile)} {
		copies[filepath.Join(dir, name)] = filepath.Join(tmp, Own, "adapter", name)
	}
	tokenizers := []string{base, dir} // the adapter's own files win
	if len(c.Rows) > 0 {
		tokenizers = []string{dir} // the base's lack the new terms
	}
	for _, from := range tokenizers {
		for _, name := range tokenizerFiles {
			copies[filepath.Join(from, name)] = filepath.Join(tmp, name)
			if from == dir && exists(filepath.Join(from, name)) {
				delete(copies, filepath.Join(base, name))
			}
		}
	}
	for _, name := range []string{PlanFile, MetricsFile, ProvenanceFile, LockFile, VocabFile} {
		copies[filepath.Join(dir, Own, name)] = filepath.Join(tmp, Own, name)
	}
	for from, to := range copies {
		if err := copyIfThere(from, to); err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
	}
	if err := copyKnowledge(dir, tmp); err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	if err := os.RemoveAll(out); err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	return res, os.Rename(tmp, out)
}

// adapterKind is the value of train.peft that made an adapter. For peft prefix and
// ptuning are one: what the network of a prefix made is written in its place.
func adapterKind(dir string, c *peft.Config) string {
	if c.Method != recipe.PeftPTuning {
		return c.Method
	}
	file := filepath.Join(dir, Own, PlanFile)
	if data, err := os.ReadFile(file); err == nil {
		if plan, ds := recipe.Parse(file, data); !ds.HasErrors() && plan.Train.Peft == recipe.PeftPrefix {
			return recipe.PeftPrefix
		}
	}
	return c.Method
}

// injectedBy reads the plan of a finished folder, nil if it has none, and opens what
// it injects.
func injectedBy(dir string) (*recipe.Plan, *knowledge, error) {
	file := filepath.Join(dir, Own, PlanFile)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the model's plan: %w", err)
	}
	plan, ds := recipe.Parse(file, data)
	if err := ds.Err(); err != nil {
		return nil, nil, err
	}
	k, ds, err := loadKnowledge(dir, plan)
	return plan, k, errors.Join(err, ds.Err())
}

// copyKnowledge copies what a finished folder injects, weights apart.
func copyKnowledge(from, to string) error {
	k := filepath.Join(from, Own, KnowledgeDir)
	if !exists(k) {
		return nil
	}
	return os.CopyFS(filepath.Join(to, Own, KnowledgeDir), os.DirFS(k))
}

// mergedStage names what Merge makes of an adapter and its base.
const mergedStage = "merged.v2"

// merged merges an adapter that stands as the base of a run or as a teacher (role),
// once: the result is a stage.
func (r *Run) merged(ctx context.Context, role, dir string) (string, error) {
	base, c, ds := AdapterBase(dir, r.Store)
	if err := ds.Err(); err != nil {
		return "", err
	}
	if !c.Mergeable() {
		return "", sdk.Diagnostics{{Severity: sdk.Error, Code: "adapter.merge", File: dir, Summary: fmt.Sprintf("an adapter of the kind %s is no change of weights: it cannot be merged, as the %s of a run has to be", adapterKind(dir, c), role),
			Remedy: unmergeableRemedy}}.Err()
	}
	h := sha256.New()
	fmt.Fprintln(h, mergedStage)
	for _, at := range []string{dir, base} {
		digest, err := weightsDigest(at)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, digest)
	}
	out := filepath.Join(r.Home, "stages", "merged", hex.EncodeToString(h.Sum(nil)))
	if !exists(filepath.Join(out, hf.ConfigFile)) {
		if _, err := Merge(ctx, r.Engine, dir, out, r.Store); err != nil {
			return "", err
		}
	}
	r.Watch.Stage(role, "adapter "+dir+" merged into "+base)
	return out, nil
}

const unmergeableRemedy = "train it with train.peft lora, rslora, dora, adalora or ia3, which can be merged, or whole (train.peft off)"

// tokenizerFiles may stand beside weights in a Hugging Face folder.
var tokenizerFiles = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json", "sentencepiece.bpe.model", "spiece.model"}

// Unmerge takes the adapter out of a folder that Merge made: OUT becomes the base,
// OUT/adapter the adapter.
func Unmerge(ctx context.Context, engine recipe.Engine, dir, out string) (*recipe.Merged, error) {
	merger, ok := engine.(recipe.Merger)
	if !ok {
		return nil, errors.New("unmerge: this engine cannot")
	}
	kept := filepath.Join(dir, Own, "adapter")
	if !peft.Is(kept) {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "adapter.unmerge", File: dir, Summary: "no adapter was merged into this model: islm/adapter is missing", Remedy: "name a folder that 'islm model merge' wrote"}}.Err()
	}
	c, ds := peft.Read(kept)
	if err := ds.Err(); err != nil {
		return nil, err
	}
	if c.Method == recipe.PeftDoRA {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "adapter.unmerge", File: dir, Summary: "DoRA replaces the lengths of the base's weights, which the merged model does not hold any more", Remedy: "use the base " + c.Base + " itself"}}.Err()
	}
	if len(c.Rows) > 0 {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "adapter.unmerge", File: dir, Summary: "the adapter has rows for new terms, which stand in the place of the base's word embeddings; the merged model does not hold those any more", Remedy: "use the base " + c.Base + " itself"}}.Err()
	}
	if err := emptyOut(out); err != nil {
		return nil, err
	}
	tmp := out + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return nil, fmt.Errorf("unmerge: %w", err)
	}
	job := &recipe.MergeJob{Model: kept, Base: dir, Out: tmp, Reverse: true}
	if base, _, ds := AdapterBase(kept); !ds.HasErrors() {
		job.Compare = base
	}
	res, err := merger.Merge(ctx, job)
	if err != nil {
		return nil, err
	}
	copies := map[string]string{}
	for _, name := range tokenizerFiles {
		copies[filepath.Join(dir, name)] = filepath.Join(tmp, name)
	}
	for _, name := range []string{peft.ConfigFile, peft.WeightsFile} {
		copies[filepath.Join(kept, name)] = filepath.Join(tmp, "adapter", name)
	}
	copies[filepath.Join(dir, hf.ConfigFile)] = filepath.Join(tmp, "adapter", hf.ConfigFile)
	// Heads, knowledge and how texts are read are the adapter's, not the base's.
	for _, name := range []string{hf.HeadsFile, hf.HeadWeightsFile, hf.KnowledgeWeightsFile, PlanFile} {
		copies[filepath.Join(dir, Own, name)] = filepath.Join(tmp, "adapter", Own, name)
	}
	if err := copyKnowledge(dir, filepath.Join(tmp, "adapter")); err != nil {
		return nil, fmt.Errorf("unmerge: %w", err)
	}
	for from, to := range copies {
		if err := copyIfThere(from, to); err != nil {
			return nil, fmt.Errorf("unmerge: %w", err)
		}
	}
	// The adapter now changes the folder beside it.
	c.Base = ".."
	text, err := c.Encode()
	if err != nil {
		return nil, err
	}
	if err := writeWhole(filepath.Join(tmp, "adapter", peft.ConfigFile), text); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(out); err != nil {
		return nil, fmt.Errorf("unmerge: %w", err)
	}
	return res, os.Rename(tmp, out)
}

func emptyOut(out string) error {
	entries, err := os.ReadDir(out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open --out: %w", err)
	}
	if len(entries) > 0 {
		return &sdk.DiagnosticsError{Fatal: true, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "run.not-empty", File: out, Summary: "the folder is not empty", Remedy: "choose another --out"}}}
	}
	return nil
}

// copyIfThere copies a file; one that does not exist is left out.
func copyIfThere(from, to string) error {
	data, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
