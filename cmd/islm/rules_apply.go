package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/sdk"
)

// parentKey is the field of meta that holds a variant's parent in files.
const parentKey = "augment.parent"

func (a *app) rulesApply() *cobra.Command {
	var f ruleFlags
	var res resourceFlags
	var out string
	var workers int
	var bare bool
	cmd := &cobra.Command{
		Use: "apply PACK… --in FILE --out FILE", Short: "Vary data: a file in, a file out",
		Long: `Vary data: a file in, a file out (.jsonl or .conll; - is stdout). In mode replace
each example becomes one variant of itself, or stays where no rule fires; in mode
add it is followed by its variants. The same seed gives the same file, whatever
the number of workers. Each variant says in its field meta which rules made it.`,
		Example: "  islm rules apply eda --in train.jsonl --out more.jsonl --mode \"add: 4\"\n  islm rules apply my-pack --in train.conll --out varied.conll",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: packNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			mode, err := augment.ParseMode(f.mode)
			if err != nil {
				return usageError{err}
			}
			if out == "" {
				return usageError{fmt.Errorf("name the output with --out FILE")}
			}
			r, closeAll, err := res.open(a, cmd)
			if err != nil {
				return err
			}
			defer closeAll()
			e, _, err := f.engine(a, cmd, args, augment.Options{Resources: r, Bare: bare})
			if err != nil {
				return err
			}
			data, closeData, err := f.data(cmd.Context(), a, cmd)
			if err != nil {
				return err
			}
			w, finish, err := a.openOutput(out)
			if err != nil {
				return errors.Join(err, closeData())
			}
			conll := strings.EqualFold(filepath.Ext(out), ".conll")
			write := exampleWriter(w, conll, func() string {
				if conll || f.named.Load() {
					return f.head
				}
				return "" // labels that came with a name keep it
			})
			examples, variants := 0, 0
			var problems sdk.Diagnostics
			for ex, err := range e.Apply(cmd.Context(), data, augment.ApplyOptions{Mode: mode, Epoch: f.epoch, Workers: workers}) {
				if ds, fatal, ok := sdk.DiagnosticsOf(err); ok && !fatal {
					problems.Add(ds...)
					continue
				}
				if err == nil {
					err = write(&ex)
				}
				if err != nil {
					return errors.Join(err, closeData(), finish(false))
				}
				if examples++; ex.Parent != "" {
					variants++
				}
			}
			if err := errors.Join(closeData(), finish(!problems.HasErrors())); err != nil {
				return err
			}
			if err := problems.Err(); err != nil {
				return err
			}
			a.say("%d examples written, %d of them variants", examples, variants)
			return nil
		},
	}
	f.register(cmd)
	f.registerDraws(cmd)
	res.register(cmd)
	cmd.Flags().StringVar(&out, "out", "", "file to write: .jsonl, .conll, or - for JSONL on stdout")
	cmd.Flags().IntVar(&workers, "workers", 0, "goroutines (0 = one per core)")
	cmd.Flags().BoolVar(&bare, "bare", false, "do not write which rules made a variant")
	return cmd
}

// openOutput opens a file that appears under its name only when it is complete.
func (a *app) openOutput(name string) (io.Writer, func(keep bool) error, error) {
	if name == "-" {
		w := bufio.NewWriter(a.stdout)
		return w, func(bool) error { return w.Flush() }, nil
	}
	tmp := name + ".tmp"
	file, err := os.Create(tmp)
	if err != nil {
		return nil, nil, fmt.Errorf("write %s: %w", name, err)
	}
	w := bufio.NewWriterSize(file, 1<<20)
	return w, func(keep bool) error {
		err := errors.Join(w.Flush(), file.Close())
		if err == nil && keep {
			err = os.Rename(tmp, name)
		} else {
			err = errors.Join(err, os.Remove(tmp))
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		return nil
	}, nil
}

// exampleWriter writes examples as sdk.ReadJSONL and sdk.ReadCoNLL read them. The
// labels of the head bare, if it names one, are written without its name.
func exampleWriter(w io.Writer, conll bool, bare func() string) func(*sdk.Example) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(ex *sdk.Example) error {
		bare := bare()
		if conll {
			return writeCoNLL(w, ex, bare)
		}
		row := struct {
			ID     string            `json:"id,omitempty"`
			Text   string            `json:"text"`
			TextB  string            `json:"text_b,omitempty"`
			Label  any               `json:"label,omitempty"`
			Labels map[string]any    `json:"labels,omitempty"`
			Tokens []string          `json:"tokens,omitempty"`
			Tags   []string          `json:"tags,omitempty"`
			Spans  []sdk.Span        `json:"spans,omitempty"`
			Meta   map[string]string `json:"meta,omitempty"`
		}{ID: ex.ID, Text: ex.Text, TextB: ex.TextB, Meta: ex.Meta}
		for _, t := range ex.Tokens {
			row.Tokens = append(row.Tokens, ex.Text[t.Start:t.End])
		}
		_, taken := ex.Labels[""]
		for _, h := range sortedNames(ex.Labels) {
			l := ex.Labels[h]
			if h != "" && (h != bare || taken) {
				if row.Labels == nil {
					row.Labels = map[string]any{}
				}
				row.Labels[h] = labelValue(l)
				continue
			}
			if row.Tags, row.Spans = l.Tags, l.Spans; l.Tags == nil && l.Spans == nil {
				row.Label = labelValue(l)
			}
		}
		if ex.Parent != "" {
			meta := maps.Clone(ex.Meta)
			if meta == nil {
				meta = map[string]string{}
			}
			meta[parentKey] = ex.Parent
			row.Meta = meta
		}
		if err := enc.Encode(row); err != nil {
			return fmt.Errorf("write %s: %w", ex.ID, err)
		}
		return nil
	}
}

func labelValue(l sdk.Label) any {
	switch {
	case l.Tags != nil || l.Spans != nil:
		return struct {
			Tags  []string   `json:"tags,omitempty"`
			Spans []sdk.Span `json:"spans,omitempty"`
		}{l.Tags, l.Spans}
	case l.Number != nil:
		return *l.Number
	case len(l.Values) == 1:
		return l.Values[0]
	}
	return l.Values
}

func writeCoNLL(w io.Writer, ex *sdk.Example, bare string) error {
	l, ok := ex.Labels[""]
	if !ok {
		l = ex.Labels[bare]
	}
	if len(ex.Tokens) == 0 {
		return fmt.Errorf("write %s: CoNLL wants tokens, the example has none; write .jsonl", cmp.Or(ex.ID, "an example"))
	}
	for i, t := range ex.Tokens {
		tag := "O"
		if i < len(l.Tags) {
			tag = l.Tags[i]
		}
		if _, err := fmt.Fprintf(w, "%s %s\n", ex.Text[t.Start:t.End], tag); err != nil {
			return fmt.Errorf("write CoNLL: %w", err)
		}
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return fmt.Errorf("write CoNLL: %w", err)
	}
	return nil
}
