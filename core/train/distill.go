//go:build torch

package train

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// distill is the loss of a student beside its teachers:
//
//	labels · L_task + logits · T² KL(teacher ‖ student) at temperature T
//	+ hidden · MSE(W h_s, h_t) + embeddings · MSE(W e_s, e_t)
//	+ attention · MSE(q_s k_sᵀ/√d, q_t k_tᵀ/√d)
//	+ relation · Σ over Q, K, V of KL(softmax(x_t x_tᵀ/√d) ‖ softmax(x_s x_sᵀ/√d))
//
// (Hinton et al. 2015; Sun et al. 2019, patient distillation; Jiao et al. 2020,
// TinyBERT; Wang et al. 2021, MiniLMv2). Each part is a mean over the rows or
// tokens of the optimizer step, over mapped layers, and over the teachers.
type distill struct {
	plan     recipe.DistillPlan
	student  *model.Model
	teachers []*teacher
	bf16     bool
	heads    []taught // by the student's heads
	own      []*model.Param

	// Of the step at hand.
	rows   float64
	tokens float64 // ids that are no padding
	pairs  float64 // pairs of them in a row
	words  []float64
}

// taught is a head of the student that teachers have too.
type taught struct {
	spec sdk.HeadSpec
	by   []taughtBy
}

type taughtBy struct {
	*teacher
	head    int     // among the teacher's
	own     []int64 // the student's outputs that the teacher has too; nil = all
	columns []int64 // these among the teacher's
}

// teacher is one of them, loaded unless its answers lie on disk.
type teacher struct {
	recipe.Teacher
	model *model.Model
	saved *savedLogits
	layer [][2]int // mapped layers
	// Projections of the student's width to this teacher's; nil = equal widths.
	hidden, embeddings *model.Param

	live *liveTeacher // of the batch at hand
}

type liveTeacher struct {
	in      *model.Input
	rows    []*recipe.Encoded
	forward *model.Forward
	states  *model.States
}

// projectionPrefix begins the names of projections in checkpoints.
const projectionPrefix = "distill."

func newDistill(job *recipe.Job, student *model.Model, bf16 bool, observe func(recipe.Event)) (_ *distill, err error) {
	d := &distill{plan: job.Plan.Teaching(), student: student, bf16: bf16, words: make([]float64, len(student.Heads))}
	defer func(d *distill) {
		if err != nil {
			err = errors.Join(err, torch.Do(d.close))
		}
	}(d)
	for i := range job.Teachers {
		t := &teacher{Teacher: job.Teachers[i]}
		d.teachers = append(d.teachers, t)
		if err := d.open(t, job, observe); err != nil {
			return nil, fmt.Errorf("teacher %s: %w", t.Name, err)
		}
	}
	if len(d.teachers) == 0 {
		return nil, errors.New("distill: there is no teacher")
	}
	for _, h := range student.Heads {
		one := taught{spec: h.Spec}
		for _, t := range d.teachers {
			for k, spec := range t.Heads {
				if spec.Name != h.Spec.Name {
					continue
				}
				by := taughtBy{teacher: t, head: k}
				if by.own, by.columns, err = alignHead(h.Spec, spec, job.Past != nil); err != nil {
					return nil, fmt.Errorf("teacher %s: %w", t.Name, err)
				}
				one.by = append(one.by, by)
			}
		}
		d.heads = append(d.heads, one)
	}
	return d, nil
}

// alignHead finds the outputs that student and teacher share. Those of a teacher
// that goes on learning (grown) are some of the student's; else they must be all.
func alignHead(student, teacher sdk.HeadSpec, grown bool) (own, columns []int64, err error) {
	mine, theirs := model.ConfigLabels(student), model.ConfigLabels(teacher)
	for i, label := range mine {
		if at := slices.Index(theirs, label); at >= 0 {
			own, columns = append(own, int64(i)), append(columns, int64(at))
		}
	}
	if len(columns) != len(theirs) || !grown && len(own) != len(mine) {
		return nil, nil, fmt.Errorf("head %s: the teacher's outputs are %v, the student's %v", student.Name, theirs, mine)
	}
	if len(own) == len(mine) {
		own = nil
	}
	return own, columns, nil
}

