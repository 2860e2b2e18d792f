//go:build torch

package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core"
)

// said is what a running command has printed so far.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// interrupt starts islm, waits for a moment, presses Ctrl-C and returns the exit
// code and what was printed; ended means that islm was done before the moment.
func interrupt(t *testing.T, when func(log string) bool, args ...string) (code int, log string, ended bool) {
	t.Helper()
	cmd := islm(t, args...)
	var out said
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for deadline := time.Now().Add(2 * time.Minute); !when(out.String()); time.Sleep(500 * time.Microsecond) {
		select {
		case err := <-done:
			require.NoError(t, err, out.String())
			return 0, out.String(), true
		default:
		}
		require.True(t, time.Now().Before(deadline), "the moment never came\n%s", out.String())
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	pressed := time.Now()
	<-done
	require.Less(t, time.Since(pressed), 10*time.Second, "it went on after Ctrl-C\n%s", out.String())
	if w, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() && w.Signal() == syscall.SIGINT {
		return exitInterrupted, "", false // before main began: a shell says 130, too
	}
	return cmd.ProcessState.ExitCode(), out.String(), false
}

// Ctrl-C at any moment of a training ends it with 130 and its state saved;
// --resume goes on each time, to the bytes of a run that was left alone.
func TestInterruptedRunEndsInTheSameBytes(t *testing.T) {
	work := t.TempDir()
	t.Setenv("ISLM_HOME", filepath.Join(work, "home"))
	base, data, dir := filepath.Join(work, "base"), filepath.Join(work, "data"), filepath.Join(work, "interrupted")
	tinyBERT(t, base, toyWords, 64)
	writeJSONL(t, filepath.Join(data, "train.jsonl"), toySentences(240, 1))
	writeJSONL(t, filepath.Join(data, "valid.jsonl"), toySentences(60, 2))
	writeJSONL(t, filepath.Join(data, "test.jsonl"), toySentences(60, 3))
	args := func(out string) []string {
		return []string{"train", "--base", base, "--data", data, "--out", out, "--resume", "--log-format", "json",
			"--set", "train.epochs=3", "--set", "train.precision=fp32", "--set", "train.checkpoint_every=7", "--set", "train.batch_size=8", "--set", "train.log_every=1", "--set", "train.threads=1"}
	}
	whole := filepath.Join(work, "whole")
	out, err := islm(t, append(args(whole), "--quiet")...).CombinedOutput()
	require.NoError(t, err, string(out))

	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("moments drawn with seed %d", seed)
	const steps = 90 // 240 rows / 8 = 30 steps in each of 3 epochs
	atStep := func(n int) func(string) bool { return func(string) bool { return lastStep(dir) >= n } }
	after := func(d time.Duration) func(string) bool {
		until := time.Now().Add(d)
		return func(string) bool { return time.Now().After(until) }
	}
	for _, moment := range []struct {
		what string
		when func(string) bool
	}{
		{"at its start", after(time.Duration(rng.IntN(50)) * time.Millisecond)},
		{"while the data are prepared", func(log string) bool { return strings.Contains(log, "base ") }},
		{"before the first step", func(log string) bool { return strings.Contains(log, "head label") }},
		{"at a random step", atStep(1 + rng.IntN(steps/3))},
		{"while a checkpoint is written", func(string) bool {
			tmp, _ := filepath.Glob(filepath.Join(dir, "islm", "checkpoint-*.tmp"))
			return len(tmp) > 0
		}},
		{"between epochs", func(string) bool { return strings.Contains(tail(dir), `"kind":"epoch"`) }},
		{"at a random step", atStep(steps/2 + rng.IntN(steps/3))},
		{"at the end", atStep(steps)},
	} {
		code, log, ended := interrupt(t, moment.when, args(dir)...)
		if ended && moment.what == "at the end" {
			break // nothing was left to interrupt
		}
		require.False(t, ended, "%s: the run ended before\n%s", moment.what, log)
		if code == exitOK && moment.what == "at the end" {
			break // pressed after the last thing that could be given up
		}
		require.Equal(t, exitInterrupted, code, "%s\n%s", moment.what, log)
		require.NotContains(t, log, "error[", moment.what)
		require.NoFileExists(t, filepath.Join(dir, "model.safetensors"), moment.what)
		if n := lastStep(dir); n > 0 {
			requireCompleteCheckpoints(t, dir)
			saved, _ := filepath.Glob(filepath.Join(dir, "islm", "checkpoint-*"))
			require.NotEmpty(t, saved, "%s: after step %d", moment.what, n)
		}
	}
	out, err = islm(t, append(args(dir), "--quiet")...).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, weights(t, whole), weights(t, dir))

	// The other commands that compute: no answer is left half-written.
	texts := filepath.Join(work, "many.jsonl")
	writeJSONL(t, texts, toySentences(20000, 4))
	answers := filepath.Join(work, "answers.jsonl")
	begun := func() func(string) bool { // the first line of progress may be the last
		second := after(time.Second)
		return func(log string) bool { return second(log) || strings.Contains(log, "predict") }
	}
	code, log, ended := interrupt(t, begun(), "predict", "--model", dir, "--in", texts, "--out", answers)
	require.False(t, ended, log)
	require.Equal(t, exitInterrupted, code, log)
	require.NoFileExists(t, answers)
	code, log, ended = interrupt(t, begun(), "eval", "--model", dir, "--data", texts)
	require.False(t, ended, log)
	require.Equal(t, exitInterrupted, code, log)
	require.NotContains(t, log, "f1-score")
	require.NoError(t, islm(t, "predict", "--model", dir, "--text", "good profit", "--quiet").Run())
}

