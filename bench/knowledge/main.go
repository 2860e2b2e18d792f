// Command knowledge measures what injected knowledge does: scores of each way of
// injection beside the plain model and the control that fits it, and the cost
// of a step with facts as text. It prints one JSON row per run.
//
//	go run ./bench/knowledge -bar conll [-kg WORDNET]   features, with a CRF and with names of a graph, on CoNLL-2003
//	go run ./bench/knowledge -bar ncbi -kg STORE        every way and its control on ncbi-disease
//	go run ./bench/knowledge -bar step -kg STORE        seconds of a step, plain and with text, at one padded width
//
// Rows that exist in the file are not run again: with -limit 1 a long measurement
// is made piece by piece.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Row is one finished run.
type Row struct {
	Bar, Arm  string
	Seed      int
	Threads   int
	KG        string  `json:",omitempty"` // name of the store's folder
	Types     string  `json:",omitempty"` // knowledge.types of the arms with a graph
	Commit    string  `json:",omitempty"`
	Precision string  `json:",omitempty"`
	Steps     int     `json:",omitempty"`
	Valid     float64 `json:",omitempty"` // best score on valid, by which an arm is chosen
	EntityF1  float64 `json:",omitempty"`
	MacroF1   float64 `json:",omitempty"` // token level, with O
	MicroF1   float64 `json:",omitempty"`
	StepS     float64 // seconds of an optimizer step
	TrainS    float64
	Time      string
}

func (r Row) key() string {
	return fmt.Sprint(r.Bar, " ", r.Arm, " ", r.Seed, " ", r.Threads, " ", r.KG, " ", r.Types)
}

type bench struct {
	bin, data, model, kg, vectors, rows, commit, types, keep string
	threads                                                  int
	done                                                     map[string]Row
}

