package core

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// fewEngine gives vectors that tell nothing, so that linear heads always say one class,
// and models that are right but for some rows.
type fewEngine struct {
	wrong   map[string]bool // IDs that a trained model gives the other class
	trained int
	asked   map[string]bool // IDs of all rows that it saw
}

func (e *fewEngine) Train(context.Context, *recipe.Job) (*recipe.Outcome, error) {
	e.trained++
	return &recipe.Outcome{}, nil
}

func (e *fewEngine) Predict(_ context.Context, job *recipe.PredictJob) ([]recipe.Prediction, error) {
	var out []recipe.Prediction
	for i := range job.Rows.Len() {
		row := job.Rows.At(i)
		e.asked[row.ID] = true
		class := row.Targets[0].Class
		if e.wrong[row.ID] {
			class = 1 - class
		}
		out = append(out, recipe.Prediction{Heads: []recipe.Output{{Class: class}}})
	}
	return out, nil
}

func (e *fewEngine) EmbedRows(_ context.Context, job *recipe.EmbedJob) ([][]float32, error) {
	var out [][]float32
	for i := range job.Rows.Len() {
		e.asked[job.Rows.At(i).ID] = true
		out = append(out, []float32{1, 0})
	}
	return out, nil
}

type silent struct{}

func (silent) Problems(sdk.Diagnostics)                      {}
func (silent) Stage(string, string)                          {}
func (silent) Event(recipe.Event, map[string]*metric.Report) {}

// fewRun is a run whose data are read: eight examples of each of two classes.
func fewRun(t *testing.T, engine recipe.Engine, sets ...string) *fewShot {
	t.Helper()
	plan, ds := recipe.Resolve(recipe.Sources{Preset: "fewshot", Sets: append([]string{"base=base", "data.path=data"}, sets...)})
	require.NoError(t, ds.Err())
	heads := []sdk.HeadSpec{{Name: "mood", Kind: sdk.KindClassify, Labels: []string{"down", "up"}}}
	var examples []sdk.Example
	var rows []*recipe.Encoded
	for i := range 16 {
		id := fmt.Sprintf("%s-%d", heads[0].Labels[i%2], i/2)
		examples = append(examples, sdk.Example{ID: id, Text: id})
		rows = append(rows, &recipe.Encoded{ID: id, Key: corpus.Key(id), IDs: []int32{1, 2}, Targets: []recipe.Target{{Has: true, Class: int32(i % 2)}}})
	}
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, Own), 0o755))
	return &fewShot{run: &Run{Engine: engine, Watch: silent{}, plan: plan, folder: Folder{Dir: dir}, only: "train",
		data: &data{heads: heads, base: t.TempDir(), corpus: &corpus.Corpus{Heads: heads, Train: examples}, set: &corpus.Set{Train: corpus.NewShard(heads, rows)}}}}
}

// The score of a cross-validation alone is the macro F1 of the method: of a named one as
// of the one that auto chooses, on the same folds.
func TestCrossValidationAlone(t *testing.T) {
	// Two of eight "down" are taken for "up": F1 12/14 and 16/18.
	const trained = (12./14 + 16./18) / 2
	const constant = (2. / 3) / 2 // one class always
	for _, c := range []struct {
		method, taken string
		score         float64
		methods       int
	}{
		{"finetune", MethodFinetune, trained, 1},
		{"probe", MethodProbe, constant, 1},
		{"contrastive", MethodContrastive, constant, 1},
		{"auto", MethodFinetune, trained, 4},
	} {
		t.Run(c.method, func(t *testing.T) {
			engine := &fewEngine{wrong: map[string]bool{"down-2": true, "down-5": true}, asked: map[string]bool{}}
			f := fewRun(t, engine, "fewshot.method="+c.method, "fewshot.pairs=16")
			require.NoError(t, f.validateAlone(t.Context()))
			require.Equal(t, c.taken, f.result.Method)
			require.Len(t, f.result.Candidates, c.methods)
			require.Equal(t, "train", f.result.Split)
			require.Equal(t, 16, f.result.N)
			require.InDelta(t, c.score, f.result.CV[c.taken], 1e-12)
			require.Equal(t, 3, f.result.Rounds)
			for _, row := range f.result.Rows {
				require.GreaterOrEqual(t, row.Fold, 0, "only folds are scored")
			}
			require.Len(t, engine.asked, 16)

			// What a search reads.
			own := filepath.Join(f.run.folder.Dir, Own)
			log, err := report.ReadLog(filepath.Join(own, LogFile))
			require.NoError(t, err)
			require.Len(t, log, 1)
			require.Equal(t, recipe.EventValid, log[0].Kind)
			require.InDelta(t, c.score, log[0].Values[report.ValueScore], 1e-12)
			m, err := metric.Load(filepath.Join(own, MetricsFile))
			require.NoError(t, err)
			require.Positive(t, m.Train.PeakRSSBytes)
			require.Positive(t, m.Train.Seconds)
			require.NoDirExists(t, f.work)

			// Again with what is there: nothing is learned anew, the log is the same.
			n := engine.trained
			again := &fewShot{run: f.run}
			require.NoError(t, again.validateAlone(t.Context()))
			require.Equal(t, n, engine.trained)
			same, err := report.ReadLog(filepath.Join(own, LogFile))
			require.NoError(t, err)
			require.Equal(t, log, same)
		})
	}
}

// Folds of other classes than those of the data are not taken over.
func TestStaleFolds(t *testing.T) {
	engine := &fewEngine{asked: map[string]bool{}}
	f := fewRun(t, engine, "fewshot.method=finetune")
	require.NoError(t, f.validateAlone(t.Context()))
	n := engine.trained
	file := f.run.folder.Own(FewShotFile)
	old, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(old), `"classes": 2`, `"classes": 3`, 1)), 0o600))
	again := &fewShot{run: f.run}
	require.NoError(t, again.validateAlone(t.Context()))
	require.Equal(t, 2*n, engine.trained)
}

func TestCrossValidationOfOneExample(t *testing.T) {
	f := fewRun(t, &fewEngine{}, "fewshot.shots=1")
	require.ErrorContains(t, CheckCrossValidated(f.run.plan).Err(), "fewshot.shots")
	f.run.plan.FewShot.Shots = 2
	require.NoError(t, CheckCrossValidated(f.run.plan).Err())
}
