package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/modelstore"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// Run is one run: what the command gave, and what its stages made of it.
type Run struct {
	Home    string // ISLM_HOME: stages, models
	Store   *modelstore.Store
	Catalog *catalog.Catalog
	Engine  recipe.Engine
	Log     hclog.Logger
	Watch   Watcher
	Args    []string // command line, for the provenance
	Version string   // of islm
	Lang    string   // of the report: en or zh

	// Resolve makes the plan from the command's layers and the plugins' advice.
	Resolve func(advice []recipe.Advice) (*recipe.Plan, sdk.Diagnostics, error)
	Out     string
	Resume  bool

	before []report.StageRecord // the stages of a pipeline before this run
	name   string               // of the model on its card; "" = that of the folder
	only   string               // the split of the data that is read; "" = all

	folder    Folder
	plan      *recipe.Plan
	plugins   plugins
	base      modelstore.Model
	teachers  []*teacher // of a distillation; of a continued model itself
	past      *past      // nil unless a finished model is continued
	continued *Continued // what it kept and learned
	knowledge *knowledge // nil when the plan injects none
	data      *data
	outcome   *recipe.Outcome
	metrics   *metric.Metrics
	groups    map[string][]*metric.Groups // by head, with eval.by
	problems  sdk.Diagnostics             // warnings and notices of all stages, for the report
}

// Watcher hears what a run does. Its methods are called in order, from one
// goroutine at a time.
type Watcher interface {
	Problems(sdk.Diagnostics)
	Stage(name, text string)
	// Event comes from the engine; scores are set for validations.
	Event(e recipe.Event, scores map[string]*metric.Report)
}

// Result is what a command prints of a finished run.
type Result struct {
	Dir      string
	Plan     *recipe.Plan
	Metrics  *metric.Metrics             // nil after Prepare
	Groups   map[string][]*metric.Groups // by head: scores of the groups of eval.by
	Kept     *Continued                  // of a continued model
	Primary  string                      // head that the model folder itself holds
	Stages   []Stage                     // what was prepared, with digests
	Finished bool                        // the run had been finished before; nothing was done
}

type stage struct {
	name string
	do   func(context.Context) error
}

// Train makes a model: the order of a run. An objective that is not one training is
// a diagnostic, before anything is written.
func (r *Run) Train(ctx context.Context) (*Result, error) {
	return r.run(ctx, append(r.checked(CheckTrained),
		stage{"train", r.train},   // epochs, validation, early stop, checkpoints
		stage{"score", r.score},   // reports before and after
		stage{"judge", r.judge},   // what a continued model kept; floors
		stage{"export", r.export}, // tokenizer, provenance, report; then rename
	))
}

// CheckTrained refuses a plan whose objective is not one training: what Train, and
// whoever repeats it, cannot do.
func CheckTrained(plan *recipe.Plan) sdk.Diagnostics {
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "train.objective", Path: "objective"}
	switch {
	case recipe.Trained(plan.Objective):
		return nil
	case plan.Objective == recipe.ObjectiveFewShot:
		d.Summary = "the objective fewshot is no single training: its method is chosen by a cross-validation over draws of a few examples"
		d.Remedy = "islm fewshot, with the same recipe; or list it under stages: of a recipe for islm train"
	case plan.Objective == recipe.ObjectiveVocab:
		d.Summary = "the objective vocab trains nothing: it makes a base with the terms of vocab.extend"
		d.Remedy = "islm vocab extend; or list it under stages: of a recipe for islm train, before a stage that trains"
	default:
		d.Summary = fmt.Sprintf("the objective %s is no single training", plan.Objective)
		d.Remedy = "set objective=" + recipe.ObjectiveFinetune
	}
	return sdk.Diagnostics{d}
}

// Prepare stops before the first step: plan.yaml and the digests.
func (r *Run) Prepare(ctx context.Context) (*Result, error) {
	return r.run(ctx, append(r.preparing(), stage{"record", r.record}))
}

