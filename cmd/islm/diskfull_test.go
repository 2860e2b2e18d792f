//go:build torch

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The disk fills up at the second checkpoint: the run says so and what to do,
// the first checkpoint stays whole, and after room is made --resume ends in the
// bytes of a run that never met a full disk.
func TestFullDiskKeepsTheLastCheckpoint(t *testing.T) {
	work := t.TempDir()
	t.Setenv("ISLM_HOME", filepath.Join(work, "home"))
	base, data := filepath.Join(work, "base"), filepath.Join(work, "data")
	tinyBERT(t, base, toyWords, 64)
	writeJSONL(t, filepath.Join(data, "train.jsonl"), toySentences(200, 1))
	writeJSONL(t, filepath.Join(data, "valid.jsonl"), toySentences(40, 2))
	writeJSONL(t, filepath.Join(data, "test.jsonl"), toySentences(40, 3))
	args := func(out string) []string {
		return []string{"train", "--base", base, "--data", data, "--out", out, "--quiet", "--log-format", "json",
			"--set", "train.steps=40", "--set", "train.precision=fp32", "--set", "train.checkpoint_every=10"}
	}
	whole := filepath.Join(work, "whole")
	out, err := islm(t, args(whole)...).CombinedOutput()
	require.NoError(t, err, string(out))
	room := folderSize(t, filepath.Join(whole, "islm/checkpoint-40")) * 3 / 2

	small := filepath.Join(work, "small")
	require.NoError(t, os.Mkdir(small, 0o755))
	mount := func(flags uintptr, size int64) error {
		return unix.Mount("tmpfs", small, "tmpfs", flags, fmt.Sprintf("size=%d", size))
	}
	if err := mount(0, room); err != nil {
		t.Skipf("a small disk needs a mounted tmpfs, which this user may not make: %v", err)
	}
	defer func() { require.NoError(t, unix.Unmount(small, unix.MNT_DETACH)) }()

	run := filepath.Join(small, "run")
	out, err = islm(t, args(run)...).CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, string(out))
	require.Equal(t, exitCannot, exit.ExitCode(), string(out))
	require.Contains(t, string(out), "disk.full")
	require.Contains(t, string(out), "--resume")
	requireCompleteCheckpoints(t, run)
	require.DirExists(t, filepath.Join(run, "islm/checkpoint-10"))
	left, err := filepath.Glob(filepath.Join(run, "islm/checkpoint-*"))
	require.NoError(t, err)
	require.Len(t, left, 1, "only the first checkpoint is there, and nothing half-written")

	require.NoError(t, mount(unix.MS_REMOUNT, 20*room))
	out, err = islm(t, append(args(run), "--resume")...).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, weights(t, whole), weights(t, run))
}

func folderSize(t *testing.T, dir string) (n int64) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		n += info.Size()
		return err
	}))
	return n
}
