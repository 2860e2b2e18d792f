package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/islm-dev/islm/sdk"
)

// Installed is an artifact that lies unpacked in a folder.
type Installed struct {
	Verdict
	Dir    string `json:"dir"`
	Source string `json:"source,omitempty"`
}

// Pin is what the lock is to hold of it.
func (in *Installed) Pin() Pin { return Pin{Content: in.Content, Source: in.Source} }

// Accept says what may be installed.
type Accept struct {
	Kind     Kind // "" for any
	Policies []*Policy
	// Locked looks up the lock, nil where there is none. What is locked is accepted
	// only as locked, unless Update is set; a version never changes its content, and
	// no update goes back to an older version.
	Locked func(k Kind, name string) (Pin, bool)
	Update bool
	// Inspect looks at the unpacked files before they are installed; its error
	// keeps them out. nil for no more to ask.
	Inspect func(c Content, dir string) error
}

// Compare compares what is offered with the lock.
func (a Accept) Compare(c Content) error {
	if a.Kind != "" && c.Kind != a.Kind {
		return refuse("share.kind", "", "this is a %s, a %s is wanted", c.Kind, a.Kind)
	}
	if a.Locked == nil {
		return nil
	}
	pin, ok := a.Locked(c.Kind, c.Name)
	if !ok || pin.SHA256 == c.SHA256 && pin.Version == c.Version {
		return nil
	}
	detail := fmt.Sprintf("locked:  %s, sha256 %s\noffered: %s, sha256 %s", pin.Version, pin.SHA256, c.Version, c.SHA256)
	d := sdk.Diagnostic{Severity: sdk.Error, Detail: detail}
	switch order := compareVersions(c.Version, pin.Version); {
	case order < 0:
		d.Code, d.Summary = "share.downgrade", fmt.Sprintf("%s is older than %s, which is locked", c.ID, pin.Version)
		d.Remedy = "if you mean it, take its entry out of the lock first"
	case order == 0:
		d.Code, d.Summary = "share.moved", fmt.Sprintf("%s is not what was locked under this version", c.ID)
		d.Remedy = "a version never changes: ask the publisher what happened"
	case !a.Update:
		d.Code, d.Summary = "share.moved", fmt.Sprintf("%s is offered, %s is locked", c.ID, pin.Version)
		d.Remedy = "look at what changed with 'islm rules diff', then pull with --update"
	default:
		return nil
	}
	return sdk.Diagnostics{d}.Err()
}

// Store is the place in ISLM_HOME where artifacts lie unpacked, each under its
// digest: FOLDER/SHA256, its signatures beside it in FOLDER/SHA256.minisig. What is
// there never changes.
type Store struct{ Home string }

func (s Store) dir(k Kind, digest string) string { return filepath.Join(s.Home, k.Folder(), digest) }

// Find returns the folder of what is pinned, after comparing its files with the
// digest. ok is false where it is not there.
func (s Store) Find(ctx context.Context, pin Pin) (dir string, ok bool, err error) {
	dir = s.dir(pin.Kind, pin.SHA256)
	ok, err = holds(ctx, dir, pin.Content)
	return dir, ok, err
}

// Install puts an archive into the store.
func (s Store) Install(ctx context.Context, a *Archive, accept Accept) (*Installed, error) {
	return s.install(ctx, a.offer(), accept)
}

