package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func files(kv ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = &fstest.MapFile{Data: []byte(kv[i+1])}
	}
	return m
}

const goodManifest = `schema: islm/domain.v0
name: energy
version: 0.1.0
summary: Outage tickets and tariffs.
homepage: https://example.org
licences:
  - {data: data/*, spdx: CC0-1.0}
  - {data: vocab, spdx: CC-BY-4.0, source: own work}
options:
  region: {type: enum, values: [eu, us], default: eu, help: where}
datasets:
  tickets: {task: intent, format: jsonl, citation: none}
  calls: {hook: calls}
heads:
  - name: intent
    kind: classify.v0
    labels: [billing, outage, churn]
    metrics: [macro_f1]
    dataset: tickets
  - {name: ner, kind: tag.v0, labels: [Operator], crf: true}
kg:
  entities: [Operator, Tariff]
  relations: [offers, competes_with]
advice:
  train: {epochs: 4}
`

func goodFiles() fstest.MapFS {
	return files("domain.yaml", goodManifest,
		"vocab/a.tsv", "text\tkind\tlang\tcanonical\tsynonyms\tweight\n# names\n\noutage\tevent\ten\t\tblackout|power cut\t2\n停电\tevent\tzh\toutage\n",
		"data/tickets.train.jsonl", `{"text": "a", "label": "outage"}`+"\n", "data/tickets.test.jsonl", "",
		"rules/r.yaml", "schema: islm/rules.v1\nrules:\n- {id: h, do: {kind: code.v0, func: hedge}}\n",
		"kg/entities.tsv", "id\ttype\tnames\nA\tOperator\tAcme\n", "kg/facts.tsv", "subject\trelation\tobject\tliteral\nA\toffers\t\tgreen power\n")
}

func goodDomain() Domain {
	return Domain{
		FS:    goodFiles(),
		Packs: []fs.FS{files("pack.yaml", "schema: islm/pack.v0\nname: general\n", "rules/x.yaml", "rules: []\n", "words.txt", "a")},
		Readers: map[string]Reader{"calls": func(context.Context, ReadRequest) iter.Seq2[Example, error] {
			return nil
		}},
		Augmenters: map[string]Augmenter{"hedge": func(context.Context, Example, *rand.Rand) ([]Example, error) { return nil, nil }},
	}
}

func TestLoad(t *testing.T) {
	c, ds := Load(goodDomain())
	require.Empty(t, ds)
	m := c.Manifest
	require.Equal(t, []string{"vocab/a.tsv"}, m.Vocab)
	require.Equal(t, []string{"kg/entities.tsv", "kg/facts.tsv"}, m.Facts)
	require.Equal(t, []Dataset{
		{Name: "tickets", Task: "intent", Heads: []string{"intent"}, Format: "jsonl", Splits: []string{"train", "test"}, Citation: "none", Embedded: true},
		{Name: "calls", Hook: "calls", Splits: []string{"all"}},
	}, m.Datasets)
	require.Equal(t, []Term{
		{Text: "outage", Kind: "event", Lang: "en", Synonyms: []string{"blackout", "power cut"}, Weight: 2},
		{Text: "停电", Kind: "event", Lang: "zh", Canonical: "outage"},
	}, c.Terms)
	require.Equal(t, []Fact{{Subject: "A", Relation: "offers", Literal: "green power"}}, c.Facts)
	var paths []string
	for _, r := range c.Rules {
		paths = append(paths, r.Path)
		require.Len(t, r.SHA256, 64)
	}
	require.Equal(t, []string{"rules/r.yaml", "general/pack.yaml", "general/rules/x.yaml", "general/words.txt"}, paths)
	l, ok := m.LicenceOf("vocab/a.tsv")
	require.True(t, ok)
	require.Equal(t, "CC-BY-4.0", l.SPDX)
	_, ok = m.LicenceOf("kg/facts.tsv")
	require.False(t, ok)

	again, _ := Load(goodDomain())
	require.Equal(t, c.Digest, again.Digest)
	d := goodDomain()
	d.FS.(fstest.MapFS)["data/tickets.test.jsonl"].Data = []byte(" ")
	changed, _ := Load(d)
	require.NotEqual(t, c.Digest, changed.Digest)

	b, err := json.Marshal(c.Description(ds))
	require.NoError(t, err)
	var back Description
	require.NoError(t, json.Unmarshal(b, &back))
	want := c.Description(nil)
	want.Advice = map[string]any{"train": map[string]any{"epochs": 4.0}}
	require.Empty(t, cmp.Diff(want, &back))
}

