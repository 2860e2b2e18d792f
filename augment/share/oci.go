package share

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/islm-dev/islm/sdk"
)

// config is the config blob of an artifact: what it says of itself, before any
// proof. It is the JSON of this struct and nothing else.
type config struct {
	Schema string `json:"schema"`
	Content
}

const configSchema = "islm/artifact.v0"

// Pushed says where an artifact lies now.
type Pushed struct {
	Content
	Reference string `json:"reference"` // with the digest of the manifest
	Manifest  string `json:"manifest"`  // sha256:…
}

// Push puts an archive with its signatures into a repository, under the tag of
// the reference, else under its version. The same archive gives the same manifest.
// A version that is there with another content is not replaced, because it is in
// other people's locks.
func (p *Place) Push(ctx context.Context, a *Archive) (*Pushed, error) {
	tag := p.version
	if tag == "" {
		tag = a.Version
	}
	if _, err := digest.Parse(tag); err == nil {
		return nil, refuse("share.reference", "give a tag, or nothing for the version", "%s cannot be pushed to a digest", a.ID)
	}
	if err := checkStatements(a.Content, a.Signatures); err != nil {
		return nil, err
	}
	if err := p.keepsVersions(ctx, a.Content, tag); err != nil {
		return nil, err
	}
	dst, err := p.target(ctx)
	if err != nil {
		return nil, err
	}
	conf, err := json.Marshal(config{configSchema, a.Content})
	if err != nil {
		return nil, fmt.Errorf("push %s: %w", a.ID, err)
	}
	layers, err := p.pushLayers(ctx, dst, a)
	if err != nil {
		return nil, p.failed("push to", err)
	}
	confDesc, err := oras.PushBytes(ctx, skipExisting{dst}, mediaConfig, conf)
	if err != nil {
		return nil, p.failed("push to", err)
	}
	manifest, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: a.Kind.mediaType(),
		Config: confDesc, Layers: layers, Annotations: map[string]string{ocispec.AnnotationTitle: a.Name, ocispec.AnnotationVersion: a.Version}})
	if err != nil {
		return nil, fmt.Errorf("push %s: %w", a.ID, err)
	}
	desc, err := oras.TagBytes(ctx, dst, ocispec.MediaTypeImageManifest, manifest, tag)
	if err != nil {
		return nil, p.failed("push to", err)
	}
	ref := p.ref
	if p.version == "" {
		ref += ":" + tag
	}
	return &Pushed{Content: a.Content, Reference: ref + "@" + desc.Digest.String(), Manifest: desc.Digest.String()}, nil
}

// keepsVersions refuses to move a tag that is a version to another content.
func (p *Place) keepsVersions(ctx context.Context, c Content, tag string) error {
	there := *p
	there.version = tag
	if p.layout != "" {
		if _, err := os.Stat(filepath.Join(p.layout, ocispec.ImageIndexFile)); err != nil {
			return nil //nolint:nilerr // a new layout holds nothing
		}
	}
	old, err := there.look(ctx)
	if err != nil {
		if errors.Is(err, errdef.ErrNotFound) {
			return nil
		}
		if _, fatal, _ := sdk.DiagnosticsOf(err); !fatal && tag != c.Version {
			return nil // a tag like latest may stand on something else
		}
		return err
	}
	if tag == old.content.Version && old.content != c {
		return refuse("share.exists", "raise the version in pack.yaml: what is published does not change", "%s holds %s with another content, sha256 %s", p, old.content.ID, old.content.SHA256)
	}
	return nil
}

