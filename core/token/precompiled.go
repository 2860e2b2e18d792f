package token

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// precompiled is SentencePiece's character map: a double-array trie from byte
// strings to offsets in a list of zero-terminated replacements. It is looked up
// for each short grapheme first, then for each character.
type precompiled struct {
	units        []uint32
	replacements string
	ascii        [128]bool // characters that some entry begins with
}

func newPrecompiled(charsmap string) (*precompiled, error) {
	raw, err := base64.StdEncoding.DecodeString(charsmap)
	if err != nil {
		return nil, errors.New("precompiled_charsmap is not base64")
	}
	if len(raw) < 4 {
		return nil, errors.New("precompiled_charsmap is too short")
	}
	size := int64(binary.LittleEndian.Uint32(raw))
	raw = raw[4:]
	if size > int64(len(raw)) || size%4 != 0 || size == 0 {
		return nil, errors.New("precompiled_charsmap has a trie larger than itself")
	}
	p := &precompiled{units: make([]uint32, size/4), replacements: string(raw[size:])}
	for i := range p.units {
		p.units[i] = binary.LittleEndian.Uint32(raw[4*i:])
	}
	if !utf8.ValidString(p.replacements) {
		return nil, errors.New("precompiled_charsmap has replacements that are not UTF-8")
	}
	for c := range p.ascii {
		_, p.ascii[c] = p.lookup(string(rune(c)))
	}
	return p, nil
}

// lookup gives the replacement of the shortest entry that s begins with.
func (p *precompiled) lookup(s string) (string, bool) {
	offset := func(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
	at := offset(p.units[0])
	for i := range len(s) {
		c := s[i]
		if c == 0 {
			return "", false
		}
		at ^= uint32(c)
		if int(at) >= len(p.units) {
			return "", false
		}
		unit := p.units[at]
		if unit&(1<<31|0xFF) != uint32(c) {
			return "", false
		}
		at ^= offset(unit)
		if unit>>8&1 == 1 {
			if int(at) >= len(p.units) {
				return "", false
			}
			value := p.units[at] & (1<<31 - 1)
			if int64(value) > int64(len(p.replacements)) {
				return "", false
			}
			rest := p.replacements[value:]
			if end := strings.IndexByte(rest, 0); end >= 0 {
				rest = rest[:end]
			}
			return rest, true
		}
	}
	return "", false
}

func (p *precompiled) normalize(w *work, v stretch) stretch {
	plain := true
	for i := range len(v.s) {
		if c := v.s[i]; c >= utf8.RuneSelf || p.ascii[c] || c == '\r' {
			plain = false
			break
		}
	}
	if plain {
		return v
	}
	changes, modified := w.changes[:0], false
	replace := func(old, by string) {
		modified = true
		diff := int32(utf8.RuneCountInString(by) - utf8.RuneCountInString(old))
		first := len(changes)
		for _, r := range by {
			changes = append(changes, change{r, 0})
		}
		if diff > 0 {
			for i := len(changes) - 1; i >= first && diff > 0; i-- {
				changes[i].delta = 1
				diff--
			}
		} else if diff < 0 && len(changes) > 0 {
			changes[len(changes)-1].delta += diff
		}
	}
	each := func(text string) {
		for i := 0; i < len(text); {
			r, size := utf8.DecodeRuneInString(text[i:])
			if r < utf8.RuneSelf && !p.ascii[r] {
				changes = append(changes, change{r, 0})
			} else if by, ok := p.lookup(text[i : i+size]); ok {
				replace(text[i:i+size], by)
			} else {
				changes = append(changes, change{r, 0})
			}
			i += size
		}
	}
	for rest := v.s; rest != ""; {
		// An ASCII character before another one is a grapheme, except in CR LF.
		if c := rest[0]; c < utf8.RuneSelf && c != '\r' && (len(rest) == 1 || rest[1] < utf8.RuneSelf) {
			each(rest[:1])
			rest = rest[1:]
			continue
		}
		grapheme, after, _, _ := uniseg.FirstGraphemeClusterInString(rest, -1)
		if len(grapheme) < 6 {
			if by, ok := p.lookup(grapheme); ok {
				replace(grapheme, by)
				rest = after
				continue
			}
		}
		each(grapheme)
		rest = after
	}
	w.changes = changes
	if !modified {
		return v
	}
	return w.transform(v, changes, 0)
}
