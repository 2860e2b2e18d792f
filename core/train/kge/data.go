package kge

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/islm-dev/islm/sdk"
)

// Triple is a fact: places in Data.Entities and Data.Relations.
type Triple struct{ Head, Relation, Tail int32 }

// Data is a graph and its split. Names are unique; triples are sorted and
// unique within a split, so neither the order of lines nor a repetition changes
// a run.
type Data struct {
	Entities  []string
	Relations []string
	Train     []Triple
	Valid     []Triple
	Test      []Triple
}

// Files name the splits: lines head<TAB>relation<TAB>tail in UTF-8, plain or
// compressed (.gz). Valid and Test may be empty.
type Files struct{ Train, Valid, Test string }

// Named is a fact by names: head, relation, tail.
type Named [3]string

// Collect numbers the names of three lists of facts. Entities and relations are
// sorted by name, unless entities gives their order; facts about an entity that
// it lacks are an error.
func Collect(entities []string, train, valid, test []Named) (*Data, error) {
	d := &Data{Entities: entities}
	ents, rels := map[string]int32{}, map[string]int32{}
	splits := [][]Named{train, valid, test}
	for _, split := range splits {
		for _, f := range split {
			rels[f[1]] = 0
			if entities == nil {
				ents[f[0]], ents[f[2]] = 0, 0
			}
		}
	}
	d.Relations = slices.Sorted(maps.Keys(rels))
	if entities == nil {
		d.Entities = slices.Sorted(maps.Keys(ents))
	}
	for i, name := range d.Entities {
		ents[name] = int32(i)
	}
	if len(ents) != len(d.Entities) {
		return nil, errors.New("collect facts: an entity is listed twice")
	}
	for i, name := range d.Relations {
		rels[name] = int32(i)
	}
	for i, into := range []*[]Triple{&d.Train, &d.Valid, &d.Test} {
		out := make([]Triple, 0, len(splits[i]))
		for _, f := range splits[i] {
			h, okH := ents[f[0]]
			t, okT := ents[f[2]]
			if !okH || !okT {
				return nil, fmt.Errorf("collect facts: %s %s %s is about an entity that is not listed", f[0], f[1], f[2])
			}
			out = append(out, Triple{h, rels[f[1]], t})
		}
		slices.SortFunc(out, compare)
		*into = slices.Compact(out)
	}
	return d, nil
}

// check refuses names that cannot be written one a line.
func (d *Data) check() error {
	for _, names := range [][]string{d.Entities, d.Relations} {
		for _, name := range names {
			if strings.ContainsAny(name, "\r\n") {
				return fmt.Errorf("the name %q has a line break", name)
			}
		}
	}
	return nil
}

func compare(a, b Triple) int {
	return cmp.Or(cmp.Compare(a.Head, b.Head), cmp.Compare(a.Relation, b.Relation), cmp.Compare(a.Tail, b.Tail))
}

// Read reads the splits. Lines with problems are diagnostics, all of them up to
// a limit; an error means that a file cannot be read.
func Read(files Files) (*Data, sdk.Diagnostics, error) {
	var ds sdk.Diagnostics
	var splits [3][]Named
	for i, path := range []string{files.Train, files.Valid, files.Test} {
		if path == "" {
			continue
		}
		facts, problems, err := readFile(path)
		ds.Add(problems...)
		if err != nil {
			return nil, ds, err
		}
		splits[i] = facts
	}
	if !ds.HasErrors() && len(splits[0]) == 0 {
		ds.Add(sdk.Diagnostic{Code: "kge.empty", File: files.Train, Summary: "there are no facts to learn from", Remedy: "give lines of head, relation and tail, separated by tabs"})
	}
	if ds.HasErrors() {
		return nil, ds, nil
	}
	d, err := Collect(nil, splits[0], splits[1], splits[2])
	if err != nil {
		return nil, ds, err
	}
	ds.Add(d.notices(files)...)
	return d, ds, nil
}

// maxProblems bounds the diagnostics of one file.
const maxProblems = 20