func TestLoadProblems(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(d *Domain, m fstest.MapFS)
		want   []string
	}{
		{"no files", func(d *Domain, _ fstest.MapFS) { d.FS = nil }, []string{"error[manifest.missing]: the domain has no files"}},
		{"no manifest", func(_ *Domain, m fstest.MapFS) { delete(m, "domain.yaml") }, []string{"error[manifest.missing] domain.yaml: there is no domain.yaml at the root of the domain's files"}},
		{"manifest", func(d *Domain, m fstest.MapFS) {
			m["domain.yaml"].Data = []byte(`schema: islm/domain.v0
name: Energy Co
version: "1"
homepage: example.org
licences:
  - {data: nothing/*, spdx: "?"}
options:
  - {name: a, type: strin}
  - {name: a, type: enum}
  - {name: b, type: int, default: x, graph: obo}
datasets:
  tickets: {task: intnt, format: csv}
  calls: {hook: cals, splits: [dev]}
  gone: {}
heads:
  - {name: intent, kind: clasify.v0, labels: [a, b]}
  - {name: intent, kind: classify.v0, labels: [a, a, " b"], class_weights: [1], dropout: 1.5, loss: foo, dataset: ticket}
  - {name: ner, kind: tag.v0, labels: [B-PER], descriptions: {PER: {en: x}}}
  - {name: score, kind: regress.v0, labels: [x], crf: true}
vocab: [words/*.tsv]
kg: {entities: [A, A]}
features: [{name: shape, kind: shap.v0}, {name: unit, kind: classes.v0, classes: [{name: mass, match: "("}]}]
`)
		}, []string{
			`error[manifest.name] domain.yaml:2:7: "Energy Co" is no name for a domain`,
			`error[manifest.version] domain.yaml:3:10: "1" is no semantic version`,
			`error[manifest.homepage] domain.yaml:4:11: "example.org" is no web address`,
			`warning[licence.data] domain.yaml:6:12: "nothing/*" covers no file`,
			`error[licence.spdx] domain.yaml:6:29: "?" is no SPDX identifier`,
			`error[option.type] domain.yaml:8:21: option "a" has the unknown type "strin"`,
			`error[option.duplicate] domain.yaml:9:5: option "a" is declared twice`,
			`error[option.values] domain.yaml:9:5: option "a" is an enum without values`,
			`error[option.default] domain.yaml:10:35: the default of option "b" is "x", a whole number is wanted`,
			`error[option.graph] domain.yaml:10:45: option "b" has a graph but is no path`,
			`warning[dataset.unlisted] domain.yaml:12:3: data/tickets.test.jsonl belongs to no dataset`,
			`warning[dataset.unlisted] domain.yaml:12:3: data/tickets.train.jsonl belongs to no dataset`,
			`warning[hook.unused] domain.yaml:12:3: no dataset names the reader "calls"`,
			`error[dataset.task] domain.yaml:12:19: the task of dataset "tickets" is "intnt", but there is no such head`,
			`error[dataset.format] domain.yaml:12:34: dataset "tickets" has the unknown format "csv"`,
			`error[dataset.hook] domain.yaml:13:17: dataset "calls" is read by "cals", but the domain has no such reader`,
			`error[dataset.split] domain.yaml:13:32: dataset "calls" has the unknown split "dev"`,
			`error[dataset.files] domain.yaml:14:9: dataset "gone" has no files`,
			`error[head.kind] domain.yaml:16:26: head "intent" has the unknown kind "clasify.v0"`,
			`error[head.duplicate] domain.yaml:17:12: head "intent" is declared twice`,
			`error[head.labels] domain.yaml:17:51: label "a" of head "intent" is listed twice`,
			`error[head.labels] domain.yaml:17:54: label " b" of head "intent" begins or ends with a space`,
			`error[head.class_weights] domain.yaml:17:76: head "intent" has 1 class weights for 3 labels`,
			`error[head.dropout] domain.yaml:17:90: dropout 1.5 of head "intent" is out of range`,
			`error[head.loss] domain.yaml:17:101: head "intent" has the unknown loss "foo"`,
			`error[head.dataset] domain.yaml:17:115: head "intent" trains on "ticket", but there is no such dataset`,
			`error[head.labels] domain.yaml:18:40: label "B-PER" of head "ner" is a tag, a type is wanted`,
			`error[head.descriptions] domain.yaml:18:68: head "ner" describes "PER", which is none of its labels`,
			`error[head.scheme] domain.yaml:19:25: head "score" has a scheme or crf, which only tag.v0 takes`,
			`error[head.labels] domain.yaml:19:45: head "score" has labels, regress.v0 takes none`,
			`error[manifest.file] domain.yaml:20:9: "words/*.tsv" names no file`,
			`error[kg.duplicate] domain.yaml:21:20: "A" is listed twice in kg.entities`,
			`error[feature.kind] domain.yaml:22:32: feature "shape" has the unknown kind "shap.v0"`,
			`error[feature.match] domain.yaml:22:103: the pattern of class "mass": error parsing regexp: missing closing ): ` + "`(`",
			`error[kg.type] kg/entities.tsv:2: entity "A" has the unknown type "Operator"`,
			`error[kg.relation] kg/facts.tsv:2: unknown relation "offers"`,
		}},
		{"vocabulary", func(_ *Domain, m fstest.MapFS) {
			m["vocab/a.tsv"].Data = []byte("text\tweight\tentity\tsynonyms\nu\u0308ber\t1\nx\t-1\nx\tmany\t\tx\n\t1\na\tb\tc\td\te\ny\t\tB\n")
			m["vocab/b.tsv"] = &fstest.MapFile{Data: []byte("txt\tkind\n")}
			m["vocab/c.tsv"] = &fstest.MapFile{}
			m["vocab/d.tsv"] = &fstest.MapFile{Data: []byte("text\nx\n\xff\n")}
		}, []string{
			"error[table.nfc] vocab/a.tsv:2: term \"u\u0308ber\" is not in Unicode normal form C",
			`error[table.weight] vocab/a.tsv:3: weight "-1" is no positive number`,
			`error[table.weight] vocab/a.tsv:4: weight "many" is no positive number`,
			`error[vocab.synonym] vocab/a.tsv:4: "x" is listed as its own synonym`,
			`error[vocab.duplicate] vocab/a.tsv:4: term "x" is there twice, first in vocab/a.tsv:3`,
			`error[vocab.text] vocab/a.tsv:5: the term has no text`,
			`error[table.cells] vocab/a.tsv:6: the line has 5 cells, the header 4`,
			`error[vocab.entity] vocab/a.tsv:7: term "y" names the entity "B", which is not there`,
			`error[table.column] vocab/b.tsv:1: unknown column "txt"`,
			`error[table.empty] vocab/c.tsv: the file has no header line`,
			`error[vocab.duplicate] vocab/d.tsv:2: term "x" is there twice, first in vocab/a.tsv:3`,
			`error[table.encoding] vocab/d.tsv:3: the line is not valid UTF-8`,
		}},
		{"knowledge", func(_ *Domain, m fstest.MapFS) {
			m["kg/entities.tsv"].Data = []byte("id\ttype\tnames\tprop.hq\nA\tOperater\tAcme\tBonn\nA\tOperator\tAcme\n\tOperator\tx\nB\tTariff\t\n")
			m["kg/facts.tsv"].Data = []byte("subject\trelation\tobject\tliteral\nA\tofers\tB\nA\toffers\tB\tx\nA\toffers\nC\toffers\tA\n")
			m["kg/other.tsv"] = &fstest.MapFile{Data: []byte("type\tobject\n")}
		}, []string{
			`error[kg.type] kg/entities.tsv:2: entity "A" has the unknown type "Operater"`,
			`error[kg.duplicate] kg/entities.tsv:3: entity "A" is there twice, first in kg/entities.tsv:2`,
			`error[kg.id] kg/entities.tsv:4: the entity has no id`,
			`error[kg.names] kg/entities.tsv:5: entity "B" has no name`,
			`error[kg.relation] kg/facts.tsv:2: unknown relation "ofers"`,
			`error[kg.object] kg/facts.tsv:3: a fact has either an object or a literal`,
			`error[kg.object] kg/facts.tsv:4: a fact has either an object or a literal`,
			`error[kg.unknown-id] kg/facts.tsv:5: no entity has the id "C"`,
			`error[kg.columns] kg/other.tsv:1: the file holds neither entities nor facts`,
		}},
		{"rules and packs", func(d *Domain, m fstest.MapFS) {
			m["rules/r.yaml"].Data = []byte("rules:\n- {id: h, do: {kind: code.v0, func: hegde}}\n- {id: h, do: {kind: code.v0}}\n")
			m["rules/s.yaml"] = &fstest.MapFile{Data: []byte("rules: [")}
			d.Packs = append(d.Packs, d.Packs[0], files("x.yaml", ""))
			d.Augmenters["nothing"] = nil
		}, []string{
			`error[hook.nil] domain.yaml:1:1: augmenter "nothing" is nil`,
			`error[rules.pack] general: two packs are called "general"`,
			`error[rules.pack] pack2: the pack has no readable pack.yaml at its root: file does not exist`,
			`error[rules.func] rules/r.yaml:2:37: the domain has no augmenter called "hegde"`,
			`error[rules.func] rules/r.yaml:3:15: a rule of kind code.v0 needs func: the name of an augmenter`,
			`error[yaml.syntax] rules/s.yaml:1: not valid YAML: did not find expected node content`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := goodDomain()
			m := d.FS.(fstest.MapFS)
			c.change(&d, m)
			content, ds := Load(d)
			require.NotNil(t, content)
			var got []string
			for _, x := range ds {
				got = append(got, strings.SplitN(x.String(), "\n", 2)[0])
			}
			require.Empty(t, cmp.Diff(c.want, got))
		})
	}
}

