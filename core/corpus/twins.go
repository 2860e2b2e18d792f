package corpus

import (
	"math"
	"strings"
	"unicode"
)

// What twins.see says of a text.
const (
	seenNot = iota
	seenSame
	seenNear
)

// twins finds texts that were seen before, word for word or nearly: MinHash of
// shingles of 3 words (Broder 1997), 16 bands of 4 hashes, so that texts with a
// Jaccard similarity of 0.7 are found with probability 0.99; a find counts when
// 0.7 of the 64 hashes agree. It keeps some 500 bytes of each text that stays.
type twins struct {
	mode       string // off | exact | near
	seen       map[uint64]struct{}
	bands      map[uint64]int32 // band's number and hashes -> a text
	signatures [][hashes]uint32
}

const (
	hashes   = 64
	perBand  = 4
	shingle  = 3
	nearEach = 45 // of 64
)

func newTwins(mode string) *twins {
	return &twins{mode: mode, seen: map[uint64]struct{}{}, bands: map[uint64]int32{}}
}

func mix(x uint64) uint64 { // splitmix64
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hashWord(s string) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// see tells whether a text was seen and remembers it if not.
func (t *twins) see(text string) int {
	if t.mode == "off" {
		return seenNot
	}
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	var parts []uint64
	for _, w := range words {
		// Without blanks between words, as in Chinese, each character is one.
		if len(w) > 3 && w[0] >= 0xe3 {
			for _, r := range w {
				parts = append(parts, mix(uint64(r)))
			}
			continue
		}
		parts = append(parts, hashWord(w))
	}
	whole := uint64(len(parts))
	for _, p := range parts {
		whole = mix(whole ^ p)
	}
	if len(parts) == 0 {
		whole = hashWord(text)
	}
	if _, ok := t.seen[whole]; ok {
		return seenSame
	}
	if t.mode != "near" || len(parts) < shingle+2 {
		t.seen[whole] = struct{}{}
		return seenNot
	}
	var sig [hashes]uint32
	for i := range sig {
		sig[i] = math.MaxUint32
	}
	for i := 0; i+shingle <= len(parts); i++ {
		h := mix(parts[i] ^ mix(parts[i+1]^mix(parts[i+2])))
		for k := range sig {
			sig[k] = min(sig[k], uint32(mix(h^uint64(k)*0x9e3779b97f4a7c15)))
		}
	}
	var keys [hashes / perBand]uint64
	for b := range keys {
		key := uint64(b)
		for k := range perBand {
			key = mix(key ^ uint64(sig[b*perBand+k]))
		}
		keys[b] = key
		if at, ok := t.bands[key]; ok {
			same := 0
			for k := range sig {
				if sig[k] == t.signatures[at][k] {
					same++
				}
			}
			if same >= nearEach {
				return seenNear
			}
		}
	}
	t.seen[whole] = struct{}{}
	at := int32(len(t.signatures))
	t.signatures = append(t.signatures, sig)
	for _, key := range keys {
		if _, ok := t.bands[key]; !ok {
			t.bands[key] = at
		}
	}
	return seenNot
}
