package sdk

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDocumentTree(t *testing.T) {
	doc, ds := ParseYAML("r.yaml", []byte("a: &x {b: 1, c: 2e-5}\nd:\n  <<: *x\n  b: '1'\ne: [yes, true, ~]\na: 3\n"))
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	tree, ds := doc.Tree()
	if len(ds) != 1 || ds[0].Code != "yaml.duplicate-key" || ds[0].Line != 6 {
		t.Errorf("diagnostics %v, want one duplicate key on line 6", ds)
	}
	scalar := func(kind, text string, line, column int) *Tree {
		return &Tree{Kind: kind, Text: text, Line: line, Column: column}
	}
	want := &Tree{Kind: "map", Line: 1, Column: 1, Pairs: []TreePair{
		{Key: "a", Line: 1, Column: 1, Value: &Tree{Kind: "map", Line: 1, Column: 4, Pairs: []TreePair{
			{Key: "b", Line: 1, Column: 8, Value: scalar("int", "1", 1, 11)},
			{Key: "c", Line: 1, Column: 14, Value: scalar("float", "2e-5", 1, 17)},
		}}},
		{Key: "d", Line: 2, Column: 1, Value: &Tree{Kind: "map", Line: 3, Column: 3, Pairs: []TreePair{
			{Key: "c", Line: 1, Column: 14, Value: scalar("float", "2e-5", 1, 17)},
			{Key: "b", Line: 4, Column: 3, Value: scalar("text", "1", 4, 6)},
		}}},
		{Key: "e", Line: 5, Column: 1, Value: &Tree{Kind: "list", Line: 5, Column: 4, Items: []*Tree{
			scalar("text", "yes", 5, 5), scalar("bool", "true", 5, 10), scalar("null", "~", 5, 16),
		}}},
	}}
	if diff := cmp.Diff(want, tree); diff != "" {
		t.Error(diff)
	}
}
