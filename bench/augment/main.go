// Command augment measures the rule engine on short sentences, beside nlpaug from
// PyPI on the same ones, each on one core, and prints one JSON object.
//
//	go run ./bench/augment [-sentences FILE.jsonl] [-wordnet DIR] [-python PYTHON] [-seconds 3] [-rounds 3] [-out FILE.jsonl]
//
// The pack of 25 rules stands beside this file and asks no graph. Rounds
// alternate (A B A B …), because machines drift; run it with nothing else
// running. Loading is not counted; every variant is made with its provenance.
// Without -python there is no peer, without -wordnet no row on synonyms.
//
// NLTK's tagger, which SynonymAug runs over every sentence, comes from the Go
// module github.com/jdkato/prose/v2, which has its weights (averaged_perceptron_tagger).
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/kind"
	"github.com/islm-dev/islm/sdk"
)

//go:embed rules.yaml
var packRules []byte

const manifest = "schema: islm/pack.v1\nname: bench\nversion: 0.1.0\nsummary: Rules to be measured.\nlicence: Apache-2.0\nlang: en\n"

// Run is one measurement.
type Run struct {
	System    string  `json:"system"`
	Round     int     `json:"round"`
	Sentences int     `json:"sentences"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"sentences_per_s"`
	Note      string  `json:"note,omitempty"`
}

// Result is what is printed.
type Result struct {
	Date      string  `json:"date"`
	CPU       string  `json:"cpu"`
	Sentences int     `json:"sentences"`
	Bytes     float64 `json:"bytes_per_sentence"`
	Changed   float64 `json:"changed_share"` // of the sentences, by the pack of 25 rules
	Runs      []Run   `json:"runs"`
	// Medians by system, sentences per second on one core.
	Medians map[string]float64 `json:"medians"`
	// Ratios of medians.
	ToRandomWord float64 `json:"times_random_word_aug,omitempty"` // pack of 25 rules
	ToSynonym    float64 `json:"times_synonym_aug,omitempty"`     // synonyms of WordNet
	Scaling      float64 `json:"cost_of_1000_literal_rules_to_100"`
	Peer         string  `json:"peer,omitempty"`
}

type config struct {
	sentences, wordnet, python, out string
	seconds                         float64
	rounds                          int
}

func main() {
	var c config
	flag.StringVar(&c.sentences, "sentences", "plugins/finance/data/news.train.jsonl", `lines {"text": …, "labels": …}; those in English are taken`)
	flag.StringVar(&c.wordnet, "wordnet", "", "folder with WordNet's data files, such as /usr/share/wordnet of Debian's wordnet-base and wordnet-sense-index")
	flag.StringVar(&c.python, "python", "", "Python with nlpaug and nltk")
	flag.StringVar(&c.out, "out", "", "append the result as one line to this file")
	flag.Float64Var(&c.seconds, "seconds", 3, "time of one measurement")
	flag.IntVar(&c.rounds, "rounds", 3, "measurements of each system")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "bench/augment:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, c config) error {
	runtime.GOMAXPROCS(1)
	data, err := readSentences(c.sentences)
	if err != nil {
		return err
	}
	type system struct {
		name   string
		engine *augment.Engine
	}
	var systems []system
	add := func(name string, opt augment.Options, files fstest.MapFS) error {
		e, err := newEngine(files, opt)
		if err == nil {
			systems = append(systems, system{name, e})
		}
		return err
	}
	err = errors.Join(add("islm 25 rules", augment.Options{}, pack(packRules)),
		add("islm 25 rules, bare", augment.Options{Bare: true}, pack(packRules)),
		add("islm 100 literal rules", augment.Options{}, pack(literals(100))),
		add("islm 1000 literal rules", augment.Options{}, pack(literals(1000))))
	if err != nil {
		return err
	}
	if c.wordnet != "" {
		w, err := kind.OpenWordNet(c.wordnet)
		if err != nil {
			return err
		}
		if err := add("islm synonyms of WordNet", augment.Options{Resources: augment.Resources{Thesaurus: w}}, pack([]byte(synonyms))); err != nil {
			return err
		}
	}
	r := Result{Date: time.Now().UTC().Format(time.DateOnly), CPU: cpu(), Sentences: len(data), Medians: map[string]float64{}}
	for i := range data {
		r.Bytes += float64(len(data[i].Text)) / float64(len(data))
		if systems[0].engine.Variant(&data[i], augment.Draw{}) != &data[i] {
			r.Changed += 1 / float64(len(data))
		}
	}
	for round := range c.rounds {
		for _, s := range systems {
			run := own(ctx, s.engine, data, c.seconds)
			run.System, run.Round = s.name, round
			r.Runs = append(r.Runs, run)
		}
		if c.python != "" {
			runs, version, err := peer(ctx, c, data)
			if err != nil {
				return err
			}
			for _, run := range runs {
				run.Round = round
				r.Runs = append(r.Runs, run)
			}
			r.Peer = "nlpaug " + version
		}
	}
	by := map[string][]float64{}
	for _, run := range r.Runs {
		by[run.System] = append(by[run.System], run.PerSecond)
	}
	for name, values := range by {
		slices.Sort(values)
		r.Medians[name] = values[len(values)/2]
	}
	ratio := func(a, b string) float64 {
		if r.Medians[b] == 0 {
			return 0
		}
		return r.Medians[a] / r.Medians[b]
	}
	r.ToRandomWord = ratio("islm 25 rules", "nlpaug.RandomWordAug(swap)")
	r.ToSynonym = ratio("islm synonyms of WordNet", "nlpaug.SynonymAug(wordnet)")
	r.Scaling = ratio("islm 100 literal rules", "islm 1000 literal rules")
	return write(r, c.out)
}

