package gazetteer

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOpenAtAnyAddress(t *testing.T) {
	m := Build(number("alpha", "alphabet", "中国"), full)
	b, err := m.AppendBinary(nil)
	require.NoError(t, err)
	for shift := range 8 {
		moved := append(make([]byte, shift, shift+len(b)), b...)[shift:]
		again, err := Open(moved)
		require.NoError(t, err)
		assert.Equal(t, []uint32{1}, again.Lookup("Alphabet"))
		back, err := again.AppendBinary([]byte("before"))
		require.NoError(t, err)
		assert.Equal(t, b, back[len("before"):])
	}
}

func TestOpenRefuses(t *testing.T) {
	good, err := Build(number("alpha", "alphabet", "beta"), full).AppendBinary(nil)
	require.NoError(t, err)
	le := binary.LittleEndian
	u32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint32(b[at:], v); return b }
	}
	cells := int(le.Uint32(good[16:]))
	tailAt := headerSize + cells*8
	for _, c := range []struct {
		title string
		edit  func([]byte) []byte
		sum   bool // make the checksum right again
		says  string
	}{
		{"nothing", func([]byte) []byte { return nil }, false, "begin with"},
		{"another file", func(b []byte) []byte { b[0]++; return b }, false, "begin with"},
		{"cut off", func(b []byte) []byte { return b[:len(b)-8] }, false, "should be"},
		{"something behind", func(b []byte) []byte { return append(b, 0) }, false, "should be"},
		{"a later version", u32(12, 1<<5), true, "later version"},
		{"a flipped bit", func(b []byte) []byte { b[tailAt+1] ^= 4; return b }, false, "damaged"},
		{"a base outside", u32(headerSize+4, 1<<20), true, "leads to cell"},
		{"a base outside in a cell not in use", func(b []byte) []byte {
			le.PutUint32(b[headerSize:], noParent)
			le.PutUint32(b[headerSize+4:], 1<<20)
			return b
		}, true, "leads to cell"},
		{"the root a leaf", u32(headerSize+4, leaf), true, "root"},
		{"an end that is none", u32(headerSize+4, final), true, "ends in no name"},
		{"tails out of order", u32(tailAt, 3), true, "tails"},
		{"tails outside", u32(tailAt+12, 99), true, "tails"},
		{"ids out of order", u32(tailAt+16+4, 99), true, "ids"},
		{"ids that do not begin", u32(tailAt+16, 1), true, "ids"},
	} {
		t.Run(c.title, func(t *testing.T) {
			b := c.edit(slices.Clone(good))
			if c.sum {
				le.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli()))
			}
			_, err := Open(b)
			require.ErrorIs(t, err, ErrInvalid)
			assert.ErrorContains(t, err, c.says)
		})
	}
}

// FuzzOpen: no bytes make Open or a search in what it opened fail.
func FuzzOpen(f *testing.F) {
	for _, names := range [][]string{nil, {"a"}, {"alpha", "alphabet", "beta", "中国", "中"}, syllables(60)} {
		b, err := Build(number(names...), full).AppendBinary(nil)
		require.NoError(f, err)
		f.Add(b, "alpha beta 中国 a", false)
		f.Add(b, "alphabets\xff", true)
	}
	f.Fuzz(func(t *testing.T, b []byte, text string, sum bool) {
		if sum && len(b) >= headerSize { // get behind the checksum
			b = slices.Clone(b)
			binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli()))
		}
		m, err := Open(b)
		if err != nil {
			return
		}
		searchAll(t, m, text)
	})
}

// FuzzText: no text makes a search fail, and matches lie as they should.
func FuzzText(f *testing.F) {
	f.Add("a b", "a b  a\n\nb", uint8(15))
	f.Add("ガ", "ｶﾞガ\xff\xe4\xb8", uint8(7))
	f.Add("İẞ", "i̇ß", uint8(1))
	f.Add("virus", "viruses viruss", uint8(31))
	f.Fuzz(func(t *testing.T, name, text string, flags uint8) {
		m := Build(number(name, name+"x", text, "a"), Options{FoldCase: flags&1 != 0, FoldWidth: flags&2 != 0, Words: flags&4 != 0, FoldSpace: flags&8 != 0, Plurals: flags&16 != 0})
		searchAll(t, m, text)
		searchAll(t, reopened(t, m), name)
	})
}

func searchAll(t *testing.T, m *Matcher, text string) {
	last := 0
	for f := range m.All(text) {
		if f.Start < last || f.End <= f.Start || f.End > len(text) {
			t.Fatalf("match %d-%d after %d in %d bytes", f.Start, f.End, last, len(text))
		}
		if !utf8.ValidString(text[f.Start:f.End]) {
			t.Fatalf("match %q cuts a rune", text[f.Start:f.End])
		}
		last = f.End
	}
	m.Lookup(text)
}
