//go:build torch

package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// startOf saves the fixture's model: the base with the trajectory's head.
func startOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, torch.Do(func() {
		m, diags := model.Load(base, topic(), model.Options{Device: torch.CPU})
		require.False(t, diags.HasErrors(), diags.String())
		defer m.Close()
		f, err := safetensors.Open("../model/testdata/trajectory.safetensors")
		require.NoError(t, err)
		defer f.Close()
		torch.NoGrad(func() {
			for _, p := range m.Params() {
				if e, ok := f.Entry(strings.TrimPrefix(p.Name, "topic.")); ok && p.Head != "" {
					overwrite(p.Value, e.Data)
				}
			}
		})
		require.NoError(t, m.Save(dir, ""))
	}))
	return dir
}

// grown is topic with a new label; the rows of every fourth have it.
func grown(all []*recipe.Encoded) ([]sdk.HeadSpec, []*recipe.Encoded) {
	heads := topic()
	heads[0].Labels = append(heads[0].Labels, "d")
	var out []*recipe.Encoded
	for i, r := range all {
		row := *r
		row.Targets = slices.Clone(r.Targets)
		if i%4 == 0 {
			row.Targets[0].Class = 3
		}
		out = append(out, &row)
	}
	return heads, out
}

func TestAnchorEqualsPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/ewc.json")
	require.NoError(t, err)
	var want struct {
		Rows     int     `json:"rows"`
		Strength float64 `json:"strength"`
		Loss     float64 `json:"loss"`
	}
	require.NoError(t, json.Unmarshal(text, &want))
	f, err := safetensors.Open("testdata/ewc.safetensors")
	require.NoError(t, err)
	defer f.Close()
	_, all := loadTrajectory(t)
	p := plan()
	p.Continue.EWC = want.Strength
	tr := newTrainer(&recipe.Job{Plan: p, Base: startOf(t), Heads: topic(), Past: &recipe.Past{Heads: topic(), Rows: &rows{all: all[:want.Rows], size: 8}}})
	tr.device = torch.CPU
	var diags sdk.Diagnostics
	require.NoError(t, torch.Do(func() { tr.model, diags = model.Load(tr.job.Base, topic(), model.Options{Device: torch.CPU}) }))
	require.False(t, diags.HasErrors(), diags.String())
	defer tr.close()
	tr.anchor, err = tr.newAnchor()
	require.NoError(t, err)
	require.NoError(t, torch.Do(func() {
		scope := torch.Open()
		defer scope.Close()
		require.Len(t, tr.anchor.held, len(tr.model.Params()))
		require.Nil(t, tr.anchor.loss(), "nothing is trained yet")
		for _, h := range tr.anchor.held {
			h.param.Value.RequiresGrad(true)
		}
		require.Zero(t, tr.anchor.loss().Item())
		seen := 0
		for _, h := range tr.anchor.held {
			if e, ok := f.Entry("fisher." + strings.TrimPrefix(h.param.Name, "topic.")); ok {
				seen++
				near(t, "F of "+h.param.Name, torch.FromEntry(e).Float32s(), h.by.Float32s())
			}
			torch.NoGrad(func() { h.param.Value.CopyFrom(h.at.MulScalar(0.9)) })
		}
		require.Equal(t, 6, seen)
	}))
	require.NoError(t, torch.Do(func() {
		value := tr.regularize()
		near(t, "loss", []float32{float32(want.Loss)}, []float32{float32(value)})
		scope := torch.Open()
		defer scope.Close()
		for _, h := range tr.anchor.held {
			if e, ok := f.Entry("grad." + strings.TrimPrefix(h.param.Name, "topic.")); ok {
				near(t, "gradient of "+h.param.Name, torch.FromEntry(e).Float32s(), h.param.Value.Grad().Float32s())
			}
		}
	}))
}

// continued is a training of a model that knows three labels on rows with a fourth.
func continued(t *testing.T, dir, first string) *recipe.Job {
	t.Helper()
	_, all := loadTrajectory(t)
	p := plan()
	p.Objective = recipe.ObjectiveContinue
	p.Continue = recipe.ContinuePlan{Distill: 1, Temperature: 2, EWC: 100, Fisher: 8}
	heads, rowsOf := grown(all)
	job := newJobAt(dir, p, rowsOf)
	job.Heads, job.Base = heads, first
	job.Past = &recipe.Past{Heads: topic(), Rows: &rows{all: all[:8], size: 8}}
	job.Teachers = []recipe.Teacher{{Name: "before", Dir: first, Heads: topic(), Rows: &rows{all: rowsOf, size: 8}, Same: true}}
	return job
}

func TestContinueKeepsOldRowsAndResumesToTheSameBytes(t *testing.T) {
	first := trainedTeacher(t)
	start := continued(t, t.TempDir(), first)
	start.Plan.Train.Steps, start.Plan.Train.LR = 1, 0
	_, err := Engine{}.Train(t.Context(), start)
	require.NoError(t, err)
	old, err := safetensors.Open(filepath.Join(first, "model.safetensors"))
	require.NoError(t, err)
	defer old.Close()
	fresh := weightsOf(t, start)
	for _, name := range []string{"classifier.weight", "classifier.bias"} {
		was, _ := old.Entry(name)
		is, _ := fresh.Entry(name)
		require.Equal(t, was.Shape[0]+1, is.Shape[0], name)
		require.Equal(t, floats(t, was), floats(t, is)[:len(was.Data)/4], name)
	}

	whole := continued(t, t.TempDir(), first)
	whole.Plan.Train.CheckpointEvery = 1
	want, err := Engine{}.Train(t.Context(), whole)
	require.NoError(t, err)
	cut := continued(t, t.TempDir(), first)
	cut.Plan.Train.CheckpointEvery = 1
	killed, _ := trainKilled(t, cut, 3, 0)
	require.True(t, killed)
	cut.Resume = true
	killed, out := trainKilled(t, cut, 0, 0)
	require.False(t, killed)
	require.NotNil(t, out.ResumedFrom)
	require.Equal(t, want.Losses, out.Losses)
	require.Equal(t, digest(t, filepath.Join(whole.ExportDir, "model.safetensors")), digest(t, filepath.Join(cut.ExportDir, "model.safetensors")))

	// The old model's answers and the anchor both change what is learned.
	for name, edit := range map[string]func(*recipe.Job){
		"without answers": func(j *recipe.Job) { j.Teachers = nil },
		"without anchor":  func(j *recipe.Job) { j.Plan.Continue.EWC = 0 },
	} {
		job := continued(t, t.TempDir(), first)
		edit(job)
		got, err := Engine{}.Train(t.Context(), job)
		require.NoError(t, err, name)
		require.NotEqual(t, want.Losses, got.Losses, name)
	}
}
