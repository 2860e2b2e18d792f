package core

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/fewshot"
	"github.com/islm-dev/islm/core/libtorch"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// Methods of learning from a few examples.
const (
	MethodContrastive = "contrastive" // encoder trained on pairs, then logistic regression (SetFit)
	MethodPrototype   = "prototype"   // nearest class mean of the base's vectors
	MethodProbe       = "probe"       // logistic regression on the base's vectors
	MethodFinetune    = "finetune"    // encoder and head trained on the examples
	MethodPattern     = "pattern"     // language model trained to fill a pattern's gap with the label's word (PET)
)

// FewShotFile holds the rows of a few-shot run, below islm/.
const FewShotFile = "fewshot.json"

// FewShotResult is what a few-shot run found.
type FewShotResult struct {
	Head    string             `json:"head"`
	Shots   int                `json:"shots"`
	Classes int                `json:"classes"`
	Split   string             `json:"split"`            // test or valid: the rows that are scored; train: the first draw alone
	N       int                `json:"n"`                // of these rows
	Method  string             `json:"method"`           // the one chosen
	CV      map[string]float64 `json:"cv"`               // macro F1 in the cross-validation on the first draw
	Rounds  int                `json:"rounds,omitempty"` // of the cross-validation
	// Candidates are the methods of the cross-validation, the one first that is taken
	// unless others are clearly ahead.
	Candidates []fewshot.Candidate `json:"candidates,omitempty"`
	Rows       []FewShotRow        `json:"rows"`
	Compared   []fewshot.Compared  `json:"compared"` // the chosen method against the others, macro F1
}

// FewShotRow is one method on one draw. Fold is its part of the
// cross-validation, counted through the rounds, -1 for the scores on all held-out
// rows.
type FewShotRow struct {
	Method   string  `json:"method"`
	Split    int     `json:"split"`
	Fold     int     `json:"fold"`
	N        int     `json:"n"` // examples learned from
	Accuracy float64 `json:"accuracy"`
	MacroF1  float64 `json:"macro_f1"`
	Seconds  float64 `json:"seconds"`
	Said     []int   `json:"said,omitempty"` // in the cross-validation: classes of the examples held out, in order
}

// Scores are a method's macro F1 on the draws, in order.
func (r *FewShotResult) Scores(method string) []float64 {
	var out []float64
	for split := range len(r.Rows) {
		for _, row := range r.Rows {
			if row.Method == method && row.Fold < 0 && row.Split == split {
				out = append(out, row.MacroF1)
			}
		}
	}
	return out
}

// FewShot learns from a few examples of each class: it draws them several times,
// chooses a method by cross-validation on the first draw, scores it beside the
// others on the held-out rows, and makes the model of the first draw. Draws are
// functions of the seed. Finished rows are kept in islm/fewshot.json, so that
// --resume goes on after the last one.
func (r *Run) FewShot(ctx context.Context) (*Result, *FewShotResult, error) {
	f := &fewShot{run: r}
	res, err := r.run(ctx, append(r.preparing(),
		stage{"fewshot", f.learn},
		stage{"score", r.score},
		stage{"export", r.export},
	))
	if err == nil && f.result == nil { // finished before
		f.result, err = readFewShot(r.folder.Own(FewShotFile))
	}
	return res, f.result, err
}

// CrossValidate scores a few-shot plan without any held-out row: it reads the training
// examples alone, and the score is the macro F1 of the plan's method in the
// cross-validation on the first draw, the mean over its rounds. Method auto chooses, as
// FewShot does; a named one is validated on the same folds, so that the scores of both
// can be compared. No model is made. The folder gets islm/fewshot.json, from which
// FewShot goes on, a log with the score as its one validation, and metrics.json.
func (r *Run) CrossValidate(ctx context.Context) (*Result, *FewShotResult, error) {
	r.only = "train"
	f := &fewShot{run: r}
	res, err := r.run(ctx, append(r.checked(CheckCrossValidated), stage{"cross-validation", f.validateAlone}))
	if err == nil && res.Finished {
		err = sdk.Diagnostics{{Severity: sdk.Error, Code: "fewshot.finished", File: res.Dir, Summary: "the folder holds a finished model, which was chosen and scored already", Remedy: "choose another --out"}}.Err()
	}
	return res, f.result, err
}

