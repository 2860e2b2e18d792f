//go:build torch

package model

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// knowledge holds the weights that injected knowledge adds to an encoder. Those
// that write into the encoder's stream begin with zeros, so that the first
// step computes what the plain model does (facts as text have no weights and
// change the input instead).
type knowledge struct {
	plan      recipe.KnowledgePlan
	injection *recipe.Injection
	marks     *Param          // [Marks, H], the gazetteer's; nil = none
	features  *Param          // [Features, H]; nil = none
	fusions   map[int]*fusion // by layer
}

// knowledgePrefix begins the names of these weights.
const knowledgePrefix = "knowledge."

// fusion adds what an entity's vector says to the hidden states of its mention:
//
//	u = gelu(W_h h + b_h + W_e e)
//	h' = h + sigmoid(w_g u + b_g) · (W_o u + b_o)
//
// The joint layer u is ERNIE's information fusion (Zhang et al. 2019, eq. 5);
// adding it to a stream that stays whole is K-Adapter's (Wang et al. 2021).
type fusion struct {
	hidden linear // [M, H], [M]
	vector *Param // [M, Dim]
	gate   linear // [1, M], [1]
	out    linear // [H, M], [H], zero at first
}

// apply fuses at the linked pieces of in: x [B, T, H].
func (f *fusion) apply(x *torch.Tensor, in *Input) *torch.Tensor {
	shape := x.Shape()
	flat := x.Reshape(-1, shape[2])
	u := f.hidden.apply(flat.IndexSelect(0, in.linked)).Add(torch.Linear(in.vectors, f.vector.Value, nil)).Gelu()
	add := f.gate.apply(u).Sigmoid().Mul(f.out.apply(u)).ToDType(torch.Float32)
	return flat.IndexAdd(0, in.linked, add).View(shape...)
}

// embedded adds the embeddings of marks and features to x [B, T, H].
func (k *knowledge) embedded(x *torch.Tensor, in *Input) *torch.Tensor {
	if k == nil {
		return x
	}
	// Row 0 stands for nothing: it is zero and never trained.
	rows := func(p *Param) *torch.Tensor {
		return torch.Cat([]*torch.Tensor{torch.Zeros(torch.Float32, x.Device(), 1, p.Value.Size(1)), p.Value}, 0)
	}
	if in.marks != nil {
		x = x.Add(torch.Embedding(rows(k.marks), in.marks))
	}
	if in.features != nil {
		x = x.Add(torch.Embedding(rows(k.features), in.features).Sum(2))
	}
	return x
}

func (k *knowledge) fusion(layer int) *fusion {
	if k == nil {
		return nil
	}
	return k.fusions[layer]
}

// requires lists what transformers would compute without, for config.json.
func (k *knowledge) requires() (out []string) {
	if k == nil {
		return nil
	}
	for _, way := range recipe.InjectWays() {
		if k.plan.Has(way) {
			out = append(out, "knowledge-"+way)
		}
	}
	return out
}

