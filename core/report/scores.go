package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/metric"
)

// Scores is the table people know from scikit-learn's classification_report,
// with three decimals. Taggers: the rows are tokens, B-X stands beside I-X, O
// is last.
func Scores(r *metric.Report) string {
	if g := r.Ranking; g != nil {
		t := Table{Min: 9, Header: []string{"", "mrr", "ndcg@10", "map", "hit@1", "queries", "support"}}
		t.Rows = [][]string{nil, {"ranking", three(g.MRR), three(g.NDCG10), three(g.MAP), three(g.Hit1), strconv.Itoa(g.Queries), strconv.Itoa(r.N)}}
		return t.String()
	}
	if a := r.Answers; a != nil {
		t := Table{Min: 9, Header: []string{"", "exact", "token f1", "questions"}}
		t.Rows = [][]string{nil, {"answerable", three(a.HasExactMatch), three(a.HasF1), strconv.Itoa(a.Answerable)}}
		if n := r.N - a.Answerable; n > 0 {
			t.Rows = append(t.Rows, []string{"no answer", three(a.NoAnswer), three(a.NoAnswer), strconv.Itoa(n)})
		}
		t.Rows = append(t.Rows, []string{"all", three(a.ExactMatch), three(a.F1), strconv.Itoa(r.N)})
		return t.String()
	}
	if l := r.LanguageModel; l != nil {
		t := Table{Min: 9, Header: []string{"", "log-loss", "perplexity", "tokens"}}
		t.Rows = [][]string{nil, {"held out", three(l.LogLoss), strconv.FormatFloat(l.Perplexity, 'f', 2, 64), strconv.Itoa(l.Tokens)}}
		if r.Text == nil {
			return t.String()
		}
		w := r.Text
		text := Table{Min: 9, Header: []string{"", "bleu", "chrf", "rouge-1", "rouge-2", "rouge-l", "exact", "support"}}
		text.Rows = [][]string{nil, {"written", one(w.BLEU.Score), one(w.ChrF), three(w.ROUGE.One), three(w.ROUGE.Two), three(w.ROUGE.L), three(w.ExactMatch), strconv.Itoa(w.N)}}
		return t.String() + "\n" + text.String()
	}
	if r.Regression != nil {
		g := r.Regression
		t := Table{Min: 9, Header: []string{"", "mse", "rmse", "mae", "pearson", "spearman", "support"}}
		t.Rows = [][]string{nil, {"value", three(g.MSE), three(g.RMSE), three(g.MAE), three(g.Pearson), three(g.Spearman), strconv.Itoa(r.N)}}
		return t.String()
	}
	t := Table{Min: 9, Gap: 1, Header: []string{"", "precision", "recall", "f1-score", "support"}, Rows: [][]string{nil}}
	for _, row := range Rows(r) {
		t.Rows = append(t.Rows, scoreRow(row.Label, metric.Average{Precision: row.Precision, Recall: row.Recall, F1: row.F1, Support: row.Support}))
	}
	t.Rows = append(t.Rows, nil)
	if taskOf(r) != metric.TaskTag && taskOf(r) != metric.TaskSpan {
		t.Rows = append(t.Rows, []string{"accuracy", "", "", three(r.Accuracy), strconv.Itoa(r.N)})
	}
	t.Rows = append(t.Rows,
		scoreRow("micro avg", r.Averages.Micro),
		scoreRow("macro avg", r.Averages.Macro),
		scoreRow("weighted avg", r.Averages.Weighted))
	if s := r.Averages.Samples; s != nil {
		t.Rows = append(t.Rows, scoreRow("samples avg", *s))
	}
	out := t.String()
	if taskOf(r) != metric.TaskMultiLabel && len(r.Unused) > 0 {
		out += "\nneither in the data nor predicted: " + Fit(Clean(strings.Join(r.Unused, ", ")), 160) + "\n"
	}
	return out
}

// Rows returns the rows of a report in the order in which tables show them:
// the head's label order; for taggers by type, B before I, and O last.
func Rows(r *metric.Report) metric.LabelScores {
	if taskOf(r) != metric.TaskTag {
		return r.Labels
	}
	rows := slices.Clone(r.Labels)
	slices.SortStableFunc(rows, func(a, b metric.LabelScore) int {
		ra, ta, pa := tagOrder(a.Label)
		rb, tb, pb := tagOrder(b.Label)
		return cmp.Or(cmp.Compare(ra, rb), strings.Compare(ta, tb), cmp.Compare(pa, pb))
	})
	return rows
}

