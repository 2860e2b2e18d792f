//go:build torch

package model

import (
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// Head is the module of one sdk.HeadSpec: pooling, dropout, one linear layer
// and what its loss needs, or a language model's scores of tokens.
type Head struct {
	Spec    sdk.HeadSpec
	Outputs []string // names of the classes, labels or tags
	dense   linear   // RoBERTa's or DistilBERT's layer before out; weight nil = none
	relu    bool     // DistilBERT's: ReLU after dense, and no dropout before it
	out     linear
	crf     *crf     // nil unless Spec.CRF
	lm      *lm      // nil unless the head is a language model
	task    task     // nil: classify, multilabel, pair, tag
	own     []*Param // the task's own weights, in its order
	dropout float64
	place   uint64 // of its dropout
	weights []float64
}

// checkSpec says what is wrong with a head's declaration.
func checkSpec(spec sdk.HeadSpec) (diags sdk.Diagnostics) {
	bad := func(field, format string, args ...any) {
		diags.Add(sdk.Diagnostic{
			Code: "head.spec", Path: "heads." + spec.Name + "." + field,
			Summary: fmt.Sprintf("head %q: ", spec.Name) + fmt.Sprintf(format, args...),
		})
	}
	outputs := recipe.Outputs(spec)
	switch spec.Kind {
	case sdk.KindClassify, sdk.KindPair:
		if len(outputs) < 2 {
			bad("labels", "%d labels; a classifier needs at least two", len(outputs))
		}
		switch spec.Loss {
		case "", "ce":
		case "bce":
			if len(outputs) != 2 {
				bad("loss", "loss bce takes two labels, not %d; use ce, or kind multilabel.v0", len(outputs))
			}
		default:
			bad("loss", "unknown loss %q (ce, bce)", spec.Loss)
		}
	case sdk.KindMultilabel:
		if len(outputs) < 1 {
			bad("labels", "no labels")
		}
		if spec.Loss != "" && spec.Loss != "bce" {
			bad("loss", "loss %q; a multi-label head has bce", spec.Loss)
		}
	case sdk.KindTag:
		if len(outputs) < 2 {
			bad("labels", "%d tags; a tag head needs at least two", len(outputs))
		}
		if spec.Loss != "" && spec.Loss != "ce" {
			bad("loss", "loss %q; a tag head has ce, or a crf", spec.Loss)
		}
		if spec.CRF && len(spec.ClassWeights) > 0 {
			bad("class_weights", "class weights have no meaning with a crf")
		}
	case sdk.KindMLM, sdk.KindCLM, sdk.KindGenerate:
		if s := spec.Options[sdk.OptionSeparator]; !slices.Contains([]string{"", sdk.SeparatorLine, sdk.SeparatorSpace, sdk.SeparatorNone}, s) {
			bad("options."+sdk.OptionSeparator, "unknown separator %q (line, space, none)", s)
		}
		if spec.Loss != "" && spec.Loss != "ce" {
			bad("loss", "loss %q; a language model has ce", spec.Loss)
		}
		if spec.Pooling != "" {
			bad("pooling", "pooling has no meaning in a language model")
		}
	default:
		if t := taskOf(spec.Kind); t != nil {
			t.check(spec, bad)
			break
		}
		bad("kind", "this version cannot train heads of kind %q", spec.Kind)
	}
	if n := len(spec.ClassWeights); n > 0 && n != len(outputs) {
		bad("class_weights", "%d class weights for %d outputs", n, len(outputs))
	}
	for _, w := range spec.ClassWeights {
		if !(w > 0) {
			bad("class_weights", "class weight %g is not positive", w)
		}
	}
	if !slices.Contains([]string{"", "cls", "mean", "max", sdk.PoolingUnitMean}, spec.Pooling) {
		bad("pooling", "unknown pooling %q (cls, mean, max, unit-mean)", spec.Pooling)
	}
	if d := spec.Dropout; d != nil && (*d < 0 || *d >= 1) {
		bad("dropout", "dropout %g is not in [0, 1)", *d)
	}
	if spec.Weight < 0 {
		bad("weight", "weight %g is negative", spec.Weight)
	}
	return diags
}

// usesPooler reports whether a head reads the pooler's vector, as transformers'
// BertForSequenceClassification does.
func usesPooler(cfg *hf.Config, spec sdk.HeadSpec) bool {
	return pools(spec) && spec.Pooling == "" && !cfg.OwnHeads() && !cfg.Causal()
}

// pools reports whether a head reads one vector of each text.
func pools(spec sdk.HeadSpec) bool {
	if t := taskOf(spec.Kind); t != nil {
		return t.pooled(spec)
	}
	return !readsTokens(spec)
}

// readsTokens reports whether a head reads the vectors of positions of its own
// choice, not one vector of the row.
func readsTokens(spec sdk.HeadSpec) bool { return spec.Kind == sdk.KindTag || isLM(spec) }

// readsFirst reports whether a head reads the first position's vector only.
func readsFirst(cfg *hf.Config, spec sdk.HeadSpec) bool {
	return !cfg.Causal() && pools(spec) && (spec.Pooling == "" || spec.Pooling == "cls")
}

// logits is the number of values that the linear layer gives.
func logits(spec sdk.HeadSpec) int64 {
	if t := taskOf(spec.Kind); t != nil {
		return t.logits(spec)
	}
	if oneLogit(spec) {
		return 1
	}
	return int64(len(recipe.Outputs(spec)))
}

// oneLogit: two classes told apart by one value, the second class being "yes".
func oneLogit(spec sdk.HeadSpec) bool { return spec.Loss == "bce" && spec.Kind != sdk.KindMultilabel }

// headPlace spreads the heads' dropout streams by name.
func headPlace(name string) uint64 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return placeHeads + uint64(h.Sum32())
}

