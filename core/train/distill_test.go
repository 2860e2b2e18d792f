//go:build torch

package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// near asks for max|a-b| ≤ 1e-5·max(1, max|b|).
func near(t *testing.T, what string, want, got []float32) {
	t.Helper()
	require.Len(t, got, len(want), what)
	limit, worst := 1.0, 0.0
	for i := range want {
		limit = max(limit, float64(want[i]), -float64(want[i]))
		worst = max(worst, float64(want[i]-got[i]), float64(got[i]-want[i]))
	}
	require.LessOrEqual(t, worst, 1e-5*limit, what)
}

func TestDistillLossesEqualPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/distill.json")
	require.NoError(t, err)
	var want struct {
		Temperature float64            `json:"temperature"`
		Losses      map[string]float64 `json:"losses"`
	}
	require.NoError(t, json.Unmarshal(text, &want))
	f, err := safetensors.Open("testdata/distill.safetensors")
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, torch.Do(func() {
		scope := torch.Open()
		defer scope.Close()
		get := func(name string) *torch.Tensor {
			e, ok := f.Entry(name)
			require.True(t, ok, name)
			return torch.FromEntry(e)
		}
		valid, bias := get("valid"), get("bias")
		soft := sdk.HeadSpec{Kind: sdk.KindClassify}
		multi := sdk.HeadSpec{Kind: sdk.KindMultilabel}
		cases := map[string]struct {
			learned []string
			loss    func(x []*torch.Tensor) *torch.Tensor
		}{
			"soft":       {[]string{"s.logits"}, func(x []*torch.Tensor) *torch.Tensor { return softLoss(soft, x[0], get("t.logits"), want.Temperature) }},
			"soft_multi": {[]string{"s.logits"}, func(x []*torch.Tensor) *torch.Tensor { return softLoss(multi, x[0], get("t.logits"), want.Temperature) }},
			"token": {[]string{"s.hidden", "w.hidden"}, func(x []*torch.Tensor) *torch.Tensor {
				return tokenLoss(x[0], get("t.hidden"), &model.Param{Value: x[1]}, valid)
			}},
			"first": {[]string{"s.hidden", "w.hidden"}, func(x []*torch.Tensor) *torch.Tensor {
				return firstLoss(x[0], get("t.hidden"), &model.Param{Value: x[1]})
			}},
			"attention": {[]string{"s.query", "s.key"}, func(x []*torch.Tensor) *torch.Tensor {
				return attentionLoss(scoresOf(x[0], x[1]), scoresOf(get("a.query"), get("a.key")), valid)
			}},
			"relation": {[]string{"s.value"}, func(x []*torch.Tensor) *torch.Tensor { return relationLoss(x[0], get("t.value"), bias, valid, 2) }},
		}
		require.Len(t, cases, len(want.Losses))
		for name, c := range cases {
			var x []*torch.Tensor
			for _, l := range c.learned {
				leaf := get(l).Clone()
				leaf.RequiresGrad(true)
				x = append(x, leaf)
			}
			loss := c.loss(x)
			near(t, name, []float32{float32(want.Losses[name])}, []float32{float32(loss.Item())})
			loss.Backward()
			for i, l := range c.learned {
				near(t, name+" "+l, get("grad."+name+"."+l).Float32s(), x[i].Grad().Float32s())
			}
		}
	}))
}

// taughtJob is a training of a student with a trained teacher of the same shape.
func taughtJob(t *testing.T, dir string, edit func(*recipe.DistillPlan)) *recipe.Job {
	t.Helper()
	_, all := loadTrajectory(t)
	p := plan()
	p.Objective = recipe.ObjectiveDistill
	p.Distill = recipe.DistillPlan{Labels: 0.5, Logits: 1, Temperature: 2, States: "tokens", RelationLayer: -1, Cache: true}
	if edit != nil {
		edit(&p.Distill)
	}
	job := newJobAt(dir, p, all)
	job.Teachers = []recipe.Teacher{{Name: "teacher", Dir: trainedTeacher(t), Heads: topic(), Rows: &rows{all: all, size: 8}, Same: true}}
	return job
}

// trainedTeacher is a model that learned the trajectory's rows.
func trainedTeacher(t *testing.T) string {
	t.Helper()
	_, all := loadTrajectory(t)
	p := plan()
	job := newJobAt(t.TempDir(), p, all)
	_, err := Engine{}.Train(t.Context(), job)
	require.NoError(t, err)
	return job.ExportDir
}

