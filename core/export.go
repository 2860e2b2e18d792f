package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/core/libtorch"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// export completes the model that the engine wrote (tokenizer, lock, provenance,
// scores, report, model card) and publishes it.
func (r *Run) export(ctx context.Context) error {
	dir := r.folder.ExportDir()
	if err := r.data.tokenizer.Save(dir); err != nil {
		return fmt.Errorf("save the tokenizer: %w", err)
	}
	if v := r.data.vocabulary; v != nil {
		if err := v.save(r.folder.Own(VocabFile)); err != nil {
			return err
		}
	}
	if err := r.saveKnowledge(); err != nil {
		return err
	}
	if err := r.saveBase(); err != nil {
		return err
	}
	if err := r.rescore(ctx); err != nil {
		return err
	}
	// What an engine resolved (precision, device) is part of the record.
	r.plan.Train.Precision, r.plan.Train.Device = r.outcome.Precision, r.outcome.Device
	if err := r.folder.WritePlan(r.plan); err != nil {
		return err
	}
	lock := &catalog.Lock{Schema: catalog.LockSchema}
	for _, p := range r.plugins {
		if !p.entry.Dev() {
			lock.SetPlugin(catalog.Pin{Name: p.entry.Name, Version: p.entry.Version, SHA256: p.entry.SHA256})
		}
	}
	if err := writeWhole(r.folder.Own(LockFile), lock.Encode()); err != nil {
		return err
	}
	prov, err := r.provenance()
	if err != nil {
		return err
	}
	if err := prov.Save(r.folder.Own(ProvenanceFile)); err != nil {
		return err
	}
	if err := r.page(prov).Save(r.folder.Own(ReportFile)); err != nil {
		return err
	}
	if err := r.card(prov).Save(filepath.Join(dir, "README.md")); err != nil {
		return err
	}
	// metrics.json and config.json together mark a finished run.
	if err := r.metrics.Save(r.folder.Own(MetricsFile)); err != nil {
		return err
	}
	return r.folder.Publish()
}

func (r *Run) provenance() (*report.Provenance, error) {
	p := report.NewProvenance(time.Now(), r.Args)
	p.Seed, p.Stages = r.plan.Seed, r.before
	sum := sha256.Sum256(r.plan.YAML())
	p.Plan = "sha256:" + hex.EncodeToString(sum[:])
	p.Software["islm"], p.Software["libtorch"] = r.Version, libtorch.Version
	p.Environment.Device, p.Environment.Precision = r.outcome.Device, r.outcome.Precision
	p.Environment.Threads = r.plan.Train.Threads
	weights, size, err := report.DigestTree(os.DirFS(r.base.Dir), modelFile)
	if err != nil {
		return nil, fmt.Errorf("digest of the base model: %w", err)
	}
	p.Base = report.Artifact{Name: r.base.Name, Digest: weights, Size: size}
	if r.base.Source != nil {
		p.Base.Source, p.Base.Version = r.base.Source.ID, r.base.Source.Commit
	}
	for _, t := range r.teachers {
		p.Teachers = append(p.Teachers, report.Artifact{Name: t.model.Name, Role: strings.Join(headNames(t.job.Heads), ", "), Digest: t.digest, Size: t.size})
	}
	for _, in := range r.data.inputs() {
		p.Data = append(p.Data, report.Artifact{Name: filepath.Base(in.Path), Role: in.Split, Digest: "sha256:" + in.SHA256, Size: in.Bytes, N: in.Examples})
	}
	if v := r.data.vocabulary; v != nil {
		p.Vocabulary = append(p.Vocabulary, report.Artifact{Name: "extended vocabulary", Role: v.Init, Digest: "sha256:" + v.digest, N: v.Pieces})
	}
	if k := r.knowledge; k != nil && k.graph != nil {
		name := r.plan.Knowledge.KG
		if name == "" {
			name = strings.Join(r.plan.Domain.Names, "+")
		}
		p.Knowledge = append(p.Knowledge, report.Artifact{Name: baseName(name), Role: strings.Join(r.plan.Knowledge.Inject, "+"), Digest: "sha256:" + k.graph.Digest(), N: k.graph.Entities()})
	}
	p.Vocabulary, p.Knowledge = append(p.Vocabulary, r.data.made.Vocabulary...), append(p.Knowledge, r.data.made.Knowledge...)
	for _, pl := range r.plugins {
		p.Plugins = append(p.Plugins, report.Artifact{Name: pl.about.Name, Version: pl.about.Version, Digest: "sha256:" + pl.entry.SHA256, Size: pl.entry.Size})
		if pl.entry.Dev() {
			p.Notes = append(p.Notes, "plugin "+pl.about.Name+" ran without a lock (--dev)")
		}
	}
	return p, nil
}

