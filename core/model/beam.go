//go:build torch

package model

import (
	"cmp"
	"math"
	"slices"

	"github.com/islm-dev/islm/core/recipe"
)

// beam is the beam search of one prompt.
type beam struct {
	running  []*draft // the best first
	finished []finished
	closed   bool // no running text can become better than the finished ones
}

// finished is a complete text with its score by length.
type finished struct {
	*recipe.Generated
	score float64
}

// candidate is a token behind a running text.
type candidate struct {
	from  int // of beam.running
	id    int32
	score float64
}

// beams searches for the most probable text of each prompt, in the way of
// transformers' generate with early_stopping off: in each step the best
// continuations of all running texts; those that end compete by log-probability
// divided by length to the power of the length penalty, and the search ends when the
// best running text, were it to end now, is worse than all finished ones.
func (g *generator) beams() ([]*recipe.Generated, error) {
	searches := make([]*beam, len(g.rows))
	for i := range searches {
		searches[i] = &beam{running: []*draft{{row: i, last: i}}}
	}
	for {
		var live []*draft
		for _, b := range searches {
			if !b.closed {
				live = append(live, b.running...)
			}
		}
		if len(live) == 0 {
			break
		}
		scores, err := g.next(live, true)
		if err != nil {
			return nil, err
		}
		for i, d := range live {
			d.last = i
		}
		for _, b := range searches {
			if !b.closed {
				n := len(b.running)
				g.advance(b, scores[:n])
				scores = scores[n:]
			}
		}
	}
	out := make([]*recipe.Generated, len(searches))
	for i, b := range searches {
		out[i] = b.finished[0].Generated
	}
	return out, nil
}

// advance makes one step of a search from the log-probabilities after each of its
// running texts.
func (g *generator) advance(b *beam, scores [][]float32) {
	// One more continuation of each text for each id that may end it, so that there
	// are always enough that go on.
	most := max(2, 1+len(g.opt.End)) * g.opt.Beams
	var best []candidate
	for i, d := range b.running {
		g.penalize(scores[i], d)
		for id, p := range scores[i] {
			c := candidate{i, int32(id), d.score + float64(p)}
			if len(best) == most && c.score <= best[most-1].score {
				continue
			}
			at, _ := slices.BinarySearchFunc(best, c, func(a, b candidate) int {
				return cmp.Or(cmp.Compare(b.score, a.score), -1) // behind its equals
			})
			if len(best) == most {
				best = best[:most-1]
			}
			best = slices.Insert(best, at, c)
		}
	}
	length := math.Pow(float64(len(b.running[0].ids)+1), g.opt.LengthPenalty)
	var going []*draft
	for j, c := range best {
		from := b.running[c.from]
		d := &draft{row: from.row, ids: slices.Clone(from.ids), score: c.score, last: from.last}
		switch finish := g.add(d, c.id); {
		case finish == "" && len(going) < g.opt.Beams:
			going = append(going, d)
		case finish != "" && j < g.opt.Beams:
			b.finished = append(b.finished, finished{&recipe.Generated{IDs: d.ids, LogProb: d.score, Finish: finish}, c.score / length})
		}
	}
	slices.SortStableFunc(b.finished, func(x, y finished) int { return cmp.Compare(y.score, x.score) })
	b.finished = b.finished[:min(len(b.finished), g.opt.Beams)]
	b.running = going
	full := len(b.finished) == g.opt.Beams
	b.closed = len(going) == 0 || full && going[0].score/length <= b.finished[len(b.finished)-1].score
}
