package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// StageFile marks the folder of a stage with what went into it, below islm/.
const StageFile = "stage.json"

// Pipeline is a recipe of several stages, each of which starts from the model of the
// one before. The last one's folder is Out; the others lie in Out/islm/stages. A
// stage whose inputs have not changed since it finished is skipped.
type Pipeline struct {
	Stages []recipe.StagePlan
	Out    string
	Resume bool
	// Make puts the run of a stage together.
	Make func(s *recipe.StagePlan) (*Run, error)
	// Begin hears of each stage; skipped says that it was finished before.
	Begin func(s *recipe.StagePlan, of int, skipped bool)
}

// stageMark is the content of StageFile.
type stageMark struct {
	Inputs string              `json:"inputs"`
	Done   *report.StageRecord `json:"done,omitempty"` // of a finished stage but the last
}

// Run runs what is left and returns what the last stage made; few is that of a last
// stage with a few examples.
func (p *Pipeline) Run(ctx context.Context) (res *Result, few *FewShotResult, err error) {
	if err := p.check(); err != nil {
		return nil, nil, err
	}
	if _, _, err := OpenFolder(p.Out, p.Resume); err != nil {
		return nil, nil, err
	}
	var before []report.StageRecord
	from := ""
	for i := range p.Stages {
		s := &p.Stages[i]
		last := i+1 == len(p.Stages)
		dir := p.Out
		if !last {
			dir = filepath.Join(p.Out, Own, "stages", fmt.Sprintf("%d-%s", s.Number, s.Name))
		}
		s.From = from
		r, err := p.Make(s)
		if err != nil {
			return nil, nil, err
		}
		plan, err := r.Plan(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("stage %s: %w", s.Name, err)
		}
		inputs, err := r.inputsDigest(ctx, plan)
		if err != nil {
			return nil, nil, fmt.Errorf("stage %s: %w", s.Name, err)
		}
		done, err := markStage(dir, inputs, last)
		if err != nil {
			return nil, nil, err
		}
		p.Begin(s, len(p.Stages), done != nil)
		if done == nil {
			r.Out, r.Resume, r.before = dir, true, before
			if res, few, err = r.stage(ctx, plan.Objective); err != nil {
				return nil, nil, err
			}
			if !last {
				if done, err = finishStage(s, plan, dir, inputs, res); err != nil {
					return nil, nil, err
				}
			}
		}
		if !last {
			before = append(before, *done)
		}
		from = dir
	}
	return res, few, nil
}

// check refuses, before the first stage, one that would train nothing, and a model that
// the next stage could not begin with.
func (p *Pipeline) check() error {
	var ds sdk.Diagnostics
	for i := range p.Stages {
		s := &p.Stages[i]
		r, err := p.Make(s)
		if err != nil {
			return err
		}
		plan, bad, err := r.Resolve(nil)
		if err != nil {
			return err
		}
		if bad.HasErrors() {
			continue // the stage itself tells them, with what its plugins advise
		}
		for _, d := range append(checkMetric(plan, nil), plan.Idle()...) {
			d.Summary = "stage " + s.Name + ": " + d.Summary
			ds.Add(d)
		}
		if method := plan.Train.Peft; i+1 < len(p.Stages) && recipe.HasAdapter(method) && !recipe.Mergeable(method) {
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "adapter.merge", Path: "train.peft",
				Summary: fmt.Sprintf("stage %s trains an adapter of the kind %s, which cannot be merged into its base: stage %s has no model to begin with", s.Name, method, p.Stages[i+1].Name), Remedy: unmergeableRemedy})
		}
	}
	return ds.Err()
}

// stage does what an objective asks for.
func (r *Run) stage(ctx context.Context, objective string) (*Result, *FewShotResult, error) {
	switch objective {
	case "fewshot":
		return r.FewShot(ctx)
	case recipe.ObjectiveVocab:
		res, err := r.run(ctx, append(r.preparing(), stage{"vocab", r.publishBase}))
		return res, nil, err
	}
	res, err := r.Train(ctx)
	return res, nil, err
}

