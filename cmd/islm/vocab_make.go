package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/core/vocab"
	"github.com/islm-dev/islm/sdk"
)

// textFlags say how vocabulary commands read running text.
type textFlags struct{ field, encoding string }

func (t *textFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.field, "field", "", "field or column with the text (default text)")
	t.registerEncoding(cmd)
}

func (t *textFlags) registerEncoding(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.encoding, "encoding", "auto", "character encoding of the texts: auto (guess, and say what), "+strings.Join(corpus.Encodings(), ", "))
	complete(cmd, "encoding", func(string) []string { return append([]string{"auto"}, corpus.Encodings()...) })
}

// texts streams the texts of files and folders.
func (t *textFlags) texts(ctx context.Context, a *app, paths []string) (iter.Seq2[string, error], error) {
	files, err := corpus.TextFiles(paths)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "data.path", Summary: "there are no files of text in " + strings.Join(paths, ", "),
			Remedy: "endings: " + strings.Join(corpus.TextFormats(), ", ")}}.Err()
	}
	plan := &recipe.DataPlan{Text: t.field, Encoding: t.encoding}
	if err := t.guess(a, files); err != nil {
		return nil, err
	}
	return func(yield func(string, error) bool) {
		for t, err := range corpus.Texts(ctx, files, plan) {
			if !yield(t.Text, errInFlags(err)) {
				return
			}
		}
	}, nil
}

// guess checks the flags and says how files are read whose encoding is guessed.
func (t *textFlags) guess(a *app, files []string) error {
	if t.encoding != "auto" && !slices.Contains(corpus.Encodings(), t.encoding) {
		return usageError{fmt.Errorf("--encoding is one of auto, %s, not %q", strings.Join(corpus.Encodings(), ", "), t.encoding)}
	}
	ds, err := corpus.Guesses(files, &recipe.DataPlan{Encoding: t.encoding})
	a.problems(inFlags(ds))
	return err
}

func errInFlags(err error) error {
	if ds, fatal, ok := sdk.DiagnosticsOf(err); ok {
		return &sdk.DiagnosticsError{Diagnostics: inFlags(ds), Fatal: fatal, Cause: err}
	}
	return err
}

// inFlags names in remedies the flags of a command that has no --set.
func inFlags(ds sdk.Diagnostics) sdk.Diagnostics {
	ds = slices.Clone(ds)
	flags := strings.NewReplacer("--set data.text=", "--field ", "--set data.encoding=", "--encoding ", "data.text names", "--field names")
	for i := range ds {
		ds[i].Remedy = flags.Replace(ds[i].Remedy)
	}
	return ds
}

func (a *app) vocabTrain() *cobra.Command {
	var in []string
	var kind, out string
	var from textFlags
	var how token.Training
	cmd := &cobra.Command{
		Use: "train", Short: "Make a new vocabulary of texts",
		Example: "  islm vocab train --in corpus.txt --kind wordpiece --size 30000 --lower --out vocab",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(in) == 0 || out == "" {
				return usageError{fmt.Errorf("--in and --out are needed")}
			}
			texts, err := from.texts(cmd.Context(), a, in)
			if err != nil {
				return err
			}
			make := token.TrainWordPiece
			switch kind {
			case "wordpiece":
			case "bpe":
				make = token.TrainBPE
			default:
				return usageError{fmt.Errorf("--kind is wordpiece or bpe, not %q", kind)}
			}
			tok, err := make(cmd.Context(), texts, how)
			if err != nil {
				return err
			}
			if err := newFolder(out); err != nil {
				return err
			}
			if err := tok.Save(out); err != nil {
				return err
			}
			words, pieces, _, err := vocab.Measure(cmd.Context(), tok, tok, texts)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"out": out, "pieces": tok.VocabSize(), "pieces_per_word": perWord(pieces, words)})
			}
			fmt.Fprintf(a.stdout, "%s: %d pieces, %.3f per word of the texts\n", out, tok.VocabSize(), perWord(pieces, words))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&in, "in", nil, "file or folder of texts: .txt, .jsonl, .parquet (repeatable)")
	f.StringVar(&kind, "kind", "wordpiece", "wordpiece (BERT) or bpe (RoBERTa, GPT-2)")
	f.IntVar(&how.Size, "size", 30000, "number of pieces")
	f.IntVar(&how.MinCount, "min-count", 2, "how often two neighbours must be seen to be joined")
	f.BoolVar(&how.Lower, "lower", false, "lower-case and strip accents (wordpiece)")
	from.register(cmd)
	f.StringVar(&out, "out", "", "folder of the tokenizer")
	complete(cmd, "kind", func(string) []string { return []string{"wordpiece", "bpe"} })
	return cmd
}

