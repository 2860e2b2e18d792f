package core

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/sdk"
)

func TestReadMarked(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	marked := func(file string) (out []string) {
		examples, ds, err := ReadMarked(t.Context(), file)
		require.NoError(t, err)
		require.NoError(t, ds.Err())
		for i := range examples {
			for _, g := range GoldMentions(&examples[i]) {
				out = append(out, g.Label+" "+examples[i].Text[g.Start:g.End])
			}
		}
		return out
	}
	assert.Equal(t, []string{"Disease Marfan syndrome", "Disease anaemia", "Disease gout"},
		marked(write("a.conll", "the\tO\nMarfan\tB-Disease\nsyndrome\tI-Disease\n\nanaemia\tB-Disease\ngout\tB-Disease\n")))
	assert.Equal(t, []string{"Drug aspirin"}, marked(write("b.jsonl", `{"text": "takes aspirin", "spans": [{"start": 6, "end": 13, "label": "Drug"}]}`+"\n"+`{"text": "nothing", "spans": []}`+"\n")))
	assert.Empty(t, marked(write("c.jsonl", `{"text": "no marks here"}`+"\n")))

	_, ds, err := ReadMarked(t.Context(), write("d.jsonl", "{\n"))
	require.NoError(t, err)
	assert.True(t, ds.HasErrors())
	_, _, err = ReadMarked(t.Context(), filepath.Join(dir, "none.jsonl"))
	assert.Error(t, err)
}

func TestCoverage(t *testing.T) {
	text := "gout and Marfan  Syndrome and asthma"
	gold := []sdk.Span{{Start: 0, End: 4}, {Start: 9, End: 25}, {Start: 30, End: 36}}
	linked := []kg.Mention{{Start: 0, End: 4}, {Start: 9, End: 15}}
	named := func(s string) bool { return s == "gout" || s == "asthma" }
	var all, unseen Coverage
	all.Add(text, gold, linked, named, nil)
	all.Add(text, nil, linked, named, nil)
	assert.Equal(t, Coverage{Gold: 3, Exact: 1, Overlap: 2, Named: 2}, all)
	seen := map[string]bool{MentionKey("marfan syndrome"): true}
	unseen.Add(text, gold, linked, named, func(m string) bool { return !seen[MentionKey(m)] })
	assert.Equal(t, Coverage{Gold: 2, Exact: 1, Overlap: 1, Named: 2}, unseen)
}
