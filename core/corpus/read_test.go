package corpus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// folder writes files and returns their folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func plan(t *testing.T, sets ...string) *recipe.Plan {
	t.Helper()
	p, ds := recipe.Resolve(recipe.Sources{Sets: sets})
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	return p
}

// read reads path and returns the diagnostics without their folder.
func read(t *testing.T, path string, req Request, sets ...string) (*Corpus, sdk.Diagnostics) {
	t.Helper()
	req.Plan = plan(t, append([]string{"data.path=" + path}, sets...)...)
	c, ds, err := Read(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	dir := path
	if filepath.Ext(path) != "" {
		dir = filepath.Dir(path)
	}
	for i := range ds {
		ds[i].File = strings.TrimPrefix(strings.TrimPrefix(ds[i].File, dir), string(filepath.Separator))
	}
	return c, ds
}

// problemsOf renders errors and warnings, without notices.
func problemsOf(ds sdk.Diagnostics) []string {
	var out []string
	for _, d := range ds {
		if d.Severity != sdk.Info {
			out = append(out, d.String())
		}
	}
	return out
}

// expect holds that each diagnostic (of errors and warnings) contains its text.
func expect(t *testing.T, ds sdk.Diagnostics, want ...string) {
	t.Helper()
	got := problemsOf(ds)
	if len(got) != len(want) {
		t.Fatalf("%d problems, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("problem %d is\n%s\nwant in it\n%s", i, got[i], want[i])
		}
	}
}

func notice(ds sdk.Diagnostics, text string) bool {
	return slices.ContainsFunc(ds, func(d sdk.Diagnostic) bool { return d.Severity == sdk.Info && strings.Contains(d.String(), text) })
}

const twoClasses = `{"text": "good", "label": "pos"}
{"text": "bad", "label": "neg"}
`

func TestReadJSONL(t *testing.T) {
	dir := folder(t, map[string]string{
		"train.jsonl": `{"id": "a", "text": "Shares rose.", "label": "pos", "source": "x", "year": 2020, "more": [1, 2]}
{"id": "b", "text": "Shares fell.", "label": "neg"}

{"id": "c", "text": "None.", "labels": {"label": "neg", "topic": ["m", "a"]}}
`,
		"dev.jsonl":   `{"text": "Up.", "label": "pos"}` + "\n",
		"test.jsonl":  `{"text": "Down.", "label": "neg"}` + "\n",
		"extra.jsonl": "{}\n",
		"notes.md":    "x",
	})
	c, ds := read(t, dir, Request{})
	expect(t, ds)
	if !notice(ds, "files left aside: extra.jsonl") {
		t.Errorf("no notice of the file left aside: %s", ds)
	}
	want := []sdk.HeadSpec{{Name: "label", Kind: sdk.KindClassify, Labels: []string{"neg", "pos"}}, {Name: "topic", Kind: sdk.KindMultilabel, Labels: []string{"a", "m"}}}
	if diff := cmp.Diff(want, c.Heads); diff != "" {
		t.Error(diff)
	}
	got := c.Train[0]
	got.File = ""
	if diff := cmp.Diff(sdk.Example{ID: "a", Text: "Shares rose.", Line: 1, Labels: map[string]sdk.Label{"label": {Values: []string{"pos"}}},
		Meta: map[string]string{"source": "x", "year": "2020", "more": "[1,2]"}}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]sdk.Label{"label": {Values: []string{"neg"}}, "topic": {Values: []string{"a", "m"}}}, c.Train[2].Labels); diff != "" {
		t.Error(diff)
	}
	if len(c.Valid) != 1 || len(c.Test) != 1 || c.Valid[0].ID != "valid-1" {
		t.Errorf("valid %+v, test %+v", c.Valid, c.Test)
	}
}

func TestFields(t *testing.T) {
	files := map[string]string{
		"train.csv": "question,answer,grade\nWhat?,\"This, that\",good\nWhy?,\"He said \"\"no\"\"\nand left\",bad\n",
		"test.csv":  "question,answer,grade\nHow?,So.,good\n",
	}
	c, ds := read(t, folder(t, files), Request{}, "data.fields={text: question, text_b: answer}", "data.label=grade")
	expect(t, ds)
	if c.Train[1].TextB != "He said \"no\"\nand left" || c.Train[1].Line != 3 || c.Train[1].Labels["label"].Values[0] != "bad" {
		t.Errorf("%+v", c.Train[1])
	}
	c, ds = read(t, folder(t, files), Request{}, "data.fields={quality: grade}")
	expect(t, ds)
	if c.Heads[0].Name != "quality" || !notice(ds, `guessed: text from "question"`) {
		t.Errorf("%+v %s", c.Heads, ds)
	}
	_, ds = read(t, folder(t, files), Request{}, "data.label=grad")
	if !strings.Contains(ds.String(), `there is no column or field "grad", which data.label names`) || !strings.Contains(ds.String(), `did you mean "grade"?`) {
		t.Error(ds)
	}
	tsv := map[string]string{"train.tsv": "Sentiment\tSentence\n1\tA \"quoted\" word\n0\t\"all \"\"of\"\" it\"\n"}
	c, ds = read(t, folder(t, tsv), Request{})
	expect(t, ds)
	if c.Train[0].Text != `A "quoted" word` || c.Train[1].Text != `all "of" it` || c.Heads[0].Labels[0] != "0" {
		t.Errorf("%+v", c.Train)
	}
	semicolons := map[string]string{"train.csv": "label;text\na;x, y\nb;z\n"}
	c, ds = read(t, folder(t, semicolons), Request{})
	expect(t, ds)
	if c.Train[0].Text != "x, y" || !notice(ds, "separated by") {
		t.Errorf("%+v", c.Train)
	}
	several := map[string]string{"train.csv": "text,label\nx,a|b\ny,\nz,b\n"}
	c, ds = read(t, folder(t, several), Request{}, "heads.label.kind=multilabel.v0")
	expect(t, ds, "1 of 3 training examples")
	if !slices.Equal(c.Heads[0].Labels, []string{"a", "b"}) || len(c.Train[0].Labels["label"].Values) != 2 || c.Train[1].Labels != nil {
		t.Errorf("%+v %+v", c.Train, c.Heads)
	}
	whole := map[string]string{"train.json": `[{"text": "x", "label": "a"}, {"text": "y", "label": "b"}]`}
	c, ds = read(t, folder(t, whole), Request{})
	expect(t, ds)
	if len(c.Train) != 2 || !notice(ds, "one JSON list") {
		t.Errorf("%+v", c.Train)
	}
	pairs := map[string]string{"train.jsonl": `{"a": "x", "b": "y", "label": true}` + "\n" + `{"a": "v", "b": "w", "label": false}` + "\n"}
	c, ds = read(t, folder(t, pairs), Request{})
	expect(t, ds)
	if c.Train[0].TextB != "y" || !slices.Equal(c.Heads[0].Labels, []string{"false", "true"}) {
		t.Errorf("%+v %+v", c.Train, c.Heads)
	}
}