func (r *Run) preparing() []stage {
	return []stage{
		{"plugins", r.launch},             // lock, sha256, Describe, Configure
		{"plan", r.makePlan},              // complete, no hidden default
		{"past", r.openPast},              // of a continued model
		{"folder", r.openFolder},          // refused, new or resumed
		{"teachers", r.openTeachers},      // of a distillation
		{"base", r.findBase},              // base model and tokenizer
		{"knowledge", r.prepareKnowledge}, // facts, compiled view, features
		{"data", r.prepareData},           // read, check, split, encode: shards
		{"teach", r.teach},                // what the teachers see
		{"release", r.release},            // plugins are gone before the first step
	}
}

// checked is preparing that refuses some plans before anything is written.
func (r *Run) checked(check func(*recipe.Plan) sdk.Diagnostics) []stage {
	stages := r.preparing()
	plan := slices.IndexFunc(stages, func(s stage) bool { return s.name == "plan" })
	return slices.Insert(stages, plan+1, stage{"check", func(context.Context) error { return check(r.plan).Err() }})
}

// errFinished ends the stages of a run that had been finished before.
var errFinished = errors.New("the run is finished")

func (r *Run) run(ctx context.Context, stages []stage) (*Result, error) {
	defer r.plugins.close()
	defer r.closeTeachers()
	defer func() {
		if r.data == nil {
			return
		}
		if err := r.data.rules.close(); err != nil {
			r.Log.Warn("close the graph of the rules", "error", err)
		}
	}()
	defer func() {
		if err := r.knowledge.close(); err != nil {
			r.Log.Warn("close the knowledge graph", "error", err)
		}
	}()
	ready := slices.IndexFunc(stages, func(s stage) bool { return s.name == "release" })
	for i, s := range stages {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.do(ctx); errors.Is(err, errFinished) {
			m, err := metric.Load(r.folder.Own(MetricsFile))
			if err != nil {
				return nil, err
			}
			return &Result{Dir: r.folder.Dir, Plan: r.plan, Metrics: m, Finished: true}, nil
		} else if err != nil {
			if i <= ready {
				r.folder.Withdraw()
			}
			return nil, err
		}
	}
	res := &Result{Dir: r.folder.Dir, Plan: r.plan, Metrics: r.metrics, Groups: r.groups, Stages: r.data.stages(), Kept: r.continued}
	if len(r.data.heads) > 0 {
		res.Primary = primary(r.plan, r.data.heads)
	}
	return res, nil
}

// tell passes diagnostics on and keeps them for the report; errors end the run.
func (r *Run) tell(ds sdk.Diagnostics) error {
	var rest sdk.Diagnostics
	for _, d := range ds {
		if d.Severity != sdk.Error {
			rest = append(rest, d)
		}
	}
	if err := ds.Err(); err != nil {
		return err
	}
	r.problems = append(r.problems, rest...)
	if len(rest) > 0 {
		r.Watch.Problems(rest)
	}
	return nil
}

// launch starts the plugins that the command names.
func (r *Run) launch(ctx context.Context) error {
	plan, ds, err := r.Resolve(nil)
	if err != nil {
		return err
	}
	if err := ds.Err(); err != nil {
		return err
	}
	r.plugins, ds, err = launchAll(ctx, r.Catalog, plan, r.Home, r.Log)
	if err != nil {
		return err
	}
	for _, p := range r.plugins {
		r.Watch.Stage("plugin", fmt.Sprintf("%s %s (%s)", p.about.Name, p.about.Version, p.entry.Place))
	}
	return r.tell(ds)
}

func (r *Run) makePlan(context.Context) error {
	plan, ds, err := r.Resolve(r.plugins.advice())
	if err != nil {
		return err
	}
	if d := &plan.Data; d.Path == "" && d.Train == "" {
		d.Path = r.plugins.defaultData()
	}
	r.plan = plan
	if !ds.HasErrors() {
		ds = append(ds, plan.Idle()...)
	}
	return r.tell(append(ds, checkMetric(plan, nil)...))
}