// modelFile picks the files that make a base model.
func modelFile(path string) bool {
	return strings.HasSuffix(path, ".safetensors") || strings.HasSuffix(path, ".bin") || path == "config.json" || path == "tokenizer.json" || path == "vocab.txt"
}

func (r *Run) title() string {
	if len(r.plan.Domain.Names) > 0 {
		return strings.Join(r.plan.Domain.Names, " + ") + " on " + r.base.Name
	}
	return r.data.name + " on " + r.base.Name
}

func (r *Run) page(prov *report.Provenance) *report.Page {
	log, _ := report.ReadLog(r.folder.Own(LogFile)) // a log that cannot be read leaves the curves out
	score := r.plan.Train.Metric
	if score == "" || score == "auto" {
		score = "mean of the heads"
		for _, rep := range r.metrics.Heads {
			if len(r.metrics.Heads) == 1 {
				score = rep.Primary()
			}
		}
	}
	p := &report.Page{Title: r.title(), Lang: r.Lang, Metrics: r.metrics, Primary: primary(r.plan, r.data.heads), ScoreName: score, Log: log, Provenance: prov, Plan: string(r.plan.YAML()),
		Mistakes: r.mistakes(), Groups: r.groups,
		Facts: []report.Fact{{Name: "base", Value: r.base.Name}, {Name: "data", Value: strings.Join(r.data.summary(), "; ")},
			{Name: "domain", Value: strings.Join(r.plan.Domain.Names, ", ")}, {Name: "seed", Value: fmt.Sprint(r.plan.Seed)}}}
	if r.continued != nil {
		p.Facts = append(p.Facts, report.Fact{Name: "replay", Value: fmt.Sprintf("%d of %d old examples", r.continued.Replayed, r.continued.Of)})
		for i := range r.continued.Heads {
			p.Facts = append(p.Facts, report.Fact{Name: "kept, " + r.continued.Heads[i].Head, Value: r.continued.Heads[i].summary()})
		}
	}
	for _, d := range r.problems {
		p.Notices = append(p.Notices, report.Notice{Severity: string(d.Severity), Code: d.Code, Summary: d.Summary, Detail: d.Detail, Remedy: d.Remedy})
	}
	return p
}

// mistakes collects the wrong answers that the report shows, the surest first.
func (r *Run) mistakes() map[string][]report.Mistake {
	rows, split := r.data.test, "test"
	if r.outcome.Split == "valid" {
		rows, split = r.data.valid, "valid"
	}
	if rows == nil || r.data.packed != nil {
		return nil
	}
	examples := r.data.corpus.Split(split)
	out := map[string][]report.Mistake{}
	for h, spec := range r.data.heads {
		var all []report.Mistake
		if spec.Kind == sdk.KindQA {
			all = wrongAnswers(spec, h, rows, r.outcome.After, examples)
		}
		for i := range rows.Len() {
			if m, wrong := mistake(spec, rows.At(i).Targets[h], r.outcome.After[i].Heads[h]); wrong {
				fillMistake(&m, &examples[i], spec, rows.At(i).Targets[h], r.outcome.After[i].Heads[h])
				all = append(all, m)
			}
		}
		if len(all) > 0 {
			out[spec.Name] = report.Worst(all, 20)
		}
	}
	return out
}

// wrongAnswers are those that share no token with an answer that counts as right.
func wrongAnswers(spec sdk.HeadSpec, h int, rows recipe.Source, preds []recipe.Prediction, examples []sdk.Example) (out []report.Mistake) {
	for _, a := range readAnswers(spec, h, rows, preds) {
		if !a.labelled || metric.NewAnswers([][]string{a.gold}, []string{a.text}).Answers.F1 > 0 {
			continue
		}
		ex := &examples[a.row]
		m := report.Mistake{ID: ex.ID, Text: clip(ex.Text, shown), TextB: clip(ex.TextB, shown), Gold: "(no answer)", Pred: "(no answer)", Score: a.score}
		if len(a.gold) > 0 {
			m.Gold = strings.Join(a.gold, " | ")
		}
		if a.text != "" {
			m.Pred = a.text
		}
		out = append(out, m)
	}
	return out
}

