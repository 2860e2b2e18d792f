package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

func TestTables(t *testing.T) {
	t.Run("entities and facts by header", func(t *testing.T) {
		paths := write(t, "e.tsv", "# comment\nid\ttype\tnames\tprop.unit\ne2\tT\tTwo|zwei\tm\n\ne1\tT\tOne\n", "f.tsv", "subject\trelation\tobject\tliteral\tweight\tsource\ne1\tr\te2\t\t0.5\tbook\ne1\tq\t\t42\n")
		assert.Equal(t, []string{"e1 (T) One", "e2 (T) Two|zwei map[unit:m]", "e1 r e2 *0.5 @book", `e1 q "42" @me`}, read(t, Options{Source: "me"}, paths...))
	})
	t.Run("three columns without header", func(t *testing.T) {
		assert.Equal(t, []string{"/m/1 () ", "/m/2 () ", "/m/1 /film/x /m/2"}, read(t, Options{Format: "tsv"}, write(t, "train.txt", "/m/1\t/film/x\t/m/2\n")...))
	})
	t.Run("column map", func(t *testing.T) {
		opt := Options{Columns: map[string]string{"subject": "drug", "object": "3", "relation": "=treats", "subject_type": "=Drug", "object_name": "name"}}
		assert.Equal(t, []string{"D1 () Pain|Ache", "a,b (Drug) ", "a,b treats D1"}, read(t, opt, write(t, "x.csv", "drug,n,code,name\r\n\"a,b\",1,D1,\"Pain|Ache\"\r\n")...))
		assert.Equal(t, []string{"7 () seven", "8 () eight"}, read(t, Options{Columns: map[string]string{"id": "2", "names": "1"}}, write(t, "x.csv", "\ufeffseven,7\neight,8\n")...))
	})
	for _, c := range []struct {
		name, file, text, code, want string
		line                         int
		columns                      map[string]string
	}{
		{"two columns", "x.tsv", "a\tb\n", "kg.columns", "no known names", 1, nil},
		{"unknown column", "x.tsv", "id\tkind\n", "kg.columns", `unknown column "kind"`, 1, nil},
		{"column twice", "x.tsv", "id\tid\n", "kg.columns", "twice", 1, nil},
		{"neither", "x.tsv", "subject\tobject\n", "kg.columns", "neither entities nor facts", 1, nil},
		{"both", "x.tsv", "id\tsubject\trelation\tobject\n", "kg.columns", "exclude", 1, nil},
		{"map to nothing", "x.csv", "a,b\n", "kg.columns", `no column "c" for id`, 1, map[string]string{"id": "c"}},
		{"map beyond", "x.csv", "a,b\n", "kg.columns", `no column 3 for id`, 1, map[string]string{"id": "3"}},
		{"map of nothing", "x.csv", "a,b\n", "kg.columns", `unknown entry "ids"`, 1, map[string]string{"ids": "a"}},
		{"no id", "x.tsv", "id\ttype\nx\tT\n\tT\n", "kg.row", "no id", 3, nil},
		{"wide", "x.tsv", "id\nx\ty\n", "kg.row", "2 cells, the header 1", 2, nil},
		{"object and literal", "x.tsv", "subject\trelation\tobject\tliteral\na\tb\tc\td\n", "kg.row", "either an object or a literal", 2, nil},
		{"weight", "x.tsv", "subject\trelation\tobject\tweight\na\tb\tc\tbig\n", "kg.row", `weight "big"`, 2, nil},
		{"negative weight", "x.tsv", "subject\trelation\tobject\tweight\na\tb\tc\t-1\n", "kg.row", `weight -1`, 2, nil},
		{"no relation", "x.tsv", "a\t\tc\n", "kg.row", "no relation", 1, nil},
		{"quotes", "x.csv", "id,names\na,\"b\nc", "kg.row", "quote", 3, nil},
		{"encoding", "x.tsv", "id\tnames\na\tb\nc\t\xff\n", "kg.encoding", "UTF-8", 3, nil},
		{"encoding", "x.csv", "id,names\na,b\nc,\xff\n", "kg.encoding", "UTF-8", 3, nil},
		{"spo", "x.spo", "a\tb\tc\na b c\n", "kg.row", "three cells", 2, nil},
		{"spo empty", "x.spo", "a\t \tc\n", "kg.row", "three cells", 1, nil},
		{"json", "x.jsonl", "{\"entity\":{\"id\":\"a\"}}\n{\"entity\":\n", "kg.row", "unexpected EOF", 2, nil},
		{"json key", "x.jsonl", `{"entity":{"id":"a","name":"b"}}`, "kg.row", `unknown field "name"`, 1, nil},
		{"json both", "x.jsonl", `{}`, "kg.row", `either an entity or a fact`, 1, nil},
		{"json more", "x.jsonl", `{"entity":{"id":"a"}} {}`, "kg.row", `something follows`, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			ds := problems(t, Options{Columns: c.columns}, write(t, c.file, c.text)...)
			require.NotEmpty(t, ds)
			assert.Equal(t, c.code, ds[0].Code)
			assert.Contains(t, ds[0].Summary, c.want)
			assert.Equal(t, c.line, ds[0].Line)
			assert.Equal(t, c.file, ds[0].File)
		})
	}
}