func main() {
	var b bench
	bar := flag.String("bar", "conll", "conll | ncbi | step")
	flag.StringVar(&b.rows, "rows", "bench/results/knowledge.jsonl", "file of finished rows")
	flag.StringVar(&b.bin, "islm", "bin/islm", "islm")
	home := os.Getenv("ISLM_HOME")
	if home == "" {
		cache, _ := os.UserCacheDir()
		home = filepath.Join(cache, "islm")
	}
	flag.StringVar(&b.model, "model", filepath.Join(home, "models/all-MiniLM-L6-v2"), "base model folder")
	data := os.Getenv("ISLM_TESTDATA")
	if data == "" {
		data = "../shared/data"
	}
	flag.StringVar(&b.data, "data", data, "folder of the test data")
	flag.StringVar(&b.kg, "kg", "", "knowledge graph of ncbi and step, as 'islm kg import' makes it")
	flag.StringVar(&b.vectors, "vectors", "", "vectors of its entities, as 'islm kg embed' makes them; without them entity is left out")
	flag.StringVar(&b.types, "types", "", "knowledge.types: types and ids of what is linked; empty: those of the bar")
	flag.StringVar(&b.keep, "keep", "", "folder in which the trained models stay, as BAR-ARM-SEED; empty: they are removed")
	flag.IntVar(&b.threads, "threads", 2, "threads")
	only := flag.String("only", "", "run only this arm")
	seeds := flag.Int("seeds", 3, "seeds 0 … N-1")
	just := flag.Int("just", -1, "run only this seed; -1 = all of -seeds")
	limit := flag.Int("limit", 0, "stop after so many new rows; 0 = run all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b.types = cmp.Or(b.types, linked[*bar])
	if err := b.run(ctx, *bar, *only, *just, *seeds, *limit); err != nil {
		fmt.Fprintln(os.Stderr, "bench/knowledge:", err)
		os.Exit(1)
	}
}

// What is linked, unless -types says otherwise, chosen on the validation split: half
// of what the whole of HPO links is no disease but how one runs or is inherited. Of
// WordNet 3.0 inhabitants, persons, places, waters, land, organizations, languages,
// works and events, each a type of its own.
var linked = map[string]string{
	"ncbi":  "[Disease, Diagnosis, 'HP:0000118']",
	"conll": "[09620078-n, 00007846-n, 00027167-n, 09225146-n, 09287968-n, 08008335-n, 06282651-n, 06589574-n, 00029378-n]",
}

// arm is one way to train, as items of --set.
type arm struct {
	name string
	sets []string
}

func (b *bench) arms(bar string) ([]arm, []string, error) {
	conll, ncbi := filepath.Join(b.data, "general/conll2003"), filepath.Join(b.data, "medical/ner-ncbi-disease")
	crf := "heads.ner.crf=on"
	graph := func(ways string, more ...string) []string {
		sets := append([]string{"knowledge.inject=" + ways, "knowledge.kg=" + b.kg}, more...)
		if b.types != "" {
			sets = append(sets, "knowledge.types="+b.types)
		}
		if bar == "ncbi" {
			sets = append(sets, "knowledge.abbreviations=on")
		}
		if b.vectors != "" {
			sets = append(sets, "knowledge.vectors="+b.vectors)
		}
		return sets
	}
	if bar != "conll" && b.kg == "" {
		return nil, nil, fmt.Errorf("the bar %s needs -kg", bar)
	}
	switch bar {
	case "conll":
		// The rate of new embeddings is higher than the encoder's: they begin with zeros.
		features := []string{"knowledge.inject=features", "knowledge.lr=1e-3"}
		out := []arm{{"none", nil}, {"features", features}, {"features-shuffled", append(slices.Clone(features), "knowledge.control=shuffled")}, {"features+crf", append(slices.Clone(features), crf)}}
		if b.kg != "" {
			sets := append(graph("[features, gazetteer]", "knowledge.lr=1e-3"), crf)
			out = append(out, arm{"features+gazetteer+crf", sets})
		}
		return out, []string{"--recipe", "ner", "--data", conll}, nil
	case "ncbi":
		out := []arm{{"none", nil}, {"features", []string{"knowledge.inject=features", "knowledge.lr=1e-3"}}, {"features-shuffled", []string{"knowledge.inject=features", "knowledge.lr=1e-3", "knowledge.control=shuffled"}}}
		ways := []string{"gazetteer", "text"}
		if b.vectors != "" {
			ways = append(ways, "entity")
		}
		for _, way := range append(ways, "[features, gazetteer]", "[features, text]") {
			name := strings.NewReplacer("[", "", "]", "", ", ", "+").Replace(way)
			out = append(out, arm{name, graph(way, "knowledge.lr=1e-3")}, arm{name + "-shuffled", graph(way, "knowledge.lr=1e-3", "knowledge.control=shuffled")})
			if strings.Contains(way, "text") || way == "entity" {
				out = append(out, arm{name + "-zero", graph(way, "knowledge.lr=1e-3", "knowledge.control=zero")})
			}
		}
		return out, []string{"--recipe", "ner", "--data", ncbi}, nil
	case "step":
		full := []string{"data.padding=max", "train.steps=60"}
		return []arm{{"none", full}, {"text", append(graph("text"), full...)}}, []string{"--recipe", "ner", "--data", ncbi}, nil
	}
	return nil, nil, fmt.Errorf("unknown bar %q", bar)
}

func (b *bench) run(ctx context.Context, bar, only string, just, seeds, limit int) error {
	if err := b.load(); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		b.commit = string(bytes.TrimSpace(out))
	}
	arms, args, err := b.arms(bar)
	if err != nil {
		return err
	}
	made := 0
	for seed := range seeds { // arm after arm within a seed: machines drift
		for _, a := range arms {
			if only != "" && only != a.name || just >= 0 && just != seed {
				continue
			}
			r := Row{Bar: bar, Arm: a.name, Seed: seed, Threads: b.threads, KG: filepath.Base(b.kg), Commit: b.commit}
			if b.kg == "" {
				r.KG = ""
			}
			if slices.ContainsFunc(a.sets, func(s string) bool { return strings.HasPrefix(s, "knowledge.types=") }) {
				r.Types = b.types
			}
			if old, ok := b.done[r.key()]; ok {
				show(old)
				continue
			}
			if limit > 0 && made >= limit {
				continue
			}
			if err := b.train(ctx, &r, args, a.sets); err != nil {
				return fmt.Errorf("%s %s seed %d: %w", bar, a.name, seed, err)
			}
			r.Time = time.Now().UTC().Format(time.RFC3339)
			if err := b.append(r); err != nil {
				return err
			}
			show(r)
			made++
		}
	}
	b.summary(bar, arms)
	return nil
}