func TestOptions(t *testing.T) {
	options := []Option{{Name: "a", Type: "int", Default: "1"}, {Name: "b", Type: "bool", Required: true, Help: "on or off"}, {Name: "c", Type: "float", Secret: true}, {Name: "d", Type: "enum", Values: []string{"x", "y"}}}
	got, ds := ResolveOptions(options, map[string]string{"b": "true", "d": "y"})
	require.Empty(t, ds)
	require.Equal(t, map[string]string{"a": "1", "b": "true", "c": "", "d": "y"}, got)
	_, ds = ResolveOptions(options, map[string]string{"a": "x", "c": "secret", "d": "z", "bb": ""})
	var codes []string
	for _, d := range ds {
		codes = append(codes, d.Code+" "+d.Path)
	}
	require.Equal(t, []string{"option.value a", "option.missing b", "option.value c", "option.value d", "option.unknown bb"}, codes)
	require.NotContains(t, ds.String(), "secret\"")
}

func TestExampleCheck(t *testing.T) {
	e := Example{ID: "x", Text: "größer", Tokens: []Token{{0, 2}, {2, 4}, {4, 8}}, Labels: map[string]Label{"t": {Tags: []string{"O", "O", "O"}, Spans: []Span{{0, 8, "A", ""}}}}}
	require.Empty(t, e.Check())
	bad := e.Clone()
	bad.Tokens[1], bad.Tokens[2] = Token{2, 3}, Token{1, 9}
	bad.Labels["t"].Spans[0] = Span{4, 4, "", ""}
	bad.Labels["u"] = Label{Tags: []string{"O"}, Values: []string{"\xff"}}
	bad.TextB = "\xff"
	ds := bad.Check()
	require.Equal(t, `error[data.encoding] text_b: example "x": text_b is not valid UTF-8
error[data.token] tokens[1]: example "x": token 1 [2, 3) cuts a character: offsets are bytes of UTF-8 on character boundaries
error[data.token] tokens[2]: example "x": token 2 [1, 9) lies outside the text of 8 bytes
error[data.span] labels.t.spans[0]: example "x": span "" [4, 4) is empty
error[data.span] labels.t.spans[0]: example "x": span [4, 4) has no label
error[data.encoding] labels: example "x": labels is not valid UTF-8
error[data.tags] labels.u: example "x": 1 tags for 3 tokens`, ds.String())
	require.Empty(t, e.Check(), "the clone shares nothing")
}

