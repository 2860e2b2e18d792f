package main

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/augment/weak"
	"github.com/islm-dev/islm/sdk"
)

func (a *app) rulesLabel() *cobra.Command {
	var f ruleFlags
	var res resourceFlags
	var out, method string
	var least float64
	var all bool
	cmd := &cobra.Command{
		Use: "label PACK… --in FILE --out FILE", Short: "Label text by the votes of labelling rules",
		Long: `Label text by the votes of rules with do: label.v0, without any labelled example.
The votes are combined by a generative model, which finds out how good each rule is
from where the rules agree (for spans a hidden Markov model), or by majority. The
output is JSONL with the labels, their probabilities in the field meta, and nothing
for texts on which no rule votes. The table says for each rule on how much of the
text it votes, overlaps and conflicts with others, and how often it is right as the
model sees it; where the input has labels, also how often it is.`,
		Example: "  islm rules label my-rules --in new.txt --out labelled.jsonl\n  islm rules label my-rules --in new.jsonl --out sure.jsonl --min 0.9",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: packNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usageError{errors.New("name the output with --out FILE")}
			}
			if method != "model" && method != "majority" {
				return usageError{fmt.Errorf("--method is model or majority, not %q", method)}
			}
			r, closeAll, err := res.open(a, cmd)
			if err != nil {
				return err
			}
			defer closeAll()
			e, _, err := f.engine(a, cmd, args, augment.Options{Resources: r, Votes: true})
			if err != nil {
				return err
			}
			if e.Rules() == 0 {
				return sdk.Diagnostics{{Severity: sdk.Error, Code: "rules.votes", Summary: "the packs have no rule that labels", Remedy: "write rules with do: {kind: label.v0, head: HEAD, value: CLASS}"}}.Err()
			}
			data, closeData, err := f.data(cmd.Context(), a, cmd)
			if err != nil {
				return err
			}
			l := &labeller{voters: e.Voters(), majority: method == "majority"}
			var problems sdk.Diagnostics
			for ex, err := range data {
				if ds, fatal, ok := sdk.DiagnosticsOf(err); ok && !fatal {
					problems.Add(ds...)
					continue
				}
				if err == nil {
					err = cmd.Context().Err()
				}
				if err != nil {
					return errors.Join(err, closeData())
				}
				l.add(ex, e.Votes(&ex))
			}
			if err := errors.Join(closeData(), problems.Err()); err != nil {
				return err
			}
			if err := l.combine(); err != nil {
				return err
			}
			n, err := l.write(a, out, least, all)
			if err != nil {
				return err
			}
			if a.json && out != "-" {
				return a.print(map[string]any{"texts": len(l.examples), "labelled": n, "rules": l.stats})
			}
			if out != "-" {
				if err := l.table(a); err != nil {
					return err
				}
			}
			a.say("%d of %d texts labelled", n, len(l.examples))
			return nil
		},
	}
	f.register(cmd)
	res.register(cmd)
	fs := cmd.Flags()
	fs.StringVar(&out, "out", "", "file to write: .jsonl, or - for stdout")
	fs.StringVar(&method, "method", "model", "how votes are combined: model or majority")
	fs.Float64Var(&least, "min", 0, "leave out labels that are less probable than this")
	fs.BoolVar(&all, "all", false, "write texts without a label, too")
	complete(cmd, "method", func(string) []string { return []string{"model", "majority"} })
	return cmd
}

// labeller collects votes and combines them head by head.
type labeller struct {
	voters   []augment.Voter
	majority bool
	examples []sdk.Example
	ballots  [][]augment.Ballot
	labels   []map[string]sdk.Label         // by example and head
	chances  []map[string]map[string]string // by example, head and class
	score    []map[string]float64           // of the label; of spans the least
	stats    []labelStats
}

type labelStats struct {
	Head string `json:"head"`
	weak.FunctionStats
}

func (l *labeller) add(ex sdk.Example, b []augment.Ballot) {
	l.examples, l.ballots = append(l.examples, ex), append(l.ballots, b)
	l.labels = append(l.labels, map[string]sdk.Label{})
	l.chances = append(l.chances, map[string]map[string]string{})
	l.score = append(l.score, map[string]float64{})
}

