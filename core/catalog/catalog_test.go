package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

// script writes a program that answers `describe` with the given text.
func script(t *testing.T, path, stdout string, more ...string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	text := "#!/bin/sh\ncat <<'EOF'\n" + stdout + "\nEOF\n"
	for _, m := range more {
		text += m + "\n"
	}
	require.NoError(t, os.WriteFile(path, []byte(text), 0o755)) //nolint:gosec // it is a program
	return path
}

func description(name, version string) string {
	return fmt.Sprintf(`{"name": %q, "version": %q, "sdk_version": "0.1.0", "digest": "d"}`, name, version)
}

type testHome struct {
	t    *testing.T
	path SearchPath
}

func newHome(t *testing.T) testHome {
	root := t.TempDir()
	h := testHome{t, SearchPath{Home: filepath.Join(root, "home"), Work: filepath.Join(root, "work", "deep"), Bundled: filepath.Join(root, "bin", "plugins")}}
	require.NoError(t, os.MkdirAll(h.path.Work, 0o755))
	require.NoError(t, os.MkdirAll(h.path.Bundled, 0o755))
	return h
}

func (h testHome) open() *Catalog {
	h.t.Helper()
	c, err := Open(h.t.Context(), h.path)
	require.NoError(h.t, err)
	return c
}

func wantCode(t *testing.T, err error, code string) sdk.Diagnostic {
	t.Helper()
	require.Error(t, err)
	diags, _, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok, "%v", err)
	require.NotEmpty(t, diags)
	assert.Equal(t, code, diags[0].Code, "%v", err)
	return diags[0]
}

func TestInstallAndFind(t *testing.T) {
	h := newHome(t)
	c := h.open()
	d := wantCode(t, errOf(c.Find("energy")), "plugin.unknown")
	assert.Contains(t, d.Remedy, "islm plugin install")

	src := script(t, filepath.Join(t.TempDir(), "islm-plugin-energy"), description("energy", "0.1.0"))
	e, diags, err := c.Install(t.Context(), src, InstallOptions{})
	require.NoError(t, err)
	assert.Empty(t, diags)
	assert.Equal(t, FromHome, e.Place)
	assert.Equal(t, filepath.Join(h.path.Home, "plugins", "islm-plugin-energy"), e.Path)
	for _, c := range []*Catalog{c, h.open()} {
		got, err := c.Find("energy")
		require.NoError(t, err)
		assert.Equal(t, e, got)
		desc, err := c.Describe(t.Context(), "energy")
		require.NoError(t, err)
		assert.Equal(t, "0.1.0", desc.Version)
	}
	d = wantCode(t, errOf(c.Find("enrgy")), "plugin.unknown")
	assert.Equal(t, `did you mean "energy"?`, d.Remedy)
	assert.Contains(t, d.Detail, "energy")

	script(t, e.Path, description("energy", "6.6.6"))
	d = wantCode(t, errOf(h.open().Find("energy")), "plugin.checksum")
	assert.Contains(t, d.Remedy, "islm plugin install "+src)
	entries, ds := h.open().List()
	assert.Empty(t, entries)
	assert.Len(t, ds, 1)

	require.NoError(t, os.Remove(e.Path))
	wantCode(t, errOf(h.open().Find("energy")), "plugin.missing")
	_, _, err = c.Install(t.Context(), src, InstallOptions{})
	require.NoError(t, err)
	_, err = h.open().Find("energy")
	require.NoError(t, err)
}

func errOf(_ any, err error) error { return err }

func TestSearchOrder(t *testing.T) {
	h := newHome(t)
	script(t, filepath.Join(h.path.Bundled, "islm-plugin-energy"), description("energy", "0.1.0"))
	script(t, filepath.Join(h.path.Bundled, "islm-plugin-finance"), description("finance", "0.1.0"))
	c := h.open()
	d := wantCode(t, errOf(c.Find("energy")), "plugin.unlocked")
	assert.Contains(t, d.Remedy, "islm plugin install "+filepath.Join(h.path.Bundled, "islm-plugin-energy"))
	_, ds := c.List()
	assert.Len(t, ds, 2)

	locked, err := c.LockDir(t.Context(), h.path.Bundled)
	require.NoError(t, err)
	require.Len(t, locked, 2)
	first, err := os.ReadFile(filepath.Join(h.path.Bundled, LockFile))
	require.NoError(t, err)
	_, err = c.LockDir(t.Context(), h.path.Bundled)
	require.NoError(t, err)
	again, err := os.ReadFile(filepath.Join(h.path.Bundled, LockFile))
	require.NoError(t, err)
	assert.Equal(t, string(first), string(again))

	find := func(name string) Entry {
		t.Helper()
		e, err := h.open().Find(name)
		require.NoError(t, err)
		return e
	}
	assert.Equal(t, FromBundle, find("energy").Place)

	src := t.TempDir()
	_, _, err = h.open().Install(t.Context(), script(t, filepath.Join(src, "two"), description("energy", "0.2.0")), InstallOptions{})
	require.NoError(t, err)
	assert.Equal(t, FromHome, find("energy").Place)
	assert.Equal(t, "0.2.0", find("energy").Version)
	assert.Equal(t, FromBundle, find("finance").Place)

	inside := script(t, filepath.Join(h.path.Work, "my", "three"), description("energy", "0.3.0"))
	e, _, err := h.open().Install(t.Context(), inside, InstallOptions{Project: true})
	require.NoError(t, err)
	assert.Equal(t, FromProject, e.Place)
	assert.Equal(t, FromProject, find("energy").Place)
	l, _, err := ReadLock(filepath.Join(h.path.Work, LockFile))
	require.NoError(t, err)
	assert.Equal(t, "./my/three", l.Plugins[0].Source, "a project's lock can be shared")
	elsewhere := h.path
	elsewhere.Work = t.TempDir()
	c, err = Open(t.Context(), elsewhere)
	require.NoError(t, err)
	got, err := c.Find("energy")
	require.NoError(t, err)
	assert.Equal(t, "0.3.0", got.Version, "both locks know the new binary")

	// The project pins 0.3.0; a later installation outside changes the shared binary.
	_, _, err = c.Install(t.Context(), script(t, filepath.Join(src, "four"), description("energy", "0.4.0")), InstallOptions{})
	require.NoError(t, err)
	wantCode(t, errOf(h.open().Find("energy")), "plugin.checksum")
	script(t, filepath.Join(h.path.Work, "plugins", "islm-plugin-energy"), description("energy", "0.3.0"))
	assert.Equal(t, filepath.Join(h.path.Work, "plugins", "islm-plugin-energy"), find("energy").Path, "a project may bring its binaries along")

	h.path.Dev = []string{script(t, filepath.Join(src, "five"), description("energy", "0.5.0-dev"))}
	e = find("energy")
	assert.True(t, e.Dev())
	assert.Equal(t, "0.5.0-dev", e.Version)
	entries, ds := h.open().List()
	assert.Empty(t, ds)
	require.Len(t, entries, 2)
	assert.Equal(t, []string{FromDev, FromBundle}, []string{entries[0].Place, entries[1].Place})
}

func TestInstallRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "plain.txt")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.Mkdir(empty, 0o755))
	for name, c := range map[string]struct{ src, code, text string }{
		"nothing there":  {filepath.Join(dir, "nothing"), "plugin.missing", "there is no"},
		"not a program":  {file, "plugin.binary", "not a program"},
		"other name":     {script(t, filepath.Join(dir, "islm-plugin-energy"), description("finance", "1.0.0")), "plugin.name", "calls itself"},
		"bad name":       {script(t, filepath.Join(dir, "a"), description("../x", "1.0.0")), "plugin.name", "no name for a plugin"},
		"no description": {script(t, filepath.Join(dir, "b"), "hello"), "plugin.describe", "prints no description"},
		"prints more":    {script(t, filepath.Join(dir, "c"), description("energy", "1.0.0")+"\nhello"), "plugin.describe", "more than its description"},
		"fails":          {script(t, filepath.Join(dir, "d"), description("energy", "1.0.0"), "echo 'panic: oh' >&2", "exit 2"), "plugin.describe", "panic: oh"},
		"silent":         {script(t, filepath.Join(dir, "e"), "", "exit 2"), "plugin.describe", "describe"},
		"own errors": {script(t, filepath.Join(dir, "f"), `{"name": "energy", "version": "1.0.0", "diagnostics": [{"severity": "error", "code": "head.labels", "summary": "bad"}]}`, "exit 1"),
			"head.labels", "bad"},
		"no Go files": {empty, "plugin.build", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			_, _, err := h.open().Install(t.Context(), c.src, InstallOptions{Project: true})
			wantCode(t, err, c.code)
			assert.Contains(t, err.Error(), c.text)
			left, globErr := filepath.Glob(filepath.Join(h.path.Home, "plugins", "*"))
			require.NoError(t, globErr)
			assert.Empty(t, left)
			assert.NoFileExists(t, filepath.Join(h.path.Work, LockFile))
		})
	}
}

func TestBuildProblems(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	out := filepath.Join(t.TempDir(), "out")
	write("go.mod", "module example.com/x\n\ngo 1.26\n")
	write("main.go", "package main\n\nfunc main() {\n\tx := 1\n\tfoo()\n}\n")
	d := wantCode(t, Build(t.Context(), dir, out), "plugin.build")
	assert.Equal(t, filepath.Join(dir, "main.go"), d.File)
	assert.Equal(t, 4, d.Line)
	write("main.go", "package x\n")
	d = wantCode(t, Build(t.Context(), dir, out), "plugin.build")
	assert.Contains(t, d.Summary, "not package main")
	write("main.go", "package main\n\nimport _ \"example.org/nothing\"\n\nfunc main() {}\n")
	d = wantCode(t, Build(t.Context(), dir, out), "plugin.build")
	assert.NotEmpty(t, d.Remedy+d.Detail+d.Summary)
	write("main.go", "package main\n\nfunc main() {}\n")
	require.NoError(t, Build(t.Context(), dir, out))
	assert.FileExists(t, out)
	t.Setenv("PATH", t.TempDir())
	d = wantCode(t, Build(t.Context(), dir, out), "plugin.build")
	assert.Contains(t, d.Summary, "Go toolchain")
}

func TestOpenRefusesBadLocks(t *testing.T) {
	h := newHome(t)
	require.NoError(t, os.WriteFile(filepath.Join(h.path.Work, LockFile), []byte("schema: islm/lock.v0\nplugns: {}\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(h.path.Bundled, LockFile), []byte("schema: islm/lock.v0\nplugins: {a: {sha256: x}}\n"), 0o600))
	_, err := Open(t.Context(), h.path)
	diags, _, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok)
	assert.Len(t, diags, 2, "all locks are reported at once")
}
