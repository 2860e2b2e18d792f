//go:build torch

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/core/train"
	"github.com/islm-dev/islm/sdk"
)

func main() {
	steps := flag.Int("steps", 10000, "optimizer steps")
	warmup := flag.Int("warmup", 1000, "steps before the first measurement")
	threads := flag.Int("threads", 1, "CPU threads")
	precision := flag.String("precision", "fp32", "fp32 or bf16")
	flag.Parse()
	if err := run(*steps, *warmup, *threads, *precision); err != nil {
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(1)
	}
}

// result is what is printed. Sizes are medians of samples, in bytes: of the
// tenth of the run after the warm-up, and of its last tenth.
type result struct {
	Steps      int     `json:"steps"`
	Warmup     int     `json:"warmup"`
	RSSWarm    int64   `json:"rss_warm_bytes"`
	RSSEnd     int64   `json:"rss_end_bytes"`
	Growth     float64 `json:"growth"`
	LiveWarm   int     `json:"live_tensors_warm"`
	LiveEnd    int     `json:"live_tensors_end"`
	StepsPerS  float64 `json:"steps_per_s"`
	Precision  string  `json:"precision"`
	PeakRSS    int64   `json:"peak_rss_bytes"`
	GrowthOkay bool    `json:"below_one_percent"`
}

func run(steps, warmup, threads int, precision string) error {
	if warmup >= steps {
		return fmt.Errorf("%d steps of warm-up leave nothing of %d", warmup, steps)
	}
	dir, err := os.MkdirTemp("", "islm-memory-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := tinyModel(dir); err != nil {
		return err
	}
	res := result{Steps: steps, Warmup: warmup, Precision: precision}
	var warm, end []int64
	tenth := max(1, (steps-warmup)/10)
	var failed error
	plan := &recipe.Plan{Seed: 1, Train: recipe.TrainPlan{
		Steps: steps, Epochs: 1, LR: 1e-4, Schedule: "linear", Warmup: 0.06, Clip: 1, WeightDecay: 0.01,
		Precision: precision, Device: "cpu", CheckpointEvery: -1, EvalEvery: -1,
	}}
	job := &recipe.Job{
		Dir: dir, Base: dir, Plan: plan, Threads: threads, Train: examples(2048), Heads: []sdk.HeadSpec{
			{Name: "topic", Kind: sdk.KindClassify, Labels: []string{"a", "b", "c"}},
			{Name: "ner", Kind: sdk.KindTag, Labels: []string{"X"}},
		},
		Observe: func(e recipe.Event) {
			if e.Kind != recipe.EventStep || e.Step < warmup {
				return
			}
			live := 0
			if err := torch.Do(func() { live = torch.Live() }); err != nil {
				failed = err
			}
			rss, err := resident()
			if err != nil {
				failed = err
			}
			if e.Step < warmup+tenth {
				warm, res.LiveWarm = append(warm, rss), live
			}
			if e.Step > steps-tenth {
				end, res.LiveEnd = append(end, rss), live
			}
		},
	}
	out, err := train.Engine{}.Train(context.Background(), job)
	if err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	res.RSSWarm, res.RSSEnd = median(warm), median(end)
	res.Growth = float64(res.RSSEnd-res.RSSWarm) / float64(res.RSSWarm)
	res.GrowthOkay = res.Growth < 0.01
	res.StepsPerS, res.PeakRSS = float64(out.Steps)/out.Seconds, out.PeakRSS
	return json.NewEncoder(os.Stdout).Encode(res)
}

func median(v []int64) int64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// resident is the resident size of this process in bytes.
func resident() (int64, error) {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		return 0, fmt.Errorf("read /proc/self/statm: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// tinyModel writes a random two-layer BERT.
func tinyModel(dir string) error {
	text := []byte(`{"architectures": ["BertModel"], "model_type": "bert", "vocab_size": 500, "hidden_size": 32, "num_hidden_layers": 2,
		"num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64}`)
	if err := os.WriteFile(filepath.Join(dir, hf.ConfigFile), text, 0o644); err != nil {
		return err
	}
	cfg, diags := hf.ParseConfig(hf.ConfigFile, text)
	if cfg == nil {
		return diags.Err()
	}
	r := rand.New(rand.NewPCG(1, 1))
	var all []safetensors.Entry
	for _, t := range append(cfg.Encoder(), cfg.Pooler()...) {
		data := make([]byte, 0, 4*t.Elements())
		for range t.Elements() {
			bits := math.Float32bits(float32(r.NormFloat64() * 0.05))
			data = append(data, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
		}
		all = append(all, safetensors.Entry{Name: t.Name, DType: "F32", Shape: t.Shape, Data: data})
	}
	return safetensors.Write(filepath.Join(dir, hf.WeightsFile), all, nil)
}

// loader gives batches of random rows of random length.
type loader []*recipe.Encoded

const batchSize = 8

func examples(n int) loader {
	r := rand.New(rand.NewPCG(2, 2))
	out := make(loader, n)
	for i := range out {
		e := &recipe.Encoded{ID: fmt.Sprint(i), Key: r.Uint64(), IDs: make([]int32, 4+r.IntN(40))}
		tags := make([]int32, len(e.IDs))
		for j := range e.IDs {
			e.IDs[j], tags[j] = int32(r.IntN(500)), int32(r.IntN(3))
			e.Starts = append(e.Starts, int32(j))
		}
		e.Targets = []recipe.Target{{Has: i%2 == 0, Class: int32(r.IntN(3))}, {Has: true, Tags: tags}}
		out[i] = e
	}
	return out
}

func (l loader) Len() int      { return len(l) }
func (l loader) Steps(int) int { return len(l) / batchSize }

func (l loader) Epoch(_ context.Context, epoch, from int) iter.Seq2[*recipe.Batch, error] {
	order := rand.New(rand.NewPCG(3, uint64(epoch))).Perm(len(l))
	return func(yield func(*recipe.Batch, error) bool) {
		for i := from * batchSize; i+batchSize <= len(order); i += batchSize {
			b := &recipe.Batch{Index: order[i : i+batchSize]}
			for _, k := range b.Index {
				b.Rows, b.Width = append(b.Rows, l[k]), max(b.Width, len(l[k].IDs))
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}
