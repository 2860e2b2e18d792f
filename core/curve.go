package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/fewshot"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// Curve draws the score against the number of labels: the plan of a model is
// trained anew on parts of its training examples with several seeds, as it is and
// without what the domain knows.
type Curve struct {
	Controls
	Shares []float64 // parts of the training examples, above 0, at most 1
	Least  int       // least optimizer steps of a run, never more than the model's own; 0 = 100
}

// CurveFile holds a curve, below islm/.
const CurveFile = "curve.json"

// CurveResult is what Run found.
type CurveResult struct {
	Model  string        `json:"model"`
	Data   string        `json:"data"`
	Split  string        `json:"split"`
	Head   string        `json:"head"`
	Metric string        `json:"metric"`
	Steps  int           `json:"steps"` // of the whole training
	Seeds  []uint64      `json:"seeds"`
	Points []CurvePoint  `json:"points"` // by arm and number of labels
	Saved  []LabelsSaved `json:"saved,omitempty"`
	Notes  []string      `json:"notes,omitempty"`
}

// CurvePoint is one arm on one part of the training examples.
type CurvePoint struct {
	Arm    string    `json:"arm"` // knowledge or no-knowledge
	Share  float64   `json:"share"`
	Labels int       `json:"labels"` // training examples
	Steps  int       `json:"steps"`
	Mean   float64   `json:"mean"`
	Low    float64   `json:"low"` // 95 % interval of the mean over seeds (Student's t); equal to Mean with one seed
	High   float64   `json:"high"`
	Runs   []float64 `json:"runs"`
	// Seconds of the step loop, the mean over seeds, and the largest peak of memory.
	Seconds      float64 `json:"seconds"`
	PeakRSSBytes int64   `json:"peak_rss_bytes"`
}

// LabelsSaved says how many labels do without knowledge what Labels do with it.
type LabelsSaved struct {
	Labels int     `json:"labels"`
	Score  float64 `json:"score"` // with knowledge
	// Without is the number of labels at which the curve without knowledge reaches
	// that score, in the logarithm between its points; 0 = not even with all.
	Without int `json:"without,omitempty"`
}

// curveArm names the runs of a part.
func curveArm(arm string, share float64) string { return fmt.Sprintf("%s-%g", arm, 100*share) }

// Run trains what is missing, scores all runs on the same examples and writes
// islm/curve.json and the picture in the report.
func (e *Curve) Run(ctx context.Context) (*CurveResult, error) {
	b, ds, err := OpenBundle(e.Model, e.Store)
	if err != nil {
		return nil, err
	}
	defer b.knowledge.close() //nolint:errcheck // only read
	e.Watch.Problems(ds)
	if b.Plan.Objective != "finetune" {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "curve.objective", File: e.Model, Summary: fmt.Sprintf("a curve repeats a fine-tuning, this model was made by %s", b.Plan.Objective), Remedy: "train the model with 'islm train'"}}.Err()
	}
	m, err := metric.Load(filepath.Join(e.Model, Own, MetricsFile))
	if err != nil {
		return nil, err
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
	res := &CurveResult{Model: e.Model, Data: e.Data, Split: split, Head: b.Primary, Steps: m.Train.Steps}
	for i := range max(e.Seeds, 0) + 3*btoi(e.Seeds <= 0) {
		res.Seeds = append(res.Seeds, b.Plan.Seed+uint64(i))
	}
	if e.Work == "" {
		e.Work = filepath.Join(e.Model, Own, "curve")
	}
	arms := []string{ArmReal, ArmNone}
	if !knows(b.Plan) {
		arms = []string{ArmNone}
		res.Notes = append(res.Notes, "the plan injects no knowledge, varies no text by rules and adds no terms: there is one curve")
	}
	shares := slices.Compact(slices.Sorted(slices.Values(e.Shares)))
	type run struct {
		arm   string
		share float64
	}
	runs := map[string]run{}
	var names []string
	for _, share := range shares {
		for _, arm := range arms {
			name := curveArm(arm, share)
			runs[name], names = run{arm, share}, append(names, name)
		}
	}
	least := min(e.Least+100*btoi(e.Least <= 0), res.Steps)
	steps := func(share float64) int { return max(least, int(math.Ceil(share*float64(res.Steps)))) }
	e.vary = func(plan *recipe.Plan, name string) {
		r := runs[name]
		plan.Data.Share = r.share
		plan.Train.Steps, plan.Train.Patience, plan.Train.EvalEvery, plan.Train.CheckpointEvery = steps(r.share), 0, -1, -1
		if r.arm == ArmNone {
			varyKnowledge(&plan.Knowledge, ArmNone)
			plan.Augment.Packs, plan.Vocab.Extend = nil, 0
		}
	}
	scored, err := e.arms(ctx, b, plan, names, res.Seeds, c, split, newParts(b, c, split))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		reports := scored[name][res.Head][""]
		if len(reports) == 0 {
			return nil, fmt.Errorf("draw the curve: head %s has no labelled example in %s", res.Head, split)
		}
		res.Metric = reports[0].Primary()
		r := runs[name]
		p := CurvePoint{Arm: r.arm, Share: r.share, Labels: corpus.CountShare(c.Train, r.share), Steps: steps(r.share), Runs: armScore(name, res.Metric, "", reports).Runs}
		p.Mean, p.Low, p.High = fewshot.Interval(p.Runs)
		for _, seed := range res.Seeds {
			one, err := metric.Load(filepath.Join(e.Work, runName(name, seed), Own, MetricsFile))
			if err != nil {
				return nil, err
			}
			p.Seconds += one.Train.Seconds / float64(len(res.Seeds))
			p.PeakRSSBytes = max(p.PeakRSSBytes, one.Train.PeakRSSBytes)
		}
		res.Points = append(res.Points, p)
	}
	res.Saved = labelsSaved(res.Points)
	return res, e.keepCurve(res)
}

