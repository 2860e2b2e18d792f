//go:build torch

package kge

import "github.com/islm-dev/islm/core/torch"

// negativeLoss adds the gradients of the self-adversarial negative sampling loss
// (Sun et al. 2019) to those of the tables. A row has one answer; wrong holds
// as many negatives for each row, weights one weight for each. With σ the
// logistic function, s the scores, and w the weights scaled to a sum of one,
//
//	−½ Σ w·(log σ(s(answer)) + Σⱼ pⱼ·log σ(−s(wrongⱼ)))
//
// where p is softmax(temperature·s(wrong)), through which no gradient flows.
// room bounds the numbers held at a time. It returns that loss times the number
// of rows, and the number.
func (t *tables) negativeLoss(batch []row, wrong []int32, weights []float64, temperature float64, room int64) (sum float64, facts int) {
	total := 0.0
	for _, w := range weights {
		total += w
	}
	each := len(wrong) / len(batch)
	part := int(max(1, room/(int64(each)*t.dim)))
	for at := 0; at < len(batch); at += part {
		to := min(at+part, len(batch))
		sum += t.negativePart(batch[at:to], wrong[at*each:to*each], weights[at:to], total, temperature)
	}
	return sum * float64(len(batch)), len(batch)
}

func (t *tables) negativePart(batch []row, wrong []int32, weights []float64, total, temperature float64) float64 {
	s := torch.Open()
	defer s.Close()
	b, each := int64(len(batch)), int64(len(wrong)/len(batch))
	in := t.gather(batch)
	ids := make([]int64, 0, len(batch)+len(wrong))
	shares := make([]float64, len(batch))
	for i, r := range batch {
		ids = append(ids, int64(r.answers[0]))
		shares[i] = weights[i] / total
	}
	for _, e := range wrong {
		ids = append(ids, int64(e))
	}
	where := t.indices(ids)
	others := t.entity.IndexSelect(0, where).RequiresGrad(true)
	w := torch.FromFloat64(shares, b).To(torch.Float32, t.entity.Device())
	var loss *torch.Tensor
	torch.EnableGrad(func() {
		q := in.query.Unsqueeze(1)
		right := t.compare(q, others.Narrow(0, 0, b).Unsqueeze(1)).Squeeze(1)
		other := t.compare(q, others.Narrow(0, b, b*each).View(b, each, t.dim))
		p := other.Detach().MulScalar(temperature).Softmax(-1)
		of := right.LogSigmoid().Add(other.Neg().LogSigmoid().Mul(p).Sum(-1))
		loss = of.Mul(w).Sum().MulScalar(-0.5)
	})
	loss.Backward()
	t.scatter(in)
	t.gradEntity.IndexAddInPlace(0, where, others.Grad())
	return loss.Item()
}
