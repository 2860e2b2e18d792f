package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core/kg"
)

func (a *app) kgExport() *cobra.Command {
	var dir, format, out string
	var depth, most int
	cmd := &cobra.Command{
		Use: "export --kg DIR [--format nt|jsonl|dot|html] [ENTITY]", Short: "Write a knowledge graph, or a picture of a part of it",
		Long: `Write a knowledge graph, or a picture of a part of it.

  nt      all of it as sorted canonical N-Triples, whose sha256 is the digest
  jsonl   all of it as JSON lines, which an import turns into the same graph
  dot     what is around ENTITY (an id or a name), for Graphviz
  html    what is around ENTITY, as a picture in one file that needs nothing else

A file that ends in .gz or .zst is compressed.`,
		Example: `  islm kg export --kg hpo --out hpo.nt.zst
  islm kg export --kg hpo --format html --out seizure.html Seizure`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if format == "" {
				format = exportFormat(out)
			}
			piece := format == "dot" || format == "html"
			switch {
			case !piece && format != "nt" && format != "jsonl":
				return usageError{fmt.Errorf("--format is nt, jsonl, dot or html, not %q", format)}
			case piece && len(args) == 0:
				return usageError{fmt.Errorf("name the entity around which the %s is made", format)}
			case !piece && len(args) == 1:
				return usageError{fmt.Errorf("--format %s writes the whole graph; for the part around an entity take dot or html", format)}
			case depth < 1 || most < 1:
				return usageError{errors.New("--depth and --most are 1 or more")}
			}
			s, err := openKG(dir)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			var around *kg.Neighborhood
			if piece {
				p := &factPrinter{a: a, s: s}
				ids, err := p.resolve(args[0])
				if err != nil {
					return err
				}
				if len(ids) > 1 {
					a.say("%q is the name of %d entities; this is %s", args[0], len(ids), ids[0])
				}
				if around, _, err = s.Neighborhood(ids[0], depth, most); err != nil {
					return err
				}
			}
			return a.writeFile(out, func(w io.Writer) error {
				switch format {
				case "nt":
					return s.WriteNTriples(cmd.Context(), w)
				case "jsonl":
					return s.WriteJSONL(cmd.Context(), w)
				case "dot":
					return around.WriteDOT(w)
				}
				return around.WriteHTML(w)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "kg", "", "folder of the graph")
	f.StringVar(&format, "format", "", "nt, jsonl, dot or html [by the name of --out, else nt]")
	f.StringVar(&out, "out", "-", "file to write, - for standard output")
	f.IntVar(&depth, "depth", 1, "how many facts away the entities of a picture may be")
	f.IntVar(&most, "most", 60, "entities in a picture at most")
	complete(cmd, "format", func(string) []string { return []string{"nt", "jsonl", "dot", "html"} })
	return cmd
}

// exportFormat goes by the name of a file.
func exportFormat(name string) string {
	for _, end := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, end)
	}
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".jsonl", ".dot", ".html":
		return ext[1:]
	case ".gv":
		return "dot"
	case ".htm":
		return "html"
	}
	return "nt"
}

// writeFile writes to a file that appears when it is complete, compressed as its
// name says, or to standard output.
func (a *app) writeFile(name string, write func(io.Writer) error) (err error) {
	if name == "-" || name == "" {
		return write(a.stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	var w io.WriteCloser = struct {
		io.Writer
		io.Closer
	}{f, io.NopCloser(nil)}
	switch filepath.Ext(name) {
	case ".gz":
		w = gzip.NewWriter(f)
	case ".zst":
		if w, err = zstd.NewWriter(f); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	if err := write(w); err != nil {
		return err
	}
	if err := errors.Join(w.Close(), f.Chmod(0o644)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
