//go:build torch

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A run whose examples are varied and that is killed ends, resumed, with the
// bytes of one that was left alone; but not with other rules.
func TestKilledAugmentedRunEndsInTheSameBytes(t *testing.T) {
	work := t.TempDir()
	t.Setenv("ISLM_HOME", filepath.Join(work, "home"))
	base, data, pack := filepath.Join(work, "base"), filepath.Join(work, "data"), filepath.Join(work, "moves")
	tinyBERT(t, base, toyWords, 64)
	writeJSONL(t, filepath.Join(data, "train.jsonl"), toySentences(200, 1))
	writeJSONL(t, filepath.Join(data, "valid.jsonl"), toySentences(40, 2))
	writeJSONL(t, filepath.Join(data, "test.jsonl"), toySentences(40, 3))
	rules := filepath.Join(pack, "rules", "words.yaml")
	write := func(with string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(rules), 0o755))
		require.NoError(t, os.WriteFile(rules, []byte("schema: islm/rules.v1\nrules:\n  - id: words\n    summary: One word of praise for another.\n"+
			"    match: {literal: good}\n    do: {kind: swap.v0, with: ["+with+"]}\n    labels: {keep: all}\n"), 0o644))
	}
	write("strong, rising")
	require.NoError(t, os.WriteFile(filepath.Join(pack, "pack.yaml"), []byte("schema: islm/pack.v1\nname: moves\nversion: 0.1.0\nsummary: Words of praise.\nlicence: Apache-2.0\nlang: en\n"), 0o644))

	for mode, steps := range map[string]string{"replace": "100", "add: 2": "150"} { // 25 steps an epoch, or 75
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			whole, killed := filepath.Join(dir, "whole"), filepath.Join(dir, "killed")
			args := func(out string) []string {
				return []string{"train", "--base", base, "--data", data, "--out", out, "--resume", "--quiet", "--set", "augment.packs=[" + pack + ", eda, aeda]", "--set", "augment.mode=" + mode,
					"--set", "train.steps=" + steps, "--set", "train.lr=1e-3", "--set", "train.precision=fp32", "--set", "train.batch_size=8", "--set", "train.checkpoint_every=10", "--set", "train.log_every=1"}
			}
			out, err := islm(t, args(whole)...).CombinedOutput()
			require.NoError(t, err, string(out))

			cmd := islm(t, args(killed)...)
			var log strings.Builder
			cmd.Stdout, cmd.Stderr = &log, &log
			require.NoError(t, cmd.Start())
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			for deadline := time.Now().Add(2 * time.Minute); lastStep(killed) < 34; {
				select {
				case err := <-done:
					require.Failf(t, "the run ended before its kill", "%v\n%s", err, log.String())
				default:
				}
				require.True(t, time.Now().Before(deadline), log.String())
				time.Sleep(500 * time.Microsecond)
			}
			require.NoError(t, cmd.Process.Kill())
			require.Error(t, <-done)

			write("strong")
			out, err = islm(t, args(killed)...).CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), "run.plan-differs")
			require.Contains(t, string(out), "other rules: augment.packs.moves")
			write("strong, rising")
			out, err = islm(t, args(killed)...).CombinedOutput()
			require.NoError(t, err, string(out))
			metrics, err := os.ReadFile(filepath.Join(killed, "islm", "metrics.json"))
			require.NoError(t, err)
			require.Regexp(t, `"resumed_from": [1-9]`, string(metrics))
			require.Equal(t, weights(t, whole), weights(t, killed))

			out, err = islm(t, "eval", "--model", killed, "--data", data, "--json").CombinedOutput()
			require.NoError(t, err, string(out))
			require.Contains(t, string(out), `"macro_f1":`)
		})
	}
}
