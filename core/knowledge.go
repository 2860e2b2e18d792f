package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/features"
	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Names below islm/ of what a model needs to inject knowledge.
const (
	KnowledgeDir = "knowledge" // the compiled view of the graph, features.json
	FeaturesFile = "features.json"
	DecoysFile   = "decoys.json" // only of a control
)

// knowledge is what a run or a finished model injects, open for reading.
type knowledge struct {
	corpus *corpus.Knowledge
	graph  graph             // nil when no way needs one
	view   string            // folder of the compiled view
	specs  []sdk.FeatureSpec // of the word features
	decoys []decoy           // what a control marks instead of names
	stages []Stage
}

// encoder is the part that the encoding of examples needs; nil for none.
func (k *knowledge) encoder() *corpus.Knowledge {
	if k == nil {
		return nil
	}
	return k.corpus
}

// injection is the part that an engine needs; nil for none.
func (k *knowledge) injection() *recipe.Injection {
	if k == nil {
		return nil
	}
	in := k.corpus.Injection()
	if in != nil && k.corpus.Plan.Has(recipe.InjectEntity) {
		in.Dim, in.Vector = k.graph.Dim(), k.graph.Vector
	}
	return in
}

// openFeatures makes the extractor of word features, if the plan wants one.
func (k *knowledge) openFeatures(plan *recipe.Plan, declared []sdk.FeatureSpec) sdk.Diagnostics {
	if !plan.Knowledge.Has(recipe.InjectFeatures) {
		return nil
	}
	specs, ds := chooseFeatures(plan.Knowledge.Features, declared)
	if ds.HasErrors() {
		return ds
	}
	x, more := features.New(specs)
	ds = append(ds, more...)
	if ds.HasErrors() {
		return ds
	}
	k.specs = specs
	k.corpus.Words, k.corpus.Counts = x, x.Spec().Counts()
	k.corpus.Digest += " features " + x.Spec().Digest
	k.stages = append(k.stages, Stage{"features", "sha256:" + x.Spec().Digest, strings.Join(x.Spec().Names, ", "), true})
	return ds
}

// chooseFeatures picks the features that names ask for: among those declared,
// else those of a kind that needs no declaration. Without names all that are
// declared, else the usual ones.
func chooseFeatures(names []string, declared []sdk.FeatureSpec) (out []sdk.FeatureSpec, ds sdk.Diagnostics) {
	if len(names) == 0 {
		if len(declared) > 0 {
			return declared, nil
		}
		return features.Default(), nil
	}
	known := slices.Clone(declared)
	for _, kind := range sdk.FeatureKinds() {
		name, _, _ := strings.Cut(kind, ".")
		if kind != sdk.FeatureClasses && !slices.ContainsFunc(known, func(s sdk.FeatureSpec) bool { return s.Name == name }) {
			known = append(known, sdk.FeatureSpec{Name: name, Kind: kind})
		}
	}
	for _, name := range names {
		i := slices.IndexFunc(known, func(s sdk.FeatureSpec) bool { return s.Name == name })
		if i >= 0 {
			out = append(out, known[i])
			continue
		}
		var all []string
		for _, s := range known {
			all = append(all, s.Name)
		}
		d := sdk.Diagnostic{Code: "knowledge.features", Path: "knowledge.features", Summary: fmt.Sprintf("no feature is called %q", name), Remedy: "one of: " + strings.Join(all, ", ")}
		if near := sdk.Nearest(name, all); near != "" {
			d.Remedy = fmt.Sprintf("did you mean %q? (%s)", near, d.Remedy)
		}
		ds.Add(d)
	}
	return out, ds
}

// prepareKnowledge opens what the plan injects: word features, and the compiled
// view of the graph. It comes before the plugins are gone, which may hold facts.
func (r *Run) prepareKnowledge(ctx context.Context) error {
	if len(r.plan.Knowledge.Inject) == 0 {
		return nil
	}
	k, ds, err := openKnowledge(ctx, r.plan, r.plugins, r.Home)
	if terr := r.tell(ds); terr != nil {
		return terr
	}
	if err != nil {
		return err
	}
	r.knowledge = k
	for _, s := range k.stages {
		r.Watch.Stage(s.Kind, s.Text)
	}
	return nil
}

func newKnowledge(plan *recipe.Plan) *knowledge {
	k := &knowledge{corpus: &corpus.Knowledge{Plan: plan.Knowledge, Digest: strings.Join(plan.Knowledge.Inject, "+")}}
	if plan.Knowledge.Control == recipe.ControlShuffled {
		k.corpus.Seed = plan.Seed
	}
	return k
}

// openKnowledge opens what a run injects.
func openKnowledge(ctx context.Context, plan *recipe.Plan, ps plugins, home string) (*knowledge, sdk.Diagnostics, error) {
	k := newKnowledge(plan)
	var declared []sdk.FeatureSpec
	for _, p := range ps {
		for _, s := range p.about.Features {
			if !slices.ContainsFunc(declared, func(d sdk.FeatureSpec) bool { return d.Name == s.Name }) {
				declared = append(declared, s)
			}
		}
	}
	ds := k.openFeatures(plan, declared)
	if ds.HasErrors() || !plan.Knowledge.NeedsGraph() {
		return k, ds, nil
	}
	dir, stages, more, err := findView(ctx, plan, ps, home)
	ds = append(ds, more...)
	k.stages = append(k.stages, stages...)
	if err != nil || ds.HasErrors() {
		return k, ds, err
	}
	more, err = k.openGraph(dir, plan)
	return k, append(ds, more...), err
}

