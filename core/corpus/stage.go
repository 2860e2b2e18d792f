package corpus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/sdk"
)

// BuildRequest says how a corpus is encoded and where the result is kept.
type BuildRequest struct {
	Plan            *recipe.Plan
	Tokenizer       *token.Tokenizer
	TokenizerDigest string // of its files, where they say more than its JSON form; or ""
	MaxLength       int    // word pieces, resolved
	Knowledge       *Knowledge
	// Entities are masked as wholes by a masked language model; nil = none.
	// EntitiesDigest names them.
	Entities       recipe.Linker
	EntitiesDigest string
	Home           string // folder of finished stages, …/stages/corpus; "" keeps the result in memory
	Workers        int    // 0 = one per CPU
}

// Set is a finished corpus stage.
type Set struct {
	Train, Valid, Test *Shard // never nil; a split may have no rows
	Digest             string
	Dir                string // "" when it is only in memory
	Reused             bool   // found, not made
	MaxLength          int
}

// Shard returns the shard of train, valid or test.
func (s *Set) Shard(split string) *Shard {
	switch split {
	case "train":
		return s.Train
	case "valid":
		return s.Valid
	case "test":
		return s.Test
	}
	return nil
}

// Digest names everything that the shards depend on: format, tokenizer, length
// limit, heads and examples.
func (c *Corpus) Digest(req *BuildRequest) (string, error) {
	tokenizer, err := req.Tokenizer.JSON() // also what was added to it since it was loaded
	if err != nil {
		return "", fmt.Errorf("digest of the tokenizer: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\ntokenizer %s %x\nmax_length %d\nplan %s\n", shardMagic, req.TokenizerDigest, sha256.Sum256(tokenizer), req.MaxLength, req.Plan.Digest(recipe.StageCorpus))
	if req.Knowledge != nil {
		fmt.Fprintf(h, "knowledge %s seed %d\n", req.Knowledge.Digest, req.Knowledge.Seed)
	}
	for _, head := range c.Heads {
		fmt.Fprintf(h, "head %q %q %q %q\n", head.Name, head.Kind, head.Scheme, recipe.Outputs(head))
		if head.Kind == sdk.KindGenerate {
			fmt.Fprintf(h, "separator %q\n", head.Separator())
		}
		if head.Kind == sdk.KindRank { // its loss says whether two texts are read one by one
			fmt.Fprintf(h, "apart %t\n", head.Apart())
		}
		if head.Kind == sdk.KindMLM && req.Entities != nil {
			fmt.Fprintf(h, "entities %s\n", req.EntitiesDigest)
		}
	}
	for _, split := range SplitNames() {
		examples := c.Split(split)
		fmt.Fprintf(h, "split %s %d\n", split, len(examples))
		for i := range examples {
			writeExample(h, &examples[i])
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Build encodes the corpus, or finds what an earlier run left. Of two builders
// of one digest the second uses what the first finished.
func (c *Corpus) Build(ctx context.Context, req BuildRequest) (*Set, error) {
	digest, err := c.Digest(&req)
	if err != nil {
		return nil, err
	}
	dir := ""
	if req.Home != "" {
		sweep(req.Home)
		dir = filepath.Join(req.Home, digest)
		set, err := openSet(dir)
		if err == nil {
			set.Digest, set.Reused, set.MaxLength = digest, true, req.MaxLength
			return set, nil
		}
		if !errors.Is(err, fs.ErrNotExist) { // damaged: make it anew
			if err := os.RemoveAll(dir); err != nil {
				return nil, fmt.Errorf("remove a damaged stage: %w", err)
			}
		}
	}
	set := &Set{Digest: digest, MaxLength: req.MaxLength}
	encoder := &Encoder{Tokenizer: req.Tokenizer, MaxLength: req.MaxLength, Heads: c.Heads, Knowledge: req.Knowledge, Entities: req.Entities}
	for _, split := range SplitNames() {
		rows, err := encoder.EncodeAll(ctx, c.Split(split), req.Workers)
		if err != nil {
			return nil, err
		}
		set.put(split, NewShard(c.Heads, rows))
	}
	if req.Home == "" {
		return set, nil
	}
	if err := set.save(req.Home, dir); err != nil {
		return nil, err
	}
	set.Dir = dir
	return set, nil
}

func (s *Set) put(split string, shard *Shard) {
	switch split {
	case "train":
		s.Train = shard
	case "valid":
		s.Valid = shard
	case "test":
		s.Test = shard
	}
}

// save writes the shards to a folder of their own and renames it to dir. When
// dir is there already, another builder was faster and ours is removed.
func (s *Set) save(home, dir string) error {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return fmt.Errorf("make the stage's folder: %w", err)
	}
	tmp, err := os.MkdirTemp(home, filepath.Base(dir)+".*.tmp")
	if err != nil {
		return fmt.Errorf("make the stage's folder: %w", err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // gone after the rename; else nothing more can be done
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("make the stage's folder: %w", err)
	}
	for _, split := range SplitNames() {
		if err := writeShard(filepath.Join(tmp, split+".rows"), s.Shard(split)); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, other := openSet(dir); other == nil {
			return nil
		}
		return fmt.Errorf("finish the corpus stage: %w", err)
	}
	return nil
}

// abandoned is how long nothing was written to an unfinished stage that its process
// left behind: a living one writes all the time.
const abandoned = 24 * time.Hour

// sweep removes what killed processes left among the stages of a folder. What cannot
// be removed stays: only space is lost.
func sweep(home string) {
	entries, err := os.ReadDir(home)
	if err != nil {
		return // there are no stages yet
	}
	for _, e := range entries {
		dir, fresh := filepath.Join(home, e.Name()), false
		if !strings.HasSuffix(dir, ".tmp") {
			continue
		}
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && time.Since(info.ModTime()) < abandoned {
				fresh = true
				return fs.SkipAll
			}
			return err
		})
		if err == nil && !fresh {
			_ = os.RemoveAll(dir)
		}
	}
}

func openSet(dir string) (*Set, error) {
	set := &Set{Dir: dir}
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	for _, split := range SplitNames() {
		shard, err := readShard(filepath.Join(dir, split+".rows"))
		if errors.Is(err, fs.ErrNotExist) {
			err = errTorn // the folder is complete or absent
		}
		if err != nil {
			return nil, err
		}
		set.put(split, shard)
	}
	return set, nil
}

// Sources returns valid and test for an engine; nil where a split has no rows.
func (s *Set) Sources() (valid, test recipe.Source) {
	if s.Valid.Len() > 0 {
		valid = NewSource(s.Valid)
	}
	if s.Test.Len() > 0 {
		test = NewSource(s.Test)
	}
	return valid, test
}

// EncodeSource encodes examples for prediction, without keeping anything.
func EncodeSource(ctx context.Context, encoder *Encoder, examples []sdk.Example) (recipe.Source, error) {
	rows, err := encoder.EncodeAll(ctx, examples, 0)
	if err != nil {
		return nil, err
	}
	return NewSource(NewShard(encoder.Heads, rows)), nil
}
