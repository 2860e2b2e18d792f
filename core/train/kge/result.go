package kge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Files of a finished run's folder. ResultFile comes last: a folder that has it
// is complete.
const (
	VectorsFile   = "vectors.safetensors" // see Vectors
	EntitiesFile  = "entities.txt"        // one name a line, in the order of the rows
	RelationsFile = "relations.txt"
	ResultFile    = "embed.json"
)

// Names of the tensors of VectorsFile, all float32. Relations are as wide as
// entities, but for rotate: its are angles in radians, half as many.
const (
	EntityTensor     = "entities"   // [entities, dim]
	RelationTensor   = "relations"  // [relations, width]
	ReciprocalTensor = "reciprocal" // the same for the inverse relations, when they have their own
)

// Result is what a run came to, and the content of ResultFile.
type Result struct {
	Schema   string   `json:"schema"`
	Settings Settings `json:"settings"`
	Data     string   `json:"data"` // Data.Digest

	Entities  int `json:"entities"`
	Relations int `json:"relations"`
	Facts     int `json:"facts"` // of training

	Device      string  `json:"device"`
	Threads     int     `json:"threads"`
	Steps       int     `json:"steps"`  // done
	Epochs      int     `json:"epochs"` // done
	BestEpoch   int     `json:"best_epoch"`
	Stopped     bool    `json:"stopped"`        // by patience
	Loss        float64 `json:"loss"`           // of the last epoch, a fact
	Seconds     float64 `json:"seconds"`        // in steps
	EvalSeconds float64 `json:"eval_seconds"`   // in validations and the final test
	PeakRSS     int64   `json:"peak_rss_bytes"` // of this process
	ResumedFrom *int    `json:"resumed_from"`   // step, or null

	Valid   *Scores   `json:"valid"` // of the vectors that were kept
	Test    *Scores   `json:"test"`
	History []Reading `json:"history"`
}

// checkpointPrefix begins the names of folders that Train removes at its end.
const checkpointPrefix = "checkpoint-"

const resultSchema = "islm/kge-result.v0"

// Reading is one validation.
type Reading struct {
	Epoch   int     `json:"epoch"` // epochs done
	Loss    float64 `json:"loss"`
	Seconds float64 `json:"seconds"` // in steps, until then
	Scores  Scores  `json:"scores"`
}

// Kinds of Event.
const (
	EventResume = "resume" // Step of a checkpoint from which a run goes on
	EventStep   = "step"   // a step is done
	EventEpoch  = "epoch"  // an epoch is done
	EventValid  = "valid"  // Scores on the validation facts
	EventTest   = "test"   // Scores on the test facts
)

// Event is something that happened in a run.
type Event struct {
	Kind          string
	Step, Steps   int // of the run
	Epoch, Epochs int // from 1
	Loss          float64
	LR            float64
	Scores        *Scores
	Best          bool // the best validation so far
}

// Finished reads the result of a finished run's folder; nil when there is none.
func Finished(dir string) (*Result, error) {
	path := filepath.Join(dir, ResultFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	r := &Result{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read result %s: %w", path, err)
	}
	if r.Schema != resultSchema {
		return nil, fmt.Errorf("read result %s: its schema is %q, this version writes %q", path, r.Schema, resultSchema)
	}
	return r, nil
}

// OpenDir makes the folder of a run. One that holds anything is refused unless
// the run is to be resumed, and then when what it holds is no run of this data
// with these settings.
func OpenDir(dir string, resume bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open folder: %w", err)
	}
	if len(entries) > 0 && !resume {
		return &sdk.DiagnosticsError{Fatal: true, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "run.not-empty", File: dir,
			Summary: "the folder is not empty", Remedy: "choose another --out, or go on with what is there by --resume"}}}
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, checkpointPrefix) || name == ResultFile || name == VectorsFile || name == EntitiesFile || name == RelationsFile || strings.HasSuffix(name, ".tmp") {
			continue
		}
		return &sdk.DiagnosticsError{Fatal: true, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "run.foreign", File: filepath.Join(dir, name),
			Summary: "the folder holds something that is no part of a run", Remedy: "choose another --out"}}}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	return nil
}
