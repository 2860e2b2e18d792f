//go:build torch

package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// trainer is one run of the loop.
type trainer struct {
	job     *recipe.Job
	plan    recipe.TrainPlan
	store   *store
	observe func(recipe.Event)

	device    torch.Device
	bf16      bool
	model     *model.Model
	optimizer *torch.Optimizer
	trainable []*torch.Tensor
	trained   []*model.Param // of the model; with gradual unfreezing also those to come
	frozen    recipe.Frozen  // at the beginning
	thaws     int            // of gradual unfreezing, so far
	moves     moves
	term      term    // a loss beside that of the labels; nil = none
	anchor    *anchor // holds weights near those of a continued model; nil = none
	schedule  schedule
	epochs    int // planned

	state   state
	resumed *int
	best    map[string][]byte // weights of the best state when there are no checkpoints
	ranks   map[string][]bool // adalora: the best state's, in the same case
	learned bool              // a step of this process had a loss
	started time.Time
	loop    time.Duration // time in steps, this process
}

func newTrainer(job *recipe.Job) *trainer {
	t := &trainer{job: job, plan: job.Plan.Train, store: newStore(job.Dir), observe: job.Observe}
	if t.observe == nil {
		t.observe = func(recipe.Event) {}
	}
	return t
}

func (t *trainer) train(ctx context.Context) (*recipe.Outcome, error) {
	if o := t.job.Plan.Objective; !recipe.Trained(o) {
		return nil, fmt.Errorf("train: the objective %q is not one training", o)
	}
	defer t.close()
	if err := t.prepare(); err != nil {
		return nil, err
	}
	return t.run(ctx)
}

// prepare loads the base and builds everything that a step needs.
func (t *trainer) prepare() (err error) {
	t.device, t.bf16, err = resolve(t.plan.Device, t.plan.Precision)
	if err != nil {
		return err
	}
	threads := t.job.Threads
	if threads == 0 {
		threads = t.plan.Threads
	}
	var from *state
	if err := t.store.sweep(); err != nil {
		return err
	}
	if t.job.Resume {
		if from, err = t.store.newest(); err != nil {
			return err
		}
	}
	if from != nil {
		if from.Threads != threads && threads != 0 {
			t.observe(recipe.Event{Kind: recipe.EventNotice, Text: fmt.Sprintf("the run began with %d threads and goes on with as many, so that it ends in the same bytes", from.Threads)})
		}
		threads = from.Threads
	}
	if err := setThreads(threads); err != nil {
		return err
	}

	total := t.countSteps()
	var diags sdk.Diagnostics
	failed := torch.Do(func() {
		if threads == 0 {
			threads = torch.NumThreads()
		}
		t.model, diags = model.Load(t.job.Base, t.job.Heads, model.Options{Device: t.device, Seed: t.job.Plan.Seed, Dropout: t.plan.Dropout,
			Knowledge: &t.job.Plan.Knowledge, Injection: t.job.Injection, Adapt: t.newAdapter(total), Grow: t.job.Past != nil})
	})
	if err := errors.Join(failed, diags.Err()); err != nil {
		return fmt.Errorf("load base model: %w", err)
	}
	for _, d := range diags {
		t.observe(recipe.Event{Kind: recipe.EventNotice, Text: d.String()})
	}
	if t.term, err = t.newTerm(); err != nil {
		return err
	}
	if t.anchor, err = t.newAnchor(); err != nil {
		return err
	}
	if t.frozen, err = t.plan.Frozen(t.model.Config.Layers); err != nil {
		return err
	}
	if t.job.Plan.Knowledge.FreezeBase {
		t.frozen = recipe.Frozen{Embeddings: true, Encoder: true, Layers: slices.Repeat([]bool{true}, t.model.Config.Layers)}
	}
	if t.schedule, err = newSchedule(t.plan, total); err != nil {
		return err
	}
	failed = torch.Do(func() {
		switch {
		case t.peft():
			adapt(t.model, t.plan.Peft)
		case t.plan.UnfreezeEvery != 0:
			freeze(t.model, recipe.Frozen{Layers: make([]bool, t.model.Config.Layers)})
		default:
			freeze(t.model, t.frozen)
		}
		for _, p := range t.model.Params() {
			if p.Value.NeedsGrad() {
				t.trained = append(t.trained, p)
			}
		}
		t.optimizer = t.newOptimizer() // of all that is ever trained
		if t.plan.UnfreezeEvery != 0 {
			freeze(t.model, t.frozen)
		}
	})
	if failed != nil {
		return failed
	}
	t.state = state{
		Steps: total, Seed: t.job.Plan.Seed, Threads: threads, Precision: precisionName(t.bf16), BestStep: -1,
	}
	if from == nil {
		return nil
	}
	if from.Steps != total || from.Seed != t.state.Seed || from.Precision != t.state.Precision {
		return fmt.Errorf("resume: the checkpoint of step %d belongs to a run of %d steps with seed %d in %s, this one has %d steps, seed %d, %s",
			from.Step, from.Steps, from.Seed, from.Precision, total, t.state.Seed, t.state.Precision)
	}
	t.resumed = &from.Step
	t.state = *from
	return nil
}

