package core

import (
	"math"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// readAnswer is what a head of answers says to one question.
type readAnswer struct {
	labelled   bool
	gold       []string
	row        int     // of the window that holds the answer
	start, end int     // bytes of that window
	text       string  // "" = no answer
	score      float64 // probability among the best answers, and none if that is allowed
}

// readAnswers finds the answer to each question among those of its windows, in the
// order of the questions: the one with the highest score, or none where that scores
// higher and the head knows questions without an answer. A question has no answer as
// much as the window that says so least.
func readAnswers(spec sdk.HeadSpec, h int, rows recipe.Source, preds []recipe.Prediction) (out []*readAnswer) {
	type candidate struct {
		row int
		recipe.ScoredStretch
	}
	index := map[string]int{}
	var all [][]candidate
	var none []float64
	for i := range rows.Len() {
		r := rows.At(i)
		if r.Passage == nil {
			continue
		}
		k, ok := index[r.Passage.Of]
		if !ok {
			k = len(out)
			index[r.Passage.Of] = k
			out, all, none = append(out, &readAnswer{row: i}), append(all, nil), append(none, math.Inf(1))
		}
		if h < len(r.Targets) && r.Targets[h].Has {
			out[k].labelled, out[k].gold = true, r.Passage.Answers
		}
		said := preds[i].Heads[h]
		none[k] = min(none[k], float64(said.Value))
		for _, s := range said.Spans {
			all[k] = append(all[k], candidate{i, s})
		}
	}
	for k, a := range out {
		best := -1
		for j, c := range all[k] {
			if best < 0 || c.Score > all[k][best].Score {
				best = j
			}
		}
		silent := spec.Options[sdk.OptionNoAnswer] == "on"
		top := none[k]
		if best >= 0 && (!silent || float64(all[k][best].Score) >= top) {
			c := all[k][best]
			p := rows.At(c.row).Passage
			top, a.row = float64(c.Score), c.row
			a.start, a.end = p.Bytes(c.From, c.To)
			a.text = p.Text[a.start:a.end]
		}
		total := 0.0
		if silent {
			total = math.Exp(none[k] - top)
		}
		for _, c := range all[k] {
			total += math.Exp(float64(c.Score) - top)
		}
		if total > 0 {
			a.score = 1 / total
		}
	}
	return out
}