func (l *labeller) combine() error {
	type head struct {
		name string
		span bool
	}
	seen := map[head]bool{}
	for _, v := range l.voters {
		seen[head{v.Head, v.Span}] = true
	}
	for h := range seen {
		if h.span && seen[head{h.name, false}] {
			return sdk.Diagnostics{{Severity: sdk.Error, Code: "rules.votes", Summary: fmt.Sprintf("head %q has rules that label texts and rules that label spans", h.name), Remedy: "give the two different heads"}}.Err()
		}
	}
	for _, h := range slices.SortedFunc(maps.Keys(seen), func(a, b head) int { return strings.Compare(a.name, b.name) }) {
		var voters []int
		for i, v := range l.voters {
			if v.Head == h.name {
				voters = append(voters, i)
			}
		}
		var err error
		if h.span {
			err = l.spans(h.name, voters)
		} else {
			err = l.classes(h.name, voters)
		}
		if err != nil && !errors.Is(err, weak.ErrNoVotes) {
			return err
		}
	}
	return nil
}

// index numbers the values that voters say.
func (l *labeller) index(voters []int) (values []string, functions []string) {
	for _, i := range voters {
		v := l.voters[i]
		if !slices.Contains(values, v.Value) {
			values = append(values, v.Value)
		}
		functions = append(functions, v.Pack+"/"+v.Rule)
	}
	slices.Sort(values)
	return values, functions
}

func (l *labeller) classes(head string, voters []int) error {
	classes, functions := l.index(voters)
	v := &weak.Votes{Functions: functions, Classes: classes}
	truth := make([]int, len(l.examples))
	for i, ballots := range l.ballots {
		var row []weak.Vote
		for _, b := range ballots {
			if f := slices.Index(voters, b.Voter); f >= 0 {
				row = append(row, weak.Vote{Function: f, Class: slices.Index(classes, l.voters[b.Voter].Value)})
			}
		}
		v.Rows = append(v.Rows, row)
		truth[i] = -1
		if values := l.examples[i].Labels[head].Values; len(values) == 1 {
			truth[i] = slices.Index(classes, values[0])
		}
	}
	probs := weak.Majority(v)
	if !l.majority {
		m, err := weak.Fit(v, weak.Options{})
		if err != nil && !errors.Is(err, weak.ErrNoVotes) {
			return err
		}
		if err == nil {
			probs = m.Predict(v)
		}
	}
	for i, p := range probs {
		if p == nil {
			continue
		}
		best := weak.Best(p)
		if len(best) > 1 {
			continue // a tie says nothing
		}
		l.labels[i][head] = sdk.Label{Values: []string{classes[best[0]]}}
		l.score[i][head] = p[best[0]]
		l.chances[i][head] = map[string]string{}
		for c, x := range p {
			if x >= 0.0005 {
				l.chances[i][head][classes[c]] = strconv.FormatFloat(x, 'f', 3, 64)
			}
		}
	}
	for _, s := range weak.Stats(v, probs, truth) {
		l.stats = append(l.stats, labelStats{head, s})
	}
	return nil
}

func (l *labeller) spans(head string, voters []int) error {
	labels, functions := l.index(voters)
	s := &weak.Sequences{Functions: functions, Labels: labels}
	tokens := make([][]sdk.Token, len(l.examples))
	for i, ballots := range l.ballots {
		tokens[i] = l.examples[i].Tokens
		if tokens[i] == nil {
			tokens[i] = edit.Words(l.examples[i].Text)
		}
		it := weak.Sequence{Tokens: len(tokens[i])}
		for _, b := range ballots {
			f := slices.Index(voters, b.Voter)
			if f < 0 {
				continue
			}
			for _, sp := range b.Spans {
				if from, to := cover(tokens[i], sp); from < to {
					it.Marks = append(it.Marks, weak.Mark{Function: f, Start: from, End: to, Label: slices.Index(labels, sp.Label)})
				}
			}
		}
		s.Items = append(s.Items, it)
	}
	marks := weak.MajoritySpans(s, 0.5)
	if !l.majority {
		m, err := weak.FitSequences(s, 0)
		if err != nil && !errors.Is(err, weak.ErrNoVotes) {
			return err
		}
		if err == nil {
			marks = m.Predict(s)
		}
	}
	for i := range marks {
		if len(s.Items[i].Marks) == 0 {
			continue
		}
		lab := sdk.Label{Spans: []sdk.Span{}}
		least, chances := 1.0, map[string]string{}
		for _, m := range marks[i] {
			sp := sdk.Span{Start: tokens[i][m.Start].Start, End: tokens[i][m.End-1].End, Label: labels[m.Label]}
			lab.Spans = append(lab.Spans, sp)
			least = min(least, m.Score)
			chances[fmt.Sprintf("%d-%d", sp.Start, sp.End)] = strconv.FormatFloat(m.Score, 'f', 3, 64)
		}
		l.labels[i][head], l.score[i][head], l.chances[i][head] = lab, least, chances
	}
	l.stats = append(l.stats, spanStats(head, s, marks)...)
	return nil
}

