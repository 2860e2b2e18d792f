package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/core/kg/source"
	"github.com/islm-dev/islm/sdk"
)

func (a *app) kgImport() *cobra.Command {
	var in, columns, prefixes []string
	var out, domain string
	var opt source.Options
	cmd := &cobra.Command{
		Use: "import --in FILE… --out DIR [FILE…]", Short: "Make a knowledge graph of files",
		Long: `Make a knowledge graph of files. Their names say what they hold: .nt, .ttl,
.rdf, .owl, .obo, .hpoa, .csv, .tsv, .jsonl, .spo, also compressed (.gz, .zst) or
in a tar archive; a folder stands for the files below it. --format overrides it
for all, FORMAT:FILE for one.

A record that cannot be read is reported with its place; all problems are
reported at once, up to --limit, and nothing is made. With --lenient such records
are left out.

DIR appears when the graph is complete. It is never changed afterwards, and any
number of processes may read it.`,
		Example: `  islm kg import --in hp.obo --in phenotype.hpoa --out hpo
  islm kg import --in hp.obo --in icd:codes.tsv --out diseases
  islm kg import --in fibo-rdf.tar.gz --out fibo
  islm kg import --in parts.csv --columns subject=part,relation==part_of,object=machine --out machines`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in = append(in, args...)
			if len(in) == 0 || out == "" {
				return usageError{errors.New("--in and --out are needed")}
			}
			var err error
			if opt.Columns, err = pairs("--columns", columns); err != nil {
				return err
			}
			if opt.Prefixes, err = pairs("--prefix", prefixes); err != nil {
				return err
			}
			// Sorting keeps little in memory; a slower collector would double it.
			defer debug.SetGCPercent(debug.SetGCPercent(50))
			opt.Report = func(d sdk.Diagnostic) { a.problems(sdk.Diagnostics{d}) }
			items, err := source.Open(cmd.Context(), in, opt)
			if err != nil {
				return err
			}
			info, err := kg.Build(cmd.Context(), out, domain, items, kg.BuildOptions{Complete: true, Progress: func(facts int) {
				if facts%1_000_000 == 0 && facts > 0 {
					a.say("%d facts", facts)
				}
			}})
			if err != nil {
				return err
			}
			if info.Entities == 0 {
				a.problems(sdk.Diagnostics{{Severity: sdk.Warning, Code: "kg.empty", File: out, Summary: "the graph is empty: nothing in the files was an entity or a fact", Remedy: "see what --in holds, and whether --format or --columns names it right"}})
			}
			if a.json {
				return a.print(info)
			}
			a.say("%s: %d entities with %d names, %d facts, digest %s", out, info.Entities, info.Names, info.Facts, info.Digest)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&in, "in", nil, "file, folder or archive to read, also as FORMAT:FILE, - for standard input (repeatable)")
	f.StringVar(&out, "out", "", "folder of the graph; must not exist or be empty")
	f.StringVar(&domain, "domain", "", "name of the industry, kept in the graph")
	f.StringVar(&opt.Format, "format", "", "format of the files: "+strings.Join(source.Formats(), ", "))
	f.StringSliceVar(&columns, "columns", nil, "columns of tables, as subject=NAME, object=NUMBER or relation==TEXT")
	f.StringVar(&opt.Base, "base", "", "IRI against which relative ones are resolved")
	f.StringArrayVar(&prefixes, "prefix", nil, "short form of relations in RDF, as fibo=https://… (repeatable)")
	f.StringSliceVar(&opt.Languages, "lang", nil, "languages of RDF text to keep, as en,de")
	f.StringVar(&opt.Source, "source", "", "source of facts that name none")
	f.BoolVar(&opt.Lenient, "lenient", false, "leave out what cannot be read")
	f.IntVar(&opt.Limit, "limit", 0, "problems after which reading ends [100]")
	complete(cmd, "format", func(string) []string { return source.Formats() })
	return cmd
}

// pairs reads items NAME=VALUE of a flag.
func pairs(flag string, items []string) (map[string]string, error) {
	out := map[string]string{}
	for _, it := range items {
		name, value, ok := strings.Cut(it, "=")
		if !ok || name == "" || value == "" {
			return nil, usageError{fmt.Errorf("%s %q: write NAME=VALUE", flag, it)}
		}
		out[name] = value
	}
	return out, nil
}