// tagOrder gives rank (0 entity tags, 1 others, 2 O), type and place of the
// prefix.
func tagOrder(label string) (rank int, kind string, place int) {
	if label == "O" {
		return 2, "", 0
	}
	prefix, kind, ok := strings.Cut(label, "-")
	if ok && len(prefix) == 1 {
		if i := strings.Index("BIELSU", prefix); i >= 0 {
			return 0, kind, i
		}
	}
	return 1, "", 0
}

// EntityTable holds the entity scores of a tagger, by type and over all; empty
// where the report has none.
func EntityTable(r *metric.Report) string {
	if r.Entities == nil {
		return ""
	}
	t := Table{Min: 9, Gap: 1, Header: []string{"entities", "precision", "recall", "f1-score", "support", "found", "correct"}, Rows: [][]string{nil}}
	row := func(name string, s metric.EntityScore) []string {
		return []string{name, three(s.Precision), three(s.Recall), three(s.F1), strconv.Itoa(s.Support), strconv.Itoa(s.Predicted), strconv.Itoa(s.Correct)}
	}
	for _, s := range r.Entities.Types {
		t.Rows = append(t.Rows, row(cmp.Or(s.Type, "(no type)"), s))
	}
	t.Rows = append(t.Rows, nil, row("overall", r.Entities.EntityScore))
	return t.String()
}

