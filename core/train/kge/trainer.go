//go:build torch

package kge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// Train runs a job and leaves vectors, names and the result in job.Dir. A
// cancelled context ends it after the step at hand with a checkpoint and the
// context's error; with Resume the next call goes on from there. A folder whose
// run is finished gives its result again.
func Train(ctx context.Context, job Job) (_ *Result, err error) {
	if err := job.Settings.Check().Err(); err != nil {
		return nil, err
	}
	if err := job.Data.check(); err != nil {
		return nil, err
	}
	if err := OpenDir(job.Dir, job.Resume); err != nil {
		return nil, err
	}
	digest := job.Data.Digest()
	old, err := Finished(job.Dir)
	if err != nil {
		return nil, err
	}
	if old != nil {
		return old, differs(job.Dir, old.Settings, job.Settings, old.Data, digest)
	}
	t := &trainer{job: job, settings: job.Settings, data: job.Data, store: checkpoints{job.Dir}, observe: job.Observe,
		state: state{Settings: job.Settings, Data: digest, Threads: job.Threads, BestStep: -1}}
	if t.observe == nil {
		t.observe = func(Event) {}
	}
	if err := t.open(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, torch.Do(t.tables.free)) }()
	return t.run(ctx)
}

type trainer struct {
	job      Job
	settings Settings
	data     *Data
	store    checkpoints
	observe  func(Event)

	device torch.Device
	tables *tables
	train  *answers // known in training
	known  *answers // known in any split
	steps  int      // planned
	state  state
	from   *int // step of the checkpoint
}

// open makes the tables, or reads them from the newest checkpoint.
func (t *trainer) open() error {
	last, err := t.store.newest()
	if err != nil {
		return err
	}
	if last != nil {
		if err := differs(t.job.Dir, last.Settings, t.settings, last.Data, t.state.Data); err != nil {
			return err
		}
		t.state, t.from = *last, &last.Step
	}
	if t.state.Threads <= 0 {
		t.state.Threads = runtime.NumCPU()
	}
	m := len(t.data.Relations)
	t.train = newAnswers(m, t.data.Train)
	t.known = newAnswers(m, t.data.Train, t.data.Valid, t.data.Test)
	// Epochs differ in what shares a row, not in how many rows there are.
	t.steps = t.settings.Epochs * t.stepsOf(len(rows(t.train, t.settings.Answers, t.settings.Seed, 0)))
	err = errors.Join(torch.Do(func() {
		if t.device, err = torch.ParseDevice(t.job.Device); err != nil {
			return
		}
		torch.SetNumThreads(t.state.Threads)
		t.tables = newTables(t.settings, len(t.data.Entities), m, t.device)
	}), err)
	if err != nil || last == nil {
		return err
	}
	if err := t.read(last.Step, true); err != nil {
		return errors.Join(err, torch.Do(t.tables.free))
	}
	t.observe(t.event(EventResume))
	return nil
}

func (t *trainer) stepsOf(rows int) int { return (rows + t.settings.Batch - 1) / t.settings.Batch }

// read takes vectors, and the optimizer's state when the run goes on from
// there, out of a checkpoint.
func (t *trainer) read(step int, moments bool) (err error) {
	load := func(name string, into func(*safetensors.File) error) error {
		path := filepath.Join(t.store.path(step), name)
		f, err := safetensors.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		var bad error
		if err := errors.Join(torch.Do(func() {
			s := torch.Open()
			defer s.Close()
			bad = into(f)
		}), bad); err != nil {
			return fmt.Errorf("read checkpoint %s: %w", path, err)
		}
		return nil
	}
	if err := load(tablesFile, t.tables.load); err != nil || !moments {
		return err
	}
	return load(momentsFile, t.tables.loadMoments)
}

func (t *trainer) event(kind string) Event {
	return Event{Kind: kind, Step: t.state.Step, Steps: t.steps, Epoch: min(t.state.Epoch+1, t.settings.Epochs), Epochs: t.settings.Epochs, LR: t.rate()}
}

