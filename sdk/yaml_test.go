package sdk

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

type yamlTarget struct {
	Schema   string            `yaml:"schema" schema:"test.v0,test.v1"`
	Name     string            `yaml:"name" required:"true"`
	Count    int               `yaml:"count"`
	Seed     uint64            `yaml:"seed"`
	Rate     *float64          `yaml:"rate"`
	On       bool              `yaml:"on"`
	Wait     time.Duration     `yaml:"wait"`
	Labels   []string          `yaml:"labels"`
	Items    []yamlItem        `yaml:"items" key:"id"`
	Texts    map[string]string `yaml:"texts"`
	Any      map[string]any    `yaml:"any"`
	Level    yamlLevel         `yaml:"level"`
	yamlMore `yaml:",inline"`
	Ignored  int `yaml:"-"`
}

type yamlMore struct {
	More string `yaml:"more"`
}

type yamlItem struct {
	ID    string `yaml:"id" required:"true"`
	Value int    `yaml:"value"`
}

type yamlLevel int

func (l *yamlLevel) UnmarshalText(b []byte) error {
	if string(b) != "high" {
		return errors.New("only high will do")
	}
	*l = 9
	return nil
}

func TestDecodeYAML(t *testing.T) {
	rate := 2e-5
	var got yamlTarget
	ds := DecodeYAML("a.yaml", []byte(`
schema: test.v1
name: yes
count: 1e3
seed: 18446744073709551615
rate: 2e-5
on: off
wait: 90s
labels: [no, 1, 1.50, 2020-01-01, "null", ~plain]
items:
  one: {value: 1}
  two:
more: x
texts: &t {a: b, c: ""}
any: {f: 2e-5, i: 3, s: [x, true, null], m: {<<: *t, a: d}}
level: high
`), &got)
	require.Empty(t, ds)
	want := yamlTarget{Schema: "test.v1", Name: "yes", Count: 1000, Seed: 18446744073709551615, Rate: &rate, Wait: 90 * time.Second,
		Labels: []string{"no", "1", "1.50", "2020-01-01", "null", "~plain"}, Items: []yamlItem{{"one", 1}, {"two", 0}},
		Texts: map[string]string{"a": "b", "c": ""}, Level: 9, yamlMore: yamlMore{"x"},
		Any: map[string]any{"f": 2e-5, "i": 3, "s": []any{"x", true, nil}, "m": map[string]any{"a": "d", "c": ""}}}
	require.Empty(t, cmp.Diff(want, got, cmp.AllowUnexported(yamlTarget{})))
}

func TestDecodeYAMLProblems(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"all at once", "schema: test.v0\nnmae: x\ncount: many\nlabels: a\nitems: [{id: a, valeu: 2}, {value: x}]\ncount: 3\n", `
error[yaml.missing] a.yaml:1:1: name is missing
error[yaml.unknown-key] a.yaml:2:1: unknown key "nmae"
    remedy: did you mean "name"?
error[yaml.type] a.yaml:3:8: count is the text "many", a whole number is wanted
error[yaml.type] a.yaml:4:9: labels is the text "a", a list is wanted
error[yaml.unknown-key] a.yaml:5:17: unknown key "valeu" in items[0]
    remedy: did you mean "value"?
error[yaml.missing] a.yaml:5:28: items[1].id is missing
error[yaml.type] a.yaml:5:36: items[1].value is the text "x", a whole number is wanted
error[yaml.duplicate-key] a.yaml:6:1: key "count" is given twice, first on line 3
    remedy: keep one of the two`},
		{"schema missing", "name: a", "error[yaml.schema] a.yaml:1:1: the schema is missing\n    remedy: add the line \"schema: test.v0\""},
		{"schema of another version", "name: a\nschema: test.v2", "error[yaml.schema] a.yaml:2:9: unknown schema \"test.v2\"\n    remedy: this version reads test.v0, test.v1"},
		{"empty file", "", "error[yaml.missing] a.yaml:1:1: name is missing\nerror[yaml.schema] a.yaml:1:1: the schema is missing\n    remedy: add the line \"schema: test.v0\""},
		{"keyed twice", "schema: test.v0\nname: a\nitems: {x: {id: y}}", "error[yaml.value] a.yaml:3:9: items is called \"x\" here and \"y\" within\n    remedy: leave the id out"},
		{"null in list", "schema: test.v0\nname: a\nlabels: [a, ~]", "error[yaml.type] a.yaml:3:13: labels[1] is empty\n    remedy: put the word in quotes if it is meant as text"},
		{"ranges", "schema: test.v0\nname: a\nseed: -1\ncount: 99999999999999999999", "error[yaml.type] a.yaml:3:7: seed is the number -1, a whole number, zero or more is wanted\nerror[yaml.type] a.yaml:4:8: count is the number 99999999999999999999, a whole number is wanted"},
		{"text unmarshaler", "schema: test.v0\nname: a\nlevel: low", "error[yaml.value] a.yaml:3:8: level: only high will do"},
		{"quoted number", "schema: test.v0\nname: a\ncount: \"3\"\nwait: 5", "error[yaml.type] a.yaml:3:8: count is the text \"3\", a whole number is wanted\nerror[yaml.type] a.yaml:4:7: wait is the number 5, a duration such as 90s or 5m is wanted"},
		{"syntax", "schema: test.v0\nname: [a", "error[yaml.syntax] a.yaml:2: not valid YAML: did not find expected ',' or ']'"},
		{"syntax of the scanner", "schema: test.v0\nname: a: b", "error[yaml.syntax] a.yaml:2: not valid YAML: mapping values are not allowed in this context"},
		{"syntax on the first line", "a: [", "error[yaml.syntax] a.yaml:1: not valid YAML: did not find expected node content"},
		{"unknown anchor", "schema: test.v0\nname: *x", "error[yaml.syntax] a.yaml: not valid YAML: unknown anchor 'x' referenced"},
		{"two documents", "schema: test.v0\nname: a\n---\nname: b\n", "error[yaml.syntax] a.yaml:3: a second document begins here, one is wanted\n    remedy: remove the --- line or use two files"},
		{"not UTF-8", "name: a\nmore: \xff", "error[yaml.encoding] a.yaml:2: the file is not valid UTF-8\n    remedy: save it as UTF-8"},
		{"a list", "- a", "error[yaml.type] a.yaml:1:1: the document is a list, a mapping is wanted"},
		{"key no text", "schema: test.v0\nname: a\n? [x]\n: y", "error[yaml.type] a.yaml:3:3: a key is a list, text is wanted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got yamlTarget
			ds := DecodeYAML("a.yaml", []byte(c.in), &got)
			require.Equal(t, strings.TrimSpace(c.want), ds.String())
		})
	}
}