func TestJSONL(t *testing.T) {
	assert.Equal(t, []string{"a (T) A|é map[k:v]", "b () ", "a r b *2 @s"}, read(t, Options{}, write(t, "x.jsonl",
		`{"fact":{"subject":"a","relation":"r","object":"b","weight":2,"source":"s"}}`+"\n\n"+`{"entity":{"id":"a","type":"T","names":["A","e`+"\u0301"+`"],"props":{"k":"v"}}}`)...))
}

// All problems of all files come at once, up to the limit; lenient reading reports and
// leaves out.
func TestProblems(t *testing.T) {
	paths := write(t, "a.spo", "a\tb\tc\nbad\nworse\n", "b.nt", "<a:b> <c:d> <e:f> .\n<a:b> <c:d> .\n")
	ds := problems(t, Options{}, paths...)
	require.Len(t, ds, 3)
	assert.Equal(t, "error[kg.row] a.spo:2: the line has no three cells\n    remedy: subject, relation and object are separated by single tabs", ds[0].String())
	assert.Equal(t, `error[kg.syntax] b.nt:2:13: an object, <IRI>, _:label or "text", expected, found "."`, ds[2].String())
	ds = problems(t, Options{Limit: 2}, paths...)
	require.Len(t, ds, 3)
	assert.Equal(t, "info[kg.problems]: reading ended after 2 problems", ds[2].String())

	var seen []string
	opt := Options{Lenient: true, Limit: 2, Report: func(d sdk.Diagnostic) { seen = append(seen, string(d.Severity)+" "+d.Summary) }}
	assert.Equal(t, []string{"a () a", "a:b () ", "c () c", "e:f () ", "a b c", "a:b c:d e:f"}, read(t, opt, paths...))
	assert.Equal(t, []string{"warning the line has no three cells", "warning the line has no three cells", "warning 3 records could not be read and were left out"}, seen)
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	paths := write(t, "x.bin", "x", "y.tar", "")
	_, err := Open(context.Background(), append(paths, filepath.Join(dir, "none.nt"), dir), Options{})
	ds, _, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok)
	require.Len(t, ds, 3)
	assert.Contains(t, ds[0].Summary, "does not say what it holds")
	assert.Contains(t, ds[1].Summary, "no such file")
	assert.Contains(t, ds[2].Summary, "no file of a known format")
	_, err = Open(context.Background(), paths, Options{Format: "rdf"})
	assert.ErrorContains(t, err, `unknown format "rdf"`)
}

