package share

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// Whatever bytes come: no panic, the limits hold, and what is accepted is exactly
// what would be written.
func FuzzReadTar(f *testing.F) {
	f.Add(tarOf(f, packEntries("fx", "1.0.0")...))
	f.Add(tarOf(f, entry{name: "涨/a"}, entry{name: "z", data: "x"}))
	f.Add([]byte("no tar"))
	lim := Limits{Bytes: 1 << 20, File: 1 << 19, Entries: 20, Ratio: 10}
	f.Fuzz(func(t *testing.T, data []byte) {
		var n, total int64
		var again []entry
		sum, size, err := readTar(t.Context(), bytes.NewReader(data), Pack, lim, func(name string, size int64, r io.Reader) error {
			n++
			got, err := io.ReadAll(r)
			total += int64(len(got))
			again = append(again, entry{name: name, data: string(got)})
			return err
		})
		if n > int64(lim.Entries) || total > lim.Bytes {
			t.Fatalf("%d files with %d bytes pass the limits", n, total)
		}
		if err != nil {
			if len(codes(err)) == 0 {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		if want := tarOf(t, again...); !bytes.Equal(want, data) || size != int64(len(data)) || sum == "" {
			t.Fatal("a tar of another form was accepted")
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	k, err := NewKey()
	require.NoError(f, err)
	f.Add([]byte("schema: islm/policy.v0\nkeys:\n  a: {public: " + k.Public() + ", names: [\"fx-*\"], kinds: [pack]}\nunsigned: [x]\nminimum: {fx: 1.0.0}\n"))
	f.Add([]byte("schema: islm/policy.v0\nkeys: [{id: a, public: x, revoked: y}]\n"))
	c := Content{ID: ID{Pack, "fx-a", "1.0.0"}, SHA256: string(bytes.Repeat([]byte("a"), 64)), Size: 1}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, ds := ParsePolicy(PolicyFile, data)
		good, err := p.judge(c, nil)
		if len(good) > 0 {
			t.Fatal("a signature out of nothing")
		}
		if err == nil && !ds.HasErrors() && len(p.Unsigned) == 0 {
			t.Fatal("unsigned content was accepted")
		}
	})
}

func FuzzParseSignatures(f *testing.F) {
	k, err := NewKey()
	require.NoError(f, err)
	data := []byte("x")
	c := Content{ID: ID{Pack, "fx", "1.0.0"}, SHA256: digest.FromBytes(data).Encoded(), Size: 1}
	sig, err := k.Sign(c, bytes.NewReader(data))
	require.NoError(f, err)
	f.Add(sig)
	f.Add(bytes.ReplaceAll(sig, []byte("\n"), []byte("\r\n")))
	pub, err := parsePublic(k.Public())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		sigs, err := ParseSignatures(data)
		if err != nil && len(sigs) > 0 {
			t.Fatal("signatures beside an error")
		}
		for _, s := range sigs {
			if s.statedBy(pub) && s.States != c {
				t.Fatal("a statement that was never signed")
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	m := ocispec.Manifest{Config: ocispec.Descriptor{MediaType: mediaConfig, Digest: digest.FromString("a")}, Layers: []ocispec.Descriptor{{MediaType: mediaContent, Digest: digest.FromString("b"), Size: 3}}}
	m.SchemaVersion = 2
	raw, err := json.Marshal(m)
	require.NoError(f, err)
	conf, err := json.Marshal(config{configSchema, Content{ID: ID{Pack, "fx", "1.0.0"}, SHA256: digest.FromString("a").Encoded(), Size: 9}})
	require.NoError(f, err)
	f.Add(raw, conf)
	f.Fuzz(func(t *testing.T, raw, conf []byte) {
		p := &Place{ref: "x"}
		var m ocispec.Manifest
		if json.Unmarshal(raw, &m) == nil {
			if layer, sigs, err := p.parts(m); err == nil && (layer.Size < 0 || sigs != nil && sigs.Size < 0 || len(m.Layers) > 2) {
				t.Fatal("a manifest of another form was accepted")
			}
		}
		if c, err := parseConfig(conf); err == nil {
			again, err := json.Marshal(config{configSchema, c})
			if err != nil || !bytes.Equal(again, conf) {
				t.Fatal("a config of another form was accepted")
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{"localhost:5000/a/b:1", "oci:x:1", "oci:/a@b/c", "r/x@sha256:" + digest.FromString("a").Encoded(), "oci::", "a/b:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		t.Setenv("DOCKER_CONFIG", t.TempDir())
		p, err := Open(ref, Remote{})
		if err == nil && p.layout == "" && p.repo == nil {
			t.Fatal("a place that is nowhere")
		}
		if err == nil && p.String() != ref {
			t.Fatalf("%q became %q", ref, p)
		}
	})
}
