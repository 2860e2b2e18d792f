//go:build torch

package train

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
)

func peftPlan(method string) *recipe.Plan {
	p := plan()
	drop := 0.1
	p.Peft = recipe.Defaults().Peft
	p.Peft.Rank, p.Peft.Dropout, p.Peft.Tokens, p.Peft.Bottleneck, p.Peft.Every = 4, 0.1, 3, 6, 2
	p.Train.Peft, p.Train.LR, p.Train.Dropout, p.Train.CheckpointEvery, p.Train.EvalEvery = method, 1e-2, &drop, 3, 4
	return p
}

// Each method trains, resumes to the same bytes after a kill, saves what peft has a
// place for, and predicts the same from the folder. The base is not in it.
func TestPeftMethods(t *testing.T) {
	_, all := loadTrajectory(t)
	for _, method := range recipe.PeftMethods()[1:] {
		t.Run(method, func(t *testing.T) {
			job := func() *recipe.Job {
				j := newJob(t, peftPlan(method), all[:48])
				j.Valid = &rows{all: all[48:64], size: 8}
				j.Score = func(p []recipe.Prediction) float64 { return float64(p[0].Heads[0].Scores[0]) }
				return j
			}
			whole := job()
			var notices []string
			first, last := 0.0, 0.0
			whole.Observe = func(e recipe.Event) {
				if e.Kind == recipe.EventNotice {
					notices = append(notices, e.Text)
				}
				if e.Kind == recipe.EventStep {
					if first == 0 {
						first = e.Loss
					}
					last = e.Loss
				}
			}
			out, err := Engine{}.Train(t.Context(), whole)
			require.NoError(t, err)
			require.NotEqual(t, first, last)
			require.Less(t, out.Trainable, out.Parameters/2)
			require.Contains(t, strings.Join(notices, "\n"), "trainable: ")
			file := peft.WeightsFile
			if method == recipe.PeftBitFit {
				file = hf.WeightsFile
				_, err = os.Stat(filepath.Join(whole.ExportDir, peft.WeightsFile))
			} else {
				_, err = os.Stat(filepath.Join(whole.ExportDir, hf.WeightsFile))
			}
			require.ErrorIs(t, err, os.ErrNotExist)

			// Nothing of the base is in a checkpoint.
			steps, err := newStore(whole.Dir).list()
			require.NoError(t, err)
			f, err := safetensors.Open(filepath.Join(newStore(whole.Dir).path(steps[0]), weightsFile))
			require.NoError(t, err)
			for _, name := range f.Names() {
				require.NotContains(t, name, "word_embeddings")
			}
			require.NoError(t, f.Close())

			again := job()
			again.Resume = true
			killed, _ := trainKilled(t, again, 5, 0)
			require.True(t, killed)
			killed, _ = trainKilled(t, again, 4, 0)
			require.True(t, killed)
			_, err = Engine{}.Train(t.Context(), again)
			require.NoError(t, err)
			for _, name := range []string{file, hf.ConfigFile} {
				require.Equal(t, digest(t, filepath.Join(whole.ExportDir, name)), digest(t, filepath.Join(again.ExportDir, name)), name)
			}

			got, err := Engine{}.Predict(t.Context(), &recipe.PredictJob{Model: whole.ExportDir, Base: base, Heads: whole.Heads, Rows: whole.Valid, Precision: "fp32", Device: "cpu", Threads: 1})
			require.NoError(t, err)
			for i := range got {
				require.InDeltaSlice(t, out.After[i].Heads[0].Scores, got[i].Heads[0].Scores, 1e-5)
			}
		})
	}
}

// With a learning rate that is too small to change a weight nothing moves.
func TestNothingMoves(t *testing.T) {
	_, all := loadTrajectory(t)
	p := peftPlan(recipe.PeftIA3)
	p.Train.LR = 1e-30
	_, err := Engine{}.Train(t.Context(), newJob(t, p, all[:48]))
	require.ErrorContains(t, err, "after 3 steps the weights of ia3_l have not moved")

	// One of 0 is no warmup: the watch does not wait for it to end.
	p.Train.LR = 0
	_, err = Engine{}.Train(t.Context(), newJob(t, p, all[:48]))
	require.ErrorContains(t, err, "have not moved")
}

// A training in which no step has a loss is none, whatever is trained.
func TestNoStepHasALoss(t *testing.T) {
	_, all := loadTrajectory(t)
	bare := make([]*recipe.Encoded, 24)
	for i, r := range all[:24] {
		c := *r
		c.Targets = []recipe.Target{{}}
		bare[i] = &c
	}
	_, err := Engine{}.Train(t.Context(), newJob(t, plan(), bare))
	require.ErrorContains(t, err, "had a loss")
}