func mistake(spec sdk.HeadSpec, t recipe.Target, o recipe.Output) (report.Mistake, bool) {
	if !t.Has {
		return report.Mistake{}, false
	}
	labels := recipe.Outputs(spec)
	name := func(i int32) string {
		if i < 0 || int(i) >= len(labels) {
			return ""
		}
		return labels[i]
	}
	switch task, _, _ := strings.Cut(spec.Kind, "."); task {
	case metric.TaskTag:
		score, wrong := float32(0), false
		said := tags(o.Tags, len(t.Tags))
		for k, g := range t.Tags {
			if g >= 0 && said[k] != g {
				wrong = true
				if k < len(o.TagScores) {
					score = max(score, o.TagScores[k])
				}
			}
		}
		return report.Mistake{Score: float64(score)}, wrong
	case metric.TaskMultiLabel:
		var gold, pred []string
		score, wrong := float32(0), false
		for k, p := range o.Scores {
			if t.Classes[k] {
				gold = append(gold, labels[k])
			}
			if p >= 0.5 {
				pred = append(pred, labels[k])
			}
			if t.Classes[k] != (p >= 0.5) {
				wrong, score = true, max(score, max(p, 1-p))
			}
		}
		return report.Mistake{Gold: strings.Join(gold, ", "), Pred: strings.Join(pred, ", "), Score: float64(score)}, wrong
	case metric.TaskSpan:
		wrong, score := len(t.Spans) != len(o.Spans), float32(0)
		for _, s := range o.Spans {
			if !slices.Contains(t.Spans, s.Stretch) {
				wrong, score = true, max(score, s.Score)
			}
		}
		return report.Mistake{Score: float64(score)}, wrong
	case metric.TaskRegress, metric.TaskRank, metric.TaskEmbed, metric.TaskQA:
		return report.Mistake{}, false
	}
	m := report.Mistake{Gold: name(t.Class), Pred: name(o.Class)}
	if int(o.Class) < len(o.Scores) && o.Class >= 0 {
		m.Score = float64(o.Scores[o.Class])
	}
	return m, o.Class != t.Class
}

// longest text of a mistake that a report shows, in runes.
const shown = 600

func fillMistake(m *report.Mistake, ex *sdk.Example, spec sdk.HeadSpec, t recipe.Target, o recipe.Output) {
	m.ID, m.Text, m.TextB = ex.ID, clip(ex.Text, shown), clip(ex.TextB, shown)
	if s := ex.Labels[spec.Name].Spans; spec.Kind == sdk.KindRelation && len(s) == 2 {
		m.TextB = ex.Text[s[0].Start:s[0].End] + " → " + ex.Text[s[1].Start:s[1].End]
	}
	if spec.Kind == sdk.KindSpan {
		m.Gold, m.Pred = wordsAt(ex, spec, t.Spans), wordsAt(ex, spec, plainStretches(o.Spans))
	}
	if task, _, _ := strings.Cut(spec.Kind, "."); task != metric.TaskTag || len(ex.Tokens) != len(t.Tags) {
		return
	}
	labels := recipe.Outputs(spec)
	said := tags(o.Tags, len(t.Tags))
	for k, tok := range ex.Tokens {
		tag := report.TokenTag{Text: ex.Text[tok.Start:tok.End]}
		if t.Tags[k] >= 0 {
			tag.Gold = labels[t.Tags[k]]
		}
		if said[k] >= 0 {
			tag.Pred = labels[said[k]]
		}
		m.Tokens = append(m.Tokens, tag)
	}
}

func plainStretches(said []recipe.ScoredStretch) (out []recipe.Stretch) {
	for _, s := range said {
		out = append(out, s.Stretch)
	}
	return out
}

// wordsAt writes spans as LABEL words.
func wordsAt(ex *sdk.Example, spec sdk.HeadSpec, spans []recipe.Stretch) string {
	var out []string
	for _, s := range spans {
		out = append(out, spec.Labels[s.Class]+" "+ex.Text[ex.Tokens[s.From].Start:ex.Tokens[s.To].End])
	}
	slices.Sort(out)
	return clip(strings.Join(out, "; "), shown)
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
