package share

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"

	"github.com/islm-dev/islm/sdk"
)

// Archive is an artifact as a file: its canonical tar, with the signatures in a
// file of the same name plus .minisig.
type Archive struct {
	Content
	Path       string      `json:"path"`
	Signatures []Signature `json:"signatures"`
	Skipped    []string    `json:"skipped,omitempty"` // hidden files that were left out
}

// PackID reads name and version from the pack.yaml of a rule pack.
func PackID(fsys fs.FS) (ID, error) {
	f, err := fsys.Open("pack.yaml")
	if errors.Is(err, fs.ErrNotExist) {
		return ID{}, refuse("share.pack", "name the folder that holds pack.yaml", "there is no pack.yaml: this is no rule pack")
	}
	if err != nil {
		return ID{}, fmt.Errorf("read pack.yaml: %w", err)
	}
	defer f.Close()
	data, err := readAtMost(f, sdk.MaxYAMLBytes+1)
	if err != nil {
		return ID{}, fmt.Errorf("read pack.yaml: %w", err)
	}
	doc, ds := sdk.ParseYAML("pack.yaml", data)
	if doc == nil {
		return ID{}, ds.Err()
	}
	var content map[string]any
	ds.Add(doc.Decode(&content)...)
	if err := ds.Err(); err != nil {
		return ID{}, err
	}
	id := ID{Kind: Pack}
	id.Name, _ = content["name"].(string)
	id.Version, _ = content["version"].(string)
	for _, d := range id.check() {
		at := doc.At(strings.TrimPrefix(d.Code, "share."))
		d.File, d.Line, d.Column = at.File, at.Line, at.Column
		ds.Add(d)
	}
	return id, ds.Err()
}

// checkPackID demands that a pack's own pack.yaml says what the artifact says.
func checkPackID(id ID, fsys fs.FS) error {
	if id.Kind != Pack {
		return nil
	}
	own, err := PackID(fsys)
	if err != nil {
		return err
	}
	if own != id {
		return refuse("share.pack", "", "the artifact calls itself %s, its pack.yaml %s", id, own)
	}
	return nil
}

// PackDir writes the archive of a folder to out: a file, or a folder for a file
// called NAME-VERSION.KIND.tar. The same files give the same bytes. An archive
// that is there is replaced in one step.
func PackDir(ctx context.Context, dir, out string, id ID) (*Archive, error) {
	fsys := os.DirFS(dir)
	if err := checkPackID(id, fsys); err != nil {
		return nil, err
	}
	c, skipped, err := measure(ctx, fsys, id)
	if err != nil {
		return nil, err
	}
	if st, err := os.Stat(out); err == nil && st.IsDir() {
		out = filepath.Join(out, id.fileName())
	}
	err = placeFile(out, func(w io.Writer) error {
		files, _, ds, err := list(fsys, id.Kind)
		if err := errors.Join(err, ds.Err()); err != nil {
			return err
		}
		s := newSum()
		if err := writeTar(ctx, io.MultiWriter(w, s), id.Kind, fsys, files); err != nil {
			return err
		}
		if s.hex() != c.SHA256 {
			return errors.New("the files changed meanwhile")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", dir, err)
	}
	a := &Archive{Content: c, Path: out, Skipped: skipped}
	a.Signatures, err = a.readSignatures()
	if err != nil || checkStatements(c, a.Signatures) != nil { // of what lay there before
		if err := os.Remove(out + signatureSuffix); err != nil {
			return nil, fmt.Errorf("pack %s: %w", dir, err)
		}
		a.Signatures = nil
	}
	return a, nil
}

const signatureSuffix = ".minisig"

func (a *Archive) readSignatures() ([]Signature, error) {
	data, err := readSignatureFile(a.Path + signatureSuffix)
	if err != nil {
		return nil, err
	}
	return ParseSignatures(data)
}

func readSignatureFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the signatures: %w", err)
	}
	defer f.Close()
	data, err := readAtMost(f, maxSignatures+1)
	if err != nil {
		return nil, fmt.Errorf("read the signatures: %w", err)
	}
	return data, nil
}

// OpenArchive reads an archive file: its form, its digest and its signatures,
// whose keys Verify looks at.
func OpenArchive(ctx context.Context, file string) (*Archive, error) {
	id, ok := idOfFile(filepath.Base(file))
	if !ok {
		return nil, refuse("share.archive", "keep the name that 'islm rules pack' gave: NAME-VERSION.KIND.tar", "the name %q says neither name, version nor kind", short(filepath.Base(file)))
	}
	a := &Archive{Path: file, Content: Content{ID: id}}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	defer f.Close()
	a.SHA256, a.Size, err = readTar(ctx, f, id.Kind, id.Kind.Limits(), func(string, int64, io.Reader) error { return nil })
	if err != nil {
		return nil, err
	}
	a.Signatures, err = a.readSignatures()
	return a, err
}

