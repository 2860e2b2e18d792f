package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

type initRow struct {
	row
	Probe json.RawMessage `json:"probe"` // what `islm vocab probe --json` says
}

// inits probes ways to begin new rows with five seeds.
func (b *bench) inits(ctx context.Context) error {
	for _, d := range []struct{ name, texts string }{{"medical", "medical/ner-ncbi-disease/train.conll"}, {"finance", "finance/phrasebank-50agree/train.jsonl"}} {
		var r initRow
		var missing bool
		if r.row, missing = b.missing("init", d.name); !missing {
			continue
		}
		if b.model == "" {
			return errors.New("-model is needed: the folder of a BERT with its language model head")
		}
		// Finished runs are kept, so that a stop costs one run.
		work := filepath.Join(os.TempDir(), "islm-bench-vocab", d.name)
		cmd := exec.CommandContext(ctx, b.bin, "vocab", "probe", "--model", b.model, "--in", filepath.Join(b.data, d.texts), "--words", "--seeds", "5", "--out", work, "--json",
			"--set", "train.batch_size=16", "--set", "data.max_length=64", "--set", "train.threads=1")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return err
		}
		var short map[string]any
		if err := json.Unmarshal(out, &short); err != nil {
			return err
		}
		delete(short, "idle")
		delete(short, "model")
		if r.Probe, err = json.Marshal(short); err != nil {
			return err
		}
		if err := b.put(r); err != nil {
			return err
		}
	}
	return nil
}
