package modelstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// fakeHub serves one repository the way huggingface.co does: small files itself
// with git's blob name as etag, large files by a redirect to another host.
type fakeHub struct {
	t     *testing.T
	id    string
	files map[string][]byte
	lfs   map[string]bool
	token string // required if set

	mu       sync.Mutex
	requests []string          // "hub GET path range"
	cutAfter map[string]int    // bytes after which the store's host drops a file, once
	corrupt  map[string]int    // how many more times a file arrives with a flipped byte
	auth     map[string]string // Authorization seen per host
	noRange  bool

	hub, store *httptest.Server
}

func newFakeHub(t *testing.T, id string, files map[string][]byte, lfs ...string) *fakeHub {
	f := &fakeHub{t: t, id: id, files: files, lfs: map[string]bool{}, cutAfter: map[string]int{}, corrupt: map[string]int{}, auth: map[string]string{}}
	for _, name := range lfs {
		f.lfs[name] = true
	}
	f.store = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.note("store", r)
		f.send(w, r, strings.TrimPrefix(r.URL.Path, "/blob/"))
	}))
	f.hub = httptest.NewServer(http.HandlerFunc(f.serveHub))
	t.Cleanup(f.hub.Close)
	t.Cleanup(f.store.Close)
	return f
}

func (f *fakeHub) note(host string, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, strings.TrimSpace(host+" "+r.URL.Path+" "+r.Header.Get("Range")))
	if a := r.Header.Get("Authorization"); a != "" {
		f.auth[host] = a
	}
}

func (f *fakeHub) serveHub(w http.ResponseWriter, r *http.Request) {
	f.note("hub", r)
	if f.token != "" && r.Header.Get("Authorization") != "Bearer "+f.token {
		http.Error(w, `{"error":"Invalid username or password."}`, http.StatusUnauthorized)
		return
	}
	if rev, ok := strings.CutPrefix(r.URL.Path, "/api/models/"+f.id+"/revision/"); ok {
		if rev != "main" && rev != commit {
			w.Header().Set("X-Error-Code", "RevisionNotFound")
			http.Error(w, "{}", http.StatusNotFound)
			return
		}
		type lfs struct {
			SHA256 string `json:"sha256"`
			Size   int    `json:"size"`
		}
		type sib struct {
			Name string `json:"rfilename"`
			Size int    `json:"size"`
			LFS  *lfs   `json:"lfs,omitempty"`
		}
		var sibs []sib
		for name, data := range f.files {
			s := sib{Name: name, Size: len(data)}
			if f.lfs[name] {
				s.LFS = &lfs{hexSum(data), len(data)}
			}
			sibs = append(sibs, s)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"id": f.id, "sha": commit, "siblings": sibs})
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/"+f.id+"/resolve/"+commit+"/")
	data, have := f.files[name]
	if !ok || !have {
		w.Header().Set("X-Error-Code", "RepoNotFound")
		http.Error(w, `{"error":"Repository not found"}`, http.StatusNotFound)
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	if f.lfs[name] {
		w.Header().Set("X-Linked-Etag", `"`+hexSum(data)+`"`)
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(data)))
		http.Redirect(w, r, f.store.URL+"/blob/"+name+"?signature=secret", http.StatusFound)
		return
	}
	path := filepath.Join(f.t.TempDir(), "blob")
	require.NoError(f.t, os.WriteFile(path, data, 0o600))
	blob, err := gitBlob(path, int64(len(data)))
	require.NoError(f.t, err)
	w.Header().Set("Etag", `"`+blob+`"`)
	f.send(w, r, name)
}