func (r *Run) openFolder(context.Context) error {
	if r.Out == "" {
		domain := "general"
		if len(r.plan.Domain.Names) > 0 {
			domain = r.plan.Domain.Names[0]
		}
		r.Out = filepath.Join("runs", time.Now().Format("20060102-150405")+"-"+domain+"-"+r.plan.Objective)
	}
	folder, finished, err := OpenFolder(r.Out, r.Resume)
	if err != nil {
		return err
	}
	r.folder = folder
	if err := folder.AdoptPlan(r.plan); err != nil {
		return err
	}
	if finished {
		return errFinished
	}
	if err := folder.WritePlan(r.plan); err != nil {
		return err
	}
	r.Watch.Stage("run", r.Out)
	return nil
}

// model finds a model, whole: a change of its files that was cut off is finished first.
func (r *Run) model(ctx context.Context, ref string) (modelstore.Model, error) {
	m, err := r.Store.Get(ctx, ref)
	if err == nil {
		err = hf.Settle(m.Dir)
	}
	return m, err
}

func (r *Run) findBase(ctx context.Context) error {
	if err := r.makeStudent(); err != nil {
		return err
	}
	if r.base.Dir != "" {
		return r.fitBase()
	}
	if r.past != nil {
		r.base = r.past.model
		r.Watch.Stage("base", r.base.Name)
		return r.fitBase()
	}
	m, err := r.model(ctx, r.plan.Base)
	if err != nil {
		return err
	}
	if peft.Is(m.Dir) {
		if m.Dir, err = r.merged(ctx, "base", m.Dir); err != nil {
			return err
		}
		m.Source = nil // the weights are others now
	}
	r.base = m
	r.Watch.Stage("base", m.Name)
	return r.fitBase()
}

// fitBase holds what the plan says of the base's parts against its shape.
func (r *Run) fitBase() error {
	if !recipe.Trained(r.plan.Objective) {
		return nil
	}
	cfg, ds := hf.ReadConfig(r.base.Dir)
	if cfg == nil {
		return r.tell(ds)
	}
	return r.tell(fitParts(r.plan, cfg))
}

func (r *Run) prepareData(ctx context.Context) error {
	open := openData
	if r.plan.Objective == recipe.ObjectivePretrain {
		open = openText
	}
	d, ds, err := open(ctx, dataRequest{plan: r.plan, plugins: r.plugins, base: r.base.Dir, home: r.Home, knowledge: r.knowledge, store: r.Store, engine: r.Engine, heads: r.teacherHeads(), past: r.past, only: r.only, rewrite: r.rewrite})
	if terr := r.tell(ds); terr != nil {
		return terr
	}
	if err != nil {
		return err
	}
	r.data = d
	wrong := checkMetric(r.plan, d.heads)
	if r.plan.Objective == recipe.ObjectiveFewShot {
		wrong.Add(lacksClasses(d.heads)...)
	}
	if err := r.tell(wrong); err != nil {
		return err
	}
	if by, rows := r.plan.Eval.By, d.corpus.Test; by != "" && r.only == "" {
		if len(rows) == 0 {
			rows = d.corpus.Valid
		}
		if err := r.tell(lacksField(rows, by)); err != nil { // said before the training, not after it
			return err
		}
	}
	if err := r.folder.AdoptRules(d.rules.digests()); err != nil {
		return err
	}
	r.plan.Data.MaxLength = d.maxLength
	if err := r.folder.WritePlan(r.plan); err != nil {
		return err
	}
	for _, line := range d.summary() {
		r.Watch.Stage("data", line)
	}
	return nil
}

func (r *Run) release(context.Context) error {
	r.plugins.close()
	return nil
}