// Sign adds the signature of a key to an archive, in the file beside it.
func (a *Archive) Sign(k Key) error {
	f, err := os.Open(a.Path)
	if err != nil {
		return fmt.Errorf("sign %s: %w", a.ID, err)
	}
	defer f.Close()
	sig, err := k.Sign(a.Content, f)
	if err != nil {
		return err
	}
	old, err := readSignatureFile(a.Path + signatureSuffix)
	if err != nil {
		return err
	}
	if sigs, err := ParseSignatures(old); err != nil || checkStatements(a.Content, sigs) != nil {
		old = nil // those of an older content
	}
	all, err := AddSignature(old, sig)
	if err != nil {
		return err
	}
	if err := placeFile(a.Path+signatureSuffix, func(w io.Writer) error { _, err := w.Write(all); return err }); err != nil {
		return fmt.Errorf("sign %s: %w", a.ID, err)
	}
	a.Signatures, err = ParseSignatures(all)
	return err
}

// offer returns an archive as something to be received.
func (a *Archive) offer() *offer {
	o := &offer{content: a.Content, source: a.Path, open: func(context.Context) (io.ReadCloser, error) { return os.Open(a.Path) }}
	for _, s := range a.Signatures {
		o.signatures = append(o.signatures, s.raw...)
	}
	return o
}

// offer is an artifact that somebody offers: what it says of itself, and a way to
// its tar. Nothing of it is trusted.
type offer struct {
	content    Content
	signatures []byte
	source     string // with the digest of the manifest, where there is one
	open       func(context.Context) (io.ReadCloser, error)
}

// Verdict is what the check of an offer found.
type Verdict struct {
	Content
	SignedBy []string        `json:"signed_by"` // names of keys in the policies
	Warnings sdk.Diagnostics `json:"warnings,omitempty"`
}

// judge asks all policies about what an offer says of itself.
func (o *offer) judge(policies []*Policy) ([]judged, *Verdict, error) {
	if err := o.content.check().Err(); err != nil {
		return nil, nil, err
	}
	sigs, err := ParseSignatures(o.signatures)
	if err != nil {
		return nil, nil, err
	}
	if err := checkStatements(o.content, sigs); err != nil {
		return nil, nil, err
	}
	v := &Verdict{Content: o.content}
	if len(policies) == 0 {
		v.Warnings.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "share.no-policy", Summary: fmt.Sprintf("nothing says who may publish %s: its signatures were not checked", o.content.ID),
			Remedy: "write " + PolicyFile + " with the keys you trust"})
	}
	var all []judged
	var ds sdk.Diagnostics
	for _, p := range policies {
		good, err := p.judge(o.content, sigs)
		if problems, _, ok := sdk.DiagnosticsOf(err); ok {
			ds.Add(problems...)
		}
		for _, j := range good {
			v.SignedBy = append(v.SignedBy, j.key.ID)
		}
		all = append(all, good...)
	}
	return all, v, ds.Err()
}

// receive reads the content of an offer, and hands its files over while it checks
// form, limits, digest and signatures. Only after it has returned nil is any of it
// to be believed.
func (o *offer) receive(ctx context.Context, sigs []judged, each func(name string, size int64, r io.Reader) error) error {
	r, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	lim := o.content.Kind.Limits()
	lim.Bytes = min(lim.Bytes, o.content.Size)
	bounded := &io.LimitedReader{R: r, N: o.content.Size + 1}
	signed := minisign.NewReader(bounded)
	digest, size, err := readTar(ctx, signed, o.content.Kind, lim, each)
	if bounded.N <= 0 {
		return refuse("share.limit", "do not use it; ask the publisher", "%s is larger than the %d bytes that it says", o.content.ID, o.content.Size)
	}
	if err != nil {
		return err
	}
	if digest != o.content.SHA256 || size != o.content.Size {
		return refuse("share.digest", "do not use it; ask the publisher", "the content of %s has sha256 %s, not %s", o.content.ID, digest, o.content.SHA256)
	}
	for _, j := range sigs {
		if err := j.verify(signed); err != nil {
			return err
		}
	}
	return nil
}

// Verify checks an archive against policies, as a pull would.
func (a *Archive) Verify(ctx context.Context, policies []*Policy) (*Verdict, error) {
	o := a.offer()
	sigs, v, err := o.judge(policies)
	if err != nil {
		return nil, err
	}
	return v, o.receive(ctx, sigs, func(string, int64, io.Reader) error { return nil })
}

// readAtMost reads all of r, but no more than n bytes.
func readAtMost(r io.Reader, n int64) ([]byte, error) { return io.ReadAll(io.LimitReader(r, n)) }

// placeFile writes a file beside its target and renames it. It does not wait for
// the disk: what a power failure swallows does not fit its digest any more.
func placeFile(path string, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // nothing is left to remove after the rename
	if err := write(tmp); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err := errors.Join(tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// random gives a name that nobody else takes.
func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
