package kg

import (
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

func chain() ([]sdk.Entity, []sdk.Fact) {
	return []sdk.Entity{{ID: "a", Type: "T", Names: []string{`<script>alert("a")</script>`}}, {ID: "b", Names: []string{"B \\ \"b\"\n"}}}, []sdk.Fact{
		{Subject: "a", Relation: "r", Object: "b"},
		{Subject: "c", Relation: "r", Object: "b"},
		{Subject: "c", Relation: "s<>", Object: "d"},
		{Subject: "d", Relation: "r", Object: "e"},
		{Subject: "a", Relation: "t", Object: "d"},
		{Subject: "a", Relation: "t", Object: "a"},
	}
}

func TestPaths(t *testing.T) {
	s, _ := build(t, filepath.Join(t.TempDir(), "kg"), first(chain()), second(chain()))
	defer func() { require.NoError(t, s.Close()) }()
	words := func(from, to string, most int) []string {
		paths, err := s.Paths(from, to, most)
		require.NoError(t, err)
		var out []string
		for _, p := range paths {
			line := ""
			for _, f := range p {
				line += f.Subject + " " + f.Relation + " " + f.Object + ". "
			}
			out = append(out, line)
		}
		return out
	}
	assert.Equal(t, []string{"a r b. "}, words("a", "b", 1))
	assert.Equal(t, []string{"a r b. ", "a t d. c s<> d. c r b. "}, words("a", "b", 3))
	assert.Equal(t, []string{"a t d. d r e. "}, words("a", "e", 3)[:1])
	assert.Equal(t, []string{"c s<> d. d r e. ", "c r b. a r b. a t d. d r e. "}[:1], words("c", "e", 3))
	assert.Empty(t, words("a", "a", 3))
	assert.Empty(t, words("a", "nobody", 3))
}

func TestPictures(t *testing.T) {
	s, _ := build(t, filepath.Join(t.TempDir(), "kg"), first(chain()), second(chain()))
	defer func() { require.NoError(t, s.Close()) }()
	n, ok, err := s.Neighborhood("a", 2, 4)
	require.NoError(t, err)
	require.True(t, ok)
	assert.Len(t, n.Entities, 4)
	assert.Equal(t, []int{0, 1, 1, 2}, n.Distance)
	assert.Equal(t, 1, n.Left)
	_, ok, err = s.Neighborhood("nobody", 1, 4)
	require.NoError(t, err)
	assert.False(t, ok)

	var page, again strings.Builder
	require.NoError(t, n.WriteHTML(&page))
	require.NoError(t, n.WriteHTML(&again))
	assert.Equal(t, page.String(), again.String())
	assert.NotContains(t, page.String(), "<script")
	assert.NotContains(t, page.String(), "http", "nothing is fetched")
	assert.Equal(t, 4, strings.Count(page.String(), "<circle"))
	svg := page.String()[strings.Index(page.String(), "<svg"):]
	svg = svg[:strings.Index(svg, "</svg>")+6]
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
	assert.NotContains(t, svg, "NaN")

	var dot strings.Builder
	require.NoError(t, n.WriteDOT(&dot))
	assert.Contains(t, dot.String(), `"b" [label="B \\ \"b\"`)
	assert.Contains(t, dot.String(), `"a" -> "b" [label="r"];`)
}