// train hands everything to the engine and writes down what it says.
func (r *Run) train(ctx context.Context) error {
	if err := os.MkdirAll(r.folder.ExportDir(), 0o755); err != nil {
		return fmt.Errorf("make the export folder: %w", err)
	}
	w, err := openRecorder(r.folder, r.data, r.plan, r.Watch)
	if err != nil {
		return err
	}
	defer w.close()
	terms, err := r.jobTerms()
	if err != nil {
		return err
	}
	past, err := r.jobPast(ctx)
	if err != nil {
		return err
	}
	outcome, err := r.Engine.Train(ctx, &recipe.Job{
		Dir: r.folder.Dir, Plan: r.plan, Base: r.data.base, BaseName: adapterBaseName(r.base), Heads: r.data.heads, Terms: terms,
		Train: r.data.loader, Valid: r.data.valid, Test: r.data.test, Injection: r.knowledge.injection(),
		Teachers: r.jobTeachers(), Past: past, Resume: r.Resume, Threads: r.plan.Train.Threads, ExportDir: r.folder.ExportDir(),
		Score: r.rating(w), Observe: w.observe,
	})
	if err == nil {
		err = w.err
	}
	if err != nil {
		return err
	}
	r.outcome = outcome
	return nil
}

// rating is how validations are rated; nil where no valid row has a label.
func (r *Run) rating(w *recorder) func([]recipe.Prediction) float64 {
	if r.data.valid == nil {
		return nil
	}
	for i := range r.data.valid.Len() {
		for _, t := range r.data.valid.At(i).Targets {
			if t.Has {
				return w.score
			}
		}
	}
	return nil
}

func (r *Run) score(context.Context) error {
	rows, split := r.data.test, "test"
	if r.outcome.Split == "valid" {
		rows, split = r.data.valid, "valid"
	}
	r.metrics = &metric.Metrics{Train: trainFigures(r.outcome)}
	if rows == nil {
		return nil
	}
	r.metrics.Heads = Score(r.data.heads, rows, r.outcome.After, r.data.name, split)
	if r.outcome.Before != nil {
		r.metrics.Before = Score(r.data.heads, rows, r.outcome.Before, r.data.name, split)
	}
	if r.plan.Eval.By != "" {
		var err error
		r.groups, err = groups(r.data.heads, rows, r.data.corpus.Split(split), r.metrics.Heads, r.plan.Eval.By, r.plan.Seed)
		return err
	}
	return nil
}

func trainFigures(o *recipe.Outcome) metric.Train {
	t := metric.Train{Steps: o.Steps, Epochs: o.Epochs, Seconds: o.Seconds, Tokens: o.Tokens, PeakRSSBytes: o.PeakRSS, PaddingShare: o.PaddingShare, ResumedFrom: o.ResumedFrom,
		BestStep: o.BestStep, StoppedEarly: o.StoppedEarly, Trainable: o.Trainable, Parameters: o.Parameters, Device: o.Device, Precision: o.Precision, Losses: o.Losses}
	if o.Seconds > 0 {
		t.TokensPerS = float64(o.Tokens) / o.Seconds
	}
	if o.PredictSeconds > 0 {
		t.PredictTokensPerS = float64(o.PredictTokens) / o.PredictSeconds
	}
	return t
}

// primary is the head that config.json and model.safetensors hold.
func primary(plan *recipe.Plan, heads []sdk.HeadSpec) string {
	for _, h := range heads {
		if h.Name == plan.Export.Head {
			return h.Name
		}
	}
	if len(heads) == 0 {
		return "" // a bare encoder
	}
	return heads[0].Name
}

// Plan makes the complete plan and does nothing else.
func (r *Run) Plan(ctx context.Context) (*recipe.Plan, error) {
	defer r.plugins.close()
	for _, do := range []func(context.Context) error{r.launch, r.makePlan} {
		if err := do(ctx); err != nil {
			return nil, err
		}
	}
	return r.plan, nil
}

// record is the last stage of Prepare.
func (r *Run) record(context.Context) error {
	raw, err := json.MarshalIndent(map[string]any{"stages": r.data.stages(), "inputs": r.data.inputs()}, "", "  ")
	if err != nil {
		return fmt.Errorf("record the stages: %w", err)
	}
	return writeWhole(r.folder.Own("stages.json"), append(raw, '\n'))
}
