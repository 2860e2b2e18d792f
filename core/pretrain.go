package core

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// openText reads running text for pre-training and packs it into rows, or finds
// what an earlier run left.
func openText(ctx context.Context, req dataRequest) (*data, sdk.Diagnostics, error) {
	plan := req.plan
	how := &plan.Pretrain
	path := plan.Data.Path
	if plan.Data.Train != "" {
		path = plan.Data.Train
	}
	ds := checkPretrain(plan, path)
	cfg, more := hf.ReadConfig(req.base)
	if ds = append(ds, more...); ds.HasErrors() {
		return nil, ds, nil
	}
	pack := corpus.PackRequest{Plan: plan, Causal: cfg.Causal(), Home: filepath.Join(req.home, "stages", "text")}
	d := &data{base: req.base, name: baseName(path), maxLength: plan.Data.MaxLength, corpus: &corpus.Corpus{}, rules: &rules{}}
	d.heads = []sdk.HeadSpec{{Name: "words", Kind: sdk.KindMLM}}
	if cfg.Causal() {
		d.heads[0].Kind = sdk.KindCLM
	}
	more, err := d.findTexts(ctx, req, path, &pack)
	ds = append(ds, more...)
	if err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	if how.Scratch {
		stage, err := makeScratch(ctx, req, cfg, &pack)
		if err != nil {
			return nil, ds, err
		}
		d.base, d.before = stage.dir, append(d.before, stage.Stage)
		d.made.Vocabulary = append(d.made.Vocabulary, report.Artifact{Name: "vocabulary of the texts", Role: "from scratch", Digest: stage.Digest})
		if cfg, more = hf.ReadConfig(d.base); more.HasErrors() {
			return nil, append(ds, more...), nil
		}
	}
	if d.tokenizer, err = token.Load(d.base); err != nil {
		return nil, ds, err
	}
	tok := d.tokenizer
	ds = append(ds, d.fitLength(plan, cfg)...)
	if !cfg.Causal() {
		ds.Add(lacksMask(tok, d.base)...)
	}
	if n := tok.VocabSize(); n > cfg.VocabSize {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.tokenizer", File: d.base, Summary: fmt.Sprintf("the tokenizer has %d pieces, the model's embedding only %d rows", n, cfg.VocabSize), Remedy: "use the tokenizer that belongs to this model"})
	}
	if ds.HasErrors() {
		return nil, ds, nil
	}
	if d.tokDigest, err = tokenizerDigest(d.base); err != nil {
		return nil, ds, err
	}
	pack.Tokenizer, pack.TokenizerDigest, pack.Length = tok, d.tokDigest, d.maxLength
	if how.Mask == "entity" {
		graph, more, err := d.openLinker(ctx, req)
		ds = append(ds, more...)
		if err != nil || ds.HasErrors() {
			return nil, ds, err
		}
		defer graph.Close() //nolint:errcheck // read only
		pack.Linker, pack.LinkerDigest = graph, linkerDigest(graph, plan)
	}
	packed, more, err := corpus.Pack(ctx, pack)
	ds = append(ds, more...)
	if err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	mask, _ := tok.Special("mask")
	m := &corpus.Masking{Plan: *how, Seed: plan.Seed, Mask: mask, Pieces: tok.VocabSize(), Keep: tok.IsSpecial, Causal: cfg.Causal()}
	d.packed, d.corpus.Inputs = packed, append(d.corpus.Inputs, packed.Inputs...)
	d.loader = &corpus.PackedLoader{Rows: packed.Train, Masking: m, Size: max(1, plan.Train.BatchSize), Shuffle: plan.Train.Shuffle}
	if packed.Valid.Len() > 0 {
		valid, err := corpus.NewPackedSource(packed.Valid, m)
		if err != nil {
			return nil, ds, err
		}
		d.valid = valid
	} else if how.Task || plan.Data.Split[1] > 0 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.valid", Summary: "no text is held out: perplexity is not measured", Remedy: "more text, or a larger second share in data.split"})
	}
	return d, ds, nil
}

