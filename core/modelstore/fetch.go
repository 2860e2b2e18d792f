package modelstore

import (
	"context"
	"crypto/sha1" //nolint:gosec // git's own name of a small file, which the hub sends as its etag
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const defaultRetries = 4

// fetch brings one file into the staging folder. The part that has arrived lies
// in NAME.tmp; the whole, once it matches its digest, in NAME.
func (h *Hub) fetch(ctx context.Context, id, commit, stage string, f sibling, p *Progress) (Digests, error) {
	target := filepath.Join(stage, filepath.FromSlash(f.Name))
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return Digests{}, fmt.Errorf("fetch %s of %s: %w", f.Name, id, err)
	}
	if dg, err := digestFile(target); err == nil { // checked by an earlier call
		p.Resumed = dg.Size
		return dg, nil
	}
	retries := h.Retries
	if retries == 0 {
		retries = defaultRetries
	}
	restarted := false
	for try := 0; ; try++ {
		dg, err := h.transfer(ctx, id, commit, target, f, p)
		var mismatch *digestMismatch
		switch {
		case err == nil:
			return dg, nil
		case errors.As(err, &mismatch) && mismatch.resumed && !restarted:
			restarted = true // the earlier part was bad: once more from the start
			try--
			continue
		case errors.As(err, &mismatch):
			return Digests{}, detailed(problem("model.checksum", fmt.Sprintf("%s of %s arrived damaged", f.Name, id), "", "pull again; if it stays so, a proxy or mirror alters the files"),
				mismatch.Error(), nil)
		case !errors.As(err, new(*brokenTransfer)) || try >= retries || ctx.Err() != nil:
			return Digests{}, h.finalError(ctx, id, f.Name, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(time.Duration(1<<try)*100*time.Millisecond, 5*time.Second)):
		}
	}
}

func (h *Hub) finalError(ctx context.Context, id, name string, err error) error {
	var broken *brokenTransfer
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("pull %s: %w", id, context.Cause(ctx))
	case errors.Is(err, syscall.ENOSPC):
		return detailed(problem("model.disk", fmt.Sprintf("no space left for %s of %s", name, id), "", "free some space, or set ISLM_HOME to a larger disk; what has arrived is kept"), err.Error(), err)
	case errors.As(err, &broken):
		return detailed(problem("model.network", fmt.Sprintf("the transfer of %s of %s breaks off", name, id), "", "pull again: it goes on where it stopped"), broken.Unwrap().Error(), err)
	}
	return err
}

// brokenTransfer is a failure that another try may mend.
type brokenTransfer struct{ error }

func (b *brokenTransfer) Unwrap() error { return b.error }

type digestMismatch struct {
	want, got string
	resumed   bool
}

func (d *digestMismatch) Error() string { return "expected " + d.want + ", got " + d.got }

// transfer is one request for what is missing of one file.
func (h *Hub) transfer(ctx context.Context, id, commit, target string, f sibling, p *Progress) (Digests, error) {
	part := target + ".tmp"
	have := int64(0)
	if st, err := os.Stat(part); err == nil {
		have = st.Size()
	}
	if size := f.size(); size >= 0 && have >= size { // complete but unchecked, or too long
		if have == size {
			if dg, err := finish(part, target, f, linked{size: -1}, true); err == nil {
				return dg, nil
			}
		}
		have = 0
		if err := os.Remove(part); err != nil {
			return Digests{}, fmt.Errorf("fetch %s of %s: %w", f.Name, id, err)
		}
	}
	resp, info, err := h.follow(ctx, id, fileURL(h.endpoint(), id, commit, f.Name), have)
	if err != nil {
		if ctx.Err() == nil && hasCode(err, "model.network") {
			return Digests{}, &brokenTransfer{err}
		}
		return Digests{}, err
	}
	defer resp.Body.Close()
	flags := os.O_CREATE | os.O_WRONLY
	switch {
	case resp.StatusCode == http.StatusPartialContent && have > 0 && rangeStart(resp) == have:
		flags |= os.O_APPEND
		p.Resumed = have
	case resp.StatusCode == http.StatusOK:
		flags |= os.O_TRUNC // whole, asked for or not
		have, p.Resumed = 0, 0
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable, resp.StatusCode == http.StatusPartialContent:
		if err := os.Remove(part); err != nil {
			return Digests{}, fmt.Errorf("fetch %s of %s: %w", f.Name, id, err)
		}
		return Digests{}, &brokenTransfer{fmt.Errorf("the hub cannot go on from byte %d", have)}
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return Digests{}, &brokenTransfer{errors.New("the hub answered " + resp.Status)}
	default:
		return Digests{}, h.refused(id, commit, f.Name, resp)
	}
	if info.size < 0 && resp.ContentLength >= 0 {
		info.size = have + resp.ContentLength
	}
	if p.Size < 0 {
		p.Size = info.size
	}
	if err := h.receive(part, flags, have, resp.Body, p); err != nil {
		return Digests{}, err
	}
	return finish(part, target, f, info, have > 0)
}

