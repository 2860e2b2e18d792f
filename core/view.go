package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// kgGraph is a compiled view of core/kg.
type kgGraph struct {
	view    *kg.View
	linker  *kg.Linker
	types   []string // those of the view, "" for entities without one, the ids of knowledge.types
	classes int      // place of the first id in types
}

// openView opens a compiled view and links in it what the plan asks for.
func openView(path string, plan *recipe.KnowledgePlan) (*kgGraph, error) {
	v, err := kg.OpenView(path)
	if err != nil {
		return nil, err
	}
	if ds := CheckLinkTypes(v, plan.Types, "knowledge.types"); ds.HasErrors() {
		return nil, errors.Join(ds.Err(), v.Close())
	}
	// Entities without a type have one of their own, after the others. Ids that say
	// what is linked are types of what stands below them: an ontology may have one
	// type for all its entities.
	types := append(slices.Clone(v.Types()), "")
	classes := len(types)
	if slices.ContainsFunc(plan.Types, func(id string) bool { _, ok := v.Index(id); return ok }) {
		types = append(types, plan.Types...)
	}
	return &kgGraph{view: v, linker: v.Linker(kg.LinkOptions{Types: plan.Types, Abbreviations: plan.Abbreviations}), types: types, classes: classes}, nil
}

func (g *kgGraph) Types() []string        { return g.types }
func (g *kgGraph) Entities() int          { return g.view.Entities() }
func (g *kgGraph) Dim() int               { return g.view.Dim() }
func (g *kgGraph) Digest() string         { return g.view.Digest() }
func (g *kgGraph) Close() error           { return g.view.Close() }
func (g *kgGraph) ID(entity int32) string { return g.view.Entity(entity).ID }

func (g *kgGraph) Name(entity int32) string {
	e := g.view.Entity(entity)
	if len(e.Names) > 0 {
		return e.Names[0]
	}
	return e.ID
}

func (g *kgGraph) Link(text string) []recipe.Mention {
	if text == "" {
		return nil
	}
	found := g.linker.Link(text)
	out := make([]recipe.Mention, len(found))
	for i, m := range found {
		out[i] = recipe.Mention{Start: m.Start, End: m.End, Entity: m.Entity, Type: m.Type}
		if class := g.linker.Class(m.Entity); class >= 0 {
			out[i].Type = int32(g.classes + class)
		} else if m.Type < 0 {
			out[i].Type = int32(g.classes - 1)
		}
	}
	return out
}

func (g *kgGraph) Facts(entity int32) []recipe.GraphFact {
	facts := g.view.Facts(entity)
	out := make([]recipe.GraphFact, len(facts))
	for i, f := range facts {
		out[i] = recipe.GraphFact{Relation: f.Relation, Object: f.Object, Weight: f.Weight}
	}
	return out
}

// Vector: the view has zeros for entities that were not embedded.
func (g *kgGraph) Vector(entity int32) []float32 {
	if entity < 0 {
		return nil
	}
	v := g.view.Vector(entity)
	if !slices.ContainsFunc(v, func(x float32) bool { return x != 0 }) {
		return nil
	}
	return v
}

