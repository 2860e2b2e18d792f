package core

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/modelstore"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// data is the finished training data of a run.
type data struct {
	name        string // of the data in reports
	heads       []sdk.HeadSpec
	corpus      *corpus.Corpus
	set         *corpus.Set
	loader      recipe.Loader
	packed      *corpus.Packed // of pre-training; corpus then holds no examples, set is nil
	valid, test recipe.Source
	tokenizer   *token.Tokenizer
	maxLength   int
	tokDigest   string
	knowledge   *knowledge
	rules       *rules
	base        string      // model folder to start from: the base's, or the vocabulary's
	vocabulary  *vocabulary // nil when it is not extended
	hides       bool        // a masked language model trains beside the other heads, on rows of its own
	replayed    int         // examples of train that a continued model had learned before
	// Of pre-training: what came before the texts were packed, and the provenance of it.
	before []Stage
	made   struct{ Vocabulary, Knowledge []report.Artifact }
}

type dataRequest struct {
	plan      *recipe.Plan
	plugins   plugins
	base      string // folder of the base model
	home      string
	knowledge *knowledge
	store     *modelstore.Store
	engine    recipe.Engine  // nil where none is at hand
	heads     []sdk.HeadSpec // of teachers: they stay though no example has a label for them
	past      *past          // of a continued model; nil
	only      string         // the split that is read; "" = all
	// rewrite puts a teacher's texts in the place of the data's; nil = they stay.
	rewrite func(ctx context.Context, heads []sdk.HeadSpec, train []sdk.Example) (sdk.Diagnostics, error)
}

// Stage is one prepared stage of a run.
type Stage struct {
	Kind   string `json:"kind"`
	Digest string `json:"digest"`
	Text   string `json:"text"`
	Reused bool   `json:"reused"`
}

