package core

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Controls answers whether injected knowledge helped, or only the weights and
// ids that came with it: the plan of a model is trained anew with several
// seeds as it is, without knowledge, and with controls that fit its ways of
// injection.
type Controls struct {
	Evaluation
	Seeds int // runs of each arm; 0 = 3
	// Work is the folder of the runs; "" means MODEL/islm/controls. Runs that
	// are finished there are not repeated.
	Work string
	// Train makes one run in a process of its own: the recipe file is complete,
	// a run that was begun in out goes on.
	Train func(ctx context.Context, recipeFile, out string) error
	// Limit is how many runs are trained at most before Run stops with Unfinished;
	// 0 = all. Then a long comparison can be made piece by piece.
	Limit int

	vary func(plan *recipe.Plan, arm string) // what an arm changes; nil = its knowledge
}

// Unfinished ends a comparison that has trained as many runs as its limit lets
// it. The next call goes on.
type Unfinished struct {
	Trained int // runs that are there
	Runs    int // of the comparison
}

func (u *Unfinished) Error() string {
	return fmt.Sprintf("%d of %d runs of the comparison are trained", u.Trained, u.Runs)
}

// Arms of a comparison.
const (
	ArmReal     = "knowledge"      // the plan as it is
	ArmNone     = "no-knowledge"   // nothing injected
	ArmShuffled = "shuffled"       // as much, with the wrong content
	ArmZero     = "zero"           // the same weights, without content
	ArmNames    = "gazetteer-only" // no model: labels by linked names
	ArmMajority = "majority"       // no model: the most frequent label
)

// ControlsResult is what Run found.
type ControlsResult struct {
	Model    string                    `json:"model"`
	Data     string                    `json:"data"`
	Split    string                    `json:"split"`
	Inject   []string                  `json:"inject"`
	Seeds    []uint64                  `json:"seeds"`
	Scores   map[string][]ArmScore     `json:"scores"`   // by head: every arm, score and part
	Controls map[string]metric.Control `json:"controls"` // as in metrics.json
	Notes    []string                  `json:"notes,omitempty"`
}

// ArmScore is one score of one arm.
type ArmScore struct {
	Arm    string    `json:"arm"`
	Metric string    `json:"metric"`
	Part   string    `json:"part,omitempty"` // "", seen or unseen
	N      int       `json:"n"`
	Mean   float64   `json:"mean"`
	Runs   []float64 `json:"runs,omitempty"` // by seed
}

// Parts of the examples by whether training showed their mentions.
const (
	partSeen   = "seen"
	partUnseen = "unseen"
)

// armRuns holds the reports of one arm: by head and part, one per seed.
type armRuns map[string]map[string][]*metric.Report

// Run trains what is missing, scores all arms on the same examples and writes
// the result to the model's metrics.json.
func (e *Controls) Run(ctx context.Context) (*ControlsResult, error) {
	b, ds, err := OpenBundle(e.Model)
	if err != nil {
		return nil, err
	}
	e.Watch.Problems(ds)
	if len(b.Plan.Knowledge.Inject) == 0 {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "controls.nothing", File: e.Model, Summary: "the model injects no knowledge: there is nothing to hold against a control",
			Remedy: "train it with knowledge.inject, or name another --model"}}.Err()
	}
	if control := b.Plan.Knowledge.Control; control != recipe.ControlOff && control != "" {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "controls.control", File: e.Model, Summary: fmt.Sprintf("the model is itself a control (knowledge.control is %s)", control), Remedy: "name the model that was trained without knowledge.control"}}.Err()
	}
	plan, err := b.dataPlan(e.Data, e.Sets)
	if err != nil {
		return nil, err
	}
	c, err := e.read(ctx, b, plan, false)
	if err != nil {
		return nil, err
	}
	if len(c.Train) == 0 {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "controls.train", Summary: "the data hold no training examples", Remedy: "name with --data the folder, file or dataset that the model was trained with"}}.Err()
	}
	split, err := pickSplit(c, e.Split)
	if err != nil {
		return nil, err
	}
	res := &ControlsResult{Model: e.Model, Data: e.Data, Split: split, Inject: b.Plan.Knowledge.Inject, Scores: map[string][]ArmScore{}, Controls: map[string]metric.Control{}}
	for i := range max(e.Seeds, 0) + 3*btoi(e.Seeds <= 0) {
		res.Seeds = append(res.Seeds, b.Plan.Seed+uint64(i))
	}
	if e.Work == "" {
		e.Work = filepath.Join(e.Model, Own, "controls")
	}
	parts := newParts(b, c, split)
	arms, err := e.arms(ctx, b, plan, armsOf(&b.Plan.Knowledge), res.Seeds, c, split, parts)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(armsOf(&b.Plan.Knowledge), ArmZero) {
		res.Notes = append(res.Notes, "zero input of equal capacity is the run without knowledge, bit by bit: marks and features add nothing where they are absent")
	}
	if b.knowledge.corpus.Linker != nil {
		arms[ArmNames] = nameOnly(b, c, split, parts, baseName(e.Data))
	}
	if err := res.compare(arms, b.Plan.Seed); err != nil {
		return nil, err
	}
	return res, e.save(res)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// armsOf lists what is trained. Marks and features of zero change nothing, so