// In a folder an explicit format means the files that are of it, so far as names say.
func TestFormatOfOneFile(t *testing.T) {
	icd := write(t, "codes.tsv", "A00\tCholera\t\n")[0]
	obo := write(t, "x.obo", "format-version: 1.2\n\n[Term]\nid: X:1\nname: one\n")[0]
	assert.Equal(t, []string{"ICD10CM:A00 (Diagnosis) Cholera", "X:1 (X) one"}, read(t, Options{}, "icd:"+icd, obo))
	assert.Equal(t, []string{"ICD10CM:A00 (Diagnosis) Cholera"}, read(t, Options{Format: "obo"}, "icd:"+icd))
	for _, name := range []string{"icd10cm-codes-2026.txt", "icd10cm_order_2026.txt", "icd10cm_codes.txt"} {
		assert.Equal(t, []string{"ICD10CM:A00 (Diagnosis) Cholera"}, read(t, Options{}, write(t, name, "A00    Cholera\n")...), name)
	}
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("icd:x.spo", []byte("a\tr\tb\n"), 0o600))
	assert.Equal(t, []string{"a () a", "b () b", "a r b"}, read(t, Options{}, "icd:x.spo"))
	_, err := Open(t.Context(), []string{"icd:missing.tsv", "what:x.tsv"}, Options{})
	assert.ErrorContains(t, err, "missing.tsv")
	assert.ErrorContains(t, err, "what:x.tsv")
}

func TestFolderOfFormat(t *testing.T) {
	base := func(paths []string, format string) string {
		files, err := Files([]string{filepath.Dir(paths[0])}, Options{Format: format})
		require.NoError(t, err)
		for i := range files {
			files[i] = filepath.Base(files[i])
		}
		return strings.Join(files, " ")
	}
	mixed := write(t, "LICENSE", "", "a.rdf", "", "b.owl.gz", "", "c.tsv", "", "d.tar.gz", "")
	assert.Equal(t, "a.rdf b.owl.gz d.tar.gz", base(mixed, "rdfxml"))
	assert.Equal(t, "a.rdf b.owl.gz c.tsv d.tar.gz", base(mixed, "icd"))
	assert.Equal(t, "a.rdf b.owl.gz c.tsv d.tar.gz", base(mixed, ""))
	assert.Equal(t, "codes.txt order.txt", base(write(t, "codes.txt", "", "order.txt", ""), "icd"))
}

