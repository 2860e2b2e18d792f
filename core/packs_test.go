package core

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/share"
	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/core/recipe"
)

// writePack writes a pack of one rule that exchanges a word.
func writePack(t *testing.T, dir, name, version, with string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "rules"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pack.yaml"), fmt.Appendf(nil,
		"schema: islm/pack.v1\nname: %s\nversion: %s\nsummary: Exchanges words.\nlicence: Apache-2.0\nlang: en\n", name, version), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules", "words.yaml"), fmt.Appendf(nil, `schema: islm/rules.v1
rules:
  - id: words
    summary: One word for another.
    match: {literal: rise}
    do: {kind: swap.v0, with: [%s]}
    labels: {keep: all}
`, with), 0o644))
}

// lockPack installs a pack in the store of home and writes it into the lock of
// the project.
func lockPack(t *testing.T, home, project, dir string) share.Pin {
	t.Helper()
	id, err := share.PackID(os.DirFS(dir))
	require.NoError(t, err)
	a, err := share.PackDir(t.Context(), dir, t.TempDir(), id)
	require.NoError(t, err)
	in, err := share.Store{Home: home}.Install(t.Context(), a, share.Accept{})
	require.NoError(t, err)
	pin := in.Pin()
	require.NoError(t, catalog.UpdateLock(home, filepath.Join(project, catalog.LockFile), func(l *catalog.Lock) {
		l.Set(share.Pack.Folder(), catalog.Pin{Name: pin.Name, Version: pin.Version, SHA256: pin.SHA256, Size: pin.Size, Source: "oci:shelf"})
	}))
	return pin
}

// A locked pack is found by its name: vendored, else in the store, never
// otherwise than locked.
func TestLockedPacksAreFound(t *testing.T) {
	home, project, source := t.TempDir(), t.TempDir(), t.TempDir()
	writePack(t, source, "moves", "1.2.0", "climb")
	pin := lockPack(t, home, project, source)
	below := filepath.Join(project, "sub")
	require.NoError(t, os.Mkdir(below, 0o755))
	t.Chdir(below)
	find := func(name, home string) (*augment.Pack, error) {
		p, ds, err := findPack(context.Background(), name, nil, home)
		if err == nil {
			err = ds.Err()
		}
		return p, err
	}

	p, err := find("moves", home)
	require.NoError(t, err)
	require.Equal(t, "1.2.0", p.Manifest.Version)
	require.Len(t, p.Rules, 1)
	_, err = find("moves", t.TempDir())
	require.ErrorContains(t, err, "share.missing")
	require.ErrorContains(t, err, "islm rules pull")
	_, err = find("movess", home)
	require.ErrorContains(t, err, `did you mean "moves"`)

	// The vendor folder is enough, and changed it is no reason to look elsewhere.
	vendor := share.Vendor{Dir: filepath.Join(project, share.VendorFolder)}
	require.NoError(t, vendor.Write(t.Context(), share.Store{Home: home}, []share.Pin{pin}, nil, nil, nil))
	_, err = find("moves", t.TempDir())
	require.NoError(t, err)
	writePack(t, filepath.Join(vendor.Dir, "packs", "moves"), "moves", "1.2.0", "soar")
	_, err = find("moves", home)
	require.ErrorContains(t, err, "share.digest")

	// The lock stands before the packs that come with islm, after a folder.
	p, err = find("aeda", home)
	require.NoError(t, err)
	require.NotEqual(t, "9.9.9", p.Manifest.Version)
	other := t.TempDir()
	writePack(t, other, "aeda", "9.9.9", "climb")
	lockPack(t, home, project, other)
	p, err = find("aeda", home)
	require.NoError(t, err)
	require.Equal(t, "9.9.9", p.Manifest.Version)
	writePack(t, filepath.Join(below, "aeda"), "aeda", "0.0.1", "climb")
	p, err = find("aeda", home)
	require.NoError(t, err)
	require.Equal(t, "0.0.1", p.Manifest.Version)
}

// A run is resumed with the rules that it was started with, or not at all.
func TestResumeComparesRules(t *testing.T) {
	home, pack := t.TempDir(), filepath.Join(t.TempDir(), "moves")
	writePack(t, pack, "moves", "1.0.0", "climb")
	open := func(packs ...string) map[string]string {
		r, ds, err := openRules(t.Context(), &recipe.Plan{Augment: recipe.AugmentPlan{Packs: packs, Mode: "replace"}}, nil, home)
		require.NoError(t, err)
		require.NoError(t, ds.Err())
		return r.digests()
	}
	f, _, err := OpenFolder(filepath.Join(t.TempDir(), "run"), false)
	require.NoError(t, err)
	require.NoError(t, f.AdoptRules(open(pack, "aeda")))
	require.NoError(t, f.AdoptRules(open(pack, "aeda")))

	writePack(t, pack, "moves", "1.0.0", "soar")
	changed := open(pack, "aeda")
	err = f.AdoptRules(changed)
	require.ErrorContains(t, err, "run.plan-differs")
	require.ErrorContains(t, err, "other rules: augment.packs.moves")
	require.ErrorContains(t, err, "now "+changed["augment.packs.moves"])
	require.NotContains(t, err.Error(), "augment.packs.aeda")
	require.ErrorContains(t, f.AdoptRules(open("aeda")), "now none")
	writePack(t, pack, "moves", "1.0.0", "climb")
	require.NoError(t, f.AdoptRules(open(pack, "aeda")), "a refusal leaves the record as it was")

	// A run without packs keeps no record.
	plain, _, err := OpenFolder(filepath.Join(t.TempDir(), "run"), false)
	require.NoError(t, err)
	require.NoError(t, plain.AdoptRules(open()))
	require.NoFileExists(t, plain.Own(PacksFile))
}