// rate is the learning rate of the next step.
func (t *trainer) rate() float64 {
	if t.settings.LRDrop > 0 && float64(t.state.Step) >= t.settings.LRDrop*float64(t.steps) {
		return t.settings.LR / 10
	}
	return t.settings.LR
}

// run is the order of a training.
func (t *trainer) run(ctx context.Context) (*Result, error) {
	err := t.validate(ctx)
	for err == nil && !t.state.Stopped && t.state.Epoch < t.settings.Epochs {
		if err = t.epoch(ctx); err == nil {
			err = t.validate(ctx)
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, errors.Join(err, t.checkpoint())
		}
		return nil, err
	}
	return t.finish(ctx)
}

// epoch does what is left of the running epoch.
func (t *trainer) epoch(ctx context.Context) error {
	s := &t.state
	all := rows(t.train, t.settings.Answers, t.settings.Seed, s.Epoch)
	for s.Row < len(all) {
		if err := ctx.Err(); err != nil {
			return err
		}
		batch := all[s.Row:min(s.Row+t.settings.Batch, len(all))]
		begin := time.Now()
		sum, facts, err := t.step(batch)
		if err != nil {
			return err
		}
		s.Seconds += time.Since(begin).Seconds()
		loss := sum / float64(facts)
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return &sdk.DiagnosticsError{Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "kge.diverged", Summary: fmt.Sprintf("the loss is %v after step %d", loss, s.Step+1), Remedy: "lower lr"}}}
		}
		s.LossSum, s.LossFacts = s.LossSum+sum, s.LossFacts+facts
		e := t.event(EventStep)
		s.Step++
		s.Row += len(batch)
		e.Step, e.Loss = s.Step, s.LossSum/float64(s.LossFacts)
		t.observe(e)
	}
	s.Loss = s.LossSum / float64(s.LossFacts)
	s.Epoch, s.Row, s.LossSum, s.LossFacts = s.Epoch+1, 0, 0, 0
	s.DueValid = t.settings.EvalEvery > 0 && (s.Epoch%t.settings.EvalEvery == 0 || s.Epoch == t.settings.Epochs)
	e := t.event(EventEpoch)
	e.Epoch, e.Loss = s.Epoch, s.Loss
	t.observe(e)
	return nil
}

// step is one optimizer step: the sum of the losses and the number of facts.
func (t *trainer) step(batch []row) (sum float64, facts int, err error) {
	s := t.settings
	var wrong []int32
	var weights []float64
	if s.Loss == Negative {
		wrong = negatives(t.train, batch, len(t.data.Entities), s.Negatives, s.Seed, t.state.Epoch, t.state.Row)
		for _, b := range batch {
			weights = append(weights, weight(t.train, b, len(t.data.Relations)))
		}
	}
	err = torch.Do(func() {
		tb, limit := t.tables, room(t.device)
		tb.gradEntity.FillInPlace(0)
		tb.gradRelation.FillInPlace(0)
		if s.Loss == Negative {
			sum, facts = tb.negativeLoss(batch, wrong, weights, s.Temperature, limit)
		} else {
			sum, facts = tb.softmaxLoss(batch, int(max(1, limit/int64(len(t.data.Entities)))))
		}
		tb.n3(batch, facts, s.N3)
		tb.step(t.rate())
	})
	return sum, facts, err
}

