//go:build torch

package model

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// embed gives each text a vector: the mean of its hidden states, or what
// spec.Pooling says. It has no weights of its own; what it trains is the encoder.
//
// Loss mnr, the default, is MultipleNegativesRankingLoss of sentence-transformers:
// of the second texts of a batch each first text has to find its own, by the
// softmax of their cosines times 20 (Henderson et al. 2017, "Efficient Natural
// Language Response Suggestion"). Only pairs with a label above 0 count. Loss
// cosine is CosineSimilarityLoss: the squared difference of cosine and label
// (Reimers and Gurevych 2019).
type embed struct{}

// scaleMNR multiplies the cosines of mnr.
const scaleMNR = 20

func (embed) check(spec sdk.HeadSpec, bad func(field, format string, args ...any)) {
	if !slices.Contains([]string{"", sdk.LossMNR, sdk.LossCosine}, spec.Loss) {
		bad("loss", "unknown loss %q of a head of vectors (mnr, cosine)", spec.Loss)
	}
	if len(spec.Labels) > 0 {
		bad("labels", "a head of kind %s has no labels", spec.Kind)
	}
}

func (embed) logits(sdk.HeadSpec) int64               { return 0 }
func (embed) pooled(sdk.HeadSpec) bool                { return false }
func (embed) weights(sdk.HeadSpec, int64) []hf.Tensor { return nil }

func (embed) weigh(h *Head, r *recipe.Encoded, t *recipe.Target) float64 {
	if len(r.Second) == 0 || h.Spec.Loss != sdk.LossCosine && t.Value <= 0 {
		return 0
	}
	return 1
}

// vectors are the unit vectors of the texts of some rows [N, H].
func vectors(h *Head, e *encoded, rows []int64, pass *Pass) *torch.Tensor {
	x := h.drop(e.pool(cmp.Or(h.Spec.Pooling, "mean")), e.in, pass)
	if len(rows) < len(e.in.Rows) {
		x = x.IndexSelect(0, torch.FromInt64(rows, int64(len(rows))).ToDevice(e.m.device))
	}
	return x.Normalize(-1)
}

// logitsOf gives the vectors of the first texts [B, H].
func (embed) logitsOf(h *Head, e *encoded, pass *Pass) *torch.Tensor {
	return vectors(h, e, allRows(e.in), pass)
}

// second encodes the second texts of some rows, as a batch of their own. Recorded
// states stay those of the first texts, which alone a teacher sees.
func (e *encoded) second(rows []int64, pass *Pass) (*encoded, error) {
	texts := make([]*recipe.Encoded, len(rows))
	for i, k := range rows {
		r := e.in.Rows[k]
		// Another key: the dropout of the two texts is not the same.
		texts[i] = &recipe.Encoded{ID: r.ID, Key: r.Key ^ 0x9e3779b97f4a7c15, IDs: r.Second}
	}
	in, err := e.m.Input(texts, 0)
	if err != nil {
		return nil, fmt.Errorf("second texts: %w", err)
	}
	alone := *pass
	alone.States = nil
	return e.m.encode(in, &alone), nil
}

