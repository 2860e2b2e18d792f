package corpus

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/recipe"
)

// The same texts come from lines, objects and rows, the latter in several groups,
// with a dictionary and with values that are missing.
func TestTextsOfEachFormat(t *testing.T) {
	dir := t.TempDir()
	type row struct {
		ID   int64   `parquet:"id"`
		Text *string `parquet:"text,optional,dict"`
	}
	var want []string
	var rows []row
	var lines, objects strings.Builder
	for i := range 5000 {
		text := fmt.Sprintf("row %d of a corpus, ß and 中", i%1700)
		want = append(want, text)
		rows = append(rows, row{int64(i), &text})
		fmt.Fprintln(&lines, text)
		fmt.Fprintf(&objects, "{\"id\": %d, \"text\": %q}\n", i, text)
		if i%100 == 0 {
			rows = append(rows, row{ID: -1})
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte(lines.String()), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.jsonl"), []byte(objects.String()), 0o600))
	f, err := os.Create(filepath.Join(dir, "c.parquet"))
	require.NoError(t, err)
	w := parquet.NewGenericWriter[row](f, parquet.MaxRowsPerRowGroup(1200), parquet.PageBufferSize(4096))
	_, err = w.Write(rows)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, f.Close())
	for _, name := range []string{"a.txt", "b.jsonl", "c.parquet"} {
		var got []string
		for text, err := range Texts(t.Context(), []string{filepath.Join(dir, name)}, &recipe.DataPlan{}) {
			require.NoError(t, err)
			got = append(got, text.Text)
		}
		require.Equal(t, want, got, name)
	}
}
