//go:build torch

package train

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

const base = "../model/testdata/base"

// rows is a loader and a source over examples in memory.
type rows struct {
	all     []*recipe.Encoded
	size    int
	shuffle bool
}

func (r *rows) Len() int                 { return len(r.all) }
func (r *rows) At(i int) *recipe.Encoded { return r.all[i] }
func (r *rows) Steps(int) int            { return ceilDiv(len(r.all), r.size) }

func (r *rows) Epoch(_ context.Context, epoch, from int) iter.Seq2[*recipe.Batch, error] {
	order := make([]int, len(r.all))
	for i := range order {
		order[i] = i
	}
	if r.shuffle {
		rand.New(rand.NewPCG(1, uint64(epoch))).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	return r.cut(order, r.size, from)
}

func (r *rows) Batches(_ context.Context, size int) iter.Seq2[*recipe.Batch, error] {
	order := make([]int, len(r.all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(r.all[a].IDs) - len(r.all[b].IDs) })
	return r.cut(order, size, 0)
}

func (r *rows) cut(order []int, size, from int) iter.Seq2[*recipe.Batch, error] {
	return func(yield func(*recipe.Batch, error) bool) {
		for i := from * size; i < len(order); i += size {
			b := &recipe.Batch{}
			for _, k := range order[i:min(i+size, len(order))] {
				b.Rows, b.Index = append(b.Rows, r.all[k]), append(b.Index, k)
				b.Tokens += len(r.all[k].IDs)
				b.Width = max(b.Width, len(r.all[k].IDs))
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// trajectory is the fixture of 20 steps.
type trajectory struct {
	Rows []struct {
		IDs   []int32 `json:"ids"`
		Class int32   `json:"class"`
	} `json:"rows"`
	Batch int `json:"batch"`
	Runs  map[string]struct {
		LR     float64   `json:"lr"`
		Decay  float64   `json:"weight_decay"`
		Warmup float64   `json:"warmup"`
		Clip   float64   `json:"clip"`
		Losses []float64 `json:"losses"`
		Norms  []float64 `json:"grad_norms"`
	} `json:"runs"`
}

func loadTrajectory(t *testing.T) (*trajectory, []*recipe.Encoded) {
	t.Helper()
	data, err := os.ReadFile("../model/testdata/trajectory.json")
	require.NoError(t, err)
	tr := &trajectory{}
	require.NoError(t, json.Unmarshal(data, tr))
	var all []*recipe.Encoded
	for i, r := range tr.Rows {
		e := &recipe.Encoded{ID: fmt.Sprint("row", i), Key: uint64(i)*2654435761 + 1, IDs: r.IDs}
		for p := 1; p < len(r.IDs)-1; p++ {
			e.Starts = append(e.Starts, int32(p))
		}
		e.Targets = []recipe.Target{{Has: true, Class: r.Class}}
		all = append(all, e)
	}
	return tr, all
}

func topic() []sdk.HeadSpec {
	return []sdk.HeadSpec{{Name: "topic", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}}}
}

// plan is small and in fp32.
func plan() *recipe.Plan {
	return &recipe.Plan{Seed: 11, Train: recipe.TrainPlan{
		Epochs: 2, BatchSize: 8, LR: 1e-3, Schedule: "linear", Clip: 1, WeightDecay: 0.01, Precision: "fp32", Device: "cpu",
	}}
}

func newJob(t *testing.T, p *recipe.Plan, all []*recipe.Encoded) *recipe.Job {
	t.Helper()
	return newJobAt(t.TempDir(), p, all)
}

func newJobAt(dir string, p *recipe.Plan, all []*recipe.Encoded) *recipe.Job {
	return &recipe.Job{
		Dir: dir, ExportDir: filepath.Join(dir, "out"), Plan: p, Base: base, Heads: topic(), Threads: 1,
		Train: &rows{all: all, size: p.Train.BatchSize, shuffle: true},
	}
}

func digest(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

func weightsOf(t *testing.T, job *recipe.Job) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(job.ExportDir, hf.WeightsFile))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func floats(t *testing.T, e safetensors.Entry) (out []float32) {
	t.Helper()
	require.NoError(t, torch.Do(func() {
		s := torch.Open()
		defer s.Close()
		out = torch.FromBytes(e.Data, torch.Float32, e.Shape...).Float32s()
	}))
	return out
}

// Losses and gradient norms of 20 steps follow those of transformers and
// torch.optim.AdamW on the same batches, dropout 0.
func TestTrajectoryFollowsTransformers(t *testing.T) {
	tr, all := loadTrajectory(t)
	start := t.TempDir()
	require.NoError(t, torch.Do(func() {
		m, diags := model.Load(base, topic(), model.Options{Device: torch.CPU})
		require.False(t, diags.HasErrors(), diags.String())
		defer m.Close()
		f, err := safetensors.Open("../model/testdata/trajectory.safetensors")
		require.NoError(t, err)
		defer f.Close()
		torch.NoGrad(func() {
			for _, p := range m.Params() {
				if p.Head != "" {
					e, ok := f.Entry(p.Name[len("topic."):])
					require.True(t, ok)
					overwrite(p.Value, e.Data)
				}
			}
		})
		require.NoError(t, m.Save(start, ""))
	}))
	for name, run := range tr.Runs {
		t.Run(name, func(t *testing.T) {
			p := plan()
			p.Train.Epochs, p.Train.LR, p.Train.WeightDecay, p.Train.Clip = 1, run.LR, run.Decay, run.Clip
			p.Train.Warmup = run.Warmup
			if name == "tutorial" {
				p.Train.Schedule = "constant"
			}
			job := newJob(t, p, all)
			job.Base, job.Train = start, &rows{all: all, size: tr.Batch}
			var losses, norms []float64
			job.Observe = func(e recipe.Event) {
				if e.Kind == recipe.EventStep {
					losses, norms = append(losses, e.Loss), append(norms, e.GradNorm)
				}
			}
			_, err := Engine{}.Train(t.Context(), job)
			require.NoError(t, err)
			require.Len(t, losses, 20)
			for i := range losses {
				require.InDelta(t, run.Losses[i], losses[i], 1e-4, "loss of step %d", i+1)
				require.InDelta(t, run.Norms[i], norms[i], 1e-3, "gradient norm of step %d", i+1)
			}
		})
	}
}

// k micro-batches of unequal size are one batch, dropout on.
func TestAccumulationEqualsOneBatch(t *testing.T) {
	_, all := loadTrajectory(t)
	drop := 0.2
	run := func(size, accumulate int) ([]float64, *safetensors.File) {
		p := plan()
		p.Train.Epochs, p.Train.BatchSize, p.Train.Accumulate, p.Train.Dropout = 1, size, accumulate, &drop
		job := newJob(t, p, all[:60]) // 60 = 7*8+4: the last step is smaller
		job.Train = &rows{all: all[:60], size: size}
		var losses []float64
		job.Observe = func(e recipe.Event) {
			if e.Kind == recipe.EventStep {
				losses = append(losses, e.Loss)
			}
		}
		out, err := Engine{}.Train(t.Context(), job)
		require.NoError(t, err)
		require.Equal(t, 8, out.Steps)
		return losses, weightsOf(t, job)
	}
	want, whole := run(8, 1)
	got, parts := run(2, 4)
	for i := range want {
		require.InDelta(t, want[i], got[i], 1e-4)
	}
	for _, name := range whole.Names() {
		a, _ := whole.Entry(name)
		b, _ := parts.Entry(name)
		x, y := floats(t, a), floats(t, b)
		for i := range x {
			// Adam turns a tiny difference of a tiny gradient into a full step.
			require.InDelta(t, x[i], y[i], 2e-3, name)
		}
	}
}

func TestFreezing(t *testing.T) {
	_, all := loadTrajectory(t)
	before, err := safetensors.Open(filepath.Join(base, hf.WeightsFile))
	require.NoError(t, err)
	defer before.Close()
	for item, frozen := range map[string]func(string) bool{
		"embeddings": func(n string) bool {
			return holds(&hf.Config{ModelType: "bert"}, recipe.Frozen{Embeddings: true}, &model.Param{Name: n}, false)
		},
		"layers 0-0": func(n string) bool {
			return holds(&hf.Config{ModelType: "bert"}, recipe.Frozen{Layers: []bool{true}}, &model.Param{Name: n}, false)
		},
		"encoder": func(string) bool { return true },
		"all but top 1": func(n string) bool {
			return holds(&hf.Config{ModelType: "bert"}, recipe.Frozen{Embeddings: true, Layers: []bool{true, false}}, &model.Param{Name: n}, false)
		},
	} {
		t.Run(item, func(t *testing.T) {
			p := plan()
			p.Train.Epochs, p.Train.Freeze = 1, []string{item}
			job := newJob(t, p, all[:32])
			out, err := Engine{}.Train(t.Context(), job)
			require.NoError(t, err)
			after := weightsOf(t, job)
			held := int64(0)
			for _, name := range before.Names() {
				a, _ := before.Entry(name)
				b, ok := after.Entry("bert." + name)
				require.True(t, ok, name)
				if frozen(name) {
					require.Equal(t, a.Data, b.Data, "%s is frozen", name)
					held += int64(len(a.Data) / 4)
				} else {
					require.NotEqual(t, a.Data, b.Data, "%s is trained", name)
				}
			}
			require.Equal(t, held, out.Parameters-out.Trainable)
			require.Positive(t, out.Trainable)
		})
	}
	p := plan()
	p.Train.Freeze = []string{"layers 0-9"}
	_, err = Engine{}.Train(t.Context(), newJob(t, p, all[:8]))
	require.ErrorContains(t, err, "train.freeze")
}

// errKilled stands for SIGKILL: nothing of the trainer runs after it.
var errKilled = errors.New("killed")

// trainKilled trains until the n-th occasion and "kills" the trainer there: at a
// step, or in the middle of writing a checkpoint.
func trainKilled(t *testing.T, job *recipe.Job, atStep, atWrite int) (killed bool, out *recipe.Outcome) {
	t.Helper()
	tr := newTrainer(job)
	steps, writes := 0, 0
	tr.observe = func(e recipe.Event) {
		if e.Kind == recipe.EventStep {
			if steps++; steps == atStep {
				panic(errKilled)
			}
		}
	}
	write := tr.store.write
	tr.store.write = func(path string, tensors []safetensors.Entry) error {
		if writes++; writes == atWrite {
			require.NoError(t, os.WriteFile(path, []byte("half"), 0o644))
			panic(errKilled)
		}
		return write(path, tensors)
	}
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); !ok || !errors.Is(err, errKilled) {
				panic(v)
			}
			killed = true
		}
	}()
	out, err := tr.train(t.Context())
	require.NoError(t, err)
	return false, out
}

// Killed anywhere and resumed, also while a checkpoint is written and between
// epochs, a run ends in the bytes of an uninterrupted one. Dropout is on.
func TestResumeEndsInTheSameBytes(t *testing.T) {
	_, all := loadTrajectory(t)
	drop := 0.1
	r := rand.New(rand.NewPCG(4, 4))
	make1 := func() *recipe.Job {
		p := plan()
		p.Train.Epochs, p.Train.Dropout, p.Train.CheckpointEvery, p.Train.EvalEvery = 3, &drop, 3, 4
		p.Train.Warmup = 0.2
		job := newJob(t, p, all[:60])
		job.Valid = &rows{all: all[60:76], size: 8}
		job.Score = func(p []recipe.Prediction) float64 { return float64(p[0].Heads[0].Scores[0]) }
		return job
	}
	whole := make1()
	var events []recipe.Event
	whole.Observe = func(e recipe.Event) {
		if e.Kind == recipe.EventEpoch || e.Kind == recipe.EventValid {
			events = append(events, e)
		}
	}
	want, err := Engine{}.Train(t.Context(), whole)
	require.NoError(t, err)
	require.Equal(t, 24, want.Steps)
	sum := digest(t, filepath.Join(whole.ExportDir, hf.WeightsFile))

	for trial := range 3 {
		job := make1()
		job.Resume = true // nothing there yet: begins afresh
		var got *recipe.Outcome
		for attempt := 0; ; attempt++ {
			require.Less(t, attempt, 40)
			step, write := 1+r.IntN(10), 0
			if r.IntN(2) == 0 {
				step, write = 0, 1+r.IntN(5)
			}
			if attempt > 3 {
				step, write = 0, 0
			}
			killed, out := trainKilled(t, job, step, write)
			if !killed {
				got = out
				break
			}
		}
		require.Equal(t, sum, digest(t, filepath.Join(job.ExportDir, hf.WeightsFile)), "trial %d", trial)
		require.Equal(t, want.Losses, got.Losses, "mean losses of the epochs")
		require.Equal(t, want.BestStep, got.BestStep)
		require.Equal(t, want.Tokens, got.Tokens)
		left, err := filepath.Glob(filepath.Join(job.Dir, "islm", "*.tmp"))
		require.NoError(t, err)
		require.Empty(t, left)
	}

	// A finished run that is resumed exports the same again.
	whole.Resume = true
	_, err = Engine{}.Train(t.Context(), whole)
	require.NoError(t, err)
	require.Equal(t, sum, digest(t, filepath.Join(whole.ExportDir, hf.WeightsFile)))
	// Another plan is not.
	whole.Plan.Seed = 12
	_, err = Engine{}.Train(t.Context(), whole)
	require.ErrorContains(t, err, "resume")
}

// A cancelled context leaves a checkpoint of the step at hand.
func TestCancelAndResume(t *testing.T) {
	_, all := loadTrajectory(t)
	whole := newJob(t, plan(), all[:64])
	_, err := Engine{}.Train(t.Context(), whole)
	require.NoError(t, err)

	job := newJob(t, plan(), all[:64])
	ctx, cancel := context.WithCancel(t.Context())
	job.Observe = func(e recipe.Event) {
		if e.Kind == recipe.EventStep && e.Step == 5 {
			cancel()
		}
	}
	_, err = Engine{}.Train(ctx, job)
	require.ErrorIs(t, err, context.Canceled)
	steps, err := newStore(job.Dir).list()
	require.NoError(t, err)
	require.Equal(t, []int{5}, steps)

	resumed := 0
	job.Resume, job.Observe = true, func(e recipe.Event) {
		if e.Kind == recipe.EventResume {
			resumed = e.Step
		}
	}
	out, err := Engine{}.Train(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, 5, resumed)
	require.Equal(t, 5, *out.ResumedFrom)
	require.Equal(t, digest(t, filepath.Join(whole.ExportDir, hf.WeightsFile)), digest(t, filepath.Join(job.ExportDir, hf.WeightsFile)))

	// Cancelled in the middle of a validation: it is made up for.
	job = newJob(t, plan(), all[:64])
	job.Valid, job.Score = &rows{all: all[64:], size: 8}, func([]recipe.Prediction) float64 { return 1 }
	ctx, cancel = context.WithCancel(t.Context())
	job.Observe = func(e recipe.Event) {
		if e.Kind == recipe.EventPredict && e.Steps == len(all)-64 && e.Elapsed > 0 {
			cancel()
		}
	}
	_, err = Engine{}.Train(ctx, job)
	require.ErrorIs(t, err, context.Canceled)
	var kinds []string
	job.Resume, job.Observe = true, func(e recipe.Event) {
		if e.Kind != recipe.EventPredict {
			kinds = append(kinds, e.Kind)
		}
	}
	_, err = Engine{}.Train(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, []string{recipe.EventResume, recipe.EventValid}, kinds[:2])
}

// The disk is full at the second checkpoint: the first stays, nothing is left
// of the second.
func TestDiskFull(t *testing.T) {
	_, all := loadTrajectory(t)
	p := plan()
	p.Train.CheckpointEvery = 2
	job := newJob(t, p, all[:64])
	tr := newTrainer(job)
	write, n := tr.store.write, 0
	tr.store.write = func(path string, tensors []safetensors.Entry) error {
		if n++; n == 4 {
			require.NoError(t, os.WriteFile(path, []byte("half"), 0o644))
			return &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
		}
		return write(path, tensors)
	}
	_, err := tr.train(t.Context())
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "checkpoint of step 4")
	entries, err := os.ReadDir(filepath.Join(job.Dir, "islm"))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "checkpoint-2", entries[0].Name())
	require.NoDirExists(t, job.ExportDir)
}

