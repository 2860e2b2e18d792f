package core

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/kind"
	"github.com/islm-dev/islm/augment/packs"
	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/sdk"
)

// rules are the rule packs of a run.
type rules struct {
	packs  []*augment.Pack
	engine *augment.Engine
	mode   augment.Mode
	stages []Stage
	code   []*codeRule
	mixup  *augment.Engine // of rules of kind mixup.v0; nil = none
	mixers []mixer         // those rules
	view   *kg.View        // of knowledge.kg, for packs that ask a graph; nil = none
	shared augment.Options // of every engine of the run
}

// openRules loads the packs that a plan names: those of its plugins by their
// names, folders, and those that come with islm. It comes before the plugins are
// gone. nil when the plan names none.
func openRules(ctx context.Context, plan *recipe.Plan, ps plugins, home string) (*rules, sdk.Diagnostics, error) {
	if len(plan.Augment.Packs) == 0 {
		return nil, nil, nil
	}
	var ds sdk.Diagnostics
	r := &rules{}
	var err error
	if r.mode, err = augment.ParseMode(plan.Augment.Mode); err != nil {
		ds.Add(sdk.Diagnostic{Code: "recipe.value", Path: "augment.mode", Summary: err.Error()})
	}
	offered, makers, more, err := ps.packs(ctx)
	if ds = append(ds, more...); err != nil {
		return nil, ds, err
	}
	var chosen []*augment.Pack
	for _, name := range plan.Augment.Packs {
		p, more, err := findPack(ctx, name, offered, home)
		if ds = append(ds, more...); err != nil {
			return nil, ds, err
		}
		if p != nil {
			chosen = append(chosen, p)
		}
	}
	if ds.HasErrors() {
		return nil, ds, nil
	}
	graph, more, err := r.graph(ctx, plan, ps, chosen, home)
	if ds = append(ds, more...); err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	resources := augment.Resources{Graph: graph}
	if dir := plan.Augment.WordNet; dir != "" {
		if resources.Thesaurus, err = kind.OpenWordNet(dir); err != nil {
			return nil, ds, err
		}
		digest, _, err := report.DigestTree(os.DirFS(dir), func(string) bool { return true })
		if err != nil {
			return nil, ds, fmt.Errorf("read WordNet: %w", err)
		}
		r.stages = append(r.stages, Stage{"thesaurus", digest, dir, true})
	}
	skip, more := leftOut(plan.Augment.Without, chosen)
	if ds = append(ds, more...); ds.HasErrors() {
		return nil, ds, nil
	}
	orphans, more := r.takeCode(chosen, skip, makers)
	ds = append(ds, more...)
	resources.Coder = prepared(nil)
	r.shared = augment.Options{Seed: plan.Seed, Bare: true, Skip: slices.Concat(skip, orphans), Resources: resources}
	main := r.shared
	main.Take = func(_ string, rule *augment.CompiledRule) bool {
		return rule.Kind != codeKind && rule.Kind != mixupKind
	}
	r.engine, more = augment.NewEngine(chosen, main)
	if ds = append(ds, more...); ds.HasErrors() {
		return nil, ds, nil
	}
	if err := r.takeMixup(chosen, skip); err != nil {
		return nil, ds, err
	}
	r.packs = chosen
	for _, p := range chosen {
		r.stages = append(r.stages, Stage{"rules", "sha256:" + p.Digest, fmt.Sprintf("%s: %d rules", p, len(p.Rules)), true})
	}
	return r, ds, nil
}

// leftOut resolves augment.without to rules of the packs.
func leftOut(without []string, chosen []*augment.Pack) (skip []string, ds sdk.Diagnostics) {
	var known, short []string
	for _, p := range chosen {
		for _, rule := range p.Rules {
			known, short = append(known, p.Manifest.Name+"/"+rule.ID), append(short, rule.ID)
		}
	}
	for _, name := range without {
		if name == "*" {
			return known, nil
		}
		if !slices.ContainsFunc(known, func(k string) bool { return k == name || strings.HasSuffix(k, "/"+name) }) {
			d := sdk.Diagnostic{Severity: sdk.Error, Code: "augment.without", Path: "augment.without", Summary: fmt.Sprintf("the packs have no rule %q", name),
				Remedy: "name a rule as RULE or PACK/RULE ('islm rules stats' lists them)"}
			if near := sdk.Nearest(name, append(short, known...)); near != "" {
				d.Remedy = fmt.Sprintf("did you mean %q?", near)
			}
			ds.Add(d)
		}
	}
	return without, ds
}