// tunedStudent learns with adapters what a teacher says, from its hidden states after
// the first layer alone if low.
func tunedStudent(t *testing.T, teacher, method string, low bool) *recipe.Job {
	t.Helper()
	_, all := loadTrajectory(t)
	p := peftPlan(method)
	p.Objective, p.Distill = recipe.ObjectiveDistill, recipe.DistillPlan{Labels: 0.5, Logits: 1, Temperature: 2, Hidden: 1, RelationLayer: -1}
	if low {
		p.Distill = recipe.DistillPlan{Hidden: 1, Temperature: 2, Layers: []string{"0:0"}, RelationLayer: -1}
	}
	p.Train.CheckpointEvery = 1
	job := newJob(t, p, all[:48])
	job.Teachers = []recipe.Teacher{{Name: "teacher", Dir: teacher, Heads: topic(), Rows: &rows{all: all[:48], size: 8}, Same: true}}
	return job
}

// A distillation is watched too: adapters in a layer above those that it compares have
// no gradient. Adapters below them do not speak for them, and a resume before the third
// step does not lose count.
func TestNoGradientReachesALayer(t *testing.T) {
	teacher := trainedTeacher(t)
	for _, method := range []string{recipe.PeftLoRA, recipe.PeftHoulsby} {
		_, err := Engine{}.Train(t.Context(), tunedStudent(t, teacher, method, false))
		require.NoError(t, err, method)
	}
	job := tunedStudent(t, teacher, recipe.PeftLoRA, true)
	_, err := Engine{}.Train(t.Context(), job)
	require.ErrorContains(t, err, "step 3: after 3 steps the weights of lora_A of encoder.layer.1.attention.self.query, lora_A of encoder.layer.1.attention.self.value, lora_B of encoder.layer.1.attention.self.query, lora_B of encoder.layer.1.attention.self.value have not moved")

	cut := tunedStudent(t, teacher, recipe.PeftLoRA, true)
	cut.Resume = true
	killed, _ := trainKilled(t, cut, 2, 0) // before its checkpoint: that of step 1 is there
	require.True(t, killed)
	_, err = Engine{}.Train(t.Context(), cut)
	require.ErrorContains(t, err, "step 3: after 3 steps the weights of lora_A of encoder.layer.1")
}

// What weight decay does is no training: lora_A, whose gradient is zero as long as
// lora_B is, shrinks and yet has not moved.
func TestDecayIsNoTraining(t *testing.T) {
	_, all := loadTrajectory(t)
	p := peftPlan(recipe.PeftLoRA)
	p.Train.WeightDecay = 0.1
	tr := newTrainer(newJob(t, p, all[:48]))
	defer tr.close()
	require.NoError(t, tr.prepare())
	start := map[string]string{}
	require.NoError(t, torch.Do(func() {
		for _, w := range tr.model.Params() {
			switch {
			case strings.Contains(w.Name, ".lora_B"):
				w.Value.RequiresGrad(false)
			case strings.Contains(w.Name, ".lora_A"):
				start[w.Name] = string(w.Value.Bytes())
			}
		}
	}))
	_, err := tr.run(t.Context())
	require.ErrorContains(t, err, "after 3 steps the weights of lora_A have not moved")
	require.NoError(t, torch.Do(func() {
		for _, w := range tr.model.Params() {
			if was, ok := start[w.Name]; ok {
				require.NotEqual(t, was, string(w.Value.Bytes()), "weight decay changed %s", w.Name)
			}
		}
	}))
}