// pushLayers uploads the compressed content, and the signatures if there are any.
func (p *Place) pushLayers(ctx context.Context, dst oras.Target, a *Archive) ([]ocispec.Descriptor, error) {
	spool, err := os.CreateTemp("", "islm-push.*"+tmpSuffix)
	if err != nil {
		return nil, err
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	f, err := os.Open(a.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	dig := digest.SHA256.Digester()
	zip, err := gzip.NewWriterLevel(io.MultiWriter(spool, dig.Hash()), gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	again := newSum()
	if _, err := io.Copy(zip, io.TeeReader(f, again)); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	if again.hex() != a.SHA256 {
		return nil, refuse("share.digest", "pack it again", "%s changed while it was pushed", a.Path)
	}
	size, err := spool.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	layer := ocispec.Descriptor{MediaType: mediaContent, Digest: dig.Digest(), Size: size, Annotations: map[string]string{ocispec.AnnotationTitle: a.fileName() + ".gz"}}
	if ok, err := dst.Exists(ctx, layer); err != nil {
		return nil, err
	} else if !ok {
		if err := p.again(ctx, func() error {
			if _, err := spool.Seek(0, io.SeekStart); err != nil {
				return err
			}
			err := dst.Push(ctx, layer, struct{ io.Reader }{spool}) // the client would close the file
			if errors.Is(err, errdef.ErrAlreadyExists) {
				return nil
			}
			return err
		}); err != nil {
			return nil, err
		}
	}
	layers := []ocispec.Descriptor{layer}
	if raw := a.offer().signatures; len(raw) > 0 {
		d, err := oras.PushBytes(ctx, skipExisting{dst}, mediaSignatures, raw)
		if err != nil {
			return nil, err
		}
		d.Annotations = map[string]string{ocispec.AnnotationTitle: a.fileName() + signatureSuffix}
		layers = append(layers, d)
	}
	return layers, nil
}

// skipExisting pushes only what is not there.
type skipExisting struct{ oras.Target }

func (s skipExisting) Push(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	if ok, err := s.Exists(ctx, d); err == nil && ok {
		return nil
	}
	if err := s.Target.Push(ctx, d, r); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
		return err
	}
	return nil
}

// look reads the manifest that the reference names, its config and its signatures,
// and makes an offer of them. Without tag or digest the newest version is taken.
func (p *Place) look(ctx context.Context) (*offer, error) {
	src, err := p.source()
	if err != nil {
		return nil, err
	}
	ref, version := *p, p.version
	if version == "" {
		all, err := p.Versions(ctx)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, refuse("share.not-found", "name a tag", "%s has no tag that is a version", p)
		}
		version = all[0]
		ref.ref += ":" + version
	}
	desc, err := src.Resolve(ctx, version)
	if err != nil {
		return nil, p.failed("find", err)
	}
	if desc.MediaType != ocispec.MediaTypeImageManifest {
		return nil, refuse("share.manifest", "", "%s is no islm artifact: its manifest is of type %s", p, short(desc.MediaType))
	}
	raw, err := p.blob(ctx, src, desc, maxManifest, "manifest")
	if err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, refuse("share.manifest", "", "the manifest of %s cannot be read: %v", p, err)
	}
	layer, sigs, err := p.parts(m)
	if err != nil {
		return nil, err
	}
	raw, err = p.blob(ctx, src, m.Config, maxConfig, "config")
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(raw)
	if err != nil {
		return nil, err
	}
	if m.ArtifactType != c.Kind.mediaType() {
		return nil, refuse("share.manifest", "", "%s is of type %s in its manifest, and a %s in its config", p, short(m.ArtifactType), c.Kind)
	}
	o := &offer{content: c, source: ref.at(desc.Digest)}
	if sigs != nil {
		if o.signatures, err = p.blob(ctx, src, *sigs, maxSignatures, "signature file"); err != nil {
			return nil, err
		}
	}
	o.open = func(ctx context.Context) (io.ReadCloser, error) { return p.content(ctx, src, layer, c) }
	return o, nil
}

// parts finds the layers of a manifest and refuses what should not be there.
func (p *Place) parts(m ocispec.Manifest) (layer ocispec.Descriptor, sigs *ocispec.Descriptor, err error) {
	bad := func(format string, args ...any) (ocispec.Descriptor, *ocispec.Descriptor, error) {
		return layer, nil, refuse("share.manifest", "", "%s is no islm artifact: %s", p, fmt.Sprintf(format, args...))
	}
	types := make([]string, len(m.Layers))
	for i, l := range m.Layers {
		types[i] = l.MediaType
	}
	switch {
	case m.SchemaVersion != 2 || m.Config.MediaType != mediaConfig:
		return bad("its config is of type %q", short(m.Config.MediaType))
	case m.Subject != nil:
		return bad("it is attached to another manifest")
	case slices.Equal(types, []string{mediaContent, mediaSignatures}):
		sigs = &m.Layers[1]
	case !slices.Equal(types, []string{mediaContent}):
		return bad("it has %d layers, one with the content and at most one with signatures are allowed", len(types))
	}
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if d.Digest.Validate() != nil || d.Digest.Algorithm() != digest.SHA256 || d.Size < 0 || len(d.URLs) > 0 {
			return bad("a part of it has no proper digest or size, or lies elsewhere")
		}
	}
	return m.Layers[0], sigs, nil
}

func parseConfig(raw []byte) (Content, error) {
	var c config
	if err := json.Unmarshal(raw, &c); err != nil {
		return Content{}, refuse("share.manifest", "", "the config of the artifact cannot be read: %v", err)
	}
	if c.Schema != configSchema {
		return Content{}, refuse("share.manifest", "a newer islm may read it", "the config has schema %q, this islm reads %s", short(c.Schema), configSchema)
	}
	if err := c.check().Err(); err != nil {
		return Content{}, err
	}
	if again, err := json.Marshal(c); err != nil || !bytes.Equal(again, raw) {
		return Content{}, refuse("share.manifest", "", "the config of the artifact holds more than it should")
	}
	return c.Content, nil
}

