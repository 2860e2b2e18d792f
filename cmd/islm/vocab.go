package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/token"
)

func (a *app) vocab() *cobra.Command {
	cmd := &cobra.Command{Use: "vocab", Short: "Make, extend and look at vocabularies"}
	cmd.AddCommand(a.vocabTrain(), a.vocabExtend(), a.vocabProbe(), a.vocabEncode())
	return cmd
}

// encoded is one line of `vocab encode --json`.
type encoded struct {
	Text    string   `json:"text"`
	IDs     []int32  `json:"ids"`
	Pieces  []string `json:"pieces"`
	Offsets [][2]int `json:"offsets"` // bytes of the text
}

func (a *app) vocabEncode() *cobra.Command {
	var model, in string
	var from textFlags
	var plain bool
	cmd := &cobra.Command{
		Use: "encode [TEXT…]", Short: "Print ids, pieces and byte offsets of each text or input line",
		Example: "  islm vocab encode --model all-MiniLM-L6-v2 'EBITDA margin'\n  islm vocab encode --model runs/news --in texts.txt --json",
		RunE: func(_ *cobra.Command, args []string) error {
			if model == "" {
				return usageError{fmt.Errorf("--model is needed")}
			}
			store, err := a.store()
			if err != nil {
				return err
			}
			m, err := store.Find(model)
			if err != nil {
				return err
			}
			tok, err := token.Load(m.Dir)
			if err != nil {
				return err
			}
			show := func(text string) error {
				e := tok.Encode(text, token.Options{Bare: plain})
				row := encoded{Text: text, IDs: e.IDs, Pieces: tok.Pieces(e.IDs), Offsets: [][2]int{}}
				for _, o := range e.Offsets {
					row.Offsets = append(row.Offsets, [2]int{o.Start, o.End})
				}
				if a.json {
					return a.print(row)
				}
				var parts []string
				for i, p := range row.Pieces {
					parts = append(parts, fmt.Sprintf("%s/%d[%d:%d]", p, row.IDs[i], row.Offsets[i][0], row.Offsets[i][1]))
				}
				_, err := fmt.Fprintln(a.stdout, strings.Join(parts, " "))
				return err
			}
			if len(args) > 0 {
				for _, text := range args {
					if err := show(text); err != nil {
						return err
					}
				}
				return nil
			}
			if in != "" && in != "-" {
				if err := from.guess(a, []string{in}); err != nil {
					return err
				}
				for line, err := range corpus.Lines(in, from.encoding) {
					if err != nil {
						return errInFlags(err)
					}
					if err := show(line); err != nil {
						return err
					}
				}
				return nil
			}
			lines := bufio.NewReader(a.stdin)
			for {
				line, err := lines.ReadString('\n')
				if line != "" {
					if serr := show(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")); serr != nil {
						return serr
					}
				}
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return fmt.Errorf("read texts: %w", err)
				}
			}
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "model folder, or a name in the model store")
	completeModels(cmd, "model")
	cmd.Flags().StringVar(&in, "in", "", "file of texts, one per line; - or none is stdin, in UTF-8")
	from.registerEncoding(cmd)
	cmd.Flags().BoolVar(&plain, "no-special", false, "without special tokens")
	return cmd
}
