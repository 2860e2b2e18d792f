// Command conll trains a BERT folder on CoNLL-2003 with the preset ner and prints
// its token-level table beside the published one of bert-base-cased, with the
// difference of each row, then one JSON object.
//
//	go run ./bench/conll -base DIR [-data DIR] [-model DIR]
//
// With -model nothing is trained: a finished run's scores are shown.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// published holds the F1 that were published for bert-base-cased at token level.
var published = []struct {
	row string
	f1  float64
}{
	{"B-LOC", .916}, {"I-LOC", .850}, {"B-MISC", .865}, {"I-MISC", .809}, {"B-ORG", .906}, {"I-ORG", .902}, {"B-PER", .960}, {"I-PER", .982}, {"O", .994},
	{"micro", .973}, {"macro", .909}, {"weighted", .973},
}

func main() {
	base := flag.String("base", "all-MiniLM-L6-v2", "BERT folder, or a name in the model store")
	model := flag.String("model", "", "show this finished run instead of training")
	bin := flag.String("islm", "bin/islm", "islm")
	root := os.Getenv("ISLM_TESTDATA")
	if root == "" {
		root = "../shared/data"
	}
	data := flag.String("data", filepath.Join(root, "general/conll2003"), "CoNLL-2003")
	seed := flag.Int("seed", 0, "seed")
	flag.Parse()
	if err := run(*base, *model, *bin, *data, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "bench/conll:", err)
		os.Exit(1)
	}
}

func run(base, model, bin, data string, seed int) error {
	if model == "" {
		tmp, err := os.MkdirTemp("", "conll-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		model = filepath.Join(tmp, "model")
		cmd := exec.Command(bin, "train", "--recipe", "ner", "--base", base, "--data", data, "--out", model, "--seed", fmt.Sprint(seed), "--set", "train.checkpoint_every=off")
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	raw, err := os.ReadFile(filepath.Join(model, "islm/metrics.json"))
	if err != nil {
		return err
	}
	var m struct {
		Heads map[string]struct {
			MicroF1    float64 `json:"micro_f1"`
			MacroF1    float64 `json:"macro_f1"`
			WeightedF1 float64 `json:"weighted_f1"`
			EntityF1   float64 `json:"entity_f1"`
			Labels     map[string]struct {
				F1      float64 `json:"f1"`
				Support int     `json:"support"`
			} `json:"labels"`
		} `json:"heads"`
		Train json.RawMessage `json:"train"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	for name, h := range m.Heads {
		ours := map[string]float64{"micro": h.MicroF1, "macro": h.MacroF1, "weighted": h.WeightedF1}
		for label, s := range h.Labels {
			ours[label] = s.F1
		}
		fmt.Printf("%-9s %9s %17s %11s\n", "", "this", "bert-base-cased", "difference")
		diff := map[string]float64{}
		for _, p := range published {
			diff[p.row] = ours[p.row] - p.f1
			fmt.Printf("%-9s %9.3f %17.3f %+11.3f\n", p.row, ours[p.row], p.f1, diff[p.row])
		}
		out, err := json.Marshal(map[string]any{"base": filepath.Base(base), "seed": seed, "head": name, "entity_f1": h.EntityF1, "f1": ours, "difference": diff, "train": m.Train})
		if err != nil {
			return err
		}
		fmt.Println(string(out))
	}
	return nil
}