// newFolder makes a folder that must not hold anything.
func newFolder(dir string) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "run.not-empty", File: dir, Summary: "the folder is not empty", Remedy: "choose another --out"}}.Err()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	return nil
}

func perWord(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// termFlags say which terms a command takes into account.
type termFlags struct {
	textFlags
	model, terms       string
	domains, dev, in   []string
	most, least, saved int
	words, phrases     bool
}

func (t *termFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&t.model, "model", "", "model folder, or a name in the model store")
	completeModels(cmd, "model")
	f.StringSliceVar(&t.domains, "domain", nil, "plugins whose terms are candidates")
	f.StringArrayVar(&t.dev, "dev", nil, "take a plugin from this binary or source folder without a lock (repeatable)")
	f.StringVar(&t.terms, "terms", "", "file of terms, one in a line")
	f.StringArrayVar(&t.in, "in", nil, "file or folder of the domain's texts: .txt, .jsonl, .parquet (repeatable)")
	f.BoolVar(&t.words, "words", false, "words of the texts are candidates too")
	f.BoolVar(&t.phrases, "phrases", false, "phrases of the texts are candidates too: two to four words that hold together (WordPiece)")
	f.IntVar(&t.most, "max", 0, "most terms; 0 = all")
	f.IntVar(&t.least, "min-count", 3, "least occurrences of a word or phrase of the texts")
	f.IntVar(&t.saved, "min-saved", 1, "least pieces of the texts that a term saves; 0 = also terms that they do not hold")
	t.textFlags.register(cmd)
}

// base is the folder of the model.
func (t *termFlags) base(a *app) (string, error) {
	store, err := a.store()
	if err != nil {
		return "", err
	}
	m, err := store.Find(t.model)
	return m.Dir, err
}

// request collects the candidates, texts apart.
func (t *termFlags) request(cmd *cobra.Command, a *app) (req vocab.Request, err error) {
	req = vocab.Request{Max: t.most, Words: t.words, Phrases: t.phrases, Count: t.least, Saved: t.saved}
	if t.most == 0 {
		req.Max = vocab.All
	}
	if t.terms != "" {
		if req.Terms, err = a.readTerms(t.terms); err != nil {
			return req, err
		}
	}
	if len(t.domains) > 0 {
		cat, err := a.catalog(cmd, t.dev)
		if err != nil {
			return req, err
		}
		home, err := a.home()
		if err != nil {
			return req, err
		}
		more, ds, err := core.Terms(cmd.Context(), cat, t.domains, home, a.logger())
		a.problems(ds)
		if err != nil {
			return req, err
		}
		req.Terms = append(req.Terms, more...)
	}
	if len(req.Terms) == 0 && (len(t.in) == 0 || !t.words && !t.phrases) {
		return req, usageError{fmt.Errorf("no terms: name --domain, --terms, or --in with --words or --phrases")}
	}
	return req, nil
}