// Gradual unfreezing: the heads first, then layer by layer from the top, the
// embeddings last; a resumed run ends in the same bytes.
func TestGradualUnfreezing(t *testing.T) {
	_, all := loadTrajectory(t)
	job := func(steps int) *recipe.Job {
		p := plan()
		p.Train.Freeze, p.Train.UnfreezeEvery, p.Train.Steps, p.Train.CheckpointEvery = []string{"encoder"}, 2, steps, 1
		return newJob(t, p, all[:64])
	}
	moved := func(j *recipe.Job) (out []string) {
		was, err := safetensors.Open(filepath.Join(base, hf.WeightsFile))
		require.NoError(t, err)
		defer was.Close()
		is := weightsOf(t, j)
		for _, name := range []string{"embeddings.word_embeddings.weight", "encoder.layer.0.output.dense.weight", "encoder.layer.1.output.dense.weight", "pooler.dense.weight"} {
			a, _ := was.Entry(name)
			b, ok := is.Entry("bert." + name)
			require.True(t, ok)
			if string(a.Data) != string(b.Data) {
				out = append(out, name)
			}
		}
		return out
	}
	for steps, want := range map[int][]string{
		2: nil,
		4: {"encoder.layer.1.output.dense.weight", "pooler.dense.weight"},
		6: {"encoder.layer.0.output.dense.weight", "encoder.layer.1.output.dense.weight", "pooler.dense.weight"},
		8: {"embeddings.word_embeddings.weight", "encoder.layer.0.output.dense.weight", "encoder.layer.1.output.dense.weight", "pooler.dense.weight"},
	} {
		j := job(steps)
		_, err := Engine{}.Train(t.Context(), j)
		require.NoError(t, err)
		require.Equal(t, want, moved(j), "%d steps", steps)
	}
	whole, again := job(8), job(8)
	_, err := Engine{}.Train(t.Context(), whole)
	require.NoError(t, err)
	again.Resume = true
	killed, _ := trainKilled(t, again, 4, 0)
	require.True(t, killed)
	_, err = Engine{}.Train(t.Context(), again)
	require.NoError(t, err)
	require.Equal(t, digest(t, filepath.Join(whole.ExportDir, hf.WeightsFile)), digest(t, filepath.Join(again.ExportDir, hf.WeightsFile)))
}

// Rows of new terms are trained beside LoRA: they move and no other word embeddings do,
// a killed run ends in the same bytes, and the folder predicts the same. Terms that no
// text holds keep their rows, and do not end the run.
func TestPeftTerms(t *testing.T) {
	_, all := loadTrajectory(t)
	seen, unseen := all[0].IDs[1], int32(-1)
	used := map[int32]bool{}
	for _, r := range all {
		for _, id := range r.IDs {
			used[id] = true
		}
	}
	for id := range int32(96) {
		if !used[id] {
			unseen = id
		}
	}
	job := func(ids ...int32) *recipe.Job {
		p := peftPlan(recipe.PeftLoRA)
		p.Train.WeightDecay = 0
		j := newJob(t, p, all[:48])
		j.Valid = &rows{all: all[48:64], size: 8}
		j.Terms = &recipe.Terms{IDs: ids, Rows: 96}
		return j
	}
	values := func(j *recipe.Job) (rows []byte, width int) {
		f, err := safetensors.Open(filepath.Join(j.ExportDir, peft.WeightsFile))
		require.NoError(t, err)
		defer f.Close()
		e, ok := f.Entry("base_model.model.bert.embeddings.word_embeddings.token_adapter.trainable_tokens_delta")
		require.True(t, ok)
		for _, name := range f.Names() {
			require.NotContains(t, name, "base_layer")
		}
		return slices.Clone(e.Data), 4 * int(e.Shape[1])
	}
	was, err := safetensors.Open(filepath.Join(base, hf.WeightsFile))
	require.NoError(t, err)
	defer was.Close()
	table, ok := was.Entry("embeddings.word_embeddings.weight")
	require.True(t, ok)
	old := func(id int32, width int) []byte { return table.Data[int(id)*width : (int(id)+1)*width] }

	whole := job(seen)
	out, err := Engine{}.Train(t.Context(), whole)
	require.NoError(t, err)
	got, width := values(whole)
	require.Len(t, got, width)
	require.NotEqual(t, old(seen, width), got)

	again := job(seen)
	again.Resume = true
	killed, _ := trainKilled(t, again, 5, 0)
	require.True(t, killed)
	_, err = Engine{}.Train(t.Context(), again)
	require.NoError(t, err)
	require.Equal(t, digest(t, filepath.Join(whole.ExportDir, peft.WeightsFile)), digest(t, filepath.Join(again.ExportDir, peft.WeightsFile)))

	said, err := Engine{}.Predict(t.Context(), &recipe.PredictJob{Model: whole.ExportDir, Base: base, Heads: whole.Heads, Rows: whole.Valid, Precision: "fp32", Device: "cpu", Threads: 1})
	require.NoError(t, err)
	for i := range said {
		require.InDeltaSlice(t, out.After[i].Heads[0].Scores, said[i].Heads[0].Scores, 1e-5)
	}

	require.NotEqual(t, int32(-1), unseen)
	idle := job(unseen)
	_, err = Engine{}.Train(t.Context(), idle)
	require.NoError(t, err)
	got, width = values(idle)
	require.Equal(t, old(unseen, width), got)
}
