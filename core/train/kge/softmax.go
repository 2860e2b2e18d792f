//go:build torch

package kge

import (
	"math"
	"slices"

	"github.com/islm-dev/islm/core/torch"
)

// softmaxLoss adds the gradients of the cross entropy over all entities (Lacroix,
// Usunier, Obozinski 2018) to those of the tables, for rows that may have
// several answers each: for a query q with answers A, against all entities e,
//
//	|A|·log Σₑ exp(q·e) − Σ_{a∈A} q·a
//
// summed over the rows and divided by the number of all answers. It returns the
// loss before that division, and the number.
//
// With P the softmax over entities, the gradient of the scores is |A|·P less
// one at each answer, so nothing needs autograd but the making of q. block is
// the number of rows worked on at a time.
func (t *tables) softmaxLoss(batch []row, block int) (sum float64, facts int) {
	s := torch.Open()
	defer s.Close()
	n := t.entity.Size(0)
	in := t.gather(batch)
	count := make([]float32, len(batch))
	for i, b := range batch {
		count[i] = float32(len(b.answers))
		facts += len(b.answers)
	}
	weights := torch.FromFloat32(count, int64(len(batch)), 1).DivScalar(float64(facts)).ToDevice(t.entity.Device())
	q := in.query.Detach()
	weighted := q.Mul(weights)
	var backs []*torch.Tensor
	for at := 0; at < len(batch); at += block {
		step := torch.Open()
		k := min(block, len(batch)-at)
		from, size := int64(at), int64(k)
		var places []int64
		var shares []float32
		for i, b := range batch[at : at+k] {
			for _, a := range b.answers {
				places = append(places, int64(i)*n+int64(a))
				shares = append(shares, -1/float32(len(b.answers)))
			}
		}
		p := q.Narrow(0, from, size).MatMul(t.entity.T())
		p.SoftmaxInPlace(-1)
		flat, where := p.View(-1), t.indices(places)
		for _, v := range flat.IndexSelect(0, where).Float32s() {
			// A probability that float32 cannot hold counts as its smallest number.
			sum -= math.Log(max(float64(v), math.SmallestNonzeroFloat32))
		}
		// p becomes the gradient of the scores, but for the row's weight.
		flat.IndexAddInPlace(0, where, torch.FromFloat32(shares, int64(len(shares))).ToDevice(t.entity.Device()))
		t.gradEntity.AddInPlace(p.T().MatMul(weighted.Narrow(0, from, size)), 1)
		backs = append(backs, step.Keep(p.MatMul(t.entity)))
		step.Close()
	}
	in.query.BackwardFrom(torch.Cat(backs, 0).Mul(weights))
	t.scatter(in)
	return sum, facts
}

// inputs are the vectors that the queries of a batch are made of.
type inputs struct {
	entities, relations *torch.Tensor // rows of the tables
	entity, relation    *torch.Tensor // their vectors, leaves [b, dim], [b, width]
	query               *torch.Tensor // [b, dim], recorded
}

func (t *tables) gather(batch []row) inputs {
	var es, rs []int64
	var signs []float32
	for _, b := range batch {
		at, sign := t.row(b.query.Relation)
		es, rs, signs = append(es, int64(b.query.Entity)), append(rs, at), append(signs, sign)
	}
	in := inputs{entities: t.indices(es), relations: t.indices(rs)}
	in.entity = t.entity.IndexSelect(0, in.entities).RequiresGrad(true)
	in.relation = t.relation.IndexSelect(0, in.relations).RequiresGrad(true)
	torch.EnableGrad(func() { in.query = t.query(in.entity, in.relation, t.signs(signs)) })
	return in
}

// scatter adds the gradients of gathered vectors to those of the tables.
func (t *tables) scatter(in inputs) {
	t.gradEntity.IndexAddInPlace(0, in.entities, in.entity.Grad())
	t.gradRelation.IndexAddInPlace(0, in.relations, in.relation.Grad())
}

// n3 adds the gradient of the weighted nuclear 3-norm: weight/facts times the
// sum, over the facts of the batch, of the cubed moduli of the vectors of head,
// relation and tail (Lacroix et al. 2018). The modulus is that of each complex
// number, or the absolute value.
func (t *tables) n3(batch []row, facts int, weight float64) {
	if weight == 0 {
		return
	}
	entities, relations := map[int64]float32{}, map[int64]float32{}
	for _, b := range batch {
		k := float32(len(b.answers))
		at, _ := t.row(b.query.Relation)
		entities[int64(b.query.Entity)] += k
		relations[at] += k
		for _, a := range b.answers {
			entities[int64(a)]++
		}
	}
	t.cube(t.entity, t.gradEntity, entities, 3*weight/float64(facts))
	t.cube(t.relation, t.gradRelation, relations, 3*weight/float64(facts))
}

// cube adds factor·count·|x|·x for the rows that count names.
func (t *tables) cube(table, grad *torch.Tensor, count map[int64]float32, factor float64) {
	s := torch.Open()
	defer s.Close()
	rows := make([]int64, 0, len(count))
	for at := range count {
		rows = append(rows, at)
	}
	slices.Sort(rows)
	counts := make([]float32, len(rows))
	for i, at := range rows {
		counts[i] = count[at]
	}
	where := t.indices(rows)
	x := table.IndexSelect(0, where)
	var modulus *torch.Tensor
	if t.model == ComplEx {
		re, im := t.halves(x)
		modulus = re.Square().Add(im.Square()).Sqrt().Repeat(1, 2)
	} else {
		modulus = x.Abs()
	}
	modulus.MulInPlace(x)
	modulus.MulInPlace(torch.FromFloat32(counts, int64(len(counts)), 1).MulScalar(factor).ToDevice(table.Device()))
	grad.IndexAddInPlace(0, where, modulus)
}
