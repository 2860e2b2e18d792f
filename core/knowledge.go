package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/features"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Names below islm/ of what a model needs to inject knowledge.
const (
	KnowledgeDir = "knowledge" // the compiled view of the graph, features.json
	FeaturesFile = "features.json"
)

// knowledge is what a run or a finished model injects, open for reading.
type knowledge struct {
	corpus *corpus.Knowledge
	specs  []sdk.FeatureSpec // of the word features
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
	return k.corpus.Injection()
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
func openKnowledge(_ context.Context, plan *recipe.Plan, ps plugins, _ string) (*knowledge, sdk.Diagnostics, error) {
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
	return k, ds, nil
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
	if r.knowledge.specs == nil {
		return nil
	}
	raw, err := json.MarshalIndent(featuresDoc{featuresSchema, r.knowledge.specs}, "", "  ")
	if err != nil {
		return fmt.Errorf("save the features: %w", err)
	}
	return writeWhole(filepath.Join(dir, FeaturesFile), append(raw, '\n'))
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
	if plan.Knowledge.Has(recipe.InjectFeatures) {
		path := filepath.Join(dir, Own, KnowledgeDir, FeaturesFile)
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			ds.Add(sdk.Diagnostic{Code: "model.knowledge", File: path, Summary: "the model's word features are missing", Remedy: "the folder is not complete: copy or train it again"})
			return nil, ds, nil
		}
		if err != nil {
			return nil, ds, fmt.Errorf("read the model's features: %w", err)
		}
		var doc featuresDoc
		if err := json.Unmarshal(raw, &doc); err != nil || doc.Schema != featuresSchema {
			ds.Add(sdk.Diagnostic{Code: "model.knowledge", File: path, Summary: fmt.Sprintf("this is not a list of word features of schema %s", featuresSchema), Remedy: "use the version of islm that wrote this model"})
			return nil, ds, nil
		}
		named := *plan
		named.Knowledge.Features = nil // those of the model, as they are
		if more := k.openFeatures(&named, doc.Features); more.HasErrors() {
			return nil, append(ds, more...), nil
		}
	}
	return k, ds, nil
}
