package core

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// AugmentControls answers whether rule packs helped: the plan of a model is
// trained anew with several seeds, for as many steps as the model, with its
// packs, without augmentation, with the same data repeated as often as the packs
// add variants, and without each of its most active rules.
type AugmentControls struct {
	Controls
	LeaveOut int // rules to be left out one at a time; 0 = 5, negative = none
}

// Arms of AugmentControls. An arm without one rule is called by ArmWithout and
// the rule's name.
const (
	ArmPacks      = "packs"
	ArmNoPacks    = "no-augmentation"
	ArmDuplicated = "duplicated"
	ArmWithout    = "without "
)

// Verdict says what an interval shows.
type Verdict string

// Verdicts on a difference. Equivalent is an interval within one point.
const (
	Better     Verdict = "better"
	Equivalent Verdict = "equivalent within 1 point"
	Worse      Verdict = "worse"
	Undecided  Verdict = "undecided"
)

// point is the difference that does not count.
const point = 0.01

func verdictOf(d *metric.Difference) Verdict {
	switch {
	case d.Range.Low >= -point && d.Range.High <= point:
		return Equivalent
	case d.Range.Low > 0:
		return Better
	case d.Range.High < 0:
		return Worse
	}
	return Undecided
}

// Compared is the model's packs beside one arm, in one score of one head.
type Compared struct {
	Head       string             `json:"head"`
	Arm        string             `json:"arm"`
	Difference *metric.Difference `json:"difference"` // A = the arm, B = the packs
	Verdict    Verdict            `json:"verdict"`    // on the packs
	Runs       []float64          `json:"runs"`       // the arm's scores by seed
}

// AugmentResult is what Run found.
type AugmentResult struct {
	Model    string                    `json:"model"`
	Data     string                    `json:"data"`
	Split    string                    `json:"split"`
	Packs    []string                  `json:"packs"`
	Mode     string                    `json:"mode"`
	Steps    int                       `json:"steps"`
	Seeds    []uint64                  `json:"seeds"`
	Packed   map[string][]ArmScore     `json:"packed"` // by head: the scores with the packs
	Compared []Compared                `json:"compared"`
	Rules    []augment.RuleStats       `json:"rules"`    // those left out, the most active first
	Controls map[string]metric.Control `json:"controls"` // as in metrics.json
	Notes    []string                  `json:"notes,omitempty"`
}

// Run trains what is missing, scores all arms on the same examples and writes
// the result to the model's metrics.json.
func (e *AugmentControls) Run(ctx context.Context) (*AugmentResult, error) {
	b, ds, err := OpenBundle(e.Model)
	if err != nil {
		return nil, err
	}
	defer b.knowledge.close() //nolint:errcheck // only read
	e.Watch.Problems(ds)
	if len(b.Plan.Augment.Packs) == 0 {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "controls.nothing", File: e.Model, Summary: "the model was trained without rule packs: there is nothing to compare",
			Remedy: "train it with augment.packs, or name another --model"}}.Err()
	}
	m, err := metric.Load(filepath.Join(e.Model, Own, MetricsFile))
	if err != nil {
		return nil, err
	}
	mode, err := augment.ParseMode(b.Plan.Augment.Mode)
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
	res := &AugmentResult{Model: e.Model, Data: e.Data, Split: split, Packs: b.Plan.Augment.Packs, Mode: mode.String(), Steps: m.Train.Steps,
		Packed: map[string][]ArmScore{}, Controls: map[string]metric.Control{}}
	for i := range max(e.Seeds, 0) + 3*btoi(e.Seeds <= 0) {
		res.Seeds = append(res.Seeds, b.Plan.Seed+uint64(i))
	}
	if e.Work == "" {
		e.Work = filepath.Join(e.Model, Own, "augment-controls")
	}
	if res.Rules, err = e.active(ctx, b.Plan, c, mode); err != nil {
		return nil, err
	}
	arms := []string{ArmPacks, ArmNoPacks}
	if mode.Add > 0 {
		arms = append(arms, ArmDuplicated)
	} else {
		res.Notes = append(res.Notes, "duplicated data is the run without augmentation here: in mode replace an epoch shows each example once")
	}
	names := map[string]string{} // of rules, by arm
	for _, r := range res.Rules {
		arm := fmt.Sprintf("without-%s-%s", r.Pack, r.Rule)
		arms, names[arm] = append(arms, arm), r.Pack+"/"+r.Rule
	}
	e.vary = func(plan *recipe.Plan, arm string) {
		plan.Train.Steps, plan.Train.Patience = res.Steps, 0
		switch arm {
		case ArmPacks:
		case ArmNoPacks:
			plan.Augment.Packs, plan.Augment.Mode = nil, augment.Mode{}.String()
		case ArmDuplicated:
			plan.Augment.Without = []string{"*"}
		default:
			plan.Augment.Without = append(plan.Augment.Without, names[arm])
		}
	}
	parts := newParts(b, c, split)
	runs, err := e.arms(ctx, b, plan, arms, res.Seeds, c, split, parts)
	if err != nil {
		return nil, err
	}
	if err := res.compare(runs, arms[1:], names, b.Plan.Seed); err != nil {
		return nil, err
	}
	return res, e.keep(res)
}

