package main

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// tagger is the Go module that holds NLTK's averaged_perceptron_tagger.
const tagger = "github.com/jdkato/prose/v2@v2.0.0"

// writeTagger puts NLTK's tagger of English into dir as NLTK finds it there
// (taggers/averaged_perceptron_tagger_eng).
func writeTagger(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", tagger)
	cmd.Dir = os.TempDir() // no part of this module
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("download %s: %w", tagger, err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return err
	}
	const name = "averaged_perceptron_tagger_eng"
	to := filepath.Join(dir, "taggers", name)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, part := range []struct {
		from, to string
		into     any
	}{
		{"weights", "weights", &map[string]map[string]float64{}},
		{"tags", "tagdict", &map[string]string{}},
		{"classes", "classes", &[]string{}},
	} {
		f, err := os.Open(filepath.Join(module.Dir, "model", "AveragedPerceptron", part.from+".gob"))
		if err != nil {
			return err
		}
		err = gob.NewDecoder(f).Decode(part.into)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("read the tagger's %s: %w", part.from, err)
		}
		raw, err := json.Marshal(part.into)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name+"."+part.to+".json"), raw, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// lexnames are the lexicographer files of WordNet 3, by number (lexnames(5WN)),
// which NLTK wants to read and Debian's package leaves out.
const lexnames = `adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition
noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person
noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state noun.substance
noun.time verb.body verb.change verb.cognition verb.communication verb.competition verb.consumption verb.contact
verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative verb.weather adj.ppl`

// copyWordNet puts a WordNet into dir as NLTK finds it there (corpora/wordnet).
func copyWordNet(from, dir string) error {
	to := filepath.Join(dir, "corpora", "wordnet")
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil { // NLTK refuses links
		return err
	}
	var list strings.Builder
	for i, name := range strings.Fields(lexnames) {
		pos, _, _ := strings.Cut(name, ".")
		fmt.Fprintf(&list, "%02d\t%s\t%d\n", i, name, map[string]int{"noun": 1, "verb": 2, "adj": 3, "adv": 4}[pos])
	}
	path := filepath.Join(to, "lexnames")
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	return os.WriteFile(path, []byte(list.String()), 0o644)
}