func (f *fakeHub) send(w http.ResponseWriter, r *http.Request, name string) {
	data, ok := f.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	f.mu.Lock()
	cut, isCut := f.cutAfter[name]
	delete(f.cutAfter, name)
	bad := f.corrupt[name] > 0
	f.corrupt[name]--
	f.mu.Unlock()
	if bad {
		data = append([]byte{data[0] ^ 1}, data[1:]...)
	}
	if isCut {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:cut])
		panic(http.ErrAbortHandler)
	}
	if f.noRange {
		r.Header.Del("Range")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (f *fakeHub) seen(prefix string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// tinySafetensors holds zeros of the given shapes.
func tinySafetensors(shapes map[string][]int64) []byte {
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	end := int64(0)
	for name, shape := range shapes {
		n := int64(4)
		for _, d := range shape {
			n *= d
		}
		header[name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": []int64{end, end + n}}
		end += n
	}
	h, _ := json.Marshal(header)
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(h)))
	return append(append(out, h...), make([]byte, end)...)
}

const tinyConfig = `{"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1,
 "num_attention_heads": 2, "max_position_embeddings": 16, "vocab_size": 6, "id2label": {"0": "no", "1": "yes"}}`

func tinyModel() map[string][]byte {
	return map[string][]byte{
		"config.json":             []byte(tinyConfig),
		"vocab.txt":               []byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n"),
		"model.safetensors":       tinySafetensors(map[string][]int64{"embeddings.word_embeddings.weight": {6, 8}, "encoder.layer.0.output.dense.weight": {8, 8}}),
		"pytorch_model.bin":       []byte("not wanted"),
		"README.md":               []byte("# tiny\n"),
		"onnx/model.onnx":         []byte("not wanted"),
		"1_Pooling/config.json":   []byte("{}"),
		"../escape.json":          []byte("never"),
		"tf_model.h5":             []byte("not wanted"),
		"sub/dir/tokenizer.json":  []byte("not wanted"),
		"tokenizer_config.json":   []byte(`{"do_lower_case": true}`),
		"special_tokens_map.json": []byte(`{}`),
	}
}

func testStore(t *testing.T, f *fakeHub) *Store {
	return &Store{Dir: filepath.Join(t.TempDir(), "models"), Hub: Hub{Endpoint: f.hub.URL, Retries: 2}}
}

func TestPull(t *testing.T) {
	f := newFakeHub(t, "acme/tiny", tinyModel(), "model.safetensors", "pytorch_model.bin")
	s := testStore(t, f)
	var last Progress
	s.Hub.Progress = func(p Progress) { last = p }
	m, err := s.Pull(t.Context(), "acme/tiny", "")
	require.NoError(t, err)
	assert.Equal(t, "acme--tiny", m.Name)
	assert.Equal(t, InStore, m.Place)
	assert.Equal(t, commit, m.Source.Commit)
	assert.Equal(t, "main", m.Source.Revision)
	assert.ElementsMatch(t, []string{"config.json", "vocab.txt", "model.safetensors", "README.md", "1_Pooling/config.json", "tokenizer_config.json", "special_tokens_map.json"}, keys(m.Source.Files))
	assert.Equal(t, hexSum(f.files["model.safetensors"]), m.Source.Files["model.safetensors"].SHA256)
	assert.True(t, last.FileIsReady)
	assert.Equal(t, "model.safetensors", last.File)
	assert.Equal(t, last.Sum, last.Total)
	diags, err := m.Verify()
	require.NoError(t, err)
	assert.Empty(t, diags)

	for _, ref := range []string{"acme/tiny", "acme--tiny", m.Dir} {
		got, err := s.Find(ref)
		require.NoError(t, err, ref)
		assert.Equal(t, m.Dir, got.Dir)
	}
	models, err := s.List()
	require.NoError(t, err)
	require.Len(t, models, 1)
	leftovers, err := filepath.Glob(filepath.Join(s.Dir, "*.tmp"))
	require.NoError(t, err)
	assert.Empty(t, leftovers)

	before := f.seen("")
	again, err := s.Pull(t.Context(), "acme/tiny", "")
	require.NoError(t, err)
	assert.Equal(t, m.Source.Fetched, again.Source.Fetched)
	assert.Equal(t, before+1, f.seen(""), "only the listing is asked for again")

	require.NoError(t, os.WriteFile(filepath.Join(m.Dir, "vocab.txt"), []byte("changed"), 0o600))
	diags, err = again.Verify()
	require.NoError(t, err)
	require.Len(t, diags, 1)
	assert.Equal(t, "model.checksum", diags[0].Code)
	_, err = s.Pull(t.Context(), "acme/tiny", "")
	require.NoError(t, err)
	data, err := os.ReadFile(filepath.Join(m.Dir, "vocab.txt"))
	require.NoError(t, err)
	assert.Equal(t, f.files["vocab.txt"], data, "a damaged model is fetched anew")
}

func TestPullToken(t *testing.T) {
	f := newFakeHub(t, "acme/tiny", tinyModel(), "model.safetensors")
	f.token = "hf_secret"
	s := testStore(t, f)
	_, err := s.Pull(t.Context(), "acme/tiny", "")
	wantCode(t, err, "model.unknown")
	s.Hub.Token = "hf_wrong"
	_, err = s.Pull(t.Context(), "acme/tiny", "")
	wantCode(t, err, "model.forbidden")
	s.Hub.Token = "hf_secret"
	_, err = s.Pull(t.Context(), "acme/tiny", "")
	require.NoError(t, err)
	assert.Equal(t, "Bearer hf_secret", f.auth["hub"])
	assert.Empty(t, f.auth["store"], "the token stays with the hub")
	assert.Positive(t, f.seen("store "))
}

func TestPullResumes(t *testing.T) {
	files := tinyModel()
	files["model.safetensors"] = tinySafetensors(map[string][]int64{"w": {400_000}})
	for _, noRange := range []bool{false, true} {
		t.Run(fmt.Sprintf("noRange=%v", noRange), func(t *testing.T) {
			f := newFakeHub(t, "acme/tiny", files, "model.safetensors")
			f.noRange = noRange
			f.cutAfter["model.safetensors"] = 300_000
			f.cutAfter["vocab.txt"] = 3
			s := testStore(t, f)
			m, err := s.Pull(t.Context(), "acme/tiny", "")
			require.NoError(t, err)
			assert.Equal(t, hexSum(files["model.safetensors"]), m.Source.Files["model.safetensors"].SHA256)
			assert.Equal(t, 1, f.seen("store /blob/model.safetensors bytes="))
		})
	}
	t.Run("later call", func(t *testing.T) {
		f := newFakeHub(t, "acme/tiny", files, "model.safetensors")
		f.cutAfter["model.safetensors"] = 300_000
		s := testStore(t, f)
		s.Hub.Retries = -1
		_, err := s.Pull(t.Context(), "acme/tiny", "")
		wantCode(t, err, "model.network")
		_, err = s.Find("acme/tiny")
		wantCode(t, err, "model.unknown")
		var resumed int64
		s.Hub.Progress = func(p Progress) {
			if p.File == "model.safetensors" {
				resumed = p.Resumed
			}
		}
		_, err = s.Pull(t.Context(), "acme/tiny", "")
		require.NoError(t, err)
		assert.Positive(t, resumed)
		assert.Equal(t, 1, f.seen("store /blob/model.safetensors bytes="))
		assert.Equal(t, 1, f.seen("hub /acme/tiny/resolve/"+commit+"/config.json"), "what had arrived is not asked for again")
	})
	t.Run("bad part", func(t *testing.T) {
		f := newFakeHub(t, "acme/tiny", files, "model.safetensors")
		s := testStore(t, f)
		stage := filepath.Join(s.Dir, "acme--tiny."+commit[:12]+".tmp")
		require.NoError(t, os.MkdirAll(stage, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(stage, "model.safetensors.tmp"), []byte("garbage of an earlier fetch"), 0o600))
		_, err := s.Pull(t.Context(), "acme/tiny", "")
		require.NoError(t, err, "the whole file is fetched when its first part was wrong")
	})
}

func TestPullDamaged(t *testing.T) {
	for _, name := range []string{"model.safetensors", "config.json"} {
		f := newFakeHub(t, "acme/tiny", tinyModel(), "model.safetensors")
		f.corrupt[name] = 100
		s := testStore(t, f)
		_, err := s.Pull(t.Context(), "acme/tiny", "")
		wantCode(t, err, "model.checksum")
		_, err = s.Find("acme/tiny")
		wantCode(t, err, "model.unknown")
	}
}

func TestPullRefused(t *testing.T) {
	f := newFakeHub(t, "acme/tiny", tinyModel())
	s := testStore(t, f)
	_, err := s.Pull(t.Context(), "acme/tiny", "v9")
	wantCode(t, err, "model.revision")
	_, err = s.Get(t.Context(), "acme/tinny")
	wantCode(t, err, "model.unknown")
	for _, id := range []string{"a/b/c", "../up", "a b", "acme/..", "https://x.y/z", "-x"} {
		_, err = s.Pull(t.Context(), id, "")
		wantCode(t, err, "model.id")
	}

	weightless := newFakeHub(t, "acme/none", map[string][]byte{"config.json": []byte("{}"), "tf_model.h5": nil})
	_, err = testStore(t, weightless).Pull(t.Context(), "acme/none", "")
	wantCode(t, err, "model.incomplete")

	s.Hub.Offline = true
	before := f.seen("")
	_, err = s.Get(t.Context(), "acme/tiny")
	wantCode(t, err, "model.offline")
	assert.Equal(t, before, f.seen(""), "offline means offline")

	gone := testStore(t, f)
	f.hub.Close()
	_, err = gone.Pull(t.Context(), "acme/tiny", "")
	wantCode(t, err, "model.network")
	assert.Contains(t, err.Error(), "HF_ENDPOINT")

	s.Hub = Hub{Endpoint: "ftp://nowhere"}
	_, err = s.Pull(t.Context(), "acme/tiny", "")
	wantCode(t, err, "model.hub")
}

func TestPullCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by the user")
	block := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel(stop)
		<-r.Context().Done()
	}))
	defer block.Close()
	s := &Store{Dir: t.TempDir(), Hub: Hub{Endpoint: block.URL}}
	start := time.Now()
	_, err := s.Pull(ctx, "acme/tiny", "")
	require.ErrorIs(t, err, stop)
	assert.Less(t, time.Since(start), time.Second)
}