// The best validation wins, patience ends the run, and the last two checkpoints
// and the best are kept.
func TestEarlyStoppingAndBest(t *testing.T) {
	_, all := loadTrajectory(t)
	for _, checkpoints := range []int{1, -1} {
		p := plan()
		p.Train.Epochs, p.Train.EvalEvery, p.Train.Patience, p.Train.CheckpointEvery = 3, 1, 3, checkpoints
		job := newJob(t, p, all[:48])
		job.Valid = &rows{all: all[48:56], size: 8}
		job.Test = &rows{all: all[56:64], size: 8}
		scores := []float64{0.1, 0.5, 0.4, 0.9, 0.9, 0.3, 0.8, 1}
		var seen [][]recipe.Prediction
		job.Score = func(p []recipe.Prediction) float64 {
			seen = append(seen, p)
			return scores[len(seen)-1]
		}
		out, err := Engine{}.Train(t.Context(), job)
		require.NoError(t, err)
		require.True(t, out.StoppedEarly)
		require.Equal(t, 7, out.Steps)
		require.Equal(t, 4, out.BestStep)
		require.Equal(t, 0.9, out.BestScore)
		require.Equal(t, "test", out.Split)
		require.Len(t, out.After, 8)
		require.NotEqual(t, out.Before, out.After)
		steps, err := newStore(job.Dir).list()
		require.NoError(t, err)
		if checkpoints > 0 {
			require.Equal(t, []int{4, 6, 7}, steps)
		} else {
			require.Empty(t, steps)
		}
		// What was exported is the state of step 4.
		got, err := Engine{}.Predict(t.Context(), &recipe.PredictJob{Model: job.ExportDir, Heads: job.Heads, Rows: job.Valid, Precision: "fp32", Device: "cpu", Threads: 1})
		require.NoError(t, err)
		for i := range got {
			require.InDeltaSlice(t, seen[3][i].Heads[0].Scores, got[i].Heads[0].Scores, 1e-6)
		}
	}
}