// TestYAMLBombs: small files that mean very large things end at a limit, fast.
func TestYAMLBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("any:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&laughs, "  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	var keys, merges strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&keys, "k%d: v, ", i)
	}
	fmt.Fprintf(&merges, "any:\n  a: &a {%s}\n  b: {<<: [%s]}\n", keys.String(), strings.Repeat("*a, ", 20000))
	wrong := "labels: [" + strings.Repeat("[], ", 100000) + "]"
	deep := "any: {a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}"
	for name, in := range map[string]string{
		"laughs": laughs.String(), "merges": merges.String(), "wrong": wrong, "deep": deep,
		"loop":  "any: &a {b: *a}",
		"large": "more: " + strings.Repeat("x", MaxYAMLBytes),
	} {
		t.Run(name, func(t *testing.T) {
			var got struct {
				Any    map[string]any `yaml:"any"`
				Labels []string       `yaml:"labels"`
				More   string         `yaml:"more"`
			}
			begin := time.Now()
			ds := DecodeYAML("a.yaml", []byte(in), &got)
			require.True(t, ds.HasErrors())
			require.LessOrEqual(t, len(ds), maxYAMLProblems+1)
			require.Less(t, time.Since(begin), 30*time.Second)
			if name != "loop" {
				require.Equal(t, "yaml.limit", ds[len(ds)-1].Code)
			}
		})
	}
}

func TestDocumentAt(t *testing.T) {
	doc, ds := ParseYAML("a.yaml", []byte("heads:\n  - name: a\n    labels: [x, y]\ndatasets:\n  one: {task: a}\n"))
	require.Empty(t, ds)
	for path, want := range map[string][2]int{
		"heads[0].labels[1]": {3, 17}, "heads[0].labels[9]": {3, 13}, "heads[0].loss": {2, 5},
		"datasets[0].task": {5, 15}, "datasets.one.task": {5, 15}, "": {1, 1}, "[": {1, 1}, "heads[x]": {2, 3},
	} {
		d := doc.At(path)
		require.Equal(t, want, [2]int{d.Line, d.Column}, path)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"name", "labels", "dataset", "datasets", "train.lr"}
	for word, want := range map[string]string{
		"nmae": "name", "Lables": "labels", "data": "", "datset": "dataset", "dataste": "dataset", "x": "", "": "", "train.rl": "train.lr", "nam": "name",
		strings.Repeat("name", 100): "",
	} {
		require.Equal(t, want, Nearest(word, known), word)
	}
}

func FuzzDecodeYAML(f *testing.F) {
	for _, s := range []string{"", "a: [b", "schema: test.v0\nname: x\nitems: {a: {value: 1}}\n", "any: &a {b: *a}", "<<: {name: x}", "? - a\n: b", "\ufeffname: x", "name: !!binary aGk=",
		"any: {x: !!float y, 1: 0x10, 2: 0b11, 3: .inf}", "level: {}\nwait: 1h", "--- |\n x", "%YAML 1.2\n---\nname: x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got yamlTarget
		for _, d := range DecodeYAML("a.yaml", data, &got) {
			if d.Severity != Error || d.Code == "" || d.Summary == "" || d.File != "a.yaml" {
				t.Fatalf("incomplete: %+v", d)
			}
		}
		doc, _ := ParseYAML("a.yaml", data)
		if doc != nil {
			doc.At("items[0].value")
		}
	})
}