func TestDistillSavedAnswersEqualLiveOnes(t *testing.T) {
	losses := map[string][]float64{}
	teacher := ""
	for _, how := range []string{"live", "saved", "saved again"} {
		job := taughtJob(t, t.TempDir(), nil)
		if teacher == "" {
			teacher = job.Teachers[0].Dir
		}
		job.Teachers[0].Dir = teacher
		if how != "live" {
			job.Teachers[0].Save = filepath.Join(filepath.Dir(teacher), "answers.safetensors")
		}
		if how == "saved again" { // the answers suffice: the teacher is not loaded
			job.Teachers[0].Dir = "gone"
		}
		out, err := Engine{}.Train(t.Context(), job)
		require.NoError(t, err, how)
		losses[how] = out.Losses
	}
	require.InDeltaSlice(t, losses["live"], losses["saved"], 1e-5)
	require.Equal(t, losses["saved"], losses["saved again"])
}

func TestDistillMicroBatchesAddUp(t *testing.T) {
	all := func(d *recipe.DistillPlan) {
		d.Hidden, d.Attention, d.Relation, d.Embeddings = 0.5, 0.25, 1, 0.5
	}
	one := taughtJob(t, t.TempDir(), all)
	one.Train.(*rows).shuffle, one.Plan.Train.Steps = false, 2
	many := taughtJob(t, t.TempDir(), all)
	many.Teachers = one.Teachers
	many.Plan.Train.BatchSize, many.Plan.Train.Accumulate, many.Plan.Train.Steps = 4, 2, 2
	many.Train = &rows{all: many.Train.(*rows).all, size: 4}
	a, err := Engine{}.Train(t.Context(), one)
	require.NoError(t, err)
	b, err := Engine{}.Train(t.Context(), many)
	require.NoError(t, err)
	require.InDeltaSlice(t, a.Losses, b.Losses, 2e-5)
}

func TestDistillResumesToTheSameBytes(t *testing.T) {
	// Widths differ, so that projections and their moments are in the checkpoints.
	edit := func(d *recipe.DistillPlan) {
		d.Hidden, d.Embeddings, d.Relation, d.RelationHeads = 1, 1, 1, 2
	}
	small := t.TempDir()
	require.NoError(t, hf.Cut{Layers: []int{1}, Hidden: 16}.Write(base, small).Err())
	whole := taughtJob(t, t.TempDir(), edit)
	whole.Base, whole.Plan.Train.CheckpointEvery = small, 1
	_, err := Engine{}.Train(t.Context(), whole)
	require.NoError(t, err)

	cut := taughtJob(t, t.TempDir(), edit)
	cut.Teachers, cut.Base, cut.Plan.Train.CheckpointEvery = whole.Teachers, small, 1
	killed, _ := trainKilled(t, cut, 3, 0)
	require.True(t, killed)
	cut.Resume = true
	killed, out := trainKilled(t, cut, 0, 0)
	require.False(t, killed)
	require.NotNil(t, out.ResumedFrom)
	require.Equal(t, digest(t, filepath.Join(whole.ExportDir, "model.safetensors")), digest(t, filepath.Join(cut.ExportDir, "model.safetensors")))
	f, err := safetensors.Open(filepath.Join(whole.ExportDir, "model.safetensors"))
	require.NoError(t, err)
	defer f.Close()
	for _, name := range f.Names() {
		require.False(t, strings.HasPrefix(name, projectionPrefix), name)
	}
}

// firstLosses is the loss of one step with these teachers' answers alone.
func firstLosses(t *testing.T, teachers ...recipe.Teacher) float64 {
	t.Helper()
	job := taughtJobOf(t, func(d *recipe.DistillPlan) { d.Labels = 0 }, teachers...)
	out, err := Engine{}.Train(t.Context(), job)
	require.NoError(t, err)
	require.Len(t, out.Losses, 1)
	return out.Losses[0]
}