func packed(t *testing.T, names ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(names); i += 2 {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: names[i], Mode: 0o644, Size: int64(len(names[i+1]))}))
		_, err := w.Write([]byte(names[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestPacking(t *testing.T) {
	zip := func(b []byte) string {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, err := w.Write(b)
		require.NoError(t, errors.Join(err, w.Close()))
		return out.String()
	}
	zst := func(b []byte) string {
		w, err := zstd.NewWriter(nil)
		require.NoError(t, err)
		return string(w.EncodeAll(b, nil))
	}
	archive := packed(t, "d/a.spo", "a\tb\tc\n", "d/README.md", "no", "d/b.nt", "bad\n")
	good := packed(t, "d/a.spo", "a\tb\tc\n", "d/README.md", "no", "d/b.spo", "c\tb\td\n")
	want := []string{"a () a", "c () c", "d () d", "a b c", "c b d"}
	paths := write(t, "a.tar.gz", zip(good), "a.tgz", zip(good), "a.tar.zst", zst(good), "a.tar", string(good), "f/a.spo.gz", zip([]byte("a\tb\tc\n")), "f/b.spo.zst", zst([]byte("c\tb\td\n")))
	for _, p := range append(paths[:4], filepath.Dir(paths[4])) {
		assert.Equal(t, want, read(t, Options{}, p), p)
	}
	ds := problems(t, Options{}, write(t, "x.tar.gz", zip(archive))...)
	require.Len(t, ds, 1)
	assert.True(t, strings.HasSuffix(ds[0].File, "b.nt"))
	assert.Equal(t, 1, ds[0].Line)
	ds = problems(t, Options{}, write(t, "x.tar.gz", zip(good)[:60])...)
	require.Len(t, ds, 1)
	assert.Equal(t, "kg.file", ds[0].Code)
	ds = problems(t, Options{}, write(t, "x.nt.gz", "no gzip")...)
	assert.Equal(t, "kg.file", ds[0].Code)
	ds = problems(t, Options{}, write(t, "x.tar", string(packed(t, "README", "x")))...)
	assert.Contains(t, ds[0].Summary, "no file of a known format")
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	items, err := Open(ctx, write(t, "a.spo", "a\tb\tc\n"), Options{})
	require.NoError(t, err)
	cancel()
	for _, err := range items {
		assert.ErrorIs(t, err, context.Canceled)
	}
}

// No temporary file stays, whether the stream is read to its end or not.
func TestTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	for i := range 200_000 {
		b.WriteString(strings.Repeat("x", 40))
		b.WriteString(string(rune('a'+i%26)) + "\trelation\tobject\n")
	}
	items, err := Open(context.Background(), write(t, "a.spo", b.String()), Options{TempDir: dir})
	require.NoError(t, err)
	for it, err := range items {
		require.NoError(t, err)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.NotEmpty(t, entries, "the facts should be on disk")
		require.NotNil(t, it.Entity)
		break
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestItems(t *testing.T) {
	stream := func(items ...any) iter.Seq2[sdk.FactItem, error] {
		return func(yield func(sdk.FactItem, error) bool) {
			for _, x := range items {
				var ok bool
				switch x := x.(type) {
				case error:
					ok = yield(sdk.FactItem{}, x)
				case sdk.Entity:
					ok = yield(sdk.FactItem{Entity: &x}, nil)
				case sdk.Fact:
					ok = yield(sdk.FactItem{Fact: &x}, nil)
				}
				if !ok {
					return
				}
			}
		}
	}
	all := func(seq iter.Seq2[sdk.FactItem, error]) (lines []string, err error) {
		for it, e := range seq {
			if e != nil {
				return lines, e
			}
			lines = append(lines, show(it))
		}
		return lines, nil
	}
	lines, err := all(Items(context.Background(), stream(sdk.Entity{ID: "b", Type: "T", Names: []string{"B"}}, sdk.Entity{ID: "a"}, sdk.Fact{Subject: "b", Relation: "r", Object: "c"}, sdk.Entity{ID: "b", Names: []string{"Bee", "B"}}), Options{}))
	require.NoError(t, err)
	assert.Equal(t, []string{"a () ", "b (T) B|Bee", "c () ", "b r c"}, lines)
	bad := sdk.Diagnostics{{Severity: sdk.Error, Code: "x.y", Summary: "bad", File: "f", Line: 3}}
	_, err = all(Items(context.Background(), stream(bad.Err(), sdk.Fact{Subject: "a"}), Options{}))
	ds, _, ok := sdk.DiagnosticsOf(err)
	require.True(t, ok)
	assert.Len(t, ds, 2)
	_, err = all(Items(context.Background(), stream(errors.New("the plugin died")), Options{Lenient: true}))
	assert.EqualError(t, err, "the plugin died")
}

func TestOBO(t *testing.T) {
	const doc = `format-version: 1.2
default-namespace: toy

[Term]
id: T:2 ! comment
name: second {x="y"}
def: "Says \"two\"." [ref:1]
comment: with a colon: here
synonym: "zwei" EXACT layperson [x:1]
synonym: "number\, two" NARROW []
synonym: "deux" RELATED []
is_a: T:1 {source="x"} ! first
relationship: part_of T:3 ! third
xref: UMLS:C1 "label"
alt_id: T:9
subset: slim
created_by: nobody

[Term]
id: T:3
name: obsolete third
namespace: other
is_obsolete: true
replaced_by: T:2

[Typedef]
id: part_of
name: part of
`
	assert.Equal(t, []string{"T:1 () ", `T:2 (toy) second|zwei|deux|number, two map[comment:with a colon: here definition:Says "two".]`, "T:3 (other) obsolete third map[obsolete:true]", "part_of (Typedef) part of",
		"T:2 is_a T:1", "T:2 part_of T:3", `T:2 xref "UMLS:C1"`, `T:2 alt_id "T:9"`, `T:2 subset "slim"`, "T:3 replaced_by T:2"}, read(t, Options{}, write(t, "x.obo", doc)...))
	for text, want := range map[string]string{
		"[Term\nid: a":                     "1:1: a stanza's name is closed",
		"[Term]\nname: a":                  "1:1: the stanza has no id",
		"[Term]\nid: a\nno colon":          "3:1: a line is TAG: VALUE",
		"[Term]\nid: a\nid: b":             "3:5: the stanza has a second id",
		"[Term]\nid: a\ndef: x":            "3:6: a text in quotes",
		"[Term]\nid: a\nsynonym: \"x":      "3:10: the text has no closing quote",
		"[Term]\nid: a\nsynonym: \"x\" NO": "3:10: the scope of a synonym",
		"[Term]\nid: a\nis_a: ! b":         "3:7: is_a has no value",
		"[Term]\nid: a\nrelationship: b":   "3:15: a relationship is",
	} {
		ds := problems(t, Options{}, write(t, "x.obo", text)...)
		require.Len(t, ds, 1, text)
		assert.Contains(t, ds[0].String(), "x.obo:"+want)
	}
	assert.Equal(t, []string{"b (b) "}, read(t, Options{Lenient: true}, write(t, "x.obo", "[Term]\nid: a\nis_a:\n[Term]\nid: b")...), "a stanza that cannot be read is left out")
}

func TestHPOA(t *testing.T) {
	const header = "#version: x\ndatabase_id\tdisease_name\tqualifier\thpo_id\treference\tevidence\tonset\tfrequency\tsex\tmodifier\taspect\tbiocuration\n"
	row := func(cells ...string) string { return strings.Join(cells, "\t") + "\n" }
	doc := header + row("OMIM:1", "One disease", "", "HP:1", "PMID:1", "PCS", "", "1/4", "", "", "P", "x") + row("OMIM:1", "One disease", "NOT", "HP:2", "PMID:1", "PCS", "", "", "", "", "P", "x") +
		row("OMIM:1", "One disease", "", "HP:3", "PMID:2", "PCS", "", "HP:0040281", "", "", "P", "x") + row("OMIM:1", "One disease", "", "HP:4", "PMID:2", "PCS", "", "0/7", "", "", "P", "x") +
		row("OMIM:1", "One disease", "", "HP:5", "PMID:2", "PCS", "", "", "", "", "I", "x") + row("OMIM:1", "One disease", "", "HP:6", "PMID:2", "PCS", "", "17%", "", "", "C", "x")
	assert.Equal(t, []string{"HP:1 () ", "HP:2 () ", "HP:3 () ", "HP:4 () ", "HP:5 () ", "HP:6 () ", "OMIM:1 (Disease) One disease",
		"OMIM:1 has_phenotype HP:1 *0.25 @PMID:1", "OMIM:1 not_has_phenotype HP:2 @PMID:1", "OMIM:1 has_phenotype HP:3 *0.895 @PMID:2", "OMIM:1 not_has_phenotype HP:4 @PMID:2",
		"OMIM:1 has_inheritance HP:5 @PMID:2", "OMIM:1 has_clinical_course HP:6 *0.17 @PMID:2"}, read(t, Options{}, write(t, "x.hpoa", doc)...))
	bad := header + row("OMIM:1", "x", "", "HP:1", "", "", "", "", "", "", "Q", "") + row("OMIM:1", "x", "", "HP:1", "", "", "", "9/4", "", "", "P", "") + row("OMIM:1", "x", "MAYBE", "HP:1", "", "", "", "", "", "", "P", "") + "OMIM:1\n"
	ds := problems(t, Options{}, write(t, "x.hpoa", bad)...)
	require.Len(t, ds, 4)
	for i, want := range []string{"aspect", "frequency", "qualifier", "no disease or no term"} {
		assert.Contains(t, ds[i].Summary, want)
		assert.Equal(t, i+3, ds[i].Line)
	}
	ds = problems(t, Options{}, write(t, "x.hpoa", "a\tb\nx\ty\n")...)
	assert.Len(t, ds, 4, "the columns that are missing, no more")
}

func TestICD(t *testing.T) {
	want := []string{"ICD10CM:A00 (Diagnosis) Fever|Heat", "ICD10CM:A00-A09 (Diagnosis) Hot things", "ICD10CM:A00 is_a ICD10CM:A00-A09"}
	assert.Equal(t, want, read(t, Options{Format: "icd"}, write(t, "codes.tsv", "A00-A09\tHot things (A00-A09)\t\nA00\tFever\tHeat\n", "is_a.tsv", "A00\tis_a\tA00-A09\n")...))
	order := "00001 A00     0 Fever                                                        Fever\n" +
		"00002 A000    1 Fever, low                                                   Fever that is low\n00003 A001XA  1 Fever, high                                                  Fever that is high\n00004 B00     1 Other                                                        Other\n"
	want = []string{"ICD10CM:A00 (Diagnosis) Fever", "ICD10CM:A00.0 (Diagnosis) Fever that is low|Fever, low", "ICD10CM:A00.1XA (Diagnosis) Fever that is high|Fever, high", "ICD10CM:B00 (Diagnosis) Other",
		"ICD10CM:A00.0 is_a ICD10CM:A00", "ICD10CM:A00.1XA is_a ICD10CM:A00"}
	assert.Equal(t, want, read(t, Options{Format: "icd"}, write(t, "order.txt", order)...))
	assert.Equal(t, []string{"ICD10CM:A00.0 (Diagnosis) Fever that is low"}, read(t, Options{Format: "icd"}, write(t, "codes.txt", "A000    Fever that is low\n")...))
	ds := problems(t, Options{Format: "icd"}, write(t, "x.txt", "\tx\nfever\nA00\tis_a\t\n")...)
	assert.Len(t, ds, 3)
}

func TestWordNet(t *testing.T) {
	const noun = "  1 This is no licence\n" +
		"00000001 03 n 02 thing 0 wee_thing 1 003 @ 00000002 n 0000 ~ 00000003 n 0000 + 00000009 v 0101 | what is; \"a thing\"  \n" +
		"00000002 03 n 01 all 0 000 | everything\n"
	const adj = "00000005 00 s 02 small(p) 0 little 0 001 & 00000006 a 0000 | not big\n00000006 00 a 01 sizeable 0 000 | of size\n"
	assert.Equal(t, []string{`00000001-n (noun) thing|wee thing map[gloss:what is; "a thing"]`, "00000002-n (noun) all map[gloss:everything]", "00000005-a (adjective) small|little map[gloss:not big]",
		"00000006-a (adjective) sizeable map[gloss:of size]", "00000009-v () ", "00000001-n hypernym 00000002-n", "00000001-n derivation 00000009-v", "00000005-a similar_to 00000006-a"},
		read(t, Options{}, write(t, "data.noun", noun, "data.adj", adj)...))
	assert.Equal(t, []string{"00000001-n (noun) thing|wee thing map[gloss:what is]", "00000002-n () ", "00000001-n hypernym 00000002-n"},
		read(t, Options{Format: "wordnet"}, write(t, "synsets.tsv", "00000001-n\tthing|wee thing\twhat is\n", "triples.tsv", "00000001-n\thypernym\t00000002-n\n")...))
	ds := problems(t, Options{}, write(t, "data.verb", "x\n00000001 03 v 09 a 0\n00000001 03 v 01 a 0 001 ? 00000002 n 0000 | x\n00000001 03 v 01 a 0 x | y\na\tb\tc\n")...)
	assert.Len(t, ds, 5)
}