func rangeStart(resp *http.Response) int64 {
	r, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes ")
	if !ok {
		return -1
	}
	from, _, _ := strings.Cut(r, "-")
	n, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (h *Hub) receive(part string, flags int, have int64, body io.Reader, p *Progress) error {
	out, err := os.OpenFile(part, flags, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", part, err)
	}
	buf := make([]byte, 1<<20)
	done := have
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, werr := out.Write(buf[:n]); werr != nil {
				return errors.Join(fmt.Errorf("write %s: %w", part, werr), out.Close())
			}
			done += int64(n)
			q := *p
			q.Done, q.Total = done, p.Total+done
			h.report(q)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(&brokenTransfer{err}, out.Close())
		}
	}
	if err := out.Sync(); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", part, err), out.Close())
	}
	return out.Close()
}

// finish checks a complete part against everything the hub said and gives it its
// name.
func finish(part, target string, f sibling, info linked, resumed bool) (Digests, error) {
	dg, err := digestFile(part)
	if err != nil {
		return Digests{}, fmt.Errorf("check %s: %w", part, err)
	}
	bad := func(want, got string) (Digests, error) {
		return Digests{}, errors.Join(&digestMismatch{want: want, got: got, resumed: resumed}, os.Remove(part))
	}
	for _, size := range []int64{f.size(), info.size} {
		if size >= 0 && dg.Size < size { // cut off without an error: keep what is there
			return Digests{}, &brokenTransfer{fmt.Errorf("%d of %d bytes arrived", dg.Size, size)}
		}
		if size >= 0 && dg.Size > size {
			return bad(fmt.Sprintf("%d bytes", size), fmt.Sprintf("%d bytes", dg.Size))
		}
	}
	if f.LFS != nil && f.LFS.SHA256 != "" && f.LFS.SHA256 != dg.SHA256 {
		return bad("sha256 "+f.LFS.SHA256, dg.SHA256)
	}
	switch {
	case isHex(info.etag, 64) && info.etag != dg.SHA256:
		return bad("sha256 "+info.etag, dg.SHA256)
	case isHex(info.etag, 40) && info.commit != "": // git's blob name; only a real hub names the commit, too
		blob, err := gitBlob(part, dg.Size)
		if err != nil {
			return Digests{}, fmt.Errorf("check %s: %w", part, err)
		}
		if blob != info.etag {
			return bad("git blob "+info.etag, blob)
		}
	}
	if err := os.Rename(part, target); err != nil {
		return Digests{}, fmt.Errorf("keep %s: %w", target, err)
	}
	return dg, nil
}

func isHex(s string, n int) bool {
	_, err := hex.DecodeString(s)
	return len(s) == n && err == nil
}

// gitBlob is the name that git gives to a file's content: sha1 over a header with
// its size and the bytes.
func gitBlob(path string, size int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha1.New() //nolint:gosec
	fmt.Fprintf(h, "blob %d\x00", size)
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
