package share

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// forgery is an artifact put together by hand. Each attack changes what it wants;
// all that is left alone is right.
type forgery struct {
	t        *testing.T
	content  Content // what the config says
	tar      []byte
	layer    []byte // compressed
	sigs     []byte
	config   []byte
	manifest ocispec.Manifest
	raw      []byte // of the manifest
	dir      string // layout
}

func forge(t *testing.T, id ID, tarBytes []byte) *forgery {
	f := &forgery{t: t, tar: tarBytes, dir: filepath.Join(t.TempDir(), "layout")}
	sum := sha256.Sum256(tarBytes)
	f.content = Content{ID: id, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(tarBytes))}
	f.layer = zipped(t, tarBytes)
	return f
}

func zipped(t testing.TB, data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// signed signs whatever the forgery says with a key, as a publisher who means harm
// could.
func (f *forgery) signed(k Key) *forgery {
	r := minisign.NewReader(bytes.NewReader(f.tar))
	_, err := io.Copy(io.Discard, r)
	require.NoError(f.t, err)
	f.sigs = r.SignWithComments(k.private, f.content.comment(), "x")
	return f
}

// lie makes the artifact say something else about its content than is true.
func (f *forgery) lie(change func(*Content)) *forgery {
	change(&f.content)
	return f
}

// build writes config and manifest, with a last chance to change the manifest.
func (f *forgery) build(change func(*ocispec.Manifest)) *forgery {
	if f.config == nil {
		var err error
		f.config, err = json.Marshal(config{configSchema, f.content})
		require.NoError(f.t, err)
	}
	desc := func(media string, b []byte) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: media, Digest: digest.FromBytes(b), Size: int64(len(b))}
		f.write(d, b)
		return d
	}
	f.manifest = ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: f.content.Kind.mediaType(),
		Config: desc(mediaConfig, f.config), Layers: []ocispec.Descriptor{desc(mediaContent, f.layer)}}
	if f.sigs != nil {
		f.manifest.Layers = append(f.manifest.Layers, desc(mediaSignatures, f.sigs))
	}
	if change != nil {
		change(&f.manifest)
	}
	var err error
	f.raw, err = json.Marshal(f.manifest)
	require.NoError(f.t, err)
	d := desc(ocispec.MediaTypeImageManifest, f.raw)
	d.Annotations = map[string]string{ocispec.AnnotationRefName: "1"}
	index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{d}})
	require.NoError(f.t, err)
	require.NoError(f.t, os.WriteFile(filepath.Join(f.dir, "index.json"), index, 0o644))
	require.NoError(f.t, os.WriteFile(filepath.Join(f.dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	return f
}

func (f *forgery) write(d ocispec.Descriptor, b []byte) {
	p := f.blob(d)
	require.NoError(f.t, os.MkdirAll(filepath.Dir(p), 0o755))
	require.NoError(f.t, os.WriteFile(p, b, 0o644))
}

func (f *forgery) blob(d ocispec.Descriptor) string {
	return filepath.Join(f.dir, "blobs", "sha256", d.Digest.Encoded())
}

func (f *forgery) flip(d ocispec.Descriptor, at int) {
	b, err := os.ReadFile(f.blob(d))
	require.NoError(f.t, err)
	b[at] ^= 1
	require.NoError(f.t, os.WriteFile(f.blob(d), b, 0o644))
}

// TestAttacks offers forged artifacts to a consumer who has version 1.2.0 of fx
// installed, locked, and signed by a key of its policy. Each is refused for the
// reason stated, nothing is written anywhere, and the good version stays.
func TestAttacks(t *testing.T) {
	team, other, revoked, stranger := newKey(t), newKey(t), newKey(t), newKey(t)
	policies := policyOf(t, fmt.Sprintf(`
keys:
  team: {public: %s, names: [fx, "fx-*"]}
  other: {public: %s, names: [tax]}
  graphs: {public: %s, names: [fx], kinds: [graph]}
  gone: {public: %s, names: [fx], revoked: the laptop was stolen}
minimum: {fx: 1.0.0}
`, team.Public(), other.Public(), newKey(t).Public(), revoked.Public()))
	good := makeArchive(t, packFiles("fx", "1.2.0"), team)
	goodBytes, err := os.ReadFile(good.Path)
	require.NoError(t, err)
	next := ID{Pack, "fx", "1.3.0"} // an honest next version would be accepted
	// signedTar is what a key of the policy has signed although it is harmful.
	signedTar := func(t *testing.T, more ...entry) *forgery {
		return forge(t, next, tarOf(t, packEntries("fx", "1.3.0", more...)...)).signed(team)
	}
	hostile := func(name string, change func(*tar.Header)) func(*testing.T) *forgery {
		return func(t *testing.T) *forgery {
			return signedTar(t, entry{name, strings.Repeat("x", 10), change}).build(nil)
		}
	}
	kind := func(c byte, link string) func(*tar.Header) {
		return func(h *tar.Header) {
			if h.Typeflag, h.Linkname = c, link; c != tar.TypeReg {
				h.Size = 0
			}
		}
	}
	attacks := map[string]struct {
		code string
		make func(t *testing.T) *forgery
	}{
		"signature stripped": {"share.unsigned", func(t *testing.T) *forgery { return forge(t, good.ID, goodBytes).build(nil) }},
		"signature emptied": {"share.unsigned", func(t *testing.T) *forgery {
			f := forge(t, good.ID, goodBytes)
			f.sigs = []byte{}
			return f.build(nil)
		}},
		"extra unsigned file, old statement": {"share.limit", func(t *testing.T) *forgery {
			f := forge(t, good.ID, tarOf(t, packEntries("fx", "1.2.0", entry{name: "rules/zz.yaml", data: "rules: []"})...))
			f.content, f.sigs = good.Content, good.Signatures[0].raw
			return f.build(nil)
		}},
		"extra unsigned file, its own digest": {"share.signature", func(t *testing.T) *forgery {
			f := forge(t, good.ID, tarOf(t, packEntries("fx", "1.2.0", entry{name: "rules/zz.yaml", data: "rules: []"})...))
			f.sigs = good.Signatures[0].raw
			return f.build(nil)
		}},
		"extra layer": {"share.manifest", func(t *testing.T) *forgery {
			f := signedTar(t)
			return f.build(func(m *ocispec.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) })
		}},
		"one byte of a file": {"share.digest", func(t *testing.T) *forgery {
			b := bytes.Clone(goodBytes)
			b[bytes.Index(b, []byte("A pack for tests"))] = 'B'
			f := forge(t, good.ID, b)
			f.content, f.sigs = good.Content, good.Signatures[0].raw
			return f.build(nil)
		}},
		"one byte of a file, statement forged": {"share.signature", func(t *testing.T) *forgery {
			b := bytes.Clone(goodBytes)
			b[bytes.Index(b, []byte("A pack for tests"))] = 'B'
			f := forge(t, good.ID, b)
			f.sigs = bytes.ReplaceAll(good.Signatures[0].raw, []byte(good.SHA256), []byte(f.content.SHA256))
			return f.build(nil)
		}},
		"one byte of the content signature": {"share.signature", func(t *testing.T) *forgery {
			// The statement is signed anew, over a content signature that fits nothing.
			f := signedTar(t)
			s, err := ParseSignatures(f.sigs)
			require.NoError(t, err)
			sig := s[0].parsed
			sig.Signature[40] ^= 1
			raw, err := sig.MarshalText()
			require.NoError(t, err)
			f.sigs = raw
			return f.build(nil)
		}},
		"one byte of the layer": {"share.digest", func(t *testing.T) *forgery {
			f := signedTar(t).build(nil)
			f.flip(f.manifest.Layers[0], 30)
			return f
		}},
		"one byte of the manifest": {"share.digest", func(t *testing.T) *forgery {
			f := signedTar(t).build(nil)
			d := ocispec.Descriptor{Digest: digest.FromBytes(f.raw)}
			f.flip(d, bytes.Index(f.raw, []byte("sha256:"))+10)
			return f
		}},
		"one byte of the config": {"share.digest", func(t *testing.T) *forgery {
			f := signedTar(t).build(nil)
			f.flip(f.manifest.Config, 30)
			return f
		}},
		"unknown key":       {"share.key-unknown", func(t *testing.T) *forgery { f := signedTar(t); return f.signed(stranger).build(nil) }},
		"key of other name": {"share.key-name", func(t *testing.T) *forgery { f := signedTar(t); return f.signed(other).build(nil) }},
		"key in disguise": {"share.signature", func(t *testing.T) *forgery {
			f := signedTar(t).signed(stranger)
			s, err := ParseSignatures(f.sigs)
			require.NoError(t, err)
			sig := s[0].parsed
			sig.KeyID = team.private.ID()
			f.sigs, err = sig.MarshalText()
			require.NoError(t, err)
			return f.build(nil)
		}},
		"revoked key": {"share.key-revoked", func(t *testing.T) *forgery { return signedTar(t).signed(revoked).build(nil) }},
		"signature of another pack": {"share.signature", func(t *testing.T) *forgery {
			f := signedTar(t)
			f.sigs = makeArchive(t, packFiles("fx-spot", "1.3.0"), team).Signatures[0].raw
			return f.build(nil)
		}},
		"signature of a kind that does not hash": {"share.signature", func(t *testing.T) *forgery {
			f := signedTar(t)
			f.sigs = minisign.SignWithComments(team.private, f.tar, f.content.comment(), "x")
			return f.build(nil)
		}},
		"same version, other content": {"share.moved", func(t *testing.T) *forgery {
			return forge(t, good.ID, tarOf(t, packEntries("fx", "1.2.0", entry{name: "rules/zz.yaml", data: "rules: []"})...)).signed(team).build(nil)
		}},
		"downgrade": {"share.downgrade", func(t *testing.T) *forgery {
			return forge(t, ID{Pack, "fx", "1.1.9"}, tarOf(t, packEntries("fx", "1.1.9")...)).signed(team).build(nil)
		}},
		"downgrade to a release candidate": {"share.downgrade", func(t *testing.T) *forgery {
			return forge(t, ID{Pack, "fx", "1.2.0-rc.1"}, tarOf(t, packEntries("fx", "1.2.0-rc.1")...)).signed(team).build(nil)
		}},
		"below the minimum": {"share.minimum", func(t *testing.T) *forgery {
			return forge(t, ID{Pack, "fx", "0.9.0"}, tarOf(t, packEntries("fx", "0.9.0")...)).signed(team).build(nil)
		}},
		"pack.yaml of another version": {"share.pack", func(t *testing.T) *forgery {
			return forge(t, next, tarOf(t, packEntries("fx", "1.1.0")...)).signed(team).build(nil)
		}},
		"pack.yaml of another pack": {"share.pack", func(t *testing.T) *forgery {
			return forge(t, next, tarOf(t, packEntries("tax", "1.3.0")...)).signed(team).build(nil)
		}},
		"no pack.yaml": {"share.pack", func(t *testing.T) *forgery {
			return forge(t, next, tarOf(t, entry{name: "a", data: "x"})).signed(team).build(nil)
		}},

		"leads out":            {"share.entry", hostile("../zz.yaml", nil)},
		"leads out in between": {"share.entry", hostile("rules/../../zz.yaml", nil)},
		"absolute":             {"share.entry", hostile("/islm-attack.yaml", nil)},
		"backslashes":          {"share.entry", hostile(`..\zz.yaml`, nil)},
		"drive":                {"share.entry", hostile("c:zz.yaml", nil)},
		"long name leads out":  {"share.entry", hostile(strings.Repeat("a", 120)+"/../../../zz", nil)},
		"PAX name leads out": {"share.entry", hostile("涨/../../zz", func(h *tar.Header) {
			h.Format = tar.FormatPAX
		})},
		"hidden":            {"share.entry", hostile("rules/.profile", nil)},
		"link":              {"share.entry", hostile("rules/zz", kind(tar.TypeSymlink, "/etc/passwd"))},
		"hard link":         {"share.entry", hostile("rules/zz", kind(tar.TypeLink, "pack.yaml"))},
		"character device":  {"share.entry", hostile("rules/zz", kind(tar.TypeChar, ""))},
		"block device":      {"share.entry", hostile("rules/zz", kind(tar.TypeBlock, ""))},
		"pipe":              {"share.entry", hostile("rules/zz", kind(tar.TypeFifo, ""))},
		"folder":            {"share.entry", hostile("rules/zz/", kind(tar.TypeDir, ""))},
		"twice":             {"share.entry", hostile("rules/words.yaml", nil)},
		"case":              {"share.entry", hostile("rules/WORDS.yaml", nil)},
		"case of a folder":  {"share.entry", hostile("Rules/zz.yaml", nil)},
		"form of a letter":  {"share.entry", hostile("rules/e\u0301.yaml", nil)},
		"file as folder":    {"share.entry", hostile("pack.yaml/zz", nil)},
		"device of Windows": {"share.entry", hostile("rules/nul", nil)},
		"program":           {"share.form", hostile("rules/zz", func(h *tar.Header) { h.Mode = 0o4755 })},
		"owner":             {"share.form", hostile("rules/zz", func(h *tar.Header) { h.Uid, h.Uname = 1, "root" })},
		"time":              {"share.form", hostile("rules/zz", func(h *tar.Header) { h.ModTime = time.Unix(5, 0) })},
		"PAX record":        {"share.form", hostile("rules/zz", func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr.a": "b"} })},
		"out of order":      {"share.form", hostile("a", nil)},
		"bytes behind the end": {"share.form", func(t *testing.T) *forgery {
			return forge(t, next, append(tarOf(t, packEntries("fx", "1.3.0")...), "hidden"...)).signed(team).build(nil)
		}},
		"zeros behind the end": {"share.form", func(t *testing.T) *forgery {
			return forge(t, next, append(tarOf(t, packEntries("fx", "1.3.0")...), make([]byte, 512)...)).signed(team).build(nil)
		}},
		"cut off": {"share.form", func(t *testing.T) *forgery {
			b := tarOf(t, packEntries("fx", "1.3.0")...)
			return forge(t, next, b[:len(b)-700]).signed(team).build(nil)
		}},
		"no tar": {"share.form", func(t *testing.T) *forgery {
			return forge(t, next, bytes.Repeat([]byte("no tar. "), 200)).signed(team).build(nil)
		}},
		"no gzip": {"share.form", func(t *testing.T) *forgery {
			f := signedTar(t)
			f.layer = bytes.Clone(f.tar)
			return f.build(nil)
		}},
		"second gzip stream": {"share.form", func(t *testing.T) *forgery {
			f := signedTar(t)
			f.layer = append(zipped(t, f.tar[:1024]), zipped(t, f.tar[1024:])...)
			return f.build(nil)
		}},

		"zip bomb that says its size": {"share.limit", func(t *testing.T) *forgery {
			return forge(t, next, tarOf(t, packEntries("fx", "1.3.0", entry{name: "rules/zz", data: strings.Repeat("\x00", 12<<20)})...)).signed(team).build(nil)
		}},
		"zip bomb that lies": {"share.limit", func(t *testing.T) *forgery {
			f := signedTar(t)
			f.layer = zipped(t, make([]byte, 80<<20))
			return f.lie(func(c *Content) { c.Size = 60 << 20 }).signed(team).build(nil)
		}},
		"zip bomb behind a small size": {"share.limit", func(t *testing.T) *forgery {
			f := signedTar(t)
			f.layer = zipped(t, append(bytes.Clone(f.tar[:len(f.tar)-1024]), make([]byte, 1<<20)...))
			return f.build(nil)
		}},
		"sparse bomb of GNU": {"share.entry", func(t *testing.T) *forgery {
			return forge(t, next, sparseGNU(t)).signed(team).build(nil)
		}},
		"sparse bomb of PAX": {"share.limit", func(t *testing.T) *forgery {
			return forge(t, next, sparsePAX(t)).signed(team).build(nil)
		}},
		"too many files": {"share.limit", func(t *testing.T) *forgery {
			var many []entry
			for i := range Pack.Limits().Entries + 1 {
				many = append(many, entry{name: fmt.Sprintf("z%05d", i)})
			}
			return signedTar(t, many...).build(nil)
		}},
		"larger than a pack may be": {"share.limit", func(t *testing.T) *forgery {
			f := signedTar(t)
			return f.lie(func(c *Content) { c.Size = Pack.Limits().Bytes + 1 }).build(nil)
		}},
		"no size": {"share.limit", func(t *testing.T) *forgery { return signedTar(t).lie(func(c *Content) { c.Size = 0 }).build(nil) }},
		"oversized manifest": {"share.limit", func(t *testing.T) *forgery {
			return signedTar(t).build(func(m *ocispec.Manifest) {
				m.Annotations = map[string]string{"x": strings.Repeat("x", maxManifest)}
			})
		}},
		"oversized config": {"share.limit", func(t *testing.T) *forgery {
			f := signedTar(t)
			f.config = bytes.Repeat([]byte(" "), maxConfig+1)
			return f.build(nil)
		}},
		"oversized signatures": {"share.limit", func(t *testing.T) *forgery {
			f := signedTar(t)
			f.sigs = bytes.Repeat([]byte("x"), maxSignatures+1)
			return f.build(nil)
		}},
		"oversized index": {"share.limit", func(t *testing.T) *forgery {
			f := signedTar(t).build(nil)
			require.NoError(t, os.WriteFile(filepath.Join(f.dir, "index.json"), bytes.Repeat([]byte(" "), maxIndex+1), 0o644))
			return f
		}},
		"config with more in it": {"share.manifest", func(t *testing.T) *forgery {
			f := signedTar(t)
			raw, err := json.Marshal(config{configSchema, f.content})
			require.NoError(t, err)
			f.config = append(bytes.TrimSuffix(raw, []byte("}")), `,"run":"x"}`...)
			return f.build(nil)
		}},
		"layer from elsewhere": {"share.manifest", func(t *testing.T) *forgery {
			return signedTar(t).build(func(m *ocispec.Manifest) { m.Layers[0].URLs = []string{"https://elsewhere.example/x"} })
		}},
		"other kind": {"share.manifest", func(t *testing.T) *forgery {
			return signedTar(t).build(func(m *ocispec.Manifest) { m.ArtifactType = Plugin.mediaType() })
		}},
		"image": {"share.manifest", func(t *testing.T) *forgery {
			return signedTar(t).build(func(m *ocispec.Manifest) { m.Config.MediaType = ocispec.MediaTypeImageConfig })
		}},
		"name that leads out": {"share.name", func(t *testing.T) *forgery {
			return signedTar(t).lie(func(c *Content) { c.Name = "../fx" }).build(nil)
		}},
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("TMPDIR", filepath.Join(home, "tmp"))
			require.NoError(t, os.Mkdir(filepath.Join(home, "tmp"), 0o755))
			store := Store{home}
			in, err := store.Install(t.Context(), good, Accept{Policies: policies})
			require.NoError(t, err)
			f := attack.make(t)
			before := snapshot(t, home)

			accept := Accept{Kind: Pack, Policies: policies, Update: true, Locked: func(k Kind, n string) (Pin, bool) { return in.Pin(), k == Pack && n == "fx" }}
			place, err := Open("oci:"+f.dir+":1", Remote{})
			require.NoError(t, err)
			_, err = place.Pull(t.Context(), store, accept)
			assert.Contains(t, codes(err), attack.code, "%v", err)
			assert.Equal(t, before, snapshot(t, home), "something was written")
			_, ok, err := store.Find(t.Context(), in.Pin())
			require.NoError(t, err)
			assert.True(t, ok, "the good version is gone")

			_, err = place.Check(t.Context(), accept)
			if attack.code != "share.pack" { // seen only when unpacked
				assert.Contains(t, codes(err), attack.code, "check: %v", err)
			}
			assert.Equal(t, before, snapshot(t, home), "a check has written something")
		})
	}
	assert.NoFileExists(t, "/islm-attack.yaml")

	t.Run("the honest next version", func(t *testing.T) {
		home := t.TempDir()
		in, err := Store{home}.Install(t.Context(), good, Accept{Policies: policies})
		require.NoError(t, err)
		f := signedTar(t).build(nil)
		place, err := Open("oci:"+f.dir+":1", Remote{})
		require.NoError(t, err)
		locked := func(Kind, string) (Pin, bool) { return in.Pin(), true }
		_, err = place.Pull(t.Context(), Store{home}, Accept{Policies: policies, Locked: locked})
		assert.Equal(t, []string{"share.moved"}, codes(err), "without Update what is locked stays")
		got, err := place.Pull(t.Context(), Store{home}, Accept{Policies: policies, Locked: locked, Update: true})
		require.NoError(t, err)
		assert.Equal(t, []string{"team"}, got.SignedBy)
	})
}

// sparseGNU is a small tar in which a file of old GNU form claims 1 TiB.
func sparseGNU(t *testing.T) []byte {
	b := tarOf(t, packEntries("fx", "1.3.0", entry{name: "rules/zz"})...)
	reheader(b, "rules/zz", func(h []byte) {
		h[156] = tar.TypeGNUSparse
		copy(h[257:], "ustar  \x00")
		copy(h[483:], "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00") // real size, base 256
	})
	return b
}

// sparsePAX is the same in the form of PAX records, version 0.1.
func sparsePAX(t *testing.T) []byte {
	records := ""
	for _, kv := range []string{"GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.numblocks=1", "GNU.sparse.map=1099511627776,0", "GNU.sparse.size=1099511627776"} {
		records += fmt.Sprintf("%d %s\n", len(kv)+4, kv) // all have two digits
	}
	b := tarOf(t, packEntries("fx", "1.3.0", entry{name: "rules/yy", data: records}, entry{name: "rules/zz"})...)
	reheader(b, "rules/yy", func(h []byte) { h[156] = tar.TypeXHeader })
	return b
}

// reheader changes the header block of an entry and its checksum.
func reheader(b []byte, name string, change func(h []byte)) {
	h := b[bytes.Index(b, []byte(name+"\x00")):][:512]
	change(h)
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

// An interruption at any byte leaves nothing behind, and the next try succeeds.
func TestInterruptedInstall(t *testing.T) {
	k := newKey(t)
	files := packFiles("fx", "1.2.0")
	for i := range 40 {
		files[fmt.Sprintf("lists/l%02d.tsv", i)] = strings.Repeat("word\tother\n", 300)
	}
	a := makeArchive(t, files, k)
	home := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(home, "tmp"))
	require.NoError(t, os.MkdirAll(filepath.Join(home, "tmp"), 0o755))
	before := snapshot(t, home)
	for at := int64(0); at < a.Size; at += a.Size / 23 {
		ctx, cancel := context.WithCancel(t.Context())
		o := a.offer()
		open := o.open
		o.open = func(ctx context.Context) (io.ReadCloser, error) {
			r, err := open(ctx)
			return &cut{r, at, cancel}, err
		}
		_, err := Store{home}.install(ctx, o, Accept{Policies: trust(t, k, "fx")})
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, before, snapshot(t, home))
		cancel()
	}
	_, err := Store{home}.Install(t.Context(), a, Accept{Policies: trust(t, k, "fx")})
	require.NoError(t, err)
}