// that a run with them is the one without knowledge.
func armsOf(k *recipe.KnowledgePlan) []string {
	arms := []string{ArmNone, ArmReal, ArmShuffled}
	if k.Has(recipe.InjectEntity) || k.Has(recipe.InjectText) || k.Has(recipe.InjectPrompt) {
		arms = append(arms, ArmZero)
	}
	return arms
}

// arms trains the runs that are not there, then scores all.
func (e *Controls) arms(ctx context.Context, b *Bundle, plan *recipe.Plan, names []string, seeds []uint64, c *corpus.Corpus, split string, parts *parts) (map[string]armRuns, error) {
	there := func(name string) bool { return exists(filepath.Join(e.Work, name, "config.json")) }
	state := Unfinished{Runs: len(names) * len(seeds)}
	for _, arm := range names {
		for _, seed := range seeds {
			state.Trained += btoi(there(runName(arm, seed)))
		}
	}
	fresh := 0
	for _, arm := range names {
		for _, seed := range seeds {
			name := runName(arm, seed)
			if there(name) {
				continue
			}
			if e.Limit > 0 && fresh == e.Limit {
				return nil, &state
			}
			file, err := e.recipeOf(b, plan, arm, seed, name)
			if err != nil {
				return nil, err
			}
			e.Watch.Stage("control", fmt.Sprintf("%s (%d of %d)", name, state.Trained+1, state.Runs))
			if err := e.Train(ctx, file, filepath.Join(e.Work, name)); err != nil {
				return nil, fmt.Errorf("train %s: %w", name, err)
			}
			fresh++
			state.Trained++
		}
	}
	runs := map[string]armRuns{}
	for _, arm := range names {
		runs[arm] = armRuns{}
		for _, seed := range seeds {
			if err := e.scoreRun(ctx, b, runName(arm, seed), c, split, parts, runs[arm]); err != nil {
				return nil, err
			}
		}
	}
	return runs, nil
}

func runName(arm string, seed uint64) string { return fmt.Sprintf("%s-%d", arm, seed) }

// scoreRun scores a finished run.
func (e *Controls) scoreRun(ctx context.Context, b *Bundle, name string, c *corpus.Corpus, split string, parts *parts, into armRuns) error {
	out := filepath.Join(e.Work, name)
	trained, ds, err := OpenBundle(out)
	if err != nil {
		return err
	}
	defer trained.knowledge.close() //nolint:errcheck // only read
	if err := comparable(b, trained); err != nil {
		return err
	}
	e.Watch.Problems(ds)
	rows, err := encodeRows(ctx, trained, c.Split(split))
	if err != nil {
		return err
	}
	preds, err := e.Engine.Predict(ctx, &recipe.PredictJob{Model: out, Base: trained.Base, Heads: trained.Heads, Rows: rows, Plan: trained.Plan, Injection: trained.knowledge.injection(), Precision: e.Precision, Device: e.Device, Threads: e.Threads,
		Observe: func(ev recipe.Event) { e.Watch.Event(ev, nil) }})
	if err != nil {
		return err
	}
	into.add(parts.score(trained.Heads, rows, preds, baseName(e.Data), split))
	return nil
}

func (a armRuns) add(scored map[string]map[string]*metric.Report) {
	for head, byPart := range scored {
		if a[head] == nil {
			a[head] = map[string][]*metric.Report{}
		}
		for part, r := range byPart {
			a[head][part] = append(a[head][part], r)
		}
	}
}

// recipeOf writes the complete recipe of one run. Knowledge comes from the
// model's own folder.
func (e *Controls) recipeOf(b *Bundle, data *recipe.Plan, arm string, seed uint64, name string) (string, error) {
	plan, ds := recipe.Parse("plan.yaml of "+b.Dir, b.Plan.YAML())
	if err := ds.Err(); err != nil {
		return "", err
	}
	plan.Seed, plan.Data = seed, data.Data
	plan.Domain.Advice = false // it is in the plan already
	plan.Eval.Controls = 0
	if abs, err := filepath.Abs(plan.Data.Path); err == nil && exists(plan.Data.Path) {
		plan.Data.Path = abs
	}
	k := &plan.Knowledge
	if k.NeedsGraph() {
		view, err := filepath.Abs(filepath.Join(b.Dir, Own, KnowledgeDir))
		if err != nil {
			return "", fmt.Errorf("find the model's graph: %w", err)
		}
		k.KG, k.Vectors = view, ""
	}
	if e.vary != nil {
		e.vary(plan, arm)
	} else {
		varyKnowledge(k, arm)
	}
	if err := os.MkdirAll(e.Work, 0o755); err != nil {
		return "", fmt.Errorf("make the folder of the controls: %w", err)
	}
	file := filepath.Join(e.Work, name+".yaml")
	return file, writeWhole(file, plan.YAML())
}

