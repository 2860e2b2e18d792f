package corpus

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/islm-dev/islm/sdk"
)

// Encodings are the values of data.encoding besides auto.
func Encodings() []string { return []string{"utf-8", "gb18030", "utf-16", "latin-1"} }

// decode turns the bytes of a file into UTF-8. With name auto it guesses the
// encoding and says so, except for plain UTF-8. Bytes that the encoding does
// not allow are errors with their line; the text then holds U+FFFD for them.
func decode(file string, data []byte, name string, p *problems) string {
	if name == "" || name == "auto" {
		guess, why := guessEncoding(data)
		if guess != "utf-8" {
			p.add(guessed(file, guess, why))
		}
		name = guess
	}
	data, _ = bytes.CutPrefix(data, []byte("\xef\xbb\xbf"))
	if name == "utf-8" {
		if utf8.Valid(data) {
			return string(data)
		}
		reportInvalid(file, data, p)
		return strings.ToValidUTF8(string(data), "\uFFFD")
	}
	text, err := decoder(name, data).Bytes(data)
	if err != nil {
		p.errorf("data.encoding", file, 0, "cannot be read as %s: %v", name, err)
		return strings.ToValidUTF8(string(data), "\uFFFD")
	}
	if at := bytes.Index(text, []byte("\uFFFD")); at >= 0 && name != "latin-1" {
		line := 1 + bytes.Count(text[:at], []byte("\n"))
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.encoding", File: file, Line: line,
			Summary: fmt.Sprintf("not valid %s: %s cannot be read, the first in this line", name, plural(bytes.Count(text, []byte("\uFFFD")), "character", "characters")),
			Remedy:  "choose the file's encoding with --set data.encoding=NAME: " + strings.Join(Encodings(), ", ")})
	}
	return string(text)
}

// DecodeText turns a file of text into UTF-8 by a guess of its encoding, for commands
// that have no data.encoding: the diagnostics say what was guessed, and in which
// lines it does not hold.
func DecodeText(file string, data []byte) (string, sdk.Diagnostics) {
	p := &problems{}
	text := decode(file, data, "auto", p)
	ds := p.diagnostics()
	for i := range ds {
		ds[i].Remedy = "if it is not so, save the file as UTF-8"
		if ds[i].Severity == sdk.Error {
			ds[i].Remedy = "save the file as UTF-8"
		}
	}
	return text, ds
}

// guessed is the notice of an encoding that was not named.
func guessed(file, name, why string) sdk.Diagnostic {
	return sdk.Diagnostic{Severity: sdk.Info, Code: "data.encoding", File: file,
		Summary: fmt.Sprintf("read as %s: %s", name, why),
		Remedy:  "--set data.encoding=NAME chooses another of " + strings.Join(Encodings(), ", ")}
}

// sampleBytes of the beginning say how a file is encoded that is read as a stream.
const sampleBytes = 1 << 20

// textStream is the text of a file as it is read.
type textStream struct {
	io.Reader        // in UTF-8; bytes that another encoding does not allow are U+FFFD
	encoding  string // never auto
	why       string // it was guessed; "" = it was named, or is plain UTF-8
}

// decodeStream is decode for files of any size: what is guessed is guessed of the
// first sampleBytes, and no more than these are held. Bytes that are not UTF-8 in a
// file of UTF-8 come as they are, for the reader of its lines to report. How r
// gives its bytes, at once or one by one, changes nothing.
func decodeStream(r io.Reader, name string) (*textStream, error) {
	b := bufio.NewReaderSize(r, sampleBytes)
	sample, err := b.Peek(sampleBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	s := &textStream{Reader: b, encoding: name}
	if name == "" || name == "auto" {
		if len(sample) == sampleBytes {
			sample = wholeRunes(sample)
		}
		s.encoding, s.why = guessEncoding(sample)
	}
	if bytes.HasPrefix(sample, []byte("\xef\xbb\xbf")) {
		if _, err := b.Discard(3); err != nil {
			return nil, err
		}
	}
	if s.encoding != "utf-8" {
		s.Reader = decoder(s.encoding, sample).Reader(b)
	}
	return s, nil
}

// wholeRunes leaves out an unfinished character at the end.
func wholeRunes(data []byte) []byte {
	for i := len(data) - 1; i >= 0 && len(data)-i <= utf8.UTFMax; i-- {
		if utf8.RuneStart(data[i]) {
			if !utf8.FullRune(data[i:]) {
				return data[:i]
			}
			break
		}
	}
	return data
}

// check reports what of a line that was decoded is no text; ok is false then.
func (s *textStream) check(file string, line int, text []byte, p *problems) (ok bool) {
	if s.encoding == "utf-8" {
		if utf8.Valid(text) {
			return true
		}
		p.add(notUTF8(file, line, text))
		return false
	}
	n := 0
	if s.encoding != "latin-1" {
		n = bytes.Count(text, []byte("\uFFFD"))
	}
	if n == 0 {
		return true
	}
	p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.encoding", File: file, Line: line,
		Summary: fmt.Sprintf("not valid %s: %s cannot be read", s.encoding, plural(n, "character", "characters")),
		Remedy:  "choose the file's encoding with --set data.encoding=NAME: " + strings.Join(Encodings(), ", ")})
	return false
}

