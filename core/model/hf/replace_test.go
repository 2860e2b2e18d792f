package hf

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var replaced = []string{ConfigFile, WeightsFile, filepath.Join(Own, HeadsFile)}

func oldFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, Own), 0o755))
	require.NoError(t, write(dir, "old"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte("kept"), 0o644))
	return dir
}

func write(dir, text string) (err error) {
	for _, name := range replaced {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return err
}

func requireAll(t *testing.T, dir, text string) {
	t.Helper()
	for _, name := range replaced {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, text, string(data), name)
	}
	data, err := os.ReadFile(filepath.Join(dir, "vocab.txt"))
	require.NoError(t, err)
	require.Equal(t, "kept", string(data))
	require.NoDirExists(t, filepath.Join(dir, Own, replacing))
}

// Wherever a process ends, who comes next finds all old files or all new ones.
func TestReplaceKilled(t *testing.T) {
	dir := oldFolder(t)
	require.NoError(t, Replace(dir, func(into string) error { return write(into, "new") }))
	requireAll(t, dir, "new")
	require.NoDirExists(t, filepath.Join(dir, Own, replacing+".tmp"))

	// While the new files are written; the next one begins anew.
	dir = oldFolder(t)
	half := filepath.Join(dir, Own, replacing+".tmp")
	require.NoError(t, os.MkdirAll(half, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(half, "other"), []byte("half"), 0o644))
	require.NoError(t, Settle(dir))
	requireAll(t, dir, "old")
	require.NoError(t, Replace(dir, func(into string) error { return write(into, "new") }))
	requireAll(t, dir, "new")
	require.NoFileExists(t, filepath.Join(dir, "other"))

	// What fails leaves the old ones.
	dir = oldFolder(t)
	require.ErrorContains(t, Replace(dir, func(into string) error {
		return errors.Join(write(into, "new"), errors.New("no space left"))
	}), "no space left")
	requireAll(t, dir, "old")

	// Between any two moves, and before the list of them is removed.
	killed := errors.New("killed")
	for moves := range len(replaced) + 1 {
		dir := oldFolder(t)
		tmp := filepath.Join(dir, Own, replacing)
		require.NoError(t, os.MkdirAll(filepath.Join(tmp, Own), 0o755))
		require.NoError(t, write(tmp, "new"))
		n := 0
		err := settle(dir, func(from, to string) error {
			if n++; n > moves {
				return killed
			}
			if to == filepath.Join(dir, ConfigFile) {
				require.Equal(t, len(replaced), n, "config.json is the last")
			}
			return os.Rename(from, to)
		})
		if moves < len(replaced) {
			require.ErrorIs(t, err, killed)
			require.DirExists(t, tmp)
		}
		require.NoError(t, Settle(dir))
		requireAll(t, dir, "new")
	}
}

// Readers may settle the same folder at once.
func TestSettleTogether(t *testing.T) {
	for range 20 {
		dir := oldFolder(t)
		tmp := filepath.Join(dir, Own, replacing)
		require.NoError(t, os.MkdirAll(filepath.Join(tmp, Own), 0o755))
		require.NoError(t, write(tmp, "new"))
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() { errs[i] = Settle(dir) })
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		requireAll(t, dir, "new")
	}
}