// cut cancels after some bytes.
type cut struct {
	io.ReadCloser
	left   int64
	cancel context.CancelFunc
}

func (c *cut) Read(b []byte) (int, error) {
	if c.left <= 0 {
		c.cancel()
		return 0, context.Canceled
	}
	n, err := c.ReadCloser.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	return n, err
}

// What a crash leaves, a later installation sweeps; a damaged folder is replaced.
func TestAfterACrash(t *testing.T) {
	a := makeArchive(t, packFiles("fx", "1.2.0"))
	s := Store{t.TempDir()}
	stale, fresh := filepath.Join(s.Home, "packs", "x.1.tmp"), filepath.Join(s.Home, "packs", "x.2.tmp")
	for _, d := range []string{stale, fresh} {
		require.NoError(t, os.MkdirAll(d, 0o755))
	}
	long := time.Now().Add(-2 * staleTmp)
	require.NoError(t, os.Chtimes(stale, long, long))
	in, err := s.Install(t.Context(), a, Accept{})
	require.NoError(t, err)
	assert.NoDirExists(t, stale)
	assert.DirExists(t, fresh, "another process may be at it")

	for name, damage := range map[string]func(dir string) error{
		"changed": func(d string) error { return os.WriteFile(filepath.Join(d, "pack.yaml"), []byte("name: fx\n"), 0o644) },
		"removed": func(d string) error { return os.Remove(filepath.Join(d, "lists", "words.tsv")) },
		"extra":   func(d string) error { return os.WriteFile(filepath.Join(d, "zz.yaml"), nil, 0o644) },
		"hidden":  func(d string) error { return os.WriteFile(filepath.Join(d, ".zz"), nil, 0o644) },
		"link":    func(d string) error { return os.Symlink("pack.yaml", filepath.Join(d, "zz")) },
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, damage(in.Dir))
			_, ok, err := s.Find(t.Context(), in.Pin())
			require.NoError(t, err)
			assert.False(t, ok)
			_, err = s.Install(t.Context(), a, Accept{})
			require.NoError(t, err)
			_, ok, err = s.Find(t.Context(), in.Pin())
			require.NoError(t, err)
			assert.True(t, ok)
		})
	}
	entries := slicesOfNames(t, filepath.Join(s.Home, "packs"))
	assert.Equal(t, []string{a.SHA256, "x.2.tmp"}, entries)
}

func slicesOfNames(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// Many processes may install one thing at once.
func TestInstallInParallel(t *testing.T) {
	a := makeArchive(t, packFiles("fx", "1.2.0"))
	s := Store{t.TempDir()}
	errs := make(chan error)
	for range 8 {
		go func() {
			_, err := s.Install(t.Context(), a, Accept{})
			errs <- err
		}()
	}
	for range 8 {
		assert.NoError(t, <-errs)
	}
	assert.Equal(t, []string{a.SHA256}, slicesOfNames(t, filepath.Join(s.Home, "packs")))
}