// markStage claims the folder of a stage for these inputs. What other inputs made of
// it is removed, but not the folder of the last stage, which is the user's.
func markStage(dir, inputs string, last bool) (*report.StageRecord, error) {
	file := filepath.Join(dir, Own, StageFile)
	var mark stageMark
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &mark)
	}
	switch {
	case err == nil && mark.Inputs == inputs:
		return mark.Done, nil
	case err == nil && last:
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "run.inputs-differ", File: dir, Summary: "the last stage was begun with another plan, or with other data or models before it",
			Remedy: "choose another --out, or remove the folder"}}.Err()
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if !last {
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("remove an outdated stage: %w", err)
		}
	}
	return nil, saveMark(dir, stageMark{Inputs: inputs})
}

func saveMark(dir string, m stageMark) error {
	if err := os.MkdirAll(filepath.Join(dir, Own), 0o755); err != nil {
		return fmt.Errorf("make the folder of a stage: %w", err)
	}
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("mark a stage: %w", err)
	}
	return writeWhole(filepath.Join(dir, Own, StageFile), append(raw, '\n'))
}

// finishStage records what a stage made.
func finishStage(s *recipe.StagePlan, plan *recipe.Plan, dir, inputs string, res *Result) (*report.StageRecord, error) {
	done := &report.StageRecord{Name: s.Name, Objective: plan.Objective, Inputs: inputs}
	var err error
	if done.Model, err = modelDigest(dir); err != nil {
		return nil, err
	}
	if m := res.Metrics; m != nil {
		done.Steps, done.Seconds = m.Train.Steps, m.Train.Seconds
		name := res.Primary
		if m.Heads[name] == nil {
			for other := range m.Heads {
				if len(m.Heads) == 1 {
					name = other
				}
			}
		}
		if h := m.Heads[name]; h != nil {
			if v, ok := h.Value(h.Primary()); ok {
				done.Score = fmt.Sprintf("%s %.3f", strings.ReplaceAll(h.Primary(), "_", " "), v)
			}
		}
	}
	return done, saveMark(dir, stageMark{Inputs: inputs, Done: done})
}

// modelDigest names a model by its weights, configuration, tokenizer and heads.
func modelDigest(dir string) (string, error) {
	digest, _, err := report.DigestTree(os.DirFS(dir), func(path string) bool {
		if strings.HasPrefix(path, Own+"/") {
			return slices.Contains([]string{hf.HeadsFile, hf.HeadWeightsFile, hf.KnowledgeWeightsFile}, strings.TrimPrefix(path, Own+"/"))
		}
		return !strings.Contains(path, "/") && (modelFile(path) || path == peft.ConfigFile)
	})
	return digest, err
}

// places are keys that say where something lies, of which the content counts, and
// keys that change nothing of what is trained.
var places = []string{"base", "data.path", "data.train", "data.valid", "data.test", "distill.teachers", "continue.data", "knowledge.kg", "knowledge.vectors", "augment.wordnet", "train.log_every", "eval.batch_size"}

// inputsDigest names everything that a run depends on: its plan, and the content of
// what the plan names.
func (r *Run) inputsDigest(ctx context.Context, plan *recipe.Plan) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "stage.v0 %s\n", r.Version)
	digestValues(h, plan, nil)
	if err := r.digestModels(ctx, h, plan); err != nil {
		return "", err
	}
	if err := digestPaths(h, slices.Concat(dataPaths(plan), knowledgePaths(plan))); err != nil {
		return "", err
	}
	r.digestPlugins(h)
	return sumOf(h), nil
}

// Inputs are digests of what runs of some plans depend on, by what they are: recipe,
// models, data, knowledge (rules too) and plugins. Keys in without are left out of the
// recipe. Call it after Plan.
func (r *Run) Inputs(ctx context.Context, without []string, plans ...*recipe.Plan) (map[string]string, error) {
	recipes, models, data, knowledge, plugins := sha256.New(), sha256.New(), sha256.New(), sha256.New(), sha256.New()
	for _, plan := range plans {
		digestValues(recipes, plan, without)
		if err := r.digestModels(ctx, models, plan); err != nil {
			return nil, err
		}
		if err := errors.Join(digestPaths(data, dataPaths(plan)), digestPaths(knowledge, knowledgePaths(plan))); err != nil {
			return nil, err
		}
	}
	r.digestPlugins(plugins)
	return map[string]string{"recipe": sumOf(recipes), "models": sumOf(models), "data": sumOf(data), "knowledge": sumOf(knowledge), "plugins": sumOf(plugins)}, nil
}

