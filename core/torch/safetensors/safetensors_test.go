package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func sample() []Entry {
	return []Entry{
		{Name: "b.weight", DType: "F32", Shape: []int64{2, 2}, Data: bytes.Repeat([]byte{1, 2, 3, 4}, 4)},
		{Name: "mask", DType: "BOOL", Shape: []int64{3}, Data: []byte{1, 0, 1}},
		{Name: "a.<weight>", DType: "F32", Shape: []int64{1}, Fill: func() ([]byte, error) { return []byte{9, 8, 7, 6}, nil }},
		{Name: "scalar", DType: "I64", Shape: nil, Data: make([]byte, 8)},
		{Name: "empty", DType: "BF16", Shape: []int64{0, 5}},
	}
}

func file(header string, body ...byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), body...)
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	require.NoError(t, Write(path, sample(), nil))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, []string{"a.<weight>", "b.weight", "empty", "mask", "scalar"}, f.Names())
	require.Equal(t, map[string]string{"format": "pt"}, f.Metadata())
	e, ok := f.Entry("a.<weight>")
	require.True(t, ok)
	require.Equal(t, []byte{9, 8, 7, 6}, e.Data)
	e, _ = f.Entry("b.weight")
	require.Equal(t, []int64{2, 2}, e.Shape)
	_, ok = f.Entry("none")
	require.False(t, ok)
	_, err = os.Stat(path + ".tmp")
	require.ErrorIs(t, err, fs.ErrNotExist)

	// The order of entries does not matter.
	var one, two bytes.Buffer
	s := sample()
	require.NoError(t, WriteTo(&one, s, map[string]string{"b": "1", "a": "2"}))
	s[0], s[3] = s[3], s[0]
	require.NoError(t, WriteTo(&two, s, map[string]string{"a": "2", "b": "1"}))
	require.Equal(t, one.Bytes(), two.Bytes())
}

func TestWriteErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.safetensors")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	for name, entries := range map[string][]Entry{
		"the name is taken": {{Name: "a", DType: "U8", Shape: []int64{0}}, {Name: "a", DType: "U8", Shape: []int64{0}}},
		"unknown":           {{Name: "a", DType: "Q4"}},
		"negative":          {{Name: "a", DType: "U8", Shape: []int64{-1}}},
		"needs 4 bytes":     {{Name: "a", DType: "F32", Data: []byte{1}}},
		"no such luck":      {{Name: "a", DType: "U8", Shape: []int64{1}, Fill: func() ([]byte, error) { return nil, errors.New("no such luck") }}},
	} {
		require.ErrorContains(t, Write(path, entries, nil), name)
		old, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "old", string(old))
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, left, 1)
	}
}

func TestMalformed(t *testing.T) {
	f32 := func(name, offsets string) string {
		return `"` + name + `":{"dtype":"F32","shape":[1],"data_offsets":` + offsets + `}`
	}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"empty", "has 0 bytes", nil},
		{"short", "has 3 bytes", []byte{1, 2, 3}},
		{"huge header", "more than the limit", binary.LittleEndian.AppendUint64(nil, 1<<40)},
		{"truncated header", "truncated", binary.LittleEndian.AppendUint64(nil, 100)},
		{"not an object", "does not begin with {", file(`[]`)},
		{"cut JSON", "ends too early", file(`{"a":`)},
		{"bad JSON", "byte ", file(`{"a":}`)},
		{"text after", "after the closing brace", file(`{} x`)},
		{"dtype missing", `tensor "a": dtype is missing`, file(`{"a":{"shape":[],"data_offsets":[0,0]}}`)},
		{"unknown key", `unknown field`, file(`{"a":{"shape":[],"x":1,"data_offsets":[0,0]}}`)},
		{"unknown dtype", `dtype "F99" is unknown`, file(`{"a":{"dtype":"F99","shape":[],"data_offsets":[0,0]}}`)},
		{"negative size", "negative size", file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}`)},
		{"overflow", "too large", file(`{"a":{"dtype":"F32","shape":[4611686018427387904,16],"data_offsets":[0,0]}}`)},
		{"truncated data", "truncated", file(`{`+f32("a", "[0,4]")+`}`, 1, 2)},
		{"reversed", "do not lie", file(`{`+f32("a", "[4,0]")+`}`, 1, 2, 3, 4)},
		{"wrong size", "needs 4 bytes", file(`{`+f32("a", "[0,3]")+`}`, 1, 2, 3)},
		{"overlap", `"b": its data from byte 2 overlap`, file(`{`+f32("a", "[0,4]")+`,`+f32("b", "[2,6]")+`}`, 1, 2, 3, 4, 5, 6)},
		{"hole", "belong to no tensor", file(`{`+f32("a", "[0,4]")+`,`+f32("b", "[5,9]")+`}`, make([]byte, 9)...)},
		{"rest", "but the file has 5", file(`{`+f32("a", "[0,4]")+`}`, make([]byte, 5)...)},
		{"twice", "described twice", file(`{`+f32("a", "[0,4]")+`,`+f32("a", "[4,8]")+`}`, make([]byte, 8)...)},
		{"metadata", "__metadata__", file(`{"__metadata__":{"a":1}}`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.safetensors")
			require.NoError(t, os.WriteFile(path, c.data, 0o644))
			_, err := Open(path)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, path)
		})
	}
}

func TestShards(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenModel(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)

	s := sample()
	require.NoError(t, Write(filepath.Join(dir, "model-1.safetensors"), s[:2], nil))
	require.NoError(t, Write(filepath.Join(dir, "model-2.safetensors"), s[2:], nil))
	index := filepath.Join(dir, "model.safetensors.index.json")
	write := func(text string) { require.NoError(t, os.WriteFile(index, []byte(text), 0o644)) }
	write(`{"metadata":{"total_size":1},"weight_map":{"b.weight":"model-1.safetensors","mask":"model-1.safetensors","scalar":"model-2.safetensors"}}`)
	f, err := OpenModel(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"b.weight", "mask", "scalar"}, f.Names())
	require.NoError(t, f.Close())

	for text, want := range map[string]string{
		`{`:                              "unexpected end",
		`{}`:                             "weight_map is missing",
		`{"weight_map":{"a":"../x"}}`:    "not a file beside",
		`{"weight_map":{"a":"gone.st"}}`: "shard gone.st is missing",
		`{"weight_map":{"zz":"model-1.safetensors"}}`: `tensor "zz" is not in shard`,
	} {
		write(text)
		_, err := OpenModel(dir)
		require.ErrorContains(t, err, want)
	}
}

func TestHalf(t *testing.T) {
	for bits, want := range map[uint16]float32{0x3c00: 1, 0xc000: -2, 0x3555: 0.33325195, 0x0001: 5.9604645e-08, 0x7bff: 65504, 0x8000: 0} {
		require.Equal(t, want, Half(bits))
	}
}

func FuzzParse(f *testing.F) {
	var b bytes.Buffer
	require.NoError(f, WriteTo(&b, sample(), nil))
	f.Add(b.Bytes())
	f.Add(file(`{}`))
	f.Add(file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		// What is accepted can be written and reads the same.
		var entries []Entry
		for _, n := range file.Names() {
			e, _ := file.Entry(n)
			entries = append(entries, e)
		}
		var out bytes.Buffer
		require.NoError(t, WriteTo(&out, entries, file.Metadata()))
		again, err := Parse(out.Bytes())
		require.NoError(t, err)
		require.Equal(t, file.Names(), again.Names())
	})
}
