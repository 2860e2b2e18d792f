package core

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// openText reads running text for pre-training and packs it into rows, or finds
// what an earlier run left.
func openText(ctx context.Context, req dataRequest) (*data, sdk.Diagnostics, error) {
	plan := req.plan
	var paths []string
	for _, p := range []string{plan.Data.Train, plan.Data.Path} {
		if p != "" {
			paths = append(paths, p)
			break
		}
	}
	if len(paths) == 0 {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "data.path", Summary: "there is no text to train on", Remedy: "name a file or a folder of .txt, .jsonl or .parquet files with --data"}}, nil
	}
	files, err := corpus.TextFiles(paths)
	if err != nil {
		return nil, nil, err
	}
	if len(files) == 0 {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "data.empty", File: paths[0], Summary: "the folder has no files of text", Remedy: "endings: " + strings.Join(corpus.TextFormats(), ", ")}}, nil
	}
	cfg, ds := hf.ReadConfig(req.base)
	if ds.HasErrors() {
		return nil, ds, nil
	}
	tok, err := token.Load(req.base)
	if err != nil {
		return nil, ds, err
	}
	d := &data{tokenizer: tok, base: req.base, name: baseName(paths[0]), maxLength: plan.Data.MaxLength, heads: []sdk.HeadSpec{{Name: "words", Kind: sdk.KindMLM}}}
	if d.maxLength == 0 {
		d.maxLength = min(cfg.MaxPositions, 256)
	}
	if d.maxLength > cfg.MaxPositions {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.max_length", Path: "data.max_length", Summary: fmt.Sprintf("data.max_length is %d, the model has positions for %d tokens", d.maxLength, cfg.MaxPositions), Remedy: fmt.Sprintf("set data.max_length to at most %d", cfg.MaxPositions)})
	}
	mask, ok := tok.Special("mask")
	if !ok {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "vocab.mask", File: req.base, Summary: "the vocabulary has no mask token, which masked language modelling needs",
			Remedy: "choose a base with one, or add [MASK] (BERT) or <mask> to its tokenizer"})
	}
	if n := tok.VocabSize(); n > cfg.VocabSize {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "model.tokenizer", File: req.base, Summary: fmt.Sprintf("the tokenizer has %d pieces, the model's embedding only %d rows", n, cfg.VocabSize), Remedy: "use the tokenizer that belongs to this model"})
	}
	if len(plan.Knowledge.Inject) > 0 || len(plan.Augment.Packs) > 0 || plan.Vocab.Extend != 0 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "pretrain.keys", Path: "objective", Summary: "pre-training takes no knowledge.inject, augment.packs or vocab.extend",
			Remedy: "'islm vocab extend' makes a base with the terms"})
	}
	if ds.HasErrors() {
		return nil, ds, nil
	}
	if d.tokDigest, err = tokenizerDigest(req.base); err != nil {
		return nil, ds, err
	}
	packed, more, err := corpus.Pack(ctx, corpus.PackRequest{Files: files, Plan: plan, Tokenizer: tok, TokenizerDigest: d.tokDigest, Length: d.maxLength, Home: filepath.Join(req.home, "stages", "text")})
	ds = append(ds, more...)
	if err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	m := &corpus.Masking{Plan: plan.Pretrain, Seed: plan.Seed, Mask: mask, Pieces: tok.VocabSize(), Keep: tok.IsSpecial}
	d.packed, d.corpus, d.rules = packed, &corpus.Corpus{Inputs: packed.Inputs}, &rules{}
	d.loader = &corpus.PackedLoader{Rows: packed.Train, Masking: m, Size: max(1, plan.Train.BatchSize), Shuffle: plan.Train.Shuffle}
	if packed.Valid.Len() > 0 {
		valid, err := corpus.NewPackedSource(packed.Valid, m)
		if err != nil {
			return nil, ds, err
		}
		d.valid = valid
	} else {
		ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.valid", Summary: "no text is held out: perplexity is not measured", Remedy: "more text, or a larger second share in data.split"})
	}
	return d, ds, nil
}