func TestReadJSONL(t *testing.T) {
	in := "\ufeff" + `{"id": 7, "text": "Rates rose.", "label": "positive", "meta": {"lang": "en", "n": 3}}

{"text": "a", "labels": {"x": ["p", "q"], "y": [], "z": 0.5, "w": null, "v": true}}
{"tokens": ["Acme", "fell", "."], "tags": ["B-ORG", "O", "O"]}
{"text": "Acme fell.", "tokens": ["Acme", "fell", "."], "labels": {"ner": {"spans": [{"start": 0, "end": 4, "label": "ORG"}]}}}
{"text": "no label", "text_b": "pair"}
`
	rows, ds, err := Collect(ReadJSONL("a.jsonl", strings.NewReader(in)))
	require.NoError(t, err)
	require.Empty(t, ds)
	half := 0.5
	want := []Example{
		{ID: "7", Text: "Rates rose.", Labels: map[string]Label{"": {Values: []string{"positive"}}}, Meta: map[string]string{"lang": "en", "n": "3"}, File: "a.jsonl", Line: 1},
		{Text: "a", Labels: map[string]Label{"x": {Values: []string{"p", "q"}}, "y": {Values: []string{}}, "z": {Number: &half}, "v": {Values: []string{"true"}}}, File: "a.jsonl", Line: 3},
		{Text: "Acme fell .", Tokens: []Token{{0, 4}, {5, 9}, {10, 11}}, Labels: map[string]Label{"": {Tags: []string{"B-ORG", "O", "O"}}}, File: "a.jsonl", Line: 4},
		{Text: "Acme fell.", Tokens: []Token{{0, 4}, {5, 9}, {9, 10}}, Labels: map[string]Label{"ner": {Spans: []Span{{0, 4, "ORG", ""}}}}, File: "a.jsonl", Line: 5},
		{Text: "no label", TextB: "pair", File: "a.jsonl", Line: 6},
	}
	require.Empty(t, cmp.Diff(want, rows))

	bad := `{"text": "fine", "label": "a"}
not json
{"txt": "a"}
{"label": "a"}
{"text": "a", "label": {"x": 1}}
{"text": "ö", "spans": [{"start": 0, "end": 1, "label": "X"}]}
{"text": "a b", "tokens": ["a", "c"]}
{"text": 5}
{"tokens": ["a"], "tags": []}
` + "{\"text\": \"\xff\"}\n"
	rows, ds, err = Collect(ReadJSONL("a.jsonl", strings.NewReader(bad)))
	require.NoError(t, err)
	require.Len(t, rows, 1)
	var got []string
	for _, d := range ds {
		got = append(got, fmt.Sprintf("%d %s", d.Line, d.Code))
	}
	require.Equal(t, []string{"2 data.json", "3 data.key", "4 data.text", "5 data.label", "6 data.span", "7 data.token", "8 data.json", "9 data.tags", "10 data.encoding"}, got)
}

