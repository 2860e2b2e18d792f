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
		cmd := islm(t, args("killed")...)
		var log strings.Builder
		cmd.Stdout, cmd.Stderr = &log, &log
		require.NoError(t, cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		begin := lastStep(killed)
		for deadline := time.Now().Add(2 * time.Minute); ; {
			if lastStep(killed) > begin && k.when() || k.what == "while a checkpoint is written" && k.when() {
				break
			}
			select {
			case err := <-done:
				require.Failf(t, "the run ended before its kill", "%s: %v\n%s", k.what, err, log.String())
			default:
			}
			require.True(t, time.Now().Before(deadline), "%s never came\n%s", k.what, log.String())
			time.Sleep(500 * time.Microsecond)
		}
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, <-done)
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
	cmd := islm(t, args("killed")...)
	require.NoError(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for deadline := time.Now().Add(2 * time.Minute); lastStep(killed) < 12; time.Sleep(time.Millisecond) {
		select {
		case err := <-done:
			require.Fail(t, "the run ended before its kill", "%v", err)
		default:
		}
		require.True(t, time.Now().Before(deadline))
	}
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, <-done)
	out, err = islm(t, args("killed")...).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, weights(t, filepath.Join(work, "whole")), weights(t, killed))
}
