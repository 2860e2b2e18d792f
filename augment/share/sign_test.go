package share

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestKeyFiles(t *testing.T) {
	k := newKey(t)
	text, err := k.Encode("")
	require.NoError(t, err)
	assert.False(t, Encrypted(text))
	for _, form := range [][]byte{text, bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))} {
		back, err := ReadKey(form, "")
		require.NoError(t, err)
		assert.Equal(t, k.Public(), back.Public())
	}
	assert.Equal(t, KeyID(k.Public()), KeyID(string(k.PublicFile())))
	_, err = ReadKey([]byte(k.PublicFile()), "")
	assert.Equal(t, []string{"share.key"}, codes(err))
}

func TestEncryptedKey(t *testing.T) {
	if testing.Short() {
		t.Skip("encryption takes seconds and 1 GiB of memory")
	}
	k := newKey(t)
	text, err := k.Encode("a long password")
	require.NoError(t, err)
	assert.True(t, Encrypted(text))
	assert.NotContains(t, string(text), k.Public())
	back, err := ReadKey(text, "a long password")
	require.NoError(t, err)
	assert.Equal(t, k.Public(), back.Public())
	_, err = ReadKey(text, "another")
	assert.Equal(t, []string{"share.key"}, codes(err))
}

// The signature is one over the tar for any program that reads minisign files.
func TestSignatureIsMinisign(t *testing.T) {
	k := newKey(t)
	a := makeArchive(t, packFiles("fx", "1.2.0"), k)
	data, err := os.ReadFile(a.Path)
	require.NoError(t, err)
	sig, err := os.ReadFile(a.Path + signatureSuffix)
	require.NoError(t, err)
	var pub minisign.PublicKey
	require.NoError(t, pub.UnmarshalText(bytes.TrimSpace(k.PublicFile())))
	assert.True(t, minisign.Verify(pub, data, sig))
	assert.Contains(t, string(sig), "trusted comment: islm pack fx 1.2.0 sha256:"+a.SHA256)
}

func TestCommentRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Content{ID: ID{Kind: rapid.SampledFrom(Kinds()).Draw(t, "kind"), Name: rapid.StringMatching(`[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,3})?`).Draw(t, "name"),
			Version: rapid.StringMatching(`[1-9]\.[0-9]\.[0-9](-rc\.[1-9])?`).Draw(t, "version")}, SHA256: strings.Repeat("a", 64), Size: rapid.Int64Range(1, 1<<20).Draw(t, "size")}
		back, ok := parseComment(c.comment())
		if !ok || back != c {
			t.Fatalf("%v became %v", c, back)
		}
		if _, ok := parseComment(c.comment() + " "); ok {
			t.Fatal("a space at the end passes")
		}
	})
}

func TestTwoSigners(t *testing.T) {
	k1, k2, k3 := newKey(t), newKey(t), newKey(t)
	a := makeArchive(t, packFiles("fx", "1.2.0"), k1, k2, k1) // the second signature of k1 replaces its first
	require.Len(t, a.Signatures, 2)
	for _, k := range []Key{k1, k2} {
		_, err := a.Verify(t.Context(), trust(t, k, "fx"))
		require.NoError(t, err)
	}
	_, err := a.Verify(t.Context(), trust(t, k3, "fx"))
	assert.Equal(t, []string{"share.key-unknown", "share.key-unknown"}, codes(err))

	// Two policies: both must accept.
	both := append(trust(t, k1, "fx"), trust(t, k3, "fx")...)
	_, err = a.Verify(t.Context(), both)
	assert.Contains(t, codes(err), "share.key-unknown")
	v, err := a.Verify(t.Context(), append(trust(t, k1, "fx"), trust(t, k2, "*")...))
	require.NoError(t, err)
	assert.Len(t, v.SignedBy, 2)
}

func TestParsePolicyProblems(t *testing.T) {
	k := newKey(t).Public()
	for name, c := range map[string]struct {
		text  string
		codes []string
	}{
		"unknown key":      {"schema: islm/policy.v0\nkey: {}\n", []string{"yaml.unknown-key"}},
		"no schema":        {"keys: {}\n", []string{"yaml.schema"}},
		"bad public key":   {"schema: islm/policy.v0\nkeys:\n  a: {public: abc, names: [x]}\n", []string{"policy.key"}},
		"no public key":    {"schema: islm/policy.v0\nkeys:\n  a: {names: [x]}\n", []string{"yaml.missing"}},
		"key twice":        {"schema: islm/policy.v0\nkeys:\n  a: {public: " + k + ", names: [x]}\n  b: {public: " + k + ", names: [x]}\n", []string{"policy.key"}},
		"no names":         {"schema: islm/policy.v0\nkeys:\n  a: {public: " + k + "}\n", []string{"policy.key"}},
		"list without id":  {"schema: islm/policy.v0\nkeys:\n  - {public: " + k + ", names: [x]}\n", []string{"policy.key"}},
		"bad pattern":      {"schema: islm/policy.v0\nunsigned: [\"[\", \"\"]\n", []string{"policy.pattern", "policy.pattern"}},
		"bad kind":         {"schema: islm/policy.v0\nkeys:\n  a: {public: " + k + ", names: [x], kinds: [image]}\n", []string{"policy.kind"}},
		"bad version":      {"schema: islm/policy.v0\nminimum: {a: one}\n", []string{"policy.version"}},
		"all at once":      {"schema: islm/policy.v0\nminimum: {a: one}\nunsigned: [\"\"]\n", []string{"policy.version", "policy.pattern"}},
		"revoked, no name": {"schema: islm/policy.v0\nkeys:\n  a: {public: " + k + ", revoked: lost}\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, ds := ParsePolicy("p.yaml", []byte(c.text))
			var got []string
			for _, d := range ds {
				got = append(got, d.Code)
				assert.Equal(t, "p.yaml", d.File)
			}
			assert.Equal(t, c.codes, got, ds.String())
		})
	}
}

func TestFindPolicies(t *testing.T) {
	root, home := t.TempDir(), t.TempDir()
	write := func(p, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(t, os.WriteFile(p, []byte(text), 0o644))
	}
	deep := filepath.Join(root, "a", "b")
	require.NoError(t, os.MkdirAll(deep, 0o755))
	none, err := FindPolicies(deep, home)
	require.NoError(t, err)
	assert.Empty(t, none)
	write(filepath.Join(root, PolicyFile), "schema: islm/policy.v0\nunsigned: [fx]\n")
	write(filepath.Join(home, PolicyFile), "schema: islm/policy.v0\n")
	both, err := FindPolicies(deep, home)
	require.NoError(t, err)
	require.Len(t, both, 2)
	assert.Equal(t, filepath.Join(root, PolicyFile), both[0].File())

	// A project cannot allow what its user's policy does not.
	_, err = makeArchive(t, packFiles("fx", "1.2.0")).Verify(t.Context(), both)
	assert.Equal(t, []string{"share.unsigned"}, codes(err))
	_, err = makeArchive(t, packFiles("fx", "1.2.0")).Verify(t.Context(), both[:1])
	require.NoError(t, err)

	write(filepath.Join(root, "a", PolicyFile), "schema: islm/policy.v9\n")
	_, err = FindPolicies(deep, "")
	assert.Equal(t, []string{"yaml.schema"}, codes(err))
}

func TestNoPolicyWarns(t *testing.T) {
	v, err := makeArchive(t, packFiles("fx", "1.2.0")).Verify(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, v.Warnings, 1)
	assert.Equal(t, "share.no-policy", v.Warnings[0].Code)
}
