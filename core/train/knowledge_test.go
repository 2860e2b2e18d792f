//go:build torch

package train

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// knowing gives rows something of every way of injection.
func knowing(all []*recipe.Encoded) []*recipe.Encoded {
	out := make([]*recipe.Encoded, len(all))
	for i, r := range all {
		c := *r
		n := int32(len(c.IDs))
		c.Inject = &recipe.Injected{Marks: make([]int32, n), Features: make([]int32, 2*n)}
		for j := range n {
			c.Inject.Marks[j], c.Inject.Features[2*j], c.Inject.Features[2*j+1] = (j+int32(i))%5, j%3, int32(i)%2
		}
		if i%4 > 0 {
			c.Inject.Mentions = []recipe.LinkedPieces{{From: 1, To: 3, Entity: int32(i % 5)}}
			c.Inject.Facts = []recipe.InjectedFact{{Length: int32(i%4) + 1}}
			c.Inject.Pieces = slices.Repeat([]int32{7 + int32(i%20)}, i%4+1)
		}
		out[i] = &c
	}
	return out
}

func injection() *recipe.Injection {
	return &recipe.Injection{Marks: 4, Features: 3, Slots: 2, Dim: 3, Vector: func(e int32) []float32 {
		if e == 4 {
			return nil // an entity without a vector
		}
		return []float32{float32(e), 1, -2}
	}}
}

func knowingJob(t *testing.T, all []*recipe.Encoded) *recipe.Job {
	drop := 0.1
	p := plan()
	p.Train.Dropout, p.Train.CheckpointEvery = &drop, 3
	p.Knowledge = recipe.KnowledgePlan{Inject: recipe.InjectWays(), LR: 5e-3, EntityLayers: []float64{0}}
	job := newJob(t, p, knowing(all[:48]))
	job.Injection = injection()
	return job
}

func ownDigest(t *testing.T, job *recipe.Job) [2]string {
	t.Helper()
	return [2]string{digest(t, filepath.Join(job.ExportDir, hf.WeightsFile)), digest(t, filepath.Join(job.ExportDir, hf.Own, hf.KnowledgeWeightsFile))}
}

// With all four ways on, a run that was killed ends in the same bytes; the
// weights of the knowledge were trained, and the bundle alone predicts what the
// trainer did.
func TestKnowledgeResumes(t *testing.T) {
	_, all := loadTrajectory(t)
	whole := knowingJob(t, all)
	valid := &rows{all: knowing(all[60:76]), size: 8}
	whole.Valid = valid
	want, err := Engine{}.Train(t.Context(), whole)
	require.NoError(t, err)

	job := knowingJob(t, all)
	job.Valid = valid
	job.Resume = true
	killed, _ := trainKilled(t, job, 5, 0)
	require.True(t, killed)
	killed, got := trainKilled(t, job, 0, 0)
	require.False(t, killed)
	require.Equal(t, 3, *got.ResumedFrom)
	require.Equal(t, ownDigest(t, whole), ownDigest(t, job))
	require.Equal(t, want.Losses, got.Losses)

	f, err := safetensors.Open(filepath.Join(job.ExportDir, hf.Own, hf.KnowledgeWeightsFile))
	require.NoError(t, err)
	defer f.Close()
	require.Len(t, f.Names(), 2+7)
	for _, name := range f.Names() {
		e, _ := f.Entry(name)
		require.True(t, slices.ContainsFunc(floats(t, e), func(v float32) bool { return v != 0 }), "%s was not trained", name)
	}

	again, err := Engine{}.Predict(t.Context(), &recipe.PredictJob{Model: job.ExportDir, Heads: topic(), Rows: valid, Plan: job.Plan, Injection: injection(), Precision: "fp32", Device: "cpu", Threads: 1})
	require.NoError(t, err)
	for i := range again {
		for k, v := range got.After[i].Heads[0].Scores {
			require.InDelta(t, v, again[i].Heads[0].Scores[k], 1e-6)
		}
	}
}

// A run that injects nothing ends in the bytes of one whose plan never heard of
// knowledge, whatever its rows know.
func TestKnowledgeOffEndsInTheSameBytes(t *testing.T) {
	_, all := loadTrajectory(t)
	plain := newJob(t, plan(), all[:48])
	_, err := Engine{}.Train(t.Context(), plain)
	require.NoError(t, err)
	off := newJob(t, plan(), all[:48])
	off.Plan.Knowledge = recipe.KnowledgePlan{TextFacts: 2, LR: 1e-2, Control: recipe.ControlOff}
	_, err = Engine{}.Train(t.Context(), off)
	require.NoError(t, err)
	require.Equal(t, digest(t, filepath.Join(plain.ExportDir, hf.WeightsFile)), digest(t, filepath.Join(off.ExportDir, hf.WeightsFile)))
	require.NoFileExists(t, filepath.Join(off.ExportDir, hf.Own, hf.KnowledgeWeightsFile))
}

func TestKnowledgeFreezesBase(t *testing.T) {
	_, all := loadTrajectory(t)
	before, err := safetensors.Open(filepath.Join(base, hf.WeightsFile))
	require.NoError(t, err)
	defer before.Close()
	job := knowingJob(t, all)
	job.Plan.Knowledge.FreezeBase = true
	job.Heads = []sdk.HeadSpec{{Name: "topic", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}}}
	out, err := Engine{}.Train(t.Context(), job)
	require.NoError(t, err)
	require.Less(t, out.Trainable, out.Parameters/2)
	after := weightsOf(t, job)
	for _, name := range before.Names() {
		if name == "embeddings.position_ids" {
			continue
		}
		a, _ := before.Entry(name)
		b, ok := after.Entry(hf.Prefixed("bert", name))
		require.True(t, ok, name)
		require.Equal(t, a.Data, b.Data, name)
	}
}