// close lets go of the graph that rules ask.
func (r *rules) close() error {
	if r == nil || r.view == nil {
		return nil
	}
	return r.view.Close()
}

// graph is what packs ask that ask a graph: that of knowledge.kg, else the facts
// of the plugins; else nil.
func (r *rules) graph(ctx context.Context, plan *recipe.Plan, ps plugins, chosen []*augment.Pack, home string) (augment.Graph, sdk.Diagnostics, error) {
	if !slices.ContainsFunc(chosen, func(p *augment.Pack) bool { return p.Needs().Graph }) {
		return nil, nil, nil
	}
	if dir := plan.Knowledge.KG; dir != "" {
		var err error
		if r.view, err = OpenGraph(ctx, dir, home); err != nil {
			return nil, nil, err
		}
		r.stages = append(r.stages, Stage{"rules-graph", "sha256:" + r.view.Digest(), dir, true})
		return kg.GraphOf(r.view), nil, nil
	}
	var entities []sdk.Entity
	var facts []sdk.Fact
	var ds sdk.Diagnostics
	for _, p := range ps {
		stream, more, err := p.facts(ctx, nil)
		if ds = append(ds, more...); err != nil || more.HasErrors() {
			return nil, ds, err
		}
		items, more, err := sdk.Collect(stream)
		if ds = append(ds, more...); err != nil {
			return nil, ds, fmt.Errorf("read the facts of %s: %w", p.about.Name, err)
		}
		for _, it := range items {
			if it.Entity != nil {
				entities = append(entities, *it.Entity)
			}
			if it.Fact != nil {
				facts = append(facts, *it.Fact)
			}
		}
	}
	if len(entities) == 0 {
		return nil, ds, nil
	}
	return augment.NewMemoryGraph(entities, facts), ds, nil
}

// packs are the rule packs of the plugins, and which plugin each is of.
func (ps plugins) packs(ctx context.Context) ([]*augment.Pack, map[*augment.Pack]*plugin, sdk.Diagnostics, error) {
	var out []*augment.Pack
	makers := map[*augment.Pack]*plugin{}
	var ds sdk.Diagnostics
	for _, p := range ps {
		files, more, err := sdk.Collect(p.host.Rules(ctx))
		if ds = append(ds, more...); err != nil {
			return nil, nil, ds, fmt.Errorf("read the rules of %s: %w", p.about.Name, err)
		}
		if len(files) == 0 {
			continue
		}
		own, more := augment.FromPlugin(p.about.Name, p.about.Version, files, augment.LoadOptions{Prefix: p.about.Name})
		out, ds = append(out, own...), append(ds, more...)
		for _, pack := range own {
			makers[pack] = p
		}
	}
	return out, makers, ds, nil
}

// findPack finds a pack by the name that a plan gives: of a plugin, a folder, a
// pack of the lock, one that comes with islm.
func findPack(ctx context.Context, name string, offered []*augment.Pack, home string) (*augment.Pack, sdk.Diagnostics, error) {
	for _, p := range offered {
		if p.Manifest.Name == name {
			return p, nil, nil
		}
	}
	if _, err := os.Stat(filepath.Join(name, augment.PackFile)); err == nil {
		p, ds := augment.LoadDir(name, augment.LoadOptions{})
		return p, ds, nil
	}
	shelf, ds, err := openShelf(home)
	if err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	if p, locked, more, err := shelf.pack(ctx, name); locked || err != nil {
		return p, append(ds, more...), err
	}
	if slices.Contains(packs.Names(), name) {
		p, more := packs.Load(name)
		return p, append(ds, more...), nil
	}
	known := append(packs.Names(), shelf.names()...)
	for _, p := range offered {
		known = append(known, p.Manifest.Name)
	}
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "augment.packs", Path: "augment.packs", Summary: fmt.Sprintf("there is no rule pack %q", name),
		Remedy: "name a folder with pack.yaml, or one of: " + strings.Join(known, ", ")}
	if near := sdk.Nearest(name, known); near != "" {
		d.Remedy = fmt.Sprintf("did you mean %q? (%s)", near, d.Remedy)
	}
	return nil, append(ds, d), nil
}

// vary makes a loader show variants of its examples.
func (r *rules) vary(l *corpus.Loader, encoder *corpus.Encoder, train []sdk.Example) error {
	if r == nil {
		return nil
	}
	return l.Vary(&corpus.Varied{Examples: train, Encoder: encoder, Engine: r.engine, Mode: r.mode, Code: r.codeEngines(), Mixup: r.mixing()})
}