func (embed) loss(h *Head, e *encoded, index int, norm float64, pass *Pass) (*torch.Tensor, error) {
	var rows []int64
	var y []float32
	labelled, targets := labelled(e.in, index)
	for i, k := range labelled {
		if (embed{}).weigh(h, e.in.Rows[k], targets[i]) > 0 {
			rows, y = append(rows, k), append(y, targets[i].Value)
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	other, err := e.second(rows, pass)
	if err != nil {
		return nil, err
	}
	u, v := vectors(h, e, rows, pass), vectors(h, other, allRows(other.in), pass)
	if h.Spec.Loss == sdk.LossCosine {
		z := u.Mul(v).Sum(1)
		pass.probe("heads."+h.Spec.Name, z)
		return squared(z, y, norm, e.m.device), nil
	}
	z := u.MatMul(v.T()).MulScalar(scaleMNR)
	pass.probe("heads."+h.Spec.Name, z)
	own, scale := make([]int64, len(rows)), make([]float32, len(rows))
	for i := range own {
		own[i], scale[i] = int64(i), float32(1/norm)
	}
	return crossEntropy(z, own, scale, e.m.device), nil
}

func (embed) predict(h *Head, e *encoded, _ int, pass *Pass) ([]recipe.Output, error) {
	out := make([]recipe.Output, len(e.in.Rows))
	u := vectors(h, e, allRows(e.in), pass).ToDType(torch.Float32).Float32s()
	width := len(u) / len(out)
	var rows []int64
	for i, r := range e.in.Rows {
		out[i].Vector = slices.Clone(u[i*width : (i+1)*width])
		if len(r.Second) > 0 {
			rows = append(rows, int64(i))
		}
	}
	if len(rows) == 0 {
		return out, nil
	}
	other, err := e.second(rows, pass)
	if err != nil {
		return nil, err
	}
	v := vectors(h, other, allRows(other.in), pass).ToDType(torch.Float32).Float32s()
	for k, i := range rows {
		sum := 0.0
		for j, x := range out[i].Vector {
			sum += float64(x) * float64(v[k*width+j])
		}
		out[i].Value = float32(sum)
	}
	return out, nil
}

// rank gives how relevant a second text is for the first: as a cross-encoder
// the one value of the linear layer over both texts (loss bce, the default, as
// CrossEncoder of sentence-transformers with one label; or mse), as a bi-encoder
// the cosine of their vectors (losses mnr and cosine, as embed).
type rank struct{}

func (rank) check(spec sdk.HeadSpec, bad func(field, format string, args ...any)) {
	if !slices.Contains([]string{"", "bce", "mse", sdk.LossMNR, sdk.LossCosine}, spec.Loss) {
		bad("loss", "unknown loss %q of a ranking head (bce, mse, mnr, cosine)", spec.Loss)
	}
	if len(spec.Labels) > 0 {
		bad("labels", "a ranking head has no labels")
	}
}

func (rank) logits(spec sdk.HeadSpec) int64 {
	if spec.Apart() {
		return 0
	}
	return 1
}

func (rank) pooled(spec sdk.HeadSpec) bool           { return !spec.Apart() }
func (rank) weights(sdk.HeadSpec, int64) []hf.Tensor { return nil }

func (rank) weigh(h *Head, r *recipe.Encoded, t *recipe.Target) float64 {
	if h.Spec.Apart() {
		return embed{}.weigh(h, r, t)
	}
	return 1
}

// logitsOf gives the values of the linear layer [B, 1], of a bi-encoder the vectors
// of the first texts [B, H].
func (rank) logitsOf(h *Head, e *encoded, pass *Pass) *torch.Tensor {
	if h.Spec.Apart() {
		return embed{}.logitsOf(h, e, pass)
	}
	return h.scores(e, allRows(e.in), pass)
}

func (rank) loss(h *Head, e *encoded, index int, norm float64, pass *Pass) (*torch.Tensor, error) {
	if h.Spec.Apart() {
		return embed{}.loss(h, e, index, norm, pass)
	}
	rows, targets := labelled(e.in, index)
	if len(rows) == 0 {
		return nil, nil
	}
	z := h.scores(e, rows, pass)
	pass.probe("heads."+h.Spec.Name, z)
	y := values32(targets)
	if h.Spec.Loss == "mse" {
		return squared(z, y, norm, e.m.device), nil
	}
	n := int64(len(rows))
	scale := slices.Repeat([]float32{float32(1 / norm)}, len(rows))
	return bce(z, torch.FromFloat32(y, n, 1).ToDevice(e.m.device), torch.FromFloat32(scale, n, 1).ToDevice(e.m.device)), nil
}

func (rank) predict(h *Head, e *encoded, index int, pass *Pass) ([]recipe.Output, error) {
	if h.Spec.Apart() {
		return embed{}.predict(h, e, index, pass)
	}
	out := make([]recipe.Output, len(e.in.Rows))
	z := h.scores(e, allRows(e.in), pass).ToDType(torch.Float32)
	if h.Spec.Loss != "mse" {
		z = z.Sigmoid()
	}
	for i, v := range z.Float32s() {
		out[i].Value = v
	}
	return out, nil
}