func decoder(name string, data []byte) *encoding.Decoder {
	switch name {
	case "gb18030":
		return simplifiedchinese.GB18030.NewDecoder()
	case "utf-16":
		order := unicode.LittleEndian
		if e, o := zeros(data[:min(len(data), sampleBytes)]); e > o { // text is mostly below U+0100: the high bytes are zeros
			order = unicode.BigEndian
		}
		return unicode.UTF16(order, unicode.UseBOM).NewDecoder()
	}
	// What programs write that say latin-1; without bytes of C1 both are the same.
	return charmap.Windows1252.NewDecoder()
}

// reportInvalid reports each line with bytes that are not UTF-8.
func reportInvalid(file string, data []byte, p *problems) {
	line := 0
	for l := range bytes.Lines(data) {
		line++
		if utf8.Valid(l) {
			continue
		}
		p.add(notUTF8(file, line, l))
	}
}

// notUTF8 names the first character of a line that is none.
func notUTF8(file string, line int, text []byte) sdk.Diagnostic {
	column := 1
	for rest := text; len(rest) > 0; column++ {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 {
			break
		}
		rest = rest[n:]
	}
	return sdk.Diagnostic{Severity: sdk.Error, Code: "data.encoding", File: file, Line: line, Column: column,
		Summary: "not valid UTF-8", Remedy: "save the file as UTF-8, or choose its encoding with --set data.encoding=NAME: " + strings.Join(Encodings(), ", ")}
}

// guessEncoding returns the most likely encoding and why it was chosen.
func guessEncoding(data []byte) (name, why string) {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return "utf-8", ""
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "utf-16", "the file begins with its byte order mark"
	}
	sample := data[:min(len(data), sampleBytes)]
	even, odd := zeros(sample)
	if max(even, odd)*5 > len(sample) && max(even, odd) > 8*min(even, odd) {
		return "utf-16", "every second byte is zero"
	}
	invalid, multi := 0, 0
	for rest := data; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			invalid++
		case n > 1:
			multi++
		}
		rest = rest[n:]
	}
	if invalid == 0 || multi > 10*invalid {
		return "utf-8", "" // broken UTF-8 is reported as such
	}
	if max(even, odd) > 1 && wideChinese(sample, even > odd) {
		return "utf-16", "its zero bytes and Chinese characters are those of two bytes each"
	}
	if pairs, high := hanzi(data); high > 0 && pairs*2*10 >= high*9 {
		return "gb18030", "its bytes are not UTF-8 and look like Chinese characters"
	}
	return "latin-1", "its bytes are not UTF-8"
}

// zeros counts zero bytes at even and odd positions.
func zeros(data []byte) (even, odd int) {
	for i, b := range data {
		if b == 0 {
			if i%2 == 0 {
				even++
			} else {
				odd++
			}
		}
	}
	return even, odd
}

// wideChinese reports whether nearly all pairs of bytes are Chinese characters,
// their punctuation or Latin letters in UTF-16.
func wideChinese(data []byte, bigEndian bool) bool {
	fit := 0
	for i := 0; i+1 < len(data); i += 2 {
		low, high := data[i], data[i+1]
		if bigEndian {
			low, high = high, low
		}
		switch {
		case high == 0 && low != 0, high == 0x20, high == 0x30, high == 0xff, high >= 0x4e && high <= 0x9f:
			fit++
		}
	}
	return fit*20 >= len(data)/2*19
}

// hanzi counts the pairs of bytes that GB2312 gives to Chinese characters and
// punctuation, and all bytes from 0x80.
func hanzi(data []byte) (pairs, high int) {
	for i := 0; i < len(data); i++ {
		if data[i] < 0x80 {
			continue
		}
		high++
		if i+1 < len(data) && data[i] >= 0xa1 && data[i] <= 0xf7 && data[i+1] >= 0xa1 && data[i+1] <= 0xfe {
			pairs++
			high++
			i++
		}
	}
	return pairs, high
}