// taughtJobOf is one step of a student with some teachers.
func taughtJobOf(t *testing.T, edit func(*recipe.DistillPlan), teachers ...recipe.Teacher) *recipe.Job {
	t.Helper()
	_, all := loadTrajectory(t)
	p := plan()
	p.Objective, p.Train.Steps = recipe.ObjectiveDistill, 1
	p.Distill = recipe.DistillPlan{Logits: 1, Temperature: 2, States: "tokens", RelationLayer: -1}
	edit(&p.Distill)
	job := newJobAt(t.TempDir(), p, all)
	for i := range teachers {
		teachers[i].Rows, teachers[i].Same = &rows{all: all, size: 8}, true
	}
	job.Teachers = teachers
	return job
}

// turned is the teacher with its labels in another order: c, a, b. It says the same.
func turned(t *testing.T, from string) recipe.Teacher {
	t.Helper()
	order := []int{2, 0, 1}
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(from)))
	f, err := safetensors.Open(filepath.Join(from, hf.WeightsFile))
	require.NoError(t, err)
	defer f.Close() //nolint:errcheck // only read
	var entries []safetensors.Entry
	for _, name := range f.Names() {
		e, _ := f.Entry(name)
		if strings.HasPrefix(name, "classifier.") {
			data := e.Data
			size := len(data) / 3
			e.Data = nil
			for _, row := range order {
				e.Data = append(e.Data, data[row*size:(row+1)*size]...)
			}
		}
		entries = append(entries, e)
	}
	require.NoError(t, safetensors.Write(filepath.Join(dir, hf.WeightsFile), entries, nil))
	spec := topic()[0]
	spec.Labels = []string{"c", "a", "b"}
	text, err := (&hf.Heads{Heads: []sdk.HeadSpec{spec}, Primary: spec.Name}).Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, hf.Own, hf.HeadsFile), text, 0o644))
	cfg, ds := hf.ReadConfig(dir)
	require.NoError(t, ds.Err())
	cfg.Labels = spec.Labels
	config, err := cfg.Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, hf.ConfigFile), config, 0o644))
	return recipe.Teacher{Name: "turned", Dir: dir, Heads: []sdk.HeadSpec{spec}}
}

// Teachers with a head of one name teach the student's head the mean of their
// losses, whatever the order of their labels.
func TestDistillAveragesTeachers(t *testing.T) {
	one := recipe.Teacher{Name: "one", Dir: trainedTeacher(t), Heads: topic()}
	_, all := loadTrajectory(t)
	p := plan()
	p.Seed, p.Train.LR, p.Train.Epochs = 12, 3e-3, 3
	job := newJobAt(t.TempDir(), p, all)
	_, err := Engine{}.Train(t.Context(), job)
	require.NoError(t, err)
	two := recipe.Teacher{Name: "two", Dir: job.ExportDir, Heads: topic()}

	a, b := firstLosses(t, one), firstLosses(t, two)
	require.Greater(t, max(a, b)-min(a, b), 0.01, "the teachers say different things")
	require.InDelta(t, (a+b)/2, firstLosses(t, one, two), 1e-6)
	require.InDelta(t, b, firstLosses(t, turned(t, two.Dir)), 1e-6)
	require.InDelta(t, (a+b)/2, firstLosses(t, one, turned(t, two.Dir)), 1e-6)
}

// A student of the teacher's first layer has that layer's states: it is apart from
// those that distill.layers maps it to, and no others.
func TestDistillComparesMappedLayers(t *testing.T) {
	teacher := recipe.Teacher{Name: "teacher", Dir: trainedTeacher(t), Heads: topic()}
	student := t.TempDir()
	require.NoError(t, hf.Cut{Layers: []int{0}}.Write(teacher.Dir, student).Err())
	for pair, same := range map[string]bool{"0:0": true, "0:1": false, "": false} { // without a map: the last one
		job := taughtJobOf(t, func(d *recipe.DistillPlan) {
			d.Logits, d.Hidden = 0, 1
			if pair != "" {
				d.Layers = []string{pair}
			}
		}, teacher)
		job.Base = student
		out, err := Engine{}.Train(t.Context(), job)
		require.NoError(t, err, pair)
		if same {
			require.InDelta(t, 0, out.Losses[0], 1e-9, pair)
		} else {
			require.Greater(t, out.Losses[0], 1e-3, pair)
		}
	}
	job := taughtJobOf(t, func(d *recipe.DistillPlan) { d.Hidden, d.Layers = 1, []string{"0:2"} }, teacher)
	job.Base = student
	_, err := Engine{}.Train(t.Context(), job)
	require.ErrorContains(t, err, `"0:2", but the student's layers are 0-0 and the teacher's 0-1`)
}
