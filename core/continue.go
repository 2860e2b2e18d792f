package core

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/modelstore"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// ContinueFile says what a continued model kept and learned, below islm/.
const ContinueFile = "continue.json"

// past is the model that a run continues, and the data that it was trained on.
type past struct {
	model  modelstore.Model // an adapter folder's is merged
	bundle *Bundle
	corpus *corpus.Corpus // nil: not at hand, or not wanted
	fisher []sdk.Example  // old examples that say which weights matter
	replay int            // old examples that are trained again
}

// Continued is what a continued model kept and learned.
type Continued struct {
	Replayed int             `json:"replayed"` // old training examples that were trained again
	Of       int             `json:"of"`       // old training examples
	Split    string          `json:"split"`
	Heads    []ContinuedHead `json:"heads"`
}

// ContinuedHead compares the two models on one head. F1 of taggers is that of
// entities. Before and After are means over the labels that have old rows: rows
// all of whose labels are old.
type ContinuedHead struct {
	Head    string           `json:"head"`
	OldRows int              `json:"old_rows"`
	AllRows int              `json:"all_rows"`
	Before  float64          `json:"before"`  // old labels, the old model on old rows
	After   float64          `json:"after"`   // old labels, the new model on old rows
	Old     float64          `json:"old"`     // old labels, the new model on all rows
	New     float64          `json:"new"`     // new labels, the new model on all rows
	Labels  []ContinuedLabel `json:"labels"`  // old ones first
	Metric  string           `json:"metric"`  // f1, or of heads without labels their own score
	Numbers bool             `json:"numbers"` // a head without labels
}

// ContinuedLabel is one label, or for heads without labels their score.
type ContinuedLabel struct {
	Label   string   `json:"label"`
	New     bool     `json:"new,omitempty"`
	Support int      `json:"support"`
	Before  *float64 `json:"before,omitempty"` // the old model on old rows; nil = no such row
	After   *float64 `json:"after,omitempty"`  // the new model on old rows
	All     *float64 `json:"all,omitempty"`    // the new model on all rows; what floors hold
	Floor   *float64 `json:"floor,omitempty"`
}

// openPast finds the model that the run continues and the data of its training.
func (r *Run) openPast(ctx context.Context) error {
	if r.plan.Objective != recipe.ObjectiveContinue {
		return nil
	}
	m, b, err := r.finished(ctx, r.plan.Base)
	if err != nil {
		return err
	}
	r.past = &past{model: m, bundle: b}
	if err := r.tell(r.past.checkFloors(&r.plan.Continue)); err != nil {
		return err
	}
	if r.plan.Data.MaxLength == 0 {
		r.plan.Data.MaxLength = b.maxLength()
	}
	if err := r.tell(r.past.settleDistill(r.plan)); err != nil {
		return err
	}
	if r.plan.Continue.Distill > 0 {
		t, ds, err := r.openTeacher(ctx, m)
		if err != nil {
			return err
		}
		if err := r.tell(ds); err != nil {
			return err
		}
		r.teachers = append(r.teachers, t)
	}
	return r.openOldData(ctx)
}

// finished opens the model that goes on learning, an adapter folder merged, or says
// why it cannot.
func (r *Run) finished(ctx context.Context, ref string) (m modelstore.Model, b *Bundle, err error) {
	if m, err = r.model(ctx, ref); err != nil {
		return m, nil, err
	}
	refuse := func(code, summary, remedy string) error {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: code, File: m.Dir, Summary: summary, Remedy: remedy}}.Err()
	}
	if peft.Is(m.Dir) {
		if m.Dir, err = r.merged(ctx, "base", m.Dir); err != nil {
			return m, nil, err
		}
		m.Source = nil // the weights are others now
	}
	var ds sdk.Diagnostics
	if b, ds, err = OpenBundle(m.Dir, r.Store); err != nil {
		return m, nil, err
	}
	if err := r.tell(ds); err != nil {
		return m, nil, err
	}
	if b.knowledge != nil {
		if err := b.knowledge.close(); err != nil {
			return m, nil, err
		}
		return m, nil, refuse("continue.knowledge", "the model injects knowledge, whose weights and graph this command does not carry over", "train a new model with knowledge.inject on all data")
	}
	return m, b, nil
}