func TestReadCoNLL(t *testing.T) {
	in := "-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\nrejects VBZ I-VP O\n\nbad line\nx y z O\n\nPeter NNP I-NP B-PER"
	rows, ds, err := Collect(ReadCoNLL("a.conll", strings.NewReader(in)))
	require.NoError(t, err)
	require.Len(t, ds, 1)
	require.Equal(t, 6, ds[0].Line)
	require.Empty(t, cmp.Diff([]Example{
		{Text: "EU rejects", Tokens: []Token{{0, 2}, {3, 10}}, Labels: map[string]Label{"": {Tags: []string{"B-ORG", "O"}}}, File: "a.conll", Line: 3},
		{Text: "Peter", Tokens: []Token{{0, 5}}, Labels: map[string]Label{"": {Tags: []string{"B-PER"}}}, File: "a.conll", Line: 9},
	}, rows))
	_, _, err = Collect(ReadCoNLL("a.conll", strings.NewReader(strings.Repeat("x", MaxLineBytes+2))))
	require.ErrorContains(t, err, "data.line-length")
}

func TestDiagnostics(t *testing.T) {
	var ds Diagnostics
	require.False(t, ds.HasErrors())
	require.NoError(t, ds.Err())
	b, err := json.Marshal(ds)
	require.NoError(t, err)
	require.JSONEq(t, "[]", string(b))
	ds.Warnf("a.b", "careful with %d", 3)
	require.False(t, ds.HasErrors())
	ds.Add(Diagnostic{Code: "c.d", File: "b", Line: 2, Column: 4, Summary: "wrong", Detail: "one\ntwo\n", Remedy: "mend it"}, Diagnostic{File: "b", Path: "x.y", Summary: "also"})
	ds.Errorf("e.f", "%s", "last")
	ds.Sort()
	require.Equal(t, `warning[a.b]: careful with 3
error[e.f]: last
error b:x.y: also
error[c.d] b:2:4: wrong
    one
    two
    remedy: mend it`, ds.String())
	b, err = json.Marshal(ds[3])
	require.NoError(t, err)
	require.JSONEq(t, `{"severity":"error","code":"c.d","summary":"wrong","detail":"one\ntwo\n","file":"b","line":2,"column":4,"path":"","remedy":"mend it"}`, string(b))
	got, fatal, ok := DiagnosticsOf(fmt.Errorf("wrapped: %w", ds.Err()))
	require.True(t, ok)
	require.False(t, fatal)
	require.Len(t, got, 4)
	_, _, ok = DiagnosticsOf(context.Canceled)
	require.False(t, ok)
}

