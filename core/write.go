package core

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// compared reports whether teachers' answers can be compared output by output.
func compared(h sdk.HeadSpec) bool {
	return slices.Contains([]string{sdk.KindClassify, sdk.KindMultilabel, sdk.KindPair, sdk.KindTag}, h.Kind)
}

// rewrite gives the training examples of heads that write the texts of the first
// teacher with such a head in the place of their own: sequence-level distillation
// (Kim and Rush 2016, "Sequence-Level Knowledge Distillation"), with one text for
// each prompt, as the teacher's own plan has it written (generate.*). The texts are
// kept on disk under a digest of teacher and prompts.
func (r *Run) rewrite(ctx context.Context, heads []sdk.HeadSpec, train []sdk.Example) (sdk.Diagnostics, error) {
	at := slices.IndexFunc(heads, func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindGenerate })
	if at < 0 || r.plan.Objective != recipe.ObjectiveDistill || r.plan.Distill.Logits == 0 {
		return nil, nil
	}
	head := heads[at].Name
	if r.plan.Distill.Labels == 0 {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "distill.labels", Path: "distill.labels", Summary: fmt.Sprintf("head %s learns the teacher's texts as its labels, and distill.labels is 0", head), Remedy: "set distill.labels above 0"}}, nil
	}
	i := slices.IndexFunc(r.teachers, func(t *teacher) bool {
		return slices.ContainsFunc(t.heads, func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindGenerate && h.Name == head })
	})
	if i < 0 {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "distill.labels", Path: "distill.teachers", Summary: fmt.Sprintf("head %s writes texts, and no teacher has a head of this name that does", head), Remedy: "name the head with data.head, or a teacher that writes"}}, nil
	}
	texts, err := r.written(ctx, r.teachers[i], head, train)
	if err != nil {
		return nil, fmt.Errorf("let teacher %s write: %w", r.teachers[i].model.Name, err)
	}
	empty := 0
	for k := range train {
		if strings.TrimSpace(texts[k]) == "" {
			empty++ // nothing to learn from: the text of the data stays
			continue
		}
		labels := map[string]sdk.Label{}
		for name, l := range train[k].Labels {
			labels[name] = l
		}
		labels[head] = sdk.Label{Values: []string{texts[k]}}
		train[k].Labels = labels
	}
	if empty > 0 {
		return sdk.Diagnostics{{Severity: sdk.Warning, Code: "distill.empty", Path: "distill.teachers", Summary: fmt.Sprintf("the teacher wrote nothing to %d of %d prompts: the texts of the data stay there", empty, len(train)), Remedy: "look at generate.* in the teacher's plan.yaml"}}, nil
	}
	return nil, nil
}

// written are a teacher's texts to the examples, in their order.
func (r *Run) written(ctx context.Context, t *teacher, head string, examples []sdk.Example) ([]string, error) {
	b, _, err := OpenBundle(t.model.Dir, r.Store)
	if err != nil {
		return nil, err
	}
	if b.knowledge != nil {
		defer b.knowledge.close() //nolint:errcheck // only read
	}
	generation, err := b.generation()
	if err != nil {
		if found := (*sdk.DiagnosticsError)(nil); errors.As(err, &found) {
			for i := range found.Diagnostics { // the keys of this run are those of the student
				d := &found.Diagnostics[i]
				d.File = filepath.Join(b.Dir, Own, PlanFile)
				d.Remedy = fmt.Sprintf("lower %s there: a teacher writes as its own plan says; or set distill.logits=0, which leaves the texts of the data", d.Path)
			}
		}
		return nil, err
	}
	prompts := make([]sdk.Example, len(examples))
	h := sha256.New()
	plan, err := json.Marshal(generation.GeneratePlan)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(h, "texts.v0\n%s\n%s\n%d %s %d\n", t.digest, plan, generation.Seed, r.plan.Train.Precision, b.promptLength())
	for i, ex := range examples {
		ex.Labels = nil
		prompts[i] = ex
		fmt.Fprintf(h, "%q %q %q\n", ex.ID, ex.Text, ex.TextB)
	}
	file := filepath.Join(r.Home, "stages", "teacher", hex.EncodeToString(h.Sum(nil))+".json")
	var texts []string
	if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &texts) == nil && len(texts) == len(examples) {
		return texts, nil
	}
	r.Watch.Stage("teacher", fmt.Sprintf("%s writes to %d training prompts", t.model.Name, len(examples)))
	rows, err := encodeRows(ctx, b, prompts)
	if err != nil {
		return nil, err
	}
	preds, err := r.Engine.Predict(ctx, &recipe.PredictJob{Model: b.Dir, Base: b.Base, Heads: b.Heads, Rows: rows, Plan: b.Plan, Injection: b.knowledge.injection(), Precision: r.plan.Train.Precision, Device: r.plan.Train.Device, Threads: r.plan.Train.Threads, Generate: generation})
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(b.Heads, func(s sdk.HeadSpec) bool { return s.Name == cmp.Or(t.own, head) })
	for _, p := range preds {
		text := ""
		if g := p.Heads[at].Generated; g != nil {
			text = b.text(g)
		}
		texts = append(texts, text)
	}
	data, err := json.Marshal(texts)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	return texts, writeWhole(file, data)
}
