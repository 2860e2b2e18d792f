package corpus

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Formats are the formats of files that this package reads; text is one text a line,
// without labels.
func Formats() []string { return []string{"conll", "jsonl", "csv", "tsv", "parquet", "text"} }

// formatOf goes by the ending of a file's name; "" is unknown.
func formatOf(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".conll", ".bio", ".iob", ".iob2", ".bioes":
		return "conll"
	case ".jsonl", ".ndjson", ".json":
		return "jsonl"
	case ".csv":
		return "csv"
	case ".tsv":
		return "tsv"
	case ".parquet":
		return "parquet"
	case ".txt":
		return "text"
	}
	return ""
}

// part is one file of a run's data and the split that it gives.
type part struct {
	path, split string // split: train, valid, test or all
}

// shardName finds the split in names such as train-00000-of-00002.parquet.
var shardName = regexp.MustCompile(`^(.+)-[0-9]+-of-[0-9]+$`)

// splitOf tells which split a file gives by its name; rank orders names that
// mean the same split.
func splitOf(name string) (split string, rank int) {
	base := strings.ToLower(strings.TrimSuffix(name, filepath.Ext(name)))
	if m := shardName.FindStringSubmatch(base); m != nil {
		base = m[1]
	}
	switch base {
	case "train", "test", "all":
		return base, 0
	case "valid":
		return "valid", 0
	case "dev":
		return "valid", 1
	case "val", "validation":
		return "valid", 2
	}
	return "", 0
}

// locate finds the files that data.path and data.train|valid|test name. It
// reports the files that it leaves aside. An error means that nothing can be
// read at all.
func locate(req *Request, p *problems) ([]part, error) {
	d := &req.Plan.Data
	explicit := []part{{d.Train, "train"}, {d.Valid, "valid"}, {d.Test, "test"}}
	given := map[string]bool{}
	var parts []part
	for _, e := range explicit {
		if e.path == "" {
			continue
		}
		info, err := os.Stat(e.path)
		if err != nil {
			return nil, fmt.Errorf("data.%s: %w", e.split, err)
		}
		if info.IsDir() {
			return nil, fmt.Errorf("data.%s: %s is a folder, a file is wanted", e.split, e.path)
		}
		given[e.split] = true
		parts = append(parts, e)
	}
	if d.Path == "" {
		return parts, nil
	}
	info, err := os.Stat(d.Path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if !info.IsDir() {
		switch {
		case req.Whole:
			parts = append(parts, part{d.Path, "test"})
		case given["train"]: // the file is not wanted: its split is given
			p.notice("data.aside", d.Path, "left aside: data.train names another file")
		case given["valid"] || given["test"]:
			parts = append(parts, part{d.Path, "train"})
		default:
			parts = append(parts, part{d.Path, "all"})
		}
		return parts, nil
	}
	found, aside, err := scan(d.Path, d.Format)
	if err != nil {
		return nil, err
	}
	hasTrain := given["train"] || slices.ContainsFunc(found, func(f part) bool { return f.split == "train" })
	for _, f := range found {
		switch {
		case given[f.split]:
			aside = append(aside, filepath.Base(f.path))
		case f.split == "all" && hasTrain:
			aside = append(aside, filepath.Base(f.path))
		case f.split == "all" && req.Whole:
			parts = append(parts, part{f.path, "test"})
		default:
			parts = append(parts, f)
		}
	}
	if len(aside) > 0 {
		slices.Sort(aside)
		p.add(sdk.Diagnostic{Severity: sdk.Info, Code: "data.aside", File: d.Path,
			Summary: "files left aside: " + strings.Join(aside, ", "),
			Remedy:  "data.train, data.valid and data.test choose other files"})
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("data: %s holds no file called train, valid (dev, val), test or all in a known format (%s)", d.Path, strings.Join(Formats(), ", "))
	}
	return parts, nil
}

// scan finds the splits in a folder.
func scan(dir, format string) (found []part, aside []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("data: %w", err)
	}
	type candidate struct {
		part
		rank   int
		format string
	}
	var candidates []candidate
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		f := formatOf(name)
		if f == "text" && format != "" && format != "auto" {
			f = format
		}
		split, rank := splitOf(name)
		if split == "" || f == "" {
			if f != "" && f != "text" { // notes that lie beside the data
				aside = append(aside, name)
			}
			continue
		}
		candidates = append(candidates, candidate{part{filepath.Join(dir, name), split}, rank, f})
	}
	// One format and one name per split: the format that most files have, one with
	// labels first.
	count := map[string]int{}
	for _, c := range candidates {
		if c.format != "text" {
			count[c.format]++
		}
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(splitRank(a.split), splitRank(b.split)),
			cmp.Compare(count[b.format], count[a.format]),
			cmp.Compare(slices.Index(Formats(), a.format), slices.Index(Formats(), b.format)),
			cmp.Compare(a.rank, b.rank),
			cmp.Compare(a.path, b.path))
	})
	taken := map[string]candidate{}
	for _, c := range candidates {
		first, ok := taken[c.split]
		sharded := ok && c.rank == first.rank && c.format == first.format && isShard(c.path) && isShard(first.path)
		if ok && !sharded {
			aside = append(aside, filepath.Base(c.path))
			continue
		}
		if !ok {
			taken[c.split] = c
		}
		found = append(found, c.part)
	}
	return found, aside, nil
}

func isShard(path string) bool {
	base := filepath.Base(path)
	return shardName.MatchString(strings.TrimSuffix(base, filepath.Ext(base)))
}

func splitRank(split string) int { return slices.Index(sdk.Splits(), split) }