func TestReadCoNLL(t *testing.T) {
	for name, tc := range map[string]struct {
		text   string
		tokens [][]string
		tags   [][]string
		notice string
	}{
		"two columns": {"EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\n", [][]string{{"EU", "rejects"}, {"Peter", "Blackburn"}}, [][]string{{"B-ORG", "O"}, {"B-PER", "I-PER"}}, ""},
		"four columns, IOB1": {"-DOCSTART- -X- -X- O\n\nEU NNP B-NP I-ORG\nrejects VBZ B-VP O\nUS NNP I-NP I-LOC\nUK NNP I-NP B-LOC\n. . O O\n\n",
			[][]string{{"EU", "rejects", "US", "UK", "."}}, [][]string{{"B-ORG", "O", "B-LOC", "B-LOC", "O"}}, "IOB1, converted to BIO"},
		"BIOES": {"a\tS-X\nb\tB-Y\nc\tI-Y\nd\tE-Y\ne\tE-Y\n", [][]string{{"a", "b", "c", "d", "e"}}, [][]string{{"B-X", "B-Y", "I-Y", "I-Y", "B-Y"}}, "IOBES, converted"},
		"BILOU": {"a\tU-X\nb\tB-Y\nc\tL-Y\nd\tU-Y\n", [][]string{{"a", "b", "c", "d"}}, [][]string{{"B-X", "B-Y", "I-Y", "B-Y"}}, "IOBES, converted"},
		"loose": {"a\tB-X\nb\tI-Y\nc\tO\n", [][]string{{"a", "b", "c"}}, [][]string{{"B-X", "B-Y", "O"}}, "1 entity begins with I-"},
		"crlf":  {"a\tB-X\r\nb\tO\r\n \t \r\nc\tO\r\n", [][]string{{"a", "b"}, {"c"}}, [][]string{{"B-X", "O"}, {"O"}}, ""},
		"free":  {"a\tDET\nb\tNOUN\n", [][]string{{"a", "b"}}, [][]string{{"DET", "NOUN"}}, "they are taken as they are"},
		"blank": {"a\tB-X\n \tO\n\u3000\tO\n", [][]string{{"a", " ", "\u3000"}}, [][]string{{"B-X", "O", "O"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, ds := read(t, folder(t, map[string]string{"train.conll": tc.text}), Request{})
			expect(t, ds)
			if tc.notice != "" && !notice(ds, tc.notice) {
				t.Errorf("no notice %q in\n%s", tc.notice, ds)
			}
			var tokens, tags [][]string
			for _, ex := range c.Train {
				var words []string
				for _, tok := range ex.Tokens {
					words = append(words, ex.Text[tok.Start:tok.End])
				}
				tokens, tags = append(tokens, words), append(tags, ex.Labels[c.Heads[0].Name].Tags)
			}
			if diff := cmp.Diff(tc.tokens, tokens); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.tags, tags); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSchemes(t *testing.T) {
	iob1 := folder(t, map[string]string{"train.conll": "a I-X\nb O\n\nc I-Y\n"})
	c, ds := read(t, iob1, Request{}, "data.scheme=none")
	expect(t, ds)
	if diff := cmp.Diff([]sdk.HeadSpec{{Name: "ner", Kind: sdk.KindTag, Scheme: "none", Labels: []string{"I-X", "I-Y", "O"}}}, c.Heads); diff != "" {
		t.Error(diff)
	}
	c, ds = read(t, iob1, Request{Heads: []sdk.HeadSpec{{Name: "ents", Kind: sdk.KindTag, Scheme: "bilou", Labels: []string{"Y", "X"}}}})
	expect(t, ds)
	if h := c.Heads[0]; h.Name != "ents" || !slices.Equal(h.Labels, []string{"Y", "X"}) || c.Train[0].Labels["ents"].Tags[0] != "U-X" {
		t.Errorf("%+v %+v", c.Heads, c.Train)
	}
	c, ds = read(t, iob1, Request{}, "data.labels=B-Y, I-Y, B-X, I-X, O")
	expect(t, ds)
	if diff := cmp.Diff([]string{"O", "B-Y", "I-Y", "B-X", "I-X"}, recipe.Outputs(c.Heads[0])); diff != "" {
		t.Error(diff)
	}
	c, ds = read(t, iob1, Request{}, "heads.ner.labels=B-Y, I-Y, B-X, I-X, O")
	expect(t, ds)
	if diff := cmp.Diff([]string{"O", "B-Y", "I-Y", "B-X", "I-X"}, recipe.Outputs(c.Heads[0])); diff != "" {
		t.Error(diff)
	}
	_, ds = read(t, folder(t, map[string]string{"train.conll": "a B-X\nb O\nc BX\nd I-X\n"}), Request{})
	expect(t, ds, `error[data.tag] train.conll:3: "BX" is not a tag of head "ner"`)
}

func TestSpans(t *testing.T) {
	// "苹果" are bytes 0-6, "公司" 6-12; the emoji has four bytes.
	c, ds := read(t, folder(t, map[string]string{"train.jsonl": `{"text": "苹果公司 in US😀", "spans": [{"start": 16, "end": 18, "label": "LOC"}, {"start": 0, "end": 12, "label": "ORG"}]}` + "\n"}), Request{})
	expect(t, ds)
	l := c.Train[0].Labels["ner"]
	if diff := cmp.Diff([]string{"B-ORG", "I-ORG", "I-ORG", "I-ORG", "O", "B-LOC", "O"}, l.Tags); diff != "" {
		t.Error(diff)
	}
	c, ds = read(t, folder(t, map[string]string{"train.jsonl": `{"text": "苹果公司 in US😀", "spans": [{"start": 8, "end": 10, "label": "LOC", "text": "US"}, {"start": 0, "end": 4, "label": "ORG"}]}` + "\n"}), Request{}, "data.offsets=chars")
	expect(t, ds)
	if diff := cmp.Diff(l, c.Train[0].Labels["ner"]); diff != "" {
		t.Error(diff)
	}
	_, ds = read(t, folder(t, map[string]string{"train.jsonl": strings.Join([]string{
		`{"text": "abc", "spans": [{"start": 1, "end": 9, "label": "X"}]}`,
		`{"text": "苹果", "spans": [{"start": 0, "end": 2, "label": "X"}]}`,
		`{"text": "abc", "spans": [{"start": 2, "end": 2, "label": "X"}]}`,
		`{"text": "abc def gh", "spans": [{"start": 4, "end": 7, "label": "Y"}, {"start": 0, "end": 7, "label": "X"}, {"start": 4, "end": 10, "label": "Z"}]}`,
		`{"text": "abc", "spans": [{"start": "0", "end": 2, "label": "X"}]}`,
		`{"text": "abc", "spans": [{"start": 0, "end": 2, "label": "X", "text": "bc"}]}`,
		`{"text": "abcdef", "spans": [{"start": 1, "end": 3, "label": "X"}]}`,
		`{"text": "abcdef", "spans": [{"start": 0, "end": 6, "label": "X"}]}`,
	}, "\n")}), Request{})
	expect(t, ds,
		`error[data.span] train.jsonl:1: span "X" [1, 9) lies outside the text of 3 bytes`,
		`error[data.span] train.jsonl:2: span "X" [0, 2) cuts a character`,
		`error[data.span] train.jsonl:3: span "X" [2, 2) is empty`,
		`error[data.span] train.jsonl:5: spans[0] wants whole numbers`,
		`error[data.span] train.jsonl:6: span "X" [0, 2) is "ab" in the text, the file says "bc"`,
		`warning[data.span] train.jsonl:4: span "Z" [4, 10) "def gh" overlaps another span`,
		`warning[data.span] train.jsonl:4: span "Y" [4, 7) "def" lies within the words of another span and is lost`,
		`warning[data.span] train.jsonl:7: span "X" [1, 3) "bc" cuts the word "abcdef"`)
}

// Labels of heads may be objects that hold spans or tags, as sdk.ReadJSONL takes
// them; the examples are the same as those of the plain forms.
func TestLabelsOfHeadsAsObjects(t *testing.T) {
	const row = `{"text": "Acme fell in Rome.", "labels": {"tone": "bad", "ents": {"spans": [{"start": 0, "end": 4, "label": "ORG"}, {"start": 13, "end": 17, "label": "LOC"}]}}}` + "\n"
	c, ds := read(t, folder(t, map[string]string{"train.jsonl": row + `{"text": "Acme rose.", "labels": {"tone": "good", "ents": {"spans": []}}}` + "\n"}), Request{})
	expect(t, ds)
	if got := c.Train[0].Labels; got["tone"].Values[0] != "bad" || !slices.Equal(got["ents"].Tags, []string{"B-ORG", "O", "O", "B-LOC", "O"}) {
		t.Errorf("%+v", got)
	}
	if got := c.Train[1].Labels["ents"].Tags; !slices.Equal(got, []string{"O", "O", "O"}) {
		t.Errorf("%+v", got)
	}
	for ex, err := range sdk.ReadJSONL("train.jsonl", strings.NewReader(row)) {
		if err != nil || !slices.Equal(ex.Labels["ents"].Spans, c.Train[0].Labels["ents"].Spans) {
			t.Errorf("%+v %v", ex.Labels, err)
		}
	}
	c, ds = read(t, folder(t, map[string]string{"train.jsonl": `{"tokens": ["Acme", "fell"], "labels": {"ents": {"tags": ["B-ORG", "O"]}, "tone": null}}` + "\n"}), Request{})
	expect(t, ds)
	if got := c.Train[0].Labels["ents"].Tags; !slices.Equal(got, []string{"B-ORG", "O"}) {
		t.Errorf("%+v", got)
	}
	_, ds = read(t, folder(t, map[string]string{"train.jsonl": strings.Join([]string{
		`{"text": "abc", "labels": {"ents": {"spans": [{"start": 1, "end": 9, "label": "X"}]}}}`,
		`{"text": "abc", "labels": {"ents": {"span": []}}}`,
		`{"text": "abc", "labels": {"ents": {"spans": "X"}}}`,
		`{"text": "abc", "labels": {"ents": {"tags": ["O", "O"]}}}`,
	}, "\n")}), Request{})
	expect(t, ds,
		`error[data.span] train.jsonl:1: span "X" [1, 9) lies outside the text of 3 bytes`,
		`error[data.label] train.jsonl:2: labels.ents has the key "span"; an object may hold tags or spans`,
		`error[data.spans] train.jsonl:3: labels.ents.spans is not a list`,
		`error[data.tags] train.jsonl:4: 2 tags for 0 tokens`)
}

func TestBadInput(t *testing.T) {
	long := strings.Repeat("word ", 1<<18)
	many := strings.Repeat("a\n", 50)
	for name, tc := range map[string]struct {
		files map[string]string
		sets  []string
		want  []string
	}{
		"empty file":        {map[string]string{"train.jsonl": " \n"}, nil, []string{`error[data.empty] train.jsonl: the file is empty`}},
		"header only":       {map[string]string{"train.csv": "text,label\n"}, nil, []string{`error[data.empty] train.csv: the file holds no rows`}},
		"wrong encoding":    {map[string]string{"train.jsonl": twoClasses + "{\"text\": \"Grö\xdfe ä ö ü ß é è ê à ñ ç\", \"label\": \"pos\"}\n"}, nil, []string{`error[data.encoding] train.jsonl:3:14: not valid UTF-8`}},
		"not gb18030":       {map[string]string{"train.jsonl": twoClasses + "{\"text\": \"x\xff\", \"label\": \"pos\"}\n"}, []string{"data.encoding=gb18030"}, []string{`error[data.encoding] train.jsonl:3: not valid gb18030`}},
		"columns missing":   {map[string]string{"train.conll": "a N P B-X\nb N P O\nc\nd N P O\n"}, nil, []string{`error[data.columns] train.conll:3: 1 column where the lines before have 4`}},
		"many problems":     {map[string]string{"train.conll": "a O\n" + many}, nil, append(slices.Repeat([]string{`error[data.columns] train.conll:`}, 20), `and 30 more of this kind`)},
		"test label":        {map[string]string{"train.jsonl": twoClasses, "test.jsonl": `{"text": "x", "label": "neu"}` + "\n"}, nil, []string{`warning[data.label] test.jsonl:1: label "neu" occurs in test (1 row) but never in train`}},
		"typo in test":      {map[string]string{"train.jsonl": twoClasses, "test.jsonl": `{"text": "x", "label": "poss"}` + "\n"}, nil, []string{`if "pos" is meant, correct it`}},
		"duplicate ids":     {map[string]string{"train.jsonl": `{"id": 1, "text": "a", "label": "x"}` + "\n" + `{"id": 1, "text": "b", "label": "y"}` + "\n"}, nil, []string{`error[data.id] train.jsonl:2: the ID "1" was used before`}},
		"label conflict":    {map[string]string{"train.jsonl": twoClasses + `{"text": "good", "label": "neg"}` + "\n"}, nil, []string{`warning[data.conflict] train.jsonl:3: the same text is labelled "neg" here and "pos" in`}},
		"1 MB":              {map[string]string{"train.jsonl": twoClasses + `{"text": "` + long + `", "label": "neg"}` + "\n"}, nil, []string{`warning[data.long] train.jsonl:3: the text has 1310720 bytes`}},
		"NUL":               {map[string]string{"train.jsonl": twoClasses + `{"text": "a\u0000b\u0000", "label": "neg"}` + "\n"}, nil, []string{`warning[data.nul] train.jsonl:3: the text holds 2 NUL bytes`}},
		"one class":         {map[string]string{"train.jsonl": `{"text": "a", "label": "x"}` + "\n"}, nil, []string{`error[data.class] train.jsonl: every example of train has the label "x"`}},
		"only O":            {map[string]string{"train.conll": "a O\nb O\n"}, nil, []string{`error[data.class] train.conll: every token of train has the tag "O"`}},
		"no labels":         {map[string]string{"train.jsonl": `{"text": "a"}` + "\n"}, nil, []string{`error[data.label] train.jsonl: no example has a label`}},
		"unlabelled":        {map[string]string{"train.jsonl": twoClasses + `{"text": "a", "lable": "pos"}` + "\n"}, nil, []string{`warning[data.unlabelled] train.jsonl:3: 1 of 3 training examples have no label`}},
		"no text":           {map[string]string{"train.jsonl": twoClasses + `{"label": "x"}` + "\n"}, nil, []string{`error[data.text] train.jsonl:3: the field "text" is missing`}},
		"empty text":        {map[string]string{"train.jsonl": twoClasses + `{"text": " ", "label": "pos"}` + "\n"}, nil, []string{`warning[data.text] train.jsonl:3: the text is empty`}},
		"no JSON":           {map[string]string{"train.jsonl": twoClasses + "{\"text\": \"a\" \"label\": 1}\n[1]\n{} {}\n"}, nil, []string{`error[data.json] train.jsonl:3:14: not a JSON object`, `error[data.json] train.jsonl:4: not a JSON object`, `train.jsonl:5: not a JSON object: more text after`}},
		"tags and tokens":   {map[string]string{"train.jsonl": `{"tokens": ["a", "b"], "tags": ["O"]}` + "\n"}, nil, []string{`error[data.tags] train.jsonl:1: 1 tag for 2 tokens`}},
		"broken CSV":        {map[string]string{"train.csv": "text,label\na,x\n\"b,y\nc,z\n"}, nil, []string{`error[data.csv] train.csv:`}},
		"ragged CSV":        {map[string]string{"train.csv": "text,label\na,x\nb, c,y\nd,y\n"}, nil, []string{`error[data.columns] train.csv:3: 3 columns, the header has 2`}},
		"two same columns":  {map[string]string{"train.csv": "text,text\na,x\n"}, nil, []string{`error[data.csv] train.csv:1: two columns are called "text"`}},
		"declared labels":   {map[string]string{"train.jsonl": twoClasses}, []string{"data.labels=pos, neu, ngative"}, []string{`error[data.label] train.jsonl:2: unknown label "neg"`}},
		"unknown format":    {map[string]string{"train.jsonl": twoClasses}, []string{"data.format=jsonlines"}, []string{`error[data.format] train.jsonl: unknown format "jsonlines"`}},
		"not parquet":       {map[string]string{"train.parquet": "PAR1"}, nil, []string{`error[data.parquet] train.parquet: cannot be read as Parquet`}},
		"no number":         {map[string]string{"train.jsonl": `{"text": "a", "label": 2.5}` + "\n" + `{"text": "b", "label": "many"}` + "\n"}, []string{"heads.label.kind=regress.v0"}, []string{`error[data.label] train.jsonl:2: the label "many", which is no number, does not fit head "label" of kind regress.v0`}},
		"no second text":    {map[string]string{"train.jsonl": `{"text": "a", "text_b": "c", "label": 1}` + "\n" + `{"text": "b", "label": 0}` + "\n"}, []string{"heads.label.kind=rank.v0"}, []string{`error[data.pair] train.jsonl:2: head "label" of kind rank.v0 wants two texts`}},
		"apart and at once": {map[string]string{"train.jsonl": `{"text": "a", "text_b": "c", "labels": {"near": 1, "topic": "x"}}` + "\n" + `{"text": "b", "text_b": "d", "labels": {"topic": "y"}}` + "\n"}, []string{"heads.near.kind=embed.v0"}, []string{`error[data.pair] train.jsonl:1: head "near" reads the two texts of a row one by one`}},
		"no similarity":     {map[string]string{"train.jsonl": `{"text": "a", "text_b": "c", "label": 4}` + "\n" + `{"text": "b", "text_b": "d", "label": 0}` + "\n"}, []string{"heads.label.kind=embed.v0"}, []string{`error[data.label] train.jsonl:1: the number 4 of head "label" is not in 0..1`}},
		"unknown head":      {map[string]string{"train.jsonl": twoClasses}, []string{"heads.lable.loss=ce"}, []string{`error[data.head] heads.lable: the recipe changes head "lable"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, ds := read(t, folder(t, tc.files), Request{}, tc.sets...)
			expect(t, ds, tc.want...)
		})
	}
}

func TestEncodings(t *testing.T) {
	text := "text,label\n股市今天大幅上涨，投资者高兴,pos\n公司利润下降,neg\n"
	latin := "text,label\nGröße und Wärme über alles,pos\nplain,neg\n"
	encoded := func(enc interface{ Bytes([]byte) ([]byte, error) }, s string) string {
		b, err := enc.Bytes([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, tc := range map[string]struct{ data, want, notice, set string }{
		"utf-8 bom":    {"\xef\xbb\xbf" + text, text, "", ""},
		"gb18030":      {encoded(simplifiedchinese.GB18030.NewEncoder(), text), text, "read as gb18030", ""},
		"gb18030 set":  {encoded(simplifiedchinese.GB18030.NewEncoder(), text), text, "", "data.encoding=gb18030"},
		"utf-16 bom":   {encoded(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder(), text), text, "read as utf-16", ""},
		"utf-16 be":    {encoded(unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder(), latin), latin, "read as utf-16", ""},
		"utf-16 le":    {encoded(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder(), latin), latin, "read as utf-16", ""},
		"latin-1":      {encoded(charmap.ISO8859_1.NewEncoder(), latin), latin, "read as latin-1", ""},
		"windows-1252": {encoded(charmap.Windows1252.NewEncoder(), "text,label\n“quoted” – text,pos\nb,neg\n"), "text,label\n“quoted” – text,pos\nb,neg\n", "read as latin-1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var sets []string
			if tc.set != "" {
				sets = append(sets, tc.set)
			}
			c, ds := read(t, folder(t, map[string]string{"train.csv": tc.data}), Request{}, sets...)
			expect(t, ds)
			if tc.notice != "" && !notice(ds, tc.notice) || tc.notice == "" && notice(ds, "read as") {
				t.Errorf("notices: %s", ds)
			}
			want := strings.Split(strings.TrimSpace(tc.want), "\n")[1]
			if got := c.Train[0].Text + "," + c.Train[0].Labels["label"].Values[0]; got != want {
				t.Errorf("read %q, want %q", got, want)
			}
		})
	}
}

func TestParquet(t *testing.T) {
	type span struct {
		Start int32  `parquet:"start"`
		End   int32  `parquet:"end"`
		Label string `parquet:"label"`
	}
	type line struct {
		Text  string   `parquet:"text"`
		Label *int64   `parquet:"label,optional"`
		Score float64  `parquet:"score"`
		Words []string `parquet:"words,list"`
		Spans []span   `parquet:"spans,list"`
	}
	one, zero := int64(1), int64(0)
	var b bytes.Buffer
	w := parquet.NewGenericWriter[line](&b, parquet.KeyValueMetadata("huggingface", `{"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}`))
	if _, err := w.Write([]line{
		{"in US", &one, 0.5, []string{"a", "b"}, []span{{3, 5, "LOC"}}},
		{"no", &zero, 1, nil, nil},
		{"none", nil, 1, []string{}, []span{{0, 2, "X"}, {2, 4, "Y"}}},
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c, ds := read(t, folder(t, map[string]string{"train-00000-of-00001.parquet": b.String()}), Request{})
	expect(t, ds, `warning[data.span]`, `warning[data.span]`, `[2, 4) "ne" lies within the words`)
	var got []map[string]sdk.Label
	for _, ex := range c.Train {
		got = append(got, ex.Labels)
	}
	want := []map[string]sdk.Label{
		{"label": {Values: []string{"pos"}}, "ner": {Tags: []string{"O", "B-LOC"}, Spans: []sdk.Span{{Start: 3, End: 5, Label: "LOC"}}}},
		{"label": {Values: []string{"neg"}}, "ner": {Tags: []string{"O"}, Spans: []sdk.Span{}}},
		{"ner": {Tags: []string{"B-X"}, Spans: []sdk.Span{{Start: 0, End: 2, Label: "X"}, {Start: 2, End: 4, Label: "Y"}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"score": "0.5", "words": `["a","b"]`}, c.Train[0].Meta); diff != "" {
		t.Error(diff)
	}
}

func TestHeadsOfBareLabels(t *testing.T) {
	heads := []sdk.HeadSpec{
		{Name: "sentiment", Kind: sdk.KindClassify, Labels: []string{"pos", "neg", "neu"}},
		{Name: "polarity", Kind: sdk.KindClassify, Labels: []string{"pos", "neg"}},
		{Name: "topics", Kind: sdk.KindMultilabel, Labels: []string{"tax", "law"}},
		{Name: "ner", Kind: sdk.KindTag, Labels: []string{"ORG"}},
	}
	for name, tc := range map[string]struct {
		text  string
		heads []sdk.HeadSpec
		sets  []string
		used  []string
		want  []string
	}{
		"several cover":     {twoClasses, heads, nil, nil, []string{`error[data.head] train.jsonl:1: these labels fit several heads: sentiment, polarity`}},
		"data.head":         {twoClasses, heads, []string{"data.head=polarity"}, []string{"polarity"}, nil},
		"one covers":        {twoClasses + `{"text": "so so", "label": "neu"}`, heads, nil, []string{"sentiment"}, nil},
		"none covers":       {twoClasses + `{"text": "so so", "label": "nue"}`, heads, nil, nil, []string{`error[data.head] train.jsonl:1: no head has all of these labels: neg, nue, pos`}},
		"new by name":       {twoClasses + `{"text": "so so", "label": "nue"}`, heads, []string{"data.head=mood"}, []string{"mood"}, nil},
		"lists":             {`{"text": "a", "label": ["tax"]}` + "\n" + `{"text": "b", "label": []}`, heads, nil, []string{"topics"}, nil},
		"one text of list":  {`{"text": "a", "label": "tax"}` + "\n" + `{"text": "b", "label": "law"}`, heads, nil, []string{"topics"}, nil},
		"tags":              {`{"tokens": ["a", "b"], "tags": ["B-ORG", "O"]}`, heads, nil, []string{"ner"}, nil},
		"named":             {`{"text": "a", "labels": {"sentiment": "pos", "new": "x"}}` + "\n" + `{"text": "b", "labels": {"sentiment": "neg", "new": "y"}}`, heads, nil, []string{"sentiment", "new"}, nil},
		"named, unknown":    {`{"text": "a", "labels": {"sentiment": "post"}}` + "\n" + `{"text": "b", "labels": {"sentiment": "neg"}}`, heads, nil, []string{"sentiment"}, []string{`error[data.label] train.jsonl:1: unknown label "post"`}},
		"no plugin":         {twoClasses, nil, nil, []string{"label"}, nil},
		"bits":              {`{"text": "a", "label": 1}` + "\n" + `{"text": "b", "label": 0}`, nil, nil, []string{"label"}, nil},
		"numbers as labels": {`{"text": "a", "label": 1}` + "\n" + `{"text": "b", "label": 5}`, []sdk.HeadSpec{{Name: "stars", Kind: sdk.KindClassify, Labels: []string{"1", "2", "3", "4", "5"}}}, nil, []string{"stars"}, nil},
		"forced kind":       {`{"text": "a", "label": 1.0}` + "\n" + `{"text": "b", "label": 5}`, nil, []string{"heads.label.kind=classify.v0"}, []string{"label"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, ds := read(t, folder(t, map[string]string{"train.jsonl": tc.text}), Request{Heads: tc.heads}, tc.sets...)
			expect(t, ds, tc.want...)
			if diff := cmp.Diff(tc.used, headNames(c.Heads), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
	c, ds := read(t, folder(t, map[string]string{"train.jsonl": twoClasses}), Request{Heads: heads}, "data.head=sentiment")
	expect(t, ds)
	if !slices.Equal(c.Heads[0].Labels, []string{"pos", "neg", "neu"}) || !notice(ds, "3 heads stay out without labels in the data: polarity, topics, ner") {
		t.Errorf("%+v\n%s", c.Heads, ds)
	}
}

func TestClosed(t *testing.T) {
	heads := []sdk.HeadSpec{{Name: "mood", Kind: sdk.KindClassify, Labels: []string{"pos", "neg"}}}
	file := filepath.Join(folder(t, map[string]string{"x.jsonl": twoClasses + `{"text": "c", "label": "psos", "labels": {"other": "z"}}` + "\n"}), "x.jsonl")
	c, ds := read(t, file, Request{Heads: heads, Closed: true, Whole: true})
	expect(t, ds, `error[data.label] x.jsonl:3: unknown label "psos"`)
	if len(c.Test) != 3 || len(c.Heads) != 1 || !notice(ds, `labels of "other" are left aside`) {
		t.Errorf("%+v\n%s", c, ds)
	}
	plain := filepath.Join(folder(t, map[string]string{"x.csv": "text\na\nb\n"}), "x.csv")
	c, ds = read(t, plain, Request{Heads: heads, Closed: true, Whole: true})
	expect(t, ds)
	if len(c.Test) != 2 || len(c.Heads) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestSplitOneFile(t *testing.T) {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, `{"text": "text %d", "label": "%d", "doc": "d%d"}`+"\n", i/2, i/2%2, i/100)
	}
	file := filepath.Join(folder(t, map[string]string{"x.jsonl": b.String()}), "x.jsonl")
	c, ds := read(t, file, Request{})
	expect(t, ds)
	if n := len(c.Train) + len(c.Valid) + len(c.Test); n != 2000 || len(c.Train) < 1500 || len(c.Valid) < 140 || len(c.Test) < 140 || notice(ds, "also in train") {
		t.Errorf("%d %d %d\n%s", len(c.Train), len(c.Valid), len(c.Test), ds)
	}
	if !strings.HasPrefix(c.Train[0].ID, "all-") {
		t.Errorf("ID %s: splitting must not change IDs", c.Train[0].ID)
	}
	half := filepath.Join(folder(t, map[string]string{"x.jsonl": b.String()[:b.Len()/2+10]}), "x.jsonl")
	d, _ := read(t, half, Request{Check: true})
	in := map[string]string{}
	for _, split := range SplitNames() {
		for _, ex := range c.Split(split) {
			in[ex.Text] = split
		}
	}
	for _, split := range SplitNames() {
		for _, ex := range d.Split(split) {
			if in[ex.Text] != split {
				t.Fatalf("%q moved from %s to %s", ex.Text, in[ex.Text], split)
			}
		}
	}
	c, ds = read(t, file, Request{}, "data.split_by=doc", "data.split=0.6, 0.2, 0.2")
	expect(t, ds)
	docs := map[string]string{}
	for _, split := range SplitNames() {
		for _, ex := range c.Split(split) {
			if other, ok := docs[ex.Meta["doc"]]; ok && other != split {
				t.Fatalf("document %s lies in %s and %s", ex.Meta["doc"], other, split)
			}
			docs[ex.Meta["doc"]] = split
		}
	}
}

// Of one split alone nothing else is looked at: not a file that cannot be read, not the
// rows of one that is split, not another split of a dataset.
func TestOnly(t *testing.T) {
	dir := folder(t, map[string]string{"train.jsonl": twoClasses, "valid.jsonl": "x", "test.jsonl": "no JSON\n"})
	c, ds := read(t, dir, Request{Only: "train"})
	expect(t, ds)
	if len(c.Train) == 0 || len(c.Valid)+len(c.Test) > 0 || len(c.Inputs) != 1 || notice(ds, "no validation examples") {
		t.Errorf("%+v\n%s", c, ds)
	}
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, `{"text": "text %d", "label": "%d"}`+"\n", i, i%2)
	}
	file := filepath.Join(folder(t, map[string]string{"x.jsonl": b.String()}), "x.jsonl")
	all, _ := read(t, file, Request{})
	c, ds = read(t, file, Request{Only: "train"})
	expect(t, ds)
	if d := cmp.Diff(all.Train, c.Train); d != "" || len(c.Valid)+len(c.Test) > 0 {
		t.Errorf("%d %d\n%s", len(c.Valid), len(c.Test), d)
	}
	c, ds, err := Read(context.Background(), Request{Plan: plan(t, "data.path=sample"), Heads: []sdk.HeadSpec{{Name: "sentiment", Kind: sdk.KindClassify, Labels: []string{"pos", "neg"}}}, Domain: finance{}, Only: "train"})
	if err != nil || ds.HasErrors() || len(c.Inputs) != 1 || c.Inputs[0].Split != "train" {
		t.Errorf("%+v %v\n%s", c, err, ds)
	}
}

func TestLeakNotice(t *testing.T) {
	_, ds := read(t, folder(t, map[string]string{"train.jsonl": twoClasses, "test.jsonl": `{"text": "Good ", "label": "pos"}` + "\n" + `{"text": "other", "label": "pos"}` + "\n"}), Request{})
	expect(t, ds)
	if !notice(ds, "1 of 2 texts of test are also in train (50.0 %)") {
		t.Error(ds)
	}
}

// finance is a domain with datasets.
type finance struct{}

func (finance) Datasets() []sdk.Dataset {
	return []sdk.Dataset{
		{Name: "sample", Task: "sentiment", Splits: []string{"train", "test"}, Embedded: true},
		{Name: "phrasebank", Task: "sentiment", Hook: "phrasebank"},
	}
}

func (finance) ReadDataset(_ context.Context, req sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
	return func(yield func(sdk.Example, error) bool) {
		for i, label := range []string{"pos", "neg"} {
			if !yield(sdk.Example{ID: fmt.Sprintf("%s-%d", req.Split, i), Text: fmt.Sprint(req.Dataset, req.Split, filepath.Base(req.Path), i), Labels: map[string]sdk.Label{"": {Values: []string{label}}}}, nil) {
				return
			}
		}
	}
}

func TestDomain(t *testing.T) {
	heads := []sdk.HeadSpec{{Name: "sentiment", Kind: sdk.KindClassify, Labels: []string{"pos", "neg"}}, {Name: "tone", Kind: sdk.KindClassify, Labels: []string{"pos", "neg"}}}
	req := Request{Plan: plan(t), Heads: heads, Domain: finance{}}
	c, ds, err := Read(context.Background(), req)
	if err != nil || ds.HasErrors() || !notice(ds, "using what the domain carries: sample") || len(c.Train) != 2 || len(c.Test) != 2 || len(c.Heads) != 1 {
		t.Errorf("%+v %v\n%s", c, err, ds)
	}
	req.Plan = plan(t, "data.path=sample")
	if c, ds, err = Read(context.Background(), req); err != nil || ds.HasErrors() || c.Train[0].Labels["sentiment"].Values[0] != "pos" {
		t.Errorf("%+v %v\n%s", c, err, ds)
	}
	file := filepath.Join(folder(t, map[string]string{"Sentences.txt": "x"}), "Sentences.txt")
	req.Plan = plan(t, "data.path="+file, "data.format=phrasebank")
	if c, ds, err = Read(context.Background(), req); err != nil || ds.HasErrors() || len(c.Inputs) != 1 || len(c.Train)+len(c.Valid)+len(c.Test) != 2 {
		t.Errorf("%+v %v\n%s", c, err, ds)
	}
	req.Plan = plan(t, "data.path=sampel")
	if _, _, err = Read(context.Background(), req); err == nil || !strings.Contains(err.Error(), `did you mean "sample"?`) {
		t.Errorf("error %v", err)
	}
	if err := os.Mkdir("sample", 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove("sample")
	req.Plan = plan(t, "data.path=sample")
	if _, _, err = Read(context.Background(), req); err == nil || !strings.Contains(err.Error(), "holds no file") {
		t.Errorf("an existing path must win over a name: %v", err)
	}
}

func TestPaths(t *testing.T) {
	dir := folder(t, map[string]string{"train.jsonl": twoClasses, "other.jsonl": `{"text": "z", "label": "pos"}`, "test.jsonl": `{"text": "y", "label": "pos"}`, "train.csv": "x"})
	c, ds := read(t, dir, Request{}, "data.test="+filepath.Join(dir, "other.jsonl"))
	expect(t, ds)
	if c.Test[0].Text != "z" || !notice(ds, "files left aside: other.jsonl, test.jsonl, train.csv") {
		t.Errorf("%+v\n%s", c.Test, ds)
	}
	if _, _, err := Read(context.Background(), Request{Plan: plan(t, "data.path="+dir+"/none")}); err == nil {
		t.Error("no error for a path that is not there")
	}
	if _, _, err := Read(context.Background(), Request{Plan: plan(t)}); err == nil {
		t.Error("no error without data")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Read(ctx, Request{Plan: plan(t, "data.path="+dir)}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestWords(t *testing.T) {
	text := "Don't buy 3.5% of $AAPL—苹果公司 ok👍🏽\u00a0e\u0301nd."
	var got []string
	for _, w := range Words(text) {
		got = append(got, text[w.Start:w.End])
	}
	want := []string{"Don't", "buy", "3.5", "%", "of", "$", "AAPL", "—", "苹", "果", "公", "司", "ok", "👍🏽", "e\u0301nd", "."}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzReadFile(f *testing.F) {
	f.Add("conll", []byte("a\tB-X\n\nb O\n"))
	f.Add("jsonl", []byte(`{"text": "aé", "spans": [{"start": 0, "end": 1, "label": "X"}], "labels": {"h": [1]}}`))
	f.Add("csv", []byte("text,label\n\"a\",b\n"))
	f.Add("tsv", []byte("text\tlabel\n\"a\"\"\"\tb\n"))
	f.Add("parquet", []byte("PAR1"))
	f.Add("text", []byte("a\r\n\n\xff\n"))
	f.Fuzz(func(t *testing.T, format string, data []byte) {
		if !slices.Contains(Formats(), format) || len(data) > 1<<16 {
			return
		}
		plan := recipe.Defaults()
		for _, offsets := range []string{"bytes", "chars"} {
			plan.Data.Offsets = offsets
			p := &problems{}
			rows := readFile("f", format, data, &plan.Data, p)
			splits := map[string][]row{"train": rows}
			heads := resolveHeads(splits, &Request{Plan: plan}, p)
			for _, r := range rows {
				if ds := r.Check(); ds.HasErrors() {
					t.Fatalf("an example with errors passed: %s", ds)
				}
			}
			_ = heads
			if len(rows) == 0 && !p.ds.HasErrors() {
				t.Fatal("nothing was read and nothing reported")
			}
		}
	})
}
