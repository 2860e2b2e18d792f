package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/islm-dev/islm/core/catalog"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/report"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/core/vocab"
	"github.com/islm-dev/islm/sdk"
)

// VocabFile says in a folder of an extended vocabulary what it was made of.
const VocabFile = "vocabulary.json"

// vocabulary is the base of a run with the domain's terms in tokenizer and
// embeddings: a model folder named by the digest of what made it.
type vocabulary struct {
	dir    string
	digest string
	reused bool
	ids    []int32        // of the new pieces
	Base   string         `json:"base"` // digest
	Init   string         `json:"init"`
	Terms  []vocab.Choice `json:"terms"`
	Pieces int            `json:"pieces"` // new ones
	Words  int            `json:"words"`  // of the training texts
	Before int            `json:"before"` // pieces of the training texts
	After  int            `json:"after"`
}

// Terms collects the terms of plugins.
func Terms(ctx context.Context, c *catalog.Catalog, domains []string, home string, log hclog.Logger) ([]sdk.Term, sdk.Diagnostics, error) {
	plan := recipe.Defaults()
	plan.Domain.Names = domains
	ps, ds, err := launchAll(ctx, c, plan, home, log)
	defer ps.close()
	if err != nil || ds.HasErrors() {
		return nil, ds, errors.Join(err, ds.Err())
	}
	terms, more, err := ps.terms(ctx)
	return terms, append(ds, more...), err
}

// terms are those of all plugins.
func (ps plugins) terms(ctx context.Context) (out []sdk.Term, ds sdk.Diagnostics, err error) {
	for _, p := range ps {
		terms, more, err := sdk.Collect(p.host.Vocabulary(ctx))
		ds = append(ds, more...)
		if err != nil {
			return nil, ds, fmt.Errorf("read the terms of %s: %w", p.about.Name, err)
		}
		out = append(out, terms...)
	}
	return out, ds, nil
}

// extendVocabulary adds the terms that save most of the training texts, or finds
// what an earlier run left. tok is the base's tokenizer.
func extendVocabulary(ctx context.Context, req dataRequest, tok *token.Tokenizer, train []sdk.Example) (*vocabulary, *token.Tokenizer, sdk.Diagnostics, error) {
	plan := req.plan
	if err := tok.Extendable(); err != nil {
		return nil, nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "vocab.kind", Path: "vocab.extend", Summary: err.Error(), Remedy: "set vocab.extend to off, or choose another base"}}, nil //nolint:nilerr // a problem of the plan
	}
	terms, ds, err := req.plugins.terms(ctx)
	if err != nil || ds.HasErrors() {
		return nil, nil, ds, err
	}
	s, err := vocab.Choose(ctx, vocab.Request{Base: tok, Terms: terms, Texts: textsOf(train), Max: plan.Vocab.Extend, Words: plan.Vocab.Words, Phrases: plan.Vocab.Phrases, Count: plan.Vocab.MinCount, Saved: plan.Vocab.MinSaved})
	if err != nil {
		return nil, nil, ds, err
	}
	ds.Add(s.Notices()...)
	if len(s.Added) == 0 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "vocab.empty", Path: "vocab.extend", Summary: "no term is cut into several pieces: the vocabulary stays as it is"})
		return nil, tok, ds, nil
	}
	tagged := slices.ContainsFunc(train, func(ex sdk.Example) bool { return ex.Tokens != nil })
	if tagged && slices.ContainsFunc(s.Choices, func(c vocab.Choice) bool { return token.Inside(c.Text) || strings.Contains(c.Text, " ") }) {
		ds.Add(sdk.Diagnostic{Severity: sdk.Info, Code: "vocab.tags", Path: "vocab.extend", Summary: "examples with tags are read token by token, Chinese ones by characters: terms of several are not found there, and save nothing",
			Remedy: "vocab.extend pays for heads that read whole texts"})
	}
	v := &vocabulary{Init: plan.Vocab.Init, Terms: s.Choices, Pieces: len(s.Added), Words: s.Words, Before: s.Before, After: s.After}
	for _, a := range s.Added {
		v.ids = append(v.ids, a.ID)
	}
	if v.Base, _, err = report.DigestTree(os.DirFS(req.base), modelFile); err != nil {
		return nil, nil, ds, fmt.Errorf("digest of the base model: %w", err)
	}
	rows, err := s.Rows(ctx, plan.Vocab.Init, textsOf(train))
	if err != nil {
		return nil, nil, ds, err
	}
	text, err := s.Tokenizer.JSON()
	if err != nil {
		return nil, nil, ds, err
	}
	how, err := json.Marshal(rows)
	if err != nil {
		return nil, nil, ds, fmt.Errorf("extend the vocabulary: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "vocab 1\n%s\n%x\n%x\n%s %d\n", v.Base, sha256.Sum256(text), sha256.Sum256(how), plan.Vocab.Init, plan.Seed)
	v.digest = hex.EncodeToString(h.Sum(nil))
	v.dir = filepath.Join(req.home, "stages", "vocab", v.digest)
	if v.reused = exists(filepath.Join(v.dir, VocabFile)); !v.reused {
		err = v.build(req.base, s.Tokenizer, rows, plan.Seed)
	}
	return v, s.Tokenizer, ds, err
}

// build writes the folder under another name and renames it.
func (v *vocabulary) build(base string, tok *token.Tokenizer, rows []vocab.Row, seed uint64) error {
	home := filepath.Dir(v.dir)
	if err := os.MkdirAll(home, 0o755); err != nil {
		return fmt.Errorf("extend the vocabulary: %w", err)
	}
	tmp, err := os.MkdirTemp(home, v.digest+".*.tmp")
	if err != nil {
		return fmt.Errorf("extend the vocabulary: %w", err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // gone after the rename; else nothing more can be done
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("extend the vocabulary: %w", err)
	}
	if err := vocab.Resize(base, tmp, tok.VocabSize(), rows, nil, seed); err != nil {
		return err
	}
	if err := tok.Save(tmp); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("extend the vocabulary: %w", err)
	}
	if err := writeWhole(filepath.Join(tmp, VocabFile), append(raw, '\n')); err != nil {
		return err
	}
	if err := os.Rename(tmp, v.dir); err != nil && !exists(filepath.Join(v.dir, VocabFile)) {
		return fmt.Errorf("extend the vocabulary: %w", err)
	}
	return nil
}

// save puts what the vocabulary is made of beside the model.
func (v *vocabulary) save(path string) error {
	data, err := os.ReadFile(filepath.Join(v.dir, VocabFile))
	if errors.Is(err, fs.ErrNotExist) || err != nil {
		return fmt.Errorf("save the vocabulary: %w", err)
	}
	return writeWhole(path, data)
}

func (v *vocabulary) stage() Stage {
	text := fmt.Sprintf("%d terms, %d new pieces", len(v.Terms), v.Pieces)
	if v.Words > 0 {
		text += fmt.Sprintf("; %.3f pieces per word of the training texts, before %.3f", float64(v.After)/float64(v.Words), float64(v.Before)/float64(v.Words))
	}
	return Stage{"vocab", "sha256:" + v.digest, text, v.reused}
}

func textsOf(examples []sdk.Example) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for i := range examples {
			for _, text := range []string{examples[i].Text, examples[i].TextB} {
				if text != "" && !yield(text, nil) {
					return
				}
			}
		}
	}
}
