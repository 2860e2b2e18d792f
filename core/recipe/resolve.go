package recipe

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Sources are the layers that a plan is made from, weakest first.
type Sources struct {
	Preset string     // name, unless the file or a set names one; "" means DefaultPreset
	Advice []Advice   // of the run's plugins, in the order of domain.name
	File   *File      // recipe file or plan.yaml, nil for none
	Sets   []string   // items of --set: a.b=c, later ones stronger
	Stage  *StagePlan // of File, whose plan is wanted; nil = the file is one run
}

// Advice is what one plugin advises.
type Advice struct {
	Domain string
	Values map[string]any // nested, or with dotted keys
}

// File is a recipe file.
type File struct {
	Name string
	Data []byte
}

// Open finds what `--recipe` names: a file, else a preset. An empty text is
// the default preset.
func Open(recipe string) (Sources, error) {
	if recipe == "" {
		return Sources{}, nil
	}
	data, err := os.ReadFile(recipe)
	if err == nil {
		return Sources{File: &File{Name: recipe, Data: data}}, nil
	}
	if _, ok := FindPreset(recipe); ok {
		return Sources{Preset: recipe}, nil
	}
	if os.IsNotExist(err) && !strings.ContainsAny(recipe, `./\`) {
		remedy := "presets: " + strings.Join(PresetNames(), ", ")
		if near := sdk.Nearest(recipe, PresetNames()); near != "" {
			remedy = fmt.Sprintf("did you mean %q? (%s)", near, remedy)
		}
		return Sources{}, sdk.Diagnostics{{Severity: sdk.Error, Code: "recipe.preset", Summary: fmt.Sprintf("there is no recipe file and no preset %q", recipe), Remedy: remedy}}.Err()
	}
	return Sources{}, fmt.Errorf("read recipe: %w", err)
}

// Resolve makes the complete plan from its layers. The diagnostics hold every
// problem of every layer with its place; the plan is usable when none of them
// is an error.
//
// Advice is applied unless domain.advice is off in the stronger layers.
func Resolve(in Sources) (*Plan, sdk.Diagnostics) {
	r := &resolver{}
	var file *sdk.Tree
	if in.File != nil {
		file = r.parse(in.File.Name, in.File.Data)
	}
	if file != nil && in.Stage != nil {
		file = in.Stage.of(file)
	}
	sets := r.sets(in.Sets)

	// The layers below need two keys of the layers above.
	plan := &Plan{Schema: Schema}
	quiet := &resolver{plan: plan}
	for _, k := range Keys() {
		quiet.key(k.Path, k.Default)
	}
	plan.Origin = nil
	name, origin := in.Preset, place{}
	advice := true
	if file != nil {
		for _, pair := range file.Pairs {
			if pair.Key == "preset" {
				name, origin = pair.Value.Text, place{file: in.File.Name, line: pair.Value.Line, column: pair.Value.Column}
			}
			if pair.Key == "domain" {
				for _, p := range pair.Value.Pairs {
					if p.Key == "advice" {
						advice = !isOff(p.Value.Text)
					}
				}
			}
			if pair.Key == "domain.advice" {
				advice = !isOff(pair.Value.Text)
			}
		}
	}
	for _, s := range sets {
		switch s.path {
		case "preset":
			name, origin = strings.TrimSpace(s.value.Text), place{set: s.item}
		case "domain.advice":
			advice = !isOff(strings.TrimSpace(s.value.Text))
		case "domain":
			for _, p := range s.value.Pairs {
				if p.Key == "advice" {
					advice = !isOff(p.Value.Text)
				}
			}
		}
	}
	if name == "" {
		name = DefaultPreset
	}

	r.plan = plan
	if preset, ok := FindPreset(name); ok {
		plan.Preset = name
		r.layer = "preset " + name
		r.apply("", r.parse("preset "+name, []byte(preset.Text)), place{file: "preset " + name})
	} else if origin == (place{}) { // else reported where the key is applied
		r.report(place{path: "preset"}, &problem{code: "recipe.preset", summary: fmt.Sprintf("there is no preset %q", name),
			remedy: "presets: " + strings.Join(PresetNames(), ", "), index: -1})
	}
	if advice {
		for _, a := range in.Advice {
			r.layer = "advice of " + a.Domain
			r.advice = true
			tree, err := treeOf(a.Values)
			if err != nil {
				r.report(place{file: r.layer}, wrong("recipe.syntax", "the advice cannot be read: %v", err))
				continue
			}
			r.apply("", tree, place{file: r.layer})
			r.advice = false
		}
	}
	if file != nil {
		r.layer = ""
		r.apply("", file, place{file: in.File.Name})
	}
	for _, s := range sets {
		r.layer = "--set"
		r.apply(s.path, s.value, place{set: s.item})
	}
	r.whole()
	return plan, r.ds
}

// Parse reads a plan written by YAML, or any recipe file without further layers.
func Parse(name string, data []byte) (*Plan, sdk.Diagnostics) {
	return Resolve(Sources{File: &File{Name: name, Data: data}})
}

// Defaults returns the plan of the default preset.
func Defaults() *Plan {
	plan, _ := Resolve(Sources{})
	return plan
}

// resolver collects the problems of all layers.
type resolver struct {
	plan   *Plan
	ds     sdk.Diagnostics
	layer  string // for Origin; "" = file:line:column
	advice bool   // the layer may not change where data come from
}

// place is where a value stands.
type place struct {
	file         string
	line, column int
	path         string
	set          string // the item of --set, instead of a file
}

func (r *resolver) report(at place, bad *problem) {
	d := sdk.Diagnostic{Severity: sdk.Error, Code: bad.code, Summary: bad.summary, Detail: bad.detail, Remedy: bad.remedy,
		File: at.file, Line: at.line, Column: at.column, Path: at.path}
	if at.set != "" {
		d.File, d.Path = "--set", at.set
	}
	r.ds.Add(d)
}

func (r *resolver) parse(name string, data []byte) *sdk.Tree {
	doc, ds := sdk.ParseYAML(name, data)
	r.ds.Add(ds...)
	if doc == nil {
		return nil
	}
	tree, ds := doc.Tree()
	r.ds.Add(ds...)
	if tree.Kind != "map" {
		r.report(place{file: name, line: tree.Line, column: tree.Column}, &problem{code: "recipe.type", summary: "a recipe is a map of keys, this is " + show(tree), index: -1})
		return nil
	}
	return tree
}

// set is one item of --set.
type set struct {
	item, path string
	value      *sdk.Tree
}

// sets splits the items. Lists, maps and groups may be written in YAML's
// flow form: data.labels=[a, b], train={lr: 3e-5}.
func (r *resolver) sets(items []string) []set {
	var sets []set
	for _, item := range items {
		path, text, ok := strings.Cut(item, "=")
		path = strings.TrimSpace(path)
		if !ok || path == "" {
			r.report(place{set: item}, &problem{code: "recipe.syntax", summary: fmt.Sprintf("--set wants KEY=VALUE, this is %q", clip(item)), remedy: "for example --set train.lr=3e-5", index: -1})
			continue
		}
		s := set{item: clip(item), path: path, value: &sdk.Tree{Kind: "raw", Text: text}}
		if trimmed := strings.TrimSpace(text); flowWanted(path, trimmed) {
			doc, ds := sdk.ParseYAML("--set", []byte(trimmed))
			var tree *sdk.Tree
			if doc != nil {
				var more sdk.Diagnostics
				tree, more = doc.Tree()
				ds.Add(more...)
			}
			for _, d := range ds {
				r.report(place{set: s.item}, &problem{code: "recipe.syntax", summary: d.Summary, remedy: d.Remedy, index: -1})
			}
			if ds.HasErrors() || tree == nil {
				continue
			}
			s.value = tree
		}
		sets = append(sets, s)
	}
	return sets
}

// flowWanted reports whether the value of --set is meant as a YAML list or map.
func flowWanted(path, text string) bool {
	if !strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "{") {
		return false
	}
	key, ok := FindKey(path)
	return !ok || key.Type == "list" || key.Type == "list of numbers" || key.Type == "map"
}

// treeOf turns Go values, as a plugin's advice has them, into a tree.
func treeOf(v any) (*sdk.Tree, error) {
	switch x := v.(type) {
	case map[string]any:
		t := &sdk.Tree{Kind: "map"}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			value, err := treeOf(x[k])
			if err != nil {
				return nil, err
			}
			t.Pairs = append(t.Pairs, sdk.TreePair{Key: k, Value: value})
		}
		return t, nil
	case []any:
		t := &sdk.Tree{Kind: "list"}
		for _, e := range x {
			value, err := treeOf(e)
			if err != nil {
				return nil, err
			}
			t.Items = append(t.Items, value)
		}
		return t, nil
	case []string:
		t := &sdk.Tree{Kind: "list"}
		for _, e := range x {
			t.Items = append(t.Items, &sdk.Tree{Kind: "text", Text: e})
		}
		return t, nil
	case nil:
		return &sdk.Tree{Kind: "null"}, nil
	case string:
		return &sdk.Tree{Kind: "raw", Text: x}, nil
	case bool:
		return &sdk.Tree{Kind: "bool", Text: fmt.Sprint(x)}, nil
	case float64:
		return &sdk.Tree{Kind: "float", Text: formatFloat(x)}, nil
	case float32, int, int32, int64, uint, uint32, uint64, json.Number:
		return &sdk.Tree{Kind: "int", Text: fmt.Sprint(x)}, nil
	}
	return nil, fmt.Errorf("a value of type %T", v)
}

// key assigns a text to a key of the plan; used for the defaults.
func (r *resolver) key(path, text string) {
	if strings.Contains(path, "NAME") || text == "" && fieldType(path).String() == "string" || path == "preset" {
		return
	}
	tree := &sdk.Tree{Kind: "raw", Text: strings.Trim(text, "[]{}")}
	if key, ok := FindKey(path); ok {
		r.assign(path, key, tree, place{path: path})
	}
}

func (r *resolver) assign(path string, key Key, value *sdk.Tree, at place) {
	if bad := r.plan.assign(path, key, value); bad != nil {
		if bad.index >= 0 && bad.index < len(value.Items) && value.Items[bad.index].Line > 0 {
			at.line, at.column = value.Items[bad.index].Line, value.Items[bad.index].Column
		}
		r.report(at, bad)
		return
	}
	if r.plan.Origin == nil {
		r.plan.Origin = map[string]string{}
	}
	origin := r.layer
	if origin == "" {
		origin = fmt.Sprintf("%s:%d:%d", at.file, at.line, at.column)
	}
	r.plan.Origin[path] = origin
}

// apply puts a value of one layer at path, "" for the root.
func (r *resolver) apply(path string, value *sdk.Tree, at place) {
	if value == nil {
		return
	}
	at.path = path
	if value.Line > 0 && at.set == "" {
		at.line, at.column = value.Line, value.Column
	}
	switch {
	case path == "schema":
		if value.Text != Schema {
			r.report(at, &problem{code: "recipe.schema", summary: fmt.Sprintf("unknown schema %q", clip(value.Text)), remedy: "this version reads " + Schema, index: -1})
		}
		return
	case path == "tune" && !r.advice:
		return // the search space of `islm tune`, which reads it itself
	case path == "stages" && !r.advice && at.set == "":
		r.report(at, &problem{code: "recipe.stages", summary: "a recipe of several stages is for islm train alone", remedy: "islm train --recipe " + at.file, index: -1})
		return
	case path == "domain" && value.Kind != "map":
		path = "domain.name"
		at.path = path
	}
	if r.advice && (path == "preset" || path == "seed" || strings.HasPrefix(path, "domain") || path == "data.path" || path == "data.train" || path == "data.valid" || path == "data.test") {
		r.report(at, wrong("recipe.advice", "a plugin cannot advise %s", path))
		return
	}
	if key, ok := FindKey(path); ok && fieldType(path) != nil {
		r.assign(path, key, value, at)
		return
	}
	if parent, name, ok := mapEntry(path); ok { // domain.options.OPTION, data.fields.text
		key, _ := FindKey(parent)
		r.assign(parent, key, &sdk.Tree{Kind: "map", Pairs: []sdk.TreePair{{Key: name, Value: value}}}, at)
		return
	}
	if path != "" && !isGroup(path) {
		r.unknown(path, at)
		return
	}
	if value.Kind == "null" { // a group with nothing in it
		return
	}
	if value.Kind != "map" {
		r.report(at, &problem{code: "recipe.type", summary: fmt.Sprintf("%s is a group of keys, this is %s", path, show(value)),
			remedy: "its keys: " + strings.Join(children(path), ", "), index: -1})
		return
	}
	for _, pair := range value.Pairs {
		below := pair.Key
		if path != "" {
			below = path + "." + pair.Key
		}
		next := at
		if pair.Line > 0 && at.set == "" {
			next.line, next.column = pair.Line, pair.Column
		}
		if pair.Value.Line > 0 && (isGroup(below) || isKey(below)) {
			next.line, next.column = pair.Value.Line, pair.Value.Column
		} else if at.set == "" { // an unknown key is shown where the key stands
			v := *pair.Value
			v.Line = 0
			r.apply(below, &v, next)
			continue
		}
		r.apply(below, pair.Value, next)
	}
}

func isKey(path string) bool {
	if path == "schema" {
		return true
	}
	_, ok := FindKey(path)
	if !ok {
		_, _, ok = mapEntry(path)
	}
	return ok
}

// mapEntry splits the path of an entry of a map from text to text.
func mapEntry(path string) (parent, name string, ok bool) {
	for _, parent := range []string{"domain.options", "data.fields", "continue.floors"} {
		if name, ok := strings.CutPrefix(path, parent+"."); ok && name != "" {
			return parent, name, true
		}
	}
	return "", "", false
}

// isGroup reports whether keys lie below path.
func isGroup(path string) bool {
	if name, ok := strings.CutPrefix(path, "heads."); ok {
		return name != "" && !strings.Contains(name, ".")
	}
	return len(children(path)) > 0
}

// children lists the names one step below path.
func children(path string) []string {
	if name, ok := strings.CutPrefix(path, "heads."); ok && !strings.Contains(name, ".") {
		path = "heads.NAME"
	}
	prefix := path
	if prefix != "" {
		prefix += "."
	}
	var names []string
	for _, k := range table() {
		rest, ok := strings.CutPrefix(k.Path, prefix)
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(rest, ".")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (r *resolver) unknown(path string, at place) {
	parent, name := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		parent, name = path[:i], path[i+1:]
	}
	bad := &problem{code: "recipe.unknown-key", summary: fmt.Sprintf("unknown key %q", path), index: -1}
	var suggestion string
	for _, k := range table() { // the same name elsewhere: lr -> train.lr
		if strings.HasSuffix(k.Path, "."+name) && suggestion == "" {
			suggestion = k.Path
		}
	}
	if isGroup(parent) || parent == "" {
		if near := sdk.Nearest(name, children(parent)); near != "" {
			suggestion = near
			if parent != "" {
				suggestion = parent + "." + near
			}
		}
	}
	if suggestion == "" {
		var all []string
		for _, k := range table() {
			all = append(all, k.Path)
		}
		suggestion = sdk.Nearest(path, all)
	}
	if suggestion == "" { // a slip in a name that belongs to another group
		var names, paths []string
		for _, k := range table() {
			names, paths = append(names, k.Path[strings.LastIndexByte(k.Path, '.')+1:]), append(paths, k.Path)
		}
		if i := slices.Index(names, sdk.Nearest(name, names)); i >= 0 {
			suggestion = paths[i]
		}
	}
	switch {
	case suggestion != "":
		bad.remedy = fmt.Sprintf("did you mean %q?", suggestion)
	case isGroup(parent) && parent != "":
		bad.remedy = "keys of " + parent + ": " + strings.Join(children(parent), ", ")
	default:
		bad.remedy = "`islm config show` lists all keys"
	}
	r.report(at, bad)
}

// whole checks what no single key can be blamed for.
func (r *resolver) whole() {
	p := r.plan
	at := func(path string) place {
		pl := place{path: path}
		switch origin := p.Origin[path]; {
		case origin == "--set":
			pl.set = path
		case origin != "":
			pl.file = origin
		}
		return pl
	}
	if sum := p.splitSum(); len(p.Data.Split) != 3 || sum < 1-1e-6 || sum > 1+1e-6 {
		r.report(at("data.split"), &problem{code: "recipe.range", summary: "data.split wants three shares of train, valid and test that add up to 1", remedy: "for example [0.8, 0.1, 0.1]", index: -1})
	}
	if p.Objective == "pretrain" && p.Data.Share != 1 {
		bad := wrong("recipe.conflict", "data.share takes a part of labelled examples; pre-training reads running text")
		bad.remedy = "leave data.share out, or name fewer files in data.path"
		r.report(at("data.share"), bad)
	}
	if p.Eval.Controls > 0 && len(p.Knowledge.Inject) == 0 {
		bad := wrong("recipe.conflict", "eval.controls holds injected knowledge against controls, knowledge.inject is empty")
		bad.remedy = "set knowledge.inject, or eval.controls to 0"
		r.report(at("eval.controls"), bad)
	}
	if p.Train.Nesterov && p.Train.Momentum == 0 {
		r.report(at("train.nesterov"), wrong("recipe.conflict", "train.nesterov wants a momentum above 0"))
	}
	if p.Train.Epochs == 0 && p.Train.Steps == 0 {
		bad := wrong("recipe.conflict", "train.epochs is 0 and train.steps is not set")
		bad.remedy = "set one of them"
		r.report(at("train.epochs"), bad)
	}
	if p.Train.Patience > 0 && p.Train.EvalEvery < 0 {
		r.report(at("train.patience"), wrong("recipe.conflict", "train.patience wants validations, train.eval_every is off"))
	}
	if peft := p.Train.Peft; peft != "" && peft != PeftOff {
		for _, path := range []string{"train.freeze", "train.unfreeze_every"} {
			if path == "train.freeze" && len(p.Train.Freeze) > 0 || path == "train.unfreeze_every" && p.Train.UnfreezeEvery != 0 {
				r.report(at(path), &problem{code: "recipe.conflict", summary: fmt.Sprintf("train.peft=%s freezes the encoder; %s has nothing left to say", peft, path), remedy: "drop one of them", index: -1})
			}
		}
	}
	if p.Train.UnfreezeEvery != 0 && len(p.Train.Freeze) == 0 {
		r.report(at("train.unfreeze_every"), &problem{code: "recipe.conflict", summary: "train.unfreeze_every wants something frozen", remedy: "for example train.freeze=encoder", index: -1})
	}
	if p.Train.Peft == PeftAdaLoRA && p.Peft.Warmup+p.Peft.Final >= 1 {
		r.report(at("peft.warmup"), wrong("recipe.conflict", "peft.warmup and peft.final leave no steps in which ranks fall"))
	}
	for _, l := range p.Knowledge.EntityLayers {
		if l != math.Trunc(l) {
			r.report(at("knowledge.entity_layers"), wrong("recipe.type", "knowledge.entity_layers wants whole numbers, this is %s", formatFloat(l)))
		}
	}
	if p.Knowledge.Control != ControlOff && len(p.Knowledge.Inject) == 0 {
		bad := wrong("recipe.conflict", "knowledge.control is %s, but nothing is injected", p.Knowledge.Control)
		bad.remedy = "set knowledge.inject"
		r.report(at("knowledge.control"), bad)
	}
	r.checkDistill(at)
	r.checkContinue(at)
	r.checkGenerate(at)
	r.checkFewShot(at)
	r.checkTerms(at)
	r.checkRate()
	for _, name := range slices.Sorted(maps.Keys(p.Heads)) {
		h := p.Heads[name]
		if n := len(h.ClassWeights); n > 0 && len(h.Labels) > 0 && n != len(h.Labels) {
			r.report(at("heads."+name+".class_weights"), wrong("recipe.conflict", "heads.%s has %d labels and %d class_weights", name, len(h.Labels), n))
		}
	}
}

func (p *Plan) splitSum() float64 {
	var sum float64
	for _, s := range p.Data.Split {
		sum += s
	}
	return sum
}