// openGraph opens a compiled view as the plan's control sees it.
func (k *knowledge) openGraph(dir string, plan *recipe.Plan) (ds sdk.Diagnostics, err error) {
	real, err := openView(dir, &plan.Knowledge)
	if err != nil {
		if more, _, ok := sdk.DiagnosticsOf(err); ok {
			return more, nil
		}
		return nil, fmt.Errorf("open the knowledge graph: %w", err)
	}
	if plan.Knowledge.Has(recipe.InjectEntity) && real.Dim() == 0 {
		ds.Add(sdk.Diagnostic{Code: "knowledge.vectors", Path: "knowledge.vectors", Summary: "entity vectors are to be injected, but the graph has none", Remedy: "make them with 'islm kg embed' and name them with knowledge.vectors"})
		return ds, real.Close()
	}
	k.view, k.graph = dir, controlled(real, plan.Knowledge.Control, plan.Seed)
	if s, ok := k.graph.(*shuffledGraph); ok && (plan.Knowledge.Has(recipe.InjectText) || plan.Knowledge.Has(recipe.InjectPrompt)) {
		s.shuffleFacts()
	}
	k.corpus.Linker = k.graph
	k.corpus.Digest += " graph " + k.graph.Digest()
	if len(plan.Knowledge.Types) > 0 {
		k.corpus.Digest += " classes " + strings.Join(plan.Knowledge.Types, ",")
	}
	if plan.Knowledge.Abbreviations {
		k.corpus.Digest += " abbreviations"
	}
	return ds, nil
}

// needsDecoys reports whether the gazetteer marks stretches that are no names.
func (k *knowledge) needsDecoys() bool {
	return k != nil && k.graph != nil && k.corpus.Plan.Has(recipe.InjectGazetteer) && k.corpus.Plan.Control == recipe.ControlShuffled
}

// mark lets the gazetteer mark decoys.
func (k *knowledge) mark(list []decoy) {
	k.decoys = list
	k.corpus.Marks = newDecoys(list, k.graph.Types())
}

// close ends the mapping of the view.
func (k *knowledge) close() error {
	if k == nil || k.graph == nil {
		return nil
	}
	return k.graph.Close()
}

// saveKnowledge puts what prediction needs into the model's islm/knowledge.
func (r *Run) saveKnowledge() error {
	if r.knowledge == nil {
		return nil
	}
	dir := filepath.Join(r.folder.ExportDir(), Own, KnowledgeDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("save the knowledge: %w", err)
	}
	if r.knowledge.view != "" {
		if err := copyFile(filepath.Join(r.knowledge.view, kg.ViewName), filepath.Join(dir, kg.ViewName)); err != nil {
			return fmt.Errorf("save the knowledge: %w", err)
		}
	}
	if r.knowledge.decoys != nil {
		if err := writeJSON(filepath.Join(dir, DecoysFile), decoysDoc{decoysSchema, r.knowledge.decoys}); err != nil {
			return err
		}
	}
	if r.knowledge.specs == nil {
		return nil
	}
	return writeJSON(filepath.Join(dir, FeaturesFile), featuresDoc{featuresSchema, r.knowledge.specs})
}

func writeJSON(path string, doc any) error {
	raw, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return writeWhole(path, append(raw, '\n'))
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

const decoysSchema = "islm/decoys.v0"

// decoysDoc is islm/knowledge/decoys.json.
type decoysDoc struct {
	Schema string  `json:"schema"`
	Decoys []decoy `json:"decoys"`
}

const featuresSchema = "islm/features.v0"

// featuresDoc is islm/knowledge/features.json.
type featuresDoc struct {
	Schema   string            `json:"schema"`
	Features []sdk.FeatureSpec `json:"features"`
}

// loadKnowledge opens what a finished model injects, from its folder alone.
func loadKnowledge(dir string, plan *recipe.Plan) (*knowledge, sdk.Diagnostics, error) {
	if len(plan.Knowledge.Inject) == 0 {
		return nil, nil, nil
	}
	k := newKnowledge(plan)
	var ds sdk.Diagnostics
	base := filepath.Join(dir, Own, KnowledgeDir)
	if plan.Knowledge.Has(recipe.InjectFeatures) {
		var doc featuresDoc
		more, err := readJSON(filepath.Join(base, FeaturesFile), &doc, func() bool { return doc.Schema == featuresSchema })
		if ds = append(ds, more...); err != nil || ds.HasErrors() {
			return nil, ds, err
		}
		named := *plan
		named.Knowledge.Features = nil // those of the model, as they are
		if more := k.openFeatures(&named, doc.Features); more.HasErrors() {
			return nil, append(ds, more...), nil
		}
	}
	if !plan.Knowledge.NeedsGraph() {
		return k, ds, nil
	}
	more, err := k.openGraph(base, plan)
	if ds = append(ds, more...); err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	if k.needsDecoys() {
		var doc decoysDoc
		more, err := readJSON(filepath.Join(base, DecoysFile), &doc, func() bool { return doc.Schema == decoysSchema })
		if ds = append(ds, more...); err != nil || ds.HasErrors() {
			return nil, ds, err
		}
		k.mark(doc.Decoys)
	}
	return k, ds, nil
}

// readJSON reads a file of islm/knowledge.
func readJSON(path string, doc any, known func() bool) (ds sdk.Diagnostics, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		ds.Add(sdk.Diagnostic{Code: "model.knowledge", File: path, Summary: "a part of the model's knowledge is missing", Remedy: "the folder is not complete: copy or train it again"})
		return ds, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the model's knowledge: %w", err)
	}
	if err := json.Unmarshal(raw, doc); err != nil || !known() {
		ds.Add(sdk.Diagnostic{Code: "model.knowledge", File: path, Summary: "the file is not what it should be, or of another version", Remedy: "use the version of islm that wrote this model"})
	}
	return ds, nil
}
