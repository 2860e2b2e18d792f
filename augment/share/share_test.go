package share

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/islm-dev/islm/sdk"
)

// packFiles are the files of a small pack.
func packFiles(name, version string) map[string]string {
	return map[string]string{
		"pack.yaml":        fmt.Sprintf("schema: islm/pack.v1\nname: %s\nversion: %s\nsummary: A pack for tests.\n", name, version),
		"rules/words.yaml": "schema: islm/rules.v1\nrules:\n  - id: first\n    match: {literal: up}\n",
		"lists/words.tsv":  "up\tdown\n",
	}
}

func writeDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(t, os.WriteFile(p, []byte(text), 0o644))
	}
	return dir
}

// makeArchive packs a pack, signed by the keys.
func makeArchive(t *testing.T, files map[string]string, keys ...Key) *Archive {
	t.Helper()
	dir := writeDir(t, files)
	id, err := PackID(os.DirFS(dir))
	require.NoError(t, err)
	a, err := PackDir(t.Context(), dir, t.TempDir(), id)
	require.NoError(t, err)
	for _, k := range keys {
		require.NoError(t, a.Sign(k))
	}
	return a
}

func newKey(t *testing.T) Key {
	t.Helper()
	k, err := NewKey()
	require.NoError(t, err)
	return k
}

func policyOf(t *testing.T, text string) []*Policy {
	t.Helper()
	p, ds := ParsePolicy(PolicyFile, []byte("schema: islm/policy.v0\n"+text))
	require.Empty(t, ds.String())
	return []*Policy{p}
}

// trust is a policy by which k may sign the names.
func trust(t *testing.T, k Key, names string) []*Policy {
	t.Helper()
	return policyOf(t, fmt.Sprintf("keys:\n  team: {public: %s, names: [%q]}\n", k.Public(), names))
}

// snapshot gives every path below dir with its content.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			all[p] = "folder"
			return err
		}
		data, err := os.ReadFile(p)
		all[p] = string(data)
		return err
	}))
	return all
}

func codes(err error) []string {
	ds, _, _ := sdk.DiagnosticsOf(err)
	var all []string
	for _, d := range ds {
		all = append(all, d.Code)
	}
	return all
}

func TestSameFilesSameBytes(t *testing.T) {
	files := packFiles("fx", "1.2.0")
	a, b := makeArchive(t, files), makeArchive(t, files)
	rawA, err := os.ReadFile(a.Path)
	require.NoError(t, err)
	rawB, err := os.ReadFile(b.Path)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(rawA, rawB))
	sum := sha256.Sum256(rawA)
	assert.Equal(t, hex.EncodeToString(sum[:]), a.SHA256)
	assert.Equal(t, "fx-1.2.0.pack.tar", filepath.Base(a.Path))

	// Times, modes and hidden files make no difference.
	dir := writeDir(t, files)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "pack.yaml"), time.Unix(1, 0), time.Unix(1, 0)))
	require.NoError(t, os.Chmod(filepath.Join(dir, "pack.yaml"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".cache"), []byte("x"), 0o644))
	c, err := PackDir(t.Context(), dir, t.TempDir(), a.ID)
	require.NoError(t, err)
	assert.Equal(t, a.Content, c.Content)
	assert.Equal(t, []string{".cache"}, c.Skipped)
}

// The digest of a tree is part of every lock: it may not drift with a new version
// of Go.
func TestDigestIsPinned(t *testing.T) {
	fsys := fstest.MapFS{
		"pack.yaml":                         {Data: []byte("name: fx\n")},
		"lists/词表.tsv":                      {Data: []byte("涨\t跌\n")},
		"rules/" + strings.Repeat("a", 120): {Data: []byte("x")},
		"rules/b.yaml":                      {Data: bytes.Repeat([]byte("y"), 513)},
	}
	c, err := Measure(t.Context(), fsys, ID{Pack, "fx", "1.0.0"})
	require.NoError(t, err)
	assert.Equal(t, "e6d47cdcb2230d4d73a511a720629b4e3c3339125042d29cd36443952006bc09", c.SHA256)
	p, err := Measure(t.Context(), fstest.MapFS{"islm-plugin-fx": {Data: []byte("#!")}}, ID{Plugin, "fx", "1.0.0"})
	require.NoError(t, err)
	assert.Equal(t, "edaee523a80a4b4d2b569a6b226e4a56c76904f9e9ef6cbe14835cbcba00ce0b", p.SHA256)
}

