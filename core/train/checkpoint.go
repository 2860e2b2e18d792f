//go:build torch

package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/torch/safetensors"
)

// state is everything about a training run besides weights and moments:
// trainer.json of a checkpoint.
type state struct {
	Schema    string `json:"schema"`
	Step      int    `json:"step"`  // optimizer steps done
	Steps     int    `json:"steps"` // optimizer steps to do
	Epoch     int    `json:"epoch"` // from 0, of the next batch
	Batch     int    `json:"batch"` // batches of the epoch that are done
	Seed      uint64 `json:"seed"`
	Threads   int    `json:"threads"`
	Precision string `json:"precision"`

	LossSum   float64   `json:"loss_sum"`   // of the steps of the running epoch
	LossSteps int       `json:"loss_steps"` // how many they are
	Losses    []float64 `json:"losses"`     // mean of each finished epoch

	BestStep  int     `json:"best_step"` // -1 before the first validation
	BestScore float64 `json:"best_score"`
	Waiting   int     `json:"waiting"` // validations since the best
	Stopped   bool    `json:"stopped"` // by patience

	// What was still to be done after the step when the checkpoint was written.
	DueEpoch bool `json:"due_epoch"`
	DueValid bool `json:"due_valid"`

	Ranks map[string][]bool `json:"ranks,omitempty"` // adalora: which are kept
	Moves *watched          `json:"moves,omitempty"` // adapters: what has not moved yet

	Tokens  int64   `json:"tokens"` // ids that were no padding
	Padded  int64   `json:"padded"` // all ids
	Seconds float64 `json:"seconds"`
}

const stateSchema = "islm/trainer.v0"

// Files of a checkpoint folder.
const (
	stateFile     = "trainer.json"
	weightsFile   = "model.safetensors"
	optimizerFile = "optimizer.safetensors"
)

// store keeps the checkpoints of a run: DIR/islm/checkpoint-STEP, each complete
// or absent. A folder is written beside its place as .tmp, flushed to the disk
// and renamed.
type store struct {
	dir string
	// write writes one file and flushes it; tests let it fail.
	write func(path string, tensors []safetensors.Entry) error
}

func newStore(runDir string) *store {
	return &store{dir: filepath.Join(runDir, hf.Own), write: writeTensors}
}

// writeTensors writes and flushes; data are fetched from libtorch as their turn
// comes.
func writeTensors(path string, tensors []safetensors.Entry) error {
	return safetensors.Write(path, tensors, nil)
}

const checkpointPrefix = "checkpoint-"

func (s *store) path(step int) string {
	return filepath.Join(s.dir, checkpointPrefix+strconv.Itoa(step))
}

// list gives the steps of the complete checkpoints, rising.
func (s *store) list() ([]int, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var steps []int
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), checkpointPrefix)
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(text); err == nil && e.IsDir() {
			steps = append(steps, n)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// sweep removes what an ended process left half written.
func (s *store) sweep() error {
	left, err := filepath.Glob(filepath.Join(s.dir, checkpointPrefix+"*.tmp"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove an unfinished checkpoint: %w", err)
		}
	}
	return nil
}

// save writes a checkpoint, inside torch.Do. When it fails, older checkpoints are as they were
// and nothing of the new one is left.
func (s *store) save(st state, weights, moments []safetensors.Entry) (path string, err error) {
	path = s.path(st.Step)
	tmp := path + ".tmp"
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
			err = fmt.Errorf("write checkpoint of step %d: %w", st.Step, err)
		}
	}()
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", err
	}
	st.Schema = stateSchema
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return "", err
	}
	if err := s.write(filepath.Join(tmp, weightsFile), weights); err != nil {
		return "", err
	}
	if err := s.write(filepath.Join(tmp, optimizerFile), moments); err != nil {
		return "", err
	}
	if err := writeFile(filepath.Join(tmp, stateFile), append(text, '\n')); err != nil {
		return "", err
	}
	if err := flush(tmp); err != nil {
		return "", err
	}
	// The same step again, after a resume: what is there is complete too, but
	// older in what it knows (a validation that was still due).
	if err := os.RemoveAll(path); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", err
	}
	return path, flush(s.dir)
}

// prune keeps the last two checkpoints and the best.
func (s *store) prune(best int) error {
	steps, err := s.list()
	if err != nil {
		return err
	}
	for i, step := range steps {
		if i >= len(steps)-2 || step == best {
			continue
		}
		// Renamed first, so that a half removed one is not taken for complete.
		tmp := s.path(step) + ".tmp"
		if err := os.Rename(s.path(step), tmp); err != nil {
			return fmt.Errorf("remove checkpoint of step %d: %w", step, err)
		}
		if err := os.RemoveAll(tmp); err != nil {
			return fmt.Errorf("remove checkpoint of step %d: %w", step, err)
		}
	}
	return nil
}

// newest reads the state of the last complete checkpoint; nil when there is
// none.
func (s *store) newest() (*state, error) {
	steps, err := s.list()
	if err != nil || len(steps) == 0 {
		return nil, err
	}
	return s.read(steps[len(steps)-1])
}

func (s *store) read(step int) (*state, error) {
	path := filepath.Join(s.path(step), stateFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	st := &state{}
	if err := json.Unmarshal(data, st); err != nil {
		return nil, fmt.Errorf("read checkpoint %s: %w", path, err)
	}
	if st.Schema != stateSchema {
		return nil, fmt.Errorf("read checkpoint %s: its schema is %q, this version writes %q", path, st.Schema, stateSchema)
	}
	return st, nil
}

// writeFile writes and flushes a file.
func writeFile(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// flush makes a file or the names in a folder safe from a loss of power.
func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