// settleDistill leaves continue.distill out where no head of the model has answers
// that can be compared.
func (p *past) settleDistill(plan *recipe.Plan) (ds sdk.Diagnostics) {
	if plan.Continue.Distill == 0 || slices.ContainsFunc(p.bundle.Heads, compared) {
		return nil
	}
	var heads []string
	for _, h := range p.bundle.Heads {
		heads = append(heads, h.Name+" ("+h.Kind+")")
	}
	d := sdk.Diagnostic{Severity: sdk.Info, Code: "continue.distill", Path: "continue.distill",
		Summary: "continue.distill is 0 here: the answers of " + strings.Join(heads, ", ") + " cannot be compared output by output"}
	if plan.Chosen("continue.distill") {
		d.Severity, d.Remedy = sdk.Warning, "leave continue.distill out; continue.replay and continue.ewc stand against forgetting"
	}
	plan.Continue.Distill = 0
	ds.Add(d)
	return ds
}

// openOldData reads the examples that the model was trained on, with its own heads.
func (r *Run) openOldData(ctx context.Context) error {
	c := &r.plan.Continue
	old, ds, err := r.readOld(ctx, r.past.bundle, c.Data)
	if ds.HasErrors() {
		return r.tell(ds)
	}
	if err == nil {
		r.past.corpus = old
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "continue.data", Path: "continue.data", Summary: "the examples that the model was trained on cannot be read: " + err.Error(),
		Remedy: "name them with --old PATH, or do without: --set continue.replay=0 --set continue.ewc=0"}
	if c.Replay == 0 && c.EWC == 0 {
		d.Severity, d.Remedy = sdk.Warning, "name them with --old PATH"
		d.Detail = "What is forgotten is measured on the new data alone."
	}
	return r.tell(sdk.Diagnostics{d})
}

// readOld reads the data of a model's training: at path, else those that its plan
// names and, if it was continued itself, those of the models before it.
func (r *Run) readOld(ctx context.Context, b *Bundle, path string) (*corpus.Corpus, sdk.Diagnostics, error) {
	var plans []*recipe.Plan
	for at := b; path == ""; {
		plans = append(plans, at.Plan)
		if at.Plan.Objective != recipe.ObjectiveContinue {
			break
		}
		if path = at.Plan.Continue.Data; path != "" {
			break
		}
		before, _, err := OpenBundle(at.Plan.Base, r.Store)
		if err != nil {
			return nil, nil, fmt.Errorf("the model before %s: %w", at.Dir, err)
		}
		at = before
	}
	if path != "" {
		plan, err := b.dataPlan(path, nil)
		if err != nil {
			return nil, nil, err
		}
		plans = append(plans, plan)
	}
	all := &corpus.Corpus{}
	for i, plan := range plans {
		if plan.Data.Path == "" && plan.Data.Train == "" {
			return nil, nil, errors.New("its plan names no data")
		}
		req := corpus.Request{Plan: plan, Heads: b.Heads, Closed: true}
		if len(r.plugins) > 0 {
			req.Domain = r.plugins
		}
		c, ds, err := corpus.Read(ctx, req)
		if err != nil || ds.HasErrors() {
			return nil, ds, err
		}
		all.Join(c, strings.Repeat(corpus.OldPrefix, i))
	}
	return all, nil, nil
}

// heads are the model's, language models too, then those of the domain that it has not.
func (p *past) heads(declared []sdk.HeadSpec) []sdk.HeadSpec {
	out := slices.Concat(p.bundle.Heads, p.bundle.languages)
	for i := range out {
		out[i].ClassWeights = nil // those of the labels and examples that it was trained on
	}
	for _, h := range declared {
		if i := slices.IndexFunc(out, func(o sdk.HeadSpec) bool { return o.Name == h.Name }); i < 0 {
			out = append(out, h)
		} else if len(h.ClassWeights) == len(out[i].Labels) {
			out[i].ClassWeights = h.ClassWeights
		}
	}
	return out
}

