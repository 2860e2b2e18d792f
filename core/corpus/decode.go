package corpus

import (
	"bytes"
	"fmt"
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
			p.add(sdk.Diagnostic{Severity: sdk.Info, Code: "data.encoding", File: file,
				Summary: fmt.Sprintf("read as %s: %s", guess, why),
				Remedy:  "--set data.encoding=NAME chooses another of " + strings.Join(Encodings(), ", ")})
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

func decoder(name string, data []byte) *encoding.Decoder {
	switch name {
	case "gb18030":
		return simplifiedchinese.GB18030.NewDecoder()
	case "utf-16":
		order := unicode.LittleEndian
		if e, o := zeros(data); e > o { // text is mostly below U+0100: the high bytes are zeros
			order = unicode.BigEndian
		}
		return unicode.UTF16(order, unicode.UseBOM).NewDecoder()
	}
	if hasC1(data) {
		return charmap.Windows1252.NewDecoder() // what programs write that say latin-1
	}
	return charmap.ISO8859_1.NewDecoder()
}

func hasC1(data []byte) bool {
	for _, b := range data {
		if b >= 0x80 && b < 0xa0 {
			return true
		}
	}
	return false
}

// reportInvalid reports each line with bytes that are not UTF-8.
func reportInvalid(file string, data []byte, p *problems) {
	line := 0
	for l := range bytes.Lines(data) {
		line++
		if utf8.Valid(l) {
			continue
		}
		column := 1
		for rest := l; len(rest) > 0; column++ {
			r, n := utf8.DecodeRune(rest)
			if r == utf8.RuneError && n == 1 {
				break
			}
			rest = rest[n:]
		}
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.encoding", File: file, Line: line, Column: column,
			Summary: "not valid UTF-8", Remedy: "save the file as UTF-8, or choose its encoding with --set data.encoding=NAME: " + strings.Join(Encodings(), ", ")})
	}
}

// guessEncoding returns the most likely encoding and why it was chosen.
func guessEncoding(data []byte) (name, why string) {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return "utf-8", ""
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "utf-16", "the file begins with its byte order mark"
	}
	sample := data[:min(len(data), 1<<20)]
	if even, odd := zeros(sample); max(even, odd)*5 > len(sample) && max(even, odd) > 8*min(even, odd) {
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
