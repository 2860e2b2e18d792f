package pickle

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func f32(data []byte) []float32 {
	out := make([]float32, len(data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return out
}

func TestFlat(t *testing.T) {
	f, err := Open("testdata/flat.bin")
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, []string{"a", "b", "bert.part", "bert.scalar", "bert.transposed", "bert.weight", "brain", "broadcast",
		"bytes", "flags", "half", "ids", "none", "small"}, f.Names())
	for _, c := range []struct {
		name, dtype string
		shape       []int64
		data        []byte
	}{
		{"bert.scalar", "F64", []int64{}, binary.LittleEndian.AppendUint64(nil, math.Float64bits(3.5))},
		{"half", "F16", []int64{2}, []byte{0, 0x3c, 0, 0xc0}},
		{"brain", "BF16", []int64{3}, []byte{0x80, 0x3f, 0, 0xc0, 0x40, 0x40}},
		{"small", "I32", []int64{2}, []byte{255, 255, 255, 255, 5, 0, 0, 0}},
		{"flags", "BOOL", []int64{3}, []byte{1, 0, 1}},
		{"bytes", "U8", []int64{2}, []byte{250, 1}},
		{"none", "F32", []int64{0, 3}, []byte{}},
	} {
		e, ok := f.Entry(c.name)
		require.True(t, ok, c.name)
		require.Equal(t, c.dtype, e.DType, c.name)
		require.Equal(t, c.shape, e.Shape, c.name)
		data, err := e.Fill()
		require.NoError(t, err, c.name)
		require.Equal(t, c.data, data, c.name)
	}
	for name, want := range map[string][]float32{
		"bert.transposed": {0, 6, 12, 18, 1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23},
		"bert.part":       {8, 9, 10, 14, 15, 16},
		"a":               {0.5, -1.5, 2, 0.25},
		"b":               {0.5, -1.5, 2, 0.25},
		"broadcast":       {7, 7, 7, 7, 7, 7},
	} {
		e, _ := f.Entry(name)
		data, err := e.Fill()
		require.NoError(t, err)
		require.Equal(t, want, f32(data), name)
	}
	_, ok := f.Entry("nothing")
	require.False(t, ok)
}

func TestNested(t *testing.T) {
	f, err := Open("testdata/nested.bin")
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, []string{"lists.0", "model.5", "model.w"}, f.Names())
}

func TestRefused(t *testing.T) {
	for file, want := range map[string]string{
		"evil.bin":    `"posix.system", which this reader refuses`,
		"refused.bin": `PurePosixPath", which this reader refuses`,
		"legacy.bin":  "PyTorch before 1.6",
		"gone.bin":    "no such file",
	} {
		_, err := Open(filepath.Join("testdata", file))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, file)
	}
	dir := t.TempDir()
	for name, c := range map[string]struct{ pickle, want string }{
		"empty":      {"", "ends too early"},
		"opcode":     {"\x80\x02i.", "opcode 0x69"},
		"stack":      {"\x80\x02.", "stack is empty"},
		"no mark":    {"\x80\x02t.", "no mark"},
		"memo":       {"\x80\x02h\x05.", "memo 5 is empty"},
		"protocol":   {"\x80\x09.", "protocol 9"},
		"call":       {"\x80\x02NN" + "R.", "which this reader refuses"},
		"attributes": {"\x80\x02NN" + "b.", "attributes are set"},
		"key":        {"\x80\x02})N" + "s.", "dictionary key"},
		"id":         {"\x80\x02NQ.", "persistent id"},
	} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.Create("archive/data.pkl")
		require.NoError(t, err)
		_, err = w.Write([]byte(c.pickle))
		require.NoError(t, err)
		require.NoError(t, z.Close())
		path := filepath.Join(dir, "x.bin")
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
		_, err = Open(path)
		require.ErrorContains(t, err, c.want, name)
	}
	path := filepath.Join(dir, "cut.bin")
	whole, err := os.ReadFile("testdata/flat.bin")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, whole[:len(whole)/2], 0o644))
	_, err = Open(path)
	require.ErrorContains(t, err, "not a zip checkpoint")
}

func TestBounds(t *testing.T) {
	s := &storage{dtype: "F32", key: "0", numel: 10}
	for want, x := range map[string]*tensor{
		"beyond its storage": {storage: s, shape: []int64{3, 4}, stride: []int64{4, 1}},
		"negative":           {storage: s, offset: -1},
		"negative number":    {storage: s, shape: []int64{-1}, stride: []int64{1}},
		"too large":          {storage: s, shape: []int64{1 << 40, 1 << 40}, stride: []int64{0, 0}},
		"too often":          {storage: s, shape: []int64{1 << 30}, stride: []int64{0}},
		"differ in length":   {storage: s, shape: []int64{1}},
		"no storage":         {},
	} {
		require.ErrorContains(t, x.check(), want)
	}
	require.NoError(t, (&tensor{storage: s, offset: 9}).check())
	require.NoError(t, (&tensor{storage: s, shape: []int64{0, 100}, stride: []int64{100, 1}}).check())
}

func FuzzUnpickle(f *testing.F) {
	for _, name := range []string{"flat.bin", "nested.bin", "refused.bin"} {
		z, err := zip.OpenReader(filepath.Join("testdata", name))
		require.NoError(f, err)
		for _, m := range z.File {
			if filepath.Base(m.Name) != "data.pkl" {
				continue
			}
			r, err := m.Open()
			require.NoError(f, err)
			var b bytes.Buffer
			_, err = b.ReadFrom(r)
			require.NoError(f, err)
			f.Add(b.Bytes())
		}
		require.NoError(f, z.Close())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := unpickle(data)
		if err != nil {
			return
		}
		out := &File{tensors: map[string]*tensor{}, zip: &zip.Reader{}}
		if out.collect(v, "", 0) != nil {
			return
		}
		for name := range out.tensors {
			e, _ := out.Entry(name)
			_, _ = e.Fill()
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"flat.bin", "nested.bin", "evil.bin"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, name := range file.Names() {
			e, _ := file.Entry(name)
			_, _ = e.Fill()
		}
	})
}