// CheckCrossValidated refuses a plan without anything to hold out of a draw.
func CheckCrossValidated(plan *recipe.Plan) sdk.Diagnostics {
	if foldsOf(plan) >= 2 {
		return nil
	}
	return sdk.Diagnostics{{Severity: sdk.Error, Code: "fewshot.folds", Path: "fewshot.shots", Summary: "a cross-validation has nothing to hold out of one example of each class", Remedy: "set fewshot.shots to 2 or more"}}
}

// foldsOf is how many parts a draw has in the cross-validation.
func foldsOf(plan *recipe.Plan) int { return min(4, plan.FewShot.Shots) }

func readFewShot(path string) (*FewShotResult, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &FewShotResult{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the few-shot rows: %w", err)
	}
	res := &FewShotResult{}
	if err := json.Unmarshal(data, res); err != nil {
		return nil, fmt.Errorf("read the few-shot rows: %s: %w", path, err)
	}
	return res, nil
}

type fewShot struct {
	run      *Run
	result   *FewShotResult
	embedder recipe.RowEmbedder
	spec     sdk.HeadSpec
	work     string // folder of trainings
	alone    bool   // of CrossValidate: there are no rows but those of train

	train, test []sdk.Example
	rows, held  recipe.Source // encoded
	key         []uint64
	y, gold     []int             // classes of train and test, -1 = none
	pattern     *patternRows      // nil where method pattern cannot be had
	base        map[int][]float32 // vectors of train rows by the base, as needed
	baseHeld    [][]float32
	trained     *recipe.Outcome // of the last fit's training, nil if it trained no encoder
}

// learn is the stage in the place of training.
func (f *fewShot) learn(ctx context.Context) (err error) {
	begin := time.Now()
	if err := f.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(f.work)) }()
	plan, res := &f.run.plan.FewShot, f.result
	if err := os.RemoveAll(f.run.folder.Own(LogFile)); err != nil { // of CrossValidate: no curve of a training
		return fmt.Errorf("clear the log: %w", err)
	}
	if err := f.choose(ctx); err != nil {
		return err
	}
	methods := []string{res.Method, MethodPrototype, MethodProbe, MethodFinetune}
	slices.Sort(methods)
	for split := range plan.Splits {
		for _, method := range slices.Compact(slices.Clone(methods)) {
			if err := f.row(ctx, method, split, -1, f.draw(split), nil); err != nil {
				return err
			}
		}
	}
	res.Compared = nil
	for _, method := range slices.Compact(methods) {
		if method != res.Method {
			c := fewshot.Compare(res.Scores(res.Method), res.Scores(method))
			c.Method = method
			res.Compared = append(res.Compared, c)
		}
	}
	if err := f.save(); err != nil {
		return err
	}
	return f.export(ctx, begin)
}

// validateAlone is the stage of CrossValidate.
func (f *fewShot) validateAlone(ctx context.Context) (err error) {
	if err := f.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(f.work)) }()
	if err := f.choose(ctx); err != nil {
		return err
	}
	if err := f.save(); err != nil {
		return err
	}
	return f.record()
}

// record writes the score where that of a training's validation stands, and what the
// folds took.
func (f *fewShot) record() error {
	r, res := f.run, f.result
	values := map[string]float64{report.ValueScore: res.CV[res.Method], res.Head + ".macro_f1": res.CV[res.Method]}
	for _, c := range res.Candidates {
		if c.Method == res.Method {
			values[res.Head+".accuracy"] = c.Accuracy
		}
	}
	path := r.folder.Own(LogFile)
	if err := os.RemoveAll(path); err != nil { // of an earlier try: it would count twice
		return fmt.Errorf("clear the log: %w", err)
	}
	log, err := report.OpenLog(path)
	if err != nil {
		return err
	}
	if err := errors.Join(log.Append(report.Entry{Kind: recipe.EventValid, Best: true, Values: values}), log.Close()); err != nil {
		return err
	}
	r.metrics = &metric.Metrics{Train: metric.Train{PeakRSSBytes: libtorch.PeakRSS()}}
	for _, row := range res.Rows {
		if row.Fold >= 0 {
			r.metrics.Train.Seconds += row.Seconds
		}
	}
	return r.metrics.Save(r.folder.Own(MetricsFile))
}