// Few-shot rows that are finished are kept: after Ctrl-C, --resume goes on behind
// them, to the rows and the bytes of a run that was left alone.
func TestInterruptedFewShotGoesOn(t *testing.T) {
	work := t.TempDir()
	t.Setenv("ISLM_HOME", filepath.Join(work, "home"))
	base, data, dir := filepath.Join(work, "base"), filepath.Join(work, "data"), filepath.Join(work, "interrupted")
	tinyBERT(t, base, toyWords, 64)
	writeJSONL(t, filepath.Join(data, "train.jsonl"), toySentences(60, 1))
	writeJSONL(t, filepath.Join(data, "test.jsonl"), toySentences(60, 3))
	args := func(out string) []string {
		return []string{"fewshot", "--base", base, "--data", data, "--out", out, "--shots", "3", "--resume", "--set", "fewshot.splits=2", "--set", "fewshot.pairs=160", "--set", "fewshot.epochs=2", "--set", "train.threads=1"}
	}
	rows := func(dir string) []core.FewShotRow {
		raw, err := os.ReadFile(filepath.Join(dir, "islm", core.FewShotFile))
		if os.IsNotExist(err) {
			return nil
		}
		require.NoError(t, err)
		var res core.FewShotResult
		require.NoError(t, json.Unmarshal(raw, &res))
		for i := range res.Rows {
			res.Rows[i].Seconds = 0
		}
		return res.Rows
	}
	whole := filepath.Join(work, "whole")
	out, err := islm(t, append(args(whole), "--quiet")...).CombinedOutput()
	require.NoError(t, err, string(out))
	want := rows(whole)
	for _, at := range []int{5, len(want) - 3} { // in the cross-validation, and on the draws
		code, log, ended := interrupt(t, func(string) bool { return len(rows(dir)) >= at }, args(dir)...)
		require.False(t, ended, log)
		require.Equal(t, exitInterrupted, code, log)
		require.NoFileExists(t, filepath.Join(dir, "model.safetensors"))
		kept := rows(dir)
		require.GreaterOrEqual(t, len(kept), at)
		require.Equal(t, want[:len(kept)], kept)
	}
	out, err = islm(t, append(args(dir), "--quiet")...).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, want, rows(dir))
	require.Equal(t, weights(t, whole), weights(t, dir))
}
