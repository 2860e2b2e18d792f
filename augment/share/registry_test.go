package share

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

const user, password = "reader", "of-books"

// authority makes a certificate authority and a certificate for loopback, as PEM
// files in dir.
func authority(t *testing.T, dir string) (ca, cert, key string) {
	t.Helper()
	write := func(name, kind string, der []byte) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(p, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return p
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &caKey.PublicKey, caKey)
	require.NoError(t, err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &leafKey.PublicKey, caKey)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	require.NoError(t, err)
	return write("ca.pem", "CERTIFICATE", rootDER), write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "EC PRIVATE KEY", keyDER)
}

// inProcess starts the fake registry with TLS and basic auth.
func inProcess(t *testing.T) (host, ca string, f *fakeRegistry) {
	t.Helper()
	f = newFakeRegistry(t)
	f.user, f.password = user, password
	ca, certFile, keyFile := authority(t, t.TempDir())
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(f)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "https://"), ca, f
}

// dockerRegistry starts Debian's docker-registry on a free loopback port with TLS
// and basic auth, and stops it at the end.
func dockerRegistry(t *testing.T) (host, ca string) {
	t.Helper()
	binary, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not installed (Debian: apt-get install docker-registry): the same steps run against the registry in this test")
	}
	dir := t.TempDir()
	ca, cert, key := authority(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	require.NoError(t, err)
	htpasswd := filepath.Join(dir, "htpasswd")
	require.NoError(t, os.WriteFile(htpasswd, fmt.Appendf(nil, "%s:%s\n", user, hash), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	host = l.Addr().String()
	require.NoError(t, l.Close())
	conf := filepath.Join(dir, "config.yml")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %q}}
http:
  addr: %q
  tls: {certificate: %q, key: %q}
auth: {htpasswd: {realm: islm, path: %q}}
`, filepath.Join(dir, "storage"), host, cert, key, htpasswd), 0o600))
	var said bytes.Buffer
	cmd := exec.Command(binary, "serve", conf)
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", host, time.Second); err == nil {
			require.NoError(t, c.Close())
			return host, ca
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("docker-registry ended: %v\n%s", err, said.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatal("docker-registry does not listen")
		}
	}
}

func TestDockerRegistry(t *testing.T) {
	host, ca := dockerRegistry(t)
	exercise(t, host, ca)
}

func TestInProcessRegistry(t *testing.T) {
	host, ca, _ := inProcess(t)
	exercise(t, host, ca)
}

// exercise does with a registry what teams do.
func exercise(t *testing.T, host, ca string) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	how := Remote{Username: user, Password: password, CAFile: ca, Timeout: 5 * time.Second}
	open := func(ref string, r Remote) *Place {
		p, err := Open(ref, r)
		require.NoError(t, err)
		return p
	}
	k := newKey(t)
	policies := trust(t, k, "fx")
	repo := host + "/rules/fx"
	first, second := makeArchive(t, packFiles("fx", "1.2.0"), k), makeArchive(t, packFiles("fx", "1.10.0"), k)
	store := Store{t.TempDir()}

	_, err := open(repo+":1.2.0", how).Pull(ctx, store, Accept{Policies: policies})
	assert.Equal(t, []string{"share.not-found"}, codes(err))

	pushed, err := open(repo, how).Push(ctx, first)
	require.NoError(t, err)
	assert.Equal(t, repo+":1.2.0@"+pushed.Manifest, pushed.Reference)
	again, err := open(repo+":1.2.0", how).Push(ctx, makeArchive(t, packFiles("fx", "1.2.0"), k))
	require.NoError(t, err)
	assert.Equal(t, pushed, again, "the same archive gives the same manifest")
	_, err = open(repo, how).Push(ctx, second)
	require.NoError(t, err)
	_, err = open(repo+":stable", how).Push(ctx, second)
	require.NoError(t, err)

	versions, err := open(repo, how).Versions(ctx)
	require.NoError(t, err)
	assert.Equal(t, []string{"1.10.0", "1.2.0"}, versions)

	in, err := open(repo+":1.2.0", how).Pull(ctx, store, Accept{Policies: policies})
	require.NoError(t, err)
	assert.Equal(t, pushed.Reference, in.Source)
	assert.Equal(t, first.Content, in.Content)
	in2, err := open(repo, how).Pull(ctx, store, Accept{Policies: policies})
	require.NoError(t, err)
	assert.Equal(t, second.Content, in2.Content, "without a tag the newest version comes")
	in3, err := open(in.Source, how).Pull(ctx, Store{t.TempDir()}, Accept{Policies: policies, Locked: func(Kind, string) (Pin, bool) { return in.Pin(), true }})
	require.NoError(t, err)
	assert.Equal(t, in.Content, in3.Content, "what the lock names comes back")

	// A published version does not change.
	changed := packFiles("fx", "1.2.0")
	changed["lists/words.tsv"] = "up\tover\n"
	other := makeArchive(t, changed, k)
	_, err = open(repo, how).Push(ctx, other)
	assert.Equal(t, []string{"share.exists"}, codes(err))

	// A tag that moves is seen by whoever has a lock.
	_, err = open(repo+":stable", how).Push(ctx, first)
	require.NoError(t, err)
	_, err = open(repo+":stable", how).Pull(ctx, store, Accept{Policies: policies, Update: true, Locked: func(Kind, string) (Pin, bool) { return in2.Pin(), true }})
	assert.Equal(t, []string{"share.downgrade"}, codes(err))

	// Who may not, is told so.
	for name, r := range map[string]Remote{
		"no credentials": {CAFile: ca, Timeout: 5 * time.Second}, "wrong password": {Username: user, Password: "guess", CAFile: ca, Timeout: 5 * time.Second},
	} {
		_, err = open(repo+":1.2.0", r).Pull(ctx, store, Accept{})
		assert.Equal(t, []string{"share.access"}, codes(err), name)
	}
	_, err = open(repo+":1.2.0", Remote{Username: user, Password: password, Retries: -1}).Pull(ctx, store, Accept{})
	assert.Equal(t, []string{"share.tls"}, codes(err), "an unknown authority")

	// Docker's configuration serves as well.
	conf := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	require.NoError(t, os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(conf), 0o600))
	_, err = open(repo+":1.2.0", Remote{CAFile: ca}).Pull(ctx, store, Accept{Policies: policies})
	require.NoError(t, err)

	// Two versions side by side.
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	_, err = open(repo+":1.2.0", how).Extract(ctx, a)
	require.NoError(t, err)
	_, err = open(repo+":1.10.0", how).Extract(ctx, b)
	require.NoError(t, err)
	d, err := Diff(os.DirFS(a), os.DirFS(b))
	require.NoError(t, err)
	assert.Equal(t, "none", d.Bump)
}

func TestRegistryThatFails(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	host, ca, f := inProcess(t)
	how := Remote{Username: user, Password: password, CAFile: ca, Timeout: 2 * time.Second, Retries: 3}
	a := makeArchive(t, packFiles("fx", "1.2.0"))
	place, err := Open(host+"/fx:1.2.0", how)
	require.NoError(t, err)

	// Overload and broken bodies are passed over, within the number of retries.
	n := 0
	f.fail = func(*http.Request) int {
		if n++; n%3 == 1 {
			return http.StatusServiceUnavailable
		}
		return 0
	}
	_, err = place.Push(t.Context(), a)
	require.NoError(t, err)
	layer := 0
	f.fail = func(r *http.Request) int {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			if layer++; layer == 2 || layer == 3 { // the first is the config
				return -1
			}
		}
		return 0
	}
	_, err = place.Pull(t.Context(), Store{t.TempDir()}, Accept{})
	require.NoError(t, err)
	assert.GreaterOrEqual(t, layer, 4)

	// A server that stays down is an error that can be read, and ends.
	f.fail = func(*http.Request) int { return http.StatusBadGateway }
	quick := how
	quick.Retries = 1
	place, err = Open(host+"/fx:1.2.0", quick)
	require.NoError(t, err)
	_, err = place.Pull(t.Context(), Store{t.TempDir()}, Accept{})
	assert.Equal(t, []string{"share.registry"}, codes(err))

	// One that changes what it sends is found out.
	f.fail = nil
	for d := range f.blobs {
		f.blobs[d] = append(bytes.Clone(f.blobs[d]), 'x')
	}
	_, err = place.Pull(t.Context(), Store{t.TempDir()}, Accept{})
	assert.NotEmpty(t, codes(err))
	f.mu.Lock()
	for ref, m := range f.manifests {
		f.manifests[ref] = bytes.Replace(m, []byte("1.2.0"), []byte("1.2.1"), 1)
	}
	f.mu.Unlock()
	_, err = place.Pull(t.Context(), Store{t.TempDir()}, Accept{})
	assert.NotEmpty(t, codes(err))

	// An oversized manifest is not read.
	f.mu.Lock()
	big := bytes.Repeat([]byte(" "), maxManifest+1)
	f.manifests["fx@"+digestOf(big)], f.tags["fx:1.2.0"] = big, digestOf(big)
	f.mu.Unlock()
	_, err = place.Pull(t.Context(), Store{t.TempDir()}, Accept{})
	assert.Equal(t, []string{"share.limit"}, codes(err))
}

// A server that sends nothing more is left.
func TestRegistryThatStalls(t *testing.T) {
	for name, stalls := range map[string]func(blob []byte) bool{
		"content": func(b []byte) bool { return bytes.HasPrefix(b, []byte{0x1f, 0x8b}) },
		"config":  func(b []byte) bool { return bytes.HasPrefix(b, []byte("{")) },
	} {
		t.Run(name, func(t *testing.T) { stall(t, stalls) })
	}
}

func stall(t *testing.T, stalls func(blob []byte) bool) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	f := newFakeRegistry(t)
	end := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if blob := f.blobs[filepath.Base(r.URL.Path)]; r.Method == http.MethodGet && stalls(blob) {
			w.Header().Set("Content-Length", strconv.Itoa(len(blob)))
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-end
			return
		}
		f.ServeHTTP(w, r)
	}))
	defer srv.Close()
	defer close(end)
	place, err := Open(strings.TrimPrefix(srv.URL, "http://")+"/fx:1.2.0", Remote{PlainHTTP: true, Timeout: 200 * time.Millisecond, Retries: -1})
	require.NoError(t, err)
	_, err = place.Push(t.Context(), makeArchive(t, packFiles("fx", "1.2.0")))
	require.NoError(t, err)
	start := time.Now()
	_, err = place.Pull(t.Context(), Store{t.TempDir()}, Accept{})
	require.Error(t, err)
	assert.Equal(t, []string{"share.registry"}, codes(err))
	assert.Greater(t, time.Since(start), 150*time.Millisecond)
	assert.Less(t, time.Since(start), 10*time.Second)
}

func TestPlainHTTP(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	f := newFakeRegistry(t)
	srv := httptest.NewServer(f)
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	a := makeArchive(t, packFiles("fx", "1.2.0"))

	place, err := Open(host+"/fx", Remote{Retries: -1})
	require.NoError(t, err)
	_, err = place.Push(t.Context(), a)
	assert.Equal(t, []string{"share.tls"}, codes(err), "never without TLS unless told so")
	assert.Empty(t, f.log)

	f.user, f.password = user, password
	place, err = Open(host+"/fx", Remote{PlainHTTP: true, Username: user, Password: password})
	require.NoError(t, err)
	_, err = place.Push(t.Context(), a)
	require.NoError(t, err, "loopback")

	_, err = Open("registry.example/fx", Remote{PlainHTTP: true, Username: user, Password: password})
	assert.Equal(t, []string{"share.plain-http"}, codes(err))
}

// A registry with TLS that redirects to one without is not followed.
func TestRedirectWithoutTLS(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	seen := false
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen = true }))
	defer plain.Close()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	ca, certFile, keyFile := authority(t, t.TempDir())
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "https://")
	place, err := Open(host+"/fx:1.2.0", Remote{CAFile: ca, Username: user, Password: password, Retries: -1})
	require.NoError(t, err)
	_, err = place.Pull(t.Context(), Store{t.TempDir()}, Accept{})
	assert.Equal(t, []string{"share.registry"}, codes(err))
	assert.ErrorContains(t, err, "without TLS")
	assert.False(t, seen)
}

func TestReferences(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for _, ref := range []string{"", "fx", "oci:", "host/UPPER:1", "host/fx:", "host/fx:a b", "host/fx@sha256:12", "host/fx@md5:12", "https://host/fx", "oci:x:!", "host:port/fx"} {
		_, err := Open(ref, Remote{})
		assert.Equal(t, []string{"share.reference"}, codes(err), "%q", ref)
	}
	for _, ref := range []string{"host/fx", "host:5000/a/b/fx:1.2.0", "localhost:5000/fx", "oci:folder", "oci:/a/b@c/d:1.2.0", "[::1]:5000/fx:1"} {
		p, err := Open(ref, Remote{})
		require.NoError(t, err, ref)
		assert.Equal(t, ref, p.String())
	}
	_, err := Open("host/fx", Remote{CAFile: filepath.Join(t.TempDir(), "none.pem")})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A folder that holds something else does not become a layout.
func TestPushIntoForeignFolder(t *testing.T) {
	dir := writeDir(t, map[string]string{"letter.txt": "x"})
	place, err := Open("oci:"+dir, Remote{})
	require.NoError(t, err)
	_, err = place.Push(t.Context(), makeArchive(t, packFiles("fx", "1.2.0")))
	assert.Equal(t, []string{"share.not-found"}, codes(err))
	assert.Equal(t, []string{"letter.txt"}, slicesOfNames(t, dir))
}
