//go:build torch

package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
)

// Generate continues prompts with what a causal language-model head says, and gives
// one text for each. Prompts are the ids of rows; targets do not count. A row ends
// with an id of opt.End, when opt.Stopped says so, after opt.MaxNewTokens, or where
// the model's positions end.
//
// Without a temperature the most probable token comes each time, or of several
// beams the most probable text; both choose as transformers' generate does. Draws
// are a function of opt.Seed, the row's Key and the number of the token, not of the
// batch. Call it inside torch.NoGrad.
func (m *Model) Generate(rows []*recipe.Encoded, head int, opt *recipe.Generation, bf16 bool) ([]*recipe.Generated, error) {
	g := &generator{m: m, head: head, opt: opt, pass: &Pass{BF16: bf16}, rows: rows, cached: true}
	return g.run()
}

// generator is one Generate.
type generator struct {
	m      *Model
	head   int
	opt    *recipe.Generation
	pass   *Pass
	rows   []*recipe.Encoded
	cached bool // false computes the whole rows anew for each token
	cache  *cache
}

// draft is an unfinished text.
type draft struct {
	row   int // of the prompt
	ids   []int32
	score float64 // sum of log-probabilities
	last  int     // its number among the drafts of the step before
}

func (g *generator) run() ([]*recipe.Generated, error) {
	if g.m.Heads[g.head].lm == nil || !g.m.Config.Causal() {
		return nil, fmt.Errorf("head %s is no causal language model, it generates nothing", g.m.Heads[g.head].Spec.Name)
	}
	for _, r := range g.rows {
		if len(r.IDs) == 0 || len(r.IDs) >= g.positions() {
			return nil, fmt.Errorf("row %q: a prompt of %d ids, the model has %d positions", r.ID, len(r.IDs), g.positions())
		}
	}
	scope := torch.Open() // of the cache
	defer scope.Close()
	if g.opt.Beams > 1 {
		return g.beams()
	}
	return g.one()
}

// positions is how many ids a row may have.
func (g *generator) positions() int {
	return g.m.Positions()
}

// limit is how many tokens may follow the prompt of a row.
func (g *generator) limit(row int) int {
	return min(g.opt.MaxNewTokens, g.positions()-len(g.rows[row].IDs))
}

// one takes or draws one token at a time.
func (g *generator) one() ([]*recipe.Generated, error) {
	out := make([]*recipe.Generated, len(g.rows))
	live := make([]*draft, len(g.rows))
	for i := range live {
		live[i] = &draft{row: i, last: i}
	}
	for step := 0; len(live) > 0; step++ {
		scores, err := g.next(live, false)
		if err != nil {
			return nil, err
		}
		var going []*draft
		for i, d := range live {
			z := scores[i]
			g.penalize(z, d)
			id := argmax(z)
			if g.opt.Temperature > 0 {
				id = g.draw(z, g.rows[d.row].Key, step)
			}
			d.score += float64(z[id]) - logSum(z)
			d.last = i
			if finish := g.add(d, id); finish != "" {
				out[d.row] = &recipe.Generated{IDs: d.ids, LogProb: d.score, Finish: finish}
				continue
			}
			going = append(going, d)
		}
		live = going
	}
	return out, nil
}

// add puts a token behind a draft and says whether that ends it.
func (g *generator) add(d *draft, id int32) (finish string) {
	if slices.Contains(g.opt.End, id) {
		return recipe.FinishEnd
	}
	d.ids = append(d.ids, id)
	switch {
	case g.opt.Stopped != nil && g.opt.Stopped(d.ids):
		return recipe.FinishStop
	case len(d.ids) >= g.limit(d.row):
		return recipe.FinishLength
	}
	return ""
}

// penalize is the repetition penalty of Keskar et al. 2019, "CTRL: A Conditional
// Transformer Language Model for Controllable Generation", over prompt and text.
func (g *generator) penalize(z []float32, d *draft) {
	p := float32(g.opt.RepetitionPenalty)
	if p == 1 || p == 0 {
		return
	}
	seen := map[int32]bool{}
	for _, ids := range [][]int32{g.rows[d.row].IDs, d.ids} {
		for _, id := range ids {
			if seen[id] {
				continue
			}
			seen[id] = true
			if z[id] < 0 {
				z[id] *= p
			} else {
				z[id] /= p
			}
		}
	}
}