// validate does the validation that is due, if one is, and leaves a checkpoint.
func (t *trainer) validate(ctx context.Context) error {
	s := &t.state
	if !s.DueValid {
		return nil
	}
	if len(t.data.Valid) == 0 {
		s.DueValid = false
		return t.checkpoint()
	}
	begin := time.Now()
	scores, err := t.tables.evaluate(ctx, t.data.Valid, t.known)
	if err != nil {
		return err
	}
	s.EvalSeconds += time.Since(begin).Seconds()
	r := Reading{Epoch: s.Epoch, Loss: s.Loss, Seconds: s.Seconds, Scores: scores}
	s.History = append(s.History, r)
	s.DueValid = false
	best := s.Best == nil || scores.MRR > s.Best.Scores.MRR
	if best {
		s.Best, s.BestStep, s.Waiting = &r, s.Step, 0
	} else {
		s.Waiting++
		s.Stopped = t.settings.Patience > 0 && s.Waiting >= t.settings.Patience
	}
	e := t.event(EventValid)
	e.Epoch, e.Scores, e.Best, e.Loss = s.Epoch, &scores, best, s.Loss
	t.observe(e)
	return t.checkpoint()
}

func (t *trainer) checkpoint() error {
	var vectors, moments []safetensors.Entry
	if err := torch.Do(func() { vectors, moments = t.tables.vectors(), t.tables.moments() }); err != nil {
		return err
	}
	return t.store.save(t.state, vectors, moments)
}

// finish goes back to the best vectors, tests and writes them.
func (t *trainer) finish(ctx context.Context) (*Result, error) {
	s := &t.state
	r := &Result{Schema: resultSchema, Settings: t.settings, Data: s.Data, Entities: len(t.data.Entities), Relations: len(t.data.Relations), Facts: len(t.data.Train),
		Device: t.device.String(), Threads: s.Threads, Steps: s.Step, Epochs: s.Epoch, BestEpoch: s.Epoch, Stopped: s.Stopped, Loss: s.Loss, Seconds: s.Seconds, ResumedFrom: t.from, History: s.History}
	if s.Best != nil {
		r.BestEpoch, r.Valid = s.Best.Epoch, &s.Best.Scores
		if s.BestStep != s.Step {
			if err := t.read(s.BestStep, false); err != nil {
				return nil, err
			}
		}
	}
	if len(t.data.Test) > 0 {
		begin := time.Now()
		scores, err := t.tables.evaluate(ctx, t.data.Test, t.known)
		if err != nil {
			return nil, err
		}
		s.EvalSeconds += time.Since(begin).Seconds()
		r.Test = &scores
		e := t.event(EventTest)
		e.Scores = &scores
		t.observe(e)
	}
	r.EvalSeconds, r.PeakRSS = s.EvalSeconds, peakRSS()
	if err := t.write(r); err != nil {
		return nil, fmt.Errorf("write vectors: %w", err)
	}
	return r, nil
}

// write leaves the vectors, the names and, last, the result; then the
// checkpoints are not needed any more.
func (t *trainer) write(r *Result) error {
	var entries []safetensors.Entry
	err := torch.Do(func() {
		s := torch.Open()
		defer s.Close()
		relation := t.tables.relation
		if t.settings.Model == RotatE {
			relation = relation.MulScalar(t.tables.turn)
		}
		m := int64(len(t.data.Relations))
		entries = append(entries, torch.ToEntry(EntityTensor, t.tables.entity), torch.ToEntry(RelationTensor, relation.Narrow(0, 0, m)))
		if t.settings.Reciprocal {
			entries = append(entries, torch.ToEntry(ReciprocalTensor, relation.Narrow(0, m, m)))
		}
	})
	if err != nil {
		return err
	}
	if err := safetensors.Write(filepath.Join(t.job.Dir, VectorsFile), entries, map[string]string{"format": "pt", "model": t.settings.Model}); err != nil {
		return err
	}
	for name, list := range map[string][]string{EntitiesFile: t.data.Entities, RelationsFile: t.data.Relations} {
		if err := writeWhole(filepath.Join(t.job.Dir, name), []byte(strings.Join(list, "\n")+"\n")); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := writeWhole(filepath.Join(t.job.Dir, ResultFile), append(text, '\n')); err != nil {
		return err
	}
	steps, err := t.store.list()
	if err != nil {
		return err
	}
	for _, step := range steps {
		if err := os.RemoveAll(t.store.path(step)); err != nil {
			return err
		}
	}
	return nil
}