// install puts an offer into the store. It unpacks into FOLDER/SHA256.*.tmp and
// renames, so that the folder is whole or absent at any moment.
func (s Store) install(ctx context.Context, o *offer, accept Accept) (*Installed, error) {
	sigs, v, err := o.judge(accept.Policies)
	if err != nil {
		return nil, err
	}
	if err := accept.Compare(o.content); err != nil {
		return nil, err
	}
	target := s.dir(o.content.Kind, o.content.SHA256)
	in := &Installed{Verdict: *v, Dir: target, Source: o.source}
	parent, made := filepath.Dir(target), false
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		made = true
	}
	fail := func(err error) (*Installed, error) {
		if made {
			_ = os.Remove(parent) // only if empty, as it was not there before
		}
		return nil, err
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("install %s: %w", o.content.ID, err)
	}
	sweep(parent)
	tmp := target + "." + random() + tmpSuffix
	defer os.RemoveAll(tmp) // nothing is left to remove after the rename
	if err := unpack(ctx, o, sigs, tmp); err != nil {
		return fail(err)
	}
	if accept.Inspect != nil {
		if err := accept.Inspect(o.content, tmp); err != nil {
			return fail(err)
		}
	}
	if ok, err := holds(ctx, target, o.content); err != nil {
		return fail(err)
	} else if !ok {
		if err := swap(tmp, target); err != nil {
			return fail(fmt.Errorf("install %s: %w", o.content.ID, err))
		}
	}
	if len(o.signatures) > 0 {
		if err := placeFile(target+signatureSuffix, func(w io.Writer) error { _, err := w.Write(o.signatures); return err }); err != nil {
			return nil, fmt.Errorf("install %s: %w", o.content.ID, err)
		}
	}
	return in, nil
}

// unpack receives an offer into a new folder and removes it again if anything is
// wrong.
func unpack(ctx context.Context, o *offer, sigs []judged, dir string) (err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("unpack %s: %w", o.content.ID, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	root, err := os.OpenRoot(dir) // no path leads out of it, whatever it is
	if err != nil {
		return fmt.Errorf("unpack %s: %w", o.content.ID, err)
	}
	defer root.Close()
	err = o.receive(ctx, sigs, func(name string, _ int64, r io.Reader) error {
		if d := path.Dir(name); d != "." {
			if err := root.MkdirAll(d, 0o755); err != nil {
				return fmt.Errorf("unpack %s: %w", o.content.ID, err)
			}
		}
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, o.content.Kind.mode(name))
		if err != nil {
			return fmt.Errorf("unpack %s: %w", o.content.ID, err)
		}
		// No sync: whoever uses a folder compares its files with the digest, so that
		// what a power failure swallows is found missing.
		_, err = io.Copy(f, r)
		if err = errors.Join(err, f.Close()); err != nil {
			return brokenTar(err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return checkPackID(o.content.ID, root.FS())
}

// holds reports whether a folder holds exactly the files of c, hidden ones
// included.
func holds(ctx context.Context, dir string, c Content) (bool, error) {
	if st, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("look at %s: %w", dir, err)
	} else if !st.IsDir() {
		return false, nil
	}
	got, skipped, err := measure(ctx, os.DirFS(dir), c.ID)
	if _, _, ok := sdk.DiagnosticsOf(err); ok {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return got == c && len(skipped) == 0, nil
}

const (
	tmpSuffix = ".tmp"
	staleTmp  = 24 * time.Hour
)

// sweep removes what an interrupted installation left long ago.
func sweep(dir string) {
	stale, err := filepath.Glob(filepath.Join(dir, "*"+tmpSuffix))
	if err != nil {
		return
	}
	for _, p := range stale {
		if st, err := os.Lstat(p); err == nil && time.Since(st.ModTime()) > staleTmp {
			_ = os.RemoveAll(p) // the next installation tries again
		}
	}
}

// swap puts the folder tmp in the place of target. What was there lies in tmp
// afterwards, or is gone.
func swap(tmp, target string) error {
	if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(tmp, target)
	}
	if err := exchange(tmp, target); err == nil {
		return nil
	}
	// Without an exchange in one step: for a moment nothing is there, and a crash
	// in it leaves the old folder under its other name.
	old := target + "." + random() + ".old" + tmpSuffix
	if err := os.Rename(target, old); err != nil {
		return err
	}
	if err := os.Rename(tmp, target); err != nil {
		return errors.Join(err, os.Rename(old, target))
	}
	return os.RemoveAll(old)
}
