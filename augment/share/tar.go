package share

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/islm-dev/islm/sdk"
)

// mode is the mode of a file. It follows from kind and name alone, so that no
// umask and no file system changes a digest.
func (k Kind) mode(name string) fs.FileMode {
	if k == Plugin && !strings.Contains(name, "/") && strings.HasPrefix(name, "islm-plugin-") {
		return 0o755
	}
	return 0o644
}

// header is the one header that a file may have.
func (k Kind) header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: int64(k.mode(name).Perm()), ModTime: time.Unix(0, 0).UTC()}
}

// list returns the files of a folder in the order of the tar. Hidden files are
// left out and returned in skipped; anything that is neither file nor folder, and
// paths that no artifact may hold, are diagnostics.
func list(fsys fs.FS, k Kind) (files, skipped []string, ds sdk.Diagnostics, err error) {
	report := func(p, why string) {
		ds.Add(sdk.Diagnostic{Code: "share.entry", File: p, Summary: fmt.Sprintf("%q %s", short(p), why), Remedy: "rename it or take it out"})
	}
	t, lim := newTree(), k.Limits()
	err = fs.WalkDir(fsys, ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p == "." {
			return nil
		}
		if strings.HasPrefix(path.Base(p), ".") {
			skipped = append(skipped, p)
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() {
			return nil
		}
		if !e.Type().IsRegular() {
			report(p, "is a link or a device, only files can be shared")
			return nil
		}
		if why := badPath(p); why != "" {
			report(p, why)
			return nil
		}
		if why := t.add(p); why != "" {
			report(p, why)
			return nil
		}
		if len(files) == lim.Entries {
			ds.Errorf("share.limit", "there are more than %d files, which is the limit of a %s", lim.Entries, k)
			return fs.SkipAll
		}
		files = append(files, p)
		return nil
	})
	slices.Sort(files)
	if err == nil && len(files) == 0 && !ds.HasErrors() {
		ds.Errorf("share.empty", "there are no files to share")
	}
	return files, skipped, ds, err
}

// writeTar writes the files of a folder, which list has returned, as the one tar
// they make.
func writeTar(ctx context.Context, w io.Writer, k Kind, fsys fs.FS, files []string) error {
	tw := tar.NewWriter(w)
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := writeEntry(tw, k, fsys, name); err != nil {
			return err
		}
	}
	return tw.Close()
}

func writeEntry(tw *tar.Writer, k Kind, fsys fs.FS, name string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if limit := k.Limits().File; st.Size() > limit {
		return refuse("share.limit", "", "%q has %d bytes, a file of a %s may have %d", short(name), st.Size(), k, limit)
	}
	if err := tw.WriteHeader(k.header(name, st.Size())); err != nil {
		return err
	}
	_, err = io.Copy(tw, f)
	return err
}

// sum counts and hashes what is written to it.
type sum struct {
	h hash.Hash
	n int64
}

func newSum() *sum { return &sum{h: sha256.New()} }

func (s *sum) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	return s.h.Write(p)
}

func (s *sum) hex() string { return hex.EncodeToString(s.h.Sum(nil)) }

// Digest is the sha256 of some bytes in the form that locks use.
func Digest(data []byte) string {
	s := newSum()
	_, _ = s.Write(data) // a hash takes all
	return s.hex()
}

// readTar reads a tar of which no byte is trusted and hands its files over, each
// to be read before the function returns. It accepts only the one form that
// writeTar gives. The limits of the kind hold for what comes out; r bounds what
// goes in. It returns digest and size of the whole.
func readTar(ctx context.Context, r io.Reader, k Kind, lim Limits, each func(name string, size int64, r io.Reader) error) (string, int64, error) {
	raw, again := newSum(), newSum()
	in := io.TeeReader(r, raw)
	tr, tw := tar.NewReader(in), tar.NewWriter(again)
	t, last, total := newTree(), "", int64(0)
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return "", 0, err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", 0, brokenTar(err)
		}
		if n >= lim.Entries {
			return "", 0, refuse("share.limit", "", "there are more than %d files", lim.Entries)
		}
		if why := badEntry(h); why != "" {
			return "", 0, refuse("share.entry", "", "%q %s", short(h.Name), why)
		}
		if why := t.add(h.Name); why != "" {
			return "", 0, refuse("share.entry", "", "%q %s", short(h.Name), why)
		}
		if h.Name <= last {
			return "", 0, refuse("share.form", "", "%q is out of order", short(h.Name))
		}
		last = h.Name
		if total += h.Size; h.Size > lim.File || total > lim.Bytes {
			return "", 0, refuse("share.limit", "", "%q is too large: the limit is %d bytes for a file, %d for all", short(h.Name), lim.File, lim.Bytes)
		}
		if err := tw.WriteHeader(k.header(h.Name, h.Size)); err != nil {
			return "", 0, refuse("share.form", "", "%q: %v", short(h.Name), err)
		}
		body := io.TeeReader(tr, tw)
		if err := each(h.Name, h.Size, body); err != nil {
			return "", 0, err
		}
		if _, err := io.Copy(io.Discard, body); err != nil { // what each has not read
			return "", 0, brokenTar(err)
		}
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // what stands behind the end
		return "", 0, brokenTar(err)
	}
	if err := tw.Close(); err != nil {
		return "", 0, brokenTar(err)
	}
	if raw.n != again.n || raw.hex() != again.hex() {
		return "", 0, refuse("share.form", "make it with 'islm rules pack'", "the tar does not have the one form in which its files are shared")
	}
	return raw.hex(), raw.n, nil
}

// badEntry says why an entry may not be unpacked, or "".
func badEntry(h *tar.Header) string {
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeSymlink, tar.TypeLink:
		return "is a link"
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return "is a device"
	default:
		return fmt.Sprintf("is no file (type %q)", h.Typeflag)
	}
	return badPath(h.Name)
}

// brokenTar tells refusals, interruptions and failures of a disk from bytes that
// are no tar.
func brokenTar(err error) error {
	var disk *fs.PathError
	if _, _, ok := sdk.DiagnosticsOf(err); ok || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &disk) {
		return err
	}
	return refuse("share.form", "", "the tar cannot be read: %v", err)
}

// Measure computes the digest and size of the tar that the files of a folder
// make. It works on any file system, also on the embed.FS of a Go module. Hidden
// files make no difference.
func Measure(ctx context.Context, fsys fs.FS, id ID) (Content, error) {
	c, _, err := measure(ctx, fsys, id)
	return c, err
}

func measure(ctx context.Context, fsys fs.FS, id ID) (Content, []string, error) {
	ds := id.check()
	if ds.HasErrors() {
		return Content{}, nil, ds.Err()
	}
	files, skipped, ds, err := list(fsys, id.Kind)
	if err != nil {
		return Content{}, nil, fmt.Errorf("read %s: %w", id, err)
	}
	if err := ds.Err(); err != nil {
		return Content{}, nil, err
	}
	s := newSum()
	if err := writeTar(ctx, s, id.Kind, fsys, files); err != nil {
		return Content{}, nil, fmt.Errorf("read %s: %w", id, err)
	}
	c := Content{ID: id, SHA256: s.hex(), Size: s.n}
	return c, skipped, c.check().Err()
}