func TestNotANumber(t *testing.T) {
	_, all := loadTrajectory(t)
	p := plan()
	p.Train.LR, p.Train.Clip, p.Train.Schedule = 1e30, 0, "constant"
	_, err := Engine{}.Train(t.Context(), newJob(t, p, all[:32]))
	require.ErrorContains(t, err, "step 2")
	require.Regexp(t, `embeddings|encoder|pooler|weight|topic`, err.Error())

	p = plan()
	job := newJob(t, p, all[:8])
	job.Base = t.TempDir()
	require.NoError(t, torch.Do(func() {
		m, _ := model.Load(base, topic(), model.Options{Device: torch.CPU})
		defer m.Close()
		torch.NoGrad(func() { m.Params()[7].Value.FillInPlace(1e38) })
		require.NoError(t, m.Save(job.Base, ""))
	}))
	_, err = Engine{}.Train(t.Context(), job)
	require.ErrorContains(t, err, "step 1")
	require.ErrorContains(t, err, "encoder.layer.0")
}

// After each step as many tensors live as before it, with all kinds of heads.
func TestTensorsDoNotPileUp(t *testing.T) {
	_, all := loadTrajectory(t)
	heads := []sdk.HeadSpec{
		topic()[0],
		{Name: "ner", Kind: sdk.KindTag, Labels: []string{"X"}, CRF: true},
		{Name: "flags", Kind: sdk.KindMultilabel, Labels: []string{"p", "q"}, Pooling: "mean"},
	}
	for i, r := range all {
		r.Targets = append(r.Targets, recipe.Target{Has: i%2 == 0, Tags: make([]int32, len(r.Starts))}, recipe.Target{Has: i%3 == 0, Classes: []bool{i%2 == 0, true}})
		for j := range r.Starts {
			r.Targets[1].Tags[j] = int32((i + j) % 3)
		}
	}
	for _, precision := range []string{"fp32", "bf16"} {
		p := plan()
		p.Train.Precision, p.Train.EvalEvery, p.Train.CheckpointEvery = precision, 2, 3
		job := newJob(t, p, all[:48])
		job.Heads = heads
		job.Valid, job.Score = &rows{all: all[48:64], size: 8}, func([]recipe.Prediction) float64 { return 0 }
		var live []int
		first, last := 0.0, 0.0
		job.Observe = func(e recipe.Event) {
			if e.Kind == recipe.EventStep {
				if first == 0 {
					first = e.Loss
				}
				last = e.Loss
				require.NoError(t, torch.Do(func() { live = append(live, torch.Live()) }))
			}
		}
		out, err := Engine{}.Train(t.Context(), job)
		require.NoError(t, err)
		require.Equal(t, precision, out.Precision)
		require.Less(t, last, first)
		for _, n := range live[1:] {
			require.Equal(t, live[0], n)
		}
		require.Positive(t, out.Tokens)
		require.Positive(t, out.PeakRSS)
		require.Positive(t, out.Seconds)
		require.InDelta(t, 0.2, out.PaddingShare, 0.2)
		require.Equal(t, "valid", out.Split)
		for _, p := range out.After {
			require.Len(t, p.Heads, 3)
			require.Len(t, p.Heads[2].Scores, 2)
		}
		got, err := Engine{}.Predict(t.Context(), &recipe.PredictJob{Model: job.ExportDir, Heads: heads, Rows: job.Valid, Precision: precision, Threads: 1, BatchSize: 5})
		require.NoError(t, err)
		require.Len(t, got, 16)
	}
	require.NoError(t, torch.Do(func() { require.Zero(t, torch.Live()) }))
}

func TestProblemsOfTheBase(t *testing.T) {
	_, all := loadTrajectory(t)
	job := newJob(t, plan(), all[:8])
	job.Base = t.TempDir()
	_, err := Engine{}.Train(t.Context(), job)
	ds, _, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok)
	require.Equal(t, "model.config", ds[0].Code)

	all[3].IDs[1] = 5000
	job = newJob(t, plan(), all[:8])
	_, err = Engine{}.Train(t.Context(), job)
	ds, _, ok = sdk.DiagnosticsOf(err)
	require.True(t, ok)
	require.Equal(t, "model.vocabulary", ds[0].Code)

	p := plan()
	p.Objective = "distill"
	_, err = Engine{}.Train(t.Context(), newJob(t, p, all[:8]))
	require.ErrorContains(t, err, "distill")
}
