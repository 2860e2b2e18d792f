package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/token"
)

// scratchBase is a model folder with random weights and a vocabulary of the texts.
type scratchBase struct {
	Stage
	dir string
}

// makeScratch makes the folder that a training from scratch begins with, or finds
// what an earlier run left: the base's shape, weights by seed and name, and a
// vocabulary of the texts that are not held out (WordPiece for BERT and DistilBERT,
// byte-level BPE for others).
func makeScratch(ctx context.Context, req dataRequest, cfg *hf.Config, pack *corpus.PackRequest) (*scratchBase, error) {
	wordPiece := cfg.ModelType == "bert" || cfg.ModelType == "distilbert"
	how := token.Training{Size: req.plan.Pretrain.VocabSize, Lower: wordPiece}
	if old, err := token.Load(req.base); err == nil {
		how.Lower = old.Normalize("A") == "a"
	} else if !errors.Is(err, fs.ErrNotExist) { // a shape needs no tokenizer
		return nil, err
	}
	sources, err := pack.SourceDigest()
	if err != nil {
		return nil, err
	}
	config, err := os.ReadFile(filepath.Join(req.base, hf.ConfigFile))
	if err != nil {
		return nil, fmt.Errorf("read the base's shape: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "scratch 1\n%x\n%s\n%+v\n%d\n", sha256.Sum256(config), sources, how, req.plan.Seed))
	digest := hex.EncodeToString(sum[:])
	s := &scratchBase{dir: filepath.Join(req.home, "stages", "scratch", digest)}
	s.Stage = Stage{"scratch", "sha256:" + digest, "random weights in the shape of the base, a vocabulary of the texts", true}
	if exists(filepath.Join(s.dir, hf.ConfigFile)) {
		return s, nil
	}
	s.Reused = false
	make := token.TrainBPE
	if wordPiece {
		make = token.TrainWordPiece
	}
	tok, err := make(ctx, pack.TrainTexts(ctx), how)
	if err != nil {
		return nil, err
	}
	v := &hf.Vocab{Size: tok.VocabSize(), Special: map[string]int32{}}
	for _, role := range []string{"pad", "bos", "eos"} {
		if id, ok := tok.Special(role); ok {
			v.Special[role] = id
		}
	}
	tmp := fmt.Sprintf("%s.%d.tmp", s.dir, os.Getpid())
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return nil, fmt.Errorf("make a base from scratch: %w", err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // gone after the rename
	if err := tok.Save(tmp); err != nil {
		return nil, err
	}
	if err := (hf.Cut{Scratch: true, Vocab: v, Seed: req.plan.Seed}).Write(req.base, tmp).Err(); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, s.dir); err != nil && !exists(filepath.Join(s.dir, hf.ConfigFile)) {
		return nil, fmt.Errorf("make a base from scratch: %w", err)
	}
	return s, nil
}
