package token

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Classes of characters as Python's tokenizers sees them, see frozen.go.
const (
	isOther       uint32 = 1 << iota // control, format, private use
	isNonspacing                     // Mn
	isChinese                        // set apart by BertNormalizer
	isMark                           // M
	isPunctuation                    // P and ASCII symbols
	isNumeric                        // N
	isSpace                          // White_Space
	isWord                           // \w of the pre-tokenizers
	decomposes                       // changed by NFKD, Hangul aside
	reorders                         // a combining class other than 0
	hasLower                         // changed by lower-casing
	isRegexSpace                     // \s of regular expressions
	isRegexWord                      // \w of regular expressions
	nmtRemoved
	nmtSpace
	posixAlpha
	posixUpper
	posixLower
	posixPunct
	posixGraph
)

// charTables holds the character classes, unpacked from frozen.go.
type charTables struct {
	ascii     [128]uint32
	index     [0x1100]uint16 // block of 256 code points -> number in blocks
	blocks    [][256]uint32
	lower     map[rune]rune
	lowerBMP  []int32 // differences for the first 0x3000 code points
	catIndex  [0x1100]uint16
	catBlocks [][256]uint8
	catNames  map[string]uint32 // name of a category, or of its first letter -> bits
	scrIndex  [0x1100]uint16
	scrBlocks [][256]uint8 // classes of UnicodeScripts
	letters   uint32       // bits of L
	numbers   uint32       // bits of N
	decomp    map[rune]decomposition
	compose   map[[2]rune]rune
}

type decomposition struct {
	canonical, compatible []rune
}

var loadTables = sync.OnceValue(buildTables)

func buildTables() *charTables {
	t := &charTables{
		lower:    map[rune]rune{0x130: 'i'},
		lowerBMP: make([]int32, 0x3000),
		catNames: map[string]uint32{},
		decomp:   map[rune]decomposition{},
		compose:  map[[2]rune]rune{},
	}
	flags := make([]uint32, utf8.MaxRune+1)
	var decomposed []rune
	for _, set := range []struct {
		data string
		flag uint32
	}{
		{frozenOther, isOther}, {frozenNonspacing, isNonspacing}, {frozenChinese, isChinese}, {frozenMark, isMark},
		{frozenPunctuation, isPunctuation}, {frozenNumeric, isNumeric}, {frozenSpace, isSpace}, {frozenWord, isWord},
		{frozenDecomposes, decomposes}, {frozenReorders, reorders}, {frozenRegexSpace, isRegexSpace},
		{frozenRegexWord, isRegexWord}, {frozenNmtRemoved, nmtRemoved}, {frozenNmtSpace, nmtSpace},
		{frozenPosixAlpha, posixAlpha}, {frozenPosixUpper, posixUpper}, {frozenPosixLower, posixLower},
		{frozenPosixPunct, posixPunct}, {frozenPosixGraph, posixGraph},
	} {
		at := 0
		for numbers := unpack(set.data); len(numbers) >= 2; numbers = numbers[2:] {
			at += int(numbers[0])
			for end := at + int(numbers[1]); at < end && at < len(flags); at++ {
				flags[at] |= set.flag
				if set.flag == decomposes {
					decomposed = append(decomposed, rune(at))
				}
			}
		}
	}
	start := 0
	for runs := unpack(frozenLower); len(runs) >= 4; runs = runs[4:] {
		start += int(runs[0])
		diff := int32(runs[3] >> 1)
		if runs[3]&1 != 0 {
			diff = -diff - 1
		}
		for i := range int(runs[1]) {
			t.lower[rune(start+i*int(runs[2]))] = rune(start+i*int(runs[2])) + diff
		}
	}
	for r, l := range t.lower {
		flags[r] |= hasLower
		if int(r) < len(t.lowerBMP) {
			t.lowerBMP[r] = l - r
		}
	}
	seen := map[[256]uint32]uint16{}
	for b := range t.index {
		block := [256]uint32(flags[b<<8 : b<<8+256])
		n, ok := seen[block]
		if !ok {
			n = uint16(len(t.blocks))
			seen[block] = n
			t.blocks = append(t.blocks, block)
		}
		t.index[b] = n
	}
	copy(t.ascii[:], flags)

	t.catBlocks = blocksOf(frozenCategory, 5, &t.catIndex)
	t.scrBlocks = blocksOf(frozenScripts, 8, &t.scrIndex)
	for i, name := range strings.Fields(frozenCategoryNames) {
		t.catNames[name] = 1 << i
		t.catNames[name[:1]] |= 1 << i
	}
	t.letters, t.numbers = t.catNames["L"], t.catNames["N"]
	t.buildDecompositions(decomposed)
	return t
}

