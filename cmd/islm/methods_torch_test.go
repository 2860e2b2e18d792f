//go:build torch

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/metric"
)

// inProcess runs a command as main does, and gives its exit code and what it said.
func inProcess(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &err, getenv: os.Getenv}
	root := a.root()
	root.SetArgs(args)
	code = a.finish(t.Context(), root.ExecuteContext(t.Context()))
	return code, out.String(), err.String()
}

// TestMethodsTogether crosses injected knowledge, rule packs, an adapter and
// distillation with all examples and with a few: each cell trains, saves, and
// answers the test rows from its folder as it did at its end, or is refused with a
// reason.
func TestMethodsTogether(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ISLM_HOME", filepath.Join(dir, "home"))
	base, data := filepath.Join(dir, "base"), filepath.Join(dir, "data")
	tinyBERT(t, base, toyWords, 16)
	writeJSONL(t, filepath.Join(data, "train.jsonl"), toySentences(48, 1))
	writeJSONL(t, filepath.Join(data, "test.jsonl"), toySentences(24, 3))
	common := []string{"--quiet", "--data", data, "--set", "train.precision=fp32", "--set", "train.threads=1", "--set", "train.steps=4", "--set", "train.checkpoint_every=off", "--set", "train.lr=2e-3"}
	few := []string{"--shots", "2", "--set", "fewshot.splits=1", "--set", "fewshot.method=prototype", "--set", "fewshot.epochs=1", "--set", "train.steps=auto"}
	make := func(verb, out string, more ...string) (int, string) {
		args := append(append([]string{verb, "--out", out}, common...), more...)
		code, _, said := inProcess(t, args...)
		return code, said
	}
	teachers := map[string]string{"full": filepath.Join(dir, "teacher"), "few": filepath.Join(dir, "few-teacher")}
	code, said := make("train", teachers["full"], "--base", base)
	require.Zero(t, code, said)
	adapted := filepath.Join(dir, "adapter-teacher") // of the students of all examples that learn as adapters
	code, said = make("train", adapted, "--base", base, "--set", "train.peft=lora")
	require.Zero(t, code, said)
	code, said = make("fewshot", teachers["few"], append([]string{"--base", base}, few...)...)
	require.Zero(t, code, said)

	const (
		knowledge = 1 << iota
		rules
		adapter
		distillation
	)
	names := []string{"knowledge", "rules", "adapter", "distillation"}
	sets := [][]string{{"--set", "knowledge.inject=features"}, {"--set", "augment.packs=aeda"}, {"--set", "train.peft=lora"}}
	// refused says why a cell cannot be; "" where it can.
	refused := func(scale string, with int) string {
		switch {
		case scale == "few" && with&distillation == 0 && with&knowledge != 0:
			return "knowledge.inject"
		case scale == "few" && with&distillation == 0 && with&rules != 0:
			return "augment.packs"
		case scale == "few" && with&distillation == 0 && with&adapter != 0:
			return "train.peft"
		case with&(distillation|knowledge|rules) == distillation|knowledge|rules:
			return "distill.augment" // the teacher would have to see each variant in its own encoding
		}
		return ""
	}
	for _, scale := range []string{"full", "few"} {
		for with := range 1 << len(names) {
			var cell, more []string
			for i, name := range names {
				if with&(1<<i) != 0 {
					cell = append(cell, name)
					if i < len(sets) {
						more = append(more, sets[i]...)
					}
				}
			}
			t.Run(scale+"/"+strings.Join(cell, "+"), func(t *testing.T) {
				out := filepath.Join(dir, scale+strings.Join(cell, "-"))
				verb := "train"
				teacher := teachers[scale]
				if scale == "full" && with&adapter != 0 {
					teacher = adapted
				}
				switch {
				case with&distillation != 0:
					verb, more = "distill", append(more, "--teacher", teacher, "--set", "distill.hidden=0")
				case scale == "few":
					verb, more = "fewshot", append(append(more, "--base", base), few...)
				default:
					more = append(more, "--base", base)
				}
				code, said := make(verb, out, more...)
				if why := refused(scale, with); why != "" {
					require.Equal(t, exitProblems, code, said)
					require.Contains(t, said, why)
					require.NoFileExists(t, filepath.Join(out, "config.json"))
					return
				}
				require.Zero(t, code, said)
				m, err := metric.Load(filepath.Join(out, "islm", "metrics.json"))
				require.NoError(t, err)
				code, answers, said := inProcess(t, "eval", "--model", out, "--data", data, "--json", "--quiet")
				require.Zero(t, code, said)
				var again struct {
					Heads map[string]*metric.Report `json:"heads"`
				}
				require.NoError(t, json.Unmarshal([]byte(answers), &again))
				require.Equal(t, 24, again.Heads["label"].N)
				require.InDelta(t, m.Heads["label"].MacroF1, again.Heads["label"].MacroF1, 1e-9)
				code, answers, said = inProcess(t, "predict", "--model", out, "--text", "strong rising profit", "--json", "--quiet")
				require.Zero(t, code, said)
				require.Contains(t, answers, `"label":"`)
			})
		}
	}
}