// What can be packed can be unpacked, and gives the same digest again.
func TestPackUnpackProperty(t *testing.T) {
	part := rapid.StringMatching(`[a-z0-9äé涨_-]{1,8}`)
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		fsys := fstest.MapFS{}
		for range rapid.IntRange(1, 8).Draw(rt, "files") {
			name := strings.Join(rapid.SliceOfN(part, 1, 4).Draw(rt, "path"), "/") + ".tsv"
			fsys[name] = &fstest.MapFile{Data: rapid.SliceOfN(rapid.Byte(), 0, 1500).Draw(rt, "data")}
		}
		id := ID{Vocabulary, "v", "1.0.0"}
		c, err := Measure(t.Context(), fsys, id)
		if err != nil {
			rt.Skip("paths that only differ in form: ", err)
		}
		src := filepath.Join(root, fmt.Sprint("src", n))
		if err := os.CopyFS(src, fsys); err != nil {
			rt.Fatal(err)
		}
		a, err := PackDir(t.Context(), src, root, id)
		if err != nil || a.Content != c {
			rt.Fatalf("%v %v %v", a, c, err)
		}
		dst := filepath.Join(root, fmt.Sprint("dst", n))
		if err := a.Extract(t.Context(), dst); err != nil {
			rt.Fatal(err)
		}
		got, err := Measure(t.Context(), os.DirFS(dst), id)
		if err != nil || got != c {
			rt.Fatalf("%v %v", got, err)
		}
		if ok, err := holds(t.Context(), dst, c); err != nil || !ok {
			rt.Fatal("an unpacked folder does not hold what was packed", err)
		}
	})
}

func TestPackRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		code   string
	}{
		"link": {func(t *testing.T, dir string) {
			require.NoError(t, os.Symlink("/etc/hostname", filepath.Join(dir, "lists", "host.tsv")))
		}, "share.entry"},
		"case": {func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "PACK.yaml"), nil, 0o644))
		}, "share.entry"},
		"name of a device": {func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "aux.tsv"), nil, 0o644))
		}, "share.entry"},
		"no pack.yaml": {func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "pack.yaml"))) }, "share.pack"},
		"no version": {func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "pack.yaml"), []byte("name: fx\nversion: one\n"), 0o644))
		}, "share.version"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, out := writeDir(t, packFiles("fx", "1.2.0")), t.TempDir()
			c.change(t, dir)
			id, err := PackID(os.DirFS(dir))
			if err == nil {
				_, err = PackDir(t.Context(), dir, out, id)
			}
			assert.Contains(t, codes(err), c.code)
			left, err := os.ReadDir(out)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

func TestArchiveOfFile(t *testing.T) {
	k := newKey(t)
	a := makeArchive(t, packFiles("fx-rates-2", "1.2.0-rc.1"), k)
	b, err := OpenArchive(t.Context(), a.Path)
	require.NoError(t, err)
	assert.Equal(t, a.Content, b.Content)
	assert.Equal(t, "fx-rates-2", b.Name)
	assert.Equal(t, "1.2.0-rc.1", b.Version)
	require.Len(t, b.Signatures, 1)
	v, err := b.Verify(t.Context(), trust(t, k, "fx-*"))
	require.NoError(t, err)
	assert.Equal(t, []string{"team"}, v.SignedBy)

	// Packed anew with other files, the old signature goes.
	files := packFiles("fx-rates-2", "1.2.0-rc.1")
	files["lists/more.tsv"] = "a\n"
	c, err := PackDir(t.Context(), writeDir(t, files), filepath.Dir(a.Path), a.ID)
	require.NoError(t, err)
	assert.Empty(t, c.Signatures)
	assert.NoFileExists(t, a.Path+signatureSuffix)
}

