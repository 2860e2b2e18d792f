package augment

import (
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/islm-dev/islm/sdk"
)

// fileSet is rule files as they come from a plugin, as a file system.
type fileSet []sdk.RuleFile

// Open opens a file, or a folder for listing.
func (s fileSet) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	for _, f := range s {
		if f.Path == name {
			return &openFile{info: fileInfo{path.Base(name), int64(len(f.Data)), false}, Reader: strings.NewReader(string(f.Data))}, nil
		}
	}
	entries, ok := s.folder(name)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &openFile{info: fileInfo{path.Base(name), 0, true}, Reader: strings.NewReader(""), entries: entries}, nil
}

func (s fileSet) folder(name string) ([]fs.DirEntry, bool) {
	prefix := name + "/"
	if name == "." {
		prefix = ""
	}
	var entries []fs.DirEntry
	for _, f := range s {
		rest, ok := strings.CutPrefix(f.Path, prefix)
		if !ok {
			continue
		}
		first, _, deeper := strings.Cut(rest, "/")
		info := fileInfo{first, int64(len(f.Data)), deeper}
		if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == first }) {
			entries = append(entries, fs.FileInfoToDirEntry(info))
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, len(entries) > 0 || name == "."
}

type fileInfo struct {
	name string
	size int64
	dir  bool
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return i.dir }
func (i fileInfo) Sys() any           { return nil }
func (i fileInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type openFile struct {
	info fileInfo
	*strings.Reader
	entries []fs.DirEntry
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }
func (f *openFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(f.entries) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(f.entries) {
		n = len(f.entries)
	}
	some := f.entries[:n]
	f.entries = f.entries[n:]
	return some, nil
}
