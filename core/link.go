package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// ReadMarked reads the examples of one data file, with whatever spans or tags
// they carry. Its diagnostics are those of the data.
func ReadMarked(ctx context.Context, file string) ([]sdk.Example, sdk.Diagnostics, error) {
	plan := recipe.Defaults()
	plan.Data.Path = file
	c, ds, err := corpus.Read(ctx, corpus.Request{Plan: plan, Whole: true})
	if err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	return c.Test, ds, nil
}

// GoldMentions returns the spans of an example, those of its tags included, over
// all of its heads, and each stretch of text once.
func GoldMentions(ex *sdk.Example) []sdk.Span {
	var gold []sdk.Span
	seen := map[[2]int]bool{}
	add := func(s sdk.Span) {
		if at := [2]int{s.Start, s.End}; !seen[at] {
			seen[at] = true
			gold = append(gold, s)
		}
	}
	for _, label := range ex.Labels {
		for _, s := range label.Spans {
			add(s)
		}
		if len(label.Tags) != len(ex.Tokens) {
			continue
		}
		for _, c := range metric.Chunks(label.Tags) {
			add(sdk.Span{Start: ex.Tokens[c.Start].Start, End: ex.Tokens[c.End-1].End, Label: c.Type})
		}
	}
	return gold
}

// MentionKey is what makes two mentions the same one: their text without regard
// to case and to where blanks stand.
func MentionKey(text string) string { return strings.ToLower(strings.Join(strings.Fields(text), "")) }

// Coverage counts how many mentions that people marked a graph's names find.
type Coverage struct {
	Gold    int `json:"gold"`    // mentions that people marked
	Exact   int `json:"exact"`   // with a linked mention from the same first byte to the same last
	Overlap int `json:"overlap"` // with a linked mention that shares a byte
	Named   int `json:"named"`   // whose text as a whole is a name of the graph
}

// Add counts the gold mentions of one text for which count holds; nil counts all.
func (c *Coverage) Add(text string, gold []sdk.Span, linked []kg.Mention, named func(string) bool, count func(mention string) bool) {
	for _, g := range gold {
		mention := text[g.Start:g.End]
		if count != nil && !count(mention) {
			continue
		}
		c.Gold++
		exact, overlap := false, false
		for _, m := range linked {
			exact = exact || m.Start == g.Start && m.End == g.End
			overlap = overlap || m.Start < g.End && g.Start < m.End
		}
		for _, hit := range []struct {
			n  *int
			is bool
		}{{&c.Exact, exact}, {&c.Overlap, overlap}, {&c.Named, named(mention)}} {
			if hit.is {
				*hit.n++
			}
		}
	}
}

// OpenGraph opens a compiled view, a file or the folder that holds one, or that
// of the store in a folder, which is compiled once and kept below home.
func OpenGraph(ctx context.Context, dir, home string) (*kg.View, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open the knowledge graph: %w", err)
	}
	if !info.IsDir() {
		return kg.OpenView(dir)
	}
	plan := recipe.Defaults()
	plan.Knowledge.KG = dir
	view, _, ds, err := findView(ctx, plan, nil, home)
	if err = errors.Join(err, ds.Err()); err != nil {
		return nil, err
	}
	return kg.OpenView(view)
}

// CheckLinkTypes tells which of names are neither types nor ids of a view.
// path is where they stand in a recipe.
func CheckLinkTypes(view *kg.View, names []string, path string) (ds sdk.Diagnostics) {
	known := view.Types()
	for _, name := range names {
		if _, ok := view.Index(name); ok || slices.Contains(known, name) {
			continue
		}
		d := sdk.Diagnostic{Code: "knowledge.types", Path: path, Summary: fmt.Sprintf("the graph has no type and no entity %q", name),
			Remedy: "its types are " + strings.Join(known[:min(len(known), 20)], ", ")}
		if near := sdk.Nearest(name, known); near != "" {
			d.Remedy = fmt.Sprintf("did you mean %q? (%s)", near, d.Remedy)
		}
		ds.Add(d)
	}
	return ds
}
