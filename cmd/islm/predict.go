package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

func (a *app) predict() *cobra.Command {
	var model, text, textB, in, out, precision, device string
	var threads int
	var explain bool
	var mentions []string
	var page string
	var gen generateFlags
	cmd := &cobra.Command{
		Use: "predict", Short: "Label new text with a model, or have it write on",
		Long: `Label new text with a model: one text with --text, or a file with --in (JSONL
with the field text, or one text per line; - is stdin). With --json, and in the
file of --out, each input gives one JSON line.

A head of answers reads --text for the answer to --question; in a file the fields
context and question say the same. A head of relations wants the mentions in the
text: --mention WORDS or TYPE=WORDS, each once; in a file the field entities, a
list of {start, end, type}.

A causal language model (GPT-2 and its like) writes on after the text, and a
head of kind generate.v0 the answer that it learned. It takes the most probable
token each time; --beams searches the most probable text; --temperature, --top-k
and --top-p draw, the same for the same --seed. What is not given stands in the
model's plan (generate.*).

--explain says what each answer came from: the words' shares in its log-odds
by integrated gradients, checked by their sum and by masking words, and each
fact that was injected, with the answer when it is removed. --html writes that
as a page.`,
		Example: `  islm predict --model runs/news --text "Profit rose 12 %."
  islm predict --model runs/news --in new.jsonl --out labelled.jsonl
  islm predict --model runs/qa --text "The bank was founded in 1849." --question "When was it founded?"
  islm predict --model runs/faults --text "The pump leaks." --mention part=pump --mention failure=leaks
  islm predict --model runs/news --text "Profit rose 12 %." --explain --html why.html
  islm predict --model gpt2 --text "Profit rose" --max-new-tokens 20 --top-p 0.9 --seed 1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if model == "" || (cmd.Flags().Changed("text") == (in != "")) {
				return usageError{fmt.Errorf("--model and one of --text and --in are needed")}
			}
			engine, err := a.engine()
			if err != nil {
				return err
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			b, ds, err := core.OpenBundle(model, store)
			if err != nil {
				return err
			}
			a.problems(ds)
			if err := b.Set(gen.sets(cmd.Flags())); err != nil {
				return err
			}
			examples := []sdk.Example{{Text: text, TextB: textB}}
			if in != "" {
				if examples, err = a.readTexts(in, b); err != nil {
					return err
				}
			} else if err := mention(&examples[0], mentions, b); err != nil {
				return err
			}
			lacks := b.Lacks(examples)
			if err := lacks.Err(); err != nil {
				return err
			}
			a.problems(lacks)
			w := a.newWatcher()
			if explain || page != "" {
				answers, err := core.Explain(cmd.Context(), engine, b, examples, device, threads, func(e recipe.Event) { w.Event(e, nil) })
				w.done()
				if err != nil {
					return err
				}
				return a.explained(answers, out, page)
			}
			answers, err := core.Predict(cmd.Context(), engine, b, examples, precision, device, threads, func(e recipe.Event) { w.Event(e, nil) })
			w.done()
			if err != nil {
				return err
			}
			if out != "" {
				return writeAnswers(out, answers)
			}
			for _, ans := range answers {
				if a.json {
					if err := a.print(ans); err != nil {
						return err
					}
					continue
				}
				a.answer(ans)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&model, "model", "", "model folder")
	completeModels(cmd, "model")
	f.StringVar(&text, "text", "", "one text")
	f.StringVar(&textB, "text-b", "", "its second text, for heads of pairs")
	f.StringVar(&textB, "question", "", "a question that the text answers; the same as --text-b")
	f.StringArrayVar(&mentions, "mention", nil, "words of the text, or TYPE=WORDS, that may be related; several times")
	f.StringVar(&in, "in", "", "file of texts: JSONL or one text per line; - is stdin")
	f.StringVar(&out, "out", "", "write JSON lines to this file")
	f.BoolVar(&explain, "explain", false, "say what each answer came from (in fp32)")
	f.StringVar(&page, "html", "", "write the explanations to this page; implies --explain")
	gen.add(f)
	f.StringVar(&precision, "precision", "fp32", "fp32, bf16 or auto")
	f.StringVar(&device, "device", "auto", "auto, cpu, cuda or cuda:N")
	f.IntVar(&threads, "threads", 0, "threads (0 = all cores)")
	return cmd
}

// readTexts reads JSONL objects or plain lines; empty lines are passed over in
// both. Mentions are read for the model of b, nil for none.
func (a *app) readTexts(path string, b *core.Bundle) ([]sdk.Example, error) {
	var data []byte
	var err error
	if path == "-" {
		data, err = io.ReadAll(a.stdin)
	} else {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read texts: %w", err)
	}
	text, ds := corpus.DecodeText(path, data)
	if ds.HasErrors() {
		return nil, ds.Err()
	}
	a.problems(ds)
	ds = nil
	var out []sdk.Example
	isJSON := strings.HasSuffix(path, ".jsonl") || strings.HasSuffix(path, ".ndjson") || strings.HasPrefix(strings.TrimSpace(text), "{")
	for n, line := range corpus.TextLines(text) {
		ex := sdk.Example{Text: line}
		if isJSON {
			var row struct {
				ID    json.RawMessage `json:"id"`
				Text  *string         `json:"text"`
				TextB string          `json:"text_b"`

				Context  *string       `json:"context"`
				Question string        `json:"question"`
				Entities []core.Entity `json:"entities"`
			}
			err := json.Unmarshal([]byte(line), &row)
			if row.Text == nil && row.Context != nil {
				row.Text, row.TextB = row.Context, row.Question
			}
			if err != nil || row.Text == nil {
				d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.line", File: path, Line: n, Summary: "the line is not a JSON object with the field text", Remedy: "write {\"text\": …} on each line"}
				if err != nil {
					d.Detail = err.Error()
				}
				ds.Add(d)
				continue
			}
			ex = sdk.Example{ID: strings.Trim(string(row.ID), `"`), Text: *row.Text, TextB: row.TextB}
			if ex.ID == "null" {
				ex.ID = ""
			}
			if b != nil && len(row.Entities) > 0 {
				ds = append(ds, b.Mention(&ex, row.Entities, path, n)...)
			}
		}
		ex.File, ex.Line = path, n
		ds = append(ds, ex.Check()...)
		out = append(out, ex)
	}
	if len(out) == 0 && len(ds) == 0 {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.empty", File: path, Summary: "the file holds no texts"})
	}
	return out, ds.Err()
}