// shape gives the tokens that may be drawn, the most probable first, with their
// probabilities: temperature, then top-k, then the nucleus of Holtzman et al. 2020,
// "The Curious Case of Neural Text Degeneration".
func (g *generator) shape(z []float32) (ids []int32, p []float64) {
	ids = make([]int32, len(z))
	for i := range ids {
		ids[i] = int32(i)
	}
	slices.SortStableFunc(ids, func(a, b int32) int { return cmp.Compare(z[b], z[a]) })
	if k := g.opt.TopK; k > 0 && k < len(ids) {
		for k < len(ids) && z[ids[k]] == z[ids[k-1]] { // equals of the last one stay, as in transformers
			k++
		}
		ids = ids[:k]
	}
	sum := 0.0
	p = make([]float64, len(ids))
	for i, id := range ids {
		p[i] = math.Exp((float64(z[id]) - float64(z[ids[0]])) / g.opt.Temperature)
		sum += p[i]
	}
	if top := g.opt.TopP; top > 0 && top < 1 {
		before := 0.0
		for i := range p {
			if before >= top*sum && i > 0 {
				ids, p = ids[:i], p[:i]
				break
			}
			before += p[i]
		}
		sum = min(sum, before)
	}
	for i := range p {
		p[i] /= sum
	}
	return ids, p
}

// draw picks a token by one number of the generator at (seed, stream, row, step).
func (g *generator) draw(z []float32, key uint64, step int) int32 {
	ids, p := g.shape(z)
	block := torch.Philox4x32([4]uint32{uint32(step), streamGenerate, uint32(key), uint32(key >> 32)}, [2]uint32{uint32(g.opt.Seed), uint32(g.opt.Seed >> 32)})
	u := (float64(uint64(block[0])<<21|uint64(block[1])>>11) + 0.5) / (1 << 53)
	for i := range p {
		if u -= p[i]; u < 0 {
			return ids[i]
		}
	}
	return ids[len(ids)-1]
}

// logSum is ln Σ exp z.
func logSum(z []float32) float64 {
	top := float64(slices.Max(z))
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

// next gives for each draft the scores of all tokens after it, as log-probabilities
// if asked.
func (g *generator) next(live []*draft, logs bool) (scores [][]float32, err error) {
	fresh := g.cache == nil || !g.cached
	if !fresh {
		at := make([]int, len(live))
		for i, d := range live {
			at[i] = d.last
		}
		g.cache.take(at)
	}
	scope := torch.Open()
	defer scope.Close()
	var in *Input
	last := make([]int64, len(live)) // flat positions
	if fresh {
		rows := make([]*recipe.Encoded, len(live))
		for i, d := range live {
			from := g.rows[d.row]
			rows[i] = &recipe.Encoded{ID: from.ID, Key: from.Key, IDs: slices.Concat(from.IDs, d.ids)}
		}
		if in, err = g.m.Input(rows, 0); err != nil {
			return nil, err
		}
		if g.cached {
			g.cache = &cache{lengths: in.lengths, width: in.Width, virtual: g.m.tuning.shift() + g.m.tuning.prompts()}
			in.cache = g.cache
		}
		for i, length := range in.lengths {
			last[i] = int64(i*in.Width + length - 1)
		}
	} else {
		tokens := make([]int64, len(live))
		for i, d := range live {
			tokens[i], last[i] = int64(d.ids[len(d.ids)-1]), int64(i)
		}
		in = g.cache.next(g.m, tokens)
	}
	e := g.m.encode(in, g.pass)
	x := e.hidden.Reshape(-1, int64(g.m.Encoder.Hidden())).IndexSelect(0, torch.FromInt64(last, int64(len(last))).ToDevice(g.m.device))
	var z *torch.Tensor
	torch.Autocast(g.m.device, g.pass.BF16, func() { z = g.m.Heads[g.head].lm.scores(x) })
	z = z.ToDType(torch.Float32)
	if logs {
		z = z.LogSoftmax(-1)
	}
	all, v := z.Float32s(), int(z.Size(1))
	for i := range live {
		scores = append(scores, all[i*v:(i+1)*v:(i+1)*v])
	}
	if g.cached {
		if !fresh {
			g.cache.steps++
		}
		g.cache.settle(scope)
	}
	return scores, nil
}
