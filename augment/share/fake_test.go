package share

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fakeRegistry speaks as much of the OCI distribution protocol as push and pull
// need, with basic auth, and fails on demand.
type fakeRegistry struct {
	t              *testing.T
	user, password string
	mu             sync.Mutex
	blobs          map[string][]byte
	manifests      map[string][]byte // by repository@digest
	tags           map[string]string // repository:tag to digest
	uploads        int
	// fail decides what happens to a request before it is answered: an HTTP status,
	// 0 to go on, -1 to cut the connection in the middle of the body.
	fail func(r *http.Request) int
	log  []string
}

func newFakeRegistry(t *testing.T) *fakeRegistry {
	return &fakeRegistry{t: t, blobs: map[string][]byte{}, manifests: map[string][]byte{}, tags: map[string]string{}}
}

var (
	uploadPath   = regexp.MustCompile(`^/v2/(.+)/blobs/uploads/(\d*)$`)
	blobPath     = regexp.MustCompile(`^/v2/(.+)/blobs/(sha256:[0-9a-f]{64})$`)
	manifestPath = regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)
	tagsPath     = regexp.MustCompile(`^/v2/(.+)/tags/list$`)
)

func (f *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, r.Method+" "+r.URL.Path)
	status := 0
	if f.fail != nil {
		status = f.fail(r)
	}
	if status > 0 {
		w.WriteHeader(status)
		return
	}
	if u, p, ok := r.BasicAuth(); f.user != "" && (!ok || u != f.user || p != f.password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="islm"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	path := r.URL.Path
	if m := uploadPath.FindStringSubmatch(path); m != nil {
		f.upload(w, r, m[1])
	} else if m := blobPath.FindStringSubmatch(path); m != nil {
		f.send(w, r, f.blobs[m[2]], m[2], "application/octet-stream", status == -1)
	} else if m := manifestPath.FindStringSubmatch(path); m != nil {
		f.manifest(w, r, m[1], m[2])
	} else if m := tagsPath.FindStringSubmatch(path); m != nil {
		var tags []string
		for t := range f.tags {
			if name, ok := strings.CutPrefix(t, m[1]+":"); ok {
				tags = append(tags, name)
			}
		}
		slices.Sort(tags)
		_ = json.NewEncoder(w).Encode(map[string]any{"name": m[1], "tags": tags})
	} else {
		w.WriteHeader(http.StatusOK)
	}
}

func (f *fakeRegistry) upload(w http.ResponseWriter, r *http.Request, repo string) {
	switch r.Method {
	case http.MethodPost:
		f.uploads++
		w.Header().Set("Location", fmt.Sprintf("/v2/%s/blobs/uploads/%d", repo, f.uploads))
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		data, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Query().Get("digest") != digestOf(data) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		f.blobs[digestOf(data)] = data
		w.WriteHeader(http.StatusCreated)
	}
}

func (f *fakeRegistry) manifest(w http.ResponseWriter, r *http.Request, repo, ref string) {
	if r.Method == http.MethodPut {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		d := digestOf(data)
		f.manifests[repo+"@"+d] = data
		if ref != d {
			f.tags[repo+":"+ref] = d
		}
		w.Header().Set("Docker-Content-Digest", d)
		w.WriteHeader(http.StatusCreated)
		return
	}
	if d, ok := f.tags[repo+":"+ref]; ok {
		ref = d
	}
	f.send(w, r, f.manifests[repo+"@"+ref], ref, "application/vnd.oci.image.manifest.v1+json", false)
}

func (f *fakeRegistry) send(w http.ResponseWriter, r *http.Request, data []byte, digest, media string, breakOff bool) {
	if data == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	if r.Method == http.MethodHead {
		return
	}
	if breakOff {
		_, _ = w.Write(data[:len(data)/2])
		return // the server notices that bytes are missing and closes
	}
	_, _ = w.Write(data)
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
