package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A curve is put before the footer, and takes the place of an earlier one.
func TestAddCurve(t *testing.T) {
	page := []byte("<html><main>before<footer>after</footer></main></html>")
	points := []CurvePoint{{"knowledge", 0.1, 12, 30, 0.5, 0.45, 0.55, 1.25, 3 << 30}, {"knowledge", 1, 120, 300, 0.8, 0.8, 0.8, 9, 3 << 30}, {"no-knowledge", 0.1, 12, 30, 0.4, 0.3, 0.5, 1, 2 << 30}}
	once := string(AddCurve(page, "label macro_f1", points, []string{"it saves <some>", ""}))
	require.Equal(t, 2, strings.Count(once, "<polyline"))
	require.Equal(t, 3, strings.Count(once, "<circle"))
	require.Contains(t, once, "it saves &lt;some&gt;")
	require.Contains(t, once, "<td>10%</td><td>12</td><td>30</td><td>0.500</td><td>[0.450, 0.550]</td><td>1.2</td>")
	require.Less(t, strings.Index(once, "polyline"), strings.Index(once, "<footer>"))
	twice := string(AddCurve([]byte(once), "label macro_f1", points[:1], nil))
	require.Equal(t, 1, strings.Count(twice, "<polyline"))
	require.Equal(t, string(page), strings.Replace(twice, twice[strings.Index(twice, curveBegin):strings.Index(twice, curveEnd)+len(curveEnd)], "", 1))
}