// merge adds old examples to the new ones.
func (p *past) merge(c *corpus.Corpus, plan *recipe.Plan) (ds sdk.Diagnostics) {
	for _, h := range p.bundle.Heads {
		i := slices.IndexFunc(c.Heads, func(o sdk.HeadSpec) bool { return o.Name == h.Name })
		if i < 0 {
			continue
		}
		if len(c.Heads[i].ClassWeights) != len(c.Heads[i].Labels) {
			c.Heads[i].ClassWeights = nil // a plugin's, of the old labels alone
		}
		grown := c.Heads[i]
		switch {
		case grown.Kind != h.Kind || grown.Scheme != h.Scheme || grown.CRF != h.CRF:
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "continue.head", Path: "heads." + h.Name, Summary: fmt.Sprintf("head %s of the model has another kind, scheme or CRF than the recipe wants", h.Name), Remedy: "leave heads." + h.Name + " out"})
		case len(grown.Labels) > len(h.Labels) && h.Loss == "bce" && h.Kind != sdk.KindMultilabel:
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "continue.head", Path: "heads." + h.Name, Summary: fmt.Sprintf("head %s tells two labels apart by one value: it cannot get a third", h.Name), Remedy: "train a new model whose head has the loss ce"})
		}
	}
	if p.corpus == nil || ds.HasErrors() {
		return ds
	}
	n := len(p.corpus.Train)
	p.replay = c.Merge(p.corpus, int(plan.Continue.Replay*float64(n)), plan.Seed)
	if plan.Continue.Balance && p.replay > 0 {
		for i := range c.Heads {
			h := &c.Heads[i]
			known := slices.ContainsFunc(p.bundle.Heads, func(o sdk.HeadSpec) bool { return o.Name == h.Name })
			if known && h.ClassWeights == nil { // a plugin's own weights stay
				h.ClassWeights = c.StandIn(*h, p.corpus.Train)
			}
		}
	}
	if plan.Continue.EWC > 0 {
		p.fisher = corpus.Balanced(p.corpus.Train, plan.Continue.Fisher, plan.Seed)
	}
	return ds
}

// jobPast is the past as the engine wants it.
func (r *Run) jobPast(ctx context.Context) (*recipe.Past, error) {
	if r.past == nil {
		return nil, nil
	}
	out := &recipe.Past{Heads: r.past.bundle.Heads}
	if len(r.past.fisher) == 0 {
		return out, nil
	}
	var err error
	out.Rows, err = corpus.EncodeSource(ctx, &corpus.Encoder{Tokenizer: r.data.tokenizer, MaxLength: r.data.maxLength, Heads: out.Heads}, r.past.fisher)
	return out, err
}

// judge compares the continued model with the one before and holds the floors.
func (r *Run) judge(ctx context.Context) error {
	if r.past == nil {
		return nil
	}
	rows, split := r.data.test, "test"
	if r.outcome.Split == "valid" {
		rows, split = r.data.valid, "valid"
	}
	c := &Continued{Split: split, Replayed: r.past.replay}
	if r.past.corpus != nil {
		c.Of = len(r.past.corpus.Train)
	}
	r.continued = c
	if rows == nil {
		if len(r.plan.Continue.Floors) > 0 {
			return r.tell(sdk.Diagnostics{{Severity: sdk.Error, Code: "continue.floor", Path: "continue.floors", Summary: "there are no validation or test rows: no floor can be held", Remedy: "give some with data.test"}})
		}
		return nil
	}
	examples, old := r.data.corpus.Split(split), r.past.bundle.Heads
	answers, err := r.past.answers(ctx, r, examples)
	if err != nil {
		return err
	}
	before := map[string]*metric.Report{}
	for h, spec := range r.data.heads {
		i := slices.IndexFunc(old, func(o sdk.HeadSpec) bool { return o.Name == spec.Name })
		if i < 0 {
			continue
		}
		var known []sdk.Example
		var had, has []recipe.Prediction
		lifted := make([]recipe.Prediction, len(examples))
		for k := range examples {
			if corpus.Within(&examples[k], old[i]) {
				known, had, has = append(known, examples[k]), append(had, answers[k]), append(has, r.outcome.After[k])
			}
			lifted[k].Heads = make([]recipe.Output, len(r.data.heads))
			lifted[k].Heads[h] = lift(answers[k].Heads[i], spec)
		}
		one := ContinuedHead{Head: spec.Name, OldRows: len(known), Metric: "f1"}
		var was, is *metric.Report
		if len(known) > 0 {
			rows, err := encodeRows(ctx, r.past.bundle, known)
			if err != nil {
				return err
			}
			was = scoreHead(old[i], i, rows, had)
			if rows, err = corpus.EncodeSource(ctx, &corpus.Encoder{Tokenizer: r.data.tokenizer, MaxLength: r.data.maxLength, Heads: r.data.heads}, known); err != nil {
				return err
			}
			is = scoreHead(spec, h, rows, has)
		}
		if rep := scoreHead(spec, h, rows, lifted); rep != nil && rep.N > 0 {
			rep.Task, rep.Dataset, rep.Split = spec.Kind, r.data.name, split
			before[spec.Name] = rep
		}
		all := r.metrics.Heads[spec.Name]
		if all != nil {
			one.AllRows = all.N
		}
		one.fill(spec, old[i], was, is, all, &r.plan.Continue)
		c.Heads = append(c.Heads, one)
	}
	if len(before) > 0 {
		r.metrics.Before = before // by the model before on the same rows, not by a head with rows that know nothing
	}
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("save %s: %w", ContinueFile, err)
	}
	if err := writeWhole(r.folder.Own(ContinueFile), append(raw, '\n')); err != nil {
		return err
	}
	return r.holdFloors(c)
}

