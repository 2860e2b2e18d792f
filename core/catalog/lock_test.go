package catalog

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	sumA = strings.Repeat("a", 64)
	sumB = strings.Repeat("b", 64)
)

func TestLockEncode(t *testing.T) {
	l := &Lock{Schema: LockSchema,
		Plugins: []Pin{{Name: "medical", Version: "1.0.0", SHA256: sumB, Size: 2}, {Name: "finance", Version: "0.1.0", SHA256: sumA, Size: 1, Source: "/a \"b\": c # d"}},
		Packs:   []Pin{{Name: "hedges", Version: "0.1.0", SHA256: sumA, Size: 3}}}
	want := `# Written by islm. What is not named here does not run.
schema: islm/lock.v0
plugins:
  finance:
    version: "0.1.0"
    sha256: "` + sumA + `"
    size: 1
    source: "/a \"b\": c # d"
  medical:
    version: "1.0.0"
    sha256: "` + sumB + `"
    size: 2
packs:
  hedges:
    version: "0.1.0"
    sha256: "` + sumA + `"
    size: 3
`
	if diff := cmp.Diff(want, string(l.Encode())); diff != "" {
		t.Fatal(diff)
	}
}

func TestLockRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &Lock{Schema: LockSchema}
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,3})?`), 0, 5, rapid.ID[string]).Draw(t, "names")
		for _, n := range names {
			l.SetPlugin(Pin{Name: n, Version: rapid.String().Draw(t, "version"), SHA256: sumA, Size: rapid.Int64Range(0, 1<<50).Draw(t, "size"), Source: rapid.String().Draw(t, "source")})
		}
		back, diags := ParseLock(LockFile, l.Encode())
		if len(diags) > 0 {
			t.Fatal(diags)
		}
		if got := string(back.Encode()); got != string(l.Encode()) {
			t.Fatalf("got\n%s\nwant\n%s", got, l.Encode())
		}
		for _, p := range l.Plugins {
			if q, ok := back.Plugin(p.Name); !ok || q != p {
				t.Fatalf("got %+v want %+v", q, p)
			}
		}
	})
}

func TestParseLockProblems(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		codes []string
		line  int
	}{
		"empty":         {"", []string{"yaml.schema"}, 0},
		"wrong schema":  {"schema: islm/lock.v9\n", []string{"yaml.schema"}, 1},
		"unknown key":   {"schema: islm/lock.v0\nplugin:\n  a: {}\n", []string{"yaml.unknown-key"}, 2},
		"no sha256":     {"schema: islm/lock.v0\nplugins:\n  a: {version: \"1\", size: 3}\n", []string{"yaml.missing"}, 3},
		"short sha256":  {"schema: islm/lock.v0\nplugins:\n  a: {version: \"1\", sha256: abc, size: 3}\n", []string{"lock.sha256"}, 3},
		"bad name":      {"schema: islm/lock.v0\nplugins:\n  ../a: {version: \"1\", sha256: " + sumA + ", size: 3}\n", []string{"lock.name"}, 3},
		"twice":         {"schema: islm/lock.v0\nplugins:\n- {name: a, sha256: " + sumA + "}\n- {name: a, sha256: " + sumB + "}\n", []string{"lock.duplicate"}, 4},
		"negative size": {"schema: islm/lock.v0\nplugins:\n  a: {sha256: " + sumA + ", size: -1}\n", []string{"lock.size"}, 3},
		"two at once":   {"schema: islm/lock.v0\nplugins:\n  a: {sha256: x, size: -1}\n", []string{"lock.sha256", "lock.size"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			l, diags := ParseLock(LockFile, []byte(c.text))
			require.NotNil(t, l)
			var codes []string
			for _, d := range diags {
				codes = append(codes, d.Code)
				assert.Equal(t, LockFile, d.File)
			}
			assert.Equal(t, c.codes, codes, "%v", diags)
			if len(diags) > 0 && c.line > 0 {
				assert.Equal(t, c.line, diags[0].Line)
			}
		})
	}
}

func TestUpdateLockTogether(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, "project", LockFile)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			assert.NoError(t, UpdateLock(home, file, func(l *Lock) { l.SetPlugin(Pin{Name: "p" + string(rune('a'+i)), SHA256: sumA}) }))
		})
	}
	wg.Wait()
	l, diags, err := ReadLock(file)
	require.NoError(t, err)
	require.Empty(t, diags)
	assert.Len(t, l.Plugins, 20, "no update is lost")

	require.NoError(t, os.WriteFile(file, []byte("schema: islm/lock.v0\nthings: []\n"), 0o600))
	require.Error(t, UpdateLock(home, file, func(l *Lock) { t.Error("a lock that cannot be read is not changed") }))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(data), "things")
}

func FuzzParseLock(f *testing.F) {
	f.Add([]byte("schema: islm/lock.v0\nplugins:\n  a: {version: \"1\", sha256: " + sumA + ", size: 3}\n"))
	f.Add([]byte("plugins: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, diags := ParseLock(LockFile, data)
		if l == nil {
			t.Fatal("no lock")
		}
		if !diags.HasErrors() {
			if _, again := ParseLock(LockFile, l.Encode()); again.HasErrors() {
				t.Fatal(again)
			}
		}
	})
}

func TestLockSections(t *testing.T) {
	l := &Lock{Schema: LockSchema}
	for _, section := range []string{"plugins", "packs", "graphs", "vocabularies"} {
		_, ok := l.Find(section, "a")
		assert.False(t, ok)
		l.Set(section, Pin{Name: "a", Version: "1.0.0", SHA256: sumA, Size: 1})
		l.Set(section, Pin{Name: "a", Version: "1.1.0", SHA256: sumB, Size: 2})
	}
	back, diags := ParseLock(LockFile, l.Encode())
	require.Empty(t, diags)
	for _, section := range []string{"plugins", "packs", "graphs", "vocabularies"} {
		p, ok := back.Find(section, "a")
		require.True(t, ok, section)
		assert.Equal(t, "1.1.0", p.Version)
	}
}

func TestSearchPathFile(t *testing.T) {
	root := t.TempDir()
	p := SearchPath{Work: filepath.Join(root, "project", "deep"), Home: filepath.Join(root, "home"), Bundled: filepath.Join(root, "bin", "plugins")}
	require.NoError(t, os.MkdirAll(p.Work, 0o755))
	assert.Equal(t, filepath.Join(p.Home, LockFile), p.File())
	lock := filepath.Join(root, "project", LockFile)
	require.NoError(t, os.WriteFile(lock, nil, 0o644))
	assert.Equal(t, lock, p.File())
	p.Bundled = filepath.Dir(lock)
	assert.Equal(t, filepath.Join(p.Home, LockFile), p.File(), "what comes with islm is no project")
}
