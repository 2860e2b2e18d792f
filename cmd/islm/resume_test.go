//go:build torch

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// islm starts the program as a process of its own.
func islm(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	return cmd
}

func weights(t testing.TB, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// A run that is killed by SIGKILL again and again, wherever it is, and resumed
// each time ends with the bytes of a run that was left alone.
func TestKilledRunEndsInTheSameBytes(t *testing.T) {
	work := t.TempDir()
	t.Setenv("ISLM_HOME", filepath.Join(work, "home"))
	base, data := filepath.Join(work, "base"), filepath.Join(work, "data")
	tinyBERT(t, base, toyWords, 64)
	writeJSONL(t, filepath.Join(data, "train.jsonl"), toySentences(600, 1))
	writeJSONL(t, filepath.Join(data, "valid.jsonl"), toySentences(60, 2))
	writeJSONL(t, filepath.Join(data, "test.jsonl"), toySentences(60, 3))
	args := func(out string) []string {
		return []string{"train", "--base", base, "--data", data, "--out", filepath.Join(work, out), "--resume", "--quiet",
			"--set", "train.epochs=6", "--set", "train.lr=1e-3", "--set", "train.precision=fp32", "--set", "train.checkpoint_every=7", "--set", "train.accumulate=2", "--set", "train.batch_size=8", "--set", "train.log_every=1"}
	}
	out, err := islm(t, args("whole")...).CombinedOutput()
	require.NoError(t, err, string(out))

	// Three kills at random steps, one while a checkpoint is written, one right
	// after an epoch; each kill waits a random moment after what it waits for.
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	killed := filepath.Join(work, "killed")
	const steps = 228 // 600 rows / 8 / 2 = 38 steps in each of 6 epochs
	atStep := func(n int) func() bool { return func() bool { return lastStep(killed) >= n } }
	kills := []struct {
		what string
		when func() bool
	}{
		{"at a random step", atStep(1 + rng.IntN(steps/3))},
		{"while a checkpoint is written", func() bool {
			tmp, _ := filepath.Glob(filepath.Join(killed, "islm", "checkpoint-*.tmp"))
			return len(tmp) > 0
		}},
		{"at a random step", atStep(steps/3 + rng.IntN(steps/3))},
		{"between epochs", func() bool { return strings.Contains(tail(killed), `"kind":"epoch"`) }},
		{"at a random step", atStep(2*steps/3 + rng.IntN(steps/4))},
	}
	for _, k := range kills {
		begin := lastStep(killed)
		killWhen(t, args("killed"), func() bool {
			if k.what != "while a checkpoint is written" && lastStep(killed) <= begin || !k.when() {
				return false
			}
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
			return true
		})
		t.Logf("killed %s, after step %d (moments drawn with seed %d)", k.what, lastStep(killed), seed)
		requireCompleteCheckpoints(t, killed)
	}
	out, err = islm(t, args("killed")...).CombinedOutput()
	require.NoError(t, err, string(out))
	var m struct {
		Train struct {
			ResumedFrom *int `json:"resumed_from"`
			Steps       int  `json:"steps"`
		} `json:"train"`
	}
	raw, err := os.ReadFile(filepath.Join(killed, "islm", "metrics.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &m))
	require.NotNil(t, m.Train.ResumedFrom)
	require.Equal(t, steps, m.Train.Steps)
	require.Equal(t, weights(t, filepath.Join(work, "whole")), weights(t, killed))
}

// tail is the last complete line of a run's log.
func tail(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, "islm", "log.jsonl"))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return lines[len(lines)-1]
}

// lastStep is the step of the last line of a run's log.
func lastStep(dir string) int {
	var e struct {
		Step int `json:"step"`
	}
	_ = json.Unmarshal([]byte(tail(dir)), &e)
	return e.Step
}

// A checkpoint folder is complete or has another name.
func requireCompleteCheckpoints(t *testing.T, dir string) {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(dir, "islm", "checkpoint-*"))
	for _, c := range found {
		if strings.HasSuffix(c, ".tmp") {
			continue
		}
		entries, err := os.ReadDir(c)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(entries), 2, c)
	}
}