// openData reads, checks, splits and encodes the run's data, or finds what an
// earlier run left. Problems of the data are diagnostics.
func openData(ctx context.Context, req dataRequest) (*data, sdk.Diagnostics, error) {
	plan := req.plan
	if d := &plan.Data; d.Path == "" && d.Train == "" {
		return nil, noData(), nil
	}
	cfg, ds := hf.ReadConfig(req.base)
	if ds.HasErrors() {
		return nil, ds, nil
	}
	tok, err := token.Load(req.base)
	if err != nil {
		return nil, ds, err
	}
	if n := tok.VocabSize(); n > cfg.VocabSize {
		ds.Add(sdk.Diagnostic{Code: "model.tokenizer", File: req.base, Summary: fmt.Sprintf("the tokenizer has %d pieces, the model's embedding only %d rows", n, cfg.VocabSize),
			Detail: "Ids beyond the embedding would read memory that is not there.", Remedy: "use the tokenizer that belongs to this model"})
	}
	d := &data{knowledge: req.knowledge, tokenizer: tok, base: req.base, name: baseName(plan.Data.Path), maxLength: plan.Data.MaxLength}
	if d.name == "." || d.name == "" {
		d.name = baseName(plan.Data.Train)
	}
	ds = append(ds, d.fitLength(plan, cfg)...)
	request := corpus.Request{Plan: plan, Heads: slices.Concat(req.plugins.heads(), req.heads), Only: req.only}
	request.Unlabelled = plan.Objective == recipe.ObjectiveDistill || plan.Objective == recipe.ObjectiveVocab
	if req.past != nil {
		request.Heads, request.Grow = req.past.heads(req.plugins.heads()), true
		req.heads = slices.Concat(req.past.bundle.Heads, req.past.bundle.languages)
	}
	for _, h := range req.heads {
		request.Keep = append(request.Keep, h.Name)
	}
	if len(req.plugins) > 0 {
		request.Domain = req.plugins
	}
	c, more, err := corpus.Read(ctx, request)
	ds = append(ds, more...)
	if err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	if req.rewrite != nil {
		more, err := req.rewrite(ctx, c.Heads, c.Train)
		ds = append(ds, more...)
		if err != nil || ds.HasErrors() {
			return nil, ds, err
		}
	}
	if req.past != nil {
		if more := req.past.merge(c, plan); len(more) > 0 {
			ds = append(ds, more...)
			if ds.HasErrors() {
				return nil, ds, nil
			}
		}
		d.replayed = req.past.replay
	}
	c.Train = corpus.Share(c.Train, plan.Data.Share, plan.Seed)
	c.Train, _ = corpus.Windows(c.Train, c.Heads, tok, d.maxLength, plan.Data.Stride)
	c.Valid, _ = corpus.Windows(c.Valid, c.Heads, tok, d.maxLength, plan.Data.Stride)
	c.Test, _ = corpus.Windows(c.Test, c.Heads, tok, d.maxLength, plan.Data.Stride)
	d.corpus, d.heads = c, c.Heads
	for i := range d.heads {
		d.heads[i] = plan.Apply(d.heads[i])
	}
	ds = append(ds, plan.IdleHeads(d.heads)...)
	if ds = append(ds, refuseTerms(plan, d.heads)...); ds.HasErrors() {
		return nil, ds, nil
	}
	if ds = append(ds, checkLanguageModels(d.heads, cfg, tok, req.base)...); ds.HasErrors() {
		return nil, ds, nil
	}
	if plan.Vocab.Extend != 0 {
		v, extended, more, err := extendVocabulary(ctx, req, tok, c.Train)
		ds = append(ds, more...)
		if err != nil || ds.HasErrors() {
			return nil, ds, err
		}
		if v != nil {
			tok, d.tokenizer, d.vocabulary, d.base = extended, extended, v, v.dir
		}
	}
	if req.knowledge.needsDecoys() {
		req.knowledge.mark(findDecoys(req.knowledge.graph, [][]sdk.Example{c.Train, c.Valid, c.Test}, plan.Seed))
	}
	if d.tokDigest, err = tokenizerDigest(d.base); err != nil {
		return nil, ds, err
	}
	build := corpus.BuildRequest{Plan: plan, Tokenizer: tok, MaxLength: d.maxLength, Knowledge: req.knowledge.encoder(), Home: filepath.Join(req.home, "stages", "corpus")}
	hide := corpus.NewHide(d.heads, plan, tok)
	if hide != nil && plan.Pretrain.Mask == "entity" {
		graph, more, err := d.openLinker(ctx, req)
		ds = append(ds, more...)
		if err != nil || ds.HasErrors() {
			return nil, ds, err
		}
		defer graph.Close() //nolint:errcheck // read only
		build.Entities, build.EntitiesDigest = graph, linkerDigest(graph, plan)
	}
	d.set, err = c.Build(ctx, build)
	if err != nil {
		return nil, ds, err
	}
	loader := corpus.NewLoader(d.set.Train, plan, d.maxLength)
	if d.loader = loader; hide != nil {
		loader.Hide(hide)
	}
	if s := plan.Data.Sampling; s != "" && s != recipe.SamplingProportional && !loader.Mixes() {
		ds.Add(sdk.Diagnostic{Severity: sdk.Info, Code: "data.sampling", Path: "data.sampling", Summary: fmt.Sprintf("data.sampling %s changes nothing: all rows of train have labels of the same heads", s)})
	}
	d.rules, more, err = openRules(ctx, plan, req.plugins, req.home)
	ds = append(ds, more...)
	if err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	if ds = append(ds, d.rules.checkMixup(plan, d.heads)...); ds.HasErrors() {
		return nil, ds, nil
	}
	more, err = d.rules.makeCode(ctx, codeRequest{heads: c.Heads, train: c.Train, variants: plan.Augment.CodeVariants, home: filepath.Join(req.home, "stages", "code")})
	ds = append(ds, more...)
	if err != nil || ds.HasErrors() {
		return nil, ds, err
	}
	if err := d.rules.vary(loader, &corpus.Encoder{Tokenizer: tok, MaxLength: d.maxLength, Heads: c.Heads, Knowledge: req.knowledge.encoder()}, c.Train); err != nil {
		return nil, ds, err
	}
	d.valid, d.test = d.set.Sources()
	if hide != nil {
		d.hides = true
		if d.valid != nil {
			d.valid = hide.Hidden(d.set.Valid)
		}
		if d.test != nil {
			d.test = hide.Hidden(d.set.Test)
		}
	}
	return d, ds, nil
}

// checkLanguageModels says what the language models of a run cannot have.
func checkLanguageModels(heads []sdk.HeadSpec, cfg *hf.Config, tok *token.Tokenizer, base string) (ds sdk.Diagnostics) {
	for _, h := range heads {
		path := "heads." + h.Name
		switch {
		case h.Kind == sdk.KindMLM && cfg.Causal():
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "head.architecture", Path: path, Summary: fmt.Sprintf("head %q: a masked language model cannot stand on the causal encoder of a %s", h.Name, cfg.ModelType), Remedy: "--set " + path + ".kind=" + sdk.KindCLM})
		case h.Kind == sdk.KindCLM && !cfg.Causal():
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "head.architecture", Path: path, Summary: fmt.Sprintf("head %q: a causal language model needs a causal encoder such as gpt2, the base is of type %s", h.Name, cfg.ModelType), Remedy: "--set " + path + ".kind=" + sdk.KindMLM})
		case h.Kind == sdk.KindMLM:
			ds.Add(lacksMask(tok, base)...)
		}
	}
	return ds
}

// lacksMask is the problem of a vocabulary without a mask token; nil if it has one.
func lacksMask(tok *token.Tokenizer, base string) (ds sdk.Diagnostics) {
	if _, ok := tok.Special("mask"); !ok {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "vocab.mask", File: base, Summary: "the vocabulary has no mask token, which masked language modelling needs",
			Remedy: "choose a base with one, or add [MASK] (BERT) or <mask> (RoBERTa) to its tokenizer"})
	}
	return ds
}