func TestKinds(t *testing.T) {
	for _, k := range Kinds() {
		t.Run(string(k), func(t *testing.T) {
			files := map[string]string{"islm-plugin-fx": "#!/bin/sh\n", "graph.nt.gz": "x"}
			if k == Pack {
				files = packFiles("fx", "1.2.0")
			}
			key := newKey(t)
			a, err := PackDir(t.Context(), writeDir(t, files), t.TempDir(), ID{k, "fx", "1.2.0"})
			require.NoError(t, err)
			require.NoError(t, a.Sign(key))
			place, err := Open("oci:"+filepath.Join(t.TempDir(), "layout"), Remote{})
			require.NoError(t, err)
			pushed, err := place.Push(t.Context(), a)
			require.NoError(t, err)
			back, err := Open(pushed.Reference, Remote{})
			require.NoError(t, err)
			in, err := back.Pull(t.Context(), Store{t.TempDir()}, Accept{Kind: k, Policies: trust(t, key, "fx")})
			require.NoError(t, err)
			assert.Equal(t, pushed.Reference, in.Source)
			assert.Equal(t, filepath.Join(k.Folder(), a.SHA256), filepath.Join(filepath.Base(filepath.Dir(in.Dir)), filepath.Base(in.Dir)))
			for name, text := range files {
				got, err := os.ReadFile(filepath.Join(in.Dir, name))
				require.NoError(t, err)
				assert.Equal(t, text, string(got))
			}
			if k == Plugin {
				st, err := os.Stat(filepath.Join(in.Dir, "islm-plugin-fx"))
				require.NoError(t, err)
				assert.EqualValues(t, 0o755, st.Mode().Perm())
			}
		})
	}
}

func TestPathsThatAreNone(t *testing.T) {
	for _, p := range []string{"", "/a", "../a", "a/../b", "a/./b", "a//b", "a/", ".", "..", "a\\b", "c:a", ".a", "a/.b", "a.", "a ", "NUL", "con.txt", "a/COM1", "a\x00b", "a\nb", "e\u0301", "a\u202eb", "\xff", "a*", strings.Repeat("a", 300), strings.Repeat("a/", 20) + "a"} {
		assert.NotEmpty(t, badPath(p), "%q", p)
	}
	for _, p := range []string{"a", "pack.yaml", "rules/a-b_c.yaml", "表/词.tsv", "é.txt", "com10.txt", "console.txt", "a b"} {
		assert.Empty(t, badPath(p), "%q", p)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a./\\:]{1,12}`)).Draw(t, "path")
		if badPath(p) == "" && (!fs.ValidPath(p) || !filepath.IsLocal(filepath.FromSlash(p))) {
			t.Fatalf("%q passes", p)
		}
	})
	tr := newTree()
	for _, c := range []struct{ path, why string }{
		{"A/x", ""}, {"a/y", "case"}, {"b/c", ""}, {"b", "folder"}, {"b/c/d", "file"}, {"B/c", "case"}, {"STRASSE", ""}, {"straße", "case"}, {"A/x", "twice"}, {"ﬁ", ""}, {"fi", "case"},
	} {
		got := tr.add(c.path)
		assert.Equal(t, c.why == "", got == "", "%s: %s", c.path, got)
		assert.Contains(t, got, c.why)
	}
}

// tarOf makes any tar from entries.
func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := Pack.header(e.name, int64(len(e.data)))
		if e.change != nil {
			e.change(h)
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := io.WriteString(w, e.data)
		if h.Typeflag == tar.TypeReg {
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

type entry struct {
	name, data string
	change     func(*tar.Header)
}

// packEntries are those of packFiles in order.
func packEntries(name, version string, more ...entry) []entry {
	files := packFiles(name, version)
	var all []entry
	for _, n := range slices.Sorted(maps.Keys(files)) {
		all = append(all, entry{name: n, data: files[n]})
	}
	return append(all, more...)
}
