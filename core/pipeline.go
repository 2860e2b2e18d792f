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
// stage whose inputs have not changed since it finished is skipped. A last stage whose
// inputs have changed is made anew beside the others; Out keeps its model until the new
// one is complete.
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
	Done   *report.StageRecord `json:"done,omitempty"` // of a finished stage; of the last where it was made beside Out
}

// Run runs what is left and returns what the last stage made; few is that of a last
// stage with a few examples.
func (p *Pipeline) Run(ctx context.Context) (res *Result, few *FewShotResult, err error) {
	if err := p.check(); err != nil {
		return nil, nil, err
	}
	if out, _, err := OpenFolder(p.Out, p.Resume); err != nil {
		return nil, nil, err
	} else if exists(out.Own(PlanFile)) && !exists(out.Own(StageFile)) {
		return nil, nil, &sdk.DiagnosticsError{Fatal: true, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "run.foreign", File: p.Out,
			Summary: "the folder holds a run that is no recipe of stages", Remedy: "choose another --out"}}}
	}
	var before []report.StageRecord
	from := ""
	for i := range p.Stages {
		s := &p.Stages[i]
		last := i+1 == len(p.Stages)
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
		dir, done, err := p.claim(s, inputs, last)
		if err != nil {
			return nil, nil, err
		}
		p.Begin(s, len(p.Stages), done != nil)
		if done == nil {
			r.Out, r.Resume, r.before = dir, true, before
			if last {
				r.name = filepath.Base(p.Out)
			}
			if res, few, err = r.stage(ctx, plan.Objective); err != nil {
				return nil, nil, err
			}
			if dir != p.Out {
				if done, err = finishStage(s, plan, dir, inputs, res); err != nil {
					return nil, nil, err
				}
			}
			if last && dir != p.Out {
				if err := p.replace(dir, inputs); err != nil {
					return nil, nil, err
				}
				res.Dir = p.Out
				r.Watch.Stage("run", p.Out+" holds the new model")
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

// folder is where a stage lies that is not Out.
func (p *Pipeline) folder(s *recipe.StagePlan) string {
	return filepath.Join(p.Out, Own, "stages", fmt.Sprintf("%d-%s", s.Number, s.Name))
}

// claim marks the folder that a stage is made in with its inputs; done is not nil where
// they made it before. The last stage is made in Out, but where a model of other inputs
// lies there beside it.
func (p *Pipeline) claim(s *recipe.StagePlan, inputs string, last bool) (dir string, done *report.StageRecord, err error) {
	beside := p.folder(s)
	if !last {
		done, err = markStage(beside, inputs)
		return beside, done, err
	}
	mark, err := readMark(beside)
	if err != nil {
		return "", nil, err
	}
	if mark.Done != nil && mark.Inputs == inputs { // a kill came between the two
		return p.Out, nil, p.replace(beside, inputs)
	}
	if mark, err = readMark(p.Out); err != nil {
		return "", nil, err
	}
	switch {
	case mark.Inputs == inputs:
		return p.Out, nil, os.RemoveAll(beside)
	case mark.Inputs != "" && (exists(filepath.Join(p.Out, hf.ConfigFile)) || peft.Is(p.Out)):
		done, err = markStage(beside, inputs)
		return beside, done, err
	case mark.Inputs != "":
		if err := clearOut(p.Out); err != nil {
			return "", nil, err
		}
	}
	return p.Out, nil, saveMark(p.Out, stageMark{Inputs: inputs})
}

// replace moves what the last stage made beside Out into it, in the place of what lay
// there. A call that was cut off is completed by the next: the mark of Out changes once
// the old model is gone, that of the new one goes last.
func (p *Pipeline) replace(beside, inputs string) error {
	mark, err := readMark(p.Out)
	if err != nil {
		return err
	}
	if mark.Inputs != inputs {
		if err := clearOut(p.Out); err != nil {
			return err
		}
		if err := saveMark(p.Out, stageMark{Inputs: inputs}); err != nil {
			return err
		}
	}
	move := func(names []fs.DirEntry, below string, when func(name string) bool) error {
		for _, e := range names {
			if !when(e.Name()) {
				continue
			}
			if err := os.Rename(filepath.Join(beside, below, e.Name()), filepath.Join(p.Out, below, e.Name())); err != nil {
				return fmt.Errorf("replace the model of the last stage: %w", err)
			}
		}
		return nil
	}
	own, err := os.ReadDir(filepath.Join(beside, Own))
	if err != nil {
		return fmt.Errorf("read the new last stage: %w", err)
	}
	top, err := os.ReadDir(beside)
	if err != nil {
		return fmt.Errorf("read the new last stage: %w", err)
	}
	whole := func(name string) bool { return name == hf.ConfigFile || name == peft.ConfigFile } // what makes it a model
	if err := move(own, Own, func(name string) bool { return name != StageFile }); err != nil {
		return err
	}
	if err := move(top, "", func(name string) bool { return name != Own && !whole(name) }); err != nil {
		return err
	}
	if err := move(top, "", whole); err != nil {
		return err
	}
	return os.RemoveAll(beside)
}

// clearOut removes what a last stage left of its model and run, and neither the other
// stages nor files that are not its own.
func clearOut(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("remove an outdated model: %w", err)
	}
	gone := []string{hf.ConfigFile, peft.ConfigFile, "README.md"} // no model from the first on
	for _, e := range entries {
		if name := e.Name(); modelFile(name) || slices.Contains(tokenizerFiles, name) || strings.HasSuffix(name, ".safetensors.index.json") || strings.HasSuffix(name, ".tmp") {
			gone = append(gone, name)
		}
	}
	own, err := os.ReadDir(filepath.Join(dir, Own))
	if err != nil {
		return fmt.Errorf("remove an outdated model: %w", err)
	}
	for _, e := range own {
		if e.Name() != StageFile && e.Name() != "stages" {
			gone = append(gone, filepath.Join(Own, e.Name()))
		}
	}
	for _, name := range gone {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("remove an outdated model: %w", err)
		}
	}
	return nil
}

// readMark is the mark of a stage's folder, empty where there is none.
func readMark(dir string) (mark stageMark, err error) {
	file := filepath.Join(dir, Own, StageFile)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return mark, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &mark)
	}
	if err != nil {
		return mark, fmt.Errorf("read %s: %w", file, err)
	}
	return mark, nil
}

// markStage marks a folder below islm/stages. What other inputs made of it is removed.
func markStage(dir, inputs string) (*report.StageRecord, error) {
	mark, err := readMark(dir)
	if err != nil || mark.Inputs == inputs {
		return mark.Done, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("remove an outdated stage: %w", err)
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
	var models []string
	for _, ref := range plan.Distill.Teachers {
		head, model := renamed(ref)
		if head != "" {
			fmt.Fprintf(h, "head %s\n", head) //nolint:errcheck // a hash takes all
		}
		models = append(models, model)
	}
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
