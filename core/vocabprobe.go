package core

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/metric"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/core/vocab"
	"github.com/islm-dev/islm/sdk"
)

// VocabProbe answers two questions about terms before they enter a vocabulary: how
// their rows should begin, and which of them do not pay. For each way and seed a
// language model goes on training for some steps on the texts; all see the same
// rows under the same masks, and those held out say which way is ahead.
type VocabProbe struct {
	Model string        // folder of the base, with a language model head
	Terms vocab.Request // Base and Texts are set by Run
	Files []string      // texts
	Plan  *recipe.Plan  // of a pre-training: data and train say how the runs go
	Inits []string      // ways; empty = vocab.Inits
	Seeds []uint64
	// Work is the folder of what is finished: runs that are there are not repeated.
	Work  string
	Train func(ctx context.Context, recipeFile, out string) error // in a process of its own
	Watch Watcher
}

// VocabProbed is what Run found.
type VocabProbed struct {
	Model  string   `json:"model"`
	Steps  int      `json:"steps"`
	Seeds  []uint64 `json:"seeds"`
	Terms  int      `json:"terms"`
	Pieces int      `json:"pieces"` // new ones
	// PiecesPerWord of the texts held out, before and after.
	PiecesPerWord [2]float64 `json:"pieces_per_word"`
	Inits         []InitLoss `json:"inits"`          // the best first
	Idle          []IdleTerm `json:"idle,omitempty"` // terms that do not pay
}

// InitLoss is how one way did: log-losses of pieces held out, nats, by seed.
type InitLoss struct {
	Init   string    `json:"init"`
	Before []float64 `json:"before"`
	After  []float64 `json:"after"`
	Mean   float64   `json:"mean"` // of After
	// Wins counts the seeds for which this way is ahead of random rows; nil = random
	// was not tried, or is this way.
	Wins *int `json:"wins,omitempty"`
}

// IdleTerm is a term that does not pay.
type IdleTerm struct {
	vocab.Choice
	Why string `json:"why"`
}

const vocabProbeFile = "probe.jsonl"

// probedRun is one line of vocabProbeFile.
type probedRun struct {
	Digest string  `json:"digest"` // of terms, plan and base
	Init   string  `json:"init"`
	Seed   uint64  `json:"seed"`
	Before float64 `json:"before"`
	After  float64 `json:"after"`
}

// Run chooses the terms on the texts that are not held out, trains what is missing
// and compares.
func (p *VocabProbe) Run(ctx context.Context) (*VocabProbed, error) {
	base, err := token.Load(p.Model)
	if err != nil {
		return nil, err
	}
	p.Terms.Base, p.Terms.Texts = base, p.texts(ctx, false)
	s, err := vocab.Choose(ctx, p.Terms)
	if err != nil {
		return nil, err
	}
	if p.Watch != nil {
		p.Watch.Problems(s.Notices())
	}
	if len(s.Added) == 0 {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "vocab.empty", Summary: "no term is cut into several pieces: there is nothing to probe", Remedy: "name other terms or texts, or lower the least number of occurrences"}}.Err()
	}
	res := &VocabProbed{Model: p.Model, Steps: p.Plan.Train.Steps, Seeds: p.Seeds, Terms: len(s.Choices), Pieces: len(s.Added)}
	if err := p.measure(ctx, base, s, res); err != nil {
		return nil, err
	}
	runs, err := p.runs(ctx, s)
	if err != nil {
		return nil, err
	}
	res.Inits = rank(runs, p.inits(), p.Seeds)
	return res, nil
}

func (p *VocabProbe) inits() []string {
	if len(p.Inits) == 0 {
		return vocab.Inits()
	}
	return p.Inits
}

// texts streams those that are held out, or the others.
func (p *VocabProbe) texts(ctx context.Context, held bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for t, err := range corpus.Texts(ctx, p.Files, &p.Plan.Data) {
			if (err != nil || corpus.HeldOut(t.Text, p.Plan) == held) && !yield(t.Text, err) {
				return
			}
		}
	}
}

// measure counts on the texts held out, and says which terms do not pay.
func (p *VocabProbe) measure(ctx context.Context, base *token.Tokenizer, s *vocab.Selection, res *VocabProbed) error {
	words, before, after := 0, 0, 0
	seen := map[int32]int{}
	for text, err := range p.texts(ctx, true) {
		if err != nil {
			return err
		}
		n, b, _, err := vocab.Measure(ctx, base, base, func(yield func(string, error) bool) { yield(text, nil) })
		if err != nil {
			return err
		}
		ids := s.Tokenizer.Encode(text, token.Options{Bare: true}).IDs
		words, before, after = words+n, before+b, after+len(ids)
		for _, id := range ids {
			seen[id]++
		}
	}
	if words == 0 {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "data.valid", Summary: "no text is held out: nothing can be compared", Remedy: "more text, or a larger second share in data.split"}}.Err()
	}
	res.PiecesPerWord = [2]float64{float64(before) / float64(words), float64(after) / float64(words)}
	for _, c := range s.Idle {
		why := "the texts do not hold it: its row would never be trained"
		if c.Count > 0 {
			why = fmt.Sprintf("it saves only %d pieces in the texts", c.Saved)
		}
		res.Idle = append(res.Idle, IdleTerm{c, why})
	}
	found := map[string]int{}
	for _, a := range s.Added {
		found[a.Content] += seen[a.ID]
	}
	for _, c := range s.Choices {
		if found[c.Text] == 0 {
			res.Idle = append(res.Idle, IdleTerm{c, "not once in the texts held out"})
		}
	}
	return nil
}

