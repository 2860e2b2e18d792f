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
			"--set", "train.epochs=6", "--set", "train.lr=1e-3", "--set", "train.precision=fp32", "--set", "train.checkpoint_every=7", "--set", "train.accumulate=2", "--set", "train.batch_size=8"}
	}
	start := time.Now()
	out, err := islm(t, args("whole")...).CombinedOutput()
	require.NoError(t, err, string(out))
	whole := time.Since(start)

	seed := uint64(time.Now().UnixNano())
	t.Logf("moments drawn with seed %d; the whole run took %v", seed, whole)
	rng := rand.New(rand.NewPCG(seed, 0))
	kills, resumes := 0, 0
	for try := 0; ; try++ {
		require.Less(t, try, 40, "the run never ends")
		cmd := islm(t, args("killed")...)
		var log strings.Builder
		cmd.Stdout, cmd.Stderr = &log, &log
		require.NoError(t, cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		// Three kills at random moments, then left alone.
		wait := time.Hour
		if kills < 3 {
			wait = time.Duration(float64(whole) * (0.25 + 0.6*rng.Float64()))
		}
		select {
		case err := <-done:
			require.NoError(t, err, log.String())
		case <-time.After(wait):
			require.NoError(t, cmd.Process.Kill())
			<-done
			kills++
			requireCompleteCheckpoints(t, filepath.Join(work, "killed"))
			continue
		}
		break
	}
	var m struct {
		Train struct {
			ResumedFrom *int `json:"resumed_from"`
		} `json:"train"`
	}
	raw, err := os.ReadFile(filepath.Join(work, "killed", "islm", "metrics.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &m))
	if m.Train.ResumedFrom != nil {
		resumes++
	}
	t.Logf("%d kills, resumed from a checkpoint at the end: %v", kills, resumes > 0)
	require.Equal(t, weights(t, filepath.Join(work, "whole")), weights(t, filepath.Join(work, "killed")))
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
