package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/islm-dev/islm/sdk"
)

// Formats lists the formats that Options.Format takes.
func Formats() []string {
	return []string{"csv", "hpoa", "icd", "jsonl", "ntriples", "obo", "rdfxml", "spo", "tsv", "turtle", "wordnet"}
}

// icdFile are the names under which CMS publishes ICD-10-CM.
var icdFile = regexp.MustCompile(`(?i)^icd10cm[-_]?(codes|order)[-_0-9]*\.txt$`)

var extensions = map[string]string{
	".nt": "ntriples", ".ntriples": "ntriples", ".ttl": "turtle", ".turtle": "turtle", ".rdf": "rdfxml", ".owl": "rdfxml", ".xml": "rdfxml",
	".obo": "obo", ".hpoa": "hpoa", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".spo": "spo",
}

// formatOf goes by the end of a file's name, compression aside; "" if it says
// nothing.
func formatOf(name string) string {
	base := path.Base(filepath.ToSlash(name))
	switch base {
	case "data.noun", "data.verb", "data.adj", "data.adv":
		return "wordnet"
	}
	if icdFile.MatchString(base) {
		return "icd"
	}
	return extensions[strings.ToLower(path.Ext(base))]
}

// uncompressed is a name without the endings that say how it is packed, in the order
// of unpacking.
func uncompressed(name string) (string, []string) {
	var how []string
	for {
		ext := strings.ToLower(path.Ext(name))
		switch ext {
		case ".gz", ".zst", ".tar":
			how = append(how, ext)
		case ".tgz":
			how = append(how, ".gz", ".tar")
		case ".tzst":
			how = append(how, ".zst", ".tar")
		default:
			return name, how
		}
		name = name[:len(name)-len(ext)]
	}
}

// file is one file to be read, or an archive of them.
type file struct {
	path   string
	format string   // "" in an archive, whose entries go by their names
	how    []string // packing, from the outside
}

// input is one document.
type input struct {
	file   string // as shown
	number int    // of documents so far, from 1
	r      io.Reader
}

type parser func(in *input, s *sink) error

func parsers() map[string]parser {
	return map[string]parser{"ntriples": readNTriples, "turtle": readTurtle, "rdfxml": readXML,
		"obo": readOBO, "hpoa": readHPOA, "icd": readICD, "wordnet": readWordNet, "csv": readCSV, "tsv": readTSV, "jsonl": readJSONL, "spo": readSPO}
}

func present(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// find lists the files behind paths, in the order given and by name within folders.
func find(paths []string, opt Options) ([]file, sdk.Diagnostics) {
	var ds sdk.Diagnostics
	var files []file
	if opt.Format != "" && !slices.Contains(Formats(), opt.Format) {
		ds.Add(sdk.Diagnostic{Code: "kg.format", Summary: fmt.Sprintf("unknown format %q", opt.Format), Remedy: "known: " + strings.Join(Formats(), ", ")})
		return nil, ds
	}
	add := func(name, format string, explicit bool) {
		bare, how := uncompressed(name)
		f := file{path: name, how: how, format: format}
		if f.format == "" {
			f.format = formatOf(bare)
		}
		archive := slices.Contains(how, ".tar")
		if f.format == "" && !archive {
			if explicit {
				ds.Add(sdk.Diagnostic{Code: "kg.format", File: name, Summary: "the file's name does not say what it holds",
					Remedy: "name the format: " + strings.Join(Formats(), ", ")})
			}
			return
		}
		files = append(files, f)
	}
	for _, p := range paths {
		format := opt.Format
		if own, rest, ok := strings.Cut(p, ":"); ok && rest != "" && slices.Contains(Formats(), own) && !present(p) {
			format, p = own, rest
		}
		if p == "-" {
			add(p, format, true)
			continue
		}
		info, err := os.Stat(p)
		if err != nil {
			ds.Add(sdk.Diagnostic{Code: "kg.file", File: p, Summary: "the file cannot be read: " + cause(err)})
			continue
		}
		if !info.IsDir() {
			add(p, format, true)
			continue
		}
		before := len(files)
		var names []string
		err = filepath.WalkDir(p, func(name string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				names = append(names, name)
			}
			return err
		})
		for _, name := range ofFormat(names, format) {
			add(name, format, false)
		}
		if err != nil {
			ds.Add(sdk.Diagnostic{Code: "kg.file", File: p, Summary: "the folder cannot be read: " + cause(err)})
		} else if len(files) == before {
			ds.Add(sdk.Diagnostic{Code: "kg.file", File: p, Summary: "the folder holds no file of a known format", Remedy: "name files or their format: " + strings.Join(Formats(), ", ")})
		}
	}
	return files, ds
}

