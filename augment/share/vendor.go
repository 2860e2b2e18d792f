package share

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/islm-dev/islm/sdk"
)

// VendorFolder is the name of the folder, beside a project's lock, that holds what
// is locked so that nothing need be fetched: KIND/NAME, with the signatures in
// KIND/NAME.minisig.
const VendorFolder = "islm_vendor"

// Binary is a plugin's binary that a lock names: it is vendored as
// plugins/islm-plugin-NAME. Locks pin the file itself and not an artifact.
type Binary struct {
	Content
	File string // what is copied; its last element is the name in the folder
}

func (v Vendor) binary(b Binary) string {
	return filepath.Join(v.Dir, Plugin.Folder(), filepath.Base(b.File))
}

// check compares a binary in the folder with its digest.
func (v Vendor) check(b Binary) error {
	sum := sha256.New()
	f, err := os.Open(v.binary(b))
	if errors.Is(err, fs.ErrNotExist) {
		return refuse("share.missing", "islm rules vendor", "%s is locked and not vendored", b.ID)
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", v.Dir, err)
	}
	defer f.Close() //nolint:errcheck // only read
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("look at %s: %w", v.Dir, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != b.SHA256 {
		return refuse("share.digest", "if the lock is right: islm rules vendor", "%s in %s is not what is locked, sha256 %s", b.ID, v.Dir, b.SHA256)
	}
	return nil
}

// Vendor is such a folder.
type Vendor struct{ Dir string }

func (v Vendor) path(id ID) string { return filepath.Join(v.Dir, id.Kind.Folder(), id.Name) }

// offerDir makes an offer of a folder that claims to hold c. Its signatures lie
// beside it.
func offerDir(dir string, c Content) (*offer, error) {
	sigs, err := readSignatureFile(dir + signatureSuffix)
	if err != nil {
		return nil, err
	}
	o := &offer{content: c, signatures: sigs, source: dir}
	o.open = func(ctx context.Context) (io.ReadCloser, error) {
		fsys := os.DirFS(dir)
		files, hidden, ds, err := list(fsys, c.Kind)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", dir, err)
		}
		for _, h := range hidden {
			ds.Errorf("share.entry", "%q is hidden, and nothing hidden was shared", short(h))
		}
		if err := ds.Err(); err != nil {
			return nil, err
		}
		spool, err := os.CreateTemp("", "islm-tar.*"+tmpSuffix)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", dir, err)
		}
		r := &spooled{Reader: spool, file: spool}
		err = writeTar(ctx, spool, c.Kind, fsys, files)
		if err == nil {
			_, err = spool.Seek(0, io.SeekStart)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read %s: %w", dir, err), r.Close())
		}
		return r, nil
	}
	return o, nil
}

// VerifyDir checks an unpacked artifact, with the signatures beside it, against
// policies and lock.
func VerifyDir(ctx context.Context, dir string, id ID, accept Accept) (*Verdict, error) {
	c, err := Measure(ctx, os.DirFS(dir), id)
	if err != nil {
		return nil, err
	}
	o, err := offerDir(dir, c)
	if err != nil {
		return nil, err
	}
	sigs, v, err := o.judge(accept.Policies)
	if err != nil {
		return nil, err
	}
	if err := accept.Compare(c); err != nil {
		return nil, err
	}
	return v, o.receive(ctx, sigs, func(string, int64, io.Reader) error { return nil })
}

// Write makes the folder anew from what the pins name, in one step: all of it or
// nothing. What the store does not hold is fetched, nil for a store that holds all.
// Binaries are copied and compared with their digests.
func (v Vendor) Write(ctx context.Context, s Store, pins []Pin, binaries []Binary, policies []*Policy, fetch func(context.Context, Pin) error) error {
	tmp := v.Dir + "." + random() + tmpSuffix
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return fmt.Errorf("vendor: %w", err)
	}
	defer os.RemoveAll(tmp) // holds what was there before, after the exchange
	sweep(filepath.Dir(v.Dir))
	fresh := Vendor{tmp}
	for _, pin := range pins {
		dir, ok, err := s.Find(ctx, pin)
		if err != nil {
			return err
		}
		if !ok {
			if fetch == nil {
				return missing(pin, s.dir(pin.Kind, pin.SHA256))
			}
			if err := fetch(ctx, pin); err != nil {
				return err
			}
		}
		o, err := offerDir(dir, pin.Content)
		if err != nil {
			return err
		}
		sigs, _, err := o.judge(policies)
		if err != nil {
			return err
		}
		to := fresh.path(pin.ID)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("vendor: %w", err)
		}
		if err := unpack(ctx, o, sigs, to); err != nil {
			return err
		}
		if len(o.signatures) > 0 {
			if err := placeFile(to+signatureSuffix, func(w io.Writer) error { _, err := w.Write(o.signatures); return err }); err != nil {
				return fmt.Errorf("vendor: %w", err)
			}
		}
	}
	for _, b := range binaries {
		if err := fresh.copy(b); err != nil {
			return err
		}
	}
	if err := swap(tmp, v.Dir); err != nil {
		return fmt.Errorf("vendor: %w", err)
	}
	return nil
}