// train makes one run and reads its figures.
func (b *bench) train(ctx context.Context, r *Row, args, sets []string) error {
	dir := filepath.Join(b.keep, fmt.Sprintf("%s-%s-%d", r.Bar, r.Arm, r.Seed))
	if b.keep == "" {
		out, err := os.MkdirTemp("", "bench-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(out)
		dir = filepath.Join(out, "model")
	}
	all := append([]string{"train", "--base", b.model, "--out", dir, "--quiet", "--seed", strconv.Itoa(r.Seed), "--set", "train.checkpoint_every=off", "--set", "train.threads=" + strconv.Itoa(b.threads)}, args...)
	for _, s := range sets {
		all = append(all, "--set", s)
	}
	cmd := exec.CommandContext(ctx, b.bin, all...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "islm/metrics.json"))
	if err != nil {
		return err
	}
	var m struct {
		Heads map[string]struct {
			MacroF1  float64 `json:"macro_f1"`
			MicroF1  float64 `json:"micro_f1"`
			EntityF1 float64 `json:"entity_f1"`
		} `json:"heads"`
		Train struct {
			Steps     int     `json:"steps"`
			Seconds   float64 `json:"seconds"`
			Precision string  `json:"precision"`
		} `json:"train"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	for _, h := range m.Heads {
		r.MacroF1, r.MicroF1, r.EntityF1 = h.MacroF1, h.MicroF1, h.EntityF1
	}
	r.Steps, r.TrainS, r.Precision = m.Train.Steps, m.Train.Seconds, m.Train.Precision
	if r.Steps > 0 {
		r.StepS = r.TrainS / float64(r.Steps)
	}
	r.Valid, err = bestValid(filepath.Join(dir, "islm/log.jsonl"))
	return err
}

// bestValid is the highest score of a run's validations.
func bestValid(path string) (float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	best := 0.0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var line map[string]any
		if json.Unmarshal(sc.Bytes(), &line) == nil && line["kind"] == "valid" {
			if v, ok := line["score"].(float64); ok {
				best = max(best, v)
			}
		}
	}
	return best, nil
}

func show(r Row) {
	raw, _ := json.Marshal(r)
	fmt.Println(string(raw))
}

func (b *bench) load() error {
	b.done = map[string]Row{}
	f, err := os.Open(b.rows)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var r Row
		if json.Unmarshal(sc.Bytes(), &r) == nil {
			b.done[r.key()] = r
		}
	}
	return nil
}

func (b *bench) append(r Row) error {
	b.done[r.key()] = r
	f, err := os.OpenFile(b.rows, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewEncoder(f).Encode(r)
}

// summary prints means and spreads of the arms, the difference to none, and of
// steps the ratio.
func (b *bench) summary(bar string, arms []arm) {
	type sum struct {
		Arm                              string
		Runs                             int
		Valid, EntityF1, Spread, MacroF1 float64
		Gain                             float64 // mean entity F1 less that of none
		StepS, Ratio                     float64 // median seconds, and times that of none
	}
	var sums []sum
	for _, a := range arms {
		var f1, steps []float64
		s := sum{Arm: a.name}
		for _, r := range b.done {
			if r.Bar != bar || r.Arm != a.name || r.Threads != b.threads || r.KG != filepath.Base(b.kg) && b.kg != "" || r.Types != "" && r.Types != b.types {
				continue
			}
			f1, steps = append(f1, r.EntityF1), append(steps, r.StepS)
			s.Valid, s.MacroF1 = s.Valid+r.Valid, s.MacroF1+r.MacroF1
		}
		if s.Runs = len(f1); s.Runs == 0 {
			continue
		}
		n := float64(s.Runs)
		s.Valid, s.MacroF1 = s.Valid/n, s.MacroF1/n
		for _, v := range f1 {
			s.EntityF1 += v / n
		}
		for _, v := range f1 {
			s.Spread += (v - s.EntityF1) * (v - s.EntityF1) / max(n-1, 1)
		}
		s.Spread = math.Sqrt(s.Spread)
		slices.Sort(steps)
		s.StepS = steps[len(steps)/2]
		if len(sums) > 0 && sums[0].Arm == "none" {
			s.Gain, s.Ratio = s.EntityF1-sums[0].EntityF1, s.StepS/sums[0].StepS
		}
		sums = append(sums, s)
	}
	raw, _ := json.MarshalIndent(map[string]any{"bar": bar, "arms": sums}, "", "  ")
	fmt.Println(string(raw))
}
