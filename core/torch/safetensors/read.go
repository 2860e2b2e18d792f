package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

// maxHeader is the limit of the reference implementation.
const maxHeader = 100_000_000

// Entry is one tensor.
type Entry struct {
	Name  string
	DType string // "F32", "BF16", "I64", …
	Shape []int64
	// Data are the elements, little-endian, in row-major order. Entries of a
	// File share its mapping: they must not be changed, nor used after Close.
	Data []byte
	// Fill gives the elements to Write when Data is nil; it is called once,
	// when their turn comes.
	Fill func() ([]byte, error)
}

// File is an open file, or the shards of one model.
type File struct {
	entries  map[string]Entry
	names    []string
	metadata map[string]string
	unmap    []func() error
}

// Open maps a file and checks its header. Errors name the file and the tensor.
func Open(path string) (*File, error) {
	data, unmap, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("open safetensors: %w", err)
	}
	f, err := parse(data)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), unmap())
	}
	f.unmap = append(f.unmap, unmap)
	return f, nil
}

// OpenModel opens model.safetensors of a folder, or the shards that its
// model.safetensors.index.json names. A folder with neither is fs.ErrNotExist.
func OpenModel(dir string) (*File, error) {
	single := filepath.Join(dir, "model.safetensors")
	if _, err := os.Stat(single); err == nil {
		return Open(single)
	}
	index := single + ".index.json"
	if _, err := os.Stat(index); err != nil {
		return nil, fmt.Errorf("open model: %s has neither model.safetensors nor model.safetensors.index.json: %w", dir, fs.ErrNotExist)
	}
	return OpenIndex(index)
}

// OpenIndex opens all shards named by an index file beside them. A missing
// shard, and a tensor that its shard lacks, are errors that say which.
func OpenIndex(path string) (*File, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("open safetensors index: %w", err)
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("read %s: weight_map is missing or empty", path)
	}
	shards := map[string][]string{}
	for name, shard := range index.WeightMap {
		if shard == "" || !filepath.IsLocal(shard) {
			return nil, fmt.Errorf("read %s: tensor %q: shard %q is not a file beside the index", path, name, shard)
		}
		shards[shard] = append(shards[shard], name)
	}
	out := &File{entries: map[string]Entry{}, metadata: map[string]string{}}
	order := make([]string, 0, len(shards))
	for shard := range shards {
		order = append(order, shard)
	}
	slices.Sort(order)
	for _, shard := range order {
		f, err := Open(filepath.Join(filepath.Dir(path), shard))
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("read %s: shard %s is missing (%d tensors are in it): %w", path, shard, len(shards[shard]), fs.ErrNotExist)
			}
			return nil, errors.Join(err, out.Close())
		}
		out.unmap = append(out.unmap, f.unmap...)
		slices.Sort(shards[shard])
		for _, name := range shards[shard] {
			e, ok := f.entries[name]
			if !ok {
				return nil, errors.Join(fmt.Errorf("read %s: tensor %q is not in shard %s", path, name, shard), out.Close())
			}
			out.entries[name] = e
			out.names = append(out.names, name)
		}
		for k, v := range f.metadata {
			out.metadata[k] = v
		}
	}
	slices.Sort(out.names)
	return out, nil
}

// Parse reads a file that lies in memory; entries share data.
func Parse(data []byte) (*File, error) { return parse(data) }

// Names lists the tensors, sorted.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Entry finds a tensor by name.
func (f *File) Entry(name string) (Entry, bool) {
	e, ok := f.entries[name]
	return e, ok
}

// Metadata is the header's free text, such as format: pt.
func (f *File) Metadata() map[string]string { return f.metadata }

// Close ends the mapping; entries must not be used afterwards.
func (f *File) Close() error {
	var errs []error
	for _, u := range f.unmap {
		errs = append(errs, u())
	}
	f.unmap = nil
	return errors.Join(errs...)
}

// ElementSize is the number of bytes of one element of a type, 0 for an unknown one.
func ElementSize(dtype string) int64 {
	switch dtype {
	case "F64", "I64", "U64":
		return 8
	case "F32", "I32", "U32":
		return 4
	case "F16", "BF16", "I16", "U16":
		return 2
	case "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2":
		return 1
	}
	return 0
}

// Half is the value of an F16, an IEEE 754 binary16.
func Half(h uint16) float32 {
	sign, exp, frac := float64(1), int(h>>10&31), float64(h&1023)
	if h>>15 == 1 {
		sign = -1
	}
	switch exp {
	case 0:
		return float32(sign * math.Ldexp(frac, -24))
	case 31:
		if frac != 0 {
			return float32(math.NaN())
		}
		return float32(sign * math.Inf(1))
	}
	return float32(sign * math.Ldexp(1024+frac, exp-25))
}