// encoded is what heads read: the hidden states, and the pooler's vector, made
// when the first head asks.
type encoded struct {
	m      *Model
	in     *Input
	hidden *torch.Tensor // float32 [B, T, H], or [B, 1, H] when all heads read the first position
	first  *torch.Tensor // float32 [B, H]: the first position, that of a prompt if there is one, as in peft
	pooled *torch.Tensor
}

// encode runs the encoder, in bf16 if asked; heads always compute in fp32.
func (m *Model) encode(in *Input, pass *Pass) *encoded {
	e := &encoded{m: m, in: in}
	encoding := *pass
	encoding.First = pass.States == nil && len(m.Heads) > 0 && !slices.ContainsFunc(m.Heads, func(h *Head) bool { return !readsFirst(m.Config, h.Spec) })
	torch.Autocast(m.device, pass.BF16, func() { e.hidden = m.Encoder.Encode(in, &encoding) })
	e.hidden = e.hidden.ToDType(torch.Float32)
	e.first = e.hidden.Select(1, 0)
	if n := int64(m.tuning.prompts()); n > 0 && !encoding.First && in.places == nil {
		e.hidden = e.hidden.Narrow(1, n, e.hidden.Size(1)-n)
	}
	return e
}

// pool gives one vector per row [B, H].
func (e *encoded) pool(kind string) *torch.Tensor {
	switch kind {
	case "cls":
		return e.first
	case "mean", "max", sdk.PoolingUnitMean:
		n := int64(len(e.in.Rows))
		inverse := make([]float32, n)
		for i, k := range e.in.prompts {
			inverse[i] = 1 / float32(k)
		}
		padding := e.beyond().Unsqueeze(-1)
		if kind == "max" {
			top, _ := e.hidden.MaskedFill(padding, maskedOut).Max(1)
			return top
		}
		mean := e.hidden.MaskedFill(padding, 0).Sum(1).Mul(torch.FromFloat32(inverse, n, 1).ToDevice(e.m.device))
		if kind == sdk.PoolingUnitMean {
			return mean.Normalize(-1)
		}
		return mean
	}
	switch {
	case e.m.Config.Causal():
		// The last position has seen the whole row.
		last := make([]int64, len(e.in.Rows))
		for i, k := range e.in.prompts {
			last[i] = int64(i*e.in.Width + k - 1)
		}
		flat := e.hidden.Reshape(int64(len(last)*e.in.Width), int64(e.m.Encoder.Hidden()))
		return flat.IndexSelect(0, torch.FromInt64(last, int64(len(last))).ToDevice(e.m.device))
	case e.m.Config.OwnHeads():
		return e.hidden.Select(1, 0)
	}
	if e.pooled == nil {
		e.pooled = e.m.pooler.apply(e.first).Tanh()
	}
	return e.pooled
}

// beyond is true where an id is padding, a piece of a fact, or written after the prompt: bool [B, T].
func (e *encoded) beyond() *torch.Tensor {
	n, t := int64(len(e.in.Rows)), int64(e.in.Width)
	out := make([]bool, n*t)
	for i, k := range e.in.prompts {
		for j := range t {
			out[int64(i)*t+j] = j >= int64(k)
		}
	}
	return torch.FromBool(out, n, t).ToDevice(e.m.device)
}