// runs trains what is missing in the folder.
func (p *VocabProbe) runs(ctx context.Context, s *vocab.Selection) ([]probedRun, error) {
	tok, err := s.Tokenizer.JSON()
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%x\n%s\n", p.Model, sha256.Sum256(tok), p.Plan.YAML())
	digest := hex.EncodeToString(h.Sum(nil))
	file := filepath.Join(p.Work, vocabProbeFile)
	done, err := readProbed(file, digest)
	if err != nil {
		return nil, err
	}
	var out []probedRun
	for _, seed := range p.Seeds {
		for _, init := range p.inits() {
			i := slices.IndexFunc(done, func(r probedRun) bool { return r.Init == init && r.Seed == seed })
			if i >= 0 {
				out = append(out, done[i])
				continue
			}
			run := probedRun{Digest: digest, Init: init, Seed: seed}
			if err := p.train(ctx, s, &run); err != nil {
				return nil, fmt.Errorf("probe %s rows with seed %d: %w", init, seed, err)
			}
			p.Watch.Stage("probe", fmt.Sprintf("%s, seed %d: log-loss %.4f, before %.4f", init, seed, run.After, run.Before))
			line, err := json.Marshal(run)
			if err != nil {
				return nil, fmt.Errorf("write down a probe: %w", err)
			}
			if err := appendLine(file, line); err != nil {
				return nil, err
			}
			out = append(out, run)
		}
	}
	return out, nil
}

func readProbed(file, digest string) (out []probedRun, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read finished probes: %w", err)
	}
	for n, line := range bytes.Split(data, []byte("\n")) {
		var r probedRun
		if len(line) == 0 || json.Unmarshal(line, &r) != nil { // cut: the run is done again
			continue
		}
		if r.Digest != digest {
			return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "run.not-empty", File: file, Line: n + 1, Summary: "the folder holds a probe of other terms, texts or settings", Remedy: "choose another --out"}}.Err()
		}
		out = append(out, r)
	}
	return out, nil
}

func appendLine(path string, line []byte) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // results are for everybody
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = fmt.Fprintf(f, "\n%s\n", line) // the one before may be cut
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// train makes the base of one way, and a run from it. Both folders go when the
// run's losses are known.
func (p *VocabProbe) train(ctx context.Context, s *vocab.Selection, run *probedRun) error {
	rows, err := s.Rows(ctx, run.Init, p.Terms.Texts)
	if err != nil {
		return err
	}
	dir := filepath.Join(p.Work, fmt.Sprintf("%s-%d", run.Init, run.Seed))
	model, out, file := filepath.Join(dir, "base"), filepath.Join(dir, "run"), filepath.Join(dir, "recipe.yaml")
	if err := os.MkdirAll(model, 0o755); err != nil {
		return fmt.Errorf("make the folder of a base: %w", err)
	}
	if err := vocab.Resize(p.Model, model, s.Tokenizer.VocabSize(), rows, nil, run.Seed); err != nil {
		return err
	}
	if err := s.Tokenizer.Save(model); err != nil {
		return err
	}
	plan, ds := recipe.Parse("plan of the probe", p.Plan.YAML())
	if err := ds.Err(); err != nil {
		return err
	}
	plan.Seed = run.Seed
	if plan.Base, err = filepath.Abs(model); err != nil {
		return fmt.Errorf("find the base: %w", err)
	}
	if err := writeWhole(file, plan.YAML()); err != nil {
		return err
	}
	if err := p.Train(ctx, file, out); err != nil {
		return err
	}
	m, err := metric.Load(filepath.Join(out, Own, MetricsFile))
	if err != nil {
		return err
	}
	for name, after := range m.Heads {
		before := m.Before[name]
		if after.LanguageModel == nil || before == nil {
			return fmt.Errorf("the run of the probe has no losses before and after")
		}
		run.Before, run.After = before.LanguageModel.LogLoss, after.LanguageModel.LogLoss
	}
	if len(m.Heads) == 0 || math.IsNaN(run.After) {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "data.valid", Summary: "no text is held out: nothing can be compared", Remedy: "more text, or a larger second share in data.split"}}.Err()
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove a finished run: %w", err)
	}
	return nil
}

// rank sums up the runs by way, the lowest mean loss first.
func rank(runs []probedRun, inits []string, seeds []uint64) []InitLoss {
	find := func(init string, seed uint64) probedRun {
		i := slices.IndexFunc(runs, func(r probedRun) bool { return r.Init == init && r.Seed == seed })
		return runs[i]
	}
	var out []InitLoss
	for _, init := range inits {
		l := InitLoss{Init: init}
		wins := 0
		for _, seed := range seeds {
			r := find(init, seed)
			l.Before, l.After, l.Mean = append(l.Before, r.Before), append(l.After, r.After), l.Mean+r.After/float64(len(seeds))
			if slices.Contains(inits, "random") && r.After < find("random", seed).After {
				wins++
			}
		}
		if init != "random" && slices.Contains(inits, "random") {
			l.Wins = &wins
		}
		out = append(out, l)
	}
	slices.SortStableFunc(out, func(a, b InitLoss) int { return cmp.Compare(a.Mean, b.Mean) })
	return out
}