type header struct {
	DType   *string  `json:"dtype"`
	Shape   *[]int64 `json:"shape"`
	Offsets *[]int64 `json:"data_offsets"`
}

func parse(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("the file has %d bytes; a safetensors file begins with an 8-byte length", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader {
		return nil, fmt.Errorf("the header claims %d bytes, more than the limit of %d", n, maxHeader)
	}
	if n > uint64(len(data)-8) {
		return nil, fmt.Errorf("the header claims %d bytes, but the file ends after %d (truncated?)", n, len(data)-8)
	}
	body := data[8+n:]
	f := &File{entries: map[string]Entry{}, metadata: map[string]string{}}
	type span struct {
		begin, end int64
		name       string
	}
	var spans []span
	err := members(data[8:8+n], func(name string, raw json.RawMessage) error {
		if name == "__metadata__" {
			if err := json.Unmarshal(raw, &f.metadata); err != nil {
				return fmt.Errorf("__metadata__: %w", err)
			}
			return nil
		}
		if _, twice := f.entries[name]; twice {
			return fmt.Errorf("tensor %q is described twice", name)
		}
		var h header
		if err := strict(raw, &h); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		e, begin, end, err := h.check(int64(len(body)))
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		e.Name, e.Data = name, body[begin:end:end]
		f.entries[name] = e
		spans = append(spans, span{begin, end, name})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	sort.Slice(spans, func(i, j int) bool {
		a, b := spans[i], spans[j]
		if a.begin != b.begin {
			return a.begin < b.begin
		}
		return a.end < b.end
	})
	at := int64(0)
	for _, s := range spans {
		if s.begin < at {
			return nil, fmt.Errorf("tensor %q: its data from byte %d overlap another tensor's up to %d", s.name, s.begin, at)
		}
		if s.begin > at {
			return nil, fmt.Errorf("tensor %q: bytes %d to %d before its data belong to no tensor", s.name, at, s.begin)
		}
		at = s.end
	}
	if at != int64(len(body)) {
		return nil, fmt.Errorf("the tensors end at byte %d of the data, but the file has %d", at, len(body))
	}
	for name := range f.entries {
		f.names = append(f.names, name)
	}
	slices.Sort(f.names)
	return f, nil
}

func (h header) check(limit int64) (e Entry, begin, end int64, err error) {
	switch {
	case h.DType == nil:
		return e, 0, 0, errors.New("dtype is missing")
	case h.Shape == nil:
		return e, 0, 0, errors.New("shape is missing")
	case h.Offsets == nil || len(*h.Offsets) != 2:
		return e, 0, 0, errors.New("data_offsets are not two numbers")
	}
	size := ElementSize(*h.DType)
	if size == 0 {
		return e, 0, 0, fmt.Errorf("dtype %q is unknown", *h.DType)
	}
	need := uint64(size)
	for _, d := range *h.Shape {
		if d < 0 {
			return e, 0, 0, fmt.Errorf("shape %v has a negative size", *h.Shape)
		}
		hi, lo := bits.Mul64(need, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return e, 0, 0, fmt.Errorf("shape %v is too large", *h.Shape)
		}
		need = lo
	}
	begin, end = (*h.Offsets)[0], (*h.Offsets)[1]
	if begin < 0 || end < begin || end > limit {
		return e, 0, 0, fmt.Errorf("data_offsets [%d, %d] do not lie in the %d bytes of data (truncated?)", begin, end, limit)
	}
	if uint64(end-begin) != need {
		return e, 0, 0, fmt.Errorf("shape %v of %s needs %d bytes, data_offsets give %d", *h.Shape, *h.DType, need, end-begin)
	}
	return Entry{DType: *h.DType, Shape: *h.Shape}, begin, end, nil
}

// members walks a JSON object in order, so that a name given twice is seen.
func members(raw []byte, f func(name string, value json.RawMessage) error) error {
	if len(raw) == 0 || raw[0] != '{' {
		return errors.New("it does not begin with {")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return place(d, err)
	}
	seenMeta := false
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return place(d, err)
		}
		name, ok := t.(string)
		if !ok {
			return place(d, fmt.Errorf("want a name, got %v", t))
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return place(d, err)
		}
		if name == "__metadata__" {
			if seenMeta {
				return errors.New("__metadata__ is given twice")
			}
			seenMeta = true
		}
		if err := f(name, v); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return place(d, err)
	}
	if rest := bytes.TrimLeft(raw[d.InputOffset():], " \t\r\n\x00"); len(rest) > 0 {
		return fmt.Errorf("byte %d: text after the closing brace", d.InputOffset())
	}
	return nil
}

func place(d *json.Decoder, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the JSON ends too early")
	}
	return fmt.Errorf("byte %d: %w", d.InputOffset(), err)
}

func strict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