// open loads a teacher, or its answers where they suffice.
func (d *distill) open(t *teacher, job *recipe.Job, observe func(recipe.Event)) error {
	if (d.plan.Logits == 0 || len(t.Heads) == 0) && !d.plan.NeedsStates() {
		return nil // a control, or a teacher whose answers are in the labels
	}
	keeps := t.Save != "" && t.Rows != nil && d.plan.Logits > 0 && len(t.Heads) > 0
	if keeps {
		if saved, err := readLogits(t.Save, t.Rows, t.Heads); err == nil {
			t.saved = saved
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if t.saved != nil && !d.plan.NeedsStates() {
		return nil
	}
	var diags sdk.Diagnostics
	var err error
	opt := model.Options{Device: d.student.Device(), Seed: job.Plan.Seed, Trained: len(t.Heads) > 0, Injection: t.Injection}
	if t.Plan != nil {
		opt.Knowledge = &t.Plan.Knowledge
	}
	heads := slices.Clone(t.Heads)
	if t.Own != "" && len(heads) > 0 {
		heads[0].Name = t.Own
	}
	failed := torch.Do(func() { t.model, diags = model.Load(t.Dir, heads, opt) })
	if err := errors.Join(failed, diags.Err()); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if keeps && t.saved == nil {
		observe(recipe.Event{Kind: recipe.EventNotice, Text: fmt.Sprintf("teacher %s answers for %d training texts", t.Name, t.Rows.Len())})
		if err := t.answer(d.bf16, job.Plan.Eval.BatchSize); err != nil {
			return fmt.Errorf("answer for the training texts: %w", err)
		}
	}
	if !d.plan.NeedsStates() {
		if t.saved != nil {
			failed = torch.Do(t.model.Close)
			t.model = nil
		}
		return failed
	}
	if t.Rows != nil && !t.Same {
		return errors.New("it cuts texts into other pieces than the student: hidden states, attention, relations and embeddings cannot be compared; distil its logits alone (distill.hidden=0)")
	}
	if t.layer, err = d.plan.LayerMap(d.student.Config.Layers, t.model.Config.Layers); err != nil {
		return err
	}
	if at := d.plan.RelationLayer; d.plan.Relation > 0 && at >= t.model.Config.Layers {
		return fmt.Errorf("distill.relation_layer is %d, its layers are 0-%d", at, t.model.Config.Layers-1)
	}
	if a, b := d.student.Config.Heads, t.model.Config.Heads; d.plan.Attention > 0 && a != b {
		return fmt.Errorf("it has %d attention heads, the student %d: distill.attention compares them one by one; distill.relation does not need as many", b, a)
	}
	if n := d.relationHeads(t); d.plan.Relation > 0 && (d.student.Config.HiddenSize%n != 0 || t.model.Config.HiddenSize%n != 0) {
		return fmt.Errorf("distill.relation_heads is %d, which does not divide the widths %d and %d", n, d.student.Config.HiddenSize, t.model.Config.HiddenSize)
	}
	return torch.Do(func() {
		narrow, wide := int64(d.student.Config.HiddenSize), int64(t.model.Config.HiddenSize)
		if narrow == wide {
			return
		}
		project := func(what string) *model.Param {
			p := &model.Param{Name: fmt.Sprintf("%s%d.%s.weight", projectionPrefix, slices.Index(d.teachers, t), what)}
			scope := torch.Open()
			defer scope.Close()
			p.Value = torch.Zeros(torch.Float32, torch.CPU, wide, narrow)
			torch.InitNormal(p.Value, job.Plan.Seed, p.Name, 0, d.student.Config.InitRange)
			p.Value = p.Value.ToDevice(d.student.Device())
			p.Value.RequiresGrad(true)
			scope.Keep(p.Value)
			d.own = append(d.own, p)
			return p
		}
		if d.plan.Hidden > 0 {
			t.hidden = project("hidden")
		}
		if d.plan.Embeddings > 0 {
			t.embeddings = project("embeddings")
		}
	})
}

func (d *distill) relationHeads(t *teacher) int {
	if d.plan.RelationHeads > 0 {
		return d.plan.RelationHeads
	}
	return t.model.Config.Heads
}

func (d *distill) params() []*model.Param { return d.own }
func (d *distill) labels() float64        { return d.plan.Labels }

func (d *distill) record() *model.States {
	if !d.plan.NeedsStates() {
		return nil
	}
	return &model.States{Relations: d.plan.Attention > 0 || d.plan.Relation > 0}
}

func (d *distill) close() {
	for _, t := range d.teachers {
		if t.model != nil {
			t.model.Close()
		}
	}
	for _, p := range d.own {
		p.Value.Free()
	}
	d.own = nil
}

func (d *distill) count(micro []*recipe.Batch) {
	d.rows, d.tokens, d.pairs = 0, 0, 0
	clear(d.words)
	for _, b := range micro {
		d.rows += float64(len(b.Rows))
		for _, r := range b.Rows {
			n := float64(r.Width())
			d.tokens += n
			d.pairs += n * n
		}
		for h := range d.heads {
			if d.heads[h].spec.Kind == sdk.KindTag {
				for i := range b.Rows {
					d.words[h] += float64(len(d.seen(h, b, i)))
				}
			}
		}
	}
}

// teaches: the words of a tag head that a batch has no labels for are none in general.
func (d *distill) teaches(head int) bool {
	h := &d.heads[head]
	return d.plan.Logits > 0 && len(h.by) > 0 && h.spec.Kind != sdk.KindTag
}

// loss adds up what the teachers say of a batch.
func (d *distill) loss(b *recipe.Batch, in *model.Input, f *model.Forward, pass *model.Pass) (*torch.Tensor, error) {
	var total *torch.Tensor
	add := func(weight float64, x *torch.Tensor) {
		if x = x.MulScalar(weight); total != nil {
			x = total.Add(x)
		}
		total = x
	}
	for _, t := range d.teachers {
		if err := d.run(t, b); err != nil {
			return nil, fmt.Errorf("teacher %s: %w", t.Name, err)
		}
	}
	if d.plan.Logits > 0 {
		for h := range d.heads {
			if err := d.answers(h, b, in, f, add); err != nil {
				return nil, err
			}
		}
	}
	if d.plan.NeedsStates() {
		valid := in.Valid()
		for _, t := range d.teachers {
			if err := d.compare(t, in, pass.States, valid, add); err != nil {
				return nil, fmt.Errorf("teacher %s: %w", t.Name, err)
			}
		}
	}
	return total, nil
}

// run computes a batch with a loaded teacher.
func (d *distill) run(t *teacher, b *recipe.Batch) error {
	t.live = nil
	if t.model == nil {
		return nil
	}
	live := &liveTeacher{rows: b.Rows}
	if t.Rows != nil && !t.Same {
		live.rows = make([]*recipe.Encoded, len(b.Rows))
		for i, at := range b.Index {
			live.rows[i] = t.Rows.At(at)
		}
	}
	width := b.Width
	if t.Rows != nil && !t.Same {
		width = 0
	}
	var err error
	if live.in, err = t.model.Input(live.rows, width); err != nil {
		return err
	}
	pass := &model.Pass{BF16: d.bf16, States: d.record()}
	torch.NoGrad(func() { live.forward = t.model.Forward(live.in, pass) })
	live.states = pass.States
	t.live = live
	return nil
}

// seen lists the words of a row, by number, whose first piece the student and
// all teachers of a head have.
func (d *distill) seen(head int, b *recipe.Batch, row int) []int {
	var words []int
	for w, s := range b.Rows[row].Starts {
		ok := s >= 0 && int(s) < len(b.Rows[row].IDs)
		for _, by := range d.heads[head].by {
			if by.Rows != nil && !by.Same {
				r := by.Rows.At(b.Index[row])
				ok = ok && w < len(r.Starts) && r.Starts[w] >= 0 && int(r.Starts[w]) < len(r.IDs)
			}
		}
		if ok {
			words = append(words, w)
		}
	}
	return words
}

// answers adds the loss of one head's logits.
func (d *distill) answers(head int, b *recipe.Batch, in *model.Input, f *model.Forward, add func(float64, *torch.Tensor)) error {
	h := &d.heads[head]
	if len(h.by) == 0 {
		return nil
	}
	norm := d.rows
	var at []int64
	words := make([][]int, len(b.Rows))
	if h.spec.Kind == sdk.KindTag {
		norm = d.words[head]
		for i, r := range b.Rows {
			words[i] = d.seen(head, b, i)
			for _, w := range words[i] {
				at = append(at, int64(i*in.Width)+int64(r.Starts[w]))
			}
		}
		if len(at) == 0 {
			return nil
		}
	}
	z := f.Scores(head, at)
	for _, by := range h.by {
		said, err := by.scores(by.head, h.spec, b, words)
		if err != nil {
			return fmt.Errorf("teacher %s: %w", by.Name, err)
		}
		said = said.ToDevice(z.Device())
		if len(by.columns) > 1 {
			said = said.IndexSelect(1, torch.FromInt64(by.columns, int64(len(by.columns))).ToDevice(said.Device()))
		}
		mine := z
		if by.own != nil {
			mine = z.IndexSelect(1, torch.FromInt64(by.own, int64(len(by.own))).ToDevice(z.Device()))
		}
		add(d.plan.Logits/(norm*float64(len(h.by))), softLoss(h.spec, mine, said, d.plan.Temperature))
	}
	return nil
}

// scores gives a teacher's logits for the rows of a batch, or for the words of
// each row.
func (t *teacher) scores(head int, spec sdk.HeadSpec, b *recipe.Batch, words [][]int) (*torch.Tensor, error) {
	if t.saved != nil {
		return t.saved.pick(spec, b.Index, words)
	}
	var at []int64
	if spec.Kind == sdk.KindTag {
		for i, r := range t.live.rows {
			for _, w := range words[i] {
				at = append(at, int64(i*t.live.in.Width)+int64(r.Starts[w]))
			}
		}
	}
	var z *torch.Tensor
	torch.NoGrad(func() { z = t.live.forward.Scores(head, at) })
	return z, nil
}

// softLoss is T² Σ KL(teacher ‖ student) of logits [N, K] at temperature T; for
// heads whose outputs are independent, of each output's two sides, divided by K.
func softLoss(spec sdk.HeadSpec, student, teacher *torch.Tensor, temperature float64) *torch.Tensor {
	s, t := student.DivScalar(temperature), teacher.DivScalar(temperature)
	if spec.Kind == sdk.KindMultilabel || spec.Loss == "bce" {
		p := t.Sigmoid()
		yes := p.Mul(t.LogSigmoid().Sub(s.LogSigmoid()))
		no := p.RSubScalar(1).Mul(t.Neg().LogSigmoid().Sub(s.Neg().LogSigmoid()))
		return yes.Add(no).Sum().MulScalar(temperature * temperature / float64(student.Size(1)))
	}
	return divergence(t.LogSoftmax(-1), s.LogSoftmax(-1)).Sum().MulScalar(temperature * temperature)
}

// divergence is KL(p ‖ q) elementwise, of logarithms of probabilities.
func divergence(p, q *torch.Tensor) *torch.Tensor { return p.Exp().Mul(p.Sub(q)) }

// compare adds the losses of the states of one teacher. valid is [B, T], 1 where
// an id is no padding.
func (d *distill) compare(t *teacher, in *model.Input, s *model.States, valid *torch.Tensor, add func(float64, *torch.Tensor)) error {
	o := t.live.states
	if len(s.Layers) != d.student.Config.Layers || len(o.Layers) != t.model.Config.Layers {
		return errors.New("this architecture does not record its hidden states: only logits can be distilled")
	}
	n, layers := float64(len(d.teachers)), float64(len(t.layer))
	if d.plan.Embeddings > 0 {
		add(d.plan.Embeddings/(n*d.tokens), tokenLoss(s.Embeddings, o.Embeddings, t.embeddings, valid))
	}
	for _, pair := range t.layer {
		if d.plan.Hidden > 0 {
			if d.plan.States == "first" {
				add(d.plan.Hidden/(n*layers*d.rows), firstLoss(s.Layers[pair[0]], o.Layers[pair[1]], t.hidden))
			} else {
				add(d.plan.Hidden/(n*layers*d.tokens), tokenLoss(s.Layers[pair[0]], o.Layers[pair[1]], t.hidden, valid))
			}
		}
		if d.plan.Attention > 0 {
			x, y := scoresOf(s.Query[pair[0]], s.Key[pair[0]]), scoresOf(o.Query[pair[1]], o.Key[pair[1]])
			add(d.plan.Attention/(n*layers*d.pairs), attentionLoss(x, y, valid))
		}
	}
	if d.plan.Relation > 0 {
		last, at, heads := len(s.Layers)-1, d.plan.RelationLayer, int64(d.relationHeads(t))
		if at < 0 {
			at = len(o.Layers) - 1
		}
		for _, kind := range [][2]*torch.Tensor{{s.Query[last], o.Query[at]}, {s.Key[last], o.Key[at]}, {s.Value[last], o.Value[at]}} {
			add(d.plan.Relation/(n*d.tokens), relationLoss(kind[0], kind[1], in.Bias, valid, heads))
		}
	}
	return nil
}

// projected is x·Wᵀ in float32, x itself where widths are equal.
func projected(x *torch.Tensor, w *model.Param) *torch.Tensor {
	x = x.ToDType(torch.Float32)
	if w == nil {
		return x
	}
	return torch.Linear(x, w.Value, nil)
}

// tokenLoss is Σ over tokens of the mean over units of (W s - t)²; s [B, T, Hs],
// t [B, T, Ht], valid [B, T].
func tokenLoss(s, t *torch.Tensor, w *model.Param, valid *torch.Tensor) *torch.Tensor {
	diff := projected(s, w).Sub(t.ToDType(torch.Float32)).Square().Mean(-1)
	return diff.Mul(valid).Sum()
}

// firstLoss is Σ over rows of |s/‖s‖ - t/‖t‖|² of the first positions (Sun et al.
// 2019, eq. 7).
func firstLoss(s, t *torch.Tensor, w *model.Param) *torch.Tensor {
	x, y := projected(s.Select(1, 0), w), t.Select(1, 0).ToDType(torch.Float32)
	return x.Normalize(-1).Sub(y.Normalize(-1)).Square().Sum()
}

// scoresOf are attention scores before the softmax [B, heads, T, T].
func scoresOf(q, k *torch.Tensor) *torch.Tensor {
	q, k = q.ToDType(torch.Float32), k.ToDType(torch.Float32)
	return q.MatMul(k.T()).MulScalar(1 / math.Sqrt(float64(q.Size(-1))))
}

// attentionLoss is Σ over pairs of tokens of the mean over heads of (s - t)².
func attentionLoss(s, t, valid *torch.Tensor) *torch.Tensor {
	both := valid.Unsqueeze(2).Mul(valid.Unsqueeze(1))
	return s.Sub(t).Square().Mean(1).Mul(both).Sum()
}

// relationLoss is Σ over tokens of the mean over relation heads of
// KL(softmax(t tᵀ/√d) ‖ softmax(s sᵀ/√d)); s and t [B, heads, T, size], bias as in
// model.Input.
func relationLoss(s, t, bias, valid *torch.Tensor, heads int64) *torch.Tensor {
	related := func(x *torch.Tensor) *torch.Tensor {
		n, length := x.Size(0), x.Size(2)
		x = x.ToDType(torch.Float32).Transpose(1, 2).Reshape(n, length, heads, -1).Transpose(1, 2)
		r := x.MatMul(x.T()).MulScalar(1 / math.Sqrt(float64(x.Size(-1))))
		if bias != nil {
			r = r.Add(bias)
		}
		return r.LogSoftmax(-1)
	}
	return divergence(related(t), related(s)).Sum(-1).Mean(1).Mul(valid).Sum()
}