// BeforeAfter sets the untrained head beside the trained one and the majority
// baseline. Without before the trained one stands beside the baseline alone.
func BeforeAfter(before, after *metric.Report) string {
	t := Table{Left: 1, Header: []string{"", "majority", "before", "after", "gain"}}
	if before == nil {
		t.Header = []string{"", "majority", "score"}
	}
	for _, name := range headline(after) {
		a, _ := after.Value(name)
		row := []string{name, "", "", three(a), ""}
		if before == nil {
			row = []string{name, "", three(a)}
		}
		switch {
		case after.Regression != nil, after.Ranking != nil, after.LanguageModel != nil, after.Answers != nil, taskOf(after) == metric.TaskSpan:
		case name == "accuracy":
			row[1] = three(after.Majority.Accuracy)
		case name == "macro_f1":
			row[1] = three(after.Majority.MacroF1)
		}
		if before != nil {
			if b, ok := before.Value(name); ok {
				row[2], row[4] = three(b), signed(a-b)
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t.String()
}

// headline names the scores of a report that are shown first.
func headline(r *metric.Report) []string {
	var names []string
	for _, name := range metric.Names() {
		if _, ok := r.Value(name); ok && name != "loss" {
			names = append(names, name)
		}
	}
	return names
}

// ConfusionTable shows gold labels as rows and predicted ones as columns. With
// more than 12 labels it lists the most frequent confusions instead.
func ConfusionTable(c *metric.Confusion) string {
	if c == nil || len(c.Labels) == 0 {
		return ""
	}
	if len(c.Labels) > 12 {
		t := Table{Left: 1, Header: []string{"gold -> predicted", "count", "of gold"}}
		for _, p := range Confusions(c, 12) {
			t.Rows = append(t.Rows, []string{p.Gold + " -> " + cmp.Or(p.Predicted, "(none)"), strconv.Itoa(p.Count), percent(p.Share())})
		}
		return t.String()
	}
	order := confusionOrder(c)
	t := Table{Header: []string{"gold \\ predicted"}}
	for _, j := range order {
		t.Header = append(t.Header, Fit(Clean(c.Labels[j]), 12))
	}
	if c.Missed != nil {
		t.Header = append(t.Header, "(none)")
	}
	for _, i := range order {
		row := []string{c.Labels[i]}
		for _, j := range order {
			row = append(row, strconv.Itoa(c.Counts[i][j]))
		}
		if c.Missed != nil {
			row = append(row, strconv.Itoa(c.Missed[i]))
		}
		t.Rows = append(t.Rows, row)
	}
	return t.String()
}

// confusionOrder puts O last.
func confusionOrder(c *metric.Confusion) []int {
	order := make([]int, len(c.Labels))
	for i := range order {
		order[i] = i
	}
	if !slices.Contains(c.Labels, "O") {
		return order
	}
	slices.SortStableFunc(order, func(a, b int) int {
		ra, ta, pa := tagOrder(c.Labels[a])
		rb, tb, pb := tagOrder(c.Labels[b])
		return cmp.Or(cmp.Compare(ra, rb), strings.Compare(ta, tb), cmp.Compare(pa, pb))
	})
	return order
}

// Confused is a pair of labels that was taken for each other.
type Confused struct {
	Gold, Predicted string // Predicted "" = no prediction
	Count, Support  int    // Support counts all of gold
}

// Share is the part of gold that was taken for Predicted.
func (c Confused) Share() float64 {
	if c.Support == 0 {
		return 0
	}
	return float64(c.Count) / float64(c.Support)
}

// Confusions lists the most frequent wrong answers, most frequent first.
func Confusions(c *metric.Confusion, most int) []Confused {
	var out []Confused
	for i, row := range c.Counts {
		support := 0
		for _, n := range row {
			support += n
		}
		if c.Missed != nil {
			support += c.Missed[i]
			if c.Missed[i] > 0 {
				out = append(out, Confused{c.Labels[i], "", c.Missed[i], support})
			}
		}
		for j, n := range row {
			if i != j && n > 0 {
				out = append(out, Confused{c.Labels[i], c.Labels[j], n, support})
			}
		}
		for k := range out {
			if out[k].Gold == c.Labels[i] {
				out[k].Support = support
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Confused) int { return cmp.Compare(b.Count, a.Count) })
	return out[:min(len(out), most)]
}

// Head is all that a terminal shows about one head at the end of a run.
func Head(name string, before, after *metric.Report) string {
	unit := "examples"
	parts := []string{after.Task, after.Dataset, after.Split, fmt.Sprintf("%d %s", after.N, unit)}
	if after.Tokens > 0 {
		parts = append(parts, fmt.Sprintf("%d tokens", after.Tokens))
	}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	out := []string{Clean(name+" ("+strings.Join(parts, ", ")+")") + "\n", Scores(after)}
	if after.Entities != nil && taskOf(after) != metric.TaskSpan { // there it says what the table above says
		out = append(out, EntityTable(after))
	}
	out = append(out, BeforeAfter(before, after))
	if after.Confusion != nil {
		out = append(out, ConfusionTable(after.Confusion))
	}
	return strings.Join(out, "\n")
}

// Comparison sets two models side by side: one line per head and score, with
// the bootstrap's interval of the difference. names are those of the models.
func Comparison(a, b string, heads map[string][]*metric.Difference) string {
	t := Table{Left: 2, Header: []string{"head", "score", Fit(Clean(a), 24), Fit(Clean(b), 24), "difference", "95% interval", "p"}}
	n := 0
	for _, head := range slices.Sorted(maps.Keys(heads)) {
		for _, d := range heads[head] {
			t.Rows = append(t.Rows, []string{head, d.Metric, three(d.A), three(d.B), signed(d.Diff), span(d.Range), pValue(d.P)})
			n = d.Draws
		}
	}
	return t.String() + fmt.Sprintf("\npaired bootstrap, %d draws; an interval that holds 0 shows no difference\n", n)
}

// GroupTable shows the scores of groups and the largest gap.
func GroupTable(g *metric.Groups) string {
	t := Table{Left: 1, Header: []string{cmp.Or(g.Field, "group"), "n", g.Metric, "95% interval"}}
	for _, row := range g.Groups {
		t.Rows = append(t.Rows, []string{cmp.Or(row.Name, "(none)"), strconv.Itoa(row.N), three(row.Score), span(row.Range)})
	}
	out := t.String()
	if g.Best != "" || g.Worst != "" {
		out += fmt.Sprintf("\nlargest gap: %s (%s - %s), 95%% interval %s\n",
			three(g.Gap), Clean(cmp.Or(g.Best, "(none)")), Clean(cmp.Or(g.Worst, "(none)")), span(g.Range))
	}
	return out
}

func scoreRow(label string, a metric.Average) []string {
	return []string{label, three(a.Precision), three(a.Recall), three(a.F1), strconv.Itoa(a.Support)}
}

// byLabel reports whether a report has scores of single labels.
func byLabel(r *metric.Report) bool {
	return r.Regression == nil && r.Ranking == nil && r.Answers == nil && r.LanguageModel == nil
}

// taskOf is the kind without its version.
func taskOf(r *metric.Report) string {
	kind, _, _ := strings.Cut(r.Task, ".")
	return kind
}

func one(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func three(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }

func signed(v float64) string {
	s := fmt.Sprintf("%+.3f", v)
	if s == "-0.000" {
		return "+0.000"
	}
	return s
}

func percent(v float64) string { return fmt.Sprintf("%.1f%%", 100*v) }

func span(i metric.Interval) string { return "[" + three(i.Low) + ", " + three(i.High) + "]" }

func pValue(p float64) string {
	if p < 0.001 {
		return "<0.001"
	}
	return three(p)
}