// cover gives the tokens that a span touches.
func cover(tokens []sdk.Token, sp sdk.Span) (from, to int) {
	from = len(tokens)
	for t, k := range tokens {
		if k.End > sp.Start && k.Start < sp.End {
			from, to = min(from, t), t+1
		}
	}
	return from, to
}

// spanStats counts, for each function, its marks as votes of one item each: an
// item is a token, which others mark, too, or mark otherwise.
func spanStats(head string, s *weak.Sequences, marks [][]weak.Mark) []labelStats {
	v := &weak.Votes{Functions: s.Functions, Classes: append(slices.Clone(s.Labels), "O")}
	var probs [][]float64
	for i, it := range s.Items {
		at := len(v.Rows)
		for range it.Tokens {
			v.Rows = append(v.Rows, nil)
			p := make([]float64, len(v.Classes))
			p[len(s.Labels)] = 1
			probs = append(probs, p)
		}
		for _, m := range it.Marks {
			for t := m.Start; t < m.End; t++ {
				if row := v.Rows[at+t]; !slices.ContainsFunc(row, func(x weak.Vote) bool { return x.Function == m.Function }) {
					v.Rows[at+t] = append(row, weak.Vote{Function: m.Function, Class: m.Label})
				}
			}
		}
		for _, m := range marks[i] {
			for t := m.Start; t < m.End; t++ {
				probs[at+t][m.Label], probs[at+t][len(s.Labels)] = m.Score, 1-m.Score
			}
		}
	}
	var out []labelStats
	for _, st := range weak.Stats(v, probs, nil) {
		out = append(out, labelStats{head, st})
	}
	return out
}

// spanHead is the one head of spans: these stand bare in a file, which is the form
// that every reader knows. With several each stands under its name.
func (l *labeller) spanHead() string {
	var heads []string
	for _, v := range l.voters {
		if v.Span && !slices.Contains(heads, v.Head) {
			heads = append(heads, v.Head)
		}
	}
	if len(heads) == 1 {
		return heads[0]
	}
	return ""
}

// write writes the labelled examples and returns how many have a label.
func (l *labeller) write(a *app, out string, least float64, all bool) (int, error) {
	if ext := strings.ToLower(filepath.Ext(out)); out != "-" && ext != ".jsonl" {
		return 0, usageError{fmt.Errorf("--out is a .jsonl file or -, not %s", out)}
	}
	w, finish, err := a.openOutput(out)
	if err != nil {
		return 0, err
	}
	write := exampleWriter(w, false, l.spanHead)
	n := 0
	for i := range l.examples {
		ex := l.examples[i]
		ex.Labels, ex.Meta = map[string]sdk.Label{}, maps.Clone(ex.Meta)
		if ex.Meta == nil {
			ex.Meta = map[string]string{}
		}
		for h, lab := range l.labels[i] {
			if l.score[i][h] < least {
				continue
			}
			ex.Labels[h] = lab
			for c, p := range l.chances[i][h] {
				ex.Meta["probability."+h+"."+c] = p
			}
		}
		if len(ex.Labels) > 0 {
			n++
		} else if !all {
			continue
		}
		if err := write(&ex); err != nil {
			return n, errors.Join(err, finish(false))
		}
	}
	return n, finish(true)
}

func (l *labeller) table(a *app) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "head\trule\tsays\tcoverage\toverlap\tconflict\testimated\tmeasured")
	for _, s := range l.stats {
		share := func(p *float64) string {
			if p == nil {
				return "-"
			}
			return fmt.Sprintf("%.3f", *p)
		}
		says := strings.Join(slices.Sorted(maps.Keys(s.Votes)), ",")
		if says == "" {
			says = "nothing"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.3f\t%.3f\t%.3f\t%s\t%s\n", s.Head, s.Function, says, s.Coverage, s.Overlap, s.Conflict, share(s.Estimated), share(s.Measured))
	}
	return w.Flush()
}
