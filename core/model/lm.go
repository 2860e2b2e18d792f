//go:build torch

package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// lm turns a vector into the scores of all tokens. BERT transforms it first:
// dense, activation, LayerNorm.
type lm struct {
	transform struct {
		dense linear // weight nil = no transform
		norm  layerNorm
	}
	act     func(*torch.Tensor) *torch.Tensor
	decoder linear // its weight is the encoder's word embeddings when they are tied
}

// isLM reports whether a head has the weights of a language model.
func isLM(spec sdk.HeadSpec) bool {
	return spec.Kind == sdk.KindMLM || spec.Kind == sdk.KindCLM || spec.Kind == sdk.KindGenerate || spec.Kind == sdk.KindPattern
}

// scores gives the logits [N, V] of vectors [N, H].
func (l *lm) scores(x *torch.Tensor) *torch.Tensor {
	if l.transform.dense.weight != nil {
		x = l.transform.norm.apply(l.act(l.transform.dense.apply(x)).ToDType(torch.Float32))
	}
	return l.decoder.apply(x)
}

// lm builds the language-model head of the architecture.
func (l *loader) lm(spec sdk.HeadSpec, find func(name string) *hf.Weight) (*lm, error) {
	out := &lm{}
	own := map[string]*Param{}
	for _, t := range l.cfg.LMHead() {
		name := spec.Name + "." + t.Name
		from := find(name)
		if stem, ok := strings.CutSuffix(name, ".bias"); ok && hf.DecoderBias(t.Name) && !l.cfg.TieWords {
			// A decoder of its own adds its own bias in transformers.
			if x := find(stem + ".decoder.bias"); x != nil {
				from = x
			}
		}
		own[t.Name] = l.param(hf.Tensor{Name: name, Shape: t.Shape}, spec.Name, from)
		own[t.Name].based = from != nil && slices.Contains(l.weights.Files, from.File)
	}
	for name, p := range own {
		switch {
		case strings.HasSuffix(name, "dense.weight"), strings.HasSuffix(name, "transform.weight"):
			out.transform.dense.weight = p
		case strings.HasSuffix(name, "dense.bias"), strings.HasSuffix(name, "transform.bias"):
			out.transform.dense.bias = p
		case strings.HasSuffix(name, "LayerNorm.weight"), strings.HasSuffix(name, "layer_norm.weight"):
			out.transform.norm.weight = p
		case strings.HasSuffix(name, "LayerNorm.bias"), strings.HasSuffix(name, "layer_norm.bias"):
			out.transform.norm.bias = p
		case strings.HasSuffix(name, ".weight"):
			out.decoder.weight = p
		default:
			out.decoder.bias = p
		}
	}
	out.transform.norm.eps = l.cfg.LayerNormEps
	if l.cfg.TieWords {
		out.decoder.weight = l.m.Encoder.Tie()
	}
	if l.cfg.ModelType == "roberta" || l.cfg.ModelType == "xlm-roberta" {
		out.act = (*torch.Tensor).Gelu // whatever the encoder has
		return out, nil
	}
	var err error
	out.act, err = activation(l.cfg.Act)
	return out, err
}

// lmScores gives the head's logits [N, V] at flat positions row*T+index.
func (h *Head) lmScores(e *encoded, at []int64, pass *Pass) (z *torch.Tensor) {
	flat := e.hidden.Reshape(int64(len(e.in.Rows)*e.in.Width), int64(e.m.Encoder.Hidden()))
	x := flat.IndexSelect(0, torch.FromInt64(at, int64(len(at))).ToDevice(e.m.device))
	torch.Autocast(e.m.device, pass.BF16, func() { z = h.lm.scores(x) })
	return z.ToDType(torch.Float32)
}