// shortest is the least length of texts that leaves something of them beside special
// tokens.
const shortest = 4

// fitLength settles how many ids of a text the model sees, which virtual tokens leave
// room for.
func (d *data) fitLength(plan *recipe.Plan, cfg *hf.Config) (ds sdk.Diagnostics) {
	n := plan.VirtualTokens()
	room, beside := cfg.MaxPositions-n, ""
	if n > 0 {
		beside = fmt.Sprintf(" beside the %d virtual tokens of train.peft=%s", n, plan.Train.Peft)
	}
	if n > 0 && room < shortest {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "peft.tokens", Path: "peft.tokens", Summary: fmt.Sprintf("%d virtual tokens leave no room for a text: the model has positions for %d tokens", n, cfg.MaxPositions),
			Remedy: fmt.Sprintf("set peft.tokens to at most %d", cfg.MaxPositions-shortest)}}
	}
	if d.maxLength == 0 {
		d.maxLength = min(room, 256)
	}
	if d.maxLength > room {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.max_length", Path: "data.max_length", Summary: fmt.Sprintf("data.max_length is %d, the model has positions for %d tokens%s", d.maxLength, room, beside), Remedy: fmt.Sprintf("set data.max_length to at most %d", room)})
	}
	return ds
}

// tokenizerDigest names a tokenizer by the content of its files.
func tokenizerDigest(dir string) (string, error) {
	digest, _, err := report.DigestTree(os.DirFS(dir), func(path string) bool {
		return slices.Contains([]string{"tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "vocab.json"}, path)
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the model folder %s has no tokenizer: %w", dir, err)
	}
	return digest, err
}

// summary says what the data are, a line each.
func (d *data) summary() []string {
	if d == nil {
		return nil
	}
	if d.packed != nil {
		s := d.packed.Stats
		return []string{fmt.Sprintf("%s: %d texts, %d tokens in %d rows of %d; %d rows held out", d.name, s.Texts-s.Duplicates-s.Near, s.Tokens, s.TrainRows, s.Length, s.ValidRows)}
	}
	lines := []string{fmt.Sprintf("%s: %d train, %d valid, %d test", d.name, len(d.corpus.Train), len(d.corpus.Valid), len(d.corpus.Test))}
	if d.replayed > 0 {
		lines = append(lines, fmt.Sprintf("replay: %d of the train examples were learned before", d.replayed))
	}
	if d.vocabulary != nil {
		lines = append(lines, "vocabulary: "+d.vocabulary.stage().Text)
	}
	for _, h := range d.heads {
		if h.LanguageModel() {
			lines = append(lines, fmt.Sprintf("head %s (%s): learns the texts", h.Name, h.Kind))
			continue
		}
		if h.Kind == sdk.KindGenerate {
			lines = append(lines, fmt.Sprintf("head %s (%s): writes a text after a prompt", h.Name, h.Kind))
			continue
		}
		lines = append(lines, fmt.Sprintf("head %s (%s): %s", h.Name, h.Kind, clip(strings.Join(recipe.Outputs(h), ", "), 120)))
	}
	return lines
}

func (d *data) inputs() []corpus.Input {
	return d.corpus.Inputs
}

// stages are the prepared stages with their digests.
func (d *data) stages() []Stage {
	if d == nil {
		return nil
	}
	if d.packed != nil {
		return append(slices.Clone(d.before), Stage{"tokenizer", d.tokDigest, fmt.Sprintf("%d pieces", d.tokenizer.VocabSize()), true}, Stage{"text", "sha256:" + d.packed.Digest, d.summary()[0], d.packed.Reused})
	}
	before := slices.Clone(d.before)
	if d.knowledge != nil {
		before = append(before, d.knowledge.stages...)
	}
	if d.rules != nil {
		before = slices.Concat(before, d.rules.stages)
	}
	if d.vocabulary != nil {
		before = slices.Concat(before, []Stage{d.vocabulary.stage()})
	}
	return append(before, []Stage{
		{"tokenizer", d.tokDigest, fmt.Sprintf("%d pieces", d.tokenizer.VocabSize()), true},
		{"corpus", "sha256:" + d.set.Digest, fmt.Sprintf("%d train, %d valid, %d test rows, at most %d pieces each", d.set.Train.Len(), d.set.Valid.Len(), d.set.Test.Len(), d.maxLength), d.set.Reused},
	}...)
}

// encodeRows encodes examples for a finished model.
func encodeRows(ctx context.Context, b *Bundle, examples []sdk.Example) (recipe.Source, error) {
	return corpus.EncodeSource(ctx, &corpus.Encoder{Tokenizer: b.Tokenizer, MaxLength: b.promptLength(), Heads: b.Heads, Knowledge: b.knowledge.encoder()}, examples)
}

func splitWords(examples []sdk.Example) { corpus.GiveTokens(examples) }
