package pickle

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/torch/safetensors"
)

// Limits that no honest file meets.
const (
	maxPickle  = 256 << 20
	maxTensors = 1 << 20
	maxDepth   = 64
)

// File is an open checkpoint.
type File struct {
	zip     *zip.Reader
	file    io.Closer
	prefix  string
	tensors map[string]*tensor
	names   []string
}

// Open reads the structure of a checkpoint; elements are read when asked for.
// Tensors in nested dictionaries are named by their path, joined by dots.
func Open(name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open checkpoint: %w", err), f.Close())
	}
	out, err := Parse(f, info.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", name, err), f.Close())
	}
	out.file = f
	return out, nil
}

// Parse reads a checkpoint of the given size from r, which the File keeps using.
func Parse(r io.ReaderAt, size int64) (*File, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		if legacy(r) {
			return nil, errors.New("this is the format of PyTorch before 1.6; save it again with a newer PyTorch, or as safetensors")
		}
		return nil, fmt.Errorf("not a zip checkpoint of PyTorch: %w", err)
	}
	f := &File{zip: z, tensors: map[string]*tensor{}}
	var data *zip.File
	for _, e := range z.File {
		if path.Base(e.Name) == "data.pkl" && strings.Count(e.Name, "/") <= 1 {
			data, f.prefix = e, strings.TrimSuffix(e.Name, "data.pkl")
			break
		}
	}
	if data == nil {
		return nil, errors.New("the zip has no data.pkl; it is not a checkpoint of PyTorch")
	}
	if order := f.member("byteorder"); order != nil {
		text, err := f.read(order, 16)
		if err != nil {
			return nil, err
		}
		if string(bytes.TrimSpace(text)) != "little" {
			return nil, fmt.Errorf("byte order %q is not supported", text)
		}
	}
	raw, err := f.read(data, maxPickle)
	if err != nil {
		return nil, err
	}
	root, err := unpickle(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", data.Name, err)
	}
	if err := f.collect(root, "", 0); err != nil {
		return nil, err
	}
	for n := range f.tensors {
		f.names = append(f.names, n)
	}
	slices.Sort(f.names)
	return f, nil
}

// Names lists the tensors, sorted.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Entry finds a tensor by name. Its Data are nil; Fill reads them.
func (f *File) Entry(name string) (safetensors.Entry, bool) {
	t, ok := f.tensors[name]
	if !ok {
		return safetensors.Entry{}, false
	}
	return safetensors.Entry{Name: name, DType: t.storage.dtype, Shape: t.shape, Fill: func() ([]byte, error) {
		data, err := f.load(t)
		if err != nil {
			return nil, fmt.Errorf("read tensor %q: %w", name, err)
		}
		return data, nil
	}}, true
}

// Close ends reading.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

