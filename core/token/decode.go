package token

import (
	"strings"
	"unicode/utf8"
)

// decoder turns pieces back into text: a list in, a list out, so that decoders
// can follow one another.
type decoder interface {
	decode(w *work, pieces []string) []string
}

// Decode gives the text of ids. bare leaves out special tokens. Ids that the
// vocabulary does not have are skipped. Added tokens that are looked for in
// normalized text appear as they are written there, as the decoder expects.
func (t *Tokenizer) Decode(ids []int32, bare bool) string {
	pieces := make([]string, 0, len(ids))
	added := t.added.Load()
	for _, id := range ids {
		if i, ok := added.byID[id]; ok {
			if !bare || !added.tokens[i].Special {
				pieces = append(pieces, added.shown[i])
			}
			continue
		}
		if p := t.Piece(id); p != "" {
			pieces = append(pieces, p)
		}
	}
	if t.decoder == nil {
		return strings.Join(pieces, " ")
	}
	return strings.Join(t.decoder.decode(&work{}, pieces), "")
}

type decoders []decoder

func (d decoders) decode(w *work, pieces []string) []string {
	for _, one := range d {
		pieces = one.decode(w, pieces)
	}
	return pieces
}

// byteDecoder turns the characters that ByteLevel writes back into bytes.
type byteDecoder struct{}

func (byteDecoder) decode(_ *work, pieces []string) []string {
	var raw []byte
	for _, p := range pieces {
		before := len(raw)
		for _, r := range p {
			b, ok := runeToByte(r)
			if !ok { // not written by ByteLevel, as added tokens
				raw = append(raw[:before], p...)
				break
			}
			raw = append(raw, b)
		}
	}
	return []string{lossy(raw)}
}

// lossy replaces what is no UTF-8 by U+FFFD: one for each longest start of a
// character (Unicode 15, section 3.9, substitution of maximal subparts).
func lossy(raw []byte) string {
	if utf8.Valid(raw) {
		return string(raw)
	}
	var b strings.Builder
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRune(raw[i:])
		if r != utf8.RuneError || size > 1 {
			b.WriteRune(r)
			i += size
			continue
		}
		b.WriteRune(utf8.RuneError)
		i += subpart(raw[i:])
	}
	return b.String()
}

// subpart is the length of the start of a character at the begin of raw, at least 1.
func subpart(raw []byte) int {
	low, high, more := byte(0x80), byte(0xBF), 0
	switch c := raw[0]; {
	case c >= 0xC2 && c <= 0xDF:
		more = 1
	case c >= 0xE0 && c <= 0xEF:
		more = 2
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		more = 3
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for ; n <= more && n < len(raw) && raw[n] >= low && raw[n] <= high; n++ {
		low, high = 0x80, 0xBF
	}
	return n
}

// wordPieceDecoder joins pieces inside words and puts spaces between words.
type wordPieceDecoder struct {
	prefix  string
	cleanup bool
}

func (d wordPieceDecoder) decode(_ *work, pieces []string) []string {
	out := make([]string, len(pieces))
	for i, p := range pieces {
		if i > 0 {
			if rest, ok := strings.CutPrefix(p, d.prefix); ok {
				p = rest
			} else {
				p = " " + p
			}
		}
		if d.cleanup {
			p = cleanup(p)
		}
		out[i] = p
	}
	return out
}

// cleanup takes back the spaces that splitting English text puts in.
func cleanup(s string) string {
	for _, pair := range [][2]string{
		{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"},
		{" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
	} {
		s = strings.ReplaceAll(s, pair[0], pair[1])
	}
	return s
}

// metaspaceDecoder turns the replacement character back into spaces.
type metaspaceDecoder struct {
	text   string
	prefix bool // the first piece begins with one too many
}

func (d metaspaceDecoder) decode(_ *work, pieces []string) []string {
	out := make([]string, len(pieces))
	for i, p := range pieces {
		if i == 0 && d.prefix {
			out[i] = strings.ReplaceAll(p, d.text, "")
		} else {
			out[i] = strings.ReplaceAll(p, d.text, " ")
		}
	}
	return out
}

// suffixDecoder is BPEDecoder: a suffix marks the end of a word.
type suffixDecoder struct{ suffix string }

func (d suffixDecoder) decode(_ *work, pieces []string) []string {
	out := make([]string, len(pieces))
	for i, p := range pieces {
		by := " "
		if i == len(pieces)-1 {
			by = ""
		}
		if d.suffix == "" {
			out[i] = p
			continue
		}
		out[i] = strings.ReplaceAll(p, d.suffix, by)
	}
	return out
}

// byteFallback turns runs of pieces <0x00> to <0xFF> into text.
type byteFallback struct{}

func bytePiece(p string) (byte, bool) {
	if len(p) != 6 || !strings.HasPrefix(p, "<0x") || p[5] != '>' {
		return 0, false
	}
	var b byte
	for _, c := range []byte(p[3:5]) {
		b <<= 4
		switch {
		case c >= '0' && c <= '9':
			b |= c - '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			b |= c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
	}
	return b, true
}

func (byteFallback) decode(_ *work, pieces []string) []string {
	var out []string
	var raw []byte
	flush := func() {
		if utf8.Valid(raw) {
			if len(raw) > 0 {
				out = append(out, string(raw))
			}
		} else {
			for range raw {
				out = append(out, "\uFFFD")
			}
		}
		raw = raw[:0]
	}
	for _, p := range pieces {
		if b, ok := bytePiece(p); ok {
			raw = append(raw, b)
			continue
		}
		flush()
		out = append(out, p)
	}
	flush()
	return out
}

type fuse struct{}

func (fuse) decode(_ *work, pieces []string) []string { return []string{strings.Join(pieces, "")} }

// stripDecoder removes up to so many copies of a character from the ends of each
// piece.
type stripDecoder struct {
	content     string
	start, stop int
}

func (d stripDecoder) decode(_ *work, pieces []string) []string {
	out := make([]string, len(pieces))
	for i, p := range pieces {
		for k := 0; k < d.start && d.content != "" && strings.HasPrefix(p, d.content); k++ {
			p = p[len(d.content):]
		}
		for k := 0; k < d.stop && d.content != "" && strings.HasSuffix(p, d.content); k++ {
			p = p[:len(p)-len(d.content)]
		}
		out[i] = p
	}
	return out
}

type replaceDecoder struct {
	pattern pattern
	content string
}

func (d replaceDecoder) decode(w *work, pieces []string) []string {
	out := make([]string, len(pieces))
	for i, p := range pieces {
		var b strings.Builder
		last := 0
		for from, to := range d.pattern.find(w, p) {
			b.WriteString(p[last:from])
			b.WriteString(d.content)
			last = to
		}
		b.WriteString(p[last:])
		out[i] = b.String()
	}
	return out
}

// ctc drops repeated pieces and the pad piece between them.
type ctc struct {
	pad, delimiter string
	cleanup        bool
}

func (d ctc) decode(_ *work, pieces []string) []string {
	var out []string
	for i, p := range pieces {
		if i > 0 && pieces[i-1] == p {
			continue
		}
		if d.pad != "" {
			p = strings.ReplaceAll(p, d.pad, "")
		}
		if d.cleanup {
			p = cleanup(p)
			if d.delimiter != "" {
				p = strings.ReplaceAll(p, d.delimiter, " ")
			}
		}
		if p != "" {
			out = append(out, p)
		}
	}
	return out
}