// scores gives a head's logits for some rows [N, K].
func (h *Head) scores(e *encoded, rows []int64, pass *Pass) *torch.Tensor {
	x := e.pool(h.Spec.Pooling)
	if !h.relu {
		x = h.drop(x, e.in, pass)
	}
	if len(rows) < len(e.in.Rows) {
		x = x.IndexSelect(0, torch.FromInt64(rows, int64(len(rows))).ToDevice(e.m.device))
	}
	if h.dense.weight != nil {
		if x = h.dense.apply(x); h.relu {
			x = x.Relu()
		} else {
			x = x.Tanh()
		}
		if pass.Train && h.dropout > 0 {
			mask := pass.mask(h.place+placeSecond, e.in)
			if mask.Rows = e.in.Keys; len(rows) < len(e.in.Rows) {
				mask.Rows = mask.Rows.IndexSelect(0, torch.FromInt64(rows, int64(len(rows))))
			}
			x = torch.Dropout(x, h.dropout, mask)
		}
	}
	return h.out.apply(x)
}

// tokenScores gives a tag head's logits [N, K] at flat positions row*T+index.
func (h *Head) tokenScores(e *encoded, at []int64, pass *Pass) *torch.Tensor {
	return h.out.apply(h.at(e, at, pass))
}

func (h *Head) drop(x *torch.Tensor, in *Input, pass *Pass) *torch.Tensor {
	if !pass.Train || h.dropout == 0 {
		return x
	}
	return torch.Dropout(x, h.dropout, pass.mask(h.place, in))
}

// labelCount is how much the labels of rows weigh in this head's loss: their
// number, or the sum of their class weights.
func (h *Head) labelCount(rows []*recipe.Encoded, index int) float64 {
	total := 0.0
	for _, r := range rows {
		for share, t := range answers(r, index) {
			total += share * h.labelWeight(r, t)
		}
	}
	return total
}

func (h *Head) labelWeight(r *recipe.Encoded, t *recipe.Target) (total float64) {
	if h.task != nil {
		return h.task.weigh(h, r, t)
	}
	switch h.Spec.Kind {
	case sdk.KindMultilabel:
		for k := range t.Classes {
			total += h.weight(k)
		}
	case sdk.KindTag:
		for w, tag := range t.Tags {
			if tag >= 0 && w < len(r.Starts) && r.Starts[w] >= 0 {
				total += h.weight(int(tag))
			}
		}
	case sdk.KindMLM, sdk.KindCLM, sdk.KindGenerate:
		for _, id := range t.Tokens {
			if id >= 0 {
				total++
			}
		}
	default:
		return h.weight(int(t.Class))
	}
	return total
}

func (h *Head) weight(class int) float64 {
	if class >= 0 && class < len(h.weights) {
		return h.weights[class]
	}
	return 1
}

