package vocab

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/islm-dev/islm/core/token"
)

// Limits of the space that similar compares pieces in.
const (
	contextWindow = 5       // pieces to each side
	contextMost   = 4096    // most frequent pieces that count as context
	contextPieces = 4 << 20 // of the texts that are counted
	contextLeast  = 3       // occurrences of a piece that is compared
	contextPower  = 0.75    // smooths the contexts' frequencies
)

// similar makes the rows of added pieces of those of the old pieces that stand in
// like contexts of the texts, as FOCUS does (Dobler and de Melo 2023, "FOCUS:
// Effective Embedding Initialization for Monolingual Specialization of
// Multilingual Models"): weights are the sparsemax (Martins and Astudillo 2016) of
// cosines. Where FOCUS trains fastText vectors, the space here is the positive
// pointwise mutual information of pieces and their neighbours, with smoothed
// context frequencies (Levy, Goldberg and Dagan 2015): it has no randomness and
// needs one pass. Pieces that the texts hold too seldom are the mean of their old
// pieces.
func similar(ctx context.Context, tok *token.Tokenizer, added []token.Added, texts iter.Seq2[string, error]) ([]Row, error) {
	rows, err := compose(added, "mean")
	if err != nil {
		return nil, err
	}
	space, err := newContexts(ctx, tok, texts)
	if err != nil {
		return nil, err
	}
	fresh := map[int32]bool{}
	for _, a := range added {
		fresh[a.ID] = true
	}
	// The old pieces of each context, in the order of their ids.
	posts := make([][]entry, len(space.place))
	for id := range int32(tok.VocabSize()) {
		if !fresh[id] {
			for _, e := range space.vector(id) {
				posts[e.at] = append(posts[e.at], entry{id, e.value})
			}
		}
	}
	cosines := make([]float64, tok.VocabSize())
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var near []entry
		for _, e := range space.vector(rows[i].ID) {
			for _, p := range posts[e.at] {
				if cosines[p.at] == 0 {
					near = append(near, entry{at: p.at})
				}
				cosines[p.at] += e.value * p.value
			}
		}
		for k := range near {
			near[k].value, cosines[near[k].at] = cosines[near[k].at], 0
		}
		slices.SortFunc(near, func(a, b entry) int { return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.at, b.at)) })
		if near = sparsemax(near); len(near) == 0 {
			continue
		}
		rows[i].From, rows[i].Weights = nil, nil
		for _, e := range near {
			rows[i].From, rows[i].Weights = append(rows[i].From, e.at), append(rows[i].Weights, float32(e.value))
		}
	}
	return rows, nil
}

// entry is a value at a place of a sparse vector.
type entry struct {
	at    int32
	value float64
}

// sparsemax projects values, the largest first, onto the probability simplex; only
// those above 0 are returned.
func sparsemax(z []entry) []entry {
	sum, n, tau := 0.0, 0, 0.0
	for i, e := range z {
		sum += e.value
		if 1+float64(i+1)*e.value <= sum {
			break
		}
		n, tau = i+1, (sum-1)/float64(i+1)
	}
	out := make([]entry, n)
	for i := range out {
		out[i] = entry{z[i].at, z[i].value - tau}
	}
	return out
}

// contexts counts which pieces stand beside which.
type contexts struct {
	place  map[int32]int32 // piece -> its number as a context
	counts []float64       // of pieces, by id
	beside []map[int32]int // by id: context -> times
	share  []float64       // by context: its smoothed share
}

func newContexts(ctx context.Context, tok *token.Tokenizer, texts iter.Seq2[string, error]) (*contexts, error) {
	n := tok.VocabSize()
	c := &contexts{place: map[int32]int32{}, counts: make([]float64, n), beside: make([]map[int32]int, n)}
	var ids []int32 // of all texts, -1 between them
	for text, err := range texts {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("compare pieces: %w", err)
		}
		for _, id := range tok.Encode(text, token.Options{Bare: true}).IDs {
			if tok.IsSpecial(id) {
				id = -1
			} else {
				c.counts[id]++
			}
			ids = append(ids, id)
		}
		if ids = append(ids, -1); len(ids) >= contextPieces {
			break
		}
	}
	often := make([]int32, 0, n)
	for id := range c.counts {
		if c.counts[id] > 0 {
			often = append(often, int32(id))
		}
	}
	slices.SortFunc(often, func(a, b int32) int { return cmp.Or(cmp.Compare(c.counts[b], c.counts[a]), cmp.Compare(a, b)) })
	often = often[:min(len(often), contextMost)]
	total := 0.0
	for i, id := range often {
		c.place[id] = int32(i)
		p := math.Pow(c.counts[id], contextPower)
		c.share, total = append(c.share, p), total+p
	}
	for i := range c.share {
		c.share[i] /= total
	}
	for i, id := range ids {
		if id < 0 || c.counts[id] < contextLeast {
			continue
		}
		for _, step := range []int{-1, 1} {
			for k := 1; k <= contextWindow; k++ {
				j := i + step*k
				if j < 0 || j >= len(ids) || ids[j] < 0 {
					break
				}
				if at, ok := c.place[ids[j]]; ok {
					if c.beside[id] == nil {
						c.beside[id] = map[int32]int{}
					}
					c.beside[id][at]++
				}
			}
		}
	}
	return c, nil
}

// vector is a piece's positive pointwise mutual information with each context, of
// length 1, in the order of contexts; nil for a piece that is too rare.
func (c *contexts) vector(id int32) []entry {
	all := 0
	for _, n := range c.beside[id] {
		all += n
	}
	var out []entry
	for at, n := range c.beside[id] {
		if v := math.Log(float64(n) / float64(all) / c.share[at]); v > 0 {
			out = append(out, entry{at, v})
		}
	}
	slices.SortFunc(out, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	norm := 0.0
	for _, e := range out {
		norm += e.value * e.value
	}
	for i := range out {
		out[i].value /= math.Sqrt(norm)
	}
	return out
}