func (v Vendor) copy(b Binary) error {
	to := v.binary(b)
	from, err := os.Open(b.File)
	if err != nil {
		return fmt.Errorf("vendor: %w", err)
	}
	defer from.Close() //nolint:errcheck // only read
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("vendor: %w", err)
	}
	if err := placeFile(to, func(w io.Writer) error { _, err := io.Copy(w, from); return err }); err != nil {
		return fmt.Errorf("vendor: %w", err)
	}
	if err := os.Chmod(to, 0o755); err != nil {
		return fmt.Errorf("vendor: %w", err)
	}
	return v.check(b)
}

// Check compares the folder with the lock and the policies: each pin is there,
// unchanged and acceptable, and nothing else is there. All problems are returned.
func (v Vendor) Check(ctx context.Context, pins []Pin, binaries []Binary, policies []*Policy) (sdk.Diagnostics, error) {
	var ds sdk.Diagnostics
	known := []string{}
	for _, b := range binaries {
		known = append(known, v.binary(b))
		err := v.check(b)
		if problems, _, ok := sdk.DiagnosticsOf(err); ok {
			for _, d := range problems {
				d.File = v.binary(b)
				ds.Add(d)
			}
		} else if err != nil {
			return nil, err
		}
	}
	for _, pin := range pins {
		dir := v.path(pin.ID)
		known = append(known, dir, dir+signatureSuffix)
		o, err := offerDir(dir, pin.Content)
		if err != nil {
			return nil, err
		}
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			ds.Add(sdk.Diagnostic{Code: "share.missing", File: dir, Summary: fmt.Sprintf("%s is locked and not vendored", pin.ID), Remedy: "islm rules vendor"})
			continue
		}
		sigs, _, err := o.judge(policies)
		if err == nil {
			err = o.receive(ctx, sigs, func(string, int64, io.Reader) error { return nil })
		}
		if problems, _, ok := sdk.DiagnosticsOf(err); ok {
			for _, d := range problems {
				if d.File == "" || !filepath.IsAbs(d.File) {
					d.File = dir
				}
				ds.Add(d)
			}
		} else if err != nil {
			return nil, err
		}
	}
	for _, k := range Kinds() {
		there, err := os.ReadDir(filepath.Join(v.Dir, k.Folder()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look at %s: %w", v.Dir, err)
		}
		for _, e := range there {
			if p := filepath.Join(v.Dir, k.Folder(), e.Name()); !slices.Contains(known, p) {
				ds.Add(sdk.Diagnostic{Code: "share.extra", File: p, Summary: fmt.Sprintf("%q is vendored and not locked", short(e.Name())), Remedy: "islm rules vendor"})
			}
		}
	}
	return ds, nil
}

// Locate returns the folder of what is pinned, in the vendor folder or the store,
// after comparing its files with the digest. What is vendored counts alone: a
// changed file in it is an error and no reason to look elsewhere.
func Locate(ctx context.Context, pin Pin, v Vendor, s Store) (string, error) {
	if v.Dir != "" {
		dir := v.path(pin.ID)
		if _, err := os.Lstat(dir); err == nil {
			ok, err := holds(ctx, dir, pin.Content)
			if err == nil && !ok {
				err = refuse("share.digest", "if the lock is right: islm rules vendor", "%s in %s is not what is locked, sha256 %s", pin.ID, dir, pin.SHA256)
			}
			return dir, err
		}
	}
	dir, ok, err := s.Find(ctx, pin)
	if err == nil && !ok {
		err = missing(pin, dir)
	}
	return dir, err
}

func missing(pin Pin, dir string) error {
	return refuse("share.missing", "islm rules pull, which fetches all that is locked", "%s is locked, but not whole in %s", pin.ID, dir)
}

// Extract unpacks an archive into a new folder, to be looked at: form, limits and
// digest are checked, no policy is asked.
func (a *Archive) Extract(ctx context.Context, dir string) error {
	return unpack(ctx, a.offer(), nil, dir)
}

// Extract unpacks what a reference names into a new folder, to be looked at: form,
// limits and digest are checked, no policy is asked.
func (p *Place) Extract(ctx context.Context, dir string) (Content, error) {
	o, err := p.look(ctx)
	if err != nil {
		return Content{}, err
	}
	return o.content, unpack(ctx, o, nil, dir)
}