// countSteps fixes the number of optimizer steps and epochs.
func (t *trainer) countSteps() int {
	per := func(epoch int) int { return ceilDiv(t.job.Train.Steps(epoch), t.accumulate()) }
	total := 0
	if t.plan.Steps == 0 {
		t.epochs = t.plan.Epochs
		for e := range t.epochs {
			total += per(e)
		}
		return total
	}
	for t.epochs = 0; total < t.plan.Steps; t.epochs++ {
		n := per(t.epochs)
		if n == 0 {
			break
		}
		total += n
	}
	return min(total, t.plan.Steps)
}

func (t *trainer) accumulate() int { return max(1, t.plan.Accumulate) }

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// newOptimizer groups the weights: matrices with weight decay, biases and
// LayerNorms without; heads and knowledge at their own learning rates.
func (t *trainer) newOptimizer() *torch.Optimizer {
	var groups [6]torch.Group
	share := func(lr float64) float64 {
		if lr == 0 || t.plan.LR == 0 {
			return 1
		}
		return lr / t.plan.LR
	}
	headLR, knowledgeLR := share(t.plan.HeadLR), share(t.job.Plan.Knowledge.LR)
	for _, p := range t.params() {
		if !p.Value.NeedsGrad() {
			continue
		}
		i, lr, decay := 0, 1.0, 0.0
		switch {
		case p.Head != "":
			i, lr = 2, headLR
		case p.Knowledge():
			i, lr = 4, knowledgeLR
		}
		if p.Decays() {
			decay = t.plan.WeightDecay
		} else {
			i++
		}
		g := &groups[i]
		g.Params, g.Names = append(g.Params, p.Value), append(g.Names, p.Name)
		g.LR, g.WeightDecay = lr, decay
		t.trainable = append(t.trainable, p.Value)
	}
	var method torch.Method
	switch t.plan.Optimizer {
	case "adam":
		method = torch.AdamConfig{Beta1: t.plan.Beta1, Beta2: t.plan.Beta2, Eps: t.plan.Eps}
	case "sgd":
		method = torch.SGDConfig{Momentum: t.plan.Momentum, Nesterov: t.plan.Nesterov}
	default:
		method = torch.AdamWConfig{Beta1: t.plan.Beta1, Beta2: t.plan.Beta2, Eps: t.plan.Eps}
	}
	var used []torch.Group
	for _, g := range groups {
		if len(g.Params) > 0 {
			used = append(used, g)
		}
	}
	return torch.NewOptimizer(method, used)
}