func TestPullTogether(t *testing.T) {
	f := newFakeHub(t, "acme/tiny", tinyModel(), "model.safetensors")
	s := testStore(t, f)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, err := s.Pull(t.Context(), "acme/tiny", "")
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assert.Equal(t, 1, f.seen("store /blob/model.safetensors"), "the others use what the first fetched")
}

func TestPullSharded(t *testing.T) {
	a, b := tinySafetensors(map[string][]int64{"a": {2}}), tinySafetensors(map[string][]int64{"b": {2}})
	files := map[string][]byte{
		"config.json":                      []byte(tinyConfig),
		"model-00001-of-00002.safetensors": a, "model-00002-of-00002.safetensors": b,
		"model.safetensors.index.json": []byte(`{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}`),
	}
	m, err := testStore(t, newFakeHub(t, "tiny", files)).Pull(t.Context(), "tiny", "")
	require.NoError(t, err)
	assert.Len(t, m.Source.Files, 4)
	files["model.safetensors"] = a
	m, err = testStore(t, newFakeHub(t, "tiny", files)).Pull(t.Context(), "tiny", "")
	require.NoError(t, err)
	assert.Len(t, m.Source.Files, 2, "the whole is preferred to its shards")
}

func TestHubFromEnv(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte("hf_file\n"), 0o600))
	env := map[string]string{"HF_HOME": dir, "HF_ENDPOINT": "https://mirror.example/", "HF_HUB_OFFLINE": "1"}
	h := HubFromEnv(func(k string) string { return env[k] })
	assert.Equal(t, Hub{Endpoint: "https://mirror.example", Token: "hf_file", Offline: true, CacheDir: filepath.Join(dir, "hub")}, h)
	env["HF_TOKEN"], env["HF_HUB_CACHE"], env["HF_HUB_OFFLINE"] = "hf_env", "/c", "0"
	h = HubFromEnv(func(k string) string { return env[k] })
	assert.Equal(t, "hf_env", h.Token)
	assert.Equal(t, "/c", h.CacheDir)
	assert.False(t, h.Offline)
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	require.Error(t, err)
	diags, _, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok, "%v", err)
	require.Len(t, diags, 1)
	assert.Equal(t, code, diags[0].Code, "%v", err)
	assert.NotEmpty(t, diags[0].Remedy)
}

func keys[V any](m map[string]V) (ks []string) {
	for k := range m {
		ks = append(ks, k)
	}
	return ks
}