func write(r Result, file string) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return err
	}
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(f).Encode(r), f.Close())
}

// synonyms does what nlpaug's SynonymAug does by default: synonyms of WordNet for
// three words in ten.
const synonyms = `schema: islm/rules.v1
rules:
  - {id: synonyms, match: {word: true, min: 2}, do: {kind: swap.v0, thesaurus: true}, probability: 0.3, max_per_example: 10, labels: {keep: all}}
`

// literals are n rules with two literals each. One in ten words of news is among
// those of the first rules, so that as many fire among 1000 rules as among 100.
func literals(n int) []byte {
	common := strings.Fields("the company said profit rose quarter sales bank shares market year growth revenue percent million prices demand costs after from")
	var b strings.Builder
	b.WriteString("schema: islm/rules.v1\nrules:\n")
	for i := range n {
		word := fmt.Sprintf("word%d", i*7919%100003)
		if i < len(common) {
			word = common[i]
		}
		fmt.Fprintf(&b, "  - {id: r%d, match: {literal: [%s, term-%d-%d]}, do: {kind: swap.v0, with: other}, probability: 0.5, labels: {keep: all}}\n", i, word, i, i*31%997)
	}
	return []byte(b.String())
}

func pack(rules []byte) fstest.MapFS {
	return fstest.MapFS{"pack.yaml": {Data: []byte(manifest)}, "rules/rules.yaml": {Data: rules}}
}

func newEngine(files fstest.MapFS, opt augment.Options) (*augment.Engine, error) {
	p, ds := augment.Load(files, augment.LoadOptions{})
	if err := ds.Err(); err != nil {
		return nil, err
	}
	opt.Seed = 42
	e, ds := augment.NewEngine([]*augment.Pack{p}, opt)
	return e, ds.Err()
}

func readSentences(file string) ([]sdk.Example, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	var out []sdk.Example
	for ex, err := range sdk.ReadJSONL(file, f) {
		if err != nil {
			return nil, err
		}
		if lang, ok := ex.Meta["lang"]; (!ok || lang == "en") && len(ex.Text) <= 200 {
			out = append(out, ex)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no short sentences in English", file)
	}
	return out, nil
}

// own varies all sentences, in each pass as in another epoch.
func own(ctx context.Context, e *augment.Engine, data []sdk.Example, seconds float64) Run {
	var run Run
	start := time.Now()
	for epoch := 0; ctx.Err() == nil && (epoch == 0 || time.Since(start).Seconds() < seconds); epoch++ {
		for i := range data {
			e.Variant(&data[i], augment.Draw{Epoch: epoch})
		}
		run.Sentences += len(data)
	}
	run.Seconds = time.Since(start).Seconds()
	run.PerSecond = float64(run.Sentences) / run.Seconds
	return run
}

func peer(ctx context.Context, c config, data []sdk.Example) ([]Run, string, error) {
	f, err := os.CreateTemp("", "sentences*.jsonl")
	if err != nil {
		return nil, "", err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a temporary file
	enc := json.NewEncoder(f)
	for i := range data {
		err = errors.Join(err, enc.Encode(map[string]string{"text": data[i].Text}))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, "", err
	}
	nltk, err := os.MkdirTemp("", "nltk-data")
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(nltk) //nolint:errcheck // a temporary folder
	if err := writeTagger(ctx, nltk); err != nil {
		return nil, "", fmt.Errorf("fetch NLTK's tagger: %w", err)
	}
	if c.wordnet != "" {
		if err := copyWordNet(c.wordnet, nltk); err != nil {
			return nil, "", fmt.Errorf("give NLTK its WordNet: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, c.python, "bench/peers/augment.py", f.Name(), fmt.Sprint(c.seconds))
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "NLTK_DATA="+nltk+string(os.PathListSeparator)+os.Getenv("NLTK_DATA"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, "", fmt.Errorf("run the peer: %w", err)
	}
	var result struct {
		Version string
		Missing string // why a row is left out
		Runs    []Run
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return nil, "", fmt.Errorf("read the peer's result: %w", err)
	}
	if result.Missing != "" {
		fmt.Fprintln(os.Stderr, "bench/augment: the peer left out", result.Missing)
	}
	return result.Runs, result.Version, nil
}

// cpu names the processor where the system tells it.
func cpu() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