// answers are those of the model before.
func (p *past) answers(ctx context.Context, r *Run, examples []sdk.Example) ([]recipe.Prediction, error) {
	rows, err := encodeRows(ctx, p.bundle, examples) // what it does not know of their labels is left out
	if err != nil {
		return nil, err
	}
	preds, err := r.Engine.Predict(ctx, &recipe.PredictJob{Model: p.bundle.Dir, Heads: p.bundle.Heads, Rows: rows, Plan: p.bundle.Plan, Precision: r.outcome.Precision, Device: r.outcome.Device, Threads: r.plan.Train.Threads})
	if err != nil {
		return nil, fmt.Errorf("ask the model before: %w", err)
	}
	return preds, nil
}

// lift makes an answer of a head that has more labels, at the end, of one that has
// fewer: the new ones are not given.
func lift(o recipe.Output, grown sdk.HeadSpec) recipe.Output {
	if n := len(recipe.Outputs(grown)); len(o.Scores) > 0 && len(o.Scores) < n {
		o.Scores = append(slices.Clone(o.Scores), make([]float32, n-len(o.Scores))...)
	}
	return o
}

// f1s are the scores of labels; of taggers, of their types of entities.
func f1s(r *metric.Report) (labels []string, scores map[string]metric.LabelScore) {
	scores = map[string]metric.LabelScore{}
	if r == nil {
		return nil, scores
	}
	if e := r.Entities; e != nil {
		for _, t := range e.Types {
			labels = append(labels, t.Type)
			scores[t.Type] = metric.LabelScore{Label: t.Type, F1: t.F1, Support: t.Support}
		}
		return labels, scores
	}
	for _, l := range r.Labels {
		labels = append(labels, l.Label)
		scores[l.Label] = l
	}
	return labels, scores
}

func (h *ContinuedHead) fill(spec, old sdk.HeadSpec, was, is, all *metric.Report, plan *recipe.ContinuePlan) {
	value := func(of map[string]metric.LabelScore, label string) *float64 {
		if l, ok := of[label]; ok && l.Support > 0 {
			return &l.F1
		}
		return nil
	}
	if len(spec.Labels) == 0 {
		h.Numbers = true
		row := ContinuedLabel{Label: spec.Name, Support: h.AllRows}
		score := func(r *metric.Report) *float64 {
			if r == nil {
				return nil
			}
			h.Metric = r.Primary()
			if v, ok := r.Value(h.Metric); ok {
				return &v
			}
			return nil
		}
		row.Before, row.After, row.All = score(was), score(is), score(all)
		row.floor(spec.Name, plan)
		h.Labels = append(h.Labels, row)
		h.mean()
		return
	}
	_, before := f1s(was)
	_, after := f1s(is)
	_, total := f1s(all)
	for _, label := range spec.Labels {
		row := ContinuedLabel{Label: label, New: !slices.Contains(old.Labels, label), Support: total[label].Support, All: value(total, label)}
		if !row.New {
			row.Before, row.After = value(before, label), value(after, label)
			row.floor(spec.Name, plan)
		}
		h.Labels = append(h.Labels, row)
	}
	h.mean()
}

func (l *ContinuedLabel) floor(head string, plan *recipe.ContinuePlan) {
	f := plan.Floor(head, l.Label)
	switch {
	case f == nil:
	case !f.Loss:
		l.Floor = &f.Value
	case l.Before != nil:
		least := *l.Before - f.Value
		l.Floor = &least
	}
}

// mean fills in the means over labels.
func (h *ContinuedHead) mean() {
	over := func(of func(*ContinuedLabel) *float64, fresh bool) float64 {
		sum, n := 0.0, 0
		for i := range h.Labels {
			if v := of(&h.Labels[i]); v != nil && h.Labels[i].New == fresh {
				sum, n = sum+*v, n+1
			}
		}
		return sum / float64(max(n, 1))
	}
	h.Before = over(func(l *ContinuedLabel) *float64 { return l.Before }, false)
	h.After = over(func(l *ContinuedLabel) *float64 { return l.After }, false)
	h.Old = over(func(l *ContinuedLabel) *float64 { return l.All }, false)
	h.New = over(func(l *ContinuedLabel) *float64 { return l.All }, true)
}

