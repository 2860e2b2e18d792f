package share

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVendor(t *testing.T) {
	ctx := t.Context()
	k := newKey(t)
	policies := trust(t, k, "*")
	store := Store{t.TempDir()}
	var pins []Pin
	for _, name := range []string{"fx", "tax"} {
		in, err := store.Install(ctx, makeArchive(t, packFiles(name, "1.2.0"), k), Accept{Policies: policies})
		require.NoError(t, err)
		pins = append(pins, in.Pin())
	}
	binary := filepath.Join(t.TempDir(), "islm-plugin-fx")
	require.NoError(t, os.WriteFile(binary, []byte("machine code"), 0o755)) //nolint:gosec // a binary is executable
	plugins := []Binary{{Content{ID{Plugin, "fx", "1.2.0"}, fmt.Sprintf("%x", sha256.Sum256([]byte("machine code"))), 12}, binary}}
	v := Vendor{filepath.Join(t.TempDir(), VendorFolder)}
	require.NoError(t, v.Write(ctx, store, pins, plugins, policies, nil))
	ds, err := v.Check(ctx, pins, plugins, policies)
	require.NoError(t, err)
	assert.Empty(t, ds.String())

	vendored := filepath.Join(v.Dir, "plugins", "islm-plugin-fx")
	st, err := os.Stat(vendored)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), st.Mode().Perm())

	// Without the store it is all that is needed.
	dir, err := Locate(ctx, pins[0], v, Store{t.TempDir()})
	require.NoError(t, err)
	assert.Equal(t, v.path(pins[0].ID), dir)
	_, err = Locate(ctx, pins[0], Vendor{}, Store{t.TempDir()})
	assert.Equal(t, []string{"share.missing"}, codes(err))

	// A fetch supplies what the store lacks.
	empty, fetched := Store{t.TempDir()}, 0
	require.NoError(t, v.Write(ctx, empty, pins, plugins, policies, func(ctx context.Context, pin Pin) error {
		fetched++
		_, err := empty.Install(ctx, makeArchive(t, packFiles(pin.Name, pin.Version), k), Accept{Policies: policies})
		return err
	}))
	assert.Equal(t, 2, fetched)
	assert.Equal(t, []string{VendorFolder}, slicesOfNames(t, filepath.Dir(v.Dir)))

	// All problems come at once, and a failed write keeps what is there.
	require.NoError(t, os.WriteFile(filepath.Join(v.path(pins[0].ID), "rules", "more.yaml"), []byte("x"), 0o644))
	require.NoError(t, os.Remove(v.path(pins[1].ID)+signatureSuffix))
	require.NoError(t, os.MkdirAll(filepath.Join(v.Dir, "packs", "other"), 0o755))
	require.NoError(t, os.WriteFile(vendored, []byte("other code"), 0o755))                                     //nolint:gosec // as above
	require.NoError(t, os.WriteFile(filepath.Join(v.Dir, "plugins", "islm-plugin-tax"), []byte("code"), 0o755)) //nolint:gosec // as above
	ds, err = v.Check(ctx, pins, plugins, policies)
	require.NoError(t, err)
	var got []string
	for _, d := range ds {
		got = append(got, d.Code)
	}
	assert.Equal(t, []string{"share.digest", "share.limit", "share.unsigned", "share.extra", "share.extra"}, got, ds.String())
	_, err = Locate(ctx, pins[0], v, store)
	assert.Equal(t, []string{"share.digest"}, codes(err), "the store is no way around a changed vendor folder")
	before := snapshot(t, filepath.Dir(v.Dir))
	changed := plugins[0]
	changed.SHA256 = plugins[0].SHA256[1:] + "0"
	require.Error(t, v.Write(ctx, store, pins, []Binary{changed}, policies, nil))
	require.Error(t, v.Write(ctx, Store{t.TempDir()}, pins, plugins, policies, nil))
	require.Error(t, v.Write(ctx, store, pins, plugins, trust(t, newKey(t), "*"), nil))
	assert.Equal(t, before, snapshot(t, filepath.Dir(v.Dir)))
	require.NoError(t, v.Write(ctx, store, pins, plugins, policies, nil))
	ds, err = v.Check(ctx, pins, plugins, policies)
	require.NoError(t, err)
	assert.Empty(t, ds)
}

func TestVerifyDir(t *testing.T) {
	ctx := t.Context()
	k := newKey(t)
	in, err := Store{t.TempDir()}.Install(ctx, makeArchive(t, packFiles("fx", "1.2.0"), k), Accept{Policies: trust(t, k, "fx")})
	require.NoError(t, err)
	v, err := VerifyDir(ctx, in.Dir, in.ID, Accept{Policies: trust(t, k, "fx")})
	require.NoError(t, err)
	assert.Equal(t, []string{"team"}, v.SignedBy)
	require.NoError(t, os.WriteFile(filepath.Join(in.Dir, ".hidden"), nil, 0o644))
	_, err = VerifyDir(ctx, in.Dir, in.ID, Accept{Policies: trust(t, k, "fx")})
	assert.Equal(t, []string{"share.entry"}, codes(err))
}
