package recipe

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// ObjectiveVocab makes a base with a domain's terms, and trains nothing: a stage
// before others.
const ObjectiveVocab = "vocab"

// StagePlan is one of the runs that a recipe lists under `stages`. Its plan is made of the
// recipe's other keys, then where it starts from, then its own keys.
type StagePlan struct {
	Name   string
	Number int // from 1
	// From is the model of the stage before: the base of this one, the teacher of a
	// distillation. "" for the first.
	From string
	// Below are keys under those of the recipe file, as KEY=VALUE: what the command
	// says for the whole.
	Below []string

	tree *sdk.Tree
}

var stageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$`)

// Stages lists the stages of a recipe file; nil where it has none. The keys in them
// are checked when their plans are made.
func Stages(file *File) ([]StagePlan, sdk.Diagnostics) {
	if file == nil {
		return nil, nil
	}
	doc, ds := sdk.ParseYAML(file.Name, file.Data)
	if doc == nil || ds.HasErrors() {
		return nil, nil // Resolve reports it
	}
	tree, _ := doc.Tree()
	var stages []StagePlan
	for _, pair := range tree.Pairs {
		if pair.Key != "stages" {
			continue
		}
		bad := func(at *sdk.Tree, format string, args ...any) {
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "recipe.stages", File: file.Name, Line: at.Line, Column: at.Column, Path: "stages", Summary: fmt.Sprintf(format, args...),
				Remedy: "stages is a list; each stage has the keys of a recipe, and a name if you like"})
		}
		if pair.Value.Kind == "list" && len(pair.Value.Items) == 0 {
			bad(pair.Value, "stages is an empty list: there is nothing to run")
			return nil, ds
		}
		if pair.Value.Kind != "list" {
			bad(pair.Value, "stages wants a list of stages, this is %s", show(pair.Value))
			return nil, ds
		}
		names := map[string]bool{}
		for i, item := range pair.Value.Items {
			if item.Kind != "map" {
				bad(item, "stage %d wants a map of keys, this is %s", i+1, show(item))
				continue
			}
			s := StagePlan{Number: i + 1, tree: item}
			s.Name = objectiveOf(item)
			for _, p := range item.Pairs {
				if p.Key == "name" {
					s.Name = p.Value.Text
				}
				if p.Key == "stages" {
					bad(p.Value, "a stage has no stages of its own")
				}
			}
			switch {
			case !stageName.MatchString(s.Name):
				bad(item, "the name %q of stage %d is no word of letters, digits, - and _", s.Name, i+1)
			case names[s.Name]:
				s.Name = fmt.Sprintf("%s-%d", s.Name, i+1)
			}
			names[s.Name] = true
			stages = append(stages, s)
		}
	}
	return stages, ds
}

// objectiveOf is the objective that a tree of keys, or its preset, names.
func objectiveOf(tree *sdk.Tree) string {
	preset := DefaultPreset
	for _, p := range tree.Pairs {
		switch p.Key {
		case "objective":
			return strings.TrimSpace(p.Value.Text)
		case "preset":
			preset = strings.TrimSpace(p.Value.Text)
		}
	}
	if plan, ds := Resolve(Sources{Preset: preset}); !ds.HasErrors() {
		return plan.Objective
	}
	return "finetune"
}

// of is the tree of the stage's plan: the recipe's without its stages, and the
// stage's over it.
func (s *StagePlan) of(file *sdk.Tree) *sdk.Tree {
	out := *file
	out.Pairs = nil
	raw := func(key, value string) {
		out.Pairs = append(out.Pairs, sdk.TreePair{Key: key, Value: &sdk.Tree{Kind: "raw", Text: value}})
	}
	for _, item := range s.Below {
		if key, value, ok := strings.Cut(item, "="); ok {
			raw(key, value)
		}
	}
	for _, p := range file.Pairs {
		if p.Key != "stages" && p.Key != "tune" {
			out.Pairs = append(out.Pairs, p)
		}
	}
	if s.From != "" {
		raw("base", s.From)
		if objectiveOf(s.tree) == ObjectiveDistill {
			raw("distill.teachers", s.From)
		}
	}
	for _, p := range s.tree.Pairs {
		if p.Key != "name" {
			out.Pairs = append(out.Pairs, p)
		}
	}
	return &out
}
