package safetensors

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
)

// Write makes or replaces a file: written beside it under a .tmp name, synced,
// renamed. The bytes depend on the entries and metadata only, not on their
// order: tensors are sorted by element size, largest first, so that all are
// aligned, then by name. On an error the old file stays.
//
// transformers wants metadata "format": "pt", which is added when metadata is
// nil.
func Write(path string, entries []Entry, metadata map[string]string) (err error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
			f.Close()
			os.Remove(tmp)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := WriteTo(w, entries, metadata); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// WriteTo writes the same bytes as Write to w.
func WriteTo(w io.Writer, entries []Entry, metadata map[string]string) error {
	if metadata == nil {
		metadata = map[string]string{"format": "pt"}
	}
	sorted := append([]Entry(nil), entries...)
	sort.SliceStable(sorted, func(i, j int) bool {
		a, b := sorted[i], sorted[j]
		if x, y := ElementSize(a.DType), ElementSize(b.DType); x != y {
			return x > y
		}
		return a.Name < b.Name
	})
	var head bytes.Buffer
	head.WriteString(`{"__metadata__":`)
	if err := encode(&head, metadata); err != nil { // map keys come out sorted
		return err
	}
	seen := make(map[string]bool, len(sorted))
	sizes := make([]int64, len(sorted))
	at := int64(0)
	for i, e := range sorted {
		if seen[e.Name] || e.Name == "__metadata__" {
			return fmt.Errorf("tensor %q: the name is taken", e.Name)
		}
		seen[e.Name] = true
		n := ElementSize(e.DType)
		if n == 0 {
			return fmt.Errorf("tensor %q: dtype %q is unknown", e.Name, e.DType)
		}
		for _, d := range e.Shape {
			if d < 0 {
				return fmt.Errorf("tensor %q: shape %v has a negative size", e.Name, e.Shape)
			}
			n *= d
		}
		sizes[i] = n
		shape := e.Shape
		if shape == nil {
			shape = []int64{}
		}
		head.WriteByte(',')
		if err := encode(&head, e.Name); err != nil {
			return err
		}
		head.WriteByte(':')
		err := encode(&head, struct {
			DType   string   `json:"dtype"`
			Shape   []int64  `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{e.DType, shape, [2]int64{at, at + n}})
		if err != nil {
			return err
		}
		at += n
	}
	head.WriteByte('}')
	for head.Len()%8 != 0 {
		head.WriteByte(' ')
	}
	if head.Len() > maxHeader {
		return fmt.Errorf("the header has %d bytes, more than the limit of %d", head.Len(), maxHeader)
	}
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(head.Len()))
	if _, err := w.Write(length[:]); err != nil {
		return err
	}
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	for i, e := range sorted {
		data := e.Data
		if data == nil && e.Fill != nil {
			var err error
			if data, err = e.Fill(); err != nil {
				return fmt.Errorf("tensor %q: %w", e.Name, err)
			}
		}
		if int64(len(data)) != sizes[i] {
			return fmt.Errorf("tensor %q: shape %v of %s needs %d bytes, got %d", e.Name, e.Shape, e.DType, sizes[i], len(data))
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// encode writes JSON without a newline and without escaping <, > and &.
func encode(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1)
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some file systems cannot sync a folder; the rename has happened then too.
	if err := d.Sync(); err != nil && !errors.Is(err, os.ErrInvalid) && !unsupported(err) {
		return err
	}
	return nil
}