func (a *app) vocabExtend() *cobra.Command {
	var from termFlags
	var held []string
	var init, out, replace string
	var seed uint64
	cmd := &cobra.Command{
		Use: "extend", Short: "Add a domain's terms to a model's tokenizer and embeddings",
		Long: `Add a domain's terms to a model's tokenizer and embeddings.

Terms come from plugins (--domain), from a file (--terms, one in a line) and, with
--words, from the texts themselves; with --phrases also runs of two to four words
that hold together, such as "net sales". Those are taken that save most pieces of
the texts of --in. Words of Chinese are runs of two to four characters that hold
together, and Chinese terms are found anywhere in a text. All other words are cut
as before. The folder of --out is a model that islm and transformers load; 'islm
train --set vocab.extend=N' does the same within a run. --replace takes a whole
other tokenizer and transfers the rows.`,
		Example: "  islm vocab extend --model all-MiniLM-L6-v2 --domain finance --in news.txt --words --max 2000 --out base-finance",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from.model == "" || out == "" {
				return usageError{fmt.Errorf("--model and --out are needed")}
			}
			ctx := cmd.Context()
			model, err := from.base(a)
			if err != nil {
				return err
			}
			base, err := token.Load(model)
			if err != nil {
				return err
			}
			result := map[string]any{"out": out}
			if replace != "" {
				fresh, err := token.Load(replace)
				if err != nil {
					return err
				}
				rows, kept := vocab.Transfer(base, fresh)
				if err := newFolder(out); err != nil {
					return err
				}
				if err := vocab.Resize(model, out, fresh.VocabSize(), rows, specials(fresh), seed); err != nil {
					return err
				}
				if err := fresh.Save(out); err != nil {
					return err
				}
				if a.json {
					result["pieces"], result["kept"] = fresh.VocabSize(), kept
					return a.print(result)
				}
				fmt.Fprintf(a.stdout, "%s: %d pieces, %d of them known before\n", out, fresh.VocabSize(), kept)
				return nil
			}
			req, err := from.request(cmd, a)
			if err != nil {
				return err
			}
			req.Base = base
			if len(from.in) > 0 {
				if req.Texts, err = from.texts(ctx, a, from.in); err != nil {
					return err
				}
			}
			s, err := vocab.Choose(ctx, req)
			if err != nil {
				return err
			}
			a.problems(s.Notices())
			if !slices.Contains(vocab.Inits(), init) {
				return usageError{fmt.Errorf("--init is one of %s, not %q", strings.Join(vocab.Inits(), ", "), init)}
			}
			rows, err := s.Rows(ctx, init, req.Texts)
			if err != nil {
				return err
			}
			if err := newFolder(out); err != nil {
				return err
			}
			if err := vocab.Resize(model, out, s.Tokenizer.VocabSize(), rows, nil, seed); err != nil {
				return err
			}
			if err := s.Tokenizer.Save(out); err != nil {
				return err
			}
			result["choices"], result["added"], result["left"], result["idle"], result["pieces"] = s.Choices, len(s.Added), s.Left, s.Idle, s.Tokenizer.VocabSize()
			text := fmt.Sprintf("%s: %d terms, %d new pieces", out, len(s.Choices), len(s.Added))
			if s.Words > 0 {
				result["pieces_per_word"] = []float64{perWord(s.Before, s.Words), perWord(s.After, s.Words)}
				text += fmt.Sprintf("; texts: %.3f pieces per word, before %.3f", perWord(s.After, s.Words), perWord(s.Before, s.Words))
			}
			if len(held) > 0 {
				texts, err := from.texts(ctx, a, held)
				if err != nil {
					return err
				}
				n, before, after, err := vocab.Measure(ctx, base, s.Tokenizer, texts)
				if err != nil {
					return err
				}
				result["held_out_pieces_per_word"] = []float64{perWord(before, n), perWord(after, n)}
				text += fmt.Sprintf("; held out: %.3f, before %.3f", perWord(after, n), perWord(before, n))
			}
			if a.json {
				return a.print(result)
			}
			for _, c := range s.Choices[:min(len(s.Choices), 20)] {
				fmt.Fprintf(a.stdout, "%-30s %7d times, %d pieces, saves %d\n", c.Text, c.Count, c.Pieces, c.Saved)
			}
			fmt.Fprintln(a.stdout, text)
			if len(s.Idle) > 0 {
				a.say("%d terms left out that save nothing in the texts (--min-saved 0 takes them too)", len(s.Idle))
			}
			if len(s.Left) > 0 {
				a.say("%d terms left out: one piece already, or of several words in a byte-level vocabulary", len(s.Left))
			}
			return nil
		},
	}
	from.register(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&held, "held-out", nil, "texts to measure pieces per word on, besides those of --in")
	f.StringVar(&init, "init", "mean", "new rows: mean of the old pieces, similar (of pieces in like contexts of --in), or random")
	f.StringVar(&replace, "replace", "", "folder of a whole other tokenizer to take, such as that of 'islm vocab train'")
	f.Uint64Var(&seed, "seed", 42, "of random rows")
	f.StringVar(&out, "out", "", "folder of the new model")
	complete(cmd, "init", func(string) []string { return vocab.Inits() })
	return cmd
}

// readTerms reads one term per line.
func (a *app) readTerms(path string) ([]sdk.Term, error) {
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("read terms: %w", err)
	}
	text, ds := corpus.DecodeText(path, data)
	if err := ds.Err(); err != nil {
		return nil, err
	}
	a.problems(ds)
	var out []sdk.Term
	for _, line := range corpus.TextLines(text) {
		out = append(out, sdk.Term{Text: strings.TrimSpace(line)})
	}
	return out, nil
}

// specials are the ids of a tokenizer's special tokens by role.
func specials(tok *token.Tokenizer) map[string]int32 {
	out := map[string]int32{}
	for _, role := range []string{"pad", "unk", "cls", "sep", "mask", "bos", "eos"} {
		if id, ok := tok.Special(role); ok {
			out[role] = id
		}
	}
	return out
}
