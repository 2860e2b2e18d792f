//go:build torch

package kge

import (
	"math"

	"github.com/islm-dev/islm/core/torch"
)

// scorer is the mathematics of a model: how head and relation make a query, and
// how a query is compared with an entity. Larger scores are better.
type scorer struct {
	model  string
	dim    int64   // of an entity
	margin float64 // added to distances
	turn   float64 // rotate: radians for one unit of a relation's numbers
}

func newScorer(s Settings) scorer {
	m := scorer{model: s.Model, dim: int64(s.Dim), margin: s.Margin}
	if s.Model == RotatE {
		m.turn = math.Pi / reach(s)
	}
	return m
}

// reach bounds the first vectors of the distance models, as in Sun et al. 2019.
func reach(s Settings) float64 {
	n := s.Dim
	if s.Model == RotatE {
		n /= 2
	}
	return (s.Margin + 2) / float64(n)
}

// width is the numbers of a relation.
func (m scorer) width() int64 {
	if m.model == RotatE {
		return m.dim / 2
	}
	return m.dim
}

// products says whether queries and entities are compared by their product.
func (m scorer) products() bool { return m.model == DistMult || m.model == ComplEx }

// halves are the real and imaginary parts.
func (m scorer) halves(x *torch.Tensor) (re, im *torch.Tensor) {
	k := m.dim / 2
	return x.Narrow(-1, 0, k), x.Narrow(-1, k, k)
}

// query makes query vectors [b, dim] of entities e [b, dim] and relations r [b,
// width]. sign [b, 1] is -1 where the relation's inverse is meant, without a
// vector of its own; nil is 1 everywhere. Comparing the query of (t, r⁻¹) with h
// gives the score of the fact (h, r, t) in all four models.
func (m scorer) query(e, r, sign *torch.Tensor) *torch.Tensor {
	flip := func(x *torch.Tensor) *torch.Tensor {
		if sign == nil {
			return x
		}
		return x.Mul(sign)
	}
	switch m.model {
	case TransE:
		return e.Add(flip(r))
	case DistMult:
		return e.Mul(r)
	case ComplEx:
		a, b := m.halves(e)
		c, d := m.halves(r)
		return multiply(a, b, c, flip(d))
	}
	a, b := m.halves(e)
	angle := flip(r).MulScalar(m.turn)
	return multiply(a, b, angle.Cos(), angle.Sin())
}

// multiply is (a + bi)(c + di), as real parts, then imaginary parts.
func multiply(a, b, c, d *torch.Tensor) *torch.Tensor {
	return torch.Cat([]*torch.Tensor{a.Mul(c).Sub(b.Mul(d)), a.Mul(d).Add(b.Mul(c))}, -1)
}

// compare scores queries q [b, 1, dim] against entities t [b, n, dim] (or [1, n,
// dim]): [b, n].
func (m scorer) compare(q, t *torch.Tensor) *torch.Tensor {
	switch m.model {
	case TransE:
		return q.Sub(t).Norm(1, -1, false).RSubScalar(m.margin)
	case RotatE:
		d := q.Sub(t)
		shape := d.Shape()
		return d.View(shape[0], shape[1], 2, m.dim/2).Norm(2, -2, false).Sum(-1).RSubScalar(m.margin)
	}
	return q.Mul(t).Sum(-1)
}

// all scores queries q [b, dim] against every entity of the table: [b, n]. room
// bounds the numbers that the models of distance hold at a time.
func (m scorer) all(q, table *torch.Tensor, room int64) *torch.Tensor {
	if m.products() {
		return q.MatMul(table.T())
	}
	b, n := q.Size(0), table.Size(0)
	part := min(n, max(1, room/(b*m.dim)))
	var parts []*torch.Tensor
	for at := int64(0); at < n; at += part {
		parts = append(parts, torch.Scoped(func() *torch.Tensor {
			return m.compare(q.Unsqueeze(1), table.Narrow(0, at, min(part, n-at)).Unsqueeze(0))
		}))
	}
	return torch.Cat(parts, 1)
}
