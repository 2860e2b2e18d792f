package kg

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/islm-dev/islm/sdk"
)

// Format names the form of stores. A store of another format is refused.
const Format = "islm.kg/1"

// headerName is the file that makes a folder a store; it is written last.
const headerName = "islm-kg.json"

// header is the content of islm-kg.json.
type header struct {
	Info
	Files []fileSum `json:"files"`
	// Sum is the CRC-32C of the header as JSON with Sum 0.
	Sum uint32 `json:"sum"`
}

type fileSum struct {
	Name  string `json:"name"`
	Size  int64  `json:"size"`
	CRC32 uint32 `json:"crc32c"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h header) sum() (uint32, error) {
	h.Sum = 0
	raw, err := json.Marshal(h)
	if err != nil {
		return 0, fmt.Errorf("write the header: %w", err)
	}
	return crc32.Checksum(raw, castagnoli), nil
}

func sumFile(path string) (sum uint32, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	h := crc32.New(castagnoli)
	size, err = io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return h.Sum32(), size, errors.Join(err, f.Close())
}

// seal computes the digest of the graph in a finished Badger folder and writes the
// header.
func seal(ctx context.Context, dir string, info *Info) (err error) {
	s, err := openPages(dir, header{Info: *info})
	if err != nil {
		return err
	}
	h := sha256.New()
	err = errors.Join(s.WriteNTriples(ctx, h), s.Close())
	if err != nil {
		return err
	}
	info.Digest = hex.EncodeToString(h.Sum(nil))
	head := header{Info: *info}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("seal the store: %w", err)
	}
	for _, e := range entries {
		sum, size, err := sumFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("seal the store: %w", err)
		}
		head.Files = append(head.Files, fileSum{e.Name(), size, sum})
	}
	if head.Sum, err = head.sum(); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(head, "", " ")
	if err != nil {
		return fmt.Errorf("seal the store: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, headerName))
	if err == nil {
		_, err = f.Write(append(raw, '\n'))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("seal the store: %w", err)
	}
	return nil
}

// readHeader checks that a folder is a whole store before anything else looks at
// it, and is a diagnostic if it is not.
func readHeader(dir string) (head header, err error) {
	fault := func(code, remedy, format string, args ...any) (header, error) {
		return header{}, &sdk.DiagnosticsError{Fatal: true, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: code, File: dir, Remedy: remedy, Summary: fmt.Sprintf(format, args...)}}}
	}
	const again = "build it again with 'islm kg import', or copy the whole folder anew"
	raw, err := os.ReadFile(filepath.Join(dir, headerName))
	if errors.Is(err, fs.ErrNotExist) {
		if _, serr := os.Stat(dir); errors.Is(serr, fs.ErrNotExist) {
			return fault("kg.missing", "make it with 'islm kg import --in FILE --out "+dir+"'", "there is no knowledge graph")
		}
		return fault("kg.foreign", "name the folder that 'islm kg import --out' made", "the folder is no knowledge graph: it has no %s", headerName)
	}
	if err != nil {
		return fault("kg.unreadable", "", "the header cannot be read: %v", err)
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return fault("kg.damaged", again, "%s is damaged: %v", headerName, err)
	}
	if sum, err := head.sum(); err != nil || sum != head.Sum {
		return fault("kg.damaged", again, "%s is damaged: its checksum does not fit", headerName)
	}
	if head.Format != Format {
		return fault("kg.version", "build it again with this version of islm", "the knowledge graph has format %q, this program reads %q", head.Format, Format)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fault("kg.unreadable", "", "the folder cannot be read: %v", err)
	}
	for _, e := range entries {
		if e.Name() != headerName && !slices.ContainsFunc(head.Files, func(f fileSum) bool { return f.Name == e.Name() }) {
			return fault("kg.foreign", "remove the file, or build the graph again", "%s does not belong to the knowledge graph", e.Name())
		}
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	problems := make([]string, len(head.Files))
	for i, f := range head.Files {
		g.Go(func() error {
			switch sum, size, err := sumFile(filepath.Join(dir, filepath.Base(f.Name))); {
			case errors.Is(err, fs.ErrNotExist):
				problems[i] = f.Name + " is missing"
			case err != nil:
				problems[i] = fmt.Sprintf("%s cannot be read: %v", f.Name, err)
			case size != f.Size:
				problems[i] = fmt.Sprintf("%s has %d bytes instead of %d", f.Name, size, f.Size)
			case sum != f.CRC32:
				problems[i] = f.Name + " has changed: its checksum does not fit"
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return header{}, err
	}
	for _, p := range problems {
		if p != "" {
			return fault("kg.damaged", again, "the knowledge graph is damaged: %s", p)
		}
	}
	return head, nil
}