// fusionLayers resolves knowledge.entity_layers: none is the upper half.
func fusionLayers(plan *recipe.KnowledgePlan, layers int) ([]int, error) {
	var out []int
	for _, v := range plan.EntityLayers {
		if v < 0 || int(v) >= layers {
			return nil, fmt.Errorf("knowledge.entity_layers: %g, but the model's layers are 0-%d", v, layers-1)
		}
		out = append(out, int(v))
	}
	if len(out) == 0 {
		for i := layers / 2; i < layers; i++ {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// knowledge builds the weights that opt asks for from the folder's, else new.
func (l *loader) knowledge() error {
	in, plan := l.opt.Injection, l.opt.Knowledge
	if in == nil || plan == nil {
		return nil
	}
	k := &knowledge{plan: *plan, injection: in, fusions: map[int]*fusion{}}
	h := int64(l.cfg.HiddenSize)
	if in.Marks > 0 {
		k.marks = l.extra("gazetteer.weight", true, int64(in.Marks), h)
	}
	if in.Features > 0 {
		k.features = l.extra("features.weight", true, int64(in.Features), h)
	}
	if in.Dim > 0 {
		layers, err := fusionLayers(plan, l.cfg.Layers)
		if err != nil {
			return err
		}
		m := int64(plan.EntitySize)
		if m == 0 {
			m = max(1, h/2)
		}
		for _, i := range layers {
			at := fmt.Sprintf("entity.%d.", i)
			k.fusions[i] = &fusion{
				hidden: linear{l.extra(at+"hidden.weight", false, m, h), l.extra(at+"hidden.bias", true, m)},
				vector: l.extra(at+"vector.weight", false, m, int64(in.Dim)),
				gate:   linear{l.extra(at+"gate.weight", false, 1, m), l.extra(at+"gate.bias", true, 1)},
				out:    linear{l.extra(at+"out.weight", true, h, m), l.extra(at+"out.bias", true, h)},
			}
		}
	}
	l.m.knowledge = k
	if !plan.Inside() {
		return nil
	}
	b, ok := l.m.Encoder.(*Bert)
	if !ok || l.cfg.ModelType == "albert" {
		return fmt.Errorf("knowledge.inject: a model of type %s takes no knowledge inside, only before the text (prompt); %s do", l.cfg.ModelType, "bert, roberta, xlm-roberta and distilbert")
	}
	b.knowledge = k
	return nil
}

// extra is one weight of the knowledge: from islm/knowledge.safetensors, else
// new, zero or normal(0, initializer_range).
func (l *loader) extra(name string, zero bool, shape ...int64) *Param {
	t := hf.Tensor{Name: knowledgePrefix + name, Shape: shape}
	if l.injected != nil {
		if e, ok := l.injected.Entry(t.Name); ok {
			from := hf.WeightOf(l.cfg.ModelType, filepath.Join(l.dir, hf.Own, hf.KnowledgeWeightsFile), e)
			return l.param(t, "", &from)
		}
	}
	if l.opt.Trained {
		l.diags.Add(sdk.Diagnostic{
			Code: "model.knowledge", File: filepath.Join(l.dir, hf.Own, hf.KnowledgeWeightsFile), Summary: fmt.Sprintf("the knowledge weight %s is missing", t.Name),
			Remedy: "the model's folder is not complete, or its islm/plan.yaml was changed: fetch or train it again",
		})
		zero = true
	}
	p := l.param(t, "", nil)
	if zero {
		torch.NoGrad(func() { p.Value.FillInPlace(0) })
	}
	return p
}

// Knowledge reports whether the weight belongs to injected knowledge.
func (p *Param) Knowledge() bool { return strings.HasPrefix(p.Name, knowledgePrefix) }

// inject fills what knowledge adds to a padded batch.
func (in *Input) inject(m *Model) error {
	some := func(has func(*recipe.Injected) bool) bool {
		return slices.ContainsFunc(in.Rows, func(r *recipe.Encoded) bool { return r.Inject != nil && has(r.Inject) })
	}
	n, w := int64(len(in.Rows)), int64(in.Width)
	k := m.knowledge
	if k != nil && k.marks != nil && some(func(i *recipe.Injected) bool { return i.Marks != nil }) {
		ids, err := in.numbers(1, k.injection.Marks, "mark", func(i *recipe.Injected) []int32 { return i.Marks })
		if err != nil {
			return err
		}
		in.marks = torch.FromInt64(ids, n, w).ToDevice(m.device)
	}
	if k != nil && k.features != nil && some(func(i *recipe.Injected) bool { return i.Features != nil }) {
		ids, err := in.numbers(k.injection.Slots, k.injection.Features, "feature", func(i *recipe.Injected) []int32 { return i.Features })
		if err != nil {
			return err
		}
		in.features = torch.FromInt64(ids, n, w, int64(k.injection.Slots)).ToDevice(m.device)
	}
	if k != nil && len(k.fusions) > 0 && some(func(i *recipe.Injected) bool { return len(i.Mentions) > 0 }) {
		in.link(m)
	}
	return nil
}

// numbers pads ids in 1…limit, slots for each piece, 0 elsewhere.
func (in *Input) numbers(slots, limit int, what string, of func(*recipe.Injected) []int32) ([]int64, error) {
	ids := make([]int64, len(in.Rows)*in.Width*slots)
	for i, r := range in.Rows {
		if r.Inject == nil {
			continue
		}
		values := of(r.Inject)
		if len(values) > in.Width*slots {
			return nil, fmt.Errorf("encode row %q: %d %ss for %d ids", r.ID, len(values), what, len(r.IDs))
		}
		at := ids[i*in.Width*slots:]
		for j, v := range values {
			if v < 0 || int(v) > limit {
				return nil, fmt.Errorf("encode row %q: %s %d, the model has %d", r.ID, what, v, limit)
			}
			at[j] = int64(v)
		}
	}
	return ids, nil
}

// link gathers the pieces of mentions whose entity has a vector, which comes
// scaled to elements of mean square one.
func (in *Input) link(m *Model) {
	dim := m.knowledge.injection.Dim
	var at []int64
	var vectors []float32
	for i, r := range in.Rows {
		if r.Inject == nil {
			continue
		}
		for _, mention := range r.Inject.Mentions {
			if mention.Entity < 0 {
				continue // taken away
			}
			v := m.knowledge.injection.Vector(mention.Entity)
			if len(v) != dim {
				continue
			}
			scale := unit(v)
			for p := mention.From; p < mention.To && int(p) < len(r.IDs); p++ {
				at = append(at, int64(i*in.Width)+int64(p))
				for _, x := range v {
					vectors = append(vectors, x*scale)
				}
			}
		}
	}
	if len(at) == 0 {
		return
	}
	in.linked = torch.FromInt64(at, int64(len(at))).ToDevice(m.device)
	in.vectors = torch.FromFloat32(vectors, int64(len(at)), int64(dim)).ToDevice(m.device)
}

func unit(v []float32) float32 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if sum == 0 {
		return 0
	}
	return float32(math.Sqrt(float64(len(v)) / sum))
}

// facts lays out the pieces of injected facts after those of their row: ids,
// token types of their mention, soft positions that go on from the mention's
// last piece, and who sees whom (K-BERT, section 3.3): pieces of the text see
// each other; pieces of a fact see each other and the mention's, and only the
// mention's see them. bias is [B, T, T].
func (in *Input) facts(ids, types []int64, last int) (positions []int64, bias []float32) {
	w := in.Width
	positions = make([]int64, len(in.Rows)*w)
	bias = make([]float32, len(in.Rows)*w*w)
	for i, r := range in.Rows {
		n := len(r.IDs)
		place, sees := positions[i*w:(i+1)*w], bias[i*w*w:(i+1)*w*w]
		for q := range w {
			place[q] = int64(min(q, last))
			line := sees[q*w : (q+1)*w]
			for j := n; j < w; j++ {
				line[j] = maskedOut
			}
			if q >= n && q < r.Width() {
				for j := range n {
					line[j] = maskedOut
				}
			}
		}
		if r.Inject == nil {
			continue
		}
		at := n
		for _, f := range r.Inject.Facts {
			mention := r.Inject.Mentions[f.Mention]
			from, to := at, at+int(f.Length)
			for p := from; p < to; p++ {
				ids[i*w+p] = int64(r.Inject.Pieces[p-n])
				if types != nil {
					types[i*w+p] = types[i*w+int(mention.From)]
				}
				place[p] = int64(min(int(mention.To)+p-from, last))
				for j := from; j < to; j++ {
					sees[p*w+j] = 0
				}
				for j := mention.From; j < mention.To; j++ {
					sees[p*w+int(j)], sees[int(j)*w+p] = 0, 0
				}
			}
			at = to
		}
	}
	return positions, bias
}