// blob reads a small part whole.
func (p *Place) blob(ctx context.Context, src source, d ocispec.Descriptor, limit int64, what string) ([]byte, error) {
	if d.Size > limit || d.Size < 0 {
		return nil, refuse("share.limit", "", "the %s of %s has %d bytes, the limit is %d", what, p, d.Size, limit)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := src.Fetch(ctx, d)
	if err != nil {
		return nil, p.failed("read the "+what+" of", err)
	}
	in := newPatience(body, p.timeout, cancel)
	defer in.Close()
	raw, err := content.ReadAll(in, d)
	if err != nil {
		return nil, p.failed("read the "+what+" of", in.why(err))
	}
	return raw, nil
}

// content fetches the compressed layer into a temporary file, compares it with its
// digest, and returns a reader of the tar in it.
func (p *Place) content(ctx context.Context, src source, layer ocispec.Descriptor, c Content) (io.ReadCloser, error) {
	lim := c.Kind.Limits()
	if most := c.Size + c.Size/100 + 4096; layer.Size > min(most, lim.Bytes) { // gzip hardly ever grows
		return nil, refuse("share.limit", "", "the content of %s takes %d bytes compressed and says that it has %d", p, layer.Size, c.Size)
	}
	if ratio := c.Size / max(layer.Size, 1); c.Size > ratioFrom && ratio > lim.Ratio {
		return nil, refuse("share.limit", "", "the content of %s would grow to %d times its compressed size, the limit is %d", p, ratio, lim.Ratio)
	}
	spool, err := os.CreateTemp("", "islm-pull.*"+tmpSuffix)
	if err != nil {
		return nil, fmt.Errorf("pull %s: %w", p, err)
	}
	r := &spooled{file: spool}
	if err := p.again(ctx, func() error { return p.fetch(ctx, src, layer, spool) }); err != nil {
		return nil, errors.Join(p.failed("pull", err), r.Close())
	}
	zip, err := gzip.NewReader(spool)
	if err != nil {
		return nil, errors.Join(refuse("share.form", "", "the content of %s is not compressed with gzip: %v", p, err), r.Close())
	}
	zip.Multistream(false)
	r.Reader = &inflater{zip: zip, file: spool, lim: lim, in: layer.Size}
	return r, nil
}

// again repeats the transfer of a body, which the client cannot repeat by itself,
// unless the failure would be the same.
func (p *Place) again(ctx context.Context, transfer func() error) error {
	for try := 0; ; try++ {
		err := transfer()
		var answer *errcode.ErrorResponse
		refused := errors.As(err, &answer) && answer.StatusCode < http.StatusInternalServerError && answer.StatusCode != http.StatusTooManyRequests
		if err == nil || refused || try >= p.retries || ctx.Err() != nil || errors.Is(err, content.ErrMismatchedDigest) || errors.Is(err, errdef.ErrNotFound) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try+1) * 200 * time.Millisecond):
		}
	}
}

// fetch copies a layer into a file, from its beginning, and verifies it.
func (p *Place) fetch(ctx context.Context, src source, layer ocispec.Descriptor, to *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := src.Fetch(ctx, layer)
	if err != nil {
		return err
	}
	in := newPatience(body, p.timeout, cancel)
	defer in.Close()
	if _, err := to.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := to.Truncate(0); err != nil {
		return err
	}
	v := content.NewVerifyReader(in, layer)
	if _, err := io.Copy(to, v); err != nil {
		return in.why(err)
	}
	if err := v.Verify(); err != nil {
		return err
	}
	_, err = to.Seek(0, io.SeekStart)
	return err
}

// spooled is a reader over a temporary file that goes when it is closed.
type spooled struct {
	io.Reader
	file *os.File
}

func (s *spooled) Close() error { return errors.Join(s.file.Close(), os.Remove(s.file.Name())) }

const ratioFrom = 1 << 20

// inflater decompresses within limits of size and ratio.
type inflater struct {
	zip  *gzip.Reader
	file io.Reader
	lim  Limits
	in   int64 // bytes compressed
	out  int64
}

func (f *inflater) Read(b []byte) (int, error) {
	n, err := f.zip.Read(b)
	f.out += int64(n)
	if f.out > f.lim.Bytes+(1<<20) || f.out > ratioFrom && f.out/max(f.in, 1) > f.lim.Ratio {
		return 0, refuse("share.limit", "do not use it; ask the publisher", "the content grows beyond %d bytes or %d times its compressed size", f.lim.Bytes, f.lim.Ratio)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, refuse("share.form", "", "the content cannot be decompressed: %v", err)
	}
	return n, err
}

// Check looks at an artifact without installing it: manifest, policy, lock, and
// then the content, which is read and thrown away.
func (p *Place) Check(ctx context.Context, accept Accept) (*Verdict, error) {
	o, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	sigs, v, err := o.judge(accept.Policies)
	if err != nil {
		return nil, err
	}
	if err := accept.Compare(o.content); err != nil {
		return nil, err
	}
	return v, o.receive(ctx, sigs, func(string, int64, io.Reader) error { return nil })
}

// Pull installs what the reference names into the store, if the policies and the
// lock accept it.
func (p *Place) Pull(ctx context.Context, s Store, accept Accept) (*Installed, error) {
	o, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	return s.install(ctx, o, accept)
}