// findView finds the compiled view that the plan asks for, or makes it: from a
// store or a view that knowledge.kg names, else from the facts of the plugins.
// It returns the folder of the view.
func findView(ctx context.Context, plan *recipe.Plan, ps plugins, home string) (dir string, stages []Stage, ds sdk.Diagnostics, err error) {
	k := &plan.Knowledge
	if k.KG != "" && exists(filepath.Join(k.KG, kg.ViewName)) {
		if k.Vectors != "" {
			ds.Add(sdk.Diagnostic{Code: "knowledge.vectors", Path: "knowledge.vectors", Summary: "knowledge.kg is a compiled view: vectors cannot be added to it", Remedy: "name the store that the view was made from as knowledge.kg, or leave knowledge.vectors out"})
		}
		return k.KG, nil, ds, nil
	}
	store := k.KG
	if store == "" {
		var stage Stage
		if store, stage, ds, err = buildGraph(ctx, ps, home); err != nil || ds.HasErrors() {
			return "", nil, ds, err
		}
		stages = append(stages, stage)
	}
	s, err := kg.Open(store)
	if err != nil {
		if more, _, ok := sdk.DiagnosticsOf(err); ok {
			return "", nil, append(ds, more...), nil
		}
		return "", nil, ds, fmt.Errorf("open the knowledge graph: %w", err)
	}
	defer s.Close() //nolint:errcheck // read only
	opt := kg.CompileOptions{Facts: k.Facts}
	h := sha256.New()
	fmt.Fprintf(h, "view 3\n%s\nfacts %d\n", s.Digest(), k.Facts)
	if k.Vectors != "" {
		opt.Vectors = k.Vectors
		if info, err := os.Stat(k.Vectors); err == nil && info.IsDir() {
			opt.Vectors = filepath.Join(k.Vectors, "vectors.safetensors")
		}
		if ids := filepath.Join(filepath.Dir(opt.Vectors), "entities.txt"); exists(ids) {
			opt.VectorIDs = ids
		}
		for _, file := range []string{opt.Vectors, opt.VectorIDs} {
			if file == "" {
				continue
			}
			if err := digestFile(h, file); err != nil {
				ds.Add(sdk.Diagnostic{Code: "knowledge.vectors", Path: "knowledge.vectors", File: file, Summary: err.Error(), Remedy: "check the path; 'islm kg embed' writes vectors.safetensors and entities.txt"})
				return "", stages, ds, nil
			}
		}
	}
	digest := hex.EncodeToString(h.Sum(nil))
	dir = filepath.Join(home, "stages", "knowledge", digest)
	file := filepath.Join(dir, kg.ViewName)
	reused := exists(file)
	if !reused {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", stages, ds, fmt.Errorf("make the folder of the compiled view: %w", err)
		}
		if err := kg.Compile(ctx, s, file, opt); err != nil {
			if more, _, ok := sdk.DiagnosticsOf(err); ok {
				return "", stages, append(ds, more...), nil
			}
			return "", stages, ds, fmt.Errorf("compile the knowledge graph: %w", err)
		}
	}
	st := s.Stats()
	stages = append(stages, Stage{"knowledge", "sha256:" + digest, fmt.Sprintf("%d entities, %d facts", st.Entities, st.Facts), reused})
	return dir, stages, ds, nil
}

func digestFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// buildGraph imports the facts of the plugins into a store named by what they
// are, or finds the one that an earlier run made.
func buildGraph(ctx context.Context, ps plugins, home string) (dir string, stage Stage, ds sdk.Diagnostics, err error) {
	if len(ps) == 0 {
		ds.Add(sdk.Diagnostic{Code: "knowledge.kg", Path: "knowledge.kg", Summary: "knowledge is wanted, but there is no graph", Remedy: "name a graph (knowledge.kg=FOLDER, see 'islm kg import'), or a domain that has facts (--domain)"})
		return "", stage, ds, nil
	}
	h := sha256.New()
	var names []string
	var parts []kg.Part
	for _, p := range ps {
		fmt.Fprintf(h, "%s %s %s %s\n", p.about.Name, p.about.Version, p.entry.SHA256, p.host.Digest())
		names = append(names, p.about.Name)
		items, more, err := p.facts(ctx, h)
		if ds = append(ds, more...); err != nil || more.HasErrors() {
			return "", stage, ds, err
		}
		parts = append(parts, kg.Part{Domain: p.about.Name, Items: items})
	}
	digest := hex.EncodeToString(h.Sum(nil))
	name := strings.Join(names, "+")
	dir = filepath.Join(home, "stages", "kg", digest)
	stage = Stage{"kg", "sha256:" + digest, "facts of " + name, true}
	if _, err := os.Stat(dir); err == nil {
		return dir, stage, ds, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", stage, ds, fmt.Errorf("find the graph of an earlier run: %w", err)
	}
	stage.Reused = false
	items := parts[0].Items
	if len(parts) > 1 {
		items = kg.Join(parts...)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", stage, ds, fmt.Errorf("make the folder of the graph: %w", err)
	}
	info, err := kg.Build(ctx, dir, names[0], items, kg.BuildOptions{})
	if err != nil {
		if more, fatal, ok := sdk.DiagnosticsOf(err); ok && !fatal {
			return "", stage, append(ds, more...), nil
		}
		return "", stage, ds, fmt.Errorf("import the facts of %s: %w", name, err)
	}
	if info.Entities == 0 {
		os.RemoveAll(dir)
		ds.Add(sdk.Diagnostic{Code: "knowledge.kg", Path: "knowledge.kg", Summary: fmt.Sprintf("the domain %s has no facts", name), Remedy: "name a graph with knowledge.kg, or give the domain an option that loads one (islm plugin describe " + names[0] + ")"})
		return "", stage, ds, nil
	}
	stage.Text = fmt.Sprintf("facts of %s: %d entities, %d facts", name, info.Entities, info.Facts)
	return dir, stage, ds, nil
}