// open checks what can be learned, encodes it and reads what an earlier try left.
func (f *fewShot) open(ctx context.Context) error {
	if err := f.openRows(ctx); err != nil {
		return err
	}
	split, n := f.result.Split, f.result.N
	res, err := readFewShot(f.run.folder.Own(FewShotFile))
	if err != nil {
		return err
	}
	// Classes are numbers in the rows: those of the training examples alone may be fewer
	// than those of all. Versions that chose by the folds' scores kept no classes.
	stale := res.Classes != len(f.spec.Labels)
	res.Rows = slices.DeleteFunc(res.Rows, func(row FewShotRow) bool { return row.Fold >= 0 && (stale || row.Said == nil) })
	res.Split, res.N = split, n
	res.Head, res.Shots, res.Classes = f.spec.Name, f.run.plan.FewShot.Shots, len(f.spec.Labels)
	f.result = res
	return nil
}

// openRows fills in the rows, encoded, and what they are in result.
func (f *fewShot) openRows(ctx context.Context) error {
	r := f.run
	d := r.data
	embedder, ok := r.Engine.(recipe.RowEmbedder)
	if !ok {
		return errors.New("learn from a few examples: the engine gives no vectors")
	}
	f.embedder, f.work = embedder, filepath.Join(r.folder.Dir, "fewshot.tmp")
	if err := lacksClasses(d.heads).Err(); err != nil {
		return err
	}
	if packs := r.plan.Augment.Packs; len(packs) > 0 {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "fewshot.augment", Path: "augment.packs", Summary: "islm fewshot compares its methods on the same few examples, which no rules vary",
			Remedy: "leave augment.packs out, or train on the examples with 'islm train'"}}.Err()
	}
	f.spec = d.heads[0]
	f.spec.Pooling = "mean"
	f.train = d.corpus.Train
	if f.alone = r.only != ""; !f.alone {
		f.test, f.held, f.result = d.corpus.Test, d.test, &FewShotResult{Split: "test"}
		if d.test == nil {
			f.test, f.held, f.result.Split = d.corpus.Valid, d.valid, "valid"
		}
		if f.held == nil || f.held.Len() == 0 {
			return sdk.Diagnostics{{Severity: sdk.Error, Code: "fewshot.test", Summary: "there are no rows to score the methods on", Remedy: "give test or validation rows"}}.Err()
		}
		f.result.N = len(f.test)
	}
	rows := corpus.NewSource(d.set.Train)
	f.rows = rows
	for i := range f.train {
		f.key = append(f.key, corpus.Key(f.train[i].ID))
		f.y = append(f.y, classOf(rows, i))
	}
	for i := range f.test {
		f.gold = append(f.gold, classOf(f.held, i))
	}
	if f.alone {
		f.result = &FewShotResult{Split: r.only, N: len(f.draw(0))}
	}
	if err := os.RemoveAll(f.work); err != nil {
		return fmt.Errorf("clear %s: %w", f.work, err)
	}
	if err := f.openPattern(ctx); err != nil {
		return err
	}
	if r.plan.FewShot.Shots < 2 {
		return nil
	}
	counts := map[int]int{}
	for _, c := range f.y {
		counts[c]++
	}
	for k, label := range f.spec.Labels {
		if counts[k] < r.plan.FewShot.Shots {
			if err := r.tell(sdk.Diagnostics{{Severity: sdk.Warning, Code: "fewshot.shots", Summary: fmt.Sprintf("label %q has %d training examples, fewer than %d", label, counts[k], r.plan.FewShot.Shots)}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// lacksClasses refuses heads that cannot be learned from a few examples.
func lacksClasses(heads []sdk.HeadSpec) sdk.Diagnostics {
	if len(heads) == 1 && heads[0].Kind == sdk.KindClassify && (heads[0].Loss == "" || heads[0].Loss == "ce") {
		return nil
	}
	return sdk.Diagnostics{{Severity: sdk.Error, Code: "fewshot.head", Summary: fmt.Sprintf("islm fewshot learns one head of kind %s, the data have %s", sdk.KindClassify, wordedHeads(heads)),
		Remedy: "name with --data examples with one class each"}}
}

// wordedHeads says which heads of which kinds there are.
func wordedHeads(heads []sdk.HeadSpec) string {
	var all []string
	for _, h := range heads {
		one := fmt.Sprintf("%q of kind %s", h.Name, h.Kind)
		if h.Kind == sdk.KindClassify && h.Loss != "" && h.Loss != "ce" {
			one += " with the loss " + h.Loss
		}
		all = append(all, one)
	}
	switch len(all) {
	case 0:
		return "none"
	case 1:
		return "the head " + all[0]
	}
	return fmt.Sprintf("%d: %s", len(all), strings.Join(all, ", "))
}

func classOf(rows recipe.Source, i int) int {
	if t := rows.At(i).Targets[0]; t.Has {
		return int(t.Class)
	}
	return -1
}

func (f *fewShot) draw(split int) []int {
	return fewshot.Draw(f.key, f.y, len(f.spec.Labels), f.run.plan.FewShot.Shots, f.run.plan.Seed, split)
}

// choose sets the method: the plan's, or one by a cross-validation on the first draw.
// With the cross-validation alone the plan's is validated too.
func (f *fewShot) choose(ctx context.Context) error {
	plan, res := f.run.plan, f.result
	res.CV, res.Rounds, res.Candidates = nil, 0, nil
	named := plan.FewShot.Method != "auto" && plan.FewShot.Method != ""
	if named && !f.alone {
		res.Method = plan.FewShot.Method
		return nil
	}
	if foldsOf(plan) < 2 {
		res.CV, res.Method = map[string]float64{}, MethodPrototype // one example of each class: nothing to hold out
		return nil
	}
	// Contrastive training is first: of the methods it is the one that is known to
	// gain most from few examples (Tunstall et al. 2022).
	methods := []string{MethodContrastive, MethodProbe, MethodPrototype, MethodFinetune}
	if f.pattern != nil {
		methods = append(methods, MethodPattern)
	}
	if named {
		methods = []string{plan.FewShot.Method}
	}
	right, err := f.crossValidate(ctx, methods)
	if err != nil {
		return err
	}
	res.Method, res.Candidates = fewshot.Choose(methods, right)
	return nil
}

// crossValidate lets methods classify the first draw, each example by what was learned
// from other folds, in more than one round if the examples are few. It fills in cv and
// rounds of the result and gives for each method and example the share of the rounds in
// which it was right.
func (f *fewShot) crossValidate(ctx context.Context, methods []string) ([][]float64, error) {
	res, rows, folds := f.result, f.draw(0), foldsOf(f.run.plan)
	y := classes(f.y, rows)
	res.CV = map[string]float64{}
	res.Rounds = min(max(1, 72/max(1, len(rows))), 3)
	right := make([][]float64, len(methods))
	for m, method := range methods {
		right[m] = make([]float64, len(rows))
		res.CV[method] = 0
		for round := range res.Rounds {
			said, err := f.validate(ctx, method, rows, fewshot.Folds(y, folds, f.run.plan.Seed, round), folds, round)
			if err != nil {
				return nil, err
			}
			gold, pred := make([]int32, len(rows)), make([]int32, len(rows))
			for i := range rows {
				gold[i], pred[i] = int32(y[i]), int32(said[i])
				if said[i] == y[i] {
					right[m][i] += 1 / float64(res.Rounds)
				}
			}
			res.CV[method] += metric.Classification(f.spec.Labels, gold, pred).MacroF1 / float64(res.Rounds)
		}
	}
	return right, nil
}

// validate gives each row the class that a method says which has learned from the
// other folds.
func (f *fewShot) validate(ctx context.Context, method string, rows, of []int, folds, round int) ([]int, error) {
	out := make([]int, len(rows))
	for fold := range folds {
		var learn, hold, at []int
		for i, row := range rows {
			if of[i] == fold {
				hold, at = append(hold, row), append(at, i)
			} else {
				learn = append(learn, row)
			}
		}
		n := round*folds + fold
		if err := f.row(ctx, method, 0, n, learn, hold); err != nil {
			return nil, err
		}
		for k, class := range f.find(method, 0, n).Said {
			out[at[k]] = class
		}
	}
	return out, nil
}

func classes(y []int, rows []int) []int {
	out := make([]int, len(rows))
	for i, r := range rows {
		out[i] = y[r]
	}
	return out
}

func (f *fewShot) find(method string, split, fold int) *FewShotRow {
	for i := range f.result.Rows {
		if row := &f.result.Rows[i]; row.Method == method && row.Split == split && row.Fold == fold {
			return row
		}
	}
	return nil
}

// row learns and scores, unless that is there. hold are training rows to be
// scored, nil = the held-out ones.
func (f *fewShot) row(ctx context.Context, method string, split, fold int, learn, hold []int) error {
	if f.find(method, split, fold) != nil {
		return nil
	}
	begin := time.Now()
	m, err := f.fit(ctx, method, learn, f.run.plan.Seed+uint64(split), filepath.Join(f.work, "model"))
	if err != nil {
		return fmt.Errorf("%s on draw %d: %w", method, split+1, err)
	}
	said, err := f.said(ctx, m, hold)
	if err != nil {
		return fmt.Errorf("%s on draw %d: %w", method, split+1, err)
	}
	gold := make([]int32, 0, len(said))
	pred := make([]int32, 0, len(said))
	for i, c := range said {
		want := 0
		if hold != nil {
			want = f.y[hold[i]]
		} else {
			want = f.gold[i]
		}
		if want >= 0 {
			gold, pred = append(gold, int32(want)), append(pred, int32(c))
		}
	}
	rep := metric.Classification(f.spec.Labels, gold, pred)
	row := FewShotRow{Method: method, Split: split, Fold: fold, N: len(learn), Accuracy: rep.Accuracy, MacroF1: rep.MacroF1, Seconds: time.Since(begin).Seconds()}
	if hold != nil {
		row.Said = said
	}
	f.result.Rows = append(f.result.Rows, row)
	what := fmt.Sprintf("draw %d", split+1)
	if fold >= 0 {
		what = fmt.Sprintf("fold %d", fold+1)
	}
	f.run.Watch.Stage("fewshot", fmt.Sprintf("%s, %s: macro F1 %.3f, accuracy %.3f, %.1f s", method, what, row.MacroF1, row.Accuracy, row.Seconds))
	return f.save()
}

func (f *fewShot) save() error {
	data, err := json.MarshalIndent(f.result, "", " ")
	if err != nil {
		return fmt.Errorf("save the few-shot rows: %w", err)
	}
	return writeWhole(f.run.folder.Own(FewShotFile), append(data, '\n'))
}

// fitted is a model of one method: an encoder's folder and a linear head, or a
// folder with both (linear nil).
type fitted struct {
	dir     string
	linear  *fewshot.Linear
	pattern *patternRows // the rows that it reads; nil = as they are
}

// fit learns from some training rows. dir is the folder of what it trains.
func (f *fewShot) fit(ctx context.Context, method string, learn []int, seed uint64, dir string) (*fitted, error) {
	y := classes(f.y, learn)
	k := len(f.spec.Labels)
	m := &fitted{dir: f.run.data.base}
	f.trained = nil
	switch method {
	case MethodFinetune:
		plan := f.plan(seed)
		plan.Train.Epochs, plan.Train.LR = f.run.plan.FewShot.Epochs, 5e-5
		m.dir = dir
		return m, f.job(ctx, plan, f.run.data.base, f.spec, &fewRows{f.rows, learn, plan.Train.BatchSize, seed}, dir)
	case MethodPattern:
		plan := f.plan(seed)
		plan.Train.Epochs, plan.Train.LR = f.run.plan.FewShot.Epochs, 5e-5
		m.dir, m.pattern = dir, f.pattern
		return m, f.job(ctx, plan, f.run.data.base, f.pattern.spec, &fewRows{f.pattern.rows, learn, plan.Train.BatchSize, seed}, dir)
	case MethodContrastive:
		plan := f.plan(seed)
		plan.Train.Epochs = 1
		pairs := f.run.plan.FewShot.Pairs
		if pairs == 0 {
			pairs = min(max(40*len(learn), 960), 4800)
		}
		spec := sdk.HeadSpec{Name: "vectors", Kind: sdk.KindEmbed, Loss: sdk.LossCosine}
		loader := &pairRows{few: f, rows: learn, pairs: fewshot.NewPairs(y, seed), count: pairs, size: plan.Train.BatchSize}
		if loader.pairs.Classes() >= 2*plan.Train.BatchSize {
			spec.Loss, loader.positives = sdk.LossMNR, true
		}
		m.dir = dir
		if err := f.job(ctx, plan, f.run.data.base, spec, loader, dir); err != nil {
			return nil, err
		}
	}
	x, err := f.vectors(ctx, m.dir, learn)
	if err != nil {
		return nil, err
	}
	if method == MethodPrototype {
		m.linear = fewshot.Prototypes(x, y, k)
		return m, nil
	}
	m.linear, err = fewshot.Logistic(x, y, k, f.run.plan.FewShot.C)
	return m, err
}

// plan is that of a training inside.
func (f *fewShot) plan(seed uint64) *recipe.Plan {
	plan := *f.run.plan
	plan.Seed, plan.Objective = seed, "finetune"
	plan.Train.CheckpointEvery, plan.Train.Steps, plan.Train.Accumulate = -1, 0, 1
	return &plan
}

// job trains one head.
func (f *fewShot) job(ctx context.Context, plan *recipe.Plan, base string, spec sdk.HeadSpec, rows recipe.Loader, dir string) error {
	state := dir + "-state"
	for _, d := range []string{dir, state} {
		if err := os.RemoveAll(d); err != nil {
			return fmt.Errorf("clear %s: %w", d, err)
		}
		if err := os.MkdirAll(filepath.Join(d, Own), 0o755); err != nil {
			return fmt.Errorf("make %s: %w", d, err)
		}
	}
	plan.Export.Head = spec.Name
	var err error
	f.trained, err = f.run.Engine.Train(ctx, &recipe.Job{Dir: state, Plan: plan, Base: base, Heads: []sdk.HeadSpec{spec}, Train: rows, Threads: plan.Train.Threads, ExportDir: dir})
	return err
}

// embed gives the vectors that linear heads read, as pooling unit-mean does: pairs
// train the cosine, so that lengths say nothing, and C of the logistic regression
// means the same for each base.
func (f *fewShot) embed(ctx context.Context, dir string, rows recipe.Source) ([][]float32, error) {
	x, err := f.embedder.EmbedRows(ctx, &recipe.EmbedJob{Model: dir, Rows: rows, Device: f.run.plan.Train.Device, Threads: f.run.plan.Train.Threads})
	fewshot.Unit(x)
	return x, err
}

// vectors are those of some training rows by an encoder; the base's are kept.
func (f *fewShot) vectors(ctx context.Context, dir string, rows []int) ([][]float32, error) {
	isBase := dir == f.run.data.base
	want := rows
	if isBase {
		if f.base == nil {
			f.base = map[int][]float32{}
		}
		want = slices.DeleteFunc(slices.Clone(rows), func(i int) bool { return f.base[i] != nil })
	}
	fresh := map[int][]float32{}
	if len(want) > 0 {
		v, err := f.embed(ctx, dir, partOf(f.rows, want))
		if err != nil {
			return nil, err
		}
		for k, i := range want {
			fresh[i] = v[k]
			if isBase {
				f.base[i] = v[k]
			}
		}
	}
	out := make([][]float32, len(rows))
	for k, i := range rows {
		if out[k] = fresh[i]; out[k] == nil {
			out[k] = f.base[i]
		}
	}
	return out, nil
}

// said is the class that a model gives training rows, or the held-out ones (nil).
func (f *fewShot) said(ctx context.Context, m *fitted, rows []int) ([]int, error) {
	var err error
	if m.linear == nil {
		source, all, spec := f.held, f.rows, f.spec
		if p := m.pattern; p != nil {
			source, all, spec = p.held, p.rows, p.spec
		}
		if rows != nil {
			source = partOf(all, rows)
		}
		preds, err := f.run.Engine.Predict(ctx, &recipe.PredictJob{Model: m.dir, Heads: []sdk.HeadSpec{spec}, Rows: source, Plan: f.run.plan, Precision: "fp32", Device: f.run.plan.Train.Device, Threads: f.run.plan.Train.Threads})
		if err != nil {
			return nil, err
		}
		out := make([]int, len(preds))
		for i, p := range preds {
			out[i] = int(p.Heads[0].Class)
		}
		return out, nil
	}
	var x [][]float32
	switch {
	case rows != nil:
		x, err = f.vectors(ctx, m.dir, rows)
	case m.dir == f.run.data.base && f.baseHeld != nil:
		x = f.baseHeld
	default:
		x, err = f.embed(ctx, m.dir, f.held)
		if m.dir == f.run.data.base {
			f.baseHeld = x
		}
	}
	if err != nil {
		return nil, err
	}
	out := make([]int, len(x))
	for i, v := range x {
		out[i] = m.linear.Class(v)
	}
	return out, nil
}

// export makes the model of the first draw and lets it answer the held-out rows.
func (f *fewShot) export(ctx context.Context, begin time.Time) error {
	r := f.run
	seed := r.plan.Seed
	m, err := f.fit(ctx, f.result.Method, f.draw(0), seed, filepath.Join(f.work, "model"))
	if err != nil {
		return err
	}
	spec, held := f.spec, f.held
	spec.Options = map[string]string{"fewshot": f.result.Method}
	switch {
	case m.pattern != nil:
		spec, held = m.pattern.spec, m.pattern.held
	case m.linear != nil:
		spec.Pooling = sdk.PoolingUnitMean
	}
	plan := f.plan(seed)
	plan.Train.Epochs, plan.Train.LR = 0, 0 // no step: the engine puts encoder and head together
	base := m.dir
	out := r.folder.ExportDir()
	made, err := f.jobInto(ctx, plan, base, spec, out)
	if err != nil {
		return err
	}
	if m.linear != nil {
		if err := setLinear(out, spec.Name, m.linear); err != nil {
			return err
		}
	}
	r.data.heads = []sdk.HeadSpec{spec}
	predict := func(dir string) ([]recipe.Prediction, error) {
		return r.Engine.Predict(ctx, &recipe.PredictJob{Model: dir, Heads: r.data.heads, Rows: held, Plan: r.plan, Precision: "fp32", Device: r.plan.Train.Device, Threads: r.plan.Train.Threads})
	}
	preds, err := predict(out)
	if err != nil {
		return err
	}
	// The folder has to answer as the method did.
	said, err := f.said(ctx, m, nil)
	if err != nil {
		return err
	}
	differs := 0
	for i, p := range preds {
		if int(p.Heads[0].Class) != said[i] {
			differs++
		}
	}
	if differs*1000 > len(preds) {
		return fmt.Errorf("export: the model folder gives %d of %d held-out rows another class than the method did", differs, len(preds))
	}
	o := &recipe.Outcome{After: preds, Split: f.result.Split, Seconds: time.Since(begin).Seconds(), PeakRSS: made.PeakRSS,
		Parameters: made.Parameters, Trainable: made.Parameters, Precision: made.Precision, Device: made.Device}
	switch t := f.trained; {
	case t != nil:
		o.Steps, o.Epochs, o.Tokens, o.PaddingShare, o.Losses, o.Precision = t.Steps, t.Epochs, t.Tokens, t.PaddingShare, t.Losses, t.Precision
	case m.linear != nil: // the head alone has learned, from vectors in fp32
		o.Trainable, o.Precision = int64(len(m.linear.B)*(1+len(m.linear.W[0]))), "fp32"
	}
	r.outcome = o
	return nil
}

// jobInto is job for a folder that is there.
func (f *fewShot) jobInto(ctx context.Context, plan *recipe.Plan, base string, spec sdk.HeadSpec, out string) (*recipe.Outcome, error) {
	if err := os.MkdirAll(filepath.Join(out, Own), 0o755); err != nil {
		return nil, fmt.Errorf("make the export folder: %w", err)
	}
	plan.Export.Head = spec.Name
	return f.run.Engine.Train(ctx, &recipe.Job{Dir: filepath.Join(f.work, "export-state"), Plan: plan, Base: base, Heads: []sdk.HeadSpec{spec}, Train: &fewRows{f.rows, nil, 1, 0}, Threads: plan.Train.Threads, ExportDir: out})
}

// setLinear writes a linear head into model.safetensors; the bias of a causal model,
// for which transformers' class has no place, into islm/heads.safetensors.
func setLinear(dir, head string, l *fewshot.Linear) error {
	var w, b []byte
	for k, row := range l.W {
		for _, v := range row {
			w = binary.LittleEndian.AppendUint32(w, math.Float32bits(float32(v)))
		}
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(l.B[k])))
	}
	weight, bias := []int64{int64(len(l.W)), int64(len(l.W[0]))}, []int64{int64(len(l.B))}
	var beside, done bool
	file := filepath.Join(dir, hf.WeightsFile)
	err := rewriteWeights(file, file, func(e *safetensors.Entry) error {
		switch e.Name {
		case "classifier.weight", "score.weight":
			e.Shape, e.Data = weight, w
			done, beside = true, e.Name == "score.weight"
		case "classifier.bias":
			e.Shape, e.Data = bias, b
		}
		return nil
	})
	if err == nil && !done {
		err = errors.New("the model has no linear head")
	}
	if err == nil && beside {
		entry := safetensors.Entry{Name: head + "." + hf.ScoreBias, DType: "F32", Shape: bias, Data: b}
		file = filepath.Join(dir, Own, hf.HeadWeightsFile)
		err = rewriteWeights(file, file, func(*safetensors.Entry) error { return nil }, entry)
	}
	if err != nil {
		return fmt.Errorf("set the head: %w", err)
	}
	return nil
}

// rewriteWeights writes a safetensors file, which may be the same, with changed entries
// and more, in the place of those of their names; for them alone it is made where
// there is none.
func rewriteWeights(from, to string, change func(*safetensors.Entry) error, more ...safetensors.Entry) error {
	var entries []safetensors.Entry
	file, err := safetensors.Open(from)
	if err == nil {
		defer file.Close() //nolint:errcheck // only read
		for _, name := range file.Names() {
			if slices.ContainsFunc(more, func(m safetensors.Entry) bool { return m.Name == name }) {
				continue
			}
			e, _ := file.Entry(name)
			if err := change(&e); err != nil {
				return err
			}
			entries = append(entries, e)
		}
	} else if len(more) == 0 || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return safetensors.Write(to, append(entries, more...), nil)
}

// partOf are some rows of a source.
func partOf(s recipe.Source, rows []int) recipe.Source { return &part{s, rows} }

type part struct {
	recipe.Source
	rows []int
}

func (p *part) Len() int                 { return len(p.rows) }
func (p *part) At(i int) *recipe.Encoded { return p.Source.At(p.rows[i]) }

func (p *part) Batches(_ context.Context, size int) iter.Seq2[*recipe.Batch, error] {
	order := make([]int, len(p.rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(p.At(a).IDs) - len(p.At(b).IDs) })
	return func(yield func(*recipe.Batch, error) bool) {
		for chunk := range slices.Chunk(order, max(1, size)) {
			b := &recipe.Batch{Index: chunk}
			for _, i := range chunk {
				add(b, p.At(i))
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

func add(b *recipe.Batch, row *recipe.Encoded) {
	b.Rows = append(b.Rows, row)
	b.Tokens += row.Width()
	b.Width = max(b.Width, row.Width())
}

// fewRows gives the few examples in a new order each epoch.
type fewRows struct {
	from recipe.Source
	rows []int
	size int
	seed uint64
}

func (l *fewRows) Len() int      { return len(l.rows) }
func (l *fewRows) Steps(int) int { return (len(l.rows) + l.size - 1) / l.size }

func (l *fewRows) Epoch(_ context.Context, epoch, from int) iter.Seq2[*recipe.Batch, error] {
	return func(yield func(*recipe.Batch, error) bool) {
		order := fewshot.Shuffled(l.rows, l.seed, epoch)
		for i := from * l.size; i < len(order); i += l.size {
			b := &recipe.Batch{}
			for _, row := range order[i:min(i+l.size, len(order))] {
				b.Index = append(b.Index, row)
				add(b, l.from.At(row))
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// pairRows gives pairs of the few examples, made as they are needed.
type pairRows struct {
	few       *fewShot
	rows      []int
	pairs     *fewshot.Pairs
	count     int
	size      int
	positives bool // in-batch negatives: each batch has different classes
}

func (l *pairRows) Len() int      { return l.count }
func (l *pairRows) Steps(int) int { return (l.count + l.size - 1) / l.size }

func (l *pairRows) Epoch(_ context.Context, epoch, from int) iter.Seq2[*recipe.Batch, error] {
	return func(yield func(*recipe.Batch, error) bool) {
		for k := from; k < l.Steps(epoch); k++ {
			n := min(l.size, l.count-k*l.size)
			var pairs []fewshot.Pair
			if l.positives {
				pairs = l.pairs.Positives(epoch, k, n)
			} else {
				for i := range n {
					pairs = append(pairs, l.pairs.At(epoch, k*l.size+i))
				}
			}
			b := &recipe.Batch{}
			for i, p := range pairs {
				first, second := l.few.rows.At(l.rows[p.A]), l.few.rows.At(l.rows[p.B])
				value := float32(0)
				if p.Same {
					value = 1
				}
				id := fmt.Sprintf("%s+%s", first.ID, second.ID)
				b.Index = append(b.Index, k*l.size+i)
				add(b, &recipe.Encoded{ID: id, Key: corpus.Key(id), IDs: first.IDs, Second: second.IDs, Targets: []recipe.Target{{Has: true, Value: value}}})
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}