// checkPretrain says what a plan of a pre-training cannot have.
func checkPretrain(plan *recipe.Plan, path string) (ds sdk.Diagnostics) {
	if path == "" {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.path", Summary: "there is no text to train on", Remedy: "name a file or a folder of .txt, .jsonl or .parquet files with --data"})
	}
	if len(plan.Knowledge.Inject) > 0 || len(plan.Augment.Packs) > 0 || plan.Vocab.Extend != 0 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "pretrain.keys", Path: "objective", Summary: "pre-training takes no knowledge.inject, augment.packs or vocab.extend",
			Remedy: "'islm vocab extend' makes a base with the terms"})
	}
	how := &plan.Pretrain
	clash := func(key, other string) {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "recipe.conflict", Path: key, Summary: key + " and " + other + " contradict each other", Remedy: "drop one of them"})
	}
	if how.Task && how.Like != "" {
		clash("pretrain.task", "pretrain.like")
	}
	if how.Scratch && recipe.HasAdapter(plan.Train.Peft) {
		clash("pretrain.scratch", "train.peft")
	}
	return ds
}

// findTexts fills in where the texts of a request come from: files, or a task's
// examples.
func (d *data) findTexts(ctx context.Context, req dataRequest, path string, pack *corpus.PackRequest) (ds sdk.Diagnostics, err error) {
	if req.plan.Pretrain.Task {
		request := corpus.Request{Plan: req.plan, Heads: req.plugins.heads(), Unlabelled: true}
		if len(req.plugins) > 0 {
			request.Domain = req.plugins
		}
		c, ds, err := corpus.Read(ctx, request)
		if err != nil || ds.HasErrors() {
			return ds, err
		}
		d.corpus.Inputs = c.Inputs
		pack.Task = &corpus.TaskTexts{}
		for i, into := range []*[]string{&pack.Task.Train, &pack.Task.Valid} {
			for text, err := range textsOf(c.Split(corpus.SplitNames()[i])) {
				if err != nil {
					return ds, err
				}
				*into = append(*into, text)
			}
		}
		return ds, nil
	}
	if pack.Files, err = corpus.TextFiles([]string{path}); err != nil {
		return nil, err
	}
	if len(pack.Files) == 0 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.empty", File: path, Summary: "the folder has no files of text", Remedy: "endings: " + strings.Join(corpus.TextFormats(), ", ")})
		return ds, nil
	}
	if ds, err = corpus.Guesses(pack.Files, &req.plan.Data); err != nil || req.plan.Pretrain.Like == "" {
		return ds, err
	}
	near, more, err := nearestTexts(ctx, req, pack.Files)
	ds = append(ds, more...)
	if err != nil || ds.HasErrors() {
		return ds, err
	}
	pack.Chosen, pack.ChosenDigest = near.chosen, near.Digest
	d.before = append(d.before, near.Stage)
	return ds, nil
}

// linkerDigest names what a graph links of texts.
func linkerDigest(graph *kgGraph, plan *recipe.Plan) string {
	return fmt.Sprintf("%s %q %t", graph.Digest(), plan.Knowledge.Types, plan.Knowledge.Abbreviations)
}

// openLinker opens the graph whose entities are masked as wholes.
func (d *data) openLinker(ctx context.Context, req dataRequest) (*kgGraph, sdk.Diagnostics, error) {
	dir, stages, ds, err := findView(ctx, req.plan, req.plugins, req.home)
	if err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	d.before = append(d.before, stages...)
	graph, err := openView(dir, &req.plan.Knowledge)
	if err != nil {
		if more, _, ok := sdk.DiagnosticsOf(err); ok {
			return nil, append(ds, more...), nil
		}
		return nil, ds, fmt.Errorf("open the knowledge graph: %w", err)
	}
	if len(stages) == 0 { // a compiled view that the plan names
		d.before = append(d.before, Stage{"knowledge", "sha256:" + graph.Digest(), filepath.Join(dir, kg.ViewName), true})
	}
	d.made.Knowledge = append(d.made.Knowledge, report.Artifact{Name: baseName(cmp.Or(req.plan.Knowledge.KG, strings.Join(req.plan.Domain.Names, "+"))), Role: "entity masks", Digest: "sha256:" + graph.Digest(), N: graph.Entities()})
	return graph, ds, nil
}
