package share

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/islm-dev/islm/sdk"
)

// Remote says how a registry is reached. The zero value is TLS with the system's
// roots and the credentials of docker's configuration.
type Remote struct {
	// Username and Password go to the registry of the reference alone. Without them
	// docker's configuration (DOCKER_CONFIG, ~/.docker/config.json and its helpers)
	// is asked.
	Username, Password string
	CAFile             string // PEM file with roots to trust besides the system's
	// PlainHTTP speaks HTTP without TLS. Credentials go over it to loopback only.
	PlainHTTP bool
	// Timeout bounds the wait for a connection, for an answer and for the next
	// bytes of a body; 0 is 30 s. The context bounds the whole.
	Timeout time.Duration
	// Retries is how often a request is tried again after a failure of the network
	// or of the server; 0 is 4, -1 none.
	Retries int
}

// layoutPrefix marks references to a layout folder: oci:FOLDER:TAG.
const layoutPrefix = "oci:"

// Place is one repository, in a registry or a layout folder, with the tag or
// digest that a reference names.
type Place struct {
	ref     string // as given, without digest
	version string // tag or digest, "" if the reference names none
	layout  string // folder, "" for a registry
	repo    *remote.Repository
	timeout time.Duration
	retries int
}

// Open reads a reference: HOST/REPOSITORY[:TAG][@DIGEST] or oci:FOLDER[:TAG][@DIGEST].
// Nothing is contacted yet.
func Open(ref string, r Remote) (*Place, error) {
	p := &Place{timeout: r.Timeout, retries: r.Retries}
	if p.timeout <= 0 {
		p.timeout = 30 * time.Second
	}
	if p.retries == 0 {
		p.retries = 4
	}
	p.retries = max(p.retries, 0)
	bad := func(why string) error {
		return refuse("share.reference", "write HOST/REPOSITORY:TAG or oci:FOLDER:TAG", "%q is no reference: %s", short(ref), why)
	}
	rest, layout := strings.CutPrefix(ref, layoutPrefix)
	at, pinned := "", false
	if i := strings.LastIndex(rest, "@sha256:"); i >= 0 {
		rest, at, pinned = rest[:i], rest[i+1:], true
		if d, err := digest.Parse(at); err != nil || d.Algorithm() != digest.SHA256 {
			return nil, bad("the digest is not sha256: and 64 hexadecimal digits")
		}
		p.version = at
	}
	name, tag := rest, ""
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexAny(rest, `/\`) {
		name, tag = rest[:i], rest[i+1:]
		if err := (registry.Reference{Registry: "x", Repository: "x", Reference: tag}).ValidateReferenceAsTag(); err != nil {
			return nil, bad("the tag " + short(fmt.Sprintf("%q", tag)) + " is none")
		}
		if !pinned {
			p.version = tag
		}
	}
	if p.ref = ref; pinned {
		p.ref = strings.TrimSuffix(ref, "@"+at)
	}
	if layout {
		if name == "" {
			return nil, bad("it names no folder")
		}
		p.layout = filepath.Clean(name)
		return p, nil
	}
	if !strings.Contains(name, "/") {
		return nil, bad("it names a registry and no repository")
	}
	repo, err := remote.NewRepository(name)
	if err != nil {
		return nil, bad(short(err.Error()))
	}
	if repo.Client, err = r.client(repo.Reference, p.timeout, p.retries); err != nil {
		return nil, err
	}
	repo.PlainHTTP, repo.MaxMetadataBytes, repo.TagListMaxPages = r.PlainHTTP, maxManifest, 20
	p.repo = repo
	return p, nil
}

// client makes an HTTP client with credentials for one registry.
func (r Remote) client(ref registry.Reference, timeout time.Duration, retries int) (remote.Client, error) {
	roots, err := r.roots()
	if err != nil {
		return nil, err
	}
	base := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: timeout}).DialContext, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: timeout,
	}
	again := &retry.GenericPolicy{Retryable: retry.DefaultPredicate, Backoff: retry.DefaultBackoff, MinWait: 100 * time.Millisecond, MaxWait: 5 * time.Second, MaxRetry: retries}
	host := ref.Host()
	c := &auth.Client{Cache: auth.NewCache(), Client: &http.Client{Transport: &retry.Transport{Base: &guard{base: base, plain: r.PlainHTTP}, Policy: func() retry.Policy { return again }}}}
	c.SetUserAgent("islm/" + sdk.Version)
	if loopback(host) { // a token server beside a registry on this machine
		c.BlockedRealmPrefixes = []netip.Prefix{}
	}
	open := !r.PlainHTTP || loopback(host)
	switch {
	case r.Username != "" || r.Password != "":
		if !open {
			return nil, refuse("share.plain-http", "use TLS, with --ca-file for a certificate of your own", "credentials are not sent to %s without TLS", host)
		}
		c.Credential = auth.StaticCredential(host, auth.Credential{Username: r.Username, Password: r.Password})
	case open:
		store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
		if err != nil {
			return nil, refuse("share.credentials", "mend the file, or give --username and --password-stdin", "docker's configuration cannot be read: %v", err)
		}
		c.Credential = credentials.Credential(store)
	}
	return c, nil
}

func (r Remote) roots() (*x509.CertPool, error) {
	if r.CAFile == "" {
		return nil, nil //nolint:nilnil // nil means the system's roots
	}
	pem, err := os.ReadFile(r.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the roots to trust: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, refuse("share.tls", "name a PEM file", "%s holds no certificate", r.CAFile)
	}
	return roots, nil
}

// guard keeps all requests, those after redirects and to token servers included,
// on TLS.
type guard struct {
	base  http.RoundTripper
	plain bool
}

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !g.plain {
		return nil, fmt.Errorf("the registry leads to %s://%s, which is without TLS", r.URL.Scheme, r.URL.Host)
	}
	return g.base.RoundTrip(r)
}

func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// String gives the reference as it was given.
func (p *Place) String() string {
	if strings.HasPrefix(p.version, "sha256:") {
		return p.ref + "@" + p.version
	}
	return p.ref
}

// at gives a reference to one manifest, with its digest.
func (p *Place) at(d digest.Digest) string { return p.ref + "@" + d.String() }

// source is where manifests and blobs are read.
type source interface {
	content.Fetcher
	Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error)
	Tags(ctx context.Context, last string, fn func(tags []string) error) error
}

func (p *Place) source() (source, error) {
	if p.layout != "" {
		return openLayout(p.layout)
	}
	return p.repo, nil
}

// target is where they are written.
func (p *Place) target(ctx context.Context) (oras.Target, error) {
	if p.layout == "" {
		return p.repo, nil
	}
	if st, err := os.Stat(p.layout); err == nil && st.IsDir() {
		if entries, err := os.ReadDir(p.layout); err == nil && len(entries) > 0 {
			if _, err := openLayout(p.layout); err != nil { // nobody's folder becomes a layout by mistake
				return nil, err
			}
		}
	}
	s, err := oci.NewWithContext(ctx, p.layout)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", p, err)
	}
	return s, nil
}

// layout reads an OCI layout folder, within limits.
type layout struct {
	*oci.ReadOnlyStorage
	index ocispec.Index
}

func openLayout(dir string) (*layout, error) {
	f, err := os.Open(filepath.Join(dir, ocispec.ImageIndexFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, refuse("share.not-found", "name a folder that holds oci-layout and index.json", "%s is no OCI layout folder", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open the layout: %w", err)
	}
	defer f.Close()
	data, err := readAtMost(f, maxIndex+1)
	if err != nil {
		return nil, fmt.Errorf("open the layout: %w", err)
	}
	l := &layout{ReadOnlyStorage: oci.NewStorageFromFS(os.DirFS(dir))}
	if len(data) > maxIndex {
		return nil, refuse("share.limit", "", "index.json of %s is larger than %d bytes", dir, maxIndex)
	}
	if err := json.Unmarshal(data, &l.index); err != nil {
		return nil, refuse("share.manifest", "", "index.json of %s cannot be read: %v", dir, err)
	}
	return l, nil
}

// Resolve finds a manifest by tag or digest.
func (l *layout) Resolve(_ context.Context, ref string) (ocispec.Descriptor, error) {
	for _, d := range l.index.Manifests {
		if d.Digest.String() == ref || d.Annotations[ocispec.AnnotationRefName] == ref {
			return d, nil
		}
	}
	return ocispec.Descriptor{}, fmt.Errorf("%s: %w", short(ref), errdef.ErrNotFound)
}

// Tags lists the tags.
func (l *layout) Tags(_ context.Context, _ string, fn func([]string) error) error {
	var tags []string
	for _, d := range l.index.Manifests {
		if t := d.Annotations[ocispec.AnnotationRefName]; t != "" {
			tags = append(tags, t)
		}
	}
	return fn(tags)
}

// Versions lists the tags of the repository that are semantic versions, newest
// first.
func (p *Place) Versions(ctx context.Context) ([]string, error) {
	src, err := p.source()
	if err != nil {
		return nil, err
	}
	var found []*semver.Version
	err = src.Tags(ctx, "", func(tags []string) error {
		for _, t := range tags {
			if v, err := semver.StrictNewVersion(t); err == nil {
				found = append(found, v)
			}
		}
		return nil
	})
	if err != nil {
		return nil, p.failed("list the tags of", err)
	}
	slices.SortFunc(found, func(a, b *semver.Version) int { return b.Compare(a) })
	versions := make([]string, len(found))
	for i, v := range found {
		versions[i] = v.Original()
	}
	return versions, nil
}

// failed makes the error of a place that does not answer as it should: what the
// user can do about it, if anything is known.
func (p *Place) failed(what string, err error) error {
	if _, _, ok := sdk.DiagnosticsOf(err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "share.registry", Summary: fmt.Sprintf("cannot %s %s", what, p), Detail: shorten(strings.ReplaceAll(err.Error(), "\n", " "), 500)}
	var answer *errcode.ErrorResponse
	var unknown x509.UnknownAuthorityError
	var verify *tls.CertificateVerificationError
	var dial *net.OpError
	var where *url.Error
	status := 0
	if errors.As(err, &answer) {
		status = answer.StatusCode
	}
	switch {
	case errors.Is(err, errdef.ErrNotFound) || status == http.StatusNotFound:
		d.Code, d.Remedy = "share.not-found", "is the name or the tag another one?"
	case errors.Is(err, auth.ErrBasicCredentialNotFound) || status == http.StatusUnauthorized || status == http.StatusForbidden:
		d.Code, d.Remedy = "share.access", "log in with 'docker login', or give --username and --password-stdin"
	case errors.As(err, &unknown) || errors.As(err, &verify):
		d.Code, d.Remedy = "share.tls", "if the registry has a certificate of your own authority: --ca-file FILE"
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		d.Code, d.Remedy = "share.tls", "the registry has no TLS; if that is meant: --plain-http"
	case errors.Is(err, errdef.ErrSizeExceedsLimit):
		d.Code, d.Remedy = "share.limit", ""
	case errors.Is(err, content.ErrMismatchedDigest), errors.Is(err, content.ErrTrailingData):
		d.Code, d.Remedy = "share.digest", "what the registry sent is not what was asked for"
	case errors.As(err, &dial) || errors.As(err, &where) || errors.Is(err, context.DeadlineExceeded):
		d.Remedy = "is the registry there, and does its name resolve?"
	}
	return &sdk.DiagnosticsError{Diagnostics: sdk.Diagnostics{d}, Fatal: true, Cause: err}
}

// patience reads a body and gives up when no byte comes for a while.
type patience struct {
	r     io.ReadCloser
	wait  time.Duration
	timer *time.Timer
	over  atomic.Bool
}

func newPatience(r io.ReadCloser, wait time.Duration, cancel context.CancelFunc) *patience {
	p := &patience{r: r, wait: wait}
	p.timer = time.AfterFunc(wait, func() {
		p.over.Store(true)
		cancel()
	})
	return p
}

func (p *patience) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.timer.Reset(p.wait)
	}
	return n, err
}

func (p *patience) Close() error {
	p.timer.Stop()
	return p.r.Close()
}

// why tells the end of patience from an interruption by the user.
func (p *patience) why(err error) error {
	if p.over.Load() {
		return fmt.Errorf("nothing came for %v", p.wait)
	}
	return err
}