// lmTargets lists where the batch has target tokens: flat positions, the tokens,
// and how many each row has.
func (h *Head) lmTargets(e *encoded, index int) (at, tokens []int64, each []int, err error) {
	each = make([]int, len(e.in.Rows))
	for i, r := range e.in.Rows {
		if index >= len(r.Targets) || !r.Targets[index].Has {
			continue
		}
		t := r.Targets[index].Tokens
		if len(t) > len(r.IDs) {
			return nil, nil, nil, fmt.Errorf("head %s: row %q has %d target tokens for %d ids", h.Spec.Name, r.ID, len(t), len(r.IDs))
		}
		for j, id := range t {
			if id < 0 {
				continue
			}
			if int(id) >= e.m.Config.VocabSize {
				return nil, nil, nil, fmt.Errorf("head %s: row %q has the target token %d, the model has %d", h.Spec.Name, r.ID, id, e.m.Config.VocabSize)
			}
			at = append(at, int64(i*e.in.Width+j))
			tokens = append(tokens, int64(id))
			each[i]++
		}
	}
	return at, tokens, each, nil
}

func (h *Head) lmLoss(e *encoded, index int, norm float64, pass *Pass) (*torch.Tensor, error) {
	at, tokens, _, err := h.lmTargets(e, index)
	if err != nil || len(at) == 0 {
		return nil, err
	}
	z := h.lmScores(e, at, pass)
	pass.probe("heads."+h.Spec.Name, z)
	return torch.CrossEntropy(z, torch.FromInt64(tokens, int64(len(tokens))).ToDevice(e.m.device), nil, -1, torch.Sum).MulScalar(1 / norm), nil
}

// mostLogits bounds the logits that an evaluation holds at once.
const mostLogits = 1 << 24

// predictLM sums up how well the head knows each row's target tokens.
func (h *Head) predictLM(e *encoded, index int, pass *Pass, out []recipe.Output) error {
	at, tokens, each, err := h.lmTargets(e, index)
	if err != nil {
		return err
	}
	losses := make([]float32, 0, len(at))
	for n := max(1, mostLogits/e.m.Config.VocabSize); len(at) > 0; at, tokens = at[n:], tokens[n:] {
		n = min(n, len(at))
		scope := torch.Open()
		picked := h.lmScores(e, at[:n], pass).LogSoftmax(-1).Gather(1, torch.FromInt64(tokens[:n], int64(n), 1).ToDevice(e.m.device))
		losses = append(losses, picked.Float32s()...)
		scope.Close()
	}
	for i, n := range each {
		for _, v := range losses[:n] {
			out[i].LogLoss -= float64(v)
		}
		out[i].Tokens, losses = n, losses[n:]
	}
	return nil
}

// Candidate is a token that a language model thinks of.
type Candidate struct {
	ID int32
	P  float32 // probability among all tokens
}

// Candidates gives the k most probable tokens at positions of rows, best first:
// at lists for each row of the batch indices in its IDs, and the answer has the
// same shape. head must be a language model. Call it inside torch.NoGrad.
func (m *Model) Candidates(in *Input, head int, at [][]int, k int) ([][][]Candidate, error) {
	h := m.Heads[head]
	if h.lm == nil {
		return nil, fmt.Errorf("head %s is no language model", h.Spec.Name)
	}
	if len(at) > len(in.Rows) {
		return nil, fmt.Errorf("head %s: positions for %d rows in a batch of %d", h.Spec.Name, len(at), len(in.Rows))
	}
	var flat []int64
	for i, places := range at {
		for _, p := range places {
			if p < 0 || p >= in.lengths[i] {
				return nil, fmt.Errorf("head %s: row %q has no position %d", h.Spec.Name, in.Rows[i].ID, p)
			}
			flat = append(flat, int64(i*in.Width+p))
		}
	}
	k = min(k, m.Config.VocabSize)
	var found []Candidate
	if len(flat) > 0 && k > 0 {
		pass := &Pass{}
		e := m.encode(in, pass)
		for part := range slices.Chunk(flat, max(1, mostLogits/m.Config.VocabSize)) {
			scope := torch.Open()
			p, ids := h.lmScores(e, part, pass).Softmax(-1).TopK(int64(k), -1)
			probs := p.Float32s()
			for i, id := range ids.Int64s() {
				found = append(found, Candidate{int32(id), probs[i]})
			}
			scope.Close()
		}
	}
	out := make([][][]Candidate, len(at))
	for i, places := range at {
		out[i] = make([][]Candidate, len(places))
		for j := range places {
			if k > 0 {
				out[i][j], found = found[:k:k], found[k:]
			}
		}
	}
	return out, nil
}
