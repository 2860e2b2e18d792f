package core

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

// Options that name graphs bring their facts, tell what the files hold, and say which of
// them cannot be read.
func TestGraphsOfOptions(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	p := &plugin{about: &sdk.Description{Options: []sdk.Option{
		{Name: "parts", Type: "path", Graph: "tsv"}, {Name: "toy", Type: "path", Graph: "auto"}, {Name: "unset", Type: "path", Graph: "obo"}, {Name: "news", Type: "path"},
	}}}
	p.options = map[string]string{"parts": write("parts.txt", "pump\tpart_of\tplant\n"), "toy": write("toy.nt", "_:a <urn:p> _:b .\n"), "news": write("news.txt", "no graph")}
	all := func() (lines []string, digest string) {
		var d bytes.Buffer
		streams, ds, err := p.graphs(t.Context(), &d)
		require.NoError(t, err)
		require.Empty(t, ds)
		for _, s := range streams {
			for it, err := range s {
				require.NoError(t, err)
				if f := it.Fact; f != nil {
					lines = append(lines, f.Subject+" "+f.Relation+" "+f.Object+" @"+f.Source)
				}
			}
		}
		return lines, d.String()
	}
	lines, before := all()
	assert.Equal(t, []string{"pump part_of plant @parts", "_:toy.f1.a urn:p _:toy.f1.b @toy"}, lines)
	write("parts.txt", "pump\tpart_of\tship\n")
	lines, after := all()
	assert.Equal(t, "pump part_of ship @parts", lines[0])
	assert.NotEqual(t, before, after)

	p.options["parts"], p.options["toy"] = filepath.Join(dir, "gone"), p.options["news"]
	_, ds, err := p.graphs(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, ds, 2)
	assert.Equal(t, "domain.options.parts", ds[0].Path)
	assert.Equal(t, "kg.format", ds[1].Code)
}
