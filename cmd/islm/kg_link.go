package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core"
	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/kg"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// linkFlags say what is linked, how, and what is printed.
type linkFlags struct {
	kg, in, text, seen string
	embedder           string
	types              []string
	prior              map[string]string
	anyCase            bool
	abbreviations      bool
	explain, figures   bool
	facts, candidates  int
}

func (a *app) kgLink() *cobra.Command {
	var f linkFlags
	cmd := &cobra.Command{
		Use: "link", Short: "Find the entities of a graph in text",
		Long: `Find the names of a graph in text, leftmost and longest, and choose between
entities of one name by the prior of their type, by how much the graph knows of
them, by how exactly they are written, and by the facts that tie them to what
else the text names; with --embedder MODEL by how close the text around lies to
the entity in words, as that encoder sees it.

With --explain each mention shows all its candidates, what speaks for each, and
the facts that injection would write beside it.

Where the texts carry spans or entity tags, the share of these gold mentions
that is found is printed too; with --seen FILE also of those that do not occur
among the gold mentions of FILE, such as the training data.`,
		Example: `  islm kg link --kg hpo --text "Marfan syndrome with arachnodactyly" --explain
  islm kg link --kg hpo --in test.conll --seen train.conll --figures`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.kg == "" || cmd.Flags().Changed("text") == (f.in != "") {
				return usageError{errors.New("--kg and one of --in and --text are needed")}
			}
			if f.seen != "" && f.in == "" {
				return usageError{errors.New("--seen goes with --in")}
			}
			embedder, err := a.linkEmbedder(f.embedder)
			if err != nil {
				return err
			}
			home, err := a.home()
			if err != nil {
				return err
			}
			view, err := core.OpenGraph(cmd.Context(), f.kg, home)
			if err != nil {
				return err
			}
			defer view.Close()
			opt, err := f.options(view)
			if err != nil {
				return err
			}
			return a.link(cmd.Context(), view, opt, embedder, &f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.kg, "kg", "", "graph: a folder that 'islm kg import' made, or a compiled view")
	fl.StringVar(&f.in, "in", "", "file of texts: CoNLL, JSONL, CSV, TSV, Parquet, else one text per line; - is stdin")
	fl.StringVar(&f.text, "text", "", "one text")
	fl.StringVar(&f.seen, "seen", "", "data whose gold mentions count as seen")
	fl.StringVar(&f.embedder, "embedder", "", "encoder whose vectors compare text and entities: a model folder, or a name in the model store")
	fl.StringSliceVar(&f.types, "types", nil, "only entities of these types, or below these ids by is_a and its like")
	fl.BoolVar(&f.abbreviations, "abbreviations", false, "also short forms that a text gives to names, as in 'myotonic dystrophy (DM)'")
	fl.StringToStringVar(&f.prior, "prior", nil, "how likely entities of a type are meant, as Disease=2 (others 1)")
	fl.BoolVar(&f.anyCase, "any-case", false, "short names in capitals match small letters too")
	fl.BoolVar(&f.explain, "explain", false, "show what speaks for each candidate, and the facts of the chosen one")
	fl.BoolVar(&f.figures, "figures", false, "print the figures only, not the mentions")
	fl.IntVar(&f.facts, "facts", 2, "facts of an entity that --explain shows")
	fl.IntVar(&f.candidates, "candidates", 8, "most candidates of a mention")
	return cmd
}

// options checks what the flags say against the graph.
func (f *linkFlags) options(view *kg.View) (kg.LinkOptions, error) {
	opt := kg.LinkOptions{Types: f.types, AnyCase: f.anyCase, Abbreviations: f.abbreviations, Candidates: f.candidates, Prior: map[string]float64{}}
	known := view.Types()
	unknown := func(flag, name string) error {
		if slices.Contains(known, name) {
			return nil
		}
		if near := sdk.Nearest(name, known); near != "" {
			return usageError{fmt.Errorf("--%s: the graph has no type %q; did you mean %q?", flag, name, near)}
		}
		return usageError{fmt.Errorf("--%s: the graph has no type %q; it has %s", flag, name, strings.Join(known[:min(len(known), 20)], ", "))}
	}
	for _, name := range f.types {
		if _, ok := view.Index(name); ok {
			continue
		}
		if err := unknown("types", name); err != nil {
			return opt, err
		}
	}
	for name, text := range f.prior {
		p, err := strconv.ParseFloat(text, 64)
		if err != nil || !(p >= 0) || p > 1e9 {
			return opt, usageError{fmt.Errorf("--prior: %q of %q is no number of 0 or more", text, name)}
		}
		if err := unknown("prior", name); err != nil {
			return opt, err
		}
		opt.Prior[name] = p
	}
	if f.candidates < 1 || f.facts < 0 {
		return opt, usageError{errors.New("--candidates is at least 1, --facts at least 0")}
	}
	return opt, nil
}

// linkEmbedder opens the encoder that decides between entities; nil without one.
// It needs tensors: in the pure binary it does not return on success.
func (a *app) linkEmbedder(name string) (recipe.Embedder, error) {
	if name == "" {
		return nil, nil
	}
	engine, err := a.engine()
	if err != nil {
		return nil, err
	}
	rows, ok := engine.(recipe.RowEmbedder)
	if !ok {
		return nil, errors.New("the engine makes no vectors of texts")
	}
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	m, err := store.Find(name)
	if err != nil {
		return nil, err
	}
	return core.NewEmbedder(rows, m.Dir)
}

// linkBatch texts are linked together, because an embedder works on batches.
const linkBatch = 256

// resolve links the texts of some examples; there are reasons only where they
// are asked for.
func resolve(ctx context.Context, linker *kg.Linker, embedder recipe.Embedder, examples []sdk.Example, explain bool) ([][]kg.Mention, [][][]kg.Reason, error) {
	if embedder != nil {
		texts := make([]string, len(examples))
		for i := range examples {
			texts[i] = examples[i].Text
		}
		return linker.ExplainEmbedded(ctx, texts, embedder)
	}
	mentions, why := make([][]kg.Mention, len(examples)), make([][][]kg.Reason, len(examples))
	for i := range examples {
		if explain {
			mentions[i], why[i] = linker.Explain(examples[i].Text)
		} else {
			mentions[i] = linker.Link(examples[i].Text)
		}
	}
	return mentions, why, ctx.Err()
}

// linkedText is what is printed of one text.
type linkedText struct {
	ID       string       `json:"id,omitempty"`
	Text     string       `json:"text"`
	Mentions []linkedSpan `json:"mentions"`
}

type linkedSpan struct {
	Start      int               `json:"start"`
	End        int               `json:"end"`
	Text       string            `json:"text"`
	Candidates []linkedCandidate `json:"candidates"` // the first is chosen
	Facts      []linkedFact      `json:"facts,omitempty"`
}

type linkedCandidate struct {
	Entity string     `json:"entity"` // its id
	Name   string     `json:"name"`
	Type   string     `json:"type"`
	Score  float32    `json:"score"`
	Why    *linkedWhy `json:"why,omitempty"`
}

// linkedWhy is a kg.Reason with names; see there.
type linkedWhy struct {
	Prior   float64  `json:"prior"`
	Weight  float64  `json:"weight"`
	Name    float64  `json:"name"`
	Context float64  `json:"context"`
	Near    []string `json:"near,omitempty"`
}

type linkedFact struct {
	Relation string  `json:"relation"`
	Object   string  `json:"object"`
	Weight   float64 `json:"weight"`
}

// linkFigures sums up the texts.
type linkFigures struct {
	Texts     int            `json:"texts"`
	Bytes     int            `json:"bytes"`
	Mentions  int            `json:"mentions"`
	Entities  int            `json:"entities"`  // different ones
	Ambiguous int            `json:"ambiguous"` // mentions with more than one candidate
	Coverage  *core.Coverage `json:"coverage,omitempty"`
	Unseen    *core.Coverage `json:"unseen,omitempty"`
	// GoldShare is the share of the linked mentions that are gold mentions.
	GoldShare float64 `json:"gold_share,omitempty"`
}

func (a *app) link(ctx context.Context, view *kg.View, opt kg.LinkOptions, embedder recipe.Embedder, f *linkFlags) error {
	examples := []sdk.Example{{Text: f.text}}
	if f.in != "" {
		var err error
		if examples, err = a.linkInput(ctx, f.in); err != nil {
			return err
		}
	}
	var seen map[string]bool
	if f.seen != "" {
		old, err := a.linkInput(ctx, f.seen)
		if err != nil {
			return err
		}
		seen = map[string]bool{}
		for i := range old {
			for _, g := range core.GoldMentions(&old[i]) {
				seen[core.MentionKey(old[i].Text[g.Start:g.End])] = true
			}
		}
		if len(seen) == 0 {
			return sdk.Diagnostics{{Severity: sdk.Error, Code: "kg.seen", File: f.seen, Summary: "the data of --seen carry no spans and no entity tags", Remedy: "name data with gold mentions"}}.Err()
		}
	}
	linker := view.Linker(opt)
	count := newLinkCount(view, seen)
	for batch := range slices.Chunk(examples, linkBatch) {
		mentions, why, err := resolve(ctx, linker, embedder, batch, f.explain)
		if err != nil {
			return err
		}
		for i := range batch {
			count.add(&batch[i], mentions[i])
			if f.figures {
				continue
			}
			var reasons [][]kg.Reason
			if f.explain {
				reasons = why[i]
			}
			if err := a.printLinked(view, &batch[i], mentions[i], reasons, f.facts); err != nil {
				return err
			}
		}
	}
	figures := count.figures()
	switch {
	case a.json && f.in != "":
		return a.print(figures)
	case a.json:
		return nil
	}
	return figures.write(a.stdout, f)
}

// linkCount adds up what is found.
type linkCount struct {
	view         *kg.View
	seen         map[string]bool
	sum          linkFigures
	gold, unseen core.Coverage
	entities     map[int32]bool
}

func newLinkCount(view *kg.View, seen map[string]bool) *linkCount {
	return &linkCount{view: view, seen: seen, entities: map[int32]bool{}}
}

func (c *linkCount) add(ex *sdk.Example, mentions []kg.Mention) {
	c.sum.Texts++
	c.sum.Bytes += len(ex.Text)
	c.sum.Mentions += len(mentions)
	for _, m := range mentions {
		c.entities[m.Entity] = true
		if len(m.Candidates) > 1 {
			c.sum.Ambiguous++
		}
	}
	named := func(s string) bool { return len(c.view.Gazetteer().Lookup(s)) > 0 }
	gold := core.GoldMentions(ex)
	c.gold.Add(ex.Text, gold, mentions, named, nil)
	if c.seen != nil {
		c.unseen.Add(ex.Text, gold, mentions, named, func(m string) bool { return !c.seen[core.MentionKey(m)] })
	}
}

func (c *linkCount) figures() linkFigures {
	f := c.sum
	f.Entities = len(c.entities)
	if c.gold.Gold > 0 {
		f.Coverage = &c.gold
		f.GoldShare = portion(c.gold.Exact, f.Mentions)
		if c.seen != nil {
			f.Unseen = &c.unseen
		}
	}
	return f
}

func portion(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// linkInput reads data files with what they mark, and anything else as lines.
func (a *app) linkInput(ctx context.Context, path string) ([]sdk.Example, error) {
	format := strings.TrimPrefix(strings.ToLower(filepath.Ext(path)), ".")
	if path == "-" || format == "text" || !slices.Contains(corpus.Formats(), format) {
		return a.readTexts(path, nil)
	}
	examples, ds, err := core.ReadMarked(ctx, path)
	if err != nil {
		return nil, err
	}
	a.problems(ds)
	if ds.HasErrors() {
		return nil, errProblems
	}
	return examples, nil
}

func (a *app) printLinked(view *kg.View, ex *sdk.Example, mentions []kg.Mention, why [][]kg.Reason, facts int) error {
	row := linkedText{ID: ex.ID, Text: ex.Text, Mentions: []linkedSpan{}}
	for i, m := range mentions {
		span := linkedSpan{Start: m.Start, End: m.End, Text: ex.Text[m.Start:m.End]}
		for k, c := range m.Candidates {
			e := view.Entity(c.Entity)
			cand := linkedCandidate{Entity: e.ID, Name: preferred(e), Type: e.Type, Score: c.Score}
			if why != nil {
				r := why[i][k]
				cand.Why = &linkedWhy{Prior: r.Prior, Weight: r.Weight, Name: r.Name, Context: r.Context}
				for _, n := range r.Near {
					cand.Why.Near = append(cand.Why.Near, preferred(view.Entity(n)))
				}
			}
			span.Candidates = append(span.Candidates, cand)
		}
		if why != nil {
			known := view.Facts(m.Entity)
			said := make([]recipe.GraphFact, len(known))
			for k, fact := range known {
				said[k] = recipe.GraphFact{Relation: fact.Relation, Object: fact.Object, Weight: fact.Weight}
			}
			order := corpus.RankFacts([]string{ex.Text}, span.Text, said)
			for _, k := range order[:min(len(order), facts)] {
				fact := said[k]
				span.Facts = append(span.Facts, linkedFact{fact.Relation, fact.Object, fact.Weight})
			}
		}
		row.Mentions = append(row.Mentions, span)
	}
	if a.json {
		return a.print(row)
	}
	return row.write(a.stdout)
}

// preferred is what people call an entity.
func preferred(e kg.ViewEntity) string {
	if len(e.Names) > 0 {
		return e.Names[0]
	}
	return e.ID
}

// write gives the text and below it a line for each mention; the reasons of its
// candidates and the facts of the chosen one are indented under it.
func (t *linkedText) write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(t.Text + "\n")
	for _, m := range t.Mentions {
		best := m.Candidates[0]
		fmt.Fprintf(&b, "  %d-%d  %s  →  %s %s%s", m.Start, m.End, strconv.Quote(m.Text), best.Entity, strconv.Quote(best.Name), typed(best.Type))
		if n := len(m.Candidates); n > 1 {
			fmt.Fprintf(&b, "  %.2f of %d candidates", best.Score, n)
		}
		b.WriteByte('\n')
		for _, c := range m.Candidates {
			if c.Why == nil {
				break
			}
			fmt.Fprintf(&b, "      %.2f  %s %s%s: type %+.2f, weight %+.2f, name %+.2f, context %+.2f", c.Score, c.Entity, strconv.Quote(c.Name), typed(c.Type), c.Why.Prior, c.Why.Weight, c.Why.Name, c.Why.Context)
			if len(c.Why.Near) > 0 {
				b.WriteString(" (" + strings.Join(c.Why.Near, ", ") + ")")
			}
			b.WriteByte('\n')
		}
		for _, f := range m.Facts {
			fmt.Fprintf(&b, "      fact: %s %s (%g)\n", f.Relation, f.Object, f.Weight)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func typed(name string) string {
	if name == "" {
		return ""
	}
	return " (" + name + ")"
}

func (s *linkFigures) write(w io.Writer, f *linkFlags) error {
	if f.in == "" {
		return nil
	}
	if _, err := fmt.Fprintf(w, "%d texts, %d mentions of %d entities, %d ambiguous\n", s.Texts, s.Mentions, s.Entities, s.Ambiguous); err != nil {
		return err
	}
	if s.Coverage == nil {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tgold\tfound exactly\ttouched\ta name of the graph\t")
	line := func(title string, c *core.Coverage) {
		fmt.Fprintf(t, "%s\t%d\t%d (%.1f %%)\t%d (%.1f %%)\t%d (%.1f %%)\t\n", title, c.Gold, c.Exact, 100*portion(c.Exact, c.Gold), c.Overlap, 100*portion(c.Overlap, c.Gold), c.Named, 100*portion(c.Named, c.Gold))
	}
	line("mentions", s.Coverage)
	if s.Unseen != nil {
		line("not in "+filepath.Base(f.seen), s.Unseen)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%.1f %% of the linked mentions are gold mentions\n", 100*s.GoldShare)
	return err
}