// active are the rules that change most examples of train, the most active first.
func (e *AugmentControls) active(ctx context.Context, plan *recipe.Plan, c *corpus.Corpus, mode augment.Mode) ([]augment.RuleStats, error) {
	n := e.LeaveOut
	switch {
	case n < 0:
		return nil, nil
	case n == 0:
		n = 5
	}
	var ps plugins
	if len(plan.Domain.Names) > 0 {
		launched, ds, err := launchAll(ctx, e.Catalog, plan, e.Home, e.Log)
		if err != nil {
			return nil, err
		}
		defer launched.close()
		if err := ds.Err(); err != nil {
			return nil, err
		}
		ps = launched
	}
	r, ds, err := openRules(ctx, plan, ps, e.Home)
	if err != nil {
		return nil, err
	}
	if err := ds.Err(); err != nil {
		return nil, err
	}
	defer r.close() //nolint:errcheck // only read
	all := r.shared
	all.Take = func(_ string, rule *augment.CompiledRule) bool { return rule.Kind != codeKind }
	engine, _ := augment.NewEngine(r.packs, all) // its warnings are those of the run's engine
	stats, err := engine.Stats(ctx, func(yield func(sdk.Example, error) bool) {
		for _, ex := range c.Train {
			if !yield(ex, nil) {
				return
			}
		}
	}, augment.StatsOptions{Mode: mode})
	if err != nil {
		return nil, fmt.Errorf("count what the rules do: %w", err)
	}
	for _, code := range r.code { // their functions are not run for this
		p := 1.0
		if code.rule.Probability != nil {
			p = *code.rule.Probability
		}
		can := len(r.ask(code, c.Train).examples)
		stats.Rules = append(stats.Rules, augment.RuleStats{Pack: code.pack.Manifest.Name, Rule: code.rule.ID, Kind: code.rule.Kind, Matched: can, Examples: int(p*float64(can) + 0.5)})
	}
	rules := slices.DeleteFunc(stats.Rules, func(r augment.RuleStats) bool { return r.Examples == 0 })
	slices.SortStableFunc(rules, func(a, b augment.RuleStats) int { return cmp.Compare(b.Examples, a.Examples) })
	return rules[:min(n, len(rules))], nil
}

// compare holds every arm against the packs.
func (r *AugmentResult) compare(runs map[string]armRuns, arms []string, names map[string]string, seed uint64) error {
	packs := runs[ArmPacks]
	for _, head := range slices.Sorted(maps.Keys(packs)) {
		with := packs[head][""]
		if len(with) == 0 || with[0].N == 0 {
			continue
		}
		for _, score := range scoresOf(with[0]) {
			r.Packed[head] = append(r.Packed[head], armScore(ArmPacks, score, "", with))
			for _, arm := range arms {
				beside := runs[arm][head][""]
				d, err := metric.PairedBootstrapRuns(beside, with, score, seed)
				if err != nil {
					return fmt.Errorf("compare the packs with %s: %w", arm, err)
				}
				label, summary := arm, "the same run without augmentation"
				switch {
				case arm == ArmDuplicated:
					summary = "the examples repeated as often as the packs add variants"
				case names[arm] != "":
					label, summary = ArmWithout+names[arm], "the packs without this rule"
				}
				r.Compared = append(r.Compared, Compared{Head: head, Arm: label, Difference: d, Verdict: verdictOf(d), Runs: armScore(arm, score, "", beside).Runs})
				c, ok := r.Controls[label]
				if !ok {
					c = metric.Control{Summary: summary, Heads: map[string]*metric.Report{}, Differences: map[string][]*metric.Difference{}, Seeds: r.Seeds, Difference: d}
				}
				c.Heads[head] = beside[0]
				c.Differences[head] = append(c.Differences[head], d)
				r.Controls[label] = c
			}
		}
	}
	return nil
}

// keep adds the controls to the model's metrics.json.
func (e *AugmentControls) keep(res *AugmentResult) error {
	path := filepath.Join(e.Model, Own, MetricsFile)
	m, err := metric.Load(path)
	if err != nil {
		return err
	}
	if m.Controls == nil {
		m.Controls = map[string]metric.Control{}
	}
	for arm := range m.Controls {
		if arm == ArmNoPacks || arm == ArmDuplicated || strings.HasPrefix(arm, ArmWithout) {
			delete(m.Controls, arm)
		}
	}
	maps.Copy(m.Controls, res.Controls)
	return m.Save(path)
}
