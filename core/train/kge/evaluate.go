//go:build torch

package kge

import (
	"context"

	"github.com/islm-dev/islm/core/torch"
)

// Numbers that a step or an evaluation holds at a time: 64 MB on the CPU, where
// more would only leave the cache, 1 GB on a GPU.
func room(d torch.Device) int64 {
	if d == torch.CPU {
		return 1 << 24
	}
	return 1 << 28
}

// evaluate ranks both answers of each fact among all entities; known are the
// answers that are right as well.
func (t *tables) evaluate(ctx context.Context, facts []Triple, known *answers) (Scores, error) {
	var out tally
	n := t.entity.Size(0)
	limit := room(t.entity.Device())
	batch := int(max(1, min(1024, limit/max(1, n))))
	for at := 0; at < len(facts); at += batch {
		if err := ctx.Err(); err != nil {
			return Scores{}, err
		}
		part := facts[at:min(at+batch, len(facts))]
		for side := range 2 {
			rows, want := make([]row, len(part)), make([]int32, len(part))
			for i, f := range part {
				q, a, p, b := f.queries(t.relations)
				if side == 0 {
					rows[i].query, want[i] = q, a
				} else {
					rows[i].query, want[i] = p, b
				}
			}
			var scores []float32
			err := torch.Do(func() {
				torch.NoGrad(func() {
					s := torch.Open()
					defer s.Close()
					scores = t.all(t.gather(rows).query, t.entity, limit).Float32s()
				})
			})
			if err != nil {
				return Scores{}, err
			}
			for i, r := range rows {
				out.add(side, Rank(scores[int64(i)*n:int64(i+1)*n], want[i], known.of(r.query)))
			}
		}
	}
	return out.scores(), nil
}
