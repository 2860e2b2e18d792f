//go:build torch

package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// pointer scores every stretch of words for every label, so that spans may lie
// within and across one another: GlobalPointer (Su et al. 2022, "Global Pointer:
// Novel Efficient Span-based Approach for Named Entity Recognition"). Each word
// has a start vector q and an end vector k for each label, turned by their place
// (rotary embeddings, Su et al. 2021); the score of words i..j is qᵢ·kⱼ/√size, and
// what is above 0 is a span. A word is read at its first piece. The loss is the
// paper's multi-label cross-entropy, the mean over the labels of
// log(1+Σ exp(s of no spans)) + log(1+Σ exp(-s of spans)).
type pointer struct{}

func (pointer) check(spec sdk.HeadSpec, bad func(field, format string, args ...any)) {
	if len(spec.Labels) < 1 {
		bad("labels", "no labels")
	}
	if spec.Loss != "" {
		bad("loss", "loss %q; a head of spans has a loss of its own", spec.Loss)
	}
	if len(spec.ClassWeights) > 0 {
		bad("class_weights", "class weights have no meaning in a head of spans")
	}
	noPooling(spec, bad)
	if v := spec.Options[sdk.OptionSize]; v != "" {
		if n, err := strconv.Atoi(v); err != nil || n < 2 || n > 4096 || n%2 != 0 {
			bad("options", "%s is %q, an even number from 2 to 4096 is wanted", sdk.OptionSize, v)
		}
	}
}

func (pointer) logits(sdk.HeadSpec) int64 { return 0 }
func (pointer) pooled(sdk.HeadSpec) bool  { return false }

func pointerSize(spec sdk.HeadSpec) int64 {
	if n, err := strconv.Atoi(spec.Options[sdk.OptionSize]); err == nil {
		return int64(n)
	}
	return 64
}

func (pointer) weights(spec sdk.HeadSpec, hidden int64) []hf.Tensor {
	n := int64(len(spec.Labels)) * 2 * pointerSize(spec)
	return []hf.Tensor{{Name: "pointer.weight", Shape: []int64{n, hidden}}, {Name: "pointer.bias", Shape: []int64{n}}}
}

func (pointer) weigh(_ *Head, r *recipe.Encoded, _ *recipe.Target) float64 {
	if slices.ContainsFunc(r.Starts, func(s int32) bool { return s >= 0 && int(s) < len(r.IDs) }) {
		return 1
	}
	return 0
}

// wordsOf gives the words of a row that the length limit left: their numbers and
// the ids of their first pieces.
func wordsOf(r *recipe.Encoded) (numbers []int32, starts []int64) {
	for w, s := range r.Starts {
		if s >= 0 && int(s) < len(r.IDs) {
			numbers, starts = append(numbers, int32(w)), append(starts, int64(s))
		}
	}
	return numbers, starts
}

// grid is the scores of all stretches of some rows: [B, K, W, W] with B rows of W
// words at most, and where there is none.
type grid struct {
	scores *torch.Tensor
	none   []bool // [B, W, W]: beyond the row's words, or an end before its start
	words  [][]int32
	width  int
}

func (pointer) grid(h *Head, e *encoded, rows []int64, pass *Pass) *grid {
	g := &grid{words: make([][]int32, len(rows))}
	starts := make([][]int64, len(rows))
	for i, row := range rows {
		g.words[i], starts[i] = wordsOf(e.in.Rows[row])
		g.width = max(g.width, len(starts[i]))
	}
	if g.width == 0 {
		return g
	}
	at := make([]int64, len(rows)*g.width)
	g.none = make([]bool, len(at)*g.width)
	for i, row := range rows {
		for j := range g.width {
			at[i*g.width+j] = row * int64(e.in.Width)
			if j < len(starts[i]) {
				at[i*g.width+j] += starts[i][j]
			}
			for k := range g.width {
				g.none[(i*g.width+j)*g.width+k] = j > k || k >= len(starts[i])
			}
		}
	}
	n, w, labels, size := int64(len(rows)), int64(g.width), int64(len(h.Outputs)), pointerSize(h.Spec)
	x := linear{h.own[0], h.own[1]}.apply(h.at(e, at, pass)).Reshape(n, w, labels, 2*size).Transpose(1, 2)
	cos, sin := rotation(g.width, int(size))
	q, k := x.Narrow(-1, 0, size), x.Narrow(-1, size, size)
	c, s := torch.FromFloat32(cos, w, size).ToDevice(e.m.device), torch.FromFloat32(sin, w, size).ToDevice(e.m.device)
	g.scores = rotate(q, c, s).MatMul(rotate(k, c, s).T()).MulScalar(1 / math.Sqrt(float64(size)))
	return g
}