// Counts gives the numbers of old and of new labels.
func (h *ContinuedHead) Counts() (old, fresh int) {
	for _, l := range h.Labels {
		if l.New {
			fresh++
		} else {
			old++
		}
	}
	return old, fresh
}

// summary is the head in one line.
func (h *ContinuedHead) summary() string {
	old, fresh := h.Counts()
	text := fmt.Sprintf("%s %.3f before, %.3f after on %d rows that the model knew", h.Metric, h.Before, h.After, h.OldRows)
	if h.Numbers {
		return text
	}
	text = fmt.Sprintf("%d old labels: ", old) + text + fmt.Sprintf("; %.3f on all rows", h.Old)
	if fresh > 0 {
		text += fmt.Sprintf("; %d new labels: %.3f", fresh, h.New)
	}
	return text
}

// Shown chooses n labels for people: those below or nearest to their floors and
// those that lost most. It says how many are left out.
func (h *ContinuedHead) Shown(n int) (shown []ContinuedLabel, hidden int) {
	loss := func(l ContinuedLabel) float64 {
		switch {
		case l.Floor != nil && l.All != nil:
			return 10 + *l.Floor - *l.All
		case l.Before != nil && l.After != nil:
			return *l.Before - *l.After
		}
		return -1
	}
	shown = slices.Clone(h.Labels)
	if len(shown) > n {
		slices.SortStableFunc(shown, func(a, b ContinuedLabel) int { return cmp.Compare(loss(b), loss(a)) })
		shown, hidden = shown[:n], len(shown)-n
	}
	return shown, hidden
}

// holdFloors ends the run before anything is published when an old label lies
// below its floor.
func (r *Run) holdFloors(c *Continued) error {
	var ds sdk.Diagnostics
	for _, h := range c.Heads {
		for _, l := range h.Labels {
			f := r.plan.Continue.Floor(h.Head, l.Label)
			if f == nil || l.New {
				continue
			}
			d := sdk.Diagnostic{Severity: sdk.Error, Code: "continue.floor", Path: "continue.floors", File: r.folder.Dir,
				Remedy: "more replay (continue.replay), a larger continue.distill or continue.ewc, a lower train.lr, or a lower floor; nothing was published"}
			switch {
			case l.All == nil || l.Floor == nil:
				d.Summary = fmt.Sprintf("label %q of head %s has a floor, but no %s row to measure it on", l.Label, h.Head, c.Split)
				d.Remedy = "give such rows (--old, data.test), or take the floor away; nothing was published"
			case *l.All < *l.Floor:
				d.Summary = fmt.Sprintf("label %q of head %s: %s %.3f on %d %s rows is below its floor %.3f", l.Label, h.Head, h.Metric, *l.All, l.Support, c.Split, *l.Floor)
				if l.Before != nil {
					d.Detail = fmt.Sprintf("before the training it was %.3f", *l.Before)
				}
			default:
				continue
			}
			ds.Add(d)
		}
	}
	if !ds.HasErrors() {
		return nil
	}
	if err := os.RemoveAll(r.folder.ExportDir()); err != nil {
		return fmt.Errorf("remove the export: %w", err)
	}
	return ds.Err()
}

// checkFloors finds floors of labels that the model has not, before anything is
// trained.
func (p *past) checkFloors(plan *recipe.ContinuePlan) (ds sdk.Diagnostics) {
	var names []string
	known := []string{recipe.EachLabel}
	for _, h := range p.bundle.Heads {
		labels := h.Labels
		if len(labels) == 0 {
			labels = []string{h.Name}
		}
		names = append(names, labels...)
		known = append(known, h.Name+"/"+recipe.EachLabel)
		for _, l := range labels {
			known = append(known, l, h.Name+"/"+l)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(plan.Floors)) {
		if slices.Contains(known, key) {
			continue
		}
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "continue.floor", Path: "continue.floors", Summary: fmt.Sprintf("continue.floors names %q, which is no label of the model", key), Remedy: "LABEL, HEAD/LABEL, or * for each; its labels: " + clip(strings.Join(names, ", "), 200)}
		if near := sdk.Nearest(key, known); near != "" {
			d.Remedy = fmt.Sprintf("did you mean %q?", near)
		}
		ds.Add(d)
	}
	return ds
}
