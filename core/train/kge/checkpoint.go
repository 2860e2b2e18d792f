//go:build torch

package kge

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// state is everything about a run besides vectors and the optimizer's sums:
// state.json of a checkpoint.
type state struct {
	Schema   string   `json:"schema"`
	Settings Settings `json:"settings"`
	Data     string   `json:"data"`
	Threads  int      `json:"threads"`

	Step  int `json:"step"`  // steps done
	Epoch int `json:"epoch"` // epochs done
	Row   int `json:"row"`   // rows of the running epoch that are done

	LossSum   float64 `json:"loss_sum"` // of the running epoch
	LossFacts int     `json:"loss_facts"`
	Loss      float64 `json:"loss"` // of the last whole epoch

	DueValid bool      `json:"due_valid"` // the validation of the last epoch is still to come
	Best     *Reading  `json:"best"`
	BestStep int       `json:"best_step"` // -1 before the first validation
	Waiting  int       `json:"waiting"`   // validations since the best
	Stopped  bool      `json:"stopped"`
	History  []Reading `json:"history"`

	Seconds     float64 `json:"seconds"`
	EvalSeconds float64 `json:"eval_seconds"`
}

const (
	stateSchema = "islm/kge-state.v0"
	stateFile   = "state.json"
	tablesFile  = "tables.safetensors"
	momentsFile = "optimizer.safetensors"
)

// checkpoints are the folders DIR/checkpoint-STEP, each complete or absent: one
// is written beside its place as .tmp, flushed to the disk and renamed.
type checkpoints struct{ dir string }

func (c checkpoints) path(step int) string {
	return filepath.Join(c.dir, checkpointPrefix+strconv.Itoa(step))
}

// list gives the steps of the complete ones, rising, and removes what an ended
// process left half written.
func (c checkpoints) list() ([]int, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var steps []int
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), checkpointPrefix)
		if !ok {
			continue
		}
		if strings.HasSuffix(text, ".tmp") {
			if err := os.RemoveAll(filepath.Join(c.dir, e.Name())); err != nil {
				return nil, fmt.Errorf("remove an unfinished checkpoint: %w", err)
			}
		} else if n, err := strconv.Atoi(text); err == nil && e.IsDir() {
			steps = append(steps, n)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// save writes a checkpoint and removes those that are neither among the last
// two nor the best.
func (c checkpoints) save(st state, vectors, moments []safetensors.Entry) (err error) {
	path := c.path(st.Step)
	tmp := path + ".tmp"
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
			err = fmt.Errorf("write checkpoint of step %d: %w", st.Step, err)
		}
	}()
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o755)); err != nil {
		return err
	}
	st.Schema = stateSchema
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	if err := safetensors.Write(filepath.Join(tmp, tablesFile), vectors, nil); err != nil {
		return err
	}
	if err := safetensors.Write(filepath.Join(tmp, momentsFile), moments, nil); err != nil {
		return err
	}
	if err := writeWhole(filepath.Join(tmp, stateFile), append(text, '\n')); err != nil {
		return err
	}
	// The same step again: what is there is older in what it knows.
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return c.prune(st.BestStep, 2)
}

// prune keeps the last checkpoints and the best.
func (c checkpoints) prune(best, last int) error {
	steps, err := c.list()
	if err != nil {
		return err
	}
	for i, step := range steps {
		if i >= len(steps)-last || step == best {
			continue
		}
		// Renamed first, so that a half removed one is not taken for complete.
		tmp := c.path(step) + ".tmp"
		if err := errors.Join(os.Rename(c.path(step), tmp), os.RemoveAll(tmp)); err != nil {
			return fmt.Errorf("remove checkpoint of step %d: %w", step, err)
		}
	}
	return nil
}

// newest reads the state of the last checkpoint; nil when there is none.
func (c checkpoints) newest() (*state, error) {
	steps, err := c.list()
	if err != nil || len(steps) == 0 {
		return nil, err
	}
	path := filepath.Join(c.path(steps[len(steps)-1]), stateFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	st := &state{}
	if err := json.Unmarshal(text, st); err != nil {
		return nil, fmt.Errorf("read checkpoint %s: %w", path, err)
	}
	if st.Schema != stateSchema {
		return nil, fmt.Errorf("read checkpoint %s: its schema is %q, this version writes %q", path, st.Schema, stateSchema)
	}
	return st, nil
}

// writeWhole writes a file under a temporary name, flushes and renames it.
func writeWhole(path string, data []byte) error {
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// differs tells what a run of other data or settings would have to say about a
// resume.
func differs(dir string, oldSettings, newSettings Settings, oldData, newData string) error {
	if oldData != newData {
		return &sdk.DiagnosticsError{Fatal: true, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "run.data-differs", File: dir,
			Summary: "the run was started with other facts", Remedy: "give the facts that it was started with, or choose another --out"}}}
	}
	if oldSettings == newSettings {
		return nil
	}
	var detail []string
	was, is := oldSettings.values(), newSettings.values()
	for i, v := range was {
		if v != is[i] {
			detail = append(detail, fmt.Sprintf("%s: %s, now %s", v[0], v[1], is[i][1]))
		}
	}
	return &sdk.DiagnosticsError{Fatal: true, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "run.plan-differs", File: dir, Summary: "the run was started with other settings",
		Detail: strings.Join(detail, "\n"), Remedy: "repeat the command that started it with --resume, or choose another --out"}}}
}

// values lists keys and values, in the order of the fields.
func (s Settings) values() [][2]string {
	v := reflect.ValueOf(s)
	out := make([][2]string, v.NumField())
	for i := range out {
		out[i] = [2]string{v.Type().Field(i).Tag.Get("yaml"), fmt.Sprint(v.Field(i).Interface())}
	}
	return out
}