// run is the order of a training, on one screen.
func (t *trainer) run(ctx context.Context) (*recipe.Outcome, error) {
	out := &recipe.Outcome{Device: t.device.String(), Precision: t.state.Precision, ResumedFrom: t.resumed}
	out.Split = "test"
	report := t.job.Test
	if report == nil {
		out.Split, report = "valid", t.job.Valid
	}
	var err error
	if report != nil {
		if out.Before, err = t.predict(ctx, report); err != nil {
			return nil, err
		}
	}
	if err := torch.Do(t.watch); err != nil {
		return nil, err
	}
	if t.resumed != nil {
		if err := t.restore(t.state.Step, true); err != nil {
			return nil, err
		}
		t.observe(t.event(recipe.EventResume))
	}
	if err := t.tellShare(); err != nil {
		return nil, err
	}
	t.started = time.Now()
	if err := t.due(ctx); err != nil {
		return nil, err
	}
	for !t.finished() {
		if err := t.epoch(ctx); err != nil {
			return nil, err
		}
	}
	if t.resumed == nil && t.state.Step > 0 && !t.learned {
		return nil, fmt.Errorf("none of %d steps had a loss: no row has a label of a head that is trained, and no teacher says anything; check the labels, distill and continue", t.state.Step)
	}
	if err := t.restoreBest(); err != nil {
		return nil, err
	}
	if report != nil {
		begin := time.Now()
		if out.After, err = t.predict(ctx, report); err != nil {
			return nil, err
		}
		out.PredictSeconds = time.Since(begin).Seconds()
		for i := range report.Len() {
			out.PredictTokens += int64(report.At(i).Width())
		}
	}
	if t.job.ExportDir != "" {
		if err := export(t.model, t.job.ExportDir, t.job.Plan.Export.Head); err != nil {
			return nil, err
		}
	}
	s := &t.state
	out.Steps, out.Epochs, out.Losses = s.Step, s.Epoch, s.Losses
	out.Seconds, out.Tokens = s.Seconds, s.Tokens
	out.BestStep, out.BestScore, out.StoppedEarly = s.BestStep, s.BestScore, s.Stopped
	if s.BestStep < 0 {
		out.BestStep = s.Step
	}
	if s.Padded > 0 {
		out.PaddingShare = 1 - float64(s.Tokens)/float64(s.Padded)
	}
	out.PeakRSS = peakRSS()
	err = torch.Do(func() { out.Parameters, out.Trainable = t.model.Count() })
	return out, err
}

func (t *trainer) finished() bool {
	return t.state.Stopped || t.state.Step >= t.state.Steps
}