func readFile(path string) (_ []Named, ds sdk.Diagnostics, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read facts: %w", err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
		if err != nil {
			return nil, nil, fmt.Errorf("read facts from %s: %w", path, err)
		}
		r = z
	}
	facts, ds, err := parse(path, r)
	if err != nil {
		return nil, ds, fmt.Errorf("read facts from %s: %w", path, err)
	}
	return facts, ds, nil
}

// parse reads lines of three fields; empty lines are passed over.
func parse(name string, r io.Reader) (facts []Named, ds sdk.Diagnostics, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<16), sdk.MaxLineBytes)
	bad, n := 0, 0
	problem := func(column int, summary, remedy string) {
		if bad++; bad <= maxProblems {
			ds.Add(sdk.Diagnostic{Code: "kge.line", File: name, Line: n, Column: column, Summary: summary, Remedy: remedy, Source: sdk.FromData})
		}
	}
	for lines.Scan() {
		n++
		line := strings.TrimSuffix(lines.Text(), "\r")
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if !utf8.ValidString(line) {
			problem(0, "the line is not UTF-8", "convert the file to UTF-8")
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 3 {
			problem(0, fmt.Sprintf("the line has %d fields, not 3", len(fields)), "write head, relation and tail, separated by tabs")
			continue
		}
		empty := false
		for i, f := range fields {
			if strings.TrimSpace(f) == "" {
				column := utf8.RuneCountInString(strings.Join(fields[:i], "\t")) + min(i, 1) + 1
				problem(column, []string{"the head", "the relation", "the tail"}[i]+" is empty", "give its name, or remove the line")
				empty = true
			}
		}
		if !empty {
			facts = append(facts, Named(fields))
		}
	}
	if bad > maxProblems {
		ds.Add(sdk.Diagnostic{Code: "kge.line", File: name, Summary: fmt.Sprintf("%d more lines have problems", bad-maxProblems), Source: sdk.FromData})
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		ds.Add(sdk.Diagnostic{Code: "kge.line", File: name, Line: n + 1, Summary: fmt.Sprintf("the line is longer than %d bytes", sdk.MaxLineBytes), Remedy: "is this a file of facts?", Source: sdk.FromData})
		return facts, ds, nil
	}
	return facts, ds, lines.Err()
}

// notices are what a reader of the scores should know.
func (d *Data) notices(files Files) (ds sdk.Diagnostics) {
	train := make(map[Triple]bool, len(d.Train))
	seen := make([]bool, len(d.Entities))
	for _, t := range d.Train {
		train[t] = true
		seen[t.Head], seen[t.Tail] = true, true
	}
	for i, split := range [][]Triple{d.Valid, d.Test} {
		leaked, unseen := 0, 0
		for _, t := range split {
			if train[t] {
				leaked++
			}
			if !seen[t.Head] || !seen[t.Tail] {
				unseen++
			}
		}
		file := []string{files.Valid, files.Test}[i]
		if leaked > 0 {
			ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "kge.leak", File: file, Summary: fmt.Sprintf("%d of %d facts are in the training file too; scores will flatter", leaked, len(split)), Remedy: "take them out of one of the two", Source: sdk.FromData})
		}
		if unseen > 0 {
			ds.Add(sdk.Diagnostic{Severity: sdk.Info, Code: "kge.unseen", File: file, Summary: fmt.Sprintf("%d of %d facts are about an entity without a training fact", unseen, len(split)), Source: sdk.FromData})
		}
	}
	return ds
}

// Digest is the sha256 of names and splits, in hexadecimal: what a checkpoint
// must agree with.
func (d *Data) Digest() string {
	h := sha256.New()
	var b []byte
	for _, names := range [][]string{d.Entities, d.Relations} {
		b = binary.LittleEndian.AppendUint64(b[:0], uint64(len(names)))
		h.Write(b)
		for _, n := range names {
			b = binary.LittleEndian.AppendUint64(b[:0], uint64(len(n)))
			h.Write(append(b, n...))
		}
	}
	for _, split := range [][]Triple{d.Train, d.Valid, d.Test} {
		b = binary.LittleEndian.AppendUint64(b[:0], uint64(len(split)))
		for _, t := range split {
			for _, v := range []int32{t.Head, t.Relation, t.Tail} {
				b = binary.LittleEndian.AppendUint32(b, uint32(v))
			}
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}