// varyKnowledge makes the plan of an arm of Run.
func varyKnowledge(k *recipe.KnowledgePlan, arm string) {
	switch arm {
	case ArmNone:
		k.Inject, k.Control, k.FreezeBase = nil, recipe.ControlOff, false
	case ArmShuffled:
		k.Control = recipe.ControlShuffled
	case ArmZero:
		k.Control = recipe.ControlZero
	}
}

// compare fills in scores, differences and controls.
func (r *ControlsResult) compare(arms map[string]armRuns, seed uint64) error {
	real := arms[ArmReal]
	for _, head := range slices.Sorted(maps.Keys(real)) {
		for _, arm := range []string{ArmReal, ArmNone, ArmShuffled, ArmZero, ArmNames} {
			for _, part := range []string{"", partSeen, partUnseen} {
				reports, against := arms[arm][head][part], real[head][part]
				if len(reports) == 0 || len(against) == 0 || against[0].N == 0 {
					continue
				}
				scores := scoresOf(against[0])
				if part != "" {
					scores = scores[:1]
				}
				for _, score := range scores {
					r.Scores[head] = append(r.Scores[head], armScore(arm, score, part, reports))
					if arm == ArmReal {
						continue
					}
					beside := reports
					if len(beside) == 1 { // no runs: the same answer beside each
						beside = slices.Repeat(beside, len(against))
					}
					d, err := metric.PairedBootstrapRuns(beside, against, score, seed)
					if err != nil {
						return fmt.Errorf("compare %s with %s: %w", ArmReal, arm, err)
					}
					d.Part = part
					c := r.Controls[arm]
					if c.Differences == nil {
						c = metric.Control{Summary: summaryOf(arm, r.Inject), Heads: map[string]*metric.Report{}, Differences: map[string][]*metric.Difference{}}
						if arm != ArmNames {
							c.Seeds = r.Seeds
						}
					}
					if part == "" {
						c.Heads[head] = reports[0]
						if c.Difference == nil {
							c.Difference = d
						}
					}
					c.Differences[head] = append(c.Differences[head], d)
					r.Controls[arm] = c
				}
			}
		}
		m := real[head][""][0].Majority
		r.Scores[head] = append(r.Scores[head], ArmScore{Arm: ArmMajority, Metric: "accuracy", N: real[head][""][0].N, Mean: m.Accuracy}, ArmScore{Arm: ArmMajority, Metric: "macro_f1", N: real[head][""][0].N, Mean: m.MacroF1})
	}
	return nil
}

// scoresOf names the scores that are compared, the head's own first.
func scoresOf(r *metric.Report) []string {
	var out []string
	for _, name := range []string{"relation_f1", "entity_f1", "macro_f1", "accuracy"} {
		if _, ok := r.Value(name); ok {
			out = append(out, name)
		}
	}
	if r.Regression != nil {
		return []string{"pearson", "mse"}
	}
	if r.Ranking != nil {
		return []string{"mrr", "ndcg_10"}
	}
	if r.Text != nil {
		return []string{"bleu", "chrf", "rouge_l", "exact_match"}
	}
	if r.Answers != nil {
		return []string{"token_f1", "exact_match"}
	}
	return out
}

func armScore(arm, score, part string, reports []*metric.Report) ArmScore {
	s := ArmScore{Arm: arm, Metric: score, Part: part, N: reports[0].N}
	for _, r := range reports {
		v, err := r.Sample.Score(score, nil)
		if err != nil {
			continue
		}
		s.Runs = append(s.Runs, v)
		s.Mean += v / float64(len(reports))
	}
	return s
}

// summaryOf says in a sentence what an arm is.
func summaryOf(arm string, ways []string) string {
	how := map[string]string{
		recipe.InjectGazetteer: "as many marks on n-grams of equal length and frequency that are no names",
		recipe.InjectFeatures:  "features shuffled among the words of a text",
		recipe.InjectEntity:    "vectors permuted among entities",
		recipe.InjectText:      "objects permuted within a relation",
		recipe.InjectPrompt:    "objects permuted within a relation",
	}
	switch arm {
	case ArmNone:
		return "the same run without knowledge"
	case ArmZero:
		return "the same weights with zeros for vectors and mask pieces for facts"
	case ArmNames:
		return "no model: each linked name has the label that names of its entity, else of its type, have most often in train"
	}
	var all []string
	for _, w := range ways {
		all = append(all, how[w])
	}
	return strings.Join(all, "; ")
}

// save puts the controls into the model's metrics.json, if it has one.
func (e *Controls) save(res *ControlsResult) error {
	path := filepath.Join(e.Model, Own, MetricsFile)
	if !exists(path) {
		return nil
	}
	m, err := metric.Load(path)
	if err != nil {
		return err
	}
	m.Controls = res.Controls
	return m.Save(path)
}