func TestAugmentRand(t *testing.T) {
	a, b := AugmentRand(1, "x", "id"), AugmentRand(1, "x", "id")
	require.Equal(t, a.Uint64(), b.Uint64())
	require.NotEqual(t, AugmentRand(1, "x", "id").Uint64(), AugmentRand(2, "x", "id").Uint64())
	require.NotEqual(t, AugmentRand(1, "ab", "c").Uint64(), AugmentRand(1, "a", "bc").Uint64())
}

func FuzzReadJSONL(f *testing.F) {
	f.Add([]byte(`{"id": 7, "text": "a b", "tokens": ["a", "b"], "labels": {"x": ["p"], "y": {"tags": ["O", "O"]}, "z": 1}}`))
	f.Add([]byte(`{"text": "ö", "spans": [{"start": 0, "end": 2, "label": "X"}], "meta": {"a": [1]}}` + "\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for ex, err := range ReadJSONL("f", strings.NewReader(string(data))) {
			if err == nil && ex.Check().HasErrors() {
				t.Fatalf("passed a bad example: %+v", ex)
			}
		}
	})
}

func FuzzReadCoNLL(f *testing.F) {
	f.Add([]byte("-DOCSTART- O\n\nEU B-ORG\nx O\n\n\ty\n"))
	f.Add([]byte("a\tb\tO\n\xff O\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for ex, err := range ReadCoNLL("f", strings.NewReader(string(data))) {
			if err == nil && ex.Check().HasErrors() {
				t.Fatalf("passed a bad example: %+v", ex)
			}
		}
	})
}

func FuzzTables(f *testing.F) {
	f.Add([]byte("text\tkind\tsynonyms\na\tb\tc|d\n"), true)
	f.Add([]byte("id\ttype\tnames\tprop.x\na\tb\tc|d\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, vocab bool) {
		m := &Manifest{Facts: []string{"f.tsv"}}
		if vocab {
			m = &Manifest{Vocab: []string{"f.tsv"}}
		}
		fsys := files("f.tsv", string(data))
		LoadTerms(fsys, m)
		LoadFacts(fsys, m, false)
	})
}
