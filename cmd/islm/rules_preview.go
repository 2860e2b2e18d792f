package main

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

//go:embed rules_preview.html
var previewPage string

// pair is an example beside one of its variants.
type pair struct {
	ID     string         `json:"id"`
	Before []piece        `json:"before"`
	After  []piece        `json:"after"`
	Rules  []string       `json:"rules"`
	Labels []labelPreview `json:"labels"`
}

// piece is a stretch of text that is the same on both sides, or not.
type piece struct {
	Text string `json:"text"`
	Same bool   `json:"same"`
}

// labelPreview is one label on both sides, "" where there is none.
type labelPreview struct {
	Head   string `json:"head"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Changed reports a label that is another one in the variant.
func (l labelPreview) Changed() bool { return l.Before != l.After }

func (a *app) rulesPreview() *cobra.Command {
	var f ruleFlags
	var res resourceFlags
	var page, text string
	var most int
	cmd := &cobra.Command{
		Use: "preview PACK…", Short: "Show examples beside their variants, in colour or as an HTML page",
		Example: "  islm rules preview my-pack --in train.jsonl\n  islm rules preview eda --text \"Profit rose 5 % in the third quarter.\" --mode \"add: 5\"\n  islm rules preview my-pack --in train.jsonl --html preview.html",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: packNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			mode, err := augment.ParseMode(f.mode)
			if err != nil {
				return usageError{err}
			}
			r, closeAll, err := res.open(a, cmd)
			if err != nil {
				return err
			}
			defer closeAll()
			e, _, err := f.engine(a, cmd, args, augment.Options{Resources: r})
			if err != nil {
				return err
			}
			data, closeData, err := f.textOrData(cmd, a, text)
			if err != nil {
				return err
			}
			var pairs []pair
			read := 0
			for ex, err := range data {
				if err != nil {
					return errors.Join(err, closeData())
				}
				read++
				for k := range max(1, mode.Add) {
					out := e.Variant(&ex, augment.Draw{Epoch: f.epoch, Copy: k})
					if out == &ex {
						continue
					}
					p, err := newPair(&ex, out)
					if err != nil {
						return errors.Join(err, closeData())
					}
					pairs = append(pairs, p)
				}
				if len(pairs) >= most {
					break
				}
			}
			if err := closeData(); err != nil {
				return fmt.Errorf("read data: %w", err)
			}
			switch {
			case page != "":
				err = writePage(page, args, read, pairs)
			case a.json:
				for _, p := range pairs {
					err = errors.Join(err, a.print(p))
				}
			default:
				a.showPairs(pairs)
			}
			if err == nil {
				a.say("%d variants of %d examples", len(pairs), read)
			}
			return err
		},
	}
	f.register(cmd)
	f.registerDraws(cmd)
	res.register(cmd)
	cmd.Flags().StringVar(&text, "text", "", "one text instead of --in")
	cmd.Flags().StringVar(&page, "html", "", "write an HTML page to this file")
	cmd.Flags().IntVar(&most, "most", 50, "variants to show")
	return cmd
}

// textOrData streams one text, or the data of --in.
func (f *ruleFlags) textOrData(cmd *cobra.Command, a *app, text string) (func(func(sdk.Example, error) bool), func() error, error) {
	if text == "" {
		return f.data(cmd.Context(), a, cmd)
	}
	if f.in != "" {
		return nil, nil, usageError{fmt.Errorf("give one of --text and --in")}
	}
	return eachOf([]sdk.Example{{ID: "text", Text: text}}), func() error { return nil }, nil
}

func newPair(ex, out *sdk.Example) (pair, error) {
	p := pair{ID: ex.ID}
	traces, err := augment.Provenance(out)
	if err != nil {
		return p, err
	}
	if before, err := augment.Provenance(ex); err == nil {
		traces = traces[min(len(before), len(traces)):]
	}
	var edits []edit.Edit
	for _, t := range traces {
		p.Rules = append(p.Rules, t.Pack+"/"+t.Rule)
		edits = append(edits, t.Edits...)
	}
	slices.SortStableFunc(edits, edit.Compare)
	if made := edit.Apply(ex, edits, func(string) bool { return false }); made.Text == out.Text {
		p.Before, p.After = pieces(ex.Text, edits)
	} else { // a plugin's code wrote the text anew
		p.Before, p.After = []piece{{ex.Text, false}}, []piece{{out.Text, false}}
	}
	heads := map[string]bool{}
	for h := range ex.Labels {
		heads[h] = true
	}
	for h := range out.Labels {
		heads[h] = true
	}
	for _, h := range sortedNames(heads) {
		p.Labels = append(p.Labels, labelPreview{cmp.Or(h, "label"), showLabel(ex, h), showLabel(out, h)})
	}
	return p, nil
}

// pieces cuts both texts at the edits.
func pieces(text string, edits []edit.Edit) (before, after []piece) {
	last := 0
	add := func(list *[]piece, text string, same bool) {
		if text != "" {
			*list = append(*list, piece{text, same})
		}
	}
	for _, e := range edits {
		add(&before, text[last:e.Start], true)
		add(&after, text[last:e.Start], true)
		add(&before, text[e.Start:e.End], false)
		add(&after, e.New, false)
		last = e.End
	}
	add(&before, text[last:], true)
	add(&after, text[last:], true)
	return before, after
}

// showLabel writes a label in one line.
func showLabel(ex *sdk.Example, head string) string {
	l, ok := ex.Labels[head]
	if !ok {
		return ""
	}
	var parts []string
	parts = append(parts, l.Values...)
	if l.Number != nil {
		parts = append(parts, fmt.Sprint(*l.Number))
	}
	spans := slices.Clone(l.Spans)
	if l.Tags != nil {
		spans = append(spans, edit.TagSpans(ex.Tokens, l.Tags)...)
	}
	for _, s := range spans {
		parts = append(parts, s.Label+" "+ex.Text[s.Start:s.End])
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// showPairs prints pairs one above the other: what went in red, what came in
// green, or within [- -] and {+ +} where there are no colours.
func (a *app) showPairs(pairs []pair) {
	red, green, dim, off := "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
	open, shut := [2]string{red, green}, [2]string{off, off}
	if !tty(a.stdout) || a.getenv("NO_COLOR") != "" {
		open, shut, dim, off = [2]string{"[-", "{+"}, [2]string{"-]", "+}"}, "", ""
	}
	line := func(sign string, ps []piece, side int) {
		var b strings.Builder
		for _, p := range ps {
			if p.Same {
				b.WriteString(p.Text)
			} else {
				b.WriteString(open[side] + p.Text + shut[side])
			}
		}
		fmt.Fprintf(a.stdout, "%s %s\n", sign, b.String())
	}
	for _, p := range pairs {
		fmt.Fprintf(a.stdout, "%s%s  %s%s\n", dim, p.ID, strings.Join(p.Rules, ", "), off)
		line("-", p.Before, 0)
		line("+", p.After, 1)
		for _, l := range p.Labels {
			if l.Changed() {
				fmt.Fprintf(a.stdout, "  %s: %s → %s\n", l.Head, cmp.Or(l.Before, "none"), cmp.Or(l.After, "no label"))
			} else if l.Before != "" {
				fmt.Fprintf(a.stdout, "  %s%s: %s%s\n", dim, l.Head, l.Before, off)
			}
		}
		fmt.Fprintln(a.stdout)
	}
}

func writePage(name string, packs []string, read int, pairs []pair) error {
	t, err := template.New("preview").Parse(previewPage)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	err = page(t, file, packs, read, pairs)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func page(t *template.Template, w io.Writer, packs []string, read int, pairs []pair) error {
	return t.Execute(w, struct {
		Packs string
		Read  int
		Pairs []pair
	}{strings.Join(packs, ", "), read, pairs})
}