// blocksOf unpacks runs of length<<bits | class into blocks of 256 code points.
func blocksOf(data string, bits int, index *[0x1100]uint16) (blocks [][256]uint8) {
	classes := make([]uint8, utf8.MaxRune+1)
	at := 0
	for _, run := range unpack(data) {
		for end := at + int(run>>bits); at < end && at < len(classes); at++ {
			classes[at] = uint8(run & (1<<bits - 1))
		}
	}
	known := map[[256]uint8]uint16{}
	for b := range index {
		block := [256]uint8(classes[b<<8 : b<<8+256])
		n, ok := known[block]
		if !ok {
			n = uint16(len(blocks))
			known[block] = n
			blocks = append(blocks, block)
		}
		index[b] = n
	}
	return blocks
}

// buildDecompositions takes from x/text what the code points in changed decompose
// to; the set itself is frozen, and a decomposition never changes once assigned.
func (t *charTables) buildDecompositions(changed []rune) {
	for _, r := range changed {
		s := string(r)
		d := decomposition{}
		if p := norm.NFD.PropertiesString(s).Decomposition(); len(p) > 0 {
			d.canonical = []rune(string(p))
		}
		if p := norm.NFKD.PropertiesString(s).Decomposition(); len(p) > 0 {
			d.compatible = []rune(string(p))
		} else {
			d.compatible = d.canonical
		}
		t.decomp[r] = d
		if n := len(d.canonical); n >= 2 && norm.NFC.String(s) == s {
			first := d.canonical[0]
			if n > 2 {
				prefix := []rune(norm.NFC.String(string(d.canonical[:n-1])))
				if len(prefix) != 1 {
					continue
				}
				first = prefix[0]
			}
			t.compose[[2]rune{first, d.canonical[n-1]}] = r
		}
	}
}

// unpack decodes the varints of a constant of frozen.go.
func unpack(data string) []uint64 {
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return nil
	}
	numbers := make([]uint64, 0, len(raw))
	for len(raw) > 0 {
		n, size := binary.Uvarint(raw)
		if size <= 0 {
			return numbers
		}
		numbers = append(numbers, n)
		raw = raw[size:]
	}
	return numbers
}

func (t *charTables) flags(r rune) uint32 {
	if uint32(r) > utf8.MaxRune {
		return 0
	}
	return t.blocks[t.index[uint32(r)>>8]][uint8(r)]
}

func (t *charTables) is(r rune, flag uint32) bool { return t.flags(r)&flag != 0 }

// category is the bit of r's general category.
func (t *charTables) category(r rune) uint32 {
	if uint32(r) > utf8.MaxRune {
		return 1
	}
	return 1 << t.catBlocks[t.catIndex[uint32(r)>>8]][uint8(r)]
}

// script is the class of r's script for UnicodeScripts, 0 where it has none.
func (t *charTables) script(r rune) uint8 {
	return t.scrBlocks[t.scrIndex[uint32(r)>>8]][uint8(r)]
}

// toLower is the lower case of r; U+0130 has a second character, U+0307.
func (t *charTables) toLower(r rune) rune {
	if uint32(r) < uint32(len(t.lowerBMP)) {
		return r + t.lowerBMP[r]
	}
	if l, ok := t.lower[r]; ok {
		return l
	}
	return r
}

// ccc is the canonical combining class of r.
func (t *charTables) ccc(r rune) uint8 {
	if !t.is(r, reorders) {
		return 0
	}
	var buf [utf8.UTFMax]byte
	return norm.NFD.Properties(buf[:utf8.EncodeRune(buf[:], r)]).CCC()
}

const (
	hangulBase  = 0xAC00
	hangulEnd   = 0xD7A4
	jamoL       = 0x1100
	jamoV       = 0x1161
	jamoT       = 0x11A7
	jamoLCount  = 19
	jamoVCount  = 21
	jamoTCount  = 28
	jamoVTCount = jamoVCount * jamoTCount
)

// composed is the character that a and b make, if there is one.
func (t *charTables) composed(a, b rune) (rune, bool) {
	if a >= jamoL && a < jamoL+jamoLCount && b >= jamoV && b < jamoV+jamoVCount {
		return hangulBase + (a-jamoL)*jamoVTCount + (b-jamoV)*jamoTCount, true
	}
	if a >= hangulBase && a < hangulEnd && (a-hangulBase)%jamoTCount == 0 && b > jamoT && b < jamoT+jamoTCount {
		return a + b - jamoT, true
	}
	r, ok := t.compose[[2]rune{a, b}]
	return r, ok
}