// ofFormat chooses the files of a folder that an explicit format means: those whose
// names say it, else those whose names say any format, else all.
func ofFormat(names []string, format string) []string {
	if format == "" {
		return names
	}
	for _, fits := range []func(string) bool{
		func(name string) bool { return name == format },
		func(name string) bool { return name != "" },
	} {
		var chosen []string
		found := false
		for _, name := range names {
			bare, how := uncompressed(name)
			fit, archive := fits(formatOf(bare)), slices.Contains(how, ".tar")
			if found = found || fit; fit || archive {
				chosen = append(chosen, name)
			}
		}
		if found {
			return chosen
		}
	}
	return names
}

func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// read hands the file, or each document of an archive, to its parser.
func (f file) read(s *sink) error {
	var r io.Reader = os.Stdin
	if f.path != "-" {
		in, err := os.Open(f.path)
		if err != nil {
			return fmt.Errorf("read knowledge: %w", err)
		}
		defer in.Close()
		r = in
	}
	r = &cancelled{s.ctx, r}
	for _, how := range f.how {
		switch how {
		case ".gz":
			z, err := gzip.NewReader(bufio.NewReaderSize(r, 256<<10))
			if err != nil {
				return f.broken(err)
			}
			defer z.Close()
			r = z
		case ".zst":
			z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
			if err != nil {
				return f.broken(err)
			}
			defer z.Close()
			r = z
		case ".tar":
			return f.archive(r, s)
		}
	}
	return f.document(f.path, f.format, r, s)
}

func (f file) archive(r io.Reader, s *sink) error {
	t := tar.NewReader(r)
	read := 0
	for s.ok() {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f.broken(err)
		}
		bare, how := uncompressed(h.Name)
		format := formatOf(bare)
		if h.Typeflag != tar.TypeReg || format == "" || strings.HasPrefix(path.Base(h.Name), ".") {
			continue
		}
		if len(how) > 0 {
			s.problem(f.path+"/"+h.Name, 0, 0, "kg.format", "unpack it first", "a packed file within an archive is not read")
			continue
		}
		if f.format != "" {
			format = f.format
		}
		read++
		if err := f.document(f.path+"/"+h.Name, format, t, s); err != nil {
			return err
		}
	}
	if read == 0 && s.ok() {
		s.problem(f.path, 0, 0, "kg.format", "it should hold files named by "+strings.Join(Formats(), ", "), "the archive holds no file of a known format")
	}
	return nil
}

func (f file) document(name, format string, r io.Reader, s *sink) error {
	s.documents++
	parse := parsers()[format]
	if err := parse(&input{file: name, number: s.documents, r: r}, s); err != nil {
		if ctx := s.ctx.Err(); ctx != nil {
			return ctx
		}
		return f.broken(err)
	}
	return nil
}

// broken says that a file ends early or is damaged.
func (f file) broken(err error) error {
	return &sdk.DiagnosticsError{Fatal: true, Cause: err, Diagnostics: sdk.Diagnostics{{Severity: sdk.Error, Code: "kg.file", File: f.path,
		Summary: "the file cannot be read: " + cause(err), Remedy: "look whether it is complete", Source: sdk.FromData}}}
}

// cancelled is a reader that ends with its context.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// eachLine gives the lines of a document with their numbers, without their ends and
// without a byte order mark; the slice holds until the next. Lines that are too long
// or not UTF-8 are reported and left out.
func eachLine(in *input, s *sink, do func(number int, line []byte)) error {
	r := bufio.NewReaderSize(in.r, 256<<10)
	var long []byte
	for number := 1; s.ok(); number++ {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long[:0], line...)
			tooLong := false
			for errors.Is(err, bufio.ErrBufferFull) {
				line, err = r.ReadSlice('\n')
				if tooLong = tooLong || len(long)+len(line) > sdk.MaxLineBytes; !tooLong {
					long = append(long, line...)
				}
			}
			line = long
			if tooLong {
				s.problem(in.file, number, 0, "kg.line", "", "the line is longer than %d bytes", sdk.MaxLineBytes)
				line = nil
			}
		}
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return err
		}
		if end && len(line) == 0 {
			return nil
		}
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if utf8.Valid(line) {
			do(number, line)
		} else {
			s.problem(in.file, number, badColumn(line), "kg.encoding", "save the file as UTF-8", "the line is not valid UTF-8")
		}
		if end {
			return nil
		}
	}
	return nil
}

// badColumn is the place of the first byte that is not UTF-8, in characters from 1.
func badColumn(line []byte) int {
	column := 1
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		if r == utf8.RuneError && n == 1 {
			break
		}
		line = line[n:]
		column++
	}
	return column
}
