package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/islm-dev/islm/sdk"
)

// maxLine bounds one line in bytes; longer ones are reported.
const maxLine = sdk.MaxLineBytes

// readPhraseBank reads Financial PhraseBank as its authors publish it: one
// "sentence@label" a line, where the last @ separates. The file is Latin-1; a line
// that is valid UTF-8 is taken as it stands, which also serves copies saved in UTF-8;
// accented Latin-1 text is practically never valid UTF-8.
//
// The file is req.Path or the option phrasebank; in a folder the option agreement
// chooses it. A faulty line is reported with its number and left out, and reading
// goes on.
func readPhraseBank(ctx context.Context, req sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
	path := cmp.Or(req.Path, sdk.OptionValue(ctx, "phrasebank"))
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		name := map[string]string{"66": "66Agree", "75": "75Agree", "all": "AllAgree"}[sdk.OptionValue(ctx, "agreement")]
		path = filepath.Join(path, "Sentences_"+cmp.Or(name, "50Agree")+".txt")
	}
	return readFile(ctx, req, path, func(line []byte) (sdk.Example, string) {
		text := decode(line)
		at := strings.LastIndexByte(text, '@')
		if at < 0 {
			return sdk.Example{}, "there is no @ between sentence and label"
		}
		sentence, label := strings.TrimSpace(text[:at]), strings.ToLower(strings.TrimSpace(text[at+1:]))
		switch {
		case sentence == "":
			return sdk.Example{}, "there is no sentence before the @"
		case label != "negative" && label != "neutral" && label != "positive":
			return sdk.Example{}, fmt.Sprintf("the label %q is none of negative, neutral, positive", label)
		}
		return sdk.Example{Text: sentence, Labels: map[string]sdk.Label{"sentiment": {Values: []string{label}}}}, ""
	})
}

// readLines reads plain UTF-8 text without labels, one text per line. Blank lines
// are passed over; a line that is not UTF-8 is reported and left out.
func readLines(ctx context.Context, req sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
	return readFile(ctx, req, cmp.Or(req.Path, sdk.OptionValue(ctx, "lines")), func(line []byte) (sdk.Example, string) {
		if !utf8.Valid(line) {
			return sdk.Example{}, "the line is not valid UTF-8"
		}
		return sdk.Example{Text: norm.NFC.String(string(line))}, ""
	})
}

// decode gives a line as NFC text: as it is if it is UTF-8, else from Latin-1,
// whose bytes are the first 256 code points.
func decode(line []byte) string {
	if utf8.Valid(line) {
		return norm.NFC.String(string(line))
	}
	runes := make([]rune, len(line))
	for i, b := range line {
		runes[i] = rune(b)
	}
	return norm.NFC.String(string(runes))
}

// readFile streams the lines of a file through parse, which returns an example
// without ID, or what is wrong with the line.
func readFile(ctx context.Context, req sdk.ReadRequest, path string, parse func(line []byte) (sdk.Example, string)) iter.Seq2[sdk.Example, error] {
	return func(yield func(sdk.Example, error) bool) {
		if path == "" {
			yield(sdk.Example{}, &sdk.DiagnosticsError{Fatal: true, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "data.path", Source: sdk.FromHost,
				Summary: fmt.Sprintf("dataset %s is not shipped and no path to it is given", req.Dataset),
				Remedy:  fmt.Sprintf("--set domain.options.%s=PATH", req.Dataset)}}})
			return
		}
		f, err := os.Open(path)
		if err != nil {
			yield(sdk.Example{}, fmt.Errorf("read dataset %s: %w", req.Dataset, err))
			return
		}
		defer f.Close()
		in := bufio.NewReaderSize(f, 64<<10)
		for count, number := 0, 1; ; number++ {
			line, long, end := nextLine(in)
			if end != nil && !errors.Is(end, io.EOF) {
				yield(sdk.Example{}, fmt.Errorf("read dataset %s, %s:%d: %w", req.Dataset, path, number, end))
				return
			}
			if err := ctx.Err(); err != nil {
				yield(sdk.Example{}, err)
				return
			}
			if number == 1 {
				line = bytes.TrimPrefix(line, []byte("\ufeff"))
			}
			ex, problem := sdk.Example{}, fmt.Sprintf("the line is longer than %d bytes", maxLine)
			if !long {
				if line = bytes.TrimSpace(line); len(line) > 0 {
					ex, problem = parse(line)
				} else {
					problem = ""
				}
			}
			switch {
			case problem != "":
				ds := sdk.Diagnostics{{Severity: sdk.Error, Code: "data.line", File: path, Line: number, Summary: problem, Source: sdk.FromData}}
				if !yield(sdk.Example{}, ds.Err()) {
					return
				}
			case ex.Text != "":
				ex.ID = fmt.Sprintf("%s:%d", req.Dataset, number)
				ex.File, ex.Line = path, number
				if count++; !yield(ex, nil) || count == req.Limit {
					return
				}
			}
			if end != nil {
				return
			}
		}
	}
}

// nextLine returns the next line, with long set and the rest skipped if it has
// more than maxLine bytes. err is io.EOF on the last one.
func nextLine(in *bufio.Reader) (line []byte, long bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, long, err
		}
	}
}