// Placed reports a key that says where something lies, of which the content counts.
func Placed(key string) bool { return slices.Contains(places, key) }

func sumOf(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

func digestValues(h io.Writer, plan *recipe.Plan, without []string) {
	for _, v := range plan.Values() {
		if !Placed(v.Path) && !slices.Contains(without, v.Path) {
			fmt.Fprintf(h, "%s: %s\n", v.Path, v.Text) //nolint:errcheck // a hash takes all
		}
	}
}

// digestModels writes the digests of the models that a run starts from.
func (r *Run) digestModels(ctx context.Context, h io.Writer, plan *recipe.Plan) error {
	models := slices.Clone(plan.Distill.Teachers)
	if plan.Objective != recipe.ObjectiveDistill {
		models = []string{plan.Base}
	} else if plan.Student.From == recipe.StudentBase {
		models = append(models, plan.Base)
	}
	if plan.Pretrain.Like != "" {
		models = append(models, plan.Pretrain.Embedder)
	}
	for _, ref := range models {
		m, err := r.model(ctx, ref)
		if err != nil {
			return err
		}
		digest, err := modelDigest(m.Dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "model %s\n", digest) //nolint:errcheck // a hash takes all
	}
	return nil
}

func dataPaths(plan *recipe.Plan) []string {
	d := &plan.Data
	paths := []string{d.Path, d.Train, d.Valid, d.Test, plan.Continue.Data}
	if like := plan.Pretrain.Like; like != "" {
		paths = append(paths, like)
	}
	return paths
}

func knowledgePaths(plan *recipe.Plan) []string {
	return slices.Concat([]string{plan.Knowledge.KG, plan.Knowledge.Vectors, plan.Augment.WordNet}, plan.Augment.Packs)
}

// digestPaths writes the digests of files and folders; what is none of them is the
// name of a plugin's dataset or of a bundled pack.
func digestPaths(h io.Writer, paths []string) error {
	for i, path := range paths {
		if path == "" || !exists(path) {
			fmt.Fprintf(h, "name %d %q\n", i, path) //nolint:errcheck // a hash takes all
			continue
		}
		if err := digestInto(h, path); err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) digestPlugins(h io.Writer) {
	for _, p := range r.plugins {
		fmt.Fprintf(h, "plugin %s %s\n", p.about.Name, p.entry.SHA256) //nolint:errcheck // a hash takes all
	}
}

// digestInto writes the digest of a file or folder.
func digestInto(h io.Writer, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	if !info.IsDir() {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("digest: %w", err)
		}
		defer f.Close() //nolint:errcheck // only read
		if _, err := io.Copy(h, f); err != nil {
			return fmt.Errorf("digest: %w", err)
		}
		return nil
	}
	digest, _, err := report.DigestTree(os.DirFS(path), nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(h, "file %s\n", digest)
	return err
}

// publishBase is the end of a stage that makes a base with the domain's terms and
// trains nothing: the model folder, as an ordinary base.
func (r *Run) publishBase(context.Context) error {
	if r.data.vocabulary == nil && r.plan.Vocab.Extend == 0 {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "vocab.extend", Path: "vocab.extend", Summary: "a stage with the objective vocab adds nothing: vocab.extend is off", Remedy: "set vocab.extend to a number or all"}}.Err()
	}
	from, to := r.data.base, r.folder.ExportDir()
	if err := os.MkdirAll(filepath.Join(to, Own), 0o755); err != nil {
		return fmt.Errorf("make the export folder: %w", err)
	}
	names, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("read the extended base: %w", err)
	}
	for _, e := range names {
		if e.IsDir() || !modelFile(e.Name()) && !slices.Contains(tokenizerFiles, e.Name()) {
			continue
		}
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	for _, name := range []string{hf.HeadsFile, hf.HeadWeightsFile} {
		if exists(filepath.Join(from, Own, name)) {
			if err := copyFile(filepath.Join(from, Own, name), filepath.Join(to, Own, name)); err != nil {
				return err
			}
		}
	}
	if v := r.data.vocabulary; v != nil {
		if err := v.save(r.folder.Own(VocabFile)); err != nil {
			return err
		}
	}
	r.metrics = &metric.Metrics{}
	return r.folder.Publish()
}