// A pre-training that is killed and resumed ends with the bytes of one that was
// left alone: rows, masks and order follow from seed, epoch and step.
func TestKilledPretrainingEndsInTheSameBytes(t *testing.T) {
	work := t.TempDir()
	t.Setenv("ISLM_HOME", filepath.Join(work, "home"))
	base, data := filepath.Join(work, "base"), filepath.Join(work, "data")
	tinyBERT(t, base, toyWords, 32)
	writeJSONL(t, filepath.Join(data, "all.jsonl"), toySentences(300, 1))
	args := func(out string) []string {
		return []string{"pretrain", "--base", base, "--data", data, "--out", filepath.Join(work, out), "--resume", "--quiet",
			"--set", "data.max_length=16", "--set", "train.batch_size=8", "--set", "train.epochs=3", "--set", "train.lr=1e-3", "--set", "train.precision=fp32",
			"--set", "train.checkpoint_every=5", "--set", "train.log_every=1", "--set", "data.split=[0.9, 0.1, 0]"}
	}
	out, err := islm(t, args("whole")...).CombinedOutput()
	require.NoError(t, err, string(out))
	killed := filepath.Join(work, "killed")
	killWhen(t, args("killed"), func() bool { return lastStep(killed) >= 12 })
	out, err = islm(t, args("killed")...).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, weights(t, filepath.Join(work, "whole")), weights(t, killed))
}

// killWhen starts the program and kills it, by SIGKILL, as soon as something is so.
func killWhen(t *testing.T, args []string, when func() bool) {
	t.Helper()
	cmd := islm(t, args...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for deadline := time.Now().Add(2 * time.Minute); !when(); time.Sleep(500 * time.Microsecond) {
		select {
		case err := <-done:
			require.Fail(t, "the run ended before its kill", "%v\n%s", err, log.String())
		default:
		}
		require.True(t, time.Now().Before(deadline), "the moment never came")
	}
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, <-done)
}

// A staged run that is killed in each of its stages ends with the bytes of one that
// was left alone, and so does a training of two heads and a language model whose rows are mixed.
func TestKilledStagesEndInTheSameBytes(t *testing.T) {
	work := t.TempDir()
	t.Setenv("ISLM_HOME", filepath.Join(work, "home"))
	base, data := filepath.Join(work, "base"), filepath.Join(work, "data")
	tinyBERT(t, base, toyWords, 32)
	writeJSONL(t, filepath.Join(data, "train.jsonl"), toySentences(200, 1))
	writeJSONL(t, filepath.Join(data, "test.jsonl"), toySentences(20, 3))
	staged := filepath.Join(work, "staged.yaml")
	require.NoError(t, os.WriteFile(staged, []byte(`seed: 3
train: {precision: fp32, lr: 1e-3, epochs: 3, batch_size: 8, checkpoint_every: 7, log_every: 1}
data: {path: data, max_length: 16}
stages:
  - preset: pretrain
    data: {split: [0.9, 0.1, 0]}
  - preset: finetune
  - preset: distill
`), 0o644))
	t.Chdir(work)
	args := func(out string) []string {
		return []string{"train", "--recipe", staged, "--base", base, "--out", out, "--resume", "--quiet"}
	}
	out, err := islm(t, args("whole")...).CombinedOutput()
	require.NoError(t, err, string(out))
	for _, stage := range []string{"killed/islm/stages/1-pretrain", "killed/islm/stages/2-finetune", "killed"} {
		killWhen(t, args("killed"), func() bool { return lastStep(stage) >= 10 })
		t.Logf("killed in %s after step %d", stage, lastStep(stage))
	}
	out, err = islm(t, args("killed")...).CombinedOutput()
	require.NoError(t, err, string(out))
	for _, stage := range []string{"", "islm/stages/1-pretrain", "islm/stages/2-finetune"} {
		require.Equal(t, weights(t, filepath.Join("whole", stage)), weights(t, filepath.Join("killed", stage)), stage)
	}

	// Rows with labels of one head or of the other, and texts with hidden words, in shares of their own.
	rows := toySentences(200, 1)
	for i := range rows {
		head := "tone"
		if i%4 == 0 {
			head = "mood"
		}
		rows[i] = map[string]any{"text": rows[i]["text"], "labels": map[string]any{head: rows[i]["label"]}}
	}
	writeJSONL(t, filepath.Join("two", "train.jsonl"), rows)
	args = func(out string) []string {
		return []string{"train", "--base", base, "--data", "two", "--out", out, "--resume", "--quiet", "--set", "data.sampling=uniform", "--set", "data.split=[0.8, 0.1, 0.1]", "--set", "heads.words.kind=mlm.v0",
			"--set", "train.epochs=3", "--set", "train.lr=1e-3", "--set", "train.precision=fp32", "--set", "train.batch_size=8", "--set", "train.checkpoint_every=7", "--set", "train.log_every=1"}
	}
	out, err = islm(t, args("mixed")...).CombinedOutput()
	require.NoError(t, err, string(out))
	killWhen(t, args("cut"), func() bool { return lastStep("cut") >= 25 })
	out, err = islm(t, args("cut")...).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, weights(t, "mixed"), weights(t, "cut"))
}
