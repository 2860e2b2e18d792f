package catalog

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/serve"
)

const pluginKey = "ISLM_CATALOG_TEST_PLUGIN"

// TestMain makes the test binary also the plugin that the tests launch.
func TestMain(m *testing.M) {
	if os.Getenv(pluginKey) != "" {
		serve.Main(sdk.Domain{FS: fstest.MapFS{
			"domain.yaml":     {Data: []byte("schema: islm/domain.v0\nname: energy\nversion: 0.1.0\n")},
			"vocab/terms.tsv": {Data: []byte("text\ntariff\n")},
		}})
	}
	os.Exit(m.Run())
}

func TestLaunch(t *testing.T) {
	t.Setenv(pluginKey, "1")
	exe, err := os.Executable()
	require.NoError(t, err)
	h := newHome(t)
	c := h.open()
	e, _, err := c.Install(t.Context(), exe, InstallOptions{})
	require.NoError(t, err)
	p, entry, err := h.open().Launch(t.Context(), "energy", LaunchOptions{})
	require.NoError(t, err)
	defer p.Close()
	assert.Equal(t, e, entry)
	assert.False(t, entry.Dev())
	terms, diags, err := sdk.Collect(p.Vocabulary(t.Context()))
	require.NoError(t, err)
	assert.Empty(t, diags)
	assert.Equal(t, []sdk.Term{{Text: "tariff"}}, terms)

	// The host compares again what it starts: a binary exchanged after Find fails.
	data, err := os.ReadFile(e.Path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(e.Path))
	require.NoError(t, os.WriteFile(e.Path, append(data, 0), 0o755)) //nolint:gosec // it is a program
	_, err = launch(t.Context(), e, LaunchOptions{})
	wantCode(t, err, "plugin.checksum")
	_, _, err = h.open().Launch(t.Context(), "energy", LaunchOptions{})
	wantCode(t, err, "plugin.checksum")

	h.path.Dev = []string{e.Path}
	p, entry, err = h.open().Launch(t.Context(), "energy", LaunchOptions{})
	require.NoError(t, err)
	p.Close()
	assert.True(t, entry.Dev())
}

// sourceFolder holds a program that describes itself, without any dependency.
func sourceFolder(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.com/energy\n\ngo 1.26\n",
		"main.go": "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(`" + description("energy", version) + "`) }\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func TestSourceFolder(t *testing.T) {
	h := newHome(t)
	src := sourceFolder(t, "0.1.0")
	e, _, err := h.open().Install(t.Context(), src, InstallOptions{})
	require.NoError(t, err)
	assert.Equal(t, src, e.Source)
	assert.Equal(t, filepath.Join(h.path.Home, "plugins", "islm-plugin-energy"), e.Path)

	c := h.open()
	binary, cleanup, err := c.Prepare(t.Context(), src)
	require.NoError(t, err)
	assert.Equal(t, "islm-plugin-energy", filepath.Base(binary))
	cleanup()
	assert.NoFileExists(t, binary)
	binary, cleanup, err = c.Prepare(t.Context(), "energy")
	require.NoError(t, err)
	cleanup()
	assert.Equal(t, e.Path, binary)
	assert.FileExists(t, binary)
	desc, err := c.Describe(t.Context(), src)
	require.NoError(t, err)
	assert.Equal(t, "energy", desc.Name)

	// A folder under development is built anew for each run, and leaves one binary.
	dev := sourceFolder(t, "0.2.0")
	h.path.Dev = []string{dev}
	first, err := h.open().Find("energy")
	require.NoError(t, err)
	assert.True(t, first.Dev())
	text, err := os.ReadFile(filepath.Join(sourceFolder(t, "0.3.0"), "main.go"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dev, "main.go"), text, 0o600))
	second, err := h.open().Find("energy")
	require.NoError(t, err)
	assert.Equal(t, "0.3.0", second.Version)
	assert.NoFileExists(t, first.Path)
	assert.FileExists(t, second.Path)
	left, err := filepath.Glob(filepath.Join(h.path.Home, "plugins", "*.tmp"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
