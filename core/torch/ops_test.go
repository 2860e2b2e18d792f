//go:build torch

package torch

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite testdata/gotch.txt")

// The list of gotch's functions that this package uses, by file: what the shim
// would have to replace.
func TestGotchOperators(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var lines []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		used := map[string]bool{}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "libtch" {
					used[s.Sel.Name] = true
				}
			}
			return true
		})
		if len(used) == 0 {
			continue
		}
		var names []string
		for n := range used {
			names = append(names, n)
		}
		slices.Sort(names)
		lines = append(lines, name+": "+strings.Join(names, " "))
	}
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile("testdata/gotch.txt", []byte(got), 0o644))
	}
	want, err := os.ReadFile("testdata/gotch.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}
