package core

import (
	"math"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Score compares predictions with the labels of their rows, head by head. Heads
// without a labelled row have no report.
func Score(heads []sdk.HeadSpec, rows recipe.Source, preds []recipe.Prediction, dataset, split string) map[string]*metric.Report {
	out := map[string]*metric.Report{}
	for h, spec := range heads {
		r := scoreHead(spec, h, rows, preds)
		if r == nil || r.N == 0 {
			continue
		}
		r.Task, r.Dataset, r.Split = spec.Kind, dataset, split
		out[spec.Name] = r
	}
	return out
}

func scoreHead(spec sdk.HeadSpec, h int, rows recipe.Source, preds []recipe.Prediction) *metric.Report {
	n := rows.Len()
	labels := recipe.Outputs(spec)
	task, _, _ := strings.Cut(spec.Kind, ".")
	switch task {
	case metric.TaskTag:
		gold, pred := make([][]int32, 0, n), make([][]int32, 0, n)
		for i := range n {
			t := rows.At(i).Targets[h]
			if !t.Has {
				continue
			}
			gold, pred = append(gold, t.Tags), append(pred, tags(preds[i].Heads[h].Tags, len(t.Tags)))
		}
		return metric.Tagging(labels, gold, pred, spec.Scheme)
	case metric.TaskQA:
		gold, pred := [][]string{}, []string{}
		for _, a := range readAnswers(spec, h, rows, preds) {
			if a.labelled {
				gold, pred = append(gold, a.gold), append(pred, a.text)
			}
		}
		return metric.NewAnswers(gold, pred)
	case metric.TaskSpan:
		gold, pred := make([][]metric.Stretch, n), make([][]metric.Stretch, n)
		for i := range n {
			if t := rows.At(i).Targets[h]; t.Has {
				gold[i] = stretches(t.Spans)
				for _, s := range preds[i].Heads[h].Spans {
					pred[i] = append(pred[i], metric.Stretch{Start: s.From, End: s.To, Label: s.Class})
				}
			}
		}
		return metric.Spans(labels, gold, pred)
	case metric.TaskMLM, metric.TaskCLM, metric.TaskGenerate:
		examples, count, loss := 0, 0, 0.0
		for i := range n {
			if rows.At(i).Targets[h].Has {
				o := preds[i].Heads[h]
				examples, count, loss = examples+1, count+o.Tokens, loss+o.LogLoss
			}
		}
		return metric.NewLanguageModel(examples, count, loss)
	case metric.TaskMultiLabel:
		var gold, pred [][]bool
		for i := range n {
			t := rows.At(i).Targets[h]
			if !t.Has {
				continue
			}
			set := make([]bool, len(labels))
			for k, p := range preds[i].Heads[h].Scores {
				set[k] = p >= 0.5
			}
			gold, pred = append(gold, t.Classes), append(pred, set)
		}
		return metric.MultiLabel(labels, gold, pred)
	case metric.TaskRank:
		var gold, pred []float64
		var queries []uint64
		for i := range n {
			if t := rows.At(i).Targets[h]; t.Has {
				gold, pred, queries = append(gold, float64(t.Value)), append(pred, float64(preds[i].Heads[h].Value)), append(queries, t.Group)
			}
		}
		return metric.NewRanking(queries, gold, pred)
	case metric.TaskRegress, metric.TaskEmbed:
		var gold, pred []float64
		for i := range n {
			if t := rows.At(i).Targets[h]; t.Has {
				gold, pred = append(gold, float64(t.Value)), append(pred, float64(preds[i].Heads[h].Value))
			}
		}
		return metric.NewRegression(gold, pred)
	}
	var gold, pred []int32
	var scores [][]float32
	var loss float64
	for i := range n {
		t := rows.At(i).Targets[h]
		if !t.Has {
			continue
		}
		o := preds[i].Heads[h]
		gold, pred = append(gold, t.Class), append(pred, o.Class)
		if t.Class >= 0 && int(t.Class) < len(o.Scores) {
			scores = append(scores, o.Scores)
			loss -= math.Log(max(float64(o.Scores[t.Class]), 1e-12))
		}
	}
	if len(gold) == 0 {
		return nil
	}
	r := metric.Classification(labels, gold, pred)
	if task == metric.TaskRelation {
		r = metric.Relations(labels, gold, pred, slices.Index(labels, spec.Options[sdk.OptionNoRelation]))
	}
	if len(scores) == len(gold) {
		loss /= float64(len(gold))
		r.Loss = &loss
		if c, err := metric.Calibrate(gold, scores, 0); err == nil {
			r.Calibration = c
		}
	}
	return r
}

func stretches(spans []recipe.Stretch) []metric.Stretch {
	out := []metric.Stretch{}
	for _, s := range spans {
		out = append(out, metric.Stretch{Start: s.From, End: s.To, Label: s.Class})
	}
	return out
}

// tags gives one tag per token; a model that said less missed the rest.
func tags(said []int32, n int) []int32 {
	if len(said) == n {
		return said
	}
	out := make([]int32, n)
	for i := range out {
		out[i] = -1
		if i < len(said) {
			out[i] = said[i]
		}
	}
	return out
}