// epoch runs the rest of the epoch that the state stands in.
func (t *trainer) epoch(ctx context.Context) error {
	number := t.state.Epoch
	batches := t.job.Train.Steps(number)
	feed := prefetch(ctx, t.job.Train.Epoch(ctx, number, t.state.Batch))
	defer feed.stop()
	for !t.finished() && t.state.Epoch == number {
		begin := time.Now()
		micro, err := t.gather(ctx, feed, min(t.accumulate(), batches-t.state.Batch))
		if err != nil {
			return t.interrupted(ctx, err)
		}
		event, err := t.step(micro)
		if err != nil {
			return err
		}
		spent := time.Since(begin)
		t.loop += spent
		t.state.Seconds += spent.Seconds()
		t.advance(event.Loss, len(micro), batches)
		event.Step, event.Elapsed = t.state.Step, t.loop
		t.observe(event)
		if err := t.due(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil && !t.finished() {
			return t.interrupted(ctx, ctx.Err())
		}
	}
	return nil
}

// gather takes the micro-batches of one optimizer step.
func (t *trainer) gather(ctx context.Context, f *feed, n int) ([]*recipe.Batch, error) {
	micro := make([]*recipe.Batch, 0, n)
	for len(micro) < n {
		b, more, err := f.next()
		if err != nil {
			return nil, fmt.Errorf("batch %d of epoch %d: %w", t.state.Batch+len(micro), t.state.Epoch+1, err)
		}
		if !more {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("epoch %d ended after %d of %d batches", t.state.Epoch+1, t.state.Batch+len(micro), t.job.Train.Steps(t.state.Epoch))
		}
		micro = append(micro, b)
	}
	if err := t.mix(micro); err != nil {
		return nil, err
	}
	for _, b := range micro {
		even(b, t.model, t.bf16)
	}
	return micro, nil
}

// step is one optimizer step: forward and backward for each micro-batch, with
// losses divided by the labels of the whole step, then clipping and update.
func (t *trainer) step(micro []*recipe.Batch) (recipe.Event, error) {
	event := t.event(recipe.EventStep)
	step := t.state.Step
	rate := t.schedule.at(step)
	event.LR = t.plan.LR * rate
	rows := make([][]*recipe.Encoded, len(micro))
	for i, b := range micro {
		rows[i] = b.Rows
	}
	norms := t.model.Norms(rows...)
	if t.term != nil {
		t.term.count(micro)
	}
	pass := &model.Pass{Train: true, Seed: t.job.Plan.Seed, Step: uint64(step), BF16: t.bf16}
	var err error
	failed := torch.Do(func() {
		defer t.optimizer.ZeroGrad()
		t.thaw()
		learned := false
		for _, b := range micro {
			loss, ok, e := t.backward(b, pass, norms)
			if err = e; err != nil {
				return
			}
			learned = learned || ok
			event.Loss += loss
		}
		if !learned {
			return
		}
		t.learned = true
		event.Loss += t.regularize()
		if limit := t.plan.Clip; limit > 0 {
			event.GradNorm = torch.ClipGradNorm(t.trainable, limit)
		} else {
			event.GradNorm = torch.GradNorm(t.trainable)
		}
		if bad(event.Loss) || bad(event.GradNorm) {
			err = t.explain(micro, pass, norms, event)
			return
		}
		t.optimizer.Step(event.LR)
		t.model.Allocate(step + 1)
		err = t.checkMoves(micro, norms, event.LR)
	})
	if err = errors.Join(failed, err); err != nil {
		return event, fmt.Errorf("step %d: %w", step+1, err)
	}
	for _, b := range micro {
		width := b.Width
		for _, r := range b.Rows {
			width = max(width, r.Width())
			event.Tokens += int64(r.Width())
		}
		t.state.Padded += int64(width * len(b.Rows))
	}
	t.state.Tokens += event.Tokens
	return event, nil
}

// backward adds a micro-batch's gradients; ok is false when it has no label.
func (t *trainer) backward(b *recipe.Batch, pass *model.Pass, norms []float64) (value float64, ok bool, err error) {
	scope := torch.Open()
	defer scope.Close()
	in, err := t.model.Input(b.Rows, b.Width)
	if err != nil {
		return 0, false, err
	}
	loss, err := t.loss(b, in, pass, norms)
	if err != nil || loss == nil {
		return 0, false, err
	}
	if loss.NeedsGrad() {
		loss.Backward()
	}
	return loss.Item(), true, nil
}

func bad(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

// explain looks for the first value that is not a number: in the weights, in
// the forward computation, in the gradients.
func (t *trainer) explain(micro []*recipe.Batch, pass *model.Pass, norms []float64, event recipe.Event) error {
	finite := func(x *torch.Tensor) bool {
		s := torch.Open()
		defer s.Close()
		return x.Detach().IsFinite().All().Item() != 0
	}
	hint := "try a lower train.lr, train.clip, or train.precision=fp32"
	for _, p := range t.model.Params() {
		if !finite(p.Value) {
			return fmt.Errorf("the loss is %g: the weight %s is not finite; %s", event.Loss, p.Name, hint)
		}
	}
	where := ""
	probing := *pass
	probing.Probe = func(part string, x *torch.Tensor) {
		if where == "" && !finite(x) {
			where = part
		}
	}
	for _, b := range micro {
		s := torch.Open()
		in, err := t.model.Input(b.Rows, b.Width)
		if err == nil {
			torch.NoGrad(func() { _, err = t.model.Loss(in, &probing, norms) })
		}
		s.Close()
		if err != nil {
			return err
		}
		if where != "" {
			return fmt.Errorf("the loss is %g: %s is the first part whose output is not finite; %s", event.Loss, where, hint)
		}
	}
	s := torch.Open()
	defer s.Close()
	for _, p := range t.model.Params() {
		if g := p.Value.Grad(); g != nil && !finite(g) {
			return fmt.Errorf("the gradient norm is %g: the gradient of %s is not finite; %s", event.GradNorm, p.Name, hint)
		}
	}
	return fmt.Errorf("the loss is %g and the gradient norm %g; %s", event.Loss, event.GradNorm, hint)
}

// advance moves the state over a finished step and says what is due after it.
func (t *trainer) advance(loss float64, batches, inEpoch int) {
	s := &t.state
	s.Step++
	s.Batch += batches
	s.LossSum += loss
	s.LossSteps++
	if s.Batch >= inEpoch || s.Step >= s.Steps {
		s.Losses = append(s.Losses, s.LossSum/float64(s.LossSteps))
		s.LossSum, s.LossSteps = 0, 0
		s.Epoch, s.Batch = s.Epoch+1, 0
		s.DueEpoch = true
	}
	if t.job.Valid == nil {
		return
	}
	switch every := t.plan.EvalEvery; {
	case s.Step >= s.Steps:
		s.DueValid = true
	case every == 0:
		s.DueValid = s.DueEpoch
	case every > 0:
		s.DueValid = s.Step%every == 0
	}
}

// due does what the last step left to do: the epoch's report, validation, and
// then a checkpoint.
func (t *trainer) due(ctx context.Context) error {
	s := &t.state
	endOfEpoch := s.DueEpoch
	if s.DueEpoch {
		e := t.event(recipe.EventEpoch)
		e.Epoch, e.Loss = s.Epoch, s.Losses[len(s.Losses)-1]
		t.observe(e)
		s.DueEpoch = false
	}
	best := false
	if s.DueValid {
		predictions, err := t.predict(ctx, t.job.Valid)
		if err != nil {
			return t.interrupted(ctx, err)
		}
		e := t.event(recipe.EventValid)
		if endOfEpoch {
			e.Epoch = s.Epoch
		}
		e.Predictions = predictions
		if t.job.Score != nil {
			e.Score = t.job.Score(predictions)
			if bad(e.Score) {
				e.Score = -math.MaxFloat64 // a score that is no number is the worst
			}
			best = s.BestStep < 0 || e.Score > s.BestScore
			e.Best = best
			if best {
				s.BestStep, s.BestScore, s.Waiting = s.Step, e.Score, 0
			} else {
				s.Waiting++
			}
			s.Stopped = t.plan.Patience > 0 && s.Waiting >= t.plan.Patience
		}
		s.DueValid = false
		t.observe(e)
	}
	if s.Step == 0 || (t.resumed != nil && *t.resumed == s.Step && !best) {
		return nil
	}
	every := t.plan.CheckpointEvery
	switch {
	case every < 0:
		if best {
			return t.remember()
		}
		return nil
	case best, s.Stopped, s.Step >= s.Steps, every == 0 && endOfEpoch, every > 0 && s.Step%every == 0:
		return t.checkpoint()
	}
	return nil
}

// interrupted writes a checkpoint when the context has ended, so that a resume
// goes on from here.
func (t *trainer) interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if t.state.Step > 0 && t.plan.CheckpointEvery >= 0 {
		if err := t.checkpoint(); err != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	return ctx.Err()
}

// checkpoint writes the state of this moment and drops what is no more needed.
func (t *trainer) checkpoint() error {
	var path string
	var err error
	failed := torch.Do(func() {
		var weights, moments []safetensors.Entry
		for _, p := range t.params() {
			weights = append(weights, p.Entry())
		}
		for name, v := range t.optimizer.State() {
			moments = append(moments, (&model.Param{Name: name, Value: v}).Entry())
		}
		for _, p := range t.model.State() {
			weights = append(weights, p.Entry())
		}
		t.state.Ranks = t.model.Ranks()
		path, err = t.store.save(t.state, weights, moments)
	})
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	if err := t.store.prune(t.state.BestStep); err != nil {
		return err
	}
	e := t.event(recipe.EventCheckpoint)
	e.Text = path
	t.observe(e)
	return nil
}

// restore puts a checkpoint's weights back, and the moments too if asked.
func (t *trainer) restore(step int, moments bool) error {
	dir := t.store.path(step)
	err := readTensors(filepath.Join(dir, weightsFile), func(f *safetensors.File) error {
		for _, p := range t.params() {
			e, ok := f.Entry(p.Name)
			if !ok || !slices.Equal(e.Shape, p.Value.Shape()) || e.DType != "F32" {
				return fmt.Errorf("the weight %s %v is missing or has another shape", p.Name, p.Value.Shape())
			}
			overwrite(p.Value, e.Data)
		}
		for _, p := range t.model.State() {
			if e, ok := f.Entry(p.Name); ok {
				overwrite(p.Value, e.Data)
			}
		}
		return nil
	})
	if err == nil {
		var was *state
		if was, err = t.store.read(step); err == nil {
			t.model.SetRanks(was.Ranks)
		}
	}
	if err == nil && moments {
		err = readTensors(filepath.Join(dir, optimizerFile), func(f *safetensors.File) error {
			values := map[string]*torch.Tensor{}
			for _, name := range f.Names() {
				e, _ := f.Entry(name)
				values[name] = torch.FromBytes(e.Data, torch.Float32, e.Shape...)
			}
			return t.optimizer.Load(values)
		})
	}
	if err != nil {
		return fmt.Errorf("restore checkpoint of step %d: %w", step, err)
	}
	return nil
}

// readTensors opens a file for f, which runs in a scope inside torch.Do.
func readTensors(path string, f func(*safetensors.File) error) error {
	file, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	failed := torch.Do(func() {
		scope := torch.Open()
		defer scope.Close()
		torch.NoGrad(func() { err = f(file) })
	})
	return errors.Join(failed, err)
}

// overwrite copies fp32 elements into a weight.
func overwrite(into *torch.Tensor, data []byte) {
	scope := torch.Open()
	defer scope.Close()
	into.CopyFrom(torch.FromBytes(data, torch.Float32, into.Shape()...))
}

// remember keeps the best weights in memory where no checkpoints are wanted.
func (t *trainer) remember() error {
	return torch.Do(func() {
		t.best = map[string][]byte{}
		for _, p := range t.params() {
			t.best[p.Name] = p.Value.Bytes()
		}
		t.ranks = t.model.Ranks()
	})
}

// restoreBest puts the weights of the best validation back.
func (t *trainer) restoreBest() error {
	if t.state.BestStep < 0 || t.state.BestStep == t.state.Step {
		return nil
	}
	if t.best == nil {
		return t.restore(t.state.BestStep, false)
	}
	return torch.Do(func() {
		torch.NoGrad(func() {
			for _, p := range t.params() {
				overwrite(p.Value, t.best[p.Name])
			}
			t.model.SetRanks(t.ranks)
		})
	})
}

func (t *trainer) predict(ctx context.Context, rows recipe.Source) ([]recipe.Prediction, error) {
	return predict(ctx, t.model, rows, t.job.Plan.Eval.BatchSize, t.bf16, nil, func(done, all int) {
		e := t.event(recipe.EventPredict)
		e.Step, e.Steps = done, all
		t.observe(e)
	})
}

func (t *trainer) event(kind string) recipe.Event {
	return recipe.Event{
		Kind: kind, Step: t.state.Step, Steps: t.state.Steps, Epoch: t.state.Epoch + 1, Epochs: t.epochs, Elapsed: t.loop,
	}
}

func (t *trainer) close() {
	failed := torch.Do(func() {
		if t.optimizer != nil {
			t.optimizer.Free()
		}
		if t.term != nil {
			t.term.close()
		}
		t.anchor.close()
		if t.model != nil {
			t.model.Close()
		}
	})
	if failed != nil {
		t.observe(recipe.Event{Kind: recipe.EventNotice, Text: "free the model: " + failed.Error()})
	}
}