// rotation gives the cosines and sines of rotary embeddings [width, size], equal
// for the two values of a pair.
func rotation(width, size int) (cos, sin []float32) {
	cos, sin = make([]float32, width*size), make([]float32, width*size)
	for i := range width {
		for j := range size {
			angle := float64(i) * math.Pow(10000, -2*float64(j/2)/float64(size))
			cos[i*size+j], sin[i*size+j] = float32(math.Cos(angle)), float32(math.Sin(angle))
		}
	}
	return cos, sin
}

// rotate turns pairs of neighbouring values of x [B, K, W, size].
func rotate(x, cos, sin *torch.Tensor) *torch.Tensor {
	shape := x.Shape()
	pairs := x.Reshape(shape[0], shape[1], shape[2], shape[3]/2, 2)
	turned := torch.Stack([]*torch.Tensor{pairs.Select(-1, 1).Neg(), pairs.Select(-1, 0)}, -1).Reshape(shape...)
	return x.Mul(cos).Add(turned.Mul(sin))
}

// logitsOf gives the scores [B, K, W, W] of all rows; W is 0 where none has words.
func (t pointer) logitsOf(h *Head, e *encoded, pass *Pass) *torch.Tensor {
	g := t.grid(h, e, allRows(e.in), pass)
	if g.width == 0 {
		return torch.Zeros(torch.Float32, e.m.device, int64(len(e.in.Rows)), int64(len(h.Outputs)), 0, 0)
	}
	return g.scores
}

func (t pointer) loss(h *Head, e *encoded, index int, norm float64, pass *Pass) (*torch.Tensor, error) {
	rows, targets := labelled(e.in, index)
	if len(rows) == 0 {
		return nil, nil
	}
	g := t.grid(h, e, rows, pass)
	if g.width == 0 {
		return nil, nil
	}
	pass.probe("heads."+h.Spec.Name, g.scores)
	n, w, labels := int64(len(rows)), int64(g.width), int64(len(h.Outputs))
	gold := make([]bool, n*labels*w*w)
	rest := make([]bool, len(gold)) // of what is to have a score below 0, what is not
	for i := range rows {
		for k := range int(labels) {
			cells := (i*int(labels) + k) * g.width * g.width
			copy(rest[cells:], g.none[i*g.width*g.width:(i+1)*g.width*g.width])
		}
		for _, s := range targets[i].Spans {
			if s.Class < 0 || int64(s.Class) >= labels {
				return nil, fmt.Errorf("head %s: row %q has a span of label %d of %d", h.Spec.Name, e.in.Rows[rows[i]].ID, s.Class, labels)
			}
			from, to := slices.Index(g.words[i], s.From), slices.Index(g.words[i], s.To)
			if from < 0 || to < from {
				continue // cut by the length limit
			}
			cell := (int64(i)*labels+int64(s.Class))*w*w + int64(from)*w + int64(to)
			gold[cell], rest[cell] = true, true
		}
	}
	no := make([]bool, len(gold))
	for i, is := range gold {
		no[i] = !is
	}
	mask := func(m []bool) *torch.Tensor { return torch.FromBool(m, n*labels, w*w).ToDevice(e.m.device) }
	z := g.scores.Reshape(n*labels, w*w)
	zero := torch.Zeros(torch.Float32, e.m.device, n*labels, 1)
	side := func(x *torch.Tensor) *torch.Tensor {
		return torch.Cat([]*torch.Tensor{x, zero}, 1).LogSumExp(-1, false).Sum()
	}
	total := side(z.MaskedFill(mask(rest), maskedOut)).Add(side(z.Neg().MaskedFill(mask(no), maskedOut)))
	return total.MulScalar(1 / (norm * float64(labels))), nil
}

// predict gives the spans with a score above 0, best first, at most as many as a
// row has words: an untrained head likes half of all stretches.
func (t pointer) predict(h *Head, e *encoded, _ int, pass *Pass) ([]recipe.Output, error) {
	out := make([]recipe.Output, len(e.in.Rows))
	g := t.grid(h, e, allRows(e.in), pass)
	if g.width == 0 {
		return out, nil
	}
	z, labels, w := g.scores.ToDType(torch.Float32).Float32s(), len(h.Outputs), g.width
	for i := range out {
		var found []recipe.ScoredStretch
		for k := range labels {
			cells := z[(i*labels+k)*w*w:][:w*w]
			for from := range g.words[i] {
				for to := from; to < len(g.words[i]); to++ {
					if v := cells[from*w+to]; v > 0 {
						found = append(found, recipe.ScoredStretch{Stretch: recipe.Stretch{From: g.words[i][from], To: g.words[i][to], Class: int32(k)}, Score: v})
					}
				}
			}
		}
		slices.SortStableFunc(found, func(a, b recipe.ScoredStretch) int { return cmp.Compare(b.Score, a.Score) })
		out[i].Spans = slices.Clone(found[:min(len(found), len(g.words[i]))])
		for j := range out[i].Spans {
			v := &out[i].Spans[j]
			v.Score = float32(1 / (1 + math.Exp(-float64(v.Score))))
		}
	}
	return out, nil
}
