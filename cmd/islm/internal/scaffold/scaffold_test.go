package scaffold

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/sdktest"
)

func wantCode(t *testing.T, err error, code string) sdk.Diagnostic {
	t.Helper()
	ds, _, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok, "%v", err)
	require.Len(t, ds, 1)
	assert.Equal(t, code, ds[0].Code)
	assert.NotEmpty(t, ds[0].Remedy)
	return ds[0]
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"energy", "oil-gas", "b2b", "x"} {
		assert.NoError(t, CheckName(good), good)
	}
	for bad, better := range map[string]string{
		"Energy": "energy", "oil_gas": "oil-gas", "islm-plugin-Water": "water", "Öl & Gas": "l-gas", "3d": "d", "-x-": "x",
		"": "", "../up": "up", "a--b": "a-b", "用电": "", strings.Repeat("x", 65): "", "islm": "", "func": "",
	} {
		d := wantCode(t, CheckName(bad), "plugin.name")
		if better != "" {
			assert.Contains(t, d.Remedy, "here: "+better, bad)
		}
	}
}

// TestRendered checks the skeleton's files as a domain, without building it.
func TestRendered(t *testing.T) {
	dir, files, err := New(Plan{Name: "oil-gas", Dir: filepath.Join(t.TempDir(), "new", "p")})
	require.NoError(t, err)
	assert.Equal(t, []string{"domain.yaml", "vocab/terms.tsv", "data/messages.all.jsonl", "main.go", "main_test.go", "README.md", "go.mod", ".gitignore"}, files)
	gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	assert.Equal(t, "module example.com/islm-plugin-oil-gas\n\ngo 1.26\n\nrequire github.com/islm-dev/islm v"+sdk.Version+"\n", string(gomod))
	content, ds := sdk.Load(sdk.Domain{FS: os.DirFS(dir)})
	require.Empty(t, ds)
	assert.Equal(t, "oil-gas", content.Manifest.Name)
	assert.NotEmpty(t, content.Terms)
	sdktest.Conform(t, sdk.Domain{FS: os.DirFS(dir)})

	main, err := os.ReadFile(filepath.Join(dir, "main.go"))
	require.NoError(t, err)
	assert.Less(t, strings.Count(string(main), "\n"), 25)
	gofmt, err := exec.Command("gofmt", "-l", dir).CombinedOutput()
	if !errors.Is(err, exec.ErrNotFound) {
		require.NoError(t, err)
		assert.Empty(t, string(gofmt))
	}
	rendered := map[string]bool{}
	require.NoError(t, fs.WalkDir(templates, "template", func(_ string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			rendered[d.Name()] = true
		}
		return nil
	}))
	assert.Len(t, files, len(rendered), "every template is written")
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	_, _, err := New(Plan{Name: "Bad Name", Dir: filepath.Join(dir, "x")})
	wantCode(t, err, "plugin.name")
	assert.NoDirExists(t, filepath.Join(dir, "x"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mine"), []byte("x"), 0o600))
	_, _, err = New(Plan{Name: "energy", Dir: dir})
	wantCode(t, err, "plugin.exists")
	_, _, err = New(Plan{Name: "energy", Dir: filepath.Join(dir, "mine")})
	wantCode(t, err, "plugin.exists")
	_, _, err = New(Plan{Name: "energy", Dir: filepath.Join(dir, "y"), Module: "no good/path\n"})
	wantCode(t, err, "plugin.module")
	_, _, err = New(Plan{Name: "energy", Dir: filepath.Join(dir, "y"), Checkout: dir})
	wantCode(t, err, "plugin.checkout")
	assert.NoDirExists(t, filepath.Join(dir, "y"))
}

func checkout(t *testing.T) string {
	t.Helper()
	root := FindCheckout(".")
	require.NotEmpty(t, root)
	return root
}

func TestInsideCheckout(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(checkout(t), name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(root, name), data, 0o600))
	}
	assert.Equal(t, root, FindCheckout(t.TempDir(), filepath.Join(root, "plugins")))
	dir, files, err := New(Plan{Name: "energy", Dir: filepath.Join(root, "plugins", "energy"), Checkout: root})
	require.NoError(t, err)
	assert.NotContains(t, files, "go.mod", "a plugin of the checkout is a package of its module")
	assert.NoFileExists(t, filepath.Join(dir, "go.sum"))
	dir, _, err = New(Plan{Name: "energy", Dir: filepath.Join(root, "sandbox", "energy"), Checkout: root})
	require.NoError(t, err)
	gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	assert.Contains(t, string(gomod), "replace github.com/islm-dev/islm => ../..\n")
	assert.Contains(t, string(gomod), "\tgithub.com/hashicorp/go-plugin v1.8.0 // indirect\n")
	assert.NotContains(t, string(gomod), "// indirect // indirect")
}

// TestBuilds builds and tests the skeleton without a network, as an author would
// with nothing but a checkout.
func TestBuilds(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the Go toolchain")
	}
	dir, _, err := New(Plan{Name: "energy", Dir: filepath.Join(t.TempDir(), "energy"), Checkout: checkout(t)})
	require.NoError(t, err)
	for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "go %v\n%s", args, out)
	}
}