// mention finds the words of --mention in a text.
func mention(ex *sdk.Example, mentions []string, b *core.Bundle) error {
	var found []core.Entity
	for _, m := range mentions {
		kind, words, typed := strings.Cut(m, "=")
		if !typed {
			kind, words = "", m
		}
		at := strings.Index(ex.Text, words)
		if words == "" || at < 0 {
			return usageError{fmt.Errorf("--mention %q: the text has no %q", m, words)}
		}
		found = append(found, core.Entity{Start: at, End: at + len(words), Type: kind})
	}
	if len(found) == 0 {
		return nil
	}
	return b.MentionBytes(ex, found).Err()
}

func writeAnswers(path string, answers []core.Answer) error {
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return fmt.Errorf("write answers: %w", err)
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, ans := range answers {
		if err = enc.Encode(ans); err != nil {
			break
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write answers: %w", err)
	}
	return nil
}

func (a *app) answer(ans core.Answer) {
	fmt.Fprintln(a.stdout, ans.Text)
	for _, name := range slices.Sorted(maps.Keys(ans.Heads)) {
		h := ans.Heads[name]
		switch {
		case h.Label != nil:
			fmt.Fprintf(a.stdout, "  %s: %s (%.3f)\n", name, *h.Label, h.Scores[*h.Label])
		case h.Labels != nil:
			fmt.Fprintf(a.stdout, "  %s: %s\n", name, strings.Join(h.Labels, ", "))
		case h.Answer != nil:
			said := "no answer"
			if h.Answer.Text != "" {
				said = fmt.Sprintf("%s [%d-%d]", h.Answer.Text, h.Answer.Start, h.Answer.End)
			}
			fmt.Fprintf(a.stdout, "  %s: %s (%.3f)\n", name, said, h.Answer.Score)
		case h.Relations != nil:
			if len(h.Relations) == 0 {
				fmt.Fprintf(a.stdout, "  %s: none\n", name)
			}
			for _, r := range h.Relations {
				fmt.Fprintf(a.stdout, "  %s: %s (%s, %s) (%.3f)\n", name, r.Label, r.Head.Text, r.Tail.Text, r.Score)
			}
		case h.Value != nil:
			fmt.Fprintf(a.stdout, "  %s: %.4f\n", name, *h.Value)
		case h.Vector != nil:
			fmt.Fprintf(a.stdout, "  %s: a vector of %d numbers; --json shows it, --text-b compares it with that of another text\n", name, len(h.Vector))
		case h.Completion != nil:
			fmt.Fprintf(a.stdout, "  %s: %s\n", name, strings.ReplaceAll(strings.TrimSpace(*h.Completion), "\n", "\n    "))
		default:
			parts := []string{}
			if len(h.Spans) == 0 {
				parts = append(parts, "nothing found")
			}
			for _, s := range h.Spans {
				parts = append(parts, fmt.Sprintf("%s [%s %d-%d %.3f]", s.Text, s.Label, s.Start, s.End, s.Score))
			}
			fmt.Fprintf(a.stdout, "  %s: %s\n", name, strings.Join(parts, ", "))
		}
	}
}