// collect names the tensors of a structure.
func (f *File) collect(v any, at string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%q: nested more than %d deep", at, maxDepth)
	}
	join := func(part string) string {
		if at == "" {
			return part
		}
		return at + "." + part
	}
	switch v := v.(type) {
	case *tensor:
		if err := v.check(); err != nil {
			return fmt.Errorf("tensor %q: %w", at, err)
		}
		if _, twice := f.tensors[at]; twice {
			return fmt.Errorf("tensor %q is there twice", at)
		}
		if len(f.tensors) >= maxTensors {
			return fmt.Errorf("more than %d tensors", maxTensors)
		}
		f.tensors[at] = v
	case *dict:
		v.visits++
		if v.visits > 64 {
			return fmt.Errorf("%q: one dictionary is used more than 64 times", at)
		}
		for i, k := range v.keys {
			name := fmt.Sprint(k)
			if err := f.collect(v.values[i], join(name), depth+1); err != nil {
				return err
			}
		}
	case *list:
		v.visits++
		if v.visits > 64 {
			return fmt.Errorf("%q: one list is used more than 64 times", at)
		}
		for i, e := range v.items {
			if err := f.collect(e, join(fmt.Sprint(i)), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// check bounds a tensor by its storage.
func (t *tensor) check() error {
	if t.storage == nil {
		return errors.New("it has no storage")
	}
	if len(t.shape) != len(t.stride) {
		return fmt.Errorf("shape %v and strides %v differ in length", t.shape, t.stride)
	}
	if t.offset < 0 {
		return fmt.Errorf("offset %d is negative", t.offset)
	}
	last, count := uint64(t.offset), uint64(1)
	for i, d := range t.shape {
		if d < 0 || t.stride[i] < 0 {
			return fmt.Errorf("shape %v with strides %v has a negative number", t.shape, t.stride)
		}
		hi, lo := bits.Mul64(count, uint64(d))
		if hi != 0 || lo > math.MaxInt64/16 {
			return fmt.Errorf("shape %v is too large", t.shape)
		}
		count = lo
	}
	if count == 0 {
		return nil
	}
	for i, d := range t.shape {
		hi, lo := bits.Mul64(uint64(d-1), uint64(t.stride[i]))
		if hi != 0 || lo > math.MaxInt64/16 || last+lo > math.MaxInt64/16 {
			return fmt.Errorf("shape %v with strides %v is too large", t.shape, t.stride)
		}
		last += lo
	}
	if last >= uint64(t.storage.numel) {
		return fmt.Errorf("shape %v with strides %v from %d goes beyond its storage of %d elements", t.shape, t.stride, t.offset, t.storage.numel)
	}
	if count > 64*uint64(t.storage.numel) {
		return fmt.Errorf("shape %v repeats a storage of %d elements too often", t.shape, t.storage.numel)
	}
	return nil
}

// load reads a tensor's elements in row-major order.
func (f *File) load(t *tensor) ([]byte, error) {
	size := safetensors.ElementSize(t.storage.dtype)
	count := int64(1)
	for _, d := range t.shape {
		count *= d
	}
	if count == 0 {
		return []byte{}, nil
	}
	m := f.member("data/" + t.storage.key)
	if m == nil {
		return nil, fmt.Errorf("its storage %sdata/%s is not in the file", f.prefix, t.storage.key)
	}
	raw, err := f.read(m, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) < t.storage.numel*size {
		return nil, fmt.Errorf("its storage %s has %d bytes, %d are needed (truncated?)", m.Name, len(raw), t.storage.numel*size)
	}
	if contiguous(t) {
		return raw[t.offset*size : (t.offset+count)*size], nil
	}
	out := make([]byte, 0, count*size)
	index := make([]int64, len(t.shape))
	for {
		at := t.offset
		for i, v := range index {
			at += v * t.stride[i]
		}
		out = append(out, raw[at*size:(at+1)*size]...)
		i := len(index) - 1
		for ; i >= 0; i-- {
			if index[i]++; index[i] < t.shape[i] {
				break
			}
			index[i] = 0
		}
		if i < 0 {
			return out, nil
		}
	}
}

func contiguous(t *tensor) bool {
	want := int64(1)
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] != 1 && t.stride[i] != want {
			return false
		}
		want *= t.shape[i]
	}
	return true
}

func (f *File) member(name string) *zip.File {
	for _, e := range f.zip.File {
		if e.Name == f.prefix+name {
			return e
		}
	}
	return nil
}

// read gives a member's content; a size that its compressed form cannot hold is
// refused before memory is taken for it.
func (f *File) read(m *zip.File, limit uint64) ([]byte, error) {
	n := m.UncompressedSize64
	if n > limit || n/1100 > m.CompressedSize64+1 {
		return nil, fmt.Errorf("%s claims %d bytes, more than it can have", m.Name, n)
	}
	r, err := m.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", m.Name, err)
	}
	defer r.Close()
	var b bytes.Buffer
	if n < 1<<30 || m.Method == zip.Store {
		b.Grow(int(min(n, 1<<32)) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(r); err != nil {
		return nil, fmt.Errorf("read %s: %w", m.Name, err)
	}
	return b.Bytes(), nil
}

// legacy knows the magic number of torch.save before 1.6, a pickled integer.
func legacy(r io.ReaderAt) bool {
	var head [16]byte
	n, _ := r.ReadAt(head[:], 0)
	return n > 4 && head[0] == 0x80 && head[2] == 0x8a && head[3] == 0x0a
}