// knows reports whether a plan makes use of a domain's knowledge.
func knows(p *recipe.Plan) bool {
	return len(p.Knowledge.Inject) > 0 || len(p.Augment.Packs) > 0 || p.Vocab.Extend != 0
}

// labelsSaved reads off the curve without knowledge where it reaches the scores of
// the other, between two points in the logarithm of the labels.
func labelsSaved(points []CurvePoint) (out []LabelsSaved) {
	var plain []CurvePoint
	for _, p := range points {
		if p.Arm == ArmNone {
			plain = append(plain, p)
		}
	}
	for _, p := range points {
		if p.Arm != ArmReal {
			continue
		}
		s := LabelsSaved{Labels: p.Labels, Score: p.Mean}
		for i, q := range plain {
			if q.Mean < p.Mean {
				continue
			}
			s.Without = q.Labels
			if i > 0 && q.Mean > plain[i-1].Mean {
				before := plain[i-1]
				part := (p.Mean - before.Mean) / (q.Mean - before.Mean)
				s.Without = int(math.Round(float64(before.Labels) * math.Pow(float64(q.Labels)/float64(before.Labels), part)))
			}
			break
		}
		out = append(out, s)
	}
	return out
}

// Sentence says what the knowledge saves where that is most.
func (r *CurveResult) Sentence() string {
	best, all := -1, 0
	for _, p := range r.Points {
		all = max(all, p.Labels)
	}
	gain := func(s LabelsSaved) int {
		if s.Without == 0 {
			return all - s.Labels
		}
		return s.Without - s.Labels
	}
	for i, s := range r.Saved {
		if best < 0 || gain(s) > gain(r.Saved[best]) {
			best = i
		}
	}
	switch {
	case best < 0:
		return ""
	case gain(r.Saved[best]) <= 0:
		return "the knowledge saves no labels here"
	case r.Saved[best].Without == 0:
		return fmt.Sprintf("with knowledge %d labels reach %.3f, which all %d labels do not reach without it: it saves more than %d labels", r.Saved[best].Labels, r.Saved[best].Score, all, all-r.Saved[best].Labels)
	}
	s := r.Saved[best]
	return fmt.Sprintf("with knowledge %d labels reach %.3f, without it about %d are needed: it saves about %d labels", s.Labels, s.Score, s.Without, s.Without-s.Labels)
}

// keepCurve writes islm/curve.json and puts the picture into the report.
func (e *Curve) keepCurve(res *CurveResult) error {
	data, err := json.MarshalIndent(res, "", " ")
	if err != nil {
		return fmt.Errorf("keep the curve: %w", err)
	}
	if err := writeWhole(filepath.Join(e.Model, Own, CurveFile), append(data, '\n')); err != nil {
		return err
	}
	page := filepath.Join(e.Model, Own, ReportFile)
	text, err := os.ReadFile(page)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	var points []report.CurvePoint
	for _, p := range res.Points {
		points = append(points, report.CurvePoint{Arm: p.Arm, Share: p.Share, Labels: p.Labels, Steps: p.Steps, Mean: p.Mean, Low: p.Low, High: p.High, Seconds: p.Seconds, PeakRSSBytes: p.PeakRSSBytes})
	}
	return writeWhole(page, report.AddCurve(text, res.Head+" "+res.Metric, points, append([]string{res.Sentence()}, res.Notes...)))
}
