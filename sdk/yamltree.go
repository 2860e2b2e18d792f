package sdk

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// Tree is a YAML value with its place, for readers whose keys are not a struct.
type Tree struct {
	Kind         string // "null", "bool", "int", "float", "text", "list" or "map"
	Text         string // a scalar as written, without quotes
	Line, Column int
	Items        []*Tree    // of a list
	Pairs        []TreePair // of a map, in the order of the document
}

// TreePair is one key of a map.
type TreePair struct {
	Key          string
	Line, Column int // of the key
	Value        *Tree
}

// Tree returns the values of the document, aliases and merge keys expanded, with
// the problems found on the way: keys that are given twice or are no text, and
// documents beyond the limits. An empty document is an empty map.
func (d *Document) Tree() (*Tree, Diagnostics) {
	if d.root == nil {
		return &Tree{Kind: "map", Line: 1, Column: 1}, nil
	}
	w := d.walk()
	t := w.tree(d.root, "", 0)
	if t == nil {
		t = &Tree{Kind: "null", Line: 1, Column: 1}
	}
	w.ds.Sort()
	return t, w.ds
}

func (w *yamlWalk) tree(n *yaml.Node, path string, depth int) *Tree {
	line, column := n.Line, n.Column
	if n = w.enter(n, path, depth); n == nil {
		return nil
	}
	t := &Tree{Line: line, Column: column}
	switch n.Kind {
	case yaml.MappingNode:
		t.Kind = "map"
		w.pairs(n, path, depth, func(key, val *yaml.Node) {
			if v := w.tree(val, join(path, key.Value), depth+1); v != nil {
				t.Pairs = append(t.Pairs, TreePair{Key: key.Value, Line: key.Line, Column: key.Column, Value: v})
			}
		})
	case yaml.SequenceNode:
		t.Kind = "list"
		for i, c := range n.Content {
			v := w.tree(c, fmt.Sprintf("%s[%d]", path, i), depth+1)
			if v == nil {
				break
			}
			t.Items = append(t.Items, v)
		}
	default:
		t.Text = n.Value
		switch tag := n.ShortTag(); tag {
		case "!!null", "!!bool", "!!int", "!!float":
			t.Kind = tag[2:]
		default:
			t.Kind = "text"
			if _, ok := float(n, tag); ok { // 2e-5, which YAML 1.1 takes for text
				t.Kind = "float"
			}
		}
	}
	return t
}
