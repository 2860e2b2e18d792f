package main

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/libtorch"
)

// fakePip writes a program that stands in for python: each call copies the next
// of the given wheels into the folder after -d.
func fakePip(t *testing.T, wheels ...[]byte) string {
	t.Helper()
	dir := t.TempDir()
	for i, w := range wheels {
		require.NoError(t, os.WriteFile(filepath.Join(dir, string(rune('0'+i))), w, 0o600))
	}
	script := "#!/bin/sh\nn=$(cat " + dir + "/n 2>/dev/null || echo 0)\necho $((n+1)) > " + dir + "/n\n" +
		"while [ \"$1\" != -d ]; do shift; done\nif [ -f " + dir + "/$n ]; then cp " + dir + "/$n \"$2/w.whl\"; else echo 'network is down' >&2; exit 1; fi\n"
	path := filepath.Join(dir, "python")
	require.NoError(t, os.WriteFile(path, []byte(script), 0o700))
	return path
}

func wheel(t *testing.T, files map[string]string) ([]byte, string) {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, text := range files {
		w, err := z.Create(name)
		require.NoError(t, err)
		_, err = w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	p := filepath.Join(t.TempDir(), "x.whl")
	require.NoError(t, os.WriteFile(p, buf.Bytes(), 0o600))
	sum, err := digest(p)
	require.NoError(t, err)
	return buf.Bytes(), sum
}

func same(name string) string { return name }

func TestCorruptDownloadIsFetchedAgain(t *testing.T) {
	good, sum := wheel(t, map[string]string{"lib/a.so": "library", "other/b": "left out"})
	var log bytes.Buffer
	b := &bootstrap{home: t.TempDir(), log: &log, python: fakePip(t, good[:len(good)/2], []byte("<html>"), good)}
	w := libtorch.Wheel{Name: "w", Version: "1", Platform: "any", SHA256: sum, Keep: []string{"lib/"}}
	dir := filepath.Join(b.home, "into")
	require.NoError(t, b.wheel(context.Background(), w, dir, same))
	text, err := os.ReadFile(filepath.Join(dir, "lib/a.so"))
	require.NoError(t, err)
	require.Equal(t, "library", string(text))
	require.NoFileExists(t, filepath.Join(dir, "other/b"))
	require.Equal(t, 2, strings.Count(log.String(), "trying again"), log.String())

	// Complete: pip is not asked again (the fake would fail).
	require.NoError(t, b.wheel(context.Background(), w, dir, same))

	// A file cut afterwards is noticed.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lib/a.so"), []byte("lib"), 0o600))
	b.python = fakePip(t, good)
	require.NoError(t, b.wheel(context.Background(), w, dir, same))
	text, _ = os.ReadFile(filepath.Join(dir, "lib/a.so"))
	require.Equal(t, "library", string(text))
}

func TestFailureSaysWhatToDoAndLeavesNothing(t *testing.T) {
	good, _ := wheel(t, map[string]string{"lib/a.so": "library"})
	var log bytes.Buffer
	b := &bootstrap{home: t.TempDir(), log: &log, python: fakePip(t, good)}
	w := libtorch.Wheel{Name: "w", Version: "1", Platform: "any", SHA256: strings.Repeat("0", 64), Keep: []string{"lib/"}}
	err := b.wheel(context.Background(), w, filepath.Join(b.home, "into"), same)
	require.ErrorContains(t, err, "pip")
	require.ErrorContains(t, err, "index and proxy")
	require.Contains(t, log.String(), "pinned is 0000")
	require.NoFileExists(t, filepath.Join(b.home, "into", "lib/a.so"))
	left, _ := filepath.Glob(filepath.Join(b.home, "download-*"))
	require.Empty(t, left)
}

func TestArchiveCannotLeaveItsFolder(t *testing.T) {
	bad, sum := wheel(t, map[string]string{"lib/../../../evil": "x"})
	b := &bootstrap{home: t.TempDir(), log: &bytes.Buffer{}, python: fakePip(t, bad, bad, bad)}
	w := libtorch.Wheel{Name: "w", Version: "1", Platform: "any", SHA256: sum, Keep: []string{"lib/"}}
	require.ErrorContains(t, b.wheel(context.Background(), w, filepath.Join(b.home, "into"), same), "leave the folder")
}