// loss is the sum of the losses of the batch's labels divided by norm; nil when
// the batch has no label for the head.
func (h *Head) loss(e *encoded, index int, norm float64, pass *Pass) (*torch.Tensor, error) {
	switch {
	case h.task != nil:
		return h.task.loss(h, e, index, norm, pass)
	case h.Spec.Kind == sdk.KindTag:
		return h.tagLoss(e, index, norm, pass)
	case h.lm != nil:
		return h.lmLoss(e, index, norm, pass)
	}
	var rows, at, classes []int64
	var truth, scale []float32
	for i, r := range e.in.Rows {
		some := false
		for share, t := range answers(r, index) {
			some = true
			at = append(at, int64(len(rows)))
			if h.Spec.Kind == sdk.KindMultilabel {
				if len(t.Classes) != len(h.Outputs) {
					return nil, fmt.Errorf("head %s: row %q has %d label marks for %d labels", h.Spec.Name, r.ID, len(t.Classes), len(h.Outputs))
				}
				for k, on := range t.Classes {
					truth = append(truth, number(on))
					scale = append(scale, float32(share*h.weight(k)/norm))
				}
				continue
			}
			if t.Class < 0 || int(t.Class) >= len(h.Outputs) {
				return nil, fmt.Errorf("head %s: row %q has class %d of %d", h.Spec.Name, r.ID, t.Class, len(h.Outputs))
			}
			classes = append(classes, int64(t.Class))
			truth = append(truth, float32(t.Class))
			scale = append(scale, float32(share*h.weight(int(t.Class))/norm))
		}
		if some {
			rows = append(rows, int64(i))
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	z := h.scores(e, rows, pass)
	pass.probe("heads."+h.Spec.Name, z)
	if len(at) > len(rows) { // mixed rows have two answers
		z = z.IndexSelect(0, torch.FromInt64(at, int64(len(at))).ToDevice(e.m.device))
	}
	if h.Spec.Kind == sdk.KindMultilabel || oneLogit(h.Spec) {
		shape := z.Shape()
		return bce(z, torch.FromFloat32(truth, shape...).ToDevice(e.m.device), torch.FromFloat32(scale, shape...).ToDevice(e.m.device)), nil
	}
	return crossEntropy(z, classes, scale, e.m.device), nil
}

func (h *Head) tagLoss(e *encoded, index int, norm float64, pass *Pass) (*torch.Tensor, error) {
	var at, tags []int64
	var scale []float32
	var lengths []int
	for i, r := range e.in.Rows {
		if index >= len(r.Targets) || !r.Targets[index].Has {
			continue
		}
		before := len(at)
		for w, tag := range r.Targets[index].Tags {
			if tag < 0 || w >= len(r.Starts) || r.Starts[w] < 0 {
				continue // no label, or cut by the length limit
			}
			if int(tag) >= len(h.Outputs) || int(r.Starts[w]) >= len(r.IDs) {
				return nil, fmt.Errorf("head %s: row %q has tag %d of %d at id %d of %d", h.Spec.Name, r.ID, tag, len(h.Outputs), r.Starts[w], len(r.IDs))
			}
			at = append(at, int64(i*e.in.Width)+int64(r.Starts[w]))
			tags = append(tags, int64(tag))
			scale = append(scale, float32(h.weight(int(tag))/norm))
		}
		if n := len(at) - before; n > 0 {
			lengths = append(lengths, n)
		}
	}
	if len(at) == 0 {
		return nil, nil
	}
	z := h.tokenScores(e, at, pass)
	pass.probe("heads."+h.Spec.Name, z)
	if h.crf != nil {
		return h.crf.loss(z, tags, lengths, e.m.device).MulScalar(1 / norm), nil
	}
	return crossEntropy(z, tags, scale, e.m.device), nil
}

// crossEntropy is Σ scale·(-log softmax(z)[class]).
func crossEntropy(z *torch.Tensor, classes []int64, scale []float32, device torch.Device) *torch.Tensor {
	n := int64(len(classes))
	picked := z.LogSoftmax(-1).Gather(1, torch.FromInt64(classes, n, 1).ToDevice(device))
	return picked.Mul(torch.FromFloat32(scale, n, 1).ToDevice(device)).Sum().Neg()
}

// bce is Σ scale·(max(z,0) - z·y + log(1+exp(-|z|))): binary cross-entropy of
// logits, in the form that cannot overflow.
func bce(z, y, scale *torch.Tensor) *torch.Tensor {
	return torch.BCEWithLogits(z, y, scale, nil, torch.Sum)
}

func number(on bool) float32 {
	if on {
		return 1
	}
	return 0
}

// predict reads the head's answer for each row of the batch.
func (h *Head) predict(e *encoded, index int, pass *Pass) ([]recipe.Output, error) {
	if h.task != nil {
		return h.task.predict(h, e, index, pass)
	}
	out := make([]recipe.Output, len(e.in.Rows))
	switch {
	case h.Spec.Kind == sdk.KindTag:
		h.predictTags(e, pass, out)
		return out, nil
	case h.lm != nil:
		return out, h.predictLM(e, index, pass, out)
	}
	rows := make([]int64, len(out))
	for i := range rows {
		rows[i] = int64(i)
	}
	z := h.scores(e, rows, pass).ToDType(torch.Float32)
	k := len(h.Outputs)
	switch {
	case oneLogit(h.Spec):
		for i, p := range z.Sigmoid().Float32s() {
			out[i].Scores = []float32{1 - p, p}
		}
	case h.Spec.Kind == sdk.KindMultilabel:
		p := z.Sigmoid().Float32s()
		for i := range out {
			out[i].Scores = slices.Clone(p[i*k : (i+1)*k])
		}
	default:
		p := z.Softmax(-1).Float32s()
		for i := range out {
			out[i].Scores = slices.Clone(p[i*k : (i+1)*k])
		}
	}
	for i := range out {
		out[i].Class = argmax(out[i].Scores)
	}
	return out, nil
}

func (h *Head) predictTags(e *encoded, pass *Pass, out []recipe.Output) {
	var at []int64
	lengths := make([]int, len(out))
	for i, r := range e.in.Rows {
		out[i].Tags = make([]int32, len(r.Starts))
		out[i].TagScores = make([]float32, len(r.Starts))
		for w, s := range r.Starts {
			out[i].Tags[w] = -1
			if s >= 0 && int(s) < len(r.IDs) {
				at = append(at, int64(i*e.in.Width)+int64(s))
				lengths[i]++
			}
		}
	}
	if len(at) == 0 {
		return
	}
	k := len(h.Outputs)
	z := h.tokenScores(e, at, pass).ToDType(torch.Float32)
	var p []float32
	if h.crf == nil {
		p = z.Softmax(-1).Float32s()
	} else {
		p = z.Float32s()
	}
	var chain *chain
	if h.crf != nil {
		chain = h.crf.chain()
	}
	for i, r := range e.in.Rows {
		n := lengths[i]
		rows := p[:n*k]
		p = p[n*k:]
		var best []int32
		var score []float32
		if chain != nil {
			best, score = chain.decode(rows)
		}
		j := 0
		for w, s := range r.Starts {
			if s < 0 || int(s) >= len(r.IDs) {
				continue
			}
			if chain != nil {
				out[i].Tags[w], out[i].TagScores[w] = best[j], score[j]
			} else {
				c := argmax(rows[j*k : (j+1)*k])
				out[i].Tags[w], out[i].TagScores[w] = c, rows[j*k+int(c)]
			}
			j++
		}
	}
}

func argmax(p []float32) int32 {
	best := 0
	for i, v := range p {
		if v > p[best] {
			best = i
		}
	}
	return int32(best)
}

// Norms adds up how much the labels of a whole optimizer step weigh, head by
// head: the divisors of Loss.
func (m *Model) Norms(batches ...[]*recipe.Encoded) []float64 {
	norms := make([]float64, len(m.Heads))
	for _, rows := range batches {
		for i, h := range m.Heads {
			norms[i] += h.labelCount(rows, i)
		}
	}
	return norms
}

// Loss is the joint loss of a batch: the sum over heads of
// weight · (sum of the losses of its labels) / norms[head]. Summed over the
// micro-batches of a step it is the loss of the step. Nil when no row has a
// label.
func (m *Model) Loss(in *Input, pass *Pass, norms []float64) (*torch.Tensor, error) {
	return m.Forward(in, pass).Loss(norms)
}

// Loss is Model.Loss.
func (f *Forward) Loss(norms []float64) (*torch.Tensor, error) {
	m, e, pass := f.e.m, f.e, f.pass
	var total *torch.Tensor
	for i, h := range m.Heads {
		if norms[i] == 0 {
			continue
		}
		loss, err := h.loss(e, i, norms[i], pass)
		if err != nil {
			return nil, err
		}
		if loss == nil {
			continue
		}
		if w := h.Spec.Weight; w != 0 && w != 1 {
			loss = loss.MulScalar(w)
		}
		pass.probe("loss of "+h.Spec.Name, loss)
		if total == nil {
			total = loss
		} else {
			total = total.Add(loss)
		}
	}
	return total, nil
}

// Predict gives what every head says about every row of the batch. Call it
// inside torch.NoGrad.
func (m *Model) Predict(in *Input, bf16 bool) ([]recipe.Prediction, error) {
	pass := &Pass{BF16: bf16}
	e := m.encode(in, pass)
	out := make([]recipe.Prediction, len(in.Rows))
	for i := range out {
		out[i].Heads = make([]recipe.Output, len(m.Heads))
	}
	for k, h := range m.Heads {
		said, err := h.predict(e, k, pass)
		if err != nil {
			return nil, err
		}
		for i, o := range said {
			out[i].Heads[k] = o
		}
	}
	return out, nil
}

// Logits gives a head's raw scores: [B, K], [B, T, K] for a tag head, [B, T, V]
// for a language model, [B, T, 2] for answers, [B, K, W, W] for spans of W words,
// [B, T, T, K] for relations of all pairs of positions, and for heads of vectors those
// of the first texts, [B, H].
func (m *Model) Logits(in *Input, head int) *torch.Tensor {
	pass := &Pass{}
	e := m.encode(in, pass)
	h := m.Heads[head]
	if h.Spec.Kind == sdk.KindTag {
		return h.out.apply(e.hidden)
	}
	if h.lm != nil {
		return h.lm.scores(e.hidden)
	}
	if t, ok := h.task.(scorer); ok {
		return t.logitsOf(h, e, pass)
	}
	return h.scores(e, allRows(in), pass)
}
