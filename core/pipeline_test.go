package core

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
)

// TestReplaceGoesOn cuts the replacement of a last stage's model off at each place:
// the next call completes it, and what is of others stays.
func TestReplaceGoesOn(t *testing.T) {
	put := func(dir, name, text string) {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	s := &recipe.StagePlan{Name: "small", Number: 2}
	fresh := []string{"islm/plan.yaml", "islm/heads.yaml", "README.md", "model.safetensors", "config.json"} // in the order of the moves
	for cut := -1; cut <= len(fresh); cut++ {
		p := &Pipeline{Out: t.TempDir()}
		beside := p.folder(s)
		for _, name := range []string{"config.json", "model.safetensors", "vocab.txt", "islm/plan.yaml", "islm/checkpoint-3/state.json"} {
			put(p.Out, name, "old")
		}
		put(p.Out, "notes.txt", "the user's")
		put(p.Out, "islm/stages/1-first/config.json", "first")
		require.NoError(t, saveMark(p.Out, stageMark{Inputs: "old"}))
		for _, name := range fresh {
			put(beside, name, "new")
		}
		require.NoError(t, saveMark(beside, stageMark{Inputs: "new", Done: &report.StageRecord{Name: "small"}}))
		switch {
		case cut < 0: // while the old model was removed
			require.NoError(t, os.Remove(filepath.Join(p.Out, "config.json")))
		default:
			require.NoError(t, clearOut(p.Out))
			require.NoError(t, saveMark(p.Out, stageMark{Inputs: "new"}))
			for _, name := range fresh[:cut] {
				require.NoError(t, os.Rename(filepath.Join(beside, name), filepath.Join(p.Out, name)))
			}
		}
		dir, done, err := p.claim(s, "new", true)
		require.NoError(t, err)
		require.Nil(t, done)
		require.Equal(t, p.Out, dir)
		for _, name := range fresh {
			text, err := os.ReadFile(filepath.Join(p.Out, name))
			require.NoError(t, err)
			require.Equal(t, "new", string(text), name)
		}
		require.NoFileExists(t, filepath.Join(p.Out, "vocab.txt"))
		require.NoDirExists(t, filepath.Join(p.Out, "islm", "checkpoint-3"))
		require.FileExists(t, filepath.Join(p.Out, "notes.txt"))
		require.FileExists(t, filepath.Join(p.Out, "islm", "stages", "1-first", "config.json"))
		require.NoDirExists(t, beside)
	}
}
